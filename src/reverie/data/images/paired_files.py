"""The files of two image domains A and B: inputs and targets of pairs, or two domains without pairs.

How the domains are found, in a folder or a zip of one:

* `trainA/ trainB/ testA/ testB/` (also `train_A`, `valA` ...), the layout of the CycleGAN data sets;
* `A/ B/`, inside splits or around them (`train/A`, `A/train`), or two of the other names in DOMAIN_FOLDERS, also as a
  part of names (`DIV2K_train_HR`, `DIV2K_train_LR_bicubic`); with `pairing` folders, any two folders;
* two paths with a comma between them: `photos/,maps/`, each a folder or a zip, with splits inside or without;
* files of one folder whose names differ only by words that say which image it is, nine tenths of them:
  `0001_input.png` and `0001_target.png`, or `0001.jpg` and `0001_mask.png`;
* images that are mostly twice as wide as high, within SIDE_TOLERANCE: A and B side by side in one file, cut at the
  middle, the layout of the pix2pix data sets; with `pairing` side-by-side, images of any shape.

Which folders are splits: see `reverie.data.splits`. Files of two folders are a pair if their names agree, as
`reverie.data.images.pair_names` describes.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from reverie.data.archives import Dropped, FileTree, FolderTree, ZipTree, is_zip
from reverie.data.data_spec import DataSpec
from reverie.data.images import decode
from reverie.data.images.conversion import DEFAULT, Levels, to_array
from reverie.data.images.decode import ImageHeader
from reverie.data.images.pair_names import match_names
from reverie.data.images.pair_roles import domain_order, pairs_by_role
from reverie.data.images.records import ImageRecord, SplitRecords, natural_key, nothing_usable
from reverie.data.images.sources import read, scan
from reverie.data.media_types import names_of
from reverie.data.splits import Arrangement, arrange, standard_split
from reverie.utils.errors import UserError, near_miss
from reverie.utils.paths import exists

DOMAINS = "ab"
SPLIT_ORDER = ("train", "test", "val")
SIDE_TOLERANCE = 0.05
"""by how much the width of two images side by side may differ from twice the height, relative"""
NEAR = (1.8, 2.25)
"""aspect ratios that may be pairs side by side or not, so that it has to be stated which"""

Fit = Callable[[Image.Image, int, int, Levels], np.ndarray]
"""image, size, channels, levels -> its centre square as uint8 [size,size,channels], as `decode.fit`"""


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
    """the path inside the folder of the domain, without suffix"""
    domain: int
    """0 for A, 1 for B"""


class PairedFiles(NamedTuple):
    """The files of two domains."""

    side_by_side: bool
    """whether A and B are the two halves of each file"""
    splits: dict[str, tuple[dict[str, DomainFile], dict[str, DomainFile]]]
    """split -> the files of A and of B, by key; both files of a pair have the key of B's once `match` was called"""
    dropped: dict[str, list[Dropped]]
    warnings: list[str]
    """what may have been read in another way than it is meant"""
    by_chance: set[str]
    """keys of pairs whose names agree only without a beginning or an end that each domain has of its own"""

    def matched(self, split: str) -> list[str]:
        """The keys that both domains have, in natural order."""
        a, b = self.splits[split]
        return sorted(a.keys() & b.keys(), key=natural_key)

    @property
    def paired(self) -> bool:
        """Whether most files of the smaller domain have a partner in the other one."""
        matched = [key for split in self.splits for key in self.matched(split) if key not in self.by_chance]
        return self._are_most(len(matched))

    @property
    def perhaps_paired(self) -> bool:
        """The same, with names that may agree by chance."""
        return self._are_most(sum(len(self.matched(split)) for split in self.splits))

    def _are_most(self, matched: int) -> bool:
        return 2 * matched > sum(min(len(a), len(b)) for a, b in self.splits.values())

    def match(self) -> PairedFiles:
        """The same with equal keys for both files of each pair, where their names agree as pair_names describes."""
        if self.side_by_side:
            return self
        splits, by_chance, warnings = dict(self.splits), set(self.by_chance), list(self.warnings)
        dropped = {split: list(files) for split, files in self.dropped.items()}
        for split, (a, b) in self.splits.items():
            found = match_names(a, b)
            splits[split] = ({found.partner.get(key, key): file for key, file in a.items()}, b)
            chance = {found.partner[key] for key in found.by_chance}
            by_chance |= chance
            for name, twin in found.ambiguous.items():
                of_domain = a if name.startswith("a/") else b
                why = "name that could belong to several" + (f": as {of_domain[twin].name}" if twin else "")
                dropped.setdefault(split, []).append(Dropped(of_domain[name[2:]].name, why))
            if chance:
                key = min(chance)
                warnings.append(
                    f"{len(chance)} pairs of {split} are matched by what is left of their names without "
                    f"{' and '.join(found.removed)}, such as {splits[split][0][key].name} and {b[key].name}"
                )
        return self._replace(splits=splits, dropped=dropped, by_chance=by_chance, warnings=warnings)

    def unmatched(self) -> str:
        """A few words on names without a partner: how many there are, and two of each domain."""
        texts = []
        for i, domain in enumerate(DOMAINS.upper()):
            lone = [
                Path(both[i][key].name).name
                for both in self.splits.values()
                for key in sorted(both[i].keys() - both[1 - i].keys(), key=natural_key)
            ]
            total = sum(len(both[i]) for both in self.splits.values())
            shown = f", such as {', '.join(lone[:2])}" if lone else ""
            texts.append(f"{len(lone)} of {total} in {domain}{shown}")
        return "; ".join(texts)

    def find_split(self, split: str, spec: str) -> str:
        """The name of a split that was asked for, such as "val" for "validation". Raises UserError if there is none."""
        wanted = standard_split(split)
        available = [known for known in SPLIT_ORDER if known in self.splits]
        if wanted not in available:
            raise UserError(
                f"no split '{split}' in {spec}: it has {', '.join(available)}.{near_miss(split, available)}"
            )
        return wanted


