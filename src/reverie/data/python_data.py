"""Data that is in memory: images, arrays, tensors, lines, lists of paths, data sets of torch and of Hugging Face.

`python_data` brings them into one form, PythonData, which is taken wherever a path to data is. What is taken, each
alone or as a dict of splits {"train": ..., "test": ...}:

* images: an array or tensor of N, or a list (or iterator) of Pillow images, arrays, tensors, reverie's own images,
  paths, or bytes of image files; `reverie.data.images.from_python` states how values become 8 bits
* images with labels: a tuple (images, labels); a list of (image, label); labels are whole numbers or names
* images with texts: the same with descriptions, or lists of them, in the place of labels
* pairs: a list of (image, image), or a tuple (images, images); two domains without pairs: the latter
* two folders or zips, (a, b): the same as the text "a,b"
* lines: a list of str; music: a list of paths of MIDI files, or of reverie's own music
* a torch Dataset or DataLoader whose items are images, (image, label), or dicts; of a DataLoader the data set is taken
* a Hugging Face data set, or a dict of columns: columns image or img, label or labels, text or caption

Texts are paths if half of them are files or end as files do; a path of no file is refused, not learnt from as a line.

N items.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from reverie.data.archives import Dropped, is_zip
from reverie.data.data_spec import DataSpec
from reverie.data.file_types import InvalidFile
from reverie.data.media_types import medium_of
from reverie.data.splits import SPLITS, split_named
from reverie.runs.data_place import IN_MEMORY
from reverie.utils.errors import UserError

IMAGE_COLUMNS = ("image", "img", "images", "pixel_values", "x")
PARTNER_COLUMNS = ("target", "output", "image_b", "b")
"""columns of the second images of pairs; `label` where it holds images is one too"""
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "category", "y")
TEXT_COLUMNS = ("text", "sentence", "line", "content")
CAPTION_COLUMNS = ("paragraph", "paragraphs", "text", "caption", "captions", "description", "sentence", "sentences")
"""columns that describe images"""
PATHS_TRIED = 200
"""texts of a list that are looked at to find out whether they are paths"""
WHAT_IS_TAKEN = (
    "give a path, the name of a set, a list of images, an array [N,H,W,C], a tensor [N,C,H,W], (images, labels), "
    "a list of lines, a torch Dataset, or a Hugging Face data set"
)


class Rows(NamedTuple):
    """The items of one split."""

    items: list[Any]
    """images, arrays, bytes, paths, lines or music"""
    partners: list[Any] | None = None
    """the second image of each pair, or the images of the second domain"""
    labels: list[Any] | None = None
    """whole numbers or names; None of an item that has none, or -1 where the classes of numbers have names"""
    names: list[str] | None = None
    """of the classes, where labels are numbers and the data says what they stand for"""
    texts: list[list[str]] | None = None
    """what describes each image"""


class PythonData(DataSpec):
    """Data in memory in the place of a path; as a text it is what messages call it: "60 images in memory"."""

    rows: dict[str, Rows]
    """by split"""

    @classmethod
    def of(cls, rows: dict[str, Rows]) -> PythonData:
        """Raises UserError if there are no items."""
        first = rows.get("train") or next(iter(rows.values()))
        count = sum(len(part.items) for part in rows.values())
        partners = sum(len(part.partners or ()) for part in rows.values())
        if not first.items or first.partners == []:
            which = "second part of the data" if first.items else "data"
            raise UserError(f"the {which} in memory holds no items; give two or more.")
        noun = "line" if is_text(first.items) else "image"
        if not is_text(first.items) and hasattr(first.items[0], "midi"):
            noun = "tune"
        counts = str(count)
        if noun == "image" and first.partners is not None:
            counts, noun = (counts, "pair") if count == partners else (f"{count} and {partners}", "image")
        spec = cls(f"{counts} {noun}{'' if counts == '1' else 's'}{IN_MEMORY}")
        spec.rows = rows
        return spec

    @property
    def has_lines(self) -> bool:
        """Whether the items are lines of text."""
        return all(is_text(part.items) for part in self.rows.values())

    @property
    def example_line(self) -> str:
        """The beginning of the first line."""
        first = next(iter(self.rows.values())).items[0]
        return " ".join(str(getattr(first, "line", first)).split())[:40]

    @property
    def has_pairs(self) -> bool:
        """Whether each item has a partner, or there is a second domain."""
        return any(part.partners is not None for part in self.rows.values())

    def check_pairs(self) -> None:
        """Raises UserError where a split has not as many second images as first ones."""
        for split, part in self.rows.items():
            if part.partners is not None and len(part.partners) != len(part.items):
                raise UserError(
                    f"there are {len(part.items)} inputs and {len(part.partners)} targets in {split}; give one target "
                    "for each input, in the same order."
                )

    @property
    def has_texts(self) -> bool:
        """Whether texts describe the images."""
        return any(part.texts is not None for part in self.rows.values())

    @property
    def suffixes(self) -> set[str]:
        """The suffixes of the items that are paths; ".mid" for music."""
        items = [item for part in self.rows.values() for item in part.items]
        paths = {Path(item).suffix.lower() for item in items if isinstance(item, str | Path)}
        return paths | {".mid" for item in items if hasattr(item, "midi")}


class MemoryTree:
    """The items of PythonData as files of a tree (archives.FileTree): paths are read, music is written as MIDI."""

    def __init__(self, data: PythonData, suffix: str) -> None:
        """suffix: of the names that items get"""
        self.place, self.skipped = "", list[Dropped]()
        self.items: dict[str, Any] = {}
        for split, rows in data.rows.items():
            for i, item in enumerate(rows.items):
                folder = f"{split}/" if len(data.rows) > 1 else ""
                self.items[f"{folder}{i:06}{suffix}"] = item
        self.stamps = dict.fromkeys(self.items, "")

    def read(self, name: str) -> bytes:
        """The bytes of an item. Raises InvalidFile."""
        item = self.items[name]
        if hasattr(item, "midi"):
            return bytes(item.midi())
        if isinstance(item, bytes):
            return item
        if not isinstance(item, str | Path):
            raise InvalidFile(f"it is {_kind(item)}, not a path")
        try:
            return Path(item).expanduser().read_bytes()
        except OSError as error:
            raise InvalidFile(f"unreadable: {error.strerror}") from None

    def head(self, name: str, count: int = 64) -> bytes:
        """The first bytes of an item. Raises InvalidFile."""
        return self.read(name)[:count]

    def close(self) -> None:
        """Nothing is open."""


def python_data(value: Any) -> Any:
    """A path, the name of a set or open data as it is, two folders as "a,b"; anything else as PythonData.

    Raises UserError.
    """
    if isinstance(value, str | Path) or (hasattr(value, "fingerprint") and hasattr(value, "batch")):
        return value
    if places := _two_places(value):
        return places
    if isinstance(value, Mapping) and value and all(_split_of(key) for key in value):
        return PythonData.of({str(_split_of(key)): _rows(part) for key, part in value.items()})
    return PythonData.of({"train": _rows(value)})


def place_of(value: Any) -> str | Path:
    """A path, a name, or PythonData; of open data what it was opened from. Raises UserError."""
    data = python_data(value)
    return data if isinstance(data, str | Path) else data.spec


def is_text(items: Sequence[Any]) -> bool:
    """Whether items are lines: texts, which paths are not any more (see _known), or reverie's own."""
    return bool(items) and (
        all(isinstance(item, str) for item in items) or all(hasattr(item, "line") for item in items)
    )


