"""Plain training loops: what a careful beginner writes, as the yardstick. Each step of the iterator is a training step.

The networks are the method's own, as it makes them; all else is from the tutorials: a DataLoader over a tensor data
set, torch.optim.Adam, loss.backward() into everything, zero_grad, the losses printed now and then.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from reverie.method import Method

EVERY = 50
"""steps between looks at the losses"""


def gan(method: Method, images: Tensor, batch: int) -> Iterator[None]:
    """The loop of the PyTorch DCGAN tutorial (pytorch.org, "DCGAN Tutorial") on images [N,C,H,W] in [-1,1]."""
    generator, discriminator = method.generator, method.discriminator
    judge, latent = nn.BCEWithLogitsLoss(), method.config.latent
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


def vae(method: Method, images: Tensor, batch: int) -> Iterator[None]:
    """The loop of PyTorch's VAE example (pytorch/examples, vae) on images [N,1,H,W] in [-1,1], binarised anew."""
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


def look(*losses: Tensor) -> list[float]:
    """What is printed; here only read, so that the output stays in order."""
    return [loss.item() for loss in losses]
