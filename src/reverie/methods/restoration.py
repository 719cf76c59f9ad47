"""Restoration.   B batch, C channels, H = W pixels; images [B,C,H,W] in [-1,1]: y good, x what is left of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from .. import losses
from ..data.photos import Photos
from ..errors import UserError
from ..items import seed_for
from ..loop import Update
from ..media import Image, Photo, sheet
from ..method import Batch, Losses, Method, Stage, verb
from ..parts.augment import cropped, flipped
from ..parts.degrade import DEGRADATIONS, channels_of, check_strength, degrade, mended, spoilt
from ..parts.patch import PatchGAN
from ..parts.rates import cosine
from ..parts.restorer import Restorer
from ..parts.tiles import check_tile, tiled
from ..scores.restoring import Restored

PLAY = losses.nonsaturating()


class Restoration(Method):
    """Pictures repaired: noise, blur, JPEG, lost colour; learnt from good pictures alone, which it spoils itself.

    The objective of pix2pix (Isola 2016, arXiv:1611.07004), the network of Zhang 2017, arXiv:1608.03981 and 1710.04026
    """

    learns_from = Photos

    @dataclass(frozen=True)
    class Config:
        make: Literal["grey", "edges", "sketch", "blur", "motion", "focus", "noise", "jpeg", "small"] = "noise"
        """how good pictures are spoilt, which is what will be repaired"""
        strength: float | None = None
        """of that, in its unit (noise: sigma in levels of 255; jpeg: quality; blurs: pixels); none: as usual"""
        channels: int | None = None
        """of good pictures, 1 grey, 3 colour; none: as the data"""
        size: int = 48
        """pixels a side of what is learnt from at a time"""
        width: int = 64
        """channels of the network"""
        depth: int = 12
        """its convolutions"""
        game: float = 0.0
        """weight of a game against a discriminator of patches, which invents texture where it is lost; 0: none, which
        gives the smallest error"""
        error: Literal["l1", "l2"] = "l1"
        """what is made small: the mean absolute or squared difference of pixels"""
        rate: float = 1e-3
        """learning rate of Adam; falls to 0 as a cosine"""
        beta1: float = 0.9
        """Adam's beta1"""
        beta2: float = 0.999
        """Adam's beta2"""
        average: float = 0.0
        """decay of averaged weights; 0: none"""
        steps: int = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            if self.size < 8 or self.size % 2 or self.depth < 3 or self.width < 1:
                raise UserError("size must be even and 8 or more, depth 3 or more, width 1 or more.")
            if self.rate <= 0 or self.game < 0 or not 0 <= self.average < 1:
                raise UserError("rate must be above 0, game not negative, average from 0 to below 1.")
            if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
                raise UserError("beta1 and beta2 must lie from 0 to below 1.")
            check_strength(self.make, self.strength)

    _laptop = dict(batch=16, average=0.999, save_every=1_000, preview_every=1_000)
    presets = {
        "smoke": dict(size=16, width=8, depth=4, batch=4, steps=20, save_every=10, preview_every=10, log_every=5),
        "laptop": _laptop,
        "denoise15": dict(**_laptop, strength=15.0),
        "denoise50": dict(**_laptop, strength=50.0),
        "deblur": dict(**_laptop, make="blur"),
        "colourise": dict(**_laptop, make="grey", size=64, game=0.01),
        "jpeg": dict(**_laptop, make="jpeg"),
        "edges": dict(**_laptop, make="edges", size=64, game=0.01),
        "paper": dict(width=64, depth=15, batch=128, size=50, error="l2", steps=160_000),  # FFDNet, grey
    }

    @classmethod
    def wants(cls, config: Config) -> dict[str, Any]:
        return {"size": 2 * config.size, "channels": config.channels}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.inputs = channels_of(c.make, c.channels)
        self.generator = Restorer(self.inputs, c.channels, c.width, c.depth)
        if c.game:
            self.discriminator = PatchGAN(self.inputs + c.channels, c.width // 2, 2, "instance")

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        adam = partial(torch.optim.Adam, lr=c.rate, betas=(c.beta1, c.beta2), fused=True)
        found: dict[str, torch.optim.Optimizer] = {"generator": adam(self.generator.parameters())}
        if c.game:
            found["discriminator"] = torch.optim.Adam(self.discriminator.parameters(), 2e-4, (0.5, 0.999), fused=True)
        return found

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, cosine)]

    def averages(self) -> dict[str, float]:
        return {"generator": self.config.average} if self.config.average else {}

    def step(self, batch: Batch, update: Update) -> Losses:
        c = self.config
        y = flipped(cropped([batch["image"]], c.size))[0]
        x = degrade(y, c.make, c.strength)
        made = self.made(x)
        error = (made - y).abs().mean() if c.error == "l1" else (made - y).square().mean()
        told = {"error": error.detach(), "psnr": -10 * ((made - y).detach() / 2).square().mean().log10()}
        if not c.game:
            update("generator", error)
            return told
        d_real, d_made = self.judged(x, y), self.judged(x, made.detach())
        d = update("discriminator", PLAY.discriminator(d_real, d_made) / 2)
        g = PLAY.generator(self.judged(x, made), None)
        update("generator", error + c.game * g)
        return {**told, "d": d, "g": g.detach(), "right": (d_real[:, None] > d_made[None]).float().mean()}

    def made(self, x: Tensor) -> Tensor:
        """y [B,C,H,W] made of x."""
        return mended(x, self.generator(x), self.config.make)

    def judged(self, x: Tensor, y: Tensor) -> Tensor:
        """What the discriminator makes of the patches of pairs: logits [N]."""
        return self.discriminator(torch.cat([x, y], 1)).flatten()

    # -- what users do -------------------------------------------------------------------------------------------------

    @verb
    def restore(self, photos: list[Photo], tile: int = 512) -> Iterator[Photo]:
        """Each picture repaired, in its own size and depth.

        photos: pictures spoilt in the way that was learnt
        tile: pixels a side from which on a picture is cut into tiles, without seams; a multiple of 256
        """
        check_tile(tile)
        for photo in photos:
            x = photo.to_tensor(self.inputs).to(self.device)
            yield photo.with_pixels(self.restored(x, tile)[0])

    @verb
    def spoil(self, photos: list[Photo], seed: int = 0) -> Iterator[Photo]:
        """Each good picture spoilt in the way that was learnt, to see what `restore` makes of it.

        photos: good pictures
        seed: what becomes of a picture depends on the seed and the picture alone
        """
        for photo in photos:
            yield photo.with_pixels(self.spoilt(photo.to_tensor(self.config.channels), seed_for(seed, photo))[0])

    def restored(self, x: Tensor, tile: int = 512) -> Tensor:
        """One picture [1,C,H,W] of any size, repaired."""
        reach = -(-self.generator.reach // 2) * 2
        return tiled(self.made, x, max(tile, 4 * reach + 2), reach, 2)  # of a deep network larger ones

    def spoilt(self, y: Tensor, seed: int) -> Tensor:
        """What is left of good pictures y [B,C,H,W]."""
        return spoilt(y, self.config.make, self.config.strength, seed)

    def repaired(self, data: Any, n: int, seed: int) -> Iterator[Restored]:
        """The first n whole pictures: as they are, spoilt, and repaired."""
        for name, pixels in data.wholes(n, self.config.channels):
            good = Photo(pixels, name=name)
            (spoilt,) = self.verb("spoil")([good], seed=seed)
            (repaired,) = self.verb("restore")([spoilt])
            yield Restored(name, good.pixels, spoilt.pixels, repaired.pixels)

    @property
    def way(self) -> str:
        """How good pictures are spoilt, in words."""
        way = DEGRADATIONS[self.config.make]
        strength = way.strength if self.config.strength is None else self.config.strength
        return f"{self.config.make} {strength:g} ({way.unit})"

    def previews(self, batch: Batch) -> dict[str, Image]:
        """Rows of what is spoilt, what is made of it, and what was good."""
        y = batch["image"][:8]
        with torch.no_grad():
            self.eval()
            x = self.spoilt(y, 0)
            made = self.made(x)
            self.train()
        rows = [t.expand(-1, max(self.inputs, self.config.channels), -1, -1) for t in (x, made, y)]
        return {"": sheet([image for three in zip(*map(Image.from_tensor, rows), strict=True) for image in three], 6)}
