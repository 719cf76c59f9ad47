"""DCGAN's recipes, or presets, trained for equal CPU time.

`python -m benchmarks dcgan_recipes --data photos/ --features FILE [--recipes vae_gan:plain,vae_gan:laptop]`

All are trained on the same images until the process has used the same CPU seconds; a step of one costs up to three
times that of another. They are compared by two feature networks: the packaged one, which some of them are trained
with, and the one of --features, which none is.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import reverie
from benchmarks import common
from benchmarks.vae_gan_comparison import extract_side
from reverie.core.options import Option
from reverie.data.images.dataset import Images
from reverie.evaluation.evaluate import evaluate
from reverie.media import image_grid
from reverie.metrics.score import Reference, Score
from reverie.training.prepare import parse_method
from reverie.utils.atomic_files import replace_text
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import UserError, near_miss

PLAIN: dict[str, Any] = dict(
    upsampling="transposed", discriminator="pixels", loss="nonsaturating", norm="batch", r1_weight=0.0, lr=2e-4,
    beta1=0.5, beta2=0.999, ema_decay=0.999, diff_augment=False, hflip=False, batch_size=64,
)  # fmt: skip
"""the paper's losses and optimizer, with averaged weights"""
BOTH: dict[str, Any] = dict(
    upsampling="resize", discriminator="both", loss="hinge", norm="none", r1_weight=0.5, d_reg_interval=16, lr=1e-3,
    beta1=0.0, beta2=0.99, ema_decay=0.998, diff_augment=True, diff_augment_policy="geometric", batch_size=16,
)  # fmt: skip
RECIPES: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "pixels": {**BOTH, "discriminator": "pixels"},
    "features": {**BOTH, "discriminator": "features", "r1_weight": 0.0},
    "both": BOTH,
}
"""options of each, beside those of the preset paper"""
DISTRIBUTION, NEAR_DUPLICATES = ("fid", "kid", "precision", "recall"), "near-duplicate rate"
CPU = "cpu_seconds.json"
"""in a run folder: how long it was trained"""

OPTIONS = [
    Option("data", str, "", "images: a path, or the name of a set (needed)"),
    Option("features", str, "", "the second feature network, a file; none: only the packaged one"),
    Option("cpu_seconds", float, 240.0, "of training for each recipe: time of the process, on all its threads"),
    Option("recipes", str, ",".join(RECIPES), "those to train, or METHOD:PRESET, between commas"),
    Option("size", int, 64, "pixels per side"),
    Option("side", str, "", "a or b: the data are pairs, and this side of them is trained on"),
    Option("hflip", bool, False, "flip training images at random, but in the recipe plain"),
    Option("n", int, 1_000, "generated images that are scored"),
    Option("seed", int, 0, "of all runs"),
    Option("threads", int, 1, "CPU threads"),
    Option("out", Path, None, "write the result to this JSON file"),
    Option("runs", Path, None, "keep the run folders and sheets of samples here; what is there is not trained again"),
]  # fmt: skip


def main(words: list[str]) -> None:
    """Trains, evaluates and prints the table."""
    args, as_json = common.parse_options("dcgan_recipes", (__doc__ or "").splitlines()[0], OPTIONS, words)
    if not args["data"]:
        raise UserError("dcgan_recipes needs --data: a path to images, or the name of a set.")
    if args["cpu_seconds"] <= 0:
        raise UserError(f"cpu_seconds is {args['cpu_seconds']:g}; it must be above 0.")
    with common.run_folders(args["runs"]) as folder:
        result = dcgan_recipes(args, folder)
    common.write_result(result, args["out"], as_json)
    if not as_json:
        for score in result["scores"]:
            beside = "" if score["real"] is None else f"; real data {score['real']:.4g}"
            print(f"{score['name']}: {score['value']:.4g}{beside}")


