"""EvalConfig: the options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverie._version import __version__
from reverie.evaluation.feature_extractors import fingerprint_of
from reverie.evaluation.lpips import fingerprints_of
from reverie.evaluation.metric_selection import SLOW


@dataclass(frozen=True)
class EvalConfig:
    """The options of an evaluation, but for those of a method's own scores."""

    features: str | Path | None = None
    """network that images are compared by: "imagenet", "classifier", "inception", a weights file or a classifier's run;
    None: "imagenet" """
    metrics: tuple[str, ...] | None = None
    """names of the scores to compute; None: all, or without `full` those that need no training"""
    full: bool = False
    """whether to score as many items, and as thoroughly, as papers do; else in about a minute"""
    n: int | None = None
    """items to generate; None: the evaluator's default"""
    seed: int = 0
    split: str | None = None
    """split of the data to compare with; None: test, or val, or a half of data with one split"""
    gan_train: bool = False
    """whether to train a classifier on generated images, for GAN-train accuracy"""
    baselines: bool = True
    """whether to score classical restoration tools on the same degraded images"""
    lpips: str | Path | None = None
    """the weights for LPIPS, FILE or FILE,FILE; None: no LPIPS"""

    def wants(self, *names: str) -> bool:
        """Whether one of these scores is to be computed."""
        if self.metrics is not None:
            return any(name in self.metrics for name in names)
        return self.full or any(name not in SLOW for name in names)

    def record(self, fingerprints: dict[str, str], default_n: int) -> dict[str, Any]:
        """As the "config" of scores.json: two evaluations of one run with equal records give equal scores.

        fingerprints: of the data that is compared with. Raises UserError if a weights file cannot be read.
        """
        return {
            **fingerprints,
            "n": self.n or default_n,
            "seed": self.seed,
            "features": fingerprint_of(self.features),
            "metrics": list(self.metrics) if self.metrics is not None else "all" if self.full else "quick",
            "full": self.full,
            "gan_train": self.gan_train,
            "baselines": self.baselines,
            "lpips": None if self.lpips is None else fingerprints_of(self.lpips),
            "reverie": __version__,
        }
