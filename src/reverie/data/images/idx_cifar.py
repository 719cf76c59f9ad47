"""Images stored as arrays in a few files: idx (MNIST and sets like it) and CIFAR's binary batches.

Found in a folder, a zip of one, or as a single idx file; gzipped idx files are read as they are.

* idx: `NAME-images-idx3-ubyte` or `NAME-images.idx3-ubyte`, uint8 [N,H,W], and the labels that match it by name,
  `NAME-labels-idx1-ubyte`; with train in the name it is the split train, with t10k or test it is test. Classes are the
  numbers that occur in train's labels. A single idx file is the split train, regardless of its name.
* CIFAR: `data_batch_N.bin` and `test_batch.bin`, classes by name from batches.meta.txt if it is there.

Results on such published sets are quoted for all of their images, so repeated images are kept (and noted).
"""

import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from reverie.data import cache
from reverie.data.archives import Dropped, FileTree
from reverie.data.file_types import InvalidFile
from reverie.data.images import decode
from reverie.data.images.conversion import DEFAULT
from reverie.data.images.decode import ImageHeader
from reverie.data.images.records import ImageRecord, SplitRecords, natural_key
from reverie.utils.errors import UserError

_IDX = re.compile(r"idx\d-ubyte(\.gz)?$", re.IGNORECASE)
_IMAGES = re.compile(r"images([-.])idx3-ubyte(\.gz)?$", re.IGNORECASE)
_CIFAR = re.compile(r"(data_batch_\d+|test_batch)\.bin$", re.IGNORECASE)
_CIFAR_RECORD = 1 + 3 * 32 * 32
_MAX_ARRAY_BYTES = 4 * 1024**3  # bytes of one array, unpacked: a header that says more is taken for damaged


class ArrayFile(NamedTuple):
    """One file of images."""

    split: str
    images: str
    """name of the file"""
    labels: str = ""
    """name of the file with their labels; "" if there is none (CIFAR's batches hold their own)"""


class ArrayFacts(NamedTuple):
    """What is cached of an ArrayFile, so that it is read only when it changed."""

    stamp: str
    """of the files of images and labels"""
    shape: list[int]
    """[N,H,W] or [N,H,W,3]"""
    labels: list[int] | None
    """as stored; None if there are none"""
    shas: str
    """SHA-256 of each image, 64 hex digits, joined"""


