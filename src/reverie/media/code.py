"""A code: the numbers that an encoder makes of a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from reverie.media.image import Image
from reverie.media.item import Item

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Code(Item):
    """What a picture is encoded as: float32 [Z]."""

    NOUN: ClassVar = "code"
    INPUT_SUFFIXES: ClassVar = frozenset[str]()
    SUFFIX: ClassVar = ""
    COMBINED_WRITERS: ClassVar = {".csv": lambda codes, path: save_codes(codes, path)}

    values: np.ndarray

    @classmethod
    def from_latent(cls, source: Image, z: Tensor) -> Code:
        """z [Z], which stands for a picture."""
        return cls(z.float().cpu().numpy(), inputs=({"name": source.name, "digest": source.digest},))


def save_codes(codes: Sequence[Code], path: str | Path) -> Path:
    """Writes a table, CSV: picture, its digest, the run that encoded it, z1, z2 ... to nine digits, which is all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["picture", "digest", "run", *(f"z{i}" for i in range(1, len(codes[0].values) + 1))])
        for code in codes:
            source, record = (code.inputs or ({"name": "", "digest": ""},))[0], code.record or {}
            numbers = [f"{value:.9g}" for value in code.values]
            table.writerow([source["name"], source["digest"], record.get("run", ""), *numbers])
    return path
