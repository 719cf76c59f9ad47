"""Random holes to train inpainting with: brush strokes and boxes.   B batch, H, W pixels; holes [B,1,H,W] bool.

Random numbers are torch's, which the loop seeds at every step. Lengths are in sides of the image, of its shorter one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

STROKES, VERTICES = 6, 6
"""of an image: strokes at most, and straight pieces of each"""
LEAST_WIDTH, MOST_WIDTH = 0.02, 0.12
"""radius of a stroke's brush"""
LEAST_LENGTH, MOST_LENGTH = 0.08, 0.4
"""of a straight piece"""
MOST_TURN = math.pi * 0.6
"""radians between one piece of a stroke and the next"""
BOXES = 3
"""of an image, at most"""
LEAST_BOX, MOST_BOX = 0.12, 0.5
"""sides of a box"""


def random_holes(b: int, height: int, width: int, device: torch.device) -> Tensor:
    """Strokes, boxes, or both, in each image; neither empty nor full."""
    kind = torch.rand(b, 1, 1, 1, device=device)
    strokes, boxes = random_strokes(b, height, width, device), random_boxes(b, height, width, device)
    hole = (strokes & (kind < 0.8)) | (boxes & (kind > 0.6))
    hole[:, :, 0, 0] = False
    hole[:, :, -1, -1] |= ~hole.flatten(1).any(1, keepdim=True)
    return hole


def random_strokes(b: int, height: int, width: int, device: torch.device) -> Tensor:
    """From 1 to STROKES bent strokes of a round brush in each image, each of its own width (after Yu 2018,
    arXiv:1806.03589, algorithm 1, which moves and turns a brush at random)."""
    side = min(height, width)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(b, STROKES, *shape, device=device)

    angle = uniform(0, 2 * math.pi, 1) + uniform(-MOST_TURN, MOST_TURN, VERTICES).cumsum(2)
    steps = side * uniform(LEAST_LENGTH, MOST_LENGTH, VERTICES)[..., None] * torch.stack([angle.sin(), angle.cos()], 3)
    start = uniform(0, 1, 1, 2) * torch.tensor([height, width], device=device)
    ends = start + steps.cumsum(2)  # [B,S,V,2]
    begins = torch.cat([start, ends[:, :, :-1]], 2)
    used = torch.arange(STROKES, device=device) < torch.randint(1, STROKES + 1, (b, 1), device=device)
    radius = torch.where(used, side * uniform(LEAST_WIDTH, MOST_WIDTH), -1.0)
    hole = torch.zeros(b, height, width, dtype=torch.bool, device=device)
    for k in range(STROKES):
        distance = _distance_to_pieces(begins[:, k], ends[:, k], height, width)
        hole |= distance < radius[:, k, None, None]
    return hole[:, None]


def _distance_to_pieces(begins: Tensor, ends: Tensor, height: int, width: int) -> Tensor:
    """Pixels [B,H,W] from each pixel to the nearest of the straight pieces begins-ends [B,V,2]."""
    rows = torch.arange(height, device=begins.device)[:, None] + 0.5
    columns = torch.arange(width, device=begins.device) + 0.5
    nearest = begins.new_full((len(begins), height, width), torch.inf)
    for begin, end in zip(begins.unbind(1), ends.unbind(1), strict=True):
        y, x = begin[:, :1, None], begin[:, 1:, None]
        dy, dx = end[:, :1, None] - y, end[:, 1:, None] - x
        along = (((rows - y) * dy + (columns - x) * dx) / (dy.square() + dx.square())).clamp_(0, 1)
        nearest = torch.minimum(nearest, (rows - y - along * dy).square() + (columns - x - along * dx).square())
    return nearest.sqrt()


def random_boxes(b: int, height: int, width: int, device: torch.device) -> Tensor:
    """From 1 to BOXES upright boxes in each image, anywhere inside."""
    shape, sides = (b, BOXES, 1), []
    for side in (height, width):
        length = side * (LEAST_BOX + (MOST_BOX - LEAST_BOX) * torch.rand(shape, device=device))
        first = torch.rand(shape, device=device) * (side - length)
        at = torch.arange(side, device=device) + 0.5
        sides.append((at > first) & (at < first + length))  # [B,N,side]
    used = torch.arange(BOXES, device=device) < torch.randint(1, BOXES + 1, (b, 1), device=device)
    boxes = sides[0][..., None] & sides[1][:, :, None] & used[..., None, None]
    return boxes.any(1, keepdim=True)


def centre_holes(b: int, height: int, width: int, device: torch.device) -> Tensor:
    """The box of half the height and half the width in the middle of each image (Pathak 2016, arXiv:1604.07379)."""
    hole = torch.zeros(b, 1, height, width, dtype=torch.bool, device=device)
    hole[:, :, height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2] = True
    return hole
