"""Reading back how a generated file was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import PIL.Image

from reverie.data.music.midi import told_in
from reverie.media.metadata import RECORD, is_record
from reverie.utils.errors import UserError


def read_record(path: str | Path) -> dict[str, Any]:
    """The record a generated file carries. Raises UserError if the file is unreadable or carries none."""
    path = Path(path)
    if path.suffix.lower() == ".txt":
        from reverie.media.text import read_text_record

        return read_text_record(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}; give the path of a generated picture.")
    try:
        with path.open("rb") as file:
            sound = file.read(4) in (b"MThd", b"RIFF")
        if sound:
            return _in_music(path)
        with PIL.Image.open(path) as picture:
            text = getattr(picture, "text", {}).get(RECORD)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a picture ({error}); give a PNG that reverie wrote.") from None
    try:
        record = json.loads(text) if text else None
    except (ValueError, RecursionError):
        record = None
    if not is_record(record):
        raise UserError(f"{path} carries no record of reverie; it was not made here, or a program removed it.")
    return record


def _in_music(path: Path) -> dict[str, Any]:
    """The record in a MIDI or WAV file, where it is JSON after the word reverie. Raises UserError."""
    found = told_in(path.read_bytes()).get("record")
    if not is_record(found):
        raise UserError(f"{path} carries no record of reverie; it was not made here, or a program removed it.")
    return found
