"""A discriminator that looks through the frozen ImageNet network (imagenet.py).   B batch, C channels, H = W pixels.

Projected GANs (Sauer 2021, arXiv:2111.01007): maps of several strides of a network trained on ImageNet, each with a
small head of its own that is trained. Here the heads have spectral norm (Miyato 2018) and channels are not mixed across
strides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from reverie.nn import losses
from reverie.nn.imagenet import MAP_CHANNELS, SHA256, EfficientNetLite, load_imagenet_network, weights_path
from reverie.nn.losses import Adversarial
from reverie.utils.errors import UserError

FINGERPRINT = SHA256[:16]
"""of the weights of the frozen network: the first 16 hex digits of their SHA-256"""
STRIDES, MIN_SIDE = (4, 8, 16), 64
"""of the frozen network's maps that a discriminator sees; pixels a side to which smaller images are enlarged for it"""
THUMBNAIL_SIDE, THUMBNAIL_GAIN = 8, 3.0
"""pixels a side of thumbnails, and what their values are multiplied by"""


def resolve_discriminator(
    config: Any, facts: dict[str, Any], channels: int | None = None, grey_photographs: bool = False
) -> tuple[Any, dict[str, Any]]:
    """A method's config and what is known of its data, with the network that its discriminator sees with.

    channels: of the images that the discriminator sees; None: those of config or facts, where these have any.
    grey_photographs: whether "auto" is both for these too; it then stays "auto" until grey data has been prepared

    config.discriminator is "pixels", "features", "both", or "auto": both for colour and pixels for grey, or
    for drawings in grey, since letters came out more legible without a network of photographs. Raises UserError if the
    network is needed and not installed, or is not the one of config.feature_network.
    """
    if config.feature_network is not None:
        check_fingerprint(config.feature_network)
    seen = config.discriminator
    channels = channels or getattr(config, "channels", None) or facts.get("channels")
    if seen == "auto" and channels:
        seen = "pixels" if channels == 1 else "both"
        if channels == 1 and grey_photographs:
            seen = {None: "auto", True: "both", False: "pixels"}[facts.get("photographs")]
    if seen in ("features", "both"):
        weights_path()  # so that it is missed before training begins
        facts = {**facts, "feature_network": FINGERPRINT}
    return dataclasses.replace(config, discriminator=seen), facts


def check_penalty(config: Any) -> None:
    """Raises UserError if a method's option r1_weight does not go with its options discriminator and norm."""
    if config.discriminator == "features" and config.r1_weight:
        raise UserError("r1_weight is for a discriminator of pixels; give --discriminator both, or --r1-weight 0.")
    if config.norm == "batch" and config.r1_weight:
        raise UserError("r1_weight needs the gradient at single images, but norm 'batch' mixes them; give --norm none.")


