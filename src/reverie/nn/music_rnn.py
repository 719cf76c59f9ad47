"""The recurrent networks of MusicVAE (Roberts 2018, arXiv:1803.05428, section 3), and how events are sampled.

B batch, I instruments, Z latent dimensions, T steps (sixteenths), V kinds of events of an instrument, E embedding
dimensions, H hidden dimensions, C context dimensions. A sequence of T steps may be cut into U segments of T/U steps
(bars, where the encoder or the decoder is hierarchical); S = B U.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.nn.lstm import LSTM


def normal_to_uniform(normal: Tensor) -> Tensor:
    """Uniform numbers in [0,1) from standard normal ones, by the normal distribution function."""
    # On the CPU: MPS has no float64, and a draw shall be the same everywhere.
    return torch.special.ndtr(normal.cpu().double()).float().clamp_max(1 - 2**-24).to(normal.device)


def sample_events(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    """Events [S] from softmax(logits [S,V] / temperature) at uniform numbers u [S] in [0,1), by the inverse CDF.

    A temperature below 1e-6 takes the most likely event.
    """
    if temperature < 1e-6:  # logits divided by less would overflow
        return logits.argmax(1)
    cumulative = (logits.float() / temperature).softmax(1).cumsum(1)
    target = u[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp_max(logits.shape[1] - 1)


def log_likelihood(logits: Sequence[Tensor], events: Tensor) -> Tensor:
    """log p(events) in nats [N] of events [I,T], given the logits [N,T,V] of each of the I instruments."""
    total = logits[0].new_zeros(len(logits[0]))
    for predicted, line in zip(logits, events, strict=True):
        nll = F.cross_entropy(predicted.flatten(0, 1), line.repeat(len(total)), reduction="none")
        total = total - nll.view(len(total), -1).sum(1)
    return total


class LSTMEncoder(nn.Module):
    """Events [B,I,T] -> mean and log variance [B,Z] of q(z|x), by a bidirectional LSTM (section 3.1).

    All instruments are read at once: the embeddings of their events are summed, which equals one matrix over their
    concatenated one-hot vectors. With several segments each is read from the zero state, and z is a linear map of the
    final states of all. The authors' code has a second LSTM over these states; at our sizes z then stays unused for
    hundreds of steps.
    """

    def __init__(
        self, num_events: Sequence[int], embed_dim: int, hidden_dim: int, num_layers: int, latent_dim: int,
        segments: int = 1,
    ) -> None:  # fmt: skip
        """num_events: V of each instrument."""
        super().__init__()
        self.segments = segments
        self.offsets = list(accumulate(num_events[:-1], initial=0))  # where an instrument's rows of the table begin
        self.embedding = nn.Embedding(sum(num_events), embed_dim)
        self.lstm = make_lstm(embed_dim, hidden_dim, num_layers, bidirectional=True)
        features = 2 * hidden_dim * segments
        self.mean = nn.Linear(features, latent_dim)
        self.deviation = nn.Linear(features, latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B,Z] for events [B,I,T], int64."""
        embedded = self.embedding(x[:, 0])
        for line, offset in zip(x.unbind(1)[1:], self.offsets[1:], strict=True):
            embedded = self.embedding(line + offset) + embedded  # [B,T,E]
        state = self.lstm(embedded.unflatten(1, (self.segments, -1)).flatten(0, 1))[1][0]  # [2 layers,S,H]
        h = torch.cat([state[-2], state[-1]], 1)  # both directions of the highest layer
        h = h.unflatten(0, (-1, self.segments)).flatten(1)
        return self.mean(h), 2 * (F.softplus(self.deviation(h)) + 1e-4).log()  # eq. 7


class Conductor(nn.Module):
    """z [B,Z] -> a context for each bar [B*U,C] (section 3.2).

    Its LSTM reads z at every bar (in the authors' code, zeros), and a linear map of z is added to its output, another
    for each bar, so that z reaches the decoder from the first steps of training on.
    """

    def __init__(self, latent_dim: int, hidden_dim: int, bars: int, num_layers: int = 2) -> None:
        super().__init__()
        self.bars, self.num_layers = bars, num_layers
        self.initial = nn.Linear(latent_dim, 2 * num_layers * hidden_dim)
        self.lstm = make_lstm(latent_dim, hidden_dim, num_layers)
        self.skip = nn.Linear(latent_dim, bars * hidden_dim)

    def forward(self, z: Tensor) -> Tensor:
        """Contexts [B*U,C] of codes z [B,Z]; those of one code are consecutive."""
        inputs = z[:, None].expand(-1, self.bars, -1)
        output = self.lstm(inputs, lstm_state(self.initial(z), self.num_layers))[0]  # [B,U,C]
        return (output + self.skip(z).view_as(output)).flatten(0, 1)


