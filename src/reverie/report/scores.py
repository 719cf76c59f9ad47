"""The section of the scores: value, standard error, floor and definition of each."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import Any, get_args

from reverie.metrics.score import Better, Reference, Score
from reverie.report.html import Section
from reverie.report.run_record import Record, is_number
from reverie.report.values import date, heading, items, machine, number, pairs, plain
from reverie.utils.errors import UserError
from reverie.utils.formatting import clock

READING = {"lower": "lower is better", "higher": "higher is better", "match": "best near the floor"}
SPELLINGS = {"dice": "Dice", "miou": "mIoU"} | {
    acronym: acronym.upper()
    for acronym in (
        "auc", "bleu", "elbo", "fid", "gan", "kid", "kl", "l1", "lpips", "mse", "nll", "nn", "psnr", "ssim",
    )
}  # fmt: skip
"""words of the names of scores that are not written in lower case"""
MEANING = {
    # generated images beside real ones
    "fid": "distance of the generated images as a whole from the real ones, in the features of a network",
    "kid": "the same by another distance, which few images do not bias",
    "precision": "share of generated images that lie among the real ones",
    "recall": "share of the real images that lie among the generated ones",
    "density": "how many real images lie around a generated one",
    "coverage": "share of the real images that have a generated one near",
    "sharpness": "contrast of neighbouring pixels, divided by that of real images",
    "nn distance ratio": "distance to the nearest training image; well below the floor: memorised",
    "data-copying auc": "how often a generated image is farther from the training images than an unseen real one",
    "near-duplicate rate": "share of generated images that are hardly more than a copy of a training image",
    # of classes
    "gan-test accuracy": "share of generated images that a classifier assigns to the class asked for",
    "gan-train accuracy": "accuracy on real images of a classifier that was trained on generated ones only",
    "intra-class diversity": "distance between images of a class (the floor: between real ones)",
    "per-class coverage": "share of the real images of a class that have a generated one near",
    "1-nn accuracy": "how often the image with the nearest code is of the same class",
    # reconstructions and translations
    "mse": "mean squared error of the pixels, in [0,1]",
    "normalised mse": "MSE of reconstructions, divided by that between two different images",
    "pixel accuracy": "share of pixels of the correct class",
    "miou": "pixels in both label maps divided by those in either, mean over classes",
    "cycle-consistency l1": "mean absolute difference of an image from its translation back",
    # likelihoods
    "nll": "how unlikely a real item is to this model, on average",
    "bits/dim": "the NLL for each value of an image",
    "elbo": "the bound that is trained: no more than minus the NLL",
    "active units": "latent dimensions that depend on the data; the decoder ignores the others",
    # text and music
    "nll-gen": "how unlikely a real token is to the generator",
    "nll-oracle": "how unlikely a generated token is to the oracle that wrote the data",
    "exact-match rate": "share of generated items that equal a training item",
    "scale consistency": "share of notes in the major scale that fits best",
    "bar self-similarity": "how much of a bar repeats an earlier one",
}
"""what scores measure, in a few words; their definitions say it exactly"""


@dataclass(frozen=True)
class Scale:
    """Value and floor as places on a line that begins at 0, in per cent of its length."""

    description: str
    value: str
    floor: str
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
    floor: str
    """"" for none"""
    floor_source: str
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
        "has_floor": any(score.floor is not None for score in valid),
        "skipped": _reasons(skipped) + faults,
        "notes": list(map(plain, items(about.get("notes")))),
        "origin": _origin(about),
        "origin_command": plain(about["command"]) if about.get("command") else "",
    }
    return [Section("scores", "Scores", "scores.html.jinja", content)]


def score_title(name: str) -> str:
    """What a score is called on a page: "self-bleu-2" -> "Self-BLEU-2"; what follows a comma stays as it is."""
    head, comma, rest = name.partition(", ")
    title = re.sub("[a-z]+[0-9]*", lambda word: SPELLINGS.get(word[0], word[0]), head.replace("_", " "))
    if not title.startswith(tuple(SPELLINGS.values())):
        title = title[:1].upper() + title[1:]
    return title + comma + rest


def meaning(name: str) -> list[str]:
    """What a score measures in a few words, if there are any; those of "mse, METHOD" are those of "mse"."""
    known = MEANING.get(name.partition(", ")[0])
    return [known] if known else []


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
        rows = [_row(score, usual) for score in group]
        groups.append({"title": heading(name), "measured_on": usual, "rows": rows})
    return groups


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
        floor="" if score.floor is None else value_text(score.floor),
        floor_source=score.floor_source,
        scale=_scale(score),
        hash=score.hash,
        definition=score.definition,
        facts="; ".join(facts),
    )


def _scale(score: Score) -> Scale | None:
    """Value and floor on a line from 0; None where such a line would say nothing."""
    if score.floor is None or score.unit == "dB" or not score.value >= 0:  # which a value that is no number is not
        return None
    full = 1.05 * max(score.value, score.floor)
    # An unbiased estimate of zero may lie a little below it: by less than the page shows.
    if not full or score.floor < -0.01 * full:
        return None
    value, floor = (100 * max(place, 0.0) / full for place in (score.value, score.floor))
    return Scale(
        description=f"value {number(score.value)}, floor {number(score.floor)}",
        value=f"{value:.1f}",
        floor=f"{floor:.1f}",
        gap_start=f"{min(value, floor):.1f}",
        gap_width=f"{abs(value - floor):.1f}",
    )


def _reasons(skipped: list[dict[str, Any]]) -> list[str]:
    """Why scores were skipped, those with one reason together."""
    names: dict[str, list[str]] = {}
    for line in skipped:
        names.setdefault(plain(line.get("why")), []).append(score_title(plain(line.get("score"))))
    return [f"{', '.join(titles)}: {why}" for why, titles in names.items()]


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
            faults.append(str(error))
    return valid, faults


def _is_valid(score: Score) -> bool:
    """Whether the fields are of their types: anything may stand in a file."""
    texts: list[Any] = [score.name, score.unit, score.definition, score.floor_source, score.group]
    numbers: list[Any] = [score.n, score.seed]
    numbers += [value for value in (score.floor, score.std_error) if value is not None]
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
