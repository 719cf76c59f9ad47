"""Public data sets by name: downloaded once, verified against a registered SHA-256, and kept in the cache folder.

Only files whose SHA-256 is confirmed by independent public sources are registered. Nothing is unpickled, and no file is
used before its hash is verified.

Why not pooch (read at 1.9.0): it deletes a partial file instead of resuming it, takes one URL for a file (no mirrors),
has no lock between processes and no limit when it unpacks; all of that would stay here, and requests, urllib3, certifi,
idna and charset-normalizer would be added.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from tqdm import tqdm

from reverie.data.cache import cache_folder
from reverie.utils.atomic_files import flush, replace_text, sha256
from reverie.utils.errors import UserError, near_miss

TIMEOUT = 30.0  # seconds that a connection may stay silent
PAUSES = (0.5, 2.0, 5.0)  # seconds before the second, third and fourth attempt at one URL
LOCK_TIMEOUT = 3600.0  # seconds to wait for another process that fetches the same set
UNPACK_LIMIT = 4 << 30  # bytes that one archive may unpack to
CHUNK = 1 << 18
WEIGHTS = "weights"  # the folder of files of weights within the cache
MARKER = ".complete.json"  # written last: a folder that has it is complete


@dataclass(frozen=True)
class PublicFile:
    """One file to download."""

    urls: tuple[str, ...]
    """mirrors, tried in this order"""
    sha256: str
    """64 hex digits"""
    bytes: int
    """its size"""

    @property
    def name(self) -> str:
        """The file's name, the last part of its first URL."""
        return urlsplit(self.urls[0]).path.rpartition("/")[2]


@dataclass(frozen=True)
class PublicSet:
    """One data set to download."""

    name: str
    title: str
    """what it holds, in one line"""
    note: str
    """author and licence"""
    files: tuple[PublicFile, ...]
    unpack: bool = False
    """whether the files are tar.gz archives to unpack"""


def _idx(*bases: str, hashes: tuple[tuple[str, int], ...]) -> tuple[PublicFile, ...]:
    """The four files of an MNIST-like set: training images and labels, test images and labels."""
    names = (
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    )
    return tuple(
        PublicFile(tuple(base + name for base in bases), sha256, size)
        for name, (sha256, size) in zip(names, hashes, strict=True)
    )


def _cifar(classes: int, sha256: str, size: int) -> PublicSet:
    """CIFAR-10 or CIFAR-100 in the author's binary format, which needs no unpickling."""
    return PublicSet(
        f"cifar{classes}",
        f"CIFAR-{classes}: photographs, 32x32 colour, {classes} classes, 50,000 + 10,000",
        "Krizhevsky, 2009; no licence stated, the author asks to be cited",
        (PublicFile((f"https://www.cs.toronto.edu/~kriz/cifar-{classes}-binary.tar.gz",), sha256, size),),
        unpack=True,
    )


