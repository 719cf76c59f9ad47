"""Which notes belong to which instrument, and the windows of a piece that can be used.

M windows, I instruments, T steps (sixteenths), N notes.

Roberts 2018, arXiv:1803.05428, section 5.1, on trios: a melody is a track of the pianos, chromatic percussion, organs
or guitars (programs 0 to 31), a bass one of programs 32 to 39, drums are on channel 10; where a piece has several of a
kind, all combinations are used. A melody, a bass or drums alone are all tracks of their kind together.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np

from reverie.data.file_types import InvalidFile
from reverie.data.music.midi import HOLD, OFF, ON, PARTS, STEPS, Bar, Line, Piece, bars_of, line

LEADS = range(32)
"""General MIDI programs that are the melody of a trio"""
VOICES = ("skyline", "single")
MISSING = {"bass": "no track of programs 32 to 39", "drums": "no notes on channel 10"}
"""why a piece has nothing for an instrument"""


def candidate_tracks(piece: Piece, part: str, voice: str) -> list[list[np.ndarray]]:
    """For each instrument of a part, the notes [N,5] that it may play: of a trio those of each track by itself.

    voice: see windows. Raises InvalidFile.
    """
    candidates = []
    for instrument in PARTS[part]:
        named = voice not in VOICES and instrument != "drums" and instrument == PARTS[part][0]
        notes = _named(piece, voice) if named else piece.of(instrument)
        if not len(notes):
            others = " and ".join(name for name in ("bass", "drums") if len(piece.of(name)))
            raise InvalidFile(f"no {instrument}: {MISSING.get(instrument, f'{others} only')}")
        tracks = [notes]
        if len(PARTS[part]) > 1:
            any_program = instrument != "melody" or named
            numbers = [k for k in np.unique(notes[:, 3]).tolist() if any_program or piece.programs[k] in LEADS]
            tracks = [notes[notes[:, 3] == k] for k in numbers]
            if not tracks:
                raise InvalidFile(f"no melody of a {part}: no track of programs 0 to 31")
        candidates.append(tracks)
    return candidates


def _named(piece: Piece, voice: str) -> np.ndarray:
    """The notes [N,5] of the tracks of that name. Raises InvalidFile if there is none."""
    if (notes := piece.named().get(voice.strip().lower())) is None:
        raise InvalidFile(f"no track named '{voice}': it has {', '.join(filter(None, piece.tracks)) or 'no names'}")
    return notes


def windows(piece: Piece, part: str, bars: int, voice: str = "skyline") -> tuple[np.ndarray, Counter[str]]:
    """The usable windows of `bars` bars, one from each bar on, int16 [M,I,T], and how many others are not, by reason.

    voice: of a melody or a bass, "skyline" takes the highest voice; "single" rejects windows with more than one; else
    the name of a track, of which the highest voice is taken (of a trio: as its melody).

    A note that sounds when a window begins is struck again there. A trio's windows are counted once for each
    combination of tracks. Raises InvalidFile.
    """
    candidates = candidate_tracks(piece, part, voice)
    combinations, grid = math.prod(map(len, candidates)), bars_of(piece)
    kept, rejected = [np.zeros((0, len(candidates), STEPS * bars), np.int16)], Counter[str]()
    if len(grid) < bars:
        rejected[f"shorter than {bars} bars"] += combinations
    starts = np.arange(max(0, len(grid) - bars + 1))  # those not in a stretch of 4/4 are left in the end
    for first, stop in _stretches(grid):
        if stop - first < bars:
            continue
        cuts = []  # of each instrument, for each track: (events, reasons) of all windows of the stretch
        for name, tracks in zip(PARTS[part], candidates, strict=True):
            suffix = f" ({name})" if len(candidates) > 1 else ""
            tick, total = grid[first].tick, stop - first
            cuts.append([_cut(piece, notes, name, tick, total, bars, voice, suffix) for notes in tracks])
        for combination in product(*cuts):
            reasons = combination[0][1]
            for _, others in combination[1:]:
                reasons = np.where(reasons == "", others, reasons)
            kept.append(np.stack([events[reasons == ""] for events, _ in combination], 1))
            rejected += Counter(reasons[reasons != ""].tolist())
        starts = starts[(starts < first) | (starts > stop - bars)]
    for start in starts.tolist():
        metres = {bar.metre for bar in grid[start : start + bars]}
        only_metre = metres.pop() if len(metres) == 1 else ""
        rejected[f"not 4/4: {only_metre}" if only_metre else "metre change inside"] += combinations
    return np.concatenate(kept), rejected


def _stretches(grid: list[Bar]) -> list[tuple[int, int]]:
    """(first bar, bar after the last) of each stretch of 4/4."""
    in_four = np.array([bar.metre == "4/4" for bar in grid] + [False])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], in_four]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _cut(
    piece: Piece, notes: np.ndarray, instrument: str, tick: int, total: int, bars: int, voice: str, suffix: str
) -> tuple[np.ndarray, np.ndarray]:
    """All windows [M,T] of a stretch of `total` bars of 4/4, and why each is rejected [M], "" where it is not.

    suffix: is added to the reasons that are particular to the instrument
    """
    played, length = line(notes, piece.tpq, instrument, tick, total), STEPS * bars
    starts = STEPS * np.arange(total - bars + 1)  # [M]
    at = starts[:, None] + np.arange(length)  # [M,T]
    silent = played.sounds < 0
    reasons = np.full(len(starts), "", object)
    for reason, rejected in (  # the first that applies is given
        ("tempo change inside", _tempo_changes(piece, tick, starts, length)),
        (f"empty{suffix}", silent[at].all(1)),
        (f"more than one voice{suffix}", played.polyphonic[at].any(1) & (voice == "single")),
        (f"off the grid{suffix}", _off_grid(played, starts, length)),
        (f"rests for more than a bar{suffix}", _longest_rest(silent, at) > STEPS),  # as the paper's data, section 5.1
    ):
        reasons[(reasons == "") & rejected] = reason
    events = played.events[at]
    if instrument != "drums":
        sounding, first = played.sounds[starts], events[:, 0]
        unstruck = np.where(first == OFF, HOLD, first)
        events[:, 0] = np.where((first < ON) & (sounding >= 0), ON + sounding, unstruck)
    return events, reasons


def _tempo_changes(piece: Piece, tick: int, starts: np.ndarray, length: int) -> np.ndarray:
    """Whether the tempo changes inside each window, bool [M]; starts: [M], in steps from the tick."""
    changes = []
    for (_, before), (at, after) in zip(piece.tempos, piece.tempos[1:], strict=False):
        if abs(before - after) > 1e-3 * before:
            changes.append((at - tick) / (piece.tpq / 4))
    steps = np.array(changes, float)
    inside = (steps > starts[:, None]) & (steps < starts[:, None] + length)  # [M, changes]
    return np.any(inside, axis=1)


def _off_grid(played: Line, starts: np.ndarray, length: int) -> np.ndarray:
    """Whether more than a quarter of the onsets in each window lie off the grid, bool [M]."""
    edges = np.stack([starts, starts + length])
    onsets = np.searchsorted(np.sort(played.onsets), edges)
    off_grid = np.searchsorted(np.sort(played.onsets[played.off_grid]), edges)
    return np.greater(4 * (off_grid[1] - off_grid[0]), onsets[1] - onsets[0])


def _longest_rest(silent: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Steps of the longest rest in each window [M]; silent: bool, by step; at: [M,T], the steps of the windows."""
    steps = np.arange(len(silent))
    since = steps - np.maximum.accumulate(np.where(silent, -1, steps))  # steps since the last sound
    return np.minimum(since[at] * silent[at], np.arange(at.shape[1]) + 1).max(1)
