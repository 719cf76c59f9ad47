"""The ResNet generator of CycleGAN (after Johnson 2016).   B batch, C channels, H, W pixels; images in [-1,1]."""

from __future__ import annotations

from torch import Tensor, nn

from reverie.nn.dcgan_blocks import init_weights, upsample_layer
from reverie.nn.unet import norm_layer


def blocks_for_size(size: int) -> int:
    """Residual blocks for images of `size` pixels a side (Zhu 2017, section 7.2)."""
    return 9 if size >= 256 else 6


def size_for_blocks(blocks: int) -> int:
    """Pixels a side, 128 or 256, for which the paper has so many residual blocks (Zhu 2017, section 7.2)."""
    return 256 if blocks >= 9 else 128


def tile_overlap(blocks: int) -> int:
    """Pixels at each side of a tile that are discarded, and as many that are blended with its neighbour: 64 to 120.

    So far a pixel of the result depends on its surroundings, 84 pixels with 9 blocks. Nearer to where it is cut, a tile
    shows that layers pad by mirroring. Beyond 13 blocks a little of that is left, or tiles would be too small.
    """
    return min(max(64, 16 + 8 * blocks), 120)


class ResNetGenerator(nn.Sequential):
    """x [B,C,H,W] -> y [B,C',H,W] (Zhu 2017, section 7.2). H and W: multiples of 4, 16 or more.

    c7s1-64, d128, d256, residual blocks of 256 channels, u128, u64, c7s1-3, with reflection padding. upsampling
    "resize" is not the paper's.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        base_channels: int,
        blocks: int,
        norm: str = "instance",
        dropout: float = 0.0,
        upsampling: str = "transposed",
    ) -> None:
        bias = norm == "instance"  # a batch norm would subtract it again
        narrow, middle, wide = base_channels, 2 * base_channels, 4 * base_channels
        super().__init__(
            nn.ReflectionPad2d(3),
            nn.Conv2d(in_channels, narrow, 7, bias=bias), norm_layer(norm, narrow), nn.ReLU(True),
            nn.Conv2d(narrow, middle, 3, 2, 1, bias=bias), norm_layer(norm, middle), nn.ReLU(True),
            nn.Conv2d(middle, wide, 3, 2, 1, bias=bias), norm_layer(norm, wide), nn.ReLU(True),
            *(ResNetBlock(wide, norm, dropout) for _ in range(blocks)),
            upsample_layer(wide, middle, upsampling, 3, bias), norm_layer(norm, middle), nn.ReLU(True),
            upsample_layer(middle, narrow, upsampling, 3, bias), norm_layer(norm, narrow), nn.ReLU(True),
            nn.ReflectionPad2d(3), nn.Conv2d(narrow, out_channels, 7), nn.Tanh(),
        )  # fmt: skip
        self.apply(init_weights)
        compared = sorted({10, max(10, 8 + blocks)}) if blocks else []
        self.encoder_places = (0, 4, 7, *compared)
        """of the layers of `encode`; 10 is the first residual block"""
        self.encoder_channels = (in_channels, middle, wide, *(wide for _ in compared))
        """of its maps"""

    def encode(self, x: Tensor) -> list[Tensor]:
        """x [B,C,H,W] -> maps of the image itself, of both layers that halve the side, and of two blocks or one.

        Park 2020, arXiv:2007.15651, section 4 and its appendix: the five layers whose patches CUT compares.
        """
        maps = []
        for place, layer in zip(range(self.encoder_places[-1] + 1), self, strict=False):
            x = layer(x)
            if place in self.encoder_places:
                maps.append(x)
        return maps


class ResidualGenerator(ResNetGenerator):
    """As ResNetGenerator, but y = x + network(x), and network(x) = 0 at first. y may lie a little outside [-1,1].

    Not the paper's: it does not have to learn to copy x, and it upsamples by "resize", as transposed convolutions
    left checkerboard artefacts all over y.
    """

    def __init__(self, in_channels: int, out_channels: int, base_channels: int, blocks: int) -> None:
        super().__init__(in_channels, out_channels, base_channels, blocks, upsampling="resize")
        for parameter in self[-2].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class ResNetBlock(nn.Module):
    """x [B,C,H,W] plus two 3x3 convolutions of it, with dropout between them where there is any."""

    def __init__(self, channels: int, norm: str, dropout: float) -> None:
        super().__init__()
        bias = norm == "instance"
        layers: list[nn.Module] = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias)]
        layers += [norm_layer(norm, channels), nn.ReLU(True)]
        if dropout:
            layers.append(nn.Dropout(dropout))
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm_layer(norm, channels)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
