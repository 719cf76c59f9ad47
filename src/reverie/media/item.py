"""What every medium has in common: how an item was made, from which inputs, and its place among other items."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

Medium = TypeVar("Medium", bound="Item")


def inputs_of(sources: Iterable[Any]) -> tuple[dict[str, str], ...]:
    """Item.inputs of what is made from sources, items with a `name` and a `digest`, of which each is computed anew."""
    return tuple({"name": source.name, "digest": source.digest} for source in sources)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Item:
    """An item that a verb takes or returns: the base class of Image, Photo, Text, Music and Code."""

    LAZY: ClassVar[bool] = False
    PRINTED: ClassVar[bool] = False

    record: dict[str, Any] | None = None
    """provenance: run, verb, arguments, seed, versions; None for an item that was read from a file of the user"""
    inputs: tuple[dict[str, str], ...] = ()
    """the items that it was made from: {"name": file name, "digest": 16 hex digits} of each"""
    index: int | None = None
    """its position among all items of the call that made it, from 0; the same in every shard"""
    prediction: dict[str, Any] | None = None
    """what a classifier says of it, such as {"class": "cat", "probability": 0.93}"""
    folder: str = ""
    """where its file lies below the folder that was given, or where the input lay that it was made from, such as "a/b";
    outputs are written into the same"""
    columns: int = 0
    """how many items stand side by side in a grid of them; 0: as many as make the grid square"""

    @property
    def summary(self) -> str:
        """What it is in a few words, such as "28 x 28 grey"."""
        return ""

    def __repr__(self) -> str:
        parts = [type(self).__name__, self.summary]
        if name := getattr(self, "name", ""):
            parts.append(repr(name[:60]))
        if self.record and self.record.get("verb"):
            parts.append(f"{self.record['verb']} {self.index if self.index is not None else ''}".strip())
        if self.prediction:
            parts += [f"{key} {value}" for key, value in self.prediction.items() if isinstance(value, str | float)][:2]
        return f"<{' '.join(part for part in parts if part)}>"

    @property
    def source_file(self) -> str:
        """The file that it was made from, with its folder below the one that was given, such as "a/b/x.png"."""
        names = ", ".join(source["name"] for source in self.inputs)
        return f"{self.folder}/{names}" if self.folder and len(self.inputs) == 1 else names

    @property
    def details(self) -> dict[str, Any] | None:
        """What `--json` says of it beside its text and files; None: nothing."""
        return None

    @property
    def item_fields(self) -> dict[str, Any]:
        """The fields of this base class by name, to pass on to another item that shows the same content."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Item)}

    def with_provenance(self: Medium, record: dict[str, Any]) -> Medium:
        """A copy that carries `record`, with the inputs and the prediction of this item added to it."""
        if self.inputs:
            record = {**record, "inputs": list(self.inputs)}
        if self.prediction:
            record = {**record, "prediction": self.prediction}
        return dataclasses.replace(self, record=record)

    def made_from(self: Medium, *sources: Any) -> Medium:
        """A copy that names `sources` (items with a `name` and a `digest`) as its inputs."""
        return dataclasses.replace(
            self, inputs=inputs_of(sources), folder=sources[0].folder if len(sources) == 1 else ""
        )

    def in_rows_of(self: Medium, columns: int) -> Medium:
        """A copy that stands in rows of `columns` items when several are put into one grid."""
        return dataclasses.replace(self, columns=columns)

    def in_row_about(self: Medium, sources: Sequence[Any], columns: int) -> Medium:
        """A copy in rows of `columns` items: row r shows source r changed, and its files have its name and folder."""
        if not sources:
            return self.in_rows_of(columns)
        assert self.index is not None
        source = sources[self.index // columns]
        named: dict[str, Any] = {"name": source.name, "folder": source.folder}
        return dataclasses.replace(self.in_rows_of(columns), **named)
