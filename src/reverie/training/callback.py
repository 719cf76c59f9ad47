"""What a user's function is called with while a method trains, and how it may stop the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reverie.runs.run_folder import Run
from reverie.training.signals import GracefulStop
from reverie.utils.distributed import Ranks

Callback = Callable[[int, dict[str, float], Run], Any]
"""function(step, metrics, run): step counts from 1, metrics are those of the line of the log that was just written, run
is the run folder, taken wherever a path is. False stops the run"""


class LogCallback:
    """Calls a user's function at each line of the log, on the main rank, and asks the loop to stop where it says so.

    An exception in it is kept as `error`; the loop then saves a checkpoint and stops, and who called raises it.
    """

    def __init__(self, function: Callback | None, run: Run, ranks: Ranks) -> None:
        self.function, self.run, self.active = function, run, ranks.is_main
        self.error: BaseException | None = None
        self.stopped = False

    def __call__(self, step: int, metrics: dict[str, float], stop: GracefulStop) -> None:
        """Calls the function with what was logged at a step."""
        if self.function is None or not self.active:
            return
        try:
            self.stopped = self.function(step, dict(metrics), self.run) is False
        except Exception as error:
            self.error = error
        if self.stopped or self.error:
            stop.requested = True
