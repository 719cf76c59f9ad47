"""How fast training is: beside a reference loop over the same networks, and beside what the machine can do.

Everything is measured in one process and in turns: some steps of `reverie train`, as many of the reference loop, the
throughput of single layers, and again; figures are medians over the rounds. Run it on an otherwise idle machine.

    steps/s    of reverie.train, everything included: data, step, EMA, log
    GFLOP      of one step, counted, backward pass included
    ceiling    throughput of the fastest single layer (of the networks, or a larger one of its kind), forward only
    trainer    the trainer itself: what is neither the method's step (which includes backward and the optimizers) nor
               fetching the batch: seeding, batch order, EMA, averaging of metrics, progress bar, monitor
"""

from __future__ import annotations

import argparse
import atexit
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass, field, replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import record_function

import reverie
from benchmarks import common, reference_loops
from benchmarks.ceiling import Ceiling, count
from reverie.core.method import Method
from reverie.core.stage import Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Image
from reverie.metrics.score import Score
from reverie.training import trainer
from reverie.training.batch_order import BatchOrder
from reverie.training.prepare import prepare_method
from reverie.utils.distributed import Ranks
from reverie.utils.environment import machine, versions
from reverie.utils.errors import UserError, near_miss


@dataclass(frozen=True)
class Row:
    """A training run whose speed is measured."""

    method: str
    data: str | Callable[[], str]
    """a built-in set, or a function that draws images into a folder and returns it"""
    options: dict[str, Any]
    reference: Callable[[Method, dict[str, Tensor], int], Iterator[None]] | None = None
    """a loop of reference_loops.py: (method, all items as one batch, batch size) -> an iterator of which each item is
    a training step"""
    steps: int = 4
    """per round"""

    @property
    def data_spec(self) -> str:
        """The data as `reverie train` takes it."""
        return self.data if isinstance(self.data, str) else self.data()


@cache
def photos() -> str:
    """A folder of twelve drawn images, larger than the patches that are cropped; removed when the process ends."""
    folder = Path(_FOLDERS.enter_context(tempfile.TemporaryDirectory()))
    _draw("shapes:12", 384, folder)
    return str(folder)


@cache
def domains() -> str:
    """A folder of two domains of drawn images, shapes and their negatives; removed when the process ends."""
    folder = Path(_FOLDERS.enter_context(tempfile.TemporaryDirectory()))
    for side, half in (("trainA", False), ("trainB", True)):
        (folder / side).mkdir()
        _draw("shapes:12", 160, folder / side, half)
    return str(folder)


def _draw(spec: str, size: int, folder: Path, negative: bool = False) -> None:
    images = Images.open(spec).prepare(size, 3)
    for i in range(len(images)):
        pixels = images.pixels(i)
        Image(255 - pixels if negative else pixels).save(folder / f"{i:03}.png")


_FOLDERS = ExitStack()
atexit.register(_FOLDERS.close)


ROWS = {
    "dcgan32": Row("dcgan:plain", "shapes:2000", dict(size=32, batch_size=64), reference_loops.gan),
    "dcgan64": Row("dcgan:plain", "shapes:2000", dict(size=64, batch_size=64), reference_loops.gan),
    "vae-gan32": Row("vae_gan:plain", "shapes:2000", dict(size=32, batch_size=64)),
    "cvae-gan32": Row("cvae_gan:plain", "shapes:2000", dict(size=32, batch_size=64)),
    "bigan32": Row("bigan", "shapes:2000", dict(size=32, batch_size=64)),
    "pix2pix256": Row("pix2pix:paper", "shapes:64", dict(degradation="grey"), reference_loops.pix2pix, steps=2),
    "cyclegan128": Row(
        "cyclegan:paper",
        domains,
        dict(size=128, blocks=6, identity_weight=0.5, batch_size=1),
        reference_loops.cyclegan,
        steps=1,
    ),
    "restoration": Row("restoration", photos, dict(optimizer="adam"), reference_loops.restoration),
    "seqgan": Row(
        "seqgan:paper",
        "oracle",
        dict(pretrain_steps=0, d_pretrain_steps=0, d_steps=1, d_updates=1, batch_size=64),
        reference_loops.seqgan,
        steps=1,
    ),
    "music-16": Row("music_vae:long", "tunes", dict(scheduled_sampling_k=0), reference_loops.music_vae, steps=2),
    "music-16-flat": Row(
        "music_vae:long", "tunes", dict(decoder="flat", scheduled_sampling_k=0), reference_loops.music_vae, steps=2
    ),
    "vae-mlp": Row("vae:mlp", "letters:2000", dict(size=28, batch_size=100), reference_loops.vae, steps=200),
}
DATA = "data"
"""the row of the data path"""
STEP, BATCH = "the method's step", "fetching the batch"
"""names of ranges for torch.profiler"""
QUIET = dict(checkpoint_every=10**9, sample_every=10**9, log_every=50, device="cpu")


