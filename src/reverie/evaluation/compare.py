"""Compare: several runs against one data set, side by side. Unlike scores never meet in one row."""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reverie.evaluation.evaluate import score
from reverie.evaluation.evaluators import Evaluator, evaluator_for
from reverie.evaluation.request import EvalConfig
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource, open_source
from reverie.metrics.score import Score, check_comparable
from reverie.report.compare import Column, Line, page
from reverie.report.run_record import read_record
from reverie.utils.atomic_files import friendly, replace_text
from reverie.utils.errors import UserError


@dataclass(frozen=True)
class Cell:
    """What stands in the table for one run and one score: the score, or why there is none."""

    score: Score | None
    why: str = ""


@dataclass
class Comparison:
    """Runs in columns, scores in rows: `comparison["fid"]` is a row, a Cell for each run."""

    names: list[str]
    rows: dict[str, list[Cell]] = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    path: Path | None = None
    """the page"""

    def __getitem__(self, name: str) -> list[Cell]:
        return self.rows[name]

    def best(self, name: str) -> int | None:
        """The number of the column whose score is best; None where fewer than two can be compared, or two are best."""
        held = {i: c.score for i, c in enumerate(self.rows[name]) if c.score and not math.isnan(c.score.value)}
        if len(held) < 2:
            return None
        ranks = {i: _rank(score) for i, score in held.items()}
        first, second = sorted(ranks.values())[:2]
        return min(ranks, key=lambda i: ranks[i]) if first < second else None

    def table(self) -> str:
        """The rows in columns as text, the best of each marked by a star, and why cells are empty."""
        lines = [["", *self.names, "floor", "better"]]
        for name, cells in self.rows.items():
            best, held = self.best(name), [cell.score for cell in cells if cell.score]
            values = [f"{c.score.value:.4g}{'*' if i == best else ''}" if c.score else "-" for i, c in enumerate(cells)]
            floor = "" if held[0].floor is None else f"{held[0].floor:.4g}"
            lines.append([name, *values, floor, held[0].better])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        told = ["  ".join(w.ljust(width) for w, width in zip(line, widths, strict=True)).rstrip() for line in lines]
        whys: dict[str, list[str]] = {}
        for name, cells in self.rows.items():
            for run, cell in zip(self.names, cells, strict=True):
                if cell.why:
                    whys.setdefault(f"{run}: {cell.why}", []).append(name)
        return "\n".join(told + [f"no {', '.join(names)} of {why}" for why, names in whys.items()])

    def to_json(self) -> dict[str, Any]:
        """What the page tells, for programs."""
        return {
            "runs": [{"name": n, **e.run} for n, e in zip(self.names, self.evaluations, strict=True)],
            "scores": {
                name: [cell.score.to_json() if cell.score else {"why": cell.why} for cell in cells]
                for name, cells in self.rows.items()
            },
            "page": str(self.path) if self.path else None,
        }


