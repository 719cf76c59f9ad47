"""What the files of a run folder say, read without torch and forgiving of what is missing or cut off."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from reverie.utils.errors import UserError

SAMPLES = re.compile(r"step-(\d+)(?:-(.+))?\.png")


@dataclass(frozen=True)
class Record:
    """What the files of a run say, read once: run.json, the checkpoint, the log, images of samples, scores.json."""

    folder: Path
    about: dict[str, Any]
    """run.json"""
    step: int
    """of the checkpoint; without one, of the last line of the log"""
    log: list[dict[str, Any]]
    samples: dict[str, list[tuple[int, Path]]]
    """(step, file) of the images in samples/, by kind; the kind of those without one is "" """
    weights: str | None
    """SHA-256 of the saved weights as save.json has it; None without a checkpoint"""
    scores: dict[str, Any] | None
    """scores.json: None if there is none, {} if it is damaged"""

    def part(self, key: str) -> dict[str, Any]:
        """An object of run.json, {} if it is missing."""
        found = self.about.get(key)
        return found if isinstance(found, dict) else {}

    @property
    def monitored(self) -> dict[str, str]:
        """Metric -> its role for the monitor, as the method declared; {} if run.json does not say."""
        return {name: role for name, role in self.part("monitored").items() if isinstance(role, str)}

    @property
    def total_steps(self) -> int:
        """Steps of all stages; 0 if run.json does not say."""
        steps = list(self.part("stages").values())
        return int(sum(steps)) if all(map(is_number, steps)) else 0

    @property
    def media(self) -> str:
        """What the method makes: "images", "music" or "text"; images where run.json names no other kind of data."""
        kind = self.part("data").get("kind")
        return kind if kind in ("music", "text") else "images"


def read_run_record(run: Path) -> Record:
    """The record of a run folder. Raises UserError if it holds no readable run.json; all else may be missing."""
    if not (run / "run.json").is_file():
        raise UserError(f"{run} is not a run folder (it has no run.json); give the folder that --out named.")
    about = _object(_text(run / "run.json"))
    if not about:
        raise UserError(f"{run / 'run.json'} is damaged; restore it from a copy.")
    log = [line for text in _text(run / "log.jsonl").splitlines() if (line := _object(text))]
    log = [line for line in log if is_number(line.get("step"))]
    checkpoint = _object(_text(run / "save.json"))
    step, sums = checkpoint.get("step"), checkpoint.get("sha256")
    if not is_number(step):
        step = max((line["step"] for line in log), default=0)
    weights = sums.get("weights.safetensors") if isinstance(sums, dict) else None
    return Record(
        folder=run,
        about=about,
        step=int(step),
        log=log,
        samples=_samples(run / "samples"),
        weights=weights if isinstance(weights, str) else None,
        scores=_object(_text(run / "scores.json")) if (run / "scores.json").exists() else None,
    )


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a JSON file is a number, neither infinite nor so large that sums of it would be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100


def _samples(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in folder.glob("*.png"):
        if (named := SAMPLES.fullmatch(path.name)) and path.is_file():
            found.setdefault(named[2] or "", []).append((int(named[1]), path))
    return {kind: sorted(files) for kind, files in sorted(found.items())}


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
