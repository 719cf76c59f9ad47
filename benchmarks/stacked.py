"""Stacked-MNIST: three digits per image, 1,000 modes.   B batch, N items; images [B,3,32,32] in [-1,1].

The task of Metz 2016 (Unrolled GANs, arXiv:1611.02163) as VEEGAN and PacGAN (Lin 2017, arXiv:1712.04086)
run it: 128,000 triples of training digits drawn with replacement are the red, green and blue of an image;
of 26,000 samples a digit classifier reads each channel. A mode is found if it is read in at least one sample; the
reverse KL is that of the shares of the 1,000 modes to the uniform distribution. Here the digits of 28 pixels are padded
with black to 32 (PacGAN: 28), for methods whose image size is a power of two. Any labelled set can be used; of more
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

from benchmarks import common
from reverie.api import load
from reverie.core.method import Method
from reverie.core.options import Option
from reverie.core.registry import find
from reverie.data.images.dataset import Images
from reverie.evaluation.feature_classifier import PRESET
from reverie.media import Image, image_grid
from reverie.metrics.score import Reference, Score
from reverie.utils.environment import versions
from reverie.utils.errors import UserError

SIZE, TRIPLES, SAMPLES, CLASSES = 32, 128_000, 26_000, 10

DEFAULTS: dict[str, Any] = dict(checkpoint_every=10**9, sample_every=1000, size=SIZE)
OPTIONS = [
    Option("data", str, "", "labelled grey images, such as mnist: a path, or the name of a set (needed)"),
    Option("n", int, SAMPLES, "number of generated samples"),
    Option("triples", int, TRIPLES, "number of training images"),
    Option("classifier", str, PRESET, "preset of the digit classifier that is trained, or the run folder of one"),
    Option("runs", Path, None, "keep the run folders here"),
    Option("out", Path, None, "write the result to this JSON file"),
    Option("image", Path, None, "write 100 samples to this PNG file"),
]


class Digits:
    """Grey images of the first ten classes, padded to 32x32, with the interface that the trainer asks of Images."""

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

    def prepare(self, *args: Any, **kwargs: Any) -> Digits:
        """They are prepared already."""
        return self

    def batch(self, index: Any, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """ "image" [B,1,32,32] and "label" [B]."""
        label = torch.from_numpy(self.labels[np.asarray(index)]).to(device)
        return {"image": as_tensor(self.array[np.asarray(index)], device), "label": label}


class Stacked:
    """Triples of digits as the channels of an image; triple i is a function of (seed, i) and made when it is read."""

    kind, split = "images", "train"

    def __init__(self, digits: Digits, n: int = TRIPLES, seed: int = 0) -> None:
        self.digits, self.n, self.seed = digits, n, seed
        self.spec, self.name = digits.spec, f"stacked {digits.name}"
        identity = f"{digits.fingerprint}/{n}/{seed}/{SIZE}"
        self.fingerprint = hashlib.sha256(identity.encode()).hexdigest()[:16]
        self.facts = {"channels": 3, "classes": 0, "native": SIZE}
        self.classes: list[str] = []
        self.dropped: list[Any] = []
        self.notes: list[str] = []

    def __len__(self) -> int:
        return self.n

    def prepare(self, *args: Any, **kwargs: Any) -> Stacked:
        """They are prepared already."""
        return self

    def triples(self, index: Any) -> np.ndarray:
        """The indices [B,3] of the digits in the triples of these indices."""
        draws = (np.random.Generator(np.random.Philox(key=[self.seed, i])) for i in np.asarray(index))
        return np.stack([draw.integers(0, len(self.digits), 3) for draw in draws])

    def batch(self, index: Any, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """ "image" [B,3,32,32]."""
        rows = self.digits.array[self.triples(index), :, :, 0]  # [B,3,32,32]
        return {"image": as_tensor(rows.transpose(0, 2, 3, 1), device)}


def as_tensor(pixels: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
    """uint8 [B,H,W,C] -> [B,C,H,W] in [-1,1]."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).contiguous().sub(127.5).div_(127.5)


# -- scores ------------------------------------------------------------------------------------------------------------


def digit_classifier(spec: str, digits: Digits, out: Path) -> Any:
    """The classifier that reads digits: the one in `out`, that of the run folder `spec`, or one trained now.

    spec: a preset, or a run folder. Raises UserError if the run is no classifier of these digits.
    """
    place = out if (out / "run.json").exists() else Path(spec)
    if not place.exists():
        options = dict(**common.QUIET, size=SIZE, channels=1)
        return common.train(f"classifier:{spec}", digits, out, options)
    classifier: Any = load(place)
    kind = (classifier.origin["method"], classifier.config.size, classifier.config.channels)
    if kind != ("classifier", SIZE, 1) or list(classifier.config.class_names) != digits.classes:
        raise UserError(
            f"{place} is no classifier of {digits.name}; give the folder 'classifier' of an earlier --runs, or none."
        )
    return classifier


