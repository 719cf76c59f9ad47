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
LOOKED_AT = 12
"""pictures of a set that are looked at"""
RADIUS = 45
"""levels of 255 around a colour that JPEG may have moved its pixels to"""
TIGHT = 4
"""levels of 255 in which most pixels of a flat area stay, even in a JPEG"""
FLAT = 0.2
"""share of the pixels around a colour that lie in flat areas, at least; at the edges of areas JPEG makes colours that
nobody drew, and few of their pixels are alike"""


def palette_of(pictures: Sequence[Image.Image]) -> np.ndarray | None:
    """The colours uint8 [K,3] of a set of label maps, the most frequent first; None if these are no label maps.

    They are, if there are few colours in all, or, for JPEG, if eight pixels in ten lie near one of a few colours that
    are far apart, and half of all very near.
    """
    pixels = np.concatenate([np.asarray(to_bytes(p, 3)).reshape(-1, 3) for p in pictures[:LOOKED_AT]])
    colours, counts = _counted(pixels)
    if len(colours) <= MOST:
        return colours if len(colours) > 1 else None
    found = _peaks(colours, counts)
    near = _distance(colours, found).min(1)
    share = [float(counts[near <= reach].sum() / counts.sum()) for reach in (RADIUS, TIGHT)]
    return found if len(found) <= MOST and share[0] >= 0.8 and share[1] >= 0.5 else None


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


def _peaks(colours: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The most frequent colours that are RADIUS apart, until they stand for all but a hundredth of the pixels; of these
    the ones that areas are filled with."""
    left, found = np.ones(len(colours), bool), list[np.ndarray]()
    while len(found) <= MOST and counts[left].sum() > 0.01 * counts.sum():
        first = colours[int(left.argmax())]
        found.append(first)
        left &= _distance(colours, first[None])[:, 0] > RADIUS
    apart = _distance(colours, np.stack(found))
    nearest, near = apart.argmin(1), apart.min(1)
    areas = np.bincount(nearest, counts, len(found)), np.bincount(nearest, counts * (near <= TIGHT), len(found))
    return np.stack(found)[areas[1] >= FLAT * areas[0]]


def _distance(colours: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The largest difference of a channel between each of [N,3] and each of [K,3]."""
    return np.abs(colours[:, None].astype(np.int64) - others[None].astype(np.int64)).max(2)
