"""Scores of lines of text: BLEU as in Texygen, diversity, copying of training lines, and likelihoods in nats.

N lines, each a sequence of tokens; an n-gram is a tuple of n tokens. Nothing is drawn at random.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from reverie.metrics.score import Better, Reference, Score

Tokens = Sequence[str]
BLEU_ORDERS = (2, 3, 4, 5)
"""as in Texygen's tables"""
EPSILON = 0.1
"""what NLTK's method1 puts in place of a count of 0 matching n-grams (Chen & Cherry 2014, method 1)"""
DISTINCT_ORDERS = (1, 2, 3)
LEAVE_ONE_OUT = "lines of the reference, each against the others"
"""what real lines BLEU has where there are no others"""


class GramCount(NamedTuple):
    """Of one n-gram, over many lines: its highest count in a line, the number of such lines, the next lower count."""

    highest: int
    holders: int
    second: int


class References:
    """Reference lines for BLEU, whose n-grams are counted once."""

    def __init__(self, lines: Sequence[Tokens], order: int = BLEU_ORDERS[-1]) -> None:
        self.order = order
        self._counts = [_highest_counts(lines, n) for n in range(1, order + 1)]
        self._lengths = Counter(map(len, lines))

    def bleu(self, line: Tokens, exclude_self: bool = False) -> list[float]:
        """BLEU-1, BLEU-2 ... of a line against all reference lines, uniform weights, NLTK's smoothing method1.

        exclude_self: the line is one of the reference lines, and is compared with the others alone.
        """
        if not line or (exclude_self and self._lengths.total() < 2):
            return [0.0] * self.order
        logs, unigram_matches = [], 0
        for n in range(1, self.order + 1):
            counts = ngrams(line, n)
            matches = sum(min(count, self._clip(gram, count, n, exclude_self)) for gram, count in counts.items())
            if n == 1:
                unigram_matches = matches
            logs.append(math.log((matches or EPSILON) / max(1, len(line) - n + 1)))
        if not unigram_matches:
            return [0.0] * self.order
        brevity = min(0.0, 1 - self._closest_length(len(line), exclude_self) / len(line))
        return [math.exp(brevity + sum(logs[:n]) / n) for n in range(1, self.order + 1)]

    def _clip(self, gram: tuple[str, ...], count: int, n: int, exclude_self: bool) -> int:
        """The highest count of the n-gram in a reference line, without the line itself where it is excluded."""
        known = self._counts[n - 1].get(gram, GramCount(0, 0, 0))
        only_holder = exclude_self and count == known.highest and known.holders == 1
        return known.second if only_holder else known.highest

    def _closest_length(self, length: int, exclude_self: bool) -> int:
        """The length of a reference line closest to a length; of two, the shorter."""
        if exclude_self and self._lengths[length] > 1:
            return length
        others = (other for other in self._lengths if not (exclude_self and other == length))
        return min(others, key=lambda other: (abs(other - length), other))


def _highest_counts(lines: Sequence[Tokens], n: int) -> dict[tuple[str, ...], GramCount]:
    found: dict[tuple[str, ...], GramCount] = {}
    for line in lines:
        for gram, count in ngrams(line, n).items():
            known = found.get(gram, GramCount(0, 0, 0))
            if count > known.highest:
                known = GramCount(count, 1, known.highest)
            elif count == known.highest:
                known = known._replace(holders=known.holders + 1)
            elif count > known.second:
                known = known._replace(second=count)
            found[gram] = known
    return found


def ngrams(line: Tokens, n: int) -> Counter[tuple[str, ...]]:
    """How often each n-gram occurs in a line."""
    return Counter(zip(*(line[i:] for i in range(n)), strict=False))


def bleus(lines: Iterable[Tokens], references: References, exclude_self: bool = False) -> np.ndarray:
    """BLEU-1, BLEU-2 ... of each line: [N,order]; exclude_self as in References.bleu."""
    return np.array([references.bleu(line, exclude_self) for line in lines])


def distinct(lines: Sequence[Tokens], n: int) -> float:
    """Number of different n-grams divided by that of all n-grams of the lines (Li 2015, arXiv:1510.03055).

    It falls with the number of lines; 0 where there are no n-grams.
    """
    counts = Counter(gram for line in lines for gram in zip(*(line[i:] for i in range(n)), strict=False))
    return len(counts) / counts.total() if counts else 0.0


def has_regular_metre(line: Tokens) -> bool:
    """Whether a line has two or more stretches between punctuation marks or spaces, all of one length."""
    marks = [i for i, token in enumerate(line) if token.isspace() or unicodedata.category(token[0])[0] == "P"]
    ends = [-1, *marks, len(line)]
    lengths = [b - a - 1 for a, b in pairwise(ends) if b - a > 1]
    return len(lengths) > 1 and len(set(lengths)) == 1


