"""Random numbers that depend on a seed and an item's index alone, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.utils.errors import UserError


def noise(seed: int, items: Sequence[int], *shape: int, device: torch.device | str = "cpu") -> Tensor:
    """Standard normal numbers [len(items), *shape], float32; row i depends on (seed, items[i]) alone.

    Raises UserError if the seed is out of range.
    """
    _check(seed)
    rows = [np.random.Generator(np.random.Philox(key=[seed, i])).standard_normal(shape, np.float32) for i in items]
    return torch.from_numpy(np.stack(rows)).to(device)


def uniforms(seed: int, items: Sequence[int], *shape: int, device: torch.device | str = "cpu") -> Tensor:
    """Uniform numbers in [0,1) [len(items), *shape], float32; row i depends on (seed, items[i]) alone.

    Raises UserError if the seed is out of range.
    """
    _check(seed)
    rows = [np.random.Generator(np.random.Philox(key=[seed, i])).random(shape, np.float32) for i in items]
    return torch.from_numpy(np.stack(rows)).to(device)


def seed_for(seed: int, source: Any) -> int:
    """The seed of an item that is made from another: of its `digest` alone, not of its place among others."""
    return seed_of(seed, int(source.digest, 16))


def seed_of(*numbers: int) -> int:
    """One 63-bit seed from several numbers (SplitMix64, folded)."""
    x = 0
    for number in numbers:
        x = (x ^ number) + 0x9E3779B97F4A7C15 & (1 << 64) - 1
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
        x = (x ^ x >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
        x ^= x >> 31
    return x >> 1


def _check(seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise UserError(f"seed is {seed}; give a whole number from 0 to 2^63 - 1.")
