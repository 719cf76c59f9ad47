"""What the benchmarks share: training with other data or networks, command lines, results as JSON.

A benchmark hands over data that has what the trainer asks of Images (prepare, len, batch, and the fields that run.json
records) and, where its items are no images, a function that replaces the networks. The step, the losses, the
optimizers' settings and the EMA stay the method's.
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
from reverie.api import describe_data
from reverie.cli.parser import Parser
from reverie.core.method import Method
from reverie.core.options import Option, options_of_dataclass
from reverie.core.train_config import TrainConfig
from reverie.metrics.score import Score
from reverie.runs.run_folder import WEIGHTS, Run, manifest
from reverie.runs.weights_file import read_weights
from reverie.training.memory_format import memory_format_for
from reverie.training.prepare import parse_method, prepare_method
from reverie.training.trainer import fit
from reverie.utils.atomic_files import disk_errors, replace_text
from reverie.utils.distributed import Ranks
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import UserError

QUIET = dict(checkpoint_every=10**9, sample_every=10**9, log_every=1000)
"""one checkpoint at the end, no samples"""


# -- training ----------------------------------------------------------------------------------------------------------


def train(
    spec: str,
    data: Any,
    out: Path,
    options: dict[str, Any],
    rebuild: Callable[[Method], None] = lambda method: None,
) -> Method:
    """Trains "name:preset" with these options on open data, into the run folder `out`.

    rebuild: replaces networks of the method before training.
    Returns the method in evaluation mode, with the weights that a user would get: those of the EMA where it has one.
    """
    ranks = Ranks(str(options.get("device", "auto")))
    cls, preset, config, settings, data = prepare_method(spec, data, options, ranks)
    torch.manual_seed(settings.seed)
    method = cls(config)
    rebuild(method)
    if settings.memory_format == "auto":
        memory_format = memory_format_for(method, settings.batch_size, ranks.device.type)
        settings = dataclasses.replace(settings, memory_format=memory_format)
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


def train_or_resume(spec: str, data: Any, out: Path, **options: Any) -> Method:
    """`reverie.train` into a run folder; a run that is there is resumed, or loaded if it is complete.

    Raises UserError if the run that is there has other options.
    """
    if not (out / "run.json").is_file():
        return reverie.train(spec, data=data, out=out, **options)
    about = Run.open(out).about
    held = {"method": about["method"], **about["config"], **about["train"]}
    wanted = {"method": spec.partition(":")[0], **options}
    different = [name for name, value in wanted.items() if held.get(name) != value]
    if different:
        raise UserError(f"{out} holds a run with another {', '.join(different)}; remove it, or give another folder.")
    return reverie.load(out) if is_complete(out) else reverie.resume(out, data=data)


def is_complete(out: Path) -> bool:
    """Whether all training steps of a run are done."""
    return manifest(out).get("step") == Run.open(out).about["config"]["steps"]


def training_seconds(out: Path) -> float:
    """How long a run was trained, in seconds."""
    seconds = [line["seconds"] for line in Run.open(out).lines() if "seconds" in line]
    return float(seconds[-1]) if seconds else 0.0


def unpack(source: Path, parts: dict[str, str], out: Path) -> Path:
    """Unpacks files of a zip into a folder with a flat subfolder for each split.

    parts: the pattern of each split's files, such as {"train": "bsds400/*", "test": "set14/x4/*_HR.png"}.
    Returns `out`. Raises UserError where nothing matches.
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


@contextmanager
def run_folders(keep: Path | None) -> Iterator[Path]:
    """The folder for run folders: the one to keep, or a temporary one."""
    if keep is None:
        with TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        yield keep


# -- the command line --------------------------------------------------------------------------------------------------


def command() -> str:
    """The command that repeats this."""
    return shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])


def add_timing_flags(parser: argparse.ArgumentParser, rounds: int = 0) -> None:
    """Adds the flags of the benchmarks that measure time; --rounds where a default is given."""
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"medians are over so many rounds [{rounds}]")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: as torch chooses [0]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def apply_timing_flags(args: argparse.Namespace) -> None:
    """Checks these flags and sets the number of threads. Raises UserError for values out of range."""
    for name, least in (("rounds", 1), ("steps", 1), ("threads", 0)):
        if getattr(args, name, least) < least:
            raise UserError(f"{name} is {getattr(args, name)}; it must be {least} or more.")
    if args.threads:
        torch.set_num_threads(args.threads)


