"""RTT-GAN.   B images, M regions, S sentences, T words of a sentence, H hidden dimensions; images [B,3,size,size] in
[-1,1], words int64 [B,S,T]: 0 padding, 2 the end of a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.constraints import Count, Decay, MultipleOf, NonNegative, Positive, Range, Share
from reverie.core.diagnostics import discriminator_auc
from reverie.core.generation import BLOCK
from reverie.core.lr_schedules import cosine, cosine_with_warmup
from reverie.core.method import Method, verb
from reverie.core.muon import optimizer_of
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.paragraphs.dataset import Paragraphs
from reverie.data.paragraphs.files import resized
from reverie.data.text.held_out import HELD_OUT
from reverie.data.text.sentences import PAD, SPECIAL, decode, encode, split_sentences, text_of, words_of
from reverie.media import Image, Photo
from reverie.media.paragraph import Paragraph, paragraph_sheet
from reverie.nn.imagenet import MAP_CHANNELS, load_imagenet_network
from reverie.nn.paragraph_decoding import Decoding, Written, numbers_needed, write
from reverie.nn.paragraph_discriminators import SentenceDiscriminator, TopicDiscriminator, existing
from reverie.nn.paragraph_rnn import ParagraphGenerator, Regions, SceneEncoder
from reverie.utils.errors import UserError, near_miss
from reverie.utils.seeding import seed_for, uniforms

STRIDES = (8, 16, 32)
"""of the frozen network's maps that are read"""
MOST_CACHED = 8_000
"""images whose features are kept in memory, 60 kB each with 8 x 8 cells"""
MOST_SENTENCES = 40
"""that can be asked for"""
SHOWN = 4
"""images of a sample grid"""
LAPTOP: dict[str, Any] = dict(batch_size=16, adv_share=0.0, log_every=50, checkpoint_every=500, sample_every=500)
"""without discriminators, which at this length cost half of the time and improve no score (docs/describe.md)"""
FULL: dict[str, Any] = dict(LAPTOP, adv_share=0.25)


