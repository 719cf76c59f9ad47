"""Scores of class-conditional generators: GAN-test and GAN-train accuracy, diversity and coverage of each class.

N images, K classes, D features. The class of item i follows from the contract: without a label, classes take turns.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.api import train
from reverie.core import registry
from reverie.core.method import Method
from reverie.core.options import options_of_signature
from reverie.data.images.dataset import Images
from reverie.data.images.in_memory import InMemoryImages
from reverie.evaluation import feature_classifier
from reverie.evaluation.feature_classifier import SEED, classifier_name, train_feature_classifier
from reverie.evaluation.feature_extractors import resized
from reverie.evaluation.image_metrics import FeatureSets, K
from reverie.evaluation.reference_sets import ReferenceSets
from reverie.metrics.distribution import mean_pairwise_distance, prdc
from reverie.metrics.score import Better, Score
from reverie.utils.formatting import clock

MAX_GAN_TRAIN = 20_000
"""generated images that a classifier is trained on, at most"""
CLASS_SCORES = ("gan-test accuracy", "intra-class diversity", "per-class coverage")


def takes_labels(method: Method | None) -> bool:
    """Whether a method can generate images of a given class."""
    if method is None or "generate" not in method.verbs():
        return False
    return "label" in {option.name for option in options_of_signature(method.verb("generate"))}


def class_scores(
    fake: np.ndarray,
    labels: np.ndarray,
    features: FeatureSets | None,
    sets: ReferenceSets,
    seed: int,
    gan_test: bool = True,
) -> Iterator[Score]:
    """Whether images [N,H,W,C] are of the classes [N] they were generated for, and how much those of a class vary.

    gan_test: whether to use a classifier of the real images too, which is TRAINED here if the cache has none (minutes,
    announced on stderr). Without features, or with fewer than K + 2 images of a class, only the GAN-test accuracy.
    """
    if gan_test:
        yield _gan_test_score(fake, labels, sets, seed)
    if features is None:
        return
    groups = _features_by_class(features, labels, sets)
    if min(len(x) for group in groups for x in group) < K + 2:
        return
    count = len(groups)

    def score(name: str, better: Better, definition: str, values: list[tuple[float, float]]) -> Score:
        value, of_real = (sum(column) / count for column in zip(*values, strict=True))
        stand_in = f"{len(features.others)} {sets.others_name}"
        return Score(
            name, value, "", better, f"{definition}; mean over {count} classes; features: {features.net.definition}",
            sets.reference_of(), len(fake), seed, of_real, stand_in, group="class-conditional",
        )  # fmt: skip

    ratios = []
    for group in groups:
        real = mean_pairwise_distance(group.real)
        ratios.append((mean_pairwise_distance(group.fake) / real, mean_pairwise_distance(group.others) / real))
    yield score(
        "intra-class diversity", "match",
        "mean feature distance of two generated images of a class, divided by that of two real ones", ratios,
    )  # fmt: skip
    coverages = [(_coverage(g.real, g.fake), _coverage(g.real, g.others)) for g in groups]
    yield score(
        "per-class coverage", "higher",
        f"share of real images of a class closer to a generated image of that class than to their {K}th nearest real "
        "neighbour, equally many of both", coverages,
    )  # fmt: skip


def _gan_test_score(fake: np.ndarray, labels: np.ndarray, sets: ReferenceSets, seed: int) -> Score:
    classifier = classifier_of_real_images(sets)
    correct = predict(classifier, fake) == labels
    real_labels = sets.data.labels[sets.reference]
    correct_real = predict(classifier, sets.data.array[sets.reference]) == real_labels
    which = f"{classifier.origin['method']} {classifier.origin['run']} trained on real images ({classifier_setting()})"
    return Score(
        "gan-test accuracy", float(correct.mean()), "", "higher",
        "share of generated images that a classifier assigns to the class they were generated for (GAN-test, Shmelkov "
        f"2018); {which}, not used in training the generator",
        sets.reference_of(), len(fake), seed, float(correct_real.mean()),
        f"{len(correct_real)} real images ({sets.data.split} split)", share_std_error(correct),
        group="class-conditional",
    )  # fmt: skip


class _ClassFeatures(NamedTuple):
    """The features [n,D] of one class."""

    real: Tensor
    fake: Tensor
    others: Tensor


def _features_by_class(features: FeatureSets, labels: np.ndarray, sets: ReferenceSets) -> list[_ClassFeatures]:
    real_labels = sets.data.labels[sets.reference]
    others_labels = sets.others_data.labels[sets.others[: len(features.others)]]
    return [
        _ClassFeatures(
            features.reference[torch.from_numpy(real_labels == k)],
            features.fake[torch.from_numpy(labels == k)],
            features.others[torch.from_numpy(others_labels == k)],
        )
        for k in range(len(sets.train.classes))
    ]


def _coverage(real: Tensor, fake: Tensor) -> float:
    """The coverage of equally many real and generated images: it depends on both numbers."""
    n = min(len(real), len(fake))
    return prdc(real[:n], fake[:n], K).coverage.value


def gan_train_score(fake: np.ndarray, labels: np.ndarray, sets: ReferenceSets, seed: int) -> Score:
    """The accuracy on real images of a classifier that is TRAINED here on generated images [N,H,W,C] of classes [N].

    Training takes minutes and is announced on stderr. Beside it stands a classifier trained on real images.
    """
    classifier = train_on(InMemoryImages(fake, labels, sets.train.classes, "generated images"))
    of_real = classifier_of_real_images(sets)
    pixels, real_labels = sets.data.array[sets.reference], sets.data.labels[sets.reference]
    correct, of_real_correct = predict(classifier, pixels) == real_labels, predict(of_real, pixels) == real_labels
    trained_on_real = len(sets.others if sets.leave_one_out else sets.train)
    return Score(
        "gan-train accuracy", float(correct.mean()), "", "higher",
        "share of real images that a classifier trained on generated images alone classifies correctly (GAN-train, "
        f"Shmelkov 2018; classification accuracy score, Ravuri 2019); {len(fake)} generated images; "
        f"{classifier_setting()}",
        sets.reference_of(), len(fake), seed, float(of_real_correct.mean()),
        f"the same, trained on {trained_on_real} real images", share_std_error(correct), group="class-conditional",
    )  # fmt: skip


def classifier_of_real_images(sets: ReferenceSets) -> Any:
    """A classifier trained on real images, from the cache or TRAINED here.

    Of data with one split it is trained on the half that is not the reference, which it would have memorised.
    """
    data = sets.train
    if not sets.leave_one_out:
        return train_feature_classifier(Images.open(data.spec, "train"), "auto")
    rows = np.sort(sets.others)
    half = InMemoryImages(np.array(data.array[rows]), data.labels[rows], data.classes, f"half of {data.name}")
    return train_feature_classifier(half, "auto")


def train_on(data: InMemoryImages) -> Any:
    """A classifier TRAINED here on these images; it is not cached."""
    name = classifier_name()
    began = time.monotonic()
    print(f"training a {name} on {len(data)} {data.name}", file=sys.stderr)
    with TemporaryDirectory() as place:
        options: dict[str, Any] = {"size": data.array.shape[1], "seed": SEED, "checkpoint_every": 10**9}
        method = train(f"{name}:{feature_classifier.PRESET}", data=data, out=Path(place) / "run", **options)
    print(f"the {name} is trained ({clock(time.monotonic() - began)})", file=sys.stderr)
    return method


def classifier_setting() -> str:
    """The method, preset, options and seed of these classifiers, as a part of definitions."""
    name = classifier_name()
    options = registry.method_class(name).preset(feature_classifier.PRESET)
    return f"{name}:{feature_classifier.PRESET} ({', '.join(f'{k} {v}' for k, v in options.items())}), seed {SEED}"


def predict(classifier: Any, images: np.ndarray) -> np.ndarray:
    """The most likely class [N] of images uint8 [N,H,W,C]."""
    c, predicted = classifier.config, []
    for start in range(0, len(images), 256):
        x = torch.from_numpy(np.array(images[start : start + 256])).to(classifier.device).permute(0, 3, 1, 2).float()
        x = resized(x, c.size) / 127.5 - 1
        predicted.append(classifier.log_probabilities(x.contiguous()).argmax(1).cpu().numpy())
    return np.concatenate(predicted)


def share_std_error(correct: np.ndarray) -> float:
    """The standard error of the share of True in bool [N]."""
    return float(correct.std(ddof=1) / len(correct) ** 0.5)
