"""Two sides of a data set: inputs and targets, or two worlds between which a translation goes.

How sides are told apart, in a folder or a zip of one:

* `trainA/ trainB/ testA/ testB/` (also `train_A`, `valA` ...), as the CycleGAN sets have it;
* `A/ B/`, inside splits or around them (`train/A`, `A/train`), or two of the other names in NAMES;
* two places with a comma between them: `photos/,maps/`, each a folder or a zip, with splits inside or without;
* pictures that are all twice as wide as high: both sides in one file, left A, right B, as the pix2pix sets have it.

Files of two folders belong together if their paths inside them are the same but for the ending.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from reverie.data.archives import Dropped, FileTree, FolderTree, ZipTree
from reverie.data.file_types import InvalidFile
from reverie.data.images import decode
from reverie.data.images.decode import ImageHeader
from reverie.data.images.records import ImageRecord, SplitRecords, is_image, natural, nothing_usable
from reverie.data.images.sources import SPLITS, read, scan
from reverie.utils.errors import UserError

NAMES = (
    ("a", "b"), ("input", "target"), ("input", "output"), ("source", "target"), ("x", "y"), ("noisy", "clean"),
    ("blurred", "sharp"), ("grey", "colour"), ("gray", "color"), ("lr", "hr"), ("labels", "photos"),
)  # fmt: skip
"""names of folders that are two sides, A first, in any case"""
_TOGETHER = re.compile(r"(train|test|val|valid|validation)[_-]?([ab])", re.IGNORECASE)
FOUND_IN = ("train", "test", "val")


class Place(NamedTuple):
    """One file of a side: the box it is in, its name there, and its header."""

    box: FileTree
    name: str
    head: ImageHeader


class PairedFiles(NamedTuple):
    """What was found: of each split the files of A and of B by key, the path inside their folders without ending."""

    beside: bool
    """whether both sides are in one file"""
    splits: dict[str, tuple[dict[str, Place], dict[str, Place]]]
    dropped: dict[str, list[Dropped]]

    def matched(self, split: str) -> list[str]:
        """The keys that both sides have, in order."""
        a, b = self.splits[split]
        return sorted(a.keys() & b.keys(), key=natural)

    @property
    def paired(self) -> bool:
        """Whether the files of the two sides belong together one by one: most of the smaller side."""
        counts = [(len(self.matched(split)), min(len(a), len(b))) for split, (a, b) in self.splits.items()]
        return 2 * sum(both for both, _ in counts) > sum(smaller for _, smaller in counts)


def places(spec: str) -> list[Path]:
    """The two paths of a spec with a comma, if both are there and the whole is not one; else []."""
    parts = [Path(part.strip()).expanduser() for part in spec.split(",")]
    if len(parts) != 2 or _exists(Path(spec)):
        return []
    return parts if all(map(_exists, parts)) else []


def find(spec: str) -> PairedFiles | None:
    """The sides at a path, or at two; None where there is only one side. Raises UserError for a damaged zip."""
    if two := places(spec):
        found = [_scan(path) for path in two]
        return _gather([(*_split_of(name), side, place) for side, files in enumerate(found) for name, place in files])
    path = Path(spec).expanduser()
    if not _exists(path) or not (path.is_dir() or zipfile.is_zipfile(path)):
        return None
    box = _box(path)
    names = [name for name in box.stamps if is_image(name)]
    if not names:
        return None
    cut = len(_wrapper(names))
    told = {name: _told(name[cut:]) for name in names}
    # Folders A, B and C are classes, not sides: what is on neither side may lie about, but in no folder of its own.
    if any(told.values()) and not any("/" in name[cut:] for name in names if not told[name]):
        lone = [name for name in names if not told[name]]
        sides = _gather([(*told[name], place) for name, place in _scan(path) if told[name]])  # type: ignore[misc]  # lone ones are left out here
        for name in lone:
            next(iter(sides.dropped.values())).append(Dropped(name, "on neither side"))
        return sides
    files = _scan(path)
    wide = [p for _, p in files if not p.header.fault and p.header.width == 2 * p.header.height]
    if not wide or 2 * len(wide) <= sum(not p.header.fault for _, p in files):
        return None
    return _beside([(*_split_of(name[cut:]), place) for name, place in files])


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with characters that the system forbids
        return False


def _box(path: Path) -> FileTree:
    return FolderTree(path) if path.is_dir() else ZipTree(path)


def _scan(path: Path) -> list[tuple[str, Place]]:
    """The image files at a place with their headers."""
    if not (path.is_dir() or zipfile.is_zipfile(path)):
        raise UserError(f"{path} is neither a folder nor a zip: give the folders that the two sides are in.")
    box = _box(path)
    heads, _ = scan(box)
    if not heads:
        raise UserError(f"no images in {path}: give a folder or zip with JPEG, PNG, ... files.")
    return [(name, Place(box, name, head)) for name, head in heads.items()]


def _wrapper(names: list[str]) -> str:
    """The folders around everything, with a slash at the end, up to one that is a split or a side."""
    first, last = min(names), max(names)
    wrapper = ""
    for one, other in zip(first.split("/")[:-1], last.split("/")[:-1], strict=False):
        if one != other or one.lower() in SPLITS or _TOGETHER.fullmatch(one):
            break
        wrapper += f"{one}/"
    return wrapper


def _told(name: str) -> tuple[str, str, int] | None:
    """(split, key, side) that a name tells; None if it tells no side."""
    head, _, rest = name.partition("/")
    if (match := _TOGETHER.fullmatch(head)) and rest:
        return SPLITS[match[1].lower()], _key(rest), "ab".index(match[2].lower())
    split = SPLITS.get(head.lower())
    first, _, inner = rest.partition("/") if split else (head, "", rest)
    side = next((i for pair in NAMES for i in (0, 1) if first.lower() == pair[i]), None)
    if side is None or not inner:
        return None
    return (*((split, _key(inner)) if split else _split_of(inner)), side)


def _split_of(name: str) -> tuple[str, str]:
    """The split that the first folder of a path names, and the key of the rest."""
    head, _, rest = name.partition("/")
    split = SPLITS.get(head.lower()) if rest else None
    return (split, _key(rest)) if split else ("train", _key(name))


def _key(name: str) -> str:
    return name.rpartition(".")[0]


def _gather(found: Sequence[tuple[str, str, int, Place]]) -> PairedFiles:
    sides = PairedFiles(False, {}, {})
    for split, key, side, place in found:
        files = sides.splits.setdefault(split, ({}, {}))[side]
        dropped = sides.dropped.setdefault(split, [])
        if place.header.fault:
            dropped.append(Dropped(place.name, place.header.fault))
        elif key in files:
            dropped.append(Dropped(place.name, f"same name as another but for the ending: {files[key].name}"))
        else:
            files[key] = place
    return sides


def _beside(found: Sequence[tuple[str, str, Place]]) -> PairedFiles:
    sides = PairedFiles(True, {}, {})
    for split, key, place in found:
        a, b = sides.splits.setdefault(split, ({}, {}))
        dropped = sides.dropped.setdefault(split, [])
        head = place.header
        if head.fault:
            dropped.append(Dropped(place.name, head.fault))
        elif head.width != 2 * head.height:
            dropped.append(Dropped(place.name, f"not twice as wide as high: {head.width}x{head.height}"))
        else:
            a[key] = b[key] = place._replace(head=head._replace(width=head.width // 2))
    return sides


class PairedSource:
    """One side as a source of Images, its items in the order of the keys given."""

    classes: list[str]

    def __init__(self, sides: PairedFiles, side: int, keys: dict[str, list[str]], mark: str, fit: Fit) -> None:
        self.classes, self.fit = [], fit
        self.half = side if sides.beside else None
        self.held: dict[str, Place] = {}
        self.parts: dict[str, SplitRecords] = {}
        for split in (s for s in FOUND_IN if s in keys):
            items = []
            for key in keys[split]:
                place = sides.splits[split][side][key]
                # What is drawn from a file depends on more than its bytes here, and the cache must know.
                sha = hashlib.sha256(f"{place.header.sha}/{self.half}/{mark}".encode()).hexdigest()
                name = f"{split}/{key}"
                self.held[name] = place
                items.append(ImageRecord(name, -1, place.header._replace(sha=sha)))
            self.parts[split] = SplitRecords(items, list(sides.dropped.get(split, [])), [], False)

    def read_square(self, item: ImageRecord, size: int, channels: int) -> np.ndarray:
        """The item as uint8 [size, size, channels]. Raises InvalidFile."""
        return self.fit(self.picture(item.name), size, channels)

    def picture(self, name: str) -> Image.Image:
        """The picture of an item, upright, the half of it that is on this side. Raises InvalidFile."""
        place = self.held[name]
        data = read(place.box, place.name)
        try:
            with decode.open_image(data) as image:
                image.load()
                upright = ImageOps.exif_transpose(image)
        except InvalidFile:
            raise
        except Exception as error:  # hostile bytes make Pillow's plugins raise almost anything
            raise decode.as_invalid_file(error) from None
        if self.half is None:
            return upright
        middle = upright.width // 2
        return upright.crop((middle * self.half, 0, middle * (self.half + 1), upright.height))

    def read_full(self, item: ImageRecord) -> np.ndarray:
        """The item in its own size, uint8 [H,W,C]. Raises InvalidFile."""
        pixels = np.asarray(decode.to_8bit(self.picture(item.name), 1 if item.header.grey else 3))
        return pixels.reshape(*pixels.shape[:2], -1)

    def close(self) -> None:
        """Lets go of files."""


Fit = Callable[[Image.Image, int, int], np.ndarray]


def check_some(sides: PairedFiles, split: str, count: int, spec: str) -> None:
    """Raises UserError, with the commonest reason, if nothing is left of a split."""
    if not count:
        raise UserError(nothing_usable(f"{spec} ({split})", sides.dropped.get(split) or [Dropped(spec, "no match")]))
