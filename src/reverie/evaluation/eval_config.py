"""EvalConfig: the options of an evaluation. Imports no torch, so that help answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from reverie._version import __version__
from reverie.core.constraints import Range
from reverie.evaluation.metric_selection import SLOW


@dataclass(frozen=True)
class EvalConfig:
    """The options of an evaluation, but for those of a method's own scores."""

    metrics: tuple[str, ...] | None = None
    """the scores to compute, names or groups with commas between them, such as fid,kid or copying; none: all that take
    no training"""
    full: bool = False
    """all scores, on as many items as papers take; takes minutes, and trains a classifier for those of classes. By
    default a quick set, about a minute for images of 32 pixels"""
    features: str | Path | None = None
    """the network whose features images are compared by: imagenet (installed), inception (downloaded), classifier
    (trained here on the data's labels), a weights file, or the run of a classifier; none: imagenet"""
    n: int | None = None
    """items to generate; none: 1,024 images, with --full 5,000, or as many as the reference set if it has fewer"""
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    """of the generated images"""
    split: str | None = None
    """the split to compare with; none: test, or half of data that has no splits"""
    gan_train: bool = False
    """of a class-conditional generator, also the accuracy of a classifier trained on its images (GAN-train); takes
    minutes"""
    baselines: bool = True
    """of a restoration run, also the scores of classical methods on the same degraded images; takes a second or more an
    image"""
    lpips: str | Path | None = None
    """for paired data and restoration: the weights of LPIPS, FILE or FILE,FILE: torchvision's AlexNet and the authors'
    linear layers; none: no LPIPS"""

    def wants(self, *names: str) -> bool:
        """Whether one of these scores is to be computed."""
        if self.metrics is not None:
            return any(name in self.metrics for name in names)
        return self.full or any(name not in SLOW for name in names)

    def record(self, fingerprints: dict[str, str], default_n: int) -> dict[str, Any]:
        """As the "config" of scores.json: two evaluations of one run with equal records give equal scores.

        fingerprints: of the data that is compared with. Raises UserError if a weights file cannot be read.
        """
        from reverie.evaluation.feature_extractors import fingerprint_of
        from reverie.evaluation.lpips import fingerprints_of

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
