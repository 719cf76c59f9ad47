"""Texts that files say of images, and which split they say an image is of.

* A table names images in one column, by path, name, or name without suffix, and describes them in another: CSV, TSV,
  JSON with one object a line or in one list (metadata.jsonl, the Stanford paragraphs), COCO's captions, or lines such
  as `photo.jpg,A dog runs.` and `photo.jpg#0<tab>A dog runs.` with a header or without.
* Or each image has a text file of its own name: photo.jpg and photo.txt, in one folder or in two that are alike.
* Of tables that describe the same images the one is read that describes most of them.
* Lists (train.txt, test_split.json) name the images of a split; else a column of train, test, val does, or the names of
  the tables.

Letters are as in reverie.data.tables: UTF-8, or what a byte order mark says.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from reverie.data.archives import FileTree
from reverie.data.file_types import SUFFIXES, InvalidFile
from reverie.data.images.annotations import find_annotations
from reverie.data.images.image_tables import ImageIndex
from reverie.data.images.records import is_image
from reverie.data.paragraphs.records import Paragraph
from reverie.data.splits import NAMES, SPLIT_COLUMNS, split_named, standard_split
from reverie.data.tables import CAPTION_COLUMNS, JSON_SUFFIXES, csv_rows, decode_text, json_rows, suffix_of
from reverie.data.text.sentences import lines_are_sentences, split_sentences, words_of

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt", ".token")
MOST_TABLES = 30
"""tables that are looked into"""
SAMPLED = 200
"""rows, or text files, that are looked at to see what they are"""
PROSE, LEAST = 4, 2
"""words in the middle of all texts, from which on a place is taken for one of descriptions, rather than of labels or
tags; and from which on a column without a name of CAPTION_COLUMNS is read where descriptions are asked for"""
_LISTED = "|".join(re.escape(suffix[1:]) for suffix in sorted(SUFFIXES))
_ROW = re.compile(rf'\s*"?[^\t,;|"\n]*\.(?:{_LISTED})"?\s*(?:#\d+)?\s*([\t,;|])', re.IGNORECASE)
"""how a row of a table begins whose first column names an image, and what stands after it"""
_NUMBER_OF_TEXT = re.compile(r"#\d+$")
_ABOUT = re.compile(r"(^|/)(readme|licen[cs]e|classes|labels|requirements)[^/]*$", re.IGNORECASE)
"""text files that describe no image"""


class ImageTexts(NamedTuple):
    """What files say of the images of a place."""

    of: dict[str, list[str]]
    """name of an image -> its texts in order, as they are written"""
    source: str = ""
    """what says it: "captions.txt", or "text files beside the images"; "" if nothing does"""
    without_image: dict[str, list[str]] = {}
    """what names an image that is not here -> its texts"""
    faults: dict[str, tuple[str, str]] = {}
    """name of an image -> (its text file, why that cannot be read)"""
    splits: dict[str, str] = {}
    """name of an image -> split, where lists, a column, or the names of tables say it"""
    used: tuple[str, ...] = ()
    """the files that are read"""
    unread: tuple[str, ...] = ()
    """tables that cannot be read, and why"""
    notes: tuple[str, ...] = ()


class _Row(NamedTuple):
    """One row of a table."""

    image: str
    texts: list[str]
    split: str


class _Table(NamedTuple):
    """A table that describes images."""

    name: str
    rows: list[_Row]


def find_texts(tree: FileTree, images: Sequence[str], index: ImageIndex) -> ImageTexts:
    """The texts of the images of a place: of the tables or of the text files, whichever describe more images."""
    others = sorted(tree.stamps.keys() - set(images), key=lambda name: (name.count("/"), name))
    own = _own_files(images, others, index)
    if own and find_annotations(images, list(own), tree):
        own = {}  # boxes
    tables, splits, lists, unread = _read_tables(tree, [name for name in others if name not in own], index)
    found = _of_tables(tables, index)
    if len(own) > sum(map(bool, found.of.values())):
        found = _of_files(tree, own, [name for name in others if name not in lists])
    if splits and "train" not in splits.values():
        splits = {**dict.fromkeys(images, "train"), **splits}
    return found._replace(splits=splits or found.splits, used=(*found.used, *lists), unread=tuple(unread))


def is_prose(found: ImageTexts) -> bool:
    """Whether texts are descriptions, rather than labels, tags or numbers."""
    texts = [text for texts in list(found.of.values())[:SAMPLED] for text in texts if text.strip()]
    return bool(texts) and _usual_words(texts) >= PROSE


def _usual_words(texts: Sequence[str]) -> float:
    """How many words texts have in the middle; numbers and signs are none."""
    lengths = [sum(any(map(str.isalpha, word)) for word in words_of(text)) for text in texts[:SAMPLED]]
    return median(lengths) if lengths else 0


# -- a text file for each image ----------------------------------------------------------------------------------------


def _own_files(images: Sequence[str], others: Sequence[str], index: ImageIndex) -> dict[str, str]:
    """Text file -> the image that it is of."""
    beside = {name.rpartition(".")[0]: name for name in reversed(images)}
    found: dict[str, str] = {}
    for name in others:
        stem = name.rpartition(".")[0]
        if suffix_of(name) == ".txt" and (image := beside.get(stem) or index.find(stem, name)):
            found[name] = image
    return found


def _of_files(tree: FileTree, own: dict[str, str], others: Sequence[str]) -> ImageTexts:
    """The texts in files of images; other text files beside them are of images that are not here."""
    of, faults, lost = dict[str, list[str]](), dict[str, tuple[str, str]](), dict[str, list[str]]()
    folders = {name.rpartition("/")[0] for name in own}
    texts = [name for name in others if suffix_of(name) == ".txt" and name.rpartition("/")[0] in folders]
    for name in texts:
        try:
            data = tree.read(name)
            text = decode_text(data) if data.strip() else ""
        except InvalidFile as invalid:
            if name in own:
                faults[own[name]] = (name, str(invalid))
            continue
        if name in own:
            of[own[name]] = [text]
        elif not _ABOUT.search(name):
            lost[name] = [text]
    if lines_are_sentences([text for some in of.values() for text in some]):
        for some in (*of.values(), *lost.values()):
            some[:] = some[0].splitlines() or [""]
    return ImageTexts(of, "text files beside the images", lost, faults, used=tuple(texts))


# -- tables ------------------------------------------------------------------------------------------------------------


def _read_tables(
    tree: FileTree, names: Sequence[str], index: ImageIndex
) -> tuple[list[_Table], dict[str, str], list[str], list[str]]:
    """(tables that describe images; image -> split by lists; the lists; tables that cannot be read and why)."""
    tables, splits, lists, unread = list[_Table](), dict[str, str](), list[str](), list[str]()
    for name in [name for name in names if name.lower().endswith(TABLE_SUFFIXES)][:MOST_TABLES]:
        try:
            text = decode_text(tree.read(name))
            listed = _listed(name, text, index)
            table = None if listed else _table(name, text, index)
        except InvalidFile as invalid:
            unread.append(f"{name} is {invalid}")
            continue
        if listed:
            splits.update(listed)
            lists.append(name)
        elif table:
            tables.append(table)
    return tables, splits, lists, unread


def _listed(name: str, text: str, index: ImageIndex) -> dict[str, str]:
    """Image -> split, of a list of images that is named for a split; {} if the file is none."""
    split = split_named(name.rpartition("/")[2].partition(".")[0]) or split_named(_middle(name))
    if not split:
        return {}
    if suffix_of(name) in JSON_SUFFIXES:
        try:
            entries = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        lines = [str(entry) for entry in entries if isinstance(entry, str | int)] if isinstance(entries, list) else []
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
    sample = lines[:SAMPLED]
    if not sample or 2 * sum(bool(_find(index, line, name)) for line in sample) < len(sample):
        return {}
    return {image: split for line in lines if (image := _find(index, line, name))}


def _find(index: ImageIndex, text: str, file: str) -> str:
    """The image that a text in a file names, by its path from there if it is one of several; "" for none."""
    return index.find(f"{file.rpartition('/')[0]}/{text}", file) if text else ""


def _middle(name: str) -> str:
    """What stands between the dots of a name: trainImages of Flickr_8k.trainImages.txt."""
    return name.rpartition("/")[2].rpartition(".")[0].rpartition(".")[2]


def _table(name: str, text: str, index: ImageIndex) -> _Table | None:
    """A table that names images in one column and describes them in another; None for other files."""
    rows = _json_table(name, text) if suffix_of(name) in JSON_SUFFIXES else _delimited(name, text)
    if not rows:
        return None
    sample = rows[:SAMPLED]
    columns = list(dict.fromkeys(key for row in sample for key in row))

    def named(column: str) -> int:
        return sum(bool(_find(index, _image_name(row.get(column)), name)) for row in sample)

    def looks_named(column: str) -> bool:
        return all(is_image(_image_name(row.get(column))) for row in sample)

    image = max(columns, key=lambda column: (named(column), looks_named(column)))
    if not (named(image) or looks_named(image)):
        return None
    usual = {column: _usual_words(_texts_in(sample, column)) for column in columns if column != image}
    known = [c for wanted in CAPTION_COLUMNS for c in usual if c.casefold() == wanted and usual[c] >= 1]
    prose = sorted((c for c in usual if usual[c] >= LEAST), key=lambda c: -usual[c])
    if not (known or prose):
        return None
    column = (known or prose)[0]
    split = next((c for c in columns if c.casefold() in SPLIT_COLUMNS), "")
    return _Table(
        name, [_Row(_image_name(row.get(image)), _as_texts(row.get(column)), _as_split(row.get(split))) for row in rows]
    )


def _texts_in(rows: Sequence[dict[str, Any]], column: str) -> list[str]:
    return [text for row in rows for text in _as_texts(row.get(column))]


def _image_name(value: Any) -> str:
    return _NUMBER_OF_TEXT.sub("", str(value if value is not None else "").strip())


def _as_split(value: Any) -> str:
    """The split that a field names, "" for none; COCO's "restval" is of train."""
    word = str(value or "").strip().lower().removeprefix("rest")
    return standard_split(word) if word in NAMES else ""


