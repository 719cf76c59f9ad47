"""Lines of text, from a path or a name, as rows of token numbers: one sequence a line.

* A file holds one sequence a line, UTF-8. A folder or a zip holds such .txt files, of any depth.
* A file named train, test or val, or whose name ends so (`coco_train.txt`, `coco_test.txt`), or that lies in a folder
  named so, belongs to that split, if there is one for train; then others are dropped. Otherwise all is `train`.
  A file that is named by its path brings those beside it that are named alike for the other splits.
* Blank lines are passed over; runs of white space become one space; a mark of byte order and line ends of any system
  are read as such; letters are composed (NFC).
* Lines with more tokens than `length` are dropped: a sentence that was cut is none. Words that are not kept become
  <unk>. Both are counted.

N lines, T tokens a line at most, V words.
"""

from __future__ import annotations

import copy
import hashlib
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from reverie.data.archives import Dropped, FileTree, FolderTree, ZipTree, files_below
from reverie.data.file_types import SUFFIXES as PICTURES
from reverie.data.file_types import InvalidFile
from reverie.data.images.inspect import split_usage, usage_summary
from reverie.data.text import oracle
from reverie.data.text import synthetic as verses
from reverie.data.text.oracle import Oracle
from reverie.data.text.tokenizer import END, KINDS, MARKS, UNKNOWN, Tokenizer, learn, natural_kind
from reverie.utils.errors import UserError, near_miss

SPLITS = ("train", "test", "val")
SUFFIXES = (".txt", ".text")
VOCABULARY = 10_000
"""words that are kept, unless told otherwise"""
LONGEST, FITS, ROOM = 64, 0.98, 1.25
"""tokens a line, unless told otherwise: as many as this share of the lines fits into, or the longest if it is at most
so many times longer; but no more than 64"""
FEW = 1_000
"""lines, under which a warning is due"""

_SPELT = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
_ENDING = re.compile(rf"(?:^|(?<=[_\-. ]))({'|'.join(_SPELT)})$", re.IGNORECASE)


class Line(NamedTuple):
    """A line, and where it is: "poems.txt:17"."""

    place: str
    text: str


class Part(NamedTuple):
    """One split: its lines, the files that cannot be used, and what is worth saying."""

    lines: list[Line]
    dropped: list[Dropped]
    notes: list[str]


