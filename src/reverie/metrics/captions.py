"""Scores of paragraphs that describe images, against those that people wrote: CIDEr-D, BLEU, repetition, diversity.

N images; a candidate is one paragraph, its references are one or more. Words are in lower case, without punctuation; in
scripts that set no spaces between words each character is one. Nothing is drawn at random.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from reverie.data.text.sentences import split_sentences, words_of
from reverie.metrics.text import Tokens, distinct, ngrams

ORDER = 4
"""words of an n-gram at most, of CIDEr-D and BLEU"""
SIGMA = 6.0
"""words, of the Gaussian by which CIDEr-D takes off for another length than the reference's"""
SCALE = 10.0
"""of CIDEr-D, as everybody gives it"""
REPEATED = 3
"""words of the n-grams that repetition is measured by"""
DISTINCT_ORDERS = (1, 2, 3)

NGram = tuple[str, ...]


def caption_words(text: str) -> list[str]:
    """The words of a text that count, without signs of punctuation.

    >>> caption_words("A man's dog, asleep.")
    ['a', "man's", 'dog', 'asleep']
    """
    return [word for word in words_of(text) if any(map(str.isalnum, word))]


def caption_scores(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """All scores of N candidates, of which each has one reference or more; N is 2 or more.

    "cider-d" 0 to 10; "length ratio", words of the candidates over those of their references (the mean of each's), on
    either side of 1 of which CIDEr-D falls; "bleu-1" to "bleu-4" of the corpus, 0 to 1; "repetition", 0 to 1;
    "distinct-1" to "distinct-3", 0 to 1, which fall with N.

    Raises ValueError for fewer than two candidates, or other numbers of them and of references.
    """
    _check(candidates, references)
    rows = [caption_words(text) for text in candidates]
    reference_rows = [[caption_words(text) for text in texts] for texts in references]
    scores = {
        "cider-d": float(cider_d(rows, reference_rows).mean()),
        "length ratio": length_ratio(rows, reference_rows),
    }
    scores |= {f"bleu-{n}": value for n, value in enumerate(corpus_bleu(rows, reference_rows), 1)}
    return scores | text_scores(candidates)


def text_scores(paragraphs: Sequence[str]) -> dict[str, float]:
    """ "repetition" and "distinct-1" to "distinct-3" of paragraphs, for which nothing is compared with."""
    rows = [[caption_words(sentence) for sentence in split_sentences(text)] for text in paragraphs]
    sentences = [words for paragraph in rows for words in paragraph]
    repeated = float(np.mean([repetition(paragraph) for paragraph in rows])) if rows else 0.0
    return {"repetition": repeated, **{f"distinct-{n}": distinct(sentences, n) for n in DISTINCT_ORDERS}}


def cider_d(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> np.ndarray:
    """CIDEr-D of each of N candidates, float64 [N], 0 to 10 (Vedantam 2015, arXiv:1411.5726, section 5).

    Cosine similarity of the tf-idf weights of n-grams, n = 1 to 4, in which the candidate's weights are clipped at the
    reference's, times exp(-d^2 / (2 * 6^2)) for d words of difference in length; mean over n and over the references.
    The document frequency of an n-gram is the number of images whose references have it.
    """
    _check(candidates, references)
    frequency = Counter(gram for rows in references for gram in set().union(*map(_counts, rows)))
    log_images = math.log(len(references))

    def weights(words: Tokens) -> tuple[dict[NGram, float], np.ndarray]:
        """tf-idf by n-gram, and its norm for each n (eq. 1)."""
        found = {gram: n * (log_images - math.log(max(1, frequency[gram]))) for gram, n in _counts(words).items()}
        squares = np.zeros(ORDER)
        for gram, weight in found.items():
            squares[len(gram) - 1] += weight**2
        return found, np.sqrt(squares)

    def similarity(words: Tokens, reference: Tokens) -> float:
        """CIDEr-D of a candidate and one reference (eq. 4)."""
        (own, own_norm), (other, other_norm) = weights(words), weights(reference)
        products = np.zeros(ORDER)
        for gram in own.keys() & other.keys():
            products[len(gram) - 1] += min(own[gram], other[gram]) * other[gram]
        norms = own_norm * other_norm
        cosines = np.divide(products, norms, out=np.zeros(ORDER), where=norms > 0)
        return SCALE * float(cosines.mean()) * math.exp(-((len(words) - len(reference)) ** 2) / (2 * SIGMA**2))

    scores = [
        np.mean([similarity(words, reference) for reference in rows])
        for words, rows in zip(candidates, references, strict=True)
    ]
    return np.array(scores)


def corpus_bleu(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> list[float]:
    """BLEU-1 to BLEU-4 of a corpus, each 0 to 1 (Papineni 2002): sacrebleu's with no smoothing, on these words.

    The brevity penalty is by the reference of the closest length, of two the shorter.
    """
    matches, totals, own, closest = np.zeros(ORDER), np.zeros(ORDER), 0, 0
    for words, rows in zip(candidates, references, strict=True):
        own += len(words)
        closest += min(map(len, rows), key=lambda length: (abs(length - len(words)), length))
        most = Counter[NGram]()
        for reference in rows:
            most |= _counts(reference)
        for gram, count in _counts(words).items():
            matches[len(gram) - 1] += min(count, most[gram])
            totals[len(gram) - 1] += count
    if not matches[0]:
        return [0.0] * ORDER
    brevity = min(0.0, 1 - closest / own)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(matches > 0, np.log(matches / totals), -np.inf)
    return [float(np.exp(brevity + logs[:n].mean())) for n in range(1, ORDER + 1)]


def length_ratio(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> float:
    """Words of the candidates divided by those of their references, of several the mean."""
    return sum(map(len, candidates)) / max(1e-9, sum(float(np.mean([*map(len, rows)])) for rows in references))


def repetition(sentences: Sequence[Tokens]) -> float:
    """The share of the n-grams of three words of a paragraph's sentences that an earlier sentence has too."""
    seen, repeated, total = set[NGram](), 0, 0
    for words in sentences:
        grams = ngrams(words, REPEATED)
        repeated += sum(count for gram, count in grams.items() if gram in seen)
        total += grams.total()
        seen.update(grams)
    return repeated / total if total else 0.0


def _counts(words: Tokens) -> Counter[NGram]:
    """How often each n-gram of up to ORDER words occurs."""
    counts = Counter[NGram]()
    for n in range(1, ORDER + 1):
        counts.update(ngrams(words, n))
    return counts


def _check(candidates: Sequence[object], references: Sequence[Sequence[object]]) -> None:
    if len(candidates) != len(references) or len(candidates) < 2 or not all(references):
        raise ValueError(
            f"{len(candidates)} candidates and {len(references)} lists of references; give two or more candidates, and "
            "one reference or more for each."
        )
