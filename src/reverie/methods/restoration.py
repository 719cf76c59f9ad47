"""Restoration.   B batch, C channels, H = W pixels, N patches; images [B,C,H,W] in [-1,1]: y original, x degraded;
logits [N]; sigma [B,1,1,1] of noise, in levels of 255."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from reverie.core.constraints import Count, Decay, MultipleOf, NonNegative, Positive, Range
from reverie.core.diagnostics import discriminator_auc
from reverie.core.lr_schedules import cosine_with_warmup
from reverie.core.method import Method, verb
from reverie.core.muon import optimizer_of
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.patches import ImagePatches
from reverie.media import Image, Photo
from reverie.media.image import side_by_side
from reverie.metrics.full_reference import Restored
from reverie.nn import losses
from reverie.nn.denoiser import Denoiser, FFDNet
from reverie.nn.patchgan import PatchGAN
from reverie.transforms.augment import mean_over_positions, paired_random_crop, random_flip
from reverie.transforms.degradations import (
    DEGRADATIONS,
    apply_degradation,
    apply_degradation_seeded,
    check_severity,
    degraded_channels,
    grey,
)
from reverie.transforms.noise_estimation import estimate_sigma, seems_correlated
from reverie.transforms.resampling import imresize_tensor
from reverie.transforms.tiling import apply_tiled
from reverie.utils.errors import UserError, printable
from reverie.utils.seeding import seed_for

ADVERSARIAL = losses.nonsaturating()
MAX_NOISE = 55.0
"""levels of 255: the noise that a denoiser learns by default"""
DEFAULT_SIGMA = DEGRADATIONS["noise"].severity


class Restoration(Method):
    """Image restoration: noise, blur, JPEG; learnt from good images alone, which it degrades itself.

    The noise map of FFDNet (Zhang 2017, arXiv:1710.04026), the residual blocks of EDSR (Lim 2017, arXiv:1707.02921),
    the objective of pix2pix (Isola 2016, arXiv:1611.07004)
    """

    data_type = ImagePatches
    monitored: ClassVar[dict[str, str]] = {"loss_pixel": "loss", "d_auc": "discriminator_auc"}

    @dataclass(frozen=True)
    class Config:
        degradation: Literal["edges", "sketch", "blur", "motion", "focus", "noise", "jpeg", "small"] = "noise"
        """what the network learns to undo"""
        severity: Positive | None = None
        """of the degradation (noise: sigma in levels of 255; jpeg: quality; blurs: pixels); none: its default"""
        max_noise: NonNegative | None = None
        """levels of 255: with degradation noise, one network for every sigma from 0 to this, which a noise map
        gives it; 0: for `severity` alone; none: 55, or `severity` where that is more"""
        channels: int | None = None
        """of the original images, 1 grey, 3 colour; none: as the data"""
        size: Annotated[int, MultipleOf(2, 8)] = 48
        """pixels per side of the random crops that it is trained on"""
        hflip: bool = True
        """flip training images horizontally at random"""
        network: Literal["residual", "ffdnet"] = "residual"
        """residual blocks without norm; or the stack of convolutions with batch norm of Zhang 2017"""
        base_channels: Count = 64
        """channels of the convolutions"""
        blocks: Count = 5
        """residual blocks, of two convolutions each"""
        depth: Annotated[int, Range(3)] = 15
        """convolutions of the network ffdnet"""
        adv_weight: NonNegative = 0.0
        """weight of an adversarial loss with a patch discriminator, which invents texture where it is lost; 0: none,
        which gives the highest PSNR"""
        pixel_loss: Literal["l1", "l2"] = "l1"
        """the mean absolute or the mean squared error of pixels"""
        optimizer: Literal["muon", "adam"] = "muon"
        """of the network that restores; Muon learns in half of Adam's time (see docs/methods.md)"""
        lr: Positive = 2e-3
        """learning rate; it rises over the first tenth of the steps, and falls to 0 along a cosine"""
        beta1: Decay = 0.9
        """Adam's beta1; with muon, of the last layer and biases"""
        beta2: Decay = 0.99
        """Adam's beta2"""
        ema_decay: Decay = 0.0
        """decay of averaged weights, which are then the ones in use; 0: none"""
        steps: Count = 10_000
        """training steps"""

        def __post_init__(self) -> None:
            check_severity(self.degradation, self.severity)
            if self.max_noise and self.degradation != "noise":
                raise UserError(f"max_noise is of noise, not of {self.degradation}; leave it away.")
            if self.max_noise and (self.severity or DEFAULT_SIGMA) > self.max_noise:
                raise UserError(
                    f"severity is {self.severity or DEFAULT_SIGMA:g} and max_noise {self.max_noise:g}; give a larger "
                    "max_noise, a lower severity, or max_noise 0 for that severity alone."
                )

    _laptop = dict(batch_size=8, size=64, ema_decay=0.999, steps=4_500, checkpoint_every=1_000, sample_every=1_000)
    presets = {
        "smoke": dict(size=16, base_channels=8, blocks=1, depth=4, batch_size=4),
        "laptop": _laptop,
        "deblur": dict(**_laptop, degradation="blur"),
        "jpeg": dict(**_laptop, degradation="jpeg"),
        "edges": dict(**_laptop, degradation="edges", adv_weight=0.01),
        "paper": dict(
            network="ffdnet", base_channels=64, depth=15, max_noise=75.0, batch_size=128, size=70, pixel_loss="l2",
            optimizer="adam", lr=1e-3, beta2=0.999, steps=160_000,
        ),  # FFDNet, grey
    }  # fmt: skip

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        learnt = max(MAX_NOISE, config.severity or 0.0) if config.degradation == "noise" else 0.0
        return super().resolve_config(config, {**facts, "max_noise": learnt})

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        return {"size": 2 * config.size, "channels": config.channels}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.in_channels = degraded_channels(c.degradation, c.channels)
        network, layers = (FFDNet, c.depth) if c.network == "ffdnet" else (Denoiser, c.blocks)
        self.generator = network(self.in_channels, c.channels, c.base_channels, layers, noise_map=bool(c.max_noise))
        if c.adv_weight:
            self.discriminator = PatchGAN(self.in_channels + c.channels, c.base_channels // 2, 2, "instance")

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        optimizers = {"generator": optimizer_of(self.generator, c.optimizer, c.lr, (c.beta1, c.beta2))}
        if c.adv_weight:  # as pix2pix's
            optimizers["discriminator"] = torch.optim.Adam(
                self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True
            )
        return optimizers

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, cosine_with_warmup)]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        """One step on images that are degraded at random: pixel loss, and with adv_weight a step of D before it."""
        c = self.config
        (y,) = paired_random_crop([batch["image"]], c.size)
        y = random_flip(y) if c.hflip else y
        sigma = self.random_sigma(len(y))
        x = apply_degradation(y, c.degradation, c.severity if sigma is None else sigma)
        restored = self.generator_output(x, sigma)
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

    def random_sigma(self, n: int) -> Tensor | None:
        """Sigmas [n,1,1,1] of the noise to train on; None for a network without a noise map."""
        c = self.config
        return torch.rand(n, 1, 1, 1, device=self.device) * c.max_noise if c.max_noise else None

    def generator_output(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """y [B,C,H,W] restored from x; sigma: of the noise in x, for a network with a noise map."""
        return self.generator(x, None if sigma is None else sigma / 127.5)

    def discriminate(self, x: Tensor, y: Tensor) -> Tensor:
        """The discriminator's logits [N] for the patches of pairs (x, y)."""
        return self.discriminator(torch.cat([x, y], 1)).flatten()

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @verb
    def restore(
        self, photos: list[Photo], noise_level: NonNegative | None = None,
        tile: Annotated[int, MultipleOf(256, 512)] = 512, self_ensemble: bool = False, correlated: bool = False,
    ) -> Iterator[Photo]:  # fmt: skip
        """Each photo restored, in its own size, depth and alpha; a grey photo stays grey.

        photos: photos with the degradation that the run was trained to undo
        noise_level: sigma of the noise in levels of 255, for a run that has learnt noise; none: estimated in each photo
        tile: pixels per side above which a photo is cut into tiles, without seams; a multiple of 256
        self_ensemble: the mean over the photo flipped and turned in its 8 ways (EDSR, section 3.4), in 8 times the time
        correlated: for noise of a grain larger than a pixel, as most cameras' own processing leaves it: the photo is
            denoised at half its size first
        """
        if correlated and not self.config.max_noise:
            raise UserError(f"correlated is of no use: the run restores {self.degradation_description} alone.")
        if noise_level is not None:
            self._check_noise_level(noise_level)
        if self_ensemble and self.config.degradation == "jpeg":
            raise UserError(
                "self_ensemble is of no use for jpeg: the blocks of a photo begin at its upper left corner."
            )
        looked_for = bool(self.config.max_noise) and noise_level is None and not correlated
        for photo in photos:
            x = photo.to_tensor(self.in_channels).to(self.device)
            if looked_for and seems_correlated(x):
                looked_for = False  # one note is enough
                name = printable(photo.name or "a photo")
                print(f"note: noise in {name}, if any, is of coarse grain; --correlated removes more", file=sys.stderr)
            y = self.restore_tensor(x, tile, noise_level, self_ensemble, correlated)
            # What the network adds in colour is none of a grey photo's.
            if photo.pixels.shape[2] == 1 and self.in_channels == 3:
                y = grey(y)
            yield photo.with_pixels(y[0])

    def _check_noise_level(self, noise_level: float) -> None:
        learnt = self.config.max_noise
        if not learnt:
            raise UserError(f"noise_level is of no use: the run restores {self.degradation_description} alone.")
        if noise_level > learnt:
            raise UserError(f"noise_level is {noise_level:g}; the run has learnt noise up to {learnt:g} (max_noise).")

    @verb
    def degrade(self, photos: list[Photo], severity: Positive | None = None, seed: int = 0) -> Iterator[Photo]:
        """Each photo with the degradation that the run was trained to undo, for `restore` to undo.

        photos: good photos
        severity: of the degradation, in its unit; none: that of the run
        seed: of what is random in the degradation; a result depends on the seed and its own photo alone
        """
        check_severity(self.config.degradation, severity)
        for photo in photos:
            y = photo.to_tensor(1 if photo.pixels.shape[2] == 1 else self.config.channels)
            yield photo.with_pixels(self.degrade_tensor(y, seed_for(seed, photo), severity)[0])

    def restore_tensor(
        self, x: Tensor, tile: int = 512, noise_level: float | None = None, self_ensemble: bool = False,
        correlated: bool = False,
    ) -> Tensor:  # fmt: skip
        """One image x [1,C,H,W] of any size, restored; in tiles that overlap so far that they change nothing.

        noise_level: sigma in levels of 255; none: as estimated; self_ensemble, correlated: as in `restore`
        """
        if correlated:  # noise that is smooth at this size is nearly white at half of it, and its sigma estimated there
            half = imresize_tensor(x, ((x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2))
            changed = self.restore_tensor(half, tile, None, self_ensemble) - half
            x = x + imresize_tensor(changed, (x.shape[2], x.shape[3]))
        sigma = None
        if learnt := self.config.max_noise:
            level = min(estimate_sigma(x), learnt) if noise_level is None else noise_level
            sigma = x.new_full((1, 1, 1, 1), level)
        net = self.generator
        least = 2 * net.receptive_radius + net.multiple  # of a very deep network
        tile = max(tile, -(-least // net.multiple) * net.multiple)

        def restore(x: Tensor) -> Tensor:
            return apply_tiled(
                partial(self.generator_output, sigma=sigma), x, tile, net.receptive_radius, net.multiple, blend=0
            )

        return mean_over_positions(restore, x) if self_ensemble else restore(x)

    def degrade_tensor(self, y: Tensor, seed: int, severity: float | None = None) -> Tensor:
        """Images y [B,C,H,W] degraded as the run's config says, with random numbers of `seed`."""
        return apply_degradation_seeded(y, self.config.degradation, severity or self.severity, seed)

    def restoration_examples(self, data: ImagePatches, n: int, seed: int) -> Iterator[Restored]:
        """The first n photos of the data in their own size: original, degraded with `seed`, and restored."""
        for name, pixels in data.full_images(n, self.config.channels):
            original = Photo(pixels, name=name)
            (degraded,) = self.verb("degrade")([original], seed=seed)
            (restored,) = self.verb("restore")([degraded])
            yield Restored(name, original.pixels, degraded.pixels, restored.pixels)

    @property
    def severity(self) -> float:
        """Of the degradation that scores are of, in its unit."""
        c = self.config
        return DEGRADATIONS[c.degradation].severity if c.severity is None else c.severity

    @property
    def degradation_description(self) -> str:
        """The degradation with its severity and unit, such as "noise 25 (levels of 255, the sigma of a Gaussian)"."""
        return f"{self.config.degradation} {self.severity:g} ({DEGRADATIONS[self.config.degradation].unit})"

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Rows of degraded, restored, original, of the first 8 pieces."""
        y = batch["image"][:8]
        with torch.no_grad():
            self.eval()
            x = self.degrade_tensor(y, 0)
            sigma = y.new_full((1, 1, 1, 1), self.severity) if self.config.max_noise else None
            restored = self.generator_output(x, sigma)
            self.train()
        return {"": side_by_side(x, restored, y, labels=("degraded", "restored", "original"))}
