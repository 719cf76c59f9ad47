"""Compare: several runs against one data set, side by side. Scores of different definitions never share a row."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reverie.core.method import Method
from reverie.core.options import checks_arguments, non_defaults
from reverie.data.data_spec import DataSpec
from reverie.data.python_data import place_of
from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.evaluate import evaluate_source
from reverie.evaluation.evaluators import evaluator_for
from reverie.evaluation.evaluators_base import Evaluator, read_as_trained
from reverie.evaluation.metric_selection import read_metrics
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import SampleSource, open_source
from reverie.metrics.score import Score, why_incomparable
from reverie.report.compare import Column, Line, page
from reverie.report.run_record import read_run_record
from reverie.runs.run_place import run_place
from reverie.utils.atomic_files import disk_errors, replace_text
from reverie.utils.errors import NoScores, UserError
from reverie.utils.global_state import kept_global_state


@dataclass(frozen=True)
class Cell:
    """One score of one run: the score, or why there is none."""

    score: Score | None
    why: str = ""


@dataclass(repr=False)
class Comparison:
    """Runs in columns, scores in rows: `comparison["fid"]` is a row, a Cell for each run."""

    names: list[str]
    rows: dict[str, list[Cell]] = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    path: Path | None = None
    """the page; None where none was written"""

    def __getitem__(self, name: str) -> list[Cell]:
        return self.rows[name]

    def best(self, name: str) -> int | None:
        """The column with the best score; None where fewer than two can be compared, or the two best are equal."""
        scores = {i: c.score for i, c in enumerate(self.rows[name]) if c.score and not math.isnan(c.score.value)}
        if len(scores) < 2 or next(iter(scores.values())).better == "neither":
            return None
        ranks = {i: _rank(score) for i, score in scores.items()}
        first, second = sorted(ranks.values())[:2]
        return min(ranks, key=lambda i: ranks[i]) if first < second else None

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(self.table())}</pre>"

    def table(self) -> str:
        """The rows in columns as text, the best of each marked by a star, and why cells are empty."""
        lines = [["", *self.names, "real data", "baseline", "better"]]
        for name, cells in self.rows.items():
            best = self.best(name)
            first = next(cell.score for cell in cells if cell.score)
            values = [_cell_text(cell, i == best) for i, cell in enumerate(cells)]
            beside = ["" if x is None else f"{x:.4g}" for x in (first.real, first.baseline)]
            lines.append([name, *values, *beside, first.better])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(w.ljust(width) for w, width in zip(line, widths, strict=True)).rstrip() for line in lines]
        missing: dict[str, dict[str, list[str]]] = {}
        for name, cells in self.rows.items():
            for run, cell in zip(self.names, cells, strict=True):
                if cell.why:
                    missing.setdefault(cell.why, {}).setdefault(run, []).append(name)
        for why, runs in missing.items():
            text += [f"no {', '.join(names)} of {run}" for run, names in runs.items()]
            text[-1] += f": {why}"
        return "\n".join(text)

    def to_json(self) -> dict[str, Any]:
        """The table and what was compared, for programs."""
        rows = {}
        for name, cells in self.rows.items():
            rows[name] = [cell.score.to_json() if cell.score else {"why": cell.why} for cell in cells]
        runs = [{"name": name, **e.run} for name, e in zip(self.names, self.evaluations, strict=True)]
        return {"runs": runs, "scores": rows, "page": str(self.path) if self.path else None}


def _cell_text(cell: Cell, best: bool) -> str:
    if cell.score is None:
        return "-"
    return f"{cell.score.value:.4g}{'*' if best else ''}"


@checks_arguments("runs")
@kept_global_state()
def compare(
    runs: Sequence[str | Path | Method],
    data: Any,
    *,
    out: str | Path | None = "compare.html",
    splits: str | None = None,
    pairing: str | None = None,
    labels: str | None = None,
    features: str | Path | None = None,
    n: int | None = None,
    seed: int = 0,
    split: str | None = None,
    metrics: str | Sequence[str] | None = None,
    full: bool = False,
    gan_train: bool = False,
    baselines: bool = True,
    lpips: str | Path | None = None,
    command: str = "",
) -> Comparison:
    """Scores each run against the data, unless its scores.json is of the same config, and writes one page on all.

    runs: run folders, or what reverie.load returned of them, two or more; out: the page, None for none; the others: as
    in evaluate, which may TRAIN a classifier. Raises UserError.
    """
    if isinstance(runs, str | Path | Method) or not isinstance(runs, Iterable):
        raise UserError("runs is no list; give two runs or more as [first, second]: folders, or what load returns.")
    data, places = DataSpec(place_of(data), splits, pairing, labels), [run_place(run) for run in runs]
    if len(places) < 2:
        raise UserError("compare takes two runs or more: reverie compare runs/a runs/b --data FOLDER.")
    page_path = None if out is None else Path(out)
    if page_path is not None and page_path.suffix.lower() not in (".html", ".htm"):
        name = f"{page_path.stem or 'compare'}.html"
        raise UserError(f"cannot write {page_path}: the comparison is an HTML page; name it {name}.")
    names = None if metrics is None else read_metrics(metrics)
    config = EvalConfig(
        names, full, features=features, n=n, seed=seed, split=split, gan_train=gan_train, baselines=baselines,
        lpips=lpips,
    )  # fmt: skip
    sources = [open_source(run) for run in places]
    evaluators = _open_evaluators(places, sources, data, config)
    comparison = Comparison(_short_names([Path(run) for run in places]))
    for name, source, evaluator in zip(comparison.names, sources, evaluators, strict=True):
        comparison.evaluations.append(_read_or_evaluate(name, source, evaluator, data, config))
    comparison.rows = _rows(comparison.evaluations)
    if not comparison.rows:
        raise UserError("none of these runs has a score of those that were asked for; leave --metrics away.")
    if page_path is not None:
        columns = [_column(*one, seed) for one in zip(comparison.names, sources, evaluators, strict=True)]
        with disk_errors(page_path):
            page_path.parent.mkdir(parents=True, exist_ok=True)
            replace_text(page_path, page(columns, _lines(comparison), str(data), command))
        comparison.path = page_path
    return comparison


def _open_evaluators(
    runs: list[str | Path], sources: list[SampleSource], data: str | Path, config: EvalConfig
) -> list[Evaluator]:
    """An evaluator for each run; all runs are checked before any is scored. Raises UserError."""
    evaluators = []
    for run, source in zip(runs, sources, strict=True):
        if source.run_folder is None:
            raise UserError(f"{run} is not a run folder, whose cost and curves are compared too; give one.")
        if evaluator_for(source) is not evaluator_for(sources[0]):
            raise UserError(
                f"{runs[0]} and {run} were trained on different kinds of data and have no score in common; compare "
                "runs of one kind."
            )
        evaluator_for(source).check(source, config.n)
        evaluators.append(evaluator_for(source).open(source, read_as_trained(source, data), config.split))
    return evaluators


def _rank(score: Score) -> float:
    """A number that is smaller for the better of two scores."""
    if score.better == "match":
        return abs(score.value - (score.real or 0))
    return score.value if score.better == "lower" else -score.value


def _short_names(runs: list[Path]) -> list[str]:
    """The shortest ends of the paths that differ from one another. Raises UserError if two paths are the same."""
    parts = [run.resolve().parts for run in runs]
    if len(set(parts)) < len(parts):
        raise UserError("the same run is named twice; compare takes different ones.")
    depth = 1
    while len({one[-depth:] for one in parts}) < len(parts):
        depth += 1
    return ["/".join(one[-depth:]) for one in parts]


def _read_or_evaluate(
    name: str, source: SampleSource, evaluator: Evaluator, data: str | Path, config: EvalConfig
) -> Evaluation:
    """The evaluation in the run folder if it is of the same run and config, else a new one; an empty one of a run that
    has none of the scores."""
    assert source.run_folder is not None
    stored = Evaluation.read(source.run_folder, last=True)
    record = config.record(evaluator.fingerprints, evaluator.default_n(source, config.full))
    if stored is not None and stored.run == source.description and stored.config == record:
        return stored
    print(f"evaluating {name}: its scores go into {source.run_folder / 'scores.json'}", file=sys.stderr)
    try:
        return evaluate_source(source, data, config, _evaluate_command(source.run_folder, data, config))
    except NoScores:
        return Evaluation(source.description, config=record)


def _evaluate_command(run_folder: Path, data: str | Path, config: EvalConfig) -> str:
    """The command line of this evaluation."""
    words = ["reverie", "evaluate", str(run_folder), "--data", str(data)]
    for name, value in {**getattr(data, "stated", {}), **non_defaults(config)}.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", ",".join(value).replace(" ", "-") if isinstance(value, tuple) else str(value)]
    return shlex.join(words)


def _rows(evaluations: list[Evaluation]) -> dict[str, list[Cell]]:
    """The scores by name; the first run that has a score decides which definition the others are compared by."""
    rows: dict[str, list[Cell]] = {}
    for evaluation in evaluations:
        for score in evaluation:
            if score.name not in rows:
                rows[score.name] = [_cell(score, other) for other in evaluations]
    return rows


def _cell(first: Score, evaluation: Evaluation) -> Cell:
    """The score of the same name, or why it is missing or cannot be compared with `first`."""
    try:
        score = evaluation[first.name]
    except KeyError:
        why = evaluation.why_skipped(first.name) or f"{evaluation.run['method']} has no such score"
        return Cell(None, why)
    why = why_incomparable(first, score)
    return Cell(None, f"its scores and those of the first run {why}") if why else Cell(score)


def _lines(comparison: Comparison) -> list[Line]:
    """The rows as the page takes them."""
    lines = []
    for name, cells in comparison.rows.items():
        first = next(cell.score for cell in cells if cell.score)
        lines.append(Line(name, [cell.score or cell.why for cell in cells], comparison.best(name), first))
    return lines


def _column(name: str, source: SampleSource, evaluator: Evaluator, seed: int) -> Column:
    """What the page shows of a run besides its scores: its record, image grids, and parameters of each network."""
    assert source.method is not None
    assert source.run_folder is not None
    parameters = {part: sum(p.numel() for p in net.parameters()) for part, net in source.method.named_children()}
    trained = {part: count for part, count in parameters.items() if count}
    return Column(name, read_run_record(source.run_folder), dict(evaluator.comparison_images(source, seed)), trained)
