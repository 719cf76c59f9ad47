"""What convolutional networks share.   B batch, Z latents, C channels, H = W pixels; images [B,C,H,W] in [-1,1].

The shape is DCGAN's (Radford 2015, arXiv:1511.06434, section 3): strides in place of pooling, between the image and
maps of 4x4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn


def power_of_two_from(side: int) -> int:
    """The smallest power of two that is not below `side`."""
    return 1 << (side - 1).bit_length()


def size_for(native: int) -> int:
    """Pixels a side for images of `native` pixels: the power of two that is not below, from 16 to 64."""
    return min(64, max(16, power_of_two_from(native)))


def base_channels_for(size: int) -> int:
    """A base_channels at which a step costs about the same at every size: 64 channels at 32 pixels, 32 at 64 ..."""
    return max(8, 2048 // power_of_two_from(size))


def maps(size: int, base_channels: int) -> list[int]:
    """Channels of the maps from half the side down to 4x4: 1, 2, 4, 8, 8 ... times the base_channels."""
    return [base_channels * min(2**k, 8) for k in range(int(math.log2(size)) - 2)]


class Generator(nn.Module):
    """z [B,Z] -> images [B,C,H,W]: projected to 4x4, then fractionally strided (section 3; figure 1)."""

    def __init__(self, size: int, channels: int, base_channels: int, latent_dim: int) -> None:
        super().__init__()
        widths = maps(size, base_channels)[::-1]  # from 4x4 up to half the side
        layers: list[nn.Module] = [
            nn.Unflatten(1, (latent_dim, 1, 1)),
            nn.ConvTranspose2d(latent_dim, widths[0], 4, bias=False),
        ]
        for wide, narrow in pairwise(widths):
            layers += [nn.BatchNorm2d(wide), nn.ReLU(True), nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)]
        layers += [
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(True),
            nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1),
            nn.Tanh(),
        ]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)

    @torch.no_grad()
    def first(self) -> Tensor:
        """How z enters [Z,D]: what the first layer makes of each number of it, in the units of its norm."""
        enter, norm = self.layers[1], self.layers[2]
        assert isinstance(enter, nn.ConvTranspose2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_var is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return (enter.weight * scale[:, None, None]).flatten(1)  # of [Z,N,4,4]


class Trunk(nn.Sequential):
    """Images [B,C,H,W] -> maps [B,N,4,4] with N = `channels`, a step for each halving of the side."""

    def __init__(self, size: int, channels: int, base_channels: int, norm: Callable[[int], nn.Module]) -> None:
        widths = maps(size, base_channels)
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2, True))]
        for narrow, wide in pairwise(widths):
            layers.append(nn.Sequential(nn.Conv2d(narrow, wide, 4, 2, 1), norm(wide), nn.LeakyReLU(0.2, True)))
        super().__init__(*layers)
        self.channels = widths[-1]
        self.apply(initialise)


def doubled(inputs: int, outputs: int, upsampling: str, kernel: int, bias: bool) -> nn.Module:
    """[B,C,H,W] -> [B,C',2H,2W] by a transposed convolution of `kernel` 3 or 4, or ("resize") by pixels repeated and
    convolved.

    Transposed convolutions can lay a grid over all that is made of them (Odena 2016, Deconvolution and Checkerboard
    Artifacts).
    """
    if upsampling == "resize":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, 1, 1, bias=bias))
    return nn.ConvTranspose2d(inputs, outputs, kernel, 2, 1, kernel % 2, bias=bias)


def initialise(layer: nn.Module) -> None:
    """N(0, 0.02) for all weights (section 4); gains of batch norm around 1, as in the authors' code."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, 0.02)
