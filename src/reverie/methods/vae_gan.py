"""VAE/GAN.   B batch, Z latent dimensions, K classes, C channels, H = W pixels.

Images are [B,C,H,W] in [-1,1], logits [B].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from reverie.core.constraints import Count, Decay, NonNegative, Positive, PowerOfTwo, Range
from reverie.core.diagnostics import active_units, diagnostics
from reverie.core.generation import Items, codes_of, encode_images, generate_images, map_images, select_items
from reverie.core.interpolation import edit_images, interpolate_images
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Code, Image, reconstruction_grid
from reverie.nn import losses
from reverie.nn.dcgan_blocks import (
    GENERATORS,
    NORMS,
    ConvTrunk,
    default_base_channels,
    default_size,
    trunk_discriminator,
)
from reverie.nn.feature_discriminator import (
    FrozenFeatures,
    ProjectedDiscriminator,
    check_penalty,
    discriminator_loss,
    generator_loss,
    logits_and_features,
    per_image,
    pixel_penalty,
    resolve_discriminator,
)
from reverie.nn.latent_directions import ClassMeans, direction_vector
from reverie.transforms.augment import geometric_diff_augment, paired_diff_augment, random_flip_and_shift
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise


class VAEGAN(Method):
    """VAE whose reconstruction error is measured in a discriminator's features: sharp images, and codes to edit.

    Larsen, Sønderby, Larochelle, Winther 2015, arXiv:1512.09300

    The preset paper is theirs. laptop is not: its decoder has resize-convolutions, and of colour images both the
    discriminator and the reconstruction error see with a frozen ImageNet network too (Projected GAN, Sauer 2021,
    arXiv:2111.01007; perceptual losses, Johnson 2016, arXiv:1603.08155).
    """

    data_type = Images
    monitored = {
        "d_auc": "discriminator_auc",
        "nn_distance_ratio": "diversity",
        "active_units": "active_units",
    }

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, PowerOfTwo(16)] | None = None
        """height and width in pixels, a power of two from 16; none: the one that fits the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        class_names: tuple[str, ...] | None = None
        """names of the classes, towards which `edit` can change an image; none: as the data, if it has labels"""
        latent_dim: Count | None = None
        """dimensions of the latent code z. None: 16 for grey, 128 for colour, as in the paper"""
        base_channels: Count | None = None
        """channels of the largest feature maps; each halving of the side doubles them, up to 8 times. None: 64 at 32
        pixels, 32 at 64 pixels and so on, so that a step takes about the same time"""
        upsampling: Literal["transposed", "resize"] = "transposed"
        """of the decoder: transposed convolutions, as in the paper, which can leave a checkerboard; or
        nearest-neighbour upsampling and a convolution"""
        discriminator: Literal["pixels", "features", "both", "auto"] = "pixels"
        """what the discriminator sees: pixels, as in the paper; maps of a frozen ImageNet network (Projected GAN, Sauer
        2021); or both. With maps, reconstructions are compared in them and in pixels. auto: both for colour and for
        grey photographs, pixels for drawings in grey"""
        feature_network: str | None = None
        """the first 16 hex digits of the SHA-256 of the frozen network's weights; none: the installed one's"""
        loss: Literal["nonsaturating", "hinge", "relativistic"] = "nonsaturating"
        """adversarial loss; the paper's is nonsaturating"""
        norm: Literal["batch", "none"] = "batch"
        """normalisation in the discriminator; the paper's is batch. With r1_weight: none"""
        r1_weight: NonNegative = 0.0
        """weight of the discriminator's zero-centred gradient penalty R1 + R2 (Mescheder 2018); the paper has none"""
        d_reg_interval: Count = 1
        """lazy regularisation: steps from one gradient penalty to the next, each weighted by as many (Karras 2019,
        arXiv:1912.04958, section 3.1)"""
        feature_layer: Count = 2
        """discriminator layer, from 1, whose features the reconstruction error compares (section 3.1: l)"""
        variance: Literal["unit", "optimal"] = "unit"
        """variance of the Gaussian over features. The paper's is unit, so that the scale of the features decides the
        weight of the KL; optimal: the variance that fits the batch (Rybkin 2020, arXiv:2006.13202)"""
        gamma: NonNegative = 1e-3
        """weight of the reconstruction error for the decoder, beside its adversarial loss (section 3.2; the paper's is
        1e-6)"""
        beta: NonNegative = 1.0
        """weight of the KL for the encoder; the paper's is 1"""
        lr: Positive = 2e-4
        """learning rate of Adam (the paper: RMSprop, 3e-4)"""
        beta1: Decay = 0.5
        """Adam's beta1"""
        beta2: Decay = 0.999
        """Adam's beta2"""
        ema_decay: Decay = 0.0
        """decay per step of the moving average (EMA) of encoder and decoder weights; 0: none, as in the paper"""
        diff_augment: bool = False
        """DiffAugment (Zhao 2020) of real and generated images, translation and cutout; an image and its reconstruction
        are moved and cut alike"""
        hflip: bool = False
        """random horizontal flips of training images"""
        shift: Annotated[float, Range(0, 0.5)] = 0.0
        """random shifts of training images, as a share of the side; with hflip, against overfitting of small data"""
        steps: Count = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            check_penalty(self)

    _plain = dict(
        loss="relativistic", norm="none", r1_weight=0.01, d_reg_interval=4, variance="optimal", gamma=1e-2, lr=1e-3,
        beta1=0.0, beta2=0.99, ema_decay=0.999, steps=6_000,
    )  # fmt: skip
    presets = {
        "smoke": dict(size=16, latent_dim=8, base_channels=8, feature_layer=1, batch_size=16),
        "laptop": dict(
            upsampling="resize", discriminator="auto", loss="hinge", norm="none", r1_weight=0.5, d_reg_interval=16,
            variance="optimal", gamma=1e-3, beta=20.0, diff_augment=True, lr=1e-3, beta1=0.0, beta2=0.99,
            ema_decay=0.998, batch_size=16, steps=10_000,
        ),
        "plain": _plain,
        "low_data": {**_plain, "hflip": True, "shift": 1 / 16, "feature_layer": 1, "batch_size": 32},
        "paper": dict(size=64, latent_dim=128, base_channels=64, gamma=1e-6, lr=3e-4, steps=60_000),
    }  # fmt: skip

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or default_size(facts["native"])
        latent_dim = 16 if (config.channels or facts["channels"]) == 1 else 128
        facts = {**facts, "size": size, "base_channels": default_base_channels(size), "latent_dim": latent_dim}
        return super().resolve_config(*resolve_discriminator(config, facts, grey_photographs=True))

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config
        self.encoder = Encoder(c.size, c.channels, c.base_channels, c.latent_dim)
        self.decoder = GENERATORS[c.upsampling](c.size, c.channels, c.base_channels, c.latent_dim)
        self.discriminator: nn.Module = Discriminator(c.size, c.channels, c.base_channels, c.norm, c.feature_layer)
        self.features: FrozenFeatures | None = None
        if c.discriminator != "pixels":
            self.features = FrozenFeatures(c.feature_network)
            pixels = trunk_discriminator(c.size, c.channels, c.base_channels, NORMS[c.norm])
            self.discriminator = ProjectedDiscriminator(c.size, pixels if c.discriminator == "both" else None)
        self.class_means = ClassMeans(len(c.class_names), c.latent_dim) if c.class_names else None

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        networks = {"encoder": self.encoder, "decoder": self.decoder, "discriminator": self.discriminator}
        adam = partial(torch.optim.Adam, lr=c.lr, betas=(c.beta1, c.beta2), fused=True)
        return {name: adam(network.parameters()) for name, network in networks.items()}

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step)]

    def ema_decays(self) -> dict[str, float]:
        return {"encoder": self.config.ema_decay, "decoder": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        """One step of algorithm 1.

        batch: "image" [B,C,H,W] in [-1,1] and, of labelled data, "label" [B]
        """
        c, adversarial = self.config, losses.ADVERSARIAL_LOSSES[self.config.loss]
        x = random_flip_and_shift(batch["image"], c.hflip, c.shift)  # [B,C,H,W] in [-1,1]
        mean, log_variance = self.posterior(x)  # [B,Z]
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        # In one pass, so that batch norm has the same statistics for reconstructions and for images from the prior.
        rec, fake = self.decoder(torch.cat([z, torch.randn_like(mean)])).chunk(2)  # x~ and x_p of the paper

        real = x  # as the discriminator gets them:
        if c.diff_augment:
            real, rec, fake = *paired_diff_augment(x, rec), geometric_diff_augment(fake)
        reg_step = c.r1_weight > 0 and update.step % c.d_reg_interval == 0
        real = real.detach().requires_grad_() if reg_step else real
        D = partial(logits_and_features, self.discriminator, self.features)
        (d_x, features), (d_rec, features_rec), (d_fake, _) = D(real), D(rec), D(fake)
        if self.features is not None:  # which sees little of brightness and colour: pixels are compared too
            features, features_rec = [*features, real], [*features_rec, rec]
        kl = losses.kl_to_standard_normal(mean, log_variance).sum(1).mean()  # L_prior
        feature_nll = self.feature_nll(features, features_rec)
        # L_GAN, the mean over both kinds of generated images
        loss_d = discriminator_loss(adversarial, d_x, d_rec, d_fake)
        if reg_step:  # of pixels alone
            penalty = pixel_penalty(adversarial, (d_x, real), (d_rec, rec), (d_fake, fake))
            loss_d = loss_d + c.d_reg_interval * c.r1_weight * penalty
        loss_g = generator_loss(adversarial, d_x, d_rec, d_fake)
        # Section 3.2: L_like never reaches the discriminator, and L_GAN never the encoder.
        update(
            {
                "encoder": c.beta * kl + feature_nll,
                "decoder": c.gamma * feature_nll + loss_g,
                "discriminator": loss_d,
            }
        )

        if self.class_means is not None:
            self.class_means.update(mean, batch["label"])
        metrics = {"loss_d": loss_d, "loss_g": loss_g, "feature_nll": feature_nll, "kl": kl, **active_units(mean)}
        logits = per_image(d_x), per_image(d_fake)
        return {**{name: value.detach() for name, value in metrics.items()}, **diagnostics(*logits, x, fake)}

    def feature_nll(self, features: Sequence[Tensor], features_rec: Sequence[Tensor]) -> Tensor:
        """L_like: -log N(D_l(x); D_l(x~), variance) but for a constant (eq. 7), summed over an image's features.

        Channels of the frozen network differ in scale by far: of its maps, and the pixels, each has a variance.
        """
        places = () if self.features is None else (0, 2, 3)  # (): all
        terms = []
        for real, rec in zip(features, features_rec, strict=True):
            mse = (real.detach() - rec).square().mean(places)
            terms.append(real[0].numel() / 2 * (mse if self.config.variance == "unit" else mse.log()).mean())
        return torch.stack(terms).sum()

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B,Z] of q(z|x) for images x [B,C,H,W] in [-1,1]."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(-20, 10)

    # -- verbs -------------------------------------------------------------------------------------------------------

    @verb
    def generate(self, n: Count = 64, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images from codes drawn from the prior.

        n: number of images
        seed: image i depends on (seed, i) alone
        """
        yield from generate_images(self.decoder, self.latents(seed), select_items(items, n))

    @verb
    def reconstruct(self, images: list[Image]) -> Iterator[Image]:
        """Each image encoded and decoded.

        images: images to reconstruct
        """
        c = self.config
        yield from map_images(lambda x: self.decoder(self.code(x)), images, c.size, c.channels, self.device)

    @verb
    def encode(self, images: list[Image]) -> Iterator[Code]:
        """The latent code of each image, the mean of q(z|x), as a table.

        images: images to encode
        """
        c = self.config
        yield from encode_images(self.code, images, c.size, c.channels, self.device)

    @verb
    def interpolate(
        self, images: list[Image] | None = None, n: Count = 8, frames: Count = 10, seed: int = 0, items: Items = None
    ) -> Iterator[Image]:
        """Rows of images between two: linear interpolation of their latent codes.

        images: row r goes from image r to image r + 1; none: between new images
        n: number of rows without images; row r goes from image 2r to image 2r + 1 of `generate`
        frames: images per row, both ends included
        seed: as in generate
        """
        c, latents = self.config, self.latents(seed)
        codes = codes_of(self.code, images, c.size, c.channels, self.device)
        yield from interpolate_images(self.decoder, latents, codes, n, frames, items, sources=images)

    @verb
    def edit(
        self,
        images: list[Image] | None = None,
        direction: str = "z1",
        amount: float = 3.0,
        n: Count = 8,
        frames: Count = 7,
        seed: int = 0,
        items: Items = None,
    ) -> Iterator[Image]:
        """Rows of images that change along a direction of the latent space (section 4.2), one row per image.

        images: images to edit; none: new images
        direction: the name of a class, or a principal direction found without labels: z1, z2, ..., strongest first
        amount: length of the change at either end of a row, in standard deviations of z
        n: number of rows without images; row r is about image r of `generate`
        frames: images per row, from -amount to amount; 1: the one at amount
        seed: as in generate
        """
        weight, class_names = self.decoder.first_layer_weight(), self.config.class_names or ()
        change = amount * direction_vector(direction, class_names, self.class_means, weight)
        c, latents = self.config, self.latents(seed)
        codes = codes_of(self.code, images, c.size, c.channels, self.device)
        yield from edit_images(
            self.decoder, latents, codes, lambda z: (z - change, z + change), n, frames, items, sources=images
        )

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        return {**super().sample_grids(batch), "reconstruction": reconstruction_grid(batch["image"], self.reconstruct)}

    def code(self, x: Tensor) -> Tensor:
        """The mean of q(z|x) [B,Z] of images [B,C,H,W]."""
        return self.posterior(x)[0]

    def latents(self, seed: int) -> Callable[[Sequence[int]], Tensor]:
        """A function from item numbers to their z [len(items),Z], standard normal."""
        return lambda items: noise(seed, items, self.config.latent_dim, device=self.device)


class Encoder(nn.Sequential):
    """x [B,C,H,W] -> means and log variances [B,2Z] (table 1)."""

    def __init__(self, size: int, channels: int, base_channels: int, latent_dim: int) -> None:
        trunk = ConvTrunk(size, channels, base_channels, nn.BatchNorm2d)
        super().__init__(trunk, nn.Flatten(), nn.Linear(16 * trunk.channels, 2 * latent_dim))


class Discriminator(nn.Module):
    """x [B,C,H,W] -> logits [B], and the features D_l(x) of its l-th layer, counted from 1."""

    def __init__(self, size: int, channels: int, base_channels: int, norm: str, feature_layer: int) -> None:
        super().__init__()
        trunk = ConvTrunk(size, channels, base_channels, NORMS[norm])
        if feature_layer > len(trunk):
            raise UserError(
                f"feature_layer is {feature_layer}; a discriminator of {size} pixels has {len(trunk)} layers."
            )
        layers = list(trunk)
        self.lower = nn.Sequential(*layers[:feature_layer])
        self.upper = nn.Sequential(
            *layers[feature_layer:], nn.Flatten(), nn.Linear(16 * trunk.channels, 1), nn.Flatten(0)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.lower(x)
        return self.upper(features), features
