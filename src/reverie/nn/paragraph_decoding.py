"""Paragraphs from a generator, word by word: the most likely words, beams, or words drawn by given random numbers.

B images, M regions, S sentences, T words of a sentence, k beams, R = B k rows, L words so far, V vocabulary size.
What is written of an image does not depend on the others of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from reverie.data.text.sentences import END, PAD, START, UNKNOWN
from reverie.nn.paragraph_rnn import ParagraphGenerator, SentenceRNN, SentenceState, mean_embeddings

NEVER = -1e4
"""the logit of a word that is not allowed"""


@dataclass(frozen=True)
class Decoding:
    """How words are chosen."""

    most_sentences: int
    most_words: int
    """of a sentence, its end included; longer ones are cut off there"""
    beam: int = 1
    """beams of a sentence (of a flat generator: of the paragraph), the best by mean log likelihood; 1: greedy"""
    temperature: float = 0.0
    """divides the logits where words are drawn; 0: the most likely word"""
    trigram_penalty: float = 0.0
    """subtracted from a word's logit for each time that it has ended the same trigram in the paragraph before"""
    sentences: int | None = None
    """how many there must be; None: as the generator decides"""
    first: tuple[tuple[int, ...], ...] = ()
    """words of the first sentences; one that does not end in END is gone on with"""


class Written(NamedTuple):
    """Paragraphs."""

    words: Tensor
    """int64 [B,S,T], each sentence with END, then PAD; sentences that are not there are all PAD"""
    attention: Tensor
    """[B,S,M], where the words of each sentence looked in the mean; 0 where there is no sentence"""


class Past(NamedTuple):
    """What has been said of each image."""

    memory: Tensor
    """[B,L,2H]"""
    known: Tensor
    """bool [B,L]"""
    words: Tensor
    """int64 [B,L], with PAD between sentences"""


@torch.no_grad()
def write(generator: ParagraphGenerator, regions: Tensor, how: Decoding, u: Tensor | None = None) -> Written:
    """Paragraphs about images.

    regions: [B,M,H]
    u: uniform numbers [B,N] in [0,1), for words that are drawn, with N from `numbers_needed`
    """
    if generator.paragraph is None:
        return _write_flat(generator, regions, how, u)
    B, dtype = len(regions), regions.dtype
    rnn, state = generator.sentence, generator.paragraph.begin(regions)
    keys, word_keys = generator.paragraph.attention.key(regions), rnn.regions.key(regions)
    past = _nothing(regions)
    said = regions.new_zeros(B, rnn.embedding.embedding_dim)
    alive = torch.ones(B, dtype=torch.bool, device=regions.device)
    sentences, looked = list[Tensor](), list[Tensor]()
    T = how.most_words
    for s in range(how.sentences or how.most_sentences):
        topic, stop, state = generator.paragraph(said, regions, keys, state)
        forced = how.first[s] if s < len(how.first) else ()
        numbers = None if u is None else u[:, s * (T + 1) : (s + 1) * (T + 1)]
        words, weights, past = _write_row(rnn, topic, regions, word_keys, past, alive, forced, how, numbers, T, False)
        sentences.append(words)
        said_now = (words != PAD)[:, :, None].to(dtype)
        looked.append((weights * said_now).sum(1) / said_now.sum(1).clamp_min(1))
        said = mean_embeddings(rnn.embedding(words), words)
        if how.sentences is None:
            stops = stop > 0 if numbers is None else numbers[:, T] < stop.sigmoid()
            alive = alive & ~(stops & (s + 1 >= len(how.first)))
            if not alive.any():
                break
    return Written(_stack(sentences), torch.stack(looked, 1))


def numbers_needed(how: Decoding) -> int:
    """Uniform numbers that a paragraph takes."""
    return (how.sentences or how.most_sentences) * (how.most_words + 1)


def _nothing(regions: Tensor) -> Past:
    B, _, H = regions.shape
    none = torch.zeros(B, 0, dtype=torch.long, device=regions.device)
    return Past(regions.new_zeros(B, 0, 2 * H), none.bool(), none)


def _write_flat(generator: ParagraphGenerator, regions: Tensor, how: Decoding, u: Tensor | None) -> Written:
    """One row of words, in which END stands after every sentence and twice after the last."""
    rnn, topic = generator.sentence, generator.flat_topic(regions)
    length = numbers_needed(how)
    forced = tuple(word for sentence in how.first for word in sentence)
    alive = torch.ones(len(regions), dtype=torch.bool, device=regions.device)
    row, weights, _ = _write_row(
        rnn, topic, regions, rnn.regions.key(regions), _nothing(regions), alive, forced, how, u, length, True
    )
    ends = (row == END).long()
    number = ends.cumsum(1) - ends  # of the sentence that each word is in
    S = max(1, int((number * (row > UNKNOWN)).max()) + 1)
    words, looked = list[Tensor](), list[Tensor]()
    for s in range(S):
        own = (number == s) & (row != PAD)
        own &= (own & (row > UNKNOWN)).any(1, keepdim=True)  # an END alone ends the paragraph
        order = torch.where(own, torch.arange(len(row[0]), device=row.device), len(row[0])).argsort(1)
        words.append((row * own).gather(1, order)[:, : max(1, int(own.sum(1).max()))])
        share = own.to(weights.dtype)[:, :, None]
        looked.append((weights * share).sum(1) / share.sum(1).clamp_min(1))
    return Written(_stack(words), torch.stack(looked, 1))


