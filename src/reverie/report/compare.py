"""The page of a comparison: runs in columns, each of the same things of all of them under one heading."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from html import escape
from typing import Any

from reverie._version import __version__
from reverie.media import Image
from reverie.metrics.score import Score
from reverie.report.curves import Points, by_scale, chart, number
from reverie.report.html import ROOM, Section, clock, document, image, machine, pairs, plain
from reverie.report.run_record import Record, is_number
from reverie.report.scores import MEANING, READING, title
from reverie.training.monitor import RULES

PICTURES = {
    "samples": ("Samples", "The first images that each run generates, none chosen."),
    "reconstruction": ("Reconstructions", "The same images of the reference above, and what each run makes of them."),
    "interpolation": ("Interpolation", "Each row walks from one generated image to another."),
    "translations": ("Translations", "The same pictures of the reference: given, made of it, the truth."),
    "a-to-b": ("From a to b", "The same pictures of the reference: given, made of it, come back."),
    "b-to-a": ("From b to a", "The same pictures of the reference: given, made of it, come back."),
}


@dataclass(frozen=True)
class Column:
    """A run: its name, its files, pictures by kind (or why there is none), and the parameters of its networks."""

    name: str
    record: Record
    pictures: dict[str, Image | str]
    parameters: dict[str, int]


@dataclass(frozen=True)
class Line:
    """A score of all runs, or why a run has none; which is best, and one of them, for what all share."""

    name: str
    cells: list[Score | str]
    best: int | None
    like: Score


def page(columns: list[Column], lines: list[Line], data: str, command: str) -> str:
    """The whole page."""
    parts = [Section("scores", "Scores", _scores(columns, lines))]
    for kind, (heading, note) in PICTURES.items():
        if any(isinstance(column.pictures.get(kind), Image) for column in columns):
            shown = "".join(_picture(column, kind) for column in columns)
            parts.append(Section(kind, heading, f'<p class="aside">{note}</p><div class="side">{shown}</div>'))
    parts.append(Section("cost", "What each took", _costs(columns)))
    if drawn := "".join(map(_curves, columns)):
        parts.append(Section("losses", "Losses over time", drawn))
    if command:
        body = f"<pre><code>{escape(command)}</code></pre>"
        parts.append(Section("repeat", "To repeat it", body))
    names = ", ".join(column.name for column in columns)
    head = f'<p class="run">{escape(names)}</p><h1>{len(columns)} runs compared <span>on {escape(data)}</span></h1>'
    return document(f"{names} - compared", head, parts, f"Written by Reverie {__version__} from the runs' folders.")


def _scores(columns: list[Column], lines: list[Line]) -> str:
    heads = "".join(f"<th>{escape(column.name)}</th>" for column in columns)
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.like.group, []).append(line)
    parts, whys = [], dict[str, list[str]]()
    for group, held in groups.items():
        rows = ""
        for line in held:
            cells = ""
            for i, cell in enumerate(line.cells):
                cells += f"<td>{_figure(cell, i == line.best)}</td>"
                if isinstance(cell, str):
                    whys.setdefault(f"{columns[i].name}: {cell}", []).append(title(line.name))
            floor = "none" if line.like.floor is None else number(line.like.floor)
            unit = f" ({line.like.unit})" if line.like.unit else ""
            told = f"<small>{escape(MEANING.get(line.name, ''))}</small><small>{READING[line.like.better]}</small>"
            rows += f"<tr><th>{escape(title(line.name) + unit)}{told}</th>{cells}<td class='floor'>{floor}</td></tr>"
        parts.append(
            f"<h3>{escape(group.capitalize())}</h3><div class='wide'><table class='scores compared'>"
            f"<tr><th>Score</th>{heads}<th>Floor</th></tr>{rows}</table></div>"
        )
    if whys:
        rows = "".join(f"<li>{escape(', '.join(names))}: {escape(why)}</li>" for why, names in whys.items())
        parts.append(f'<h3>Why cells are empty</h3><ul class="out">{rows}</ul>')
    parts.append(
        '<p class="aside">Strong: the best of a row. Floor: the same score of real images, or of what its definition '
        "names; differences much smaller than the figure after &plusmn; are noise.</p>"
    )
    definitions = "".join(
        f"<h4>{escape(title(line.name))} <code>{line.like.hash}</code></h4><p>{escape(line.like.definition)}</p>"
        for line in lines
    )
    return f"{''.join(parts)}<details><summary>How these were measured</summary>{definitions}</details>"


def _figure(cell: Score | str, best: bool) -> str:
    if isinstance(cell, str):
        return "<small>none</small>"
    told = number(cell.value) if math.isfinite(cell.value) else "not a number"
    spread = f"<small>&plusmn; {number(float(f'{cell.std_error:.2g}'))}</small>" if cell.std_error is not None else ""
    return f"{f'<b>{told}</b>' if best else told}{spread}"


def _picture(column: Column, kind: str) -> str:
    shown = column.pictures[kind]
    if isinstance(shown, str):
        return f"<figure><figcaption>{escape(column.name)}</figcaption><p class='aside'>{escape(shown)}</p></figure>"
    held = io.BytesIO()
    shown.pil().save(held, "PNG", optimize=True)
    height, width = shown.pixels.shape[:2]
    drawn = (f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode('ascii')}", width, height)
    body = image(drawn, f"{kind} of {column.name}", ROOM // 2)
    return f"<figure><figcaption>{escape(column.name)}</figcaption>{body}</figure>"


def _costs(columns: list[Column]) -> str:
    rows = []
    for column in columns:
        record = column.record
        last = next((line["seconds"] for line in reversed(record.log) if is_number(line.get("seconds"))), None)
        batch = record.part("train").get("batch")
        facts: dict[str, Any] = {
            "method": f"{record.about.get('method')}:{record.about.get('preset')}",
            "steps": record.step,
            "images seen": record.step * batch if is_number(batch) else None,
            "time": clock(last) if last is not None else None,
            "parameters": f"{sum(column.parameters.values()):,}",
            "machine": machine(dict(pairs(record.part("machine")))),
        }
        rows.append([column.name, *(plain(v) if v is not None else "not known" for v in facts.values())])
    head = "".join(f"<th>{escape(word)}</th>" for word in ("run", *facts))
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class='wide'><table class='compared'><tr>{head}</tr>{body}</table></div>"


def _curves(column: Column) -> str:
    """The losses of a run over the minutes that it took."""
    watched = {fault.role for fault in RULES}
    lines: dict[str, dict[float, float]] = {}
    for line in column.record.log:
        for name, value in pairs(line.get("metrics")):
            if is_number(value) and name not in watched and is_number(line.get("seconds")):
                lines.setdefault(name, {})[line["seconds"] / 60] = value
    told: dict[str, Points] = {name: sorted(points.items()) for name, points in lines.items()}
    charts = "".join(chart(group, label="loss", unit="minute") for group in by_scale(told))
    return f"<h3>{escape(column.name)}</h3>{charts}" if charts else ""
