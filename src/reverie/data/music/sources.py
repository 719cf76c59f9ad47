"""Where pieces of music come from: MIDI files in a folder, a zip or memory, or a synthetic set; and their splits.

* Folders named train, test, val, valid or validation are splits, as with images. Otherwise every piece goes, by a hash
  of its notes relative to the first, to test (a tenth), val (a tenth) or train, with all versions of it (splits.py);
  of fewer than HELD_OUT_FROM different pieces all are train.
* A piece whose notes are those of an earlier one of its split is dropped.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reverie.data.archives import Dropped, FileTree, FolderTree, ZipTree, is_zip
from reverie.data.file_types import InvalidFile
from reverie.data.media_types import names_of
from reverie.data.music import synthetic
from reverie.data.music.midi import EVENTS, Piece, read
from reverie.data.music.midi_repair import whole_part
from reverie.data.music.splits import group_pieces, phrases
from reverie.data.python_data import MemoryTree, PythonData
from reverie.data.splits import arrange
from reverie.utils.errors import UserError
from reverie.utils.formatting import counted
from reverie.utils.progress_bar import bar

SPLITS = ("train", "test", "val")
HELD_OUT_FROM = 50
"""different pieces from which on some are held out: of fewer, a hash may take half of them instead of a fifth"""


class Entry(NamedTuple):
    """A piece that can be read."""

    name: str
    sha: str
    """SHA-256 of its bytes"""
    digest: str
    """see Piece.digest"""
    parts: tuple[str, ...]
    """the instruments that play"""
    tracks: tuple[str, ...] = ()
    """the names of the tracks that hold notes, in the order of their numbers"""
    phrases: np.ndarray | None = None
    """see splits.phrases; of pieces that come without splits"""


class Source:
    """Where the pieces of a data set come from."""

    parts: dict[str, list[Entry]]
    """by split, those without any left out"""
    dropped: dict[str, list[Dropped]]
    notes: list[str]
    announced: list[str]
    """see MusicDataset"""

    def piece(self, name: str, drums: str = "") -> Piece:
        """The piece of that name; drums: see Reading.drums. Raises InvalidFile."""
        raise NotImplementedError


class SyntheticSource(Source):
    """A synthetic set."""

    def __init__(self, spec: str) -> None:
        name = spec.partition(":")[0]
        self.make, self.notes, self.announced, self.parts = synthetic.SETS[name], [], [], {}
        for split in ("train", "test"):
            self.parts[split] = []
            for i in range(synthetic.count_of(spec, split)):
                sha = hashlib.sha256(f"{name}/{synthetic.VERSION}/{split}/{i}".encode()).hexdigest()
                parts = synthetic.PARTS_OF[name]
                self.parts[split].append(Entry(f"{split}/{i}", sha, sha, parts, parts))
        self.dropped = {split: [] for split in SPLITS}

    def piece(self, name: str, drums: str = "") -> Piece:
        split, _, i = name.partition("/")
        return self.make(split, int(i)).with_drums(drums)


class FileSource(Source):
    """MIDI files in a folder or a zip, or one alone."""

    def __init__(self, path: Path | PythonData, splits: str = "auto") -> None:
        if isinstance(path, PythonData):
            self.tree: FileTree = MemoryTree(path, ".mid")
        elif path.is_dir():
            self.tree = FolderTree(path)
        elif is_zip(path) or path.suffix.lower() == ".zip":
            self.tree = ZipTree(path)
        elif names_of(one := FolderTree(path.parent, [path.name]), "music"):
            self.tree = one
        else:
            raise UserError(f"{path} is no MIDI file, folder or zip: give the folder that .mid files are in")
        files = self.tree.stamps
        names = sorted(names_of(self.tree, "music"))
        if not names:
            others = f" ({len(files)} other files)" if files else ": it is empty"
            raise UserError(f"no MIDI files in {path}{others}; give a folder or zip with .mid files.")
        self.notes, self.announced = list[str](), list[str]()
        self.warnings: list[str] = []
        self.parts, self.dropped = {split: [] for split in SPLITS}, {split: [] for split in SPLITS}
        self.dropped["train"] += self.tree.skipped
        self.dropped["train"] += [Dropped(name, "not a MIDI file") for name in sorted(set(files) - set(names))]
        readable, has_splits = self._read(names, splits)
        if not readable:
            reasons = Counter(drop.reason.partition(":")[0] for drop in self.dropped["train"] if drop.name in names)
            reason, count = reasons.most_common(1)[0]
            found = counted(len(names), "MIDI file")
            raise UserError(f"none of the {found} in {path} can be used: {count} {reason}.")
        if not has_splits:
            readable = self._split_by_group(readable)
        first: dict[tuple[str, str], str] = {}
        for split, entry in readable:
            original = first.setdefault((split, entry.digest), entry.name)
            if original == entry.name:
                self.parts[split].append(entry)
            else:
                self.dropped[split].append(Dropped(entry.name, f"duplicate: the tune of {original}"))
        self.parts = {split: entries for split, entries in self.parts.items() if entries}

    def _read(self, names: list[str], splits: str) -> tuple[list[tuple[str, Entry]], bool]:
        """(split, entry) of each file that can be read, and whether folders name the splits; others are dropped."""
        arrangement = arrange(names, splits)
        self.warnings += arrangement.warnings
        readable: list[tuple[str, Entry]] = []
        in_part: dict[str, str] = {}
        for name in bar(names, None, "reading", "pieces"):
            split, _ = arrangement.locate(name)
            try:
                if not split:
                    raise InvalidFile(arrangement.outside)
                data, note = whole_part(self.tree.read(name))
                readable.append((split, _entry(name, data)))
                if note:
                    in_part[name] = note
            except InvalidFile as invalid:
                self.dropped[split or "train"].append(Dropped(name, str(invalid)))
        if in_part:
            name, note = next(iter(in_part.items()))
            self.notes.append(
                f"files that are not sound, read as far as they are whole: {len(in_part)}, such as {name} ({note})"
            )
            self.announced.append(self.notes[-1])
        return readable, bool(arrangement.folders or arrangement.lone) or splits == "none"

    def _split_by_group(self, readable: list[tuple[str, Entry]]) -> list[tuple[str, Entry]]:
        """The pieces with splits by a hash of the notes of a group of versions; of few groups all are train.

        The split of a piece does not depend on the other groups, so it stays when pieces are added.
        """
        entries = [entry for _, entry in readable]
        names, digests = [entry.name for entry in entries], [entry.digest for entry in entries]
        groups = group_pieces(names, digests, [entry.phrases for entry in entries if entry.phrases is not None])
        smallest: dict[int, str] = {}
        for group, digest in zip(groups, digests, strict=True):
            smallest[group] = min(digest, smallest.get(group, digest))
        few = len(smallest) < HELD_OUT_FROM
        split = ["train" if few else _split_of(smallest[group]) for group in groups]
        self._note_held_out(dict(zip(digests, split, strict=True)), len(smallest))
        return [(name, entry._replace(phrases=None)) for name, entry in zip(split, entries, strict=True)]

    def _note_held_out(self, split_of: dict[str, str], songs: int) -> None:
        """Says what is held out of the pieces, by digest, of which so many are no versions of others."""
        note = (
            f"nothing is held out of fewer than {HELD_OUT_FROM} different pieces, here {songs}: scores can only "
            "compare with those learnt from, unless folders are named train and test"
        )
        if songs >= HELD_OUT_FROM:
            total, count = len(split_of), Counter(split_of.values())
            note = (
                f"no folder is named test: {count['test']} of {total:,} pieces, chosen by a hash of their notes, are "
                f"held out as test and {count['val']} as val, and not learnt from (--splits none: none)"
            )
            if total > songs:
                note += f"; {total - songs} of the pieces are versions of others, and stand in their split"
        self.notes.append(note)
        self.announced.append(note)

    def piece(self, name: str, drums: str = "") -> Piece:
        return read(self.tree.read(name), drums=drums)


def _entry(name: str, data: bytes) -> Entry:
    piece = read(data)
    parts = tuple(name for name in EVENTS if len(piece.of(name)))
    tracks = tuple(piece.tracks[k] for k in piece.numbers())
    return Entry(name, hashlib.sha256(data).hexdigest(), piece.digest, parts, tracks, phrases(piece))


def _split_of(digest: str) -> str:
    """The split of a piece by its digest: a tenth each to test and val."""
    return {0: "test", 1: "val"}.get(int(digest[:8], 16) * 10 >> 32, "train")
