"""Masks of objects in the photos of a set: files of the photos' names, white inside.   B photos of a set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from reverie.data import cache
from reverie.data.archives import Dropped, FolderTree, ZipTree, is_zip
from reverie.data.images import decode
from reverie.data.images.levels import find_levels
from reverie.data.images.records import ImageRecord, nothing_usable
from reverie.data.images.sources import read, scan
from reverie.utils.errors import UserError, near_miss, printable

INSIDE = 127
"""level of 255 above which a pixel of a mask is inside"""


class ObjectMasks:
    """The masks in a folder or a zip. One has the name of its photo, with any suffix, in the same subfolder; or in any,
    where no other mask has that name."""

    def __init__(self, place: Path, photos: Sequence[ImageRecord]) -> None:
        """photos: those of the set; headers only are read.

        Raises UserError without a mask that can be read, where no photo has one, and where one has another size.
        """
        if not place.is_dir() and not is_zip(place):
            raise UserError(f"{place} is neither a folder nor a zip; give one with masks that have the photos' names.")
        self.place, self.tree = place, FolderTree(place) if place.is_dir() else ZipTree(place)
        headers, dropped = scan(self.tree)
        dropped += [Dropped(name, header.fault) for name, header in headers.items() if header.fault]
        self.headers = {name: header for name, header in headers.items() if not header.fault}
        if not self.headers:
            raise UserError(
                nothing_usable(str(place), dropped) if dropped else f"{place} is empty; put the masks there."
            )
        names = list(self.headers)
        self.levels = find_levels(list(self.headers.values()), lambda i: decode.load_upright(read(self.tree, names[i])))
        digest = hashlib.sha256()
        for name, header in self.headers.items():
            digest.update(f"{name} {header.sha}".encode())
        self.fingerprint = digest.hexdigest()[:16]
        self.note = f"{len(self._of(photos))} of {len(photos)} images have the mask of an object"
        self._pixels = np.zeros((0, 0, 0), bool)

    def prepare(self, photos: Sequence[ImageRecord], size: int) -> list[Dropped]:
        """Decodes the masks of the photos as these are, to squares of `size` pixels. Returns those that are damaged.

        One that is all white or all black there counts as none. Raises UserError.
        """
        of = self._of(photos)
        names = sorted(set(of.values()))
        key = f"{self.fingerprint}-masks{size}-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:16]}"
        rows = cache.load_or_build(
            f"{key}-v{decode.VERSION}", names, (size, size, 1),
            lambda k: decode.decode(read(self.tree, names[k]), size, 1, self.levels),
        )  # fmt: skip
        self.tree.close()
        row_of = {names[k]: row for row, k in enumerate(rows.kept)}
        self._pixels = np.zeros((len(photos), size, size), bool)
        for i, name in of.items():
            if name in row_of:
                levels = rows.pixels[row_of[name]][:, :, 0]
                inside = levels > (0 if levels.max() == 1 else INSIDE)  # one of 0 and 1 among others of 0 and 255
                self._pixels[i] = inside & (not inside.all())
        return [Dropped(names[k], why) for k, why in rows.faults.items()]

    def batch(self, index: np.ndarray) -> np.ndarray:
        """The masks of the photos at B indices, bool [B,H,W]; False everywhere for those that have none."""
        return self._pixels[index]

    def _of(self, photos: Sequence[ImageRecord]) -> dict[int, str]:
        """Number of a photo -> its mask. Raises UserError where there is none, or one has another size."""
        by_path = {str(PurePosixPath(name).with_suffix("")): name for name in self.headers}
        often = Counter(PurePosixPath(path).name for path in by_path)
        by_stem = {PurePosixPath(path).name: name for path, name in by_path.items()}
        by_stem = {stem: name for stem, name in by_stem.items() if often[stem] == 1}
        found: dict[int, str] = {}
        for i, photo in enumerate(photos):
            path = PurePosixPath(photo.name).with_suffix("")
            name = by_path.get(str(path)) or by_stem.get(path.name)
            if name is None:
                continue
            own, shape = photo.header.shape, self.headers[name].shape
            if own != shape:
                raise UserError(
                    f"the mask {printable(name)} is {shape[1]}x{shape[0]} pixels and its photo {own[1]}x{own[0]}; a "
                    "mask has the size of its photo."
                )
            found[i] = name
        if not found:
            first = PurePosixPath(photos[0].name)
            raise UserError(
                f"no mask in {self.place} has the name of a photo; that of {printable(first.name)} is to be "
                f"{printable(first.stem)}.png.{near_miss(first.stem, sorted(often))}"
            )
        return found
