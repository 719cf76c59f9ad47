"""What is known of described images before they are decoded, and where they come from."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from reverie.data.archives import Dropped
from reverie.data.paragraphs.scene_grammar import SceneObject

Paragraph = tuple[str, ...]
"""its sentences as they are written"""


class DescribedImage(NamedTuple):
    """One image and the paragraphs that describe it."""

    name: str
    height: int
    width: int
    references: tuple[Paragraph, ...]
    """one or more"""
    scene: tuple[SceneObject, ...] | None = None
    """of a drawn scene its objects, from left to right"""
    stamp: str = ""
    """what changes with its pixels"""


class Part(NamedTuple):
    """One split."""

    items: list[DescribedImage]
    dropped: list[Dropped]
    notes: list[str]
    held_out: bool = False
    """whether a hash of each text chose it, since nothing says which images it has"""


class Source(Protocol):
    """Where described images come from."""

    splits: list[str]
    unpaired: tuple[Paragraph, ...]
    warnings: list[str]

    def part(self, split: str) -> Part:
        """One of the splits."""

    def square(self, item: DescribedImage, size: int) -> np.ndarray:
        """The whole image as a square: uint8 [size,size,3]. Raises InvalidFile."""

    def full(self, item: DescribedImage) -> np.ndarray:
        """The image in its own size: uint8 [H,W,3]. Raises InvalidFile."""
