"""Plain training loops: what a careful beginner writes, as the yardstick. Each step of the iterator is a training step.

The networks are the method's own, as it makes them (SeqGAN's discriminator as its authors have it); all else is from
the tutorials: a DataLoader over a tensor data set, torch.optim.Adam, loss.backward() into everything, zero_grad, the
losses printed now and then.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from reverie.core.method import Method
from reverie.transforms.degradations import coloured

EVERY = 50
"""steps between looks at the losses"""


def gan(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """The loop of the PyTorch DCGAN tutorial (pytorch.org, "DCGAN Tutorial") on images [N,C,H,W] in [-1,1]."""
    images = items["image"]
    generator, discriminator = method.generator, method.discriminator
    judge, latent = nn.BCEWithLogitsLoss(), method.config.latent_dim
    adam_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loader, step = DataLoader(TensorDataset(images), batch_size=batch, shuffle=True, drop_last=True), 0
    while True:
        for (real,) in loader:
            ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
            discriminator.zero_grad()
            loss_real = judge(discriminator(real), ones)
            loss_real.backward()
            fake = generator(torch.randn(len(real), latent))
            loss_fake = judge(discriminator(fake.detach()), zeros)
            loss_fake.backward()
            adam_d.step()
            generator.zero_grad()
            loss_g = judge(discriminator(fake), ones)
            loss_g.backward()
            adam_g.step()
            if step % EVERY == 0:
                look(loss_real, loss_fake, loss_g)
            step += 1
            yield


def vae(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """The loop of PyTorch's VAE example (pytorch/examples, vae) on images [N,1,H,W] in [-1,1], binarised anew."""
    images = items["image"]
    encoder, decoder = method.encoder, method.decoder
    adam = torch.optim.Adam(method.parameters(), lr=1e-3)
    loader, step = DataLoader(TensorDataset(images), batch_size=batch, shuffle=True, drop_last=True), 0
    while True:
        for (image,) in loader:
            x = torch.bernoulli((image + 1) / 2)
            adam.zero_grad()
            mean, log_variance = encoder(x).chunk(2, 1)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            distortion = nn.functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
            kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = (distortion + kl) / len(x)
            loss.backward()
            adam.step()
            if step % EVERY == 0:
                look(loss)
            step += 1
            yield


