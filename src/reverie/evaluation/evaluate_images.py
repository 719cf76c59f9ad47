"""The bench of images: what is made from noise, from codes or of a class is held against a set of real images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.data.images.dataset import Images
from reverie.evaluation import figures
from reverie.evaluation.class_conditional import CLASS_SCORES, TAUGHT, class_scores, gan_train, takes_labels
from reverie.evaluation.feature_extractors import open_features
from reverie.evaluation.image_metrics import (
    BY_FEATURES,
    LEAST,
    SHARE,
    FeatureSets,
    K,
    Neighbours,
    by_features,
    reconstruction_scores,
    sharpness_score,
)
from reverie.evaluation.latent_knn import neighbour_score
from reverie.evaluation.reference_sets import ReferenceSets, check_fit, open_reference_sets
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource, gathered, room_for
from reverie.media import Image, comparison_grid, image_grid
from reverie.utils.errors import UserError

USUAL = 5_000
"""generated images, unless told otherwise"""
RECONSTRUCTED = 64
"""images that are reconstructed: where a search goes on for each, that takes a while"""
GRID, PAIRS, ROWS, STEPS = 36, 8, 2, 8
"""of a comparison: generated images, reconstructed ones, rows of a walk and images in each"""


@dataclass(frozen=True)
class ImageEvaluator:
    """The sets of real images."""

    sets: ReferenceSets

    @classmethod
    def check(cls, subject: SampleSource, n: int | None) -> None:
        """Raises UserError if so many images say nothing, or are not there."""
        made = subject.pictures is not None or subject.can("generate")
        count = len(subject.pictures) if subject.pictures is not None and n is None else n
        if count is not None and count < (LEAST if made else 1):
            raise UserError(
                f"scores on {count} images say nothing about a generator; give {LEAST} or more, better thousands."
                if made
                else f"n is {count}; it must be 1 or more."
            )
        if subject.pictures is not None and n is not None and n > len(subject.pictures):
            raise UserError(
                f"n is {n}, but there are {len(subject.pictures)} pictures; leave -n away to score them all."
            )
        if made and n is not None:  # before a network is trained for them
            room_for(n, (subject.data_args["size"], subject.data_args["size"], subject.data_args["channels"]))

    @classmethod
    def open(cls, subject: SampleSource, data: str | Path, split: str | None) -> ImageEvaluator:
        """The reference, the floor and the training images. Raises UserError, also if they do not fit the subject."""
        sets = open_reference_sets(data, split, subject.data_args)
        check_fit(sets, subject.learnt, subject.data_args)
        return cls(sets)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of the reference and of the training images."""
        return {"reference": self.sets.data.fingerprint, "train": self.sets.train.fingerprint}

    def count(self, subject: SampleSource) -> int:
        """As many as the reference, but not more than is usual; of pictures, all."""
        return min(USUAL, len(self.sets.reference) if subject.pictures is None else len(subject.pictures))

    def judge(self, found: Evaluation, subject: SampleSource, asked: Any, own: dict[str, Any]) -> None:
        """Scores of generated images, of reconstructions, of codes, and those that the method alone has."""
        sets, method, n, seed = self.sets, subject.method, asked.n, asked.seed
        found.notes += _notes(subject, sets)
        makes = subject.pictures is not None or subject.can("generate")
        # What may be wrong is looked at before anything takes long: a network that is named, then the method's options.
        net = _network(found, sets, asked.features) if makes and asked.features is not None else None
        peculiar = [] if method is None else list(method.method_scores(sets.data, min(n, len(sets.data)), seed, **own))
        if makes:
            net = _network(found, sets, None) if asked.features is None else net
            _sample_scores(found, subject, sets, net, n, seed)
            if asked.taught:
                _teach(found, subject, sets, seed)
        if subject.can("reconstruct"):
            _reconstruct(found, subject, sets, seed)
        if method is not None and subject.can("encode") and sets.train.classes:
            found.scores.append(neighbour_score(method, sets, seed))
        found.scores += peculiar

    def pictures(self, subject: SampleSource, seed: int) -> dict[str, Image | str]:
        """Samples, reconstructions of the same images, and walks."""
        method, lack = subject.method, f"{subject.about['method']} cannot {{}}"
        assert method is not None
        told: dict[str, Image | str] = {}
        told["samples"] = lack.format("generate")
        if subject.can("generate"):
            told["samples"] = image_grid(method.verb("generate")(n=GRID, seed=seed))
        told["reconstruction"] = lack.format("reconstruct")
        if subject.can("reconstruct"):
            given = [Image(pixels) for pixels in self.sets.data.array[self.sets.reference[:PAIRS]]]
            told["reconstruction"] = comparison_grid(given, method.verb("reconstruct")(given))
        told["interpolation"] = lack.format("interpolate")
        if subject.can("interpolate"):
            told["interpolation"] = image_grid(method.verb("interpolate")(n=ROWS, steps=STEPS, seed=seed))
        return told


