"""Making a method from its config, after a look at how much memory its networks take."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from reverie.core.method import Method
from reverie.utils.environment import memory_bytes
from reverie.utils.errors import UserError

MOST_TENSORS = 20_000
"""parameters and buffers of a method, counted as tensors: more would take longer to make than to train"""
TRAINED_COPIES = 4
"""of each weight in training: itself, its gradient, and Adam's two moments"""


def construct(cls: type[Method], config: Any, copies: int = 1) -> Method:
    """A method with its first weights.

    copies: how many tensors of the size of each weight there will be; TRAINED_COPIES to train it
    Raises UserError, before memory is taken, where its networks do not fit into that of this machine.
    """
    _check_memory(cls, config, copies)
    try:
        return cls(config)
    except (OverflowError, MemoryError, RuntimeError, TypeError) as error:
        if isinstance(error, TypeError) and "unpack" not in str(error):  # how torch refuses huge ones
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"the networks of {_name(cls)} cannot be made with these options ({reason}).") from error


def _check_memory(cls: type[Method], config: Any, copies: int) -> None:
    """Makes the networks on the meta device, where tensors have no memory, and adds up what they would take."""
    limit, total, tensors = memory_bytes() or math.inf, 0, 0

    def count(module: nn.Module, name: str, tensor: Any) -> None:
        nonlocal total, tensors
        if tensor is None:
            return
        total, tensors = total + copies * tensor.numel() * tensor.element_size(), tensors + 1
        if total > limit or tensors > MOST_TENSORS:
            what = f"over {total / 1e9:,.0f} GB of memory, and there are {limit / 1e9:,.0f} GB"
            if tensors > MOST_TENSORS:
                what = f"more than {MOST_TENSORS:,} tensors of weights"
            raise UserError(
                f"the networks of {_name(cls)} take {what}, with these options; give a smaller --base-channels, --size "
                "or depth."
            )

    handles = [hooks.register_module_parameter_registration_hook(count)]
    handles.append(hooks.register_module_buffer_registration_hook(count))
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), _WithoutValues():
            cls(config)
    except (ArithmeticError, RuntimeError, TypeError, ValueError, NotImplementedError, MemoryError):
        pass  # what cannot be made there, or not at all, is made, or refused, without it
    finally:
        for handle in handles:
            handle.remove()


class _WithoutValues(TorchFunctionMode):
    """No normal numbers for tensors on the meta device, which have no values: torch would load its compiler for them,
    which takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (nn.init.normal_, torch.Tensor.normal_):
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _name(cls: type[Method]) -> str:
    return cls.__module__.rpartition(".")[2]
