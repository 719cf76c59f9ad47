"""VAE.   B batch, Z latent dimensions, K importance samples, C channels, H = W pixels, D = C*H*W.

Images are [B,C,H,W] in [-1,1]; log-likelihoods are in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.constraints import Count, CountOrNone, Decay, NonNegative, Positive, Range
from reverie.core.diagnostics import active_units
from reverie.core.generation import Items, codes_of, encode_images, generate_images, map_images, select_items
from reverie.core.interpolation import interpolate_images
from reverie.core.lr_schedules import burda, constant, cosine
from reverie.core.method import Method, verb
from reverie.core.options import check_value
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Code, Image, reconstruction_grid
from reverie.metrics.likelihood import independent_bernoulli, independent_levels, likelihood_scores
from reverie.metrics.score import Reference, Score
from reverie.nn.dcgan_blocks import default_base_channels
from reverie.nn.losses import kl_to_standard_normal, log_bernoulli, log_discretised_logistic, log_normal
from reverie.transforms.augment import random_flip_and_shift
from reverie.utils.errors import UserError
from reverie.utils.progress_bar import bar
from reverie.utils.seeding import noise

LR_SCHEDULES = {"constant": constant, "cosine": cosine, "burda": burda}
CACHE_VALUES = 2**18
"""values of decoded images that fit into a CPU's cache"""


