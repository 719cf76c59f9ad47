"""Evaluate: the scores of one run, of a file of weights, or of pictures made elsewhere, against a data set."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from .. import __version__
from ..data.images import Images
from ..disk import flush, friendly, replace_text
from ..errors import UserError
from ..media import Image
from ..options import Option, check_names, convert, of_signature
from ..provenance import machine, now, versions
from ..report.page import write_report
from ..run import Run
from ..scores.score import Score
from . import figures
from .classes import CLASS_SCORES, TAUGHT, class_scores, gan_train, takes_labels
from .codes import neighbour_score
from .features import mark_of, open_features
from .samples import (
    BY_FEATURES,
    LEAST,
    SHARE,
    Looked,
    Neighbours,
    by_features,
    reconstruction_scores,
    sharpness_score,
)
from .sets import Sets, check_fit, open_sets
from .subject import Subject, gathered, open_subject

USUAL = 5_000
"""generated images, unless told otherwise"""
RECONSTRUCTED = 64
"""images that are reconstructed: where a search goes on for each, that takes a while"""


@dataclass
class Evaluation:
    """The scores of one run: `for score in evaluation`, `evaluation["fid"]`."""

    run: dict[str, Any]
    scores: list[Score] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    """{"score", "why"} of scores that could not be had"""
    notes: list[str] = field(default_factory=list)
    """what a reader of the scores ought to know"""
    pictures: dict[str, tuple[Image, str]] = field(default_factory=dict)
    """name -> picture and caption"""
    command: str = ""
    seconds: float = 0.0
    asked: dict[str, Any] = field(default_factory=dict)
    """what was measured on, and how: scores of one run that share it are the same"""

    @classmethod
    def read(cls, folder: Path) -> Evaluation | None:
        """The evaluation in a run folder, without its pictures; None if there is none, or it is damaged."""
        try:
            told = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
            scores = [Score.from_json(score) for score in told["scores"]]
            return cls(told["run"], scores, told["left_out"], told["notes"], asked=told["asked"])
        except (OSError, ValueError, KeyError, TypeError, UserError):
            return None

    def __iter__(self) -> Iterator[Score]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, name: str) -> Score:
        for score in self.scores:
            if score.name == name:
                return score
        why = next((line["why"] for line in self.left_out if line["score"] == name), "it was not asked for")
        raise KeyError(f"no score '{name}' ({why}); there are: {', '.join(score.name for score in self.scores)}")

    def leave_out(self, names: Any, why: str) -> None:
        """Notes scores that cannot be had."""
        self.left_out += [{"score": name, "why": why} for name in names]

    def to_json(self) -> dict[str, Any]:
        """As scores.json."""
        return {
            "run": self.run,
            "scores": [score.to_json() for score in self.scores],
            "left_out": self.left_out,
            "notes": self.notes,
            "figures": {name: caption for name, (_, caption) in self.pictures.items()},
            "asked": self.asked,
            "command": self.command,
            "created": now(),
            "machine": machine(),
            "seconds": round(self.seconds, 1),
        }

    def table(self) -> str:
        """The scores in columns, then what was left out and what to know."""
        rows = [("score", "value", "", "floor", "n", "better")]
        for s in self.scores:
            spread = "" if s.spread is None else f"+- {s.spread:.2g}"
            floor = "" if s.floor is None else f"{s.floor:.4g}"
            rows.append((s.name, f"{s.value:.4g} {s.unit}".strip(), spread, floor, str(s.n), s.better))
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        for why in dict.fromkeys(line["why"] for line in self.left_out):
            lines.append(f"left out: {', '.join(o['score'] for o in self.left_out if o['why'] == why)}: {why}")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])


def evaluate(
    run: str | Path,
    data: str | Path,
    *,
    features: str | Path | None = None,
    n: int | None = None,
    seed: int = 0,
    split: str | None = None,
    taught: bool = False,
    **own: Any,
) -> Evaluation:
    """Scores a run against data; scores.json, figures/ and report.html of its folder tell them.

    run: a run folder; a file of weights or a folder of pictures, beside which nothing is written;
    data: the data set: its test split is the reference, or half of its only split; split: another reference;
    features: the network that images are compared by, a file of weights or a classifier's run folder; None: a
    classifier of the data's own labels; n: generated images (None: 5,000, or as many as the reference if it has fewer);
    taught: of a generator that is told the class, also what a classifier learns from its images (GAN-train; minutes);
    own: options of the method's own scores, such as k of the VAE. Raises UserError.
    """
    call = f"reverie.evaluate({str(run)!r}, {str(data)!r}, features={features and str(features)!r}, n={n}, seed={seed}"
    more = {**({"split": split} if split else {}), **({"taught": True} if taught else {}), **own}
    call += "".join(f", {name}={value!r}" for name, value in more.items())
    return score(open_subject(run), data, features, n, seed, split, taught, call + ")", **own)


def score(
    subject: Subject,
    data: str | Path,
    features: str | Path | None = None,
    n: int | None = None,
    seed: int = 0,
    split: str | None = None,
    taught: bool = False,
    command: str = "",
    **own: Any,
) -> Evaluation:
    """As evaluate, of a subject that is open; command: what repeats it."""
    began = time.monotonic()
    own = _own_options(subject, own)
    check_count(subject, n, seed)
    if subject.folder is not None and not os.access(subject.folder, os.W_OK):
        raise UserError(f"{subject.folder} cannot be written, and scores go into it; copy it, or give its weights.")
    sets = open_sets(data, split, subject.wants)
    check_fit(sets, subject.learnt, subject.wants)
    how = asked(subject, sets, features, n, seed, taught)
    n = how["n"]
    found = Evaluation(subject.about, notes=_notes(subject, sets), command=command, asked=how)

    makes = subject.pictures is not None or subject.can("generate")
    # What may be wrong is looked at before anything takes long: a network that is named, then the method's own options.
    net = _network(found, sets, features) if makes and features is not None else None
    method = subject.method
    peculiar = [] if method is None else list(method.own_scores(sets.data, min(n, len(sets.data)), seed, **own))
    if makes:
        net = _network(found, sets, None) if features is None else net
        _sample_scores(found, subject, sets, net, n, seed)
        if taught:
            _teach(found, subject, sets, seed)
    if subject.can("reconstruct"):
        _reconstruct(found, subject, sets, seed)
    if method is not None and subject.can("encode") and sets.train.classes:
        found.scores.append(neighbour_score(method, sets, seed))
    found.scores += peculiar
    if not found.scores:
        why = found.left_out[0]["why"] if found.left_out else "it makes no images and has no scores of its own"
        raise UserError(f"{subject.about['method']} cannot be scored: {why}.")
    found.scores = [one if one.versions else dataclasses.replace(one, versions=versions()) for one in found]
    found.seconds = time.monotonic() - began
    if subject.folder is not None:
        _write(subject.folder, found)
    return found


def asked(
    subject: Subject, sets: Sets, features: str | Path | None, n: int | None, seed: int, taught: bool
) -> dict[str, Any]:
    """What is measured on, and how, but for the options of a method's own scores."""
    return {
        "reference": sets.data.fingerprint, "train": sets.train.fingerprint,
        "n": n or min(USUAL, len(sets.reference) if subject.pictures is None else len(subject.pictures)),
        "seed": seed, "features": None if features is None else mark_of(features), "taught": taught,
        "reverie": __version__,
    }  # fmt: skip


