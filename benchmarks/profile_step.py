"""Where the time of a training step goes: `python -m benchmarks profile_step ROW`, by torch.profiler."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import common
from benchmarks.ceiling import Ceiling, calls
from benchmarks.speed import BATCH, ROWS, STEP, Row, StepTimer, one_step, row_of
from reverie.utils.environment import machine

PARTS = (
    ("Adam", ("Optimizer.step", "Optimizer.zero_grad")),
    ("convolutions, backward", ("ConvolutionBackward", "convolution_backward")),
    ("convolutions, forward", ("aten::convolution", "aten::conv2d", "aten::conv_transpose2d")),
    ("matrix products", ("aten::addmm", "aten::mm", "aten::linear", "AddmmBackward", "MmBackward")),
    ("norms, backward", ("NormBackward",)),
    ("norms, forward", ("_norm",)),
    ("activations", ("relu", "Relu", "tanh", "Tanh", "silu", "Silu", "sigmoid")),
)
"""(part, words): an operation belongs to the first part of which a word is in its name or a caller's name"""
FORWARD, BACKWARD, PRODUCTS = PARTS[2][0], PARTS[1][0], PARTS[3][0]
REST, TRAINER = "the rest of the step", "the trainer itself"


def main(words: list[str]) -> None:
    """Prints the profile of a row, or one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks profile_step", description=__doc__)
    parser.add_argument("row", help=f"one of {', '.join(ROWS)}")
    parser.add_argument("--steps", type=int, help="number of steps that are profiled [three rounds of speed]")
    common.add_timing_flags(parser)
    args = parser.parse_args(words)
    row = row_of(args.row)
    args.steps = 3 * row.steps if args.steps is None else args.steps
    common.apply_timing_flags(args)
    with tempfile.TemporaryDirectory() as folder:
        result = {"row": args.row, "machine": machine()} | profile_step(row, Path(folder), args.steps)
    print(json.dumps(result, indent=2) if args.json else describe(result))


def profile_step(row: Row, folder: Path, steps: int) -> dict[str, Any]:
    """ms per step and GFLOP/s of each part (PARTS), and of each convolution by the shapes of its input and weights.

    folder: for the run folder; steps: how many are profiled, after as many to warm up.
    """
    train_step, method = one_step(row)
    work = count_work(train_step)
    ceiling = Ceiling(list(method.children()), train_step)
    profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True)

    def between() -> None:
        if len(timer.rounds) == 2:
            profiler.stop()
        ceiling.measure()
        if len(timer.rounds) == 1:  # the first round warms up
            profiler.start()

    with StepTimer(steps, between, type(method).data_type) as timer:
        memory_format = timer.train(row, folder / "run", 2 * steps + 1)
    spent: dict[Any, float] = defaultdict(float)  # ms per step
    for event in profiler.events():
        spent[part_of(event)] += event.self_cpu_time_total / 1e3 / steps
        operation = event.name.removeprefix("aten::")
        if operation in ("convolution", "convolution_backward"):
            spent[operation, layer_of(operation, event.input_shapes)] += event.cpu_time_total / 1e3 / steps
    total = timer.rounds[1]["all"]
    spent[TRAINER] = total - timer.rounds[1]["step"] - timer.rounds[1]["batch"]
    case, rate = ceiling.best()
    flop = sum(work[part] for part, _ in PARTS)
    return {
        "ms": total, "memory_format": memory_format, "ceiling_gflops": rate, "ceiling": case,
        "gflops": flop / 1e6 / total, "of_ceiling": flop / 1e6 / total / rate,
        "parts": table(spent, work, [*dict(PARTS), REST, BATCH, TRAINER]),
        "convolutions": table(spent, work, [key for key in spent if isinstance(key, tuple)]),
    }  # fmt: skip


def count_work(train_step: Callable[[], Any]) -> dict[Any, int]:
    """FLOP of a step by part, and by (operation, shapes) of each convolution."""
    work: dict[Any, int] = defaultdict(int)
    for call in calls(train_step):
        part = {"convolution": FORWARD, "convolution_backward": BACKWARD}.get(call.operation, PRODUCTS)
        work[part] += call.flop
        if part != PRODUCTS:
            work[call.operation, layer_of(call.operation, call.shapes)] += call.flop
    return work


def table(spent: dict[Any, float], work: dict[Any, int], keys: list[Any]) -> list[dict[str, Any]]:
    """Rows for these keys, the longest time first: ms per step, and GFLOP/s where FLOP are counted."""
    return [
        {"what": key, "ms": spent[key], "gflops": work[key] / 1e6 / spent[key] if work[key] else None}
        for key in sorted((key for key in keys if spent[key]), key=lambda key: -spent[key])
    ]


def layer_of(operation: str, shapes: Any) -> Any:
    """(shape of the input, shape of the weights) of a convolution, from the shapes of its arguments."""
    at = 1 if operation == "convolution_backward" else 0
    return tuple(tuple(shape) for shape in shapes[at : at + 2])


def part_of(event: Any) -> str:
    """The part that an event of the profiler belongs to."""
    names = []
    while event is not None:
        names.append(event.name)
        event = event.cpu_parent
    if STEP not in names:
        return BATCH if BATCH in names else TRAINER
    return next((part for part, words in PARTS if any(word in name for name in names for word in words)), REST)


def describe(result: dict[str, Any]) -> str:
    """The profile as a table."""
    lines = [
        f"{result['row']}: {result['ms']:.1f} ms per step under the profiler, {result['memory_format']}, "
        f"{result['machine']['threads']} threads, torch {torch.__version__}",
        f"  {result['gflops']:.1f} GFLOP/s = {result['of_ceiling']:.0%} of the ceiling "
        f"({result['ceiling_gflops']:.1f}: {result['ceiling']})",
    ]
    for part in result["parts"]:
        lines.append(f"  {part['what']:24} {_columns(part, result['ms'])}")
    if result["convolutions"]:
        lines.append("  each convolution, by the shapes of its input and weights:")
    for layer in result["convolutions"]:
        operation, (x, weight) = layer["what"]
        lines.append(f"  {operation:21}{x!s:18} {weight!s:17} {_columns(layer, result['ms'])}")
    return "\n".join(lines)


def _columns(row: dict[str, Any], total: float) -> str:
    """ms, share of the total, and GFLOP/s where they are known."""
    rate = f"  {row['gflops']:6.1f} GFLOP/s" if row["gflops"] else ""
    return f"{row['ms']:8.2f} ms {row['ms'] / total:6.1%}{rate}"
