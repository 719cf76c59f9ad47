"""Files of latent codes: the table that `encode` writes, and arrays of other programs. Nothing in them is executed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from reverie.media.code import Code
from reverie.utils.errors import UserError, printable

SUFFIXES = (".csv", ".npy", ".safetensors")


def read_codes(path: Path) -> list[Code]:
    """The codes in a file: a CSV as `save_codes` writes it, or one array [N,Z] or [Z] as .npy or .safetensors.

    Raises UserError for what is none of these, and for values that are no finite numbers.
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
    return codes


def _of_table(path: Path) -> list[Code]:
    with path.open(newline="", encoding="utf-8-sig", errors="backslashreplace") as file:
        header, *rows = [row for row in csv.reader(file) if row] or [[]]
    at = [i for i, name in enumerate(header) if name.strip().lower() in {f"z{k}" for k in range(1, len(header) + 1)}]
    if not at:
        raise UserError(f"{path} has no columns z1, z2, ...; give what encode writes.")
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
