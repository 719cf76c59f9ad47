"""Rows from one latent code to another.   B batch, Z latents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.core.generation import generate_images
from reverie.media import Image
from reverie.utils.errors import UserError


def interpolation_rows(
    network: Callable[[Tensor], Tensor],
    ends: Callable[[list[int]], tuple[Tensor, Tensor]],
    between: Callable[[Tensor, Tensor, Tensor], Tensor],
    items: Sequence[int],
    steps: int,
) -> Iterator[Image]:
    """Rows of `steps` images network(between(a, b, share)), with share [B,1] from 0 to 1.

    ends: rows -> a and b [B,Z], where each row begins and ends. A block may ask for rows after the last.
    """

    def latents(items: list[int]) -> Tensor:
        a, b = ends([i // steps for i in items])
        share = torch.tensor([[i % steps / max(steps - 1, 1)] for i in items], device=a.device)
        return between(a, b, share)

    for image in generate_images(network, latents, items):
        yield image.in_rows_of(steps)


def row_endpoints(
    latents: Callable[[Sequence[int]], Tensor], codes: Tensor | None = None
) -> Callable[[list[int]], tuple[Tensor, Tensor]]:
    """Where rows of a walk begin and end: at codes [N,Z] r and r + 1, or without codes at items 2r and 2r + 1.

    Raises UserError if there is one code only.
    """
    if codes is not None and len(codes) == 1:
        raise UserError("interpolate got one; give two or more, or none for walks between new ones.")

    def ends(rows: list[int]) -> tuple[Tensor, Tensor]:
        if codes is None:
            return latents([2 * r for r in rows]), latents([2 * r + 1 for r in rows])
        rows = [min(r, len(codes) - 2) for r in rows]
        return codes[rows], codes[[r + 1 for r in rows]]

    return ends


def edit_endpoints(
    change: Callable[[Tensor], tuple[Tensor, Tensor]],
    latents: Callable[[Sequence[int]], Tensor],
    codes: Tensor | None = None,
) -> Callable[[list[int]], tuple[Tensor, Tensor]]:
    """Where rows of a walk begin and end: what change makes of codes [N,Z], or without codes of items, one a row."""

    def ends(rows: list[int]) -> tuple[Tensor, Tensor]:
        return change(latents(rows) if codes is None else codes[[min(r, len(codes) - 1) for r in rows]])

    return ends


def lerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """From a [B,Z] to b straight, `share` [B,1] of the way."""
    return a + share * (b - a)


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """From a [B,Z] to b along the great circle (White 2016, section 2.1), `share` [B,1] of the way.

    On the sphere: halfway along a straight line z would be shorter than any z seen in training.
    """
    angle = F.cosine_similarity(a, b, 1).clamp(-1, 1).acos().unsqueeze(1).clamp_min(1e-4)
    return (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)
