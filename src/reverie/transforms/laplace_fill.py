"""Holes of images filled by what is around them, without anything learnt: the floor of inpainting.

B batch, C channels, H, W pixels of any number.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.transforms.poisson import Gradients, poisson_in_mask
from reverie.utils.errors import UserError

TOLERANCE = 1e-5
"""residual at which the solver stops: within 0.01 of 255 levels of the solution on photos"""


def laplace_fill(image: Tensor, hole: Tensor, iterations: int | None = None) -> Tensor:
    """Images [B,C,H,W] with the smoothest surface through the pixels around each hole; outside holes as they are.

    Laplace's equation, with the known pixels as its border and no flux through the frame: the Poisson equation of
    Perez 2003 (section 3) with no gradients inside. What an image has inside its hole is of no consequence.

    image: in any range, of float32 or float64; hole: bool [B,1,H,W]
    iterations: a fixed number of these for all images together, so that nothing is read back from the device; none:
        each image by itself, up to TOLERANCE

    Raises UserError if a hole leaves nothing of its image (not found out with `iterations`, which needs a known pixel).
    """
    if iterations is not None:
        return _solve(image, hole, iterations)
    filled = []
    for one, its_hole in zip(image.split(1), hole.split(1), strict=True):
        if its_hole.all():
            raise UserError("the hole covers the whole image, so nothing is left to fill it from; mark a part of it.")
        filled.append(_solve(one, its_hole, None) if its_hole.any() else one)
    return torch.cat(filled)


def _solve(image: Tensor, hole: Tensor, iterations: int | None) -> Tensor:
    known = image.masked_fill(hole, 0.0)
    flat = Gradients(torch.zeros_like(known[..., 1:]), torch.zeros_like(known[..., 1:, :]))
    with torch.autocast(image.device.type, enabled=False):  # in bf16 the solver gets nowhere
        solved = poisson_in_mask(flat, known, hole, tolerance=TOLERANCE, iterations=iterations)
    return torch.where(hole, solved, image)
