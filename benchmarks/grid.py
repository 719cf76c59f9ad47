"""The 2-D grid of 25 Gaussians: how many modes a GAN covers.   B batch, Z latents; points [B,2], as images [B,2,1,1].

The task of ALI (Dumoulin 2016, arXiv:1606.00704), VEEGAN (Srivastava 2017, arXiv:1705.07761) and PacGAN
(Lin 2017, arXiv:1712.04086, whose authors' code this protocol is taken from): means on {-4,-2,0,2,4}^2,
standard deviation 0.05, 100,000 training points, 2,500 samples. A sample is of high quality if the nearest mean is
less than 3 standard deviations (0.15) away; a mode is found if at least one such sample is nearest to it; the reverse
KL is that of these samples' shares of the modes. Networks: MLPs with ReLU and no norms instead of the method's, the
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

from benchmarks import common
from reverie.core.method import Method
from reverie.core.options import Option
from reverie.media import Image, image_grid
from reverie.metrics.score import Reference, Score
from reverie.training.prepare import parse_method
from reverie.utils.environment import versions
from reverie.utils.errors import UserError

MEANS = np.array([(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)], np.float32)  # [25,2]
SIGMA, POINTS, SAMPLES = 0.05, 100_000, 2_500
"""standard deviation of a mode; training points; generated samples"""
MAX_SIGMAS = 3.0
"""standard deviations from the nearest mean within which a sample is of high quality"""
SCALE = 5.0
"""the plane is divided by it, so that the networks' inputs lie in [-1,1]"""
HIDDEN = 128
"""units of each hidden layer"""

DEFAULTS: dict[str, Any] = dict(**common.QUIET, steps=8_000, batch_size=128, latent_dim=2, lr=1e-3)
"""in place of a preset's values, which are meant for images; the same for every method and preset"""
R1_WEIGHT = 1e-2
"""where a preset has an R1 penalty: the gradients of a discriminator that separates such narrow Gaussians from the
background are a hundred times as steep as between images"""

OPTIONS = [
    Option("seeds", int, 10, "number of runs, each with a seed of its own"),
    Option("first", int, 0, "the first seed"),
    Option("runs", Path, None, "keep the run folders here"),
    Option("out", Path, None, "write the result to this JSON file"),
    Option("image", Path, None, "write the samples of all seeds to this PNG file, real points first"),
]


