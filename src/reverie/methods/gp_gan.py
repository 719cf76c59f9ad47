"""GP-GAN.   B batch, C channels, H, W pixels; images [B,C,H,W] in [-1,1]: y photo, x composite, p its Poisson blend;
masks [B,1,H,W]; logits [N]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.constraints import Count, Decay, NonNegative, Positive, PowerOfTwo, Share
from reverie.core.diagnostics import discriminator_auc
from reverie.core.lr_schedules import cosine
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Image, Photo
from reverie.media.image import side_by_side
from reverie.metrics.pixels import psnr
from reverie.metrics.score import Reference, Score, standard_error
from reverie.nn import losses
from reverie.nn.patchgan import PatchGAN
from reverie.nn.unet import UNet
from reverie.transforms.augment import paired_random_flip
from reverie.transforms.blending import Mode, Placement, blend, blend_each
from reverie.transforms.composites import random_exposure, random_shapes
from reverie.transforms.poisson import gradients, poisson_in_mask
from reverie.utils.seeding import seed_of

ADVERSARIAL = losses.nonsaturating()
ITERATIONS = 5
"""of the Poisson solver on small images: residuals about 1e-3, below what is learnt"""

RIDGE, MOST_GAIN = 4e-3, 2.0
"""of the regression along the seam: variance of values in [-1,1] that it takes for noise; largest gain"""

MOST_SCORED = 40
"""photos that composites are made of for scores, at most"""
PSNR_IN_MASK = (
    "10 log10(1 / mean squared error of pixels in [0,1]) within the mask, over all channels, of photos in their own "
    "size into which a random shape of themselves in another exposure (gain, white balance, gamma, offset) is blended"
)
BASELINES = {
    "": "this run: the Gaussian-Poisson equation with its colours",
    "copied": "copying alone",
    "poisson": "the Poisson equation",
    "own colours": "the Gaussian-Poisson equation with the colours of the copy (beta 0.01)",
    "seamlessclone": "OpenCV's seamlessClone (NORMAL_CLONE)",
}
"""what a run is scored beside: by name, what it is"""


class GPGAN(Method):
    """Blending: pastes one photo into another without a seam, with colours learnt from composites that it makes itself.

    Wu, Zheng, Zhang, Huang 2017, arXiv:1703.07195
    """

    data_type = Images
    monitored: ClassVar[dict[str, str]] = {"loss_pixel": "loss", "d_auc": "discriminator_auc"}

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, PowerOfTwo(16)] = 64
        """pixels a side of the coarse images whose colours are learnt (section 3.1)"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        base_channels: Count = 16
        """channels of the first layer of the generator and of the discriminator"""
        adv_weight: NonNegative = 0.001
        """weight of the adversarial loss beside the squared error (eq. 3, 1 - lambda)"""
        lr: Positive = 5e-4
        """learning rate of Adam, with cosine decay to 0"""
        beta1: Decay = 0.5
        """Adam's beta1"""
        ema_decay: Decay = 0.998
        """decay of averaged weights, which are then the ones in use; 0: none"""
        hflip: bool = True
        """whether photos are flipped horizontally with probability 1/2"""
        steps: Count = 3_000
        """training steps"""

    presets = {
        "smoke": dict(size=16, base_channels=8, batch_size=4),
        "laptop": dict(batch_size=16, checkpoint_every=1_000, sample_every=1_000),
        "paper": dict(base_channels=64, batch_size=64, lr=2e-4, ema_decay=0.0, steps=100_000),
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.learnt = True
        depth = c.size.bit_length() - 1  # down to one pixel, which sees how all colours differ
        self.generator = UNet(3 * c.channels + 1, 2 * c.channels, c.base_channels, depth, dropout=0.0)
        for parameter in self.generator.ups[0].parameters():
            nn.init.zeros_(parameter)
        if c.adv_weight:
            self.discriminator = PatchGAN(c.channels, c.base_channels, 2)

    @classmethod
    def open_args(cls, config: Config) -> dict[str, Any]:
        return {"masks": True}  # --data photos/,masks/ has masks of objects

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        adam = partial(torch.optim.Adam, lr=c.lr, betas=(c.beta1, 0.999), fused=True)
        optimizers: dict[str, torch.optim.Optimizer] = {"generator": adam(self.generator.parameters())}
        if c.adv_weight:
            optimizers["discriminator"] = adam(self.discriminator.parameters(), lr=min(c.lr, 2e-4))
        return optimizers

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, cosine)]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay} if self.config.ema_decay else {}

    def optional_modules(self) -> tuple[str, ...]:
        return ("discriminator",) if self.config.adv_weight else ()

    def step(self, batch: Batch, update: Update) -> Metrics:
        """One step on composites of photos with themselves: D, then G by squared error and adversarial loss (eq. 3)."""
        c = self.config
        y = batch["image"]
        objects = [batch["mask"]] if "mask" in batch else []
        if c.hflip:
            y, *objects = paired_random_flip([y, *objects])
        x, p, mask = make_composites(y, *objects)
        blended = self.generator_output(x, p, mask)
        loss_pixel = masked_error(blended, y, mask)
        metrics = {"loss_pixel": loss_pixel.detach(), "gain": gain_over(p, blended.detach(), y, mask)}
        if not c.adv_weight:
            update("generator", loss_pixel)
            return metrics

        real_logits, fake_logits = self.discriminate(y), self.discriminate(blended.detach())
        loss_d = update("discriminator", ADVERSARIAL.discriminator(real_logits, fake_logits) / 2)
        loss_g = ADVERSARIAL.generator(self.discriminate(blended), None)
        update("generator", (1 - c.adv_weight) * loss_pixel + c.adv_weight * loss_g)
        d_auc = discriminator_auc(real_logits, fake_logits)
        return {**metrics, "loss_d": loss_d, "loss_g": loss_g.detach(), "d_auc": d_auc}

    def generator_output(self, x: Tensor, p: Tensor, mask: Tensor) -> Tensor:
        """The colours [B,C,H,W] of the blend: p and what the generator adds to it, in the mask only.

        Not the paper's: it adds a share of what the colours along the seam suggest, and a residual of its own.
        """
        weight = mask.to(x.dtype)
        suggested = match_seam(x, p, weight) - p
        share, residual = self.generator(torch.cat([x, p, suggested, 2 * weight - 1], 1)).chunk(2, 1)
        return p + ((1 + share) / 2 * suggested + residual) * weight

    def discriminate(self, x: Tensor) -> Tensor:
        """The discriminator's logits [N] for the patches of images."""
        return self.discriminator(x).flatten()

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @classmethod
    def without_training(cls) -> GPGAN:
        """A method that blends by the Poisson equation alone."""
        method = cls(cls.Config(channels=3, base_channels=1, adv_weight=0))
        method.learnt, method.origin["synthetic"] = False, False
        return method.eval()

    @verb
    def blend(
        self, foreground: list[Photo], background: list[Photo], mask: list[Photo] | None = None,
        x: int | None = None, y: int | None = None, scale: Positive = 1.0, rotation: float = 0.0,
        mode: Mode = "normal", keep_colours: Share = 0.0, beta: Positive = 1.0,
    ) -> Iterator[Photo]:  # fmt: skip
        """The masked part of each foreground in its background, without a seam; outside the mask nothing changes.

        foreground: photos with the part to take
        background: photos to put it into, one for each foreground
        mask: of the foregrounds' sizes, white where they are taken, grey for soft edges; none: the foregrounds' alpha
        x: column of the background for the foreground's left edge; none: centred, which is 0 where sizes are equal
        y: row of the background for the foreground's top edge; none: centred
        scale: factor on the foreground's sides
        rotation: degrees counter-clockwise about the foreground's centre; its box then grows
        mode: the foreground's gradients (normal), or at each place the stronger ones of both photos (mixed)
        keep_colours: from 0, colours that follow the background, to 1, the foreground's own up to the seam
        beta: weight of the colours that a run has learnt, beside the gradients (section 3.2)
        """
        placement = Placement(x, y, scale, rotation, mode, keep_colours, beta)
        yield from blend_each(foreground, background, mask, placement, self.coarse_residual if self.learnt else None)

    def method_scores(self, data: Images, n: int, seed: int) -> Iterator[Score]:
        """PSNR within the mask of composites of the first n photos in their own size, beside what needs no training."""
        rows: dict[str, list[float]] = {}
        for i, item in enumerate(data.items[: min(n, MOST_SCORED)]):
            photo = Photo(data.read_full(item), name=item.name)
            foreground, mask = composite_of(photo, seed_of(seed, i))
            blended = self.verb("blend")([foreground], [photo], [mask])[0].pixels
            made = {"": blended, **baselines(foreground, photo, mask)}
            chosen = mask.pixels[:, :, 0] > 0
            for name, pixels in made.items():
                error = np.square(pixels[chosen].astype(np.float64) - photo.pixels[chosen]).mean()
                rows.setdefault(name, []).append(float(psnr(torch.tensor([error / 255**2]))[0]))
        count, channels = len(rows[""]), self.config.channels
        reference = Reference(data.name, data.split, data.fingerprint, count, 0, channels)
        table = {name: torch.tensor(values) for name, values in rows.items()}
        for name, values in table.items():
            label, what = f"psnr, {name}" if name else "psnr", f"{PSNR_IN_MASK}, by {BASELINES[name]}"
            copied = float(table["copied"].mean())
            yield Score(
                label, float(values.mean()), "dB", "higher", what, reference, count, seed, group="image similarity",
                std_error=standard_error(values), baseline=copied, baseline_name=BASELINES["copied"],
            )  # fmt: skip
        for name in ("poisson", "seamlessclone"):
            if name in table:
                gain = table[""] - table[name]
                what = f"psnr of each photo less that by {BASELINES[name]}; {PSNR_IN_MASK}"
                yield Score(
                    f"psnr, gain over {name}", float(gain.mean()), "dB", "higher", what, reference, count, seed,
                    group="image similarity", std_error=standard_error(gain), baseline=0.0,
                    baseline_name=BASELINES[name],
                )  # fmt: skip

    def coarse_residual(self, x: Tensor, p: Tensor, mask: Tensor) -> Tensor:
        """What to add to the colours of a Poisson blend p of x, from images [1,C',H,W] of any size and depth.

        x, p: copy-paste and Poisson blend; mask [1,1,H,W] in [0,1]. Returns [1,C',size,size].
        """
        size, channels = self.config.size, x.shape[1]
        x, p, mask = (F.interpolate(t.float(), (size, size), mode="area").to(self.device) for t in (x, p, mask))
        if channels == 3 and self.config.channels == 1:  # each channel by itself
            x, p, mask = x.transpose(0, 1), p.transpose(0, 1), mask.expand(3, -1, -1, -1)
        elif channels != self.config.channels:
            x, p = x.expand(-1, 3, -1, -1), p.expand(-1, 3, -1, -1)
        added = self.generator_output(x, p, (mask > 0.5).float()) - p
        if added.shape[0] == 3:
            added = added.transpose(0, 1)
        return (added if added.shape[1] == channels else added.mean(1, keepdim=True)).double().cpu()

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Rows of composite, Poisson blend, blend and photo, of the first 8 photos."""
        y = batch["image"][:8]
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(0, len(y)))
            self.eval()
            x, p, mask = make_composites(y, batch["mask"][:8] if "mask" in batch else None)
            blended = self.generator_output(x, p, mask)
            self.train()
        labels = ("composite", "Poisson", "GP-GAN", "photo")
        return {"": side_by_side(x, p, blended, y, labels=labels, columns=8)}


def make_composites(y: Tensor, objects: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """(composites x, Poisson blends p, masks bool) of photos y: another exposure of each, pasted into it.

    objects: bool [B,1,H,W], masks of objects in the photos, taken half of the time; where one is empty, never
    """
    mask = random_shapes(len(y), y.shape[2], y.shape[3], y.device)
    if objects is not None:
        taken = objects.any((1, 2, 3), True) & (torch.rand(len(y), 1, 1, 1, device=y.device) < 0.5)
        mask = torch.where(taken, objects, mask)
    foreground = random_exposure(y)
    p = poisson_in_mask(gradients(foreground), y, mask, iterations=ITERATIONS)
    return torch.where(mask, foreground, y), p, mask


def match_seam(x: Tensor, p: Tensor, weight: Tensor) -> Tensor:
    """x with the gain and offset of each channel by which the pixels just inside the mask come nearest to p there.

    A ridge regression towards gain 1; weight: the mask [B,1,H,W] as 0 and 1.
    """
    ring = weight - weight * (-F.max_pool2d(-F.pad(weight, (1, 1, 1, 1), value=1.0), 3, 1))
    share = ring / ring.sum((2, 3), keepdim=True).clamp_min(1)

    def mean(t: Tensor) -> Tensor:
        return (t * share).sum((2, 3), keepdim=True)

    mean_x, mean_p = mean(x), mean(p)
    covariance = mean((x - mean_x) * (p - mean_p))
    gain = (covariance + RIDGE) / (mean((x - mean_x).square()) + RIDGE)
    return gain.clamp(1 / MOST_GAIN, MOST_GAIN) * (x - mean_x) + mean_p


def composite_of(photo: Photo, seed: int) -> tuple[Photo, Photo]:
    """(another exposure of a photo of 8 bits, a mask of its size) to paste it into itself by."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        y = photo.to_tensor(photo.pixels.shape[2])
        mask = random_shapes(1, y.shape[2], y.shape[3], y.device)
        foreground = photo.with_pixels(random_exposure(y)[0])
    return foreground, Photo((mask[0, 0].numpy() * 255).astype(np.uint8)[:, :, None])


