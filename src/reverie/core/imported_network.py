"""Generators that other programs have trained, as they were recognised from their weights files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor


@dataclass(frozen=True)
class ImportedNetwork:
    """The architecture of a generator that translates images, and its weights under the names that our networks use."""

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


@dataclass(frozen=True)
class ImportedUpscaler:
    """The architecture of a network that enlarges images, and its weights under the names that our networks use."""

    name: str
    """of the file"""
    kind: Literal["msrresnet", "rrdb", "srvgg"]
    naming: str
    """of its layers"""
    scale: int
    channels: int
    base_channels: int
    """channels of the feature maps"""
    blocks: int
    """number of residual blocks, or of convolutions between the first and the last"""
    growth_channels: int | None
    """channels that a convolution in a dense block adds, of an RRDBNet"""
    unshuffle: int | None
    """pixels a side that are folded into channels first, of an RRDBNet"""
    weights: dict[str, Tensor]

    @property
    def in_channels(self) -> int:
        """As of a network that translates."""
        return self.channels

    @property
    def out_channels(self) -> int:
        """As of a network that translates."""
        return self.channels

    def describe(self) -> str:
        """The architecture in a line."""
        networks = {"msrresnet": "MSRResNet", "rrdb": "RRDBNet", "srvgg": "SRVGGNetCompact"}
        blocks = f"{self.blocks} {'convolutions' if self.kind == 'srvgg' else 'blocks'}"
        folded = f", folded by {self.unshuffle}" if (self.unshuffle or 1) > 1 else ""
        colours = "grey" if self.channels == 1 else "colour"
        return f"{networks[self.kind]} x{self.scale} of {blocks}, {self.base_channels} channels{folded}, {colours}"


Imported: TypeAlias = ImportedNetwork | ImportedUpscaler
