"""SeqGAN.   B batch, T tokens of a line, V words, E numbers of a word, H of a state, N rollouts; tokens int64 [B,T].

A line that is shorter than T ends with END, and so on to T; nothing after the first END counts. The sequences of an
oracle have no end: there every word is a word.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.core.diagnostics import discriminator_auc, mean_nn_hamming, nn_distance_ratio
from reverie.core.generation import Items, blocks, select_items
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.text.dataset import VOCABULARY, Texts
from reverie.data.text.tokenizer import END, UNKNOWN, Tokenizer
from reverie.media import Image, Text, text_sheet
from reverie.metrics.score import Score
from reverie.metrics.text import gen_scores
from reverie.nn.early_stopping import EarlyStopping
from reverie.nn.losses import nonsaturating
from reverie.nn.lstm_language_model import LSTMLanguageModel
from reverie.nn.target_network import polyak_update, target_network
from reverie.nn.text_cnn import TextCNN
from reverie.utils.errors import UserError, near_miss
from reverie.utils.seeding import uniforms

POSITIONS = 20
"""of a line that lines are written on from, at most, unless told otherwise"""


class SeqGAN(Method):
    """Lines of text, by a recurrent writer that is rewarded where a discriminator takes its lines for real.

    Yu, Zhang, Wang, Yu 2016, arXiv:1609.05473
    """

    data_type = Texts

    @dataclass(frozen=True)
    class Config:
        tokenizer: Literal["auto", "word", "character", "subword"] = "auto"
        """what a line is cut into; auto: characters where most letters are Chinese or Japanese, else words"""
        length: int | None = None
        """tokens of a line at most, longer ones are dropped; none: what nearly all lines fit into, up to 64"""
        vocab_size: int = VOCABULARY
        """words that are kept, the commonest; others become <unk>, which is never written"""
        vocab: tuple[str, ...] | None = None
        """the vocabulary itself; none: read off the data. Empty: words are numbers, as an oracle's are"""
        embed_dim: int = 32
        """E, numbers of a word in the generator (section 5.1)"""
        hidden_dim: int = 32
        """H, numbers of the LSTM's state (section 5.1)"""
        g_dropout: float = 0.0
        """share of the generator's numbers that is dropped while it imitates, against learning by heart (paper: 0)"""
        kernel_sizes: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
        """words that a convolution of the discriminator sees at a time (table 3); wider ones than the line are none"""
        num_filters: tuple[int, ...] = (100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160)
        """how many convolutions of each base_channels (table 3)"""
        d_embed_dim: int = 64
        """numbers of a word in the discriminator (here and below: the authors' code)"""
        dropout: float = 0.25
        """share of the discriminator's features that is dropped in its training"""
        d_l2: float = 0.1
        """weight of half the squared norm of the discriminator's last layer in its loss (the authors' code has two
        columns there, told apart by their difference: the 0.2 that both bear are 0.1 for one)"""
        rollouts: int = 16
        """N, lines that are written to an end from every position, to see what a word is worth (section 5.1)"""
        rollout_stride: int | None = None
        """words between positions that lines are written on from; all of them are worth what the last is. None: so
        many that there are 20 positions at most, as in the paper: what a step costs grows with their number"""
        rollout_ema: float = 0.0
        """share of the rollout policy that stays what it was, at each step of the generator. The paper rolls out with
        the generator itself (algorithm 1), and so, in effect, does the authors' code, which names 0.8"""
        baseline: bool = False
        """whether the mean reward at a position is taken off it, for less noise (not in the paper)"""
        mle_weight: float = 0.0
        """weight of the likelihood of real lines beside the reward (the paper: 0)"""
        d_steps: int = 5
        """d-steps to one g-step, each against lines written anew (section 5.1)"""
        d_updates: int = 3
        """updates of the discriminator in a d-step (algorithm 1: k = 3)"""
        lr: float = 1e-2
        """learning rate of Adam, of the generator (the authors' code)"""
        d_lr: float = 1e-4
        """learning rate of Adam, of the discriminator (the authors' code)"""
        adv_lr_scale: float = 1.0
        """factor on both rates in the adversarial stage"""
        clip: float = 5.0
        """largest norm of the generator's gradient (the authors' code), in the adversarial stage of the sum over all
        words, so that each step is about as long as another"""
        pretrain_steps: int = 3_000
        """steps of the first stage, maximum likelihood (section 3, algorithm 1)"""
        d_pretrain_steps: int = 500
        """steps of the second stage, in which the discriminator learns alone"""
        steps: int = 4_000
        """training steps of all stages together; what the first two leave is the third, the adversarial one"""
        patience: int = 0
        """a stage ends early when its smoothed loss has not fallen by a thousandth in so many steps: the rest of it
        passes without learning; 0: never"""

        def __post_init__(self) -> None:
            stride = 1 if self.rollout_stride is None else self.rollout_stride
            counts = (
                self.embed_dim,
                self.hidden_dim,
                self.d_embed_dim,
                self.rollouts,
                stride,
                self.d_steps,
                self.d_updates,
            )
            if min(counts) < 1 or self.vocab_size < 2 or (self.length or 2) < 2:
                raise UserError(
                    "embed_dim, hidden_dim, seen, rollouts, rollout_stride, d_steps and d_updates must be 1 or more, vocab_size "
                    "and length 2 or more."
                )
            if len(self.kernel_sizes) != len(self.num_filters) or min(*self.kernel_sizes, *self.num_filters, 1) < 1:
                raise UserError(
                    f"kernel_sizes are {len(self.kernel_sizes)} and num_filters {len(self.num_filters)} numbers; give as many of both, "
                    "each 1 or more."
                )
            if self.length is not None and min(self.kernel_sizes, default=0) > self.length:
                raise UserError(f"no kernel fits into {self.length} tokenizer; give --kernel-sizes 1,2,3, say.")
            if not all(0 <= share < 1 for share in (self.dropout, self.rollout_ema, self.g_dropout)):
                raise UserError("dropout, rollout_ema and g_dropout are shares from 0 to below 1.")
            if min(self.lr, self.d_lr, self.adv_lr_scale, self.clip) <= 0:
                raise UserError("lr, d_lr, adv_lr_scale and clip must be above 0.")
            if min(self.d_l2, self.mle_weight, self.pretrain_steps, self.d_pretrain_steps, self.patience) < 0:
                raise UserError("d_l2, mle_weight, pretrain_steps, d_pretrain_steps and patience must not be negative.")

    _small = dict(kernel_sizes=(1, 2, 3, 4, 5), num_filters=(64, 64, 64, 64, 64))
    presets = {
        "smoke": dict(
            kernel_sizes=(1, 2, 3), num_filters=(8, 8, 8), rollouts=2, d_steps=1, d_updates=1, pretrain_steps=8, d_pretrain_steps=4,
            batch_size=16,
        ),
        "laptop": dict(
            **_small, embed_dim=128, hidden_dim=256, g_dropout=0.4, lr=2e-3, rollouts=4, baseline=True, mle_weight=1.0, adv_lr_scale=0.1,
            d_lr=1e-3, d_steps=2, d_updates=1, pretrain_steps=1_200, d_pretrain_steps=300, steps=1_700,
        ),
        # A discriminator that is right six times in ten still tells the generator something; a perfect one does not.
        "stable": dict(pretrain_steps=18_800, d_pretrain_steps=300, d_steps=1, d_updates=1, steps=19_160, log_every=100),
        "paper": dict(pretrain_steps=18_800, d_pretrain_steps=2_000, steps=21_100, log_every=100),
    }  # fmt: skip

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        """Once the data is prepared, its facts hold the vocabulary; before that there is nothing to fill in."""
        decided = {name: facts[name] for name in ("tokenizer", "vocab_size") if name in facts}
        return super().resolve_config(dataclasses.replace(config, **decided), facts)

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        return {name: getattr(config, name) for name in ("tokenizer", "length", "vocab_size", "vocab")}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        if c.vocab is None or c.length is None:
            raise UserError("seqgan needs words and length, which are read off the data in training.")
        count = len(c.vocab) or c.vocab_size
        self.stride = c.rollout_stride or -(-c.length // POSITIONS)
        self.ends, self.never = bool(c.vocab), [UNKNOWN] if c.vocab else []
        self.tokenizer = Tokenizer(c.tokenizer, c.vocab) if c.vocab else None
        self.generator = LSTMLanguageModel(count, c.embed_dim, c.hidden_dim)
        self.discriminator = TextCNN(count, c.d_embed_dim, c.length, c.kernel_sizes, c.num_filters)
        self.rollout = target_network(self.generator)  # no parameters, so that no optimizer owns them
        self.patience = EarlyStopping(3, c.patience)  # one for each stage

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        return {
            "generator": torch.optim.Adam(self.generator.parameters(), c.lr, fused=True),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), c.d_lr, fused=True),
        }

    def stages(self) -> list[Stage]:
        c = self.config
        mle = min(c.pretrain_steps, c.steps)
        judge = min(c.d_pretrain_steps, c.steps - mle)
        return [
            Stage("mle", mle, self.imitate),
            Stage("judge", judge, self.compare),
            # The gradient of rewards is a hundredth of that of likelihoods: an Adam that remembers those hardly moves.
            Stage(
                "adversarial",
                c.steps - mle - judge,
                self.compete,
                lambda done: c.adv_lr_scale,
                reset_optimizers=("generator",),
            ),
        ]

    def transient_modules(self) -> tuple[str, ...]:
        return ("rollout",)

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        super().load_weights(weights)
        polyak_update(self.rollout, self.generator, 0.0)

    # -- the stages (algorithm 1) --------------------------------------------------------------------------------------

    def imitate(self, batch: Batch, update: Update) -> Metrics:
        """Maximum likelihood of real lines."""
        if self.patience.over(0):
            return skipped(batch)
        tokens = batch["tokens"]
        nll = self.nll(tokens, self.config.g_dropout).sum() / self.counts(tokens).sum()  # nats a token
        told = {"nll": update("generator", nll, clip=self.config.clip)}
        polyak_update(self.rollout, self.generator, 0.0)
        self.patience.note(0, told["nll"])
        return told

    def compare(self, batch: Batch, update: Update) -> Metrics:
        """The discriminator learns to tell real lines from written ones."""
        if self.patience.over(1):
            return skipped(batch)
        told = self.distinguish(batch["tokens"], self.write_lines(len(batch["tokens"])), update)
        self.patience.note(1, told["d"])
        return told

    def compete(self, batch: Batch, update: Update) -> Metrics:
        """A g-step and its d-steps.

        Paper: a d-step writes 10,000 lines and passes k times through them and the real ones. Here: as many as the
        batch, because a step is what is saved and resumed; give more --d-steps for more.
        """
        if self.patience.over(2):
            return skipped(batch)
        c, real = self.config, batch["tokens"]
        made = self.write_lines(len(real))
        worth = self.rewards(made)  # Q [B,T], eq. 4
        told = {"reward": worth[:, -1].mean()}
        counts = self.counts(made)
        if c.baseline:
            worth = worth - (worth * counts).sum(0) / counts.sum(0).clamp_min(1)
        loss, words = (worth * self.nll(made)).sum(), counts.sum()  # eq. 8
        if c.mle_weight:
            loss = loss + c.mle_weight * words * self.nll(real, c.g_dropout).sum() / self.counts(real).sum()
        told["g"] = update("generator", loss, clip=c.clip) / words
        polyak_update(self.rollout, self.generator, c.rollout_ema)
        for _ in range(c.d_steps):
            made = self.write_lines(len(real))
            for _ in range(c.d_updates):
                told |= self.distinguish(real, made, update)
        self.patience.note(2, 1 - told["reward"])
        return told

    def distinguish(self, real: Tensor, made: Tensor, update: Update) -> Metrics:
        """One update of the discriminator (eq. 5)."""
        c, D = self.config, self.discriminator
        d_real, d_made = D(torch.cat([real, made]), c.dropout).split([len(real), len(made)])
        d = nonsaturating().discriminator(d_real, d_made) / 2  # mean cross entropy of all
        shrink = sum(p.square().sum() for p in D.last.parameters()) / 2
        told = {"d": update("discriminator", d + c.d_l2 * shrink), "d_auc": discriminator_auc(d_real, d_made)}
        return {**told, **nn_distance_ratio(real, made, mean_nn_hamming, least=1)}

    # -- rewards (section 3.1) -----------------------------------------------------------------------------------------

    @torch.no_grad()
    def rewards(self, tokens: Tensor) -> Tensor:
        """Q(Y_1:t-1, y_t) [B,T] of eq. 4: the mean of D over N lines that the rollout policy writes on from Y_1:t.

        All rollouts of all positions are written side by side: at position s those that left the line before s go on,
        and those that leave it there begin from the state that reading the line has reached. Nothing is read twice.
        With a stride, a word is worth what the line is up to the next position: noisier, and as right on average.
        """
        (B, T), N, stride = tokens.shape, self.config.rollouts, self.stride
        whole = self.discriminator(tokens).sigmoid()  # [B]
        P = (T - 1) // stride  # positions: row p is what is written after (p + 1) * stride tokens
        lines = tokens.expand(P, N, B, T).clone()
        flat = lines.view(-1, T)
        open_ = self.open(tokens)[stride - 1 :: stride, None].expand(-1, N, -1).flatten()  # [PNB], have no end yet
        begun = open_.clone()
        draws, states = self.rollout.draws(never=self.never), self.rollout.read(tokens)  # [T,B,H] each
        h, cell = (x[stride::stride, None].expand(-1, N, -1, -1).flatten(0, 2) for x in states)
        for s in range(stride, T):
            u = torch.rand(s // stride * N * B, device=tokens.device)  # for every rollout, whether or not it writes
            old = (s - 1) // stride * N * B
            rows = open_[:old].nonzero()[:, 0]
            word = draws(h[rows], u[rows])
            if old < len(u):
                begin = open_[old : len(u)].nonzero()[:, 0]
                first = draws(states[0][s], u[old:].view(N, B).T).T.flatten()  # N draws from the state that they share
                rows, word = torch.cat([rows, old + begin]), torch.cat([word, first[begin]])
            flat[rows, s] = word
            if self.ends:
                flat[rows[word == END], s:] = END
                open_[rows] = word != END
                rows, word = rows[word != END], word[word != END]
            if s < T - 1:
                h[rows], cell[rows] = self.rollout.step(word, (h[rows], cell[rows]))
        found = whole.expand(P, N, B).flatten().clone()  # a line that had ended is worth what it is
        written = begun.nonzero()[:, 0]
        if len(written):
            shared = (written // (N * B) + 1) * stride
            found[written] = self.discriminator.many(flat[written], tokens, written % B, shared).sigmoid()
        worth = found.view(P, N, B).mean(1).repeat_interleave(stride, 0)
        return torch.cat([worth, whole.expand(stride, B)])[:T].T

    def open(self, tokens: Tensor) -> Tensor:
        """Whether the first t + 1 of tokens [B,T] hold no end: [T-1,B]."""
        if not self.ends:
            return tokens.new_ones(tokens.shape[1] - 1, len(tokens), dtype=torch.bool)
        return ((tokens == END).cumsum(1) == 0)[:, :-1].T

    # -- writing and reading -------------------------------------------------------------------------------------------

    def nll(self, tokens: Tensor, dropout: float = 0.0) -> Tensor:
        """-log p of each token given those before it [B,T], in nats; 0 after a line's end."""
        kept = self.counts(tokens).bool()
        states = self.generator.read(tokens, dropout)[0].transpose(0, 1)[kept]  # [K,H]: no work after an end
        logits = self.generator.out(F.dropout(states, dropout))
        found = F.cross_entropy(logits, tokens[kept], reduction="none")
        return found.new_zeros(tokens.shape).masked_scatter(kept, found)

    def counts(self, tokens: Tensor) -> Tensor:
        """1.0 for each token up to the first END, 0.0 after it: [B,T]."""
        if not self.ends:
            return torch.ones(tokens.shape, device=tokens.device)
        end = tokens == END
        return ((end.cumsum(1) - end.long()) == 0).float()

    @torch.no_grad()
    def write_lines(
        self, n: int, u: Tensor | None = None, temperature: float = 1.0, start: Sequence[int] = ()
    ) -> Tensor:
        """n lines [n,T] from uniform numbers u [n,T], new ones if None; start: the words they begin with."""
        u = torch.rand(n, self.config.length, device=self.device) if u is None else u
        draws = self.generator.draws(temperature, self.never)
        word, state = u.new_zeros(n, dtype=torch.long), self.generator.blank(n)
        ended, found = u.new_zeros(n, dtype=torch.bool), list[Tensor]()
        for t, column in enumerate(u.unbind(1)):
            state = self.generator.step(word, state)
            word = torch.full_like(word, start[t]) if t < len(start) else draws(state[0], column)
            if self.ends:
                word = word.masked_fill(ended, END)
                ended |= word == END
            found.append(word)
        return torch.stack(found, 1)

    def noise(self, seed: int, items: Sequence[int]) -> Tensor:
        """Uniform numbers [len(items),T]."""
        return uniforms(seed, items, self.config.length, device=self.device)

    # -- what users do, and what it is worth ---------------------------------------------------------------------------

    @verb
    def generate(
        self, n: int = 16, seed: int = 0, temperature: float = 1.0, start: str = "", items: Items = None
    ) -> Iterator[Text]:
        """New lines.

        n: how many
        seed: line i depends on (seed, i) alone
        temperature: below 1 the likelier words come more often: safer lines, and more alike
        start: words or characters that every line begins with
        """
        if temperature < 1e-6:
            raise UserError(f"temperature is {temperature}; it must be 0.000001 or more, such as 0.8.")
        begin = self.read_start(start)
        for block, wanted in blocks(select_items(items, n)):
            made = self.write_lines(len(block), self.noise(seed, block), temperature, begin).tolist()
            for i in wanted:
                row = made[i - block[0]]
                yield Text(self.tokenizer.decode(row) if self.tokenizer else " ".join(map(str, row)), index=i)

    def read_start(self, start: str) -> list[int]:
        """The numbers of the words of a beginning. Raises UserError where it cannot be one."""
        if self.tokenizer is None:
            count = self.config.vocab_size
            found = [int(word) if word.isascii() and word.isdecimal() else count for word in start.split()]
            if any(number >= count for number in found):
                raise UserError(f"start is '{start}'; the words of this run are numbers from 0 to {count - 1}.")
        else:
            start = " ".join(unicodedata.normalize("NFC", start).split())  # as lines are read
            pieces = self.tokenizer.split(start) if start else []
            for piece in pieces:
                if piece not in self.tokenizer.number:
                    hint = near_miss(piece, self.tokenizer.words[2:])
                    raise UserError(f"'{piece}' of start is none of the {len(self.tokenizer.words) - 2} words.{hint}")
            found = [self.tokenizer.number[piece] for piece in pieces]
        if len(found) >= self.config.length:
            raise UserError(f"start has {len(found)} tokens; a line has {self.config.length} at most: give fewer.")
        return found

    def method_scores(self, data: Any, n: int, seed: int) -> Iterator[Score]:
        """NLL_gen: what lines of the reference cost in nats."""
        with torch.no_grad():
            parts = [data.batch(range(a, min(a + 256, n)), self.device)["tokens"] for a in range(0, n, 256)]
            costs = [(self.nll(part).sum(1), self.counts(part).sum(1)) for part in parts]
        nats, counts = (torch.cat(list(x)).cpu().double() for x in zip(*costs, strict=True))
        yield from gen_scores(nats, counts, data, seed)

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        return {"": text_sheet([text.line for text in self.verb("generate")(n=16)])}


def skipped(batch: Batch) -> Metrics:
    """What a step tells that did nothing."""
    return {"skipped": torch.ones((), device=batch["tokens"].device)}
