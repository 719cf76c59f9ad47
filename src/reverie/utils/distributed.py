"""Data-parallel training over the processes that torchrun starts; a single process works the same.

Networks have no DistributedDataParallel wrapper: gradients are flattened and averaged after backward (as stylegan3
does), because the wrapper expects one backward pass through all parameters a step, and GANs have several.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from reverie.utils.errors import UserError

T = TypeVar("T")


class Ranks:
    """This process's place among `world_size` processes."""

    def __init__(self, device: str = "auto") -> None:
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.device = _device(device)
        if self.world_size > 1 and not dist.is_initialized():
            # The others may wait for hours while the first downloads or decodes; the launcher sees which has died.
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo", timeout=timedelta(days=7))
            # Kept for what is trained next in this process: a second group would find the addresses of the first.
            atexit.register(dist.destroy_process_group)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def seed(self, seed: int) -> None:
        """Seeds torch's generators on this device: what torch.manual_seed does, but for the devices not in use."""
        # For each of those it notes a stack trace, which takes longer than a small step's forward pass.
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)

    def run_on_main(self, act: Callable[[], T]) -> T | None:
        """Calls act() on rank 0 while the others wait; returns its result there, None elsewhere.

        If it raises, rank 0 raises the error and the others exit with status 2.
        """
        if self.world_size == 1:
            return act()
        result, failure = None, None
        if self.is_main:
            try:
                result = act()
            except BaseException as error:
                failure = error
        succeeded: list[Any] = [failure is None]
        dist.broadcast_object_list(succeeded, 0)
        if failure is not None:
            raise failure
        if not succeeded[0]:
            raise SystemExit(2)
        return result

    def broadcast(self, act: Callable[[], T]) -> T:
        """Calls act() on rank 0; returns its result on all."""
        result: list[Any] = [self.run_on_main(act)]
        if self.world_size > 1:
            dist.broadcast_object_list(result, 0)
        return result[0]

    def mean_(self, tensors: Iterable[Tensor]) -> None:
        """Replaces each tensor by its mean over the ranks, in one all-reduce."""
        if self.world_size == 1 or not (tensors := list(tensors)):
            return
        flat = torch.cat([t.reshape(-1).float() for t in tensors])
        dist.all_reduce(flat)
        flat /= self.world_size
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def all_gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all ranks [world_size,...], on every rank."""
        gathered = [tensor.clone() for _ in range(self.world_size)]
        if self.world_size > 1:
            dist.all_gather(gathered, tensor)
        return torch.stack(gathered)

    def any(self, flag: bool) -> bool:
        """Whether the flag is true on any rank."""
        return (
            flag if self.world_size == 1 else bool(self.all_gather(torch.tensor(float(flag), device=self.device)).any())
        )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    number = f":{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" else ""  # set_device needs an index
    try:
        device = torch.device(name + number)
        torch.zeros(1, device=device).item()  # "meta" holds no values
    except (RuntimeError, AssertionError, NotImplementedError, ImportError):
        raise UserError(
            f"the device '{name}' is not available; use --device cpu, or auto to use what is available."
        ) from None
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device
