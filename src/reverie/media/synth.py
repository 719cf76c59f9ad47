"""The sound of notes and drums, made of sines and noise, and WAV files of it. R samples a second."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from reverie.data.music.midi import DRUMS, MARK

RATE = 44_100
"""samples of audio per second"""
_HITS = {
    "kick": (50, 110, 0.12, 0.0), "snare": (180, 60, 0.10, 0.6), "closed hat": (0, 0, 0.03, 0.35),
    "open hat": (0, 0, 0.20, 0.35), "low tom": (90, 60, 0.20, 0.05), "mid tom": (120, 70, 0.18, 0.05),
    "high tom": (160, 80, 0.16, 0.05), "crash": (0, 0, 0.60, 0.40), "ride": (0, 0, 0.30, 0.25),
}  # fmt: skip
"""final frequency in Hz, how much higher it begins, time constant of the decay in seconds, share of noise"""


def tone(pitch: int, seconds: float) -> np.ndarray:
    """The audio of a note: it decays while it is held, and fades out within a twentieth of a second after its end."""
    t = np.arange(round((seconds + 0.05) * RATE)) / RATE
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    wave = sum(
        np.sin(2 * np.pi * k * frequency * t) * np.exp(-k * t) / k**1.5 for k in range(1, 7) if k * frequency < RATE / 2
    )
    shape = np.minimum(1, t / 0.005) * np.clip((seconds + 0.05 - t) / 0.05, 0, 1)
    return 0.3 * np.asarray(wave) * shape


def drum(k: int) -> np.ndarray:
    """The audio of class k of the drums."""
    low, sweep, decay, share = _HITS[list(DRUMS)[k]]
    t = np.arange(round(min(1.0, 6 * decay) * RATE)) / RATE
    noise = np.random.Generator(np.random.Philox(key=[0, k])).standard_normal(len(t) + 1)
    noise = np.diff(noise) / 2 if low == 0 else noise[1:] / 2  # cymbals have few low frequencies
    tone = np.sin(2 * np.pi * (low * t + sweep * 0.03 * (1 - np.exp(-t / 0.03)))) if low else 0.0
    return 0.5 * np.exp(-t / decay) * ((1 - share) * tone + share * noise)


def wav_bytes(sound: np.ndarray, rate: int, record: dict[str, Any] | None) -> bytes:
    """A WAV file, 16 bits, one channel, of sound [N] in [-1,1] at `rate` samples a second; the record is a comment."""
    samples = np.round(sound * 32767).astype("<i2").tobytes()
    shape = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    text = MARK + json.dumps({"record": record}, sort_keys=True).encode() + b"\0"
    chunks = _chunk(b"fmt ", shape) + _chunk(b"LIST", b"INFO" + _chunk(b"ICMT", text)) + _chunk(b"data", samples)
    return _chunk(b"RIFF", b"WAVE" + chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
