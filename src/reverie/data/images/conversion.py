"""From an image of any mode to 8 bits: the scale of deep files, what alpha is laid on, and colour to grey.

An image of 100 megapixels is converted in bands, so that the memory it takes is hardly more than Pillow's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from reverie.data.file_types import InvalidFile

LUMA = (0.299, 0.587, 0.114)
"""shares of red, green and blue in the luminance (ITU-R BT.601), as Pillow has them"""
FILTER = Image.Resampling.LANCZOS
BAND_PIXELS = 4_000_000
"""pixels that are converted at a time"""
HUGE_PIXELS = 16_000_000
"""an image of more, whose mode has to be converted, is shrunk by a whole factor while it is converted"""
ZERO_IS_WHITE = "reverie: zero is white"
"""key in `image.info` of a deep TIFF that says so, which Pillow heeds in 8 bits only"""
CHROMA_NOISE = 32
"""levels of 255 by which the channels of a grey image that is stored in colour may differ: JPEG makes some"""
GREY_MODES = frozenset(("1", "L", "LA", "La", "I", "F"))
COLOUR_MODES = frozenset(("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"))


class Levels(NamedTuple):
    """How the stored values of a set become 8-bit levels; `reverie.data.images.levels` finds it over all files."""

    integer: tuple[float, float] = (0, 65535)
    """values of 16- and 32-bit integers that become black and white"""
    real: tuple[float, float] | None = None
    """values of floats that become black and white; None: 0 and 1, or 0 and 255, by the file's own largest"""
    byte_white: int = 255
    """value of 8-bit channels that becomes white: 255, or 1 in a set of masks that hold 0 and 1"""
    background: int = 255
    """grey level that alpha is laid on"""

    @classmethod
    def of(cls, record: Any) -> Levels:
        """The levels that `to_json` has written; those of files by their container for None."""
        if not record:
            return DEFAULT
        real = record["real"]
        return cls(tuple(record["integer"]), tuple(real) if real else None, record["byte_white"], record["background"])

    def for_ids(self) -> Levels:
        """The same for label maps, whose values up to 255 are kept as they are."""
        return self._replace(integer=(0, max(255, self.integer[1])), byte_white=255)

    def to_json(self) -> dict[str, Any]:
        """As a dict that JSON can write."""
        return {
            "integer": list(self.integer), "real": list(self.real) if self.real else None,
            "byte_white": self.byte_white, "background": self.background,
        }  # fmt: skip


DEFAULT = Levels()
"""by the container alone: 65535 is white, alpha is laid on white"""


def is_deep(mode: str) -> bool:
    """Whether Pillow holds an image of this mode with more than 8 bits a channel."""
    return mode in ("I", "F") or mode.startswith("I;16")


def is_grey(image: Image.Image) -> bool:
    """Whether the pixels can only be grey, by the header alone; with a palette, whether all its colours are grey."""
    if image.mode in ("P", "PA") and image.palette is not None:
        colours = palette_colours(image)
        return len(colours) > 0 and bool((colours == colours[:, :1]).all())
    return image.mode in GREY_MODES or image.mode.startswith("I;16")


