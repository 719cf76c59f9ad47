"""The discriminators of RTT-GAN: of a sentence, and of the transitions between a paragraph's topics.

B paragraphs, S sentences, T words of a sentence, K sentences that exist, V vocabulary size, E embedding dimensions, H
hidden dimensions; words int64 [B,S,T], 0 padding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.data.text.sentences import PAD
from reverie.nn.lstm import LSTM


class SentenceDiscriminator(nn.Module):
    """Words [B,S,T] -> logits [B,S], one for each sentence by itself, and vectors [B,S,H] of them (section 3.3)."""

    def __init__(self, vocab_size: int, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=PAD)
        self.rnn = LSTM(embed_dim, hidden_dim, batch_first=True)
        self.output = nn.Linear(hidden_dim, 1)

    def forward(self, words: Tensor, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Logits and vectors; 0 where there is no sentence."""
        exists = existing(words)
        sentences = words[exists]  # [K,T]
        states, _ = self.rnn(F.dropout(self.embedding(sentences), dropout))
        states = states.masked_fill((sentences == PAD)[:, :, None], -1.0)  # the least that a state can be
        vectors = states.amax(1)
        logits = self.output(F.dropout(vectors, dropout))[:, 0]
        spread = vectors.new_zeros(*exists.shape, vectors.shape[1]).masked_scatter(exists[:, :, None], vectors)
        return logits.new_zeros(exists.shape).masked_scatter(exists, logits), spread


class TopicDiscriminator(nn.Module):
    """Vectors of sentences [B,S,D] -> logits [B,S]: whether each follows from those before it (section 3.3).

    It also reads which sentence is the last one.
    """

    def __init__(self, inputs: int, hidden_dim: int) -> None:
        super().__init__()
        self.rnn = LSTM(inputs + 1, hidden_dim, batch_first=True)
        self.output = nn.Linear(hidden_dim, 1)

    def forward(self, vectors: Tensor, exists: Tensor, dropout: float = 0.0) -> Tensor:
        """exists: bool [B,S]; logits where it is false mean nothing."""
        is_last = exists & ~F.pad(exists[:, 1:], (0, 1))
        states, _ = self.rnn(torch.cat([F.dropout(vectors, dropout), is_last[:, :, None].to(vectors.dtype)], 2))
        return self.output(F.dropout(states, dropout))[:, :, 0]


def existing(words: Tensor) -> Tensor:
    """Which sentences of words [B,S,T] are there: bool [B,S]."""
    return words[:, :, 0] != PAD
