"""The evaluator of images: images from noise, from codes or of a class, against a set of real images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.data.images.dataset import Images
from reverie.evaluation import figures
from reverie.evaluation.class_conditional import (
    CLASS_SCORES,
    MAX_GAN_TRAIN,
    class_scores,
    gan_train_score,
    takes_labels,
)
from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.feature_extractors import open_features
from reverie.evaluation.image_metrics import (
    FEATURE_SCORES,
    MIN_IMAGES,
    MIN_UNSEEN,
    FeatureSets,
    K,
    TrainingNeighbours,
    feature_scores,
    reconstruction_scores,
    sharpness_score,
)
from reverie.evaluation.latent_knn import latent_knn_score
from reverie.evaluation.reference_sets import ReferenceSets, check_fit, open_reference_sets
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource, allocate, collect
from reverie.media import Image, comparison_grid, image_grid
from reverie.utils.errors import UserError

MAX_DEFAULT_N = 5_000
"""generated images by default, at most"""
RECONSTRUCTED = 64
"""images that are reconstructed: some methods search for each code, which takes a while"""
GRID, PAIRS, ROWS, FRAMES = 36, 8, 2, 8
"""of a comparison: generated images, reconstructed ones, rows of an interpolation and images of each row"""


@dataclass(frozen=True)
class ImageEvaluator:
    """Compares with sets of real images."""

    sets: ReferenceSets

    @classmethod
    def check(cls, source: SampleSource, n: int | None) -> None:
        """Raises UserError if n is too small for a comparison, more than there are, or beyond memory."""
        generates = source.images is not None or source.can("generate")
        count = len(source.images) if source.images is not None and n is None else n
        if generates and count is not None and count < MIN_IMAGES:
            raise UserError(
                f"{count} images are too few to score a generator; give {MIN_IMAGES} or more, better thousands."
            )
        if n is not None and n < 1:
            raise UserError(f"n is {n}; it must be 1 or more.")
        if source.images is not None and n is not None and n > len(source.images):
            raise UserError(f"n is {n}, but there are {len(source.images)} images; leave -n away to score them all.")
        if generates and n is not None:  # before a network is trained for them
            size, channels = source.data_args["size"], source.data_args["channels"]
            allocate(n, (size, size, channels))

    @classmethod
    def open(cls, source: SampleSource, data: str | Path, split: str | None) -> ImageEvaluator:
        """The reference, the floor and the training images. Raises UserError, also if they do not fit the source."""
        sets = open_reference_sets(data, split, source.data_args)
        check_fit(sets, source.trained_on, source.data_args)
        return cls(sets)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of the reference and of the training images."""
        return {"reference": self.sets.data.fingerprint, "train": self.sets.train.fingerprint}

    def default_n(self, source: SampleSource) -> int:
        """As many as the reference or the images of the folder, but at most MAX_DEFAULT_N."""
        return min(MAX_DEFAULT_N, len(self.sets.reference) if source.images is None else len(source.images))

    def evaluate(
        self, result: Evaluation, source: SampleSource, config: EvalConfig, method_options: dict[str, Any]
    ) -> None:
        """Scores generated images, reconstructions and codes, and adds the method's own scores.

        Without config.features a feature classifier is TRAINED on the data if the cache has none, and for
        config.gan_train another one on generated images: minutes each, announced on stderr.
        """
        sets, method, seed = self.sets, source.method, config.seed
        n = config.n or self.default_n(source)
        result.notes += _notes(source, sets)
        generates = source.images is not None or source.can("generate")
        # Errors are found before anything takes long: a named network is opened first, then the method's scores.
        net = _open_network(result, sets, config.features) if generates and config.features is not None else None
        method_scores = []
        if method is not None:
            method_scores = list(method.method_scores(sets.data, min(n, len(sets.data)), seed, **method_options))
        if generates:
            if config.features is None:
                net = _open_network(result, sets, None)
            _score_generated(result, source, sets, net, n, seed)
            if config.gan_train:
                _score_gan_train(result, source, sets, seed)
        if source.can("reconstruct"):
            _score_reconstructions(result, source, sets, seed)
        if method is not None and source.can("encode") and sets.train.classes:
            result.scores.append(latent_knn_score(method, sets, seed))
        result.scores += method_scores

    def comparison_images(self, source: SampleSource, seed: int) -> dict[str, Image | str]:
        """Samples, reconstructions of the same images, and interpolations."""
        method, lacks = source.method, f"{source.name} cannot {{}}"
        assert method is not None
        shown: dict[str, Image | str] = {}
        shown["samples"] = lacks.format("generate")
        if source.can("generate"):
            shown["samples"] = image_grid(method.verb("generate")(n=GRID, seed=seed))
        shown["reconstruction"] = lacks.format("reconstruct")
        if source.can("reconstruct"):
            originals = [Image(pixels) for pixels in self.sets.data.array[self.sets.reference[:PAIRS]]]
            shown["reconstruction"] = comparison_grid(originals, method.verb("reconstruct")(originals))
        shown["interpolation"] = lacks.format("interpolate")
        if source.can("interpolate"):
            shown["interpolation"] = image_grid(method.verb("interpolate")(n=ROWS, frames=FRAMES, seed=seed))
        return shown


def _notes(source: SampleSource, sets: ReferenceSets) -> list[str]:
    notes = []
    train, trained_on = sets.train, source.trained_on
    if trained_on and trained_on.get("fingerprint") != train.fingerprint:
        notes.append(
            f"the run was trained on {trained_on.get('name')} (fingerprint {trained_on.get('fingerprint')}), not on "
            f"the training images here ({train.name}, fingerprint {train.fingerprint}): the scores measure transfer."
        )
    if sets.leave_one_out:
        notes.append(
            f"{train.spec} has one split only: the reference is half of the training data, so that memorised images "
            "score well; see the nearest training images."
        )
    elif sets.data is train:
        notes.append("the reference is the training data, so that memorised images score well.")
    return notes


