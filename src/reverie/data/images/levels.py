"""One rule for a whole set: which stored values are black and white, and what alpha is laid on.

A 16-bit file does not say that its camera or scanner has 12 bits, and one image may hold only the darkest part of a
set. So the rule is found over all files of a set, of all its splits:

* Integers of 16 and 32 bits: black is 0, white the first of 1, 255, 1023, 4095, 16383 and 65535 that no value is above.
  Where values are negative or above 65535, black is the smallest and white the largest value of the set.
* Floats: 0 and 1 if all are in there; -1 and 1 likewise; 0 and 255 if all are in there and some above 25; else the
  smallest and the largest value of the set.
* 8 bits: 255 is white; but 1 is white where no file of the set has another value than 0 and 1, as masks have.
* Alpha is laid on white; on black where white would erase what is drawn (white ink); on grey 128 where both would, in
  many files.

Only files of these kinds are decoded for it, once: what is found is cached. Of files with alpha at most 1,000, evenly
spaced, are looked at.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from reverie.data import cache
from reverie.data.file_types import InvalidFile
from reverie.data.images.conversion import DEFAULT, Levels, is_deep, to_8bit, value_range
from reverie.data.images.decode import ImageHeader

LEVELS_VERSION = 1
"""part of the key that levels are cached under: raise it whenever others would be found"""
WHITES = (1, 255, 1023, 4095, 16383, 65535)
MAX_ALPHA_FILES = 1_000
BACKGROUNDS = (255, 0, 128)
"""grey levels that alpha may be laid on, in the order of preference"""
ERASED = 16
"""levels that what is drawn differs from its background, on average, or less: it is taken for erased"""
TOLERATED = 0.05
"""share of the files that a background may erase before another one is tried"""

EXAMINED = 500
"""decoded images of a set whose values are looked at, at most"""
NEARLY_BLACK = 32
"""levels of 255: a set that stays below, or within so many, is warned of"""
FLAT = 2
"""levels of 255 that an image spans at most to be of a single one"""
GROUND = 0.3
"""share of the pixels of an image that are of one level, from which on it has a ground, as drawings have"""

Open = Callable[[int], Image.Image]
"""i -> image i, decoded, in its own mode. Raises InvalidFile"""


class _Measured(NamedTuple):
    """What is measured of one file."""

    kind: str
    """ "integer", "real" or "byte": what its values are; "": it cannot be decoded"""
    low: float = 0
    high: float = 0
    erased: tuple[bool, ...] = ()
    """of a file with alpha: whether each of BACKGROUNDS erases what is drawn"""


def find_levels(headers: Sequence[ImageHeader], open_image: Open) -> Levels:
    """The rule for a set of files.

    headers: of all files of the set
    open_image: decodes file i
    """
    deep = [i for i, h in enumerate(headers) if is_deep(h.mode) or h.bits == 16]
    clear = [i for i, h in enumerate(headers) if h.alpha]
    clear = clear[:: -(-len(clear) // MAX_ALPHA_FILES)] if clear else []
    if not deep and not clear and not _may_be_masks(headers):
        return DEFAULT
    shas = "".join(header.sha for header in headers)
    place = f"levels {LEVELS_VERSION} {hashlib.sha256(shas.encode()).hexdigest()}"
    if memo := cache.load_memo(place):
        return Levels.of(memo)
    looked_at = sorted({*deep, *clear})

    def measure(i: int) -> _Measured:
        try:
            return _measure(open_image(i))
        except InvalidFile:
            return _Measured("")

    found = list(cache.map_in_order(measure, looked_at, "finding the scale of values")) if looked_at else []
    levels = Levels(
        integer=_integer_range([m for m in found if m.kind == "integer"]),
        real=_real_range([m for m in found if m.kind == "real"]),
        byte_white=1 if _are_masks(headers, open_image) else 255,
        background=_background([m.erased for m in found if m.erased]),
    )
    cache.save_memo(place, levels.to_json())
    return levels


def describe_levels(levels: Levels, headers: Iterable[ImageHeader]) -> list[str]:
    """How the files of a set are converted, in words that follow "N of M images", each with N."""
    headers = list(headers)
    integers = Counter(h.bits for h in headers if h.mode != "F" and (is_deep(h.mode) or h.bits == 16))
    scale = "{:g} to {:g} scaled to 0 to 255".format(*levels.integer)
    counts = {f"have {bits} bits a channel: {scale}": count for bits, count in sorted(integers.items())}
    if levels.real:
        black, white = levels.real
        counts[f"are float: {black:g} to {white:g} scaled to 0 to 255"] = sum(h.mode == "F" for h in headers)
    if levels.byte_white != 255:
        counts["hold 0 and 1 only: 1 is taken as white"] = len(headers)
    ground = {255: "white", 0: "black, as white would erase what is drawn"}.get(
        levels.background, "grey, as white and black would each erase a part of them"
    )
    counts[f"have alpha: laid on {ground}"] = sum(h.alpha for h in headers)
    return [f"{count} of {len(headers)} images {what}" for what, count in counts.items() if count]


def _measure(image: Image.Image) -> _Measured:
    low, high = value_range(image) if is_deep(image.mode) else (0.0, 0.0)
    if image.mode == "F":
        return _Measured("real", low, high)
    if is_deep(image.mode):
        return _Measured("integer", low, high)
    if not image.has_transparency_data:  # 16 bits in colour, of which Pillow keeps the upper 8
        high = value_range(image)[1]
        return _Measured("integer", 0, 257 * high)
    return _Measured("byte", erased=_erased(image))


def _erased(image: Image.Image) -> tuple[bool, ...]:
    """Whether each background erases what is drawn with alpha; () for an image without a clear pixel, or all clear."""
    image.thumbnail((1024, 1024), Image.Resampling.NEAREST)
    planes = np.asarray(image.convert("RGBA")).astype(np.float32)
    alpha = planes[..., 3] / 255
    if alpha.min() == 1 or alpha.max() == 0:
        return ()
    contrast = (np.abs(planes[..., :3] - ground).max(2) for ground in BACKGROUNDS)
    return tuple(float((difference * alpha).sum() / alpha.sum()) < ERASED for difference in contrast)


def _background(erased: list[tuple[bool, ...]]) -> int:
    """The first background that erases few files; if there is none, the one that erases the fewest."""
    if not erased:
        return DEFAULT.background
    shares = np.mean(np.array(erased), 0)
    few = [ground for ground, share in zip(BACKGROUNDS, shares, strict=True) if share <= TOLERATED]
    return few[0] if few else BACKGROUNDS[int(shares.argmin())]


def _integer_range(found: list[_Measured]) -> tuple[float, float]:
    if not found:
        return DEFAULT.integer
    low, high = min(m.low for m in found), max(m.high for m in found)
    if low < 0 or high > WHITES[-1]:
        return (low, high) if high > low else (0, max(high, 1))
    return 0, next(white for white in WHITES if high <= white)


def _real_range(found: list[_Measured]) -> tuple[float, float] | None:
    finite = [m for m in found if np.isfinite(m.low + m.high)]
    if not finite:
        return (0, 1) if found else None
    low, high = min(m.low for m in finite), max(m.high for m in finite)
    if low >= -1 and high <= 1:
        return (0 if low >= 0 else -1), 1
    if low >= 0 and 25 < high <= 255:
        return 0, 255
    return (low, high) if high > low else (0, max(high, 1))


def _may_be_masks(headers: Sequence[ImageHeader]) -> bool:
    return bool(headers) and all(h.mode in ("L", "P", "RGB") and h.bits == 8 and h.format != "JPEG" for h in headers)


def _are_masks(headers: Sequence[ImageHeader], open_image: Open) -> bool:
    """Whether no 8-bit file has another value than 0 and 1, and one has a 1; the first that has another ends it."""
    if not _may_be_masks(headers):
        return False
    highest = 0.0
    for i in range(len(headers)):
        try:
            highest = max(highest, value_range(to_8bit(open_image(i), 3))[1])
        except InvalidFile:
            continue
        if highest > 1:
            return False
    return highest == 1


def level_warnings(rows: np.ndarray) -> list[str]:
    """What is wrong with the values of a set as they are learnt from: images of one level, or hardly any range.

    rows: uint8 [N,H,W,C], decoded; up to EXAMINED of them, evenly spaced, are looked at
    """
    chosen = rows[:: -(-len(rows) // EXAMINED)] if len(rows) else rows
    if not len(chosen):
        return []
    lows, highs = np.array([(int(row.min()), int(row.max())) for row in chosen]).T
    low, high, flat = int(lows.min()), int(highs.max()), int((highs - lows <= FLAT).sum())
    advice = "if they are class ids or measurements, scale them to the whole range; if not, look at the files"
    if high < NEARLY_BLACK:
        return [f"the whole set is nearly black: levels {low} to {high} of 255; {advice}"]
    if high - low < NEARLY_BLACK:
        return [f"the whole set is nearly of one level: {low} to {high} of 255; {advice}"]
    means = [float(row.mean()) for row in chosen]
    if np.mean(means) < 2 and float(np.quantile(highs, 0.9)) < NEARLY_BLACK:
        return [f"nine in ten images are nearly black, though the brightest has level {high} of 255; {advice}"]
    if flat > 0.1 * len(chosen):
        share = f"{flat} of {len(chosen)} images" + (" looked at" if len(chosen) < len(rows) else "")
        return [f"{share} are of a single level: they teach a generator to make blank images; remove them"]
    return []


def are_photographs(rows: np.ndarray) -> bool:
    """Whether grey images are photographs and no drawings, which have a ground: a level that much of an image is of.

    rows: uint8 [N,H,W,1], decoded; up to EXAMINED of them, evenly spaced, are looked at. The commonest level's share of
    an image has a median of .02 in photographs (.09 in facades); .71 in MNIST, .74 in built-in letters.
    """
    chosen = rows[:: -(-len(rows) // EXAMINED)]
    return float(np.median([np.bincount(row.ravel()).max() / row.size for row in chosen])) < GROUND
