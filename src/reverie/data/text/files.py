"""The items of text files: lines, paragraphs or whole files of plain text, or a column of a table.

* Plain text is UTF-8, with or without a byte order mark, or UTF-16 or UTF-32 with one.
* A table is CSV, TSV, or JSON with one object a line or in one list. The first row of CSV and TSV is the header, which
  is no data; a field may hold line breaks between quotes.
* Any of them may be compressed with gzip.
* Letters are composed (NFC); runs of white space, line breaks among them, become one space; blank items are skipped.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import unicodedata
import zlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

from reverie.data import file_types
from reverie.data.archives import Dropped
from reverie.data.file_types import InvalidFile
from reverie.data.media_types import TABLE_SUFFIXES
from reverie.utils.errors import near_miss

TABLES = frozenset((*TABLE_SUFFIXES, ".json"))
ITEMS = ("line", "blank-line", "file")
"""what is one sequence: a line, what stands between blank lines, or a file"""
TEXT_COLUMNS = ("text", "sentence", "caption", "content", "line", "poem", "lyrics", "body")
"""names of the column that is read of a table of several, where exactly one of these is there"""
LARGEST_FIELD = 1 << 24
"""characters of a field of a table"""

_BOMS = (("utf-8", b"\xef\xbb\xbf"), ("utf-32", b"\xff\xfe\0\0"), ("utf-32", b"\0\0\xfe\xff"), ("utf-16", b"\xff\xfe"),
         ("utf-16", b"\xfe\xff"))  # fmt: skip
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


def suffix_of(name: str) -> str:
    """The suffix of a file's name in lower case, without that of its compression: ".csv" of "a.CSV.gz"."""
    name = name.lower().removesuffix(".gz")
    return name[name.rfind(".") :] if "." in name else ""


def read_items(name: str, data: bytes, item: str = "line", column: str | None = None) -> FileItems:
    """The items of a file. Raises InvalidFile.

    name: for its suffix; a file of another suffix than a table's is one if a column is given
    item: of ITEMS; of a table, each row is one
    column: the name of a column, or its number from 1
    """
    text = decode(data)
    suffix = suffix_of(name)
    of_table = suffix in TABLES or column is not None
    found = _table(name, text, suffix, column) if of_table else _plain(text, item)
    if not found.texts:
        raise InvalidFile(found.dropped[0].reason if found.dropped else "blank: write one sequence a line")
    return found


def decode(data: bytes) -> str:
    """The text of a file's bytes, composed to NFC. Raises InvalidFile if it is empty, binary or of another encoding."""
    if data[:2] == b"\x1f\x8b":
        data = _gunzip(data)
    if not data:
        raise InvalidFile("an empty file: write one sequence a line")
    encoding, mark = next(((name, mark) for name, mark in _BOMS if data.startswith(mark)), ("utf-8", b""))
    if encoding == "utf-8" and b"\0" in data:
        raise InvalidFile(
            "no text, it holds NUL bytes: give plain text; UTF-16 without a byte order mark becomes UTF-8 with "
            "iconv -f UTF-16LE -t UTF-8"
        )
    try:
        text = data[len(mark) :].decode(encoding) if encoding == "utf-8" else data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise InvalidFile(f"damaged {encoding.upper()}: save it as UTF-8") from None
        where = data[: len(mark) + error.start].count(b"\n") + 1
        raise InvalidFile(
            f"not UTF-8 in line {where}: save it as UTF-8 (iconv -t UTF-8 -f GB18030 does, or SHIFT_JIS, WINDOWS-1252)"
        ) from None
    return unicodedata.normalize("NFC", text.removeprefix("\ufeff"))


