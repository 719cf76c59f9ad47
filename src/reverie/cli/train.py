"""The commands that train: train, resume."""

from __future__ import annotations

import shlex
from pathlib import Path

from reverie.cli.console import is_main_process
from reverie.cli.data_options import DATA_OPTIONS
from reverie.cli.parser import Parser, first_positional
from reverie.core import registry
from reverie.core.options import REQUIRED, Option, media_inputs, options_of_dataclass
from reverie.utils.errors import UserError

RESUME_OPTIONS = [
    Option("steps", int, None, "a new total number of training steps"),
    Option("data", str, None, "where the data is now, if it was moved"),
    Option("device", str, None, "continue on another device (the result is then not bit-identical)"),
    Option("on_failure", str, None, "warn, stop or rollback: what the monitor's alerts lead to from now on"),
]


def do_train(words: list[str]) -> int:
    """Trains a method on data, into a new run folder."""
    parser = Parser("train", "Trains a method on data, into a new run folder.")
    parser.add_argument("method", metavar="METHOD[:PRESET]", help=f"one of {', '.join(registry.list_methods())}")
    parser.add_argument("--data", metavar="DATA", help="a folder, a zip, an idx file, or the name of a set")
    parser.add_argument("--out", metavar="RUN", help="the run folder to make")
    named = _method_argument(words, parser)
    _add_train_options(parser, named, words)
    args = vars(parser.parse(words))
    for flag in ("data", "out"):
        if not args[flag]:
            raise UserError(f"train needs --{flag}: reverie train {named} --data FOLDER --out runs/NAME.")
    from reverie.api import train

    train(args.pop("method"), command=shlex.join(["reverie", "train", *words]), **args)
    _print_outcome(Path(args["out"]))
    return 0


def do_resume(words: list[str]) -> int:
    """Continues a run as if it had never stopped."""
    parser = Parser("resume", "Continues a run as if it had never stopped.")
    parser.add_argument("run", metavar="RUN")
    parser.add_options(RESUME_OPTIONS, "options")
    args = vars(parser.parse(words))
    from reverie.api import resume

    resume(**args)
    _print_outcome(Path(args["run"]))
    return 0


def _method_argument(words: list[str], parser: Parser) -> str | None:
    """The word that names the method, wherever it stands; None where there is none."""
    from reverie.core.train_config import TrainConfig

    known = registry.list_methods()
    switches = {f"--{option.name}" for option in options_of_dataclass(TrainConfig) if option.type is bool}
    named = first_positional(words, parser.switches | switches)
    if named is not None and named.partition(":")[0] not in known:
        # It may stand behind a switch of the method, such as --hflip, that cannot be known yet.
        named = next((word for word in words if word.partition(":")[0] in known), named)
    return named


def _add_train_options(parser: Parser, named: str | None, words: list[str]) -> None:
    """Adds the options of the named method, with its preset's values as defaults, and those of TrainConfig.

    Without a method, ends with the general help or the complaint that it is missing. Raises UserError for an unknown
    method or preset.
    """
    from reverie.core.train_config import TrainConfig

    train_options = options_of_dataclass(TrainConfig)
    wants_help = bool({"-h", "--help"} & set(words))
    if named is None or (wants_help and named.partition(":")[0] not in registry.list_methods()):
        parser.add_options(train_options, "options of the run")
        parser.add_options(DATA_OPTIONS, "options of the data")
        parser.epilog = "`reverie train METHOD --help` also shows the options of a method."
        parser.parse(words)  # prints the help, or raises because METHOD is missing
    assert named is not None
    name = named.partition(":")[0]
    registry.find(name)  # an unknown name is refused before torch is imported
    from reverie.api import parse_method

    method, preset, _, _ = parse_method(named, {})
    values = method.preset(preset)
    method_title = f"options of {name}, preset {preset} (others: {', '.join(method.presets)})"
    for title, options in (
        (method_title, options_of_dataclass(method.Config)),
        ("options of the run", train_options),
    ):
        shown = [option._replace(default=values.get(option.name, option.default)) for option in options]
        parser.add_options(shown, title)
    parser.add_options(DATA_OPTIONS, "options of the data")


def _print_outcome(folder: Path) -> None:
    """Prints the monitor's alerts, where the run is, and a command to go on with."""
    if not is_main_process():
        return
    from reverie.runs.run_folder import Run, manifest

    run = Run(folder)
    name, step = run.about["method"], manifest(folder)["step"]
    method = registry.method_class(name)
    verb, function = next(iter(method.verbs().items()))
    required = [medium for option, medium in media_inputs(getattr(method, function)) if option.default is REQUIRED]
    inputs = "".join(f" {medium.NOUN.upper()}" for medium in required)
    alerts = [line["alert"] for line in run.lines() if "alert" in line]
    for alert in alerts:
        print(f"monitor alert: {alert['name']}: {alert['what']}")
    print(f"{folder}: {name} at step {step}; look at {folder / 'report.html'}")
    print(f"next: reverie {verb} {folder}{inputs} --out {folder / verb}")
