"""The networks of RTT-GAN's generator: regions of an image, the paragraph's RNN, and the RNNs of a sentence.

B images, M regions of each, C channels of their features, H hidden dimensions, E dimensions of an embedding, S
sentences of a paragraph, T words of a sentence, L words so far, V vocabulary size. Words are int64: 0 padding, 1 start,
2 end of a sentence. Regions are [B,M,H], words [B,S,T], topics [B,S,H].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.data.text.sentences import END, PAD, START, UNKNOWN
from reverie.nn.lstm import LSTM


class Regions(nn.Module):
    """Maps of features [B,C,g,g] -> regions [B,M,H]: g x g cells and (g/2) x (g/2) of four each, with learnt places.

    Each also says which words it stands for: a region of the paper comes with a phrase.
    """

    def __init__(self, channels: int, grid: int, hidden_dim: int, vocab_size: int, dropout: float) -> None:
        super().__init__()
        self.coarse = max(1, grid // 2)
        self.enter = nn.Linear(channels, hidden_dim)
        self.norm = nn.LayerNorm(hidden_dim)
        self.places = nn.Parameter(torch.cat([smooth_places(side, hidden_dim) for side in (grid, self.coarse)]))
        self.words = nn.Linear(hidden_dim, vocab_size)
        nn.init.constant_(self.words.bias, -3.0)  # most words are not there
        self.dropout = dropout

    def forward(self, maps: Tensor) -> Tensor:
        both = [maps.flatten(2), F.adaptive_avg_pool2d(maps, self.coarse).flatten(2)]
        features = F.dropout(torch.cat(both, 2).transpose(1, 2), self.dropout, self.training)
        return self.norm(self.enter(features)).relu() + self.places

    def outputs(self) -> list[Tensor]:
        """Weights of the last layer, and the table of places."""
        return [self.words.weight, self.places]

    def loss_words(self, regions: Tensor, words: Tensor) -> Tensor:
        """The loss of the words [B,S,T] of paragraphs being those of the regions [B,M,H], each of its likeliest one.

        Cross-entropy summed over the vocabulary, divided by the number of words that are there: learning of a bag of
        words from a bag of regions (Fang 2015, arXiv:1411.4952, section 3), with the maximum in place of a noisy or.
        """
        logits = self.words(regions - self.places).amax(1)
        bag = torch.zeros_like(logits).scatter_(1, words.flatten(1), 1.0)
        loss = F.binary_cross_entropy_with_logits(logits, bag, reduction="none")
        return loss[:, UNKNOWN + 1 :].sum() / bag[:, UNKNOWN + 1 :].sum().clamp_min(1)


def smooth_places(side: int, hidden_dim: int) -> Tensor:
    """Codes [side * side, H] of the cells of a grid, a random mixture of slow cosines: alike where they are near."""
    at = (torch.arange(side) + 0.5) / side
    k = torch.arange(4)[:, None]
    waves = torch.cos(torch.pi * k * at)  # [4,side]
    slow = 1 / (1 + k + k.T).flatten()  # weights of the waves; the slow ones count most
    basis = torch.einsum("ky,lx->klyx", waves, waves).flatten(0, 1).flatten(1).T * slow  # [side * side,16]
    generator = torch.Generator().manual_seed(0)  # the same mixture for every grid, so that places agree
    return basis @ torch.randn(16, hidden_dim, generator=generator) / 2


class Attention(nn.Module):
    """Weights of memory [B,L,H] for queries [B,Q,H] by scaled products (Luong 2015, arXiv:1508.04025, section 3.1)."""

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_dim, hidden_dim)
        self.key = nn.Linear(hidden_dim, hidden_dim, bias=False)

    def forward(self, queries: Tensor, keys: Tensor, memory: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """(context [B,Q,H], weights [B,Q,L]); keys: self.key(memory); mask: True where a query may look, [B,Q,L]."""
        scores = self.query(queries) @ keys.transpose(1, 2) / memory.shape[2] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -1e4)
        weights = scores.softmax(2)
        return weights @ memory, weights


class Highway(nn.Module):
    """x [...,H], y [...,H] -> g * relu(W [x, y]) + (1 - g) * x, so that gradients pass (Srivastava 2015)."""

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * hidden_dim, hidden_dim)
        self.transform = nn.Linear(2 * hidden_dim, hidden_dim)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        both = torch.cat([x, y], -1)
        gate = self.gate(both).sigmoid()
        return gate * self.transform(both).relu() + (1 - gate) * x


class ParagraphState(NamedTuple):
    """What the paragraph's RNN has come to."""

    h: Tensor
    """[B,H]"""
    c: Tensor
    """[B,H]"""
    covered: Tensor
    """[B,M], the sum of the weights that regions have had"""


