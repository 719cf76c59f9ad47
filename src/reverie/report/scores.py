"""The section of the scores: value, standard error, value of real data or of a baseline, and definition of each."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, get_args

from reverie.metrics.score import Better, Reference, Score
from reverie.report.baselines import BASELINES, baseline_table, lost_to
from reverie.report.html import Section
from reverie.report.reading import READING, meaning, score_title
from reverie.report.run_record import Record, is_number
from reverie.report.values import date, heading, items, machine, number, pairs, plain
from reverie.utils.errors import UserError, one_line
from reverie.utils.formatting import clock


@dataclass(frozen=True)
class Scale:
    """Value and what it is read beside as places on a line that begins at 0, in per cent of its length."""

    description: str
    value: str
    beside: str
    gap_start: str
    gap_width: str


@dataclass(frozen=True)
class ScoreRow:
    """A score as texts."""

    title: str
    notes: list[str]
    """what it measures; what it was measured on, where that differs from the rest of its group"""
    value: str
    unit: str
    std_error: str
    reading: str
    beside: str
    """"" for none"""
    beside_source: str
    scale: Scale | None
    hash: str
    definition: str
    facts: str
    """what it takes to check the value"""


def scores(record: Record) -> list[Section]:
    """The scores of scores.json by group, or how to get some."""
    run = shlex.quote(record.folder.resolve().name)
    if record.scores is None and not record.weights:
        return []
    about = record.scores or {}
    valid, faults = read_scores(about)
    skipped = [line for line in items(about.get("skipped")) if isinstance(line, dict)]
    if not (valid or faults or skipped):
        content: dict[str, Any] = {"run": run, "damaged": record.scores is not None}
        return [Section("scores", "Scores", "scores_missing.html.jinja", content)]
    content = {
        "run": run,
        "stale": why_stale(record),
        "groups": _groups(valid),
        "baselines": baseline_table(valid, record.folder.resolve().name),
        "lost": lost_to(valid),
        "has_beside": any(score.yardstick is not None for score in valid),
        "skipped": _reasons(skipped) + faults,
        "notes": list(map(plain, items(about.get("notes")))),
        "origin": _origin(about),
        "origin_command": plain(about["command"]) if about.get("command") else "",
    }
    return [Section("scores", "Scores", "scores.html.jinja", content)]


def std_error_text(score: Score) -> str:
    """The standard error to two digits; "" for none."""
    return number(float(f"{score.std_error:.2g}")) if score.std_error is not None else ""


def value_text(value: float) -> str:
    """The value of a score in words."""
    return number(value) if math.isfinite(value) else "not a number"


def _groups(valid: list[Score]) -> list[dict[str, Any]]:
    """The scores by group, each with what most of its scores were measured on."""
    by_group: dict[str, list[Score]] = {}
    for score in valid:
        by_group.setdefault(score.group, []).append(score)
    groups = []
    for name, group in by_group.items():
        usual = Counter(map(_measured_on, group)).most_common(1)[0][0]
        rows = _without_repeats([_row(score, usual) for score in group])
        groups.append({"title": heading(name), "measured_on": usual, "rows": rows, "in_table": name == BASELINES})
    return groups


def _without_repeats(rows: list[ScoreRow]) -> list[ScoreRow]:
    """The rows, with notes only where they are not those of the row before: BLEU-2, BLEU-3 ... have one meaning."""
    before = [None, *(row.notes for row in rows)]
    return [replace(row, notes=[]) if row.notes == notes else row for row, notes in zip(rows, before, strict=False)]


def _row(score: Score, usual: str) -> ScoreRow:
    measured_on = _measured_on(score)
    notes = meaning(score.name)
    if measured_on != usual:
        notes.append(measured_on)
    facts = [measured_on.rstrip("."), f"seed {score.seed}"]
    if score.reference:
        facts.append(f"fingerprint {score.reference.fingerprint}")
    facts += [f"{name} {plain(version)}" for name, version in score.versions.items()]
    return ScoreRow(
        title=score_title(score.name),
        notes=notes,
        value=value_text(score.value),
        unit=score.unit,
        std_error=std_error_text(score),
        reading=READING[score.better],
        beside="" if score.yardstick is None else value_text(score.yardstick),
        beside_source=score.yardstick_source,
        scale=_scale(score),
        hash=score.hash,
        definition=score.definition,
        facts="; ".join(facts),
    )


def _scale(score: Score) -> Scale | None:
    """Value and what it is read beside on a line from 0; None where such a line would say nothing."""
    if score.yardstick is None or score.unit == "dB" or not score.value >= 0:  # which a value that is no number is not
        return None
    full = 1.05 * max(score.value, score.yardstick)
    # An unbiased estimate of zero may lie a little below it: by less than the page shows.
    if not full or score.yardstick < -0.01 * full:
        return None
    value, beside = (100 * max(place, 0.0) / full for place in (score.value, score.yardstick))
    return Scale(
        description=f"value {number(score.value)}, beside {number(score.yardstick)}",
        value=f"{value:.1f}",
        beside=f"{beside:.1f}",
        gap_start=f"{min(value, beside):.1f}",
        gap_width=f"{abs(value - beside):.1f}",
    )


def _reasons(skipped: list[dict[str, Any]]) -> list[str]:
    """Why scores were skipped, those with one reason together."""
    names: dict[str, list[str]] = {}
    for line in skipped:
        names.setdefault(plain(line.get("why")), []).append(score_title(plain(line.get("score"))))
    commas = {why: "; " if any("," in title for title in titles) else ", " for why, titles in names.items()}
    return [f"{commas[why].join(titles)}: {why}" for why, titles in names.items()]


def _origin(about: dict[str, Any]) -> str:
    """When, where and in what time the scores were measured."""
    facts = [date(about["created"])] if about.get("created") else []
    if pairs(about.get("machine")):
        facts.append(f"on {machine(dict(pairs(about['machine'])))}")
    if is_number(about.get("seconds")):
        facts.append(f"in {clock(about['seconds'])}")
    return ", ".join(facts)


def _measured_on(score: Score) -> str:
    """ "5,000 items, against 10,000 of photos (test) at 32x32x3." """
    if score.reference is None:
        return f"{number(score.n)} items."
    r = score.reference
    return f"{number(score.n)} items, against {number(r.n)} of {r.name} ({r.split}){r.shape}."


# --- reading --------------------------------------------------------------------------------------------------------


def read_scores(about: dict[str, Any]) -> tuple[list[Score], list[str]]:
    """The valid scores of scores.json, and what is wrong with the others, in words."""
    valid, faults = [], []
    for entry in items(about.get("scores")):
        try:
            if not isinstance(entry, dict):
                raise UserError("an entry of scores.json is no score; evaluate the run again.")
            score = Score.from_json(entry)
            if not _is_valid(score):
                raise UserError(f"score '{score.name}' was edited by hand; evaluate the run again.")
            valid.append(score)
        except UserError as error:
            faults.append(one_line(str(error)))
    return valid, faults


def _is_valid(score: Score) -> bool:
    """Whether the fields are of their types: anything may stand in a file."""
    texts: list[Any] = [score.name, score.unit, score.definition, score.real_source, score.baseline_name, score.group]
    numbers: list[Any] = [score.n, score.seed]
    numbers += [value for value in (score.real, score.baseline, score.std_error) if value is not None]
    reference = score.reference
    if isinstance(reference, Reference):
        texts += [reference.name, reference.split, reference.fingerprint]
        numbers += [reference.n, reference.size, reference.channels]
    elif reference is not None:
        return False
    return (
        score.better in get_args(Better)
        and isinstance(score.versions, dict)
        and all(isinstance(text, str) for text in texts)
        and all(map(is_number, numbers))
        and (is_number(score.value) or score.value != score.value)
    )


def why_stale(record: Record) -> str:
    """Why what was measured is not of the present checkpoint; "" if it is."""
    run = dict(pairs((record.scores or {}).get("run")))
    step, weights = run.get("step"), run.get("weights")
    if not is_number(step):
        return "it is not known of which checkpoint these are"
    if step != record.step:
        return f"these are of step {number(step)}, the run is at step {number(record.step)}"
    if record.weights and not (isinstance(weights, str) and weights and record.weights.startswith(weights)):
        return "these are of other weights than the run has now"
    return ""
