"""Verification of provenance: a file is generated again by the run that its record names, and compared.

A verdict is {"same": bool, "difference": number or None, "why": text}; the difference is None where the two cannot be
compared.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reverie.api import load
from reverie.cli.files import gather
from reverie.core.codes import code_digest
from reverie.core.options import media_inputs, media_output
from reverie.media import Code, Image, Music, Photo, Text, image_grid, medley, read_record, rolls
from reverie.media.codes_file import read_codes
from reverie.media.photo import photo_grid
from reverie.utils.errors import UserError, printable

Verdict = dict[str, Any]


def verify(file: Path, run: Path, inputs: list[Any]) -> Verdict:
    """Generates the file again with the run, and compares.

    inputs: the items that the file was made from, if it was made from any.
    Returns a verdict; of images the difference is the largest one of any pixel in grey levels of 256. Raises UserError
    if one of the inputs that the record names is missing.
    """
    record, method = read_record(file), load(run)
    if not record.get("run"):
        verb = record.get("verb")
        return _cannot_compare(printable(f"no run made it: {verb} without one did; give that command again to compare"))
    for name in ("method", "run"):
        if record.get(name) != method.origin[name]:
            why = f"another {name} made it: {record.get(name)}, not {method.origin[name]}"
            if name == "run":
                why += f" (the file was made at step {record.get('step')}, the run is at step {method.origin['step']})"
            return _cannot_compare(printable(why))
    if "lines" in record:
        return verify_lines(file, method, record, inputs)
    item = _decode(method, record, inputs) if _is_decoded(record) else _regenerate(method, record, inputs)
    if isinstance(item, Music):
        if file.suffix.lower() != ".png":
            return compare_music(item, file)
        item = item.image()
    return compare_images(item, file)


def load_inputs(places: list[str], record: dict[str, Any], run: str) -> list[Any]:
    """The files at these places, as the medium that the record's verb takes. Raises UserError."""
    if not places:
        return []
    if _is_decoded(record):
        return [code for place in places for code in read_codes(Path(place))]
    method, verb = load(run), str(record.get("verb"))
    if verb not in method.verbs():
        return list(gather(places))
    media = [medium for _, medium in media_inputs(method.verb(verb))]
    return list(gather(places, *media[:1]))


