"""A photograph as it is in its file: any size, 8 or 16 bits a channel, with its alpha channel and colour profile.

Training images are cropped to a square, resized and laid on white. A photograph that a user wants restored or
translated keeps its size, bit depth and alpha instead.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import PIL.Image

from reverie.data.file_types import SUFFIXES, InvalidFile, quiet_pillow, reason_of
from reverie.data.images import decode
from reverie.data.images.conversion import LUMA, Levels
from reverie.media.image import Image, image_grid
from reverie.media.item import Item
from reverie.media.metadata import png_text_chunks
from reverie.media.photo_file import as_deep_grey_alpha, opencv, png_chunk, read_photo, with_palette
from reverie.utils.atomic_files import replace_bytes
from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

SIGNATURE_AND_HEADER = 33
"""length in bytes of what comes before all other chunks of a PNG"""


@dataclass(frozen=True, eq=False, repr=False)
class Photo(Item):
    """One photograph: uint8 or uint16 [H,W,C] with C = 1 (grey) or 3 (RGB), and perhaps alpha [H,W] of that dtype."""

    NOUN: ClassVar = "image"
    INPUT_SUFFIXES: ClassVar = SUFFIXES
    SUFFIX: ClassVar = ".png"
    LAZY: ClassVar = True
    COMBINED_WRITERS: ClassVar = {".png": lambda photos, path: photo_grid(photos).save(path)}

    pixels: np.ndarray
    """[H,W,C] in 0..max_level"""
    alpha: np.ndarray | None = None
    """[H,W] in 0..max_level, 0 transparent; None: opaque"""
    name: str = ""
    """name of the file that it was read from, without folders; "" if there is none"""
    profile: bytes | None = None
    """ICC profile of the colours; None if the file has none, which usually means sRGB"""
    white: int = 0
    """the level of white, such as 4095 in 16-bit files of 12 bits; 0: the largest of the dtype"""
    table: bytes | None = None
    """RGB of the palette of its file, of a label map whose colours are all in there; None: a file without one"""
    ground: int = 255
    """grey level of 255 that a network sees where alpha is 0"""

    @classmethod
    def check(cls, path: Path) -> str:
        """Look at the header only; what a user should know about it. Raises UserError if it cannot be used."""
        header = decode.read_header(_read_bytes(path))
        if header.fault:
            raise UserError(f"{path} is not a usable image ({reason_of(header.fault, path.name)}); give another.")
        return f"{path} has several frames or pages: the first is taken" if header.animated else ""

    @classmethod
    def load(cls, path: str | Path) -> Photo:
        """Read an image file in its own size and depth; upright, CMYK and palettes as RGB.

        16 bits a channel in colour need OpenCV (the extra `photos`). Raises UserError if the file cannot be read, is
        not a usable image, or needs OpenCV where it is not installed.
        """
        return cls.read(_read_bytes(path), str(path))

    @classmethod
    def read(cls, data: bytes, place: str = "the input") -> Photo:
        """As `load`, from the bytes of an image file; `place` is its path, or what error messages call it."""
        try:
            with quiet_pillow():
                pixels, alpha, profile = read_photo(data, place)
        except InvalidFile as invalid:
            reason = reason_of(str(invalid), place)
            raise UserError(f"{place} is not a usable image ({reason}); give another.") from None
        except (UserError, MemoryError):
            raise
        except Exception as error:  # hostile bytes make Pillow's plugins raise almost anything
            reason = str(decode.as_invalid_file(error))
            raise UserError(f"{place} is not a usable image ({reason}); give another.") from None
        return cls(pixels, alpha, Path(place).name, profile)

    @property
    def max_level(self) -> int:
        """The level of white: by default 255 or 65535."""
        return self.white or int(np.iinfo(self.pixels.dtype).max)

    def with_levels(self, levels: Levels) -> Photo:
        """A copy whose values are read, and whose results are written, by the rule of a set."""
        black, white = levels.integer if self.pixels.dtype == np.uint16 else (0, levels.byte_white)
        return replace(self, white=int(white) if black == 0 and white <= 65535 else 0, ground=levels.background)

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over shape, pixels and alpha; without alpha and of 8 bits, equal to Image.digest."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode() + self.pixels.tobytes())
        if self.alpha is not None:
            digest.update(self.alpha.tobytes())
        return digest.hexdigest()[:16]

    def to_tensor(self, channels: int) -> Tensor:
        """float32 [1,channels,H,W] in [-1,1]: colour becomes grey by its luminance (BT.601), grey is repeated."""
        import torch

        pixels = self.pixels
        if self.alpha is not None and not self.alpha.all():  # what is invisible may be of any colour
            pixels = np.where(self.alpha[:, :, None], pixels, round(self.ground / 255 * self.max_level))
        if channels == 1 and pixels.shape[2] == 3:
            pixels = (pixels @ np.array(LUMA, np.float32))[:, :, None]
        x = torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).permute(2, 0, 1)[None]
        x = x.div_(self.max_level).mul_(2).sub_(1)  # in place: of 12 megapixels, a copy is 144 MB
        return (x.clamp_(-1, 1) if self.white else x).expand(1, channels, -1, -1)

    def with_pixels(self, x: Tensor, alpha: np.ndarray | None = None) -> Photo:
        """A photograph of the output x [C,H,W] in [-1,1] of a network that this one was the input of.

        It has the bit depth of this one; its alpha too if the size is the same, its profile if C is the same.

        alpha: [H,W] of its dtype, in place of that of this one
        """
        pixels = np.empty((*x.shape[1:], x.shape[0]), self.pixels.dtype)
        for k, plane in enumerate(x):  # one after another: of 48 megapixels, float32 in all channels is 576 MB
            levels = plane.float().clamp(-1, 1).add_(1).mul_(self.max_level / 2).round_()
            pixels[:, :, k] = levels.cpu().numpy().astype(pixels.dtype)
        alpha = self.alpha if alpha is None else alpha
        alpha = alpha if alpha is not None and alpha.shape == pixels.shape[:2] else None
        profile = self.profile if pixels.shape[2] == self.pixels.shape[2] else None  # a grey profile does not fit RGB
        made = Photo(pixels, alpha, profile=profile, white=self.white, ground=self.ground)
        return made.made_from(self)

    def with_labels(self, pixels: np.ndarray, table: bytes | None) -> Photo:
        """A label map that a network made of this photograph: uint8 or uint16 [H,W,1 or 3].

        table: RGB of the palette that its file is to have; None: ids or colours as they are
        """
        return Photo(pixels, table=table).made_from(self)

    def image(self) -> Image:
        """As an 8-bit Image without alpha, for grids and reports."""
        pixels = self.pixels
        if self.white:
            pixels = (pixels.astype(np.float32) * (255 / self.white) + 0.5).clip(0, 255).astype(np.uint8)
        elif pixels.dtype != np.uint8:
            pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)  # in 16 bits white would overflow
        return Image(pixels, self.name, record=self.record, inputs=self.inputs, folder=self.folder)

    def alpha_in_8_bits(self) -> np.ndarray | None:
        """uint8 [H,W], 0 transparent; None: opaque."""
        if self.alpha is None or self.alpha.dtype == np.uint8:
            return self.alpha
        return ((self.alpha.astype(np.uint32) + 128) // 257).astype(np.uint8)

    @property
    def pil(self) -> PIL.Image.Image:
        """As a Pillow image of 8 bits without alpha, mode L or RGB."""
        return self.image().pil

    @property
    def summary(self) -> str:
        height, width, channels = self.pixels.shape
        deep = ", 16 bits" if self.pixels.dtype == np.uint16 else ""
        return (
            f"{width} x {height}{' grey' if channels == 1 else ''}{deep}{', alpha' if self.alpha is not None else ''}"
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.pixels if dtype is None else self.pixels.astype(dtype)

    def numpy(self) -> np.ndarray:
        """The pixels without alpha, uint8 or uint16 [H,W,C], a copy."""
        return self.pixels.copy()

    def save(self, path: str | Path) -> Path:
        """Write a PNG that carries the record, and return its path; missing folders are made.

        Raises UserError on another suffix than .png, because other formats would lose the record.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise UserError(f"cannot write {path}: generated images are PNG files; name it {path.stem}.png.")
        replace_bytes(path, self.png())
        return path

    def png(self) -> bytes:
        """The bytes of a PNG that carries the record and the colour profile."""
        planes = self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])
        planes = planes[:, :, 0] if planes.shape[2] == 1 else planes
        two_deep = planes.dtype == np.uint16 and planes.ndim == 3 and planes.shape[2] == 2
        if planes.dtype == np.uint8 or planes.ndim == 2 or two_deep:
            buffer = io.BytesIO()
            image = PIL.Image.fromarray(planes.astype(">u2").view(np.uint8) if two_deep else planes)
            if self.table:
                image = with_palette(self.pixels, self.table)
            image.save(buffer, format="PNG", pnginfo=png_text_chunks(self.record), icc_profile=self.profile)
            return as_deep_grey_alpha(buffer.getvalue()) if two_deep else buffer.getvalue()
        return self._png_by_opencv(planes)  # Pillow writes 16 bits in one channel only

    def _png_by_opencv(self, planes: np.ndarray) -> bytes:
        """A PNG of uint16 [H,W,3 or 4], RGB with alpha or without."""
        bgr = np.ascontiguousarray(planes[:, :, [2, 1, 0, 3][: planes.shape[2]]])
        data = opencv(self.name or "the image").imencode(".png", bgr)[1].tobytes()
        metadata = b"".join(png_chunk(chunk[0], chunk[1]) for chunk in png_text_chunks(self.record).chunks)
        if self.profile:
            metadata += png_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(self.profile))
        return data[:SIGNATURE_AND_HEADER] + metadata + data[SIGNATURE_AND_HEADER:]

    def _repr_png_(self) -> bytes:  # how notebooks show it
        return self.png()


def photo_grid(photos: Sequence[Photo], columns: int = 0, gap: int = 2) -> Image:
    """An image grid (see `image_grid`) of photographs of one size. Raises UserError if the sizes differ."""
    images = [photo.image() for photo in photos]
    for image in images:
        if image.pixels.shape != images[0].pixels.shape:
            name = image.inputs[0]["name"] if image.inputs else "one image"
            raise UserError(
                f"{name} has another size than the first, and a grid takes images of one size; give --out a folder."
            )
    return image_grid(images, columns, gap)


def _read_bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the path of an image.") from None
