"""Label maps: images whose colours stand for classes, so that they are resized by nearest neighbour, never blended.

An image file does not say that it is a label map, and JPEG changes the colours of one by some levels. So the palette is
found in a few images of a set (`find_palette`); if the files hold the exact colours, it is completed from all of them
(`complete_palette`); and every pixel becomes the nearest colour of the palette (`snap_to_palette`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image

from reverie.data.images.conversion import Levels, to_8bit

CERTAIN_COLOURS = 64
"""images with at most this many colours are label maps without further tests; JPEGs must not have more"""
MAX_COLOURS = 256
"""the most colours that a set of label maps may have"""
SAMPLED = 32
"""images of a set that are examined, not counting those of a single colour"""
WINDOW = 1024
"""pixels a side of the centre that is examined, at most"""
JPEG_RADIUS = 45
"""levels of 255 by which JPEG may move pixels away from their colour"""
FLAT = 4
"""levels of 255 by which pixels inside an area of one colour differ at most, even in a JPEG"""


class Palette(NamedTuple):
    """The colours of a set of label maps."""

    colours: np.ndarray
    """uint8 [K,3]"""
    exact: bool
    """whether the files hold exactly these colours, or (JPEG) colours near them"""


class _Statistics:
    """What `find_palette` counts over the examined images."""

    def __init__(self) -> None:
        self.all_pixels, self.flat_pixels = Counter[int](), Counter[int]()
        """how often each colour occurs in images of few colours, and how often inside areas of one colour"""
        self.hard_edges, self.edges = 0, 0
        """in images of few colours: horizontal changes of more than FLAT levels, and of any"""
        self.near_flat: list[np.ndarray] = []
        """of each image, the colours of pixels whose neighbours differ by at most FLAT levels"""
        self.few_colours, self.several_colours, self.pixels = 0, 0, 0
        """images with at most MAX_COLOURS, images with more than one, and pixels of all images"""

    def add(self, image: Image.Image) -> None:
        pixels = np.asarray(to_8bit(_centre(image), 3))
        contrast, inner, colours = _local_contrast(pixels), pixels[1:-1, 1:-1], len(np.unique(_packed(pixels)))
        self.near_flat.append(_packed(inner[contrast <= FLAT]))
        self.pixels += pixels.size // 3
        self.several_colours += colours > 1
        if colours <= MAX_COLOURS:  # else it is not a label map, or one that was saved as JPEG
            self.all_pixels += _tally(pixels)
            self.flat_pixels += _tally(inner[contrast == 0])
            self.few_colours += 1
            changes = np.abs(np.diff(pixels.astype(np.int16), axis=1)).max(2)
            self.hard_edges += int((changes > FLAT).sum())
            self.edges += int((changes > 0).sum())


def find_palette(images: Iterable[Image.Image]) -> Palette | None:
    """The palette of a set of label maps, the most frequent colour first; None if the images are not label maps.

    They are label maps if there are few colours in all; or not many, of which most fill areas with hard edges; or, for
    JPEG, if a third of the pixels lie inside areas of one colour and nine in ten of these are within FLAT levels of
    one of a few distant colours. JPEG makes new colours at the edges of areas, so those are not examined.
    """
    found = _Statistics()
    for image in images:
        found.add(image)
        if found.several_colours == SAMPLED:
            break
    if 10 * found.few_colours >= 9 * len(found.near_flat):
        colours = found.all_pixels
        if len(colours) <= CERTAIN_COLOURS:
            return Palette(_by_frequency(colours), True) if len(colours) > 1 else None
        filling_areas = sum(20 * found.flat_pixels[colour] >= count for colour, count in colours.items())
        mostly_areas = 2 * filling_areas > len(colours) and 2 * found.hard_edges > found.edges
        if len(colours) <= MAX_COLOURS and mostly_areas:
            return Palette(_by_frequency(colours), True)
    return _jpeg_palette(found)


def _jpeg_palette(found: _Statistics) -> Palette | None:
    """The palette of label maps that were saved as JPEG; None if the images are not such."""
    if 3 * sum(map(len, found.near_flat)) < found.pixels:
        return None
    packed, counts = np.unique(np.concatenate(found.near_flat), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    colours, counts = _unpacked(packed[order]), counts[order]
    peaks = _peaks(colours, counts)
    near_a_peak = counts[_distance(colours, peaks).min(1) <= FLAT].sum() / counts.sum()
    return Palette(peaks, False) if 1 < len(peaks) <= CERTAIN_COLOURS and near_a_peak >= 0.9 else None


def complete_palette(
    colours: np.ndarray, images: Iterable[tuple[str, Image.Image]]
) -> tuple[np.ndarray, list[str]] | None:
    """The exact colours uint8 [K,3] of some label maps, followed by those that others of the set have besides.

    images: name and image of all in the set

    Also returns the names of images with too many colours for a label map. None if these are more than one in ten.
    """
    packed = dict.fromkeys(_packed(colours).tolist())
    outliers: list[str] = []
    count = 0
    for name, image in images:
        count += 1
        occurring = np.unique(_packed(np.asarray(to_8bit(image, 3)))).tolist()
        new = [colour for colour in occurring if colour not in packed]
        if len(packed) + len(new) > MAX_COLOURS:
            outliers.append(name)
        else:
            packed.update(dict.fromkeys(new))
    return None if 10 * len(outliers) > count else (_unpacked(list(packed)), outliers)


def snap_to_palette(pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """uint8 [H,W,3] with each pixel replaced by the nearest colour of a palette uint8 [K,3]."""
    return palette[nearest_colour_indices(pixels, palette)]


def nearest_colour_indices(pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """For each pixel of uint8 [...,3] the index of the nearest colour in a palette uint8 [K,3]: int64 [...]."""
    colours, inverse = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    distance = np.square(colours[:, None].astype(np.int64) - palette[None].astype(np.int64)).sum(2)
    return distance.argmin(1)[inverse].reshape(pixels.shape[:-1])


def fit_labels(image: Image.Image, size: int, palette: np.ndarray, levels: Levels) -> np.ndarray:
    """The centre square of a label map, resized by nearest neighbour, in palette colours: uint8 [size,size,3]."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    square = to_8bit(image.crop((left, top, left + short, top + short)), 3, levels)
    return snap_to_palette(np.asarray(square.resize((size, size), Image.Resampling.NEAREST)), palette)


