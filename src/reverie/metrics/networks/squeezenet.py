"""SqueezeNet 1.1 (Iandola 2016, arXiv:1602.07360), under the names of torchvision's weights; its classifier may lack.

B batch, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 224
"""pixels a side that torchvision's weights were trained at"""
FIRES = {3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128), 9: (256, 48, 192),
         10: (384, 48, 192), 11: (384, 64, 256), 12: (512, 64, 256)}  # fmt: skip
"""place among torchvision's `features` -> channels in, squeezed, and of each of the two expansions"""
POOLS = (2, 5, 8)
"""places of the maximum over 3x3, stride 2"""
CAFFE_MEAN = (104.0, 117.0, 123.0)
"""of blue, green and red of 255, of the authors' weights"""


class SqueezeNet(nn.Module):
    """The feature maps of version 1.1, for any image of 17 pixels a side and more; where it has classes, their logits.

    For evaluation only.
    """

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for place in range(max(FIRES) + 1):
            if place in FIRES:
                layers.append(Fire(*FIRES[place]))
            elif place in POOLS:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            else:
                layers.append(nn.ReLU() if place else nn.Conv2d(3, 64, 3, 2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(512, classes, 1)) if classes else None

    def forward(self, x: Tensor) -> Tensor:
        """[B,3,H,W] in the range of the weights -> [B,512,~H/16,~W/16], or logits [B,classes].

        Logits are means over positions behind a ReLU (section 3.2). Here it is a soft one, within 0.18 of it, so that
        a class that is seen nowhere has a gradient.
        """
        x = self.features(x)
        return x if self.classifier is None else F.softplus(self.classifier(x), beta=4).mean((2, 3))


class Fire(nn.Module):
    """Squeeze the channels, expand them by 1x1 and by 3x3 side by side (section 3.1)."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1, self.expand3x3 = nn.Conv2d(squeezed, expanded, 1), nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.joined = nn.Identity()
        """both expansions, before the ReLU"""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(self.joined(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1)))


class Preprocessing(NamedTuple):
    """The range that weights take: torchvision's, or that of the authors' Caffe model."""

    caffe: bool

    @classmethod
    def read(cls, metadata: Mapping[str, str]) -> Preprocessing:
        """From the entry "input" of a safetensors file, which says BGR where it is Caffe's."""
        return cls("BGR" in metadata.get("input", ""))

    def apply(self, pixels: Tensor) -> Tensor:
        """RGB [B,3,H,W] in 0..255 -> the range of the weights."""
        if self.caffe:
            return pixels.flip(1) - torch.tensor(CAFFE_MEAN, device=pixels.device).view(3, 1, 1)
        mean, deviation = (
            torch.tensor(v, device=pixels.device).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
        return (pixels / 255 - mean) / deviation
