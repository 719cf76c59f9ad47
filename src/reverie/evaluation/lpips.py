"""LPIPS of images against their targets, by a network whose weights the user supplies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reverie.data.images.conversion import convert_channels
from reverie.evaluation.feature_extractors import fingerprint_of, read_weights_file
from reverie.evaluation.result import Evaluation
from reverie.metrics.networks.lpips import LEAST, LPIPS
from reverie.metrics.score import Reference, Score, standard_error
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError
from reverie.utils.progress_bar import bar

WANTED = "torchvision's alexnet and the authors' linear weights (lin0.model.1.weight ...), in one file or two"


@dataclass(frozen=True)
class PairedLPIPS:
    """The LPIPS network, and the fingerprints of its weights."""

    net: LPIPS
    fingerprints: str
    """16 hex digits of the SHA-256 of each file"""
    device: torch.device

    def distances(self, a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> Tensor:
        """LPIPS [N] of N pairs of images uint8 [H,W,C], both of a pair of one size."""
        pairs = list(zip(a, b, strict=True))
        with torch.inference_mode():
            return torch.cat(
                [self.net(self._to_tensor(x), self._to_tensor(y)).cpu() for x, y in bar(pairs, None, "lpips")]
            )

    def _to_tensor(self, pixels: np.ndarray) -> Tensor:
        """[H,W,C] in 0..255 -> [1,3,H,W] in [-1,1]."""
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


def open_lpips(spec: str | Path, device: str = "auto") -> PairedLPIPS:
    """The network of a file or two. Raises UserError if weights are missing or do not fit."""
    paths, weights, fingerprints = files_of(spec), dict[str, Tensor](), []
    for path in paths:
        in_file, _, fingerprint = read_weights_file(path, WANTED)
        weights |= in_file
        fingerprints.append(fingerprint)
    resolved, wanted = Ranks(device).device, LPIPS.names()
    names = " and ".join(map(str, paths))
    if missing := [name for name in wanted if name not in weights]:
        raise UserError(f"{names}: {missing[0]} is missing ({len(missing)} such); lpips takes {WANTED}.")
    for name, shape in wanted.items():
        if tuple(weights[name].shape) != shape:
            raise UserError(f"{names}: {name} is {tuple(weights[name].shape)}, not {shape}; lpips takes {WANTED}.")
    return PairedLPIPS(LPIPS().load_weights(weights).to(resolved), " ".join(fingerprints), resolved)


def add_lpips(
    result: Evaluation,
    lpips: PairedLPIPS,
    images: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    baseline: Sequence[np.ndarray],
    baseline_name: str,
    reference: Reference,
    seed: int,
    conditions: str,
) -> None:
    """Adds the LPIPS of images against their targets, or why it is skipped.

    baseline: what there is without the method; conditions: what was compared, as a part of the definition.
    """
    if (side := min(min(pixels.shape[:2]) for pixels in targets)) < LEAST:
        result.skip(["lpips"], f"images of {side} pixels are too small for AlexNet, which takes {LEAST} or more")
        return
    values, of_baseline = lpips.distances(images, targets), lpips.distances(baseline, targets)
    definition = (
        f"LPIPS v0.1 (Zhang 2018) by AlexNet, weights {lpips.fingerprints}: squared differences of features of length "
        "1, weighted, mean over positions, sum over five layers; RGB, without resizing; mean over images; "
        f"{conditions}"
    )
    result.scores.append(
        Score(
            "lpips", float(values.mean()), "", "lower", definition, reference, len(values), seed,
            std_error=standard_error(values), group="image similarity", baseline=float(of_baseline.mean()),
            baseline_name=baseline_name,
        )
    )  # fmt: skip
