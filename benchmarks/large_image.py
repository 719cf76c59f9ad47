"""Restoring a photo of 12 megapixels: time, memory, and seams between tiles.  `python -m benchmarks large_image`

A large colour photo is put together from patches, degraded, and restored by `reverie restore`, as a user would, in a
process of its own. Time and memory do not depend on the values of the weights, so the network of the given preset is
trained for a few steps only: enough for a pixel of the result to depend on its whole receptive field.

    seconds        of the command, from start to the written file; baseline: the same for an image of 64 pixels
    memory added   the peak of resident memory, above that for an image of 64 pixels
    seam           the largest difference of a crop restored in tiles and at once, before it is rounded to levels
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import reverie
from benchmarks import common
from reverie.cli.parser import Parser
from reverie.core.method import Method
from reverie.core.options import Option
from reverie.data.images.dataset import Images
from reverie.media import Photo
from reverie.methods.restoration import Restoration
from reverie.metrics.score import Better, Score
from reverie.transforms.tiling import check_tile
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import UserError

PATCH, TINY = 250, 64
"""pixels per side of the patches that the photo is made of, and of the image that costs nothing but the start"""
MEASURE = """
import os, subprocess, sys, time
began = time.monotonic()
command = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(command.pid, 0)
print(os.waitstatus_to_exitcode(status), time.monotonic() - began, used.ru_maxrss)
"""
"""a program that runs a command and prints its exit status, seconds and peak memory; a small process, since the peak
of a process starts at what its parent used"""
OPTIONS = [
    Option("width", int, 4000, "pixels of the photo"),
    Option("height", int, 3000, "pixels of the photo"),
    Option("data", str, "shapes:192", "what the photo is made of: images, as in train"),
    Option("degradation", str, "noise", "how it is degraded, and what a network is trained to restore"),
    Option("steps", int, 60, "training steps of the network"),
    Option("tile", int, 512, "pixels per side of a tile"),
    Option("crop", int, 1280, "pixels per side of the crop that is also restored at once"),
    Option("threads", int, 0, "CPU threads; 0: as torch chooses"),
    Option("runs", Path, None, "keep the run folder and the images here"),
    Option("out", Path, None, "write the result to this JSON file"),
]


def main(words: list[str]) -> None:
    """Restores the photo and prints the scores."""
    parser = Parser("large_image", (__doc__ or "").partition("\n\n")[0])
    parser.prog = "python -m benchmarks large_image"
    parser.add_argument("run", metavar="RUN", nargs="?", default="laptop", help="a run of restoration, or a preset of "
                        f"it: {', '.join(Restoration.presets)} [laptop]")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_options(OPTIONS, "options")
    given = vars(parser.parse(words))
    args = {option.name: given.get(option.name, option.default) for option in OPTIONS} | {"run": given["run"]}
    with common.run_folders(args["runs"]) as folder:
        result = large_image(args, 0, folder)
    common.write_result(result, args["out"], given["json"])
    if not given["json"]:
        print(describe(result))


def large_image(args: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """The scores of a degraded photo and a network of that seed; args: OPTIONS and "run" by name.

    folder: for the run folder and the images. Raises UserError for sizes that do not fit together.
    """
    width, height, tile, crop = (args[name] for name in ("width", "height", "tile", "crop"))
    if min(width, height) < crop or crop <= tile or args["steps"] < 1 or args["threads"] < 0:
        raise UserError(
            "crop must be larger than tile and no larger than the photo; steps 1 or more, threads not negative."
        )
    check_tile(tile)
    if not (Path(args["run"]) / "run.json").is_file() and args["run"] not in Restoration.presets:
        presets = ", ".join(Restoration.presets)
        raise UserError(f"{args['run']} is no run folder, and no preset of restoration: {presets}.")
    clean = mosaic(args["data"], height, width)
    photos, began = folder / "photos", time.monotonic()
    Photo(clean).save(photos / "clean.png")
    run = network(args, seed, photos, folder)
    train_seconds, method = time.monotonic() - began, reverie.load(run)
    (degraded,) = method.verb("degrade")([Photo(clean)], seed=seed)
    tiny = Photo(np.ascontiguousarray(degraded.pixels[:TINY, :TINY]))
    start_seconds, start_memory = restore(run, tiny.save(folder / "tiny.png"), folder, args)
    seconds, memory = restore(run, degraded.save(folder / "degraded.png"), folder, args)
    pixels = Photo.load(folder / "restored" / "degraded.png").pixels
    if pixels.shape[:2] != clean.shape[:2]:
        raise UserError(f"the result has {pixels.shape[1]}x{pixels.shape[0]} pixels, not {width}x{height}.")
    config = method.config
    depth = f"{config.depth} convolutions" if config.network == "ffdnet" else f"{config.blocks} residual blocks"
    layers = f"{depth} of {config.base_channels} channels"
    kind = "colour" if config.channels == 3 else "grey"
    about = f"{width}x{height} pixels, {kind}, PNG, by `reverie restore --tile {tile}`, {layers}, {config.degradation}"
    radius, difference = receptive_radius(method), seam(method, degraded, crop, tile)
    rows: list[tuple[str, float, str, Better, str, float | None, str]] = [
        ("seconds", seconds, "s", "lower", f"from the start of the command to the written file; {about}",
         start_seconds, f"an image of {TINY} pixels"),
        ("megapixels per second", width * height / 1e6 / seconds, "MP/s", "higher", f"of the whole command; {about}",
         None, ""),
        ("memory added", memory - start_memory, "MB", "lower", "peak of resident memory, above that of the same "
         f"command for an image of {TINY} pixels; {about}", None, ""),
        ("seam", difference, "levels of 255", "lower", "largest difference of any pixel, before rounding, of a crop of "
         f"{crop} pixels per side restored in tiles of {tile} and at once; a pixel of the result depends on {radius} "
         f"pixels around it; {layers}, {config.degradation}", None, ""),
    ]  # fmt: skip
    scores = [
        Score(
            name,
            value,
            unit,
            better,
            definition,
            None,
            1,
            seed,
            versions=versions(),
            baseline=baseline,
            baseline_name=source,
        )
        for name, value, unit, better, definition, baseline, source in rows
    ]
    return {
        "task": "large_image", "run": str(args["run"]), "scores": [score.to_json() for score in scores],
        "seconds": round(train_seconds, 1), "command": common.command(), "machine": machine(), "versions": versions(),
        "commit": commit(), "created": now(),
    }  # fmt: skip


def mosaic(data: str, height: int, width: int) -> np.ndarray:
    """uint8 [height,width,3]: the images of a set side by side, in order."""
    images = Images.open(data).prepare(PATCH, 3)
    down, across = -(-height // PATCH), -(-width // PATCH)
    rows = []
    for y in range(down):
        row = [images.pixels((y * across + x) % len(images)) for x in range(across)]
        rows.append(np.concatenate(row, 1))
    return np.ascontiguousarray(np.concatenate(rows)[:height, :width])


def network(args: dict[str, Any], seed: int, photos: Path, folder: Path) -> Path:
    """The run folder that was named, or one in `folder` of the preset named, trained for some steps on the photo."""
    named = Path(args["run"])
    if (named / "run.json").is_file():
        return named
    options = dict(degradation=args["degradation"], steps=args["steps"], ema_decay=0.0, seed=seed)
    if args["threads"]:
        options["threads"] = args["threads"]
    common.train_or_resume(f"restoration:{args['run']}", photos, folder / "run", **common.QUIET, **options)
    return folder / "run"


def restore(run: Path, photo: Path, folder: Path, args: dict[str, Any]) -> tuple[float, float]:
    """Seconds, and the peak of resident memory in MB, of the command that restores a photo into folder/restored."""
    out = folder / "restored"
    (out / photo.name).unlink(missing_ok=True)  # of an earlier run of the benchmark
    command = [sys.executable, "-m", "reverie", "restore", run, photo, "--tile", args["tile"], "--out", out]
    threads = {"OMP_NUM_THREADS": str(args["threads"])} if args["threads"] else {}
    measured = subprocess.run(
        [sys.executable, "-I", "-c", MEASURE, *map(str, command)],
        env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    status, seconds, peak = measured.stdout.split()
    if int(status):
        raise UserError(f"`reverie restore` of {photo.name} ended with {status}; its reason is printed above.")
    return float(seconds), int(peak) / (2**20 if sys.platform == "darwin" else 2**10)


def seam(method: Method, photo: Photo, side: int, tile: int) -> float:
    """The largest difference, in levels of 255, of the middle of a photo restored in tiles and at once."""
    top, left = ((n - side) // 2 for n in photo.pixels.shape[:2])
    crop = Photo(np.ascontiguousarray(photo.pixels[top : top + side, left : left + side]))
    x = crop.to_tensor(method.in_channels)
    with torch.inference_mode():
        difference = method.eval().restore_tensor(x, tile) - method.restore_tensor(x, -(-side // 256) * 256)
    return float(difference.abs().max()) * 127.5


def receptive_radius(method: Method) -> int:
    """How many pixels around it a pixel of the result depends on, measured by its gradients."""
    side = 2 * method.generator.receptive_radius + 10
    middle = side // 2
    x = torch.rand(1, method.in_channels, side, side, generator=torch.Generator().manual_seed(0)).requires_grad_()
    sigma = torch.zeros(1, 1, 1, 1) if method.config.max_noise else None
    (gradient,) = torch.autograd.grad(method.eval().generator_output(x, sigma)[0, :, middle, middle].sum(), x)
    offsets = gradient[0].abs().amax(0).nonzero() - middle
    return int(offsets.abs().max())


def describe(result: dict[str, Any]) -> str:
    """The result as lines."""
    lines = []
    for score in result["scores"]:
        line = f"{score['name']}: {score['value']:.4g} {score['unit']}"
        if score["baseline"]:
            line += f" ({score['baseline_name']}: {score['baseline']:.3g})"
        lines.append(line)
    return "\n".join(lines)
