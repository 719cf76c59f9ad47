"""The evaluator of music: reconstructions of real windows, and generated windows against real ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.data.music.dataset import MusicDataset
from reverie.data.music.windows import transposition_invariant
from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.evaluators_base import transfer_notes
from reverie.evaluation.reference_sets import shuffled_indices
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.evaluation.time_estimate import TimeEstimate
from reverie.media import Image, Music, comparison_grid, image_grid, rolls, with_sound
from reverie.metrics.music import copying_scores, nearest_windows, reconstruction_scores, statistics_scores
from reverie.utils.errors import UserError

MAX_DEFAULT_N, MAX_QUICK_N = 1_000, 128
"""generated windows by default, at most, of a full and of a quick evaluation"""
MAX_REFERENCE = 2_000
"""real windows that are compared with, at most"""
MAX_RECONSTRUCTED = 512
"""windows that are reconstructed, at most"""
MIN_WINDOWS = 16
"""generated and real windows that a comparison of distributions takes, at least"""
LEAK = 0.02
"""share of the reference that may stand in the training data without a note"""
FRAMES = 8
"""pieces in a row of an interpolation"""


@dataclass(frozen=True)
class MusicEvaluator:
    """Real windows, prepared as the source's data is. Which are taken follows from the data alone, not from a seed."""

    data: MusicDataset
    """the split that holds the reference"""
    reference: np.ndarray
    """rows of `data`, shuffled"""
    train: MusicDataset
    stand_in: np.ndarray
    """rows of `train` of windows that stand in for generated ones, shuffled"""
    known: np.ndarray
    """rows of `train` that the nearest windows of the reference are searched among: none is of the reference"""
    unseen: np.ndarray
    """those of `reference` that are no window of `known` in any key, so that reconstructing them is no copying; where
    fewer than MIN_WINDOWS are left, all of `reference`"""
    leaked: int
    """windows of `reference` that are one of `known`"""

    @classmethod
    def check(cls, source: SampleSource, n: int | None) -> None:
        """Raises UserError if n is too small for a comparison."""
        if n is not None and source.can("generate") and n < MIN_WINDOWS:
            raise UserError(
                f"{n} windows are too few to score a generator; give -n {MIN_WINDOWS} or more, better hundreds."
            )
        if n is not None and n < 1:
            raise UserError(f"n is {n}; it must be 1 or more.")

    @staticmethod
    def _reference(train: MusicDataset, data: str | Path, split: str | None, data_args: dict[str, Any]) -> MusicDataset:
        """The named split; by default test, or val where no piece of test can be used, or train where there are none.

        Of a small collection a tenth may be two pieces. Raises UserError.
        """
        names = [split] if split else [str(name) for name in ("test", "val") if name in train.splits] or ["train"]
        errors = list[UserError]()
        for name in names:
            try:
                return (train if name == "train" else MusicDataset.open(data, name)).prepare(**data_args)
            except UserError as error:
                errors.append(error)
        raise errors[0]

    @classmethod
    def open(cls, source: SampleSource, data: str | Path, split: str | None) -> MusicEvaluator:
        """The reference split (by default test, or val, or half of the pieces) and the training windows.

        Raises UserError.
        """
        train = MusicDataset.open(data, "train")
        reference = cls._reference(train, data, split, source.data_args)
        train.prepare(**source.data_args)
        if reference is not train:
            rows = np.arange(len(train))
            shuffled = shuffled_indices(len(reference))[:MAX_REFERENCE]
            return cls._without_leak(reference, shuffled, train, shuffled_indices(len(train)), rows)
        even, odd = (
            np.flatnonzero(train.piece_index % 2 == k) for k in (0, 1)
        )  # by pieces: windows of one piece overlap
        if min(len(even), len(odd)) < 2:
            raise UserError(f"{data} holds {len(train)} windows of one piece; scores compare with others: give more.")
        return cls._without_leak(train, _shuffled(even)[:MAX_REFERENCE], train, _shuffled(odd), odd)

    @classmethod
    def _without_leak(
        cls, data: MusicDataset, reference: np.ndarray, train: MusicDataset, stand_in: np.ndarray, known: np.ndarray
    ) -> MusicEvaluator:
        """With the rows of the reference that are no training window."""
        of_training = {row.tobytes() for row in transposition_invariant(train.array[known], train.parts)}
        windows = transposition_invariant(data.array[reference], data.parts)
        unseen = reference[[row.tobytes() not in of_training for row in windows]]
        leaked = len(reference) - len(unseen)
        return cls(data, reference, train, stand_in, known, unseen if len(unseen) >= MIN_WINDOWS else reference, leaked)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of the reference and of the training windows."""
        return {"reference": self.data.fingerprint, "train": self.train.fingerprint}

    def default_n(self, source: SampleSource, full: bool) -> int:
        """As many as the reference, but at most MAX_DEFAULT_N, or MAX_QUICK_N."""
        return max(MIN_WINDOWS, min(MAX_DEFAULT_N if full else MAX_QUICK_N, len(self.reference)))

    def evaluate(
        self, result: Evaluation, source: SampleSource, config: EvalConfig, method_options: dict[str, Any]
    ) -> None:
        """Scores reconstructions and generated windows, and adds the method's own scores."""
        method, seed, n = source.method, config.seed, config.n or self.default_n(source, config.full)
        assert method is not None
        result.notes += self._notes(source)
        few = self.data.subset(self.unseen[:MAX_RECONSTRUCTED])  # of the same windows, so that they are comparable
        method_scores = list(method.method_scores(few, len(few), seed, **method_options))
        if source.can("reconstruct"):
            self._score_reconstructions(result, method, few, seed)
        result.scores += method_scores
        if source.can("generate"):
            self._score_generated(result, method, n, seed)
        if source.can("interpolate"):
            rows = 4 if self._columns == 8 else 1
            pieces = method.verb("interpolate")(n=rows, frames=FRAMES, seed=seed)
            caption = "Each row interpolates from one generated piece to another."
            result.figures["interpolation"] = (image_grid(rolls(pieces), self._columns), caption)

    def comparison_images(self, source: SampleSource, seed: int) -> dict[str, Image | str]:
        """Generated pieces, reconstructions of the same windows, and interpolations."""
        method, lacks, columns = source.method, f"{source.name} cannot {{}}", self._columns
        assert method is not None
        shown: dict[str, Image | str] = {}
        shown["samples"] = lacks.format("generate")
        if source.can("generate"):
            pieces = method.verb("generate")(n=2 * columns, seed=seed)
            shown["samples"] = with_sound(image_grid(rolls(pieces), columns), pieces)
        shown["reconstruction"] = lacks.format("reconstruct")
        if source.can("reconstruct"):
            originals = self._to_music(self.data.array[self.reference[:columns]])
            shown["reconstruction"] = _roll_pairs(originals, method.verb("reconstruct")(originals), columns)
        shown["interpolation"] = lacks.format("interpolate")
        if source.can("interpolate"):
            pieces = method.verb("interpolate")(n=1, frames=FRAMES, seed=seed)
            shown["interpolation"] = image_grid(rolls(pieces), columns)
        return shown

    def _to_music(self, windows: np.ndarray) -> list[Music]:
        """Windows [N,I,T] as music."""
        return [Music.of(self.data.parts, lines, grid=self.data.grid) for lines in windows]

    @property
    def _columns(self) -> int:
        """Piano rolls side by side in a figure."""
        return 8 if self.data.bars <= 4 else 2

    def _notes(self, source: SampleSource) -> list[str]:
        notes = transfer_notes(source, self.train, "pieces")
        if self.data is self.train:
            notes.append(
                "the reference is half of the training pieces, so that memorised pieces score well; see the "
                "exact-match rate."
            )
        if self.leaked > LEAK * len(self.reference):
            used = "left out of the reconstructions"
            if len(self.unseen) == len(self.reference):
                used = "too many to be left out, so that reconstructions flatter copying"
            notes.append(
                f"{self.leaked} of {len(self.reference)} windows of the reference stand in the training data, in some "
                f"key: a leak, such as versions of one piece in both; {used}."
            )
        return notes

    def _score_reconstructions(self, result: Evaluation, method: Any, data: MusicDataset, seed: int) -> None:
        originals = self._to_music(data.array)
        reconstructed = method.verb("reconstruct")(originals)
        events = np.stack([music.lines(data.parts) for music in reconstructed])
        result.scores += reconstruction_scores(data.array, events, data, seed)
        few = 2 * self._columns
        result.figures["reconstruction"] = (
            _roll_pairs(originals[:few], reconstructed[:few], self._columns),
            f"Windows of the reference, and under each its reconstruction; the first of {len(events)} scored ones.",
        )

    def _score_generated(self, result: Evaluation, method: Any, n: int, seed: int) -> None:
        data, train, columns = self.data, self.train, self._columns
        real, others = data.array[self.reference], train.array[self.stand_in[:n]]
        if min(len(real), len(others)) < MIN_WINDOWS:
            why = f"{len(real)} real windows are too few to compare with; it takes {MIN_WINDOWS}"
            result.skip(["statistics of generated windows", "nn distance", "exact-match rate"], why)
            return
        estimate = TimeEstimate()
        estimate.add("generated windows", n, 8, lambda k: method.verb("generate")(n=k, seed=seed))
        estimate.say("")
        generated = method.verb("generate")(n=n, seed=seed)
        events = np.stack([music.lines(data.parts) for music in generated])
        name = "training windows" if data is not train else "windows of the other half of the pieces"
        result.scores += statistics_scores(events, real, others, name, data, seed)
        distances, rows = nearest_windows(events[:MAX_REFERENCE], train.array, data.parts)
        unseen = nearest_windows(real, train.array[self.known], data.parts)[0]
        name = f"windows of the {data.split} split"
        if data is train:
            name = f"windows of the reference, searched among the {len(self.known)} of the other half of the pieces"
        result.scores += copying_scores(distances, unseen, train, seed, name)
        result.figures["generated"] = (
            with_sound(image_grid(rolls(generated[: 4 * columns]), columns), generated),
            f"The first of {n} generated windows: time to the right, a line at each bar; pitch upwards, a line at each "
            "C; of trios the melody in blue, the bass in orange, and the drums below.",
        )
        few = 2 * columns
        result.figures["neighbours"] = (
            _roll_pairs(
                generated[:few], self._to_music(train.array[rows[:few]]), columns, ("generated", "nearest training")
            ),
            "Generated windows, and under each the most similar training window, in its own key.",
        )


def _shuffled(rows: np.ndarray) -> np.ndarray:
    """Rows in an order that follows from their number alone."""
    return rows[shuffled_indices(len(rows))]


def _roll_pairs(
    upper: list[Music], lower: list[Music], columns: int, labels: tuple[str, str] = ("original", "reconstruction")
) -> Image:
    """Piano rolls of `upper`, each above that of the same place in `lower`."""
    both = rolls([*upper, *lower])
    return comparison_grid(both[: len(upper)], both[len(upper) :], columns, labels)
