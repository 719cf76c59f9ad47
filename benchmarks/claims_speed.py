"""What the ledger claims of the speed of training."""

from __future__ import annotations

from .claim import Claim, Experiment
from .speed import ROWS

TIMES = {"seqgan": 10.0}
"""rows that are to be so many times as fast as the plain loop; the others are to be as fast"""

EXPERIMENTS = [
    Experiment(
        "speed", "How fast training is",
        "One thread, nothing else on the machine. Beside each row a plain loop over the same networks, in turns; that "
        "of seqgan writes one rollout of one position after another, and it pays for the same judging of the lines, "
        "which is most of the work. The rows' sizes are in the definitions of their scores.",
        "all", "speed", options={"rounds": 5, "threads": 1},
    ),
]  # fmt: skip

CLAIMS = [
    claim
    for name, row in ROWS.items()
    for claim in (
        Claim("speed", f"steps a second, {name}"),
        *(
            Claim("speed", f"times the plain loop, {name}", target=f">= {least:g}", at_least=least)
            for least in [TIMES.get(name, 1.0)] * bool(row.plain)
        ),
        Claim("speed", f"share of the ceiling, {name}"),
    )
]
