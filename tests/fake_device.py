"""A fake second device: its tensors lie on the CPU but say that they do not, and like MPS it has no float64.

Trains the methods named on the command line on it and resumes on the CPU, and the other way round; raises where tensors
of both devices meet. Run as a program, since a device is registered once for all of a process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend


class Module(_DummyBackendModule):
    def manual_seed(self, seed: int) -> None:
        """What is drawn is drawn on the CPU."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend("fake", Module())


class FakeTensor(torch.Tensor):
    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False) -> FakeTensor:
        if held.dtype == torch.float64:
            raise TypeError("fake has no float64")
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device="fake:0", requires_grad=requires_grad
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, act: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(act, args, kwargs or {})

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)

    def tolist(self) -> Any:
        return self.held.tolist()

    @property
    def data(self) -> Any:
        return self.detach()

    @data.setter
    def data(self, other: FakeTensor) -> None:
        self.held = other.held


class Devices(TorchDispatchMode):
    def __torch_dispatch__(self, act: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(act, args, kwargs or {})


def run(act: Any, args: Any, kwargs: Any) -> Any:
    """An operation on what the tensors hold. Numbers of no dimension and indices may come from the CPU."""
    name, to = act._schema.name.removeprefix("aten::"), kwargs.get("device")
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    fakes = {id(x.held): x for x in tensors if isinstance(x, FakeTensor)}
    copies = name in ("_to_copy", "copy_")
    if fakes and not copies and not name.startswith(("index", "_index")):
        assert not any(x.ndim for x in tensors if not isinstance(x, FakeTensor)), f"{act} of tensors on both devices"
    a, k = tree_map(lambda x: x.held if isinstance(x, FakeTensor) else x, (args, {**kwargs}))
    to_fake = bool(fakes) if to is None else torch.device(to).type == "fake"
    if to_fake:
        k.pop("device", None)
    elif "device" in k and k["device"] is not None and fakes:
        k["device"] = "cpu"
    if name.startswith("_thnn_fused_lstm_cell"):
        found = lstm_back(*a) if "backward" in name else lstm_cell(*a)
    else:
        found = act(*a, **k)
    if name == "copy_":
        return args[0]
    if name == "_to_copy" and found is a[0]:
        found = found.clone()

    def wrap(x: Any) -> Any:
        if id(x) in fakes:
            return fakes[id(x)]
        return FakeTensor(x) if isinstance(x, torch.Tensor) and to_fake else x

    return tree_map(wrap, found)


def lstm_cell(x: Any, h: Any, c: Any, x_bias: Any = None, h_bias: Any = None) -> Any:
    """What only GPUs have."""
    gates = x + h + (0 if x_bias is None else x_bias + h_bias)
    i, f, g, o = gates.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c, gates


def lstm_back(of_h: Any, of_new: Any, c: Any, new: Any, gates: Any, bias: bool) -> Any:
    i, f, g, o = (part.tanh() if k == 2 else part.sigmoid() for k, part in enumerate(gates.chunk(4, 1)))
    of_h = torch.zeros_like(new) if of_h is None else of_h
    of_new = (0 if of_new is None else of_new) + of_h * o * (1 - new.tanh() ** 2)
    parts = of_new * g * i * (1 - i), of_new * c * f * (1 - f), of_new * i * (1 - g**2), of_h * new.tanh() * o * (1 - o)
    of_gates = torch.cat(parts, 1)
    return of_gates, of_new * f, of_gates.sum(0) if bias else None


@torch.library.impl("aten::empty_strided", "PrivateUse1")
def empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> FakeTensor:
    return FakeTensor(torch.empty_strided(size, stride, dtype=dtype, device="cpu"))


@torch.library.impl("aten::_copy_from", "PrivateUse1")
def copy_from(given: torch.Tensor, place: torch.Tensor, wait: bool = False) -> torch.Tensor:
    here, there = (x.held if isinstance(x, FakeTensor) else x for x in (given, place))
    there.copy_(here)
    return place


def main(folder: Path, names: list[str]) -> None:
    import reverie
    from built_in_data import data_of
    from reverie.runs.run_folder import Run
    from reverie.training import meter

    meter.widest_float = lambda device: torch.float32 if device.type == "fake" else torch.float64
    short: dict[str, Any] = {
        "steps": 4,
        "checkpoint_every": 2,
        "sample_every": 4,
        "log_every": 2,
        "memory_format": "contiguous",
    }
    for name in names:
        more = {"pretrain_steps": 2, "d_pretrain_steps": 1} if name == "seqgan" else {}
        for there, back in (("fake", "cpu"), ("cpu", "fake")):
            out = folder / f"{name}-{there}"
            with Devices():
                reverie.train(f"{name}:smoke", data=data_of(name), out=out, device=there, **short, **more)
                reverie.resume(out, device=back, steps=6)
        logs = []
        for device in ("fake", "cpu"):
            lines = Run(folder / f"{name}-{device}").lines()
            logs.append([line["metrics"] for line in lines if "metrics" in line])
        for one, other in zip(*logs, strict=True):
            assert all(abs(one[k] - other[k]) < 1e-3 * max(1, abs(one[k])) for k in one), (name, one, other)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
    sys.stdout.flush()
    os._exit(0)  # torch's thread for a fake device cannot be ended
