"""What the ledger claims: experiments, and the figures that others published for the like of them."""

from __future__ import annotations

from benchmarks import claims_images, claims_sequences, claims_speed, claims_translations
from benchmarks.claim import Claim, Experiment

ROOMS = (claims_images, claims_translations, claims_sequences, claims_speed)
EXPERIMENTS: dict[str, Experiment] = {e.name: e for room in ROOMS for e in room.EXPERIMENTS}
CLAIMS: list[Claim] = [claim for room in ROOMS for claim in room.CLAIMS]
