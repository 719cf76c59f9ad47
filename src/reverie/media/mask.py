"""Masks: what part of a photograph is meant, by a file, a colour, transparency or a box.   H, W pixels."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import ImageColor

from reverie.data.images.conversion import LUMA
from reverie.media.image import Image
from reverie.media.lazy_files import LazyFiles, tell_failed
from reverie.media.photo import Photo
from reverie.utils.errors import UserError, near_miss, printable

THRESHOLD = 127 / 255
"""share of white above which a pixel of a mask is white"""
OPAQUE = 0.97
"""share of full alpha below which a pixel is transparent, at least in part"""
COLOUR_TOLERANCE = 24
"""levels of 255 by which each channel may differ from a colour: JPEG does not keep colours"""
SOFT_EDGE = 4
"""pixels around paint in a photo that JPEG, or a soft brush, has mixed with it: at quality 85 all of them, to some"""
MOST = 0.5
"""share of a photo above which a hole is said to be large: the mask may be meant the other way round"""
COLOURED = 64
"""levels of 255 between the channels of a mask that holds colours"""

Made = TypeVar("Made")


@dataclass(frozen=True)
class Marking:
    """What marks the hole of a photo: white in a mask file, or one of these."""

    colour: str = ""
    """a colour, such as ff00ff or magenta: of the mask file, or where there is none of the photo itself"""
    alpha: bool = False
    """what is transparent in the mask file, or where there is none in the photo itself"""
    box: tuple[float, ...] | None = None
    """left, top, right, bottom as shares of the width and of the height; of several boxes one after the other"""
    invert: bool = False
    """whether what is marked stays, and the rest is the hole"""
    grow: int | None = 0
    """pixels that the hole is widened by all around; None: SOFT_EDGE around paint that is not of one colour, else 0"""

    def check(self, mask: bool) -> None:
        """Raises UserError unless exactly one thing marks the hole; mask: whether there is a mask file."""
        given = [name for name, there in (("--mask-colour", self.colour), ("--mask-alpha", self.alpha)) if there]
        if self.box is not None and mask:
            given.append("--mask")
        if self.box is not None:
            given.append("--box")
        if len(given) > 1:
            raise UserError(f"{' and '.join(given)} each say where the hole is; give one of them.")
        if not given and not mask:
            raise UserError(
                "nothing says where the hole is; give --mask FILE (white is the hole), --mask-colour ff00ff, "
                "--mask-alpha, or --box left,top,right,bottom."
            )


class Hole(NamedTuple):
    """The hole of one photo."""

    pixels: np.ndarray
    """bool [H,W], with pixels inside and outside"""
    notes: list[str]
    """what is to be said of how it was found"""


def find_hole(photo: Photo | Image, mask: Photo | None, marking: Marking) -> Hole:
    """Where a photograph's hole is. Raises UserError where that is nowhere or everywhere, or a mask does not fit."""
    height, width = photo.pixels.shape[:2]
    source: Photo | Image = photo if mask is None else mask
    name, whose = printable(photo.name or "the photo"), printable(source.name or "the mask")
    if mask is not None:
        check_same_size(mask, photo, f"the photo {name}", "a mask has the size of its photo")
    notes: list[str] = []
    if marking.box is not None:
        inside, what = _boxes(marking.box, height, width, name)
    elif marking.colour:
        inside, what = _of_colour(source, marking.colour), f"the colour {marking.colour} in {whose}"
    elif marking.alpha:
        inside, what = _transparent(source, whose), f"what is transparent in {whose}"
    else:
        assert mask is not None
        inside, what = mask_levels(mask, notes) > THRESHOLD, f"white in {whose}"
    inverted = "all but " if marking.invert else ""
    grow = marking.grow or 0
    if marking.grow is None and mask is None and marking.colour and not marking.invert and _is_soft(photo, inside):
        grow = SOFT_EDGE
        notes.append(f"{what} has a soft edge, as JPEG and brushes make it: {grow} pixels around it are taken too")
    inside = widened(inside != marking.invert, grow)
    share = float(inside.mean())
    notes.append(f"{inverted}{what} is the hole: {_extent(inside)} of {name}")
    if not inside.any():
        raise UserError(_nothing(source, mask, marking, what, name))
    if inside.all():
        raise UserError(
            f"{inverted}{what} is all of {name}, so nothing is left to fill the hole from; mark a part of it"
            f"{', or leave --invert away.' if marking.invert else ', or give --invert if that is what stays.'}"
        )
    if share > MOST:
        advice = "leave --invert away" if marking.invert else "give --invert"
        notes.append(f"most of {name} is in the hole; if it is the other way round, {advice}")
    return Hole(inside, notes)


