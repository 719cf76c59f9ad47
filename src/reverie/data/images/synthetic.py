"""Two data sets that are drawn, not downloaded, so that everything can be tried without a network.

* `letters`: A to Z in 21 typefaces (DejaVu, STIX, Computer Modern), white on black, 1 channel, 26 classes.
* `shapes`: discs, squares, triangles, stars and rings on a graded background, 3 channels, 5 classes.

Both have a native size of 32 pixels but are drawn sharply at any size. There are 10,000 images to train and 2,000 to
test; `letters:500` has 500 to train. Image i of a split depends on the split and i only, so `letters:500` is the
beginning of `letters:1000`; its class is i mod 26 (or 5), so that the classes are balanced.
"""

import colorsys
import hashlib
import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reverie.data.images.conversion import DEFAULT
from reverie.data.images.decode import ImageHeader
from reverie.data.images.records import ImageRecord, SplitRecords
from reverie.utils.errors import UserError
from reverie.utils.fonts import font_file

VERSION = 1  # part of the fingerprint: raise it whenever an item would be drawn differently
FORMAT = "drawn"  # ImageHeader.format of such images
NATIVE = 32  # pixels a side
TRAIN, TEST, MOST = 10_000, 2_000, 10_000_000  # images to train unless the name has a number, to test, and at most
SUPERSAMPLING = 4  # images are drawn this many times larger, then averaged
FONTS = [
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-BoldOblique",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
    "cmr10",
    "cmb10",
    "cmss10",
    "cmti10",
    "cmtt10",
]

Uniform = Callable[[float, float], float]
"""low, high -> a random number between them"""


class SyntheticSource:
    """The images of a built-in set, such as `letters` or `shapes:500`. Raises UserError if the number is not valid."""

    def __init__(self, spec: str) -> None:
        self.name, _, number = spec.partition(":")
        self.levels = DEFAULT
        self._set = NAMES[self.name]
        self.classes = list(self._set.classes)
        train = _number(number, spec) if ":" in spec else TRAIN
        self.parts = {"train": self._split_records("train", train), "test": self._split_records("test", TEST)}

    def _split_records(self, split: str, count: int) -> SplitRecords:
        mode = "L" if self._set.channels == 1 else "RGB"
        common = ImageHeader("", FORMAT, mode, NATIVE, NATIVE, grey=self._set.channels == 1)
        seed = f"{self._set.seed()}/{VERSION}/{split}"
        items = []
        for i in range(count):
            header = common._replace(sha=hashlib.sha256(f"{seed}/{i}".encode()).hexdigest())
            items.append(ImageRecord(f"{split}/{i}", i % len(self.classes), header, i))
        return SplitRecords(items, [], [], True)

    def read_square(self, item: ImageRecord, size: int, channels: int) -> np.ndarray:
        image = self._set.draw(item.name.partition("/")[0], item.row, size)
        image = image.convert("L" if channels == 1 else "RGB")
        return np.asarray(image, np.uint8).reshape(size, size, channels)

    def read_full(self, item: ImageRecord) -> np.ndarray:
        return self.read_square(item, NATIVE, self._set.channels)

    def close(self) -> None:
        """Nothing to let go of."""


def is_name(spec: str) -> bool:
    """Whether a spec is the name of a built-in set, with a number (`letters:500`) or without."""
    return spec.partition(":")[0] in NAMES


def letter(split: str, i: int, size: int) -> Image.Image:
    """Item i of letters, drawn at size x size pixels, mode L."""
    uniform = _random("letters", split, i)
    font = _font(FONTS[int(uniform(0, len(FONTS)))], round(0.78 * size * SUPERSAMPLING))
    side = size * SUPERSAMPLING
    text = chr(ord("A") + i % 26)
    stroke = round(uniform(0, 0.022) * side)  # at most thickens a stem by 1.4 of 32 pixels
    left, top, right, bottom = font.getbbox(text, stroke_width=stroke)
    ink = Image.new("L", (side, side))
    middle = ((side - left - right) / 2, (side - top - bottom) / 2)
    ImageDraw.Draw(ink).text(middle, text, fill=255, font=font, stroke_width=stroke)

    # the largest scale that keeps the letter inside, whatever its proportions: W would be cut otherwise
    room = 0.86 * side / max(right - left, bottom - top)
    scale = min(1.35, room) * uniform(0.8, 1.0)
    angle, shear = math.radians(uniform(-11, 11)), uniform(-0.16, 0.16)
    spare = 0.5 * side * (1 - scale * max(right - left, bottom - top) / side)
    shift = (uniform(-0.7, 0.7) * spare, uniform(-0.7, 0.7) * spare)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    back = np.linalg.inv(scale * turn @ np.array([[1, shear], [0, 1]]))
    offset = side / 2 - back @ (np.array(shift) + side / 2)
    ink = ink.transform(
        (side, side),
        Image.Transform.AFFINE,
        (back[0, 0], back[0, 1], offset[0], back[1, 0], back[1, 1], offset[1]),
        Image.Resampling.BILINEAR,
    )
    level = uniform(0.78, 1.0)
    return ink.reduce(SUPERSAMPLING).point([round(v * level) for v in range(256)])