def _gunzip(data: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(file_types.MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise InvalidFile("a damaged or truncated .gz: copy or download it again") from None
    if len(unpacked) > file_types.MAX_BYTES:
        raise InvalidFile(f"larger than {file_types.MAX_BYTES >> 20} MB when it is unpacked")
    return unpacked


def _plain(text: str, item: str) -> FileItems:
    lines = [" ".join(line.split()) for line in _LINE_END.split(text)]
    if not lines[-1]:
        lines.pop()  # what follows the last line's end is no line
    if item == "line":
        found = [(number, line) for number, line in enumerate(lines, 1) if line]
        return FileItems(found, len(lines) - len(found), [])
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


# -- tables ------------------------------------------------------------------------------------------------------------


def _table(name: str, text: str, suffix: str, column: str | None) -> FileItems:
    """The items of one column. Raises InvalidFile."""
    dropped: list[Dropped] = []
    if suffix in (".jsonl", ".ndjson", ".json"):
        rows = _json_rows(name, text, suffix, dropped)
        header = list(dict.fromkeys(key for _, row in rows[:100] for key in row))
        key, note = _choose_column(header, column), ""
        fields = [(number, row.get(key)) for number, row in rows]
    else:
        table = _csv_rows(text, suffix)
        header = [" ".join(field.split()) for field in table[0][1]] if table else []
        key = _choose_column(header, column)
        note = f"the first row of {name} is its header; column '{key}' is read"
        at = header.index(key)
        fields = [(number, row[at] if at < len(row) else "") for number, row in table[1:]]
    found, blank = [], 0
    for number, field in fields:
        if field is None or isinstance(field, str):
            line = " ".join((field or "").split())
            found += [(number, line)] if line else []
            blank += not line
        else:
            dropped.append(Dropped(f"{name}:{number}", f"no text in '{key}': {type(field).__name__}"))
    return FileItems(found, blank, dropped, note)


def _choose_column(header: list[str], column: str | None) -> str:
    """The column that is read: the one asked for, the only one, or the only one with a name as texts have."""
    names = ", ".join(header[:12]) or "none"
    if column is not None:
        if column in header:
            return column
        if column.isdecimal() and 1 <= int(column) <= len(header):
            return header[int(column) - 1]
        alike = [known for known in header if known.casefold() == column.casefold()]
        if len(alike) == 1:
            return alike[0]
        raise InvalidFile(f"without a column '{column}'.{near_miss(column, header)} It has: {names}")
    if len(header) == 1:
        return header[0]
    known = [key for key in header if key.casefold() in TEXT_COLUMNS]
    if len(known) == 1:
        return known[0]
    raise InvalidFile(f"a table; say which column holds the text, with --column. It has: {names}")


def _json_rows(name: str, text: str, suffix: str, dropped: list[Dropped]) -> list[tuple[int, dict[str, object]]]:
    """[(number, object)]; a string alone is the column "text" of its row. What is neither is dropped."""
    try:
        whole = suffix == ".json" or text.lstrip()[:1] == "["
        entries = list(enumerate(json.loads(text), 1)) if whole else list(_json_lines(text))
    except (ValueError, RecursionError, TypeError):
        raise InvalidFile("no JSON list: give a list of texts or of objects, or one object a line (.jsonl)") from None
    rows: list[tuple[int, dict[str, object]]] = []
    for number, entry in entries:
        if isinstance(entry, str):
            rows.append((number, {"text": entry}))
        elif isinstance(entry, dict):
            rows.append((number, entry))
        else:
            dropped.append(Dropped(f"{name}:{number}", "no JSON object"))
    return rows


def _json_lines(text: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(_LINE_END.split(text), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, None


def _csv_rows(text: str, suffix: str) -> list[tuple[int, list[str]]]:
    """[(number of the line it begins in, fields)] of the rows that are not empty. Raises InvalidFile."""
    first, *rest = _LINE_END.split(text, 1)
    unquoted = re.sub(r'"[^"]*"', "", first)
    delimiter = "\t" if suffix == ".tsv" else max(",;\t|", key=unquoted.count)
    if stated := re.fullmatch("sep=(.)", first):  # Excel's own first line
        delimiter, text = stated[1], "".join(rest)
    csv.field_size_limit(LARGEST_FIELD)
    try:
        return _parse_csv(text, delimiter, quotes=True, strict=True)
    except csv.Error as error:
        if delimiter == "\t":  # many programs write tabs without quoting anything
            return _parse_csv(text, delimiter, quotes=False, strict=False)
        if "unexpected end" in str(error):
            raise InvalidFile("a table with a quote that is never closed: correct the quotes in it") from None
    try:
        return _parse_csv(text, delimiter, quotes=True, strict=False)
    except csv.Error as error:
        raise InvalidFile(f"no table that can be read: {error}") from None


def _parse_csv(text: str, delimiter: str, quotes: bool, strict: bool) -> list[tuple[int, list[str]]]:
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=strict)
    rows, begins = [], 1
    for row in reader:
        if any(field.strip() for field in row):
            rows.append((begins, row))
        begins = reader.line_num + 1
    return rows
