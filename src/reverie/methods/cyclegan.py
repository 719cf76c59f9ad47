"""CycleGAN.   B batch, C channels, H = W pixels, N patches; images [B,C,H,W] in [-1,1] of two domains, a and b; logits
[N], or [B,K] of each head of a discriminator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.core.constraints import Count, CountOrNone, Decay, MultipleOf, NonNegative, Positive, Range
from reverie.core.diagnostics import discriminator_auc
from reverie.core.imported_network import Imported, ImportedNetwork
from reverie.core.lr_schedules import linear
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.unpaired import Unpaired
from reverie.media import Image, Photo
from reverie.media.image import side_by_side
from reverie.nn import losses
from reverie.nn.dcgan_blocks import next_power_of_two
from reverie.nn.feature_discriminator import (
    STRIDES,
    FrozenFeatures,
    discriminator_loss,
    generator_loss,
    resolve_discriminator,
)
from reverie.nn.image_pool import ImagePool
from reverie.nn.imagenet import MAP_CHANNELS
from reverie.nn.patch_nce import PatchNCE
from reverie.nn.patchgan import MAX_SHIFT, PatchGAN, ProjectedPatchGAN, check_side
from reverie.nn.resnet_generator import (
    ResidualGenerator,
    ResNetGenerator,
    blocks_for_size,
    size_for_blocks,
    tile_overlap,
)
from reverie.transforms.augment import paired_random_crop, random_flip, random_shift
from reverie.transforms.tiling import apply_tiled
from reverie.transforms.working_size import Detail, apply_at_size, note_size
from reverie.utils.errors import UserError

LOSSES = {"leastsquares": losses.least_squares(), "nonsaturating": losses.nonsaturating(), "hinge": losses.hinge()}
TileSize = Annotated[int, MultipleOf(256, 512)]
WorkingSize = Annotated[int, Range(16)]


class CycleGAN(Method):
    """Image-to-image translation between two domains, learnt without pairs: paintings and photos, summer and winter.

    Zhu, Park, Isola, Efros 2017, arXiv:1703.10593

    The preset paper is theirs. laptop is not: it compares patches in place of translating back (CUT, Park 2020,
    arXiv:2007.15651), and both the comparison and the discriminators see with a frozen ImageNet network (Projected GAN,
    Sauer 2021, arXiv:2111.01007). It learns on crops, at the scale of whole images.
    """

    data_type = Unpaired
    monitored: ClassVar[dict[str, str]] = {"d_auc": "discriminator_auc"}

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, MultipleOf(4, 16)] | None = None
        """pixels per side, a multiple of 4; none: the one that fits the data, at most 256"""
        crop_size: Annotated[int, MultipleOf(4, 16)] | None = None
        """pixels per side of the crops that are trained on, at most size; none: size, as in the paper"""
        in_channels: int | None = None
        """channels of domain a, 1 grey, 3 colour; none: as the data"""
        out_channels: int | None = None
        """channels of domain b; none: as the data"""
        base_channels: Count = 64
        """channels of the first layer of generators and discriminators (section 7.2)"""
        blocks: CountOrNone | None = None
        """residual blocks of the generators; none: 9 from 256 pixels on, else 6 (section 7.2)"""
        network: Literal["resnet", "residual"] = "resnet"
        """the generators: the paper's; or such that add to their input, at first 0, without norms (not in the paper):
        faster where the domains are alike; both domains must have the same channels"""
        objective: Literal["cycle", "cut"] = "cycle"
        """what keeps a translation like its input: that it can be translated back, as in the paper; or that its patches
        are like the input's at the same place, PatchNCE (CUT, Park 2020, arXiv:2007.15651), for each way by itself. It
        compares maps of the generator, as in the paper, or of the frozen network where the discriminators have one"""
        nce_weight: NonNegative = 1.0
        """weight of the PatchNCE loss, lambda_X of CUT (section 3), for objective cut"""
        discriminator: Literal["pixels", "features", "both", "auto"] = "pixels"
        """what the discriminators see: patches of pixels, as in the paper; maps of a frozen ImageNet network, each by a
        small head (Projected GAN, Sauer 2021); or both. auto: both where both domains are in colour, else pixels"""
        feature_network: str | None = None
        """the first 16 hex digits of the SHA-256 of the frozen network's weights; none: the installed one's"""
        n_layers_d: Count = 3
        """layers of the discriminators: 3 for patches of 70 pixels (section 4)"""
        cycle_weight: NonNegative = 10.0
        """weight of the cycle-consistency loss, lambda (section 3.3); 0: adversarial loss alone"""
        adv_weight: NonNegative = 1.0
        """weight of the adversarial loss; 0: cycle-consistency loss alone, without discriminators"""
        identity_weight: NonNegative = 0.5
        """weight, in units of cycle_weight or nce_weight, of the identity loss, which keeps colours (section 5.2,
        paintings to photos; lambda_Y of CUT); it takes domains of the same channels"""
        loss: Literal["leastsquares", "nonsaturating", "hinge"] = "leastsquares"
        """the adversarial loss (section 4)"""
        colour_weight: NonNegative = 0.0
        """weight of the difference of an image and its translation in the mean colours of squares of 32 pixels, where
        both domains have the same channels (not in the papers): against hues that drift. 0 where it is in their colours
        that the domains differ"""
        image_pool_size: CountOrNone = 50
        """generated images of earlier steps, which replace half of the new ones for the discriminators (section 4); 0:
        none"""
        crop_jitter: Annotated[float, Range(1, 2)] = 286 / 256
        """side of training images relative to the random crop taken from them; 1: no crop"""
        hflip: bool = True
        """flip training images horizontally at random"""
        lr: Positive = 2e-4
        """learning rate of Adam (section 4)"""
        beta1: Decay = 0.5
        """Adam's beta1"""
        beta2: Decay = 0.999
        """Adam's beta2"""
        ema_decay: Decay = 0.0
        """decay of the generators' averaged weights, which are then the ones in use; 0: none, as in the paper"""
        steps: Count = 100_000
        """training steps; in the second half the learning rate falls to 0 linearly (section 7.1)"""

        def __post_init__(self) -> None:
            if self.objective == "cycle" and self.cycle_weight + self.adv_weight == 0:
                raise UserError("cycle_weight and adv_weight are both 0, so there is nothing to train for; give one.")
            if self.objective == "cut" and self.nce_weight + self.adv_weight == 0:
                raise UserError("nce_weight and adv_weight are both 0, so there is nothing to train for; give one.")
            known = self.in_channels is not None and self.out_channels is not None
            if self.network == "residual" and known and self.in_channels != self.out_channels:
                raise UserError(
                    f"a has {self.in_channels} channels and b has {self.out_channels}; a residual network adds to an "
                    "image and keeps its channels: give --network resnet."
                )

    presets = {
        "smoke": dict(size=16, base_channels=4, blocks=1, n_layers_d=1, image_pool_size=4, batch_size=4),
        "laptop": dict(
            crop_size=128, crop_jitter=1.0, base_channels=16, blocks=4, network="residual", objective="cut",
            discriminator="features", loss="hinge", identity_weight=0.0, colour_weight=10.0, image_pool_size=0, lr=5e-4,
            beta1=0.0, beta2=0.99, ema_decay=0.995, batch_size=1, steps=6_000, checkpoint_every=1_000, sample_every=500,
        ),
        "paper": dict(size=256, blocks=9, identity_weight=0.0, batch_size=1, steps=200_000),
        "paintings": dict(size=256, blocks=9, batch_size=1, steps=200_000),
    }  # fmt: skip

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or min(256, max(16, next_power_of_two(facts["native"] // 2 + 1)))
        config = replace(config, crop_size=min(config.crop_size or size, size))
        found = {**facts, "size": size, "blocks": blocks_for_size(size)}
        channels = min(getattr(config, side) or facts[side] for side in ("in_channels", "out_channels"))
        assert config.crop_size is not None
        return check_side(super().resolve_config(*resolve_discriminator(config, found, channels)), config.crop_size)

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        assert config.size is not None
        size = round(config.size * config.crop_jitter)
        return {"size": size, "in_channels": config.in_channels, "out_channels": config.out_channels}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.crop_size = c.crop_size or c.size
        self.generator_ab = self.new_generator(c.in_channels, c.out_channels)  # G of the paper
        self.generator_ba = self.new_generator(c.out_channels, c.in_channels)  # F
        pixels_b = PatchGAN(c.out_channels, c.base_channels, c.n_layers_d, "instance")
        pixels_a = PatchGAN(c.in_channels, c.base_channels, c.n_layers_d, "instance")
        self.discriminator_b: nn.Module = pixels_b  # D_Y
        self.discriminator_a: nn.Module = pixels_a  # D_X
        if c.discriminator != "pixels":
            self.features = FrozenFeatures(c.feature_network)
            self.discriminator_b = ProjectedPatchGAN(self.crop_size, pixels_b if c.discriminator == "both" else None)
            self.discriminator_a = ProjectedPatchGAN(self.crop_size, pixels_a if c.discriminator == "both" else None)
        self.pool_b = ImagePool(c.image_pool_size, c.out_channels, self.crop_size, self.crop_size)
        self.pool_a = ImagePool(c.image_pool_size, c.in_channels, self.crop_size, self.crop_size)
        if c.objective == "cut":
            seen = [MAP_CHANNELS[stride] for stride in STRIDES] if c.discriminator != "pixels" else None
            self.nce_ab = PatchNCE(seen or self.generator_ab.encoder_channels)
            self.nce_ba = PatchNCE(seen or self.generator_ba.encoder_channels)

    def new_generator(self, in_channels: int, out_channels: int) -> ResNetGenerator | ResidualGenerator:
        c = self.config
        if c.network == "residual":
            return ResidualGenerator(in_channels, c.base_channels, c.blocks)
        return ResNetGenerator(in_channels, out_channels, c.base_channels, c.blocks)

    def transient_modules(self) -> tuple[str, ...]:
        return "pool_a", "pool_b"

    def optional_modules(self) -> tuple[str, ...]:
        return "discriminator_a", "discriminator_b", "nce_ab", "nce_ba"

    @classmethod
    def from_imported(cls, networks: Sequence[Imported]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Two generators translate a to b and b to a. Raises UserError if they are not two of one training."""
        translators = [net for net in networks if isinstance(net, ImportedNetwork)]
        if len(networks) != 2 or len(translators) != 2:
            return None
        ab, ba = translators
        for net in translators:
            if (net.kind, net.norm, net.dropout) != ("resnet", "instance", False):
                raise UserError(
                    f"{net.name} is {net.describe()}; the two generators of a cyclegan are ResNets with instance norm "
                    "and no dropout: import each file alone."
                )
        if (ab.in_channels, ab.out_channels) != (ba.out_channels, ba.in_channels):
            raise UserError(
                f"{ba.name} ({ba.in_channels} to {ba.out_channels} channels) is not the way back of {ab.name} "
                f"({ab.in_channels} to {ab.out_channels}); give the two of one training."
            )
        if (ab.base_channels, ab.blocks) != (ba.base_channels, ba.blocks):
            raise UserError(
                f"{ab.name} is {ab.describe()}, but {ba.name} {ba.describe()}; give the two of one training."
            )
        config = {name: getattr(ab, name) for name in ("in_channels", "out_channels", "base_channels", "blocks")}
        config["size"] = size_for_blocks(ab.blocks or 0)
        weights = {f"generator_ab.{name}": tensor for name, tensor in ab.weights.items()}
        weights |= {f"generator_ba.{name}": tensor for name, tensor in ba.weights.items()}
        return config, weights

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        adam = partial(torch.optim.Adam, lr=c.lr, betas=(c.beta1, c.beta2), fused=True)
        generators = [*self.generator_ab.parameters(), *self.generator_ba.parameters()]
        if c.objective == "cut":
            generators += [*self.nce_ab.parameters(), *self.nce_ba.parameters()]
        optimizers: dict[str, torch.optim.Optimizer] = {"generators": adam(generators)}
        if c.adv_weight:
            discriminators = [*self.discriminator_b.parameters(), *self.discriminator_a.parameters()]
            optimizers["discriminators"] = adam(discriminators)
        return optimizers

    def stages(self) -> list[Stage]:
        step = self.step if self.config.discriminator == "pixels" else self.step_with_features
        return [Stage("train", self.config.steps, step, linear)]

    def ema_decays(self) -> dict[str, float]:
        return dict.fromkeys(("generator_ab", "generator_ba"), self.config.ema_decay) if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        """One step of both generators, then one of both discriminators (section 3), on unpaired images a and b."""
        c, adversarial, (g_scale, d_scale) = self.config, LOSSES[self.config.loss], self.loss_scales()
        D_a, D_b = self.discriminator_a, self.discriminator_b
        a, b = (self.augmented(batch[side]) for side in "ab")
        fake_b, fake_a = self.generator_ab(a), self.generator_ba(b)
        content, metrics = (self.cycle_losses if c.objective == "cycle" else self.nce_losses)(a, b, fake_a, fake_b)
        if c.colour_weight:
            content = content + self.colour_loss((a, fake_b), (b, fake_a))
        loss_g = a.new_zeros(())
        if c.adv_weight:
            loss_g = g_scale * (adversarial.generator(D_b(fake_b), None) + adversarial.generator(D_a(fake_a), None))
        update("generators", c.adv_weight * loss_g + content)  # eq. 3
        if not c.adv_weight:
            return metrics

        fake_b, fake_a = self.pool_b(fake_b.detach()), self.pool_a(fake_a.detach())
        logits = [(D_b(b).flatten(), D_b(fake_b).flatten()), (D_a(a).flatten(), D_a(fake_a).flatten())]
        loss_d = torch.stack([adversarial.discriminator(real, fake) for real, fake in logits]).sum()
        d_auc = torch.stack([discriminator_auc(real, fake) for real, fake in logits]).mean()
        loss_d = update("discriminators", d_scale * loss_d)
        return {"loss_d": loss_d, "loss_g": loss_g.detach(), **metrics, "d_auc": d_auc}

    def step_with_features(self, batch: Batch, update: Update) -> Metrics:
        """As step, with discriminators that see maps of the frozen network (Sauer 2021, eq. 4), and pixels or not.

        These are updated first, since the maps of an image, on which its time is spent, are the same for both updates.
        PatchNCE compares them too, so an image and what is made of it are moved alike before the network sees them.
        """
        c, adversarial, (g_scale, d_scale) = self.config, LOSSES[self.config.loss], self.loss_scales()
        D_a, D_b = self.discriminator_a, self.discriminator_b
        a, b = (self.augmented(batch[side]) for side in "ab")
        fake_b, fake_a = self.generator_ab(a), self.generator_ba(b)
        content, metrics = self.cycle_losses(a, b, fake_a, fake_b) if c.objective == "cycle" else (a.new_zeros(()), {})
        if c.colour_weight:
            content = content + self.colour_loss((a, fake_b), (b, fake_a))
        a, fake_b = moved_alike(a, fake_b)
        b, fake_a = moved_alike(b, fake_a)
        with torch.no_grad():
            maps_a, maps_b = self.features(a), self.features(b)
        maps_fake_a, maps_fake_b = self.features(fake_a), self.features(fake_b)

        if c.adv_weight:
            real = [*D_b(maps_b, b), *D_a(maps_a, a)]
            fake = [*self.logits_of_pool(D_b, self.pool_b, maps_fake_b, fake_b)]
            fake += self.logits_of_pool(D_a, self.pool_a, maps_fake_a, fake_a)
            d_auc = torch.stack([discriminator_auc(r, f) for r, f in zip(real, fake, strict=True)]).mean()
            loss_d = update("discriminators", d_scale * discriminator_loss(adversarial, real, fake))
            loss_g = g_scale * generator_loss(adversarial, None, [*D_b(maps_fake_b, fake_b), *D_a(maps_fake_a, fake_a)])
            content = content + c.adv_weight * loss_g
            metrics = {"loss_d": loss_d, "loss_g": loss_g.detach(), **metrics, "d_auc": d_auc}
        if c.objective == "cut":
            nce = self.nce_ab(maps_fake_b, maps_a) + self.nce_ba(maps_fake_a, maps_b)
            content = content + c.nce_weight * nce
            metrics["nce"] = nce.detach()
            if c.identity_weight and c.in_channels == c.out_channels:
                same_a, same_b = self.features(self.generator_ba(a)), self.features(self.generator_ab(b))
                identity = self.nce_ab(same_b, maps_b) + self.nce_ba(same_a, maps_a)
                content = content + c.nce_weight * c.identity_weight * identity
                metrics["identity"] = identity.detach()
        update("generators", content)
        return metrics

    def loss_scales(self) -> tuple[float, float]:
        """What the adversarial losses of the generators and of the discriminators are multiplied by.

        least_squares() halves the losses of G and D as Mao does. The paper does not halve that of G (section 4), and
        halves that of D whatever the loss, so that it learns more slowly relative to G (section 7.1).
        """
        return (2.0, 1.0) if self.config.loss == "leastsquares" else (1.0, 0.5)

    def cycle_losses(self, a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor) -> tuple[Tensor, Metrics]:
        """The cycle-consistency loss (eq. 2) and the identity loss (section 5.2), weighted, and each for the log."""
        c = self.config
        cycle = identity = a.new_zeros(())
        if c.cycle_weight:
            cycle = (self.generator_ba(fake_b) - a).abs().mean() + (self.generator_ab(fake_a) - b).abs().mean()
            if c.identity_weight and c.in_channels == c.out_channels:
                identity = (self.generator_ab(b) - b).abs().mean() + (self.generator_ba(a) - a).abs().mean()
        weighted = c.cycle_weight * (cycle + c.identity_weight * identity)
        return weighted, {"cycle": cycle.detach(), "identity": identity.detach()}

    def nce_losses(self, a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor) -> tuple[Tensor, Metrics]:
        """The PatchNCE losses of both ways and of the identity (Park 2020, eqs. 3-4), weighted, and for the log."""
        c = self.config
        G, G_ba = self.generator_ab, self.generator_ba
        nce = self.nce_ab(G.encode(fake_b), G.encode(a)) + self.nce_ba(G_ba.encode(fake_a), G_ba.encode(b))
        identity = a.new_zeros(())
        if c.identity_weight and c.in_channels == c.out_channels:
            identity = self.nce_ab(G.encode(G(b)), G.encode(b)) + self.nce_ba(G_ba.encode(G_ba(a)), G_ba.encode(a))
        return c.nce_weight * (nce + c.identity_weight * identity), {"nce": nce.detach(), "identity": identity.detach()}

    def colour_loss(self, *pairs: tuple[Tensor, Tensor]) -> Tensor:
        """The loss of colour_weight, weighted: for images and translations [B,C,H,W], summed over pairs; or 0."""
        c = self.config
        if c.in_channels != c.out_channels:
            return pairs[0][0].new_zeros(())
        side = min(32, self.crop_size)
        differences = [(F.avg_pool2d(x, side) - F.avg_pool2d(y, side)).abs().mean() for x, y in pairs]
        return c.colour_weight * torch.stack(differences).sum()

    def logits_of_pool(
        self, discriminator: nn.Module, pool: ImagePool, maps: Sequence[Tensor], fake: Tensor
    ) -> list[Tensor]:
        """A discriminator's logits for its update: for images [B,C,H,W] that were made, or for older ones of a pool.

        maps: of these images; those of older ones are computed
        """
        if not self.config.image_pool_size:
            return discriminator([m.detach() for m in maps], fake.detach())
        older = pool(fake.detach())
        with torch.no_grad():
            maps = self.features(older)
        return discriminator(maps, older)

    def augmented(self, x: Tensor) -> Tensor:
        """Training images [B,C,S,S] of crop_size S, cropped and flipped at random."""
        (x,) = paired_random_crop([x], self.crop_size)
        return random_flip(x) if self.config.hflip else x

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @verb
    def translate(
        self,
        photos: list[Photo],
        to: Literal["b", "a"] = "b",
        tile: TileSize = 1024,
        working_size: WorkingSize | None = None,
        detail: Detail = "difference",
    ) -> Iterator[Photo]:
        """Each image translated, in its own size, depth and alpha.

        photos: images of the other domain
        to: the domain that they are translated to
        tile: pixels per side above which an image is cut into tiles, a multiple of 256
        working_size: pixels of the shorter side at which the network works on larger images, such as the size that it
            was trained at; the result is enlarged; none: the image's own size
        detail: with working_size, what the network changes is added to the image itself (difference), or follows its
            edges (guided); none: the result is only enlarged
        """
        noted: set[str] = set()
        for photo in photos:
            x = self._photo_tensor(photo, to)
            if working_size is None:
                note_size(noted, photo.name, min(x.shape[2:]), self.config.size)
            y = apply_at_size(lambda small: self.translate_tensor(small, to, tile), x, working_size, detail)
            yield photo.with_pixels(y[0])

    @verb
    def cycle(self, photos: list[Photo], to: Literal["b", "a"] = "b", tile: TileSize = 1024) -> Iterator[Photo]:
        """Each image translated to the other domain and back, to see what the translation keeps.

        photos: images of the domain that they are translated back to
        to: the domain that they are translated to first
        tile: as in translate
        """
        back: Literal["b", "a"] = "a" if to == "b" else "b"
        for photo in photos:
            translated = self.translate_tensor(self._photo_tensor(photo, to), to, tile)
            yield photo.with_pixels(self.translate_tensor(translated, back, tile)[0])

    def translate_tensor(self, x: Tensor, to: str, tile: int) -> Tensor:
        """One image x [1,C,H,W] of any size, translated to domain `to` "a" or "b", in [-1,1]."""
        generator = self.generator_ab if to == "b" else self.generator_ba
        return apply_tiled(generator, x, tile, tile_overlap(self.config.blocks), 4, 16).clamp(-1, 1)

    def input_domain(self, arguments: dict[str, Any]) -> str:
        return "a" if arguments.get("to", "b") == "b" else "b"

    def _photo_tensor(self, photo: Photo, to: str) -> Tensor:
        channels = self.config.in_channels if to == "b" else self.config.out_channels
        return photo.to_tensor(channels).to(self.device)

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """For each direction rows of input, translation, reconstruction, of the first 8 images."""
        size = self.config.size
        a, b = (batch[side][:8, :, :size, :size] for side in "ab")
        with torch.no_grad():
            fake_b, fake_a = self.generator_ab(a), self.generator_ba(b)
            rec_a, rec_b = self.generator_ba(fake_b), self.generator_ab(fake_a)
        labels = ("input", "translated", "translated back")
        return {
            "a-to-b": side_by_side(a, fake_b, rec_a, labels=labels),
            "b-to-a": side_by_side(b, fake_a, rec_b, labels=labels),
        }


def moved_alike(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Images x and y [B,C,H,W], of a pair moved alike by up to MAX_SHIFT pixels. Gradients reach y, and not x."""
    moved = random_shift(torch.cat([x, y], 1), MAX_SHIFT, reflect=True)
    return moved[:, : x.shape[1]].detach(), moved[:, x.shape[1] :]