class LSTMDecoder(nn.Module):
    """Events from a context [S,C], which sets the initial state and is read again at every step (section 3.2)."""

    def __init__(self, num_events: int, embed_dim: int, context_dim: int, hidden_dim: int, num_layers: int) -> None:
        super().__init__()
        self.num_layers, self.start = num_layers, num_events
        self.initial = nn.Linear(context_dim, 2 * num_layers * hidden_dim)
        self.embedding = nn.Embedding(num_events + 1, embed_dim)  # the last is the input before the first event
        self.lstm = make_lstm(embed_dim + context_dim, hidden_dim, num_layers)
        self.output = nn.Linear(hidden_dim, num_events)

    def forward(self, context: Tensor, x: Tensor) -> Tensor:
        """Teacher forcing: logits [B,T,V] of events x [B,T], each given the true ones of its segment before it.

        context: [S,C], one for each segment
        """
        shape, x = x.shape, x.reshape(len(context), -1)
        before = self.embedding(F.pad(x[:, :-1], (1, 0), value=self.start))
        inputs = torch.cat([before, context[:, None].expand(-1, x.shape[1], -1)], 2)
        states = self.lstm(inputs, lstm_state(self.initial(context), self.num_layers))[0]
        return self.output(states).view(*shape, -1)

    def forward_scheduled_sampling(self, context: Tensor, x: Tensor, truth_probability: float) -> Tensor:
        """As forward, but the event before each step is the true one with that probability only, else a sampled one
        (Bengio 2015, arXiv:1506.03099)."""
        shape, x = x.shape, x.reshape(len(context), -1)

        def choose(t: int, logits: Tensor) -> Tensor:
            u = torch.rand(2, len(x), device=x.device)
            return torch.where(u[0] < truth_probability, x[:, t], sample_events(logits.detach(), u[1], 1.0))

        _, logits = self.unroll(context, x.shape[1], choose)
        return logits.view(*shape, -1)

    def sample(self, context: Tensor, u: Tensor, temperature: float, known: Tensor) -> Tensor:
        """Events [B,T], sampled one after another with u [B,T] in [0,1); known: [B,T], given events, -1 where free."""
        shape, u, known = u.shape, u.reshape(len(context), -1), known.reshape(len(context), -1)

        def choose(t: int, logits: Tensor) -> Tensor:
            return torch.where(known[:, t] < 0, sample_events(logits, u[:, t], temperature), known[:, t])

        events, _ = self.unroll(context, u.shape[1], choose)
        return events.view(shape)

    def unroll(self, context: Tensor, steps: int, choose: Callable[[int, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Events [S,T] that choose(t, logits [S,V]) takes step by step, and the logits [S,T,V]."""
        state = lstm_state(self.initial(context), self.num_layers)
        event = torch.full((len(context),), self.start, device=context.device)
        events, logits = [], []
        for t in range(steps):
            output, state = self.lstm(torch.cat([self.embedding(event), context], 1)[:, None], state)
            logits.append(self.output(output[:, 0]))
            event = choose(t, logits[-1])
            events.append(event)
        return torch.stack(events, 1), torch.stack(logits, 1)


def lstm_state(x: Tensor, num_layers: int) -> tuple[Tensor, Tensor]:
    """The initial h and c of an LSTM, each [layers,S,H], as tanh of x [S, 2 * layers * H]."""
    h, c = x.tanh().unflatten(1, (2, num_layers, -1)).permute(1, 2, 0, 3).contiguous()
    return h, c


def make_lstm(input_dim: int, hidden_dim: int, num_layers: int, bidirectional: bool = False) -> nn.LSTM:
    """An LSTM [S,T,input_dim] -> [S,T,hidden_dim] with 1 added to the biases of its forget gates, so that it remembers
    at first (Jozefowicz 2015, section 2.2; the default of the authors' library)."""
    lstm = LSTM(input_dim, hidden_dim, num_layers, batch_first=True, bidirectional=bidirectional)
    with torch.no_grad():
        for name, bias in lstm.named_parameters():
            if name.startswith("bias_ih"):
                bias[hidden_dim : 2 * hidden_dim] += 1  # the order of the gates: input, forget, cell, output
    return lstm
