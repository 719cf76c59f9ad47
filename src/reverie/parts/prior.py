"""Where the codes of new items are drawn from.   N codes, Z latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..losses import log_normal


class Prior(nn.Module):
    """N(0, I), or fitted: the normal distribution with the mean and the covariance of the codes of the data.

    Where a KL is cheap the codes of the data are not spread as N(0, I) is: the longer a tune, the more of its numbers
    hang together. Ghosh 2019, arXiv:1903.12436, section 4, fits a density when training has ended; this one follows
    training, a moving average that begins at N(0, I).
    """

    mean: Tensor
    products: Tensor

    def __init__(self, latent: int, fitted: bool, decay: float = 0.998) -> None:
        super().__init__()
        self.fitted, self.decay = fitted, decay
        if fitted:
            self.register_buffer("mean", torch.zeros(latent))
            self.register_buffer("products", torch.eye(latent))  # of each two numbers of a code, [Z,Z]

    @torch.no_grad()
    def follow(self, codes: Tensor) -> None:
        """Takes in codes [N,Z] of the data, drawn from q(z|x)."""
        if self.fitted:
            with torch.autocast(codes.device.type, enabled=False):  # moments are kept in full
                codes = codes.to(self.mean)
                self.mean.lerp_(codes.mean(0), 1 - self.decay)
                self.products.lerp_(codes.T @ codes / len(codes), 1 - self.decay)

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
        mean, products = self.mean.cpu().double(), self.products.cpu().double()  # MPS has no float64
        covariance = products - mean[:, None] * mean + 1e-6 * torch.eye(len(mean), dtype=torch.float64)
        return torch.linalg.cholesky(covariance).to(self.mean)
