"""Which class each image is of: by folders, by a table beside the images, or by what file names begin with.

* `labels` "auto": first-level folders where they label all images of train (see sources.py), else a table.
* Of a table (image_tables.py) the column that is read is called label, class, category, target or like; else it is the
  only other one; else the only one of words that repeat. Two that say the same in other words are one. A column that
  says splits (table_splits.py) holds no classes.
* Tables that have the same column (train.csv and test.csv) are read together, unless they say different things.

Where that leaves a choice nothing is guessed: a warning names the columns, and `labels` states one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from reverie.data.data_spec import LABELS
from reverie.data.images.image_tables import ImageTable, ImageTables
from reverie.data.images.records import LocatedFile
from reverie.data.images.table_splits import split_column
from reverie.data.splits import name_without_split
from reverie.data.tables import NUMBER, find_column
from reverie.utils.errors import UserError, near_miss

UNLABELLED = "this split is unlabelled, although train is labelled: "
"""how a note begins on a split, before the reason"""
LABEL_WORDS = {
    "label", "labels", "class", "classes", "category", "categories", "target", "targets", "classname", "classid",
    "classlabel", "labelname", "labelid", "categoryname", "categoryid", "y",
}  # fmt: skip
"""a column with one of these words in its name, and beside it only words of _BESIDE, holds the classes"""
_BESIDE = {"id", "name", "idx", "index", "no", "num", "number", "code", "str", "text", "image", "img", "true"}
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


class ClassLabels(NamedTuple):
    """The classes of images."""

    of: dict[str, str]
    """name of a file -> its class; "" or missing if it has none"""
    missing: str = ""
    """why an image without a class is dropped from a split of labelled ones; "": such a split is unlabelled"""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    """the tables that are read"""


def find_labels(files: Sequence[LocatedFile], beside: ImageTables, title: str, labels: str = "auto") -> ClassLabels:
    """The classes of the images of a place.

    beside: the tables that name them
    labels: of LABELS, or the name or number of a column, perhaps after the name of its table and a colon

    Raises UserError if `labels` is none of these, if no table has a column of that name, or if several have that say
    different things.
    """
    by_folder = ClassLabels({file.name: file.folder for file in files})
    if labels == "none":
        return ClassLabels({})
    if labels == "names":
        return ClassLabels({file.name: class_in_name(file.name) for file in files}, "without a number after a class")
    if labels == "folders":
        return by_folder._replace(missing="outside the class folders")
    tables = [table for table in beside.tables if table.columns]
    if labels != "auto":
        return _from_tables(_asked(tables, labels, title))
    chosen, doubt = _choose(tables)
    if _labels_all(files):
        return _by_folders(by_folder.of, files, tables, chosen)
    if chosen:
        of_table = _from_tables(chosen)
        train = [file.name for file in files if file.split == "train"]
        named = sum(name in of_table.of for name in train)
        if 2 * named >= len(train):
            return of_table._replace(warnings=(*of_table.warnings, *doubt))
        table, column = chosen[0]
        several = f" ({of_table.warnings[0]})" if of_table.warnings else ""
        doubt = (
            f"unlabelled: {table.name} says the class of {named} of {len(train)} images only{several}; --labels "
            f"{column} takes these and leaves out the others",
        )
    if beside.boxes and not doubt:
        doubt = (f"unlabelled: {beside.boxes}, which are not read; put each class into a folder named after it",)
    if beside.unread and not doubt:
        advice = "if it holds labels, correct that, or put each class into a folder named after it"
        doubt = (f"unlabelled: {beside.unread}; {advice}",)
    return by_folder._replace(warnings=(*_look_like_classes(files), *doubt))


def without_labels(data: Any) -> str:
    """The message that open data has no labels, and what may be done."""
    why = [note.removeprefix(UNLABELLED) for note in data.notes if note.startswith(UNLABELLED)]
    if why:
        return f"{data.spec} has no labels in its split {data.split}: {why[0]}; give --split train, which has."
    reasons = [text.removeprefix("unlabelled: ") for text in data.warnings if text.startswith("unlabelled: ")]
    if reasons:
        return f"{data.spec} has no labels: {reasons[0]}."
    return f"{data.spec} has no labels; put each class into a folder of its own, named after it."


def _labels_all(files: Iterable[LocatedFile]) -> bool:
    """Whether the folders label all images of train."""
    folders = {file.folder for file in files if file.split == "train"}
    return len(folders) > 1 and "" not in folders


def _by_folders(
    of: dict[str, str], files: Sequence[LocatedFile], tables: list[ImageTable], chosen: list[tuple[ImageTable, str]]
) -> ClassLabels:
    """The classes that folders say, and in other splits, where there are no folders, a table in the same words."""
    train = [file.name for file in files if file.split == "train"]
    classes = {of[name] for name in train}
    of_table = _from_tables(chosen) if chosen else ClassLabels({})
    said = of_table.of
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
    of_others = {
        name: in_words.get(label, label)
        for name, label in said.items()
        if of[name] not in classes and in_words.get(label, label) in classes
    }
    if not of_others:
        return ClassLabels(of)
    notes = [note.replace("labels are", "labels of images outside the class folders are", 1) for note in of_table.notes]
    return ClassLabels(of | of_others, notes=tuple(notes), tables=of_table.tables)


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


def _asked(tables: list[ImageTable], labels: str, title: str) -> list[tuple[ImageTable, str]]:
    """The tables that have the column that the user states, as COLUMN or TABLE:COLUMN. Raises UserError."""
    wanted, _, column = labels.rpartition(":")
    within = [table for table in tables if wanted and f"/{table.name}".endswith(f"/{wanted}")]
    asked = [(table, find_column(table.header, column if within else labels)) for table in within or tables]
    found = [(table, name) for table, name in asked if name and name in table.columns]
    groups = _alike(found)
    if len(groups) > 1:  # of "2" rather the column of classes than that of splits
        groups = [group for group in groups if not split_column(*group[0])] or groups
    if not groups:
        raise UserError(_no_column(title, labels, tables))
    if len(groups) > 1:
        names = " and ".join(group[0][0].name for group in groups[:3])
        raise UserError(
            f"labels is '{labels}', and {names} have such a column, which say different things; --labels "
            f"{groups[0][0][0].name}:{groups[0][0][1]} takes that of the first."
        )
    return groups[0]


def _alike(found: list[tuple[ImageTable, str]]) -> list[list[tuple[ImageTable, str]]]:
    """Tables and columns, those together that say one thing: train.csv and test.csv, which name different images, or
    tables that hardly differ on the images that both name."""
    groups: list[list[tuple[ImageTable, str]]] = []
    for table, column in found:
        said = dict(zip(table.file_of, table.columns[column], strict=True))
        for group in groups:
            known = {k: v for t, c in group for k, v in zip(t.file_of, t.columns[c], strict=True)}
            both = [file for file in said if file and file in known]
            if 10 * sum(said[file] != known[file] for file in both) <= len(both):
                group.append((table, column))
                break
        else:
            groups.append([(table, column)])
    return groups


def _choose(tables: list[ImageTable]) -> tuple[list[tuple[ImageTable, str]], tuple[str, ...]]:
    """The tables that say what class images are of, each with the column; and a warning where there is a doubt."""
    for by_name in (True, False):
        found = [(table, columns) for table in tables if (columns := _label_columns(table, by_name))]
        if not found:
            continue
        each = [(table, columns[0]) for table, columns in found]
        single = all(len(columns) == 1 for _, columns in found) and len({column for _, column in each}) == 1
        numbers = each[0][1].isdecimal() and all(map(NUMBER.fullmatch, each[0][0].distinct[each[0][1]]))
        if single and len(_alike(each)) == 1 and not (numbers and _possible(tables, each)):
            guess = f"column '{each[0][1]}' of {each[0][0].name} is taken for classes; --labels none: there are none"
            return each, () if by_name else (guess,)
        if single:  # of tables that say different things, or numbers without a name beside columns that have one
            listed = _listed([f"{table.name}:{column}" for table, column in each] + _possible(tables, each))
            return [], (f"unlabelled: there may be classes in {listed}; --labels takes one of them",)
        listed = ", ".join(dict.fromkeys(column for _, columns in found for column in columns))
        names = " and ".join(table.name for table, _ in found[:2])
        return [], (f"unlabelled: {names} may hold classes in {listed}; --labels COLUMN says which column is read",)
    columns = _possible(tables, [])
    if not columns:
        return [], ()
    of_these = [table.name for table in tables if columns[0] in table.columns]
    what = f"unlabelled: {of_these[0]} names the images, but no other column looks like classes"
    return [], (f"{what}; --labels COLUMN takes one of {_listed(columns)}",)


def _listed(columns: list[str]) -> str:
    return ", ".join(columns[:8]) + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")


def _possible(tables: list[ImageTable], besides: list[tuple[ImageTable, str]]) -> list[str]:
    """The columns that could be read, apart from splits: those of fewer values first."""
    counts: dict[str, int] = {}
    known = [table.name for table, _ in besides]
    for table in tables:
        for column, distinct in table.distinct.items():
            if table.name not in known and not split_column(table, column):
                counts.setdefault(column, len(distinct))
    return sorted(counts, key=lambda column: (counts[column] < 2, counts[column]))


def _label_columns(table: ImageTable, by_name: bool) -> list[str]:
    """The columns that may hold classes: by their names, or else by what is in them; of equal ones one in words."""
    kept = dict[str, list[str]]()
    for column, values in table.columns.items():
        distinct = table.distinct[column] - {""}
        if len(distinct) < 2 or split_column(table, column):
            continue
        words = [word.lower() for word in _WORD.findall(column)] or [column.lower()]
        named = bool(LABEL_WORDS & set(words)) and set(words) <= LABEL_WORDS | _BESIDE
        numeric = all(NUMBER.fullmatch(value) for value in distinct)
        alone = len(table.columns) == 1 and not any("." in value for value in distinct if numeric)
        repeats = (alone or not numeric) and 2 * len(distinct) <= len(values) - values.count("")
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


def _from_tables(chosen: list[tuple[ImageTable, str]]) -> ClassLabels:
    """The classes that tables say."""
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
    used = tuple(table.name for table, _ in chosen)
    return ClassLabels(found, f"without a label in {names}", tuple(notes), tuple(warnings), used)


def _no_column(title: str, column: str, tables: list[ImageTable]) -> str:
    known = list(dict.fromkeys(name for table in tables for name in table.columns))
    if known:
        hint = near_miss(column, [*known, *LABELS]) or f" It has: {', '.join(known[:12])}."
        return f"labels is '{column}', and {tables[0].name} has no such column.{hint}"
    hint = near_miss(column, LABELS) or f" It is one of {', '.join(LABELS)}, or a column of a table beside the images."
    return f"labels is '{column}', and no table in {title} names the images in one of its columns.{hint}"
