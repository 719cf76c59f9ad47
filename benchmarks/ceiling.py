"""What the machine can do: throughput of convolutions and matrix products, measured; the work of a step, counted.

A multiplication with an addition counts as two floating-point operations (FLOP); GFLOP are 10^9 of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def _recurrent(x: Tensor, from_input: Tensor, from_state: Tensor, *rest: Any, **more: Any) -> int:
    """FLOP of a recurrent layer over x [T,B,I]: at each step a matrix product of its input and one of its state."""
    return 2 * x.shape[0] * x.shape[1] * (from_input.numel() + from_state.numel())


FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    # torch has no formula for these; backward costs two products for each of forward, as for any layer
    torch.ops.aten.mkldnn_rnn_layer: _recurrent,
    torch.ops.aten.mkldnn_rnn_layer_backward: lambda *args, **more: 2 * _recurrent(*args),
}


class Call(NamedTuple):
    """One convolution or matrix product that was computed."""

    operation: str
    """"convolution", "convolution_backward", "addmm", "mm" """
    shapes: tuple[tuple[int, ...], ...]
    """of the tensors that it was called with"""
    flop: int


def calls(act: Callable[[], Any]) -> list[Call]:
    """The calls, of operations whose FLOP can be counted, that act() makes, backward included."""
    with _Counter() as counter:
        act()
    return counter.calls


def count(act: Callable[[], Any]) -> int:
    """FLOP of everything that act() computes, backward included."""
    return sum(call.flop for call in calls(act))


class _Counter(TorchDispatchMode):
    # torch's own FlopCounterMode, whose formulas are used here, also follows modules, and therefore misses the work of
    # torch.autograd.grad, which gradient penalties call.
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if formula := FORMULAS.get(func.overloadpacket):
            shapes = tuple(tuple(x.shape) for x in args if isinstance(x, Tensor))
            flop = formula(*args, **(kwargs or {}), out_val=out)
            self.calls.append(Call(str(func.overloadpacket).rpartition(".")[2], shapes, flop))
        return out


class Ceiling:
    """The highest throughput that this machine reaches with single layers, forward: those of the networks, and larger
    ones of the same kind. `measure` is called repeatedly, in turns with the training that it is compared with.

    run: calls the networks once, so that the shapes of their layers' inputs are known.
    """

    def __init__(self, networks: list[nn.Module], run: Callable[[], Any]) -> None:
        self.cases: dict[str, tuple[Callable[[], Any], int]] = {}
        inputs: list[tuple[nn.Module, Tensor]] = []
        layers = [layer for network in networks for layer in network.modules() if isinstance(layer, LAYERS)]
        hooks = [
            layer.register_forward_hook(lambda m, args, out: inputs.append((m, args[0].detach()))) for layer in layers
        ]
        run()
        for hook in hooks:
            hook.remove()
        for layer, x in {(repr(layer), x.shape): (layer, x) for layer, x in inputs}.values():
            self._add(f"{layer!r} on {tuple(x.shape)}", layer, x)
        if any(x.ndim == 4 for _, x in inputs):
            self._add(
                "3x3, 128 to 128 channels, 64x64, batch 8", nn.Conv2d(128, 128, 3, 1, 1), torch.randn(8, 128, 64, 64)
            )
        self._add("matrix product 1024x1024x1024", nn.Linear(1024, 1024, bias=False), torch.randn(1024, 1024))
        self.rates: dict[str, list[float]] = {name: [] for name in self.cases}

    def _add(self, name: str, layer: nn.Module, x: Tensor) -> None:
        if x.ndim != 4:
            self._add_case(name, deepcopy(layer), x)
            return
        for format_name, memory_format in MEMORY_FORMATS.items():
            converted = deepcopy(layer).to(memory_format=memory_format)
            self._add_case(f"{name}, {format_name}", converted, x.contiguous(memory_format=memory_format))

    def _add_case(self, name: str, layer: nn.Module, x: Tensor) -> None:
        self.cases[name] = (lambda: layer(x)), count(lambda: layer(x))

    @torch.no_grad()
    def measure(self, least: float = 0.01) -> None:
        """One more measurement of each case, of `least` seconds or one call."""
        for name, (act, flop) in self.cases.items():
            began, calls = time.perf_counter(), 0
            while not calls or time.perf_counter() - began < least:
                act()
                calls += 1
            self.rates[name].append(flop * calls / (time.perf_counter() - began) / 1e9)

    def best(self) -> tuple[str, float]:
        """(case, GFLOP/s) of the fastest, by medians."""
        medians = {name: statistics.median(rates) for name, rates in self.rates.items()}
        name = max(medians, key=lambda n: medians[n])
        return name, medians[name]
