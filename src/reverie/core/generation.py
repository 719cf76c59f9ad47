"""How verbs make items: each from (seed, its index) alone, in blocks that are cut at fixed places.

What is random in what is made of a picture follows from (seed, the picture) alone.

B batch, Z latents, C channels, H = W pixels. Images inside are [B,C,H,W] in [-1,1].
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.media import Code, Image
from reverie.utils.errors import UserError


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


def select_items(items: Items, n: int, steps: int = 1) -> Sequence[int]:
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


def generate_images(
    network: Callable[[Tensor], Tensor], latents: Callable[[list[int]], Tensor], items: Sequence[int]
) -> Iterator[Image]:
    """Images network(latents(i)) for each item, made block by block."""
    for block, wanted in blocks(items):
        pixels = network(latents(block))  # [BLOCK,C,H,W] in [-1,1]
        for i, image in zip(wanted, Image.from_tensor(pixels[[i - block[0] for i in wanted]]), strict=True):
            yield dataclasses.replace(image, index=i)


def encode_images(
    encode: Callable[[Tensor], Tensor], images: Sequence[Image], size: int, channels: int, device: torch.device
) -> Iterator[Code]:
    """The code of each picture, BLOCK at a time (the last block is filled up, then cut)."""
    for start in range(0, len(images), BLOCK):
        group = list(images[start : start + BLOCK])
        filled = group + [group[-1]] * (BLOCK - len(group))
        codes = encode(Image.to_tensor(filled, size, channels).to(device))
        yield from map(Code.of, group, codes)  # as many as there are pictures


def map_images(
    act: Callable[[Tensor], Tensor], images: Sequence[Image], size: int, channels: int, device: torch.device
) -> Iterator[Image]:
    """Images act(x) for pictures put in, BLOCK at a time (the last block is filled up, then cut)."""
    for start in range(0, len(images), BLOCK):
        group = list(images[start : start + BLOCK])
        filled = group + [group[-1]] * (BLOCK - len(group))
        x = Image.to_tensor(filled, size, channels).to(device)  # [BLOCK,C,H,W] in [-1,1]
        for made, source in zip(Image.from_tensor(act(x)[: len(group)]), group, strict=True):
            yield made.made_from(source)
