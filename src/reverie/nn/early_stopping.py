"""When a stretch of training has brought all it will."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EarlyStopping(nn.Module):
    """Says that a stage is over when its smoothed loss has not fallen by a thousandth in so many steps.

    What it has seen is a buffer, part of a save, so that a resumed run ends a stage when the whole one would; over
    several processes its buffers are averaged as all are, so that they end it together.
    """

    seen: Tensor
    SMOOTH, LESS = 50, 0.999
    """steps that a loss is smoothed over; a loss is better below this share of the best"""

    def __init__(self, stages: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.register_buffer("seen", torch.full((stages, 3), torch.inf))  # smoothed, best, steps since

    def over(self, stage: int) -> bool:
        """Whether a stage is over; never with steps 0."""
        since = self.seen[stage, 2]
        return self.steps > 0 and bool((since >= self.steps) & since.isfinite())

    @torch.no_grad()
    def note(self, stage: int, loss: Tensor) -> None:
        """Takes notice of a loss."""
        smoothed, best, since = self.seen[stage].unbind()
        smoothed = torch.where(smoothed.isinf(), loss, smoothed + (loss - smoothed) / self.SMOOTH)
        better = smoothed < self.LESS * best
        since = torch.where(better | since.isinf(), torch.zeros_like(since), since + 1)
        self.seen[stage] = torch.stack([smoothed, torch.where(better, smoothed, best), since])
