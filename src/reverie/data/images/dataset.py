"""Images, from a path or a name, decoded once and served as batches: the one class that training sees."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

from reverie.data import cache
from reverie.data.archives import Dropped
from reverie.data.images import decode
from reverie.data.images import synthetic as builtin
from reverie.data.images.records import ImageRecord, Source, nothing_usable
from reverie.data.images.sources import open_path
from reverie.utils.errors import UserError, near_miss

__all__ = ["Dropped", "Images"]

SPLITS = ("train", "test", "val")
LARGEST = 2048  # pixels on a side, decoded


class Images:
    """Images, labelled or not, decoded once into a memory-mapped cache.

    `open` looks at headers only; `prepare` decodes, or finds what was decoded before; then `len`, `batch` and `pixels`
    serve it. How files are read is told in `reverie.data.sources`, what becomes of their pixels in
    `reverie.data.decode`, where results are kept in `reverie.data.cache`.

    Attributes:
        spec: what was opened, as given.
        name: a short name for titles, such as "cifar10" or "letters:2000".
        split: "train", "test" or "val".
        splits: those of the three that the source has.
        classes: the names of the classes; [] if unlabelled.
        facts: "channels" 1 (all files are grey) or 3, "classes" their number (0 if unlabelled), "native" the median
            short side in pixels.
        items: what is used: names, labels and headers, in the order of the rows. Shrinks in prepare.
        dropped: what is not used, and why; grows in prepare by files that only decoding shows to be broken.
        notes: how files were handled where it is worth stating.
        fingerprint: 16 hex digits of a SHA-256 over contents, labels and split, not over names or times.
    """

    kind = "images"

    def __init__(self, spec: str, name: str, source: Source, split: str) -> None:
        self.spec, self.name, self.split = spec, name, split
        self._source = source
        self.splits = [known for known in SPLITS if known in source.parts]
        if split not in self.splits:
            have = " and ".join([", ".join(self.splits[:-1]), self.splits[-1]]) if self.splits[1:] else self.splits[0]
            raise UserError(f"no split '{split}' in {spec}: it has {have}.{near_miss(split, self.splits)}")
        self._part = source.parts[split]
        if not self._part.items:
            raise UserError(nothing_usable(f"{spec} ({split})" if self.splits[1:] else spec, self._part.dropped))
        self.classes = list(source.classes) if self._part.labelled else []
        self.items = list(self._part.items)
        self.dropped = list(self._part.dropped)
        self.facts = {
            "channels": 1 if all(item.header.grey for item in self.items) else 3,
            "classes": len(self.classes),
            "native": round(median(min(item.header.width, item.header.height) for item in self.items)),
        }
        self.notes = self._part.notes + _handling(self.items, self.facts["channels"])
        self.fingerprint = _fingerprint(split, self.classes, self.items)
        self._pixels: np.ndarray | None = None
        self._labels = np.empty(0, np.int64)

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> "Images":
        """Open a path (folder, zip, idx or CIFAR files), a built-in set or a public one; headers only.

        Raises UserError if there is nothing of that name, no usable image in it, or no such split.
        """
        text = str(spec)
        if not text.strip():
            raise UserError("no data named: give a folder, a zip, or a name such as letters")
        wanted = {"valid": "val", "validation": "val"}.get(split.lower(), split.lower())
        path = Path(text).expanduser()
        if _exists(path):
            images = cls(text, _title(path), open_path(path), wanted)
            if builtin.is_name(text) or text in _public_names():
                images.notes.append(f"{path.resolve()} is read; rename it to use the set of that name")
            return images
        if builtin.is_name(text):
            return cls(text, text, builtin.SyntheticSource(text), wanted)
        public = _public_names()
        if text in public:
            from reverie.data.download import fetch

            return cls(text, text, open_path(fetch(text)), wanted)
        names = [*builtin.NAMES, *public]
        guess = "" if "/" in text or "\\" in text else near_miss(text.partition(":")[0], names)
        raise UserError(f"no such path, and no data set of that name: {text}.{guess} Sets: {', '.join(names)}")

    def prepare(self, size: int, channels: int | None = None) -> "Images":
        """Decode to squares of `size` pixels (4 to 2048) with 1 or 3 channels (facts["channels"] if None), or find
        them in the cache; returns self. Raises UserError if no image survives or the cache cannot be written."""
        channels = self.facts["channels"] if channels is None else channels
        if channels not in (1, 3):
            raise UserError(f"channels must be 1 (grey) or 3 (RGB), not {channels}")
        if not decode.MIN_SIDE <= size <= LARGEST:
            raise UserError(f"the image size must be {decode.MIN_SIDE} to {LARGEST} pixels, not {size}")
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
        self.notes = self._part.notes + _handling(self.items, channels, size)
        self._pixels = rows.pixels
        self._labels = np.array([item.label for item in self.items], np.int64)
        return self

    def __len__(self) -> int:
        """The number of usable images; before prepare, as far as headers tell."""
        return len(self.items)

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """The images at the given indices, B of them, on a device.

        "image": float32 [B, C, H, W] in [-1, 1]. "label": int64 [B], only if labelled. Raises IndexError out of range.
        """
        rows = np.asarray(index, np.int64)
        # sent and put in order as bytes, then widened: a quarter of the traffic
        image = torch.from_numpy(self._ready()[rows]).to(device).permute(0, 3, 1, 2).contiguous()
        batch = {"image": torch.sub(image, 127.5).div_(127.5)}
        if self.classes:
            batch["label"] = torch.from_numpy(self._labels[rows]).to(device)
        return batch

    def pixels(self, i: int) -> np.ndarray:
        """Image i as uint8 [H, W, C], a copy."""
        return np.array(self._ready()[i])

    def read_full(self, item: ImageRecord) -> np.ndarray:
        """All of an image in its own size, uint8 [H,W,C], C = 1 if it is grey. Raises InvalidFile."""
        return self._source.read_full(item)

    def shape(self, item: ImageRecord) -> tuple[int, int]:
        """Height and width of an image as `whole` gives it, by its header."""
        head = item.header
        return (head.width, head.height) if head.orientation > 4 else (head.height, head.width)

    @property
    def labels(self) -> np.ndarray:
        """The label of each image in the order of the rows, int64 [N]; zeros if unlabelled."""
        self._ready()
        return self._labels

    @property
    def array(self) -> np.ndarray:
        """All images, uint8 [N, H, W, C], read-only and mapped from disk: take slices of it."""
        return self._ready()

    def _ready(self) -> np.ndarray:
        if self._pixels is None:
            raise RuntimeError("call prepare(size) before asking for pixels")
        return self._pixels


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with characters that the system forbids
        return False


def _title(path: Path) -> str:
    """A folder's name, or a file's without its suffixes; of "." and "..", the name they stand for."""
    path = path.resolve()
    return path.name or str(path) if path.is_dir() else path.name.split(".")[0] or path.name


def _public_names() -> list[str]:
    try:
        from reverie.data.download import PUBLIC
    except ImportError:
        return []
    return list(PUBLIC)


def _fingerprint(split: str, classes: list[str], items: list[ImageRecord]) -> str:
    digest = hashlib.sha256(json.dumps([split, classes]).encode())
    for item in items:
        digest.update(bytes.fromhex(item.header.sha) + item.label.to_bytes(4, "little", signed=True))
    return digest.hexdigest()[:16]


def _handling(items: list[ImageRecord], channels: int, size: int | None = None) -> list[str]:
    """Lines on what was done to how many of the images; before prepare (size None) what does not depend on size."""
    heads = [item.header for item in items]
    counts = {
        "have alpha: laid on white": sum(h.alpha for h in heads),
        "have a palette: its colours were looked up": sum(h.mode in ("P", "PA") for h in heads),
        "are CMYK: turned to RGB": sum(h.mode == "CMYK" for h in heads),
        "have 16 bits a channel: scaled to 8": sum(h.bits == 16 for h in heads),
        "are float: scaled from 0..1, or taken as 0..255": sum(h.mode == "F" for h in heads),
        "were turned upright by their EXIF orientation": sum(h.orientation > 1 for h in heads),
        "have several frames or pages: the first was taken": sum(h.animated for h in heads),
        "are not square: the centre square was kept": sum(h.width != h.height for h in heads),
    }
    if channels == 3:
        counts["are grey: repeated to RGB"] = sum(h.grey for h in heads)
    else:
        counts["are in colour: turned to grey"] = sum(not h.grey for h in heads)
    if size is not None:
        small = sum(min(h.width, h.height) < size for h in heads if h.format != builtin.FORMAT)
        counts[f"have a side under {size} pixels: enlarged"] = small
    return [f"{count} of {len(items)} images {what}" for what, count in counts.items() if count]
