"""The folder methods/ is the registry: a file there is a method.

The files are read as text, so that `reverie methods` answers at once: no torch is imported here.
"""

from __future__ import annotations

import ast
import functools
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.core.options import verb_name
from reverie.utils.errors import UserError, near_miss

if TYPE_CHECKING:
    from reverie.core.method import Method

FOLDER = Path(__file__).parents[1] / "methods"


@dataclass(frozen=True)
class Entry:
    """A method as its file declares it."""

    name: str
    summary: str
    paper: str
    data_type: str
    """the kind of data: the name of a class of reverie.data, or "" where nothing is learnt"""
    needs_labels: bool
    needs_colour: bool
    is_classifier: bool
    """whether it predicts something of given images, rather than making new ones"""
    importable: bool
    """whether networks that another program has trained can be imported"""
    presets: tuple[str, ...]
    verbs: tuple[str, ...]


def list_methods() -> dict[str, Entry]:
    """Every method there is, by name."""
    return {path.stem: _read(path, path.stat().st_mtime_ns) for path in sorted(FOLDER.glob("[!_]*.py"))}


def find(name: str) -> Entry:
    """The method of this name. Raises UserError, with the nearest name, where there is none."""
    known = list_methods()
    if name not in known:
        if able := [entry.name for entry in known.values() if name in entry.verbs]:
            raise UserError(f"there is no method '{name}': runs of {', '.join(able)} do that; train one.")
        hint = near_miss(name, list(known)) or f" There are: {', '.join(known)}."
        raise UserError(f"there is no method '{name}'.{hint}")
    return known[name]


def method_class(name: str) -> type[Method]:
    """The class in the method's file (imports torch)."""
    find(name)
    from reverie.core.method import Method

    module = importlib.import_module(f"reverie.methods.{name}")
    here = (c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__)
    return next(c for c in here if issubclass(c, Method))


@functools.cache
def _read(path: Path, changed: int) -> Entry:
    """What a file declares; changed: when it was, so that it is parsed once for each time that it is written."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Method" for base in node.bases):
            break
    else:
        raise UserError(f"{path.name} in methods/ holds no class derived from Method; a file there is a method.")
    lines = (ast.get_docstring(node) or "").splitlines()
    facts: dict[str, ast.expr] = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            facts[ast.unparse(statement.targets[0])] = statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value:
            facts[ast.unparse(statement.target)] = statement.value
    data_type = ast.unparse(facts["data_type"]) if "data_type" in facts else ""
    return Entry(
        name=path.stem,
        summary=lines[0] if lines else "",
        paper=next((line.strip() for line in lines[1:] if "arXiv" in line), ""),
        data_type="" if data_type == "None" else data_type,
        needs_labels="needs_labels" in facts and ast.unparse(facts["needs_labels"]) == "True",
        needs_colour="needs_colour" in facts and ast.unparse(facts["needs_colour"]) == "True",
        is_classifier="is_classifier" in facts and ast.unparse(facts["is_classifier"]) == "True",
        importable=any(isinstance(f, ast.FunctionDef) and f.name == "from_imported" for f in node.body),
        presets=tuple(ast.literal_eval(k) for k in getattr(facts.get("presets"), "keys", ()) if k),
        verbs=tuple(
            verb_name(f.name)
            for f in node.body
            if isinstance(f, ast.FunctionDef) and any(ast.unparse(d) == "verb" for d in f.decorator_list)
        ),
    )
