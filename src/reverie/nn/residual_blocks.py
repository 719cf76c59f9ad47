"""Residual blocks without norm, of networks that restore images.   B batch, C channels, H, W pixels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x [B,C,H,W] plus two 3x3 convolutions of it (EDSR: Lim 2017, arXiv:1707.02921, section 3.1).

    Without batch norm, which takes the range of an image from a network that has to give it back. The last convolution
    starts at a tenth of He's standard deviation, so that deep stacks start near the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv3x3(channels, channels)
        self.second = conv3x3(channels, channels, scale=0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


def residual_blocks(channels: int, n: int) -> nn.Sequential:
    """n residual blocks, one after another."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(n)))


def conv3x3(in_channels: int, out_channels: int, scale: float = 1.0) -> nn.Conv2d:
    """A 3x3 convolution that keeps H and W, with weights after He 2015, arXiv:1502.01852, times `scale`; biases 0."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight)
    conv.weight.data.mul_(scale)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