class Grid:
    """The training points, with the interface that the trainer asks of Images."""

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

    def prepare(self, *args: Any, **kwargs: Any) -> Grid:
        """Nothing is to be prepared, whatever size and channels a method asks for."""
        return self

    def batch(self, index: np.ndarray, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """ "image" [B,2,1,1]: the points at the given indices, the plane scaled so that [-5,5] is [-1,1]."""
        return {"image": torch.from_numpy(self.points[index] / np.float32(SCALE)).to(device)[:, :, None, None]}


def draw(n: int, seed: int) -> np.ndarray:
    """n points [n,2] of the mixture, all modes equally likely; seed 0 is the training set."""
    draws = np.random.Generator(np.random.Philox(key=[seed, 25]))
    return MEANS[draws.integers(0, len(MEANS), n)] + np.float32(SIGMA) * draws.standard_normal((n, 2), np.float32)


# -- networks ----------------------------------------------------------------------------------------------------------


class MLP(nn.Module):
    """Inputs [B,...], concatenated -> [B,*shape]; three hidden layers with ReLU. Points [B,2,1,1] are scaled to the
    units of the plane before the first layer and back after the last."""

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
        out = self.layers(torch.cat(rows, 1)).view(-1, *self.shape)
        return out / SCALE if out.ndim == 4 else out


def replace_networks(method: Method) -> None:
    """Replaces a GAN's networks by MLPs of the same signature.

    generator: z [B,Z] -> [B,2,1,1]; encoder: [B,2,1,1] -> z; discriminator: [B,2,1,1] -> [B], or of (x, z) where there
    is an encoder. Raises UserError if the method lacks the first and last of them, or has other networks too.
    """
    name, have = method.origin["method"], [name for name, _ in method.named_children()]
    if not {"generator", "discriminator"} <= set(have) <= {"generator", "discriminator", "encoder"}:
        raise UserError(
            f"{name} cannot learn the grid: it has {', '.join(have)}; the grid needs a generator and a discriminator."
        )
    if getattr(method.config, "discriminator", "pixels") != "pixels":
        raise UserError("points are no images for an ImageNet network: give --discriminator pixels, or another preset.")
    enabled = [option for option in ("diff_augment", "hflip") if getattr(method.config, option, False)]
    if enabled:
        flags = " ".join(f"--no-{option.replace('_', '-')}" for option in enabled)
        raise UserError(f"points are not images: give {flags}, or another preset.")
    if getattr(method.config, "norm", None) == "spectral":
        raise UserError("the grid's networks have no spectral norm: give --norm none, or another preset.")
    latent = method.config.latent_dim
    method.generator = MLP(latent, (2, 1, 1))
    if "encoder" in have:
        stochastic = getattr(method.config, "encoder", "") == "stochastic"  # it outputs mean and log variance
        method.encoder = MLP(2, (2 * latent if stochastic else latent,))
        method.discriminator = MLP(2 + latent, ())
    else:
        method.discriminator = MLP(2, ())
    method.sample_grids = lambda batch: {"": draw_points(sample(method))}


@torch.no_grad()
def sample(method: Method, n: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """n generated points [n,2], from the latents of `generate` with this seed."""
    was_training = method.training
    method.eval()
    points = method.generator(method.latents(seed)(range(n)))[:, :, 0, 0].cpu().numpy() * SCALE
    method.train(was_training)
    return points


# -- scores ------------------------------------------------------------------------------------------------------------


def mode_counts(points: np.ndarray) -> np.ndarray:
    """The number of high-quality samples of each mode among points [N,2]: int [25]."""
    distances = np.linalg.norm(points[:, None] - MEANS, axis=2)  # [N,25]
    nearest = distances.argmin(1)[distances.min(1) < MAX_SIGMAS * SIGMA]
    return np.bincount(nearest, minlength=len(MEANS))


def scores(points: np.ndarray, seed: int, reference: Reference) -> list[Score]:
    """Modes, share of high-quality samples and reverse KL of points [N,2]; real data are N new points."""
    real = mode_counts(draw(len(points), 1))
    counts = mode_counts(points)
    quality = "high quality: nearest of the 25 means of {-4,-2,0,2,4}^2 less than 3 sd = 0.15 away"
    statistics: list[tuple[str, Any, str, Any, str]] = [
        ("modes", lambda k: float((k > 0).sum()), "", "higher",
         f"modes with at least one high-quality sample; {quality}"),
        ("high-quality samples", lambda k: float(k.sum() / len(points)), "", "higher",
         f"share of high-quality samples; {quality}"),
        ("reverse kl", common.reverse_kl, "nats", "lower",
         f"KL of the shares of the modes among high-quality samples to the uniform distribution; {quality}"),
    ]  # fmt: skip
    return [
        Score(name, statistic(counts), unit, better, definition, reference, len(points), seed, statistic(real),
              "as many new points of the mixture itself", versions=versions())
        for name, statistic, unit, better, definition in statistics
    ]  # fmt: skip


def draw_points(points: np.ndarray, side: int = 240) -> Image:
    """The points [N,2] as dark dots on white, the plane from -5 to 5."""
    at = ((points * (1, -1) + SCALE) / (2 * SCALE) * side).astype(int)
    at = at[((at >= 0) & (at < side)).all(1)]
    dots = np.bincount(at[:, 1] * side + at[:, 0], minlength=side * side).reshape(side, side, 1)
    return Image((255 * 0.45 ** np.minimum(dots, 4)).astype(np.uint8))


# -- the command -------------------------------------------------------------------------------------------------------


def main(words: list[str]) -> None:
    """Trains a method with each seed and prints its scores."""
    about = (__doc__ or "").splitlines()[0]
    spec, args, options = common.parse_method_options("grid", about, OPTIONS, DEFAULTS, words, without="seed")
    if args["seeds"] < 1 or args["first"] < 0:
        raise UserError("seeds must be 1 or more, and first not negative.")
    with common.run_folders(args["runs"]) as folder:
        result, samples = grid(spec, options, range(args["first"], args["first"] + args["seeds"]), folder)
    if args["image"]:
        image_grid([draw_points(points) for points in (draw(SAMPLES, 1), *samples)]).save(args["image"])
    common.write_result(result, args["out"], args["json"])
    if not args["json"]:
        print(describe(result))


def grid(
    spec: str, given: dict[str, Any], seeds: Sequence[int], folder: Path
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Trains "name:preset" once per seed, with the options given in place of DEFAULTS and the preset's.

    Returns (the result, the samples [2500,2] of each seed). Raises UserError for a method that is no plain GAN.
    """
    data, options = Grid(), options_for(spec, given)
    reference = Reference(data.name, data.split, data.fingerprint, len(data), 1, 2)
    runs, samples, records = [], [], []
    for seed in seeds:
        began = time.monotonic()
        method = common.train(spec, data, folder / f"seed-{seed}", {**options, "seed": seed}, replace_networks)
        seconds = time.monotonic() - began
        samples.append(sample(method))
        runs.append(scores(samples[-1], 0, reference))
        records.append({"seed": seed, "seconds": round(seconds, 1), "scores": [score.to_json() for score in runs[-1]]})
        line = ", ".join(f"{score.name} {common.format_number(score.value)}" for score in runs[-1])
        print(f"seed {seed}: {line}, {seconds:.0f} s", file=sys.stderr)
    about = common.describe_method(spec, method, options)
    return {"task": "grid", **about, "summary": common.summarise(runs), "runs": records}, samples


def options_for(spec: str, given: dict[str, Any]) -> dict[str, Any]:
    """DEFAULTS in place of the preset's values, and the options given in place of both."""
    config = parse_method(spec, {})[2]
    run_options = {*common.QUIET, "batch_size"}
    options = {name: value for name, value in DEFAULTS.items() if name in run_options or hasattr(config, name)}
    if getattr(config, "r1_weight", 0):
        options["r1_weight"] = R1_WEIGHT
    return {**options, **given}


def describe(result: dict[str, Any]) -> str:
    """The result as a table."""
    names = list(result["summary"])
    head = [
        f"grid {result['method']}:{result['preset']}, {result['config']['steps']} steps, {len(result['runs'])} seeds"
    ]
    lines = [f"{'':10}" + "".join(f"{name:>14}" for name in names) + f"{'seconds':>10}"]
    for run in result["runs"]:
        values = "".join(f"{common.format_number(score['value']):>14}" for score in run["scores"])
        lines.append(f"seed {run['seed']:<5}{values}{run['seconds']:10.0f}")
    for row in ("mean", "sd", "min", "max", "real"):
        values = "".join(f"{common.format_number(result['summary'][name][row]):>14}" for name in names)
        lines.append(f"{'real data' if row == 'real' else row:10}{values}")
    return "\n".join(head + lines)
