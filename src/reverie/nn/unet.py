"""The U-Net of pix2pix.   B batch, C channels, H = W pixels; images [B,C,H,W] in [-1,1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.nn.dcgan_blocks import init_weights, upsample_layer

DROPOUT_LAYERS = 3
"""layers of the decoder that have dropout, at most: those with the most channels on both sides, from the innermost but
one outwards, as in the authors' code (Isola 2016, section 6.1.1: CD512-CD512-CD512)"""


class UNet(nn.Module):
    """The generator of pix2pix: x [B,C,H,W] -> y [B,C',H,W] (Isola 2016, section 6.1.1). H, W: multiples of 2^depth.

    C64-C128-C256-C512-C512-C512-C512-C512 and back with depth 8 and base_channels 64. Each layer of the encoder halves
    the side; its output is concatenated to the input of the decoder's layer of the same side. The first layer of the
    encoder and the innermost have no norm. upsampling "resize" is not the paper's.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        base_channels: int,
        depth: int,
        norm: str = "batch",
        dropout: float = 0.5,
        upsampling: str = "transposed",
        logits: bool = False,
    ) -> None:
        """logits: y is not bounded to [-1,1] by tanh, as in the paper: of classes, one channel for each."""
        super().__init__()
        bias = norm == "instance"  # a batch norm would subtract it again
        innermost = depth - 1
        widths = [base_channels * min(2**k, 8) for k in range(depth)]  # 64, 128, 256, 512, 512 ...
        encoder_in = [in_channels, *widths[:-1]]
        decoder_out = [out_channels, *widths[:-1]]
        # Layer 0 of both is the outermost, next to the image.
        self.downs, self.down_norms = nn.ModuleList(), nn.ModuleList()
        self.ups, self.up_norms = nn.ModuleList(), nn.ModuleList()
        for k in range(depth):
            self.downs.append(nn.Conv2d(encoder_in[k], widths[k], 4, 2, 1, bias=bias))
            self.down_norms.append(norm_layer(norm, widths[k]) if 0 < k < innermost else nn.Identity())
        for k in range(depth):
            decoder_in = widths[k] if k == innermost else 2 * widths[k]
            self.ups.append(upsample_layer(decoder_in, decoder_out[k], upsampling, 4, bias or k == 0))
            self.up_norms.append(norm_layer(norm, decoder_out[k]) if k else nn.Identity())
        self.dropout = nn.Dropout(dropout)
        self.dropout_layers = [k for k in range(innermost - 1, -1, -1) if k > 3][:DROPOUT_LAYERS]
        self.bounds = nn.Identity() if logits else nn.Tanh()
        self.apply(init_weights)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for k, (down, norm) in enumerate(zip(self.downs, self.down_norms, strict=True)):
            x = norm(down(F.leaky_relu(x, 0.2) if k else x))
            skips.append(x)
        y = skips.pop()
        for k in range(len(self.ups) - 1, -1, -1):
            y = self.up_norms[k](self.ups[k](F.relu(y)))
            if k in self.dropout_layers:
                y = self.dropout(y)
            if k:
                y = torch.cat([skips.pop(), y], 1)
        return self.bounds(y)

    def layers(self) -> list[tuple[nn.Module, nn.Module]]:
        """(convolution, its norm) of the encoder from the outermost to the innermost, then of the decoder back out."""
        encoder = list(zip(self.downs, self.down_norms, strict=True))
        decoder = list(zip(self.ups, self.up_norms, strict=True))
        return encoder + decoder[::-1]


def norm_layer(kind: str, channels: int) -> nn.Module:
    """Batch norm ("batch"), or instance norm without affine weights ("instance"), as pix2pix and CycleGAN have them."""
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.BatchNorm2d(channels)
