"""A photograph through a network that enlarges: any size, grey or colour, alpha, 8 or 16 bits, in tiles.

C channels, H, W pixels; images [1,C,H,W] in [-1,1].
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.data.images.decode import MAX_PIXELS
from reverie.media import Photo
from reverie.transforms.degradations import grey
from reverie.transforms.tiling import Network, apply_tiled
from reverie.utils.errors import UserError, shortage

STRIP_PIXELS = 24_000_000
"""of the network's output, that are there at once: about 400 MB; what is larger is made in strips"""
LANCZOS_RADIUS = 3


class Upscaler(NamedTuple):
    """A fully convolutional network that enlarges, and what has to be known to use it."""

    network: Network
    """[1,C,H,W] -> [1,C,sH,sW]"""
    channels: int
    """C: 1 or 3"""
    scale: int
    """s"""
    overlap: int
    """how many pixels of its input around it a pixel of the output depends on, or does so noticeably"""
    device: torch.device
    blend: int = 0
    """pixels over which neighbouring tiles are blended, where the output depends a little on pixels further away"""
    multiple: int = 1
    """what H and W must be multiples of"""
    tile: int = 256
    """pixels a side of a tile, where the user names none"""

    @property
    def least_tile(self) -> int:
        """Pixels a side of the smallest tile."""
        return 2 * (self.overlap + self.blend) + self.multiple


@torch.no_grad()
def upscale_photo(photo: Photo, upscaler: Upscaler, scale: float, tile: int | None = None) -> Photo:
    """A photograph `scale` times as large, by the network's own scale and then, where it is another, by Lanczos.

    A colour photo through a grey network: its luminance; colour, and alpha always, are enlarged by bicubic
    interpolation. What is transparent is given the colours around it first, so that no fringe of another colour shows.
    tile: pixels of the photo a side, None: the upscaler's; a smaller one is taken where memory is short, which is said
    on stderr. Raises UserError where the result would have more pixels than an image may have.
    """
    height, width, channels = photo.pixels.shape
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    if size[0] * size[1] > MAX_PIXELS:
        raise UserError(
            f"{photo.name or 'the photo'} has {width} x {height} pixels: enlarged it would have more than "
            f"{MAX_PIXELS // 10**6} megapixels; give a part of it, or less scale."
        )
    visible, whole = with_hidden_colours(photo), (height * upscaler.scale, width * upscaler.scale)
    strips = []  # the network's output can be far larger than what is asked for
    for rows, (top, bottom) in strips_of(whole, size, upscaler):
        part = dataclasses.replace(visible, pixels=visible.pixels[top:bottom])
        x = part.to_tensor(upscaler.channels).to(upscaler.device)
        y = tiled(upscaler, x, tile or upscaler.tile)
        if upscaler.channels == 3 and channels == 1:
            y = grey(y)
        if upscaler.channels == 1 and channels == 3:
            colour = part.to_tensor(3).to(upscaler.device) - x
            y = y + F.interpolate(colour, tuple(y.shape[2:]), mode="bicubic", align_corners=False)
        strips.append(part.with_pixels(rows_at_size(y[0], rows, top * upscaler.scale, whole, size)))
    alpha = None if photo.alpha is None else enlarged_alpha(photo.alpha, size)
    pixels = np.concatenate([strip.pixels for strip in strips])
    return dataclasses.replace(strips[0], pixels=pixels, alpha=alpha).made_from(photo)


def strips_of(
    whole: tuple[int, int], size: tuple[int, int], upscaler: Upscaler
) -> Iterator[tuple[range, tuple[int, int]]]:
    """The strips that a result is made in: (its rows, (first row of the photo that they depend on, behind the last)).

    whole: height and width of the network's output for all of the photo; size: of the result
    """
    s, multiple, ratio = upscaler.scale, upscaler.multiple, whole[0] / size[0]
    beyond = upscaler.overlap + upscaler.blend
    reach = 0.0 if whole == size else LANCZOS_RADIUS * max(1.0, ratio) + 1  # in rows of the network's output
    n = min(size[0], -(-whole[0] * whole[1] // STRIP_PIXELS))
    for k in range(n):
        rows = range(size[0] * k // n, size[0] * (k + 1) // n)
        top = math.floor((rows.start * ratio - reach) / s) - beyond
        bottom = math.ceil((rows.stop * ratio + reach) / s) + beyond
        top, bottom = max(0, top // multiple * multiple), min(whole[0] // s, -(-bottom // multiple) * multiple)
        yield rows, (top, bottom)


def rows_at_size(y: Tensor, rows: range, top: int, whole: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Rows of a result of `size` from the network's output y [C,h,w], which begins at row `top` of `whole`; by Lanczos
    with antialiasing where they have another size."""
    if whole == size:
        return y[:, rows.start - top : rows.stop - top]
    ratio = whole[0] / size[0]
    box = (0, rows.start * ratio - top, y.shape[2], min(rows.stop * ratio - top, y.shape[1]))
    planes = [PIL.Image.fromarray(plane.cpu().numpy(), "F") for plane in y.float()]
    shape = (size[1], len(rows))
    resized = [np.asarray(plane.resize(shape, PIL.Image.Resampling.LANCZOS, box)) for plane in planes]
    return torch.from_numpy(np.stack(resized))


def tiled(upscaler: Upscaler, x: Tensor, tile: int) -> Tensor:
    """The network's output for x [1,C,H,W], in tiles; where memory does not suffice for one, in smaller ones."""
    multiple = upscaler.multiple
    tile = max(tile, upscaler.least_tile)
    while True:
        try:
            return apply_tiled(
                upscaler.network, x, tile, upscaler.overlap, multiple, blend=upscaler.blend, scale=upscaler.scale
            )  # fmt: skip
        except (RuntimeError, MemoryError) as error:
            smaller = min(tile, max(x.shape[2:])) // (2 * multiple) * multiple
            if not shortage(error) or smaller < upscaler.least_tile:
                raise
            tile = smaller
        print(f"there is not enough memory; going on in tiles of {tile} pixels", file=sys.stderr)


def enlarged_alpha(alpha: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Alpha [H,W] in another size, of the same dtype, by bicubic interpolation, clipped."""
    highest = int(np.iinfo(alpha.dtype).max)
    x = torch.from_numpy(alpha.astype(np.float32))[None, None]
    x = F.interpolate(x, size, mode="bicubic", align_corners=False)
    return x[0, 0].round_().clamp_(0, highest).numpy().astype(alpha.dtype)


def with_hidden_colours(photo: Photo) -> Photo:
    """The photograph without alpha, its transparent pixels in the colours of those around them."""
    if photo.alpha is None or photo.alpha.all() or not photo.alpha.any():
        return dataclasses.replace(photo, alpha=None)
    x = torch.from_numpy(photo.pixels.astype(np.float32)).permute(2, 0, 1)[None]
    filled = _fill(x, torch.from_numpy(photo.alpha > 0).float()[None, None])
    pixels = filled[0].permute(1, 2, 0).round().numpy().astype(photo.pixels.dtype)
    return dataclasses.replace(photo, pixels=np.ascontiguousarray(pixels), alpha=None)


def _fill(x: Tensor, known: Tensor) -> Tensor:
    """x [1,C,H,W] where `known` [1,1,H,W] is 1, elsewhere the mean of what is known near by (2x2 pixels, 4x4 ...)."""
    if known.all() or max(x.shape[2:]) == 1:
        return x
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    mean = F.avg_pool2d(x * known, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarse = _fill(mean, (share > 0).float())
    around = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, : x.shape[2], : x.shape[3]]
    return torch.where(known > 0, x, around)
