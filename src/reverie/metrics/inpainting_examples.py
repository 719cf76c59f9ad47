"""Photos with holes that are filled, for scores: the middle, random strokes and boxes, or the holes of mask files.

H, W pixels; photos uint8 [H,W,C], holes bool [H,W], true inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from reverie.media import Photo
from reverie.media.input_files import files_in
from reverie.media.mask import THRESHOLD, mask_levels
from reverie.transforms.laplace_fill import laplace_fill
from reverie.transforms.mask_strokes import centre_holes, random_holes
from reverie.transforms.resampling import imresize
from reverie.utils.errors import UserError
from reverie.utils.seeding import seed_of

CPU = torch.device("cpu")


class Holes(NamedTuple):
    """One kind of hole."""

    kind: str
    """"centre", "free" or "irregular", as in the names of scores"""
    description: str
    """as a part of definitions"""
    of: Callable[[int], np.ndarray]
    """the number of a photo -> its hole [side,side], neither empty nor full"""


class Filled(NamedTuple):
    """A photo, its hole, and the photo with the hole filled: by the Laplace fill, and by what is scored."""

    name: str
    original: np.ndarray
    hole: np.ndarray
    laplace: np.ndarray
    filled: np.ndarray


class FilledPhotos(NamedTuple):
    """Photos of one size with holes of one kind."""

    kind: str
    conditions: str
    """how photos and holes were made, as a part of definitions"""
    side: int
    examples: list[Filled]


def holes_to_test(side: int, seed: int, masks: Path | None = None) -> Iterator[Holes]:
    """The kinds of holes that scores are of, for photos of `side` pixels a side.

    masks: a folder of mask files, white is the hole, which are taken in an order drawn from the seed; None: the middle
    half of each side, then random strokes and boxes, those of photo i drawn from (seed, i)

    Raises UserError if the folder has no mask files.
    """
    if masks is not None:
        files = find_masks(masks)
        order = np.random.Generator(np.random.Philox(seed)).permutation(len(files)).tolist()
        what = f"holes of {len(files)} mask files ({masks.name}), nearest pixels, in an order of seed {seed}"
        yield Holes("irregular", what, lambda i: read_hole(files[order[i % len(files)]], side))
        return

    def free(i: int) -> np.ndarray:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, i))
            return random_holes(1, side, side, CPU)[0, 0].numpy()

    middle = centre_holes(1, side, side, CPU)[0, 0].numpy()
    yield Holes("centre", "the hole is the middle half of each side", lambda i: middle)
    yield Holes("free", f"holes of random strokes and boxes of seed {seed}", free)


def fill_photos(
    photos: Iterable[tuple[str, np.ndarray]], side: int, holes: Holes, fill: Callable[[Photo, np.ndarray], Photo]
) -> FilledPhotos:
    """Photos [H,W,C] with their names, in a size of side x side, with a hole each that is filled; smaller ones are left
    out."""
    examples = []
    for i, (name, pixels) in enumerate(photos):
        if min(pixels.shape[:2]) < side:
            continue
        photo, hole = Photo(middle_square(pixels, side), name=name), holes.of(i)
        filled = laplace_fill(photo.to_tensor(pixels.shape[2]), torch.from_numpy(hole)[None, None])
        laplace = photo.with_pixels(filled[0]).pixels
        examples.append(Filled(name, photo.pixels, hole, laplace, fill(photo, hole).pixels))
    conditions = f"photos scaled to a shorter side of {side} pixels (MATLAB's imresize) and cropped to the middle"
    return FilledPhotos(holes.kind, f"{conditions}; {holes.description}", side, examples)


def middle_square(pixels: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image uint8 [H,W,C] whose shorter side is scaled to `side` pixels: uint8 [side,side,C]."""
    h, w = pixels.shape[:2]
    scaled = imresize(pixels, (round(h * side / min(h, w)), round(w * side / min(h, w))))
    top, left = ((length - side) // 2 for length in scaled.shape[:2])
    return np.ascontiguousarray(scaled[top : top + side, left : left + side])


def find_masks(folder: Path) -> list[Path]:
    """The image files in a folder, by name. Raises UserError if there are none."""
    files = files_in(folder, Photo) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder} is no folder of mask files; give one with images in which the hole is white.")
    return files


def read_hole(path: Path, side: int) -> np.ndarray:
    """The hole [side,side] of a mask file. Raises UserError if nothing or all of it is hole."""
    levels = torch.from_numpy(mask_levels(Photo.load(path), []))[None, None]
    hole = (F.interpolate(levels, (side, side)) > THRESHOLD)[0, 0].numpy()
    if hole.all() or not hole.any():
        raise UserError(
            f"the mask {path} is {'all' if hole.all() else 'no'} hole at {side} pixels a side; take it away."
        )
    return hole
