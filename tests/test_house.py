"""The house: which room may import which, what every module says of itself, and words that are not used any more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import reverie
from reverie.core import registry

SOURCE = Path(reverie.__file__).parent
ROOT = Path(__file__).parents[1]

ROOMS = [
    "cli",
    "augmentation",
    "dreaming",
    "evaluation",
    "api",
    "report",
    "methods",
    "training",
    "convert",
    "core",
    "metrics",
    "metrics.networks",
    "transforms",
    "media",
    "nn",
    "data.kinds",
    "data.music",
    "data.paragraphs",
    "data.text",
    "data.images",
    "data",
    "runs",
    "utils",
    "_version",
]
"""top to bottom: a module imports from its own room and from rooms below it"""


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package, as "api" or "core.method"; the package itself is ""."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(module, line) of all imports from this package, also those within functions and for type checkers only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name == "reverie" or name.startswith("reverie."):
                yield module_of(name), node.lineno


def module_of(name: str) -> str:
    """The module that "reverie.core.method.Method" lies in: "core.method"."""
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in modules():
        parts.pop()
    return ".".join(parts)


def room_of(module: str) -> str:
    """The innermost room that a module lies in."""
    rooms = [room for room in ROOMS if module == room or module.startswith(room + ".")]
    return max(rooms, key=len, default="")


def test_every_module_is_in_a_room() -> None:
    homeless = [name for name in modules() if name not in ("", "__main__") and not room_of(name)]
    assert not homeless, f"give these rooms a place in ROOMS: {homeless}"
    gone = [room for room in ROOMS if room not in modules()]
    assert not gone, f"there are no such rooms: {gone}"


def test_rooms_import_downwards_only() -> None:
    upwards = []
    for module, tree in modules().items():
        if module in ("", "__main__"):  # the public names, each imported at its first use, and the program
            continue
        for imported, line in imports(tree):
            if imported == "":
                upwards.append(f"{module}:{line} imports the package itself")
            elif ROOMS.index(room_of(imported)) < ROOMS.index(room_of(module)):
                upwards.append(f"{module}:{line} imports {imported}")
    assert not upwards, "\n".join(upwards)


def test_no_modules_import_each_other() -> None:
    """No cycle, however long, and whether or not its imports are put off into functions."""
    graph = {module: sorted({i for i, _ in imports(tree)} - {module}) for module, tree in modules().items() if module}
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        assert module not in path, "a cycle: " + " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        for imported in graph.get(module, []):
            visit(imported, [*path, module])
        done.add(module)

    for module in graph:
        visit(module, [])


NO_METHODS = {("metrics.classical_baselines", "restoration"), ("evaluation.feature_extractors", "classifier")}
"""(module, string) where a method's name is another's: a module of scikit-image, a value of --features"""


def test_methods_stand_alone() -> None:
    """No method imports another, and nothing outside methods/ names one."""
    methods = set(registry.list_methods())
    found = []
    for module, tree in modules().items():
        for imported, line in imports(tree):
            if imported.startswith("methods."):
                found.append(f"{module}:{line} imports {imported}")
        if module.startswith("methods.") or module in (
            "",
            "cli.demo",
        ):  # the demo is a user; the package's docstring too
            continue
        docstrings = {id(text) for text in strings_that_explain(tree)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or node.value not in methods or id(node) in docstrings:
                continue
            if (module, node.value) not in NO_METHODS:
                found.append(f"{module}:{node.lineno} names {node.value!r}")
    assert not found, "\n".join(found)


def strings_that_explain(tree: ast.AST) -> Iterator[ast.Constant]:
    """Docstrings, and strings under fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def test_imports_are_absolute() -> None:
    relative = []
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                relative.append(f"{module}:{node.lineno}")
    assert not relative


def test_methods_change_weights_by_update_only() -> None:
    """And no step reads a value back to the host, which would stop the GPU."""
    for module, tree in modules().items():
        if module.startswith("methods."):
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute):
                    assert node.attr not in ("backward", "item"), f"{module}:{node.lineno} .{node.attr}"


def test_every_module_has_a_docstring() -> None:
    without = [name for name, tree in modules().items() if not ast.get_docstring(tree) and tree.body]
    assert not without


def test_the_core_stays_small() -> None:
    """Lines of code: no blank lines, comments or docstrings."""

    def lines(module: str) -> int:
        tree = ast.parse(ast.unparse(modules()[module]))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                kept = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
                node.body = kept or [ast.Pass()]
        return len([line for line in ast.unparse(tree).splitlines() if line.strip()])

    assert lines("training.trainer") <= 150
    core = ("training.trainer", "training.batch_order", "training.signals", "training.ema", "core.method")
    assert sum(lines(m) for m in (*core, "runs.run_folder", "utils.distributed", "core.registry")) <= 750


def test_the_loop_fits_its_budget() -> None:
    assert (SOURCE / "training" / "trainer.py").read_text().count("\n") <= 200
    for path in (SOURCE / "methods").glob("*.py"):
        assert path.read_text(encoding="utf-8").count("\n") <= 450, path.name


# -- words -------------------------------------------------------------------------------------------------------------

RETIRED = [
    "t_old", "when_ce", "sp_oil", "sp_oils", "sp_oilt", "sp_oiled", "reh_earse", "reh_earsed", "reh_earses",
    "reh_earsal", "me_nded", "ju_dge", "ju_dges", "ju_dged", "ju_dging", "by he_art", "t_old ag_ain", "the ga_me",
    "wor_ld", "wor_lds", "numbers in_ z", "be_nch", "be_nches",
]  # fmt: skip
"""retired words and phrases, each with a mark _ in it so that this list does not match itself"""

ALLOWED = ("world_size", "WORLD_SIZE", "group.WORLD")
"""torch.distributed's own words"""


def texts() -> Iterator[Path]:
    """The files whose words are looked at."""
    for folder, pattern in (("src", "*.py"), ("tests", "*.py"), ("benchmarks", "*.py"), ("docs", "*.md")):
        yield from sorted((ROOT / folder).rglob(pattern))
    yield from sorted(ROOT.glob("README*.md"))
    yield from (path for name in ("CONTRIBUTING.md", "LEDGER.md") if (path := ROOT / name).exists())


def offenders(words: list[str], paths: Iterator[Path]) -> list[str]:
    """path:line and the word, of every whole word or phrase that is found, in any case; also within snake_case."""
    wanted = sorted((word.replace("_", "") for word in words), key=len, reverse=True)
    pattern = re.compile(r"(?<![^\W_])(" + "|".join(map(re.escape, wanted)) + r")(?![^\W_])", re.IGNORECASE)
    found = []
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for allowed in ALLOWED:
                line = line.replace(allowed, "")
            found += [f"{path.relative_to(ROOT)}:{number}: {match[0]}" for match in pattern.finditer(line)]
    return found


def test_retired_words_stay_retired() -> None:
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("not in a checkout")
    found = offenders(RETIRED, texts())
    assert not found, f"{len(found)} retired words:\n" + "\n".join(found)
