"""What the ledger holds: experiments, and claims about their scores."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Task = Literal[
    "train", "grid", "stacked", "monitor", "augmentation", "vae_gan_comparison", "large_image", "seqgan_ablation",
    "speed", "class_images", "dcgan_recipes", "super_resolution", "inpainting",
]  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """One way to train and to evaluate, run once per seed."""

    name: str
    title: str
    protocol: str
    """what a reader must know to check the figures: data, schedule, split, what is ours and not the paper's"""
    method: str
    """METHOD:PRESET"""
    task: Task = "train"
    """train: `reverie train` and `reverie evaluate`; else a benchmark of this package"""
    data: str = ""
    """file in the data folder"""
    built_in: str = ""
    """name of a built-in set, in place of a file"""
    parts: dict[str, str] = field(default_factory=dict)
    """where `data` is a zip that is not laid out by split: {split: pattern of its files}"""
    options: dict[str, Any] = field(default_factory=dict)
    """training options, in place of the preset's"""
    evaluation: dict[str, Any] = field(default_factory=dict)
    """options of `reverie evaluate`, or of the benchmark"""
    features: str = ""
    """the feature network that images are compared by"""
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Claim:
    """A row of the ledger: one score of an experiment beside what was published.

    The limits are what every seed has to satisfy for the row to count as reached.
    """

    experiment: str
    score: str
    published: str = ""
    source: str = ""
    target: str = ""
    at_most: float | None = None
    at_least: float | None = None
    within: float | None = None
    """at most so far below the value of real data"""
    beats: str | None = None
    """better than this other score of the same run, or than its "baseline" """
    over: str | None = None
    """better than every run of this other experiment"""

    def to_json(self) -> dict[str, Any]:
        """As in a file of the ledger."""
        return asdict(self)


MOBILENET = "MobileNetV2 trained on ImageNet"
"""the feature network of most experiments"""
