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
        logits: bool = False,
    ) -> None:
        """logits: y is not bounded to [-1,1] by tanh, as in the paper: of classes, one channel for each."""
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
            nn.ReflectionPad2d(3), nn.Conv2d(narrow, out_channels, 7), nn.Identity() if logits else nn.Tanh(),
        )  # fmt: skip
        self.apply(init_weights)
        compared = [10 + i for i in compared_blocks(blocks)]  # 10 is the first residual block
        self.encoder_places = (0, 4, 7, *compared)
        """of the layers of `encode`"""
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


class ResidualGenerator(nn.Module):
    """x [B,C,H,W] -> y = x + network(x) / 4 [B,C,H,W], and network(x) = 0 at first. y may lie a little outside [-1,1].

    Not the paper's. It does not have to learn to copy x; undivided, its first steps would swing all colours. Nothing is
    normalised over an image, so that a pixel depends on what is near it alone: what it learns on crops is what it does
    to whole images and to tiles of them, and the noise of an even sky is not enlarged to stripes. It upsamples
    bilinearly, against blocks of pixels.
    """

    def __init__(self, channels: int, base_channels: int, blocks: int) -> None:
        super().__init__()
        narrow, middle, wide = base_channels, 2 * base_channels, 4 * base_channels
        self.enter = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(channels, narrow, 7), nn.LeakyReLU(0.2),
            nn.ReflectionPad2d(1), nn.Conv2d(narrow, middle, 3, 2), nn.LeakyReLU(0.2),
            nn.ReflectionPad2d(1), nn.Conv2d(middle, wide, 3, 2), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.blocks = nn.ModuleList(PixelNormBlock(wide) for _ in range(blocks))
        leave: list[nn.Module] = []
        for inputs, outputs in ((wide, middle), (middle, narrow)):
            leave += [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), nn.ReflectionPad2d(1)]
            leave += [nn.Conv2d(inputs, outputs, 3), nn.LeakyReLU(0.2)]
        self.leave = nn.Sequential(*leave, nn.ReflectionPad2d(3), nn.Conv2d(narrow, channels, 7))
        for layer in (*self.enter, *self.leave):
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
        for parameter in self.leave[-1].parameters():
            nn.init.zeros_(parameter)
        self.encoder_channels = (channels, middle, wide, *(wide for _ in compared_blocks(blocks)))
        """of the maps of `encode`"""

    def forward(self, x: Tensor) -> Tensor:
        inner = self.enter(x)
        for block in self.blocks:
            inner = block(inner)
        return x + self.leave(inner) / 4

    def encode(self, x: Tensor) -> list[Tensor]:
        """As ResNetGenerator.encode, but the image without a border."""
        half = self.enter[:6](x)
        inner = self.enter[6:](half)
        maps, compared = [x, half, inner], compared_blocks(len(self.blocks))
        for i, block in enumerate(self.blocks[: max(compared, default=-1) + 1]):
            inner = block(inner)
            if i in compared:
                maps.append(inner)
        return maps


class PixelNormBlock(nn.Module):
    """x [B,C,H,W] plus two 3x3 convolutions of it, at first 0, after a norm over the channels of each place.

    Without that norm a third to two thirds of the channels were 0 everywhere after some hundred steps (the norm:
    Karras 2017, arXiv:1710.10196, section 4.2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, last = nn.Conv2d(channels, channels, 3), nn.Conv2d(channels, channels, 3)
        nn.init.kaiming_normal_(first.weight)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.layers = nn.Sequential(nn.ReflectionPad2d(1), first, nn.LeakyReLU(0.2), nn.ReflectionPad2d(1), last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x * (x.square().mean(1, keepdim=True) + 1e-2).rsqrt())


def compared_blocks(blocks: int) -> list[int]:
    """Which of a generator's residual blocks have maps whose patches CUT compares: the first, and the last but one."""
    return sorted({0, max(0, blocks - 2)}) if blocks else []


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
