"""The section of the monitor: its alerts and rollbacks, what to try, and the metrics that it watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from reverie.report.curves import Points, chart
from reverie.report.html import Section
from reverie.report.metric_charts import ROLES, metric_lines
from reverie.report.run_record import Record, is_number
from reverie.report.values import number, pairs, plain, sentence
from reverie.training.monitor import LINES, NOT_A_NUMBER, RULES, WINDOW

SHOWN = 20
"""alerts on the page; the log has them all"""


class Event(NamedTuple):
    """A line of the log on an alert, or on a rollback (which took the alert out of the log)."""

    step: float
    name: str
    details: dict[str, Any]
    is_rollback: bool


@dataclass(frozen=True)
class Entry:
    """An event in words."""

    title: str
    when: str
    what: str
    advice: str
    rollback: str
    """what was done about it, "" if training went on"""


def monitor(record: Record) -> list[Section]:
    """The alerts and rollbacks in their order, or that there were none, and the metrics that were watched."""
    found, watched = events(record), watched_by_role(record)
    if not found and not is_long_enough(record):
        return []
    charts = [
        chart(
            lines, label=f"{ROLES[rule.role]}; dashed: {rule.name}",
            floor=0.0, level=rule.threshold, marks=marks(record),
        )
        for rule in RULES
        if rule.role in ROLES and (lines := watched.get(rule.role))
    ]  # fmt: skip
    content = {
        "entries": [_entry(event) for event in found[:SHOWN]],
        "more": max(0, len(found) - SHOWN),
        "watched": [NOT_A_NUMBER, *(rule.name for rule in RULES if rule.role in watched)],
        "charts": charts,
    }
    return [Section("monitor", "Monitor", "monitor.html.jinja", content)]


def charted_metrics(record: Record) -> set[str]:
    """The metrics that the section of the monitor draws."""
    if not events(record) and not is_long_enough(record):
        return set()
    return {name for name, role in record.monitored.items() if role in ROLES}


def watched_by_role(record: Record) -> dict[str, dict[str, Points]]:
    """Role -> metric -> points, of the metrics of the log that the method declares to the monitor.

    The diversity of samples, which the loop itself measures for some methods, is among them.
    """
    watched: dict[str, dict[str, Points]] = {}
    for name, points in metric_lines(record.log).items():
        if (role := record.monitored.get(name)) is not None:
            watched.setdefault(role, {})[name] = points
    samples: dict[str, dict[float, float]] = {}
    for line in record.log:
        for name, value in pairs(line.get("samples")):
            if is_number(value):
                samples.setdefault(f"{name} of samples", {})[line["step"]] = value
    for name, by_step in samples.items():
        watched.setdefault("diversity", {})[name] = sorted(by_step.items())
    return watched


def alert_names(record: Record) -> list[str]:
    """The names of the alerts, each once, in the order in which they were raised."""
    return list(dict.fromkeys(event.name for event in events(record)[:SHOWN]))


def marks(record: Record) -> dict[float, str]:
    """What to write at which step of a chart: the numbers of the alerts."""
    texts: dict[float, str] = {}
    for index, event in enumerate(events(record)[:SHOWN], 1):
        texts[event.step] = f"{texts[event.step]}, {index}" if event.step in texts else str(index)
    return texts


def events(record: Record) -> list[Event]:
    """The lines of the log on an alert or a rollback."""
    found = []
    for line in record.log:
        for key, title in (("alert", "name"), ("rollback", "why")):
            if isinstance(details := line.get(key), dict):
                found.append(Event(line["step"], plain(details.get(title)), details, key == "rollback"))
    return found


def is_long_enough(record: Record) -> bool:
    """Whether the monitor could have raised an alert: its rules need some steps and some lines."""
    steps = [line["step"] for line in record.log if "metrics" in line]
    return len(steps) >= LINES and steps[-1] >= WINDOW


def _entry(event: Event) -> Entry:
    details, since = event.details, event.details.get("since")
    start, attempt = details.get("from"), details.get("attempt")
    when, after = f"at step {number(event.step)}", ""
    if event.is_rollback:
        when = f"at step {number(start)}" if is_number(start) else ""
        count = f" (attempt {number(attempt)})" if is_number(attempt) else ""
        after = f"Training went back to step {number(event.step)} and on from there{count}."
    elif is_number(since) and 0 < since < event.step:
        when += f"; last good at step {number(since)}"
    what, advice = sentence(details.get("what")), sentence(details.get("advice"))
    return Entry(event.name.capitalize(), when, what, advice, after)
