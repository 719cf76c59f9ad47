"""Which notes are whose, and the windows in which all instruments of a part play.   M windows, I instruments, T steps.

Roberts 2018, arXiv:1803.05428, section 5.1, of trios: a melody is a track of the pianos, chromatic percussion, organs
or guitars (programs 0 to 31), a bass one of programs 32 to 39, drums are on channel 10; where a piece has several of a
kind, all combinations are used. A melody, a bass or drums alone are what all tracks of their kind play together.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np

from reverie.data.file_types import InvalidFile
from reverie.data.music.midi import HOLD, OFF, ON, PARTS, STEPS, Piece, bars_of, line

LEADS = range(32)
"""programs of General MIDI that are the melody of a trio"""
VOICES = ("skyline", "single")
NONE = {"melody": "", "bass": "no track of programs 32 to 39", "drums": "no notes on channel 10"}
"""why there is nothing of an instrument; of a melody it is told by what there is"""


def players(piece: Piece, part: str, voice: str) -> list[list[np.ndarray]]:
    """For each instrument of a part, the notes [N,5] that it may play: of a trio those of each track by itself.

    voice: see windows. Raises InvalidFile.
    """
    found = []
    for instrument in PARTS[part]:
        named = voice not in VOICES and instrument != "drums" and instrument == PARTS[part][0]
        notes = _named(piece, voice) if named else piece.of(instrument)
        if not len(notes):
            others = " and ".join(name for name in ("bass", "drums") if len(piece.of(name)))
            raise InvalidFile(f"no {instrument}: {NONE[instrument] or f'{others} only'}")
        tracks = [notes]
        if len(PARTS[part]) > 1:
            lead = instrument != "melody" or named
            numbers = [k for k in np.unique(notes[:, 3]).tolist() if lead or piece.programs[k] in LEADS]
            tracks = [notes[notes[:, 3] == k] for k in numbers]
            if not tracks:
                raise InvalidFile(f"no melody of a {part}: no track of programs 0 to 31")
        found.append(tracks)
    return found


def _named(piece: Piece, voice: str) -> np.ndarray:
    """The notes of the tracks of that name. Raises InvalidFile."""
    if (notes := piece.named().get(voice.strip().lower())) is None:
        raise InvalidFile(f"no track named '{voice}': it has {', '.join(filter(None, piece.tracks)) or 'no names'}")
    return notes


def windows(piece: Piece, part: str, bars: int, voice: str = "skyline") -> tuple[np.ndarray, Counter[str]]:
    """Every stretch of so many bars that can be used, int16 [M,I,T], moved by one bar at a time, and why others cannot.

    voice: of a melody or a bass, "skyline" takes the highest voice; "single" leaves out what has more than one; else
    the name of a track, of which the highest voice is taken (of a trio: as its melody). A note that sounds when a
    window begins is struck there. A trio's windows are counted once for each combination of tracks. Raises InvalidFile.
    """
    choices = players(piece, part, voice)
    many, grid = math.prod(map(len, choices)), bars_of(piece)
    kept, why = [np.zeros((0, len(choices), STEPS * bars), np.int16)], Counter[str]()
    if len(grid) < bars:
        why[f"shorter than {bars} bars"] += many
    starts = np.arange(max(0, len(grid) - bars + 1))
    right = np.array([bar.metre == "4/4" for bar in grid] + [False])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], right]).astype(int)))
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if stop - first >= bars:
            cuts = [
                [
                    _cut(piece, notes, name, grid[first].tick, stop - first, bars, voice, len(choices))
                    for notes in tracks
                ]
                for name, tracks in zip(PARTS[part], choices, strict=True)
            ]
            for chosen in product(*cuts):
                reasons = chosen[0][1]
                for _, found in chosen[1:]:
                    reasons = np.where(reasons == "", found, reasons)
                kept.append(np.stack([cut[reasons == ""] for cut, _ in chosen], 1))
                why += Counter(reasons[reasons != ""].tolist())
            starts = starts[(starts < first) | (starts > stop - bars)]
    for start in starts.tolist():
        metres = {bar.metre for bar in grid[start : start + bars]}
        alone = metres.pop() if len(metres) == 1 else ""
        why[f"not 4/4: {alone}" if alone else "metre change inside"] += many
    return np.concatenate(kept), why


def _cut(
    piece: Piece, notes: np.ndarray, instrument: str, tick: int, total: int, bars: int, voice: str, instruments: int
) -> tuple[np.ndarray, np.ndarray]:
    """All windows [M,T] of a stretch of 4/4, and the reason against each [M], "" where there is none."""
    whose = f" ({instrument})" if instruments > 1 else ""
    found, length, step = line(notes, piece.tpq, instrument, tick, total), STEPS * bars, piece.tpq / 4
    starts = STEPS * np.arange(total - bars + 1)  # [M]
    at = starts[:, None] + np.arange(length)  # [M,T]
    silent = found.sounds < 0
    since = np.arange(len(silent)) - np.maximum.accumulate(np.where(silent, -1, np.arange(len(silent))))
    rest = np.minimum(since[at] * silent[at], np.arange(length) + 1).max(1)
    onsets = np.searchsorted(np.sort(found.onsets), np.stack([starts, starts + length]))
    off = np.searchsorted(np.sort(found.onsets[found.off]), np.stack([starts, starts + length]))
    turns = np.array([(t - tick) / step for (t, b), (_, a) in zip(piece.tempos[1:], piece.tempos, strict=False)
                      if abs(a - b) > 1e-3 * a])  # fmt: skip
    turned = ((turns > starts[:, None]) & (turns < starts[:, None] + length)).any(1) if len(turns) else starts < 0
    reasons = np.full(len(starts), "", object)
    for name, bad in (  # the first that applies is told
        ("tempo change inside", turned),
        (f"empty{whose}", silent[at].all(1)),
        (f"more than one voice{whose}", found.many[at].any(1) & (voice == "single")),
        (f"off the grid{whose}", 4 * (off[1] - off[0]) > onsets[1] - onsets[0]),
        (f"rests for more than a bar{whose}", rest > STEPS),  # as the paper's data, section 5.1
    ):
        reasons[(reasons == "") & bad] = name
    cut = found.events[at]
    if instrument != "drums":
        sounding, first = found.sounds[starts], cut[:, 0]
        cut[:, 0] = np.where((first < ON) & (sounding >= 0), ON + sounding, np.where(first == OFF, HOLD, first))
    return cut, reasons
