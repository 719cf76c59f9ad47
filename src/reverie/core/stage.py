"""Stages: stretches of training with one step each, and what passes between a step and the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    pass


Batch = dict[str, Tensor]


Metrics = dict[str, Tensor]


@dataclass(frozen=True)
class Stage:
    """A stretch of training with one step."""

    name: str
    steps: int
    step: Callable[[Batch, Any], Metrics]
    """step(batch, update) -> named losses, as tensors that are not read back here"""
    lr_factor: Callable[[float], float] = lambda done: 1.0
    """share of the stage done, in [0,1) -> factor on every learning rate"""
    reset_optimizers: tuple[str, ...] = ()
    """optimizers that forget at its first step what they have gathered, because the gradients are of another kind"""
