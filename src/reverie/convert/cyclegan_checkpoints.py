"""Generators under other names: those that the authors' PyTorch code of pix2pix and CycleGAN gives to their weights.

That code's U-Net nests each layer of the encoder, what lies below it, and its layer of the decoder in a Sequential
called `model`; its ResNet is one flat Sequential. Everything is told from names and shapes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from reverie.core.imported_network import ImportedNetwork
from reverie.nn.resnet_generator import ResNet
from reverie.nn.unet import UNet
from reverie.utils.errors import UserError

Stems = dict[str, str]
"""our name of a layer -> theirs, without .weight and the like"""
FIRST_BLOCK, AFTER_BLOCKS = 10, (0, 1, 3, 4, 7)
"""where the blocks of a ResNet begin; which layers after them have weights"""
FOLLOWED = ("running_mean", "running_var", "num_batches_tracked")
"""statistics of a norm; instance norms of early versions kept them too, and their test script did not use them"""


def recognise(weights: Mapping[str, Tensor], name: str) -> ImportedNetwork:
    """The generator that a state dict belongs to. Raises UserError, with the first key that does not fit."""
    if weights and all(key.startswith("module.") for key in weights):  # saved as several GPUs held it
        weights = {key[7:]: tensor for key, tensor in weights.items()}
    if any(key.startswith("model.model.") for key in weights):
        return _unet(weights, name)
    if _is_judge(weights):
        raise UserError(f"{name} is a discriminator, which makes no pictures; give the generator, latest_net_G.pth.")
    if any(key.startswith("model.1.") or ".conv_block." in key for key in weights):
        return _resnet(weights, name)
    first = f"its first key is '{next(iter(weights))}'" if weights else "it is empty"
    raise UserError(
        f"{name} is no generator of the pix2pix and CycleGAN code ({first}; a U-Net's begin with model.model.0, a "
        "ResNet's with model.1); give its latest_net_G.pth."
    )


def _is_judge(weights: Mapping[str, Tensor]) -> bool:
    """Whether this is a discriminator: of patches (4x4 convolutions from layer 0 on) or of single pixels."""
    first = {"model.0.weight": (4, 4), "net.0.weight": (1, 1)}
    return any(key in weights and weights[key].shape[2:] == kernel for key, kernel in first.items())


def _unet(weights: Mapping[str, Tensor], name: str) -> ImportedNetwork:
    paths = ["model.model.", "model.model.1.model."]  # of each level, from the outermost
    while f"{paths[-1]}3.model.1.weight" in weights:
        paths.append(f"{paths[-1]}3.model.")
    last = len(paths) - 1
    stems: Stems = {}
    for k, path in enumerate(paths):
        stems[f"downs.{k}"] = path + ("1" if k else "0")
        stems[f"ups.{k}"] = path + ("3" if k in (0, last) else "5")
        if 0 < k < last:
            stems[f"down_norms.{k}"] = path + "2"
        if k:
            stems[f"up_norms.{k}"] = path + ("4" if k == last else "6")
    width, in_channels = _kernel(weights, stems["downs.0"], name, 4)[:2]
    out_channels = _kernel(weights, stems["ups.0"], name, 4)[1]
    norm = _norm(weights, [stem for ours, stem in stems.items() if "norm" in ours])
    ours = _translated(weights, stems, name, lambda: UNet(in_channels, out_channels, width, len(paths), norm))
    return ImportedNetwork(name, "unet", in_channels, out_channels, width, len(paths), None, norm, None, ours)


def _resnet(weights: Mapping[str, Tensor], name: str) -> ImportedNetwork:
    blocks = 0
    while any(key.startswith(f"model.{FIRST_BLOCK + blocks}.conv_block.") for key in weights):
        blocks += 1
    # Dropout has no weights, but what comes after it in a block moves by one.
    dropout = bool(blocks) and f"model.{FIRST_BLOCK}.conv_block.6.weight" in weights
    dropout = dropout and f"model.{FIRST_BLOCK}.conv_block.5.weight" not in weights
    second = 6 if dropout else 5
    after = FIRST_BLOCK + blocks
    flat = [1, 2, 4, 5, 7, 8, *(after + k for k in AFTER_BLOCKS)]
    stems = {str(k): f"model.{k}" for k in flat}
    for block in range(FIRST_BLOCK, after):
        stems |= {f"{block}.layers.{k}": f"model.{block}.conv_block.{k}" for k in (1, 2, second, second + 1)}
    width, in_channels = _kernel(weights, stems["1"], name, 7)[:2]
    out_channels = _kernel(weights, stems[str(flat[-1])], name, 7)[0]
    norms = [f"model.{k}" for k in (2, 5, 8, after + 1, after + 4)]
    norm = _norm(weights, norms)
    ours = _translated(weights, stems, name, lambda: ResNet(in_channels, out_channels, width, blocks, norm, 0.5 * dropout))
    return ImportedNetwork(name, "resnet", in_channels, out_channels, width, None, blocks, norm, dropout, ours)


def _kernel(weights: Mapping[str, Tensor], stem: str, name: str, side: int) -> torch.Size:
    """The shape of a convolution's weights that all else is told from. Raises UserError if it is not there."""
    shape = weights[f"{stem}.weight"].shape if f"{stem}.weight" in weights else None
    if shape is None:
        raise UserError(f"{name} lacks the key '{stem}.weight' of the generator it seems to be; give a whole one.")
    if len(shape) != 4 or shape[2:] != (side, side) or not shape.numel():
        raise UserError(f"{name}: '{stem}.weight' is {_said(shape)}; {side}x{side} kernels were expected there.")
    return shape


def _norm(weights: Mapping[str, Tensor], stems: list[str]) -> Literal["batch", "instance"]:
    """Which norm: only batch norms have weights."""
    return "batch" if any(f"{stem}.weight" in weights for stem in stems) else "instance"


def _translated(
    weights: Mapping[str, Tensor], stems: Stems, name: str, make: Callable[[], nn.Module]
) -> dict[str, Tensor]:
    """The weights under our names, if they are all there and nothing is left. Raises UserError."""
    with torch.device("meta"):  # names and shapes only
        own = make().state_dict()
    found: dict[str, Tensor] = {}
    used = set()
    for key, wanted in own.items():
        layer, _, part = key.rpartition(".")
        theirs = f"{stems[layer]}.{part}"
        used.add(theirs)
        if theirs not in weights:
            if part == "num_batches_tracked":  # PyTorch counts since 0.4
                found[key] = torch.tensor(0)
                continue
            raise UserError(
                f"{name} lacks the key '{theirs}' of the generator it seems to be; reverie knows its U-Net and ResNet "
                "with batch or instance norm."
            )
        if weights[theirs].shape != wanted.shape:
            shapes = f"{_said(weights[theirs].shape)}; {_said(wanted.shape)}"
            raise UserError(f"{name}: '{theirs}' is {shapes} was expected there, as its other layers are.")
        found[key] = weights[theirs].to(wanted.dtype)
        if not found[key].isfinite().all():
            raise UserError(f"{name}: '{theirs}' holds values that are no numbers; give an earlier save of it.")
    idle = {f"{stem}.{part}" for stem in stems.values() for part in FOLLOWED if f"{stem}.weight" not in weights}
    if strange := next((key for key in weights if key not in used | idle), None):
        raise UserError(
            f"{name} has the key '{strange}', which the generator it seems to be has not; reverie knows its U-Net and "
            "ResNet with batch or instance norm."
        )
    return found


def _said(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "one number"
