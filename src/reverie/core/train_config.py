"""What a run decides: batch size, seed, device, cadence. (What the paper decides is in a method's own Config.)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reverie.utils.errors import UserError


@dataclass(frozen=True)
class TrainConfig:
    """The settings of one run. No name here is also a field of a method's Config (a test sees to it)."""

    batch_size: int = 64
    """items a step, over all ranks together"""
    seed: int = 0
    """the one number that all randomness of the run follows from"""
    device: str = "auto"
    """"auto" (the GPU if there is one, else the CPU), "cpu", "cuda", "cuda:1", "mps" """
    precision: Literal["fp32", "bf16"] = "fp32"
    """arithmetic of the step; bf16 by autocast, for GPUs (on most CPUs it is far slower)"""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """order of numbers in the memory of convolutional networks; auto: what was measured to be faster, see layout.py.
    Kept on resume, since another order rounds otherwise"""
    threads: int = 0
    """CPU threads for arithmetic; 0: all cores. Kept on resume, since another number rounds otherwise"""
    log_every: int = 50
    """steps between lines of log.jsonl; each line holds the mean losses of the steps since the last"""
    checkpoint_every: int = 500
    """steps between saves"""
    sample_every: int = 500
    """steps between preview pictures in samples/"""
    on_failure: Literal["warn", "stop", "rollback"] = "warn"
    """what the monitor's findings lead to: a warning; a stop; or the last save from before the trouble, with other
    random numbers and half the rates, up to 3 times. What is not a number stops a run in any case but the last"""
    tensorboard: bool = False
    """also write TensorBoard event files (needs the extra: pip install 'reverie[tensorboard]')"""

    def __post_init__(self) -> None:
        for name in ("batch_size", "log_every", "checkpoint_every", "sample_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        if not 0 <= self.threads <= 1024:
            raise UserError(f"threads is {self.threads}; give 0 (all cores), or a number up to 1024.")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed is {self.seed}; give a whole number from 0 to 2^63 - 1.")
