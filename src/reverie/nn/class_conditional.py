"""Networks beside a generator that is told the class.   B batch, Z latents, K classes, F features, C channels, H = W
pixels; images [B,C,H,W] in [-1,1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.nn.dcgan_blocks import Trunk
from reverie.nn.latent_directions import ClassMeans


class ConditionalEncoder(nn.Module):
    """x [B,C,H,W] and its class [B,K] -> means and log variances [B,2Z]."""

    def __init__(self, size: int, channels: int, base_channels: int, latent_dim: int, classes: int) -> None:
        super().__init__()
        self.trunk = Trunk(size, channels, base_channels, nn.BatchNorm2d)
        self.head = nn.Linear(16 * self.trunk.channels + classes, 2 * latent_dim)

    def forward(self, x: Tensor, share: Tensor) -> Tensor:
        return self.head(torch.cat([self.trunk(x).flatten(1), share], 1))


class FeatureDiscriminator(nn.Module):
    """x [B,C,H,W] -> logits [B,K], or [B] of one output, and what the last layer looks at [B,F]."""

    def __init__(self, size: int, channels: int, base_channels: int, outputs: int, norm: str = "batch") -> None:
        super().__init__()
        self.trunk = Trunk(size, channels, base_channels, {"batch": nn.BatchNorm2d, "none": nn.Identity}[norm])
        self.features = 16 * self.trunk.channels
        self.head = nn.Linear(self.features, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.trunk(x).flatten(1)
        return self.head(seen).squeeze(1), seen


def apart(real_means: ClassMeans, made_means: ClassMeans, real: Tensor, made: Tensor, label: Tensor) -> Tensor:
    """Half the squared distance of the mean features [B,F] of each class, real and made, summed over the classes (Bao
    2017, eq. 6).

    Of few images in a batch a mean is mostly noise, which would pull all images of a class together. The means are
    moving averages, as in the paper, and the gradient is that of the batch's part in them.
    """
    real_means.follow(real, label)
    made_means.follow(made.detach(), label)
    belongs = F.one_hot(label, len(made_means.sums)).float()  # [B,K]
    here = belongs.T @ made / belongs.sum(0).clamp_min(1).unsqueeze(1)  # [K,F]
    means = made_means.means() + here - here.detach()
    return 0.5 * (real_means.means() - means)[belongs.sum(0) > 0].square().sum()
