"""How fast training is: beside a plain loop over the same networks, and beside what the machine could do.

Everything is measured in one process and in turns: some steps of `reverie train`, as many of the plain loop, the rates
of single layers, and again; figures are medians over the rounds. Quiet machines only.

    steps/s    of reverie.train: data, step, averages, log and all
    GFLOP      of one step, counted, backward included
    ceiling    the fastest single layer (its own or a larger one of its kind), forwards only
    loop       the loop itself: what is neither the method's step (which includes backward and the optimizers) nor
               fetching the batch: seeding, order, averages, meter, bar, monitor
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
from benchmarks import plain, task
from benchmarks.ceiling import Ceiling, count
from reverie.api import plan
from reverie.core.method import Method
from reverie.core.stage import Stage
from reverie.data.images.dataset import Images
from reverie.media import Image
from reverie.metrics.score import Score
from reverie.training import trainer as loop
from reverie.training.batch_order import BatchOrder
from reverie.utils.distributed import Ranks
from reverie.utils.environment import machine, versions
from reverie.utils.errors import UserError, near_miss


@dataclass(frozen=True)
class Row:
    """Something whose speed is measured."""

    method: str
    data: str | Callable[[], str]
    """a built-in set, or a function that draws pictures into a folder"""
    options: dict[str, Any]
    plain: Callable[[Method, dict[str, Tensor], int], Iterator[None]] | None = None
    """the loop beside it: (method, the items that `batch` of the data gives, batch size) -> an iterator that trains a
    step each time"""
    steps: int = 4
    """a round"""

    @property
    def place(self) -> str:
        """The data as `reverie train` takes it."""
        return self.data if isinstance(self.data, str) else self.data()


@cache
def photos() -> str:
    """A folder of twelve drawn pictures, large enough to cut pieces out of; it lasts as long as the process."""
    folder = Path(_KEPT.enter_context(tempfile.TemporaryDirectory()))
    _draw("shapes:12", 384, folder)
    return str(folder)


@cache
def worlds() -> str:
    """A folder of two worlds of drawn pictures, shapes and their negatives; it lasts as long as the process."""
    folder = Path(_KEPT.enter_context(tempfile.TemporaryDirectory()))
    for side, half in (("trainA", False), ("trainB", True)):
        (folder / side).mkdir()
        _draw("shapes:12", 160, folder / side, half)
    return str(folder)


def _draw(spec: str, size: int, folder: Path, negative: bool = False) -> None:
    images = Images.open(spec).prepare(size, 3)
    for i in range(len(images)):
        pixels = images.pixels(i)
        Image(255 - pixels if negative else pixels).save(folder / f"{i:03}.png")


_KEPT = ExitStack()
atexit.register(_KEPT.close)


ROWS = {
    "dcgan32": Row("dcgan", "shapes:2000", dict(size=32, batch_size=64), plain.gan),
    "dcgan64": Row("dcgan", "shapes:2000", dict(size=64, batch_size=64), plain.gan),
    "vae-gan32": Row("vae_gan", "shapes:2000", dict(size=32, batch_size=64)),
    "cvae-gan32": Row("cvae_gan", "shapes:2000", dict(size=32, batch_size=64)),
    "bigan32": Row("bigan", "shapes:2000", dict(size=32, batch_size=64)),
    "pix2pix256": Row("pix2pix:paper", "shapes:64", dict(degradation="grey"), plain.pix2pix, steps=2),
    "cyclegan128": Row(
        "cyclegan:paper", worlds, dict(size=128, blocks=6, identity=0.5, batch_size=1), plain.cyclegan, steps=1
    ),
    "restoration": Row("restoration", photos, {}, plain.restoration),
    "seqgan": Row(
        "seqgan:paper",
        "oracle",
        dict(pretrain_steps=0, judge=0, d_steps=1, d_updates=1, batch_size=64),
        plain.seqgan,
        steps=1,
    ),
    "music-16": Row("music_vae:long", "tunes", dict(sampling=0), plain.music_vae, steps=2),
    "music-16-flat": Row("music_vae:long", "tunes", dict(decoder="flat", sampling=0), plain.music_vae, steps=2),
    "vae-mlp": Row("vae:mlp", "letters:2000", dict(size=28, batch_size=100), plain.vae, steps=200),
}
DATA = "data"
"""the row of the data path"""
STEP, BATCH = "the method's step", "fetching the batch"
"""marks for torch.profiler"""
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
    task.add_common(parser, rounds=9)
    asked = parser.parse_args(words)
    task.settle(asked)
    wanted = asked.only.split(",") if asked.only else [*ROWS, DATA]
    rows = {name: row_of(name) for name in wanted if name != DATA}
    told: dict[str, Any] = {"machine": machine(), "rounds": asked.rounds, "rows": {}}
    if not asked.json:
        print(f"{told['machine']['cpu']}, {torch.get_num_threads()} threads, torch {torch.__version__}, medians of "
              f"{asked.rounds} rounds")  # fmt: skip
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            found = data_path(Path(folder)) if name == DATA else measure(rows[name], Path(folder), asked.rounds)
        told["rows"][name] = found
        if not asked.json:
            print(describe_data(found) if name == DATA else describe(name, rows[name], found), flush=True)
    if asked.json:
        print(json.dumps(told, indent=2))


# -- a method --------------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """Times the parts of a step of reverie.train, and does something else between rounds."""

    steps: int
    between: Callable[[], None]
    kind: Any = Images
    """the class of the data"""
    rounds: list[dict[str, float]] = field(default_factory=list)
    """of each round, ms a step: "all", "step" and "batch" """

    def __post_init__(self) -> None:
        self.inside = self.fetching = self.spent = 0.0
        self.seen, self.left = 0, time.perf_counter()

    def __enter__(self) -> Watch:
        self.was: Any = loop.stage_at, self.kind.batch
        loop.stage_at, self.kind.batch = self.stage_at, self.timed_batch()  # what the loop calls at every step
        return self

    def __exit__(self, *error: object) -> None:
        loop.stage_at, self.kind.batch = self.was

    def train(self, row: Row, out: Path, steps: int) -> str:
        """Trains a row, watched; the layout that the loop chose."""
        threads = torch.get_num_threads()
        with redirect_stderr(StringIO()):  # the lines of its log
            reverie.train(row.method, data=row.place, out=out, steps=steps, threads=threads, **QUIET, **row.options)
        return json.loads((out / "run.json").read_text(encoding="utf-8"))["train"]["layout"]

    def stage_at(self, stages: list[Stage], at: int) -> tuple[Stage, float]:
        """The loop comes by here at the start of every step: what has passed since it last did is one step."""
        self.spent += time.perf_counter() - self.left
        if self.seen == self.steps:
            parts = {"all": self.spent, "step": self.inside, "batch": self.fetching}
            self.rounds.append({name: 1e3 * spent / self.steps for name, spent in parts.items()})
            self.between()
        if self.seen in (0, self.steps):
            self.seen, self.spent, self.inside, self.fetching = 0, 0.0, 0.0, 0.0
        self.seen += 1
        stage, done = self.was[0](stages, at)
        self.left = time.perf_counter()
        return replace(stage, step=lambda *given: self.timed_step(stage, *given)), done

    def timed_step(self, stage: Stage, *given: Any) -> Any:
        began = time.perf_counter()
        with record_function(STEP):
            losses = stage.step(*given)
        self.inside += time.perf_counter() - began
        return losses

    def timed_batch(self) -> Any:
        def batch(data: Any, *given: Any) -> Any:
            began = time.perf_counter()
            with record_function(BATCH):
                found = self.was[1](data, *given)
            self.fetching += time.perf_counter() - began
            return found

        return batch


def prepare(row: Row) -> tuple[Method, Any, int]:
    """The method, untrained, its data, prepared, and the batch size."""
    cls, _, config, settings = plan(row.method, dict(row.options))
    data = cls.data_type.open(row.place)
    config = cls.resolve_config(config, {**data.facts, "class_names": tuple(data.classes)})
    data.prepare(**cls.data_args(config))
    config = cls.resolve_config(
        config, {**data.facts, "class_names": tuple(data.classes)}
    )  # a vocabulary is known only now
    torch.manual_seed(0)
    return cls(config).train(), data, settings.batch_size


def one_step(row: Row) -> tuple[Callable[[], Any], Method]:
    """A function that does one training step, as the loop calls it, and the method that is trained."""
    method, data, batch = prepare(row)
    update, items = loop.Update(method.optimizers(), Ranks("cpu")), data.batch(range(batch))
    stage = next(stage for stage in method.stages() if stage.steps)
    return lambda: stage.step(items, update), method


def items_of(data: Any) -> dict[str, Tensor]:
    """All items of prepared data."""
    parts = [data.batch(range(at, min(at + 500, len(data)))) for at in range(0, len(data), 500)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def measure(row: Row, room: Path, rounds: int) -> dict[str, Any]:
    """The figures of a row."""
    act, method = one_step(row)
    flop = count(act)
    ceiling = Ceiling(list(method.children()), act)
    method, data, batch = prepare(row)
    beside, others = row.plain(method, items_of(data), batch) if row.plain else None, []

    def between() -> None:
        ceiling.measure()
        if beside:
            began = time.perf_counter()
            for _ in range(row.steps):
                next(beside)
            others.append(1e3 * (time.perf_counter() - began) / row.steps)

    with Watch(row.steps, between, type(method).data_type) as watch:
        # a round to warm up; the last step is not measured, since it ends with a save
        layout = watch.train(row, room / "run", row.steps * (rounds + 1) + 1)
    ms = {part: statistics.median(r[part] for r in watch.rounds[1:]) for part in ("all", "step", "batch")}
    own = statistics.median(r["all"] - r["step"] - r["batch"] for r in watch.rounds[1:])
    ratios = [other / r["all"] for other, r in zip(others[1:], watch.rounds[1:], strict=False)]
    case, rate = ceiling.best()
    return {
        "steps_per_s": 1e3 / ms["all"], "ms": ms["all"], "ms_step": ms["step"], "ms_batch": ms["batch"],
        "ms_loop": own, "loop_share": own / ms["all"],
        "plain_steps_per_s": 1e3 / statistics.median(others[1:]) if others else None,
        "times_plain": statistics.median(ratios) if others else None,
        "gflop": flop / 1e9, "gflops": flop / 1e6 / ms["all"], "ceiling_gflops": rate, "ceiling": case,
        "of_ceiling": flop / 1e6 / ms["all"] / rate, "layout": layout,
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


def scores_of(name: str, row: Row, found: dict[str, Any], rounds: int, seed: int) -> Iterator[Score]:
    """What the ledger keeps of a row."""
    options = "".join(f", {key} {value}" for key, value in row.options.items())
    about = f"{row.method}{options}; median of {rounds} rounds of {row.steps} steps, {torch.get_num_threads()} threads"
    rows = [
        ("steps a second", found["steps_per_s"], "steps/s", "of reverie.train, data and log and all"),
        ("times the plain loop", found["times_plain"], "times", "how many times as fast as a plain hand-written loop "
         "over the same networks, measured in turns"),
        ("share of the ceiling", found["of_ceiling"], "of the ceiling", "counted operations a second, over those of "
         "the fastest single layer of its kind, forwards only"),
    ]  # fmt: skip
    for kind, value, unit, told in rows:
        if value is not None:
            yield Score(f"{kind}, {name}", value, unit, "higher", f"{told}; {about}", None, rounds, seed,
                        versions=versions())  # fmt: skip


def describe(name: str, row: Row, found: dict[str, Any]) -> str:
    """Lines of the table."""
    f = found
    beside = f"{f['times_plain']:.2f} times the plain loop's {f['plain_steps_per_s']:.2f}; " if f["times_plain"] else ""
    return (
        f"{', '.join([f'{name}: {row.method}', *(f'{k} {v}' for k, v in row.options.items())])}\n"
        f"  {f['steps_per_s']:.2f} steps/s, {beside}{f['layout']}; peak {f['peak_mb']:.0f} MB so far\n"
        f"  {f['gflop']:.3g} GFLOP a step, {f['gflops']:.1f} GFLOP/s = {f['of_ceiling']:.0%} of the ceiling "
        f"({f['ceiling_gflops']:.1f}: {f['ceiling']})\n"
        f"  a step {f['ms_step']:.2f} ms, batch {f['ms_batch']:.3f} ms, the loop itself {f['ms_loop']:.3f} ms = "
        f"{f['loop_share']:.1%}"
    )


# -- the data path ---------------------------------------------------------------------------------------------------


def data_path(room: Path) -> dict[str, Any]:
    """Figures of decoding JPEG files, and of batches from the cache."""
    import PIL.Image

    folder = room / "photos"
    folder.mkdir()
    draws = np.random.default_rng(0)
    for i in range(2000):
        coarse = PIL.Image.fromarray(draws.integers(0, 256, (12, 16, 3), np.uint8))
        coarse.resize((320, 240), PIL.Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=90)
    began = time.perf_counter()
    data = Images.open(folder).prepare(64, 3)
    cold = time.perf_counter() - began
    began = time.perf_counter()
    again = Images.open(folder).prepare(64, 3)
    told: dict[str, Any] = {"decoded_per_s": len(data) / cold, "reopened_ms": 1e3 * (time.perf_counter() - began)}
    for size in (32, 64):
        again.prepare(size, 3)
        order = BatchOrder(len(again), 64, 0)
        began = time.perf_counter()
        for step in range(500):
            again.batch(order(step))
        told[f"batched_per_s_{size}"] = 500 * 64 / (time.perf_counter() - began)
    return told


def describe_data(found: dict[str, Any]) -> str:
    """Lines of the table."""
    return (
        f"data: {found['decoded_per_s']:.0f} images/s decoded (320x240 JPEG to 64x64), opened again from the cache in "
        f"{found['reopened_ms']:.0f} ms\n"
        f"  batches of 64: {found['batched_per_s_32']:.0f} images/s at 32x32, {found['batched_per_s_64']:.0f} at 64x64"
    )
