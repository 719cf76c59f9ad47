"""Tables: CSV, TSV, lines of text, or JSON with one object a line, in one list, or by name.

The first row of CSV and TSV is the header; a field may hold line breaks between quotes. Text is UTF-8, with or without
a byte order mark, or UTF-16 or UTF-32 with one, and may be compressed with gzip. Letters are composed (NFC).
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from reverie.data import file_types
from reverie.data.archives import Dropped
from reverie.data.file_types import InvalidFile

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
LARGEST_FIELD = 1 << 24
"""characters of a field of a table"""
LINE_COLUMNS = ("text", "sentence", "caption", "content", "line", "poem", "lyrics", "body")
"""names, in lower case, of the column of lines that are learnt from"""
CAPTION_COLUMNS = (
    "paragraph", "paragraphs", "text", "caption", "captions", "description", "sentence", "sentences", "comment", "raw",
)  # fmt: skip
"""names, in lower case, of the column that describes images; the first of several"""

_BOMS = (("utf-8", b"\xef\xbb\xbf"), ("utf-32", b"\xff\xfe\0\0"), ("utf-32", b"\0\0\xfe\xff"), ("utf-16", b"\xff\xfe"),
         ("utf-16", b"\xfe\xff"))  # fmt: skip
NUMBER = re.compile(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", re.IGNORECASE)
_LINE_END = re.compile("\r\n|\n|\r")


def suffix_of(name: str) -> str:
    """The suffix of a file's name in lower case, without that of its compression: ".csv" of "a.CSV.gz"."""
    name = name.lower().removesuffix(".gz")
    return name[name.rfind(".") :] if "." in name else ""


class Table(NamedTuple):
    """A table as texts."""

    header: list[str]
    rows: list[dict[str, str]]
    """"" where a row has no such field"""


def read_table(name: str, data: bytes) -> Table:
    """The table in a file of that name, or in the lines of a text file: its fields, without white space around them.

    Lines of text, JSON objects of name and value, and a CSV whose first row names an image have no header: their
    columns are "1", "2" ... Only lines below a line with their number, as CelebA has it, or below one with one field
    less than all others have a header; the latter leaves out the first column, which is called "file".

    Raises InvalidFile if there is none.
    """
    text, suffix = decode_text(data), suffix_of(name)
    if suffix in JSON_SUFFIXES:
        return _json_table(name, text, suffix)
    if suffix in (".csv", ".tsv"):
        fields, headed = [[field.strip() for field in row] for _, row in csv_rows(text, suffix)], True
    else:
        fields, headed = _fields_of_lines(text)
    width = Counter(map(len, fields)).most_common(1)[0][0] if fields else 0
    if not width:
        raise InvalidFile("an empty table")
    first, rows = fields[0], fields[1:]
    names_image = any(field[field.rfind(".") :].lower() in file_types.SUFFIXES for field in first)
    if suffix not in (".csv", ".tsv") and len(first) == width - 1 and all(len(row) == width for row in rows):
        return _table_of_rows(["0" if "file" in first else "file", *first], rows)
    if headed and not names_image:
        return _table_of_rows(first, rows)
    return _table_of_rows(_numbers(width), fields)


def _table_of_rows(header: list[str], rows: list[list[str]]) -> Table:
    return Table(header, [dict(zip(header, [*row, *[""] * len(header)], strict=False)) for row in rows])


def _numbers(width: int) -> list[str]:
    """The names of columns without a header."""
    return [str(i) for i in range(1, width + 1)]


def _fields_of_lines(text: str) -> tuple[list[list[str]], bool]:
    """The fields of lines of text, and whether the first line is a header. Lines with # before them are none.

    Fields stand between commas, tabs or semicolons. Without these they stand between white space, if all lines have as
    many, and begin with an image's name or have numbers after a name; else before and after the last white space, since
    names may hold spaces.
    """
    lines = [line.strip() for line in _LINE_END.split(text) if line.strip()]
    lines = lines[next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines)) :]
    counted = len(lines) > 2 and lines[0].isdecimal() and len(re.split(r"[\s,;]+", lines[-1])) > 1
    lines = lines[counted:]
    words = [line.split() for line in lines]
    last = words[-1] if words else []
    like_last = len(last) > 2 and all(len(row) == len(last) for row in words[1:])
    if like_last and not re.search("[,;\t]", "\n".join(lines)):
        names_image = last[0][last[0].rfind(".") :].lower() in file_types.SUFFIXES
        if names_image or all(NUMBER.fullmatch(word) for row in words[1:] for word in row[1:]):
            return words, counted
    separated = [re.split(r"\s*[,;\t]\s*", s) if re.search("[,;\t]", s) else s.rsplit(None, 1) for s in lines]
    return separated, counted


