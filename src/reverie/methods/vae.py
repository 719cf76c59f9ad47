"""VAE.   B batch, Z latents, K importance samples, C channels, H = W pixels, D = C*H*W; logs are natural, in nats."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from reverie.core.diagnostics import active_units
from reverie.core.generation import Items, encode_images, generate_images, map_images, select_items
from reverie.core.interpolation import interpolation_rows, lerp, row_endpoints
from reverie.core.lr_schedules import burda, cosine
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Code, Image, comparison_grid
from reverie.metrics.likelihood import independent_bernoulli, independent_levels, likelihood_scores
from reverie.metrics.score import Reference, Score
from reverie.nn.dcgan_blocks import default_base_channels
from reverie.nn.losses import kl_to_standard_normal, log_bernoulli, log_discretised_logistic, log_normal
from reverie.transforms.augment import check_shift, random_flip_and_shift
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise

SCHEDULES = {"constant": Stage.lr_factor, "cosine": cosine, "burda": burda}
CACHED = 2**18
"""numbers of a decoding that stay in a CPU's cache"""


class VAE(Method):
    """Images from a latent code and codes from images, by maximising a bound on the likelihood.

    Kingma & Welling 2013, arXiv:1312.6114; importance-weighted bound: Burda 2015, arXiv:1509.00519
    """

    data_type = Images

    @dataclass(frozen=True)
    class Config:
        size: int | None = None
        """pixels, from 8; none: as the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        network: Literal["conv", "mlp"] = "conv"
        """convolutions, or the two tanh layers of Burda 2015, section 5.1"""
        likelihood: Literal["logistic", "bernoulli"] = "logistic"
        """p(x|z): 256 levels as a discretised logistic; or black and white pixels, drawn anew from the grey levels
        every time (dynamic binarisation: a grey value is not a sample of a Bernoulli)"""
        latent_dim: int | None = None
        """numbers in z. None: 16 for grey, 64 for colour; more give better reconstructions, and worse new images, since
        the codes then fill less of the prior"""
        base_channels: int | None = None
        """channels after the first convolution; each halving of the side doubles them. None: 64 at 32 pixels, 32 at 64
        pixels and so on, so that a step costs about the same"""
        hidden_dim: int = 200
        """units of a layer of the mlp (Burda 2015, section 5.1)"""
        beta: float = 1.0
        """weight of the KL (Higgins 2017); other than 1 the loss is no bound on the likelihood"""
        kl_warmup_steps: int = 0
        """steps in which beta rises from 0 to its value, so that latents are used before they are priced (Bowman 2015;
        Sønderby 2016, section 2.2)"""
        free_nats: float = 0.0
        """nats of KL that each latent has for nothing (Kingma 2016, appendix C.8), against posterior collapse"""
        iwae_samples: int = 1
        """K samples of the importance-weighted bound (Burda 2015, eq. 8); 1 is the ELBO"""
        lr: float = 1e-3
        """learning rate of Adam"""
        eps: float = 1e-8
        """Adam's epsilon (Burda 2015: 1e-4)"""
        lr_schedule: Literal["constant", "cosine", "burda"] = "constant"
        """of the rate. cosine: falls to 0 along half a wave (Loshchilov & Hutter 2016, eq. 5); burda: 10^(-i/7) of it
        during 3^i shares of the steps, i = 0..7 (Burda 2015, section 5)"""
        ema_decay: float = 0.0
        """decay of averaged weights; 0: none"""
        hflip: bool = False
        """mirror training images left to right at random"""
        shift: float = 0.0
        """training images are moved by up to this share of the side at random; both help where images are few"""
        steps: int = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            check_shift(self.shift)
            if self.size is not None and self.size < 8:
                raise UserError(f"size is {self.size}; vae makes squares of 8 pixels or more.")
            counts = (self.latent_dim, self.base_channels, self.hidden_dim, self.iwae_samples)
            if any(count is not None and count < 1 for count in counts):
                raise UserError("latent_dim, base_channels, hidden_dim and iwae_samples must be 1 or more.")
            if self.iwae_samples > 1 and (self.beta != 1 or self.free_nats or self.kl_warmup_steps):
                raise UserError(
                    "iwae_samples above 1 has no separate KL; leave beta at 1, free_nats and kl_warmup_steps at 0."
                )
            if min(self.lr, self.eps) <= 0:
                raise UserError("lr and eps must be above 0.")
            if min(self.beta, self.free_nats, self.kl_warmup_steps) < 0:
                raise UserError("beta, free_nats and kl_warmup_steps must not be negative.")
            if not 0 <= self.ema_decay < 1:
                raise UserError(f"ema_decay is {self.ema_decay}; it is a decay from 0 to below 1, such as 0.999.")

    _mnist = dict(
        size=28, channels=1, network="mlp", likelihood="bernoulli", latent_dim=50,
        checkpoint_every=10_000, sample_every=10_000, log_every=1_000,
    )  # fmt: skip
    _burda = dict(**_mnist, batch_size=20, eps=1e-4, lr_schedule="burda", steps=9_840_000)  # 3,280 epochs of MNIST
    presets = {
        "smoke": dict(
            size=16,
            latent_dim=8,
            base_channels=8,
            batch_size=16,
        ),
        "laptop": dict(ema_decay=0.999, steps=6_000),
        "mlp": dict(**_mnist, batch_size=100, lr=2e-3, lr_schedule="cosine", kl_warmup_steps=30_000, steps=300_000),
        "paper": _burda,
        "iwae": dict(**_burda, iwae_samples=50),
    }

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, int]) -> Config:
        size = config.size or min(64, max(8, facts["native"]))
        latent_dim = 16 if (config.channels or facts["channels"]) == 1 else 64
        return super().resolve_config(
            config, {**facts, "size": size, "base_channels": default_base_channels(size), "latent_dim": latent_dim}
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        shape = (c.channels, c.size, c.size)
        outputs = shape[0] if c.likelihood == "bernoulli" else 2 * shape[0]  # logits, or means and log scales
        if c.network == "mlp":
            self.encoder: nn.Module = mlp_encoder(shape, c.hidden_dim, c.latent_dim)
            self.decoder: nn.Module = mlp_decoder(c.latent_dim, c.hidden_dim, (outputs, *shape[1:]))
        else:
            self.encoder = ConvEncoder(shape, c.base_channels, c.latent_dim)
            self.decoder = ConvDecoder(c.latent_dim, c.base_channels, (outputs, *shape[1:]))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"vae": torch.optim.Adam(self.parameters(), self.config.lr, eps=self.config.eps, fused=True)}

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, SCHEDULES[self.config.lr_schedule])]

    def ema_decays(self) -> dict[str, float]:
        return {"encoder": self.config.ema_decay, "decoder": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        c = self.config
        x = self.observe(random_flip_and_shift(batch["image"], c.hflip, c.shift))  # [B,C,H,W], in {0,1} or [-1,1]
        mean, log_variance = self.posterior(x)  # [B,Z]
        if c.iwae_samples > 1:
            log_w = self.log_weights(x, mean, log_variance, torch.randn(c.iwae_samples, *mean.shape, device=x.device))
            bound = log_w.logsumexp(0) - math.log(c.iwae_samples)  # [B]; eq. 8
            return {"loss": update("vae", -bound.mean()), **active_units(mean)}

        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)  # section 2.4
        distortion = -self.log_likelihood_of(x, z).mean()
        kl = kl_to_standard_normal(mean, log_variance).mean(0)  # [Z]
        beta = c.beta * min(1.0, update.step / c.kl_warmup_steps) if c.kl_warmup_steps else c.beta
        loss = update("vae", distortion + beta * kl.clamp_min(c.free_nats).sum())
        return {"loss": loss, "distortion": distortion, "kl": kl.sum(), **active_units(mean)}

    # -- the model -------------------------------------------------------------------------------------------------

    def observe(self, image: Tensor) -> Tensor:
        """What is modelled: the image in [-1,1], or for bernoulli black and white drawn from its levels."""
        return torch.bernoulli((image + 1) / 2) if self.config.likelihood == "bernoulli" else image

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B,Z] of q(z|x) for observed x."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(-20, 10)

    def log_likelihood_of(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) [B] for x [B,C,H,W] and z [B,Z]."""
        out = self.decoder(z)
        if self.config.likelihood == "bernoulli":
            return log_bernoulli(x, out).flatten(1).sum(1)
        means, log_scales = out.chunk(2, 1)
        return log_discretised_logistic(x, means, log_scales.clamp(-7, 3)).flatten(1).sum(1)

    def expected(self, z: Tensor) -> Tensor:
        """The mean image [B,C,H,W] in [-1,1] of p(x|z)."""
        out = self.decoder(z)
        return 2 * out.sigmoid() - 1 if self.config.likelihood == "bernoulli" else out.chunk(2, 1)[0].clamp(-1, 1)

    def log_weights(self, x: Tensor, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
        """log p(x,z) - log q(z|x) [K,B] at z = mean + deviation * noise [K,B,Z]."""
        z = mean + (log_variance / 2).exp() * noise
        many = x.expand(len(z), *x.shape).flatten(0, 1)
        log_px = self.log_likelihood_of(many, z.flatten(0, 1)).view(z.shape[:2])
        return log_px + (log_normal(z) - log_normal(z, mean, log_variance)).sum(2)

    # -- what it is worth --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def log_likelihood(self, x: Tensor, k: int = 5000, seed: int = 0, at_once: int = 5000) -> Tensor:
        """L_k, a lower bound on log p(x) [B] in nats, float64, on the CPU; it tightens with k (Burda 2015, eq. 8).

        x: observed images (see observe); at_once: samples of z drawn in one go. On a terminal a bar shows progress.
        """
        draws = torch.Generator(x.device).manual_seed(seed)
        rows, samples = max(1, at_once // k), min(k, at_once)
        counts = [samples] * (k // samples) + [k % samples] * (k % samples > 0)
        bounds = []
        bar = tqdm(total=len(x), desc=f"L_{k}", unit=" images", delay=1, disable=None, leave=False, file=sys.stderr)
        with bar:
            for part in x.split(rows):
                mean, log_variance = self.posterior(part)
                shapes = [(n, *mean.shape) for n in counts]
                noises = (torch.randn(shape, generator=draws, device=x.device) for shape in shapes)
                log_w = [self.weigh(part, mean, log_variance, noise) for noise in noises]
                bounds.append(torch.cat(log_w).cpu().double().logsumexp(0) - math.log(k))
                bar.update(len(part))
        return torch.cat(bounds)

    def weigh(self, x: Tensor, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
        """As log_weights, about twice as fast and without gradients: a decoding is used up while it is in the cache."""
        z = mean + (log_variance / 2).exp() * noise  # [K,B,Z]
        log_ratio = (noise.square() + log_variance - z.square()).sum(2) / 2  # log p(z) - log q(z|x)
        at_once = max(16, CACHED // x[0].numel())
        log_px = []
        for image, codes in zip(x, z.unbind(1), strict=True):
            if self.config.likelihood == "bernoulli":  # log p(x|z) is linear in x, which is the same for all z
                logits = (self.decoder(part).flatten(1) for part in codes.split(at_once))
                log_px.append(torch.cat([out @ image.flatten() - F.softplus(out).sum(1) for out in logits]))
            else:
                parts = codes.split(at_once)
                log_px.append(torch.cat([self.log_likelihood_of(image.expand(len(p), *image.shape), p) for p in parts]))
        return torch.stack(log_px, 1) + log_ratio

    def bits_per_dim(self, log_likelihood: Tensor) -> Tensor:
        """Bits for each of the D numbers of an image, from nats for the whole [B]."""
        c = self.config
        return -log_likelihood / (math.log(2) * c.channels * c.size**2)

    @torch.no_grad()
    def elbo(self, x: Tensor, seed: int = 0) -> Tensor:
        """log p(x|z) - KL(q(z|x) || p(z)) [B] in nats, float64, on the CPU, with one z from q(z|x) for each image."""
        draws = torch.Generator(x.device).manual_seed(seed)
        found = []
        for part in x.split(250):
            mean, log_variance = self.posterior(part)
            noise = torch.randn(mean.shape, generator=draws, device=x.device)
            log_px = self.log_likelihood_of(part, mean + (log_variance / 2).exp() * noise)
            kl = kl_to_standard_normal(mean, log_variance).sum(1)
            found.append(log_px.cpu().double() - kl.cpu().double())
        return torch.cat(found)

    @torch.no_grad()
    def active_units(self, x: Tensor, threshold: float = 0.01) -> int:
        """How many latents answer to the data: variance of their mean over x above the threshold (Burda 2015, 5.2)."""
        means = torch.cat([self.posterior(part)[0] for part in x.split(1000)])
        return int((means.var(0) > threshold).sum())

    @torch.no_grad()
    def method_scores(self, data: Images, n: int, seed: int, k: int = 100) -> Iterator[Score]:
        """Negative log-likelihood, bits/dim, the ELBO and active units, on n images drawn by the seed.

        k: samples of z for an image in the bound on its likelihood; 5000 in papers, which takes 50 times as long
        """
        c = self.config
        if k < 1:
            raise UserError(f"k is {k}; it must be 1 or more.")
        rows = np.sort(np.random.Generator(np.random.Philox(key=[seed, len(data)])).permutation(len(data))[:n])
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            x = self.observe(data.batch(rows)["image"]).to(self.device)
        train = data if data.split == "train" else Images.open(data.spec, "train").prepare(c.size, c.channels)
        if c.likelihood == "bernoulli":
            trivial = independent_bernoulli(train.array, x)
            what = "black and white images, drawn once from the grey levels by the seed"
        else:
            trivial, what = independent_levels(train.array, data.array[rows]), "images of 256 levels"
        bound, elbo, reference = self.log_likelihood(x, k, seed), self.elbo(x, seed), Reference.of(data, len(rows))
        yield from likelihood_scores(bound, elbo, trivial, k, x[0].numel(), what, reference, seed)
        yield Score(
            "active units", self.active_units(x), f"of {c.latent_dim}", "higher",
            f"latents whose mean in q(z|x) has a variance above 0.01 over {what} (Burda 2015, section 5.2)",
            reference, len(rows), seed, group="likelihood",
        )  # fmt: skip

    # -- what users do -----------------------------------------------------------------------------------------------

    @verb
    def generate(self, n: int = 64, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images: the mean of p(x|z) for z from the prior.

        n: how many
        seed: image i depends on (seed, i) alone
        """
        yield from generate_images(self.expected, self.latents(seed), select_items(items, n))

    @verb
    def reconstruct(self, images: list[Image]) -> Iterator[Image]:
        """Each image encoded and decoded again.

        images: pictures
        """
        c = self.config
        yield from map_images(lambda x: self.expected(self.code(x)), images, c.size, c.channels, self.device)

    @verb
    def encode(self, images: list[Image]) -> Iterator[Code]:
        """The code of each picture, the mean of q(z|x), as a table.

        images: pictures
        """
        c = self.config
        yield from encode_images(self.code, images, c.size, c.channels, self.device)

    @verb
    def interpolate(
        self,
        images: list[Image] | None = None,
        n: int = 8,
        steps: int = 10,
        seed: int = 0,
        items: Items = None,
    ) -> Iterator[Image]:
        """Walks from one image to another, in rows.

        images: pictures; row r goes from picture r to picture r + 1
        n: without pictures, how many rows; row r goes from image 2r to image 2r + 1 of `generate`
        steps: images in a row, both ends included
        seed: as in generate
        """
        c, codes = self.config, None
        if images:
            codes = self.code(Image.to_tensor(images, c.size, c.channels).to(self.device))
            n = len(images) - 1
        ends = row_endpoints(self.latents(seed), codes)
        for image in interpolation_rows(self.expected, ends, lerp, select_items(items, n, steps), steps):
            yield image.made_from(*(images or ()))

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Samples, and rows of first images above their reconstructions."""
        real = list(Image.from_tensor(batch["image"][:16]))
        made = self.reconstruct(real)
        return {
            **super().sample_grids(batch),
            "reconstruction": comparison_grid(real, made),
        }

    def code(self, image: Tensor) -> Tensor:
        """The mean of q(z|x) [B,Z]; for bernoulli x is the levels themselves, so that nothing is drawn."""
        return self.posterior((image + 1) / 2 if self.config.likelihood == "bernoulli" else image)[0]

    def latents(self, seed: int) -> Callable[[Sequence[int]], Tensor]:
        """items -> z [len(items),Z]"""
        return lambda items: noise(seed, items, self.config.latent_dim, device=self.device)


def mlp_encoder(shape: tuple[int, int, int], hidden: int, latent_dim: int) -> nn.Module:
    """x [B,C,H,W] -> means and log variances [B,2Z]."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(),
        nn.Linear(hidden, 2 * latent_dim),
    ).apply(glorot)  # fmt: skip


