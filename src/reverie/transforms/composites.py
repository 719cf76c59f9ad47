"""Composites whose truth is known: a part of a photo in another exposure, pasted back into the photo.

B batch, C channels, H, W pixels; images [B,C,H,W] in [-1,1]. Random numbers are torch's, which the loop seeds at every
step.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

GAIN, TINT, GAMMA, OFFSET = 0.3, 0.08, 0.4, 0.08
"""of another exposure: gain 1 +- GAIN; each channel's gain by a normal logarithm of sigma TINT (white balance); the
logarithm of gamma within +- GAMMA; each channel's offset within +- OFFSET, all of levels in [0,1]"""
LEAST_RADIUS, MOST_RADIUS, ROUGHNESS = 0.2, 0.45, 0.35
"""of a random shape: radii in sides of the image, and how far noise moves its outline, in radii"""
NOISE_GRID = 8
"""pixels a side of the noise, enlarged smoothly"""


def random_exposure(x: Tensor) -> Tensor:
    """Each image as another exposure of the same scene: gain, white balance, gamma and offset, clipped."""
    b, c = x.shape[:2]

    def uniform(reach: float, channels: int) -> Tensor:
        return reach * (2 * torch.rand(b, channels, 1, 1, device=x.device) - 1)

    gain = (1 + uniform(GAIN, 1)) * torch.exp(TINT * torch.randn(b, c, 1, 1, device=x.device))
    level = ((x + 1) / 2).clamp(1e-4, 1)
    return (gain * level ** uniform(GAMMA, 1).exp() + uniform(OFFSET, c)).clamp(0, 1) * 2 - 1


def random_shapes(b: int, height: int, width: int, device: torch.device) -> Tensor:
    """Masks [B,1,H,W] bool: an ellipse with a rough outline each, anywhere; neither empty nor full."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(b, 1, 1, device=device)

    rows = (torch.arange(height, device=device)[:, None] + 0.5) / height - uniform(0.25, 0.75)
    columns = (torch.arange(width, device=device) + 0.5) / width - uniform(0.25, 0.75)
    angle, along, across = uniform(0, math.pi), uniform(LEAST_RADIUS, MOST_RADIUS), uniform(LEAST_RADIUS, MOST_RADIUS)
    first = (rows * angle.sin() + columns * angle.cos()) / along
    second = (rows * angle.cos() - columns * angle.sin()) / across
    noise = torch.randn(b, 1, NOISE_GRID, NOISE_GRID, device=device)
    noise = F.interpolate(noise, (height, width), mode="bicubic", align_corners=False)[:, 0]
    distance = (first.square() + second.square()).sqrt()
    shape = (distance + ROUGHNESS * noise < 1) | (distance < 0.3)
    shape[:, 0, :] = shape[:, -1, :] = False  # so that something of each image is known, and all borders at times
    return shape[:, None]
