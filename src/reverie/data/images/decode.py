"""From the bytes of one image file to a square of uint8 pixels, or to the reason why not.

What becomes of each kind of file:

* JPEG (MPO too), PNG, WebP, AVIF, JPEG 2000, BMP, TIFF, GIF, QOI and PNM are read; of an animation or many pages, the
  first. HEIC, RAW, PSD, SVG and other kinds are named, with how to convert them (`reverie.data.file_types`).
* 1-bit, grey, palette, RGB and YCbCr are taken as they are; CMYK becomes RGB.
* 16 and 32 bits, float and alpha are converted by one rule for a whole set (`reverie.data.images.levels`). A file
  alone is converted by its container: 65535 becomes 255, float is in 0..1 or 0..255, alpha is laid on white.
* EXIF orientation is applied. The centre square is cropped, then resized by Lanczos with antialiasing, up or
  down; a square that has the size already is not resampled.

Dropped, each with its reason: empty files, files that are not images despite their suffix, truncated ones, those of
more than 100 megapixels by their header (never decoded; WebP and AVIF: 50, JPEG 2000: 66), those with a side under
4 pixels. So what a file decodes to takes 400 MB at most, that of one huge image at a time; conversions add little.
"""

import contextlib
import hashlib
import io
import re
import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from reverie.data.file_types import NOT_AN_IMAGE, InvalidFile, UnreadableFile, kind_by_bytes
from reverie.data.images import tiff
from reverie.data.images.conversion import (
    COLOUR_MODES,
    DEFAULT,
    GREY_MODES,
    HUGE_PIXELS,
    ZERO_IS_WHITE,
    Levels,
    centre_square,
    is_grey,
    to_array,
)

VERSION = 2  # part of every cache key: raise it whenever the same bytes would give other pixels
HEADER_VERSION = 7  # kept with every scan: raise it whenever the same bytes would give another ImageHeader
GENERATED = "trainedAlgorithmicMedia"  # of IPTC's digital source types
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000", "QOI")  # MPO is read as JPEG
_DEEP_PPM = re.compile(rb"P6\s+(?:#[^\n]*\n\s*)*\d+\s+(?:#[^\n]*\n\s*)*\d+\s+(?:#[^\n]*\n\s*)*65535\s")
MAX_PIXELS = 100_000_000
MAX_MEMORY = 800_000_000
"""bytes that decoding may take, in formats whose decoders hold several copies of an image"""
MIN_SIDE = 4
Image.init()  # Pillow loads its plugins at first need, which two threads at once would get wrong

_MAGIC = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"GIF8")  # how files of these formats begin
_ORIENTATION = 0x0112  # the EXIF tag
_LATE_ORIENTATION = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")  # of PNG: may hold the orientation
_COPIES = {"WEBP": 4, "AVIF": 4, "JPEG2000": 3}  # of an image that their decoders hold
_ALONE = threading.Lock()  # held while a huge image is decoded, which takes up to 400 MB
_NO_MEMORY = "not enough memory"


