"""The list of items that a verb returns: a list like any other, which also shows, converts and saves its items."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

import numpy as np

from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.media.image import Image

T = TypeVar("T")
SHOWN = 64
"""items that a notebook shows of a list"""
LINES_SHOWN = 20


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

        Files of these names are replaced. Raises UserError for an empty list, or a suffix that the medium has not.
        """
        path = Path(place)
        if not self:
            raise UserError(f"there are no items to write to {path}.")
        first: Any = self[0]
        if path.suffix:
            if path.suffix.lower() not in first.COMBINED_WRITERS:
                known = ", ".join(first.COMBINED_WRITERS)
                raise UserError(f"cannot write {first.NOUN}s to {path}; give a folder, or a name ending in {known}.")
            first.COMBINED_WRITERS[path.suffix.lower()](list(self), path)
            return [path]
        if not first.SUFFIX:
            raise UserError(
                f"{first.NOUN}s go into one file; give a name ending in {', '.join(first.COMBINED_WRITERS)}."
            )
        written = []
        for i, item in enumerate(self):
            index = getattr(item, "index", None)
            written.append(path / f"{i if index is None else index:06}{first.SUFFIX}")
            item.save(written[-1])  # type: ignore[attr-defined]
        return written

    def numpy(self) -> np.ndarray:
        """One array of all items: images uint8 [N,H,W,C], codes float32 [N,Z]. Raises UserError for several sizes."""
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
