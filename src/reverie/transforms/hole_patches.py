"""Holes of photographs of any size: the surroundings of each are cut out, filled at the size that a network learnt at,
and put back in full size.   B batch, C channels, H, W pixels; images [B,C,H,W] in [-1,1], holes bool [B,1,H,W].
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.media import Photo
from reverie.media.mask import Marking, made_of, map_holes
from reverie.transforms.degradations import grey
from reverie.transforms.poisson import gradients, poisson_in_mask
from reverie.transforms.texture_synthesis import COARSEST, shrink, synthesise_texture
from reverie.transforms.tiling import apply_tiled
from reverie.transforms.upscaling import with_hidden_colours
from reverie.utils.errors import UserError

Fill = Callable[[Tensor, Tensor], Tensor]
"""(image [B,C,H,W], hole [B,1,H,W]) -> the image with its hole filled, of any H and W"""
CELL = 32
"""pixels a side of the cells that holes are grouped by: those in neighbouring cells are filled together"""
LONG, THIN = 256, 32
"""of the squares that a thin hole is cut into whose box holds little of it, such as a scratch from corner to corner:
pixels a side, at least, and how many times as long as the hole is thick"""
NO_RESIZE = 1.25
"""times as thick as a hole may be at most that is still filled at its own size"""
SEAM_TOLERANCE = 1e-4
"""residual at which the equation stops that fits an enlarged result to the pixels around the hole"""
TILE = 4
"""sides of training, of the tiles that the surroundings of long holes are cut into"""


Detail = Literal["texture", "none"]
"""of holes that were filled at a smaller scale: texture, copied in patches from around the hole; or none, so that the
enlarged result is as smooth as it is"""


class Patch(NamedTuple):
    """A hole, or several near each other, with their surroundings."""

    rows: slice
    columns: slice
    own: np.ndarray
    """bool [h,w] of these, the hole without the parts of others that reach in"""
    thickness: int
    """pixels of the hole, see `thickness_of`"""
    factor: float
    """times as large as what the network learnt at, 1 or more"""


@torch.no_grad()
def fill_holes(
    photo: Photo, hole: np.ndarray, fill: Fill, size: int | None, channels: int | None = None, detail: Detail = "none"
) -> Photo:
    """A photograph whose hole is filled, in its own size, depth and profile; outside the hole it is as it was.

    hole: bool [H,W], with a pixel outside it
    fill: what fills images of `channels`, and leaves them outside of holes as they are
    size: pixels a side that it has learnt at; thicker holes than half of that are filled at a smaller scale, and the
        result is enlarged; None: whatever the size
    channels: C of what it takes; None: those of the photo
    detail: of such holes; where size is None, of all

    Raises UserError where too little around a hole is known.
    """
    channels = channels or photo.pixels.shape[2]
    pixels = photo.pixels.copy()
    texture_in_all = size is None and detail == "texture"
    if texture_in_all:
        size = 2 * COARSEST
    for patch in patches_of(hole, size, detail):
        here = patch.rows, patch.columns
        alpha = None if photo.alpha is None else photo.alpha[here]
        part, inside = replace(photo, pixels=photo.pixels[here], alpha=alpha), hole[here]
        x, holes = with_hidden_colours(part).to_tensor(photo.pixels.shape[2]), torch.from_numpy(inside)[None, None]
        small, small_hole = x, holes
        if patch.factor > 1:
            small, small_hole = shrink(x, holes, [max(8, round(side / patch.factor / 8) * 8) for side in x.shape[2:]])
            if small_hole.all():
                name, known = photo.name or "the photo", int((~hole).sum())
                raise UserError(
                    f"too little of {name} is outside the hole, {known} of {hole.size} pixels, or in too thin lines, "
                    "to fill it from; mark a smaller part."
                )
        filled = _fill_channels(small, small_hole, fill, size, channels)
        if detail == "texture" and (patch.factor > 1 or texture_in_all):
            filled = synthesise_texture(x, holes, filled, patch.thickness)
        elif patch.factor > 1:
            enlarged = F.interpolate(filled, x.shape[2:], mode="bicubic", align_corners=False)
            filled = poisson_in_mask(gradients(enlarged), x, holes, tolerance=SEAM_TOLERANCE)
        pixels[here][patch.own] = part.with_pixels(filled[0]).pixels[patch.own]
    return replace(photo, pixels=pixels, table=None, record=None)


def inpaint_each(
    photos: Sequence[Photo], masks: Sequence[Photo] | None, marking: Marking, fill: Fill, size: int | None,
    channels: int | None = None, detail: Detail = "none",
) -> Iterator[Photo]:  # fmt: skip
    """`fill_holes` of each photo, whose hole is found as by `map_holes`; what was transparent and is filled is opaque.

    Raises UserError as `map_holes` does.
    """

    def filled(photo: Photo, mask: Photo | None, hole: np.ndarray) -> Photo:
        made = fill_holes(photo, hole, fill, size, channels, detail)
        if marking.alpha and mask is None and photo.alpha is not None:
            opaque = np.iinfo(photo.alpha.dtype).max
            made = replace(made, alpha=np.where(hole, opaque, photo.alpha).astype(photo.alpha.dtype))
        return cast(Photo, made_of(made, photo, mask))

    yield from map_holes(photos, masks, marking, filled)


def patches_of(hole: np.ndarray, size: int | None, detail: Detail = "none") -> Iterator[Patch]:
    """The patches that a hole bool [H,W] is filled by, from above; `size` and `detail` as in `fill_holes`."""
    for corner, members in (square for group in groups_of(hole) for square in squares_of(*group)):
        rows, columns = (
            slice(part.start + at, part.stop + at) for part, at in zip(box_of(members), corner, strict=True)
        )
        thickness = thickness_of(hole[_around((rows, columns), CELL, 0, hole)])
        factor = 1.0 if size is None else thickness / (size / 2)
        factor = factor if factor > NO_RESIZE else 1.0
        least = 2 * thickness if size is None else round(size * factor)
        margin = max(CELL, least // 4, thickness if detail == "texture" else 0)
        around = _around((rows, columns), margin, least, hole)
        own = np.zeros(hole.shape, bool)[around]
        rows, columns = (
            slice(a.start - at.start, a.stop - at.start) for a, at in zip((rows, columns), around, strict=True)
        )
        own[rows, columns] = members[box_of(members)]
        yield Patch(*around, own, thickness, factor)


def groups_of(hole: np.ndarray) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """The parts of a hole bool [H,W] that no neighbouring cells of CELL pixels a side join: the row and the column of
    the top left corner of a part of the photo, and what of the hole is the part's there."""
    height, width = (-(-side // CELL) for side in hole.shape)
    padded = np.zeros((height * CELL, width * CELL), bool)
    padded[: hole.shape[0], : hole.shape[1]] = hole
    left = np.asarray(padded.reshape(height, CELL, width, CELL).any((1, 3)))
    for row, column in np.argwhere(left).tolist():
        if not left[row, column]:
            continue
        cells, waiting = np.zeros_like(left), [(row, column)]
        left[row, column] = False
        while waiting:
            y, x = waiting.pop()
            cells[y, x] = True
            for dy, dx in np.argwhere(left[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]).tolist():
                at = max(0, y - 1) + dy, max(0, x - 1) + dx
                left[at] = False
                waiting.append(at)
        rows, columns = box_of(cells)
        part = hole[rows.start * CELL : rows.stop * CELL, columns.start * CELL : columns.stop * CELL]
        ours = cells[rows, columns].repeat(CELL, 0).repeat(CELL, 1)[: part.shape[0], : part.shape[1]]
        yield (rows.start * CELL, columns.start * CELL), part & ours


def squares_of(corner: tuple[int, int], members: np.ndarray) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """A part of a hole as of groups_of; if it is long and thin, piece by piece, so that time follows the hole."""
    side = max(LONG, THIN * thickness_of(members))
    if max(members.shape) <= side or members.mean() * THIN > 1:
        yield corner, members
        return
    for top, left in itertools.product(*(range(0, length, side) for length in members.shape)):
        if (piece := members[top : top + side, left : left + side]).any():
            yield (corner[0] + top, corner[1] + left), piece


def box_of(hole: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns of the box around a hole bool [H,W] that is not empty."""
    rows, columns = (hole.any(axis).nonzero()[0] for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def thickness_of(hole: np.ndarray) -> int:
    """Pixels, about twice the distance that a pixel of a hole bool [H,W] has at most from a known one."""
    step = max(1, max(hole.shape) // 256)
    height, width = (-(-side // step) for side in hole.shape)
    padded = np.ones((height * step, width * step), bool)
    padded[: hole.shape[0], : hole.shape[1]] = hole
    known = torch.from_numpy(~padded.reshape(height, step, width, step).all((1, 3)))[None, None].float()
    layers = 0
    while not known.all():
        known, layers = F.max_pool2d(known, 3, 1, 1), layers + 1
        if layers > max(height, width):
            break
    return max(1, 2 * layers * step)


def _around(box: tuple[slice, slice], margin: int, least: int, hole: np.ndarray) -> tuple[slice, slice]:
    """A box with a margin, each side `least` pixels or more, within the photo."""
    widened = []
    for part, side in zip(box, hole.shape, strict=True):
        length = min(side, max(part.stop - part.start + 2 * margin, least))
        start = max(0, min((part.start + part.stop - length) // 2, side - length))
        widened.append(slice(start, start + length))
    return widened[0], widened[1]


def _fill_channels(x: Tensor, hole: Tensor, fill: Fill, size: int | None, channels: int) -> Tensor:
    """x [1,C',H,W] filled by what takes `channels`: grey as colour, or each colour by itself, where C' is another."""
    own = x.shape[1]
    if own == channels:
        return _fill_tiles(x, hole, fill, size)
    if own == 1:
        return grey(_fill_tiles(x.expand(-1, channels, -1, -1), hole, fill, size))
    return torch.cat([_fill_tiles(plane, hole, fill, size) for plane in x.split(1, 1)], 1)


def _fill_tiles(x: Tensor, hole: Tensor, fill: Fill, size: int | None) -> Tensor:
    """fill(x, hole), in tiles where x is much larger than what it has learnt at."""
    if size is None or max(x.shape[2:]) <= TILE * size:
        return fill(x, hole)
    size = math.ceil(size / 8) * 8

    def network(t: Tensor) -> Tensor:
        image, inside = t[:, :-1], t[:, -1:] > 0
        return fill(image, inside) if inside.any() else image

    return apply_tiled(network, torch.cat([x, hole.to(x.dtype)], 1), TILE * size, size // 2, 8)
