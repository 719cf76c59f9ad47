"""A U-Net whose encoder is the frozen ImageNet network (imagenet.py).   B batch, C channels, H, W pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.nn.feature_discriminator import FrozenFeatures
from reverie.nn.imagenet import MAP_CHANNELS
from reverie.nn.unet import norm_layer

STRIDES = (2, 4, 8, 16, 32)
"""of the frozen network's maps that the decoder reads"""
WIDTHS = dict(zip(STRIDES, (2, 2, 3, 4, 4), strict=True))
"""channels of the decoder at each stride, as a multiple of base_channels"""
SEEN_SIDE, MOST_ZOOM = 128, 4
"""pixels a side at which the frozen network, which has learnt at 224, sees images of the size of training, at least;
and the factor by which these are enlarged at most"""


class FrozenEncoder(nn.Module):
    """x [B,C,H,W] in [-1,1] -> y [B,D,H/s,W/s], D and s the attributes `width` and `stride`; H, W multiples of 32.

    After U-Net (Ronneberger 2015, arXiv:1505.04597), whose encoder is trained: here maps of EfficientNet-Lite0 of all
    strides from s on are joined, from the deepest outwards, each by a 3x3 convolution.
    """

    def __init__(
        self, base_channels: int, size: int, fingerprint: str, norm: str = "batch", dropout: float = 0.5,
        strides: Sequence[int] = STRIDES,
    ) -> None:  # fmt: skip
        """size: pixels a side of training; fingerprint: of the frozen weights; dropout: of whole channels of its maps.

        Images are enlarged before the frozen network by one factor, a power of two, whatever their size.
        """
        super().__init__()
        self.zoom = min(MOST_ZOOM, max(1, SEEN_SIDE // size))
        self.features = FrozenFeatures(fingerprint, strides, min_side=0)
        self.dropout = nn.Dropout2d(dropout)
        self.norms, self.joins = nn.ModuleList(), nn.ModuleList()  # from the deepest map outwards
        self.width, self.stride = 0, strides[0] // self.zoom
        for stride in reversed(strides):
            wider = base_channels * WIDTHS[stride]
            self.norms.append(norm_layer(norm, MAP_CHANNELS[stride]))
            self.joins.append(conv_layer(self.width + MAP_CHANNELS[stride], wider, norm))
            self.width = wider

    def forward(self, x: Tensor) -> Tensor:
        seen = F.interpolate(x, scale_factor=self.zoom, mode="bilinear", align_corners=False) if self.zoom > 1 else x
        with torch.no_grad():
            maps = self.features(seen)
        y = None
        for m, norm, join in zip(reversed(maps), self.norms, self.joins, strict=True):
            m = self.dropout(norm(m))
            if y is not None:
                m = torch.cat([F.interpolate(y, m.shape[2:], mode="bilinear", align_corners=False), m], 1)
            y = join(m)
        assert y is not None
        return y


class FrozenEncoderUNet(FrozenEncoder):
    """x [B,C,H,W] in [-1,1] -> y [B,C',H,W], H and W multiples of 32: a logit of each class, or values.

    The last layer sees edges of x itself.
    """

    def __init__(
        self, in_channels: int, out_channels: int, base_channels: int, size: int, fingerprint: str,
        norm: str = "batch", dropout: float = 0.5, logits: bool = True,
    ) -> None:  # fmt: skip
        """logits: y is not bounded to [-1,1] by tanh; the others are those of FrozenEncoder."""
        super().__init__(base_channels, size, fingerprint, norm, dropout)
        self.bounds = nn.Identity() if logits else nn.Tanh()
        self.edges = conv_layer(in_channels, base_channels, norm)
        self.last = nn.Sequential(
            conv_layer(self.width + base_channels, base_channels, norm), nn.Conv2d(base_channels, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.interpolate(super().forward(x), x.shape[2:], mode="bilinear", align_corners=False)
        return self.bounds(self.last(torch.cat([y, self.edges(x)], 1)))


def conv_layer(inputs: int, outputs: int, norm: str) -> nn.Sequential:
    """A 3x3 convolution, its norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, 1, 1, bias=norm == "instance"), norm_layer(norm, outputs), nn.ReLU(True)
    )
