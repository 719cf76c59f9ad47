"""Scores of pictures that are held against the true ones, one by one: PSNR, SSIM, labels.

Pictures are uint8 [H,W,C], C = 1 (grey) or 3 (RGB), each pair of one size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.data.images.decode import convert_channels
from reverie.metrics.pixels import psnr, squared_errors
from reverie.metrics.score import Better, Reference, Score, standard_error

WINDOW, SIGMA = 11, 1.5
"""pixels of SSIM's Gaussian window, and its sigma (Wang 2004, section III.C)"""
PSNR = (
    "10 log10(1 / mean squared error of pixels in [0,1]) of each picture, over all channels, nothing cropped, the "
    "error at least 1/12 of a squared grey level of 255; mean over pictures"
)
SSIM = (
    "mean structural similarity of each picture (Wang 2004; Gaussian window of 11 pixels, sigma 1.5, K 0.01 and 0.03, "
    "range 255, where the window lies inside), mean over channels and pictures"
)


class Restored(NamedTuple):
    """A picture: as it was, as it was spoilt, and what was made of that."""

    name: str
    good: np.ndarray
    spoilt: np.ndarray
    made: np.ndarray

    def seen(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As a reader goes through them: spoilt, made, good."""
        return self.spoilt, self.made, self.good


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """The mean structural similarity of two pictures of 11 pixels a side or more, mean over channels; 1 if alike."""
    x, y = (torch.from_numpy(p.astype(np.float64)).permute(2, 0, 1)[:, None] for p in (a, b))  # [C,1,H,W]
    at = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    line = torch.exp(-(at**2) / (2 * SIGMA**2))
    line = line / line.sum()

    def mean(t: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(t, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))

    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(((2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


def psnrs(made: Sequence[np.ndarray], good: Sequence[np.ndarray]) -> Tensor:
    """The PSNR in dB of each picture [N]."""
    return torch.cat([psnr(squared_errors(m[None], g[None])) for m, g in zip(made, good, strict=True)])


def likeness(
    made: Sequence[np.ndarray], good: Sequence[np.ndarray], floor: Sequence[np.ndarray], floor_source: str,
    reference: Reference, seed: int, about: str,
) -> Iterator[Score]:  # fmt: skip
    """PSNR and SSIM of pictures beside the true ones; the floor: of what is there without the method."""
    floor = [convert_channels(p, g.shape[2]) for p, g in zip(floor, good, strict=True)]
    fine = min(min(g.shape[:2]) for g in good) >= WINDOW
    columns: list[tuple[str, str, Better, str, Tensor, Tensor]] = [
        ("psnr", "dB", "higher", PSNR, psnrs(made, good), psnrs(floor, good))
    ]
    if fine:
        values = [torch.tensor([ssim(p, g) for p, g in zip(x, good, strict=True)]) for x in (made, floor)]
        columns.append(("ssim", "", "higher", SSIM, values[0], values[1]))
    for name, unit, better, told, value, trivial in columns:
        yield Score(
            name, float(value.mean()), unit, better, f"{told}; {about}", reference, len(value), seed,
            float(trivial.mean()), floor_source, standard_error(value), group="likeness",
        )  # fmt: skip


class Labelled(NamedTuple):
    """How well label maps agree with the true ones."""

    accuracy: float
    """share of pixels of the right class"""
    overlap: float
    """of each class the pixels in both maps, divided by those in either; mean over the classes that occur"""


def labelled(made: np.ndarray, true: np.ndarray, classes: int) -> Labelled:
    """Of class numbers [N,H,W]."""
    table = np.bincount((true * classes + made).reshape(-1), minlength=classes**2).reshape(classes, classes)
    right, either = np.diag(table), table.sum(0) + table.sum(1) - np.diag(table)
    there = either > 0
    return Labelled(float(right.sum() / table.sum()), float((right[there] / either[there]).mean()))
