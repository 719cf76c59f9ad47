"""SalGAN.   B batch, H, W pixels, h, w cells of 8x8 pixels; images [B,3,H,W] in [-1,1]; log densities and shares of
fixations [B,1,h,w], whose exponentials, or which themselves, sum to 1 over cells; logits [N]."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.constraints import Count, Decay, MultipleOf, NonNegative, Positive, Share
from reverie.core.diagnostics import discriminator_auc
from reverie.core.lr_schedules import cosine
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.conversion import has_chroma
from reverie.data.images.fixations import BIAS_CELLS, CELL, Fixations
from reverie.media import Image, Photo
from reverie.media.image import side_by_side
from reverie.media.saliency_map import Form, SaliencyMap, draw_saliency
from reverie.metrics.saliency_scores import Observed, saliency_scores
from reverie.metrics.score import Reference, Score
from reverie.nn import losses
from reverie.nn.imagenet import MAP_CHANNELS, load_imagenet_network
from reverie.nn.patchgan import PatchGAN
from reverie.utils.errors import UserError

ADVERSARIAL = losses.nonsaturating()
STRIDES = (4, 8, 16, 32)
"""of the encoder's maps that are read"""
BLUR_RADIUS = 4
"""cells"""
CALIBRATION_LR = 2e-2
"""learning rate of Adam for the few numbers of a calibration"""
POWERS = ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (4, 0), (2, 2), (0, 4))
"""of x and y from -1 to 1, whose sum is what a calibration adds to the log centre bias"""
MOST_CACHED = 4_000
"""images whose features are kept in memory, about 230 kB each"""


