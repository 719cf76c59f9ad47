"""Images from a path or a name, decoded once and served as batches: the class that training sees."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from reverie.data import cache
from reverie.data.archives import Dropped
from reverie.data.data_spec import DataSpec, refuse_missing
from reverie.data.description import represent
from reverie.data.file_types import InvalidFile
from reverie.data.images import decode, synthetic
from reverie.data.images.conversion import DEFAULT, Levels
from reverie.data.images.from_python import MemorySource
from reverie.data.images.label_codes import LabelCodes, separated
from reverie.data.images.levels import are_photographs, describe_levels, find_levels, level_warnings
from reverie.data.images.likely_pairs import likely_pairs
from reverie.data.images.object_masks import ObjectMasks
from reverie.data.images.records import ImageRecord, Source, nothing_usable
from reverie.data.images.sources import open_path
from reverie.data.python_data import PythonData
from reverie.data.splits import standard_split
from reverie.utils.errors import UserError, near_miss
from reverie.utils.paths import exists

__all__ = ["Dropped", "Images"]

SPLITS = ("train", "test", "val")
PALETTES_COMPARED = 8
"""files of a set whose palettes are compared"""
MAX_SIZE = 2048
"""pixels a side that images can be decoded to"""


class Images:
    """Images, labelled or not, decoded once into a memory-mapped cache.

    `open` reads headers only; `prepare` decodes, or finds what was decoded before; then `len`, `batch` and `pixels`
    serve it. Which files are used is described in `reverie.data.images.sources`, how pixels are decoded in
    `reverie.data.images.decode`, and where the result is stored in `reverie.data.cache`.

    Attributes:
        spec: what was opened, as given.
        name: a short name for titles, such as "cifar10" or "letters:2000".
        split: "train", "test" or "val".
        splits: those of the three that the source has.
        classes: the names of the classes; [] if unlabelled.
        facts: "channels" 1 (all files are grey) or 3, "classes" their number (0 if unlabelled), "native" the median
            short side in pixels; "levels", how values become 8 bits, where it is not by the container of each file;
            after `prepare` in grey "photographs", whether they are any or drawings.
        items: records (name, label, header) of the images that are used, in the order of the rows; `prepare` removes
            those that turn out to be damaged.
        dropped: files that are not used, and why; `prepare` adds those that turn out to be damaged.
        warnings: what may have been read in another way than it is meant; after `prepare` also values that
            teach nothing.
        notes: how images were converted, such as "3 of 10 images have alpha: laid on white".
        fingerprint: 16 hex digits of a SHA-256 over contents, labels and split, not over names or times.
        labels: int64 [N]; array: uint8 [N,H,W,C]; both after `prepare`.
    """

    kind = "images"
    __repr__ = represent

    def __init__(self, spec: str, name: str, source: Source, split: str) -> None:
        self.spec, self.name, self.split = spec, name, split
        self._source = source
        self.splits = [known for known in SPLITS if known in source.parts]
        if split not in self.splits:
            have = ", ".join(self.splits)
            raise UserError(f"no split '{split}' in {spec}: it has {have}.{near_miss(split, self.splits)}")
        self._part = source.parts[split]
        if not self._part.items:
            raise UserError(nothing_usable(f"{spec} ({split})" if self.splits[1:] else spec, self._part.dropped))
        self.classes = list(source.classes) if self._part.labelled else []
        self.items = list(self._part.items)
        self.dropped = list(self._part.dropped)
        self.facts: dict[str, Any] = {
            "channels": 1 if all(item.header.grey for item in self.items) else 3,
            "classes": len(self.classes),
            "native": round(median(min(item.header.width, item.header.height) for item in self.items)),
        }
        self.levels = source.levels = levels_of(source)
        if self.levels != DEFAULT:
            self.facts["levels"] = self.levels.to_json()
        self.notes = self._part.notes + _conversion_notes(self.items, self.facts["channels"], self.levels)
        self._read_warnings = list(getattr(source, "warnings", ()))
        self.warnings = list(self._read_warnings)
        self.fingerprint = _fingerprint(split, self.classes, self.items, self.levels)
        self._pixels: np.ndarray | None = None
        self._labels = np.empty(0, np.int64)
        self._masks: ObjectMasks | None = None

    @classmethod
    def open(cls, spec: str | Path, split: str = "train", splits: str | None = None, masks: bool = False) -> "Images":
        """Open a path (folder, zip, idx or CIFAR files), a built-in set or one to download; only headers are read.

        split: "train", "test" or "val" (also "valid" or "validation"), in any case
        splits: what says which split a file is of: "auto", "folders", "files" or "none", as in reverie.data.data_spec
        masks: whether two places with a comma between them are images and masks of objects in some of them

        Raises UserError if there is nothing of that name, no usable image in it, or no such split.
        """
        text = DataSpec(spec, splits)
        if not text.strip():
            raise UserError("no data named: give a folder, a zip, or a name such as letters")
        wanted = standard_split(split)
        if isinstance(text, PythonData):
            return cls(text, "images in memory", MemorySource(text), wanted)
        path = Path(text).expanduser()
        if exists(path):
            images = cls(text, _title(path), open_path(path, text.splits, text.labels), wanted)
            if wanted == "train":
                images._read_warnings += likely_pairs(text, images.items) + _generated(images.items)
                images.warnings = list(images._read_warnings)
            if synthetic.is_name(text) or text in _download_names():
                images.notes.append(f"{path.resolve()} is read; rename it to use the data set of that name")
            return images
        if synthetic.is_name(text):
            return cls(text, text, synthetic.SyntheticSource(text), wanted)
        downloads = _download_names()
        if text in downloads:
            from reverie.data.download import fetch

            return cls(text, text, open_path(fetch(text)), wanted)
        places = [Path(part.strip()).expanduser() for part in text.split(",")]
        if len(places) > 1 and all(map(exists, places)):
            if masks and len(places) == 2:
                return cls.open(DataSpec(places[0], text.splits), wanted)._with_masks(text, places[1])
            raise UserError(
                f"{text} are several places, which methods of pairs or of two domains learn from (`reverie methods`); "
                "give one folder."
            )
        refuse_missing(text)
        names = [*synthetic.NAMES, *downloads]
        guess = "" if "/" in text or "\\" in text else near_miss(text.partition(":")[0], names)
        raise UserError(f"no such path, and no data set of that name: {text}.{guess} Sets: {', '.join(names)}")

    def _with_masks(self, spec: str, place: Path) -> "Images":
        """self, with masks of objects beside; `spec` names both places. Raises UserError."""
        self._masks = ObjectMasks(place, self.items)
        self.spec = spec
        self.fingerprint = hashlib.sha256((self.fingerprint + self._masks.fingerprint).encode()).hexdigest()[:16]
        self.notes.append(self._masks.note)
        return self

    def prepare(self, size: int, channels: int | None = None) -> "Images":
        """Decode to squares of `size` pixels, or find them in the cache, and return self.

        size: 4 to 2048 pixels
        channels: 1 or 3; None: facts["channels"]

        Raises UserError for other values, if no image can be decoded, or if the cache cannot be written.
        """
        channels = self.facts["channels"] if channels is None else channels
        if channels not in (1, 3):
            raise UserError(f"channels must be 1 (grey) or 3 (RGB), not {channels}")
        if not decode.MIN_SIDE <= size <= MAX_SIZE:
            raise UserError(f"the image size must be {decode.MIN_SIDE} to {MAX_SIZE} pixels, not {size}")
        all_items = self._part.items
        rows = cache.load_or_build(
            f"{self.fingerprint}-{size}x{channels}-v{decode.VERSION}",
            [item.name for item in all_items],
            (size, size, channels),
            lambda i: self._source.read_square(all_items[i], size, channels),
        )
        self._source.close()
        self.dropped = self._part.dropped + [Dropped(all_items[i].name, why) for i, why in rows.faults.items()]
        if not rows.kept:
            raise UserError(nothing_usable(self.spec, self.dropped))
        self.items = [all_items[i] for i in rows.kept]
        self.notes = self._part.notes + _conversion_notes(self.items, channels, self.levels, size)
        self.warnings = self._read_warnings + level_warnings(rows.pixels)
        if channels == 1:
            self.facts["photographs"] = are_photographs(rows.pixels)
        if self._masks:
            self.dropped += self._masks.prepare(self.items, size)
            self.notes.append(self._masks.note)
        self._pixels = rows.pixels
        self._labels = np.array([item.label for item in self.items], np.int64)
        return self

    def __len__(self) -> int:
        """The number of images that are used; before `prepare`, as far as headers show."""
        return len(self.items)

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """The images at B indices: "image" float32 [B,C,H,W] in [-1,1]; "label" int64 [B], only if labelled; "mask"
        bool [B,1,H,W], only if opened with masks, False everywhere for images without one.

        Raises IndexError if an index is out of range.
        """
        rows = np.asarray(index, np.int64)
        # copied to the device and permuted as uint8, then converted: a quarter of the traffic
        image = torch.from_numpy(self._ready()[rows]).to(device).permute(0, 3, 1, 2).contiguous()
        batch = {"image": torch.sub(image, 127.5).div_(127.5)}
        if self.classes:
            batch["label"] = torch.from_numpy(self._labels[rows]).to(device)
        if self._masks:
            batch["mask"] = torch.from_numpy(self._masks.batch(rows)[:, None]).to(device)
        return batch

    def pixels(self, i: int) -> np.ndarray:
        """Image i as uint8 [H,W,C], a copy."""
        return np.array(self._ready()[i])

    def read_full(self, item: ImageRecord) -> np.ndarray:
        """All pixels of an image in its own size, uint8 [H,W,C], C = 1 if it is grey. Raises InvalidFile."""
        return self._source.read_full(item)

    def label_codes(self, colours: np.ndarray) -> LabelCodes:
        """How a network tells labels of these colours uint8 [K,3] apart, and how they are put back into such files."""
        headers = [item.header for item in self.items]
        grey = all(header.grey for header in headers)
        bits = 16 if grey and all(header.bits == 16 for header in headers) else 8
        return LabelCodes(colours, separated(colours, grey), grey, bits, self._palette_table())

    def _palette_table(self) -> bytes | None:
        """RGB of the palette of the files, if all have one, and it is the same in some of them."""
        read_image = getattr(self._source, "read_image", None)
        if read_image is None or any(item.header.mode != "P" for item in self.items):
            return None
        tables = set()
        for item in self.items[:: -(-len(self.items) // PALETTES_COMPARED)]:
            with contextlib.suppress(InvalidFile):
                tables.add(bytes(read_image(item).getpalette() or ()))
        return tables.pop() if len(tables) == 1 else None

    def full_shape(self, item: ImageRecord) -> tuple[int, int]:
        """Height and width of the pixels that `read_full` returns, from the header."""
        return item.header.shape

    @property
    def labels(self) -> np.ndarray:
        """The class index of each image, int64 [N]; all -1 if unlabelled."""
        self._ready()
        return self._labels

    @property
    def array(self) -> np.ndarray:
        """All images, uint8 [N,H,W,C], read-only and mapped from disk: take slices of it."""
        return self._ready()

    def _ready(self) -> np.ndarray:
        if self._pixels is None:
            raise RuntimeError("call prepare(size) before asking for pixels")
        return self._pixels


def _title(path: Path) -> str:
    """The name of a folder (resolved, so that "." has one), or of a file without its suffixes."""
    path = path.resolve()
    if path.is_dir():
        return path.name or str(path)
    return path.name.split(".")[0] or path.name


def _download_names() -> list[str]:
    """The names of the data sets that can be downloaded."""
    from reverie.data.download import PUBLIC  # only here, because most data is local

    return list(PUBLIC)


def levels_of(source: Source) -> Levels:
    """How the values of a source become 8 bits, by the files of all its splits."""
    read_image = getattr(source, "read_image", None)
    if read_image is None:  # arrays and drawn images have 8 bits
        return source.levels
    items = [item for part in source.parts.values() for item in part.items]
    return find_levels([item.header for item in items], lambda i: read_image(items[i]))


def _generated(items: list[ImageRecord]) -> list[str]:
    """A warning if some images were generated, such as a run's own output among its data."""
    files = [item.name for item in items if item.header.generated]
    if not files:
        return []
    text = f"{len(files)} of {len(items)} images say that a model generated them, such as {files[0]}"
    return [f"{text}: what they have wrong is learnt too; move them away unless they are meant"]


