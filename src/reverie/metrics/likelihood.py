"""Scores of models with a likelihood, and the trivial model to compare with: independent pixels.

D = H*W*C dimensions of an image. Images are uint8 [N,H,W,C]; memory-mapped arrays are read in slices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from reverie.metrics.score import Better, Reference, Score, standard_error

SLICE = 2000
"""images that are read at once"""


def independent_bernoulli(train: np.ndarray, x: Tensor) -> Tensor:
    """-log p(x) [N] in nats, float64, of black and white images x [N,C,H,W] in {0,1} under independent pixels.

    The probability of white is a pixel's mean grey level in the training images, to which one black and one white
    image are added, so that no image has probability 0.
    """
    total = sum(train[i : i + SLICE].astype(np.int64).sum(0) for i in range(0, len(train), SLICE))
    white = torch.from_numpy((np.asarray(total) / 255 + 1) / (len(train) + 2)).permute(2, 0, 1).flatten()  # [D]
    x = x.flatten(1).cpu().double()
    return -(x @ white.log() + (1 - x) @ torch.log1p(-white))


def independent_levels(train: np.ndarray, images: np.ndarray) -> Tensor:
    """-log p(x) [N] in nats, float64, under independent pixels.

    The probabilities of the 256 levels are a pixel's frequencies in the training images, to which one image of each
    level is added.
    """
    dims = int(np.prod(train.shape[1:]))
    counts, offsets = np.ones((dims, 256)), 256 * np.arange(dims)
    for start in range(0, len(train), SLICE):
        cells = train[start : start + SLICE].reshape(-1, dims) + offsets
        counts += np.bincount(cells.ravel(), minlength=256 * dims).reshape(dims, 256)
    nats = -np.log(counts / (len(train) + 256))
    rows = [nats[np.arange(dims), image.ravel()].sum() for image in images]
    return torch.tensor(rows, dtype=torch.float64)


def likelihood_scores(
    bound: Tensor, elbo: Tensor, trivial: Tensor, k: int, dims: int, what: str, reference: Reference, seed: int
) -> Iterator[Score]:
    """Negative log-likelihood, bits/dim and ELBO.

    bound, elbo: L_k and the ELBO of each image, [N] in nats; trivial: -log p of the trivial model, [N] in nats;
    k: samples in L_k; dims: D; what: a description of the images for the definition.
    """

    def score(name: str, values: Tensor, unit: str, better: Better, definition: str, baseline: Tensor) -> Score:
        n = len(values)
        return Score(
            name, float(values.mean()), unit, better, f"{definition}, {what}", reference, n, seed,
            std_error=standard_error(values), group="likelihood", baseline=float(baseline.mean()),
            baseline_name="each pixel on its own, with its frequencies in the training split",
        )  # fmt: skip

    l_k = f"L_k = log of the mean of p(x,z)/q(z|x) over k = {k} z from q(z|x) (Burda 2015, eq. 8), float64"
    yield score("nll", -bound, "nats", "lower", f"mean of -L_k; {l_k}", trivial)
    per_dim = math.log(2) * dims
    bits = f"mean of -L_k / (ln 2 * {dims} dimensions per image)"
    yield score("bits/dim", -bound / per_dim, "bits/dim", "lower", f"{bits}; {l_k}", trivial / per_dim)
    definition = "mean of log p(x|z) - KL(q(z|x) || p(z)), one z from q(z|x) for each image"
    yield score("elbo", elbo, "nats", "higher", definition, -trivial)
