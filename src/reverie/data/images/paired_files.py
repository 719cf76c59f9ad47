"""The files of two image domains A and B: inputs and targets of pairs, or two domains without pairs.

How the domains are found, in a folder or a zip of one:

* `trainA/ trainB/ testA/ testB/` (also `train_A`, `valA` ...), the layout of the CycleGAN data sets;
* `A/ B/`, inside splits or around them (`train/A`, `A/train`), or two of the other names in DOMAIN_FOLDERS;
* two paths with a comma between them: `photos/,maps/`, each a folder or a zip, with splits inside or without;
* images that are all twice as wide as high: A and B side by side in one file, the layout of the pix2pix data sets.

Files of two folders are a pair if their paths inside the folders are the same up to the suffix.
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
from reverie.data.images.records import ImageRecord, SplitRecords, is_image, natural_key, nothing_usable
from reverie.data.images.sources import SPLITS, read, scan
from reverie.utils.errors import UserError, near_miss

DOMAIN_FOLDERS = (
    ("a", "b"), ("input", "target"), ("input", "output"), ("source", "target"), ("x", "y"), ("noisy", "clean"),
    ("blurred", "sharp"), ("grey", "colour"), ("gray", "color"), ("lr", "hr"), ("labels", "photos"),
)  # fmt: skip
"""names of folders that are two domains, A first, in any case"""
DOMAINS = "ab"
SPLIT_ORDER = ("train", "test", "val")
_SPLIT_AND_DOMAIN = re.compile(r"(train|test|val|valid|validation)[_-]?([ab])", re.IGNORECASE)

Fit = Callable[[Image.Image, int, int], np.ndarray]
"""image, size, channels -> its centre square as uint8 [size,size,channels], as `decode.fit`"""


class DomainFile(NamedTuple):
    """One image file of a domain."""

    tree: FileTree
    name: str
    """its name in the tree"""
    header: ImageHeader


class Location(NamedTuple):
    """Where a file belongs, as its path says."""

    split: str
    key: str
    """the path inside the folder of the domain, without suffix: the same for both files of a pair"""
    domain: int
    """0 for A, 1 for B"""


class PairedFiles(NamedTuple):
    """The files of two domains."""

    side_by_side: bool
    """whether A and B are the two halves of each file"""
    splits: dict[str, tuple[dict[str, DomainFile], dict[str, DomainFile]]]
    """split -> the files of A and of B, by key"""
    dropped: dict[str, list[Dropped]]

    def matched(self, split: str) -> list[str]:
        """The keys that both domains have, in natural order."""
        a, b = self.splits[split]
        return sorted(a.keys() & b.keys(), key=natural_key)

    @property
    def paired(self) -> bool:
        """Whether most files of the smaller domain have a partner in the other one."""
        matched = sum(len(self.matched(split)) for split in self.splits)
        smaller = sum(min(len(a), len(b)) for a, b in self.splits.values())
        return 2 * matched > smaller

    def find_split(self, split: str, spec: str) -> str:
        """The name of a split that was asked for, such as "val" for "validation". Raises UserError if there is none."""
        wanted = SPLITS.get(split.lower(), split.lower())
        available = [known for known in SPLIT_ORDER if known in self.splits]
        if wanted not in available:
            raise UserError(
                f"no split '{split}' in {spec}: it has {', '.join(available)}.{near_miss(split, available)}"
            )
        return wanted


def two_paths(spec: str) -> list[Path]:
    """The two paths of a spec with a comma, if both exist and the spec itself does not; else []."""
    parts = [Path(part.strip()).expanduser() for part in spec.split(",")]
    if len(parts) != 2 or _exists(Path(spec)):
        return []
    return parts if all(map(_exists, parts)) else []


def find_paired_files(spec: str) -> PairedFiles | None:
    """The two domains at a path, or at two with a comma between them; None if there is one domain only.

    Raises UserError for a damaged zip, and for two paths of which one holds no images.
    """
    if paths := two_paths(spec):
        located = []
        for domain, path in enumerate(paths):
            for file in _scan(path):
                split, key = _split_and_key(file.name)
                located.append((Location(split, key, domain), file))
        return _from_folders(located)
    path = Path(spec).expanduser()
    if not _exists(path) or not (path.is_dir() or zipfile.is_zipfile(path)):
        return None
    names = [name for name in _tree(path).stamps if is_image(name)]
    if not names:
        return None
    prefix_length = len(_enclosing_folders(names))
    locations = {name: _locate(name[prefix_length:]) for name in names}
    outside = [name for name in names if locations[name] is None]
    # Folders A, B and C are classes: other images may lie at the top, but not in a folder of their own.
    if len(outside) < len(names) and not any("/" in name[prefix_length:] for name in outside):
        return _from_named_folders(path, locations)
    return _from_halves(_scan(path), prefix_length)


def _exists(path: Path) -> bool:
    """Whether a path exists, False where the system cannot have such a path."""
    try:
        return path.exists()
    except (OSError, ValueError):  # the name is too long, or has characters that the system forbids
        return False


def _tree(path: Path) -> FileTree:
    return FolderTree(path) if path.is_dir() else ZipTree(path)


def _scan(path: Path) -> list[DomainFile]:
    """The image files at a path with their headers. Raises UserError if there are none."""
    if not (path.is_dir() or zipfile.is_zipfile(path)):
        raise UserError(f"{path} is neither a folder nor a zip: give the folders of the two domains.")
    tree = _tree(path)
    headers, _ = scan(tree)
    if not headers:
        raise UserError(f"no images in {path}: give a folder or zip with JPEG, PNG, ... files.")
    return [DomainFile(tree, name, header) for name, header in headers.items()]


def _enclosing_folders(names: list[str]) -> str:
    """The path of folders that enclose all files, with a slash at the end, up to one that is a split or a domain."""
    first, last = min(names), max(names)  # a prefix of these two is a prefix of all
    wrapper = ""
    for one, other in zip(first.split("/")[:-1], last.split("/")[:-1], strict=False):
        if one != other or one.lower() in SPLITS or _SPLIT_AND_DOMAIN.fullmatch(one):
            break
        wrapper += f"{one}/"
    return wrapper


def _locate(name: str) -> Location | None:
    """The location of a file by the folders in its name; None if it is in neither domain."""
    top, _, rest = name.partition("/")
    if (match := _SPLIT_AND_DOMAIN.fullmatch(top)) and rest:
        return Location(SPLITS[match[1].lower()], _without_suffix(rest), DOMAINS.index(match[2].lower()))
    split = SPLITS.get(top.lower())
    folder, _, inner = rest.partition("/") if split else (top, "", rest)
    domain = _domain_of(folder)
    if domain is None or not inner:
        return None
    if split:
        return Location(split, _without_suffix(inner), domain)
    split, key = _split_and_key(inner)
    return Location(split, key, domain)


def _domain_of(folder: str) -> int | None:
    """0 or 1 if a folder has the name of a domain, else None."""
    for pair in DOMAIN_FOLDERS:
        if folder.lower() in pair:
            return pair.index(folder.lower())
    return None


def _split_and_key(name: str) -> tuple[str, str]:
    """The split that the first folder of a path names, train if none, and the rest of the path without suffix."""
    top, _, rest = name.partition("/")
    split = SPLITS.get(top.lower()) if rest else None
    return (split, _without_suffix(rest)) if split else ("train", _without_suffix(name))


def _without_suffix(name: str) -> str:
    return name.rpartition(".")[0]


def _from_named_folders(path: Path, locations: dict[str, Location | None]) -> PairedFiles:
    """The domains in folders whose names say so; images outside them are dropped."""
    located = []
    for file in _scan(path):
        if location := locations[file.name]:
            located.append((location, file))
    files = _from_folders(located)
    dropped = next(iter(files.dropped.values()))
    dropped += [Dropped(name, "in neither domain") for name, location in locations.items() if location is None]
    return files


def _from_folders(located: Sequence[tuple[Location, DomainFile]]) -> PairedFiles:
    files = PairedFiles(False, {}, {})
    for (split, key, domain), file in located:
        of_domain = files.splits.setdefault(split, ({}, {}))[domain]
        dropped = files.dropped.setdefault(split, [])
        if file.header.fault:
            dropped.append(Dropped(file.name, file.header.fault))
        elif key in of_domain:
            dropped.append(Dropped(file.name, f"same name as another file up to the suffix: {of_domain[key].name}"))
        else:
            of_domain[key] = file
    return files


def _from_halves(scanned: Sequence[DomainFile], prefix_length: int) -> PairedFiles | None:
    """The domains in the halves of files; None unless most files are twice as wide as high.

    prefix_length: length of the enclosing folders' path
    """
    usable = [file.header for file in scanned if not file.header.fault]
    wide = [header for header in usable if header.width == 2 * header.height]
    if not wide or 2 * len(wide) <= len(usable):
        return None
    files = PairedFiles(True, {}, {})
    for file in scanned:
        split, key = _split_and_key(file.name[prefix_length:])
        a, b = files.splits.setdefault(split, ({}, {}))
        dropped = files.dropped.setdefault(split, [])
        header = file.header
        if header.fault:
            dropped.append(Dropped(file.name, header.fault))
        elif header.width != 2 * header.height:
            dropped.append(Dropped(file.name, f"not twice as wide as high: {header.width}x{header.height}"))
        else:
            a[key] = b[key] = file._replace(header=header._replace(width=header.width // 2))
    return files


class PairedSource:
    """One domain of PairedFiles as a source for Images.

    files: both domains
    domain: 0 for A, 1 for B
    keys: split -> the keys of the images that are used, in order
    fit_id: names what `fit` does other than `decode.fit`; it becomes part of the fingerprint and of cache keys
    fit: crops and resizes an image
    """

    classes: list[str]

    def __init__(self, files: PairedFiles, domain: int, keys: dict[str, list[str]], fit_id: str, fit: Fit) -> None:
        self.classes, self.fit = [], fit
        self.half = domain if files.side_by_side else None
        self.files: dict[str, DomainFile] = {}
        self.parts: dict[str, SplitRecords] = {}
        for split in (known for known in SPLIT_ORDER if known in keys):
            items = []
            for key in keys[split]:
                file = files.splits[split][domain][key]
                # The pixels depend on more than the bytes of the file here, and the cache must know of it.
                sha = hashlib.sha256(f"{file.header.sha}/{self.half}/{fit_id}".encode()).hexdigest()
                name = f"{split}/{key}"
                self.files[name] = file
                items.append(ImageRecord(name, -1, file.header._replace(sha=sha)))
            self.parts[split] = SplitRecords(items, list(files.dropped.get(split, [])), [], False)

    def read_square(self, item: ImageRecord, size: int, channels: int) -> np.ndarray:
        """The centre square of an item, resized to uint8 [size,size,channels]. Raises InvalidFile."""
        return self.fit(self.image(item.name), size, channels)

    def image(self, name: str) -> Image.Image:
        """The image of an item, upright; of two side by side the half of this domain. Raises InvalidFile."""
        file = self.files[name]
        data = read(file.tree, file.name)
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
        """All pixels of an item in its own size, uint8 [H,W,C], C = 1 if it is grey. Raises InvalidFile."""
        pixels = np.asarray(decode.to_8bit(self.image(item.name), 1 if item.header.grey else 3))
        return pixels.reshape(*pixels.shape[:2], -1)

    def close(self) -> None:
        """Nothing to let go of: folders are not kept open, zips are closed with their tree."""


def check_not_empty(files: PairedFiles, split: str, count: int, spec: str) -> None:
    """Raises UserError, with the most frequent reason, if `count`, the images left of a split, is 0."""
    if not count:
        raise UserError(nothing_usable(f"{spec} ({split})", files.dropped.get(split) or [Dropped(spec, "no match")]))
