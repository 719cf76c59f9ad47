"""Images that are in memory, in the interface of files: how their values become 8 bits, and their labels classes.

Values are read by one rule for a set, decided over all of its arrays:

* uint8: 0..255 (0 and 1 alone: a mask, white is 1); bool: black and white
* other integers: white is the first of 1, 255, 1023, 4095, 16383, 65535 that no value is above; none is negative
* floats: 0..1 if all values are; else -1..1 if all are; else 0..255 if all are and some are above 25

Other ranges, such as those of tensors normalised by a mean and a deviation, are refused, as are NaN and infinity.
Pillow images, bytes and paths are read as files are. All items are used, repeated ones too.

The classes are those of train, as for files: images of another split whose class train lacks are dropped. A number is a
class also where it is -1, as in a table; where the data names the classes of numbers, -1 stands for none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from PIL import ImageOps

from reverie.data.archives import Dropped
from reverie.data.file_types import InvalidFile, quiet_pillow
from reverie.data.images import decode
from reverie.data.images.class_labels import without_labels
from reverie.data.images.conversion import COLOUR_MODES, DEFAULT, GREY_MODES, is_deep, is_grey, to_array
from reverie.data.images.decode import ImageHeader
from reverie.data.images.label_maps import fit_labels
from reverie.data.images.records import ImageRecord, LabelWarning, SplitRecords, natural_key
from reverie.data.python_data import PythonData, Rows
from reverie.data.python_values import WHAT_IS_TAKEN, hwc, is_array
from reverie.utils.errors import UserError

WHITES = (1, 255, 1023, 4095, 16383, 65535)
BYTES = 25
"""a float above it shows that white is 255, as for files"""


class MemorySource:
    """A source of images (see records.Source) in memory; side: 0, or 1 for the partners of pairs."""

    def __init__(self, data: PythonData, side: int = 0) -> None:
        self.levels, self.title = DEFAULT, str(data)
        self.palette: np.ndarray | None = None
        found = {split: rows.items if side == 0 else rows.partners for split, rows in data.rows.items()}
        if any(items is None for items in found.values()):
            raise UserError(f"{data} are single images; give pairs: a list of (input, target), or (inputs, targets).")
        scale = scale_of([item for items in found.values() for item in items or ()], self.title)
        self.images: dict[str, Any] = {}
        self.classes, self.warnings = class_names(data.rows) if side == 0 else ([], [])
        self.parts: dict[str, SplitRecords] = {}
        for split, items in found.items():
            records, dropped = [], list[Dropped]()
            labels = label_indices(data.rows, split, self.classes) if self.classes else [-1] * len(items or ())
            for i, (item, label) in enumerate(zip(items or (), labels, strict=True)):
                name = f"{split}/{i}"
                self.images[name] = _stored(item, scale)
                header = _header(self.images[name])
                if header.fault and isinstance(item, str | Path):
                    name = str(item)
                if header.fault:
                    dropped.append(Dropped(name, header.fault))
                elif isinstance(label, str):
                    dropped.append(Dropped(name, f"class not in train: {label}"))
                else:
                    records.append(ImageRecord(name, label, header))
            labelled = bool(self.classes) and all(record.label >= 0 for record in records)
            self.parts[split] = SplitRecords(records, dropped, [], labelled)
        if self.parts and not self.parts[next(iter(self.parts))].labelled:
            self.classes = []

    def read_square(self, item: ImageRecord, size: int, channels: int) -> np.ndarray:
        if self.palette is None:
            return decode.fit(self.read_image(item), size, channels, self.levels)
        return fit_labels(self.read_image(item), size, self.palette, self.levels.for_ids())[..., :channels]

    def use_palette(self, palette: np.ndarray) -> None:
        """Reads its images as label maps of these colours, uint8 [K,3]: picked, never blended."""
        self.palette, mark = palette, palette.tobytes()
        for split, part in self.parts.items():
            digests = [hashlib.sha256(item.header.sha.encode() + mark).hexdigest() for item in part.items]
            items = [
                item._replace(header=item.header._replace(sha=digest))
                for item, digest in zip(part.items, digests, strict=True)
            ]
            self.parts[split] = part._replace(items=items)

    def read_full(self, item: ImageRecord) -> np.ndarray:
        image = self.read_image(item)
        return to_array(image, 1 if is_grey(image) else 3, self.levels)

    def read_image(self, item: ImageRecord) -> PIL.Image.Image:
        """An item as Pillow decodes it, in its own mode. Raises InvalidFile."""
        stored = self.images[item.name]
        if isinstance(stored, PIL.Image.Image):
            return stored
        with quiet_pillow():
            return decode.load_upright(stored if isinstance(stored, bytes) else _read(stored))

    def close(self) -> None:
        """Nothing: the images stay in memory."""


def class_names(rows: Mapping[str, Rows]) -> tuple[list[str], list[LabelWarning]]:
    """The classes of train, in natural order or as the data lists them, and warnings; [] for fewer than two.

    rows: by split. Raises UserError for a label that has no name.
    """
    said = _classes_said(rows, _train(rows))
    known, names = {name for name in said if name is not None}, _names(rows)
    for split in rows:
        _classes_said(rows, split)  # each label has a name
    if len(known) < 2:
        return [], []
    if None in said:
        return [], [LabelWarning(f"unlabelled: {said.count(None)} of {len(said)} images have no label")]
    warnings = []
    if "-1" in known and known != {"-1", "1"} and not names:
        warnings.append(LabelWarning("-1 is taken for a class like the others; where it stands for none, give None"))
    if names and known <= set(names):
        return [name for name in dict.fromkeys(names) if name in known], warnings
    return sorted(known, key=natural_key), warnings


def label_indices(rows: Mapping[str, Rows], split: str, classes: list[str]) -> list[int | str]:
    """The index of the class of each item of a split; -1 where it has none, its name where train lacks it."""
    index: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    index[None] = -1
    if "-1" not in index:  # a test split without labels
        index["-1"] = -1
    return [index.get(name, str(name)) for name in _classes_said(rows, split)]


def why_unlabelled(data: Any) -> str:
    """Why open data has no classes, and what may be done."""
    spec = data.spec
    if not isinstance(spec, PythonData):
        return without_labels(data)
    said = _classes_said(spec.rows, _train(spec.rows))
    if None not in said:
        return f"all labels of {spec} are '{said[0]}'; learning classes takes two or more."
    if (count := said.count(None)) < len(said):
        return f"{count} of {len(said)} images of {spec} have no label; give each one, or leave these out."
    return f"{spec} have no labels; give (images, labels) with one whole number or name for each image."


def _train(rows: Mapping[str, Rows]) -> str:
    """The split that decides the classes."""
    return "train" if "train" in rows else next(iter(rows))


def _names(rows: Mapping[str, Rows]) -> list[str] | None:
    """The names of the classes that numbers stand for, where the data says them."""
    return next((part.names for part in rows.values() if part.names), None)


def _classes_said(rows: Mapping[str, Rows], split: str) -> list[str | None]:
    """The class that the label of each item of a split says; None where it has none. Raises UserError."""
    part, names = rows[split], _names(rows)

    def said(label: Any) -> str | None:
        if label == "":
            raise UserError("a label is an empty text; give each class a name.")
        if label is None or isinstance(label, str) or not names:
            return None if label is None else str(label)
        if not -1 <= label < len(names):
            raise UserError(f"a label is {label}, and there are {len(names)} names of classes: 0 to {len(names) - 1}.")
        return names[label] if label >= 0 else None

    return [None] * len(part.items) if part.labels is None else [said(label) for label in part.labels]


def scale_of(items: Sequence[Any], title: str, taken: str = WHAT_IS_TAKEN) -> tuple[float, float]:
    """(black, white) of the arrays among images that are not uint8; (0, 255) if there are none. Raises UserError.

    taken: what may be given, for messages
    """
    low, high, real = np.inf, -np.inf, False
    for i, item in enumerate(items):
        if not is_array(item):
            continue
        pixels = hwc(item, taken=taken)
        if pixels.size == 0:
            raise UserError(f"image {i} of {title} is empty: its shape is {list(pixels.shape)}.")
        if pixels.dtype in (np.uint8, np.bool_):
            continue
        real = real or pixels.dtype.kind == "f"
        least, most = float(pixels.min()), float(pixels.max())
        if not (np.isfinite(least) and np.isfinite(most)):
            raise UserError(f"image {i} of {title} holds NaN or infinity; give finite values.")
        low, high = min(low, least), max(high, most)
    if high == -np.inf:
        return 0, 255
    if not real and low >= 0 and high <= WHITES[-1]:
        return 0, float(next(white for white in WHITES if white >= high))
    if real and low >= -1 and high <= 1:
        return (0, 1) if low >= 0 else (-1, 1)
    if real and low >= 0 and BYTES < high <= 255:
        return 0, 255
    raise UserError(
        f"values of {title} go from {low:.4g} to {high:.4g}; give uint8, floats in 0..1 or in -1..1 (undo a "
        "normalisation by mean and deviation first)."
    )


def to_pillow(array: Any, scale: tuple[float, float]) -> PIL.Image.Image:
    """A Pillow image of an array or tensor; scale: (black, white) of values that are not uint8. Raises UserError."""
    pixels = hwc(array)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype != np.uint8:
        black, white = scale
        levels = (pixels.astype(np.float64) - black) / (white - black) * 255
        pixels = levels.round().clip(0, 255).astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return PIL.Image.fromarray(np.ascontiguousarray(pixels))


def _stored(item: Any, scale: tuple[float, float]) -> Any:
    """What is kept of an item: a Pillow image, bytes, or a path."""
    if hasattr(item, "pixels"):  # one of ours
        item = item.image() if hasattr(item, "image") else item
        return to_pillow(item.pixels, scale)
    if is_array(item):
        return to_pillow(item, scale)
    if isinstance(item, PIL.Image.Image):
        with quiet_pillow():
            return ImageOps.exif_transpose(item)
    return item if isinstance(item, bytes) else Path(item).expanduser()


def _read(path: Path) -> bytes:
    """Raises InvalidFile."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidFile(f"unreadable: {error.strerror}") from None


