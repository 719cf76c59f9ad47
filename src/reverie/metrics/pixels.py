"""Scores computed from pixels: sharpness, distance to the training images, reconstruction errors.

Images are uint8 [N,H,W,C], C = 1 (grey) or 3 (RGB); memory-mapped arrays are read in slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.data.images.conversion import LUMA
from reverie.metrics.distribution import Mean
from reverie.metrics.score import standard_error

SLICE = 2000
"""images that are converted to floats at once"""
COMPARISON_SIZE = 32
"""pixels per side, at most, that images are compared at"""


def sharpness(images: np.ndarray) -> Tensor:
    """The variance of each image's Laplacian [N] (float64), of the luminance in [0,255].

    The kernel is 0 1 0, 1 -4 1, 0 1 0, with a reflected border, as OpenCV's Laplacian.
    """
    kernel = torch.tensor([[[[0, 1, 0], [1, -4, 1], [0, 1, 0]]]], dtype=torch.float64)
    variances = []
    for x in _slices(images, 200):
        x = x.double()  # [n,C,H,W]
        if x.shape[1] == 3:
            x = (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
        variances.append(F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), kernel).flatten(1).var(1, correction=0))
    return torch.cat(variances)


def colourfulness(pixels: np.ndarray) -> float:
    """How colourful an image uint8 [H,W,3] is: 0 if it is grey; 15 slightly, 45 averagely, 109 extremely.

    Hasler & Süsstrunk 2003, doi:10.1117/12.477378, section 7
    """
    red, green, blue = torch.from_numpy(pixels).double().unbind(2)
    opponents = torch.stack([red - green, (red + green) / 2 - blue]).flatten(1)
    return float(opponents.std(1, correction=0).norm() + 0.3 * opponents.mean(1).norm())


def ratio_of_means(a: Tensor, b: Tensor) -> Mean:
    """mean(a) / mean(b) of two independent samples, and its standard error to first order."""
    value = float(a.mean() / b.mean())
    if min(len(a), len(b)) < 2:
        return Mean(value, None)
    relative_variance = sum(float(x.var() / len(x) / x.mean().square()) for x in (a, b))
    return Mean(value, abs(value) * relative_variance**0.5)


class CopyingStatistics(NamedTuple):
    """How close generated images lie to the training images, compared with real images not used in training."""

    nn_distance_ratio: float
    """median distance of generated images to the nearest training image, divided by that of the unseen images"""
    auc: Mean
    """probability that a generated image is farther from its nearest training image than an unseen image is; 0.5 where
    both are alike, near 0 where generated images are copies (Meehan 2020, section 3.1, without cells)"""
    near_duplicates: Mean
    """share of generated images closer to a training image than 99 in 100 unseen images, or identical to one"""


def copying_statistics(fake: Tensor, unseen: Tensor) -> CopyingStatistics:
    """From the distances to the nearest training image of generated images [N] and of unseen real images [M]."""
    fake, unseen = fake.double().contiguous(), unseen.double().contiguous()
    ordered = unseen.sort().values
    # For each generated image the share of unseen ones that are closer; ties count half.
    below, up_to = torch.searchsorted(ordered, fake), torch.searchsorted(ordered, fake, right=True)
    ranks = (below + up_to).double() / (2 * len(ordered))
    ordered_fake = fake.sort().values
    back = torch.searchsorted(ordered_fake, unseen) + torch.searchsorted(ordered_fake, unseen, right=True)
    # The two terms of the variance of a Mann-Whitney statistic (DeLong 1988, eq. 5).
    error = float(ranks.var() / len(fake) + (back.double() / (2 * len(fake))).var() / len(unseen)) ** 0.5
    # Where more than 1 in 100 unseen images equal a training image, the quantile is 0, and nothing is closer than that.
    close = ((fake < ordered.quantile(0.01)) | (fake == 0)).double()
    return CopyingStatistics(
        _ratio(fake.median(), unseen.median()),
        Mean(float(ranks.mean()), error),
        Mean(float(close.mean()), standard_error(close)),
    )


def nearest_images(
    images: np.ndarray, among: np.ndarray, k: int = 1, exclude: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(distances [N,k], indices [N,k]) of the k images of `among` that are nearest to each image.

    The distance is the root mean square difference of pixels in [0,1], after both were averaged down to at most
    COMPARISON_SIZE pixels per side. exclude: an index [N] into `among` for each image, which is not counted: that of
    the image itself, where it is in `among`.
    """
    x = torch.cat([_downscaled(part) for part in _slices(images, SLICE)])  # [N,D]
    best = torch.full((len(x), k), torch.inf, dtype=torch.float64)
    index = torch.zeros(len(x), k, dtype=torch.int64)
    for number, part in enumerate(_slices(among, SLICE)):
        start = number * SLICE
        local_exclude = None if exclude is None else exclude - start
        distances, candidates = _nearest_in_slice(x, _downscaled(part), k, local_exclude)
        best, order = torch.cat([best, distances], 1).sort(dim=1, stable=True)
        index = torch.cat([index, candidates + start], 1).gather(1, order)
        best, index = best[:, :k], index[:, :k]
    return best / x.shape[1] ** 0.5, index


