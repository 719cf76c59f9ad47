"""Command-line flags: options become argparse arguments, and argparse errors become one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn, get_args

from reverie.core.constraints import Repeated
from reverie.core.options import REQUIRED, Option, alternatives, constraints, convert
from reverie.utils.errors import UserError, near_miss


class Given(argparse.Action):
    """Keeps the value of an argument. A flag that is given twice with two values is refused: either may be meant."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, flag: str | None = None) -> None:
        if flag is not None and parser.given.setdefault(self.dest, values) != values:
            before, now = (str(value) for value in (parser.given[self.dest], values))
            raise UserError(f"{flag} is given twice, as {before} and as {now}; give it once.")
        setattr(namespace, self.dest, values)


class GivenSwitch(argparse.BooleanOptionalAction):
    """--x or --no-x, and not both."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, flag: str | None = None) -> None:
        before = parser.given.setdefault(self.dest, flag)
        if str(before).startswith("--no-") != str(flag).startswith("--no-"):
            raise UserError(f"{before} and {flag} are both given; give one of them.")
        super().__call__(parser, namespace, values, flag)


class GivenGroups(argparse.Action):
    """Joins the values of an option that may be given several times, such as boxes of four numbers each."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, flag: str | None = None) -> None:
        before = parser.given.get(self.dest)
        if self.dest in parser.given and any(group is None or len(group) % self.const for group in (before, values)):
            raise UserError(f"{flag} is given several times; each takes {self.const} values with commas between.")
        parser.given[self.dest] = values if before is None else before + values
        setattr(namespace, self.dest, parser.given[self.dest])


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are UserErrors of one line, with the nearest flag for a misspelt one."""

    def __init__(self, name: str, about: str) -> None:
        super().__init__(
            prog=f"reverie {name}", description=about, allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=112),
        )  # fmt: skip
        self.given: dict[str, Any] = {}
        """what the flags that were met so far, while words are parsed, have been given"""
        self.register("action", None, Given)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help).")

    def parse(self, words: list[str]) -> argparse.Namespace:
        """Parses all words. Raises UserError for what it does not know, and for a flag that is given twice."""
        self.given.clear()
        known, extra = self.parse_known_intermixed_args(words)  # files may stand behind flags
        for word in extra:
            if word.startswith("-"):
                flag = word.split("=")[0]
                hint = near_miss(flag.replace("_", "-"), list(self._option_string_actions))
                raise UserError(f"{self.prog} has no flag '{flag}'.{hint or f' See {self.prog} --help.'}")
        if extra:
            raise UserError(f"{self.prog} does not know what to do with '{extra[0]}' (see {self.prog} --help).")
        return known

    def add_options(self, options: list[Option], title: str) -> None:
        """Adds a flag for each option, as a group of that title; only flags that are given appear in the result."""
        group = self.add_argument_group(title)
        for option in options:
            flags = ["--" + option.name.replace("_", "-")]
            if len(option.name) == 1:
                flags.append("-" + option.name)
            default = "" if option.default in (REQUIRED, None, "", ()) else f" [{option.default}]"
            kind: dict[str, Any] = {"action": GivenSwitch}
            if bool not in alternatives(option.type):
                kind = {"type": _converter(option), "metavar": _metavar(option.type)}
                for repeated in (c for c in constraints(option.type) if isinstance(c, Repeated)):
                    kind |= {"action": GivenGroups, "const": repeated.size}
            text = (option.help + default).replace("%", "%%")
            group.add_argument(*flags, dest=option.name, default=argparse.SUPPRESS, help=text, **kind)

    def add_output_flags(self) -> None:
        """Adds the flags of commands that write files."""
        self.add_argument("--overwrite", action="store_true", help="replace files that exist")
        self.add_argument("--json", action="store_true", help="print one JSON object")

    @property
    def option_flags(self) -> list[str]:
        """The flags added so far."""
        return list(self._option_string_actions)

    @property
    def switches(self) -> set[str]:
        """The flags added so far that take no value."""
        return {flag for flag, action in self._option_string_actions.items() if action.nargs == 0}


def first_positional(words: list[str], switches: set[str]) -> str | None:
    """The first word that is neither a flag nor the value of one, as far as it can be known before all flags are.

    switches: flags that take no value; those that begin with --no- take none either.
    """

    return next(iter(positionals(words, switches)), None) or next((w for w in words if not w.startswith("-")), None)


def positionals(words: list[str], switches: set[str]) -> list[str]:
    """The words that are neither flags nor behind a flag that may take a value; `switches` as in first_positional."""

    def takes_value(flag: str) -> bool:
        return flag.startswith("-") and "=" not in flag and flag not in switches and not flag.startswith("--no-")

    pairs = zip(["", *words], words, strict=False)
    return [word for before, word in pairs if not takes_value(before) and not word.startswith("-")]


def _converter(option: Option) -> Callable[[str], Any]:
    return lambda text: convert(text, option.type, "--" + option.name.replace("_", "-"))


def _metavar(kind: Any) -> str:
    """What the help shows for a flag's value: its choices, or N, X, TEXT."""
    choices = [str(choice) for member in alternatives(kind) for choice in get_args(member) if isinstance(choice, str)]
    if choices:
        return "{" + ",".join(choices) + "}"
    first = next(member for member in alternatives(kind) if member is not type(None))
    return {int: "N", float: "X", str: "TEXT", tuple[str, ...]: "TEXT"}.get(first, "VALUE")
