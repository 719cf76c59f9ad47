"""Recurrent networks that write events, and how an event is drawn.   B batch, I instruments, Z latents, T steps,
U bars, V events, S sequences, C numbers of a context, H units.

The shape is that of MusicVAE (Roberts 2018, arXiv:1803.05428, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def uniform(normal: Tensor) -> Tensor:
    """Numbers in [0,1) from standard normal ones."""
    # On the CPU: MPS has no float64, and a draw shall be the same everywhere.
    return torch.special.ndtr(normal.cpu().double()).float().clamp_max(1 - 2**-24).to(normal.device)


def drawn(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    """Events [S] by u [S] in [0,1) from logits [S,V]: where u falls in the cumulative distribution."""
    if temperature < 1e-6:  # logits divided by less are no numbers any more
        return logits.argmax(1)
    sums = (logits.float() / temperature).softmax(1).cumsum(1)
    return torch.searchsorted(sums, u[:, None] * sums[:, -1:], right=True)[:, 0].clamp_max(logits.shape[1] - 1)


class LSTMEncoder(nn.Module):
    """Events [B,I,T] -> mean and log variance [B,Z]: the last states of a bidirectional LSTM (section 3.1).

    All instruments are read at once: the sum of what stands for the events of each, as for units side by side. With
    several stretches each is read alone, and z is told from what was kept of all. The authors' code has another LSTM
    that reads what was kept; at our sizes z is of no use then for hundreds of steps.
    """

    def __init__(
        self, events: Sequence[int], embedding: int, units: int, layers: int, latent: int, stretches: int = 1
    ) -> None:
        super().__init__()
        self.first, self.stretches = list(accumulate(events[:-1], initial=0)), stretches
        self.embed = nn.Embedding(sum(events), embedding)
        self.lstm = lstm(embedding, units, layers, bidirectional=True)
        kept = 2 * units * stretches
        self.mean, self.deviation = nn.Linear(kept, latent), nn.Linear(kept, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        read = sum((self.embed(line + k) for line, k in zip(x.unbind(1)[1:], self.first[1:], strict=True)),
                   self.embed(x[:, 0]))  # fmt: skip
        state = self.lstm(read.unflatten(1, (self.stretches, -1)).flatten(0, 1))[1][0]
        h = torch.cat([state[-2], state[-1]], 1)  # of [2 * layers,S,H] the last two, those of the highest layer
        h = h.unflatten(0, (-1, self.stretches)).flatten(1)
        return self.mean(h), 2 * (F.softplus(self.deviation(h)) + 1e-4).log()  # eq. 7


class Conductor(nn.Module):
    """z [B,Z] -> a code for each bar [B*U,C] (section 3.2). It reads z at every bar; in the authors' code, zeros. What
    it says is added to a linear map of z, one for each bar: so z is of use to the writer from the first steps on."""

    def __init__(self, latent: int, units: int, bars: int, layers: int = 2) -> None:
        super().__init__()
        self.bars, self.layers, self.units = bars, layers, units
        self.begin = nn.Linear(latent, 2 * layers * units)
        self.lstm = lstm(latent, units, layers)
        self.straight = nn.Linear(latent, bars * units)

    def forward(self, z: Tensor) -> Tensor:
        said = self.lstm(z[:, None].expand(-1, self.bars, -1), states(self.begin(z), self.layers))[0]  # [B,U,C]
        return (said + self.straight(z).view_as(said)).flatten(0, 1)


class LSTMDecoder(nn.Module):
    """Writes events from a context [S,C], which begins its state and is read again at every step (section 3.2)."""

    def __init__(self, events: int, embedding: int, context: int, units: int, layers: int) -> None:
        super().__init__()
        self.layers, self.start = layers, events
        self.begin = nn.Linear(context, 2 * layers * units)
        self.embed = nn.Embedding(events + 1, embedding)  # the last is read before the first event
        self.lstm = lstm(embedding + context, units, layers)
        self.out = nn.Linear(units, events)

    def forward(self, context: Tensor, x: Tensor) -> Tensor:
        """Logits [B,T,V] of events x [B,T], each after the true ones before it; x in S stretches, one to a context."""
        shape, x = x.shape, x.reshape(len(context), -1)
        before = self.embed(F.pad(x[:, :-1], (1, 0), value=self.start))
        read = torch.cat([before, context[:, None].expand(-1, x.shape[1], -1)], 2)
        return self.out(self.lstm(read, states(self.begin(context), self.layers))[0]).view(*shape, -1)

    def steps(self, context: Tensor, count: int, pick: Callable[[int, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Events [S,T] that pick(t, logits [S,V]) takes one after another, and the logits [S,T,V]."""
        state = states(self.begin(context), self.layers)
        event = torch.full((len(context),), self.start, device=context.device)
        events, logits = [], []
        for t in range(count):
            out, state = self.lstm(torch.cat([self.embed(event), context], 1)[:, None], state)
            logits.append(self.out(out[:, 0]))
            event = pick(t, logits[-1])
            events.append(event)
        return torch.stack(events, 1), torch.stack(logits, 1)

    def forward_scheduled_sampling(self, context: Tensor, x: Tensor, truth: float) -> Tensor:
        """As forward, but before each step the true event was read with that probability only, else one drawn."""
        shape, x = x.shape, x.reshape(len(context), -1)

        def pick(t: int, logits: Tensor) -> Tensor:
            u = torch.rand(2, len(x), device=x.device)
            return torch.where(u[0] < truth, x[:, t], drawn(logits.detach(), u[1], 1.0))

        return self.steps(context, x.shape[1], pick)[1].view(*shape, -1)

    def write(self, context: Tensor, u: Tensor, temperature: float, known: Tensor) -> Tensor:
        """Events [B,T], each drawn by u [B,T] in [0,1) after those before it; known: [B,T] events, -1 where free."""
        shape, u, known = u.shape, u.reshape(len(context), -1), known.reshape(len(context), -1)

        def pick(t: int, logits: Tensor) -> Tensor:
            return torch.where(known[:, t] < 0, drawn(logits, u[:, t], temperature), known[:, t])

        return self.steps(context, u.shape[1], pick)[0].view(shape)


def states(x: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """[S, 2 * layers * H] -> the two states of an LSTM [layers,S,H], through tanh."""
    h, c = x.tanh().unflatten(1, (2, layers, -1)).permute(1, 2, 0, 3).contiguous()
    return h, c


def lstm(width: int, units: int, layers: int, bidirectional: bool = False) -> nn.LSTM:
    """[S,T,width] -> [S,T,units]. It begins by remembering: 1 is added to the forget gates (Jozefowicz 2015, section
    2.2), as the authors' library does."""
    made = nn.LSTM(width, units, layers, batch_first=True, bidirectional=bidirectional)
    with torch.no_grad():
        for name, bias in made.named_parameters():
            if name.startswith("bias_ih"):
                bias[units : 2 * units] += 1  # the gates come in the order input, forget, cell, output
    return made
