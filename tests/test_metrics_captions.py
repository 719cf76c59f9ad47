"""Scores of paragraphs: equal to aac-metrics (CIDEr-D), sacrebleu and NLTK (BLEU), and to what is counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.metrics.captions import (
    caption_scores,
    caption_words,
    cider_d,
    corpus_bleu,
    length_ratio,
    repetition,
    text_scores,
)

PAIRS = [
    ("A brown dog runs across the green grass.",
     ["A dog is running on the grass.", "The brown dog runs across a field."]),
    ("Two men in red shirts play football on a field.",
     ["Two men play football.", "Men in red shirts are playing a game of football on a field."]),
    ("a child", ["A small child smiles.", "A child in a blue coat is laughing."]),
    ("A woman is sitting at a table with a cup of tea, and a cat sleeps beside her on the chair near the window.",
     ["A woman sits at a table.", "A cat sleeps on a chair beside a woman with a cup of tea."]),
    ("一只狗在草地上跑。", ["一只狗在跑。", "草地上有一只狗。"]),
]  # fmt: skip
CIDER_D = [3.0083222701048955, 2.912729073541103, 1.332339258743066, 0.4630966477821321, 4.565779769141323]
"""of aac-metrics 0.6, cider_d(candidates, references) of these words"""
BLEU = [0.8269230769230771, 0.6763481415000997, 0.5342441587390535, 0.39390976788375787]
"""of sacrebleu 2.6, BLEU(smooth_method="none", tokenize="none", max_ngram_order=n) / 100 of these words"""
CAPTIONS = [  # five captions of three photos of Flickr8k
    ["A child in a pink dress is climbing up a set of stairs in an entry way .",
     "A girl going into a wooden building .",
     "A little girl climbing into a wooden playhouse .", "A little girl climbing the stairs to her playhouse .",
     "A little girl in a pink dress going into a wooden cabin ."],
    ["A black dog and a spotted dog are fighting",
     "A black dog and a tri-colored dog playing with each other on the road .",
     "A black dog and a white dog with brown spots are staring at each other in the street .",
     "Two dogs of different breeds looking at each other on the road .",
     "Two dogs on pavement moving toward each other ."],
    ["A little girl covered in paint sits in front of a painted rainbow with her hands in a bowl .",
     "A little girl is sitting in front of a large painted rainbow .",
     "A small girl in the grass plays with fingerpaints in front of a white canvas with a rainbow on it .",
     "There is a girl with pigtails sitting in front of a rainbow painting .",
     "Young girl with pigtails painting outside in the grass ."],
]  # fmt: skip
CAPTIONS_CIDER_D = [0.43120055613054176, 0.9886602955136405, 1.0072373724914765]


def rows(texts: list[str]) -> list[list[str]]:
    return [caption_words(text) for text in texts]


CANDIDATES, REFERENCES = rows([one for one, _ in PAIRS]), [rows(others) for _, others in PAIRS]


def test_words_are_what_people_count() -> None:
    assert caption_words('A man\'s red-hot "1,000" dog, asleep!') == ["a", "man's", "red-hot", "1,000", "dog", "asleep"]
    assert caption_words("一只狗。") == ["一", "只", "狗"]


def test_cider_d_equals_that_of_aac_metrics() -> None:
    assert cider_d(CANDIDATES, REFERENCES) == pytest.approx(CIDER_D, rel=1e-12)
    own = cider_d(rows([one for one, *_ in CAPTIONS]), [rows(others) for _, *others in CAPTIONS])
    assert own == pytest.approx(CAPTIONS_CIDER_D, rel=1e-12)


def test_bleu_equals_that_of_sacrebleu_and_nltk() -> None:
    from nltk.translate.bleu_score import corpus_bleu as nltk_bleu

    assert corpus_bleu(CANDIDATES, REFERENCES) == pytest.approx(BLEU, rel=1e-12)
    long = [i for i, row in enumerate(CANDIDATES) if len(row) > 3]  # NLTK counts n-grams that shorter ones do not have
    candidates, references = [CANDIDATES[i] for i in long], [REFERENCES[i] for i in long]
    for n, value in enumerate(corpus_bleu(candidates, references), 1):
        assert nltk_bleu(references, candidates, weights=[1 / n] * n) == pytest.approx(value, rel=1e-12)


def test_bleu_without_a_match_is_0() -> None:
    assert corpus_bleu([["a"], ["b"]], [[["c"]], [["d"]]]) == [0, 0, 0, 0]
    assert corpus_bleu([["a"], ["b"]], [[["a"]], [["b"]]])[:2] == [1, 0]
    assert corpus_bleu([[], []], [[["c"]], [["d"]]]) == [0, 0, 0, 0]


def test_a_caption_equal_to_its_only_reference_has_10() -> None:
    same = [[row] for row in CANDIDATES]
    longer = [row for row in CANDIDATES if len(row) > 3]
    assert cider_d(longer, [[row] for row in longer]) == pytest.approx([10] * len(longer))
    assert length_ratio(CANDIDATES, same) == 1


def test_the_penalty_for_length_is_gaussian() -> None:
    """Words that all images have weigh nothing, and change the length alone: times .61 at 6 of them, .14 at 12."""
    references = [[["a"], ["z"]], [["b"], ["z"]]]
    alone = cider_d([["a"], ["b"]], references)[0]
    assert alone == pytest.approx(10 / 4 / 2)  # of n = 1 to 4 only one counts, and of two references one
    for more, factor in ((6, 0.6065), (12, 0.1353)):
        assert cider_d([["a", *["z"] * more], ["b"]], references)[0] / alone == pytest.approx(factor, abs=1e-4)


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), min_size=2, max_size=6))
@settings(max_examples=60, deadline=None)
def test_scores_stay_in_their_ranges(texts: list[list[str]]) -> None:
    references = [[row, texts[0]] for row in texts[::-1]]
    values = cider_d(texts, references)
    assert (values >= 0).all()
    assert (values <= 10 + 1e-9).all()
    bleu = corpus_bleu(texts, references)
    assert all(0 <= value <= 1 + 1e-9 for value in bleu)
    assert bleu == sorted(bleu, reverse=True) or bleu[0] > 0


def test_repetition_is_of_sentences_with_earlier_ones() -> None:
    assert repetition([["a", "b", "c", "d"]]) == 0
    assert repetition([["a", "b", "c"], ["a", "b", "c"]]) == 0.5
    assert repetition([["a", "b", "c", "d"], ["x", "b", "c", "d"]]) == 0.25
    assert repetition([["a"], ["a"]]) == repetition([]) == 0


def test_all_scores_of_some_paragraphs() -> None:
    texts = ["A dog runs here. A dog runs here.", "A cat sleeps."]
    scores = caption_scores(texts, [["A dog runs here."], ["A cat sleeps.", "The cat sleeps now."]])
    assert list(scores) == [
        "cider-d", "length ratio", "bleu-1", "bleu-2", "bleu-3", "bleu-4", "repetition", "distinct-1", "distinct-2",
        "distinct-3",
    ]  # fmt: skip
    assert scores["length ratio"] == pytest.approx(11 / (4 + 3.5))
    assert scores["repetition"] == pytest.approx(0.25)  # half of the first, nothing of the second
    assert scores["distinct-1"] == pytest.approx(6 / 11)
    assert text_scores([]) == {"repetition": 0, "distinct-1": 0, "distinct-2": 0, "distinct-3": 0}


@pytest.mark.parametrize("candidates", [[], ["A dog."], ["A dog.", "A cat.", "A cow."]])
def test_other_numbers_of_references_are_refused(candidates: list[str]) -> None:
    with pytest.raises(ValueError, match="give two or more candidates"):
        caption_scores(candidates, [["A dog."], ["A cat."]][: max(1, len(candidates))])


def test_an_image_without_a_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="one reference or more"):
        cider_d(CANDIDATES, [[], *REFERENCES[1:]])
    assert np.isfinite(cider_d([[], ["a"]], [[["a"]], [["b"]]])).all()
