"""All experiments of the ledger, and the figures that others published for comparable ones."""

from __future__ import annotations

from benchmarks import (
    experiments_dreams,
    experiments_images,
    experiments_inpainting,
    experiments_paragraphs,
    experiments_sequences,
    experiments_speed,
    experiments_translations,
    experiments_upscaling,
)
from benchmarks.experiment import Claim, Experiment

MODULES = (
    experiments_images, experiments_translations, experiments_sequences, experiments_speed, experiments_dreams,
    experiments_upscaling, experiments_paragraphs, experiments_inpainting,
)  # fmt: skip
EXPERIMENTS: dict[str, Experiment] = {e.name: e for module in MODULES for e in module.EXPERIMENTS}
CLAIMS: list[Claim] = [claim for module in MODULES for claim in module.CLAIMS]
