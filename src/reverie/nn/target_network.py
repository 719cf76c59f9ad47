"""A network that follows another at a distance, such as a rollout policy: its weights are buffers, never learnt."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def target_network(network: Network) -> Network:
    """A copy whose parameters have become buffers of the same names: no optimizer and no gradient knows them."""
    follower = copy.deepcopy(network)
    for module in follower.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach().clone())
    return follower


@torch.no_grad()
def polyak_update(follower: nn.Module, network: nn.Module, delay: float) -> None:
    """Moves a follower: `delay` of it stays, the rest is what the network is now."""
    held = dict(follower.named_buffers())
    for name, parameter in network.named_parameters():
        held[name].lerp_(parameter, 1 - delay)
