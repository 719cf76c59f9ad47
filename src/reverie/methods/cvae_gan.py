"""CVAE-GAN.   B batch, Z latents, K classes, C channels, H = W pixels; images [B,C,H,W] in [-1,1], logits [B] or [B,K],
classes as shares [B,K] that sum to 1, features [B,F]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.core.diagnostics import active_units, diagnostics
from reverie.core.generation import Items, encode_images, generate_images, map_images, select_items
from reverie.core.interpolation import edit_endpoints, interpolation_rows, lerp, row_endpoints
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Code, Image, comparison_grid, image_grid
from reverie.nn import losses
from reverie.nn.class_conditional import ConditionalEncoder, FeatureDiscriminator, apart
from reverie.nn.dcgan_blocks import Generator, default_base_channels, default_size
from reverie.nn.latent_directions import ClassMeans, direction
from reverie.transforms.augment import check_shift, random_flip_and_shift
from reverie.utils.errors import UserError, near_miss
from reverie.utils.seeding import noise


class CVAEGAN(Method):
    """New images of a class, variations of a given one, holes filled: encoder, generator, classifier, discriminator.

    Bao, Chen, Wen, Li, Hua 2017, arXiv:1703.10155
    """

    data_type = Images
    needs_labels = True

    @dataclass(frozen=True)
    class Config:
        size: int | None = None
        """pixels, a power of two from 16; none: the one that fits the data, at most 64"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        class_names: tuple[str, ...] | None = None
        """of the classes, in the order of their labels; none: as the data"""
        latent_dim: int | None = None
        """numbers in z. None: 16 for grey, 64 for colour (the paper: 256)"""
        base_channels: int | None = None
        """channels of the widest maps; each halving of the side doubles them, up to 8 times. None: 64 at 32 pixels,
        32 at 64 pixels and so on, so that a step costs about the same"""
        lambda_kl: float = 3.0
        """weight of the KL, lambda 1 (section 4: 3)"""
        lambda_rec: float = 1.0
        """weight of the error between an image and its reconstruction, lambda 2: of pixels, and of what discriminator
        and classifier see (eq. 8)"""
        lambda_fm_d: float = 1e-3
        """weight of the distance between mean features of real and generated images, as the discriminator sees them:
        lambda 3 (eq. 4)"""
        lambda_fm_c: float = 1e-3
        """the same for each class, as the classifier sees them: lambda 4 (eq. 6)"""
        adv_weight: float = 0.0
        """weight of the game against the discriminator; the paper has none"""
        loss: Literal["nonsaturating", "relativistic"] = "nonsaturating"
        """what the discriminator plays for; the paper's is nonsaturating"""
        norm: Literal["batch", "none"] = "batch"
        """normalisation in the discriminator. With a penalty: none"""
        r1_weight: float = 0.0
        """weight of the discriminator's gradient penalty, R1+R2; the paper has none"""
        d_reg_interval: int = 1
        """the penalty is taken at every so many steps alone, and weighs as much more"""
        lr: float = 2e-4
        """learning rate of Adam"""
        beta1: float = 0.5
        """Adam's beta1"""
        beta2: float = 0.999
        """Adam's beta2"""
        ema_decay: float = 0.0
        """decay of averaged weights of encoder and generator; 0: none, as in the paper"""
        hflip: bool = False
        """mirror training images left to right at random"""
        shift: float = 0.0
        """training images are moved by up to this share of the side at random; both help where images are few"""
        steps: int = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            check_shift(self.shift)
            if self.size is not None and (self.size < 16 or self.size & (self.size - 1)):
                raise UserError(f"size is {self.size}; cvae_gan makes squares of 16, 32, 64, 128, 256 ... pixels.")
            if self.r1_weight and self.norm == "batch":
                raise UserError("r1_weight needs single images, but norm 'batch' mixes them; give --norm none.")
            weights = (
                self.lambda_kl,
                self.lambda_rec,
                self.lambda_fm_d,
                self.lambda_fm_c,
                self.adv_weight,
                self.r1_weight,
            )
            if min(weights) < 0 or self.lr <= 0:
                raise UserError(
                    "lr must be above 0; lambda_kl, pairs, match, lambda_fm_c, adv_weight and r1_weight not negative."
                )
            if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and 0 <= self.ema_decay < 1):
                raise UserError("beta1, beta2 and ema_decay must lie from 0 to below 1.")
            if any(
                count is not None and count < 1 for count in (self.latent_dim, self.base_channels, self.d_reg_interval)
            ):
                raise UserError("latent_dim, base_channels and d_reg_interval must be 1 or more.")

    presets = {
        "smoke": dict(size=16, latent_dim=8, base_channels=8, batch_size=16),
        "laptop": dict(lambda_kl=50.0, lambda_fm_d=1.0, lambda_fm_c=0.1, ema_decay=0.999, steps=6_000),
        # The paper's errors and a game against both kinds of images: photographs come out sharper and more varied.
        "stable": dict(
            lambda_rec=0.02, lambda_kl=0.01, lambda_fm_d=0.0, lambda_fm_c=0.01, adv_weight=1.0, loss="relativistic", norm="none", r1_weight=0.01,
            d_reg_interval=4, lr=1e-3, beta1=0.0, beta2=0.99, ema_decay=0.999, steps=6_000,
        ),
        "paper": dict(size=128, latent_dim=256, base_channels=64, steps=100_000),
    }  # fmt: skip

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or default_size(facts["native"])
        latent_dim = 16 if (config.channels or facts["channels"]) == 1 else 64
        return super().resolve_config(
            config, {**facts, "size": size, "base_channels": default_base_channels(size), "latent_dim": latent_dim}
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        if len(c.class_names) < 2:
            raise UserError(
                f"there is one class, {c.class_names[0]}; cvae_gan tells 2 or more apart: a folder for each."
            )
        self.encoder = ConditionalEncoder(c.size, c.channels, c.base_channels, c.latent_dim, len(c.class_names))
        self.generator = Generator(c.size, c.channels, c.base_channels, c.latent_dim + len(c.class_names))
        self.discriminator = FeatureDiscriminator(c.size, c.channels, c.base_channels, 1, c.norm)
        self.classifier = FeatureDiscriminator(c.size, c.channels, c.base_channels, len(c.class_names))
        features = self.classifier.features
        self.real_means, self.made_means = (
            ClassMeans(len(c.class_names), features),
            ClassMeans(len(c.class_names), features),
        )

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c, players = self.config, ("encoder", "generator", "discriminator", "classifier")
        adam = partial(torch.optim.Adam, lr=c.lr, betas=(c.beta1, c.beta2), fused=True)
        return {name: adam(self.get_submodule(name).parameters()) for name in players}

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step)]

    def ema_decays(self) -> dict[str, float]:
        return {"encoder": self.config.ema_decay, "generator": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:  # algorithm 1
        c, D, adversarial, label = (
            self.config,
            self.discriminator,
            losses.ADVERSARIAL_LOSSES[self.config.loss],
            batch["label"],
        )  # [B]
        x, share = (
            random_flip_and_shift(batch["image"], c.hflip, c.shift),
            self.one_hot(label),
        )  # [B,C,H,W] in [-1,1], [B,K]
        mean, log_variance = self.posterior(x, share)  # [B,Z]
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        # In one pass: batch norm then has the same statistics for x told again and for images from the prior.
        told, fake = self.decode(torch.cat([z, torch.randn_like(mean)]), torch.cat([share, share])).chunk(2)

        reg_step = c.r1_weight > 0 and update.step % c.d_reg_interval == 0
        shown = x.detach().requires_grad_() if reg_step else x
        (d_x, d_seen), (d_told, d_seen_told), (d_fake, d_seen_fake) = (D(i) for i in (shown, told, fake))
        (c_x, c_seen), (_, c_seen_told), (_, c_seen_fake) = (self.classifier(i) for i in (x, told, fake))
        d = (
            adversarial.discriminator(d_x, d_told) + adversarial.discriminator(d_x, d_fake)
        ) / 2  # eq. 3, of both kinds of images
        if reg_step:
            rough = losses.zero_centred_penalty(d_told, told) + losses.zero_centred_penalty(d_fake, fake)
            d = d + c.d_reg_interval * c.r1_weight * (losses.zero_centred_penalty(d_x, shown) + rough / 2)
        right = F.cross_entropy(c_x, label)  # eq. 5
        kl = losses.kl_to_standard_normal(mean, log_variance).sum(1).mean()  # eq. 7
        pairs = half_square(x - told) + half_square(d_seen.detach() - d_seen_told)  # eq. 8
        pairs = pairs + half_square(c_seen.detach() - c_seen_told)
        match = 0.5 * (d_seen.detach().mean(0) - d_seen_fake.mean(0)).square().sum()  # eq. 4
        of_class = apart(self.real_means, self.made_means, c_seen.detach(), c_seen_fake, label)  # eq. 6
        g = (adversarial.generator(d_told, d_x) + adversarial.generator(d_fake, d_x)) / 2
        made = c.lambda_rec * pairs + c.lambda_fm_d * match + c.lambda_fm_c * of_class + c.adv_weight * g
        update(
            {
                "classifier": right,
                "discriminator": d,
                "encoder": c.lambda_kl * kl + c.lambda_rec * pairs,
                "generator": made,
            }
        )
        seen = {
            "d": d,
            "g": g,
            "lambda_rec": pairs,
            "lambda_kl": kl,
            "lambda_fm_d": match,
            "match class": of_class,
            "c": right,
        }
        found = {name: value.detach() for name, value in seen.items()} | diagnostics(d_x, d_fake, x, fake)
        found |= {"accuracy": (c_x.argmax(1) == label).float().mean(), **active_units(mean)}
        if not c.adv_weight:
            del found["d_auc"]  # nobody plays against D then, so that it is no fault
        return found

    # -- the model -------------------------------------------------------------------------------------------------

    def one_hot(self, label: Tensor) -> Tensor:
        """Labels [B] as shares [B,K]."""
        return F.one_hot(label, len(self.config.class_names)).float()

    def posterior(self, x: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B,Z] of q(z|x,c)."""
        mean, log_variance = self.encoder(x, share).chunk(2, 1)
        return mean, log_variance.clamp(-20, 10)

    def decode(self, z: Tensor, share: Tensor) -> Tensor:
        """Images [B,C,H,W] of codes [B,Z] and classes [B,K]."""
        return self.generator(torch.cat([z, share], 1))

    def shares(self, label: str) -> Tensor:
        """The classes [K] that a label names: a class, or "cat+dog" for half of each. Raises UserError."""
        found = torch.zeros(len(self.config.class_names), device=self.device)
        for name in [label] if label in self.config.class_names else label.split("+"):  # a class may be called c++
            if name not in self.config.class_names:
                hint = (
                    near_miss(name, list(self.config.class_names))
                    or f" There are: {', '.join(self.config.class_names)}."
                )
                raise UserError(f"there is no class '{name}'.{hint}")
            found[self.config.class_names.index(name)] += 1
        return found / found.sum()

    def code(self, x: Tensor, label: str = "") -> Tensor:
        """The mean of q(z|x,c), and c: [B,Z+K]. c is what the label names, or what the classifier takes x for."""
        share = self.shares(label).expand(len(x), -1) if label else self.seen_as(x)
        return torch.cat([self.posterior(x, share)[0], share], 1)

    def seen_as(self, x: Tensor) -> Tensor:
        """The class that the classifier sees in each image, as shares [B,K]."""
        return self.one_hot(self.classifier(x)[0].argmax(1))

    def codes(self, images: Sequence[Image] | None, label: str) -> Tensor | None:
        """The codes [N,Z+K] of pictures; None for none."""
        c = self.config
        return self.code(Image.to_tensor(images, c.size, c.channels).to(self.device), label) if images else None

    def latents(self, seed: int, label: str = "") -> Callable[[Sequence[int]], Tensor]:
        """items -> z and c [len(items),Z+K]; without a label the classes take turns."""
        share = self.shares(label) if label else None

        def of(items: Sequence[int]) -> Tensor:
            z = noise(seed, items, self.config.latent_dim, device=self.device)
            turn = torch.tensor([i % len(self.config.class_names) for i in items], device=self.device)
            return torch.cat([z, self.one_hot(turn) if share is None else share.expand(len(z), -1)], 1)

        return of

    # -- what users do -----------------------------------------------------------------------------------------------

    @verb
    def generate(self, n: int = 64, label: str = "", seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images of a class, or of all classes in turn.

        n: how many
        label: a class, or several with + between them for a mixture of them; none: each class in turn
        seed: image i depends on (seed, i) and the label alone
        """
        row = 0 if label or len(self.config.class_names) > 20 else len(self.config.class_names)
        for image in generate_images(self.generator, self.latents(seed, label), select_items(items, n)):
            yield image.in_rows_of(row)

    @verb
    def reconstruct(self, images: list[Image], label: str = "") -> Iterator[Image]:
        """Each image encoded and decoded again.

        images: pictures
        label: their class; none: the one that the classifier sees
        """
        c = self.config
        yield from map_images(lambda x: self.generator(self.code(x, label)), images, c.size, c.channels, self.device)

    @verb
    def encode(self, images: list[Image], label: str = "") -> Iterator[Code]:
        """The code of each picture, the mean of q(z|x,c) and the shares of the classes after it, as a table.

        images: pictures
        label: their class; none: the one that the classifier sees
        """
        c = self.config
        yield from encode_images(lambda x: self.code(x, label), images, c.size, c.channels, self.device)

    @verb
    def variations(
        self,
        images: list[Image],
        n: int = 8,
        spread: float = 0.7,
        label: str = "",
        seed: int = 0,
        items: Items = None,
    ) -> Iterator[Image]:
        """Many images of the class of each picture, more or less like it, in a row.

        images: pictures
        n: how many of each
        spread: from 0, the reconstruction, to 1, any image of the class
        label: the class; none: the one that the classifier sees
        seed: of what varies
        """
        if not 0 <= spread <= 1:
            raise UserError(f"spread is {spread}; it goes from 0 to 1.")
        codes, c = self.codes(images, label), self.config
        assert codes is not None

        def varied(items: list[int]) -> Tensor:
            own = codes[[min(i // n, len(codes) - 1) for i in items]]
            z = (1 - spread**2) ** 0.5 * own[:, : c.latent_dim] + spread * noise(
                seed, items, c.latent_dim, device=self.device
            )
            return torch.cat([z, own[:, c.latent_dim :]], 1)

        for image in generate_images(self.generator, varied, select_items(items, len(images), n)):
            yield image.made_from(*images).in_rows_of(n)

    @verb
    def inpaint(
        self,
        images: list[Image],
        box: tuple[float, ...] = (0.25, 0.25, 0.75, 0.75),
        rounds: int = 10,
        label: str = "",
    ) -> Iterator[Image]:
        """Each image with a hole in it filled; outside the hole it stays as it is (section 5.3).

        images: pictures
        box: the hole: left, top, right, bottom, as shares of the side
        rounds: how often what fills the hole is encoded and decoded again with the rest
        label: the class; none: the one that the classifier sees
        """
        c = self.config
        if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
            raise UserError(f"box is {','.join(map(str, box))}; give left,top,right,bottom from 0 to 1.")
        if rounds < 1:
            raise UserError(f"rounds is {rounds}; give 1 or more.")
        left, top, right, bottom = (round(edge * c.size) for edge in box)
        hole = torch.zeros(1, 1, c.size, c.size, device=self.device)
        hole[:, :, top:bottom, left:right] = 1

        def fill(x: Tensor) -> Tensor:
            filled = x * (1 - hole)  # the mean grey, 0, at first
            for _ in range(rounds):
                filled = torch.where(hole > 0, self.generator(self.code(filled, label)), x)
            return filled

        yield from map_images(fill, images, c.size, c.channels, self.device)

    @verb
    def interpolate(
        self,
        images: list[Image] | None = None,
        n: int = 8,
        steps: int = 10,
        label: str = "",
        seed: int = 0,
        items: Items = None,
    ) -> Iterator[Image]:
        """Walks from one image to another, in rows, through codes and classes.

        images: pictures; row r goes from picture r to picture r + 1
        n: without pictures, how many rows; row r goes from image 2r to image 2r + 1 of `generate`
        steps: images in a row, both ends included
        label: the class of all; none: that of each picture, or the classes in turn
        seed: as in generate
        """
        ends = row_endpoints(self.latents(seed, label), self.codes(images, label))
        rows = len(images) - 1 if images else n
        for image in interpolation_rows(self.generator, ends, lerp, select_items(items, rows, steps), steps):
            yield image.made_from(*(images or ()))

    @verb
    def edit(
        self, images: list[Image] | None = None, along: str = "z1", amount: float = 3.0, n: int = 8, steps: int = 7,
        seed: int = 0, items: Items = None,
    ) -> Iterator[Image]:  # fmt: skip
        """Images changed step by step, a row for each: into another class, or along a direction of the code.

        images: pictures; none: new images
        along: a class, which a row ends with; or a direction found without labels, z1, z2, ..., the strongest first
        amount: for a direction, how far the ends of a row are away, in standard deviations of z
        n: without pictures, how many rows; row r is about image r of `generate`
        steps: images in a row; of a direction from -amount to amount; 1: the last of them
        seed: as in generate
        """
        c, rows = self.config, len(images) if images else n
        heading = torch.zeros(c.latent_dim + len(c.class_names), device=self.device)
        if along not in c.class_names:
            heading[: c.latent_dim] = amount * direction(
                along, c.class_names, None, self.generator.first()[: c.latent_dim]
            )

        def change(z: Tensor) -> tuple[Tensor, Tensor]:
            a, b = z - heading, z + heading
            if along in c.class_names:
                b = torch.cat([z[:, : c.latent_dim], self.shares(along).expand(len(z), -1)], 1)
            return (a if steps > 1 else b), b

        ends = edit_endpoints(change, self.latents(seed), self.codes(images, ""))
        for image in interpolation_rows(self.generator, ends, lerp, select_items(items, rows, steps), steps):
            yield image.made_from(*(images or ()))

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Samples by class, and rows of training images above their reconstructions."""
        k = min(20, len(self.config.class_names))
        real = list(Image.from_tensor(batch["image"][:16]))
        samples = self.verb("generate")(n=min(8 * len(self.config.class_names), 200), seed=0)
        return {"": image_grid(samples, k), "reconstruction": comparison_grid(real, self.reconstruct(real))}


def half_square(x: Tensor) -> Tensor:
    """Half the squared length of an item of [B,...], mean over the batch."""
    return 0.5 * x.square().flatten(1).sum(1).mean()
