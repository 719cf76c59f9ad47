"""The command line. Light until work begins: torch is imported by the commands that need it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from reverie._version import __version__
from reverie.cli.console import _drop_output, _first, _speak_unicode
from reverie.cli.demo import do_demo
from reverie.cli.evaluate import do_augment, do_compare, do_evaluate
from reverie.cli.parser import Parser
from reverie.cli.provenance import do_whence
from reverie.cli.train import do_resume, do_train
from reverie.cli.verbs import do_verb
from reverie.core import registry
from reverie.core.options import Option
from reverie.utils.errors import TrainingFailed, UserError, near_miss, printable, shortage

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
        return 1 if isinstance(error, TrainingFailed) else 2
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


def run(words: list[str]) -> int:
    """Finds the command and calls it."""
    verbs = sorted({verb for entry in registry.list_methods().values() for verb in entry.verbs})
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
    asked, entries = parser.read(words), registry.list_methods()
    if asked.json:
        print(json.dumps({name: vars(entry) for name, entry in entries.items()}))
        return 0
    for name, entry in entries.items():
        print(f"{name:12} {entry.summary}")
        labelled = "labelled " if entry.needs_labels else ""
        source = f"{labelled}{entry.data_type.lower() or 'nothing'}"
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
    from reverie.data.kinds import kind_of, takes

    kind = kind_of(asked.data)
    findings = kind.inspect(asked.data)
    labelled = bool(findings["facts"].get("classes"))
    findings["methods"] = [
        entry.name for entry in registry.list_methods().values()
        if takes(entry.data_type, findings["kind"]) and (labelled or not entry.needs_labels)
    ]  # fmt: skip
    if asked.json:
        print(json.dumps(findings))
    else:
        print(kind.describe(findings))
        print(f"methods that can learn from it: {', '.join(findings['methods']) or 'none'}")
    return 0


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
    from reverie.convert.export import export

    print(export(asked.run, Path(asked.out)))
    return 0


def do_import(words: list[str]) -> int:
    """Generators that another program has trained, as one weights file."""
    parser = Parser("import", "Brings generators that the PyTorch code of pix2pix and CycleGAN has trained.")
    parser.epilog = "LazyFiles of torch.save and safetensors are read as tensors alone: nothing in them is ever run."
    what = "latest_net_G.pth; or latest_net_G_A.pth latest_net_G_B.pth (a to b, b to a); or the folder they are in"
    parser.add_argument("files", metavar="FILE", nargs="+", help=what)
    parser.add_argument("--out", metavar="FILE", help="the file to write; `reverie translate FILE` uses it like a run")
    said = "whether a U-Net was trained with it, which its file cannot say [with batch norm]"
    parser.add_options([Option("dropout", bool, None, said)], "how they were trained")
    parser.add_argument("--json", action="store_true", help="one JSON object, with what was recognised")
    asked = parser.read(words)
    if not asked.out:
        raise UserError(f"import needs --out: reverie import {asked.files[0]} --out model.safetensors.")

    from reverie.convert.import_checkpoint import import_checkpoint

    found = import_checkpoint(asked.files, asked.out, dropout=getattr(asked, "dropout", None))
    if asked.json:
        print(json.dumps(found))
        return 0
    print(f"{found['file']}: {found['method']}")
    for net in found["networks"]:
        print(f"  {net['name']}: {net['told']}")
    print(f"next: reverie {registry.find(found['method']).verbs[0]} {found['file']} photo.jpg --out translated")
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
