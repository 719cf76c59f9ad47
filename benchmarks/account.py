"""Where the time of a training step goes: `python -m benchmarks profile ROW`, by torch.profiler, under the loop."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import task
from benchmarks.ceiling import Ceiling, calls
from benchmarks.speed import BATCH, ROWS, STEP, Row, Watch, one_step, row_of
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
"""what an operation belongs to: the first part of whose words one is in its name, or in that of what called it"""
REST, LOOP = "the rest of the step", "the loop itself"


def main(words: list[str]) -> None:
    """Prints the account of a row, or one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks profile", description=__doc__)
    parser.add_argument("row", help=f"one of {', '.join(ROWS)}")
    parser.add_argument("--steps", type=int, help="how many are profiled [three rounds of speed]")
    task.add_common(parser)
    asked = parser.parse_args(words)
    row = row_of(asked.row)
    asked.steps = 3 * row.steps if asked.steps is None else asked.steps
    task.settle(asked)
    with tempfile.TemporaryDirectory() as folder:
        told = {"row": asked.row, "machine": machine()} | account(row, Path(folder), asked.steps)
    print(json.dumps(told, indent=2) if asked.json else describe(told))


def account(row: Row, room: Path, steps: int) -> dict[str, Any]:
    """ms a step and GFLOP/s of each part (PARTS), and of each convolution by the shapes of its input and weights."""
    act, method = one_step(row)
    work: dict[Any, int] = defaultdict(int)
    for call in calls(act):
        part = {"convolution": PARTS[2][0], "convolution_backward": PARTS[1][0]}.get(call.operation, PARTS[3][0])
        work[part] += call.flop
        if part != PARTS[3][0]:
            work[call.operation, layer_of(call.operation, call.shapes)] += call.flop
    ceiling = Ceiling(list(method.children()), act)
    profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True)

    def between() -> None:
        if len(watch.rounds) == 2:
            profiler.stop()
        ceiling.measure()
        if len(watch.rounds) == 1:  # which warmed up
            profiler.start()

    with Watch(steps, between, type(method).data_type) as watch:
        layout = watch.train(row, room / "run", 2 * steps + 1)
    spent: dict[Any, float] = defaultdict(float)  # ms a step
    for event in profiler.events():
        spent[part_of(event)] += event.self_cpu_time_total / 1e3 / steps
        operation = event.name.removeprefix("aten::")
        if operation in ("convolution", "convolution_backward"):
            spent[operation, layer_of(operation, event.input_shapes)] += event.cpu_time_total / 1e3 / steps
    total = watch.rounds[1]["all"]
    spent[LOOP] = total - watch.rounds[1]["step"] - watch.rounds[1]["batch"]
    case, rate = ceiling.best()
    done = sum(work[part] for part, _ in PARTS)
    return {
        "ms": total, "layout": layout, "ceiling_gflops": rate, "ceiling": case, "gflops": done / 1e6 / total,
        "of_ceiling": done / 1e6 / total / rate, "parts": table(spent, work, [*dict(PARTS), REST, BATCH, LOOP]),
        "convolutions": table(spent, work, [key for key in spent if isinstance(key, tuple)]),
    }  # fmt: skip


def table(spent: dict[Any, float], work: dict[Any, int], keys: list[Any]) -> list[dict[str, Any]]:
    """Rows for some of what took time, the longest first: ms a step, and GFLOP/s where FLOP are counted."""
    return [
        {"what": key, "ms": spent[key], "gflops": work[key] / 1e6 / spent[key] if work[key] else None}
        for key in sorted((key for key in keys if spent[key]), key=lambda key: -spent[key])
    ]


def layer_of(operation: str, shapes: Any) -> Any:
    """(shape of the input, shape of the weights) of a convolution, from the shapes that it was called with."""
    at = 1 if operation == "convolution_backward" else 0
    return tuple(tuple(shape) for shape in shapes[at : at + 2])


def part_of(event: Any) -> str:
    """The part that an event of the profiler belongs to."""
    names = []
    while event is not None:
        names.append(event.name)
        event = event.cpu_parent
    if STEP not in names:
        return BATCH if BATCH in names else LOOP
    return next((part for part, words in PARTS if any(word in name for name in names for word in words)), REST)


def describe(told: dict[str, Any]) -> str:
    """The account as a table."""
    lines = [
        f"{told['row']}: {told['ms']:.1f} ms a step under the profiler, {told['layout']}, "
        f"{told['machine']['threads']} threads, torch {torch.__version__}",
        f"  {told['gflops']:.1f} GFLOP/s = {told['of_ceiling']:.0%} of the ceiling "
        f"({told['ceiling_gflops']:.1f}: {told['ceiling']})",
    ]
    for f in told["parts"]:
        lines.append(f"  {f['what']:24} {f['ms']:8.2f} ms {f['ms'] / told['ms']:6.1%}{rate_of(f)}")
    if told["convolutions"]:
        lines.append("  each convolution, by the shapes of its input and weights:")
    for f in told["convolutions"]:
        operation, (x, weight) = f["what"]
        lines.append(
            f"  {operation:21}{x!s:18} {weight!s:17} {f['ms']:8.2f} ms {f['ms'] / told['ms']:6.1%}{rate_of(f)}"
        )
    return "\n".join(lines)


def rate_of(found: dict[str, Any]) -> str:
    """The last column."""
    return f"  {found['gflops']:6.1f} GFLOP/s" if found["gflops"] else ""
