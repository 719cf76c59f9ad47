"""The one way from a loss to weights."""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.utils.distributed import Ranks


class Update:
    """`update(name, loss)`: one step of the optimizer of that name. No step of a method calls backward() itself."""

    def __init__(self, optimizers: dict[str, torch.optim.Optimizer], ranks: Ranks) -> None:
        self.optimizers, self.ranks = optimizers, ranks
        self.step = 0
        """steps done in the whole run; the loop sets it, for schedules within a step"""
        self.parameters = {n: [p for g in o.param_groups for p in g["params"]] for n, o in optimizers.items()}
        self.base_lrs = {n: [g["lr"] for g in o.param_groups] for n, o in optimizers.items()}

    def __call__(self, which: str | dict[str, Tensor], loss: Tensor | None = None, clip: float | None = None) -> Tensor:
        """Backward into the named optimizer's parameters only, mean over ranks, clip to a norm, step.

        With {name: loss, ...} all gradients are taken before any step: for networks that share a forward pass.
        Returns the loss (of several the sum), detached.
        """
        if isinstance(which, str):
            assert loss is not None
            which = {which: loss}
        losses = which
        for i, (name, value) in enumerate(losses.items()):
            value.backward(inputs=self.parameters[name], retain_graph=i < len(losses) - 1)
        for name in losses:
            self.ranks.mean_(p.grad for p in self.parameters[name] if p.grad is not None)
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(self.parameters[name], clip)
            self.optimizers[name].step()
            self.optimizers[name].zero_grad(set_to_none=True)
        return torch.stack([value.detach() for value in losses.values()]).sum()

    def reset(self, names: tuple[str, ...]) -> None:
        """Clears the state of these optimizers: momenta and the like."""
        for name in names:
            self.optimizers[name].state.clear()

    def set_lr_factor(self, factor: float) -> None:
        """Sets learning rates to those that the optimizers were made with, times a factor."""
        for name, optimizer in self.optimizers.items():
            for group, lr in zip(optimizer.param_groups, self.base_lrs[name], strict=True):
                group["lr"] = lr * factor
