"""`python -m benchmarks`: the loop's own share of a step, and the data path. Figures are medians; quiet machines only.

The loop itself is the time of a step of `reverie train` that is neither the method's step (which includes backward and
the optimizers) nor fetching the batch: seeding, order, averages, meter, bar.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import reverie
from reverie import loop
from reverie.data.images import Images
from reverie.method import Stage
from reverie.order import Order


def main() -> None:
    """Prints all rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="steps a row (the mlp takes 50 times as many)")
    asked = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as room:
        loop_share("dcgan 32x32, batch 64", "dcgan", "shapes:2000", Path(room) / "a", asked.steps)
        loop_share("vae:mlp 28x28, batch 100", "vae:mlp", "letters:2000", Path(room) / "b", 50 * asked.steps)
        data_path(Path(room))


def loop_share(title: str, method: str, data: str, out: Path, steps: int, **options: Any) -> None:
    """A row: the loop's time a step beside the method's."""
    inside: list[float] = []
    fetching: list[float] = []
    stages, batch = loop.stage_at, Images.batch

    def fetched(self: Images, *args: Any) -> Any:
        began = time.perf_counter()
        found = batch(self, *args)
        fetching.append(time.perf_counter() - began)
        return found

    def timed(found: list[Stage], step: int) -> tuple[Stage, float]:
        stage, done = stages(found, step)

        def act(batch: Any, update: Any) -> Any:
            began = time.perf_counter()
            losses = stage.step(batch, update)
            inside.append(time.perf_counter() - began)
            marks.append(began)
            return losses

        return Stage(stage.name, stage.steps, act, stage.rate), done

    marks: list[float] = []
    loop.stage_at, Images.batch = timed, fetched
    try:
        quiet = dict(save_every=10**9, preview_every=10**9, log_every=50)
        reverie.train(method, data=data, out=out, steps=steps, **quiet, **options)
    finally:
        loop.stage_at, Images.batch = stages, batch
    # from the start of one step to the start of the next, less the step itself; the first tenth warms up
    own = [after - mark - spent for mark, after, spent in zip(marks, marks[1:], inside, strict=False)]
    step, data_share, extra = (statistics.median(times[steps // 10 :]) for times in (inside, fetching, own))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    own_ms, share = 1e3 * (extra - data_share), 100 * (extra - data_share) / (step + extra)
    print(
        f"{title:28} {1 / (step + extra):8.1f} steps/s  a step {1e3 * step:.2f} ms, batch {1e3 * data_share:.3f} ms, "
        f"the loop itself {own_ms:.3f} ms = {share:.1f} %   peak {peak:.0f} MB"
    )


def data_path(room: Path) -> None:
    """Rows: decoding 64-pixel JPEG files, and batches from the cache."""
    from PIL import Image

    folder = room / "photos"
    folder.mkdir()
    draws = np.random.default_rng(0)
    for i in range(2000):
        coarse = Image.fromarray(draws.integers(0, 256, (12, 16, 3), np.uint8))
        coarse.resize((320, 240), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=90)
    began = time.perf_counter()
    data = Images.open(folder).prepare(64, 3)
    cold = time.perf_counter() - began
    began = time.perf_counter()
    again = Images.open(folder).prepare(64, 3)
    warm = time.perf_counter() - began
    print(f"{'320x240 JPEG to 64x64, cold':28} {len(data) / cold:8.0f} images/s")
    print(f"{'opened again, from the cache':28} {1e3 * warm:8.0f} ms")
    for size in (32, 64):
        again.prepare(size, 3)
        order = Order(len(again), 64, 0)
        began = time.perf_counter()
        for step in range(500):
            again.batch(order(step))
        print(f"{f'batches of 64, {size}x{size}':28} {500 * 64 / (time.perf_counter() - began):8.0f} images/s")


if __name__ == "__main__":
    sys.exit(main())
