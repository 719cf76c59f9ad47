"""The evaluator of text: generated lines against real ones, or against the oracle that knows their probability."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.data.text.dataset import Texts
from reverie.data.text.held_out import leaked
from reverie.data.text.scripts import is_unspaced
from reverie.data.text.tokenizer import END
from reverie.data.text.tokenizer import split as split_tokens
from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.evaluators_base import MEMORISED, transfer_notes
from reverie.evaluation.reference_sets import shuffled_indices
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.evaluation.time_estimate import TimeEstimate
from reverie.media import Image, text_sheet
from reverie.metrics.score import Reference
from reverie.metrics.text import (
    LEAVE_ONE_OUT,
    References,
    bleus,
    copying_scores,
    metre_score,
    ngram_scores,
    nll_oracle_score,
    reference_of,
    without_meaning,
)
from reverie.utils.errors import UserError

MIN_LINES = 64
"""generated and real lines that a comparison takes, at least"""
MAX_DEFAULT_N, MAX_QUICK_N = 2_000, 500
"""generated lines by default, at most, of a full and of a quick evaluation"""
MAX_COMPARED = 1_000
"""lines at each temperature, and lines whose nearest training lines are searched, at most"""
TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
VERSE = 0.1
"""share of real lines with a regular metre from which on they are verse"""
SAMPLED = 1_000
"""lines that are looked at for their script"""
SHOWN = 24
"""lines of a figure"""


@dataclass(frozen=True)
class TextEvaluator:
    """The reference and the training lines, prepared as the source's data is."""

    data: Texts
    train: Texts

    @classmethod
    def check(cls, source: SampleSource, n: int | None) -> None:
        """Raises UserError if n is too small for a comparison."""
        if n is not None and n < MIN_LINES:
            raise UserError(
                f"{n} lines are too few to score a generator; give -n {MIN_LINES} or more, better thousands."
            )

    @classmethod
    def open(cls, source: SampleSource, data: str | Path, split: str | None) -> TextEvaluator:
        """The reference split (by default test, or val, or all there is) and the training lines. Raises UserError."""
        train, note = _open_lines(source, data, "train")
        others = [name for name in ("test", "val") if name in train.splits]
        reference, _ = _open_lines(source, data, split or (others[0] if others else "train"))
        of_oracle = source.data_args.get("vocab") == ()
        if bool(reference.oracle) != of_oracle:
            trained_on, holds = ("an oracle", "lines of text") if of_oracle else ("lines of text", "an oracle")
            raise UserError(f"the run was trained on {trained_on}, {data} is {holds}; give data of the same kind.")
        reference.prepare(**source.data_args)
        if reference.split == "train":
            train = reference
        else:
            train.prepare(**source.data_args)
            reference = _unseen(reference, train)
            if reference.held_out and split is None and len(reference) < MIN_LINES <= len(train):
                train.warnings.append(f"{len(reference)} of the lines held out can be used, which is too few")
                reference = train
        train.warnings += note
        if len(reference) < MIN_LINES:
            raise UserError(
                f"{len(reference)} lines in {data} ({reference.split}) that are not in train too are too few to score: "
                f"{MIN_LINES} or more."
            )
        return cls(reference, train)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of the reference and of the training lines."""
        return {"reference": self.data.fingerprint, "train": self.train.fingerprint}

    def default_n(self, source: SampleSource, full: bool) -> int:
        """As many as the reference, but at most MAX_DEFAULT_N, or MAX_QUICK_N."""
        return min(MAX_DEFAULT_N if full else MAX_QUICK_N, len(self.data))

    def evaluate(
        self, result: Evaluation, source: SampleSource, config: EvalConfig, method_options: dict[str, Any]
    ) -> None:
        """The method's own scores, those of generated lines, and a note on the effect of temperature."""
        method, data, seed, n = source.method, self.data, config.seed, config.n or self.default_n(source, config.full)
        assert method is not None
        result.notes += self._notes(source)
        mixed = data if data.oracle else data.subset(shuffled_indices(len(data)))  # an oracle's samples have no order
        result.scores += list(method.method_scores(mixed, min(n, len(data)), seed, **method_options))
        if not source.can("generate"):
            return
        estimate = TimeEstimate()
        estimate.add("generated lines", n if not config.full else n * (1 + len(TEMPERATURES)), 32,
                     lambda k: _generate(source, k, seed))  # fmt: skip
        estimate.say("" if config.full else "; --full takes more")
        lines = _generate(source, n, seed)
        result.figures["samples"] = (
            text_sheet(lines[:SHOWN]),
            f"The first {SHOWN} lines of `generate` with seed {seed}.",
        )
        if data.oracle is not None:
            generated, real = _to_tokens(lines), torch.from_numpy(data.array[:n])
            result.scores.append(nll_oracle_score(data.oracle.nll(generated), data.oracle.nll(real), data, seed))
        else:
            self._score_against_real_lines(result, lines, seed)
        if data.oracle is None and np.median((data.array != END).sum(1)) < 3:
            return  # bleu-3 says nothing of such lines
        if not config.full:
            return  # it takes seven times the lines
        result.notes.append(_temperature_note(source, data, min(n, MAX_COMPARED), seed))

    def comparison_images(self, source: SampleSource, seed: int) -> dict[str, Image | str]:
        """Generated lines."""
        if not source.can("generate"):
            return {"samples": f"{source.name} cannot generate"}
        return {"samples": text_sheet(_generate(source, SHOWN, seed))}

    def _notes(self, source: SampleSource) -> list[str]:
        data, train = self.data, self.train
        notes = list(dict.fromkeys([*train.warnings, *data.warnings]))
        if transfer := transfer_notes(source, train, "lines"):
            return [*notes, *transfer]
        return [*notes, MEMORISED] if train is data and data.oracle is None else notes

    def _score_against_real_lines(self, result: Evaluation, lines: list[str], seed: int) -> None:
        """BLEU, self-BLEU, distinct-n, copying."""
        data, train, kind = self.data, self.train, _token_kind(self.data)
        generated, real = [split_tokens(line, kind) for line in lines], _shuffled_lines(data, kind)
        others = real if train is data else _shuffled_lines(train, kind)
        count = min(len(generated), len(others))
        real_source = LEAVE_ONE_OUT if train is data else "training lines"
        reference = reference_of(data, len(real))
        why = without_meaning(real)
        for score in ngram_scores(generated, real, others[:count], f"{kind}s", real_source, reference, seed):
            if score.name in why:
                result.skip([score.name], why[score.name])
            else:
                result.scores.append(score)
        if is_unspaced("".join(data.line(i) for i in range(min(len(data), SAMPLED)))):
            self._score_metre(result, lines, reference, seed)
        compared = min(len(generated), MAX_COMPARED)
        unseen = None if train is data else real[:compared]
        training_reference = reference_of(train, len(train))
        result.scores += copying_scores(
            generated[:compared], _shuffled_lines(train, kind), unseen, training_reference, seed
        )

    def _score_metre(self, result: Evaluation, lines: list[str], reference: Reference, seed: int) -> None:
        """The metre of verse, in characters; left out for prose."""
        real = [self.data.line(int(i)) for i in shuffled_indices(len(self.data))]
        if self.data.facts.get("tokenizer") == "word":  # the spaces stand between words
            lines, real = ([line.replace(" ", "") for line in some] for some in (lines, real))
        generated_characters, characters = ([split_tokens(line, "character") for line in x] for x in (lines, real))
        score = metre_score(generated_characters, characters, reference, seed)
        if score.real is not None and score.real < VERSE:
            result.skip([score.name], f"{score.real:.0%} of the real lines have one: they are prose")
        else:
            result.scores.append(score)