class FrozenFeatures:
    """Maps of the ImageNet network, which is not trained; no module, so that its weights are in no checkpoint.

    It is loaded at the first call, and follows the images to their device.
    """

    def __init__(self, fingerprint: str, strides: Sequence[int] = STRIDES, min_side: int = MIN_SIDE) -> None:
        """fingerprint: of the weights, see FINGERPRINT; min_side: pixels a side that smaller images are enlarged to."""
        self.fingerprint, self.strides, self.min_side = fingerprint, tuple(strides), min_side
        self.network: EfficientNetLite | None = None

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Images [B,C,H,H] in [-1,1] -> the map [B,D,h,h] of each stride. Gradients reach x.

        Raises UserError if the network is not installed, or is not that of the fingerprint.
        """
        if self.network is None:
            check_fingerprint(self.fingerprint)
            with torch.random.fork_rng(devices=[]):  # so that a resumed step draws as an uninterrupted one
                self.network = load_imagenet_network()
        self.network.to(x.device)
        if x.shape[3] < self.min_side:
            x = F.interpolate(x, size=(self.min_side, self.min_side), mode="bilinear", align_corners=False)
        # Not in bf16: on a CPU the gradient of a strided depthwise convolution takes ten times as long in it.
        with torch.autocast("cpu", enabled=False):
            return self.network.features(x.float(), self.strides)


def check_fingerprint(fingerprint: str | None) -> None:
    """Raises UserError unless it is that of the network that there is."""
    if fingerprint != FINGERPRINT:
        raise UserError(f"there is no ImageNet network {fingerprint}; this reverie has {FINGERPRINT}.")


class FeatureHeads(nn.ModuleList):
    """Maps [B,D,h,w] of some strides -> logits [B,K], h/4 x w/4 or more places of each map.

    With num_classes N, the images' classes y [B,N] are needed too.
    """

    def __init__(self, strides: Sequence[int], size: int, channels: int = 64, num_classes: int = 0) -> None:
        """size: pixels a side of the images that the network sees; channels: of the heads' own maps."""
        heads = (FeatureHead(MAP_CHANNELS[stride], size // stride, channels) for stride in strides)
        super().__init__(ClassConditionalHead(head, channels, num_classes) if num_classes else head for head in heads)
        self.conditional = num_classes > 0

    def forward(self, maps: Sequence[Tensor], y: Tensor | None = None) -> list[Tensor]:
        classes = (y,) if self.conditional else ()
        return [head(x, *classes) for head, x in zip(self, maps, strict=True)]


class FeatureHead(nn.Sequential):
    """A map [B,D,h,h] -> logits [B,s*s]: convolutions with spectral norm, down to s of 4 or less."""

    def __init__(self, in_channels: int, side: int, channels: int) -> None:
        layers: list[nn.Module] = [spectral_norm(nn.Conv2d(in_channels, channels, 3, 1, 1)), nn.LeakyReLU(0.2, True)]
        while side > 4:
            layers += [spectral_norm(nn.Conv2d(channels, channels, 4, 2, 1)), nn.LeakyReLU(0.2, True)]
            side //= 2
        super().__init__(*layers, spectral_norm(nn.Conv2d(channels, 1, 3, 1, 1)), nn.Flatten())


class ClassConditionalHead(nn.Module):
    """A map [B,D,h,h] and its class y [B,N] -> logits [B,s*s] of a FeatureHead.

    To each logit the inner product of an embedding of the class and of what the logit is made of is added (projection,
    Miyato & Koyama 2018, arXiv:1802.05637, eq. 3).
    """

    def __init__(self, head: FeatureHead, channels: int, num_classes: int) -> None:
        """channels: of the head's own maps."""
        super().__init__()
        self.head, self.embedding = head, spectral_norm(nn.Linear(num_classes, channels, bias=False))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        *layers, last, flatten = self.head
        for layer in layers:
            x = layer(x)
        return flatten(last(x) + (x * self.embedding(y)[:, :, None, None]).sum(1, keepdim=True))


class ThumbnailHead(nn.Sequential):
    """Images [B,C,H,W] -> logits [B,1], by their thumbnails alone: the range of colours and layouts of a data set.

    Not in Sauer 2021. Without it hues are few at first, and generated images are more alike (docs/methods.md).
    """

    def __init__(self, channels: int, hidden_dim: int = 256) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(THUMBNAIL_SIDE), nn.Flatten(),
            spectral_norm(nn.Linear(channels * THUMBNAIL_SIDE**2, hidden_dim)), nn.LeakyReLU(0.2, True),
            spectral_norm(nn.Linear(hidden_dim, hidden_dim)), nn.LeakyReLU(0.2, True),
            spectral_norm(nn.Linear(hidden_dim, 1)),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(THUMBNAIL_GAIN * x)


class ProjectedDiscriminator(nn.Module):
    """Maps of the frozen network, and images [B,C,H,W] -> logits [B,K] of each head, those of pixels [B,1] last.

    With num_classes, the heads of maps take the images' classes y [B,N] too.
    """

    def __init__(
        self,
        size: int,
        pixels: nn.Module | None,
        thumbnails: nn.Module | None = None,
        num_classes: int = 0,
    ) -> None:
        """size: pixels a side; pixels: a discriminator of the images themselves, [B,C,H,W] -> [B], or None;
        thumbnails: a ThumbnailHead, or None; num_classes: N, or 0 where there are none."""
        super().__init__()
        self.heads = FeatureHeads(STRIDES, max(size, MIN_SIDE), num_classes=num_classes)
        self.thumbnails, self.pixels = thumbnails, pixels

    def forward(self, maps: Sequence[Tensor], x: Tensor, y: Tensor | None = None) -> list[Tensor]:
        logits = self.heads(maps, y)
        if self.thumbnails is not None:
            logits.append(self.thumbnails(x))
        return logits if self.pixels is None else [*logits, self.pixels(x).unsqueeze(1)]


def logits_and_features(
    discriminator: nn.Module, features: FrozenFeatures | None, x: Tensor, y: Tensor | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """Images [B,C,H,W] -> logits [B,K] of each head, those of pixels last, and what images are compared by.

    That is the frozen network's maps, or without one the features [B,...] that the discriminator of pixels returns
    beside its logits [B].

    y: the images' classes [B,N], for a ProjectedDiscriminator that takes them.
    """
    if features is None:
        logits, compared = discriminator(x)
        return [logits.unsqueeze(1)], [compared]
    maps = features(x)
    return discriminator(maps, x, y), maps


def discriminator_loss(adversarial: Adversarial, real: Sequence[Tensor], *fakes: Sequence[Tensor]) -> Tensor:
    """The discriminator's loss, summed over heads, and the mean over kinds of generated images.

    real, and each of fakes: logits [B,K] of each head.
    """
    terms = [[adversarial.discriminator(r, f) for r, f in zip(real, fake, strict=True)] for fake in fakes]
    return torch.stack([torch.stack(head).mean() for head in zip(*terms, strict=True)]).sum()


def generator_loss(adversarial: Adversarial, real: Sequence[Tensor] | None, *fakes: Sequence[Tensor]) -> Tensor:
    """The generator's loss, as discriminator_loss; real may be None unless the loss is paired."""
    against = real if real is not None else [None] * len(fakes[0])
    terms = [[adversarial.generator(f, r) for r, f in zip(against, fake, strict=True)] for fake in fakes]
    return torch.stack([torch.stack(head).mean() for head in zip(*terms, strict=True)]).sum()


def pixel_penalty(
    adversarial: Adversarial, real: tuple[Sequence[Tensor], Tensor], *fakes: tuple[Sequence[Tensor], Tensor]
) -> Tensor:
    """R1 of the last head, which sees pixels; of a relativistic loss R1 + the mean R2 over kinds of generated images.

    real, and each of fakes: logits [B,K] of each head, and the images [B,C,H,W] that they are of.
    """
    r2 = [losses.zero_centred_penalty(logits[-1], x) for logits, x in fakes] if adversarial.paired else []
    r1 = losses.zero_centred_penalty(real[0][-1], real[1])
    return r1 + torch.stack(r2).mean() if r2 else r1


def normalised_maps(real: Sequence[Tensor], *others: Sequence[Tensor]) -> tuple[list[Tensor], ...]:
    """Maps [B,D,h,w] of each stride, of real and of other images, divided by each channel's deviation in the real."""
    scales = [x.detach().std((0, 2, 3), keepdim=True).clamp_min(1e-6) for x in real]
    return tuple([x / scale for x, scale in zip(maps, scales, strict=True)] for maps in (real, *others))


def per_image(logits: Sequence[Tensor]) -> Tensor:
    """Logits [B,K] of several heads -> their mean [B] of each image, for metrics."""
    return torch.stack([x.flatten(1).mean(1) for x in logits]).mean(0)
