"""Music from MIDI files, folders and zips of them, or made by rule, as windows of bars on the sixteenth grid.

* Files are told by their extension, .mid or .midi; others are listed as dropped, and so is what cannot be read.
* Folders named train, test, val, valid or validation are splits, as with images. Otherwise every piece goes, by a hash
  of its notes relative to the first, to test (a tenth), val (a tenth) or train, so that the same tune, in another key
  or under another name, never stands in two splits; where that would leave nothing to train on, all is train.
* A piece whose notes are those of an earlier one of its split is dropped.
* What is learnt is a melody, a bass, drums, or a trio of all three (see reverie.data.bands for which notes are whose).
* A window is used once, however often it comes: repeats are counted among the rejected ones.
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
from reverie.data.file_types import SUFFIXES as PICTURES
from reverie.data.file_types import InvalidFile
from reverie.data.music import synthetic as tunes
from reverie.data.music.midi import EVENTS, PARTS, STEPS, SUFFIXES, Piece, read
from reverie.data.music.windows import windows
from reverie.utils.errors import UserError, near_miss

SPLITS = ("train", "test", "val")
_NAMED = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
MOST_BARS = 64
LOOKED_AT = 2_000
"""files of a folder that are looked at to tell what it holds"""
SHOWN = 5
"""names of dropped files that are shown for each reason"""


class Entry(NamedTuple):
    """A piece: its name, what its bytes hash to, its tune's digest (see Piece.digest), and which instruments play."""

    name: str
    sha: str
    digest: str
    parts: tuple[str, ...]


