"""What is a function of (seed, step) alone: the order of batches, and the stage that a step belongs to."""

from __future__ import annotations

import numpy as np

from reverie.core.stage import Stage
from reverie.utils.errors import UserError


class BatchOrder:
    """Which items make up the batch of a step: epoch after epoch, each shuffled by (seed, epoch).

    A batch may end one epoch and begin the next, so that no item is left out.
    """

    def __init__(self, num_items: int, batch_size: int, seed: int) -> None:
        self.num_items, self.batch_size, self.seed = num_items, batch_size, seed
        self._epoch, self._shuffled = -1, np.empty(0, np.int64)

    def __call__(self, step: int) -> np.ndarray:
        """The indices [batch_size] of the items of a step's batch, over all ranks."""
        first, parts, left = step * self.batch_size, [], self.batch_size
        while left:
            epoch, place = divmod(first, self.num_items)
            part = self._shuffle(epoch)[place : place + left]
            parts.append(part)
            first, left = first + len(part), left - len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _shuffle(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._shuffled = np.random.Generator(np.random.Philox(key=[self.seed, epoch])).permutation(self.num_items)
            self._epoch = epoch
        return self._shuffled


def stage_at(stages: list[Stage], step: int) -> tuple[Stage, float]:
    """The stage that a step belongs to, and the share of the stage that is done, in [0,1).

    Raises UserError for a step after the last stage.
    """
    for stage in stages:
        if step < stage.steps:
            return stage, step / stage.steps
        step -= stage.steps
    raise UserError("there is no step left to train.")
