"""Images from their gradients: the Poisson equation, with known pixels around a mask or with the colours of a coarse
image.   B batch, C channels, H, W pixels of any number; images [B,C,H,W] in any range; masks [B,1,H,W], bool.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SWEEPS = (0.5617, 1.3895)
"""damping of the two Jacobi sweeps before each coarse correction of the multigrid preconditioner, and in reverse order
after it: the inverses of the roots of the Chebyshev polynomial on [1/2, 2], the part of the spectrum of the matrix
divided by its diagonal that a coarser grid does not have (Adams 2003, "Parallel multigrid smoothing", section 3)"""
COARSEST_SWEEPS = 8
"""pairs of sweeps on the coarsest grid"""
SERIES = 8.0
"""weight of what is in series with the links to known pixels on each coarser grid; from 6 to 20 the iterations
are nearly as many"""
MAX_ITERATIONS = 200
"""of conjugate gradients; 10 to 14 are needed"""


class Gradients(NamedTuple):
    """Differences of neighbours, each pixel's from that before it."""

    x: Tensor
    """[B,C,H,W-1]"""
    y: Tensor
    """[B,C,H-1,W]"""


def gradients(image: Tensor) -> Gradients:
    """The forward differences of images [B,C,H,W]."""
    return Gradients(image.diff(dim=3), image.diff(dim=2))


def minus_divergence(g: Gradients) -> Tensor:
    """The adjoint of `gradients`: [B,C,H,W]; of an image's own gradients, minus its Laplacian with Neumann borders."""
    return F.pad(g.x, (1, 0)) - F.pad(g.x, (0, 1)) + F.pad(g.y, (0, 0, 1, 0)) - F.pad(g.y, (0, 0, 0, 1))


# -- the whole image, in closed form -----------------------------------------------------------------------------------


def dct(x: Tensor) -> Tensor:
    """The DCT-II of the last dimension, sum_n 2 x_n cos(pi k (2 n + 1) / 2 N), by one FFT (Makhoul 1980)."""
    n = x.shape[-1]
    spectrum = torch.fft.fft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1))
    return 2 * (spectrum * _twiddle(n, x)).real