class ParagraphRNN(nn.Module):
    """Passes topics from sentence to sentence: it looks at the image once a sentence, and says when to stop."""

    def __init__(self, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.overall = nn.Linear(hidden_dim, hidden_dim)
        self.said = nn.Linear(embed_dim, hidden_dim)
        self.where = nn.Linear(2 * hidden_dim, hidden_dim)
        self.attention = Attention(hidden_dim)
        self.coverage = nn.Parameter(torch.zeros(()))
        self.cell = nn.LSTMCell(2 * hidden_dim, hidden_dim)
        self.highway = Highway(hidden_dim)
        self.stop = nn.Linear(hidden_dim, 1)

    def begin(self, regions: Tensor) -> ParagraphState:
        """The state before the first sentence, from the mean region."""
        h = self.overall(regions.mean(1)).tanh()
        return ParagraphState(h, torch.zeros_like(h), regions.new_zeros(regions.shape[:2]))

    def forward(
        self, said: Tensor, regions: Tensor, keys: Tensor, state: ParagraphState
    ) -> tuple[Tensor, Tensor, ParagraphState]:
        """(topic [B,H], logit [B] of this sentence being the last, state) of the next sentence.

        said: [B,E], the mean embedding of the words of the sentence before, 0 before the first
        keys: self.attention.key(regions)
        """
        said = self.said(said)
        query = self.where(torch.cat([state.h, said], 1)).tanh()
        scores = (self.attention.query(query)[:, None] @ keys.transpose(1, 2))[:, 0] / query.shape[1] ** 0.5
        weights = (scores - F.softplus(self.coverage) * state.covered).softmax(1)
        context = (weights[:, None] @ regions)[:, 0]
        h, c = self.cell(torch.cat([said, context], 1), (state.h, state.c))
        topic = self.highway(h, context)
        return topic, self.stop(h)[:, 0], ParagraphState(h, c, state.covered + weights)


class SentenceState(NamedTuple):
    """What the RNNs of a sentence have come to, [1,R,H] each, and the words so far of its paragraph."""

    h1: Tensor
    c1: Tensor
    h2: Tensor
    c2: Tensor
    memory: Tensor
    """[R,L,2H], states at all words so far, and keys of them"""
    known: Tensor
    """bool [R,L], those of them that are words"""


class SentenceRNN(nn.Module):
    """The words of a sentence: one RNN looks at regions and at the words so far, a second one says the next word."""

    def __init__(self, vocab_size: int, embed_dim: int, hidden_dim: int, dropout: float, word_attention: bool) -> None:
        super().__init__()
        self.dropout, self.word_attention = dropout, word_attention
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=embed_dim**-0.5)
        self.topic = nn.Linear(hidden_dim, embed_dim)
        self.start = nn.Linear(hidden_dim, hidden_dim)
        self.looks = LSTM(embed_dim, hidden_dim, batch_first=True)
        self.regions = Attention(hidden_dim)
        self.words = Attention(hidden_dim) if word_attention else None
        self.mix = nn.Linear((3 if word_attention else 2) * hidden_dim, hidden_dim)
        self.says = LSTM(hidden_dim, hidden_dim, batch_first=True)
        self.leave = nn.Linear(2 * hidden_dim, embed_dim)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def drop(self, x: Tensor) -> Tensor:
        """x with a share of its dimensions dropped in training."""
        return F.dropout(x, self.dropout, self.training)

    def logits(self, states: Tensor) -> Tensor:
        """Logits [...,V] of the next word; the embeddings are tied to them (Press, Wolf 2017, arXiv:1608.05859)."""
        logits = self.drop(self.leave(states)) @ self.embedding.weight.T + self.bias
        return logits.index_fill(-1, torch.tensor([PAD, START], device=logits.device), -1e4)

    def forward(self, words: Tensor, topics: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """States [B,S,T,2H] from which each of words [B,S,T] is said, and where each looked: [B,S,T,M].

        All sentences side by side. What a state knows are the words before it in its own sentence, and those of
        earlier sentences. States where there is no word mean nothing.
        """
        (B, S, T), H = words.shape, topics.shape[2]
        before = F.pad(words[:, :, :-1], (1, 0), value=START)
        exists = (words[:, :, 0] != PAD).flatten()
        inputs = self.drop(self.embedding(before)) + self.topic(topics)[:, :, None]
        started = self.start(topics).tanh().flatten(0, 1)[exists][None]
        looked, _ = self.looks(inputs.flatten(0, 1)[exists], (started, torch.zeros_like(started)))
        looked = _spread(looked, exists).view(B, S * T, H)
        if self.words is not None:
            order = torch.arange(S * T, device=words.device)
            mask = (order <= order[:, None]) & (words != PAD).view(B, 1, S * T)  # states that a word is said from
            memory = torch.cat([looked, self.words.key(looked)], 2)
            mixed, weights = self._mix(looked, regions, self.regions.key(regions), memory, mask)
        else:
            mixed, weights = self._mix(looked, regions, self.regions.key(regions), None, None)
        said, _ = self.says(self.drop(mixed).view(B * S, T, H)[exists])
        states = torch.cat([_spread(said, exists).view(B, S, T, H), mixed.view(B, S, T, H)], 3)
        return states, weights.view(B, S, T, -1)

    def begin(self, topic: Tensor, memory: Tensor, known: Tensor) -> SentenceState:
        """The state before the first word of a sentence; memory [R,L,2H], known [R,L]: of the paragraph's words."""
        h = self.start(topic).tanh()[None]
        zero = torch.zeros_like(h)
        return SentenceState(h, zero, zero, zero, memory, known)

    def step(
        self, word: Tensor, topic: Tensor, regions: Tensor, keys: Tensor, state: SentenceState
    ) -> tuple[Tensor, Tensor, SentenceState]:
        """(logits [R,V] of the next word, where it looked [R,M], state) after the input of words [R].

        keys: self.regions.key(regions). A row of padding is passed over in the memory.
        """
        x = self.embedding(word) + self.topic(topic)
        looked, (h1, c1) = self.looks(x[:, None], (state.h1, state.c1))
        memory, known = state.memory, state.known
        if self.words is not None:
            memory = torch.cat([memory, torch.cat([looked, self.words.key(looked)], 2)], 1)
            known = torch.cat([known, (word != PAD)[:, None]], 1)
        mixed, weights = self._mix(looked, regions, keys, memory, known[:, None])
        said, (h2, c2) = self.says(mixed, (state.h2, state.c2))
        logits = self.logits(torch.cat([said, mixed], 2)[:, 0])
        return logits, weights[:, 0], SentenceState(h1, c1, h2, c2, memory, known)

    def _mix(
        self, looked: Tensor, regions: Tensor, keys: Tensor, memory: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What the second RNN reads [B,Q,H], and the weights of regions [B,Q,M]."""
        seen, weights = self.regions(looked, keys, regions, None)
        parts = [looked, seen]
        if self.words is not None:
            assert memory is not None
            states, keys = memory.chunk(2, 2)
            parts.append(self.words(looked, keys, states, mask)[0])
        return looked + self.mix(torch.cat(parts, 2)).relu(), weights


def _spread(rows: Tensor, exists: Tensor) -> Tensor:
    """Rows [K,...] at the K places of bool [N] that are true, 0 at the others: [N,...]."""
    return rows.new_zeros(len(exists), *rows.shape[1:]).index_copy(0, exists.nonzero()[:, 0], rows)


def mean_embeddings(embedded: Tensor, words: Tensor) -> Tensor:
    """The mean of embeddings [...,T,E] of words [...,T] over words that are no padding: [...,E]."""
    known = (words > END).to(embedded.dtype)[..., None]
    return (embedded * known).sum(-2) / known.sum(-2).clamp_min(1)


class Spoken(NamedTuple):
    """What a generator makes of real or generated paragraphs, word by word."""

    nll: Tensor
    """[B,S], -log p of each sentence's words, its end included, in nats; 0 where there is no sentence"""
    stop_nll: Tensor
    """[B,S], -log p of going on after each sentence, and of stopping after the last; 0 for a flat generator"""
    topics: Tensor
    """[B,S,H]; of a flat generator [B,1,H]"""
    attention: Tensor
    """[B,S,T,M], where each word looked"""


class ParagraphGenerator(nn.Module):
    """Regions of images -> paragraphs; hierarchical, or flat: one sentence's RNN over the whole paragraph."""

    def __init__(
        self, vocab_size: int, embed_dim: int, hidden_dim: int, dropout: float, hierarchical: bool, word_attention: bool
    ) -> None:
        super().__init__()
        self.sentence = SentenceRNN(vocab_size, embed_dim, hidden_dim, dropout, word_attention)
        self.paragraph = ParagraphRNN(embed_dim, hidden_dim) if hierarchical else None
        self.overall = None if hierarchical else nn.Linear(hidden_dim, hidden_dim)

    def outputs(self) -> list[Tensor]:
        """Weights of last layers, to which the table of embeddings is tied."""
        stops = [] if self.paragraph is None else [self.paragraph.stop.weight]
        return [self.sentence.embedding.weight, *stops]

    def flat_topic(self, regions: Tensor) -> Tensor:
        """The one topic [B,H] of a flat generator, from the mean region."""
        assert self.overall is not None
        return self.overall(regions.mean(1)).tanh()

    def forward(self, words: Tensor, regions: Tensor) -> Spoken:
        """Paragraphs [B,S,T] about images with regions [B,M,H], each word given those before it."""
        if self.paragraph is None:
            topic = self.flat_topic(regions)[:, None]
            nll, attention = self._nll(flattened(words)[:, None], topic, regions)
            return Spoken(nll, torch.zeros_like(nll), topic, attention)
        said = mean_embeddings(self.sentence.embedding(words), words)
        keys, state = self.paragraph.attention.key(regions), self.paragraph.begin(regions)
        topics, stops = list[Tensor](), list[Tensor]()
        for s in range(words.shape[1]):
            before = said[:, s - 1] if s else torch.zeros_like(said[:, 0])
            topic, stop, state = self.paragraph(before, regions, keys, state)
            topics.append(topic)
            stops.append(stop)
        exists = (words[:, :, 0] != PAD).float()
        is_last = exists * (1 - F.pad(exists[:, 1:], (0, 1)))
        stop_nll = F.binary_cross_entropy_with_logits(torch.stack(stops, 1), is_last, reduction="none") * exists
        nll, attention = self._nll(words, torch.stack(topics, 1), regions)
        return Spoken(nll, stop_nll, torch.stack(topics, 1), attention)

    def _nll(self, words: Tensor, topics: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        states, attention = self.sentence(words, topics, regions)
        counted = words != PAD
        nll = F.cross_entropy(self.sentence.logits(states[counted]), words[counted], reduction="none")
        return nll.new_zeros(words.shape).masked_scatter(counted, nll).sum(2), attention


def flattened(words: Tensor) -> Tensor:
    """Paragraphs [B,S,T] as rows [B,L]: sentences one after another, each with its END, and one END more at the end."""
    rows = [F.pad(paragraph[paragraph != PAD], (0, 1), value=END) for paragraph in words]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


class SceneEncoder(nn.Module):
    """Images [B,3,H,W] in [-1,1] -> maps [B,C,H/8,W/8], learnt with the model from random weights."""

    def __init__(self, base_channels: int) -> None:
        super().__init__()
        c = base_channels
        layers: list[nn.Module] = []
        for inputs, outputs, kernel, stride in (
            (3, c, 6, 4),
            (c, 2 * c, 3, 1),
            (2 * c, 4 * c, 3, 2),
            (4 * c, 4 * c, 3, 1),
        ):
            layers += [nn.Conv2d(inputs, outputs, kernel, stride, 1, bias=False),
                       nn.GroupNorm(min(8, c), outputs), nn.ReLU(True)]  # fmt: skip
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
