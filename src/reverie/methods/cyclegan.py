"""CycleGAN.   B batch, C channels, H = W pixels; images [B,C,H,W] in [-1,1] of two worlds, a and b; logits [N], each of
a patch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from reverie.core.imported_network import ImportedNetwork
from reverie.core.lr_schedules import linear
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.unpaired import Unpaired
from reverie.media import Image, Photo, image_grid
from reverie.nn import losses
from reverie.nn.dcgan_blocks import next_power_of_two
from reverie.nn.image_pool import ImagePool
from reverie.nn.patchgan import PatchGAN
from reverie.nn.resnet_generator import ResidualGenerator, ResNetGenerator, blocks_for_size, size_for_blocks
from reverie.transforms.augment import paired_random_crop, random_flip
from reverie.transforms.tiling import check_tile, tiled
from reverie.utils.errors import UserError

LOSSES = {"leastsquares": losses.least_squares(), "nonsaturating": losses.nonsaturating()}
OVERLAP = 64
"""pixels that tiles of a large picture share at each side, blended"""


class CycleGAN(Method):
    """Pictures of one world into another and back, learnt without pairs: paintings and photos, summer and winter.

    Zhu, Park, Isola, Efros 2017, arXiv:1703.10593
    """

    data_type = Unpaired

    @dataclass(frozen=True)
    class Config:
        size: int | None = None
        """pixels a side, a multiple of 4; none: the one that fits the data, at most 256"""
        in_channels: int | None = None
        """channels of a, 1 grey, 3 colour; none: as the data"""
        out_channels: int | None = None
        """channels of b; none: as the data"""
        base_channels: int = 64
        """channels of the first maps (section 7.2)"""
        blocks: int | None = None
        """residual blocks of the generators; none: 9 from 256 pixels on, else 6 (section 7.2)"""
        network: Literal["resnet", "residual"] = "resnet"
        """the generators: the paper's; or as those, but each adds to the picture what it changes, at first nothing:
        quick where the worlds are alike, and of as many channels (not in the paper)"""
        n_layers_d: int = 3
        """layers of the discriminators: 3 judge patches of 70 pixels (section 4)"""
        cycle_weight: float = 10.0
        """weight of the difference of an image and what comes back of it, lambda (section 3.3); 0: the game alone"""
        adv_weight: float = 1.0
        """weight of the game against the discriminators; 0: the cycle alone"""
        identity_weight: float = 0.5
        """weight, in units of lambda, of the difference of b and what the way to b makes of it: keeps colours (section
        5.2, paintings to photos)"""
        loss: Literal["leastsquares", "nonsaturating"] = "leastsquares"
        """what generators and discriminators adversarial for (section 4)"""
        image_pool_size: int = 50
        """earlier images that the discriminators are shown in place of half of the new ones (section 4); 0: none"""
        crop_jitter: float = 286 / 256
        """training pictures are so many times larger than what is cut out of them at random; 1: never"""
        lr: float = 2e-4
        """learning rate of Adam (section 4)"""
        beta1: float = 0.5
        """Adam's beta1"""
        beta2: float = 0.999
        """Adam's beta2"""
        ema_decay: float = 0.0
        """decay of averaged weights of the generators; 0: none, as in the paper"""
        steps: int = 100_000
        """training steps; in the second half the rate falls to 0 in a straight line (section 7.1)"""

        def __post_init__(self) -> None:
            if self.size is not None and (self.size < 16 or self.size % 4):
                raise UserError(f"size is {self.size}; cyclegan learns on squares of 16, 20, 24 ... pixels.")
            if (
                min(self.cycle_weight, self.adv_weight, self.identity_weight) < 0
                or self.cycle_weight + self.adv_weight == 0
            ):
                raise UserError(
                    "cycle_weight, adv_weight and identity_weight must not be negative; cycle_weight and adv_weight not both 0."
                )
            if not 1 <= self.crop_jitter <= 2:
                raise UserError(f"crop_jitter is {self.crop_jitter}; it goes from 1 (none) to 2.")
            if self.lr <= 0 or min(self.base_channels, self.n_layers_d) < 1 or self.image_pool_size < 0:
                raise UserError(
                    "lr must be above 0, base_channels and n_layers_d 1 or more, image_pool_size 0 or more."
                )
            if not 0 <= self.ema_decay < 1:
                raise UserError(f"ema_decay is {self.ema_decay}; it must lie from 0 to below 1.")
            known = self.in_channels is not None and self.out_channels is not None
            if self.network == "residual" and known and self.in_channels != self.out_channels:
                raise UserError(
                    f"a is of {self.in_channels} channels and b of {self.out_channels}; a residual network adds to a picture and "
                    "keeps its channels: give --network resnet."
                )
            if self.blocks is not None and self.blocks < 0:
                raise UserError(f"blocks is {self.blocks}; it must be 0 or more.")

    presets = {
        "smoke": dict(
            size=16, base_channels=4, blocks=1, n_layers_d=1, image_pool_size=4, batch_size=4
        ),
        # In some thousand steps the paper's generators do not yet give back what they are given.
        "laptop": dict(
            size=64, base_channels=32, blocks=6, network="residual", cycle_weight=1.0, identity_weight=0.0, ema_decay=0.998, batch_size=1,
            steps=4_000, checkpoint_every=1_000, sample_every=1_000,
        ),
        "paper": dict(size=256, blocks=9, identity_weight=0.0, batch_size=1, steps=200_000),
        "paintings": dict(size=256, blocks=9, batch_size=1, steps=200_000),
    }  # fmt: skip

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or min(256, max(16, next_power_of_two(facts["native"] // 2 + 1)))
        return super().resolve_config(config, {**facts, "size": size, "blocks": blocks_for_size(size)})

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        assert config.size is not None
        return {"size": round(config.size * config.crop_jitter), "in_channels": config.in_channels, "out_channels": config.out_channels}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        way = ResidualGenerator if c.network == "residual" else ResNet
        self.to_b = way(c.in_channels, c.out_channels, c.base_channels, c.blocks)  # G of the paper
        self.to_a = way(c.out_channels, c.in_channels, c.base_channels, c.blocks)  # F
        self.judge_b = PatchGAN(c.out_channels, c.base_channels, c.n_layers_d, "instance")  # D_Y
        self.judge_a = PatchGAN(c.in_channels, c.base_channels, c.n_layers_d, "instance")  # D_X
        self.pool_b, self.pool_a = (ImagePool(c.image_pool_size, n, c.size, c.size) for n in (c.out_channels, c.in_channels))

    def transient_modules(self) -> tuple[str, ...]:
        return "pool_a", "pool_b"

    def optional_modules(self) -> tuple[str, ...]:
        return "judge_a", "judge_b"

    @classmethod
    def from_imported(cls, networks: Sequence[ImportedNetwork]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Two networks are the way to b and the way back."""
        if len(networks) != 2:
            return None
        to_b, to_a = networks
        for net in networks:
            if (net.kind, net.norm, net.dropout) != ("resnet", "instance", False):
                raise UserError(
                    f"{net.name} is {net.told()}; the two ways of a cyclegan are ResNets with instance norm and no "
                    "dropout: import each file alone."
                )
        if (to_b.in_channels, to_b.out_channels) != (to_a.out_channels, to_a.in_channels):
            raise UserError(
                f"{to_a.name} ({to_a.in_channels} to {to_a.out_channels} channels) is not the way back of {to_b.name} "
                f"({to_b.in_channels} to {to_b.out_channels}); give the two of one training."
            )
        if (to_b.base_channels, to_b.blocks) != (to_a.base_channels, to_a.blocks):
            raise UserError(
                f"{to_b.name} is {to_b.told()}, but {to_a.name} {to_a.told()}; give the two of one training."
            )
        config = {name: getattr(to_b, name) for name in ("in_channels", "out_channels", "base_channels", "blocks")}
        ways = (("to_b", to_b), ("to_a", to_a))
        weights = {f"{way}.{name}": tensor for way, net in ways for name, tensor in net.weights.items()}
        return {**config, "size": size_for_blocks(to_b.blocks or 0)}, weights

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        adam = partial(torch.optim.Adam, lr=c.lr, betas=(c.beta1, c.beta2), fused=True)
        found: dict[str, torch.optim.Optimizer] = {
            "generators": adam([*self.to_b.parameters(), *self.to_a.parameters()])
        }
        judges = [*self.judge_b.parameters(), *self.judge_a.parameters()]
        return {**found, "discriminators": adam(judges)} if c.adv_weight else found

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, linear)]

    def ema_decays(self) -> dict[str, float]:
        return dict.fromkeys(("to_b", "to_a"), self.config.ema_decay) if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:  # section 3
        c, adversarial = self.config, LOSSES[self.config.loss]
        a, b = (random_flip(paired_random_crop([batch[side]], c.size)[0]) for side in "ab")
        made_b, made_a = self.to_b(a), self.to_a(b)
        zero = a.new_zeros(())
        cycle = identity = g = zero
        if c.cycle_weight:
            cycle = (self.to_a(made_b) - a).abs().mean() + (self.to_b(made_a) - b).abs().mean()  # eq. 2
            if c.identity_weight and c.in_channels == c.out_channels:
                identity = (self.to_b(b) - b).abs().mean() + (self.to_a(a) - a).abs().mean()
        if c.adv_weight:
            g = adversarial.generator(self.judge_b(made_b).flatten(), None) + adversarial.generator(
                self.judge_a(made_a).flatten(), None
            )
        # Mao's least squares halve the generator's part too; here it is whole (section 4), and that of D alone is
        # halved, which slows it down beside G (section 7.1).
        whole, half = (2.0, 1.0) if c.loss == "leastsquares" else (1.0, 0.5)
        g = whole * g
        update("generators", c.adv_weight * g + c.cycle_weight * (cycle + c.identity_weight * identity))  # eq. 3
        told = {"cycle_weight": cycle.detach(), "identity_weight": identity.detach()}
        if not c.adv_weight:
            return told

        older_b, older_a = self.pool_b(made_b.detach()), self.pool_a(made_a.detach())
        d_b, d_a = self.judge_b(b).flatten(), self.judge_a(a).flatten()
        d_made_b, d_made_a = self.judge_b(older_b).flatten(), self.judge_a(older_a).flatten()
        d = update(
            "discriminators",
            half * (adversarial.discriminator(d_b, d_made_b) + adversarial.discriminator(d_a, d_made_a)),
        )
        right = ((d_b[:, None] > d_made_b[None]).float().mean() + (d_a[:, None] > d_made_a[None]).float().mean()) / 2
        return {"d": d, "g": g.detach(), **told, "d_auc": right}

    # -- what users do -------------------------------------------------------------------------------------------------

    @verb
    def translate(self, photos: list[Photo], to: Literal["b", "a"] = "b", tile: int = 1024) -> Iterator[Photo]:
        """Each picture translated, in its own size and depth.

        photos: pictures of world a, or of b
        to: the world they are translated into
        tile: pixels a side from which on a picture is cut into tiles, a multiple of 256
        """
        check_tile(tile)
        channels = self.config.in_channels if to == "b" else self.config.out_channels
        for photo in photos:
            yield photo.with_pixels(self.translate_tensor(photo.to_tensor(channels).to(self.device), to, tile)[0])

    @verb
    def cycle(self, photos: list[Photo], to: Literal["b", "a"] = "b", tile: int = 1024) -> Iterator[Photo]:
        """Each picture translated there and back again, to see what the way there keeps.

        photos: pictures of world a, or of b
        to: the world they are translated into first
        tile: as in translate
        """
        check_tile(tile)
        back: Literal["b", "a"] = "a" if to == "b" else "b"
        channels = self.config.in_channels if to == "b" else self.config.out_channels
        for photo in photos:
            there = self.translate_tensor(photo.to_tensor(channels).to(self.device), to, tile)
            yield photo.with_pixels(self.translate_tensor(there, back, tile)[0])

    def translated(self, x: Tensor, to: str, tile: int) -> Tensor:
        """One picture [1,C,H,W] of any size in the other world."""
        return tiled(self.to_b if to == "b" else self.to_a, x, tile, OVERLAP, 4, 16).clamp(-1, 1)

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """For each way rows of a picture, its translation, and what comes back of it."""
        shown: dict[str, Image] = {}
        for name, there, back, x in (("a-to-b", self.to_b, self.to_a, "a"), ("b-to-a", self.to_a, self.to_b, "b")):
            with torch.no_grad():
                given = batch[x][:8, :, : self.config.size, : self.config.size]
                made = there(given)
                rows = [given, made, back(made)]
            wide = max(row.shape[1] for row in rows)
            columns = zip(*(Image.from_tensor(row.expand(-1, wide, -1, -1)) for row in rows), strict=True)
            shown[name] = image_grid([image for three in columns for image in three], 6)
        return shown
