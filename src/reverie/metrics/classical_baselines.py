"""Classical tools that repair pictures: what a method has to be better than.

Pictures are uint8 [H,W,C], C = 1 (grey) or 3 (RGB). Each tool is told what it can use: the sigma of the noise, the
kernel of the blur, the small picture itself. What else moves its result is tried out on training pictures.
scikit-image (extra: classical) does the work, and BM3D by its authors where it is installed.
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
    SKIMAGE: "takes scikit-image: pip install 'reverie[classical]'",
    BM3D: "takes its authors' package, free for non-commercial use only: pip install bm3d",
}
"""library -> why a tool is not there, and how to get it"""


class Case(NamedTuple):
    """A picture, what is left of it, and what a tool may be told of how that came about."""

    good: np.ndarray
    spoilt: np.ndarray
    strength: float
    """of the degradation, in its unit"""
    kernel: np.ndarray | None = None
    """[K,K] that it was blurred by"""
    small: np.ndarray | None = None
    """float [h,w,C] in [0,1]: the picture with fewer pixels that was enlarged"""


class Tool(NamedTuple):
    """One classical way to repair."""

    name: str
    library: str
    told: str
    """what it is, in words: the function, what it is told, what stays fixed"""
    act: Callable[..., np.ndarray]
    """(case, **choice) -> float [H,W,C]"""
    choices: tuple[dict[str, float], ...] = ({},)
    """what is tried on training pictures; the first is used where there are none"""

    @property
    def version(self) -> str:
        """Of its library; "" where that is not installed."""
        try:
            return version(self.library)
        except PackageNotFoundError:
            return ""

    def repair(self, case: Case, choice: dict[str, float]) -> np.ndarray:
        """What it makes of a spoilt picture, as a file would hold it."""
        made = self.act(case, **choice).reshape(case.spoilt.shape)
        return (np.nan_to_num(made, nan=0.5).clip(0, 1) * 255).round().astype(np.uint8)

    def chosen(self, training: Sequence[Case]) -> dict[str, float]:
        """The choice of the best mean PSNR on training pictures."""
        if not training or len(self.choices) == 1:
            return self.choices[0]
        good = [case.good for case in training]

        def fitness(choice: dict[str, float]) -> float:
            return float(psnrs([self.repair(case, choice) for case in training], good).mean())

        return max(self.choices, key=fitness)


def _skimage(part: str) -> Any:
    return import_module(f"skimage.{part}")


def _levels(case: Case) -> tuple[np.ndarray, int | None]:
    """The spoilt picture in [0,1], and its axis of channels: 2, since unsharp_mask of scikit-image 0.26 takes -1 for
    the rows; a grey picture has none, since denoise_nl_means takes one channel for rows of pixels."""
    x = case.spoilt.astype(np.float64) / 255
    return (x[:, :, 0], None) if x.shape[2] == 1 else (x, 2)


# -- noise -------------------------------------------------------------------------------------------------------------


def _means(case: Case, h: float) -> np.ndarray:
    x, channels = _levels(case)
    sigma = case.strength / 255
    act = _skimage("restoration").denoise_nl_means
    return act(x, patch_size=5, patch_distance=6, h=h * sigma, sigma=sigma, fast_mode=False, channel_axis=channels)


def _variation(case: Case, weight: float, of_sigma: bool = False) -> np.ndarray:
    x, channels = _levels(case)
    weight *= case.strength / 255 if of_sigma else 1
    return _skimage("restoration").denoise_tv_chambolle(x, weight=weight, channel_axis=channels)


def _bm3d(case: Case) -> np.ndarray:
    x, channels = _levels(case)
    library = import_module("bm3d")
    return (library.bm3d if channels is None else library.bm3d_rgb)(x, case.strength / 255)


# -- blur --------------------------------------------------------------------------------------------------------------


def _wiener(case: Case, balance: float) -> np.ndarray:
    """Each channel goes on mirrored to a period of 2(N-1), as blurring mirrors it: of a kernel that is alike left and
    right, above and below, the blur is then a product of spectra up to the border, so that nothing rings there."""
    assert case.kernel is not None
    x = case.spoilt.astype(np.float64) / 255
    height, width = x.shape[:2]
    more = [max(0, side - 2, k - side) for side, k in zip((height, width), case.kernel.shape, strict=True)]
    wide = np.pad(x, ((0, more[0]), (0, more[1]), (0, 0)), "reflect")
    act = _skimage("restoration").wiener
    made = [act(wide[:, :, c], case.kernel, balance, clip=False) for c in range(x.shape[2])]
    return np.stack(made, 2)[:height, :width]


def _unsharp(case: Case, radius: float, amount: float) -> np.ndarray:
    x, channels = _levels(case)
    return _skimage("filters").unsharp_mask(x, radius=radius, amount=amount, channel_axis=channels)


# -- JPEG and few pixels -----------------------------------------------------------------------------------------------


def _bilateral(case: Case, colour: float, space: float) -> np.ndarray:
    x, channels = _levels(case)
    act = _skimage("restoration").denoise_bilateral
    return act(x, sigma_color=colour, sigma_spatial=space, channel_axis=channels)


def _enlarged(case: Case) -> np.ndarray:
    assert case.small is not None
    size = (case.spoilt.shape[1], case.spoilt.shape[0])
    planes = [PIL.Image.fromarray(np.ascontiguousarray(p, np.float32)) for p in case.small.transpose(2, 0, 1)]
    return np.stack([np.asarray(plane.resize(size, PIL.Image.Resampling.LANCZOS)) for plane in planes], 2)


def _as_it_is(case: Case) -> np.ndarray:
    return case.spoilt.astype(np.float64) / 255


def _each(**values: tuple[float, ...]) -> tuple[dict[str, float], ...]:
    """All combinations of values."""
    found: list[dict[str, float]] = [{}]
    for name, column in values.items():
        found = [{**choice, name: value} for choice in found for value in column]
    return tuple(found)


NON_LOCAL = Tool(
    "non-local means", SKIMAGE,
    "restoration.denoise_nl_means, not its fast mode, patches of 5 pixels within 6, sigma known, h in sigmas",
    _means, _each(h=(0.8, 0.4, 0.5, 0.6, 0.7, 0.9, 1.0, 1.2, 1.4)),
)  # fmt: skip
VARIATION = Tool(
    "total variation", SKIMAGE, "restoration.denoise_tv_chambolle, weight in sigmas of the noise, which is known",
    lambda case, weight: _variation(case, weight, True), _each(weight=(0.8, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0, 1.2)),
)  # fmt: skip
WIENER = Tool(
    "wiener", SKIMAGE, "restoration.wiener, each channel, mirrored at the borders, kernel known",
    _wiener, _each(balance=(1e-4, 1e-8, 1e-7, 1e-6, 3e-6, 1e-5, 3e-5, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)),
)  # fmt: skip
UNSHARP = Tool(
    "unsharp mask", SKIMAGE, "filters.unsharp_mask",
    _unsharp, _each(radius=(2.0, 1.0, 1.5, 3.0, 5.0), amount=(1.0, 0.1, 0.25, 0.5, 1.5, 2.0, 3.0, 5.0, 8.0)),
)  # fmt: skip
TOOLS: dict[str, tuple[Tool, ...]] = {
    "noise": (NON_LOCAL, VARIATION, Tool("bm3d", BM3D, "its usual profile, sigma known", _bm3d)),
    "blur": (WIENER, UNSHARP),
    "motion": (WIENER, UNSHARP),
    "focus": (WIENER, UNSHARP),
    "jpeg": (
        Tool("total variation", SKIMAGE, "restoration.denoise_tv_chambolle",
             _variation, _each(weight=(0.02, 0.002, 0.005, 0.01, 0.015, 0.03, 0.05, 0.08))),
        Tool("bilateral filter", SKIMAGE, "restoration.denoise_bilateral, colour and space: sigmas",
             _bilateral, _each(colour=(0.05, 0.01, 0.02, 0.03, 0.08), space=(1.0, 0.5, 2.0, 3.0))),
    ),
    "small": (
        Tool("bicubic", PILLOW, "which is what is given, as it is", _as_it_is),
        Tool("lanczos", PILLOW, "Resampling.LANCZOS of the small picture, in floats", _enlarged),
        UNSHARP,
    ),
}  # fmt: skip
"""what there is against a degradation; colour that was lost, or lines that are left, have no classical remedy"""
