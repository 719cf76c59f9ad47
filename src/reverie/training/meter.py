"""Means of a step's metrics between two lines of the log."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from reverie.core.stage import Metrics
from reverie.utils.distributed import Ranks


class MetricAverager:
    """Sums of losses since the last line of the log; tensors until they are printed, and part of a save."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps: dict[str, int] = {}

    def add(self, losses: Metrics) -> None:
        """Adds the losses of a step."""
        for name, loss in losses.items():
            value = loss.detach().to(widest(loss.device))
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.steps[name] = self.steps.get(name, 0) + 1

    def state(self, ranks: Ranks) -> dict[str, Any]:
        """What a save holds: the sums of each rank, since the next line is of all of them. All ranks must call it."""
        return {"sums": {name: ranks.all_gather(total) for name, total in self.sums.items()}, "steps": self.steps}

    def load(self, state: dict[str, Any], ranks: Ranks) -> None:
        """Takes up what a save held; of another number of ranks their mean."""
        kind = dict(device=ranks.device, dtype=widest(ranks.device))
        each = {name: sums.reshape(-1).to(**kind) for name, sums in state["sums"].items()}
        self.sums = {n: sums[ranks.rank] if len(sums) == ranks.world else sums.mean() for n, sums in each.items()}
        self.steps = state["steps"]

    def read(self, ranks: Ranks) -> dict[str, float]:
        """The mean losses since the last reading, over all ranks."""
        means = torch.stack([self.sums[n] / self.steps[n] for n in self.sums])
        ranks.mean_([means])
        values = dict(zip(self.sums, means.tolist(), strict=True))
        self.sums, self.steps = {}, {}
        return values


def widest(device: torch.device) -> torch.dtype:
    """The floating-point numbers with most bits that a device has."""
    return torch.float32 if device.type == "mps" else torch.float64
