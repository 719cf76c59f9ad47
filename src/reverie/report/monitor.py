"""The section of the monitor: what it found, when, what to try, and what it looked at."""

from __future__ import annotations

from html import escape
from typing import Any, NamedTuple

from reverie.report.curves import Points, chart, number
from reverie.report.html import Section, pairs, plain
from reverie.report.run_record import Record, is_number
from reverie.training.monitor import LINES, NOT_A_NUMBER, RULES, WINDOW

SHOWN = 20  # findings on the page; the log has them all
SIGNS = {
    "d_auc": "pairs of a real and a generated image that the discriminator tells apart",
    "nn_distance_ratio": "how unlike one another generated images are (1: as real ones)",
    "active": "latents in use",
}


class Event(NamedTuple):
    """A line of the log on a finding, or on a rollback (which took the finding out of the log)."""

    step: float
    name: str
    told: dict[str, Any]
    rollback: bool


def monitor(record: Record) -> Section | None:
    """The findings and rollbacks in their order, or that there were none, and the signs that were watched."""
    found = events(record)
    signs = {fault.sign: points for fault in RULES if (points := _points(record, fault.sign))}
    lines = [line["step"] for line in record.log if "losses" in line]
    if found:
        rows = "".join(_row(index, event) for index, event in enumerate(found[:SHOWN], 1))
        more = f"<p>{len(found) - SHOWN} more are in log.jsonl.</p>" if len(found) > SHOWN else ""
        body = f'<ol class="findings">{rows}</ol>{more}'
    elif len(lines) >= LINES and lines[-1] >= WINDOW:
        names = ", ".join([NOT_A_NUMBER, *(fault.name for fault in RULES if fault.sign in signs)])
        body = f"<p>The monitor found nothing: it watches this run for: {escape(names)}.</p>"
    else:
        return None
    charts = "".join(
        chart(
            {fault.sign: signs[fault.sign]}, label=f"{SIGNS.get(fault.sign, fault.sign)}; dashed: {fault.name}",
            floor=0.0, level=fault.threshold, marks=marks(record),
        )
        for fault in RULES if fault.sign in signs
    )  # fmt: skip
    if charts:
        body += f"<details{' open' if found else ''}><summary>What it looked at</summary>{charts}</details>"
    return Section("monitor", "What the monitor found", body)


def alarm(record: Record) -> str:
    """A line for the top of the page if there are findings."""
    names = ", ".join(dict.fromkeys(event.name for event in events(record)[:SHOWN]))
    return f'<p class="alarm"><a href="#monitor">The monitor found: {escape(names)}.</a></p>' if names else ""


def marks(record: Record) -> dict[float, str]:
    """What to write at which step of a chart: the numbers of the findings."""
    texts: dict[float, str] = {}
    for index, event in enumerate(events(record)[:SHOWN], 1):
        texts[event.step] = f"{texts[event.step]}, {index}" if event.step in texts else str(index)
    return texts


def events(record: Record) -> list[Event]:
    """The lines of the log that tell of a finding or a rollback."""
    found = []
    for line in record.log:
        for key, title in (("finding", "name"), ("rollback", "why")):
            if isinstance(told := line.get(key), dict):
                found.append(Event(line["step"], plain(told.get(title)), told, key == "rollback"))
    return found


def _row(index: int, event: Event) -> str:
    told, since = event.told, event.told.get("since")
    start, attempt = told.get("from"), told.get("attempt")
    when, after = f"at step {number(event.step)}", ""
    if event.rollback:
        when = f"at step {number(start)}" if is_number(start) else ""
        count = f" (attempt {number(attempt)})" if is_number(attempt) else ""
        after = f"<p>Training went back to step {number(event.step)} and on from there{count}.</p>"
    elif is_number(since) and 0 < since < event.step:
        when += f"; all was well at step {number(since)}"
    what, advice = _sentence(told.get("what")), _sentence(told.get("advice"))
    return (
        f"<li><b>{index}</b><h3>{escape(event.name.capitalize())} <small>{when}</small></h3>"
        f"{f'<p>{what}</p>' if what else ''}{f'<p><em>What to try:</em> {advice}</p>' if advice else ''}{after}</li>"
    )


def _points(record: Record, sign: str) -> Points:
    points: dict[float, float] = {}
    for line in record.log:
        value: Any = dict(pairs(line.get("losses"))).get(sign)
        if is_number(value):
            points[line["step"]] = value
    return sorted(points.items())


def _sentence(value: Any) -> str:
    """A value as an escaped sentence with a capital and a full stop; "" for none."""
    text = plain(value).strip() if value else ""
    return escape(text[:1].upper() + text[1:] + ("." if text and not text.endswith((".", "!", "?")) else ""))
