"""Scores of pixels: how sharp, how near to what was learnt from, how well reconstructed.

Images are uint8 [N,H,W,C], C = 1 (grey) or 3 (RGB); arrays mapped from disk are read in slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.data.images.decode import LUMA
from reverie.metrics.distribution import Mean
from reverie.metrics.score import standard_error

SLICE = 2000
"""images that are widened to floats at once"""
LOOKED_AT = 32
"""pixels a side that images are compared at"""


def sharpness(images: np.ndarray) -> Tensor:
    """The variance of each image's Laplacian [N] (float64), of luminance in [0,255].

    The kernel is 0 1 0, 1 -4 1, 0 1 0, mirrored at the border without repeating it, as OpenCV's Laplacian does.
    """
    kernel = torch.tensor([[[[0, 1, 0], [1, -4, 1], [0, 1, 0]]]], dtype=torch.float64)
    found = []
    for x in _slices(images, 200):
        x = x.double()  # [n,C,H,W]
        if x.shape[1] == 3:
            x = (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
        found.append(F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), kernel).flatten(1).var(1, correction=0))
    return torch.cat(found)


def ratio_of_means(a: Tensor, b: Tensor) -> Mean:
    """mean(a) / mean(b) of two independent samples, and its standard error to first order."""
    value = float(a.mean() / b.mean())
    if min(len(a), len(b)) < 2:
        return Mean(value, None)
    apart = sum(float(x.var() / len(x) / x.mean().square()) for x in (a, b))
    return Mean(value, abs(value) * apart**0.5)


class Nearness(NamedTuple):
    """How far generated images lie from the training images, beside real images that were not learnt from."""

    ratio: float
    """median distance of generated ones to the nearest training image, divided by that of the unseen ones"""
    farther: Mean
    """probability that a generated image is farther from its nearest training image than an unseen one; 0.5 where both
    are alike, near 0 where the generated ones are copies (Meehan 2020, section 3.1, without cells)"""
    copies: Mean
    """share of generated images nearer to a training image than all but one in a hundred of the unseen ones, or the
    same as one"""


def nearness(made: Tensor, unseen: Tensor) -> Nearness:
    """From the distances to the nearest training image of generated images [N], and of real, unseen ones [M]."""
    made, unseen = made.double().contiguous(), unseen.double().contiguous()
    ordered = unseen.sort().values
    # Of each generated one, the share of unseen ones that are nearer; half of those that are as near.
    below, up_to = torch.searchsorted(ordered, made), torch.searchsorted(ordered, made, right=True)
    ranks = (below + up_to).double() / (2 * len(ordered))
    others = made.sort().values
    back = torch.searchsorted(others, unseen) + torch.searchsorted(others, unseen, right=True)
    # The two terms of the variance of a Mann-Whitney statistic (DeLong 1988, eq. 5).
    error = float(ranks.var() / len(made) + (back.double() / (2 * len(made))).var() / len(unseen)) ** 0.5
    # Where more than one in a hundred of the unseen ones are the same as a training image, none is nearer than that.
    close = ((made < ordered.quantile(0.01)) | (made == 0)).double()
    return Nearness(
        _ratio(made.median(), unseen.median()),
        Mean(float(ranks.mean()), error),
        Mean(float(close.mean()), standard_error(close)),
    )


def nearest_images(
    images: np.ndarray, among: np.ndarray, k: int = 1, own: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(distances [N,k], indices [N,k]) of the k nearest of `among` to each image: root mean squares of differences of
    pixels in [0,1], both made at most LOOKED_AT pixels a side by averaging.

    own: the index [N] in `among` of each image itself, where it is one of them: it is no neighbour of its own.
    """
    x = torch.cat([_small(part) for part in _slices(images, SLICE)])  # [N,D]
    best = torch.full((len(x), k), torch.inf, dtype=torch.float64)
    index = torch.zeros(len(x), k, dtype=torch.int64)
    for number, part in enumerate(_slices(among, SLICE)):
        start = number * SLICE
        apart, which = _nearest_of(x, _small(part), k, None if own is None else own - start)
        best, order = torch.cat([best, apart], 1).sort(dim=1, stable=True)
        index = torch.cat([index, which + start], 1).gather(1, order)
        best, index = best[:, :k], index[:, :k]
    return best / x.shape[1] ** 0.5, index


def _nearest_of(x: Tensor, y: Tensor, k: int, own: Tensor | None) -> tuple[Tensor, Tensor]:
    """As distribution.nearest, found in float32: k + 2 candidates, in case rounding has mixed up the nearest."""
    lengths = y.square().sum(1)
    found, distances = [], []
    for start in range(0, len(x), SLICE):
        rows = x[start : start + SLICE]
        apart = torch.addmm(lengths, rows, y.T, alpha=-2)  # and the length of x, which is the same in a row
        if own is not None:
            here = own[start : start + SLICE]
            inside = ((here >= 0) & (here < len(y))).nonzero().flatten()
            apart[inside, here[inside]] = torch.inf
        which = apart.topk(min(k + 2, len(y)), 1, largest=False).indices
        exact = torch.stack([(rows.double() - y[column].double()).square().sum(1) for column in which.T], 1).sqrt()
        distances.append(exact.masked_fill(apart.gather(1, which).isinf(), torch.inf))
        found.append(which)
    return torch.cat(distances), torch.cat(found)


def squared_errors(images: np.ndarray, others: np.ndarray) -> Tensor:
    """The mean squared difference of each pair of images [N] (float64), of pixels in [0,1]."""
    apart = torch.from_numpy(images.astype(np.float64) - others.astype(np.float64)) / 255
    return apart.square().flatten(1).mean(1)


def psnr(errors: Tensor) -> Tensor:
    """Peak signal-to-noise ratios in dB of mean squared errors of pixels in [0,1].

    An error counts as 1/12 of a squared grey level at least, what rounding to 256 levels leaves: 58.9 dB, not infinity.
    """
    return -10 * errors.clamp_min(1 / 12 / 255**2).log10()


def mean_image(images: np.ndarray) -> np.ndarray:
    """The mean of all images, uint8 [H,W,C]."""
    total = sum(images[i : i + SLICE].astype(np.float64).sum(0) for i in range(0, len(images), SLICE))
    return np.asarray(total / len(images)).round().astype(np.uint8)


def _ratio(a: Tensor, b: Tensor) -> float:
    return float(a / b) if b > 0 else float("nan")


def _slices(images: np.ndarray, rows: int) -> Iterator[Tensor]:
    """Parts of the images as float32 [n,C,H,W] in [0,255]."""
    for start in range(0, len(images), rows):
        yield torch.from_numpy(np.array(images[start : start + rows])).permute(0, 3, 1, 2).float()


def _small(x: Tensor) -> Tensor:
    """[n,C,H,W] in [0,255] -> [n,D] in [0,1], of at most LOOKED_AT pixels a side."""
    return (F.adaptive_avg_pool2d(x, LOOKED_AT) if max(x.shape[2:]) > LOOKED_AT else x).flatten(1) / 255
