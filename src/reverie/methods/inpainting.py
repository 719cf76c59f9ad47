"""Inpainting.   B batch, C channels, H = W pixels; photos y and images x whose hole is filled with the Laplace fill,
[B,C,H,W] in [-1,1]; holes [B,1,H,W], bool; logits [B,1,h,w], one of each patch of an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.constraints import Boxes, Count, CountOrNone, Decay, MultipleOf, NonNegative, Positive, Range, Share
from reverie.core.diagnostics import discriminator_auc
from reverie.core.lr_schedules import cosine_with_warmup
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.patches import ImagePatches
from reverie.media import Image, Photo
from reverie.media.image import side_by_side
from reverie.media.mask import Marking
from reverie.metrics.inpainting import inpainting_scores
from reverie.metrics.inpainting_examples import FilledPhotos, fill_photos, holes_to_test
from reverie.metrics.score import Score
from reverie.nn.dcgan_blocks import init_weights
from reverie.nn.patchgan import PatchGAN
from reverie.nn.perceptual_loss import PerceptualLoss
from reverie.nn.residual_blocks import conv3x3, residual_blocks
from reverie.transforms.augment import paired_random_crop, random_flip
from reverie.transforms.hole_patches import Detail, fill_holes, inpaint_each
from reverie.transforms.laplace_fill import laplace_fill
from reverie.transforms.mask_strokes import centre_holes, random_holes
from reverie.transforms.resampling import imresize_tensor
from reverie.transforms.tiling import pad_to_multiple
from reverie.utils.errors import UserError

ITERATIONS = 3
"""of the Laplace fill of training images: within half a level of 255 of the solution, which those of use are"""
LEAST_SQUARE = 1e-5
"""added to mean squared errors before their root is taken, as of half a level of 255"""
LESS = 0.75
"""share of the median of photos that are small, from which on they are learnt from"""
ENCODER_MULTIPLE, ENCODER_LEAST = 32, 128
"""pixels: sides of images that a context encoder takes"""


class Inpainting(Method):
    """Inpainting: holes in photos filled with what goes on around them, learnt from whole photos alone.

    Context encoders: Pathak et al. 2016, arXiv:1604.07379; holes anywhere, by a U-Net, as Liu 2018, arXiv:1804.07723
    """

    data_type = ImagePatches
    monitored: ClassVar[dict[str, str]] = {"loss_pixel": "loss", "d_auc": "discriminator_auc"}

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, MultipleOf(16, 16)] = 64
        """pixels a side of the images that it is trained on; holes thicker than half of that are filled shrunk"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        masks: Literal["mixed", "centre", "free"] = "mixed"
        """holes to learn: the middle half of each side, by which papers compare; random strokes and boxes; or either,
        half of the time"""
        network: Literal["unet", "context_encoder"] = "unet"
        """a U-Net of residual blocks, added to the Laplace fill; or the paper's encoder-decoder (figure 9)"""
        base_channels: Count = 32
        """channels at half of the side; each halving doubles them (the paper: 64)"""
        blocks: CountOrNone = 3
        """residual blocks of the U-Net at an eighth of the side"""
        min_downscale: Annotated[float, Range(0.1, 1)] = 0.2
        """training images are crops of photos, downscaled at random to this share of their size or more, each octave as
        often; 1: never. Less far where the median of the photos is too small for that"""
        hflip: bool = True
        """random horizontal flips of training images"""
        pixel_loss: Literal["rmse", "l1", "l2"] = "rmse"
        """the error of pixels in the hole: its root mean square in each image, which is what PSNR is of; its mean
        absolute value, or its mean square (the paper: l2)"""
        adv_share: Share = 0.0
        """share of the steps in the stage "adversarial", which invents texture and costs PSNR; 0: no such stage"""
        pixel_weight: NonNegative = 1.0
        """weight of the error of pixels in the adversarial stage (the paper: 0.999)"""
        feature_weight: NonNegative = 0.3
        """weight of the perceptual loss in the adversarial stage (the paper: 0)"""
        adv_weight: NonNegative = 0.01
        """weight of the adversarial loss (the paper: 0.001)"""
        lr: Positive = 1e-3
        """learning rate of Adam in the stage "pixels": it rises over the first tenth of the steps, and falls to 0 along
        a cosine"""
        adv_lr: Positive = 2e-4
        """learning rate of the generator in the adversarial stage"""
        d_lr: Positive = 2e-4
        """learning rate of the discriminator (section 4: a tenth of the generator's)"""
        beta1: Decay = 0.9
        """Adam's beta1 of the generator; the discriminator's is 0.5"""
        beta2: Decay = 0.99
        """Adam's beta2"""
        ema_decay: Decay = 0.998
        """decay of averaged weights, which are then the ones in use; 0: none"""
        steps: Count = 12_000
        """training steps"""

        def __post_init__(self) -> None:
            if self.network == "context_encoder" and (self.size % ENCODER_MULTIPLE or self.size < ENCODER_LEAST):
                raise UserError(
                    f"size is {self.size}; a context encoder takes a multiple of {ENCODER_MULTIPLE}, {ENCODER_LEAST} "
                    "or more."
                )

    _laptop = dict(batch_size=16, checkpoint_every=1_000, sample_every=1_000)
    presets = {
        "smoke": dict(size=16, base_channels=8, blocks=1, min_downscale=1.0, batch_size=4, adv_share=0.5),
        "laptop": _laptop,
        "adversarial": dict(**_laptop, adv_share=0.2, steps=15_000),
        "centre": dict(**_laptop, masks="centre"),
        "free": dict(**_laptop, masks="free"),
        "paper": dict(
            network="context_encoder", size=128, base_channels=64, masks="centre", batch_size=64, min_downscale=1.0,
            pixel_loss="l2", adv_share=1.0, pixel_weight=0.999, feature_weight=0.0, adv_weight=0.001, adv_lr=2e-3,
            d_lr=2e-4, beta1=0.5, beta2=0.999, ema_decay=0.0, steps=100_000,
        ),
    }  # fmt: skip

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        if config.size > config.min_downscale * facts["native"]:  # so that not the larger half alone is learnt from
            config = replace(config, min_downscale=min(1.0, config.size / (LESS * facts["native"])))
        return super().resolve_config(config, facts)

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        return {"size": round(config.size / config.min_downscale), "channels": config.channels}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.learnt = True
        if c.network == "context_encoder":
            self.generator: FillUNet | ContextEncoder = ContextEncoder(c.channels, c.base_channels)
        else:
            self.generator = FillUNet(c.channels, c.base_channels, c.blocks)
        if c.adv_share:
            self.discriminator = PatchGAN(c.channels + 1, 32, 2, "instance")
        self.perceptual_loss = PerceptualLoss()

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        adam = partial(torch.optim.Adam, fused=True)
        optimizers: dict[str, torch.optim.Optimizer] = {
            "generator": adam(self.generator.parameters(), lr=c.lr, betas=(c.beta1, c.beta2))
        }
        if c.adv_share:  # the stage has one factor on both rates, adv_lr / lr
            d_lr = c.d_lr * c.lr / c.adv_lr
            optimizers["discriminator"] = adam(self.discriminator.parameters(), lr=d_lr, betas=(0.5, 0.999))
        return optimizers

    def stages(self) -> list[Stage]:
        c = self.config
        adversarial, factor = round(c.steps * c.adv_share), c.adv_lr / c.lr
        stages = [
            Stage("pixels", c.steps - adversarial, self.step_pixels, cosine_with_warmup),
            Stage("adversarial", adversarial, self.step_adversarial, lambda done: factor, ("generator",)),
        ]
        return [stage for stage in stages if stage.steps]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay} if self.config.ema_decay else {}

    def optional_modules(self) -> tuple[str, ...]:
        return ("discriminator",)

    def step_pixels(self, batch: Batch, update: Update) -> Metrics:
        """One step towards the nearest pixels in the hole: the highest PSNR."""
        y, x, hole = self.random_examples(batch["image"])
        filled = self.generator(x, hole.to(x.dtype))
        loss_pixel = self.pixel_error(filled, y, hole)
        update("generator", loss_pixel)
        return {"loss_pixel": loss_pixel.detach(), "gain": gain_over(x, filled.detach(), y, hole)}

    def step_adversarial(self, batch: Batch, update: Update) -> Metrics:
        """A step of D, then one of G by pixels, features and D's opinion of the patches at the hole (eq. 3)."""
        c = self.config
        y, x, hole = self.random_examples(batch["image"])
        filled = self.generator(x, hole.to(x.dtype))
        real_logits, fake_logits = self.discriminate(y, hole), self.discriminate(filled.detach(), hole)
        weight = F.adaptive_max_pool2d(hole.to(y.dtype), real_logits.shape[2:])  # what D sees of the hole
        loss_d = (F.softplus(-real_logits) + F.softplus(fake_logits)).mul(weight).sum() / weight.sum()
        update("discriminator", loss_d)
        real, fake = ((t * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)) for t in (real_logits, fake_logits))

        loss_pixel = self.pixel_error(filled, y, hole)
        loss_g = (F.softplus(-self.discriminate(filled, hole)) * weight).sum() / weight.sum()
        loss = c.pixel_weight * loss_pixel + c.adv_weight * loss_g
        metrics = {"loss_pixel": loss_pixel.detach(), "gain": gain_over(x, filled.detach(), y, hole)}
        if c.feature_weight:
            loss_feature = self.perceptual_loss(filled, y)
            metrics["loss_feature"], loss = loss_feature.detach(), loss + c.feature_weight * loss_feature
        update("generator", loss)
        return {**metrics, "loss_g": loss_g.detach(), "loss_d": loss_d.detach(), "d_auc": discriminator_auc(real, fake)}

    def random_examples(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(photos y, what the generator gets x, holes) of random crops of photos; one downscale for all of a batch."""
        c, side = self.config, image.shape[3]
        share = c.min_downscale ** float(torch.rand(()))  # on the CPU: no value is read back
        (y,) = paired_random_crop([image], min(side, round(c.size / share)))
        y = random_flip(y) if c.hflip else y
        y = y if y.shape[3] == c.size else imresize_tensor(y, (c.size, c.size), levels=True)
        hole = self.random_holes(len(y), y.device)
        return y, laplace_fill(y, hole, ITERATIONS), hole

    def random_holes(self, b: int, device: torch.device) -> Tensor:
        """Holes [B,1,H,W] to learn, of the kind of the config."""
        c = self.config
        centre = centre_holes(b, c.size, c.size, device)
        if c.masks == "centre":
            return centre
        free = random_holes(b, c.size, c.size, device)
        return free if c.masks == "free" else torch.where(torch.rand(b, 1, 1, 1, device=device) < 0.5, centre, free)

    def pixel_error(self, filled: Tensor, y: Tensor, hole: Tensor) -> Tensor:
        """How far filled images are from photos y in their holes; outside, nothing is changed."""
        kind, difference = self.config.pixel_loss, (filled - y) * hole
        if kind == "rmse":
            squares = difference.square().sum((1, 2, 3)) / (hole.sum((1, 2, 3)) * y.shape[1])
            return (squares + LEAST_SQUARE).sqrt().mean()
        total = difference.abs().sum() if kind == "l1" else difference.square().sum()
        return total / (hole.sum() * y.shape[1])

    def discriminate(self, y: Tensor, hole: Tensor) -> Tensor:
        """The discriminator's logits [B,1,h,w] for the patches of images, of which it knows where the hole is."""
        return self.discriminator(torch.cat([y, hole.to(y.dtype)], 1))

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @classmethod
    def without_training(cls) -> Inpainting:
        """A method that fills holes with the Laplace fill, and texture from around them."""
        method = cls(cls.Config(channels=3, base_channels=2, blocks=0))
        method.learnt, method.origin["synthetic"] = False, False
        return method.eval()

    @verb
    def inpaint(
        self, photos: list[Photo], mask: list[Photo] | None = None, mask_colour: str = "", mask_alpha: bool = False,
        box: Boxes | None = None, invert: bool = False, grow: Annotated[int, Range(0, 1000)] | None = None,
        detail: Detail = "texture",
    ) -> Iterator[Photo]:  # fmt: skip
        """Each photo with its hole filled; outside of it the photo's own pixels, in its own size and depth.

        photos: photos with something in them that is to go
        mask: of the photos' sizes, white where the hole is: one for each photo, or one for all
        mask_colour: a colour that marks the hole, such as ff00ff: in the mask, or without one in the photo itself
        mask_alpha: whether what is transparent marks the hole: in the mask, or without one in the photo itself
        box: the hole: left,top,right,bottom as shares of the width and of the height; several times for several
        invert: whether what is marked stays, and the rest is the hole
        grow: pixels by which the hole is widened all around; none: 4 where paint in the photo has a soft edge, else 0
        detail: texture, copied from around the hole in patches (with a run only into holes thicker than half of the
            size that it learnt at); or none, smooth
        """
        c, marking = self.config, Marking(mask_colour, mask_alpha, box, invert, grow)
        if not self.learnt:
            yield from inpaint_each(photos, mask, marking, laplace_fill, None, detail=detail)
            return
        yield from inpaint_each(photos, mask, marking, self.fill, c.size, c.channels, detail)

    def fill(self, image: Tensor, hole: Tensor) -> Tensor:
        """Images [B,C,H,W] of any size with their holes [B,1,H,W] filled; outside of these they are as they were.

        By a network that has learnt from mirrored photos too, the mean of what it paints into an image and its mirror
        image (as the self-ensemble of Lim 2017, arXiv:1707.02921, section 3.4), but not after an adversarial stage. On
        any device, whichever the networks are on. What an image has in its hole is of no consequence. Raises UserError
        if a hole covers a whole image.
        """
        c, net, size = self.config, self.generator, image.shape[2:]
        x, mask = laplace_fill(image, hole).to(self.device), hole.to(self.device, image.dtype)
        padded = [pad_to_multiple(t, net.multiple, net.least) for t in (x, mask)]
        filled = net(*padded)
        if c.hflip and not c.adv_share:  # the mean is nearer to the photo; it would blur invented texture
            filled = (filled + net(*(t.flip(3) for t in padded)).flip(3)) / 2
        return torch.where(hole, filled[:, :, : size[0], : size[1]].clamp(-1, 1).to(image.device), image)

    # -- scores --------------------------------------------------------------------------------------------------------

    def inpainting_examples(
        self, data: ImagePatches, n: int, seed: int, test_size: int | None = None, test_masks: Path | None = None
    ) -> Iterator[FilledPhotos]:
        """The first n photos of the data with holes of each kind, filled; the options are those of `method_scores`."""
        c, side = self.config, test_size or self.config.size

        def fill(photo: Photo, hole: np.ndarray) -> Photo:
            return fill_holes(photo, hole, self.fill, c.size, c.channels)

        for holes in holes_to_test(side, seed, test_masks):
            yield fill_photos(data.full_images(n, c.channels), side, holes, fill)

    def method_scores(
        self, data: ImagePatches, n: int, seed: int, test_size: Annotated[int, MultipleOf(8, 16)] | None = None,
        test_masks: Path | None = None,
    ) -> Iterator[Score]:  # fmt: skip
        """PSNR, SSIM and sharpness of filled holes of the first n photos, beside the Laplace fill and OpenCV's tools.

        test_size: pixels a side that photos are scaled and cropped to; none: as in training
        test_masks: a folder of mask files, white is the hole; none: the middle, and random strokes and boxes
        """
        for filled in self.inpainting_examples(data, n, seed, test_size, test_masks):
            yield from inpainting_scores(filled, data, seed)

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Rows of image with its hole, Laplace fill, inpainted, original, of the first 8 pieces."""
        side = self.config.size
        y = imresize_tensor(batch["image"][:8], (side, side), levels=True)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            hole = self.random_holes(len(y), y.device)
            x = laplace_fill(y, hole, ITERATIONS)
            self.eval()
            filled = torch.where(hole, self.generator(x, hole.to(x.dtype)).clamp(-1, 1), y)
            self.train()
        columns = y.masked_fill(hole, 0.0), x, filled, y
        return {"": side_by_side(*columns, labels=("hole", "Laplace", "inpainted", "original"), columns=8)}


class FillUNet(nn.Module):
    """(x [B,C,H,W], mask [B,1,H,W]) -> x plus what belongs into the hole, at first nothing; H, W multiples of 8.

    A U-Net (Ronneberger 2015, arXiv:1505.04597) of residual blocks, at half, a quarter and an eighth of the side; four
    pixels are the channels of one (as in FFDNet, arXiv:1710.04026).
    """

    multiple, least = 8, 16

    def __init__(self, channels: int, base_channels: int, blocks: int) -> None:
        super().__init__()
        widths = [base_channels * k for k in (1, 2, 4)]
        steps = list(pairwise(widths))
        self.enter = conv3x3(4 * (channels + 1), widths[0])
        self.encoder = nn.ModuleList(residual_blocks(c, n) for c, n in zip(widths, (3, 2, blocks), strict=True))
        self.down = nn.ModuleList(nn.Conv2d(narrow, wide, 3, 2, 1) for narrow, wide in steps)
        self.up = nn.ModuleList(nn.Conv2d(wide, 4 * narrow, 1) for narrow, wide in steps)
        self.decoder = nn.ModuleList(residual_blocks(c, n) for c, n in zip(widths[:-1], (2, 3), strict=True))
        self.leave = conv3x3(widths[0], 4 * channels, scale=0.0)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.enter(F.pixel_unshuffle(torch.cat([x, mask], 1), 2))
        maps = [self.encoder[0](y)]
        for down, blocks in zip(self.down, self.encoder[1:], strict=True):
            maps.append(blocks(F.relu(down(maps[-1]))))
        y = maps.pop()
        for up, blocks in zip(reversed(self.up), reversed(self.decoder), strict=True):
            y = blocks(maps.pop() + F.pixel_shuffle(up(y), 2))
        return x + mask * F.pixel_shuffle(self.leave(y), 2)


class ContextEncoder(nn.Module):
    """(x [B,C,H,W], mask [B,1,H,W]) -> x with the hole drawn anew; H, W multiples of 32, from 128 (Pathak, figure 9).

    As in the paper the hole is mid-grey at first. Its network gives the middle of the image only; this one, as that of
    its authors for holes anywhere, gives all of it, of which the hole is taken.
    """

    multiple, least = ENCODER_MULTIPLE, ENCODER_LEAST

    def __init__(self, channels: int, base_channels: int, bottleneck: int = 4000) -> None:
        super().__init__()
        widths = [base_channels * k for k in (1, 1, 2, 4, 8)]
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2, True)]
        layers += [nn.Conv2d(widths[-1], bottleneck, 4), nn.BatchNorm2d(bottleneck), nn.LeakyReLU(0.2, True)]
        layers += [nn.ConvTranspose2d(bottleneck, widths[-1], 4), nn.BatchNorm2d(widths[-1]), nn.ReLU(True)]
        for wide, narrow in pairwise(widths[::-1]):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), nn.BatchNorm2d(narrow), nn.ReLU(True)]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[0], channels, 4, 2, 1), nn.Tanh())
        self.apply(init_weights)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * (1 - mask) + mask * self.layers(x * (1 - mask))


def gain_over(x: Tensor, filled: Tensor, y: Tensor, hole: Tensor) -> Tensor:
    """Decibels by which filled images are nearer to the photos than their Laplace fill x, by the errors of all."""
    return 10 * (((x - y) * hole).square().sum() / ((filled - y) * hole).square().sum()).log10()
