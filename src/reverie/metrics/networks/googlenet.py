"""GoogLeNet (Szegedy 2014, arXiv:1409.4842) with batch norm, under the names of torchvision's weights.

As the weights were trained, the "5x5" convolutions are of 3x3. B batch, H, W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 224
"""pixels a side that the published weights were trained at"""
BLOCKS = {
    "inception3a": (192, 64, 96, 128, 16, 32, 32), "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "inception4a": (480, 192, 96, 208, 16, 48, 64), "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64), "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128), "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}  # fmt: skip
"""table 1: channels in; out of 1x1; reduced for 3x3, and out of it; reduced for "5x5", and out of it; of the pool"""
POOLED = {"inception4a": 3, "inception5a": 2}
"""blocks before which the maximum is taken, stride 2 -> pixels a side of it"""


class GoogLeNet(nn.Module):
    """The network of table 1 without its auxiliary classifiers, for evaluation only."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = Conv(3, 64, 7, 2), Conv(64, 64, 1), Conv(64, 192, 3)
        for name, channels in BLOCKS.items():
            self.add_module(name, Block(*channels))
        self.fc = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B,3,H,W] in [-1,1] -> logits [B,classes]."""
        x = F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        for name in BLOCKS:
            if name in POOLED:
                x = F.max_pool2d(x, POOLED[name], 2, ceil_mode=True)
            x = self.get_submodule(name)(x)
        return self.fc(x.mean((2, 3)))

    def named_layers(self) -> dict[str, str]:
        """Names of layers -> paths of modules whose outputs they are before the ReLU."""
        named = {f"conv{i}": f"conv{i}.bn" for i in (1, 2, 3)}
        return {**named, **{name: f"{name}.joined" for name in BLOCKS}, "logits": "fc"}


class Conv(nn.Module):
    """Convolution, batch norm, and where it stands by itself a ReLU."""

    def __init__(self, inputs: int, outputs: int, k: int, stride: int = 1, rectified: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, k, stride, k // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)
        self.rectified = rectified

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x) if self.rectified else x


class Block(nn.Module):
    """Four branches side by side (figure 2b)."""

    def __init__(self, inputs: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pooled: int) -> None:
        super().__init__()
        self.branch1 = Conv(inputs, one, 1, rectified=False)
        self.branch2 = nn.Sequential(Conv(inputs, reduce3, 1), Conv(reduce3, three, 3, rectified=False))
        self.branch3 = nn.Sequential(Conv(inputs, reduce5, 1), Conv(reduce5, five, 3, rectified=False))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), Conv(inputs, pooled, 1, rectified=False))
        self.joined = nn.Identity()
        """all four, before the ReLU"""

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)]
        return F.relu(self.joined(torch.cat(branches, 1)))
