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
* a Hugging Face data set, or a dict of columns: columns image or img, label or labels, those of
  `reverie.data.tables.CAPTION_COLUMNS`; or of LINE_COLUMNS alone

Texts are paths if half of them are files or end as files do; a path of no file is refused, not learnt from as a line.

N items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from pathlib import Path
from typing import Any, NamedTuple

from reverie.data.archives import Dropped
from reverie.data.data_spec import DataSpec
from reverie.data.file_types import InvalidFile
from reverie.data.python_values import (
    WHAT_IS_TAKEN,
    are_paths,
    hwc,
    is_array,
    is_file,
    is_image,
    is_one_image,
    is_place,
    labels_of,
    texts_of,
    type_of,
)
from reverie.data.splits import SPLITS, split_named
from reverie.data.tables import CAPTION_COLUMNS, LINE_COLUMNS
from reverie.runs.data_place import IN_MEMORY
from reverie.utils.errors import UserError

IMAGE_COLUMNS = ("image", "img", "images", "pixel_values", "x")
PARTNER_COLUMNS = ("target", "output", "image_b", "b")
"""columns of the second images of pairs; `label` where it holds images is one too"""
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "category", "y")


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
            raise InvalidFile(f"it is {type_of(item)}, not a path")
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


def _split_of(key: Any) -> str | None:
    """The split that a key of a dict names: "train", "test", "val"; None if it names none."""
    found = split_named(key) if isinstance(key, str) else None
    return "test" if found == "eval" else found if found in SPLITS else None


def _two_places(value: Any) -> str:
    """Two folders or zips, of which one at least is there, as "a,b"; "" for anything else. Raises UserError."""
    if not isinstance(value, tuple | list) or len(value) != 2 or not all(isinstance(one, str | Path) for one in value):
        return ""
    there = [one for one in value if is_place(one)]
    if not there or not all(one in there or _looks_like_path(one) for one in value):  # a line may be a folder's name
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
        raise UserError(f"data is {type_of(value)}; {WHAT_IS_TAKEN}.")
    if not isinstance(value, Sequence) and hasattr(value, "__getitem__") and hasattr(value, "__len__"):
        items = [value[i] for i in range(len(value))]  # a data set of torch, which need not say where it ends
        return _of_items(items, getattr(value, "classes", None))
    if not isinstance(value, Iterable):
        raise UserError(f"data is {type_of(value)}; {WHAT_IS_TAKEN}.")
    return _of_items(list(value), getattr(value, "classes", None))


def _array_items(value: Any) -> list[Any]:
    """The images of an array or tensor: of four dimensions N of them, of three N grey ones or one, of two one."""
    ndim = len(value.shape)
    if ndim == 4:
        return list(hwc(value, batch=True))
    if ndim == 3 and not is_one_image(value):
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
        raise UserError(f"the labels are {type_of(second)}; give a list with one for each image, in the same order.")
    if (texts := texts_of(second)) is not None:
        rows = _rows(first)
        if len(texts) != len(rows.items):
            raise UserError(f"there are {len(rows.items)} images and {len(texts)} texts; give one text for each.")
        return rows._replace(texts=texts)
    if (labels := labels_of(second)) is not None:
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
        if (texts := texts_of(columns_of[1])) is not None:
            return Rows(_known(columns_of[0]), texts=texts)
        labels = labels_of(columns_of[1])
        if labels is not None:
            return Rows(_known(columns_of[0]), labels=labels, names=names)
        return Rows(_known(columns_of[0]), _known(columns_of[1]))
    return Rows(_known(items), names=names)


def _known(items: list[Any]) -> list[Any]:
    """The items, if all are of a kind that can be learnt from; texts that are paths become Path. Raises UserError."""
    if all(isinstance(item, str) for item in items) and not (are_paths(items) or all(map(is_place, items))):
        return items
    for i, item in enumerate(items):
        known = isinstance(item, bytes) or hasattr(item, "line") or hasattr(item, "midi")
        if isinstance(item, str | Path):
            items[i] = Path(item)
        elif isinstance(item, Mapping) and isinstance(item.get("bytes"), bytes):
            items[i] = item["bytes"]
        elif not (known or is_image(item)):
            raise UserError(f"item {i} of the data is {type_of(item)}; {WHAT_IS_TAKEN}.")
    _check_files([item for item in items if isinstance(item, Path)])
    return items


def _check_files(paths: list[Path]) -> None:
    """Raises UserError where one is no file."""
    missing = [path for path in paths if not is_file(path)]
    if not missing:
        return
    if is_place(missing[0]):
        raise UserError(
            f"{missing[0]} is a folder in a list of files; give one folder as it is, two as 'a,b', or the files."
        )
    more = f", and {len(missing) - 1} more of the {len(paths)} paths are missing too" if len(missing) > 1 else ""
    raise UserError(f"there is no file {missing[0]}{more}; correct it, or leave it out.")


def _used_columns(names: list[Any]) -> list[str]:
    """The columns of images or text, and of labels, partners or what describes images. Raises UserError."""
    of = [next((name for wanted in known for name in names if str(name).casefold() == wanted), None) for known in (
        IMAGE_COLUMNS, LINE_COLUMNS, LABEL_COLUMNS, PARTNER_COLUMNS, CAPTION_COLUMNS)]  # fmt: skip
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
    if (texts := texts_of(columns[rest[0]])) is not None:
        return Rows(_known(items), texts=texts)
    if rest[0].casefold() in CAPTION_COLUMNS:  # tags or names, and no descriptions
        return Rows(_known(items))
    named = getattr(features.get(rest[0]), "names", None) if features else None
    labels = labels_of(columns[rest[0]])
    if labels is None:
        return Rows(_known(items), _known(columns[rest[0]]))
    return Rows(_known(items), labels=labels, names=list(named) if named else names)
