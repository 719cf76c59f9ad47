"""What is known of the images of a data set before they are decoded: records, splits, names in natural order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import numpy as np

from reverie.data import file_types
from reverie.data.archives import Dropped
from reverie.data.images.conversion import Levels
from reverie.data.images.decode import ImageHeader


class LocatedFile(NamedTuple):
    """An image file and where it belongs by its path."""

    name: str
    split: str
    folder: str
    """the first-level folder inside the split; "" if there is none"""


class ImageRecord(NamedTuple):
    """One image of a data set."""

    name: str
    """path inside the data set; "FILE#ROW" of an image in an array file"""
    label: int
    """index of its class; -1 if unlabelled"""
    header: ImageHeader
    row: int = -1
    """its row, if it is in an array file; of a synthetic set its number"""


class SplitRecords(NamedTuple):
    """One split of a data set."""

    items: list[ImageRecord]
    """what can be used, as far as headers show"""
    dropped: list[Dropped]
    """what cannot"""
    notes: list[str]
    """remarks for the user"""
    labelled: bool


class Source(Protocol):
    """Where Images gets its images from: files, array files, one domain of a paired set, or a synthetic set."""

    classes: list[str]
    """names of the classes; [] if unlabelled"""
    parts: dict[str, SplitRecords]
    """by split, in the order train, test, val"""
    levels: Levels
    """how values become 8 bits; set by Images, which finds it over all items"""

    def read_square(self, item: ImageRecord, size: int, channels: int) -> np.ndarray:
        """The centre square of an item, resized to uint8 [size,size,channels]. Raises InvalidFile."""

    def read_full(self, item: ImageRecord) -> np.ndarray:
        """All pixels of an item in its own size, uint8 [H,W,C], C = 1 if it is grey. Raises InvalidFile."""

    def close(self) -> None:
        """Let go of files and of arrays read into memory; the other methods may still be called."""


def unique(
    files: Iterable[tuple[str, str, ImageHeader]], dropped: list[Dropped], label: Callable[[str], str]
) -> list[tuple[str, str, ImageHeader]]:
    """The first of all files with the same bytes; the others are added to `dropped`.

    files: name, first-level folder and header of each
    label: first-level folder -> the label that it stands for
    """
    first_of: dict[str, tuple[str, str]] = {}
    kept = []
    for name, folder, header in files:
        original, original_folder = first_of.setdefault(header.sha, (name, folder))
        if original == name:
            kept.append((name, folder, header))
            continue
        reason = f"duplicate: same as {original}"
        if label(folder) != label(original_folder):
            reason += f", which is labelled '{original_folder}'"
        dropped.append(Dropped(name, reason))
    return kept


def nothing_usable(title: str, dropped: list[Dropped]) -> str:
    """The error message for data of which every image was dropped: how many, and the most frequent reason."""
    reasons = [reason_group(drop.reason) for drop in dropped]
    main = max(sorted(set(reasons)), key=reasons.count)
    example = next(drop.name for drop in dropped if reason_group(drop.reason) == main)
    share = f"all {len(reasons)}" if reasons.count(main) == len(reasons) else f"{reasons.count(main)} of them"
    return f"none of the {len(reasons)} images in {title} can be used: {share} '{main}' (such as {example})"


class LabelWarning(str):
    """A warning on how labels were read, which is of no use where nothing is learnt from labels."""


def reason_group(reason: str) -> str:
    """The part of a reason that many files share: "duplicate" of "duplicate: same as a.png"."""
    return reason.partition(":")[0]


def natural_key(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key to sort names in natural order: 2 before 10, letters without regard to case."""
    parts = re.findall(r"\d+|\D+", text)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts], text


def is_image(name: str) -> bool:
    """Whether a file name has the suffix of an image."""
    return name[name.rfind(".") :].lower() in file_types.SUFFIXES  # without Path, which takes a second for 100,000
