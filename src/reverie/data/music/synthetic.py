"""Three synthetic sets of music, so that everything can be tried without a file.

* `tunes`: melodies of 16 bars in a major or minor key: phrases of four bars in a form such as AABA, motifs that are
  repeated over other chords and varied, a half cadence inside, the tonic at the end.
* `beats`: drums of 16 bars: one of several grooves, varied every second bar, with a fill every fourth.
* `trios`: a melody as in `tunes`, a bass on its chords, and a beat; they end together.

1,000 pieces to train, 200 to test; `tunes:200` has 200 to train. Piece i of a split depends on the split and i alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from reverie.data.music.midi import DRUMS, PROGRAMS, STEPS, Piece
from reverie.utils.errors import UserError

VERSION = 1
"""raised whenever a piece changes, so that fingerprints change too"""
TPQ = 480
BARS = 16
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
RHYTHMS = (
    (4, 4, 4, 4), (2, 2, 4, 4, 4), (4, 2, 2, 4, 4), (2, 2, 2, 2, 4, 4), (4, 4, 2, 2, 4), (6, 2, 4, 4), (6, 2, 6, 2),
    (2, 2, 2, 2, 2, 2, 2, 2), (4, 4, 8), (3, 1, 4, 4, 4), (4, 4, 3, 1, 4), (2, 4, 2, 4, 4),
)  # fmt: skip
CHORDS = ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 5, 3), (0, 0, 3, 4), (0, 3, 0, 4))
"""degrees of the scale, from 0, of the roots of a phrase's chords, one a bar"""
FORMS = ("AABA", "AABB", "ABAB", "ABAC", "AABC")

BASS = (
    ((8, 0), (8, 0)), ((4, 0), (4, 4), (4, 0), (4, 4)), ((2, 0),) * 8, ((6, 0), (2, 0), (8, 4)),
    ((4, 0), (4, 2), (4, 4), (4, 2)), ((3, 0), (3, 0), (2, 0), (4, 7), (4, 4)),
    ((4, 0), (2, 0), (2, 4), (4, 7), (4, 4)),
)  # fmt: skip
"""patterns of a bar: (length in sixteenths, steps of the scale above the root of the chord)"""

GROOVES: tuple[tuple[str, str, str, str], ...] = (
    ("rock", "x.......x.......", "....x.......x...", "x.x.x.x.x.x.x.x."),
    ("pop", "x.....x.x.......", "....x.......x...", "x.x.x.x.x.x.x.x."),
    ("disco", "x...x...x...x...", "....x.......x...", "..x...x...x...x."),
    ("funk", "x..x..x...x.....", "....x..x.x..x...", "xxxxxxxxxxxxxxxx"),
    ("half time", "x.........x.....", "........x.......", "x.x.x.x.x.x.x.x."),
    ("march", "x...x...x...x...", "..x...x...x.x.x.", "x...x...x...x..."),
)
"""name, kick, snare, hat or ride"""


def is_name(spec: str) -> bool:
    """Whether a spec names one of the sets, with a number of pieces or without."""
    return spec.partition(":")[0] in SETS


def count_of(spec: str, split: str) -> int:
    """Number of pieces of a split. Raises UserError if what follows the colon is not a number."""
    _, colon, number = spec.partition(":")
    if colon and not (number.isascii() and number.isdecimal() and 1 <= int(number) <= 1_000_000):
        raise UserError(f"'{number}' in {spec} is not a number of pieces from 1 to 1000000: say, tunes:500")
    return 200 if split == "test" else int(number) if colon else 1_000


def tune(split: str, i: int) -> Piece:
    """Melody i of a split."""
    stream = _random("tunes", split, i)
    return _piece({"melody": _song(stream).rows}, _tempo(stream, 96))


class Song(NamedTuple):
    """A melody, and what a bass needs to accompany it."""

    rows: list[Row]
    tonic: int
    scale: tuple[int, ...]
    chords: list[tuple[int, int]]
    """the degrees of the roots of the chords in the two halves of each bar"""


