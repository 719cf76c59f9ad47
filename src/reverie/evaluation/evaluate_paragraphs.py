"""The evaluator of paragraphs about images: against what people wrote and, of drawn scenes, what is in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from reverie.data.paragraphs.dataset import Paragraphs
from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.evaluators_base import open_split, training_data_notes
from reverie.evaluation.feature_extractors import FeatureExtractor, open_features
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource
from reverie.evaluation.time_estimate import TimeEstimate
from reverie.media import Image, Photo
from reverie.media.paragraph import Paragraph, paragraph_sheet
from reverie.metrics.captions import caption_scores, caption_words, cider_d
from reverie.metrics.scene_facts import check, fact_scores
from reverie.metrics.score import Better, Reference, Score
from reverie.utils.errors import UserError

MIN_IMAGES = 8
"""below which CIDEr-D, whose weights of words are those of the images that are scored, says nothing"""
MOST_COMPARED = 4_000
"""training images among which the nearest is looked for, at most"""
SHOWN = 6
"""images of a figure"""
WORDS = "words in lower case, without punctuation; in scripts without spaces each character is one"
CAPTIONS: dict[str, tuple[Better, str]] = {
    "cider-d": ("higher", "CIDEr-D (Vedantam 2015) of each paragraph with its references, 0 to 10, document "
                "frequencies of the references scored, mean over images. A paragraph of another length than "
                "its reference loses: the factor is .61 at 6 words, .14 at 12"),
    "length ratio": ("match", "words of the paragraphs over those of their references, of several the mean"),
    **{f"bleu-{n}": ("higher", f"BLEU of the corpus with n-grams of up to {n} words, no smoothing, as sacrebleu's")
       for n in (1, 2, 3, 4)},
    "repetition": ("match", "share of a paragraph's n-grams of three words that an earlier sentence of it has too, "
                   "mean over paragraphs"),
    **{f"distinct-{n}": ("match", f"number of different {n}-grams of words over that of all, which falls with the "
                         "number of paragraphs") for n in (1, 2, 3)},
}  # fmt: skip
FACTS: dict[str, tuple[Better, str]] = {
    "fact precision": ("higher", "share of the facts stated that are true of the scene, a sentence that is no "
                       "statement counting as a false one"),
    "fact recall": ("higher", "share of a scene's facts that are stated: their number, of each object colour with "
                    "shape, size, material and place, and what several have in common"),
    "once in order": ("higher", "share of paragraphs that describe each object once, by colour and shape, from left to "
                      "right, and nothing else"),
    "held-out recall": ("higher", "share of the objects whose colour and shape never meet in training that are "
                        "described by both"),
}  # fmt: skip
NEAREST = "the paragraph of the nearest training image, by the cosine of {}'s features"
ANY = "paragraphs of other training images: what the best language model that sees no image would write"
HUMAN = "the first reference of each image against its others"


@dataclass(frozen=True)
class ParagraphEvaluator:
    """The images and paragraphs of a split, and those of training."""

    data: Paragraphs
    train: Paragraphs

    @classmethod
    def check(cls, source: SampleSource, n: int | None) -> None:
        """Raises UserError if n is too small."""
        if n is not None and n < MIN_IMAGES:
            raise UserError(f"n is {n}; paragraphs of {MIN_IMAGES} images or more can be scored.")

    @classmethod
    def open(cls, source: SampleSource, data: str | Path, split: str | None) -> ParagraphEvaluator:
        """The named split, or test, or val, or all there is, and the training images. Raises UserError."""
        reference = open_split(source, data, split).prepare(**source.data_args)
        if len(reference) < MIN_IMAGES:
            raise UserError(
                f"{data} has {len(reference)} described images in {reference.split}; scores take {MIN_IMAGES} or more."
            )
        if reference.split == "train":
            return cls(reference, reference)
        return cls(reference, Paragraphs.open(data, "train", **source.open_args).prepare(**source.data_args))

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of the split and of the training images."""
        return {"reference": self.data.fingerprint, "train": self.train.fingerprint}

    def default_n(self, source: SampleSource, full: bool) -> int:
        """All images of the split, but at most 1,000, or 100 where not full."""
        return min(1_000 if full else 100, len(self.data))

    def evaluate(
        self, result: Evaluation, source: SampleSource, config: EvalConfig, method_options: dict[str, Any]
    ) -> None:
        """The scores of captions, those of facts on drawn scenes, and figures of the first and the worst paragraphs."""
        assert source.method is not None
        n = min(config.n or self.default_n(source, config.full), len(self.data))
        result.notes += [*training_data_notes(source, self.data), *self.data.notes]
        photos = [Photo(self.data.pixels(i), name=Path(self.data.items[i].name).name) for i in range(n)]
        estimate = TimeEstimate()
        estimate.add("described images", n, 16, lambda k: _described(source, photos[:k]))
        estimate.say("" if config.full else "; --full takes more")
        paragraphs = _described(source, photos)
        references = [self._texts(self.data, i) for i in range(n)]
        net = open_features(config.features, self.data)
        nearest = [self._texts(self.train, i)[0] for i in self._nearest(net, n)]
        result.scores += self._caption_scores(paragraphs, references, nearest, net.name, config.seed)
        result.scores += list(source.method.method_scores(self.data, n, config.seed, **method_options))
        if self.data.items[0].scene is not None:
            result.scores += self._fact_scores(paragraphs, nearest, net.name, config.seed)
        rows = [caption_words(paragraph.line) for paragraph in paragraphs]
        each = cider_d(rows, [[caption_words(text) for text in texts] for texts in references])
        worst, first = np.argsort(each, kind="stable")[:SHOWN].tolist(), list(range(min(n, SHOWN)))
        for name, chosen, which in (("samples", first, "The first images"), ("worst", worst, "The lowest CIDEr-D")):
            sheet = paragraph_sheet(
                [photos[i] for i in chosen], [paragraphs[i] for i in chosen],
                [f"reference: {references[i][0]}" for i in chosen],
            )  # fmt: skip
            result.figures[name] = (sheet, f"{which} of {n}: beside each sentence where its words looked, in the mean.")

    def comparison_images(self, source: SampleSource, seed: int) -> dict[str, Image | str]:
        """The first images with their paragraphs."""
        if not source.can("describe"):
            return {"samples": f"{source.name} cannot describe"}
        photos = [Photo(self.data.pixels(i)) for i in range(min(SHOWN, len(self.data)))]
        return {"samples": paragraph_sheet(photos, _described(source, photos))}

    def _texts(self, data: Paragraphs, i: int) -> list[str]:
        """The references of an image as texts."""
        between = "" if data.facts["language"] == "zh" else " "
        return [between.join(paragraph) for paragraph in data.items[i].references]

    def _nearest(self, net: FeatureExtractor, n: int) -> list[int]:
        """The training image nearest to each of the first n images, itself excluded."""
        count = min(len(self.train), MOST_COMPARED)
        known, own = (
            F.normalize(net.features(np.stack([data.pixels(i) for i in range(k)]), label), dim=1)
            for data, k, label in ((self.train, count, "training images"), (self.data, n, "images"))
        )
        likeness = own @ known.T
        if self.train is self.data:
            likeness[torch.arange(min(n, count)), torch.arange(min(n, count))] = -1
        return likeness.argmax(1).tolist()

    def _caption_scores(
        self, paragraphs: Sequence[Paragraph], references: list[list[str]], nearest: list[str], net: str, seed: int
    ) -> list[Score]:
        """Beside those of the nearest training paragraph, and of one reference against the others where there are."""
        n = len(paragraphs)
        values = caption_scores([paragraph.line for paragraph in paragraphs], references)
        floor = caption_scores(nearest, references)
        several = all(len(texts) > 1 for texts in references)
        human = caption_scores(
            [texts[0] for texts in references], [texts[1:] if several else texts for texts in references]
        )
        comparable = ("length ratio", "repetition", "distinct-1", "distinct-2", "distinct-3")
        shift = 1 + seed % max(1, len(self.train) - 1)
        blind_texts = [self._texts(self.train, (i + shift) % len(self.train))[0] for i in range(n)]
        blind = caption_scores(blind_texts, references)
        scores = []
        for name, (better, definition) in CAPTIONS.items():
            has_real = several or name in comparable
            scores.append(
                Score(
                    name, values[name], "", better, f"{definition}; {WORDS}", self._reference(n), n, seed,
                    human[name] if has_real else None, (HUMAN if several else "the references") if has_real else "",
                    group="paragraphs", baseline=floor[name], baseline_name=NEAREST.format(net),
                )
            )  # fmt: skip
        for name in ("cider-d", "bleu-4"):
            definition = f"{CAPTIONS[name][1]}; of {ANY}; {WORDS}"
            scores.append(
                Score(
                    f"{name}, no image seen", blind[name], "", "neither", definition, self._reference(n), n, seed,
                    group="floors",
                )
            )  # fmt: skip
        return scores

    def _fact_scores(self, paragraphs: Sequence[Paragraph], nearest: list[str], net: str, seed: int) -> list[Score]:
        """Facts of drawn scenes."""
        scenes = [item.scene or () for item in self.data.items[: len(paragraphs)]]
        firsts = [item.references[0] for item in self.data.items[: len(paragraphs)]]

        def of(texts: Sequence[Any]) -> dict[str, float]:
            found = fact_scores(check(text, scene) for text, scene in zip(texts, scenes, strict=True))
            return {"fact precision": found["precision"], "fact recall": found["recall"], **found}

        values, floor, real = of([paragraph.sentences for paragraph in paragraphs]), of(nearest), of(firsts)
        return [
            Score(
                name, values[name], "", better, definition, self._reference(len(paragraphs)), len(paragraphs), seed,
                real[name], "the first reference of each scene", group="facts", baseline=floor[name],
                baseline_name=NEAREST.format(net),
            )
            for name, (better, definition) in FACTS.items()
            if values[name] == values[name]  # not a number where no scene has such objects
        ]  # fmt: skip

    def _reference(self, n: int) -> Reference:
        return Reference(self.data.name, self.data.split, self.data.fingerprint, n, 0, 0)


def _described(source: SampleSource, photos: Sequence[Photo]) -> list[Paragraph]:
    """The paragraphs of a method about photos."""
    assert source.method is not None
    describe: Callable[..., Any] = source.method.verb("describe")
    return list(describe(photos=list(photos)))
