"""MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov, Chen 2018, arXiv:1801.04381), under the names of torchvision's weights.

B batch, H = W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reverie.nn.fused_inference import SameConv2d
from reverie.utils.errors import UserError

WIDTH = 1280
"""features per image before the classifier"""
SIZE = 224
"""pixels a side that the published weights were trained at (section 6.1)"""
BLOCKS = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
"""table 2: expansion t, channels c, repeats n, stride s of the first"""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""of ImageNet's red, green and blue, of 1"""


class MobileNetV2(nn.Module):
    """The network of table 2, for evaluation only: weights whose batch norms were folded are destroyed by train().

    same: pad the five convolutions of stride 2 as TensorFlow's 'SAME' does (right and bottom, where sides are even);
    else on all sides, as PyTorch does. Weights are good for the one they were trained with.
    """

    def __init__(self, classes: int = 1000, same: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, 32, 3, 2, same=same)]
        width = 32
        for t, c, n, s in BLOCKS:
            for i in range(n):
                layers.append(InvertedResidual(width, c, s if i == 0 else 1, t, same))
                width = c
        layers.append(_conv(width, WIDTH, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(WIDTH, classes))

    def pooled(self, x: Tensor) -> Tensor:
        """[B,3,H,W] in the range of the weights -> [B,1280], the mean over the map of the last convolution."""
        return self.features(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """[B,3,H,W] -> logits [B,classes]."""
        return self.classifier(self.pooled(x))


class InvertedResidual(nn.Module):
    """Expand by t, filter each channel by itself, project without a nonlinearity; added where it fits (section 3.3)."""

    def __init__(self, inputs: int, outputs: int, stride: int, t: int, same: bool) -> None:
        super().__init__()
        hidden = t * inputs
        self.conv = nn.Sequential(
            *([_conv(inputs, hidden, 1)] if t > 1 else []),
            _conv(hidden, hidden, 3, stride, groups=hidden, same=same),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


def _conv(inputs: int, outputs: int, k: int, stride: int = 1, groups: int = 1, same: bool = False) -> nn.Sequential:
    """Convolution, batch norm, ReLU6."""
    if same and stride == 2:
        conv: nn.Conv2d = SameConv2d(inputs, outputs, k, stride, groups=groups, bias=False)
    else:
        conv = nn.Conv2d(inputs, outputs, k, stride, padding=k // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


@dataclass(frozen=True)
class Preprocessing:
    """The padding and input range that weights were trained with; those of torchvision by default."""

    same: bool = False
    """TensorFlow's padding"""
    imagenet: bool = True
    """ImageNet's mean and deviation, else (x - 128) / 128"""

    @classmethod
    def read(cls, metadata: Mapping[str, str], path: object) -> Preprocessing:
        """From the entries "padding" and "input" of a safetensors file. Raises UserError on unknown values."""
        padding, range_ = metadata.get("padding", ""), metadata.get("input", "")
        if (padding and "TF SAME" not in padding) or (range_ and "(u8-128)/128" not in range_.replace(" ", "")):
            raise UserError(
                f"{path} asks for padding '{padding}' and input '{range_}', which is not known here: "
                "'TF SAME' and 'RGB, (u8-128)/128' are, or neither entry for torchvision's own."
            )
        return cls(same=bool(padding), imagenet=not range_)

    def apply(self, pixels: Tensor) -> Tensor:
        """[B,3,H,W] in 0..255 -> the range of the weights."""
        if not self.imagenet:
            return (pixels - 128) / 128
        mean, deviation = (torch.tensor(v, device=pixels.device).view(3, 1, 1) for v in (MEAN, DEVIATION))
        return (pixels / 255 - mean) / deviation

    def __str__(self) -> str:
        range_ = "ImageNet mean and deviation" if self.imagenet else "(x-128)/128"
        return f"{range_}, {'TensorFlow SAME' if self.same else 'symmetric'} padding"
