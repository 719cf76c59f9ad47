"""Two synthetic sets of lines, so that everything can be tried without a file.

* `verses`: short English sentences, split by word. "the grey heron waits beside the river, and the moon rises."
* `couplets`: Chinese couplets of five characters a half, split by character. 明月照空山，清风入竹林。

10,000 lines to train on and 2,000 to test; `verses:500` has 500 to train. Line i of a split depends on the split and i
alone, so `verses:500` begins `verses:1000`. The grammars are small on purpose: whether a generated line follows them
can be seen at a glance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from reverie.utils.errors import UserError

TRAIN, TEST, LARGEST = 10_000, 2_000, 10_000_000
"""lines of train by default, of test, and of train at most"""

Choose = Callable[[Sequence[str]], str]

_THINGS = {
    "living": ("heron", "fox", "sailor", "child", "baker", "crow", "old woman", "shepherd", "cat", "stranger"),
    "still": ("river", "garden", "window", "lantern", "bridge", "harbour", "mountain", "road", "well", "orchard"),
    "sky": ("moon", "wind", "rain", "mist", "evening", "snow", "sun"),
}
_LOOKS = {
    "living": ("grey", "tired", "young", "quiet", "patient", "hungry"),
    "still": ("old", "empty", "narrow", "frozen", "distant", "quiet"),
    "sky": ("pale", "cold", "first", "slow"),
}
_DOES = ("waits", "sleeps", "sings", "walks", "stands", "listens", "returns")
_DOES_TO = ("watches", "remembers", "follows", "finds", "leaves", "paints")
_WEATHER = ("rises", "fades", "falls", "comes", "turns away", "is gone")
_WHERE = ("beside", "behind", "near", "under", "beyond", "before")
_WHEN = ("at dawn", "in winter", "after the rain", "every night", "at noon", "without a word")
_JOINS = (", and", ", while", ", but", ", as", " until")


def verse(split: str, i: int) -> str:
    """Line i of a split of verses."""
    choose = _chooser("verses", split, i)
    line = _clause(choose)
    if choose("ynn") == "y":
        line += f"{choose(_JOINS)} {_clause(choose, short=True)}"
    return line + choose(".....!")


def _clause(choose: Choose, short: bool = False) -> str:
    kind = choose(("weather", "place", "deed")) if short else choose(("weather", "place", "place", "deed", "deed"))
    if kind == "weather":
        return f"{_noun(choose, 'sky')} {choose(_WEATHER)}"
    if kind == "place":
        clause = f"{_noun(choose, 'living')} {choose(_DOES)} {choose(_WHERE)} {_noun(choose, 'still')}"
    else:
        clause = f"{_noun(choose, 'living')} {choose(_DOES_TO)} {_noun(choose, choose(('living', 'still', 'sky')))}"
    return clause if short or choose("ynn") == "n" else f"{clause} {choose(_WHEN)}"


def _noun(choose: Choose, kind: str) -> str:
    article = choose(("the", "the", "a")) if kind != "sky" else "the"
    look = f"{choose(_LOOKS[kind])} " if choose("yn") == "y" else ""
    noun = look + choose(_THINGS[kind])
    return f"{'an' if article == 'a' and noun[0] in 'aeiou' else article} {noun}"


_LOOK = "明清空寒孤远白青古新幽高"
_HEAVEN = "月风云雪雨日星霞"
_EARTH = "山江花竹松林舟门楼桥溪村"
_ACTS = "照入过落绕上满见对随"
_ENDS = "来归生开深长鸣闲"


def couplet(split: str, i: int) -> str:
    """Line i of a split of couplets: both halves have the same form and share no character."""
    choose = _chooser("couplets", split, i)
    halves: list[str] = []
    form = choose("ab")
    while len(halves) < 2:
        heaven, earth = choose(_LOOK) + choose(_HEAVEN), choose(_LOOK) + choose(_EARTH)
        half = heaven + choose(_ACTS) + earth if form == "a" else earth + choose(_ENDS) + heaven
        if not set(half) & set("".join(halves)):  # the halves of a couplet share no character
            halves.append(half)
    return f"{halves[0]}，{halves[1]}。"


def _chooser(name: str, split: str, i: int) -> Choose:
    """choose(options), from a random stream of line i's own."""
    key = int.from_bytes(f"{name[:4]}{split[:3]}".encode(), "little")
    stream = np.random.Generator(np.random.Philox(key=[key, i]))
    return lambda options: options[int(stream.random() * len(options))]


NAMES = {"verses": verse, "couplets": couplet}


def lines(spec: str) -> dict[str, list[str]]:
    """The lines of a set, by split. Raises UserError if what follows the colon is not a number."""
    name, colon, number = spec.partition(":")
    if colon and not (number.isascii() and number.isdecimal() and 1 <= int(number) <= LARGEST):
        raise UserError(f"'{number}' in {spec} is not a number of lines from 1 to {LARGEST}: say, {name}:5000")
    make, count = NAMES[name], int(number) if colon else TRAIN
    return {"train": [make("train", i) for i in range(count)], "test": [make("test", i) for i in range(TEST)]}
