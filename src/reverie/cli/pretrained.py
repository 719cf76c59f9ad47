"""The flag --weights of verbs that networks of others can do too, in place of a trained run."""

from __future__ import annotations

from pathlib import Path

from reverie.cli.parser import Parser
from reverie.convert.realesrgan import EXTRA, PRETRAINED, VERB
from reverie.utils.errors import UserError, near_miss

FLAG = "--weights"


def add_weights_flag(parser: Parser, verb: str) -> None:
    """Adds the flag where the verb has it, with the names in its help."""
    if verb == VERB:
        names = ", ".join(f"{name} ({pretrained.what})" for name, pretrained in PRETRAINED.items())
        text = f"in place of RUN, a network that the extra {EXTRA} brings: {names}"
        parser.add_argument(FLAG, metavar="NAME", help=text)


def name_as_run(verb: str, words: list[str]) -> list[str]:
    """The words with the value of the flag in place of the run. Raises UserError for an unknown name."""
    at = next((i for i, word in enumerate(words) if word.partition("=")[0] == FLAG), None)
    if verb != VERB or at is None:
        return words
    _, given, name = words[at].partition("=")
    rest = [*words[:at], *words[at + (1 if given else 2) :]]
    name = name if given else "".join(words[at + 1 : at + 2])
    if run := next((word for word in rest if (Path(word) / "run.json").is_file()), None):
        raise UserError(f"{run} is a run, which takes the place of {FLAG}; give one of the two.")
    if name not in PRETRAINED and not (name and Path(name).exists()):
        known = list(PRETRAINED)
        hint = near_miss(name, known) or f" There are: {', '.join(known)}."
        raise UserError(f"there is no network '{name}'.{hint}")
    return [name, *rest]
