"""A discriminator that looks through the frozen ImageNet network (imagenet.py).   B batch, C channels, H = W pixels.

Projected GANs (Sauer 2021, arXiv:2111.01007): maps of several strides of a network trained on ImageNet, each with a
small head of its own that is trained. Here the heads have spectral norm (Miyato 2018) and channels are not mixed across
strides.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from reverie.nn.imagenet import MAP_CHANNELS, SHA256, EfficientNetLite, load_imagenet_network
from reverie.utils.errors import UserError

FINGERPRINT = SHA256[:16]
"""of the weights of the frozen network: the first 16 hex digits of their SHA-256"""


class FrozenFeatures:
    """Maps of the ImageNet network, which is not trained; no module, so that its weights are in no checkpoint.

    It is loaded at the first call, and follows the images to their device.
    """

    def __init__(self, fingerprint: str, strides: Sequence[int], min_side: int) -> None:
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
        return self.network.features(x, self.strides)


def check_fingerprint(fingerprint: str | None) -> None:
    """Raises UserError unless it is that of the network that there is."""
    if fingerprint != FINGERPRINT:
        raise UserError(f"there is no ImageNet network {fingerprint}; this reverie has {FINGERPRINT}.")


class FeatureHeads(nn.ModuleList):
    """Maps [B,D,h,w] of some strides -> logits [B,K], h/4 x w/4 or more places of each map."""

    def __init__(self, strides: Sequence[int], size: int, channels: int = 64) -> None:
        """size: pixels a side of the images that the network sees; channels: of the heads' own maps."""
        super().__init__(FeatureHead(MAP_CHANNELS[stride], size // stride, channels) for stride in strides)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [head(x) for head, x in zip(self, maps, strict=True)]


class FeatureHead(nn.Sequential):
    """A map [B,D,h,h] -> logits [B,s*s]: convolutions with spectral norm, down to s of 4 or less."""

    def __init__(self, in_channels: int, side: int, channels: int) -> None:
        layers: list[nn.Module] = [spectral_norm(nn.Conv2d(in_channels, channels, 3, 1, 1)), nn.LeakyReLU(0.2, True)]
        while side > 4:
            layers += [spectral_norm(nn.Conv2d(channels, channels, 4, 2, 1)), nn.LeakyReLU(0.2, True)]
            side //= 2
        super().__init__(*layers, spectral_norm(nn.Conv2d(channels, 1, 3, 1, 1)), nn.Flatten())


def per_image(logits: Sequence[Tensor]) -> Tensor:
    """Logits [B,K] of several heads -> their mean [B] of each image, for metrics."""
    return torch.stack([x.flatten(1).mean(1) for x in logits]).mean(0)
