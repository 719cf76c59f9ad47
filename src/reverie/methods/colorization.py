"""Colorization.   B batch, H, W pixels; images y [B,3,H,W] and their luminance x [B,1,H,W], in [-1,1]; chroma
[B,2,h,w], blue and red less luminance, in [-1,1]; Q classes of chroma; logits [B,Q,h,w], at a
quarter of the side that the frozen network sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.core.constraints import Count, Decay, MultipleOf, Positive, Range, Share
from reverie.core.lr_schedules import cosine_with_warmup
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.file_types import InvalidFile
from reverie.data.images.conversion import LUMA
from reverie.data.images.dataset import Images
from reverie.media import Image, Photo
from reverie.media.image import side_by_side
from reverie.metrics.full_reference import Restored, full_reference_scores
from reverie.metrics.pixels import colourfulness
from reverie.metrics.score import Reference, Score, standard_error
from reverie.nn.feature_discriminator import FINGERPRINT
from reverie.nn.frozen_encoder_unet import FrozenEncoder
from reverie.nn.imagenet import weights_path
from reverie.transforms.augment import paired_random_crop, random_flip
from reverie.transforms.degradations import apply_degradation, grey, transfer_colour
from reverie.transforms.working_size import guided_upsample

STRIDES = (4, 8, 16, 32)
"""of the frozen network's maps that the decoder reads: colour is found at a quarter of the side, as in the paper"""
LEVELS, MOST_CHROMA = 17, 0.8
"""of each of the two chroma values: levels from -MOST_CHROMA to MOST_CHROMA, of which every two are a class"""
PER_RED, PER_BLUE = 2 * (1 - LUMA[0]), 2 * (1 - LUMA[2])
"""red and blue less luminance, divided by these, are in [-1,1] (BT.601)"""
PACE = 0.02
"""share of a batch in the running frequencies of the classes"""
LEAST_CHROMA = 0.05
"""images whose chroma is nowhere beyond this are grey: there is nothing to learn from them, nor to compare with"""
COLOURFULNESS = (
    "spread of the opponent colours of each photo, red less green and yellow less blue, in levels of 255, and 0.3 of "
    "their distance from grey (Hasler & Süsstrunk 2003); mean over photos"
)
JITTER = 1.25
"""side of training images relative to the random crop taken from them; images in use are seen at that side"""
MOST_ASPECT = 8
"""of what the network sees: longer images are seen squeezed"""


