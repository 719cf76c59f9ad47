"""Import of generators that other programs have trained; their files are read without running any code in them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie._version import __version__
from reverie.convert.basicsr_checkpoints import recognise_upscaler
from reverie.convert.cyclegan_checkpoints import recognise
from reverie.convert.state_dicts import without_containers
from reverie.convert.tensor_files import read_tensors
from reverie.core import registry
from reverie.core.imported_network import Imported, ImportedNetwork, ImportedUpscaler
from reverie.core.options import build, checks_arguments, convert
from reverie.runs.weights_file import write_weights
from reverie.utils.atomic_files import disk_errors, replacing, sha256
from reverie.utils.errors import UserError

PIX2PIX_FILE = "latest_net_G.pth"
"""the name under which the pix2pix code saves its generator"""
CYCLEGAN_FILES = ("latest_net_G_A.pth", "latest_net_G_B.pth")
"""the names under which the CycleGAN code saves its generators, a to b and b to a"""
GIVE = f"give a state dict of tensors, such as {PIX2PIX_FILE}"


@checks_arguments("files")
def import_checkpoint(
    files: str | Path | Sequence[str | Path], out: str | Path, *, dropout: bool | None = None
) -> dict[str, Any]:
    """Converts generators of other programs to one weights file, for `load` and all verbs.

    files: one generator of the pix2pix and CycleGAN code, or two (a to b, b to a), or the folder they are in; or one
    network of BasicSR, ESRGAN or Real-ESRGAN that enlarges;
    out: a new .safetensors file;
    dropout: whether a U-Net was trained with dropout, which its file cannot tell; None: with batch norm yes, as is
    that code's default.
    Returns {"file", "method", "networks", "config"}: what was recognised. Raises UserError for files that are not such
    generators, that do not fit together, or that hold more than tensors.
    """
    place = Path(out)
    if place.suffix != ".safetensors":
        raise UserError(f"cannot write {place}; name it {place.stem or 'model'}.safetensors.")
    if place.exists():
        raise UserError(f"{place} is there already; give another --out.")
    listed = [files] if isinstance(files, str | Path) else files
    paths = _ordered(list(convert(listed, tuple[Path, ...], "files")))
    networks = [_recognise(path, dropout) for path in paths]
    method, values, weights = method_for(networks)
    config = build(registry.method_class(method).Config, values)
    imported = [{"name": path.name, "sha256": sha256(path)} for path in paths]
    header = {
        "method": method, "config": dataclasses.asdict(config), "imported": imported, "reverie": __version__,
        "torch": torch.__version__,
    }  # fmt: skip
    with disk_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as fresh:
            write_weights(fresh, weights, header)
    recognised = []
    for network, file in zip(networks, imported, strict=True):
        fields = {name: value for name, value in vars(network).items() if name != "weights"}
        recognised.append({**fields, "description": network.describe(), **file})
    return {"file": str(place), "method": method, "networks": recognised, "config": dataclasses.asdict(config)}


def _recognise(path: Path, dropout: bool | None) -> Imported:
    """The network in a file; dropout: as in import_checkpoint. Raises UserError if it is none that can be used."""
    tensors, metadata = read_tensors(path, GIVE)
    if "reverie" in metadata:
        raise UserError(f"{path} is a weights file of reverie already: use it as it is, wherever a run is.")
    weights = without_containers(tensors, path.name)
    network: Imported = recognise_upscaler(weights, path.name) or recognise(weights, path.name)
    for word, channels in (("takes", network.in_channels), ("makes", network.out_channels)):
        if channels not in (1, 3):
            raise UserError(
                f"{network.name} {word} {channels} channels; reverie takes images of 1 (grey) or 3 (colour)."
            )
    if not isinstance(network, ImportedUpscaler):
        return _with_dropout(network, dropout)
    if dropout:
        raise UserError(f"{network.name} has no dropout, as its keys say; leave --dropout out.")
    return network


def _ordered(paths: list[Path]) -> list[Path]:
    """The file of one generator, or those of a to b and b to a in that order, as far as their names tell."""
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        both = [folder / name for name in CYCLEGAN_FILES]
        paths = [folder / PIX2PIX_FILE] if (folder / PIX2PIX_FILE).is_file() else both
        if not all(path.is_file() for path in paths):
            both_names = " and ".join(CYCLEGAN_FILES)
            raise UserError(f"{folder} holds neither {PIX2PIX_FILE} nor both of {both_names}; give the files by name.")
    if len(paths) not in (1, 2):
        raise UserError(f"import takes one generator, or two (a to b, b to a), not {len(paths)} files.")
    directions = [re.search(r"net_G_([AB])$", path.stem) for path in paths]
    if len(paths) == 2 and [direction and direction[1] for direction in directions] == ["B", "A"]:
        return paths[::-1]
    return paths


def _with_dropout(network: ImportedNetwork, dropout: bool | None) -> ImportedNetwork:
    """The network with its dropout known. Raises UserError if `dropout` contradicts it."""
    if network.dropout is None:
        # The defaults of that code: batch norm and dropout for pix2pix, instance norm and none for CycleGAN.
        default = network.norm == "batch"
        return dataclasses.replace(network, dropout=default if dropout is None else dropout)
    if dropout not in (None, network.dropout):
        has = "has" if network.dropout else "has no"
        raise UserError(f"{network.name} {has} dropout, as its keys say; leave --dropout out.")
    return network


def method_for(networks: list[Imported]) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """The method that is made of such networks: its name, config and weights. Raises UserError if there is none."""
    for name, entry in registry.list_methods().items():
        if entry.importable and (found := registry.method_class(name).from_imported(networks)) is not None:
            return name, *found
    raise UserError(f"no method of reverie is made of {len(networks)} such networks.")
