"""The SeqGAN oracle: an LSTM with random weights, whose likelihood of a sequence is known (Yu 2016, section 5.1).

    oracle          one drawn with N(0,1) weights from seed 0
    oracle:7        another, from seed 7
    FILE.npz        that of the authors, or any of this layout

A file holds float32 arrays: embeddings [V,H], for each gate g of i, f, og, c: Wg, Ug [H,H] and bg [H], and Wo [H,V],
bo [V]. Gates i, f, og are sigmoid, the candidate c is tanh; the state begins at zero and the first input is token 0.

N sequences, T tokens each, V words, H numbers in a state.
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

WORDS, WIDTH, LENGTH, COUNT = 5_000, 32, 20, 10_000
"""of the paper's oracle (section 5.1): words, numbers in a state, tokens of a sequence, sequences to learn from"""
GATES = ("i", "f", "og", "c")
KEYS = ("embeddings", *(f"{part}{gate}" for gate in GATES for part in "WUb"), "Wo", "bo")
AT_ONCE = 500
"""sequences sampled together: fixed, so that sums are rounded alike in every set"""


class Oracle:
    """The LSTM. weights: by the names of KEYS, float32."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        w = {name: torch.from_numpy(np.ascontiguousarray(weights[name])) for name in KEYS}
        self.embeddings, self.out, self.bias = w["embeddings"], w["Wo"], w["bo"]
        # The four gates at once: x [N,H] @ [H,4H].
        self.from_input = torch.cat([w[f"W{g}"] for g in GATES], 1)
        self.from_state = torch.cat([w[f"U{g}"] for g in GATES], 1)
        self.gate_bias = torch.cat([w[f"b{g}"] for g in GATES])
        self.words = len(self.embeddings)
        self.draws = CategoricalSampler(self.out.T, self.bias)
        digest = hashlib.sha256()
        for name in KEYS:
            digest.update(repr(weights[name].shape).encode() + weights[name].tobytes())
        self.digest = digest.hexdigest()

    @classmethod
    def drawn(cls, seed: int, words: int = WORDS, width: int = WIDTH) -> Oracle:
        """An oracle with N(0,1) weights that follow from the seed."""
        draw = np.random.Generator(np.random.Philox(key=[seed, words * 1_000 + width])).standard_normal
        shapes = {"embeddings": (words, width), "Wo": (width, words), "bo": (words,)}
        gates = {f"{p}{g}": (width,) if p == "b" else (width, width) for g in GATES for p in "WUb"}
        return cls({name: draw({**shapes, **gates}[name], np.float32) for name in KEYS})

    @classmethod
    def read(cls, path: Path) -> Oracle:
        """The oracle in a file. Raises UserError if it is none."""
        try:
            with np.load(path, allow_pickle=False) as held:
                weights = {name: np.asarray(held[name], np.float32) for name in KEYS}
            words, width = weights["embeddings"].shape
            shapes = {"embeddings": (words, width), "Wo": (width, words), "bo": (words,)}
            for name, array in weights.items():
                fits = shapes.get(name, (width,) if name.startswith("b") else (width, width))
                if array.shape != fits:
                    raise ValueError(f"{name} is {array.shape}, not {fits}")
                if not np.isfinite(array).all():
                    raise ValueError(f"{name} holds what is not finite")
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
        """The state (h, c) [N,H] after reading tokens [N]."""
        h, c = state
        gates = torch.addmm(self.gate_bias, self.embeddings[token], self.from_input).addmm_(h, self.from_state)
        i, f, o, candidate = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * candidate.tanh()
        return o.sigmoid() * c.tanh(), c

    def begin(self, n: int) -> tuple[Tensor, Tensor]:
        """The state after the start token 0, for n sequences."""
        zero = torch.zeros(n, self.out.shape[0])
        return self.step(torch.zeros(n, dtype=torch.long), (zero, zero))

    def sample(self, u: Tensor) -> Tensor:
        """Sequences [N,T] from uniform numbers u [N,T], a number a token."""
        found = []
        for part in u.split(AT_ONCE):
            state, tokens = self.begin(len(part)), list[Tensor]()
            for column in part.unbind(1):
                if tokens:
                    state = self.step(tokens[-1], state)
                tokens.append(self.draws(state[0], column))
            found.append(torch.stack(tokens, 1))
        return torch.cat(found)

    def nll(self, tokens: Tensor) -> Tensor:
        """-log p of each token given those before it [N,T], in nats, float64."""
        found = []
        for part in tokens.split(AT_ONCE):
            state, columns = self.begin(len(part)), list[Tensor]()
            for t in range(part.shape[1]):
                if t:
                    state = self.step(part[:, t - 1], state)
                logits = torch.addmm(self.bias, state[0], self.out)
                columns.append(F.cross_entropy(logits, part[:, t], reduction="none").double())
            found.append(torch.stack(columns, 1))
        return torch.cat(found)
