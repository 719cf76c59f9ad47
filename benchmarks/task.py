"""What the tasks share: a method's own step under the project's own loop, with other data, or other networks, put in.

A task hands over data that has what the loop asks of Images (len, batch, and what run.json tells of it) and, where its
items are no pictures, a function that replaces the networks. The step, the losses, the optimizers' settings and the
averages stay the method's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import reverie
from reverie._version import __version__
from reverie.api import describe_data, plan
from reverie.cli.parser import Parser
from reverie.core.method import Method
from reverie.core.options import Option, options_of_dataclass
from reverie.core.train_config import TrainConfig
from reverie.metrics.score import Score
from reverie.runs.run_folder import WEIGHTS, Run, manifest
from reverie.runs.weights_file import read_weights
from reverie.training.memory_format import memory_format_for
from reverie.training.trainer import fit
from reverie.utils.atomic_files import friendly, replace_text
from reverie.utils.distributed import Ranks
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import UserError

QUIET = dict(checkpoint_every=10**9, sample_every=10**9, log_every=1000)
"""a task's run is saved once, at its end"""


def train(
    spec: str,
    data: Any,
    out: Path,
    options: dict[str, Any],
    rebuild: Callable[[Method], None] = lambda method: None,
) -> Method:
    """Trains "name:preset" with these options on the data given, into a run folder; the method with the weights that
    a user would get, averaged where it averages, in evaluation mode."""
    cls, preset, config, settings = plan(spec, options)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    ranks = Ranks(settings.device)
    settings = dataclasses.replace(settings, device=ranks.device.type, threads=torch.get_num_threads())
    torch.manual_seed(settings.seed)
    method = cls(cls.resolve_config(config, {**data.facts, "class_names": tuple(data.classes)}))
    rebuild(method)
    if settings.memory_format == "auto":
        settings = dataclasses.replace(
            settings, layout=memory_format_for(method, settings.batch_size, ranks.device.type)
        )
    header = {"method": spec.partition(":")[0], "config": dataclasses.asdict(method.config)}
    about = {
        **header, "preset": preset, "train": dataclasses.asdict(settings), "data": describe_data(data),
        "title": f"{spec} on {data.name}", "versions": versions(), "commit": commit(), "command": command(),
        "machine": machine(), "created": now(),
    }  # fmt: skip
    run = Run.create(out, about)
    try:
        fit(method, data, run, settings, ranks, {**header, "data": about["data"], "reverie": __version__})
    finally:
        run.release()
    method.load_weights(read_weights(run.path / WEIGHTS)[1])
    return method.eval()


def trained(spec: str, data: Any, out: Path, **options: Any) -> Method:
    """`reverie.train` into a run folder; a run that is there already is gone on with, or loaded if it is whole."""
    if not (out / "run.json").is_file():
        return reverie.train(spec, data=data, out=out, **options)
    held = Run.open(out).about
    held = {"method": held["method"], **held["config"], **held["train"]}
    asked = {"method": spec.partition(":")[0], **options}
    if unlike := [name for name, value in asked.items() if held.get(name) != value]:
        raise UserError(f"{out} holds a run with another {', '.join(unlike)}; remove it, or give another folder.")
    return reverie.load(out) if whole(out) else reverie.resume(out, data=data)


def unpacked(source: Path, parts: dict[str, str], out: Path) -> Path:
    """A folder with a subfolder for each split: the files of a zip whose names match that split's pattern, flat.

    parts: {"train": "bsds400/*", "test": "set14/x4/*_HR.png"}. Raises UserError where nothing matches.
    """
    if not zipfile.is_zipfile(source):
        raise UserError(f"{source} is no zip file; give the folder that holds it with --data.")
    with zipfile.ZipFile(source) as packed:
        for split, pattern in parts.items():
            names = [name for name in packed.namelist() if fnmatch(name, pattern) and not name.endswith("/")]
            if not names:
                raise UserError(f"{source} holds nothing like {pattern}.")
            (out / split).mkdir(parents=True, exist_ok=True)
            for name in names:
                (out / split / PurePosixPath(name).name).write_bytes(packed.read(name))
    return out


def whole(out: Path) -> bool:
    """Whether all steps of a run are done."""
    return manifest(out).get("step") == Run.open(out).about["config"]["steps"]


def seconds_of(out: Path) -> float:
    """How long a run was trained."""
    return float(next((line["seconds"] for line in reversed(Run.open(out).lines()) if "seconds" in line), 0.0))


