"""DCGAN.   B batch, Z latent dimensions, C channels, H = W pixels; images [B,C,H,W] in [-1,1], logits [B]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from reverie.core.constraints import Count, CountOrNone, Decay, NonNegative, Positive, PowerOfTwo, Range
from reverie.core.diagnostics import diagnostics
from reverie.core.generation import Items, generate_images, map_images, select_items
from reverie.core.interpolation import interpolate_images, slerp
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Image
from reverie.nn import losses
from reverie.nn.dcgan_blocks import GENERATORS, default_base_channels, default_size, init_weights, layer_channels
from reverie.nn.feature_discriminator import (
    FrozenFeatures,
    ProjectedDiscriminator,
    ThumbnailHead,
    discriminator_loss,
    generator_loss,
    per_image,
    resolve_discriminator,
)
from reverie.transforms.augment import diff_augment, geometric_diff_augment, random_flip_and_shift
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise


class DCGAN(Method):
    """Image generation from noise with a deep convolutional GAN.

    Radford, Metz, Chintala 2015, arXiv:1511.06434

    The preset paper is theirs. laptop is not: its generator has resize-convolutions, and beside the discriminator of
    pixels there are one of thumbnails and one that sees with a frozen ImageNet network (Projected GAN, Sauer 2021,
    arXiv:2111.01007): heads with spectral norm on its maps, no mixing of channels. In equal time its photographs are
    far nearer to real ones.
    """

    data_type = Images
    monitored = {"d_auc": "discriminator_auc", "nn_distance_ratio": "diversity"}

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, PowerOfTwo(16)] | None = None
        """height and width in pixels, a power of two from 16; none: the one that fits the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        latent_dim: Count = 100
        """dimensions of the latent code z (section 4)"""
        base_channels: Count | None = None
        """channels of the largest feature maps; each halving of the side doubles them, up to 8 times. None: 64 at 32
        pixels, 32 at 64 pixels and so on, so that a step takes about the same time"""
        loss: Literal["nonsaturating", "hinge", "leastsquares", "wasserstein", "relativistic"] = "nonsaturating"
        """adversarial loss; the paper's is nonsaturating"""
        upsampling: Literal["transposed", "resize"] = "transposed"
        """of the generator: transposed convolutions, as in the paper, which can leave a checkerboard; or
        nearest-neighbour upsampling and a convolution"""
        discriminator: Literal["pixels", "features", "both", "auto"] = "pixels"
        """what the discriminator sees: pixels, as in the paper; maps of a frozen ImageNet network, each by a small head
        (Projected GAN, Sauer 2021); or both, by a discriminator of each, and one of 8 x 8 thumbnails. auto: both for
        colour and for grey photographs, pixels for drawings in grey, since letters came out more legible"""
        feature_network: str | None = None
        """the first 16 hex digits of the SHA-256 of the frozen network's weights; none: the installed one's"""
        norm: Literal["batch", "spectral", "none"] = "batch"
        """normalisation in the discriminator of pixels; the paper's is batch. With a gradient penalty: spectral or
        none"""
        gp_weight: NonNegative = 0.0
        """weight of the critic's gradient penalty, WGAN-GP (Gulrajani 2017: 10), for the loss wasserstein"""
        r1_weight: NonNegative = 0.0
        """weight of the zero-centred gradient penalty: R1 (Mescheder 2018), for the loss relativistic R1 + R2"""
        d_reg_interval: Count = 1
        """steps from one R1 or R2 penalty to the next, which is weighted by it (lazy regularisation, Karras 2019)"""
        d_steps_per_g: Count = 1
        """discriminator steps per generator step (WGAN: 5)"""
        hflip: bool = False
        """random horizontal flips of training images"""
        shift: Annotated[float, Range(0, 0.5)] = 0.0
        """random shifts of training images, as a share of the side; with hflip, against overfitting of small data"""
        diff_augment: bool = False
        """DiffAugment (Zhao 2020) of real and generated images: for some hundreds or few thousands of images"""
        diff_augment_policy: Literal["paper", "geometric"] = "paper"
        """paper: colour, translation and cutout. geometric: colours stay, and what a translation uncovers is the
        reflected image, not grey: a generator learns neither pale colours nor grey borders"""
        lr: Positive = 2e-4
        """learning rate of Adam (section 4)"""
        beta1: Decay = 0.5
        """Adam's beta1 (section 4)"""
        beta2: Decay = 0.999
        """Adam's beta2"""
        ema_decay: Decay = 0.0
        """decay per step of the generator's moving average (EMA) of weights; 0: none, as in the paper"""
        steps: Count = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            if self.loss == "wasserstein" and not self.gp_weight:
                raise UserError("loss 'wasserstein' needs a Lipschitz critic; give --gp-weight 10 --norm none.")
            if self.loss == "wasserstein" and self.r1_weight:
                raise UserError("loss 'wasserstein' goes with gp_weight; leave r1_weight at 0.")
            if self.loss != "wasserstein" and self.gp_weight:
                raise UserError(f"gp_weight goes with loss 'wasserstein'; with '{self.loss}' give --r1-weight instead.")
            if self.norm == "batch" and (self.gp_weight or self.r1_weight):
                name = "gp_weight" if self.gp_weight else "r1_weight"
                raise UserError(
                    f"{name} needs the gradient at single images, but norm 'batch' mixes them; "
                    "give --norm spectral or none."
                )
            if self.discriminator != "pixels" and self.loss in ("wasserstein", "relativistic"):
                raise UserError(f"loss '{self.loss}' is for discriminator 'pixels' alone; give --loss hinge.")
            if self.discriminator == "features" and self.r1_weight:
                raise UserError(
                    "r1_weight is for a discriminator of pixels; give --discriminator both, or --r1-weight 0."
                )

    presets = {
        "smoke": dict(size=16, latent_dim=16, base_channels=8, batch_size=16),
        "laptop": dict(
            upsampling="resize",
            discriminator="auto",
            loss="hinge",
            norm="none",
            r1_weight=0.5,
            d_reg_interval=16,
            diff_augment=True,
            diff_augment_policy="geometric",
            lr=1e-3,
            beta1=0.0,
            beta2=0.99,
            ema_decay=0.998,
            batch_size=16,
            steps=10_000,
        ),
        "plain": dict(ema_decay=0.999, steps=6_000),
        "stable": dict(
            loss="relativistic",
            norm="none",
            r1_weight=0.01,
            lr=1e-3,
            ema_decay=0.999,
            beta1=0.0,
            beta2=0.99,
            steps=6_000,
        ),
        "low_data": dict(loss="hinge", norm="spectral", diff_augment=True, hflip=True, ema_decay=0.999, steps=10_000),
        "paper": dict(size=64, base_channels=128, batch_size=128, steps=40_000),
    }

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or default_size(facts["native"])
        facts = {**facts, "size": size, "base_channels": default_base_channels(size)}
        return super().resolve_config(*resolve_discriminator(config, facts, grey_photographs=True))

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config
        self.generator = GENERATORS[c.upsampling](c.size, c.channels, c.base_channels, c.latent_dim)
        self.discriminator: nn.Module = Discriminator(c.size, c.channels, c.base_channels, c.norm)
        if c.discriminator != "pixels":
            self.features = FrozenFeatures(c.feature_network)
            both = c.discriminator == "both"
            pixels, thumbnails = (self.discriminator, ThumbnailHead(c.channels)) if both else (None, None)
            self.discriminator = ProjectedDiscriminator(c.size, pixels, thumbnails=thumbnails)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        return {
            "generator": torch.optim.Adam(self.generator.parameters(), c.lr, (c.beta1, c.beta2)),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), c.lr, (c.beta1, c.beta2)),
        }

    def stages(self) -> list[Stage]:
        step = self.step if self.config.discriminator == "pixels" else self.step_with_features
        return [Stage("train", self.config.steps, step)]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        """Trains the discriminator and, at every `d_steps_per_g`-th step, the generator.

        batch: "image" [B,C,H,W] in [-1,1]
        """
        c, D, adversarial = self.config, self.discriminator, losses.ADVERSARIAL_LOSSES[self.config.loss]
        real = random_flip_and_shift(batch["image"], c.hflip, c.shift)  # [B,C,H,W] in [-1,1]
        z = torch.randn(len(real), c.latent_dim, device=real.device)  # [B,Z]
        fake = self.generator(z)

        # (1) Update D: real images are real, generated ones are not.
        x, y = self.augment(real), self.augment(fake.detach())
        reg_step = c.r1_weight > 0 and update.step % c.d_reg_interval == 0
        if reg_step:
            x, y = x.requires_grad_(), y.requires_grad_()
        d_real, d_fake = D(x), D(y)
        loss_d = adversarial.discriminator(d_real, d_fake)
        if c.gp_weight:
            loss_d = loss_d + c.gp_weight * losses.gradient_penalty(D, x, y)
        if reg_step:
            penalty = losses.zero_centred_penalty(d_real, x)  # R1
            if c.loss == "relativistic":
                penalty = penalty + losses.zero_centred_penalty(d_fake, y)  # R2 (R3GAN, Huang 2024)
            loss_d = loss_d + c.d_reg_interval * c.r1_weight * penalty
        metrics = {"loss_d": update("discriminator", loss_d), **diagnostics(d_real, d_fake, real, fake)}

        # (2) Update G: D should take generated images for real.
        if update.step % c.d_steps_per_g == c.d_steps_per_g - 1:
            d_real = D(self.augment(real)) if adversarial.paired else None
            metrics["loss_g"] = update("generator", adversarial.generator(D(self.augment(fake)), d_real))
        return metrics

    def step_with_features(self, batch: Batch, update: Update) -> Metrics:
        """As step, with discriminators that see maps of the frozen network (Sauer 2021, eq. 4), and pixels or not.

        Maps and augmentation of the generated images are the same for both updates: neither depends on D's weights.
        """
        c, D, adversarial = self.config, self.discriminator, losses.ADVERSARIAL_LOSSES[self.config.loss]
        real = random_flip_and_shift(batch["image"], c.hflip, c.shift)  # [B,C,H,W] in [-1,1]
        fake = self.generator(torch.randn(len(real), c.latent_dim, device=real.device))
        x, y = self.augment(real), self.augment(fake)
        with torch.no_grad():
            real_maps = self.features(x)
        fake_maps = self.features(y)

        # (1) Update D: each head tells real images from generated ones.
        reg_step = c.r1_weight > 0 and update.step % c.d_reg_interval == 0
        x = x.requires_grad_() if reg_step else x
        d_real, d_fake = D(real_maps, x), D([m.detach() for m in fake_maps], y.detach())
        loss_d = discriminator_loss(adversarial, d_real, d_fake)
        if reg_step:  # of pixels alone
            loss_d = loss_d + c.d_reg_interval * c.r1_weight * losses.zero_centred_penalty(d_real[-1], x)
        logits = per_image(d_real), per_image(d_fake)
        metrics = {"loss_d": update("discriminator", loss_d), **diagnostics(*logits, real, fake)}

        # (2) Update G: every head should take generated images for real.
        if update.step % c.d_steps_per_g == c.d_steps_per_g - 1:
            metrics["loss_g"] = update("generator", generator_loss(adversarial, None, D(fake_maps, y)))
        return metrics

    def augment(self, x: Tensor) -> Tensor:
        """Real or generated images [B,C,H,W] as the discriminator gets them."""
        policy = diff_augment if self.config.diff_augment_policy == "paper" else geometric_diff_augment
        return policy(x) if self.config.diff_augment else x

    @verb
    def generate(self, n: Count = 64, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images from noise.

        n: number of images
        seed: image i depends on (seed, i) alone
        """
        yield from generate_images(self.generator, self.latents(seed), select_items(items, n))

    @verb
    def interpolate(self, n: Count = 8, frames: Count = 10, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """Rows of images between two generated ones: spherical interpolation of z (section 6.1).

        n: number of rows; row r goes from image 2r to image 2r + 1 of `generate` with the same seed
        frames: images per row, both ends included
        seed: as in generate
        """
        yield from interpolate_images(self.generator, self.latents(seed), None, n, frames, items, slerp)

    @verb
    def reconstruct(self, images: list[Image], iterations: CountOrNone = 300, seed: int = 0) -> Iterator[Image]:
        """GAN inversion: the generated image nearest to each given one, by gradient descent on z.

        images: images to reconstruct
        iterations: steps of Adam on the mean squared error of pixels; 0: none
        seed: of the z that the descent starts from
        """

        def invert(x: Tensor) -> Tensor:
            """[B,C,H,W] -> G(z) [B,C,H,W] for the z that was found."""
            # All images start from one z, so that a result does not depend on the others in its batch.
            z = noise(seed, [0] * len(x), self.config.latent_dim, device=self.device)
            with torch.enable_grad():
                z.requires_grad_()
                adam = torch.optim.Adam([z], 0.05)
                for _ in range(iterations):
                    mse = (self.generator(z) - x).square().flatten(1).mean(1)  # [B]
                    # A weak normal prior keeps |z| near that of training.
                    (grad,) = torch.autograd.grad((mse + 1e-4 * z.square().mean(1)).sum(), z)
                    z.grad = grad
                    adam.step()
            return self.generator(z.detach())

        yield from map_images(invert, images, self.config.size, self.config.channels, self.device)

    def latents(self, seed: int) -> Callable[[Sequence[int]], Tensor]:
        """A function from item numbers to their z [len(items),Z], standard normal."""
        return lambda items: noise(seed, items, self.config.latent_dim, device=self.device)


class Discriminator(nn.Module):
    """Images [B,C,H,W] -> logits [B]: strided convolutions down to 4x4, then one of 4x4 (section 3)."""

    def __init__(self, size: int, channels: int, base_channels: int, norm: str) -> None:
        super().__init__()
        widths = layer_channels(size, base_channels)
        maybe_spectral_norm = spectral_norm if norm == "spectral" else nn.Identity()
        batch_norm = norm == "batch"
        layers: list[nn.Module] = [
            maybe_spectral_norm(nn.Conv2d(channels, widths[0], 4, 2, 1)),
            nn.LeakyReLU(0.2, True),
        ]
        for narrow, wide in pairwise(widths):
            layers.append(maybe_spectral_norm(nn.Conv2d(narrow, wide, 4, 2, 1, bias=not batch_norm)))
            if batch_norm:
                layers.append(nn.BatchNorm2d(wide))
            layers.append(nn.LeakyReLU(0.2, True))
        layers += [maybe_spectral_norm(nn.Conv2d(widths[-1], 1, 4)), nn.Flatten(0)]
        self.layers = nn.Sequential(*layers)
        self.apply(init_weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
