"""A run beside the classical tools that were scored on the same degraded images: whether it beats them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reverie.metrics.score import Score
from reverie.report.reading import score_title
from reverie.report.values import number

BASELINES = "baselines"
"""the group of scores of classical tools, whose names are those of a score and of a tool: "psnr, BM3D" """


@dataclass(frozen=True)
class BaselineCell:
    """The value of a score; whether it is the best of its column."""

    value: str
    best: bool


@dataclass(frozen=True)
class BaselineRow:
    """The scores of the run, of a tool, or of what there is without either; None where there is none."""

    name: str
    is_run: bool
    cells: list[BaselineCell | None]


@dataclass(frozen=True)
class BaselineTable:
    """Scores in columns; the input, the tools and the run in rows."""

    header: list[str]
    rows: list[BaselineRow]


def baseline_table(scores: Sequence[Score], run: str) -> BaselineTable | None:
    """The run, called `run`, beside the tools and the input; None where no tool was scored."""
    names, values = _values(scores)
    if not values:
        return None
    own = {score.name: score for score in scores if score.name in names}
    kinds: dict[str, dict[str, float]] = {}
    untouched = next((score.baseline_name for score in own.values() if score.baseline is not None), "")
    if untouched:
        kinds[untouched] = {name: score.baseline for name, score in own.items() if score.baseline is not None}
    kinds |= values
    kinds[run] = {name: score.value for name, score in own.items()}
    best = {name: _best(own[name], [row[name] for row in kinds.values() if name in row]) for name in names}
    rows = [
        BaselineRow(
            kind, kind == run, [BaselineCell(number(row[n]), row[n] == best[n]) if n in row else None for n in names]
        )
        for kind, row in kinds.items()
    ]
    header = [f"{score_title(name)}{f', {own[name].unit}' if own[name].unit else ''}" for name in names]
    return BaselineTable(header, rows)


def lost_to(scores: Sequence[Score]) -> str:
    """A sentence where a classical tool, or doing nothing, does better than the run; "" where the run is the best."""
    names, values = _values(scores)
    own = {score.name: score for score in scores if score.name in names}
    for name, score in own.items():
        unit = f" {score.unit}" if score.unit else ""
        baselines = {tool: row[name] for tool, row in values.items() if name in row}
        if score.baseline is not None:
            baselines[score.baseline_name] = score.baseline
        winner = _best(score, [*baselines.values(), score.value])
        if winner != score.value:
            better = next(name for name, value in baselines.items() if value == winner)
            return (
                f"This run loses to {better}: {score_title(name)} {number(score.value)}{unit}, beside "
                f"{number(winner)}{unit}. Train it longer or on more images, or use that instead."
            )
    return ""


def _values(scores: Sequence[Score]) -> tuple[list[str], dict[str, dict[str, float]]]:
    """(names of the scores that tools have, tool -> score -> value), of what the run has been given too."""
    own = {score.name for score in scores if score.group != BASELINES and math.isfinite(score.value)}
    names: dict[str, None] = {}
    values: dict[str, dict[str, float]] = {}
    for score in scores:
        name, comma, tool = score.name.partition(", ")
        if score.group == BASELINES and comma and name in own and math.isfinite(score.value):
            names[name] = None
            values.setdefault(tool, {})[name] = score.value
    return list(names), values


def _best(score: Score, values: Sequence[float]) -> float:
    return min(values) if score.better == "lower" else max(values)
