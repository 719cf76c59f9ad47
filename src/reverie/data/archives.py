"""Places that files are read from: a folder, or a zip, of which nothing touches the disk."""

import contextlib
import errno
import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from reverie.data import file_types
from reverie.data.file_types import InvalidFile, UnreadableFile
from reverie.utils.errors import UserError

_IGNORED = frozenset(("__macosx", "thumbs.db", "desktop.ini"))
_OF_RUN, _RUN = "run.json", "a run of reverie"


class Dropped(NamedTuple):
    """A file that is not used, and why: a few words that group, then perhaps a colon and detail."""

    name: str
    reason: str


class FileTree(Protocol):
    """A place that files are read from: a folder or a zip."""

    place: str  # absolute, to remember scans by
    stamps: dict[str, str]  # name (with forward slashes) -> what changes when the file does; in no order
    skipped: list[Dropped]  # what cannot, or shall not, even be looked at

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises InvalidFile, and UnreadableFile for what may pass."""

    def close(self) -> None: ...


class FolderTree:
    """The files below a folder, or only those named."""

    def __init__(self, root: Path, only: Iterable[str] = ()) -> None:
        self.root = root
        self.place = str(root.resolve())
        self.stamps: dict[str, str] = {}
        self.skipped: list[Dropped] = []
        for name in only:
            self.stamps[name] = _stamp((root / name).stat())
        if not self.stamps:
            self._walk(str(root), "", (os.path.realpath(root),))

    def _walk(self, folder: str, prefix: str, above: tuple[str, ...]) -> None:
        """Collect the files of a folder; `above` are the real paths of the folders that led here, itself included."""
        try:
            with os.scandir(folder) as entries:
                found = [entry for entry in entries if not is_ignored(entry.name)]
        except OSError as error:
            if not prefix:
                raise UserError(f"cannot read folder {folder}: {error.strerror}") from None
            self.skipped.append(Dropped(prefix, f"unreadable folder: {error.strerror}"))
            return
        if prefix and any(entry.name == _OF_RUN for entry in found) and is_run(folder):
            self.skipped.append(Dropped(prefix, _RUN))
            return
        for entry in found:
            name = prefix + entry.name
            try:
                if entry.is_dir():
                    self._enter(entry, name, above)
                elif entry.is_file():
                    self.stamps[name] = _stamp(entry.stat())
                elif entry.is_symlink():
                    self.skipped.append(Dropped(name, "broken link"))
            except OSError as error:
                self.skipped.append(Dropped(name, f"unreadable: {error.strerror}"))

    def _enter(self, entry: "os.DirEntry[str]", name: str, above: tuple[str, ...]) -> None:
        real = os.path.realpath(entry.path) if entry.is_symlink() else f"{above[-1]}{os.sep}{entry.name}"
        if any(up == real or up.startswith(real.rstrip(os.sep) + os.sep) for up in above):
            self.skipped.append(Dropped(name, "link to a folder above it"))
        else:
            self._walk(entry.path, f"{name}/", (*above, real))

    def read(self, name: str) -> bytes:
        path = self.root / name
        try:
            if path.stat().st_size > file_types.MAX_BYTES:
                raise InvalidFile("larger than 512 MB")
            return path.read_bytes()
        except OSError as error:
            raise UnreadableFile(f"unreadable: {error.strerror or error}") from None
        except MemoryError:
            raise UnreadableFile("not enough memory") from None

    def close(self) -> None:
        pass


class ZipTree:
    """The members of a zip, read in memory."""

    def __init__(self, path: Path) -> None:
        self.place = str(path.resolve())
        self.stamps: dict[str, str] = {}
        self.skipped: list[Dropped] = []
        try:
            stamp = _stamp(path.stat())
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or "it is damaged or cut short"
            raise UserError(f"cannot open {path} as a zip: {why}; copy or download it again") from None
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            parts = [part for part in _name_of(member).replace("\\", "/").split("/") if part not in ("", ".", "..")]
            if not member.is_dir() and parts and not any(map(is_ignored, parts)):
                self._members["/".join(parts)] = member
        self._leave_runs()
        # the zip's own stamp: a zip that changed is scanned anew as a whole
        self.stamps = dict.fromkeys(self._members, stamp)

    def _leave_runs(self) -> None:
        """As in the folder that the zip was made of."""
        for name in [name for name in self._members if name.endswith(f"/{_OF_RUN}")]:
            with contextlib.suppress(InvalidFile):
                if name in self._members and _tells_run(self.read(name)):
                    run = name.removesuffix(_OF_RUN)
                    self._members = {name: m for name, m in self._members.items() if not name.startswith(run)}
                    self.skipped.append(Dropped(run, _RUN))

    def read(self, name: str) -> bytes:
        member = self._members[name]
        if member.file_size > file_types.MAX_BYTES:
            raise InvalidFile("larger than 512 MB")
        if member.flag_bits & 1:
            raise InvalidFile("encrypted in the zip")
        try:
            return self._zip.read(member)
        except Exception as error:  # zlib, lzma, bz2 and zipfile each raise their own for damaged members
            if isinstance(error, MemoryError) or getattr(error, "errno", None) not in (None, errno.EINVAL):
                # the disk's own errors have a number; a seek to where a damaged zip points is refused as EINVAL
                raise UnreadableFile(f"unreadable: {getattr(error, 'strerror', None) or 'not enough memory'}") from None
            raise InvalidFile(f"damaged in the zip: {' '.join(str(error).split())[:80]}") from None

    def close(self) -> None:
        pass  # kept open for the next draw; closed with the object


def _name_of(member: zipfile.ZipInfo) -> str:
    """A member's name; many programs write UTF-8 and do not say so, which is then read as the code page of DOS."""
    if not member.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            return member.filename.encode("cp437").decode("utf-8")
    return member.filename


def files_below(root: Path) -> Iterator[str]:
    """The names of the files below a folder, without their folders, as they are found; none of a run of reverie."""
    for folder, folders, files in os.walk(root):
        if folder != str(root) and _OF_RUN in files and is_run(folder):
            folders.clear()
        else:
            yield from files


def is_run(folder: str) -> bool:
    """Whether a folder is a run of reverie: what it holds is made from data, and is none."""
    try:
        return _tells_run(Path(folder, _OF_RUN).read_bytes())
    except OSError:
        return False


def _tells_run(data: bytes) -> bool:
    """Whether this is the run.json of a run of reverie; other programs have files of that name."""
    try:
        about = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(about, dict) and about.keys() >= {"method", "config", "train", "data"}


def _stamp(stat: os.stat_result) -> str:
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _IGNORED
