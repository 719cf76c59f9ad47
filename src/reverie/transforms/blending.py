"""Blending: a part of one photo, cut out by a mask, pasted into another without a seam.

C channels, H, W pixels of the background; images [1,C,H,W] in [-1,1], masks [1,1,H,W] in [0,1], float64.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.media import Photo
from reverie.media.mask import check_same_size, mask_levels
from reverie.transforms.poisson import Gradients, gaussian_poisson, gradients, poisson_in_mask
from reverie.utils.errors import UserError, printable

Mode = Literal["normal", "mixed"]
"""normal: the foreground's gradients; mixed: at each place the stronger of both images (Perez 2003, section 4)"""
Learnt = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(copy-paste, Poisson blend [1,C,H,W], mask [1,1,H,W]) of a window -> what to add to the blend's colours [1,C,h,w]"""
MARGIN = 0.35
"""of the window around the mask whose colours are looked at, in sides of the mask's box"""
BLACK, WHITE = 0.03, 0.97
"""mask values below and above which a pixel counts as out and as in altogether, since JPEG does not keep 0 and 1"""
EMPTY = 1e-9
"""how near to pure black or white what was cut away has to be to count as nothing"""
SAME_SCENE, COARSE, SURROUNDINGS = 0.5, 64, 16
"""correlation of the gradients around the mask, in images of COARSE pixels a side, from which two photos show one
scene: 40 pairs of exposures had .90 to .99, two photos of a place .56, unlike photos .05 and less; pixels needed"""
MOST_PIXELS = 200_000_000
"""of a foreground that is scaled"""
MARKED_CLIPPING = 0.001
"""share of clipped values in the mask that is said"""


@dataclass(frozen=True)
class Placement:
    """Where and how large the foreground is put, and how it is blended in."""

    x: int | None = None
    """column of the background that the foreground's left edge comes to; None: centred, or 0 where sizes are equal"""
    y: int | None = None
    """row of the background that its top edge comes to"""
    scale: float = 1.0
    """factor on its sides"""
    rotation: float = 0.0
    """degrees, counter-clockwise, about its centre; its box then grows"""
    mode: Mode = "normal"
    keep_colours: float = 0.0
    """0: the colours follow the background; 1: they stay the foreground's up to the seam"""
    beta: float = 1.0
    """weight of learnt colours beside the gradients, where there are any"""


class Blended(NamedTuple):
    """A result and what is to be said of it."""

    photo: Photo
    notes: list[str]


def blend_each(
    foreground: Sequence[Photo],
    background: Sequence[Photo],
    mask: Sequence[Photo] | None,
    placement: Placement,
    learnt: Learnt | None = None,
) -> Iterator[Photo]:
    """`blend` of each foreground with its background and mask; what there is to say of it goes to stderr.

    Raises UserError where there are not equally many.
    """
    for name, photos in (("background", background), ("mask", mask)):
        if photos is not None and len(photos) != len(foreground):
            raise UserError(f"there are {len(foreground)} foregrounds and {len(photos)} {name}s; give one for each.")
    for i, photo in enumerate(foreground):
        blended = blend(photo, background[i], mask[i] if mask is not None else None, placement, learnt)
        for note in blended.notes:
            print(f"note: {printable(note)}", file=sys.stderr)
        yield blended.photo


class Scene(NamedTuple):
    """A window of the background with the foreground in its place."""

    background: Tensor
    foreground: Tensor
    covered: Tensor
    """[1,1,H,W] bool, where the foreground has pixels"""
    mask: Tensor