def _as_texts(value: Any) -> list[str]:
    """The texts of a field: one, or a list of them, or of objects that hold one each."""
    if isinstance(value, list):
        return [text for entry in value for text in _as_texts(entry)]
    if isinstance(value, dict):
        return next((_as_texts(value[key]) for key in CAPTION_COLUMNS if key in value), [])
    return [value] if isinstance(value, str) else []


def _json_table(name: str, text: str) -> list[dict[str, Any]]:
    if suffix_of(name) == ".json" and text.lstrip()[:1] == "{":
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise InvalidFile("no JSON that can be read") from None
        return _coco(content)
    return [row for _, row in json_rows(name, text, suffix_of(name), [])]


def _coco(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of COCO's captions, {"images": [...], "annotations": [...]}, or of a list within an object."""
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    images = [entry for entry in lists.get("images", []) if isinstance(entry, dict)]
    annotations = [entry for entry in lists.get("annotations", []) if isinstance(entry, dict)]
    if images and annotations:
        files = {str(entry.get("id")): entry.get("file_name") for entry in images}
        return [{**entry, "image_id": files.get(str(entry.get("image_id")))} for entry in annotations]
    largest = max(lists.values(), key=len, default=[])
    return [entry for entry in largest if isinstance(entry, dict)]


def _delimited(name: str, text: str) -> list[dict[str, Any]]:
    """The rows of CSV, TSV, or lines that begin with the name of an image."""
    suffix, first_lines = suffix_of(name), text.split("\n", 2)[:2]
    begins = [_ROW.match(line) for line in first_lines]
    delimiter = next((found[1] for found in begins if found), "")
    if not delimiter and suffix not in (".csv", ".tsv"):
        return []
    rows = [fields for _, fields in csv_rows(text, suffix, delimiter)]
    if begins[0]:
        header = [str(i) for i in range(1, min(map(len, rows)) + 1)]
    else:
        header, rows = [field.strip().casefold() for field in rows[0]] if rows else [], rows[1:]
    last = len(header) - 1
    joined = ([*fields[:last], (delimiter or ",").join(fields[last:])] for fields in rows)  # commas within a text
    return [dict(zip(header, map(str.strip, fields), strict=False)) for fields in joined]


def _of_tables(tables: Sequence[_Table], index: ImageIndex) -> ImageTexts:
    """The texts that tables say together; tables of train, test and val also say the splits."""
    of, lost, splits = dict[str, list[str]](), defaultdict[str, list[str]](list), dict[str, str]()
    names, notes = list[str](), list[str]()
    named = [(table, [_find(index, row.image, table.name) for row in table.rows]) for table in tables]
    named.sort(key=lambda pair: (-len({*pair[1]} - {""}), len(pair[0].name), pair[0].name))
    for table, images in named:
        if of.keys() & {*images}:
            notes.append(f"{table.name} describes images that {names[0]} describes too: not read")
            continue
        names.append(table.name)
        of_table = split_named(table.name.rpartition("/")[2].partition(".")[0]) or ""
        for image, row in zip(images, table.rows, strict=True):
            if image:
                of.setdefault(image, []).extend(row.texts)
                splits[image] = row.split or of_table
            else:
                lost[row.image].extend(row.texts)
    if len({*splits.values()} - {""}) < 2 or "train" not in splits.values():
        splits = {}
    return ImageTexts(
        of, names[0] if len(names) == 1 else f"{len(names)} tables", dict(lost), {},
        {image: split or "train" for image, split in splits.items()}, tuple(names), notes=tuple(notes),
    )  # fmt: skip


class Described(NamedTuple):
    """Texts as paragraphs."""

    of: dict[str, tuple[Paragraph, ...]]
    """name of an image -> its paragraphs; an image whose texts are blank has none"""
    unpaired: tuple[Paragraph, ...]
    """of images that are not here"""
    note: str
    """what was done with several texts of an image; "" if nothing"""


def paragraphs_of(found: ImageTexts) -> Described:
    """Several texts of an image, of a sentence each, are joined in order to one paragraph; longer ones are one each."""
    each, lost = _split_all(found.of), _split_all(found.without_image)
    several = [texts for texts in each.values() if len(texts) > 1]
    if not several or median(len(text) for texts in several for text in texts) > 1:
        return Described(each, tuple(text for texts in lost.values() for text in texts), "")
    usual = median(map(len, several))
    note = f"{found.source}: about {usual:g} texts of one sentence for each image, joined in order to a paragraph"
    joined: dict[str, tuple[Paragraph, ...]] = {image: (_joined(texts),) for image, texts in each.items()}
    return Described(joined, tuple(map(_joined, lost.values())), note)


def _joined(paragraphs: Sequence[Paragraph]) -> Paragraph:
    return tuple(sentence for paragraph in paragraphs for sentence in paragraph)


def _split_all(texts: dict[str, list[str]]) -> dict[str, tuple[Paragraph, ...]]:
    """Each text as its sentences; blank ones are left out."""
    split = {name: tuple(filter(None, (tuple(split_sentences(one)) for one in some))) for name, some in texts.items()}
    return {name: paragraphs for name, paragraphs in split.items() if paragraphs}
