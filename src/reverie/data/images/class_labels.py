"""Which class each image is of: by folders, by a table beside the images, or by what file names begin with.

* `labels` "auto": first-level folders where they label all images of train (see sources.py), else a table.
* A table is CSV, TSV, JSONL, or lines of "name label" in a text file. One column names images: by path, by name, or by
  name without suffix (of several images of one name the one whose folders agree, else that of train). The other one
  that is read is called label, class, category, target or like; else it is the only other one; else the only one of
  words that repeat. Two that say the same in other words are one.
* Tables that have the same columns (train.csv and test.csv) are read together. Where folders say nothing of splits, a
  column with train, test or val in every row does, or the names of these tables.
* A table that is called submission is not read, since its labels are no labels.

Where that leaves a choice nothing is guessed: a warning names the columns, and `labels` states one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from reverie.data.archives import FileTree
from reverie.data.data_spec import LABELS
from reverie.data.file_types import SUFFIXES, InvalidFile
from reverie.data.images.annotations import find_annotations
from reverie.data.media_types import TABLE_SUFFIXES
from reverie.data.splits import name_without_split, split_named
from reverie.data.tables import Table, find_column, read_table, suffix_of
from reverie.utils.errors import UserError, near_miss

MAX_TABLES = 20
"""tables that are looked into, and text files that may be some; more of these are something else"""
LABEL_WORDS = {
    "label", "labels", "class", "classes", "category", "categories", "target", "targets", "classname", "classid",
    "classlabel", "labelname", "labelid", "categoryname", "categoryid", "y",
}  # fmt: skip
"""a column with one of these words in its name, and beside it only words of _BESIDE, holds the classes"""
_BESIDE = {"id", "name", "idx", "index", "no", "num", "number", "code", "str", "text", "image", "img", "true"}
_NO_TABLE = re.compile("submission|sample_sub", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_NUMBERED = re.compile(r"^(.*?)[\s._\-#]*\(?\d+\)?$")
_NUMBER_FIRST = re.compile(r"^\(?\d+\)?[\s._\-#]+(\D.*)$")
_CAMERA = {
    "", "img", "image", "dsc", "dscn", "dscf", "dscs", "p", "pxl", "pic", "picture", "photo", "foto", "screenshot",
    "scan", "frame", "file", "page", "im", "untitled", "download", "sample", "out", "output", "mvimg", "vid",
}  # fmt: skip
"""beginnings of file names that cameras and programs give, and that say nothing of a class"""

_PART_WORDS = {
    "part", "parts", "batch", "shard", "chunk", "folder", "dir", "images", "image", "img", "imgs", "data", "set",
}  # fmt: skip
"""what folders are called that share out the files of one set"""


class LocatedFile(NamedTuple):
    """An image file and where it belongs by its path."""

    name: str
    split: str
    folder: str
    """the first-level folder inside the split; "" if there is none"""


class ClassLabels(NamedTuple):
    """The classes of images."""

    of: dict[str, str]
    """name of a file -> its class; "" or missing if it has none"""
    missing: str = ""
    """why an image without a class is dropped from a split of labelled ones; "": such a split is unlabelled"""
    splits: dict[str, str] = {}
    """name of a file -> its split, where a table says so"""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    """the tables that are read"""


def find_labels(
    files: Sequence[LocatedFile],
    others: Sequence[str],
    tree: FileTree | None,
    title: str,
    labels: str = "auto",
    splits_known: bool = False,
) -> ClassLabels:
    """The classes of the images of a place.

    others: the names of the other files of the tree, in which tables are looked for
    labels: of LABELS, or the name or number of a column
    splits_known: whether folders or file names, or the user, say of splits; tables then do not

    Raises UserError if `labels` is none of these, and no table has a column of that name.
    """
    by_folder = ClassLabels({file.name: file.folder for file in files})
    if labels == "none":
        return ClassLabels({})
    if labels == "names":
        return ClassLabels({file.name: class_in_name(file.name) for file in files}, "without a number after a class")
    if labels == "folders":
        return by_folder._replace(missing="outside the class folders")
    boxes = find_annotations((file.name for file in files), others, tree) if tree else ""
    tables, unread = _tables(files, others, tree, with_lists=not boxes) if tree else ([], ())
    column = None if labels == "auto" else labels
    chosen, doubt = _choose(tables, column)
    if not chosen and column is not None:
        raise UserError(_no_column(title, column, tables))
    if column is None and _labels_all(files):
        return _by_folders(by_folder.of, files, tables, chosen)
    if chosen:
        of_table = _from_tables(chosen, splits_known)
        train = [file.name for file in files if (of_table.splits.get(file.name) or file.split) == "train"]
        named = sum(name in of_table.of for name in train)
        if column is not None or 2 * named >= len(train):
            return of_table._replace(warnings=(*of_table.warnings, *doubt))
        table, column = chosen[0]
        several = f" ({of_table.warnings[0]})" if of_table.warnings else ""
        doubt = (
            f"unlabelled: {table.name} says the class of {named} of {len(train)} images only{several}; --labels "
            f"{column} takes these and leaves out the others",
        )
    if boxes and not doubt:
        doubt = (f"unlabelled: {boxes}, which are not read; put each class into a folder named after it",)
    return by_folder._replace(warnings=doubt or unread or _look_like_classes(files))


def without_labels(data: Any) -> str:
    """The message that open data has no labels, and what may be done."""
    reasons = [text.removeprefix("unlabelled: ") for text in data.warnings if text.startswith("unlabelled: ")]
    if reasons:
        return f"{data.spec} has no labels: {reasons[0]}."
    return f"{data.spec} has no labels; put each class into a folder of its own, named after it."


def _labels_all(files: Iterable[LocatedFile]) -> bool:
    """Whether the folders label all images of train."""
    folders = {file.folder for file in files if file.split == "train"}
    return len(folders) > 1 and "" not in folders


def _by_folders(
    of: dict[str, str], files: Sequence[LocatedFile], tables: list[_LabelTable], chosen: list[tuple[_LabelTable, str]]
) -> ClassLabels:
    """The classes that folders say, and in other splits, where there are no folders, a table in the same words."""
    train = [file.name for file in files if file.split == "train"]
    classes = {of[name] for name in train}
    said = _from_tables(chosen, splits_known=True).of if chosen else {}
    both = [name for name in train if name in said]
    agree = _same_classes([said[name] for name in both], [of[name] for name in both])
    in_words = {said[name]: of[name] for name in both} if agree else {}
    if 2 * len(both) >= len(train) and not agree:
        table, column = chosen[0]
        text = f"labelled by folders, although column '{column}' of {table.name} says other classes"
        return ClassLabels(of, warnings=(f"{text}; if these are meant: --labels {column}",))
    words = {word.lower() for name in classes for word in _WORD.findall(name)}
    if words and words <= _PART_WORDS:
        columns = f", or a column of {tables[0].name} instead" if tables else ""
        text = f"folders such as {min(classes)} are taken for classes; --labels states none{columns}"
        return ClassLabels(of, warnings=(text,))
    return ClassLabels({name: of.get(name) or in_words.get(said.get(name, ""), "") for name in of})


# -- file names --------------------------------------------------------------------------------------------------------


def class_in_name(name: str) -> str:
    """What the name of a file says before, or else after, its number; "" if it has none.

    >>> class_in_name("cat.12.jpg"), class_in_name("train_great_dane_3.png"), class_in_name("7_cat.png")
    ('cat', 'great_dane', 'cat')
    """
    stem = name_without_split(name)
    found = _NUMBERED.match(stem)
    if found and found[1]:
        return found[1].strip(" ._-")
    found = _NUMBER_FIRST.match(stem)
    return found[1].strip(" ._-") if found else ""


def _look_like_classes(files: Sequence[LocatedFile]) -> tuple[str, ...]:
    """A warning if file names begin with what may be classes."""
    train = [file.name for file in files if file.split == "train"]
    counts = Counter(class_in_name(name) for name in train)
    unnamed = sum(count for name, count in counts.items() if name.casefold() in _CAMERA)
    if len(counts) < 2 or 10 * unnamed > len(train) or 5 * len(counts) > len(train) or min(counts.values()) < 2:
        return ()
    shown = " and ".join(f"{name} ({count})" for name, count in counts.most_common(2))
    return (f"unlabelled: file names say {shown}, which may be classes; if they are: --labels names",)


# -- tables ------------------------------------------------------------------------------------------------------------


class _LabelTable(NamedTuple):
    """A table of which a column names images."""

    name: str
    header: list[str]
    file_column: str
    file_of: list[str]
    """the image that each row names; "" if it is not there"""
    columns: dict[str, list[str]]
    """the other columns"""


def _tables(
    files: Sequence[LocatedFile], others: Sequence[str], tree: FileTree, with_lists: bool
) -> tuple[list[_LabelTable], tuple[str, ...]]:
    """The tables that name images, and a warning of one that does not, if no other does.

    with_lists: whether text files may be tables
    """
    tables = sorted(name for name in others if suffix_of(name) in TABLE_SUFFIXES and not _NO_TABLE.search(name))
    lists = sorted(name for name in others if suffix_of(name) in (".txt", ".lst"))
    if with_lists and len(lists) <= MAX_TABLES:
        tables += lists
    found, unread, index = list[_LabelTable](), list[str](), ImageIndex(files) if tables else None
    for name in tables[:MAX_TABLES]:
        try:
            table = read_table(name, tree.read(name))
        except InvalidFile as invalid:
            unread += [f"{name} is {invalid}"] if name not in lists else []
            continue
        assert index is not None
        if (of_images := _of_images(name, table, index)) is not None:
            found.append(of_images)
        elif name not in lists:
            unread.append(f"{name} has no column that names the images here")
    unread += [
        f"{name} is not read; save it as CSV"
        for name in sorted(others)
        if name.lower().endswith((".xlsx", ".xls", ".parquet", ".ods"))
    ]
    advice = "if it holds labels, correct that, or put each class into a folder named after it"
    return found, (f"unlabelled: {unread[0]}; {advice}",) if unread and not found else ()


def _of_images(name: str, table: Table, index: ImageIndex) -> _LabelTable | None:
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
    if not best:
        return None
    others = {column: [row[column] for row in rows] for column in header if column != best}
    return _LabelTable(name, header, best, best_files, others)


class ImageIndex:
    """Finds the images that texts name."""

    def __init__(self, files: Sequence[LocatedFile]) -> None:
        self.split_of = {file.name: file.split for file in files}
        self.by_name, self.by_stem = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
        for file in files:
            last = _folded(file.name).rpartition("/")[2]
            self.by_name[last].append(file.name)
            self.by_stem[last.rpartition(".")[0] or last].append(file.name)

    def find(self, text: str, table: str) -> str:
        """The image that a text names in a table of that name, "" if none or several."""
        path = _folded(text.replace("\\", "/").removeprefix("./"))
        last = path.rpartition("/")[2]
        if not last:
            return ""
        found = self.by_name.get(last) or []
        if not found and last[last.rfind(".") :] not in SUFFIXES:
            found = self.by_stem.get(last) or []
        if len(found) > 1:
            shared = [_shared_folders(name, path) for name in found]
            found = [name for name, count in zip(found, shared, strict=True) if count == max(shared)]
        if len(found) > 1:
            split = split_named(table.rpartition("/")[2].partition(".")[0]) or "train"
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


def _choose(tables: list[_LabelTable], column: str | None) -> tuple[list[tuple[_LabelTable, str]], tuple[str, ...]]:
    """The tables that say what class images are of, each with the column; and a warning where there is a doubt."""
    if column is not None:
        asked = [(table, find_column(table.header, column)) for table in tables]
        return [(table, name) for table, name in asked if name and name in table.columns], ()
    for by_name in (True, False):
        found = [(table, columns) for table in tables if (columns := _label_columns(table, by_name))]
        if not found:
            continue
        choices = {columns[0] for _, columns in found} if all(len(columns) == 1 for _, columns in found) else set()
        if len(choices) == 1:
            guess = (
                f"column '{found[0][1][0]}' of {found[0][0].name} is taken for classes; --labels none: there are none"
            )
            return [(table, columns[0]) for table, columns in found], () if by_name else (guess,)
        listed = ", ".join(dict.fromkeys(column for _, columns in found for column in columns))
        names = " and ".join(table.name for table, _ in found[:2])
        return [], (f"unlabelled: {names} may hold classes in {listed}; --labels COLUMN says which column is read",)
    if not tables:
        return [], ()
    listed = ", ".join(list(tables[0].columns)[:8]) or "none"
    what = f"unlabelled: {tables[0].name} names the images, but no other column looks like classes (it has {listed})"
    return [], (f"{what}; --labels COLUMN takes one",)


def _label_columns(table: _LabelTable, by_name: bool) -> list[str]:
    """The columns that may hold classes: by their names, or else by what is in them; of equal ones one in words."""
    kept = dict[str, list[str]]()
    for column, values in table.columns.items():
        distinct = set(values) - {""}
        if len(distinct) < 2 or (_split_column(values) and len(table.columns) > 1):
            continue
        words = [word.lower() for word in _WORD.findall(column)] or [column.lower()]
        named = bool(LABEL_WORDS & set(words)) and set(words) <= LABEL_WORDS | _BESIDE
        numeric = all(re.fullmatch(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", value, re.IGNORECASE) for value in distinct)
        alone = len(table.columns) == 1 and not any("." in value for value in distinct if numeric)
        repeats = 2 * len(distinct) <= sum(map(bool, values)) and (alone or not numeric)
        if named if by_name else repeats:
            kept[column] = values
    for column in sorted(kept, key=lambda name: all(value.isdecimal() for value in kept[name]), reverse=True):
        if any(_same_classes(kept[column], values) for other, values in kept.items() if other != column):
            del kept[column]
    return list(kept)


def _same_classes(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two columns tell rows apart alike."""
    pairs = set(zip(one, other, strict=True))
    return len(pairs) == len(set(one)) == len(set(other))


