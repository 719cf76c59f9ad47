"""Which of two images is the input, A, and which the target, B, where the names of folders or files say so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from reverie.data.images.pair_names import split_role

DOMAIN_FOLDERS = (
    ("a", "b"), ("input", "target"), ("input", "output"), ("inputs", "targets"), ("inputs", "outputs"), ("input", "gt"),
    ("source", "target"), ("src", "tgt"), ("x", "y"), ("noisy", "clean"), ("blurred", "sharp"), ("blur", "sharp"),
    ("hazy", "clear"), ("hazy", "gt"), ("rain", "clean"), ("rainy", "clean"), ("grey", "colour"), ("gray", "color"),
    ("lr", "hr"), ("lq", "hq"), ("lq", "gt"), ("low", "high"), ("before", "after"), ("labels", "photos"),
    ("sketches", "photos"), ("sketch", "photo"), ("edges", "photos"), ("images", "labels"), ("images", "masks"),
    ("image", "mask"), ("image", "label"), ("imgs", "masks"), ("images", "annotations"), ("original", "edited"),
)  # fmt: skip
"""names of folders that are two domains, A first, in any case"""
_ALONE = frozenset(("mask", "masks", "seg", "segmentation", "groundtruth", "annotation", "anno", "depth", "normals"))
"""words for B where the other image has none"""
_SIDES = frozenset(
    ("images", "image", "img", "imgs", "bicubic", "unknown", "mild", "difficult", "x", "folder", "set", "domain")
)
"""words that may stand beside such a name"""
NAMED = 0.9
"""share of the files of a place that have to be named as the two images of pairs are"""
NAMES_TRIED = 200
"""names that are looked at first; where fewer than a third say which image of a pair it is, there are no such pairs"""


def domain_order(first: str, second: str) -> int | None:
    """The domain, 0 or 1, that the first of two folders holds by their names; None if these say of none."""
    words, others = (re.findall(r"\d+|[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", top)) for top in (first, second))
    return _order({word.lower() for word in words}, {word.lower() for word in others})


def pairs_by_role(names: Sequence[str]) -> dict[str, str]:
    """The pairs among files of the same folders whose names differ by words that say which image it is: A -> B.

    {} unless NAMED of the names are of such pairs, all of the same two words, of which it is known which is A: those of
    DOMAIN_FOLDERS, or one of their words and none (0001.jpg and 0001_mask.png, 0001.jpg and 0001_noisy.jpg).
    """
    tried = [split_role(_stem(name))[1] for name in sorted(names)[:NAMES_TRIED]]  # partners follow one another
    if 3 * sum(map(bool, tried)) < len(tried) or len(set(tried)) < 2:
        return {}
    groups: dict[tuple[object, ...], list[tuple[tuple[str, ...], str]]] = {}
    for name in names:
        words, role = split_role(_stem(name))
        if words or "/" in name:
            groups.setdefault((name.rpartition("/")[0], words), []).append((role, name))
    twos = [sorted(group) for group in groups.values() if len(group) == 2 and group[0][0] != group[1][0]]
    common = Counter((one[0], other[0]) for one, other in twos).most_common(1)
    if not common or common[0][1] < 2 or 2 * common[0][1] < NAMED * len(names):
        return {}
    (one, other), _ = common[0]
    left, right = set(one) - set(other), set(other) - set(one)
    order = _order_alone(min(right)) if not left and len(right) == 1 else _order(left, right)
    if order is None:
        return {}
    return {two[order][1]: two[1 - order][1] for two in twos if (two[0][0], two[1][0]) == (one, other)}


def _order(left: set[str], right: set[str]) -> int | None:
    """The domain, 0 or 1, of what is named by the words `left` where the other one is by `right`; None if unknown."""
    left, right = left - right, right - left
    for pair in DOMAIN_FOLDERS:
        for order, (one, other) in enumerate((pair, pair[::-1])):
            if one in left and other in right and all(_beside(word) for word in (left - {one}) | (right - {other})):
                return order
    return None


def _order_alone(word: str) -> int | None:
    """As _order, of an image without such words and one with a single one: 1 if it is for A, as noisy, 0 for B."""
    first, second = ({pair[domain] for pair in DOMAIN_FOLDERS} for domain in (0, 1))
    said = [domain for domain, words in ((1, first), (0, second | _ALONE)) if word in words]
    return said[0] if len(said) == 1 and len(word) > 1 else None


def _beside(word: str) -> bool:
    return word in _SIDES or word.isdecimal()


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]
