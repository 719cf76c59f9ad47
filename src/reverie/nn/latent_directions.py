"""Directions in latent space, found from labels or without any.   B batch, K classes, Z latent dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.utils.errors import UserError


class ClassMeans(nn.Module):
    """The mean of the vectors of each class, [K,D], as exponential moving averages kept in buffers.

    Sums and counts are averaged apart, so a class that is rare in the batches keeps its mean.
    """

    sums: Tensor
    counts: Tensor

    def __init__(self, num_classes: int, dim: int, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("sums", torch.zeros(num_classes, dim))
        self.register_buffer("counts", torch.zeros(num_classes, 1))

    @torch.no_grad()
    def update(self, vectors: Tensor, labels: Tensor) -> None:
        """Takes in vectors [B,D] of classes [B]."""
        members = F.one_hot(labels, len(self.sums)).to(self.sums)  # [B,K]
        with torch.autocast(vectors.device.type, enabled=False):  # the sums stay in float32
            self.sums.lerp_(members.T @ vectors.to(self.sums), 1 - self.decay)
            self.counts.lerp_(members.sum(0).unsqueeze(1), 1 - self.decay)

    def means(self) -> Tensor:
        """The means [K,D]; zeros for a class without any vector so far."""
        return self.sums / self.counts.clamp_min(1e-12)

    def direction(self, label: int) -> Tensor:
        """From the mean of all vectors to that of a class, [D]: the attribute vector of Larsen 2015, section 4.2."""
        return self.means()[label] - self.sums.sum(0) / self.counts.sum().clamp_min(1e-12)


def direction_vector(
    direction: str, class_names: Sequence[str], class_means: ClassMeans | None, first_layer_weight: Tensor
) -> Tensor:
    """A unit vector [Z]: towards a class by its name, or a principal direction by its number: z1, z2, ...

    class_means: of the codes, None if the run had no labels; first_layer_weight: of the generator, [Z,D].
    Raises UserError if there is no such class or direction.
    """
    if direction in class_names and class_means is not None:
        vector = class_means.direction(list(class_names).index(direction))
        return vector / vector.norm().clamp_min(1e-12)
    number = direction.removeprefix("z")
    latent_dim = len(first_layer_weight)
    if number != direction and number.isdecimal() and 1 <= int(number) <= latent_dim:
        return principal_directions(first_layer_weight)[int(number) - 1]
    if class_names:
        others = f"or one of the classes {', '.join(class_names)}"
    else:
        others = "directions of classes it has learnt none"
    raise UserError(f"there is no direction '{direction}'; give one from z1 to z{latent_dim}; {others}.")


def principal_directions(first_layer_weight: Tensor) -> Tensor:
    """Unit vectors, the rows of [Z,Z], along which the outputs of a first layer [Z,D] change most, the strongest first.

    SeFa (Shen & Zhou 2020, arXiv:2007.06600, eq. 4). The component of largest magnitude of each vector is positive.
    """
    gram = (first_layer_weight @ first_layer_weight.T).cpu().double()
    vectors = torch.linalg.eigh(gram).eigenvectors.flip(1).T
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return (vectors * largest.sign()).to(first_layer_weight)
