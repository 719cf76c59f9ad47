"""How fast verbs are: blend, inpaint, saliency, describe, dream.  `python -m benchmarks verb_speed`

CPU seconds of this process, the best of some rounds, after one that is not counted; imports and files are not in them.

    blend               megapixels per second, of a drawn image in another one, with a mask of all but its border
    inpaint             megapixels per second, by the Laplace fill, of a square hole of a quarter of the pixels
    saliency            megapixels per second, by a network with its first weights, which takes as long as a trained one
    describe            paragraphs per second, one a picture, of five sentences, likewise
    activation gain     of a layer that is dreamt of, in powers of e, per step and second, by its ascent without jitter;
                        beside a plain loop over the same network as it is published, with the same step, no smoothing
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import common
from reverie.core.options import Option
from reverie.data.images.dataset import Images
from reverie.data.text.sentences import SPECIAL
from reverie.dreaming.ascent import Ascent, ascend
from reverie.dreaming.objective import LayerObjective, read_terms
from reverie.dreaming.open_network import open_network
from reverie.dreaming.styles import STYLES
from reverie.media import Photo
from reverie.methods.rtt_gan import RTTGAN
from reverie.methods.salgan import SalGAN
from reverie.metrics.score import Score
from reverie.nn.imagenet import load_imagenet_network
from reverie.transforms.blending import Placement, blend
from reverie.transforms.laplace_fill import laplace_fill
from reverie.utils.environment import commit, machine, now, versions

LAYER = STYLES["creatures"].layers[0]
PLAIN = "_bn0"
"""the module of a block whose output LAYER is: what is expanded, before its ReLU"""
WORDS = 3_000
PARAGRAPHS: dict[str, Any] = dict(
    vocabulary=(*SPECIAL, *(f"word{i}" for i in range(WORDS))),
    most_sentences=5,
    most_words=16,
    language="en",
    adv_share=0,
)
OPTIONS = [
    Option("size", int, 1000, "pixels a side of what is blended and looked at"),
    Option("dream_size", int, 384, "pixels a side of what is dreamt in"),
    Option("steps", int, 8, "of the dream"),
    Option("rounds", int, 3, "of which the best counts"),
    Option("threads", int, 1, "CPU threads"),
    Option("out", Path, None, "write the result to this JSON file"),
]


def main(words: list[str]) -> None:
    """Prints the figures, or one JSON object."""
    args, as_json = common.parse_options("verb_speed", (__doc__ or "").partition("\n\n")[0], OPTIONS, words)
    result = verb_speed(args)
    common.write_result(result, args["out"], as_json)
    for score in [] if as_json else result["scores"]:
        print(f"{score['name']:40} {score['value']:8.3g} {score['unit']}")


def verb_speed(args: dict[str, Any]) -> dict[str, Any]:
    """The figures as scores; args: OPTIONS by name."""
    torch.set_num_threads(args["threads"])
    began, rounds, megapixels = time.monotonic(), args["rounds"], args["size"] ** 2 / 1e6
    a, b = drawn(args["size"], 2)
    white = torch.zeros(args["size"], args["size"], 1, dtype=torch.uint8)
    white[1:-1, 1:-1] = 255
    mask, looker = Photo(white.numpy()), SalGAN(SalGAN.Config()).eval()
    describer, pictures = RTTGAN(RTTGAN.Config(**PARAGRAPHS)).eval(), drawn(256, 8)
    image, hole = a.to_tensor(3), torch.zeros(1, 1, args["size"], args["size"], dtype=torch.bool)
    hole[:, :, args["size"] // 4 : -args["size"] // 4, args["size"] // 4 : -args["size"] // 4] = True
    gain, seconds = dream_gain(args["dream_size"], args["steps"], rounds)
    plain_gain, plain_seconds = plain_loop_gain(args["dream_size"], args["steps"], rounds)
    steps, side = args["steps"], args["dream_size"]
    about = f"{args['size']} x {args['size']} pixels in colour"
    climbed = f"of {LAYER} of EfficientNet-Lite0 in {steps} steps on a drawn image of {side} x {side} pixels"
    plain = "a plain loop over the network as published, with the same step, no smoothing, colours as they come"
    rows = [
        ("blend", megapixels / seconds_of(lambda: blend(a, b, mask, Placement()), rounds), "megapixels/s",
         f"Poisson blending with a mask of all but the border, {about}"),
        ("inpaint", megapixels / seconds_of(lambda: laplace_fill(image, hole), rounds), "megapixels/s",
         f"the Laplace fill of the middle half of {about}"),
        ("saliency", megapixels / seconds_of(lambda: looker.density_of(a), rounds), "megapixels/s",
         f"the density of a photo of {about}, seen at {looker.config.size} pixels"),
        ("describe", 8 / seconds_of(lambda: list(describer.verb("describe")(photos=pictures, sentences=5)), rounds),
         "paragraphs/s", f"five sentences about each of 8 pictures, {WORDS:,} words known"),
        ("activation gain per step, dream", gain / steps, "", f"log of the objective's growth {climbed}, per step"),
        ("activation gain per step, plain loop", plain_gain / steps, "", f"the same by {plain}"),
        ("activation gain per second, dream", gain / seconds, "1/s", f"log of the objective's growth {climbed}"),
        ("activation gain per second, plain loop", plain_gain / plain_seconds, "1/s", f"the same by {plain}"),
    ]  # fmt: skip
    how = f"per CPU second of {args['threads']} threads, the best of {rounds} rounds"
    scores = [
        Score(name, value, unit, "higher", f"{definition}; {how}", None, rounds, 0, versions=versions())
        for name, value, unit, definition in rows
    ]
    return {
        "task": "verb_speed", "scores": [score.to_json() for score in scores],
        "seconds": round(time.monotonic() - began, 1), "command": common.command(), "machine": machine(),
        "versions": versions(), "commit": commit(), "created": now(),
    }  # fmt: skip


def drawn(size: int, count: int) -> list[Photo]:
    """So many drawn images in colour."""
    images = Images.open(f"shapes:{count}").prepare(size, 3)
    return [Photo(images.pixels(i)) for i in range(count)]


def seconds_of(call: Callable[[], Any], rounds: int) -> float:
    """CPU seconds of a call, the least of some, after one that is not counted."""
    found = []
    for _ in range(rounds + 1):
        began = time.process_time()
        call()
        found.append(time.process_time() - began)
    return min(found[1:])


def dream_gain(size: int, steps: int, rounds: int) -> tuple[float, float]:
    """(growth of the logarithm of a dream's objective, CPU seconds) by the ascent of `reverie dream`."""
    network = open_network()
    objective = LayerObjective(network, read_terms([LAYER], network))
    how, x = Ascent(octaves=1, jitter=0), drawn(size, 1)[0].to_tensor(3)
    y = x

    def climb() -> None:
        nonlocal y
        y = x.clone()
        for _ in range(steps):
            ascend(y, objective, how, torch.Generator().manual_seed(0))

    seconds = seconds_of(climb, rounds)
    with torch.no_grad():
        return float((objective(y) / objective(x)).log()), seconds


def plain_loop_gain(size: int, steps: int, rounds: int) -> tuple[float, float]:
    """The same by a loop as it is usually written, of the same objective."""
    network = load_imagenet_network(fused=False)
    block = int(LAYER.removeprefix("block").partition(".")[0]) - 1
    kept: list[Tensor] = []
    network.get_submodule(f"_blocks.{block}.{PLAIN}").register_forward_hook(lambda _m, _i, out: kept.append(out))
    x, step_size = drawn(size, 1)[0].to_tensor(3), Ascent().step_size
    y = x

    def objective(image: Tensor) -> Tensor:
        kept.clear()
        network(image)
        return F.softplus(kept[0].clone(), beta=4).square().sum() / 2

    def climb() -> None:
        nonlocal y
        y = x.clone()
        for _ in range(steps):
            seen = y.detach().requires_grad_()
            (g,) = torch.autograd.grad(objective(seen), seen)
            y = (y + step_size / 127.5 * g / g.abs().mean()).clamp(-1, 1)

    seconds = seconds_of(climb, rounds)
    with torch.no_grad():
        return float((objective(y) / objective(x)).log()), seconds