class ArraySource:
    """The images of array files; one file at a time is unpacked into memory. Raises UserError if a file is damaged."""

    def __init__(self, tree: FileTree, files: list[ArrayFile], title: str) -> None:
        self.tree, self.title, self.levels = tree, title, DEFAULT
        self._in_memory: tuple[str, np.ndarray] = ("", np.empty(0))
        place = f"{tree.place}:{title}"
        memo = cache.load_memo(place)
        facts = {file.images: self._facts(file, memo.get(file.images)) for file in files}
        if facts != {name: ArrayFacts(*values) for name, values in memo.items()}:
            cache.save_memo(place, facts)
        self.close()
        self.classes, class_of = self._classes(files, facts)
        self.parts: dict[str, SplitRecords] = {}
        for split in ("train", "test", "val"):
            if of_split := [file for file in files if file.split == split]:
                self.parts[split] = self._split_records(of_split, facts, class_of)

    def read_square(self, item: ImageRecord, size: int, channels: int) -> np.ndarray:
        pixels = self._pixels(item.name.rpartition("#")[0])[item.row]
        return decode.fit(Image.fromarray(pixels), size, channels)

    def read_full(self, item: ImageRecord) -> np.ndarray:
        pixels = self._pixels(item.name.rpartition("#")[0])[item.row]
        return pixels.reshape(*pixels.shape[:2], -1)

    def close(self) -> None:
        self._in_memory = ("", np.empty(0))

    def _facts(self, file: ArrayFile, cached: list[Any] | None) -> ArrayFacts:
        """The facts of a file: those that are cached if it did not change, else read from it."""
        stamp = self.tree.stamps[file.images] + "/" + self.tree.stamps.get(file.labels, "")
        if cached and cached[0] == stamp:
            return ArrayFacts(*cached)
        pixels = self._pixels(file.images)
        labels: list[int] | None = None
        if _CIFAR.search(file.images):
            labels = _cifar_labels(self._bytes(file.images)).tolist()
        elif file.labels:
            labels = read_idx(self._bytes(file.labels), self._title_of(file.labels), 1).tolist()
            if len(labels) != len(pixels):
                raise UserError(
                    f"{self._title_of(file.labels)} has {len(labels)} labels for {len(pixels)} images "
                    f"in {file.images}: one of the two is not the right file"
                )
        shas = "".join(hashlib.sha256(row.tobytes()).hexdigest() for row in pixels)
        return ArrayFacts(stamp, list(pixels.shape), labels, shas)

    def _classes(self, files: list[ArrayFile], facts: dict[str, ArrayFacts]) -> tuple[list[str], dict[int, int]]:
        """Class names, and label as stored -> class index, by the labels that occur in train."""
        labels_in_train: set[int] = set()
        for file in files:
            labels = facts[file.images].labels
            if file.split == "train" and labels is None:
                return [], {}
            if file.split == "train":
                labels_in_train.update(labels or [])
        labels = sorted(labels_in_train)
        names = self._cifar_class_names(files)
        if labels and labels[-1] < len(names):
            return names, {i: i for i in range(len(names))}
        return [str(label) for label in labels], {label: i for i, label in enumerate(labels)}

    def _cifar_class_names(self, files: list[ArrayFile]) -> list[str]:
        """The class names in batches.meta.txt; [] if there is no such file, or the images are not CIFAR's."""
        if not _CIFAR.search(files[0].images):
            return []
        meta = next((name for name in self.tree.stamps if name.rpartition("/")[2] == "batches.meta.txt"), "")
        return self._bytes(meta).decode("utf-8", "replace").split() if meta else []

    def _split_records(
        self, files: list[ArrayFile], facts: dict[str, ArrayFacts], class_of: dict[int, int]
    ) -> SplitRecords:
        """The records of one split, the images of all its files. class_of: label as stored -> class index."""
        items: list[ImageRecord] = []
        dropped: list[Dropped] = []
        labelled = bool(class_of) and all(facts[file.images].labels is not None for file in files)
        for file in files:
            _, shape, labels, shas = facts[file.images]
            common = ImageHeader("", "idx", "L", shape[2], shape[1], grey=True)
            if len(shape) == 4:
                common = common._replace(format="CIFAR", mode="RGB", grey=False)
            for i in range(shape[0]):
                header = common._replace(sha=shas[64 * i : 64 * i + 64])
                name = f"{file.images}#{i}"
                if not labelled or labels is None:
                    items.append(ImageRecord(name, -1, header, i))
                elif labels[i] in class_of:
                    items.append(ImageRecord(name, class_of[labels[i]], header, i))
                else:
                    dropped.append(Dropped(name, f"class not in train: {labels[i]}"))
        repeated = len(items) - len({item.header.sha for item in items})
        notes = []
        if repeated:
            notes.append(f"{repeated} of {len(items)} images occur earlier in the arrays: kept, as published")
        return SplitRecords(items, dropped, notes, labelled)

    def _pixels(self, name: str) -> np.ndarray:
        """The images of a file, uint8 [N,H,W] or [N,H,W,3]. Only the file that was read last stays in memory."""
        last, pixels = self._in_memory  # read as one, because other threads replace it
        if last != name:
            data = self._bytes(name)
            pixels = _cifar_images(data) if _CIFAR.search(name) else read_idx(data, self._title_of(name), 3)
            if not len(pixels) or min(pixels.shape[1:3]) < decode.MIN_SIDE:
                raise UserError(f"{self._title_of(name)} holds no images of at least {decode.MIN_SIDE} pixels a side")
            self._in_memory = (name, pixels)
        return pixels

    def _bytes(self, name: str) -> bytes:
        try:
            data = self.tree.read(name)
        except InvalidFile as invalid:
            raise UserError(f"cannot read {self._title_of(name)}: {invalid}") from None
        if _CIFAR.search(name) and (not data or len(data) % _CIFAR_RECORD):
            raise UserError(f"{self._title_of(name)} is truncated: its size is not a multiple of a CIFAR-10 record")
        return data

    def _title_of(self, name: str) -> str:
        """What error messages call a file."""
        return self.title if name == Path(self.title).name else f"{name} in {self.title}"


