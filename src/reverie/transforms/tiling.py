"""Images of any size through a fully convolutional network: padded to multiples, large ones in tiles without seams.

C channels, H, W pixels; images [1,C,H,W]. A network that enlarges has a whole `scale`: its output is [1,C',sH,sW].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.utils.errors import UserError

Network = Callable[[Tensor], Tensor]
"""[1,C,H,W] -> [1,C',H,W], or [1,C',sH,sW]"""


def pad_to_multiple(x: Tensor, multiple: int, least: int = 0) -> Tensor:
    """x [1,C,H,W] padded below and on the right until H and W are multiples of `multiple`, and `least` or more.

    The padding reflects x, or where x is too small for that, repeats its border.
    """
    for side in (2, 3):
        length = x.shape[side]
        missing = -(-max(length, least) // multiple) * multiple - length
        pad = (0, 0, 0, missing) if side == 2 else (0, missing, 0, 0)
        if missing:
            x = F.pad(x, pad, "reflect" if missing < length else "replicate")
    return x


def apply_padded(network: Network, x: Tensor, multiple: int, least: int = 0, scale: int = 1) -> Tensor:
    """network(x) [1,C',sH,sW] of an image of any size at once: padded as by `pad_to_multiple`, and cropped back."""
    return network(pad_to_multiple(x, multiple, least))[:, :, : scale * x.shape[2], : scale * x.shape[3]]


def apply_tiled(
    network: Network, x: Tensor, tile: int, overlap: int, multiple: int, least: int = 0, blend: int | None = None,
    scale: int = 1, to_labels: bool = False,
) -> Tensor:  # fmt: skip
    """network(x) [1,C',sH,sW] of an image of any size, in tiles of `tile` pixels a side where it is larger than one.

    Neighbouring tiles share 2 * (overlap + blend) pixels or more. The outer `overlap` pixels of each tile are discarded
    and the rest is blended. So where a pixel of the result depends on no more than `overlap` pixels around it, tiles
    change nothing, and blend may be 0; by default it is `overlap`. multiple, least: as in `pad_to_multiple`; scale: of
    a network that enlarges; all else counts pixels of x. to_labels: results are label maps, which are not blended: each
    pixel is that of the tile that would weigh most. Raises ValueError if a tile is too small.
    """
    height, width = x.shape[2:]
    if max(height, width) <= tile:
        return apply_padded(network, x, multiple, least, scale)
    blend = overlap if blend is None else blend
    shared = 2 * (overlap + blend)
    if tile % multiple or tile < shared + multiple:
        raise ValueError(f"tile {tile} must be a multiple of {multiple} and {shared + multiple} or more")
    total: Tensor | None = None
    weight = x.new_zeros(1, 1, scale * height, scale * width)
    for top in _starts(height, tile, shared, multiple):
        for left in _starts(width, tile, shared, multiple):
            part = x[:, :, top : top + tile, left : left + tile]
            output = apply_padded(network, part, multiple, least, scale)
            h, w = part.shape[2:]
            share = _ramp(scale * h, top > 0, top + h < height, scale * overlap, scale * blend, x)[:, None]
            share = share * _ramp(scale * w, left > 0, left + w < width, scale * overlap, scale * blend, x)[None]
            if total is None:
                total = x.new_zeros(1, output.shape[1], scale * height, scale * width)
            rows, columns = slice(scale * top, scale * (top + h)), slice(scale * left, scale * (left + w))
            sum_here, weight_here = total[:, :, rows, columns], weight[:, :, rows, columns]
            if to_labels:
                sum_here.copy_(torch.where(share > weight_here, output, sum_here))
                weight_here.copy_(torch.maximum(share, weight_here))
            else:
                sum_here += output * share
                weight_here += share
    assert total is not None
    return total if to_labels else total.div_(weight)


def check_tile(tile: int, multiple: int = 256) -> None:
    """Raises UserError unless images may be cut into tiles of so many pixels, for a network that needs `multiple`."""
    multiple = max(256, multiple)
    if tile < 2 * multiple or tile % multiple:
        raise UserError(f"tile is {tile}; give a multiple of {multiple}, {2 * multiple} or more.")


def _starts(side: int, tile: int, shared: int, multiple: int) -> list[int]:
    """Where tiles begin: at multiples, as a network that halves the side gives the same only when moved by these."""
    if side <= tile:
        return [0]
    step = (tile - shared) // multiple * multiple
    last = -(-(side - tile) // multiple) * multiple  # this one extends to the border
    return [*range(0, last, step), last]


def _ramp(side: int, before: bool, after: bool, overlap: int, blend: int, like: Tensor) -> Tensor:
    """The weight of each row of a tile: 0 in the outer `overlap` rows at an edge that has another tile beyond it, then
    rising to 1 over `blend` rows."""
    at = torch.arange(side, dtype=like.dtype, device=like.device)
    rise = torch.ones_like(at)
    if before:
        rise = torch.minimum(rise, ((at - overlap + 1) / (blend + 1)).clamp(0, 1))
    if after:
        rise = torch.minimum(rise, ((side - at - overlap) / (blend + 1)).clamp(0, 1))
    return rise