def blend(
    foreground: Photo, background: Photo, mask: Photo | None, placement: Placement, learnt: Learnt | None = None
) -> Blended:
    """The background with the part of the foreground that the mask names, in the size, depth and profile of it.

    mask: of the foreground's size, white where it is taken, grey for soft edges; None: the foreground's alpha
    learnt: colours for the Gaussian-Poisson equation; None: the Poisson equation alone

    Outside the mask the pixels are the background's, bit for bit. Raises UserError for masks that do not fit, are
    empty or leave nothing of the background, and where the foreground lies outside.
    """
    notes: list[str] = []
    soft = read_mask(mask, foreground, notes)
    channels = background.pixels.shape[2]
    if (foreground.profile or b"") != (background.profile or b"") and foreground.profile:
        notes.append("the two photos have different colour profiles; the numbers are taken as the background's")
    image = foreground.to_tensor(channels).double()
    image, covered, soft = _turned(image, soft, placement)
    taken = float(soft.sum())
    top, left = _corner(image, background, placement, foreground.name)
    whole = background.to_tensor(channels).double()
    image, covered, soft = (_on_canvas(t, whole.shape, top, left) for t in (image, covered, soft))
    covered = covered > 0.5
    soft = soft * covered
    _check_share(float(soft.sum()), taken, foreground.name, notes)
    rows, columns = _window(soft > 0)
    scene = Scene(*(t[..., rows, columns] for t in (whole, image, covered, soft)))
    share = same_scene(scene) if learnt is not None else 1.0
    if share < 1:
        notes.append(f"around the mask the photos show unlike scenes, so the run's colours count {share:.0%}")
    solved = solve(scene, placement, learnt, share)
    inside = scene.mask > 0
    beyond = ((solved.abs() > 1 + 1 / 255) & inside).double().sum() / (inside.sum() * channels)
    if float(beyond) > MARKED_CLIPPING:
        notes.append(f"{float(beyond):.1%} of the values in the mask were beyond black or white, and were clipped")
    result = scene.background + scene.mask * (solved.clamp(-1, 1) - scene.background)
    return Blended(_written(background, result, inside, scene.mask, rows, columns, foreground, mask), notes)


def same_scene(scene: Scene) -> float:
    """How far the two photos show the same around the mask, 0 to 1: the correlation of their gradients / SAME_SCENE.

    1 where the foreground has no surroundings. What a run has learnt from exposures of one scene is right there only.
    """
    around = (scene.covered & (scene.mask <= 0)).double()
    size = [min(COARSE, side) for side in around.shape[2:]]
    own, other, around = (F.interpolate(t, size, mode="area") for t in (scene.foreground, scene.background, around))
    known = (around > 1 - 1e-6).double()
    if float(known.sum()) < SURROUNDINGS:
        return 1.0
    weights = Gradients(known[..., 1:] * known[..., :-1], known[..., 1:, :] * known[..., :-1, :])

    def product(u: Gradients, v: Gradients) -> float:
        return sum(float((x * y * w).sum()) for x, y, w in zip(u, v, weights, strict=True))

    a, b = gradients(own), gradients(other)
    ab, aa, bb = product(a, b), product(a, a), product(b, b)
    return min(1.0, max(0.0, ab / max(math.sqrt(aa * bb), 1e-12) / SAME_SCENE))


def solve(scene: Scene, placement: Placement, learnt: Learnt | None = None, share: float = 1.0) -> Tensor:
    """The blend [1,C,H,W] of a scene, with a hard mask, not clipped. share: of what is learnt that is added"""
    inside = scene.mask > 0
    if bool(inside.all()):
        raise UserError("the mask leaves no pixel of the background to blend with; make it smaller.")
    if placement.keep_colours >= 1:
        return torch.where(inside, scene.foreground, scene.background)
    g = _guidance(scene, inside, placement.mode)
    if placement.keep_colours > 0:
        # The width in pixels over which the colours change from the background's, beside the mask's own size.
        width = math.sqrt(float(inside.sum())) / 2 * (1 - placement.keep_colours) / placement.keep_colours
        return poisson_in_mask(g, scene.background, inside, 1 / width**2, scene.foreground)
    poisson = poisson_in_mask(g, scene.background, inside)
    if learnt is None or not share:
        return poisson
    copied = torch.where(inside, scene.foreground, scene.background)
    added = share * learnt(copied, poisson, inside.double())
    added = F.interpolate(added, scene.mask.shape[2:], mode="bicubic", align_corners=False)
    colours = torch.where(inside, poisson + added, scene.background)
    g = _joined(g, gradients(scene.background), gradients(poisson), inside)
    return torch.where(inside, gaussian_poisson(g, colours, placement.beta, 0.0), scene.background)


