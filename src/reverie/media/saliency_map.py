"""A saliency map: where people look in a photo, as an image, and as the density itself."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from reverie.media.photo import Photo
from reverie.utils.atomic_files import replace_bytes

Form = Literal["overlay", "heat", "map", "bias"]
"""overlay: the photo, with colours over it; heat: the colours alone; map: 16 bits of grey, the density / its largest;
bias: as map, of a density that is the centre bias"""
STOPS = np.array([[0, 0, 20], [60, 0, 120], [190, 30, 90], [250, 130, 20], [255, 250, 160]], np.float64)
"""colours of the heat map, from nothing to the most"""
OPACITY = 0.75
"""of the heat map's brightest place over the photo"""


@dataclass(frozen=True, eq=False, repr=False)
class SaliencyMap(Photo):
    """An image of a density, and the density."""

    density: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """float32 [H,W], which sums to 1 over the photo's pixels"""
    writes_density: bool = False
    """whether `save` writes the density beside the image, as NAME.npy"""

    def save(self, path: str | Path) -> Path:
        """As Photo.save; with `writes_density` also NAME.npy, float32."""
        path = super().save(path)
        if self.writes_density:
            buffer = io.BytesIO()
            np.save(buffer, self.density, allow_pickle=False)
            replace_bytes(path.with_suffix(".npy"), buffer.getvalue())
        return path


def draw_saliency(photo: Photo, density: np.ndarray, form: Form, writes_density: bool = False) -> SaliencyMap:
    """A density [H,W] of a photo as an image of that size. An overlay has the photo's alpha, and the profile of its
    colours; the other forms show the density alone."""
    alpha, profile = None, None
    share = density / density.max()
    if form in ("map", "bias"):
        pixels = (share * 65535).round().astype(np.uint16)[:, :, None]
    else:
        heat = _coloured(np.sqrt(share))
        pixels = heat
        if form == "overlay":
            below = photo.image().pixels.astype(np.float64)
            opacity = OPACITY * np.sqrt(share)[:, :, None]
            pixels = below * (1 - opacity) + heat * opacity  # grey photos become coloured
            alpha, profile = photo.alpha_in_8_bits(), photo.profile if photo.pixels.shape[2] == 3 else None
        pixels = pixels.round().astype(np.uint8)
    values = density.astype(np.float32)
    made = SaliencyMap(pixels, alpha, profile=profile, density=values, writes_density=writes_density)
    return made.made_from(photo)


def _coloured(share: np.ndarray) -> np.ndarray:
    """Values [H,W] in 0..1 -> colours float64 [H,W,3] in 0..255."""
    place = np.linspace(0, 1, len(STOPS))
    return np.stack([np.interp(share, place, STOPS[:, c]) for c in range(3)], 2)
