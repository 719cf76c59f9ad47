"""Music as verbs take and return it: events on a grid, saved as MIDI, as sound, or as an image.

T steps, by default 16 to a bar of 4/4; I instruments; the events are those of data/music/midi.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from reverie.data.file_types import InvalidFile
from reverie.data.music import midi
from reverie.data.music.grid import AS_WRITTEN, SIXTEENTHS, Grid, Reading, make_grid
from reverie.data.music.midi import DRUMS, EVENTS, PROGRAMS, Piece
from reverie.data.music.midi_writer import KEPT, VELOCITY, Kept, notes_in, velocity_at, write
from reverie.data.music.windows import LEADS
from reverie.media.image import Image, image_grid
from reverie.media.item import Item
from reverie.media.lazy_files import summary_of
from reverie.media.piano_roll import draw_roll, pitch_range
from reverie.media.synth import RATE, drum, tone, wav_bytes
from reverie.utils.atomic_files import replace_bytes
from reverie.utils.errors import UserError

HINTS = {"bass": "a bass has a track of programs 32 to 39", "drums": "drums are on channel 10"}
"""how an instrument is recognised in a MIDI file"""


@dataclass(frozen=True, eq=False, repr=False)
class Music(Item):
    """A piece of music: int16 [T] events of a melody, a bass, drums, or several of these."""

    NOUN: ClassVar = "tune"
    LAZY: ClassVar = True
    INPUT_SUFFIXES: ClassVar = midi.SUFFIXES
    SUFFIX: ClassVar = ".mid"
    COMBINED_WRITERS: ClassVar = {
        ".png": lambda pieces, path: image_grid(rolls(pieces)).save(path),
        ".mid": lambda pieces, path: medley(pieces).save(path),
        ".midi": lambda pieces, path: medley(pieces).save(path),
        ".wav": lambda pieces, path: medley(pieces).save(path),
    }

    parts: dict[str, np.ndarray]
    """instrument -> its events"""
    tempo: float = 120.0
    """quarters per minute"""
    name: str = ""
    """the file it came from"""
    grid: Grid = SIXTEENTHS
    """what a step and a bar are"""
    velocity: int = VELOCITY
    """loudness of its notes, 1 to 127, before the accents of midi_writer.velocity_at"""
    marks: tuple[tuple[int, str], ...] = ()
    """(step, what begins there)"""
    kept: tuple[Kept, ...] = ()
    """tracks of the file that it was made from, which sound beside it in MIDI"""
    source: bytes = b""
    """the file that it was read from"""

    def __post_init__(self) -> None:
        parts = {part: midi.canonical(np.asarray(events), part) for part, events in self.parts.items()}
        object.__setattr__(self, "parts", parts)

    @classmethod
    def of(
        cls, names: Sequence[str], lines: np.ndarray, tempo: float = 120.0, index: int | None = None,
        grid: Grid = SIXTEENTHS,
    ) -> Music:  # fmt: skip
        """Music from the events [I,T] of the named instruments."""
        return cls(dict(zip(names, lines, strict=True)), tempo, grid=grid, index=index)

    # -- files -----------------------------------------------------------------------------------------------------

    @classmethod
    def check(cls, path: Path) -> str:
        """Nothing: of several files one that cannot be read is passed over when its turn comes."""
        return ""

    @classmethod
    def load(cls, path: str | Path) -> Music:
        """Reads a MIDI file: its longest stretch of bars of 4/4, or if it has none, of the signature that it has.

        The bass is the highest voice of all basses, the melody that of all other tracks but drums.

        Raises UserError.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a MIDI file.") from None
        try:
            return cls.read(data, Path(path).name)
        except InvalidFile as invalid:
            raise UserError(f"{path} is no usable MIDI file ({invalid}); give another.") from None

    @classmethod
    def read(cls, data: bytes, name: str = "") -> Music:
        """Reads the bytes of a MIDI file. Raises InvalidFile."""
        ours = _Metadata.of(data)
        piece = _without_kept(midi.read(data, any(name in ours.silent for name in EVENTS)))
        reading = AS_WRITTEN._replace(grid=ours.grid or _own_grid(piece))
        tick, count = _longest(piece, reading)
        parts = _lines(piece, reading, tick, count)
        parts = {name: parts[name] for name in EVENTS if len(piece.of(name)) or name in ours.silent}
        step = 4 * piece.tpq / reading.grid.resolution
        end = np.maximum(piece.notes[:, 0] + step, piece.notes[:, 1]).max(initial=0) - tick
        if ours.steps and end < (ours.steps + 0.5) * step:  # else notes were added in another program
            parts = {part: midi.pad_with_silence(events, ours.steps, part)[: ours.steps]
                     for part, events in parts.items()}  # fmt: skip
        tempo = _tempo_at(piece, tick)
        return cls(parts, tempo, name, reading.grid, source=data, record=ours.record)

    def read_as(self, names: Sequence[str], reading: Reading) -> Music:
        """The music as a method reads it: of some instruments, on a grid, from certain tracks.

        Of a trio the melody is that of the tracks that training takes. A track that the file lacks is not asked for.
        Raises UserError if the music has no such bars.
        """
        wanted = reading._replace(quantize=None, voice=AS_WRITTEN.voice)
        if not self.source:
            if self.grid != reading.grid:
                raise UserError(
                    f"{self.name or 'the music'} has bars of {self.grid.signature} on a grid of {self.grid.resolution}"
                    f", not of {reading.grid.signature} on one of {reading.grid.resolution}."
                )
            return self
        if wanted == AS_WRITTEN._replace(grid=self.grid) and (len(names) == 1 or _Metadata.of(self.source).steps):
            return self
        try:
            piece = _without_kept(midi.read(self.source, True, reading.drums))
            tick, count = _longest(piece, reading)
        except InvalidFile as invalid:
            raise UserError(f"{self.name or 'the music'} cannot be used: it has {invalid}.") from None
        lines = _lines(piece, reading, tick, count, names)
        parts = {name: events for name, events in lines.items() if name in self.parts or (events != 0).any()}
        return dataclasses.replace(self, parts=parts, grid=reading.grid, tempo=_tempo_at(piece, tick))

    def other_tracks(self, names: Sequence[str], reading: Reading) -> tuple[Kept, ...]:
        """What sounds beside some instruments: the notes of the file, or the parts, that are not theirs."""
        if not self.source:
            others = (name for name in self.parts if name not in names)
            return tuple(_as_kept(name, self.parts[name]) for name in others)
        piece = midi.read(self.source, True, reading.drums)
        own = {(t, event - midi.ON) for name in names if name != "drums" and name in self.parts
               for t, event in enumerate(self.parts[name].tolist()) if event >= midi.ON}  # fmt: skip
        tick, _ = _longest(_without_kept(piece), reading)
        found = list[Kept]()
        for k in piece.numbers():
            notes, is_drums = piece.in_tracks([k]), bool(piece.in_tracks([k])[:, 4].any())
            times = (notes[:, :2] - tick) * self.grid.resolution / (4 * piece.tpq)
            begin = np.floor(times[:, 0] + 0.5).astype(int)
            theirs = (begin >= 0) & (begin < self.steps) & ~(is_drums & ("drums" in names))
            theirs &= np.array(
                [(t, pitch) not in own for t, pitch in zip(begin.tolist(), notes[:, 2].tolist(), strict=True)]
            )
            if theirs.any():
                rows = np.column_stack([times[theirs].clip(0, self.steps), notes[theirs, 2]])
                name = piece.tracks[k].strip().removesuffix(KEPT) or f"track {len(found) + 1}"
                found.append(Kept(name, piece.programs[k], is_drums, rows))
        return tuple(found)

    def save(self, path: str | Path) -> Path:
        """Writes .mid (or .midi), .wav or a piano roll as .png, each with its record. Raises UserError."""
        path, makes = Path(path), {".mid": self.midi, ".midi": self.midi, ".wav": self.wav, ".png": self._png}
        if path.suffix.lower() not in makes:
            raise UserError(f"cannot write {path}: music is written as .mid, .wav or .png; name it {path.stem}.mid.")
        data = makes[path.suffix.lower()]()
        replace_bytes(path, data)
        return path

    def midi(self) -> bytes:
        """The bytes of a MIDI file that carries its record."""
        metadata = {"steps": self.steps, "parts": list(self.parts), "record": self.record}
        if self.grid != SIXTEENTHS:
            metadata["grid"] = list(self.grid)
        return write(self.parts, self.tempo, metadata, self.grid, self.velocity, self.marks, self.kept)

    def wav(self) -> bytes:
        """The bytes of a WAV file, 16 bits, one channel, that carries its record as a comment."""
        return wav_bytes(self.sound(), RATE, self.record)

    def _png(self) -> bytes:
        return self.image().png()

    # -- events ----------------------------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """T of its longest part."""
        return max(len(events) for events in self.parts.values())

    def part(self, name: str) -> np.ndarray:
        """The events of a part, int16 [T]. Raises UserError if there is none."""
        return self.lines([name])[0]

    def lines(self, names: Sequence[str], reading: Reading | None = None) -> np.ndarray:
        """The events of some parts, int16 [I,T]; those that end early are filled up with silence.

        reading: see read_as; None: the parts as they are

        Raises UserError if a part is missing.
        """
        if reading is not None:
            return self.read_as(names, reading).lines(names)
        if missing := [name for name in names if name not in self.parts]:
            message = f"{self.name or 'the music'} holds no {' and no '.join(missing)}, only {' and '.join(self.parts)}"
            hints = "; ".join(HINTS[name] for name in missing if name in HINTS)
            raise UserError(f"{message}: {hints}." if hints else f"{message}.")
        steps = max(len(self.parts[name]) for name in names)
        return np.stack([midi.pad_with_silence(self.parts[name], steps, name) for name in names])

    def windows(self, names: Sequence[str], bars: int) -> tuple[np.ndarray, list[list[bool]]]:
        """Consecutive windows of some parts, int64 [N,I,T], the last filled up with silence.

        Also, of each window and part, whether a note that sounds at its beginning was struck again (midi.window).
        Raises UserError as `lines` does.
        """
        lines, length = self.lines(names), self.grid.bar * bars
        cut = [midi.window(lines, at, length, names) for at in range(0, lines.shape[1], length)]
        return np.stack([events for events, _ in cut]), [struck for _, struck in cut]

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over the events."""
        digest = hashlib.sha256()
        for part, events in sorted(self.parts.items()):
            digest.update(f"{part} {len(events)} ".encode() + events.astype("<i2").tobytes())
        return digest.hexdigest()[:16]

    # -- image -----------------------------------------------------------------------------------------------------

    def image(self, low: int | None = None, high: int | None = None) -> Image:
        """The piano roll, time to the right; lines mark beats, bars and C, black keys are grey, a mark is red.

        low, high: pitches (MIDI numbers) at the edges; None: those of the music. Melody and bass share the keys, in a
        colour each; drums lie below, the kick lowest.
        """
        lowest, highest = _pitch_range([self])
        pixels = draw_roll(
            self.parts, lowest if low is None else low, highest if high is None else high, self.grid,
            [step for step, _ in self.marks],
        )  # fmt: skip
        return Image(pixels, self.name, **self.item_fields)

    def _repr_html_(self) -> str:  # how notebooks show it: its roll, and a player of its sound
        import base64

        roll, sound = (base64.b64encode(data).decode() for data in (self.image().png(), self.wav()))
        return (
            f'<img src="data:image/png;base64,{roll}"><br><audio controls src="data:audio/wav;base64,{sound}"></audio>'
        )

    @property
    def summary(self) -> str:
        return f"{' + '.join(self.parts)}, {self.steps} steps, {self.tempo:.0f} quarters a minute"

    # -- audio -----------------------------------------------------------------------------------------------------

    def sound(self) -> np.ndarray:
        """Audio, float64 in [-1,1], RATE samples a second: plucked tones of six harmonics; drums of sines and noise."""
        step = 60 / self.tempo / self.grid.quarter
        out = np.zeros(round((self.steps * step + 1.0) * RATE))

        def add(at: int, sound: np.ndarray) -> None:
            begin = round(at * step * RATE)
            loud = velocity_at(at, self.grid, self.velocity) / VELOCITY
            out[begin : begin + len(sound)] += loud * sound[: len(out) - begin]

        for part, events in self.parts.items():
            if part == "drums":
                for t, k in np.argwhere(events[:, None] >> np.arange(len(DRUMS)) & 1).tolist():
                    add(t, drum(k))
            else:
                for begin, end, pitch in midi.notes_of(events):
                    add(begin, tone(pitch, (end - begin) * step))
        return out / max(1.0, float(np.abs(out).max()))


@dataclass(frozen=True)
class _Metadata:
    """What a file that we wrote says of itself; of other files nothing."""

    steps: int = 0
    """T; 0 for the files of others"""
    silent: tuple[str, ...] = ()
    """its parts, which may hold no note"""
    grid: Grid | None = None
    record: dict[str, Any] | None = None

    @classmethod
    def of(cls, data: bytes) -> _Metadata:
        found = midi.read_metadata(data)
        steps, parts, record, numbers = (found.get(name) for name in ("steps", "parts", "record", "grid"))
        steps = steps if isinstance(steps, int) and 0 < steps <= SIXTEENTHS.bar * midi.LONGEST else 0
        grid = None
        if isinstance(numbers, list) and len(numbers) == 3 and all(isinstance(number, int) for number in numbers):
            try:
                grid = make_grid(f"{numbers[1]}/{numbers[2]}", numbers[0])
            except UserError:
                steps = 0
        parts = tuple(map(str, parts)) if steps and isinstance(parts, list) else ()
        return cls(steps, parts, grid, record if isinstance(record, dict) else None)


def _longest(piece: Piece, reading: Reading) -> tuple[int, int]:
    """The tick and the number of bars of the (first) longest stretch of bars that fit. Raises InvalidFile."""
    if not len(piece.notes):
        return 0, 0
    bars, at, stretches = midi.bars_of(piece, reading), 0, []
    for fits, group in groupby(bars, key=lambda bar: bar.fits):
        count = len(list(group))
        if fits:
            stretches.append((count, -at))
        at += count
    if not stretches:
        others = ", ".join(sorted({bar.metre for bar in bars} - {""}))
        raise InvalidFile(f"no bar of {reading.grid.signature}, but of {others}")
    count, first = max(stretches)
    return bars[-first].tick, count


def _own_grid(piece: Piece) -> Grid:
    """Sixteenths in bars of 4/4 or, where the piece has none, of the signature of most of its bars."""
    if not len(piece.notes):
        return SIXTEENTHS
    bars = midi.bars_of(piece)
    if any(bar.fits for bar in bars):
        return SIXTEENTHS
    metres = [bar.metre for bar in bars if bar.metre]
    try:
        return make_grid(max(metres, key=metres.count), SIXTEENTHS.resolution)
    except (UserError, ValueError):
        return SIXTEENTHS


def _lines(piece: Piece, reading: Reading, tick: int, count: int, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The events of every instrument in `count` bars from a tick on; names: those that a method reads."""
    lines = {}
    for name in EVENTS:
        notes = piece.of(name)
        tracks = piece.find_tracks(reading.track) if reading.track and names and name == names[0] else []
        leads = np.isin(np.array(piece.programs, int)[notes[:, 3]], LEADS)
        if tracks:
            chosen = piece.in_tracks(tracks)
            notes = chosen if name == "drums" else chosen[chosen[:, 4] == 0]
        elif name == "melody" and len(names) > 1 and leads.any():
            notes = notes[leads]
        lines[name] = midi.line(notes, piece.tpq, name, tick, count, reading.grid).events
    return lines