def mlp_decoder(latent_dim: int, hidden: int, shape: tuple[int, int, int]) -> nn.Module:
    """z [B,Z] -> parameters of p(x|z) [B,*shape]."""
    return nn.Sequential(
        nn.Linear(latent_dim, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(),
        nn.Linear(hidden, math.prod(shape)), nn.Unflatten(1, shape),
    ).apply(glorot)  # fmt: skip


def glorot(layer: nn.Module) -> None:
    """Glorot & Bengio 2010, eq. 16, and no bias, as Burda's authors begin."""
    if isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


class ConvEncoder(nn.Sequential):
    """x [B,C,H,W] -> means and log variances [B,2Z]: three halvings of the side."""

    def __init__(self, shape: tuple[int, int, int], base_channels: int, latent_dim: int) -> None:
        side = -(-shape[1] // 8)
        layers: list[nn.Module] = []
        for narrow, wide in (
            (shape[0], base_channels),
            (base_channels, 2 * base_channels),
            (2 * base_channels, 4 * base_channels),
        ):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.GroupNorm(1, wide), nn.SiLU()]
        padded = nn.ReplicationPad2d((0, 8 * side - shape[1], 0, 8 * side - shape[1]))  # to a multiple of 8
        super().__init__(padded, *layers, nn.Flatten(), nn.Linear(4 * base_channels * side**2, 2 * latent_dim))


class ConvDecoder(nn.Module):
    """z [B,Z] -> parameters of p(x|z) [B,*shape]: three doublings, cut to the side."""

    def __init__(self, latent_dim: int, base_channels: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.side, side = shape[1], -(-shape[1] // 8)
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, 4 * base_channels * side**2),
            nn.Unflatten(1, (4 * base_channels, side, side)),
        ]
        for wide, narrow in (
            (4 * base_channels, 2 * base_channels),
            (2 * base_channels, base_channels),
            (base_channels, shape[0]),
        ):
            layers += [nn.GroupNorm(1, wide), nn.SiLU(), nn.ConvTranspose2d(wide, narrow, 4, 2, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)[:, :, : self.side, : self.side]
