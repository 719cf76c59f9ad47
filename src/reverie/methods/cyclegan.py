"""CycleGAN.   B batch, C channels, H = W pixels; images [B,C,H,W] in [-1,1] of two worlds, a and b; logits [N], each of
a patch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from .. import losses
from ..data.unpaired import Unpaired
from ..errors import UserError
from ..loop import Update
from ..media import Image, Photo, sheet
from ..method import Batch, Losses, Method, Stage, verb
from ..parts.augment import cropped, random_flip
from ..parts.conv import power_of_two_from
from ..parts.foreign import Network
from ..parts.patch import PatchGAN
from ..parts.pool import Pool
from ..parts.rates import linear
from ..parts.resnet import Residual, ResNet, blocks_for, size_for
from ..parts.tiles import check_tile, tiled

LOSSES = {"leastsquares": losses.least_squares(), "nonsaturating": losses.nonsaturating()}
OVERLAP = 64
"""pixels that tiles of a large picture share at each side, blended"""


class CycleGAN(Method):
    """Pictures of one world into another and back, learnt without pairs: paintings and photos, summer and winter.

    Zhu, Park, Isola, Efros 2017, arXiv:1703.10593
    """

    learns_from = Unpaired

    @dataclass(frozen=True)
    class Config:
        size: int | None = None
        """pixels a side, a multiple of 4; none: the one that fits the data, at most 256"""
        inputs: int | None = None
        """channels of a, 1 grey, 3 colour; none: as the data"""
        outputs: int | None = None
        """channels of b; none: as the data"""
        width: int = 64
        """channels of the first maps (section 7.2)"""
        blocks: int | None = None
        """residual blocks of the generators; none: 9 from 256 pixels on, else 6 (section 7.2)"""
        network: Literal["resnet", "residual"] = "resnet"
        """the generators: the paper's; or as those, but each adds to the picture what it changes, at first nothing:
        quick where the worlds are alike, and of as many channels (not in the paper)"""
        patch: int = 3
        """layers of the discriminators: 3 judge patches of 70 pixels (section 4)"""
        cycle: float = 10.0
        """weight of the difference of an image and what comes back of it, lambda (section 3.3); 0: the game alone"""
        game: float = 1.0
        """weight of the game against the discriminators; 0: the cycle alone"""
        identity: float = 0.5
        """weight, in units of lambda, of the difference of b and what the way to b makes of it: keeps colours (section
        5.2, paintings to photos)"""
        loss: Literal["leastsquares", "nonsaturating"] = "leastsquares"
        """what generators and discriminators play for (section 4)"""
        pool: int = 50
        """earlier images that the discriminators are shown in place of half of the new ones (section 4); 0: none"""
        jitter: float = 286 / 256
        """training pictures are so many times larger than what is cut out of them at random; 1: never"""
        rate: float = 2e-4
        """learning rate of Adam (section 4)"""
        beta1: float = 0.5
        """Adam's beta1"""
        beta2: float = 0.999
        """Adam's beta2"""
        average: float = 0.0
        """decay of averaged weights of the generators; 0: none, as in the paper"""
        steps: int = 100_000
        """training steps; in the second half the rate falls to 0 in a straight line (section 7.1)"""

        def __post_init__(self) -> None:
            if self.size is not None and (self.size < 16 or self.size % 4):
                raise UserError(f"size is {self.size}; cyclegan learns on squares of 16, 20, 24 ... pixels.")
            if min(self.cycle, self.game, self.identity) < 0 or self.cycle + self.game == 0:
                raise UserError("cycle, game and identity must not be negative; cycle and game not both 0.")
            if not 1 <= self.jitter <= 2:
                raise UserError(f"jitter is {self.jitter}; it goes from 1 (none) to 2.")
            if self.rate <= 0 or min(self.width, self.patch) < 1 or self.pool < 0:
                raise UserError("rate must be above 0, width and patch 1 or more, pool 0 or more.")
            if not 0 <= self.average < 1:
                raise UserError(f"average is {self.average}; it must lie from 0 to below 1.")
            known = self.inputs is not None and self.outputs is not None
            if self.network == "residual" and known and self.inputs != self.outputs:
                raise UserError(
                    f"a is of {self.inputs} channels and b of {self.outputs}; a residual network adds to a picture and "
                    "keeps its channels: give --network resnet."
                )
            if self.blocks is not None and self.blocks < 0:
                raise UserError(f"blocks is {self.blocks}; it must be 0 or more.")

    presets = {
        "smoke": dict(
            size=16, width=4, blocks=1, patch=1, pool=4, batch=4, steps=20, save_every=10, preview_every=10, log_every=5
        ),
        # In some thousand steps the paper's generators do not yet give back what they are given.
        "laptop": dict(
            size=64, width=32, blocks=6, network="residual", cycle=1.0, identity=0.0, average=0.998, batch=1,
            steps=4_000, save_every=1_000, preview_every=1_000,
        ),
        "paper": dict(size=256, blocks=9, identity=0.0, batch=1, steps=200_000),
        "paintings": dict(size=256, blocks=9, batch=1, steps=200_000),
    }  # fmt: skip

    @classmethod
    def suit(cls, config: Config, facts: dict[str, Any]) -> Config:
        size = config.size or min(256, max(16, power_of_two_from(facts["native"] // 2 + 1)))
        return super().suit(config, {**facts, "size": size, "blocks": blocks_for(size)})

    @classmethod
    def wants(cls, config: Config) -> dict[str, Any]:
        assert config.size is not None
        return {"size": round(config.size * config.jitter), "inputs": config.inputs, "outputs": config.outputs}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        way = Residual if c.network == "residual" else ResNet
        self.to_b = way(c.inputs, c.outputs, c.width, c.blocks)  # G of the paper
        self.to_a = way(c.outputs, c.inputs, c.width, c.blocks)  # F
        self.judge_b = PatchGAN(c.outputs, c.width, c.patch, "instance")  # D_Y
        self.judge_a = PatchGAN(c.inputs, c.width, c.patch, "instance")  # D_X
        self.pool_b, self.pool_a = (Pool(c.pool, n, c.size, c.size) for n in (c.outputs, c.inputs))

    def passing(self) -> tuple[str, ...]:
        return "pool_a", "pool_b"

    def spare(self) -> tuple[str, ...]:
        return "judge_a", "judge_b"

    @classmethod
    def adopt(cls, networks: Sequence[Network]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
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
        if (to_b.inputs, to_b.outputs) != (to_a.outputs, to_a.inputs):
            raise UserError(
                f"{to_a.name} ({to_a.inputs} to {to_a.outputs} channels) is not the way back of {to_b.name} "
                f"({to_b.inputs} to {to_b.outputs}); give the two of one training."
            )
        if (to_b.width, to_b.blocks) != (to_a.width, to_a.blocks):
            raise UserError(
                f"{to_b.name} is {to_b.told()}, but {to_a.name} {to_a.told()}; give the two of one training."
            )
        config = {name: getattr(to_b, name) for name in ("inputs", "outputs", "width", "blocks")}
        ways = (("to_b", to_b), ("to_a", to_a))
        weights = {f"{way}.{name}": tensor for way, net in ways for name, tensor in net.weights.items()}
        return {**config, "size": size_for(to_b.blocks or 0)}, weights

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        adam = partial(torch.optim.Adam, lr=c.rate, betas=(c.beta1, c.beta2), fused=True)
        found: dict[str, torch.optim.Optimizer] = {
            "generators": adam([*self.to_b.parameters(), *self.to_a.parameters()])
        }
        judges = [*self.judge_b.parameters(), *self.judge_a.parameters()]
        return {**found, "discriminators": adam(judges)} if c.game else found

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, linear)]

    def averages(self) -> dict[str, float]:
        return dict.fromkeys(("to_b", "to_a"), self.config.average) if self.config.average else {}

    def step(self, batch: Batch, update: Update) -> Losses:  # section 3
        c, play = self.config, LOSSES[self.config.loss]
        a, b = (random_flip(cropped([batch[side]], c.size)[0]) for side in "ab")
        made_b, made_a = self.to_b(a), self.to_a(b)
        zero = a.new_zeros(())
        cycle = identity = g = zero
        if c.cycle:
            cycle = (self.to_a(made_b) - a).abs().mean() + (self.to_b(made_a) - b).abs().mean()  # eq. 2
            if c.identity and c.inputs == c.outputs:
                identity = (self.to_b(b) - b).abs().mean() + (self.to_a(a) - a).abs().mean()
        if c.game:
            g = play.generator(self.judge_b(made_b).flatten(), None) + play.generator(
                self.judge_a(made_a).flatten(), None
            )
        # Mao's least squares halve the generator's part too; here it is whole (section 4), and that of D alone is
        # halved, which slows it down beside G (section 7.1).
        whole, half = (2.0, 1.0) if c.loss == "leastsquares" else (1.0, 0.5)
        g = whole * g
        update("generators", c.game * g + c.cycle * (cycle + c.identity * identity))  # eq. 3
        told = {"cycle": cycle.detach(), "identity": identity.detach()}
        if not c.game:
            return told

        older_b, older_a = self.pool_b(made_b.detach()), self.pool_a(made_a.detach())
        d_b, d_a = self.judge_b(b).flatten(), self.judge_a(a).flatten()
        d_made_b, d_made_a = self.judge_b(older_b).flatten(), self.judge_a(older_a).flatten()
        d = update("discriminators", half * (play.discriminator(d_b, d_made_b) + play.discriminator(d_a, d_made_a)))
        right = ((d_b[:, None] > d_made_b[None]).float().mean() + (d_a[:, None] > d_made_a[None]).float().mean()) / 2
        return {"d": d, "g": g.detach(), **told, "right": right}

    # -- what users do -------------------------------------------------------------------------------------------------

    @verb
    def translate(self, photos: list[Photo], to: Literal["b", "a"] = "b", tile: int = 1024) -> Iterator[Photo]:
        """Each picture translated, in its own size and depth.

        photos: pictures of world a, or of b
        to: the world they are translated into
        tile: pixels a side from which on a picture is cut into tiles, a multiple of 256
        """
        check_tile(tile)
        channels = self.config.inputs if to == "b" else self.config.outputs
        for photo in photos:
            yield photo.with_pixels(self.translated(photo.to_tensor(channels).to(self.device), to, tile)[0])

    @verb
    def cycle(self, photos: list[Photo], to: Literal["b", "a"] = "b", tile: int = 1024) -> Iterator[Photo]:
        """Each picture translated there and back again, to see what the way there keeps.

        photos: pictures of world a, or of b
        to: the world they are translated into first
        tile: as in translate
        """
        check_tile(tile)
        back: Literal["b", "a"] = "a" if to == "b" else "b"
        channels = self.config.inputs if to == "b" else self.config.outputs
        for photo in photos:
            there = self.translated(photo.to_tensor(channels).to(self.device), to, tile)
            yield photo.with_pixels(self.translated(there, back, tile)[0])

    def translated(self, x: Tensor, to: str, tile: int) -> Tensor:
        """One picture [1,C,H,W] of any size in the other world."""
        return tiled(self.to_b if to == "b" else self.to_a, x, tile, OVERLAP, 4, 16).clamp(-1, 1)

    def previews(self, batch: Batch) -> dict[str, Image]:
        """For each way rows of a picture, its translation, and what comes back of it."""
        shown: dict[str, Image] = {}
        for name, there, back, x in (("a-to-b", self.to_b, self.to_a, "a"), ("b-to-a", self.to_a, self.to_b, "b")):
            with torch.no_grad():
                given = batch[x][:8, :, : self.config.size, : self.config.size]
                made = there(given)
                rows = [given, made, back(made)]
            wide = max(row.shape[1] for row in rows)
            columns = zip(*(Image.from_tensor(row.expand(-1, wide, -1, -1)) for row in rows), strict=True)
            shown[name] = sheet([image for three in columns for image in three], 6)
        return shown