def about(spec: str, method: Method, options: dict[str, Any]) -> dict[str, Any]:
    """What a result says of how it came about."""
    name, _, preset = spec.partition(":")
    return {
        "method": name, "preset": preset or "laptop", "config": dataclasses.asdict(method.config),
        "options": {k: v for k, v in options.items() if k != "seed"}, "command": command(), "machine": machine(),
        "versions": versions(), "commit": commit(), "created": now(),
    }  # fmt: skip


def command() -> str:
    """The line that repeats this."""
    return shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])


def add_common(parser: argparse.ArgumentParser, rounds: int = 0) -> None:
    """The flags of whatever measures time."""
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"medians are over so many rounds [{rounds}]")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: as torch chooses [0]")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def settle(asked: argparse.Namespace) -> None:
    """Sets the threads asked for. Raises UserError for numbers that cannot be."""
    for name, least in (("rounds", 1), ("steps", 1), ("threads", 0)):
        if getattr(asked, name, least) < least:
            raise UserError(f"{name} is {getattr(asked, name)}; it must be {least} or more.")
    if asked.threads:
        torch.set_num_threads(asked.threads)


# -- the command line of a task ----------------------------------------------------------------------------------------


def ask(
    name: str, about: str, own: list[Option], defaults: dict[str, Any], words: list[str], without: str = ""
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """(METHOD[:PRESET], what the task was asked, the method's options that were given) from the words behind `name`.

    Flags are those of the task, of the method's Config and of a run's settings, but for one that the task sets itself.
    Raises UserError.
    """
    parser = Parser(name, about)
    parser.prog = f"python -m benchmarks {name}"
    parser.add_argument("method", metavar="METHOD[:PRESET]", help="comes first; its own options are flags here too")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_options(own, "the task")
    if not words or words[0].startswith("-"):
        parser.read(words)
    cls, preset, _, _ = plan(words[0], {})
    told = {**cls.presets[preset], **defaults}
    names = {option.name for option in own} | {without}
    theirs = [o for fields in (cls.Config, TrainConfig) for o in options_of_dataclass(fields) if o.name not in names]
    parser.add_options([o._replace(default=told.get(o.name, o.default)) for o in theirs], words[0])
    asked = vars(parser.read(words))
    task = {o.name: asked.get(o.name, o.default) for o in own} | {"json": asked["json"]}
    return asked["method"], task, {k: v for k, v in asked.items() if k not in names | {"method", "json"}}


def options(name: str, about: str, own: list[Option], words: list[str]) -> tuple[dict[str, Any], bool]:
    """(what a task that names no method was asked, whether JSON is wanted) from the words behind `name`."""
    parser = Parser(name, about)
    parser.prog = f"python -m benchmarks {name}"
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_options(own, "options")
    given = vars(parser.read(words))
    return {o.name: given.get(o.name, o.default) for o in own}, given["json"]


@contextmanager
def room(keep: Path | None) -> Iterator[Path]:
    """The folder for run folders: the one to keep, or a temporary one."""
    if keep is None:
        with TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        yield keep


# -- what comes out ----------------------------------------------------------------------------------------------------


def together(runs: list[list[Score]]) -> dict[str, dict[str, Any]]:
    """Of each score: mean, standard deviation, least and most over the runs, and the floor.

    None is no figure: of one run's deviation, and where a value is infinite.
    """
    told = {}
    for column in zip(*runs, strict=True):
        values = np.array([score.value for score in column])
        figures = {"mean": values.mean(), "min": values.min(), "max": values.max(), "floor": column[0].floor}
        figures["sd"] = values.std(ddof=1) if len(values) > 1 and np.isfinite(values).all() else None
        told[column[0].name] = {k: None if v is None or not np.isfinite(v) else float(v) for k, v in figures.items()}
    return told


def deliver(result: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Writes the result to a file, if there is one to write, and as JSON to stdout, if asked."""
    text = json.dumps(result, indent=2, ensure_ascii=False)
    if out is not None:
        with friendly(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            replace_text(out, text + "\n")
    if as_json:
        print(text)


def number(value: float | None) -> str:
    """A figure of a table."""
    return "-" if value is None else f"{value:.4g}"


def reverse_kl(found: np.ndarray) -> float:
    """KL in nats of the shares of the modes, from how many samples fell into each, to the uniform distribution.

    This is the "reverse KL" of Metz 2016, VEEGAN and PacGAN: D(generated || real). Infinity stands for
    no sample at all.
    """
    if not found.sum():
        return float("inf")
    shares = found[found > 0] / found.sum()
    return float((shares * np.log(shares * len(found))).sum())
