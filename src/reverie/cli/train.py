"""The commands that train: train, resume."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from reverie.cli.console import _first
from reverie.cli.parser import Parser, first_word
from reverie.core import registry
from reverie.core.options import REQUIRED, Option, media_inputs, options_of_dataclass
from reverie.utils.errors import UserError


def do_train(words: list[str]) -> int:
    """Trains a method."""
    from reverie.core.train_config import TrainConfig

    parser = Parser("train", "Trains a method on data, into a new run folder.")
    parser.add_argument("method", metavar="METHOD[:PRESET]", help=f"one of {', '.join(registry.list_methods())}")
    parser.add_argument("--data", metavar="DATA", help="a folder, a zip, an idx file, or the name of a set")
    parser.add_argument("--out", metavar="RUN", help="the run folder to make")
    settings, known = options_of_dataclass(TrainConfig), registry.list_methods()
    named = first_word(words, parser.switches | {f"--{option.name}" for option in settings if option.type is bool})
    if (named or "").partition(":")[0] not in known:  # it may stand behind a switch of its own
        named = next((word for word in words if word.partition(":")[0] in known), named)
    if named is None or (named.partition(":")[0] not in known and {"-h", "--help"} & set(words)):
        parser.add_options(settings, "the run's settings")
        parser.epilog = "`reverie train METHOD --help` shows the options of a method too."
        parser.read(words)
    assert named is not None
    registry.find(named.partition(":")[0])
    from reverie.api import plan, train

    cls, preset, _, _ = plan(named, {})
    values = cls.preset(preset)
    shown = [
        [option._replace(default=values.get(option.name, option.default)) for option in options_of_dataclass(fields)]
        for fields in (cls.Config, TrainConfig)
    ]
    parser.add_options(shown[0], f"{named.partition(':')[0]}, preset {preset} (others: {', '.join(cls.presets)})")
    parser.add_options(shown[1], "the run's settings")
    asked = vars(parser.read(words))
    for flag in ("data", "out"):
        if not asked[flag]:
            raise UserError(f"train needs --{flag}: reverie train {named} --data FOLDER --out runs/NAME.")
    command = shlex.join(["reverie", "train", *words])
    train(asked.pop("method"), command=command, **asked)
    _farewell(Path(asked["out"]))
    return 0


def do_resume(words: list[str]) -> int:
    """Goes on with a run."""
    parser = Parser("resume", "Goes on with a run as if it had never stopped.")
    parser.add_argument("run", metavar="RUN")
    parser.add_options(
        [
            Option("steps", int, None, "a new total of steps"),
            Option("data", str, None, "where the data is now, if it was moved"),
            Option("device", str, None, "go on with another device (the result is then not bit for bit the same)"),
            Option("on_failure", str, None, "warn, stop or rollback: what the monitor's findings lead to from now on"),
        ],
        "options",
    )
    asked = vars(parser.read(words))
    from reverie.api import resume

    resume(**asked)
    _farewell(Path(asked["run"]))
    return 0


def _farewell(folder: Path) -> None:
    if _first(0):
        step = json.loads((folder / "save.json").read_text(encoding="utf-8"))["step"]
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        method = registry.method_class(about["method"])
        verb, function = next(iter(method.verbs().items()))
        taken = media_inputs(getattr(method, function))
        given = "".join(f" {medium.NOUN.upper()}" for option, medium in taken if option.default is REQUIRED)
        from reverie.runs.run_folder import Run

        for finding in [line["finding"] for line in Run(folder).lines() if "finding" in line]:
            print(f"the monitor found: {finding['name']}: {finding['what']}")
        print(f"{folder}: {about['method']} at step {step}; look at {folder / 'report.html'}")
        print(f"next: reverie {verb} {folder}{given} --out {folder / verb}")
