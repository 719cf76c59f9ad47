"""Bicubic resampling as MATLAB's imresize does it, to the last bit: what super-resolution is trained and scored with.

The kernel is Keys' cubic with a = -1/2 (Keys 1981, doi:10.1109/TASSP.1981.1163711), widened by the factor where an
image is made smaller (antialiasing); borders are repeated; rows are resampled before columns, and of integer images the
values between the two passes are rounded half up. Other libraries' "bicubic" differs in one or more of these.
H, W pixels before, h, w after; C channels.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def imresize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images uint8, uint16 or float64 [H,W,C] in another size (h, w), of the same dtype; equal to MATLAB's imresize.

    Floats are neither rounded nor clipped.
    """
    for axis, side in enumerate(size):
        weights, index = _taps(pixels.shape[axis], side)
        shape = [1, 1, 1]
        shape[axis] = side
        total = np.zeros((*pixels.shape[:axis], side, *pixels.shape[axis + 1 :]))
        for column, at in zip(weights.T, index.T, strict=True):
            total += column.reshape(shape) * np.take(pixels, at, axis)
        if pixels.dtype.kind != "f":
            total = np.floor(total + 0.5).clip(0, np.iinfo(pixels.dtype).max)
        pixels = total.astype(pixels.dtype)
    return pixels


def imresize_tensor(x: Tensor, size: tuple[int, int], levels: bool = False) -> Tensor:
    """As `imresize`, of images x [B,C,H,W] in [-1,1] of any device -> [B,C,h,w].

    levels: round and clip to the 256 levels of [-1,1] after each pass, as of files; else nothing is rounded
    """
    with torch.autocast(x.device.type, enabled=False):
        for axis, side in zip((2, 3), size, strict=True):
            matrix = _matrix(x.shape[axis], side).to(x.device, x.dtype)
            x = torch.einsum("hH,bcHw->bchw" if axis == 2 else "wW,bchW->bchw", matrix, x)
            x = to_levels(x) if levels else x
    return x


def to_levels(x: Tensor) -> Tensor:
    """x in the 256 levels of [-1,1] that a file of 8 bits has, clipped, rounded half up."""
    return ((x + 1) * 127.5 + 0.5).floor().clamp(0, 255) / 127.5 - 1


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -1/2, which is 0 from 2 on (eq. 15)."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


@lru_cache(256)
def _taps(side: int, new_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights float64 [new_side,K] of sum 1, and the rows [new_side,K] of an image that they are of."""
    factor = new_side / side
    narrow = min(factor, 1.0)
    width = 4 / narrow
    centre = (np.arange(1, new_side + 1) / factor + 0.5 * (1 - 1 / factor))[:, None]  # counted from 1, as in MATLAB
    index = np.floor(centre - width / 2) + np.arange(math.ceil(width) + 2)
    weights = narrow * cubic(narrow * (centre - index))
    weights /= weights.sum(1, keepdims=True)
    used = (weights != 0).any(0)
    return weights[:, used], (index[:, used] - 1).clip(0, side - 1).astype(np.int64)


@lru_cache(256)
def _matrix(side: int, new_side: int) -> Tensor:
    """The weights as float64 [new_side,side]."""
    weights, index = _taps(side, new_side)
    matrix = np.zeros((new_side, side))
    np.add.at(matrix, (np.arange(new_side)[:, None], index), weights)
    return torch.from_numpy(matrix)
