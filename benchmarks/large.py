"""A photograph of 12 megapixels repaired: how long, with how much memory, and is there a seam?  `python -m benchmarks
large`

A large colour picture is put together from pieces, spoilt, and repaired by `reverie restore`, as a user would, in a
process of its own. Time and memory do not depend on what the weights are, so that a network of the preset named is
trained for a few steps only: enough for a pixel of the result to depend on all that it can.

    seconds        of the command, from start to the written file; floor: the same for a picture of 64 pixels
    memory added   the peak of resident memory, above that for a picture of 64 pixels
    seam           the largest difference of a crop repaired in tiles and at once, before it is rounded to levels
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
from benchmarks import task
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

PIECE, TINY = 250, 64
"""pixels a side of the pieces that the picture is made of, and of the picture that costs nothing but the start"""
WATCHED = """
import os, subprocess, sys, time
began = time.monotonic()
command = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(command.pid, 0)
print(os.waitstatus_to_exitcode(status), time.monotonic() - began, used.ru_maxrss)
"""
"""runs a command and tells its exit status, seconds and peak; in a small process, since the peak of a process begins at
what its parent held"""
OPTIONS = [
    Option("width", int, 4000, "pixels of the picture"),
    Option("height", int, 3000, "pixels of the picture"),
    Option("data", str, "shapes:192", "what the picture is made of: images, as in train"),
    Option("make", str, "noise", "how it is spoilt, and what a network is trained to repair"),
    Option("steps", int, 60, "steps that a network is trained"),
    Option("tile", int, 512, "pixels a side of a tile"),
    Option("crop", int, 1280, "pixels a side of what is also repaired at once"),
    Option("threads", int, 0, "CPU threads; 0: as torch chooses"),
    Option("runs", Path, None, "keep the run folder and the pictures here"),
    Option("out", Path, None, "write the result to this JSON file"),
]


def main(words: list[str]) -> None:
    """Repairs the picture and prints what it took."""
    parser = Parser("large", (__doc__ or "").partition("\n\n")[0])
    parser.prog = "python -m benchmarks large"
    parser.add_argument("run", metavar="RUN", nargs="?", default="laptop", help="a run of restoration, or a preset of "
                        f"it: {', '.join(Restoration.presets)} [laptop]")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_options(OPTIONS, "options")
    given = vars(parser.read(words))
    asked = {o.name: given.get(o.name, o.default) for o in OPTIONS} | {"run": given["run"]}
    with task.room(asked["runs"]) as room:
        result = large(asked, 0, room)
    task.deliver(result, asked["out"], given["json"])
    if not given["json"]:
        print(describe(result))


def large(asked: dict[str, Any], seed: int, room: Path) -> dict[str, Any]:
    """The result, of a picture and a network of that seed."""
    width, height, tile, crop = (asked[name] for name in ("width", "height", "tile", "crop"))
    if min(width, height) < crop or crop <= tile or asked["steps"] < 1 or asked["threads"] < 0:
        raise UserError(
            "crop must be larger than tile and no larger than the picture; steps 1 or more, threads not negative."
        )
    check_tile(tile)
    if not (Path(asked["run"]) / "run.json").is_file() and asked["run"] not in Restoration.presets:
        presets = ", ".join(Restoration.presets)
        raise UserError(f"{asked['run']} is no run folder, and no preset of restoration: {presets}.")
    good = mosaic(asked["data"], height, width)
    folder, began = room / "photos", time.monotonic()
    Photo(good).save(folder / "good.png")
    run = network(asked, seed, folder, room)
    trained, method = time.monotonic() - began, reverie.load(run)
    (spoilt,) = method.verb("degrade")([Photo(good)], seed=seed)
    tiny = Photo(np.ascontiguousarray(spoilt.pixels[:TINY, :TINY]))
    files = {name: photo.save(room / f"{name}.png") for name, photo in (("spoilt", spoilt), ("tiny", tiny))}
    start, least = restore(run, files["tiny"], room, asked)
    seconds, most = restore(run, files["spoilt"], room, asked)
    pixels = Photo.load(room / "restored" / "spoilt.png").pixels
    if pixels.shape[:2] != good.shape[:2]:
        raise UserError(f"what came out is {pixels.shape[1]}x{pixels.shape[0]}, not {width}x{height}.")
    c, layers = method.config, f"{method.config.depth} convolutions of {method.config.base_channels} channels"
    kind = "colour" if c.channels == 3 else "grey"
    about = f"{width}x{height} pixels, {kind}, PNG, by `reverie restore --tile {tile}`, {layers}, {c.make}"
    reach, apart = reach_of(method), seam(method, spoilt, crop, tile)
    rows: list[tuple[str, float, str, Better, str, float | None, str]] = [
        ("seconds", seconds, "s", "lower", f"from the start of the command to the written file; {about}", start,
         f"a picture of {TINY} pixels"),
        ("megapixels a second", width * height / 1e6 / seconds, "MP/s", "higher", f"of the whole command; {about}",
         None, ""),
        ("memory added", most - least, "MB", "lower", "peak of resident memory, above that of the same command for a "
         f"picture of {TINY} pixels; {about}", None, ""),
        ("seam", apart, "levels of 255", "lower", "largest difference of any pixel, before rounding, of a crop of "
         f"{crop} pixels a side repaired in tiles of {tile} and at once; a pixel of the result depends on {reach} "
         f"pixels around it; {layers}, {c.make}", None, ""),
    ]  # fmt: skip
    scores = [
        Score(name, value, unit, better, told, None, 1, seed, floor, of, versions=versions())
        for name, value, unit, better, told, floor, of in rows
    ]
    return {
        "task": "large", "run": str(asked["run"]), "scores": [score.to_json() for score in scores],
        "seconds": round(trained, 1), "command": task.command(), "machine": machine(), "versions": versions(),
        "commit": commit(), "created": now(),
    }  # fmt: skip


def mosaic(data: str, height: int, width: int) -> np.ndarray:
    """uint8 [height,width,3]: images side by side, in turn."""
    images = Images.open(data).prepare(PIECE, 3)
    down, across = -(-height // PIECE), -(-width // PIECE)
    rows = [
        np.concatenate([images.pixels((y * across + x) % len(images)) for x in range(across)], 1) for y in range(down)
    ]
    return np.ascontiguousarray(np.concatenate(rows)[:height, :width])


def network(asked: dict[str, Any], seed: int, folder: Path, room: Path) -> Path:
    """The run folder that was asked for, or one of a preset, trained for some steps on the picture."""
    named = Path(asked["run"])
    if (named / "run.json").is_file():
        return named
    options = dict(degradation=asked["make"], steps=asked["steps"], ema_decay=0.0, seed=seed)
    options |= {"threads": asked["threads"]} if asked["threads"] else {}
    task.trained(f"restoration:{asked['run']}", folder, room / "run", **task.QUIET, **options)
    return room / "run"


def restore(run: Path, photo: Path, room: Path, asked: dict[str, Any]) -> tuple[float, float]:
    """Seconds and the peak of resident memory in MB of the command that repairs a picture."""
    out = room / "restored"
    (out / photo.name).unlink(missing_ok=True)  # of an earlier time
    words = [sys.executable, "-m", "reverie", "restore", run, photo, "--tile", asked["tile"], "--out", out]
    threads = {"OMP_NUM_THREADS": str(asked["threads"])} if asked["threads"] else {}
    launch = [sys.executable, "-I", "-c", WATCHED, *map(str, words)]
    told = subprocess.run(launch, env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True, check=True).stdout
    status, seconds, peak = told.split()
    if int(status):
        raise UserError(f"`reverie restore` of {photo.name} ended with {status}; its reason stands above.")
    return float(seconds), int(peak) / (2**20 if sys.platform == "darwin" else 2**10)


def seam(method: Method, photo: Photo, side: int, tile: int) -> float:
    """The largest difference, in levels, of the middle of a picture repaired in tiles and at once."""
    top, left = ((n - side) // 2 for n in photo.pixels.shape[:2])
    crop = Photo(np.ascontiguousarray(photo.pixels[top : top + side, left : left + side]))
    x = crop.to_tensor(method.inputs)
    with torch.inference_mode():
        apart = method.eval().restored(x, tile) - method.restored(x, -(-side // 256) * 256)
    return float(apart.abs().max()) * 127.5


def reach_of(method: Method) -> int:
    """How many pixels around it a pixel of the result depends on, as the gradients of some pixels tell."""
    side = 2 * method.generator.reach + 10
    middle = side // 2
    x = torch.rand(1, method.inputs, side, side, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (slope,) = torch.autograd.grad(method.eval().generator(x)[0, :, middle, middle].sum(), x)
    places = slope[0].abs().amax(0).nonzero() - middle
    return int(places.abs().max())


def describe(result: dict[str, Any]) -> str:
    """The result as lines."""
    return "\n".join(
        f"{s['name']}: {s['value']:.4g} {s['unit']}" + (f" ({s['floor_of']}: {s['floor']:.3g})" if s["floor"] else "")
        for s in result["scores"]
    )