def _extent(inside: np.ndarray) -> str:
    """How much of a photo a hole is, without rounding it to nothing or all."""
    number = int(inside.sum())
    share, rest = f"{number / inside.size:.1%}", inside.size - number
    if share == "0.0%" and number:
        return f"{number} pixel{'s' if number > 1 else ''}"
    return f"all but {rest} pixel{'s' if rest > 1 else ''}" if share == "100.0%" and rest else share


def _nothing(source: Photo | Image, mask: Photo | None, marking: Marking, what: str, name: str) -> str:
    """The message on a hole without pixels."""
    if marking.invert:
        return f"{what} is all of {name}, so with --invert nothing is in the hole; leave --invert away."
    if marking.colour:
        advice = f"no pixel is within {COLOUR_TOLERANCE} levels of it; give the colour that marks the hole."
    elif marking.alpha:
        advice = "it has no transparent pixel; erase the part that is to be filled."
    elif mask is not None and np.ptp(mask.pixels.astype(np.int64), axis=2).max() > COLOURED / 255 * mask.max_level:
        advice = "its colours are darker than that; name the one that marks the hole by --mask-colour."
    else:
        advice = "no pixel is brighter than 127 of 255; paint white what is to be filled, or give --invert."
    return f"{what} is to be the hole of {name}, but {advice}"


# -- what marks it -----------------------------------------------------------------------------------------------------


def mask_levels(mask: Photo, notes: list[str]) -> np.ndarray:
    """A mask as float64 [H,W], 0 black to 1 white: of three channels by luminance; of a mask of one colour its alpha.

    A mask of the values 0 and 1 is read as 0 and white. Notes what was not plain.
    """
    levels: np.ndarray = mask.pixels.astype(np.float64)
    white = int(np.iinfo(mask.pixels.dtype).max)
    if mask.alpha is not None and int(mask.pixels.min()) == int(mask.pixels.max()):
        levels = mask.alpha.astype(np.float64)
        notes.append("the mask is of one colour, so its alpha is taken")
    elif levels.shape[2] == 3:
        levels = levels @ np.array(LUMA, np.float64)
    else:
        levels = levels[:, :, 0]
    if round(float(levels.max())) == 1:
        notes.append("the mask holds 0 and 1, and 1 is taken as inside")
        white = 1
    return levels / white


def check_same_size(mask: Photo, photo: Photo | Image, whose: str, rule: str) -> None:
    """Raises UserError if a mask has another size than what it belongs to."""
    size, own = mask.pixels.shape[:2], photo.pixels.shape[:2]
    if size == own:
        return
    turned = " It would fit turned by a quarter: save it as it is shown, or with the photo's EXIF orientation."
    raise UserError(
        f"the mask {printable(mask.name)} is {size[1]}x{size[0]} pixels and {whose} {own[1]}x{own[0]}; {rule}."
        f"{turned if size[::-1] == own else ''}"
    )


def _boxes(edges: tuple[float, ...], height: int, width: int, name: str) -> tuple[np.ndarray, str]:
    """What lies in any of the boxes as bool [H,W], and what that is called. Raises UserError."""
    inside = np.zeros((height, width), bool)
    each = len(edges) if len(edges) % 4 else 4  # a number that is missing is not taken from the next box
    for start in range(0, max(1, len(edges)), each):
        inside |= _box(edges[start : start + each], height, width, name)
    return inside, "the box" if len(edges) == 4 else f"what lies in the {len(edges) // 4} boxes"


def _box(box: tuple[float, ...], height: int, width: int, name: str) -> np.ndarray:
    """A box of shares as bool [H,W]. Raises UserError, also where it holds no pixel."""
    given = ",".join(f"{edge:g}" for edge in box)
    if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        fits = len(box) == 4 and 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height
        as_shares = ",".join(f"{edge / side:.4g}" for edge, side in zip(box, (width, height) * 2, strict=False))
        pixels = f" Pixels {given} of {name} ({width}x{height}) are {as_shares}." if fits else ""
        raise UserError(
            f"box is {given}; give left,top,right,bottom as shares of the width and of the height, from 0 to 1.{pixels}"
        )
    left, top, right, bottom = (round(edge * side) for edge, side in zip(box, (width, height) * 2, strict=True))
    if left == right or top == bottom:
        raise UserError(f"the box {given} holds no pixel of {name}; give a larger one.")
    inside = np.zeros((height, width), bool)
    inside[top:bottom, left:right] = True
    return inside