def pix2pix(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """As the authors of pix2pix train, grey to colour: D is frozen while G learns, its loss is halved."""
    generator, discriminator, size = method.generator, method.discriminator, method.config.size
    judge, distance = nn.BCEWithLogitsLoss(), nn.L1Loss()
    adam_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loader, step = DataLoader(TensorDataset(items["b"]), batch_size=batch, shuffle=True, drop_last=True), 0
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    while True:
        for (whole,) in loader:
            real = cut(whole, size)
            given = (real * weights).sum(1, keepdim=True)
            fake = coloured(given, generator(given))
            discriminator.requires_grad_(True)
            adam_d.zero_grad()
            said_fake = discriminator(torch.cat([given, fake.detach()], 1))
            said_real = discriminator(torch.cat([given, real], 1))
            loss_d = 0.5 * (
                judge(said_fake, torch.zeros_like(said_fake)) + judge(said_real, torch.ones_like(said_real))
            )
            loss_d.backward()
            adam_d.step()
            discriminator.requires_grad_(False)
            adam_g.zero_grad()
            said = discriminator(torch.cat([given, fake], 1))
            loss_g = judge(said, torch.ones_like(said)) + 100 * distance(fake, real)
            loss_g.backward()
            adam_g.step()
            if step % EVERY == 0:
                look(loss_d, loss_g)
            step += 1
            yield


def cyclegan(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """As the authors of CycleGAN train: both G with both D frozen, then each D against a pool of 50 earlier images."""
    to_a, to_b, judge_a, judge_b, size = method.to_a, method.to_b, method.judge_a, method.judge_b, method.config.size
    judge, distance = nn.MSELoss(), nn.L1Loss()
    adam_g = torch.optim.Adam([*to_a.parameters(), *to_b.parameters()], lr=2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam([*judge_a.parameters(), *judge_b.parameters()], lr=2e-4, betas=(0.5, 0.999))
    data, step = TensorDataset(items["a"], items["b"]), 0
    loader = DataLoader(data, batch_size=batch, shuffle=True, drop_last=True)
    pools: dict[str, list[Tensor]] = {"a": [], "b": []}
    while True:
        for whole_a, whole_b in loader:
            a, b = cut(whole_a, size), cut(whole_b, size)
            judge_a.requires_grad_(False)
            judge_b.requires_grad_(False)
            adam_g.zero_grad()
            fake_b, fake_a = to_b(a), to_a(b)
            said_b, said_a = judge_b(fake_b), judge_a(fake_a)
            loss_g = judge(said_b, torch.ones_like(said_b)) + judge(said_a, torch.ones_like(said_a))
            loss_g = loss_g + 10 * (distance(to_a(fake_b), a) + distance(to_b(fake_a), b))
            loss_g = loss_g + 5 * (distance(to_b(b), b) + distance(to_a(a), a))
            loss_g.backward()
            adam_g.step()
            judge_a.requires_grad_(True)
            judge_b.requires_grad_(True)
            adam_d.zero_grad()
            losses = []
            for side, judged, real, fake in (("a", judge_a, a, fake_a), ("b", judge_b, b, fake_b)):
                said_real, said_fake = judged(real), judged(pooled(pools[side], fake.detach()))
                loss = judge(said_real, torch.ones_like(said_real)) + judge(said_fake, torch.zeros_like(said_fake))
                (0.5 * loss).backward()
                losses.append(loss)
            adam_d.step()
            if step % EVERY == 0:
                look(loss_g, *losses)
            step += 1
            yield


def restoration(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """The loop of any tutorial on denoising: pieces, noise of sigma 25, the mean absolute difference."""
    network, size, distance = method.generator, method.config.size, nn.L1Loss()
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)
    loader, step = DataLoader(TensorDataset(items["image"]), batch_size=batch, shuffle=True, drop_last=True), 0
    while True:
        for (whole,) in loader:
            good = cut(whole, size)
            adam.zero_grad()
            loss = distance(network(good + torch.randn_like(good) * (25 / 127.5)), good)
            loss.backward()
            adam.step()
            if step % EVERY == 0:
                look(loss)
            step += 1
            yield


class Published(nn.Module):
    """SeqGAN's discriminator with its convolutions as its authors and the ports of them have them: one channel in,
    kernels of K words by the E numbers of a word."""

    def __init__(self, judge: Any) -> None:
        super().__init__()
        self.judge, self.convs = judge, nn.ModuleList()
        for conv in judge.convs:
            mine = nn.Conv2d(1, conv.out_channels, (conv.kernel_size[1], conv.in_channels))
            mine.load_state_dict({"weight": conv.weight.permute(0, 2, 3, 1), "bias": conv.bias})
            self.convs.append(mine)
        del judge.convs

    def forward(self, tokens: Tensor, dropout: float = 0.0) -> Tensor:
        x = self.judge.words(tokens)[:, None]  # [B,1,T,E]
        found = [conv(x).relu().squeeze(3) for conv in self.convs]  # [B,F,P]
        largest = [F.max_pool1d(values, values.shape[2]).squeeze(2) for values in found]
        return self.judge.decide(torch.cat(largest, 1), dropout)


def seqgan(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """A straightforward port of the authors' loop: one rollout and one position after another, each written word by
    word with torch.multinomial; then an update of the generator and one of the discriminator. items: an oracle's."""
    writer, judged, c = method.generator, Published(method.discriminator), method.config
    old, judge = copy.deepcopy(writer), nn.BCEWithLogitsLoss()
    adam_g = torch.optim.Adam(writer.parameters(), lr=1e-2)
    adam_d = torch.optim.Adam(judged.parameters(), lr=1e-4)
    loader, step = DataLoader(TensorDataset(items["tokens"]), batch_size=batch, shuffle=True, drop_last=True), 0

    def written(policy: nn.Module, given: Tensor) -> Tensor:
        """Lines [B,T] that begin with the words given [B,t]."""
        word, state, words = torch.zeros(batch, dtype=torch.long), policy.blank(batch), []
        for t in range(c.length):
            state = policy.step(word, state)
            word = given[:, t] if t < given.shape[1] else torch.multinomial(policy.out(state[0]).softmax(1), 1)[:, 0]
            words.append(word)
        return torch.stack(words, 1)

    while True:
        for (real,) in loader:
            with torch.no_grad():
                made = written(writer, real[:, :0])
                rewards = torch.zeros(batch, c.length)
                for _ in range(c.rollouts):
                    for t in range(1, c.length):
                        rewards[:, t - 1] += judged(written(old, made[:, :t])).sigmoid()
                    rewards[:, -1] += judged(made).sigmoid()
                rewards /= c.rollouts
            adam_g.zero_grad()
            loss_g = (method.nll(made) * rewards).sum()
            loss_g.backward()
            nn.utils.clip_grad_norm_(writer.parameters(), 5.0)
            adam_g.step()
            for mine, theirs in zip(old.parameters(), writer.parameters(), strict=True):
                mine.data.mul_(0.8).add_(theirs.data, alpha=0.2)
            with torch.no_grad():
                made = written(writer, real[:, :0])
            adam_d.zero_grad()
            said_real, said_made = judged(real, c.dropout), judged(made, c.dropout)
            loss_d = judge(said_real, torch.ones_like(said_real)) + judge(said_made, torch.zeros_like(said_made))
            loss_d.backward()
            adam_d.step()
            if step % EVERY == 0:
                look(loss_g, loss_d)
            step += 1
            yield


def music_vae(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """A VAE of events with torch's own LSTM layers, which on a CPU are oneDNN's fused ones, over whole sequences."""
    adam = torch.optim.Adam(method.parameters(), lr=1e-3)
    loader, step = DataLoader(TensorDataset(items["events"]), batch_size=batch, shuffle=True, drop_last=True), 0
    while True:
        for (events,) in loader:
            adam.zero_grad()
            mean, log_variance = method.encoder(events)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            (logits,) = method.logits(z, events)
            distortion = nn.functional.cross_entropy(logits.flatten(0, 1), events.flatten(), reduction="sum")
            kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = (distortion + 0.2 * kl) / len(events)
            loss.backward()
            nn.utils.clip_grad_norm_(method.parameters(), 1.0)
            adam.step()
            if step % EVERY == 0:
                look(loss)
            step += 1
            yield


def cut(images: Tensor, size: int) -> Tensor:
    """A random square of each image [B,C,H,W], mirrored or not."""
    found = []
    for image in images:
        top, left = (random.randint(0, side - size) for side in image.shape[1:])
        piece = image[:, top : top + size, left : left + size]
        found.append(piece.flip(2) if random.random() < 0.5 else piece)
    return torch.stack(found)


def pooled(pool: list[Tensor], images: Tensor, size: int = 50) -> Tensor:
    """Half of the images as they are, for the others earlier ones (Shrivastava 2016, section 2.3)."""
    found = []
    for image in images:
        if len(pool) < size:
            pool.append(image)
        elif random.random() < 0.5:
            place = random.randrange(size)
            image, pool[place] = pool[place], image
        found.append(image)
    return torch.stack(found)


def look(*losses: Tensor) -> list[float]:
    """What is printed; here only read, so that the output stays in order."""
    return [loss.item() for loss in losses]
