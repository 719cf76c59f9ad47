"""Which split an image is of, where tables beside the images say so (image_tables.py), and folders and files do not.

* A column of train, test and val. Or a column of codes: 0, 1 and 2 are train, val and test where the
  column is called split, partition, set or like, or its table is, as CelebA has it; 0 and 1 say yes and no in a column
  that is named for a split (is_valid), or a list that is (train_test_split.txt).
* Else tables that are named train, test or val, which may be lists of names: meta/train.txt and meta/test.txt.

Nothing is guessed: of tables that contradict each other, of codes that could be others, and of tables that name less
than half of the images none is taken, and a warning says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from reverie.data.images.image_tables import ImageTable
from reverie.data.images.records import LocatedFile
from reverie.data.splits import NAMES, SPLIT_COLUMNS, split_named

_CODES = {"0": "train", "1": "val", "2": "test"}
_YES_OR_NO = {"0": False, "1": True, "false": False, "true": True}
_FOLDS = {"fold", "folds", "kfold"}
_CODED = {*SPLIT_COLUMNS, "splits", "partitions", *_FOLDS}
"""words in the name of a column whose small numbers are no classes"""
_FILLERS = {"is", "in", "for", "set", "split", "data"}
"""words that a column of yes and no may have beside the name of a split: is_valid, but not is_test_positive"""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class TableSplits(NamedTuple):
    """What tables say of splits."""

    of: dict[str, str] = {}
    """name of a file -> its split; {} if tables say nothing"""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    """the tables that are read"""


def find_splits(files: Sequence[LocatedFile], tables: Sequence[ImageTable]) -> TableSplits:
    """The splits of files that tables say."""
    columns = [
        (table, column, named) for table in tables for column in table.columns if (named := split_column(table, column))
    ]
    read = [(table, column, named) for table, column, named in columns if "train" in named.values()]
    if read:
        said = [(table, [named.get(value, "") for value in table.columns[column]]) for table, column, named in read]
        what = f"column '{read[0][1]}' of {read[0][0].name}"
        if codes := {value: split for value, split in read[0][2].items() if split_named(value) is None}:
            what += " (" + ", ".join(f"{value} {split}" for value, split in sorted(codes.items())) + ")"
    else:
        said = _by_name(tables)
        what = " and ".join(table.name for table, _ in said[:3]) + (" ..." if said[3:] else "")
    if not said:
        unclear = [
            f"column '{column}' of {table.name} looks like splits, but {', '.join(sorted(named)[:4])} do not say which "
            "are train: all are trained on; a column of the words train, val and test does"
            for table, column, named in columns
        ]
        return TableSplits(warnings=tuple(unclear[:1]))
    return _together(files, said, what)


def _together(files: Sequence[LocatedFile], said: list[tuple[ImageTable, list[str]]], what: str) -> TableSplits:
    """What several tables say; nothing if they contradict each other or name few images."""
    of: dict[str, str] = {}
    for table, splits in said:
        for file, split in zip(table.file_of, splits, strict=True):
            if file and split and of.setdefault(file, split) != split:
                other = next(t.name for t, _ in said if file in t.file_of)
                where = f"{other} and {table.name} say" if other != table.name else f"{table.name} says"
                text = f"{where} different splits of {file}, so none is taken, and all are trained on"
                return TableSplits(warnings=(f"{text}; move away the tables that are not meant",))
    if 2 * len(of) < len(files):
        text = f"{what} say the split of {len(of)} of {len(files)} images only: all are trained on"
        return TableSplits(warnings=(text,))
    return TableSplits(of, (f"splits are those of {what}",), (), tuple(table.name for table, _ in said))


def _by_name(tables: Sequence[ImageTable]) -> list[tuple[ImageTable, list[str]]]:
    """The tables that are named for splits, train and another one among them; without trainval if there is train."""
    named = [table for table in tables if table.split]
    trains = [table for table in named if table.split == "train"]
    narrow = [table for table in trains if "trainval" not in table.name.rpartition("/")[2].lower()]
    named = [table for table in named if table.split != "train" or table in (narrow or trains)]
    if len({table.split for table in named}) < 2 or not trains:
        return []
    return [(table, [str(table.split)] * len(table.file_of)) for table in named]


def split_column(table: ImageTable, column: str) -> dict[str, str]:
    """value -> split, if a column says of which split a row is, "" where that is not known; {} for other columns."""
    distinct = table.distinct[column] - {""}
    if not 1 < len(distinct) <= 20:
        return {}
    words = _words_for_splits(table, column)
    short = any(len(value) < 3 for value in distinct) and not _CODED & set(words)  # tr and te may be languages
    named = {value: split_named(value) or "" for value in distinct}
    if all(named.values()) and len(set(named.values())) > 1 and not short:
        return named
    asked = [NAMES[word] for word in words if word in NAMES]
    if (
        asked
        and ("is" in words or column.isdecimal())
        and set(words) <= _FILLERS | NAMES.keys()
        and {value.casefold() for value in distinct} <= _YES_OR_NO.keys()
    ):
        yes = "test" if asked[0] == "eval" else asked[0]
        no = next((split for split in asked if split != yes), "test" if yes == "train" else "train")
        return {value: yes if _YES_OR_NO[value.casefold()] else no for value in distinct}
    if not _CODED & set(words) or not all(value.isdecimal() for value in distinct):
        return {}
    return _CODES if distinct == set(_CODES) and not _FOLDS & set(words) else dict.fromkeys(distinct, "")


def _words_for_splits(table: ImageTable, column: str) -> list[str]:
    """The words of a column's name; of a column without a name that is alone, those of its table, if it is no list of
    one split: of train_test_split.txt, but not of train_split.txt, whose numbers are classes."""
    if not column.isdecimal():
        return [word.lower() for word in _WORD.findall(column)]
    name = table.name.rpartition("/")[2].partition(".")[0]
    words = [word.lower() for word in _WORD.findall(name)]
    if len(table.columns) > 1 or not {"partition", "partitions", "split", "splits"} & set(words):
        return []
    return words if table.split is None or "partition" in words else []
