"""A GAN, a VAE and three combinations of both.  `python -m benchmarks vae_gan_comparison --data cifar10.zip`

All are trained on the same images, each for the same time. How many steps that is depends on what a step of a method
costs here and now: all are timed first, in turns, and the table says how long each one really took.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import reverie
from benchmarks import common
from reverie.core.options import Option
from reverie.core.registry import find
from reverie.data.images.dataset import Images
from reverie.data.images.pairs import Pairs
from reverie.evaluation.compare import Comparison, compare
from reverie.media import Image
from reverie.metrics.score import Score
from reverie.runs.run_folder import Run
from reverie.utils.atomic_files import replace_text
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import UserError

METHODS = ("dcgan", "vae", "vae_gan", "cvae_gan", "bigan")
"""each by its preset laptop, as a user gets it"""
VAE_GAN_OVER = (("fid", "vae"), ("sharpness", "vae"), ("mse", "dcgan"))
"""the scores in which VAE/GAN should be better, and than which method"""

GROUP = "vae_gan over others"
TIMING_TURNS, TIMING_STEPS = 2, 60
"""how often the pace of each is measured, and over how many steps"""

OPTIONS = [
    Option("data", str, "", "images: a path, or the name of a set (needed)"),
    Option("features", str, "", "the feature network; none: a classifier of the data's own labels"),
    Option("minutes", float, 12.0, "of training for each, at the pace that is measured first"),
    Option("size", int, 32, "pixels per side"),
    Option("side", str, "", "a or b: the data are pairs, and this side of them is trained on"),
    Option("hflip", bool, False, "all flip images at random, for some hundreds of them"),
    Option("n", int, 5_000, "generated images that are scored"),
    Option("seed", int, 0, "of all runs"),
    Option("threads", int, 1, "CPU threads"),
    Option("out", Path, None, "write the result to this JSON file, and beside it the page, NAME.html"),
    Option("runs", Path, None, "keep the run folders here; those that are complete are not trained again"),
]  # fmt: skip


def main(words: list[str]) -> None:
    """Trains, compares and prints the table."""
    args, as_json = common.parse_options("vae_gan_comparison", (__doc__ or "").splitlines()[0], OPTIONS, words)
    if not args["data"]:
        raise UserError("vae_gan_comparison needs --data: a path to images, or the name of a set.")
    if args["minutes"] <= 0:
        raise UserError(f"minutes is {args['minutes']:g}; it must be above 0.")
    with common.run_folders(args["runs"]) as folder:
        result, comparison = vae_gan_comparison(args, folder)
    common.write_result(result, args["out"], as_json)
    if not as_json:
        print(comparison.table())
        print("\n".join(f"{s['name']}: {s['value']:.4g}" for s in result["scores"] if s["group"] == GROUP))


def vae_gan_comparison(args: dict[str, Any], folder: Path) -> tuple[dict[str, Any], Comparison]:
    """The result and the comparison; args: OPTIONS by name; folder: for the run folders."""
    if args["side"]:
        args = {**args, "data": str(extract_side(args["data"], args["side"], args["size"], folder / "data"))}
    methods = methods_for(args["data"])
    paces = measure_paces(methods, args, folder / "paces.json")
    seconds = {name: train(name, args, paces[name], folder / name) for name in methods}
    page = args["out"].with_suffix(".html") if args["out"] else folder / "vae_gan_comparison.html"
    comparison = compare(
        [folder / name for name in seconds], args["data"], out=page, features=args["features"] or None, n=args["n"],
        full=True, gan_train=True,
    )  # fmt: skip
    scores = []
    for name, cells in comparison.rows.items():
        for method, cell in zip(seconds, cells, strict=True):
            if cell.score:
                scores.append(dataclasses.replace(cell.score, name=f"{name}, {method}"))
    scores += [_minutes_score(name, spent, scores[0]) for name, spent in seconds.items()]
    scores += [ratio_to(comparison, list(seconds), name, other) for name, other in VAE_GAN_OVER]
    result = {
        "task": "vae_gan_comparison", "data": str(args["data"]), "minutes": args["minutes"],
        "seconds": sum(seconds.values()), "scores": [score.to_json() for score in scores],
        "command": common.command(), "machine": machine(), "versions": versions(), "commit": commit(),
        "created": now(),
    }  # fmt: skip
    return result, comparison


def methods_for(data: str) -> list[str]:
    """The methods that can be trained on the data: class-conditional ones only where it has labels."""
    labelled = bool(Images.open(data).classes)
    return [name for name in METHODS if labelled or not find(name).needs_labels]


def extract_side(data: str, side: str, size: int, out: Path) -> Path:
    """Writes one side of the pairs of a set, squares of `size` pixels, by split. Returns `out`. Raises UserError."""
    if side not in ("a", "b"):
        raise UserError(f"side is '{side}'; pairs have the sides a and b.")
    for split in Pairs.open(data).splits:
        pairs = Pairs.open(data, split).prepare(size)
        (out / split).mkdir(parents=True, exist_ok=True)
        for i in range(len(pairs)):
            Image(pairs.pixels(i, side)).save(out / split / f"{i:05}.png")
    return out


def measure_paces(methods: Sequence[str], args: dict[str, Any], file: Path) -> dict[str, float]:
    """Steps per minute of each, timed in turns so that the machine is as busy for one as for another.

    What was measured before is read from `file`, so that an interrupted table can be resumed.
    """
    if file.is_file():
        return json.loads(file.read_text(encoding="utf-8"))
    measured: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(TIMING_TURNS):
        for name in methods:
            options = {**train_options(args), **common.QUIET, "log_every": TIMING_STEPS}
            with TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                reverie.train(f"{name}:laptop", data=args["data"], out=run, steps=TIMING_STEPS, **options)
                lines = Run(run).lines()
            measured[name] += [60 * line["steps_per_s"] for line in lines if "steps_per_s" in line]
    paces = {name: mean(values) for name, values in measured.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, json.dumps(paces, indent=2) + "\n")
    return paces


def train_options(args: dict[str, Any]) -> dict[str, Any]:
    """The training options that all methods share."""
    return {name: args[name] for name in ("size", "hflip", "seed", "threads")}


def train(method: str, args: dict[str, Any], pace: float, out: Path) -> float:
    """Trains for the minutes of `args` at `pace` steps per minute, or resumes. Returns the seconds that it took."""
    steps = max(1, round(args["minutes"] * pace))
    cadence = dict(checkpoint_every=1_000, sample_every=max(1, steps // 4))
    options = {**train_options(args), **cadence}
    common.train_or_resume(f"{method}:laptop", args["data"], out, steps=steps, **options)
    return common.training_seconds(out)


def _minutes_score(name: str, seconds: float, like: Score) -> Score:
    """How long a method was trained."""
    return Score(
        f"minutes, {name}", seconds / 60, "min", "lower", "minutes of training, samples and checkpoints included",
        like.reference, 1, like.seed, versions=versions(), group=GROUP,
    )  # fmt: skip


def ratio_to(comparison: Comparison, methods: list[str], name: str, other: str) -> Score:
    """A score of VAE/GAN divided by that of another method: below 1 VAE/GAN is better.

    Of a score that should match that of real data, the distances from it are divided.
    """
    ours, theirs = (comparison[name][methods.index(method)].score for method in ("vae_gan", other))
    assert ours is not None
    assert theirs is not None
    if ours.better == "match":
        quantity, values = (
            "distance from the value of real data",
            [abs(s.value - (s.real or 0)) for s in (ours, theirs)],
        )
    else:
        quantity, values = "value", [ours.value, theirs.value]
    definition = f"{quantity} of {name}, vae_gan's divided by that of {other}; {ours.definition}"
    return Score(
        f"{name}, vae_gan over {other}", values[0] / values[1], "", "lower", definition, ours.reference, ours.n,
        ours.seed, versions=versions(), group=GROUP, baseline=1.0, baseline_name=f"as good as {other}",
    )  # fmt: skip
