"""From events on the grid to the bytes of a MIDI file: a file of notes takes 60 lines."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from reverie.data.music.grid import SIXTEENTHS, Grid
from reverie.data.music.midi import DRUMS, MARK, PROGRAMS, notes_of

TPQ = 480
"""ticks per quarter in the files that are written"""
CHANNELS = {"melody": 0, "bass": 1, "drums": 9}
KEPT = " (kept)"
"""the end of the name of a track that was kept from the file that a tune was made from"""
VELOCITY = 90
"""loudness of a note, from 1 to 127, before accents"""
ACCENTS = (12, 4, -8)
"""what is added to it at the beginning of a bar, on the other beats, and between"""


class Kept(NamedTuple):
    """A track that is kept as it is in the file that a tune was made from."""

    name: str
    program: int
    """General MIDI program, from 0"""
    drums: bool
    notes: np.ndarray
    """float64 [N,3]: begin and end in steps, pitch"""


def velocity_at(step: int, grid: Grid, velocity: int = VELOCITY) -> int:
    """The velocity of a note that begins at a step: louder on the beats, loudest where a bar begins; 1 to 127."""
    accent = ACCENTS[0] if step % grid.bar == 0 else ACCENTS[1] if step % grid.beat == 0 else ACCENTS[2]
    return min(127, max(1, velocity + accent))


def write(
    parts: dict[str, np.ndarray], tempo: float, metadata: dict[str, Any], grid: Grid = SIXTEENTHS,
    velocity: int = VELOCITY, marks: Sequence[tuple[int, str]] = (), kept: Sequence[Kept] = (),
) -> bytes:  # fmt: skip
    """The bytes of a MIDI file of format 1, with a track and a channel for each instrument.

    parts: instrument -> its events [T]; tempo: quarters per minute; metadata: is written as JSON in a text event at the
    beginning, see `midi.read_metadata`; velocity: see `velocity_at`; marks: (step, text), written as markers; kept:
    other tracks that sound with them
    """
    steps, tick = max(len(events) for events in parts.values()), 4 * TPQ // grid.resolution
    head = [
        (0, b"\xff\x01" + _sized(MARK + json.dumps(metadata, sort_keys=True).encode())),
        (0, b"\xff\x51\x03" + min(0xFFFFFF, round(60e6 / tempo)).to_bytes(3, "big")),
        (0, bytes((0xFF, 0x58, 4, grid.beats, grid.unit.bit_length() - 1, 24, 8))),
        *((step * tick, b"\xff\x06" + _sized(text.encode())) for step, text in sorted(marks)),
    ]
    tracks, end = [_track(head, steps * tick)], steps * tick
    for part, events in parts.items():
        lines = [(0, b"\xff\x03" + _sized(part.encode()))]
        if part in PROGRAMS:
            lines.append((0, bytes((0xC0 | CHANNELS[part], PROGRAMS[part]))))
        notes = [(begin * tick, round(stop * tick), pitch, velocity_at(begin, grid, velocity))
                 for begin, stop, pitch in notes_in(part, events)]  # fmt: skip
        tracks.append(_track(lines + _messages(notes, CHANNELS[part]), end))
    free = iter([k for k in range(16) if k not in CHANNELS.values()] * (1 + len(kept)))
    for other in kept:
        channel = 9 if other.drums else next(free)
        lines = [(0, b"\xff\x03" + _sized(f"{other.name}{KEPT}".encode()))]
        if not other.drums:
            lines.append((0, bytes((0xC0 | channel, other.program))))
        notes = [(round(begin * tick), round(stop * tick), int(pitch), velocity)
                 for begin, stop, pitch in other.notes.tolist()]  # fmt: skip
        tracks.append(_track(lines + _messages(notes, channel), end))
    return b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), TPQ) + b"".join(tracks)


def notes_in(part: str, events: np.ndarray) -> list[tuple[int, float, int]]:
    """(begin, end, pitch) in steps of the notes of an instrument [T]; a hit of a drum lasts half a step."""
    if part != "drums":
        return [*notes_of(events)]
    hits = np.argwhere(events[:, None] >> np.arange(len(DRUMS)) & 1).tolist()
    return [(t, t + 0.5, list(DRUMS.values())[k][0]) for t, k in hits]


def _messages(notes: list[tuple[int, int, int, int]], channel: int) -> list[tuple[int, bytes]]:
    """(tick, message) of notes (begin and end in ticks, pitch, velocity)."""
    # at one tick the end of a note comes before the beginning of the next
    ends = [(end, 0, bytes((0x80 | channel, pitch, 0))) for begin, end, pitch, _ in notes if end > begin]
    begins = [(begin, 1, bytes((0x90 | channel, pitch, loud))) for begin, _, pitch, loud in notes]
    at_once = [(begin, 2, bytes((0x80 | channel, pitch, 0))) for begin, end, pitch, _ in notes if end <= begin]
    return [(at, message) for at, _, message in sorted(ends + begins + at_once)]


def _track(lines: list[tuple[int, bytes]], end: int) -> bytes:
    body, now = b"", 0
    for at, message in [*lines, (max([end, *(at for at, _ in lines)]), b"\xff\x2f\x00")]:
        body += _variable(at - now) + message
        now = at
    return b"MTrk" + struct.pack(">I", len(body)) + body


def _variable(number: int) -> bytes:
    """A number of variable length: seven bits per byte, the highest bit set in all bytes but the last."""
    out = bytes((number & 127,))
    while number := number >> 7:
        out = bytes((number & 127 | 128,)) + out
    return out


def _sized(text: bytes) -> bytes:
    return _variable(len(text)) + text
