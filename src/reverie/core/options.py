"""Options: fields of configs and parameters of verbs, read once, for command line, Python and forms alike.

An option is written in one place and nowhere else: a dataclass field with a string under it, or a verb's parameter
with a line `name: what it is` in the docstring. Its type, with the constraints of core/constraints.py in it, decides
what values it may have: `convert` turns text or a Python object into the type or raises UserError.

    None, text                  none, or text as it is
    int, float, bool, Path      1_000, 1e3 or a float without fraction are an int; infinity and NaN are no float
    Literal["a", "b"]           one of these
    tuple[int, ...], list[X]    from text: split at commas
    list[Image]                 files (cli/files.py)
    X | None                    none, or the first alternative that fits
    Annotated[X, Range(0, 1)]   X within the range; of a tuple, every element

Imports no torch.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import math
import re
import textwrap
import types
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from reverie.utils.errors import UserError, near_miss

F = TypeVar("F", bound=Callable[..., Any])


class Option(NamedTuple):
    """One option: its name, type, default (REQUIRED if it has none) and the line that explains it."""

    name: str
    type: Any
    default: Any
    help: str


MOST_SHOWN = 100
"""characters of a value that a message shows"""
REQUIRED = inspect.Parameter.empty


def options_of_dataclass(config: type) -> list[Option]:
    """The fields of a flat dataclass, with the string under each as help."""
    hints = get_type_hints(config, include_extras=True)
    docs = _strings_under_fields(config)
    options = []
    for field in dataclasses.fields(config):
        default = REQUIRED if field.default is dataclasses.MISSING else field.default
        options.append(Option(field.name, hints[field.name], default, docs.get(field.name, "")))
    return options


def options_of_signature(function: Callable[..., Any]) -> list[Option]:
    """The parameters of a verb (without self), with the docstring's `name: ...` lines as help.

    A line that is indented goes on with the one above it.
    """
    hints = get_type_hints(function, include_extras=True)
    said = re.findall(r"^(\w+): (.+(?:\n +.+)*)", inspect.getdoc(function) or "", re.M)
    docs = {name: " ".join(text.split()) for name, text in said}
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    return [Option(p.name, hints[p.name], p.default, docs.get(p.name, "")) for p in parameters]


def media_inputs(function: Callable[..., Any]) -> list[tuple[Option, Any]]:
    """The parameters of a verb that take a list of a medium, such as list[Image], and the medium of each."""
    lists = (
        (o, kind) for o in options_of_signature(function) for kind in alternatives(o.type) if get_origin(kind) is list
    )
    return [(option, get_args(kind)[0]) for option, kind in lists]


def with_config_defaults(options: Sequence[Option], given: dict[str, Any], config: Any) -> dict[str, Any]:
    """The given options of a verb; one that is None, with None as its default, gets the value of the config's field
    of that name, so that records say which value was used."""
    unset = [option.name for option in options if option.default is None and given.get(option.name) is None]
    return {**given, **{name: getattr(config, name) for name in unset if hasattr(config, name)}}


def verb_name(function: str) -> str:
    """A verb as users call it: its function's name without the underscore that `continue_` needs in Python."""
    return function.removesuffix("_")


def media_output(function: Callable[..., Any]) -> Any:
    """The medium that a verb yields: X of its annotation Iterator[X]."""
    return get_args(get_type_hints(function)["return"])[0]


@functools.cache
def _strings_under_fields(config: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(config))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            docs[ast.unparse(field.target)] = " ".join(str(below.value.value).split())
    return docs


def check_names(given: Iterable[str], known: Collection[str], whose: str) -> None:
    """Raises UserError for the first name that is not known, with the closest one that is.

    whose: what has these options, for the message
    """
    for name in given:
        if name not in known:
            hint = near_miss(name, sorted(known)) or f" It has: {', '.join(sorted(known))}."
            raise UserError(f"{whose} has no option '{name}'.{hint}")


def convert(value: Any, wanted: Any, name: str) -> Any:
    """`value`, text from the command line or a Python object, as the type `wanted`. Raises UserError if it is none.

    name: of the option, for the message
    """
    # None goes first: where there may be none, "none" is no text.
    for kind in sorted(alternatives(wanted), key=lambda kind: kind is not type(None)):
        try:
            converted = _as(value, kind)
        except (ValueError, TypeError, OverflowError):  # an infinite float has no int
            continue
        check_value(converted, wanted, name)
        return converted
    raise UserError(f"{name} is {_quoted(value)}; it must be {describe(wanted)}.")


