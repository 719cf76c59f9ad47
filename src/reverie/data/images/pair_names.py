"""Which file of domain A belongs to which of B, by names that two systems or two people wrote differently.

Names are compared in stages, each among the files that the stages before have left over:

1. as they are, without the suffix of the file type;
2. without regard to case and Unicode form (NFC, NFD);
3. as words and numbers: `photo (1)` is `photo_01`, 1 is 001; folders that enclose all files of a domain do not count;
4. without words that say which image of a pair it is (`0001_input` and `0001_target`, `a-LR` and `a-HR`, `0001x4`);
5. without what all names of one domain begin or end with, and those of the other do not.

In all stages a name that two files of one domain could have is ambiguous, and neither is used. Where each domain has a
beginning or an end of its own that is no such word (`horse_1` and `zebra_1`), the names may agree by chance: such
files are pairs only if pairs were asked for, and that is said.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

ROLES = frozenset(
    (
        "a", "b", "x", "y", "in", "out", "input", "inputs", "output", "outputs", "source", "sources", "src", "target",
        "targets", "tgt", "trg", "gt", "groundtruth", "ground", "truth", "label", "labels", "mask", "masks", "seg",
        "segmentation", "annotation", "annotations", "anno", "lr", "hr", "sr", "lq", "hq", "low", "high", "lowres",
        "highres", "noisy", "noise", "clean", "clear", "blur", "blurred", "blurry", "sharp", "rain", "rainy",
        "norain", "derain", "haze", "hazy", "dehaze", "grey", "gray", "color", "colour", "colored", "coloured",
        "colorized", "image", "images", "img", "photo", "photos", "sketch", "sketches", "edge", "edges", "line",
        "lines", "map", "maps", "depth", "normal", "normals", "before", "after", "original", "orig", "edited",
        "degraded", "restored", "compressed", "jpeg", "real", "fake", "leftimg", "rightimg", "bit", "gtfine",
        "labelids", "bicubic", "bilinear", "nearest", "down", "up", "downsampled", "ref", "reference",
    )
)  # fmt: skip
"""words that say which image of a pair a file is"""
COMMON = 0.9
"""share of the names of a domain that a beginning or an end must have"""
_WORD = re.compile(r"\d+|[^\d\s_\-.()\[\]{},+~&#@!'=]+")

Form = tuple[object, ...]


class Matching(NamedTuple):
    """The pairs of two lists of names."""

    partner: dict[str, str]
    """name in A -> name in B"""
    by_chance: set[str]
    """names in A whose partner was found by leaving out an unknown beginning or end of both domains"""
    ambiguous: dict[str, str]
    """a name in A or B that is not used -> another one of the same domain that it cannot be distinguished from"""
    removed: tuple[str, str]
    """what was left out of the names of A and of B in the last stage; "" where nothing"""


def match_names(a: Iterable[str], b: Iterable[str]) -> Matching:
    """Matches paths in domains A and B, without their suffixes, by the stages above."""
    left, right = sorted(a), sorted(b)
    found = Matching({}, set(), {}, ("", ""))
    for stage in (_exact, _folded, _words, _without_roles):
        _match(stage(left), stage(right), found)
        left, right = _rest(left, right, found)
        if not left or not right:
            return found
    ours, theirs = _affix(left), _affix(right)
    chance = bool(_unknown(ours, theirs) and _unknown(theirs, ours))
    before = set(found.partner)
    _match(_without(left, ours), _without(right, theirs), found)
    matched = set(found.partner) - before
    if chance:
        found.by_chance.update(matched)
    return found._replace(removed=(_shown(ours), _shown(theirs)) if matched else ("", ""))


def split_role(name: str) -> tuple[Form, tuple[str, ...]]:
    """The words of a file's name, without folder and suffix, and those of ROLES among them.

    >>> split_role("0001_input"), split_role("7")
    (((1,), ('input',)), ((7,), ()))
    """
    form = _words_of(name)
    roles = [i for i, word in enumerate(form) if word in ROLES and (i == len(form) - 1 or len(str(word)) > 1)]
    return tuple(word for i, word in enumerate(form) if i not in roles), tuple(str(form[i]) for i in roles)


def _rest(left: list[str], right: list[str], found: Matching) -> tuple[list[str], list[str]]:
    """The names that are not matched yet and can be."""
    taken = set(found.partner.values())
    return (
        [name for name in left if name not in found.partner and f"a/{name}" not in found.ambiguous],
        [name for name in right if name not in taken and f"b/{name}" not in found.ambiguous],
    )


def _match(a: dict[str, Form], b: dict[str, Form], found: Matching) -> None:
    """Adds names with equal forms to `found`; those whose form is not theirs alone, as ambiguous."""
    of_a, of_b = _by_form(a), _by_form(b)
    for form, names in of_a.items():
        others = of_b.get(form, [])
        if len(names) == len(others) == 1:
            found.partner[names[0]] = others[0]
        elif others:
            for domain, same in (("a", names), ("b", others)):
                for name in same:
                    twin = next((other for other in same if other != name), "")
                    found.ambiguous[f"{domain}/{name}"] = twin


def _by_form(forms: dict[str, Form]) -> dict[Form, list[str]]:
    grouped: dict[Form, list[str]] = {}
    for name, form in forms.items():
        if any(part != "" for part in form):  # 0 is a name
            grouped.setdefault(form, []).append(name)
    return grouped


def _exact(names: list[str]) -> dict[str, Form]:
    return {name: (name,) for name in names}


def _folded(names: list[str]) -> dict[str, Form]:
    def folded(name: str) -> str:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()

    return {name: (folded(name),) for name in names}


def _words(names: list[str]) -> dict[str, Form]:
    """Each name as words and numbers, by the folders below those that enclose all."""
    paths = {name: tuple(name.split("/")) for name in names}
    first, last = (min(paths.values()), max(paths.values())) if paths else ((), ())
    depth = 0
    while depth < min(len(first), len(last)) - 1 and first[depth] == last[depth]:
        depth += 1
    return {name: _path_words(path[depth:]) for name, path in paths.items()}


def _path_words(path: tuple[str, ...]) -> Form:
    return tuple(item for part in path for item in ("/", *_words_of(part)))[1:]


def _words_of(text: str) -> Form:
    """ "Photo (01)" as ("photo", 1); text of separators alone as it is."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return tuple(int(word) if word.isdecimal() else word for word in _WORD.findall(folded)) or (folded,)


