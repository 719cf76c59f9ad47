"""Short sound to listen to beside piano rolls: small enough to lie in a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from reverie.media.image import Image
from reverie.media.music import Music, medley
from reverie.media.synth import RATE, wav_bytes

MAX_BYTES = 300_000
"""size of the file at most"""
DECIMATION = 4
"""samples of the full rate that are averaged into one"""
FADE = 0.5
"""seconds over which what is cut off fades out"""


def sound_preview(pieces: Sequence[Music]) -> bytes:
    """A WAV file of at most MAX_BYTES: the first pieces, as many as fit as a whole, or else the beginning of the first.

    It has a quarter of the samples a second of `Music.wav`, and carries the record of the first piece.
    """
    rate = RATE // DECIMATION
    longest = (MAX_BYTES - len(wav_bytes(np.zeros(0), rate, pieces[0].record))) // 2  # samples of two bytes
    sound = _reduced(pieces[0])
    for count in range(2, len(pieces) + 1):
        longer = _reduced(medley(pieces[:count]))
        if len(longer) > longest:
            break
        sound = longer
    if len(sound) > longest:
        fade = round(FADE * rate)
        sound = sound[:longest] * np.minimum(1, np.arange(longest, 0, -1) / fade)
    return wav_bytes(sound, rate, pieces[0].record)


def with_sound(rolls: Image, pieces: Sequence[Music]) -> Image:
    """A grid of piano rolls with the sound of the first of their pieces as a companion."""
    return dataclasses.replace(rolls, companions={**rolls.companions, ".wav": sound_preview(pieces)})


def _reduced(music: Music) -> np.ndarray:
    """Its sound at RATE // DECIMATION samples a second."""
    sound = music.sound()
    return sound[: len(sound) // DECIMATION * DECIMATION].reshape(-1, DECIMATION).mean(1)
