"""Files that are read one at a time, when they are needed: a thousand large photographs do not fit into memory."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reverie.utils.errors import UserError, one_line

OURS = ("reverie", "torch")
"""packages whose lines a warning is not about; those of torch stand between, where gradients are switched off"""
MOST_LISTED = 20
"""messages on files that were passed over that are shown, a line each"""


def in_folder(item: Any, folder: str) -> Any:
    """The item with its folder noted."""
    return dataclasses.replace(item, folder=folder) if folder else item


def summary_of(failed: Sequence[str]) -> str:
    """The first of several messages, and how many there are; each is a line of stderr before, up to MOST_LISTED."""
    if len(failed) > 1:
        for message in failed[:MOST_LISTED]:
            print(f"passed over: {one_line(message)}", file=sys.stderr)
        if len(failed) > MOST_LISTED:
            print(f"passed over: {len(failed) - MOST_LISTED} more", file=sys.stderr)
    return f"{failed[0]} (and {len(failed) - 1} more)" if len(failed) > 1 else failed[0]


def tell_failed(failed: Sequence[str], others: int) -> None:
    """Warns, at the line outside of this package that asked, of files that were passed over.

    Raises UserError where there are no others.
    """
    if failed and not others:
        raise UserError(summary_of(failed))
    if failed:
        level, frame = 2, sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
            level, frame = level + 1, frame.f_back
        warnings.warn(f"passed over: {summary_of(failed)}", stacklevel=level)


class LazyFiles(Sequence[Any]):
    """A sequence of items of one medium; each is loaded from its file whenever it is asked for, and not kept.

    Attributes:
        paths: the files, in order.
        folders: of each file, where it lies below the folder that was given; see Item.folder.
        medium: the class whose `load(path)` reads them.
        pending: resolved paths of files that nobody has asked for yet, which must not be overwritten.
        failed: error messages of files that iteration skipped.
        aloud: whether iteration, at its end, warns of these, and raises UserError where there are no others.
    """

    lazy = True

    def __init__(
        self,
        paths: Sequence[Path],
        medium: Any,
        change: Callable[[Any], Any] | None = None,
        folders: Sequence[str] = (),
        aloud: bool = False,
    ) -> None:
        self.paths, self.medium, self._change = list(paths), medium, change
        self.folders = list(folders) or [""] * len(self.paths)
        self.pending = {path.resolve() for path in paths}
        self.failed: list[str] = []
        self.aloud = aloud

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: Any) -> Any:
        """Item i, loaded now; of a slice, another LazyFiles. Raises UserError if the file cannot be used."""
        if isinstance(i, slice):
            return LazyFiles(self.paths[i], self.medium, self._change, self.folders[i])
        item = in_folder(self.medium.load(self.paths[i]), self.folders[i])
        self.pending.discard(self.paths[i].resolve())
        return self._change(item) if self._change else item

    def with_(self, change: Callable[[Any], Any]) -> LazyFiles:
        """The same files, each item changed by a function once it is loaded; `pending` and `failed` are shared."""
        changed = LazyFiles(self.paths, self.medium, change, self.folders, self.aloud)
        changed.pending, changed.failed = self.pending, self.failed
        return changed

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
        if self.aloud:
            tell_failed(self.failed, len(self) - len(self.failed))