class ImageHeader(NamedTuple):
    """What the header of one image file says, and the SHA-256 of all its bytes."""

    sha: str
    """64 hex digits; "" if the file could not be read"""
    format: str = ""
    """as Pillow names it, such as "JPEG" (MPO counts as JPEG)"""
    mode: str = ""
    """Pillow's colour mode as stored, such as "P" for a palette"""
    width: int = 0
    """pixels, as stored: before the orientation is applied"""
    height: int = 0
    bits: int = 8
    """bits per channel"""
    orientation: int = 1
    """EXIF orientation, 1 (upright) to 8; above 4 width and height change places"""
    animated: bool = False
    """whether there are several frames or pages"""
    alpha: bool = False
    grey: bool = False
    """whether the pixels can only be grey"""
    fault: str = ""
    """why the file cannot be used; "" if it can, as far as the header shows"""
    generated: bool = False
    """whether its metadata say that a trained model made it"""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the upright image: once the orientation is applied."""
        return (self.width, self.height) if self.orientation > 4 else (self.height, self.width)


def read_header(data: bytes) -> ImageHeader:
    """The header of an image file's bytes. It never raises for their content: see `ImageHeader.fault`.

    Nothing is decoded, except a PNG whose orientation is stored after its pixels.
    """
    sha = hashlib.sha256(data).hexdigest()
    try:
        with open_image(data) as image:
            width, height = _stored_size(image)
            return ImageHeader(
                sha=sha,
                format="JPEG" if image.format == "MPO" else image.format or "",
                mode=image.mode,
                width=width,
                height=height,
                bits=_bits(image, data),
                # a phone's JPEG with an embedded preview is an MPO of two frames, not an animation
                animated=image.format != "MPO" and bool(getattr(image, "is_animated", False)),
                alpha=image.has_transparency_data,
                grey=is_grey(image),
                generated=_is_generated(image),
                orientation=_orientation(image, data),  # last, since it may decode
            )
    except InvalidFile as invalid:
        return ImageHeader(sha, fault=str(invalid))
    except MemoryError:
        return ImageHeader("", fault=_NO_MEMORY)  # without a hash, like a file that cannot be read
    except Exception as error:  # hostile bytes make Pillow's plugins raise almost anything
        return ImageHeader(sha, fault=str(as_invalid_file(error)))


def _is_generated(image: Image.Image) -> bool:
    """Whether an image carries IPTC's mark of what trained models make, as those of this program and others do."""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    return GENERATED in (xmp if isinstance(xmp, str) else bytes(xmp).decode("latin-1"))


def decode(data: bytes, size: int, channels: int, levels: Levels = DEFAULT) -> np.ndarray:
    """The centre square of an image file's bytes as uint8 [size,size,channels]; channels is 1 or 3.

    Raises InvalidFile with the reason if the bytes are not a usable image.
    """
    with _decoded(data, 2 * size) as image:
        return fit(image, size, channels, levels)


def fit(image: Image.Image, size: int, channels: int, levels: Levels = DEFAULT) -> np.ndarray:
    """The centre square of a decoded image, resized to uint8 [size,size,channels].

    Raises InvalidFile if float or 32-bit values are out of range.
    """
    return np.asarray(centre_square(image, size, channels, levels), np.uint8).reshape(size, size, channels)


def read_full(data: bytes, levels: Levels = DEFAULT) -> np.ndarray:
    """All pixels of an image file, upright, as uint8 [H,W,C], C = 1 if it is grey, else 3.

    Raises InvalidFile with the reason if the bytes are not a usable image.
    """
    with _decoded(data) as image:
        return to_array(image, 1 if is_grey(image) else 3, levels)


def load_upright(data: bytes) -> Image.Image:
    """The image of a file's bytes, decoded, turned by its EXIF orientation, in its own mode.

    Raises InvalidFile with the reason if the bytes are not a usable image.
    """
    with _decoded(data) as image:
        return image


@contextlib.contextmanager
def _decoded(data: bytes, side: int = 0) -> Iterator[Image.Image]:
    """An image, decoded and upright, in its own mode. One that is huge is held alone, whatever other threads do.

    side: pixels that the shorter side needs at least; 0: all there are

    Raises InvalidFile, also for what Pillow raises within the block.
    """
    try:
        with open_image(data) as image:
            if side and image.format in ("JPEG", "MPO"):
                # libjpeg scales by powers of two while decoding, which is ten times faster for large photographs; at
                # least twice the final side is left to Lanczos, so the result is the same within one or two levels
                image.draft(image.mode, (side, side))
            with _ALONE if image.width * image.height > HUGE_PIXELS else contextlib.nullcontext():
                yield _loaded(image, data)
    except InvalidFile:
        raise
    except Exception as error:  # hostile bytes make Pillow's plugins raise almost anything
        raise as_invalid_file(error) from None


