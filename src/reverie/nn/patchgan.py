"""PatchGAN discriminators: pix2pix's, of pixels, and one that sees with the frozen ImageNet network.

B batch, C channels, H, W pixels, K patches; images [B,C,H,W] in [-1,1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.nn.dcgan_blocks import init_weights
from reverie.nn.feature_discriminator import MIN_SIDE, STRIDES, FeatureHead
from reverie.nn.imagenet import MAP_CHANNELS
from reverie.nn.unet import norm_layer
from reverie.utils.errors import UserError

HEAD_CHANNELS = 64
"""of the maps inside a head"""
MAX_SHIFT = STRIDES[-1] // 2
"""pixels by which images are moved at most before the frozen network sees them: without it, the places of its maps show
in generated images as a grid"""


class PatchGAN(nn.Sequential):
    """x [B,C,H,W] -> logits [B,1,h,w], each of one patch: 70x70 pixels with 3 layers (Isola 2016, section 6.1.2).

    C64-C128-C256-C512: all but the last two convolutions halve the side; the first has no norm.
    """

    def __init__(self, in_channels: int, base_channels: int, n_layers: int = 3, norm: str = "batch") -> None:
        layers: list[nn.Module] = [nn.Conv2d(in_channels, base_channels, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for k in range(1, n_layers + 1):
            narrow, wide = base_channels * min(2 ** (k - 1), 8), base_channels * min(2**k, 8)
            stride = 2 if k < n_layers else 1
            layers += [nn.Conv2d(narrow, wide, 4, stride, 1, bias=norm == "instance"), norm_layer(norm, wide)]
            layers.append(nn.LeakyReLU(0.2, True))
        super().__init__(*layers, nn.Conv2d(base_channels * min(2**n_layers, 8), 1, 4, 1, 1))
        self.apply(init_weights)


def check_side(config: Any, side: int) -> Any:
    """A method's config as it is. Raises UserError if images of `side` pixels are too small for its PatchGAN."""
    n_layers = config.n_layers_d
    least = 3 * 2**n_layers  # so that two places are left for the last norm, and one for the logits
    if config.adv_weight and config.discriminator != "features" and side < least:
        most = int(math.log2(side / 3))
        raise UserError(
            f"images of {side} pixels a side are too small for a discriminator of {n_layers} layers, which takes "
            f"{least} or more: give a larger --size, or --n-layers-d {most}."
        )
    return config


class ProjectedPatchGAN(nn.Module):
    """Discriminators of patches: a head on each map of the frozen ImageNet network, and a PatchGAN of pixels or none.

    After Projected GANs (Sauer 2021, arXiv:2111.01007), which are not of images made from images: of a condition, such
    as the input of pix2pix, the heads see the mean at each place beside the map.
    """

    def __init__(self, size: int, pixels: PatchGAN | None, condition_channels: int = 0) -> None:
        """size: pixels a side; pixels: sees the condition and the image, [B,C+C',H,W]; condition_channels: C, or 0."""
        super().__init__()
        sides = {stride: max(size, MIN_SIDE) // stride for stride in STRIDES}
        self.heads = nn.ModuleList(
            FeatureHead(MAP_CHANNELS[stride] + condition_channels, side, HEAD_CHANNELS)
            for stride, side in sides.items()
        )
        self.pixels = pixels

    def forward(self, maps: Sequence[Tensor], x: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """Maps of images x [B,C',H,W], these, and the condition [B,C,H,W] -> logits [B,K] of each head, pixels last."""
        if condition is not None:
            maps = [torch.cat([m, F.adaptive_avg_pool2d(condition, (m.shape[2], m.shape[3]))], 1) for m in maps]
            x = torch.cat([condition, x], 1)
        logits = [head(m) for head, m in zip(self.heads, maps, strict=True)]
        return logits if self.pixels is None else [*logits, self.pixels(x).flatten(1)]
