"""The prior that the codes of new items are drawn from.   N codes, Z latent dimensions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from reverie.nn.losses import log_normal


class Prior(nn.Module):
    """N(0, I), or fitted: the normal distribution with the mean and the covariance of the codes of the data.

    Where the weight of the KL is small, the aggregate posterior is not N(0, I): the longer a tune, the more its latent
    dimensions are correlated. Ghosh 2019, arXiv:1903.12436, section 4, fits a density after training; this one is an
    exponential moving average during training, from N(0, I).
    """

    mean: Tensor
    covariance: Tensor

    def __init__(self, latent_dim: int, fitted: bool, decay: float = 0.998) -> None:
        super().__init__()
        self.fitted, self.decay = fitted, decay
        if fitted:
            self.register_buffer("mean", torch.zeros(latent_dim))
            self.register_buffer("covariance", torch.eye(latent_dim))

    @torch.no_grad()
    def update(self, codes: Tensor) -> None:
        """Takes in codes [N,Z] of the data, drawn from q(z|x). Does nothing where the prior is not fitted."""
        if self.fitted:
            with torch.autocast(codes.device.type, enabled=False):  # the moments stay in float32
                codes = codes.to(self.mean)
                batch_mean = codes.mean(0)
                centred, shift = codes - batch_mean, batch_mean - self.mean
                # About the mean, not about 0: the variance of codes far from 0 would be lost to rounding.
                batch_covariance = centred.T @ centred / len(codes) + self.decay * torch.outer(shift, shift)
                self.covariance.lerp_(batch_covariance, 1 - self.decay)
                self.mean.lerp_(batch_mean, 1 - self.decay)

    def forward(self, normal: Tensor) -> Tensor:
        """Codes [N,Z] from standard normal noise [N,Z]; a row is the same to the bit whatever N is."""
        if not self.fitted:
            return normal
        root = self.root()
        return self.mean + torch.cat([(part[:, None] * root).sum(2) for part in normal.split(64)])  # [64,Z,Z] at most

    def log_density(self, codes: Tensor) -> Tensor:
        """log p(z) in nats of codes [N,Z]: [N]."""
        if not self.fitted:
            return log_normal(codes).sum(1)
        root = self.root()
        normal = torch.linalg.solve_triangular(root, (codes - self.mean).T, upper=False).T
        return log_normal(normal).sum(1) - root.diagonal().log().sum()

    def resample(
        self, log_likelihood: Callable[[Tensor], Tensor], mean: Tensor, log_variance: Tensor, proposals: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Codes [N,Z] and their log weights [N], by which one of them is approximately from p(z|x) (Rubin 1987).

        Half of the codes are from the prior, half from N(mean, variance), both [1,Z]; proposals: standard normal [N,Z];
        log_likelihood: codes [N,Z] -> log p(x|z) [N]
        """
        even = torch.arange(len(proposals), device=proposals.device)[:, None] % 2 == 0
        z = torch.where(even, self(proposals), mean + (log_variance / 2).exp() * proposals)
        log_prior, log_q = self.log_density(z), log_normal(z, mean, log_variance).sum(1)
        return z, log_likelihood(z) + log_prior - torch.logaddexp(log_prior, log_q)

    def root(self) -> Tensor:
        """The Cholesky factor of the covariance: L [Z,Z], lower triangular, with L L^T the covariance."""
        covariance = self.covariance.cpu().double()  # MPS has no float64
        jitter = 1e-6 * covariance.diagonal().max().clamp_min(1)  # above the rounding of float32
        return torch.linalg.cholesky(covariance + jitter * torch.eye(len(covariance))).to(self.mean)
