"""Inpainting of photos that were not trained on: the middle of small images, and irregular holes.

`python -m benchmarks inpainting --data FOLDER --method inpainting:laptop --runs runs`

FOLDER holds super_resolution.zip (trained on T91 and the 400 photos of BSDS500 that are not BSD100; tested on Set5 and
Set14), saliency_scenes.zip (the first 20 photos of its test.txt are tested too) and irregular_masks.zip (tested only).
Beside each score stands the Laplace fill.

    ..., centre        the middle 64 of 128 pixels a side
    ..., irregular     the mask files at 256 pixels a side, of photos that large, one for each
"""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks import common
from reverie.core.options import Option
from reverie.evaluation.evaluate import evaluate
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import UserError

TRAINING = "[tb]*/*"
"""t91 and bsds400"""
SETS = {"set5": "set5/x4/*_HR.png", "set14": "set14/x4/*_HR.png"}
SCENES = 20
"""photos of saliency_scenes.zip that are tested"""
CENTRE_SIZE, IRREGULAR_SIZE = 128, 256
OPTIONS = [
    Option("data", Path, None, "the folder that holds the zip files"),
    Option("method", str, "inpainting:laptop", "NAME:PRESET"),
    Option("seed", int, 0, "of training and of the order of masks"),
    Option("runs", Path, None, "keep the run here"),
    Option("out", Path, None, "write the result to this JSON file"),
]


def main(words: list[str]) -> None:
    """Trains, evaluates and prints the scores."""
    args, as_json = common.parse_options("inpainting", (__doc__ or "").partition("\n\n")[0], OPTIONS, words)
    if args["data"] is None:
        raise UserError("inpainting needs --data: the folder that holds super_resolution.zip.")
    with common.run_folders(args["runs"]) as folder:
        result = inpainting(args["method"], {"seed": args["seed"]}, args["data"], folder / "run")
    common.write_result(result, args["out"], as_json)
    for score in [] if as_json else result["scores"]:
        beside = "" if score["baseline"] is None else f"   Laplace {score['baseline']:.3f}"
        print(f"{score['name']:44} {score['value']:.3f}{beside}")


def inpainting(method: str, options: dict[str, Any], data: Path, out: Path) -> dict[str, Any]:
    """The scores of one training; options: of it, with its seed; data: the folder of zip files; out: the run folder."""
    train = common.unpack(data / "super_resolution.zip", {"": TRAINING}, out.with_name(f"{out.name}-train"))
    test, masks = out.with_name(f"{out.name}-test"), out.with_name(f"{out.name}-masks")
    common.unpack(data / "super_resolution.zip", SETS, test)
    unpack_scenes(data / "saliency_scenes.zip", test / "scenes")
    common.unpack(data / "irregular_masks.zip", {"": "*.png"}, masks)
    common.train_or_resume(method, train, out, **options)
    seed = options["seed"]
    irregular = list(evaluate(out, test, full=True, seed=seed, test_size=IRREGULAR_SIZE, test_masks=masks))
    middle = [one for one in evaluate(out, test, full=True, seed=seed, test_size=CENTRE_SIZE) if "centre" in one.name]
    return {
        "task": "inpainting", "scores": [score.to_json() for score in (*middle, *irregular)],
        "seconds": common.training_seconds(out), "command": common.command(), "machine": machine(),
        "versions": versions(), "commit": commit(), "created": now(),
    }  # fmt: skip


def unpack_scenes(source: Path, out: Path) -> None:
    """The first SCENES photos of test.txt."""
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(source) as packed:
        names = packed.read("test.txt").decode().split()[:SCENES]
        for name in names:
            (out / PurePosixPath(name).name).write_bytes(packed.read(f"images/{PurePosixPath(name).name}"))