def _header(stored: Any) -> ImageHeader:
    """The header of what is kept of an item."""
    if not isinstance(stored, PIL.Image.Image):
        try:
            with quiet_pillow():
                return decode.read_header(stored if isinstance(stored, bytes) else _read(stored))
        except InvalidFile as invalid:
            return ImageHeader("", fault=str(invalid))
    if min(stored.size) < decode.MIN_SIDE:
        return ImageHeader("", fault=f"smaller than {decode.MIN_SIDE} pixels on a side: {min(stored.size)}-pixel image")
    if stored.mode not in GREY_MODES | COLOUR_MODES and not stored.mode.startswith("I;16"):
        return ImageHeader("", fault=f"colour mode not supported: {stored.mode}")
    try:
        sha = hashlib.sha256(f"{stored.mode} {stored.size}".encode() + stored.tobytes()).hexdigest()
    except Exception as error:  # an image of Pillow may be of a file that is damaged, or closed
        return ImageHeader("", fault=str(decode.as_invalid_file(error)))
    alpha = stored.has_transparency_data
    bits = 16 if stored.mode.startswith("I") else 32 if is_deep(stored.mode) else 1 if stored.mode == "1" else 8
    return ImageHeader(sha, "memory", stored.mode, *stored.size, bits=bits, alpha=alpha, grey=is_grey(stored))
