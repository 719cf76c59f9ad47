"""The sentences at the top of a run's page: what was trained on what, for how long, and how good it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reverie.metrics.score import Score
from reverie.report.baselines import BASELINES, lost_to
from reverie.report.monitor import alert_names, is_long_enough
from reverie.report.reading import READING, score_title
from reverie.report.run_record import Record, is_number
from reverie.report.scores import read_scores, why_stale
from reverie.report.values import number, plain
from reverie.utils.formatting import clock

ITEMS = {
    "images": "images", "photos": "patches", "pairs": "pairs of images", "unpaired": "images", "text": "lines",
    "music": "windows of music", "fixations": "images with fixations", "paragraphs": "images with paragraphs",
}  # fmt: skip
"""what one item of a kind of data is called, in the plural"""
MAIN_SCORES = (
    "psnr-y", "psnr-hole", "psnr", "cider-d", "nss", "pixel accuracy", "accuracy", "fid", "kid", "fid, a to b",
    "fid, b to a", "cycle-consistency l1, a to b", "nll-oracle", "bleu-3", "bits/dim", "nll", "nll-gen",
)  # fmt: skip
"""scores that say most about a run in one number, the first that it has"""
OF_RECONSTRUCTIONS = ("onset accuracy", "melody onset accuracy", "drums onset accuracy", "psnr")
"""those of reconstructions, where a run has none of the others"""


@dataclass(frozen=True)
class Headline:
    """The headline, and sentences under it."""

    title: str
    sentences: list[str]
    warning: str
    """"" for none"""


def headline(record: Record) -> Headline:
    """The headline of a run, from its files."""
    name = plain(record.about.get("name") or record.about.get("method") or "A run")
    title = f"{name}, trained on {_data(record)}"
    if took := _time(record):
        title += f" for {took}"
    valid, _ = read_scores(record.scores or {})
    sentences = [_progress(record), _quality(record, valid), _health(record)]
    return Headline(title, [one for one in sentences if one], lost_to(valid))


def main_score(scores: list[Score]) -> Score | None:
    """The score that says most about a run; None if there is none of these."""
    usable: dict[str, Score] = {}
    for s in scores:
        if math.isfinite(s.value) and s.group not in ("reconstruction", BASELINES):
            for name in (s.name, s.name.partition(", ")[0]):  # "psnr-hole" is the first of "psnr-hole, centre"
                usable.setdefault(name, s)
    reconstructed = {s.name: s for s in scores if math.isfinite(s.value) and s.group == "reconstruction"}
    found = [usable[name] for name in MAIN_SCORES if name in usable]
    found += [reconstructed[name] for name in OF_RECONSTRUCTIONS if name in reconstructed]
    return next(iter(found), None)


def count_of(record: Record) -> str:
    """How many items of what kind were learnt from: "5,000 images", "1,231 + 962 images"; "" if it is not known."""
    data = record.part("data")
    kind, n, sides = data.get("kind"), data.get("n"), data.get("sides")
    items = ITEMS.get(kind, "items") if isinstance(kind, str) else "items"
    if isinstance(sides, list) and len(sides) == 2 and all(map(is_number, sides)):
        return f"{number(sides[0])} + {number(sides[1])} {items}"
    return f"{number(n)} {items}" if is_number(n) else ""


def _data(record: Record) -> str:
    data = record.part("data")
    source = plain(data.get("name") or data.get("spec") or "data that is not named")
    count = count_of(record)
    return f"{count} of {source}" if count else source


def _time(record: Record) -> str:
    seconds = [line["seconds"] for line in record.log if is_number(line.get("seconds"))]
    return clock(seconds[-1]) if seconds else ""


def _progress(record: Record) -> str:
    """Where training is, if it has not ended."""
    total = record.total_steps
    if total and record.step < total:
        return f"Training is at step {number(record.step)} of {number(total)}."
    return ""


def _quality(record: Record, scores: list[Score]) -> str:
    """The main score beside what it is to be compared with."""
    score = main_score(scores)
    if score is None:
        return "It has not been scored yet." if record.weights and record.scores is None else ""
    unit = f" {score.unit}" if score.unit else ""
    text = f"{score_title(score.name)} {number(score.value)}{unit}"
    if score.yardstick is not None:
        text += f", beside {number(score.yardstick)}{unit} ({score.yardstick_source})"
    text += f"; {READING[score.better]}"
    stale = why_stale(record)
    return f"{text}. Stale: {stale}." if stale else f"{text}."


def _health(record: Record) -> str:
    """That the monitor is content; its alerts stand apart."""
    return "The monitor raised no alert." if is_long_enough(record) and not alert_names(record) else ""
