"""Texture for a hole that is filled smoothly: patches of the surroundings, from coarse to fine.

Wexler, Shechtman, Irani 2007 (doi:10.1109/TPAMI.2007.60): every patch of the filled hole is to be like one of the
known part, and a pixel is the weighted mean of what the patches over it would have it be. The nearest patches are found
one by one at the coarsest scale, and from there by propagation and random search (PatchMatch: Barnes et al. 2009,
doi:10.1145/1531326.1531330). How rough the image is around their pixels is compared too (Newson et al. 2014,
arXiv:1503.05528): what is smooth is not far from anything, so that grass would be filled with a plain.
C channels, H, W pixels; images [1,C,H,W] in [-1,1], holes bool [1,1,H,W].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.transforms.laplace_fill import laplace_fill
from reverie.transforms.poisson import gradients, poisson_in_mask

RADIUS = 3
"""of a patch, which is 7 pixels a side"""
COARSEST = 24
"""pixels that a hole is thick at the coarsest scale"""
COARSE_ROUNDS, ROUNDS, LAST_ROUNDS = 6, 2, 1
"""of matching and voting: at the coarsest scale, at each of the others, and at the finest"""
SPREAD = 0.9
"""quantile of distances that patches are weighted by: high, so that those at the edge, which know more, are heard"""
FALL = 2.0
"""by how much a patch one pixel further from the known part counts less"""
MOST_FALL = 30
"""pixels from which on they count the same"""
MOST_PATCHES, MOST_COMPARED = 20_000, 50_000_000
"""that are looked through at the coarsest scale, and comparisons of these in a round"""
LEAST_PATCHES = 64
"""that the known part must have at a scale to be used"""
ROUGHNESS_RADIUS, ROUGHNESS_WEIGHT = 7, 50**0.5
"""pixels around a pixel over which its roughness is a mean, and by how much more that counts than a colour"""
SEARCH = 8
"""share of the longer side that the random search begins with: 1 / 8"""
TOLERANCE = 1e-3
"""residual at which the equation stops that takes away the seam"""
CHUNK = 1 << 15
"""patches compared at a time"""


def synthesise_texture(x: Tensor, hole: Tensor, guess: Tensor, thickness: int) -> Tensor:
    """x with its hole filled by patches of what is outside it, beginning with a guess; outside it is as it was.

    guess: [1,C,h,w] of any size, which says what the hole looks like from afar
    thickness: pixels of the hole, see `hole_patches.thickness_of`

    The result is the same each time. Where hardly a patch is known, it is the guess in the size of x.
    """
    generator = torch.Generator().manual_seed(0)
    scale: Scale | None = None
    colours, seen = x.shape[1], torch.cat([x, roughness(x, hole)], 1)
    expected = torch.cat([guess, _roughness_expected(seen[:, colours:], hole, guess.shape[2:])], 1)
    for factor in factors(thickness / COARSEST):
        inner = [max(2 * RADIUS + 1, round(side / factor)) for side in x.shape[2:]]
        finer = Scale(*((seen, hole) if factor == 1 else shrink(seen, hole, inner)), last=factor == 1)
        if finer.sources.sum() < LEAST_PATCHES:
            continue
        if scale is None:
            start = F.interpolate(expected, (finer.height, finer.width), mode="bicubic", antialias=True)
            finer.begin(start)
        else:
            finer.carry_on(scale, generator)
        if scale is not None or finer.last:
            finer.refine(generator)
        scale = finer
    if scale is None or not scale.last:
        return torch.where(hole, F.interpolate(guess, x.shape[2:], mode="bicubic"), x)
    # The patches over the edge say what is to be known there; where that differs, the whole is shifted by as much.
    edge = F.max_pool2d(hole.float(), 3, 1, 1).flatten().nonzero()[:, 0]
    scale.pixels[edge] = scale.votes(edge)
    return poisson_in_mask(gradients(scale.picture()[:, :colours]), x, hole, tolerance=TOLERANCE)


def roughness(x: Tensor, hole: Tensor) -> Tensor:
    """How much the grey level of the known part changes to the right, and downwards, in the mean around each pixel:
    [1,2,H,W], as it is compared with colours."""
    level, known, side = x.mean(1, keepdim=True), (~hole).to(x.dtype), 2 * ROUGHNESS_RADIUS + 1
    found = []
    for axis in (3, 2):
        both = known * known.roll(-1, axis)
        both.narrow(axis, both.shape[axis] - 1, 1).zero_()  # the last ones have no neighbour
        changes = (level - level.roll(-1, axis)).abs() * both
        total, count = (F.avg_pool2d(part, side, 1, ROUGHNESS_RADIUS) for part in (changes, both))
        found.append(ROUGHNESS_WEIGHT * total / count.clamp_min(1e-6))
    return torch.cat(found, 1)


def _roughness_expected(known: Tensor, hole: Tensor, side: Sequence[int]) -> Tensor:
    """What roughness [1,2,H,W] to expect in the hole, at the size of a guess: that of its edge."""
    small, small_hole = shrink(known, hole, side)
    return small if small_hole.all() else laplace_fill(small, small_hole)


def factors(coarsest: float) -> list[float]:
    """How many times smaller the scales are: from the coarsest, each half of the one before, to 1."""
    found = [1.0]
    while found[-1] * 1.5 < coarsest:
        found.append(min(2 * found[-1], coarsest))
    return found[::-1]


def shrink(x: Tensor, hole: Tensor, inner: Sequence[int]) -> tuple[Tensor, Tensor]:
    """An image and its hole at a smaller size: means of the known pixels; a pixel with any of the hole in it is in the
    hole."""
    known = (~hole).to(x.dtype)
    share = F.interpolate(known, tuple(inner), mode="area")
    small = F.interpolate(x * known, tuple(inner), mode="area") / share.clamp_min(1e-6)
    return small, share < 1 - 1e-6


class Scale:
    """An image and its roughness at one scale, as a list of pixels; places are numbers row * width + column.

    targets: places [N] of the centres of patches that reach into the hole; sources: bool [H W], of those that do not
    matches: [N], the source that each target is like, and distances [N], squared
    """

    def __init__(self, x: Tensor, hole: Tensor, last: bool) -> None:
        self.height, self.width, self.last = x.shape[2], x.shape[3], last
        self.pixels = x[0].flatten(1).T.contiguous()  # [H W,C]
        reached = F.max_pool2d(hole.float(), 2 * RADIUS + 1, 1, RADIUS) > 0
        inner = torch.zeros_like(hole)
        inner[..., RADIUS : self.height - RADIUS, RADIUS : self.width - RADIUS] = True
        self.sources = (~reached & inner).flatten()
        self.targets = (reached & inner).flatten().nonzero()[:, 0]
        self.number = torch.full((self.height * self.width,), -1)
        self.number[self.targets] = torch.arange(len(self.targets))
        self.hole = hole.flatten().nonzero()[:, 0]
        steps = torch.arange(-RADIUS, RADIUS + 1)
        self.patch = (steps[:, None] * self.width + steps).flatten()  # [49], from the centre
        self.nearness = FALL ** -_depth(hole).flatten()[self.targets]
        self.matches = torch.zeros_like(self.targets)
        self.distances = torch.zeros(len(self.targets))

    def picture(self) -> Tensor:
        """[1,C,H,W]"""
        return self.pixels.T.reshape(1, -1, self.height, self.width)

    def begin(self, start: Tensor) -> None:
        """Fills the hole, at first with a start [1,C,H,W], by looking through all patches."""
        self.pixels[self.hole] = start[0].flatten(1).T[self.hole]
        sources = self.sources.nonzero()[:, 0]
        most = max(LEAST_PATCHES, min(MOST_PATCHES, MOST_COMPARED // len(self.targets)))
        sources = sources[:: -(-len(sources) // most)]
        known = self.patches(sources)
        size = known.square().sum(1)
        for _ in range(COARSE_ROUNDS):
            for start_at in range(0, len(self.targets), CHUNK // 16):
                part = slice(start_at, start_at + CHUNK // 16)
                wanted = self.patches(self.targets[part])
                nearest = (size - 2 * wanted @ known.T).min(1)
                self.matches[part] = sources[nearest.indices]
                self.distances[part] = (nearest.values + wanted.square().sum(1)).clamp_min(0)
            self.vote()

    def carry_on(self, coarser: Scale, generator: torch.Generator) -> None:
        """Fills the hole with the patches that lie where those of a coarser scale do."""
        enlarged = F.interpolate(coarser.picture(), (self.height, self.width), mode="bicubic", align_corners=False)
        self.pixels[self.hole] = enlarged[0].flatten(1).T[self.hole]
        known = self.sources.nonzero()[:, 0]
        self.matches = known[torch.randint(len(known), (len(self.targets),), generator=generator)]
        self.distances = self.compare(self.targets, self.matches)
        for dy in (0, -1, 1):
            for dx in (0, -1, 1):
                self.try_out(*self._enlarged_matches(coarser, dy, dx))
        self.vote()

    def refine(self, generator: torch.Generator) -> None:
        """Finds better patches near those that there are."""
        for _ in range(LAST_ROUNDS if self.last else ROUNDS):
            self.distances = self.compare(self.targets, self.matches)
            for step in (2, 1):
                for dy, dx in ((-step, 0), (step, 0), (0, -step), (0, step)):
                    self.try_out(*self._neighbours_matches(dy, dx))
            reach = max(self.height, self.width) // SEARCH
            while reach >= 1:
                aside = torch.randint(-reach, reach + 1, (2, len(self.targets)), generator=generator)
                self.try_out(self.matches // self.width + aside[0], self.matches % self.width + aside[1])
                reach //= 4
            self.vote()

    def patches(self, centres: Tensor) -> Tensor:
        """[n,49 C]"""
        return self.pixels[centres[:, None] + self.patch].flatten(1)

    def compare(self, targets: Tensor, sources: Tensor) -> Tensor:
        """Squared distances [n] of patches."""
        pairs = zip(targets.split(CHUNK), sources.split(CHUNK), strict=True)
        return torch.cat([(self.patches(a) - self.patches(b)).square_().sum(1) for a, b in pairs])

    def try_out(self, rows: Tensor, columns: Tensor) -> None:
        """Takes the patches at these rows and columns [N] as matches, where they are sources and nearer."""
        inside = (rows >= 0) & (rows < self.height) & (columns >= 0) & (columns < self.width)
        places = torch.where(inside, rows * self.width + columns, self.matches)
        chosen = (self.sources[places] & (places != self.matches)).nonzero()[:, 0]
        if len(chosen):
            distances = self.compare(self.targets[chosen], places[chosen])
            nearer = distances < self.distances[chosen]
            self.matches[chosen[nearer]] = places[chosen[nearer]]
            self.distances[chosen[nearer]] = distances[nearer]

    def _neighbours_matches(self, dy: int, dx: int) -> tuple[Tensor, Tensor]:
        """Where each target's match is if it lies to that of its neighbour as the target does to the neighbour."""
        rows = (self.targets // self.width + dy).clamp(0, self.height - 1)
        columns = (self.targets % self.width + dx).clamp(0, self.width - 1)
        number = self.number[rows * self.width + columns]
        place = self.matches[number.clamp_min(0)]
        return torch.where(number >= 0, place // self.width - dy, -1), place % self.width - dx

    def _enlarged_matches(self, coarser: Scale, dy: int, dx: int) -> tuple[Tensor, Tensor]:
        """Where each target's match is if it lies as far away as that of a target near it at a coarser scale."""
        rows, columns = self.targets // self.width, self.targets % self.width
        y = (rows * coarser.height // self.height + dy).clamp(0, coarser.height - 1)
        x = (columns * coarser.width // self.width + dx).clamp(0, coarser.width - 1)
        number = coarser.number[y * coarser.width + x]
        place = coarser.matches[number.clamp_min(0)]
        down = ((place // coarser.width - y) * (self.height / coarser.height)).round().long()
        right = ((place % coarser.width - x) * (self.width / coarser.width)).round().long()
        return torch.where(number >= 0, rows + down, -1), columns + right

    def vote(self) -> None:
        """Makes each pixel of the hole what the patches over it have it be."""
        self.pixels[self.hole] = self.votes(self.hole)

    def votes(self, places: Tensor) -> Tensor:
        """The weighted means [n,C] of what the matches of the patches over places [n] have there."""
        some = self.distances[:: -(-len(self.distances) // 1_000_000)]  # torch's quantile takes 16 million at most
        weights = torch.exp(self.distances / (-2 * some.quantile(SPREAD).clamp_min(1e-6))) * self.nearness + 1e-20
        total = torch.zeros(len(places), self.pixels.shape[1])
        weight = torch.zeros(len(places), 1)
        for step in self.patch.tolist():
            number = self.number[(places - step).clamp(0, len(self.number) - 1)]
            share = torch.where(number >= 0, weights[number.clamp_min(0)], 0.0)[:, None]
            match = (self.matches[number.clamp_min(0)] + step).clamp(0, len(self.number) - 1)
            total += self.pixels[match] * share
            weight += share
        return torch.where(weight > 0, total / weight.clamp_min(1e-30), self.pixels[places])


def _depth(hole: Tensor) -> Tensor:
    """Pixels from each pixel of a hole to the known part, MOST_FALL at most: [1,1,H,W]."""
    known = (~hole).float()
    depth = torch.zeros_like(known)
    for _ in range(MOST_FALL):
        depth += 1 - known
        known = F.max_pool2d(known, 3, 1, 1)
    return depth
