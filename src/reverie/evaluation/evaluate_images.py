"""The evaluator of images: images from noise, from codes or of a class, against a set of real images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.method import Method
from reverie.core.options import options_of_signature
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
from reverie.evaluation.evaluators_base import MEMORISED, seen_in_training_notes, transfer_notes
from reverie.evaluation.feature_classifier import classifier_name
from reverie.evaluation.feature_extractors import CLASSIFIER, open_features
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
from reverie.evaluation.metric_selection import GROUPS, SLOW, WHY_SLOW
from reverie.evaluation.reference_sets import QUICK, ReferenceSets, check_fit, missing_features, open_reference_sets
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource, all_at_size, allocate, collect
from reverie.evaluation.time_estimate import TimeEstimate
from reverie.media import Image, comparison_grid, image_grid
from reverie.utils.errors import NoScores, UserError

MAX_DEFAULT_N, MAX_QUICK_N = 5_000, QUICK
"""generated images by default, at most, of a full and of a quick evaluation"""
RECONSTRUCTED, QUICK_SEARCHED = 64, 8
"""images that are reconstructed; fewer in a quick evaluation by methods that search for each code, which takes long"""
QUICK_LIKELIHOOD = 100
"""images whose likelihood is estimated in a quick evaluation: many samples are drawn for each"""
GRID, PAIRS, ROWS, FRAMES = 36, 8, 2, 8
"""of a comparison: generated images, reconstructed ones, rows of an interpolation and images of each row"""


@dataclass(frozen=True)
class ImageEvaluator:
    """Compares with sets of real images."""

    sets: ReferenceSets
    own_data: Images
    """the split that holds the reference, prepared in the size that the method works at, for its own scores"""

    @classmethod
    def check(cls, source: SampleSource, n: int | None) -> None:
        """Raises UserError if n is too small for a comparison, more than there are, or beyond memory."""
        generates = source.images is not None or source.can("generate")
        count = len(source.images) if source.images is not None and n is None else n
        if generates and count is not None and count < MIN_IMAGES:
            least = f"-n {MIN_IMAGES}" if n is not None else MIN_IMAGES
            raise UserError(f"{count} images are too few to score a generator; give {least} or more, better thousands.")
        if n is not None and n < 1:
            raise UserError(f"n is {n}; it must be 1 or more.")
        if source.images is not None and n is not None and n > len(source.images):
            raise UserError(f"n is {n}, but there are {len(source.images)} images; leave -n away to score them all.")
        if generates and n is not None:  # before a network is trained for them
            size, channels = source.data_args["size"], source.data_args["channels"]
            allocate(n, (size, size, channels))

    @classmethod
    def open(cls, source: SampleSource, data: str | Path, split: str | None) -> ImageEvaluator:
        """The reference and the other real images. Raises UserError, also if they do not fit the source."""
        args = source.data_args
        size = source.score_size(Images.open(data).facts["native"])
        sets = open_reference_sets(data, split, {**args, "size": size} if "size" in args else args)
        check_fit(sets, source.trained_on, args)
        own = sets.data if size == args.get("size", size) else Images.open(data, sets.data.split).prepare(**args)
        return cls(sets, own)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of the reference and of the training images."""
        return {"reference": self.sets.data.fingerprint, "train": self.sets.train.fingerprint}

    def default_n(self, source: SampleSource, full: bool) -> int:
        """As many as the reference or the images of the folder, but at most MAX_DEFAULT_N, or MAX_QUICK_N."""
        most = MAX_DEFAULT_N if full else MAX_QUICK_N
        return min(most, len(self.sets.reference) if source.images is None else len(source.images))

    def evaluate(
        self, result: Evaluation, source: SampleSource, config: EvalConfig, method_options: dict[str, Any]
    ) -> None:
        """Scores generated images, reconstructions and codes, and adds the method's own scores.

        A classifier is TRAINED for the features if config.features is "classifier" and the cache has none, for GAN-test
        accuracy where the cache has none, and for GAN-train accuracy: minutes each, announced on stderr.
        """
        sets, method, seed = self.sets if config.full else self.sets.quick(), source.method, config.seed
        n = config.n or self.default_n(source, config.full)
        self._check_metrics(source, config)
        result.notes += _notes(source, sets)
        generates = (source.images is not None or source.can("generate")) and config.wants(*_OF_GENERATED)
        # Errors are found before anything takes long: a named network is opened first, then the method's scores.
        net = None
        if generates and config.wants(*_BY_FEATURES):
            net = _open_network(result, sets, config.features)
        own = None if method is None or not config.wants(*_OF_METHODS) else method.method_scores
        own_n = min(n, len(sets.data)) if config.full or "k" not in method_options_of(method) else QUICK_LIKELIHOOD
        own_n = min(own_n, len(sets.data))
        reconstructed = self._reconstructed(source, config)
        self._say_time(source, config, net, n, own_n, reconstructed, method_options)
        method_scores = [] if own is None else list(own(self.own_data, own_n, seed, **method_options))
        if generates:
            _score_generated(result, source, sets, net, n, config)
            if config.gan_train or (config.metrics is not None and config.wants("gan-train accuracy")):
                _score_gan_train(result, source, sets, seed)
        if reconstructed:
            _score_reconstructions(result, source, sets, seed, reconstructed)
        if method is not None and self._has_codes(source) and config.wants("1-nn accuracy"):
            result.scores.append(latent_knn_score(method, sets, seed, config.full))
        result.scores += method_scores

    def _check_metrics(self, source: SampleSource, config: EvalConfig) -> None:
        """Raises NoScores, with the groups that there are, if the source can have none of the scores asked for."""
        generates, labelled = source.images is not None or source.can("generate"), takes_labels(source.method)
        own = source.method is not None and type(source.method).method_scores is not Method.method_scores
        classifies = source.method is not None and source.method.is_classifier
        able = {
            "distribution": generates, "copying": generates, "classes": labelled,
            "reconstruction": source.can("reconstruct"), "codes": self._has_codes(source),
            "likelihood": own and not classifies, "accuracy": classifies,
        }  # fmt: skip
        groups = [group for group, there in able.items() if there]
        singles = [*["sharpness"] * generates, *["gan-train accuracy"] * labelled]
        if config.metrics is not None and not config.wants(
            *singles, *(name for group in groups for name in GROUPS[group])
        ):
            raise NoScores(f"{source.name} has none of these scores on this data; it has {', '.join(groups)}.")

    def _has_codes(self, source: SampleSource) -> bool:
        return source.can("encode") and len(self.sets.train.classes) > 1

    def _reconstructed(self, source: SampleSource, config: EvalConfig) -> int:
        """How many images are reconstructed."""
        if not source.can("reconstruct") or not config.wants(*GROUPS["reconstruction"]):
            return 0
        count = RECONSTRUCTED if config.full or source.can("encode") else QUICK_SEARCHED
        return min(count, len(self.sets.reference))

    def _say_time(
        self,
        source: SampleSource,
        config: EvalConfig,
        net: Any,
        n: int,
        own_n: int,
        reconstructed: int,
        method_options: dict[str, Any],
    ) -> None:
        """Says how long it takes, from a chunk of each part."""
        sets, method, estimate = self.sets if config.full else self.sets.quick(), source.method, TimeEstimate()
        pixels = sets.data.array[sets.reference[:16]]
        if net is not None:
            count = n + missing_features(net, sets, n)
            estimate.add("images whose features are computed", count, 16, lambda k: net.features(pixels[:k]))
        if method is not None and source.can("generate") and config.wants(*_OF_GENERATED):
            estimate.add("generated images", n, 16, lambda k: source.generate(k, config.seed))
        if method is not None and reconstructed:
            images, act = [Image(one) for one in pixels], method.verb("reconstruct")
            estimate.add("reconstructed ones", reconstructed, 2, lambda k: list(act.stream(method, images[:k])))
        if method is not None and "k" in method_options_of(method) and config.wants(*_OF_METHODS):
            scores = partial(method.method_scores, self.own_data, seed=config.seed, **method_options)
            if config.full:  # a quick evaluation is done as soon as it is timed
                what = "images whose likelihood is estimated"
                estimate.add_with_overhead(what, own_n, 8, lambda k: list(scores(n=k)))
        trains = takes_labels(method) and config.wants(*SLOW)
        trained = "; a classifier is trained too, if the cache has none" if trains else ""
        estimate.say(trained if config.full else f"{trained}; --full takes all scores of more images")

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
            made = list(all_at_size(method.verb("reconstruct")(originals), self.sets.size))
            shown["reconstruction"] = comparison_grid(originals, made)
        shown["interpolation"] = lacks.format("interpolate")
        if source.can("interpolate"):
            shown["interpolation"] = image_grid(method.verb("interpolate")(n=ROWS, frames=FRAMES, seed=seed))
        return shown


