"""State dicts of networks that enlarge images, of BasicSR, ESRGAN and Real-ESRGAN: recognised by their keys and shapes.

RRDBNet has three namings: BasicSR's (body.0.rdb1.conv1), which is ours too; that of the ESRGAN and BSRGAN code
(RRDB_trunk.0.RDB1.conv1); and the first, of numbered layers (model.1.sub.0.RDB1.conv1.0). MSRResNet has two.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

from reverie.convert.state_dicts import Stems, kernel_shape, rename_keys
from reverie.core.imported_network import ImportedUpscaler
from reverie.nn.basicsr_networks import MSRResNet, RRDBNet, SRVGGNetCompact
from reverie.utils.errors import UserError

READS = "reverie reads MSRResNet, RRDBNet (3x3 kernels throughout) and SRVGGNetCompact (PReLU)"
SCALES = (1, 2, 3, 4)
"""that a network may enlarge by"""
FOLDED = (1, 2, 4)
"""pixels a side that RRDBNet may fold into channels first"""


class Naming(NamedTuple):
    """What the layers of an RRDBNet are called."""

    name: str
    first: str
    dense: str
    """a layer of the body, by block, dense block in it, and convolution in that"""
    body: str
    """the layer behind the body, by the number of blocks"""
    up: str
    """the layer behind the k-th doubling, by k and by its index"""
    hr: str
    """the last but one, by its index"""
    last: str
    """the last, by its index"""


NAMINGS = (
    Naming("BasicSR", "conv_first", "body.{}.rdb{}.conv{}", "conv_body", "conv_up{}", "conv_hr", "conv_last"),
    Naming("ESRGAN", "conv_first", "RRDB_trunk.{}.RDB{}.conv{}", "trunk_conv", "upconv{}", "HRconv", "conv_last"),
    Naming(
        "numbered", "model.0", "model.1.sub.{}.RDB{}.conv{}.0", "model.1.sub.{}", "model.{1}", "model.{}", "model.{}"
    ),
)


def recognise_upscaler(weights: Mapping[str, Tensor], name: str) -> ImportedUpscaler | None:
    """The network that a state dict belongs to, None if it is of none of these; name: of its file, for messages.

    Raises UserError, with the first key that does not fit, if it seems to be one and is not.
    """
    for naming in NAMINGS:
        if f"{naming.dense.format(0, 1, 1)}.weight" in weights:
            return _rrdb(weights, name, naming)
    for body, hr, called in (("body", "conv_hr", "BasicSR"), ("recon_trunk", "HRconv", "ESRGAN")):
        if f"{body}.0.conv1.weight" in weights and "upconv1.weight" in weights:
            return _msrresnet(weights, name, body, hr, called)
    first, second = weights.get("body.0.weight"), weights.get("body.1.weight")
    if first is not None and second is not None and first.ndim == 4 and second.ndim == 1:
        return _srvgg(weights, name)
    return None


def _rrdb(weights: Mapping[str, Tensor], name: str, naming: Naming) -> ImportedUpscaler:
    blocks = _count(lambda k: f"{naming.dense.format(k, 1, 1)}.weight" in weights)
    doublings = _count(lambda k: f"{naming.up.format(k + 1, 3 * k + 3)}.weight" in weights)
    hr, last = naming.hr.format(3 * doublings + 2), naming.last.format(3 * doublings + 4)
    stems: Stems = {
        "conv_first": naming.first, "conv_body": naming.body.format(blocks), "conv_hr": hr, "conv_last": last,
        **{f"conv_up{k + 1}": naming.up.format(k + 1, 3 * k + 3) for k in range(doublings)},
    }  # fmt: skip
    for k, i, j in itertools.product(range(blocks), (1, 2, 3), (1, 2, 3, 4, 5)):
        stems[f"body.{k}.rdb{i}.conv{j}"] = naming.dense.format(k, i, j)
    base_channels, taken = kernel_shape(weights, naming.first, name, 3)[:2]
    channels = kernel_shape(weights, last, name, 3)[0]
    growth_channels = kernel_shape(weights, stems["body.0.rdb1.conv1"], name, 3)[0]
    folded = math.isqrt(taken // channels)
    if folded not in FOLDED or taken != channels * folded**2:
        raise UserError(f"{name} takes {taken} channels and makes {channels}; {READS}, of images alone.")
    scale = _checked_scale(2**doublings / folded, name)
    ours = rename_keys(
        weights, stems, name, lambda: RRDBNet(channels, base_channels, blocks, scale, growth_channels, folded), READS
    )
    return ImportedUpscaler(
        name, "rrdb", naming.name, scale, channels, base_channels, blocks, growth_channels, folded, ours
    )


def _msrresnet(weights: Mapping[str, Tensor], name: str, body: str, hr: str, naming: str) -> ImportedUpscaler:
    blocks = _count(lambda k: f"{body}.{k}.conv1.weight" in weights)
    base_channels, channels = kernel_shape(weights, "conv_first", name, 3)[:2]
    wide = kernel_shape(weights, "upconv1", name, 3)[0]
    scale = _checked_scale(4 if "upconv2.weight" in weights else math.sqrt(wide / base_channels), name)
    stems: Stems = {"conv_first": "conv_first", "conv_hr": hr, "conv_last": "conv_last"}
    stems |= {f"upconv{k}": f"upconv{k}" for k in (1, 2) if f"upconv{k}.weight" in weights}
    stems |= {f"body.{k}.conv{j}": f"{body}.{k}.conv{j}" for k in range(blocks) for j in (1, 2)}
    ours = rename_keys(weights, stems, name, lambda: MSRResNet(channels, base_channels, blocks, scale), READS)
    return ImportedUpscaler(name, "msrresnet", naming, scale, channels, base_channels, blocks, None, None, ours)


def _srvgg(weights: Mapping[str, Tensor], name: str) -> ImportedUpscaler:
    layers = _count(lambda k: f"body.{k}.weight" in weights)
    blocks = (layers - 3) // 2  # the first, the last, and their activation are none
    base_channels, channels = kernel_shape(weights, "body.0", name, 3)[:2]
    made = kernel_shape(weights, f"body.{layers - 1}", name, 3)[0]
    scale = _checked_scale(math.sqrt(made / channels), name)
    stems: Stems = {f"body.{k}": f"body.{k}" for k in range(layers)}
    ours = rename_keys(weights, stems, name, lambda: SRVGGNetCompact(channels, base_channels, blocks, scale), READS)
    return ImportedUpscaler(name, "srvgg", "BasicSR", scale, channels, base_channels, blocks, None, None, ours)


def _checked_scale(scale: float, name: str) -> int:
    """The scale that shapes stand for. Raises UserError where it is none of SCALES."""
    if scale not in SCALES:
        raise UserError(f"{name} enlarges {scale:g} times; reverie takes networks that enlarge by 1, 2, 3 or 4.")
    return int(scale)


def _count(has: Callable[[int], bool]) -> int:
    """How many numbers from 0 on there are something of."""
    n = 0
    while has(n):
        n += 1
    return n
