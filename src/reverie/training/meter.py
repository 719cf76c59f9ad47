"""Means of a step's metrics between two lines of the log."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from reverie.core.stage import Metrics
from reverie.utils.distributed import Ranks


class MetricAverager:
    """Sums of metrics since the last line of the log: tensors until they are logged, and part of a checkpoint.

    A metric that only some steps report is averaged over these.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps: dict[str, int] = {}

    def add(self, metrics: Metrics) -> None:
        """Adds the metrics of a step, tensors of no dimension."""
        for name, metric in metrics.items():
            value = metric.detach().to(widest_float(metric.device))
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.steps[name] = self.steps.get(name, 0) + 1

    def state(self, ranks: Ranks) -> dict[str, Any]:
        """For a checkpoint: the sums of each rank, since the next line is of all of them. All ranks must call it."""
        return {"sums": {name: ranks.all_gather(total) for name, total in self.sums.items()}, "steps": self.steps}

    def load(self, state: dict[str, Any], ranks: Ranks) -> None:
        """Takes up the sums of a checkpoint; where there were other ranks than now, their mean.

        Raises KeyError, AttributeError, TypeError, ValueError or RuntimeError for what is none.
        """
        if state["sums"].keys() != state["steps"].keys() or any(type(n) is not int for n in state["steps"].values()):
            raise ValueError("its metrics and their numbers of steps do not belong together")
        kind = dict(device=ranks.device, dtype=widest_float(ranks.device))
        self.sums = {}
        for name, sums in state["sums"].items():
            if not sums.is_floating_point() or not sums.numel() or not isinstance(name, str):
                raise ValueError("its metrics are no sums")
            each = sums.reshape(-1).to(**kind)
            self.sums[name] = each[ranks.rank] if len(each) == ranks.world_size else each.mean()
        self.steps = dict(state["steps"])

    def read(self, ranks: Ranks, keep: bool = False) -> dict[str, float]:
        """The mean metrics since the last reading, over all ranks; keep: the next reading is of these steps too.

        All ranks must call it.
        """
        means = torch.stack([self.sums[n] / self.steps[n] for n in self.sums])
        ranks.mean_([means])
        values = dict(zip(self.sums, means.tolist(), strict=True))
        if not keep:
            self.sums, self.steps = {}, {}
        return values


def widest_float(device: torch.device) -> torch.dtype:
    """The widest floating-point type that a device has."""
    return torch.float32 if device.type == "mps" else torch.float64