def _score_generated(
    result: Evaluation, source: SampleSource, sets: ReferenceSets, net: Any, n: int, seed: int
) -> None:
    """Distribution, sharpness, class and copying scores of n generated images, and figures."""
    fake = source.generate(n, seed)
    features = None if net is None else FeatureSets(net, fake, sets)
    if features is not None:
        result.scores += list(feature_scores(features, sets, seed))
        result.notes += _bias_notes(features)
    result.scores.append(sharpness_score(fake, sets, seed))
    if takes_labels(source.method):
        _score_classes(result, source, sets, fake, features, seed)
    neighbours = TrainingNeighbours(fake, sets, features)
    result.scores += list(neighbours.scores(sets, seed))
    if len(sets.unseen) < MIN_UNSEEN:
        result.skip(["near-duplicate rate"], f"{len(sets.unseen)} unseen images are too few; it takes {MIN_UNSEEN}")
    result.figures["neighbours"] = figures.neighbours_figure(fake, neighbours, sets)
    if source.method is not None and source.can("interpolate"):
        frames = source.method.verb("interpolate")(n=8, seed=seed)
        result.figures["interpolation"] = figures.interpolation_figure(frames)


def _bias_notes(features: FeatureSets) -> list[str]:
    notes, width = [], features.net.width
    count = min(len(features.fake), len(features.reference))
    if count < width:
        notes.append(
            f"fid: {count} images are fewer than the {width} dimensions of a feature, which biases it upwards; compare "
            "it with its floor only, or use kid, which has no bias."
        )
    if len(features.floor) < len(features.fake):
        notes.append(f"the floor is of {len(features.floor)} images, there are no more; fid of fewer is higher.")
    return notes


def _score_classes(
    result: Evaluation,
    source: SampleSource,
    sets: ReferenceSets,
    fake: np.ndarray,
    features: FeatureSets | None,
    seed: int,
) -> None:
    if why := _why_classes_differ(source, sets):
        result.skip(CLASS_SCORES, why)
        return
    scores = list(class_scores(fake, _labels_in_turn(source, sets, len(fake)), features, sets, seed))
    result.scores += scores
    if features is not None and len(scores) < len(CLASS_SCORES):
        result.skip(CLASS_SCORES[1:], f"they take {K + 2} images of each class, generated and real")


def _score_gan_train(result: Evaluation, source: SampleSource, sets: ReferenceSets, seed: int) -> None:
    """The accuracy of a classifier that is trained here on generated images, where they have classes."""
    why = "the method does not generate images of a given class"
    if takes_labels(source.method):
        why = _why_classes_differ(source, sets)
    if why:
        result.skip(["gan-train accuracy"], why)
        return
    n = min(MAX_GAN_TRAIN, len(sets.train))
    fake = source.generate(n, seed + 1)  # not those that are scored
    result.scores.append(gan_train_score(fake, _labels_in_turn(source, sets, n), sets, seed))


def _why_classes_differ(source: SampleSource, sets: ReferenceSets) -> str:
    """Why the classes of the data are not those of the source; "" if they are."""
    known = list(getattr(getattr(source.method, "config", None), "class_names", None) or ())
    if sorted(known) == sorted(sets.train.classes):
        return ""
    return f"the data has other classes ({', '.join(sets.train.classes) or 'none'}) than the run ({', '.join(known)})"


def _labels_in_turn(source: SampleSource, sets: ReferenceSets, n: int) -> np.ndarray:
    """The labels [n], in the numbering of the data, of the first generated images: the classes take turns."""
    assert source.method is not None
    order = np.array([sets.train.classes.index(name) for name in source.method.config.class_names])
    return order[np.arange(n) % len(order)]


def _open_network(result: Evaluation, sets: ReferenceSets, spec: str | Path | None) -> Any:
    """The network that images are compared by; None, with the scores noted as skipped, where there can be none.

    spec None: a classifier of the data's labels, which is trained here if the cache has none.
    """
    count = len(sets.reference)
    if count < MIN_IMAGES:
        result.skip(FEATURE_SCORES, f"{count} reference images are too few to compare distributions: {MIN_IMAGES}")
        return None
    if spec is None and len(sets.train.classes) < 2:  # the scores that need no network are still computed
        why = "the data has no labels of two or more classes to train a feature network on; name one with --features"
        result.skip(FEATURE_SCORES, why)
        return None
    if spec is None and len(sets.train) < MIN_IMAGES:
        why = f"{len(sets.train)} training images are too few to train a feature network; name one with --features"
        result.skip(FEATURE_SCORES, why)
        return None
    return open_features(spec, Images.open(sets.train.spec, "train"))


def _score_reconstructions(result: Evaluation, source: SampleSource, sets: ReferenceSets, seed: int) -> None:
    """The errors of reconstructions of the first images of the reference, and a figure."""
    assert source.method is not None
    originals = sets.data.array[sets.reference[:RECONSTRUCTED]]
    images = [Image(pixels) for pixels in originals]
    act = source.method.verb("reconstruct")
    reconstructions = collect(act.stream(source.method, images), len(images), "reconstructing")
    result.scores += list(reconstruction_scores(originals, reconstructions, sets, seed))
    shown = [Image(pixels) for pixels in reconstructions]
    result.figures["reconstruction"] = figures.reconstructions_figure(images, shown, len(images))