class VAE(Method):
    """Variational autoencoder: image generation and latent codes, by maximising a lower bound on the likelihood.

    Kingma & Welling 2013, arXiv:1312.6114; importance-weighted bound: Burda 2015, arXiv:1509.00519
    """

    data_type = Images
    monitored = {"loss": "loss", "active_units": "active_units"}

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, Range(8)] | None = None
        """height and width in pixels, from 8; none: as the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        network: Literal["conv", "mlp"] = "conv"
        """convolutional networks, or MLPs with two tanh layers (Burda 2015, section 5.1)"""
        likelihood: Literal["logistic", "bernoulli"] = "logistic"
        """p(x|z): discretised logistic of 256 levels; or bernoulli, of black and white pixels that are drawn from the
        grey levels at every step (dynamic binarisation)"""
        latent_dim: Count | None = None
        """dimensions of the latent code z. None: 16 for grey, 64 for colour. More give better reconstructions and worse
        new images, since the codes of images then fill less of the prior"""
        base_channels: Count | None = None
        """channels after the first convolution; each halving of the side doubles them. None: 64 at 32 pixels, 32 at 64
        pixels and so on, so that a step takes about the same time"""
        hidden_dim: Count = 200
        """units per hidden layer of the mlp (Burda 2015, section 5.1)"""
        beta: NonNegative = 1.0
        """weight of the KL divergence (beta-VAE, Higgins 2017); other than 1 the loss is no bound on the likelihood"""
        kl_warmup_steps: CountOrNone = 0
        """KL annealing: steps in which beta rises linearly from 0 to its value, against posterior collapse (Bowman
        2015; Sønderby 2016, section 2.2)"""
        free_nats: NonNegative = 0.0
        """free bits, in nats: the KL of each latent dimension below which it is not penalised (Kingma 2016, appendix
        C.8), against posterior collapse"""
        iwae_samples: Count = 1
        """K samples of the importance-weighted bound (Burda 2015, eq. 8); 1 is the ELBO"""
        lr: Positive = 1e-3
        """learning rate of Adam"""
        eps: Positive = 1e-8
        """Adam's epsilon (Burda 2015: 1e-4)"""
        lr_schedule: Literal["constant", "cosine", "burda"] = "constant"
        """learning rate schedule. cosine: down to 0 along half a cosine (Loshchilov & Hutter 2016, eq. 5); burda: times
        10^(-i/7) during 3^i shares of the steps, i = 0..7 (Burda 2015, section 5)"""
        ema_decay: Decay = 0.0
        """decay per step of the moving average (EMA) of all weights; 0: none"""
        hflip: bool = False
        """random horizontal flips of training images"""
        shift: Annotated[float, Range(0, 0.5)] = 0.0
        """random shifts of training images, as a share of the side; with hflip, against overfitting of small data"""
        steps: Count = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            if self.iwae_samples > 1 and (self.beta != 1 or self.free_nats or self.kl_warmup_steps):
                raise UserError(
                    "iwae_samples above 1 has no separate KL; leave beta at 1, free_nats and kl_warmup_steps at 0."
                )

    _mnist = dict(
        size=28, channels=1, network="mlp", likelihood="bernoulli", latent_dim=50,
        checkpoint_every=10_000, sample_every=10_000, log_every=1_000,
    )  # fmt: skip
    _burda = dict(**_mnist, batch_size=20, eps=1e-4, lr_schedule="burda", steps=9_840_000)  # 3,280 epochs of MNIST
    presets = {
        "smoke": dict(size=16, latent_dim=8, base_channels=8, batch_size=16),
        "laptop": dict(ema_decay=0.999, steps=6_000),
        "mlp": dict(**_mnist, batch_size=100, lr=2e-3, lr_schedule="cosine", kl_warmup_steps=30_000, steps=300_000),
        "paper": _burda,
        "iwae": dict(**_burda, iwae_samples=50),
    }

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or min(64, max(8, facts["native"]))
        latent_dim = 16 if (config.channels or facts["channels"]) == 1 else 64
        return super().resolve_config(
            config, {**facts, "size": size, "base_channels": default_base_channels(size), "latent_dim": latent_dim}
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config
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
        return [Stage("train", self.config.steps, self.step, LR_SCHEDULES[self.config.lr_schedule])]

    def ema_decays(self) -> dict[str, float]:
        return {"encoder": self.config.ema_decay, "decoder": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        """Maximises the ELBO or, with `iwae_samples` above 1, the importance-weighted bound.

        batch: "image" [B,C,H,W] in [-1,1]
        """
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
        """The x that is modelled: the image in [-1,1]; for bernoulli black and white pixels drawn from its levels."""
        return torch.bernoulli((image + 1) / 2) if self.config.likelihood == "bernoulli" else image

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B,Z] of q(z|x) for x [B,C,H,W] (see observe)."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(-20, 10)

    def log_likelihood_of(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) [B] in nats for x [B,C,H,W] (see observe) and z [B,Z]."""
        out = self.decoder(z)
        if self.config.likelihood == "bernoulli":
            return log_bernoulli(x, out).flatten(1).sum(1)
        means, log_scales = out.chunk(2, 1)
        return log_discretised_logistic(x, means, log_scales.clamp(-7, 3)).flatten(1).sum(1)

    def mean_image(self, z: Tensor) -> Tensor:
        """The mean of p(x|z) for z [B,Z]: images [B,C,H,W] in [-1,1]."""
        out = self.decoder(z)
        return 2 * out.sigmoid() - 1 if self.config.likelihood == "bernoulli" else out.chunk(2, 1)[0].clamp(-1, 1)

    def log_weights(self, x: Tensor, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
        """log p(x,z) - log q(z|x) [K,B] at z = mean + standard deviation * noise [K,B,Z]."""
        z = mean + (log_variance / 2).exp() * noise
        many = x.expand(len(z), *x.shape).flatten(0, 1)
        log_px = self.log_likelihood_of(many, z.flatten(0, 1)).view(z.shape[:2])
        return log_px + (log_normal(z) - log_normal(z, mean, log_variance)).sum(2)

    # -- scores ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def log_likelihood(self, x: Tensor, k: int = 5000, seed: int = 0, at_once: int = 5000) -> Tensor:
        """L_k, a lower bound on log p(x) [B] in nats, float64, on the CPU; it tightens with k (Burda 2015, eq. 8).

        x: [B,C,H,W] (see observe); k: samples of z per image; at_once: samples of z that are drawn together.
        Shows a progress bar on a terminal.
        """
        draws = torch.Generator(x.device).manual_seed(seed)
        rows, samples = max(1, at_once // k), min(k, at_once)
        counts = [samples] * (k // samples) + [k % samples] * (k % samples > 0)
        bounds = []
        shown = bar(None, len(x), f"L_{k}")
        with shown:
            for part in x.split(rows):
                mean, log_variance = self.posterior(part)
                shapes = [(n, *mean.shape) for n in counts]
                noises = (torch.randn(shape, generator=draws, device=x.device) for shape in shapes)
                log_w = [self.log_weights_cached(part, mean, log_variance, noise) for noise in noises]
                bounds.append(torch.cat(log_w).cpu().double().logsumexp(0) - math.log(k))
                shown.update(len(part))
        return torch.cat(bounds)

    def log_weights_cached(self, x: Tensor, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
        """As log_weights, about twice as fast: few images are decoded at a time, to stay in the CPU's cache."""
        z = mean + (log_variance / 2).exp() * noise  # [K,B,Z]
        log_ratio = (noise.square() + log_variance - z.square()).sum(2) / 2  # log p(z) - log q(z|x)
        at_once = max(16, CACHE_VALUES // x[0].numel())
        log_px = []
        for image, codes in zip(x, z.unbind(1), strict=True):
            if self.config.likelihood == "bernoulli":  # log p(x|z) is linear in x, which is the same for all z
                logits = (self.decoder(part).flatten(1) for part in codes.split(at_once))
                log_px.append(torch.cat([out @ image.flatten() - F.softplus(out).sum(1) for out in logits]))
            else:
                parts = codes.split(at_once)
                log_px.append(torch.cat([self.log_likelihood_of(image.expand(len(p), *image.shape), p) for p in parts]))
        return torch.stack(log_px, 1) + log_ratio

    @torch.no_grad()
    def elbo(self, x: Tensor, seed: int = 0) -> Tensor:
        """log p(x|z) - KL(q(z|x) || p(z)) [B] in nats, float64, on the CPU, with one z from q(z|x) per image.

        x: [B,C,H,W] (see observe)
        """
        draws = torch.Generator(x.device).manual_seed(seed)
        elbos = []
        for part in x.split(250):
            mean, log_variance = self.posterior(part)
            noise = torch.randn(mean.shape, generator=draws, device=x.device)
            log_px = self.log_likelihood_of(part, mean + (log_variance / 2).exp() * noise)
            kl = kl_to_standard_normal(mean, log_variance).sum(1)
            elbos.append(log_px.cpu().double() - kl.cpu().double())
        return torch.cat(elbos)

    @torch.no_grad()
    def num_active_units(self, x: Tensor, threshold: float = 0.01) -> int:
        """Number of latent dimensions whose mean varies over x by more than the threshold (Burda 2015, section 5.2)."""
        means = torch.cat([self.posterior(part)[0] for part in x.split(1000)])
        return int((means.var(0) > threshold).sum()) if len(means) > 1 else 0  # one image varies in nothing

    @torch.no_grad()
    def method_scores(self, data: Images, n: int, seed: int, k: Count = 100) -> Iterator[Score]:
        """Negative log-likelihood, bits/dim, the ELBO and active units, on n images drawn by the seed.

        k: samples of z per image in the bound on its likelihood; 5000 in papers, which takes 50 times as long

        Raises UserError if k is below 1.
        """
        c = self.config
        check_value(k, Count, "k")  # evaluate checks its options; this may be called from Python too
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
            "active units", self.num_active_units(x), f"of {c.latent_dim}", "neither",
            f"latents whose mean in q(z|x) has a variance above 0.01 over {what} (Burda 2015, section 5.2)",
            reference, len(rows), seed, group="likelihood",
        )  # fmt: skip

    # -- verbs -------------------------------------------------------------------------------------------------------

    @verb
    def generate(self, n: Count = 64, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images: the mean of p(x|z) for z from the prior.

        n: number of images
        seed: image i depends on (seed, i) alone
        """
        yield from generate_images(self.mean_image, self.latents(seed), select_items(items, n))

    @verb
    def reconstruct(self, images: list[Image]) -> Iterator[Image]:
        """Each image encoded and decoded.

        images: images to reconstruct
        """
        c = self.config
        yield from map_images(lambda x: self.mean_image(self.code(x)), images, c.size, c.channels, self.device)

    @verb
    def encode(self, images: list[Image]) -> Iterator[Code]:
        """The latent code of each image, the mean of q(z|x), as a table.

        images: images to encode
        """
        c = self.config
        yield from encode_images(self.code, images, c.size, c.channels, self.device)

    @verb
    def interpolate(
        self,
        images: list[Image] | None = None,
        n: Count = 8,
        frames: Count = 10,
        seed: int = 0,
        items: Items = None,
    ) -> Iterator[Image]:
        """Rows of images between two: linear interpolation of their latent codes.

        images: row r goes from image r to image r + 1; none: between new images
        n: number of rows without images; row r goes from image 2r to image 2r + 1 of `generate`
        frames: images per row, both ends included
        seed: as in generate
        """
        c, latents = self.config, self.latents(seed)
        codes = codes_of(self.code, images, c.size, c.channels, self.device)
        yield from interpolate_images(self.mean_image, latents, codes, n, frames, items, sources=images)

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        return {**super().sample_grids(batch), "reconstruction": reconstruction_grid(batch["image"], self.reconstruct)}

    def code(self, image: Tensor) -> Tensor:
        """The mean of q(z|x) [B,Z] of images [B,C,H,W]; for bernoulli x is their grey levels, so nothing is drawn."""
        return self.posterior((image + 1) / 2 if self.config.likelihood == "bernoulli" else image)[0]

    def latents(self, seed: int) -> Callable[[Sequence[int]], Tensor]:
        """A function from item numbers to their z [len(items),Z], standard normal."""
        return lambda items: noise(seed, items, self.config.latent_dim, device=self.device)


def mlp_encoder(shape: tuple[int, int, int], hidden_dim: int, latent_dim: int) -> nn.Module:
    """x [B,C,H,W] -> means and log variances [B,2Z]."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), hidden_dim), nn.Tanh(), nn.Linear(hidden_dim, hidden_dim), nn.Tanh(),
        nn.Linear(hidden_dim, 2 * latent_dim),
    ).apply(glorot)  # fmt: skip


def mlp_decoder(latent_dim: int, hidden_dim: int, shape: tuple[int, int, int]) -> nn.Module:
    """z [B,Z] -> parameters of p(x|z) [B,*shape]."""
    return nn.Sequential(
        nn.Linear(latent_dim, hidden_dim), nn.Tanh(), nn.Linear(hidden_dim, hidden_dim), nn.Tanh(),
        nn.Linear(hidden_dim, math.prod(shape)), nn.Unflatten(1, shape),
    ).apply(glorot)  # fmt: skip


def glorot(layer: nn.Module) -> None:
    """Glorot & Bengio 2010, eq. 16, with biases of 0, as in the code of Burda 2015."""
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
    """z [B,Z] -> parameters of p(x|z) [B,*shape]: three doublings of the side, then cropped to it."""

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