def read_mask(mask: Photo | None, foreground: Photo, notes: list[str]) -> Tensor:
    """A mask as [1,1,h,w] in [0,1]: values 0 and 1, or 0 to white; of three channels by luminance; or its alpha.

    Notes what was not plain. Raises UserError if it does not fit the foreground, or is empty.
    """
    if mask is None:
        if foreground.alpha is None:
            raise UserError(f"{foreground.name or 'the foreground'} has no alpha to cut it out by; give --mask.")
        levels = foreground.alpha.astype(np.float64) / foreground.max_level
        notes.append("the foreground's alpha is the mask")
    else:
        rule = "a mask is white where the foreground is taken, in the foreground's size"
        check_same_size(mask, foreground, "the foreground", rule)
        levels = mask_levels(mask, notes)
    if not levels.any():
        raise UserError(f"the mask {mask.name if mask else ''} is black, so nothing is taken; white is inside.")
    soft = torch.from_numpy(levels)[None, None]
    return torch.where(soft < BLACK, 0.0, torch.where(soft > WHITE, 1.0, soft))


def _turned(image: Tensor, mask: Tensor, placement: Placement) -> tuple[Tensor, Tensor, Tensor]:
    """Image, coverage and mask of the foreground, scaled and rotated; as they are where neither is asked for."""
    if placement.scale != 1:
        size = [max(1, round(side * placement.scale)) for side in image.shape[2:]]
        if math.prod(size) > MOST_PIXELS:
            raise UserError(f"at scale {placement.scale:g} the foreground is {size[1]}x{size[0]} pixels; lower it.")
        image = F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)
        mask = F.interpolate(mask, size, mode="bilinear", align_corners=False, antialias=True)
    covered = torch.ones_like(mask)
    if placement.rotation % 360 == 0:
        return image, covered, mask
    angle = math.radians(placement.rotation)
    height, width = image.shape[2:]
    cos, sin = math.cos(angle), math.sin(angle)
    box_h = math.ceil(abs(height * cos) + abs(width * sin) - 1e-6)
    box_w = math.ceil(abs(width * cos) + abs(height * sin) - 1e-6)
    rows = [[cos * box_w / width, -sin * box_h / width, 0], [sin * box_w / height, cos * box_h / height, 0]]
    theta = torch.tensor([rows], dtype=torch.float64)
    grid = F.affine_grid(theta, [1, 1, box_h, box_w], align_corners=False)
    image = F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(-1, 1)
    covered, mask = (F.grid_sample(t, grid, mode="bilinear", align_corners=False) for t in (covered, mask))
    return image, covered, mask


