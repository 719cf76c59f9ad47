"""Images with paragraphs that describe them: what describing is learnt from.

N images, B of a batch, R paragraphs of an image at most, S sentences of a paragraph, T words of a sentence with END.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.data import cache
from reverie.data.archives import Dropped
from reverie.data.description import represent
from reverie.data.images import decode
from reverie.data.images.records import nothing_usable
from reverie.data.paragraphs import scenes
from reverie.data.paragraphs.files import FileSource, MemorySourceOfTexts, holds_descriptions, open_tree
from reverie.data.paragraphs.records import DescribedImage, Paragraph, Part, Source
from reverie.data.python_data import PythonData
from reverie.data.splits import SPLITS, standard_split
from reverie.data.text.held_out import HELD_OUT
from reverie.data.text.scripts import detect_kind
from reverie.data.text.sentences import PAD, SPECIAL, UNKNOWN, encode_with, numbers_of, words_of
from reverie.utils.errors import UserError, near_miss
from reverie.utils.paths import exists

MIN_COUNT = 3
"""times that a word occurs in the training paragraphs, from which on it is in the vocabulary"""
FITS = 0.98
"""share of the training paragraphs, or sentences, that fits into S or T; others are cut"""
ROOM = 1.25
"""S and T are those of the longest if these are at most so many times what FITS gives"""
MOST_SENTENCES, MOST_WORDS = 24, 64
"""S and T at most, by default"""


class Paragraphs:
    """Images with paragraphs, decoded whole to squares. Attributes as of Images; `items` are DescribedImages.

    A folder or zip holds images and their texts, see reverie.data.paragraphs.files; `scenes` is drawn, see scenes.py.

    Attributes:
        facts: what a method's config takes over: "channels" and "native"; after prepare also "vocabulary" (SPECIAL,
            then the words, the common ones first), "most_sentences" S, "most_words" T and "language", "en" or "zh".
        unpaired: paragraphs of the training texts that no image is named for.
        from_files, held_out: whether the images are a user's, and whether a hash of each text chose the split.
    """

    kind = "paragraphs"
    __repr__ = represent
    classes: Sequence[str] = ()

    def __init__(self, spec: str | Path, name: str, split: str, source: Source, from_files: bool = False) -> None:
        self.spec = spec if isinstance(spec, str) else str(spec)  # what was stated of a DataSpec stays with it
        self.name, self.split, self.from_files, self._source = name, split, from_files, source
        self.splits = [known for known in SPLITS if known in source.splits]
        if split not in self.splits:
            raise UserError(
                f"no split '{split}' in {spec}: it has {', '.join(self.splits)}.{near_miss(split, self.splits)}"
            )
        self._part = source.part(split)
        self.held_out = self._part.held_out
        self.items, self.dropped = list(self._part.items), list(self._part.dropped)
        self.notes, self.warnings = list(self._part.notes), list(source.warnings)
        if not self.items:
            raise UserError(nothing_usable(self.spec, self.dropped))
        self.unpaired: tuple[Paragraph, ...] = source.unpaired
        digest = hashlib.sha256(split.encode())
        for item in self.items:
            digest.update(repr((item.stamp, item.references)).encode())
        self.fingerprint = digest.hexdigest()[:16]
        native = int(np.median([min(item.height, item.width) for item in self.items]))
        self.facts: dict[str, Any] = {"channels": 3, "classes": 0, "native": native}
        self.vocabulary: tuple[str, ...] = ()
        self._rows: cache.CachedArray | None = None
        self._words = self._unpaired_words = np.empty((0, 0, 0, 0), np.int32)

    @classmethod
    def open(cls, spec: str | Path, split: str = "train", held_out: float = HELD_OUT) -> Paragraphs:
        """Opens a folder, a zip or the built-in set `scenes`.

        held_out: share of the images, 0 to 0.5, that becomes the split test where nothing says which are

        Raises UserError if there is no such place, nothing in it that can be used, or no such split.
        """
        text, wanted = str(spec), standard_split(split)
        path = Path(text).expanduser()
        if not 0 <= held_out <= 0.5:
            raise UserError(f"held_out is {held_out:g}; it must be a share from 0 to 0.5.")
        if isinstance(spec, PythonData):
            return cls(spec, "images and texts in memory", wanted, MemorySourceOfTexts(spec, held_out), True)
        if exists(path):
            source = FileSource(open_tree(path), text, getattr(spec, "splits", "auto"), held_out)
            return cls(spec, path.resolve().stem, wanted, source, True)
        if cls.recognises(text):
            return cls(text, text, wanted, SceneSource(text))
        raise UserError(f"no such path, and no data set of that name: {text}. The built-in set is {scenes.NAME}")

    @classmethod
    def recognises(cls, spec: str | Path) -> bool:
        """Whether a path holds images and their texts, or the name is that of the built-in set."""
        text = str(spec)
        path = Path(text).expanduser()
        if not exists(path):
            return text.partition(":")[0] == scenes.NAME
        return holds_descriptions(path)

    def prepare(
        self,
        size: int,
        channels: int | None = None,
        vocabulary: Sequence[str] | None = None,
        min_count: int = MIN_COUNT,
        most_sentences: int | None = None,
        most_words: int | None = None,
    ) -> Paragraphs:
        """Decodes to squares of `size` pixels, the whole image in each, and numbers the words; returns self.

        channels: images are in colour, whatever it is
        vocabulary, most_sentences, most_words: as in facts, where they are decided already
        min_count: times that a word occurs in the training paragraphs at least

        Raises UserError if no image can be decoded.
        """
        self.decode(size)
        self._number_words(vocabulary, min_count, most_sentences, most_words)
        return self

    def decode(self, size: int) -> None:
        """Decodes the images alone, as prepare does. Raises UserError if none can be."""
        items = self._part.items
        key = f"{self.fingerprint}-paragraphs{size}-v{decode.VERSION}"
        names = [item.name for item in items]
        self._rows = cache.load_or_build(key, names, (size, size, 3), lambda i: self._source.square(items[i], size))
        self.dropped = self._part.dropped + [Dropped(items[i].name, why) for i, why in self._rows.faults.items()]
        self.items = [items[i] for i in self._rows.kept]
        if not self.items:
            raise UserError(nothing_usable(self.spec, self.dropped))

    def _number_words(
        self, vocabulary: Sequence[str] | None, min_count: int, most_sentences: int | None, most_words: int | None
    ) -> None:
        """Fills in the vocabulary, facts, and the arrays of words."""
        train = self._source.part("train" if "train" in self.splits else self.split).items
        texts = [paragraph for item in train for paragraph in item.references]
        sentences = [words_of(sentence) for paragraph in texts for sentence in paragraph]
        self.vocabulary = tuple(vocabulary) if vocabulary else fit_vocabulary(sentences, min_count)
        if len(self.vocabulary) <= len(SPECIAL):
            raise UserError(
                f"no word occurs {min_count} times in the {len(texts)} training texts of {self.spec}; give more images "
                "with texts, or --min-count 1."
            )
        most_sentences = most_sentences or usual_length([len(paragraph) for paragraph in texts], MOST_SENTENCES)
        most_words = most_words or usual_length([len(words) + 1 for words in sentences], MOST_WORDS)
        own = [paragraph for item in self.items for paragraph in item.references]
        shape = (max(len(item.references) for item in self.items), most_sentences, most_words)
        self._words = np.full((len(self.items), *shape), PAD, np.int32)
        for row, item in zip(self._words, self.items, strict=True):
            self._write(row, item.references)
        self._unpaired_words = np.full((len(self.unpaired), *shape[1:]), PAD, np.int32)
        self._write(self._unpaired_words, self.unpaired)
        self.notes = [*self._part.notes, *self._cutting_notes(own, most_sentences, most_words)]
        language = "zh" if detect_kind([" ".join(paragraph) for paragraph in texts]) == "character" else "en"
        self.facts.update(
            vocabulary=self.vocabulary, most_sentences=most_sentences, most_words=most_words, language=language
        )

    def _write(self, rows: np.ndarray, paragraphs: Sequence[Paragraph]) -> None:
        """Writes the numbers of paragraphs into rows [P,S,T]; what is too long is cut."""
        _, most_sentences, most_words = rows.shape
        known = numbers_of(self.vocabulary)
        for row, paragraph in zip(rows, paragraphs, strict=False):
            for line, sentence in zip(row, paragraph[:most_sentences], strict=False):
                numbers = encode_with(words_of(sentence)[: most_words - 1], known)
                line[: len(numbers)] = numbers

    def _cutting_notes(self, own: Sequence[Paragraph], most_sentences: int, most_words: int) -> list[str]:
        """Notes on paragraphs and sentences that are cut, and on words outside the vocabulary."""
        sentences = [words_of(sentence) for paragraph in own for sentence in paragraph]
        long = sum(len(paragraph) > most_sentences for paragraph in own)
        wordy = sum(len(words) >= most_words for words in sentences)
        unknown, words = (self._words == UNKNOWN).sum(), (self._words > UNKNOWN).sum()
        notes = []
        if long:
            notes.append(f"{long} of {len(own)} paragraphs have more than {most_sentences} sentences: cut there")
        if wordy:
            notes.append(f"{wordy} of {len(sentences)} sentences have more than {most_words - 1} words: cut there")
        if unknown:
            notes.append(
                f"{unknown} of {unknown + words} words are none of the {len(self.vocabulary) - len(SPECIAL)} words "
                f"kept: {SPECIAL[UNKNOWN]} stands for them"
            )
        return notes

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """The images and paragraphs at B indices.

        "image" float32 [B,3,size,size] in [-1,1]; "words" int64 [B,R,S,T], sentences end with END, PAD fills up
        sentences and stands for those that are not there; "references" int64 [B], how many of R there are; "row" int64
        [B], the number of each in the set; where there are unpaired texts, "unpaired" int64 [B,S,T], some of them.
        """
        rows = np.asarray(index, np.int64)
        image = torch.from_numpy(self._ready().pixels[rows]).to(device).permute(0, 3, 1, 2).contiguous()
        words = torch.from_numpy(self._words[rows].astype(np.int64)).to(device)
        batch = {
            "image": torch.sub(image, 127.5).div_(127.5), "words": words,
            "references": (words[:, :, 0, 0] != PAD).sum(1), "row": torch.from_numpy(rows),
        }  # fmt: skip
        if len(self.unpaired):
            texts = self._unpaired_words[rows % len(self.unpaired)].astype(np.int64)
            batch["unpaired"] = torch.from_numpy(texts).to(device)
        return batch

    def pixels(self, i: int) -> np.ndarray:
        """Image i as uint8 [size,size,3], a copy."""
        return np.array(self._ready().pixels[i])

    def read_full(self, item: DescribedImage) -> np.ndarray:
        """An image in its own size: uint8 [H,W,3]. Raises InvalidFile."""
        return self._source.full(item)

    def _ready(self) -> cache.CachedArray:
        if self._rows is None:
            raise RuntimeError("call prepare(size) before asking for images")
        return self._rows


class SceneSource:
    """The built-in set. Raises UserError if the number is not valid."""

    unpaired: tuple[Paragraph, ...] = ()
    warnings: list[str] = []

    def __init__(self, spec: str) -> None:
        self._counts = scenes.number_of_scenes(spec)
        self.splits = list(self._counts)
        self._parts: dict[str, Part] = {}

    def part(self, split: str) -> Part:
        if split not in self._parts:
            self._parts[split] = Part([self._item(split, i) for i in range(self._counts[split])], [], [])
        return self._parts[split]

    def _item(self, split: str, i: int) -> DescribedImage:
        objects = scenes.scene(split, i).objects
        return DescribedImage(
            f"{split}/{i}", scenes.NATIVE, scenes.NATIVE, scenes.references(split, i, objects), objects,
            f"{scenes.NAME}/{scenes.VERSION}/{split}/{i}",
        )  # fmt: skip

    def square(self, item: DescribedImage, size: int) -> np.ndarray:
        split, _, i = item.name.partition("/")
        return scenes.draw(split, int(i), size)

    def full(self, item: DescribedImage) -> np.ndarray:
        return self.square(item, scenes.NATIVE)


def fit_vocabulary(sentences: Iterable[Sequence[str]], min_count: int = MIN_COUNT) -> tuple[str, ...]:
    """SPECIAL, then the words that occur min_count times or more, the common ones first."""
    counts = Counter(word for words in sentences for word in words if word not in SPECIAL)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return (*SPECIAL, *(word for word, times in ranked if times >= min_count))


def usual_length(lengths: Sequence[int], most: int) -> int:
    """What FITS of the lengths are at most; the longest, where that is little more; `most` at most."""
    ordered = sorted(lengths)
    fits, longest = ordered[min(len(ordered) - 1, int(FITS * len(ordered)))], ordered[-1]
    return min(most, longest if longest <= ROOM * fits else fits)
