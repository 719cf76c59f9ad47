"""The bench of music: what a method tells again of real windows, and what it composes beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.data.music.dataset import MusicDataset
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.media import Image, Music, comparison_grid, image_grid, rolls
from reverie.metrics.music import statistics_scores, nearest_windows, copying_scores, reconstruction_scores
from reverie.utils.errors import UserError

USUAL = 1_000
"""composed windows, unless told otherwise"""
MOST = 2_000
"""real windows that are compared with, at most"""
TOLD_AGAIN = 512
"""windows that are told again, at most"""
LEAST = 16
"""windows, composed and real, below which nothing is said of their distribution"""
STEPS = 8
"""pieces in a row of a walk"""


@dataclass(frozen=True)
class MusicEvaluator:
    """Real windows, all prepared as the subject's are. Which are taken follows from the data alone, not from a seed."""

    data: MusicDataset
    """the split that holds the reference"""
    reference: np.ndarray
    """row numbers in `data`, in no order"""
    train: MusicDataset
    stand_in: np.ndarray
    """row numbers in `train` of windows that stand in for composed ones, in no order"""
    known: np.ndarray
    """row numbers in `train` of the windows that those nearest to the reference are looked for among: none is of it"""

    @classmethod
    def check(cls, subject: SampleSource, n: int | None) -> None:
        """Raises UserError if so many composed windows say nothing."""
        if n is not None and n < (LEAST if subject.can("compose") else 1):
            raise UserError(f"scores on {n} tunes say nothing about a composer; give {LEAST} or more, better hundreds.")

    @classmethod
    def open(cls, subject: SampleSource, data: str | Path, split: str | None) -> MusicEvaluator:
        """The reference split (test if there is one and none is named), and the training windows. Raises UserError."""
        train = MusicDataset.open(data, "train")
        other = split or next((name for name in ("test", "val") if name in train.splits), "train")
        held = (train if other == "train" else MusicDataset.open(data, other)).prepare(**subject.data_args)
        train.prepare(**subject.data_args)
        if held is not train:
            rows = np.arange(len(train))
            return cls(held, _shuffled(np.arange(len(held)))[:MOST], train, _shuffled(rows), rows)
        even, odd = (np.flatnonzero(train.of % 2 == k) for k in (0, 1))  # by pieces: windows of one piece overlap
        if min(len(even), len(odd)) < 2:
            raise UserError(f"{data} holds {len(train)} windows of one piece; scores compare with others: give more.")
        return cls(train, _shuffled(even)[:MOST], train, _shuffled(odd), odd)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of the reference and of the training windows."""
        return {"reference": self.data.fingerprint, "train": self.train.fingerprint}

    def count(self, subject: SampleSource) -> int:
        """As many as the reference, but not more than is usual."""
        return max(LEAST, min(USUAL, len(self.reference)))

    def judge(self, found: Evaluation, subject: SampleSource, asked: Any, own: dict[str, Any]) -> None:
        """Scores of reconstructions, of composed windows, and those that the method alone has."""
        method, n, seed = subject.method, asked.n, asked.seed
        assert method is not None
        found.notes += self._notes(subject)
        few = self.data.subset(self.reference[:TOLD_AGAIN])  # of the same windows, so that they can be compared
        peculiar = list(method.method_scores(few, len(few), seed, **own))
        if subject.can("reconstruct"):
            self._told_again(found, method, few, seed)
        found.scores += peculiar
        if subject.can("compose"):
            self._composed(found, method, n, seed)
        if subject.can("interpolate"):
            columns = self._columns
            walk = method.verb("interpolate")(n=4 if columns == 8 else 1, steps=STEPS, seed=seed)
            found.pictures["interpolation"] = (image_grid(rolls(walk), columns), "Each row walks from one piece to another.")

    def pictures(self, subject: SampleSource, seed: int) -> dict[str, Image | str]:
        """What is composed, reconstructions of the same windows, and walks."""
        method, lack, columns = subject.method, f"{subject.about['method']} cannot {{}}", self._columns
        assert method is not None
        told: dict[str, Image | str] = {}
        told["samples"] = lack.format("compose")
        if subject.can("compose"):
            told["samples"] = image_grid(rolls(method.verb("generate")(n=2 * columns, seed=seed)), columns)
        told["reconstruction"] = lack.format("reconstruct")
        if subject.can("reconstruct"):
            given = self._music(self.data.array[self.reference[:columns]])
            told["reconstruction"] = _pairs(given, method.verb("reconstruct")(given), columns)
        told["interpolation"] = lack.format("interpolate")
        if subject.can("interpolate"):
            told["interpolation"] = image_grid(rolls(method.verb("interpolate")(n=1, steps=STEPS, seed=seed)), columns)
        return told

    def _music(self, windows: np.ndarray) -> list[Music]:
        """Windows [N,I,T] as music."""
        return [Music.of(self.data.parts, lines) for lines in windows]

    @property
    def _columns(self) -> int:
        """Piano rolls that stand side by side."""
        return 8 if self.data.bars <= 4 else 2

    def _notes(self, subject: SampleSource) -> list[str]:
        notes, train = [], self.train
        if subject.learnt and subject.learnt.get("fingerprint") != train.fingerprint:
            notes.append(
                f"the run learnt from {subject.learnt.get('name')}, not from the training pieces here ({train.name}): "
                "likeness to these shows transfer."
            )
        if self.data is train:
            notes.append(
                "the reference is half of the pieces that were learnt from, so that learning them by heart is "
                "rewarded; read copies beside it."
            )
        return notes

    def _told_again(self, found: Evaluation, method: Any, data: MusicDataset, seed: int) -> None:
        given = self._music(data.array)
        made = method.verb("reconstruct")(given)
        again = np.stack([music.lines(data.parts) for music in made])
        how = "the likeliest event at each step, after those that were written before it"
        found.scores += reconstruction_scores(data.array, again, data, seed, how)
        few = 2 * self._columns
        found.pictures["reconstruction"] = (
            _pairs(given[:few], made[:few], self._columns),
            f"Windows of the reference, and under each its reconstruction; the first of {len(again)} that were scored.",
        )

    def _composed(self, found: Evaluation, method: Any, n: int, seed: int) -> None:
        data, train, columns = self.data, self.train, self._columns
        real, others = data.array[self.reference], train.array[self.stand_in[:n]]
        if min(len(real), len(others)) < LEAST:
            found.skip(["likeness", "novelty"], f"{len(real)} real windows say nothing; it takes {LEAST}")
            return
        made = method.verb("generate")(n=n, seed=seed)
        events = np.stack([music.lines(data.parts) for music in made])
        name = "training windows" if data is not train else "windows of the other half of the pieces"
        found.scores += statistics_scores(events, real, others, name, data, seed)
        far, at = nearest_windows(events[:MOST], train.array, data.parts)
        unseen = nearest_windows(real, train.array[self.known], data.parts)[0]
        name = f"windows of the {data.split} split"
        if data is train:
            name = f"windows of the reference, looked for among the {len(self.known)} of the other half of the pieces"
        found.scores += copying_scores(far, unseen, train, seed, name)
        found.pictures["composed"] = (
            image_grid(rolls(made[: 4 * columns]), columns),
            f"The first of {n} that were composed: time to the right, a line at each bar; pitch upwards, a line at "
            "each C; of trios the melody in blue, the bass in orange, and drums below.",
        )
        found.pictures["neighbours"] = (
            _pairs(made[: 2 * columns], self._music(train.array[at[: 2 * columns]]), columns),
            "Composed, and under each the training window that is most similar, in its own key.",
        )


def _shuffled(rows: np.ndarray) -> np.ndarray:
    return rows[np.random.Generator(np.random.Philox(key=[0, len(rows)])).permutation(len(rows))]


def _pairs(upper: list[Music], lower: list[Music], columns: int) -> Image:
    both = rolls([*upper, *lower])
    return comparison_grid(both[: len(upper)], both[len(upper) :], columns)
