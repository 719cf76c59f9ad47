"""The generator of CycleGAN (Johnson 2016's).   B batch, C channels, H, W pixels; images [B,C,H,W] in [-1,1]."""

from __future__ import annotations

from torch import Tensor, nn

from reverie.nn.dcgan_blocks import upsample_layer, init_weights
from reverie.nn.unet import norm_of


def blocks_for(size: int) -> int:
    """ResidualGenerator blocks for pictures of `size` pixels a side (Zhu 2017, section 7.2)."""
    return 9 if size >= 256 else 6


def size_for(blocks: int) -> int:
    """The other way round: pixels a side that so many blocks are for, 128 or 256 in the paper."""
    return 256 if blocks >= 9 else 128


class ResNet(nn.Sequential):
    """x [B,C,H,W] -> y [B,C',H,W], H and W multiples of 4 (Zhu 2017, section 7.2).

    c7s1-64, d128, d256, residual blocks of 256, u128, u64, c7s1-3; reflected at the borders. With upsampling "resize"
    u128 and u64 are not the paper's.
    """

    def __init__(
        self, in_channels: int, out_channels: int, base_channels: int, blocks: int, norm: str = "instance", dropout: float = 0.0,
        upsampling: str = "transposed",
    ) -> None:  # fmt: skip
        bias, wide = norm == "instance", 4 * base_channels
        super().__init__(
            nn.ReflectionPad2d(3), nn.Conv2d(in_channels, base_channels, 7, bias=bias), norm_of(norm, base_channels), nn.ReLU(True),
            nn.Conv2d(base_channels, 2 * base_channels, 3, 2, 1, bias=bias), norm_of(norm, 2 * base_channels), nn.ReLU(True),
            nn.Conv2d(2 * base_channels, wide, 3, 2, 1, bias=bias), norm_of(norm, wide), nn.ReLU(True),
            *(Block(wide, norm, dropout) for _ in range(blocks)),
            upsample_layer(wide, 2 * base_channels, upsampling, 3, bias), norm_of(norm, 2 * base_channels), nn.ReLU(True),
            upsample_layer(2 * base_channels, base_channels, upsampling, 3, bias), norm_of(norm, base_channels), nn.ReLU(True),
            nn.ReflectionPad2d(3), nn.Conv2d(base_channels, out_channels, 7), nn.Tanh(),
        )  # fmt: skip
        self.apply(init_weights)


class ResidualGenerator(ResNet):
    """As ResNet, but y is x and what the network adds, which at first is nothing; y may lie a little beyond [-1,1].

    Not the paper's: it need not learn first what is to stay, and transposed convolutions laid a grid over all of it.
    """

    def __init__(self, in_channels: int, out_channels: int, base_channels: int, blocks: int) -> None:
        super().__init__(in_channels, out_channels, base_channels, blocks, upsampling="resize")
        for numbers in self[-2].parameters():
            nn.init.zeros_(numbers)

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Block(nn.Module):
    """x plus two convolutions of it."""

    def __init__(self, base_channels: int, norm: str, dropout: float) -> None:
        super().__init__()
        bias = norm == "instance"
        dropped: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(base_channels, base_channels, 3, bias=bias), norm_of(norm, base_channels), nn.ReLU(True),
            *dropped, nn.ReflectionPad2d(1), nn.Conv2d(base_channels, base_channels, 3, bias=bias), norm_of(norm, base_channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