def _stack(sentences: list[Tensor]) -> Tensor:
    """Sentences [B,T] of unlike T as [B,S,T]."""
    T = max(words.shape[1] for words in sentences)
    padded = [torch.nn.functional.pad(words, (0, T - words.shape[1])) for words in sentences]
    return torch.stack(padded, 1)


def _write_row(
    rnn: SentenceRNN, topic: Tensor, regions: Tensor, keys: Tensor, past: Past, alive: Tensor,
    forced: tuple[int, ...], how: Decoding, u: Tensor | None, most_words: int, flat: bool,
) -> tuple[Tensor, Tensor, Past]:  # fmt: skip
    """(words [B,T], weights of regions [B,T,M], the past with them in it) of one sentence, or of a flat paragraph."""
    B, k = len(topic), how.beam
    rows = torch.arange(B, device=topic.device).repeat_interleave(k)
    topic, regions, keys, before = topic[rows], regions[rows], keys[rows], past.words[rows]
    state = rnn.begin(topic, past.memory[rows], past.known[rows])
    finished = ~alive[rows]
    word = torch.where(finished, PAD, START)
    scores = topic.new_full((B, k), -torch.inf)
    scores[:, 0] = 0
    words, looked = before[:, :0], regions.new_zeros(B * k, 0, regions.shape[1])
    for t in range(most_words):
        logits, weights, state = rnn.step(word, topic, regions, keys, state)
        logits = _allowed(logits, words, before, forced, how, flat, t == most_words - 1)
        if u is not None:
            logits = logits / how.temperature
        log_p = logits.log_softmax(1).masked_fill(finished[:, None], -torch.inf)
        log_p[:, PAD].masked_fill_(finished, 0.0)
        looked = torch.cat([looked, weights[:, None]], 1)
        if u is not None:
            word = _drawn(log_p, u[:, t])
        else:
            scores, best = (scores.view(-1, 1) + log_p).view(B, -1).topk(k)
            word = (best % log_p.shape[1]).flatten()
            if k > 1:
                origin = (best // log_p.shape[1] + torch.arange(B, device=best.device)[:, None] * k).flatten()
                words, looked, finished = words[origin], looked[origin], finished[origin]
                state = _reordered(state, origin)
        words = torch.cat([words, word[:, None]], 1)
        ended = word == END if not flat else (word == END) & (words[:, -2:] == END).all(1) & (t > 0)
        finished = finished | ended
        if finished.all():
            break
    lengths = (words != PAD).sum(1).view(B, k).clamp_min(1)
    chosen = (scores / lengths).argmax(1) + torch.arange(B, device=topic.device) * k
    words, looked = words[chosen], looked[chosen]
    gap = torch.full_like(words[:, :1], PAD)
    said = torch.cat([past.words, gap, words], 1)
    return words, looked, Past(state.memory[chosen], state.known[chosen], said)


def _reordered(state: SentenceState, origin: Tensor) -> SentenceState:
    h1, c1, h2, c2 = (x[:, origin] for x in state[:4])
    return SentenceState(h1, c1, h2, c2, state.memory[origin], state.known[origin])


def _drawn(log_p: Tensor, u: Tensor) -> Tensor:
    """Words [R] at which the cumulative sum of probabilities [R,V] exceeds u [R]."""
    cumulative = log_p.exp().cumsum(1)
    total = cumulative[:, -1:]
    target = torch.minimum(u[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp_max(log_p.shape[1] - 1)


def _allowed(
    logits: Tensor, words: Tensor, before: Tensor, forced: tuple[int, ...], how: Decoding, flat: bool, is_last: bool
) -> Tensor:
    """Logits [R,V] with words that must not come lowered; words [R,t] of this row, before [R,L] of earlier ones."""
    t = words.shape[1]
    logits = logits.clone()
    logits[:, UNKNOWN] = NEVER
    if how.trigram_penalty and t > 1:
        logits = logits - how.trigram_penalty * _repeats(words, torch.cat([before, words], 1), logits.shape[1])
    must = END if is_last else forced[t] if t < len(forced) else None
    if must is not None:
        return torch.full_like(logits, NEVER).index_fill(1, torch.tensor([must], device=logits.device), 0.0)
    if t == 0:
        logits[:, END] = NEVER
    elif flat:
        after_end = words[:, -1] == END
        long = (words[:, 1 - how.most_words :] != END).all(1) & (t >= how.most_words - 1)
        logits[:, END] = logits[:, END].masked_fill(long, -NEVER)
        if how.sentences is not None:
            enough = (words == END).sum(1) >= how.sentences
            logits[:, END] = logits[:, END].masked_fill(after_end & ~enough, NEVER)
            logits[:, END] = logits[:, END].masked_fill(after_end & enough, -NEVER)
    return logits


def _repeats(words: Tensor, said: Tensor, vocab_size: int) -> Tensor:
    """How often each word [R,V] has followed the last two of words [R,t] in said [R,L]."""
    if said.shape[1] < 3:
        return words.new_zeros(len(words), vocab_size)
    triples = said.unfold(1, 3, 1)  # [R,L-2,3]
    same = (triples[:, :, :2] == words[:, None, -2:]).all(2) & (triples > UNKNOWN).all(2)
    return torch.zeros(len(words), vocab_size, device=words.device).scatter_add_(1, triples[:, :, 2], same.float())
