"""A network at the size that it has learnt at, on an image of another size: the result scaled, the detail kept.

C channels, H, W pixels; images [1,C,H,W] in [-1,1].
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Network = Callable[[Tensor], Tensor]
"""[1,C,H,W] -> [1,C',H,W]"""
Detail = Literal["difference", "guided", "none"]
"""difference: what the network changes, enlarged, is added to the image; guided: the change follows the edges of the
image (guided filter); none: the result is enlarged as it is"""
NOTED = 1.5
"""times the size of training from which an image is said to be larger"""
RADIUS, EPSILON = 2, 1e-3
"""of the guided filter: pixels at the working size, and the variance (of [-1,1] squared) below which it smooths"""


def apply_at_size(
    network: Network, x: Tensor, size: int | None, detail: Detail, labels: bool = False, to_labels: bool = False,
    least: int = 0,
) -> Tensor:  # fmt: skip
    """network(x) [1,C',H,W] of an image, computed with a shorter side of `size` pixels, in the image's own size.

    size: None, or not below the shorter side of x: network(x) as it is; least: without a size, smaller images are
    enlarged to a shorter side of so many pixels. Detail is kept where C' = C or one is 1.
    labels, to_labels: whether x, or the result, is a label map: it is resized by picking pixels and has no detail
    """
    height, width = x.shape[2:]
    if size is None and min(height, width) < least:
        size = least
    elif size is None or size >= min(height, width):
        return network(x)
    scale = size / min(height, width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    small = F.interpolate(x, inner, mode="nearest-exact") if labels else _resize(x, inner)
    result = network(small)
    if to_labels:
        return F.interpolate(result, (height, width), mode="nearest-exact")
    if labels or detail == "none" or (x.shape[1] != result.shape[1] and 1 not in (x.shape[1], result.shape[1])):
        return _resize(result, (height, width)).clamp(-1, 1)
    if result.shape[1] == 1 and x.shape[1] == 3:
        x, small = x.mean(1, keepdim=True), small.mean(1, keepdim=True)
    if detail == "guided":
        return guided_upsample(small, result, x).clamp(-1, 1)
    return (x + _resize(result - small, (height, width))).clamp(-1, 1)


def note_size(noted: set[str], name: str, side: int, size: int) -> None:
    """Says on stderr, once for each set `noted`, that an image is larger than those of training.

    side: the shorter side of the image; size: pixels a side of training
    """
    if side >= NOTED * size and not noted:
        noted.add(name)
        print(
            f"note: this run learnt at {size} pixels, and {name or 'an image'} has {side}: what it paints is as fine "
            f"as at {size}, as stripes or grain. --working-size {size} translates at that size and keeps the detail.",
            file=sys.stderr,
        )


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic, with antialiasing."""
    return F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False)


def guided_upsample(small: Tensor, result: Tensor, x: Tensor) -> Tensor:
    """The result [1,C',h,w] of `small` [1,C,h,w], enlarged along the edges of x [1,C,H,W].

    A fast guided filter (He, Sun 2015, arXiv:1505.00996): result = a * small + b around each pixel, a and b enlarged.
    """
    kernel = 2 * RADIUS + 1

    def mean(t: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(t, (RADIUS,) * 4, "replicate"), kernel, 1)

    small = small.expand_as(result) if small.shape[1] == 1 else small
    x = x.expand(-1, result.shape[1], -1, -1) if x.shape[1] == 1 else x
    mean_in, mean_out = mean(small), mean(result)
    covariance = mean(small * result) - mean_in * mean_out
    variance = mean(small * small) - mean_in.square()
    a = covariance / (variance + EPSILON)
    b = mean_out - a * mean_in
    height, width = x.shape[2:]
    a, b = (F.interpolate(mean(t), (height, width), mode="bilinear", align_corners=False) for t in (a, b))
    return torch.addcmul(b, a, x)
