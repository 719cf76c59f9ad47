"""Networks that enlarge images, as BasicSR has them, under its names of weights, so that its files fit.

MSRResNet: Wang et al. 2018 (ESRGAN), arXiv:1809.00219, and BasicSR; without norm, as EDSR. RRDBNet: the generator of
ESRGAN (section 3.1) and of Real-ESRGAN, Wang et al. 2021, arXiv:2107.10833, which folds its input for scales 2 and 1.
SRVGGNetCompact: the small network of Real-ESRGAN's programs.

B batch, C channels, H, W pixels, s scale; images x [B,C,H,W] -> y [B,C,sH,sW] in [-1,1]. Theirs are in [0,1]: what pads
a convolution is black there.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.nn.residual_blocks import conv3x3

SLOPE, MSR_SLOPE = 0.2, 0.1
"""below 0, of the leaky ReLUs of RRDBNet and of MSRResNet"""
RESIDUAL_SCALE = 0.2
"""what a dense block of RRDBNet, and a group of three, are multiplied by before they are added (section 3.1)"""
INITIAL = 0.1
"""standard deviation of initial weights, in those of He 2015 (section 3.1: smaller initialization)"""
SEEN = 48
"""Pixels of the folded input of an RRDBNet around it that a pixel of its output depends on noticeably. Measured on the
23 blocks of Real-ESRGAN: what is cut off 48 pixels away changes one value in 16, and none by more than 4 of 255."""


class MSRResNet(nn.Module):
    """Residual blocks, pixel shuffles, and a bilinear enlargement beside them."""

    def __init__(self, channels: int, base_channels: int, blocks: int, scale: int) -> None:
        super().__init__()
        self.steps = (3,) if scale == 3 else (2,) * (scale // 2)
        self.scale, self.receptive_radius = scale, 2 * blocks + 4
        self.conv_first = conv3x3(channels, base_channels, INITIAL)
        self.body = nn.Sequential(*(PlainBlock(base_channels) for _ in range(blocks)))
        for k, step in enumerate(self.steps, 1):
            setattr(self, f"upconv{k}", conv3x3(base_channels, base_channels * step**2, INITIAL))
        self.conv_hr = conv3x3(base_channels, base_channels, INITIAL)
        self.conv_last = conv3x3(base_channels, channels, INITIAL)

    def forward(self, x: Tensor) -> Tensor:
        x = (x + 1) / 2
        y = self.body(F.leaky_relu(self.conv_first(x), MSR_SLOPE, True))
        for k, step in enumerate(self.steps, 1):
            y = F.leaky_relu(F.pixel_shuffle(getattr(self, f"upconv{k}")(y), step), MSR_SLOPE, True)
        y = self.conv_last(F.leaky_relu(self.conv_hr(y), MSR_SLOPE, True))
        return 2 * (y + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)) - 1


class PlainBlock(nn.Module):
    """x [B,C,H,W] plus two 3x3 convolutions of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv3x3(channels, channels, INITIAL), conv3x3(channels, channels, INITIAL)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x), True))


class RRDBNet(nn.Module):
    """Groups of dense blocks, then as many doublings by repeated pixels as scale and unshuffle ask for.

    unshuffle: pixels a side that are folded into channels before the first convolution: H and W are multiples of it
    """

    def __init__(
        self, channels: int, base_channels: int, blocks: int, scale: int, growth_channels: int, unshuffle: int
    ) -> None:
        super().__init__()
        self.unshuffle, self.doublings = unshuffle, (scale * unshuffle).bit_length() - 1
        self.receptive_radius = unshuffle * (15 * blocks + 5)
        self.conv_first = conv3x3(channels * unshuffle**2, base_channels, INITIAL)
        self.body = nn.Sequential(*(DenseBlocks(base_channels, growth_channels) for _ in range(blocks)))
        self.conv_body = conv3x3(base_channels, base_channels, INITIAL)
        for k in range(1, self.doublings + 1):
            setattr(self, f"conv_up{k}", conv3x3(base_channels, base_channels, INITIAL))
        self.conv_hr = conv3x3(base_channels, base_channels, INITIAL)
        self.conv_last = conv3x3(base_channels, channels, INITIAL)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv_first(F.pixel_unshuffle((x + 1) / 2, self.unshuffle))
        y = features + self.conv_body(self.body(features))
        for k in range(1, self.doublings + 1):
            y = F.leaky_relu(getattr(self, f"conv_up{k}")(F.interpolate(y, scale_factor=2)), SLOPE, True)
        return 2 * self.conv_last(F.leaky_relu(self.conv_hr(y), SLOPE, True)) - 1


class DenseBlocks(nn.Module):
    """x [B,C,H,W] plus three dense blocks of it (RRDB, figure 4)."""

    def __init__(self, channels: int, growth_channels: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(channels, growth_channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL_SCALE)


class DenseBlock(nn.Module):
    """x [B,C,H,W] plus five 3x3 convolutions, each of x and what those before it have made."""

    def __init__(self, channels: int, growth_channels: int) -> None:
        super().__init__()
        widths = [channels + k * growth_channels for k in range(5)]
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = itertools.starmap(
            conv3x3, zip(widths, (*[growth_channels] * 4, channels), [INITIAL] * 5, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        made = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            made = torch.cat([made, F.leaky_relu(conv(made), SLOPE, True)], 1)
        return torch.add(x, self.conv5(made), alpha=RESIDUAL_SCALE)


class SRVGGNetCompact(nn.Module):
    """Convolutions with PReLU between them at the size of x, one pixel shuffle, and x in repeated pixels beside it."""

    def __init__(self, channels: int, base_channels: int, blocks: int, scale: int) -> None:
        super().__init__()
        self.scale, self.receptive_radius = scale, blocks + 2
        layers: list[nn.Module] = [conv3x3(channels, base_channels), nn.PReLU(base_channels)]
        for _ in range(blocks):
            layers += [conv3x3(base_channels, base_channels), nn.PReLU(base_channels)]
        self.body = nn.Sequential(*layers, conv3x3(base_channels, channels * scale**2, INITIAL))

    def forward(self, x: Tensor) -> Tensor:
        x = (x + 1) / 2
        return 2 * (F.pixel_shuffle(self.body(x), self.scale) + F.interpolate(x, scale_factor=self.scale)) - 1