def compare_images(item: Image | Photo, file: Path) -> Verdict:
    """The verdict on an image or photo as its file holds it: in its own bit depth, with its alpha channel."""
    ours, theirs = Photo.read(item.png()), Photo.load(file)
    if ours.pixels.shape != theirs.pixels.shape:
        return _cannot_compare(f"its shape is {theirs.pixels.shape}, the run makes {ours.pixels.shape}")
    if ours.max_level != theirs.max_level:
        return _cannot_compare(f"its largest level is {theirs.max_level}, the run's {ours.max_level}")
    if _alpha_bytes(ours) != _alpha_bytes(theirs):
        return _cannot_compare("its alpha channel is not what the run makes")
    largest = int(np.abs(ours.pixels.astype(int) - theirs.pixels.astype(int)).max())
    difference = -(-largest // (ours.max_level // 255))  # rounded up, so that 0 means equality in 16 bits too
    # Another machine may round a sum differently, which moves a pixel by one level at most.
    exact = difference == 0
    why = "regenerated, equal to the pixel" if exact else f"regenerated, at most {difference} of 255 apart"
    return {"same": difference <= 1, "difference": difference, "why": why}


def compare_music(item: Music, file: Path) -> Verdict:
    """The verdict on music: of a MIDI file the difference is the number of steps that differ; of a WAV file 0 or 1."""
    if file.suffix.lower() == ".wav":
        same = item.wav() == file.read_bytes()
        why = "regenerated, equal bytes" if same else "regenerated, other bytes"
        return {"same": same, "difference": 0 if same else 1, "why": why}
    theirs = Music.load(file)
    if _lengths(item) != _lengths(theirs):
        return _cannot_compare("its parts or their lengths are not what the run makes")
    difference = sum(int((events != theirs.parts[part]).sum()) for part, events in item.parts.items())
    exact = difference == 0
    why = "regenerated, equal at every step" if exact else f"regenerated, {difference} steps differ"
    return {"same": exact, "difference": difference, "why": why}


def verify_lines(file: Path, method: Any, record: dict[str, Any], inputs: list[Any]) -> Verdict:
    """Generates the lines of a text file again, and compares; the difference is the number of lines that differ."""
    call = _recorded_call(method, record, inputs, Text)
    indices = [line["index"] for line in record["lines"]]
    if call.takes_items:
        lines = call.function(**call.arguments, items=indices)
    else:
        whole = call.function(**call.arguments)
        lines = [whole[i] for i in indices if 0 <= i < len(whole)]
    *theirs, rest = file.read_text(encoding="utf-8", errors="replace").split("\n")
    if rest:
        return _cannot_compare("its last line does not end in a newline, as every line of the run does")
    difference = sum(a.line != b for a, b in zip(lines, theirs, strict=False)) + abs(len(lines) - len(theirs))
    exact = difference == 0
    why = "regenerated, equal line by line" if exact else f"regenerated, {difference} of {len(theirs)} lines differ"
    return {"same": exact, "difference": difference, "why": why}


class RecordedCall(NamedTuple):
    """The call of a verb that a record describes."""

    function: Any
    arguments: dict[str, Any]
    takes_items: bool
    """whether single items of the job can be asked for"""


def _recorded_call(method: Any, record: dict[str, Any], inputs: list[Any], *media: type) -> RecordedCall:
    """The call that made a file of one of these media. Raises UserError where the record describes none."""
    verb = str(record.get("verb"))
    function, sources = method.verb(verb), record.get("inputs")
    input_names = [option.name for option, _ in media_inputs(function)]
    if not issubclass(media_output(function), media) or (sources and not input_names):
        raise UserError(f"the record names {verb}, which cannot make such a file; give the file as it was made.")
    left_out = ("self", "items", *input_names)
    arguments = {name: value for name, value in record["arguments"].items() if name not in left_out}
    if sources:
        found = [_matching(source, inputs) for source in sources]
        if len(input_names) > 1:  # one file for each, as a foreground, a background and a mask
            arguments |= {name: [item] for name, item in zip(input_names, found, strict=False)}
        else:
            arguments[input_names[0]] = found
    return RecordedCall(function, arguments, "items" in inspect.signature(function).parameters)


def _regenerate(method: Any, record: dict[str, Any], inputs: list[Any]) -> Any:
    """The item that a record describes: one of a job, a grid of images, or several tunes one after another."""
    media = (Music,) if "tunes" in record else (Image, Photo, Music)
    function, arguments, takes_items = _recorded_call(method, record, inputs, *media)
    if "grid" in record:
        layout = record["grid"]
        if takes_items:
            arguments["items"] = range(layout["first"], layout["first"] + layout["images"])
        items = function(**arguments)
        if isinstance(items[0], Photo):
            return photo_grid(items, layout["columns"], layout["gap"])
        images = rolls(items) if isinstance(items[0], Music) else items
        return image_grid(images, layout["columns"], layout["gap"])
    if "tunes" in record:
        if takes_items:
            arguments["items"] = range(record["index"], record["index"] + record["tunes"])
        return medley(function(**arguments))
    if takes_items:
        arguments["items"] = [record["index"]]
    return function(**arguments)[0]


def _is_decoded(record: dict[str, Any]) -> bool:
    return record.get("verb") == "decode"


def _decode(method: Any, record: dict[str, Any], codes: list[Code]) -> Any:
    """The item of the code whose digest a record of `decode` names. Raises UserError if it was not given."""
    if "code" not in record or "grid" in record or "tunes" in record:
        raise UserError("what decode wrote into one file cannot be verified; decode the codes into a folder.")
    for code in codes:
        if code_digest(code.values) == record["code"]:
            return method.decode(code)[0]
    raise UserError(f"the file was made from the code {record['code']}; give the file that holds it with --inputs.")


def _matching(source: dict[str, str], inputs: list[Any]) -> Any:
    """The input whose digest a record names. Raises UserError if it was not given."""
    for item in inputs:
        if item.digest == source["digest"]:
            return item
    raise UserError(f"the file was made from {source['name']} ({source['digest']}); give that file with --inputs.")


def _cannot_compare(why: str) -> Verdict:
    return {"same": False, "difference": None, "why": why}


def _alpha_bytes(photo: Photo) -> bytes | None:
    return None if photo.alpha is None else photo.alpha.tobytes()


def _lengths(music: Music) -> dict[str, int]:
    return {part: len(events) for part, events in music.parts.items()}
