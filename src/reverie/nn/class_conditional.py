"""Networks beside a class-conditional generator.

B batch, Z latent dimensions, K classes, F features, C channels, H = W pixels. Images are [B,C,H,W] in [-1,1]; classes y
are weights [B,K] that sum to 1: one-hot for a single class.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.nn.dcgan_blocks import GENERATORS, NORMS, ConvTrunk, Generator, ResizeGenerator
from reverie.nn.feature_discriminator import STRIDES
from reverie.nn.imagenet import MAP_CHANNELS
from reverie.nn.latent_directions import ClassMeans
from reverie.utils.errors import UserError, near_miss

CLASS_DEVIATION = 0.1
"""standard deviation of the gains and shifts of classes at first"""


class ConditionalEncoder(nn.Module):
    """x [B,C,H,W] and its class y [B,K] -> means and log variances [B,2Z]."""

    def __init__(self, size: int, channels: int, base_channels: int, latent_dim: int, num_classes: int) -> None:
        super().__init__()
        self.trunk = ConvTrunk(size, channels, base_channels, nn.BatchNorm2d)
        self.head = nn.Linear(16 * self.trunk.channels + num_classes, 2 * latent_dim)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.head(torch.cat([self.trunk(x).flatten(1), y], 1))


class ConditionalGenerator(nn.Module):
    """Codes [B,Z+K], z and the class y, -> images [B,C,H,W]: by a generator of both, whose batch norms y scales and
    shifts too.

    Conditional batch norm (Dumoulin 2017, arXiv:1610.07629), as in the generator that the projection discriminator was
    published with (Miyato & Koyama 2018, arXiv:1802.05637). Where the first layer alone is given y, each class long has
    one layout; where the norms alone are, images are often of another class (docs/methods.md).
    """

    def __init__(self, generator: Generator | ResizeGenerator, num_classes: int) -> None:
        super().__init__()
        self.generator, self.num_classes = generator, num_classes
        norms = [layer for layer in generator.layers if isinstance(layer, nn.BatchNorm2d)]
        self.gains = nn.ModuleList(nn.Linear(num_classes, norm.num_features, bias=False) for norm in norms)
        self.shifts = nn.ModuleList(nn.Linear(num_classes, norm.num_features, bias=False) for norm in norms)
        for layer in (*self.gains, *self.shifts):
            nn.init.normal_(layer.weight, 0, CLASS_DEVIATION)

    def forward(self, code: Tensor) -> Tensor:
        x, y = code, code[:, -self.num_classes :]
        of_class = zip(self.gains, self.shifts, strict=True)
        for layer in self.generator.layers:
            x = layer(x)
            if isinstance(layer, nn.BatchNorm2d):
                gain, shift = next(of_class)
                x = x * (1 + gain(y)[:, :, None, None]) + shift(y)[:, :, None, None]
        return x

    def first_layer_weight(self) -> Tensor:
        """As Generator.first_layer_weight, of [Z+K,D]."""
        return self.generator.first_layer_weight()


def conditional_generator(
    upsampling: str, size: int, channels: int, base_channels: int, latent_dim: int, num_classes: int, conditioning: str
) -> Generator | ResizeGenerator | ConditionalGenerator:
    """A generator of codes [B,Z+K] by the options `upsampling` and `class_conditioning` of CVAE-GAN."""
    generator = GENERATORS[upsampling](size, channels, base_channels, latent_dim + num_classes)
    if conditioning == "none":
        return generator
    weight = next(generator.parameters()).data  # [Z+K,...], or of a linear layer [D,Z+K]
    of_class = (weight if upsampling == "transposed" else weight.T)[latent_dim:]
    of_class *= latent_dim**0.5  # else z, as long as sqrt(Z) one-hot vectors, drowns the class at first
    if conditioning != "projection":
        return generator
    of_class /= 2  # the batch norms add to it
    return ConditionalGenerator(generator, num_classes)


class FeatureDiscriminator(nn.Module):
    """x [B,C,H,W] -> logits [B,K], or [B] with one output, and the features [B,F] that its last layer takes."""

    def __init__(self, size: int, channels: int, base_channels: int, outputs: int, norm: str = "batch") -> None:
        super().__init__()
        self.trunk = ConvTrunk(size, channels, base_channels, NORMS[norm])
        self.num_features = 16 * self.trunk.channels
        self.head = nn.Linear(self.num_features, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x).flatten(1)
        return self.head(features).squeeze(1), features


class MapClassifier(nn.Module):
    """Maps [B,D,h,w] of the frozen ImageNet network -> logits [B,K] and the features [B,F] that they are made of.

    Features are the means of the maps over places, divided by their deviation in real images; logits are linear in
    them. So few weights learn the classes in some hundreds of steps.
    """

    def __init__(self, num_classes: int, strides: Sequence[int] = STRIDES) -> None:
        super().__init__()
        self.num_features = sum(MAP_CHANNELS[stride] for stride in strides)
        self.norm = nn.BatchNorm1d(self.num_features, affine=False)
        self.head = nn.Linear(self.num_features, num_classes)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        features = torch.cat([x.mean((2, 3)) for x in maps], 1)
        if self.training and not features.requires_grad:  # of real images
            self.norm(features)
        features = F.batch_norm(features, self.norm.running_mean, self.norm.running_var, eps=self.norm.eps)
        return self.head(features), features


def class_feature_matching(
    real_means: ClassMeans, fake_means: ClassMeans, real: Tensor, fake: Tensor, label: Tensor
) -> Tensor:
    """Mean feature matching by class: half the squared distance of a class's mean features, summed over the classes.

    Bao 2017, arXiv:1703.10155, eq. 6. real, fake: features [B,F] of images of the classes `label` [B]; both means are
    updated with them. A class's mean over one batch is mostly noise, which would pull all its images together: so the
    value is that of moving averages, as in the paper, and the gradient that of the batch's own means.
    """
    real_means.update(real, label)
    fake_means.update(fake.detach(), label)
    members = F.one_hot(label, len(fake_means.sums)).float()  # [B,K]
    batch_means = members.T @ fake / members.sum(0).clamp_min(1).unsqueeze(1)  # [K,F]
    means = fake_means.means() + batch_means - batch_means.detach()
    present = members.sum(0) > 0
    return 0.5 * (real_means.means() - means)[present].square().sum()


def class_weights(label: str, class_names: Sequence[str]) -> Tensor:
    """The classes y [K] that a label names: one class, or "cat+dog" for half of each.

    Raises UserError if there is no such class.
    """
    names = [label] if label in class_names else label.split("+")  # a class may be called c++
    weights = torch.zeros(len(class_names))
    for name in names:
        if name not in class_names:
            hint = near_miss(name, list(class_names)) or f" There are: {', '.join(class_names)}."
            raise UserError(f"there is no class '{name}'.{hint}")
        weights[class_names.index(name)] += 1
    return weights / weights.sum()
