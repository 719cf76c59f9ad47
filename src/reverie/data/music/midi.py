"""MIDI files and the grid: from notes in ticks to events. (From events back to a file: midi_writer.py.)

T steps, by default sixteenths, 16 to a bar of 4/4 (grid.py); I instruments, N notes or windows. A melody: T of 130
events, as in Roberts 2018 (arXiv:1803.05428, section 5.1): 0 no change (a note or silence goes on), 1 the note ends,
2 + p a note of pitch p begins. (The paper lists the 128 pitches first; the authors' later code keeps 88 of them.) A
bass has the same events. Drums are T of 512 events: bit k says whether class k of nine is hit.

Files are read by symusic (extra: music).
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from reverie.data.file_types import InvalidFile
from reverie.data.media_types import MUSIC_SUFFIXES
from reverie.data.music.grid import AS_WRITTEN, SIXTEENTHS, Grid, Reading
from reverie.data.music.midi_channels import swap_channels
from reverie.data.music.midi_repair import whole_part
from reverie.utils.errors import UserError

SUFFIXES = MUSIC_SUFFIXES
STEPS = SIXTEENTHS.bar
"""steps of a bar of the default grid: sixteenths of 4/4"""
HOLD, OFF, ON = 0, 1, 2
EVENTS = {"melody": 130, "bass": 130, "drums": 512}
"""instrument -> how many kinds of events it has"""
PARTS = {"melody": ("melody",), "bass": ("bass",), "drums": ("drums",), "trio": ("melody", "bass", "drums")}
"""the choices of `part` -> its instruments"""
BASSES = range(32, 40)
"""programs of General MIDI that are a bass (section 5.1)"""
PROGRAMS = {"melody": 0, "bass": 33}
"""programs in the files that are written: a piano, a fingered bass; drums need none, but channel 10"""

DRUMS = {
    "kick": (36, 35),
    "snare": (38, 27, 28, 31, 32, 33, 34, 37, 39, 40, 56, 65, 66, 75, 85),
    "closed hat": (42, 22, 44, 54, 68, 69, 70, 71, 73, 78, 80),
    "open hat": (46, 26, 67, 72, 74, 79, 81),
    "low tom": (45, 29, 41, 43, 61, 64, 84),
    "mid tom": (48, 47, 60, 63, 77, 86, 87),
    "high tom": (50, 30, 62, 76, 83),
    "crash": (49, 52, 55, 57, 58),
    "ride": (51, 53, 59, 82),
}
"""nine classes and the General MIDI pitches that count as each; the first is what is written"""
CLASS_OF = {pitch: k for k, pitches in enumerate(DRUMS.values()) for pitch in pitches}

LONGEST = 100_000
"""bars of a file at most; one that claims more is damaged"""
MARK = b"reverie "
"""the prefix of the text that holds our metadata as JSON, in MIDI and WAV files"""


class Piece(NamedTuple):
    """The notes of one file, in ticks."""

    tpq: int
    """ticks per quarter"""
    notes: np.ndarray
    """int64 [N,5]: begin, end, pitch, track, 1 if a drum; in order of begin, then pitch"""
    metres: list[tuple[int, int, int]]
    """(tick, numerator, denominator) of each time signature"""
    tempos: list[tuple[int, float]]
    """(tick, quarters per minute) of each tempo; the first is at the beginning"""
    tracks: list[str]
    """names of the tracks"""
    programs: list[int]
    """the General MIDI program of each track, from 0"""

    def numbers(self) -> list[int]:
        """The indices of the tracks that hold notes, as in the file: track number n, from 1, is entry n - 1."""
        return np.unique(self.notes[:, 3]).tolist()

    def find_tracks(self, track: str) -> list[int]:
        """The indices of the tracks of a name, in any case, or of a number; [] if there is none."""
        wanted, playing = track.strip().lower(), self.numbers()
        if named := [k for k in playing if self.tracks[k].strip().lower() == wanted]:
            return named
        if wanted.isdecimal() and 1 <= int(wanted) <= len(playing):
            return [playing[int(wanted) - 1]]
        return []

    def in_tracks(self, tracks: list[int]) -> np.ndarray:
        """The notes [N,5] of some tracks."""
        return self.notes[np.isin(self.notes[:, 3], tracks)]

    def with_drums(self, track: str) -> Piece:
        """The piece with the tracks of that name as its only drums; as it is where there is none of that name."""
        tracks = self.find_tracks(track)
        if not tracks:
            return self
        notes = self.notes.copy()
        notes[:, 4] = np.isin(notes[:, 3], tracks)
        return self._replace(notes=notes)

    def of(self, instrument: str) -> np.ndarray:
        """The notes [N,5] of an instrument: drums on channel 10, a bass of programs 32 to 39; the rest is melody."""
        drum, bass = self.notes[:, 4] == 1, np.isin(np.array(self.programs)[self.notes[:, 3]], BASSES)
        return self.notes[drum if instrument == "drums" else ~drum & (bass == (instrument == "bass"))]

    @property
    def digest(self) -> str:
        """SHA-256 of the notes relative to the first: the same in another key, resolution and under another name."""
        begin, end, pitch, _, drum = self.notes.T
        pitch = np.where(drum == 1, pitch, pitch - pitch[drum == 0][:1].sum())
        order = np.lexsort((pitch, drum, begin))  # in another key the pitches interleave with drums in another order
        notes = np.stack([begin * 48 // self.tpq, (end - begin) * 48 // self.tpq, pitch, drum])[:, order]
        return hashlib.sha256(notes.astype("<i8").tobytes()).hexdigest()


def read(data: bytes, silent: bool = False, drums: str = "") -> Piece:
    """The notes in the bytes of a MIDI file.

    silent: whether a file without notes is valid; drums: of which channel or track, see Reading.drums

    Raises InvalidFile, and UserError if symusic is missing.
    """
    data, note = whole_part(data)
    if data[:4] != b"MThd":
        raise InvalidFile("no MIDI file" if data else "empty file")
    _check_chunks(data)
    if (channel := Reading(drums=drums).drum_channel) and channel != 10:
        data = swap_channels(data, channel - 1, 9)
    try:
        import symusic
    except ImportError:
        raise UserError("MIDI files need symusic; install it: pip install 'reverie[music]'") from None
    try:
        score: Any = symusic.Score.from_midi(data)
    except Exception as error:  # its C++ code raises exceptions of many kinds
        raise InvalidFile(f"damaged: {' '.join(str(error).split())[:80]}") from None
    rows = []
    for k, track in enumerate(score.tracks):
        arrays = track.notes.numpy()
        begin, pitch = arrays["time"].astype(np.int64), arrays["pitch"].astype(np.int64)
        end, drum = begin + arrays["duration"], np.full(len(begin), int(track.is_drum))
        rows.append(np.stack([begin, end, pitch, np.full(len(begin), k), drum], 1))
    notes = np.concatenate(rows) if rows else np.zeros((0, 5), np.int64)
    if not len(notes) and (note or not silent):
        raise InvalidFile(f"damaged: {note}" if note else "no notes")
    if (notes[:, [0, 2]] < 0).any() or (notes[:, 2] > 127).any():
        raise InvalidFile("damaged: notes out of range")
    notes = notes[np.lexsort((notes[:, 4], notes[:, 2], notes[:, 0]))]
    # of several at one tick the last is valid
    signs = {int(m.time): (int(m.numerator), int(m.denominator)) for m in score.time_signatures}
    metres = [(tick, *sign) for tick, sign in sorted(signs.items())]
    tempos = sorted({int(t.time): float(t.qpm) for t in score.tempos}.items())
    if not tempos or tempos[0][0] > 0:
        tempos = [(0, 120.0), *tempos]  # the default of MIDI
    names, programs = ([getattr(track, what) for track in score.tracks] for what in ("name", "program"))
    piece = Piece(int(score.tpq), notes, metres, tempos, names, programs)
    return piece.with_drums(drums) if drums and not channel else piece


def _check_chunks(data: bytes) -> None:
    """Raises InvalidFile unless the header and as many tracks as it announces are complete."""
    if len(data) < 14:
        raise InvalidFile("damaged: cut short")
    size, form, tracks, division = struct.unpack(">IHHH", data[4:14])
    if size < 6 or division == 0:
        raise InvalidFile("damaged: a header without ticks")
    if division & 0x8000:
        raise InvalidFile("its time is in SMPTE frames, not in beats: save it with ticks per quarter")
    if form == 2 and tracks > 1:
        raise InvalidFile("format 2: its tracks are songs of their own: save each as a file")
    at, found = 8 + size, 0
    while at + 8 <= len(data) and found < tracks:
        length = int.from_bytes(data[at + 4 : at + 8], "big")
        found += data[at : at + 4] == b"MTrk"
        at += 8 + length
    if found < tracks or at > len(data):
        raise InvalidFile("damaged: cut short")


# -- from ticks to the grid --------------------------------------------------------------------------------------------


class Bar(NamedTuple):
    """A bar: the tick it begins at, and the time signature of the file there; "" if a change of it cuts it short."""

    tick: int
    metre: str
    fits: bool
    """whether it is a bar of the grid asked for"""


def bars_of(piece: Piece, reading: Reading = AS_WRITTEN) -> list[Bar]:
    """The bars from the beginning to the last note.

    A signature whose bars are as long as those of reading.grid gives bars that fit (2/2 for 4/4), and so does one of
    which several are as long (two of 2/4, four of 1/4), or a part is (8/4). Raises InvalidFile.
    """
    end = int(np.maximum(piece.notes[:, 0] + 1, piece.notes[:, 1]).max())  # a drum hit may have no length
    grid, found = reading.grid, list[Bar]()
    wanted = (grid.beats, grid.unit)
    metres = piece.metres
    if reading.ignore_signatures or not metres:
        metres = [(0, *wanted)]
    elif metres[0][0] > 0:
        metres = [(0, 4, 4), *metres]  # the default of MIDI
    for k, (tick, beats, unit) in enumerate(metres):
        own = bar_ticks(piece.tpq, beats, unit)
        if own < 1:
            raise InvalidFile(f"damaged: a metre of {beats}/{unit}")
        target = bar_ticks(piece.tpq, *wanted)
        fits = target >= 1 and (own % target == 0 or target % own == 0)
        length = target if fits else own
        until = metres[k + 1][0] if k + 1 < len(metres) else None
        stop = end if until is None else min(until, end)
        if len(found) + (stop - tick) // length > LONGEST:
            raise InvalidFile(f"damaged: more than {LONGEST} bars")
        for at in range(tick, stop, length):
            complete = until is None or at + length <= until
            found.append(Bar(at, f"{beats}/{unit}" if complete else "", fits and complete))
    return found


def bar_ticks(tpq: int, beats: int, unit: int) -> int:
    """Ticks of a bar of a time signature, rounded down; 0 if it is none."""
    return 4 * tpq * beats // unit if unit > 0 else 0


class Line(NamedTuple):
    """The notes of an instrument in consecutive bars, on the grid."""

    events: np.ndarray
    """int16 [T]"""
    sounds: np.ndarray
    """int16 [T]: the pitch that sounds, -1 in silence; of drums 0 where something is hit"""
    onsets: np.ndarray
    """int64 [N]: the step of every onset, of all voices"""
    shift: np.ndarray
    """float64 [N]: how many steps it lies behind it, -0.5 to 0.5"""
    polyphonic: np.ndarray
    """bool [T]: whether more than one note sounds"""
    hidden: int = 0
    """of the onsets, how many are of notes below the highest voice, which are in no event"""

    @property
    def moved(self) -> np.ndarray:
        """float64 [N]: the steps by which each onset is moved."""
        return np.abs(self.shift)


def line(
    notes: np.ndarray, tpq: int, instrument: str, tick: int, bars: int, grid: Grid = SIXTEENTHS,
) -> Line:  # fmt: skip
    """Notes [N,5] of an instrument on the grid, in bars from a tick on; of several at once the highest."""
    step, steps = 4 * tpq / grid.resolution, grid.bar * bars
    notes = notes[(notes[:, 0] < tick + steps * step) & ((notes[:, 0] >= tick) | (notes[:, 1] > tick))]
    exact = (notes[:, 0] - tick) / step
    begin = np.floor(exact + 0.5).astype(np.int64)
    end = np.maximum(begin + 1, np.floor((notes[:, 1] - tick) / step + 0.5).astype(np.int64))
    inside = (begin >= 0) & (begin < steps)
    onsets, shift = begin[inside], (exact - begin)[inside]
    events, sounds = np.full(steps, HOLD, np.int16), np.full(steps, -1, np.int16)
    count = np.zeros(steps + 1, np.int64)
    if instrument == "drums":
        for at, pitch in zip(begin[inside], notes[inside, 2], strict=True):
            if (k := CLASS_OF.get(int(pitch))) is not None:
                events[at] |= 1 << k
        sounds[events > 0] = 0
        return Line(events, sounds, onsets, shift, count[:steps] > 0)
    np.add.at(count, begin.clip(0, steps), 1)
    np.add.at(count, end.clip(0, steps), -1)
    hidden = len(set(zip(onsets.tolist(), notes[inside, 2].tolist(), strict=True)))  # what is doubled is not lost
    for at, until, pitch in skyline(begin, end, notes[:, 2]):
        hidden -= 0 <= at < steps
        if until > 0 and at < steps:
            first = max(at, 0)
            sounds[first:until] = pitch
            if at >= 0:
                events[at] = ON + pitch
            if until < steps:
                events[until] = OFF  # overwritten where the next note begins at once
    return Line(events, sounds, onsets, shift, count.cumsum()[:steps] > 1, hidden)


def skyline(begin: np.ndarray, end: np.ndarray, pitch: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(begin, end, pitch) of the highest voice of notes [N]: those that begin while no higher one sounds; each lasts at
    most until the next of them."""
    now: tuple[int, int, int] | None = None
    for k in np.lexsort((-pitch, begin)).tolist():
        at, until, high = int(begin[k]), int(end[k]), int(pitch[k])
        if now is not None:
            if at == now[0] or (at < now[1] and high < now[2]):
                continue
            yield now[0], min(now[1], at), now[2]
        now = (at, until, high)
    if now is not None:
        yield now


