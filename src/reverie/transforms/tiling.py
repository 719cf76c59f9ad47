"""Pictures of any size through a network that wants multiples, large ones in tiles without seams.

C channels, H, W pixels; pictures [1,C,H,W].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.utils.errors import UserError


def padded(x: Tensor, multiple: int, least: int = 0) -> Tensor:
    """x [1,C,H,W] with rows and columns added below and on the right, so that H and W are multiples, and `least` at
    least: mirrored, or where the picture is too small for that, repeated."""
    for side in (2, 3):
        now = x.shape[side]
        more = -(-max(now, least) // multiple) * multiple - now
        pad = (0, 0, 0, more) if side == 2 else (0, more, 0, 0)
        if more:
            x = F.pad(x, pad, "reflect" if more < now else "replicate")
    return x


def whole(act: Callable[[Tensor], Tensor], x: Tensor, multiple: int, least: int = 0) -> Tensor:
    """act(x) of a picture of any size, at once: padded, and cropped back to the pixel."""
    return act(padded(x, multiple, least))[:, :, : x.shape[2], : x.shape[3]]


def tiled(act: Callable[[Tensor], Tensor], x: Tensor, tile: int, overlap: int, multiple: int, least: int = 0) -> Tensor:
    """act(x) of a picture, in tiles of `tile` pixels a side where it is larger.

    Neighbours share 2 * overlap pixels, of which the outer `overlap` of each tile are thrown away and the rest is
    blended. So where a pixel of the result depends on no more than `overlap` pixels around it, tiles change nothing.
    """
    height, width = x.shape[2:]
    if max(height, width) <= tile:
        return whole(act, x, multiple, least)
    if tile % multiple or tile < 4 * overlap + multiple:
        raise ValueError(f"tile {tile} must be a multiple of {multiple} and {4 * overlap + multiple} or more")
    total: Tensor | None = None
    weight = x.new_zeros(1, 1, height, width)
    for top in _starts(height, tile, overlap, multiple):
        for left in _starts(width, tile, overlap, multiple):
            part = x[:, :, top : top + tile, left : left + tile]
            made = whole(act, part, multiple, least)
            h, w = part.shape[2:]
            share = _ramp(h, top > 0, top + h < height, overlap, x)[:, None]
            share = share * _ramp(w, left > 0, left + w < width, overlap, x)[None]
            if total is None:
                total = x.new_zeros(1, made.shape[1], height, width)
            total[:, :, top : top + h, left : left + w] += made * share
            weight[:, :, top : top + h, left : left + w] += share
    assert total is not None
    return total / weight


def check_tile(tile: int, multiple: int = 256) -> None:
    """Raises UserError unless a picture may be cut into tiles of so many pixels, for a network of such multiples."""
    multiple = max(256, multiple)
    if tile < 2 * multiple or tile % multiple:
        raise UserError(f"tile is {tile}; give a multiple of {multiple}, {2 * multiple} or more.")


def _starts(side: int, tile: int, overlap: int, multiple: int) -> list[int]:
    """Where tiles begin: at multiples, since a network that halves the side sees the same only from there."""
    if side <= tile:
        return [0]
    step = (tile - 4 * overlap) // multiple * multiple
    last = -(-(side - tile) // multiple) * multiple  # this one reaches the border
    return [*range(0, last, step), last]


def _ramp(side: int, before: bool, after: bool, overlap: int, like: Tensor) -> Tensor:
    """The weight of a row of a tile: nothing at edges that other tiles lie beyond, then rising to 1."""
    at = torch.arange(side, dtype=like.dtype, device=like.device)
    rise = torch.ones_like(at)
    if before:
        rise = torch.minimum(rise, ((at - overlap + 1) / (overlap + 1)).clamp(0, 1))
    if after:
        rise = torch.minimum(rise, ((side - at - overlap) / (overlap + 1)).clamp(0, 1))
    return rise
