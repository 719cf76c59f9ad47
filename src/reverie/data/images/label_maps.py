"""Label maps: pictures whose colours are names. They are never blended, only picked from (nearest).

A picture file does not say that it is a label map, and one that was saved as JPEG no longer has its colours: they lie
around the true ones. So the colours are looked for in a few pictures of a set (`find_palette`), then, where the files
hold them as they were drawn, in all of them (`complete_palette`), and every pixel is given the nearest of them (`snap_to_palette`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image

from reverie.data.images.decode import to_8bit

FEW = 64
"""colours of a set that nobody draws with but for label maps; of JPEGs, the most that are told apart"""
MOST = 256
"""colours of a set of label maps, at most"""
LOOKED_AT = 32
"""pictures of a set that are looked at, beside those of one colour alone"""
WINDOW = 1024
"""pixels a side of their middle that is looked at, at most"""
RADIUS = 45
"""levels of 255 around a colour that JPEG may have moved its pixels to"""
TIGHT = 4
"""levels of 255 in which the pixels of an area stay, even in a JPEG"""


class Palette(NamedTuple):
    """The colours uint8 [K,3] of label maps, and whether their files hold them exactly."""

    colours: np.ndarray
    exact: bool


def find_palette(pictures: Iterable[Image.Image]) -> Palette | None:
    """The colours of a set of label maps, the most frequent first; None if these are no label maps.

    They are, if there are few colours in all; or not many, of which most fill areas whose edges are hard; or, for JPEG,
    if a third of the pixels lie inside areas of one colour, and nine in ten of these very near to one of a few colours
    that are far apart. At the edges of areas JPEG makes colours that nobody drew, so these are not looked at.
    """
    every, areas, inner = Counter[int](), Counter[int](), list[np.ndarray]()
    hard, edges, telling, quiet, total = 0, 0, 0, 0, 0
    for picture in pictures:
        pixels = np.asarray(to_8bit(_middle(picture), 3))
        apart, middle, count = _apart(pixels), pixels[1:-1, 1:-1], len(np.unique(_packed(pixels)))
        inner.append(_packed(middle[apart <= TIGHT]))
        total += pixels.size // 3
        if count <= MOST:  # else it is no label map, or one that was saved as JPEG
            every, areas, quiet = every + _tally(pixels), areas + _tally(middle[apart == 0]), quiet + 1
            beside = np.abs(np.diff(pixels.astype(np.int16), axis=1)).max(2)
            hard, edges = hard + int((beside > TIGHT).sum()), edges + int((beside > 0).sum())
        telling += count > 1
        if telling == LOOKED_AT:
            break
    if 10 * quiet >= 9 * len(inner):
        if len(every) <= FEW:
            return Palette(_colours(every), True) if len(every) > 1 else None
        filling = sum(20 * areas[colour] >= often for colour, often in every.items())
        if len(every) <= MOST and 2 * filling > len(every) and 2 * hard > edges:
            return Palette(_colours(every), True)
    if 3 * sum(map(len, inner)) < total:
        return None
    packed, counts = np.unique(np.concatenate(inner), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    colours, counts = _unpacked(packed[order]), counts[order]
    found = _peaks(colours, counts)
    near = counts[_distance(colours, found).min(1) <= TIGHT].sum() / counts.sum()
    return Palette(found, False) if 1 < len(found) <= FEW and near >= 0.9 else None


def complete_palette(colours: np.ndarray, pictures: Iterable[tuple[str, Image.Image]]) -> tuple[np.ndarray, list[str]] | None:
    """Exact colours with those of all pictures (name, picture) after them, and the names of the pictures that have too
    many to be label maps; None if these are more than one in ten."""
    packed, strays, count = dict.fromkeys(_packed(colours).tolist()), list[str](), 0
    for count, (name, picture) in enumerate(pictures, 1):  # noqa: B007 - how many there were
        new = [c for c in np.unique(_packed(np.asarray(to_8bit(picture, 3)))).tolist() if c not in packed]
        if len(packed) + len(new) > MOST:
            strays.append(name)
        else:
            packed.update(dict.fromkeys(new))
    return None if 10 * len(strays) > count else (_unpacked(list(packed)), strays)


def snap_to_palette(pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Each pixel of uint8 [H,W,3] as the nearest colour of a palette."""
    return palette[nearest_colour_indices(pixels, palette)]


def nearest_colour_indices(pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The number in the palette of the colour nearest to each pixel of uint8 [...,3]: int64 [...]."""
    colours, places = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    apart = np.square(colours[:, None].astype(np.int64) - palette[None].astype(np.int64)).sum(2)
    return apart.argmin(1)[places].reshape(pixels.shape[:-1])


def fit_labels(image: Image.Image, size: int, palette: np.ndarray) -> np.ndarray:
    """The centre square of a label map as uint8 [size,size,3]: pixels are picked, not blended."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    square = to_8bit(image.crop((left, top, left + short, top + short)), 3)
    return snap_to_palette(np.asarray(square.resize((size, size), Image.Resampling.NEAREST)), palette)


def _middle(picture: Image.Image) -> Image.Image:
    """At most WINDOW pixels a side: whole photographs by the dozen would fill memory."""
    left, top = (max(0, side - WINDOW) // 2 for side in picture.size)
    return picture.crop((left, top, left + min(WINDOW, picture.width), top + min(WINDOW, picture.height)))


def _packed(pixels: np.ndarray) -> np.ndarray:
    """Each colour of uint8 [...,3] as one number: int32 [N]."""
    red, green, blue = pixels.reshape(-1, 3).T.astype(np.int32)
    return red << 16 | green << 8 | blue


def _unpacked(numbers: list[int] | np.ndarray) -> np.ndarray:
    """The other way round: uint8 [N,3]."""
    packed = np.array(numbers, np.int32)
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], 1).astype(np.uint8)


def _tally(pixels: np.ndarray) -> Counter[int]:
    """How often each colour, as a number, occurs in uint8 [...,3]."""
    found, counts = np.unique(_packed(pixels), return_counts=True)
    return Counter(dict(zip(found.tolist(), counts.tolist(), strict=True)))


def _colours(tally: Counter[int]) -> np.ndarray:
    """The colours uint8 [N,3], the most frequent first."""
    return _unpacked(sorted(tally, key=lambda colour: (-tally[colour], colour)))


def _apart(pixels: np.ndarray) -> np.ndarray:
    """By how many levels each pixel of uint8 [H,W,3] differs from its eight neighbours at most: [H-2,W-2]."""
    h, w = pixels.shape[:2]
    around = [pixels[y : y + h - 2, x : x + w - 2].astype(np.int16) for y in range(3) for x in range(3)]
    return np.max([np.abs(other - around[4]).max(2) for other in around], 0)


def _peaks(colours: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The most frequent colours that are RADIUS apart, until they stand for all but one in 5,000 of the pixels."""
    left, found = np.ones(len(colours), bool), list[np.ndarray]()
    while len(found) <= FEW and counts[left].sum() > 0.0002 * counts.sum():
        first = colours[int(left.argmax())]
        found.append(first)
        left &= _distance(colours, first[None])[:, 0] > RADIUS
    return np.stack(found)


def _distance(colours: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The largest difference of a channel between each of [N,3] and each of [K,3]."""
    return np.abs(colours[:, None].astype(np.int64) - others[None].astype(np.int64)).max(2)
