"""Scores of lines of text: BLEU as Texygen takes it, variety, copying, and likelihoods in nats.

N lines, each a sequence of tokens; an n-gram is a tuple of n of them. Nothing here is drawn at random.
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
ORDERS = (2, 3, 4, 5)
"""of BLEU, as in Texygen's tables"""
EPSILON = 0.1
"""what NLTK's method1 puts in place of no n-gram at all that is right (Chen & Cherry 2014, method 1)"""
GRAMS = (1, 2, 3)
"""of distinct-n"""


class Most(NamedTuple):
    """Of an n-gram, over many lines: how often it comes in a line at most, in how many so often, and the next below."""

    best: int
    holders: int
    second: int


class References:
    """Lines that others are held against, counted once."""

    def __init__(self, lines: Sequence[Tokens], order: int = ORDERS[-1]) -> None:
        self.order = order
        self._most: list[dict[tuple[str, ...], Most]] = []
        for n in range(1, order + 1):
            most: dict[tuple[str, ...], Most] = {}
            for line in lines:
                for gram, count in grams(line, n).items():
                    held = most.get(gram, Most(0, 0, 0))
                    if count > held.best:
                        held = Most(count, 1, held.best)
                    elif count == held.best:
                        held = held._replace(holders=held.holders + 1)
                    elif count > held.second:
                        held = held._replace(second=count)
                    most[gram] = held
            self._most.append(most)
        self._lengths = Counter(map(len, lines))

    def bleu(self, line: Tokens, own: bool = False) -> list[float]:
        """BLEU-1, BLEU-2 ... of a line against all of these, uniform weights, NLTK's smoothing method1.

        own: the line is one of these, and is held against the others alone.
        """
        if not line or (own and self._lengths.total() < 2):
            return [0.0] * self.order
        logs, first_right = [], 0
        for n in range(1, self.order + 1):
            counts = grams(line, n)
            right = sum(min(count, self._ceiling(gram, count, n, own)) for gram, count in counts.items())
            if n == 1:
                first_right = right
            logs.append(math.log((right or EPSILON) / max(1, len(line) - n + 1)))
        if not first_right:
            return [0.0] * self.order
        penalty = min(0.0, 1 - self._nearest_length(len(line), own) / len(line))
        return [math.exp(penalty + sum(logs[:n]) / n) for n in range(1, self.order + 1)]

    def _ceiling(self, gram: tuple[str, ...], count: int, n: int, own: bool) -> int:
        """How often the n-gram comes at most in a line of these, or of the others."""
        held = self._most[n - 1].get(gram, Most(0, 0, 0))
        return held.second if own and count == held.best and held.holders == 1 else held.best

    def _nearest_length(self, length: int, own: bool) -> int:
        """The length of a line of these nearest to a length; of two, the shorter."""
        if own and self._lengths[length] > 1:
            return length
        others = (other for other in self._lengths if not (own and other == length))
        return min(others, key=lambda other: (abs(other - length), other))


def grams(line: Tokens, n: int) -> Counter[tuple[str, ...]]:
    """How often each n-gram comes in a line."""
    return Counter(zip(*(line[i:] for i in range(n)), strict=False))


def bleus(lines: Iterable[Tokens], references: References, own: bool = False) -> np.ndarray:
    """BLEU-1, BLEU-2 ... of each line: [N,order]."""
    return np.array([references.bleu(line, own) for line in lines])


def distinct(lines: Sequence[Tokens], n: int) -> float:
    """Different n-grams among all n-grams of the lines (Li 2015, arXiv:1510.03055); falls with the number of lines."""
    counts = Counter(gram for line in lines for gram in zip(*(line[i:] for i in range(n)), strict=False))
    return len(counts) / counts.total() if counts else 0.0


def even(line: Tokens) -> bool:
    """Whether a line's stretches between marks of punctuation, two or more, are all of one length."""
    marks = [i for i, token in enumerate(line) if unicodedata.category(token[0])[0] == "P"]
    ends = [-1, *marks, len(line)]
    lengths = [b - a - 1 for a, b in pairwise(ends) if b - a > 1]
    return len(lengths) > 1 and len(set(lengths)) == 1


class Known:
    """Training lines, to look up what is near to them."""

    def __init__(self, lines: Sequence[Tokens]) -> None:
        self.whole = {tuple(line) for line in lines}
        places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        pairs = [set(_pairs(line)) for line in lines]
        for i, held in enumerate(pairs):
            for gram in held:
                places[gram].append(i)
        self._places = {gram: np.array(found, np.int64) for gram, found in places.items()}
        self._sizes = np.array([len(held) for held in pairs], np.int64)

    def nearest(self, line: Tokens) -> tuple[int, float]:
        """The line most like another and how much: twice the shared bigrams over those of both (Dice), ends marked."""
        own = set(_pairs(line))
        found = [self._places[gram] for gram in own if gram in self._places]
        if not found:
            return 0, 0.0
        shared = np.bincount(np.concatenate(found), minlength=len(self._sizes))
        alike = 2 * shared / (self._sizes + len(own))
        best = int(alike.argmax())
        return best, float(alike[best])

    def __contains__(self, line: Tokens) -> bool:
        return tuple(line) in self.whole


def _pairs(line: Tokens) -> Iterator[tuple[str, ...]]:
    return zip(["", *line], [*line, ""], strict=True)  # so that a line of one token has bigrams too


# -- as scores ---------------------------------------------------------------------------------------------------------


def reference_of(data: Any, n: int) -> Reference:
    """n lines of prepared data."""
    return Reference(data.name, data.split, data.fingerprint, n, data.array.shape[1], 0)


