"""A network in evaluation mode with dropout and batch statistics, as pix2pix is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def stochastic_eval(network: nn.Module, seed: int) -> Iterator[None]:
    """Inside, dropout of a network in evaluation mode is active, drawn by `seed`, and batch norms use the statistics
    of the batch (Isola 2016, sections 3.2 and 3.4). The network is unchanged: running statistics are not updated."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    dropouts = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    running = [(norm.running_mean, norm.running_var) for norm in norms]
    device = next(network.parameters()).device
    try:
        for norm in norms:
            norm.running_mean = norm.running_var = None  # without these it normalises by those of the batch
        for dropout in dropouts:
            dropout.train()
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        for norm, (mean, variance) in zip(norms, running, strict=True):
            norm.running_mean, norm.running_var = mean, variance
        for dropout in dropouts:
            dropout.eval()
