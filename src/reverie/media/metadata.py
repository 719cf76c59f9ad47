"""How a generated file says how it was made: a record in JSON, and the mark that other programs look for."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

from PIL.PngImagePlugin import PngInfo

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


def is_record(found: Any, of_lines: bool = False) -> TypeGuard[dict[str, Any]]:
    """Whether JSON from a file, which anybody may have written, has the shape of a record, of lines or of no lines."""
    return (
        isinstance(found, dict)
        and isinstance(found.get("arguments"), dict)
        and isinstance(found.get("index"), int)
        and _are(found.get("inputs", []), name=str, digest=str)
        and _are(found.get("imported", []), name=str, sha256=str)
        and _counts(found, {"tunes": 1} if "tunes" in found else {})
        and _counts(found.get("grid", _LAYOUT), _LAYOUT)
        and ("lines" in found) == of_lines
        and (not of_lines or (_are(found["lines"], index=int, digest=str) and found["lines"] != []))
    )


def _are(found: Any, **kinds: type) -> bool:
    """Whether it is a list of objects that have these entries."""
    return isinstance(found, list) and all(
        isinstance(one, dict) and all(isinstance(one.get(k), kind) for k, kind in kinds.items()) for one in found
    )


def _counts(found: Any, least: dict[str, int]) -> bool:
    """Whether it is an object with these whole numbers, none of them below the least or beyond all sense."""
    return isinstance(found, dict) and all(
        isinstance(found.get(k), int) and low <= found[k] <= 1_000_000 for k, low in least.items()
    )


_LAYOUT = {"images": 1, "columns": 1, "gap": 0, "first": 0}
"""what a sheet's record says of it, with the least of each"""
