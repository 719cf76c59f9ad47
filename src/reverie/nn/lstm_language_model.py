"""An LSTM language model.   B lines, T tokens, V vocabulary size, E embedding dimensions, H hidden dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.utils.categorical import CategoricalSampler

State = tuple[Tensor, Tensor]
"""h and c [B,H] of an LSTM"""


class LSTMLanguageModel(nn.Module):
    """Predicts the next token of a line from those before it; token 0 is the input before the first."""

    def __init__(self, vocab_size: int, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.cell = nn.LSTMCell(embed_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, vocab_size)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1)  # as in the code of SeqGAN's authors

    def initial_state(self, n: int) -> State:
        """The zero state [n,H] of n lines before any input."""
        zero = self.output.weight.new_zeros(n, self.output.weight.shape[1])
        return zero, zero

    def step(self, tokens: Tensor, state: State) -> State:
        """The state [B,H] after the input of tokens [B]."""
        return self.cell(self.embedding(tokens), state)

    def hidden_states(self, tokens: Tensor, dropout: float = 0.0) -> State:
        """h and c, each [T,B,H], from which each of tokens [B,T] is predicted.

        dropout: share of the embeddings' dimensions that is dropped, from 0 to below 1
        """
        inputs = F.pad(tokens[:, :-1], (1, 0))  # the token before each; 0 before the first
        embedded = F.dropout(self.embedding(inputs), dropout)  # [B,T,E]
        state, states = self.initial_state(len(tokens)), list[State]()
        for x in embedded.unbind(1):
            state = self.cell(x, state)
            states.append(state)
        h, c = zip(*states, strict=True)
        return torch.stack(h), torch.stack(c)

    def sampler(self, temperature: float = 1.0, excluded: Sequence[int] = ()) -> CategoricalSampler:
        """Draws next tokens from states h [B,H]; excluded: tokens that are never drawn."""
        return CategoricalSampler(self.output.weight, self.output.bias, temperature, excluded)