class Texts:
    """Lines of text as token numbers.

    `open` reads the lines; `prepare` decides what the tokens are; then `len`, `batch` and `line` serve them.

    Attributes:
        spec, name, split, splits, classes, notes, dropped, fingerprint: as in reverie.data.images.Images; there are no
            classes, and what is dropped is a file or a line.
        facts: after prepare, what a method's config takes over: "tokens", "length", and "words", which are the
            vocabulary in the order of its numbers; () for an oracle, whose words are numbers.
        oracle: the model that the sequences were drawn from, where they were.
    """

    kind = "text"
    classes: list[str] = []

    def __init__(self, spec: str, name: str, parts: dict[str, Part], split: str, model: Oracle | None = None) -> None:
        self.spec, self.name, self.split, self.oracle, self._parts = spec, name, split, model, parts
        self.splits = list(SPLITS[:2]) if model else [known for known in SPLITS if known in parts]
        if split not in self.splits:
            have = " and ".join([", ".join(self.splits[:-1]), self.splits[-1]]) if self.splits[1:] else self.splits[0]
            raise UserError(f"no split '{split}' in {spec}: it has {have}.{near_miss(split, self.splits)}")
        part = Part([], [], []) if model else parts[split]
        self.dropped, self.notes, self.facts = list(part.dropped), list(part.notes), dict[str, Any]()
        self._lines, self._array = part.lines, np.empty((0, 0), np.int64)
        digest = hashlib.sha256(f"{split}\n{model.digest if model else ''}".encode())
        for line in part.lines:
            digest.update(line.text.encode() + b"\n")
        self.fingerprint = digest.hexdigest()[:16]

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> Texts:
        """Opens a file, a folder or zip of .txt files, an oracle, or a built-in set (`verses`, `couplets:500`).

        Raises UserError if there is nothing of that name, no text in it, or no such split.
        """
        text = str(spec)
        if not text.strip():
            raise UserError("no data named: give a text file, a folder of them, or a name such as verses")
        wanted = _SPELT.get(split.lower(), split.lower())
        path, (name, _, rest) = Path(text).expanduser(), text.partition(":")
        if _exists(path):
            if path.suffix.lower() == ".npz":
                return cls(text, path.stem, {}, wanted, Oracle.read(path))
            title = path.resolve().name if path.is_dir() else path.stem
            return cls(text, title, _read(path), wanted)
        if name == "oracle":
            if rest and not (rest.isascii() and rest.isdecimal()):
                raise UserError(f"oracle:{rest} names no seed; give oracle:7, say, or a file of weights as it is.")
            return cls(text, text, {}, wanted, Oracle.drawn(int(rest or 0)))
        if name in verses.NAMES:
            held = verses.lines(text)
            of = {part: [Line(f"{part}/{i}", line) for i, line in enumerate(lines)] for part, lines in held.items()}
            return cls(text, text, {part: Part(lines, [], []) for part, lines in of.items()}, wanted)
        names = [*verses.NAMES, "oracle"]
        guess = "" if "/" in text or "\\" in text else near_miss(name, names)
        raise UserError(f"no such path, and no set of text of that name: {text}.{guess} Sets: {', '.join(names)}")

    @classmethod
    def recognises(cls, spec: str | Path) -> bool:
        """Whether a path holds text above all and no picture, or a name is that of a set of text."""
        path = Path(spec).expanduser()
        if not _exists(path):
            return str(spec).partition(":")[0] in (*verses.NAMES, "oracle")
        names: Iterable[str]
        if path.is_dir():
            names = (name for name in files_below(path) if not name.startswith("."))
        elif path.suffix.lower() in (".zip", ".npz"):
            try:
                with zipfile.ZipFile(path) as held:
                    names = (name for name in held.namelist() if not name.endswith("/"))
            except (OSError, zipfile.BadZipFile):
                return False
            if path.suffix.lower() == ".npz":
                return {f"{key}.npy" for key in oracle.KEYS} <= set(names)
        else:
            return path.suffix.lower() in SUFFIXES
        found = others = 0
        for name in names:  # a folder of pictures is left at the first of them
            if name[name.rfind(".") :].lower() in PICTURES:
                return False
            found, others = found + _is_text(name), others + (not _is_text(name))
        return found > 0 and found >= others

    def prepare(
        self,
        tokenizer: str = "auto",
        length: int | None = None,
        vocab_size: int = VOCABULARY,
        vocab: Sequence[str] | None = None,
    ) -> Texts:
        """Turns the lines into rows of `length` numbers; returns self. Raises UserError if no line is left.

        tokenizer: word, character, subword; auto: as the letters of the training lines suggest. vocab: the vocabulary,
        if it is decided already; else the `vocab_size` commonest tokens of the training lines.
        """
        if self.oracle:
            return self._sample(length or oracle.LENGTH)
        train = [line.text for line in self._parts.get("train", self._parts[self.split]).lines]
        kind = natural_kind(train) if tokenizer == "auto" else tokenizer
        if kind not in KINDS:
            raise UserError(f"tokenizer is '{tokenizer}'; it must be auto, {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
        fitted = Tokenizer(kind, vocab) if vocab else learn(train, kind, vocab_size, self.spec)
        if len(fitted.words) < len(MARKS) + 2:
            token = fitted.words[-1]
            raise UserError(f"all of {self.spec} is the one token '{token}'; there is nothing to learn in that.")
        self.tokenizer = fitted
        rows = [fitted.encode(line.text) for line in self._lines]
        if length is None:
            counts = sorted(map(len, rows if self.split == "train" else map(fitted.split, train)))
            most = counts[min(len(counts) - 1, int(FITS * len(counts)))]
            length = max(2, min(LONGEST, counts[-1] if counts[-1] <= ROOM * most else most))
        kept = [i for i, row in enumerate(rows) if len(row) <= length]
        part = self._parts[self.split]
        self.dropped = part.dropped + [
            Dropped(line.place, f"longer than {length} tokens: {len(row)}")
            for line, row in zip(part.lines, rows, strict=True)
            if len(row) > length
        ]
        if not kept:
            raise UserError(
                f"no line of {self.spec} has {length} tokens or fewer (the shortest: {min(map(len, rows))}); give a "
                "larger --length, or break the lines."
            )
        self._lines = [part.lines[i] for i in kept]
        self._array = np.full((len(kept), length), END, np.int64)
        for at, i in enumerate(kept):
            self._array[at, : len(rows[i])] = rows[i]
        self.notes = part.notes + self._told(len(rows))
        self.facts = {"tokenizer": kind, "length": length, "vocab": fitted.words}
        return self

    def _sample(self, length: int) -> Texts:
        """Draws the sequences of an oracle; those of a split depend on it and their place alone."""
        assert self.oracle is not None
        from reverie.utils.seeding import uniforms

        u = uniforms(int.from_bytes(self.split.encode()[:4], "little"), range(oracle.COUNT), length)
        self._array = self.oracle.sample(u).numpy()
        self.notes = [f"{oracle.COUNT} sequences drawn from an oracle of {self.oracle.words} words"]
        self.facts = {"length": length, "vocab_size": self.oracle.words, "vocab": ()}
        return self

    def _told(self, found: int) -> list[str]:
        """Lines on what became of the lines."""
        told, array = [], self._array
        if found > len(array):
            told.append(f"{found - len(array)} of {found} lines have more than {array.shape[1]} tokens: dropped")
        unknown = (array == UNKNOWN).sum(1)
        if unknown.any():
            told.append(
                f"{unknown.sum()} of {(array != END).sum()} tokens are none of the {len(self.tokenizer.words) - 2} "
                f"words kept: {MARKS[UNKNOWN]} stands for them, in {(unknown > 0).sum()} of {len(array)} lines"
            )
        if again := len(array) - len({line.text for line in self._lines}):
            told.append(f"{again} of {len(array)} lines were there before: kept, since some are said often")
        return told

    def __len__(self) -> int:
        """The number of usable lines; before prepare, of all."""
        return oracle.COUNT if self.oracle else len(self._lines)

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """ "tokens": int64 [B,T]; after the end of a line all is END (an oracle's sequences have no end)."""
        return {"tokens": torch.from_numpy(self.array[np.asarray(index, np.int64)]).to(device)}

    @property
    def array(self) -> np.ndarray:
        """All rows, int64 [N,T]."""
        if not self._array.size:
            raise RuntimeError("call prepare() before asking for tokens")
        return self._array

    def line(self, i: int) -> str:
        """Line i as it stands in the file; of an oracle, its numbers."""
        return " ".join(map(str, self.array[i])) if self.oracle else self._lines[i].text

    def only(self, rows: np.ndarray) -> Texts:
        """The same with the lines of these numbers alone, in their order; not of an oracle."""
        few = copy.copy(self)
        few._array, few._lines = self.array[rows], [self._lines[i] for i in rows]
        return few

    # -- the data doctor ---------------------------------------------------------------------------------------------

    @classmethod
    def inspect(cls, spec: str) -> dict[str, Any]:
        """Findings on the text that `spec` names: a dict that json can write. Raises UserError as open does."""
        first = cls.open(spec)
        parts = {split: (first if split == "train" else cls.open(spec, split)).prepare() for split in first.splits}
        facts = {k: len(v) if k == "vocab" else v for k, v in first.facts.items()}
        findings: dict[str, Any] = {
            "spec": str(spec), "name": first.name, "kind": cls.kind, "classes": [], "facts": facts,
            "splits": {split: _split(texts) for split, texts in parts.items()}, "warnings": [],
        }  # fmt: skip
        train = {first.line(i) for i in range(len(first))}
        if len(first) < FEW:
            findings["warnings"].append(f"{len(first)} lines to learn from are few: expect copies of them")
        for split, texts in parts.items():
            told, lost = findings["splits"][split], len(texts.dropped)
            if split != "train" and (same := sum(texts.line(i) in train for i in range(len(texts)))):
                told["also_in_train"] = same
                findings["warnings"].append(
                    f"lines of {split} that are also in train: {same} of {len(texts)}; scores flatter copying"
                )
            if lost > 0.1 * told["found"]:
                findings["warnings"].append(f"{lost} of {told['found']} in {split} are not used: see the reasons")
        return findings

    @classmethod
    def describe(cls, findings: dict[str, Any]) -> str:
        """The findings as text for a person."""
        facts = findings["facts"]
        by = (
            f"by {facts['tokenizer']}, {facts['vocab']} words"
            if "tokenizer" in facts
            else f"{facts['vocab_size']} numbers"
        )
        told = usage_summary(findings, f"text, {by}, up to {facts['length']} tokens a line", "lines") + "\n"
        for split, part in findings["splits"].items():
            tokens, common = part["tokens"], " ".join(f"{word} ({n})" for word, n in part["commonest"].items())
            told += f"\n{split}: {tokens['min']} to {tokens['max']} tokens a line, median {tokens['median']}"
            told += f"; common: {common}" if common else ""
        return told


def _split(texts: Texts) -> dict[str, Any]:
    sizes = np.sort((texts.array != END).sum(1)) if not texts.oracle else np.full(len(texts), texts.array.shape[1])
    counts = Counter(texts.array[texts.array > UNKNOWN].tolist()) if not texts.oracle else Counter()
    return {
        **split_usage(texts),
        "tokens": {"min": int(sizes[0]), "median": int(np.median(sizes)), "max": int(sizes[-1])},
        "commonest": {texts.tokenizer.words[word]: n for word, n in counts.most_common(8)},
    }


# -- files -------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Part]:
    """The parts of the text at an existing path. Raises UserError if there is none."""
    if path.is_dir():
        box: FileTree = FolderTree(path)
    elif path.suffix.lower() == ".zip":
        box = ZipTree(path)
    else:
        try:
            box = FolderTree(path.parent, [path.name, *_companions(path)])
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a text file.") from None
    alone = path.is_file() and not isinstance(box, ZipTree)  # a file that is named is read whatever its ending
    names = sorted(box.stamps if alone else filter(_is_text, box.stamps))
    if not names:
        raise UserError(f"there is no .txt file in {path} ({len(box.stamps)} others); give one, or a folder of them.")
    parts = {split: Part([], [], []) for split in SPLITS}
    split_of = {name: _split_of(name) for name in names}
    has_splits = "train" in split_of.values()
    for name in names:
        split = split_of[name] if has_splits else "train"
        if split is None:
            parts["train"].dropped.append(Dropped(name, "outside the files of the splits"))
            continue
        try:
            texts, blank = lines_of(box.read(name))
        except InvalidFile as unfit:
            if alone and name == path.name:
                raise UserError(f"{path} is {unfit}") from None
            parts[split].dropped.append(Dropped(name, str(unfit)))
            continue
        parts[split].lines.extend(Line(f"{name}:{number}", text) for number, text in texts)
        if blank:
            parts[split].notes.append(f"{blank} blank lines in {name} were passed over")
    box.close()
    if not parts["train"].lines:
        lost = [drop for part in parts.values() for drop in part.dropped]
        raise UserError(f"no text in {path} can be used: {lost[0].name} is {lost[0].reason}")
    return {split: part for split, part in parts.items() if part.lines}


def lines_of(data: bytes) -> tuple[list[tuple[int, str]], int]:
    """(number of the line, its text) of each line that is not blank, and how many are. Raises InvalidFile."""
    if not data:
        raise InvalidFile("an empty file: write one sequence a line")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidFile("UTF-16, not UTF-8: save it as UTF-8")
    if b"\0" in data:
        raise InvalidFile("no text, it holds NUL bytes: give a plain text file, UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = data[: error.start].count(b"\n") + 1
        raise InvalidFile(
            f"not UTF-8 in line {where}: save it as UTF-8 (iconv -t UTF-8 -f GB18030 does, or WINDOWS-1252)"
        ) from None
    lines = [" ".join(line.split()) for line in re.split("\r\n|\n|\r", unicodedata.normalize("NFC", text))]
    if not lines[-1]:
        lines.pop()  # what follows the last line's end is no line
    found = [(number, line) for number, line in enumerate(lines, 1) if line]
    if not found:
        raise InvalidFile("blank: write one sequence a line")
    return found, len(lines) - len(found)


def _companions(path: Path) -> list[str]:
    """Files beside one that is named for training, of the other splits: coco_test.txt beside coco_train.txt."""
    ending = _ENDING.search(path.stem)
    if not ending or _SPELT[ending[1].lower()] != "train":
        return []
    stem = path.stem[: ending.start(1)]
    names = (f"{stem}{word}{path.suffix}" for word in _SPELT if word != "train")
    return [name for name in names if (path.parent / name).is_file()]


def _split_of(name: str) -> str | None:
    """The split that a file's name or one of its folders tells; None if they tell none."""
    *folders, file = name.split("/")
    if ending := _ENDING.search(file.rpartition(".")[0]):
        return _SPELT[ending[1].lower()]
    return next((_SPELT[folder.lower()] for folder in folders if folder.lower() in _SPELT), None)


def _is_text(name: str) -> bool:
    return name[name.rfind(".") :].lower() in SUFFIXES


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with characters that the system forbids
        return False
