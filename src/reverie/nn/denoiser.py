"""A convolutional network that restores images.   B batch, C channels, H, W pixels; images [B,C,H,W] about [-1,1]."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Denoiser(nn.Module):
    """x [B,C,H,W] -> y [B,C',H,W]; it predicts the residual y - x, as DnCNN does. H and W: multiples of 2.

    DnCNN: Zhang 2017, arXiv:1608.03981, section III.B. The stack of 3x3 convolutions runs at half the side, with four
    pixels as the channels of one (FFDNet: Zhang 2017, arXiv:1710.04026, section III): a quarter of the work, and twice
    the receptive field. A pixel of y depends on the `receptive_radius` pixels of x around it and no others, so that
    tiles that overlap by these are exact.
    """

    def __init__(self, in_channels: int, out_channels: int, base_channels: int, depth: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.receptive_radius = 2 * depth + 2
        layers: list[nn.Module] = [nn.Conv2d(4 * in_channels, base_channels, 3, padding=1), nn.ReLU(True)]
        for _ in range(depth - 2):
            layers.append(nn.Conv2d(base_channels, base_channels, 3, padding=1, bias=False))
            layers += [nn.BatchNorm2d(base_channels), nn.ReLU(True)]
        last = nn.Conv2d(base_channels, 4 * out_channels, 3, padding=1)
        self.layers = nn.Sequential(*layers, last)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
        nn.init.normal_(last.weight, 0, 1e-3)  # so that y is about x at first
        assert last.bias is not None
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        residual = F.pixel_shuffle(self.layers(F.pixel_unshuffle(x, 2)), 2)
        if self.in_channels == self.out_channels or self.in_channels == 1:  # one channel is broadcast to all
            return x + residual
        return x.mean(1, keepdim=True) + residual
