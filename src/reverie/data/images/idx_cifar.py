"""Images that come as arrays in a few files: idx (MNIST and its kin) and CIFAR's binary batches.

Found in a folder, a zip of one, or as a single idx file; gzipped idx files are read as they are.

* idx: `NAME-images-idx3-ubyte` or `NAME-images.idx3-ubyte`, uint8 [N, H, W], and the labels that belong to it by name,
  `NAME-labels-idx1-ubyte`; with train in the name it is the split train, with t10k or test it is test. Classes are the
  numbers that occur in train's labels. A single idx file is the split train, whatever its name.
* CIFAR: `data_batch_N.bin` and `test_batch.bin`, classes by name from batches.meta.txt if it is there.

Such sets are published as they are and results are quoted on all of them, so repeated images are kept (and noted).
"""

import gzip
import hashlib
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from reverie.data import cache
from reverie.data.archives import Dropped, FileTree
from reverie.data.file_types import InvalidFile
from reverie.data.images import decode
from reverie.data.images.decode import ImageHeader
from reverie.data.images.records import ImageRecord, SplitRecords, natural
from reverie.utils.errors import UserError

_IDX = re.compile(r"idx\d-ubyte(\.gz)?$", re.IGNORECASE)
_IMAGES = re.compile(r"images([-.])idx3-ubyte(\.gz)?$", re.IGNORECASE)
_CIFAR = re.compile(r"(data_batch_\d+|test_batch)\.bin$", re.IGNORECASE)
_CIFAR_RECORD = 1 + 3 * 32 * 32
_LONGEST = 4 * 1024**3  # bytes of one array, unpacked: beyond this the header is not believed


class Table(NamedTuple):
    """One file of images: the split it belongs to and where its labels are ("" if nowhere; CIFAR's hold their own)."""

    split: str
    images: str
    labels: str = ""


class ArraySource:
    """Images in array files. They are unpacked into memory while they are drawn from, a file at a time."""

    def __init__(self, box: FileTree, tables: list[Table], title: str) -> None:
        self.box, self.title = box, title
        self._held: tuple[str, np.ndarray] = ("", np.empty(0))
        memo_of = f"{box.place}:{title}"
        memo = cache.load_memo(memo_of)
        facts = {t.images: self._facts(t, memo.get(t.images)) for t in tables}
        if facts != memo:
            cache.save_memo(memo_of, facts)
        self.close()
        self.classes, names = self._classes(tables, facts)
        self.parts: dict[str, SplitRecords] = {}
        for split in ("train", "test", "val"):
            if mine := [t for t in tables if t.split == split]:
                self.parts[split] = self._part(mine, facts, names)

    def read_square(self, item: ImageRecord, size: int, channels: int) -> np.ndarray:
        return decode.fit(Image.fromarray(self._pixels(item.name.rpartition("#")[0])[item.row]), size, channels)

    def read_full(self, item: ImageRecord) -> np.ndarray:
        pixels = self._pixels(item.name.rpartition("#")[0])[item.row]
        return pixels.reshape(*pixels.shape[:2], -1)

    def close(self) -> None:
        self._held = ("", np.empty(0))

    def _facts(self, table: Table, known: list | None) -> list:
        """[stamp, shape, labels or None, the images' SHA-256 joined] of a file: remembered, or read."""
        stamp = self.box.stamps[table.images] + "/" + self.box.stamps.get(table.labels, "")
        if known and known[0] == stamp:
            return known
        pixels = self._pixels(table.images)
        labels: list[int] | None = None
        if _CIFAR.search(table.images):
            labels = _cifar_labels(self._bytes(table.images)).tolist()
        elif table.labels:
            labels = read_idx(self._bytes(table.labels), self._where(table.labels), 1).tolist()
            if len(labels) != len(pixels):
                raise UserError(
                    f"{self._where(table.labels)} has {len(labels)} labels for {len(pixels)} images "
                    f"in {table.images}: one of the two is not the right file"
                )
        shas = "".join(hashlib.sha256(row.tobytes()).hexdigest() for row in pixels)
        return [stamp, list(pixels.shape), labels, shas]

    def _classes(self, tables: list[Table], facts: dict[str, list]) -> tuple[list[str], dict[int, int]]:
        """Class names, and label as stored -> class number, by the labels that occur in train."""
        train = [facts[t.images][2] for t in tables if t.split == "train"]
        if any(labels is None for labels in train):
            return [], {}
        seen = sorted(set().union(*train))
        meta = next((name for name in self.box.stamps if name.rpartition("/")[2] == "batches.meta.txt"), "")
        if meta and _CIFAR.search(tables[0].images):
            named = self._bytes(meta).decode("utf-8", "replace").split()
            if seen and seen[-1] < len(named):
                return named, {i: i for i in range(len(named))}
        return [str(value) for value in seen], {value: i for i, value in enumerate(seen)}

    def _part(self, tables: list[Table], facts: dict[str, list], names: dict[int, int]) -> SplitRecords:
        items: list[ImageRecord] = []
        dropped: list[Dropped] = []
        labelled = bool(names) and all(facts[t.images][2] is not None for t in tables)
        for table in tables:
            _, shape, labels, shas = facts[table.images]
            common = ImageHeader("", "idx", "L", shape[2], shape[1], grey=True)
            if len(shape) == 4:
                common = common._replace(format="CIFAR", mode="RGB", grey=False)
            for i in range(shape[0]):
                head = common._replace(sha=shas[64 * i : 64 * i + 64])
                label = names.get(labels[i], -1) if labelled else -1
                name = f"{table.images}#{i}"
                if labelled and label < 0:
                    dropped.append(Dropped(name, f"class not in train: {labels[i]}"))
                else:
                    items.append(ImageRecord(name, label, head, i))
        again = len(items) - len(Counter(item.header.sha for item in items))
        notes = [f"{again} of {len(items)} images occur earlier in the arrays: kept, as published"] if again else []
        return SplitRecords(items, dropped, notes, labelled)

    def _pixels(self, name: str) -> np.ndarray:
        """The images of a file, uint8 [N, H, W] or [N, H, W, 3]. Only the last file asked for is held."""
        held, pixels = self._held  # read as one, for other threads replace it
        if held != name:
            data = self._bytes(name)
            pixels = _cifar_images(data) if _CIFAR.search(name) else read_idx(data, self._where(name), 3)
            if not len(pixels) or min(pixels.shape[1:3]) < decode.MIN_SIDE:
                raise UserError(f"{self._where(name)} holds no images of {decode.MIN_SIDE} pixels a side or more")
            self._held = (name, pixels)
        return pixels

    def _bytes(self, name: str) -> bytes:
        try:
            data = self.box.read(name)
        except InvalidFile as unfit:
            raise UserError(f"cannot read {self._where(name)}: {unfit}") from None
        if _CIFAR.search(name) and (not data or len(data) % _CIFAR_RECORD):
            raise UserError(f"{self._where(name)} is cut short: it is not a whole number of CIFAR-10 records")
        return data

    def _where(self, name: str) -> str:
        return self.title if name == Path(self.title).name else f"{name} in {self.title}"


