"""The scores of generated images against real ones, each with its definition and what real images get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.evaluation.reference_sets import (
    MAX_NEIGHBOURS,
    MAX_REFERENCE,
    ReferenceSets,
    cached_features,
    shuffled_indices,
)
from reverie.metrics.distribution import PRDC, Mean, frechet_distance, kernel_distance, nearest_neighbours, prdc
from reverie.metrics.full_reference import PSNR
from reverie.metrics.pixels import (
    COMPARISON_SIZE,
    copying_statistics,
    mean_image,
    mean_squared_errors,
    nearest_images,
    psnr,
    ratio_of_means,
    sharpness,
)
from reverie.metrics.score import Better, Reference, Score, standard_error

MIN_IMAGES = 64
"""generated and real images that a comparison of distributions takes, at least"""
K = 5
"""neighbour whose distance is the radius of precision, recall, density and coverage"""
MIN_UNSEEN = 100
"""unseen images that a percentile of their distances takes, at least"""

PIXEL_DISTANCE = f"root mean square difference of pixels in [0,1], at most {COMPARISON_SIZE} pixels per side"
LAPLACIAN = (
    "mean variance of the Laplacian (0 1 0, 1 -4 1, 0 1 0, reflected border) of the luminance (BT.601, 0 to 255)"
)
FEATURE_SCORES: dict[str, tuple[Better, str]] = {
    "fid": ("lower", "Frechet distance of Gaussians with the means and unbiased covariances of features, float64 "
            "(Heusel 2017)"),
    "kid": ("lower", "squared MMD of features, unbiased, kernel (x.y/D + 1)^3, of all items at once, float64 "
            "(Binkowski 2018)"),
    "precision": ("higher", f"share of generated images closer to a real image than that one's {K}th nearest real "
                  "neighbour (Kynkaanniemi 2019)"),
    "recall": ("higher", f"share of real images closer to a generated image than that one's {K}th nearest generated "
               "neighbour (Kynkaanniemi 2019)"),
    "density": ("higher", f"number of real images that a generated image is closer to than their {K}th nearest real "
                f"neighbour, divided by {K}, mean over generated images (Naeem 2020)"),
    "coverage": ("higher", f"share of real images closer to a generated image than to their {K}th nearest real "
                 "neighbour (Naeem 2020)"),
}  # fmt: skip
"""name -> what is better, definition; scores name the feature extractor after it"""


class FeatureSets:
    """The features [N,D] of generated and of real images, by one feature extractor."""

    def __init__(self, net: Any, fake: np.ndarray, sets: ReferenceSets) -> None:
        self.net = net
        stand_in = sets.others[: max(sets.min_others, len(fake))]
        self.reference = cached_features(net, sets.data, sets.reference, "features of the reference")
        others = cached_features(net, sets.others_data, stand_in, "features of other real images")
        self.fake: Tensor = net.features(fake, "features of generated")
        self.others = others[: len(fake)]
        self.unseen = self.reference[:MAX_NEIGHBOURS]
        if sets.leave_one_out:
            self.train_rows = np.concatenate([sets.reference, stand_in])
            self.train = torch.cat([self.reference, others])
        elif sets.data is sets.train:
            self.train_rows, self.train = sets.reference, self.reference
            self.unseen = others[:MAX_NEIGHBOURS]
        else:
            self.train_rows, self.train = stand_in, others


def feature_scores(features: FeatureSets, sets: ReferenceSets, seed: int) -> Iterator[Score]:
    """FID and KID against all of the reference; precision, recall, density and coverage of two sets of one size."""
    fake, real, stand_in = features.fake, features.reference, features.others
    fid, kid = frechet_distance(real, fake), kernel_distance(real, fake)
    of_real = {"fid": frechet_distance(real, stand_in), "kid": kernel_distance(real, stand_in).value}
    yield _feature_score("fid", Mean(fid, None), of_real["fid"], features, sets, len(real), seed)
    yield _feature_score("kid", kid, of_real["kid"], features, sets, len(real), seed)
    # As their authors use them: with sets of different sizes, recall and coverage measure the sizes above all.
    count = min(len(real), len(fake))
    values, others = prdc(real[:count], fake[:count], K)._asdict(), prdc(real[:count], stand_in[:count], K)._asdict()
    for name, mean in values.items():
        yield _feature_score(name, mean, others[name].value, features, sets, count, seed)


def _feature_score(
    name: str, mean: Mean, of_real: float, features: FeatureSets, sets: ReferenceSets, real: int, seed: int
) -> Score:
    better, definition = FEATURE_SCORES[name]
    n, stand_in = len(features.fake), len(features.others)
    if name in PRDC._fields:  # fid and kid are of all generated images, these of as many as there are real ones
        n, stand_in = min(n, real), min(stand_in, real)
    return Score(
        name, mean.value, "", better, f"{definition}; features: {features.net.definition}", sets.reference_of(real), n,
        seed, of_real, f"{stand_in} {sets.others_name}", mean.std_error,
    )  # fmt: skip


def sharpness_score(fake: np.ndarray, sets: ReferenceSets, seed: int) -> Score:
    """The sharpness of generated images, divided by that of real ones."""
    stand_in = sets.others_data.array[sets.others[: len(fake)]]
    real = sharpness(sets.data.array[sets.reference])
    value, of_real = ratio_of_means(sharpness(fake), real), ratio_of_means(sharpness(stand_in), real)
    definition = f"{LAPLACIAN} of generated images, divided by that of real images"
    return Score(
        "sharpness", value.value, "", "match", definition, sets.reference_of(), len(fake), seed, of_real.value,
        f"{len(stand_in)} {sets.others_name}", value.std_error,
    )  # fmt: skip


class TrainingNeighbours:
    """The training images nearest to generated ones, and how close they are."""

    distances: Tensor
    """to the nearest training image [n]"""
    indices: Tensor
    """rows of the training data of the three nearest [n,3]"""

    def __init__(self, fake: np.ndarray, sets: ReferenceSets, features: FeatureSets | None) -> None:
        fake, train = fake[:MAX_NEIGHBOURS], sets.train
        unseen = sets.unseen_data.array[sets.unseen]
        exclude = torch.from_numpy(sets.unseen) if sets.leave_one_out else None
        distances, indices = nearest_images(fake, train.array, 3)
        self.by_pixels = copying_statistics(distances[:, 0], nearest_images(unseen, train.array, 1, exclude)[0][:, 0])
        self.best, self.distance, self.searched = self.by_pixels, PIXEL_DISTANCE, len(train)
        if features is not None:
            distances, rows = nearest_neighbours(features.fake[:MAX_NEIGHBOURS], features.train, 3)
            exclude = torch.arange(len(features.unseen)) if sets.leave_one_out else None
            unseen_distances = nearest_neighbours(features.unseen, features.train, 1, exclude)[0][:, 0]
            self.best = copying_statistics(distances[:, 0], unseen_distances)
            indices = torch.from_numpy(features.train_rows)[rows]
            self.distance = f"Euclidean, of features: {features.net.definition}"
            self.searched = len(features.train)
        self.distances, self.indices = distances[:, 0], indices

    def scores(self, sets: ReferenceSets, seed: int) -> Iterator[Score]:
        """How close generated images are to the training images, compared with unseen real images."""
        real = f"images of the {sets.unseen_data.split} split"
        if sets.leave_one_out:
            real = "training images, each from the others"
        n, real_source = len(self.distances), f"{len(sets.unseen)} {real}; by definition"
        searched = Reference.of(sets.train, self.searched)
        yield Score(
            "nn distance ratio", self.best.nn_distance_ratio, "", "match",
            f"median distance of generated images to the nearest training image, divided by that of {real}; distance: "
            f"{self.distance}; well below 1 where training images were memorised",
            searched, n, seed, 1.0, real_source,
        )  # fmt: skip
        yield Score(
            "data-copying auc", self.best.auc.value, "", "match",
            f"probability that a generated image is farther from its nearest training image than one of {real} (the "
            f"global Mann-Whitney statistic of Meehan 2020 as an area under the ROC curve); distance: {self.distance}",
            searched, n, seed, 0.5, real_source, self.best.auc.std_error,
        )  # fmt: skip
        if len(sets.unseen) >= MIN_UNSEEN:
            rate = self.by_pixels.near_duplicates
            yield Score(
                "near-duplicate rate", rate.value, "", "lower",
                f"share of generated images whose nearest training image is identical or closer than the 1st "
                f"percentile of {real}; distance: {PIXEL_DISTANCE}; among all training images",
                Reference.of(sets.train, len(sets.train)), n, seed, 0.01, real_source, rate.std_error,
            )  # fmt: skip


def reconstruction_scores(
    originals: np.ndarray, reconstructions: np.ndarray, sets: ReferenceSets, seed: int
) -> Iterator[Score]:
    """MSE and PSNR of reconstructions; the baseline is the mean training image in place of each."""
    mean = mean_image(sets.train.array[np.sort(shuffled_indices(len(sets.train))[:MAX_REFERENCE])])
    error = mean_squared_errors(originals, reconstructions)
    trivial = mean_squared_errors(originals, np.broadcast_to(mean, originals.shape))

    def score(name: str, values: Tensor, unit: str, better: Better, definition: str, baseline: Tensor) -> Score:
        return Score(
            name, float(values.mean()), unit, better, definition, sets.reference_of(len(values)), len(values), seed,
            std_error=standard_error(values), group="reconstruction", baseline=float(baseline.mean()),
            baseline_name="the mean training image in place of each",
        )  # fmt: skip

    yield score("mse", error, "", "lower", "mean squared error of pixels in [0,1], mean over images", trivial)
    if len(originals) > 1:
        between = mean_squared_errors(originals, np.roll(originals, 1, 0)).mean()  # they are shuffled
        definition = (
            "mean squared error of pixels, divided by that between two different images of the reference, mean over "
            "images"
        )
        yield score("normalised mse", error / between, "", "lower", definition, trivial / between)
    yield score("psnr", psnr(error), "dB", "higher", PSNR, psnr(trivial))
