"""Sequences of text, from a path or a name, as rows of tokens.

* A file holds one sequence a line, or one a paragraph, or is one (`item`); of a table a column is read. See files.py. A
  folder or a zip holds such files, at any depth.
* Files and folders named train, test, val ... are splits by the rule of reverie.data.splits, the name of a file
  counting as a folder's. A file given by its path is joined by the files beside it that are named alike for the other
  splits. Where no name says so, a tenth of the lines is held out as test, see held_out.py.
* Lines with more tokens than `length` are dropped rather than cut. Words outside the vocabulary become <unk>. Both are
  counted.

N lines, B of a batch, T tokens of a line at most.
"""

from __future__ import annotations

import copy
import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.data.archives import ZIP_ERRORS, Dropped, files_below
from reverie.data.description import represent
from reverie.data.file_types import SUFFIXES as IMAGE_SUFFIXES
from reverie.data.images.inspect import split_usage, usage_summary
from reverie.data.media_types import ASIDE_SUFFIXES, TABLE_SUFFIXES, TEXT_SUFFIXES
from reverie.data.python_data import PythonData
from reverie.data.splits import SPLITS, standard_split
from reverie.data.tables import suffix_of
from reverie.data.text import oracle, synthetic
from reverie.data.text.files import ITEMS, TABLES
from reverie.data.text.held_out import HELD_OUT, leaked, line_key, near_duplicates
from reverie.data.text.oracle import Oracle
from reverie.data.text.scripts import detect_kind
from reverie.data.text.sources import Line, Part, parts_in_memory, read_parts
from reverie.data.text.tokenizer import END, KINDS, SPECIAL, UNKNOWN, Tokenizer, fit_tokenizer, parse
from reverie.utils.errors import UserError, near_miss
from reverie.utils.formatting import counted
from reverie.utils.paths import exists
from reverie.utils.seeding import uniforms

VOCABULARY = 10_000
"""words that are kept by default"""
LONGEST = 64
"""tokens of a line at most, by default"""
FITS = 0.98
"""share of the training lines that fits into the default length"""
ROOM = 1.25
"""the default length is that of the longest line if this is at most so many times the length that FITS gives"""
FEW = 1_000
"""lines below which inspect warns"""
MANY_ALIKE = 0.05
"""share of the lines of a split that are in train too, or nearly, from which on it is a warning"""