def baselines(foreground: Photo, photo: Photo, mask: Photo) -> dict[str, np.ndarray]:
    """What needs no training, uint8 [H,W,C] of a composite by name of BASELINES; seamlessClone needs OpenCV."""
    made = {"copied": np.where(mask.pixels > 0, foreground.pixels, photo.pixels)}
    made["poisson"] = blend(foreground, photo, mask, Placement()).photo.pixels
    own = blend(foreground, photo, mask, Placement(beta=0.01), lambda x, p, m: x - p).photo
    made["own colours"] = own.pixels
    if find_spec("cv2") and photo.pixels.shape[2] == 3:
        import cv2  # type: ignore[import-not-found,unused-ignore]  # an extra

        white = np.pad(mask.pixels[1:-1, 1:-1, 0], 1)  # it clears the mask at the frame, then centres what is left
        left, top, width, height = cv2.boundingRect(white)
        centre = (left + width // 2, top + height // 2)
        made["seamlessclone"] = cv2.seamlessClone(foreground.pixels, photo.pixels, white, centre, cv2.NORMAL_CLONE)
    return made


def masked_error(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """The mean squared difference of images within their masks, mean over images."""
    weight = mask.to(a.dtype)
    errors = ((a - b).square() * weight).sum((1, 2, 3)) / (weight.sum((1, 2, 3)) * a.shape[1])
    return errors.mean()


def gain_over(p: Tensor, blended: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Decibels by which blends are nearer to the photos than Poisson blends are, by the errors of all together."""
    return 10 * (masked_error(p, y, mask) / masked_error(blended, y, mask)).log10()