def checks_arguments(*as_they_are: str) -> Callable[[F], F]:
    """Decorator: the arguments of a function are converted to the types of its parameters, or refused, as options are.

    as_they_are: names of parameters that the function checks itself
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs)
            for option in options_of_signature(function):
                if option.name in given.arguments and option.name not in as_they_are:
                    given.arguments[option.name] = convert(given.arguments[option.name], option.type, option.name)
            return function(*given.args, **given.kwargs)

        return call  # type: ignore[return-value]  # of the same signature

    return decorate


def check_value(value: Any, wanted: Any, name: str) -> None:
    """Raises UserError if a value of the right type breaks a constraint of its annotation."""
    if value is None:
        return
    elements = value if isinstance(value, (tuple, list)) else (value,)
    if not all(constraint.allows(x) for constraint in constraints(wanted) for x in elements):
        raise UserError(f"{name} is {_quoted(value)}; it must be {describe(wanted)}.")


def check_config(config: Any) -> None:
    """Raises UserError if a value of a config breaks a constraint: values that the data decided are checked so too."""
    for option in options_of_dataclass(type(config)):
        check_value(getattr(config, option.name), option.type, option.name)


def alternatives(wanted: Any) -> tuple[Any, ...]:
    """The types of a union, without their constraints; a plain type alone."""
    return tuple(_bare(kind) for kind in _members(wanted))


def constraints(wanted: Any) -> tuple[Any, ...]:
    """The constraints of an annotation: Range, PowerOfTwo ... of core/constraints.py."""
    annotated = (kind for kind in _members(wanted) if get_origin(kind) is Annotated)
    return tuple(constraint for kind in annotated for constraint in get_args(kind)[1:])


def _members(wanted: Any) -> tuple[Any, ...]:
    return get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else (wanted,)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _as(value: Any, kind: Any) -> Any:
    text = isinstance(value, str)
    if kind is type(None):
        if value is None or (text and value.lower() == "none"):
            return None
    elif get_origin(kind) is Literal:
        for choice in get_args(kind):
            if value == choice or (text and value == str(choice)):
                return choice
    elif get_origin(kind) is Callable:
        if callable(value):
            return value
    elif _is_list(kind):
        inner = (get_args(kind) or (str,))[0]
        if getattr(value, "lazy", False):  # a list of files, loaded one by one
            return value
        parts = [p for p in value.split(",") if p.strip()] if text else list(value)
        made = get_origin(kind) or kind
        return (tuple if made is Sequence else made)(_element(p, inner) for p in parts)
    elif kind is bool:
        if isinstance(value, bool):
            return value
        if text and value.lower() in ("true", "yes", "1", "false", "no", "0"):
            return value.lower() in ("true", "yes", "1")
    elif kind is int:
        if isinstance(value, bool) or (isinstance(value, float) and value != int(value)):
            raise ValueError
        return int(value.replace("_", "")) if text else int(value)
    elif kind is float:
        if isinstance(value, bool) or not math.isfinite(float(value)):
            raise ValueError
        return float(value)
    elif kind is str:
        if text:
            return value
    elif kind is Path:
        return Path(value)
    elif kind is Any or (inspect.isclass(kind) and isinstance(value, kind)):
        return value
    raise ValueError


def _is_list(kind: Any) -> bool:
    return (get_origin(kind) or kind) in (tuple, list, Sequence)


def _element(value: Any, wanted: Any) -> Any:
    """An element of a list as its annotated type. Raises ValueError if it is none."""
    converted = _as(value.strip() if isinstance(value, str) else value, _bare(wanted))
    if not all(constraint.allows(converted) for constraint in constraints(wanted)):
        raise ValueError
    return converted


def describe(wanted: Any) -> str:
    """The type for messages and help: "a whole number, 1 or more", "one of 'a', 'b'"."""
    words = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text", Path: "a path"}
    described = []
    for member in _members(wanted):
        kind = _bare(member)
        if get_origin(kind) is Literal:
            said = "one of " + ", ".join(f"'{choice}'" for choice in get_args(kind))
        elif _is_list(kind):
            inner = (get_args(kind) or (str,))[0]
            noun = getattr(inner, "NOUN", "")
            said = f"one or more {noun}s" if noun else f"a comma-separated list, each {describe(inner)}"
        elif get_origin(kind) is Callable:
            said = "a function"
        else:
            said = "none" if kind is type(None) else words.get(kind, getattr(kind, "__name__", str(kind)))
        described.append(", ".join([said, *map(str, constraints(member))]))
    return ", or ".join(described) if any(", " in said for said in described) else " or ".join(described)


def _quoted(value: Any) -> str:
    """A value for messages, which never show arrays or long texts."""
    if hasattr(value, "__array__") and hasattr(value, "shape"):
        return f"an array of shape {list(value.shape)}"
    text = f"'{value}'" if isinstance(value, str) else repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}... ({len(text)} characters)"


def non_defaults(config: Any) -> dict[str, Any]:
    """The fields of a config whose values are not the default ones."""
    values = {field.name: (getattr(config, field.name), field.default) for field in dataclasses.fields(config)}
    return {name: value for name, (value, default) in values.items() if value != default}


def short_repr(config: Any) -> str:
    """A config as the Python that makes it: fields that are not as by default, long ones cut."""
    shown = []
    for name, value in non_defaults(config).items():
        long = isinstance(value, tuple | list) and len(value) > 6
        shown.append(f"{name}={f'({len(value)} values)' if long else _quoted(value)}")
    return f"{type(config).__qualname__}({', '.join(shown)})"


def build(config: type, values: dict[str, Any]) -> Any:
    """A frozen dataclass from named values, each converted and checked. Raises UserError."""
    kinds = {option.name: option.type for option in options_of_dataclass(config)}
    check_names(values, kinds, config.__qualname__)
    return config(**{name: convert(value, kinds[name], name) for name, value in values.items()})
