"""Label maps: pictures whose colours are names. They are never blended, only picked from (nearest).

A picture file does not say that it is a label map, and one that was saved as JPEG no longer has its colours: they lie
around the true ones. So the colours are looked for in a few pictures of a set (`palette_of`), and every pixel is then
given the nearest of them (`snapped`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .decode import to_bytes

MOST = 64
"""colours of a set of label maps, at most"""
LOOKED_AT = 32
"""pictures of a set that are looked at"""
RADIUS = 45
"""levels of 255 around a colour that JPEG may have moved its pixels to"""
TIGHT = 4
"""levels of 255 in which the pixels of an area stay, even in a JPEG"""


def palette_of(pictures: Sequence[Image.Image]) -> np.ndarray | None:
    """The colours uint8 [K,3] of a set of label maps, the most frequent first; None if these are no label maps.

    They are, if there are few colours in all; or, for JPEG, if a third of the pixels lie inside areas of one colour,
    and nine in ten of these very near to one of a few colours that are far apart. At the edges of areas JPEG makes
    colours that nobody drew, so these are not looked at.
    """
    arrays = [np.asarray(to_bytes(p, 3)) for p in pictures[:LOOKED_AT]]
    colours, counts = _counted(np.concatenate([a.reshape(-1, 3) for a in arrays]))
    if len(colours) <= MOST:
        return colours if len(colours) > 1 else None
    inside = np.concatenate([_inside(a) for a in arrays])
    if 3 * len(inside) < counts.sum():
        return None
    colours, counts = _counted(inside)
    found = _peaks(colours, counts)
    near = counts[_distance(colours, found).min(1) <= TIGHT].sum() / counts.sum()
    return found if 1 < len(found) <= MOST and near >= 0.9 else None


def snapped(pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Each pixel of uint8 [H,W,3] as the nearest colour of a palette."""
    return palette[indices(pixels, palette)]


def indices(pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The number in the palette of the colour nearest to each pixel of uint8 [...,3]: int64 [...]."""
    colours, places = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    apart = np.square(colours[:, None].astype(np.int64) - palette[None].astype(np.int64)).sum(2)
    return apart.argmin(1)[places].reshape(pixels.shape[:-1])


def fit_labels(image: Image.Image, size: int, palette: np.ndarray) -> np.ndarray:
    """The centre square of a label map as uint8 [size,size,3]: pixels are picked, not blended."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    square = to_bytes(image.crop((left, top, left + short, top + short)), 3)
    return snapped(np.asarray(square.resize((size, size), Image.Resampling.NEAREST)), palette)


def _counted(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The colours uint8 [N,3] and how often each occurs, the most frequent first."""
    packed = pixels.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    found, counts = np.unique(packed, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    found = found[order]
    return np.stack([found >> 16, found >> 8 & 255, found & 255], 1).astype(np.uint8), counts[order]


def _inside(pixels: np.ndarray) -> np.ndarray:
    """The pixels [N,3] of uint8 [H,W,3] that differ little from their eight neighbours."""
    h, w = pixels.shape[:2]
    around = [pixels[y : y + h - 2, x : x + w - 2].astype(np.int16) for y in range(3) for x in range(3)]
    middle = around[4]
    apart = np.max([np.abs(other - middle).max(2) for other in around], 0)
    return pixels[1:-1, 1:-1][apart <= TIGHT]


def _peaks(colours: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The most frequent colours that are RADIUS apart, until they stand for all but one in 5,000 of the pixels."""
    left, found = np.ones(len(colours), bool), list[np.ndarray]()
    while len(found) <= MOST and counts[left].sum() > 0.0002 * counts.sum():
        first = colours[int(left.argmax())]
        found.append(first)
        left &= _distance(colours, first[None])[:, 0] > RADIUS
    return np.stack(found)


def _distance(colours: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The largest difference of a channel between each of [N,3] and each of [K,3]."""
    return np.abs(colours[:, None].astype(np.int64) - others[None].astype(np.int64)).max(2)