def _fingerprint(split: str, classes: list[str], items: list[ImageRecord], levels: Levels) -> str:
    digest = hashlib.sha256(json.dumps([split, classes]).encode())
    if levels != DEFAULT:  # they follow from the files of other splits too
        digest.update(json.dumps(levels.to_json()).encode())
    for item in items:
        digest.update(bytes.fromhex(item.header.sha) + item.label.to_bytes(4, "little", signed=True))
    return digest.hexdigest()[:16]


def _conversion_notes(items: list[ImageRecord], channels: int, levels: Levels, size: int | None = None) -> list[str]:
    """How many images are converted in which way; with size None, only what does not depend on the size."""
    headers = [item.header for item in items]
    counts = {
        "have a palette: its colours were looked up": sum(h.mode in ("P", "PA") for h in headers),
        "are CMYK: turned to RGB": sum(h.mode == "CMYK" for h in headers),
        "were turned upright by their EXIF orientation": sum(h.orientation > 1 for h in headers),
        "have several frames or pages: the first was taken": sum(h.animated for h in headers),
        "are not square: the centre square was kept": sum(h.width != h.height for h in headers),
    }
    if channels == 3:
        counts["are grey: repeated to RGB"] = sum(h.grey for h in headers)
    else:
        counts["are in colour: turned to grey"] = sum(not h.grey for h in headers)
    if size is not None:
        files = [h for h in headers if h.format != synthetic.FORMAT]  # synthetic images are drawn at any size
        counts[f"have a side under {size} pixels: enlarged for networks of that size"] = sum(
            min(h.width, h.height) < size for h in files
        )
    notes = [f"{count} of {len(items)} images {what}" for what, count in counts.items() if count]
    return describe_levels(levels, headers) + notes