def dcgan_recipes(args: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The result; args: OPTIONS by name; folder: for the run folders. Raises UserError for unknown recipes."""
    names = [name.strip() for name in args["recipes"].split(",")]
    for name in names:
        if ":" in name:
            parse_method(name, {})
        elif name not in RECIPES:
            raise UserError(f"there is no recipe '{name}'.{near_miss(name, list(RECIPES)) or ' See --help.'}")
    if args["side"]:
        args = {**args, "data": str(extract_side(args["data"], args["side"], args["size"], folder / "data"))}
    runs = {name: folder / name.replace(":", "-") for name in names}
    seconds = {name: train(name, args, run) for name, run in runs.items()}
    scores = [score for name, run in runs.items() for score in evaluated(name, args, run, seconds[name])]
    return {
        "task": "dcgan_recipes", "data": str(args["data"]), "seconds": sum(seconds.values()),
        "recipes": {name: RECIPES.get(name, {}) for name in names}, "scores": [score.to_json() for score in scores],
        "command": common.command(), "machine": machine(), "versions": versions(), "commit": commit(),
        "created": now(),
    }  # fmt: skip


def train(name: str, args: dict[str, Any], out: Path) -> float:
    """Trains by a recipe until the CPU seconds are used; returns how many were. A run that is there is kept."""
    if (out / CPU).is_file():
        return json.loads((out / CPU).read_text(encoding="utf-8"))
    options = {
        **RECIPES.get(name, {}), **{name: args[name] for name in ("size", "seed", "threads")}, "steps": 10**6,
        "base_channels": None, "checkpoint_every": 10**9, "sample_every": 10**9, "log_every": 5,
    }  # fmt: skip
    if name != "plain":
        options["hflip"] = args["hflip"]
    began = time.process_time()
    reverie.train(
        name if ":" in name else "dcgan:paper", data=args["data"], out=out, **options,
        callback=lambda *_: time.process_time() - began < args["cpu_seconds"],
    )  # fmt: skip
    spent = time.process_time() - began
    replace_text(out / CPU, json.dumps(spent))
    image_grid(reverie.load(out).verb("generate")(n=64, seed=0)).save(out.with_suffix(".png"))
    return spent


def evaluated(name: str, args: dict[str, Any], out: Path, seconds: float) -> list[Score]:
    """The scores of a run, "fid, NAME" by the second network and "fid (packaged network), NAME"; colours and steps."""
    scores = []
    for features, label, wanted in (
        (None, " (packaged network)", DISTRIBUTION), (args["features"] or None, "", (*DISTRIBUTION, NEAR_DUPLICATES))
    ):  # fmt: skip
        if features or label:
            wanted = (*wanted, "psnr") if ":" in name and not label else wanted  # of reconstructions
            found = evaluate(out, args["data"], n=args["n"], features=features, metrics=",".join(wanted))
            scores += [dataclasses.replace(score, name=f"{score.name}{label}, {name}") for score in found]
    steps = common.manifest(out)["step"]
    like = dataclasses.replace(scores[0], std_error=None, real=None, baseline=None, real_source="", group="training")
    for what, value, unit, definition in (
        ("steps", float(steps), "steps", "training steps in the CPU seconds"),
        ("cpu seconds", seconds, "s", "CPU seconds of training, of the process on all its threads"),
    ):
        scores.append(
            dataclasses.replace(like, name=f"{what}, {name}", value=value, unit=unit, better="neither",
                                definition=definition)
        )  # fmt: skip
    return [*scores, chroma_spread(name, args, out)]


def chroma_spread(name: str, args: dict[str, Any], out: Path) -> Score:
    """How far apart the mean colours of images are: a generator that has lost colours has less than real data."""
    made = np.stack([image.pixels for image in reverie.load(out).verb("generate")(n=args["n"], seed=0)])
    data = Images.open(args["data"])
    data.prepare(size=args["size"], channels=made.shape[3])
    real = np.stack([data.pixels(i) for i in range(min(len(data), args["n"]))])
    return Score(
        f"chroma spread, {name}", spread_of(made), "", "match",
        "root of the summed variances, over images, of the mean RGB of an image less its mean grey, of 0..1",
        Reference.of(data, len(real)), len(made), 0, real=spread_of(real), real_source="training images",
        versions=versions(), group="samples",
    )  # fmt: skip


def spread_of(images: np.ndarray) -> float:
    """The chroma spread of uint8 images [N,H,W,C]; 0 of grey ones."""
    colours = images.astype(float).mean((1, 2)) / 255  # [N,C]
    return float(np.sqrt((colours - colours.mean(1, keepdims=True)).var(0).sum()))
