"""One image, and grids of several images."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import PIL.Image

from reverie.data.file_types import SUFFIXES
from reverie.data.images.conversion import Levels, scale
from reverie.media.item import Item
from reverie.media.metadata import LABELS, png_text_chunks
from reverie.utils.atomic_files import replace_bytes
from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

GRID_BACKGROUND = 128
"""grey level between the images of a grid"""


@dataclass(frozen=True, eq=False, repr=False)
class Image(Item):
    """One 8-bit image: uint8 [H,W,C] in 0..255 with C = 1 (grey) or 3 (RGB)."""

    NOUN: ClassVar = "image"
    INPUT_SUFFIXES: ClassVar = SUFFIXES
    SUFFIX: ClassVar = ".png"
    COMBINED_WRITERS: ClassVar = {".png": lambda images, path: image_grid(images).save(path)}

    pixels: np.ndarray
    """uint8 [H,W,C]"""
    name: str = ""
    """name of the file that it was read from, without folders; "" if it was generated"""
    file: bytes = b""
    """the bytes of its file, where these can be read by another rule than that of a file alone; see `with_levels`"""
    origin: str = ""
    """digest of the image that it was read as at first; "" where it was read once"""
    column_labels: tuple[str, ...] = ()
    """of a grid, what its columns show, from left to right; () for nothing"""
    row_labels: tuple[str, ...] = ()
    """of a grid, what its rows show, from top to bottom; () for nothing"""
    companions: Mapping[str, bytes] = field(default_factory=dict)
    """what it shows in another form, such as its text or sound: suffix -> content of a file to write beside it"""

    @classmethod
    def load(cls, path: str | Path) -> Image:
        """Read an image file as training data is read: upright, 8 bits, alpha laid on white, in its own size.

        The formats are those of `reverie.data.images.decode`. Raises UserError if the file cannot be read or is not a
        usable image.
        """
        try:
            return cls.read(Path(path).read_bytes(), str(path))
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); give the path of an image.") from None

    @classmethod
    def read(cls, data: bytes, place: str = "the input") -> Image:
        """As `load`, from the bytes of an image file; `place` is its path, or what error messages call it."""
        from reverie.data.file_types import InvalidFile, quiet_pillow, reason_of
        from reverie.data.images.decode import read_full, read_header

        try:
            with quiet_pillow():
                header = read_header(data)
                by_rule = header.alpha or header.bits > 8
                return cls(read_full(data), Path(place).name, data if by_rule else b"")
        except InvalidFile as invalid:
            reason = reason_of(str(invalid), place)
            raise UserError(f"{place} is not a usable image ({reason}); give another.") from None

    def with_levels(self, levels: Levels) -> Image:
        """A copy whose file is read by the rule of a set: 16 bits, float and alpha as in the data of a run."""
        from reverie.data.images.decode import read_full

        if not self.file:
            if levels.byte_white == 255:
                return self
            return dataclasses.replace(self, pixels=scale(self.pixels, 0, levels.byte_white), origin=self.digest)
        return dataclasses.replace(self, pixels=read_full(self.file, levels), origin=self.digest)

    def save(self, path: str | Path) -> Path:
        """Write a PNG that carries the record, and return its path; missing folders are made.

        Raises UserError on another suffix than .png, because other formats would lose the record.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise UserError(f"cannot write {path}: generated images are PNG files; name it {path.stem}.png.")
        replace_bytes(path, self.png())
        return path

    def save_with_companions(self, path: str | Path) -> Path:
        """As `save`, and the companions beside it: step-000500.png, step-000500.txt."""
        path = self.save(path)
        for suffix, content in self.companions.items():
            replace_bytes(path.with_suffix(suffix), content)
        return path

    def png(self) -> bytes:
        """The bytes of a PNG that carries the record, and the labels of columns and rows."""
        buffer, chunks = io.BytesIO(), png_text_chunks(self.record)
        if self.column_labels or self.row_labels:
            labels = {"columns": self.column_labels, "rows": self.row_labels}
            chunks.add_itxt(LABELS, json.dumps(labels, ensure_ascii=False))
        self.pil.save(buffer, format="PNG", pnginfo=chunks)
        return buffer.getvalue()

    @property
    def pil(self) -> PIL.Image.Image:
        """The same pixels as a Pillow image, mode L or RGB."""
        return PIL.Image.fromarray(self.pixels[:, :, 0] if self.pixels.shape[2] == 1 else self.pixels)

    def _repr_png_(self) -> bytes | None:  # how notebooks show it
        return self.png()

    @property
    def summary(self) -> str:
        height, width, channels = self.pixels.shape
        return f"{width} x {height}{' grey' if channels == 1 else ''}"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.pixels if dtype is None else self.pixels.astype(dtype)

    def numpy(self) -> np.ndarray:
        """The pixels, uint8 [H,W,C], a copy."""
        return self.pixels.copy()

    def tensor(self) -> Tensor:
        """The pixels as float32 [C,H,W] in [-1,1]."""
        import torch

        return torch.from_numpy(self.numpy()).permute(2, 0, 1).float() / 127.5 - 1

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over shape and pixels, as the file was read at first."""
        if self.origin:
            return self.origin
        return hashlib.sha256(repr(self.pixels.shape).encode() + self.pixels.tobytes()).hexdigest()[:16]

    @staticmethod
    def to_tensor(images: Sequence[Image], size: int, channels: int) -> Tensor:
        """The centre squares of B images, resized as training data is: float32 [B,channels,size,size] in [-1,1]."""
        import torch

        from reverie.data.images.decode import fit

        pixels = np.stack([fit(image.pil, size, channels) for image in images])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1

    @staticmethod
    def from_tensor(x: Tensor) -> Iterator[Image]:
        """One Image for each of x [B,C,H,W]; values are clamped to [-1,1] and rounded to the nearest of 256 levels."""
        import torch

        levels = ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        for pixels in levels.permute(0, 2, 3, 1).cpu().numpy():
            yield Image(np.ascontiguousarray(pixels))


def image_grid(images: Sequence[Image], columns: int = 0, gap: int = 2) -> Image:
    """One image that shows many of one size in rows, on grey, `gap` pixels apart.

    `columns` is the length of a row; 0: what the images ask for by their `columns`, else as square a grid as possible.
    If the first image has a record, the grid carries it, with the layout, all inputs and all predictions added.
    """
    columns = columns or images[0].columns or math.ceil(math.sqrt(len(images)))
    height, width, channels = images[0].pixels.shape
    rows = math.ceil(len(images) / columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, channels)
    canvas = np.full(shape, GRID_BACKGROUND, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image.pixels
    record = images[0].record
    if record is None:
        return Image(canvas)
    layout = {"images": len(images), "columns": columns, "gap": gap, "first": record.get("index", 0)}
    if len(images[0].inputs) == 1:  # each was made from an input of its own
        record = {**record, "inputs": [source for image in images for source in image.inputs]}
    if images[0].prediction:
        record = {**record, "predictions": [image.prediction for image in images]}
    return Image(canvas, record={**record, "grid": layout})


def comparison_grid(
    upper: Sequence[Image],
    lower: Sequence[Image],
    columns: int = 8,
    labels: tuple[str, str] = ("original", "reconstruction"),
) -> Image:
    """A grid in which each row of `upper` has the counterparts of `lower` below it, such as reconstructions.

    labels: what `upper` and `lower` are.
    """
    rows: list[Image] = []
    for start in range(0, len(upper), columns):
        rows += [*upper[start : start + columns], *lower[start : start + columns]]
    grid = image_grid(rows, min(columns, len(upper)))
    return dataclasses.replace(grid, row_labels=labels * math.ceil(len(upper) / columns))


def reconstruction_grid(x: Tensor, reconstruct: Callable[[list[Image]], Sequence[Image]]) -> Image:
    """The first 16 of images x [B,C,H,W] in [-1,1], each row of them above their reconstructions."""
    real = list(Image.from_tensor(x[:16]))
    return comparison_grid(real, reconstruct(real))


def grid_of_groups(images: Sequence[Image], labels: Sequence[str], columns: int = 6) -> Image:
    """A grid of groups such as input, output, target, input, output, target ... with labels over its columns.

    labels: what the images of a group are; columns: a multiple of their number.
    """
    grid = image_grid(images, columns)
    return dataclasses.replace(grid, column_labels=tuple(labels) * (columns // len(labels)))


def side_by_side(*batches: Tensor, labels: Sequence[str], columns: int = 6) -> Image:
    """A grid with image i of every batch [B,C,H,W] in [-1,1] next to each other, such as input, output and target.

    Batches of one channel are shown beside batches of three. labels: what each batch is; columns: a multiple of the
    number of batches.
    """
    channels = max(batch.shape[1] for batch in batches)
    images = [Image.from_tensor(batch.expand(-1, channels, -1, -1)) for batch in batches]
    in_order: list[Image] = []
    for group in zip(*images, strict=True):
        in_order.extend(group)
    return grid_of_groups(in_order, labels, columns)
