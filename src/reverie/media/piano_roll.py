"""Piano rolls: time to the right, pitch upwards, names at the left.

T steps; events are those of data/music/midi.py.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont

from reverie.data.music.grid import SIXTEENTHS, Grid
from reverie.data.music.midi import DRUMS, ON, notes_of

COLOURS = {
    "melody": ((52, 101, 164), (22, 46, 84)), "bass": ((214, 120, 28), (122, 62, 6)),
    "drums": ((63, 132, 84), (24, 66, 38)),
}  # fmt: skip
"""RGB of a note, and of its first column"""
MARKED = (204, 0, 0)
"""RGB of the line at a mark, such as where a continuation begins"""
GUTTER = 40
"""pixels at the left for the names of pitches and drums"""
TALL = {"pitches": 4, "drums": 10}
"""pixels of a row"""
SHORT = ("kick", "snare", "hat", "o-hat", "lo tom", "mi tom", "hi tom", "crash", "ride")
"""names of the classes of drums at the left"""
LETTER = 11
"""pixels of a letter's height"""


def draw_roll(
    parts: dict[str, np.ndarray], low: int, high: int, grid: Grid = SIXTEENTHS, marks: Iterable[int] = ()
) -> np.ndarray:
    """The piano roll of some parts, uint8 [H,W,3]; melody and bass share the keys, drums lie below.

    low, high: pitches (MIDI numbers) at the edges; marks: steps before which a line is drawn
    """
    groups = (("bass", "melody"), ("drums",))  # the melody lies on top
    shown = [{name: parts[name] for name in group if name in parts} for group in groups]
    marked = list(marks)
    rows = [np.concatenate([_labels("drums" in some, low, high), _roll(some, low, high, grid, marked)], 1)
            for some in shown if some]  # fmt: skip
    wide = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 4), (0, wide - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(rows)[:-4]


def pitch_range(lines: Iterable[np.ndarray]) -> tuple[int, int]:
    """The lowest and highest pitch of some melodies and basses [T], at least two octaves apart."""
    pitches = [event - ON for events in lines for event in events.tolist() if event >= ON] or [60]
    low, high = min(pitches) - 1, max(pitches) + 1
    spare = max(0, 24 - (high - low))
    return max(0, low - spare // 2), min(127, high + spare - spare // 2)


def _roll(parts: dict[str, np.ndarray], low: int, high: int, grid: Grid, marks: Sequence[int]) -> np.ndarray:
    """The rows of a roll, without names; the first column of a note is dark."""
    steps, drums = max(map(len, parts.values())), "drums" in parts
    wide = max(1, round((6 if steps <= 4 * grid.bar else 3) * 4 / grid.quarter))
    tall, rows = TALL["drums" if drums else "pitches"], len(DRUMS) if drums else high - low + 1
    out = np.full((rows, tall, steps, wide, 3), 255, np.uint8)
    for row in range(rows):
        pitch = high - row
        if drums:
            out[row] = 255 if row % 2 else 244
        elif pitch % 12 == 0:
            out[row, -1] = 200
        elif pitch % 12 in (1, 3, 6, 8, 10):
            out[row] = 238
    out[:, :, :: grid.beat, 0] = np.minimum(out[:, :, :: grid.beat, 0], 225)
    out[:, :, :: grid.bar, 0] = 150
    for part, events in parts.items():
        if drums:
            hits = np.argwhere(events[:, None] >> np.arange(rows) & 1).tolist()
            notes = [(t, t + 1, rows - 1 - k) for t, k in hits]
        else:
            notes = [(begin, end, high - pitch) for begin, end, pitch in notes_of(events)]
        for begin, end, row in notes:
            if 0 <= row < rows:
                out[row, :, begin:end], out[row, :, begin, 0] = COLOURS[part]
    for at in marks:
        if 0 <= at < steps:
            out[:, :, at, 0] = MARKED
    return out.reshape(rows * tall, steps * wide, 3)


@functools.cache
def _labels(drums: bool, low: int, high: int) -> np.ndarray:
    """The names at the left of a roll, uint8 [H,GUTTER,3]: of the drums, or of every C (60 is C4)."""
    tall, rows = TALL["drums" if drums else "pitches"], len(DRUMS) if drums else high - low + 1
    ground = PIL.Image.new("RGB", (GUTTER, rows * tall), (255, 255, 255))
    pen, font = ImageDraw.Draw(ground), ImageFont.load_default_imagefont()  # the same in every version
    names = list(reversed(SHORT)) if drums else []
    for row in range(rows):
        pitch = high - row
        name = names[row] if drums else (f"C{pitch // 12 - 1}" if pitch % 12 == 0 else "")
        top = row * tall + (tall - LETTER) // 2
        pen.text((2, min(max(0, top), rows * tall - LETTER)), name, fill=(90, 90, 90), font=font)
    return np.asarray(ground).copy()