def canonical(events: np.ndarray, instrument: str) -> np.ndarray:
    """Events [T], int16, in the form that reading gives: no OFF where no note sounds."""
    if instrument == "drums":
        return events.astype(np.int16)
    out, sounds = events.astype(np.int16), False
    for t, event in enumerate(out.tolist()):
        if event == OFF and not sounds:
            out[t] = HOLD
        sounds = event >= ON or (sounds and event != OFF)
    return out


def pad_with_silence(events: np.ndarray, steps: int, instrument: str) -> np.ndarray:
    """Events [T] followed by silence up to `steps` steps; a note that still sounds at the end is ended there."""
    if len(events) >= steps:
        return events
    out = np.pad(events, (0, steps - len(events)))
    if instrument != "drums" and _last(events) >= ON:
        out[len(events)] = OFF
    return out


def _last(events: np.ndarray) -> int:
    """The last event other than HOLD: 2 + pitch while a note sounds; OFF if there is none."""
    changes = events[events != HOLD]
    return int(changes[-1]) if len(changes) else OFF


def window(lines: np.ndarray, begin: int, length: int, instruments: Sequence[str]) -> tuple[np.ndarray, list[bool]]:
    """The window of `length` steps from `begin` on of events [I,T], int64 [I,length], filled up with silence.

    A note that sounds already when the window begins is struck again there. Returns the window, and for each instrument
    whether that was so.
    """
    cut = [_window(line, begin, length, name) for line, name in zip(lines, instruments, strict=True)]
    return np.stack([row for row, _ in cut]), [struck for _, struck in cut]


