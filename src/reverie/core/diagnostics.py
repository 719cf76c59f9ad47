"""Metrics that a step reports for the monitor. Without gradients or random numbers: training stays the same.

What takes several items is not reported of a batch of one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


@torch.no_grad()
def diagnostics(d_real: Tensor, d_fake: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """The metrics "d_auc" and "nn_distance_ratio" of a batch, from D's logits and the images [B,...] they are for."""
    return {"d_auc": discriminator_auc(d_real, d_fake), **nn_distance_ratio(real, fake, mean_nn_distance)}


@torch.no_grad()
def nn_distance_ratio(
    real: Tensor, fake: Tensor, mean_nn_distance: Callable[[Tensor], Tensor], least: float = 1e-6
) -> dict[str, Tensor]:
    """How far generated items lie mean_nn_distance, in units of how far real ones do (`least`, if those are nearer)."""
    return (
        {"nn_distance_ratio": mean_nn_distance(fake) / mean_nn_distance(real).clamp_min(least)} if len(fake) > 1 else {}
    )


@torch.no_grad()
def active_units(mean: Tensor, threshold: float = 0.01) -> dict[str, Tensor]:
    """How many latents answer to the data: variance of their mean [B,Z] over the batch above the threshold."""
    return {"active_units": (mean.var(0) > threshold).sum().float()} if len(mean) > 1 else {}


@torch.no_grad()
def mean_nn_distance(x: Tensor) -> Tensor:
    """Mean distance of an item of [B,...], B > 1, from the one nearest to it; copies of a few give nearly 0."""
    flat = x.flatten(1).float()
    distance = torch.cdist(flat, flat)
    distance.fill_diagonal_(torch.inf)
    return distance.min(1).values.mean()


@torch.no_grad()
def discriminator_auc(d_real: Tensor, d_fake: Tensor) -> Tensor:
    """Share of pairs of a real and a generated item whose logits [B] the discriminator puts in the right order."""
    return (d_real.flatten()[:, None] > d_fake.flatten()[None, :]).float().mean()


@torch.no_grad()
def mean_nn_hamming(x: Tensor) -> Tensor:
    """Mean number of places in which a row of [B,T], B > 1, differs from the one most like it."""
    unlike = (x[:, None] != x[None]).sum(2).float()
    unlike.fill_diagonal_(torch.inf)
    return unlike.min(1).values.mean()
