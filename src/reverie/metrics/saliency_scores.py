"""Saliency scores of a set of images, beside the centre bias, and beside one half of the viewers for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from reverie.metrics.saliency import (
    Fixated,
    auc_judd,
    correlation,
    empirical_density,
    information_gain,
    kl_divergence,
    nss,
    shuffled_auc,
    similarity,
)
from reverie.metrics.score import Better, Reference, Score, standard_error

SIGMA = 0.035
"""of the Gaussian that turns fixations into a density, in shorter sides of the image"""
SMOOTHED = f"fixations smoothed by a Gaussian of {SIGMA} shorter sides"
CENTRE = "centre bias: the smoothed fixations of the training set"


class Observed(NamedTuple):
    """An image's fixations and what is predicted of it."""

    points: np.ndarray
    """float64 [N,3]: x, y in pixels, inside the image, and viewer"""
    density: np.ndarray
    """float64 [H,W], which sums to 1"""
    centre_bias: np.ndarray
    """float64 [H,W], which sums to 1"""

    @property
    def fixated(self) -> Fixated:
        """The pixels that hold the points."""
        return Fixated(self.points[:, 1].astype(int), self.points[:, 0].astype(int))

    @property
    def sigma(self) -> float:
        """Pixels of the Gaussian that smooths fixations."""
        return SIGMA * min(self.density.shape)


class Metric(NamedTuple):
    """One score of a prediction p of an image: f(p, image, fixations elsewhere)."""

    name: str
    unit: str
    better: Better
    definition: str
    of: Callable[[np.ndarray, Observed, Fixated], float]


def _empirical(image: Observed) -> np.ndarray:
    height, width = image.density.shape
    return empirical_density(height, width, image.fixated, image.sigma)


METRICS = (
    Metric("auc-judd", "", "higher", "area under the ROC curve, fixated pixels against all pixels of the picture, ties "
           "as halves", lambda p, o, e: auc_judd(p, o.fixated)),
    Metric("shuffled auc", "", "higher", "area under the ROC curve, fixated pixels against those that are fixated in "
           "the other pictures of the reference", lambda p, o, e: shuffled_auc(p, o.fixated, e)),
    Metric("nss", "", "higher", "mean of the density at fixations, after its mean was subtracted and it was divided by "
           "its (population) standard deviation", lambda p, o, e: nss(p, o.fixated)),
    Metric("cc", "", "higher", f"Pearson's correlation of the density with {SMOOTHED}",
           lambda p, o, e: correlation(p, _empirical(o))),
    Metric("sim", "", "higher", f"sum of the lower of both densities, the other being {SMOOTHED}",
           lambda p, o, e: similarity(p, _empirical(o))),
    Metric("saliency kl", "nats", "lower", f"sum q log(eps + q / (p + eps)), eps 2.2204e-16, q {SMOOTHED}, p the "
           "density", lambda p, o, e: kl_divergence(p, _empirical(o))),
    Metric("information gain", "bits", "higher", f"mean log2 likelihood of fixations less that by the {CENTRE}",
           lambda p, o, e: information_gain(p, o.centre_bias, o.fixated)),
)  # fmt: skip


def saliency_scores(images: Sequence[Observed], reference: Reference, seed: int) -> Iterator[Score]:
    """Each metric's mean over images; then each where one half of the viewers predicts the other, no ceiling."""
    everywhere = [_elsewhere(images, i) for i in range(len(images))]
    for metric in METRICS:
        values, bias = (
            torch.tensor([metric.of(getattr(o, kind), o, e) for o, e in zip(images, everywhere, strict=True)])
            for kind in ("density", "centre_bias")
        )
        yield _score(metric, metric.name, metric.definition, values, float(bias.mean()), reference, seed)
    halves = [(half, e) for o, e in zip(images, everywhere, strict=True) for half in _halves(o)]
    for metric in METRICS if halves else ():
        values = torch.tensor([metric.of(o.density, o, e) for o, e in halves])
        bias = torch.tensor([metric.of(o.centre_bias, o, e) for o, e in halves])
        what = f"{metric.definition}; predicted from the smoothed fixations of the other half of the picture's viewers"
        yield _score(metric, f"{metric.name}, half of the viewers", what, values, float(bias.mean()), reference, seed)


def _score(
    metric: Metric, name: str, what: str, values: torch.Tensor, bias: float, reference: Reference, seed: int
) -> Score:
    return Score(
        name, float(values.mean()), metric.unit, metric.better, f"{what}; mean over pictures", reference, len(values),
        seed, std_error=standard_error(values), group="saliency", baseline=bias, baseline_name=CENTRE,
    )  # fmt: skip


def _elsewhere(images: Sequence[Observed], i: int) -> Fixated:
    """The fixations of all other images, at the same shares of this image's sides."""
    height, width = images[i].density.shape
    rows, columns = [np.zeros(0)], [np.zeros(0)]
    for k, other in enumerate(images):
        if k != i:
            rows.append(other.points[:, 1] / other.density.shape[0] * height)
            columns.append(other.points[:, 0] / other.density.shape[1] * width)
    found = Fixated(np.concatenate(rows).astype(int), np.concatenate(columns).astype(int))
    return found if found.size else Fixated(*(axis.ravel() for axis in np.indices((height, width))))


def _halves(image: Observed) -> Iterator[Observed]:
    """Each half of an image's viewers, with the smoothed fixations of the other as its prediction; none for one."""
    viewers = np.unique(image.points[:, 2])
    if len(viewers) < 2:
        return
    first = np.isin(image.points[:, 2], viewers[::2])
    for seen, given in ((first, ~first), (~first, first)):
        other = image._replace(points=image.points[given])
        even = 1e-3 / other.density.size  # of a uniform density, so that no likelihood is 0
        density = (1 - 1e-3) * _empirical(other) + even
        yield Observed(image.points[seen], density, image.centre_bias)
