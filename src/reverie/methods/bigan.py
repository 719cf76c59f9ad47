"""BiGAN and ALI.   B batch, Z latents, C channels, H = W pixels; images [B,C,H,W] in [-1,1], logits [B]."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from reverie.core.diagnostics import active_units, diagnostics
from reverie.core.generation import Items, encode_images, generate_images, map_images, select_items
from reverie.core.interpolation import edit_endpoints, interpolation_rows, lerp, row_endpoints, slerp
from reverie.core.lr_schedules import late
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Code, Image, comparison_grid
from reverie.nn import losses
from reverie.nn.dcgan_blocks import Generator, ConvTrunk, default_base_channels, default_size
from reverie.nn.latent_directions import direction
from reverie.transforms.augment import check_shift, random_flip_and_shift
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise

NORMS = {"batch": nn.BatchNorm2d, "none": nn.Identity}


class BiGAN(Method):
    """Codes of images without a pixel compared: a discriminator judges pairs of image and code.

    Donahue, Krähenbühl, Darrell 2016, arXiv:1605.09782; with a stochastic encoder: ALI, Dumoulin 2016, arXiv:1606.00704
    """

    data_type = Images

    @dataclass(frozen=True)
    class Config:
        size: int | None = None
        """pixels; with convolutions a power of two from 16. None: the one that fits the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        encoder: Literal["deterministic", "stochastic"] = "deterministic"
        """a code for each image (BiGAN), or a Gaussian of codes (ALI)"""
        network: Literal["conv", "mlp"] = "conv"
        """convolutions, or two hidden layers that know nothing of neighbouring pixels (Donahue 2016, section 4.2)"""
        prior: Literal["normal", "uniform"] = "normal"
        """p(z): standard normal, or uniform in [-1,1], as in Donahue 2016"""
        latent_dim: int | None = None
        """numbers in z. None: 16 for grey, 64 for colour"""
        base_channels: int | None = None
        """channels of the widest maps; each halving of the side doubles them, up to 8 times. None: 64 at 32 pixels,
        32 at 64 pixels and so on, so that a step costs about the same"""
        hidden_dim: int = 1024
        """units of a layer of the mlp, and of what judges pairs"""
        loss: Literal["nonsaturating", "relativistic"] = "nonsaturating"
        """what the players adversarial for; the papers' is nonsaturating"""
        norm: Literal["batch", "none"] = "batch"
        """normalisation in the discriminator; the papers' is batch. With a penalty: none"""
        r1_weight: float = 0.0
        """weight of the discriminator's gradient penalty, R1+R2 of pairs; the papers have none"""
        lr: float = 2e-4
        """learning rate of Adam"""
        beta1: float = 0.5
        """Adam's beta1"""
        beta2: float = 0.999
        """Adam's beta2"""
        weight_decay: float = 0.0
        """weight decay; 2.5e-5 in the code of Donahue 2016"""
        lr_schedule: Literal["constant", "late"] = "constant"
        """of the rate; late: from half of the steps on it falls exponentially to a hundredth, as in that code"""
        ema_decay: float = 0.0
        """decay of averaged weights of generator and encoder; 0: none, as in the papers"""
        hflip: bool = False
        """mirror training images left to right at random"""
        shift: float = 0.0
        """training images are moved by up to this share of the side at random; both help where images are few"""
        steps: int = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            check_shift(self.shift)
            if self.network == "conv" and self.size is not None and (self.size < 16 or self.size & (self.size - 1)):
                raise UserError(f"size is {self.size}; bigan makes squares of 16, 32, 64 ... pixels.")
            if self.r1_weight and self.norm == "batch":
                raise UserError("r1_weight needs single images, but norm 'batch' mixes them; give --norm none.")
            if self.lr <= 0 or min(self.r1_weight, self.weight_decay) < 0:
                raise UserError("lr must be above 0; r1_weight and weight_decay must not be negative.")
            if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and 0 <= self.ema_decay < 1):
                raise UserError("beta1, beta2 and ema_decay must lie from 0 to below 1.")
            if any(
                count is not None and count < 1
                for count in (self.size, self.latent_dim, self.base_channels, self.hidden_dim)
            ):
                raise UserError("size, latent_dim, base_channels and hidden_dim must be 1 or more.")

    _mnist = dict(
        size=28, channels=1, network="mlp", prior="uniform", latent_dim=50, batch_size=128, weight_decay=2.5e-5
    )
    presets = {
        "smoke": dict(
            size=16,
            latent_dim=8,
            base_channels=8,
            hidden_dim=32,
            batch_size=16,
        ),
        "laptop": dict(ema_decay=0.999, steps=6_000),
        "ali": dict(encoder="stochastic", ema_decay=0.999, steps=6_000),
        "paper": dict(**_mnist, lr_schedule="late", steps=187_500),  # 400 epochs of MNIST
    }

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or (default_size(facts["native"]) if config.network == "conv" else min(64, facts["native"]))
        latent_dim = 16 if (config.channels or facts["channels"]) == 1 else 64
        return super().resolve_config(
            config, {**facts, "size": size, "base_channels": default_base_channels(size), "latent_dim": latent_dim}
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        codes = c.latent_dim if c.encoder == "deterministic" else 2 * c.latent_dim
        shape = (c.channels, c.size, c.size)
        if c.network == "conv":
            trunk = ConvTrunk(c.size, c.channels, c.base_channels, nn.BatchNorm2d)
            self.encoder = nn.Sequential(trunk, nn.Flatten(), nn.Linear(16 * trunk.channels, codes))
            self.generator: nn.Module = Generator(c.size, c.channels, c.base_channels, c.latent_dim)
            self.discriminator: nn.Module = JointDiscriminator(
                c.size, c.channels, c.base_channels, c.latent_dim, c.hidden_dim, NORMS[c.norm]
            )
        else:
            inputs, norm = math.prod(shape), {"batch": nn.BatchNorm1d, "none": nn.Identity}[c.norm]
            self.encoder = nn.Sequential(nn.Flatten(), *mlp(inputs, c.hidden_dim, codes, nn.BatchNorm1d))
            self.generator = nn.Sequential(
                *mlp(c.latent_dim, c.hidden_dim, inputs, nn.BatchNorm1d), nn.Tanh(), nn.Unflatten(1, shape)
            )
            self.discriminator = JointDiscriminatorMLP(inputs + c.latent_dim, c.hidden_dim, norm)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c, judges = self.config, list(self.discriminator.parameters())
        makers = [*self.generator.parameters(), *self.encoder.parameters()]
        betas = (c.beta1, c.beta2)
        return {
            "makers": torch.optim.Adam(makers, c.lr, betas, weight_decay=c.weight_decay, fused=True),
            "discriminator": torch.optim.Adam(judges, c.lr, betas, weight_decay=c.weight_decay, fused=True),
        }

    def stages(self) -> list[Stage]:
        return [
            Stage("train", self.config.steps, self.step, late if self.config.lr_schedule == "late" else Stage.lr_factor)
        ]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay, "encoder": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:  # Donahue 2016, section 3; Dumoulin 2016, algorithm 1
        c, D, adversarial = self.config, self.discriminator, losses.ADVERSARIAL_LOSSES[self.config.loss]
        x, z = (
            random_flip_and_shift(batch["image"], c.hflip, c.shift),
            self.prior(len(batch["image"])),
        )  # [B,C,H,W] in [-1,1], [B,Z]
        code, fake = self.encode_for_training(x), self.generator(z)

        x = x.requires_grad_() if c.r1_weight else x
        z = z.requires_grad_() if c.r1_weight else z
        d_real, d_fake = D(x, code), D(fake, z)
        d = adversarial.discriminator(d_real, d_fake)
        if c.r1_weight:
            rough = losses.zero_centred_penalty(d_real, x, code) + losses.zero_centred_penalty(d_fake, fake, z)
            d = d + c.r1_weight * rough
        # Generator and encoder both want the pairs to be taken for each other.
        g = adversarial.generator(d_fake, d_real) + (0 if adversarial.paired else adversarial.generator(-d_real, None))
        update({"makers": g, "discriminator": d})
        told = {"d": d.detach(), "g": g.detach(), **active_units(code)}
        return {**told, **diagnostics(d_real, d_fake, x, fake)}

    def prior(self, n: int) -> Tensor:
        """z [n,Z] of p(z), for training."""
        shape = (n, self.config.latent_dim)
        if self.config.prior == "normal":
            return torch.randn(shape, device=self.device)
        return 2 * torch.rand(shape, device=self.device) - 1

    def encode_for_training(self, x: Tensor) -> Tensor:
        """Codes [B,Z] drawn from q(z|x)."""
        if self.config.encoder == "deterministic":
            return self.encoder(x)
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean + (log_variance.clamp(-20, 10) / 2).exp() * torch.randn_like(mean)

    def code(self, x: Tensor) -> Tensor:
        """The code of each image [B,Z]: E(x), or the mean of q(z|x)."""
        return self.encoder(x)[:, : self.config.latent_dim]

    def codes(self, images: Sequence[Image] | None) -> Tensor | None:
        """The codes [N,Z] of pictures; None for none."""
        c = self.config
        return self.code(Image.to_tensor(images, c.size, c.channels).to(self.device)) if images else None

    def latents(self, seed: int) -> Callable[[Sequence[int]], Tensor]:
        """items -> z [len(items),Z]"""

        def of(items: Sequence[int]) -> Tensor:
            z = noise(seed, items, self.config.latent_dim, device=self.device)
            return z if self.config.prior == "normal" else torch.erf(z / math.sqrt(2))  # 2 P(Z < z) - 1: uniform

        return of

    # -- what users do -----------------------------------------------------------------------------------------------

    @verb
    def generate(self, n: int = 64, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images from codes drawn from the prior.

        n: how many
        seed: image i depends on (seed, i) alone
        """
        yield from generate_images(self.generator, self.latents(seed), select_items(items, n))

    @verb
    def reconstruct(self, images: list[Image]) -> Iterator[Image]:
        """Each image encoded and generated again: like it in kind, since no pixels were compared in training.

        images: pictures
        """
        c = self.config
        yield from map_images(lambda x: self.generator(self.code(x)), images, c.size, c.channels, self.device)

    @verb
    def encode(self, images: list[Image]) -> Iterator[Code]:
        """The code of each picture, as a table.

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
        ends, rows = row_endpoints(self.latents(seed), self.codes(images)), len(images) - 1 if images else n
        between = slerp if self.config.prior == "normal" else lerp
        for image in interpolation_rows(self.generator, ends, between, select_items(items, rows, steps), steps):
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
        along: a direction that was found without labels, z1, z2, ..., the strongest first
        amount: how far the ends of a row are away, in units of z
        n: without pictures, how many rows; row r is about image r of `generate`
        steps: images in a row, from -amount to amount; 1: the one at amount
        seed: as in generate
        """
        heading = amount * direction(along, (), None, self.first())
        ends = edit_endpoints(
            lambda z: (z - heading if steps > 1 else z + heading, z + heading), self.latents(seed), self.codes(images)
        )
        for image in interpolation_rows(
            self.generator, ends, lerp, select_items(items, len(images) if images else n, steps), steps
        ):
            yield image.made_from(*(images or ()))

    def first(self) -> Tensor:
        """How z enters the generator [Z,D]."""
        if isinstance(self.generator, Generator):
            return self.generator.first()
        return next(self.generator.parameters()).detach().T

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Samples, and rows of training images above their reconstructions."""
        real = list(Image.from_tensor(batch["image"][:16]))
        return {**super().sample_grids(batch), "reconstruction": comparison_grid(real, self.reconstruct(real))}


class JointDiscriminator(nn.Module):
    """Images [B,C,H,W] and codes [B,Z] -> logits [B]: features of the two meet in a layer (Dumoulin 2016, figure 1)."""

    def __init__(
        self,
        size: int,
        channels: int,
        base_channels: int,
        latent_dim: int,
        hidden: int,
        norm: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        self.trunk = ConvTrunk(size, channels, base_channels, norm)
        self.of_code = nn.Sequential(nn.Linear(latent_dim, hidden), nn.LeakyReLU(0.2, True))
        self.pair = nn.Sequential(
            nn.Linear(16 * self.trunk.channels + hidden, hidden), nn.LeakyReLU(0.2, True), nn.Linear(hidden, 1),
            nn.Flatten(0),
        )  # fmt: skip

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.pair(torch.cat([self.trunk(x).flatten(1), self.of_code(z)], 1))


class JointDiscriminatorMLP(nn.Module):
    """Images [B,C,H,W] and codes [B,Z], side by side -> logits [B]."""

    def __init__(self, inputs: int, hidden: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*mlp(inputs, hidden, 1, norm), nn.Flatten(0))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.layers(torch.cat([x.flatten(1), z], 1))


def mlp(inputs: int, hidden: int, outputs: int, norm: Callable[[int], nn.Module]) -> list[nn.Module]:
    """Two hidden layers of leaky ReLU, the second of a norm."""
    return [
        nn.Linear(inputs, hidden), nn.LeakyReLU(0.2, True), nn.Linear(hidden, hidden), norm(hidden),
        nn.LeakyReLU(0.2, True), nn.Linear(hidden, outputs),
    ]  # fmt: skip
