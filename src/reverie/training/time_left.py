"""How long training still takes, stage by stage: a step of one stage may cost a hundred times one of another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reverie.core.stage import Stage
from reverie.utils.formatting import clock

RECENT = 20
"""intervals between lines of the log that the present speed is measured over"""


@dataclass(frozen=True)
class Estimate:
    """Seconds that are left, and whether that is at least so long since the cost of a later stage is not known."""

    seconds: float
    at_least: bool = False

    def __str__(self) -> str:
        """As people say it: "12 min left", "at least 12 min left"."""
        return f"{'at least ' if self.at_least else ''}{clock(self.seconds)} left"


class TimeLeft:
    """Estimates from the measured speed of each stage; of a stage still to come, from its declared relative cost.

    What is measured is the time between lines of the log, with all that happens in it: steps, samples, checkpoints.
    """

    def __init__(self, stages: Sequence[Stage], lines: Iterable[Mapping[str, Any]] = ()) -> None:
        """lines: those of the log of a run that goes on, whose stages need not be measured anew."""
        self.stages = list(stages)
        self.intervals: dict[str, deque[tuple[int, float]]] = {}
        """stage -> its latest (steps, seconds)"""
        self.step, self.seconds = 0, 0.0
        """of the last line"""
        for line in lines:
            if "seconds" in line:
                if "metrics" in line:
                    self.add(str(line["stage"]), line["step"], line["seconds"])
                self.step, self.seconds = line["step"], line["seconds"]  # also where it went back

    def go_on_at(self, step: int, seconds: float) -> None:
        """From where the next interval is measured."""
        self.step, self.seconds = step, seconds

    def add(self, stage: str, step: int, seconds: float) -> float | None:
        """Takes in that `step` was reached after `seconds` of the run. Returns steps/s since the last; None: none."""
        steps, took = step - self.step, seconds - self.seconds
        self.step, self.seconds = step, seconds
        if steps < 1 or took <= 0:
            return None
        self.intervals.setdefault(stage, deque(maxlen=RECENT)).append((steps, took))
        return steps / took

    def estimate(self, step: int, seconds: float) -> Estimate | None:
        """What is left when `step` steps are done after `seconds` of the run; None before anything was measured."""
        measured = {name: self._seconds_per_step(intervals) for name, intervals in self.intervals.items()}
        left, at_least, begin = 0.0, False, 0
        for stage in self.stages:
            end = begin + stage.steps
            if begin <= self.step <= step < end and step > self.step and stage.name not in measured:
                measured[stage.name] = (seconds - self.seconds) / (step - self.step)  # no line of this stage yet
            if remaining := max(0, end - max(step, begin)):
                cost, known = self._cost(stage, measured)
                if cost is None:
                    return None
                left, at_least = left + remaining * cost, at_least or not known
            begin = end
        return Estimate(left, at_least)

    def _cost(self, stage: Stage, measured: dict[str, float]) -> tuple[float | None, bool]:
        """(seconds of a step of a stage, whether that is known or declared); None where nothing was measured yet."""
        if stage.name in measured:
            return measured[stage.name], True
        others = [other for other in self.stages if other.name in measured]
        if not others:
            return None, False
        declared = [other for other in others if other.relative_cost is not None]
        if stage.relative_cost is None or not declared:
            return measured[others[-1].name], False
        latest = declared[-1]
        assert latest.relative_cost is not None
        return measured[latest.name] * stage.relative_cost / latest.relative_cost, True

    @staticmethod
    def _seconds_per_step(intervals: Iterable[tuple[int, float]]) -> float:
        steps, seconds = map(sum, zip(*intervals, strict=True))
        return float(seconds / steps)
