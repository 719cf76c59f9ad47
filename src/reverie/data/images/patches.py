"""Patches of photographs in their own size: nothing is resized, for methods that need the finest detail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from reverie.data import cache
from reverie.data.archives import Dropped
from reverie.data.description import represent
from reverie.data.file_types import InvalidFile
from reverie.data.images import conversion, decode
from reverie.data.images.dataset import Images
from reverie.data.images.levels import level_warnings
from reverie.data.images.records import ImageRecord, LabelWarning, nothing_usable
from reverie.utils.errors import UserError

MAX_PATCHES = 20_000
"""patches that are used of a data set, evenly spaced over all of them"""


class ImagePatches:
    """Square patches that photographs are cut into, side by side; the last ones at the border overlap.

    `prepare` cuts, `batch` serves patches, `full_images` yields the photographs themselves. Attributes as of Images.
    """

    kind = "photos"
    __repr__ = represent
    classes: Sequence[str] = ()

    def __init__(self, images: Images) -> None:
        self.images = images
        self.spec, self.name, self.split, self.splits = images.spec, images.name, images.split, images.splits
        self.facts, self.fingerprint = images.facts, images.fingerprint
        self.dropped, self.notes = list(images.dropped), list(images.notes)
        self._read_warnings = [warning for warning in images.warnings if not isinstance(warning, LabelWarning)]
        self.warnings = list(self._read_warnings)
        self._rows: cache.CachedArray | None = None

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> ImagePatches:
        """As Images.open, with the same errors."""
        return cls(Images.open(spec, split))

    def prepare(self, size: int, channels: int | None = None) -> ImagePatches:
        """Cut patches of `size` pixels a side, or find them in the cache, and return self.

        channels: 1 or 3; None: facts["channels"]

        Raises UserError if no photograph is large enough, or the cache cannot be written.
        """
        channels = self.facts["channels"] if channels is None else channels
        if channels not in (1, 3):
            raise UserError(f"channels must be 1 (grey) or 3 (RGB), not {channels}")
        positions: list[tuple[ImageRecord, int, int]] = []
        self.dropped = list(self.images.dropped)
        for item in self.images.items:
            height, width = self.images.full_shape(item)
            if min(height, width) < size:
                self.dropped.append(Dropped(item.name, f"smaller than {size} pixels a side: {width}x{height}"))
                continue
            positions += [(item, top, left) for top in _offsets(height, size) for left in _offsets(width, size)]
        if not positions:
            raise UserError(f"{nothing_usable(self.spec, self.dropped)}; give larger ones, or a smaller --size.")
        total, keep = len(positions), min(MAX_PATCHES, len(positions))
        positions = [positions[i * total // keep] for i in range(keep)]
        read_full = lru_cache(cache.workers() + 1)(self.images.read_full)  # consecutive patches are of one photograph

        def cut(i: int) -> np.ndarray:
            item, top, left = positions[i]
            pixels = read_full(item)
            if pixels.shape[:2] != self.images.full_shape(item):
                raise InvalidFile(f"another size than its header says: {pixels.shape[1]}x{pixels.shape[0]}")
            return conversion.convert_channels(pixels, channels)[top : top + size, left : left + size]

        key = f"{self.fingerprint}-patches{size}x{channels}-{keep}-v{decode.VERSION}"
        self._rows = cache.load_or_build(key, [item.name for item, _, _ in positions], (size, size, channels), cut)
        faults = {positions[i][0].name: why for i, why in self._rows.faults.items()}
        self.dropped += [Dropped(name, why) for name, why in faults.items()]
        if not self._rows.kept:
            raise UserError(nothing_usable(self.spec, self.dropped))
        used = f", of which {keep} are used" if keep < total else ""
        self.warnings = self._read_warnings + level_warnings(self._rows.pixels)
        self.notes = [f"cut into {total} patches of {size} pixels{used}"]
        return self

    def __len__(self) -> int:
        """The number of patches; before `prepare`, of photographs."""
        return len(self.images) if self._rows is None else len(self._rows.pixels)

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """The patches at B indices: "image" float32 [B,C,size,size] in [-1,1]."""
        patches = torch.from_numpy(self._ready().pixels[np.asarray(index, np.int64)])
        image = patches.to(device).permute(0, 3, 1, 2).contiguous()
        return {"image": torch.sub(image, 127.5).div_(127.5)}

    def pixels(self, i: int) -> np.ndarray:
        """Patch i as uint8 [size,size,C], a copy."""
        return np.array(self._ready().pixels[i])

    def full_images(self, limit: int, channels: int | None) -> Iterator[tuple[str, np.ndarray]]:
        """Name and pixels uint8 [H,W,channels] of the first `limit` photographs that can be decoded.

        channels: 1 or 3; None: as each file has them
        """
        yielded = 0
        for item in self.images.items:
            if yielded == limit:
                return
            try:
                pixels = self.images.read_full(item)
                pixels = pixels if channels is None else conversion.convert_channels(pixels, channels)
            except InvalidFile:
                continue
            yielded += 1
            yield item.name, pixels

    def _ready(self) -> cache.CachedArray:
        if self._rows is None:
            raise RuntimeError("call prepare(size) before asking for patches")
        return self._rows


def _offsets(side: int, size: int) -> list[int]:
    """Where patches begin along a side: one after another, the last one at the border."""
    return [*range(0, side - size, size), side - size]
