"""The page of a comparison: runs in columns, each of the same things of all of them under one heading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reverie._version import __version__
from reverie.media import Image
from reverie.metrics.score import Score
from reverie.report.curves import Chart
from reverie.report.embedded_image import ROOM
from reverie.report.exhibit import exhibit
from reverie.report.html import Section, render_page
from reverie.report.metric_charts import ROLES, metric_charts, metric_lines
from reverie.report.reading import READING, meaning, score_title
from reverie.report.run_record import Record, is_number
from reverie.report.scores import std_error_text, value_text
from reverie.report.values import heading, machine, plain
from reverie.utils.formatting import clock

GRIDS = {
    "samples": ("Samples", "The first items that each run generates, not selected."),
    "reconstruction": ("Reconstructions", "The same items of the reference, and their reconstructions by each run."),
    "interpolation": ("Interpolation", "Each row leads from one generated item to another."),
    "translations": ("Translations", "The same images of the reference: input, translation, ground truth."),
    "a-to-b": ("From a to b", "The same images of the reference: input, translation, translated back."),
    "b-to-a": ("From b to a", "The same images of the reference: input, translation, translated back."),
}
"""kinds of grids in their order on the page: the title, and what they show"""
LISTED = 3
"""scores that an excuse names"""


@dataclass(frozen=True)
class Column:
    """A run: its name, its files, image grids by kind (or why there is none), and the parameters of its networks."""

    name: str
    record: Record
    grids: dict[str, Image | str]
    parameters: dict[str, int]


@dataclass(frozen=True)
class Line:
    """A score of all runs, or why a run has none; which is best, and one of them, for what all share."""

    name: str
    cells: list[Score | str]
    best: int | None
    like: Score


def page(columns: list[Column], lines: list[Line], data: str, command: str) -> str:
    """The whole page: grids of the runs side by side, their scores on `data`, what they cost, their metrics."""
    shown = [kind for kind in GRIDS if any(isinstance(column.grids.get(kind), Image) for column in columns)]
    sections = [_grids(columns, kind) for kind in shown]
    sections += [_scores(columns, lines), _cost(columns), *_metrics(columns)]
    if command:
        sections.append(Section("reproduce", "Reproduce this page", "command.html.jinja", {"command": command}))
    names = [column.name for column in columns]
    return render_page(
        "compared.html.jinja", f"{', '.join(names)} - compared", sections, names=names, data=data, version=__version__
    )


def _scores(columns: list[Column], lines: list[Line]) -> Section:
    """A table for each group of scores that two runs or more have, one of the others, and why cells are empty."""
    groups: dict[str, list[dict[str, Any]]] = {}
    alone: list[dict[str, Any]] = []
    reasons: dict[str, dict[str, list[str]]] = {}
    for line in lines:
        row = _row(line)
        if sum(isinstance(cell, Score) for cell in line.cells) > 1:
            groups.setdefault(line.like.group, []).append(row)
        else:
            alone.append(row)
        for column, cell in zip(columns, line.cells, strict=True):
            if isinstance(cell, str):
                reasons.setdefault(cell, {}).setdefault(column.name, []).append(row["title"])
    content = {
        "names": [column.name for column in columns],
        "groups": [{"title": heading(name), "rows": rows} for name, rows in groups.items()],
        "alone": alone,
        "reasons": [_reason(why, missing) for why, missing in reasons.items()],
    }
    return Section("scores", "Scores", "compared_scores.html.jinja", content)


def _reason(why: str, missing: dict[str, list[str]]) -> str:
    """Why which runs lack which scores, said once: of many scores their number."""
    parts = []
    for run, titles in missing.items():
        listed = ", ".join(titles[:LISTED]) + (f" and {len(titles) - LISTED} more" if len(titles) > LISTED else "")
        parts.append(f"{run} ({listed})")
    return f"{'; '.join(parts)}: {why}"


def _row(line: Line) -> dict[str, Any]:
    """A score of all runs as texts."""
    like = line.like
    return {
        "title": score_title(line.name),
        "unit": "" if like.unit == line.name else like.unit,
        "notes": meaning(line.name),
        "reading": READING[like.better],
        "cells": [_cell(cell, index == line.best) for index, cell in enumerate(line.cells)],
        "beside": "" if like.yardstick is None else value_text(like.yardstick),
        "beside_source": like.yardstick_source,
        "hash": like.hash,
        "definition": like.definition,
    }


def _cell(cell: Score | str, best: bool) -> dict[str, Any] | None:
    if isinstance(cell, str):
        return None
    return {"value": value_text(cell.value), "std_error": std_error_text(cell), "best": best}


def _grids(columns: list[Column], kind: str) -> Section:
    """The grids of one kind of all runs that have one, and why the others have none."""
    title, note = GRIDS[kind]
    grids, missing = [], []
    for column in columns:
        grid = column.grids.get(kind, f"{column.name} has none")
        if isinstance(grid, Image):
            shown = {"run": column.name, "shown": exhibit(grid), "description": f"{kind} of {column.name}"}
            grids.append(shown)
        else:
            missing.append(grid if column.name in grid else f"{column.name}: {grid}")
    content = {"note": note, "grids": grids, "missing": missing, "room": ROOM // 2}
    return Section(kind, title, "compared_samples.html.jinja", content)


def _cost(columns: list[Column]) -> Section:
    """Steps, time, parameters and machine of each run."""
    header = ["run", "method", "steps", "items processed", "time", "parameters", "machine"]
    rows = []
    for column in columns:
        record = column.record
        seconds = next((line["seconds"] for line in reversed(record.log) if is_number(line.get("seconds"))), None)
        batch_size = record.part("train").get("batch_size")
        rows.append(
            [
                column.name,
                f"{plain(record.about.get('method'))}:{plain(record.about.get('preset'))}",
                plain(record.step),
                plain(record.step * batch_size) if is_number(batch_size) else "not known",
                clock(seconds) if seconds is not None else "not known",
                f"{sum(column.parameters.values()):,}",
                machine(record.part("machine")),
            ]
        )
    return Section("cost", "Cost", "compared_cost.html.jinja", {"header": header, "rows": rows})


def _metrics(columns: list[Column]) -> list[Section]:
    """The metrics of each run over the minutes that it took."""
    runs = [{"name": column.name, "charts": charts} for column in columns if (charts := _charts(column.record))]
    return [Section("metrics", "Metrics over time", "compared_metrics.html.jinja", {"runs": runs})] if runs else []


def _charts(record: Record) -> list[Chart]:
    watched = {name for name, role in record.monitored.items() if role in ROLES}  # each run's own page shows these
    lines = {name: points for name, points in metric_lines(record.log, "seconds", 60).items() if name not in watched}
    return metric_charts(lines, record.monitored, unit="minute")
