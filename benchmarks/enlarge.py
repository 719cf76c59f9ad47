"""Does enlarging help?  `python -m benchmarks enlarge --data mnist.zip`

Of a labelled set only a few real images of each class are given. A generator that is told the class learns from these
alone and makes as many new ones of each class as are asked for. The same classifier, with the same steps, learns from
the real ones, from real and new ones together, and from the new ones alone; all are asked about the whole test split.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import task
from reverie.core.options import Option
from reverie.data.images.dataset import Images
from reverie.data.images.in_memory import InMemoryImages
from reverie.evaluation.class_conditional import PRESET, error_of, read
from reverie.metrics.score import Reference, Score
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import UserError

OPTIONS = [
    Option("data", str, "", "labelled images, such as mnist: a path, or the name of a set (needed)"),
    Option("method", str, "cvae_gan", "METHOD[:PRESET] that is told the class"),
    Option("counts", str, "20,100,500", "real images of each class"),
    Option("new", int, 1000, "generated images of each class"),
    Option("steps", int, 2000, "training steps of the generator"),
    Option("width", int, 32, "width of its networks"),
    Option("size", int, 32, "pixels a side"),
    Option("seeds", int, 3, "how many draws of the real images, each with runs of its own"),
    Option("threads", int, 1, "CPU threads"),
    Option("out", Path, None, "write the result to this JSON file"),
    Option("runs", Path, None, "keep the run folders here"),
]
KINDS = ("real", "real and new", "new")


def main(words: list[str]) -> None:
    """Trains and prints the table."""
    asked, as_json = task.options("enlarge", (__doc__ or "").splitlines()[0], OPTIONS, words)
    if not asked["data"]:
        raise UserError("enlarge needs --data: a path to labelled images, or the name of a set.")
    if min(asked["seeds"], asked["new"], asked["steps"]) < 1:
        raise UserError("seeds, new and steps must be 1 or more.")
    with task.room(asked["runs"]) as room:
        result = enlarge(asked, range(asked["seeds"]), room)
    task.deliver(result, asked["out"], as_json)
    if not as_json:
        print(describe(result))


def enlarge(asked: dict[str, Any], seeds: Sequence[int], room: Path) -> dict[str, Any]:
    """All counts with all seeds; asked: OPTIONS by name."""
    torch.set_num_threads(asked["threads"] or torch.get_num_threads())
    sets = [Images.open(asked["data"], split).prepare(asked["size"]) for split in ("train", "test")]
    counts = _counts(asked["counts"], sets[0])
    runs = []
    for seed in seeds:
        for count in counts:
            runs.append(one(asked, sets[0], sets[1], count, seed, room / f"{count}-{seed}"))
            told = ", ".join(f"{s['name']} {s['value']:.4f}" for s in runs[-1]["scores"])
            print(f"{count} of each class, seed {seed}: {told}, {runs[-1]['seconds']:.0f} s", file=sys.stderr)
    return {
        "task": "enlarge", "method": asked["method"], "data": sets[0].name, "counts": counts, "new": asked["new"],
        "runs": runs, "scores": [score for run in runs for score in run["scores"]],
        "seconds": round(sum(run["seconds"] for run in runs), 1), "command": task.command(), "machine": machine(),
        "versions": versions(), "commit": commit(), "created": now(),
    }  # fmt: skip


def one(asked: dict[str, Any], train: Images, test: Images, count: int, seed: int, room: Path) -> dict[str, Any]:
    """The accuracy of the three classifiers, for one draw of so many real images of each class."""
    began = time.monotonic()
    draws = np.random.Generator(np.random.Philox(key=[seed, count]))
    rows = [draws.permutation(np.flatnonzero(train.labels == k))[:count] for k in range(len(train.classes))]
    few = np.sort(np.concatenate(rows))
    real = InMemoryImages(
        np.array(train.array[few]), train.labels[few], train.classes, f"{count} of each of {train.name}"
    )
    options = {k: asked[k] for k in ("steps", "width", "size", "threads")}
    quiet = dict(checkpoint_every=10**9, sample_every=asked["steps"], seed=seed)
    model = task.trained(asked["method"], real, room / "generator", **options, **quiet)
    made = [model.verb("generate")(n=asked["new"], label=name, seed=seed) for name in train.classes]
    pixels = np.stack([image.pixels for images in made for image in images])
    labels = np.repeat(np.arange(len(train.classes)), asked["new"])
    sets = {
        "real": real,
        "real and new": _joined(real, pixels, labels),
        "new": InMemoryImages(pixels, labels, train.classes, "generated images"),
    }
    reference, scores = Reference.of(test, len(test)), []
    for kind in KINDS:
        place = room / kind.replace(" ", "-")
        judge = task.trained(
            f"classifier:{PRESET}", sets[kind], place, seed=seed, threads=asked["threads"],
            checkpoint_every=10**9, sample_every=10**9,
        )  # fmt: skip
        right = read(judge, np.array(test.array)) == test.labels
        told = (
            f"share of test images right by classifier:{PRESET}, learnt from {len(sets[kind])} images ({kind}): "
            f"{count} real ones of each class, {asked['new']} new ones of {asked['method']}, {asked['steps']} steps"
        )
        floor = scores[0].value if scores else None
        scores.append(
            Score(f"{kind}, {count}", float(right.mean()), "", "higher", told, reference, len(test), seed, floor,
                  "" if floor is None else "the real ones alone", error_of(right), versions=versions())
        )  # fmt: skip
    return {
        "count": count, "seed": seed, "seconds": round(time.monotonic() - began, 1),
        "scores": [score.to_json() for score in scores],
    }  # fmt: skip


def _joined(real: InMemoryImages, pixels: np.ndarray, labels: np.ndarray) -> InMemoryImages:
    return InMemoryImages(
        np.concatenate([real.array, pixels]), np.concatenate([real.labels, labels]), real.classes, "real and generated"
    )


def _counts(text: str, data: Images) -> list[int]:
    """Raises UserError."""
    try:
        counts = [int(word) for word in text.split(",")]
    except ValueError:
        raise UserError(f"counts is '{text}'; give whole numbers with commas between them, such as 20,100.") from None
    if len(data.classes) < 2:
        raise UserError(f"{data.spec} has no labels; enlarging takes classes.")
    least = int(np.bincount(data.labels).min())
    if min(counts) < 1 or max(counts) > least:
        raise UserError(f"counts is '{text}'; each class of {data.spec} has from 1 to {least} images.")
    return counts


def describe(result: dict[str, Any]) -> str:
    """Mean and standard deviation of the accuracy over the seeds, as a table."""
    lines = [
        f"{result['data']}, {result['method']}, {result['new']} new images of each class",
        f"{'real of each class':20}" + "".join(f"{kind:>20}" for kind in KINDS),
    ]
    for count in result["counts"]:
        cells = ""
        for kind in KINDS:
            values = [s["value"] for s in result["scores"] if s["name"] == f"{kind}, {count}"]
            sd = f" ± {np.std(values, ddof=1):.2%}" if len(values) > 1 else ""
            cells += f"{np.mean(values):.2%}{sd}".rjust(20)
        lines.append(f"{count:<20}{cells}")
    return "\n".join(lines)