def _notes(subject: SampleSource, sets: ReferenceSets) -> list[str]:
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


def _sample_scores(found: Evaluation, subject: SampleSource, sets: ReferenceSets, net: Any, n: int, seed: int) -> None:
    """Sharpness, nearness to training images, and what features tell, of n images; and pictures."""
    made = subject.images(n, seed)
    looked = None
    if net is not None:
        looked = FeatureSets(net, made, sets)
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
            found.skip(CLASS_SCORES, why)
        else:
            told = list(class_scores(made, _turns(subject, sets, n), looked, sets, seed))
            found.scores += told
            if looked is not None and len(told) < len(CLASS_SCORES):
                found.skip(CLASS_SCORES[1:], f"they take {K + 2} images of each class, generated and real")
    near = Neighbours(made, sets, looked)
    found.scores += list(near.scores(sets, seed))
    if len(sets.unseen) < SHARE:
        found.skip(["near copies"], f"{len(sets.unseen)} unseen images are too few; it takes {SHARE}")
    found.pictures["neighbours"] = figures.neighbours(made, near, sets)
    if subject.method is not None and subject.can("interpolate"):
        found.pictures["interpolation"] = figures.interpolation(subject.method.verb("interpolate")(n=8, seed=seed))


def _teach(found: Evaluation, subject: SampleSource, sets: ReferenceSets, seed: int) -> None:
    """What a classifier learns from generated images, where they have classes."""
    why = _unlike(subject, sets) if takes_labels(subject.method) else "it is not told the class of an image"
    if why:
        found.skip(["gan-train"], why)
    else:
        n = min(TAUGHT, len(sets.train))
        made = subject.images(n, seed + 1)  # other ones than are scored
        found.scores.append(gan_train(made, _turns(subject, sets, n), sets, seed))


def _unlike(subject: SampleSource, sets: ReferenceSets) -> str:
    """Why the classes of the data are not those that the subject makes; "" if they are."""
    made = list(getattr(getattr(subject.method, "config", None), "names", None) or ())
    if sorted(made) == sorted(sets.train.classes):
        return ""
    return f"the data has other classes ({', '.join(sets.train.classes) or 'none'}) than it makes ({', '.join(made)})"


def _turns(subject: SampleSource, sets: ReferenceSets, n: int) -> np.ndarray:
    """The labels [n], as the data counts them, of the first images that the subject makes: its classes in turn."""
    assert subject.method is not None
    of = np.array([sets.train.classes.index(name) for name in subject.method.config.class_names])
    return of[np.arange(n) % len(of)]


def _network(found: Evaluation, sets: ReferenceSets, spec: str | Path | None) -> Any:
    """The network that images are compared by; None, with the reason noted, where there can be none."""
    count = len(sets.reference)
    if count < LEAST:
        found.skip(BY_FEATURES, f"{count} reference images say nothing about a distribution; it takes {LEAST}")
        return None
    if spec is None and len(sets.train.classes) < 2:  # who says nothing of a network gets the scores that need none
        why = "the data has no labels of two or more classes to train a feature network on; name one with --features"
        found.skip(BY_FEATURES, why)
        return None
    if spec is None and len(sets.train) < LEAST:
        why = f"{len(sets.train)} training images teach a feature network nothing; name one with --features"
        found.skip(BY_FEATURES, why)
        return None
    return open_features(spec, Images.open(sets.train.spec, "train"))


def _reconstruct(found: Evaluation, subject: SampleSource, sets: ReferenceSets, seed: int) -> None:
    """The errors of reconstructions of the first images of the reference, and a picture."""
    assert subject.method is not None
    originals = sets.data.array[sets.reference[:RECONSTRUCTED]]
    pictures = [Image(pixels) for pixels in originals]
    act = subject.method.verb("reconstruct")
    made = gathered(act.stream(subject.method, pictures), len(pictures), "reconstructing")
    found.scores += list(reconstruction_scores(originals, made, sets, seed))
    found.pictures["reconstruction"] = figures.reconstructions(pictures, [Image(x) for x in made], len(pictures))
