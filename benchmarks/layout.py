"""Which order of numbers in memory, and which Adam, is faster: `python -m benchmarks layout`.

A step of each method in each variant, measured in turns in one process. The rule in `reverie.layout` rests on it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import task
from benchmarks.ceiling import LAYOUTS
from benchmarks.speed import Row, prepare
from reverie.core.update import Update
from reverie.utils.distributed import Ranks
from reverie.utils.environment import machine

ROWS = [
    Row("dcgan", "shapes:200", dict(size=32, batch_size=64)),
    Row("dcgan", "shapes:200", dict(size=64, batch_size=64)),
    Row("dcgan:stable", "shapes:200", dict(size=64, batch_size=64)),
    Row("vae", "shapes:200", dict(size=32, batch_size=64)),
    Row("vae", "shapes:200", dict(size=64, batch_size=64)),
    Row("classifier", "shapes:200", dict(size=32, batch_size=64)),
]
VARIANTS = [("contiguous", False), ("channels_last", False), ("contiguous", True), ("channels_last", True)]
"""(layout, whether the optimizers are fused); the first is 1"""


def main(words: list[str]) -> None:
    """Prints a line for each method, or one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks layout", description=__doc__)
    task.add_common(parser, rounds=5)
    asked = parser.parse_args(words)
    task.settle(asked)
    told: dict[str, Any] = {"machine": machine(), "rounds": asked.rounds, "rows": []}
    names = [layout + (", fused" if fused else "") for layout, fused in VARIANTS]
    if not asked.json:
        print(f"{told['machine']['cpu']}, {torch.get_num_threads()} threads, torch {torch.__version__}, medians of "
              f"{asked.rounds} rounds; times as fast as the first\n{'':34}"
              + "".join(f"{name:>22}" for name in names))  # fmt: skip
    for row in ROWS:
        ms = dict(zip(names, race([stepper(row, *variant) for variant in VARIANTS], asked.rounds), strict=True))
        title = f"{row.method} {row.options['size']}x{row.options['size']}, batch {row.options['batch']}"
        told["rows"].append({"row": title, "ms": ms})
        if not asked.json:
            first = f"{ms[names[0]]:.1f} ms"
            print(
                f"{title:34}{first:>22}" + "".join(f"{ms[names[0]] / ms[name]:22.2f}" for name in names[1:]), flush=True
            )
    if asked.json:
        print(json.dumps(told, indent=2))


def stepper(row: Row, layout: str, fused: bool) -> Callable[[], Any]:
    """A function that trains a step of a row in a variant."""
    method, data, batch = prepare(row)
    for weights in method.parameters():
        if weights.ndim == 4:
            weights.data = weights.data.contiguous(memory_format=LAYOUTS[layout])
    optimizers = method.optimizers()
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["fused"] = fused
    update, stage, items = Update(optimizers, Ranks("cpu")), method.stages()[0], data.batch(range(batch))
    return lambda: stage.step(items, update)


def race(steps: list[Callable[[], Any]], rounds: int) -> list[float]:
    """The median ms of each, called in turns, after a call each to warm up."""
    spent: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds + 1):
        for step, times in zip(steps, spent, strict=True):
            began = time.perf_counter()
            step()
            times.append(1e3 * (time.perf_counter() - began))
    return [statistics.median(times[1:]) for times in spent]
