"""Baselines: what classical tools restore from the very same degraded images, scored the same way."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.data.cache import load_or_build
from reverie.evaluation.result import Evaluation
from reverie.evaluation.time_estimate import TimeEstimate
from reverie.media import Photo
from reverie.metrics.classical_baselines import INSTALL, TOOLS, Case, Tool
from reverie.metrics.full_reference import full_reference_scores
from reverie.metrics.score import Reference
from reverie.transforms.degradations import DEGRADATIONS, blur_kernel, downscale
from reverie.utils.environment import versions
from reverie.utils.progress_bar import bar
from reverie.utils.seeding import seed_for

TUNING_IMAGES, TUNING_SIZE = 4, 128
"""training images that the settings of a tool are chosen on, and pixels per side of their centre crops"""


def has_baselines(method: Any) -> bool:
    """Whether a method degrades images in a way that classical tools can undo."""
    return getattr(method.config, "degradation", "") in TOOLS


def add_baselines(
    result: Evaluation,
    method: Any,
    originals: Sequence[np.ndarray],
    degraded: Sequence[np.ndarray],
    train: Any,
    training: Sequence[np.ndarray],
    reference: Reference,
    seed: int,
    conditions: str,
) -> None:
    """Adds PSNR and SSIM of each classical tool, on the images that the run is scored on.

    training: original images of the data `train` to choose settings on, none of those that are scored; conditions:
    what is compared, as a part of the definitions.
    """
    degradation, severity = method.config.degradation, severity_of(method)
    conditions += f", degraded by {degradation} {severity:g} ({DEGRADATIONS[degradation].unit})"
    conditions += f", random seed {seed}" if degradation in ("noise", "motion") else ""
    crops = [Photo(_centre_crop(pixels)) for pixels in training]
    degraded_crops = [photo.pixels for photo in method.verb("degrade")(crops, seed=seed)] if crops else []
    tuning = cases_of(method, [photo.pixels for photo in crops], degraded_crops, seed)
    cases = cases_of(method, originals, degraded, seed)
    for tool in TOOLS[degradation]:
        if not tool.version:
            result.skip([f"{name}, {tool.name}" for name in ("psnr", "ssim")], INSTALL[tool.library])
            continue
        setting = tool.best_setting(tuning)
        restored = [restored_by(tool, case, setting) for case in bar(cases, None, tool.name)]
        description = f"{tool.library} {tool.version}, {tool.description}"
        if setting:
            description += "; " + ", ".join(f"{name} {value:g}" for name, value in setting.items())
            description += f", {_how_chosen(len(tool.settings), len(tuning), train)}"
        scores = full_reference_scores(restored, originals, degraded, "the input itself", reference, seed, conditions)
        for score in scores:
            result.scores.append(
                dataclasses.replace(
                    score,
                    name=f"{score.name}, {tool.name}",
                    group="baselines",
                    definition=f"{score.definition}; restored by {description}",
                    versions={**versions(), tool.library: tool.version},
                )
            )


def time_baselines(
    estimate: TimeEstimate, method: Any, original: np.ndarray, degraded: np.ndarray, n: int, seed: int
) -> None:
    """Adds what the tools take for n images, their settings chosen, from one image of each."""
    (case,) = cases_of(method, [original], [degraded], seed)
    crops = TUNING_IMAGES * min(1, TUNING_SIZE**2 / (original.shape[0] * original.shape[1]))  # in images of this size
    for tool in TOOLS[method.config.degradation]:
        if tool.version:
            tuning = crops * len(tool.settings) if len(tool.settings) > 1 else 0

            def restore(_: int, tool: Tool = tool) -> None:
                restored_by(tool, case, tool.settings[0])

            estimate.add(f"by {tool.name}", n, 1, restore, tuning)


def restored_by(tool: Tool, case: Case, setting: dict[str, float]) -> np.ndarray:
    """tool.restore(case, setting), from the cache if these pixels were restored so before.

    Since BM3D takes minutes for each megapixel, and all runs are compared on the same pixels. Raises UserError if the
    cache cannot be written.
    """
    known = [case.degraded, *(array for array in (case.kernel, case.small) if array is not None)]
    parts = [f"{tool.name} {tool.version} {tool.description} {sorted(setting.items())} {case.severity!r}".encode()]
    for array in known:
        parts += [f"{array.dtype} {array.shape}".encode(), np.ascontiguousarray(array).tobytes()]
    key = f"classical-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:32]}"
    height, width, channels = case.degraded.shape
    return load_or_build(key, [tool.name], (height, width, channels), lambda _: tool.restore(case, setting)).pixels[0]


def _how_chosen(settings: int, images: int, train: Any) -> str:
    if not images:
        return "the default"
    return f"best of {settings} on {images} other images of {train.name} {train.split} ({train.fingerprint})"


def severity_of(method: Any) -> float:
    """The severity of a method's degradation, in its unit."""
    c = method.config
    return DEGRADATIONS[c.degradation].severity if c.severity is None else c.severity


def cases_of(method: Any, originals: Sequence[np.ndarray], degraded: Sequence[np.ndarray], seed: int) -> list[Case]:
    """Images, degraded by the method's `degrade` with that seed, and what tools may know of the degradation."""
    degradation, severity, cases = method.config.degradation, severity_of(method), []
    for original, pixels in zip(originals, degraded, strict=True):
        blur = blur_kernel(degradation, severity, seed_for(seed, Photo(original)))
        kernel = None if blur is None else blur.numpy()
        small = None
        if degradation == "small":
            small = to_unit_range(downscale(Photo(original).to_tensor(original.shape[2]), severity))
        cases.append(Case(original, pixels, severity, kernel, small))
    return cases


def to_unit_range(x: Tensor) -> np.ndarray:
    """[1,C,H,W] in [-1,1] -> float64 [H,W,C] in [0,1]."""
    return ((x[0].clamp(-1, 1) + 1) / 2).permute(1, 2, 0).to(torch.float64).numpy()


def _centre_crop(pixels: np.ndarray) -> np.ndarray:
    top, left = (max(0, (side - TUNING_SIZE) // 2) for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + TUNING_SIZE, left : left + TUNING_SIZE])
