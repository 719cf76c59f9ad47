"""A photograph as it is in its file: any size, 8 or 16 bits, with its transparency.

Where pictures for learning are cut square, made small and laid on white, what a user hands over to be restored or
translated comes back in its own size and depth, its alpha untouched.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
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
from reverie.media.metadata import chunks
from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

SIGNATURE_AND_HEADER = 33
"""bytes of a PNG that come before all other chunks"""


@dataclass(frozen=True, eq=False)
class Photo(Item):
    """One photograph: uint8 or uint16 [H,W,C] with C = 1 (grey) or 3 (RGB), and alpha [H,W] of that kind or None."""

    NOUN: ClassVar = "picture"
    INPUT_SUFFIXES: ClassVar = SUFFIXES
    SUFFIX: ClassVar = ".png"
    LAZY: ClassVar = True
    COMBINED_WRITERS: ClassVar = {".png": lambda photos, path: photo_grid(photos).save(path)}

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    name: str = ""
    """the file it came from"""
    profile: bytes | None = None
    """what its colours mean, as an ICC profile; None: sRGB, as a rule"""

    @classmethod
    def check(cls, path: Path) -> None:
        """Raises UserError if the header shows that a file cannot be used."""
        if fault := decode.read_header(_bytes(path)).fault:
            raise UserError(f"{path} is no usable picture ({fault}); give another.")

    @classmethod
    def load(cls, path: str | Path) -> Photo:
        """Reads a picture file as it is; upright, CMYK and palettes as RGB. Raises UserError."""
        return cls.read(_bytes(path), str(path))

    @classmethod
    def read(cls, data: bytes, place: str = "it") -> Photo:
        """Reads the bytes of a picture file; place: where they come from. Raises UserError."""
        try:
            with quiet_pillow():
                pixels, alpha, profile = _read(data, place)
        except InvalidFile as unfit:
            raise UserError(f"{place} is no usable picture ({unfit}); give another.") from None
        except (UserError, MemoryError):
            raise
        except Exception as error:  # hostile bytes make Pillow's plugins raise almost anything
            raise UserError(f"{place} is no usable picture ({decode.as_invalid_file(error)}); give another.") from None
        return cls(pixels, alpha, Path(place).name, profile)

    @property
    def full(self) -> int:
        """The largest level: 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over shape, depth, pixels and alpha; of 8 bits without alpha, as an Image's."""
        told = hashlib.sha256(repr(self.pixels.shape).encode() + self.pixels.tobytes())
        if self.alpha is not None:
            told.update(self.alpha.tobytes())
        return told.hexdigest()[:16]

    def to_tensor(self, channels: int) -> Tensor:
        """[1,C,H,W] in [-1,1] with C = `channels`: colour is made grey by its luminance, grey is repeated."""
        import torch

        pixels = self.pixels
        if channels == 1 and pixels.shape[2] == 3:
            pixels = (pixels @ np.array(decode.LUMA, np.float32))[:, :, None]
        x = torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).permute(2, 0, 1)[None]
        return (x / self.full * 2 - 1).expand(1, channels, -1, -1)

    def with_pixels(self, x: Tensor) -> Photo:
        """What a network made of it, x [C,H,W] in [-1,1], in its own depth and colour space and, if the size is the
        same, with its alpha."""
        levels = ((x.float().clamp(-1, 1) + 1) * (self.full / 2)).round()
        pixels = np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy().astype(self.pixels.dtype))
        alpha = self.alpha if self.alpha is not None and self.alpha.shape == pixels.shape[:2] else None
        profile = self.profile if pixels.shape[2] == self.pixels.shape[2] else None  # that of grey is none of colour
        return Photo(pixels, alpha, profile=profile, inputs=({"name": self.name, "digest": self.digest},))

    def image(self) -> Image:
        """As an 8-bit picture without alpha, for sheets and reports."""
        pixels = self.pixels
        if pixels.dtype != np.uint8:
            pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)  # in 16 bits white would turn over
        return Image(pixels, self.name, record=self.record, inputs=self.inputs)

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
        whole = self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])
        whole = whole[:, :, 0] if whole.shape[2] == 1 else whole
        if whole.dtype == np.uint8 or whole.ndim == 2:
            held = io.BytesIO()
            about = {"pnginfo": chunks(self.record), "icc_profile": self.profile}
            PIL.Image.fromarray(whole).save(held, format="PNG", **about)
            return held.getvalue()
        if whole.shape[2] == 2:  # OpenCV writes no grey with alpha
            whole = np.dstack([whole[:, :, :1]] * 3 + [whole[:, :, 1:]])
        order = [2, 1, 0, 3][: whole.shape[2]]
        data = _opencv(self.name or "it").imencode(".png", np.ascontiguousarray(whole[:, :, order]))[1].tobytes()
        told = b"".join(_chunk(chunk[0], chunk[1]) for chunk in chunks(self.record).chunks)
        if self.profile:
            told += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(self.profile))
        return data[:SIGNATURE_AND_HEADER] + told + data[SIGNATURE_AND_HEADER:]

    def _repr_png_(self) -> bytes:  # notebooks show it
        return self.png()


