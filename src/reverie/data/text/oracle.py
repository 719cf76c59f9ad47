"""The SeqGAN oracle: an LSTM with random weights, whose likelihood of a sequence is known (Yu 2016, section 5.1).

    oracle          one whose weights are drawn from N(0,1) with seed 0
    oracle:7        another, with seed 7
    FILE.npz        the authors' oracle, or any of this layout

A file holds float32 arrays: embeddings [V,H], for each gate g of i, f, og, c: Wg, Ug [H,H] and bg [H], and Wo [H,V],
bo [V]. Gates i, f, og are sigmoid, the candidate c is tanh; the state begins at zero and the first input is token 0.

N sequences, T tokens each, V vocabulary size, H hidden dimensions.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.utils.categorical import CategoricalSampler
from reverie.utils.errors import UserError

VOCAB_SIZE, HIDDEN_DIM, LENGTH, COUNT = 5_000, 32, 20, 10_000
"""of the paper's oracle (section 5.1): words, hidden dimensions, tokens of a sequence, sequences to learn from"""
GATES = ("i", "f", "og", "c")
KEYS = ("embeddings", *(f"{part}{gate}" for gate in GATES for part in "WUb"), "Wo", "bo")
CHUNK = 500
"""sequences sampled together: fixed, so that sums are rounded alike in every split"""


class Oracle:
    """The LSTM. weights: float32 arrays by the names of KEYS."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        w = {name: torch.from_numpy(np.ascontiguousarray(weights[name])) for name in KEYS}
        self.embeddings, self.out, self.bias = w["embeddings"], w["Wo"], w["bo"]
        # The four gates at once: x [N,H] @ [H,4H].
        self.from_input = torch.cat([w[f"W{g}"] for g in GATES], 1)
        self.from_state = torch.cat([w[f"U{g}"] for g in GATES], 1)
        self.gate_bias = torch.cat([w[f"b{g}"] for g in GATES])
        self.vocab_size = len(self.embeddings)
        self.sampler = CategoricalSampler(self.out.T, self.bias)
        digest = hashlib.sha256()
        for name in KEYS:
            digest.update(repr(weights[name].shape).encode() + weights[name].tobytes())
        self.digest = digest.hexdigest()

    @classmethod
    def random(cls, seed: int, vocab_size: int = VOCAB_SIZE, hidden_dim: int = HIDDEN_DIM) -> Oracle:
        """An oracle whose weights are drawn from N(0,1); they depend on the arguments alone."""
        draw = np.random.Generator(np.random.Philox(key=[seed, vocab_size * 1_000 + hidden_dim])).standard_normal
        return cls({name: draw(shape, np.float32) for name, shape in _shapes(vocab_size, hidden_dim).items()})

    @classmethod
    def read(cls, path: Path) -> Oracle:
        """Reads an oracle from an .npz file. Raises UserError if the file is no oracle."""
        try:
            with np.load(path, allow_pickle=False) as file:
                weights = {name: np.asarray(file[name], np.float32) for name in KEYS}
            vocab_size, hidden_dim = weights["embeddings"].shape
            for name, shape in _shapes(vocab_size, hidden_dim).items():
                if weights[name].shape != shape:
                    raise ValueError(f"{name} is {weights[name].shape}, not {shape}")
                if not np.isfinite(weights[name]).all():
                    raise ValueError(f"{name} holds values that are not finite")
        except KeyError as error:
            why = f"it lacks {str(error).split(' is ')[0].strip(chr(34))}"
        except OSError as error:
            why = error.strerror or "it is damaged or cut short"
        except (ValueError, TypeError, zipfile.BadZipFile, EOFError) as error:
            why = " ".join(str(error).split())[:100] or "it is no .npz of arrays"
        else:
            return cls(weights)
        raise UserError(f"{path} is no oracle ({why}); it must be an .npz with {', '.join(KEYS)}.")

    def step(self, token: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The state (h, c), each [N,H], after the input of tokens [N]."""
        h, c = state
        gates = torch.addmm(self.gate_bias, self.embeddings[token], self.from_input).addmm_(h, self.from_state)
        i, f, o, candidate = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * candidate.tanh()
        return o.sigmoid() * c.tanh(), c

    def initial_state(self, n: int) -> tuple[Tensor, Tensor]:
        """The state (h, c) of n sequences after the start token 0, each [n,H]."""
        zero = torch.zeros(n, self.out.shape[0])
        return self.step(torch.zeros(n, dtype=torch.long), (zero, zero))

    def sample(self, u: Tensor) -> Tensor:
        """Sequences, int64 [N,T], drawn with uniform numbers u [N,T] in [0,1), one for each token."""
        sequences = []
        for chunk in u.split(CHUNK):
            state, tokens = self.initial_state(len(chunk)), list[Tensor]()
            for column in chunk.unbind(1):
                if tokens:
                    state = self.step(tokens[-1], state)
                tokens.append(self.sampler(state[0], column))
            sequences.append(torch.stack(tokens, 1))
        return torch.cat(sequences)

    def nll(self, tokens: Tensor) -> Tensor:
        """-log p of each of tokens [N,T] given those before it: [N,T], in nats, float64."""
        chunks = []
        for chunk in tokens.split(CHUNK):
            state, nll = self.initial_state(len(chunk)), list[Tensor]()
            for t in range(chunk.shape[1]):
                if t:
                    state = self.step(chunk[:, t - 1], state)
                logits = torch.addmm(self.bias, state[0], self.out)
                nll.append(F.cross_entropy(logits, chunk[:, t], reduction="none").double())
            chunks.append(torch.stack(nll, 1))
        return torch.cat(chunks)


def _shapes(vocab_size: int, hidden_dim: int) -> dict[str, tuple[int, ...]]:
    """The shape of each array, in the order of KEYS."""
    gate = {"W": (hidden_dim, hidden_dim), "U": (hidden_dim, hidden_dim), "b": (hidden_dim,)}
    shapes = {f"{kind}{name}": shape for name in GATES for kind, shape in gate.items()}
    shapes |= {"embeddings": (vocab_size, hidden_dim), "Wo": (hidden_dim, vocab_size), "bo": (vocab_size,)}
    return {name: shapes[name] for name in KEYS}
