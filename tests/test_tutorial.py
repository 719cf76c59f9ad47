"""The tutorial notebook runs, at smoke size, and holds no outputs and no paths of a machine."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import reverie

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def cells(kind: str) -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def shown(value: Any) -> None:
    """Asks for what a notebook would show of a value: it must be short text, or a picture, or HTML."""
    for name in ("_repr_png_", "_repr_html_"):
        if hasattr(value, name):
            assert getattr(value, name)()
            return
    assert len(repr(value)) < 1_000


def test_the_cells_run_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train, plan = reverie.train, reverie.plan
    small = dict(steps=4, log_every=2, checkpoint_every=4, sample_every=4, batch_size=8)
    monkeypatch.setattr(reverie, "train", lambda method, **given: train(f"{method}:smoke", **{**given, **small}))
    monkeypatch.setattr(reverie, "plan", lambda method, **given: plan(f"{method}:smoke", **{**given, **small}))
    monkeypatch.setattr("reverie.evaluation.feature_classifier.PRESET", "smoke")
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells("code")):
        *body, last = ast.parse(cell).body
        place = f"cell {number}"
        if isinstance(last, ast.Expr):
            exec(compile(ast.Module(body, []), place, "exec"), names)
            shown(eval(compile(ast.Expression(last.value), place, "eval"), names))
        else:
            exec(compile(cell, place, "exec"), names)
    assert Path("out/new.png").is_file()
    assert Path("runs/tutorial/report.html").is_file()


def test_it_is_small_and_holds_no_outputs() -> None:
    assert NOTEBOOK.stat().st_size < 20_000
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook["cells"])
    assert all(
        place not in NOTEBOOK.read_text(encoding="utf-8")
        for place in (Path.home().as_posix(), NOTEBOOK.parents[1].as_posix(), "C:")
    )
    assert len(cells("markdown")) >= 8