def two_paths(spec: str) -> list[Path]:
    """The two paths of a spec with a comma, if both exist and the spec itself does not; else []."""
    parts = [Path(part.strip()).expanduser() for part in spec.split(",")]
    if len(parts) != 2 or exists(Path(spec)):
        return []
    return parts if all(map(exists, parts)) else []


def find_paired_files(spec: str) -> PairedFiles | None:
    """The two domains at a path, or at two with a comma between them; None if there is one domain only.

    Raises UserError for a damaged zip, for two paths of which one holds no images, and where what was stated with the
    spec (reverie.data.data_spec) is not there.
    """
    pairing, splits = getattr(spec, "pairing", "auto"), getattr(spec, "splits", "auto")
    if paths := two_paths(spec):
        if pairing in ("none", "side-by-side"):
            raise UserError(f"{spec} are two places, which --pairing {pairing} cannot be; give one of them.")
        located, outside, warnings = [], list[Dropped](), list[str]()
        for domain, path in enumerate(paths):
            scanned = _scan(path)
            arrangement = arrange((file.name for file in scanned), splits)
            warnings += [f"{path}: {warning}" for warning in arrangement.warnings]
            for file in scanned:
                split, inner = arrangement.locate(file.name)
                if split is None:
                    outside.append(Dropped(file.name, arrangement.outside))
                else:
                    located.append((Location(split, _without_suffix(inner), domain), file))
        return _from_folders(located, outside, warnings)
    path = Path(spec).expanduser()
    if pairing == "none" or not exists(path) or not (path.is_dir() or is_zip(path)):
        return None
    names = names_of(tree := _tree(path), "image")
    tree.close()
    if not names:
        return None
    arrangement = arrange(names, splits)
    domain_of = {} if pairing == "side-by-side" else _domains(names, arrangement, pairing == "folders")
    if domain_of:
        return _from_named_folders(path, arrangement, domain_of)
    if pairing == "folders":
        raise UserError(f"{spec} does not hold two folders with the two images of each pair; give both: photos/,maps/.")
    scanned = _scan(path)
    if halves := _from_halves(scanned, arrangement, any_shape=pairing == "side-by-side"):
        return halves
    return _from_roles(scanned, arrangement)


def pair_folders(spec: str) -> bool:
    """Whether a place holds two folders whose files would be pairs if --pairing folders said so."""
    with contextlib.suppress(UserError):
        files = find_paired_files(DataSpec(str(spec), getattr(spec, "splits", None), "folders"))
        return files is not None and files.match().paired
    return False


def _domains(names: Iterable[str], arrangement: Arrangement, any_name: bool) -> dict[str, int]:
    """First-level folder inside the splits -> its domain, 0 or 1; {} unless there are two folders that are domains.

    Folders A, B and C are classes: other images may lie at the top, but not in a folder of their own.
    any_name: whether two folders of any name are domains
    """
    tops: set[str] = set()
    for name in names:
        split, inner = arrangement.locate(name)
        top, slash, _ = inner.partition("/")
        if slash and split:
            tops.add(top)
    if len(tops) != 2:
        return {}
    first, second = sorted(tops, key=natural_key)
    order = domain_order(first, second)
    if order is None:
        return {first: 0, second: 1} if any_name else {}
    return {first: order, second: 1 - order}


def _tree(path: Path) -> FileTree:
    return FolderTree(path) if path.is_dir() else ZipTree(path)


def _scan(path: Path) -> list[DomainFile]:
    """The image files at a path with their headers. Raises UserError if there are none."""
    if not (path.is_dir() or is_zip(path)):
        raise UserError(f"{path} is neither a folder nor a zip: give the folders of the two domains.")
    tree = _tree(path)
    headers, _ = scan(tree)
    if not headers:
        raise UserError(f"no images in {path}: give a folder or zip with JPEG, PNG, ... files.")
    return [DomainFile(tree, name, header) for name, header in headers.items()]


def _without_suffix(name: str) -> str:
    return name.rpartition(".")[0]


