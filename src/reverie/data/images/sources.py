"""What the place where images lie says of them: splits, classes, order; for idx and CIFAR files see arrays.py.

The rules by which a folder, or a zip of one, is read:

* Hidden files, `__MACOSX`, Thumbs.db and desktop.ini are ignored. Files are told by their extension; those that are no
  images are listed as dropped. A folder of any depth will do.
* Folders around everything (`archive/photos/...`) are stripped first, unless their name is that of a split.
* Top-level folders named train, test, val, valid or validation, in any case, are splits if `train` is among them;
  what lies outside them is dropped. Otherwise all is `train`.
* Within a split, images are labelled if none lies at its top and there are two first-level folders with images or
  more: the class is the first-level folder's name. Classes are sorted naturally (2 before 10). The classes of the
  other splits are those of train; a class that train lacks is dropped.
* Items are ordered by name. A file with the same bytes as an earlier one of its split is dropped.
* A folder below that is a run of reverie is left out, and listed as dropped: what a run makes is no data.
* Links to files are read; a link to a folder that leads back above itself is not followed. Members of a zip are read
  in memory: their names never touch the disk.
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
from reverie.data.images.records import ImageRecord, Source, SplitRecords, is_image, natural, nothing_usable, unique
from reverie.utils.errors import UserError

SPLITS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}


class FileSource:
    """Image files in a box."""

    def __init__(self, box: FileTree, title: str) -> None:
        self.box = box
        heads, dropped = scan(box)
        with _no_collection():
            self.classes, self.parts = arrange(heads, dropped, title)

    def read_square(self, item: ImageRecord, size: int, channels: int) -> np.ndarray:
        return decode.decode(read(self.box, item.name), size, channels)

    def read_full(self, item: ImageRecord) -> np.ndarray:
        return decode.read_full(read(self.box, item.name))

    def close(self) -> None:
        self.box.close()


def open_path(path: Path) -> Source:
    """The source at an existing path. Raises UserError if there are no images, or none that can be used."""
    from reverie.data.images import idx_cifar as arrays

    if path.is_dir():
        box: FileTree = FolderTree(path)
    elif arrays.is_idx(path.name):
        tables = arrays.single(path)
        names = [name for name in (tables[0].images, tables[0].labels) if name]
        return arrays.ArraySource(FolderTree(path.parent, names), tables, str(path))
    elif zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
        box = ZipTree(path)
    else:
        raise UserError(f"{path} is neither a folder, a zip nor an idx file: give the folder that the images are in")
    if any(is_image(name) for name in box.stamps):
        return FileSource(box, str(path))
    if tables := arrays.find(box.stamps):
        return arrays.ArraySource(box, tables, str(path))
    if not box.stamps:
        raise UserError(f"{path} is empty: give a folder or zip with images in it")
    packed = sorted(name for name in box.stamps if name.lower().endswith((".zip", ".tar", ".tgz", ".tar.gz")))
    hint = f"unpack {packed[0]}, or give its path" if packed else "give a folder or zip with JPEG, PNG, ... files"
    raise UserError(f"no images in {path} ({len(box.stamps)} other files): {hint}")


def scan(box: FileTree) -> tuple[dict[str, ImageHeader], list[Dropped]]:
    """The header of every image file in a box, and the files that are none. Reads only what changed since last time."""
    heads: dict[str, ImageHeader] = {}
    fresh: list[str] = []
    dropped = list(box.skipped)
    with _no_collection():
        memo = _remembered(box.place)
        for name in sorted(box.stamps):
            if not is_image(name):
                dropped.append(Dropped(name, "not an image file"))
            elif (known := memo.get(name)) and known[0] == box.stamps[name]:
                heads[name] = known[1]
            else:
                fresh.append(name)

    def look(name: str) -> ImageHeader:
        try:
            return decode.read_header(box.read(name))
        except InvalidFile as unfit:
            return ImageHeader("", fault=str(unfit))

    if fresh:
        heads.update(zip(fresh, cache.map_in_order(look, fresh, "reading headers"), strict=True))
        heads = {name: heads[name] for name in sorted(heads)}
    # what could not be read has no hash and is tried again: its stamp does not change when it is permitted
    kept = {name: (box.stamps[name], head) for name, head in heads.items() if head.sha}
    if len(memo) != len(kept) or any(heads[name].sha for name in fresh):
        _remember(box.place, kept)
    return heads, dropped


def read(box: FileTree, name: str) -> bytes:
    """The bytes of a file that a scan has seen. Raises InvalidFile, and UnreadableFile for what may pass."""
    try:
        return box.read(name)
    except UnreadableFile:
        cache.forget(box.place)  # so that the next scan tries it, and drops it if it must
        raise


def _remember(place: str, table: dict[str, tuple[str, ImageHeader]]) -> None:
    """Keep a scan, by columns; of headers, which are much alike, each kind once: a tenth of the time to load."""
    kinds = {head[1:]: 0 for _, head in table.values()}
    kinds = {kind: i for i, kind in enumerate(kinds)}
    record = {
        "version": decode.HEADER_VERSION,
        "names": list(table),
        "stamps": [stamp for stamp, _ in table.values()],
        "shas": [head.sha for _, head in table.values()],
        "kinds": list(kinds),
        "kind": [kinds[head[1:]] for _, head in table.values()],
    }
    cache.save_memo(place, record)


def _remembered(place: str) -> dict[str, tuple[str, ImageHeader]]:
    """File name -> stamp and header, as of the last scan of a place; {} if there was none."""
    record = cache.load_memo(place)
    if record.get("version") != decode.HEADER_VERSION:
        return {}
    kinds = record["kinds"]
    rows = zip(record["names"], record["stamps"], record["shas"], record["kind"], strict=True)
    return {name: (stamp, ImageHeader(sha, *kinds[kind])) for name, stamp, sha, kind in rows}


def arrange(
    heads: dict[str, ImageHeader], dropped: list[Dropped], title: str
) -> tuple[list[str], dict[str, SplitRecords]]:
    """Sort scanned files (in the order of their names) into splits and classes by the rules above."""
    if not any(not head.fault for head in heads.values()):
        raise UserError(nothing_usable(title, [Dropped(name, head.fault) for name, head in heads.items()]))
    cut = len(_wrapper(list(heads)))
    tops = {name[cut:].partition("/")[0].lower() for name in heads if "/" in name[cut:]}
    has_splits = "train" in tops

    def locate(name: str) -> tuple[str | None, str]:
        """The split (None: outside them) and, within it, the first-level folder ("": at the top)."""
        top, slash, rest = name[cut:].partition("/")
        if not has_splits:
            return "train", top if slash else ""
        split = SPLITS.get(top.lower()) if slash else None
        first, slash, _ = rest.partition("/")
        return split, first if slash else ""

    files: dict[str, list[tuple[str, str, ImageHeader]]] = {"train": [], "test": [], "val": []}
    lost: dict[str, list[Dropped]] = {"train": [], "test": [], "val": []}
    for drop in dropped:
        lost[locate(drop.name)[0] or "train"].append(drop)
    for name, head in heads.items():
        split, folder = locate(name)
        if split is None:
            lost["train"].append(Dropped(name, "outside the folders of the splits"))
        else:
            files[split].append((name, folder, head))
    classes: list[str] | None = None
    parts: dict[str, SplitRecords] = {}
    for split, found in files.items():
        if found:
            parts[split], classes = _part(found, lost[split], classes)
    return classes or [], parts


def _part(
    files: list[tuple[str, str, ImageHeader]], dropped: list[Dropped], classes: list[str] | None
) -> tuple[SplitRecords, list[str]]:
    """One split of (name, first-level folder, header), and the classes: those of train, None for train itself."""
    notes: list[str] = []
    good = [file for file in files if not file[2].fault]
    dropped = dropped + [Dropped(name, head.fault) for name, _, head in files if head.fault]
    tops = {top for _, top, _ in good}
    labelled = "" not in tops and (len(tops) > 1 if classes is None else bool(classes))
    if classes and good and not labelled:
        notes.append("images lie at the top of this split: it is unlabelled, though train is labelled")
    if not labelled:
        kept = unique(good, dropped, lambda top: "")
        return SplitRecords([ImageRecord(n, -1, head) for n, _, head in kept], dropped, notes, False), classes or []
    if classes is None:
        classes = sorted(tops, key=natural)
    number = {name: i for i, name in enumerate(classes)}
    dropped += [Dropped(n, f"class not in train: {top}") for n, top, _ in good if top not in number]
    kept = unique([file for file in good if file[1] in number], dropped, lambda top: top)
    return SplitRecords([ImageRecord(n, number[top], head) for n, top, head in kept], dropped, notes, True), classes


def _wrapper(names: list[str]) -> str:
    """The folders that enclose all images and are not named as a split, with a slash at the end; perhaps none."""
    first, last = min(names), max(names)  # what these two share, all share
    wrapper = ""
    for one, other in zip(first.split("/")[:-1], last.split("/")[:-1], strict=False):
        if one != other or one.lower() in SPLITS:
            break
        wrapper += f"{one}/"
    return wrapper


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Python's garbage collector walks all objects over and over while many are made: seconds, for 100,000 images."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
