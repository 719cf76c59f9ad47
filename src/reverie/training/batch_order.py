"""What follows from (seed, step) alone: the order of batches, the seed of a step, the stage it belongs to."""

from __future__ import annotations

import numpy as np

from reverie.core.stage import Stage
from reverie.utils.errors import UserError


class BatchOrder:
    """The order of batches, a pure function of (seed, step): epoch after epoch, each shuffled by (seed, epoch)."""

    def __init__(self, items: int, batch: int, seed: int) -> None:
        self.items, self.batch, self.seed = items, batch, seed
        self._epoch, self._shuffled = -1, np.empty(0, np.int64)

    def __call__(self, step: int) -> np.ndarray:
        """The indices [batch] of a step."""
        at, parts, left = step * self.batch, [], self.batch
        while left:
            epoch, place = divmod(at, self.items)
            parts.append(self._shuffle(epoch)[place : place + left])
            at, left = at + len(parts[-1]), left - len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _shuffle(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._shuffled = np.random.Generator(np.random.Philox(key=[self.seed, epoch])).permutation(self.items)
            self._epoch = epoch
        return self._shuffled


def stage_at(stages: list[Stage], step: int) -> tuple[Stage, float]:
    """The stage that a step belongs to, and the share of it that is done."""
    for stage in stages:
        if step < stage.steps:
            return stage, step / stage.steps
        step -= stage.steps
    raise UserError("there is no step left to train.")
