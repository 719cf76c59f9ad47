"""VAE/GAN.   B batch, Z latents, K classes, C channels, H = W pixels; images [B,C,H,W] in [-1,1], logits [B]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from reverie.core.diagnostics import active_units, diagnostics
from reverie.core.generation import Items, encode_images, generate_images, map_images, select_items
from reverie.core.interpolation import edit_endpoints, interpolation_rows, lerp, row_endpoints
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Code, Image, comparison_grid
from reverie.nn import losses
from reverie.nn.dcgan_blocks import Generator, ConvTrunk, default_base_channels, default_size
from reverie.nn.latent_directions import ClassMeans, direction
from reverie.transforms.augment import check_shift, random_flip_and_shift
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise


class VAEGAN(Method):
    """A VAE whose error is what a discriminator sees: codes that mean something, and sharp images.

    Larsen, Sønderby, Larochelle, Winther 2015, arXiv:1512.09300
    """

    data_type = Images

    @dataclass(frozen=True)
    class Config:
        size: int | None = None
        """pixels, a power of two from 16; none: the one that fits the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        class_names: tuple[str, ...] | None = None
        """of the classes, whose directions `edit` knows; none: as the data, if it has any"""
        latent_dim: int | None = None
        """numbers in z. None: 16 for grey, 128 for colour, as in the paper"""
        base_channels: int | None = None
        """channels of the widest maps; each halving of the side doubles them, up to 8 times. None: 64 at 32 pixels,
        32 at 64 pixels and so on, so that a step costs about the same"""
        loss: Literal["nonsaturating", "relativistic"] = "nonsaturating"
        """what decoder and discriminator adversarial for; the paper's is nonsaturating"""
        norm: Literal["batch", "none"] = "batch"
        """normalisation in the discriminator; the paper's is batch. With a penalty: none"""
        r1_weight: float = 0.0
        """weight of the discriminator's gradient penalty, R1+R2; the paper has none"""
        d_reg_interval: int = 1
        """the penalty is taken at every so many steps alone, and weighs as much more (Karras 2019, arXiv:1912.04958,
        section 3.1): it is what costs most"""
        feature_layer: int = 2
        """the discriminator's layer that images are compared at, from 1 (section 3.1: the l-th)"""
        variance: Literal["unit", "optimal"] = "unit"
        """of that error's Gaussian. The paper's is unit, which leaves it to the scale of the discriminator how much
        an image weighs beside the KL; optimal: the one that fits the batch best (Rybkin 2020, arXiv:2006.13202)"""
        gamma: float = 1e-3
        """weight of that error for the decoder, beside the game (section 3.2; the paper's is 1e-6)"""
        beta: float = 1.0
        """weight of the KL for the encoder; the paper's is 1"""
        lr: float = 2e-4
        """learning rate of Adam (the paper: RMSprop, 3e-4)"""
        beta1: float = 0.5
        """Adam's beta1"""
        beta2: float = 0.999
        """Adam's beta2"""
        ema_decay: float = 0.0
        """decay of averaged weights of encoder and decoder; 0: none, as in the paper"""
        hflip: bool = False
        """mirror training images left to right at random"""
        shift: float = 0.0
        """training images are moved by up to this share of the side at random; both help where images are few"""
        steps: int = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            check_shift(self.shift)
            if self.size is not None and (self.size < 16 or self.size & (self.size - 1)):
                raise UserError(f"size is {self.size}; vae_gan makes squares of 16, 32, 64, 128, 256 ... pixels.")
            if self.r1_weight and self.norm == "batch":
                raise UserError("r1_weight needs single images, but norm 'batch' mixes them; give --norm none.")
            if min(self.gamma, self.beta, self.r1_weight) < 0 or self.lr <= 0:
                raise UserError("lr must be above 0; gamma, beta and r1_weight must not be negative.")
            if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and 0 <= self.ema_decay < 1):
                raise UserError("beta1, beta2 and ema_decay must lie from 0 to below 1.")
            if any(
                count is not None and count < 1
                for count in (self.latent_dim, self.base_channels, self.feature_layer, self.d_reg_interval)
            ):
                raise UserError("latent_dim, base_channels, level and d_reg_interval must be 1 or more.")

    _laptop = dict(
        loss="relativistic", norm="none", r1_weight=0.01, d_reg_interval=4, variance="optimal", gamma=1e-2, lr=1e-3, beta1=0.0,
        beta2=0.99, ema_decay=0.999, steps=6_000,
    )  # fmt: skip
    presets = {
        "smoke": dict(
            size=16,
            latent_dim=8,
            base_channels=8,
            feature_layer=1,
            batch_size=16,
        ),
        "laptop": _laptop,
        "low_data": {**_laptop, "hflip": True, "shift": 1 / 16, "feature_layer": 1, "batch_size": 32},
        "paper": dict(size=64, latent_dim=128, base_channels=64, gamma=1e-6, lr=3e-4, steps=60_000),
    }

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or default_size(facts["native"])
        latent_dim = 16 if (config.channels or facts["channels"]) == 1 else 128
        return super().resolve_config(
            config, {**facts, "size": size, "base_channels": default_base_channels(size), "latent_dim": latent_dim}
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.encoder = Encoder(c.size, c.channels, c.base_channels, c.latent_dim)
        self.decoder = Generator(c.size, c.channels, c.base_channels, c.latent_dim)
        self.discriminator = Discriminator(c.size, c.channels, c.base_channels, c.norm, c.feature_layer)
        self.classes = ClassMeans(len(c.class_names), c.latent_dim) if c.class_names else None

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        players = {"encoder": self.encoder, "decoder": self.decoder, "discriminator": self.discriminator}
        adam = partial(torch.optim.Adam, lr=c.lr, betas=(c.beta1, c.beta2), fused=True)
        return {name: adam(player.parameters()) for name, player in players.items()}

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step)]

    def ema_decays(self) -> dict[str, float]:
        return {"encoder": self.config.ema_decay, "decoder": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:  # algorithm 1
        c, D, adversarial = self.config, self.discriminator, losses.ADVERSARIAL_LOSSES[self.config.loss]
        x = random_flip_and_shift(batch["image"], c.hflip, c.shift)  # [B,C,H,W] in [-1,1]
        mean, log_variance = self.posterior(x)  # [B,Z]
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        # In one pass: batch norm then has the same statistics for x told again and for images from the prior.
        told, fake = self.decoder(torch.cat([z, torch.randn_like(mean)])).chunk(2)

        reg_step = c.r1_weight > 0 and update.step % c.d_reg_interval == 0
        x = x.requires_grad_() if reg_step else x
        (d_x, seen), (d_told, seen_told), (d_fake, _) = D(x), D(told), D(fake)
        prior = losses.kl_to_standard_normal(mean, log_variance).sum(1).mean()
        # -log N(D_l(x); D_l(told), variance), but for a constant (eq. 7), summed over the F features of an image
        error = (seen.detach() - seen_told).square().mean()
        like = seen[0].numel() / 2 * (error if c.variance == "unit" else error.log())
        d = (adversarial.discriminator(d_x, d_told) + adversarial.discriminator(d_x, d_fake)) / 2
        if reg_step:
            rough = losses.zero_centred_penalty(d_told, told) + losses.zero_centred_penalty(d_fake, fake)
            d = d + c.d_reg_interval * c.r1_weight * (losses.zero_centred_penalty(d_x, x) + rough / 2)
        g = (adversarial.generator(d_told, d_x) + adversarial.generator(d_fake, d_x)) / 2
        # Section 3.2: like never reaches D, and the game never reaches the encoder.
        update({"encoder": c.beta * prior + like, "decoder": c.gamma * like + g, "discriminator": d})

        if self.classes is not None:
            self.classes.follow(mean, batch["label"])
        found = {"d": d, "g": g, "like": like, "kl": prior, **active_units(mean)}
        return {**{name: value.detach() for name, value in found.items()}, **diagnostics(d_x, d_fake, x, fake)}

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B,Z] of q(z|x)."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(-20, 10)

    # -- what users do -----------------------------------------------------------------------------------------------

    @verb
    def generate(self, n: int = 64, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images from codes drawn from the prior.

        n: how many
        seed: image i depends on (seed, i) alone
        """
        yield from generate_images(self.decoder, self.latents(seed), select_items(items, n))

    @verb
    def reconstruct(self, images: list[Image]) -> Iterator[Image]:
        """Each image encoded and decoded again.

        images: pictures
        """
        c = self.config
        yield from map_images(lambda x: self.decoder(self.code(x)), images, c.size, c.channels, self.device)

    @verb
    def encode(self, images: list[Image]) -> Iterator[Code]:
        """The code of each picture, the mean of q(z|x), as a table.

        images: pictures
        """
        c = self.config
        yield from encode_images(self.code, images, c.size, c.channels, self.device)

    @verb
    def interpolate(
        self, images: list[Image] | None = None, n: int = 8, steps: int = 10, seed: int = 0, items: Items = None
    ) -> Iterator[Image]:
        """Walks from one image to another, in rows.

        images: pictures; row r goes from picture r to picture r + 1
        n: without pictures, how many rows; row r goes from image 2r to image 2r + 1 of `generate`
        steps: images in a row, both ends included
        seed: as in generate
        """
        codes, n = self.codes(images), len(images) - 1 if images else n
        for image in interpolation_rows(
            self.decoder, row_endpoints(self.latents(seed), codes), lerp, select_items(items, n, steps), steps
        ):
            yield image.made_from(*(images or ()))

    @verb
    def edit(
        self,
        images: list[Image] | None = None,
        along: str = "z1",
        amount: float = 3.0,
        n: int = 8,
        steps: int = 7,
        seed: int = 0,
        items: Items = None,
    ) -> Iterator[Image]:
        """Images changed step by step along a direction of the code, a row for each.

        images: pictures; none: new images
        along: the name of a class, or a direction that was found without labels, z1, z2, ..., the strongest first
        amount: how far the ends of a row are away, in standard deviations of z
        n: without pictures, how many rows; row r is about image r of `generate`
        steps: images in a row, from -amount to amount; 1: the one at amount
        seed: as in generate
        """
        heading = amount * direction(along, self.config.class_names or (), self.classes, self.decoder.first())
        codes, n = self.codes(images), len(images) if images else n
        ends = edit_endpoints(
            lambda z: (z - heading if steps > 1 else z + heading, z + heading), self.latents(seed), codes
        )
        for image in interpolation_rows(self.decoder, ends, lerp, select_items(items, n, steps), steps):
            yield image.made_from(*(images or ()))

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Samples, and rows of training images above their reconstructions."""
        real = list(Image.from_tensor(batch["image"][:16]))
        return {**super().sample_grids(batch), "reconstruction": comparison_grid(real, self.reconstruct(real))}

    def code(self, x: Tensor) -> Tensor:
        """The mean of q(z|x) [B,Z]."""
        return self.posterior(x)[0]

    def codes(self, images: Sequence[Image] | None) -> Tensor | None:
        """The codes [N,Z] of pictures; None for none."""
        c = self.config
        return self.code(Image.to_tensor(images, c.size, c.channels).to(self.device)) if images else None

    def latents(self, seed: int) -> Callable[[Sequence[int]], Tensor]:
        """items -> z [len(items),Z]"""
        return lambda items: noise(seed, items, self.config.latent_dim, device=self.device)


class Encoder(nn.Sequential):
    """x [B,C,H,W] -> means and log variances [B,2Z] (table 1)."""

    def __init__(self, size: int, channels: int, base_channels: int, latent_dim: int) -> None:
        trunk = ConvTrunk(size, channels, base_channels, nn.BatchNorm2d)
        super().__init__(trunk, nn.Flatten(), nn.Linear(16 * trunk.channels, 2 * latent_dim))


class Discriminator(nn.Module):
    """x [B,C,H,W] -> logits [B], and what the l-th layer makes of x."""

    def __init__(self, size: int, channels: int, base_channels: int, norm: str, level: int) -> None:
        super().__init__()
        trunk = ConvTrunk(size, channels, base_channels, {"batch": nn.BatchNorm2d, "none": nn.Identity}[norm])
        if level > len(trunk):
            raise UserError(f"level is {level}; a discriminator of {size} pixels has {len(trunk)} layers.")
        self.lower = nn.Sequential(*list(trunk)[:level])
        self.upper = nn.Sequential(
            *list(trunk)[level:], nn.Flatten(), nn.Linear(16 * trunk.channels, 1), nn.Flatten(0)
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.lower(x)
        return self.upper(seen), seen
