"""How well a density predicts where people look: the scores of the MIT/Tuebingen saliency benchmark.

Bylinskii, Judd, Oliva, Torralba, Durand 2016, arXiv:1604.03605; as pysaliency computes them. A prediction is a density
p float64 [H,W] that sums to 1, or any saliency map s [H,W] where only order or shape matters; fixations are rows and
columns, integers [N] within the image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

EPS = 2.2204e-16
"""that KL adds, as the benchmark's code"""


class Fixated(NamedTuple):
    """Where an image was looked at."""

    rows: np.ndarray
    columns: np.ndarray

    @property
    def size(self) -> int:
        return len(self.rows)

    def at(self, values: np.ndarray) -> np.ndarray:
        """The values [N] of a map [H,W] there."""
        return values[self.rows, self.columns]


def auc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The area under the ROC curve: the share of pairs in which the positive value is higher, ties as halves."""
    ordered = np.sort(negatives.ravel())
    below = np.searchsorted(ordered, positives, "left")
    not_above = np.searchsorted(ordered, positives, "right")
    return float((below + not_above).mean() / (2 * len(ordered)))


def auc_judd(s: np.ndarray, fixated: Fixated) -> float:
    """Fixated pixels against all pixels of the image (Judd 2009; pysaliency's AUC with uniform non-fixations)."""
    return auc(fixated.at(s), s)


def shuffled_auc(s: np.ndarray, fixated: Fixated, elsewhere: Fixated) -> float:
    """Fixated pixels against those that are fixated in other images (Zhang 2008), so that centre bias gets .5."""
    return auc(fixated.at(s), elsewhere.at(s))


def nss(s: np.ndarray, fixated: Fixated) -> float:
    """The mean at fixations of the map less its mean, in its standard deviations (population); 0 of an even map."""
    spread = s.std()
    return float((fixated.at(s).mean() - s.mean()) / spread) if spread > 0 else 0.0


def correlation(s: np.ndarray, empirical: np.ndarray) -> float:
    """Pearson's correlation of two maps; 0 where one is even."""
    a, b = s - s.mean(), empirical - empirical.mean()
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size > 0 else 0.0


def similarity(p: np.ndarray, empirical: np.ndarray) -> float:
    """The sum of the lower of two densities: 1 if equal, 0 if they do not overlap."""
    return float(np.minimum(p, empirical).sum())


def kl_divergence(p: np.ndarray, empirical: np.ndarray) -> float:
    """KL(empirical || p) in nats, with EPS as in the benchmark: sum q log(EPS + q / (p + EPS))."""
    return float((empirical * np.log(EPS + empirical / (p + EPS))).sum())


def information_gain(p: np.ndarray, centre_bias: np.ndarray, fixated: Fixated) -> float:
    """Bits for each fixation by which a density is likelier than the centre bias (Kuemmerer 2015)."""
    return float(np.mean(np.log2(fixated.at(p)) - np.log2(fixated.at(centre_bias))))


def empirical_density(height: int, width: int, fixated: Fixated, sigma: float) -> np.ndarray:
    """Fixations smoothed by a Gaussian of `sigma` pixels, cut off at the frame: a density [H,W]."""
    counts = np.zeros((height, width))
    np.add.at(counts, (fixated.rows, fixated.columns), 1.0)
    smooth = _gaussian(height, sigma) @ counts @ _gaussian(width, sigma).T
    return smooth / smooth.sum()


def _gaussian(n: int, sigma: float) -> np.ndarray:
    """[n,n]: row i holds the Gaussian around i."""
    offsets = np.arange(n)[:, None] - np.arange(n)
    return np.exp(-0.5 * (offsets / sigma) ** 2)
