"""How a generated file says how it was made: a record in JSON, and the mark that other programs look for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import PIL.Image
from PIL.PngImagePlugin import PngInfo

from ..data.midi import told_in
from ..errors import UserError

RECORD = "reverie"
"""the key of the PNG text chunk"""

# The IPTC's mark for pictures made by a trained model, as other programs look for it.
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)


def chunks(record: dict[str, Any] | None) -> PngInfo:
    """The text chunks of a PNG that carries a record."""
    text = PngInfo()
    if record is not None:
        text.add_itxt(RECORD, json.dumps(record, sort_keys=True))
        if record.get("synthetic", True):
            text.add_itxt("XML:com.adobe.xmp", XMP)
    return text


def read_record(path: str | Path) -> dict[str, Any]:
    """The record a generated file carries. Raises UserError if the file is unreadable or carries none."""
    path = Path(path)
    if path.suffix.lower() == ".txt":
        from .text import read_text_record

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
    except ValueError:
        record = None
    if not isinstance(record, dict) or not _is_record(record):
        raise UserError(f"{path} carries no record of reverie; it was not made here, or a program removed it.")
    return record


def _in_music(path: Path) -> dict[str, Any]:
    """The record in a MIDI or WAV file, where it is JSON after the word reverie. Raises UserError."""
    found = told_in(path.read_bytes()).get("record")
    if not isinstance(found, dict) or not _is_record(found):
        raise UserError(f"{path} carries no record of reverie; it was not made here, or a program removed it.")
    return found


def _is_record(found: dict[str, Any]) -> bool:
    """Whether JSON from a file, which anybody may have written, has the shape of a record."""
    inputs, layout = found.get("inputs", []), found.get("sheet", _LAYOUT)
    return (
        isinstance(found.get("arguments"), dict)
        and isinstance(found.get("index"), int)
        and isinstance(inputs, list)
        and all(isinstance(source, dict) and {"name", "digest"} <= source.keys() for source in inputs)
        and isinstance(layout, dict)
        and all(isinstance(layout.get(k), int) and low <= layout[k] <= 1_000_000 for k, low in _LAYOUT.items())
    )


_LAYOUT = {"images": 1, "columns": 1, "gap": 0, "first": 0}
"""what a sheet's record says of it, with the least of each"""
