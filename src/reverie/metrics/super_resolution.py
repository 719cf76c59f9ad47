"""PSNR and SSIM of the luminance, by which super-resolution is published.

Images are uint8 [H,W,C], C = 1 (grey) or 3 (RGB); those of a pair have one size, a multiple of the scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.metrics.full_reference import WINDOW, Restored, psnrs, ssim
from reverie.metrics.score import Better, Reference, Score, standard_error
from reverie.transforms.resampling import imresize

Y_OF_RGB = np.array((65.481, 128.553, 24.966)) / 255
"""of a level of 255 each (ITU-R BT.601), to which 16 is added"""
LUMINANCE = (
    "Y of YCbCr (ITU-R BT.601, from 16 to 235, rounded, as MATLAB's rgb2ycbcr; grey files as they are), {scale} pixels "
    "cropped from each border, images downscaled {scale} times as MATLAB's imresize does it, to 8 bits, and upscaled"
)
PSNR = "10 log10(255^2 / mean squared error) of each image, mean over images"
SSIM = (
    "mean structural similarity of each image (Wang 2004; Gaussian window of 11 pixels, sigma 1.5, K1 0.01, K2 0.03, "
    "range 255, windows inside the image only), mean over images"
)
BASELINE = "bicubic of Y as it is published: enlarged from a small Y that is not rounded"


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Y uint8 [H,W,1] of an image; of a grey one the image itself."""
    if pixels.shape[2] == 1:
        return pixels
    return np.floor(16.5 + pixels @ Y_OF_RGB).astype(np.uint8)[:, :, None]


def bicubic_luminance(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Y uint8 [H,W,1] after imresize to 1 / scale and back, rounded at the end only.

    This gives the figures that papers copy from one another, such as 28.42 dB and .8104 for Set5 at scale 4; through
    files of 8 bits in RGB it is about .01 dB less.
    """
    y = luminance(pixels).astype(np.float64)
    h, w = y.shape[:2]
    back = imresize(imresize(y, (h // scale, w // scale)), (h, w))
    return np.floor(back + 0.5).clip(0, 255).astype(np.uint8)


def crop_to_multiple(pixels: np.ndarray, scale: int) -> np.ndarray:
    """The upper left part whose sides are multiples of the scale."""
    h, w = (side // scale * scale for side in pixels.shape[:2])
    return pixels[:h, :w]


def upscaling_scores(examples: Sequence[Restored], scale: int, reference: Reference, seed: int) -> Iterator[Score]:
    """ "psnr-y", and "ssim-y" where images are large enough, with bicubic interpolation as the baseline."""

    def inside(y: np.ndarray) -> np.ndarray:
        return y[scale:-scale, scale:-scale]

    targets = [inside(luminance(example.original)) for example in examples]
    images = [inside(luminance(example.restored)) for example in examples]
    bicubic = [inside(bicubic_luminance(example.original, scale)) for example in examples]
    columns: list[tuple[str, str, str, Tensor, Tensor]] = [
        ("psnr-y", "dB", PSNR, psnrs(images, targets), psnrs(bicubic, targets))
    ]
    if min(min(y.shape[:2]) for y in targets) >= WINDOW:
        values, floor = (
            torch.tensor([ssim(x, y) for x, y in zip(xs, targets, strict=True)]) for xs in (images, bicubic)
        )
        columns.append(("ssim-y", "", SSIM, values, floor))
    better: Better = "higher"
    for name, unit, definition, values, floor in columns:
        yield Score(
            name, float(values.mean()), unit, better, f"{definition}; {LUMINANCE.format(scale=scale)}", reference,
            len(values), seed, std_error=standard_error(values), group="image similarity",
            baseline=float(floor.mean()), baseline_name=BASELINE,
        )  # fmt: skip
