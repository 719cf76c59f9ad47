"""What is said of the drawn scenes, and the exact inverse: from a sentence back to the statement it makes.

A paragraph is a count ("There are four objects in this picture."), one sentence for each object from left to right (the
first with the row it stands in, each other with its relation to the one before, "it"), and an aggregate ("Two of them
are large."). Every sentence has four wordings. Sentences of other wordings are no statements.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from reverie.data.text.sentences import words_of

SIZES = ("small", "large")
COLOURS = ("grey", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
MATERIALS = ("matte", "shiny", "metal")
SHAPES = ("ball", "cube", "cylinder", "cone", "ring")
PLURALS = {f"{shape}s": shape for shape in SHAPES}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ROWS = {"front": "at the front", "middle": "in the middle", "back": "at the back"}
"""from near to far"""
RELATIONS = {"front": "in front of it", "beside": "beside it", "back": "behind it"}
"""of an object to the one on its left"""
HELD_OUT_PAIRS = frozenset(
    (("red", "cube"), ("blue", "ball"), ("green", "cone"), ("purple", "cylinder"), ("yellow", "ring"))
)
"""colours and shapes that never meet in the scenes to train on"""


class SceneObject(NamedTuple):
    """One object of a scene; scenes list theirs from left to right."""

    size: str
    colour: str
    material: str
    shape: str
    row: str
    """front, middle or back"""
    x: float
    """of its middle, in widths of the picture"""

    @property
    def held_out(self) -> bool:
        """Whether its colour and shape never meet in training."""
        return (self.colour, self.shape) in HELD_OUT_PAIRS


class Count(NamedTuple):
    """How many objects there are."""

    number: int


class Mention(NamedTuple):
    """An object that is described."""

    size: str
    colour: str
    material: str
    shape: str
    place: str
    """of ROWS for the first from the left; of RELATIONS, to the object mentioned before it, for the others"""
    first: bool


class Aggregate(NamedTuple):
    """How many objects have something in common."""

    number: int
    value: str
    """of SIZES, COLOURS, MATERIALS or SHAPES"""


Statement = Count | Mention | Aggregate
Choose = Callable[[Sequence[str]], str]

_COUNTS = (
    "there are {n} objects in this picture .",
    "the picture shows {n} objects .",
    "{n} objects stand on the floor .",
    "we can see {n} objects here .",
)
_FIRSTS = (
    "on the far left , {row} , is {np} .",
    "{np} is on the far left , {row} .",
    "starting from the left , there is {np} {row} .",
    "the first object from the left is {np} {row} .",
)
_NEXTS = (
    "{relation} there is {np} .",
    "next , {np} stands {relation} .",
    "to its right and {relation} is {np} .",
    "then comes {np} , {relation} .",
)
_PHRASES = ("a {size} {colour} {material} {shape}", "a {size} {material} {shape} in {colour}")
_AGGREGATES = (
    "in all , {n} of the objects are {group} .",
    "{n} of them are {group} .",
    "of all these objects , {n} are {group} .",
    "counting them , {n} are {group} .",
)


def describe(objects: Sequence[SceneObject], choose: Choose) -> tuple[str, ...]:
    """A paragraph on a scene of n objects: 2 + n sentences with 4 n + 2 facts.

    choose: picks one of several wordings, and one of the things that may be aggregated
    """
    said = [choose(_COUNTS).format(n=NUMBERS[len(objects)])]
    for before, thing in zip([None, *objects], objects, strict=False):
        phrase = choose(_PHRASES).format(**thing._asdict())
        if before is None:
            said.append(choose(_FIRSTS).format(row=ROWS[thing.row], np=phrase))
        else:
            said.append(choose(_NEXTS).format(relation=RELATIONS[relation(before, thing)], np=phrase))
    value = choose(shared(objects))
    group = f"{value}s" if value in SHAPES else value
    said.append(choose(_AGGREGATES).format(n=NUMBERS[how_many(objects, value)], group=group))
    return tuple(_written(sentence) for sentence in said)


def relation(before: SceneObject, thing: SceneObject) -> str:
    """Where an object stands, seen from another: of RELATIONS."""
    order = list(ROWS)
    step = order.index(thing.row) - order.index(before.row)
    return "beside" if not step else "back" if step > 0 else "front"


def how_many(objects: Sequence[SceneObject], value: str) -> int:
    """How many objects have a size, colour, material or shape."""
    return sum(value in (thing.size, thing.colour, thing.material, thing.shape) for thing in objects)


def shared(objects: Sequence[SceneObject]) -> list[str]:
    """The sizes, colours, materials and shapes that two objects or more have."""
    return [value for value in (*SIZES, *COLOURS, *MATERIALS, *SHAPES) if how_many(objects, value) > 1]


def parse(sentence: str) -> Statement | None:
    """The statement that a sentence makes; None where it has none of the wordings."""
    words = " ".join(words_of(sentence))
    for kind, pattern in _patterns():
        if found := pattern.fullmatch(words):
            return _statement(kind, found.groupdict())
    return None


def _statement(kind: str, said: dict[str, str]) -> Statement:
    if kind == "count":
        return Count(NUMBERS.index(said["n"]))
    if kind == "aggregate":
        return Aggregate(NUMBERS.index(said["n"]), PLURALS.get(said["group"], said["group"]))
    places = ROWS if kind == "first" else RELATIONS
    place = next(name for name, wording in places.items() if wording == said["place"])
    return Mention(said["size"], said["colour"], said["material"], said["shape"], place, kind == "first")


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """(what it states, its form) of every wording."""

    def one_of(name: str, words: Sequence[str]) -> str:
        return f"(?P<{name}>{'|'.join(words)})"

    words = {
        "size": one_of("size", SIZES), "colour": one_of("colour", COLOURS), "material": one_of("material", MATERIALS),
        "shape": one_of("shape", SHAPES),
    }  # fmt: skip
    n = one_of("n", NUMBERS)
    row, relations = one_of("place", list(ROWS.values())), one_of("place", list(RELATIONS.values()))
    group = one_of("group", [*SIZES, *COLOURS, *MATERIALS, *PLURALS])
    phrases = [phrase.format(**words) for phrase in _PHRASES]
    found = [("count", _literal(form).format(n=n)) for form in _COUNTS]
    found += [("first", _literal(form).format(row=row, np=np)) for form in _FIRSTS for np in phrases]
    found += [("next", _literal(form).format(relation=relations, np=np)) for form in _NEXTS for np in phrases]
    found += [("aggregate", _literal(form).format(n=n, group=group)) for form in _AGGREGATES]
    return tuple((kind, re.compile(pattern)) for kind, pattern in found)


def _literal(form: str) -> str:
    """A wording whose full stop and commas are meant as such in a pattern."""
    return form.replace(".", r"\.")


def _written(sentence: str) -> str:
    """A wording as it is written: a capital letter, no space before signs."""
    text = sentence.replace(" ,", ",").replace(" .", ".")
    return text[:1].upper() + text[1:]
