"""Files that are written whole or not at all, and disk errors as messages for the user."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import safetensors

from reverie.utils.errors import UserError

LONGEST_NAME = 240
"""bytes of a file's name that its temporary name may begin with; file systems allow 255 in all"""
STALE = 3600.0
"""seconds after which a temporary file that nobody has written to is taken for what a killed process left"""


def sha256(path: Path) -> str:
    """The hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def flush(path: Path) -> None:
    """Forces a file or folder to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders, and orders renames itself
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yields a path to write a file to; when the block ends without error, it replaces `path` in one move.

    No other process or thread has the same temporary path. A link at `path` is replaced, not what it points to.
    durable: whether the content is on the disk before the move; what others that were killed left is then removed too
    """
    name = (
        path.name
        if len(os.fsencode(path.name)) <= LONGEST_NAME
        else hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    )
    fresh = path.with_name(f"{name}.{secrets.token_hex(4)}.new")
    try:
        yield fresh
        if durable:
            flush(fresh)
            _remove_stale(path.parent, name)
        fresh.replace(path)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether a file has a name as `replacing` yields them."""
    return re.search(r"\.[0-9a-f]{8}\.new$", name) is not None


def _remove_stale(folder: Path, name: str) -> None:
    """Removes what processes that were killed left of a file."""
    for file in folder.iterdir():
        if file.name.startswith(f"{name}.") and is_temporary(file.name):
            with contextlib.suppress(OSError):  # another process has removed it, or it is of another user
                if time.time() - file.stat().st_mtime > STALE:
                    file.unlink()


def replace_bytes(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all; missing folders are made. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=False) as fresh:
        fresh.write_bytes(data)


def replace_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with replacing(path) as fresh:
        fresh.write_bytes(text.encode("utf-8", "replace"))


def write_checked(path: Path, body: bytes) -> None:
    """Writes a file whose first line is the SHA-256 of the rest; missing folders are made. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as fresh:
        fresh.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def read_checked(path: Path) -> bytes | None:
    """What `write_checked` wrote; None if the file is missing or damaged."""
    try:
        digest, _, body = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return body if hashlib.sha256(body).hexdigest().encode() == digest else None


def link(file: Path, place: Path) -> None:
    """Puts a file at a second place too, in one move: as a hard link where the file system has them, else as a copy."""
    if place.exists() and place.samefile(file):
        return
    with replacing(place, durable=False) as fresh:
        try:
            fresh.hardlink_to(file)
        except OSError:  # not every file system has links
            shutil.copyfile(file, fresh)
            flush(fresh)


class disk_errors:
    """Inside, a full or read-only disk raises UserError; `undo` first removes what was half written.

    where: the folder or file that the message names
    """

    def __init__(self, where: Path, undo: Callable[[], None] | None = None) -> None:
        self.where, self.undo = where, undo

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if error is not None and self.undo:
            self.undo()
        # torch and safetensors report a full disk by errors of their own
        text = str(error).lower()
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
        if full or (isinstance(error, (RuntimeError, safetensors.SafetensorError)) and _is_write_failure(text)):
            raise UserError(
                f"the disk of {self.where} is full; what was saved is intact: free some space, then do the same again, "
                "or `reverie resume` a run."
            ) from None
        if isinstance(error, OSError):
            raise UserError(
                f"{self.where} cannot be written ({error.strerror or error}); check the path and its permissions."
            ) from None


def _is_write_failure(text: str) -> bool:
    return any(
        sign in text for sign in ("no space", "write failed", "unexpected pos", "os error 28", "pytorchstreamwriter")
    )