def own_options(method: Any) -> list[Option]:
    """The options of a method's own scores, beyond those that all have."""
    return [option for option in of_signature(method.own_scores) if option.name not in ("data", "n", "seed")]


def _own_options(subject: Subject, own: dict[str, Any]) -> dict[str, Any]:
    known = {} if subject.method is None else {option.name: option.type for option in own_options(subject.method)}
    check_names(own, known, f"evaluate of {subject.about['method'] or 'pictures'}")
    return {name: convert(value, known[name], name) for name, value in own.items()}


def check_count(subject: Subject, n: int | None, seed: int) -> None:
    """Raises UserError if so many images cannot be scored, or nothing be drawn from the seed."""
    if not 0 <= seed < 2**63:
        raise UserError(f"seed is {seed}; give a whole number from 0 to 2^63 - 1.")
    made = subject.pictures is not None or subject.can("generate")
    count = len(subject.pictures) if subject.pictures is not None and n is None else n
    if count is not None and count < (LEAST if made else 1):
        raise UserError(
            f"scores on {count} images say nothing about a generator; give {LEAST} or more, better thousands."
            if made
            else f"n is {count}; it must be 1 or more."
        )
    if subject.pictures is not None and n is not None and n > len(subject.pictures):
        raise UserError(f"n is {n}, but there are {len(subject.pictures)} pictures; leave -n away to score them all.")


def _notes(subject: Subject, sets: Sets) -> list[str]:
    notes = []
    train, learnt = sets.train, subject.learnt
    if learnt and learnt.get("fingerprint") != train.fingerprint:
        notes.append(
            f"the run learnt from {learnt.get('name')} (fingerprint {learnt.get('fingerprint')}), not from the "
            f"training images here ({train.name}, fingerprint {train.fingerprint}): likeness to these shows transfer."
        )
    if sets.left_out_one:
        notes.append(
            f"{train.spec} has one split only: the reference is half of the images that were learnt from, so that "
            "learning them by heart is rewarded; read the nearest training images beside it."
        )
    elif sets.data is train:
        notes.append("the reference is what was learnt from, so that learning it by heart is rewarded.")
    return notes


