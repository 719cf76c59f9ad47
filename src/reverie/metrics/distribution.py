"""Distances between a set of generated items and a set of real ones: functions of features, one row per item.

N real items, M generated (fake) ones, D features each. Everything is computed in float64, in blocks of rows, so that no
N x M table is held in memory. Nothing is drawn at random: the same features give the same values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from reverie.metrics.score import standard_error
from reverie.utils.errors import UserError

BLOCK = 1024
"""rows of a block of distances or kernel values"""


class Mean(NamedTuple):
    """A value and its standard error; None where the standard error cannot be estimated."""

    value: float
    std_error: float | None


class PRDC(NamedTuple):
    """Precision and density are means over the generated items, recall and coverage over the real ones."""

    precision: Mean
    recall: Mean
    density: Mean
    coverage: Mean


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """FID: ||m1 - m2||^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of the means and unbiased covariances (Heusel 2017, eq. 6).

    real: [N,D]; fake: [M,D]. N and M may be smaller than D; few items bias the value upwards. Raises UserError on
    shapes that do not fit, fewer than 2 rows, or values that are not finite.
    """
    real, fake = _check_features(real, fake, 2)
    means, roots = (real.mean(0), fake.mean(0)), []
    for x, mean in zip((real, fake), means, strict=True):
        a = (x - mean) / (len(x) - 1) ** 0.5  # S = A'A
        # Where there are more items than features, R of A = QR has the same R'R = S and is smaller.
        roots.append(torch.linalg.qr(a, mode="r").R if len(a) > a.shape[1] else a)
    # The eigenvalues of S1 S2 = A1'A1 A2'A2 are the squared singular values of A1 A2'. Computed this way, no root of a
    # rounding error is summed D times, as happens with the zero eigenvalues of S1 S2 of few items.
    overlap = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    traces = roots[0].square().sum() + roots[1].square().sum()
    return float((means[0] - means[1]).square().sum() + traces - 2 * overlap)


def kernel_distance(real: Tensor, fake: Tensor) -> Mean:
    """KID: the unbiased squared MMD with the kernel (x.y/D + 1)^3 (Binkowski 2018, section 4), from all items at once.

    real: [N,D]; fake: [M,D]. The paper's code takes the mean over random subsets; all items at once estimate the same
    quantity with less noise and no random draws. The standard error is that of the jackknife, which leaves out one item
    after another. Raises UserError as frechet_distance, and for fewer than 3 rows.
    """
    real, fake = _check_features(real, fake, 3)
    n, m = len(real), len(fake)
    within_real, across_real = _kernel_sums(real, real, same=True), _kernel_sums(real, fake)  # [N], [N]
    within_fake, across_fake = _kernel_sums(fake, fake, same=True), _kernel_sums(fake, real)  # [M], [M]
    rr, ff, rf = within_real.sum(), within_fake.sum(), across_real.sum()
    value = rr / (n * (n - 1)) + ff / (m * (m - 1)) - 2 * rf / (n * m)

    without_real = (rr - 2 * within_real) / ((n - 1) * (n - 2)) - 2 * (rf - across_real) / ((n - 1) * m)
    without_fake = (ff - 2 * within_fake) / ((m - 1) * (m - 2)) - 2 * (rf - across_fake) / ((m - 1) * n)
    variance = without_real.var(correction=0) * (n - 1) + without_fake.var(correction=0) * (m - 1)
    return Mean(float(value), float(variance.sqrt()))


def prdc(real: Tensor, fake: Tensor, k: int = 5) -> PRDC:
    """Precision and recall (Kynkaanniemi 2019, eq. 2), density and coverage (Naeem 2020, eqs. 3 and 5).

    real: [N,D]; fake: [M,D]. The ball of an item reaches to its k-th nearest neighbour in its own set, itself not
    counted, and contains what is strictly closer, as in the authors' package. Raises UserError as frechet_distance, and
    for fewer than k + 2 rows.
    """
    real, fake = _check_features(real, fake, k + 2)  # kthvalue(k + 1) of the authors takes one item more
    real_radius, fake_radius = kth_neighbour_distances(real, k), kth_neighbour_distances(fake, k)  # [N], [M], squared
    balls = torch.zeros(len(fake), dtype=torch.float64)  # of real items, that contain a generated one
    recalled, covered = [], []
    for rows, squared in _squared_distances(real, fake):  # [rows,M]
        balls += (squared < real_radius[rows, None]).sum(0)
        recalled.append((squared < fake_radius).any(1))
        covered.append(squared.min(1).values < real_radius[rows])
    return PRDC(_mean(balls > 0), _mean(torch.cat(recalled)), _mean(balls / k), _mean(torch.cat(covered)))


def mean_pairwise_distance(x: Tensor) -> float:
    """The mean Euclidean distance of two different rows of x [N,D]. Raises UserError for fewer than 2 rows."""
    x = _check_features(x, x, 2)[0]
    total = sum(float(squared.clamp_min(0).sqrt().sum()) for _, squared in _squared_distances(x, x))
    return total / (len(x) * (len(x) - 1))


def kth_neighbour_distances(x: Tensor, k: int) -> Tensor:
    """The squared distance of each row of x [N,D] to its k-th nearest neighbour among the others: [N]."""
    return torch.cat([squared.kthvalue(k + 1, 1).values for _, squared in _squared_distances(x, x)])


def nearest_neighbours(x: Tensor, among: Tensor, k: int = 1, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(distances [N,k], indices [N,k]) of the k rows of `among` [M,D] that are nearest to each row of x [N,D].

    exclude: an index [N] into `among` for each row, which is not counted: that of the row itself, where it is in
    `among`. Raises UserError as frechet_distance.
    """
    x, among = _check_features(x, among, 1)
    found = []
    for rows, squared in _squared_distances(x, among):
        if exclude is not None:
            squared[torch.arange(len(squared)), exclude[rows]] = torch.inf
        found.append(squared.topk(k, 1, largest=False))
    return torch.cat([f.values for f in found]).sqrt(), torch.cat([f.indices for f in found])


