"""Files of tensors that other programs write, by torch.save or as safetensors; read without running code in them."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from reverie.utils.errors import UserError

WRAPPERS = (
    "params_ema", "params", "state_dict", "model_state_dict", "generator", "netG", "net_G", "net_g", "model_ema",
    "model",
)  # fmt: skip
"""the keys under which trainers save the state dict; averaged weights come first"""


def read_tensors(path: Path, give: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(state dict, metadata) of a file of torch.save or safetensors, without running code in it. Raises UserError.

    give: what to give instead, for the message
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a weights file.") from None
    if head[8:] == b"{":
        return _safetensors(path, give)
    if not head.startswith((b"PK", b"\x80")):
        raise UserError(f"{path} is not a file of torch.save or safetensors; {give}.")
    if head.startswith(b"PK"):
        _check_stored(path, give)
    return _state_dict(_unpickled(path, give), path, give), {}


def _check_stored(path: Path, give: str) -> None:
    """Raises UserError if a zip is compressed, which torch.save never does: it could unpack to any size."""
    try:
        with zipfile.ZipFile(path) as file:
            sizes = [info.file_size for info in file.infolist()]
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return  # torch says what is wrong with it
    if sum(sizes) > path.stat().st_size:
        raise UserError(f"{path} is a compressed zip, which torch.save does not write; {give}.")


def _safetensors(path: Path, give: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except safetensors.SafetensorError:
        raise UserError(f"{path} is not a complete safetensors file; download it again, or {give}.") from None


def _unpickled(path: Path, give: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"more than tensors ({named[1]})" if named else "objects, not tensors"
        raise UserError(
            f"{path} holds {what}; reading that could run code, so it was not read. Where it comes from, save the "
            f"state dict alone: torch.save(net.state_dict(), '{path.name}')."
        ) from None
    except Exception as error:  # a malformed file can make the unpickler raise anything
        if "TorchScript" in str(error):
            raise UserError(f"{path} is a TorchScript program, not weights; {give}.") from None
        raise UserError(f"{path} is not a complete file of torch.save; download it again, or {give}.") from None


def _state_dict(found: Any, path: Path, give: str) -> dict[str, Tensor]:
    """The state dict that a file holds, alone or under keys of WRAPPERS, one in another. Raises UserError."""
    while isinstance(found, Mapping):
        inner = next((found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            break
        found = inner
    if not isinstance(found, Mapping):
        raise UserError(f"{path} holds a {type(found).__name__}; {give}.")
    for key, value in found.items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise UserError(f"{path}: '{key}' is a {kind}, not a tensor; {give}, alone or as 'state_dict'.")
    for key, tensor in found.items():
        if not _is_dense_real(tensor):
            raise UserError(f"{path}: '{key}' is not a dense tensor of real numbers; save the weights unquantised.")
    return {str(key): tensor for key, tensor in found.items()}


def _is_dense_real(tensor: Tensor) -> bool:
    """Whether a tensor has a number of its own for each place: one that is repeated could be of any size."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