def is_idx(name: str) -> bool:
    """Whether a file has the name of an idx file."""
    return bool(_IDX.search(name))


def single_file(path: Path) -> list[ArrayFile]:
    """One idx file of images, with the labels beside it. Raises UserError if its name is not that of images."""
    if not _IMAGES.search(path.name):
        raise UserError(f"{path} does not hold images: give the file whose name has images-idx3-ubyte, or its folder")
    return [ArrayFile("train", path.name, _labels_of(path.name, {file.name for file in path.parent.iterdir()}))]


def find_array_files(names: Iterable[str]) -> list[ArrayFile]:
    """The array files among the files of a folder or zip; [] if there are none. Without a split train all are train."""
    files = sorted(names, key=natural_key)
    found = [ArrayFile(_split_of(name), name, _labels_of(name, set(files))) for name in files if _IMAGES.search(name)]
    if not found:
        found = [ArrayFile(_split_of(name), name) for name in files if _CIFAR.search(name)]
    unpacked_name = {re.sub(r"\.gz$", "", file.images): file for file in found}  # one of NAME and NAME.gz
    found = list(unpacked_name.values())
    if not any(file.split == "train" for file in found):
        found = [file._replace(split="train") for file in found]
    return found


def read_idx(data: bytes, where: str, dimensions: int) -> np.ndarray:
    """The array in an idx file of uint8, gzipped or not.

    where: what error messages call it
    dimensions: 3 for images [N,H,W], 1 for labels [N]

    Raises UserError if it is damaged or has another number of dimensions.
    """
    file = gzip.GzipFile(fileobj=io.BytesIO(data)) if data[:2] == b"\x1f\x8b" else io.BytesIO(data)
    try:
        magic = file.read(4)
        if magic != bytes((0, 0, 8, dimensions)):
            raise UserError(f"{where} is not an idx file of {dimensions}-dimensional uint8: it begins {magic.hex(' ')}")
        shape = np.frombuffer(file.read(4 * dimensions), ">u4").tolist()
        total = int(np.prod([int(side) for side in shape], dtype=object))
        body = file.read(total + 1) if total <= _MAX_ARRAY_BYTES else b""
    except (EOFError, OSError, ValueError, zlib.error):
        raise UserError(f"{where} is damaged or truncated: copy or download it again") from None
    if len(shape) != dimensions or len(body) != total:
        raise UserError(
            f"{where} is truncated, as its size differs from what its header says: copy or download it again"
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def _cifar_images(data: bytes) -> np.ndarray:
    """uint8 [N,32,32,3]."""
    records = np.frombuffer(data, np.uint8).reshape(-1, _CIFAR_RECORD)
    return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _cifar_labels(data: bytes) -> np.ndarray:
    """uint8 [N]."""
    return np.frombuffer(data, np.uint8)[::_CIFAR_RECORD]


def _split_of(name: str) -> str:
    """The split that a file name says; train if it says none."""
    file = name.rpartition("/")[2].lower()
    if "t10k" in file or "test" in file:
        return "test"
    return "val" if re.search(r"\bval", file) else "train"


def _labels_of(images: str, names: set[str]) -> str:
    """The labels file of an images file: NAME-labels-idx1-ubyte, gzipped or not, with a dash or a dot; "" if none."""
    stem = _IMAGES.sub("", images)
    candidates = [f"{stem}labels{dash}idx1-ubyte{gz}" for dash in "-." for gz in ("", ".gz")]
    return next((name for name in candidates if name in names), "")
