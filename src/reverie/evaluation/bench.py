"""The bench: the real items that what a method does is held against. There is one for each kind of data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .. import __version__
from ..media import Image
from .features import mark_of
from .found import Evaluation
from .images import ImageBench
from .looks import marks_of
from .music import MusicBench
from .own import OwnBench
from .subject import Subject
from .text import TextBench
from .translations import PairBench, UnpairedBench


class Bench(Protocol):
    """Real items, open and prepared as the subject's are."""

    @classmethod
    def check(cls, subject: Subject, n: int | None) -> None:
        """Raises UserError if so many items cannot be scored; before anything is opened."""

    @classmethod
    def open(cls, subject: Subject, data: str | Path, split: str | None) -> Bench:
        """The bench of a data set; split: the reference, None for the usual one. Raises UserError."""

    @property
    def marks(self) -> dict[str, str]:
        """The fingerprints of what is measured on."""

    def count(self, subject: Subject) -> int:
        """How many items are scored where nobody says so."""

    def judge(self, found: Evaluation, subject: Subject, asked: Any, own: dict[str, Any]) -> None:
        """Adds scores, what is left out, notes and pictures; asked: an Asked whose n is settled; own: the options of
        the method's own scores."""

    def pictures(self, subject: Subject, seed: int) -> dict[str, Image | str]:
        """What a comparison shows of a run, by kind; where there is nothing to show, why."""


BENCHES: dict[str, type[Bench]] = {
    "images": ImageBench,
    "photos": OwnBench,
    "pairs": PairBench,
    "unpaired": UnpairedBench,
    "text": TextBench,
    "music": MusicBench,
}
"""by the kind of data that a method learns from"""
TRUTH = ("pairs", "photos")
"""kinds whose every picture has a true one beside it"""


def bench_of(subject: Subject) -> type[Bench]:
    """The bench for what is scored: that of the data that its method learns from, or of images."""
    return BENCHES["images" if subject.method is None else subject.method.learns_from.kind]


@dataclass(frozen=True)
class Asked:
    """How scores are asked for."""

    features: str | Path | None = None
    n: int | None = None
    seed: int = 0
    split: str | None = None
    taught: bool = False
    classical: bool = True
    lpips: str | Path | None = None

    def told(self, subject: Subject, bench: Bench) -> dict[str, Any]:
        """What is measured on, and how, but for the options of a method's own scores."""
        return {
            **bench.marks, "n": self.n or bench.count(subject), "seed": self.seed,
            "features": None if self.features is None else mark_of(self.features), "taught": self.taught,
            "classical": self.classical, "lpips": None if self.lpips is None else marks_of(self.lpips),
            "reverie": __version__,
        }  # fmt: skip
