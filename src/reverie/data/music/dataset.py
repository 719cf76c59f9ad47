"""Music from MIDI files, folders and zips of them, or synthetic sets, as windows of bars on the sixteenth grid.

* Files are recognised by their suffix, .mid or .midi; others are listed as dropped, and so is what cannot be read.
* Folders named train, test, val, valid or validation are splits, as with images. Otherwise every piece goes, by a hash
  of its notes relative to the first, to test (a tenth), val (a tenth) or train, so that the same tune, in another key
  or under another name, never stands in two splits; where that would leave nothing to train on, all is train.
* A piece whose notes are those of an earlier one of its split is dropped.
* What is modelled is a melody, a bass, drums, or a trio of all three (see data/music/windows.py).
* Equal windows are used once: repeats are counted among the rejected ones.

B batch, N windows, I instruments, T steps (sixteenths).
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from reverie.data.archives import Dropped, FileTree, FolderTree, ZipTree, files_below
from reverie.data.file_types import SUFFIXES as IMAGE_SUFFIXES
from reverie.data.file_types import InvalidFile
from reverie.data.music import synthetic
from reverie.data.music.midi import EVENTS, PARTS, STEPS, SUFFIXES, Piece, read
from reverie.data.music.windows import windows
from reverie.utils.errors import UserError, near_miss

SPLITS = ("train", "test", "val")
_SPLIT_NAMES = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
MAX_BARS = 64
"""bars of a window at most"""
SAMPLED = 2_000
"""files of a folder that are looked at to recognise what it holds"""
SHOWN = 5
"""names of dropped files that inspect shows for each reason"""


class Entry(NamedTuple):
    """A piece that can be read."""

    name: str
    sha: str
    """SHA-256 of its bytes"""
    digest: str
    """see Piece.digest"""
    parts: tuple[str, ...]
    """the instruments that play"""


class MusicDataset:
    """Pieces of music, and after prepare their windows.

    Attributes:
        spec, name, split, splits: as of images.
        classes: [], since music has no labels.
        facts: "part", the part that is modelled by default: "melody", or where there is none "drums" or "bass".
        pieces: the pieces that are used.
        part, parts: after prepare, the part that is modelled, and its I instruments.
        bars: after prepare, bars of a window.
        array: after prepare, int16 [N,I,T], the windows in order of the pieces (events as in data/music/midi.py).
        piece_index: after prepare, int64 [N], the index into `pieces` of each window.
        rejected: after prepare, how many windows are not used, by reason.
        dropped, notes, fingerprint: as of images.
    """

    kind = "music"

    def __init__(self, spec: str, name: str, source: _Source, split: str) -> None:
        self.spec, self.name, self.split = spec, name, split
        self._source = source
        self.splits = [known for known in SPLITS if known in source.parts]
        if split not in self.splits:
            raise UserError(f"no split '{split}' in {spec}: it has {', '.join(self.splits)}.")
        self.pieces = list(source.parts[split])
        self._dropped = list(source.dropped[split])
        self.dropped, self.notes = list(self._dropped), list(source.notes)
        self.classes: list[str] = []
        playing = {part for entry in self.pieces for part in entry.parts}
        self.facts: dict[str, Any] = {"part": next(part for part in ("melody", "drums", "bass") if part in playing)}
        digest = hashlib.sha256(json.dumps([split]).encode())
        for entry in self.pieces:
            digest.update(bytes.fromhex(entry.sha))
        self.fingerprint = digest.hexdigest()[:16]
        self.rejected: Counter[str] = Counter()
        self._array: np.ndarray | None = None
        self.piece_index = np.empty(0, np.int64)

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> MusicDataset:
        """Opens a path or a synthetic set (`tunes`, `trios:200`); reads every file once. Raises UserError."""
        text = str(spec)
        if not text.strip():
            raise UserError("no data named: give a folder of MIDI files, a zip of them, or a name such as tunes")
        path, split = Path(text).expanduser(), _SPLIT_NAMES.get(split.lower(), split.lower())
        if _exists(path):
            name = path.resolve().name if path.is_dir() else path.stem
            return cls(text, name, _FileSource(path), split)
        if synthetic.is_name(text):
            return cls(text, text, _SyntheticSource(text), split)
        guess = "" if "/" in text or "\\" in text else near_miss(text.partition(":")[0], list(synthetic.SETS))
        raise UserError(f"no such path, and no music of that name: {text}.{guess} Sets: {', '.join(synthetic.SETS)}")

    def prepare(self, part: str | None = None, bars: int = 2, voice: str = "skyline") -> MusicDataset:
        """Cuts the pieces into windows; returns self. Raises UserError if there is none.

        part: "melody", "bass", "drums" or "trio"; None: that of `facts`
        bars: bars of a window, from 1 to MAX_BARS
        voice: of a melody, see data/music/windows.py
        """
        part = part or self.facts["part"]
        if part not in PARTS:
            raise UserError(f"the part must be one of {', '.join(PARTS)}, not {part}")
        if not 1 <= bars <= MAX_BARS:
            raise UserError(f"windows must have 1 to {MAX_BARS} bars, not {bars}")
        self._check(part)
        self.dropped, self.rejected = list(self._dropped), Counter()
        known: set[bytes] = set()
        kept, piece_index = [], []
        for k, entry in enumerate(_progress(self.pieces, "cutting")):
            try:
                rows, rejected = windows(self._source.piece(entry.name), part, bars, voice)
            except InvalidFile as invalid:
                self.dropped.append(Dropped(entry.name, str(invalid)))
                continue
            for row in rows:
                content = row.tobytes()
                if content in known:
                    rejected["repeat of an earlier window"] += 1
                else:
                    known.add(content)
                    kept.append(row)
                    piece_index.append(k)
            self.rejected += rejected
            if not len(rows):
                self.dropped.append(Dropped(entry.name, f"no window of {bars} bars: {rejected.most_common(1)[0][0]}"))
        if not kept:
            reason = _summary(self.rejected, 3) if self.rejected else self.dropped[-1].reason
            raise UserError(f"{self.spec} ({self.split}) has no window of {bars} bars in 4/4: {reason}.")
        self._array, self.piece_index = np.stack(kept), np.array(piece_index, np.int64)
        total = len(kept) + sum(self.rejected.values())
        self.notes = [*self._source.notes, f"{len(kept)} of {total} windows of {bars} bars: {_summary(self.rejected)}"]
        self.part, self.parts, self.bars = part, PARTS[part], bars
        return self

    def _check(self, part: str) -> None:
        """Raises UserError unless all instruments of a part play in one of the pieces."""
        if any(set(PARTS[part]) <= set(entry.parts) for entry in self.pieces):
            return
        present = [name for name in EVENTS if any(name in entry.parts for entry in self.pieces)]
        missing = [name for name in PARTS[part] if name not in present]
        problem = "has no piece with all three"
        if missing:
            problem = f"holds no {' and no '.join(missing)}, only {' and '.join(present)}"
        if len(PARTS[part]) > 1:
            problem += ": a trio is a melody, a bass (programs 32 to 39) and drums (channel 10)"
        which = "that" if len(present) == 1 else "one"
        raise UserError(f"{self.spec} {problem}; train on {which}, with --part {present[0]}.")

    def __len__(self) -> int:
        """N, the number of windows; before prepare, of pieces."""
        return len(self.pieces) if self._array is None else len(self._array)

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """{"events": int64 [B,I,T]} of the windows at some indices."""
        return {"events": torch.from_numpy(self.array[np.asarray(index, np.int64)].astype(np.int64)).to(device)}

    @property
    def array(self) -> np.ndarray:
        """All windows, int16 [N,I,T]."""
        if self._array is None:
            raise RuntimeError("call prepare(part, bars) before asking for windows")
        return self._array

    def subset(self, indices: np.ndarray) -> MusicDataset:
        """The data set of the windows at some indices, in that order."""
        subset = copy.copy(self)
        subset._array, subset.piece_index = self.array[indices], self.piece_index[indices]
        return subset

    @classmethod
    def recognises(cls, spec: str | Path) -> bool:
        """Whether a path is a MIDI file or holds more of them than images (among its first files), or a set's name."""
        path = Path(spec).expanduser()
        if not _exists(path):
            return synthetic.is_name(str(spec))
        names = [path.name]
        if path.is_dir():
            names = list(islice(files_below(path), SAMPLED))
        elif path.suffix.lower() == ".zip":
            try:
                with zipfile.ZipFile(path) as archive:
                    names = archive.namelist()[:SAMPLED]
            except (zipfile.BadZipFile, OSError):
                return False
        suffixes = Counter(name[name.rfind(".") :].lower() for name in names)
        return sum(suffixes[suffix] for suffix in SUFFIXES) > sum(suffixes[suffix] for suffix in IMAGE_SUFFIXES)

    @classmethod
    def inspect(cls, spec: str | Path) -> dict[str, Any]:
        """What is in music, as JSON can hold it: windows of 2 and 16 bars, what was rejected, and what splits share."""
        first = cls.open(spec)
        findings: dict[str, Any] = {
            "spec": str(spec), "name": first.name, "kind": cls.kind, "facts": first.facts, "classes": [],
            "splits": {}, "shared_windows": [], "warnings": [],
        }  # fmt: skip
        arrays = {}
        for split in first.splits:
            data = first if split == "train" else cls.open(spec, split)
            findings["splits"][split] = _inspect_split(data)
            arrays[split] = data._array
        for split in first.splits[1:]:
            ours, theirs = arrays["train"], arrays[split]
            if ours is not None and theirs is not None:
                known = {row.tobytes() for row in ours}
                count = sum(row.tobytes() in known for row in theirs)
                findings["shared_windows"].append({"splits": ["train", split], "count": count, "of": len(theirs)})
        train = findings["splits"]["train"]
        if train["used"] < 100:
            findings["warnings"].append(f"only {train['used']} pieces to train on: expect copies of them")
        if not any(train["windows"][bars]["used"] for bars in train["windows"]):
            findings["warnings"].append("no window can be used: see the reasons")
        return findings

    @classmethod
    def describe(cls, findings: dict[str, Any]) -> str:
        """What inspect found, as text."""
        lines = [f"{findings['name']}: music, {findings['facts']['part']}"]
        for split, part in findings["splits"].items():
            lines += ["", f"{split}: {part['used']} pieces used of {part['found']} files found"]
            for bars, counts in part["windows"].items():
                lines.append(f"  windows  {counts['used']} of {bars} bars")
                lines += [f"           {count} not used: {reason}" for reason, count in counts["rejected"].items()]
            if trios := part["trios"]:
                lines.append(f"  trios    {trios['used']} of {trios['steps'] // STEPS} bars, with --part trio")
                lines += [f"           {count} not used: {reason}" for reason, count in trios["rejected"].items()]
            for reason, drop in part["dropped_by_reason"].items():
                names = ", ".join(drop["names"]) + (", ..." if drop["count"] > len(drop["names"]) else "")
                lines.append(f"  dropped  {drop['count']}: {reason} ({names})")
            lines += [f"  note     {note}" for note in part["notes"]]
        for entry in findings["shared_windows"]:
            other = entry["splits"][1]
            lines += ["", f"windows of 2 bars of {other} that are also in train: {entry['count']} of {entry['of']}"]
        if findings["warnings"]:
            lines += ["", "warnings", *(f"  {warning}" for warning in findings["warnings"])]
        return "\n".join(lines)