def compare(
    runs: list[str | Path],
    data: str | Path,
    *,
    out: str | Path | None = "compare.html",
    features: str | Path | None = None,
    n: int | None = None,
    seed: int = 0,
    split: str | None = None,
    taught: bool = False,
    classical: bool = True,
    lpips: str | Path | None = None,
    command: str = "",
) -> Comparison:
    """Scores each run against the data, where that was not done yet in the same way, and writes one page on all.

    runs: run folders, two or more; out: the page, None for none; the others: as in evaluate. Raises UserError.
    """
    if len(runs) < 2:
        raise UserError("compare takes two runs or more: reverie compare runs/a runs/b --data FOLDER.")
    place = None if out is None else Path(out)
    if place is not None and place.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"cannot write {place}: the comparison is a page; name it {place.stem or 'compare'}.html.")
    subjects, benches = [open_source(run) for run in runs], list[Evaluator]()
    how = EvalConfig(features, n, seed, split, taught, classical, lpips)
    for run, subject in zip(runs, subjects, strict=True):
        if subject.folder is None:
            raise UserError(f"{run} is no run folder, and costs and curves are compared too; give the folder of a run.")
        if evaluator_for(subject) is not evaluator_for(subjects[0]):
            raise UserError(
                f"{runs[0]} and {run} learn from unlike kinds of data, so that no score is common to both; compare "
                "runs of one kind."
            )
        evaluator_for(subject).check(subject, n)  # of all, before any takes minutes
        benches.append(evaluator_for(subject).open(subject, data, split))
    found = Comparison(_names([Path(run) for run in runs]))
    for name, subject, bench in zip(found.names, subjects, benches, strict=True):
        found.evaluations.append(_evaluation(name, subject, bench, data, how))
    found.rows = _rows(found.evaluations)
    if place is not None:
        columns = [_column(*one, seed) for one in zip(found.names, subjects, benches, strict=True)]
        with friendly(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            replace_text(place, page(columns, _lines(found), str(data), command))
        found.path = place
    return found


def _rank(score: Score) -> float:
    """A number that is smaller for the better of two scores."""
    if score.better == "match":
        return abs(score.value - (score.floor or 0))
    return score.value if score.better == "lower" else -score.value


def _names(runs: list[Path]) -> list[str]:
    """The shortest ends of the paths that tell the runs apart. Raises UserError if two are the same."""
    whole = [run.resolve().parts for run in runs]
    if len(set(whole)) < len(whole):
        raise UserError("the same run is named twice; compare takes different ones.")
    depth = next(d for d in range(1, max(map(len, whole)) + 1) if len({parts[-d:] for parts in whole}) == len(whole))
    return ["/".join(parts[-depth:]) for parts in whole]


def _evaluation(name: str, subject: SampleSource, bench: Evaluator, data: str | Path, how: EvalConfig) -> Evaluation:
    """The scores of a run: those that it has, if they were measured in this way, else new ones."""
    assert subject.folder is not None
    held = Evaluation.read(subject.folder)
    if held is not None and held.run == subject.about and held.asked == how.told(subject, bench):
        return held
    print(f"evaluating {name}", file=sys.stderr)
    words = {
        "--data": data, "--features": how.features, "-n": how.n, "--seed": how.seed or None, "--split": how.split,
        "--lpips": how.lpips,
    }  # fmt: skip
    flags = [str(word) for flag, value in words.items() if value is not None for word in (flag, value)]
    flags += ["--taught"] * how.taught + ["--no-classical"] * (not how.classical)
    command = shlex.join(["reverie", "evaluate", str(subject.folder), *flags])
    return score(subject, data, how, command)


def _rows(evaluations: list[Evaluation]) -> dict[str, list[Cell]]:
    """The scores by name, each beside its likes: the first run that has a score says what the others are held to."""
    rows: dict[str, list[Cell]] = {}
    for first in (one for evaluation in evaluations for one in evaluation):
        if first.name not in rows:
            rows[first.name] = [_cell(first.name, first, evaluation) for evaluation in evaluations]
    return rows


def _cell(name: str, first: Score, evaluation: Evaluation) -> Cell:
    try:
        score = evaluation[name]
        check_comparable(first, score)
    except UserError as error:
        return Cell(None, str(error))
    except KeyError:
        skipped = (line["why"] for line in evaluation.skipped if line["score"] == name)
        return Cell(None, next(skipped, f"{evaluation.run['method']} has nothing of the kind"))
    return Cell(score)


def _lines(found: Comparison) -> list[Line]:
    """The rows as the page takes them."""
    return [
        Line(name, [c.score or c.why for c in cells], found.best(name), next(c.score for c in cells if c.score))
        for name, cells in found.rows.items()
    ]


def _column(name: str, subject: SampleSource, bench: Evaluator, seed: int) -> Column:
    """What the page shows of a run beside its scores."""
    assert subject.method is not None
    assert subject.folder is not None
    players = {part: sum(p.numel() for p in net.parameters()) for part, net in subject.method.named_children()}
    shown = {k: v for k, v in players.items() if v}
    return Column(name, read_record(subject.folder), bench.pictures(subject, seed), shown)
