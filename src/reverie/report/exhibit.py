"""What a page shows of a sample or a figure: its image, or its text as text, and its sound."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from reverie.media import Image
from reverie.report.embedded_image import LARGE, EmbeddedImage, embed, read_image

MAX_TEXT, MAX_LINES = 20_000, 60
"""characters and lines of a text that are shown at most"""
MAX_SOUND = 400_000
"""bytes of a sound that a page takes in"""


@dataclass(frozen=True)
class Exhibit:
    """An image, and what it shows in other forms."""

    image: EmbeddedImage
    text: str = ""
    """"" where there is none"""
    sound: str = ""
    """a WAV file as a data URI, "" where there is none"""


def read_exhibit(path: Path, largest: int = LARGE) -> Exhibit | None:
    """The PNG in a file with the .txt and the .wav beside it; None if the image cannot be read."""
    image = read_image(path, largest)
    if image is None:
        return None
    return Exhibit(image, _text(_read(path.with_suffix(".txt"))), _sound(_read(path.with_suffix(".wav"))))


def exhibit(image: Image) -> Exhibit:
    """An image in memory with its companions."""
    companions = image.companions
    return Exhibit(
        embed(image.pil, image.column_labels, image.row_labels),
        _text(companions.get(".txt", b"")),
        _sound(companions.get(".wav", b"")),
    )


def _read(path: Path) -> bytes:
    """The first bytes of a file, a few more than are shown; b"" where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_SOUND + 1)
    except OSError:
        return b""


def _text(content: bytes) -> str:
    text = content.decode("utf-8", errors="replace")
    lines = text[:MAX_TEXT].splitlines()[:MAX_LINES]
    shown = "\n".join(lines)
    return f"{shown}\n..." if len(shown) < len(text.rstrip()) - text.rstrip().count("\r") else shown


def _sound(content: bytes) -> str:
    if not (content[:4] == b"RIFF" and content[8:12] == b"WAVE" and len(content) <= MAX_SOUND):
        return ""
    return f"data:audio/wav;base64,{base64.b64encode(content).decode('ascii')}"