_SETS = (
    PublicSet(
        "mnist",
        "MNIST: handwritten digits, 28x28 grey, 10 classes, 60,000 + 10,000",
        "LeCun, Cortes and Burges; CC BY-SA 3.0",
        _idx(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            hashes=(
                ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9912422),
                ("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28881),
                ("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1648877),
                ("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4542),
            ),
        ),
    ),
    PublicSet(
        "fashion-mnist",
        "Fashion-MNIST: articles of clothing, 28x28 grey, 10 classes, 60,000 + 10,000",
        "Zalando Research; MIT licence",
        _idx(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            hashes=(
                ("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", 26421880),
                ("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29515),
                ("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4422102),
                ("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5148),
            ),
        ),
    ),
    PublicSet(
        "kmnist",
        "Kuzushiji-MNIST: cursive Japanese characters, 28x28 grey, 10 classes, 60,000 + 10,000",
        "ROIS-DS Center for Open Data in the Humanities; CC BY-SA 4.0",
        _idx(
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            hashes=(
                ("51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4", 18165135),
                ("e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17", 29497),
                ("edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5", 3041136),
                ("20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c", 5120),
            ),
        ),
    ),
    _cifar(10, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170052171),
    _cifar(100, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec", 168513733),
)
PUBLIC: dict[str, PublicSet] = {entry.name: entry for entry in _SETS}


def fetch(name: str, *, progress: bool | None = None, wait: Callable[[float], Any] = time.sleep) -> Path:
    """The local folder with the verified files of the data set `name`, which is downloaded if it is not there yet.

    The files are directly in the folder: `train-images-idx3-ubyte.gz` and the three other files of the MNIST-like sets,
    the content of the archive (`data_batch_1.bin`, ..., `train.bin`, ...) of the CIFARs. For a data set that is
    complete the network is not used.

    progress: whether to show a bar on stderr; None: only on a terminal
    wait: called with the seconds to pause before a URL is tried again

    Raises UserError for an unknown name, and if the data set cannot be downloaded, verified, unpacked or written.
    """
    if name not in PUBLIC:
        raise UserError(
            f"no data set to download is called '{name}'; there are {', '.join(PUBLIC)}.{near_miss(name, [*PUBLIC])}"
        )
    entry, home = PUBLIC[name], cache_folder() / "public"
    show = sys.stderr.isatty() if progress is None else progress
    if not _is_complete(home / name, entry):
        with _locked(home, name, name):
            if not _is_complete(home / name, entry):  # another process may have filled it while this one waited
                _fill(home, entry, show, wait)
    return home / name


def fetch_file(file: PublicFile, title: str, by_hand: str) -> Path:
    """The path in the cache of one verified file, such as weights, which is downloaded if it is not there yet.

    title: what it is, and by_hand: what else a user can do, for messages. Raises UserError if it cannot be downloaded,
    verified or written.
    """
    home = cache_folder() / WEIGHTS
    target = home / file.name
    if not _is_verified(target, file):
        with _locked(home, file.name, title):
            if not _is_verified(target, file):  # as above
                print(f"downloading {title} ({file.bytes / 1e6:.0f} MB, once)", file=sys.stderr)
                _get(file, home, title, sys.stderr.isatty(), time.sleep, by_hand)
    return target


@contextlib.contextmanager
def _locked(home: Path, name: str, title: str) -> Iterator[None]:
    """Inside, this process alone fills home/name. Raises UserError if another one does not end, or nothing can be
    written."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / f"{name}.lock", timeout=LOCK_TIMEOUT):
            yield
    except Timeout as error:
        raise UserError(
            f"another process has been downloading {title} for an hour; end it, or delete {error.lock_file}."
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"cannot store {title} in {home}: {reason}; free space there, or set REVERIE_CACHE to another folder."
        ) from error


def _fill(home: Path, entry: PublicSet, show: bool, wait: Callable[[float], Any]) -> None:
    """Complete the data set in a folder beside its place, then rename it. The caller holds the lock."""
    target, partial, unpacked = home / entry.name, home / f"{entry.name}.partial", home / f"{entry.name}.unpacked"
    if target.exists() and any(target.iterdir()) and not (target / MARKER).exists():
        raise UserError(f"{target} holds files that reverie did not put there; move that folder away and try again.")
    partial.mkdir(exist_ok=True)
    for file in entry.files:
        _get(file, partial, entry.name, show, wait)
    ready = partial
    if entry.unpack:
        shutil.rmtree(unpacked, ignore_errors=True)
        for file in entry.files:
            _unpack(partial / file.name, unpacked)
        ready = _inside_single_folder(unpacked)
    _mark(ready, entry)
    if target.exists():
        shutil.rmtree(target)
    ready.rename(target)
    for leftover in (partial, unpacked):
        shutil.rmtree(leftover, ignore_errors=True)


# --- one file over the network --------------------------------------------------------------------------------------


class _Failed(Exception):
    """One attempt at one URL failed. `final`: another attempt cannot help. `drop`: the partial file cannot be used."""

    def __init__(self, reason: str, *, final: bool = False, drop: bool = False) -> None:
        super().__init__(reason)
        self.final, self.drop = final, drop


BY_HAND = "download the files by hand into a folder and pass its path with --data"


def _get(
    file: PublicFile, folder: Path, title: str, show: bool, wait: Callable[[float], Any], by_hand: str = BY_HAND
) -> None:
    """Download one file into the folder and verify it, from the first mirror that serves it correctly."""
    target, part = folder / file.name, folder / f"{file.name}.part"
    if _is_verified(target, file):
        return
    failures = []
    for url in file.urls:
        for pause in (*PAUSES, None):
            try:
                _verify(part, file, fresh=_pull(url, part, file, show))
                part.replace(target)
                return
            except _Failed as failure:
                if failure.drop:
                    part.unlink(missing_ok=True)
                if failure.final or pause is None:
                    failures.append(f"{url} ({failure})")
                    break
                wait(pause)
    raise UserError(
        f"cannot download {file.name} of {title}: {'; '.join(failures)}; check the network and try again, or {by_hand}."
    )


def _pull(url: str, part: Path, file: PublicFile, show: bool) -> bool:
    """Append to `part` the bytes that it lacks. Returns whether the complete file came in this one request."""
    received = part.stat().st_size if part.exists() else 0
    if received == file.bytes:
        return False
    if received > file.bytes:
        received = 0
    with _open(url, received) as reply:
        received = _start(reply, received, file)
        fresh = received == 0
        bar = tqdm(total=file.bytes, initial=received, unit="B", unit_scale=True, desc=file.name, disable=not show)
        with part.open("wb" if fresh else "ab") as out, bar:
            while chunk := _read(reply):
                received += len(chunk)
                if received > file.bytes:
                    raise _Failed(f"more than the {file.bytes} bytes expected", final=True, drop=True)
                out.write(chunk)
                bar.update(len(chunk))
            out.flush()
            os.fsync(out.fileno())
    if received < file.bytes:
        raise _Failed(f"the connection ended after {received} of {file.bytes} bytes")
    return fresh


def _start(reply: http.client.HTTPResponse, received: int, file: PublicFile) -> int:
    """The byte that the reply's body starts at: `received` if the server resumes, 0 if it sends the complete file."""
    if reply.status == 206 and not reply.headers.get("Content-Range", "").startswith(f"bytes {received}-"):
        raise _Failed("the server resumed at the wrong byte", drop=True)
    start = received if reply.status == 206 else 0
    length = reply.headers.get("Content-Length", "")
    if length.isdigit() and start + int(length) != file.bytes:
        raise _Failed(f"the server's file has {start + int(length)} bytes, expected {file.bytes}", final=True)
    return start


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _http_only(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _http_only(url: str) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise _Failed(f"{url} is neither http nor https", final=True)


def _open(url: str, start: int) -> http.client.HTTPResponse:
    """The server's reply for the file from byte `start` on."""
    _http_only(url)
    headers = {"User-Agent": "reverie", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.build_opener(_HttpOnly).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        # 416: the server does not have this range, so the partial file is not part of its file.
        final = 400 <= error.code < 500 and error.code not in (408, 416, 429)
        raise _Failed(f"HTTP {error.code}", final=final, drop=error.code == 416) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Failed(str(getattr(error, "reason", error)) or type(error).__name__) from None


def _read(reply: http.client.HTTPResponse) -> bytes:
    """The next chunk of the body. Network errors become _Failed here, so that any other OSError is from the disk."""
    try:
        return reply.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Failed(str(error) or type(error).__name__) from None


def _is_verified(path: Path, file: PublicFile) -> bool:
    """Whether a complete file is there."""
    return path.is_file() and path.stat().st_size == file.bytes and sha256(path) == file.sha256


def _verify(part: Path, file: PublicFile, *, fresh: bool) -> None:
    """Check the SHA-256. If it is wrong, a file that took several requests (not `fresh`) gets another attempt."""
    got = sha256(part)
    if got != file.sha256:
        raise _Failed(f"SHA-256 expected {file.sha256}, got {got}", final=fresh, drop=True)


# --- archives and the finished folder -------------------------------------------------------------------------------


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar.gz of plain files and folders into `folder`; nothing outside it, and no more than the limit."""
    if not hasattr(tarfile, "data_filter"):
        raise UserError(f"this Python cannot unpack {archive.name} safely; update to 3.10.12, 3.11.4, 3.12 or later.")
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if not (member.isfile() or member.isdir()):
                    raise UserError(
                        f"{archive.name} holds '{member.name}', which is not a plain file; it is not unpacked."
                    )
                total += member.size + tarfile.BLOCKSIZE  # the block limits the number of members as well
                if total > UNPACK_LIMIT:
                    raise UserError(f"{archive.name} unpacks to more than {UNPACK_LIMIT} bytes; it is not unpacked.")
                tar.extract(member, folder, filter="data")
    except tarfile.FilterError as error:
        raise UserError(f"{archive.name} is not unpacked: {error}; download it from a source you trust.") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{archive.name} is not a complete tar.gz ({error}); delete {archive} and try again.") from None


def _inside_single_folder(folder: Path) -> Path:
    """The folder itself, or the only folder in it, as some archives have one around all files."""
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _mark(folder: Path, entry: PublicSet) -> None:
    """Flush all files to the disk, and write their sizes and the registered hashes into the marker."""
    sizes = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARKER):
        flush(path)
        sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    replace_text(folder / MARKER, json.dumps({"sha256": [file.sha256 for file in entry.files], "files": sizes}))


def _is_complete(folder: Path, entry: PublicSet) -> bool:
    """Whether the folder was filled from the files registered today, and each file still has its size."""
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
        return marker["sha256"] == [file.sha256 for file in entry.files] and all(
            (folder / name).stat().st_size == size for name, size in marker["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
