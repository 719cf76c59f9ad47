"""How verbs make items: each from (seed, its index) alone, in blocks that are cut at fixed places.

What is random in what is made of a picture follows from (seed, the picture) alone.

B batch, Z latents, C channels, H = W pixels. Images inside are [B,C,H,W] in [-1,1].
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import UserError
from .media import Code, Image
from .order import seed_of


@dataclass(frozen=True)
class Shard:
    """One part, counted from 1, `of` so many parts of a job."""

    part: int
    of: int


Items = Sequence[int] | Shard | None
"""which items of a job: some, a shard, or (None) all"""

BLOCK = 16
"""Items made together. Blocks are cut at fixed places, so that an item's neighbours, and with them the
rounding of every sum, are the same whether it is made alone, in a batch, or by one shard of many."""


def noise(seed: int, items: Sequence[int], *shape: int, device: torch.device | str = "cpu") -> Tensor:
    """Standard normal noise [len(items), *shape]; row i depends on (seed, items[i]) alone, on every machine."""
    if not 0 <= seed < 2**63:
        raise UserError(f"seed is {seed}; give a whole number from 0 to 2^63 - 1.")
    rows = [np.random.Generator(np.random.Philox(key=[seed, i])).standard_normal(shape, np.float32) for i in items]
    return torch.from_numpy(np.stack(rows)).to(device)


def seed_for(seed: int, source: Any) -> int:
    """The seed of what is made of an item that was given: by its digest, so that it may come alone or among others."""
    return seed_of(seed, int(source.digest, 16))


def chosen(items: Items, n: int, steps: int = 1) -> Sequence[int]:
    """The items meant, of `n` rows of `steps`. Shards are cut between blocks. Raises UserError if there are none."""
    for name, count in (("n", n), ("steps", steps)):
        if count < 1:
            raise UserError(f"{name} is {count}; it must be 1 or more.")
    total = n * steps
    if items is None:
        return range(total)
    if isinstance(items, Shard):
        edges = [min(total, -(-total // BLOCK) * k // items.of * BLOCK) for k in (items.part - 1, items.part)]
        return range(*edges)
    for i in items:
        if not 0 <= i < total:
            raise UserError(f"there is no item {i} among {total}; they are counted from 0.")
    return items


def blocks(items: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Groups items by block: (all BLOCK indices of the block, the items of it that are wanted)."""
    for block, wanted in itertools.groupby(items, lambda i: i // BLOCK):
        yield list(range(block * BLOCK, (block + 1) * BLOCK)), list(wanted)


def draw(
    network: Callable[[Tensor], Tensor], latents: Callable[[list[int]], Tensor], items: Sequence[int]
) -> Iterator[Image]:
    """Images network(latents(i)) for each item, made block by block."""
    for block, wanted in blocks(items):
        pixels = network(latents(block))  # [BLOCK,C,H,W] in [-1,1]
        for i, image in zip(wanted, Image.from_tensor(pixels[[i - block[0] for i in wanted]]), strict=True):
            yield dataclasses.replace(image, index=i)


def walk(
    network: Callable[[Tensor], Tensor],
    ends: Callable[[list[int]], tuple[Tensor, Tensor]],
    between: Callable[[Tensor, Tensor, Tensor], Tensor],
    items: Sequence[int],
    steps: int,
) -> Iterator[Image]:
    """Rows of `steps` images network(between(a, b, share)), with share [B,1] from 0 to 1.

    ends: rows -> a and b [B,Z], where each row begins and ends. A block may ask for rows after the last.
    """

    def latents(items: list[int]) -> Tensor:
        a, b = ends([i // steps for i in items])
        share = torch.tensor([[i % steps / max(steps - 1, 1)] for i in items], device=a.device)
        return between(a, b, share)

    for image in draw(network, latents, items):
        yield image.in_rows_of(steps)


def neighbours(
    latents: Callable[[Sequence[int]], Tensor], codes: Tensor | None = None
) -> Callable[[list[int]], tuple[Tensor, Tensor]]:
    """Where rows of a walk begin and end: at codes [N,Z] r and r + 1, or without codes at items 2r and 2r + 1.

    Raises UserError if there is one code only.
    """
    if codes is not None and len(codes) == 1:
        raise UserError("interpolate got one; give two or more, or none for walks between new ones.")

    def ends(rows: list[int]) -> tuple[Tensor, Tensor]:
        if codes is None:
            return latents([2 * r for r in rows]), latents([2 * r + 1 for r in rows])
        rows = [min(r, len(codes) - 2) for r in rows]
        return codes[rows], codes[[r + 1 for r in rows]]

    return ends


def about(
    change: Callable[[Tensor], tuple[Tensor, Tensor]],
    latents: Callable[[Sequence[int]], Tensor],
    codes: Tensor | None = None,
) -> Callable[[list[int]], tuple[Tensor, Tensor]]:
    """Where rows of a walk begin and end: what change makes of codes [N,Z], or without codes of items, one a row."""

    def ends(rows: list[int]) -> tuple[Tensor, Tensor]:
        return change(latents(rows) if codes is None else codes[[min(r, len(codes) - 1) for r in rows]])

    return ends


def lerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """From a [B,Z] to b straight, `share` [B,1] of the way."""
    return a + share * (b - a)


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """From a [B,Z] to b along the great circle (White 2016, section 2.1), `share` [B,1] of the way.

    On the sphere: halfway along a straight line z would be shorter than any z seen in training.
    """
    angle = F.cosine_similarity(a, b, 1).clamp(-1, 1).acos().unsqueeze(1).clamp_min(1e-4)
    return (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)


def encoded(
    encode: Callable[[Tensor], Tensor], images: Sequence[Image], size: int, channels: int, device: torch.device
) -> Iterator[Code]:
    """The code of each picture, BLOCK at a time (the last block is filled up, then cut)."""
    for start in range(0, len(images), BLOCK):
        group = list(images[start : start + BLOCK])
        filled = group + [group[-1]] * (BLOCK - len(group))
        codes = encode(Image.to_tensor(filled, size, channels).to(device))
        yield from map(Code.of, group, codes)  # as many as there are pictures


def apply(
    act: Callable[[Tensor], Tensor], images: Sequence[Image], size: int, channels: int, device: torch.device
) -> Iterator[Image]:
    """Images act(x) for pictures put in, BLOCK at a time (the last block is filled up, then cut)."""
    for start in range(0, len(images), BLOCK):
        group = list(images[start : start + BLOCK])
        filled = group + [group[-1]] * (BLOCK - len(group))
        x = Image.to_tensor(filled, size, channels).to(device)  # [BLOCK,C,H,W] in [-1,1]
        for made, source in zip(Image.from_tensor(act(x)[: len(group)]), group, strict=True):
            yield made.made_from(source)