def row_of(name: str) -> Row:
    """The row of this name. Raises UserError."""
    if name not in ROWS:
        raise UserError(f"there is no row '{name}'.{near_miss(name, list(ROWS))} There are: {', '.join(ROWS)}.")
    return ROWS[name]


def main(words: list[str]) -> None:
    """Prints all rows, or one JSON object."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help=f"rows, with commas: {', '.join([*ROWS, DATA])}")
    common.add_timing_flags(parser, rounds=9)
    args = parser.parse_args(words)
    common.apply_timing_flags(args)
    names = args.only.split(",") if args.only else [*ROWS, DATA]
    rows = {name: row_of(name) for name in names if name != DATA}
    result: dict[str, Any] = {"machine": machine(), "rounds": args.rounds, "rows": {}}
    if not args.json:
        print(f"{result['machine']['cpu']}, {torch.get_num_threads()} threads, torch {torch.__version__}, medians of "
              f"{args.rounds} rounds")  # fmt: skip
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure_data(Path(folder)) if name == DATA else measure(rows[name], Path(folder), args.rounds)
        result["rows"][name] = figures
        if not args.json:
            print(describe_data(figures) if name == DATA else describe(name, rows[name], figures), flush=True)
    if args.json:
        print(json.dumps(result, indent=2))


# -- a method --------------------------------------------------------------------------------------------------------


@dataclass
class StepTimer:
    """Times the parts of the steps of reverie.train, and calls a function between rounds.

    As a context manager it wraps the functions that the trainer calls at every step.
    """

    steps: int
    between: Callable[[], None]
    kind: Any = Images
    """the class of the data"""
    rounds: list[dict[str, float]] = field(default_factory=list)
    """of each round, ms per step: "all", "step" and "batch" """

    def __post_init__(self) -> None:
        self.all_seconds = self.step_seconds = self.batch_seconds = 0.0
        self.steps_done, self.step_began = 0, time.perf_counter()

    def __enter__(self) -> StepTimer:
        self.originals: Any = trainer.stage_at, self.kind.batch
        trainer.stage_at, self.kind.batch = self.stage_at, self.timed_batch()
        return self

    def __exit__(self, *error: object) -> None:
        trainer.stage_at, self.kind.batch = self.originals

    def train(self, row: Row, out: Path, steps: int) -> str:
        """Trains a row under the timer. Returns the memory format that was chosen."""
        options = dict(steps=steps, threads=torch.get_num_threads(), **QUIET, **row.options)
        with redirect_stderr(StringIO()):  # the lines of its log
            reverie.train(row.method, data=row.data_spec, out=out, **options)
        return json.loads((out / "run.json").read_text(encoding="utf-8"))["train"]["memory_format"]

    def stage_at(self, stages: list[Stage], step: int) -> tuple[Stage, float]:
        """The trainer calls this at the start of every step: the time since its last call is that of one step."""
        self.all_seconds += time.perf_counter() - self.step_began
        if self.steps_done == self.steps:
            parts = {"all": self.all_seconds, "step": self.step_seconds, "batch": self.batch_seconds}
            self.rounds.append({name: 1e3 * seconds / self.steps for name, seconds in parts.items()})
            self.between()
        if self.steps_done in (0, self.steps):
            self.steps_done, self.all_seconds, self.step_seconds, self.batch_seconds = 0, 0.0, 0.0, 0.0
        self.steps_done += 1
        stage, done = self.originals[0](stages, step)
        self.step_began = time.perf_counter()
        return replace(stage, step=lambda *args: self.timed_step(stage, *args)), done

    def timed_step(self, stage: Stage, *args: Any) -> Any:
        """A step of the stage; its time is added up."""
        began = time.perf_counter()
        with record_function(STEP):
            metrics = stage.step(*args)
        self.step_seconds += time.perf_counter() - began
        return metrics

    def timed_batch(self) -> Any:
        """The data's `batch`, whose time is added up."""

        def batch(data: Any, *args: Any) -> Any:
            began = time.perf_counter()
            with record_function(BATCH):
                items = self.originals[1](data, *args)
            self.batch_seconds += time.perf_counter() - began
            return items

        return batch