def _centre(image: Image.Image) -> Image.Image:
    """At most WINDOW pixels a side, because dozens of full photographs would fill the memory."""
    left, top = (max(0, side - WINDOW) // 2 for side in image.size)
    return image.crop((left, top, left + min(WINDOW, image.width), top + min(WINDOW, image.height)))


def _packed(pixels: np.ndarray) -> np.ndarray:
    """Each colour of uint8 [...,3] as one integer: int32 [N]."""
    red, green, blue = pixels.reshape(-1, 3).T.astype(np.int32)
    return red << 16 | green << 8 | blue


def _unpacked(numbers: list[int] | np.ndarray) -> np.ndarray:
    """The inverse of `_packed`: uint8 [N,3]."""
    packed = np.array(numbers, np.int32)
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], 1).astype(np.uint8)


def _tally(pixels: np.ndarray) -> Counter[int]:
    """How often each packed colour occurs in uint8 [...,3]."""
    colours, counts = np.unique(_packed(pixels), return_counts=True)
    return Counter(dict(zip(colours.tolist(), counts.tolist(), strict=True)))


def _by_frequency(tally: Counter[int]) -> np.ndarray:
    """The colours of a tally, uint8 [N,3], the most frequent first."""
    return _unpacked(sorted(tally, key=lambda colour: (-tally[colour], colour)))


def _local_contrast(pixels: np.ndarray) -> np.ndarray:
    """The largest difference, in levels, of each pixel of uint8 [H,W,3] to its eight neighbours: [H-2,W-2]."""
    h, w = pixels.shape[:2]
    shifted = [pixels[y : y + h - 2, x : x + w - 2].astype(np.int16) for y in range(3) for x in range(3)]
    return np.max([np.abs(neighbour - shifted[4]).max(2) for neighbour in shifted], 0)


def _peaks(colours: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The most frequent colours that are JPEG_RADIUS apart, until they cover all but one in 5,000 of the pixels.

    colours: uint8 [N,3], the most frequent first
    """
    remaining, peaks = np.ones(len(colours), bool), list[np.ndarray]()
    while len(peaks) <= CERTAIN_COLOURS and counts[remaining].sum() > 0.0002 * counts.sum():
        peak = colours[int(remaining.argmax())]
        peaks.append(peak)
        remaining &= _distance(colours, peak[None])[:, 0] > JPEG_RADIUS
    return np.stack(peaks)


def _distance(colours: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The largest difference of a channel between each of [N,3] and each of [K,3]: int64 [N,K]."""
    return np.abs(colours[:, None].astype(np.int64) - others[None].astype(np.int64)).max(2)
