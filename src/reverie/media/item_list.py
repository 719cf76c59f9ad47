"""The list of items that a verb returns: a list like any other, which also shows, converts and saves its items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

import numpy as np

from reverie.data.file_types import SUFFIXES
from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.media.image import Image

T = TypeVar("T")
SHOWN = 64
"""items that a notebook shows of a list"""
LINES_SHOWN = 20
FILE_SUFFIXES = SUFFIXES | {
    ".csv", ".txt", ".mid", ".midi", ".wav", ".mp3", ".ogg", ".flac", ".m4a", ".pdf", ".svg", ".mp4",
}  # fmt: skip
"""suffixes of a place to write to that mean one file and not a folder"""


def check_folder(path: Path, medium: Any) -> None:
    """Raises UserError where a place cannot be a folder with a file for each item of a medium."""
    if path.is_file() or path.suffix.lower() in FILE_SUFFIXES or not medium.SUFFIX:
        places = ["a folder"] if medium.SUFFIX else []
        if medium.COMBINED_WRITERS:
            places.append(f"a name ending in {' or '.join(medium.COMBINED_WRITERS)} for one file of all")
        raise UserError(f"cannot write {medium.NOUN}s to {path}; give {', or '.join(places)}.")


def save_combined(items: Sequence[Any], path: Path, medium: Any) -> Path:
    """Writes all items into one file, whose suffix is of medium.COMBINED_WRITERS."""
    suffix = path.suffix.lower()
    if len(items) == 1 and suffix == medium.SUFFIX:
        saved: Path = items[0].save(path)  # as it is: a photo of 16 bits keeps them, a grid would have 8
    else:
        saved = medium.COMBINED_WRITERS[suffix](list(items), path)
    return saved


class ItemList(list[T]):
    """Items of one medium; slices and sums of it are such lists too.

    np.asarray(images) is uint8 [N,H,W,C]; of codes float32 [N,Z].
    """

    @overload
    def __getitem__(self, i: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, i: slice) -> ItemList[T]: ...
    def __getitem__(self, i: Any) -> Any:
        found = super().__getitem__(i)
        return ItemList(found) if isinstance(i, slice) else found

    def __add__(self, other: Iterable[Any]) -> ItemList[Any]:
        return ItemList([*self, *other])

    def grid(self, columns: int = 0) -> Image:
        """All images, rolls of music, or lines in one image, `columns` in a row; 0: as many as the items ask for.

        Raises UserError for an empty list, images of several sizes, and codes.
        """
        from reverie.media.image import Image, image_grid
        from reverie.media.text_image import text_sheet

        if not self:
            raise UserError("there are no items to show in a grid.")
        items: list[Any] = list(self)
        first = items[0]
        if hasattr(first, "line"):
            return text_sheet([str(item) for item in items])
        if hasattr(first, "parts"):
            from reverie.media.music import rolls

            return image_grid(rolls(items), columns)
        images = [item if isinstance(item, Image) else item.image() for item in items if hasattr(item, "pixels")]
        if len(images) != len(items):
            raise UserError(f"a grid shows images, and these are {first.NOUN}s; save them, or take them as an array.")
        if len({image.pixels.shape for image in images}) > 1:
            raise UserError("a grid takes images of one size, and these have several; save them into a folder.")
        return image_grid(images, columns)

    def save(self, place: str | Path) -> list[Path]:
        """Writes the items into a folder, as 000000.png ..., or all into one file, such as all.png; returns the files.

        An item's number is its index, or where several have one index, its position. Files of these names are
        replaced. Raises UserError for an empty list, or a suffix that the medium has not.
        """
        path = Path(place)
        if not self:
            raise UserError(f"there are no items to write to {path}.")
        first: Any = self[0]
        if path.suffix.lower() in first.COMBINED_WRITERS:
            return [save_combined(self, path, first)]
        check_folder(path, first)
        items: list[Any] = list(self)
        numbers = [item.index for item in items]
        if None in numbers or len(set(numbers)) < len(numbers):
            numbers = list(range(len(items)))
        return [item.save(path / f"{number:06}{first.SUFFIX}") for number, item in zip(numbers, items, strict=True)]

    def numpy(self) -> np.ndarray:
        """One array of all items: images uint8 [N,H,W,C], codes float32 [N,Z]. Raises UserError for several sizes."""
        if not self:
            raise UserError("there are no items to make an array of.")
        try:
            return np.stack([np.asarray(item) for item in self])
        except ValueError:
            raise UserError("the items have several sizes, or are no images or codes; take them one by one.") from None

    def tensor(self) -> Tensor:
        """One tensor of all items: images float32 [N,C,H,W] in [-1,1], codes float32 [N,Z]. Raises UserError."""
        import torch

        array = torch.from_numpy(self.numpy())
        return array if array.ndim == 2 else array.permute(0, 3, 1, 2).float() / 127.5 - 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def __repr__(self) -> str:
        if not self:
            return "[]"
        first: Any = self[0]
        if not hasattr(first, "summary"):
            return super().__repr__()
        many = "" if len(self) == 1 else "s"
        lines = f": {', '.join(map(repr, map(str, self[:3])))}{', ...' if len(self) > 3 else ''}"
        return f"<{len(self)} {first.NOUN}{many}{lines if hasattr(first, 'line') else f', first {first.summary}'}>"

    def _repr_png_(self) -> bytes | None:  # how notebooks show it
        if not self or not (hasattr(self[0], "pixels") or hasattr(self[0], "parts")):
            return None
        try:
            return self[:SHOWN].grid().png()
        except UserError:
            return None

    def _repr_html_(self) -> str | None:
        if not self or not hasattr(self[0], "line"):
            return None
        import html

        rows = "<br>".join(html.escape(str(item)) for item in self[:LINES_SHOWN])
        return rows + (f"<br>... {len(self) - LINES_SHOWN} more" if len(self) > LINES_SHOWN else "")
