"""The files of a medium in a folder that was given to a verb, by the command line or in Python."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reverie.data.archives import is_ignored, is_run
from reverie.data.file_types import SUFFIXES
from reverie.data.media_types import HEAD, MUSIC_SUFFIXES, medium_of, medium_of_bytes


def files_in(root: Path, medium: Any) -> list[Path]:
    """The files of a medium below a folder, sorted; hidden ones are left out, and runs of reverie that lie in it."""
    visible = (p for p in root.rglob("*") if not any(map(is_ignored, p.relative_to(root).parts)))
    files = sorted(p for p in visible if p.is_file() and _is_of(p, medium))
    runs = {folder: is_run(str(folder)) for folder in {parent for p in files for parent in _parents(p, root)}}
    return [p for p in files if not any(runs[parent] for parent in _parents(p, root))]


def folder_below(path: Path, root: Path) -> str:
    """Where a file lies below a folder, as Item.folder has it."""
    return path.relative_to(root).parent.as_posix().removeprefix(".")


def _parents(path: Path, root: Path) -> Iterator[Path]:
    """The folders of a file below a root."""
    return itertools.takewhile(lambda parent: parent != root, path.parents)


def _is_of(path: Path, medium: Any) -> bool:
    """Whether a file is of a medium, by its suffix, or where that says nothing by its first bytes."""
    if path.suffix.lower() in medium.INPUT_SUFFIXES:
        return True
    if medium_of(path.name) or not medium.INPUT_SUFFIXES & (SUFFIXES | MUSIC_SUFFIXES):
        return False
    try:
        with path.open("rb") as file:
            found = medium_of_bytes(file.read(HEAD))
    except OSError:
        return False
    return found == ("image" if ".png" in medium.INPUT_SUFFIXES else "music")