class _Source:
    """Where the pieces of a data set come from."""

    parts: dict[str, list[Entry]]
    """by split, those without any left out"""
    dropped: dict[str, list[Dropped]]
    notes: list[str]

    def piece(self, name: str) -> Piece:
        """The piece of that name. Raises InvalidFile."""
        raise NotImplementedError


class _SyntheticSource(_Source):
    """A synthetic set."""

    def __init__(self, spec: str) -> None:
        name = spec.partition(":")[0]
        self.make, self.notes, self.parts = synthetic.SETS[name], [], {}
        for split in ("train", "test"):
            self.parts[split] = []
            for i in range(synthetic.count_of(spec, split)):
                sha = hashlib.sha256(f"{name}/{synthetic.VERSION}/{split}/{i}".encode()).hexdigest()
                self.parts[split].append(Entry(f"{split}/{i}", sha, sha, synthetic.PARTS_OF[name]))
        self.dropped = {split: [] for split in SPLITS}

    def piece(self, name: str) -> Piece:
        split, _, i = name.partition("/")
        return self.make(split, int(i))


class _FileSource(_Source):
    """MIDI files in a folder or a zip, or one alone."""

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            self.tree: FileTree = FolderTree(path)
        elif zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
            self.tree = ZipTree(path)
        elif path.suffix.lower() in SUFFIXES:
            self.tree = FolderTree(path.parent, [path.name])
        else:
            raise UserError(f"{path} is no MIDI file, folder or zip: give the folder that .mid files are in")
        files = self.tree.stamps
        names = sorted(name for name in files if name.lower().endswith(tuple(SUFFIXES)))
        if not names:
            others = f" ({len(files)} other files)" if files else ": it is empty"
            raise UserError(f"no MIDI files in {path}{others}; give a folder or zip with .mid files.")
        self.notes: list[str] = []
        self.parts, self.dropped = {split: [] for split in SPLITS}, {split: [] for split in SPLITS}
        self.dropped["train"] += self.tree.skipped
        self.dropped["train"] += [Dropped(name, "not a MIDI file") for name in sorted(set(files) - set(names))]
        readable, has_splits = self._read(names)
        if not readable:
            reasons = Counter(drop.reason.partition(":")[0] for drop in self.dropped["train"] if drop.name in names)
            raise UserError(f"none of the {len(names)} MIDI files in {path} can be used: {_summary(reasons, 1)}.")
        if not has_splits:
            readable = self._split_by_hash(readable)
        first: dict[tuple[str, str], str] = {}
        for split, entry in readable:
            original = first.setdefault((split, entry.digest), entry.name)
            if original == entry.name:
                self.parts[split].append(entry)
            else:
                self.dropped[split].append(Dropped(entry.name, f"duplicate: the tune of {original}"))
        self.parts = {split: entries for split, entries in self.parts.items() if entries}

    def _read(self, names: list[str]) -> tuple[list[tuple[str, Entry]], bool]:
        """(split, entry) of each file that can be read, and whether folders name the splits; others are dropped."""
        below = len(_wrapper(names))
        folders = {name: name[below:].partition("/")[0].lower() for name in names if "/" in name[below:]}
        has_splits = "train" in folders.values()
        readable: list[tuple[str, Entry]] = []
        for name in _progress(names, "reading"):
            split = _SPLIT_NAMES.get(folders.get(name, ""), "") if has_splits else "train"
            try:
                if not split:
                    raise InvalidFile("outside the folders of the splits")
                readable.append((split, _entry(name, self.tree.read(name))))
            except InvalidFile as invalid:
                self.dropped[split or "train"].append(Dropped(name, str(invalid)))
        return readable, has_splits

    def _split_by_hash(self, readable: list[tuple[str, Entry]]) -> list[tuple[str, Entry]]:
        """The pieces with splits by a hash of their notes, unless that leaves nothing to train on."""
        split = [(_split_of(entry.digest), entry) for _, entry in readable]
        if not any(name == "train" for name, _ in split):
            return readable
        self.notes.append("no folder train: pieces went to train, val or test by a hash of their notes")
        return split

    def piece(self, name: str) -> Piece:
        return read(self.tree.read(name))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with characters that the system forbids
        return False