def _tempo_at(piece: Piece, tick: int) -> float:
    return [quarters for at, quarters in piece.tempos if at <= tick][-1]


def _without_kept(piece: Piece) -> Piece:
    """A piece without the tracks that were kept beside ours when it was written."""
    ours = [k for k, name in enumerate(piece.tracks) if not name.endswith(KEPT)]
    return piece if len(ours) == len(piece.tracks) else piece._replace(notes=piece.in_tracks(ours))


def _as_kept(name: str, events: np.ndarray) -> Kept:
    """A part as a track that is kept."""
    return Kept(name, PROGRAMS.get(name, 0), name == "drums", np.array(notes_in(name, events), float).reshape(-1, 3))


def read_tunes(tunes: Sequence[Music], names: Sequence[str], reading: Reading) -> list[Music]:
    """The tunes as a method reads them, each with all the parts that it needs.

    Of several files, one that cannot be used is passed over and noted in `tunes.failed`. Raises UserError for the only
    one, or where none can be used.
    """
    failed = getattr(tunes, "failed", None)
    usable = []
    for tune in tunes:
        try:
            tune.lines(names, reading)
        except UserError as error:
            if failed is None or len(tunes) == 1:
                raise
            failed.append(str(error))
        else:
            usable.append(tune.read_as(names, reading))
    if failed and not usable:
        message = summary_of(failed)
        failed.clear()
        raise UserError(message)
    return usable