def _song(stream: np.random.Generator) -> Song:
    """A melody of 16 bars."""
    scale = MAJOR if stream.random() < 0.7 else MINOR
    tonic, form = 57 + int(stream.integers(12)), FORMS[stream.integers(len(FORMS))]
    chords = {name: CHORDS[stream.integers(len(CHORDS))] for name in "ABC"}
    phrases = {name: _phrase(stream, chords[name]) for name in "ABC"}
    rows, at, under = list[Row](), 0, list[tuple[int, int]]()
    for k, name in enumerate(form):
        under += [(chord, chord) for chord in chords[name][:3]]
        under.append((4, 0) if k == len(form) - 1 else (3, 4 if k % 2 == 0 else 0))  # the cadence
        bars = [list(bar) for bar in phrases[name]]
        if name in form[:k]:
            _vary(stream, bars)
        bars[3] = [(4, 1), (4, -1), (8, 0)] if k == len(form) - 1 else [(4, 3), (4, 2), (8, 4 if k % 2 == 0 else 0)]
        if k == len(form) - 1 and stream.random() < 0.5:
            bars[3] = [(2, 2), (2, 1), (4, -1), (8, 0)]
        for length, degree in (note for bar in bars for note in bar):
            octave, place = divmod(degree, 7)
            pitch = tonic + 12 * octave + scale[place]
            # the leading note is raised in a minor cadence, where it goes up to the tonic
            pitch += scale is MINOR and place == 6 and k == len(form) - 1
            rows.append((at, at + length, pitch))
            at += length
    return Song(rows, tonic, scale, under)


Note = tuple[int, int]
"""(length in sixteenths, degree of the scale from the tonic, 7 an octave)"""
Row = tuple[int, int, int]
"""(begin and end in sixteenths, pitch)"""


def _phrase(stream: np.random.Generator, chords: tuple[int, ...]) -> list[list[Note]]:
    """Four bars: a motif, an answer, and both again over other chords; the last is replaced by the cadence."""
    motif, answer = (_motif(stream, RHYTHMS[stream.integers(len(RHYTHMS))]) for _ in range(2))
    bars: list[list[Note]] = []
    last = 0
    for shape, chord in zip((motif, answer, motif, answer), chords, strict=True):
        root = min((chord - 7, chord), key=lambda root: abs(root + shape[0][1] - last))  # no wide leap between bars
        bars.append([(length, root + step) for length, step in shape])
        last = bars[-1][-1][1]
    return bars


def _motif(stream: np.random.Generator, rhythm: tuple[int, ...]) -> list[Note]:
    """A bar as steps above the root of its chord: chord notes on the half bars, steps or thirds between them."""
    out, at, degree = [], 0, (0, 2, 4)[stream.integers(3)]
    for length in rhythm:
        if at % 8 == 0:
            degree = min((0, 2, 4, 7), key=lambda note: (abs(note - degree), note))
        else:
            degree = int(np.clip(degree + (-2, -1, -1, 1, 1, 2)[stream.integers(6)], -1, 8))
        out.append((length, degree))
        at += length
    return out