def is_image(value: Any) -> bool:
    """Whether a value is one image: Pillow's, ours, an array or tensor [H,W], [H,W,C] or [C,H,W]; not a path."""
    if isinstance(value, PIL.Image.Image) or hasattr(value, "pixels"):
        return True
    return is_array(value) and getattr(value, "ndim", 0) in (2, 3) and min(value.shape[-2:]) > 0


def is_array(value: Any) -> bool:
    """Whether a value is an array or tensor."""
    return hasattr(value, "__array__") and hasattr(value, "shape") and not hasattr(value, "pixels")


def hwc(array: Any, batch: bool = False) -> np.ndarray:
    """An image as an array [H,W] or [H,W,C]; with batch, many as [N,H,W] or [N,H,W,C]. Raises UserError.

    A tensor of torch has its channels first where either may be; a NumPy array has them last.
    """
    tensor = hasattr(array, "detach")
    if tensor:
        array = array.detach().cpu()
        array = array.float() if str(array.dtype) == "torch.bfloat16" else array
    pixels = np.asarray(array)
    if pixels.dtype.kind not in "buif":
        raise UserError(f"an array of {pixels.dtype} holds no images; {WHAT_IS_TAKEN}.")
    shape = pixels.shape[1:] if batch else pixels.shape
    if len(shape) == 2:
        return pixels
    if len(shape) != 3:
        raise UserError(f"an array of shape {list(pixels.shape)} holds no images; {WHAT_IS_TAKEN}.")
    first, last = shape[0] in (1, 3, 4), shape[2] in (1, 2, 3, 4)
    if first and (tensor or not last):
        return np.moveaxis(pixels, -3, -1)
    if not last:
        raise UserError(f"an array of shape {list(pixels.shape)} has neither 1, 3 nor 4 channels; {WHAT_IS_TAKEN}.")
    return pixels


