"""Scores of filled holes, beside what fills them without having learnt anything.

Images are uint8 [H,W,C], C = 1 (grey) or 3 (RGB); holes bool [H,W], true inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.data.images.conversion import LUMA
from reverie.metrics.full_reference import WINDOW, psnrs, ssim_map
from reverie.metrics.inpainting_examples import Filled, FilledPhotos
from reverie.metrics.pixels import psnr
from reverie.metrics.score import Better, Reference, Score, standard_error
from reverie.utils.environment import versions

RADIUS = 3
"""pixels around each that OpenCV's tools look at"""
PSNR_HOLE = (
    "10 log10(1 / mean squared error of pixels in [0,1]) of the hole of each image, over all channels, 8 bits; mean "
    "over images"
)
PSNR_WHOLE = (
    "10 log10(1 / mean squared error of pixels in [0,1]) of each whole image, in which only the hole differs, over all "
    "channels, 8 bits; mean over images"
)
SSIM = (
    "structural similarity (Wang 2004; Gaussian window of 11 pixels, sigma 1.5, K1 0.01, K2 0.03, range 255, windows "
    "inside the image only), mean over channels, {where} and images"
)
SHARPNESS = (
    "variance of the Laplacian (kernel 0 1 0, 1 -4 1, 0 1 0, of the luminance, at the pixels of the hole) of filled "
    "images, divided by that of the photos, each a mean over images"
)
LAPLACE = "the Laplace fill"


class Tool(NamedTuple):
    """A way to fill holes that learns nothing."""

    name: str
    description: str
    needs_opencv: bool
    fill: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """(image with anything in its hole, hole) -> image"""


