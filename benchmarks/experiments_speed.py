"""Experiments of the ledger: the speed of training."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.experiment import Claim, Experiment
from benchmarks.speed import ROWS

CONDITIONS = (
    "nothing else on the machine. Beside each row a reference loop over the same networks, in turns; that of seqgan "
    "samples one rollout of one position after another, with the convolutions in the form that the authors gave them, "
    "and pays for the same rewards of the lines, which is most of the work. The rows' sizes are in the definitions of "
    "their scores."
)
SEQGAN = "seqgan"
SEQGAN_SPEEDUP = 10.0
"""with two threads SeqGAN is to be so many times as fast as the reference loop; the others, with one, as fast"""

EXPERIMENTS = [
    Experiment("speed", "How fast training is", f"One thread, {CONDITIONS}", "all", "speed",
               options={"rounds": 5, "threads": 1}),
    Experiment("speed-seqgan", "How fast SeqGAN's training is, with two cores", f"Two threads, {CONDITIONS}",
               "seqgan:paper", "speed", options={"rounds": 5, "threads": 2, "only": (SEQGAN,)}),
]  # fmt: skip


def _claims(experiment: str, row: str, speedup: float) -> Iterator[Claim]:
    """The claims of a row of the speed benchmark."""
    yield Claim(experiment, f"steps per second, {row}")
    if ROWS[row].reference:
        name = f"speedup over the reference loop, {row}"
        yield Claim(experiment, name, target=f">= {speedup:g}", at_least=speedup)
    yield Claim(experiment, f"share of the ceiling, {row}")


CLAIMS = [claim for row in ROWS for claim in _claims("speed", row, 1.0)]
CLAIMS += _claims("speed-seqgan", SEQGAN, SEQGAN_SPEEDUP)
