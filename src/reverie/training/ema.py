"""Exponential moving averages (EMA) of weights, kept by the loop for the networks that a method names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from reverie.runs.weights_file import check_tensor


class EMA:
    """Exponential moving averages of the parameters and floating-point buffers of named networks.

    decays: network -> decay of a step. At step t it is min(decay, (1 + t) / (10 + t)), so that the first steps, with
    weights that are still random, are soon forgotten.
    """

    def __init__(self, method: nn.Module, decays: dict[str, float]) -> None:
        self.decays, self.steps = decays, 0
        self.live = {name: _float_tensors(method.get_submodule(name)) for name in decays}
        self.mean = {name: [t.detach().clone() for t in tensors] for name, tensors in self.live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Moves the averages towards the weights of one more step."""
        self.steps += 1
        for name, decay in self.decays.items():
            share = 1 - min(decay, (1 + self.steps) / (10 + self.steps))
            torch._foreach_lerp_(self.mean[name], self.live[name], share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the networks have their averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name in self.decays:
            for live, mean in zip(self.live[name], self.mean[name], strict=True):
                live.data, mean.data = mean.data, live.data

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"steps": self.steps, "mean": self.mean}

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Takes up the averages of a checkpoint. Raises KeyError, TypeError, ValueError or RuntimeError for others."""
        if type(state["steps"]) is not int or state["steps"] < 0:
            raise ValueError(f"its averages are of {state['steps']!r} steps"[:80])
        self.steps = state["steps"]
        for name in self.decays:
            for mean, saved in zip(self.mean[name], state["mean"][name], strict=True):
                check_tensor(f"an average of {name}", mean, saved)
                mean.copy_(saved)


def _float_tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *(b for b in network.buffers() if b.is_floating_point())]
