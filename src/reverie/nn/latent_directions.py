"""What the numbers of a code stand for: directions found from labels, and without any.   K classes, Z latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.utils.errors import UserError


class ClassMeans(nn.Module):
    """The mean of vectors of each class, [K,D]: a moving average that follows training."""

    sums: Tensor
    counts: Tensor

    def __init__(self, classes: int, width: int, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("sums", torch.zeros(classes, width))
        self.register_buffer("counts", torch.zeros(classes, 1))

    @torch.no_grad()
    def follow(self, vectors: Tensor, labels: Tensor) -> None:
        """Takes in vectors [B,D] of classes [B]."""
        belongs = F.one_hot(labels, len(self.sums)).to(self.sums)  # [B,K]
        with torch.autocast(vectors.device.type, enabled=False):  # sums are kept in full
            self.sums.lerp_(belongs.T @ vectors.to(self.sums), 1 - self.decay)
            self.counts.lerp_(belongs.sum(0).unsqueeze(1), 1 - self.decay)

    def means(self) -> Tensor:
        """[K,D]; zeros for a class that was never seen."""
        return self.sums / self.counts.clamp_min(1e-12)

    def direction(self, of: int) -> Tensor:
        """From the mean of all items to the mean of a class, [D]: the attribute vector of Larsen 2015, section 4.2."""
        return self.means()[of] - self.sums.sum(0) / self.counts.sum().clamp_min(1e-12)


def direction(along: str, names: Sequence[str], classes: ClassMeans | None, first: Tensor) -> Tensor:
    """A unit direction of z [Z]: towards a class by its name, or one of those found without labels: z1, z2, ...

    first: how z enters the generator [Z,D]. Raises UserError if there is no such class or direction.
    """
    if along in names and classes is not None:
        found = classes.direction(list(names).index(along))
        return found / found.norm().clamp_min(1e-12)
    number = along.removeprefix("z")
    if number != along and number.isdecimal() and 1 <= int(number) <= len(first):
        return principal(first)[int(number) - 1]
    known = f"; or one of the classes {', '.join(names)}" if names else "; the run had no classes to learn others from"
    raise UserError(f"there is no direction '{along}'; give one from z1 to z{len(first)}{known}.")


def principal(first: Tensor) -> Tensor:
    """Unit directions of z, the rows of [Z,Z], that change the outputs of a first layer [Z,D] most, largest first.

    Shen & Zhou 2020 (SeFa), arXiv:2007.06600, eq. 4. The largest number of a direction is positive.
    """
    vectors = torch.linalg.eigh((first @ first.T).cpu().double()).eigenvectors.flip(1).T
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return (vectors * largest.sign()).to(first)
