"""How long an evaluation will take, from a timed chunk of each of its parts, said before it begins."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from reverie.utils.formatting import clock

LEAST = 10.0
"""seconds from which an estimate is said"""


class TimeEstimate:
    """The sum of the parts of a piece of work, each timed on a few of its items."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.parts: list[str] = []

    def add(self, what: str, n: int, chunk: int, work: Callable[[int], Any], extra: float = 0) -> None:
        """A part of n items, of which `work(chunk)` is done twice: the first time warms up.

        extra: what is done besides, as a number of items
        """
        if n <= 0:
            return
        chunk = min(chunk, n)
        began = time.monotonic()
        work(chunk)
        seconds = time.monotonic() - began
        if seconds < 1:
            began = time.monotonic()
            work(chunk)
            seconds = time.monotonic() - began
        self.seconds += seconds * (n + extra) / chunk
        self.parts.append(f"{n:,} {what}")

    def add_with_overhead(self, what: str, n: int, chunk: int, work: Callable[[int], Any]) -> None:
        """A part of n items that costs something before the first: `work` of 2 and of 2 + chunk items is timed."""
        began = time.monotonic()
        work(2)
        middle = time.monotonic()
        work(2 + chunk)
        first, more = middle - began, time.monotonic() - middle
        self.seconds += first + max(more - first, more / 50) / chunk * n
        self.parts.append(f"{n:,} {what}")

    def say(self, hint: str) -> None:
        """Prints a line on stderr, unless it is soon done; hint: how to have more or less of it."""
        if self.seconds >= LEAST:
            print(f"up to {clock(self.seconds)}: {', '.join(self.parts)}{hint}", file=sys.stderr, flush=True)
