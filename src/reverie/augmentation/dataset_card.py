"""The card of a folder of synthetic images: what they are, what made them, and what they are worth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reverie._version import __version__
from reverie.evaluation.class_conditional import TAUGHT, class_scores, gan_train
from reverie.evaluation.feature_extractors import open_features
from reverie.evaluation.image_metrics import LEAST, FeatureSets, Neighbours
from reverie.evaluation.reference_sets import MOST, ReferenceSets, open_reference_sets
from reverie.metrics.score import Score
from reverie.utils.atomic_files import replace_text
from reverie.utils.environment import machine, now, versions

if TYPE_CHECKING:
    from reverie.augmentation.plan import Plan


def write_card(out: Path, plan: Plan, pictures: Iterator[tuple[np.ndarray, int]], data: str | Path, run: str) -> None:
    """CARD.md for people, and card.json with the scores and their definitions. `data` is read anew as the reference."""
    held, labels = zip(*(item for item, _ in zip(pictures, range(TAUGHT), strict=False)), strict=True)
    made, wanted = np.stack(held), np.array(labels)
    sets = open_reference_sets(data, None, {"size": made.shape[1], "channels": made.shape[3]})
    scores = list(_scores(made, wanted, sets, plan.seed))
    told = {
        "plan": {"data": plan.data, "fingerprint": plan.fingerprint, "run": plan.run, "counts": plan.counts},
        "scores": [score.to_json() for score in scores], "versions": versions(), "machine": machine(), "created": now(),
    }  # fmt: skip
    replace_text(out / "card.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    replace_text(out / "CARD.md", _page(plan, scores, made, f"--run {Path(run).name} {_flags(plan, sets)}"))


def _flags(plan: Plan, sets: ReferenceSets) -> str:
    """What else makes as many of each class again."""
    least, most = min(plan.counts.values()), max(plan.counts.values())
    flags = f"--each {most}"
    if least < most:  # filled up, together with the real ones
        real = np.bincount(sets.train.labels, minlength=len(sets.train.classes))
        full = (int(real[k]) + plan.counts[name] for k, name in enumerate(sets.train.classes) if plan.counts[name])
        flags = f"--fill {max(full)}"
    return flags + (f" --seed {plan.seed}" if plan.seed else "") + (f" --tar {plan.tar}" if plan.tar else "")


def _scores(made: np.ndarray, wanted: np.ndarray, sets: ReferenceSets, seed: int) -> Iterator[Score]:
    """What a classifier learns from them, whether they are what they should be, how varied, and whether copied."""
    yield gan_train(made, wanted, sets, seed)
    few, of = made[:MOST], wanted[:MOST]
    looked = None
    if min(len(few), len(sets.reference), len(sets.train)) >= LEAST:
        looked = FeatureSets(open_features(None, sets.train), few, sets)
    yield from class_scores(few, of, looked, sets, seed)
    yield from Neighbours(few, sets, looked).scores(sets, seed)


def _page(plan: Plan, scores: list[Score], made: np.ndarray, again: str) -> str:
    total = sum(plan.counts.values())
    size = f"{made.shape[1]}x{made.shape[2]} pixels, {'colour' if made.shape[3] == 3 else 'grey'}"
    rows = [f"| {name} | {count} |" for name, count in plan.counts.items()]
    table = []
    for s in scores:
        spread = "" if s.std_error is None else f" ± {s.std_error:.2g}"
        floor = "-" if s.floor is None else f"{s.floor:.4g} ({s.floor_source})"
        table.append(f"| {s.name} | {s.value:.4g}{spread} | {floor} | {s.better} |")
    definitions = [f"- **{s.name}** ({s.hash}): {s.definition}; {s.n} images." for s in scores]
    layout = f"WebDataset tars of {plan.tar} items: .png, .cls and .json" if plan.tar else "class folders of PNG files"
    return "\n".join([
        f"# Synthetic images of {plan.data}", "",
        f"{total} images in {len(plan.counts)} classes, {size}; {layout}. They were made by a trained model: what they "
        "show was never seen by a camera. Each carries a record of how it was made (`reverie whence FILE`).", "",
        f"- learnt from: {plan.data}, fingerprint {plan.fingerprint}",
        f"- made by: {plan.method}, run {plan.run}, seed {plan.seed}, reverie {__version__}",
        f"- to make them again: `reverie augment {plan.data} {again} --out FOLDER`",
        "", "| class | images |", "|---|---|", *rows, "",
        "## What they are worth", "",
        "Beside each figure stands that of real images. If *gan-train* lies far below it, a classifier learns less "
        "from these images than from real ones; whether they help beside real ones has to be measured on your own "
        "task. *near copies* well above its floor: images were learnt by heart, and are no more anonymous than real "
        "ones.",
        "", "| score | value | real images | better |", "|---|---|---|---|", *table, "", *definitions, "",
    ])  # fmt: skip
