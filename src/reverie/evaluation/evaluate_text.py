"""The bench of text: written lines beside real ones, or beside the oracle that knows what each is worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.data.text.dataset import Texts
from reverie.data.text.tokenizer import split
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.media import Image, text_sheet
from reverie.metrics.text import LEAVE_ONE_OUT, References, bleus, copying_scores, ngram_scores, nll_oracle_score, reference_of
from reverie.utils.errors import UserError

LEAST = 64
"""lines, written and real, below which their likeness says nothing"""
USUAL = 2_000
"""written lines, unless told otherwise"""
COMPARED = 1_000
"""lines at each temperature, at most, and lines whose nearest training lines are looked for"""
TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
SHOWN = 24
"""lines on a sheet"""


@dataclass(frozen=True)
class TextEvaluator:
    """The reference, and the lines that were learnt from, prepared as the subject's are."""

    data: Texts
    train: Texts

    @classmethod
    def check(cls, subject: SampleSource, n: int | None) -> None:
        """Raises UserError if so many lines say nothing."""
        if n is not None and n < LEAST:
            raise UserError(f"scores on {n} lines say nothing about a generator; give {LEAST} or more, or thousands.")

    @classmethod
    def open(cls, subject: SampleSource, data: str | Path, split: str | None) -> TextEvaluator:
        """The test split where there is one and none is named, and the training lines. Raises UserError."""
        train = Texts.open(data, "train")
        others = [name for name in ("test", "val") if name in train.splits]
        reference = Texts.open(data, split or (others[0] if others else "train"))
        wants = subject.data_args
        if bool(reference.oracle) != (wants.get("words") == ()):
            made, given = ("numbers", "words") if wants.get("words") == () else ("words", "numbers")
            raise UserError(f"what is scored writes {made}, {data} holds {given}; give data of the kind it learnt.")
        reference.prepare(**wants)
        if len(reference) < LEAST:
            raise UserError(f"{len(reference)} lines in {data} ({reference.split}) are too few to score with: {LEAST}.")
        return cls(reference, train.prepare(**wants) if reference.split != "train" else reference)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of the reference and of the training lines."""
        return {"reference": self.data.fingerprint, "train": self.train.fingerprint}

    def count(self, subject: SampleSource) -> int:
        """As many as the reference, but not more than is usual."""
        return min(USUAL, len(self.data))

    def judge(self, found: Evaluation, subject: SampleSource, asked: Any, own: dict[str, Any]) -> None:
        """Scores of written lines, those that the method alone has, and what temperature does to them."""
        judge(found, subject, self.data, asked.n, asked.seed, self.train, own)

    def pictures(self, subject: SampleSource, seed: int) -> dict[str, Image | str]:
        """Lines that a run writes."""
        return {"samples": text_sheet(_written(subject, SHOWN, seed)) if subject.can("write") else "it does not write"}


def judge(
    found: Evaluation,
    subject: SampleSource,
    data: Texts,
    n: int,
    seed: int,
    train: Texts | None = None,
    own: dict[str, Any] | None = None,
) -> None:
    """Adds to `found` what n written lines are worth beside the lines of `data`."""
    method, train = subject.method, data if train is None else train
    assert method is not None
    found.notes += _notes(subject, data, train)
    mixed = data if data.oracle else data.subset(_order(data))  # what an oracle draws is in no order
    found.scores += list(method.method_scores(mixed, min(n, len(data)), seed, **(own or {})))
    if not subject.can("write"):
        return
    lines = _written(subject, n, seed)
    found.pictures["lines"] = text_sheet(lines[:SHOWN]), f"the first {SHOWN} lines of `write` with seed {seed}"
    if data.oracle is not None:
        made, real = _numbers(lines), torch.from_numpy(data.array[:n])
        found.scores.append(nll_oracle_score(data.oracle.nll(made), data.oracle.nll(real), data, seed))
    else:
        _beside_real_lines(found, lines, data, train, seed)
    found.notes.append(_temperatures(subject, data, min(n, COMPARED), seed))


def _beside_real_lines(found: Evaluation, lines: list[str], data: Texts, train: Texts, seed: int) -> None:
    """BLEU, self-BLEU, distinct-n, copying."""
    kind, what = _tokens(data)
    made, real = [split(line, kind) for line in lines], _lines(data, kind)
    others = real if train is data else _lines(train, kind)
    count, floor_source = min(len(made), len(others)), LEAVE_ONE_OUT if train is data else "training lines"
    reference = reference_of(data, len(real))
    found.scores += ngram_scores(made, real, others[:count], what, floor_source, reference, seed)
    looked = min(len(made), COMPARED)
    unseen = None if train is data else real[:looked]
    of = reference_of(train, len(train))
    found.scores += copying_scores(made[:looked], _lines(train, kind), unseen, of, seed)


def _tokens(data: Texts) -> tuple[str, str]:
    """What lines are cut into for n-grams, and its name; pieces of words are no common measure, so words stand in."""
    kind = "character" if data.facts.get("tokenizer") == "character" else "word"
    return kind, f"{kind}s"


def _lines(data: Texts, kind: str) -> list[list[str]]:
    """The lines of a split in the order of _order."""
    return [split(data.line(int(i)), kind) for i in _order(data)]


def _order(data: Texts) -> np.ndarray:
    """The numbers of all lines in an order that follows from how many there are, so that the first are a random
    choice."""
    return np.random.Generator(np.random.Philox(key=[0, len(data)])).permutation(len(data))


def _written(subject: SampleSource, n: int, seed: int, **options: Any) -> list[str]:
    assert subject.method is not None
    act = subject.method.verb("generate")
    return [text.line for text in act.stream(subject.method, n=n, seed=seed, **options)]


def _numbers(lines: list[str]) -> torch.Tensor:
    return torch.tensor([[int(word) for word in line.split()] for line in lines])


def _notes(subject: SampleSource, data: Texts, train: Texts) -> list[str]:
    notes, learnt = [], subject.learnt.get("fingerprint")
    if learnt and learnt != train.fingerprint:
        notes.append(
            f"the run learnt from {subject.learnt.get('name')}, not from the training lines here ({train.name}): "
            "likeness to these shows transfer."
        )
    elif train is data and data.oracle is None:
        notes.append("the reference is what was learnt from, so that learning it by heart is rewarded.")
    return notes


def _temperatures(subject: SampleSource, data: Texts, n: int, seed: int) -> str:
    """What temperature alone does to n lines: one that looks better by one figure is paid for by the other."""
    real = None if data.oracle else References(_lines(data, _tokens(data)[0]))
    told = []
    for temperature in TEMPERATURES:
        lines = _written(subject, n, seed, temperature=temperature)
        if data.oracle is not None:
            cost = float(data.oracle.nll(_numbers(lines)).mean())
            alike = len(set(lines)) / len(lines)
            used = len({word for line in lines for word in line.split()}) / data.oracle.vocab_size
            told.append(f"{temperature:g}: {cost:.3f}, {alike:.0%} of lines and {used:.0%} of words")
        else:
            assert real is not None
            made = [split(line, _tokens(data)[0]) for line in lines]
            like, alike = bleus(made, real)[:, 2].mean(), bleus(made, References(made), exclude_self=True)[:, 2].mean()
            told.append(f"{temperature:g}: {like:.3f}, {alike:.3f}")
    what = "nll oracle, different lines and words" if data.oracle else "bleu-3, self-bleu-3"
    return f"temperature, which trades variety for likeness ({what}; {n} lines each): {'; '.join(told)}."
