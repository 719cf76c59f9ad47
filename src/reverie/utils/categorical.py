"""Fast draws from a softmax over a large vocabulary.

R rows, V vocabulary size, H hidden dimensions, N blocks of W words with N W >= V, M draws from one state.

torch.multinomial draws an exponential number for every word of every row, which takes most of its time. Here a row
takes one uniform number u: the word drawn is where the cumulative sum of the weights first exceeds u times their
total. The sum is searched on two levels, first over blocks of words, then within one block, and few enough rows are
processed at a time that their weights stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

CACHED = 2**20
"""float32 weights held at a time: 4 MB"""


GREEDY = 1e-6
"""temperature below which the likeliest word is taken"""


class CategoricalSampler:
    """Draws words from softmax((state @ weight.T + bias) / temperature), for any number of states.

    weight: [V,H]; bias: [V]; both are copied, laid out for speed
    temperature: 0 or more; below GREEDY the likeliest word is taken, whatever the uniform numbers are
    excluded: words that are never drawn
    """

    def __init__(self, weight: Tensor, bias: Tensor, temperature: float = 1.0, excluded: Sequence[int] = ()) -> None:
        vocab_size, hidden_dim = weight.shape
        self.block = max(1, round(math.sqrt(vocab_size)))
        padded = -(-vocab_size // self.block) * self.block
        self.greedy = temperature < GREEDY  # logits divided by less would overflow
        temperature = 1.0 if self.greedy else temperature
        self.weight = weight.new_zeros(hidden_dim, padded)  # [H,NW]
        self.weight[:, :vocab_size] = weight.detach().T / temperature
        self.bias = bias.new_full((padded,), -torch.inf)  # the padding of the last block has no weight
        self.bias[:vocab_size] = bias.detach() / temperature
        if excluded:
            self.bias[list(excluded)] = -torch.inf

    def __call__(self, states: Tensor, u: Tensor) -> Tensor:
        """Words [R] drawn for states [R,H] with uniform numbers u [R] in [0,1); [R,M] for u [R,M]. int64."""
        if u.ndim == 1:
            return self(states, u[:, None])[:, 0]
        chunk = max(16, CACHED // len(self.bias))
        if states.device.type != "cpu":
            chunk *= 256  # a GPU is not limited by the cache
        pairs = zip(states.split(chunk), u.contiguous().split(chunk), strict=True)
        drawn = [self._draw(torch.addmm(self.bias, rows, self.weight), v) for rows, v in pairs]
        return torch.cat(drawn) if len(u) else torch.zeros_like(u, dtype=torch.long)

    def _draw(self, logits: Tensor, u: Tensor) -> Tensor:
        return logits.argmax(1)[:, None].expand(u.shape) if self.greedy else inverse_cdf(logits, self.block, u)


def inverse_cdf(logits: Tensor, block: int, u: Tensor) -> Tensor:
    """Words [R,M] at which the cumulative sum of softmax(logits [R,NW]) exceeds u [R,M] times its total."""
    weights = logits.softmax(1).unflatten(1, (-1, block))  # [R,N,W]
    blocks, remainder, block_weight = _search(weights.sum(2), u)
    within = weights[torch.arange(len(u), device=u.device)[:, None], blocks]  # [R,M,W]
    # The remainder as a share of the block's weight: the sum within the block may be rounded otherwise.
    words, _, _ = _search(within, (remainder / block_weight)[..., None])
    return blocks * block + words[..., 0]


def _search(weights: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the cumulative sum of weights [...,K] exceeds u [...,M] of its total: (index, remainder, weight) [...,M].

    The remainder is how far the target lies above the cumulative sum before that index.
    """
    cumulative = weights.cumsum(-1)
    total = cumulative[..., -1:]
    # Below the total however u times it is rounded, so that a word of weight zero is never reached.
    target = torch.minimum(u * total, torch.nextafter(total, torch.zeros_like(total)))
    index = torch.searchsorted(cumulative, target, right=True).clamp_max_(weights.shape[-1] - 1)
    weight = weights.gather(-1, index)
    return index, (target - cumulative.gather(-1, index) + weight).clamp_min(0), weight
