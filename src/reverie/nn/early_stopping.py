"""Early stopping of a stage whose loss no longer falls."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EarlyStopping(nn.Module):
    """Ends a stage when its smoothed loss has not fallen by a thousandth for `patience` steps.

    Its state is a buffer and so part of a checkpoint: a resumed run ends a stage at the same step as an uninterrupted
    one. Over several processes buffers are averaged, so that all processes end the stage together.
    """

    state: Tensor
    SMOOTHING = 50
    """steps of the exponential moving average of the loss"""
    IMPROVEMENT = 0.999
    """a loss is an improvement below this share of the best one"""

    def __init__(self, stages: int, patience: int) -> None:
        """One state for each of so many stages; patience in steps, 0: stages never end early."""
        super().__init__()
        self.patience = patience
        self.register_buffer("state", torch.full((stages, 3), torch.inf))  # smoothed, best, steps since the best

    def is_over(self, stage: int) -> bool:
        """Whether a stage, counted from 0, has ended."""
        since = self.state[stage, 2]
        return self.patience > 0 and bool((since >= self.patience) & since.isfinite())

    @torch.no_grad()
    def record(self, stage: int, loss: Tensor) -> None:
        """Takes in the loss of one step of a stage, a scalar."""
        smoothed, best, since = self.state[stage].unbind()
        smoothed = torch.where(smoothed.isinf(), loss, smoothed + (loss - smoothed) / self.SMOOTHING)
        improved = smoothed < self.IMPROVEMENT * best
        since = torch.where(improved | since.isinf(), torch.zeros_like(since), since + 1)
        self.state[stage] = torch.stack([smoothed, torch.where(improved, smoothed, best), since])