def _sample_scores(found: Evaluation, subject: Subject, sets: Sets, net: Any, n: int, seed: int) -> None:
    """Sharpness, nearness to training images, and what features tell, of n images; and pictures."""
    made = subject.images(n, seed)
    looked = None
    if net is not None:
        looked = Looked(net, made, sets)
        found.scores += list(by_features(looked, sets, seed))
        if min(len(made), len(looked.reference)) < net.width:
            found.notes.append(
                f"fid: {min(len(made), len(looked.reference))} images are fewer than the {net.width} numbers of a "
                "feature, which biases it upwards; read it beside its floor only, or read kid, which has no bias."
            )
        if len(looked.floor) < len(made):
            found.notes.append(
                f"the floor is of {len(looked.floor)} images, there are no more; fid of fewer is higher."
            )
    found.scores.append(sharpness_score(made, sets, seed))
    if takes_labels(subject.method):
        if why := _unlike(subject, sets):
            found.leave_out(CLASS_SCORES, why)
        else:
            found.scores += list(class_scores(made, _turns(subject, sets, n), looked, sets, seed))
    near = Neighbours(made, sets, looked)
    found.scores += list(near.scores(sets, seed))
    if len(sets.unseen) < SHARE:
        found.leave_out(["near copies"], f"{len(sets.unseen)} unseen images are too few; it takes {SHARE}")
    found.pictures["neighbours"] = figures.neighbours(made, near, sets)
    if subject.method is not None and subject.can("interpolate"):
        found.pictures["interpolation"] = figures.interpolation(subject.method.verb("interpolate")(n=8, seed=seed))


def _teach(found: Evaluation, subject: Subject, sets: Sets, seed: int) -> None:
    """What a classifier learns from generated images, where they have classes."""
    why = _unlike(subject, sets) if takes_labels(subject.method) else "it is not told the class of an image"
    if why:
        found.leave_out(["gan-train"], why)
    else:
        n = min(TAUGHT, len(sets.train))
        made = subject.images(n, seed + 1)  # other ones than are scored
        found.scores.append(gan_train(made, _turns(subject, sets, n), sets, seed))


def _unlike(subject: Subject, sets: Sets) -> str:
    """Why the classes of the data are not those that the subject makes; "" if they are."""
    made = list(getattr(getattr(subject.method, "config", None), "names", None) or ())
    if sorted(made) == sorted(sets.train.classes):
        return ""
    return f"the data has other classes ({', '.join(sets.train.classes) or 'none'}) than it makes ({', '.join(made)})"


def _turns(subject: Subject, sets: Sets, n: int) -> np.ndarray:
    """The labels [n], as the data counts them, of the first images that the subject makes: its classes in turn."""
    assert subject.method is not None
    of = np.array([sets.train.classes.index(name) for name in subject.method.config.names])
    return of[np.arange(n) % len(of)]


def _network(found: Evaluation, sets: Sets, spec: str | Path | None) -> Any:
    """The network that images are compared by; None, with the reason noted, where there can be none."""
    count = len(sets.reference)
    if count < LEAST:
        found.leave_out(BY_FEATURES, f"{count} reference images say nothing about a distribution; it takes {LEAST}")
        return None
    if spec is None and len(sets.train.classes) < 2:  # who says nothing of a network gets the scores that need none
        why = "the data has no labels of two or more classes to train a feature network on; name one with --features"
        found.leave_out(BY_FEATURES, why)
        return None
    if spec is None and len(sets.train) < LEAST:
        why = f"{len(sets.train)} training images teach a feature network nothing; name one with --features"
        found.leave_out(BY_FEATURES, why)
        return None
    return open_features(spec, Images.open(sets.train.spec, "train"))


def _reconstruct(found: Evaluation, subject: Subject, sets: Sets, seed: int) -> None:
    """The errors of reconstructions of the first images of the reference, and a picture."""
    assert subject.method is not None
    originals = sets.data.array[sets.reference[:RECONSTRUCTED]]
    pictures = [Image(pixels) for pixels in originals]
    act = subject.method.verb("reconstruct")
    made = gathered(act.stream(subject.method, pictures), len(pictures), "reconstructing")
    found.scores += list(reconstruction_scores(originals, made, sets, seed))
    found.pictures["reconstruction"] = figures.reconstructions(pictures, [Image(x) for x in made], len(pictures))


def _write(folder: Path, found: Evaluation) -> None:
    """scores.json and figures/ of a run folder: each file is either the old or the new one, scores.json last."""
    fresh, place = folder / f".figures-{os.getpid()}", folder / "figures"
    text = json.dumps(found.to_json(), indent=2, ensure_ascii=False) + "\n"
    with friendly(folder), FileLock(folder / ".scores.lock"):  # for this moment only, against another evaluation
        try:
            place.mkdir(exist_ok=True)
            for name, (picture, _) in found.pictures.items():
                flush(picture.save(fresh / f"{name}.png"))
            for old in place.glob("*.png"):
                if old.stem not in found.pictures:
                    old.unlink()
            for name in found.pictures:
                (fresh / f"{name}.png").replace(place / f"{name}.png")
            replace_text(folder / "scores.json", text)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    run = Run(folder)
    try:
        run.lock()
    except UserError:  # it is being trained; when that ends, the report is written with these scores
        return
    try:
        write_report(folder)
    finally:
        run.release()
