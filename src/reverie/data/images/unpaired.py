"""Images of two domains that are not paired, such as paintings and photographs, for translation without pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.data.archives import Dropped
from reverie.data.data_spec import DataSpec, refuse_missing
from reverie.data.description import represent
from reverie.data.images import decode, inspect
from reverie.data.images.conversion import DEFAULT
from reverie.data.images.dataset import Images
from reverie.data.images.from_python import MemorySource
from reverie.data.images.paired_files import DOMAINS, SPLIT_ORDER, PairedSource, check_not_empty, find_paired_files
from reverie.data.images.synthetic import is_name
from reverie.data.python_data import PythonData
from reverie.data.splits import standard_split
from reverie.utils.errors import UserError

MAX_PAIRS_PER_EPOCH = 1_000_000
"""about the most pairs of an image of A and one of B that an epoch goes through"""


class Unpaired:
    """Images of domain A and of domain B.

    An item is an image of A with one of B: in an epoch each image of A meets `partners` images of B, evenly chosen.

    Attributes as of Images, and:
        a, b: the Images of the two domains.
        facts: "in_channels" and "out_channels", the channels of A and B, and "native", the smaller of their median
            short sides in pixels.
    """

    kind = "unpaired"
    __repr__ = represent
    classes: Sequence[str] = ()

    def __init__(self, spec: str, split: str, a: Images, b: Images) -> None:
        self.spec, self.split, self.splits = spec, split, b.splits
        self.name = b.name if a.name == b.name else f"{a.name} and {b.name}"
        self.a, self.b = a, b
        self.facts: dict[str, Any] = {
            "in_channels": a.facts["channels"],
            "out_channels": b.facts["channels"],
            "native": min(a.facts["native"], b.facts["native"]),
        }
        if levels := {d: i.levels.to_json() for d, i in (("a", a), ("b", b)) if i.levels != DEFAULT}:
            self.facts["levels"] = levels
        self.fingerprint = hashlib.sha256((a.fingerprint + b.fingerprint).encode()).hexdigest()[:16]
        self.notes = [f"A: {note}" for note in a.notes] + [f"B: {note}" for note in b.notes]
        self.warnings = [f"A: {text}" for text in a.warnings] + [f"B: {text}" for text in b.warnings]

    @property
    def dropped(self) -> list[Dropped]:
        """What is not used of either domain."""
        return list(dict.fromkeys([*self.a.dropped, *self.b.dropped]))

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> Unpaired:
        """Two domains at a path, or at two with a comma between them; only names and headers are read.

        Raises UserError if there is one domain only, no usable image in one of them, or no such split.
        """
        text = DataSpec(spec)
        if isinstance(text, PythonData):
            split = standard_split(split)
            a, b = (Images(text, "images in memory", MemorySource(text, side), split) for side in (0, 1))
            return cls(text, split, a, b)
        if specs := _two_specs(text):
            a, b = (Images.open(domain, split, text.splits) for domain in specs)
            return cls(text, split, a, b)
        files = find_paired_files(text)
        if files is None:
            refuse_missing(text)
            raise UserError(
                f"{text} does not hold two domains; give two folders with a comma between them, horses/,zebras/, or "
                "one that holds trainA and trainB."
            )
        split = files.find_split(split, text)
        name = Path(text.split(",")[-1]).expanduser().resolve().stem
        opened = []
        for i, domain in enumerate(DOMAINS.upper()):
            keys = {known: sorted(files.splits[known][i]) for known in SPLIT_ORDER if known in files.splits}
            check_not_empty(files, split, len(keys[split]), f"{text}, domain {domain},")
            opened.append(Images(text, name, PairedSource(files, i, keys, "", decode.fit), split))
        domains = cls(text, split, *opened)
        domains.warnings += files.warnings
        return domains

    @classmethod
    def recognises(cls, spec: str) -> bool:
        """Whether there are two domains at a path whose files are not pairs. Raises UserError."""
        files = find_paired_files(spec)
        return bool(_two_specs(spec)) if files is None else not files.match().paired

    def prepare(self, size: int, in_channels: int | None = None, out_channels: int | None = None) -> Unpaired:
        """Decode both domains to squares of `size` pixels, or find them in the cache, and return self.

        in_channels, out_channels: of A and B, 1 or 3; None: as in the files

        Raises UserError as Images.prepare does.
        """
        self.a.prepare(size, in_channels)
        self.b.prepare(size, out_channels)
        found = [f"{side}: {text}" for side, images in (("A", self.a), ("B", self.b)) for text in images.warnings]
        self.warnings = list(dict.fromkeys([*self.warnings, *found]))
        return self

    @property
    def partners(self) -> int:
        """How many images of B each image of A meets in an epoch."""
        return max(1, min(len(self.b), MAX_PAIRS_PER_EPOCH // len(self.a)))

    def __len__(self) -> int:
        """The number of items in an epoch: images of A times `partners`."""
        return len(self.a) * self.partners

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """The items at B indices: "a" and "b" float32 [B,C,H,W] in [-1,1]."""
        row_a, partner = np.divmod(np.asarray(index, np.int64), self.partners)
        row_b = (partner * len(self.b) // self.partners + row_a) % len(self.b)  # other partners for each image of A
        return {"a": self.a.batch(row_a, device)["image"], "b": self.b.batch(row_b, device)["image"]}

    def pixels(self, i: int, domain: str = "a") -> np.ndarray:
        """Image i of domain "a" or "b" as uint8 [H,W,C], a copy."""
        return (self.a if domain == "a" else self.b).pixels(i)

    # -- reverie data inspect ------------------------------------------------------------------------------------------

    @classmethod
    def inspect(cls, spec: str) -> dict[str, Any]:
        """The report on both domains. Raises UserError."""
        first = cls.open(spec)
        parts, unusable = inspect.usable_splits(first)
        usage: dict[str, Any] = {}
        for split, both in parts.items():
            usage[f"{split}, domain A"] = inspect.split_usage(both.a)
            usage[f"{split}, domain B"] = inspect.split_usage(both.b)
        few = [f"only {part['used']} images in {name}" for name, part in usage.items() if part["used"] < inspect.FEW]
        return {
            "spec": spec,
            "name": first.name,
            "kind": cls.kind,
            "facts": parts["train"].facts,
            "splits": usage,
            "warnings": first.warnings + few + unusable,
        }

    @classmethod
    def describe(cls, report: dict[str, Any]) -> str:
        """The report as text for the terminal."""
        facts = report["facts"]
        colour = {1: "grey", 3: "colour"}
        a, b = colour[facts["in_channels"]], colour[facts["out_channels"]]
        heading = f"two domains without pairs, A {a}, B {b}, about {facts['native']} pixels a side"
        return inspect.usage_summary(report, heading, "image")


def _two_specs(spec: str) -> list[str]:
    """The two paths or names of built-in sets that a comma separates; [] if it is something else."""
    parts = [part.strip() for part in spec.split(",")]
    if len(parts) != 2 or not all(parts) or Path(spec).exists():
        return []
    return parts if all(is_name(part) or Path(part).expanduser().exists() for part in parts) else []
