"""The sections of an evaluation: the scores with their floors and definitions, and the pictures made with them."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from html import escape
from typing import Any, get_args

from reverie.metrics.score import Better, Reference, Score
from reverie.report.curves import number
from reverie.report.html import ROOM, Section, clock, image, items, machine, pairs, picture, plain, words
from reverie.report.run_record import Record, is_number
from reverie.utils.errors import UserError

READING = {"lower": "lower is better", "higher": "higher is better", "near floor": "best near the floor"}
ACRONYMS = frozenset(["fid", "kid", "nll", "elbo", "psnr", "ssim", "lpips", "bleu", "kl", "gan", "nn"])
MEANING = {
    "fid": "how far the generated images as a whole lie from the real ones, as a network sees them",
    "kid": "the same by another measure, which few images do not bias",
    "precision": "share of generated images that lie among the real ones",
    "recall": "share of the real images that lie among the generated ones",
    "density": "how many real images lie around a generated one",
    "coverage": "share of the real images that have a generated one near",
    "discriminability": "share of generated images that a classifier takes for the class asked for",
    "class spread": "how unlike one another images of a class are (the floor: as real ones)",
    "class coverage": "share of the real images of a class that have a generated one near",
    "gan-train": "share of real images that a classifier gets right which has seen generated ones only",
    "1-nn accuracy": "how often the image with the nearest code is of the same class",
    "reconstruction share": "error of reconstructions, beside that between two different images",
    "sharpness": "contrast of neighbouring pixels, beside that of real images",
    "nearest training image": "distance to the nearest training image; well below the floor: learnt by heart",
    "data copying": "how often a generated image is farther from the training images than an unseen real one",
    "near copies": "share of generated images that are hardly more than a copy of a training image",
    "nll": "how unlikely a real image is to this model, on average",
    "bits per dim": "the same for each number of an image",
    "elbo": "the bound that is trained: no more than minus the NLL",
    "active units": "latents that answer to the data; the others are ignored",
}


def scores(record: Record) -> Section | None:
    """The scores of scores.json by group, or how to get some."""
    command = f"<code>reverie evaluate {escape(shlex.quote(record.folder.resolve().name))} --data DATA</code>"
    if record.scores is None:
        hint = f"<p>Not measured yet: {command} scores this run.</p>"
        return Section("scores", "Scores", hint) if record.weights else None
    whole, broken = read(record.scores)
    skipped = [told for told in items(record.scores.get("skipped")) if isinstance(told, dict)]
    if not (whole or broken or skipped):
        return Section("scores", "Scores", f"<p>scores.json is damaged or empty; {command} writes it anew.</p>")
    stale = _stale(record)
    parts = [f'<p class="alarm">Stale: {escape(stale)}. To measure again: {command}</p>'] if stale else []
    groups: dict[str, list[Score]] = {}
    for score in whole:
        groups.setdefault(score.group, []).append(score)
    mark = ' <small class="stale">stale</small>' if stale else ""
    parts += [f"<h3>{escape(words(name).capitalize())}{mark}</h3>{_group(group)}" for name, group in groups.items()]
    if any(score.floor is not None for score in whole):
        parts.append(
            '<p class="aside">Floor: what noise alone gives, real images in place of generated ones; or the simplest '
            "answer, as said beside it. "
            "Lines begin at 0: the dot is the value, the stroke the floor.</p>"
        )
    reasons: dict[str, list[str]] = {}
    for told in skipped:
        reasons.setdefault(plain(told.get("why")), []).append(title(plain(told.get("score"))))
    lines = [f"{', '.join(names)}: {why}" for why, names in reasons.items()] + broken
    for heading, texts in (("Left out", lines), ("To know", list(map(plain, items(record.scores.get("notes")))))):
        if texts:
            rows = "".join(f"<li>{escape(text)}</li>" for text in texts)
            parts.append(f'<h3>{heading}</h3><ul class="out">{rows}</ul>')
    return Section("scores", "Scores", "".join(parts) + _origin(record.scores))


FIGURES = {
    "worst": "Worst cases",
    "translations": "Translations",
    "a-to-b": "From a to b",
    "b-to-a": "From b to a",
    "neighbours": "Nearest training neighbours",
    "interpolation": "Interpolation",
    "reconstruction": "Reconstructions",
}
"""pictures that evaluations make, in their order on the page, and their headings"""


def figure(record: Record, name: str, title: str) -> Section | None:
    """A picture that the evaluation made, where scores.json names it."""
    caption = dict(pairs((record.scores or {}).get("figures"))).get(name)
    if caption is None:
        return None
    text, stale = f"<p>{escape(plain(caption))}</p>", _stale(record)
    if stale:
        text = f'<p class="alarm">Stale: {escape(stale)}.</p>{text}'
    if drawn := picture(record.folder / "figures" / f"{name}.png"):
        text += f'<div class="large">{image(drawn, plain(caption), ROOM)}</div>'
    else:
        text += f"<p>figures/{name}.png is missing or damaged; evaluate the run again.</p>"
    return Section(name, title, text)


# --- a group of scores ----------------------------------------------------------------------------------------------


def _group(group: list[Score]) -> str:
    """What most of the scores were measured on, their table, their definitions."""
    usual = Counter(_measured_on(score) for score in group).most_common(1)[0][0]
    head = "".join(f"<th>{name}</th>" for name in ("Score", "Value", "", "Floor"))
    rows = "".join(_row(score, usual) for score in group)
    return f'<p class="aside">{escape(usual)}</p><table class="scores"><tr>{head}</tr>{rows}</table>{_checks(group)}'


def _row(score: Score, usual: str) -> str:
    notes = [MEANING.get(score.name, ""), "" if (on := _measured_on(score)) == usual else on]
    told = "".join(f"<small>{escape(note)}</small>" for note in notes if note)
    spread = f"<small>&plusmn; {number(float(f'{score.spread:.2g}'))}</small>" if score.spread is not None else ""
    value = f"{_figures(score.value, score.unit)}{spread}<small>{READING[score.better]}</small>"
    floor = _figures(score.floor, score.unit) if score.floor is not None else "none"
    return (
        f"<tr><th>{escape(title(score.name))}{told}</th>"
        f'<td class="value">{value}</td><td class="line">{_line(score)}</td>'
        f'<td class="floor">{floor}<small>{escape(score.floor_of)}</small></td></tr>'
    )


def _line(score: Score) -> str:
    """Value and floor as places on a line that begins at 0; "" where such a line would say nothing."""
    if score.floor is None or score.unit == "dB" or not score.value >= 0:  # which a value that is no number is not
        return ""
    full = 1.05 * max(score.value, score.floor)
    # An unbiased estimate of nothing may lie a little below 0: by less than is seen here.
    if not full or score.floor < -0.01 * full:
        return ""
    value, floor = (100 * max(place, 0.0) / full for place in (score.value, score.floor))
    said = escape(f"value {number(score.value)}, floor {number(score.floor)}", quote=True)
    return (
        f'<span class="scale" role="img" aria-label="{said}">'
        f'<span class="gap" style="left:{min(value, floor):.1f}%;width:{abs(value - floor):.1f}%"></span>'
        f'<span class="stroke" style="left:{floor:.1f}%"></span>'
        f'<span class="dot" style="left:{value:.1f}%"></span></span>'
    )


def _checks(group: list[Score]) -> str:
    """What one needs to check the figures of a group, or to compare them with others."""
    parts = []
    for score in group:
        facts = [_measured_on(score).rstrip("."), f"seed {score.seed}"]
        facts += [f"fingerprint {score.reference.fingerprint}"] if score.reference else []
        facts += [f"{name} {plain(version)}" for name, version in score.versions.items()]
        parts.append(
            f"<h4>{escape(title(score.name))} <code>{score.hash}</code></h4><p>{escape(score.definition)}</p>"
            f'<p class="aside">{escape("; ".join(facts))}</p>'
        )
    note = '<p class="aside">The code beside a name stands for the definition: compare only scores that share it.</p>'
    return f"<details><summary>How these were measured</summary>{''.join(parts)}{note}</details>"


def _origin(told: dict[str, Any]) -> str:
    """When, where and how the scores were measured."""
    facts = [str(told["created"]).replace("T", " ")[:16]] if told.get("created") else []
    facts += [f"on {machine(dict(pairs(told['machine'])))}"] if pairs(told.get("machine")) else []
    facts += [f"in {clock(told['seconds'])}"] if is_number(told.get("seconds")) else []
    command = f" by <code>{escape(str(told['command']))}</code>" if told.get("command") else ""
    return f'<p class="aside">Measured {escape(", ".join(facts))}{command}.</p>' if facts or command else ""


def title(name: str) -> str:
    """What a score is called on a page: "self-bleu-2" -> "Self-BLEU-2"; what stands after a comma stays as it is."""
    head, comma, rest = name.partition(", ")
    told = re.sub("[a-z]+", lambda word: word[0].upper() if word[0] in ACRONYMS else word[0], head.replace("_", " "))
    return told[:1].upper() + told[1:] + comma + rest


def _figures(value: float, unit: str) -> str:
    return f"<b>{number(value) if math.isfinite(value) else 'not a number'}</b> {escape(unit)}"


def _measured_on(score: Score) -> str:
    if score.reference is None:
        return f"{number(score.n)} items."
    r = score.reference
    return f"{number(score.n)} items, against {number(r.n)} of {r.name} ({r.split}){r.shape}."


# --- reading --------------------------------------------------------------------------------------------------------


def read(told: dict[str, Any]) -> tuple[list[Score], list[str]]:
    """The sound scores of scores.json, and what is wrong with the others, in words."""
    whole, broken = [], []
    for entry in items(told.get("scores")):
        try:
            if not isinstance(entry, dict):
                raise UserError("an entry of scores.json is no score; evaluate the run again.")
            score = Score.from_json(entry)
            if not _sound(score):
                raise UserError(f"score '{score.name}' was changed by hand; evaluate the run again.")
            whole.append(score)
        except UserError as error:
            broken.append(str(error))
    return whole, broken


def _sound(score: Score) -> bool:
    """Whether the fields are of their kinds: anything may stand in a file."""
    r = score.reference
    texts: list[Any] = [score.name, score.unit, score.definition, score.floor_of, score.group]
    numbers: list[Any] = [score.n, score.seed, *(x for x in (score.floor, score.spread) if x is not None)]
    if isinstance(r, Reference):
        texts += [r.name, r.split, r.fingerprint]
        numbers += [r.n, r.size, r.channels]
    return (
        (r is None or isinstance(r, Reference))
        and score.better in get_args(Better)
        and isinstance(score.versions, dict)
        and all(isinstance(text, str) for text in texts)
        and all(map(is_number, numbers))
        and (score.value != score.value or is_number(score.value))
    )


def _stale(record: Record) -> str:
    """Why what was measured is not of the present save, "" if it is."""
    run = dict(pairs((record.scores or {}).get("run")))
    step, mark = run.get("step"), run.get("weights")
    if not is_number(step):
        return "it is not known which save these are of"
    if step != record.step:
        return f"these are of step {number(step)}, the run is at step {number(record.step)}"
    if record.weights and not (isinstance(mark, str) and mark and record.weights.startswith(mark)):
        return "these are of other weights than the run has now"
    return ""
