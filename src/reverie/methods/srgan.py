"""SRGAN.   B batch, C channels, s scale, H = W pixels of small images; small images x [B,C,H,W], large ones y
[B,C,sH,sW], both in [-1,1]; logits [N], one of each patch of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.constraints import Count, Decay, MultipleOf, NonNegative, Positive, Range, Share
from reverie.core.diagnostics import discriminator_auc
from reverie.core.imported_network import Imported, ImportedUpscaler
from reverie.core.lr_schedules import constant, cosine
from reverie.core.method import Method, verb
from reverie.core.muon import optimizer_of
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.patches import ImagePatches
from reverie.media import Image, Photo
from reverie.media.image import side_by_side
from reverie.metrics.full_reference import Restored
from reverie.metrics.score import Reference, Score
from reverie.metrics.super_resolution import crop_to_multiple, upscaling_scores
from reverie.nn import losses
from reverie.nn.basicsr_networks import SEEN, MSRResNet, RRDBNet, SRVGGNetCompact
from reverie.nn.patchgan import PatchGAN
from reverie.nn.perceptual_loss import PerceptualLoss
from reverie.nn.residual_blocks import conv3x3, residual_blocks
from reverie.transforms.augment import mean_over_positions, paired_random_crop, random_flip_and_rotate
from reverie.transforms.degradations import downscale_as_cameras
from reverie.transforms.resampling import imresize, imresize_tensor
from reverie.transforms.upscaling import Upscaler, upscale_photo
from reverie.utils.errors import UserError

ADVERSARIAL = losses.nonsaturating()
MARGIN = 1.25
"""side of the pieces of photos that crops are drawn from, in sides of a crop"""


class SRGAN(Method):
    """Super-resolution: photos two, three or four times as large, learnt from photos that it makes small itself.

    SRResNet and SRGAN: Ledig et al. 2016, arXiv:1609.04802; blocks without norm as in EDSR, arXiv:1707.02921
    """

    data_type = ImagePatches
    monitored: ClassVar[dict[str, str]] = {"loss_pixel": "loss", "d_auc": "discriminator_auc"}

    @dataclass(frozen=True)
    class Config:
        scale: Literal[1, 2, 3, 4] = 4
        """how many times as large as its input the output of the network is, each side; 1, with --inputs camera: no
        larger, but clean"""
        size: Annotated[int, Range(8)] = 32
        """pixels per side of the small images that it is trained on"""
        channels: int | None = None
        """1 grey, 3 colour; none: as the data"""
        inputs: Literal["clean", "camera"] = "clean"
        """what it learns to enlarge: photos that were only downscaled, by which papers are compared; or those that were
        blurred, have noise and were saved as JPEG too, as many that people have"""
        network: Literal["compact", "srresnet", "msrresnet", "rrdb", "srvgg"] = "compact"
        """residual blocks without norm and one pixel shuffle; the paper's, with batch norm (figure 4); or those of
        BasicSR, as files that are imported have them: MSRResNet, RRDBNet of ESRGAN, and SRVGGNetCompact"""
        base_channels: Count = 48
        """channels of the convolutions"""
        blocks: Count = 6
        """residual blocks, of two convolutions each; of rrdb fifteen, of srvgg one"""
        growth_channels: Count = 32
        """channels that each convolution in a dense block adds, of rrdb"""
        unshuffle: Literal[1, 2, 4] = 1
        """pixels a side that are folded into channels first, of rrdb (Real-ESRGAN: 2 at scale 2, 4 at scale 1)"""
        min_downscale: Annotated[float, Range(0.5, 1)] = 0.6
        """training photos are first downscaled at random to this share of their size or more, which thins out what JPEG
        has left in them; 1: never"""
        hflip: bool = True
        """random horizontal flips of training images"""
        rotate: bool = True
        """random rotations of training images, by 90, 180 or 270 degrees"""
        pixel_loss: Literal["l1", "l2"] = "l1"
        """the mean absolute or the mean squared error of pixels, of the first stage (the paper: l2)"""
        adv_share: Share = 0.0
        """share of the steps in the stage "adversarial", which invents texture and costs PSNR; 0: no such stage"""
        pixel_weight: NonNegative = 0.01
        """weight of the mean absolute error of pixels in the adversarial stage (the paper: 0)"""
        feature_weight: NonNegative = 1.0
        """weight of the perceptual loss in the adversarial stage"""
        adv_weight: NonNegative = 5e-3
        """weight of the adversarial loss (eq. 3: 1e-3)"""
        grid_weight: NonNegative = 10.0
        """weight of the fixed pattern in the adversarial stage (the paper: 0), see grid_error"""
        optimizer: Literal["muon", "adam"] = "muon"
        """of the generator; Muon learns the nearest pixels in half of Adam's time or less (docs/upscale.md)"""
        lr: Positive = 2e-3
        """learning rate of the stage "pixels" """
        lr_schedule: Literal["cosine", "constant"] = "cosine"
        """of the stage "pixels": to 0 along a cosine, or constant"""
        adv_lr: Positive = 1e-4
        """learning rate of Adam in the adversarial stage, a tenth of it in its second half (section 3.2)"""
        beta1: Decay = 0.9
        """Adam's beta1; with muon, of the last layer and biases"""
        beta2: Decay = 0.99
        """Adam's beta2"""
        ema_decay: Decay = 0.999
        """decay of averaged weights, which are then the ones in use; 0: none"""
        steps: Count = 6_000
        """training steps"""

        def __post_init__(self) -> None:
            if self.scale == 1 and self.inputs == "clean":
                raise UserError("scale is 1: of clean photos there is nothing to learn; give --inputs camera.")
            if self.network == "rrdb" and self.scale == 3:
                raise UserError("network rrdb doubles: scale must be 1, 2 or 4.")

    _laptop = dict(batch_size=8, checkpoint_every=1_000, sample_every=1_000)
    presets = {
        "smoke": dict(scale=2, size=8, base_channels=8, blocks=1, batch_size=4, adv_share=0.5),
        "laptop": _laptop,
        "adversarial": dict(**_laptop, optimizer="adam", adv_share=0.25, steps=8_000),
        "camera": dict(**_laptop, inputs="camera"),
        "paper": dict(
            network="srresnet", base_channels=64, blocks=16, size=24, batch_size=16, min_downscale=1.0, pixel_loss="l2",
            optimizer="adam", lr=1e-4, lr_schedule="constant", beta2=0.999, ema_decay=0.0, adv_share=1 / 6,
            pixel_weight=0.0, adv_weight=1e-3, grid_weight=0.0, steps=1_200_000,
        ),
    }  # fmt: skip

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        return {"size": round(MARGIN * config.size * config.scale), "channels": config.channels}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        if c.network == "rrdb":
            self.generator: Any = RRDBNet(
                c.channels, c.base_channels, c.blocks, c.scale, c.growth_channels, c.unshuffle
            )  # fmt: skip
        else:
            self.generator = NETWORKS[c.network](c.channels, c.base_channels, c.blocks, c.scale)
        if c.adv_share:
            paper = c.network == "srresnet"
            self.discriminator = Discriminator(c.channels) if paper else PatchGAN(c.channels, 32, 2, "instance")
        self.perceptual_loss = PerceptualLoss()  # paper: of VGG-19

    @classmethod
    def from_imported(cls, networks: Sequence[Imported]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """One network of BasicSR, ESRGAN or Real-ESRGAN enlarges."""
        if len(networks) != 1 or not isinstance(net := networks[0], ImportedUpscaler):
            return None
        names = ("scale", "channels", "base_channels", "blocks", "growth_channels", "unshuffle")
        config = {name: getattr(net, name) for name in names if getattr(net, name) is not None}
        config |= {"network": net.kind, "inputs": "camera" if net.scale == 1 else "clean"}
        return config, {f"generator.{name}": tensor for name, tensor in net.weights.items()}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c, betas = self.config, (self.config.beta1, self.config.beta2)
        adam = partial(torch.optim.Adam, lr=c.lr, betas=betas, fused=True)
        optimizers = {"generator": optimizer_of(self.generator, c.optimizer, c.lr, betas)}
        if c.adv_share:
            optimizers["discriminator"] = adam(self.discriminator.parameters())
        return optimizers

    def stages(self) -> list[Stage]:
        c = self.config
        adversarial = round(c.steps * c.adv_share)
        schedule = cosine if c.lr_schedule == "cosine" else constant
        stages = [Stage("pixels", c.steps - adversarial, self.step_pixels, schedule)]
        factor = c.adv_lr / c.lr  # of the rates that the optimizers were made with
        last = Stage(
            "adversarial", adversarial, self.step_adversarial, lambda done: factor if done < 0.5 else factor / 10,
            reset_optimizers=("generator",),
        )  # fmt: skip
        return [stage for stage in (*stages, last) if stage.steps]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay} if self.config.ema_decay else {}

    def optional_modules(self) -> tuple[str, ...]:
        return ("discriminator",)

    def step_pixels(self, batch: Batch, update: Update) -> Metrics:
        """One step towards the nearest pixels: the highest PSNR (SRResNet, section 3.2)."""
        x, y = self.random_pairs(batch["image"])
        difference = self.generator(x) - y
        loss_pixel = difference.abs().mean() if self.config.pixel_loss == "l1" else difference.square().mean()
        update("generator", loss_pixel)
        return {"loss_pixel": loss_pixel.detach(), "psnr": psnr_of(difference)}

    def step_adversarial(self, batch: Batch, update: Update) -> Metrics:
        """A step of D, then one of G by the perceptual loss and D's opinion (eq. 3), and a little by pixels."""
        c = self.config
        x, y = self.random_pairs(batch["image"])
        upscaled = self.generator(x)
        real_logits, fake_logits = self.discriminator(y).flatten(), self.discriminator(upscaled.detach()).flatten()
        loss_d = update("discriminator", ADVERSARIAL.discriminator(real_logits, fake_logits))
        d_auc = discriminator_auc(real_logits, fake_logits)

        difference = upscaled - y
        loss_pixel, loss_feature = difference.abs().mean(), self.perceptual_loss(upscaled, y)
        loss_g = ADVERSARIAL.generator(self.discriminator(upscaled).flatten(), None)
        loss_grid = grid_error(difference, c.scale)
        loss = c.feature_weight * loss_feature + c.adv_weight * loss_g + c.pixel_weight * loss_pixel
        update("generator", loss + c.grid_weight * loss_grid)
        return {
            "loss_pixel": loss_pixel.detach(), "psnr": psnr_of(difference), "loss_feature": loss_feature.detach(),
            "loss_g": loss_g.detach(), "loss_grid": loss_grid.detach(), "loss_d": loss_d, "d_auc": d_auc,
        }  # fmt: skip

    def random_pairs(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Small and large images (x, y) of random crops of photos [B,C,T,T]; one downscale for all of a batch."""
        c, side = self.config, image.shape[3]
        share = 1 - (1 - c.min_downscale) * float(torch.rand(()))  # on the CPU: no value is read back
        size = min(c.size, int(side * share) // c.scale)
        large = size * c.scale
        (y,) = paired_random_crop([image], min(side, round(large / share)))
        y = random_flip_and_rotate(y, c.hflip, c.rotate)
        y = y if y.shape[3] == large else imresize_tensor(y, (large, large), levels=True)
        if c.inputs == "camera":
            return downscale_as_cameras(y, (size, size), c.scale), y
        return imresize_tensor(y, (size, size), levels=True), y

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @verb
    def upscale(
        self, photos: list[Photo], scale: Annotated[float, Range(1, 16)] | None = None,
        tile: Annotated[int, MultipleOf(64, 64)] | None = None, self_ensemble: bool = False,
    ) -> Iterator[Photo]:  # fmt: skip
        """Each photo larger, in its own depth, with its alpha and colour profile.

        photos: small photos, grey or in colour
        scale: how many times as large, each side, such as 2.5, by Lanczos behind the network; none: its own scale
        tile: pixels per side above which a photo is cut into tiles; less takes less memory; none: 256, or 384 for deep
            networks, whose pixels depend on others far away
        self_ensemble: the mean over 8 flips and rotations of the photo: a little better, 8 times as slow
        """
        upscaler = self.upscaler(self_ensemble)
        for photo in photos:
            yield upscale_photo(photo, upscaler, scale or self.config.scale, tile)

    def upscaler(self, self_ensemble: bool = False) -> Upscaler:
        """The generator, with what has to be known to use it on photos of any size."""
        c, net = self.config, self.generator
        network = partial(mean_over_positions, net) if self_ensemble else net
        upscaler = Upscaler(network, c.channels, c.scale, net.receptive_radius, self.device)
        if c.network != "rrdb":
            return upscaler
        overlap, fold = min(net.receptive_radius, SEEN * c.unshuffle), c.unshuffle
        return upscaler._replace(overlap=overlap, blend=16 * fold, multiple=fold, tile=384)

    def restoration_examples(self, data: ImagePatches, n: int, seed: int) -> Iterator[Restored]:
        """The first n photos of the data in their own size: original, its small image upscaled by bicubic, and by G."""
        s = self.config.scale
        if s == 1:
            raise UserError("the network does not enlarge (scale 1), so there is no score of how well it does.")
        channels = 1 if self.config.channels == 1 else None  # grey files are scored as grey
        for name, pixels in data.full_images(n, channels):
            original = crop_to_multiple(pixels, s)
            h, w = original.shape[:2]
            if min(h, w) <= 2 * s:  # nothing is left inside the borders
                continue
            small = imresize(original, (h // s, w // s))
            (upscaled,) = self.verb("upscale")([Photo(small, name=name)])
            yield Restored(name, original, imresize(small, (h, w)), upscaled.pixels)

    def score_examples(self, examples: Sequence[Restored], reference: Reference, seed: int) -> Iterator[Score]:
        """PSNR and SSIM of the luminance, as papers on super-resolution have them."""
        return upscaling_scores(examples, self.config.scale, reference, seed)

    example_labels = ("bicubic", "upscaled", "original")

    @property
    def degradation_description(self) -> str:
        """What is undone."""
        return f"downscaling by {self.config.scale} (MATLAB's imresize)"

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Rows of bicubic, upscaled, original, of the first 8 pieces."""
        c = self.config
        y = batch["image"][:8, :, : c.size * c.scale, : c.size * c.scale]
        with torch.no_grad():
            self.eval()
            x = imresize_tensor(y, (c.size, c.size), levels=True)
            upscaled = self.generator(x)
            self.train()
        bicubic = imresize_tensor(x, (y.shape[2], y.shape[3]))
        return {"": side_by_side(bicubic, upscaled, y, labels=self.example_labels)}


class CompactSR(nn.Module):
    """x [B,C,H,W] -> y [B,C,sH,sW]: x enlarged by repeated pixels, plus what residual blocks make of it at its size."""

    def __init__(self, channels: int, base_channels: int, blocks: int, scale: int) -> None:
        super().__init__()
        self.scale, self.receptive_radius = scale, 2 * blocks + 2
        self.head = conv3x3(channels, base_channels)
        self.blocks = residual_blocks(base_channels, blocks)
        self.tail = conv3x3(base_channels, channels * scale**2, scale=0.1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(x)
        added = F.pixel_shuffle(self.tail(features + self.blocks(features)), self.scale)
        return F.interpolate(x, scale_factor=self.scale) + added


class SRResNet(nn.Module):
    """x [B,C,H,W] -> y [B,C,sH,sW]: the paper's generator (figure 4)."""

    def __init__(self, channels: int, base_channels: int, blocks: int, scale: int) -> None:
        super().__init__()
        steps = (3,) if scale == 3 else (2,) * (scale // 2)
        self.receptive_radius = 2 * blocks + 1 + 8 + len(steps)
        self.head = nn.Sequential(nn.Conv2d(channels, base_channels, 9, 1, 4), nn.PReLU())
        self.blocks = nn.Sequential(*(NormBlock(base_channels) for _ in range(blocks)))
        self.after = nn.Sequential(nn.Conv2d(base_channels, base_channels, 3, 1, 1), nn.BatchNorm2d(base_channels))
        layers: list[nn.Module] = []
        for step in steps:
            layers.append(nn.Conv2d(base_channels, base_channels * step**2, 3, 1, 1))
            layers += [nn.PixelShuffle(step), nn.PReLU()]
        self.tail = nn.Sequential(*layers, nn.Conv2d(base_channels, channels, 9, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(x)
        return self.tail(features + self.after(self.blocks(features)))


class NormBlock(nn.Module):
    """x [B,C,H,W] plus two 3x3 convolutions of it with batch norm and PReLU (figure 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1), nn.BatchNorm2d(channels), nn.PReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Discriminator(nn.Sequential):
    """y [B,C,H,W] -> logits [B,1] of whole images: the paper's (figure 4), for sides of 96 pixels.

    Other sides are pooled to 6x6 before the first linear layer, which changes nothing at 96.
    """

    def __init__(self, channels: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(channels, 64, 3, 1, 1), nn.LeakyReLU(0.2, True)]
        width = 64
        for wide, stride in ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2)):
            layers += [nn.Conv2d(width, wide, 3, stride, 1), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2, True)]
            width = wide
        layers += [nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(512 * 36, 1024), nn.LeakyReLU(0.2, True)]
        super().__init__(*layers, nn.Linear(1024, 1))


NETWORKS: dict[str, Any] = {
    "compact": CompactSR, "srresnet": SRResNet, "msrresnet": MSRResNet, "srvgg": SRVGGNetCompact,
}  # fmt: skip
"""by --network: made of channels, base channels, blocks and scale"""


def grid_error(difference: Tensor, scale: int) -> Tensor:
    """How far the mean error at each of the scale x scale places that a pixel is enlarged to is from that at all.

    difference: of images [B,C,sH,sW]. A pixel shuffle has biases of its own for each place, and features take any fine
    pattern for texture: 64 adversarial steps made a grid of 1.1 levels of 255 (standard deviation over places), .19
    with this. A fainter one that differs between regions is left.
    """
    b = F.pixel_unshuffle(difference, scale).mean((0, 2, 3)).view(difference.shape[1], -1)  # [C,s*s]
    return (b - b.mean(1, keepdim=True)).abs().mean()


def psnr_of(difference: Tensor) -> Tensor:
    """In decibels, of differences of images in [-1,1]."""
    return -10 * (difference.detach() / 2).square().mean().log10()
