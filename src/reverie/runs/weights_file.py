"""The weights file: safetensors, with format, method and config in its header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from reverie._version import FORMAT
from reverie.runs.format import check_format
from reverie.utils.errors import UserError


def step_of(weights: Path) -> int | None:
    """The step that a weights file is of; None if it is no such file. Reads the header only."""
    try:
        with weights.open("rb") as file:
            length = file.read(8)  # of the header, if this is what it seems to be
            return _header(length + file.read(min(int.from_bytes(length, "little"), weights.stat().st_size)))["step"]
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None


def write_weights(path: Path, weights: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    """Writes a safetensors file; its one metadata entry "reverie" is JSON: format, and the header given.

    header: "method", "config", "reverie" (the version), and what else a reader wants to know
    """
    # One entry only: safetensors keeps several in no fixed order, and equal runs shall give equal files.
    text = json.dumps({**header, "format": FORMAT}, sort_keys=True)
    # Written here, since save_file makes a file that only its owner may read.
    path.write_bytes(safetensors.torch.save({k: v.contiguous().cpu() for k, v in weights.items()}, {"reverie": text}))


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], str]:
    """(header, weights, SHA-256) of a file of write_weights. Raises UserError if it is none, or of another format."""
    try:
        # Read once: safe_open opens a file twice, and a newer save may take its place in between.
        data = path.read_bytes()
        header = _header(data)
        if not (isinstance(header["method"], str) and isinstance(header["config"], dict)):
            raise ValueError
        data_of = header.get("data") or {}
        if not (isinstance(data_of, dict) and isinstance(data_of.get("facts") or {}, dict)):
            raise UserError(f"{path} is damaged (what its header says of the data); restore it from a copy.")
        if not isinstance(header.get("imported", []), list) or not isinstance(header.get("step"), int | None):
            raise UserError(f"{path} is damaged (its header's step or imports); restore it from a copy.")
        check_format(path, header.get("format"), header.get("reverie"))
        return header, safetensors.torch.load(data), hashlib.sha256(data).hexdigest()
    except (safetensors.SafetensorError, UnicodeDecodeError, json.JSONDecodeError):
        reason = "it is no safetensors file, or cut short"
    except OSError as error:
        reason = error.strerror or str(error)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        reason = "its header names no method and config"
    raise UserError(f"{path} is not a weights file of reverie ({reason}); give a run folder or its weights.")


def check_values(own: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]) -> None:
    """Raises RuntimeError for weights of another type than a method's own, which loading would convert without a word,
    and for those that hold NaN or infinity where its own do not."""
    for name in own.keys() & weights.keys():
        found, wanted = weights[name], own[name]
        if found.dtype != wanted.dtype:
            kinds = (str(x.dtype).removeprefix("torch.") for x in (found, wanted))
            raise RuntimeError("{} is {}, where {} belongs".format(name, *kinds))
        if found.is_floating_point() and not found.isfinite().all() and wanted.isfinite().all():
            raise RuntimeError(f"{name} holds values that are not finite")


def check_tensor(name: str, own: torch.Tensor, found: Any) -> None:
    """Raises RuntimeError for what is not a dense tensor of a tensor's own type and shape."""
    plain = isinstance(found, torch.Tensor) and found.layout == torch.strided and not found.is_meta
    if not plain or found.dtype != own.dtype or found.shape != own.shape:
        kind = str(own.dtype).removeprefix("torch.")
        raise RuntimeError(f"{name} is not a tensor of {kind} of the shape {list(own.shape)}")


def _header(data: bytes) -> dict[str, Any]:
    """What write_weights noted: the file begins with the length of a JSON header, 8 bytes, and the header."""
    return json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["reverie"])
