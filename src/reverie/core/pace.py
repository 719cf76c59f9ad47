"""How long a job will take, said after its first part."""

from __future__ import annotations

import sys
import time

from reverie.utils.formatting import clock

LONG = 20.0
"""seconds of remaining work above which something is said"""
MEASURED = 1.0
"""seconds of work that an estimate is made from, at least"""


class Pace:
    """Says once on stderr how long a job of many equal parts will take, if that is long: "1,000 bars: about 3 min"."""

    def __init__(self, total: float, what: str) -> None:
        """total: of the job, in the unit that `what` names in the plural."""
        self.total, self.what, self.done, self.said = total, what, 0.0, False
        self.began = time.monotonic()

    def advance(self, count: float) -> None:
        """Notes that `count` more are done."""
        self.done += count
        seconds = time.monotonic() - self.began
        if self.said or seconds < MEASURED or not self.done:
            return
        self.said = True
        remaining = seconds / self.done * (self.total - self.done)
        if remaining > LONG:
            print(f"{self.total:,.0f} {self.what}: about {clock(remaining)} more", file=sys.stderr, flush=True)
