"""Music as verbs take and return it: events on the sixteenth grid, saved as MIDI, as sound, or as an image.

T steps, 16 to a bar of 4/4; I instruments; the events are those of data/music/midi.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from reverie.data.file_types import InvalidFile
from reverie.data.music import midi
from reverie.data.music.midi import DRUMS, EVENTS, STEPS
from reverie.data.music.windows import LEADS
from reverie.media.image import Image, image_grid
from reverie.media.item import Item
from reverie.utils.errors import UserError

RATE = 44_100
"""samples of audio per second"""
HINTS = {"bass": "a bass has a track of programs 32 to 39", "drums": "drums are on channel 10"}
"""how an instrument is recognised in a MIDI file"""


@dataclass(frozen=True, eq=False)
class Music(Item):
    """A piece of music: int16 [T] events of a melody, a bass, drums, or several of these."""

    NOUN: ClassVar = "tune"
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
    voices: dict[str, np.ndarray] = field(default_factory=dict)
    """name of a track, in lower case -> the events of its highest voice; "": that of the tracks that may be a trio's
    melody, where the file has other tracks too"""

    def __post_init__(self) -> None:
        parts = {part: midi.canonical(np.asarray(events), part) for part, events in self.parts.items()}
        object.__setattr__(self, "parts", parts)

    @classmethod
    def of(cls, names: Sequence[str], lines: np.ndarray, tempo: float = 120.0, index: int | None = None) -> Music:
        """Music from the events [I,T] of the named instruments."""
        return cls(dict(zip(names, lines, strict=True)), tempo, index=index)

    # -- files -----------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, path: str | Path) -> Music:
        """Reads a MIDI file: its longest stretch of bars of 4/4.

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
        metadata = midi.read_metadata(data)
        steps, silent, record = metadata.get("steps"), metadata.get("parts"), metadata.get("record")
        steps = steps if isinstance(steps, int) and 0 < steps <= STEPS * midi.LONGEST else 0
        silent = silent if steps and isinstance(silent, list) else []  # parts that we wrote may hold no note
        piece = midi.read(data, any(name in silent for name in EVENTS))
        tick, count = _longest(piece)
        lines = {name: midi.line(piece.of(name), piece.tpq, name, tick, count).events for name in EVENTS}
        parts = {name: events for name, events in lines.items() if len(piece.of(name)) or name in silent}
        melody = piece.of("melody")
        leads = melody[np.isin(np.array(piece.programs)[melody[:, 3]], LEADS)]
        tracks = piece.named()
        if 0 < len(leads) < len(melody):
            tracks[""] = leads
        voices = {name: midi.line(notes, piece.tpq, "melody", tick, count).events for name, notes in tracks.items()}
        step = piece.tpq / 4
        end = np.maximum(piece.notes[:, 0] + step, piece.notes[:, 1]).max(initial=0) - tick
        if steps and end < (steps + 0.5) * step:  # else notes were added in another program
            parts = {part: midi.pad_with_silence(events, steps, part)[:steps] for part, events in parts.items()}
        tempo = [quarters for at, quarters in piece.tempos if at <= tick][-1]
        return cls(parts, tempo, name, voices, record=record if isinstance(record, dict) else None)

    def save(self, path: str | Path) -> Path:
        """Writes .mid (or .midi), .wav or a piano roll as .png, each with its record. Raises UserError."""
        path, makes = Path(path), {".mid": self.midi, ".midi": self.midi, ".wav": self.wav, ".png": self._png}
        if path.suffix.lower() not in makes:
            raise UserError(f"cannot write {path}: music is written as .mid, .wav or .png; name it {path.stem}.mid.")
        data = makes[path.suffix.lower()]()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def midi(self) -> bytes:
        """The bytes of a MIDI file that carries its record."""
        metadata = {"steps": self.steps, "parts": list(self.parts), "record": self.record}
        return midi.write(self.parts, self.tempo, metadata)

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

    def lines(self, names: Sequence[str], voice: str = "") -> np.ndarray:
        """The events of some parts, int16 [I,T]; those that end early are filled up with silence.

        voice: the name of a track that is taken as the first of the parts, where there is one of that name; where there
            is none and the parts are a trio, the melody is that of the tracks that training takes. "": all tracks

        Raises UserError if a part is missing.
        """
        default = self.voices.get("") if len(names) > 1 else None
        chosen = self.voices.get(voice.strip().lower(), default)
        if names[0] != "drums" and voice and chosen is not None:
            return dataclasses.replace(self, parts={**self.parts, names[0]: chosen}).lines(names)
        if missing := [name for name in names if name not in self.parts]:
            message = f"{self.name or 'the music'} holds no {' and no '.join(missing)}, only {' and '.join(self.parts)}"
            hints = "; ".join(HINTS[name] for name in missing if name in HINTS)
            raise UserError(f"{message}: {hints}." if hints else f"{message}.")
        steps = max(len(self.parts[name]) for name in names)
        return np.stack([midi.pad_with_silence(self.parts[name], steps, name) for name in names])

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over the events."""
        digest = hashlib.sha256()
        for part, events in sorted(self.parts.items()):
            digest.update(f"{part} {len(events)} ".encode() + events.astype("<i2").tobytes())
        return digest.hexdigest()[:16]

    # -- image -----------------------------------------------------------------------------------------------------

    def image(self, low: int | None = None, high: int | None = None) -> Image:
        """The piano roll, time to the right; lines mark quarters, bars and C, black keys are grey.

        low, high: pitches (MIDI numbers) at the edges; None: those of the music. Melody and bass share the keys, in a
        colour each; drums lie below, the kick lowest.
        """
        lowest, highest = pitch_range([self])
        low = lowest if low is None else low
        high = highest if high is None else high
        groups = (("bass", "melody"), ("drums",))  # the melody lies on top
        shown = [{name: self.parts[name] for name in group if name in self.parts} for group in groups]
        rows = [_roll(parts, low, high) for parts in shown if parts]
        wide = max(row.shape[1] for row in rows)
        rows = [np.pad(row, ((0, 4), (0, wide - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
        return Image(np.concatenate(rows)[:-4], self.name, **self.item_fields)

    def _repr_png_(self) -> bytes | None:  # notebooks show it
        return self.image()._repr_png_()

    # -- audio -----------------------------------------------------------------------------------------------------

    def sound(self) -> np.ndarray:
        """Audio, float64 in [-1,1], RATE samples a second: plucked tones of six harmonics; drums of sines and noise."""
        step = 60 / self.tempo / 4
        out = np.zeros(round((self.steps * step + 1.0) * RATE))
        for part, events in self.parts.items():
            if part == "drums":
                for t, k in np.argwhere(events[:, None] >> np.arange(len(DRUMS)) & 1):
                    _add(out, round(t * step * RATE), _drum(int(k)))
            else:
                for begin, end, pitch in midi.notes_of(events):
                    _add(out, round(begin * step * RATE), _tone(pitch, (end - begin) * step))
        return out / max(1.0, float(np.abs(out).max()))


def _longest(piece: midi.Piece) -> tuple[int, int]:
    """The tick and the number of bars of the (first) longest stretch of 4/4. Raises InvalidFile if there is none."""
    if not len(piece.notes):
        return 0, 0
    bars, at, stretches = midi.bars_of(piece), 0, []
    for metre, group in groupby(bars, key=lambda bar: bar.metre):
        count = len(list(group))
        if metre == "4/4":
            stretches.append((count, -at))
        at += count
    if not stretches:
        raise InvalidFile(f"no bar of 4/4, but of {', '.join(sorted({bar.metre for bar in bars} - {''}))}")
    count, first = max(stretches)
    return bars[-first].tick, count


def medley(pieces: Sequence[Music]) -> Music:
    """Music one after another in the tempo of the first, with a bar of silence between."""
    first = pieces[0]
    parts = {part: list[np.ndarray]() for part in EVENTS if any(part in music.parts for music in pieces)}
    for music in pieces:
        steps = music.steps + -music.steps % STEPS + STEPS
        for part, rows in parts.items():
            rows.append(midi.pad_with_silence(music.parts.get(part, np.zeros(0, np.int16)), steps, part))
    joined = {part: np.concatenate(rows)[:-STEPS] for part, rows in parts.items()}
    record = first.record and {**first.record, "tunes": len(pieces)}
    inputs = [source for music in pieces for source in music.inputs]
    if (
        record and inputs and not first.columns
    ):  # each was made from a tune of its own; those of rows all name the same ones
        record["inputs"] = inputs
    return Music(joined, first.tempo, record=record)


def pitch_range(pieces: Sequence[Music]) -> tuple[int, int]:
    """The lowest and highest pitch of the melodies and basses of some music, at least two octaves apart."""
    pitches = []
    for music in pieces:
        for part, events in music.parts.items():
            if part != "drums":
                pitches += [event - midi.ON for event in events.tolist() if event >= midi.ON]
    pitches = pitches or [60]
    low, high = min(pitches) - 1, max(pitches) + 1
    spare = max(0, 24 - (high - low))
    return max(0, low - spare // 2), min(127, high + spare - spare // 2)


def rolls(pieces: Sequence[Music]) -> list[Image]:
    """Piano rolls of one size and one range of pitches, for a grid."""
    low, high = pitch_range(pieces)
    images = [music.image(low, high) for music in pieces]
    height = max(image.pixels.shape[0] for image in images)
    width = max(image.pixels.shape[1] for image in images)
    padded = []
    for image in images:
        margins = ((0, height - image.pixels.shape[0]), (0, width - image.pixels.shape[1]), (0, 0))
        pixels = np.pad(image.pixels, margins, constant_values=255)
        padded.append(dataclasses.replace(image, pixels=pixels))
    return padded


COLOURS = {
    "melody": ((52, 101, 164), (22, 46, 84)), "bass": ((214, 120, 28), (122, 62, 6)),
    "drums": ((63, 132, 84), (24, 66, 38)),
}  # fmt: skip
"""RGB of a note, and of its first column"""


def _roll(parts: dict[str, np.ndarray], low: int, high: int) -> np.ndarray:
    """A piano roll, uint8 [H,W,3]: time to the right, pitch upwards; the first column of a note is dark."""
    steps, drums = max(map(len, parts.values())), "drums" in parts
    wide, tall = (6 if steps <= 4 * STEPS else 3), 4
    rows = len(DRUMS) if drums else high - low + 1
    out = np.full((rows, tall, steps, wide, 3), 255, np.uint8)
    for row in range(rows):
        pitch = high - row
        if drums:
            out[row] = 255 if row % 2 else 244
        elif pitch % 12 == 0:
            out[row, -1] = 200
        elif pitch % 12 in (1, 3, 6, 8, 10):
            out[row] = 238
    out[:, :, ::4, 0] = np.minimum(out[:, :, ::4, 0], 225)
    out[:, :, ::STEPS, 0] = 150
    for part, events in parts.items():
        if drums:
            hits = np.argwhere(events[:, None] >> np.arange(rows) & 1).tolist()
            notes = [(t, t + 1, rows - 1 - k) for t, k in hits]
        else:
            notes = [(begin, end, high - pitch) for begin, end, pitch in midi.notes_of(events)]
        for begin, end, row in notes:
            if 0 <= row < rows:
                out[row, :, begin:end], out[row, :, begin, 0] = COLOURS[part]
    return out.reshape(rows * tall, steps * wide, 3)


def wav_bytes(sound: np.ndarray, rate: int, record: dict[str, Any] | None) -> bytes:
    """A WAV file, 16 bits, one channel, of sound [N] in [-1,1] at `rate` samples a second; the record is a comment."""
    samples = np.round(sound * 32767).astype("<i2").tobytes()
    shape = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    text = midi.MARK + json.dumps({"record": record}, sort_keys=True).encode() + b"\0"
    chunks = _chunk(b"fmt ", shape) + _chunk(b"LIST", b"INFO" + _chunk(b"ICMT", text)) + _chunk(b"data", samples)
    return _chunk(b"RIFF", b"WAVE" + chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _add(out: np.ndarray, at: int, sound: np.ndarray) -> None:
    room = len(out) - at
    out[at : at + len(sound)] += sound[:room]


def _tone(pitch: int, seconds: float) -> np.ndarray:
    """The audio of a note: it decays while it is held, and fades out within a twentieth of a second after its end."""
    t = np.arange(round((seconds + 0.05) * RATE)) / RATE
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    wave = sum(
        np.sin(2 * np.pi * k * frequency * t) * np.exp(-k * t) / k**1.5 for k in range(1, 7) if k * frequency < RATE / 2
    )
    shape = np.minimum(1, t / 0.005) * np.clip((seconds + 0.05 - t) / 0.05, 0, 1)
    return 0.3 * np.asarray(wave) * shape


_HITS = {
    "kick": (50, 110, 0.12, 0.0), "snare": (180, 60, 0.10, 0.6), "closed hat": (0, 0, 0.03, 0.35),
    "open hat": (0, 0, 0.20, 0.35), "low tom": (90, 60, 0.20, 0.05), "mid tom": (120, 70, 0.18, 0.05),
    "high tom": (160, 80, 0.16, 0.05), "crash": (0, 0, 0.60, 0.40), "ride": (0, 0, 0.30, 0.25),
}  # fmt: skip
"""final frequency in Hz, how much higher it begins, time constant of the decay in seconds, share of noise"""


def _drum(k: int) -> np.ndarray:
    """The audio of class k of the drums."""
    low, sweep, decay, share = _HITS[list(DRUMS)[k]]
    t = np.arange(round(min(1.0, 6 * decay) * RATE)) / RATE
    noise = np.random.Generator(np.random.Philox(key=[0, k])).standard_normal(len(t) + 1)
    noise = np.diff(noise) / 2 if low == 0 else noise[1:] / 2  # cymbals have few low frequencies
    tone = np.sin(2 * np.pi * (low * t + sweep * 0.03 * (1 - np.exp(-t / 0.03)))) if low else 0.0
    return 0.5 * np.exp(-t / decay) * ((1 - share) * tone + share * noise)