def medley(pieces: Sequence[Music]) -> Music:
    """Music one after another in the tempo of the first, with a bar of silence between."""
    first, marks, kept, at = pieces[0], list[tuple[int, str]](), list[Kept](), 0
    bar = first.grid.bar
    parts = {part: list[np.ndarray]() for part in EVENTS if any(part in music.parts for music in pieces)}
    for music in pieces:
        steps = music.steps + -music.steps % bar + bar
        marks += [(at + step, text) for step, text in music.marks]
        kept += [other._replace(notes=other.notes + np.array([at, at, 0])) for other in music.kept]
        at += steps
        for part, rows in parts.items():
            rows.append(midi.pad_with_silence(music.parts.get(part, np.zeros(0, np.int16)), steps, part))
    joined = {part: np.concatenate(rows)[:-bar] for part, rows in parts.items()}
    record = first.record and {**first.record, "tunes": len(pieces)}
    inputs = [source for music in pieces for source in music.inputs]
    if (
        record and inputs and not first.columns
    ):  # each was made from a tune of its own; those of rows all name the same ones
        record["inputs"] = inputs
    return Music(
        joined,
        first.tempo,
        grid=first.grid,
        velocity=first.velocity,
        marks=tuple(marks),
        kept=tuple(kept),
        record=record,
    )


def _pitch_range(pieces: Sequence[Music]) -> tuple[int, int]:
    """The lowest and highest pitch of the melodies and basses of some music, at least two octaves apart."""
    return pitch_range(events for music in pieces for part, events in music.parts.items() if part != "drums")


def rolls(pieces: Sequence[Music]) -> list[Image]:
    """Piano rolls of one size and one range of pitches, for a grid."""
    low, high = _pitch_range(pieces)
    images = [music.image(low, high) for music in pieces]
    height = max(image.pixels.shape[0] for image in images)
    width = max(image.pixels.shape[1] for image in images)
    padded = []
    for image in images:
        margins = ((0, height - image.pixels.shape[0]), (0, width - image.pixels.shape[1]), (0, 0))
        pixels = np.pad(image.pixels, margins, constant_values=255)
        padded.append(dataclasses.replace(image, pixels=pixels))
    return padded