def _check_features(real: Tensor, fake: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Both as float64 on the CPU. Raises UserError on shapes that do not fit, too few rows, or values not finite."""
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise UserError(
            f"features are {tuple(real.shape)} and {tuple(fake.shape)}; give two tables with one row per item and the "
            "same number of columns."
        )
    for x in (real, fake):
        if len(x) < least:
            raise UserError(f"{len(x)} items are too few for this score; it needs {least} or more of each.")
        if not torch.isfinite(x).all():
            raise UserError("features hold values that are not finite; the network or its weights are broken.")
    return real.detach().cpu().double(), fake.detach().cpu().double()


def _squared_distances(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """(rows, squared distances [rows,M]) of blocks of rows of x [N,D] to all of y [M,D]."""
    centre = y.mean(0)  # smaller values, smaller rounding errors
    x, y = x - centre, y - centre
    lengths_x, lengths_y = x.square().sum(1), y.square().sum(1)
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        lengths = lengths_x[rows, None] + lengths_y
        squared = torch.addmm(lengths, x[rows], y.T, alpha=-2)
        # What rounding leaves of the distance of equal items is set to 0, so that copies are at distance 0.
        yield rows, squared.masked_fill_(squared < 1e-12 * lengths, 0)


def _kernel_sums(x: Tensor, y: Tensor, same: bool = False) -> Tensor:
    """Sums [N] over y of (x.y/D + 1)^3; same: x is y, and an item is not paired with itself."""
    sums = []
    for part in x.split(BLOCK):
        sums.append((part @ y.T).div_(x.shape[1]).add_(1).pow_(3).sum(1))
    total = torch.cat(sums)
    return total - x.square().sum(1).div(x.shape[1]).add(1).pow(3) if same else total


def _mean(x: Tensor) -> Mean:
    x = x.double()
    return Mean(float(x.mean()), standard_error(x))
