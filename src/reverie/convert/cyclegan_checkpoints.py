"""State dicts of the authors' PyTorch code of pix2pix and CycleGAN: recognised, and renamed to our networks' keys.

That code's U-Net nests each layer of the encoder, the layers below it, and its layer of the decoder in a Sequential
called `model`; its ResNet is one flat Sequential. Everything is inferred from the keys and shapes of the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from reverie.convert.state_dicts import Stems, kernel_shape, rename_keys
from reverie.core.imported_network import ImportedNetwork
from reverie.nn.resnet_generator import ResNetGenerator
from reverie.nn.unet import UNet
from reverie.utils.errors import UserError

READS = "reverie reads its U-Net and ResNet with batch or instance norm"
FIRST_BLOCK, AFTER_BLOCKS = 10, (0, 1, 3, 4, 7)
"""index of a ResNet's first residual block; offsets of the layers after the blocks that have weights"""


def recognise(weights: Mapping[str, Tensor], name: str) -> ImportedNetwork:
    """The generator that a state dict without containers belongs to; name: of its file, for messages.

    Raises UserError, with the first key that does not fit, if it is no generator of that code.
    """
    if any(key.startswith("model.model.") for key in weights):
        return _unet(weights, name)
    if _is_discriminator(weights):
        raise UserError(f"{name} is a discriminator, which generates no images; give the generator, latest_net_G.pth.")
    if any(key.startswith("model.1.") or ".conv_block." in key for key in weights):
        return _resnet(weights, name)
    first = f"its first key is '{next(iter(weights))}'" if weights else "it is empty"
    raise UserError(
        f"{name} is no generator of the pix2pix and CycleGAN code ({first}; those of a U-Net begin with "
        "model.model.0, those of a ResNet with model.1), nor of BasicSR or ESRGAN (conv_first, body.0 or model.1.sub); "
        "give a file such as latest_net_G.pth or RealESRGAN_x4plus.pth."
    )


def _is_discriminator(weights: Mapping[str, Tensor]) -> bool:
    """Whether these are weights of a discriminator: a PatchGAN (4x4 kernels in layer 0) or of single pixels (1x1)."""
    first = {"model.0.weight": (4, 4), "net.0.weight": (1, 1)}
    return any(key in weights and weights[key].shape[2:] == kernel for key, kernel in first.items())


def _unet(weights: Mapping[str, Tensor], name: str) -> ImportedNetwork:
    paths = ["model.model.", "model.model.1.model."]  # key prefix of each level, from the outermost
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
    base_channels, in_channels = kernel_shape(weights, stems["downs.0"], name, 4)[:2]
    out_channels = kernel_shape(weights, stems["ups.0"], name, 4)[1]
    norm = _norm_kind(weights, [stem for ours, stem in stems.items() if "norm" in ours])
    ours = rename_keys(
        weights, stems, name, lambda: UNet(in_channels, out_channels, base_channels, len(paths), norm), READS
    )
    return ImportedNetwork(name, "unet", in_channels, out_channels, base_channels, len(paths), None, norm, None, ours)


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
    base_channels, in_channels = kernel_shape(weights, stems["1"], name, 7)[:2]
    out_channels = kernel_shape(weights, stems[str(flat[-1])], name, 7)[0]
    norms = [f"model.{k}" for k in (2, 5, 8, after + 1, after + 4)]
    norm = _norm_kind(weights, norms)
    rate = 0.5 if dropout else 0.0

    def build() -> nn.Module:
        return ResNetGenerator(in_channels, out_channels, base_channels, blocks, norm, rate)

    ours = rename_keys(weights, stems, name, build, READS)
    return ImportedNetwork(name, "resnet", in_channels, out_channels, base_channels, None, blocks, norm, dropout, ours)


def _norm_kind(weights: Mapping[str, Tensor], stems: list[str]) -> Literal["batch", "instance"]:
    """The kind of norm: in that code only batch norms have weights."""
    return "batch" if any(f"{stem}.weight" in weights for stem in stems) else "instance"
