"""Where a run is, of what Python has of it: its path, or the method that was loaded from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from reverie.runs.run_folder import WEIGHTS, Run
from reverie.runs.weights_file import read_weights
from reverie.utils.errors import UserError


def run_place(run: Any) -> str | Path:
    """The run folder or weights file of a run; of a loaded method, the one that it was loaded from.

    Raises UserError for a method that was loaded from none, or whose run holds other weights by now, and for values
    that are neither.
    """
    if isinstance(run, str | os.PathLike):
        return run if isinstance(run, str) else Path(run)
    if not hasattr(run, "origin"):
        raise UserError(f"a run is of the type {type(run).__name__}; give its folder, or what reverie.load returns.")
    if not hasattr(run, "loaded_from"):
        raise UserError(f"this {type(run).__name__} was not loaded from a run; give the path of one.")
    place = Path(run.loaded_from)
    if place.exists() and read_weights(weights_of(place))[2][:16] != run.origin["run"]:
        raise UserError(f"{place} holds other weights than this {type(run).__name__} by now; load it again.")
    return run.loaded_from


def weights_of(place: str | Path) -> Path:
    """The weights file of a run folder, its latest that is valid; of a weights file the file itself.

    Raises UserError where there is no run, or it has no checkpoint yet.
    """
    if Path(place).is_file():
        return Path(place)
    run = Run.open(place)
    if not any((run.path / folder / WEIGHTS).exists() for folder in (".", "next", "previous")):
        raise UserError(
            f"{place} has no checkpoint yet; wait for the first one, or go on with `reverie resume {place}`."
        )
    return run.latest_valid((WEIGHTS,)) / WEIGHTS


def keep_place(method: Any, place: str | Path) -> None:
    """Notes in a method the run folder or weights file that it was loaded from, or the name of an installed network."""
    method.loaded_from = place
