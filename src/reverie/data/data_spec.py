"""Where data is, together with what the user states about how it is to be read, which goes before any guess."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from reverie.utils.errors import UserError, near_miss
from reverie.utils.paths import exists

Splits = Literal["auto", "folders", "files", "none"]
"""auto: folders are splits where their names say so, or file names are (data/splits.py); folders: every folder with the
name of a split is one; files: file names say it; none: there are no splits, and such folders are classes, or folders
like any other"""
Pairing = Literal["auto", "side-by-side", "folders", "targets", "none"]
"""auto: as shapes and names suggest; side-by-side: each image is a pair, cut at the middle; folders: two folders hold
the two images of each pair, matched by their names; targets: the second images of pairs, alone; none: single images"""
STATED = ("splits", "pairing", "labels")
"""what is stated of how a place is read"""
LABELS = ("auto", "folders", "names", "none")
"""what says which class an image is of, beside the name or number of a column of a table, or TABLE:COLUMN
(data/images/class_labels.py).
auto: folders, else a table; folders: first-level folders; names: what file names say before their number; none: nothing
does"""


class DataSpec(str):
    """A path, a name, or two with a comma between them: the text of it, with what is STATED as attributes.

    It is the text wherever a text is expected, so what was stated stays with it on its way to whatever opens it; `str`
    of it is the text alone.

    >>> DataSpec("photos/", splits="none").splits
    'none'
    """

    splits: Splits
    pairing: Pairing
    labels: str
    """of LABELS, or a column: its name, number, or TABLE:COLUMN"""

    def __new__(
        cls, place: str | Path, splits: str | None = None, pairing: str | None = None, labels: str | None = None
    ) -> DataSpec:
        """None: as stated with `place` already, if it is a DataSpec, else "auto". Raises UserError for other values,
        and where nothing stands before or after a comma."""
        if isinstance(place, DataSpec) and type(place) is not cls:
            return place  # data in memory, of which nothing is to be guessed
        parts = [part.strip() for part in str(place).split(",")]
        if not all(parts) and any(parts) and not exists(place):  # "" as a path would be the present folder
            where = "before" if not parts[0] else "after"
            raise UserError(
                f"nothing stands {where} a comma in {place}; give two places, such as a/,b/, or one without."
            )
        spec = super().__new__(cls, str(place))
        for name, value, kind in (("splits", splits, Splits), ("pairing", pairing, Pairing)):
            value = value or getattr(place, name, "auto")
            if value not in get_args(kind):
                choices = get_args(kind)
                hint = near_miss(str(value), list(choices))
                raise UserError(f"{name} is '{value}'; it must be one of {', '.join(choices)}.{hint}")
            setattr(spec, name, value)
        spec.labels = str(labels or getattr(place, "labels", "auto"))
        return spec

    @property
    def stated(self) -> dict[str, str]:
        """What is not "auto", by name: for run.json."""
        return {name: value for name in STATED if (value := getattr(self, name)) != "auto"}


def refuse_missing(spec: str) -> None:
    """Raises UserError where one of several places with a comma between them is there, and another is not."""
    places = [part.strip() for part in spec.split(",")]
    there = [exists(Path(place).expanduser()) for place in places]
    if any(there) and not all(there):
        raise UserError(f"no such path: {places[there.index(False)]}, of the places {spec}; correct it.")
