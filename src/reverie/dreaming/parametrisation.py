"""How an image that begins as noise is described: by its frequencies, by their phases alone, or by its pixels.

Olah, Mordvintsev, Schubert 2017, "Feature visualization", doi:10.23915/distill.00007 (preconditioning: frequencies and
decorrelated colours); Fel et al. 2023, "Unlocking feature visualization for deeper networks with magnitude constrained
optimization", arXiv:2306.06805 (MACO: phases alone).
B batch, H, W pixels; images [B,3,H,W] in [-1,1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from reverie.dreaming.photographs import AXES, MEAN, VARIANCES, recoloured, spectrum

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
    """Frequencies along the axes of photographs' colours, each in units of its strength in photographs.

    Olah 2017 takes 1 / frequency for all three; photographs have less of the high ones, least in their colours.

    start: the image to begin with, [B,3,H,W] in [-1,1]
    """
    height, width = start.shape[2:]
    scale = spectrum(height, width)
    scale[:, 0, 0] = scale[:, 0, 1]
    planes = along_axes(torch.atanh(start.clamp(-0.98, 0.98)) - _mean(), inverse=True)
    values = torch.view_as_real(torch.fft.rfft2(planes, norm="ortho") / scale).clone().requires_grad_()

    def image() -> Tensor:
        strengths = torch.view_as_complex(values) * scale
        return torch.tanh(along_axes(torch.fft.irfft2(strengths, s=(height, width), norm="ortho")) + _mean())

    return Parametrisation(values, image, 0.1)


def phases(noise: Tensor) -> Parametrisation:
    """Phases alone: the magnitudes are those of photographs and stay so (MACO).

    noise: [B,3,H,W], whose phases it begins with
    """
    height, width = noise.shape[2:]
    magnitude = spectrum(height, width)
    values = torch.fft.rfft2(noise).angle().clone().requires_grad_()

    def image() -> Tensor:
        planes = torch.fft.irfft2(torch.polar(magnitude.expand_as(values), values), s=(height, width), norm="ortho")
        return torch.tanh(along_axes(planes) + _mean())

    return Parametrisation(values, image, 0.2)


def pixels(start: Tensor) -> Parametrisation:
    """Every pixel by itself: for comparison, since what comes out is mostly noise."""
    values = torch.atanh(start.clamp(-0.98, 0.98)).clone().requires_grad_()
    return Parametrisation(values, lambda: torch.tanh(values), 0.05)


def along_axes(planes: Tensor, inverse: bool = False) -> Tensor:
    """Planes [B,3,H,W] along the axes of photographs' colours, in units of deviations, as colours; or the inverse."""
    matrix = torch.tensor(AXES) * torch.tensor(VARIANCES).sqrt()
    return recoloured(planes, torch.linalg.inv(matrix) if inverse else matrix)


def faint_noise(noise: Tensor) -> Tensor:
    """White noise [B,3,H,W] as a faint image with the colours and frequencies of photographs."""
    height, width = noise.shape[2:]
    strengths = torch.fft.rfft2(noise, norm="ortho") * spectrum(height, width)
    planes = torch.fft.irfft2(strengths, s=(height, width), norm="ortho")
    return (FAINT * along_axes(planes)).clamp(-1, 1)


def _mean() -> Tensor:
    """The mean colour of photographs, [3,1,1]."""
    return torch.tensor(MEAN).view(3, 1, 1)
