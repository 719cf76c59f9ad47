"""ResNet (He, Zhang, Ren, Sun 2015, arXiv:1512.03385), under the names of torchvision's weights.

Of 18, 34, 50, 101 and 152 layers, and, since sizes are read off the weights, wide ones and ResNeXt. As in torchvision,
the stride of a bottleneck is at its 3x3 convolution, not at the first 1x1.   B batch, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 224
"""pixels a side that the published weights were trained at"""
WIDTHS = (64, 128, 256, 512)
"""channels of each stage (table 1), before what a bottleneck widens them by"""


class Structure(NamedTuple):
    """What the weights of a ResNet say of it."""

    depths: tuple[int, ...]
    """blocks of each of the four stages"""
    bottleneck: bool = False
    """blocks of 1x1, 3x3, 1x1 convolutions, else of two 3x3"""
    widths: tuple[int, ...] = WIDTHS
    """channels of the 3x3 convolutions of each stage"""
    groups: int = 1
    """of these convolutions"""
    classes: int = 1000

    @classmethod
    def of(cls, values: Mapping[str, Tensor]) -> Structure:
        """The structure that weights are of. Raises KeyError where one that says it is missing."""
        stages = [[name for name in values if name.startswith(f"layer{i}.")] for i in (1, 2, 3, 4)]
        depths = tuple(len({name.split(".")[1] for name in stage}) for stage in stages)
        widths = tuple(values[f"layer{i}.0.conv2.weight"].shape[0] for i in (1, 2, 3, 4))
        groups = widths[0] // values["layer1.0.conv2.weight"].shape[1]
        return cls(depths, "layer1.0.conv3.weight" in values, widths, groups, len(values["fc.weight"]))


class ResNet(nn.Module):
    """The network of table 1, for evaluation only."""

    def __init__(self, structure: Structure) -> None:
        super().__init__()
        s = structure
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.stages, width = [], 64
        for i, (depth, inner, outer) in enumerate(zip(s.depths, s.widths, WIDTHS, strict=True)):
            outputs, blocks = 4 * outer if s.bottleneck else outer, []
            for j in range(depth):
                stride = 2 if i and not j else 1
                convs = [(width, inner, 3, stride, 1), (inner, outputs, 3, 1, 1)]
                if s.bottleneck:
                    convs = [(width, inner, 1, 1, 1), (inner, inner, 3, stride, s.groups), (inner, outputs, 1, 1, 1)]
                blocks.append(Block(convs, stride))
                width = outputs
            name = f"layer{i + 1}"
            self.add_module(name, nn.Sequential(*blocks))
            self.stages.append(name)
        self.fc = nn.Linear(width, s.classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B,3,H,W] in the range of the weights -> logits [B,classes]."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return self.fc(x.mean((2, 3)))

    def named_layers(self) -> dict[str, str]:
        """Names of layers -> paths of modules whose outputs they are before the ReLU."""
        named = {"conv1": "bn1"}
        for stage in self.stages:
            for j, block in enumerate(self.get_submodule(stage).children()):
                assert isinstance(block, Block)
                place = f"{stage}.{j}"
                named |= {f"{place}.conv{k}": f"{place}.bn{k}" for k in range(1, block.depth)}
                named[place] = f"{place}.joined"
        return {**named, "logits": "fc"}


class Block(nn.Module):
    """Convolutions whose result is added to what came in (figures 2 and 5); where sizes differ, that is projected."""

    def __init__(self, convs: Sequence[tuple[int, int, int, int, int]], stride: int) -> None:
        """convs: channels in and out, pixels of the kernel, stride, groups"""
        super().__init__()
        self.depth = len(convs)
        for k, (inputs, outputs, side, step, groups) in enumerate(convs, 1):
            conv = nn.Conv2d(inputs, outputs, side, step, side // 2, groups=groups, bias=False)
            self.add_module(f"conv{k}", conv)
            self.add_module(f"bn{k}", nn.BatchNorm2d(outputs))
        first, last = convs[0][0], convs[-1][1]
        self.downsample = None
        if stride > 1 or first != last:
            self.downsample = nn.Sequential(nn.Conv2d(first, last, 1, stride, bias=False), nn.BatchNorm2d(last))
        self.joined = nn.Identity()
        """the sum, before the ReLU"""

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for k in range(1, self.depth + 1):
            y = self.get_submodule(f"bn{k}")(self.get_submodule(f"conv{k}")(y))
            y = F.relu(y) if k < self.depth else y
        return F.relu(self.joined(y + (x if self.downsample is None else self.downsample(x))))
