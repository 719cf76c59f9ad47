"""Paths as people give them: what a system cannot have as a path is no error but a path that is not there."""

from __future__ import annotations

from pathlib import Path


def exists(path: str | Path) -> bool:
    """Whether there is a file or folder at a path; False where the name is too long or has forbidden characters."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False