def _unseen(reference: Texts, train: Texts) -> Texts:
    """The lines of the reference that are not also training lines.

    Built-in sets are left as they are: what their splits have in common they have by chance, as new lines do.
    """
    if not reference.from_files:
        return reference
    known = leaked([reference.line(i) for i in range(len(reference))], [train.line(i) for i in range(len(train))])
    return reference.subset(np.flatnonzero(~np.array(known))) if any(known) else reference


def _token_kind(data: Texts) -> str:
    """What lines are cut into for n-grams: subwords depend on their training data, so words stand in for them."""
    return "character" if data.facts.get("tokenizer") == "character" else "word"


def _shuffled_lines(data: Texts, kind: str) -> list[list[str]]:
    """The tokens of all lines of a split, in an order that follows from their number alone."""
    return [split_tokens(data.line(int(i)), kind) for i in shuffled_indices(len(data))]


def _generate(source: SampleSource, n: int, seed: int, **options: Any) -> list[str]:
    assert source.method is not None
    act = source.method.verb("generate")
    return [text.line for text in act.stream(source.method, n=n, seed=seed, **options)]


def _to_tokens(lines: list[str]) -> torch.Tensor:
    """Lines of an oracle's token numbers as int64 [N,T]."""
    return torch.tensor([[int(word) for word in line.split()] for line in lines])


def _temperature_note(source: SampleSource, data: Texts, n: int, seed: int) -> str:
    """What temperature alone does to n lines: similarity to real lines is gained at the cost of diversity."""
    names = "nll-oracle, different lines and words" if data.oracle else "bleu-3, self-bleu-3"
    references = None if data.oracle else References(_shuffled_lines(data, _token_kind(data)))
    parts = []
    for temperature in TEMPERATURES:
        lines = _generate(source, n, seed, temperature=temperature)
        values = _oracle_values(lines, data) if references is None else _bleu_values(lines, references, data)
        parts.append(f"{temperature:g}: {values}")
    return f"temperature, which trades diversity for similarity ({names}; {n} lines each): {'; '.join(parts)}."


def _oracle_values(lines: list[str], data: Texts) -> str:
    assert data.oracle is not None
    nll = float(data.oracle.nll(_to_tokens(lines)).mean())
    different = len(set(lines)) / len(lines)
    used = len({word for line in lines for word in line.split()}) / data.oracle.vocab_size
    return f"{nll:.3f}, {different:.0%} of lines and {used:.0%} of words"


def _bleu_values(lines: list[str], references: References, data: Texts) -> str:
    generated = [split_tokens(line, _token_kind(data)) for line in lines]
    bleu = bleus(generated, references)[:, 2].mean()
    self_bleu = bleus(generated, References(generated), exclude_self=True)[:, 2].mean()
    return f"{bleu:.3f}, {self_bleu:.3f}"


def _open_lines(source: SampleSource, data: str | Path, split: str) -> tuple[Texts, list[str]]:
    """A split as the run's own data was read, or, of a run that read a column, the lines of plain text; and a note.

    Raises UserError as Texts.open does.
    """
    arguments = source.open_args
    column = arguments.get("column")
    try:
        return Texts.open(data, split, **arguments), []
    except UserError:
        if column is None or "column" in source.read_as:
            raise
        with contextlib.suppress(UserError):
            plain = Texts.open(data, split, **{**arguments, "column": None})
            if plain.is_plain:
                return plain, [f"{data} is plain text, whose lines are read; the run read column '{column}' of a table"]
        raise
