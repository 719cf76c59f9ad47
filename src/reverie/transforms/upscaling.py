"""A photograph through a network that enlarges: any size, grey or colour, alpha, 8 or 16 bits, in tiles.

C channels, H, W pixels; images [1,C,H,W] in [-1,1].
"""

from __future__ import annotations

import dataclasses
import sys
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


class Upscaler(NamedTuple):
    """A fully convolutional network that enlarges, and what has to be known to use it."""

    network: Network
    """[1,C,H,W] -> [1,C,sH,sW]"""
    channels: int
    """C: 1 or 3"""
    scale: int
    """s"""
    receptive_radius: int
    """how many pixels of its input around it a pixel of the output depends on"""
    device: torch.device

    @property
    def least_tile(self) -> int:
        """Pixels a side of the smallest tile."""
        return 2 * self.receptive_radius + 1


@torch.no_grad()
def upscale_photo(photo: Photo, upscaler: Upscaler, scale: float, tile: int) -> Photo:
    """A photograph `scale` times as large, by the network's own scale and then, where it is another, by Lanczos.

    A colour photo through a grey network: its luminance; colour, and alpha always, are enlarged by bicubic
    interpolation. What is transparent is given the colours around it first, so that no fringe of another colour shows.
    tile: pixels of the photo a side; a smaller one is taken where memory is short, which is said on stderr. Raises
    UserError where the result would have more pixels than an image may have.
    """
    height, width, channels = photo.pixels.shape
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    largest = max(size[0] * size[1], height * width * upscaler.scale**2)
    if largest > MAX_PIXELS:
        raise UserError(
            f"{photo.name or 'the photo'} has {width} x {height} pixels: enlarged it would have more than "
            f"{MAX_PIXELS // 10**6} megapixels; give a part of it, or less scale."
        )
    visible = with_hidden_colours(photo)
    x = visible.to_tensor(upscaler.channels).to(upscaler.device)
    y = tiled(upscaler, x, tile)
    if upscaler.channels == 3 and channels == 1:
        y = grey(y)
    if upscaler.channels == 1 and channels == 3:
        colour = visible.to_tensor(3).to(upscaler.device) - x
        y = y + F.interpolate(colour, tuple(y.shape[2:]), mode="bicubic", align_corners=False)
    if tuple(y.shape[2:]) != size:
        y = lanczos(y, size)
    return photo.with_pixels(y[0], None if photo.alpha is None else enlarged_alpha(photo.alpha, size))


def tiled(upscaler: Upscaler, x: Tensor, tile: int) -> Tensor:
    """The network's output for x [1,C,H,W], in tiles; where memory does not suffice for one, in smaller ones."""
    tile = max(tile, upscaler.least_tile)
    while True:
        try:
            return apply_tiled(
                upscaler.network, x, tile, upscaler.receptive_radius, 1, blend=0, scale=upscaler.scale
            )  # fmt: skip
        except (RuntimeError, MemoryError) as error:
            smaller = min(tile, max(x.shape[2:])) // 2
            if not shortage(error) or smaller < upscaler.least_tile:
                raise
            tile = smaller
        print(f"there is not enough memory; going on in tiles of {tile} pixels", file=sys.stderr)


def lanczos(x: Tensor, size: tuple[int, int]) -> Tensor:
    """x [1,C,H,W] resized to (h, w) by Lanczos with antialiasing, not rounded."""
    planes = [PIL.Image.fromarray(plane.cpu().numpy(), "F") for plane in x[0].float()]
    resized = [np.asarray(plane.resize(size[::-1], PIL.Image.Resampling.LANCZOS)) for plane in planes]
    return torch.from_numpy(np.stack(resized))[None]


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
