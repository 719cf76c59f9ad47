"""Inception v3 (Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2015, arXiv:1512.00567), under the names of known weights.

Two files have these names: the network of the FID (Heusel 2017, arXiv:1706.08500) as pytorch-fid distributes it, with
1008 classes, and torchvision's inception_v3, with 1000. They differ in their weights, in the borders of average pools,
and in one pool of the last block.   B batch, H = W pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 2048
"""features per image before the classifier"""
SIZE = 299
"""pixels a side"""
CLASSES = {1008: True, 1000: False}
"""outputs of the classifier -> whether the weights are those of the FID"""


class Inception(nn.Module):
    """The network, for evaluation only. Maps for 299 pixels: 35 in Mixed_5, 17 in Mixed_6, 8 in Mixed_7.

    fid: average pools leave the padding out, and Mixed_7c has a maximum pool (the weights were made so).
    """

    def __init__(self, fid: bool) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.Mixed_5b = BlockA(192, 32, fid)
        self.Mixed_5c = BlockA(256, 64, fid)
        self.Mixed_5d = BlockA(288, 64, fid)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b = BlockC(768, 128, fid)
        self.Mixed_6c = BlockC(768, 160, fid)
        self.Mixed_6d = BlockC(768, 160, fid)
        self.Mixed_6e = BlockC(768, 192, fid)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b = BlockE(1280, Average(fid))
        self.Mixed_7c = BlockE(2048, nn.MaxPool2d(3, 1, 1) if fid else Average(fid))
        self.fc = nn.Linear(WIDTH, 1008 if fid else 1000)

    def pooled(self, x: Tensor) -> Tensor:
        """[B,3,299,299] in [-1,1] -> [B,2048], the mean over the last map."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """[B,3,299,299] in [-1,1] -> logits [B,1008 or 1000]."""
        return self.fc(self.pooled(x))

    def named_layers(self) -> dict[str, str]:
        """Names of layers -> paths of modules whose outputs they are before the ReLU."""
        parts = [name for name, _ in self.named_children() if name != "fc"]
        named = {name: f"{name}.bn" if name.startswith("Conv") else f"{name}.join.linear" for name in parts}
        return {**named, "logits": "fc"}


class Conv(nn.Module):
    """Convolution, batch norm, and where it is not the last of a branch a ReLU."""

    def __init__(
        self, inputs: int, outputs: int, k: int | tuple[int, int], stride: int = 1, padding: int | tuple[int, int] = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, k, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)
        self.rectified = True

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x, inplace=True) if self.rectified else x


def last(*of_conv: Any, **more_of_conv: Any) -> Conv:
    """The last convolution of a branch: the ReLU comes behind all branches."""
    conv = Conv(*of_conv, **more_of_conv)
    conv.rectified = False
    return conv


class Join(nn.Module):
    """All channels of branches side by side, behind the ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Identity()
        """before the ReLU"""

    def forward(self, *branches: Tensor) -> Tensor:
        return F.relu(self.linear(torch.cat(branches, 1)), inplace=True)


class Average(nn.AvgPool2d):
    """The mean of 3x3 pixels; fid: at borders, of those that exist."""

    def __init__(self, fid: bool) -> None:
        super().__init__(3, 1, 1, count_include_pad=not fid)


class BlockA(nn.Module):
    """Figure 5 of the paper, with 5x5 in one of the branches."""

    def __init__(self, inputs: int, pool: int, fid: bool) -> None:
        super().__init__()
        self.join = Join()
        self.branch1x1 = last(inputs, 64, 1)
        self.branch5x5_1 = Conv(inputs, 48, 1)
        self.branch5x5_2 = last(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Conv(inputs, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = last(96, 96, 3, padding=1)
        self.pool, self.branch_pool = Average(fid), last(inputs, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        five = self.branch5x5_2(self.branch5x5_1(x))
        return self.join(self.branch1x1(x), five, double, self.branch_pool(self.pool(x)))


class BlockB(nn.Module):
    """Halves the map: figure 10."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.join = Join()
        self.branch3x3 = last(inputs, 384, 3, 2)
        self.branch3x3dbl_1 = Conv(inputs, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = last(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return self.join(self.branch3x3(x), double, F.max_pool2d(x, 3, 2))


class BlockC(nn.Module):
    """7x7 as 1x7 and 7x1: figure 6."""

    def __init__(self, inputs: int, narrow: int, fid: bool) -> None:
        super().__init__()
        self.join = Join()
        across, down = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))  # kernel, stride, padding
        self.branch1x1 = last(inputs, 192, 1)
        self.branch7x7_1 = Conv(inputs, narrow, 1)
        self.branch7x7_2 = Conv(narrow, narrow, *across)
        self.branch7x7_3 = last(narrow, 192, *down)
        self.branch7x7dbl_1 = Conv(inputs, narrow, 1)
        self.branch7x7dbl_2 = Conv(narrow, narrow, *down)
        self.branch7x7dbl_3 = Conv(narrow, narrow, *across)
        self.branch7x7dbl_4 = Conv(narrow, narrow, *down)
        self.branch7x7dbl_5 = last(narrow, 192, *across)
        self.pool, self.branch_pool = Average(fid), last(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return self.join(self.branch1x1(x), single, double, self.branch_pool(self.pool(x)))


class BlockD(nn.Module):
    """Halves the map, with 7x7 in one of the branches."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.join = Join()
        self.branch3x3_1 = Conv(inputs, 192, 1)
        self.branch3x3_2 = last(192, 320, 3, 2)
        self.branch7x7x3_1 = Conv(inputs, 192, 1)
        self.branch7x7x3_2 = Conv(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Conv(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = last(192, 192, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return self.join(three, seven, F.max_pool2d(x, 3, 2))


class BlockE(nn.Module):
    """3x3 fanned out into 1x3 and 3x1: figure 7."""

    def __init__(self, inputs: int, pool: nn.Module) -> None:
        super().__init__()
        self.join = Join()
        self.branch1x1 = last(inputs, 320, 1)
        self.branch3x3_1 = Conv(inputs, 384, 1)
        self.branch3x3_2a = last(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = last(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = Conv(inputs, 448, 1)
        self.branch3x3dbl_2 = Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = last(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = last(384, 384, (3, 1), padding=(1, 0))
        self.pool, self.branch_pool = pool, last(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        fans = [self.branch3x3_2a(three), self.branch3x3_2b(three)]
        fans += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return self.join(self.branch1x1(x), *fans, self.branch_pool(self.pool(x)))
