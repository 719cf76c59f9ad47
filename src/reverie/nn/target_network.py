"""A target network: a copy that follows another network slowly, such as a rollout policy. It has no parameters."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def target_network(network: Network) -> Network:
    """A copy whose parameters are buffers of the same names, so that no optimizer and no gradient reaches them."""
    target = copy.deepcopy(network)
    for module in target.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach().clone())
    return target


@torch.no_grad()
def polyak_update(target: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves a target network in place: target = decay * target + (1 - decay) * network; decay 0 copies."""
    buffers = dict(target.named_buffers())
    for name, parameter in network.named_parameters():
        buffers[name].lerp_(parameter, 1 - decay)
