"""Files that are read when their turn comes: a thousand large photographs do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reverie.utils.errors import UserError


class LazyFiles(Sequence[Any]):
    """A list of items of a medium of which each is loaded anew whenever it is asked for."""

    lazy = True

    def __init__(self, paths: Sequence[Path], medium: Any) -> None:
        self.paths, self.medium = list(paths), medium
        self.pending = {path.resolve() for path in paths}
        """those that nobody has asked for yet, which must not be written over"""
        self.failed: list[str] = []
        """what is wrong with those that were passed over"""

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return LazyFiles(self.paths[i], self.medium)
        item = self.medium.load(self.paths[i])
        self.pending.discard(self.paths[i].resolve())
        return item

    def __iter__(self) -> Iterator[Any]:
        """One after another. Those that turn out to be damaged are passed over, so that hours of work on the others go
        on. Raises UserError where there is one file only, and it is."""
        for i in range(len(self)):
            try:
                item = self[i]
            except UserError as fault:
                if len(self) == 1:
                    raise
                self.failed.append(str(fault))
                continue
            yield item
