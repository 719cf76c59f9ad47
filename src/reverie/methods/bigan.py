"""BiGAN and ALI.   B batch, Z latent dimensions, C channels, H = W pixels.

Images are [B,C,H,W] in [-1,1], logits [B].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from reverie.core.constraints import Count, Decay, NonNegative, Positive, PowerOfTwo, Range
from reverie.core.diagnostics import active_units, diagnostics
from reverie.core.generation import Items, codes_of, encode_images, generate_images, map_images, select_items
from reverie.core.interpolation import edit_images, interpolate_images, lerp, slerp
from reverie.core.lr_schedules import constant, late_exponential
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
    Generator,
    ResizeGenerator,
    default_base_channels,
    default_size,
)
from reverie.nn.feature_discriminator import (
    FrozenFeatures,
    ProjectedDiscriminator,
    ThumbnailHead,
    check_penalty,
    discriminator_loss,
    generator_loss,
    normalised_maps,
    resolve_discriminator,
)
from reverie.nn.latent_directions import direction_vector
from reverie.transforms.augment import geometric_diff_augment, random_flip_and_shift
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise

NORMS_1D = {"batch": nn.BatchNorm1d, "none": nn.Identity}
LR_SCHEDULES = {"constant": constant, "late": late_exponential}


class BiGAN(Method):
    """GAN that also learns an encoder: its discriminator sees pairs of image and latent code.

    Donahue, Krähenbühl, Darrell 2016, arXiv:1605.09782; with a stochastic encoder: ALI, Dumoulin 2016, arXiv:1606.00704

    The preset laptop is not theirs: a discriminator sees images alone too, in a frozen ImageNet network's maps and as
    thumbnails (BigBiGAN, Donahue & Simonyan 2019, arXiv:1907.02544), codes lie on a sphere, and G(E(x)) is held near x
    and E(G(z)) near z (ALICE, Li 2017, arXiv:1709.01215). Without these, reconstructions of photographs are blurs.
    """

    data_type = Images
    monitored = {
        "d_auc": "discriminator_auc",
        "nn_distance_ratio": "diversity",
        "active_units": "active_units",
    }

    @dataclass(frozen=True)
    class Config:
        size: Count | None = None
        """height and width in pixels; with network conv a power of two from 16. None: the one that fits the data, at
        most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        encoder: Literal["deterministic", "stochastic"] = "deterministic"
        """q(z|x): one code per image (BiGAN), or a Gaussian (ALI)"""
        network: Literal["conv", "mlp"] = "conv"
        """convolutional networks, or MLPs with two hidden layers (Donahue 2016, section 4.2)"""
        prior: Literal["normal", "uniform", "sphere"] = "normal"
        """p(z): standard normal; uniform in [-1,1], as in Donahue 2016; or uniform on the sphere of radius sqrt(Z), on
        which the codes of images then lie too, as far from 0 as those that the generator learns from"""
        latent_dim: Count | None = None
        """dimensions of the latent code z. None: 16 for grey, 64 for colour"""
        base_channels: Count | None = None
        """channels of the largest feature maps; each halving of the side doubles them, up to 8 times. None: 64 at 32
        pixels, 32 at 64 pixels and so on, so that a step takes about the same time"""
        hidden_dim: Count = 1024
        """units per hidden layer of the mlp, and of the discriminator's layers for codes and pairs"""
        upsampling: Literal["transposed", "resize"] = "transposed"
        """of the convolutional generator: transposed convolutions, as in the papers, which can leave a checkerboard; or
        nearest-neighbour upsampling and a convolution"""
        discriminator: Literal["pixels", "both", "auto"] = "pixels"
        """what the discriminator sees: pairs of pixels and code, as in the papers; both: images alone too (BigBiGAN:
        s_x), in maps of a frozen ImageNet network (Projected GAN, Sauer 2021) and as 8 x 8 thumbnails. auto: both for
        colour and for grey photographs, pixels for drawings in grey"""
        feature_network: str | None = None
        """the first 16 hex digits of the SHA-256 of the frozen network's weights; none: the installed one's"""
        loss: Literal["nonsaturating", "hinge", "relativistic"] = "nonsaturating"
        """adversarial loss; the papers' is nonsaturating"""
        norm: Literal["batch", "none"] = "batch"
        """normalisation in the discriminator; the papers' is batch. With r1_weight: none"""
        r1_weight: NonNegative = 0.0
        """weight of the zero-centred gradient penalty R1 + R2 of the discriminator of pairs (Mescheder 2018); the
        papers have none"""
        d_reg_interval: Count = 1
        """lazy regularisation: steps from one gradient penalty to the next, each weighted by as many (Karras 2019,
        arXiv:1912.04958, section 3.1)"""
        cycle_weight: NonNegative = 0.0
        """weight of the distance of G(E(x)) from x (ALICE): mean squared errors of pixels and, with discriminator both,
        of the frozen network's maps, each channel divided by its deviation; the papers have none"""
        latent_weight: NonNegative = 0.0
        """weight of the mean squared error of E(G(z)) from z (ALICE); the papers have none"""
        lr: Positive = 2e-4
        """learning rate of Adam"""
        beta1: Decay = 0.5
        """Adam's beta1"""
        beta2: Decay = 0.999
        """Adam's beta2"""
        weight_decay: NonNegative = 0.0
        """weight decay of Adam, an L2 penalty; 2.5e-5 in the code of Donahue 2016"""
        lr_schedule: Literal["constant", "late"] = "constant"
        """learning rate schedule; late: in the second half of the steps exponentially down to a hundredth, as in the
        code of Donahue 2016"""
        ema_decay: Decay = 0.0
        """decay per step of the moving average (EMA) of generator and encoder weights; 0: none, as in the papers"""
        diff_augment: bool = False
        """DiffAugment (Zhao 2020), translation and cutout, of real and generated images; with discriminator both, of
        those that are seen alone"""
        hflip: bool = False
        """random horizontal flips of training images"""
        shift: Annotated[float, Range(0, 0.5)] = 0.0
        """random shifts of training images, as a share of the side; with hflip, against overfitting of small data"""
        steps: Count = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            if self.network == "conv" and self.size is not None and not PowerOfTwo(16).allows(self.size):
                raise UserError(f"size is {self.size}; with network conv it must be a power of two from 16.")
            if self.network == "mlp" and self.upsampling != "transposed":
                raise UserError("upsampling resize is for network conv; with mlp take bigan:plain or bigan:paper.")
            check_penalty(self)

    _mnist = dict(
        size=28, channels=1, network="mlp", prior="uniform", latent_dim=50, batch_size=128, weight_decay=2.5e-5
    )
    presets = {
        "smoke": dict(size=16, latent_dim=8, base_channels=8, hidden_dim=32, batch_size=16),
        "laptop": dict(
            upsampling="resize", discriminator="auto", loss="hinge", norm="none", r1_weight=0.5, d_reg_interval=16,
            prior="sphere", cycle_weight=1.0, latent_weight=1.0, hidden_dim=256, diff_augment=True, lr=1e-3, beta1=0.0,
            beta2=0.99, ema_decay=0.998, batch_size=16, steps=6_000,
        ),
        "plain": dict(ema_decay=0.999, steps=6_000),
        "ali": dict(encoder="stochastic", ema_decay=0.999, steps=6_000),
        "paper": dict(**_mnist, lr_schedule="late", steps=187_500),  # 400 epochs of MNIST
    }  # fmt: skip

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        fitting = default_size(facts["native"]) if config.network == "conv" else min(64, facts["native"])
        size = config.size or fitting
        latent_dim = 16 if (config.channels or facts["channels"]) == 1 else 64
        facts = {**facts, "size": size, "base_channels": default_base_channels(size), "latent_dim": latent_dim}
        return super().resolve_config(*resolve_discriminator(config, facts, grey_photographs=True))

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config
        # The encoder's outputs are codes, or means and log variances.
        outputs = c.latent_dim if c.encoder == "deterministic" else 2 * c.latent_dim
        shape = (c.channels, c.size, c.size)
        if c.network == "conv":
            trunk = ConvTrunk(c.size, c.channels, c.base_channels, nn.BatchNorm2d)
            self.encoder = nn.Sequential(trunk, nn.Flatten(), nn.Linear(16 * trunk.channels, outputs))
            self.generator: nn.Module = GENERATORS[c.upsampling](c.size, c.channels, c.base_channels, c.latent_dim)
            self.discriminator: nn.Module = JointDiscriminator(
                c.size, c.channels, c.base_channels, c.latent_dim, c.hidden_dim, NORMS[c.norm]
            )
        else:
            inputs = math.prod(shape)
            self.encoder = nn.Sequential(nn.Flatten(), *mlp(inputs, c.hidden_dim, outputs, nn.BatchNorm1d))
            self.generator = nn.Sequential(
                *mlp(c.latent_dim, c.hidden_dim, inputs, nn.BatchNorm1d), nn.Tanh(), nn.Unflatten(1, shape)
            )
            self.discriminator = JointDiscriminatorMLP(inputs + c.latent_dim, c.hidden_dim, NORMS_1D[c.norm])
        self.heads: ProjectedDiscriminator | None = None
        if c.discriminator == "both":
            self.features = FrozenFeatures(c.feature_network)
            self.heads = ProjectedDiscriminator(c.size, None, ThumbnailHead(c.channels))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        adam = partial(torch.optim.Adam, lr=c.lr, betas=(c.beta1, c.beta2), weight_decay=c.weight_decay, fused=True)
        return {
            "generator_encoder": adam([*self.generator.parameters(), *self.encoder.parameters()]),
            "discriminator": adam([*self.discriminator.parameters(), *(self.heads.parameters() if self.heads else ())]),
        }

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, LR_SCHEDULES[self.config.lr_schedule])]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay, "encoder": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        """One step of Donahue 2016, section 3, or of Dumoulin 2016, algorithm 1.

        batch: "image" [B,C,H,W] in [-1,1]
        """
        c, D, adversarial = self.config, self.discriminator, losses.ADVERSARIAL_LOSSES[self.config.loss]
        x = random_flip_and_shift(batch["image"], c.hflip, c.shift)  # [B,C,H,W] in [-1,1]
        z = self.sample_prior(len(x))  # [B,Z]
        fake, found = self.generator(z), None
        if c.latent_weight:  # in one batch, of which the encoder's norm takes the statistics
            code, found = self.sample_posterior(torch.cat([x, fake])).chunk(2)
        else:
            code = self.sample_posterior(x)
        real, made = (x, fake) if self.heads is not None else (self.augment(images) for images in (x, fake))

        reg_step = c.r1_weight > 0 and update.step % c.d_reg_interval == 0
        if reg_step:
            real, z = real.requires_grad_(), z.requires_grad_()
        d_real, d_fake = D(real, code), D(made, z)
        loss_d = adversarial.discriminator(d_real, d_fake)
        if reg_step:
            r1 = losses.zero_centred_penalty(d_real, real, code)
            r2 = losses.zero_centred_penalty(d_fake, made, z)
            loss_d = loss_d + c.d_reg_interval * c.r1_weight * (r1 + r2)
        # Generator and encoder take the opposite labels. A relativistic loss holds both pairs already.
        loss_g = adversarial.generator(d_fake, d_real)
        if not adversarial.paired:
            loss_g = loss_g + adversarial.generator(-d_real, None)
        if self.heads is not None:  # images alone
            h_real, h_fake = self.logits_alone(self.heads, x.detach()), self.logits_alone(self.heads, fake)
            loss_d = loss_d + discriminator_loss(adversarial, h_real, h_fake)
            loss_g = loss_g + generator_loss(adversarial, h_real, h_fake)
        cycles = {}
        if c.cycle_weight:
            cycles["loss_cycle"] = self.distance(x.detach(), self.generator(code))
            loss_g = loss_g + c.cycle_weight * cycles["loss_cycle"]
        if found is not None:
            cycles["loss_latent"] = (found - z.detach()).square().mean()
            loss_g = loss_g + c.latent_weight * cycles["loss_latent"]
        update({"generator_encoder": loss_g, "discriminator": loss_d})
        metrics = {"loss_d": loss_d, "loss_g": loss_g, **cycles}
        metrics = {name: loss.detach() for name, loss in metrics.items()} | active_units(code)
        return {**metrics, **diagnostics(d_real, d_fake, x, fake)}

    def logits_alone(self, heads: ProjectedDiscriminator, images: Tensor) -> list[Tensor]:
        """The logits [B,K] of each head for images alone, augmented."""
        seen = self.augment(images)
        return heads(self.features(seen), seen)

    def distance(self, x: Tensor, again: Tensor) -> Tensor:
        """How far reconstructions are from images x, by pixels and by the frozen network's maps where there are any."""
        pixels = (again - x).square().mean()
        if self.heads is None:
            return pixels
        with torch.no_grad():
            maps = self.features(x)
        pairs = zip(*normalised_maps(maps, self.features(again)), strict=True)
        return pixels + torch.stack([(a - b).square().mean() for a, b in pairs]).mean()

    def augment(self, x: Tensor) -> Tensor:
        """Real or generated images [B,C,H,W] as the discriminator gets them."""
        return geometric_diff_augment(x) if self.config.diff_augment else x

    # -- the model ---------------------------------------------------------------------------------------------------

    def sample_prior(self, n: int) -> Tensor:
        """z [n,Z] drawn from p(z) with torch's global generator, for training."""
        shape = (n, self.config.latent_dim)
        if self.config.prior == "uniform":
            return 2 * torch.rand(shape, device=self.device) - 1
        return self.placed(torch.randn(shape, device=self.device))

    def placed(self, z: Tensor) -> Tensor:
        """Codes [B,Z] where those of the prior lie: on its sphere, or where they are."""
        if self.config.prior != "sphere":
            return z
        return z * (self.config.latent_dim**0.5 / z.norm(dim=1, keepdim=True).clamp_min(1e-6))

    def sample_posterior(self, x: Tensor) -> Tensor:
        """Codes [B,Z] drawn from q(z|x) for images [B,C,H,W]; E(x) of a deterministic encoder."""
        if self.config.encoder == "deterministic":
            return self.code(x)
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return self.placed(mean + (log_variance.clamp(-20, 10) / 2).exp() * torch.randn_like(mean))

    def code(self, x: Tensor) -> Tensor:
        """The codes [B,Z] of images [B,C,H,W]: E(x), or the mean of q(z|x)."""
        return self.placed(self.encoder(x)[:, : self.config.latent_dim])

    def latents(self, seed: int) -> Callable[[Sequence[int]], Tensor]:
        """A function from item numbers to their z [len(items),Z], drawn from the prior."""

        def of(items: Sequence[int]) -> Tensor:
            z = noise(seed, items, self.config.latent_dim, device=self.device)
            return torch.erf(z / math.sqrt(2)) if self.config.prior == "uniform" else self.placed(z)  # 2 P(Z < z) - 1

        return of

    # -- verbs -------------------------------------------------------------------------------------------------------

    @verb
    def generate(self, n: Count = 64, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images from codes drawn from the prior.

        n: number of images
        seed: image i depends on (seed, i) alone
        """
        yield from generate_images(self.generator, self.latents(seed), select_items(items, n))

    @verb
    def reconstruct(self, images: list[Image]) -> Iterator[Image]:
        """Each image encoded and decoded: G(E(x)). Training compares no pixels, so only the content is kept.

        images: images to reconstruct
        """
        c = self.config
        yield from map_images(lambda x: self.generator(self.code(x)), images, c.size, c.channels, self.device)

    @verb
    def encode(self, images: list[Image]) -> Iterator[Code]:
        """The latent code of each image, as a table.

        images: images to encode
        """
        c = self.config
        yield from encode_images(self.code, images, c.size, c.channels, self.device)

    @verb
    def interpolate(
        self, images: list[Image] | None = None, n: Count = 8, frames: Count = 10, seed: int = 0, items: Items = None
    ) -> Iterator[Image]:
        """Rows of images between two: interpolation of their latent codes, spherical but with a uniform prior.

        images: row r goes from image r to image r + 1; none: between new images
        n: number of rows without images; row r goes from image 2r to image 2r + 1 of `generate`
        frames: images per row, both ends included
        seed: as in generate
        """
        between = lerp if self.config.prior == "uniform" else slerp
        c, latents = self.config, self.latents(seed)
        codes = codes_of(self.code, images, c.size, c.channels, self.device)
        yield from interpolate_images(self.generator, latents, codes, n, frames, items, between, sources=images)

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
        """Rows of images that change along a direction of the latent space, one row per image.

        images: images to edit; none: new images
        direction: a principal direction found without labels: z1, z2, ..., strongest first
        amount: length of the change at either end of a row, in units of z
        n: number of rows without images; row r is about image r of `generate`
        frames: images per row, from -amount to amount; 1: the one at amount
        seed: as in generate
        """
        change = amount * direction_vector(direction, (), None, self.first_layer_weight())
        c, latents = self.config, self.latents(seed)
        codes = codes_of(self.code, images, c.size, c.channels, self.device)
        yield from edit_images(
            self.generator, latents, codes, lambda z: (z - change, z + change), n, frames, items, sources=images
        )

    def first_layer_weight(self) -> Tensor:
        """The weight [Z,D] of the generator's first layer."""
        if isinstance(self.generator, (Generator, ResizeGenerator)):
            return self.generator.first_layer_weight()
        return next(self.generator.parameters()).detach().T

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        return {**super().sample_grids(batch), "reconstruction": reconstruction_grid(batch["image"], self.reconstruct)}


class JointDiscriminator(nn.Module):
    """Images [B,C,H,W] and codes [B,Z] -> logits [B], from the features of both together (Dumoulin 2016, figure 1)."""

    def __init__(
        self,
        size: int,
        channels: int,
        base_channels: int,
        latent_dim: int,
        hidden_dim: int,
        norm: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        self.trunk = ConvTrunk(size, channels, base_channels, norm)
        self.code_layer = nn.Sequential(nn.Linear(latent_dim, hidden_dim), nn.LeakyReLU(0.2, True))
        self.pair_layers = nn.Sequential(
            nn.Linear(16 * self.trunk.channels + hidden_dim, hidden_dim), nn.LeakyReLU(0.2, True),
            nn.Linear(hidden_dim, 1), nn.Flatten(0),
        )  # fmt: skip

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.pair_layers(torch.cat([self.trunk(x).flatten(1), self.code_layer(z)], 1))


class JointDiscriminatorMLP(nn.Module):
    """Images [B,C,H,W] and codes [B,Z], concatenated -> logits [B]."""

    def __init__(self, inputs: int, hidden_dim: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*mlp(inputs, hidden_dim, 1, norm), nn.Flatten(0))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.layers(torch.cat([x.flatten(1), z], 1))


def mlp(inputs: int, hidden_dim: int, outputs: int, norm: Callable[[int], nn.Module]) -> list[nn.Module]:
    """The layers of an MLP [B,inputs] -> [B,outputs] with two hidden layers, the second normalised."""
    return [
        nn.Linear(inputs, hidden_dim), nn.LeakyReLU(0.2, True),
        nn.Linear(hidden_dim, hidden_dim), norm(hidden_dim), nn.LeakyReLU(0.2, True),
        nn.Linear(hidden_dim, outputs),
    ]  # fmt: skip