def _vary(stream: np.random.Generator, bars: list[list[Note]]) -> None:
    """Varies a bar of a repeated phrase in place: splits a long note, moves a note by a step, or does nothing."""
    bar = bars[stream.integers(3)]
    k = int(stream.integers(len(bar)))
    length, degree = bar[k]
    kind = stream.random()
    if kind < 0.4 and length >= 4:
        bar[k : k + 1] = [(length // 2, degree), (length - length // 2, degree + 1)]
    elif kind < 0.7 and k > 0:
        bar[k] = (length, degree + (1 if stream.random() < 0.5 else -1))


def beat(split: str, i: int) -> Piece:
    """Drums i of a split."""
    stream = _random("beats", split, i)
    return _piece({"drums": _groove(stream)}, _tempo(stream, 90, 10))


def _groove(stream: np.random.Generator) -> list[Row]:
    """Drums of 16 bars."""
    _, kick, snare, hat = GROOVES[stream.integers(len(GROOVES))]
    names, step = list(DRUMS), {name: k for k, name in enumerate(DRUMS)}
    bar = np.zeros((STEPS, len(DRUMS)), bool)
    top = "ride" if stream.random() < 0.25 else "closed hat"
    for name, pattern in (("kick", kick), ("snare", snare), (top, hat)):
        bar[:, step[name]] = [c == "x" for c in pattern]
    bar[int(stream.integers(1, 8)) * 2, step["kick"]] ^= stream.random() < 0.6
    if stream.random() < 0.4:
        bar[14, step[top]], bar[14, step["open hat"]] = False, True
    other = bar.copy()
    other[int(stream.integers(9, 16)), step["kick" if stream.random() < 0.6 else "snare"]] ^= True
    fill = bar.copy()
    begin = (8, 12)[stream.integers(2)]
    fill[begin:] = False
    toms = ("snare", "high tom", "mid tom", "low tom")
    for t in range(begin, STEPS, 1 if stream.random() < 0.4 else 2):
        fill[t, step[toms[(t - begin) * len(toms) // (STEPS - begin)]]] = True
    rows = []
    for b in range(BARS):
        source = bar
        if b % 4 == 3:
            source = fill
        elif b % 2:
            source = other
        played = source.copy()
        if b % 8 == 0:
            played[0, [step["crash"], step["kick"]]] = True
        rows += [(b * STEPS + t, b * STEPS + t + 1, DRUMS[names[k]][0]) for t, k in np.argwhere(played).tolist()]
    return rows


def trio(split: str, i: int) -> Piece:
    """Melody, bass and drums i of a split."""
    stream = _random("trios", split, i)
    song = _song(stream)
    bass, drums = _bass(stream, song), _groove(stream)
    return _piece({"melody": song.rows, "bass": bass, "drums": drums}, _tempo(stream, 96))


def _bass(stream: np.random.Generator, song: Song) -> list[Row]:
    """A bass for a song: one pattern, held notes in the cadences, and a step that leads to the next chord."""
    pattern, leads = BASS[stream.integers(len(BASS))], stream.random() < 0.5
    low = song.tonic - 24
    rows, at = list[Row](), 0
    for (first, second), (after, _) in zip(song.chords, [*song.chords[1:], (0, 0)], strict=True):
        root = first - 7 * (first > 3)  # the roots lie around the tonic
        notes = [(length, root + step) for length, step in pattern]
        if first != second:
            notes = [(8, root), (8, second - 7 * (second > 3))]
        elif leads and after != first and notes[-1][0] == 4:
            notes[-1] = (4, after - 7 * (after > 3) + (-1 if after > first else 1))
        for length, degree in notes:
            octave, place = divmod(degree, 7)
            rows.append((at, at + length, low + 12 * octave + song.scale[place]))
            at += length
    return rows


def _tempo(stream: np.random.Generator, slowest: int, step: int = 12) -> float:
    return float(slowest + step * stream.integers(4))


def _piece(parts: dict[str, list[Row]], tempo: float) -> Piece:
    tick, programs = TPQ // 4, [PROGRAMS.get(name, 0) for name in parts]
    rows = []
    for k, (name, played) in enumerate(parts.items()):
        rows += [(begin, end, pitch, k, int(name == "drums")) for begin, end, pitch in played]
    notes = [(begin * tick, end * tick, *others) for begin, end, *others in sorted(rows)]
    return Piece(TPQ, np.array(notes, np.int64), [(0, 4, 4)], [(0, tempo)], list(parts), programs)


def _random(name: str, split: str, i: int) -> np.random.Generator:
    """The random stream of piece i."""
    return np.random.Generator(np.random.Philox(key=[int.from_bytes(f"{name[:3]}{split[:3]}".encode(), "little"), i]))


SETS: dict[str, Callable[[str, int], Piece]] = {"tunes": tune, "beats": beat, "trios": trio}
PARTS_OF = {"tunes": ("melody",), "beats": ("drums",), "trios": ("melody", "bass", "drums")}
"""the instruments of each set"""