class Texts:
    """Lines of text as tokens.

    `open` reads the lines; `prepare` fits or applies the tokenizer; then `len`, `batch` and `line` serve them.

    Attributes:
        spec, name, split, splits, classes, notes, dropped, fingerprint: as of reverie.data.images; there are no
            classes, and what is dropped is a file, a line or a row.
        warnings: after prepare, what the user should know before training on it.
        announced: those of the notes that training prints, beside warnings.
        facts: after prepare, what a method's config takes over: "length", and "tokenizer" and "vocab" or, for an
            oracle, whose tokens are numbers, "vocab_size" and the "vocab" ().
        from_files, held_out: whether the lines are a user's, and whether they were held out by a hash of each.
        tokenizer: after prepare; not for an oracle.
        oracle: the model that the sequences were drawn from, or None.
    """

    kind = "text"
    __repr__ = represent
    classes: list[str] = []

    def __init__(
        self, spec: str, name: str, parts: dict[str, Part], split: str, oracle: Oracle | None = None,
        from_files: bool = False,
    ) -> None:  # fmt: skip
        self.spec, self.name, self.split, self.oracle, self._parts = spec, name, split, oracle, parts
        self.splits = ["train", "test"] if oracle else [known for known in SPLITS if known in parts]
        if split not in self.splits:
            *others, last = self.splits
            names = f"{', '.join(others)} and {last}" if others else last
            raise UserError(f"no split '{split}' in {spec}: it has {names}.{near_miss(split, self.splits)}")
        self.from_files = from_files
        part = Part([], [], []) if oracle else parts[split]
        self.held_out = part.held_out
        self.dropped, self.notes, self.facts = list(part.dropped), list(part.notes), dict[str, Any]()
        self.announced = list(part.announced)
        self.warnings: list[str] = []
        self._lines, self._array = part.lines, np.empty((0, 0), np.int64)
        digest = hashlib.sha256(f"{split}\n{oracle.digest if oracle else ''}".encode())
        for line in part.lines:
            digest.update(line.text.encode() + b"\n")
        self.fingerprint = digest.hexdigest()[:16]

    @classmethod
    def open(
        cls, spec: str | Path, split: str = "train", item: str = "line", column: str | None = None,
        held_out: float = HELD_OUT,
    ) -> Texts:  # fmt: skip
        """Opens a file, a folder or zip of them, an oracle, or a built-in set (`verses`, `couplets:500`).

        item: "line", "blank-line" or "file": what is one sequence
        column: of a table, the name of the column that holds the text, or its number from 1
        held_out: share of the lines, 0 to 0.5, that becomes the split test where no name says which lines are

        Raises UserError if there is no such path or set, no text in it, or no such split.
        """
        if item not in ITEMS:
            raise UserError(f"item is '{item}'; it must be {', '.join(ITEMS[:-1])} or {ITEMS[-1]}.")
        if not 0 <= held_out <= 0.5:
            raise UserError(f"held_out is {held_out:g}; it must be a share from 0 to 0.5.")
        if isinstance(spec, PythonData):
            parts = parts_in_memory(spec, held_out)
            return cls(spec, "lines in memory", parts, standard_split(split), from_files=True)
        text = str(spec)
        if not text.strip():
            raise UserError("no data named: give a text file, a folder of them, or a name such as verses")
        split = standard_split(split)
        path, (name, _, rest) = Path(text).expanduser(), text.partition(":")
        if exists(path):
            if path.suffix.lower() == ".npz":
                return cls(text, path.stem, {}, split, Oracle.read(path))
            title = path.resolve().name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem
            parts = read_parts(path, item, column, held_out, getattr(spec, "splits", "auto"))
            return cls(text, title, parts, split, from_files=True)
        if name == "oracle":
            if rest and not (rest.isascii() and rest.isdecimal()):
                raise UserError(f"oracle:{rest} names no seed; give oracle:7, say, or the path of an .npz file.")
            return cls(text, text, {}, split, Oracle.random(int(rest or 0)))
        if name in synthetic.NAMES:
            parts = {}
            for part, lines in synthetic.lines(text).items():
                parts[part] = Part([Line(f"{part}/{i}", line) for i, line in enumerate(lines)], [], [])
            return cls(text, text, parts, split)
        names = [*synthetic.NAMES, "oracle"]
        guess = "" if "/" in text or "\\" in text else near_miss(name, names)
        raise UserError(f"no such path, and no set of text of that name: {text}.{guess} Sets: {', '.join(names)}")

    @property
    def is_plain(self) -> bool:
        """Whether its lines are of plain text and not of a table."""
        return not any(suffix_of(line.place.rpartition(":")[0]) in TABLES for line in self._parts[self.split].lines)

    @classmethod
    def recognises(cls, spec: str | Path) -> bool:
        """Whether a path holds mostly text and no image, or a name is that of a set of text."""
        path = Path(spec).expanduser()
        if not exists(path):
            return str(spec).partition(":")[0] in (*synthetic.NAMES, "oracle")
        names: Iterable[str]
        if path.is_dir():
            names = (name for name in files_below(path) if not name.startswith("."))
        elif path.suffix.lower() in (".zip", ".npz"):
            try:
                with zipfile.ZipFile(path) as archive:
                    names = [name for name in archive.namelist() if not name.endswith("/")]
            except ZIP_ERRORS:
                return False
            if path.suffix.lower() == ".npz":
                return {f"{key}.npy" for key in oracle.KEYS} <= set(names)
        else:
            return suffix_of(path.name) in TEXT_SUFFIXES | TABLE_SUFFIXES | ASIDE_SUFFIXES
        texts = others = 0
        for name in names:  # a folder of images is left at the first of them
            if name[name.rfind(".") :].lower() in IMAGE_SUFFIXES:
                return False
            if suffix_of(name) in TEXT_SUFFIXES | TABLE_SUFFIXES:
                texts += 1
            else:
                others += 1
        return texts > 0 and texts >= others

    def prepare(
        self,
        tokenizer: str = "auto",
        length: int | None = None,
        vocab_size: int = VOCABULARY,
        vocab: Sequence[str] | None = None,
    ) -> Texts:
        """Turns the lines into rows of `length` tokens; returns self. Raises UserError if no line is left.

        tokenizer: "word", "character" or "subword"; "auto": as the letters of the training lines suggest
        length: tokens of a line at most; None: what nearly all training lines fit into, up to LONGEST
        vocab_size: number of the most frequent tokens of the training lines that are kept
        vocab: the vocabulary, where it is decided already
        """
        if self.oracle:
            return self._sample(length or oracle.LENGTH)
        train = [line.text for line in self._parts.get("train", self._parts[self.split]).lines]
        kind = detect_kind(train) if tokenizer == "auto" else tokenizer
        if kind not in KINDS:
            raise UserError(f"tokenizer is '{tokenizer}'; it must be auto, {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
        self.tokenizer = Tokenizer(kind, vocab) if vocab else fit_tokenizer(train, kind, vocab_size, self.spec)
        if len(self.tokenizer.vocab) < len(SPECIAL) + 2:
            token = self.tokenizer.vocab[-1]
            raise UserError(f"all of {self.spec} is the one token '{token}'; there is nothing to learn in that.")
        part = self._parts[self.split]
        rows = [self.tokenizer.encode(line.text) for line in part.lines]
        if length is None:
            tokenised = rows if self.split == "train" else map(self.tokenizer.split, train)
            length = _default_length([len(tokens) for tokens in tokenised])
        kept: list[int] = []
        self.dropped = list(part.dropped)
        for i, row in enumerate(rows):
            if len(row) <= length:
                kept.append(i)
            else:
                self.dropped.append(Dropped(part.lines[i].place, f"longer than {length} tokens: {len(row)}"))
        if not kept:
            raise UserError(
                f"no line of {self.spec} has {length} tokens or fewer (the shortest: {min(map(len, rows))}); give a "
                "larger --length, or break the lines."
            )
        self._lines = [part.lines[i] for i in kept]
        self._array = np.full((len(kept), length), END, np.int64)
        for at, i in enumerate(kept):
            self._array[at, : len(rows[i])] = rows[i]
        self.notes = part.notes + self._preparation_notes(len(rows))
        self.warnings = self._find_warnings(rows)
        if self.split == "train" and self.from_files:
            self.warnings += [warning for other in self.splits[1:] for warning in self._find_leaks(other)]
        self.facts = {"tokenizer": kind, "length": length, "vocab": self.tokenizer.vocab}
        return self

    def _sample(self, length: int) -> Texts:
        """Draws the sequences of an oracle; sequence i of a split depends on the oracle, the split and i alone."""
        assert self.oracle is not None
        u = uniforms(int.from_bytes(self.split.encode()[:4], "little"), range(oracle.COUNT), length)
        self._array = self.oracle.sample(u).numpy()
        self.notes = [f"{oracle.COUNT} sequences drawn from an oracle of {self.oracle.vocab_size} words"]
        self.facts = {"length": length, "vocab_size": self.oracle.vocab_size, "vocab": ()}
        return self

    def _preparation_notes(self, total: int) -> list[str]:
        """Notes on lines that were dropped as too long, on unknown words and on repeated lines; total: of all lines."""
        notes, array = [], self._array
        if total > len(array):
            notes.append(f"{total - len(array)} of {total} lines have more than {array.shape[1]} tokens: dropped")
        unknown = (array == UNKNOWN).sum(1)
        if unknown.any():
            notes.append(
                f"{unknown.sum()} of {(array != END).sum()} tokens are none of the {len(self.tokenizer.vocab) - 2} "
                f"words kept: {SPECIAL[UNKNOWN]} stands for them, in {(unknown > 0).sum()} of {len(array)} lines"
            )
        if repeated := len(array) - len({line.text for line in self._lines}):
            notes.append(f"{repeated} of {len(array)} lines repeat earlier ones: kept, since some are more common")
        return notes

    def _find_warnings(self, rows: list[list[int]]) -> list[str]:
        """What the user should know of all lines of the split, whose tokens are `rows`."""
        warnings = []
        if np.median([len(row) for row in rows]) <= 1:
            kind = self.tokenizer.kind
            others = " or ".join(f"--tokenizer {other}" for other in KINDS if other not in (kind, "word"))
            warnings.append(f"half of the lines are one token, by {kind}: there is no order to learn; try {others}")
        lost = len(self.dropped)
        if lost > 0.1 * (len(self) + lost):
            longest = max(map(len, rows))
            more = f"; --length {longest} takes the longest" if longest > self.array.shape[1] else ""
            warnings.append(f"{lost} of {len(self) + lost} lines of {self.split} are not used: see the reasons{more}")
        return warnings

    def _find_leaks(self, split: str) -> list[str]:
        """Warnings on lines of another split that are also in this one, the training lines, or nearly."""
        lines, train = ([line.text for line in self._parts[name].lines] for name in (split, "train"))
        shared = leaked(lines, train)
        warnings = []
        if any(shared):
            warnings.append(
                f"lines of {split} that are also in train: {sum(shared)} of {len(lines)}; evaluate leaves them out"
            )
        tokens = self.tokenizer.split
        others = [tokens(line) for line, known in zip(lines, shared, strict=True) if not known]
        count, looked = near_duplicates(others, list(map(tokens, train)))
        if count > MANY_ALIKE * looked:
            warnings.append(
                f"lines of {split} that differ from a training line in one token: {count} of {looked} looked at; "
                "scores flatter copying"
            )
        return warnings

    def __len__(self) -> int:
        """N, the number of usable lines; before prepare, of all lines."""
        return oracle.COUNT if self.oracle else len(self._lines)

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """{"tokens": int64 [B,T]} of the lines at some indices; END fills up a line (an oracle's have no end)."""
        return {"tokens": torch.from_numpy(self.array[np.asarray(index, np.int64)]).to(device)}

    @property
    def array(self) -> np.ndarray:
        """The tokens of all lines, int64 [N,T]."""
        if not self._array.size:
            raise RuntimeError("call prepare() before asking for tokens")
        return self._array

    def line(self, i: int) -> str:
        """The text of line i; of an oracle's sequence, its tokens with spaces between."""
        return " ".join(map(str, self.array[i])) if self.oracle else self._lines[i].text

    def subset(self, indices: np.ndarray) -> Texts:
        """The data set of the lines at some indices, in that order; not of an oracle."""
        subset = copy.copy(self)
        subset._array, subset._lines = self.array[indices], [self._lines[i] for i in indices]
        return subset

    # -- inspect -------------------------------------------------------------------------------------------------------

    @classmethod
    def inspect(cls, spec: str, **options: Any) -> dict[str, Any]:
        """What is in the text that `spec` names, as JSON can hold it. options, errors: as of open."""
        first = cls.open(spec, **options)
        others = {split: cls.open(spec, split, **options).prepare() for split in first.splits[1:]}
        parts = {"train": first.prepare(), **others}
        facts = {k: len(v) if k == "vocab" else v for k, v in first.facts.items()}
        findings: dict[str, Any] = {
            "spec": str(spec), "name": first.name, "kind": cls.kind, "classes": [], "facts": facts,
            "splits": {split: _inspect_split(texts) for split, texts in parts.items()}, "warnings": [],
        }  # fmt: skip
        different = len(first) if first.oracle else len({line_key(line.text) for line in first._lines})
        if different < FEW:
            lines = counted(different, "different line")
            findings["warnings"].append(f"few to learn from, {lines}: expect copies of them")
        for split in () if first.oracle else others:
            found = leaked(*([line.text for line in first._parts[name].lines] for name in (split, "train")))
            if any(found):
                findings["splits"][split]["also_in_train"] = sum(found)
            if not first.from_files:
                first.warnings += first._find_leaks(split)
        findings["warnings"] += dict.fromkeys(warning for texts in parts.values() for warning in texts.warnings)
        return findings

    @classmethod
    def describe(cls, findings: dict[str, Any]) -> str:
        """What inspect found, as text."""
        facts = findings["facts"]
        if "tokenizer" in facts:
            kept = {"character": "characters", "subword": "subwords"}.get(facts["tokenizer"], "words")
            unit = f"by {facts['tokenizer']}, {facts['vocab'] - len(SPECIAL):,} {kept}"
        else:
            unit = f"{facts['vocab_size']} numbers"
        lines = [usage_summary(findings, f"text, {unit}, up to {facts['length']} tokens a line", "line"), ""]
        for split, part in findings["splits"].items():
            tokens = part["tokens"]
            line = f"{split}: {tokens['min']} to {tokens['max']} tokens a line, median {tokens['median']}"
            if part["commonest"]:
                line += "; common: " + " ".join(f"{word} ({n})" for word, n in part["commonest"].items())
            lines.append(line)
        return "\n".join(lines)


def _default_length(lengths: list[int]) -> int:
    """T from the lengths of the training lines: 2 to LONGEST, see FITS and ROOM."""
    ordered = sorted(lengths)
    fits, longest = ordered[min(len(ordered) - 1, int(FITS * len(ordered)))], ordered[-1]
    return max(2, min(LONGEST, longest if longest <= ROOM * fits else fits))


def _inspect_split(texts: Texts) -> dict[str, Any]:
    """What inspect reports of one split."""
    if texts.oracle:
        lengths, common = np.full(len(texts), texts.array.shape[1]), {}
    else:
        lengths = np.sort((texts.array != END).sum(1))
        counts = Counter(texts.array[texts.array > UNKNOWN].tolist())
        vocab, by_word = texts.tokenizer.vocab, texts.tokenizer.kind == "word"
        common = {parse(vocab[i]).text if by_word else vocab[i]: n for i, n in counts.most_common(8)}
    return {
        **split_usage(texts),
        "tokens": {"min": int(lengths[0]), "median": int(np.median(lengths)), "max": int(lengths[-1])},
        "commonest": common,
    }