def parse_options(name: str, about: str, options: list[Option], words: list[str]) -> tuple[dict[str, Any], bool]:
    """The command line of a benchmark that takes no method: (its options by name, whether JSON is wanted)."""
    parser = Parser(name, about)
    parser.prog = f"python -m benchmarks {name}"
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_options(options, "options")
    args = vars(parser.parse(words))
    return {option.name: args.get(option.name, option.default) for option in options}, args["json"]


def parse_method_options(
    name: str, about: str, options: list[Option], defaults: dict[str, Any], words: list[str], without: str = ""
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The command line of a benchmark of one method.

    options: of the benchmark; defaults: its values in place of the preset's; without: a training option that the
    benchmark sets itself, which is therefore no flag.
    Returns (METHOD[:PRESET], the benchmark's options and "json" by name, the training options that were given). Raises
    UserError.
    """
    parser = Parser(name, about)
    parser.prog = f"python -m benchmarks {name}"
    parser.add_argument("method", metavar="METHOD[:PRESET]", help="comes first; its own options are flags here too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_options(options, "the benchmark")
    if not words or words[0].startswith("-"):
        parser.parse(words)
    cls, preset, _, _ = parse_method(words[0], {})
    values = {**cls.preset(preset), **defaults}
    own = {option.name for option in options}
    training = [*options_of_dataclass(cls.Config), *options_of_dataclass(TrainConfig)]
    training = [option for option in training if option.name not in {*own, without}]
    parser.add_options([o._replace(default=values.get(o.name, o.default)) for o in training], words[0])
    args = vars(parser.parse(words))
    benchmark = {option.name: args.get(option.name, option.default) for option in options} | {"json": args["json"]}
    given = {option.name: args[option.name] for option in training if option.name in args}
    return args["method"], benchmark, given


# -- results -----------------------------------------------------------------------------------------------------------


def describe_method(spec: str, method: Method, options: dict[str, Any]) -> dict[str, Any]:
    """How a result was obtained: the method, its config and options, the command, the machine, versions, commit."""
    name, _, preset = spec.partition(":")
    return {
        "method": name, "preset": preset or "laptop", "config": dataclasses.asdict(method.config),
        "options": {k: v for k, v in options.items() if k != "seed"}, "command": command(), "machine": machine(),
        "versions": versions(), "commit": commit(), "created": now(),
    }  # fmt: skip


def summarise(runs: list[list[Score]]) -> dict[str, dict[str, Any]]:
    """Of each score: mean, standard deviation (sd), min and max over the runs, and what real data or a baseline gets.

    None stands for what cannot be computed: the deviation of one run, and where a value is infinite.
    """
    summary = {}
    for column in zip(*runs, strict=True):
        values = np.array([score.value for score in column])
        figures = {
            "mean": values.mean(),
            "min": values.min(),
            "max": values.max(),
            "real": column[0].real,
            "baseline": column[0].baseline,
        }
        figures["sd"] = values.std(ddof=1) if len(values) > 1 and np.isfinite(values).all() else None
        summary[column[0].name] = {
            name: None if value is None or not np.isfinite(value) else float(value) for name, value in figures.items()
        }
    return summary


def write_result(result: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Writes the result to a file, if there is one to write, and as JSON to stdout, where wanted."""
    text = json.dumps(result, indent=2, ensure_ascii=False)
    if out is not None:
        with disk_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            replace_text(out, text + "\n")
    if as_json:
        print(text)


def format_number(value: float | None) -> str:
    """A number of a table, "-" for None."""
    return "-" if value is None else f"{value:.4g}"


def reverse_kl(counts: np.ndarray) -> float:
    """KL in nats of the shares of the modes, given how many samples fell into each, to the uniform distribution.

    This is the "reverse KL" of Metz 2016, VEEGAN and PacGAN: D(generated || real). Infinity where there is no sample.
    """
    if not counts.sum():
        return float("inf")
    shares = counts[counts > 0] / counts.sum()
    return float((shares * np.log(shares * len(counts))).sum())
