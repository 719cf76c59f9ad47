"""How a generated file says how it was made: a record in JSON, and the XMP field that other programs look for."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

from PIL.PngImagePlugin import PngInfo

RECORD = "reverie"
"""keyword of the PNG text chunk that holds the record"""
LABELS = "reverie-labels"
"""keyword of the PNG text chunk that holds what the columns and the rows of a grid show, {"columns": [...], "rows":
[...]} in JSON"""

# IPTC's digital source type of media that a trained model made.
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)

GRID_MINIMUM = {"images": 1, "columns": 1, "gap": 0, "first": 0}
"""the layout that the record of an image grid holds, with the smallest valid value of each entry"""
MAX_COUNT = 1_000_000
"""largest count in a record that is believed"""


def png_text_chunks(record: dict[str, Any] | None) -> PngInfo:
    """The text chunks of a PNG that carries `record`; none for None. XMP is left out if the record says that the file
    is not synthetic ("synthetic": false)."""
    text = PngInfo()
    if record is not None:
        text.add_itxt(RECORD, json.dumps(record, sort_keys=True))
        if record.get("synthetic", True):
            text.add_itxt("XML:com.adobe.xmp", XMP)
    return text


def is_record(value: Any, of_lines: bool = False) -> TypeGuard[dict[str, Any]]:
    """Whether a value parsed from JSON, which anybody may have written, has the structure of a record.

    of_lines: of a text file, whose record has an entry for every line.
    """
    if not isinstance(value, dict) or ("lines" in value) != of_lines:
        return False
    if of_lines and not (value["lines"] != [] and _is_list_of(value["lines"], index=int, digest=str)):
        return False
    return (
        isinstance(value.get("arguments"), dict)
        and isinstance(value.get("index"), int)
        and _is_list_of(value.get("inputs", []), name=str, digest=str)
        and _is_list_of(value.get("imported", []), name=str, sha256=str)
        and all(_is_texts(value.get(key, [])) for key in ("networks", "fingerprints"))
        and _has_counts(value, {"tunes": 1} if "tunes" in value else {})
        and _has_counts(value.get("grid", GRID_MINIMUM), GRID_MINIMUM)
    )


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _is_list_of(value: Any, **types: type) -> bool:
    """Whether it is a list of objects that all have these entries, of these types."""

    def matches(entry: Any) -> bool:
        return isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in types.items())

    return isinstance(value, list) and all(map(matches, value))


def _has_counts(value: Any, minimum: dict[str, int]) -> bool:
    """Whether it is an object with these integer entries, each from its minimum to MAX_COUNT."""
    if not isinstance(value, dict):
        return False
    return all(isinstance(value.get(key), int) and least <= value[key] <= MAX_COUNT for key, least in minimum.items())
