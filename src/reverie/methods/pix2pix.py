"""pix2pix.   B batch, C channels, H = W pixels; images [B,C,H,W] in [-1,1], a what is given, b what is wanted; logits
[B,1,h,w], each of a patch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from reverie.core.imported_network import ImportedNetwork
from reverie.core.lr_schedules import linear
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.pairs import Pairs
from reverie.media import Image, Photo, image_grid
from reverie.nn import losses
from reverie.nn.dcgan_blocks import next_power_of_two
from reverie.nn.patchgan import PatchGAN
from reverie.nn.resnet_generator import ResNetGenerator, blocks_for_size, size_for_blocks
from reverie.nn.stochastic_eval import stochastic_eval
from reverie.nn.unet import UNet
from reverie.transforms.augment import paired_random_crop, paired_random_flip
from reverie.transforms.degradations import degraded_channels, check_severity, degrade, apply_degradation_seeded, keep_luminance
from reverie.transforms.tiling import check_tile, tiled
from reverie.utils.errors import UserError
from reverie.utils.seeding import seed_for

LOSSES = {"nonsaturating": losses.nonsaturating(), "leastsquares": losses.least_squares()}
OVERLAP = 64
"""pixels that tiles of a large picture share at each side, blended"""


class Pix2Pix(Method):
    """One kind of picture into another, learnt from pairs: labels to facades, grey to colour, edges to photos.

    Isola, Zhu, Zhou, Efros 2016, arXiv:1611.07004
    """

    data_type = Pairs

    @dataclass(frozen=True)
    class Config:
        size: int | None = None
        """pixels a side, a power of two from 16; none: the one that fits the data, at most 256"""
        in_channels: int | None = None
        """channels of what is given, 1 grey, 3 colour; none: as the data"""
        out_channels: int | None = None
        """channels of what is wanted; none: as the data"""
        direction: Literal["a to b", "b to a"] = "a to b"
        """which side of the pairs is given"""
        degradation: Literal["", "grey", "edges", "sketch", "blur", "motion", "focus", "noise", "jpeg", "small"] = ""
        """where the data are single pictures: what is given is made from them so"""
        severity: float | None = None
        """of that, in its unit; none: as usual"""
        base_channels: int = 64
        """channels of the widest maps (section 6.1)"""
        network: Literal["unet", "resnet"] = "unet"
        """the generator: the paper's U-Net, or the ResNet of CycleGAN"""
        depth: int | None = None
        """halvings of the side in the U-Net; none: down to one pixel, at most 8"""
        blocks: int | None = None
        """residual blocks of the ResNet; none: 9 from 256 pixels on, else 6"""
        upsampling: Literal["transposed", "resize"] = "transposed"
        """how the maps of the generator grow: the paper's transposed convolutions, which can lay a grid over all that
        is made, or pixels repeated and convolved, which takes a tenth longer"""
        n_layers_d: int = 3
        """layers of the discriminator: 1 judges patches of 16 pixels, 3 of 70 (section 6.1.2)"""
        norm: Literal["batch", "instance"] = "batch"
        """normalisation; of single images (batch 1) the two differ in what is kept for later"""
        dropout: float = 0.5
        """share of units dropped in the inner layers of the decoder: the only noise there is (section 3.2). A U-Net of
        depth 5 or less, for 32 pixels say, has no such layers: none is dropped"""
        deterministic: bool = False
        """whether `translate` goes without dropout, with the statistics kept from training; the paper has both as in
        training (section 3.4)"""
        l1_weight: float = 100.0
        """weight of the mean absolute difference of pixels, lambda (section 3.1); 0: the game alone"""
        adv_weight: float = 1.0
        """weight of the game against the discriminator; 0: the difference of pixels alone"""
        loss: Literal["nonsaturating", "leastsquares"] = "nonsaturating"
        """what the two adversarial for; the paper's is nonsaturating"""
        crop_jitter: float = 286 / 256
        """training pictures are so many times larger than what is cut out of them at random (section 6.2); 1: never"""
        hflip: bool = True
        """mirror pairs left to right at random (section 6.2)"""
        lr: float = 2e-4
        """learning rate of Adam (section 3.3)"""
        beta1: float = 0.5
        """Adam's beta1 (section 3.3)"""
        beta2: float = 0.999
        """Adam's beta2"""
        ema_decay: float = 0.0
        """decay of averaged weights of the generator, which are those in use; 0: none (the paper)"""
        steps: int = 80_000
        """training steps; in the second half the rate falls to 0 in a straight line, as in the authors' code"""

        def __post_init__(self) -> None:
            if self.size is not None and (self.size < 16 or self.size & (self.size - 1)):
                raise UserError(f"size is {self.size}; pix2pix learns on squares of 16, 32, 64, 128, 256 ... pixels.")
            if self.depth is not None and not 2 <= self.depth <= int(math.log2(self.size or 2**12)):
                raise UserError(f"depth is {self.depth}; it goes from 2 to where one pixel is left (8 for 256 pixels).")
            if self.blocks is not None and self.blocks < 0:
                raise UserError(f"blocks is {self.blocks}; it must be 0 or more.")
            if self.l1_weight < 0 or self.adv_weight < 0 or self.l1_weight + self.adv_weight == 0:
                raise UserError(
                    "l1_weight and adv_weight must not be negative, and not both 0: nothing would be learnt."
                )
            if not 1 <= self.crop_jitter <= 2:
                raise UserError(f"crop_jitter is {self.crop_jitter}; it goes from 1 (none) to 2.")
            if not 0 <= self.ema_decay < 1:
                raise UserError(f"ema_decay is {self.ema_decay}; it goes from 0 (none) to below 1.")
            if not 0 <= self.dropout < 1 or self.lr <= 0 or min(self.base_channels, self.n_layers_d) < 1:
                raise UserError(
                    "dropout goes from 0 to below 1; lr must be above 0, base_channels and n_layers_d 1 or more."
                )
            if self.degradation:
                check_severity(self.degradation, self.severity)
            if self.degradation and self.direction == "b to a":
                raise UserError(
                    "direction is of pairs that are given; with --degradation, what is made is what is given."
                )

    _laptop = dict(
        size=128, base_channels=32, upsampling="resize", ema_decay=0.999, batch_size=1, steps=20_000, checkpoint_every=1_000,
        sample_every=2_000,
    )  # fmt: skip
    presets = {
        "smoke": dict(
            size=16, base_channels=8, degradation="grey", upsampling="resize", ema_decay=0.9, n_layers_d=1, batch_size=4
        ),
        "laptop": _laptop,
        "facades": dict(**_laptop, direction="b to a"),
        "colourise": dict(**_laptop, degradation="grey"),
        "maps": dict(**_laptop),
        "night": dict(**_laptop),
        "edges": dict(**_laptop, degradation="edges"),
        "deblur": dict(**_laptop, degradation="focus"),
        "paper": dict(size=256, batch_size=1, steps=80_000),  # 200 epochs of the 400 facades
    }  # fmt: skip

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or min(256, max(16, next_power_of_two(facts["native"] // 2 + 1)))
        out_channels = config.out_channels or facts["out_channels"]
        given = degraded_channels(config.degradation, out_channels) if config.degradation else facts.get("in_channels", out_channels)
        sides = {"in_channels": given, "out_channels": out_channels}
        if config.direction == "b to a":
            sides = {"in_channels": facts["out_channels"], "out_channels": facts.get("in_channels", out_channels)}
        deep = {"depth": min(8, int(math.log2(size)))} if config.network == "unet" else {"blocks": blocks_for_size(size)}
        return super().resolve_config(config, {**facts, **sides, "size": size, **deep})

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        sides = (config.in_channels, config.out_channels)
        if config.direction == "b to a":
            sides = sides[::-1]
        assert config.size is not None
        return {
            "size": round(config.size * config.crop_jitter), "degradation": config.degradation, "in_channels": sides[0], "out_channels": sides[1]
        }  # fmt: skip

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        ends = (c.in_channels, c.out_channels, c.base_channels)
        self.generator: nn.Module
        if c.network == "unet":
            self.generator = UNet(*ends, c.depth, c.norm, c.dropout, c.upsampling)
            self.multiple, self.least = 2**c.depth, 0
        else:
            self.generator = ResNetGenerator(*ends, c.blocks, c.norm, c.dropout, c.upsampling)
            self.multiple, self.least = 4, 16
        self.discriminator = PatchGAN(c.in_channels + c.out_channels, c.base_channels, c.n_layers_d, c.norm)

    def optional_modules(self) -> tuple[str, ...]:
        return ("discriminator",)

    @classmethod
    def from_imported(cls, networks: Sequence[ImportedNetwork]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """One network, whatever it was trained by, is a way from a to b."""
        if len(networks) != 1:
            return None
        (net,) = networks
        # Pixels of which a U-Net makes one, and with which a ResNet of so many blocks is trained as a rule.
        size = max(16, 2**net.depth) if net.depth else size_for_blocks(net.blocks or 0)
        told = {name: getattr(net, name) for name in ("in_channels", "out_channels", "base_channels", "depth", "blocks", "norm")}
        config = {**told, "network": net.kind, "size": size, "dropout": 0.5 if net.dropout else 0.0}
        return config, {f"generator.{name}": tensor for name, tensor in net.weights.items()}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        adam = partial(torch.optim.Adam, lr=c.lr, betas=(c.beta1, c.beta2), fused=True)
        found: dict[str, torch.optim.Optimizer] = {"generator": adam(self.generator.parameters())}
        return {**found, "discriminator": adam(self.discriminator.parameters())} if c.adv_weight else found

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, linear)]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:  # section 3.3
        c, adversarial = self.config, LOSSES[self.config.loss]
        a, b = self.pair(batch)
        made = self.made(a)
        told: Metrics = {}
        if c.adv_weight:
            d_real, d_made = self.judged(a, b), self.judged(a, made.detach())
            # Halved, so that D learns more slowly beside G (section 3.3).
            told["d"] = update("discriminator", adversarial.discriminator(d_real, d_made) / 2)
            told["d_auc"] = (d_real[:, None] > d_made[None]).float().mean()
        apart = (b - made).abs().mean()  # eq. 3
        game = adversarial.generator(self.judged(a, made), None) if c.adv_weight else a.new_zeros(())
        update("generator", c.adv_weight * game + c.l1_weight * apart)  # eq. 4
        return {**told, "l1_weight": apart.detach(), **({"g": game.detach()} if c.adv_weight else {})}

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is given and what is wanted [B,C,size,size], cut out and mirrored at random, both alike."""
        c, b = self.config, batch["b"]
        sides = [b, batch["a"]] if c.direction == "b to a" else [batch["a"], b] if "a" in batch else [b]
        sides = paired_random_crop(sides, c.size)
        sides = paired_random_flip(sides) if c.hflip else sides
        return (degrade(sides[0], c.degradation, c.severity), sides[0]) if c.degradation else (sides[0], sides[1])

    def made(self, a: Tensor) -> Tensor:
        """b [B,C,H,W] made of a."""
        return keep_luminance(a, self.generator(a), self.config.degradation)

    def judged(self, a: Tensor, b: Tensor) -> Tensor:
        """What the discriminator makes of the patches of pairs: logits [N]."""
        return self.discriminator(torch.cat([a, b], 1)).flatten()

    # -- what users do -------------------------------------------------------------------------------------------------

    @verb
    def translate(
        self, photos: list[Photo], still: bool | None = None, tile: int = 2048, seed: int = 0
    ) -> Iterator[Photo]:
        """Each picture translated, in its own size and depth.

        photos: pictures of the kind that is given
        still: without dropout, with the statistics kept from training; none: as the run says
        tile: pixels a side from which on a picture is cut into tiles, a multiple of 256
        seed: of the dropout; what becomes of a picture depends on the seed and the picture alone
        """
        check_tile(tile, self.multiple)
        for photo in photos:
            x = photo.to_tensor(self.config.in_channels).to(self.device)
            yield photo.with_pixels(self.translate_tensor(x, still, tile, seed_for(seed, photo))[0])

    @verb
    def degrade(self, photos: list[Photo], seed: int = 0) -> Iterator[Photo]:
        """What runs with --degradation are given: it is made of good pictures, to see what `translate` makes of it.

        photos: good pictures
        seed: what becomes of a picture depends on the seed and the picture alone
        """
        c = self.config
        if not c.degradation:
            raise UserError("this run learnt from pairs that were given, not from in_channels that it made itself.")
        for photo in photos:
            yield photo.with_pixels(
                apply_degradation_seeded(photo.to_tensor(c.out_channels), c.degradation, c.severity, seed_for(seed, photo))[0]
            )

    def translated(self, x: Tensor, still: bool | None, tile: int, seed: int) -> Tensor:
        """b [1,C,H,W] for one picture a of any size."""
        act = partial(tiled, self.made, x, tile, OVERLAP, self.multiple, self.least)
        if self.config.deterministic if still is None else still:
            return act()
        with stochastic_eval(self.generator, seed):
            return act()

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Rows of what is given, what is made of it, and what was wanted."""
        c = self.config
        edge = (batch["b"].shape[3] - c.size) // 2
        middle = {k: v[:8, :, edge : edge + c.size, edge : edge + c.size] for k, v in batch.items()}
        with torch.random.fork_rng([]), torch.no_grad():  # that of a GPU is seeded anew with the next step
            torch.manual_seed(0)
            a, b = (middle["b"], middle["a"]) if c.direction == "b to a" else (middle.get("a"), middle["b"])
            a = degrade(b, c.degradation, c.severity) if a is None else a
            self.eval()
            made = torch.cat([self.translate_tensor(x[None], None, 4096, 0) for x in a])
            self.train()
        rows = [x.expand(-1, max(a.shape[1], b.shape[1]), -1, -1) for x in (a, made, b)]
        return {"": image_grid([image for three in zip(*map(Image.from_tensor, rows), strict=True) for image in three], 6)}
