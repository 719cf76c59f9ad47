"""A generator that another program has trained, as it was recognised from its weights file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class ImportedNetwork:
    """The architecture of a generator, and its weights under the names that our networks use."""

    name: str
    """of the file"""
    kind: Literal["unet", "resnet"]
    in_channels: int
    out_channels: int
    base_channels: int
    """channels of the first feature maps"""
    depth: int | None
    """number of downsampling layers, of a U-Net"""
    blocks: int | None
    """number of residual blocks, of a ResNet"""
    norm: Literal["batch", "instance"]
    dropout: bool | None
    """whether it was trained with dropout; None: the file cannot tell, as a U-Net's dropout leaves no trace"""
    weights: dict[str, Tensor]

    def describe(self) -> str:
        """The architecture in a line."""
        size = f"a U-Net of depth {self.depth}" if self.kind == "unet" else f"a ResNet of {self.blocks} blocks"
        dropout = {True: ", dropout", False: ", no dropout", None: ""}[self.dropout]
        channels = f"{self.in_channels} to {self.out_channels} channels"
        return f"{size}, {self.base_channels} base channels, {self.norm} norm{dropout}, {channels}"
