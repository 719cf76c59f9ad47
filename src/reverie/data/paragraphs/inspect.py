"""What `reverie data inspect` reports of images with paragraphs."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

from reverie.data.images.inspect import SIZE, split_usage, unused_warning, usage_summary
from reverie.data.paragraphs.dataset import MIN_COUNT, Paragraphs, fit_vocabulary
from reverie.data.text.sentences import SPECIAL, words_of
from reverie.utils.errors import UserError

FEW = 500
"""images to learn from below which a warning is given"""
COVERED = 0.95
"""share of the words of a split in the vocabulary below which a warning is given"""
LISTED = 5
"""names that are listed"""


def inspect_paragraphs(spec: str) -> dict[str, Any]:
    """The report on the images and texts at a place, a dict that json can write. Raises UserError."""
    first = _opened(spec, "train")
    parts, warnings = {"train": first}, list(first.warnings)
    for split in first.splits[1:]:
        try:
            parts[split] = _opened(spec, split)
        except UserError as error:
            warnings.append(f"{split} cannot be used: {error}")
    sentences = [words_of(s) for item in first.items for paragraph in item.references for s in paragraph]
    vocabulary = fit_vocabulary(sentences)
    splits = {split: {**split_usage(data), **_texts_report(data, set(vocabulary))} for split, data in parts.items()}
    return {
        "spec": str(spec), "name": first.name, "kind": first.kind, "classes": [],
        "facts": {name: first.facts[name] for name in ("channels", "classes", "native")},
        "vocabulary": {"words": len(vocabulary) - len(SPECIAL), "min_count": MIN_COUNT},
        "unpaired": len(first.unpaired), "splits": splits,
        "warnings": [*warnings, *_leaks(parts), *_warnings(first, splits)],
    }  # fmt: skip


def _opened(spec: str, split: str) -> Paragraphs:
    """A split; of files, decoded, which finds damaged ones. Raises UserError."""
    data = Paragraphs.open(spec, split)
    if data.from_files:
        data.decode(SIZE)
    return data


def _texts_report(data: Paragraphs, known: set[str]) -> dict[str, Any]:
    """Lengths of the paragraphs of a split, and how many of its words are known."""
    paragraphs = [(item.name, paragraph) for item in data.items for paragraph in item.references]
    words = [[words_of(sentence) for sentence in paragraph] for _, paragraph in paragraphs]
    counts = Counter(word for sentences in words for sentence in sentences for word in sentence)
    return {
        "paragraphs": len(paragraphs),
        "sentences": _spread([len(sentences) for sentences in words]),
        "words": _spread([sum(map(len, sentences)) for sentences in words]),
        "words_of_sentence": _spread([len(sentence) for sentences in words for sentence in sentences]),
        "one_sentence": [name for name, paragraph in paragraphs if len(paragraph) == 1],
        "coverage": round(sum(n for word, n in counts.items() if word in known) / max(1, counts.total()), 4),
    }


def _spread(lengths: list[int]) -> dict[str, float]:
    return {"min": min(lengths), "median": median(lengths), "max": max(lengths)}


def _leaks(parts: dict[str, Paragraphs]) -> list[str]:
    """Warnings on images and texts of the other splits that are in train too."""
    train, warnings = parts["train"], []
    images, texts = {item.stamp for item in train.items}, {item.references for item in train.items}
    for split, data in parts.items():
        count = sum(item.stamp in images or item.references in texts for item in data.items)
        if split != "train" and count:
            warnings.append(f"{count} images of {split}, or their texts, are in train too: scores favour memorisation")
    return warnings


def _warnings(train: Paragraphs, splits: dict[str, dict[str, Any]]) -> list[str]:
    warnings = []
    if train.from_files and len(train) < FEW:
        warnings.append(f"few images to learn from ({len(train)}): expect the sentences of the training texts again")
    for split, part in splits.items():
        warnings += unused_warning(split, part)
        single = len(part["one_sentence"])
        if 2 * single > part["paragraphs"]:
            warnings.append(f"{single} of {part['paragraphs']} texts of {split} are one sentence: captions")
        if part["coverage"] < COVERED:
            warnings.append(
                f"{1 - part['coverage']:.1%} of the words of {split} are none of those that the training texts have "
                f"{MIN_COUNT} times: {SPECIAL[-1]} stands for them"
            )
    return warnings


def describe_paragraphs(report: dict[str, Any]) -> str:
    """The report of `inspect_paragraphs` as text for the terminal."""
    vocabulary, unpaired = report["vocabulary"], report["unpaired"]
    heading = (
        f"images with paragraphs, {vocabulary['words']:,} words that occur {vocabulary['min_count']} times or more"
    )
    lines = [usage_summary(report, heading, "image"), ""]
    for split, part in report["splits"].items():
        several = f" ({part['paragraphs'] / part['used']:.3g} an image)" if part["paragraphs"] != part["used"] else ""
        lines.append(
            f"{split}: {part['paragraphs']:,} paragraphs{several} of {_span(part['sentences'])} sentences and "
            f"{_span(part['words'])} words; {_span(part['words_of_sentence'])} words a sentence; "
            f"{part['coverage']:.1%} of the words are in the vocabulary"
        )
        if single := part["one_sentence"]:
            more = ", ..." if len(single) > LISTED else ""
            lines.append(f"  {len(single)} of one sentence: {', '.join(single[:LISTED])}{more}")
    if unpaired:
        lines.append(f"texts without an image: {unpaired:,}")
    return "\n".join(lines)


def _span(lengths: dict[str, float]) -> str:
    """ "3 to 9 (median 5)"; "5" where all are the same."""
    if lengths["min"] == lengths["max"]:
        return f"{lengths['min']}"
    return f"{lengths['min']} to {lengths['max']} (median {lengths['median']:g})"
