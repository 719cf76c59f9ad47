"""Where the data of a run is: noted relative to the run folder, so that both can be moved together, and found again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from reverie.utils.errors import UserError

IN_MEMORY = " in memory"
"""what the spec of data ends in that was given in Python, and is at no place"""


def split_spec(spec: str | Path) -> list[str]:
    """The places that a spec names: one, or two with a comma between them. A path that is there is one."""
    return [str(spec)] if Path(spec).exists() else [part.strip() for part in str(spec).split(",")]


def relative_paths(spec: str | Path, out: Path) -> str | list[str | None] | None:
    """Where the data is, seen from the run folder, so that both can be moved together; of two places a list."""
    paths = [_relative_path(out, part) for part in split_spec(spec)]
    return paths if len(paths) > 1 else paths[0]


def _relative_path(out: Path, place: str) -> str | None:
    """A path relative to the run folder; None if it is the name of a set."""
    if not Path(place).exists():
        return None
    try:
        path = os.path.relpath(place, out)
        if os.path.realpath(out / path) != os.path.realpath(place):  # behind a link to a folder, .. is another one
            path = os.path.relpath(place, os.path.realpath(out))
        return Path(path).as_posix()
    except ValueError:  # another drive on Windows
        return Path(place).absolute().as_posix()


def spec_of_run(data: dict[str, Any], run: Path) -> str:
    """The spec by which to open the data of a run again; `data` is what run.json holds of it."""
    path = data.get("path")
    if path is None and str(data["spec"]).endswith(IN_MEMORY):
        raise UserError(f"{run} was trained on {data['spec']}; give it again in Python: reverie.resume(run, data=...).")
    if not isinstance(path, list):
        return _locate(str(data["spec"]), path, run)
    return ",".join(_locate(*part, run) for part in zip(str(data["spec"]).split(","), path, strict=False))


def _locate(spec: str, path: str | None, run: Path) -> str:
    """Where the data is now: at its path relative to the run, or at its spec. Raises UserError if at neither."""
    if path is None:
        return spec
    joined, normal = run / path, Path(os.path.normpath(run / path))  # not the same where the run is behind a link
    if joined.exists() and not (normal.exists() and normal.samefile(joined)):
        return os.path.realpath(joined)
    for place in (normal, Path(spec)):
        if place.exists():
            return os.path.normpath(place)
    raise UserError(f"the data of {run} is not at {run / path} any more; say where it is with --data.")
