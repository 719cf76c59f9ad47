"""What a folder of synthetic images is to hold."""

from __future__ import annotations

from dataclasses import dataclass

from reverie._version import __version__

PLAN = "augment.json"


@dataclass(frozen=True)
class Plan:
    """What a folder is to hold: written into it first, so that all who work on it make the same."""

    data: str
    fingerprint: str
    """of the training images"""
    method: str
    run: str
    """the mark of the weights"""
    seed: int
    counts: dict[str, int]
    """images of each class"""
    inside: str
    """the folder that the classes lie in: "train" where the data has splits, else none"""
    tar: int
    """items of a tar; 0: a file an item"""
    reverie: str = __version__

    @property
    def items(self) -> list[tuple[str, int]]:
        """(class, number in it) of all items, the classes in turn, so that any stretch of them is mixed."""
        most = max(self.counts.values())
        return [(name, j) for j in range(most) for name, count in self.counts.items() if j < count]
