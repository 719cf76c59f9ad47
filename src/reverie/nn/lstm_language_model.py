"""A recurrent writer: what comes next in a line.   B lines, T tokens, V words, E numbers of a word, H of a state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.utils.categorical import CategoricalSampler

State = tuple[Tensor, Tensor]
"""h and c [B,H] of an LSTM"""


class LSTMLanguageModel(nn.Module):
    """An LSTM over words; word 0 is what is read before the first."""

    def __init__(self, words: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, embedding)
        self.cell = nn.LSTMCell(embedding, hidden)
        self.out = nn.Linear(hidden, words)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1)  # as the code of SeqGAN's authors

    def blank(self, n: int) -> State:
        """The state of n lines before anything is read."""
        zero = self.out.weight.new_zeros(n, self.out.weight.shape[1])
        return zero, zero

    def step(self, word: Tensor, state: State) -> State:
        """The state [B,H] after reading words [B]."""
        return self.cell(self.words(word), state)

    def read(self, tokens: Tensor, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """h and c [T,B,H] before each of tokens [B,T]; dropout: share of the words' numbers that is dropped."""
        before = F.dropout(self.words(F.pad(tokens[:, :-1], (1, 0))), dropout)  # [B,T,E]; word 0 comes first
        state, states = self.blank(len(tokens)), list[State]()
        for word in before.unbind(1):
            state = self.cell(word, state)
            states.append(state)
        h, c = zip(*states, strict=True)
        return torch.stack(h), torch.stack(c)

    def draws(self, temperature: float = 1.0, never: Sequence[int] = ()) -> CategoricalSampler:
        """What draws the next word from states."""
        return CategoricalSampler(self.out.weight, self.out.bias, temperature, never)
