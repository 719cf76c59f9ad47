"""The verbs `interpolate` and `edit`: rows of items between two latent codes.

B batch, Z latent dimensions, N codes. Item i of rows of `frames` items stands in row i // frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.core.generation import Items, Latents, generate_images, select_items
from reverie.media import Image, inputs_of
from reverie.utils.errors import UserError

Endpoints: TypeAlias = Callable[[Sequence[int]], tuple[Tensor, Tensor]]
"""row numbers -> the codes [B,Z] at which these rows begin, and those at which they end"""

Between: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(a [B,Z], b [B,Z], share [B,1] from 0 to 1) -> the codes [B,Z] that lie this share of the way from a to b"""


def lerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Linear interpolation from a [B,Z] to b, `share` [B,1] of the way."""
    return a + share * (b - a)


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Spherical interpolation from a [B,Z] to b (White 2016, section 2.1), `share` [B,1] of the way.

    For a normal prior: halfway along a straight line z would be shorter than any z of training.
    """
    angle = F.cosine_similarity(a, b, 1).clamp(-1, 1).acos().unsqueeze(1).clamp_min(1e-4)
    return (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)


def interpolate_images(
    decode: Callable[[Tensor], Tensor],
    latents: Latents,
    codes: Tensor | None,
    n: int,
    frames: int,
    items: Items,
    between: Between = lerp,
    sources: Sequence[Image] | None = None,
) -> Iterator[Image]:
    """The whole of a verb `interpolate`: rows of `frames` images, both ends included.

    Args:
        decode: codes [B,Z] -> images [B,C,H,W] in [-1,1].
        latents: the codes that `generate` decodes; used where `codes` is None.
        codes: [N,Z] of given images: row r goes from code r to code r + 1. None: from latent 2r to latent 2r + 1.
        n: number of rows where `codes` is None; otherwise there are N - 1.
        items: which of all rows * frames images to make.
        between: `lerp` or `slerp`.
        sources: the images that were encoded, noted in the record of every item.

    Raises UserError if there is one code only.
    """
    endpoints = row_endpoints(latents, codes)
    rows = n if codes is None else len(codes) - 1
    yield from _rows_of_images(decode, endpoints, between, rows, frames, items, sources)


def edit_images(
    decode: Callable[[Tensor], Tensor],
    latents: Latents,
    codes: Tensor | None,
    change: Callable[[Tensor], tuple[Tensor, Tensor]],
    n: int,
    frames: int,
    items: Items,
    sources: Sequence[Image] | None = None,
) -> Iterator[Image]:
    """The whole of a verb `edit`: for each image a row of `frames` images that changes step by step.

    Args:
        decode: codes [B,Z] -> images [B,C,H,W] in [-1,1].
        latents: the codes that `generate` decodes; used where `codes` is None.
        codes: [N,Z] of given images: row r is about code r. None: row r is about latent r.
        change: codes [B,Z] -> where their rows begin and end, such as `lambda z: (z - shift, z + shift)`.
            A row of one frame is the end.
        n: number of rows where `codes` is None; otherwise there are N.
        items: which of all rows * frames images to make.
        sources: the images that were encoded, noted in the record of every item.
    """
    endpoints = edit_endpoints(change, latents, codes, frames)
    rows = n if codes is None else len(codes)
    for image in _rows_of_images(decode, endpoints, lerp, rows, frames, items, sources):
        yield image.in_row_about(sources or (), frames)


def row_endpoints(latents: Latents, codes: Tensor | None = None) -> Endpoints:
    """The ends of row r: codes [N,Z] r and r + 1, or, without codes, latents 2r and 2r + 1.

    A row after the last is the last again: blocks of items are of one size, also at the end of a job.
    Raises UserError if there is one code only.
    """
    if codes is not None and len(codes) == 1:
        raise UserError("interpolate got one; give two or more, or none to interpolate between new ones.")

    def endpoints(rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        if codes is None:
            return latents([2 * r for r in rows]), latents([2 * r + 1 for r in rows])
        first = [min(r, len(codes) - 2) for r in rows]
        return codes[first], codes[[r + 1 for r in first]]

    return endpoints


def edit_endpoints(
    change: Callable[[Tensor], tuple[Tensor, Tensor]], latents: Latents, codes: Tensor | None, frames: int
) -> Endpoints:
    """The ends of row r: change(code r) or, without codes [N,Z], change(latent r); in rows of one frame the end alone.

    A row after the last is the last again, as in `row_endpoints`.
    """

    def endpoints(rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        z = latents(rows) if codes is None else codes[[min(r, len(codes) - 1) for r in rows]]
        begin, end = change(z)
        return (end if frames == 1 else begin), end

    return endpoints


def row_latents(endpoints: Endpoints, between: Between, frames: int) -> Latents:
    """The code of each item of rows of `frames`, evenly spaced from one end of its row to the other."""

    def latents(items: Sequence[int]) -> Tensor:
        begin, end = endpoints([i // frames for i in items])
        share = torch.tensor([[i % frames / max(frames - 1, 1)] for i in items], device=begin.device)
        return between(begin, end, share)

    return latents


def _rows_of_images(
    decode: Callable[[Tensor], Tensor],
    endpoints: Endpoints,
    between: Between,
    rows: int,
    frames: int,
    items: Items,
    sources: Sequence[Image] | None,
) -> Iterator[Image]:
    chosen, inputs = select_items(items, rows, frames), inputs_of(sources or ())
    for image in generate_images(decode, row_latents(endpoints, between, frames), chosen):
        yield dataclasses.replace(image, inputs=inputs, columns=frames)
