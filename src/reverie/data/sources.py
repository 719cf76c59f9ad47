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
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from reverie.data import cache, decode
from reverie.data.boxes import Box, Dropped, FolderBox, ZipBox
from reverie.data.decode import Head, Unfit, Unread
from reverie.errors import UserError

SPLITS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}


class Item(NamedTuple):
    """One image: its name in the source, its class (-1 if unlabelled), its header, its row if in an array."""

    name: str
    label: int
    head: Head
    row: int = -1


class Part(NamedTuple):
    """One split: what can be used as far as headers tell, what cannot, and what is worth saying."""

    items: list[Item]
    dropped: list[Dropped]
    notes: list[str]
    labelled: bool


class Source(Protocol):
    """What Images needs of a place where images are."""

    classes: list[str]
    parts: dict[str, Part]  # in the order train, test, val

    def draw(self, item: Item, size: int, channels: int) -> np.ndarray:
        """The item as uint8 [size, size, channels]. Raises Unfit."""

    def whole(self, item: Item) -> np.ndarray:
        """The item in its own size, uint8 [H,W,C]. Raises Unfit."""

    def close(self) -> None:
        """Let go of files and of arrays read into memory; draw may still be called."""


class FileSource:
    """Image files in a box."""

    def __init__(self, box: Box, title: str) -> None:
        self.box = box
        heads, dropped = scan(box)
        with _no_collection():
            self.classes, self.parts = arrange(heads, dropped, title)

    def draw(self, item: Item, size: int, channels: int) -> np.ndarray:
        return decode.decode(read(self.box, item.name), size, channels)

    def whole(self, item: Item) -> np.ndarray:
        return decode.whole(read(self.box, item.name))

    def close(self) -> None:
        self.box.close()


def open_path(path: Path) -> Source:
    """The source at an existing path. Raises UserError if there are no images, or none that can be used."""
    from reverie.data import arrays

    if path.is_dir():
        box: Box = FolderBox(path)
    elif arrays.is_idx(path.name):
        tables = arrays.single(path)
        names = [name for name in (tables[0].images, tables[0].labels) if name]
        return arrays.ArraySource(FolderBox(path.parent, names), tables, str(path))
    elif zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
        box = ZipBox(path)
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


def scan(box: Box) -> tuple[dict[str, Head], list[Dropped]]:
    """The header of every image file in a box, and the files that are none. Reads only what changed since last time."""
    heads: dict[str, Head] = {}
    fresh: list[str] = []
    dropped = list(box.unread)
    with _no_collection():
        memo = _remembered(box.place)
        for name in sorted(box.stamps):
            if not is_image(name):
                dropped.append(Dropped(name, "not an image file"))
            elif (known := memo.get(name)) and known[0] == box.stamps[name]:
                heads[name] = known[1]
            else:
                fresh.append(name)

    def look(name: str) -> Head:
        try:
            return decode.read_head(box.read(name))
        except Unfit as unfit:
            return Head("", fault=str(unfit))

    if fresh:
        heads.update(zip(fresh, cache.ordered(look, fresh, "reading headers"), strict=True))
        heads = {name: heads[name] for name in sorted(heads)}
    # what could not be read has no hash and is tried again: its stamp does not change when it is permitted
    kept = {name: (box.stamps[name], head) for name, head in heads.items() if head.sha}
    if len(memo) != len(kept) or any(heads[name].sha for name in fresh):
        _remember(box.place, kept)
    return heads, dropped


def read(box: Box, name: str) -> bytes:
    """The bytes of a file that a scan has seen. Raises Unfit, and Unread for what may pass."""
    try:
        return box.read(name)
    except Unread:
        cache.forget(box.place)  # so that the next scan tries it, and drops it if it must
        raise


def _remember(place: str, table: dict[str, tuple[str, Head]]) -> None:
    """Keep a scan, by columns; of headers, which are much alike, each kind once: a tenth of the time to load."""
    kinds = {head[1:]: 0 for _, head in table.values()}
    kinds = {kind: i for i, kind in enumerate(kinds)}
    record = {
        "version": decode.HEADS,
        "names": list(table),
        "stamps": [stamp for stamp, _ in table.values()],
        "shas": [head.sha for _, head in table.values()],
        "kinds": list(kinds),
        "kind": [kinds[head[1:]] for _, head in table.values()],
    }
    cache.save_memo(place, record)


def _remembered(place: str) -> dict[str, tuple[str, Head]]:
    """File name -> stamp and header, as of the last scan of a place; {} if there was none."""
    record = cache.load_memo(place)
    if record.get("version") != decode.HEADS:
        return {}
    kinds = record["kinds"]
    rows = zip(record["names"], record["stamps"], record["shas"], record["kind"], strict=True)
    return {name: (stamp, Head(sha, *kinds[kind])) for name, stamp, sha, kind in rows}


def arrange(heads: dict[str, Head], dropped: list[Dropped], title: str) -> tuple[list[str], dict[str, Part]]:
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

    files: dict[str, list[tuple[str, str, Head]]] = {"train": [], "test": [], "val": []}
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
    parts: dict[str, Part] = {}
    for split, found in files.items():
        if found:
            parts[split], classes = _part(found, lost[split], classes)
    return classes or [], parts


def _part(
    files: list[tuple[str, str, Head]], dropped: list[Dropped], classes: list[str] | None
) -> tuple[Part, list[str]]:
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
        return Part([Item(n, -1, head) for n, _, head in kept], dropped, notes, False), classes or []
    if classes is None:
        classes = sorted(tops, key=natural)
    number = {name: i for i, name in enumerate(classes)}
    dropped += [Dropped(n, f"class not in train: {top}") for n, top, _ in good if top not in number]
    kept = unique([file for file in good if file[1] in number], dropped, lambda top: top)
    return Part([Item(n, number[top], head) for n, top, head in kept], dropped, notes, True), classes


def unique(
    files: Iterable[tuple[str, str, Head]], dropped: list[Dropped], label: Callable[[str], str]
) -> list[tuple[str, str, Head]]:
    """The files whose bytes did not come before; the others are added to `dropped`."""
    first: dict[str, tuple[str, str]] = {}
    kept = []
    for name, top, head in files:
        twin, home = first.setdefault(head.sha, (name, top))
        if twin == name:
            kept.append((name, top, head))
        else:
            other = f", which is labelled '{home}'" if label(top) != label(home) else ""
            dropped.append(Dropped(name, f"duplicate: same as {twin}{other}"))
    return kept


def nothing_usable(title: str, dropped: list[Dropped]) -> str:
    """The line for a source of which every image was dropped: how many, and the commonest reason."""
    reasons = [group(drop.reason) for drop in dropped]
    worst = max(sorted(set(reasons)), key=reasons.count)
    example = next(drop.name for drop in dropped if group(drop.reason) == worst)
    share = f"all {len(reasons)}" if reasons.count(worst) == len(reasons) else f"{reasons.count(worst)} of them"
    return f"none of the {len(reasons)} images in {title} can be used: {share} '{worst}' (such as {example})"


def group(reason: str) -> str:
    """The part of a reason that many files share: `duplicate: same as a.png` is one of `duplicate`."""
    return reason.partition(":")[0]


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key that sorts class names as people do: 2 before 10, letters without regard to case."""
    pieces = re.findall(r"\d+|\D+", text)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in pieces], text


def is_image(name: str) -> bool:
    """Whether a file's extension is that of an image."""
    return name[name.rfind(".") :].lower() in decode.SUFFIXES  # not by Path, which takes a second for 100,000


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
