"""From the bytes of one image file to a square of uint8 pixels, or to the reason why not.

What becomes of each kind of file:

* JPEG (MPO too), PNG, WebP, BMP, TIFF, GIF and PNM are read; of an animation or many pages, the first.
* 1-bit, grey, palette, RGB and YCbCr are taken as they are; CMYK becomes RGB.
* Alpha, also that of a palette or of one transparent colour, is laid on white.
* 16-bit grey is scaled, 65535 becoming 255; 32-bit integers likewise if they are in 0..65535.
* Float is scaled from 0..1, or kept if it is in 0..255; anything else is dropped.
* EXIF orientation is applied. The centre square is cropped, then resized by Lanczos with antialiasing, up or
  down; a square that has the size already is not resampled.

Dropped, each with its reason: empty files, files that are not images despite their suffix, truncated ones, those of
more than 100 megapixels by their header (never decoded), those with a side under 4 pixels.
"""

import hashlib
import io
import re
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from reverie.data.file_types import InvalidFile, UnreadableFile

VERSION = 1  # part of every cache key: raise it whenever the same bytes would give other pixels
HEADER_VERSION = 4  # kept with every scan: raise it whenever the same bytes would give another ImageHeader
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")  # Pillow opens MPO as JPEG
_DEEP_PPM = re.compile(rb"P6\s+(?:#[^\n]*\n\s*)*\d+\s+(?:#[^\n]*\n\s*)*\d+\s+(?:#[^\n]*\n\s*)*65535\s")
MAX_PIXELS = 100_000_000
MIN_SIDE = 4
FILTER = Image.Resampling.LANCZOS
LUMA = (0.299, 0.587, 0.114)  # shares of red, green and blue in the luminance (ITU-R BT.601), as Pillow has them

Image.init()  # Pillow loads its plugins at first need, which two threads at once would get wrong

_MAGIC = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"GIF8")  # how files of these formats begin
_GREY = frozenset(("1", "L", "LA", "La", "I", "F"))
_COLOUR = frozenset(("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"))
_ORIENTATION = 0x0112  # the EXIF tag
_LATE_ORIENTATION = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")  # of PNG: may hold the orientation
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS = 256, 257, 258  # TIFF tags
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
                grey=_is_grey(image),
                orientation=_orientation(image, data),  # last, since it may decode
            )
    except InvalidFile as invalid:
        return ImageHeader(sha, fault=str(invalid))
    except MemoryError:
        return ImageHeader("", fault=_NO_MEMORY)  # without a hash, like a file that cannot be read
    except Exception as error:  # hostile bytes make Pillow's plugins raise almost anything
        return ImageHeader(sha, fault=str(as_invalid_file(error)))


def decode(data: bytes, size: int, channels: int) -> np.ndarray:
    """The centre square of an image file's bytes as uint8 [size,size,channels]; channels is 1 or 3.

    Raises InvalidFile with the reason if the bytes are not a usable image.
    """
    try:
        with open_image(data) as image:
            if image.format in ("JPEG", "MPO"):
                # libjpeg scales by powers of two while decoding, which is ten times faster for large photographs; at
                # least twice the final side is left to Lanczos, so the result is the same within one or two levels
                image.draft(image.mode, (2 * size, 2 * size))
            image.load()
            return fit(ImageOps.exif_transpose(image), size, channels)
    except InvalidFile:
        raise
    except Exception as error:
        raise as_invalid_file(error) from None


def fit(image: Image.Image, size: int, channels: int) -> np.ndarray:
    """The centre square of a decoded image, resized to uint8 [size,size,channels].

    Raises InvalidFile if float or 32-bit values are out of range.
    """
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    if image.width != image.height:
        image = image.crop((left, top, left + short, top + short))
    image = to_8bit(image, channels)
    if short != size:
        image = image.resize((size, size), FILTER)
    return np.asarray(image, np.uint8).reshape(size, size, channels)


