"""Where images lie, and what the places say of them: folders, zips, and (see arrays.py) idx and CIFAR files.

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
* Links to files are read; a link to a folder that leads back above itself is not followed. Members of a zip are read
  in memory: their names never touch the disk.
"""

import contextlib
import gc
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from reverie.data import cache, decode
from reverie.data.decode import Head, Unfit
from reverie.errors import UserError

_SPLITS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
_IGNORED = frozenset(("__macosx", "thumbs.db", "desktop.ini"))


class Dropped(NamedTuple):
    """A file that is not used, and why: a few words that group, then perhaps a colon and detail."""

    name: str
    reason: str


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

    def close(self) -> None:
        """Let go of files and of arrays read into memory; draw may still be called."""


class Box(Protocol):
    """A place that files are read from: a folder or a zip."""

    place: str  # absolute, to remember scans by
    stamps: dict[str, str]  # name (with forward slashes) -> what changes when the file does; in no order
    unread: list[Dropped]  # what cannot even be looked at

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises Unfit."""

    def close(self) -> None: ...


class FolderBox:
    """The files below a folder, or only those named."""

    def __init__(self, root: Path, only: Iterable[str] = ()) -> None:
        self.root = root
        self.place = str(root.resolve())
        self.stamps: dict[str, str] = {}
        self.unread: list[Dropped] = []
        for name in only:
            self.stamps[name] = _stamp((root / name).stat())
        if not self.stamps:
            self._walk(str(root), "", (os.path.realpath(root),))

    def _walk(self, folder: str, prefix: str, above: tuple[str, ...]) -> None:
        """Collect the files of a folder; `above` are the real paths of the folders that led here, itself included."""
        try:
            with os.scandir(folder) as entries:
                found = [entry for entry in entries if not _ignored(entry.name)]
        except OSError as error:
            if not prefix:
                raise UserError(f"cannot read folder {folder}: {error.strerror}") from None
            self.unread.append(Dropped(prefix, f"unreadable folder: {error.strerror}"))
            return
        for entry in found:
            name = prefix + entry.name
            try:
                if entry.is_dir():
                    self._enter(entry, name, above)
                elif entry.is_file():
                    self.stamps[name] = _stamp(entry.stat())
                elif entry.is_symlink():
                    self.unread.append(Dropped(name, "broken link"))
            except OSError as error:
                self.unread.append(Dropped(name, f"unreadable: {error.strerror}"))

    def _enter(self, entry: "os.DirEntry[str]", name: str, above: tuple[str, ...]) -> None:
        real = os.path.realpath(entry.path) if entry.is_symlink() else f"{above[-1]}{os.sep}{entry.name}"
        if any(up == real or up.startswith(real.rstrip(os.sep) + os.sep) for up in above):
            self.unread.append(Dropped(name, "link to a folder above it"))
        else:
            self._walk(entry.path, f"{name}/", (*above, real))

    def read(self, name: str) -> bytes:
        path = self.root / name
        try:
            if path.stat().st_size > decode.MAX_BYTES:
                raise Unfit("larger than 512 MB")
            return path.read_bytes()
        except OSError as error:
            raise Unfit(f"unreadable: {error.strerror or error}") from None

    def close(self) -> None:
        pass


class ZipBox:
    """The members of a zip, read in memory."""

    def __init__(self, path: Path) -> None:
        self.place = str(path.resolve())
        self.stamps: dict[str, str] = {}
        self.unread: list[Dropped] = []
        try:
            stamp = _stamp(path.stat())
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or "it is damaged or cut short"
            raise UserError(f"cannot open {path} as a zip: {why}; copy or download it again") from None
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            parts = [part for part in member.filename.replace("\\", "/").split("/") if part not in ("", ".", "..")]
            if not member.is_dir() and parts and not any(map(_ignored, parts)):
                self._members["/".join(parts)] = member
        # the zip's own stamp: a zip that changed is scanned anew as a whole
        self.stamps = dict.fromkeys(self._members, stamp)

    def read(self, name: str) -> bytes:
        member = self._members[name]
        if member.file_size > decode.MAX_BYTES:
            raise Unfit("larger than 512 MB")
        if member.flag_bits & 1:
            raise Unfit("encrypted in the zip")
        try:
            return self._zip.read(member)
        except Exception as error:  # zlib, lzma, bz2 and zipfile each raise their own for damaged members
            raise Unfit(f"damaged in the zip: {' '.join(str(error).split())[:80]}") from None

    def close(self) -> None:
        pass  # kept open for the next draw; closed with the object


class FileSource:
    """Image files in a box."""

    def __init__(self, box: Box, title: str) -> None:
        self.box = box
        heads, dropped = scan(box)
        with _no_collection():
            self.classes, self.parts = arrange(heads, dropped, title)

    def draw(self, item: Item, size: int, channels: int) -> np.ndarray:
        return decode.decode(self.box.read(item.name), size, channels)

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


def _remember(place: str, table: dict[str, tuple[str, Head]]) -> None:
    """Keep a scan, by columns; of headers, which are much alike, each kind once: a tenth of the time to load."""
    kinds = {head[1:]: 0 for _, head in table.values()}
    kinds = {kind: i for i, kind in enumerate(kinds)}
    record = {
        "version": decode.VERSION,
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
    if record.get("version") != decode.VERSION:
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
        split = _SPLITS.get(top.lower()) if slash else None
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


def _stamp(stat: os.stat_result) -> str:
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _IGNORED


def _wrapper(names: list[str]) -> str:
    """The folders that enclose all images and are not named as a split, with a slash at the end; perhaps none."""
    first, last = min(names), max(names)  # what these two share, all share
    wrapper = ""
    for one, other in zip(first.split("/")[:-1], last.split("/")[:-1], strict=False):
        if one != other or one.lower() in _SPLITS:
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


def _stamp(stat: os.stat_result) -> str:
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _IGNORED


def _wrappers(paths: list[list[str]]) -> int:
    """How many folders enclose all images and are not named as a split."""
    first, last = min(paths), max(paths)  # what these two share, all share
    shared = 0
    while shared < min(len(first), len(last)) - 1 and first[shared] == last[shared]:
        if first[shared].lower() in _SPLITS:
            break
        shared += 1
    return shared


def _splits(paths: list[list[str]]) -> Callable[[str], str | None]:
    """Top-level folder -> split; None for what lies outside the splits. Without a train folder all is train."""
    tops = {path[0].lower() for path in paths if len(path) > 1}
    if "train" not in tops:
        return lambda top: "train"
    return lambda top: _SPLITS.get(top.lower())
