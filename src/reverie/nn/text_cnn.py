"""The discriminator of SeqGAN.   R lines, T tokens of a line, V words, E numbers of a word, K words of a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AT_ONCE = 512
"""lines that are looked at together, where many thousands are to be judged"""


class TextCNN(nn.Module):
    """Tokens [R,T] -> logits [R]: convolutions over the line, the largest of each, a highway layer.

    Yu 2016, arXiv:1609.05473, section 4.2.
    """

    def __init__(self, words: int, seen: int, length: int, kernels: Sequence[int], filters: Sequence[int]) -> None:
        super().__init__()
        self.words = nn.Embedding(words, seen)
        pairs = [(kernel, many) for kernel, many in zip(kernels, filters, strict=True) if kernel <= length]
        self.convs = nn.ModuleList(nn.Conv2d(seen, many, (1, kernel)) for kernel, many in pairs)
        width = sum(many for _, many in pairs)
        self.gate, self.change, self.last = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)
        nn.init.zeros_(self.gate.bias)  # (the authors' code)

    def forward(self, tokens: Tensor, dropout: float = 0.0) -> Tensor:
        # [R,E,1,T] with the E numbers of a word side by side, as they come: so convolutions are half again as fast.
        x = self.words(tokens)[:, None].permute(0, 3, 1, 2)
        return self.decide(torch.cat([conv(x).amax((2, 3)) for conv in self.convs], 1), dropout)

    def decide(self, features: Tensor, dropout: float = 0.0) -> Tensor:
        """The largest of each convolution [R,W] -> logits [R]."""
        features = features.relu()  # the relu of the largest is the largest relu
        gate = self.gate(features).sigmoid()
        features = gate * self.change(features).relu() + (1 - gate) * features
        return self.last(F.dropout(features, dropout)).squeeze(1)

    @torch.no_grad()
    def many(self, tokens: Tensor, whole: Tensor, origin: Tensor, shared: Tensor) -> Tensor:
        """As forward, of many thousand lines: what a word adds to a window is a product with a kernel's column, made
        once for each word that occurs; a window is then a sum of K rows of a table, where a convolution takes E times
        as many multiplications.

        Line i begins with the first shared[i] words, fewer than T, of whole[origin[i]]: windows within those are
        looked at once. tokens: [R,T]; whole: [B,T]; origin: [R]; shared: [R], never less than the one before.
        """
        if tokens.device.type != "cpu" or tokens.numel() < 4 * self.words.num_embeddings:
            return torch.cat([self(part) for part in tokens.split(AT_ONCE)])
        held, places = torch.cat([whole, tokens]).unique(return_inverse=True)
        whole, tokens = places.split([len(whole), len(tokens)])
        parts = [
            (tokens[rows], origin[rows], length)
            for length in shared.unique().tolist()
            for rows in (shared == length).nonzero()[:, 0].split(AT_ONCE)
        ]
        embedded = self.words.weight[held]  # [V,E], of the words that occur
        convs = [cast(nn.Conv2d, conv) for conv in self.convs]
        features = torch.cat([_largest(conv, embedded, whole, parts) for conv in convs], 1)
        return torch.cat([self.decide(part) for part in features.split(AT_ONCE)])


def _largest(conv: nn.Conv2d, embedded: Tensor, whole: Tensor, parts: Sequence[tuple[Tensor, Tensor, int]]) -> Tensor:
    """The largest value of a convolution over each line [R,F], of words [V,E] at places [R,T]."""
    weight, bias = conv.weight[:, :, 0], cast(Tensor, conv.bias)  # [F,E,K], [F]
    kernel, count = weight.shape[2], len(embedded)
    table = torch.cat([embedded @ column.T for column in weight.unbind(2)])  # [K*V,F]
    rows = torch.arange(kernel) * count

    def values(places: Tensor) -> Tensor:
        windows = places.unfold(1, kernel, 1) + rows  # [R,P,K]
        return F.embedding_bag(windows.flatten(0, 1), table, mode="sum").view(*windows.shape[:2], -1)

    largest = torch.cat([values(part).cummax(1).values for part in whole.split(AT_ONCE)])  # so far [B,P,F]
    found = []
    for part, whose, length in parts:
        new = max(0, length - kernel + 1)  # the first window that holds a word of its own
        mine = values(part[:, new:]).amax(1)
        found.append(torch.maximum(mine, largest[whose, new - 1]) if new else mine)
    return torch.cat(found) + bias
