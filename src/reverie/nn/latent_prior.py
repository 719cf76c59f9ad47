"""Where the codes of new items are drawn from.   N codes, Z latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reverie.nn.losses import log_normal


class Prior(nn.Module):
    """N(0, I), or fitted: the normal distribution with the mean and the covariance of the codes of the data.

    Where a KL is cheap the codes of the data are not spread as N(0, I) is: the longer a tune, the more of its numbers
    hang together. Ghosh 2019, arXiv:1903.12436, section 4, fits a density when training has ended; this one follows
    training, a moving average that begins at N(0, I).
    """

    mean: Tensor
    covariance: Tensor

    def __init__(self, latent: int, fitted: bool, decay: float = 0.998) -> None:
        super().__init__()
        self.fitted, self.decay = fitted, decay
        if fitted:
            self.register_buffer("mean", torch.zeros(latent))
            self.register_buffer("covariance", torch.eye(latent))

    @torch.no_grad()
    def follow(self, codes: Tensor) -> None:
        """Takes in codes [N,Z] of the data, drawn from q(z|x)."""
        if self.fitted:
            with torch.autocast(codes.device.type, enabled=False):  # moments are kept in full
                codes = codes.to(self.mean)
                centre = codes.mean(0)
                apart, moved = codes - centre, centre - self.mean
                # About the mean, not about 0: codes far from 0 that hardly vary would drown in rounding.
                spread = apart.T @ apart / len(codes) + self.decay * torch.outer(moved, moved)
                self.covariance.lerp_(spread, 1 - self.decay)
                self.mean.lerp_(centre, 1 - self.decay)

    def forward(self, normal: Tensor) -> Tensor:
        """Codes [N,Z] of standard normal numbers [N,Z], each the same to the bit whatever N is."""
        if not self.fitted:
            return normal
        root = self.root()
        return self.mean + torch.cat([(part[:, None] * root).sum(2) for part in normal.split(64)])  # [64,Z,Z] at most

    def log_density(self, codes: Tensor) -> Tensor:
        """ln p of codes [N,Z]: [N]."""
        if not self.fitted:
            return log_normal(codes).sum(1)
        root = self.root()
        normal = torch.linalg.solve_triangular(root, (codes - self.mean).T, upper=False).T
        return log_normal(normal).sum(1) - root.diagonal().log().sum()

    def root(self) -> Tensor:
        """The lower triangle L [Z,Z] with L L^T the covariance."""
        covariance = self.covariance.cpu().double()  # MPS has no float64
        least = 1e-6 * covariance.diagonal().max().clamp_min(1)  # above the rounding of float32
        return torch.linalg.cholesky(covariance + least * torch.eye(len(covariance))).to(self.mean)
