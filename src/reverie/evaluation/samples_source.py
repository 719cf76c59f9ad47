"""What is scored: the method of a run, of a file of weights, or a folder of pictures made elsewhere."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from reverie.api import load
from reverie.core.method import Method
from reverie.data.file_types import SUFFIXES
from reverie.media import Image
from reverie.runs.run_folder import Run
from reverie.runs.weights_file import read_weights
from reverie.utils.errors import UserError


@dataclass(frozen=True)
class SampleSource:
    """What is scored."""

    about: dict[str, Any]
    """method, step, and weights (of pictures: their number and digest), as scores.json tells them"""
    method: Method | None
    pictures: np.ndarray | None
    """uint8 [N,H,W,C], where there is no method"""
    folder: Path | None
    """the run folder, into which scores go"""
    learnt: dict[str, Any]
    """what is known of the data it learnt from, as in run.json"""

    def can(self, verb: str) -> bool:
        """Whether the method has that verb."""
        return self.method is not None and verb in self.method.verbs()

    @property
    def data_args(self) -> dict[str, Any]:
        """Size and channels that the reference must be prepared to."""
        if self.method is not None:
            return self.method.data_args(self.method.config)
        assert self.pictures is not None
        return {"size": self.pictures.shape[1], "channels": self.pictures.shape[3]}

    def images(self, n: int, seed: int) -> np.ndarray:
        """n images that the method generates, or the first n pictures: uint8 [n,H,W,C]."""
        if self.pictures is not None:
            return self.pictures[:n]
        assert self.method is not None
        act = self.method.verb("generate")
        return gathered(act.stream(self.method, n=n, seed=seed), n, "generating")


def open_source(place: str | Path) -> SampleSource:
    """The method or the pictures at a path. Raises UserError if there are none."""
    path = Path(place)
    if path.is_dir() and not (path / "run.json").is_file():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        if files:
            return _of_pictures(path, files)
    method = load(place)
    about = {"method": method.origin["method"], "step": method.origin["step"], "weights": method.origin["run"]}
    if path.is_file():
        return SampleSource(about, method, None, None, read_weights(path)[0].get("data") or {})
    return SampleSource(about, method, None, path, Run.open(path).about["data"])


def _of_pictures(path: Path, files: list[Path]) -> SampleSource:
    pictures = [Image.load(file) for file in files]
    first = pictures[0].pixels.shape
    for picture, file in zip(pictures, files, strict=True):
        if picture.pixels.shape != first:
            raise UserError(
                f"{file.name} in {path} is {words(picture.pixels.shape)}, {files[0].name} is {words(first)}; scores "
                "need pictures of one size and one kind of colour."
            )
    if first[0] != first[1]:
        raise UserError(
            f"the pictures in {path} are {words(first)}; scores need squares, as training images are: crop them."
        )
    held = gathered(pictures, len(pictures), "reading")
    digest = hashlib.sha256(repr(held.shape).encode() + held.tobytes()).hexdigest()[:16]
    return SampleSource({"method": None, "pictures": len(held), "digest": digest}, None, held, None, {})


def gathered(images: Iterable[Image], n: int, what: str) -> np.ndarray:
    """n images as uint8 [n,H,W,C]; on a terminal a bar shows progress. Raises UserError if there is no room."""
    held: np.ndarray | None = None
    bar = tqdm(images, total=n, desc=what, unit=" images", delay=1, disable=None, leave=False, file=sys.stderr)
    for i, image in enumerate(bar):
        if held is None:
            held = room_for(n, image.pixels.shape)
        held[i] = image.pixels
    assert held is not None
    return held


def room_for(n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Memory for n pictures of a shape [H,W,C]. Raises UserError if there is none."""
    try:
        return np.empty((n, *shape), np.uint8)
    except (MemoryError, ValueError):  # which of them says how far beyond it is
        raise UserError(f"{n} images do not fit into memory; give fewer, such as -n 5000.") from None


def words(shape: tuple[int, ...]) -> str:
    """The shape [H,W,C] of a picture in words."""
    return f"{shape[1]}x{shape[0]} {'grey' if shape[2] == 1 else 'colour'}"
