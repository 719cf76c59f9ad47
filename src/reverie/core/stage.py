"""Stages: the parts of training, one after another, and what passes between a step and the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

Batch: TypeAlias = dict[str, Tensor]
"""what the data's batch() returns, such as {"image": [B,C,H,W] in [-1,1], "label": [B]}"""

Metrics: TypeAlias = dict[str, Tensor]
"""what a step returns: scalars by name, detached; the log shows their means in this order"""


@dataclass(frozen=True)
class Stage:
    """A part of training with one step."""

    name: str
    steps: int
    step: Callable[[Batch, Any], Metrics]
    """step(batch, update) -> metrics, as tensors that it does not read back to the host"""
    lr_factor: Callable[[float], float] = lambda done: 1.0
    """share of the stage done, in [0,1) -> factor on every learning rate; see core/lr_schedules.py"""
    reset_optimizers: tuple[str, ...] = ()
    """optimizers whose state is cleared before its first step, since its gradients are of another kind"""
    relative_cost: float | None = None
    """about what a step costs beside one of the other stages, until it has been measured: 1 and 40, say; None: unknown.
    Only the time that is left is estimated by it"""
