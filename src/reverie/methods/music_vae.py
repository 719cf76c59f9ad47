"""MusicVAE.   B batch, I instruments (3 of a trio), Z latents, T steps, U bars (1 if flat), V events, C a context."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.diagnostics import active_units
from reverie.core.generation import BLOCK, Items, blocks, select_items
from reverie.core.interpolation import edit_endpoints, lerp, row_endpoints, slerp
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.music.dataset import MOST_BARS, MusicDataset
from reverie.data.music.midi import EVENTS, PARTS, STEPS, join, window
from reverie.media import Image, Music, comparison_grid, image_grid, rolls
from reverie.metrics.music import code_scores, reconstruction_scores
from reverie.metrics.score import Score
from reverie.nn.latent_prior import Prior
from reverie.nn.losses import kl_to_standard_normal, log_normal
from reverie.nn.music_rnn import Conductor, LSTMDecoder, LSTMEncoder, drawn, uniform
from reverie.transforms.music import AttributeVectors, attributes, names_of, transposed
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise

NATS = math.log(2)  # of a bit


class MusicVAE(Method):
    """Music from a latent code and codes from music: bars of melody, bass, drums or all three, by recurrent networks.

    Roberts, Engel, Raffel, Hawthorne, Eck 2018, arXiv:1803.05428
    """

    data_type = MusicDataset

    @dataclass(frozen=True)
    class Config:
        part: Literal["melody", "bass", "drums", "trio"] | None = None
        """what is learnt, trio: melody, bass and drums together; none: melody, or drums if the data has nothing else"""
        bars: int = 2
        """of 4/4 in a window; the paper's are 2 and 16"""
        voice: str = "skyline"
        """of a melody: skyline, the highest voice; single: that too, but of windows with one only; or a track's name"""
        decoder: Literal["flat", "hierarchical"] = "flat"
        """one network that writes all steps; or a conductor that gives each bar a code, from which the bar is written
        anew (section 3.2). The authors' code hands on a bar's last event; here none is: all bars are written at once"""
        encoder: Literal["flat", "hierarchical"] = "flat"
        """one network that reads all steps; or one that reads each bar alone; z is told from what it kept of all"""
        latent_dim: int = 64
        """numbers in z (the paper: 512)"""
        encoder_hidden_dim: int = 192
        """units of a layer of the encoder, each way (2048)"""
        encoder_num_layers: int = 1
        """layers of the encoder (2; 1 for 2 bars in the authors' code)"""
        hidden_dim: int = 256
        """units of a layer of the decoder (1024)"""
        num_layers: int = 2
        """layers of the decoder (2)"""
        conductor_dim: int = 256
        """units of the conductor's two layers (1024), and numbers that it gives each bar (512)"""
        embed_dim: int = 64
        """numbers that stand for an event where it is read; the paper reads it as one of V units"""
        beta: float = 0.2
        """weight of the KL, at last (section 5.1)"""
        beta_rate: float = 0.99994
        """beta is 1 - beta_rate^step of its weight (0.99999), so slow that z is of use before it has its price"""
        free_bits: float = 0.0
        """bits of KL that a tune has for nothing (section 2.1.1; 48 for 2 bars, 256 for 16 in the authors' code)"""
        prior: Literal["normal", "fitted"] = "normal"
        """what new codes are drawn from: N(0, I), as in the paper, or the normal distribution of the data's codes"""
        scheduled_sampling_k: float = 0.0
        """k of scheduled sampling: the truth is read with probability k / (k + exp(step / k)), else what was written
        (Bengio 2015, section 2.4); 0: always the truth"""
        max_transpose: int = 6
        """semitones that a melody is moved by at random, from 1 - this to this; 6: every key is as likely. 0: never"""
        lr: float = 1e-3
        """learning rate of Adam at first, falling to a hundredth"""
        lr_decay: float = 0.9999
        """of the rate, a step"""
        clip: float = 1.0
        """largest norm of the gradient (the authors' code)"""
        ema_decay: float = 0.0
        """decay of averaged weights; 0: none"""
        steps: int = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            sizes = (
                self.latent_dim,
                self.encoder_hidden_dim,
                self.encoder_num_layers,
                self.hidden_dim,
                self.num_layers,
                self.conductor_dim,
            )
            if min(*sizes, self.embed_dim) < 1:
                raise UserError("latent_dim, embed_dim, and all hidden_dim and num_layers must be 1 or more.")
            if not 1 <= self.bars <= MOST_BARS:
                raise UserError(f"bars is {self.bars}; give 1 to {MOST_BARS}.")
            if (
                min(self.beta, self.free_bits, self.scheduled_sampling_k, self.max_transpose) < 0
                or self.max_transpose > 24
            ):
                raise UserError(
                    "beta, free_bits and scheduled_sampling_k must not be negative; max_transpose is from 0 to 24."
                )
            if self.lr <= 0 or self.clip <= 0 or not 0 < self.lr_decay <= 1:
                raise UserError("lr and clip must be above 0, lr_decay from above 0 to 1.")
            if not (0 <= self.ema_decay < 1 and 0 <= self.beta_rate < 1):
                raise UserError("ema_decay and beta_rate must lie from 0 to below 1.")

    _quick = dict(num_layers=1, scheduled_sampling_k=600, beta_rate=0.9997, lr=3e-3, ema_decay=0.999, prior="fitted")
    _long: dict[str, Any] = dict(
        **_quick, bars=16, encoder="hierarchical", decoder="hierarchical", latent_dim=128, encoder_hidden_dim=128,
        conductor_dim=192, free_bits=256, lr_decay=0.9995, batch_size=32, steps=8_000,
    )  # fmt: skip
    _paper = dict(
        latent_dim=512, encoder_hidden_dim=2048, hidden_dim=1024, conductor_dim=1024, beta_rate=0.99999, batch_size=512
    )
    _paper_16 = dict(**_paper, bars=16, decoder="hierarchical", encoder_num_layers=2, free_bits=256, steps=100_000)
    presets = {
        "smoke": dict(
            bars=2, latent_dim=8, encoder_hidden_dim=16, hidden_dim=16, conductor_dim=16, embed_dim=8, decoder="hierarchical", batch_size=8,
            scheduled_sampling_k=5, prior="fitted",
        ),
        "laptop": dict(**_quick, hidden_dim=384, beta=0.03, lr_decay=0.99965, checkpoint_every=1_000, steps=12_000),
        "long": dict(**_long, hidden_dim=320),
        "trio": dict(**_long, part="trio", hidden_dim=256),
        "paper": _paper_16,
        "paper_trio": {**_paper_16, "part": "trio", "batch_size": 256},  # the batch is that of the authors' code
        "paper_flat": dict({**_paper, "hidden_dim": 2048}, bars=2, num_layers=3, free_bits=48, scheduled_sampling_k=1000, steps=50_000),
    }  # fmt: skip

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        return {"part": config.part, "bars": config.bars, "voice": config.voice}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.parts, flat = PARTS[c.part], c.decoder == "flat"
        events, context = [EVENTS[part] for part in self.parts], c.latent_dim if flat else c.conductor_dim
        stretches = 1 if c.encoder == "flat" else c.bars
        self.encoder = LSTMEncoder(
            events, c.embed_dim, c.encoder_hidden_dim, c.encoder_num_layers, c.latent_dim, stretches
        )
        self.conductor = None if flat else Conductor(c.latent_dim, c.conductor_dim, c.bars)
        # A writer for each instrument, under one conductor: they hear each other through z alone (section 3.3).
        first, *others = [LSTMDecoder(many, c.embed_dim, context, c.hidden_dim, c.num_layers) for many in events]
        self.writer, self.others = first, nn.ModuleList(others)
        self.prior = Prior(c.latent_dim, c.prior == "fitted")
        self.directions = AttributeVectors(names_of(self.parts), c.latent_dim)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"vae": torch.optim.Adam(self.parameters(), self.config.lr, fused=True)}

    def stages(self) -> list[Stage]:
        c = self.config
        return [Stage("train", c.steps, self.step, lambda done: 0.01 + 0.99 * c.lr_decay ** (done * c.steps))]

    def ema_decays(self) -> dict[str, float]:
        parts = ["encoder", *["conductor"] * (self.conductor is not None), "writer", *["others"] * bool(self.others)]
        return dict.fromkeys(parts, self.config.ema_decay) if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        c = self.config
        x = transposed(batch["events"], self.parts, c.max_transpose)  # [B,I,T]
        mean, log_variance = self.encoder(x)  # [B,Z]
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        if c.scheduled_sampling_k:
            logits = self.forward_scheduled_sampling(
                z,
                x,
                c.scheduled_sampling_k
                / (c.scheduled_sampling_k + math.exp(min(update.step / c.scheduled_sampling_k, 700))),
            )
        else:
            logits = self.logits(z, x)
        lines = list(zip(logits, x.unbind(1), strict=True))  # [B,T,V] and [B,T] of each instrument
        nats = [F.cross_entropy(told.flatten(0, 1), line.flatten(), reduction="sum") for told, line in lines]
        distortion = torch.stack(nats).sum() / len(x)
        kl = kl_to_standard_normal(mean, log_variance).sum(1)  # [B]
        beta = c.beta * (1 - c.beta_rate**update.step)
        loss = update("vae", distortion + beta * (kl - c.free_bits * NATS).clamp_min(0).mean(), clip=c.clip)
        self.prior.update(z)
        self.directions.follow(mean, attributes(x, self.parts))
        right = torch.stack([(told.detach().argmax(2) == line).float().mean() for told, line in lines])
        told = {"loss": loss, "nats": distortion, "kl_bits": kl.mean() / NATS, "token_accuracy": right.mean()}
        return {**told, **active_units(mean), **(dict(zip(self.parts, right, strict=True)) if self.others else {})}

    # -- the model -------------------------------------------------------------------------------------------------

    def contexts(self, z: Tensor) -> Tensor:
        """What each stretch is written from [B*U,C]: z itself, or what the conductor makes of it for each bar."""
        return z if self.conductor is None else self.conductor(z)

    def each(self, *x: Tensor) -> Iterator[tuple[Any, ...]]:
        """Each instrument's writer, and its lines [B,T] of x [B,I,T]."""
        return zip([self.writer, *self.others], *(lines.unbind(1) for lines in x), strict=True)

    def logits(self, z: Tensor, x: Tensor) -> list[Tensor]:
        """[B,T,V] for each instrument of events x [B,I,T], each after the true ones of its line before it."""
        context = self.contexts(z)
        return [writer(context, line) for writer, line in self.each(x)]

    def forward_scheduled_sampling(self, z: Tensor, x: Tensor, truth: float) -> list[Tensor]:
        """As logits, but before each step the true event was read with that probability only, else one drawn."""
        context = self.contexts(z)
        return [writer.forward_scheduled_sampling(context, line, truth) for writer, line in self.each(x)]

    def write(self, z: Tensor, u: Tensor, temperature: float, known: Tensor | None = None) -> Tensor:
        """Events [B,I,T], drawn by u [B,I,T] in [0,1) after those of the line before; known: events, -1 where free."""
        if temperature < 0:
            raise UserError(f"temperature is {temperature}; it must not be negative.")
        context = self.contexts(z)
        known = u.new_full(u.shape, -1, dtype=torch.int64) if known is None else known
        told = [writer.write(context, chances, temperature, given) for writer, chances, given in self.each(u, known)]
        return torch.stack(told, 1)

    # -- what users do -----------------------------------------------------------------------------------------------

    @verb
    def generate(self, n: int = 16, seed: int = 0, temperature: float = 1.0, items: Items = None) -> Iterator[Music]:
        """New music, from codes drawn from the prior.

        n: how many
        seed: piece i depends on (seed, i) alone
        temperature: below 1 likely events become likelier; 0 takes the likeliest
        """
        yield from self.played(self.latents(seed), select_items(items, n), seed, temperature)

    @verb
    def reconstruct(self, tunes: list[Music], temperature: float = 0.0, seed: int = 0) -> Iterator[Music]:
        """Each tune encoded and written again, window by window.

        tunes: MIDI files; a long one is cut into windows, and they are joined again
        temperature: as in compose
        seed: what is drawn where the temperature is above 0
        """
        if not tunes:
            return
        cuts = [self.cut(tune) for tune in tunes]
        numbers = [i for cut, _ in cuts for i in range(len(cut))]  # of each window in its tune
        windows = torch.cat([cut for cut, _ in cuts])
        made = []
        for start in range(0, len(windows), BLOCK):
            rows = [min(start + i, len(windows) - 1) for i in range(BLOCK)]
            u = self.chances(seed, [numbers[i] for i in rows])
            made.append(self.write(self.encoder(windows[rows])[0], u, temperature).cpu().numpy())
        told, at = np.concatenate(made), 0
        for tune, (cut, struck) in zip(tunes, cuts, strict=True):
            steps = tune.lines(self.parts, self.config.voice).shape[1]
            lines = join(told[at : at + len(cut)], struck, self.parts)[:, :steps]
            at += len(cut)
            yield Music.of(self.parts, lines, tune.tempo).made_from(tune)

    @verb
    def interpolate(
        self, tunes: list[Music] | None = None, n: int = 4, steps: int = 8, seed: int = 0, temperature: float = 0.5,
        items: Items = None,
    ) -> Iterator[Music]:  # fmt: skip
        """Walks from one tune to another, in rows, along the sphere of z (section 5.4).

        tunes: MIDI files; row r goes from the first window of tune r to that of tune r + 1
        n: without tunes, how many rows; row r goes from the code of piece 2r to that of piece 2r + 1 of `compose`
        steps: pieces in a row, both ends included
        seed: as in compose
        temperature: as in compose; the draws are the same in all of a row, so that what changes is z alone
        """
        codes, n = self.codes(tunes), len(tunes) - 1 if tunes else n
        yield from self.rows(
            row_endpoints(self.latents(seed), codes),
            slerp,
            select_items(items, n, steps),
            steps,
            seed,
            temperature,
            tunes,
        )

    @verb
    def edit(
        self, tunes: list[Music] | None = None, along: str = "denser", amount: float = 1.0, n: int = 4, steps: int = 5,
        seed: int = 0, temperature: float = 0.5, items: Items = None,
    ) -> Iterator[Music]:  # fmt: skip
        """Music changed step by step along an attribute's vector (section 5.5), a row for each.

        tunes: MIDI files, of which the first window is taken; none: new ones
        along: denser, higher, leaping (wider steps), offbeat; drums: denser, offbeat; trios: denser, bass-denser, ...
        amount: how far the ends of a row are away, in vectors from the quarter with least to that with most of it
        n: without tunes, how many rows; row r is about the code of piece r of `compose`
        steps: pieces in a row, from -amount to amount; 1: the one at amount
        seed: as in compose
        temperature: as in interpolate
        """
        heading = amount * self.directions.direction(along)
        codes, n = self.codes(tunes), len(tunes) if tunes else n
        ends = edit_endpoints(
            lambda z: (z - heading if steps > 1 else z + heading, z + heading), self.latents(seed), codes
        )
        yield from self.rows(ends, lerp, select_items(items, n, steps), steps, seed, temperature, tunes)

    @verb
    def continue_(
        self, tunes: list[Music], bars: int = 8, seed: int = 0, temperature: float = 1.0, candidates: int = 256
    ) -> Iterator[Music]:
        """Each tune, and bars that go on with it.

        A code is drawn that would have written the last bars, and writes what comes after them.

        tunes: MIDI files
        bars: how many are added
        seed: what is added depends on the seed and the tune alone
        temperature: as in compose
        candidates: codes of which one is taken, in proportion to how well it explains the last bars
        """
        c = self.config
        if c.bars < 2 or bars < 1 or candidates < 1:
            raise UserError("continue takes a run that learnt 2 bars or more, and bars and candidates of 1 or more.")
        for tune in tunes:
            key, have = int(tune.digest[:15], 16), tune.lines(self.parts, c.voice)  # [I,T]
            whole = -(-have.shape[1] // STEPS)
            have, goal = window(have, 0, whole * STEPS, self.parts)[0], whole + bars
            for turn in range(bars):  # each adds half a window
                last = min(have.shape[1] // STEPS, c.bars - c.bars // 2) * STEPS
                free = STEPS * c.bars - last
                lines, _ = window(have, have.shape[1] - last, last, self.parts)
                known = torch.from_numpy(lines).to(self.device)  # [I,K]
                draws = noise(seed, [key + turn], candidates * c.latent_dim + free * len(have) + 1, device=self.device)[
                    0
                ]
                z = self.explaining(known, draws[: candidates * c.latent_dim].view(candidates, -1), draws[-1])
                u = uniform(F.pad(draws[candidates * c.latent_dim : -1].view(-1, free), (last, 0)))
                told = self.write(z[None], u[None], temperature, F.pad(known, (0, free), value=-1)[None])[0]
                have = np.concatenate([have, told[:, last:].cpu().numpy()], 1)
                if have.shape[1] >= goal * STEPS:
                    break
            yield Music.of(self.parts, have[:, : goal * STEPS], tune.tempo).made_from(tune)

    def explaining(self, known: Tensor, draws: Tensor, choice: Tensor) -> Tensor:
        """z [Z] from about p(z | its first events are the known ones [I,K]), one of many by importance (Rubin 1987).

        Proposed are the prior, and the posterior of a window that repeats the known events.
        """
        times = -(-STEPS * self.config.bars // known.shape[1])
        window = known.repeat(1, times)[None, :, : STEPS * self.config.bars]  # [1,I,T]
        mean, log_variance = self.encoder(window)  # [1,Z]
        half = torch.arange(len(draws), device=draws.device)[:, None] % 2 == 0
        z = torch.where(half, self.prior(draws), mean + (log_variance / 2).exp() * draws)  # [N,Z]
        prior, near = self.prior.log_density(z), log_normal(z, mean, log_variance).sum(1)
        told = torch.zeros_like(prior)
        for logits, line in zip(self.logits(z, window.expand(len(z), -1, -1)), known, strict=True):
            logits = logits[:, : len(line)].flatten(0, 1)
            told = told - F.cross_entropy(logits, line.repeat(len(z)), reduction="none").view(len(z), -1).sum(1)
        log_w = told + prior - torch.logaddexp(prior, near)
        return z[drawn(log_w[None], uniform(choice)[None], 1.0)[0]]

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """New music, and first windows of the data above their reconstructions, as piano rolls."""
        columns = 8 if self.config.bars <= 4 else 2
        real = [Music.of(self.parts, lines) for lines in batch["events"][: 2 * columns].cpu().numpy()]
        both = rolls(real + self.verb("reconstruct")(real))
        return {
            "": image_grid(rolls(self.verb("generate")(n=4 * columns, seed=0)), columns),
            "reconstruction": comparison_grid(both[: len(real)], both[len(real) :], columns),
        }

    def method_scores(self, data: MusicDataset, n: int, seed: int) -> Iterator[Score]:
        """Accuracy where the true events before are read, KL and active units, on the first n windows."""
        x = data.batch(range(min(n, len(data))), self.device)["events"]
        found: list[tuple[Tensor, ...]] = []
        with torch.no_grad():
            for part in x.split(256):
                mean, log_variance = self.encoder(part)
                told = torch.stack([logits.argmax(2) for logits in self.logits(mean, part)], 1)
                found.append((told, kl_to_standard_normal(mean, log_variance).sum(1), mean))
        again, kl, means = (torch.cat(rows).cpu().numpy() for rows in zip(*found, strict=True))
        yield from reconstruction_scores(x.cpu().numpy(), again, data, seed, teacher_forced=True)
        yield from code_scores(kl / NATS, means, data, seed)

    # -- between music and numbers ---------------------------------------------------------------------------------

    def latents(self, seed: int) -> Callable[[Sequence[int]], Tensor]:
        """items -> z [len(items),Z]"""
        return lambda items: self.prior(noise(seed, items, self.config.latent_dim, device=self.device))

    def chances(self, seed: int, items: Sequence[int]) -> Tensor:
        """Numbers in [0,1) [len(items),I,T] for the draws of items; apart from those that their z are made of."""
        first, many = self.config.latent_dim, len(self.parts) * STEPS * self.config.bars
        draws = noise(seed, items, first + many, device=self.device)[:, first:]
        return uniform(draws).unflatten(1, (len(self.parts), -1))

    def played(
        self, latents: Callable[[list[int]], Tensor], items: Sequence[int], seed: int, temperature: float, row: int = 1
    ) -> Iterator[Music]:
        """The music of each item, written block by block: z and every draw are functions of (seed, item)."""
        for block, wanted in blocks(items):
            u = self.chances(seed, [i // row for i in block])  # the same in a row, where only z shall change
            events = self.write(latents(block), u, temperature).cpu().numpy()
            for i in wanted:
                yield Music.of(self.parts, events[i - block[0]], index=i)

    def rows(
        self, ends: Any, between: Any, items: Sequence[int], steps: int, seed: int, temperature: float,
        tunes: list[Music] | None,
    ) -> Iterator[Music]:  # fmt: skip
        """Rows of `steps` pieces between(a, b, share), as items.walk."""

        def latents(items: list[int]) -> Tensor:
            a, b = ends([i // steps for i in items])
            share = torch.tensor([[i % steps / max(steps - 1, 1)] for i in items], device=a.device)
            return between(a, b, share)

        for music in self.played(latents, items, seed, temperature, steps):
            yield music.in_rows_of(steps).made_from(*(tunes or ()))

    def codes(self, tunes: list[Music] | None) -> Tensor | None:
        """The means of q(z|x) [N,Z] of the first windows of tunes; None for none."""
        return torch.cat([self.encoder(self.cut(tune)[0][:1])[0] for tune in tunes]) if tunes else None

    def cut(self, tune: Music) -> tuple[Tensor, list[list[bool]]]:
        """The windows [N,I,T] of a tune one after another, the last filled with silence; see midi.window."""
        lines, length = tune.lines(self.parts, self.config.voice), STEPS * self.config.bars
        rows = [window(lines, at, length, self.parts) for at in range(0, lines.shape[1], length)]
        return torch.from_numpy(np.stack([row for row, _ in rows])).to(self.device), [struck for _, struck in rows]
