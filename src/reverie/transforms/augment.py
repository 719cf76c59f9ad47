"""Random augmentation of training images [B,C,H,W] in [-1,1].

Drawn from torch's global generator, which the training loop seeds at every step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def random_flip(x: Tensor) -> Tensor:
    """Each image of [B,C,H,W] flipped horizontally with probability 1/2."""
    return paired_random_flip([x])[0]


def random_flip_and_rotate(x: Tensor, hflip: bool, rotate: bool) -> Tensor:
    """Each image of [B,C,S,S] as it is or flipped, and turned by 0, 90, 180 or 270 degrees: with both, 8 positions."""
    flip = [lambda x: x.flip(3)] if hflip else []
    turns = [lambda x: x.flip(2, 3), lambda x: x.rot90(1, (2, 3))] if rotate else []
    for position in (*flip, *turns):
        x = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, position(x), x)
    return x


def mean_over_positions(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The mean of network(x) [B,C',H,W] over the 8 positions of x [B,C,H,W], each turned back (self-ensemble).

    Lim 2017, arXiv:1707.02921, section 3.4. The network must take W x H as well.
    """
    total: Tensor | float = 0.0
    for flipped in (x, x.flip(3)):
        for turns in range(4):
            y = network(flipped.rot90(turns, (2, 3))).rot90(-turns, (2, 3))
            total = total + (y if flipped is x else y.flip(3))
    assert isinstance(total, Tensor)
    return total / 8


def random_shift(x: Tensor, max_shift: int, reflect: bool = False) -> Tensor:
    """Each image of [B,C,H,W] moved by up to `max_shift` pixels along each axis.

    Padded by repeating the edge, or by reflecting the image at it.
    """
    if not max_shift:
        return x
    b, _, h, w = x.shape
    dy, dx = torch.randint(-max_shift, max_shift + 1, (2, b, 1), device=x.device)
    rows, columns = torch.arange(h, device=x.device) + dy, torch.arange(w, device=x.device) + dx  # [B,H], [B,W]
    if reflect:
        rows, columns = ((side - 1) - ((side - 1) - i.abs()).abs() for i, side in ((rows, h), (columns, w)))
    rows, columns = rows.clamp(0, h - 1), columns.clamp(0, w - 1)
    batch = torch.arange(b, device=x.device).view(b, 1, 1)
    return x.permute(0, 2, 3, 1)[batch, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


def random_flip_and_shift(x: Tensor, hflip: bool, shift: float) -> Tensor:
    """Augmentation of the images [B,C,H,W] that a generator learns from.

    hflip: whether images are flipped horizontally with probability 1/2
    shift: share of the side, from 0 to 0.5, that they are moved by at most; padded by reflection, since a generator
        would learn a repeated edge
    """
    return random_shift(random_flip(x) if hflip else x, round(shift * x.shape[3]), reflect=True)


def diff_augment(x: Tensor) -> Tensor:
    """DiffAugment (Zhao 2020, arXiv:2006.10738, section 3.2): colour, translation up to 1/8, cutout of 1/2 of the side.

    Applied to real and generated images [B,C,H,W] alike, it keeps a discriminator from memorising a small data set.
    """
    return _cutout(_translate(_colour(x)))


def geometric_diff_augment(x: Tensor) -> Tensor:
    """As diff_augment, without colour, and with translations padded by reflection in place of mid-grey.

    Grey borders would leak: a generated image that has them looks like a real one that was moved.
    """
    return _cutout(random_shift(x, x.shape[3] // 8, reflect=True))


def paired_diff_augment(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """geometric_diff_augment of images x [B,C,H,W] and what was made of each, y [B,C,H,W]: moved and cut alike."""
    x, y = geometric_diff_augment(torch.cat([x, y], 1)).chunk(2, 1)
    return x, y


def _uniform(x: Tensor) -> Tensor:
    return torch.rand(len(x), 1, 1, 1, device=x.device)


def _colour(x: Tensor) -> Tensor:
    x = x + (_uniform(x) - 0.5)  # brightness
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (2 * _uniform(x))  # saturation
    level = x.mean((1, 2, 3), keepdim=True)
    return level + (x - level) * (0.5 + _uniform(x))  # contrast


def _translate(x: Tensor) -> Tensor:
    b, _, h, w = x.shape
    reach_y, reach_x = h // 8, w // 8
    dy = torch.randint(-reach_y, reach_y + 1, (b, 1, 1), device=x.device)
    dx = torch.randint(-reach_x, reach_x + 1, (b, 1, 1), device=x.device)
    rows = (torch.arange(h, device=x.device).view(1, h, 1) + dy + 1).clamp(0, h + 1)
    columns = (torch.arange(w, device=x.device).view(1, 1, w) + dx + 1).clamp(0, w + 1)
    padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)  # with mid-grey, 0
    return padded[torch.arange(b, device=x.device).view(b, 1, 1), rows, columns].permute(0, 3, 1, 2)


def _cutout(x: Tensor) -> Tensor:
    b, _, h, w = x.shape
    cy = torch.randint(0, h + 1, (b, 1, 1), device=x.device)
    cx = torch.randint(0, w + 1, (b, 1, 1), device=x.device)
    rows = (torch.arange(h, device=x.device).view(1, h, 1) - cy + h // 4) // (2 * (h // 4)) == 0
    columns = (torch.arange(w, device=x.device).view(1, 1, w) - cx + w // 4) // (2 * (w // 4)) == 0
    return x * ~(rows & columns).unsqueeze(1)


def paired_random_crop(images: list[Tensor], size: int) -> list[Tensor]:
    """A random crop to `size` x `size` pixels, at the same place in all images of an item.

    images: the sides of the items, [B,C,H,W] each, such as inputs and targets.
    """
    b, _, h, w = images[0].shape
    if (h, w) == (size, size):
        return images
    top = torch.randint(0, h - size + 1, (b,), device=images[0].device)
    left = torch.randint(0, w - size + 1, (b,), device=images[0].device)
    offsets = torch.arange(size, device=images[0].device)
    rows, columns = (top[:, None] + offsets)[:, :, None], (left[:, None] + offsets)[:, None, :]
    batch = torch.arange(b, device=images[0].device)[:, None, None]
    return [x.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2).contiguous() for x in images]


def paired_random_flip(images: list[Tensor]) -> list[Tensor]:
    """A horizontal flip of all images [B,C,H,W] of an item together, with probability 1/2."""
    chosen = torch.rand(len(images[0]), 1, 1, 1, device=images[0].device) < 0.5
    return [torch.where(chosen, x.flip(3), x) for x in images]
