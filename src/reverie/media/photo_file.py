"""The pixels of a photograph's file in its own size and depth, its alpha and its colour profile."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import PIL.Image

from reverie.data.file_types import InvalidFile
from reverie.data.images import conversion, decode, tiff
from reverie.utils.errors import UserError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_COLOUR_TYPE, GREY_WITH_ALPHA = 25, 4
"""where a PNG says what its channels are, and what it says of these"""
PIXEL_CHUNKS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
"""chunks of a PNG that its pixels depend on"""
_TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)}
"""EXIF orientation -> (whether mirrored left to right, then the number of quarter turns to the left)"""


class PhotoFile(NamedTuple):
    """What a file holds."""

    pixels: np.ndarray
    """uint8 or uint16 [H,W,C] with C = 1 (grey) or 3 (RGB)"""
    alpha: np.ndarray | None
    """[H,W] of that dtype"""
    profile: bytes | None
    """ICC profile"""


def read_photo(data: bytes, place: str | Path) -> PhotoFile:
    """What the bytes of an image file hold, upright.

    Raises InvalidFile, what Pillow raises, and UserError where OpenCV, for 16 bits a channel in colour, is missing.
    """
    header = decode.read_header(data)
    if header.fault:
        raise InvalidFile(header.fault)
    image = decode.load_upright(data)  # also where OpenCV decodes: it does not notice all damage before it takes memory
    icc = None if header.mode == "CMYK" else image.info.get("icc_profile")  # CMYK becomes RGB
    if header.bits == 16 and not header.mode.startswith("I"):  # Pillow keeps 8 of them, without a word
        width, height, mode = *image.size, image.mode
        del image  # before the same is decoded again
        if width * height * len(mode) * 2 > decode.MAX_MEMORY:
            raise InvalidFile(f"takes more than {decode.MAX_MEMORY // 10**6} MB to decode: {width} x {height}")
        pixels, alpha = _decode_deep(data, place, header)
        if sorted(pixels.shape[:2]) != sorted((width, height)):
            raise InvalidFile("damaged file: two decoders find two sizes")
    else:
        pixels, alpha = _planes(image, header)
    return PhotoFile(pixels, alpha, _fitting_profile(icc, pixels.shape[2]))


def _fitting_profile(profile: bytes | None, channels: int) -> bytes | None:
    """An ICC profile, but None for one of a colour space of other channels: PNG forbids a grey one on RGB, and RGB's
    tells nothing of grey."""
    space = profile[16:20] if profile else b""
    return profile if space == {1: b"GRAY", 3: b"RGB "}[channels] else None


def _planes(image: PIL.Image.Image, header: decode.ImageHeader) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of a decoded, upright image. Raises InvalidFile."""
    if conversion.is_deep(image.mode) and image.mode != "F":
        low, high = conversion.value_range(image)
        if low < 0 or high > 65535:
            raise InvalidFile(f"32-bit values outside 0..65535: from {low:.0f} to {high:.0f}")
        levels = np.empty((image.height, image.width, 1), np.uint16)
        for top, band in conversion.bands(image):
            levels[top : top + band.height, :, 0] = np.asarray(band)
        if image.info.get(conversion.ZERO_IS_WHITE):
            levels = 65535 - levels
        clear = image.info.get("transparency")  # the one level that is transparent
        alpha = np.where(levels[:, :, 0] == clear, 0, 65535).astype(np.uint16) if isinstance(clear, int) else None
        return levels, alpha
    channels = 1 if header.grey else 3
    if not image.has_transparency_data:
        return conversion.to_array(image, channels), None
    pixels = np.empty((image.height, image.width, channels), np.uint8)
    alpha = np.empty((image.height, image.width), np.uint8)
    for top, band in conversion.bands(image):
        planes = np.asarray(band.convert("LA" if header.grey else "RGBA"))
        pixels[top : top + band.height], alpha[top : top + band.height] = planes[:, :, :channels], planes[:, :, -1]
    return pixels, alpha


