"""How far a set of generated items lies from a set of real ones: functions of features, one row an item.

N real items, M generated ones, D numbers each. All is computed in float64, in blocks, so that no N x M table is held.
Nothing here is drawn at random: the same features give the same figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from reverie.metrics.score import standard_error
from reverie.utils.errors import UserError

ROWS = 1024
"""rows of a block of distances or kernel values"""


class Mean(NamedTuple):
    """A figure, and its standard error; None where it cannot be told."""

    value: float
    error: float | None


class PRDC(NamedTuple):
    """Precision and density are means over the generated items, recall and coverage over the real ones."""

    precision: Mean
    recall: Mean
    density: Mean
    coverage: Mean


def frechet_distance(real: Tensor, made: Tensor) -> float:
    """FID: ||m1 - m2||^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of the means and unbiased covariances (Heusel 2017, eq. 6).

    real: [N,D]; made: [M,D]. N and M may be smaller than D; the figure is biased upwards by few items.
    """
    real, made = _checked(real, made, 2)
    means, roots = (real.mean(0), made.mean(0)), []
    for x, mean in zip((real, made), means, strict=True):
        a = (x - mean) / (len(x) - 1) ** 0.5  # S = A'A
        # Where there are more items than numbers, R of A = QR has the same R'R = S and is smaller.
        roots.append(torch.linalg.qr(a, mode="r").R if len(a) > a.shape[1] else a)
    # The eigenvalues of S1 S2 = A1'A1 A2'A2 are the squared singular values of A1 A2'. Taken so, no root of a rounding
    # error is summed D times, which is what becomes of the zero eigenvalues of S1 S2 when there are few items.
    overlap = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    spread = roots[0].square().sum() + roots[1].square().sum()
    return float((means[0] - means[1]).square().sum() + spread - 2 * overlap)


def kernel_distance(real: Tensor, made: Tensor) -> Mean:
    """KID: the unbiased squared MMD with the kernel (x.y/D + 1)^3 (Binkowski 2018, section 4), from all items.

    real: [N,D]; made: [M,D]. The paper's code takes the mean over random subsets; all items at once estimate the same
    number with less noise and no draws. The error is that of the jackknife that leaves out one item after another.
    """
    real, made = _checked(real, made, 3)
    n, m = len(real), len(made)
    within_real, across_real = _kernel_sums(real, real, same=True), _kernel_sums(real, made)  # [N], [N]
    within_made, across_made = _kernel_sums(made, made, same=True), _kernel_sums(made, real)  # [M], [M]
    rr, mm, rm = within_real.sum(), within_made.sum(), across_real.sum()
    value = rr / (n * (n - 1)) + mm / (m * (m - 1)) - 2 * rm / (n * m)

    without_real = (rr - 2 * within_real) / ((n - 1) * (n - 2)) - 2 * (rm - across_real) / ((n - 1) * m)
    without_made = (mm - 2 * within_made) / ((m - 1) * (m - 2)) - 2 * (rm - across_made) / ((m - 1) * n)
    variance = without_real.var(correction=0) * (n - 1) + without_made.var(correction=0) * (m - 1)
    return Mean(float(value), float(variance.sqrt()))


def prdc(real: Tensor, made: Tensor, k: int = 5) -> PRDC:
    """Precision and recall (Kynkaanniemi 2019, eq. 2), density and coverage (Naeem 2020, eqs. 3 and 5).

    real: [N,D]; made: [M,D]; an item's ball reaches to its k-th neighbour in its own set, itself not counted, and holds
    what is nearer than that (not what is as near), as in the authors' package. Raises UserError where k is too large.
    """
    real, made = _checked(real, made, k + 2)  # their selection of the k + 1 nearest needs one item more
    around_real, around_made = neighbour_distances(real, k), neighbour_distances(made, k)  # [N], [M], squared
    balls = torch.zeros(len(made), dtype=torch.float64)  # of real items, that hold a generated one
    recalled, covered = [], []
    for rows, apart in _distances(real, made):  # [rows,M], squared
        balls += (apart < around_real[rows, None]).sum(0)
        recalled.append((apart < around_made).any(1))
        covered.append(apart.min(1).values < around_real[rows])
    return PRDC(_mean(balls > 0), _mean(torch.cat(recalled)), _mean(balls / k), _mean(torch.cat(covered)))


def spread(x: Tensor) -> float:
    """The mean distance of two different rows of x [N,D]."""
    x = _checked(x, x, 2)[0]
    return sum(float(apart.clamp_min(0).sqrt().sum()) for _, apart in _distances(x, x)) / (len(x) * (len(x) - 1))


def neighbour_distances(x: Tensor, k: int) -> Tensor:
    """The squared distance of each row of x [N,D] to its k-th neighbour among the others: [N]."""
    return torch.cat([apart.kthvalue(k + 1, 1).values for _, apart in _distances(x, x)])


def nearest(x: Tensor, among: Tensor, k: int = 1, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(distances [N,k], indices [N,k]) of the k rows of `among` [M,D] that are nearest to each row of x [N,D].

    own: the index [N] in `among` of each row itself, where it is one of them: it is no neighbour of its own.
    """
    x, among = _checked(x, among, 1)
    found = []
    for rows, apart in _distances(x, among):
        if own is not None:
            apart[torch.arange(len(apart)), own[rows]] = torch.inf
        found.append(apart.topk(k, 1, largest=False))
    return torch.cat([f.values for f in found]).sqrt(), torch.cat([f.indices for f in found])


def _checked(real: Tensor, made: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Both as float64 on the CPU. Raises UserError on shapes that do not go together, too few rows, or NaN."""
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1]:
        raise UserError(
            f"features are {tuple(real.shape)} and {tuple(made.shape)}; give two tables with a row an item and as many "
            "columns in both."
        )
    for x in (real, made):
        if len(x) < least:
            raise UserError(f"{len(x)} items are too few for this score; it takes {least} or more of each.")
        if not torch.isfinite(x).all():
            raise UserError("features hold numbers that are not finite; the network or its weights are broken.")
    return real.detach().cpu().double(), made.detach().cpu().double()


def _distances(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """(rows, squared distances [rows,M]) of rows of x [N,D] to all of y [M,D]."""
    centre = y.mean(0)  # smaller numbers, smaller rounding errors
    x, y = x - centre, y - centre
    lengths_x, lengths_y = x.square().sum(1), y.square().sum(1)
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        lengths = lengths_x[rows, None] + lengths_y
        apart = torch.addmm(lengths, x[rows], y.T, alpha=-2)
        # What is left of equal items by rounding is zero again, so that copies are at no distance from one another.
        yield rows, apart.masked_fill_(apart < 1e-12 * lengths, 0)


def _kernel_sums(x: Tensor, y: Tensor, same: bool = False) -> Tensor:
    """Sums [N] over y of (x.y/D + 1)^3; same: x is y, and an item is not paired with itself."""
    sums = []
    for part in x.split(ROWS):
        sums.append((part @ y.T).div_(x.shape[1]).add_(1).pow_(3).sum(1))
    total = torch.cat(sums)
    return total - x.square().sum(1).div(x.shape[1]).add(1).pow(3) if same else total


def _mean(x: Tensor) -> Mean:
    x = x.double()
    return Mean(float(x.mean()), standard_error(x))
