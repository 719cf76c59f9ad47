"""What other programs have trained, brought here: their weights files read without running anything in them."""

from __future__ import annotations

import dataclasses
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from reverie._version import __version__
from reverie.convert.cyclegan_checkpoints import recognise
from reverie.core import registry
from reverie.core.imported_network import ImportedNetwork
from reverie.core.options import build
from reverie.runs.weights_file import write_weights
from reverie.utils.atomic_files import friendly, replacing, sha256
from reverie.utils.errors import UserError

ONE, TWO = "latest_net_G.pth", ("latest_net_G_A.pth", "latest_net_G_B.pth")
"""the names under which the pix2pix and CycleGAN code saves its generators: one way, or a to b and b to a"""
WRAPPER = "state_dict"
GIVE = f"give a state dict of tensors, such as {ONE}"


def import_checkpoint(files: Sequence[str | Path], out: str | Path, *, dropout: bool | None = None) -> dict[str, Any]:
    """Writes generators that the pix2pix and CycleGAN code has trained as one weights file, for `load` and all verbs.

    files: one generator, or two (a to b, b to a), or the folder they are in; out: a new .safetensors file;
    dropout: whether a U-Net was trained with it, which its file cannot say; None: with batch norm, as is usual there.
    Returns what was recognised. Raises UserError.
    """
    place = Path(out)
    if place.suffix != ".safetensors":
        raise UserError(f"cannot write {place}; name it {place.stem or 'model'}.safetensors.")
    if place.exists():
        raise UserError(f"{place} is there already; give another --out.")
    paths = _in_order([Path(file) for file in files])
    networks = [_settled(recognise(read(path), path.name), dropout) for path in paths]
    method, values, weights = _home(networks)
    config = build(registry.method_class(method).Config, values)
    imported = [{"name": path.name, "sha256": sha256(path)} for path in paths]
    header = {
        "method": method, "config": dataclasses.asdict(config), "imported": imported, "reverie": __version__,
        "torch": torch.__version__,
    }  # fmt: skip
    with friendly(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as fresh:
            write_weights(fresh, weights, header)
    seen = [
        {**{k: v for k, v in vars(network).items() if k != "weights"}, "told": network.told(), **file}
        for network, file in zip(networks, imported, strict=True)
    ]
    return {"file": str(place), "method": method, "networks": seen, "config": dataclasses.asdict(config)}


def read(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of torch.save or safetensors. Nothing in it is ever run. Raises UserError."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a weights file.") from None
    if head[8:] == b"{":
        return _safetensors(path)
    if not head.startswith((b"PK", b"\x80")):
        raise UserError(f"{path} is no file of torch.save or safetensors; {GIVE}.")
    return _state_dict(_unpickled(path), path)


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            if "reverie" in (file.metadata() or {}):
                raise UserError(f"{path} is a weights file of reverie already: use it as it is, wherever a run is.")
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
    except safetensors.SafetensorError:
        raise UserError(f"{path} is no whole safetensors file; fetch it again.") from None


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"more than tensors ({named[1]})" if named else "objects, not tensors"
        raise UserError(
            f"{path} holds {what}; reading that could run code, so it was not read. Where it comes from, save the "
            f"state dict alone: torch.save(net.state_dict(), '{ONE}')."
        ) from None
    except Exception as error:  # whatever a strange file provokes in the reader, it is the file's fault
        if "TorchScript" in str(error):
            raise UserError(f"{path} is a TorchScript program, not weights; {GIVE}.") from None
        raise UserError(f"{path} is no whole file of torch.save; fetch it again, or {GIVE}.") from None


def _state_dict(found: Any, path: Path) -> dict[str, Tensor]:
    """The state dict that a file is or wraps."""
    if isinstance(found, Mapping) and isinstance(found.get(WRAPPER), Mapping):
        found = found[WRAPPER]
    if not isinstance(found, Mapping):
        raise UserError(f"{path} holds a {type(found).__name__}; {GIVE}.")
    if strange := next((key for key, value in found.items() if not isinstance(value, Tensor)), None):
        kind = type(found[strange]).__name__
        raise UserError(f"{path}: '{strange}' is a {kind}, not a tensor; {GIVE}, alone or as '{WRAPPER}'.")
    if strange := next((key for key, tensor in found.items() if not _plain(tensor)), None):
        raise UserError(f"{path}: '{strange}' is no plain tensor of real numbers; save the weights unquantised.")
    return {str(key): tensor for key, tensor in found.items()}


def _plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_complex())


def _in_order(paths: list[Path]) -> list[Path]:
    """The files of one way, or of a to b and b to a, as their names say where they do."""
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        both = [folder / name for name in TWO]
        paths = [folder / ONE] if (folder / ONE).is_file() else both
        if not all(path.is_file() for path in paths):
            raise UserError(f"{folder} holds neither {ONE} nor both of {' and '.join(TWO)}; give the files by name.")
    if len(paths) not in (1, 2):
        raise UserError(f"import takes one generator, or two (a to b, b to a), not {len(paths)} files.")
    ways = [re.search(r"net_G_([AB])$", path.stem) for path in paths]
    if len(paths) == 2 and [way and way[1] for way in ways] == ["B", "A"]:
        return paths[::-1]
    return paths


def _settled(network: ImportedNetwork, dropout: bool | None) -> ImportedNetwork:
    """The network with what its file leaves open decided. Raises UserError if it is not for pictures."""
    for word, channels in (("takes", network.in_channels), ("makes", network.out_channels)):
        if channels not in (1, 3):
            raise UserError(
                f"{network.name} {word} {channels} channels; reverie translates pictures of 1 (grey) or 3 (colour)."
            )
    if network.dropout is None:
        # That code's pix2pix has batch norm and dropout unless told otherwise, its CycleGAN instance norm and none.
        return dataclasses.replace(network, dropout=network.norm == "batch" if dropout is None else dropout)
    if dropout not in (None, network.dropout):
        has = "has" if network.dropout else "has no"
        raise UserError(f"{network.name} {has} dropout, as its keys say; leave --dropout away.")
    return network


def _home(networks: list[ImportedNetwork]) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """The method that such networks are at home in: its name, config and weights."""
    for name, entry in registry.list_methods().items():
        if entry.importable and (found := registry.method_class(name).from_imported(networks)) is not None:
            return name, *found
    raise UserError(f"no method of reverie is made of {len(networks)} such networks.")
