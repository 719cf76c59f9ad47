"""What classical tools make of the pictures that a run repaired: the very same spoilt pixels, scored the same way."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from reverie.evaluation.result import Evaluation
from reverie.media import Photo
from reverie.metrics.classical_baselines import INSTALL, TOOLS, Case
from reverie.metrics.full_reference import full_reference_scores
from reverie.metrics.score import Reference
from reverie.transforms.degradations import DEGRADATIONS, blur_kernel, downscale
from reverie.utils.environment import versions
from reverie.utils.seeding import seed_for

TRIED, SIDE = 4, 128
"""training pictures that what a tool leaves open is chosen on, and pixels a side of the middle that is cut out"""


def has_baselines(method: Any) -> bool:
    """Whether a method spoils good pictures in a way that classical tools repair."""
    return getattr(method.config, "make", "") in TOOLS


def add_baselines(
    found: Evaluation, method: Any, good: Sequence[np.ndarray], spoilt: Sequence[np.ndarray],
    train: Any, training: Sequence[np.ndarray], reference: Reference, seed: int, about: str,
) -> None:  # fmt: skip
    """Adds PSNR and SSIM of each classical tool; good and spoilt: the pictures that the run is scored on.

    training: good pictures of the data `train` to choose a tool's settings on, none of those that are scored.
    """
    make = method.config.degradation
    strength = severity_of(method)
    about += f", spoilt by {make} {strength:g} ({DEGRADATIONS[make].unit})"
    about += f", random numbers of seed {seed}" if make in ("noise", "motion") else ""
    middles = [Photo(_middle(pixels)) for pixels in training]
    tried = [photo.pixels for photo in method.verb("degrade")(middles, seed=seed)] if middles else []
    learnt = cases(method, [photo.pixels for photo in middles], tried, seed)
    given = cases(method, good, spoilt, seed)
    for tool in TOOLS[make]:
        if not tool.version:
            found.skip([f"{name}, {tool.name}" for name in ("psnr", "ssim")], INSTALL[tool.library])
            continue
        choice = tool.best_setting(learnt)
        bar = tqdm(given, desc=tool.name, unit=" pictures", delay=1, disable=None, leave=False, file=sys.stderr)
        made = [tool.restore(case, choice) for case in bar]
        told = f"{tool.library} {tool.version}, {tool.told}"
        if choice:
            told += "; " + ", ".join(f"{name} {value:g}" for name, value in choice.items())
            told += f", {_how_chosen(len(tool.settings), len(learnt), train)}"
        for score in full_reference_scores(made, good, spoilt, "what is given, as it is", reference, seed, about):
            found.scores.append(
                dataclasses.replace(
                    score, name=f"{score.name}, {tool.name}", group="classical methods",
                    definition=f"{score.definition}; repaired by {told}",
                    versions={**versions(), tool.library: tool.version},
                )
            )  # fmt: skip


def _how_chosen(choices: int, pictures: int, train: Any) -> str:
    if not pictures:
        return "as usual"
    return f"best of {choices} on {pictures} other pictures of {train.name} {train.split} ({train.fingerprint})"


def severity_of(method: Any) -> float:
    """Of its degradation, in its unit."""
    c = method.config
    return DEGRADATIONS[c.make].severity if c.strength is None else c.strength


def cases(method: Any, good: Sequence[np.ndarray], spoilt: Sequence[np.ndarray], seed: int) -> list[Case]:
    """The pictures, spoilt by the method's `spoil` with that seed, and what tools are told of them."""
    c, strength, found = method.config, severity_of(method), []
    for true, given in zip(good, spoilt, strict=True):
        blur = blur_kernel(c.make, strength, seed_for(seed, Photo(true)))
        small = levels(downscale(Photo(true).to_tensor(true.shape[2]), strength)) if c.make == "small" else None
        found.append(Case(true, given, strength, None if blur is None else blur.numpy(), small))
    return found


def levels(x: Tensor) -> np.ndarray:
    """[1,C,H,W] in [-1,1] -> [H,W,C] in [0,1]."""
    return ((x[0].clamp(-1, 1) + 1) / 2).permute(1, 2, 0).to(torch.float64).numpy()


def _middle(pixels: np.ndarray) -> np.ndarray:
    top, left = (max(0, (side - SIDE) // 2) for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])
