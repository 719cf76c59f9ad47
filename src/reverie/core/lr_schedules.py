"""Learning rate schedules: share of a stage's steps done, `progress` in [0,1) -> factor on the learning rate."""

from __future__ import annotations

import math


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def cosine(progress: float) -> float:
    """From 1 down to 0 along half a cosine (Loshchilov & Hutter 2016, arXiv:1608.03983, eq. 5)."""
    return (1 + math.cos(math.pi * progress)) / 2


def cosine_with_warmup(progress: float) -> float:
    """Linear warm-up from 0.05 to 1 over the first tenth, then half a cosine down to 0."""
    if progress < 0.1:
        return max(0.05, progress / 0.1)
    return (1 + math.cos(math.pi * (progress - 0.1) / 0.9)) / 2


def resnet_steps(progress: float) -> float:
    """1, then 0.1 from 1/2 and 0.01 from 3/4 (He 2015, arXiv:1512.03385, section 4.2: at 32k and 48k of 64k steps)."""
    if progress < 1 / 2:
        return 1.0
    return 0.1 if progress < 3 / 4 else 0.01


def burda(progress: float) -> float:
    """10^(-i/7) during 3^i of 3280 shares, i = 0..7 (Burda 2015, arXiv:1509.00519, section 5)."""
    i = min(7, int(math.log(2 * 3280 * progress + 1, 3) + 1e-9))
    return 10 ** (-i / 7)


def late_exponential(progress: float) -> float:
    """1 for the first half, then exponentially down to 0.01 (as in the code of Donahue 2016, arXiv:1605.09782)."""
    return min(1.0, 10 ** (2 - 4 * progress))


def linear(progress: float) -> float:
    """1 for the first half, then linearly down to 0 (as in the code of Isola 2016 and Zhu 2017)."""
    return min(1.0, 2 - 2 * progress)
