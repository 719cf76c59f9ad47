"""Faster inference with the same network: batch norms fused, 1x1 convolutions as matrix products."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from reverie.metrics.networks.mobilenet import SameConv2d


class Pointwise(nn.Module):
    """A 1x1 convolution as one matrix product."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(conv.weight.flatten(1), False), conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


def fuse_for_inference(net: Any) -> Any:
    """The network in evaluation mode, changed in place for speed. Outputs differ by rounding, names of weights change.

    Batch norms are folded into the convolution before them, 1x1 convolutions become matrix products, TensorFlow's SAME
    padding (of even sides) becomes part of the kernel, and memory is channels last.
    """
    children = list(net.named_children())
    for (name, conv), (after, norm) in itertools.pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(net, name, _faster(fuse_conv_bn_eval(conv, norm)))
            setattr(net, after, nn.Identity())
    for child in net.children():
        fuse_for_inference(child)
        if isinstance(child, nn.ReLU6):
            child.inplace = True
    return net.to(memory_format=torch.channels_last)


def _faster(conv: nn.Conv2d) -> nn.Module:
    if conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.groups == 1:
        return Pointwise(conv)
    if isinstance(conv, SameConv2d):  # 3x3, stride 2: a kernel of 4x4 with zeros above and left, padded on all sides
        wide = nn.Conv2d(conv.in_channels, conv.out_channels, 4, 2, padding=1, groups=conv.groups)
        wide.weight, wide.bias = nn.Parameter(F.pad(conv.weight, (1, 0, 1, 0)), False), conv.bias
        return wide
    return conv
