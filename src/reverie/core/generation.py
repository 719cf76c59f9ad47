"""How verbs make items: item i is a function of (the verb's other arguments, i) alone.

So a job gives the same items however it is split: all at once, one item, or one shard on each of many machines.
Items are made in blocks of BLOCK that are cut at fixed places, because the rounding of a sum depends on what else
is in the batch. What is random about an item made of a given image is a function of (seed, that image).

B batch, Z latent dimensions, C channels, H = W pixels. Images inside are [B,C,H,W] in [-1,1].
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from reverie.core.options import convert
from reverie.data.images.decode import fit
from reverie.media import Code, Image
from reverie.utils.errors import UserError


@dataclass(frozen=True)
class Shard:
    """Part number `part`, counted from 1, of a job that is cut into `of` parts: `--shard 2/8` is Shard(2, 8)."""

    part: int
    of: int


@dataclass(frozen=True)
class Unfinished:
    """Those of `items` that are not done yet, of a job that was cut off."""

    items: Sequence[int] | Shard | None
    is_done: Callable[[int], bool]


Items: TypeAlias = Sequence[int] | Shard | Unfinished | None
"""Which items of a job a verb makes: those with these indices, counted from 0; those of a shard; or (None) all.

A verb that makes n items has a parameter `items: Items = None`, which `select_items` turns into indices. It is no
option of the command line (`--shard` sets it) and is not written into records, since no item depends on it."""

Latents: TypeAlias = Callable[[Sequence[int]], Tensor]
"""item numbers -> their latent codes [B,Z]; usually `lambda items: noise(seed, items, Z)`"""

BLOCK = 16
"""items that pass through a network together"""


def select_items(items: Items, n: int, frames: int = 1) -> Sequence[int]:
    """The indices of the items to make, in order, of a job of `n` rows of `frames` items.

    A shard is a run of whole blocks, so that every block is computed by one machine only.
    Raises UserError if the job has no items, or not one of these indices.
    """
    for name, count in (("n", n), ("frames", frames)):
        if count < 1:
            raise UserError(f"{name} is {count}; it must be 1 or more.")
    if isinstance(items, Unfinished):
        return [i for i in select_items(items.items, n, frames) if not items.is_done(i)]
    total = n * frames
    if items is None:
        return range(total)
    if isinstance(items, Shard):
        num_blocks = -(-total // BLOCK)
        first, end = (num_blocks * part // items.of * BLOCK for part in (items.part - 1, items.part))
        return range(min(first, total), min(end, total))
    chosen: tuple[int, ...] = convert(items, tuple[int, ...], "items")
    for i in chosen:
        if not 0 <= i < total:
            raise UserError(f"there is no item {i} among {total}; they are counted from 0.")
    return chosen


def blocks(items: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Groups items by block: (all BLOCK indices of the block, those of them that are in `items`)."""
    for block, wanted in itertools.groupby(items, lambda i: i // BLOCK):
        yield list(range(block * BLOCK, (block + 1) * BLOCK)), list(wanted)


def generate_images(decode: Callable[[Tensor], Tensor], latents: Latents, items: Sequence[int]) -> Iterator[Image]:
    """Images decode(latents([i])) for i in items, made block by block.

    `latents` is asked for whole blocks, so also for items after the last of a job.
    """
    for block, wanted in blocks(items):
        pixels = decode(latents(block))  # [BLOCK,C,H,W] in [-1,1]
        for i, image in zip(wanted, Image.from_tensor(pixels[[i - block[0] for i in wanted]]), strict=True):
            yield dataclasses.replace(image, index=i)


def encode_images(
    encode: Callable[[Tensor], Tensor], images: Sequence[Image], size: int, channels: int, device: torch.device
) -> Iterator[Code]:
    """The code of each image; encode: [BLOCK,C,H,W] in [-1,1] -> codes [BLOCK,Z]."""
    for group, x in _batches(images, size, channels, device):
        yield from map(Code.from_latent, group, encode(x))  # as many as there are images


def codes_of(
    encode: Callable[[Tensor], Tensor], images: Sequence[Image] | None, size: int, channels: int, device: torch.device
) -> Tensor | None:
    """The codes [N,Z] of given images, those that encode_images yields; None for none."""
    codes = [encode(x)[: len(group)] for group, x in _batches(images or (), size, channels, device)]
    return torch.cat(codes) if codes else None


def map_images(
    transform: Callable[..., Tensor], images: Sequence[Image], size: int, channels: int, device: torch.device,
    beside: Tensor | None = None,
) -> Iterator[Image]:  # fmt: skip
    """An image made from each image; transform: [BLOCK,C,H,W] in [-1,1] -> [BLOCK,C,H,W] in [-1,1].

    beside: [N,...] of the images, whose rows [BLOCK,...] the transform takes too
    """
    for start, (group, x) in enumerate(_batches(images, size, channels, device)):
        rows = [min(i, len(images) - 1) for i in range(start * BLOCK, (start + 1) * BLOCK)]
        made = transform(x) if beside is None else transform(x, beside[rows].to(device))
        for result, source in zip(Image.from_tensor(made[: len(group)]), group, strict=True):
            yield result.made_from(source)


def at_size(image: Image, size: int) -> Image:
    """A square image resized to `size` pixels a side, by Lanczos with antialiasing, as training images are."""
    return dataclasses.replace(image, pixels=fit(image.pil, size, image.pixels.shape[2]))


def _batches(
    images: Sequence[Image], size: int, channels: int, device: torch.device
) -> Iterator[tuple[list[Image], Tensor]]:
    """Images BLOCK at a time, with the batch [BLOCK,C,H,W] of them; the last is filled up with its last image."""
    for start in range(0, len(images), BLOCK):
        group = list(images[start : start + BLOCK])
        filled = group + [group[-1]] * (BLOCK - len(group))
        yield group, Image.to_tensor(filled, size, channels).to(device)
