"""ReferenceSets: the real images that scores compare with. The reference, others, training and unseen images.

Which images are taken follows from the data alone, not from a seed: every run trained on the data is compared with the
same ones, and their features are cached.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.data.cache import cache_folder
from reverie.data.images.dataset import Images
from reverie.data.images.decode import VERSION
from reverie.metrics.score import Reference
from reverie.utils.atomic_files import read_checked, write_checked
from reverie.utils.errors import UserError

MAX_REFERENCE = 10_000
"""images of a reference, at most"""
QUICK = 1_024
"""images of each set in a quick evaluation, at most; CHUNK, so that a full one finds their features in the cache"""
MIN_OTHERS = 5_000
"""real images that stand in for generated ones, at least, where there are as many: their features also serve to find
nearest neighbours"""
CHUNK = 1_024
"""images whose features are cached in one file"""
MAX_NEIGHBOURS = 2_000
"""generated and unseen images whose nearest training images are searched, at most"""


@dataclass(frozen=True)
class ReferenceSets:
    """The real images, all prepared as the source's are."""

    data: Images
    """the split that holds the reference"""
    reference: np.ndarray
    """rows of `data`, shuffled, so that the first ones are a random choice"""
    others_data: Images
    others: np.ndarray
    """rows of `others_data` of real images that stand in for generated ones"""
    others_name: str
    train: Images
    unseen_data: Images
    unseen: np.ndarray
    """rows of `unseen_data` of images not used in training; or of training images, if there are no others"""
    min_others: int = MIN_OTHERS

    def quick(self) -> ReferenceSets:
        """The first images of each set only."""
        return replace(self, reference=self.reference[:QUICK], unseen=self.unseen[:QUICK], min_others=QUICK)

    @property
    def size(self) -> int:
        """Pixels a side of all images."""
        return int(self.data.array.shape[1])

    @property
    def leave_one_out(self) -> bool:
        """Whether training images stand in for unseen ones, each compared with all others."""
        return self.unseen_data is self.train

    def reference_of(self, n: int | None = None) -> Reference:
        """The reference, or its first n images, as scores name it."""
        return Reference.of(self.data, len(self.reference) if n is None else n)


def open_reference_sets(spec: str | Path, split: str | None, data_args: dict[str, Any]) -> ReferenceSets:
    """The reference split (by default test, or val, or a half of the only split) and the other sets, prepared.

    Raises UserError, also where the data has no such split.
    """
    train = Images.open(spec, "train")
    held_out = [name for name in ("test", "val") if name in train.splits]
    data = Images.open(spec, split or (held_out[0] if held_out else "train"))
    data = (train if data.split == "train" else data).prepare(**data_args)
    train.prepare(**data_args)
    rows = shuffled_indices(len(data))
    reference = rows[:MAX_REFERENCE]
    if data is not train:
        others = shuffled_indices(len(train))
        return ReferenceSets(data, reference, train, others, "training images", train, data, rows[:MAX_NEIGHBOURS])
    if held_out:
        unseen = Images.open(spec, held_out[0]).prepare(**data_args)
        others = shuffled_indices(len(unseen))
        name = f"images of the {held_out[0]} split"
        return ReferenceSets(data, reference, unseen, others, name, train, unseen, others[:MAX_NEIGHBOURS])
    half = len(rows) // 2
    if half < 2:
        raise UserError(f"{spec} holds {len(rows)} usable images; scores compare with real ones: give 4 or more.")
    reference, others = rows[:half][:MAX_REFERENCE], rows[half:]
    name = "images of the other half of the only split (the reference is one half)"
    return ReferenceSets(data, reference, train, others, name, train, train, reference[:MAX_NEIGHBOURS])


def check_fit(sets: ReferenceSets, trained_on: dict[str, Any], data_args: dict[str, Any]) -> None:
    """Raises UserError if the reference would have to be enlarged or recoloured where the training images were not."""
    facts, known = sets.train.facts, trained_on.get("facts") or {}
    if trained_on.get("fingerprint") == sets.train.fingerprint or "size" not in data_args:
        return
    size, channels = data_args["size"], data_args["channels"]
    colours = {1: "grey", 3: "in colour"}
    if facts["native"] < min(size, known.get("native", size)):
        raise UserError(
            f"the reference has another size: {sets.data.spec} has images of {facts['native']} pixels, what is scored "
            f"has {size}; give a reference with images of {size} pixels or more."
        )
    if facts["channels"] != channels and facts["channels"] != known.get("channels"):
        raise UserError(
            f"the images of {sets.data.spec} are {colours[facts['channels']]}, what is scored is {colours[channels]}; "
            "give a reference of the same kind."
        )


def shuffled_indices(count: int) -> np.ndarray:
    """A permutation of 0 to count - 1 that follows from count alone."""
    return np.random.Generator(np.random.Philox(key=[0, count])).permutation(count)


def cached_features(net: Any, data: Images, rows: np.ndarray, label: str) -> Tensor:
    """The features [N,D] of images of a data set, by a FeatureExtractor; read from the cache where they are in it.

    label: of the progress bar.
    """
    tables = []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        path = _table_path(net, data, part)
        if (table := _read_table(path, (len(part), net.width))) is None:
            table = net.features(data.array[part], f"{label}, {start} of {len(rows)}").numpy()
            _write_table(path, table)
        tables.append(torch.from_numpy(table))
    return torch.cat(tables)


def missing_features(net: Any, sets: ReferenceSets, n: int) -> int:
    """How many real images' features are not in the cache yet, where n images are generated."""
    wanted = [(sets.data, sets.reference), (sets.others_data, sets.others[: max(sets.min_others, n)])]
    return sum(
        len(part)
        for data, rows in wanted
        for start in range(0, len(rows), CHUNK)
        if not _table_path(net, data, part := rows[start : start + CHUNK]).exists()
    )


def _table_path(net: Any, data: Images, rows: np.ndarray) -> Path:
    """Where the features of these images are cached."""
    setting = repr([data.fingerprint, data.array.shape, VERSION, net.definition, net.fingerprint, torch.__version__])
    key = hashlib.sha256(setting.encode() + rows.astype("<i8").tobytes()).hexdigest()[:24]
    return cache_folder() / "features" / f"{key}.npy"


def _read_table(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """None if there is none, or it is damaged."""
    try:
        table = np.load(io.BytesIO(read_checked(path) or b""), allow_pickle=False)
    except (EOFError, ValueError):
        return None
    return table if table.shape == shape and table.dtype == np.float32 else None


def _write_table(path: Path, table: np.ndarray) -> None:
    """Caches a table. Where the cache cannot be written, features are computed again later."""
    body = io.BytesIO()
    np.save(body, table, allow_pickle=False)
    with contextlib.suppress(OSError):
        write_checked(path, body.getvalue())
