"""Two sets of pictures that do not belong together one by one: two worlds, such as paintings and photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.data.images import decode, inspect
from reverie.data.images.dataset import Images
from reverie.data.images.paired_files import FOUND_IN, PairedSource, check_some, find
from reverie.data.images.synthetic import is_name
from reverie.utils.errors import UserError, near_miss

MEETINGS = 1_000_000
"""pairs of one picture of A and one of B that an epoch goes through, at most about"""


class Unpaired:
    """Pictures of A and of B. An item is a meeting of one with another: over an epoch all meet, or an even choice.

    Attributes as of Images; `facts` has "in_channels" and "out_channels", the channels of A and B, and "native" pixels.
    """

    kind = "unpaired"
    classes: Sequence[str] = ()

    def __init__(self, spec: str, split: str, a: Images, b: Images) -> None:
        self.spec, self.name, self.split, self.splits = spec, b.name, split, b.splits
        self.a, self.b = a, b
        self.facts = {
            "in_channels": a.facts["channels"], "out_channels": b.facts["channels"],
            "native": min(a.facts["native"], b.facts["native"]),
        }  # fmt: skip
        self.fingerprint = hashlib.sha256((a.fingerprint + b.fingerprint).encode()).hexdigest()[:16]
        self.notes = [f"A: {note}" for note in a.notes] + [f"B: {note}" for note in b.notes]

    @property
    def dropped(self) -> list[Any]:
        """What is not used of either side."""
        return list(dict.fromkeys([*self.a.dropped, *self.b.dropped]))

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> Unpaired:
        """Two sides at a path, or at two with a comma between them. Raises UserError if there is one side only."""
        text = str(spec)
        if two := _two(text):
            return cls(text, split, *(Images.open(place, split) for place in two))
        sides = find(text)
        if sides is None:
            raise UserError(
                f"{text} has no two sides; give two folders with a comma between them, horses/,zebras/, or one that "
                "holds trainA and trainB."
            )
        wanted = {"valid": "val", "validation": "val"}.get(split.lower(), split.lower())
        have = [s for s in FOUND_IN if s in sides.splits]
        if wanted not in have:
            raise UserError(f"no split '{split}' in {text}: it has {', '.join(have)}.{near_miss(split, have)}")
        found = []
        name = Path(text.split(",")[-1]).expanduser().resolve().stem
        for side in (0, 1):
            keys = {s: sorted(sides.splits[s][side]) for s in have}
            check_some(sides, wanted, len(keys[wanted]), f"{text}, side {'AB'[side]},")
            found.append(Images(text, name, PairedSource(sides, side, keys, "", decode.fit), wanted))
        return cls(text, wanted, *found)

    @classmethod
    def recognises(cls, spec: str) -> bool:
        """Whether there are two sides at a path whose files do not belong together."""
        sides = find(spec)
        return bool(_two(spec)) if sides is None else not sides.paired

    def prepare(self, size: int, in_channels: int | None = None, out_channels: int | None = None) -> Unpaired:
        """Decodes both sides to squares of `size` pixels. Raises UserError if nothing is left of one."""
        self.a.prepare(size, in_channels)
        self.b.prepare(size, out_channels)
        return self

    @property
    def meetings(self) -> int:
        """How many of B each of A meets in an epoch."""
        return max(1, min(len(self.b), MEETINGS // len(self.a)))

    def __len__(self) -> int:
        return len(self.a) * self.meetings

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """ "a" and "b": float32 [B,C,H,W] in [-1,1]."""
        one, which = np.divmod(np.asarray(index, np.int64), self.meetings)
        other = (which * len(self.b) // self.meetings + one) % len(self.b)  # another choice for each of A
        return {"a": self.a.batch(one, device)["image"], "b": self.b.batch(other, device)["image"]}

    def pixels(self, i: int, side: str = "a") -> np.ndarray:
        """Picture i of a side as uint8 [H,W,C], a copy."""
        return (self.a if side == "a" else self.b).pixels(i)

    # -- the data doctor -----------------------------------------------------------------------------------------------

    @classmethod
    def inspect(cls, spec: str) -> dict[str, Any]:
        """Findings on the two sides."""
        first = cls.open(spec)
        parts, unusable = inspect.usable(first)
        told = {
            f"{split}, side {side.upper()}": inspect.split_usage(getattr(both, side))
            for split, both in parts.items()
            for side in "ab"
        }
        few = [f"only {part['used']} images in {name}" for name, part in told.items() if part["used"] < inspect.FEW]
        return {
            "spec": spec, "name": first.name, "kind": cls.kind, "facts": parts["train"].facts, "splits": told,
            "warnings": few + unusable,
        }  # fmt: skip

    @classmethod
    def describe(cls, findings: dict[str, Any]) -> str:
        """The findings as text for a person."""
        facts, colour = findings["facts"], {1: "grey", 3: "colour"}
        head = f"two sides without pairs, A {colour[facts['in_channels']]}, B {colour[facts['out_channels']]}, about "
        return inspect.usage_summary(findings, f"{head}{facts['native']} pixels a side", "images")


def _two(spec: str) -> list[str]:
    """The two places or names of sets that a comma stands between; [] if there are none."""
    parts = [part.strip() for part in spec.split(",")]
    if len(parts) != 2 or not all(parts) or Path(spec).exists():
        return []
    return parts if all(is_name(part) or Path(part).expanduser().exists() for part in parts) else []
