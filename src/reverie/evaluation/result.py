"""What an evaluation found: the scores of one run, what could not be had, what to know, and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reverie.media import Image
from reverie.metrics.score import Score
from reverie.utils.environment import machine, now
from reverie.utils.errors import UserError


@dataclass
class Evaluation:
    """The scores of one run: `for score in evaluation`, `evaluation["fid"]`."""

    run: dict[str, Any]
    scores: list[Score] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    """{"score", "why"} of scores that could not be had"""
    notes: list[str] = field(default_factory=list)
    """what a reader of the scores ought to know"""
    pictures: dict[str, tuple[Image, str]] = field(default_factory=dict)
    """name -> picture and caption"""
    command: str = ""
    seconds: float = 0.0
    asked: dict[str, Any] = field(default_factory=dict)
    """what was measured on, and how: scores of one run that share it are the same"""

    @classmethod
    def read(cls, folder: Path) -> Evaluation | None:
        """The evaluation in a run folder, without its pictures; None if there is none, or it is damaged."""
        try:
            told = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
            scores = [Score.from_json(score) for score in told["scores"]]
            return cls(told["run"], scores, told["skipped"], told["notes"], asked=told["asked"])
        except (OSError, ValueError, KeyError, TypeError, UserError):
            return None

    def __iter__(self) -> Iterator[Score]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, name: str) -> Score:
        for score in self.scores:
            if score.name == name:
                return score
        why = next((line["why"] for line in self.skipped if line["score"] == name), "it was not asked for")
        raise KeyError(f"no score '{name}' ({why}); there are: {', '.join(score.name for score in self.scores)}")

    def skip(self, names: Any, why: str) -> None:
        """Notes scores that cannot be had."""
        self.skipped += [{"score": name, "why": why} for name in names]

    def to_json(self) -> dict[str, Any]:
        """As scores.json."""
        return {
            "run": self.run,
            "scores": [score.to_json() for score in self.scores],
            "skipped": self.skipped,
            "notes": self.notes,
            "figures": {name: caption for name, (_, caption) in self.pictures.items()},
            "asked": self.asked,
            "command": self.command,
            "created": now(),
            "machine": machine(),
            "seconds": round(self.seconds, 1),
        }

    def table(self) -> str:
        """The scores in columns, then what was left out and what to know."""
        rows = [("score", "value", "", "floor", "n", "better")]
        for s in self.scores:
            spread = "" if s.std_error is None else f"+- {s.std_error:.2g}"
            floor = "" if s.floor is None else f"{s.floor:.4g}"
            rows.append((s.name, f"{s.value:.4g} {s.unit}".strip(), spread, floor, str(s.n), s.better))
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        for why in dict.fromkeys(line["why"] for line in self.skipped):
            lines.append(f"left out: {', '.join(o['score'] for o in self.skipped if o['why'] == why)}: {why}")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])
