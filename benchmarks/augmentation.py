"""Whether a classifier improves with generated training images.  `python -m benchmarks augmentation --data mnist.zip`

Of a labelled set only a few real images of each class are given. A class-conditional generator is trained on these
alone and generates images of each class. The same classifier, with the same steps, is trained on the real images, on
real and generated images together, half of each, and on the generated images alone; all are tested on the whole test
split.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import common
from reverie.core.options import Option
from reverie.data.images.dataset import Images
from reverie.data.images.in_memory import InMemoryImages
from reverie.evaluation.class_conditional import predict, share_std_error
from reverie.evaluation.feature_classifier import PRESET
from reverie.metrics.score import Reference, Score
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import UserError

OPTIONS = [
    Option("data", str, "", "labelled images, such as mnist: a path, or the name of a set (needed)"),
    Option("method", str, "cvae_gan", "a class-conditional METHOD[:PRESET]"),
    Option("counts", str, "20,100,500", "real images of each class, with commas between the numbers"),
    Option("per_class", int, 1000, "generated images of each class"),
    Option("steps", int, 2000, "training steps of the generator"),
    Option("size", int, 32, "pixels per side"),
    Option("seeds", int, 3, "number of draws of the real images, each with runs of its own"),
    Option("threads", int, 1, "CPU threads"),
    Option("out", Path, None, "write the result to this JSON file"),
    Option("runs", Path, None, "keep the run folders here"),
]
KINDS = ("real", "real and generated", "generated")
"""what the classifiers are trained on"""


def main(words: list[str]) -> None:
    """Trains and prints the table."""
    args, as_json = common.parse_options("augmentation", (__doc__ or "").splitlines()[0], OPTIONS, words)
    if not args["data"]:
        raise UserError("augmentation needs --data: a path to labelled images, or the name of a set.")
    if min(args["seeds"], args["per_class"], args["steps"]) < 1:
        raise UserError("seeds, per_class and steps must be 1 or more.")
    with common.run_folders(args["runs"]) as folder:
        result = augmentation(args, range(args["seeds"]), folder)
    common.write_result(result, args["out"], as_json)
    if not as_json:
        print(describe(result))


def augmentation(args: dict[str, Any], seeds: Sequence[int], folder: Path) -> dict[str, Any]:
    """The accuracies for all counts and seeds; args: OPTIONS by name. Raises UserError for data without labels."""
    torch.set_num_threads(args["threads"] or torch.get_num_threads())
    train, test = (Images.open(args["data"], split).prepare(args["size"]) for split in ("train", "test"))
    counts = _counts(args["counts"], train)
    runs = []
    for seed in seeds:
        for count in counts:
            runs.append(run_one(args, train, test, count, seed, folder / f"{count}-{seed}"))
            line = ", ".join(f"{s['name']} {s['value']:.4f}" for s in runs[-1]["scores"])
            print(f"{count} of each class, seed {seed}: {line}, {runs[-1]['seconds']:.0f} s", file=sys.stderr)
    return {
        "task": "augmentation", "method": args["method"], "data": train.name, "counts": counts,
        "per_class": args["per_class"],
        "runs": runs, "scores": [score for run in runs for score in run["scores"]],
        "seconds": round(sum(run["seconds"] for run in runs), 1), "command": common.command(), "machine": machine(),
        "versions": versions(), "commit": commit(), "created": now(),
    }  # fmt: skip


def run_one(args: dict[str, Any], train: Images, test: Images, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """The accuracy of the three classifiers, for one draw of `count` real images of each class."""
    began = time.monotonic()
    draws = np.random.Generator(np.random.Philox(key=[seed, count]))
    rows = [draws.permutation(np.flatnonzero(train.labels == k))[:count] for k in range(len(train.classes))]
    few = np.sort(np.concatenate(rows))
    real = InMemoryImages(
        np.array(train.array[few]), train.labels[few], train.classes, f"{count} of each of {train.name}"
    )
    options = {name: args[name] for name in ("steps", "size", "threads")}
    quiet = dict(checkpoint_every=10**9, sample_every=args["steps"], seed=seed)
    generator = common.train_or_resume(args["method"], real, folder / "generator", **options, **quiet)
    fake = [generator.verb("generate")(n=args["per_class"], label=name, seed=seed) for name in train.classes]
    pixels = np.stack([image.pixels for images in fake for image in images])
    labels = np.repeat(np.arange(len(train.classes)), args["per_class"])
    sets = {
        "real": real,
        "real and generated": _concatenated(real, pixels, labels),
        "generated": InMemoryImages(pixels, labels, train.classes, "generated images"),
    }
    reference, scores = Reference.of(test, len(test)), []
    for kind in KINDS:
        place = folder / kind.replace(" ", "-")
        classifier = common.train_or_resume(
            f"classifier:{PRESET}", sets[kind], place, seed=seed, threads=args["threads"],
            checkpoint_every=10**9, sample_every=10**9,
        )  # fmt: skip
        correct = predict(classifier, np.array(test.array)) == test.labels
        definition = (
            f"accuracy on test images of classifier:{PRESET} trained on {len(sets[kind])} images ({kind}): {count} "
            f"real ones of each class, {args['per_class']} generated ones by {args['method']}, {args['steps']} steps"
        )
        alone = scores[0].value if scores else None
        scores.append(
            Score(f"{kind}, {count}", float(correct.mean()), "", "higher", definition, reference, len(test), seed,
                  std_error=share_std_error(correct), versions=versions(), baseline=alone,
                  baseline_name="" if alone is None else "the real ones alone")
        )  # fmt: skip
    return {
        "count": count, "seed": seed, "seconds": round(time.monotonic() - began, 1),
        "scores": [score.to_json() for score in scores],
    }  # fmt: skip


def _concatenated(real: InMemoryImages, pixels: np.ndarray, labels: np.ndarray) -> InMemoryImages:
    """Both together: the real images are repeated until they are as many, since few among thousands would not count."""
    rows = np.resize(np.arange(len(real)), max(len(real), len(pixels)))
    both, of_both = np.concatenate([real.array[rows], pixels]), np.concatenate([real.labels[rows], labels])
    return InMemoryImages(both, of_both, real.classes, "real and generated")


def _counts(text: str, data: Images) -> list[int]:
    """Raises UserError."""
    try:
        counts = [int(word) for word in text.split(",")]
    except ValueError:
        raise UserError(f"counts is '{text}'; give whole numbers with commas between them, such as 20,100.") from None
    if len(data.classes) < 2:
        raise UserError(f"{data.spec} has no labels; give a set with classes.")
    least = int(np.bincount(data.labels).min())
    if min(counts) < 1 or max(counts) > least:
        raise UserError(f"counts is '{text}'; each class of {data.spec} has from 1 to {least} images.")
    return counts


def describe(result: dict[str, Any]) -> str:
    """Mean and standard deviation of the accuracy over the seeds, as a table."""
    lines = [
        f"{result['data']}, {result['method']}, {result['per_class']} generated images of each class",
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
