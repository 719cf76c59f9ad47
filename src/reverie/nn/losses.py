"""Losses: adversarial losses, gradient penalties, log-likelihoods, KL divergence.

D(x) are logits [B] (no sigmoid); images are [B,C,H,W] in [-1,1]. Adversarial losses and penalties are scalars: means
over the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Adversarial(NamedTuple):
    """An adversarial loss: the discriminator's and the generator's, each of the logits of real and generated items."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    """(D(real), D(fake)) -> loss of the discriminator"""
    generator: Callable[[Tensor, Tensor | None], Tensor]
    """(D(fake), D(real) or None) -> loss of the generator"""
    paired: bool = False
    """whether the generator's loss needs D(real) too"""


def nonsaturating() -> Adversarial:
    """The non-saturating loss (Goodfellow 2014, section 3): G maximises log D(G(z))."""
    return Adversarial(
        lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
        lambda fake, real: F.softplus(-fake).mean(),
    )


def hinge() -> Adversarial:
    """The hinge loss (Lim & Ye 2017; Miyato 2018, eqs. 16-17)."""
    return Adversarial(
        lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        lambda fake, real: -fake.mean(),
    )


def least_squares() -> Adversarial:
    """LSGAN (Mao 2016, eq. 9): D aims at 0 for fake and 1 for real, G at 1."""
    return Adversarial(
        lambda real, fake: 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean(),
        lambda fake, real: 0.5 * ((fake - 1) ** 2).mean(),
    )


def wasserstein() -> Adversarial:
    """WGAN (Arjovsky 2017, eq. 2); the critic must be Lipschitz, for which there is `gradient_penalty`."""
    return Adversarial(lambda real, fake: fake.mean() - real.mean(), lambda fake, real: -fake.mean())


def relativistic() -> Adversarial:
    """The relativistic pairing loss (Jolicoeur-Martineau 2018; RpGAN in R3GAN, Huang 2024, eq. 2)."""

    def generator(fake: Tensor, real: Tensor | None) -> Tensor:
        assert real is not None
        return F.softplus(real - fake).mean()

    return Adversarial(lambda real, fake: F.softplus(fake - real).mean(), generator, paired=True)


ADVERSARIAL_LOSSES = {
    "nonsaturating": nonsaturating(),
    "hinge": hinge(),
    "leastsquares": least_squares(),
    "wasserstein": wasserstein(),
    "relativistic": relativistic(),
}
"""by the value of the option `loss`"""


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """WGAN-GP: the mean of (|gradient of D| - 1)^2 at random points between real and fake [B,C,H,W].

    Gulrajani 2017, arXiv:1704.00028, eq. 3.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()


def zero_centred_penalty(logits: Tensor, *x: Tensor) -> Tensor:
    """Half the mean squared norm of D's gradient at x: R1 on real, R2 on generated x.

    Mescheder 2018, arXiv:1801.04406, eqs. 9-10. logits: D(x) [B]; x: the inputs of D, [B,...] each, of which the
    gradient is taken together. They must require gradients before D(x) is computed.
    """
    slopes = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return 0.5 * torch.cat([slope.flatten(1) for slope in slopes], 1).square().sum(1).mean()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) of each item and dimension, in nats: [B,Z] (Kingma 2013, appendix B)."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)


def log_normal(x: Tensor, mean: Tensor | float = 0.0, log_variance: Tensor | float = 0.0) -> Tensor:
    """log N(x; mean, variance), elementwise, in nats."""
    log_variance = torch.as_tensor(log_variance, dtype=x.dtype, device=x.device)
    return -0.5 * (LOG_2PI + log_variance + (x - mean) ** 2 / log_variance.exp())


LOG_2PI = 1.8378770664093453


def log_bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x) of binary x in {0,1}, elementwise, in nats."""
    return -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")


def log_discretised_logistic(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log of a logistic's mass in the bin of width 2/255 around x in [-1,1], elementwise, in nats.

    The first and last of the 256 bins reach to -infinity and +infinity, so the mass of all bins is one (Kingma 2016,
    appendix C.1; Salimans 2017, section 2.1, with one component).
    """
    centred, inverse = x - mean, (-log_scale).exp()
    upper, lower = inverse * (centred + 1 / 255), inverse * (centred - 1 / 255)
    # log(sigmoid(upper) - sigmoid(lower)) without cancellation: with u > l,
    # = logsigmoid(u) + logsigmoid(-l) + log(1 - exp(l - u))
    width = (upper - lower).clamp_min(1e-12)
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
    return torch.where(x < -0.999, F.logsigmoid(upper), torch.where(x > 0.999, F.logsigmoid(-lower), inside))
