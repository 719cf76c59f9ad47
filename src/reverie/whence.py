"""Whence a generated file comes: what its record says, and whether the run makes it again."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UserError
from .media import Image, Music, read_record, rolls, sheet
from .options import taken_by


def describe(record: dict[str, Any]) -> str:
    """The record in a sentence or two."""
    arguments = "  ".join(f"{k}={v}" for k, v in record.get("arguments", {}).items())
    synthetic = "synthetic: made by a trained model, not photographed or drawn"
    lines = [
        synthetic if record.get("synthetic", True) else "not synthetic: a given picture, and what a model says of it",
        f"method     {record.get('method')}  (reverie {record.get('reverie')})",
        f"run        {record.get('run', 'unsaved')}  step {record.get('step', '-')}",
        f"verb       {record.get('verb')}  {arguments}".rstrip(),
        f"index      {record.get('index')}" if "sheet" not in record else f"sheet      {record['sheet']}",
    ]
    lines += [f"made from  {source.get('name')}  {source.get('digest')}" for source in record.get("inputs", [])]
    return "\n".join(lines)


def verify(file: Path, run: Path, given: list[Any]) -> dict[str, Any]:
    """Makes the file again with the run, and compares.

    given: the pictures it was made from, if it was made from any. Returns {"same", "difference", "why"}: the largest
    difference in grey levels of 256, None where it cannot be made. Raises UserError if a needed picture is missing.
    """
    from .work import load

    record, method = read_record(file), load(run)
    for name, ours in (("method", method.origin["method"]), ("run", method.origin["run"])):
        if record.get(name) != ours:
            hint = f" (the file was made at step {record.get('step')}, the run is at step {method.origin['step']})"
            why = f"another {name} made it: {record.get(name)}, not {ours}" + (hint if name == "run" else "")
            return {"same": False, "difference": None, "why": why}
    again = _again(method, record, given)
    if isinstance(again, Music):
        if file.suffix.lower() != ".png":
            return _same_music(again, file)
        again = again.image()
    ours, theirs = again.pixels, Image.load(file).pixels
    if ours.shape != theirs.shape:
        return {"same": False, "difference": None, "why": f"its shape is {theirs.shape}, the run makes {ours.shape}"}
    difference = int(np.abs(ours.astype(int) - theirs.astype(int)).max())
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


def _again(method: Any, record: dict[str, Any], given: list[Any]) -> Any:
    act = method.verb(str(record.get("verb")))
    parameters = inspect.signature(act).parameters
    arguments = {k: v for k, v in record["arguments"].items() if k not in ("self", "items", "images")}
    if record.get("inputs"):
        arguments[taken_by(act)[0][0].name] = [_matching(source, given) for source in record["inputs"]]
    if "sheet" in record:
        layout = record["sheet"]
        if "items" in parameters:
            arguments["items"] = range(layout["first"], layout["first"] + layout["images"])
        made = act(**arguments)
        return sheet(rolls(made) if isinstance(made[0], Music) else made, layout["columns"], layout["gap"])
    if "items" in parameters:
        return act(**arguments, items=[record["index"]])[0]
    return act(**arguments)[0]


def _matching(source: dict[str, str], given: list[Any]) -> Any:
    for image in given:
        if image.digest == source["digest"]:
            return image
    raise UserError(f"the file was made from {source['name']} ({source['digest']}); give that file with --given.")
