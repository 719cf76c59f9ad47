"""Convolutional networks that restore images.   B batch, C channels, H, W pixels; images [B,C,H,W] about [-1,1].

Both work at half the side, with four pixels as the channels of one (FFDNet: Zhang 2017, arXiv:1710.04026, section
III-B): a quarter of the work, and twice the receptive field. With `noise_map`, the sigma of the noise of each image
[B,1,1,1], in units of x, is one more channel. A pixel of y depends on the `receptive_radius` pixels of x around
it and no others, so that tiles that overlap by these are exact. H and W: multiples of `multiple`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.nn.residual_blocks import conv3x3, residual_blocks


class Denoiser(nn.Module):
    """x [B,C,H,W] -> y [B,C',H,W]; it predicts the residual y - x, at first 0, by residual blocks without norm.

    The blocks are EDSR's (Lim 2017, arXiv:1707.02921, section 3.1), the noise map is FFDNet's.
    """

    multiple = 2

    def __init__(
        self, in_channels: int, out_channels: int, base_channels: int, blocks: int, noise_map: bool = False
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.receptive_radius = 2 * (2 * blocks + 2) + 1
        self.head = conv3x3(4 * in_channels + noise_map, base_channels)
        self.blocks = residual_blocks(base_channels, blocks)
        self.tail = conv3x3(base_channels, 4 * out_channels, scale=0.01)

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        features = self.head(with_noise_map(F.pixel_unshuffle(x, 2), sigma))
        residual = F.pixel_shuffle(self.tail(self.blocks(features)), 2)
        if self.in_channels == self.out_channels or self.in_channels == 1:  # one channel is broadcast to all
            return x + residual
        return x.mean(1, keepdim=True) + residual


class FFDNet(nn.Sequential):
    """x [B,C,H,W] -> y [B,C',H,W] itself: convolutions with batch norm, of which there are `depth` (FFDNet, III-A)."""

    multiple = 2

    def __init__(
        self, in_channels: int, out_channels: int, base_channels: int, depth: int, noise_map: bool = False
    ) -> None:
        layers: list[nn.Module] = [conv3x3(4 * in_channels + noise_map, base_channels), nn.ReLU(True)]
        for _ in range(depth - 2):
            layers.append(nn.Conv2d(base_channels, base_channels, 3, padding=1, bias=False))
            layers += [nn.BatchNorm2d(base_channels), nn.ReLU(True)]
        super().__init__(*layers, conv3x3(base_channels, 4 * out_channels))
        self.receptive_radius = 2 * depth + 1

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        return F.pixel_shuffle(super().forward(with_noise_map(F.pixel_unshuffle(x, 2), sigma)), 2)


def with_noise_map(x: Tensor, sigma: Tensor | None) -> Tensor:
    """x [B,C,H,W] with sigma [B,1,1,1] as one more channel; x itself without."""
    return x if sigma is None else torch.cat([x, sigma.expand(len(x), 1, *x.shape[2:])], 1)
