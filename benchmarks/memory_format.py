"""Which memory format, and which implementation of Adam, is faster: `python -m benchmarks memory_format`.

A step of each method in each variant, measured in turns in one process. The rule in
reverie/training/memory_format.py is based on it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import common
from benchmarks.ceiling import MEMORY_FORMATS
from benchmarks.speed import Row, prepare
from reverie.core.update import Update
from reverie.utils.distributed import Ranks
from reverie.utils.environment import machine

ROWS = [
    Row("dcgan:plain", "shapes:200", dict(size=32, batch_size=64)),
    Row("dcgan:plain", "shapes:200", dict(size=64, batch_size=64)),
    Row("dcgan:stable", "shapes:200", dict(size=64, batch_size=64)),
    Row("vae", "shapes:200", dict(size=32, batch_size=64)),
    Row("vae", "shapes:200", dict(size=64, batch_size=64)),
    Row("classifier", "shapes:200", dict(size=32, batch_size=64)),
]
VARIANTS = [("contiguous", False), ("channels_last", False), ("contiguous", True), ("channels_last", True)]
"""(memory format, whether the optimizers are fused); speeds are relative to the first"""


def main(words: list[str]) -> None:
    """Prints a line for each method, or one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory_format", description=__doc__)
    common.add_timing_flags(parser, rounds=5)
    args = parser.parse_args(words)
    common.apply_timing_flags(args)
    result: dict[str, Any] = {"machine": machine(), "rounds": args.rounds, "rows": []}
    names = [f"{memory_format}, fused" if fused else memory_format for memory_format, fused in VARIANTS]
    if not args.json:
        print(f"{result['machine']['cpu']}, {torch.get_num_threads()} threads, torch {torch.__version__}, medians of "
              f"{args.rounds} rounds; speed relative to the first\n{'':34}"
              + "".join(f"{name:>22}" for name in names))  # fmt: skip
    for row in ROWS:
        steps = [train_step(row, *variant) for variant in VARIANTS]
        ms = dict(zip(names, time_in_turns(steps, args.rounds), strict=True))
        title = f"{row.method} {row.options['size']}x{row.options['size']}, batch_size {row.options['batch_size']}"
        result["rows"].append({"row": title, "ms": ms})
        if not args.json:
            first = f"{ms[names[0]]:.1f} ms"
            print(
                f"{title:34}{first:>22}" + "".join(f"{ms[names[0]] / ms[name]:22.2f}" for name in names[1:]), flush=True
            )
    if args.json:
        print(json.dumps(result, indent=2))


def train_step(row: Row, memory_format: str, fused: bool) -> Callable[[], Any]:
    """A function that trains a step of a row in a variant."""
    method, data, batch_size = prepare(row)
    for weights in method.parameters():
        if weights.ndim == 4:
            weights.data = weights.data.contiguous(memory_format=MEMORY_FORMATS[memory_format])
    optimizers = method.optimizers()
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["fused"] = fused
    update, stage, items = Update(optimizers, Ranks("cpu")), method.stages()[0], data.batch(range(batch_size))
    return lambda: stage.step(items, update)


def time_in_turns(functions: list[Callable[[], Any]], rounds: int) -> list[float]:
    """The median ms of each function, called in turns, after one call of each to warm up."""
    measured: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds + 1):
        for function, ms in zip(functions, measured, strict=True):
            began = time.perf_counter()
            function()
            ms.append(1e3 * (time.perf_counter() - began))
    return [statistics.median(ms[1:]) for ms in measured]
