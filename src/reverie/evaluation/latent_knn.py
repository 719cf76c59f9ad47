"""What codes are worth: does the nearest code belong to an image of the same class?   N images, Z latents."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from reverie.core.method import Method
from reverie.data.images.dataset import Images
from reverie.evaluation.reference_sets import COMPARED, ReferenceSets
from reverie.media import Image
from reverie.metrics.distribution import nearest_neighbours
from reverie.metrics.pixels import nearest_images
from reverie.metrics.score import Score

LEARNT = 60_000
"""training images whose codes are compared with, at most"""


def neighbour_score(method: Method, sets: ReferenceSets, seed: int) -> Score:
    """1-NN accuracy of codes, as Donahue 2016 (section 4.2) judges them."""
    train, data = sets.train, sets.data
    known = np.arange(len(train))[:LEARNT]
    own = None  # where the reference is of the training images, each is compared with the others
    if data is train:
        known = np.concatenate([sets.reference, np.setdiff1d(np.arange(len(train)), sets.reference)])[:LEARNT]
        own = torch.arange(len(sets.reference))
    ours, theirs = codes_of(method, data, sets.reference, "codes"), codes_of(method, train, known, "codes to compare")
    at = nearest_neighbours(ours, theirs, 1, own)[1][:, 0].numpy()
    right = train.labels[known[at]] == data.labels[sets.reference]
    few = sets.reference[:COMPARED]
    beside = nearest_images(data.array[few], train.array[known], 1, None if own is None else own[: len(few)])[1][:, 0]
    floor = train.labels[known[beside.numpy()]] == data.labels[few]
    return Score(
        "1-nn accuracy", float(right.mean()), "", "higher",
        f"share of images whose code's nearest neighbour (Euclidean) among the codes of {len(known)} training images "
        "is of the same class (Donahue 2016, section 4.2)",
        sets.reference_of(), len(right), seed, float(floor.mean()),
        f"pixels in place of codes, at 32 pixels a side at most, of {len(few)} images",
        float(right.std(ddof=1) / len(right) ** 0.5), group="codes",
    )  # fmt: skip


def codes_of(method: Method, data: Images, rows: Sequence[int] | np.ndarray, what: str) -> Tensor:
    """The codes [N,Z] of images of a data set. On a terminal a bar called `what` shows progress."""
    act = method.verb("encode")
    bar = tqdm(total=len(rows), desc=what, unit=" images", delay=1, disable=None, leave=False, file=sys.stderr)
    found = []
    with bar:
        for start in range(0, len(rows), 1024):
            pictures = [Image(pixels) for pixels in data.array[np.asarray(rows[start : start + 1024])]]
            found += [code.values for code in act.stream(method, pictures)]
            bar.update(len(pictures))
    return torch.from_numpy(np.stack(found))
