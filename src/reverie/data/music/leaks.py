"""What splits of music share, and what is lost of them: what training and `data inspect` both warn of."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from reverie.data.music.windows import transposition_invariant

LOST = 0.1
"""share of the pieces that may be lost without a warning"""
LEAK = 0.05
"""share of the windows of a split that may stand in train without a warning"""


class Windows(Protocol):
    """What is asked of a split of music here."""

    split: str
    used: int
    """pieces with windows"""
    dropped: list[Any]

    @property
    def array(self) -> np.ndarray:
        """Windows of events [N,I,T]."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The instruments, I of them."""


def count_shared(train: Windows, other: Windows) -> int:
    """How many windows of one split are one of another, in whatever key."""
    known = {row.tobytes() for row in transposition_invariant(train.array, train.parts)}
    return sum(row.tobytes() in known for row in transposition_invariant(other.array, other.parts))


def lost_pieces(data: Windows) -> list[str]:
    """A warning where more than a tenth of the pieces give no window."""
    lost, found = len(data.dropped), data.used + len(data.dropped)
    return [f"{lost} of {found} files of {data.split} give no window: see the reasons"] if lost > LOST * found else []
