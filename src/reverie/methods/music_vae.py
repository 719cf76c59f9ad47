"""MusicVAE.   B batch, I instruments (3 of a trio), Z latent dimensions, T steps of the grid, V kinds of events.

Events are int64 [B,I,T], as data/music/midi.py defines them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.constraints import Count, Decay, NonNegative, Positive, Range
from reverie.core.diagnostics import active_units
from reverie.core.generation import BLOCK, Items, Latents, blocks, select_items
from reverie.core.interpolation import edit_endpoints, lerp, row_endpoints, row_latents, slerp
from reverie.core.method import Method, verb
from reverie.core.pace import Pace
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.music.dataset import MAX_BARS, MusicDataset
from reverie.data.music.grid import NEAREST, Reading, make_grid
from reverie.data.music.midi import EVENTS, PARTS, join_each, window
from reverie.data.music.midi_writer import VELOCITY
from reverie.media import Code, Image, Music, comparison_grid, image_grid, rolls, with_sound
from reverie.media.music import read_tunes
from reverie.metrics.music import code_scores, reconstruction_scores
from reverie.metrics.score import Score
from reverie.nn.latent_prior import Prior
from reverie.nn.losses import kl_to_standard_normal
from reverie.nn.music_rnn import Conductor, LSTMDecoder, LSTMEncoder, log_likelihood, normal_to_uniform, sample_events
from reverie.transforms.music import AttributeVectors, attribute_names, attributes, random_transpose
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise

NATS_PER_BIT = math.log(2)
Tempo = Annotated[float, Range(10, 400)]
Velocity = Annotated[int, Range(1, 127)]


class MusicVAE(Method):
    """Music from latent codes and codes from music: bars of melody, bass, drums or all three, by recurrent networks.

    Roberts, Engel, Raffel, Hawthorne, Eck 2018, arXiv:1803.05428
    """

    data_type = MusicDataset
    monitored: ClassVar[dict[str, str]] = {"loss": "loss", "active_units": "active_units"}

    @dataclass(frozen=True)
    class Config:
        part: Literal["melody", "bass", "drums", "trio"] | None = None
        """the instrument to model; trio: melody, bass and drums together; none: melody, or what the data has instead"""
        bars: Annotated[int, Range(1, MAX_BARS)] = 2
        """bars in a window (the paper: 2 and 16)"""
        voice: Literal["skyline", "single"] = "skyline"
        """voice of a melody: skyline, the highest; single, but only windows that have no other"""
        time_signature: str = "4/4"
        """bars that are taken: those as long as these, also several or parts of others (two of 2/4 for one of 4/4)"""
        ignore_signatures: bool = False
        """takes all as bars of the time signature, whatever files say of theirs, and where the tempo changes too"""
        grid: Literal[12, 16, 24, 32, 48] = 16
        """steps of a whole note: 12 triplets, 16 sixteenths (the paper), 24 eighths and triplets, 48 all of these"""
        quantize: Annotated[float, Range(0, NEAREST)] | None = None
        """steps that onsets may be moved to the grid; windows with over a quarter beyond go; none: 0.25, drums 0.5"""
        track: str = ""
        """track that plays the (first) instrument, by name or number as in `data inspect`; empty: all that may"""
        drums: str = ""
        """drums by the number of a channel or the name of a track; empty: channel 10"""
        decoder: Literal["flat", "hierarchical"] = "flat"
        """flat: one LSTM over all steps; hierarchical: a conductor gives each bar a context from which it is decoded
        alone (section 3.2). The authors' code passes on a bar's last event; here bars are decoded in parallel"""
        encoder: Literal["flat", "hierarchical"] = "flat"
        """flat: one LSTM over all steps; hierarchical: over each bar alone; z is a linear map of all final states"""
        latent_dim: Count = 64
        """Z, latent dimensions (the paper: 512)"""
        encoder_hidden_dim: Count = 192
        """hidden dimensions of the encoder's LSTM, per direction (2048)"""
        encoder_num_layers: Count = 1
        """layers of the encoder's LSTM (2; 1 for 2 bars in the authors' code)"""
        hidden_dim: Count = 256
        """hidden dimensions of the decoder's LSTM (1024)"""
        num_layers: Count = 2
        """layers of the decoder's LSTM (2)"""
        conductor_dim: Count = 256
        """hidden dimensions of the conductor's two layers (1024), and dimensions of a bar's context (512)"""
        embed_dim: Count = 64
        """dimensions of an event's embedding; the paper reads events as one-hot vectors"""
        beta: NonNegative = 0.2
        """final weight of the KL (section 5.1)"""
        beta_rate: Decay = 0.99994
        """the weight of the KL is beta * (1 - beta_rate^step) (0.99999): slow, so that z is used before it costs"""
        free_bits: NonNegative = 0.0
        """bits of KL per window that are free (section 2.1.1; 48 for 2 bars, 256 for 16 in the authors' code)"""
        prior: Literal["normal", "fitted"] = "normal"
        """new codes are drawn from N(0, I), as in the paper, or from a normal distribution fitted to the data"""
        scheduled_sampling_k: NonNegative = 0.0
        """k of scheduled sampling: the decoder reads the true event with probability k / (k + exp(step / k)), else a
        sampled one (Bengio 2015, section 2.4); 0: always the true one"""
        max_transpose: Annotated[int, Range(0, 24)] = 6
        """semitones of random transposition, from 1 - this to this; 6: every key is as likely; 0: none"""
        lr: Positive = 1e-3
        """initial learning rate of Adam, which falls to a hundredth"""
        lr_decay: Annotated[float, Range(above=0, most=1)] = 0.9999
        """factor on the learning rate per step"""
        clip: Positive = 1.0
        """largest norm of the gradient (the authors' code)"""
        ema_decay: Decay = 0.0
        """decay of averaged weights per step; 0: no average"""
        steps: int = 10_000
        """training steps"""

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
            bars=2, latent_dim=8, encoder_hidden_dim=16, hidden_dim=16, conductor_dim=16, embed_dim=8,
            decoder="hierarchical", batch_size=8, scheduled_sampling_k=5, prior="fitted",
        ),
        "laptop": dict(**_quick, hidden_dim=384, beta=0.03, lr_decay=0.99965, checkpoint_every=1_000, steps=12_000),
        "long": dict(**_long, hidden_dim=320),
        "trio": dict(**_long, part="trio", hidden_dim=256),
        "paper": _paper_16,
        "paper_trio": {**_paper_16, "part": "trio", "batch_size": 256},  # the batch size of the authors' code
        "paper_flat": {
            **_paper, "hidden_dim": 2048, "bars": 2, "num_layers": 3, "free_bits": 48, "scheduled_sampling_k": 1000,
            "steps": 50_000,
        },
    }  # fmt: skip

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        names = ("part", "bars", "voice", "time_signature", "ignore_signatures", "grid", "quantize", "track", "drums")
        return {name: getattr(config, name) for name in names}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.parts, self.grid = PARTS[c.part], make_grid(c.time_signature, c.grid)
        self.reading = Reading(self.grid, c.quantize, c.ignore_signatures, c.voice, c.track, c.drums)
        flat, num_events = c.decoder == "flat", [EVENTS[part] for part in self.parts]
        segments, context = 1 if c.encoder == "flat" else c.bars, c.latent_dim if flat else c.conductor_dim
        self.encoder = LSTMEncoder(
            num_events, c.embed_dim, c.encoder_hidden_dim, c.encoder_num_layers, c.latent_dim, segments
        )
        self.conductor = None if flat else Conductor(c.latent_dim, c.conductor_dim, c.bars)
        # A decoder for each instrument under one conductor: they depend on each other through z alone (section 3.3).
        decoders = [LSTMDecoder(V, c.embed_dim, context, c.hidden_dim, c.num_layers) for V in num_events]
        self.decoder, self.other_decoders = decoders[0], nn.ModuleList(decoders[1:])
        self.prior = Prior(c.latent_dim, c.prior == "fitted")
        self.directions = AttributeVectors(attribute_names(self.parts), c.latent_dim)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"vae": torch.optim.Adam(self.parameters(), self.config.lr, fused=True)}

    def stages(self) -> list[Stage]:
        c = self.config
        return [Stage("train", c.steps, self.step, lambda done: 0.01 + 0.99 * c.lr_decay ** (done * c.steps))]

    def ema_decays(self) -> dict[str, float]:
        decay, networks = self.config.ema_decay, ("encoder", "conductor", "decoder", "other_decoders")
        return {name: decay for name in networks if decay and getattr(self, name)}  # not all decoders have them all

    # -- training --------------------------------------------------------------------------------------------------

    def step(self, batch: Batch, update: Update) -> Metrics:
        """One update of the negative ELBO with free bits (section 2.1.1).

        Metrics: "loss" and "recon_nll" in nats per window, "kl_bits" in bits per window, "token_accuracy" the share of
        steps whose most likely event is the true one (of a trio also by instrument), "active_units".
        """
        c = self.config
        x = random_transpose(batch["events"], self.parts, c.max_transpose)  # [B,I,T]
        mean, log_variance = self.encoder(x)  # [B,Z]
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        k = c.scheduled_sampling_k  # Bengio 2015, section 2.4; exp(710) overflows
        logits = self.logits(z, x, k / (k + math.exp(min(update.step / k, 700))) if k else 1.0)
        recon_nll, accuracy = [], []  # of each instrument
        for predicted, line in zip(logits, x.unbind(1), strict=True):  # [B,T,V] and [B,T]
            recon_nll.append(F.cross_entropy(predicted.flatten(0, 1), line.flatten(), reduction="sum"))
            accuracy.append((predicted.detach().argmax(2) == line).float().mean())
        distortion = torch.stack(recon_nll).sum() / len(x)
        kl = kl_to_standard_normal(mean, log_variance).sum(1)  # [B]
        beta = c.beta * (1 - c.beta_rate**update.step)
        free_nats = c.free_bits * NATS_PER_BIT
        loss = update("vae", distortion + beta * (kl - free_nats).clamp_min(0).mean(), clip=c.clip)
        self.prior.update(z)
        self.directions.update(mean, attributes(x, self.parts, self.grid.beat))
        metrics = {"loss": loss, "recon_nll": distortion, "kl_bits": kl.mean() / NATS_PER_BIT}
        metrics |= {"token_accuracy": torch.stack(accuracy).mean(), **active_units(mean)}
        if len(self.parts) > 1:
            metrics |= {f"token_accuracy_{part}": value for part, value in zip(self.parts, accuracy, strict=True)}
        return metrics

    # -- the model -------------------------------------------------------------------------------------------------

    def contexts(self, z: Tensor, bars: int | None = None) -> Tensor:
        """The contexts [S,C] of the decoders for codes z [B,Z]: z itself, or the conductor's output for (some) bars."""
        return z if self.conductor is None else self.conductor(z).unflatten(0, (len(z), -1))[:, :bars].flatten(0, 1)

    def decoders(self) -> list[LSTMDecoder]:
        """The decoder of each instrument, in the order of `parts`."""
        return [self.decoder, *self.other_decoders]

    def logits(self, z: Tensor, x: Tensor, truth: float = 1.0) -> list[Tensor]:
        """[B,T,V] of each instrument of events x [B,I,T] of some bars, given z [B,Z] and the events before each.

        truth: the probability that the event before is the true one, and not a sampled one
        """
        context = self.contexts(z, x.shape[2] // self.grid.bar)
        lines = zip(self.decoders(), x.unbind(1), strict=True)
        if truth == 1:
            return [decoder(context, line) for decoder, line in lines]
        return [decoder.forward_scheduled_sampling(context, line, truth) for decoder, line in lines]

    def decode_events(self, z: Tensor, u: Tensor, temperature: float, known: Tensor | None = None) -> Tensor:
        """Events [B,I,T] sampled from codes z [B,Z] with u [B,I,T] in [0,1); known: those given, -1 elsewhere."""
        context = self.contexts(z)
        known = u.new_full(u.shape, -1, dtype=torch.int64) if known is None else known
        lines = zip(self.decoders(), u.unbind(1), known.unbind(1), strict=True)
        return torch.stack([decoder.sample(context, v, temperature, given) for decoder, v, given in lines], 1)

    # -- verbs -----------------------------------------------------------------------------------------------------

    @verb
    def generate(
        self, n: int = 16, seed: int = 0, temperature: NonNegative = 1.0, tempo: Tempo = 120.0,
        velocity: Velocity = VELOCITY, items: Items = None,
    ) -> Iterator[Music]:  # fmt: skip
        """Generates new music, from codes drawn from the prior.

        n: number of pieces
        seed: piece i depends on (seed, i) alone
        temperature: divides the logits; below 1 likely events become likelier; 0 takes the most likely
        tempo: quarters per minute
        velocity: loudness; notes are 12 louder where a bar begins, 4 on its other beats, 8 softer between
        """
        for music in self.generate_music(self.latents(seed), select_items(items, n), seed, temperature):
            yield dataclasses.replace(music, tempo=tempo, velocity=velocity)

    @verb
    def reconstruct(self, tunes: list[Music], temperature: NonNegative = 0.0, seed: int = 0) -> Iterator[Music]:
        """Encodes and decodes each tune, window by window.

        tunes: MIDI files; a long one is cut into windows, which are joined again
        temperature: as in generate
        seed: of the draws where the temperature is above 0
        """
        tunes = read_tunes(tunes, self.parts, self.reading)
        cut = [tune.windows(self.parts, self.config.bars) for tune in tunes]
        decoded: list[np.ndarray] = []
        positions = [i for rows, _ in cut for i in range(len(rows))]  # of each window in its tune
        for block, z in self.encode_windows([rows for rows, _ in cut]):
            u = self.uniforms(seed, [positions[i] for i in block])
            decoded.extend(self.decode_events(z, u, temperature).cpu().numpy())
        for tune, lines in zip(tunes, join_each(np.array(decoded), cut, self.parts), strict=True):
            steps = tune.lines(self.parts).shape[1]
            yield Music.of(self.parts, lines[:, :steps], tune.tempo, grid=self.grid).made_from(tune)

    @verb
    def encode(self, tunes: list[Music]) -> Iterator[Code]:
        """Encodes each window of each tune, as the mean of q(z|x); the windows of a tune follow one another.

        tunes: MIDI files; a long one is cut into windows
        """
        tunes = read_tunes(tunes, self.parts, self.reading)
        cut = [tune.windows(self.parts, self.config.bars)[0] for tune in tunes]
        codes = (z for _, rows in self.encode_windows(cut) for z in rows)
        for tune, rows in zip(tunes, cut, strict=True):
            yield from (Code.from_latent(tune, next(codes)) for _ in rows)

    @verb
    def interpolate(
        self, tunes: list[Music] | None = None, n: int = 4, frames: Count = 8, seed: int = 0,
        temperature: NonNegative = 0.5, items: Items = None,
    ) -> Iterator[Music]:  # fmt: skip
        """Interpolates between the codes of tunes along a great circle (section 5.4), a row for each pair.

        tunes: MIDI files; row r goes from the first window of tune r to that of tune r + 1
        n: without tunes, the number of rows; row r goes from the code of piece 2r of `generate` to that of piece 2r + 1
        frames: pieces in a row, both ends included
        seed: as in generate
        temperature: as in generate; the draws are the same in all of a row, so that only z changes
        """
        tunes, codes = self.encode_tunes(tunes)
        latents = row_latents(row_endpoints(self.latents(seed), codes), slerp, frames)
        chosen = select_items(items, n if codes is None else len(codes) - 1, frames)
        for music in self.generate_music(latents, chosen, seed, temperature, frames):
            yield music.in_rows_of(frames).made_from(*tunes)

    @verb
    def edit(
        self, tunes: list[Music] | None = None, direction: str = "denser", amount: float = 1.0, n: int = 4,
        frames: Count = 5, seed: int = 0, temperature: NonNegative = 0.5, items: Items = None,
    ) -> Iterator[Music]:  # fmt: skip
        """Moves codes along an attribute's vector (section 5.5), a row of pieces for each code.

        tunes: MIDI files, of which the first window is taken; none: new ones
        direction: denser, higher, leaping (wider steps), offbeat; drums: denser, offbeat; trios: bass-denser, ...
        amount: how far the ends of a row are away; 1: from the quarter with least of it to that with most
        n: without tunes, the number of rows; row r is about the code of piece r of `generate`
        frames: pieces in a row, from -amount to amount; 1: the one at amount
        seed: as in generate
        temperature: as in interpolate
        """
        shift = amount * self.directions.direction(direction)
        tunes, codes = self.encode_tunes(tunes)
        endpoints = edit_endpoints(lambda z: (z - shift, z + shift), self.latents(seed), codes, frames)
        chosen = select_items(items, n if codes is None else len(codes), frames)
        latents = row_latents(endpoints, lerp, frames)
        for music in self.generate_music(latents, chosen, seed, temperature, frames):
            yield music.made_from(*tunes).in_row_about(tunes, frames)

    @verb
    def continue_(
        self, tunes: list[Music], bars: Count = 8, seed: int = 0, temperature: NonNegative = 1.0,
        num_proposals: Count = 256, tempo: Tempo | None = None, velocity: Velocity = VELOCITY,
    ) -> Iterator[Music]:  # fmt: skip
        """Continues each tune, half a window at a time: a code is sampled that explains its last bars, and decoded.

        tunes: MIDI files; their other tracks are kept up to the marker (in a roll, the line) where the new bars begin
        bars: number of bars that are added
        seed: what is added depends on the seed and the tune alone
        temperature: as in generate
        num_proposals: codes that are proposed, of which one is taken in proportion to its posterior weight
        tempo: quarters per minute; none: that of the tune
        velocity: as in generate
        """
        if self.config.bars < 2:
            raise UserError("continue needs a run whose windows have 2 bars or more (train with --bars).")
        tunes = read_tunes(tunes, self.parts, self.reading)
        pace = Pace(bars * len(tunes), "bars")
        for tune in tunes:
            lines, bar = tune.lines(self.parts), self.grid.bar
            begin = -(-lines.shape[1] // bar) * bar  # whole bars
            target = begin + bars * bar
            lines, key = window(lines, 0, begin, self.parts)[0], int(tune.digest[:15], 16)
            while lines.shape[1] < target:
                added = self.continue_lines(lines, key, seed, temperature, num_proposals)
                lines, key = np.concatenate([lines, added], 1), key + 1
                pace.advance(added.shape[1] / bar)
            made = Music.of(self.parts, lines[:, :target], tempo or tune.tempo, grid=self.grid).made_from(tune)
            kept = tune.other_tracks(self.parts, self.reading)
            yield dataclasses.replace(made, velocity=velocity, marks=((begin, "continued"),), kept=kept)

    def continue_lines(
        self, lines: np.ndarray, key: int, seed: int, temperature: float, num_proposals: int
    ) -> np.ndarray:
        """What follows events [I,T] of whole bars: half a window [I,S]; the draws depend on (seed, key) alone."""
        c, bar = self.config, self.grid.bar
        proposals = num_proposals * c.latent_dim  # normal numbers that the proposals take
        last = min(lines.shape[1] // bar, c.bars - c.bars // 2) * bar  # steps that are given
        free = bar * c.bars - last  # steps that are added
        known = torch.from_numpy(window(lines, lines.shape[1] - last, last, self.parts)[0]).to(self.device)
        numbers = noise(seed, [key], proposals + free * len(lines) + 1, device=self.device)[0]
        z = self.sample_posterior(known, numbers[:proposals].view(num_proposals, -1), numbers[-1])
        u = normal_to_uniform(F.pad(numbers[proposals:-1].view(-1, free), (last, 0)))
        events = self.decode_events(z[None], u[None], temperature, F.pad(known, (0, free), value=-1)[None])[0]
        return events[:, last:].cpu().numpy()

    def sample_posterior(self, known: Tensor, proposals: Tensor, choice: Tensor) -> Tensor:
        """z [Z] approximately from p(z | the first events are `known` [I,K]).

        Half of the N proposals are from the prior, half from q(z|x) of a window that repeats the known events.
        proposals: standard normal [N,Z]; choice: standard normal [], which picks one of them
        """
        T = self.grid.bar * self.config.bars
        repeated = known.repeat(1, -(-T // known.shape[1]))[None, :, :T]  # [1,I,T]
        mean, log_variance = self.encoder(repeated)
        z, log_weights = self.prior.resample(
            lambda z: log_likelihood(self.logits(z, known.expand(len(z), -1, -1)), known), mean, log_variance, proposals
        )
        return z[sample_events(log_weights[None], normal_to_uniform(choice)[None], 1.0)[0]]

    def latents(self, seed: int) -> Latents:
        """The function from items to their codes [len(items),Z], drawn from the prior."""
        return lambda items: self.prior(noise(seed, items, self.config.latent_dim, device=self.device))

    def uniforms(self, seed: int, items: Sequence[int]) -> Tensor:
        """Uniform numbers in [0,1) [len(items),I,T] for sampling events, independent of those of `latents`."""
        latent_dim, events = self.config.latent_dim, len(self.parts) * self.grid.bar * self.config.bars
        normal = noise(seed, items, latent_dim + events, device=self.device)[:, latent_dim:]
        return normal_to_uniform(normal).unflatten(1, (len(self.parts), -1))

    def generate_music(
        self, latents: Latents, items: Sequence[int], seed: int, temperature: float, frames: int = 1
    ) -> Iterator[Music]:
        """The music of each item, decoded block by block; items of a row of `frames` share their draws of events."""
        pace = Pace(len(items), "pieces")
        for block, wanted in blocks(items):
            u = self.uniforms(seed, [i // frames for i in block])
            events = self.decode_events(latents(block), u, temperature).cpu().numpy()
            for i in wanted:
                yield Music.of(self.parts, events[i - block[0]], index=i, grid=self.grid)
            pace.advance(len(wanted))

    def encode_windows(self, cut: Sequence[np.ndarray]) -> Iterator[tuple[list[int], Tensor]]:
        """The means of q(z|x) [BLOCK,Z] of windows [n,I,T] of tunes, with their numbers; the last one fills a block."""
        windows = torch.from_numpy(np.concatenate(cut)).to(self.device) if cut else torch.empty(0)
        for start in range(0, len(windows), BLOCK):
            block = [min(start + i, len(windows) - 1) for i in range(BLOCK)]
            yield block, self.encoder(windows[block])[0]

    def encode_tunes(self, tunes: list[Music] | None) -> tuple[list[Music], Tensor | None]:
        """The tunes that can be used, and the means of q(z|x) [N,Z] of their first windows; None without tunes."""
        if not tunes:
            return [], None
        tunes = read_tunes(tunes, self.parts, self.reading)
        first = [torch.from_numpy(tune.windows(self.parts, self.config.bars)[0][:1]) for tune in tunes]
        return tunes, torch.cat([self.encoder(window.to(self.device))[0] for window in first])

    def from_codes(self, latents: Latents, items: Sequence[int]) -> Iterator[Music]:
        """The music of each code, as reconstruct decodes it."""
        return self.generate_music(latents, items, 0, 0.0)

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """New music with its sound, and first windows of the data above their reconstructions, as piano rolls."""
        columns = 8 if self.config.bars <= 4 else 2
        real = [Music.of(self.parts, lines, grid=self.grid) for lines in batch["events"][: 2 * columns].cpu().numpy()]
        both = rolls(real + self.verb("reconstruct")(real))
        new = self.verb("generate")(n=4 * columns, seed=0)
        pairs = comparison_grid(both[: len(real)], both[len(real) :], columns)
        return {"": with_sound(image_grid(rolls(new), columns), new), "reconstruction": pairs}

    def method_scores(self, data: MusicDataset, n: int, seed: int) -> Iterator[Score]:
        """Teacher-forced accuracy, KL and active units on the first n windows."""
        x = data.batch(range(min(n, len(data))), self.device)["events"]
        events, kls, means = [], [], []
        with torch.no_grad():
            for chunk in x.split(256):
                mean, log_variance = self.encoder(chunk)
                events.append(torch.stack([logits.argmax(2) for logits in self.logits(mean, chunk)], 1))
                kls.append(kl_to_standard_normal(mean, log_variance).sum(1))
                means.append(mean)
        predicted, kl, mean = (torch.cat(chunks).cpu().numpy() for chunks in (events, kls, means))
        yield from reconstruction_scores(x.cpu().numpy(), predicted, data, seed, teacher_forced=True)
        yield from code_scores(kl / NATS_PER_BIT, mean, data, seed)
