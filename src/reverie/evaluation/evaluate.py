"""Evaluate: the scores of a run, of a weights file, or of a folder of images, against a data set."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from reverie.core.method import Method
from reverie.core.options import (
    Option,
    check_config,
    check_names,
    checks_arguments,
    convert,
    non_defaults,
    options_of_signature,
)
from reverie.data.data_spec import DataSpec
from reverie.data.python_data import place_of
from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.evaluators import evaluator_for, has_targets
from reverie.evaluation.evaluators_base import read_as_trained
from reverie.evaluation.metric_selection import keep_wanted, read_metrics
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource, open_source
from reverie.metrics.score import why_meaningless
from reverie.report.page import write_report
from reverie.runs.run_folder import Run
from reverie.runs.run_place import run_place
from reverie.utils.atomic_files import disk_errors, flush, replace_text
from reverie.utils.environment import versions
from reverie.utils.errors import NoScores, UserError
from reverie.utils.formatting import counted
from reverie.utils.global_state import kept_global_state

FIGURE_SUFFIXES = (".png", ".txt", ".wav")
"""of the files in figures/"""
CHOICES = ("metrics", "gan_train", "baselines", "lpips")
"""of EvalConfig.record: what chooses scores, and leaves the value or the definition of the others as they are"""


@checks_arguments("run")
@kept_global_state()
def evaluate(
    run: str | Path | Method,
    data: Any,
    *,
    splits: str | None = None,
    pairing: str | None = None,
    labels: str | None = None,
    features: str | Path | None = None,
    n: int | None = None,
    seed: int = 0,
    split: str | None = None,
    metrics: str | Sequence[str] | None = None,
    full: bool = False,
    gan_train: bool = False,
    baselines: bool = True,
    lpips: str | Path | None = None,
    **method_options: Any,
) -> Evaluation:
    """Scores a run against data; writes scores.json, figures/ and report.html into its folder.

    run: a run folder, or what reverie.load or reverie.train returned of it; or a weights file or a folder of images,
        for which nothing is written
    data: the data set, a place or in memory as in reverie.train; its test split is the reference, or half of its only
        split
    splits, pairing, labels: how a path is read, as in reverie.open_data; None: as the run read its data
    features: the network that images are compared by: None or "imagenet", which is installed; "inception", which is
        downloaded; "classifier", of the data's own labels, which is TRAINED here if the cache has none (minutes,
        announced on stderr); a weights file, or a classifier's run folder
    n: generated items; None: 1,024 images (text 500, music 128), or as many as the reference if it has fewer
    metrics: names or groups of scores, such as "fid,copying"; None: all that take no training
    full: as many items as papers take (5,000 images, text 2,000, music 1,000) and all scores; a classifier is TRAINED
        here for those of classes. Takes minutes
    seed: of the generated items
    split: the split of the data that is the reference
    gan_train: of class-conditional generators, also the accuracy of a classifier that is TRAINED here on generated
        images (GAN-train; minutes)
    baselines: of restoration runs, also the scores of classical tools on the same degraded images
    lpips: of pairs and restorations, the weights of LPIPS: torchvision's alexnet and the authors' linear ones, in one
        file, or in two with a comma between them
    method_options: options of the method's own scores, such as k of the VAE; of text also item and column, as in
        training, where these data are to be read in another way than the training data were

    Raises UserError.
    """
    names = None if metrics is None else read_metrics(metrics)
    run, data = run_place(run), DataSpec(place_of(data), splits, pairing, labels)
    config = EvalConfig(
        names, full, features=features, n=n, seed=seed, split=split, gan_train=gan_train, baselines=baselines,
        lpips=lpips,
    )  # fmt: skip
    command = _python_call(run, data, config, method_options)
    return evaluate_source(open_source(run), data, config, command, **method_options)


def _python_call(run: str | Path, data: str | Path, config: EvalConfig, method_options: dict[str, Any]) -> str:
    """The call of reverie.evaluate that repeats this evaluation, without defaults."""
    options = {**getattr(data, "stated", {}), **non_defaults(config), **method_options}
    texts = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    arguments = "".join(f", {name}={value!r}" for name, value in texts.items())
    return f"reverie.evaluate({str(run)!r}, {str(data)!r}{arguments})"


def evaluate_source(
    source: SampleSource, data: str | Path, config: EvalConfig, command: str = "", **method_options: Any
) -> Evaluation:
    """As evaluate, of a source that is open; command: what repeats it. Raises UserError."""
    began = time.monotonic()
    method_options = _convert_method_options(source, method_options)
    read_as = {option.name: method_options.pop(option.name, None) for option in source.reading_options}
    source = dataclasses.replace(source, read_as={name: value for name, value in read_as.items() if value is not None})
    _check(source, config)
    evaluator = evaluator_for(source).open(source, read_as_trained(source, data), config.split)
    default_n = evaluator.default_n(source, config.full)
    config = dataclasses.replace(config, n=config.n or default_n)
    result = Evaluation(
        source.description, command=command,
        config=config.record(evaluator.fingerprints, default_n),
    )  # fmt: skip
    evaluator.evaluate(result, source, config, method_options)
    keep_wanted(result, config.metrics, source.name)
    for score in result:
        if why := why_meaningless(score):
            result.skip([score.name], why)
    result.scores = [score for score in result if not why_meaningless(score)]
    if not result.scores:
        why = result.skipped[0]["why"] if result.skipped else "it generates no images and has no scores of its own"
        raise NoScores(f"{source.name} cannot be scored: {why}.")
    result.scores = [one if one.versions else dataclasses.replace(one, versions=versions()) for one in result]
    result.seconds = time.monotonic() - began
    if source.run_folder is not None:
        _write(source.run_folder, result)
    return result


def _check(source: SampleSource, config: EvalConfig) -> None:
    """Raises UserError for what cannot be evaluated, before anything is opened."""
    check_config(config)
    evaluator_for(source).check(source, config.n)
    if config.lpips is not None and not has_targets(source):
        raise UserError(f"{source.name} has no target images that lpips could compare with; leave --lpips away.")
    if source.run_folder is not None and not os.access(source.run_folder, os.W_OK):
        raise UserError(
            f"{source.run_folder} cannot be written, and scores go into it; copy it, or give its weights file."
        )


def method_score_options(method: Any) -> list[Option]:
    """The options of a method's own scores, beyond data, n and seed, which all have."""
    return [option for option in options_of_signature(method.method_scores) if option.name not in ("data", "n", "seed")]


