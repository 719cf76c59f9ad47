"""How an image that begins as noise is described: by its frequencies, by their phases alone, or by its pixels.

Olah, Mordvintsev, Schubert 2017, "Feature visualization", doi:10.23915/distill.00007 (preconditioning: frequencies and
decorrelated colours); Fel et al. 2023, "Unlocking feature visualization for deeper networks with magnitude constrained
optimization", arXiv:2306.06805 (MACO: phases alone).
B batch, H, W pixels; images [B,3,H,W] in [-1,1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from reverie.dreaming.photographs import AXES, MEAN, VARIANCES, colour_power, recoloured, spectrum

FAINT = 0.3
"""contrast of the noise that an image begins as, as a share of photographs'"""


class Parametrisation(NamedTuple):
    """What is optimised, and the image that it stands for."""

    parameters: Tensor
    """with a gradient"""
    image: Callable[[], Tensor]
    """-> [B,3,H,W] in [-1,1]"""
    lr: float
    """learning rate of Adam that suits it"""


def fourier(start: Tensor) -> Parametrisation:
    """Frequencies of decorrelated colours, each in units of its strength in photographs (Olah 2017).

    start: the image to begin with, [B,3,H,W] in [-1,1]
    """
    height, width = start.shape[2:]
    scale = _smoothly_decaying(height, width)
    flat = recoloured(torch.atanh(start.clamp(-0.98, 0.98)), colour_power(-0.5))
    values = torch.view_as_real(torch.fft.rfft2(flat, norm="ortho") / scale).clone().requires_grad_()

    def image() -> Tensor:
        plane = torch.fft.irfft2(torch.view_as_complex(values) * scale, s=(height, width), norm="ortho")
        return torch.tanh(recoloured(plane, colour_power(0.5)))

    return Parametrisation(values, image, 0.05)


def phases(noise: Tensor) -> Parametrisation:
    """Phases alone: the magnitudes are those of photographs and stay so (MACO).

    noise: [B,3,H,W], whose phases it begins with
    """
    height, width = noise.shape[2:]
    magnitude = spectrum(height, width)
    values = torch.fft.rfft2(noise).angle().clone().requires_grad_()
    to_colours = torch.tensor(MEAN).view(3, 1, 1)

    def image() -> Tensor:
        planes = torch.fft.irfft2(torch.polar(magnitude.expand_as(values), values), s=(height, width), norm="ortho")
        return torch.tanh(along_axes(planes) + to_colours)

    return Parametrisation(values, image, 0.5)


def pixels(start: Tensor) -> Parametrisation:
    """Every pixel by itself: for comparison, since what comes out is mostly noise."""
    values = torch.atanh(start.clamp(-0.98, 0.98)).clone().requires_grad_()
    return Parametrisation(values, lambda: torch.tanh(values), 0.05)


def along_axes(planes: Tensor) -> Tensor:
    """Planes [B,3,H,W] along the axes of photographs' colours, in units of deviations, as colours."""
    return recoloured(planes, torch.tensor(AXES) * torch.tensor(VARIANCES).sqrt())


def faint_noise(noise: Tensor) -> Tensor:
    """White noise [B,3,H,W] as a faint image with the colours and frequencies of photographs."""
    height, width = noise.shape[2:]
    strengths = torch.fft.rfft2(noise, norm="ortho") * spectrum(height, width)
    planes = torch.fft.irfft2(strengths, s=(height, width), norm="ortho")
    return (FAINT * along_axes(planes)).clamp(-1, 1)


def _smoothly_decaying(height: int, width: int) -> Tensor:
    """Proportional to 1 / frequency, [1,H,W//2+1]; at frequency 0 as at the lowest other one."""
    rows = torch.fft.fftfreq(height) * height
    columns = torch.fft.rfftfreq(width) * width
    f = torch.hypot(rows[:, None], columns[None].expand(height, -1)).clamp(min=1)
    return (math.sqrt(height * width) / f / 10)[None]
