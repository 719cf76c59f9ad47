"""The interface of evaluators, and what those share that compare with one split of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from reverie.data.data_spec import STATED, DataSpec
from reverie.data.images.dataset import Images
from reverie.data.kinds import check_medium
from reverie.data.python_data import PythonData
from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.media import Image
from reverie.utils.errors import UserError

MEMORISED = "the reference is the training data, so that memorised items score well."
OneSplit = TypeVar("OneSplit", bound="SplitEvaluator")


class Evaluator(Protocol):
    """Scores sources against real items, which are prepared as the source's data is. One for each kind of data."""

    @classmethod
    def check(cls, source: SampleSource, n: int | None) -> None:
        """Raises UserError if n items cannot be scored; called before anything is opened."""

    @classmethod
    def open(cls, source: SampleSource, data: str | Path, split: str | None) -> Evaluator:
        """The evaluator with its real items opened; split: the reference, None for the default. Raises UserError."""

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of the data that is compared with."""

    def default_n(self, source: SampleSource, full: bool) -> int:
        """How many items are scored where n is None."""

    def evaluate(
        self, result: Evaluation, source: SampleSource, config: EvalConfig, method_options: dict[str, Any]
    ) -> None:
        """Adds scores, skipped scores, notes and figures to the result.

        config.n is set; method_options: those of the method's own scores. Raises UserError.
        """

    def comparison_images(self, source: SampleSource, seed: int) -> Mapping[str, Image | str]:
        """What `compare` shows of a run, by kind; where it has none of a kind, the reason as text."""


@dataclass(frozen=True)
class SplitEvaluator:
    """Base of evaluators that compare with one split, of the kind of data that the method is trained on."""

    data: Any
    max_default_n: ClassVar[int] = 1_000
    max_quick_n: ClassVar[int] = 64

    @classmethod
    def check(cls, source: SampleSource, n: int | None) -> None:
        """Raises UserError if n is less than 1."""
        if n is not None and n < 1:
            raise UserError(f"n is {n}; it must be 1 or more.")

    @classmethod
    def open(cls: type[OneSplit], source: SampleSource, data: str | Path, split: str | None) -> OneSplit:
        """The named split, or test, or val, or all there is. Raises UserError."""
        return cls(open_split(source, data, split))

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of the split."""
        return {"reference": self.data.fingerprint}

    def default_n(self, source: SampleSource, full: bool) -> int:
        """All items of the split, but at most max_default_n, or max_quick_n where not full."""
        return min(self.max_default_n if full else self.max_quick_n, len(self.data))

    def comparison_images(self, source: SampleSource, seed: int) -> Mapping[str, Image | str]:
        """The sample grids of training, of the first items of the reference."""
        method = source.method
        assert method is not None
        batch = self.data.prepare(**source.data_args).batch(np.arange(min(8, len(self.data))), method.device)
        shown = {name or "samples": image for name, image in method.sample_grids(batch).items()}
        method.eval()
        return shown


def open_split(source: SampleSource, data: str | Path, split: str | None) -> Any:
    """Data of the kind of the source's method: the named split, or test, or val, or all there is. Raises UserError."""
    assert source.method is not None
    kind = source.method.data_type
    if split is not None:
        return kind.open(data, split)
    first = kind.open(data)
    other = next((name for name in ("test", "val") if name in first.splits), None)
    return kind.open(data, other) if other else first


def read_as_trained(source: SampleSource, data: str | Path) -> str | Path:
    """The place of data, to be read as the source's training data was, where nothing else is stated with it.

    Raises UserError for data in memory of another medium.
    """
    if isinstance(data, PythonData):
        check_medium(Images if source.method is None else source.method.data_type, data)
    stated, trained = getattr(data, "stated", {}), source.trained_on
    return DataSpec(data, *(stated.get(name) or trained.get(name) for name in STATED))


def training_data_notes(source: SampleSource, data: Any) -> list[str]:
    """A note where the reference is the training data of the run."""
    if source.trained_on.get("fingerprint") == data.fingerprint:
        return [MEMORISED]
    return []


def transfer_notes(source: SampleSource, train: Any, items: str) -> list[str]:
    """A note where the run was trained on other data than `train`, whose items are called `items`."""
    trained_on = source.trained_on
    if not trained_on or trained_on.get("fingerprint") == train.fingerprint:
        return []
    return [
        f"the run was trained on {trained_on.get('name')} (fingerprint {trained_on.get('fingerprint')}), not on the "
        f"training {items} here ({train.name}, fingerprint {train.fingerprint}): the scores measure transfer."
    ]


def seen_in_training_notes(source: SampleSource, net: Any) -> list[str]:
    """A note where images are compared by the frozen network that the run has learnt with."""
    if net is None or getattr(getattr(source.method, "config", None), "feature_network", None) != net.fingerprint:
        return []
    return [
        f"{net.name} is the frozen network that the run has learnt with, which flatters its scores; to compare with "
        "other methods give another network: --features FILE."
    ]
