"""Image files in a folder or a zip: how folders become splits and classes. For idx and CIFAR files see idx_cifar.py.

The rules by which a folder, or a zip of one, is read:

* Hidden files, `__MACOSX`, Thumbs.db and desktop.ini are ignored. Images are recognised by their suffix, or, where that
  says nothing, by their first bytes; other files are listed as dropped. Folders may be nested to any depth.
* Which folders are splits follows from their names, as `reverie.data.splits` describes; files outside them are dropped.
  Otherwise everything is `train`. Folders that enclose all images (`archive/photos/...`) are stripped.
* Within a split, images are labelled if none lies at its top and there are at least two first-level folders with
  images: the class is the first-level folder's name. Else a table beside the images may say the classes, or `labels`
  does (see class_labels.py). Classes are in natural order (2 before 10). The classes of the other splits are those of
  train; images of a class that train lacks are dropped.
* Items are ordered by name. A file with the same bytes as an earlier one of its split is dropped.
* A folder that is a run of reverie is skipped, and listed as dropped: the output of a run is not data.
* Links to files are read; a link to one of its parent folders is not followed. Members of a zip are read in memory
  and never written to disk.
"""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from reverie.data import cache
from reverie.data.archives import Dropped, FileTree, FolderTree, ZipTree, is_zip
from reverie.data.file_types import InvalidFile, UnreadableFile, unread_kind
from reverie.data.images import decode
from reverie.data.images.class_labels import UNLABELLED, ClassLabels, find_labels
from reverie.data.images.conversion import DEFAULT
from reverie.data.images.decode import ImageHeader
from reverie.data.images.image_tables import ImageTables, find_tables
from reverie.data.images.records import (
    ImageRecord,
    LabelWarning,
    LocatedFile,
    Source,
    SplitRecords,
    is_image,
    natural_key,
    nothing_usable,
    unique,
)
from reverie.data.images.table_splits import TableSplits, find_splits
from reverie.data.media_types import names_of
from reverie.data.splits import arrange as arrange_names
from reverie.utils.errors import UserError
from reverie.utils.formatting import counted

_PACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".tar.zst", ".7z", ".rar")
"""archives, of which zips are read"""


FEWEST_SINGLE = 10
"""classes from which on it is warned of if most of them have one image"""


class FileSource:
    """The image files of a folder or a zip. Raises UserError if none can be used.

    splits, labels: how its folders and tables are read, as in reverie.data.data_spec
    """

    def __init__(self, tree: FileTree, title: str, splits: str = "auto", labels: str = "auto") -> None:
        self.tree, self.levels = tree, DEFAULT
        headers, dropped = scan(tree)
        with _no_collection():
            self.classes, self.parts, self.warnings = arrange(headers, dropped, title, splits, labels, tree)

    def read_square(self, item: ImageRecord, size: int, channels: int) -> np.ndarray:
        return decode.decode(read(self.tree, item.name), size, channels, self.levels)

    def read_full(self, item: ImageRecord) -> np.ndarray:
        return decode.read_full(read(self.tree, item.name), self.levels)

    def read_image(self, item: ImageRecord) -> Image.Image:
        """An item as Pillow decodes it, in its own mode. Raises InvalidFile."""
        return decode.load_upright(read(self.tree, item.name))

    def close(self) -> None:
        self.tree.close()