def _convert_method_options(source: SampleSource, given: dict[str, Any]) -> dict[str, Any]:
    """The options with their declared types. Raises UserError for names and values that do not fit."""
    known = {}
    if source.method is not None:
        options = (*method_score_options(source.method), *source.reading_options)
        known = {option.name: option.type for option in options}
    check_names(given, known, f"evaluate of {source.name}")
    return {name: convert(value, known[name], name) for name, value in given.items()}


def _write(run_folder: Path, result: Evaluation) -> None:
    """scores.json, figures/ and report.html of a run folder; what is there of the same settings is kept beside.

    Each file is either the old or the new one; scores.json is written after the figures.
    """
    temporary, figures = run_folder / f".figures-{os.getpid()}", run_folder / "figures"
    with (
        disk_errors(run_folder),
        FileLock(run_folder / ".scores.lock"),
    ):  # held while writing, against other evaluations
        record = _with_kept(run_folder, result)
        try:
            figures.mkdir(exist_ok=True)
            for name, (image, _) in result.figures.items():
                image.save_with_companions(temporary / f"{name}.png")
            written = sorted(temporary.iterdir()) if result.figures else []
            for file in written:
                flush(file)
            for old in figures.iterdir():
                replaced = old.stem in result.figures or old.stem not in record["figures"]
                if old.suffix in FIGURE_SUFFIXES and replaced and old.name not in {file.name for file in written}:
                    old.unlink()
            for file in written:
                file.replace(figures / file.name)
            replace_text(run_folder / "scores.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    run = Run(run_folder)
    try:
        run.lock()
    except UserError:  # it is being trained; when training ends, it writes the report with these scores
        return
    try:
        write_report(run_folder)
    finally:
        run.release()


def _with_kept(run_folder: Path, result: Evaluation) -> dict[str, Any]:
    """scores.json of a result and of the earlier scores, skipped ones, notes and figures beside it.

    Only those of the same weights and settings are kept; others are replaced, which is said on stderr.
    """
    record, old = result.to_json(), Evaluation.read(run_folder)
    if old is None:
        return record
    if why := _why_replaced(old, result):
        print(f"replaces {counted(len(old), 'score')} {why} in {run_folder / 'scores.json'}", file=sys.stderr)
        return record
    old_scores, new_scores = ({score.name: score.to_json() for score in one} for one in (old, result))
    old_skipped, new_skipped = ({line["score"]: line for line in one.skipped} for one in (old, result))
    scores = {**old_scores, **new_scores}
    skipped = [line for name, line in {**old_skipped, **new_skipped}.items() if name not in scores]
    captions = json.loads((run_folder / "scores.json").read_text(encoding="utf-8")).get("figures")
    return record | {
        "scores": list(scores.values()),
        "skipped": skipped,
        "notes": list(dict.fromkeys([*old.notes, *result.notes])),
        "figures": {**(captions if isinstance(captions, dict) else {}), **record["figures"]},
        "kept": [name for name in old_scores if name not in new_scores],
    }


def _why_replaced(old: Evaluation, new: Evaluation) -> str:
    """In what an earlier evaluation differs, so that its scores cannot stand beside new ones; "" if in nothing."""
    if old.run != new.run:
        return f"of other weights (step {old.run.get('step')})"
    names = [name for name in {**old.config, **new.config} if name not in CHOICES]
    different = [f"{name} {old.config.get(name)}" for name in names if old.config.get(name) != new.config.get(name)]
    return f"of other settings ({', '.join(different)})" if different else ""
