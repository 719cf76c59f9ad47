"""Full-reference scores: each image is compared with its own target. PSNR, SSIM, and agreement of label maps.

Images are uint8 [H,W,C], C = 1 (grey) or 3 (RGB); both of a pair have one size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.data.images.conversion import convert_channels
from reverie.metrics.pixels import mean_squared_errors, psnr
from reverie.metrics.score import Better, Reference, Score, standard_error

WINDOW, SIGMA = 11, 1.5
"""pixels of SSIM's Gaussian window, and its sigma (Wang 2004, section III.C)"""
PSNR = (
    "10 log10(1 / mean squared error of pixels in [0,1]) of each image, over all channels, without cropping, the error "
    "at least 1/12 of a squared grey level of 255; mean over images"
)
SSIM = (
    "mean structural similarity of each image (Wang 2004; Gaussian window of 11 pixels, sigma 1.5, K1 0.01, K2 0.03, "
    "range 255, windows inside the image only), mean over channels and images"
)


class Restored(NamedTuple):
    """An image before degradation, after it, and restored: uint8 [H,W,C] each."""

    name: str
    original: np.ndarray
    degraded: np.ndarray
    restored: np.ndarray

    def as_row(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """In the order of figures: degraded, restored, original."""
        return self.degraded, self.restored, self.original


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """The mean structural similarity of two images of at least 11 pixels per side, mean over channels; 1 if equal."""
    return float(ssim_map(a, b).mean())


def ssim_map(a: np.ndarray, b: np.ndarray) -> Tensor:
    """The structural similarity of two images in each window that lies inside them: float64 [C,H-10,W-10]."""
    x, y = (torch.from_numpy(p.astype(np.float64)).permute(2, 0, 1)[:, None] for p in (a, b))  # [C,1,H,W]
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    line = line / line.sum()

    def blur(t: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(t, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))

    mx, my = blur(x), blur(y)
    vx, vy, covariance = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * mx * my + c1) * (2 * covariance + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))[:, 0]


def psnrs(images: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Tensor:
    """The PSNR in dB of each image [N]."""
    errors = [mean_squared_errors(x[None], y[None]) for x, y in zip(images, targets, strict=True)]
    return torch.cat([psnr(error) for error in errors])


def full_reference_scores(
    images: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    baseline: Sequence[np.ndarray],
    baseline_name: str,
    reference: Reference,
    seed: int,
    conditions: str,
) -> Iterator[Score]:
    """PSNR, and SSIM of images of at least 11 pixels per side, against their targets.

    baseline: what there is without the method; conditions: what was compared, as a part of the definitions.
    """
    baseline = [convert_channels(p, g.shape[2]) for p, g in zip(baseline, targets, strict=True)]
    columns: list[tuple[str, str, str, Tensor, Tensor]] = [
        ("psnr", "dB", PSNR, psnrs(images, targets), psnrs(baseline, targets))
    ]
    if min(min(g.shape[:2]) for g in targets) >= WINDOW:
        columns.append(("ssim", "", SSIM, _ssims(images, targets), _ssims(baseline, targets)))
    better: Better = "higher"
    for name, unit, definition, values, baseline_values in columns:
        yield Score(
            name, float(values.mean()), unit, better, f"{definition}; {conditions}", reference, len(values), seed,
            std_error=standard_error(values), group="image similarity", baseline=float(baseline_values.mean()),
            baseline_name=baseline_name,
        )  # fmt: skip


def _ssims(images: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Tensor:
    return torch.tensor([ssim(x, y) for x, y in zip(images, targets, strict=True)])


class SegmentationMetrics(NamedTuple):
    """How well label maps agree with the true ones."""

    pixel_accuracy: float
    """share of pixels of the correct class"""
    miou: float
    """mean intersection over union: of each class the pixels in both maps divided by those in either, mean over the
    classes that occur"""


def segmentation_metrics(predicted: np.ndarray, true: np.ndarray, classes: int) -> SegmentationMetrics:
    """Of class indices [N,H,W], 0 to classes - 1."""
    confusion = np.bincount((true * classes + predicted).reshape(-1), minlength=classes**2).reshape(classes, classes)
    intersection = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - intersection
    occurs = union > 0
    return SegmentationMetrics(
        float(intersection.sum() / confusion.sum()), float((intersection[occurs] / union[occurs]).mean())
    )
