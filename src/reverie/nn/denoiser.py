"""A network that repairs pictures.   B batch, C channels, H, W pixels; images [B,C,H,W], mostly in [-1,1]."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Denoiser(nn.Module):
    """x [B,C,H,W] -> y [B,C',H,W], H and W multiples of 2: what is to be added to x (Zhang 2017a, section III.B).

    A stack of 3x3 convolutions at half the side, where four pixels are the channels of one (Zhang 2017b, FFDNet,
    arXiv:1710.04026, section III): a quarter of the work, and twice the reach. A pixel of y depends on `reach` pixels
    of x around it and no others, so that tiles that share these are exact.
    """

    def __init__(self, in_channels: int, out_channels: int, base_channels: int, depth: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.reach = in_channels, out_channels, 2 * depth + 2
        layers: list[nn.Module] = [nn.Conv2d(4 * in_channels, base_channels, 3, padding=1), nn.ReLU(True)]
        for _ in range(depth - 2):
            layers += [
                nn.Conv2d(base_channels, base_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(base_channels),
                nn.ReLU(True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(base_channels, 4 * out_channels, 3, padding=1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
        last = self.layers[-1]
        assert isinstance(last, nn.Conv2d)
        nn.init.normal_(last.weight, 0, 1e-3)  # at first little is added
        assert last.bias is not None
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        added = F.pixel_shuffle(self.layers(F.pixel_unshuffle(x, 2)), 2)
        if self.in_channels == self.out_channels:
            return x + added
        return (x if self.in_channels == 1 else x.mean(1, keepdim=True)) + added  # grey in, colour out, or the other way
