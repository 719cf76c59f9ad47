"""The optimizer Muon, for networks of convolutions that are trained for some thousands of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 5
"""of the iteration that brings singular values near 1, as Jordan tuned them"""
UPDATE_RMS = 0.2
"""root mean square of an update at lr 1, about that of Adam's (Liu 2025, section 2.2)"""
TINY, ADAM_EPSILON = 1e-12, 1e-8


class Muon(torch.optim.Optimizer):
    """Steps along the momentum with all its singular values made equal (Jordan 2024, Muon: An optimizer for hidden
    layers in neural networks), so that directions of small gradients are learnt as fast as those of large ones.

    Updates are scaled so that learning rates are Adam's (Liu 2025, Muon is scalable for LLM training,
    arXiv:2502.16982).

    hidden: weights of hidden layers, matrices [M,N]; of convolutions, with all axes but the first as one
    others: weights of the last layer, biases; updated by Adam (Kingma 2014, arXiv:1412.6980)
    """

    def __init__(
        self,
        hidden: Sequence[Tensor],
        others: Sequence[Tensor],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        groups = [{"params": list(params), "hidden": params is hidden} for params in (hidden, others)]
        super().__init__(
            [group for group in groups if group["params"]], {"lr": lr, "momentum": momentum, "betas": betas}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step with the gradients at hand; a closure is not supported."""
        assert closure is None
        for group in self.param_groups:
            update = self._muon if group["hidden"] else self._adam
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(update(p, p.grad, group), alpha=group["lr"])

    def _muon(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state, momentum = self.state[p], group["momentum"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        buffer = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        matrix = orthogonalised(gradient.lerp(buffer, momentum).reshape(len(p), -1))  # Nesterov's momentum
        return matrix.view(p.shape) * (UPDATE_RMS * max(matrix.shape) ** 0.5)

    def _adam(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state, (beta1, beta2) = self.state[p], group["betas"]
        if not state:
            state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        steps = int(state["step"].add_(1))
        mean = state["exp_avg"].lerp_(gradient, 1 - beta1) / (1 - beta1**steps)
        square = state["exp_avg_sq"].lerp_(gradient.square(), 1 - beta2) / (1 - beta2**steps)
        return mean / square.sqrt().add_(ADAM_EPSILON)


def optimizer_of(
    network: nn.Module, kind: Literal["muon", "adam"], lr: float, betas: tuple[float, float],
    outputs: Sequence[Tensor] | None = None, weight_decay: float = 0.0,
) -> torch.optim.Optimizer:  # fmt: skip
    """Adam, or Muon, for all weights of a network.

    outputs: weights of last layers and tables of embeddings, which Muon leaves to Adam; None: the last layer's, where
        it is the last one of the network's modules
    weight_decay: of Adam, decoupled (AdamW: Loshchilov 2017, arXiv:1711.05101); Muon has none
    """
    parameters = list(network.parameters())
    if kind == "adam":
        if weight_decay:
            return torch.optim.AdamW(parameters, lr, betas, weight_decay=weight_decay, fused=True)
        return torch.optim.Adam(parameters, lr, betas, fused=True)
    matrices = [p for p in parameters if p.ndim > 1]
    left = {id(p) for p in (matrices[-1:] if outputs is None else outputs)}
    hidden = [p for p in matrices if id(p) not in left]
    chosen = {id(p) for p in hidden}
    return Muon(hidden, [p for p in parameters if id(p) not in chosen], lr, betas=betas)


def orthogonalised(matrix: Tensor) -> Tensor:
    """[M,N] with singular values near 1, from .7 to 1.2, and the same singular vectors: five Newton-Schulz steps."""
    a, b, c = COEFFICIENTS
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.mT
    x = x / x.norm().clamp_min(TINY)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).contiguous()