def open_path(path: Path, splits: str = "auto", labels: str = "auto") -> Source:
    """The source of images at an existing path: a folder, a zip or an idx file.

    splits, labels: how its folders and tables are read, as in reverie.data.data_spec

    Raises UserError if there are no images, or none that can be used.
    """
    from reverie.data.images import idx_cifar

    if path.is_dir():
        tree: FileTree = FolderTree(path)
    elif idx_cifar.is_idx(path.name):
        arrays = idx_cifar.single_file(path)
        names = [name for name in (arrays[0].images, arrays[0].labels) if name]
        return idx_cifar.ArraySource(FolderTree(path.parent, names), arrays, str(path))
    elif is_zip(path) or path.suffix.lower() == ".zip":
        tree = ZipTree(path)
    else:
        unpack = "unpack it, and " if path.name.lower().endswith(_PACKED) else ""
        raise UserError(
            f"{path} is neither a folder, a zip nor an idx file: {unpack}give the folder that the images are in"
        )
    if any(is_image(name) for name in tree.stamps):
        return FileSource(tree, str(path), splits, labels)
    if arrays := idx_cifar.find_array_files(tree.stamps):
        return idx_cifar.ArraySource(tree, arrays, str(path))
    if names_of(tree, "image"):
        return FileSource(tree, str(path), splits, labels)
    if not tree.stamps:
        raise UserError(f"{path} is empty: give a folder or zip with images in it")
    if kinds := sorted({kind for name in tree.stamps if (kind := unread_kind(name))}):
        raise UserError(f"no images that can be read in {path} ({len(tree.stamps)} files): {kinds[0]}")
    packed = sorted(name for name in tree.stamps if name.lower().endswith(_PACKED))
    hint = _how_to_unpack(path, packed[0]) if packed else "give a folder or zip with JPEG, PNG, ... files"
    raise UserError(f"no images in {path} ({len(tree.stamps)} other files): {hint}")


def _how_to_unpack(path: Path, name: str) -> str:
    """What to do with an archive inside a folder or a zip: the path of a zip in a folder can be given."""
    if not path.is_dir():
        return f"unpack it and {name} in it, and give the folder"
    return f"unpack {name}, or give {path / name}" if name.lower().endswith(".zip") else f"unpack {name}"


def scan(tree: FileTree) -> tuple[dict[str, ImageHeader], list[Dropped]]:
    """The header of every image file of a tree, by name, and what is dropped because it is not an image file.

    Only files that changed since the last scan are read; the other headers come from the cache.
    """
    headers: dict[str, ImageHeader] = {}
    changed: list[str] = []
    dropped = list(tree.skipped)
    with _no_collection():
        memo = _load_scan(tree.place)
        images = names_of(tree, "image")
        for name in sorted(tree.stamps):
            if name not in images:
                dropped.append(Dropped(name, unread_kind(name) or "not an image file"))
            elif (known := memo.get(name)) and known[0] == tree.stamps[name]:
                headers[name] = known[1]
            else:
                changed.append(name)

    def header_of(name: str) -> ImageHeader:
        try:
            return decode.read_header(tree.read(name))
        except InvalidFile as invalid:
            return ImageHeader("", fault=str(invalid))

    if changed:
        headers.update(zip(changed, cache.map_in_order(header_of, changed, "reading headers"), strict=True))
        headers = {name: headers[name] for name in sorted(headers)}
    # a file that could not be read has no hash and is tried again: its stamp stays the same when it becomes readable
    kept = {name: (tree.stamps[name], header) for name, header in headers.items() if header.sha}
    if len(memo) != len(kept) or any(headers[name].sha for name in changed):
        _save_scan(tree.place, kept)
    return headers, dropped


def read(tree: FileTree, name: str) -> bytes:
    """The bytes of a file that a scan has listed. Raises InvalidFile, or UnreadableFile if a retry may work."""
    try:
        return tree.read(name)
    except UnreadableFile:
        cache.delete_memo(tree.place)  # so that the next scan reads it again, and drops it if that fails
        raise


def _save_scan(place: str, table: dict[str, tuple[str, ImageHeader]]) -> None:
    """Cache a scan, by columns. Each distinct header is stored once, which makes loading ten times faster."""
    kinds = {header[1:]: 0 for _, header in table.values()}
    kinds = {kind: i for i, kind in enumerate(kinds)}
    record = {
        "version": decode.HEADER_VERSION,
        "names": list(table),
        "stamps": [stamp for stamp, _ in table.values()],
        "shas": [header.sha for _, header in table.values()],
        "kinds": list(kinds),
        "kind": [kinds[header[1:]] for _, header in table.values()],
    }
    cache.save_memo(place, record)


