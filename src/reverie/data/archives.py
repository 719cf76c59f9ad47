"""Trees of files that data is read from: a folder, or a zip, whose members are read without unpacking it to disk."""

import contextlib
import errno
import json
import os
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from reverie.data import file_types
from reverie.data.file_types import InvalidFile, UnreadableFile
from reverie.data.zip_members import open_member
from reverie.utils.errors import UserError

_IGNORED = frozenset(
    (
        "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini", "@eadir", "#recycle",
        "$recycle.bin", "system volume information", "lost+found",
    )
)  # fmt: skip
_RUN_FILE = "run.json"  # a folder with this file is a run
_IS_RUN = "a run of reverie"  # why such a folder is skipped

PIECE = 1 << 18
"""bytes read at once"""
ZIP_ERRORS = (
    zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, OverflowError, EOFError, struct.error,
)  # fmt: skip
"""what zipfile raises for files that are damaged, encrypted, of later versions, or lie about their size"""


class Dropped(NamedTuple):
    """A file that is not used."""

    name: str
    """path inside the data set, with forward slashes"""
    reason: str
    """a few words that many files share, perhaps a colon and detail"""


class FileTree(Protocol):
    """A folder or a zip, with all files below it."""

    place: str
    """absolute path, the key that scans of it are cached under"""
    stamps: dict[str, str]
    """name (with forward slashes) -> a string that changes when the file does: size and modification time. Unordered"""
    skipped: list[Dropped]
    """what cannot be listed (unreadable folders, broken links), and runs of reverie, which are not data"""

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises InvalidFile, or UnreadableFile if a retry may work."""

    def head(self, name: str, count: int = 64) -> bytes:
        """The first `count` bytes of a file, or all if there are fewer. Raises InvalidFile as `read` does."""

    def close(self) -> None:
        """Let go of open files; `read` may still be called."""


class FolderTree:
    """The files below a folder, or only those named in `only`. Raises UserError if the folder cannot be read."""

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
        """Collect the files of a folder. `above`: real paths of its parents and itself, to find circular links."""
        try:
            with os.scandir(folder) as entries:
                found = [entry for entry in entries if not is_ignored(entry.name)]
        except OSError as error:
            if not prefix:
                raise UserError(f"cannot read folder {folder}: {error.strerror}") from None
            self.skipped.append(Dropped(prefix, f"unreadable folder: {error.strerror}"))
            return
        if prefix and any(entry.name == _RUN_FILE for entry in found) and is_run(folder):
            self.skipped.append(Dropped(prefix, _IS_RUN))
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
        """Descend into a folder, unless it is a link to one of its parents."""
        real = os.path.realpath(entry.path) if entry.is_symlink() else f"{above[-1]}{os.sep}{entry.name}"
        if any(parent == real or parent.startswith(real.rstrip(os.sep) + os.sep) for parent in above):
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

    def head(self, name: str, count: int = 64) -> bytes:
        try:
            with (self.root / name).open("rb") as file:
                return file.read(count)
        except OSError as error:
            raise UnreadableFile(f"unreadable: {error.strerror or error}") from None

    def close(self) -> None:
        pass


class ZipTree:
    """The members of a zip, unpacked in memory one at a time. Raises UserError if it is not a readable zip."""

    def __init__(self, path: Path) -> None:
        self.place = str(path.resolve())
        self.stamps: dict[str, str] = {}
        self.skipped: list[Dropped] = []
        try:
            stamp = _stamp(path.stat())
            self._zip = zipfile.ZipFile(path)
        except ZIP_ERRORS as error:
            why = getattr(error, "strerror", None) or "it is damaged or truncated"
            raise UserError(f"cannot open {path} as a zip: {why}; copy or download it again") from None
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            components = _name_of(member).replace("\\", "/").split("/")
            parts = [part for part in components if part not in ("", ".", "..")]
            if not member.is_dir() and parts and not any(map(is_ignored, parts)):
                self._members["/".join(parts)] = member
        self._skip_runs()
        # the stamp of the zip itself: a zip that changed is scanned again completely
        self.stamps = dict.fromkeys(self._members, stamp)

    def _skip_runs(self) -> None:
        """Leave out folders that are runs of reverie, as FolderTree does."""
        run_files = [name for name in self._members if name.endswith(f"/{_RUN_FILE}")]
        for name in run_files:
            with contextlib.suppress(InvalidFile):
                if name in self._members and _is_run_json(self.read(name)):
                    run = name.removesuffix(_RUN_FILE)
                    self._members = {name: m for name, m in self._members.items() if not name.startswith(run)}
                    self.skipped.append(Dropped(run, _IS_RUN))

    def read(self, name: str) -> bytes:
        member = self._members[name]
        if member.file_size > file_types.MAX_BYTES:
            raise InvalidFile("larger than 512 MB")
        try:
            with self._open(member) as file:
                return read_at_most(file, member.file_size)
        except Exception as error:  # zlib, lzma, bz2 and zipfile each raise their own for damaged members
            raise _invalid_member(error) from None

    def head(self, name: str, count: int = 64) -> bytes:
        try:
            with self._open(self._members[name]) as file:
                return file.read(count)
        except Exception as error:  # as in read
            raise _invalid_member(error) from None

    def _open(self, member: zipfile.ZipInfo) -> Any:
        if member.flag_bits & 1:
            raise InvalidFile("encrypted in the zip")
        return open_member(self._zip, member)

    def close(self) -> None:
        pass  # kept open for the next read; closed with the object


def read_at_most(file: Any, declared: int, piece: int = PIECE) -> bytes:
    """All that a compressed file unpacks to, read in pieces. Raises InvalidFile if that is more than it declares."""
    content = bytearray()
    while part := file.read(piece):
        content += part
        if len(content) > min(declared, file_types.MAX_BYTES):
            raise InvalidFile("larger than it says, or than 512 MB")
    return bytes(content)


def _invalid_member(error: Exception) -> InvalidFile:
    """What is wrong with a member that raised this: with its bytes, or with the disk or the memory."""
    if isinstance(error, InvalidFile):
        return error
    if isinstance(error, MemoryError) or getattr(error, "errno", None) not in (None, errno.EINVAL):
        # the disk's own errors have a number; a seek to where a damaged zip points is refused as EINVAL
        return UnreadableFile(f"unreadable: {getattr(error, 'strerror', None) or 'not enough memory'}")
    return InvalidFile(f"damaged in the zip: {' '.join(str(error).split())[:80]}")


def is_zip(path: Path) -> bool:
    """Whether a file ends as a zip does."""
    try:
        return zipfile.is_zipfile(path)
    except ZIP_ERRORS:
        return False


def _name_of(member: zipfile.ZipInfo) -> str:
    """A member's name. Many programs write UTF-8 without setting its flag, which zipfile decodes as code page 437."""
    if not member.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            return member.filename.encode("cp437").decode("utf-8")
    return member.filename


def files_below(root: Path) -> Iterator[str]:
    """The names of the files below a folder, without their folders, in no order; runs of reverie are left out."""
    for folder, folders, files in os.walk(root):
        if folder != str(root) and _RUN_FILE in files and is_run(folder):
            folders.clear()
        else:
            yield from files


def is_run(folder: str) -> bool:
    """Whether a folder is a run of reverie: its samples are output, and must not be taken for data."""
    try:
        return _is_run_json(Path(folder, _RUN_FILE).read_bytes())
    except OSError:
        return False


def _is_run_json(data: bytes) -> bool:
    """Whether this is the run.json of reverie; other programs have files of that name too."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.keys() >= {"method", "config", "train", "data"}


def _stamp(stat: os.stat_result) -> str:
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def is_ignored(name: str) -> bool:
    """Whether a file or folder of that name is passed over without a word: hidden, or written by a file manager."""
    return name.startswith(".") or name.lower() in _IGNORED
