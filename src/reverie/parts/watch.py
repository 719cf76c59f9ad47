"""What a step reports for the monitor to see. No gradients, no random numbers: training stays the same."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def watch(d_real: Tensor, d_fake: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """ "right" and "variety" of a batch, from D's logits and the images [B,...] they are for (see monitor.py)."""
    return {"right": right_order(d_real, d_fake), "variety": apart(fake) / apart(real).clamp_min(1e-6)}


@torch.no_grad()
def active(mean: Tensor, threshold: float = 0.01) -> Tensor:
    """How many latents answer to the data: variance of their mean [B,Z] over the batch above the threshold."""
    return (mean.var(0) > threshold).sum().float() if len(mean) > 1 else mean.new_zeros(())


@torch.no_grad()
def apart(x: Tensor) -> Tensor:
    """Mean distance of an item of [B,...] from the one nearest to it; copies of a few images give nearly 0."""
    flat = x.flatten(1).float()
    distance = torch.cdist(flat, flat)
    distance.fill_diagonal_(torch.inf)
    return distance.min(1).values.mean() if len(x) > 1 else flat.new_zeros(())


@torch.no_grad()
def right_order(d_real: Tensor, d_fake: Tensor) -> Tensor:
    """Share of pairs of a real and a generated item whose logits [B] the discriminator puts in the right order."""
    return (d_real.flatten()[:, None] > d_fake.flatten()[None, :]).float().mean()


@torch.no_grad()
def hamming(x: Tensor) -> Tensor:
    """Mean number of places in which a row of [B,T] differs from the one most like it."""
    unlike = (x[:, None] != x[None]).sum(2).float()
    unlike.fill_diagonal_(torch.inf)
    return unlike.min(1).values.mean() if len(x) > 1 else unlike.new_zeros(())
