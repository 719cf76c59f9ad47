"""Fourier units: layers that see the whole image at once.   B batch, C channels, H, W positions of any number.

Fast Fourier convolution (Chi, Jiang, Mu 2020, NeurIPS 33, section 3.2), as used for large masks by LaMa (Suvorov 2021,
arXiv:2109.07161, section 2.1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.nn.residual_blocks import conv3x3


class FourierUnit(nn.Module):
    """x [B,C,H,W] -> [B,C,H,W]: one linear map and ReLU of each frequency's coefficients, the same for all frequencies.

    So each position of the output depends on all of x, at the cost of a 1x1 convolution and two FFTs, for any H and W.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, 2 * channels, 1)
        nn.init.kaiming_normal_(self.mix.weight)
        assert self.mix.bias is not None
        nn.init.zeros_(self.mix.bias)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # there is no FFT in bf16
            spectrum = torch.fft.rfft2(x.float(), norm="ortho")
            mixed = F.relu(self.mix(torch.cat([spectrum.real, spectrum.imag], 1)))
            real, imaginary = mixed.chunk(2, 1)
            return torch.fft.irfft2(torch.complex(real, imaginary), x.shape[2:], norm="ortho").to(x.dtype)


class FourierBlock(nn.Module):
    """x [B,C,H,W] plus two 3x3 convolutions of it, with a Fourier unit between them on half of the channels; C even."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv3x3(channels, channels), conv3x3(channels, channels, scale=0.1)
        self.unit = FourierUnit(channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        near, far = F.relu(self.first(x)).chunk(2, 1)
        return x + self.second(torch.cat([near, self.unit(far)], 1))
