"""Photographs in their own size, learnt from by pieces of them: where the finest detail matters, nothing is resized."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from reverie.data import cache
from reverie.data.archives import Dropped
from reverie.data.file_types import InvalidFile
from reverie.data.images import decode
from reverie.data.images.dataset import Images
from reverie.data.images.records import ImageRecord, nothing_usable
from reverie.utils.errors import UserError

MOST = 20_000
"""pieces that are kept of a set, spread evenly over it"""


class ImagePatches:
    """Square pieces that photographs are cut into, side by side; at the border they overlap.

    Attributes as of Images; `prepare` cuts, `batch` serves pieces, `wholes` goes through the photographs themselves.
    """

    kind = "photos"
    classes: Sequence[str] = ()

    def __init__(self, images: Images) -> None:
        self.images = images
        self.spec, self.name, self.split, self.splits = images.spec, images.name, images.split, images.splits
        self.facts, self.fingerprint = images.facts, images.fingerprint
        self.dropped, self.notes = list(images.dropped), list(images.notes)
        self._rows: cache.CachedArray | None = None

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> ImagePatches:
        """As Images.open."""
        return cls(Images.open(spec, split))

    def prepare(self, size: int, channels: int | None = None) -> ImagePatches:
        """Cuts pieces of `size` pixels a side. Raises UserError if no photograph is as large."""
        channels = self.facts["channels"] if channels is None else channels
        if channels not in (1, 3):
            raise UserError(f"channels must be 1 (grey) or 3 (RGB), not {channels}")
        places: list[tuple[ImageRecord, int, int]] = []
        self.dropped = list(self.images.dropped)
        for item in self.images.items:
            height, width = self.images.shape(item)
            if min(height, width) < size:
                self.dropped.append(Dropped(item.name, f"smaller than {size} pixels a side: {width}x{height}"))
                continue
            places += [(item, top, left) for top in _cuts(height, size) for left in _cuts(width, size)]
        if not places:
            raise UserError(nothing_usable(self.spec, self.dropped))
        total, keep = len(places), min(MOST, len(places))
        places = [places[i * total // keep] for i in range(keep)]
        whole = lru_cache(cache.workers() + 1)(self.images.read_full)

        def draw(i: int) -> np.ndarray:
            item, top, left = places[i]
            pixels = whole(item)
            if pixels.shape[:2] != self.images.shape(item):
                raise InvalidFile(f"another size than its header tells: {pixels.shape[1]}x{pixels.shape[0]}")
            return decode.convert_channels(pixels, channels)[top : top + size, left : left + size]

        key = f"{self.fingerprint}-pieces{size}x{channels}-{keep}-v{decode.VERSION}"
        self._rows = cache.load_or_build(key, [item.name for item, _, _ in places], (size, size, channels), draw)
        faults = {places[i][0].name: why for i, why in self._rows.faults.items()}
        self.dropped += [Dropped(name, why) for name, why in faults.items()]
        if not self._rows.kept:
            raise UserError(nothing_usable(self.spec, self.dropped))
        self.notes = [f"cut into {total} pieces of {size} pixels" + (f", of which {keep} are used" * (keep < total))]
        return self

    def __len__(self) -> int:
        """The number of pieces; before prepare, of photographs."""
        return len(self.images) if self._rows is None else len(self._rows.pixels)

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """ "image": float32 [B,C,size,size] in [-1,1]."""
        pieces = torch.from_numpy(self._ready().pixels[np.asarray(index, np.int64)])
        image = pieces.to(device).permute(0, 3, 1, 2).contiguous()
        return {"image": torch.sub(image, 127.5).div_(127.5)}

    def pixels(self, i: int) -> np.ndarray:
        """Piece i as uint8 [size,size,C], a copy."""
        return np.array(self._ready().pixels[i])

    def full_images(self, most: int, channels: int) -> Iterator[tuple[str, np.ndarray]]:
        """Name and pixels uint8 [H,W,C] of the first photographs that can be read."""
        given = 0
        for item in self.images.items:
            if given == most:
                return
            try:
                pixels = decode.convert_channels(self.images.read_full(item), channels)
            except InvalidFile:
                continue
            given += 1
            yield item.name, pixels

    def _ready(self) -> cache.CachedArray:
        if self._rows is None:
            raise RuntimeError("call prepare(size) before asking for pieces")
        return self._rows


def _cuts(side: int, size: int) -> list[int]:
    """Where pieces begin: side by side, the last one at the border."""
    return [*range(0, side - size, size), side - size]
