"""1-NN accuracy of codes: does the nearest code belong to an image of the same class?   N images, Z latents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.core.method import Method
from reverie.data.images.dataset import Images
from reverie.evaluation.class_conditional import share_std_error
from reverie.evaluation.reference_sets import MAX_NEIGHBOURS, ReferenceSets, shuffled_indices
from reverie.media import Image
from reverie.metrics.distribution import nearest_neighbours
from reverie.metrics.pixels import COMPARISON_SIZE, nearest_images
from reverie.metrics.score import Score
from reverie.utils.progress_bar import bar

MAX_TRAINING, MAX_QUICK_TRAINING = 60_000, 2_048
"""training images whose codes are compared with, at most, in a full and in a quick evaluation"""


def latent_knn_score(method: Method, sets: ReferenceSets, seed: int, full: bool = True) -> Score:
    """1-NN accuracy of codes (Donahue 2016, section 4.2), of z alone; the baseline is that of pixels."""
    train, data, most = sets.train, sets.data, MAX_TRAINING if full else MAX_QUICK_TRAINING
    known = np.sort(shuffled_indices(len(train))[:most])
    exclude = None  # where the reference is a part of the training images, each is compared with the others
    if data is train:
        known = np.concatenate([sets.reference, np.setdiff1d(known, sets.reference)])[:most]
        exclude = torch.arange(len(sets.reference))
    codes = encode_images(method, data, sets.reference, "codes")
    known_codes = encode_images(method, train, known, "codes to compare")
    nearest = nearest_neighbours(codes, known_codes, 1, exclude)[1][:, 0].numpy()
    correct = train.labels[known[nearest]] == data.labels[sets.reference]

    few = sets.reference[:MAX_NEIGHBOURS]
    few_exclude = None if exclude is None else exclude[: len(few)]
    by_pixels = nearest_images(data.array[few], train.array[known], 1, few_exclude)[1][:, 0].numpy()
    of_pixels = train.labels[known[by_pixels]] == data.labels[few]
    return Score(
        "1-nn accuracy", float(correct.mean()), "", "higher",
        f"share of images whose code's nearest neighbour (Euclidean) among the codes of {len(known)} training images "
        "has the same class (Donahue 2016, section 4.2); codes are z alone, without a class that is a part of them",
        sets.reference_of(), len(correct), seed, std_error=share_std_error(correct), group="codes",
        baseline=float(of_pixels.mean()),
        baseline_name=f"pixels instead of codes, at most {COMPARISON_SIZE} pixels per side, of {len(few)} images",
    )  # fmt: skip


def encode_images(method: Method, data: Images, rows: Sequence[int] | np.ndarray, label: str) -> Tensor:
    """The codes z [N,Z] of images of a data set; a terminal shows a progress bar called `label`.

    A class that a method appends to z, such as the one it predicts, is left out: it would be compared with itself.
    """
    act, latents = method.verb("encode"), getattr(getattr(method, "config", None), "latent_dim", None)
    shown = bar(None, len(rows), label)
    codes = []
    with shown:
        for start in range(0, len(rows), 1024):
            images = [Image(pixels) for pixels in data.array[np.asarray(rows[start : start + 1024])]]
            codes += [code.values[:latents] for code in act.stream(method, images)]
            shown.update(len(images))
    return torch.from_numpy(np.stack(codes))