def _load_scan(place: str) -> dict[str, tuple[str, ImageHeader]]:
    """File name -> stamp and header, from the last scan of a place; {} if there was none."""
    record = cache.load_memo(place)
    if record.get("version") != decode.HEADER_VERSION:
        return {}
    kinds = record["kinds"]
    rows = zip(record["names"], record["stamps"], record["shas"], record["kind"], strict=True)
    return {name: (stamp, ImageHeader(sha, *kinds[kind])) for name, stamp, sha, kind in rows}


def arrange(
    headers: dict[str, ImageHeader],
    dropped: list[Dropped],
    title: str,
    splits: str = "auto",
    labels: str = "auto",
    tree: FileTree | None = None,
) -> tuple[list[str], dict[str, SplitRecords], list[str]]:
    """Sort scanned files (in the order of their names) into splits and classes by the rules above.

    tree: where the files are, in which tables are looked for; None: nowhere

    Returns the class names, [] if unlabelled, the splits, and warnings of what could be read in another way too.
    Raises UserError if no image can be used, or `labels` names what is not there.
    """
    if not any(not header.fault for header in headers.values()):
        raise UserError(nothing_usable(title, [Dropped(name, header.fault) for name, header in headers.items()]))
    arrangement = arrange_names(headers, splits)
    located: list[LocatedFile] = []
    dropped_in: dict[str, list[Dropped]] = {"train": [], "test": [], "val": []}
    for drop in dropped:
        dropped_in[arrangement.locate(drop.name)[0] or "train"].append(drop)
    for name, header in headers.items():
        split, inner = arrangement.locate(name)
        folder, slash, _ = inner.partition("/")
        if split is None:
            dropped_in["train"].append(Dropped(name, arrangement.outside))
        elif header.fault:
            dropped_in[split].append(Dropped(name, header.fault))
        else:
            located.append(LocatedFile(name, split, folder if slash else ""))
    has_splits = bool(arrangement.folders or arrangement.files or arrangement.lone or splits != "auto")
    beside = ImageTables([])
    if tree and not (has_splits and labels in ("none", "names", "folders")):
        beside = find_tables(located, [drop.name for drop in dropped if drop.name in tree.stamps], tree)
    of_tables = TableSplits() if has_splits else find_splits(located, beside.tables)
    if of_tables.of:
        dropped_in["train"] += [Dropped(f.name, "named as of no split") for f in located if f.name not in of_tables.of]
        located = [file._replace(split=of_tables.of[file.name]) for file in located if file.name in of_tables.of]
    found = find_labels(located, beside, title, labels)
    read_here = {*found.tables, *of_tables.tables}
    classes: list[str] | None = None
    parts: dict[str, SplitRecords] = {}
    warnings = [*arrangement.warnings, *of_tables.warnings, *map(LabelWarning, found.warnings)]
    for split, drops in dropped_in.items():
        files = [(f.name, found.of.get(f.name, ""), headers[f.name]) for f in located if f.split == split]
        if files:
            drops = [drop for drop in drops if drop.name not in read_here]
            part, classes = _split_records(files, drops, classes, found)
            parts[split] = part._replace(notes=[*part.notes, *of_tables.notes] if split == "train" else part.notes)
            why = [note.removeprefix(UNLABELLED) for note in part.notes if note.startswith(UNLABELLED)]
            if why and not found.missing:
                warnings.append(LabelWarning(f"{split} is unlabelled although train is not: {why[0]}"))
    if "train" in parts:
        place = title if isinstance(tree, FolderTree) else ""
        warnings += map(LabelWarning, _label_warnings(located, parts["train"], classes or [], labels, place))
    return classes or [], parts, warnings


def _label_warnings(
    located: list[LocatedFile], part: SplitRecords, classes: list[str], labels: str, place: str
) -> list[str]:
    """Why images of train are unlabelled although most are in folders; or which classes may be none.

    part: the split train; place: the folder that the files are in, "" for a zip
    """
    train = [file for file in located if file.split == "train"]
    folders = {file.folder for file in train if file.folder}
    loose = [file.name for file in train if not file.folder]
    if labels not in ("auto", "none") and not classes:
        return [f"--labels {labels} finds fewer than two classes, so nothing is labelled"]
    if classes:
        return _of_doubtful_classes(train, part, classes, place)
    if labels != "auto" or len(folders) < 2 or 2 * len(loose) >= len(train):
        return []
    return [
        f"{len(folders)} folders look like classes, but beside them {'is' if len(loose) == 1 else 'are'} "
        f"{counted(len(loose), 'image')}, such as {loose[0]}, so nothing is labelled: move them into folders, or "
        "leave them out with --labels folders"
    ]


