"""Evaluation: the result of evaluating one run. Scores, which ones were skipped and why, notes, and figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reverie.media import Image
from reverie.metrics.score import Score
from reverie.report.baselines import lost_to
from reverie.report.scores import read_scores
from reverie.utils.environment import machine, now


@dataclass(repr=False)
class Evaluation:
    """The scores of one run: `for score in evaluation`, `evaluation["fid"]`."""

    run: dict[str, Any]
    """what was scored: method, step and weights; of a folder of images, their number and digest"""
    scores: list[Score] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    """{"score", "why"} of scores that could not be computed"""
    notes: list[str] = field(default_factory=list)
    """what a reader of the scores has to know"""
    figures: dict[str, tuple[Image, str]] = field(default_factory=dict)
    """name -> image and caption"""
    command: str = ""
    seconds: float = 0.0
    config: dict[str, Any] = field(default_factory=dict)
    """EvalConfig.record of the evaluation"""

    @classmethod
    def read(cls, run_folder: Path, last: bool = False) -> Evaluation | None:
        """The evaluation in a run folder, without its figures; None if there is none, or its file is damaged.

        last: without the scores that the last evaluation has kept of those before it
        """
        try:
            record = json.loads((run_folder / "scores.json").read_text(encoding="utf-8"))
            run, skipped, notes, config = (record[name] for name in ("run", "skipped", "notes", "config"))
            texts = [*notes, *(text for line in skipped for text in (line["score"], line["why"]))]
            scores, faults = read_scores(record)
            whole = len(scores) == len(record["scores"]) and not faults and all(isinstance(text, str) for text in texts)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        if last:
            scores = [score for score in scores if score.name not in record.get("kept", [])]
        return cls(run, scores, skipped, notes, config=config) if whole else None

    def __iter__(self) -> Iterator[Score]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, name: str) -> Score:
        for score in self.scores:
            if score.name == name:
                return score
        why = self.why_skipped(name) or "it was not asked for"
        raise KeyError(f"no score '{name}' ({why}); there are: {', '.join(score.name for score in self.scores)}")

    def skip(self, names: Iterable[str], why: str) -> None:
        """Notes scores that cannot be computed."""
        self.skipped += [{"score": name, "why": why} for name in names]

    def why_skipped(self, name: str) -> str:
        """Why a score was skipped; "" if it was not."""
        return next((line["why"] for line in self.skipped if line["score"] == name), "")

    def to_json(self) -> dict[str, Any]:
        """As scores.json."""
        return {
            "run": self.run,
            "scores": [score.to_json() for score in self.scores],
            "skipped": self.skipped,
            "notes": self.notes,
            "figures": {name: caption for name, (_, caption) in self.figures.items()},
            "config": self.config,
            "kept": [],
            "command": self.command,
            "created": now(),
            "machine": machine(),
            "seconds": round(self.seconds, 1),
        }

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(self.table())}</pre>"

    def table(self) -> str:
        """The scores in columns, then the skipped ones and the notes."""
        rows = [("score", "value", "", "real data", "baseline", "n", "better")]
        for s in self.scores:
            std_error = "" if s.std_error is None else f"+- {s.std_error:.2g}"
            real, baseline = ("" if x is None else f"{x:.4g}" for x in (s.real, s.baseline))
            rows.append((s.name, f"{s.value:.4g} {s.unit}".strip(), std_error, real, baseline, str(s.n), s.better))
        widths = [max(len(row[column]) for row in rows) for column in range(7)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        for why in dict.fromkeys(line["why"] for line in self.skipped):
            names = [line["score"] for line in self.skipped if line["why"] == why]
            comma = "; " if any("," in name for name in names) else ", "  # "psnr, bm3d" is one name
            lines.append(f"skipped: {comma.join(names)}: {why}")
        if lost := lost_to(self.scores):
            lines.append(f"warning: {lost}")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])
