"""Restoration.   B batch, C channels, H = W pixels; images [B,C,H,W] in [-1,1]: y good, x what is left of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from reverie.core.lr_schedules import cosine
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.patches import ImagePatches
from reverie.media import Image, Photo, image_grid
from reverie.metrics.full_reference import Restored
from reverie.nn import losses
from reverie.nn.denoiser import Denoiser
from reverie.nn.patchgan import PatchGAN
from reverie.transforms.augment import paired_random_crop, paired_random_flip
from reverie.transforms.degradations import (
    DEGRADATIONS,
    degraded_channels,
    check_severity,
    degrade,
    apply_degradation_seeded,
    keep_luminance,
)
from reverie.transforms.tiling import check_tile, tiled
from reverie.utils.errors import UserError
from reverie.utils.seeding import seed_for

ADVERSARIAL = losses.nonsaturating()


class Restoration(Method):
    """Pictures repaired: noise, blur, JPEG, lost colour; learnt from good pictures alone, which it spoils itself.

    The objective of pix2pix (Isola 2016, arXiv:1611.07004), the network of Zhang 2017, arXiv:1608.03981 and 1710.04026
    """

    data_type = ImagePatches

    @dataclass(frozen=True)
    class Config:
        degradation: Literal["grey", "edges", "sketch", "blur", "motion", "focus", "noise", "jpeg", "small"] = "noise"
        """how good pictures are spoilt, which is what will be repaired"""
        severity: float | None = None
        """of that, in its unit (noise: sigma in levels of 255; jpeg: quality; blurs: pixels); none: as usual"""
        channels: int | None = None
        """of good pictures, 1 grey, 3 colour; none: as the data"""
        size: int = 48
        """pixels a side of what is learnt from at a time"""
        base_channels: int = 64
        """channels of the network"""
        depth: int = 12
        """its convolutions"""
        adv_weight: float = 0.0
        """weight of a game against a discriminator of patches, which invents texture where it is lost; 0: none, which
        gives the smallest error"""
        pixel_loss: Literal["l1", "l2"] = "l1"
        """what is made small: the mean absolute or squared difference of pixels"""
        lr: float = 1e-3
        """learning rate of Adam; falls to 0 as a cosine"""
        beta1: float = 0.9
        """Adam's beta1"""
        beta2: float = 0.999
        """Adam's beta2"""
        ema_decay: float = 0.0
        """decay of averaged weights; 0: none"""
        steps: int = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            if self.size < 8 or self.size % 2 or self.depth < 3 or self.base_channels < 1:
                raise UserError("size must be even and 8 or more, depth 3 or more, base_channels 1 or more.")
            if self.lr <= 0 or self.adv_weight < 0 or not 0 <= self.ema_decay < 1:
                raise UserError("lr must be above 0, adv_weight not negative, ema_decay from 0 to below 1.")
            if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
                raise UserError("beta1 and beta2 must lie from 0 to below 1.")
            check_severity(self.degradation, self.severity)

    _laptop = dict(batch_size=16, ema_decay=0.999, checkpoint_every=1_000, sample_every=1_000)
    presets = {
        "smoke": dict(size=16, base_channels=8, depth=4, batch_size=4),
        "laptop": _laptop,
        "denoise15": dict(**_laptop, severity=15.0),
        "denoise50": dict(**_laptop, severity=50.0),
        "deblur": dict(**_laptop, degradation="blur"),
        "colourise": dict(**_laptop, degradation="grey", size=64, adv_weight=0.01),
        "jpeg": dict(**_laptop, degradation="jpeg"),
        "edges": dict(**_laptop, degradation="edges", size=64, adv_weight=0.01),
        "paper": dict(
            base_channels=64, depth=15, batch_size=128, size=50, pixel_loss="l2", steps=160_000
        ),  # FFDNet, grey
    }

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        return {"size": 2 * config.size, "channels": config.channels}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.in_channels = degraded_channels(c.degradation, c.channels)
        self.generator = Denoiser(self.in_channels, c.channels, c.base_channels, c.depth)
        if c.adv_weight:
            self.discriminator = PatchGAN(self.in_channels + c.channels, c.base_channels // 2, 2, "instance")

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        adam = partial(torch.optim.Adam, lr=c.lr, betas=(c.beta1, c.beta2), fused=True)
        found: dict[str, torch.optim.Optimizer] = {"generator": adam(self.generator.parameters())}
        if c.adv_weight:
            found["discriminator"] = torch.optim.Adam(self.discriminator.parameters(), 2e-4, (0.5, 0.999), fused=True)
        return found

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, cosine)]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        c = self.config
        y = paired_random_flip(paired_random_crop([batch["image"]], c.size))[0]
        x = degrade(y, c.degradation, c.severity)
        made = self.made(x)
        error = (made - y).abs().mean() if c.pixel_loss == "l1" else (made - y).square().mean()
        told = {"pixel_loss": error.detach(), "psnr": -10 * ((made - y).detach() / 2).square().mean().log10()}
        if not c.adv_weight:
            update("generator", error)
            return told
        d_real, d_made = self.judged(x, y), self.judged(x, made.detach())
        d = update("discriminator", ADVERSARIAL.discriminator(d_real, d_made) / 2)
        g = ADVERSARIAL.generator(self.judged(x, made), None)
        update("generator", error + c.adv_weight * g)
        return {**told, "d": d, "g": g.detach(), "d_auc": (d_real[:, None] > d_made[None]).float().mean()}

    def made(self, x: Tensor) -> Tensor:
        """y [B,C,H,W] made of x."""
        return keep_luminance(x, self.generator(x), self.config.degradation)

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
            x = photo.to_tensor(self.in_channels).to(self.device)
            yield photo.with_pixels(self.restore_tensor(x, tile)[0])

    @verb
    def degrade(self, photos: list[Photo], seed: int = 0) -> Iterator[Photo]:
        """Each good picture spoilt in the way that was learnt, to see what `restore` makes of it.

        photos: good pictures
        seed: what becomes of a picture depends on the seed and the picture alone
        """
        for photo in photos:
            yield photo.with_pixels(self.degraded(photo.to_tensor(self.config.channels), seed_for(seed, photo))[0])

    def restored(self, x: Tensor, tile: int = 512) -> Tensor:
        """One picture [1,C,H,W] of any size, repaired."""
        reach = -(-self.generator.receptive_radius // 2) * 2
        return tiled(self.made, x, max(tile, 4 * reach + 2), reach, 2)  # of a deep network larger ones

    def degraded(self, y: Tensor, seed: int) -> Tensor:
        """What is left of good pictures y [B,C,H,W]."""
        return apply_degradation_seeded(y, self.config.degradation, self.config.severity, seed)

    def repaired(self, data: Any, n: int, seed: int) -> Iterator[Restored]:
        """The first n whole pictures: as they are, spoilt, and repaired."""
        for name, pixels in data.full_images(n, self.config.channels):
            good = Photo(pixels, name=name)
            (spoilt,) = self.verb("degrade")([good], seed=seed)
            (repaired,) = self.verb("restore")([spoilt])
            yield Restored(name, good.pixels, spoilt.pixels, repaired.pixels)

    @property
    def way(self) -> str:
        """How good pictures are spoilt, in words."""
        way = DEGRADATIONS[self.config.degradation]
        strength = way.severity if self.config.severity is None else self.config.severity
        return f"{self.config.degradation} {strength:g} ({way.unit})"

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Rows of what is spoilt, what is made of it, and what was good."""
        y = batch["image"][:8]
        with torch.no_grad():
            self.eval()
            x = self.degraded(y, 0)
            made = self.made(x)
            self.train()
        rows = [t.expand(-1, max(self.in_channels, self.config.channels), -1, -1) for t in (x, made, y)]
        return {"": image_grid([image for three in zip(*map(Image.from_tensor, rows), strict=True) for image in three], 6)}
