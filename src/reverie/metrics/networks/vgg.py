"""VGG (Simonyan, Zisserman 2014, arXiv:1409.1556), with and without batch norm, under torchvision's names of weights.

Of 11, 13, 16 and 19 layers: the convolutions are read off the weights.   B batch, H, W pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

SIZE = 224
"""pixels a side that the published weights were trained at"""


class Structure(NamedTuple):
    """What the weights of a VGG say of it."""

    stages: tuple[tuple[int, ...], ...]
    """channels of the convolutions of each stage, behind which the maximum of 2x2 is taken (table 1)"""
    batch_norm: bool = False
    hidden: int = 4096
    """of the two layers before the last"""
    classes: int = 1000

    @classmethod
    def of(cls, values: Mapping[str, Tensor]) -> Structure:
        """The structure that weights are of. Raises KeyError where one that says it is missing."""
        found = [re.fullmatch(r"features\.(\d+)\.weight", name) for name in values]
        places = sorted(int(m[1]) for m in found if m and values[m[0]].ndim == 4)
        batch_norm = "features.1.running_mean" in values
        stages: list[list[int]] = [[]]
        for at, following in zip(places, [*places[1:], 0], strict=True):
            stages[-1].append(len(values[f"features.{at}.weight"]))
            if following - at > 2 + batch_norm:  # between them is more than the ReLU
                stages.append([])
        hidden, classes = len(values["classifier.0.weight"]), len(values["classifier.6.weight"])
        return cls(tuple(map(tuple, stages)), batch_norm, hidden, classes)

    @property
    def layers(self) -> int:
        """Convolutions and linear layers, by whose number the network is called."""
        return sum(map(len, self.stages)) + 3


class VGG(nn.Module):
    """The network of table 1, for evaluation only. Images of other sizes than 224 are pooled to 7x7 places."""

    def __init__(self, structure: Structure) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.named: dict[str, str] = {}
        width = 3
        for i, stage in enumerate(structure.stages, 1):
            for j, channels in enumerate(stage, 1):
                layers.append(nn.Conv2d(width, channels, 3, padding=1))
                if structure.batch_norm:
                    layers.append(nn.BatchNorm2d(channels))
                self.named[f"conv{i}_{j}"] = f"features.{len(layers) - 1}"
                layers.append(nn.ReLU())
                width = channels
            layers.append(nn.MaxPool2d(2))
        self.features, self.avgpool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d(7)
        hidden = structure.hidden
        self.classifier = nn.Sequential(
            nn.Linear(49 * width, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(hidden, structure.classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """[B,3,H,W] in the range of the weights -> logits [B,classes]."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))

    def named_layers(self) -> dict[str, str]:
        """Names of layers, those of the paper's authors -> paths of modules whose outputs they are before the ReLU."""
        return {**self.named, "fc6": "classifier.0", "fc7": "classifier.3", "logits": "classifier.6"}
