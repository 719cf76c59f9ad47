"""The bench of methods whose scores are all their own: photographs that are repaired, enlarged, completed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..data.decode import in_channels
from ..errors import UserError
from ..media import Image, sheet
from ..scores.restoring import Restored, likeness, psnrs
from ..scores.score import Reference
from .found import Evaluation
from .looks import add_looks, open_looks
from .rivals import TRIED, add_rivals, has_rivals
from .subject import Subject

USUAL = 100
"""photographs that are scored, unless told otherwise"""
SHOWN, LARGEST = 8, 256
"""pictures of a figure, and pixels a side of what is shown of each at most"""


@dataclass(frozen=True)
class OwnBench:
    """The split that is measured on."""

    data: Any

    @classmethod
    def check(cls, subject: Subject, n: int | None) -> None:
        """Raises UserError for a number that cannot be."""
        if n is not None and n < 1:
            raise UserError(f"n is {n}; it must be 1 or more.")

    @classmethod
    def open(cls, subject: Subject, data: str | Path, split: str | None) -> OwnBench:
        """The split test, or val, or all there is. Raises UserError."""
        return cls(open_split(subject, data, split))

    @property
    def marks(self) -> dict[str, str]:
        """The fingerprint of what is measured on."""
        return {"reference": self.data.fingerprint}

    def count(self, subject: Subject) -> int:
        """As many as there are, but not more than is usual."""
        return min(USUAL, len(self.data))

    def judge(self, found: Evaluation, subject: Subject, asked: Any, own: dict[str, Any]) -> None:
        """The method's own scores; where it repairs, whole pictures beside the truth and beside classical tools."""
        method = subject.method
        assert method is not None
        found.notes += learnt_from(subject, self.data)
        looks = None if asked.lpips is None else open_looks(asked.lpips)  # before anything takes long
        found.scores += list(method.own_scores(self.data, asked.n, asked.seed, **own))
        repaired = getattr(method, "repaired", None)
        pictures = list[Restored](repaired(self.data, asked.n, asked.seed)) if repaired else []
        if not pictures:
            if looks is not None:
                found.leave_out(["lpips"], f"{method.origin['method']} repairs nothing that is held against a truth")
            return
        reference = Reference(
            self.data.name, self.data.split, self.data.fingerprint, len(pictures), 0, pictures[0].good.shape[2]
        )
        good, spoilt, made = ([getattr(p, what) for p in pictures] for what in ("good", "spoilt", "made"))
        floor_of = "the pictures as they were spoilt"
        about = f"whole pictures of the reference, spoilt by {method.way}, 8 bits, and repaired"
        found.scores += likeness(made, good, spoilt, floor_of, reference, asked.seed, about)
        if asked.classical and has_rivals(method):
            train = type(self.data).open(self.data.spec)
            # What is scored is nothing to choose on.
            first = asked.n if train.fingerprint == self.data.fingerprint else 0
            training = [p for _, p in islice(train.wholes(first + TRIED, method.config.channels), first, None)]
            told = "whole pictures of the reference, 8 bits"
            add_rivals(found, method, good, spoilt, train, training, reference, asked.seed, told)
        if looks is not None:
            add_looks(found, looks, made, good, spoilt, floor_of, reference, asked.seed, about)
        self._show(found, pictures)

    def _show(self, found: Evaluation, pictures: Sequence[Restored]) -> None:
        """Figures: the middles of those that come out worst, and of the first."""
        side = min(LARGEST, *(min(p.good.shape[:2]) for p in pictures))
        order = psnrs([p.made for p in pictures], [p.good for p in pictures]).argsort(stable=True).tolist()
        for name, chosen, told in (
            ("worst", order[:SHOWN], "The pictures that come out worst"),
            ("repaired", range(min(len(pictures), SHOWN)), "The first pictures of the reference"),
        ):
            rows = [_middle(x, side, pictures[i].good.shape[2]) for i in chosen for x in pictures[i].seen()]
            found.pictures[name] = (sheet(rows, 6), f"{told}, their middles: spoilt, repaired, the truth.")

    def pictures(self, subject: Subject, seed: int) -> dict[str, Image | str]:
        """The previews of training, of the reference."""
        method, size = subject.method, subject.wants
        assert method is not None
        batch = self.data.prepare(**size).batch(np.arange(min(8, len(self.data))), method.device)
        shown = {name or "samples": image for name, image in method.previews(batch).items()}
        method.eval()
        return {**shown}


def _middle(pixels: np.ndarray, side: int, channels: int) -> Image:
    """The square in the middle of a picture."""
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return Image(in_channels(pixels[top : top + side, left : left + side], channels))


def open_split(subject: Subject, data: str | Path, split: str | None) -> Any:
    """The data of the subject's kind: the split named, or test, or val, or all there is. Raises UserError."""
    assert subject.method is not None
    kind = subject.method.learns_from
    if split is not None:
        return kind.open(data, split)
    first = kind.open(data)
    other = next((name for name in ("test", "val") if name in first.splits), None)
    return kind.open(data, other) if other else first


def learnt_from(subject: Subject, data: Any) -> list[str]:
    """A note where the reference is what the run learnt from."""
    if subject.learnt.get("fingerprint") == data.fingerprint:
        return ["the reference is what was learnt from, so that learning it by heart is rewarded."]
    return []
