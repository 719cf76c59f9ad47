"""A line of text, as verbs take and return it. A .txt file holds one a line; its record is in a file beside it.

poems.txt is plain text that any program reads; poems.txt.json holds, as the text chunk of a PNG does for an image,
which run generated the lines, with what arguments, and the digest of each line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from reverie.media.item import Item
from reverie.media.metadata import is_record
from reverie.utils.atomic_files import replace_bytes
from reverie.utils.errors import UserError

RECORD_SUFFIX = ".json"
"""is added to the name of a .txt file for the file of its record"""


@dataclass(frozen=True, eq=False, repr=False)
class Text(Item):
    """One line of text."""

    NOUN: ClassVar = "text"
    INPUT_SUFFIXES: ClassVar = frozenset({".txt"})
    SUFFIX: ClassVar = ".txt"
    PRINTED: ClassVar = True
    COMBINED_WRITERS: ClassVar = {".txt": lambda texts, path: save_texts(texts, path)}

    line: str
    name: str = ""
    """the file it came from"""

    @classmethod
    def load(cls, path: str | Path) -> Text:
        """The one line of a file. Raises UserError if it holds another number of lines."""
        lines = cls.load_all(path)
        if len(lines) != 1:
            raise UserError(f"{path} holds {len(lines)} lines; give a file with one line.")
        return lines[0]

    @classmethod
    def load_all(cls, path: str | Path) -> list[Text]:
        """The lines of a file that are not blank. Raises UserError."""
        from reverie.data.file_types import InvalidFile
        from reverie.data.text.files import read_items

        try:
            found = read_items("", Path(path).read_bytes()).texts
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a text file.") from None
        except InvalidFile as invalid:
            raise UserError(f"{path} is {invalid}") from None
        return [cls(line, Path(path).name) for _, line in found]

    def save(self, path: str | Path) -> Path:
        """Writes a .txt file of one line, and its record beside it."""
        return save_texts([self], path)

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over the line."""
        return hashlib.sha256(self.line.encode()).hexdigest()[:16]

    @property
    def summary(self) -> str:
        return repr(self.line if len(self.line) <= 60 else f"{self.line[:57]}...")

    def __str__(self) -> str:
        return self.line


def save_texts(texts: Sequence[Text], path: str | Path) -> Path:
    """Writes lines to a .txt file, one each, and beside it their record, if they were generated. Raises UserError."""
    path = Path(path)
    if path.suffix.lower() != ".txt":
        raise UserError(f"cannot write {path}: lines go into a .txt file; name it {path.stem or 'lines'}.txt.")
    for text in texts:
        if len(text.line.splitlines()) > 1:
            raise UserError(f"cannot write '{text.line[:40]}' as one line: it contains a line break.")
    record_file = path.with_name(path.name + RECORD_SUFFIX)
    if record_file.exists() and not is_record(_read_json(record_file), of_lines=True):
        raise UserError(f"{record_file} is there already and no record of reverie; move it, or give another name.")
    # As bytes: \n on every system. The record comes second: lines without one are said to have none, never a wrong one.
    lines = "".join(f"{text.line}\n" for text in texts).encode()
    replace_bytes(path, lines)
    if texts and texts[0].record is not None:
        content = json.dumps(_record_of_lines(texts), indent=2, ensure_ascii=False)
        replace_bytes(record_file, f"{content}\n".encode())
    else:
        record_file.unlink(missing_ok=True)  # the record of a file that is overwritten
    return path


def _record_of_lines(texts: Sequence[Text]) -> dict[str, Any]:
    """The record of the first line, with what differs from line to line under "lines"."""
    lines = [line_entry(text) for text in texts]
    first: dict[str, Any] = texts[0].record or {}
    return {**first, "lines": lines}


def line_entry(text: Text) -> dict[str, Any]:
    """What the record of a file says of one of its lines."""
    record: dict[str, Any] = text.record or {}
    own: dict[str, Any] = {key: record[key] for key in ("index", "inputs", "prediction") if key in record}
    return {**own, "digest": text.digest}


def _read_json(path: Path) -> Any:
    """The content of a JSON file, None if it is damaged. Raises OSError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None


def read_text_record(path: str | Path) -> dict[str, Any]:
    """The record in the file beside a .txt file. Raises UserError if there is none, or if the lines were changed."""
    path = Path(path)
    record_file = path.with_name(path.name + RECORD_SUFFIX)
    if not path.is_file():
        raise UserError(f"there is no file {path}; give the path of a generated .txt file.")
    try:
        record = _read_json(record_file)
    except OSError:
        raise UserError(f"{path} carries no record of reverie: there is no {record_file.name} beside it.") from None
    if not is_record(record, of_lines=True):
        raise UserError(f"{record_file} is no record of reverie; it was changed or is damaged.")
    recorded = [line["digest"] for line in record["lines"]]
    *lines, rest = path.read_text(encoding="utf-8", errors="replace").split("\n")  # every line that we write has an end
    digests = [Text(line).digest for line in lines]
    if digests != recorded or rest:
        pairs = enumerate(zip(digests, recorded, strict=False))
        changed = next((i for i, (now, then) in pairs if now != then), min(len(digests), len(recorded)))
        raise UserError(
            f"{path} was changed after it was generated, from line {changed + 1} on; its record is of other lines."
        )
    return record
