"""Which notes belong to which instrument, and the windows of a piece that can be used.

M windows, I instruments, T steps of the grid, N notes.

Roberts 2018, arXiv:1803.05428, section 5.1, on trios: a melody is a track of the pianos, chromatic percussion, organs
or guitars (programs 0 to 31), a bass one of programs 32 to 39, drums are on channel 10; where a piece has several of a
kind, all combinations are used. A melody, a bass or drums alone are all tracks of their kind together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np

from reverie.data.file_types import InvalidFile
from reverie.data.music.grid import AS_WRITTEN, OFF_GRID, Grid, Reading
from reverie.data.music.midi import HOLD, OFF, ON, PARTS, Bar, Line, Piece, bars_of, line

LEADS = range(32)
"""General MIDI programs that are the melody of a trio"""
VOICES = ("skyline", "single")
MISSING = {"bass": "no track of programs 32 to 39", "drums": "no notes on channel 10"}
"""why a piece has nothing for an instrument"""
TRIPLETS = 12
"""steps of a whole note of the grid of eighth triplets"""


def candidate_tracks(piece: Piece, part: str, reading: Reading = AS_WRITTEN) -> list[list[np.ndarray]]:
    """For each instrument of a part, the notes [N,5] that it may play: of a trio those of each track by itself.

    Raises InvalidFile.
    """
    candidates = []
    for instrument in PARTS[part]:
        chosen = bool(reading.track) and instrument == PARTS[part][0]
        notes = _of_track(piece, reading.track, instrument) if chosen else piece.of(instrument)
        if not len(notes):
            others = " and ".join(name for name in ("bass", "drums") if len(piece.of(name)))
            missing = MISSING.get(instrument, f"{others} only")
            if instrument == "drums" and reading.drums:
                missing = f"no notes in {'channel' if reading.drum_channel else 'a track named'} {reading.drums}"
            raise InvalidFile(f"no {instrument}: {missing}")
        tracks = [notes]
        if len(PARTS[part]) > 1:
            any_program = instrument != "melody" or chosen
            numbers = [k for k in np.unique(notes[:, 3]).tolist() if any_program or piece.programs[k] in LEADS]
            tracks = [notes[notes[:, 3] == k] for k in numbers]
            if not tracks:
                raise InvalidFile(f"no melody of a {part}: no track of programs 0 to 31")
        candidates.append(tracks)
    return candidates


def _of_track(piece: Piece, track: str, instrument: str) -> np.ndarray:
    """The notes [N,5] that an instrument has in the tracks of that name or number. Raises InvalidFile if none is."""
    tracks = piece.find_tracks(track)
    if not tracks:
        names = ", ".join(piece.tracks[k] or f"track {n}" for n, k in enumerate(piece.numbers(), 1))
        raise InvalidFile(f"no track named '{track}': it has {names}")
    notes = piece.in_tracks(tracks)
    return notes if instrument == "drums" else notes[notes[:, 4] == 0]


def windows(
    piece: Piece, part: str, bars: int, reading: Reading = AS_WRITTEN, counts: Counter[str] | None = None
) -> tuple[np.ndarray, Counter[str]]:
    """The usable windows of `bars` bars, one from each bar on, int16 [M,I,T], and how many others are not, by reason.

    reading: of its `voice`, "skyline" takes the highest voice of a melody or a bass, "single" rejects windows with more
        than one
    counts: is added to: "onsets" of the bars that fit, those "moved" by more than OFF_GRID, those "pitched", of which
        "hidden" are below the highest voice, and the bars of other signatures that are as long, such as "in 2/4"

    A note that sounds when a window begins is struck again there. A trio's windows are counted once for each
    combination of tracks. Raises InvalidFile.
    """
    counts = Counter() if counts is None else counts
    candidates, wanted = candidate_tracks(piece, part, reading), reading.grid
    combinations, grid = math.prod(map(len, candidates)), bars_of(piece, reading)
    kept, rejected = [np.zeros((0, len(candidates), wanted.bar * bars), np.int16)], Counter[str]()
    if len(grid) < bars:
        rejected[f"shorter than {bars} bars"] += combinations
    starts = np.arange(max(0, len(grid) - bars + 1))  # those not in a stretch of bars that fit are left in the end
    for first, stop in _stretches(grid):
        if stop - first < bars:
            continue
        counts.update(f"in {bar.metre}" for bar in grid[first:stop] if bar.metre != wanted.signature)
        cuts = []  # of each instrument, for each track: (events, reasons) of all windows of the stretch
        for name, tracks in zip(PARTS[part], candidates, strict=True):
            suffix = f" ({name})" if len(candidates) > 1 else ""
            tick, total = grid[first].tick, stop - first
            cuts.append([_cut(piece, notes, name, tick, total, bars, reading, suffix, counts) for notes in tracks])
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
        rejected[f"not {wanted.signature}: {only_metre}" if only_metre else "metre change inside"] += combinations
    return np.concatenate(kept), rejected


def _stretches(grid: list[Bar]) -> list[tuple[int, int]]:
    """(first bar, bar after the last) of each stretch of bars that fit."""
    fitting = np.array([bar.fits for bar in grid] + [False])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], fitting]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _cut(
    piece: Piece, notes: np.ndarray, instrument: str, tick: int, total: int, bars: int, reading: Reading, suffix: str,
    counts: Counter[str],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """All windows [M,T] of a stretch of `total` bars that fit, and why each is rejected [M], "" where it is not.

    suffix: is added to the reasons that are particular to the instrument
    """
    grid = reading.grid
    played, length = line(notes, piece.tpq, instrument, tick, total, grid), grid.bar * bars
    counts["onsets"] += len(played.onsets)
    counts["moved"] += int((played.moved > OFF_GRID).sum())
    if instrument != "drums":
        counts["pitched"] += len(played.onsets)
        counts["hidden"] += played.hidden
    starts = grid.bar * np.arange(total - bars + 1)  # [M]
    at = starts[:, None] + np.arange(length)  # [M,T]
    silent = played.sounds < 0
    reasons = np.full(len(starts), "", object)
    for reason, rejected in (  # the first that applies is given
        ("tempo change inside", _tempo_changes(piece, tick, starts, length, grid) & (not reading.ignore_signatures)),
        (f"empty{suffix}", silent[at].all(1)),
        (f"more than one voice{suffix}", played.polyphonic[at].any(1) & (reading.voice == "single")),
        (f"off the grid{suffix}", _off_grid(played, starts, length, reading.tolerance(instrument))),
        (f"triplets{suffix}", _triplets(played, starts, length, reading, instrument)),
        (
            f"rests for more than a bar{suffix}",
            _longest_rest(silent, at) > grid.bar,
        ),  # as the paper's data, section 5.1
    ):
        reasons[(reasons == "") & rejected] = reason
    events = played.events[at]
    if instrument != "drums":
        sounding, first = played.sounds[starts], events[:, 0]
        unstruck = np.where(first == OFF, HOLD, first)
        events[:, 0] = np.where((first < ON) & (sounding >= 0), ON + sounding, unstruck)
    return events, reasons


def _tempo_changes(piece: Piece, tick: int, starts: np.ndarray, length: int, grid: Grid) -> np.ndarray:
    """Whether the tempo changes inside each window, bool [M]; starts: [M], in steps from the tick."""
    changes = []
    for (_, before), (at, after) in zip(piece.tempos, piece.tempos[1:], strict=False):
        if abs(before - after) > 1e-3 * before:
            changes.append((at - tick) / (4 * piece.tpq / grid.resolution))
    steps = np.array(changes, float)
    inside = (steps > starts[:, None]) & (steps < starts[:, None] + length)  # [M, changes]
    return np.any(inside, axis=1)


def _off_grid(played: Line, starts: np.ndarray, length: int, tolerance: float) -> np.ndarray:
    """Whether more than a quarter of the onsets in each window lie further than `tolerance` from the grid, bool [M]."""
    onsets = _between(played.onsets, np.ones(len(played.onsets)), starts, length)
    return np.greater(4 * _between(played.onsets, played.moved > tolerance, starts, length), onsets)


def _triplets(played: Line, starts: np.ndarray, length: int, reading: Reading, instrument: str) -> np.ndarray:
    """Whether the drums of each window [M] are triplets or a shuffle that the grid has not.

    More than a quarter of their onsets lie off it, and together they lie nearer to eighth triplets. Only where no
    tolerance was asked for.
    """
    if instrument != "drums" or reading.quantize is not None or reading.grid.resolution % TRIPLETS == 0:
        return np.zeros(len(starts), bool)
    per_step = TRIPLETS / reading.grid.resolution
    exact = (played.onsets + played.shift) * per_step
    to_triplets = np.abs(exact - np.round(exact)) / per_step  # in steps, as `moved`
    nearer = _between(played.onsets, played.moved - to_triplets, starts, length) > 0
    return nearer & _off_grid(played, starts, length, OFF_GRID)


def _between(onsets: np.ndarray, values: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """The sum [M] of the values [N] of the onsets [N] in each window."""
    order = np.argsort(onsets, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(values[order])])
    first, last = np.searchsorted(onsets[order], np.stack([starts, starts + length]))
    return sums[last] - sums[first]


def _longest_rest(silent: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Steps of the longest rest in each window [M]; silent: bool, by step; at: [M,T], the steps of the windows."""
    steps = np.arange(len(silent))
    since = steps - np.maximum.accumulate(np.where(silent, -1, steps))  # steps since the last sound
    return np.minimum(since[at] * silent[at], np.arange(at.shape[1]) + 1).max(1)


def transposition_invariant(events: np.ndarray, instruments: Sequence[str]) -> np.ndarray:
    """Windows [N,I,T] as int16 [N,I*T], equal in every key: notes as intervals from the first of the instrument."""
    lines = zip(events.swapaxes(0, 1), instruments, strict=True)
    return np.concatenate([_intervals(line, instrument) for line, instrument in lines], 1)


def _intervals(events: np.ndarray, instrument: str) -> np.ndarray:
    if instrument == "drums":
        return events.astype(np.int16)
    on = events >= ON
    first = np.take_along_axis(events, on.argmax(1)[:, None], 1)
    return np.where(on, events - first + 256, events).astype(np.int16)  # 256: no interval equals another event