class MusicDataset:
    """Pieces of music, and after prepare their windows.

    Attributes:
        spec, name, split, splits: as of Images.
        classes: [], since music has no labels.
        facts: "part", the part that is learnt unless another is asked for: "melody", or where there is none "drums",
            or "bass".
        pieces: what is used.
        part, parts: what is learnt, and the instruments that play it: I of them; after prepare.
        array: int16 [N,I,T], the windows, in order of the pieces (see reverie.data.midi for what the events mean).
        of: int64 [N], the piece that a window is from.
        rejected: how many windows are not used, by reason; after prepare.
        dropped, notes, fingerprint: as of Images.
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
        usual = next(part for part in ("melody", "drums", "bass") if any(part in entry.parts for entry in self.pieces))
        self.facts: dict[str, Any] = {"part": usual}
        told = hashlib.sha256(json.dumps([split]).encode())
        for entry in self.pieces:
            told.update(bytes.fromhex(entry.sha))
        self.fingerprint = told.hexdigest()[:16]
        self.rejected: Counter[str] = Counter()
        self._array: np.ndarray | None = None
        self.of = np.empty(0, np.int64)

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> MusicDataset:
        """Opens a path or a built-in set; reads every file once. Raises UserError."""
        text = str(spec)
        if not text.strip():
            raise UserError("no data named: give a folder of MIDI files, a zip of them, or a name such as tunes")
        path, wanted = Path(text).expanduser(), _NAMED.get(split.lower(), split.lower())
        if _exists(path):
            name = path.resolve().name if path.is_dir() else path.stem
            return cls(text, name, _Files(path), wanted)
        if tunes.is_name(text):
            return cls(text, text, _Made(text), wanted)
        guess = "" if "/" in text or "\\" in text else near_miss(text.partition(":")[0], list(tunes.SETS))
        raise UserError(f"no such path, and no music of that name: {text}.{guess} Sets: {', '.join(tunes.SETS)}")

    def prepare(self, part: str | None = None, bars: int = 2, voice: str = "skyline") -> MusicDataset:
        """Cuts the pieces into windows of so many bars; returns self. Raises UserError if there is none.

        part: "melody", "bass", "drums" or "trio"; None: as facts has it; voice: see reverie.data.bands.windows
        """
        part = part or self.facts["part"]
        if part not in PARTS:
            raise UserError(f"the part must be one of {', '.join(PARTS)}, not {part}")
        if not 1 <= bars <= MOST_BARS:
            raise UserError(f"windows must have 1 to {MOST_BARS} bars, not {bars}")
        self._check(part)
        self.dropped, self.rejected = list(self._dropped), Counter()
        seen: set[bytes] = set()
        kept, of = [], []
        for k, entry in enumerate(_bar(self.pieces, "cutting")):
            try:
                cut, why = windows(self._source.piece(entry.name), part, bars, voice)
            except InvalidFile as unfit:
                self.dropped.append(Dropped(entry.name, str(unfit)))
                continue
            for row in cut:
                if (told := row.tobytes()) in seen:
                    why["repeat of an earlier window"] += 1
                else:
                    seen.add(told)
                    kept.append(row)
                    of.append(k)
            self.rejected += why
            if not len(cut):
                self.dropped.append(Dropped(entry.name, f"no window of {bars} bars: {why.most_common(1)[0][0]}"))
        if not kept:
            reason = _told(self.rejected, 3) if self.rejected else self.dropped[-1].reason
            raise UserError(f"{self.spec} ({self.split}) has no window of {bars} bars in 4/4: {reason}.")
        self._array, self.of = np.stack(kept), np.array(of, np.int64)
        total = len(kept) + sum(self.rejected.values())
        self.notes = [*self._source.notes, f"{len(kept)} of {total} windows of {bars} bars: {_told(self.rejected)}"]
        self.part, self.parts, self.bars = part, PARTS[part], bars
        return self

    def _check(self, part: str) -> None:
        """Raises UserError unless all instruments of a part play in one of the pieces."""
        if any(set(PARTS[part]) <= set(entry.parts) for entry in self.pieces):
            return
        there = [name for name in EVENTS if any(name in entry.parts for entry in self.pieces)]
        lacking = " and no ".join(name for name in PARTS[part] if name not in there)
        what = f"holds no {lacking}, only {' and '.join(there)}" if lacking else "has no piece with all three"
        if len(PARTS[part]) > 1:
            what += ": a trio is a melody, a bass (programs 32 to 39) and drums (channel 10)"
        raise UserError(f"{self.spec} {what}; learn {'that' if len(there) == 1 else 'one'}, with --part {there[0]}.")

    def __len__(self) -> int:
        """The windows; before prepare, the pieces."""
        return len(self.pieces) if self._array is None else len(self._array)

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """The windows at the given indices: "events", int64 [B,I,T]."""
        return {"events": torch.from_numpy(self.array[np.asarray(index, np.int64)].astype(np.int64)).to(device)}

    @property
    def array(self) -> np.ndarray:
        """All windows, int16 [N,I,T]."""
        if self._array is None:
            raise RuntimeError("call prepare(part, bars) before asking for windows")
        return self._array

    def only(self, rows: np.ndarray) -> MusicDataset:
        """The same with the windows of these numbers alone, in their order."""
        few = copy.copy(self)
        few._array, few.of = self.array[rows], self.of[rows]
        return few

    @classmethod
    def recognises(cls, spec: str | Path) -> bool:
        """Whether a path is a MIDI file, or holds more of them than pictures among its first files; or a set's name."""
        path = Path(spec).expanduser()
        if not _exists(path):
            return tunes.is_name(str(spec))
        names = [path.name]
        if path.is_dir():
            names = list(islice(files_below(path), LOOKED_AT))
        elif path.suffix.lower() == ".zip":
            try:
                with zipfile.ZipFile(path) as held:
                    names = held.namelist()[:LOOKED_AT]
            except (zipfile.BadZipFile, OSError):
                return False
        endings = Counter(name[name.rfind(".") :].lower() for name in names)
        return sum(endings[e] for e in SUFFIXES) > sum(endings[e] for e in PICTURES)

    @classmethod
    def inspect(cls, spec: str | Path) -> dict[str, Any]:
        """Findings on music, as JSON can write them: windows of 2 and 16 bars, what was rejected, what splits share."""
        first = cls.open(spec)
        findings: dict[str, Any] = {
            "spec": str(spec), "name": first.name, "kind": cls.kind, "facts": first.facts, "classes": [],
            "splits": {}, "shared_windows": [], "warnings": [],
        }  # fmt: skip
        arrays = {}
        for split in first.splits:
            data = first if split == "train" else cls.open(spec, split)
            findings["splits"][split] = _split(data)
            arrays[split] = data._array
        for split in first.splits[1:]:
            if (ours := arrays["train"]) is not None and (theirs := arrays[split]) is not None:
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
        """The findings as text for a person."""
        lines = [f"{findings['name']}: music, {findings['facts']['part']}"]
        for split, part in findings["splits"].items():
            lines += ["", f"{split}: {part['used']} pieces used of {part['found']} files found"]
            for bars, told in part["windows"].items():
                lines.append(f"  windows  {told['used']} of {bars} bars")
                lines += [f"           {count} not used: {reason}" for reason, count in told["rejected"].items()]
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
    """A place where pieces are."""

    parts: dict[str, list[Entry]]
    """by split"""
    dropped: dict[str, list[Dropped]]
    notes: list[str]

    def piece(self, name: str) -> Piece:
        """The piece of that name. Raises InvalidFile."""
        raise NotImplementedError


class _Made(_Source):
    """A built-in set."""

    def __init__(self, spec: str) -> None:
        self.make, self.notes = tunes.SETS[spec.partition(":")[0]], []
        seed, self.parts = f"{spec.partition(':')[0]}/{tunes.VERSION}", {}
        for split in ("train", "test"):
            names = [f"{split}/{i}" for i in range(tunes.count_of(spec, split))]
            shas = [hashlib.sha256(f"{seed}/{name}".encode()).hexdigest() for name in names]
            plays = tunes.ADVERSARIAL_LOSSES[spec.partition(":")[0]]
            self.parts[split] = [Entry(name, sha, sha, plays) for name, sha in zip(names, shas, strict=True)]
        self.dropped = {split: [] for split in SPLITS}

    def piece(self, name: str) -> Piece:
        split, _, i = name.partition("/")
        return self.make(split, int(i))


