"""Quantities as people write them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """A duration as people say it: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def counted(count: int, noun: str) -> str:
    """ "1 image", "2 images"."""
    return f"{count:,} {noun if count == 1 else noun + 's'}"
