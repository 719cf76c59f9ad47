"""Hand-written training loops, as tutorials have them, to compare the speed of training with.

Each function is a generator: (method, all items of the data as one batch, batch size) -> one item per training step.
The networks are the method's own (SeqGAN's discriminator as its authors have it); all else is from the tutorials: a
DataLoader over a TensorDataset, torch.optim.Adam, loss.backward() into all parameters, zero_grad, and losses that are
printed now and then.
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
from reverie.transforms.degradations import transfer_colour

LOG_EVERY = 50
"""steps between printed losses"""


def gan(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """The loop of the PyTorch DCGAN tutorial (pytorch.org, "DCGAN Tutorial") on images [N,C,H,W] in [-1,1]."""
    images = items["image"]
    generator, discriminator = method.generator, method.discriminator
    bce, latent_dim = nn.BCEWithLogitsLoss(), method.config.latent_dim
    adam_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loader, step = DataLoader(TensorDataset(images), batch_size=batch, shuffle=True, drop_last=True), 0
    while True:
        for (real,) in loader:
            ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
            discriminator.zero_grad()
            loss_real = bce(discriminator(real), ones)
            loss_real.backward()
            fake = generator(torch.randn(len(real), latent_dim))
            loss_fake = bce(discriminator(fake.detach()), zeros)
            loss_fake.backward()
            adam_d.step()
            generator.zero_grad()
            loss_g = bce(discriminator(fake), ones)
            loss_g.backward()
            adam_g.step()
            if step % LOG_EVERY == 0:
                read_losses(loss_real, loss_fake, loss_g)
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
            if step % LOG_EVERY == 0:
                read_losses(loss)
            step += 1
            yield


def pix2pix(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """As in the authors' code of pix2pix, grey to colour: D is frozen while G is updated, its loss is halved."""
    generator, discriminator, size = method.generator, method.discriminator, method.config.size
    bce, l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()
    adam_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loader, step = DataLoader(TensorDataset(items["b"]), batch_size=batch, shuffle=True, drop_last=True), 0
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    while True:
        for (whole,) in loader:
            real = random_crop(whole, size)
            condition = (real * weights).sum(1, keepdim=True)
            fake = transfer_colour(condition, generator(condition))
            discriminator.requires_grad_(True)
            adam_d.zero_grad()
            logits_fake = discriminator(torch.cat([condition, fake.detach()], 1))
            logits_real = discriminator(torch.cat([condition, real], 1))
            loss_d = 0.5 * (
                bce(logits_fake, torch.zeros_like(logits_fake)) + bce(logits_real, torch.ones_like(logits_real))
            )
            loss_d.backward()
            adam_d.step()
            discriminator.requires_grad_(False)
            adam_g.zero_grad()
            logits = discriminator(torch.cat([condition, fake], 1))
            loss_g = bce(logits, torch.ones_like(logits)) + 100 * l1(fake, real)
            loss_g.backward()
            adam_g.step()
            if step % LOG_EVERY == 0:
                read_losses(loss_d, loss_g)
            step += 1
            yield


