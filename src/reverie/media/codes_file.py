"""Files of latent codes: the table that `encode` writes, and arrays of other programs. Nothing in them is executed."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reverie.media.code import Code
from reverie.utils.errors import UserError, printable

SUFFIXES = (".csv", ".npy", ".safetensors")


def read_codes(path: Path, width: int | None = None) -> list[Code]:
    """The codes in a file: a CSV as `save_codes` writes it, or one array [N,Z] or [Z] as .npy or .safetensors.

    width: Z; None: whatever the file has. Raises UserError for what is none of these, for codes of another width, and
    for columns that are missing or repeated.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path} is no file of codes; give {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if not path.is_file():
        raise UserError(f"there is no file {path}.")
    try:
        codes = _of_table(path) if path.suffix.lower() == ".csv" else [Code(row) for row in _array(path)]
    except UserError:
        raise
    except Exception as error:  # damaged files raise what they will in numpy, csv and safetensors
        why = printable(str(error)).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"{path} cannot be read as codes ({why}); write it again.") from None
    if not codes:
        raise UserError(f"{path} holds no codes.")
    if width is not None and (given := len(codes[0].values)) != width:
        raise UserError(f"the codes in {path} have {given} values each; those of this run have {width}: [N,{width}].")
    return codes


def _dimensions(path: Path, header: Sequence[str]) -> list[int]:
    """The columns z1, z2, ... of a table, by their numbers. Raises UserError if one is missing or repeated."""
    names = [name.strip().lower() for name in header]
    there = [name for name in names if re.fullmatch(r"z\d{1,6}", name)]
    wanted = [f"z{k}" for k in range(1, len(there) + 1)]
    repeated = sorted({name for name in there if there.count(name) > 1})
    others, missing = ([name for name in a if name not in b] for a, b in ((there, wanted), (wanted, there)))
    if repeated:
        raise UserError(f"{path} has the column {repeated[0]} more than once; give each of z1, z2, ... once.")
    if missing:
        raise UserError(f"{path} has a column {others[0]} but no {missing[0]}; give all from z1 on, as encode writes.")
    if not there:
        raise UserError(f"{path} has no columns z1, z2, ...; give what encode writes.")
    return [names.index(name) for name in wanted]


def _of_table(path: Path) -> list[Code]:
    with path.open(newline="", encoding="utf-8-sig", errors="backslashreplace") as file:
        header, *rows = [row for row in csv.reader(file) if row] or [[]]
    at = _dimensions(path, header)
    place = {name: header.index(name) for name in ("file", "digest", "run") if name in header}
    codes = []
    for number, row in enumerate(rows, 2):
        try:
            values = np.array([float(row[i]) for i in at], np.float32)
        except (ValueError, IndexError):
            raise UserError(f"row {number} of {path} has no number in each of its columns z1 to z{len(at)}.") from None
        known = {name: row[i] if i < len(row) else "" for name, i in place.items()}
        parts = known.get("file", "").replace("\\", "/").split("/")
        *folders, name = [part for part in parts if part.strip(" .") and ":" not in part] or [""]  # never out of --out
        inputs = ({"name": name, "digest": known.get("digest", "")},) if name else ()
        record = {"run": known["run"]} if known.get("run") else None
        codes.append(Code(values, inputs=inputs, record=record, folder="/".join(folders)))
    return codes


def _array(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        array = np.load(path, allow_pickle=False)
    else:
        from safetensors.numpy import load_file

        arrays = load_file(path)
        if len(arrays) != 1:
            raise UserError(f"{path} holds {len(arrays)} arrays; give a file of one, [N,Z].")
        array = next(iter(arrays.values()))
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise UserError(f"{path} holds an array {array.dtype} of shape {list(array.shape)}; codes are numbers [N,Z].")
    return np.atleast_2d(array.astype(np.float32))