class TrainingLines:
    """Training lines, indexed by their bigrams: `line in training_lines`, and the most similar one."""

    def __init__(self, lines: Sequence[Tokens]) -> None:
        self._whole = {tuple(line) for line in lines}
        places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        bigrams = [set(_bigrams(line)) for line in lines]
        for i, held in enumerate(bigrams):
            for gram in held:
                places[gram].append(i)
        self._places = {gram: np.array(found, np.int64) for gram, found in places.items()}
        self._sizes = np.array([len(held) for held in bigrams], np.int64)

    def nearest(self, line: Tokens) -> tuple[int, float]:
        """(index, Dice similarity) of the most similar line: twice the shared bigrams over the bigrams of both.

        The ends of lines count as tokens. (0, 0.0) where no bigram is shared.
        """
        bigrams = set(_bigrams(line))
        found = [self._places[gram] for gram in bigrams if gram in self._places]
        if not found:
            return 0, 0.0
        shared = np.bincount(np.concatenate(found), minlength=len(self._sizes))
        dice = 2 * shared / (self._sizes + len(bigrams))
        best = int(dice.argmax())
        return best, float(dice[best])

    def __contains__(self, line: Tokens) -> bool:
        return tuple(line) in self._whole


def _bigrams(line: Tokens) -> Iterator[tuple[str, ...]]:
    return zip(["", *line], [*line, ""], strict=True)  # so that a line of one token has bigrams too


# -- as scores ---------------------------------------------------------------------------------------------------------


def reference_of(data: Any, n: int) -> Reference:
    """n lines of prepared data; its size is the number of tokens that lines are padded to."""
    return Reference(data.name, data.split, data.fingerprint, n, data.array.shape[1], 0)


def ngram_scores(
    generated: Sequence[Tokens],
    real: Sequence[Tokens],
    others: Sequence[Tokens],
    tokens: str,
    real_source: str,
    reference: Reference,
    seed: int,
) -> Iterator[Score]:
    """BLEU against real lines, self-BLEU and distinct-n: similarity and diversity, which trade off.

    others: real lines whose BLEU is given beside; they are none of `real`, or `real` itself where real_source is
    LEAVE_ONE_OUT. tokens: "words" or "characters"; of characters, also the regularity of the metre.
    """
    references = References(real)
    values = bleus(generated, references)
    of_real = bleus(others, references, exclude_self=real_source == LEAVE_ONE_OUT)
    for n in BLEU_ORDERS:
        yield Score(
            f"bleu-{n}", float(values[:, n - 1].mean()), "", "match",
            f"BLEU with up to {n}-grams of {tokens} of each line against all {len(real)} lines of the reference, "
            "uniform weights, NLTK smoothing method1, mean over lines (Texygen, Zhu 2018)",
            reference, len(generated), seed, float(of_real[:, n - 1].mean()), real_source, _error(values[:, n - 1]),
        )  # fmt: skip
    yield from _diversity_scores(generated, real, tokens, reference, seed)


def metre_score(generated: Sequence[Tokens], real: Sequence[Tokens], reference: Reference, seed: int) -> Score:
    """The share of lines of one metre, as Chinese verse has it; generated, real: the characters of each line."""
    few = min(len(generated), len(real))
    regular, of_real = (np.array([has_regular_metre(line) for line in x], float) for x in (generated, real[:few]))
    return Score(
        "regular metre", float(regular.mean()), "", "match",
        "share of lines with two or more stretches between punctuation marks or spaces, all of the same number of "
        "characters", reference, len(generated), seed, float(of_real.mean()), f"{few} lines of the reference",
        _error(regular),
    )  # fmt: skip


def without_meaning(real: Sequence[Tokens]) -> dict[str, str]:
    """Scores that say nothing of lines like these real ones: name -> why."""
    median = float(np.median([len(line) for line in real]))
    orders = sorted({*BLEU_ORDERS, *DISTINCT_ORDERS})
    return {
        f"{name}-{n}": f"half of the real lines have fewer than {n} tokens"
        for n in orders if n > median
        for name, known in (("bleu", BLEU_ORDERS), ("self-bleu", BLEU_ORDERS), ("distinct", DISTINCT_ORDERS))
        if n in known
    }  # fmt: skip