def palette_colours(image: Image.Image) -> np.ndarray:
    """The colours uint8 [N,3] of the palette of an image that need not be decoded yet, in no certain channel order.

    Until an image is decoded its palette is as in the file: BMP has blue first and perhaps a fourth byte, TIFF has all
    reds, then all greens, then all blues. [0,3] for a palette of another kind.
    """
    assert image.palette is not None
    mode, data = image.palette.getdata()
    values = np.frombuffer(bytes(data), np.uint8)
    if mode.endswith(";L"):
        return values[: len(values) // 3 * 3].reshape(3, -1).T
    if mode[:3] not in ("RGB", "BGR"):
        return np.empty((0, 3), np.uint8)
    width = len(mode.partition(";")[0])
    return values[: len(values) // width * width].reshape(-1, width)[:, :3]


def to_8bit(image: Image.Image, channels: int, levels: Levels = DEFAULT) -> Image.Image:
    """A decoded image of any mode as 8-bit L (channels 1) or RGB (channels 3).

    Raises InvalidFile if float or 32-bit values are out of range.
    """
    if _is_plain(image, channels, levels):
        return image
    levels = _resolved(image, levels)
    if image.width * image.height <= BAND_PIXELS:
        return _convert(image, channels, levels)
    canvas = Image.new("L" if channels == 1 else "RGB", image.size)
    for top, band in bands(image):
        canvas.paste(_convert(band, channels, levels), (0, top))
    return canvas


def to_array(image: Image.Image, channels: int, levels: Levels = DEFAULT) -> np.ndarray:
    """A decoded image of any mode as uint8 [H,W,channels], channels 1 or 3. Raises InvalidFile as `to_8bit` does."""
    levels = _resolved(image, levels)
    pixels = np.empty((image.height, image.width, channels), np.uint8)
    for top, band in bands(image):
        rows = np.asarray(_convert(band, channels, levels))
        pixels[top : top + band.height] = rows.reshape(*rows.shape[:2], channels)
    return pixels


def bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(first row, band) of an image from the top, of about BAND_PIXELS each."""
    return _bands(image, (0, 0, *image.size), 1)


def centre_square(image: Image.Image, size: int, channels: int, levels: Levels = DEFAULT) -> Image.Image:
    """The centre square of a decoded image as 8-bit L or RGB of `size` pixels a side: Lanczos with antialiasing.

    Raises InvalidFile as `to_8bit` does.
    """
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    box = (left, top, left + short, top + short)
    if _is_plain(image, channels, levels) and short != size:
        return image.resize((size, size), FILTER, box)
    if short * short > HUGE_PIXELS and short >= 4 * size:
        image = _shrunk(image, box, short // (2 * size), channels, levels)
    else:
        image = to_8bit(image if image.width == image.height else image.crop(box), channels, levels)
    return image if image.width == size else image.resize((size, size), FILTER)


def convert_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """uint8 [H,W,C] as uint8 [H,W,channels], 1 or 3: colour becomes grey by its luminance, grey is repeated."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, 2)
    return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]


def has_chroma(pixels: np.ndarray) -> bool:
    """Whether an image uint8 or uint16 [H,W,C] is in colours, and not grey stored as such."""
    noise = CHROMA_NOISE * (np.iinfo(pixels.dtype).max // 255)
    return bool(pixels.shape[2] == 3 and (pixels.max(2) - pixels.min(2) > noise).any())


def scale(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Values of any type as uint8 levels of the same shape: black becomes 0, white 255; others are cut off there.

    In a file whose zero is white, `black` is the larger one.
    """
    if (black, white) == (0, 65535) and values.dtype.kind in "ui":  # exact in integers
        return ((values.astype(np.int64) + 128) // 257).astype(np.uint8)
    share = (values.astype(np.float64) - black) / ((white - black) or 1e-12)
    return (share.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _is_plain(image: Image.Image, channels: int, levels: Levels) -> bool:
    """Whether an image has its final mode already."""
    mode = "L" if channels == 1 else "RGB"
    return image.mode == mode and not image.has_transparency_data and levels.byte_white == 255


def _resolved(image: Image.Image, levels: Levels) -> Levels:
    """The levels with the range of floats filled in. Raises InvalidFile for values that do not fit."""
    if image.mode == "F":
        low, high = value_range(image)
        if levels.real is None:
            if not (low >= 0 and high <= 255):  # written so that NaN is refused too
                raise InvalidFile(f"float values outside 0..1 and 0..255: from {low:g} to {high:g}")
            return levels._replace(real=(0, 1 if high <= 1 else 255))
        if not np.isfinite(low + high):
            raise InvalidFile(f"float values that are not finite: from {low:g} to {high:g}")
    elif is_deep(image.mode) and levels.integer == (0, 65535):
        low, high = value_range(image)
        if low < 0 or high > 65535:
            raise InvalidFile(f"32-bit values outside 0..65535: from {low:.0f} to {high:.0f}")
    return levels


def value_range(image: Image.Image) -> tuple[float, float]:
    """The smallest and the largest value of a decoded image, of all its channels; NaN if one is."""
    ranges = []
    for _, band in bands(image):
        values = np.asarray(band)
        ranges.append((float(values.min()), float(values.max())))
    lows, highs = np.array(ranges).T
    return float(lows.min()), float(highs.max())


def _bands(image: Image.Image, box: tuple[int, int, int, int], multiple: int) -> Iterator[tuple[int, Image.Image]]:
    """(rows above it, band) of a box of an image, from the top; bands are a multiple of so many rows, but the last."""
    left, top, right, bottom = box
    rows = max(1, BAND_PIXELS // (right - left) // multiple) * multiple
    for start in range(top, bottom, rows):
        yield start - top, image.crop((left, start, right, min(start + rows, bottom)))


def _shrunk(
    image: Image.Image, box: tuple[int, int, int, int], factor: int, channels: int, levels: Levels
) -> Image.Image:
    """A square box of an image in 8 bits, each `factor` x `factor` pixels averaged."""
    levels = _resolved(image, levels)
    side = -(-(box[2] - box[0]) // factor)
    canvas = Image.new("L" if channels == 1 else "RGB", (side, side))
    for above, band in _bands(image, box, factor):
        canvas.paste(_convert(band, channels, levels).reduce(factor), (0, above // factor))
    return canvas


def _convert(image: Image.Image, channels: int, levels: Levels) -> Image.Image:
    """`to_8bit` of a small image, with levels that are resolved."""
    grey = is_grey(image)
    if image.mode == "F":
        assert levels.real is not None
        image = Image.fromarray(scale(np.asarray(image), *levels.real))
    elif is_deep(image.mode):
        black, white = reversed(levels.integer) if image.info.get(ZERO_IS_WHITE) else levels.integer
        image = Image.fromarray(scale(np.asarray(image), black, white))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        background = (levels.background,) * 3
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image)
    if grey:  # before conversion to RGB, so that grey levels stay exactly as they are
        image = image.convert("L")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    if levels.byte_white != 255:
        image = Image.fromarray(scale(np.asarray(image), 0, levels.byte_white))
    return image.convert("L" if channels == 1 else "RGB")
