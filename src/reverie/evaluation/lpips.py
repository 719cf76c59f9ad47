"""LPIPS of pictures beside the true ones, by a network whose weights the user supplies."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from reverie.data.images.decode import convert_channels
from reverie.evaluation.feature_extractors import fingerprint_of, read_file
from reverie.evaluation.result import Evaluation
from reverie.metrics.networks.lpips import LEAST, LPIPS
from reverie.metrics.score import Reference, Score, standard_error
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError

WANTED = "torchvision's alexnet and the authors' linear weights (lin0.model.1.weight ...), in one file or two"


@dataclass(frozen=True)
class Looks:
    """The network, and which one it is."""

    net: LPIPS
    marks: str
    """16 hex digits of the SHA-256 of each file"""
    device: torch.device

    def distances(self, a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> Tensor:
        """Of pairs of pictures uint8 [H,W,C], each pair of one size: [N]."""
        bar = tqdm(list(zip(a, b, strict=True)), desc="lpips", unit=" pictures", delay=1, disable=None, leave=False,
                   file=sys.stderr)  # fmt: skip
        with torch.inference_mode():
            return torch.cat([self.net(self._levels(x), self._levels(y)).cpu() for x, y in bar])

    def _levels(self, pixels: np.ndarray) -> Tensor:
        x = torch.from_numpy(np.array(convert_channels(pixels, 3), np.float32)).to(self.device)
        return x.permute(2, 0, 1)[None] / 127.5 - 1


def files_of(spec: str | Path) -> list[Path]:
    """The files that `--lpips` names, with a comma between them. Raises UserError if they are too many."""
    paths = [Path(part.strip()).expanduser() for part in str(spec).split(",") if part.strip()]
    if not 1 <= len(paths) <= 2:
        raise UserError(f"lpips is '{spec}'; give one file or two with a comma between them: {WANTED}.")
    return paths


def fingerprints_of(spec: str | Path) -> str:
    """16 hex digits of the SHA-256 of each file. Raises UserError if one cannot be read."""
    return " ".join(fingerprint_of(path) for path in files_of(spec))


def open_lpips(spec: str | Path, device: str = "auto") -> Looks:
    """The network of a file or two. Raises UserError, naming what is wrong, if they do not hold what it takes."""
    paths, weights, marks = files_of(spec), dict[str, Tensor](), []
    for path in paths:
        held, _, mark = read_file(path, WANTED)
        weights |= held
        marks.append(mark)
    where, wanted = Ranks(device).device, LPIPS.names()
    told = " and ".join(map(str, paths))
    if missing := [name for name in wanted if name not in weights]:
        raise UserError(f"{told}: there is no {missing[0]} ({len(missing)} such); lpips takes {WANTED}.")
    for name, shape in wanted.items():
        if tuple(weights[name].shape) != shape:
            raise UserError(f"{told}: {name} is {tuple(weights[name].shape)}, not {shape}; lpips takes {WANTED}.")
    return Looks(LPIPS().load_weights(weights).to(where), " ".join(marks), where)


def add_lpips(
    found: Evaluation, looks: Looks, made: Sequence[np.ndarray], good: Sequence[np.ndarray],
    floor: Sequence[np.ndarray], floor_source: str, reference: Reference, seed: int, about: str,
) -> None:  # fmt: skip
    """Adds the LPIPS of pictures beside the true ones; the floor: of what is there without the method."""
    if (least := min(min(pixels.shape[:2]) for pixels in good)) < LEAST:
        found.skip(["lpips"], f"pictures of {least} pixels are too small for AlexNet, which takes {LEAST} or more")
        return
    value, trivial = looks.distances(made, good), looks.distances(floor, good)
    definition = (
        f"LPIPS v0.1 (Zhang 2018) by AlexNet, weights {looks.marks}: squared differences of features of length 1, "
        f"weighted, mean over places, sum over five layers; RGB, nothing resized; mean over pictures; {about}"
    )
    found.scores.append(
        Score("lpips", float(value.mean()), "", "lower", definition, reference, len(value), seed,
              float(trivial.mean()), floor_source, standard_error(value), group="likeness")
    )  # fmt: skip