def _split_column(values: Sequence[str]) -> dict[str, str]:
    """value -> split, if all values name splits, train and another one among them; else {}."""
    distinct = set(values)
    if len(distinct) > 8:
        return {}
    named = {value: split for value in distinct if (split := split_named(value))}
    splits = set(named.values())
    return named if len(named) == len(distinct) and len(splits) > 1 and "train" in splits else {}


def _from_tables(chosen: list[tuple[_LabelTable, str]], splits_known: bool) -> ClassLabels:
    """The classes that tables say, and the splits where nothing else does."""
    found: dict[str, str] = {}
    clashes, unknown, warnings = set[str](), 0, list[str]()
    for table, column in chosen:
        for file, value in zip(table.file_of, table.columns[column], strict=True):
            label = unicodedata.normalize("NFC", " ".join(value.split()))
            unknown += not file
            if file and label and found.setdefault(file, label) != label:
                clashes.add(file)
    names = " and ".join(table.name for table, _ in chosen[:2]) + (" ..." if len(chosen) > 2 else "")
    notes = [f"labels are those of column '{chosen[0][1]}' of {names}"]
    if unknown:
        notes.append(f"{unknown} rows of {names} name no image that is there")
    if clashes:
        example = min(clashes)
        text = f"{len(clashes)} images, such as {example}, have several labels in {names} and are not used"
        warnings.append(text)
        found = {file: label for file, label in found.items() if file not in clashes}
    splits = {} if splits_known else _table_splits(chosen)
    used = tuple(table.name for table, _ in chosen)
    return ClassLabels(found, f"without a label in {names}", splits, tuple(notes), tuple(warnings), used)


