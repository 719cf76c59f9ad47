"""How a network with batch norm and dropout behaves when it is used: as in training, or still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def stochastic_eval(network: nn.Module, seed: int) -> Iterator[None]:
    """Inside, a network in evaluation mode drops units out, by the seed, and norms by the statistics of what it is
    given (Isola 2016, section 3.2 and 3.4). Nothing of it is changed: no statistics are followed."""
    norms = [part for part in network.modules() if isinstance(part, _BatchNorm)]
    drops = [part for part in network.modules() if isinstance(part, nn.Dropout)]
    kept = [(norm.running_mean, norm.running_var) for norm in norms]
    device = next(network.parameters()).device
    try:
        for norm in norms:
            norm.running_mean = norm.running_var = None  # without any it takes those of the batch
        for drop in drops:
            drop.train()
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        for norm, (mean, variance) in zip(norms, kept, strict=True):
            norm.running_mean, norm.running_var = mean, variance
        for drop in drops:
            drop.eval()
