"""The command line: finds the command and calls it, and turns errors into one line and an exit status.

Light: no torch, numpy or Pillow is imported before a command needs it, so that `reverie --help` answers at once.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

from reverie._version import __version__
from reverie.cli.augment import do_augment
from reverie.cli.blend import do_blend
from reverie.cli.console import discard_output, is_main_process, quiet_terminal, use_utf8
from reverie.cli.convert import do_export, do_import
from reverie.cli.data import do_data
from reverie.cli.decode import do_decode
from reverie.cli.demo import do_demo
from reverie.cli.dream import do_atlas, do_dream, do_visualize
from reverie.cli.evaluate import do_compare, do_evaluate
from reverie.cli.inpaint import do_inpaint
from reverie.cli.methods import do_methods
from reverie.cli.provenance import do_provenance
from reverie.cli.train import do_resume, do_train
from reverie.cli.verbs import do_verb
from reverie.core import registry
from reverie.utils.errors import TrainingFailed, UserError, bad_place, near_miss, one_line, shortage

OVERVIEW = """reverie {version}: train generative models on your own examples, and measure how good they are.

Commands
  reverie methods                                   list the methods, with their presets and verbs
  reverie data inspect PATH                         what a folder holds, what is dropped and why
  reverie train METHOD[:PRESET] --data DATA --out RUN
  reverie resume RUN [--steps N]                    continue a run
  reverie evaluate RUN --data DATA [--json]         the scores of a run, each beside the same score of real data
  reverie compare RUN RUN ... --data DATA           several runs side by side, as a table and a page
  reverie augment DATA --out FOLDER                 synthetic images for the classes of a labelled set
  reverie decode RUN codes.csv --out OUT            what latent codes, as encode writes them, stand for
  reverie provenance FILE [--verify RUN]            how a generated file was made
  reverie export RUN --format safetensors --out FILE
  reverie import latest_net_G.pth --out FILE        use a network of pix2pix, CycleGAN, ESRGAN like a run
  reverie blend PHOTO PHOTO --mask MASK --out FILE  paste a part of one photo into another, without training
  reverie inpaint [RUN] PHOTO --mask MASK --out OUT what is white in the mask filled by what is around it
  reverie dream photo.jpg --out dream.png           what a network sees in a photo (DeepDream)
  reverie visualize CLASS --out class.png           what a network takes for a class; also of a run
  reverie atlas --out FOLDER                        a page of what the layers of a network look for
  reverie demo                                      train, evaluate and generate on a built-in set

Verbs of a trained run
  reverie VERB RUN [FILES] [--out OUT]
{verbs}

DATA is a folder, a zip, an idx or text file, two folders with a comma between them, or the name of a set.
`reverie COMMAND --help` shows the options of a command.
"""

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "methods": do_methods,
    "data": do_data,
    "train": do_train,
    "resume": do_resume,
    "evaluate": do_evaluate,
    "compare": do_compare,
    "augment": do_augment,
    "provenance": do_provenance,
    "export": do_export,
    "import": do_import,
    "decode": do_decode,
    "demo": do_demo,
    "blend": do_blend,
    "inpaint": do_inpaint,
    "dream": do_dream,
    "visualize": do_visualize,
    "atlas": do_atlas,
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command.

    Returns the exit status: 0 done, 1 a verification or the monitor failed, 2 wrong input, 130 interrupted and saved.
    """
    words = sys.argv[1:] if argv is None else argv
    use_utf8()
    with quiet_terminal():
        return _run(words)


def _run(words: list[str]) -> int:
    """The exit status of one command, whose errors are printed."""
    try:
        try:
            return run_command(words)
        finally:
            sys.stdout.flush()  # so that a closed pipe shows here and not at exit
    except UserError as error:
        is_main_process(grace=5)  # a rank that still lives after this failed alone, and prints its own message
        print(f"reverie: {one_line(str(error))}", file=sys.stderr)
        return 1 if isinstance(error, TrainingFailed) else 2
    except KeyboardInterrupt as interrupt:
        if is_main_process(grace=1):
            print(f"reverie: {interrupt}" if str(interrupt) else "reverie: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the pipe, such as head, has closed it
        discard_output()
        return 0
    except (OSError, RuntimeError, MemoryError, ValueError) as error:
        message = shortage(error) or bad_place(error)
        if not message:
            raise
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            discard_output()
        print(f"reverie: {one_line(message)}", file=sys.stderr)
        return 2


def run_command(words: list[str]) -> int:
    """Finds the command or the verb that the first word names, and calls it. Raises UserError where there is none."""
    verbs = sorted({verb for entry in registry.list_methods().values() for verb in entry.verbs})
    if not words or words[0] in ("-h", "--help", "help"):
        print(OVERVIEW.format(version=__version__, verbs=_in_lines(verbs)), end="")
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


def _in_lines(verbs: list[str], per_line: int = 8) -> str:
    """The verbs, so many to an indented line."""
    lines = [verbs[start : start + per_line] for start in range(0, len(verbs), per_line)]
    return ",\n".join(f"    {', '.join(line)}" for line in lines)
