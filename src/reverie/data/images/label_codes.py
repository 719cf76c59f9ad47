"""Label codes: how the colours of label maps are kept apart inside a network, and put back into files as they came.

Class ids 0, 1, 2, 3 are four colours that hardly differ: a network that learns levels learns next to nothing of them,
and what lies between two ids is a third one. So a network gets colours that are far apart, and the nearest of them in
what it gives is the label. Colours that are far enough apart already are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.data.images.conversion import convert_channels
from reverie.data.images.label_maps import nearest_colour_indices

MAX_GREY = 4
"""labels that are kept apart by grey levels, at most; more get colours"""
FAR_ENOUGH = 1 / 3
"""share of the distance between the colours of `separated`: a palette whose colours are this far apart is kept"""


@dataclass(frozen=True, eq=False)
class LabelCodes:
    """The labels of a domain: their colours in files, and inside a network."""

    colours: np.ndarray
    """uint8 [K,3], as in files"""
    codes: np.ndarray
    """uint8 [K,3], as a network sees them"""
    grey: bool = False
    """whether files are grey: ids, not colours"""
    bits: int = 8
    """of the files, 8 or 16 a channel"""
    table: bytes | None = None
    """RGB of the palette of the files, if these have one and all the same; else None"""

    @property
    def channels(self) -> int:
        """Channels that the codes take: 1 if all are grey."""
        return 1 if (self.codes == self.codes[:, :1]).all() else 3

    @property
    def recoded(self) -> bool:
        """Whether the network sees other colours than there are in the files."""
        return not np.array_equal(self.colours, self.codes)

    def encode(self, pixels: np.ndarray, channels: int) -> np.ndarray:
        """Label maps [...,C] as in files, of 8 bits or of 16 that hold ids, as codes uint8 [...,channels].

        A colour that is none of the labels', as JPEG makes them, is taken for the nearest.
        """
        if pixels.dtype != np.uint8:
            pixels = (pixels if pixels.max(initial=0) <= 255 else (pixels.astype(np.uint32) + 128) // 257).astype(
                np.uint8
            )
        shape = pixels.shape
        rgb = convert_channels(pixels.reshape(-1, shape[-2], shape[-1]), 3)
        codes = self.codes[self._colour_indices(rgb)]
        if channels == 1 and self.channels == 3:
            codes = convert_channels(codes, 1)
        return codes[..., :channels].reshape(*shape[:-1], channels)

    def _colour_indices(self, rgb: np.ndarray) -> np.ndarray:
        """The row of `colours` of each pixel of uint8 [...,3], or of the nearest where one has another: int64 [...]."""
        palette, wanted = (values.astype(np.int64) @ (65536, 256, 1) for values in (self.colours, rgb))
        order = palette.argsort()
        rows = order[np.searchsorted(palette, wanted, sorter=order).clip(0, len(order) - 1)]
        return rows if (palette[rows] == wanted).all() else nearest_colour_indices(rgb, self.colours)

    def decode(self, levels: np.ndarray) -> np.ndarray:
        """What a network gives, uint8 [H,W,C], as a label map as in files: uint8 or uint16 [H,W,1 or 3]."""
        colours = self.colours[self.indices(levels)]
        colours = colours[..., :1] if self.grey else colours
        return colours.astype(np.uint16) if self.bits == 16 else colours

    def indices(self, levels: np.ndarray) -> np.ndarray:
        """The label of each pixel of what a network gives, uint8 [...,C]: int64 [...], rows of `codes`."""
        if levels.shape[-1] == 1 and self.channels == 1:
            return nearest_colour_indices(np.repeat(levels, 3, -1), self.codes)
        return nearest_colour_indices(convert_channels(levels, 3), self.codes)

    def to_json(self) -> dict[str, Any]:
        """As a dict that JSON can write."""
        return {
            "colours": self.colours.tolist(), "codes": self.codes.tolist(), "grey": self.grey, "bits": self.bits,
            "table": self.table.hex() if self.table else None,
        }  # fmt: skip

    @classmethod
    def of(cls, record: Any) -> LabelCodes | None:
        """What `to_json` has written; None for None."""
        if record is None:
            return None
        colours, codes = (np.array(record[key], np.uint8).reshape(-1, 3) for key in ("colours", "codes"))
        table = bytes.fromhex(record["table"]) if record["table"] else None
        return cls(colours, codes, bool(record["grey"]), int(record["bits"]), table)


def separated(colours: np.ndarray, grey: bool) -> np.ndarray:
    """Colours uint8 [K,3] for labels, far apart; those given where these are far enough apart already.

    The smallest id, or the darkest colour, becomes black. grey: whether the files are.
    """
    count = len(colours)
    order = np.lexsort(colours.T[::-1])
    codes = np.empty_like(colours)
    if grey and count <= MAX_GREY:
        codes[order] = np.linspace(0, 255, count).round().astype(np.uint8)[:, None]
    else:
        codes[order] = _lattice(count)
    return colours if _least_distance(colours) >= FAR_ENOUGH * _least_distance(codes) else codes


def _lattice(count: int) -> np.ndarray:
    """`count` points uint8 [K,3] of the smallest cubic lattice with so many, each the farthest from those before it."""
    steps = 2
    while steps**3 < count:
        steps += 1
    axis = np.linspace(0, 255, steps).round()
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    chosen, distance = [0], np.square(points).sum(1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.square(points - points[chosen[-1]]).sum(1))
    return points[chosen].astype(np.uint8)


def _least_distance(colours: np.ndarray) -> float:
    """The smallest of the largest differences of a channel between two of the colours [K,3]."""
    difference = np.abs(colours[:, None].astype(int) - colours[None].astype(int)).max(2)
    return float((difference + 256 * np.eye(len(colours), dtype=int)).min())