def _of_doubtful_classes(train: list[LocatedFile], part: SplitRecords, classes: list[str], place: str) -> list[str]:
    """A warning where hardly any class has two images, or all class folders hold the same folders."""
    if len(classes) >= FEWEST_SINGLE and 2 * len(classes) >= len(part.items):
        return [
            f"{len(classes)} classes for {len(part.items)} images, such as {classes[0]}: names or numbers that are no "
            "classes? --labels none takes none"
        ]
    inside: dict[str, set[str]] = {}
    for file in train:
        outer, _, inner = file.name.rpartition("/")[0].rpartition("/")
        if outer.rpartition("/")[2] != file.folder:
            return []  # deeper, or no deeper than the class
        inside.setdefault(file.folder, set()).add(inner)
    common = set.intersection(*inside.values()) if set(inside) == set(classes) else set()
    if len(common) < 2 or 2 * len(common) < len(set.union(*inside.values())):
        return []
    outer = train[0].name.rpartition("/")[0].rpartition("/")[0]
    listed = ", ".join(classes[:3]) + (" ..." if classes[3:] else "")
    return [
        f"{listed} are taken for classes, and these folders hold the same ones, such as "
        f"{min(common, key=natural_key)}; if those are the classes, give one of the outer folders as --data, "
        f"{f'such as {place}/{outer}' if place else f'unpacked, such as {outer}'}"
    ]


def _split_records(
    files: list[tuple[str, str, ImageHeader]], dropped: list[Dropped], classes: list[str] | None, found: ClassLabels
) -> tuple[SplitRecords, list[str]]:
    """One split of `files` (name, class or "", header), and the class names.

    classes: those of train; None for train itself
    """
    notes: list[str] = [*found.notes] if classes is None else []
    named = [file for file in files if file[1]]
    if found.missing and (classes is None or 2 * len(named) >= len(files)):
        dropped = dropped + [Dropped(name, found.missing) for name, label, _ in files if not label]
        files = named
    labels = {label for _, label, _ in files}
    why = _why_unlabelled(labels, classes, found) if classes and files else ""
    if why:
        notes.append(UNLABELLED + why)
    if why or (len(labels) < 2 or "" in labels if classes is None else not classes):
        kept = unique(files, dropped, lambda folder: "")
        items = [ImageRecord(name, -1, header) for name, _, header in kept]
        return SplitRecords(items, dropped, notes, False), classes or []
    if classes is None:
        classes = sorted(labels, key=natural_key)
    label_of = {name: i for i, name in enumerate(classes)}
    of_case = {name.casefold(): f", which has '{name}'" for name in classes}
    dropped += [
        Dropped(name, f"class not in train: {label}{of_case.get(label.casefold(), '')}")
        for name, label, _ in files
        if label not in label_of
    ]
    kept = unique([file for file in files if file[1] in label_of], dropped, lambda label: label)
    items = [ImageRecord(name, label_of[label], header) for name, label, header in kept]
    return SplitRecords(items, dropped, notes, True), classes


def _why_unlabelled(labels: set[str], classes: list[str], found: ClassLabels) -> str:
    """Why a split with these labels, "" for none, is unlabelled although train has classes; "" if it is labelled.

    A split without any class of train is: test/test/ or test/images/ is where its images lie, and no class.
    """
    if "" in labels:
        return f"many images are {found.missing}" if found.missing else "its images lie outside of class folders"
    if not labels or labels & set(classes):
        return ""
    listed = ", ".join(sorted(labels, key=natural_key)[:4])
    if {label.casefold() for label in labels} & {name.casefold() for name in classes}:
        return f"its classes, {listed}, differ from those of train, {', '.join(classes[:4])}, by case: rename them"
    return f"its images lie in {listed}, and train has no such class"


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collector, which costs seconds where 100,000 objects are made at once."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