def cyclegan(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """As in the authors' code of CycleGAN: both G with both D frozen, then each D with a pool of 50 earlier images."""
    to_a, to_b, size = method.generator_ba, method.generator_ab, method.config.size
    d_a, d_b = method.discriminator_a, method.discriminator_b
    mse, l1 = nn.MSELoss(), nn.L1Loss()
    adam_g = torch.optim.Adam([*to_a.parameters(), *to_b.parameters()], lr=2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam([*d_a.parameters(), *d_b.parameters()], lr=2e-4, betas=(0.5, 0.999))
    data, step = TensorDataset(items["a"], items["b"]), 0
    loader = DataLoader(data, batch_size=batch, shuffle=True, drop_last=True)
    pools: dict[str, list[Tensor]] = {"a": [], "b": []}
    while True:
        for whole_a, whole_b in loader:
            a, b = random_crop(whole_a, size), random_crop(whole_b, size)
            d_a.requires_grad_(False)
            d_b.requires_grad_(False)
            adam_g.zero_grad()
            fake_b, fake_a = to_b(a), to_a(b)
            logits_b, logits_a = d_b(fake_b), d_a(fake_a)
            loss_g = mse(logits_b, torch.ones_like(logits_b)) + mse(logits_a, torch.ones_like(logits_a))
            loss_g = loss_g + 10 * (l1(to_a(fake_b), a) + l1(to_b(fake_a), b))
            loss_g = loss_g + 5 * (l1(to_b(b), b) + l1(to_a(a), a))
            loss_g.backward()
            adam_g.step()
            d_a.requires_grad_(True)
            d_b.requires_grad_(True)
            adam_d.zero_grad()
            losses = []
            for side, discriminator, real, fake in (("a", d_a, a, fake_a), ("b", d_b, b, fake_b)):
                logits_real, logits_fake = discriminator(real), discriminator(pooled(pools[side], fake.detach()))
                loss = mse(logits_real, torch.ones_like(logits_real)) + mse(logits_fake, torch.zeros_like(logits_fake))
                (0.5 * loss).backward()
                losses.append(loss)
            adam_d.step()
            if step % LOG_EVERY == 0:
                read_losses(loss_g, *losses)
            step += 1
            yield


def restoration(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """The loop of a denoising tutorial: patches, Gaussian noise of sigmas up to 55, a noise map, L1 loss."""
    network, size, distance = method.generator, method.config.size, nn.L1Loss()
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)
    loader, step = DataLoader(TensorDataset(items["image"]), batch_size=batch, shuffle=True, drop_last=True), 0
    while True:
        for (whole,) in loader:
            clean = random_crop(whole, size)
            adam.zero_grad()
            sigma = torch.rand(len(clean), 1, 1, 1) * (55 / 127.5)
            loss = distance(network(clean + torch.randn_like(clean) * sigma, sigma), clean)
            loss.backward()
            adam.step()
            if step % LOG_EVERY == 0:
                read_losses(loss)
            step += 1
            yield


class AuthorsTextCNN(nn.Module):
    """SeqGAN's discriminator with its convolutions as in its authors' code and its ports: one input channel, kernels of
    K tokens by E embedding dimensions."""

    def __init__(self, discriminator: Any) -> None:
        super().__init__()
        self.discriminator, self.convs = discriminator, nn.ModuleList()
        for conv in discriminator.convs:
            copied = nn.Conv2d(1, conv.out_channels, (conv.kernel_size[1], conv.in_channels))
            copied.load_state_dict({"weight": conv.weight.permute(0, 2, 3, 1), "bias": conv.bias})
            self.convs.append(copied)
        del discriminator.convs

    def forward(self, tokens: Tensor, dropout: float = 0.0) -> Tensor:
        x = self.discriminator.embedding(tokens)[:, None]  # [B,1,T,E]
        maps = [conv(x).relu().squeeze(3) for conv in self.convs]  # [B,F,P]
        largest = [F.max_pool1d(values, values.shape[2]).squeeze(2) for values in maps]
        return self.discriminator.head(torch.cat(largest, 1), dropout)


def seqgan(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """A straightforward port of the authors' loop: one rollout and one position after another, each sampled token by
    token with torch.multinomial; then an update of the generator and one of the discriminator. items: an oracle's."""
    generator, c = method.generator, method.config
    discriminator = AuthorsTextCNN(method.discriminator)
    rollout_policy, bce = copy.deepcopy(generator), nn.BCEWithLogitsLoss()
    adam_g = torch.optim.Adam(generator.parameters(), lr=1e-2)
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=1e-4)
    loader, step = DataLoader(TensorDataset(items["tokens"]), batch_size=batch, shuffle=True, drop_last=True), 0

    def sample(policy: nn.Module, prefix: Tensor) -> Tensor:
        """Lines [B,T] that begin with prefix [B,t]."""
        token, state, tokens = torch.zeros(batch, dtype=torch.long), policy.initial_state(batch), []
        for t in range(c.length):
            state = policy.step(token, state)
            if t < prefix.shape[1]:
                token = prefix[:, t]
            else:
                token = torch.multinomial(policy.output(state[0]).softmax(1), 1)[:, 0]
            tokens.append(token)
        return torch.stack(tokens, 1)

    while True:
        for (real,) in loader:
            with torch.no_grad():
                fake = sample(generator, real[:, :0])
                rewards = torch.zeros(batch, c.length)
                for _ in range(c.rollouts):
                    for t in range(1, c.length):
                        rewards[:, t - 1] += discriminator(sample(rollout_policy, fake[:, :t])).sigmoid()
                    rewards[:, -1] += discriminator(fake).sigmoid()
                rewards /= c.rollouts
            adam_g.zero_grad()
            loss_g = (method.nll(fake) * rewards).sum()
            loss_g.backward()
            nn.utils.clip_grad_norm_(generator.parameters(), 5.0)
            adam_g.step()
            for old, new in zip(rollout_policy.parameters(), generator.parameters(), strict=True):
                old.data.mul_(0.8).add_(new.data, alpha=0.2)
            with torch.no_grad():
                fake = sample(generator, real[:, :0])
            adam_d.zero_grad()
            logits_real, logits_fake = discriminator(real, c.dropout), discriminator(fake, c.dropout)
            loss_d = bce(logits_real, torch.ones_like(logits_real)) + bce(logits_fake, torch.zeros_like(logits_fake))
            loss_d.backward()
            adam_d.step()
            if step % LOG_EVERY == 0:
                read_losses(loss_g, loss_d)
            step += 1
            yield


def music_vae(method: Method, items: dict[str, Tensor], batch: int) -> Iterator[None]:
    """A VAE of events with torch.nn.LSTM, which on a CPU uses oneDNN's fused kernels, over whole sequences."""
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
            if step % LOG_EVERY == 0:
                read_losses(loss)
            step += 1
            yield


def random_crop(images: Tensor, size: int) -> Tensor:
    """A random square of each image [B,C,H,W], half of them flipped horizontally."""
    crops = []
    for image in images:
        top, left = (random.randint(0, side - size) for side in image.shape[1:])
        crop = image[:, top : top + size, left : left + size]
        crops.append(crop.flip(2) if random.random() < 0.5 else crop)
    return torch.stack(crops)


def pooled(pool: list[Tensor], images: Tensor, size: int = 50) -> Tensor:
    """Half of the images as they are, earlier ones in place of the others (Shrivastava 2016, section 2.3)."""
    chosen = []
    for image in images:
        if len(pool) < size:
            pool.append(image)
        elif random.random() < 0.5:
            place = random.randrange(size)
            image, pool[place] = pool[place], image
        chosen.append(image)
    return torch.stack(chosen)


def read_losses(*losses: Tensor) -> list[float]:
    """The losses that a tutorial prints; here they are only read, so as not to print into the benchmark's table."""
    return [loss.item() for loss in losses]
