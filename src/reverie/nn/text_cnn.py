"""The discriminator of SeqGAN: a convolutional classifier of lines of text.

R lines, T tokens of a line, V vocabulary size, E embedding dimensions, K kernel size, F filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHUNK = 512
"""lines of one forward pass in `score_rollouts`, so that the intermediate results stay small"""


class TextCNN(nn.Module):
    """Tokens [R,T] -> logits [R]: convolutions over the line, max pooling over time, a highway layer, a linear layer.

    Yu 2016, arXiv:1609.05473, section 4.2.
    """

    def __init__(
        self, vocab_size: int, embed_dim: int, length: int, kernel_sizes: Sequence[int], num_filters: Sequence[int]
    ) -> None:
        """Kernels that are longer than `length` tokens are left out."""
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        shapes = [(size, count) for size, count in zip(kernel_sizes, num_filters, strict=True) if size <= length]
        self.convs = nn.ModuleList(nn.Conv2d(embed_dim, count, (1, size)) for size, count in shapes)
        features = sum(count for _, count in shapes)
        self.gate = nn.Linear(features, features)
        self.transform = nn.Linear(features, features)
        self.output = nn.Linear(features, 1)
        nn.init.zeros_(self.gate.bias)  # (the authors' code)

    def forward(self, tokens: Tensor, dropout: float = 0.0) -> Tensor:
        """Logits [R] of tokens [R,T], int64; dropout: share of the pooled features that is dropped."""
        # [R,E,1,T], channels last in memory, as the embedding returns them: the convolutions run 1.5 times as fast.
        x = self.embedding(tokens)[:, None].permute(0, 3, 1, 2)
        pooled = torch.cat([conv(x).amax((2, 3)) for conv in self.convs], 1)
        return self.head(pooled, dropout)

    def head(self, features: Tensor, dropout: float = 0.0) -> Tensor:
        """Logits [R] of max-pooled features [R,F] before their ReLU: the highway layer and the linear one."""
        features = features.relu()  # ReLU is monotonic, so it commutes with max pooling
        gate = self.gate(features).sigmoid()
        features = gate * self.transform(features).relu() + (1 - gate) * features
        return self.output(F.dropout(features, dropout)).squeeze(1)

    @torch.no_grad()
    def score_rollouts(self, tokens: Tensor, sources: Tensor, source_index: Tensor, shared: Tensor) -> Tensor:
        """Logits [R] of very many lines that begin like a few others; equal to forward(tokens) up to rounding.

        On the CPU the product of each occurring word with each column of a kernel is computed once; a window of a
        convolution is then the sum of K rows of that table, E times fewer multiplications than a convolution takes.
        Windows within a shared beginning are computed once per source.

        tokens: int64 [R,T]
        sources: int64 [B,T], the lines that the rollouts continue
        source_index: int64 [R], the source of each line
        shared: int64 [R], how many tokens, fewer than T, a line has in common with its source; ascending
        """
        if tokens.device.type != "cpu" or tokens.numel() < 4 * self.embedding.num_embeddings:
            return torch.cat([self(chunk) for chunk in tokens.split(CHUNK)])
        occurring, positions = torch.cat([sources, tokens]).unique(return_inverse=True)
        sources, tokens = positions.split([len(sources), len(tokens)])
        groups = []
        for length in shared.unique().tolist():
            for rows in (shared == length).nonzero()[:, 0].split(CHUNK):
                groups.append((tokens[rows], source_index[rows], length))
        embedded = self.embedding.weight[occurring]  # [V,E], of the words that occur
        convs = [cast(nn.Conv2d, conv) for conv in self.convs]
        features = torch.cat([_pooled(conv, embedded, sources, groups) for conv in convs], 1)
        return torch.cat([self.head(chunk) for chunk in features.split(CHUNK)])


def _pooled(conv: nn.Conv2d, embedded: Tensor, sources: Tensor, groups: Sequence[tuple[Tensor, Tensor, int]]) -> Tensor:
    """The maximum of a convolution over each line, [R,F].

    embedded: [V,E], the words that occur; sources: [B,T], indices into them; groups: (tokens [R,T], index of each
    line's source [R], tokens that all of these lines share with their sources).
    """
    weight, bias = conv.weight[:, :, 0], cast(Tensor, conv.bias)  # [F,E,K], [F]
    kernel, vocab_size = weight.shape[2], len(embedded)
    table = torch.cat([embedded @ column.T for column in weight.unbind(2)])  # [K*V,F]
    offsets = torch.arange(kernel) * vocab_size

    def windows(tokens: Tensor) -> Tensor:
        """The convolution without its bias at every position, [R,P,F]."""
        rows = tokens.unfold(1, kernel, 1) + offsets  # [R,P,K]
        return F.embedding_bag(rows.flatten(0, 1), table, mode="sum").view(*rows.shape[:2], -1)

    running_max = torch.cat([windows(chunk).cummax(1).values for chunk in sources.split(CHUNK)])  # [B,P,F]
    pooled = []
    for tokens, source_index, length in groups:
        first = max(0, length - kernel + 1)  # the first window that holds a token of the line's own
        own = windows(tokens[:, first:]).amax(1)
        pooled.append(torch.maximum(own, running_max[source_index, first - 1]) if first else own)
    return torch.cat(pooled) + bias
