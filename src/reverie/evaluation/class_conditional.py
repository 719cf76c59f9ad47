"""Scores of a generator that is told the class: is it obeyed, does a class vary, can a classifier learn from it?

N images, K classes, D features. Which class item i has follows from the contract: without a label they take turns.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.api import train
from reverie.core import registry
from reverie.core.method import Method
from reverie.core.options import options_of_signature
from reverie.data.images.dataset import Images
from reverie.data.images.in_memory import InMemoryImages
from reverie.evaluation.feature_classifier import PRESET, SEED, classifier_name, train_feature_classifier
from reverie.evaluation.feature_extractors import resized
from reverie.evaluation.image_metrics import FeatureSets, K
from reverie.evaluation.reference_sets import ReferenceSets
from reverie.metrics.distribution import prdc, mean_pairwise_distance
from reverie.metrics.score import Better, Score
from reverie.utils.formatting import clock

TAUGHT = 20_000
"""generated images that a classifier learns from, at most"""
CLASS_SCORES = ("discriminability", "class spread", "class coverage")


def takes_labels(method: Method | None) -> bool:
    """Whether images of a class can be asked of it."""
    if method is None or "generate" not in method.verbs():
        return False
    return "label" in {option.name for option in options_of_signature(method.verb("generate"))}


def class_scores(
    made: np.ndarray, wanted: np.ndarray, looked: FeatureSets | None, sets: ReferenceSets, seed: int
) -> Iterator[Score]:
    """Whether images [N,H,W,C] are of the classes wanted [N], and how much those of a class differ."""
    judge, count = known_judge(sets), len(sets.train.classes)
    real = sets.data.labels[sets.reference]
    right = read(judge, made) == wanted
    known = read(judge, sets.data.array[sets.reference]) == real
    yield Score(
        "discriminability", float(right.mean()), "", "higher",
        f"share of generated images that are taken for the class they were asked to be (GAN-test, Shmelkov 2018), by "
        f"{with_config_defaults(judge)}, which training never saw",
        sets.reference_of(), len(made), seed, float(known.mean()),
        f"{len(known)} real images ({sets.data.split} split)", error_of(right), group="classes",
    )  # fmt: skip
    if looked is None:
        return
    stand_in = sets.floor_data.labels[sets.floor[: len(looked.floor)]]
    groups = [(real == k, wanted == k, stand_in == k) for k in range(count)]
    if min(int(rows.sum()) for group in groups for rows in group) < K + 2:
        return
    tables = (looked.reference, looked.made, looked.floor)
    parts = [[x[torch.from_numpy(rows)] for x, rows in zip(tables, group, strict=True)] for group in groups]

    def score(name: str, value: float, better: Better, told: str, floor: float) -> Score:
        return Score(
            name, value, "", better, f"{told}; mean over {count} classes; features: {looked.net.definition}",
            sets.reference_of(), len(made), seed, floor, f"{len(stand_in)} {sets.floor_name}", group="classes",
        )  # fmt: skip

    ratios = [(mean_pairwise_distance(made) / mean_pairwise_distance(real), mean_pairwise_distance(floor) / mean_pairwise_distance(real)) for real, made, floor in parts]
    means = [sum(column) / count for column in zip(*ratios, strict=True)]
    yield score(
        "class spread", means[0], "match",
        "mean distance of two generated images of a class, divided by that of two real ones", means[1],
    )  # fmt: skip
    told = f"share of real images of a class nearer to a generated one of it than to their {K}th real neighbour"
    values = [sum(covered(group[0], group[i]) for group in parts) / count for i in (1, 2)]
    yield score("class coverage", values[0], "higher", f"{told}, as many of the ones as of the others", values[1])


def covered(real: Tensor, made: Tensor) -> float:
    """The coverage of as many real as generated ones: with unlike numbers it tells of the numbers more."""
    n = min(len(real), len(made))
    return prdc(real[:n], made[:n], K).coverage.value


def gan_train(made: np.ndarray, labels: np.ndarray, sets: ReferenceSets, seed: int) -> Score:
    """What a classifier knows of real images that has seen only these, of these classes, beside one that has seen real
    ones."""
    judge = taught(InMemoryImages(made, labels, sets.train.classes, "generated images"))
    known = known_judge(sets)
    pixels, real = sets.data.array[sets.reference], sets.data.labels[sets.reference]
    right, floor = read(judge, pixels) == real, read(known, pixels) == real
    return Score(
        "gan-train", float(right.mean()), "", "higher",
        f"share of real images that a classifier gets right which learnt from generated images alone (Shmelkov 2018; "
        f"classification accuracy score, Ravuri 2019): {len(made)} of them; {recipe()}",
        sets.reference_of(), len(made), seed, float(floor.mean()),
        f"the same, trained on {len(sets.floor if sets.left_out_one else sets.train)} real images", error_of(right),
        group="classes",
    )  # fmt: skip


def known_judge(sets: ReferenceSets) -> Any:
    """A classifier that learnt from real images; of a single split from the half that is not the reference, or it would
    be asked about what it knows by heart."""
    train = sets.train
    if not sets.left_out_one:
        return train_feature_classifier(Images.open(train.spec, "train"), "auto")
    half = np.sort(sets.floor)
    held = InMemoryImages(np.array(train.array[half]), train.labels[half], train.classes, f"half of {train.name}")
    return train_feature_classifier(held, "auto")


def taught(data: InMemoryImages) -> Any:
    """A classifier that learnt from these images."""
    name = classifier_name()
    began = time.monotonic()
    print(f"training a {name} on {len(data)} {data.name}", file=sys.stderr)
    with TemporaryDirectory() as place:
        method = train(f"{name}:{PRESET}", data=data, out=Path(place) / "run", seed=SEED, checkpoint_every=10**9)
    print(f"the {name} is trained ({clock(time.monotonic() - began)})", file=sys.stderr)
    return method


def recipe() -> str:
    """What a classifier of this kind is, in words."""
    name = classifier_name()
    options = registry.method_class(name).preset(PRESET)
    return f"{name}:{PRESET} ({', '.join(f'{k} {v}' for k, v in options.items())}), seed {SEED}"


def with_config_defaults(judge: Any) -> str:
    """A trained classifier, in words."""
    return f"{judge.origin['method']} {judge.origin['run']} trained on real images ({recipe()})"


def read(judge: Any, images: np.ndarray) -> np.ndarray:
    """The class [N] that a classifier sees in each of uint8 [N,H,W,C]."""
    c, found = judge.config, []
    for start in range(0, len(images), 256):
        x = torch.from_numpy(np.array(images[start : start + 256])).to(judge.device).permute(0, 3, 1, 2).float()
        x = resized(x, c.size) / 127.5 - 1
        found.append(judge.log_probabilities(x.contiguous()).argmax(1).cpu().numpy())
    return np.concatenate(found)


def error_of(right: np.ndarray) -> float:
    """The standard error of a share."""
    return float(right.std(ddof=1) / len(right) ** 0.5)