def _table_splits(chosen: list[tuple[_LabelTable, str]]) -> dict[str, str]:
    """The splits that a column of the tables says, or the names of the tables."""
    found: dict[str, str] = {}
    for table, _ in chosen:
        for values in table.columns.values():
            if named := _split_column(values):
                found |= {file: named[value] for file, value in zip(table.file_of, values, strict=True) if file}
                break
    if found:
        return found
    by_table = {table.name: split_named(table.name.rpartition("/")[2].partition(".")[0]) for table, _ in chosen}
    if len(set(by_table.values())) > 1 and "train" in by_table.values() and None not in by_table.values():
        for table, _ in reversed(chosen):
            found |= dict.fromkeys((file for file in table.file_of if file), by_table[table.name] or "")
    return found


def _no_column(title: str, column: str, tables: list[_LabelTable]) -> str:
    known = list(dict.fromkeys(name for table in tables for name in table.columns))
    if known:
        hint = near_miss(column, [*known, *LABELS]) or f" It has: {', '.join(known[:12])}."
        return f"labels is '{column}', and {tables[0].name} has no such column.{hint}"
    hint = near_miss(column, LABELS) or f" It is one of {', '.join(LABELS)}, or a column of a table beside the images."
    return f"labels is '{column}', and no table in {title} names the images in one of its columns.{hint}"
