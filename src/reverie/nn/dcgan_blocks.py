"""Convolutional blocks of DCGAN.   B batch, Z latent dimensions, C channels, H = W pixels; images [B,C,H,W] in [-1,1].

Radford 2015, arXiv:1511.06434, section 3: strided convolutions in place of pooling, between the image and feature maps
of 4x4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn


def next_power_of_two(side: int) -> int:
    """The smallest power of two that is not below `side`, 1 or more."""
    return 1 << (side - 1).bit_length()


def default_size(native: int) -> int:
    """Pixels per side for images of `native` pixels: the next power of two, from 16 to 64."""
    return min(64, max(16, next_power_of_two(native)))


def default_base_channels(size: int) -> int:
    """base_channels with which a step takes about the same time at every size: 64 at 32 pixels, 32 at 64 ..."""
    return max(8, 2048 // next_power_of_two(size))


def layer_channels(size: int, base_channels: int) -> list[int]:
    """Channels of the feature maps from half the side down to 4x4: 1, 2, 4, 8, 8 ... times base_channels."""
    return [base_channels * min(2**k, 8) for k in range(int(math.log2(size)) - 2)]


class Generator(nn.Module):
    """z [B,Z] -> images [B,C,H,W]: projected to 4x4, then transposed convolutions (section 3; figure 1)."""

    def __init__(self, size: int, channels: int, base_channels: int, latent_dim: int) -> None:
        super().__init__()
        widths = layer_channels(size, base_channels)[::-1]  # from 4x4 up to half the side
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
        self.apply(init_weights)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)

    def first_layer_weight(self) -> Tensor:
        """The weight of the first layer [Z,D], scaled by the batch norm after it: what each latent dimension adds."""
        projection = self.layers[1]
        assert isinstance(projection, nn.ConvTranspose2d)
        return scaled_projection(projection.weight.flatten(2), self.layers[2])


class ResizeGenerator(nn.Module):
    """z [B,Z] -> images [B,C,H,W]: a linear layer to 4x4, then nearest-neighbour upsampling and 3x3 convolutions.

    Without transposed convolutions there is no checkerboard (Odena 2016). The last step, from half the side, is a
    convolution to 4C channels and a pixel shuffle (Shi 2016, arXiv:1609.05158), which takes half the time of one at
    full size. It begins as nearest-neighbour upsampling too, since random weights would begin as a checkerboard (Aitken
    2017, arXiv:1707.02937, section 3.2).
    """

    def __init__(self, size: int, channels: int, base_channels: int, latent_dim: int) -> None:
        super().__init__()
        widths = layer_channels(size, base_channels)[::-1]  # from 4x4 up to half the side
        layers: list[nn.Module] = [nn.Linear(latent_dim, widths[0] * 16), nn.Unflatten(1, (widths[0], 4, 4))]
        layers += [nn.BatchNorm2d(widths[0]), nn.ReLU(True)]
        for wide, narrow in pairwise(widths):
            layers += [upsample_layer(wide, narrow, "resize", 3, bias=False), nn.BatchNorm2d(narrow), nn.ReLU(True)]
        last = nn.Conv2d(widths[-1], 4 * channels, 3, 1, 1)
        layers += [last, nn.PixelShuffle(2), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(init_weights)
        for tensor in (last.weight, last.bias):  # the four pixels that share a place are alike
            assert tensor is not None
            tensor.data = tensor.data[::4].repeat_interleave(4, 0)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)

    def first_layer_weight(self) -> Tensor:
        """As Generator.first_layer_weight."""
        projection = self.layers[0]
        assert isinstance(projection, nn.Linear)
        return scaled_projection(projection.weight.T.unflatten(1, (-1, 16)), self.layers[2])


@torch.no_grad()
def scaled_projection(weight: Tensor, norm: nn.Module) -> Tensor:
    """A weight [Z,N,16] from z to maps of N channels and 4x4, scaled by the batch norm after it: [Z,16N]."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    return (weight * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None]).flatten(1)


GENERATORS: dict[str, type[Generator] | type[ResizeGenerator]] = {"transposed": Generator, "resize": ResizeGenerator}
"""by the value of the option `upsampling`"""


class ConvTrunk(nn.Sequential):
    """Images [B,C,H,W] -> feature maps [B,N,4,4] with N = `channels`: one layer for each halving of the side."""

    def __init__(self, size: int, channels: int, base_channels: int, norm: Callable[[int], nn.Module]) -> None:
        widths = layer_channels(size, base_channels)
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2, True))]
        for narrow, wide in pairwise(widths):
            layers.append(nn.Sequential(nn.Conv2d(narrow, wide, 4, 2, 1), norm(wide), nn.LeakyReLU(0.2, True)))
        super().__init__(*layers)
        self.channels = widths[-1]
        self.apply(init_weights)


NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "none": nn.Identity}
"""of a discriminator, by the value of the option `norm`"""


def trunk_discriminator(size: int, channels: int, base_channels: int, norm: Callable[[int], nn.Module]) -> nn.Module:
    """A discriminator of images [B,C,H,W] -> logits [B]: a ConvTrunk and a linear layer."""
    trunk = ConvTrunk(size, channels, base_channels, norm)
    return nn.Sequential(trunk, nn.Flatten(), nn.Linear(16 * trunk.channels, 1), nn.Flatten(0))


def upsample_layer(in_channels: int, out_channels: int, upsampling: str, kernel: int, bias: bool) -> nn.Module:
    """[B,C,H,W] -> [B,C',2H,2W] by a transposed convolution of `kernel` 3 or 4, or by nearest-neighbour upsampling and
    a convolution ("resize").

    Transposed convolutions can leave checkerboard artefacts (Odena 2016, Deconvolution and Checkerboard Artifacts).
    """
    if upsampling == "resize":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=bias))
    return nn.ConvTranspose2d(in_channels, out_channels, kernel, 2, 1, kernel % 2, bias=bias)


def init_weights(layer: nn.Module) -> None:
    """N(0, 0.02) for the weights of convolutions (section 4), N(1, 0.02) for batch norm (the authors' code)."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, 0.02)
