"""What a row of the ledger is: an experiment, and what is claimed of one of its scores."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Experiment:
    """One way to train and to judge, run once a seed."""

    name: str
    title: str
    protocol: str
    """what a reader must know to check the figures: data, schedule, split, what is ours and not the paper's"""
    method: str
    """METHOD:PRESET"""
    task: Literal["train", "grid", "stacked", "monitor", "enlarge", "lecture", "large", "stages", "speed"] = "train"
    """train: `reverie train` and `reverie evaluate`; else a task of this package"""
    data: str = ""
    """file in the data folder"""
    parts: dict[str, str] = field(default_factory=dict)
    """where it is a zip that is not laid out by split: which of its files are of which split"""
    options: dict[str, Any] = field(default_factory=dict)
    """of the training, beside the preset's"""
    judged: dict[str, Any] = field(default_factory=dict)
    """of the judging"""
    features: str = ""
    """the feature network that images are compared by"""
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Claim:
    """A row: one score of an experiment beside what was published."""

    experiment: str
    score: str
    published: str = ""
    source: str = ""
    target: str = ""
    at_most: float | None = None
    at_least: float | None = None
    within: float | None = None
    beats: str | None = None
    over: str | None = None
    """what every seed has to keep to for the row to count as reached; within: so far below its floor at most; beats:
    better than this other score of the same run, or than its "floor"; over: better than every run of this other
    experiment"""

    def to_json(self) -> dict[str, Any]:
        """As in a file of the ledger."""
        return asdict(self)


MOBILENET = "MobileNetV2 trained on ImageNet"
"""the feature network of most"""
