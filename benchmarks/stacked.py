"""Stacked-MNIST: three digits at once, 1,000 modes.   B batch, N items; images [B,3,32,32] in [-1,1].

The task of Metz 2016 (Unrolled GANs, arXiv:1611.02163) as VEEGAN and PacGAN (Lin 2017, arXiv:1712.04086)
run it: 128,000 triples of training digits drawn with replacement are the red, green and blue of an image;
of 26,000 samples a classifier of digits reads each channel. A mode is found if one sample is read so; the reverse KL
is that of the shares of the 1,000 modes to the uniform distribution. Here the digits keep their 28 pixels and stand in
the middle of 32 (black around them; PacGAN: 28), for methods that make powers of two. Any labelled set will do; of more
than ten classes the first ten are taken.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import task
from reverie.api import load
from reverie.core.method import Method
from reverie.core.options import Option
from reverie.core.registry import find
from reverie.data.images.dataset import Images
from reverie.media import Image, image_grid
from reverie.metrics.score import Reference, Score
from reverie.utils.environment import versions
from reverie.utils.errors import UserError

SIZE, TRIPLES, SAMPLES, CLASSES = 32, 128_000, 26_000, 10

DEFAULTS: dict[str, Any] = dict(checkpoint_every=10**9, sample_every=1000, size=SIZE)
OPTIONS = [
    Option("data", str, "", "labelled grey images, such as mnist: a path, or the name of a set (needed)"),
    Option("n", int, SAMPLES, "samples that are judged"),
    Option("triples", int, TRIPLES, "how many there are to learn from"),
    Option("judge", str, "judge", "preset of the classifier that is trained to judge, or a run folder of this task's"),
    Option("runs", Path, None, "keep the run folders here"),
    Option("out", Path, None, "write the result to this JSON file"),
    Option("picture", Path, None, "write 100 samples to this PNG file"),
]


class Digits:
    """Images of the first ten classes, grey, in the middle of 32x32, with what loop and classifier ask of Images."""

    kind = "images"

    def __init__(self, spec: str, split: str) -> None:
        images = Images.open(spec, split)
        if len(images.classes) < CLASSES:
            raise UserError(f"{spec} has {len(images.classes)} classes; stacking needs ten, such as those of mnist.")
        side = min(SIZE, images.facts["native"])
        images.prepare(side, 1)
        labels = np.array([item.label for item in images.items])
        rows = np.flatnonzero(labels < CLASSES)
        before = (SIZE - side) // 2
        around = (before, SIZE - side - before)
        self.array = np.pad(images.array[rows], ((0, 0), around, around, (0, 0)))  # uint8 [N,32,32,1]
        self.labels = labels[rows]
        self.spec, self.name, self.split, self.fingerprint = images.spec, images.name, split, images.fingerprint
        self.classes, self.dropped, self.notes = images.classes[:CLASSES], images.dropped, images.notes
        self.facts = {"channels": 1, "classes": CLASSES, "native": SIZE}

    def __len__(self) -> int:
        return len(self.array)

    def batch(self, index: Any, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """ "image" [B,1,32,32] and "label" [B]."""
        label = torch.from_numpy(self.labels[np.asarray(index)]).to(device)
        return {"image": as_tensor(self.array[np.asarray(index)], device), "label": label}


class Stacked:
    """Triples of digits; triple i follows from (seed, i) alone, and is put together when it is asked for."""

    kind, split = "images", "train"

    def __init__(self, digits: Digits, n: int = TRIPLES, seed: int = 0) -> None:
        self.digits, self.n, self.seed = digits, n, seed
        self.spec, self.name = digits.spec, f"stacked {digits.name}"
        told = f"{digits.fingerprint}/{n}/{seed}/{SIZE}"
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()[:16]
        self.facts = {"channels": 3, "classes": 0, "native": SIZE}
        self.classes: list[str] = []
        self.dropped: list[Any] = []
        self.notes: list[str] = []

    def __len__(self) -> int:
        return self.n

    def triples(self, index: Any) -> np.ndarray:
        """Which digits [B,3] stand in the triples of this index."""
        draws = (np.random.Generator(np.random.Philox(key=[self.seed, i])) for i in np.asarray(index))
        return np.stack([draw.integers(0, len(self.digits), 3) for draw in draws])

    def batch(self, index: Any, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """ "image" [B,3,32,32]."""
        rows = self.digits.array[self.triples(index), :, :, 0]  # [B,3,32,32]
        return {"image": as_tensor(rows.transpose(0, 2, 3, 1), device)}


def as_tensor(pixels: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
    """uint8 [B,H,W,C] -> [B,C,H,W] in [-1,1]."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).contiguous().sub(127.5).div_(127.5)


# -- judging -----------------------------------------------------------------------------------------------------------


def judge_of(spec: str, digits: Digits, out: Path) -> Any:
    """The classifier that reads digits: the one that is there, that of a run folder, or trained now.

    Raises UserError if it reads anything else.
    """
    place = out if (out / "run.json").exists() else Path(spec)
    if not place.exists():
        given = dict(**task.QUIET, size=SIZE, channels=1)
        return task.train(f"classifier:{spec}", digits, out, given)
    judge: Any = load(place)
    told = (judge.origin["method"], judge.config.size, judge.config.channels)
    if told != ("classifier", SIZE, 1) or list(judge.config.class_names) != digits.classes:
        raise UserError(f"{place} is no judge of {digits.name}; give the folder 'judge' of an earlier --runs, or none.")
    return judge


