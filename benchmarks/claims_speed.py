"""What the ledger claims of the speed of training."""

from __future__ import annotations

from benchmarks.claim import Claim, Experiment
from benchmarks.speed import ROWS

BESIDE = (
    "nothing else on the machine. Beside each row a plain loop over the same networks, in turns; that of seqgan writes "
    "one rollout of one position after another, with the convolutions in the form that the authors gave them, and pays "
    "for the same judging of the lines, which is most of the work. The rows' sizes are in the definitions of their "
    "scores."
)
WORDS = "seqgan"
TIMES = 10.0
"""SeqGAN with two cores is to be so many times as fast as the plain loop; the others, with one, are to be as fast"""

EXPERIMENTS = [
    Experiment("speed", "How fast training is", f"One thread, {BESIDE}", "all", "speed",
               options={"rounds": 5, "threads": 1}),
    Experiment("speed-seqgan", "How fast SeqGAN's training is, with two cores", f"Two threads, {BESIDE}",
               "seqgan:paper", "speed", options={"rounds": 5, "threads": 2, "only": (WORDS,)}),
]  # fmt: skip

CLAIMS = [
    claim
    for experiment, name, least in (*(("speed", name, 1.0) for name in ROWS), ("speed-seqgan", WORDS, TIMES))
    for claim in (
        Claim(experiment, f"steps a second, {name}"),
        *[Claim(experiment, f"times the plain loop, {name}", target=f">= {least:g}", at_least=least)]
        * bool(ROWS[name].plain),
        Claim(experiment, f"share of the ceiling, {name}"),
    )
]
