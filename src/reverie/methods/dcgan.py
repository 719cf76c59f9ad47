"""DCGAN.   B batch, Z noise, C channels, H = W pixels; images [B,C,H,W] in [-1,1], logits [B]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from .. import losses
from ..data.images import Images
from ..errors import UserError
from ..items import Items, apply, chosen, draw, neighbours, noise, slerp, walk
from ..loop import Update
from ..media import Image
from ..method import Batch, Losses, Method, Stage, verb
from ..parts.augment import check_shift, diff_augment, varied
from ..parts.conv import Generator, initialise, maps, size_for, width_for
from ..parts.watch import watch

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

    learns_from = Images

    @dataclass(frozen=True)
    class Config:
        size: int | None = None
        """pixels, a power of two from 16; none: the one that fits the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        latent: int = 100
        """numbers in z (section 4)"""
        width: int | None = None
        """channels of the widest maps; each halving of the side doubles them, up to 8 times. None: 64 at 32 pixels,
        32 at 64 pixels and so on, so that a step costs about the same"""
        loss: Literal["nonsaturating", "hinge", "leastsquares", "wasserstein", "relativistic"] = "nonsaturating"
        """what the two play for; the paper's is nonsaturating"""
        norm: Literal["batch", "spectral", "none"] = "batch"
        """normalisation in the discriminator; the paper's is batch. With a penalty: spectral or none"""
        penalty: float = 0.0
        """weight of the gradient penalty: |gradient|=1 for wasserstein, R1+R2 for relativistic, else R1"""
        critic_steps: int = 1
        """discriminator steps to one of the generator (Wasserstein: 5)"""
        flip: bool = False
        """mirror training images left to right at random"""
        shift: float = 0.0
        """training images are moved by up to this share of the side at random; both help where images are few"""
        augment: bool = False
        """differentiable augmentation, for some hundreds or few thousands of images"""
        rate: float = 2e-4
        """learning rate of Adam (section 4)"""
        beta1: float = 0.5
        """Adam's beta1 (section 4)"""
        beta2: float = 0.999
        """Adam's beta2"""
        average: float = 0.0
        """decay of the generator's averaged weights; 0: none, as in the paper"""
        steps: int = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            check_shift(self.shift)
            if self.size is not None and (self.size < 16 or self.size & (self.size - 1)):
                raise UserError(f"size is {self.size}; dcgan makes squares of 16, 32, 64, 128, 256 ... pixels.")
            if self.penalty and self.norm == "batch":
                raise UserError(
                    "penalty needs single images, but norm 'batch' mixes them; give --norm spectral or none."
                )
            if self.loss == "wasserstein" and not self.penalty:
                raise UserError("loss 'wasserstein' needs a Lipschitz critic; give --penalty 10 --norm none.")
            if not 0 <= self.average < 1:
                raise UserError(f"average is {self.average}; it is a decay from 0 to below 1, such as 0.999.")
            if self.rate <= 0 or self.penalty < 0:
                raise UserError("rate must be above 0, and penalty must not be negative.")
            if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
                raise UserError(f"beta1 and beta2 are {self.beta1} and {self.beta2}; they lie from 0 to below 1.")
            if any(count is not None and count < 1 for count in (self.latent, self.width, self.critic_steps)):
                raise UserError("latent, width and critic_steps must be 1 or more.")

    presets = {
        "smoke": dict(size=16, latent=16, width=8, batch=16, steps=20, save_every=10, preview_every=10, log_every=5),
        "laptop": dict(average=0.999, steps=6_000),
        "stable": dict(
            loss="relativistic",
            norm="none",
            penalty=0.01,
            rate=1e-3,
            average=0.999,
            beta1=0.0,
            beta2=0.99,
            steps=6_000,
        ),
        "few": dict(loss="hinge", norm="spectral", augment=True, flip=True, average=0.999, steps=10_000),
        "paper": dict(size=64, width=128, batch=128, steps=40_000),
    }

    @classmethod
    def suit(cls, config: Config, facts: dict[str, int]) -> Config:
        size = config.size or size_for(facts["native"])
        return super().suit(config, {**facts, "size": size, "width": width_for(size)})

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.generator = Generator(c.size, c.channels, c.width, c.latent)
        self.discriminator = Discriminator(c.size, c.channels, c.width, c.norm)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        return {
            "generator": torch.optim.Adam(self.generator.parameters(), c.rate, (c.beta1, c.beta2)),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), c.rate, (c.beta1, c.beta2)),
        }

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step)]

    def averages(self) -> dict[str, float]:
        return {"generator": self.config.average} if self.config.average else {}

    def step(self, batch: Batch, update: Update) -> Losses:
        c, D, play = self.config, self.discriminator, LOSSES[self.config.loss]
        seen = diff_augment if c.augment else nn.Identity()
        real = varied(batch["image"], c.flip, c.shift)  # [B,C,H,W] in [-1,1]
        fake = self.generator(torch.randn(len(real), c.latent, device=real.device))

        x, y = seen(real), seen(fake.detach())
        if c.penalty and c.loss != "wasserstein":
            x, y = x.requires_grad_(), y.requires_grad_()
        d_real, d_fake = D(x), D(y)
        d = play.discriminator(d_real, d_fake)
        if c.penalty:
            d = d + c.penalty * self.roughness(x, y, d_real, d_fake)
        told = {"d": update("discriminator", d), **watch(d_real, d_fake, real, fake)}

        if update.step % c.critic_steps == c.critic_steps - 1:
            d_real = D(seen(real)) if play.paired else None
            told["g"] = update("generator", play.generator(D(seen(fake)), d_real))
        return told

    def roughness(self, x: Tensor, y: Tensor, d_real: Tensor, d_fake: Tensor) -> Tensor:
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
        yield from draw(self.generator, self.latents(seed), chosen(items, n))

    @verb
    def interpolate(self, n: int = 8, steps: int = 10, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """Walks from one image to another, in rows.

        n: how many rows; row r goes from image 2r to image 2r + 1 of `generate` with the same seed
        steps: images in a row, both ends included
        seed: as in generate
        """
        ends = neighbours(self.latents(seed))
        yield from walk(self.generator, ends, slerp, chosen(items, n, steps), steps)

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
            z = noise(seed, [0] * len(x), self.config.latent, device=self.device)  # whatever stands beside it
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

        yield from apply(invert, images, self.config.size, self.config.channels, self.device)

    def latents(self, seed: int) -> Callable[[Sequence[int]], Tensor]:
        """items -> z [len(items),Z]"""
        return lambda items: noise(seed, items, self.config.latent, device=self.device)


class Discriminator(nn.Module):
    """Images [B,C,H,W] -> logits [B]: strided down to 4x4 (section 3)."""

    def __init__(self, size: int, channels: int, width: int, norm: str) -> None:
        super().__init__()
        widths = maps(size, width)
        bound = spectral_norm if norm == "spectral" else nn.Identity()
        batch = norm == "batch"
        layers: list[nn.Module] = [bound(nn.Conv2d(channels, widths[0], 4, 2, 1)), nn.LeakyReLU(0.2, True)]
        for narrow, wide in pairwise(widths):
            layers += [bound(nn.Conv2d(narrow, wide, 4, 2, 1, bias=not batch))]
            layers += [nn.BatchNorm2d(wide)] if batch else []
            layers += [nn.LeakyReLU(0.2, True)]
        layers += [bound(nn.Conv2d(widths[-1], 1, 4)), nn.Flatten(0)]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
