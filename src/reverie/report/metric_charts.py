"""The metrics of a log as charts: of one kind together, losses by their scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reverie.report.curves import Chart, Points, by_scale, chart
from reverie.report.run_record import is_number
from reverie.report.values import pairs

ROLES = {
    "discriminator_auc": "ROC AUC: share of real-generated pairs that the discriminator orders correctly",
    "diversity": "distance of generated items from their nearest neighbours, real items: 1",
    "active_units": "latent dimensions that depend on the data",
}
"""what a metric of a role of the monitor counts"""
UNITS = {"accuracy": "accuracy", "psnr": "PSNR, dB", "reward": "reward"}
"""what other metrics count, by the last word of their names; the rest are losses"""


def label_of(name: str, monitored: Mapping[str, str]) -> str:
    """What a metric counts: by its role where the method declares one, else by the last word of its name."""
    role = monitored.get(name)
    if role in ROLES:
        return ROLES[role]
    return UNITS.get(name.rpartition("_")[2], "loss")


def metric_lines(log: Iterable[Mapping[str, Any]], at: str = "step", per: float = 1.0) -> dict[str, Points]:
    """Metric -> (place, value) in the order of the places: those of lines of the log that are numbers.

    at: what a line's place is, "step" or "seconds"; per: how many of these one unit of the chart has
    """
    lines: dict[str, dict[float, float]] = {}
    for line in log:
        if not is_number(line.get(at)):
            continue
        for name, value in pairs(line.get("metrics")):
            if is_number(value):
                lines.setdefault(name, {})[line[at] / per] = value  # a line that was written twice counts once
    return {name: sorted(points.items()) for name, points in lines.items()}


def metric_charts(
    lines: Mapping[str, Points],
    monitored: Mapping[str, str],
    marks: Mapping[float, str] | None = None,
    unit: str = "step",
) -> list[Chart]:
    """A chart for each kind of metric, and for losses of unlike size several."""
    kinds: dict[str, dict[str, Points]] = {}
    for name, points in lines.items():
        kinds.setdefault(label_of(name, monitored), {})[name] = points
    charts = []
    for label, group in kinds.items():
        if label == "loss":
            charts += [chart(part, label=label, marks=marks, unit=unit) for part in by_scale(group)]
        else:
            floor = None if label == UNITS["reward"] else 0.0
            charts.append(chart(group, label=label, floor=floor, marks=marks, unit=unit))
    return charts