def _corner(image: Tensor, background: Photo, placement: Placement, name: str) -> tuple[int, int]:
    """The row and column of the background where the foreground's top left corner comes to. Raises UserError."""
    sides = list(zip((placement.y, placement.x), image.shape[2:], background.pixels.shape[:2], strict=True))
    y, x = ((other - own) // 2 if given is None else given for given, own, other in sides)
    if any(at >= other or at + own <= 0 for at, (_, own, other) in zip((y, x), sides, strict=True)):
        raise UserError(
            f"with its corner at x {x}, y {y} the foreground {name} ({image.shape[3]}x{image.shape[2]}) lies "
            f"outside the background ({background.pixels.shape[1]}x{background.pixels.shape[0]})."
        )
    return y, x


def _on_canvas(t: Tensor, shape: torch.Size, top: int, left: int) -> Tensor:
    """t on a canvas of the background's H, W, 0 around it; what does not fit is cut off."""
    height, width = shape[2:]
    canvas = t.new_zeros(1, t.shape[1], height, width)
    first_row, first_column = max(0, -top), max(0, -left)
    part = t[..., first_row : first_row + height - max(0, top), first_column : first_column + width - max(0, left)]
    row, column = max(0, top), max(0, left)
    canvas[..., row : row + part.shape[2], column : column + part.shape[3]] = part
    return canvas


def _check_share(inside: float, taken: float, name: str, notes: list[str]) -> None:
    """Notes how much of the mask, summed up to `taken`, lies beyond the background. Raises UserError if all does."""
    if not inside:
        raise UserError(
            f"nothing of the masked part of {name or 'the foreground'} lies on the background; give another --x and "
            "--y, or --scale."
        )
    if (lost := 1 - inside / taken) > 1e-6:
        notes.append(f"{lost:.1%} of the masked part lies beyond the background's edge, and was cut off")


def _window(inside: Tensor) -> tuple[slice, slice]:
    """The rows and columns of the mask's box with a margin, within the image."""
    slices = []
    for dim in (3, 2):
        line = inside.any(dim)[0, 0].nonzero()[:, 0]
        first, last = int(line[0]), int(line[-1]) + 1
        margin = math.ceil(MARGIN * (last - first)) + 2
        slices.append(slice(max(0, first - margin), min(inside.shape[5 - dim], last + margin)))
    return slices[0], slices[1]


def _guidance(scene: Scene, inside: Tensor, mode: Mode) -> Gradients:
    """The gradients that the blend is to have, in the mask and across its edge.

    Across the edge they are the foreground's too, unless what was cut away there is nothing: transparent, beyond its
    frame, or pure black or white, as around objects that were cut out before. There they are 0.
    """
    level = scene.foreground.abs()
    low, high = scene.foreground.aminmax(dim=1, keepdim=True)
    flat = ((level >= 1 - EMPTY).all(1, keepdim=True)) & (high - low < EMPTY)
    present = (inside | (scene.covered & ~flat)).double()
    own, other = gradients(scene.foreground), gradients(scene.background)
    if mode == "mixed":
        own = Gradients(*(torch.where(a.abs() >= b.abs(), a, b) for a, b in zip(own, other, strict=True)))
    return Gradients(own.x * present[..., 1:] * present[..., :-1], own.y * present[..., 1:, :] * present[..., :-1, :])


def _joined(inner: Gradients, outer: Gradients, across: Gradients, inside: Tensor) -> Gradients:
    """Gradients inside the mask, outside it, and across its edge, as one field."""
    parts = []
    for a, b, c, dim in zip(inner, outer, across, (3, 2), strict=True):
        length = inside.shape[dim] - 1
        before, after = inside.narrow(dim, 0, length), inside.narrow(dim, 1, length)
        parts.append(torch.where(before & after, a, torch.where(before | after, c, b)))
    return Gradients(*parts)


def _written(
    background: Photo, result: Tensor, inside: Tensor, soft: Tensor, rows: slice, columns: slice,
    foreground: Photo, mask: Photo | None,
) -> Photo:  # fmt: skip
    """The background with the result in the mask; where it was transparent, it becomes as opaque as the mask."""
    most = background.max_level
    levels = ((result[0].permute(1, 2, 0).numpy() + 1) * (most / 2)).round().astype(background.pixels.dtype)
    pixels, chosen = background.pixels.copy(), inside[0, 0].numpy()
    pixels[rows, columns][chosen] = levels[chosen]
    alpha = background.alpha
    if alpha is not None:
        alpha = alpha.copy()
        opaque = (soft[0, 0].numpy() * most).round().astype(alpha.dtype)
        alpha[rows, columns] = np.maximum(alpha[rows, columns], opaque)
    made = replace(background, pixels=pixels, alpha=alpha, name="", table=None, record=None, inputs=())
    return made.made_from(foreground, background, *([] if mask is None else [mask]))
