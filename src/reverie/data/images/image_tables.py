"""Tables beside images of which a column names the images: CSV, TSV, JSON, or lines of text.

* Images are named by path, by name, or by name without suffix; of several images of one name by the one whose folders
  agree, else by that of the split that the table is named for, else by that of train.
* Or by the numbers that another table beside gives them (`1 001.cat/cat_1.jpg` in one, `1 0` in the other).
* A table that is called submission is not read, since its labels are no labels. Of lists in text and JSON those of the
  upper folders are read, since below them there may be one for each image.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from reverie.data.archives import FileTree
from reverie.data.file_types import SUFFIXES, InvalidFile
from reverie.data.images.annotations import find_annotations
from reverie.data.images.records import LocatedFile
from reverie.data.media_types import TABLE_SUFFIXES
from reverie.data.splits import split_named
from reverie.data.tables import Table, read_table, suffix_of

MAX_TABLES = 20
"""tables that are looked into, and text files that may be some; more of these are something else"""
MAX_LINES, MOST_LINES = 10_000, 4
"""of a text file that may be a list of images: so many, or so many for each image"""
_NO_TABLE = re.compile("submission|sample_sub", re.IGNORECASE)
_SHEETS = (".xlsx", ".xls", ".parquet", ".ods")
"""tables of programs, which are not read"""


class ImageTable(NamedTuple):
    """A table of which a column names images."""

    name: str
    header: list[str]
    file_of: list[str]
    """the image that each row names; "" if it is not there"""
    columns: dict[str, list[str]]
    """the other columns; {} of a list of images"""
    distinct: dict[str, set[str]]
    """the values that occur in each of these"""

    @property
    def split(self) -> str | None:
        """The split that its name says: "test" of test.csv."""
        return split_named(self.name.rpartition("/")[2].partition(".")[0])


class ImageTables(NamedTuple):
    """What stands beside images."""

    tables: list[ImageTable]
    boxes: str = ""
    """which files hold boxes or outlines; then lists are not read. "" if there are none"""
    unread: str = ""
    """why a table is not read that could hold labels, if no table names images; "" if there is none"""


def find_tables(files: Sequence[LocatedFile], others: Iterable[str], tree: FileTree) -> ImageTables:
    """The tables among `others`, the names of the other files of a tree, that name images."""
    others = sorted(others)
    boxes = find_annotations((file.name for file in files), others, tree)
    names = [name for name in others if suffix_of(name) in TABLE_SUFFIXES and not _NO_TABLE.search(name)]
    names = names[:MAX_TABLES] + ([] if boxes else _upper_lists(others))
    found, others_read, unread = list[ImageTable](), list[tuple[str, Table]](), list[str]()
    index = ImageIndex(files) if names else None
    for name in names:
        complains = suffix_of(name) in TABLE_SUFFIXES
        try:
            data = tree.read(name)
            if not complains and data.count(b"\n") > max(MAX_LINES, MOST_LINES * len(files)):
                continue  # of something else, such as the attributes of each image one by one
            table = read_table(name, data)
        except InvalidFile as invalid:
            unread += [f"{name} is {invalid}"] if complains else []
            continue
        assert index is not None
        of_images = _of_images(name, table, index)
        if of_images is not None and (of_images.columns or of_images.split):
            found.append(of_images)
            continue
        others_read.append((name, table))
        if complains:
            why = "has no column that names the images here" if len(table.header) > 1 else "is no table of two columns"
            unread.append(f"{name} {why}")
    found += _by_number(others_read, found)
    unread += [f"{name} is not read; save it as CSV" for name in others if suffix_of(name) in _SHEETS]
    return ImageTables(found, boxes, unread[0] if unread and not found else "")


def _upper_lists(names: Iterable[str]) -> list[str]:
    """The text and JSON files of the upper folders: of as many levels as together hold MAX_TABLES at most."""
    lists = [name for name in names if suffix_of(name) in (".txt", ".lst", ".json") and not _NO_TABLE.search(name)]
    counts = Counter(name.count("/") for name in lists)
    depths = [depth for depth in counts if sum(counts[d] for d in counts if d <= depth) <= MAX_TABLES]
    return [name for name in lists if name.count("/") in depths]


def _of_images(name: str, table: Table, index: ImageIndex) -> ImageTable | None:
    """The table with the column that names the most images; None if none names images in half of its rows."""
    header, rows = table
    best, best_files, most = "", list[str](), (0, 0)
    for column in header:
        sample = [row[column] for row in rows[:500]]
        if 2 * sum(bool(index.find(value, name)) for value in sample) < len(sample):
            continue
        named = [index.find(row[column], name) for row in rows]
        with_suffix = sum(value[value.rfind(".") :].lower() in SUFFIXES for value in sample)
        if (score := (len({file for file in named if file}), with_suffix)) > most:
            best, best_files, most = column, named, score
    return _image_table(name, table, best, best_files) if best else None


def _image_table(name: str, table: Table, file_column: str, file_of: list[str]) -> ImageTable:
    columns = {column: [row[column] for row in table.rows] for column in table.header if column != file_column}
    return ImageTable(name, table.header, file_of, columns, {name: set(column) for name, column in columns.items()})


def _by_number(tables: Iterable[tuple[str, Table]], known: Iterable[ImageTable]) -> list[ImageTable]:
    """The tables whose first column has the numbers that one of those that are known gives the images."""
    numbers: dict[str, str] = {}
    for list_of in known:
        for values in list_of.columns.values():
            if len(list_of.columns) == 1 and len(set(values)) == len(values) and all(map(str.isdecimal, values)):
                numbers = dict(zip(values, list_of.file_of, strict=True))
    found = []
    for name, table in tables:
        first = [row[table.header[0]] for row in table.rows] if numbers and len(table.header) > 1 else []
        same = len(numbers.keys() & set(first))
        if first and 2 * same >= len(numbers) and 2 * same >= len(first):
            found.append(_image_table(name, table, table.header[0], [numbers.get(value, "") for value in first]))
    return found


class ImageIndex:
    """Finds the images that texts name."""

    def __init__(self, files: Sequence[LocatedFile]) -> None:
        self.split_of = {file.name: file.split for file in files}
        self.by_name, self.by_stem = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
        self.by_path: dict[str, str] = {}
        for file in files:
            path = _folded(file.name)
            self.by_path[path] = file.name
            last = path.rpartition("/")[2]
            self.by_name[last].append(file.name)
            self.by_stem[last.rpartition(".")[0] or last].append(file.name)

    def find(self, text: str, table: str) -> str:
        """The image that a text names in a table of that name, "" if none or several."""
        path = _folded(text.replace("\\", "/").removeprefix("./"))
        last = path.rpartition("/")[2]
        if not last:
            return ""
        beside = f"{_folded(table).rpartition('/')[0]}/{path}".lstrip("/")
        if exact := self.by_path.get(beside) or self.by_path.get(path):
            return exact
        found = self.by_name.get(last) or []
        if not found and last[last.rfind(".") :] not in SUFFIXES:
            found = self.by_stem.get(last) or []
        if len(found) > 1:
            path = f"{_folded(table).rpartition('/')[0]}/{path}"  # a table of train/ and of test/ names its own images
            shared = [_shared_folders(name, path) for name in found]
            found = [name for name, count in zip(found, shared, strict=True) if count == max(shared)]
        if len(found) > 1:
            parts = [part.partition(".")[0] for part in table.split("/")]
            split = next((split for part in reversed(parts) if (split := split_named(part))), "train")
            found = [name for name in found if self.split_of[name] == split]
        return found[0] if len(found) == 1 else ""


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip()).casefold()


def _shared_folders(name: str, path: str) -> int:
    """How many of the innermost folders of two paths are the same."""
    count = 0
    for one, other in zip(_folded(name).split("/")[-2::-1], path.split("/")[-2::-1], strict=False):
        if one != other:
            break
        count += 1
    return count
