"""SeqGAN.   B batch, T tokens of a line, V vocabulary size, H hidden dimensions, N rollouts; tokens int64 [B,T].

A line of fewer than T tokens is filled up with END; nothing after the first END counts. The sequences of an oracle
have no end: there token 0 is a word like any other.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.core.constraints import Count, CountOrNone, Decay, NonNegative, Positive, Range
from reverie.core.diagnostics import discriminator_auc, mean_nn_hamming, nn_distance_ratio
from reverie.core.generation import Items, blocks, select_items
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.text.dataset import VOCABULARY, Texts
from reverie.data.text.held_out import HELD_OUT
from reverie.data.text.tokenizer import END, SPECIAL, UNKNOWN, Tokenizer, parse
from reverie.media import Image, Text, text_sheet
from reverie.metrics.score import Score
from reverie.metrics.text import nll_gen_scores
from reverie.nn.early_stopping import EarlyStopping
from reverie.nn.losses import nonsaturating
from reverie.nn.lstm_language_model import LSTMLanguageModel
from reverie.nn.target_network import polyak_update, target_network
from reverie.nn.text_cnn import TextCNN
from reverie.utils.errors import UserError, near_miss
from reverie.utils.seeding import uniforms

POSITIONS = 20
"""positions of a line that rollouts begin at, at most, where `rollout_stride` is none"""


class SeqGAN(Method):
    """Lines of text, by an LSTM that is rewarded where a discriminator takes its lines for real ones.

    Yu, Zhang, Wang, Yu 2016, arXiv:1609.05473
    """

    data_type = Texts
    monitored: ClassVar[dict[str, str]] = {"d_auc": "discriminator_auc", "nn_distance_ratio": "diversity"}

    @dataclass(frozen=True)
    class Config:
        item: Literal["line", "blank-line", "file"] = "line"
        """what one sequence is: a line, what stands between blank lines, or a whole file"""
        column: str | None = None
        """of a table (CSV, TSV, JSONL), the name or number of the column with the text; none: where one can be meant"""
        held_out: Annotated[float, Range(0, 0.5)] = HELD_OUT
        """share of the lines that is kept for evaluation, where no file is named test"""
        tokenizer: Literal["auto", "word", "character", "subword"] = "auto"
        """how a line is split into tokens; auto: characters in scripts without spaces between words, else words"""
        length: Annotated[int, Range(2)] | None = None
        """tokens of a line at most, longer lines are dropped; none: what nearly all lines fit into, up to 64"""
        vocab_size: Annotated[int, Range(2)] = VOCABULARY
        """the most frequent tokens, which are kept; others become <unk>, which is never generated"""
        vocab: tuple[str, ...] | None = None
        """the vocabulary itself; none: read off the data. Empty: tokens are numbers, as those of an oracle"""
        embed_dim: Count = 32
        """dimensions of the generator's token embedding (section 5.1)"""
        hidden_dim: Count = 32
        """H, dimensions of the LSTM's state (section 5.1)"""
        g_dropout: Decay = 0.0
        """dropout of the generator's embeddings and states in maximum likelihood, against overfitting (paper: 0)"""
        kernel_sizes: Annotated[tuple[int, ...], Range(1)] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
        """tokens that a convolution of the discriminator spans (table 3); those longer than a line are left out"""
        num_filters: Annotated[tuple[int, ...], Range(1)] = (100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160)
        """filters of each kernel size (table 3)"""
        d_embed_dim: Count = 64
        """dimensions of the discriminator's token embedding (here and below: the authors' code)"""
        dropout: Decay = 0.25
        """dropout of the discriminator's pooled features"""
        d_l2: NonNegative = 0.1
        """weight of half the squared norm of the discriminator's last layer in its loss (the authors' code has two
        output columns, of which only the difference counts: its 0.2 on both equal 0.1 on one)"""
        rollouts: Count = 16
        """N, completions of a line that are sampled at every position to estimate a token's reward (section 5.1)"""
        rollout_stride: Count | None = None
        """tokens between the positions that rollouts begin at; the tokens between share one reward. None: the smallest
        with 20 positions at most, as in the paper: what a step costs grows with their number"""
        rollout_ema: Decay = 0.0
        """decay of the rollout policy's moving average per generator step. The paper rolls out with the generator
        itself (algorithm 1), and so, in effect, does the authors' code, which names 0.8"""
        baseline: bool = False
        """whether the mean reward at each position is subtracted, which lowers the variance (not in the paper)"""
        mle_weight: NonNegative = 0.0
        """weight of the likelihood of real lines beside the reward (the paper: 0)"""
        d_steps: Count = 5
        """d-steps to one g-step, each against newly generated lines (section 5.1)"""
        d_updates: Count = 3
        """updates of the discriminator in a d-step (algorithm 1: k = 3)"""
        lr: Positive = 1e-2
        """learning rate of the generator's Adam (the authors' code)"""
        d_lr: Positive = 1e-4
        """learning rate of the discriminator's Adam (the authors' code)"""
        adv_lr_scale: Positive = 1.0
        """factor on both learning rates in the adversarial stage"""
        clip: Positive = 5.0
        """largest norm of the generator's gradient (the authors' code); in the adversarial stage the gradient is of the
        sum over all tokens and nearly always longer, so that every step has about the same length"""
        pretrain_steps: CountOrNone = 3_000
        """steps of the first stage, maximum likelihood (section 3, algorithm 1)"""
        d_pretrain_steps: CountOrNone = 500
        """steps of the second stage, in which only the discriminator is trained"""
        steps: int = 4_000
        """training steps of all stages together; the adversarial stage has what the first two leave"""
        patience: CountOrNone = 0
        """steps without a fall of the smoothed loss by a thousandth after which a stage ends early: its other steps
        pass without training; 0: never"""

        def __post_init__(self) -> None:
            if len(self.kernel_sizes) != len(self.num_filters):
                raise UserError(
                    f"kernel_sizes are {len(self.kernel_sizes)} and num_filters {len(self.num_filters)} numbers; give "
                    "as many of both."
                )
            if self.length is not None and min(self.kernel_sizes, default=0) > self.length:
                raise UserError(f"no kernel fits into {self.length} tokens; give --kernel-sizes 1,2,3, say.")

    _small = dict(kernel_sizes=(1, 2, 3, 4, 5), num_filters=(64, 64, 64, 64, 64))
    presets = {
        "smoke": dict(
            kernel_sizes=(1, 2, 3), num_filters=(8, 8, 8), rollouts=2, d_steps=1, d_updates=1, pretrain_steps=8,
            d_pretrain_steps=4, batch_size=16,
        ),
        "laptop": dict(
            **_small, embed_dim=128, hidden_dim=256, g_dropout=0.4, lr=2e-3, rollouts=4, baseline=True, mle_weight=1.0,
            adv_lr_scale=0.1, d_lr=1e-3, d_steps=2, d_updates=1, pretrain_steps=1_200, d_pretrain_steps=300,
            steps=1_700,
        ),
        # A discriminator with an accuracy of 0.6 still gives the generator a signal; a perfect one does not.
        "stable": dict(
            pretrain_steps=18_800, d_pretrain_steps=300, d_steps=1, d_updates=1, steps=19_160, log_every=100,
        ),
        "paper": dict(pretrain_steps=18_800, d_pretrain_steps=2_000, steps=21_100, log_every=100),
    }  # fmt: skip

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        """Takes the tokenizer and the vocabulary of prepared data; before that there is nothing to fill in."""
        decided = {name: facts[name] for name in ("tokenizer", "vocab_size") if name in facts}
        return super().resolve_config(dataclasses.replace(config, **decided), facts)

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        return {name: getattr(config, name) for name in ("tokenizer", "length", "vocab_size", "vocab")}

    @classmethod
    def open_args(cls, config: Config) -> dict[str, Any]:
        return {name: getattr(config, name) for name in ("item", "column", "held_out")}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        if c.vocab is None or c.length is None:
            raise UserError("seqgan needs vocab and length, which are read off the data in training.")
        vocab_size = len(c.vocab) or c.vocab_size
        self.stride = c.rollout_stride or -(-c.length // POSITIONS)
        self.has_end = bool(c.vocab)
        self.excluded = [UNKNOWN] if c.vocab else []  # tokens that are never generated
        self.tokenizer = Tokenizer(c.tokenizer, c.vocab) if c.vocab else None
        self.generator = LSTMLanguageModel(vocab_size, c.embed_dim, c.hidden_dim)
        self.discriminator = TextCNN(vocab_size, c.d_embed_dim, c.length, c.kernel_sizes, c.num_filters)
        self.rollout = target_network(self.generator)  # no parameters, so that no optimizer owns them
        self.stopping = EarlyStopping(3, c.patience)  # one state for each stage

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        return {
            "generator": torch.optim.Adam(self.generator.parameters(), c.lr, fused=True),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), c.d_lr, fused=True),
        }

    def stages(self) -> list[Stage]:
        c = self.config
        pretrain = min(c.pretrain_steps, c.steps)
        d_pretrain = min(c.d_pretrain_steps, c.steps - pretrain)
        # CPU seconds of a step, lines of 64 tokens (pretrain, d_pretrain, adversarial): `stable` .18, .61, 4.6, `paper`
        # .14, .58, 11.6. A rollout from one position costs a tenth of a step of pretrain, an update of D four of them.
        rollouts = (c.length - 1) // self.stride * c.rollouts
        adversarial = Stage(
            "adversarial",
            c.steps - pretrain - d_pretrain,
            self.adversarial_step,
            lr_factor=lambda done: c.adv_lr_scale,
            # Gradients of rewards are a hundredth of those of likelihoods: Adam's old moments would stop all movement.
            reset_optimizers=("generator",),
            relative_cost=2 + 0.1 * rollouts + 4 * c.d_steps * c.d_updates,
        )
        return [
            Stage("pretrain", pretrain, self.pretrain_step, relative_cost=1),
            Stage("d_pretrain", d_pretrain, self.discriminator_step, relative_cost=4),
            adversarial,
        ]

    def transient_modules(self) -> tuple[str, ...]:
        return ("rollout",)

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        super().load_weights(weights)
        polyak_update(self.rollout, self.generator, 0.0)

    # -- the stages (algorithm 1) --------------------------------------------------------------------------------------

    def pretrain_step(self, batch: Batch, update: Update) -> Metrics:
        """Maximum likelihood of real lines (section 3): "nll", nats per token."""
        if self.stopping.is_over(0):
            return skipped(batch)
        tokens = batch["tokens"]
        nll = self.nll(tokens, self.config.g_dropout).sum() / self.mask(tokens).sum()
        metrics = {"nll": update("generator", nll, clip=self.config.clip)}
        polyak_update(self.rollout, self.generator, 0.0)
        self.stopping.record(0, metrics["nll"])
        return metrics

    def discriminator_step(self, batch: Batch, update: Update) -> Metrics:
        """The discriminator learns to separate real lines from generated ones (algorithm 1)."""
        if self.stopping.is_over(1):
            return skipped(batch)
        metrics = self.update_discriminator(batch["tokens"], self.sample_lines(len(batch["tokens"])), update)
        self.stopping.record(1, metrics["loss_d"])
        return metrics

    def adversarial_step(self, batch: Batch, update: Update) -> Metrics:
        """A g-step and its d-steps (algorithm 1).

        Paper: a d-step generates 10,000 lines and passes k times through them and the real ones. Here: as many as the
        batch, because a step is what is saved and resumed; give more --d-steps for more.
        """
        if self.stopping.is_over(2):
            return skipped(batch)
        c, real = self.config, batch["tokens"]
        fake = self.sample_lines(len(real))
        rewards = self.rewards(fake)  # Q [B,T], eq. 4
        metrics = {"reward": rewards[:, -1].mean()}
        mask = self.mask(fake)
        if c.baseline:
            rewards = rewards - (rewards * mask).sum(0) / mask.sum(0).clamp_min(1)
        loss, tokens = (rewards * self.nll(fake)).sum(), mask.sum()  # eq. 8
        if c.mle_weight:
            loss = loss + c.mle_weight * tokens * self.nll(real, c.g_dropout).sum() / self.mask(real).sum()
        metrics["loss_g"] = update("generator", loss, clip=c.clip) / tokens
        polyak_update(self.rollout, self.generator, c.rollout_ema)
        for _ in range(c.d_steps):
            fake = self.sample_lines(len(real))
            for _ in range(c.d_updates):
                metrics |= self.update_discriminator(real, fake, update)
        self.stopping.record(2, 1 - metrics["reward"])
        return metrics

    def update_discriminator(self, real: Tensor, fake: Tensor, update: Update) -> Metrics:
        """One update of the discriminator (eq. 5) with real and generated tokens [B,T]."""
        c, D = self.config, self.discriminator
        d_real, d_fake = D(torch.cat([real, fake]), c.dropout).split([len(real), len(fake)])
        cross_entropy = nonsaturating().discriminator(d_real, d_fake) / 2  # mean over both
        l2 = sum(p.square().sum() for p in D.output.parameters()) / 2
        metrics = {
            "loss_d": update("discriminator", cross_entropy + c.d_l2 * l2),
            "d_auc": discriminator_auc(d_real, d_fake),
        }
        return metrics | nn_distance_ratio(real, fake, mean_nn_hamming, least=1)

    # -- rewards (section 3.1) -----------------------------------------------------------------------------------------

    @torch.no_grad()
    def rewards(self, tokens: Tensor) -> Tensor:
        """Q(Y_1:t-1, y_t) [B,T] in [0,1] of eq. 4: the mean of D over N lines in which the rollout policy completes
        Y_1:t.

        All rollouts of all positions are sampled side by side: at step s those that branched off before s go on, and
        those that branch off at s start from the state that reading the line has reached, so that no prefix is read
        twice. With a stride, a token has the reward of the line up to the next position: noisier, but unbiased.
        """
        (B, T), N, stride = tokens.shape, self.config.rollouts, self.stride
        d_lines = self.discriminator(tokens).sigmoid()  # [B], of the lines as they are
        P = (T - 1) // stride  # positions: row p of the rollouts keeps the first (p + 1) * stride tokens
        rollouts = tokens.expand(P, N, B, T).clone().view(-1, T)  # [PNB,T]
        unfinished = self.unfinished(tokens)[stride - 1 :: stride, None].expand(-1, N, -1).flatten()  # [PNB]
        completed = unfinished.nonzero()[:, 0]  # the rollouts that are sampled at all
        sampler, states = self.rollout.sampler(excluded=self.excluded), self.rollout.hidden_states(tokens)
        h, cell = (x[stride::stride, None].expand(-1, N, -1, -1).flatten(0, 2) for x in states)  # [PNB,H]
        for s in range(stride, T):
            u = torch.rand(s // stride * N * B, device=tokens.device)  # one for every rollout, finished or not
            started = (s - 1) // stride * N * B  # rollouts that branched off before s
            rows = unfinished[:started].nonzero()[:, 0]
            drawn = sampler(h[rows], u[rows])
            if started < len(u):  # the N rollouts that branch off here are N draws from one state
                new = unfinished[started : len(u)].nonzero()[:, 0]
                first = sampler(states[0][s], u[started:].view(N, B).T).T.flatten()
                rows, drawn = torch.cat([rows, started + new]), torch.cat([drawn, first[new]])
            rollouts[rows, s] = drawn
            if self.has_end:
                rollouts[rows[drawn == END], s:] = END
                unfinished[rows] = drawn != END
                rows, drawn = rows[drawn != END], drawn[drawn != END]
            if s < T - 1:
                h[rows], cell[rows] = self.rollout.step(drawn, (h[rows], cell[rows]))
        scores = d_lines.expand(P, N, B).flatten().clone()  # a line that had ended keeps its own score
        if len(completed):
            shared = (completed // (N * B) + 1) * stride
            logits = self.discriminator.score_rollouts(rollouts[completed], tokens, completed % B, shared)
            scores[completed] = logits.sigmoid()
        rewards = scores.view(P, N, B).mean(1).repeat_interleave(stride, 0)
        return torch.cat([rewards, d_lines.expand(stride, B)])[:T].T

    def unfinished(self, tokens: Tensor) -> Tensor:
        """Whether the first t + 1 of tokens [B,T] hold no END: bool [T-1,B]."""
        if not self.has_end:
            return tokens.new_ones(tokens.shape[1] - 1, len(tokens), dtype=torch.bool)
        return ((tokens == END).cumsum(1) == 0)[:, :-1].T

    # -- likelihood and sampling ---------------------------------------------------------------------------------------

    def nll(self, tokens: Tensor, dropout: float = 0.0) -> Tensor:
        """-log p of each token given those before it [B,T], in nats; 0 after a line's end."""
        counted = self.mask(tokens).bool()
        states = self.generator.hidden_states(tokens, dropout)[0].transpose(0, 1)[counted]  # [K,H], none after an end
        logits = self.generator.output(F.dropout(states, dropout))
        nll = F.cross_entropy(logits, tokens[counted], reduction="none")
        return nll.new_zeros(tokens.shape).masked_scatter(counted, nll)

    def mask(self, tokens: Tensor) -> Tensor:
        """1.0 for each token up to the first END, 0.0 after it: float [B,T]."""
        if not self.has_end:
            return torch.ones(tokens.shape, device=tokens.device)
        end = tokens == END
        return ((end.cumsum(1) - end.long()) == 0).float()

    @torch.no_grad()
    def sample_lines(
        self, n: int, u: Tensor | None = None, temperature: float = 1.0, start: Sequence[int] = ()
    ) -> Tensor:
        """n lines [n,T] from uniform numbers u [n,T], new ones if None; start: the tokens they begin with."""
        u = torch.rand(n, self.config.length, device=self.device) if u is None else u
        sampler = self.generator.sampler(temperature, self.excluded)
        token, state = u.new_zeros(n, dtype=torch.long), self.generator.initial_state(n)
        ended, lines = u.new_zeros(n, dtype=torch.bool), list[Tensor]()
        for t, column in enumerate(u.unbind(1)):
            state = self.generator.step(token, state)
            token = torch.full_like(token, start[t]) if t < len(start) else sampler(state[0], column)
            if self.has_end:
                token = token.masked_fill(ended, END)
                ended |= token == END
            lines.append(token)
        return torch.stack(lines, 1)

    def noise(self, seed: int, items: Sequence[int]) -> Tensor:
        """Uniform numbers in [0,1) [len(items),T]; row i depends on (seed, items[i]) alone."""
        return uniforms(seed, items, self.config.length, device=self.device)

    # -- verbs and scores ----------------------------------------------------------------------------------------------

    @verb
    def generate(
        self, n: int = 16, seed: int = 0, temperature: NonNegative = 1.0, start: str = "",
        items: Items = None,
    ) -> Iterator[Text]:  # fmt: skip
        """Generates new lines.

        n: number of lines
        seed: line i depends on (seed, i) alone
        temperature: divides the logits; below 1 likely tokens become likelier: safer lines, and more alike; 0 takes the
            likeliest each time, so that all lines are the same one
        start: words or characters that every line begins with
        """
        prefix = self.encode_start(start)
        for block, wanted in blocks(select_items(items, n)):
            lines = self.sample_lines(len(block), self.noise(seed, block), temperature, prefix).tolist()
            for i in wanted:
                tokens = lines[i - block[0]]
                line = self.tokenizer.decode(tokens) if self.tokenizer else " ".join(map(str, tokens))
                yield Text(line, index=i)

    def encode_start(self, start: str) -> list[int]:
        """The tokens of the beginning of a line. Raises UserError if one is unknown or they are too many."""
        if self.tokenizer is None:
            vocab_size = self.config.vocab_size
            tokens = [int(word) if word.isascii() and word.isdecimal() else vocab_size for word in start.split()]
            if any(token >= vocab_size for token in tokens):
                raise UserError(f"start is '{start}'; the words of this run are numbers from 0 to {vocab_size - 1}.")
        else:
            start = " ".join(unicodedata.normalize("NFC", start).split())  # as the lines of data are read
            known = self.tokenizer.vocab[len(SPECIAL) :]
            for word in self.tokenizer.unknown(start):
                near, unit = alike(word, known), UNITS[self.tokenizer.kind]
                raise UserError(
                    f"'{word}' of start is none of the {len(known)} {unit} that the run has learnt."
                    f"{near or f' Give {unit} of the training lines, as they are written there.'}"
                )
            tokens = self.tokenizer.encode(start) if start else []
        if len(tokens) >= self.config.length:
            raise UserError(f"start has {len(tokens)} tokens; a line has {self.config.length} at most: give fewer.")
        return tokens

    def method_scores(self, data: Texts, n: int, seed: int) -> Iterator[Score]:
        """NLL_gen (section 5.1): the negative log likelihood of the first n lines of the reference, in nats."""
        nll, counts = [], []
        with torch.no_grad():
            for first in range(0, n, 256):
                tokens = data.batch(range(first, min(first + 256, n)), self.device)["tokens"]
                nll.append(self.nll(tokens).sum(1))
                counts.append(self.mask(tokens).sum(1))
        yield from nll_gen_scores(torch.cat(nll).cpu().double(), torch.cat(counts).cpu().double(), data, seed)

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        return {"": text_sheet([text.line for text in self.verb("generate")(n=16)])}


UNITS = {"word": "words", "character": "characters", "subword": "subwords"}
"""what the tokens of a tokenizer are called"""


def alike(word: str, vocabulary: Sequence[str]) -> str:
    """ " Did you mean 'x'?" for the word of a vocabulary that differs in case alone, or else the closest one."""
    known = list(dict.fromkeys(parse(spelled).text for spelled in vocabulary))
    same = next((other for other in known if other.casefold() == word.casefold()), "")
    return f" Did you mean '{same}'?" if same else near_miss(word, known)


def skipped(batch: Batch) -> Metrics:
    """The metrics of a step of a stage that has ended early."""
    return {"skipped": torch.ones((), device=batch["tokens"].device)}
