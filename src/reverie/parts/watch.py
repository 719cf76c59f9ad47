"""What a step reports for the monitor to see. No gradients, no random numbers: training stays the same."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def watch(d_real: Tensor, d_fake: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """ "right" and "variety" of a batch, from D's logits and the images [B,...] they are for (see monitor.py)."""
    right = (d_real.flatten()[:, None] > d_fake.flatten()[None, :]).float().mean()
    return {"right": right, "variety": apart(fake) / apart(real).clamp_min(1e-6)}


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
