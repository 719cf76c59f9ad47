"""Images from their gradients: the Poisson equation, with known pixels around a mask or with the colours of a coarse
image.   B batch, C channels, H, W pixels of any number; images [B,C,H,W] in any range; masks [B,1,H,W], bool.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

DAMPING = 0.8
"""of the Jacobi sweeps of the multigrid preconditioner"""
SWEEPS, COARSEST_SWEEPS = 2, 16
"""before and after each coarse correction; on the coarsest grid"""
MAX_ITERATIONS = 200
"""of conjugate gradients; about 15 are needed"""


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


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """G image: [B,C,H,W], the Gaussian of `gaussian_poisson`; sigma: pixels."""
    height, width = image.shape[2:]
    rows, columns = (
        math.pi / side * torch.arange(side, dtype=image.dtype, device=image.device) for side in (height, width)
    )
    blur = torch.exp(-0.5 * sigma**2 * (rows.square()[:, None] + columns.square()))
    return _inverse_dct2(_dct2(image) * blur)


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
    cycle = Multigrid(grid)
    x = _conjugate_gradients(grid.to(known.dtype), cycle, b, tolerance, iterations)
    return outside + x


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
        """The grid of half as many pixels a side: pairs are joined, as a Galerkin product of constants, halved."""
        height, width = self.inside.shape[2:]
        even = (0, width % 2, 0, height % 2)

        def total(t: Tensor) -> Tensor:
            return 4 * F.avg_pool2d(F.pad(t, even), 2)

        right = F.pad(self.right, (0, 1 + width % 2, 0, height % 2))[..., 1::2]  # between 1|2, 3|4 ...
        down = F.pad(self.down, (0, width % 2, 0, 1 + height % 2))[..., 1::2, :]
        right = F.avg_pool2d(right, (2, 1))[..., :-1]
        down = F.avg_pool2d(down, (1, 2))[..., :-1, :]
        inside = (total(self.inside) > 0).float()
        return Grid(inside, right, down, total(self.links) / 2, total(self.mass))

    def to(self, dtype: torch.dtype) -> Grid:
        return Grid(*(t.to(dtype) for t in self))


class Operator:
    """A grid's matrix."""

    def __init__(self, grid: Grid) -> None:
        self.grid, self.diagonal = grid, grid.diagonal
        self.inverse = torch.where(self.diagonal > 0, 1 / self.diagonal.clamp_min(1e-30), 0.0)

    def __call__(self, x: Tensor) -> Tensor:
        """A x: [B,C,H,W]"""
        y = self.diagonal * x
        y[..., 1:].addcmul_(self.grid.right, x[..., :-1], value=-1)
        y[..., :-1].addcmul_(self.grid.right, x[..., 1:], value=-1)
        y[..., 1:, :].addcmul_(self.grid.down, x[..., :-1, :], value=-1)
        y[..., :-1, :].addcmul_(self.grid.down, x[..., 1:, :], value=-1)
        return y

    def sweeps(self, x: Tensor, b: Tensor, count: int) -> Tensor:
        """x after damped Jacobi sweeps."""
        for _ in range(count):
            x = x.addcmul(self.inverse, b - self(x), value=DAMPING)
        return x


class Multigrid:
    """One V-cycle in float32: a symmetric approximation of the inverse of a grid's matrix."""

    def __init__(self, grid: Grid) -> None:
        self.operators, self.interpolated = [Operator(grid)], []
        line = torch.tensor([1.0, 3.0, 3.0, 1.0], device=grid.inside.device) / 4
        self.kernel = (line[:, None] * line)[None, None]
        while max(grid.inside.shape[2:]) > 2:
            fine, grid = grid, grid.coarser()
            share = self._spread(torch.ones_like(grid.inside), fine.inside.shape)  # less than 1 at the frame
            self.interpolated.append(fine.inside / share)
            self.operators.append(Operator(grid))

    def __call__(self, b: Tensor, level: int = 0) -> Tensor:
        """About A^-1 b: [B,C,H,W], in the dtype of b."""
        operator, b32 = self.operators[level], b.float()
        if level == len(self.interpolated):
            return operator.sweeps(operator.inverse * b32, b32, COARSEST_SWEEPS).to(b.dtype)
        x = operator.sweeps(DAMPING * operator.inverse * b32, b32, SWEEPS - 1)
        weights = self.interpolated[level]
        residual = (b32 - operator(x)) * weights
        correction = self(self._gather(residual), level + 1)
        x = x + self._spread(correction, x.shape) * weights
        return operator.sweeps(x, b32, SWEEPS).to(b.dtype)

    def _spread(self, x: Tensor, shape: torch.Size) -> Tensor:
        """Bilinear interpolation to twice the pixels, 0 beyond the frame."""
        b, c, height, width = x.shape
        fine = F.conv_transpose2d(x.reshape(b * c, 1, height, width), self.kernel, stride=2, padding=1)
        return fine.view(b, c, 2 * height, 2 * width)[..., : shape[2], : shape[3]]

    def _gather(self, x: Tensor) -> Tensor:
        """The adjoint of `_spread`."""
        b, c, height, width = x.shape
        x = F.pad(x, (0, width % 2, 0, height % 2)).reshape(b * c, 1, height + height % 2, width + width % 2)
        coarse = F.conv2d(x, self.kernel, stride=2, padding=1)
        return coarse.view(b, c, *coarse.shape[2:])


def _conjugate_gradients(
    grid: Grid, precondition: Multigrid, b: Tensor, tolerance: float, iterations: int | None
) -> Tensor:
    """x with A x = b, of each image and channel by itself; flexible, since the preconditioner rounds to float32."""
    operator = Operator(grid)

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (u * v).sum((2, 3), keepdim=True)

    x, residual = torch.zeros_like(b), b.clone()
    size = dot(b, b)
    direction = z = precondition(residual)
    rz = dot(residual, z)
    for _ in range(iterations or MAX_ITERATIONS):
        along = operator(direction)
        step = rz / dot(direction, along).clamp_min(1e-300 if b.dtype == torch.float64 else 1e-30)
        x = x + step * direction
        before, residual = residual, residual - step * along
        if iterations is None and bool((dot(residual, residual) <= tolerance**2 * size).all()):
            break
        z = precondition(residual)
        following = dot(residual - before, z) / rz.clamp_min(1e-300 if b.dtype == torch.float64 else 1e-30)
        rz = dot(residual, z)
        direction = z + following * direction
    return x
