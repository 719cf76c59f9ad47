"""Music from MIDI files, folders and zips of them, or synthetic sets, as windows of bars on a grid.

* Files are recognised by their suffix, .mid or .midi; others are listed as dropped, and so is what cannot be read.
* Of which split a piece is: see data/music/sources.py.
* What is modelled is a melody, a bass, drums, or a trio of all three (see data/music/windows.py).
* Equal windows are used once: repeats are counted among the rejected ones.

B batch, N windows, I instruments, T steps of the grid.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.data.archives import ZIP_ERRORS, Dropped, files_below
from reverie.data.data_spec import DataSpec
from reverie.data.description import represent
from reverie.data.file_types import SUFFIXES as IMAGE_SUFFIXES
from reverie.data.file_types import InvalidFile
from reverie.data.music import synthetic
from reverie.data.music.grid import NEAREST, OFF_GRID, SIXTEENTHS, Reading, make_grid
from reverie.data.music.leaks import LEAK, count_shared, lost_pieces
from reverie.data.music.midi import EVENTS, PARTS, SUFFIXES
from reverie.data.music.sources import SPLITS, FileSource, Source, SyntheticSource
from reverie.data.music.windows import TRIPLETS, VOICES, windows
from reverie.data.python_data import PythonData
from reverie.data.splits import standard_split
from reverie.utils.errors import UserError, near_miss
from reverie.utils.formatting import counted
from reverie.utils.paths import exists
from reverie.utils.progress_bar import bar

MAX_BARS = 64
"""bars of a window at most"""
HIDDEN = 0.01
"""share of the notes below the highest voice above which they are counted in a note"""
SAMPLED = 2_000
"""files of a folder that are looked at to recognise what it holds"""


class MusicDataset:
    """Pieces of music, and after prepare their windows.

    Attributes:
        spec, name, split, splits: as of images.
        classes: [], since music has no labels.
        facts: "part", the part that is modelled by default: "melody", or where there is none "drums" or "bass".
        pieces: the pieces that are used.
        part, parts: after prepare, the part that is modelled, and its I instruments.
        bars, grid: after prepare, bars of a window, and their grid.
        used: after prepare, the number of pieces that have a window which is used.
        array: after prepare, int16 [N,I,T], the windows in order of the pieces (events as in data/music/midi.py).
        piece_index: after prepare, int64 [N], the index into `pieces` of each window.
        rejected: after prepare, how many windows are not used, by reason.
        dropped, notes, warnings, fingerprint: as of images.
        announced: those of the notes that training prints, beside warnings.
    """

    kind = "music"
    __repr__ = represent

    def __init__(self, spec: str, name: str, source: Source, split: str) -> None:
        self.spec, self.name, self.split = spec, name, split
        self._source = source
        self.splits = [known for known in SPLITS if known in source.parts]
        if split not in self.splits:
            raise UserError(f"no split '{split}' in {spec}: it has {', '.join(self.splits)}.")
        self.pieces = list(source.parts[split])
        self._dropped = list(source.dropped[split])
        self.dropped, self.notes, self.announced = list(self._dropped), list(source.notes), list(source.announced)
        self.classes: list[str] = []
        playing = {part for entry in self.pieces for part in entry.parts}
        self.facts: dict[str, Any] = {"part": next(part for part in ("melody", "drums", "bass") if part in playing)}
        digest = hashlib.sha256(json.dumps([split]).encode())
        for entry in self.pieces:
            digest.update(bytes.fromhex(entry.sha))
        self.fingerprint = digest.hexdigest()[:16]
        self.rejected: Counter[str] = Counter()
        self.warnings: list[str] = []
        self.used, self.grid = 0, SIXTEENTHS
        self._array: np.ndarray | None = None
        self.piece_index = np.empty(0, np.int64)

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> MusicDataset:
        """Opens a path or a synthetic set (`tunes`, `trios:200`); reads every file once. Raises UserError."""
        text = DataSpec(spec)
        if not text.strip():
            raise UserError("no data named: give a folder of MIDI files, a zip of them, or a name such as tunes")
        if isinstance(spec, PythonData):
            return cls(spec, "music in memory", FileSource(spec), standard_split(split))
        path, split = Path(text).expanduser(), standard_split(split)
        if exists(path):
            name = path.resolve().name if path.is_dir() else path.stem
            return cls(text, name, FileSource(path, text.splits), split)
        if synthetic.is_name(text):
            return cls(text, text, SyntheticSource(text), split)
        guess = "" if "/" in text or "\\" in text else near_miss(text.partition(":")[0], list(synthetic.SETS))
        raise UserError(f"no such path, and no music of that name: {text}.{guess} Sets: {', '.join(synthetic.SETS)}")

    def prepare(
        self, part: str | None = None, bars: int = 2, voice: str = "skyline", time_signature: str = "4/4",
        ignore_signatures: bool = False, grid: int = 16, quantize: float | None = None, track: str = "",
        drums: str = "",
    ) -> MusicDataset:  # fmt: skip
        """Cuts the pieces into windows; returns self. Raises UserError if there is none.

        part: "melody", "bass", "drums" or "trio"; None: that of `facts`
        bars: bars of a window, from 1 to MAX_BARS
        voice: of a melody, see data/music/windows.py
        time_signature, grid, others: what bars are taken, and how, see data/music/grid.py
        """
        part = part or self.facts["part"]
        if part not in PARTS:
            raise UserError(f"the part must be one of {', '.join(PARTS)}, not {part}")
        if not 1 <= bars <= MAX_BARS:
            raise UserError(f"windows must have 1 to {MAX_BARS} bars, not {bars}")
        if voice not in VOICES:
            raise UserError(f"the voice must be {' or '.join(VOICES)}, not {voice}; a track is named with --track.")
        reading = Reading(
            make_grid(time_signature, grid), quantize, ignore_signatures, voice, track.strip(), drums.strip()
        )
        if not (track or drums):
            self._check(part)
        self._cut(part, bars, reading)
        self.warnings = [*getattr(self._source, "warnings", ()), *lost_pieces(self)]
        if self.split == "train":
            self.warnings += self._leaks(part, bars, reading)
        return self

    def _leaks(self, part: str, bars: int, reading: Reading) -> list[str]:
        """Warnings of windows of other splits of files that stand in this one too."""
        warnings = []
        for split in self.splits[1:] if isinstance(self._source, FileSource) else ():
            other = MusicDataset(self.spec, self.name, self._source, split)
            with contextlib.suppress(UserError):  # a split without windows has none in common
                other._cut(part, bars, reading)
                count = count_shared(self, other)
                if count > LEAK * len(other):
                    warnings.append(f"windows of {split} that are also in train, in some key: {count} of {len(other)}; "
                                    "scores flatter copying")  # fmt: skip
        return warnings

    def _cut(self, part: str, bars: int, reading: Reading) -> None:
        """Cuts the pieces into windows. Raises UserError if there is none."""
        self.dropped, self.rejected, counts = list(self._dropped), Counter(), Counter[str]()
        known: set[bytes] = set()
        kept, piece_index = [], list[int]()
        for k, entry in enumerate(bar(self.pieces, None, "cutting", "pieces")):
            try:
                piece = self._source.piece(entry.name, reading.drums)
                rows, rejected = windows(piece, part, bars, reading, counts)
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
            if not piece_index or piece_index[-1] != k:
                self.dropped.append(Dropped(entry.name, f"no window of {bars} bars: {rejected.most_common(1)[0][0]}"))
        if not kept:
            reason = _summary(self.rejected, 3) if self.rejected else self.dropped[-1].reason
            advice = advice_on(self.rejected, reading)
            where = f"{self.spec} ({self.split}) has no window of {bars} bars in {reading.grid.signature}"
            raise UserError(f"{where}: {reason}.{' ' + advice if advice else ''}")
        self._array, self.piece_index = np.stack(kept), np.array(piece_index, np.int64)
        self.part, self.parts, self.bars, self.grid = part, PARTS[part], bars, reading.grid
        self.used = len(set(piece_index))
        total = len(kept) + sum(self.rejected.values())
        whole = (
            f"{len(kept)} of {total} windows of {bars} bars, from {self.used} of {counted(len(self.pieces), 'piece')}"
        )
        hidden = hidden_notes(counts, reading)
        self.announced = [*self._source.announced, *hidden]
        self.notes = [*self._source.notes, f"{whole}: {_summary(self.rejected)}", *hidden, *notes_on(counts, reading)]
        if advice := advice_on(self.rejected, reading):
            self.notes.append(advice)

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
        if not exists(path):
            return synthetic.is_name(str(spec))
        names = [path.name]
        if path.is_dir():
            names = list(islice(files_below(path), SAMPLED))
        elif path.suffix.lower() == ".zip":
            try:
                with zipfile.ZipFile(path) as archive:
                    names = archive.namelist()[:SAMPLED]
            except ZIP_ERRORS:
                return False
        suffixes = Counter(name[name.rfind(".") :].lower() for name in names)
        return sum(suffixes[suffix] for suffix in SUFFIXES) > sum(suffixes[suffix] for suffix in IMAGE_SUFFIXES)


def notes_on(counts: Counter[str], reading: Reading) -> list[str]:
    """Notes on what was done to pieces to fit the grid; counts: see windows."""
    notes = []
    others = {name: count for name, count in counts.most_common() if name.startswith("in ")}
    if others:
        listed = ", ".join(f"{count} {name}" for name, count in others.items())
        notes.append(
            f"bars taken as {reading.grid.signature} since they are as long, or several or parts of them: {listed}"
        )
    if reading.ignore_signatures:
        notes.append(f"the time signatures of the files are ignored: all is taken as {reading.grid.signature}")
    share = counts["moved"] / max(1, counts["onsets"])
    if share > 0.03:
        notes.append(
            f"onsets are moved to the nearest of {reading.grid.step_name}, {share:.0%} of them by more than {OFF_GRID} "
            "steps: swing and timing finer than the grid are lost"
        )
    return notes


def hidden_notes(counts: Counter[str], reading: Reading) -> list[str]:
    """A note on what is lost of music of several voices, where that is more than HIDDEN; counts: see windows."""
    if reading.voice != "skyline" or counts["hidden"] <= HIDDEN * counts["pitched"]:
        return []
    return [
        f"{counts['hidden']:,} of {counts['pitched']:,} notes begin with a higher one or while it sounds, and are not "
        "used: the highest voice is what is learnt; --track NAME takes that of one track, --voice single only windows "
        "that have no other voice"
    ]


def advice_on(rejected: Counter[str], reading: Reading) -> str:
    """What options would take windows that are rejected now, where they are more than a tenth; "" for none."""
    total, advice = sum(rejected.values()), []
    ignored = ("repeat of an earlier window", "empty")
    lost = {reason: count for reason, count in rejected.items() if reason not in ignored and count > 0.1 * total}
    others = [reason.rpartition(" ")[2] for reason in lost if reason.startswith("not ")]
    if others:
        advice.append(f"--time-signature {others[0]} takes bars of {others[0]}")
    if others or any(reason.endswith("change inside") for reason in lost):
        advice.append(f"--ignore-signatures takes all as {reading.grid.signature}, changes of metre and tempo too")
    if any(reason.startswith(("triplets", "off the grid")) for reason in lost):
        if reading.grid.resolution % TRIPLETS:
            advice.append("--grid 24 holds triplets and eighths")
        advice.append(f"--quantize {NEAREST} moves every onset to the grid")
    return f"{'; '.join(advice)}." if advice else ""


def _summary(reasons: Counter[str], most: int | None = None) -> str:
    """The most frequent reasons, each after its count."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(most)) or "none is rejected"
