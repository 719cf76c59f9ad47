"""How scores are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverie._version import __version__
from reverie.evaluation.evaluators import Evaluator
from reverie.evaluation.feature_extractors import fingerprint_of
from reverie.evaluation.lpips import fingerprints_of
from reverie.evaluation.samples_source import SampleSource


@dataclass(frozen=True)
class EvalConfig:
    """How scores are asked for."""

    features: str | Path | None = None
    n: int | None = None
    seed: int = 0
    split: str | None = None
    taught: bool = False
    classical: bool = True
    lpips: str | Path | None = None

    def told(self, subject: SampleSource, bench: Evaluator) -> dict[str, Any]:
        """What is measured on, and how, but for the options of a method's own scores."""
        return {
            **bench.fingerprints, "n": self.n or bench.count(subject), "seed": self.seed,
            "features": None if self.features is None else fingerprint_of(self.features), "taught": self.taught,
            "classical": self.classical, "lpips": None if self.lpips is None else fingerprints_of(self.lpips),
            "reverie": __version__,
        }  # fmt: skip