def _split_of(key: Any) -> str | None:
    """The split that a key of a dict names: "train", "test", "val"; None if it names none."""
    found = split_named(key) if isinstance(key, str) else None
    return "test" if found == "eval" else found if found in SPLITS else None


def _two_places(value: Any) -> str:
    """Two folders or zips, of which one at least is there, as "a,b"; "" for anything else. Raises UserError."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return ""
    if not all(isinstance(one, str | Path) for one in value) or not any(map(_is_place, value)):
        return ""
    if not all(_is_place(one) or _looks_like_path(one) for one in value):  # a line may be the name of a folder
        return ""
    if comma := next((one for one in value if "," in str(one)), None):
        raise UserError(f"{comma} has a comma in its name, which stands between two places; rename it.")
    return ",".join(map(str, value))


def _looks_like_path(one: str | Path) -> bool:
    return isinstance(one, Path) or "/" in one or "\\" in one or one.endswith(".zip")


def _rows(value: Any) -> Rows:
    """The rows of one split, of anything that may hold some. Raises UserError."""
    if isinstance(value, str | Path):
        raise UserError(
            f"{value} stands where images or lines in memory are expected; give these, or one path alone as the data."
        )
    loaded = getattr(value, "dataset", None)
    if loaded is not None and hasattr(value, "batch_size"):  # a DataLoader: its order and batches are of no importance
        value = loaded
    if isinstance(getattr(value, "column_names", None), list) and hasattr(value, "features"):
        return _of_columns({name: list(value[name]) for name in _used_columns(value.column_names)}, value.features)
    if isinstance(value, Mapping):
        return _of_columns({name: list(value[name]) for name in _used_columns(list(value))}, {})
    if is_array(value):
        return Rows(_array_items(value))
    if is_image(value):
        return Rows([value])
    if isinstance(value, tuple) and len(value) == 2 and (pair := _two(*value)) is not None:
        return pair
    if isinstance(value, bytes) or value is None or isinstance(value, bool | int | float):
        raise UserError(f"data is {_kind(value)}; {WHAT_IS_TAKEN}.")
    if not isinstance(value, Sequence) and hasattr(value, "__getitem__") and hasattr(value, "__len__"):
        items = [value[i] for i in range(len(value))]  # a data set of torch, which need not say where it ends
        return _of_items(items, getattr(value, "classes", None))
    if not isinstance(value, Iterable):
        raise UserError(f"data is {_kind(value)}; {WHAT_IS_TAKEN}.")
    return _of_items(list(value), getattr(value, "classes", None))


def _array_items(value: Any) -> list[Any]:
    """The images of an array or tensor: of four dimensions N of them, of three N grey ones or one, of two one."""
    ndim = len(value.shape)
    if ndim == 4:
        return list(hwc(value, batch=True))
    if ndim == 3 and not (value.shape[-1] in (1, 3, 4) or (hasattr(value, "detach") and value.shape[0] in (1, 3, 4))):
        return list(hwc(value, batch=True))
    return [hwc(value)]


def _two(first: Any, second: Any) -> Rows | None:
    """(images, labels) or (images, images); None where the tuple is a list of two items."""
    if is_image(first) and not (is_array(first) and len(first.shape) == 3):
        return None
    if isinstance(first, str | Path | bytes):
        return None
    second = list(second) if isinstance(second, Iterator | ValuesView) else second
    without_order = isinstance(second, Set | Mapping) and not any(name in second for name in IMAGE_COLUMNS)
    if without_order or (isinstance(second, str | None) and not is_image(first)):
        raise UserError(f"the labels are {_kind(second)}; give a list with one for each image, in the same order.")
    if (texts := _texts(second)) is not None:
        rows = _rows(first)
        if len(texts) != len(rows.items):
            raise UserError(f"there are {len(rows.items)} images and {len(texts)} texts; give one text for each.")
        return rows._replace(texts=texts)
    if (labels := _labels(second)) is not None:
        rows = _rows(first)
        if len(labels) != len(rows.items):
            raise UserError(f"there are {len(rows.items)} images and {len(labels)} labels; give one label for each.")
        return rows._replace(labels=labels)
    many = [value for value in (first, second) if is_array(value) or isinstance(value, Sequence | Iterable)]
    if len(many) == 2 and not isinstance(second, str):
        if isinstance(first, tuple) and isinstance(second, tuple):
            return None  # two items of a list, such as two pairs
        return Rows(_rows(first).items, _rows(second).items)
    return None


def _labels(value: Any) -> list[Any] | None:
    """A list of labels; None if the value is none. Raises UserError for labels of several values each."""
    if isinstance(value, list | tuple) and value and all(map(_is_row, value)):
        lengths = {len(one) for one in value}
        value = np.array([np.asarray(_on_cpu(one)) for one in value]) if len(lengths) == 1 else value
    if is_array(value):
        array = np.asarray(_on_cpu(value))
        if array.ndim == 2 and array.shape[1] > 1:
            raise UserError(
                f"the labels are of shape {list(array.shape)}; give one whole number or name for each image (of "
                "one-hot rows: labels.argmax(1))."
            )
        return [_label(one) for one in array.ravel().tolist()] if array.ndim in (1, 2) else None
    if isinstance(value, list | tuple | range) and value and all(_is_label(one) for one in value):
        if _are_paths(value):
            return None  # the images of a second domain
        return [_label(one) for one in value]
    return None


def _is_row(value: Any) -> bool:
    """Whether a value is a row of numbers or names, such as [1] or [0, 1, 0]."""
    if is_array(value):
        return len(value.shape) == 1 and len(value) > 0
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, str | int | float) for one in value)


def _texts(value: Any) -> list[list[str]] | None:
    """Descriptions, one or several an item; None if most are no sentences, but names, paths or numbers."""
    if not isinstance(value, list | tuple) or not value:
        return None
    texts = [[entry] if isinstance(entry, str) else entry for entry in value]
    if not all(isinstance(entry, list | tuple) and all(isinstance(one, str) for one in entry) for entry in texts):
        return None
    written = [one.strip() for entry in texts for one in entry if one.strip()]
    prose = sum(len(one.split()) > 3 or one[-1] in ".!?。！？" for one in written)
    return [list(entry) for entry in texts] if 2 * prose > len(written) else None


def _on_cpu(value: Any) -> Any:
    return value.detach().cpu() if hasattr(value, "detach") else value


def _is_label(value: Any) -> bool:
    if value is None or isinstance(value, str | int | np.integer | np.str_):
        return True
    return is_array(value) and len(value.shape) == 0


def _label(value: Any) -> Any:
    """A label as an int, a str or None, also of NaN. Raises UserError for other values."""
    if is_array(value):
        value = np.asarray(_on_cpu(value)).item()
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):  # what is missing in a table of pandas
        return None
    if isinstance(value, float) and not value.is_integer():
        raise UserError(f"a label is {value}; labels are whole numbers or names.")
    return int(value)


def _of_items(items: list[Any], names: Any = None) -> Rows:
    """Rows of a list whose items are images, lines, paths, dicts, (item,), (image, label) or (image, image)."""
    names = [str(name) for name in names] if isinstance(names, list | tuple) else None
    if not items:
        return Rows([])
    first = items[0]
    if isinstance(first, Mapping):
        if not all(isinstance(item, Mapping) and item.keys() == first.keys() for item in items):
            raise UserError("the items of the data are dicts with different keys; give all the same.")
        columns = {name: [item[name] for item in items] for name in _used_columns(list(first))}
        return _of_columns(columns, {}, names)
    if isinstance(first, tuple | list):
        if not all(isinstance(item, tuple | list) and len(item) == len(first) for item in items):
            raise UserError("the items of the data are tuples of different lengths; give all the same.")
        columns_of = [list(column) for column in zip(*items, strict=True)]
        if len(columns_of) == 1:
            return Rows(_known(columns_of[0]), names=names)
        if len(columns_of) != 2:
            raise UserError(f"the items of the data are tuples of {len(first)}; give (image, label) or (image, image).")
        if (texts := _texts(columns_of[1])) is not None:
            return Rows(_known(columns_of[0]), texts=texts)
        labels = _labels(columns_of[1])
        if labels is not None:
            return Rows(_known(columns_of[0]), labels=labels, names=names)
        return Rows(_known(columns_of[0]), _known(columns_of[1]))
    return Rows(_known(items), names=names)


def _known(items: list[Any]) -> list[Any]:
    """The items, if all are of a kind that can be learnt from; texts that are paths become Path. Raises UserError."""
    if all(isinstance(item, str) for item in items) and not (_are_paths(items) or all(map(_is_place, items))):
        return items
    for i, item in enumerate(items):
        known = isinstance(item, bytes) or hasattr(item, "line") or hasattr(item, "midi")
        if isinstance(item, str | Path):
            items[i] = Path(item)
        elif isinstance(item, Mapping) and isinstance(item.get("bytes"), bytes):
            items[i] = item["bytes"]
        elif not (known or is_image(item)):
            raise UserError(f"item {i} of the data is {_kind(item)}; {WHAT_IS_TAKEN}.")
    _check_files([item for item in items if isinstance(item, Path)])
    return items


def _are_paths(items: Sequence[Any]) -> bool:
    """Whether texts are paths rather than lines or names: half of them are files, or end as those of data do."""
    if not items or not all(isinstance(item, str) for item in items):
        return False
    tried = items[:: -(-len(items) // PATHS_TRIED)]
    found = sum(medium_of(item) in ("image", "music", "text", "table") or _is_file(item) for item in tried)
    return 2 * found >= len(tried)


def _check_files(paths: list[Path]) -> None:
    """Raises UserError where one is no file."""
    missing = [path for path in paths if not _is_file(path)]
    if not missing:
        return
    if _is_place(missing[0]):
        raise UserError(
            f"{missing[0]} is a folder in a list of files; give one folder as it is, two as 'a,b', or the files."
        )
    more = f", and {len(missing) - 1} more of the {len(paths)} paths are missing too" if len(missing) > 1 else ""
    raise UserError(f"there is no file {missing[0]}{more}; correct it, or leave it out.")


def _used_columns(names: list[Any]) -> list[str]:
    """The columns of images or text, and of labels, partners or what describes images. Raises UserError."""
    of = [next((name for name in known if name in names), None) for known in (
        IMAGE_COLUMNS, TEXT_COLUMNS, LABEL_COLUMNS, PARTNER_COLUMNS, CAPTION_COLUMNS)]  # fmt: skip
    if of[0] is None and of[1] is None:
        listed = ", ".join(map(str, names[:8]))
        raise UserError(f"the data has the columns {listed}; name the one of the images `image`, or of lines `text`.")
    return [name for name in (of[0] or of[1], of[2] or ((of[3] or of[4]) if of[0] else None)) if name]


def _of_columns(columns: dict[str, list[Any]], features: Mapping[str, Any], names: list[str] | None = None) -> Rows:
    """Rows of the columns of `_used_columns`; features: of a Hugging Face data set, which name the classes."""
    first, *rest = columns
    items = columns[first]
    if len(items) == 1 and is_array(items[0]) and len(items[0].shape) == 4:
        items = _array_items(items[0])
    if not rest:
        return Rows(_known(items))
    if (texts := _texts(columns[rest[0]])) is not None:
        return Rows(_known(items), texts=texts)
    if rest[0] in CAPTION_COLUMNS:  # tags or names, and no descriptions
        return Rows(_known(items))
    named = getattr(features.get(rest[0]), "names", None) if features else None
    labels = _labels(columns[rest[0]])
    if labels is None:
        return Rows(_known(items), _known(columns[rest[0]]))
    return Rows(_known(items), labels=labels, names=list(named) if named else names)


def _kind(value: Any) -> str:
    """What a value is, without its content."""
    shape = f" of shape {list(value.shape)}" if is_array(value) else ""
    return "None" if value is None else f"of the type {type(value).__name__}{shape}"


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # too long, a ~ of nobody, a zero character
        return False


def _is_place(path: str | Path) -> bool:
    """Whether a path is a folder or a zip."""
    try:
        return (place := Path(path).expanduser()).is_dir() or is_zip(place)
    except (OSError, RuntimeError, ValueError):
        return False