def photo_grid(photos: list[Photo], columns: int = 0, gap: int = 2) -> Image:
    """A sheet of photographs of one size. Raises UserError if they are of several."""
    images = [photo.image() for photo in photos]
    if odd := next((image for image in images if image.pixels.shape != images[0].pixels.shape), None):
        raise UserError(
            f"{odd.inputs[0]['name'] if odd.inputs else 'one picture'} is of another size than the first, and a sheet "
            "takes pictures of one size; give --out a folder."
        )
    return image_grid(images, columns, gap)


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a picture.") from None


def _read(data: bytes, place: str | Path) -> tuple[np.ndarray, np.ndarray | None, bytes | None]:
    """Pixels, alpha and colour profile of an image file's bytes. Raises InvalidFile, and what Pillow raises."""
    head = decode.read_header(data)
    if head.fault:
        raise InvalidFile(head.fault)
    with decode.open_image(data) as image:
        profile = None if image.mode == "CMYK" else image.info.get("icc_profile")  # CMYK becomes RGB
        if head.bits == 16 and not head.mode.startswith("I"):  # Pillow would keep 8 of them without a word
            return *_read_deep(data, place, 1 if head.format == "TIFF" else head.orientation), profile
        image.load()
        return *_pixels(PIL.ImageOps.exif_transpose(image), head), profile


def _pixels(image: PIL.Image.Image, head: decode.ImageHeader) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of an upright image."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise InvalidFile(f"32-bit values outside 0..65535: from {levels.min()} to {levels.max()}")
        clear = image.info.get("transparency")  # a level that stands for nothing
        alpha = np.where(levels == clear, 0, 65535).astype(np.uint16) if isinstance(clear, int) else None
        return levels.astype(np.uint16)[:, :, None], alpha
    channels = 1 if head.grey else 3
    if image.has_transparency_data:
        whole = np.array(image.convert("LA" if head.grey else "RGBA"))
        return np.ascontiguousarray(whole[:, :, :channels]), np.ascontiguousarray(whole[:, :, -1])
    return np.array(decode.to_8bit(image, channels)).reshape(image.height, image.width, channels), None


def _read_deep(data: bytes, place: str | Path, orientation: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha by OpenCV, which turns a TIFF upright itself, and nothing else."""
    cv2 = _opencv(place)
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16:
        raise InvalidFile("16 bits a channel in a form that is not supported")
    found = found[:, :, None] if found.ndim == 2 else found
    mirrored, turns = _TURNS.get(orientation, (False, 0))
    found = np.rot90(found[:, ::-1] if mirrored else found, turns)
    alpha = np.ascontiguousarray(found[:, :, -1]) if found.shape[2] in (2, 4) else None
    colour = found[:, :, :1] if found.shape[2] < 3 else found[:, :, 2::-1]
    return np.ascontiguousarray(colour), alpha


_TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)}
"""EXIF orientation -> (mirrored left to right, then quarter turns to the left)"""


def _opencv(place: str | Path) -> ModuleType:
    try:
        import cv2  # type: ignore[import-not-found,unused-ignore]  # an extra
    except ImportError:
        raise UserError(
            f"{place} has 16 bits a channel in colour, which takes OpenCV: pip install 'reverie[photos]'."
        ) from None
    return cv2


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG (ISO 15948, section 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