def inverse_dct(x: Tensor) -> Tensor:
    """The inverse of `dct`."""
    n = x.shape[-1]
    mirrored = F.pad(x.flip(-1)[..., :-1], (1, 0))  # 0, X_{N-1} ... X_1
    v = torch.fft.ifft(torch.complex(x, -mirrored) * _twiddle(n, x).conj()).real / 2
    out = torch.empty_like(x)
    out[..., ::2], out[..., 1::2] = v[..., : (n + 1) // 2], v[..., (n + 1) // 2 :].flip(-1)
    return out


def _twiddle(n: int, like: Tensor) -> Tensor:
    angle = -math.pi / (2 * n) * torch.arange(n, dtype=like.dtype, device=like.device)
    return torch.polar(torch.ones_like(angle), angle)


def gaussian_poisson(g: Gradients, colours: Tensor, beta: float, sigma: float) -> Tensor:
    """The image x [B,C,H,W] that minimises |gradients(x) - g|^2 + beta |G x - colours|^2, in closed form.

    The Gaussian-Poisson equation (Wu 2017, arXiv:1703.07195, section 3.2). The normal equations are diagonal in the
    DCT-II, whose borders have no flux; the authors' FFT joins opposite borders instead.

    colours: [B,C,H,W]; beta: above 0; sigma: pixels, of the Gaussian G, which reflects at the borders
    """
    height, width = colours.shape[2:]
    rows, columns = (
        math.pi / side * torch.arange(side, dtype=colours.dtype, device=colours.device) for side in (height, width)
    )
    laplacian = (2 - 2 * rows.cos())[:, None] + (2 - 2 * columns.cos())
    blur = torch.exp(-0.5 * sigma**2 * (rows.square()[:, None] + columns.square()))
    spectrum = _dct2(minus_divergence(g)) + beta * blur * _dct2(colours)
    return _inverse_dct2(spectrum / (laplacian + beta * blur.square()))


def _dct2(x: Tensor) -> Tensor:
    return dct(dct(x).mT.contiguous()).mT


def _inverse_dct2(x: Tensor) -> Tensor:
    return inverse_dct(inverse_dct(x.mT.contiguous()).mT.contiguous())


# -- within a mask, beside known pixels --------------------------------------------------------------------------------


def poisson_in_mask(
    g: Gradients, known: Tensor, mask: Tensor, attachment: float = 0.0, target: Tensor | None = None,
    tolerance: float = 1e-10, iterations: int | None = None,
) -> Tensor:  # fmt: skip
    """The image that is `known` outside the mask, and inside has the gradients g as nearly as can be.

    It minimises |gradients(x) - g|^2 + attachment |x - target|^2 over the pixels in the mask: the discrete Poisson
    equation with Dirichlet borders (Perez 2003, section 3), screened where attachment > 0. The frame has no flux.
    Conjugate gradients with a multigrid cycle as the preconditioner (McAdams 2010), in the dtype of `known`.

    g, known, target: [B,C,H,W]; mask: [B,1,H,W] bool, with a pixel outside it in each image if attachment is 0
    tolerance: residual, relative to that of `known` with 0 inside, at which to stop
    iterations: a fixed number of these instead, so that nothing is read back from the device
    """
    if iterations is None:
        rows, columns = box_of(mask, 1)
        if (rows, columns) != (slice(0, mask.shape[2]), slice(0, mask.shape[3])):
            part = Gradients(g.x[..., rows, _less(columns)], g.y[..., _less(rows), columns])
            inner = None if target is None else target[..., rows, columns]
            solved, here = known.clone(), (..., rows, columns)
            solved[here] = poisson_in_mask(part, known[here], mask[here], attachment, inner, tolerance)
            return solved
    grid = Grid.of(mask, attachment)
    outside = known * ~mask
    b = minus_divergence(g)
    if target is not None and attachment:
        b = b + attachment * target
    b = (b - minus_divergence(gradients(outside))) * mask
    exact, cycle = grid.to(known.dtype), Multigrid(grid)
    parts = b.split(1, 1) if iterations is None else [b]  # large images channel by channel: more of them in the cache
    return outside + torch.cat([_conjugate_gradients(exact, cycle, part, tolerance, iterations) for part in parts], 1)


def box_of(mask: Tensor, margin: int) -> tuple[slice, slice]:
    """The rows and columns of the box around masks [B,1,H,W], `margin` pixels wider, within the frame."""
    slices = []
    for dim in (3, 2):
        line = mask.any(dim).flatten(0, 1).any(0).nonzero()[:, 0]
        first, last = (int(line[0]), int(line[-1]) + 1) if len(line) else (0, 1)
        slices.append(slice(max(0, first - margin), min(mask.shape[5 - dim], last + margin)))
    return slices[0], slices[1]


def _less(part: slice) -> slice:
    """The differences between the pixels of a part."""
    return slice(part.start, part.stop - 1)


class Grid(NamedTuple):
    """The matrix of the equation on one grid, of the pixels inside only; zero elsewhere. [B,1,H,W] each."""

    inside: Tensor
    right: Tensor
    """[B,1,H,W-1], the weight between each pixel and the next"""
    down: Tensor
    """[B,1,H-1,W]"""
    links: Tensor
    """the sum of the weights to known pixels"""
    mass: Tensor
    """attachment, times the pixels of the finest grid that one stands for"""

    @classmethod
    def of(cls, mask: Tensor, attachment: float) -> Grid:
        """The finest grid, in float32."""
        inside = mask.float()
        known = 1 - inside
        right, down = inside[..., 1:] * inside[..., :-1], inside[..., 1:, :] * inside[..., :-1, :]
        beside = F.pad(known[..., 1:], (0, 1)) + F.pad(known[..., :-1], (1, 0))
        beside = beside + F.pad(known[..., 1:, :], (0, 0, 0, 1)) + F.pad(known[..., :-1, :], (0, 0, 1, 0))
        return cls(inside, right, down, beside * inside, attachment * inside)

    @property
    def diagonal(self) -> Tensor:
        """[B,1,H,W]"""
        between = F.pad(self.right, (1, 0)) + F.pad(self.right, (0, 1))
        return between + F.pad(self.down, (0, 0, 1, 0)) + F.pad(self.down, (0, 0, 0, 1)) + self.links + self.mass

    def coarser(self) -> Grid:
        """The grid of half as many pixels a side."""
        height, width = self.inside.shape[2:]
        even = (0, width % 2, 0, height % 2)

        def total(t: Tensor) -> Tensor:
            return 4 * F.avg_pool2d(F.pad(t, even), 2)

        right = F.pad(self.right, (0, 1 + width % 2, 0, height % 2))[..., 1::2]  # between 1|2, 3|4 ...
        down = F.pad(self.down, (0, width % 2, 0, 1 + height % 2))[..., 1::2, :]
        right = F.avg_pool2d(right, (2, 1))[..., :-1]
        down = F.avg_pool2d(down, (1, 2))[..., :-1, :]
        inside = (total(self.inside) > 0).float()
        # Links to known pixels in series with the way to the middle of the larger pixel. Merely halved, the known
        # pixels move away from grid to grid, and twice as many iterations are needed.
        links = total(self.links)
        return Grid(inside, right, down, links / (1 + links / SERIES), total(self.mass))

    def to(self, dtype: torch.dtype) -> Grid:
        return Grid(*(t.to(dtype) for t in self))


class Operator:
    """A grid's matrix, for images that are 0 outside."""

    def __init__(self, grid: Grid, finest: bool) -> None:
        """finest: whether all weights between pixels inside are 1, so that they need not be multiplied with"""
        self.grid, self.finest, self.diagonal = grid, finest, grid.diagonal
        self.inverse = torch.where(self.diagonal > 0, 1 / self.diagonal.clamp_min(1e-30), 0.0) * grid.inside
        self.damped = [w * self.inverse for w in SWEEPS]

    def __call__(self, x: Tensor) -> Tensor:
        """A x: [B,C,H,W]"""
        return self._add_neighbours(self.diagonal * x, x, -1).mul_(self.grid.inside)

    def residual(self, x: Tensor, b: Tensor) -> Tensor:
        """b - A x, but outside some other value: [B,C,H,W]"""
        return self._add_neighbours(torch.addcmul(b, self.diagonal, x, value=-1), x)

    def sweep(self, x: Tensor, b: Tensor, k: int) -> Tensor:
        """x after a Jacobi sweep with damping SWEEPS[k]."""
        beside = self._add_neighbours(b.clone(), x)
        return torch.mul(x, 1 - SWEEPS[k]).addcmul_(self.damped[k], beside)

    def _add_neighbours(self, y: Tensor, x: Tensor, sign: int = 1) -> Tensor:
        """Adds to y the neighbours of each pixel of x, by their weights and `sign`; outside some other value."""
        right, down = self.grid.right, self.grid.down
        for dim, weight in ((3, right), (2, down)):
            n = x.shape[dim] - 1
            for here, there in ((1, 0), (0, 1)):
                part, neighbour = y.narrow(dim, here, n), x.narrow(dim, there, n)
                if self.finest:
                    part.add_(neighbour, alpha=sign)
                else:
                    part.addcmul_(weight, neighbour, value=sign)
        return y


class Multigrid:
    """One V-cycle in float32: a symmetric approximation of the inverse of a grid's matrix."""

    def __init__(self, grid: Grid) -> None:
        self.operators, self.interpolated = [Operator(grid, finest=True)], []
        while max(grid.inside.shape[2:]) > 2:
            fine, grid = grid, grid.coarser()
            share = _spread(torch.ones_like(grid.inside), fine.inside.shape)  # less than 1 at the frame
            self.interpolated.append(fine.inside / share)
            self.operators.append(Operator(grid, finest=False))

    def __call__(self, b: Tensor, level: int = 0) -> Tensor:
        """About A^-1 b: [B,C,H,W], in the dtype of b."""
        operator, b32 = self.operators[level], b.float()
        x = operator.damped[0] * b32
        if level == len(self.interpolated):
            for k in (1, *(0, 1) * (COARSEST_SWEEPS - 1), *(1, 0) * COARSEST_SWEEPS):
                x = operator.sweep(x, b32, k)
            return x.to(b.dtype)
        x = operator.sweep(x, b32, 1)
        weights = self.interpolated[level]
        correction = self(_gather(operator.residual(x, b32).mul_(weights)), level + 1)
        x.addcmul_(_spread(correction, x.shape), weights)
        return operator.sweep(operator.sweep(x, b32, 1), b32, 0).to(b.dtype)


def _spread(x: Tensor, shape: torch.Size) -> Tensor:
    """Bilinear interpolation to twice the pixels, 0 beyond the frame: [B,C,h,w] -> [B,C,H,W]."""
    for dim in (2, 3):
        near, n = x * 0.75, x.shape[dim]
        first, second = near.clone(), near
        first.narrow(dim, 1, n - 1).add_(x.narrow(dim, 0, n - 1), alpha=0.25)
        second.narrow(dim, 0, n - 1).add_(x.narrow(dim, 1, n - 1), alpha=0.25)
        x = torch.stack([first, second], dim + 1).flatten(dim, dim + 1).narrow(dim, 0, shape[dim])
    return x


def _gather(x: Tensor) -> Tensor:
    """The adjoint of `_spread`: [B,C,H,W] -> [B,C,h,w]."""
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    for dim in (2, 3):
        halves = x.unflatten(dim, (x.shape[dim] // 2, 2))
        first, second = halves.unbind(dim + 1)  # of each pair
        n = first.shape[dim]
        total = (first + second).mul_(0.75)
        total.narrow(dim, 1, n - 1).add_(second.narrow(dim, 0, n - 1), alpha=0.25)
        total.narrow(dim, 0, n - 1).add_(first.narrow(dim, 1, n - 1), alpha=0.25)
        x = total
    return x


def _conjugate_gradients(
    grid: Grid, precondition: Multigrid, b: Tensor, tolerance: float, iterations: int | None
) -> Tensor:
    """x with A x = b, of each image and channel by itself; flexible, since the preconditioner rounds to float32."""
    operator = Operator(grid, finest=True)

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return torch.einsum("bchw,bchw->bc", u, v)[..., None, None]

    x, residual = torch.zeros_like(b), b.clone()
    size = dot(b, b)
    direction = z = precondition(residual)
    rz = dot(residual, z)
    for _ in range(iterations or MAX_ITERATIONS):
        along = operator(direction)
        step = rz / dot(direction, along).clamp_min(1e-300 if b.dtype == torch.float64 else 1e-30)
        x.addcmul_(step, direction)
        before, residual = residual, torch.addcmul(residual, step, along, value=-1)
        if iterations is None and bool((dot(residual, residual) <= tolerance**2 * size).all()):
            break
        z = precondition(residual)
        following = dot(residual - before, z) / rz.clamp_min(1e-300 if b.dtype == torch.float64 else 1e-30)
        rz = dot(residual, z)
        direction = torch.addcmul(z, following, direction)
    return x
