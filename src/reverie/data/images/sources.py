"""Image files in a folder or a zip: how folders become splits and classes. For idx and CIFAR files see idx_cifar.py.

The rules by which a folder, or a zip of one, is read:

* Hidden files, `__MACOSX`, Thumbs.db and desktop.ini are ignored. Images are recognised by their suffix; other files
  are listed as dropped. Folders may be nested to any depth.
* Folders that enclose all images (`archive/photos/...`) are stripped first, unless their name is that of a split.
* Top-level folders named train, test, val, valid or validation, in any case, are splits if `train` is among them;
  files outside them are dropped. Otherwise everything is `train`.
* Within a split, images are labelled if none lies at its top and there are at least two first-level folders with
  images: the class is the first-level folder's name. Classes are in natural order (2 before 10). The classes of the
  other splits are those of train; images of a class that train lacks are dropped.
* Items are ordered by name. A file with the same bytes as an earlier one of its split is dropped.
* A folder that is a run of reverie is skipped, and listed as dropped: the output of a run is not data.
* Links to files are read; a link to one of its parent folders is not followed. Members of a zip are read in memory
  and never written to disk.
"""

import contextlib
import gc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from reverie.data import cache
from reverie.data.archives import Dropped, FileTree, FolderTree, ZipTree
from reverie.data.file_types import InvalidFile, UnreadableFile
from reverie.data.images import decode
from reverie.data.images.decode import ImageHeader
from reverie.data.images.records import ImageRecord, Source, SplitRecords, is_image, natural_key, nothing_usable, unique
from reverie.utils.errors import UserError

SPLITS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}


class FileSource:
    """The image files of a folder or a zip. Raises UserError if none can be used."""

    def __init__(self, tree: FileTree, title: str) -> None:
        self.tree = tree
        headers, dropped = scan(tree)
        with _no_collection():
            self.classes, self.parts = arrange(headers, dropped, title)

    def read_square(self, item: ImageRecord, size: int, channels: int) -> np.ndarray:
        return decode.decode(read(self.tree, item.name), size, channels)

    def read_full(self, item: ImageRecord) -> np.ndarray:
        return decode.read_full(read(self.tree, item.name))

    def close(self) -> None:
        self.tree.close()


def open_path(path: Path) -> Source:
    """The source of images at an existing path: a folder, a zip or an idx file.

    Raises UserError if there are no images, or none that can be used.
    """
    from reverie.data.images import idx_cifar

    if path.is_dir():
        tree: FileTree = FolderTree(path)
    elif idx_cifar.is_idx(path.name):
        arrays = idx_cifar.single_file(path)
        names = [name for name in (arrays[0].images, arrays[0].labels) if name]
        return idx_cifar.ArraySource(FolderTree(path.parent, names), arrays, str(path))
    elif zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
        tree = ZipTree(path)
    else:
        raise UserError(f"{path} is neither a folder, a zip nor an idx file: give the folder that the images are in")
    if any(is_image(name) for name in tree.stamps):
        return FileSource(tree, str(path))
    if arrays := idx_cifar.find_array_files(tree.stamps):
        return idx_cifar.ArraySource(tree, arrays, str(path))
    if not tree.stamps:
        raise UserError(f"{path} is empty: give a folder or zip with images in it")
    packed = sorted(name for name in tree.stamps if name.lower().endswith((".zip", ".tar", ".tgz", ".tar.gz")))
    hint = f"unpack {packed[0]}, or give its path" if packed else "give a folder or zip with JPEG, PNG, ... files"
    raise UserError(f"no images in {path} ({len(tree.stamps)} other files): {hint}")