def _from_named_folders(path: Path, arrangement: Arrangement, domain_of: dict[str, int]) -> PairedFiles:
    """The domains in folders whose names say so; images outside them are dropped."""
    located, outside = [], []
    for file in _scan(path):
        split, inner = arrangement.locate(file.name)
        top, slash, rest = inner.partition("/")
        if split and slash and top in domain_of:
            located.append((Location(split, _without_suffix(rest), domain_of[top]), file))
        else:
            outside.append(Dropped(file.name, "in neither domain"))
    explained = not (outside or arrangement.folders or arrangement.lone)  # trainA is a domain here, and no class
    return _from_folders(located, outside, [] if explained else arrangement.warnings)


def _from_folders(
    located: Sequence[tuple[Location, DomainFile]], outside: list[Dropped], warnings: list[str]
) -> PairedFiles:
    """outside: files that belong to no domain or split."""
    files = PairedFiles(False, {}, {}, warnings, set())
    for (split, key, domain), file in located:
        of_domain = files.splits.setdefault(split, ({}, {}))[domain]
        dropped = files.dropped.setdefault(split, [])
        if file.header.fault:
            dropped.append(Dropped(file.name, file.header.fault))
        elif key in of_domain:
            dropped.append(Dropped(file.name, f"same name as another file up to the suffix: {of_domain[key].name}"))
        else:
            of_domain[key] = file
    if files.dropped:
        next(iter(files.dropped.values())).extend(outside)
    return files


def _from_halves(scanned: Sequence[DomainFile], arrangement: Arrangement, any_shape: bool) -> PairedFiles | None:
    """The domains in the halves of files; None unless most are about twice as wide as high, or with `any_shape`."""
    usable = [file.header for file in scanned if not file.header.fault]
    wide = [header for header in usable if _is_double(header)]
    if not any_shape and (not wide or 2 * len(wide) <= len(usable)):
        return None
    files = PairedFiles(True, {}, {}, arrangement.warnings, set())
    for file in scanned:
        split, inner = arrangement.locate(file.name)
        header, key = file.header, _without_suffix(inner)
        a, b = files.splits.setdefault(split or "train", ({}, {}))
        dropped = files.dropped.setdefault(split or "train", [])
        if split is None:
            dropped.append(Dropped(file.name, arrangement.outside))
        elif header.fault:
            dropped.append(Dropped(file.name, header.fault))
        elif not any_shape and not _is_double(header):
            dropped.append(Dropped(file.name, f"not twice as wide as high: {header.width}x{header.height}"))
        elif key in a:
            dropped.append(Dropped(file.name, f"same name as another file up to the suffix: {a[key].name}"))
        else:
            a[key] = b[key] = file._replace(header=header._replace(width=header.width // 2))
    return files


def _from_roles(scanned: Sequence[DomainFile], arrangement: Arrangement) -> PairedFiles | None:
    """The domains in files of the same folders whose names say which image of a pair they are; None if they do not."""
    partner = pairs_by_role([file.name for file in scanned])
    if not partner:
        return None
    pair_of = {**{a: a for a in partner}, **{b: a for a, b in partner.items()}}
    located, outside = [], []
    for file in scanned:
        split, _ = arrangement.locate(file.name)
        if split is None or file.name not in pair_of:
            why = arrangement.outside if split is None else "not named as an image of a pair"
            outside.append(Dropped(file.name, why))
        else:
            _, key = arrangement.locate(pair_of[file.name])
            located.append((Location(split, _without_suffix(key), int(file.name not in partner)), file))
    return _from_folders(located, outside, arrangement.warnings)


def _is_double(header: ImageHeader) -> bool:
    """Whether an image is twice as wide as high, within SIDE_TOLERANCE."""
    return abs(header.width / (2 * header.height) - 1) <= SIDE_TOLERANCE


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
        self.classes, self.fit, self.levels = [], fit, DEFAULT
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
        return self.fit(self.image(item.name), size, channels, self.levels)

    def image(self, name: str) -> Image.Image:
        """The image of an item, upright; of two side by side the half of this domain. Raises InvalidFile."""
        file = self.files[name]
        upright = decode.load_upright(read(file.tree, file.name))
        if self.half is None:
            return upright
        middle = upright.width // 2
        return upright.crop((middle * self.half, 0, middle * (self.half + 1), upright.height))

    def read_image(self, item: ImageRecord) -> Image.Image:
        """An item as Pillow decodes it, in its own mode. Raises InvalidFile."""
        return self.image(item.name)

    def read_full(self, item: ImageRecord) -> np.ndarray:
        """All pixels of an item in its own size, uint8 [H,W,C], C = 1 if it is grey. Raises InvalidFile."""
        return to_array(self.image(item.name), 1 if item.header.grey else 3, self.levels)

    def close(self) -> None:
        """Nothing to let go of: folders are not kept open, zips are closed with their tree."""


def check_not_empty(files: PairedFiles, split: str, count: int, spec: str) -> None:
    """Raises UserError, with the most frequent reason, if `count`, the images left of a split, is 0."""
    if not count:
        raise UserError(nothing_usable(f"{spec} ({split})", files.dropped.get(split) or [Dropped(spec, "no match")]))