def classify(classifier: Any, pixels: np.ndarray) -> np.ndarray:
    """The predicted class of each image uint8 [N,32,32,1]: int [N]."""
    predictions = []
    for part in np.split(pixels, range(512, len(pixels), 512)):
        log_probabilities = classifier.log_probabilities(as_tensor(part, classifier.device))
        predictions.append(log_probabilities.argmax(1).cpu().numpy())
    return np.concatenate(predictions)


def mode_counts(classes: np.ndarray) -> np.ndarray:
    """How many triples of classes [N,3] fell into each of the 1,000 modes: int [1000]."""
    return np.bincount(classes @ (CLASSES**2, CLASSES, 1), minlength=CLASSES**3)


def scores(counts: np.ndarray, real: np.ndarray, seed: int, reference: Reference, by: str) -> list[Score]:
    """Modes found and reverse KL from the counts of the 1,000 modes; real data are as many real triples."""
    statistics: list[tuple[str, Any, str, Any, str]] = [
        ("modes", lambda k: float((k > 0).sum()), "", "higher", "modes of 1,000 with at least one sample"),
        ("reverse kl", common.reverse_kl, "nats", "lower",
         "KL of the shares of the 1,000 modes to the uniform distribution"),
    ]  # fmt: skip
    return [
        Score(name, statistic(counts), unit, better, f"{definition}; channels read by {by}", reference,
              int(counts.sum()), seed, statistic(real), "as many new triples of real training digits, read alike",
              versions=versions())
        for name, statistic, unit, better, definition in statistics
    ]  # fmt: skip


def generated(method: Method, n: int) -> np.ndarray:
    """n samples, uint8 [N,32,32,3]: the images of `generate` with seed 0."""
    samples = np.empty((n, SIZE, SIZE, 3), np.uint8)
    for i, image in enumerate(method.verb("generate").stream(method, n=n, seed=0)):
        samples[i] = image.pixels
    return samples


# -- the command -------------------------------------------------------------------------------------------------------


def main(words: list[str]) -> None:
    """Trains a method on the triples and prints its scores."""
    about = (__doc__ or "").splitlines()[0]
    spec, args, options = common.parse_method_options("stacked", about, OPTIONS, DEFAULTS, words)
    name = spec.partition(":")[0]
    if "generate" not in find(name).verbs:
        raise UserError(f"{name} does not generate; give a method that does, such as dcgan.")
    if not args["data"]:
        raise UserError("stacked needs --data: a path to MNIST, or the name of a set.")
    if min(args["n"], args["triples"]) < 2:
        raise UserError("n and triples must be 2 or more.")
    with common.run_folders(args["runs"]) as folder:
        result, samples = stacked(spec, options, args, folder)
    if args["image"]:
        image_grid([Image(pixels) for pixels in samples[:100]], columns=10).save(args["image"])
    common.write_result(result, args["out"], args["json"])
    if not args["json"]:
        print(describe(result))


def stacked(spec: str, given: dict[str, Any], args: dict[str, Any], folder: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Trains "name:preset" on the triples, with the options given in place of DEFAULTS and the preset's.

    args: OPTIONS by name; folder: for the run folders "classifier" and "run".
    Returns (the result, the samples uint8 [N,32,32,3]).
    """
    digits, test = (Digits(args["data"], split) for split in ("train", "test"))
    classifier = digit_classifier(args["classifier"], digits, folder / "classifier")
    accuracy = next(s for s in classifier.method_scores(test, len(test), 0) if s.name == "accuracy")
    data, n, options = Stacked(digits, args["triples"]), args["n"], {**DEFAULTS, **given}
    began = time.monotonic()
    method = common.train(spec, data, folder / "run", options)
    seconds = time.monotonic() - began
    samples = generated(method, n)
    counts = mode_counts(np.stack([classify(classifier, samples[..., c : c + 1]) for c in range(3)], 1))
    triples = Stacked(digits, n, seed=1).triples(range(n))
    used, inverse = np.unique(triples, return_inverse=True)
    real = mode_counts(classify(classifier, digits.array[used])[inverse.reshape(triples.shape)])
    reference = Reference(data.name, data.split, data.fingerprint, len(data), SIZE, 3)
    by = f"a classifier of accuracy {accuracy.value:.2%} on {accuracy.n} test digits"
    seed = options.get("seed", 0)
    result = {
        "task": "stacked", **common.describe_method(spec, method, options), "seed": seed, "seconds": round(seconds, 1),
        "classifier": accuracy.to_json(),
        "scores": [score.to_json() for score in scores(counts, real, seed, reference, by)],
    }  # fmt: skip
    return result, samples


def describe(result: dict[str, Any]) -> str:
    """The result as lines."""
    by_name = {score["name"]: score for score in result["scores"]}
    modes, kl, classifier = by_name["modes"], by_name["reverse kl"], result["classifier"]
    return (
        f"stacked {result['method']}:{result['preset']}, {result['config']['steps']} steps in "
        f"{result['seconds']:.0f} s\n"
        f"  modes found {modes['value']:.0f} of 1,000 (real triples: {modes['real']:.0f}), reverse KL "
        f"{common.format_number(kl['value'])} nats (real triples: {kl['real']:.4f}), {modes['n']} samples\n"
        f"  classifier: accuracy {classifier['value']:.2%} on {classifier['n']} test digits"
    )
