"""Metrics of text: BLEU equals NLTK's, and the others equal counts by hand."""

from __future__ import annotations

import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.metrics.text import (
    References,
    TrainingLines,
    bleus,
    copying_scores,
    distinct,
    metre_score,
    ngram_scores,
    nll_gen_scores,
    reference_of,
    without_meaning,
)

LINES = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=9), min_size=2, max_size=8)


def nltk_bleu(line: list[str], references: list[list[str]], order: int) -> float:
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    return float(
        bleu.sentence_bleu(
            references, line, weights=[1 / order] * order, smoothing_function=bleu.SmoothingFunction().method1
        )
    )


@given(LINES, LINES)
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_bleu_equals_nltk_with_method1(references: list[list[str]], generated: list[list[str]]) -> None:
    values = bleus(generated, References(references))
    for line, row in zip(generated, values, strict=True):
        for order in (1, 2, 3, 4, 5):
            assert row[order - 1] == pytest.approx(nltk_bleu(line, references, order), abs=1e-9), (line, order)


@given(LINES)
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_self_bleu_excludes_the_line_itself(lines: list[list[str]]) -> None:
    values = bleus(lines, References(lines), exclude_self=True)
    for i, row in enumerate(values):
        others = lines[:i] + lines[i + 1 :]
        for order in (2, 3, 4, 5):
            assert row[order - 1] == pytest.approx(nltk_bleu(lines[i], others, order), abs=1e-9), (i, order)


def test_bleu_of_thousands_of_lines_takes_seconds() -> None:
    import time

    draw = random.Random(0)
    lines = [[str(int(draw.paretovariate(1)) % 500) for _ in range(12)] for _ in range(3000)]
    began = time.monotonic()
    values = bleus(lines[:1000], References(lines[1000:]))
    assert time.monotonic() - began < 20
    assert 0 < values[:, 4].mean() < values[:, 1].mean() < 1


def test_distinct_counts_different_n_grams() -> None:
    lines = [["a", "b", "a"], ["a", "b"]]
    assert distinct(lines, 1) == 2 / 5
    assert distinct(lines, 2) == 2 / 3
    assert distinct(lines, 3) == 1
    assert distinct(lines, 4) == 0


def test_the_nearest_line_has_the_highest_dice_similarity_of_bigrams() -> None:
    train = [["a", "b", "c"], ["a", "b", "d", "e"], ["x"]]
    known = TrainingLines(train)
    assert known.nearest(["a", "b", "c"]) == (0, 1.0)
    # bigrams with the ends: (,a) (a,b) (b,d) (d,) of 4; line 1 has 5, of which 3 are shared
    assert known.nearest(["a", "b", "d"]) == (1, pytest.approx(2 * 3 / 9))
    assert known.nearest(["q"]) == (0, 0.0)
    assert ["x"] in known
    assert ["a", "b"] not in known


def dataset(n: int = 4, length: int = 5, **facts: object) -> SimpleNamespace:
    return SimpleNamespace(
        name="x", split="test", fingerprint="0" * 16, array=np.zeros((n, length)), facts={"vocab": ("a",) * 8, **facts}
    )


def test_ngram_and_copying_scores_by_hand() -> None:
    real = [["a", "b", "c"], ["b", "c", "d"], ["a", "c"], ["d", "a", "b", "c"]]
    reference = reference_of(dataset(), len(real))
    found = {s.name: s for s in ngram_scores(real[:2], real, real[2:], "words", "training lines", reference, 0)}
    assert {f"bleu-{n}" for n in (2, 3, 4, 5)} <= set(found)
    assert found["bleu-2"].value == pytest.approx(1)  # lines of the reference themselves
    assert found["bleu-2"].real == pytest.approx(bleus(real[2:], References(real))[:, 1].mean())
    assert found["self-bleu-2"].value == pytest.approx(
        bleus(real[:2], References(real[:2]), exclude_self=True)[:, 1].mean()
    )
    assert found["distinct-1"].value == 4 / 6
    assert all(s.definition and s.yardstick is not None and s.yardstick_source for s in found.values())

    copies = {s.name: s for s in copying_scores([real[0], ["z"]], real, None, reference, 0)}
    assert copies["exact-match rate"].value == 0.5
    assert copies["exact-match rate"].real is None
    assert copies["nn dice similarity"].value == pytest.approx(0.5)
    floors = {s.name: s for s in copying_scores([real[0]], real[:1], real[1:], reference, 0)}
    assert floors["exact-match rate"].real == 0


def test_diversity_is_compared_at_equal_numbers_of_lines() -> None:
    """More lines hold fewer new n-grams: against a small reference, lines like it would look collapsed."""
    draw = random.Random(0)
    lines = [[draw.choice("abcdefgh") for _ in range(6)] for _ in range(300)]
    real, reference = lines[:30], reference_of(dataset(30), 30)
    few, many = (
        {s.name: s for s in ngram_scores(generated, real, real, "characters", "training lines", reference, 0)}
        for generated in (lines[30:60], lines[30:])
    )
    for name in (*(f"self-bleu-{n}" for n in (2, 3, 4, 5)), *(f"distinct-{n}" for n in (1, 2, 3))):
        assert many[name] == few[name], name
        assert many[name].n == 30
        assert many[name].value == pytest.approx(many[name].real, abs=0.1), name
    assert "the other 29 lines" in many["self-bleu-2"].definition
    assert many["bleu-2"].n == 270  # means over lines take all of them


def test_metre_is_of_stretches_between_marks_or_spaces() -> None:
    verse, spaced, prose = (list(line) for line in ("明月照空，清风入竹。", "明月照空 清风入竹", "明月照，清风入竹。"))
    score = metre_score([verse, prose, prose], [verse, spaced, prose], reference_of(dataset(3), 3), 0)
    assert (score.value, score.real) == (1 / 3, 2 / 3)


def test_scores_that_say_nothing_of_short_lines_are_named() -> None:
    assert without_meaning([["a", "b"]] * 3 + [list("abcdefg")] * 2).keys() == {
        "bleu-3", "bleu-4", "bleu-5", "self-bleu-3", "self-bleu-4", "self-bleu-5", "distinct-3",
    }  # fmt: skip
    assert not without_meaning([list("abcde")])


def test_nll_gen_is_a_mean_over_tokens_and_one_over_lines() -> None:
    nats, counts = torch.tensor([4.0, 9.0]).double(), torch.tensor([2.0, 3.0]).double()
    token, line = nll_gen_scores(nats, counts, dataset(), 0)
    assert (token.value, line.value) == (pytest.approx(13 / 5), pytest.approx(6.5))
    assert token.baseline == pytest.approx(math.log(8))
    assert line.baseline == pytest.approx(2.5 * math.log(8))
    assert token.unit == "nats/token"