_OF_GENERATED = (
    *GROUPS["distribution"], *GROUPS["copying"], *GROUPS["classes"], "sharpness", "gan-train accuracy",
)  # fmt: skip
_BY_FEATURES = (*GROUPS["distribution"], *GROUPS["copying"], "intra-class diversity", "per-class coverage")
_OF_METHODS = (*GROUPS["likelihood"], *GROUPS["accuracy"])


def method_options_of(method: Any) -> set[str]:
    """The names of the options of a method's own scores."""
    return set() if method is None else {option.name for option in options_of_signature(method.method_scores)}


def _notes(source: SampleSource, sets: ReferenceSets) -> list[str]:
    notes = transfer_notes(source, sets.train, "images")
    if sets.leave_one_out:
        notes.append(
            f"{sets.train.spec} has one split only: the reference is half of the training data, so that memorised "
            "images score well; see the nearest training images."
        )
    elif sets.data is sets.train:
        notes.append(MEMORISED)
    return notes


def _score_generated(
    result: Evaluation, source: SampleSource, sets: ReferenceSets, net: Any, n: int, config: EvalConfig
) -> None:
    """Distribution, sharpness, class and copying scores of n generated images, and figures."""
    seed = config.seed
    fake = source.generate(n, seed, sets.size)
    features = None if net is None else FeatureSets(net, fake, sets)
    if features is not None:
        result.scores += list(feature_scores(features, sets, seed))
        result.notes += [*seen_in_training_notes(source, net), *_feature_notes(features, sets)]
    result.scores.append(sharpness_score(fake, sets, seed))
    if takes_labels(source.method) and config.wants(*CLASS_SCORES):
        _score_classes(result, source, sets, fake, features, config)
    neighbours = TrainingNeighbours(fake, sets, features)
    result.scores += list(neighbours.scores(sets, seed))
    if len(sets.unseen) < MIN_UNSEEN:
        result.skip(["near-duplicate rate"], f"{len(sets.unseen)} unseen images are too few; it takes {MIN_UNSEEN}")
    result.figures["neighbours"] = figures.neighbours_figure(fake, neighbours, sets)
    if source.method is not None and source.can("interpolate"):
        frames = source.method.verb("interpolate")(n=8, seed=seed)
        result.figures["interpolation"] = figures.interpolation_figure(frames)


