"""Weights of another type, not finite, or too large for the machine are refused in a line, never loaded silently."""

from __future__ import annotations

import json
import math
import shlex
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import reverie
from reverie import UserError
from reverie.cli.main import main

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    place = tmp_path_factory.mktemp("values") / "run"
    assert main(shlex.split(f"train vae:smoke --data letters:64 --out '{place}' --threads 1 --steps 2")) == 0
    return place


def exported(run: Path, place: Path, change: Callable[[Weights, dict[str, Any]], None]) -> Path:
    """The weights file of a run with its tensors and header changed."""
    data = (run / "weights.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["reverie"])
    weights = safetensors.torch.load(data)
    change(weights, header)
    place.write_bytes(safetensors.torch.save(weights, {"reverie": json.dumps(header)}))
    return place


def with_one(value: float) -> Callable[[Weights, dict[str, Any]], None]:
    def change(weights: Weights, header: dict[str, Any]) -> None:
        next(x for x in weights.values() if x.is_floating_point()).view(-1)[0] = value

    return change


def as_type(dtype: torch.dtype) -> Callable[[Weights, dict[str, Any]], None]:
    def change(weights: Weights, header: dict[str, Any]) -> None:
        name = next(name for name, x in weights.items() if x.is_floating_point())
        weights[name] = weights[name].to(dtype)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (with_one(math.nan), "not finite"),
        (with_one(-math.inf), "not finite"),
        (as_type(torch.int32), "int32, where float32 belongs"),
        (as_type(torch.uint8), "uint8, where float32 belongs"),
        (as_type(torch.float64), "float64, where float32 belongs"),
        (lambda w, h: h.update(config={**h["config"], "base_channels": 10**7}), "GB of memory"),
        (lambda w, h: h.update(config={**h["config"], "base_channels": 10**19}), "cannot be made"),
        (lambda w, h: h.update(data=[1], step="x"), "data"),
        (lambda w, h: h.update(data={"facts": 3}), "data"),
    ],
)
def test_values_of_an_exported_file(
    run: Path, tmp_path: Path, change: Callable[[Weights, dict[str, Any]], None], says: str
) -> None:
    file = exported(run, tmp_path / "weights.safetensors", change)
    with pytest.raises(UserError, match=says):
        reverie.load(file)
