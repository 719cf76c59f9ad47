"""Which pieces are versions of one another, so that all of them stand in one split.

Pieces belong together that

* have the same notes, in whatever key (Piece.digest);
* share more than a quarter of their phrases (SHARED) of the shorter one, in whatever key: a phrase is PHRASE notes of
  the highest voice, or as many hits of the drums, as intervals and durations in sixteenths;
* lie in one folder of at most FOLDER files, of a set of folders (001/001.mid, 001/versions/001-v1.mid);
* have names that differ by a mark of a version: song.mid, song-v2.mid, "song (1).mid", song.1.mid, song_transposed.mid.

A group goes to a split by a hash of the smallest digest in it. N pieces.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from reverie.data.music.midi import CLASS_OF, Piece

PHRASE = 8
"""notes of a phrase"""
SHARED = 0.25
"""share of the phrases of the shorter of two pieces, above which they are versions of one"""
LEAST = 6
"""phrases that two pieces must have in common"""
SKETCH = 512
"""phrases of a piece that are compared, at most: those of the smallest hashes"""
COMMON = 40
"""pieces that a phrase may stand in to say something: a scale or a plain beat is in many"""
FOLDER = 12
"""files of a folder of versions, at most"""
FEWEST = 5
"""groups that must be left for folders to be taken as groups"""
_MARK = re.compile(
    r"[\s._-]*(?:"
    r"\(\d{1,2}\)|\[\d{1,2}\]|\.\d{1,2}"
    r"|[\s._-](?:v|ver|vers|version|take|tk|alt|alternate|alternative|copy|kopie|copie|dup|duplicate|arr|arranged"
    r"|arrangement|mix|remix|edit|edited|transposed?|tr|key|orig|original|clean|fixed|final|live|demo|karaoke|backup|bak)"
    r"(?:[\s._-]*[+-]?[0-9a-g]?[0-9]?(?:#|b|sharp|flat|major|minor|maj|min|m)?)?"
    r")$",
    re.I,
)
"""the mark of a version at the end of a name"""
_NUMBER = re.compile(r"[\s._-]\d{1,2}$")
"""a number at the end: a mark of a version only where the name without it is there too"""


def phrases(piece: Piece) -> np.ndarray:
    """The hashes of the phrases of a piece, uint64, sorted, each once; the same in every key and resolution."""
    found = [_hashes(*voice) for voice in (_top_voice(piece), _drum_voice(piece))]
    return np.unique(np.concatenate(found))[:SKETCH]


def _top_voice(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """(onsets in sixteenths, intervals to the note before) of the highest note at each onset, drums left out."""
    notes = piece.notes[piece.notes[:, 4] == 0]
    at, pitch = _sixteenths(notes[:, 0], piece.tpq), notes[:, 2]
    order = np.lexsort((-pitch, at))
    at, first = np.unique(at[order], return_index=True)
    return at, np.diff(pitch[order][first], prepend=0)


def _drum_voice(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """(onsets in sixteenths, a bit for each class of drums) at each onset of drums."""
    notes = piece.notes[piece.notes[:, 4] == 1]
    at, inverse = np.unique(_sixteenths(notes[:, 0], piece.tpq), return_inverse=True)
    hit = np.zeros(len(at), np.int64)
    np.bitwise_or.at(hit, inverse, np.array([1 << CLASS_OF.get(int(pitch), 9) for pitch in notes[:, 2]], np.int64))
    return at, hit


def _sixteenths(ticks: np.ndarray, tpq: int) -> np.ndarray:
    return np.floor(ticks * 4 / tpq + 0.5).astype(np.int64)


def _hashes(at: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The hashes of all stretches of PHRASE onsets: the values of all but the first, and the times between."""
    count = len(at) - PHRASE + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    out = np.zeros(count, np.uint64)
    times = np.diff(at)
    with np.errstate(over="ignore"):
        for k in range(1, PHRASE):  # a polynomial modulo 2^64, mixed after each term
            for numbers in (value[k : k + count], times[k - 1 : k - 1 + count]):
                out = (out ^ numbers.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
                out ^= out >> np.uint64(29)
    return out


def group_pieces(names: Sequence[str], digests: Sequence[str], sketches: Sequence[np.ndarray]) -> list[int]:
    """The group of each piece [N], as the index of a piece in it.

    names: of the files, with folders; digests: see Piece.digest; sketches: of each, see `phrases`
    """
    groups = list(range(len(names)))
    _unite(groups, _equal(digests))
    _unite(groups, _alike(sketches))
    _unite(groups, _versions_by_name(names))
    by_folder = list(groups)
    _unite(by_folder, _siblings(names))
    roots = [_root(by_folder, k) for k in range(len(names))]
    return roots if len(set(roots)) >= FEWEST else [_root(groups, k) for k in range(len(names))]


def _equal(keys: Iterable[str]) -> Iterable[tuple[int, int]]:
    first: dict[str, int] = {}
    for k, key in enumerate(keys):
        if key and (known := first.setdefault(key, k)) != k:
            yield known, k


def _alike(sketches: Sequence[np.ndarray]) -> Iterable[tuple[int, int]]:
    """Pairs of pieces that share phrases."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for k, sketch in enumerate(sketches):
        for phrase in sketch.tolist():
            places[phrase].append(k)
    shared: Counter[tuple[int, int]] = Counter()
    for pieces in places.values():
        if 1 < len(pieces) <= COMMON:
            shared.update(combinations(pieces, 2))
    for (a, b), count in shared.items():
        if count >= LEAST and count > SHARED * _compared(sketches[a], sketches[b]):
            yield a, b


def _compared(one: np.ndarray, other: np.ndarray) -> int:
    """Phrases of the shorter of two pieces that the sketches of both reach up to."""
    reach = min(sketch[-1] if len(sketch) == SKETCH else np.uint64(2**64 - 1) for sketch in (one, other))
    return min(int(np.searchsorted(sketch, reach, side="right")) for sketch in (one, other))


def _versions_by_name(names: Sequence[str]) -> Iterable[tuple[int, int]]:
    """Pairs of files whose names differ by the mark of a version, in one folder or in a folder below it."""
    stems = [name.rpartition("/")[2].rpartition(".")[0].lower() for name in names]
    folders = [name.rpartition("/")[0] for name in names]
    plain = {(folder, stem) for folder, stem in zip(folders, stems, strict=True)}
    keys = []
    for folder, stem in zip(folders, stems, strict=True):
        base = stem
        while (shorter := _MARK.sub("", base)) and shorter != base:
            base = shorter
        if base == stem and (folder, shorter := _NUMBER.sub("", stem)) in plain:
            base = shorter
        keys.append(f"{folder}/{base}")
    return _equal(keys)


def _siblings(names: Sequence[str]) -> Iterable[tuple[int, int]]:
    """Pairs of files in a folder of few files: the outermost one of each that holds at most FOLDER, subfolders too."""
    count = Counter(folder for name in names for folder in _folders(name))
    outermost = (next((folder for folder in _folders(name) if count[folder] <= FOLDER), "") for name in names)
    return _equal(outermost)


def _folders(name: str) -> list[str]:
    """The folders of a file, the outermost first."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[:k]) for k in range(1, len(parts) + 1)]


def _unite(groups: list[int], pairs: Iterable[tuple[int, int]]) -> None:
    for a, b in pairs:
        one, other = sorted((_root(groups, a), _root(groups, b)))
        groups[other] = one


def _root(groups: list[int], k: int) -> int:
    while groups[k] != k:
        groups[k] = groups[groups[k]]
        k = groups[k]
    return k
