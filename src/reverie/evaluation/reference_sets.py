"""The real images that scores compare with: the reference, the floor, the training images and unseen ones.

Which images are taken follows from the data alone, not from a seed: every run that learnt from them is compared with
the same ones, and what networks make of them is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.data.cache import cache_folder
from reverie.data.images.dataset import Images
from reverie.data.images.decode import VERSION
from reverie.metrics.score import Reference
from reverie.utils.atomic_files import flush
from reverie.utils.errors import UserError

MOST = 10_000
"""images of a reference, at most"""
STAND_IN = 5_000
"""real images that stand in for generated ones, at least, where there are as many: a network looks for the nearest of
them too"""
PART = 1_024
"""images whose features are kept together"""
COMPARED = 2_000
"""generated and unseen images whose nearest training images are looked for, at most"""


@dataclass(frozen=True)
class ReferenceSets:
    """The real images, all prepared as the subject's are."""

    data: Images
    """the split that holds the reference"""
    reference: np.ndarray
    """row numbers in `data`; in no order, so that the first of them are a random choice"""
    floor_data: Images
    floor: np.ndarray
    """row numbers in `floor_data` of real images that stand in for generated ones"""
    floor_name: str
    train: Images
    unseen_data: Images
    unseen: np.ndarray
    """row numbers in `unseen_data` of images that nobody learnt from; or of training images, if there are no others"""

    @property
    def left_out_one(self) -> bool:
        """Whether training images stand for unseen ones, each compared with the others."""
        return self.unseen_data is self.train

    def reference_of(self, n: int | None = None) -> Reference:
        """The reference, or the first n of it, as scores name it."""
        return Reference.of(self.data, len(self.reference) if n is None else n)


def open_reference_sets(spec: str | Path, split: str | None, wants: dict[str, Any]) -> ReferenceSets:
    """The reference split (test if there is one and none is named) and what it is compared with, prepared.

    Raises UserError, also where the data has no such split.
    """
    train = Images.open(spec, "train")
    others = [name for name in ("test", "val") if name in train.splits]
    data = Images.open(spec, split or (others[0] if others else "train"))
    data = (train if data.split == "train" else data).prepare(**wants)
    train.prepare(**wants)
    rows = shuffled(len(data))
    if data is not train:
        floor = shuffled(len(train))
        return ReferenceSets(data, rows[:MOST], train, floor, "training images", train, data, rows[:COMPARED])
    if others:
        unseen = Images.open(spec, others[0]).prepare(**wants)
        floor = shuffled(len(unseen))
        name = f"images of the {others[0]} split"
        return ReferenceSets(data, rows[:MOST], unseen, floor, name, train, unseen, floor[:COMPARED])
    half = len(rows) // 2
    if half < 2:
        raise UserError(f"{spec} holds {len(rows)} usable images; scores compare with real ones: give 4 or more.")
    reference, floor = rows[:half][:MOST], rows[half:]
    name = "images of the other half of the only split (the reference is one half)"
    return ReferenceSets(data, reference, train, floor, name, train, train, reference[:COMPARED])


def check_fit(sets: ReferenceSets, learnt: dict[str, Any], wants: dict[str, Any]) -> None:
    """Raises UserError if the reference would have to be enlarged or recoloured, other than training images were."""
    facts, known = sets.train.facts, learnt.get("facts") or {}
    if learnt.get("fingerprint") == sets.train.fingerprint or "size" not in wants:
        return
    size, channels = wants["size"], wants["channels"]
    kinds = {1: "grey", 3: "in colour"}
    if facts["native"] < min(size, known.get("native", size)):
        raise UserError(
            f"the reference set is of another size: {sets.data.spec} has images of {facts['native']} pixels, what is "
            f"scored has {size}; give a reference with images of {size} pixels or more."
        )
    if facts["channels"] != channels and facts["channels"] != known.get("channels"):
        raise UserError(
            f"the images of {sets.data.spec} are {kinds[facts['channels']]}, what is scored is {kinds[channels]}; give "
            "a reference of the same kind."
        )


def shuffled(count: int) -> np.ndarray:
    """The numbers below count in an order that follows from count."""
    return np.random.Generator(np.random.Philox(key=[0, count])).permutation(count)


def features_of(net: Any, data: Images, rows: np.ndarray, what: str) -> Tensor:
    """The features [N,D] of images of a data set; worked out once, then kept in the cache, PART images to a file."""
    asked = repr([data.fingerprint, data.array.shape, VERSION, net.definition, net.mark, torch.__version__])
    found = []
    for start in range(0, len(rows), PART):
        part = rows[start : start + PART]
        key = hashlib.sha256(asked.encode() + part.astype("<i8").tobytes()).hexdigest()[:24]
        path = cache_folder() / "features" / f"{key}.npy"
        if (table := _load(path, (len(part), net.width))) is None:
            table = net.features(data.array[part], f"{what}, {start} of {len(rows)}").numpy()
            _keep(path, table)
        found.append(torch.from_numpy(table))
    return torch.cat(found)


def _load(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    try:
        digest, _, body = path.read_bytes().partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            return None
        found = np.load(io.BytesIO(body), allow_pickle=False)
    except (OSError, ValueError):
        return None
    return found if found.shape == shape and found.dtype == np.float32 else None


def _keep(path: Path, found: np.ndarray) -> None:
    """Writes a table of numbers after its own checksum. A cache that cannot be written only costs time later."""
    body = io.BytesIO()
    np.save(body, found, allow_pickle=False)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(hashlib.sha256(body.getvalue()).hexdigest().encode() + b"\n" + body.getvalue())
            flush(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