class Colorization(Method):
    """Colours for grey photos, learnt from photos in colour: how likely each colour is at each place.

    Colorful Image Colorization: Zhang, Isola, Efros 2016, arXiv:1603.08511

    Not the paper's: the encoder is a frozen ImageNet network, so that some hundred photos are enough; and the colours
    are enlarged along the edges of the photo.
    """

    data_type = Images
    needs_colour = True
    monitored: ClassVar[dict[str, str]] = {"loss": "loss"}

    @dataclass(frozen=True)
    class Config:
        size: Annotated[int, MultipleOf(32, 32)] | None = None
        """pixels a side of the crops that it is trained on; none: 128, or less where the photos are smaller"""
        base_channels: Count = 32
        """channels of the decoder, which has 2 to 4 times as many"""
        dropout: Decay = 0.2
        """share of the channels of the frozen network's maps that are left out at random"""
        uniform_share: Share = 0.5
        """weight of a uniform distribution beside that of the data when rare colours are weighed up (lambda of section
        2.2); 1: all colours weigh the same, and results are duller"""
        hflip: bool = True
        """whether photos are flipped horizontally with probability 1/2"""
        feature_network: str | None = None
        """the first 16 hex digits of the SHA-256 of the frozen network's weights; none: the installed one's"""
        lr: Positive = 1e-3
        """learning rate of Adam; it rises over the first tenth of the steps, and falls to 0 along a cosine"""
        beta1: Decay = 0.9
        """Adam's beta1"""
        beta2: Decay = 0.99
        """Adam's beta2"""
        ema_decay: Decay = 0.998
        """decay of averaged weights, which are then the ones in use; 0: none"""
        steps: Count = 2_000
        """training steps"""

    presets = {
        "smoke": dict(size=32, base_channels=8, batch_size=4),
        "laptop": dict(batch_size=16, checkpoint_every=500, sample_every=500),
    }

    @classmethod
    def resolve_config(cls, config: Config, facts: dict[str, Any]) -> Config:
        weights_path()  # so that it is missed before training begins
        size = min(128, max(32, facts["native"] // 32 * 32))
        return super().resolve_config(config, {**facts, "size": size, "feature_network": FINGERPRINT})

    @classmethod
    def data_args(cls, config: Config) -> dict[str, Any]:
        assert config.size is not None
        return {"size": round(config.size * JITTER), "channels": 3}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = self.config  # with what the data decides filled in
        self.generator = ChromaClassifier(c.base_channels, c.size, c.feature_network, c.dropout)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        c = self.config
        return {"generator": torch.optim.Adam(self.generator.parameters(), c.lr, (c.beta1, c.beta2), fused=True)}

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step, cosine_with_warmup)]

    def ema_decays(self) -> dict[str, float]:
        return {"generator": self.config.ema_decay} if self.config.ema_decay else {}

    def step(self, batch: Batch, update: Update) -> Metrics:
        """One step by the cross-entropy of chroma, in which rare colours weigh more (eq. 2 to 4)."""
        c, net = self.config, self.generator
        (y,) = paired_random_crop([batch["image"]], c.size)
        y = random_flip(y) if c.hflip else y
        logits = net(apply_degradation(y, "grey")).float()
        truth = chroma(y)
        target = to_classes(F.avg_pool2d(truth, net.stride))
        coloured = (truth.abs().amax((1, 2, 3)) > LEAST_CHROMA).float()
        seen = (target.mean((2, 3)) * coloured[:, None]).sum(0) / coloured.sum().clamp_min(1)
        net.frequencies.lerp_(seen, PACE * coloured.amax())  # of grey images alone nothing is counted
        weight = rarity(net.frequencies, c.uniform_share)
        each = -(target * logits.log_softmax(1)).sum(1) * torch.einsum("bqhw,q->bhw", target, weight)  # [B,h,w]
        loss = (each.mean((1, 2)) * coloured).sum() / coloured.sum().clamp_min(1)
        update("generator", loss)
        return {"loss": loss.detach()}

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @verb
    def colorize(
        self, photos: list[Photo], temperature: Annotated[float, Range(0.05, 2)] = 0.38
    ) -> Iterator[Photo]:  # fmt: skip
        """Each photo in colour, with its own luminance, size, depth and alpha; of a photo in colour that is all it has.

        photos: grey photos, of the kind that the run has learnt from in colour
        temperature: of the distribution that colours are the mean of (eq. 5): 1 for the nearest colours in the mean,
            which are dull; lower ones are more vivid, and more often wrong
        """
        for photo in photos:
            yield photo.with_pixels(self.colorize_tensor(photo.to_tensor(1).to(self.device), temperature)[0])

    def colorize_tensor(self, x: Tensor, temperature: float = 0.38) -> Tensor:
        """One image x [1,1,H,W] of any size in colour, [1,3,H,W]: seen at the size of training, and enlarged."""
        net, (height, width) = self.generator, x.shape[2:]
        scale = self.config.size * JITTER / min(height, width)
        longest = MOST_ASPECT * self.config.size
        inner = [max(32, round(min(longest, side * scale) / 32) * 32) for side in (height, width)]
        small = F.interpolate(x, inner, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
        colour = expected_chroma(net(small).float(), temperature)
        seen = F.interpolate(small, colour.shape[2:], mode="area")
        return with_chroma(x, guided_upsample(seen, colour, x))

    def restoration_examples(self, data: Images, n: int, seed: int) -> Iterator[Restored]:
        """The first n photos in colour in their own size: as they are, in grey, and with new colours."""
        found = 0
        for item in data.items:
            if found == n:
                return
            try:
                original = Photo(data.read_full(item), name=item.name)
            except InvalidFile:
                continue
            if original.pixels.shape[2] == 1 or chroma(original.to_tensor(3)).abs().max() <= LEAST_CHROMA:
                continue
            found += 1
            without = original.with_pixels(original.to_tensor(1)[0])
            (colorized,) = self.verb("colorize")([without])
            yield Restored(item.name, original.pixels, without.pixels, colorized.pixels)

    example_labels = ("grey", "colorized", "original")

    def score_examples(self, examples: Sequence[Restored], reference: Reference, seed: int) -> Iterator[Score]:
        """PSNR and SSIM beside those of the grey photos, and how colourful the photos are, beside the originals."""
        originals, without = [one.original for one in examples], [one.degraded for one in examples]
        made = [one.restored for one in examples]
        conditions = "photos of the reference in their own size, in grey, with new colours; grey ones are left out"
        yield from full_reference_scores(made, originals, without, "the grey photos", reference, seed, conditions)
        values, real = (torch.tensor([colourfulness(pixels) for pixels in some]) for some in (made, originals))
        yield Score(
            "colourfulness", float(values.mean()), "", "match", f"{COLOURFULNESS}; {conditions}", reference,
            len(values), seed, real=float(real.mean()), real_source="the photos as they were",
            std_error=standard_error(values), group="image similarity", baseline=0.0, baseline_name="the grey photos",
        )  # fmt: skip

    @property
    def degradation_description(self) -> str:
        """What is undone."""
        return "taking their colour away"

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Rows of grey, colorized, original, of the first 8 photos."""
        y = batch["image"][:8]
        with torch.no_grad():
            self.eval()
            x = grey(y)
            made = torch.cat([self.colorize_tensor(one[None]) for one in x])
            self.train()
        return {"": side_by_side(x, made, y, labels=self.example_labels)}


class ChromaClassifier(FrozenEncoder):
    """x [B,1,H,W] -> logits [B,Q,H/s,W/s] of the classes of chroma; H and W multiples of 32; s: the attribute stride.

    It also keeps the running frequencies of the classes in training, [Q].
    """

    frequencies: Tensor

    def __init__(self, base_channels: int, size: int, fingerprint: str, dropout: float) -> None:
        super().__init__(base_channels, size, fingerprint, dropout=dropout, strides=STRIDES)
        self.last = nn.Conv2d(self.width, LEVELS**2, 1)
        self.register_buffer("frequencies", torch.full((LEVELS**2,), 1 / LEVELS**2))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(super().forward(x))


def chroma(y: Tensor) -> Tensor:
    """Images [B,3,H,W] -> blue and red less luminance, [B,2,H,W] in [-1,1]."""
    x = grey(y)
    return torch.cat([(y[:, 2:] - x) / PER_BLUE, (y[:, :1] - x) / PER_RED], 1)


def with_chroma(x: Tensor, colour: Tensor) -> Tensor:
    """Luminance x [B,1,H,W] and chroma [B,2,H,W] -> images [B,3,H,W], less colourful where they would leave [-1,1]."""
    blue, red = x + PER_BLUE * colour[:, :1], x + PER_RED * colour[:, 1:]
    green = (x - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return transfer_colour(x, torch.cat([red, green, blue], 1))


def chroma_levels(like: Tensor) -> Tensor:
    """The levels of one chroma value, [LEVELS]."""
    return torch.linspace(-MOST_CHROMA, MOST_CHROMA, LEVELS, dtype=like.dtype, device=like.device)


def to_classes(colour: Tensor) -> Tensor:
    """Chroma [B,2,h,w] -> shares of the four nearest classes, [B,Q,h,w]: the weights of a bilinear interpolation.

    The paper takes five neighbours, by a Gaussian (section 2.1); of these the mean is the colour itself.
    """
    levels, step = chroma_levels(colour), 2 * MOST_CHROMA / (LEVELS - 1)
    distance = (colour.clamp(-MOST_CHROMA, MOST_CHROMA)[:, :, None] - levels[:, None, None]).abs()  # [B,2,LEVELS,h,w]
    blue, red = (1 - distance / step).clamp_min(0).unbind(1)
    return (blue[:, :, None] * red[:, None]).flatten(1, 2)


def expected_chroma(logits: Tensor, temperature: float) -> Tensor:
    """Logits [B,Q,h,w] -> chroma [B,2,h,w]: the mean of the distribution at a temperature (eq. 5)."""
    levels = chroma_levels(logits)
    p = (logits / temperature).softmax(1).unflatten(1, (LEVELS, LEVELS))
    return torch.stack([torch.einsum("bkhw,k->bhw", p.sum(other), levels) for other in (2, 1)], 1)


def rarity(frequencies: Tensor, uniform_share: float) -> Tensor:
    """The weight of each class [Q], whose mean over pixels is 1: rare ones weigh more (eq. 4)."""
    weight = 1 / ((1 - uniform_share) * frequencies + uniform_share / len(frequencies))
    return weight / (weight * frequencies).sum()