def prepare(row: Row) -> tuple[Method, Any, int]:
    """The untrained method, its prepared data, and the batch size."""
    cls, _, config, settings, data = prepare_method(row.method, row.data_spec, {**row.options, "device": "cpu"})
    torch.manual_seed(0)
    return cls(config).train(), data, settings.batch_size


def one_step(row: Row) -> tuple[Callable[[], Any], Method]:
    """A function that does one training step, as the trainer calls it, and the method that is trained."""
    method, data, batch_size = prepare(row)
    update, items = Update(method.optimizers(), Ranks("cpu")), data.batch(range(batch_size))
    stage = next(stage for stage in method.stages() if stage.steps)
    return lambda: stage.step(items, update), method


def items_of(data: Any) -> dict[str, Tensor]:
    """All items of prepared data."""
    parts = [data.batch(range(at, min(at + 500, len(data)))) for at in range(0, len(data), 500)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def measure(row: Row, folder: Path, rounds: int) -> dict[str, Any]:
    """The figures of a row; folder: for the run folder."""
    train_step, method = one_step(row)
    flop = count(train_step)
    ceiling = Ceiling(list(method.children()), train_step)
    method, data, batch_size = prepare(row)
    reference = row.reference(method, items_of(data), batch_size) if row.reference else None
    reference_ms: list[float] = []

    def between() -> None:
        ceiling.measure()
        if reference:
            began = time.perf_counter()
            for _ in range(row.steps):
                next(reference)
            reference_ms.append(1e3 * (time.perf_counter() - began) / row.steps)

    with StepTimer(row.steps, between, type(method).data_type) as timer:
        # One round more to warm up, and one step more that is not measured, since it ends with a checkpoint.
        memory_format = timer.train(row, folder / "run", row.steps * (rounds + 1) + 1)
    measured = timer.rounds[1:]
    ms = {part: statistics.median(r[part] for r in measured) for part in ("all", "step", "batch")}
    trainer_ms = statistics.median(r["all"] - r["step"] - r["batch"] for r in measured)
    speedups = [other / r["all"] for other, r in zip(reference_ms[1:], measured, strict=False)]
    case, rate = ceiling.best()
    return {
        "steps_per_s": 1e3 / ms["all"], "ms": ms["all"], "ms_step": ms["step"], "ms_batch": ms["batch"],
        "ms_trainer": trainer_ms, "trainer_share": trainer_ms / ms["all"],
        "reference_steps_per_s": 1e3 / statistics.median(reference_ms[1:]) if reference_ms else None,
        "speedup": statistics.median(speedups) if reference_ms else None,
        "gflop": flop / 1e9, "gflops": flop / 1e6 / ms["all"], "ceiling_gflops": rate, "ceiling": case,
        "of_ceiling": flop / 1e6 / ms["all"] / rate, "memory_format": memory_format,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
    }  # fmt: skip


def speed(rounds: int, threads: int, seed: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Rows as scores for the ledger; all of them if none is named."""
    torch.set_num_threads(threads)
    began, scores = time.monotonic(), list[Score]()
    for name in only or ROWS:
        row = row_of(name)
        with tempfile.TemporaryDirectory() as folder:
            scores += scores_of(name, row, measure(row, Path(folder), rounds), rounds, seed)
    return {"scores": [score.to_json() for score in scores], "seconds": round(time.monotonic() - began, 1)}


def scores_of(name: str, row: Row, figures: dict[str, Any], rounds: int, seed: int) -> Iterator[Score]:
    """The figures of a row as scores for the ledger."""
    options = "".join(f", {key} {value}" for key, value in row.options.items())
    about = f"{row.method}{options}; median of {rounds} rounds of {row.steps} steps, {torch.get_num_threads()} threads"
    rows = [
        ("steps per second", figures["steps_per_s"], "steps/s", "of reverie.train, everything included: data, step, "
         "EMA, log"),
        ("speedup over the reference loop", figures["speedup"], "times", "how many times as fast as a hand-written "
         "loop over the same networks, measured in turns"),
        ("share of the ceiling", figures["of_ceiling"], "of the ceiling", "counted operations per second, divided by "
         "those of the fastest single layer of its kind, forward only"),
    ]  # fmt: skip
    for kind, value, unit, definition in rows:
        if value is not None:
            yield Score(f"{kind}, {name}", value, unit, "higher", f"{definition}; {about}", None, rounds, seed,
                        versions=versions())  # fmt: skip


def describe(name: str, row: Row, figures: dict[str, Any]) -> str:
    """A row as lines of the table."""
    f = figures
    title = ", ".join([f"{name}: {row.method}", *(f"{option} {value}" for option, value in row.options.items())])
    reference = ""
    if f["speedup"]:
        reference = f"{f['speedup']:.2f} times the reference loop's {f['reference_steps_per_s']:.2f}; "
    return (
        f"{title}\n"
        f"  {f['steps_per_s']:.2f} steps/s, {reference}{f['memory_format']}; peak {f['peak_mb']:.0f} MB so far\n"
        f"  {f['gflop']:.3g} GFLOP per step, {f['gflops']:.1f} GFLOP/s = {f['of_ceiling']:.0%} of the ceiling "
        f"({f['ceiling_gflops']:.1f}: {f['ceiling']})\n"
        f"  step {f['ms_step']:.2f} ms, batch {f['ms_batch']:.3f} ms, trainer {f['ms_trainer']:.3f} ms = "
        f"{f['trainer_share']:.1%}"
    )


# -- the data path ---------------------------------------------------------------------------------------------------


def measure_data(folder: Path) -> dict[str, Any]:
    """Speed of decoding JPEG files, and of batches from the cache; folder: for the files."""
    import PIL.Image

    photos = folder / "photos"
    photos.mkdir()
    draws = np.random.default_rng(0)
    for i in range(2000):
        coarse = PIL.Image.fromarray(draws.integers(0, 256, (12, 16, 3), np.uint8))
        coarse.resize((320, 240), PIL.Image.Resampling.BICUBIC).save(photos / f"{i}.jpg", quality=90)
    began = time.perf_counter()
    data = Images.open(photos).prepare(64, 3)
    cold = time.perf_counter() - began
    began = time.perf_counter()
    cached = Images.open(photos).prepare(64, 3)
    figures = {"decoded_per_s": len(data) / cold, "reopened_ms": 1e3 * (time.perf_counter() - began)}
    for size in (32, 64):
        cached.prepare(size, 3)
        order = BatchOrder(len(cached), 64, 0)
        began = time.perf_counter()
        for step in range(500):
            cached.batch(order(step))
        figures[f"batched_per_s_{size}"] = 500 * 64 / (time.perf_counter() - began)
    return figures


def describe_data(figures: dict[str, Any]) -> str:
    """The speed of the data as lines of the table."""
    return (
        f"data: {figures['decoded_per_s']:.0f} images/s decoded (320x240 JPEG to 64x64), opened again from the cache "
        f"in {figures['reopened_ms']:.0f} ms\n"
        f"  batches of 64: {figures['batched_per_s_32']:.0f} images/s at 32x32, "
        f"{figures['batched_per_s_64']:.0f} at 64x64"
    )
