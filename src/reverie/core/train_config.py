"""Options of a run: batch size, seed, device, cadence. (Those of the paper are in a method's own Config.)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from reverie.core.constraints import Count, Range
from reverie.core.options import short_repr


@dataclass(frozen=True, repr=False)
class TrainConfig:
    """The options of one run. No name here is also a field of a method's Config (tests/test_contract.py)."""

    batch_size: Count = 64
    """items a step, over all ranks together"""
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    """all random numbers of the run follow from it"""
    device: str = "auto"
    """"auto" (the GPU if there is one, else the CPU), "cpu", "cuda", "cuda:1", "mps" """
    precision: Literal["fp32", "bf16"] = "fp32"
    """arithmetic of the step; bf16 by autocast, for GPUs and for CPUs with AVX512-BF16 or AMX, where a step takes 55 to
    80 % of its time; on other CPUs it is far slower"""
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    """memory format of convolutional networks; auto: what was measured to be faster (training/memory_format.py).
    Kept on resume, since another one rounds differently"""
    threads: Annotated[int, Range(0, 1024)] = 0
    """CPU threads for arithmetic; 0: all cores. Kept on resume, since another number rounds differently"""
    log_every: Count = 50
    """steps between lines of log.jsonl; each line holds the mean losses of the steps since the last"""
    checkpoint_every: Count = 500
    """steps between checkpoints"""
    sample_every: Count = 500
    """steps between images in samples/"""
    on_failure: Literal["warn", "stop", "rollback"] = "warn"
    """what alerts of the monitor lead to: a warning; a stop; or the last checkpoint from before the failure, with other
    random numbers and half the learning rates, up to 3 times. A value that is not finite stops a run also with warn"""
    tensorboard: bool = False
    """also write TensorBoard event files (needs the extra: pip install 'reverie[tensorboard]')"""

    def __repr__(self) -> str:
        return short_repr(self)


SMOKE = dict(steps=20, log_every=5, checkpoint_every=10, sample_every=10)
"""the cadence of every method's preset "smoke", which names only what makes its networks small"""
