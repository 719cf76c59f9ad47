"""A picture, and pictures together on a sheet."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import PIL.Image

from reverie.data.file_types import SUFFIXES
from reverie.media.item import Item
from reverie.media.metadata import chunks
from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Image(Item):
    """One picture: uint8 [H,W,C] with C = 1 (grey) or 3 (RGB)."""

    NOUN: ClassVar = "picture"
    INPUT_SUFFIXES: ClassVar = SUFFIXES
    SUFFIX: ClassVar = ".png"
    COMBINED_WRITERS: ClassVar = {".png": lambda images, path: image_grid(images).save(path)}

    pixels: np.ndarray
    name: str = ""
    """the file it came from"""

    @classmethod
    def load(cls, path: str | Path) -> Image:
        """Reads a picture as training data is read (see reverie.data.decode). Raises UserError."""
        try:
            return cls.read(Path(path).read_bytes(), str(path))
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a picture.") from None

    @classmethod
    def read(cls, data: bytes, place: str = "it") -> Image:
        """Reads the bytes of a picture file; place: where they come from. Raises UserError."""
        from reverie.data.file_types import InvalidFile, quiet_pillow
        from reverie.data.images.decode import read_full

        try:
            with quiet_pillow():
                return cls(read_full(data), Path(place).name)
        except InvalidFile as unfit:
            raise UserError(f"{place} is no usable picture ({unfit}); give another.") from None

    def save(self, path: str | Path) -> Path:
        """Writes a PNG that carries its record. Raises UserError on another ending, since others would lose it."""
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise UserError(f"cannot write {path}: generated pictures are PNG files; name it {path.stem}.png.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.png())
        return path

    def png(self) -> bytes:
        """The bytes of a PNG that carries its record."""
        held = io.BytesIO()
        self.pil().save(held, format="PNG", pnginfo=chunks(self.record))
        return held.getvalue()

    def pil(self) -> PIL.Image.Image:
        """The same as a Pillow image."""
        return PIL.Image.fromarray(self.pixels[:, :, 0] if self.pixels.shape[2] == 1 else self.pixels)

    def _repr_png_(self) -> bytes | None:  # notebooks show it
        return self.pil()._repr_png_()

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over shape and pixels."""
        return hashlib.sha256(repr(self.pixels.shape).encode() + self.pixels.tobytes()).hexdigest()[:16]

    @staticmethod
    def to_tensor(images: Sequence[Image], size: int, channels: int) -> Tensor:
        """[B,C,size,size] in [-1,1], cropped and scaled as training data is."""
        import torch

        from reverie.data.images.decode import fit

        pixels = np.stack([fit(image.pil(), size, channels) for image in images])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1

    @staticmethod
    def from_tensor(x: Tensor) -> Iterator[Image]:
        """One Image a row of x [B,C,H,W]; values are clamped to [-1,1] and rounded to the nearest of 256 levels."""
        import torch

        levels = ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        for pixels in levels.permute(0, 2, 3, 1).cpu().numpy():
            yield Image(np.ascontiguousarray(pixels))


def image_grid(images: Sequence[Image], columns: int = 0, gap: int = 2) -> Image:
    """A contact sheet: rows of pictures of one size on a grey ground, `gap` pixels apart."""
    columns = columns or images[0].columns or math.ceil(math.sqrt(len(images)))
    height, width, channels = images[0].pixels.shape
    rows = math.ceil(len(images) / columns)
    ground = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 128, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        ground[top : top + height, left : left + width] = image.pixels
    record = images[0].record
    if record is None:
        return Image(ground)
    layout = {"images": len(images), "columns": columns, "gap": gap, "first": record.get("index", 0)}
    if len(images[0].inputs) == 1:  # each was made from a picture of its own
        record = {**record, "inputs": [source for image in images for source in image.inputs]}
    if images[0].prediction:
        record = {**record, "predictions": [image.prediction for image in images]}
    return Image(ground, record={**record, "grid": layout})


def comparison_grid(upper: Sequence[Image], lower: Sequence[Image], columns: int = 8) -> Image:
    """A sheet of rows of pictures, each with its counterpart under it."""
    rows: list[Image] = []
    for start in range(0, len(upper), columns):
        rows += [*upper[start : start + columns], *lower[start : start + columns]]
    return image_grid(rows, min(columns, len(upper)))
