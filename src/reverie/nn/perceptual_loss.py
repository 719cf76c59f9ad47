"""The perceptual loss: how far apart two images are for a network that has learnt to see.

B batch, C channels, H, W pixels; images [B,C,H,W] in [-1,1].
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from reverie.nn.imagenet import EfficientNetLite, load_imagenet_network


class PerceptualLoss:
    """How far features of images are from those of others, as a share of the size of these, summed over maps: a scalar.

    Johnson 2016, arXiv:1603.08155, section 3.2, on VGG-16; here EfficientNet-Lite0, since it is installed, and its
    linear bottlenecks, since features before an activation keep brightness (ESRGAN: Wang 2018, arXiv:1809.00219,
    section 3.3). The network is loaded at the first call; it is no part of whatever holds this: neither moved, trained
    nor saved with it.
    """

    def __init__(self, strides: tuple[int, ...] = (2, 4, 8)) -> None:
        """strides: of the maps that are compared, in pixels, rising."""
        self.strides = strides
        self.network: EfficientNetLite | None = None

    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        """Draws two random numbers: the images are shifted, else the strides draw a grid into them."""
        if self.network is None:
            with torch.random.fork_rng(devices=[]):  # making it draws numbers, at whichever step it is needed first
                self.network = load_imagenet_network(target.device)
        features = partial(self.network.features, strides=self.strides)
        top, left = torch.randint(self.strides[-1], (2,)).tolist()
        image, target = image[:, :, top:, left:], target[:, :, top:, left:]
        with torch.no_grad():
            wanted: Sequence[Tensor] = features(target)
        pairs = zip(features(image), wanted, strict=True)
        return torch.stack([(a - b).abs().mean() / b.abs().mean() for a, b in pairs]).sum()
