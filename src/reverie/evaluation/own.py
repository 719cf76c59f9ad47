"""The bench of methods whose scores are all their own: photographs that are repaired, enlarged, completed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..media import Image, Photo
from ..scores.score import Reference
from .found import Evaluation
from .looks import Looks, add_looks, open_looks
from .rivals import TRIED, add_rivals, has_rivals
from .subject import Subject

USUAL = 100
"""photographs that are scored, unless told otherwise"""


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
        """The method's own scores."""
        assert subject.method is not None
        found.notes += learnt_from(subject, self.data)
        looks = None if asked.lpips is None else open_looks(asked.lpips)  # before anything takes long
        found.scores += list(subject.method.own_scores(self.data, asked.n, asked.seed, **own))
        if asked.classical and has_rivals(subject.method):
            self._rivals(found, subject.method, asked.n, asked.seed)
        if looks is not None:
            self._looks(found, looks, subject.method, asked.n, asked.seed)

    def _looks(self, found: Evaluation, looks: Looks, method: Any, n: int, seed: int) -> None:
        """LPIPS of what the method repaired, as its own scores have it."""
        if not hasattr(method, "repaired"):
            found.leave_out(["lpips"], f"{method.origin['method']} does not say what its pictures are held against")
            return
        pictures = list(method.repaired(self.data, n, seed))
        if not pictures:
            return
        good, spoilt = [p.good for p in pictures], [p.spoilt for p in pictures]
        reference = Reference(self.data.name, self.data.split, self.data.fingerprint, len(good), 0, good[0].shape[2])
        add_looks(found, looks, [p.made for p in pictures], good, spoilt, "the pictures as they were spoilt", reference,
                  seed, f"whole pictures of the reference, spoilt by {method.way}, 8 bits, and repaired")  # fmt: skip

    def _rivals(self, found: Evaluation, method: Any, n: int, seed: int) -> None:
        """Classical tools on the same whole pictures, spoilt by the same random numbers."""
        photos = [Photo(pixels, name=name) for name, pixels in self.data.wholes(n, method.config.channels)]
        if not photos:
            return
        spoilt = [photo.pixels for photo in method.verb("spoil")(photos, seed=seed)]
        train = type(self.data).open(self.data.spec)
        first = n if train.fingerprint == self.data.fingerprint else 0  # what is scored is nothing to choose on
        training = [pixels for _, pixels in islice(train.wholes(first + TRIED, method.config.channels), first, None)]
        good = [photo.pixels for photo in photos]
        reference = Reference(
            self.data.name, self.data.split, self.data.fingerprint, len(good), 0, method.config.channels
        )
        add_rivals(
            found, method, good, spoilt, train, training, reference, seed, "whole pictures of the reference, 8 bits"
        )

    def pictures(self, subject: Subject, seed: int) -> dict[str, Image | str]:
        """The previews of training, of the reference."""
        method, size = subject.method, subject.wants
        assert method is not None
        batch = self.data.prepare(**size).batch(np.arange(min(8, len(self.data))), method.device)
        shown = {name or "samples": image for name, image in method.previews(batch).items()}
        method.eval()
        return {**shown}


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