def shape(split: str, i: int, size: int) -> Image.Image:
    """Item i of a split of shapes, drawn at size x size pixels, mode RGB."""
    uniform = _random("shapes", split, i)
    hue, side = uniform(0, 1), size * SUPERSAMPLING
    dark = uniform(0, 1) < 0.5
    # a dark shape on a pale background or the reverse, with hues at least a fifth of the colour circle apart
    far = (hue + uniform(0.2, 0.8)) % 1
    if dark:
        ground = (far, uniform(0.25, 0.6), uniform(0.16, 0.36))
        ink = (hue, uniform(0.45, 0.85), uniform(0.82, 1.0))
    else:
        ground = (far, uniform(0.06, 0.28), uniform(0.8, 0.98))
        ink = (hue, uniform(0.65, 0.95), uniform(0.4, 0.72))
    image = _gradient(ground, uniform, side)

    radius = uniform(0.25, 0.42) * side
    spare = side / 2 - radius - 0.03 * side
    centre = (side / 2 + uniform(-1, 1) * spare, side / 2 + uniform(-1, 1) * spare)
    turn = uniform(0, 2 * math.pi)
    kind = NAMES["shapes"].classes[i % 5]
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    if kind in ("disc", "ring"):
        pen.ellipse(_circle_bounds(centre, 0.94 * radius), fill=255)
        if kind == "ring":
            pen.ellipse(_circle_bounds(centre, 0.94 * radius * uniform(0.48, 0.66)), fill=0)
    else:
        corners = {"square": 4, "triangle": 3, "star": 10}[kind]
        reach = [0.46 if kind == "star" and k % 2 else 1.0 for k in range(corners)]
        at = [turn + 2 * math.pi * k / corners for k in range(corners)]
        pen.polygon(
            [
                (centre[0] + radius * r * math.cos(a), centre[1] + radius * r * math.sin(a))
                for r, a in zip(reach, at, strict=True)
            ],
            fill=255,
        )
    image.paste(tuple(round(255 * v) for v in colorsys.hsv_to_rgb(*ink)), (0, 0), mask)
    return image.reduce(SUPERSAMPLING)


def _circle_bounds(centre: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    """The bounding box of a circle."""
    return centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius


def _gradient(hsv: tuple[float, float, float], uniform: Uniform, side: int) -> Image.Image:
    """A background that fades from one colour (HSV in 0..1) to a similar one, in any direction."""
    hue, saturation, value = hsv
    near = ((hue + uniform(-0.06, 0.06)) % 1, saturation, min(1.0, max(0.0, value + uniform(-0.14, 0.14))))
    ends = np.array([colorsys.hsv_to_rgb(*hsv), colorsys.hsv_to_rgb(*near)], np.float32)
    angle = uniform(0, 2 * math.pi)
    along = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    t = 0.5 + (along[:, None] * math.sin(angle) + along[None, :] * math.cos(angle)) / math.sqrt(2)
    return Image.fromarray((255 * (ends[0] + t[..., None] * (ends[1] - ends[0])) + 0.5).astype(np.uint8))


class _SyntheticSet(NamedTuple):
    classes: list[str]
    channels: int
    draw: Callable[[str, int, int], Image.Image]
    """split, item, size -> image"""
    seed: Callable[[], str]
    """-> what identifies the images, for the fingerprint"""


def _random(name: str, split: str, i: int) -> Uniform:
    """uniform(low, high) from a random stream that depends on the set, the split and i only."""
    stream = np.random.Generator(np.random.Philox(key=[int.from_bytes(f"{name[:3]}{split[:3]}".encode(), "little"), i]))
    return lambda low, high: low + (high - low) * float(stream.random())


@cache
def _font(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    """A font of FONTS in a size; laid out without Raqm, so that it looks the same on every machine."""
    return ImageFont.truetype(font_file(name), pixels, layout_engine=ImageFont.Layout.BASIC)


@cache
def _letters_seed() -> str:
    """The fonts that letters are drawn with, by their bytes: other fonts make another data set."""
    digest = hashlib.sha256()
    for name in FONTS:
        digest.update(font_file(name).read_bytes())
    return f"letters/{digest.hexdigest()}"


def _number(text: str, spec: str) -> int:
    """The number of training images that a name asks for. Raises UserError."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST):
        raise UserError(
            f"'{text}' in {spec} is not a number of images from 1 to {MOST}: use, for example, letters:5000"
        )
    return int(text)


NAMES = {
    "letters": _SyntheticSet([chr(ord("A") + i) for i in range(26)], 1, letter, _letters_seed),
    "shapes": _SyntheticSet(["disc", "square", "triangle", "star", "ring"], 3, shape, lambda: "shapes"),
}