def likeness_scores(
    made: Sequence[Tokens], real: Sequence[Tokens], others: Sequence[Tokens], what: str, others_are: str,
    reference: Reference, seed: int,
) -> Iterator[Score]:  # fmt: skip
    """BLEU against real lines and among themselves, and distinct-n: likeness and variety, which trade for each other.

    others: real lines that are none of `real`, for the floor of BLEU; what: "words", "characters".
    """
    held = References(real)
    values, floors = bleus(made, held), bleus(others, held, own=others_are == OWN)
    for n in ORDERS:
        yield Score(
            f"bleu-{n}", float(values[:, n - 1].mean()), "", "match",
            f"BLEU of up to {n}-grams of {what} of each line against all {len(real)} lines of the reference, uniform "
            "weights, smoothing NLTK method1, mean over lines (Texygen, Zhu 2018)",
            reference, len(made), seed, float(floors[:, n - 1].mean()), others_are, _error(values[:, n - 1]),
        )  # fmt: skip
    few = min(len(made), len(real))  # both figures depend on how many lines there are
    some, alike = made[:few], real[:few]
    values, floors = (bleus(lines, References(lines), own=True) for lines in (some, alike))
    for n in ORDERS:
        yield Score(
            f"self-bleu-{n}", float(values[:, n - 1].mean()), "", "match",
            f"BLEU of up to {n}-grams of {what} of each line against the other {few - 1} lines, itself left out, "
            "uniform weights, smoothing NLTK method1, mean over lines; high where lines repeat one another",
            reference, few, seed, float(floors[:, n - 1].mean()), f"{few} lines of the reference",
            _error(values[:, n - 1]),
        )  # fmt: skip
    for n in GRAMS:
        yield Score(
            f"distinct-{n}", distinct(some, n), "", "match",
            f"different {n}-grams of {what} among all {n}-grams of {few} lines (Li 2015)",
            reference, few, seed, distinct(alike, n), f"{few} lines of the reference",
        )  # fmt: skip
    if what == "characters":
        values, floors = (np.array([even(line) for line in lines], float) for lines in (made, alike))
        yield Score(
            "metre", float(values.mean()), "", "match",
            "share of lines whose stretches between marks of punctuation, two or more, all have as many characters",
            reference, len(made), seed, float(floors.mean()), f"{few} lines of the reference", _error(values),
        )  # fmt: skip


OWN = "lines of the reference, each against the others"
"""the floor of BLEU where there are no other real lines"""


def copying_scores(
    made: Sequence[Tokens], train: Sequence[Tokens], unseen: Sequence[Tokens] | None, reference: Reference, seed: int
) -> Iterator[Score]:
    """Share of lines that are training lines, and likeness to the nearest; unseen: real lines that are not learnt."""
    known = Known(train)

    def told(lines: Sequence[Tokens]) -> tuple[np.ndarray, np.ndarray]:
        found = [(line in known, known.nearest(line)[1]) for line in lines]
        return np.array([copy for copy, _ in found], float), np.array([alike for _, alike in found])

    values, floors = told(made), told(unseen) if unseen else (None, None)
    named: tuple[tuple[str, Better, str], ...] = (
        ("copied lines", "lower", "share of lines that are lines of the training set, token by token"),
        ("nearest training line", "match", "bigrams shared with the training line most like it, as a share of "
         "those of both (Dice), mean over lines"),
    )  # fmt: skip
    for (name, better, definition), value, floor in zip(named, values, floors, strict=True):
        yield Score(
            name, float(value.mean()), "", better, definition, reference, len(made), seed,
            None if floor is None else float(floor.mean()), "" if floor is None else "lines of the reference",
            _error(value),
        )  # fmt: skip


def gen_scores(nats: Tensor, counts: Tensor, data: Any, seed: int) -> Iterator[Score]:
    """NLL_gen from -log p [N] of lines of the data and their numbers of tokens [N] (an end counts as one)."""
    n, reference = len(nats), reference_of(data, len(nats))
    words = max(len(data.facts.get("vocab", ())), data.facts.get("vocab_size", 0), 2)
    what = (
        f"-log of the generator's probability of each line of the reference, its end included, by "
        f"{data.facts.get('tokenizer', 'number')} of {words}, <unk> for others"
    )
    per_token = float(nats.sum() / counts.sum())
    deviation = float((nats - per_token * counts).std() / n**0.5 / counts.mean()) if n > 1 else None  # of a ratio
    yield Score(
        "nll gen", per_token, "nats/token", "lower", f"{what}, sum over sum of tokens (Yu 2016, section 5.1, as its "
        "authors print it)", reference, n, seed, math.log(words), f"all of {words} words equally likely", deviation,
        group="likelihood",
    )  # fmt: skip
    yield Score(
        "nll gen per line", float(nats.mean()), "nats", "lower", f"{what}, mean over lines", reference, n, seed,
        float(counts.mean()) * math.log(words), f"all of {words} words equally likely", _error(nats.numpy()),
        group="likelihood",
    )  # fmt: skip


def oracle_score(made: Tensor, real: Tensor, data: Any, seed: int) -> Score:
    """NLL_oracle: what written sequences cost the oracle, from -log p [N,T] of those and of its own."""
    values = made.mean(1).numpy()
    return Score(
        "nll oracle", float(values.mean()), "nats/token", "match",
        f"-log of the oracle's probability of written sequences of {made.shape[1]} tokens, mean over tokens (Yu 2016, "
        "eq. 10, as its authors print it); low temperature lowers it too, and variety with it",
        reference_of(data, len(real)), len(made), seed, float(real.mean()), f"{len(real)} sequences it drew itself",
        _error(values), group="likelihood",
    )  # fmt: skip


def _error(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
