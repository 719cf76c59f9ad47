"""The scores of music: what a method tells again of real windows, and what it composes beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.midi import STEPS
from ..errors import UserError
from ..media import above, sheet
from ..media_music import Music, rolls
from ..scores.music import likeness_scores, nearest, novelty_scores, told_again_scores

if TYPE_CHECKING:
    from .evaluate import Evaluation
    from .subject import Subject

MOST = 2_000
"""real windows that are compared with, at most"""
TOLD_AGAIN = 512
"""windows that are told again, at most"""
LEAST = 8
"""windows, composed and real, below which nothing is said of their distribution"""


def judge(found: Evaluation, subject: Subject, data: Any, n: int, seed: int) -> None:
    """Adds the scores of a method that composes or reconstructs music, against the reference split `data`, prepared."""
    method, wants = subject.method, subject.wants
    if method is None:
        raise UserError("music is scored by the method that makes it; give a run or a file of weights.")
    train = data if data.split == "train" else type(data).open(data.spec, "train").prepare(**wants)
    rows, stand_in, name = _sides(data, train)
    real = data.array[rows[:MOST]]
    if subject.can("reconstruct"):
        _told_again(found, method, data, rows, seed)
    if not subject.can("compose"):
        return
    if min(n, len(real), len(stand_in)) < LEAST:
        found.leave_out(["likeness", "novelty"], f"{min(n, len(real))} windows say nothing; it takes {LEAST}")
        return
    act = method.verb("compose")
    made = list(act.stream(method, n=n, seed=seed))
    events = np.stack([music.part(data.part) for music in made])
    found.scores += likeness_scores(events, real, train.array[stand_in[: max(LEAST, n)]], name, data, seed)
    known = train.array if data is not train else train.array[stand_in]
    far, at = nearest(events[:MOST], known, data.part)
    unseen = nearest(real, known, data.part)[0]
    floor = "windows of the reference" if data is not train else "windows of the other half"
    found.scores += novelty_scores(far, unseen, train, seed, floor)
    if data is train:
        found.notes.append(
            f"{data.spec} has one split only: the reference is half of the pieces that were learnt from, so that "
            "learning them by heart is rewarded; read copies beside it."
        )
    _pictures(found, subject, made, known[at], data.bars, seed)


def _sides(data: Any, train: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """(rows of the reference, rows of train that stand in for what is composed, what those are), in no order."""
    if data is not train:
        return _shuffled(np.arange(len(data))), _shuffled(np.arange(len(train))), "training windows"
    even = data.of % 2 == 0  # by pieces, since windows of one piece overlap
    return _shuffled(np.flatnonzero(even)), _shuffled(np.flatnonzero(~even)), "windows of the other half of the pieces"


def _shuffled(rows: np.ndarray) -> np.ndarray:
    return rows[np.random.Generator(np.random.Philox(key=[0, len(rows)])).permutation(len(rows))]


def _told_again(found: Evaluation, method: Any, data: Any, rows: np.ndarray, seed: int) -> None:
    originals = data.array[np.sort(rows[:TOLD_AGAIN])]
    told = method.verb("reconstruct")([Music({data.part: row}) for row in originals])
    again = np.stack([music.part(data.part) for music in told])
    how = "the likeliest event at each step, after those that were written before it"
    found.scores += told_again_scores(originals, again, data, seed, how)
    columns = 8 if data.bars <= 4 else 2
    both = rolls([Music({data.part: row}) for row in [*originals[: 2 * columns], *again[: 2 * columns]]])
    found.pictures["reconstruction"] = (
        above(both[: len(both) // 2], both[len(both) // 2 :], columns),
        f"Windows of the reference, and under each its reconstruction; the first of {len(again)} that were scored.",
    )


def _pictures(found: Evaluation, subject: Subject, made: list[Music], near: np.ndarray, bars: int, seed: int) -> None:
    columns = 8 if bars <= 4 else 2
    found.pictures["composed"] = (
        sheet(rolls(made[: 4 * columns]), columns),
        f"Composed, the first of {len(made)}: time to the right, a line at each bar; pitch upwards, a line at each C.",
    )
    few = min(2 * columns, len(near))
    both = rolls([*made[:few], *(Music({next(iter(made[0].parts)): row}) for row in near[:few])])
    found.pictures["neighbours"] = (
        above(both[:few], both[few:], columns),
        "Composed, and under each the training window that is most similar, in its own key.",
    )
    if subject.can("interpolate") and bars * STEPS <= 256:
        assert subject.method is not None
        walk = subject.method.verb("interpolate")(n=2 if bars > 4 else 4, steps=8, seed=seed)
        found.pictures["interpolation"] = (
            sheet(rolls(walk), 2 if bars > 4 else 8),
            "Each row walks from one to another.",
        )
