"""The items of text files: lines, paragraphs or whole files of plain text, or a column of a table.

* Plain text is UTF-8, with or without a byte order mark, or UTF-16 or UTF-32 with one.
* A table is CSV, TSV, or JSON with one object a line or in one list, or one object alone. The first row of CSV and TSV
  is the header, which is no data; a field may hold line breaks between quotes. A field of JSON may hold a list
  of strings.
* Any of them may be compressed with gzip.
* Letters are composed (NFC); runs of white space, line breaks among them, become one space; blank items are skipped.
"""

from __future__ import annotations

import json
import re
from itertools import groupby
from typing import NamedTuple

from reverie.data.archives import Dropped
from reverie.data.file_types import InvalidFile
from reverie.data.media_types import TABLE_SUFFIXES
from reverie.data.tables import JSON_SUFFIXES, LINE_COLUMNS, csv_rows, decode_text, find_column, json_rows, suffix_of
from reverie.utils.errors import near_miss

TABLES = frozenset((*TABLE_SUFFIXES, ".json"))
ITEMS = ("line", "blank-line", "file")
"""what is one sequence: a line, what stands between blank lines, or a file"""
_LINE_END = re.compile("\r\n|\n|\r")


class FileItems(NamedTuple):
    """What a file holds."""

    texts: list[tuple[int, str]]
    """(number of the line it begins in, from 1; the item), none blank"""
    blank: int
    """blank lines of a file of lines, or blank fields of a table"""
    dropped: list[Dropped]
    """rows of a table that cannot be read"""
    note: str = ""
    """how the file was read, where that was not asked for"""
    blocks: int = 0
    """of a file of lines, what stands between blank lines, where most of that is several lines long"""


def read_items(name: str, data: bytes, item: str = "line", column: str | None = None) -> FileItems:
    """The items of a file. Raises InvalidFile.

    name: for its suffix; a file of another suffix than a table's is one if a column is given
    item: of ITEMS; of a table, each row is one, but of a list of strings in a field each string with "line"
    column: the name of a column, or its number from 1
    """
    text = decode_text(data)
    suffix = suffix_of(name)
    of_table = suffix in TABLES or column is not None
    found = _table(name, text, suffix, column, item) if of_table else _plain(text, item)
    if not found.texts:
        raise InvalidFile(found.dropped[0].reason if found.dropped else "blank: write one sequence a line")
    return found


def _plain(text: str, item: str) -> FileItems:
    lines = [" ".join(line.split()) for line in _LINE_END.split(text)]
    if not lines[-1]:
        lines.pop()  # what follows the last line's end is no line
    if item == "line":
        found = [(number, line) for number, line in enumerate(lines, 1) if line]
        return FileItems(found, len(lines) - len(found), [], blocks=_blocks(lines))
    if item == "file":
        whole = " ".join(filter(None, lines))
        return FileItems([(1, whole)] if whole else [], 0, [])
    paragraphs: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        if line and number > 1 and lines[number - 2]:
            paragraphs[-1] = (paragraphs[-1][0], f"{paragraphs[-1][1]} {line}")
        elif line:
            paragraphs.append((number, line))
    return FileItems(paragraphs, 0, [])


def _blocks(lines: list[str]) -> int:
    """How many blocks of lines stand between blank ones, if most are several lines long; else 0."""
    lengths = [len(list(block)) for filled, block in groupby(lines, key=bool) if filled]
    return len(lengths) if 2 * sum(length > 1 for length in lengths) > len(lengths) else 0


# -- tables ------------------------------------------------------------------------------------------------------------


def _table(name: str, text: str, suffix: str, column: str | None, item: str) -> FileItems:
    """The items of one column. Raises InvalidFile."""
    dropped: list[Dropped] = []
    if suffix in JSON_SUFFIXES:
        rows = _json_rows(name, text, suffix, dropped)
        if not rows and dropped:
            raise InvalidFile(dropped[0].reason)
        header = list(dict.fromkeys(key for _, row in rows[:100] for key in row))
        key, note = _choose_column(header, column), ""
        fields = [(number, row.get(key)) for number, row in rows]
    else:
        table = csv_rows(text, suffix)
        header = [" ".join(field.split()) for field in table[0][1]] if table else []
        key = _choose_column(header, column)
        note = f"the first row of {name} is its header; column '{key}' is read"
        at = header.index(key)
        fields = [(number, row[at] if at < len(row) else "") for number, row in table[1:]]
    found, blank, lists = [], 0, 0
    for number, field in fields:
        if (strings := _strings(field)) is None:
            reason = f"without text in column '{key}', which holds {_HOLDS.get(type(field), 'objects')}"
            dropped.append(Dropped(f"{name}:{number}", f"{reason}; give another with --column"))
            continue
        lists += isinstance(field, list)
        lines = [" ".join(string.split()) for string in (strings if item == "line" else [" ".join(strings)])]
        found += [(number, line) for line in lines if line]
        blank += not any(lines)
    if lists:
        each = "each string of them is a line; --item file makes each list one sequence"
        note = f"column '{key}' of {name} holds lists: {each if item == 'line' else 'each is one sequence'}"
    return FileItems(found, blank, dropped, note)


_HOLDS = {int: "numbers", float: "numbers", bool: "true and false", list: "lists of something else than texts"}
"""type of a field of JSON without text -> what it is in a message"""


def _strings(field: object) -> list[str] | None:
    """The texts of a field: a string, a list of them, or nothing; None for what is no text."""
    if field is None or isinstance(field, str):
        return [field or ""]
    if isinstance(field, list) and all(isinstance(string, str) for string in field):
        return field
    return None


def _json_rows(name: str, text: str, suffix: str, dropped: list[Dropped]) -> list[tuple[int, dict[str, object]]]:
    """The rows of JSON, as tables.json_rows; a .json that begins with an object is that one, or has one a line."""
    if suffix == ".json" and text.lstrip()[:1] == "{":
        try:
            return [(1, json.loads(text))]
        except (ValueError, RecursionError):
            suffix = ".jsonl"
    return json_rows(name, text, suffix, dropped)


def _choose_column(header: list[str], column: str | None) -> str:
    """The column that is read: the one asked for, the only one, or the only one of LINE_COLUMNS."""
    names = ", ".join(header[:12]) or "none"
    if column is not None:
        if found := find_column(header, column):
            return found
        raise InvalidFile(f"without a column '{column}'.{near_miss(column, header)} It has: {names}; give --column")
    if len(header) == 1:
        return header[0]
    known = [key for key in header if key.casefold() in LINE_COLUMNS]
    if len(known) == 1:
        return known[0]
    raise InvalidFile(f"a table; say which column holds the text, with --column. It has: {names}")
