"""The U-Net of pix2pix.   B batch, C channels, H = W pixels; images [B,C,H,W] in [-1,1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.nn.dcgan_blocks import upsample_layer, init_weights

DROPPED = 3
"""layers of the decoder that have dropout, at most: those between widest maps, from the innermost but one outwards, as
in the authors' code (Isola 2016, section 6.1.1: CD512-CD512-CD512)"""


class UNet(nn.Module):
    """x [B,C,H,W] -> y [B,C',H,W], H and W multiples of 2^depth (Isola 2016, section 6.1.1).

    Each layer of the encoder halves the side, and is handed to the layer of the decoder that doubles it back. The
    first layer of the encoder and the innermost have no norm. With upsampling "resize" the decoder is not the paper's.
    """

    def __init__(
        self, in_channels: int, out_channels: int, base_channels: int, depth: int, norm: str = "batch", dropout: float = 0.5,
        upsampling: str = "transposed",
    ) -> None:  # fmt: skip
        super().__init__()
        bias = norm == "instance"  # a batch norm would take it away again
        widths = [base_channels * min(2**k, 8) for k in range(depth)]  # 64, 128, 256, 512, 512 ...
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 4, 2, 1, bias=bias) for a, b in zip([in_channels, *widths], widths, strict=False)
        )
        self.down_norms = nn.ModuleList(
            norm_of(norm, wide) if 0 < k < depth - 1 else nn.Identity() for k, wide in enumerate(widths)
        )
        into = [out_channels, *widths[:-1]]  # what layer k of the decoder makes
        self.ups = nn.ModuleList(
            upsample_layer(widths[k] * (1 if k == depth - 1 else 2), into[k], upsampling, 4, bias or k == 0)
            for k in range(depth)
        )
        self.up_norms = nn.ModuleList(norm_of(norm, into[k]) if k else nn.Identity() for k in range(depth))
        self.dropout = nn.Dropout(dropout)
        self.dropped = [k for k in range(depth - 2, -1, -1) if k > 3][:DROPPED]
        self.apply(init_weights)

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for k, (down, norm) in enumerate(zip(self.downs, self.down_norms, strict=True)):
            x = norm(down(F.leaky_relu(x, 0.2) if k else x))
            seen.append(x)
        y = seen.pop()
        for k in range(len(self.ups) - 1, -1, -1):
            y = self.up_norms[k](self.ups[k](F.relu(y)))
            if k in self.dropped:
                y = self.dropout(y)
            if k:
                y = torch.cat([seen.pop(), y], 1)
        return torch.tanh(y)

    def layers(self) -> list[tuple[nn.Module, nn.Module]]:
        """(convolution, its norm) from the outermost of the encoder to the innermost, then of the decoder back out."""
        ups = list(zip(self.ups, self.up_norms, strict=True))[::-1]
        return [*zip(self.downs, self.down_norms, strict=True), *ups]


def norm_of(kind: str, channels: int) -> nn.Module:
    """Batch norm, or instance norm without weights, as the two papers have them."""
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.BatchNorm2d(channels)
