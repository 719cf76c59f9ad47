"""A note where the files that methods of single images learn from may be pairs: photos and their masks, mixed.

Two folders hold pairs, likely, if the names of nearly all files of the smaller one agree with those in the other as
`reverie.data.images.pair_names` describes, and something else speaks for it, since the classes of a set are often
numbered alike (cat/1.jpg, dog/1.jpg): one is grey; their names say so (edges, masks); the sizes vary, and those of each
pair are equal; or their formats differ, and the names are no running numbers.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from reverie.data.data_spec import DataSpec
from reverie.data.images.pair_names import match_names
from reverie.data.images.pair_roles import NAMED, domain_order, pairs_by_role
from reverie.data.images.paired_files import pair_folders
from reverie.data.images.records import ImageRecord

MAX_FOLDERS = 4
"""folders that are compared; more of them are classes"""
MAX_MATCHED = 20_000
"""files of two folders of which names are compared word by word; of more, exactly"""
SECOND = frozenset(
    (
        "mask", "masks", "seg", "segmentation", "segmentations", "gt", "groundtruth", "truth", "label", "labels",
        "annotation", "annotations", "anno", "edge", "edges", "sketch", "sketches", "map", "maps", "depth", "target",
        "targets",
    )
)  # fmt: skip
"""words in the names of folders that hold the second images of pairs, and are rarely classes"""

Folder = dict[str, ImageRecord]
"""the images of a folder by their path inside it, without suffix"""


def likely_pairs(spec: DataSpec, items: Sequence[ImageRecord]) -> list[str]:
    """A warning where the images of train of a place may be pairs; else []."""
    if spec.pairing != "auto" or spec.labels in ("folders", "names") or not items:
        return []
    if partner := pairs_by_role([item.name for item in items]):
        a, b = next(iter(partner.items()))
        return [
            f"{len(partner)} files are named as the second images of pairs ({b}, of {a}), and methods of single images "
            "learn from both; give the first ones in a folder of their own, or say --pairing none if these are no pairs"
        ]
    parent, folders = _first_folders(items)
    for (a, first), (b, second) in itertools.combinations(sorted(folders.items(), key=_photos_first), 2):
        if count := _pairs(a, first, b, second, len(folders) == 2):
            return [
                f"{count} files of {b} have the names of files of {a}, as the two images of pairs have: if they are "
                f"pairs, {how_to_pair(spec, parent + a, parent + b)} for methods of pairs, and {a} alone for others; "
                "if they are not, --pairing none"
            ]
    return []


def how_to_pair(spec: DataSpec, a: str, b: str) -> str:
    """What to give so that the files of two folders inside a place are read as pairs."""
    if pair_folders(spec):
        return "--pairing folders"
    first, second = Path(spec) / a, Path(spec) / b
    return f"{first},{second}" if first.expanduser().is_dir() and second.expanduser().is_dir() else "two folders a,b"


def _first_folders(items: Sequence[ImageRecord]) -> tuple[str, dict[str, Folder]]:
    """The path of the folders that enclose all images, and the images by the first folder below it.

    No folders if some images are in none, or there are more than MAX_FOLDERS.
    """
    low, high = (found(item.name for item in items).split("/") for found in (min, max))
    depth = next((i for i, (x, y) in enumerate(zip(low[:-1], high[:-1], strict=False)) if x != y), 0)
    folders: dict[str, Folder] = {}
    for item in items:
        path = item.name.rpartition(".")[0].split("/")
        if len(path) < depth + 2 or (path[depth] not in folders and len(folders) == MAX_FOLDERS):
            return "", {}
        folders.setdefault(path[depth], {})["/".join(path[depth + 1 :])] = item
    return "".join(f"{part}/" for part in low[:depth]), folders


def _photos_first(folder: tuple[str, Folder]) -> tuple[bool, bool, int, str]:
    """Sorts folders of masks after those of photos."""
    name, items = folder
    return _are_grey(items), _is_second(name), -len(items), name


def _are_grey(items: Folder) -> bool:
    return 2 * sum(item.header.grey for item in items.values()) > len(items)


def _format(items: Folder) -> str:
    """The format of most images."""
    return Counter(item.header.format for item in items.values()).most_common(1)[0][0]


def _pairs(a: str, first: Folder, b: str, second: Folder, alone: bool) -> int:
    """How many pairs the files of two folders are, likely; 0 if they are none. alone: whether there are only these."""
    named = _is_second(a) != _is_second(b) or (alone and domain_order(a, b) is not None)
    other = _format(first) != _format(second) or _are_grey(first) != _are_grey(second)
    partner = {name: name for name in first if name in second}
    if (named or other) and len(first) + len(second) <= MAX_MATCHED:
        found = match_names(first, second)
        partner = {x: y for x, y in found.partner.items() if x not in found.by_chance}
    if len(partner) < 2 or len(partner) < NAMED * min(len(first), len(second)):
        return 0
    headers = [(first[x].header, second[y].header) for x, y in partner.items()]
    alike = sum((x.width, x.height) == (y.width, y.height) for x, y in headers) >= NAMED * len(headers)
    vary = 4 * len({(x.width, x.height) for x, _ in headers}) > len(headers)
    grey = _are_grey(first) != _are_grey(second)
    certain = named or grey or (alike and vary) or (other and _no_running_numbers(partner))
    return len(partner) if certain else 0


def _is_second(folder: str) -> bool:
    """Whether a word of a folder's name is of SECOND; "GroundTruth" is two words."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder))
    return any(word.lower() in SECOND for word in words)


def _no_running_numbers(names: Collection[str]) -> bool:
    """Whether names have no numbers, or numbers with gaps: they are not of files that were numbered in their folder."""
    numbers = sorted(int(found[-1]) for name in names if (found := re.findall(r"\d+", name.rpartition("/")[2])))
    if 2 * len(numbers) < len(names):
        return True
    step = math.gcd(*(after - before for before, after in itertools.pairwise(numbers))) or 1  # every tenth frame
    return (numbers[-1] - numbers[0]) // step >= 2 * len(names)