def _window(events: np.ndarray, begin: int, length: int, instrument: str) -> tuple[np.ndarray, bool]:
    row = pad_with_silence(events, begin + length, instrument)[begin : begin + length].astype(np.int64)
    if instrument == "drums":
        return row, False
    sounding = _last(events[:begin])
    struck = bool(row[0] == HOLD and sounding >= ON)
    if struck:
        row[0] = sounding
    elif row[0] == OFF:
        row[0] = HOLD
    return row, struck


def join_windows(rows: np.ndarray, struck: Sequence[Sequence[bool]], instruments: Sequence[str]) -> np.ndarray:
    """Consecutive windows [N,I,T] as one piece [I,N*T]: the inverse of `window`.

    struck: for each window and instrument whether `window` struck a note again; it is held on where it still sounds.
    """
    of_instrument = zip(rows.swapaxes(0, 1), zip(*struck, strict=True), instruments, strict=True)
    return np.stack([_join(line, again, name) for line, again, name in of_instrument])


def join_each(
    events: np.ndarray, cut: Sequence[tuple[np.ndarray, Sequence[Sequence[bool]]]], instruments: Sequence[str]
) -> Iterator[np.ndarray]:
    """Windows [N,I,T] of several pieces, one after another, as the pieces [I,n*T]; cut: what each was cut into."""
    at = 0
    for rows, struck in cut:
        yield join_windows(events[at : at + len(rows)], struck, instruments)
        at += len(rows)


def _join(rows: np.ndarray, struck: Sequence[bool], instrument: str) -> np.ndarray:
    out = np.concatenate(rows).astype(np.int64)
    for at, again in zip(np.cumsum([0, *map(len, rows)])[:-1].tolist(), struck, strict=True):
        if instrument != "drums" and again and _last(out[:at]) == out[at]:
            out[at] = HOLD
    return out


def notes_of(events: np.ndarray) -> list[tuple[int, int, int]]:
    """(begin, end, pitch) in steps of the notes of a melody or a bass [T]; one without an end lasts to the end."""
    found: list[tuple[int, int, int]] = []
    now: tuple[int, int] | None = None
    for t, event in enumerate([*events.tolist(), OFF]):
        if event != HOLD and now is not None:
            found.append((now[0], t, now[1]))
            now = None
        if event >= ON:
            now = (t, event - ON)
    return found


def read_metadata(data: bytes) -> dict[str, Any]:
    """The metadata in the bytes of a MIDI or WAV file that reverie wrote; {} if there is none, or it is damaged."""
    at = data.find(MARK)
    if at < 0:
        return {}
    try:
        metadata = json.JSONDecoder().raw_decode(data[at + len(MARK) :].decode("latin1"))[0]
    except (ValueError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
