"""The PatchGAN discriminator of pix2pix.   B batch, C channels, H, W pixels; images [B,C,H,W] in [-1,1]."""

from __future__ import annotations

from torch import nn

from reverie.nn.dcgan_blocks import init_weights
from reverie.nn.unet import norm_layer


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
