"""The options that state how a place is read, of all commands that take data."""

from __future__ import annotations

from typing import Any

from reverie.core.options import Option
from reverie.data.data_spec import DataSpec, Pairing, Splits

DATA_OPTIONS = [
    Option("splits", Splits, "auto", "what says which split a file is of: folders, all that are named like one; files, "
           "the file names; none; auto, by the rule of docs/data.md"),
    Option("pairing", Pairing, "auto", "which images are pairs: side-by-side, the halves of each; folders, two of "
           "them; targets, the second ones alone; none; auto, as shapes and names suggest"),
    Option("labels", str, "auto", "what says the class of an image: folders; names, the beginnings of file names; a "
           "column of a table beside the images, or TABLE:COLUMN; none; auto, folders or else a table"),
]  # fmt: skip


def stated_spec(place: str, args: dict[str, Any]) -> DataSpec:
    """The place with what was stated of it; takes the options out of `args`."""
    return DataSpec(place, *(args.pop(option.name, None) for option in DATA_OPTIONS))
