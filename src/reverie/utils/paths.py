"""Paths as people give them: what a system cannot have as a path is no error but a path that is not there."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{k}" for port in ("com", "lpt") for k in range(1, 10))}
"""names of devices on Windows, with any suffix"""


def exists(path: str | Path) -> bool:
    """Whether there is a file or folder at a path; False where the name is too long or has forbidden characters."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def folded(name: str) -> str:
    """What is equal for names that are one file on Windows or macOS, which ignore case and how accents are coded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def folder_fault(names: Iterable[str]) -> str:
    """Why names cannot be those of folders side by side on every system; "" if they can."""
    known: dict[str, str] = {}
    for name in names:
        device = name.partition(".")[0].rstrip().lower() in RESERVED
        if not name or name[0] == "." or name[-1] in ". " or set(name) & set('/\\:*?"<>|') or min(name) < " " or device:
            return f"'{name}' cannot be the name of a folder on every system"
        if (other := known.setdefault(folded(name), name)) != name:
            return f"'{other}' and '{name}' would be one folder on Windows and macOS"
    return ""
