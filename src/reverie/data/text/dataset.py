"""Lines of text, from a path or a name, as rows of tokens: one sequence a line.

* A file holds one sequence a line, UTF-8. A folder or a zip holds such .txt files, at any depth.
* A file named train, test or val, or whose name ends so (`coco_train.txt`, `coco_test.txt`), or that lies in a folder
  named so, belongs to that split, if there is one for train; then others are dropped. Otherwise all is `train`.
  A file given by its path is joined by the files beside it that are named alike for the other splits.
* Blank lines are skipped; runs of white space become one space; a byte order mark and the line ends of any system are
  understood; letters are composed (NFC).
* Lines with more tokens than `length` are dropped rather than cut. Words outside the vocabulary become <unk>. Both are
  counted.

N lines, B of a batch, T tokens of a line at most.
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
from reverie.data.file_types import SUFFIXES as IMAGE_SUFFIXES
from reverie.data.file_types import InvalidFile
from reverie.data.images.inspect import split_usage, usage_summary
from reverie.data.text import oracle, synthetic
from reverie.data.text.oracle import Oracle
from reverie.data.text.tokenizer import END, KINDS, SPECIAL, UNKNOWN, Tokenizer, detect_kind, fit_tokenizer
from reverie.utils.errors import UserError, near_miss
from reverie.utils.seeding import uniforms

SPLITS = ("train", "test", "val")
SUFFIXES = (".txt", ".text")
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

_SPLIT_NAMES = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
_ENDING = re.compile(rf"(?:^|(?<=[_\-. ]))({'|'.join(_SPLIT_NAMES)})$", re.IGNORECASE)


class Line(NamedTuple):
    """A line of text and where it stands: "poems.txt:17"."""

    place: str
    text: str


class Part(NamedTuple):
    """One split: its lines, the files that cannot be used, and notes for the user."""

    lines: list[Line]
    dropped: list[Dropped]
    notes: list[str]


class Texts:
    """Lines of text as tokens.

    `open` reads the lines; `prepare` fits or applies the tokenizer; then `len`, `batch` and `line` serve them.

    Attributes:
        spec, name, split, splits, classes, notes, dropped, fingerprint: as of reverie.data.images; there are no
            classes, and what is dropped is a file or a line.
        facts: after prepare, what a method's config takes over: "length", and "tokenizer" and "vocab" or, for an
            oracle, whose tokens are numbers, "vocab_size" and the "vocab" ().
        tokenizer: after prepare; not for an oracle.
        oracle: the model that the sequences were drawn from, or None.
    """

    kind = "text"
    classes: list[str] = []

    def __init__(self, spec: str, name: str, parts: dict[str, Part], split: str, oracle: Oracle | None = None) -> None:
        self.spec, self.name, self.split, self.oracle, self._parts = spec, name, split, oracle, parts
        self.splits = ["train", "test"] if oracle else [known for known in SPLITS if known in parts]
        if split not in self.splits:
            *others, last = self.splits
            names = f"{', '.join(others)} and {last}" if others else last
            raise UserError(f"no split '{split}' in {spec}: it has {names}.{near_miss(split, self.splits)}")
        part = Part([], [], []) if oracle else parts[split]
        self.dropped, self.notes, self.facts = list(part.dropped), list(part.notes), dict[str, Any]()
        self._lines, self._array = part.lines, np.empty((0, 0), np.int64)
        digest = hashlib.sha256(f"{split}\n{oracle.digest if oracle else ''}".encode())
        for line in part.lines:
            digest.update(line.text.encode() + b"\n")
        self.fingerprint = digest.hexdigest()[:16]

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> Texts:
        """Opens a file, a folder or zip of .txt files, an oracle, or a built-in set (`verses`, `couplets:500`).

        Raises UserError if there is no such path or set, no text in it, or no such split.
        """
        text = str(spec)
        if not text.strip():
            raise UserError("no data named: give a text file, a folder of them, or a name such as verses")
        split = _SPLIT_NAMES.get(split.lower(), split.lower())
        path, (name, _, rest) = Path(text).expanduser(), text.partition(":")
        if _exists(path):
            if path.suffix.lower() == ".npz":
                return cls(text, path.stem, {}, split, Oracle.read(path))
            title = path.resolve().name if path.is_dir() else path.stem
            return cls(text, title, _read(path), split)
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

    @classmethod
    def recognises(cls, spec: str | Path) -> bool:
        """Whether a path holds mostly text and no image, or a name is that of a set of text."""
        path = Path(spec).expanduser()
        if not _exists(path):
            return str(spec).partition(":")[0] in (*synthetic.NAMES, "oracle")
        names: Iterable[str]
        if path.is_dir():
            names = (name for name in files_below(path) if not name.startswith("."))
        elif path.suffix.lower() in (".zip", ".npz"):
            try:
                with zipfile.ZipFile(path) as archive:
                    names = [name for name in archive.namelist() if not name.endswith("/")]
            except (OSError, zipfile.BadZipFile):
                return False
            if path.suffix.lower() == ".npz":
                return {f"{key}.npy" for key in oracle.KEYS} <= set(names)
        else:
            return path.suffix.lower() in SUFFIXES
        texts = others = 0
        for name in names:  # a folder of images is left at the first of them
            if name[name.rfind(".") :].lower() in IMAGE_SUFFIXES:
                return False
            if _is_text(name):
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
    def inspect(cls, spec: str) -> dict[str, Any]:
        """What is in the text that `spec` names, as JSON can hold it. Raises UserError as open does."""
        first = cls.open(spec)
        parts = {split: (first if split == "train" else cls.open(spec, split)).prepare() for split in first.splits}
        facts = {k: len(v) if k == "vocab" else v for k, v in first.facts.items()}
        findings: dict[str, Any] = {
            "spec": str(spec), "name": first.name, "kind": cls.kind, "classes": [], "facts": facts,
            "splits": {split: _inspect_split(texts) for split, texts in parts.items()}, "warnings": [],
        }  # fmt: skip
        train = {first.line(i) for i in range(len(first))}
        if len(first) < FEW:
            findings["warnings"].append(f"{len(first)} lines to learn from are few: expect copies of them")
        for split, texts in parts.items():
            part, lost = findings["splits"][split], len(texts.dropped)
            if split != "train" and (shared := sum(texts.line(i) in train for i in range(len(texts)))):
                part["also_in_train"] = shared
                findings["warnings"].append(
                    f"lines of {split} that are also in train: {shared} of {len(texts)}; scores flatter copying"
                )
            if lost > 0.1 * part["found"]:
                findings["warnings"].append(f"{lost} of {part['found']} in {split} are not used: see the reasons")
        return findings

    @classmethod
    def describe(cls, findings: dict[str, Any]) -> str:
        """What inspect found, as text."""
        facts = findings["facts"]
        if "tokenizer" in facts:
            unit = f"by {facts['tokenizer']}, {facts['vocab']} words"
        else:
            unit = f"{facts['vocab_size']} numbers"
        lines = [usage_summary(findings, f"text, {unit}, up to {facts['length']} tokens a line", "lines"), ""]
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
        common = {texts.tokenizer.vocab[token]: n for token, n in counts.most_common(8)}
    return {
        **split_usage(texts),
        "tokens": {"min": int(lengths[0]), "median": int(np.median(lengths)), "max": int(lengths[-1])},
        "commonest": common,
    }


# -- files -------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Part]:
    """The splits of the text at an existing path. Raises UserError if there is none."""
    if path.is_dir():
        tree: FileTree = FolderTree(path)
    elif path.suffix.lower() == ".zip":
        tree = ZipTree(path)
    else:
        try:
            tree = FolderTree(path.parent, [path.name, *_companions(path)])
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a text file.") from None
    alone = path.is_file() and not isinstance(tree, ZipTree)  # a file given by its path is read whatever its suffix
    names = sorted(tree.stamps if alone else filter(_is_text, tree.stamps))
    if not names:
        raise UserError(f"there is no .txt file in {path} ({len(tree.stamps)} others); give one, or a folder of them.")
    parts = {split: Part([], [], []) for split in SPLITS}
    split_of = {name: _split_of(name) for name in names}
    has_splits = "train" in split_of.values()
    for name in names:
        split = split_of[name] if has_splits else "train"
        if split is None:
            parts["train"].dropped.append(Dropped(name, "outside the files of the splits"))
            continue
        try:
            texts, blank = lines_of(tree.read(name))
        except InvalidFile as invalid:
            if alone and name == path.name:
                raise UserError(f"{path} is {invalid}") from None
            parts[split].dropped.append(Dropped(name, str(invalid)))
            continue
        parts[split].lines.extend(Line(f"{name}:{number}", text) for number, text in texts)
        if blank:
            parts[split].notes.append(f"{blank} blank lines in {name} were skipped")
    tree.close()
    if not parts["train"].lines:
        lost = [drop for part in parts.values() for drop in part.dropped]
        raise UserError(f"no text in {path} can be used: {lost[0].name} is {lost[0].reason}")
    return {split: part for split, part in parts.items() if part.lines}


def lines_of(data: bytes) -> tuple[list[tuple[int, str]], int]:
    """([(line number from 1, text)] of the lines that are not blank, number of blank lines). Raises InvalidFile."""
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
    if not ending or _SPLIT_NAMES[ending[1].lower()] != "train":
        return []
    stem = path.stem[: ending.start(1)]
    names = (f"{stem}{word}{path.suffix}" for word in _SPLIT_NAMES if word != "train")
    return [name for name in names if (path.parent / name).is_file()]


def _split_of(name: str) -> str | None:
    """The split that a file's name or one of its folders names; None if they name none."""
    *folders, file = name.split("/")
    if ending := _ENDING.search(file.rpartition(".")[0]):
        return _SPLIT_NAMES[ending[1].lower()]
    return next((_SPLIT_NAMES[folder.lower()] for folder in folders if folder.lower() in _SPLIT_NAMES), None)


def _is_text(name: str) -> bool:
    return name[name.rfind(".") :].lower() in SUFFIXES


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with characters that the system forbids
        return False
