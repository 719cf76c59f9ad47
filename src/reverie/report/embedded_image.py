"""Images that a page holds as data, so that it needs no other file."""

from __future__ import annotations

import base64
import functools
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image

from reverie.media.metadata import LABELS

LARGE = 1536
"""pixels across and down that an image on the page has at most"""
ROOM = 860
"""pixels across that the column offers an image"""
ROW_LABELS = 110
"""pixels of it that labels of rows take"""
MAX_LABELS, MAX_LENGTH = 64, 60
"""labels of columns or rows, and characters of one, that are shown at most"""


@dataclass(frozen=True)
class EmbeddedImage:
    """A PNG as a data URI, with its size in pixels; of a grid also what its columns and its rows show."""

    source: str
    width: int
    height: int
    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()

    def shown_width(self, room: int) -> int | None:
        """Pixels across to show it at where `room` are free: a whole multiple, so that it stays sharp.

        None for an image that is wider than that: it takes what room there is.
        """
        room -= ROW_LABELS if self.rows else 0
        return room // self.width * self.width if self.width <= room else None


def read_image(path: Path, largest: int = LARGE) -> EmbeddedImage | None:
    """The PNG in a file, reduced if a side is longer than `largest`; None if it cannot be read."""
    try:
        status = path.stat()
        return _read(path, largest, status.st_mtime_ns, status.st_size)
    except Exception:  # whatever a damaged image provokes in the reader, the page goes on without it
        return None


@functools.lru_cache(maxsize=256)  # while a run is trained its page is written again and again
def _read(path: Path, largest: int, changed: int, size: int) -> EmbeddedImage:
    with PIL.Image.open(path, formats=["PNG"]) as opened:
        opened.load()
        columns, rows = _labels(getattr(opened, "text", {}).get(LABELS, ""))
        if max(opened.size) <= largest:
            return _embed(path.read_bytes(), opened.size, columns, rows)
        mode = opened.mode if opened.mode in ("L", "RGBA") else "RGB"
        reduced = opened.convert(mode)
        reduced.thumbnail((largest, largest))
        return embed(reduced, columns, rows)


def embed(image: PIL.Image.Image, columns: tuple[str, ...] = (), rows: tuple[str, ...] = ()) -> EmbeddedImage:
    """An image in memory, as a PNG."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=image.width * image.height < 300_000)  # which takes long for a large one
    return _embed(file.getvalue(), image.size, columns, rows)


def _embed(data: bytes, size: tuple[int, int], columns: tuple[str, ...], rows: tuple[str, ...]) -> EmbeddedImage:
    return EmbeddedImage(f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}", *size, columns, rows)


def _labels(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What columns and rows show, from the text chunk of a PNG; nothing where it says nothing that can be used."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return (), ()
    if not isinstance(found, dict):
        return (), ()
    return _texts(found.get("columns")), _texts(found.get("rows"))


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_LABELS or not all(isinstance(text, str) for text in value):
        return ()
    return tuple(text[:MAX_LENGTH] for text in value)