def _of_colour(source: Photo | Image, colour: str) -> np.ndarray:
    """Where an image has a colour, as bool [H,W]. Raises UserError if the text names none."""
    try:
        rgb = ImageColor.getrgb(f"#{colour}" if re.fullmatch(r"[0-9a-fA-F]{3}|[0-9a-fA-F]{6}", colour) else colour)[:3]
    except ValueError:
        hint = near_miss(colour.lower(), list(ImageColor.colormap)) or " Such as ff00ff, magenta, rgb(255,0,255)."
        raise UserError(f"'{printable(colour)}' is no colour.{hint}") from None
    inside = np.ones(source.pixels.shape[:2], bool)
    factor = (source.max_level if isinstance(source, Photo) else 255) / 255
    for channel, level in enumerate(rgb):
        plane = source.pixels[:, :, min(channel, source.pixels.shape[2] - 1)]
        inside &= np.abs(plane.astype(np.int32) - level * factor) <= COLOUR_TOLERANCE * factor
    return inside


def _is_soft(photo: Photo | Image, inside: np.ndarray) -> bool:
    """Whether paint is not of one colour: a JPEG or a soft brush has mixed it with what is around it."""
    painted = photo.pixels[inside]
    return bool((painted != painted[:1]).any())


def _transparent(source: Photo | Image, name: str) -> np.ndarray:
    """Where an image is transparent, at least in part, as bool [H,W]. Raises UserError if it has no alpha."""
    if isinstance(source, Image) and source.file:
        source = Photo.read(source.file, source.name)  # images are laid on white as they are read
    if isinstance(source, Image) or source.alpha is None:
        raise UserError(f"{name} has no alpha; erase the part that is to be filled, and save it as a PNG.")
    return source.alpha < OPAQUE * np.iinfo(source.alpha.dtype).max


def widened(inside: np.ndarray, pixels: int) -> np.ndarray:
    """A part bool [H,W] wider by so many pixels all around, its corners rounded to octagons."""
    for step in range(pixels):
        wider = inside.copy()
        wider[1:] |= inside[:-1]
        wider[:-1] |= inside[1:]
        base = wider if step % 2 else inside  # every other time with the diagonals
        wider[:, 1:] |= base[:, :-1].copy()
        wider[:, :-1] |= base[:, 1:].copy()
        inside = wider
    return inside


# -- of many photos ----------------------------------------------------------------------------------------------------


def map_holes(
    photos: Sequence[Any], masks: Sequence[Photo] | None, marking: Marking,
    change: Callable[[Any, Photo | None, np.ndarray], Made],
) -> Iterator[Made]:  # fmt: skip
    """change(photo, mask, hole bool [H,W]) of each photo; what there is to say of its hole goes to stderr, the first
    time of all.

    masks: one for all photos, or one for each; None: `marking` has the photo itself say where its hole is
    Of several files, one that does not fit is passed over, as one that cannot be read. Raises UserError.
    """
    marking.check(masks is not None)
    if masks is not None and len(masks) not in (1, len(photos)):
        raise UserError(f"there are {len(photos)} photos and {len(masks)} masks; give one mask, or one for each.")
    failed: list[str] = getattr(photos, "failed", [])
    several = isinstance(photos, LazyFiles) and len(photos) > 1
    said: set[str] = set()
    for i in range(len(photos)):
        try:
            photo = photos[i]
            mask = None if masks is None else masks[i if len(masks) > 1 else 0]
            hole = find_hole(photo, mask, marking)
            _say(hole.notes, said)
            made = change(photo, mask, hole.pixels)
        except UserError as error:
            if not several:
                raise
            failed.append(str(error))
            continue
        yield made
    if getattr(photos, "aloud", False):
        tell_failed(failed, len(photos) - len(failed))


def _say(notes: list[str], said: set[str]) -> None:
    """Prints notes to stderr, those of each kind once."""
    for note in notes:
        kind = re.sub(r"(?<=is the hole: ).*| of \S+ is", "", note)
        if kind not in said:
            said.add(kind)
            print(f"note: {printable(note)}", file=sys.stderr)


def made_of(made: Any, photo: Any, mask: Photo | None) -> Any:
    """A result that names its photo and its mask as what it was made from, and whose file is named after the photo."""
    sources = (photo,) if mask is None else (photo, mask)
    return replace(made.made_from(*sources), name=photo.name, folder=photo.folder)


def masks_by_name(names: Sequence[tuple[str, str]], masks: LazyFiles) -> list[Path | str]:
    """For each photo the mask of its name: its path, or a message where there is none.

    names: (folder, file name) of each photo; a mask lies in the same subfolder and has the name, with any suffix
    """
    by_name: dict[tuple[str, str], Path] = {}
    for path, folder in zip(masks.paths, masks.folders, strict=True):
        by_name.setdefault((folder, path.stem), path)
    found: list[Path | str] = []
    taken = {(folder, Path(name).stem) for folder, name in names}
    for folder, name in names:
        stem = Path(name).stem
        there = [other for place, other in by_name if place == folder and (place, other) not in taken]
        message = (
            f"there is no mask for {printable(name)}: a mask has the name of its photo, such as {printable(stem)}.png."
            f"{near_miss(stem, there)}"
        )
        found.append(by_name.get((folder, stem), message))
    return found