def open_image(data: bytes) -> Image.Image:
    """The image, its header checked, its pixels not decoded yet. Raises InvalidFile."""
    if not data:
        raise InvalidFile("empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        known = data.startswith(_MAGIC)
        raise InvalidFile(
            "damaged header, or a kind not supported" if known else "not an image, despite its suffix"
        ) from None
    except Image.DecompressionBombError:
        raise InvalidFile("more than 100 megapixels") from None
    if image.width * image.height > MAX_PIXELS:
        raise InvalidFile(f"more than 100 megapixels: {image.width} x {image.height}")
    if min(image.size) < MIN_SIDE:
        raise InvalidFile(f"smaller than {MIN_SIDE} pixels on a side: {min(image.size)}-pixel image")
    if image.mode not in _GREY | _COLOUR and not image.mode.startswith("I;16"):
        raise InvalidFile(f"colour mode not supported: {image.mode}")
    return image


def to_8bit(image: Image.Image, channels: int) -> Image.Image:
    """An image of any mode as 8-bit L (channels 1) or RGB (channels 3), alpha laid on white.

    Raises InvalidFile if float or 32-bit values are out of range.
    """
    grey = _is_grey(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise InvalidFile(f"32-bit values outside 0..65535: from {values.min()} to {values.max()}")
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        image = _from_float(np.asarray(image))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if grey:  # before conversion to RGB, so that grey levels stay exactly as they are
        image = image.convert("L")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return image.convert("L" if channels == 1 else "RGB")


def _from_float(values: np.ndarray) -> Image.Image:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 255):  # written so that NaN is refused too
        raise InvalidFile(f"float values outside 0..1 and 0..255: from {low:g} to {high:g}")
    return Image.fromarray((values * (255 if high <= 1 else 1) + 0.5).astype(np.uint8))


def _is_grey(image: Image.Image) -> bool:
    """Whether the pixels can only be grey, by the header alone; with a palette, whether all its colours are grey."""
    if image.mode in ("P", "PA") and image.palette is not None:
        colours = np.frombuffer(image.palette.tobytes(), np.uint8)
        colours = colours[: len(colours) // 3 * 3].reshape(-1, 3) if image.palette.mode == "RGB" else colours[:0]
        return len(colours) > 0 and bool((colours == colours[:, :1]).all())
    return image.mode in _GREY or image.mode.startswith("I;16")


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as stored. For a TIFF with an orientation some versions of Pillow report them as turned."""
    tags: Any = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    return int(tags.get(_TIFF_WIDTH, image.width)), int(tags.get(_TIFF_HEIGHT, image.height))


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
        tags: Any = getattr(image, "tag_v2", {})
        bits = tags.get(_TIFF_BITS, 8)
        return int(max(bits)) if isinstance(bits, tuple) else int(bits)
    deep = image.format == "PPM" and _DEEP_PPM.match(data) is not None
    if image.mode.startswith("I;16") or deep:
        return 16
    return {"1": 1, "I": 16, "F": 32}.get(image.mode, 8)


def convert_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """uint8 [H,W,C] as uint8 [H,W,channels], 1 or 3: colour becomes grey by its luminance, grey is repeated."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, 2)
    return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]


def as_invalid_file(error: Exception) -> InvalidFile:
    """An exception of Pillow as an InvalidFile with a readable reason; truncated files are by far the most frequent."""
    if isinstance(error, MemoryError):
        return UnreadableFile(_NO_MEMORY)
    text = " ".join(str(error).split())[:80]
    truncated = any(word in text.lower() for word in ("truncated", "not enough", "unexpected end", "eof"))
    if truncated or isinstance(error, EOFError):
        return InvalidFile("truncated file")
    return InvalidFile(f"damaged file: {text or type(error).__name__}")


def read_full(data: bytes) -> np.ndarray:
    """All pixels of an image file, upright, as uint8 [H,W,C], C = 1 if it is grey, else 3.

    Raises InvalidFile with the reason if the bytes are not a usable image.
    """
    try:
        with open_image(data) as image:
            image.load()
            grey = _is_grey(image)
            image = to_8bit(ImageOps.exif_transpose(image), 1 if grey else 3)
            return np.asarray(image, np.uint8).reshape(image.height, image.width, 1 if grey else 3)
    except InvalidFile:
        raise
    except Exception as error:
        raise as_invalid_file(error) from None
