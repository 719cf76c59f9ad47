"""pix2pix.   B batch, C channels, H = W pixels, N patches; images [B,C,H,W] in [-1,1], inputs a and targets b; logits
[N], or [B,K] of each head of a discriminator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.core.constraints import Count, CountOrNone, Decay, MultipleOf, NonNegative, Positive, PowerOfTwo, Range
from reverie.core.diagnostics import discriminator_auc
from reverie.core.imported_network import Imported, ImportedNetwork
from reverie.core.lr_schedules import linear
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.label_codes import LabelCodes
from reverie.data.images.pairs import Pairs
from reverie.media import Image, Photo
from reverie.media.image import side_by_side
from reverie.nn import losses
from reverie.nn.dcgan_blocks import next_power_of_two
from reverie.nn.feature_discriminator import (
    FINGERPRINT,
    FrozenFeatures,
    discriminator_loss,
    generator_loss,
    resolve_discriminator,
)
from reverie.nn.frozen_encoder_unet import STRIDES, FrozenEncoderUNet
from reverie.nn.imagenet import weights_path
from reverie.nn.label_classes import LabelClasses, resolve_pixel_loss
from reverie.nn.patchgan import MAX_SHIFT, PatchGAN, ProjectedPatchGAN, check_side
from reverie.nn.resnet_generator import ResNetGenerator, blocks_for_size, size_for_blocks, tile_overlap
from reverie.nn.stochastic_eval import stochastic_eval
from reverie.nn.unet import UNet
from reverie.transforms.augment import paired_random_crop, paired_random_flip, random_shift
from reverie.transforms.degradations import (
    apply_degradation,
    apply_degradation_seeded,
    check_severity,
    degraded_channels,
    transfer_colour,
)
from reverie.transforms.tiling import apply_tiled, check_tile
from reverie.transforms.working_size import Detail, apply_at_size, note_size
from reverie.utils.errors import UserError
from reverie.utils.seeding import seed_for

LOSSES = {"nonsaturating": losses.nonsaturating(), "leastsquares": losses.least_squares(), "hinge": losses.hinge()}
Seen = tuple[list[Tensor], Tensor, Tensor]
"""maps of the frozen network, or none of them, and images a and b"""
OVERLAP = 64
"""of the U-Net, pixels at each side of a tile that are discarded, and as many that are blended with its neighbour"""
MOST_FROZEN = 1024
"""pixels a side of a tile that a frozen encoder sees at once, at most"""


class Pix2Pix(Method):
    """Image-to-image translation learnt from pairs: labels to photos and back, grey to colour, edges to photos.

    Isola, Zhu, Zhou, Efros 2016, arXiv:1611.07004

    The preset paper is theirs. laptop is not: beside the discriminator of pixels there is one that sees with a frozen
    ImageNet network (Projected GAN, Sauer 2021, arXiv:2111.01007), and the L1 loss weighs less. Where the targets are
    label maps, it learns their classes by cross-entropy, and that network is the generator's encoder.
    """

    data_type = Pairs
    monitored: ClassVar[dict[str, str]] = {"d_auc": "discriminator_auc"}

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, PowerOfTwo(16)] | None = None
        """pixels per side, a power of two from 16; none: the one that fits the data, at most 256"""
        in_channels: int | None = None
        """channels of the input, 1 grey, 3 colour; none: as the data"""
        out_channels: int | None = None
        """channels of the target; none: as the data"""
        direction: Literal["AtoB", "BtoA"] = "AtoB"
        """which side of the pairs is the input, and which the target"""
        degradation: Literal["", "grey", "edges", "sketch", "blur", "motion", "focus", "noise", "jpeg", "small"] = ""
        """for data of single images: these are the targets, and the inputs are made from them by this degradation"""
        severity: Positive | None = None
        """of the degradation, in its unit; none: its default"""
        base_channels: Count = 64
        """channels of the first layer of the generator and of the discriminator (section 6.1)"""
        network: Literal["unet", "resnet"] = "unet"
        """the generator: the paper's U-Net, or the ResNet of CycleGAN"""
        depth: Annotated[int, Range(2)] | None = None
        """layers of the U-Net's encoder, each of which halves the side; none: down to one pixel, at most 8"""
        blocks: CountOrNone | None = None
        """residual blocks of the ResNet; none: 9 from 256 pixels on, else 6"""
        encoder: Literal["scratch", "frozen", "auto"] = "scratch"
        """of the U-Net: the paper's, from random weights; or a frozen ImageNet network, whose maps the decoder reads.
        auto: frozen for label maps learnt by cross-entropy, else from scratch"""
        upsampling: Literal["transposed", "resize"] = "transposed"
        """in the generator: the paper's transposed convolutions, which can leave checkerboard artefacts, or
        nearest-neighbour upsampling and a convolution, which takes a tenth longer"""
        discriminator: Literal["pixels", "features", "both", "auto"] = "pixels"
        """what the discriminator sees: patches of pixels, as in the paper; maps of a frozen ImageNet network, each by a
        small head (Projected GAN, Sauer 2021); or both. auto: both for targets in colour, pixels for grey ones and
        label maps"""
        feature_network: str | None = None
        """the first 16 hex digits of the SHA-256 of the frozen network's weights; none: the installed one's"""
        n_layers_d: Count = 3
        """layers of the discriminator: 1 for patches of 16 pixels, 3 for 70 (section 6.1.2)"""
        norm: Literal["batch", "instance"] = "batch"
        """normalisation; with batch size 1 the two differ only in the running statistics that batch norm keeps"""
        dropout: Decay | None = None
        """dropout probability in the inner layers of the decoder, the only source of noise (section 3.2); or of the
        channels of a frozen encoder's maps; none: 0.5, or there 0.2. A U-Net of depth 5 or less, for 32 pixels say, has
        no such layers and no dropout"""
        deterministic: bool | None = None
        """whether `translate` runs without dropout and with running statistics; none: only with cross-entropy, since
        the paper uses dropout and batch statistics as in training (section 3.4)"""
        pixel_loss: Literal["l1", "cross_entropy", "auto"] = "l1"
        """L1, as in the paper; or cross-entropy, where the targets are label maps: the generator gives a logit of each
        of their classes, and its images have the colours of the likeliest. auto: cross-entropy for label maps, else
        L1"""
        label_colours: tuple[int, ...] | None = None
        """R, G, B of each class of the targets, as networks see them, for cross-entropy; none: as the data"""
        l1_weight: NonNegative | None = None
        """weight of the pixel loss, lambda; 0: adversarial loss alone; none: 100 (section 3.1), or 20 with a
        discriminator that sees with a frozen network"""
        adv_weight: NonNegative | None = None
        """weight of the adversarial loss; 0: pixel loss alone, without a discriminator; none: 1, or 0 with
        cross-entropy, since it costs pixels of the right class, as in the paper's segmentation"""
        loss: Literal["nonsaturating", "leastsquares", "hinge"] = "nonsaturating"
        """the adversarial loss; the paper's is nonsaturating"""
        crop_jitter: Annotated[float, Range(1, 2)] = 286 / 256
        """side of training images relative to the random crop taken from them (section 6.2); 1: no crop"""
        hflip: bool = True
        """flip pairs horizontally at random (section 6.2)"""
        lr: Positive | None = None
        """learning rate of Adam; none: 2e-4 (section 3.3), or 1e-3 with a frozen encoder"""
        beta1: Decay = 0.5
        """Adam's beta1 (section 3.3)"""
        beta2: Decay = 0.999
        """Adam's beta2"""
        ema_decay: Decay = 0.0
        """decay of the generator's averaged weights, which are then the ones in use; 0: none (the paper)"""
        steps: Count = 80_000
        """training steps; in the second half the learning rate falls to 0 linearly, as in the authors' code"""

        def __post_init__(self) -> None:
            deepest = int(math.log2(self.size or 2**12))
            if self.depth is not None and self.depth > deepest:
                raise UserError(f"depth is {self.depth}; with {deepest} one pixel is left, so give that at most.")
            if self.l1_weight == self.adv_weight == 0:
                raise UserError("l1_weight and adv_weight are both 0, so there is nothing to train for; give one.")
            if self.degradation:
                check_severity(self.degradation, self.severity)
            if self.encoder == "frozen" and self.network == "resnet":
                raise UserError("encoder frozen is a U-Net's, and network is resnet; give one of the two.")
            if self.degradation and self.direction == "BtoA":
                raise UserError(
                    "direction is for data of pairs; with --degradation the inputs are made from the targets."
                )

    _plain = dict(
        size=128, base_channels=32, upsampling="resize", ema_decay=0.999, batch_size=1, checkpoint_every=1_000,
        sample_every=2_000,
    )  # fmt: skip
    _laptop = dict(**_plain, discriminator="auto", encoder="auto", pixel_loss="auto", loss="hinge", steps=10_000)
    presets = {
        "smoke": dict(
            size=16, base_channels=8, degradation="grey", upsampling="resize", ema_decay=0.9, n_layers_d=1, batch_size=4
        ),
        "laptop": _laptop,
        "facades": dict(**_laptop, direction="BtoA"),
        "colourise": dict(**_laptop, degradation="grey"),
        "maps": dict(**_laptop),
        "night": dict(**_laptop),
        "edges": dict(**_laptop, degradation="edges"),
        "deblur": dict(**_laptop, degradation="focus"),
        "plain": dict(**_plain, steps=20_000),
        "paper": dict(size=256, batch_size=1, steps=80_000),  # 200 epochs of the 400 facades
    }

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or min(256, max(16, next_power_of_two(facts["native"] // 2 + 1)))
        a_channels, b_channels = facts.get("in_channels"), facts["out_channels"]
        if config.degradation:
            b_channels = config.out_channels or b_channels
            a_channels = degraded_channels(config.degradation, b_channels)
        elif config.direction == "BtoA":
            a_channels, b_channels = b_channels, a_channels
        found = {**facts, "size": size, "in_channels": a_channels, "out_channels": b_channels}
        config = resolve_pixel_loss(config, facts.get("labels", {}).get("a" if config.direction == "BtoA" else "b"))
        config, found = resolve_discriminator(config, found, config.out_channels or b_channels)
        found["l1_weight"] = 100.0 if config.discriminator == "pixels" else 20.0
        classes, frozen = config.pixel_loss == "cross_entropy", config.encoder == "frozen"
        found |= {"deterministic": classes, "adv_weight": 0.0 if classes else 1.0}
        found |= {"lr": 1e-3, "dropout": 0.2} if frozen else {"lr": 2e-4, "dropout": 0.5}
        if frozen:
            weights_path()  # so that it is missed before training begins
            found["feature_network"] = FINGERPRINT
        elif config.network == "unet":
            found["depth"] = min(8, int(math.log2(size)))
        else:
            found["blocks"] = blocks_for_size(size)
        return check_side(super().resolve_config(config, found), size)

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        assert config.size is not None
        channels = {"in_channels": config.in_channels, "out_channels": config.out_channels}
        if config.direction == "BtoA":
            channels = {"in_channels": config.out_channels, "out_channels": config.in_channels}
        return {"size": round(config.size * config.crop_jitter), "degradation": config.degradation, **channels}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.classes = LabelClasses(c.label_colours, c.out_channels) if c.pixel_loss == "cross_entropy" else None
        outputs, logits = (c.out_channels, False) if self.classes is None else (len(self.classes.colours), True)
        channels = (c.in_channels, outputs, c.base_channels)
        self.multiple, self.least, self.overlap = STRIDES[-1], 0, OVERLAP  # sides that it takes: multiples, the least
        if c.network == "resnet":
            self.generator: nn.Module = ResNetGenerator(*channels, c.blocks, c.norm, c.dropout, c.upsampling, logits)
            self.multiple, self.least, self.overlap = 4, 16, tile_overlap(c.blocks)
        elif c.encoder == "frozen":
            self.generator = FrozenEncoderUNet(*channels, c.size, c.feature_network, c.norm, c.dropout, logits)
        else:
            self.generator = UNet(*channels, c.depth, c.norm, c.dropout, c.upsampling, logits)
            self.multiple = 2**c.depth
        if not c.adv_weight:
            return
        pixels = PatchGAN(c.in_channels + c.out_channels, c.base_channels, c.n_layers_d, c.norm)
        self.discriminator: nn.Module = pixels
        if c.discriminator in ("features", "both"):
            self.features = FrozenFeatures(c.feature_network)
            self.discriminator = ProjectedPatchGAN(c.size, pixels if c.discriminator == "both" else None, c.in_channels)

    def optional_modules(self) -> tuple[str, ...]:
        return ("discriminator",)

    @classmethod
    def from_imported(cls, networks: Sequence[Imported]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """One generator, of the pix2pix or the CycleGAN code, translates a to b."""
        if len(networks) != 1 or not isinstance(net := networks[0], ImportedNetwork):
            return None
        # A U-Net is trained at the size of which it makes one pixel; a ResNet at the paper's for so many blocks.
        size = max(16, 2**net.depth) if net.depth else size_for_blocks(net.blocks or 0)
        names = ("in_channels", "out_channels", "base_channels", "depth", "blocks", "norm")
        config = {name: getattr(net, name) for name in names}
        config |= {"network": net.kind, "size": size, "dropout": 0.5 if net.dropout else 0.0, "deterministic": False}
        return config, {f"generator.{name}": tensor for name, tensor in net.weights.items()}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        adam = partial(torch.optim.Adam, lr=c.lr, betas=(c.beta1, c.beta2), fused=True)
        optimizers: dict[str, torch.optim.Optimizer] = {"generator": adam(self.generator.parameters())}
        if c.adv_weight:
            optimizers["discriminator"] = adam(self.discriminator.parameters())
        return optimizers

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, linear)]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        """One step of D, then one of G (section 3.3), on pairs of a batch. G: adv_weight GAN + l1_weight L1 (eq. 4).

        With cross-entropy in the place of L1, D sees the mean colour of each pixel.
        """
        c, adversarial = self.config, LOSSES[self.config.loss]
        a, b = self.augmented_pair(batch)
        if self.classes is None:
            fake = self.generator_output(a)
            loss_pixel = (b - fake).abs().mean()  # eq. 3
        else:
            logits = self.generator(a)
            fake, loss_pixel = self.classes.expected(logits), F.cross_entropy(logits, self.classes.indices(b))
        if not c.adv_weight:
            update("generator", c.l1_weight * loss_pixel)
            return {c.pixel_loss: loss_pixel.detach()}

        # D of eq. 1, halved, so that D learns more slowly relative to G (section 3.3).
        with torch.no_grad():
            seen_real = self.seen(a, b)
        seen_fake = self.seen(a, fake)
        real, made = self.logits(*seen_real), self.logits(*detached(seen_fake))
        loss_d = update("discriminator", discriminator_loss(adversarial, real, made) / 2)
        d_auc = torch.stack([discriminator_auc(r, f) for r, f in zip(real, made, strict=True)]).mean()

        loss_g = generator_loss(adversarial, None, self.logits(*seen_fake))
        update("generator", c.adv_weight * loss_g + c.l1_weight * loss_pixel)
        return {"loss_d": loss_d, "d_auc": d_auc, c.pixel_loss: loss_pixel.detach(), "loss_g": loss_g.detach()}

    def augmented_pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Inputs and targets [B,C,size,size] of a batch, cropped and flipped at random, both alike (section 6.2)."""
        sides = paired_random_crop(self.sides(batch), self.config.size)
        if self.config.hflip:
            sides = paired_random_flip(sides)
        return self.input_and_target(sides)

    def sides(self, batch: Batch) -> list[Tensor]:
        """[inputs, targets] of a batch of pairs; [targets] of single images, of which the inputs are yet to be made."""
        if self.config.degradation:
            return [batch["b"]]
        if self.config.direction == "BtoA":
            return [batch["b"], batch["a"]]
        return [batch["a"], batch["b"]]

    def input_and_target(self, sides: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(inputs, targets) of what `sides` returns: single images are degraded at random to give the inputs."""
        c = self.config
        if c.degradation:
            return apply_degradation(sides[0], c.degradation, c.severity), sides[0]
        return sides[0], sides[1]

    def generator_output(self, a: Tensor) -> Tensor:
        """b [B,C,H,W] generated from a; with degradation "grey" the luminance of a is kept."""
        if self.classes is not None:
            return self.classes.most_likely(self.generator(a))
        return transfer_colour(a, self.generator(a)) if self.config.degradation == "grey" else self.generator(a)

    def seen(self, a: Tensor, b: Tensor) -> Seen:
        """What the discriminator sees of pairs (a, b): with a frozen network they are moved a little, both alike."""
        if self.config.discriminator == "pixels":
            return [], a, b
        a, b = random_shift(torch.cat([a, b], 1), MAX_SHIFT, reflect=True).split([a.shape[1], b.shape[1]], 1)
        return self.features(b), a, b

    def logits(self, maps: list[Tensor], a: Tensor, b: Tensor) -> list[Tensor]:
        """The discriminator's logits for the patches of pairs: one [N] of pixels, or [B,K] of each head."""
        if self.config.discriminator == "pixels":
            return [self.discriminator(torch.cat([a, b], 1)).flatten()]
        return self.discriminator(maps, b, a)

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @verb
    def translate(
        self,
        photos: list[Photo],
        deterministic: bool | None = None,
        tile: Annotated[int, MultipleOf(256, 512)] = 2048,
        seed: int = 0,
        working_size: Annotated[int, Range(16)] | None = None,
        detail: Detail = "difference",
    ) -> Iterator[Photo]:
        """Each image translated, in its own size, depth and alpha; label maps in the colours or ids of the data.

        photos: images like the inputs of training
        deterministic: without dropout and with running statistics; none: as the run's config has it
        tile: pixels per side above which an image is cut into tiles, a multiple of 256; 1024 at most with a frozen
            encoder, which takes more memory
        seed: of the dropout; a result depends on the seed and its own image alone
        working_size: pixels of the shorter side at which the network works on larger images, such as the size that it
            was trained at; the result is enlarged; none: the image's own size, with cross-entropy at least that size
        detail: with working_size, what the network changes is added to the image itself (difference), or follows its
            edges (guided); none, and with label maps: the result is only enlarged

        Raises UserError if a tile is no multiple of what a deeper U-Net needs.
        """
        check_tile(tile, self.multiple)
        inputs, targets = (self.label_codes(side) for side in self.domains())
        noted, least = set[str](), self.config.size if self.classes is not None else 0
        for photo in photos:
            x = photo.to_tensor(self.config.in_channels) if inputs is None else self.label_tensor(photo, inputs)
            if working_size is None:
                note_size(noted, photo.name, min(x.shape[2:]), self.config.size)
            run = partial(self.translate_tensor, deterministic=deterministic, tile=tile, seed=seed_for(seed, photo))
            labels = inputs is not None, targets is not None
            keep = "none" if any(labels) else detail
            y = apply_at_size(run, x.to(self.device), working_size, keep, *labels, least=least)
            if targets is None:
                yield photo.with_pixels(y[0])
            else:
                (levels,) = Image.from_tensor(y)
                yield photo.with_labels(targets.decode(levels.pixels), targets.table)

    @verb
    def degrade(self, photos: list[Photo], seed: int = 0) -> Iterator[Photo]:
        """Each image degraded as the inputs of a run with --degradation are, for `translate` to undo.

        photos: images like the targets of training
        seed: of what is random in the degradation; a result depends on the seed and its own image alone

        Raises UserError if the run was trained on pairs.
        """
        c = self.config
        if not c.degradation:
            raise UserError("this run was trained on pairs, not with --degradation, so there is nothing to degrade by.")
        for photo in photos:
            y = photo.to_tensor(c.out_channels)
            x = apply_degradation_seeded(y, c.degradation, c.severity, seed_for(seed, photo))
            yield photo.with_pixels(x[0])

    def domains(self) -> tuple[str, str]:
        """The domains of the data that are the inputs and the targets."""
        return ("b", "a") if self.config.direction == "BtoA" else ("a", "b")

    def input_domain(self, arguments: dict[str, Any]) -> str:
        return self.domains()[0]

    def label_codes(self, domain: str) -> LabelCodes | None:
        """How the labels of a domain of the data are kept apart; None where it has no label maps."""
        return LabelCodes.of((self.data_facts.get("labels") or {}).get(domain))

    def label_tensor(self, photo: Photo, codes: LabelCodes) -> Tensor:
        """A label map [1,C,H,W] in [-1,1] as the network sees it."""
        return torch.from_numpy(codes.encode(photo.pixels, self.config.in_channels)).movedim(2, 0)[None] / 127.5 - 1

    def translate_tensor(self, x: Tensor, deterministic: bool | None, tile: int, seed: int) -> Tensor:
        """b [1,C,H,W] in [-1,1] for one image a of any size; the other parameters are those of `translate`."""
        if deterministic is None:
            deterministic = self.config.deterministic
        if self.config.encoder == "frozen":
            tile = min(tile, MOST_FROZEN)
        labels = self.classes is not None
        run = partial(
            apply_tiled, self.generator_output, x, tile, self.overlap, self.multiple, self.least, to_labels=labels
        )
        if deterministic:
            return run()
        with stochastic_eval(self.generator, seed):
            return run()

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Rows of input, translation, target, of the first 8 pairs, cropped in the middle."""
        size = self.config.size
        margin = (batch["b"].shape[3] - size) // 2
        middle = slice(margin, margin + size)
        sides = [side[:8, :, middle, middle] for side in self.sides(batch)]
        with torch.random.fork_rng([]), torch.no_grad():  # a GPU's generator is seeded again by the next step
            torch.manual_seed(0)
            a, b = self.input_and_target(sides)
            self.eval()
            fake = torch.cat([self.translate_tensor(x[None], None, 4096, 0) for x in a])
            self.train()
        return {"": side_by_side(a, fake, b, labels=("input", "output", "target"))}


def detached(seen: Seen) -> Seen:
    """The same without gradients."""
    maps, a, b = seen
    return [m.detach() for m in maps], a.detach(), b.detach()
