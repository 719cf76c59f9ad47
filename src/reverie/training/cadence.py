"""At which steps the loop logs, shows samples and saves: a function of the step, so a resumed run does the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from reverie.core.stage import Stage
from reverie.core.train_config import TrainConfig

FIRST_SAMPLES = (10, 30, 100, 300)
"""steps whose samples are shown beside every `sample_every`-th, so that a run can be seen to learn from its start"""


class Cadence:
    """The steps of a run at which something is due. Steps are counted from 1 here: those that are done."""

    def __init__(self, stages: Sequence[Stage], settings: TrainConfig) -> None:
        self.settings = settings
        self.ends = set(accumulate(stage.steps for stage in stages))
        self.total = max(self.ends)

    def logs(self, step: int) -> bool:
        """Whether a line of metrics is due: every `log_every` steps, and at the end of a stage, however short."""
        return step % self.settings.log_every == 0 or step in self.ends

    def is_remainder(self, step: int) -> bool:
        """Whether the line of this step is of fewer steps than others only because the run ends here.

        The run may be resumed with more steps: then its next line is of these steps too, as if it had not ended.
        """
        return step == self.total and step % self.settings.log_every != 0

    def samples(self, step: int) -> bool:
        """Whether samples are shown."""
        return step in FIRST_SAMPLES or self.measures(step)

    def measures(self, step: int) -> bool:
        """Whether the diversity of samples is measured for the monitor."""
        return step % self.settings.sample_every == 0 or step == self.total

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is due."""
        return step % self.settings.checkpoint_every == 0 or step == self.total