def scan(tree: FileTree) -> tuple[dict[str, ImageHeader], list[Dropped]]:
    """The header of every image file of a tree, by name, and what is dropped because it is not an image file.

    Only files that changed since the last scan are read; the other headers come from the cache.
    """
    headers: dict[str, ImageHeader] = {}
    changed: list[str] = []
    dropped = list(tree.skipped)
    with _no_collection():
        memo = _load_scan(tree.place)
        for name in sorted(tree.stamps):
            if not is_image(name):
                dropped.append(Dropped(name, "not an image file"))
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
    headers: dict[str, ImageHeader], dropped: list[Dropped], title: str
) -> tuple[list[str], dict[str, SplitRecords]]:
    """Sort scanned files (in the order of their names) into splits and classes by the rules above.

    Returns the class names, [] if unlabelled, and the splits. Raises UserError if no image can be used.
    """
    if not any(not header.fault for header in headers.values()):
        raise UserError(nothing_usable(title, [Dropped(name, header.fault) for name, header in headers.items()]))
    prefix_length = len(_enclosing_folders(list(headers)))
    tops = {name[prefix_length:].partition("/")[0].lower() for name in headers if "/" in name[prefix_length:]}
    has_splits = "train" in tops

    def locate(name: str) -> tuple[str | None, str]:
        """The split of a file (None: outside all) and, within it, the first-level folder ("": at the top)."""
        top, slash, rest = name[prefix_length:].partition("/")
        if not has_splits:
            return "train", top if slash else ""
        split = SPLITS.get(top.lower()) if slash else None
        first, slash, _ = rest.partition("/")
        return split, first if slash else ""

    files: dict[str, list[tuple[str, str, ImageHeader]]] = {"train": [], "test": [], "val": []}
    dropped_in: dict[str, list[Dropped]] = {"train": [], "test": [], "val": []}
    for drop in dropped:
        dropped_in[locate(drop.name)[0] or "train"].append(drop)
    for name, header in headers.items():
        split, folder = locate(name)
        if split is None:
            dropped_in["train"].append(Dropped(name, "outside the folders of the splits"))
        else:
            files[split].append((name, folder, header))
    classes: list[str] | None = None
    parts: dict[str, SplitRecords] = {}
    for split, found in files.items():
        if found:
            parts[split], classes = _split_records(found, dropped_in[split], classes)
    return classes or [], parts


def _split_records(
    files: list[tuple[str, str, ImageHeader]], dropped: list[Dropped], classes: list[str] | None
) -> tuple[SplitRecords, list[str]]:
    """One split of `files` (name, first-level folder, header), and the class names.

    classes: those of train; None for train itself
    """
    notes: list[str] = []
    usable = [file for file in files if not file[2].fault]
    dropped = dropped + [Dropped(name, header.fault) for name, _, header in files if header.fault]
    folders = {folder for _, folder, _ in usable}
    may_be_labelled = len(folders) > 1 if classes is None else bool(classes)
    labelled = may_be_labelled and "" not in folders
    if classes and usable and not labelled:
        notes.append("there are images outside the class folders: this split is unlabelled, although train is labelled")
    if not labelled:
        kept = unique(usable, dropped, lambda folder: "")
        items = [ImageRecord(name, -1, header) for name, _, header in kept]
        return SplitRecords(items, dropped, notes, False), classes or []
    if classes is None:
        classes = sorted(folders, key=natural_key)
    label_of = {name: i for i, name in enumerate(classes)}
    dropped += [Dropped(name, f"class not in train: {folder}") for name, folder, _ in usable if folder not in label_of]
    kept = unique([file for file in usable if file[1] in label_of], dropped, lambda folder: folder)
    items = [ImageRecord(name, label_of[folder], header) for name, folder, header in kept]
    return SplitRecords(items, dropped, notes, True), classes


def _enclosing_folders(names: list[str]) -> str:
    """The path of folders that enclose all files and are not named as a split, with a slash at the end; "" if none."""
    first, last = min(names), max(names)  # a prefix of these two is a prefix of all
    wrapper = ""
    for one, other in zip(first.split("/")[:-1], last.split("/")[:-1], strict=False):
        if one != other or one.lower() in SPLITS:
            break
        wrapper += f"{one}/"
    return wrapper


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