class RTTGAN(Method):
    """Paragraphs about images, sentence by sentence; by some presets against discriminators of sentences and order.

    Liang, Hu, Zhang, Gan, Xing 2017, arXiv:1703.07022; docs/describe.md lists what is not as in the paper
    """

    data_type = Paragraphs
    monitored: ClassVar[dict[str, str]] = {"loss_nll": "loss", "d_auc": "discriminator_auc"}

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, MultipleOf(32, 64)] = 256
        """pixels a side that images are resized to, whole"""
        encoder: Literal["frozen", "scratch", "none"] = "frozen"
        """what regions are described by: EfficientNet-Lite0 as ImageNet has trained it, with features computed once;
        convolutions learnt with the model; or nothing, which leaves a language model that sees no image"""
        grid: Annotated[int, MultipleOf(2, 2)] = 8
        """cells a side that an image is cut into; regions are these, and the cells of a grid half as fine"""
        base_channels: Count = 32
        """channels of the first convolution of an encoder from scratch"""
        hierarchical: bool = True
        """whether an RNN of the paragraph passes topics to that of the sentences; else one RNN writes the paragraph"""
        word_attention: bool = True
        """whether each word looks at the words so far of its paragraph"""
        embed_dim: Count = 256
        """dimensions of a word's embedding, to which the weights of the output are tied"""
        hidden_dim: Count = 256
        """H, dimensions of the states of all RNNs (the paper: 512)"""
        d_hidden_dim: Count = 128
        """dimensions of embeddings and states of the discriminators"""
        dropout: Decay = 0.5
        """dropout probability of embeddings and states"""
        min_count: Count = 3
        """how often a word occurs in the training set, at least, to be in the vocabulary"""
        held_out: Annotated[float, Range(0, 0.5)] = HELD_OUT
        """share of the images that is kept for evaluation, where nothing says which are"""
        vocabulary: tuple[str, ...] | None = None
        """the words; none: as the data"""
        most_sentences: Count | None = None
        """of a paragraph; none: as the data"""
        most_words: Annotated[int, Range(2)] | None = None
        """of a sentence, its end included; none: as the data"""
        language: str | None = None
        """en or zh; none: as the data"""
        word_weight: NonNegative = 0.3
        """weight of the loss by which regions learn which words of a paragraph they stand for"""
        sentence_weight: NonNegative = 1.0
        """weight of the sentence discriminator in the reward"""
        topic_weight: NonNegative = 1.0
        """weight of the topic-transition discriminator in the reward"""
        state_weight: NonNegative = 0.1
        """weight of the adversarial loss of topics, which a discriminator of topics alone passes gradients to"""
        adv_weight: NonNegative = 1.0
        """weight of the rewards beside the likelihood of real paragraphs"""
        d_share: Share = 0.05
        """share of the steps in which only the discriminators learn"""
        adv_share: Share = 0.25
        """share of the steps in which generator and discriminators learn in turn; 0: neither of these stages"""
        optimizer: Literal["muon", "adam"] = "adam"
        """of the generator; Muon learns drawn scenes in a third of the steps, photos no sooner (docs/describe.md)"""
        lr: Positive = 1e-3
        """learning rate of the generator, with warm-up and cosine decay to 0"""
        d_lr: Positive = 1e-3
        """learning rate of the discriminators' Adam"""
        adv_lr_scale: Positive = 0.1
        """factor on both learning rates in the adversarial stage, with cosine decay to 0"""
        weight_decay: NonNegative = 1e-4
        """of AdamW, with optimizer adam"""
        clip: Positive = 1.0
        """largest norm of the generator's gradient"""
        trigram_penalty: NonNegative = 2.0
        """subtracted from a word's logit for each time that it has ended these three words before"""
        steps: Count = 4_000
        """training steps"""

    presets = {
        "smoke": dict(size=64, encoder="scratch", grid=4, base_channels=4, embed_dim=8, hidden_dim=8, d_hidden_dim=8,
                      batch_size=4, d_share=0.25),
        "laptop": LAPTOP,
        "scratch": dict(LAPTOP, encoder="scratch", size=96, grid=12, hidden_dim=128, embed_dim=128, dropout=0.0,
                        optimizer="muon", lr=4e-3, trigram_penalty=0.0, steps=2_500),
        # what each part adds: one RNN; RNNs of paragraph and of sentences; a discriminator of sentences; all of them
        "flat": dict(LAPTOP, hierarchical=False, word_attention=False),
        "hierarchical": LAPTOP,
        "sentence": dict(FULL, topic_weight=0.0, state_weight=0.0),
        "full": FULL,
        "paper": dict(embed_dim=512, hidden_dim=512, d_hidden_dim=512, batch_size=16, adv_weight=1e-3, steps=40_000),
    }  # fmt: skip

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        if c.vocabulary is None or c.most_sentences is None or c.most_words is None:
            raise UserError("rtt_gan needs vocabulary, most_sentences and most_words, which are read off the data.")
        V = len(c.vocabulary)
        if c.encoder == "scratch":
            self.encoder = SceneEncoder(c.base_channels)
        channels = {"frozen": sum(MAP_CHANNELS[s] for s in STRIDES), "scratch": 4 * c.base_channels, "none": 1}
        self.regions = Regions(channels[c.encoder], c.grid, c.hidden_dim, V, c.dropout / 2)
        self.generator = ParagraphGenerator(V, c.embed_dim, c.hidden_dim, c.dropout, c.hierarchical, c.word_attention)
        if c.adv_share:
            self.sentence_discriminator = SentenceDiscriminator(V, c.d_hidden_dim, c.d_hidden_dim)
            if c.topic_weight:
                self.topic_discriminator = TopicDiscriminator(c.d_hidden_dim, c.d_hidden_dim)
            if c.state_weight:
                self.state_discriminator = TopicDiscriminator(c.hidden_dim, c.d_hidden_dim)
        self._frozen: list[Any] = []  # no submodule: neither moved, trained nor saved
        self._maps: dict[int, Tensor] = {}

    @property
    def discriminators(self) -> list[nn.Module]:
        """Those that there are."""
        names = ("sentence_discriminator", "topic_discriminator", "state_discriminator")
        return [getattr(self, name) for name in names if hasattr(self, name)]

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        learnt = nn.ModuleList([self.regions, self.generator, *([self.encoder] if c.encoder == "scratch" else [])])
        outputs = [*self.regions.outputs(), *self.generator.outputs()]
        generator = optimizer_of(learnt, c.optimizer, c.lr, (0.9, 0.999), outputs, c.weight_decay)
        own = [parameter for network in self.discriminators for parameter in network.parameters()]
        others = {"discriminators": torch.optim.Adam(own, c.d_lr, (0.5, 0.999), fused=True)} if own else {}
        return {"generator": generator, **others}

    def stages(self) -> list[Stage]:
        c = self.config
        if not c.adv_share:
            return [Stage("likelihood", c.steps, self.likelihood_step, cosine_with_warmup)]
        adversarial, alone = round(c.steps * c.adv_share), round(c.steps * c.d_share)
        return [
            Stage("likelihood", c.steps - adversarial - alone, self.likelihood_step, cosine_with_warmup, (), 1),
            Stage("discriminators", alone, self.discriminator_step, relative_cost=1),
            Stage("adversarial", adversarial, self.adversarial_step, lambda done: c.adv_lr_scale * cosine(done), (), 2),
        ]

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        names = ("size", "vocabulary", "min_count", "most_sentences", "most_words")
        return {name: getattr(config, name) for name in names}

    @classmethod
    def open_args(cls, config: Config) -> dict[str, Any]:
        return {"held_out": config.held_out}

    def optional_modules(self) -> tuple[str, ...]:
        return ("sentence_discriminator", "topic_discriminator", "state_discriminator") if self.config.adv_share else ()

    # -- the stages ----------------------------------------------------------------------------------------------------

    def likelihood_step(self, batch: Batch, update: Update) -> Metrics:
        """Maximum likelihood of real paragraphs, one of each image's drawn at random."""
        loss, metrics = self.likelihood(batch, self.regions_of(batch["image"], batch["row"]))[:2]
        update("generator", loss, clip=self.config.clip)
        return metrics

    def discriminator_step(self, batch: Batch, update: Update) -> Metrics:
        """The discriminators learn to separate real paragraphs from those of the generator."""
        with torch.no_grad():
            regions = self.regions_of(batch["image"], batch["row"])
            _, metrics, real, topics = self.likelihood(batch, regions)
            fake = self.sampled(regions)
            fake_topics = self.generator(fake, regions).topics
        return metrics | self.update_discriminators(with_unpaired(real, batch), topics, fake, fake_topics, update)

    def adversarial_step(self, batch: Batch, update: Update) -> Metrics:
        """A step of the generator, by rewards, gradients through topics, and likelihood; one of the discriminators.

        Paper: words are relaxed to softmax outputs, through which gradients of the discriminators pass. Here: REINFORCE
        with the discriminators' probabilities of whole sentences as rewards, because the relaxation has to be annealed
        by hand, and discriminators know it from real words at once; topics are continuous and pass gradients.
        """
        c = self.config
        regions = self.regions_of(batch["image"], batch["row"])
        loss, metrics, real, topics = self.likelihood(batch, regions)
        with torch.no_grad():
            fake = self.sampled(regions)
            rewards = self.rewards(fake)  # [B,S]
            exists = existing(fake).float()
            baseline = (rewards * exists).sum(0) / exists.sum(0).clamp_min(1)
        spoken = self.generator(fake, regions)
        tokens = (fake != PAD).sum()
        loss_g = ((rewards - baseline) * exists * self.per_sentence(spoken.nll, fake)).sum() / tokens
        metrics["reward"] = (rewards * exists).sum() / exists.sum()
        if c.state_weight:
            own = self.state_discriminator(spoken.topics, existing(fake))[existing(fake)]
            loss_g = loss_g + c.state_weight * F.softplus(-own).mean()
        update("generator", loss + c.adv_weight * loss_g, clip=c.clip)
        metrics["loss_g"] = loss_g.detach()
        real = with_unpaired(real, batch)
        return metrics | self.update_discriminators(real, topics.detach(), fake, spoken.topics.detach(), update)

    def likelihood(self, batch: Batch, regions: Tensor) -> tuple[Tensor, Metrics, Tensor, Tensor]:
        """(loss, metrics, real words [B,S,T], topics [B,S,H]) of one paragraph of each image."""
        number = (torch.rand(len(regions), device=regions.device) * batch["references"]).long()
        real = trimmed(batch["words"][torch.arange(len(number)), number])
        spoken = self.generator(real, regions)
        loss_nll = spoken.nll.sum() / (real != PAD).sum()
        loss_stop = spoken.stop_nll.sum() / existing(real).sum()
        loss_words = self.regions.loss_words(regions, real)
        losses = {"loss_nll": loss_nll, "loss_stop": loss_stop, "loss_words": loss_words}
        loss = loss_nll + loss_stop + self.config.word_weight * loss_words
        return loss, {name: value.detach() for name, value in losses.items()}, real, spoken.topics

    def per_sentence(self, nll: Tensor, words: Tensor) -> Tensor:
        """-log p [B,S] of each sentence; of a flat generator, that of the paragraph, shared out by words."""
        if nll.shape[1] == words.shape[1]:
            return nll
        counts = (words != PAD).sum(2)
        return nll * counts / counts.sum(1, keepdim=True)

    def sampled(self, regions: Tensor) -> Tensor:
        """Words [B,S,T] drawn from the generator, without dropout."""
        how = self.decoding(temperature=1.0)
        self.generator.eval()
        u = torch.rand(len(regions), numbers_needed(how), device=regions.device)
        words = write(self.generator, regions, how, u)
        self.generator.train()
        return words.words

    def rewards(self, words: Tensor) -> Tensor:
        """The reward [B,S] in [0,1] of each sentence of generated paragraphs: how real it is by itself, and how real
        the transitions are from it on, in the mean."""
        c, exists = self.config, existing(words).float()
        logits, vectors = self.sentence_discriminator(words)
        reward = c.sentence_weight * logits.sigmoid()
        if c.topic_weight:
            transitions = self.topic_discriminator(vectors, exists.bool()).sigmoid() * exists
            later, counts = (x.flip(1).cumsum(1).flip(1) for x in (transitions, exists))
            reward = reward + c.topic_weight * later / counts.clamp_min(1)
        return reward * exists / max(c.sentence_weight + c.topic_weight, 1e-8)

    def update_discriminators(
        self, real: Tensor, real_topics: Tensor, fake: Tensor, fake_topics: Tensor, update: Update
    ) -> Metrics:
        """One update of all discriminators with real and generated words [B,S,T] and topics [B,S,H].

        real: with texts that no image is known of appended, from which the topics' discriminator learns nothing
        """
        dropout = 0.25
        D = self.sentence_discriminator
        exists, exists_fake = existing(real), existing(fake)
        (d_real, real_vectors), (d_fake, fake_vectors) = D(real, dropout), D(fake, dropout)
        d_real, d_fake = d_real[exists], d_fake[exists_fake]
        loss = cross_entropy(d_real, d_fake)
        metrics = {"d_auc": discriminator_auc(d_real, d_fake)}
        if self.config.topic_weight:
            D_t = self.topic_discriminator
            t_real = D_t(real_vectors, exists, dropout)[exists]
            t_fake = D_t(fake_vectors, exists_fake, dropout)[exists_fake]
            loss = loss + cross_entropy(t_real, t_fake)
            metrics["topic_auc"] = discriminator_auc(t_real, t_fake)
        if self.config.state_weight:
            with_topics = exists[: len(real_topics)]
            s_real = self.state_discriminator(real_topics, with_topics, dropout)[with_topics]
            s_fake = self.state_discriminator(fake_topics, exists_fake, dropout)[exists_fake]
            loss = loss + cross_entropy(s_real, s_fake)
        return {"loss_d": update("discriminators", loss), **metrics}

    # -- what the generator sees ---------------------------------------------------------------------------------------

    def regions_of(self, image: Tensor, rows: Tensor | None = None) -> Tensor:
        """Regions [B,M,H] of images.

        rows: [B], the number of each in the training set, under which features of a frozen encoder are kept
        """
        c = self.config
        if c.encoder == "none":
            return self.regions(image.new_ones(len(image), 1, c.grid, c.grid))
        if c.encoder == "scratch":
            return self.regions(F.adaptive_avg_pool2d(self.encoder(image), c.grid))
        numbers = [-1] * len(image) if rows is None else rows.tolist()
        each = [self._frozen_maps(image[i : i + 1], n).to(image) for i, n in enumerate(numbers)]
        return self.regions(torch.cat(each))  # autocast cannot join halves

    @torch.no_grad()
    def _frozen_maps(self, image: Tensor, row: int) -> Tensor:
        """Maps [1,C,g,g] of one image, by itself, so that they do not depend on what else is in a batch."""
        if row in self._maps:
            return self._maps[row]
        if not self._frozen:
            with torch.random.fork_rng(devices=[]):  # making it draws numbers, at whichever step it is needed first
                self._frozen.append(load_imagenet_network(image.device))
        cells = (self.config.grid, self.config.grid)
        maps = [
            F.adaptive_avg_pool2d(m, cells) if m.shape[2] >= cells[0] else F.interpolate(m, cells, mode="bilinear")
            for m in self._frozen[0].features(image, STRIDES)
        ]
        found = torch.cat(maps, 1).half()
        if row >= 0 and len(self._maps) < MOST_CACHED:
            self._maps[row] = found
        return found

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @verb
    def describe(
        self, photos: list[Photo], sentences: Annotated[int, Range(1, MOST_SENTENCES)] | None = None, beam: Count = 1,
        temperature: NonNegative = 0.0, seed: int = 0, first: str = "",
        trigram_penalty: Annotated[float, Range(0)] | None = None, attention: bool = False,
    ) -> Iterator[Paragraph]:  # fmt: skip
        """A paragraph about each image.

        photos: images of any size
        sentences: how many; none: as many as the generator thinks fit
        beam: beams of a sentence, of which the likeliest is taken; 1: the likeliest word each time
        temperature: above 0, words are drawn: 1 as likely as they are, below 1 likely words become likelier
        seed: of what is drawn: the paragraph of an image depends on (seed, image) alone
        first: what every paragraph begins with: words, or whole sentences
        trigram_penalty: lowers words that would repeat three words of the paragraph; none: as in training
        attention: also write NAME.attention.png, which shows where each sentence looked
        """
        if temperature and beam > 1:
            raise UserError(f"beam is {beam} and temperature {temperature:g}; give one of them.")
        how = self.decoding(sentences, beam, temperature, trigram_penalty, self.encode_first(first))
        numbers = numbers_needed(how)
        for start in range(0, len(photos), BLOCK):
            group = [photos[i] for i in range(start, min(start + BLOCK, len(photos)))]
            filled = group + [group[-1]] * (BLOCK - len(group))
            images = torch.cat([self.read(photo) for photo in filled])
            u = None
            if temperature:
                u = torch.cat([uniforms(seed_for(seed, p), [0], numbers, device=self.device) for p in filled])
            written = write(self.generator, self.regions_of(images), how, u)
            for i, photo in enumerate(group):
                yield self.paragraph(written, i, photo, attention)

    def decoding(
        self, sentences: int | None = None, beam: int = 1, temperature: float = 0.0, penalty: float | None = None,
        first: tuple[tuple[int, ...], ...] = (),
    ) -> Decoding:  # fmt: skip
        """How words are chosen."""
        c = self.config
        most = max([c.most_words or 0, *(len(sentence) + 8 for sentence in first)])
        if temperature and penalty is None:
            penalty = 0.0  # what is drawn repeats itself as seldom as real paragraphs do
        penalty = c.trigram_penalty if penalty is None else penalty
        return Decoding(max(c.most_sentences or 1, len(first)), most, beam, temperature, penalty, sentences, first)

    def encode_first(self, first: str) -> tuple[tuple[int, ...], ...]:
        """The words of the first sentences; a last one that no mark ends is left open. Raises UserError."""
        found = []
        known = self.config.vocabulary or ()
        for sentence in split_sentences(first):
            words = words_of(sentence)
            for word in words:
                if word not in known[len(SPECIAL) :]:
                    hint = near_miss(word, known[len(SPECIAL) :])
                    raise UserError(
                        f"'{word}' in first is none of the {len(known) - len(SPECIAL)} words of the run.{hint}"
                    )
            numbers = encode(words, known)
            found.append(tuple(numbers if words[-1] in ".!?。！？…" else numbers[:-1]))
        return tuple(found)

    def read(self, photo: Photo) -> Tensor:
        """A photo as images are in training: [1,3,size,size] in [-1,1]."""
        levels = ((photo.to_tensor(3)[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
        square = torch.from_numpy(resized(levels, self.config.size).copy()).permute(2, 0, 1)[None]
        return (square.float() / 127.5 - 1).to(self.device)

    def paragraph(self, written: Written, i: int, photo: Photo, draws: bool) -> Paragraph:
        """The paragraph of image i."""
        c = self.config
        own = [ids for ids in written.words[i].tolist() if ids[0] != PAD]
        sentences = tuple(text_of(decode(ids, c.vocabulary or ())) for ids in own)
        attention = on_grid(written.attention[i, : len(own)], c.grid)
        made = Paragraph.of(sentences, attention, c.language or "en", photo if draws else None)
        return made.made_from(photo)

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Images, their paragraphs, and where each sentence looked."""
        photos = [Photo(image.pixels) for image in Image.from_tensor(batch["image"][:SHOWN])]
        return {"": paragraph_sheet(photos, self.verb("describe")(photos=photos))}


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """The loss of a discriminator, from logits [N] of real and [K] of generated items."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def trimmed(words: Tensor) -> Tensor:
    """Paragraphs [B,S,T] without sentences and words that none of them has."""
    there = words != PAD
    S, T = int(there.any(2).sum(1).max()), int(there.sum(2).max())
    return words[:, :S, :T]


def with_unpaired(words: Tensor, batch: Batch) -> Tensor:
    """Paragraphs [B,S,T], followed by texts of the batch that no image is known of."""
    if "unpaired" not in batch:
        return words
    S, T = batch["unpaired"].shape[1:]
    return trimmed(torch.cat([F.pad(words, (0, T - words.shape[2], 0, S - words.shape[1])), batch["unpaired"]]))


def on_grid(attention: Tensor, grid: int) -> np.ndarray:
    """Weights of regions [S,M] as shares of g x g cells: float32 [S,g,g]; a coarse cell's are spread over its four."""
    fine, coarse = attention.split([grid**2, attention.shape[1] - grid**2], 1)
    side = int(coarse.shape[1] ** 0.5)
    spread = F.interpolate(coarse.view(-1, 1, side, side), (grid, grid)) / (grid / side) ** 2
    return (fine.view(-1, grid, grid) + spread[:, 0]).cpu().numpy()
