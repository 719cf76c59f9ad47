"""Images of classes from noise: does a network that never saw the ascent take them for the class?

`python -m benchmarks class_images --other mobilenet_v2.safetensors`

Each recipe makes one image of each class by climbing EfficientNet-Lite0, or that and Lite2, which are installed; Lite0
and another network say which of the 1,000 classes it is. The classes are drawn by a fixed seed, the same for every
recipe, without those that the recipe of `reverie visualize` was chosen on.

    top-1 own        share of images whose likeliest class, under Lite0, which was climbed, is the target
    top-1 other      the same under the other network, which is what counts: the first is easily fooled
    spectrum slope   of the logarithm of the power of luminance over that of frequency, beside photographs'

The seconds are those of the CPU, with the scores in them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import common
from reverie.core.options import Option
from reverie.dreaming.network import DreamNetwork
from reverie.dreaming.open_network import IMAGENET, IMAGENET_LARGER, INSTALLED, open_network
from reverie.dreaming.photographs import AXES
from reverie.dreaming.visualize import Value, checked_defaults, optimise
from reverie.media import Image, image_grid
from reverie.metrics.score import Score, standard_error
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import UserError

TUNED_ON = (9, 130, 292, 340, 417, 487, 555, 963, 3, 49, 753, 238, 563, 437, 644, 397)
"""classes that the recipe was chosen on"""
ONE, TWO = (IMAGENET,), (IMAGENET, IMAGENET_LARGER)


class Recipe(NamedTuple):
    """How an image is made, where it is not as `reverie visualize` does by default."""

    climbed: tuple[str, ...]
    """networks, of which the steps climb one after the other"""
    options: dict[str, Any] = {}
    cross_entropy: bool = False


RECIPES = {
    "pixels": Recipe(ONE, {"style": "pixels", "least_crop": 1.0}),
    "frequencies": Recipe(ONE, {"least_crop": 1.0}),
    "frequencies and crops": Recipe(ONE),
    "two networks": Recipe(TWO),
    "two networks by cross-entropy": Recipe(TWO, {}, True),
    "two networks by maco": Recipe(TWO, {"style": "maco"}),
}
"""the ablation; "two networks" is what `reverie visualize` does"""
PHOTOGRAPHS_SLOPE = -2.47
"""mean over the 296 photographs of reverie.dreaming.photographs, at 160 pixels"""
OPTIONS = [
    Option("other", Path, None, "weights of the other network, in a form that `reverie visualize --weights` takes"),
    Option("classes", int, 50, "how many classes"),
    Option("size", int, 224, "pixels a side of the images"),
    Option("only", str, "", "recipes, with commas between them; none: all"),
    Option("seed", int, 0, "of the noise"),
    Option("runs", Path, None, "keep the images here"),
    Option("out", Path, None, "write the result to this JSON file"),
]


def main(words: list[str]) -> None:
    """Makes the images and prints the scores."""
    args, as_json = common.parse_options("class_images", (__doc__ or "").partition("\n\n")[0], OPTIONS, words)
    if args["other"] is None:
        raise UserError("class_images needs --other: a file of MobileNetV2's weights in torchvision's names.")
    with common.run_folders(args["runs"]) as folder:
        result = class_images(args, folder)
    common.write_result(result, args["out"], as_json)
    for score in [] if as_json else result["scores"]:
        print(f"{score['name']:45} {score['value']:.3f}")


def class_images(args: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The scores of each recipe; args: OPTIONS by name; folder: for the images, one sheet a recipe."""
    climbed = {name: open_network(name) for name in TWO}
    own, other = climbed[IMAGENET], open_network(args["other"])
    chosen = drawn_classes(args["classes"])
    names = args["only"].split(",") if args["only"] else list(RECIPES)
    began, scores = time.process_time(), []
    for name in names:
        if name not in RECIPES:
            raise UserError(f"there is no recipe '{name}'; there are: {', '.join(RECIPES)}.")
        x = torch.cat([image_of(climbed, k, RECIPES[name], args) for k in chosen])
        image_grid([*Image.from_tensor(x)]).save(folder / (name.replace(" ", "-") + f"-{args['seed']}.png"))
        scores += scores_of(name, x, chosen, own, other, args)
    return {
        "task": "class_images", "scores": [score.to_json() for score in scores], "classes": chosen,
        "seconds": round(time.process_time() - began, 1), "evaluate_seconds": 0.0,
        "command": common.command(), "machine": machine(), "versions": versions(), "commit": commit(), "created": now(),
    }  # fmt: skip