def _loaded(image: Image.Image, data: bytes) -> Image.Image:
    """An open image decoded, and turned upright."""
    if tiff.is_deep_planar(image) and image.tile[0][0] == "raw":  # type: ignore[attr-defined]  # of files
        return tiff.in_8_bits(image, data)
    image.load()
    if tiff.tags_of(image).get(tiff.PHOTOMETRIC) == 0:
        image.info[ZERO_IS_WHITE] = True
    ImageOps.exif_transpose(image, in_place=True)
    return image


def open_image(data: bytes) -> Image.Image:
    """The image, its header checked, its pixels not decoded yet. Raises InvalidFile."""
    if not data:
        raise InvalidFile("empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if other := kind_by_bytes(data):
            raise InvalidFile(other) from None
        if not data.startswith(_MAGIC):
            raise InvalidFile(NOT_AN_IMAGE) from None
        raise InvalidFile(tiff.unread_kind_of_tiff(data) or "damaged header, or a kind not supported") from None
    except Image.DecompressionBombError:
        raise InvalidFile("more than 100 megapixels") from None
    copies = _COPIES.get(image.format or "", 1)
    if image.width * image.height * 4 * copies > MAX_MEMORY and copies > 1:
        raise InvalidFile(f"takes more than {MAX_MEMORY // 10**6} MB to decode: {image.width} x {image.height}")
    if image.width * image.height > MAX_PIXELS:
        raise InvalidFile(f"more than 100 megapixels: {image.width} x {image.height}")
    if min(image.size) < MIN_SIDE:
        raise InvalidFile(f"smaller than {MIN_SIDE} pixels on a side: {min(image.size)}-pixel image")
    if image.mode not in GREY_MODES | COLOUR_MODES and not image.mode.startswith("I;16"):
        raise InvalidFile(f"colour mode not supported: {image.mode}; {tiff.TO_PNG}")
    return image


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as stored. For a TIFF with an orientation some versions of Pillow report them as turned."""
    tags = tiff.tags_of(image)
    return int(tags.get(tiff.WIDTH, image.width)), int(tags.get(tiff.HEIGHT, image.height))


def _orientation(image: Image.Image, data: bytes) -> int:
    """The orientation that Pillow will apply: from EXIF, from the older form of it in PNGs, or from XMP."""
    try:
        if image.format == "PNG":
            # image.getexif() would decode every PNG completely, to look for chunks after the pixels
            pixels = data.find(b"IDAT")
            if any(data.find(key, pixels) >= 0 for key in _LATE_ORIENTATION):
                image.load()
            found = Image.Image.getexif(image).get(_ORIENTATION, 1)
        else:
            found = image.getexif().get(_ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception:  # damaged EXIF does not make the pixels unusable
        return 1
    return int(found) if found in range(1, 9) else 1  # other values are undefined


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits per channel as stored in the file."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits = tiff.tags_of(image).get(tiff.BITS, 8)
        return int(max(bits)) if isinstance(bits, tuple) else int(bits)
    deep = image.format == "PPM" and _DEEP_PPM.match(data) is not None
    if image.mode.startswith("I;16") or deep:
        return 16
    return {"1": 1, "I": 16, "F": 32}.get(image.mode, 8)


def as_invalid_file(error: Exception) -> InvalidFile:
    """An exception of Pillow as an InvalidFile with a readable reason; truncated files are by far the most frequent."""
    if isinstance(error, MemoryError):
        return UnreadableFile(_NO_MEMORY)
    text = " ".join(str(error).split())[:80]
    truncated = any(word in text.lower() for word in ("truncated", "not enough", "unexpected end", "eof"))
    if truncated or isinstance(error, EOFError):
        return InvalidFile("truncated file")
    return InvalidFile(f"damaged file: {text or type(error).__name__}")
