"""What photographs have in common: how their colours vary, and how strong each frequency is in them.

Measured on 296 photographs of Yanakz/Scene (MIT licence), centre squares at 224 pixels. B batch, H, W pixels; images
[B,3,H,W] in [-1,1].
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

MEAN = (-0.058, -0.014, -0.026)
"""of red, green and blue in [-1,1]"""
VARIANCES = (0.0080, 0.0721, 0.7454)
"""along the axes: green against purple, blue against red, and luminance"""
AXES = ((0.4633, -0.6970, -0.5473), (-0.8140, -0.0904, -0.5739), (0.3505, 0.7114, -0.6092))
"""of red, green and blue along each axis: eigenvectors of the covariance of colours, in columns"""
FREQUENCIES = (1 / 224, 2 / 224, 4 / 224, 8 / 224, 16 / 224, 32 / 224, 64 / 224, 1 / 2)
"""cycles per pixel"""
MAGNITUDES = (
    (33.98, 45.43, 59.09), (11.45, 12.59, 16.14), (4.900, 4.921, 6.069), (2.251, 2.045, 2.596),
    (0.9988, 0.7710, 1.096), (0.3264, 0.2079, 0.4984), (0.0848, 0.0598, 0.2202), (0.0366, 0.0219, 0.0788),
)  # fmt: skip
"""mean magnitude of the orthonormal Fourier transform at each frequency, along each axis in units of its deviation"""


def colour_power(power: float) -> Tensor:
    """The covariance of photographs' colours to a power, [3,3]: a half turns white noise into their colours."""
    axes = torch.tensor(AXES)
    return axes @ torch.diag(torch.tensor(VARIANCES) ** power) @ axes.T


def recoloured(x: Tensor, matrix: Tensor) -> Tensor:
    """The colours of x [B,3,H,W] times a matrix [3,3]."""
    return torch.einsum("ij,bjhw->bihw", matrix.to(x), x)


def spectrum(height: int, width: int) -> Tensor:
    """The mean magnitude of photographs at the frequencies of torch.fft.rfft2, [3,H,W//2+1]; 0 at frequency 0.

    Between those measured it is interpolated in logarithms; an image of any size is taken as 224 pixels wide, so that
    what is large in a photograph is large in it.
    """
    rows, columns = np.fft.fftfreq(height), np.fft.rfftfreq(width)
    f = np.hypot(rows[:, None] * height, columns[None] * width) / 224
    f = np.maximum(f, 1e-9)
    planes = [
        np.exp(np.interp(np.log(f), np.log(FREQUENCIES), np.log([magnitude[axis] for magnitude in MAGNITUDES])))
        for axis in range(3)
    ]
    found = torch.from_numpy(np.stack(planes)).float() * (
        math.sqrt(height * width) / 224
    )  # of an orthonormal transform
    found[:, 0, 0] = 0
    return found
