"""Plan: what a folder of synthetic images is to contain."""

from __future__ import annotations

from dataclasses import dataclass

from reverie._version import __version__

PLAN_FILE = "augment.json"


@dataclass(frozen=True)
class Plan:
    """Written into the folder first, so that all processes that fill it generate the same images."""

    data: str
    fingerprint: str
    """of the training images"""
    method: str
    run: str
    """fingerprint of the weights"""
    seed: int
    counts: dict[str, int]
    """images of each class"""
    subfolder: str
    """that the class folders are in: "train" where the data has splits, else none"""
    tar: int
    """items of each tar; 0 for class folders of PNG files"""
    reverie: str = __version__

    @property
    def items(self) -> list[tuple[str, int]]:
        """(class, index in it) of all items; the classes take turns, so that every tar has all of them."""
        largest = max(self.counts.values())
        return [(name, j) for j in range(largest) for name, count in self.counts.items() if j < count]
