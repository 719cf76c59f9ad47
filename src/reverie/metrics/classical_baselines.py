"""Classical restoration tools: the baselines that a trained network has to beat.

Images are uint8 [H,W,C], C = 1 (grey) or 3 (RGB). Each tool is given what it can use: the sigma of the noise, the
kernel of the blur, the image of low resolution itself. Its other settings are chosen on training images. The tools are
those of scikit-image (extra: classical), and BM3D by its authors where it is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from reverie.metrics.full_reference import psnrs

SKIMAGE, BM3D, PILLOW = "scikit-image", "bm3d", "pillow"
INSTALL = {
    SKIMAGE: "needs scikit-image: pip install 'reverie[classical]'",
    BM3D: "needs its authors' package, free for non-commercial use only: pip install bm3d",
}
"""library -> why a tool is missing, and how to get it"""


class Case(NamedTuple):
    """An image, its degraded version, and what a tool may know of the degradation."""

    original: np.ndarray
    degraded: np.ndarray
    severity: float
    """of the degradation, in its unit"""
    kernel: np.ndarray | None = None
    """[K,K] of the blur"""
    small: np.ndarray | None = None
    """float [h,w,C] in [0,1]: the image of low resolution that `degraded` was enlarged from"""


class Tool(NamedTuple):
    """One classical way to restore images."""

    name: str
    library: str
    description: str
    """the function, what it is given, and its fixed settings"""
    function: Callable[..., np.ndarray]
    """(case, **setting) -> float [H,W,C] in [0,1]"""
    settings: tuple[dict[str, float], ...] = ({},)
    """what is tried on training images; the first is used where there are none"""

    @property
    def version(self) -> str:
        """Of its library; "" where that is not installed."""
        try:
            return version(self.library)
        except PackageNotFoundError:
            return ""

    def restore(self, case: Case, setting: dict[str, float]) -> np.ndarray:
        """The restored image, uint8 [H,W,C]."""
        restored = self.function(case, **setting).reshape(case.degraded.shape)
        return (np.nan_to_num(restored, nan=0.5).clip(0, 1) * 255).round().astype(np.uint8)

    def best_setting(self, training: Sequence[Case]) -> dict[str, float]:
        """The setting of the highest mean PSNR on training images; the first one where there are none."""
        if not training or len(self.settings) == 1:
            return self.settings[0]
        originals = [case.original for case in training]

        def fitness(setting: dict[str, float]) -> float:
            return float(psnrs([self.restore(case, setting) for case in training], originals).mean())

        return max(self.settings, key=fitness)


def _skimage(module: str) -> Any:
    return import_module(f"skimage.{module}")


def _levels(case: Case) -> tuple[np.ndarray, int | None]:
    """The degraded image in [0,1], and its channel axis: 2, since unsharp_mask of scikit-image 0.26 takes -1 for the
    rows; None for grey images, since denoise_nl_means takes a single channel for rows of pixels."""
    x = case.degraded.astype(np.float64) / 255
    return (x[:, :, 0], None) if x.shape[2] == 1 else (x, 2)


# -- noise -------------------------------------------------------------------------------------------------------------


def _non_local_means(case: Case, h: float) -> np.ndarray:
    x, channels = _levels(case)
    sigma = case.severity / 255
    denoise = _skimage("restoration").denoise_nl_means
    return denoise(x, patch_size=5, patch_distance=6, h=h * sigma, sigma=sigma, fast_mode=False, channel_axis=channels)


def _total_variation(case: Case, weight: float, in_sigmas: bool = False) -> np.ndarray:
    x, channels = _levels(case)
    weight *= case.severity / 255 if in_sigmas else 1
    return _skimage("restoration").denoise_tv_chambolle(x, weight=weight, channel_axis=channels)


def _bm3d(case: Case) -> np.ndarray:
    x, channels = _levels(case)
    library = import_module("bm3d")
    return (library.bm3d if channels is None else library.bm3d_rgb)(x, case.severity / 255)


# -- blur --------------------------------------------------------------------------------------------------------------


def _wiener(case: Case, balance: float) -> np.ndarray:
    """Each channel is extended by reflection to a period of 2(N-1), as the blur reflects it at the border: the blur by
    a symmetric kernel is then a product of spectra up to the border, so that nothing rings there."""
    assert case.kernel is not None
    x = case.degraded.astype(np.float64) / 255
    height, width = x.shape[:2]
    padding = [max(0, side - 2, k - side) for side, k in zip((height, width), case.kernel.shape, strict=True)]
    wide = np.pad(x, ((0, padding[0]), (0, padding[1]), (0, 0)), "reflect")
    wiener = _skimage("restoration").wiener
    restored = [wiener(wide[:, :, c], case.kernel, balance, clip=False) for c in range(x.shape[2])]
    return np.stack(restored, 2)[:height, :width]


def _unsharp(case: Case, radius: float, amount: float) -> np.ndarray:
    x, channels = _levels(case)
    return _skimage("filters").unsharp_mask(x, radius=radius, amount=amount, channel_axis=channels)


# -- JPEG and low resolution ------------------------------------------------------------------------------------------


def _bilateral(case: Case, colour: float, space: float) -> np.ndarray:
    x, channels = _levels(case)
    denoise = _skimage("restoration").denoise_bilateral
    return denoise(x, sigma_color=colour, sigma_spatial=space, channel_axis=channels)


def _lanczos(case: Case) -> np.ndarray:
    assert case.small is not None
    size = (case.degraded.shape[1], case.degraded.shape[0])
    planes = [PIL.Image.fromarray(np.ascontiguousarray(p, np.float32)) for p in case.small.transpose(2, 0, 1)]
    return np.stack([np.asarray(plane.resize(size, PIL.Image.Resampling.LANCZOS)) for plane in planes], 2)


def _identity(case: Case) -> np.ndarray:
    return case.degraded.astype(np.float64) / 255


def _grid(**values: tuple[float, ...]) -> tuple[dict[str, float], ...]:
    """All combinations of values."""
    settings: list[dict[str, float]] = [{}]
    for name, column in values.items():
        settings = [{**setting, name: value} for setting in settings for value in column]
    return tuple(settings)


NON_LOCAL_MEANS = Tool(
    "non-local means", SKIMAGE,
    "restoration.denoise_nl_means, fast_mode=False, patch_size 5, patch_distance 6, sigma known, h in units of sigma",
    _non_local_means, _grid(h=(0.8, 0.4, 0.5, 0.6, 0.7, 0.9, 1.0, 1.2, 1.4)),
)  # fmt: skip
TOTAL_VARIATION = Tool(
    "total variation", SKIMAGE, "restoration.denoise_tv_chambolle, weight in units of the known sigma",
    lambda case, weight: _total_variation(case, weight, True), _grid(weight=(0.8, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0, 1.2)),
)  # fmt: skip
WIENER = Tool(
    "wiener", SKIMAGE, "restoration.wiener, per channel, reflected borders, kernel known",
    _wiener, _grid(balance=(1e-4, 1e-8, 1e-7, 1e-6, 3e-6, 1e-5, 3e-5, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)),
)  # fmt: skip
UNSHARP = Tool(
    "unsharp mask", SKIMAGE, "filters.unsharp_mask",
    _unsharp, _grid(radius=(2.0, 1.0, 1.5, 3.0, 5.0), amount=(1.0, 0.1, 0.25, 0.5, 1.5, 2.0, 3.0, 5.0, 8.0)),
)  # fmt: skip
TOOLS: dict[str, tuple[Tool, ...]] = {
    "noise": (NON_LOCAL_MEANS, TOTAL_VARIATION, Tool("bm3d", BM3D, "default profile, sigma known", _bm3d)),
    "blur": (WIENER, UNSHARP),
    "motion": (WIENER, UNSHARP),
    "focus": (WIENER, UNSHARP),
    "jpeg": (
        Tool("total variation", SKIMAGE, "restoration.denoise_tv_chambolle",
             _total_variation, _grid(weight=(0.02, 0.002, 0.005, 0.01, 0.015, 0.03, 0.05, 0.08))),
        Tool("bilateral filter", SKIMAGE, "restoration.denoise_bilateral, colour and space are sigmas",
             _bilateral, _grid(colour=(0.05, 0.01, 0.02, 0.03, 0.08), space=(1.0, 0.5, 2.0, 3.0))),
    ),
    "small": (
        Tool("bicubic", PILLOW, "the degraded image itself", _identity),
        Tool("lanczos", PILLOW, "Resampling.LANCZOS of the low-resolution image, in floats", _lanczos),
        UNSHARP,
    ),
}  # fmt: skip
"""the tools for each degradation; lost colour and line drawings have no classical remedy"""
