"""How noisy a photo is.   C channels, H, W pixels; images [1,C,H,W] in [-1,1]."""

from __future__ import annotations

from statistics import mean

import torch.nn.functional as F
from torch import Tensor

DB2_HIGHPASS = (-0.12940952, -0.22414387, 0.83651630, -0.48296291)
"""the high-pass filter of the Daubechies wavelet of two vanishing moments"""
MAD_OF_STANDARD_NORMAL = 0.67448975
"""median of the absolute value of a standard normal variable"""
FLAT = 1e-4
"""below this, a coefficient is rounding of floats: of an area that is clipped, or painted"""


def estimate_sigma(x: Tensor) -> float:
    """The sigma, in levels of 255, of white Gaussian noise in a photo x [1,C,H,W]; the mean over channels.

    The median absolute deviation of the finest diagonal wavelet coefficients, where a photo has little but noise
    (Donoho & Johnstone 1994, Ideal spatial adaptation by wavelet shrinkage, section 4). Flat areas are left out: they
    are clipped, or painted. Fine texture counts as noise (3 levels on average in 20 photos of BSDS without any), and
    strong noise, which is clipped at black and white, is underestimated (46 for 50).
    """
    missing = (0, max(0, 4 - x.shape[3]), 0, max(0, 4 - x.shape[2]))
    medians = []
    for plane in F.pad(x, missing, "replicate")[0] if any(missing) else x[0]:
        coefficients = _detail(_detail(plane).mT).abs()
        textured = coefficients[coefficients > FLAT]
        medians.append(float(textured.median()) if len(textured) else 0.0)
    return mean(medians) * 127.5 / MAD_OF_STANDARD_NORMAL


def _detail(x: Tensor) -> Tensor:
    """The finest wavelet coefficients of x [M,N] along its last axis, [M,N//2-1]."""
    n = x.shape[1] // 2 - 1
    detail = DB2_HIGHPASS[0] * x[:, : 2 * n : 2]
    for k, weight in enumerate(DB2_HIGHPASS[1:], 1):
        detail.add_(x[:, k : k + 2 * n : 2], alpha=weight)
    return detail
