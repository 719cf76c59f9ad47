"""The cache: decoded pixels as memory-mapped arrays, and what scans of folders found.

Everything is in one folder, `platformdirs.user_cache_dir("reverie")` or the environment variable REVERIE_CACHE, and
may be deleted at any time. Files are written under a temporary name, synced and renamed, so a reader sees a complete
file or none; a lock file keeps two processes from building the same array at once. A damaged file is built again.
"""

import contextlib
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
import platformdirs
from filelock import FileLock

from reverie.data.file_types import InvalidFile, UnreadableFile, quiet_pillow
from reverie.utils.atomic_files import read_checked, write_checked
from reverie.utils.errors import UserError
from reverie.utils.progress_bar import bar

T = TypeVar("T")
R = TypeVar("R")

_HEADER = 128  # bytes of the .npy header; fixed, so that the number of rows can be written last
_CHUNK = 32  # items to a task: one task for each image would cost more than decoding a small image does


class CachedArray(NamedTuple):
    """The decoded pixels of a set of items."""

    pixels: np.ndarray
    """uint8 [N,H,W,C], mapped from disk"""
    kept: list[int]
    """the item that each row of `pixels` is of"""
    faults: dict[int, str]
    """item -> why decoding dropped it"""


def cache_folder() -> Path:
    """The cache folder, which need not exist yet."""
    override = os.environ.get("REVERIE_CACHE")
    return Path(override).expanduser() if override else Path(platformdirs.user_cache_dir("reverie", appauthor=False))


def workers() -> int:
    """The number of threads that decode."""
    return min(8, os.cpu_count() or 1)


def map_in_order(function: Callable[[T], R], items: Sequence[T], what: str) -> Generator[R, None, None]:
    """function(item) for each item, computed by threads, yielded in order, with a bounded number in flight.

    what: label of the progress bar, which a terminal shows once it takes more than a second
    """

    def task(part: Sequence[T]) -> list[R]:
        return [function(item) for item in part]

    parts = (items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK))
    progress = bar(None, len(items), what)
    with quiet_pillow(), progress, ThreadPoolExecutor(workers()) as pool:
        in_flight: deque[Future[list[R]]] = deque(pool.submit(task, part) for part in islice(parts, 4 * workers()))
        try:
            while in_flight:
                done = in_flight.popleft().result()
                in_flight.extend(pool.submit(task, part) for part in islice(parts, 1))
                yield from done
                progress.update(len(done))
        finally:  # reached early if the reader stops or on Ctrl-C: do not wait for tasks that have not begun
            for future in in_flight:
                future.cancel()


def load_or_build(
    key: str, names: Sequence[str], shape: tuple[int, int, int], decode: Callable[[int], np.ndarray]
) -> CachedArray:
    """The array that is cached under `key`; if there is none, it is built.

    key: file name; everything that the pixels depend on must be part of it
    names: of the items, for error messages
    shape: (H, W, C) of each item
    decode: i -> item i as uint8 [H,W,C]; an item for which it raises InvalidFile is left out, see `faults`

    Raises UserError if `decode` raises UnreadableFile, or the cache cannot be written.
    """
    if (found := _load(key, shape)) is not None:
        return found
    try:
        base = cache_folder() / "images"
        base.mkdir(parents=True, exist_ok=True)
        with FileLock(base / f"{key}.lock"):
            found = _load(key, shape)  # another process may have built it while this one waited
            if found is None:
                _build(base, key, names, shape, decode)
                found = _load(key, shape)
    except OSError as error:  # reading the images raises InvalidFile, so this one is from the cache
        _cannot_write(error, len(names) * int(np.prod(shape)))
    if found is None:
        raise UserError(
            f"the image cache in {cache_folder()} does not keep what is written: set REVERIE_CACHE to another folder"
        )
    return found


