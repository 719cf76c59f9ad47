"""State dicts of other programs: keys without what containers add, shapes looked up, layers renamed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from reverie.utils.errors import UserError

Stems = dict[str, str]
"""our key of a layer -> theirs, without the suffix (.weight, .bias ...)"""
NORM_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""buffers of a norm; instance norms of early versions saved them too, but that code's test script ignored them"""

CONTAINERS = frozenset(("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"))
"""parts of keys that are of no layer: nn.DataParallel and AveragedModel, torch.compile, FSDP, activation checkpointing,
Lightning Fabric"""
COUNTERS = ("n_averaged",)
"""what torch.optim.swa_utils.AveragedModel saves beside the weights"""
PREFIXES = ("generator.", "netG.", "net_G.", "net_g.")
"""what a trainer calls its generator, where one state dict holds the discriminator too"""


def without_containers(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights without what containers of PyTorch put into the keys, wherever in a key and however deep.

    Raises UserError if two keys become one.
    """
    found: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        short = ".".join(part for part in key.split(".") if part not in CONTAINERS)
        if short in found:
            raise UserError(f"{name} has the key '{short}' twice, the second time as '{key}'; save one network alone.")
        if short not in COUNTERS:
            found[short] = tensor
    generator = {key.partition(".")[2]: found[key] for key in found if key.startswith(PREFIXES)}
    return generator or found


def kernel_shape(weights: Mapping[str, Tensor], stem: str, name: str, side: int) -> torch.Size:
    """The shape [out, in, side, side] of a convolution's weights. Raises UserError if it is missing or another."""
    shape = weights[f"{stem}.weight"].shape if f"{stem}.weight" in weights else None
    if shape is None:
        raise UserError(
            f"{name} lacks the key '{stem}.weight' that the generator it seems to be has; give a complete file."
        )
    if len(shape) != 4 or shape[2:] != (side, side) or not shape.numel():
        raise UserError(f"{name}: '{stem}.weight' is {_shape_text(shape)}; {side}x{side} kernels were expected there.")
    return shape


def rename_keys(
    weights: Mapping[str, Tensor], stems: Stems, name: str, build: Callable[[], nn.Module], reads: str
) -> dict[str, Tensor]:
    """The weights under our keys; reads: what can be read, for messages.

    Raises UserError unless theirs are exactly those of the network `build` makes.
    """
    with torch.device("meta"):  # keys and shapes only
        expected = build().state_dict()
    found: dict[str, Tensor] = {}
    used = set()
    for key, tensor in expected.items():
        layer, _, part = key.rpartition(".")
        theirs = f"{stems[layer]}.{part}"
        used.add(theirs)
        if theirs not in weights:
            if part == "num_batches_tracked":  # saved since PyTorch 0.4
                found[key] = torch.tensor(0)
                continue
            raise UserError(f"{name} lacks the key '{theirs}' that the generator it seems to be has; {reads}.")
        if weights[theirs].shape != tensor.shape:
            shapes = f"{_shape_text(weights[theirs].shape)}; {_shape_text(tensor.shape)}"
            raise UserError(f"{name}: '{theirs}' is {shapes} was expected there, as its other layers are.")
        found[key] = weights[theirs].to(tensor.dtype)
        if not found[key].isfinite().all():
            raise UserError(f"{name}: '{theirs}' holds values that are not finite; give an earlier checkpoint of it.")
    ignored = {
        f"{stem}.{part}" for stem in stems.values() for part in NORM_STATISTICS if f"{stem}.weight" not in weights
    }
    unknown = next((key for key in weights if key not in used | ignored), None)
    if unknown is not None:
        raise UserError(f"{name} has the key '{unknown}', which the generator it seems to be does not have; {reads}.")
    return found


def _shape_text(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "a scalar"