class SalGAN(Method):
    """Saliency: where people look in a photo, learnt from recorded fixations.

    Pan et al. 2017, arXiv:1701.01081; the frozen encoder and the readout as DeepGaze II, arXiv:1610.01563
    """

    data_type = Fixations
    monitored: ClassVar[dict[str, str]] = {"loss_nll": "loss", "d_auc": "discriminator_auc"}

    log_bias: Tensor
    encoder: Any

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, MultipleOf(32, 64)] = 256
        """pixels a side that photos are resized to, whole"""
        encoder: Literal["frozen", "finetuned", "scratch"] = "frozen"
        """EfficientNet-Lite0 as ImageNet has trained it, with features computed once; the same, trained on; or the
        paper's network (section 3.1) from random weights, as far as its maps have a value for each cell"""
        encoder_lr: Positive = 1e-4
        """learning rate of a finetuned encoder, below that of the readout, which begins with random weights"""
        base_channels: Count = 32
        """channels of the first convolution of an encoder from scratch (the paper: 64), and of the readout"""
        loss: Literal["nll", "bce"] = "nll"
        """of the map: negative log-likelihood of fixations, or the paper's binary cross-entropy with maps (eq. 3)"""
        adv_weight: NonNegative = 0.05
        """weight of the adversarial loss in the second stage (eq. 5, 1 / alpha; the paper: 200); 0: no such stage"""
        adv_share: Share = 0.25
        """share of the steps in the second stage"""
        centre_bias: tuple[float, ...] | None = None
        """shares of 32 x 32 cells, row by row, in the fixations of the training set; none: as the data"""
        calibrate: bool = False
        """whether only 11 numbers are learnt, by which other viewers or photos differ from those of the run that is
        begun with: scale and blur of the values, weight of the centre bias, and 8 of a polynomial added to it"""
        lr: Positive = 1e-3
        """learning rate of Adam, with cosine decay to 0 in each stage"""
        weight_decay: NonNegative = 1e-2
        """of AdamW"""
        dropout: Decay = 0.2
        """dropout probability of the readout's first maps"""
        steps: Count = 600
        """training steps"""

    presets = {
        "smoke": dict(size=64, base_channels=8, batch_size=4),
        "laptop": dict(batch_size=16, log_every=25, checkpoint_every=200, sample_every=200),
        "finetuned": dict(batch_size=8, encoder="finetuned"),
        "paper": dict(
            encoder="scratch", base_channels=64, loss="bce", adv_weight=200.0, batch_size=32, lr=3e-4,
            weight_decay=1e-4, steps=60_000,
        ),
    }  # fmt: skip

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        if c.encoder == "scratch":
            self.encoder = EncoderDecoder(c.base_channels)
        elif c.encoder == "finetuned":
            self.encoder = load_imagenet_network(fused=False).requires_grad_(True)
        width = 8 * c.base_channels if c.encoder == "scratch" else sum(MAP_CHANNELS[stride] for stride in STRIDES)
        self.readout = Readout(width, c.base_channels, c.dropout)
        cells = c.size // CELL
        with torch.device("cpu"):  # on the meta device torch would load its compiler for this, which takes seconds
            bias = torch.tensor(c.centre_bias or [1.0] * BIAS_CELLS**2).view(1, 1, BIAS_CELLS, BIAS_CELLS)
            bias = F.interpolate(bias, (cells, cells), mode="bilinear", align_corners=False)
        self.register_buffer("log_bias", (bias / bias.sum()).log())
        if c.calibrate:
            self.calibration = Calibration()
        self.adversarial = c.adv_weight > 0 and not c.calibrate
        if self.adversarial:
            self.discriminator = PatchGAN(4, 32, 1)
        self._frozen: list[Any] = []  # no submodule: neither moved, trained nor saved
        self._features: dict[int, list[Tensor]] = {}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        if c.calibrate:
            norm = self.readout.layers[0]
            assert isinstance(norm, nn.BatchNorm2d)
            if not norm.num_batches_tracked:
                example = "reverie train salgan --from RUN --calibrate --data DATA --out NEW"
                raise UserError(f"--calibrate adjusts a run that has learnt: {example}.")
            adjusted = [self.readout.log_sigma, self.readout.bias_weight, *self.calibration.parameters()]
            return {"generator": torch.optim.Adam(adjusted, CALIBRATION_LR)}
        groups: list[dict[str, Any]] = [{"params": list(self.readout.parameters())}]
        if c.encoder != "frozen":
            lr = c.encoder_lr if c.encoder == "finetuned" else c.lr
            groups.append({"params": list(self.encoder.parameters()), "lr": lr})
        optimizers: dict[str, torch.optim.Optimizer] = {
            "generator": torch.optim.AdamW(groups, c.lr, weight_decay=c.weight_decay, fused=True)
        }
        if self.adversarial:
            optimizers["discriminator"] = torch.optim.Adam(self.discriminator.parameters(), 2e-4, (0.5, 0.999))
        return optimizers

    def stages(self) -> list[Stage]:
        c = self.config
        adversarial = round(c.steps * c.adv_share) if self.adversarial else 0
        stages = [Stage("likelihood", c.steps - adversarial, self.step, cosine)]
        return [*stages, Stage("adversarial", adversarial, partial(self.step, adversarial=True), cosine)][
            : 1 + bool(adversarial)
        ]

    def optional_modules(self) -> tuple[str, ...]:
        return ("discriminator", "calibration", "encoder")  # calibrating and fine-tuning begin with runs that lack them

    def step(self, batch: Batch, update: Update, adversarial: bool = False) -> Metrics:
        """One step: the loss of the map, and in the second stage a step of D and the adversarial loss (section 3.2)."""
        counts = batch["counts"]
        if self.config.calibrate:
            self.eval()  # the readout stays what it is
        logits = self.logits(self.features(batch["image"], batch["row"]))
        log_p = self.log_density(logits)
        loss_nll = -(counts * log_p).sum((1, 2, 3)).mean()
        gain = (counts * (log_p - self.log_bias)).sum((1, 2, 3)).mean() / math.log(2)
        by_likelihood = self.config.loss == "nll" or self.config.calibrate
        loss_map = loss_nll if by_likelihood else F.binary_cross_entropy_with_logits(logits, peaked(counts))
        metrics = {"loss_nll": loss_nll.detach(), "gain_bits": gain.detach()}
        if not adversarial:
            update("generator", loss_map)
            return metrics

        image = F.avg_pool2d(batch["image"], CELL)
        real, fake = peaked(counts), log_p.exp() / log_p.exp().amax((2, 3), keepdim=True)
        real_logits, fake_logits = self.discriminate(image, real), self.discriminate(image, fake.detach())
        loss_d = update("discriminator", ADVERSARIAL.discriminator(real_logits, fake_logits) / 2)
        loss_g = ADVERSARIAL.generator(self.discriminate(image, fake), None)
        update("generator", loss_map + self.config.adv_weight * loss_g)
        d_auc = discriminator_auc(real_logits, fake_logits)
        return {**metrics, "loss_d": loss_d, "loss_g": loss_g.detach(), "d_auc": d_auc}

    def features(self, image: Tensor, rows: Tensor | None = None) -> Tensor:
        """The encoder's maps of images, at the resolution of cells: [B,D,h,w].

        rows: [B], the number of each image in the training set, under which features of a frozen encoder are kept
        """
        if self.config.encoder != "frozen":
            self.encoder.eval()  # batch norm with the statistics of ImageNet; the paper's encoder has none
            maps = self.encoder.features(image, STRIDES)
        else:
            numbers = [-1] * len(image) if rows is None else rows.tolist()
            each = [self._frozen_features(image[i : i + 1], n) for i, n in enumerate(numbers)]
            columns = [[m.to(image.device, image.dtype) for m in column] for column in zip(*each, strict=True)]
            maps = [torch.cat(column) for column in columns]
        cells = (image.shape[2] // CELL, image.shape[3] // CELL)
        return torch.cat([F.interpolate(m, cells, mode="bilinear", align_corners=False) for m in maps], 1)

    @torch.no_grad()
    def _frozen_features(self, image: Tensor, row: int) -> list[Tensor]:
        """Features of one image, each by itself, so that they do not depend on what else is in a batch."""
        if row in self._features:
            return self._features[row]
        if not self._frozen:
            with torch.random.fork_rng(devices=[]):  # making it draws numbers, at whichever step it is needed first
                self._frozen.append(load_imagenet_network(image.device))
        first, *rest = self._frozen[0].features(image, STRIDES)
        found = [m.half() for m in (F.avg_pool2d(first, 2), *rest)]
        if row >= 0 and len(self._features) < MOST_CACHED:
            self._features[row] = found
        return found

    def logits(self, features: Tensor) -> Tensor:
        """What the readout says of each cell [B,1,h,w], with the centre bias."""
        values = self.readout(features)
        if not self.config.calibrate:
            return values + self.readout.bias_weight * self.log_bias
        return self.calibration(values) + self.readout.bias_weight * self.log_bias

    def log_density(self, logits: Tensor) -> Tensor:
        """The log of the share [B,1,h,w] of fixations that each cell gets."""
        values = logits if self.config.loss == "nll" else F.logsigmoid(logits)
        return values.flatten(1).log_softmax(1).view_as(values)

    def discriminate(self, image: Tensor, saliency: Tensor) -> Tensor:
        """The discriminator's logits [N] for images [B,3,h,w] with their maps [B,1,h,w] in [0,1]."""
        return self.discriminator(torch.cat([image, 2 * saliency - 1], 1)).flatten()

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @verb
    def saliency(
        self, photos: list[Photo], form: Form = "overlay", density: bool = False, bias_map: list[Photo] | None = None
    ) -> Iterator[SaliencyMap]:
        """Where people look in each photo.

        photos: photos of any size
        form: overlay (over the photo), heat (colours), map (16 bits of grey, density / its largest), bias (of it alone)
        bias_map: a grey image of a density, the centre bias in place of the run's, such as --form bias writes
        density: also write NAME.npy, float32 [H,W]: the share of fixations that each pixel gets, which sum to 1
        """
        maps = list(bias_map or ())
        if len(maps) not in (0, 1, len(photos)):
            raise UserError(f"bias-map is {len(maps)} images, for {len(photos)} photos; give one, or one for each.")
        biases: list[Tensor | None] = [self._read_bias(one) for one in maps] or [None]
        for i, photo in enumerate(photos):
            log_bias = biases[i % len(biases)]
            height, width = photo.pixels.shape[:2]
            alone = form == "bias"
            found = self.centre_density(height, width, log_bias) if alone else self.density_of(photo, log_bias)
            yield draw_saliency(photo, found, form, density)

    @torch.no_grad()
    def density_of(self, photo: Photo, log_bias: Tensor | None = None) -> np.ndarray:
        """The share of fixations that each pixel of a photo gets: float64 [H,W], which sums to 1.

        log_bias: [1,1,h,w], of the centre bias in place of the run's
        """
        size, shape = self.config.size, photo.pixels.shape[:2]
        x = F.interpolate(photo.to_tensor(3), (size, size), mode="bicubic", align_corners=False, antialias=True)
        logits = self.logits(self.features(x.clamp(-1, 1).to(self.device)))
        if log_bias is not None:
            logits = logits + self.readout.bias_weight * (log_bias - self.log_bias)
        log_p = self.log_density(logits)
        values = F.interpolate(log_p.double(), shape, mode="bicubic", align_corners=False)
        return values.flatten().softmax(0).view(shape).cpu().numpy()

    def _read_bias(self, image: Photo) -> Tensor:
        """The log centre bias [1,1,h,w] of a grey image. Raises UserError if it is of one grey, or in colours."""
        if has_chroma(image.pixels):
            raise UserError(f"bias-map {image.name} is in colours; give a grey one, brighter where people look more.")
        levels = torch.from_numpy(image.pixels.astype(np.float32)).mean(2)[None, None]
        if float(levels.amax() - levels.amin()) == 0:
            raise UserError(f"bias-map {image.name} is of one grey; give a density, such as --form bias writes.")
        cells = self.log_bias.shape[2:]
        bias = F.interpolate(levels, cells, mode="bilinear", align_corners=False, antialias=True).clamp_min(0)
        bias = bias / bias.sum() + 1e-6  # as the smoothed fixations of a training set have
        return (bias / bias.sum()).log().to(self.device)

    def centre_density(self, height: int, width: int, log_bias: Tensor | None = None) -> np.ndarray:
        """The centre bias that the run has learnt, for a photo of that size: float64 [H,W], which sums to 1.

        log_bias: [1,1,h,w], of another one
        """
        if log_bias is not None:
            bias = F.interpolate(log_bias.double().exp().cpu(), (height, width), mode="bilinear")
            return (bias / bias.sum())[0, 0].numpy()
        bias = torch.tensor(self.config.centre_bias or [1.0] * BIAS_CELLS**2, dtype=torch.float64)
        bias = F.interpolate(bias.view(1, 1, BIAS_CELLS, BIAS_CELLS), (height, width), mode="bilinear")
        return (bias / bias.sum())[0, 0].numpy()

    def method_scores(self, data: Fixations, n: int, seed: int) -> Iterator[Score]:
        """The scores of the MIT/Tuebingen benchmark on the first n images, beside centre bias and other viewers."""
        observed: list[Observed] = []
        for item in data.items[:n]:
            photo = Photo(data.image(item), name=item.name)
            if len(item.points):
                bias = self.centre_density(item.height, item.width)
                observed.append(Observed(item.points, self.density_of(photo), bias))
        reference = Reference(data.name, data.split, data.fingerprint, len(observed), 0, 3)
        yield from saliency_scores(observed, reference, seed)

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Rows of photo, prediction and fixations, of the first 8 photos."""
        image, counts = batch["image"][:8], batch["counts"][:8]
        with torch.no_grad():
            self.eval()
            p = peaked(self.log_density(self.logits(self.features(image))).exp(), 0.0)
            self.train()
        shown = [F.interpolate(2 * t - 1, image.shape[2:]).expand(-1, 3, -1, -1) for t in (p, peaked(counts))]
        return {"": side_by_side(image, *shown, labels=("photo", "prediction", "fixations"), columns=6)}


class Readout(nn.Module):
    """Features [B,D,h,w] -> values [B,1,h,w]: three small convolutions, then a blur of learnt width."""

    def __init__(self, width: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width, affine=False), nn.Conv2d(width, channels, 1), nn.ReLU(True), nn.Dropout2d(dropout),
            nn.Conv2d(channels, max(1, channels // 2), 3, 1, 1), nn.ReLU(True), nn.Conv2d(max(1, channels // 2), 1, 1),
        )  # fmt: skip
        self.log_sigma = nn.Parameter(torch.zeros(()))
        """of the blur, in cells"""
        self.bias_weight = nn.Parameter(torch.ones(()))
        """w of w * log centre bias"""

    def forward(self, features: Tensor) -> Tensor:
        x = self.layers(features)
        offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=x.device)
        line = torch.exp(-0.5 * (offsets / self.log_sigma.exp()) ** 2)
        line = line / line.sum()
        x = F.pad(x, (BLUR_RADIUS,) * 4, "replicate")
        return F.conv2d(F.conv2d(x, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))


class Calibration(nn.Module):
    """How values [B,1,h,w] are to be read for other viewers or photos: a scale, and what places get besides."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.places = nn.Parameter(torch.zeros(len(POWERS)))

    def forward(self, values: Tensor) -> Tensor:
        height, width = values.shape[2:]
        y, x = (((torch.arange(n, device=values.device) + 0.5) / n * 2 - 1) for n in (height, width))
        terms = torch.stack([x[None] ** i * y[:, None] ** j for i, j in POWERS])
        return values * self.log_scale.exp() + torch.einsum("k,khw->hw", self.places, terms)


class EncoderDecoder(nn.Module):
    """The paper's network (section 3.1): the convolutions of VGG-16, and the first two blocks of its decoder.

    The paper's decoder goes on to the size of the image; here it ends at stride 8, since fixations are in cells of 8x8.
    """

    def __init__(self, base_channels: int) -> None:
        super().__init__()
        pool, enlarge = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        down = ((1, 2, None), (2, 2, pool), (4, 3, pool), (8, 3, pool), (8, 3, pool))
        layers: list[nn.Module] = []
        width = 3
        for k, depth, resize in (*down, (8, 3, None), (8, 3, enlarge)):
            layers += [resize] if resize else []
            for _ in range(depth):
                conv = nn.Conv2d(width, k * base_channels, 3, 1, 1)
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                layers += [conv, nn.ReLU(True)]
                width = k * base_channels
        self.layers = nn.Sequential(*layers)

    def features(self, x: Tensor, _: Sequence[int]) -> list[Tensor]:
        """The map of stride 8 of images [B,3,H,W]."""
        return [self.layers(x)]


def peaked(shares: Tensor, sigma: float = 1.0) -> Tensor:
    """Shares [B,1,h,w] blurred by a Gaussian of `sigma` cells (0: not at all), each divided by its largest."""
    if sigma:
        offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=shares.device)
        line = torch.exp(-0.5 * (offsets / sigma) ** 2)
        shares = F.conv2d(F.conv2d(shares, line.view(1, 1, 1, -1), padding=(0, BLUR_RADIUS)),
                          line.view(1, 1, -1, 1), padding=(BLUR_RADIUS, 0))  # fmt: skip
    return shares / shares.amax((2, 3), keepdim=True).clamp_min(1e-12)