def _entry(name: str, data: bytes) -> Entry:
    piece = read(data)
    parts = tuple(name for name in EVENTS if len(piece.of(name)))
    return Entry(name, hashlib.sha256(data).hexdigest(), piece.digest, parts)


def _split_of(digest: str) -> str:
    """The split of a piece by its digest: a tenth each to test and val."""
    return {0: "test", 1: "val"}.get(int(digest[:8], 16) * 10 >> 32, "train")


def _wrapper(names: list[str]) -> str:
    """The folders that contain all files and are not named as a split, with a slash at the end."""
    wrapper = ""
    for one, other in zip(min(names).split("/")[:-1], max(names).split("/")[:-1], strict=False):
        if one != other or one.lower() in _SPLIT_NAMES:
            break
        wrapper += f"{one}/"
    return wrapper


def _inspect_split(data: MusicDataset) -> dict[str, Any]:
    """What inspect reports of one split."""
    trios = any(set(PARTS["trio"]) <= set(entry.parts) for entry in data.pieces)
    trio = _inspect_windows(data, "trio", 16) if trios else None
    counts = {str(bars): _inspect_windows(data, None, bars) for bars in (16, 2)}  # 2 last: inspect compares these
    reasons: dict[str, list[str]] = {}
    for drop in data.dropped:
        reasons.setdefault(drop.reason.partition(":")[0], []).append(drop.name)
    by_reason = {}
    for reason, names in sorted(reasons.items(), key=lambda pair: -len(pair[1])):
        by_reason[reason] = {"count": len(names), "names": names[:SHOWN]}
    return {
        "found": len(data.pieces) + len(data._dropped), "used": len(data.pieces),
        "dropped": [{"name": drop.name, "reason": drop.reason} for drop in data.dropped],
        "dropped_by_reason": by_reason,
        "windows": counts, "trios": trio, "notes": data.notes, "fingerprint": data.fingerprint,
    }  # fmt: skip


def _inspect_windows(data: MusicDataset, part: str | None, bars: int) -> dict[str, Any]:
    """How many windows can be used, and how many not, by reason."""
    try:
        used = len(data.prepare(part, bars))
    except UserError:
        used = 0
    return {"used": used, "rejected": dict(data.rejected.most_common()), "steps": STEPS * bars}


def _summary(reasons: Counter[str], most: int | None = None) -> str:
    """The most frequent reasons, each after its count."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(most)) or "none is rejected"


def _progress(items: list[Any], what: str) -> Iterator[Any]:
    yield from tqdm(items, desc=what, unit=" pieces", delay=1, disable=None, leave=False, file=sys.stderr)
