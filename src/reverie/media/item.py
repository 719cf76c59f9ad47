"""What every medium has: how an item was made, of what, and where it belongs among the others."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

Medium = TypeVar("Medium", bound="Item")


@dataclass(frozen=True, eq=False, kw_only=True)
class Item:
    """An item that a method takes or makes."""

    LAZY: ClassVar[bool] = False
    PRINTED: ClassVar[bool] = False

    record: dict[str, Any] | None = None
    """how it was made, if it was"""
    inputs: tuple[dict[str, str], ...] = ()
    """what it was made from: name and digest of each"""
    index: int | None = None
    """its place in the job it was made in"""
    prediction: dict[str, Any] | None = None
    """what a classifier says of it, such as {"class": "cat", "probability": 0.93}"""
    columns: int = 0
    """how many belong side by side on a sheet; 0: as many as fit a square"""

    @property
    def item_fields(self) -> dict[str, Any]:
        """These fields by name, for another item that shows the same."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Item)}

    def with_provenance(self: Medium, record: dict[str, Any]) -> Medium:
        """The same with a record of how it was made."""
        if self.inputs:
            record = {**record, "inputs": list(self.inputs)}
        if self.prediction:
            record = {**record, "prediction": self.prediction}
        return dataclasses.replace(self, record=record)

    def made_from(self: Medium, *sources: Any) -> Medium:
        """The same, noting which items it was made from."""
        return dataclasses.replace(self, inputs=tuple({"name": s.name, "digest": s.digest} for s in sources))

    def in_rows_of(self: Medium, columns: int) -> Medium:
        """The same, to stand with others in rows of so many on a sheet."""
        return dataclasses.replace(self, columns=columns)
