"""Evaluate: the scores of one run, of a file of weights, or of pictures made elsewhere, against a data set."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from reverie.core.options import Option, check_names, convert, options_of_signature
from reverie.evaluation.evaluators import TRUTH, evaluator_for
from reverie.evaluation.request import EvalConfig
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource, open_source
from reverie.report.page import write_report
from reverie.runs.run_folder import Run
from reverie.utils.atomic_files import flush, friendly, replace_text
from reverie.utils.environment import versions
from reverie.utils.errors import UserError


def evaluate(
    run: str | Path,
    data: str | Path,
    *,
    features: str | Path | None = None,
    n: int | None = None,
    seed: int = 0,
    split: str | None = None,
    taught: bool = False,
    classical: bool = True,
    lpips: str | Path | None = None,
    **own: Any,
) -> Evaluation:
    """Scores a run against data; scores.json, figures/ and report.html of its folder tell them.

    run: a run folder; a file of weights or a folder of pictures, beside which nothing is written;
    data: the data set: its test split is the reference, or half of its only split; split: another reference;
    features: the network that images are compared by, a file of weights or a classifier's run folder; None: a
    classifier of the data's own labels; n: generated items (None: 5,000, or as many as the reference if it has fewer);
    taught: of a generator that is told the class, also what a classifier learns from its images (GAN-train; minutes);
    classical: of a run that spoils good pictures itself, also what classical tools make of the same spoilt pictures;
    lpips: of pairs and restorations, the weights that LPIPS takes: torchvision's alexnet and the authors' linear ones,
    in one file, or in two with a comma between them;
    own: options of the method's own scores, such as k of the VAE. Raises UserError.
    """
    call = f"reverie.evaluate({str(run)!r}, {str(data)!r}, features={features and str(features)!r}, n={n}, seed={seed}"
    more = {**({"split": split} if split else {}), **({"taught": True} if taught else {})}
    more.update({**({} if classical else {"classical": False}), **({"lpips": str(lpips)} if lpips else {}), **own})
    call += "".join(f", {name}={value!r}" for name, value in more.items())
    return score(
        open_source(run), data, EvalConfig(features, n, seed, split, taught, classical, lpips), call + ")", **own
    )


def score(subject: SampleSource, data: str | Path, asked: EvalConfig, command: str = "", **own: Any) -> Evaluation:
    """As evaluate, of a subject that is open; command: what repeats it."""
    began = time.monotonic()
    own = _own_options(subject, own)
    if not 0 <= asked.seed < 2**63:
        raise UserError(f"seed is {asked.seed}; give a whole number from 0 to 2^63 - 1.")
    evaluator_for(subject).check(subject, asked.n)
    if asked.lpips is not None and (subject.method is None or subject.method.data_type.kind not in TRUTH):
        raise UserError(
            f"{subject.about['method'] or 'a folder of pictures'} has no true picture beside each that it makes, which "
            "lpips compares with; leave --lpips away."
        )
    if subject.folder is not None and not os.access(subject.folder, os.W_OK):
        raise UserError(f"{subject.folder} cannot be written, and scores go into it; copy it, or give its weights.")
    bench = evaluator_for(subject).open(subject, data, asked.split)
    found = Evaluation(subject.about, command=command, asked=asked.told(subject, bench))
    bench.judge(found, subject, dataclasses.replace(asked, n=found.asked["n"]), own)
    if not found.scores:
        why = found.skipped[0]["why"] if found.skipped else "it makes no images and has no scores of its own"
        raise UserError(f"{subject.about['method']} cannot be scored: {why}.")
    found.scores = [one if one.versions else dataclasses.replace(one, versions=versions()) for one in found]
    found.seconds = time.monotonic() - began
    if subject.folder is not None:
        _write(subject.folder, found)
    return found


def method_score_options(method: Any) -> list[Option]:
    """The options of a method's own scores, beyond those that all have."""
    return [option for option in options_of_signature(method.method_scores) if option.name not in ("data", "n", "seed")]


def _own_options(subject: SampleSource, own: dict[str, Any]) -> dict[str, Any]:
    known = (
        {} if subject.method is None else {option.name: option.type for option in method_score_options(subject.method)}
    )
    check_names(own, known, f"evaluate of {subject.about['method'] or 'pictures'}")
    return {name: convert(value, known[name], name) for name, value in own.items()}


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
