"""Images that a page holds as data, so that it needs no other file."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import PIL.Image

LARGE = 1536
"""pixels across and down that an image on the page has at most"""
ROOM = 860
"""pixels across that the column offers an image"""


@dataclass(frozen=True)
class EmbeddedImage:
    """A PNG as a data URI, with its size in pixels."""

    source: str
    width: int
    height: int

    def shown_width(self, room: int) -> int | None:
        """Pixels across to show it at where `room` are free: a whole multiple, so that it stays sharp.

        None for an image that is wider than that: it takes what room there is.
        """
        return room // self.width * self.width if self.width <= room else None


def read_image(path: Path, largest: int = LARGE) -> EmbeddedImage | None:
    """The PNG in a file, reduced if a side is longer than `largest`; None if it cannot be read."""
    try:
        with PIL.Image.open(path, formats=["PNG"]) as opened:
            opened.load()
            if max(opened.size) <= largest:
                return _embed(path.read_bytes(), opened.size)
            mode = opened.mode if opened.mode in ("L", "RGBA") else "RGB"
            reduced = opened.convert(mode)
            reduced.thumbnail((largest, largest))
            return embed(reduced)
    except Exception:  # whatever a damaged image provokes in the reader, the page goes on without it
        return None


def embed(image: PIL.Image.Image) -> EmbeddedImage:
    """An image in memory, as a PNG."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return _embed(file.getvalue(), image.size)


def _embed(data: bytes, size: tuple[int, int]) -> EmbeddedImage:
    return EmbeddedImage(f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}", *size)
