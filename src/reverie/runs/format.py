"""Refuses run folders and weights files of another format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reverie._version import FORMAT
from reverie.utils.errors import UserError


def check_format(path: Path, found: Any, version: Any) -> None:
    """Raises UserError if the format found in a file is not ours; before there were formats, files had none.

    version: of reverie, that wrote the file
    """
    if found == FORMAT:
        return
    if isinstance(found, int) and found > FORMAT:
        raise UserError(
            f"{path} was made by reverie {version}, of a later format ({found}; this is {FORMAT}): update reverie."
        )
    raise UserError(
        f"{path} was made by reverie {version or '0.1.0'}, of an earlier format ({found or 1}; this is {FORMAT}): its "
        "options and weights have other names; train it again."
    )
