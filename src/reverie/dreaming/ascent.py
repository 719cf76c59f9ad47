"""Gradient ascent on an image, as DeepDream does it: octaves, jitter, steps measured in gradient norms, windows.

Mordvintsev, Olah, Tyka 2015, "Inceptionism: Going deeper into neural networks", and the code published with it.
B = 1, C channels, H, W pixels; images x [1,C,H,W] in [-1,1].
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.dreaming.photographs import colour_power, recoloured

Objective = Callable[[Tensor], Tensor]
"""images [B,C,H,W] in [-1,1] -> what is climbed, a sum over positions: a scalar"""
LEAST = 32
"""pixels of the shorter side below which no further octave is made"""


@dataclass(frozen=True)
class Ascent:
    """How an image is climbed. The defaults are those of the published code, but for smoothing and windows."""

    octaves: int = 4
    """sizes at which it is climbed, the smallest first"""
    octave_scale: float = 1.4
    """one size to the one before it"""
    steps: int = 12
    """at each size; 10 in the published code"""
    step_size: float = 2.0
    """levels of 255 that a value moves in a step, on average; 1.5 in the published code"""
    jitter: int = 32
    """pixels that the image is moved by at random in each step, at most"""
    smoothing: float = 0.7
    """pixels: deviation of the Gaussians that the gradient is smoothed with; 0: none"""
    colour: float = 0.5
    """power of the covariance of photographs' colours that the gradient's are multiplied by: 0 leaves them as they are,
    which is gaudy; 1 changes little but brightness"""
    tile: int = 512
    """pixels a side of the windows that larger images are seen through"""
    margin: int = 96
    """pixels around a window that the network sees too"""


def climb(
    x: Tensor, objective: Objective, how: Ascent, generator: torch.Generator, tick: Callable[[int], Any] = int
) -> Tensor:
    """The image x dreamt on: what the ascent adds at each octave is enlarged and carried to the next.

    tick: called after each step with the number of pixels that it has moved
    """
    change: Tensor | None = None
    for size in octave_sizes(x.shape[2], x.shape[3], how):
        base = x if size == x.shape[2:] else _resize(x, size)
        y = base.clone() if change is None else base + _resize(change, size)
        for _ in range(how.steps):
            ascend(y, objective, how, generator)
            tick(y.shape[2] * y.shape[3])
        change = y.sub_(base)
    assert change is not None
    return change.add_(x).clamp_(-1, 1)


def octave_sizes(height: int, width: int, how: Ascent) -> list[tuple[int, int]]:
    """The sizes (height, width) at which an image is climbed, the smallest first; at least its own."""
    scales = [how.octave_scale**-k for k in range(how.octaves)]
    sizes = [(max(1, round(height * s)), max(1, round(width * s))) for s in scales]
    return [size for k, size in reversed(list(enumerate(sizes))) if k == 0 or min(size) >= LEAST]


def ascend(y: Tensor, objective: Objective, how: Ascent, generator: torch.Generator) -> None:
    """One step, in place: along the gradient, by `step_size` levels on average."""
    g = gradient(y, objective, how, generator)
    mean = float(torch.linalg.vector_norm(g, 1)) / g.numel()
    y.add_(g, alpha=how.step_size / 127.5 / max(mean, 1e-30)).clamp_(-1, 1)


def gradient(y: Tensor, objective: Objective, how: Ascent, generator: torch.Generator) -> Tensor:
    """The gradient of the objective at y [1,C,H,W], smoothed and in photographs' colours, of each window by itself.

    The image is moved by a random number of pixels, its border mirrored: so no pixel is always seen at the same place
    of the network's strides. The windows begin elsewhere in each step, so that their borders leave no trace.
    """
    g, colours = torch.empty_like(y), colour_power(how.colour)
    shift = _draw(how.jitter + 1, generator), _draw(how.jitter + 1, generator)
    for window in windows(y.shape[2], y.shape[3], how, generator):
        part = y[:, :, window.rows, window.columns].detach().requires_grad_()
        with torch.enable_grad():
            seen = _moved(part, shift[0] if window.rows.start == 0 else 0, shift[1] if window.columns.start == 0 else 0)
            found = torch.autograd.grad(objective(seen), part)[0]
        found = smooth(found, how.smoothing) if how.smoothing else found
        found = recoloured(found, colours) if how.colour else found
        g[:, :, window.kept_rows, window.kept_columns] = found[:, :, window.inner_rows, window.inner_columns]
    return g


class Window(NamedTuple):
    """A part of an image: the rows and columns that are seen, and those whose gradient is kept."""

    rows: slice
    columns: slice
    kept_rows: slice
    kept_columns: slice

    @property
    def inner_rows(self) -> slice:
        """The rows kept, counted from the first row seen."""
        return slice(self.kept_rows.start - self.rows.start, self.kept_rows.stop - self.rows.start)

    @property
    def inner_columns(self) -> slice:
        """The columns kept, counted from the first column seen."""
        return slice(self.kept_columns.start - self.columns.start, self.kept_columns.stop - self.columns.start)


def windows(height: int, width: int, how: Ascent, generator: torch.Generator) -> Iterator[Window]:
    """Windows that cover the image once with what they keep; one for an image of up to tile + 2 * margin pixels."""
    rows, columns = _cuts(height, how, generator), _cuts(width, how, generator)
    for seen_rows, kept_rows in rows:
        for seen_columns, kept_columns in columns:
            yield Window(seen_rows, seen_columns, kept_rows, kept_columns)


ALIGNED = 32
"""windows begin at multiples of this, the coarsest stride of common networks: so they see what the whole image would"""


def _cuts(side: int, how: Ascent, generator: torch.Generator) -> list[tuple[slice, slice]]:
    """(seen, kept) of each window along a side."""
    if side <= how.tile + 2 * how.margin:
        return [(slice(0, side), slice(0, side))]
    first = ALIGNED * (1 + _draw(max(1, how.tile // ALIGNED), generator)) if how.jitter else how.tile
    edges = [0, *range(first, side, how.tile), side]
    if len(edges) > 2 and side - edges[-2] < how.margin:
        del edges[-2]  # no sliver at the end
    return [
        (slice(max(0, a - how.margin) // ALIGNED * ALIGNED, min(side, b + how.margin)), slice(a, b))
        for a, b in itertools.pairwise(edges)
    ]


def _moved(x: Tensor, down: int, right: int) -> Tensor:
    """x moved by so many pixels, what comes in mirrored; where x is too small for that, its border repeated."""
    if not down and not right:
        return x
    mode = "reflect" if down < x.shape[2] and right < x.shape[3] else "replicate"
    return F.pad(x, (right, 0, down, 0), mode)


def smooth(g: Tensor, sigma: float) -> Tensor:
    """The mean of g [1,C,H,W] smoothed with Gaussians of sigma / 2, sigma and 2 sigma pixels."""
    total = torch.zeros_like(g)
    for s in (sigma / 2, sigma, 2 * sigma):
        total += blur(g, s)
    return total.div_(3)


def blur(x: Tensor, sigma: float) -> Tensor:
    """x [B,C,H,W] smoothed with a Gaussian of `sigma` pixels, the border repeated."""
    radius = max(1, round(3 * sigma))
    at = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-at.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
    groups = x.shape[1]
    x = F.conv2d(F.pad(x, (radius, radius, 0, 0), "replicate"), kernel[:, :, None, :], groups=groups)
    return F.conv2d(F.pad(x, (0, 0, radius, radius), "replicate"), kernel[:, :, :, None], groups=groups)


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic, antialiased where it shrinks."""
    return F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=size[0] < x.shape[2])


def _draw(n: int, generator: torch.Generator) -> int:
    """A whole number from 0 to n - 1."""
    return int(torch.randint(n, (), generator=generator))
