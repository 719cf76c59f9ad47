"""Convolutions padded as TensorFlow's, and faster inference: batch norms fused, 1x1 convolutions as matrix products."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's 'SAME': ceil(side / stride) outputs, an odd row goes below and right."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, same_padding(x, self.kernel_size, self.stride)))


def same_padding(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> list[int]:
    """Pixels to add to x [B,C,H,W] on the left, right, above and below, as F.pad takes them."""
    sides: list[int] = []
    for axis in (1, 0):  # F.pad wants the last axis first
        side, k, s = x.shape[2 + axis], kernel[axis], stride[axis]
        rows = max((-(-side // s) - 1) * s + k - side, 0)
        sides += [rows // 2, rows - rows // 2]
    return sides


class Pointwise(nn.Module):
    """A 1x1 convolution as one matrix product."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(conv.weight.flatten(1), False), conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


def relu6(x: Tensor) -> Tensor:
    """ReLU6 of x, of any shape; in place only where no gradient is followed, since a view would be copied for it."""
    return F.relu6(x, inplace=not x.requires_grad)


class ReLU6(nn.Module):
    """As relu6."""

    def forward(self, x: Tensor) -> Tensor:
        return relu6(x)


class FoldedSameConv2d(nn.Conv2d):
    """A SameConv2d of an odd kernel and stride 2, whose padding is a part of the kernel where both sides are even."""

    def __init__(self, conv: nn.Conv2d) -> None:
        k = conv.kernel_size[0]
        super().__init__(conv.in_channels, conv.out_channels, k + 1, 2, padding=k // 2, groups=conv.groups)
        # Zeros above and left: then the padding is the same on all sides.
        self.weight, self.bias = nn.Parameter(F.pad(conv.weight, (1, 0, 1, 0)), False), conv.bias

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0:
            return super().forward(x)
        weight = self.weight[:, :, 1:, 1:]
        padded = F.pad(x, same_padding(x, weight.shape[2:], (2, 2)))
        return F.conv2d(padded, weight, self.bias, 2, groups=self.groups)


def fuse_for_inference(net: Any) -> Any:
    """The network in evaluation mode, changed in place for speed. Outputs differ by rounding, names of weights change.

    Batch norms are folded into the convolution before them, 1x1 convolutions become matrix products, TensorFlow's SAME
    padding becomes part of the kernel, and memory is channels last. Gradients reach the input as before.
    """
    children = list(net.named_children())
    for (name, conv), (after, norm) in itertools.pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(net, name, _faster(fuse_conv_bn_eval(conv, norm)))
            setattr(net, after, nn.Identity())
    for name, child in children:
        if isinstance(child, nn.ReLU6):
            setattr(net, name, ReLU6())
        else:
            fuse_for_inference(getattr(net, name))
    return net.to(memory_format=torch.channels_last)


def _faster(conv: nn.Conv2d) -> nn.Module:
    if conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.groups == 1:
        return Pointwise(conv)
    square = conv.kernel_size[0] == conv.kernel_size[1] and conv.kernel_size[0] % 2 == 1
    if isinstance(conv, SameConv2d) and conv.stride == (2, 2) and square:
        return FoldedSameConv2d(conv)
    return conv
