"""Schedules of the learning rate: share of the steps done, in [0,1) -> factor on the rate."""

from __future__ import annotations

import math


def cosine(done: float) -> float:
    """From 1 down to 0 along half a wave (Loshchilov & Hutter 2016, arXiv:1608.03983, eq. 5)."""
    return (1 + math.cos(math.pi * done)) / 2


def burda(done: float) -> float:
    """10^(-i/7) during 3^i of 3280 shares, i = 0..7 (Burda 2015, arXiv:1509.00519, section 5)."""
    i = min(7, int(math.log(2 * 3280 * done + 1, 3) + 1e-9))
    return 10 ** (-i / 7)


def late(done: float) -> float:
    """1 for the first half, then exponentially down to 1/100 (as the code of Donahue 2016, arXiv:1605.09782, does)."""
    return min(1.0, 10 ** (2 - 4 * done))


def linear(done: float) -> float:
    """1 for the first half, then down to 0 in a straight line (Isola 2016's and Zhu 2017's code)."""
    return min(1.0, 2 - 2 * done)
