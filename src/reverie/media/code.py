"""Latent codes: what an encoder makes of an image."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from reverie.media.item import Item
from reverie.utils.atomic_files import replace_bytes

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Code(Item):
    """The latent code of one image: float32 [Z]."""

    NOUN: ClassVar = "code"
    INPUT_SUFFIXES: ClassVar = frozenset[str]()
    SUFFIX: ClassVar = ""
    COMBINED_WRITERS: ClassVar = {".csv": lambda codes, path: save_codes(codes, path)}

    values: np.ndarray
    """float32 [Z]"""

    @property
    def summary(self) -> str:
        return f"{len(self.values)} dimensions"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.values if dtype is None else self.values.astype(dtype)

    def numpy(self) -> np.ndarray:
        """The values, float32 [Z], a copy."""
        return self.values.copy()

    @classmethod
    def from_latent(cls, source: Any, z: Tensor) -> Code:
        """The code z [Z] that an encoder computed from `source`, an image or a tune."""
        return cls(z.float().cpu().numpy()).made_from(source)


def save_codes(codes: Sequence[Code], path: str | Path) -> Path:
    """Write a CSV table with one row for each code, and return its path; missing folders are made.

    Columns: file (that was encoded, below the folder that was given), its digest, run that encoded it, z1, z2, ...;
    values have nine significant digits, which is enough to read back the same float32.
    """
    path = Path(path)
    file = io.StringIO(newline="")
    table = csv.writer(file)
    dimensions = [f"z{i}" for i in range(1, len(codes[0].values) + 1)]
    table.writerow(["file", "digest", "run", *dimensions])
    for code in codes:
        digest = code.inputs[0]["digest"] if code.inputs else ""
        run = (code.record or {}).get("run", "")
        values = [f"{value:.9g}" for value in code.values]
        table.writerow([code.source_file, digest, run, *values])
    replace_bytes(path, file.getvalue().encode("utf-8", "backslashreplace"))
    return path