def _mean_colour(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    filled = image.copy()
    filled[hole] = image[~hole].astype(np.float64).mean(0).round()
    return filled


def _opencv(image: np.ndarray, hole: np.ndarray, algorithm: str) -> np.ndarray:
    import cv2  # type: ignore[import-not-found,unused-ignore]  # an extra

    blank = np.where(hole[:, :, None], 0, image).astype(np.uint8)
    return cv2.inpaint(blank, hole.astype(np.uint8), RADIUS, getattr(cv2, algorithm)).reshape(image.shape)


TOOLS = (
    Tool("mean colour", "the mean of the known pixels", False, _mean_colour),
    Tool("telea", f"OpenCV's inpaint, INPAINT_TELEA, radius {RADIUS}", True,
         lambda image, hole: _opencv(image, hole, "INPAINT_TELEA")),
    Tool("navier-stokes", f"OpenCV's inpaint, INPAINT_NS, radius {RADIUS}", True,
         lambda image, hole: _opencv(image, hole, "INPAINT_NS")),
)  # fmt: skip


def hole_psnrs(images: Sequence[np.ndarray], examples: Sequence[Filled]) -> Tensor:
    """The PSNR in dB [N] of images within the holes of the examples."""
    errors = [
        np.square(image[e.hole].astype(np.float64) - e.original[e.hole]).mean() / 255**2
        for image, e in zip(images, examples, strict=True)
    ]
    return psnr(torch.tensor(errors, dtype=torch.float64))


def hole_ssims(images: Sequence[np.ndarray], examples: Sequence[Filled], whole: bool = False) -> Tensor:
    """SSIM [N] over the windows whose centre is in the hole, or over all; not a number where there are none."""
    values = []
    for image, e in zip(images, examples, strict=True):
        similar, edge = ssim_map(image, e.original), WINDOW // 2
        inside = torch.from_numpy(e.hole[edge:-edge, edge:-edge])
        values.append(similar.mean() if whole else similar[:, inside].mean())
    return torch.stack(values)


def hole_sharpness(images: Sequence[np.ndarray], holes: Sequence[np.ndarray]) -> Tensor:
    """The variance of the Laplacian of the luminance, of levels of 255, at the pixels of each hole [N]."""
    kernel = torch.tensor([[[[0, 1, 0], [1, -4, 1], [0, 1, 0]]]], dtype=torch.float64)
    values = []
    for image, hole in zip(images, holes, strict=True):
        grey = image @ np.array(LUMA) if image.shape[2] == 3 else image[:, :, 0].astype(np.float64)
        padded = F.pad(torch.from_numpy(grey)[None, None], (1, 1, 1, 1), "reflect")
        values.append(F.conv2d(padded, kernel)[0, 0][torch.from_numpy(hole)].var(correction=0))
    return torch.stack(values)


def inpainting_scores(photos: FilledPhotos, data: Any, seed: int) -> Iterator[Score]:
    """Of the hole and of the whole image, each beside the Laplace fill; then what other tools fill the holes with.

    data: the data set that the photos are of; nothing without photos
    """
    examples, kind, conditions = photos.examples, photos.kind, photos.conditions
    if not examples:
        return
    channels = examples[0].original.shape[2]
    reference = Reference(data.name, data.split, data.fingerprint, len(examples), photos.side, channels)
    filled, laplace = [e.filled for e in examples], [e.laplace for e in examples]
    originals, n = [e.original for e in examples], len(examples)

    def score(
        name: str, unit: str, what: str, values: Tensor, floor: Tensor | float, better: Better = "higher"
    ) -> Score:
        return Score(
            f"{name}, {kind}", float(values.mean()), unit, better, f"{what}; {conditions}", reference, len(values),
            seed, std_error=standard_error(values), group="image similarity",
            baseline=float(torch.as_tensor(floor).mean()), baseline_name=LAPLACE,
        )  # fmt: skip

    ours, floor = hole_psnrs(filled, examples), hole_psnrs(laplace, examples)
    yield score("psnr-hole", "dB", PSNR_HOLE, ours, floor)
    gain = f"psnr-hole of each image less that of {LAPLACE}; {PSNR_HOLE}"
    yield score("psnr-hole gain over laplace", "dB", gain, ours - floor, 0.0)
    yield score("psnr", "dB", PSNR_WHOLE, psnrs(filled, originals), psnrs(laplace, originals))
    if photos.side > 2 * WINDOW:
        for name, whole, where in (("ssim-hole", False, "windows centred in the hole"), ("ssim", True, "all windows")):
            pair = [hole_ssims(images, examples, whole) for images in (filled, laplace)]
            there = ~pair[0].isnan()
            if there.any():
                yield score(name, "", SSIM.format(where=where), pair[0][there], pair[1][there])
    holes = [e.hole for e in examples]
    true, made, smooth = (float(hole_sharpness(x, holes).mean()) for x in (originals, filled, laplace))
    if true > 0:
        yield Score(
            f"sharpness in the hole, {kind}", made / true, "", "match", f"{SHARPNESS}; {conditions}", reference, n,
            seed, real=1.0, real_source="the photos themselves", group="image similarity", baseline=smooth / true,
            baseline_name=LAPLACE,
        )  # fmt: skip
    for tool in TOOLS:
        if tool.needs_opencv and not find_spec("cv2"):
            continue
        values = hole_psnrs([tool.fill(e.original, e.hole) for e in examples], examples)
        known = {"opencv": opencv_version()} if tool.needs_opencv else {}
        by = tool.description + "".join(f", version {number}" for number in known.values())
        yield Score(
            f"psnr-hole, {kind}, {tool.name}", float(values.mean()), "dB", "higher",
            f"{PSNR_HOLE}; {conditions}; filled by {by}", reference, n, seed, std_error=standard_error(values),
            versions={**versions(), **known}, group="baselines", baseline=float(floor.mean()), baseline_name=LAPLACE,
        )  # fmt: skip


def opencv_version() -> str:
    """Of the OpenCV that is installed: Telea's method differs between its versions."""
    import cv2

    return str(cv2.__version__)