def _diversity_scores(
    generated: Sequence[Tokens], real: Sequence[Tokens], tokens: str, reference: Reference, seed: int
) -> Iterator[Score]:
    """Self-BLEU and distinct-n, both of equally many generated and real lines, since they depend on the number."""
    few = min(len(generated), len(real))
    some, real_lines = generated[:few], real[:few]
    real_source = f"{few} lines of the reference"
    values, of_real = (bleus(lines, References(lines), exclude_self=True) for lines in (some, real_lines))
    for n in BLEU_ORDERS:
        yield Score(
            f"self-bleu-{n}", float(values[:, n - 1].mean()), "", "match",
            f"BLEU with up to {n}-grams of {tokens} of each line against the other {few - 1} lines, uniform weights, "
            "NLTK smoothing method1, mean over lines; high where lines repeat one another",
            reference, few, seed, float(of_real[:, n - 1].mean()), real_source, _error(values[:, n - 1]),
        )  # fmt: skip
    for n in DISTINCT_ORDERS:
        yield Score(
            f"distinct-{n}", distinct(some, n), "", "match",
            f"number of different {n}-grams of {tokens} divided by that of all {n}-grams of {few} lines (Li 2015)",
            reference, few, seed, distinct(real_lines, n), real_source,
        )  # fmt: skip


def copying_scores(
    generated: Sequence[Tokens],
    train: Sequence[Tokens],
    unseen: Sequence[Tokens] | None,
    reference: Reference,
    seed: int,
) -> Iterator[Score]:
    """Share of lines that are training lines, and similarity to the nearest one.

    unseen: real lines that were not used in training, to compare with; None where there are none.
    """
    known = TrainingLines(train)

    def measure(lines: Sequence[Tokens]) -> tuple[np.ndarray, np.ndarray]:
        copied = np.array([line in known for line in lines], float)
        return copied, np.array([known.nearest(line)[1] for line in lines])

    values, of_real = measure(generated), measure(unseen) if unseen else (None, None)
    columns: tuple[tuple[str, Better, str], ...] = (
        ("exact-match rate", "lower", "share of lines that are identical, token by token, to a training line"),
        ("nn dice similarity", "match", "Dice similarity of the bigrams of a line and of the most similar training "
         "line, mean over lines"),
    )  # fmt: skip
    for (name, better, definition), value, beside in zip(columns, values, of_real, strict=True):
        yield Score(
            name, float(value.mean()), "", better, definition, reference, len(generated), seed,
            None if beside is None else float(beside.mean()), "" if beside is None else "lines of the reference",
            _error(value),
        )  # fmt: skip


def nll_gen_scores(nats: Tensor, counts: Tensor, data: Any, seed: int) -> Iterator[Score]:
    """NLL_gen from -log p [N] in nats of lines of the data, and their numbers of tokens [N], the end token included."""
    n, reference = len(nats), reference_of(data, len(nats))
    vocabulary = max(len(data.facts.get("vocab", ())), data.facts.get("vocab_size", 0), 2)
    tokens = f"{data.facts.get('tokenizer', 'oracle')} tokens"
    definition = (
        f"-log of the generator's probability of each line of the reference, its end included, in {tokens}, "
        f"vocabulary of {vocabulary}, <unk> for others"
    )
    baseline_name = f"all {vocabulary} tokens equally likely"
    per_token = float(nats.sum() / counts.sum())
    error = float((nats - per_token * counts).std() / n**0.5 / counts.mean()) if n > 1 else None  # of a ratio
    yield Score(
        "nll-gen", per_token, "nats/token", "lower", f"{definition}; sum over lines divided by the number of tokens "
        "(Yu 2016, section 5.1, as the authors' code prints it)", reference, n, seed, std_error=error,
        group="likelihood", baseline=math.log(vocabulary), baseline_name=baseline_name,
    )  # fmt: skip
    yield Score(
        "nll-gen per line", float(nats.mean()), "nats", "lower", f"{definition}; mean over lines", reference, n, seed,
        std_error=_error(nats.numpy()), group="likelihood", baseline=float(counts.mean()) * math.log(vocabulary),
        baseline_name=baseline_name,
    )  # fmt: skip


def nll_oracle_score(generated: Tensor, real: Tensor, data: Any, seed: int) -> Score:
    """NLL_oracle, from -log p [N,T] under the oracle of generated sequences and of its own."""
    values = generated.mean(1).numpy()
    return Score(
        "nll-oracle", float(values.mean()), "nats/token", "match",
        f"-log of the oracle's probability of generated sequences of {generated.shape[1]} tokens, mean over tokens "
        "(Yu 2016, eq. 10, as the authors' code prints it); a low temperature lowers it too, and diversity with it",
        reference_of(data, len(real)), len(generated), seed, float(real.mean()),
        f"{len(real)} sequences drawn by the oracle", _error(values), group="likelihood",
    )  # fmt: skip


def _error(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
