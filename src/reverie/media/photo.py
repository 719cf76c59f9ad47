"""A photograph as it is in its file: any size, 8 or 16 bits a channel, with its alpha channel and colour profile.

Training images are cropped to a square, resized and laid on white. A photograph that a user wants restored or
translated keeps its size, bit depth and alpha instead.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import PIL.Image
import PIL.ImageOps

from reverie.data.file_types import SUFFIXES, InvalidFile, quiet_pillow
from reverie.data.images import decode
from reverie.media.image import Image, image_grid
from reverie.media.item import Item
from reverie.media.metadata import png_text_chunks
from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

SIGNATURE_AND_HEADER = 33
"""length in bytes of what comes before all other chunks of a PNG"""


@dataclass(frozen=True, eq=False)
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

    @classmethod
    def check(cls, path: Path) -> None:
        """Look at the header only. Raises UserError if it shows that the file cannot be used."""
        if fault := decode.read_header(_read_bytes(path)).fault:
            raise UserError(f"{path} is not a usable image ({fault}); give another.")

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
                pixels, alpha, profile = _decode(data, place)
        except InvalidFile as invalid:
            raise UserError(f"{place} is not a usable image ({invalid}); give another.") from None
        except (UserError, MemoryError):
            raise
        except Exception as error:  # hostile bytes make Pillow's plugins raise almost anything
            reason = decode.as_invalid_file(error)
            raise UserError(f"{place} is not a usable image ({reason}); give another.") from None
        return cls(pixels, alpha, Path(place).name, profile)

    @property
    def max_level(self) -> int:
        """The level of white: 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)

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
        if channels == 1 and pixels.shape[2] == 3:
            pixels = (pixels @ np.array(decode.LUMA, np.float32))[:, :, None]
        x = torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).permute(2, 0, 1)[None]
        return (x / self.max_level * 2 - 1).expand(1, channels, -1, -1)

    def with_pixels(self, x: Tensor) -> Photo:
        """A photograph of the output x [C,H,W] in [-1,1] of a network that this one was the input of.

        It has the bit depth of this one; its alpha too if the size is the same, its profile if C is the same.
        """
        levels = ((x.float().clamp(-1, 1) + 1) * (self.max_level / 2)).round()
        pixels = np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy().astype(self.pixels.dtype))
        alpha = self.alpha if self.alpha is not None and self.alpha.shape == pixels.shape[:2] else None
        profile = self.profile if pixels.shape[2] == self.pixels.shape[2] else None  # a grey profile does not fit RGB
        return Photo(pixels, alpha, profile=profile, inputs=({"name": self.name, "digest": self.digest},))

    def image(self) -> Image:
        """As an 8-bit Image without alpha, for grids and reports."""
        pixels = self.pixels
        if pixels.dtype != np.uint8:
            pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)  # in 16 bits white would overflow
        return Image(pixels, self.name, record=self.record, inputs=self.inputs)

    def save(self, path: str | Path) -> Path:
        """Write a PNG that carries the record, and return its path; missing folders are made.

        Raises UserError on another suffix than .png, because other formats would lose the record.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise UserError(f"cannot write {path}: generated images are PNG files; name it {path.stem}.png.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.png())
        return path

    def png(self) -> bytes:
        """The bytes of a PNG that carries the record and the colour profile."""
        planes = self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])
        planes = planes[:, :, 0] if planes.shape[2] == 1 else planes
        if planes.dtype == np.uint8 or planes.ndim == 2:
            buffer = io.BytesIO()
            image = PIL.Image.fromarray(planes)
            image.save(buffer, format="PNG", pnginfo=png_text_chunks(self.record), icc_profile=self.profile)
            return buffer.getvalue()
        return self._png_by_opencv(planes)  # Pillow writes 16 bits in one channel only

    def _png_by_opencv(self, planes: np.ndarray) -> bytes:
        """A PNG of uint16 [H,W,2..4], grey or RGB with alpha or without."""
        if planes.shape[2] == 2:  # OpenCV does not write grey with alpha
            planes = np.dstack([planes[:, :, :1]] * 3 + [planes[:, :, 1:]])
        bgr = np.ascontiguousarray(planes[:, :, [2, 1, 0, 3][: planes.shape[2]]])
        data = _opencv(self.name or "the image").imencode(".png", bgr)[1].tobytes()
        metadata = b"".join(_png_chunk(chunk[0], chunk[1]) for chunk in png_text_chunks(self.record).chunks)
        if self.profile:
            metadata += _png_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(self.profile))
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


def _decode(data: bytes, place: str | Path) -> tuple[np.ndarray, np.ndarray | None, bytes | None]:
    """Pixels, alpha and colour profile of an image file's bytes. Raises InvalidFile, and what Pillow raises."""
    header = decode.read_header(data)
    if header.fault:
        raise InvalidFile(header.fault)
    with decode.open_image(data) as image:
        profile = None if image.mode == "CMYK" else image.info.get("icc_profile")  # CMYK becomes RGB
        if header.bits == 16 and not header.mode.startswith("I"):  # Pillow would silently keep 8 of them
            orientation = 1 if header.format == "TIFF" else header.orientation  # OpenCV turns a TIFF upright itself
            return *_decode_deep(data, place, orientation), profile
        image.load()
        return *_pixels(PIL.ImageOps.exif_transpose(image), header), profile


def _pixels(image: PIL.Image.Image, header: decode.ImageHeader) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of a decoded, upright image. Raises InvalidFile."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise InvalidFile(f"32-bit values outside 0..65535: from {levels.min()} to {levels.max()}")
        clear = image.info.get("transparency")  # the one level that is transparent
        alpha = np.where(levels == clear, 0, 65535).astype(np.uint16) if isinstance(clear, int) else None
        return levels.astype(np.uint16)[:, :, None], alpha
    channels = 1 if header.grey else 3
    if image.has_transparency_data:
        planes = np.array(image.convert("LA" if header.grey else "RGBA"))
        return np.ascontiguousarray(planes[:, :, :channels]), np.ascontiguousarray(planes[:, :, -1])
    return np.array(decode.to_8bit(image, channels)).reshape(image.height, image.width, channels), None


def _decode_deep(data: bytes, place: str | Path, orientation: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of 16 bits a channel in colour, by OpenCV, turned by an EXIF orientation."""
    cv2 = _opencv(place)
    planes = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # [H,W] or [H,W,C], BGR
    if planes is None or planes.dtype != np.uint16:
        raise InvalidFile("16 bits a channel in a form that is not supported")
    planes = planes[:, :, None] if planes.ndim == 2 else planes
    mirrored, quarter_turns = _TURNS.get(orientation, (False, 0))
    planes = np.rot90(planes[:, ::-1] if mirrored else planes, quarter_turns)
    alpha = np.ascontiguousarray(planes[:, :, -1]) if planes.shape[2] in (2, 4) else None
    colour = planes[:, :, :1] if planes.shape[2] < 3 else planes[:, :, 2::-1]
    return np.ascontiguousarray(colour), alpha


_TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)}
"""EXIF orientation -> (whether mirrored left to right, then the number of quarter turns to the left)"""


def _opencv(place: str | Path) -> ModuleType:
    try:
        import cv2  # type: ignore[import-not-found,unused-ignore]  # an extra
    except ImportError:
        raise UserError(
            f"{place} has 16 bits a channel in colour, which needs OpenCV: pip install 'reverie[photos]'."
        ) from None
    return cv2


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG (ISO 15948, section 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
