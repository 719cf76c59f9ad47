"""Whence a generated file comes: what its record says, and whether the run makes it again."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np

from reverie.cli.parser import Parser
from reverie.core.options import media_inputs, media_output
from reverie.media import Image, Music, Photo, Text, image_grid, medley, read_record, rolls
from reverie.media.photo import photo_grid
from reverie.utils.errors import UserError, printable


def describe(record: dict[str, Any]) -> str:
    """The record in a sentence or two."""
    arguments = "  ".join(f"{k}={v}" for k, v in record.get("arguments", {}).items())
    synthetic = "synthetic: made by a trained model, not photographed or drawn"
    lines = [
        synthetic if record.get("synthetic", True) else "not synthetic: a given picture, and what a model says of it",
        f"method     {record.get('method')}  (reverie {record.get('reverie')})",
        f"run        {record.get('run', 'unsaved')}{_step(record)}",
        f"verb       {record.get('verb')}  {arguments}".rstrip(),
        f"index      {record.get('index')}" if "grid" not in record else f"grid       {record['grid']}",
    ]
    if "lines" in record:
        lines[0] = "synthetic: written by a trained model, not by anybody"
        indices = [line["index"] for line in record["lines"]]
        lines[-1] = f"lines      {len(indices)}, of index {min(indices)} to {max(indices)}"
    lines[3:3] = [
        f"trained    elsewhere: {file.get('name')}  {file.get('sha256')}" for file in record.get("imported", [])
    ]
    lines += [f"made from  {source.get('name')}  {source.get('digest')}" for source in record.get("inputs", [])]
    return "\n".join(map(printable, lines))


def _step(record: dict[str, Any]) -> str:
    """Weights of another program do not say how many steps they are from."""
    return "" if "imported" in record else f"  step {record.get('step', '-')}"


def verify(file: Path, run: Path, given: list[Any]) -> dict[str, Any]:
    """Makes the file again with the run, and compares.

    given: the pictures it was made from, if it was made from any. Returns {"same", "difference", "why"}: the largest
    difference in grey levels of 256, None where it cannot be made. Raises UserError if a needed picture is missing.
    """
    from reverie.api import load

    record, method = read_record(file), load(run)
    for name, ours in (("method", method.origin["method"]), ("run", method.origin["run"])):
        if record.get(name) != ours:
            hint = f" (the file was made at step {record.get('step')}, the run is at step {method.origin['step']})"
            why = f"another {name} made it: {record.get(name)}, not {ours}" + (hint if name == "run" else "")
            return {"same": False, "difference": None, "why": printable(why)}
    if "lines" in record:
        return _verify_lines(file, method, record, given)
    again = _again(method, record, given)
    if isinstance(again, Music):
        if file.suffix.lower() != ".png":
            return _same_music(again, file)
        again = again.image()
    return _same_picture(again, file)


def _same_picture(again: Image | Photo, file: Path) -> dict[str, Any]:
    """As verify, of pictures as their files hold them: in their own depth, with their alpha."""
    ours, theirs = Photo.read(again.png()), Photo.load(file)
    alphas = {None if photo.alpha is None else photo.alpha.tobytes() for photo in (ours, theirs)}
    why = ""
    if ours.pixels.shape != theirs.pixels.shape:
        why = f"its shape is {theirs.pixels.shape}, the run makes {ours.pixels.shape}"
    elif ours.full != theirs.full:
        why = f"its levels go to {theirs.full}, those that the run makes to {ours.full}"
    elif len(alphas) > 1:
        why = "its alpha is not what the run makes"
    if why:
        return {"same": False, "difference": None, "why": why}
    apart = int(np.abs(ours.pixels.astype(int) - theirs.pixels.astype(int)).max())
    difference = -(-apart // (ours.full // 255))  # rounded up, so that 0 is equality in 16 bits too
    # Another machine may round a sum differently: that moves a pixel by one level at the most.
    why = "made again, equal to the pixel" if difference == 0 else f"made again, at most {difference} of 255 apart"
    return {"same": difference <= 1, "difference": difference, "why": why}


def _same_music(again: Music, file: Path) -> dict[str, Any]:
    """As verify, of music: the difference is how many steps of all are others; of sound, whether a byte is."""
    if file.suffix.lower() == ".wav":
        same = again.wav() == file.read_bytes()
        return {"same": same, "difference": 1 - same, "why": f"made again, {'equal' if same else 'other'} bytes"}
    theirs = Music.load(file)
    if {p: len(e) for p, e in again.parts.items()} != {p: len(e) for p, e in theirs.parts.items()}:
        return {"same": False, "difference": None, "why": "its parts or their lengths are not what the run makes"}
    difference = sum(int((events != theirs.parts[part]).sum()) for part, events in again.parts.items())
    why = "made again, equal at every step" if difference == 0 else f"made again, other at {difference} steps"
    return {"same": difference == 0, "difference": difference, "why": why}


def _verify_lines(file: Path, method: Any, record: dict[str, Any], given: list[Any]) -> dict[str, Any]:
    """As verify, of lines of text; the difference is how many are not the same."""
    act, parameters, arguments = _asked(method, record, given, Text)
    indices = [line["index"] for line in record["lines"]]
    if "items" in parameters:
        again = act(**arguments, items=indices)
    else:
        whole = act(**arguments)
        again = [whole[i] for i in indices if 0 <= i < len(whole)]
    *theirs, rest = file.read_text(encoding="utf-8", errors="replace").split("\n")
    if rest:
        return {"same": False, "difference": None, "why": "its last line has no end, which all that the run makes have"}
    difference = sum(a.line != b for a, b in zip(again, theirs, strict=False)) + abs(len(again) - len(theirs))
    why = "made again, equal line by line" if difference == 0 else f"made again, {difference} of {len(theirs)} differ"
    return {"same": difference == 0, "difference": difference, "why": why}


def _asked(method: Any, record: dict[str, Any], given: list[Any], *media: type) -> tuple[Any, Any, dict[str, Any]]:
    """The verb that made a file of one of these media, its parameters, and what it was given. Raises UserError."""
    verb = str(record.get("verb"))
    act, sources = method.verb(verb), record.get("inputs")
    taken = [option.name for option, _ in media_inputs(act)]
    if media_output(act) not in media or (sources and not taken):
        raise UserError(f"the record says that {verb} made the file so, which it cannot; give the file as it was made.")
    arguments = {k: v for k, v in record["arguments"].items() if k not in ("self", "items", *taken)}
    if sources:
        arguments[taken[0]] = [_matching(source, given) for source in sources]
    return act, inspect.signature(act).parameters, arguments


def _again(method: Any, record: dict[str, Any], given: list[Any]) -> Any:
    media = (Music,) if "tunes" in record else (Image, Photo, Music)
    act, parameters, arguments = _asked(method, record, given, *media)
    if "grid" in record:
        layout = record["grid"]
        if "items" in parameters:
            arguments["items"] = range(layout["first"], layout["first"] + layout["images"])
        made = act(**arguments)
        if isinstance(made[0], Photo):
            return photo_grid(made, layout["columns"], layout["gap"])
        return image_grid(rolls(made) if isinstance(made[0], Music) else made, layout["columns"], layout["gap"])
    if "tunes" in record:  # several in one file, one after another
        if "items" in parameters:
            arguments["items"] = range(record["index"], record["index"] + record["tunes"])
        return medley(act(**arguments))
    if "items" in parameters:
        return act(**arguments, items=[record["index"]])[0]
    return act(**arguments)[0]


def _matching(source: dict[str, str], given: list[Any]) -> Any:
    for image in given:
        if image.digest == source["digest"]:
            return image
    raise UserError(f"the file was made from {source['name']} ({source['digest']}); give that file with --given.")


def do_whence(words: list[str]) -> int:
    """How a file was made, and whether the run makes it again."""
    parser = Parser("whence", "How a generated file was made; with --verify, whether the run makes it again.")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--verify", metavar="RUN", help="make it again with this run, and compare")
    parser.add_argument("--given", metavar="FILE", nargs="+", default=[], help="the files it was made from")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.read(words)
    from reverie.cli.provenance import describe, verify
    from reverie.media import read_record

    record = read_record(asked.file)
    verdict = None
    if asked.verify:
        from reverie.api import load
        from reverie.cli.files import gather

        given: list[Any] = []
        if asked.given:  # of the medium that the verb takes
            method, verb = load(asked.verify), str(record.get("verb"))
            media = media_inputs(method.verb(verb)) if verb in method.verbs() else []
            given = list(gather(asked.given, *(medium for _, medium in media[:1])))
        verdict = verify(Path(asked.file), Path(asked.verify), given)
    if asked.json:
        print(json.dumps({"record": record, "verdict": verdict}))
    else:
        print(describe(record))
        if verdict:
            print(f"verified   {'yes' if verdict['same'] else 'NO'}: {verdict['why']}")
    return 1 if verdict and not verdict["same"] else 0
