"""Restoration.   B batch, C channels, H = W pixels, N patches; images [B,C,H,W] in [-1,1]: y original, x degraded;
logits [N]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from reverie.core.constraints import Count, Decay, MultipleOf, NonNegative, Positive, Range
from reverie.core.diagnostics import discriminator_auc
from reverie.core.lr_schedules import cosine
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.patches import ImagePatches
from reverie.media import Image, Photo
from reverie.media.image import side_by_side
from reverie.metrics.full_reference import Restored
from reverie.nn import losses
from reverie.nn.denoiser import Denoiser
from reverie.nn.patchgan import PatchGAN
from reverie.transforms.augment import paired_random_crop, random_flip
from reverie.transforms.degradations import (
    DEGRADATIONS,
    apply_degradation,
    apply_degradation_seeded,
    check_severity,
    degraded_channels,
    keep_luminance,
)
from reverie.transforms.tiling import apply_tiled
from reverie.utils.seeding import seed_for

ADVERSARIAL = losses.nonsaturating()


class Restoration(Method):
    """Image restoration: noise, blur, JPEG, lost colour; learnt from good images alone, which it degrades itself.

    The objective of pix2pix (Isola 2016, arXiv:1611.07004), the network of Zhang 2017, arXiv:1608.03981 and 1710.04026
    """

    data_type = ImagePatches
    monitored: ClassVar[dict[str, str]] = {"loss_pixel": "loss", "d_auc": "discriminator_auc"}

    @dataclass(frozen=True)
    class Config:
        degradation: Literal["grey", "edges", "sketch", "blur", "motion", "focus", "noise", "jpeg", "small"] = "noise"
        """what the network learns to undo"""
        severity: Positive | None = None
        """of the degradation (noise: sigma in levels of 255; jpeg: quality; blurs: pixels); none: its default"""
        channels: int | None = None
        """of the original images, 1 grey, 3 colour; none: as the data"""
        size: Annotated[int, MultipleOf(2, 8)] = 48
        """pixels per side of the random crops that it is trained on"""
        hflip: bool = True
        """flip training images horizontally at random"""
        base_channels: Count = 64
        """channels of the convolutions"""
        depth: Annotated[int, Range(3)] = 12
        """number of convolutions"""
        adv_weight: NonNegative = 0.0
        """weight of an adversarial loss with a patch discriminator, which invents texture where it is lost; 0: none,
        which gives the highest PSNR"""
        pixel_loss: Literal["l1", "l2"] = "l1"
        """the mean absolute or the mean squared error of pixels"""
        lr: Positive = 1e-3
        """learning rate of Adam, with cosine decay to 0"""
        beta1: Decay = 0.9
        """Adam's beta1"""
        beta2: Decay = 0.999
        """Adam's beta2"""
        ema_decay: Decay = 0.0
        """decay of averaged weights, which are then the ones in use; 0: none"""
        steps: Count = 10_000
        """training steps"""

        def __post_init__(self) -> None:
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
        optimizers: dict[str, torch.optim.Optimizer] = {"generator": adam(self.generator.parameters())}
        if c.adv_weight:  # as pix2pix's
            optimizers["discriminator"] = adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        return optimizers

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, cosine)]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        """One step on images that are degraded at random: pixel loss, and with adv_weight a step of D before it."""
        c = self.config
        (y,) = paired_random_crop([batch["image"]], c.size)
        y = random_flip(y) if c.hflip else y
        x = apply_degradation(y, c.degradation, c.severity)
        restored = self.generator_output(x)
        difference = restored - y
        loss_pixel = difference.abs().mean() if c.pixel_loss == "l1" else difference.square().mean()
        psnr = -10 * (difference.detach() / 2).square().mean().log10()  # decibels, of a range of 2
        metrics = {"loss_pixel": loss_pixel.detach(), "psnr": psnr}
        if not c.adv_weight:
            update("generator", loss_pixel)
            return metrics

        real_logits, fake_logits = self.discriminate(x, y), self.discriminate(x, restored.detach())
        loss_d = update("discriminator", ADVERSARIAL.discriminator(real_logits, fake_logits) / 2)
        d_auc = discriminator_auc(real_logits, fake_logits)
        loss_g = ADVERSARIAL.generator(self.discriminate(x, restored), None)
        update("generator", loss_pixel + c.adv_weight * loss_g)
        return {**metrics, "loss_d": loss_d, "loss_g": loss_g.detach(), "d_auc": d_auc}

    def generator_output(self, x: Tensor) -> Tensor:
        """y [B,C,H,W] restored from x; with degradation "grey" the luminance of x is kept."""
        return keep_luminance(x, self.generator(x), self.config.degradation)

    def discriminate(self, x: Tensor, y: Tensor) -> Tensor:
        """The discriminator's logits [N] for the patches of pairs (x, y)."""
        return self.discriminator(torch.cat([x, y], 1)).flatten()

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @verb
    def restore(self, photos: list[Photo], tile: Annotated[int, MultipleOf(256, 512)] = 512) -> Iterator[Photo]:
        """Each photo restored, in its own size, depth and alpha.

        photos: photos with the degradation that the run was trained to undo
        tile: pixels per side above which a photo is cut into tiles, without seams; a multiple of 256
        """
        for photo in photos:
            x = photo.to_tensor(self.in_channels).to(self.device)
            yield photo.with_pixels(self.restore_tensor(x, tile)[0])

    @verb
    def degrade(self, photos: list[Photo], seed: int = 0) -> Iterator[Photo]:
        """Each photo with the degradation that the run was trained to undo, for `restore` to undo.

        photos: good photos
        seed: of what is random in the degradation; a result depends on the seed and its own photo alone
        """
        for photo in photos:
            yield photo.with_pixels(
                self.degrade_tensor(photo.to_tensor(self.config.channels), seed_for(seed, photo))[0]
            )

    def restore_tensor(self, x: Tensor, tile: int = 512) -> Tensor:
        """One image x [1,C,H,W] of any size, restored; in tiles that overlap so far that they change nothing."""
        overlap = -(-self.generator.receptive_radius // 2) * 2  # rounded up to an even number
        return apply_tiled(self.generator_output, x, max(tile, 4 * overlap + 2), overlap, 2)  # larger if very deep

    def degrade_tensor(self, y: Tensor, seed: int) -> Tensor:
        """Images y [B,C,H,W] degraded as the run's config says, with random numbers of `seed`."""
        return apply_degradation_seeded(y, self.config.degradation, self.config.severity, seed)

    def restoration_examples(self, data: ImagePatches, n: int, seed: int) -> Iterator[Restored]:
        """The first n photos of the data in their own size: original, degraded with `seed`, and restored."""
        for name, pixels in data.full_images(n, self.config.channels):
            original = Photo(pixels, name=name)
            (degraded,) = self.verb("degrade")([original], seed=seed)
            (restored,) = self.verb("restore")([degraded])
            yield Restored(name, original.pixels, degraded.pixels, restored.pixels)

    @property
    def degradation_description(self) -> str:
        """The degradation with its severity and unit, such as "noise 25 (levels of 255, the sigma of a Gaussian)"."""
        degradation = DEGRADATIONS[self.config.degradation]
        severity = degradation.severity if self.config.severity is None else self.config.severity
        return f"{self.config.degradation} {severity:g} ({degradation.unit})"

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Rows of degraded, restored, original, of the first 8 pieces."""
        y = batch["image"][:8]
        with torch.no_grad():
            self.eval()
            x = self.degrade_tensor(y, 0)
            restored = self.generator_output(x)
            self.train()
        return {"": side_by_side(x, restored, y, labels=("degraded", "restored", "original"))}
