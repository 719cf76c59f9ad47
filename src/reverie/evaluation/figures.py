"""The figures beside the scores of images: nearest training images, interpolations, reconstructions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from reverie.evaluation.image_metrics import TrainingNeighbours
from reverie.evaluation.reference_sets import ReferenceSets
from reverie.media import Image, comparison_grid, image_grid

GAP = 8
"""pixels between the halves of a figure"""
ROWS = 8
"""of each half"""


def neighbours_figure(fake: np.ndarray, neighbours: TrainingNeighbours, sets: ReferenceSets) -> tuple[Image, str]:
    """Generated images, each beside its three nearest training images, and a caption."""
    closest = neighbours.distances.argsort(stable=True)[:ROWS].tolist()
    left = _neighbour_rows(fake, closest, neighbours, sets)
    right = _neighbour_rows(fake, range(min(ROWS, len(fake))), neighbours, sets)
    height = max(left.shape[0], right.shape[0])
    canvas = np.full((height, left.shape[1] + right.shape[1] + GAP, left.shape[2]), 255, np.uint8)
    canvas[: left.shape[0], : left.shape[1]] = left
    canvas[: right.shape[0], -right.shape[1] :] = right
    caption = (
        f"In each row a generated image, then the three training images nearest to it. Left: the {len(closest)} with "
        f"the smallest distances among {len(neighbours.distances)}. Right: the first generated ones. Distance: "
        f"{neighbours.distance}; among {neighbours.searched} training images."
    )
    return Image(canvas, column_labels=("generated", "nearest", "2nd", "3rd") * 2), caption


def _neighbour_rows(
    fake: np.ndarray, chosen: Iterable[int], neighbours: TrainingNeighbours, sets: ReferenceSets
) -> np.ndarray:
    cells = []
    for i in chosen:
        cells += [Image(fake[i]), *(Image(p) for p in sets.train.array[neighbours.indices[i].numpy()])]
    return image_grid(cells, columns=4).pixels


def reconstructions_figure(originals: Sequence[Image], reconstructions: Sequence[Image], n: int) -> tuple[Image, str]:
    """Rows of the first originals above their reconstructions, and a caption; n: how many were scored."""
    caption = f"Images of the reference, and under each its reconstruction; the first of {n} that were scored."
    return comparison_grid(originals[:32], reconstructions[:32]), caption


def interpolation_figure(frames: Sequence[Image]) -> tuple[Image, str]:
    """The rows of `interpolate` without input images, and a caption."""
    grid = image_grid(frames)
    labels = ("from", *[""] * (frames[0].columns - 2), "to") if frames[0].columns > 1 else ()
    return dataclasses.replace(grid, column_labels=labels), "Each row interpolates from one generated image to another."
