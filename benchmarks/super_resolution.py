"""Super-resolution on Set5 and Set14: one training, the field's two test sets.

`python -m benchmarks super_resolution --data super_resolution.zip --method srgan:laptop --runs runs`

Trained on T91 and the 400 photos of BSDS500 that are not BSD100; the small images are made from the large ones, and are
those of the zip to the last bit. Scores are PSNR and SSIM of Y, the border of the scale's width left out; beside each
stands bicubic.

    seconds per megapixel           of the small image, through `upscale`, on the largest of Set14; beside it Pillow's
                                    bicubic
    seconds per megapixel, fsrcnn   the same of a network of the size of FSRCNN(56, 12, 4), of the luminance
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import nn

import reverie
from benchmarks import common
from reverie.core.options import Option
from reverie.evaluation.evaluate import evaluate
from reverie.media import Photo
from reverie.metrics.score import Score
from reverie.transforms.upscaling import Upscaler, upscale_photo
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import UserError

TRAINING = "[tb]*/*"
"""t91 and bsds400"""
SETS = ("set5", "set14")
OPTIONS = [
    Option("data", Path, None, "super_resolution.zip"),
    Option("method", str, "srgan:laptop", "NAME:PRESET"),
    Option("scale", int, 4, "2 or 4, which the zip has test images for"),
    Option("steps", int, 0, "of training; 0: the preset's"),
    Option("threads", int, 1, "of training and use"),
    Option("seed", int, 0, "of training"),
    Option("runs", Path, None, "keep the run here"),
    Option("out", Path, None, "write the result to this JSON file"),
]

NOT_OF_TRAINING = ("data", "method", "runs", "out")


def main(words: list[str]) -> None:
    """Trains, evaluates and prints the scores."""
    args, as_json = common.parse_options("super_resolution", (__doc__ or "").partition("\n\n")[0], OPTIONS, words)
    if args["data"] is None:
        raise UserError("super_resolution needs --data: super_resolution.zip.")
    with common.run_folders(args["runs"]) as folder:
        result = super_resolution(args, folder / "run")
    common.write_result(result, args["out"], as_json)
    for score in [] if as_json else result["scores"]:
        print(f"{score['name']:28} {score['value']:.4f}   bicubic {score['baseline']:.4f}")


def super_resolution(args: dict[str, Any], out: Path) -> dict[str, Any]:
    """The scores of one training; args: OPTIONS by name; out: its run folder."""
    parts = {name: f"{name}/x{args['scale']}/*_HR.png" for name in SETS}
    patterns = {"train": TRAINING, **parts}
    places = {
        name: common.unpack(args["data"], {"": p}, out.with_name(f"{out.name}-{name}")) for name, p in patterns.items()
    }
    options = {name: value for name, value in args.items() if name not in NOT_OF_TRAINING}
    if not args["steps"]:
        del options["steps"]
    common.train_or_resume(args["method"], places["train"], out, **options)
    scores = [
        dataclasses.replace(score, name=f"{score.name}, {name}")
        for name in SETS
        for score in evaluate(out, places[name], full=True)
    ]
    scores += speed_scores(out, places["set14"], args)
    return {
        "task": "super_resolution", "scores": [score.to_json() for score in scores],
        "seconds": common.training_seconds(out), "command": common.command(), "machine": machine(),
        "versions": versions(), "commit": commit(), "created": now(),
    }  # fmt: skip


def speed_scores(run: Path, photos: Path, args: dict[str, Any]) -> list[Score]:
    """Seconds for a megapixel of the small image, the median of three, beside Pillow's bicubic: of the run's network,
    and of one of FSRCNN's size."""
    method = reverie.load(run)
    files = sorted(photos.rglob("*.png"))
    with PIL.Image.open(max(files, key=lambda path: path.stat().st_size)) as image:
        small = image.convert("RGB").reduce(args["scale"])
    photo, large = Photo(np.asarray(small)), (small.width * args["scale"], small.height * args["scale"])
    megapixels = small.width * small.height / 1e6

    def seconds(act: Any) -> float:
        taken = []
        for _ in range(3):
            began = time.monotonic()
            act()
            taken.append(time.monotonic() - began)
        return sorted(taken)[1] / megapixels

    bicubic = seconds(lambda: small.resize(large, PIL.Image.Resampling.BICUBIC))
    fsrcnn = Upscaler(fsrcnn_network(args["scale"]).eval(), 1, args["scale"], 8, torch.device("cpu"))
    acts = {
        "seconds per megapixel": ("upscale", lambda: list(method.verb("upscale")([photo]))),
        "seconds per megapixel, fsrcnn": (
            "upscale with a network of the size of FSRCNN(56, 12, 4), of the luminance,",
            lambda: upscale_photo(photo, fsrcnn, args["scale"]),
        ),
    }
    return [
        Score(
            name, seconds(act), "s", "lower",
            f"wall time of {what} for a megapixel of the small image in colour, {args['threads']} threads, median of 3",
            None, 3, args["seed"], group="speed", baseline=bicubic, baseline_name="Pillow's bicubic",
        )
        for name, (what, act) in acts.items()
    ]  # fmt: skip


def fsrcnn_network(scale: int, d: int = 56, s: int = 12, m: int = 4) -> nn.Sequential:
    """x [B,1,H,W] -> [B,1,sH,sW], with initial weights, which take as long as trained ones (Dong, Loy, Tang 2016,
    arXiv:1608.00367, section 3.3; its names)."""
    layers: list[nn.Module] = [nn.Conv2d(1, d, 5, padding=2), nn.PReLU(d), nn.Conv2d(d, s, 1), nn.PReLU(s)]
    for _ in range(m):
        layers += [nn.Conv2d(s, s, 3, padding=1), nn.PReLU(s)]
    layers += [nn.Conv2d(s, d, 1), nn.PReLU(d)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(d, 1, 9, scale, 4, output_padding=scale - 1))
