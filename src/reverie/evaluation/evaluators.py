"""The bench: the real items that what a method does is held against. There is one for each kind of data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from reverie.evaluation.evaluate_images import ImageEvaluator
from reverie.evaluation.evaluate_music import MusicEvaluator
from reverie.evaluation.evaluate_restoration import RestorationEvaluator
from reverie.evaluation.evaluate_text import TextEvaluator
from reverie.evaluation.evaluate_translations import PairEvaluator, UnpairedEvaluator
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.media import Image


class Evaluator(Protocol):
    """Real items, open and prepared as the subject's are."""

    @classmethod
    def check(cls, subject: SampleSource, n: int | None) -> None:
        """Raises UserError if so many items cannot be scored; before anything is opened."""

    @classmethod
    def open(cls, subject: SampleSource, data: str | Path, split: str | None) -> Evaluator:
        """The bench of a data set; split: the reference, None for the usual one. Raises UserError."""

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of what is measured on."""

    def count(self, subject: SampleSource) -> int:
        """How many items are scored where nobody says so."""

    def judge(self, found: Evaluation, subject: SampleSource, asked: Any, own: dict[str, Any]) -> None:
        """Adds scores, what is left out, notes and pictures; asked: an EvalConfig whose n is settled; own: the options of
        the method's own scores."""

    def pictures(self, subject: SampleSource, seed: int) -> dict[str, Image | str]:
        """What a comparison shows of a run, by kind; where there is nothing to show, why."""


EVALUATORS: dict[str, type[Evaluator]] = {
    "images": ImageEvaluator,
    "photos": RestorationEvaluator,
    "pairs": PairEvaluator,
    "unpaired": UnpairedEvaluator,
    "text": TextEvaluator,
    "music": MusicEvaluator,
}
"""by the kind of data that a method learns from"""
TRUTH = ("pairs", "photos")
"""kinds whose every picture has a true one beside it"""


def evaluator_for(subject: SampleSource) -> type[Evaluator]:
    """The bench for what is scored: that of the data that its method learns from, or of images."""
    return EVALUATORS["images" if subject.method is None else subject.method.data_type.kind]