def _json_table(name: str, text: str, suffix: str) -> Table:
    content: Any = None
    if suffix == ".json":
        with contextlib.suppress(ValueError, RecursionError):
            content = json.loads(text)
    if isinstance(content, dict):
        objects = _objects_by_name(content)
    elif isinstance(content, list) and content and all(isinstance(e, list) and len(e) == 2 for e in content):
        objects = [{"1": key, "2": value} for key, value in content]
    else:
        objects = [row for _, row in json_rows(name, text, suffix, [])]
    header = list(dict.fromkeys(key for row in objects[:100] for key in row))
    return Table(header, [{key: _as_text(row.get(key)) for key in header} for row in objects])


def _objects_by_name(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of {"a.png": "cat"}, {"a.png": {"label": "cat"}}, {"cat": ["a.png", "b.png"]}, of pairs under a name,
    {"labels": [["a.png", 0]]}, or of a single list of objects under one. Raises InvalidFile for others."""
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    if content and all(isinstance(value, str | int | float | None) for value in content.values()):
        return [{"1": key, "2": value} for key, value in content.items()]
    if content and all(isinstance(value, dict) for value in content.values()):
        inner = {name for value in content.values() for name in value}
        return [{"0" if "file" in inner else "file": key, **value} for key, value in content.items()]
    if len(lists) == 1:
        key, entries = next(iter(lists.items()))
        if all(isinstance(entry, dict) for entry in entries):
            return entries
        if all(isinstance(entry, list) and len(entry) == 2 for entry in entries):
            return [{"1": name, key: value} for name, value in entries]
    if not lists or lists != content:
        raise InvalidFile("no JSON of a table")
    return [_with_key(entry, key) for key, entries in lists.items() for entry in entries]


def _with_key(entry: Any, key: str) -> dict[str, Any]:
    """A row of an entry that stands under a key: {"train": ["a.png"]}, {"train": [["a.png", 0]]} or of objects."""
    if isinstance(entry, dict):
        return {**entry, "key": key}
    fields = [*(entry if isinstance(entry, list) else [entry]), key]
    return dict(zip(_numbers(len(fields)), fields, strict=True))


def _as_text(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def find_column(header: list[str], column: str) -> str | None:
    """The column of that name, of that number from 1, or of that name in another case; None if there is none."""
    if column in header:
        return column
    if column.isdecimal() and 1 <= int(column) <= len(header):
        return header[int(column) - 1]
    alike = [known for known in header if known.casefold() == column.casefold()]
    return alike[0] if len(alike) == 1 else None


def decode_text(data: bytes) -> str:
    """The text of a file's bytes, composed to NFC. Raises InvalidFile if it is empty, binary or of another encoding."""
    if data[:2] == b"\x1f\x8b":
        data = _gunzip(data)
    if not data:
        raise InvalidFile("an empty file: write one sequence a line")
    encoding, mark = next(((name, mark) for name, mark in _BOMS if data.startswith(mark)), ("utf-8", b""))
    if encoding == "utf-8" and b"\0" in data:
        raise InvalidFile(
            "no text, it holds NUL bytes; give plain text (UTF-16 without a byte order mark becomes UTF-8 with "
            "iconv -f UTF-16LE -t UTF-8)"
        )
    try:
        text = data[len(mark) :].decode(encoding) if encoding == "utf-8" else data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise InvalidFile(f"damaged {encoding.upper()}: save it as UTF-8") from None
        where = data[: len(mark) + error.start].count(b"\n") + 1
        raise InvalidFile(
            f"not UTF-8; save it as UTF-8 (iconv -t UTF-8 -f GB18030 does, or SHIFT_JIS, WINDOWS-1252): line {where}"
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


def json_rows(name: str, text: str, suffix: str, dropped: list[Dropped]) -> list[tuple[int, dict[str, object]]]:
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


def csv_rows(text: str, suffix: str, delimiter: str = "") -> list[tuple[int, list[str]]]:
    """[(number of the line it begins in, fields)] of the rows that are not empty. Raises InvalidFile.

    delimiter: what stands between fields; "": what the first row has most of, or in a .tsv tabs
    """
    first, *rest = _LINE_END.split(text, 1)
    unquoted = re.sub(r'"[^"]*"', "", first)
    delimiter = delimiter or ("\t" if suffix == ".tsv" else max(",;\t|", key=unquoted.count))
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