def _without_roles(names: list[str]) -> dict[str, Form]:
    return {name: _without_role(form) for name, form in _words(names).items()}


def _without_role(form: Form) -> Form:
    """Without words of ROLES (single letters at the end only), and without x2, x4 ..., unless nothing is left."""
    kept: list[object] = []
    for i, word in enumerate(form):
        scale = word == "x" and i > 0 and i + 1 < len(form) and form[i + 1] in (2, 3, 4, 8, 16)
        after_scale = i > 1 and form[i - 1] == "x" and word in (2, 3, 4, 8, 16)
        role = word in ROLES and (i == len(form) - 1 or len(str(word)) > 1)  # 1_a and 1_b, but not a1 and b1
        if not (role or scale or after_scale):
            kept.append(word)
    return tuple(kept) if any(word != "/" for word in kept) else form


def _affix(names: list[str]) -> tuple[Form, Form]:
    """What nearly all names begin and end with, in words; () where it has no letters, or there is one name only."""
    forms = list(_words(names).values())
    if len(forms) < 2:
        return (), ()
    return _common(forms, lambda form: form), _common([form[::-1] for form in forms], lambda form: form[::-1])


def _common(forms: list[Form], turn: Callable[[Form], Form]) -> Form:
    """The longest beginning that nearly all forms have and that leaves something of each; `turn` is applied to it."""
    common: Form = ()
    while True:
        k = len(common)
        longer = Counter(form[: k + 1] for form in forms if len(form) > k + 1 and form[:k] == common)
        best, count = longer.most_common(1)[0] if longer else ((), 0)
        if count < COMMON * len(forms):
            return turn(common) if any(isinstance(word, str) for word in common) else ()
        common = best


def _unknown(affix: tuple[Form, Form], other: tuple[Form, Form]) -> set[str]:
    """The words of a beginning and an end that the other domain's do not have, and that name no image of a pair."""
    shared = {word for part in other for word in part if isinstance(word, str)}
    words = {word for part in affix for word in part if isinstance(word, str) and not (len(word) > 1 and word in ROLES)}
    return words - shared


def _without(names: list[str], affix: tuple[Form, Form]) -> dict[str, Form]:
    """Each name in words, without the beginning and the end."""
    start, end = affix
    result = {}
    for name, form in _words(names).items():
        if start and form[: len(start)] == start and len(form) > len(start):
            form = form[len(start) :]
        if end and form[-len(end) :] == end and len(form) > len(end):
            form = form[: -len(end)]
        result[name] = form
    return result


def _shown(affix: tuple[Form, Form]) -> str:
    """A beginning and an end as text: "horse_..."."""
    start, end = ("_".join(map(str, part)) for part in affix)
    return "...".join((f"{start}_" if start else "", f"_{end}" if end else "")) if start or end else ""