def _build(
    base: Path, key: str, names: Sequence[str], shape: tuple[int, int, int], decode: Callable[[int], np.ndarray]
) -> None:
    """Decode all items into base/key.npy, and list in base/key.json which of them it holds. The caller has the lock."""
    for stale in base.glob(f"{key}.*.part"):  # of processes that were killed: as we hold the lock, none is at work
        stale.unlink(missing_ok=True)

    def attempt(i: int) -> np.ndarray | str:
        return _decode_or_reason(i, names[i], shape, decode)

    kept: list[int] = []
    faults: dict[int, str] = {}
    part = base / f"{key}.{os.getpid()}.part"
    try:
        with part.open("wb") as file:
            file.write(bytes(_HEADER))
            # closed at once on any error, so that no thread still reads when this returns
            with contextlib.closing(map_in_order(attempt, range(len(names)), "decoding")) as results:
                for i, result in enumerate(results):
                    if isinstance(result, str):
                        faults[i] = result
                    else:
                        file.write(result.tobytes())
                        kept.append(i)
            file.seek(0)
            file.write(_npy_header((len(kept), *shape)))
            _sync(file)
        checksum = _sampled_checksum(part)
        part.replace(base / f"{key}.npy")
    finally:
        part.unlink(missing_ok=True)
    # written last: an array without its list counts as not built
    write_json(base / f"{key}.json", {"kept": kept, "faults": faults, "sample": checksum})


def _decode_or_reason(
    i: int, name: str, shape: tuple[int, int, int], decode: Callable[[int], np.ndarray]
) -> np.ndarray | str:
    """The pixels of item i, or why it is dropped. Raises UserError if the file cannot be read at present."""
    try:
        pixels = decode(i)
    except UnreadableFile as fault:  # the cache holds only what follows from the bytes, as its key does
        raise UserError(
            f"cannot read {name} now ({fault}): correct that and repeat the command; a file that still cannot be "
            "opened is then left out"
        ) from None
    except InvalidFile as invalid:
        return str(invalid)
    if pixels.shape != shape:  # or all rows after it would be at other offsets than the header says
        raise RuntimeError(f"{name} was decoded as {pixels.shape}, not {shape}")
    return pixels


def _load(key: str, shape: tuple[int, int, int]) -> CachedArray | None:
    """The cached array; None if there is none, or it is damaged."""
    base = cache_folder() / "images"
    record = read_json(base / f"{key}.json")
    try:
        kept, faults = list(record["kept"]), {int(i): str(why) for i, why in record["faults"].items()}
        path = base / f"{key}.npy"
        if not kept:
            pixels = np.empty((0, *shape), np.uint8)  # nothing to map
        elif _sampled_checksum(path) == record["sample"]:
            pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return (
        CachedArray(pixels, kept, faults) if pixels.shape == (len(kept), *shape) and pixels.dtype == np.uint8 else None
    )


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """The header of a version 1.0 .npy file of uint8, padded to _HEADER bytes for every shape."""
    text = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode("latin1")
    return b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little") + text.ljust(_HEADER - 11) + b"\n"


def _sampled_checksum(path: Path) -> str:
    """A hash of a file's length, both ends and 62 blocks between.

    It finds what crashes and full disks leave behind (missing tails, blocks of zeros) at once, where hashing gigabytes
    would take seconds.
    """
    block = 4096
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256(str(size).encode())
        for k in range(64):
            file.seek(max(0, size - block) * k // 63)
            digest.update(file.read(block))
    return digest.hexdigest()


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _cannot_write(error: OSError, size: int) -> NoReturn:
    raise UserError(
        f"cannot write the image cache in {cache_folder()} ({error.strerror or error}; it needs {size / 1e6:.0f} MB): "
        "make room there, or set REVERIE_CACHE to another folder"
    ) from None


def write_json(path: Path, record: Any) -> None:
    """Write a JSON file that `read_json` checks. Raises OSError."""
    write_checked(path, json.dumps(record, separators=(",", ":")).encode())


def read_json(path: Path) -> Any:
    """What `write_json` wrote; {} if the file is missing or damaged."""
    body = read_checked(path)
    try:
        return json.loads(body) if body else {}
    except ValueError:
        return {}


def load_memo(place: str) -> dict[str, Any]:
    """What `save_memo` stored for a place (an absolute path or any other key); {} if nothing."""
    record = read_json(_memo_path(place))
    return record if isinstance(record, dict) else {}


def save_memo(place: str, record: dict[str, Any]) -> None:
    """Store what was found at a place. If the cache cannot be written, it is found again next time."""
    with contextlib.suppress(OSError):
        write_json(_memo_path(place), record)


def delete_memo(place: str) -> None:
    """Delete what was stored for a place."""
    with contextlib.suppress(OSError):
        _memo_path(place).unlink(missing_ok=True)


def _memo_path(place: str) -> Path:
    return cache_folder() / "scans" / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"
