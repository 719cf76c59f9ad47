"""The 2-D grid of 25 Gaussians: does a GAN find every mode?   B batch, Z latents; points [B,2], as images [B,2,1,1].

The task of ALI (Dumoulin 2016, arXiv:1606.00704), VEEGAN (Srivastava 2017, arXiv:1705.07761) and PacGAN
(Lin 2017, arXiv:1712.04086, whose authors' code this protocol is taken from): means on {-4,-2,0,2,4}^2,
standard deviation 0.05, 100,000 points to learn from, 2,500 samples. A sample is good if the nearest mean is less than
3 standard deviations (0.15) away; a mode is found if at least one good sample is its own; the reverse KL is that of
the good samples' shares of the modes. Networks: MLPs with ReLU and no norms, whatever the method's pictures need, the
same for every method and loss (PacGAN: z in R^2 too, wider layers, maxout in D, 400,000 steps).
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import task
from reverie.api import plan
from reverie.core.method import Method
from reverie.core.options import Option
from reverie.media import Image, image_grid
from reverie.metrics.score import Reference, Score
from reverie.utils.environment import versions
from reverie.utils.errors import UserError

MEANS = np.array([(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)], np.float32)  # [25,2]
SPREAD, POINTS, SAMPLES, NEAR = 0.05, 100_000, 2_500, 3.0
SCALE = 5.0  # of the plane: what the networks see lies in [-1,1]
HIDDEN = 128

DEFAULTS: dict[str, Any] = dict(**task.QUIET, steps=8_000, batch_size=128, latent_dim=2, lr=1e-3)
"""in place of a preset's own figures, which are meant for pictures; the same for every method and preset"""
PENALTY = 1e-2
"""where a preset has a gradient penalty: a slope in D that tells one Gaussian from the ground beside it is a hundred
times as steep as between pictures"""


OPTIONS = [
    Option("seeds", int, 10, "how many runs, each with a seed of its own"),
    Option("first", int, 0, "the first seed"),
    Option("runs", Path, None, "keep the run folders here"),
    Option("out", Path, None, "write the result to this JSON file"),
    Option("picture", Path, None, "write the samples of all seeds to this PNG file, real points first"),
]


class Grid:
    """The points to learn from, with what the loop asks of Images."""

    kind, name, spec, split = "points", "25 Gaussians", "grid", "train"
    facts = {"channels": 2, "classes": 0, "native": 1}

    def __init__(self, n: int = POINTS) -> None:
        self.points = draw(n, 0)
        self.fingerprint = hashlib.sha256(self.points.tobytes()).hexdigest()[:16]
        self.classes: list[str] = []
        self.dropped: list[Any] = []
        self.notes: list[str] = []

    def __len__(self) -> int:
        return len(self.points)

    def batch(self, index: np.ndarray, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """ "image" [B,2,1,1]: the points at the given indices, the plane scaled so that [-5,5] is [-1,1]."""
        return {"image": torch.from_numpy(self.points[index] / np.float32(SCALE)).to(device)[:, :, None, None]}


def draw(n: int, seed: int) -> np.ndarray:
    """n points [n,2] of the mixture, each mode as likely as another; seed 0 is the training set."""
    draws = np.random.Generator(np.random.Philox(key=[seed, 25]))
    return MEANS[draws.integers(0, len(MEANS), n)] + np.float32(SPREAD) * draws.standard_normal((n, 2), np.float32)


# -- networks ----------------------------------------------------------------------------------------------------------


class MLP(nn.Module):
    """Inputs [B,...], side by side -> [B,*shape]; three hidden layers of ReLU. Points [B,2,1,1] that come in or go out
    are, for its weights, in the units of the plane."""

    def __init__(self, inputs: int, shape: tuple[int, ...], hidden: int = HIDDEN) -> None:
        super().__init__()
        outputs = int(np.prod(shape, dtype=int))
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden),
            nn.ReLU(), nn.Linear(hidden, outputs),
        )  # fmt: skip
        self.shape = shape

    def forward(self, *inputs: Tensor) -> Tensor:
        rows = [SCALE * x.flatten(1) if x.ndim == 4 else x for x in inputs]
        made = self.layers(torch.cat(rows, 1)).view(-1, *self.shape)
        return made / SCALE if made.ndim == 4 else made


def swap(method: Method) -> None:
    """Puts MLPs of the same signature in the place of a GAN's networks, by name.

    generator: z [B,Z] -> [B,2,1,1]; encoder: [B,2,1,1] -> z; discriminator: [B,2,1,1] -> [B], or of (x, z) where there
    is an encoder. Raises UserError if the method lacks the first and last of them, or has other networks too.
    """
    name, have = method.origin["method"], [name for name, _ in method.named_children()]
    if not {"generator", "discriminator"} <= set(have) <= {"generator", "discriminator", "encoder"}:
        raise UserError(
            f"{name} cannot learn the grid: it has {', '.join(have)}; the grid needs a generator and a discriminator."
        )
    if wrong := [flag for flag in ("augment", "flip") if getattr(method.config, flag, False)]:
        raise UserError(f"points are not pictures: give --no-{' --no-'.join(wrong)}, or another preset.")
    if getattr(method.config, "norm", None) == "spectral":
        raise UserError("the grid's networks have no spectral norm: give --norm none, or another preset.")
    latent = method.config.latent_dim
    method.generator = MLP(latent, (2, 1, 1))
    method.discriminator = MLP(2 + latent * ("encoder" in have), ())
    if "encoder" in have:  # of a Gaussian it tells mean and log variance
        method.encoder = MLP(2, (latent * (1 + (getattr(method.config, "encoder", "") == "stochastic")),))
    method.previews = lambda batch: {"": picture(sample(method))}


