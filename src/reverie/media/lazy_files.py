"""Files that are read one at a time, when they are needed: a thousand large photographs do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reverie.utils.errors import UserError


class LazyFiles(Sequence[Any]):
    """A sequence of items of one medium; each is loaded from its file whenever it is asked for, and not kept.

    Attributes:
        paths: the files, in order.
        medium: the class whose `load(path)` reads them.
        pending: resolved paths of files that nobody has asked for yet, which must not be overwritten.
        failed: error messages of files that iteration skipped.
    """

    lazy = True

    def __init__(self, paths: Sequence[Path], medium: Any) -> None:
        self.paths, self.medium = list(paths), medium
        self.pending = {path.resolve() for path in paths}
        self.failed: list[str] = []

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: Any) -> Any:
        """Item i, loaded now; of a slice, another LazyFiles. Raises UserError if the file cannot be used."""
        if isinstance(i, slice):
            return LazyFiles(self.paths[i], self.medium)
        item = self.medium.load(self.paths[i])
        self.pending.discard(self.paths[i].resolve())
        return item

    def __iter__(self) -> Iterator[Any]:
        """The items in order. A damaged file is skipped and noted in `failed`, so that the work on the others goes on.

        Raises UserError if it is the only file.
        """
        for i in range(len(self)):
            try:
                item = self[i]
            except UserError as error:
                if len(self) == 1:
                    raise
                self.failed.append(str(error))
                continue
            yield item
