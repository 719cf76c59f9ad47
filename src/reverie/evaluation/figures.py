"""The pictures beside the scores: nearest training images, walks between images, reconstructions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reverie.evaluation.image_metrics import Neighbours
from reverie.evaluation.reference_sets import ReferenceSets
from reverie.media import Image, comparison_grid, image_grid

GAP = 8
"""pixels between the halves of a picture"""


def neighbours(made: np.ndarray, found: Neighbours, sets: ReferenceSets) -> tuple[Image, str]:
    """Generated images, each beside its three nearest training images, and a caption."""
    alike = found.distances.argsort(stable=True)[:8].tolist()
    halves = []
    for chosen in (alike, range(min(8, len(made)))):
        row = [Image(p) for i in chosen for p in (made[i], *sets.train.array[found.images[i].numpy()])]
        halves.append(image_grid(row, columns=4).pixels)
    height = max(half.shape[0] for half in halves)
    ground = np.full((height, sum(half.shape[1] for half in halves) + GAP, halves[0].shape[2]), 255, np.uint8)
    ground[: halves[0].shape[0], : halves[0].shape[1]] = halves[0]
    ground[: halves[1].shape[0], -halves[1].shape[1] :] = halves[1]
    caption = (
        f"In each row a generated image, then the three training images nearest to it. Left: the {len(alike)} that "
        f"come nearest among {len(found.distances)}. Right: the first that were generated. Distance: {found.space}; "
        f"{found.amount} training images were looked at."
    )
    return Image(ground), caption


def reconstructions(originals: Sequence[Image], made: Sequence[Image], n: int) -> tuple[Image, str]:
    """Rows of the first originals above their reconstructions, and a caption."""
    caption = f"Images of the reference, and under each its reconstruction; the first of {n} that were scored."
    return comparison_grid(originals[:32], made[:32]), caption


def interpolation(frames: Sequence[Image]) -> tuple[Image, str]:
    """The rows of `interpolate` without pictures, and a caption."""
    return image_grid(frames), "Each row walks from one generated image to another."