@torch.no_grad()
def sample(method: Method, n: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """n points [n,2] that the generator makes, from the latents of `generate` with this seed."""
    was_training = method.training
    method.eval()
    points = method.generator(method.latents(seed)(range(n)))[:, :, 0, 0].cpu().numpy() * SCALE
    method.train(was_training)
    return points


# -- judging -----------------------------------------------------------------------------------------------------------


def modes(points: np.ndarray) -> np.ndarray:
    """How many points [N,2] are good samples of each mode: int [25]."""
    apart = np.linalg.norm(points[:, None] - MEANS, axis=2)  # [N,25]
    near = apart.argmin(1)[apart.min(1) < NEAR * SPREAD]
    return np.bincount(near, minlength=len(MEANS))


def scores(points: np.ndarray, seed: int, reference: Reference) -> list[Score]:
    """Modes, share of good samples and reverse KL of points [N,2], each beside the same of N new real points."""
    real = modes(draw(len(points), 1))
    found = modes(points)
    good = "good sample: nearest of the 25 means of {-4,-2,0,2,4}^2 less than 3 sd = 0.15 away"
    told: list[tuple[str, Any, str, Any, str]] = [
        ("modes", lambda k: float((k > 0).sum()), "", "higher", f"modes with at least one good sample; {good}"),
        ("high quality", lambda k: float(k.sum() / len(points)), "", "higher", f"share of good samples; {good}"),
        ("reverse kl", task.reverse_kl, "nats", "lower",
         f"KL of the shares of the modes among good samples to the uniform distribution; {good}"),
    ]  # fmt: skip
    return [
        Score(name, of(found), unit, better, definition, reference, len(points), seed, of(real),
              "as many new points of the mixture itself", versions=versions())
        for name, of, unit, better, definition in told
    ]  # fmt: skip


def picture(points: np.ndarray, side: int = 240) -> Image:
    """The points [N,2] as dark dots on white, the plane from -5 to 5."""
    at = ((points * (1, -1) + SCALE) / (2 * SCALE) * side).astype(int)
    at = at[((at >= 0) & (at < side)).all(1)]
    dots = np.bincount(at[:, 1] * side + at[:, 0], minlength=side * side).reshape(side, side, 1)
    return Image((255 * 0.45 ** np.minimum(dots, 4)).astype(np.uint8))


# -- the command -------------------------------------------------------------------------------------------------------


def main(words: list[str]) -> None:
    """Trains a method with each seed and prints what it found."""
    spec, asked, given = task.ask("grid", (__doc__ or "").splitlines()[0], OPTIONS, DEFAULTS, words, without="seed")
    if asked["seeds"] < 1 or asked["first"] < 0:
        raise UserError("seeds must be 1 or more, and first not negative.")
    with task.room(asked["runs"]) as room:
        result, samples = grid(spec, given, range(asked["first"], asked["first"] + asked["seeds"]), room)
    if asked["picture"]:
        image_grid([picture(points) for points in (draw(SAMPLES, 1), *samples)]).save(asked["picture"])
    task.deliver(result, asked["out"], asked["json"])
    if not asked["json"]:
        print(describe(result))


def grid(spec: str, given: dict[str, Any], seeds: Sequence[int], room: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """(the result, the samples [2500,2] of each seed)."""
    data, options = Grid(), options_for(spec, given)
    reference = Reference(data.name, data.split, data.fingerprint, len(data), 1, 2)
    runs, samples, told = [], [], []
    for seed in seeds:
        began = time.monotonic()
        method = task.train(spec, data, room / f"seed-{seed}", {**options, "seed": seed}, swap)
        seconds = time.monotonic() - began
        samples.append(sample(method))
        runs.append(scores(samples[-1], 0, reference))
        told.append({"seed": seed, "seconds": round(seconds, 1), "scores": [score.to_json() for score in runs[-1]]})
        line = ", ".join(f"{score.name} {task.number(score.value)}" for score in runs[-1])
        print(f"seed {seed}: {line}, {seconds:.0f} s", file=sys.stderr)
    about = task.about(spec, method, options)
    return {"task": "grid", **about, "summary": task.together(runs), "runs": told}, samples


def options_for(spec: str, given: dict[str, Any]) -> dict[str, Any]:
    """The task's own figures in place of the preset's, and what was given in place of both."""
    config = plan(spec, {})[2]
    options = {k: v for k, v in DEFAULTS.items() if k in task.QUIET or k == "batch" or hasattr(config, k)}
    if getattr(config, "penalty", 0):
        options["penalty"] = PENALTY
    return {**options, **given}


def describe(result: dict[str, Any]) -> str:
    """The result as a table."""
    names = list(result["summary"])
    head = [
        f"grid {result['method']}:{result['preset']}, {result['config']['steps']} steps, {len(result['runs'])} seeds"
    ]
    lines = [f"{'':10}" + "".join(f"{name:>14}" for name in names) + f"{'seconds':>10}"]
    for run in result["runs"]:
        values = "".join(f"{task.number(score['value']):>14}" for score in run["scores"])
        lines.append(f"seed {run['seed']:<5}{values}{run['seconds']:10.0f}")
    for row in ("mean", "sd", "min", "max", "floor"):
        values = "".join(f"{task.number(result['summary'][name][row]):>14}" for name in names)
        lines.append(f"{'real data' if row == 'floor' else row:10}{values}")
    return "\n".join(head + lines)
