"""Words drawn from a softmax over a large vocabulary, fast.

R rows, V words, H numbers in a state, N blocks of W words: N W >= V; M draws from one state.

torch.multinomial draws an exponential number for every word of every row, which takes most of its time. Here a row
takes one uniform number u: the word is where the running sum of the weights first exceeds u times their total. The
sum is looked up on two levels, first over blocks of words, then within one of them, and rows are taken so few at a
time that their weights stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

CACHED = 2**20
"""weights that are held at a time: 4 MB"""


class CategoricalSampler:
    """Draws words from softmax((state @ weight.T + bias) / temperature), for states given in any number.

    weight: [V,H]; bias: [V]; never: words that are not to be drawn. They are copied, laid out for speed.
    """

    def __init__(self, weight: Tensor, bias: Tensor, temperature: float = 1.0, never: Sequence[int] = ()) -> None:
        words, width = weight.shape
        self.block = max(1, round(math.sqrt(words)))
        padded = -(-words // self.block) * self.block
        self.weight = weight.new_zeros(width, padded)  # [H,NW]
        self.weight[:, :words] = weight.detach().T / temperature
        self.bias = bias.new_full((padded,), -torch.inf)  # what fills up the last block has no weight
        self.bias[:words] = bias.detach() / temperature
        if never:
            self.bias[list(never)] = -torch.inf

    def __call__(self, states: Tensor, u: Tensor) -> Tensor:
        """The words [R] drawn for states [R,H] with uniform numbers u [R] in [0,1); [R,M] for u [R,M]."""
        if u.ndim == 1:
            return self(states, u[:, None])[:, 0]
        at_once = max(16, CACHED // len(self.bias))
        if states.device.type != "cpu":
            at_once *= 256  # caches are not what holds a GPU up
        parts = zip(states.split(at_once), u.contiguous().split(at_once), strict=True)
        found = [invert(torch.addmm(self.bias, part, self.weight), self.block, v) for part, v in parts]
        return torch.cat(found) if len(u) else torch.zeros_like(u, dtype=torch.long)


def invert(logits: Tensor, block: int, u: Tensor) -> Tensor:
    """The words [R,M] at which the running sum of softmax(logits [R,NW]) exceeds u [R,M] times its total."""
    weights = logits.softmax(1).unflatten(1, (-1, block))  # [R,N,W]
    which, left, height = _reach(weights.sum(2), u)
    inside = weights[torch.arange(len(u), device=u.device)[:, None], which]  # [R,M,W]
    # `left` of the block's weight `height`, as a share: the sum within may be rounded otherwise.
    word, _, _ = _reach(inside, (left / height)[..., None])
    return which * block + word[..., 0]


def _reach(weights: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where [...,M] the running sum of weights [...,K] exceeds u [...,M] of its total; how far in; the weight there."""
    running = weights.cumsum(-1)
    total = running[..., -1:]
    # Below the total however u times it is rounded, so that a word of weight zero is never reached.
    target = torch.minimum(u * total, torch.nextafter(total, torch.zeros_like(total)))
    index = torch.searchsorted(running, target, right=True).clamp_max_(weights.shape[-1] - 1)
    height = weights.gather(-1, index)
    return index, (target - running.gather(-1, index) + height).clamp_min(0), height