def _feature_notes(features: FeatureSets, sets: ReferenceSets) -> list[str]:
    notes, width = [], features.net.width
    drawn = sets.data.array.shape[3] == 1 and not sets.data.facts.get("photographs")
    if drawn and features.net.name != classifier_name():
        labelled = "; --features classifier compares by one that learns the classes here"
        advice = labelled if sets.data.facts["classes"] else ""
        notes.append(f"the feature network has learnt photos, and tells little of grey drawings or letters{advice}.")
    count = min(len(features.fake), len(features.reference))
    if count < width:
        notes.append(
            f"fid: {count} images are fewer than the {width} dimensions of a feature, which biases it upwards; compare "
            "it with the value of real images only, or use kid, which has no bias."
        )
    if len(features.others) < len(features.fake):
        notes.append(
            f"the value of real data is of {len(features.others)} images, there are no more; fid of fewer is higher."
        )
    return notes


def _score_classes(
    result: Evaluation,
    source: SampleSource,
    sets: ReferenceSets,
    fake: np.ndarray,
    features: FeatureSets | None,
    config: EvalConfig,
) -> None:
    if why := _why_classes_differ(source, sets):
        result.skip(CLASS_SCORES, why)
        return
    labels = _labels_in_turn(source, sets, len(fake))
    gan_test = config.wants(CLASS_SCORES[0])
    if not gan_test:
        result.skip(CLASS_SCORES[:1], WHY_SLOW)
    scores = list(class_scores(fake, labels, features, sets, config.seed, gan_test))
    result.scores += scores
    if features is not None and len(scores) < len(CLASS_SCORES) - (not gan_test):
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
    fake = source.generate(n, seed + 1, sets.size)  # not those that are scored
    result.scores.append(gan_train_score(fake, _labels_in_turn(source, sets, n), sets, seed))


def _why_classes_differ(source: SampleSource, sets: ReferenceSets) -> str:
    """Why the classes of the data are not those of the source; "" if they are."""
    if len(sets.train.classes) == 1:
        return "the data has one class only, which nothing could be taken for another of"
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

    "classifier" is one of the data's labels, which is trained here if the cache has none.
    """
    count = len(sets.reference)
    if count < MIN_IMAGES:
        result.skip(
            FEATURE_SCORES, f"{count} reference images are too few to compare distributions; it takes {MIN_IMAGES}"
        )
        return None
    if str(spec) == CLASSIFIER and len(sets.train.classes) < 2:  # the scores that need no network are still computed
        why = "the data has no labels of two or more classes to train a feature network on; leave --features away"
        result.skip(FEATURE_SCORES, why)
        return None
    if str(spec) == CLASSIFIER and len(sets.train) < MIN_IMAGES:
        why = f"{len(sets.train)} training images are too few to train a feature network; leave --features away"
        result.skip(FEATURE_SCORES, why)
        return None
    return open_features(spec, Images.open(sets.train.spec, "train"))


def _score_reconstructions(
    result: Evaluation, source: SampleSource, sets: ReferenceSets, seed: int, count: int
) -> None:
    """The errors of reconstructions of the first images of the reference, and a figure."""
    assert source.method is not None
    originals = sets.data.array[sets.reference[:count]]
    images = [Image(pixels) for pixels in originals]
    act = source.method.verb("reconstruct")
    made = all_at_size(act.stream(source.method, images), sets.size)
    reconstructions = collect(made, len(images), "reconstructing")
    result.scores += list(reconstruction_scores(originals, reconstructions, sets, seed))
    shown = [Image(pixels) for pixels in reconstructions]
    result.figures["reconstruction"] = figures.reconstructions_figure(images, shown, len(images))
