"""The one road from a loss to weights."""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.utils.distributed import Ranks


class Update:
    """The one road from a loss to weights: `update(name, loss)`."""

    def __init__(self, optimizers: dict[str, torch.optim.Optimizer], ranks: Ranks) -> None:
        self.optimizers, self.ranks, self.step = optimizers, ranks, 0
        self.parameters = {n: [p for g in o.param_groups for p in g["params"]] for n, o in optimizers.items()}
        self.rates = {n: [g["lr"] for g in o.param_groups] for n, o in optimizers.items()}

    def __call__(self, which: str | dict[str, Tensor], loss: Tensor | None = None, clip: float | None = None) -> Tensor:
        """Backward into the named optimizer's parameters only, mean over ranks, clip (norm), step.

        With {name: loss, ...} all gradients are taken before any step: for players that share a forward pass.
        Returns the loss (their sum), detached.
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

    def forget(self, names: tuple[str, ...]) -> None:
        """Optimizers begin anew: momenta and the like are gone."""
        for name in names:
            self.optimizers[name].state.clear()

    def set_rates(self, factor: float) -> None:
        """Learning rates: what the optimizers were made with, times a factor."""
        for name, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * factor
