"""Which lines are held out for evaluation, by a hash of each, and which lines of two splits are the same, or nearly.

Lines that are the same but for case, punctuation and spaces share a hash, so that they stand in one split together.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from reverie.data.text.scripts import combining_marks

HELD_OUT = 0.1
"""share of the lines that is held out for evaluation by default"""
LEAST = 100
"""lines that are held out at least"""
MOST = 0.2
"""share that is held out at most to reach LEAST; smaller sets are learnt from as a whole"""
SEARCHED = 2_000
"""lines of a split that near-duplicates in train are searched for, at most"""
MOST_TRAIN = 100_000
"""training lines that they are searched for in, at most"""
COMPARED = 100
"""tokens of a line that are compared"""
ALIKE = 10
"""tokens from which on lines that differ in one of them are near-duplicates"""


def line_key(line: str) -> str:
    """What lines share that differ in nothing but case, punctuation, spaces and forms of letters."""
    return _signs().sub("", unicodedata.normalize("NFKC", line).casefold()) or line


@cache
def _signs() -> re.Pattern[str]:
    return re.compile(f"[^\\w{combining_marks()}]+|_")


def held_out(lines: Sequence[str], share: float) -> list[bool]:
    """Whether each line is held out: those whose keys have the lowest hashes, `share` of the different ones.

    Of a small set up to MOST of them, so that LEAST are left to score with; none if that is too few.
    """
    keys = [line_key(line) for line in lines]
    different = set(keys)
    count = max(round(share * len(different)), LEAST) if share else 0
    if count > max(MOST, share) * len(different):
        return [False] * len(lines)
    ranked = sorted(different, key=lambda key: hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest())
    chosen = set(ranked[:count])
    return [key in chosen for key in keys]


def leaked(lines: Sequence[str], train: Sequence[str]) -> list[bool]:
    """Whether each line is also a training line, but for case, punctuation and spaces."""
    known = {line_key(line) for line in train}
    return [line_key(line) in known for line in lines]


def near_duplicates(rows: Sequence[Sequence[str]], train: Sequence[Sequence[str]]) -> tuple[int, int]:
    """(lines that differ from a training line in at most one token, lines looked at).

    Only lines of ALIKE tokens or more can be near-duplicates, and of long ones the first COMPARED tokens count.
    rows, train: the tokens of each line; at most SEARCHED and MOST_TRAIN of them are looked at, spread evenly.
    """
    looked, against = _spread(rows, SEARCHED), _spread(train, MOST_TRAIN)
    searched: dict[int, set[int]] = {}
    for i, row in enumerate(looked):
        for key in _without_one(row) if len(row) >= ALIKE else ():
            searched.setdefault(key, set()).add(i)
    found: set[int] = set()
    for row in against if searched else ():
        for key in _without_one(row) if len(row) >= ALIKE - 1 else ():
            found |= searched.get(key, set())
    return len(found), len(looked)


def _spread(rows: Sequence[Sequence[str]], most: int) -> list[tuple[str, ...]]:
    return [tuple(row[:COMPARED]) for row in rows[:: max(1, -(-len(rows) // most))]]


def _without_one(row: tuple[str, ...]) -> list[int]:
    """Hashes of a line and of it without each one of its tokens; lines that differ in one token share one of them."""
    return [hash(row), *(hash(row[:k] + row[k + 1 :]) for k in range(len(row)))]
