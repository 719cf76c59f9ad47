"""The commands that train: train, resume."""

from __future__ import annotations

import shlex
from pathlib import Path

from reverie.cli.console import is_main_process
from reverie.cli.data_options import DATA_OPTIONS
from reverie.cli.parser import Parser, first_positional, positionals
from reverie.core import registry
from reverie.core.options import REQUIRED, Option, media_inputs, options_of_dataclass
from reverie.core.resumable import RESUMABLE, fixed_options, why_fixed
from reverie.core.train_config import TrainConfig
from reverie.runs.config_file import check_entries, read_config
from reverie.utils.errors import UserError, near_miss

RESUME_OPTIONS = [
    Option("steps", int, None, "a new total number of training steps"),
    Option("data", str, None, "where the data is now, if it was moved"),
]
"""beside the options of TrainConfig that are RESUMABLE"""


def do_train(words: list[str]) -> int:
    """Trains a method on data, into a new run folder."""
    parser = Parser("train", "Trains a method on data, into a new run folder.")
    method_argument = parser.add_argument(
        "method", metavar="METHOD[:PRESET]", help=f"one of {', '.join(registry.list_methods())}"
    )
    parser.add_argument("--data", metavar="DATA", help="a folder, a zip, a file of text, MIDI or idx, or a set")
    parser.add_argument("--out", metavar="RUN", help="the run folder to make")
    parser.add_argument("--config", metavar="FILE", help="a TOML file of options, or a run.json; flags go before it")
    parser.add_argument("--from", metavar="RUN", dest="init_from",
                        help="begin with the weights of a run or a weights file of the same method")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print what would be trained, and write nothing")
    file = _value_of("--config", words)
    config = read_config(file) if file else None
    named = _method_argument(words, parser)
    if config is not None:
        method_argument.nargs = "?"
        free = positionals(words, parser.switches)
        named = _with_preset(named if named in free else None, config.method, str(file))
    known = _add_train_options(parser, named, words)
    args = vars(parser.parse(words))
    if config is not None:
        check_entries(config, known, str(file))
        args = {**config.arguments, **{name: value for name, value in args.items() if value is not None}}
    args["method"], dry_run = named, args.pop("dry_run")
    args.pop("config", None)
    for flag in ("data",) if dry_run else ("data", "out"):
        if not args.get(flag):
            raise UserError(f"train needs --{flag}: reverie train {named} --data FOLDER --out runs/NAME.")
    from reverie.api import plan, train

    if dry_run:
        args["out"] = args.get("out") or "runs/new"
        print(plan(args.pop("method"), **args))
        return 0
    train(args.pop("method"), command=shlex.join(["reverie", "train", *words]), **args)
    _print_outcome(Path(args["out"]))
    return 0


def _value_of(flag: str, words: list[str]) -> str | None:
    """The value of a flag, before all flags are known; None if it is not there."""
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if word == flag or word.startswith(f"{flag}="):
            return word.partition("=")[2] if "=" in word else after
    return None


def _with_preset(named: str | None, in_file: str, file: str) -> str:
    """The method that is trained: that of the command line, with the file's preset if it is the same without one.

    Raises UserError if neither names one, or they name different ones.
    """
    if not (named or in_file):
        raise UserError(f"{file} names no method; give one: reverie train METHOD --config {file}.")
    if named is None or named == in_file.partition(":")[0]:
        return in_file
    if in_file and named.partition(":")[0] != in_file.partition(":")[0]:
        raise UserError(f"{file} is of {in_file}, and {named} is to be trained; leave one of them out.")
    return named


def do_resume(words: list[str]) -> int:
    """Continues a run as if it had never stopped."""
    parser = Parser("resume", "Continues a run as if it had never stopped.")
    parser.add_argument("run", metavar="RUN")
    parser.add_options(RESUME_OPTIONS, "options")
    resumable = [option for option in options_of_dataclass(TrainConfig) if option.name in RESUMABLE]
    title = "options of the run, from now on; by default as they were (another device rounds differently)"
    parser.add_options([option._replace(default=None) for option in resumable], title)
    _refuse_fixed_options(words, parser)
    args = vars(parser.parse(words))
    from reverie.api import resume

    resume(**args)
    _print_outcome(Path(args["run"]))
    return 0


def _refuse_fixed_options(words: list[str], parser: Parser) -> None:
    """Raises UserError for a flag of training that a run cannot change any more, with what to do instead."""
    known = parser.option_flags
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    place = first_positional(words, parser.switches)
    unknown = [flag for flag in flags if flag not in known]
    if not unknown or place is None:
        return
    from reverie.runs.run_folder import Run

    name = Run.open(place).about["method"]
    fixed = fixed_options(registry.method_class(name).Config)
    for flag in unknown:
        option = flag.removeprefix("--").replace("-", "_")
        for candidate in (option, option.removeprefix("no_")):
            if candidate in fixed:
                raise UserError(why_fixed(candidate, place, name))
        flags_of_training = [f"--{name.replace('_', '-')}" for name in fixed]
        guess = near_miss(flag, [*known, *flags_of_training])
        close = next((name for name in flags_of_training if f"'{name}'" in guess), "")
        if close:
            refusal = why_fixed(close[2:].replace("-", "_"), place, name)
            raise UserError(f"reverie resume has no flag '{flag}'.{guess} {refusal}")


def _method_argument(words: list[str], parser: Parser) -> str | None:
    """The word that names the method, wherever it stands; None where there is none."""
    known = registry.list_methods()
    switches = {f"--{option.name}" for option in options_of_dataclass(TrainConfig) if option.type is bool}
    named = first_positional(words, parser.switches | switches)
    if named is not None and named.partition(":")[0] not in known:
        # It may stand behind a switch of the method, such as --hflip, that cannot be known yet.
        named = next((word for word in words if word.partition(":")[0] in known), named)
    of_flag = dict(zip(words[1:], words, strict=False)).get(named or "")
    return None if of_flag in ("--data", "--out", "--config", "--from") else named


def _add_train_options(parser: Parser, named: str | None, words: list[str]) -> list[str]:
    """Adds the options of the named method, with its preset's values as defaults, and those of TrainConfig.

    Returns their names. Without a method, ends with the general help or the complaint that it is missing. Raises
    UserError for an unknown method or preset.
    """
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
    from reverie.training.prepare import parse_method

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
    return [option.name for option in (*options_of_dataclass(method.Config), *train_options, *DATA_OPTIONS)]


def _print_outcome(folder: Path) -> None:
    """Prints the monitor's alerts, where the run is, and a command to go on with."""
    if not is_main_process():
        return
    from reverie.runs.run_folder import Run, manifest

    run = Run(folder)
    name, step = run.about["method"], manifest(folder)["step"]
    method = registry.method_class(name)
    verb, function = next(iter(method.verbs().items()))
    media = media_inputs(getattr(method, function))
    inputs = "".join(f" {medium.NOUN.upper()}" for option, medium in media if option.default is REQUIRED)
    inputs += "".join(" --mask MASK" for option, _ in media if option.name == "mask")
    alerts = [line["alert"] for line in run.lines() if "alert" in line]
    for alert in alerts:
        print(f"monitor alert: {alert['name']}: {alert['what']}")
    print(f"{folder}: {name} at step {step}; look at {folder / 'report.html'}")
    print(f"next: reverie {verb} {folder}{inputs} --out {folder / verb}")