def is_idx(name: str) -> bool:
    """Whether a file is named as an idx file."""
    return bool(_IDX.search(name))


def single(path: Path) -> list[Table]:
    """The table of one idx file of images, with the labels that lie beside it. Raises UserError."""
    if not _IMAGES.search(path.name):
        raise UserError(f"{path} does not hold images: give the file whose name has images-idx3-ubyte, or its folder")
    return [Table("train", path.name, _labels_of(path.name, {file.name for file in path.parent.iterdir()}))]


def find(names: Iterable[str]) -> list[Table]:
    """The tables among the files of a folder or zip; [] if there are none."""
    files = sorted(names, key=natural)
    found = [Table(_split_of(name), name, _labels_of(name, set(files))) for name in files if _IMAGES.search(name)]
    found = found or [Table(_split_of(name), name) for name in files if _CIFAR.search(name)]
    bare = {re.sub(r"\.gz$", "", table.images): table for table in found}  # unpacked beside packed: one of them
    found = list(bare.values())
    if not any(table.split == "train" for table in found):
        found = [table._replace(split="train") for table in found]
    return found


def read_idx(data: bytes, where: str, dimensions: int) -> np.ndarray:
    """An idx file of uint8, gzipped or not, as an array. Raises UserError if it is damaged or of another shape."""
    file = gzip.GzipFile(fileobj=io.BytesIO(data)) if data[:2] == b"\x1f\x8b" else io.BytesIO(data)
    try:
        magic = file.read(4)
        if magic != bytes((0, 0, 8, dimensions)):
            raise UserError(f"{where} is not an idx file of {dimensions}-dimensional uint8: it begins {magic.hex(' ')}")
        shape = np.frombuffer(file.read(4 * dimensions), ">u4").tolist()
        total = int(np.prod([int(side) for side in shape], dtype=object))
        body = file.read(total + 1) if total <= _LONGEST else b""
    except (EOFError, OSError, ValueError, zlib.error):
        raise UserError(f"{where} is damaged or cut short: copy or download it again") from None
    if len(shape) != dimensions or len(body) != total:
        raise UserError(f"{where} has not the size its header tells, so it is cut short: copy or download it again")
    return np.frombuffer(body, np.uint8).reshape(shape)


def _cifar_images(data: bytes) -> np.ndarray:
    records = np.frombuffer(data, np.uint8).reshape(-1, _CIFAR_RECORD)
    return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _cifar_labels(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)[::_CIFAR_RECORD]


def _split_of(name: str) -> str:
    file = name.rpartition("/")[2].lower()
    if "t10k" in file or "test" in file:
        return "test"
    return "val" if re.search(r"\bval", file) else "train"


def _labels_of(images: str, names: set[str]) -> str:
    """The labels file of an images file: the same name but for two words, packed or not, with a dash or a dot."""
    stem = _IMAGES.sub("", images)
    tries = [f"{stem}labels{dash}idx1-ubyte{gz}" for dash in "-." for gz in ("", ".gz")]
    return next((name for name in tries if name in names), "")
