"""Tables: CSV, TSV, or JSON with one object a line or in one list.

The first row of CSV and TSV is the header; a field may hold line breaks between quotes. Text is UTF-8, with or without
a byte order mark, or UTF-16 or UTF-32 with one, and may be compressed with gzip. Letters are composed (NFC).
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
from typing import Literal

from reverie.data import file_types
from reverie.data.archives import Dropped
from reverie.data.file_types import InvalidFile

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
LARGEST_FIELD = 1 << 24
"""characters of a field of a table"""

_BOMS = (("utf-8", b"\xef\xbb\xbf"), ("utf-32", b"\xff\xfe\0\0"), ("utf-32", b"\0\0\xfe\xff"), ("utf-16", b"\xff\xfe"),
         ("utf-16", b"\xfe\xff"))  # fmt: skip
_LINE_END = re.compile("\r\n|\n|\r")


def suffix_of(name: str) -> str:
    """The suffix of a file's name in lower case, without that of its compression: ".csv" of "a.CSV.gz"."""
    name = name.lower().removesuffix(".gz")
    return name[name.rfind(".") :] if "." in name else ""


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


def csv_rows(text: str, suffix: str) -> list[tuple[int, list[str]]]:
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
