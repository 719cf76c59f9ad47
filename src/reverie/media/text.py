"""A line of text, as verbs take and give it. A .txt file holds one a line; what made them stands in a file beside it.

poems.txt is plain text that any program reads; poems.txt.json says, as a PNG's own chunk does of a picture, which run
made the lines, with what arguments, and of which digest each line was when it was made.
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
from reverie.utils.errors import UserError

BESIDE = ".json"
"""what is added to the name of a .txt file for the file of its record"""


@dataclass(frozen=True, eq=False)
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
        from reverie.data.text.dataset import lines_of

        try:
            found, _ = lines_of(Path(path).read_bytes())
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a text file.") from None
        except InvalidFile as unfit:
            raise UserError(f"{path} is {unfit}") from None
        return [cls(line, Path(path).name) for _, line in found]

    def save(self, path: str | Path) -> Path:
        """Writes a .txt file of one line, and its record beside it."""
        return save_texts([self], path)

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over the line."""
        return hashlib.sha256(self.line.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return self.line


def save_texts(texts: Sequence[Text], path: str | Path) -> Path:
    """Writes lines to one .txt file, one each, and what made them beside it, if they were made. Raises UserError."""
    path = Path(path)
    if path.suffix.lower() != ".txt":
        raise UserError(f"cannot write {path}: lines go into a .txt file; name it {path.stem or 'lines'}.txt.")
    for text in texts:
        if len(text.line.splitlines()) > 1:
            raise UserError(f"cannot write '{text.line[:40]}' as one line: it holds a line's end.")
    beside = path.with_name(path.name + BESIDE)
    if beside.exists() and not is_record(_told(beside), of_lines=True):
        raise UserError(f"{beside} is there already and no record of reverie; move it, or give another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{text.line}\n" for text in texts).encode())  # as bytes: no system changes the ends
    if texts and texts[0].record is not None:
        beside.write_text(json.dumps(_record(texts), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        beside.unlink(missing_ok=True)  # that of a file which was here before
    return path


def _record(texts: Sequence[Text]) -> dict[str, Any]:
    """The record of the first line, with what is each line's own under "lines"."""
    own = ("index", "inputs", "prediction")
    lines = []
    for text in texts:
        told = text.record or {}
        lines.append({**{k: told[k] for k in own if k in told}, "digest": text.digest})
    first = texts[0].record or {}
    return {**first, "lines": lines}


def _told(beside: Path) -> Any:
    """What a file of JSON says, None where it is none. Raises OSError."""
    try:
        return json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None


def read_text_record(path: str | Path) -> dict[str, Any]:
    """What the file beside a .txt says of it. Raises UserError if there is none, or it is of other lines."""
    path = Path(path)
    beside = path.with_name(path.name + BESIDE)
    if not path.is_file():
        raise UserError(f"there is no file {path}; give the path of a generated .txt file.")
    try:
        record = _told(beside)
    except OSError:
        raise UserError(f"{path} carries no record of reverie: there is no {beside.name} beside it.") from None
    if not is_record(record, of_lines=True):
        raise UserError(f"{beside} is no record of reverie; it was changed or is damaged.")
    lines = [line["digest"] for line in record["lines"]]
    *written, rest = path.read_text(encoding="utf-8", errors="replace").split("\n")
    if (now := [Text(line).digest for line in written]) != lines or rest:  # every line that was made has an end
        at = next((i for i, (a, b) in enumerate(zip(now, lines, strict=False)) if a != b), min(len(now), len(lines)))
        raise UserError(f"{path} was changed after it was made, from line {at + 1} on; its record is of other lines.")
    return record
