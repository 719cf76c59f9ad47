"""What benches share that measure on one split: which one it is, what it is called, how much of it is scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from reverie.evaluation.samples_source import SampleSource
from reverie.utils.errors import UserError

OneSplit = TypeVar("OneSplit", bound="SplitEvaluator")


@dataclass(frozen=True)
class SplitEvaluator:
    """A split of data of the kind that the subject learns from."""

    data: Any
    usual: ClassVar[int] = 1_000
    """items that are scored, unless told otherwise"""

    @classmethod
    def check(cls, subject: SampleSource, n: int | None) -> None:
        """Raises UserError for a number that cannot be."""
        if n is not None and n < 1:
            raise UserError(f"n is {n}; it must be 1 or more.")

    @classmethod
    def open(cls: type[OneSplit], subject: SampleSource, data: str | Path, split: str | None) -> OneSplit:
        """The split named, or test, or val, or all there is. Raises UserError."""
        return cls(open_split(subject, data, split))

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of what is measured on."""
        return {"reference": self.data.fingerprint}

    def count(self, subject: SampleSource) -> int:
        """As many as there are, but not more than is usual."""
        return min(self.usual, len(self.data))


def open_split(subject: SampleSource, data: str | Path, split: str | None) -> Any:
    """The data of the subject's kind: the split named, or test, or val, or all there is. Raises UserError."""
    assert subject.method is not None
    kind = subject.method.data_type
    if split is not None:
        return kind.open(data, split)
    first = kind.open(data)
    other = next((name for name in ("test", "val") if name in first.splits), None)
    return kind.open(data, other) if other else first


def learnt_from(subject: SampleSource, data: Any) -> list[str]:
    """A note where the reference is what the run learnt from."""
    if subject.learnt.get("fingerprint") == data.fingerprint:
        return ["the reference is what was learnt from, so that learning it by heart is rewarded."]
    return []
