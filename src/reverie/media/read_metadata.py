"""Reading back the record that a generated file carries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import PIL.Image

from reverie.data.music.midi import read_metadata
from reverie.media.metadata import RECORD, is_record
from reverie.utils.errors import UserError


def read_record(path: str | Path) -> dict[str, Any]:
    """The record in a generated PNG, MIDI or WAV file, or beside a generated .txt file.

    Raises UserError if the file cannot be read or carries no record.
    """
    path = Path(path)
    if path.suffix.lower() == ".txt":
        from reverie.media.text import read_text_record

        return read_text_record(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}; give the path of a generated image.")
    try:
        with path.open("rb") as file:
            is_music = file.read(4) in (b"MThd", b"RIFF")
        record = read_metadata(path.read_bytes()).get("record") if is_music else _png_record(path)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as an image ({error}); give a PNG that reverie wrote.") from None
    if not is_record(record):
        raise UserError(f"{path} carries no record of reverie: it was not generated here, or a program removed it.")
    return record


def _png_record(path: Path) -> Any:
    """The JSON in the text chunk of a PNG; None if there is none. Raises what Pillow raises."""
    with PIL.Image.open(path) as image:
        text = getattr(image, "text", {}).get(RECORD)
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
