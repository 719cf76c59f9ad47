"""The command line. Light until work begins: torch is imported by the commands that need it."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import __version__, registry
from .errors import Trouble, UserError, near_miss, printable, shortage
from .flags import Parser, first_word
from .options import REQUIRED, Option, made_by, of_fields, of_signature, taken_by
from .scoring import do_augment, do_compare, do_evaluate

OVERVIEW = """reverie {version}: examples in, a generator out.

  reverie methods                                   what there is
  reverie data inspect PATH                         what a folder holds, what is dropped and why
  reverie train METHOD[:PRESET] --data DATA --out RUN
  reverie resume RUN [--steps N]                    go on with a run
  reverie VERB RUN [files] [--out OUT]              {verbs}
  reverie evaluate RUN --data DATA [--json]         the scores of a run, with the scores of real data beside them
  reverie compare RUN RUN ... --data DATA           several runs side by side, as a table and a page
  reverie augment DATA --out FOLDER                 a labelled set in, labelled synthetic images out
  reverie whence FILE [--verify RUN]                how a generated file was made
  reverie export RUN --format safetensors --out FILE
  reverie import latest_net_G.pth --out FILE        a generator of the pix2pix and CycleGAN code, to use like a run
  reverie demo                                      the main job on a built-in set

DATA is a folder, a zip, an idx or text file, two folders with a comma between them, or the name of a set.
`reverie COMMAND --help` says more.
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command. Exit status: 0 done, 1 a check or the monitor said no, 2 wrong input, 130 stopped and saved."""
    words = sys.argv[1:] if argv is None else argv
    _speak_unicode()
    try:
        try:
            return run(words)
        finally:
            sys.stdout.flush()  # a pipe that nobody reads any more shows here, not after the end
    except UserError as error:
        _first(5)  # one that is still there after this was wrong alone, and speaks for itself
        print(f"reverie: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return 1 if isinstance(error, Trouble) else 2
    except KeyboardInterrupt as interrupt:
        if _first(1):
            print(f"reverie: {interrupt}" if str(interrupt) else "reverie: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        _drop_output()
        return 0
    except (OSError, RuntimeError, MemoryError) as error:
        if not (told := shortage(error)):
            raise
        if isinstance(error, OSError):
            _drop_output()
        print(f"reverie: {told}", file=sys.stderr)
        return 2


def _first(patience: float) -> bool:
    """Whether this is the first of many processes, which says what is wrong; the others wait, since all are stopped as
    soon as one has ended."""
    first = os.environ.get("RANK", "0") == "0"
    time.sleep(0 if first else patience)
    return first


def _speak_unicode() -> None:
    """Names and lines of any language can be printed: a file or a pipe gets UTF-8, a terminal what it can show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _drop_output() -> None:
    """What is still unwritten goes nowhere, so that the interpreter does not try again as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(words: list[str]) -> int:
    """Finds the command and calls it."""
    verbs = sorted({verb for entry in registry.methods().values() for verb in entry.verbs})
    if not words or words[0] in ("-h", "--help", "help"):
        print(OVERVIEW.format(version=__version__, verbs=", ".join(verbs)), end="")
        return 0
    command, rest = words[0], words[1:]
    if command in ("-V", "--version"):
        print(f"reverie {__version__}")
        return 0
    if command in COMMANDS:
        return COMMANDS[command](rest)
    if command in verbs:
        return do_verb(command, rest)
    known = [*COMMANDS, *verbs, "--help", "--version"]
    raise UserError(f"there is no command '{command}'.{near_miss(command, known) or ' See reverie --help.'}")


# -- commands ----------------------------------------------------------------------------------------------------------


def do_methods(words: list[str]) -> int:
    """What there is."""
    parser = Parser("methods", "What there is, one line each.")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked, entries = parser.read(words), registry.methods()
    if asked.json:
        print(json.dumps({name: vars(entry) for name, entry in entries.items()}))
        return 0
    for name, entry in entries.items():
        print(f"{name:12} {entry.summary}")
        labelled = "labelled " if entry.needs_labels else ""
        source = f"{labelled}{entry.learns_from.lower() or 'nothing'}"
        print(f"{'':12} learns from {source}; presets {', '.join(entry.presets)}; verbs {', '.join(entry.verbs)}")
    return 0


def do_data(words: list[str]) -> int:
    """The data doctor."""
    if words[:1] != ["inspect"]:
        if words and words[0] not in ("-h", "--help"):
            raise UserError(f"data has no command '{words[0]}'.{near_miss(words[0], ['inspect'])} It has: inspect.")
        print(
            "reverie data inspect PATH    what a folder holds, what is dropped and why, which methods can learn from it"
        )
        return 0
    parser = Parser("data inspect", "What a folder, zip, idx file or named set holds, and what becomes of it.")
    parser.add_argument("data", metavar="PATH")
    parser.add_argument("--json", action="store_true", help="one JSON object, with every dropped file")
    asked = parser.read(words[1:])
    from .data.kinds import kind_of, takes

    kind = kind_of(asked.data)
    findings = kind.inspect(asked.data)
    labelled = bool(findings["facts"].get("classes"))
    findings["methods"] = [
        entry.name for entry in registry.methods().values()
        if takes(entry.learns_from, findings["kind"]) and (labelled or not entry.needs_labels)
    ]  # fmt: skip
    if asked.json:
        print(json.dumps(findings))
    else:
        print(kind.describe(findings))
        print(f"methods that can learn from it: {', '.join(findings['methods']) or 'none'}")
    return 0


def do_train(words: list[str]) -> int:
    """Trains a method."""
    from .settings import TrainConfig

    parser = Parser("train", "Trains a method on data, into a new run folder.")
    parser.add_argument("method", metavar="METHOD[:PRESET]", help=f"one of {', '.join(registry.methods())}")
    parser.add_argument("--data", metavar="DATA", help="a folder, a zip, an idx file, or the name of a set")
    parser.add_argument("--out", metavar="RUN", help="the run folder to make")
    settings, known = of_fields(TrainConfig), registry.methods()
    named = first_word(words, parser.switches | {f"--{option.name}" for option in settings if option.type is bool})
    if (named or "").partition(":")[0] not in known:  # it may stand behind a switch of its own
        named = next((word for word in words if word.partition(":")[0] in known), named)
    if named is None or (named.partition(":")[0] not in known and {"-h", "--help"} & set(words)):
        parser.add_options(settings, "the run's settings")
        parser.epilog = "`reverie train METHOD --help` shows the options of a method too."
        parser.read(words)
    assert named is not None
    registry.find(named.partition(":")[0])
    from .work import plan, train

    cls, preset, _, _ = plan(named, {})
    told = cls.presets[preset]
    shown = [
        [option._replace(default=told.get(option.name, option.default)) for option in of_fields(fields)]
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
            Option("on_trouble", str, None, "warn, stop or rollback: what the monitor's findings lead to from now on"),
        ],
        "options",
    )
    asked = vars(parser.read(words))
    from .work import resume

    resume(**asked)
    _farewell(Path(asked["run"]))
    return 0


def _farewell(folder: Path) -> None:
    if _first(0):
        step = json.loads((folder / "save.json").read_text(encoding="utf-8"))["step"]
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        method = registry.method_class(about["method"])
        verb, function = next(iter(method.verbs().items()))
        taken = taken_by(getattr(method, function))
        given = "".join(f" {medium.NOUN.upper()}" for option, medium in taken if option.default is REQUIRED)
        from .run import Run

        for finding in [line["finding"] for line in Run(folder).lines() if "finding" in line]:
            print(f"the monitor found: {finding['name']}: {finding['what']}")
        print(f"{folder}: {about['method']} at step {step}; look at {folder / 'report.html'}")
        print(f"next: reverie {verb} {folder}{given} --out {folder / verb}")


def do_verb(verb: str, words: list[str]) -> int:
    """Does with a run what its method can do."""
    parser = Parser(verb, f"{verb}: what is made goes to --out.")
    parser.add_argument("run", metavar="RUN", help="a run folder, or a weights file")
    parser.add_argument(
        "--out", metavar="OUT",
        help="a folder for a file an item, or a name such as all.png for one file; text is printed where none is given",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    named = first_word(words, parser.switches)
    if named is None:
        parser.epilog = f"`reverie {verb} RUN --help` shows the options that the run's method has."
        parser.read(words)
    from .work import load

    method = load(str(named))
    act = method.verb(verb)
    found = of_signature(act)
    given, medium = next(iter(taken_by(act)), (None, None))
    made_of = made_by(act)
    parser.description = (act.__doc__ or "").splitlines()[0]
    if medium:
        parser.add_argument("inputs", nargs="*", metavar=medium.NOUN.upper(), help="files or folders")
    sharded = any(option.name == "items" for option in found)
    if sharded:
        parser.add_argument("--shard", metavar="I/N", help="make only part I of N: all parts together are the whole")
    parser.add_options([o for o in found if o.name != "items" and o != given], "options")
    asked = vars(parser.read(words))
    out, overwrite, as_json, _ = (asked.pop(k) for k in ("out", "overwrite", "json", "run"))
    prints = made_of.PRINTED
    if not out and not method.judges and not prints:
        one = " or ".join(made_of.TOGETHER)
        raise UserError(f"{verb} needs --out: a folder, or a name ending in {one} for one file of all.")
    if given and medium:
        from .output import gather

        items = gather(asked.pop("inputs"), medium)
        if not items and given.default is REQUIRED:
            raise UserError(
                f"{verb} needs {medium.NOUN}s: reverie {verb} {named} FILE{f' --out {out}' if out else ''}."
            )
        asked[given.name] = items
    if sharded and (shard := asked.pop("shard")) is not None:
        from .output import read_shard

        asked["items"] = read_shard(shard)
    from .output import heard, write

    began, told = time.monotonic(), list[dict[str, Any]]()
    made = heard(act.stream(method, **asked), told, aloud=not as_json)
    files, lines = list[Path](), list[str]()
    if out:
        files = write(made, Path(out), overwrite, made_of, asked.get(given.name) if given else None)
    for item in () if out else made:
        if prints and as_json:
            lines.append(str(item))
        elif prints:
            print(item, flush=True)
    if as_json:
        heard_of = {**({"told": told} if told else {}), **({"lines": lines} if lines else {})}
        print(json.dumps({"files": [str(f) for f in files], **heard_of, "seconds": round(time.monotonic() - began, 3)}))
    elif out:
        where = files[0] if len(files) == 1 else f"{len(files)} files in {out}"
        print(f"{where}  ({time.monotonic() - began:.1f} s)" if files else "nothing to do in this shard")
    return 0


def do_whence(words: list[str]) -> int:
    """How a file was made, and whether the run makes it again."""
    parser = Parser("whence", "How a generated file was made; with --verify, whether the run makes it again.")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--verify", metavar="RUN", help="make it again with this run, and compare")
    parser.add_argument("--given", metavar="FILE", nargs="+", default=[], help="the files it was made from")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.read(words)
    from .media import read_record
    from .whence import describe, verify

    record = read_record(asked.file)
    verdict = None
    if asked.verify:
        from .output import gather
        from .work import load

        given: list[Any] = []
        if asked.given:  # of the medium that the verb takes
            method, verb = load(asked.verify), str(record.get("verb"))
            media = taken_by(method.verb(verb)) if verb in method.verbs() else []
            given = list(gather(asked.given, *(medium for _, medium in media[:1])))
        verdict = verify(Path(asked.file), Path(asked.verify), given)
    if asked.json:
        print(json.dumps({"record": record, "verdict": verdict}))
    else:
        print(describe(record))
        if verdict:
            print(f"verified   {'yes' if verdict['same'] else 'NO'}: {verdict['why']}")
    return 1 if verdict and not verdict["same"] else 0


def do_export(words: list[str]) -> int:
    """One file with the weights and what they belong to."""
    parser = Parser("export", "Writes what others need to use the generator, as one file.")
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--format", default="safetensors", metavar="{safetensors}", help="the format [safetensors]")
    parser.add_argument("--out", metavar="FILE", help="the file to write; `reverie VERB FILE` can use it like a run")
    asked = parser.read(words)
    if asked.format != "safetensors":
        raise UserError(
            f"there is no export format '{asked.format}'.{near_miss(asked.format, ['safetensors'])} Give safetensors."
        )
    if not asked.out:
        raise UserError(f"export needs --out: reverie export {asked.run} --out model.safetensors.")
    from .output import export

    print(export(asked.run, Path(asked.out)))
    return 0


def do_import(words: list[str]) -> int:
    """Generators that another program has trained, as one weights file."""
    parser = Parser("import", "Brings generators that the PyTorch code of pix2pix and CycleGAN has trained.")
    parser.epilog = "Files of torch.save and safetensors are read as tensors alone: nothing in them is ever run."
    what = "latest_net_G.pth; or latest_net_G_A.pth latest_net_G_B.pth (a to b, b to a); or the folder they are in"
    parser.add_argument("files", metavar="FILE", nargs="+", help=what)
    parser.add_argument("--out", metavar="FILE", help="the file to write; `reverie translate FILE` uses it like a run")
    said = "whether a U-Net was trained with it, which its file cannot say [with batch norm]"
    parser.add_options([Option("dropout", bool, None, said)], "how they were trained")
    parser.add_argument("--json", action="store_true", help="one JSON object, with what was recognised")
    asked = parser.read(words)
    if not asked.out:
        raise UserError(f"import needs --out: reverie import {asked.files[0]} --out model.safetensors.")
    from .peers import adopt

    found = adopt(asked.files, asked.out, dropout=getattr(asked, "dropout", None))
    if asked.json:
        print(json.dumps(found))
        return 0
    print(f"{found['file']}: {found['method']}")
    for net in found["networks"]:
        print(f"  {net['name']}: {net['told']}")
    print(f"next: reverie {registry.find(found['method']).verbs[0]} {found['file']} photo.jpg --out translated")
    return 0


def do_demo(words: list[str]) -> int:
    """The main job on a built-in set."""
    parser = Parser("demo", "Learns letters drawn from fonts, in about two minutes, and ends with reports to open.")
    parser.add_argument("--out", metavar="FOLDER", default="runs/demo", help="where it goes [runs/demo]")
    asked = parser.read(words)
    from .demo import demo

    demo(Path(asked.out))
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "methods": do_methods,
    "data": do_data,
    "train": do_train,
    "resume": do_resume,
    "evaluate": do_evaluate,
    "compare": do_compare,
    "augment": do_augment,
    "whence": do_whence,
    "export": do_export,
    "import": do_import,
    "demo": do_demo,
}