def _nearest_in_slice(x: Tensor, y: Tensor, k: int, exclude: Tensor | None) -> tuple[Tensor, Tensor]:
    """As distribution.nearest_neighbours, in float32: k + 2 candidates, in case rounding has changed their order."""
    lengths = y.square().sum(1)
    candidates, distances = [], []
    for start in range(0, len(x), SLICE):
        rows = x[start : start + SLICE]
        partial = torch.addmm(lengths, rows, y.T, alpha=-2)  # without |x|^2, which is constant within a row
        if exclude is not None:
            here = exclude[start : start + SLICE]
            inside = ((here >= 0) & (here < len(y))).nonzero().flatten()
            partial[inside, here[inside]] = torch.inf
        which = partial.topk(min(k + 2, len(y)), 1, largest=False).indices
        exact = torch.stack([(rows.double() - y[column].double()).square().sum(1) for column in which.T], 1).sqrt()
        distances.append(exact.masked_fill(partial.gather(1, which).isinf(), torch.inf))
        candidates.append(which)
    return torch.cat(distances), torch.cat(candidates)


def mean_squared_errors(images: np.ndarray, others: np.ndarray) -> Tensor:
    """The mean squared difference of each pair of images [N] (float64), of pixels in [0,1]."""
    difference = torch.from_numpy(images.astype(np.float64) - others.astype(np.float64)) / 255
    return difference.square().flatten(1).mean(1)


def psnr(errors: Tensor) -> Tensor:
    """Peak signal-to-noise ratios [N] in dB of mean squared errors [N] of pixels in [0,1].

    An error counts as at least 1/12 of a squared grey level, which is what rounding to 256 levels causes: identical
    images have 58.9 dB, not infinity.
    """
    return -10 * errors.clamp_min(1 / 12 / 255**2).log10()


def mean_image(images: np.ndarray) -> np.ndarray:
    """The mean of all images, uint8 [H,W,C]."""
    total = sum(images[i : i + SLICE].astype(np.float64).sum(0) for i in range(0, len(images), SLICE))
    return np.asarray(total / len(images)).round().astype(np.uint8)


def _ratio(a: Tensor, b: Tensor) -> float:
    return float(a / b) if b > 0 else float("nan")


def _slices(images: np.ndarray, rows: int) -> Iterator[Tensor]:
    """Slices of the images as float32 [n,C,H,W] in [0,255]."""
    for start in range(0, len(images), rows):
        yield torch.from_numpy(np.array(images[start : start + rows])).permute(0, 3, 1, 2).float()


def _downscaled(x: Tensor) -> Tensor:
    """[n,C,H,W] in [0,255] -> [n,D] in [0,1], at most COMPARISON_SIZE pixels per side."""
    return (F.adaptive_avg_pool2d(x, COMPARISON_SIZE) if max(x.shape[2:]) > COMPARISON_SIZE else x).flatten(1) / 255