class _Files(_Source):
    """MIDI files in a folder or a zip, or one alone."""

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            self.box: FileTree = FolderTree(path)
        elif zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
            self.box = ZipTree(path)
        elif path.suffix.lower() in SUFFIXES:
            self.box = FolderTree(path.parent, [path.name])
        else:
            raise UserError(f"{path} is no MIDI file, folder or zip: give the folder that .mid files are in")
        names = sorted(name for name in self.box.stamps if name.lower().endswith(tuple(SUFFIXES)))
        if not names:
            others = f" ({len(self.box.stamps)} other files)" if self.box.stamps else ": it is empty"
            raise UserError(f"no MIDI files in {path}{others}; give a folder or zip with .mid files.")
        cut = len(_wrapper(names))
        named = {name[cut:].partition("/")[0].lower() for name in names if "/" in name[cut:]}
        self.notes: list[str] = []
        self.parts, self.dropped = {split: [] for split in SPLITS}, {split: [] for split in SPLITS}
        self.dropped["train"] += self.box.skipped
        self.dropped["train"] += [Dropped(n, "not a MIDI file") for n in sorted(self.box.stamps) if n not in set(names)]
        found: list[tuple[str, Entry]] = []
        for name in _bar(names, "reading"):
            top = name[cut:].partition("/")[0].lower()
            split = _NAMED.get(top, "") if "train" in named else "train"
            try:
                if not split:
                    raise InvalidFile("outside the folders of the splits")
                found.append((split, _entry(name, self.box.read(name))))
            except InvalidFile as unfit:
                self.dropped[split or "train"].append(Dropped(name, str(unfit)))
        if not found:
            worst = Counter(drop.reason.partition(":")[0] for drop in self.dropped["train"] if drop.name in names)
            raise UserError(f"none of the {len(names)} MIDI files in {path} can be used: {_told(worst, 1)}.")
        if "train" not in named:
            shares = {entry.digest: _share(entry.digest) for _, entry in found}
            if "train" in shares.values():
                found = [(shares[entry.digest], entry) for _, entry in found]
                self.notes.append("no folder train: pieces went to train, val or test by a hash of their notes")
        first: dict[tuple[str, str], str] = {}
        for split, entry in found:
            twin = first.setdefault((split, entry.digest), entry.name)
            if twin == entry.name:
                self.parts[split].append(entry)
            else:
                self.dropped[split].append(Dropped(entry.name, f"duplicate: the tune of {twin}"))
        self.parts = {split: entries for split, entries in self.parts.items() if entries}

    def piece(self, name: str) -> Piece:
        return read(self.box.read(name))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with characters that the system forbids
        return False


def _entry(name: str, data: bytes) -> Entry:
    piece = read(data)
    parts = tuple(name for name in EVENTS if len(piece.of(name)))
    return Entry(name, hashlib.sha256(data).hexdigest(), piece.digest, parts)


def _share(digest: str) -> str:
    """The split of a piece: a tenth each to test and val."""
    return {0: "test", 1: "val"}.get(int(digest[:8], 16) * 10 >> 32, "train")


def _wrapper(names: list[str]) -> str:
    """The folders that enclose all files and are not named as a split, with a slash at the end."""
    wrapper = ""
    for one, other in zip(min(names).split("/")[:-1], max(names).split("/")[:-1], strict=False):
        if one != other or one.lower() in _NAMED:
            break
        wrapper += f"{one}/"
    return wrapper


def _split(data: MusicDataset) -> dict[str, Any]:
    """What inspect tells of one split."""
    trios = any(set(PARTS["trio"]) <= set(entry.parts) for entry in data.pieces)
    trio = _windows(data, "trio", 16) if trios else None
    told = {str(bars): _windows(data, None, bars) for bars in (16, 2)}  # 2 last: of those is told what splits share
    reasons: dict[str, list[str]] = {}
    for drop in data.dropped:
        reasons.setdefault(drop.reason.partition(":")[0], []).append(drop.name)
    return {
        "found": len(data.pieces) + len(data._dropped), "used": len(data.pieces),
        "dropped": [{"name": drop.name, "reason": drop.reason} for drop in data.dropped],
        "dropped_by_reason": {reason: {"count": len(names), "names": names[:SHOWN]}
                              for reason, names in sorted(reasons.items(), key=lambda pair: -len(pair[1]))},
        "windows": told, "trios": trio, "notes": data.notes, "fingerprint": data.fingerprint,
    }  # fmt: skip


def _windows(data: MusicDataset, part: str | None, bars: int) -> dict[str, Any]:
    """How many windows can be used, and why others cannot."""
    try:
        used = len(data.prepare(part, bars))
    except UserError:
        used = 0
    return {"used": used, "rejected": dict(data.rejected.most_common()), "steps": STEPS * bars}


def _told(reasons: Counter[str], most: int | None = None) -> str:
    """Reasons in words, the commonest first."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(most)) or "none is left out"


def _bar(items: list[Any], what: str) -> Iterator[Any]:
    yield from tqdm(items, desc=what, unit=" pieces", delay=1, disable=None, leave=False, file=sys.stderr)