def _decode_deep(data: bytes, place: str | Path, header: decode.ImageHeader) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of 16 bits a channel in colour, or of grey with alpha, upright."""
    if header.mode == "CMYK":
        raise InvalidFile(f"CMYK of 16 bits a channel, which is not read; {tiff.TO_PNG}")
    with decode.open_image(data) as image:
        planar, premultiplied = tiff.is_deep_planar(image), tiff.has_premultiplied_alpha(image)
        tags = tiff.tags_of(image)
    if planar:
        planes = np.dstack([np.asarray(channel).astype(np.uint16) for channel in tiff.planar_channels(data, tags)])
    else:
        planes = _decode_by_opencv(data, place, 1 if tags else header.orientation)  # OpenCV turns TIFFs upright itself
    alpha = np.ascontiguousarray(planes[:, :, -1]) if planes.shape[2] in (2, 4) and header.alpha else None
    grey = planes.shape[2] < 3 or (data.startswith(PNG_SIGNATURE) and data[PNG_COLOUR_TYPE] == GREY_WITH_ALPHA)
    colour = np.ascontiguousarray(planes[:, :, : 1 if grey else 3])
    if premultiplied and alpha is not None:
        for k in range(colour.shape[2]):  # one after another, for the sake of memory
            product = colour[:, :, k].astype(np.uint64) * 65535
            share = np.maximum(alpha, 1).astype(np.uint64)
            colour[:, :, k] = np.minimum((product + share // 2) // share, 65535)
    return colour, alpha


def _decode_by_opencv(data: bytes, place: str | Path, orientation: int) -> np.ndarray:
    """uint16 [H,W,1..4], grey or RGB and perhaps alpha, turned by an EXIF orientation. Raises InvalidFile."""
    cv2 = opencv(place)
    log = cv2.utils.logging  # it would say on stderr what is said in one line below
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        planes = cv2.imdecode(np.frombuffer(_pixels_only(data), np.uint8), cv2.IMREAD_UNCHANGED)  # [H,W] or BGR
    except cv2.error:
        planes = None
    finally:
        log.setLogLevel(level)
    if planes is None or planes.dtype != np.uint16:
        raise InvalidFile(f"16 bits a channel in a form that is not supported; {tiff.TO_PNG}")
    planes = planes[:, :, None] if planes.ndim == 2 else planes
    mirrored, quarter_turns = _TURNS.get(orientation, (False, 0))
    planes = np.rot90(planes[:, ::-1] if mirrored else planes, quarter_turns)
    return planes if planes.shape[2] < 3 else planes[:, :, [2, 1, 0, 3][: planes.shape[2]]]


def _pixels_only(data: bytes) -> bytes:
    """A PNG without the chunks that its pixels do not depend on: damage in these made OpenCV take gigabytes.

    Other formats are returned as they are.
    """
    if not data.startswith(PNG_SIGNATURE):
        return data
    return PNG_SIGNATURE + b"".join(png_chunk(kind, body) for kind, body in _chunks(data) if kind in PIXEL_CHUNKS)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of the chunks of a PNG that are whole."""
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if at + 12 + length > len(data):
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def with_palette(pixels: np.ndarray, table: bytes) -> PIL.Image.Image:
    """An image of mode P with this palette, RGB; pixels: uint8 [H,W,1 or 3], colours of the palette."""
    colours = np.frombuffer(table, np.uint8).reshape(-1, 3).astype(np.int64) @ (65536, 256, 1)
    packed = conversion.convert_channels(pixels, 3).astype(np.int64) @ (65536, 256, 1)
    palette, first = np.unique(colours, return_index=True)  # of colours that occur twice the first
    image = PIL.Image.fromarray(first[np.searchsorted(palette, packed)].astype(np.uint8), "L")
    image.putpalette(table)
    return image


def as_deep_grey_alpha(data: bytes) -> bytes:
    """The PNG of grey with alpha of 16 bits each whose bytes, high before low, were written as 8-bit RGBA: Pillow
    writes no such file and OpenCV neither. Rows are filtered by the bytes of a pixel, which are four in both."""
    header = data[16:24] + bytes((16, GREY_WITH_ALPHA)) + data[26:29]
    return PNG_SIGNATURE + png_chunk(b"IHDR", header) + data[33:]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG (ISO 15948, section 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def opencv(place: str | Path) -> ModuleType:
    """The module cv2. Raises UserError, about the image at `place`, if it is not installed."""
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(decode.MAX_PIXELS))  # read when it is imported
    try:
        import cv2  # type: ignore[import-not-found,unused-ignore]  # an extra
    except ImportError:
        raise UserError(
            f"{place} has 16 bits a channel in colour, which needs OpenCV: pip install 'reverie[photos]'."
        ) from None
    return cv2
