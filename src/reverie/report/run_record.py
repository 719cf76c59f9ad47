"""What the files of a run folder tell, read without torch and forgiving of what is missing or cut off."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from reverie.utils.errors import UserError

PICTURE = re.compile(r"step-(\d+)(?:-(.+))?\.png")


@dataclass(frozen=True)
class Record:
    """What the files of a run tell, read once: run.json, the save, the log, previews by kind and step, scores.json."""

    folder: Path
    about: dict[str, Any]
    step: int
    log: list[dict[str, Any]]
    previews: dict[str, list[tuple[int, Path]]]
    weights: str | None
    """SHA-256 of the saved weights as save.json has it; None without a save"""
    scores: dict[str, Any] | None
    """scores.json: None if there is none, {} if it is damaged"""

    def part(self, key: str) -> dict[str, Any]:
        """An object of run.json, {} if it is missing."""
        found = self.about.get(key)
        return found if isinstance(found, dict) else {}


def read_record(run: Path) -> Record:
    """The record of a run folder. Raises UserError if it holds no readable run.json; all else may be missing."""
    if not (run / "run.json").is_file():
        raise UserError(f"{run} is not a run folder (it has no run.json); give the folder that --out named.")
    about = _object(_text(run / "run.json"))
    if not about:
        raise UserError(f"{run / 'run.json'} is damaged; restore it from a copy.")
    log = [line for text in _text(run / "log.jsonl").splitlines() if (line := _object(text))]
    log = [line for line in log if is_number(line.get("step"))]
    previews: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted((run / "samples").glob("*.png")):
        if (named := PICTURE.fullmatch(path.name)) and path.is_file():
            previews.setdefault(named[2] or "", []).append((int(named[1]), path))
    for pictures in previews.values():
        pictures.sort()
    saved = _object(_text(run / "save.json"))
    at, sums = saved.get("step"), saved.get("sha256")
    step = at if is_number(at) else max((line["step"] for line in log), default=0)
    mark = sums.get("weights.safetensors") if isinstance(sums, dict) else None
    scores = _object(_text(run / "scores.json")) if (run / "scores.json").exists() else None
    return Record(
        run, about, int(step), log, dict(sorted(previews.items())), mark if isinstance(mark, str) else None, scores
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _object(text: str) -> dict[str, Any]:
    """The JSON object in a text; {} if there is none, as in a line that was cut off."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a JSON file is a number, neither infinite nor so large that reckoning with it would be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100