def read(judge: Any, pixels: np.ndarray) -> np.ndarray:
    """The class that the judge reads in each image uint8 [N,32,32,1]: int [N]."""
    parts = np.split(pixels, range(512, len(pixels), 512))
    return np.concatenate([judge.log_probabilities(as_tensor(p, judge.device)).argmax(1).cpu().numpy() for p in parts])


def modes(read_as: np.ndarray) -> np.ndarray:
    """How many of the triples of classes [N,3] fell into each of the 1,000 modes."""
    return np.bincount(read_as @ (CLASSES**2, CLASSES, 1), minlength=CLASSES**3)


def scores(found: np.ndarray, real: np.ndarray, seed: int, reference: Reference, by: str) -> list[Score]:
    """Modes found and reverse KL from the counts of the 1,000 modes, beside those of as many real triples."""
    told: list[tuple[str, Any, str, Any, str]] = [
        ("modes", lambda k: float((k > 0).sum()), "", "higher", "modes of 1,000 with at least one sample"),
        ("reverse kl", task.reverse_kl, "nats", "lower",
         "KL of the shares of the 1,000 modes to the uniform distribution"),
    ]  # fmt: skip
    return [
        Score(name, of(found), unit, better, f"{definition}; channels read by {by}", reference, int(found.sum()), seed,
              of(real), "as many new triples of real training digits, read alike", versions=versions())
        for name, of, unit, better, definition in told
    ]  # fmt: skip


def generated(method: Method, n: int) -> np.ndarray:
    """n samples, uint8 [N,32,32,3]: the images of `generate` with seed 0."""
    found = np.empty((n, SIZE, SIZE, 3), np.uint8)
    for i, image in enumerate(method.verb("generate").stream(method, n=n, seed=0)):
        found[i] = image.pixels
    return found


# -- the command -------------------------------------------------------------------------------------------------------


def main(words: list[str]) -> None:
    """Trains a method on the triples and prints what it found."""
    spec, asked, given = task.ask("stacked", (__doc__ or "").splitlines()[0], OPTIONS, DEFAULTS, words)
    name = spec.partition(":")[0]
    if "generate" not in find(name).verbs:
        raise UserError(f"{name} does not generate; give a method that does, such as dcgan.")
    if not asked["data"]:
        raise UserError("stacked needs --data: a path to MNIST, or the name of a set.")
    if min(asked["n"], asked["triples"]) < 2:
        raise UserError("n and triples must be 2 or more.")
    with task.room(asked["runs"]) as room:
        result, made = stacked(spec, given, asked, room)
    if asked["picture"]:
        image_grid([Image(pixels) for pixels in made[:100]], columns=10).save(asked["picture"])
    task.deliver(result, asked["out"], asked["json"])
    if not asked["json"]:
        print(describe(result))


def stacked(spec: str, given: dict[str, Any], asked: dict[str, Any], room: Path) -> tuple[dict[str, Any], np.ndarray]:
    """(the result, the samples uint8 [N,32,32,3]); asked: OPTIONS by name."""
    digits, test = (Digits(asked["data"], split) for split in ("train", "test"))
    judge = judge_of(asked["judge"], digits, room / "judge")
    accuracy = next(s for s in judge.method_scores(test, len(test), 0) if s.name == "accuracy")
    data, n, options = Stacked(digits, asked["triples"]), asked["n"], {**DEFAULTS, **given}
    began = time.monotonic()
    method = task.train(spec, data, room / "run", options)
    seconds = time.monotonic() - began
    made = generated(method, n)
    found = modes(np.stack([read(judge, made[..., c : c + 1]) for c in range(3)], 1))
    triples = Stacked(digits, n, seed=1).triples(range(n))
    used, place = np.unique(triples, return_inverse=True)
    real = modes(read(judge, digits.array[used])[place.reshape(triples.shape)])
    reference = Reference(data.name, data.split, data.fingerprint, len(data), SIZE, 3)
    by = f"a classifier with {accuracy.value:.2%} of {accuracy.n} test digits right"
    seed = options.get("seed", 0)
    return {
        "task": "stacked", **task.about(spec, method, options), "seed": seed, "seconds": round(seconds, 1),
        "judge": accuracy.to_json(),
        "scores": [score.to_json() for score in scores(found, real, seed, reference, by)],
    }, made  # fmt: skip


def describe(result: dict[str, Any]) -> str:
    """The result as lines."""
    told = {score["name"]: score for score in result["scores"]}
    m, kl = told["modes"], told["reverse kl"]
    return (
        f"stacked {result['method']}:{result['preset']}, {result['config']['steps']} steps in "
        f"{result['seconds']:.0f} s\n"
        f"  modes found {m['value']:.0f} of 1,000 (real triples: {m['floor']:.0f}), reverse KL "
        f"{task.number(kl['value'])} nats (real triples: {kl['floor']:.4f}), {m['n']} samples\n"
        f"  judge: {result['judge']['value']:.2%} of {result['judge']['n']} test digits right"
    )
