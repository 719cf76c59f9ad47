"""A generator that another program has trained, as it was recognised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class ImportedNetwork:
    """A generator as it was recognised, and its weights under our names."""

    name: str
    """of the file"""
    kind: Literal["unet", "resnet"]
    in_channels: int
    """channels it takes"""
    out_channels: int
    """channels it makes"""
    base_channels: int
    """channels of the first maps"""
    depth: int | None
    """halvings of the side, of a U-Net"""
    blocks: int | None
    """residual blocks, of a ResNet"""
    norm: Literal["batch", "instance"]
    dropout: bool | None
    """whether it was trained with dropout; None: the file cannot say, as a U-Net's dropout leaves no trace"""
    weights: dict[str, Tensor]

    def told(self) -> str:
        """What it is, in a line."""
        deep = f"a U-Net of depth {self.depth}" if self.kind == "unet" else f"a ResNet of {self.blocks} blocks"
        drop = {True: ", dropout", False: ", no dropout", None: ""}[self.dropout]
        return (
            f"{deep}, {self.base_channels} channels, {self.norm} norm{drop}, {self.in_channels} to {self.out_channels} channels"
        )
