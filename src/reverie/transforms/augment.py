"""Random changes of images on their way to a network. Drawn from torch's generator, which the loop seeds every step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.utils.errors import UserError


def random_flip(x: Tensor) -> Tensor:
    """Each image of [B,C,H,W] mirrored left to right with probability 1/2."""
    return flipped([x])[0]


def random_shift(x: Tensor, reach: int, mirrored: bool = False) -> Tensor:
    """Each image of [B,C,H,W] moved by up to `reach` pixels each way; what moves in repeats the edge, or mirrors it."""
    if not reach:
        return x
    b, _, h, w = x.shape
    dy, dx = torch.randint(-reach, reach + 1, (2, b, 1), device=x.device)
    rows, columns = torch.arange(h, device=x.device) + dy, torch.arange(w, device=x.device) + dx  # [B,H], [B,W]
    if mirrored:
        rows, columns = ((side - 1) - ((side - 1) - i.abs()).abs() for i, side in ((rows, h), (columns, w)))
    rows, columns = rows.clamp(0, h - 1), columns.clamp(0, w - 1)
    batch = torch.arange(b, device=x.device).view(b, 1, 1)
    return x.permute(0, 2, 3, 1)[batch, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


def random_flip_and_shift(x: Tensor, flip: bool, shift: float) -> Tensor:
    """Images as a generator may learn them, which would copy an edge that is repeated: mirrored left to right with
    probability 1/2 if `flip`, and moved by up to `shift` of the side."""
    return random_shift(random_flip(x) if flip else x, round(shift * x.shape[3]), mirrored=True)


def check_shift(share: float) -> None:
    """Raises UserError where a share of the side that images are moved by is none."""
    if not 0 <= share <= 0.5:
        raise UserError(f"shift is {share}; it is a share of the side from 0 to 0.5.")


def diff_augment(x: Tensor) -> Tensor:
    """Differentiable augmentation: colour, translation up to 1/8, cutout of 1/2 (Zhao 2020, section 3.2).

    The same kind of change for real and generated images keeps a discriminator from memorising a small set.
    """
    return _cutout(_translate(_colour(x)))


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
    framed = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)  # what moves in is the mean grey, 0
    return framed[torch.arange(b, device=x.device).view(b, 1, 1), rows, columns].permute(0, 3, 1, 2)


def _cutout(x: Tensor) -> Tensor:
    b, _, h, w = x.shape
    cy = torch.randint(0, h + 1, (b, 1, 1), device=x.device)
    cx = torch.randint(0, w + 1, (b, 1, 1), device=x.device)
    rows = (torch.arange(h, device=x.device).view(1, h, 1) - cy + h // 4) // (2 * (h // 4)) == 0
    columns = (torch.arange(w, device=x.device).view(1, 1, w) - cx + w // 4) // (2 * (w // 4)) == 0
    return x * ~(rows & columns).unsqueeze(1)


def cropped(sides: list[Tensor], size: int) -> list[Tensor]:
    """The same square of `size` pixels, at a random place, out of each of [B,C,H,W], another for each item."""
    b, _, h, w = sides[0].shape
    if (h, w) == (size, size):
        return sides
    top = torch.randint(0, h - size + 1, (b,), device=sides[0].device)
    left = torch.randint(0, w - size + 1, (b,), device=sides[0].device)
    reach = torch.arange(size, device=sides[0].device)
    rows, columns = (top[:, None] + reach)[:, :, None], (left[:, None] + reach)[:, None, :]
    which = torch.arange(b, device=sides[0].device)[:, None, None]
    return [x.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2).contiguous() for x in sides]


def flipped(sides: list[Tensor]) -> list[Tensor]:
    """All sides of an item mirrored left to right together, with probability 1/2."""
    chosen = torch.rand(len(sides[0]), 1, 1, 1, device=sides[0].device) < 0.5
    return [torch.where(chosen, x.flip(3), x) for x in sides]