def drawn_classes(count: int) -> list[int]:
    """So many classes of ImageNet, drawn by a fixed seed, without those of TUNED_ON; the first are always the same."""
    order = np.random.default_rng(26).permutation(1000).tolist()
    return [k for k in order if k not in TUNED_ON][:count]


def image_of(networks: Mapping[str, DreamNetwork], k: int, recipe: Recipe, args: dict[str, Any]) -> Tensor:
    """The image [1,3,size,size] of class k, by a recipe."""

    def value_of(network: DreamNetwork) -> Value:
        def value(x: Tensor) -> Tensor:
            logits = network.logits(x)
            return (logits.log_softmax(1) if recipe.cross_entropy else logits)[:, k]

        return value

    options = checked_defaults(**recipe.options, seed=args["seed"])
    return optimise([value_of(networks[name]) for name in recipe.climbed], options, args["size"], [k], None)


@torch.no_grad()
def top1(network: DreamNetwork, x: Tensor, classes: list[int]) -> Tensor:
    """Whether the likeliest class of each image is its own, [N] of 0 and 1; images as files hold them."""
    levels = ((x + 1) * 127.5).round() / 127.5 - 1
    seen = F.interpolate(levels, (network.size, network.size), mode="bicubic", antialias=True).clamp(-1, 1)
    guesses = torch.cat([network.logits(part).argmax(1) for part in seen.split(10)])
    return (guesses == torch.tensor(classes)).double()


def slope(x: Tensor) -> Tensor:
    """The slope of each image's power spectrum of luminance, from 2 cycles an image to 0.4 cycles a pixel: [N]."""
    luminance = torch.einsum("c,bchw->bhw", torch.tensor([axis[2] for axis in AXES]), x)
    power = torch.fft.fft2(luminance).abs().square().flatten(1)
    f = torch.hypot(torch.fft.fftfreq(x.shape[2])[:, None], torch.fft.fftfreq(x.shape[3])[None].expand(x.shape[2], -1))
    kept = ((f >= 2 / x.shape[2]) & (f < 0.4)).flatten()
    logarithm = f.flatten()[kept].log()
    centred = logarithm - logarithm.mean()
    return (power[:, kept].clamp(min=1e-12).log() * centred).sum(1) / centred.square().sum()


def scores_of(
    recipe: str, x: Tensor, classes: list[int], own: DreamNetwork, other: DreamNetwork, args: dict[str, Any]
) -> list[Score]:
    """The scores of a recipe's images x [N,3,H,W]."""
    climbed = " and ".join(INSTALLED[network][0] for network in RECIPES[recipe].climbed)
    about = f"{len(classes)} classes, one image each, {args['size']} pixels, {climbed} climbed; recipe: {recipe}"
    top = {
        "top-1 own": (own, f"under {own.name} {own.fingerprint}"),
        "top-1 other": (other, f"under {other.name} {other.fingerprint}, which never saw the ascent"),
    }
    scores = []
    for name, (network, words) in top.items():
        values = top1(network, x, classes)
        definition = f"share of images whose likeliest class is the target {words}, at {network.size} pixels; {about}"
        scores.append(
            Score(f"{name}, {recipe}", float(values.mean()), "", "higher", definition, None, len(x), args["seed"],
                  std_error=standard_error(values), versions=versions(), baseline=0.001, baseline_name="a guess")
        )  # fmt: skip
    slopes = slope(x).double()
    definition = f"of log power over log frequency, luminance, from 2 cycles an image to 0.4 cycles a pixel; {about}"
    scores.append(
        Score(f"spectrum slope, {recipe}", float(slopes.mean()), "", "match", definition, None, len(x), args["seed"],
              real=PHOTOGRAPHS_SLOPE, real_source="296 photographs at 160 pixels",
              std_error=standard_error(slopes), versions=versions())
    )  # fmt: skip
    return scores
