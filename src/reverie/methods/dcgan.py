"""DCGAN.   B batch, Z noise, C channels, H = W pixels; images [B,C,H,W] in [-1,1], logits [B]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from reverie.core.diagnostics import diagnostics
from reverie.core.generation import Items, generate_images, map_images, select_items
from reverie.core.interpolation import interpolation_rows, row_endpoints, slerp
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Image
from reverie.nn import losses
from reverie.nn.dcgan_blocks import Generator, base_channels_for, initialise, maps, size_for
from reverie.transforms.augment import check_shift, diff_augment, random_flip_and_shift
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise

LOSSES = {
    "nonsaturating": losses.nonsaturating(),
    "hinge": losses.hinge(),
    "leastsquares": losses.least_squares(),
    "wasserstein": losses.wasserstein(),
    "relativistic": losses.relativistic(),
}


class DCGAN(Method):
    """Images from noise, with a convolutional generator and discriminator.

    Radford, Metz, Chintala 2015, arXiv:1511.06434
    """

    data_type = Images

    @dataclass(frozen=True)
    class Config:
        size: int | None = None
        """pixels, a power of two from 16; none: the one that fits the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        latent_dim: int = 100
        """numbers in z (section 4)"""
        base_channels: int | None = None
        """channels of the widest maps; each halving of the side doubles them, up to 8 times. None: 64 at 32 pixels,
        32 at 64 pixels and so on, so that a step costs about the same"""
        loss: Literal["nonsaturating", "hinge", "leastsquares", "wasserstein", "relativistic"] = "nonsaturating"
        """what the two adversarial for; the paper's is nonsaturating"""
        norm: Literal["batch", "spectral", "none"] = "batch"
        """normalisation in the discriminator; the paper's is batch. With a penalty: spectral or none"""
        r1_weight: float = 0.0
        """weight of the gradient penalty: |gradient|=1 for wasserstein, R1+R2 for relativistic, else R1"""
        d_steps_per_g: int = 1
        """discriminator steps to one of the generator (Wasserstein: 5)"""
        hflip: bool = False
        """mirror training images left to right at random"""
        shift: float = 0.0
        """training images are moved by up to this share of the side at random; both help where images are few"""
        diff_augment: bool = False
        """differentiable augmentation, for some hundreds or few thousands of images"""
        lr: float = 2e-4
        """learning rate of Adam (section 4)"""
        beta1: float = 0.5
        """Adam's beta1 (section 4)"""
        beta2: float = 0.999
        """Adam's beta2"""
        ema_decay: float = 0.0
        """decay of the generator's averaged weights; 0: none, as in the paper"""
        steps: int = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            check_shift(self.shift)
            if self.size is not None and (self.size < 16 or self.size & (self.size - 1)):
                raise UserError(f"size is {self.size}; dcgan makes squares of 16, 32, 64, 128, 256 ... pixels.")
            if self.r1_weight and self.norm == "batch":
                raise UserError(
                    "r1_weight needs single images, but norm 'batch' mixes them; give --norm spectral or none."
                )
            if self.loss == "wasserstein" and not self.r1_weight:
                raise UserError("loss 'wasserstein' needs a Lipschitz critic; give --r1-weight 10 --norm none.")
            if not 0 <= self.ema_decay < 1:
                raise UserError(f"ema_decay is {self.ema_decay}; it is a decay from 0 to below 1, such as 0.999.")
            if self.lr <= 0 or self.r1_weight < 0:
                raise UserError("lr must be above 0, and r1_weight must not be negative.")
            if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
                raise UserError(f"beta1 and beta2 are {self.beta1} and {self.beta2}; they lie from 0 to below 1.")
            if any(
                count is not None and count < 1 for count in (self.latent_dim, self.base_channels, self.d_steps_per_g)
            ):
                raise UserError("latent_dim, base_channels and d_steps_per_g must be 1 or more.")

    presets = {
        "smoke": dict(
            size=16,
            latent_dim=16,
            base_channels=8,
            batch_size=16,
        ),
        "laptop": dict(ema_decay=0.999, steps=6_000),
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
    def resolve_config(cls, config: Config, facts: dict[str, int]) -> Config:
        size = config.size or size_for(facts["native"])
        return super().resolve_config(config, {**facts, "size": size, "base_channels": base_channels_for(size)})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.generator = Generator(c.size, c.channels, c.base_channels, c.latent_dim)
        self.discriminator = Discriminator(c.size, c.channels, c.base_channels, c.norm)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        return {
            "generator": torch.optim.Adam(self.generator.parameters(), c.lr, (c.beta1, c.beta2)),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), c.lr, (c.beta1, c.beta2)),
        }

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step)]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        c, D, adversarial = self.config, self.discriminator, LOSSES[self.config.loss]
        seen = diff_augment if c.diff_augment else nn.Identity()
        real = random_flip_and_shift(batch["image"], c.hflip, c.shift)  # [B,C,H,W] in [-1,1]
        fake = self.generator(torch.randn(len(real), c.latent_dim, device=real.device))

        x, y = seen(real), seen(fake.detach())
        if c.r1_weight and c.loss != "wasserstein":
            x, y = x.requires_grad_(), y.requires_grad_()
        d_real, d_fake = D(x), D(y)
        d = adversarial.discriminator(d_real, d_fake)
        if c.r1_weight:
            d = d + c.r1_weight * self.gradient_penalty(x, y, d_real, d_fake)
        told = {"d": update("discriminator", d), **diagnostics(d_real, d_fake, real, fake)}

        if update.step % c.d_steps_per_g == c.d_steps_per_g - 1:
            d_real = D(seen(real)) if adversarial.paired else None
            told["g"] = update("generator", adversarial.generator(D(seen(fake)), d_real))
        return told

    def gradient_penalty(self, x: Tensor, y: Tensor, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """The gradient penalty that goes with the loss."""
        if self.config.loss == "wasserstein":
            return losses.gradient_penalty(self.discriminator, x, y)
        r1 = losses.zero_centred_penalty(d_real, x)
        return r1 + losses.zero_centred_penalty(d_fake, y) if self.config.loss == "relativistic" else r1

    @verb
    def generate(self, n: int = 64, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images from noise.

        n: how many
        seed: image i depends on (seed, i) alone
        """
        yield from generate_images(self.generator, self.latents(seed), select_items(items, n))

    @verb
    def interpolate(self, n: int = 8, steps: int = 10, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """Walks from one image to another, in rows.

        n: how many rows; row r goes from image 2r to image 2r + 1 of `generate` with the same seed
        steps: images in a row, both ends included
        seed: as in generate
        """
        ends = row_endpoints(self.latents(seed))
        yield from interpolation_rows(self.generator, ends, slerp, select_items(items, n, steps), steps)

    @verb
    def reconstruct(self, images: list[Image], search: int = 300, seed: int = 0) -> Iterator[Image]:
        """The image nearest to each given one that the generator can make, found by gradient descent on z.

        images: pictures
        search: steps of the search
        seed: where it starts
        """
        if search < 0:
            raise UserError(f"search is {search}; give 0 (no search) or more steps.")

        def invert(x: Tensor) -> Tensor:
            z = noise(seed, [0] * len(x), self.config.latent_dim, device=self.device)  # whatever stands beside it
            with torch.enable_grad():
                z.requires_grad_()
                adam = torch.optim.Adam([z], 0.05)
                for _ in range(search):
                    apart = (self.generator(z) - x).square().flatten(1).mean(1)
                    # z is kept likely: its length near that of the z seen in training
                    (grad,) = torch.autograd.grad((apart + 1e-4 * z.square().mean(1)).sum(), z)
                    z.grad = grad
                    adam.step()
            return self.generator(z.detach())

        yield from map_images(invert, images, self.config.size, self.config.channels, self.device)

    def latents(self, seed: int) -> Callable[[Sequence[int]], Tensor]:
        """items -> z [len(items),Z]"""
        return lambda items: noise(seed, items, self.config.latent_dim, device=self.device)


class Discriminator(nn.Module):
    """Images [B,C,H,W] -> logits [B]: strided down to 4x4 (section 3)."""

    def __init__(self, size: int, channels: int, base_channels: int, norm: str) -> None:
        super().__init__()
        widths = maps(size, base_channels)
        maybe_spectral_norm = spectral_norm if norm == "spectral" else nn.Identity()
        batch = norm == "batch"
        layers: list[nn.Module] = [
            maybe_spectral_norm(nn.Conv2d(channels, widths[0], 4, 2, 1)),
            nn.LeakyReLU(0.2, True),
        ]
        for narrow, wide in pairwise(widths):
            layers += [maybe_spectral_norm(nn.Conv2d(narrow, wide, 4, 2, 1, bias=not batch))]
            layers += [nn.BatchNorm2d(wide)] if batch else []
            layers += [nn.LeakyReLU(0.2, True)]
        layers += [maybe_spectral_norm(nn.Conv2d(widths[-1], 1, 4)), nn.Flatten(0)]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
