"""The scores of generated images beside real ones, each with its definition and its floor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.evaluation.reference_sets import COMPARED, MOST, STAND_IN, ReferenceSets, features_of, shuffled
from reverie.metrics.distribution import PRDC, Mean, frechet_distance, kernel_distance, nearest_neighbours, prdc
from reverie.metrics.pixels import COMPARISON_SIZE, mean_image, nearest_images, copying_statistics, psnr, ratio_of_means, sharpness
from reverie.metrics.pixels import mean_squared_errors as errors_of
from reverie.metrics.score import Better, Reference, Score, standard_error

LEAST = 64
"""images, generated and real, below which their distributions are not compared"""
K = 5
"""neighbour whose distance is the radius of precision, recall, density and coverage"""
SHARE = 100
"""real images, below which one in a hundred of them is none"""

PIXELS = f"root mean square of pixels in [0,1], at {COMPARISON_SIZE} pixels a side at most"

BY_FEATURES: dict[str, tuple[Better, str]] = {
    "fid": ("lower", "Frechet distance of Gaussians with the means and unbiased covariances of features, float64 "
            "(Heusel 2017)"),
    "kid": ("lower", "squared MMD of features, unbiased, kernel (x.y/D + 1)^3, of all items at once, float64 "
            "(Binkowski 2018)"),
    "precision": ("higher", f"share of generated images nearer to a real one than its {K}th real neighbour is "
                  "(Kynkaanniemi 2019)"),
    "recall": ("higher", f"share of real images nearer to a generated one than its {K}th generated neighbour is "
               "(Kynkaanniemi 2019)"),
    "density": ("higher", f"real images that have a generated one nearer than their {K}th real neighbour, counted for "
                f"each generated one, mean, divided by {K} (Naeem 2020)"),
    "coverage": ("higher", f"share of real images nearer to a generated one than to their {K}th real neighbour "
                 "(Naeem 2020)"),
}  # fmt: skip
"""name -> which is better, definition; the features are told after it"""


class FeatureSets:
    """What a network makes of the images: the features [N,D] of generated and of real ones."""

    def __init__(self, net: Any, made: np.ndarray, sets: ReferenceSets) -> None:
        self.net = net
        stand_in = sets.floor[: max(STAND_IN, len(made))]
        self.reference = features_of(net, sets.data, sets.reference, "features of the reference")
        others = features_of(net, sets.floor_data, stand_in, "features of the floor")
        self.made: Tensor = net.features(made, "features of generated")
        self.floor = others[: len(made)]
        self.unseen = self.reference[:COMPARED]
        if sets.left_out_one:
            self.train_rows, self.train = (
                np.concatenate([sets.reference, stand_in]),
                torch.cat([self.reference, others]),
            )
        elif sets.data is sets.train:
            self.train_rows, self.train, self.unseen = sets.reference, self.reference, others[:COMPARED]
        else:
            self.train_rows, self.train = stand_in, others


def by_features(looked: FeatureSets, sets: ReferenceSets, seed: int) -> Iterator[Score]:
    """FID and KID against all of the reference; precision, recall, density and coverage of two sets of one size."""
    made, real, stand_in = looked.made, looked.reference, looked.floor
    fid, kid = frechet_distance(real, made), kernel_distance(real, made)
    floors = {"fid": frechet_distance(real, stand_in), "kid": kernel_distance(real, stand_in).value}
    yield _by_feature("fid", Mean(fid, None), floors["fid"], looked, sets, len(real), seed)
    yield _by_feature("kid", kid, floors["kid"], looked, sets, len(real), seed)
    # As their authors use them: with unlike numbers recall and coverage tell of the numbers more than of the images.
    count = min(len(real), len(made))
    values, others = prdc(real[:count], made[:count], K)._asdict(), prdc(real[:count], stand_in[:count], K)._asdict()
    for name, mean in values.items():
        yield _by_feature(name, mean, others[name].value, looked, sets, count, seed)


def _by_feature(
    name: str, mean: Mean, floor: float, looked: FeatureSets, sets: ReferenceSets, real: int, seed: int
) -> Score:
    better, told = BY_FEATURES[name]
    # fid and kid are of all that was generated, the others of as many as there are real ones
    n, stand_in = (min(len(x), real) if name in PRDC._fields else len(x) for x in (looked.made, looked.floor))
    return Score(
        name, mean.value, "", better, f"{told}; features: {looked.net.definition}", sets.reference_of(real), n, seed,
        floor, f"{stand_in} {sets.floor_name}", mean.error,
    )  # fmt: skip


def sharpness_score(made: np.ndarray, sets: ReferenceSets, seed: int) -> Score:
    """How sharp generated images are beside real ones."""
    stand_in = sets.floor_data.array[sets.floor[: len(made)]]
    real = sharpness(sets.data.array[sets.reference])
    value, floor = ratio_of_means(sharpness(made), real), ratio_of_means(sharpness(stand_in), real)
    told = (
        "mean variance of the Laplacian (0 1 0, 1 -4 1, 0 1 0, mirrored border) of the luminance (BT.601, 0 to 255), "
        "of generated images divided by that of real ones"
    )
    return Score(
        "sharpness", value.value, "", "match", told, sets.reference_of(), len(made), seed, floor.value,
        f"{len(stand_in)} {sets.floor_name}", value.error,
    )  # fmt: skip


class Neighbours:
    """The training images nearest to generated ones, and how near they are."""

    def __init__(self, made: np.ndarray, sets: ReferenceSets, looked: FeatureSets | None) -> None:
        made, train = made[:COMPARED], sets.train
        unseen = sets.unseen_data.array[sets.unseen]
        own = torch.from_numpy(sets.unseen) if sets.left_out_one else None
        far, which = nearest_images(made, train.array, 3)
        self.by_pixels = copying_statistics(far[:, 0], nearest_images(unseen, train.array, 1, own)[0][:, 0])
        self.space = PIXELS
        self.best, self.amount = self.by_pixels, len(train)
        if looked is not None:
            far, at = nearest_neighbours(looked.made[:COMPARED], looked.train, 3)
            own = torch.arange(len(looked.unseen)) if sets.left_out_one else None
            self.best = copying_statistics(far[:, 0], nearest_neighbours(looked.unseen, looked.train, 1, own)[0][:, 0])
            which = torch.from_numpy(looked.train_rows)[at]
            self.space, self.amount = f"Euclidean, of features: {looked.net.definition}", len(looked.train)
        self.distances, self.images = far[:, 0], which
        """to the nearest training image [n], and the numbers of the three nearest [n,3]"""

    def scores(self, sets: ReferenceSets, seed: int) -> Iterator[Score]:
        """How far generated images are from the training images, beside real images that were not learnt from."""
        real = "training images, each from the others"
        if not sets.left_out_one:
            real = f"images of the {sets.unseen_data.split} split"
        best, n, floor_source = self.best, len(self.distances), f"{len(sets.unseen)} {real}; by definition"
        seen = Reference.of(sets.train, self.amount)
        yield Score(
            "nearest training image", best.ratio, "", "match",
            f"median distance of generated images to the nearest training image, divided by that of {real}; distance: "
            f"{self.space}; well below 1 where training images were learnt by heart",
            seen, n, seed, 1.0, floor_source,
        )  # fmt: skip
        yield Score(
            "data copying", best.farther.value, "", "match",
            f"probability that a generated image is farther from its nearest training image than one of {real} (the "
            f"global Mann-Whitney statistic of Meehan 2020, as a share of all pairs); distance: {self.space}",
            seen, n, seed, 0.5, floor_source, best.farther.error,
        )  # fmt: skip
        if len(sets.unseen) >= SHARE:
            copies = self.by_pixels.copies
            yield Score(
                "near copies", copies.value, "", "lower",
                f"share of generated images nearer to a training image than the nearest hundredth of {real}; distance: "
                f"{PIXELS}; all training images are looked at",
                Reference.of(sets.train, len(sets.train)), n, seed, 0.01, floor_source, copies.error,
            )  # fmt: skip


def reconstruction_scores(originals: np.ndarray, made: np.ndarray, sets: ReferenceSets, seed: int) -> Iterator[Score]:
    """How well images are reconstructed, beside the mean training image in place of every one."""
    mean = mean_image(sets.train.array[np.sort(shuffled(len(sets.train))[:MOST])])
    error, trivial = errors_of(originals, made), errors_of(originals, np.broadcast_to(mean, originals.shape))

    def score(name: str, values: Tensor, unit: str, better: Better, told: str, floor: Tensor) -> Score:
        return Score(
            name, float(values.mean()), unit, better, f"{told}, mean over images", sets.reference_of(len(values)),
            len(values), seed, float(floor.mean()), "the mean training image in place of each",
            standard_error(values), group="reconstruction",
        )  # fmt: skip

    yield score("reconstruction error", error, "", "lower", "mean squared error of pixels in [0,1]", trivial)
    if len(originals) > 1:
        apart = errors_of(originals, np.roll(originals, 1, 0)).mean()  # each beside another: they come in no order
        told = "mean squared error of pixels, divided by that between an image and another one of the reference"
        yield score("reconstruction share", error / apart, "", "lower", told, trivial / apart)
    told = "10 log10(1 / mean squared error of pixels in [0,1]), the error at least 1/12 of a squared grey level of 255"
    yield score("reconstruction psnr", psnr(error), "dB", "higher", told, psnr(trivial))
