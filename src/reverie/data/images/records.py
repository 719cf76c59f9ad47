"""What is known of the images of a set: items, splits, and names in their natural order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import numpy as np

from reverie.data import file_types
from reverie.data.archives import Dropped
from reverie.data.images.decode import ImageHeader


class ImageRecord(NamedTuple):
    """One image: its name in the source, its class (-1 if unlabelled), its header, its row if in an array."""

    name: str
    label: int
    head: ImageHeader
    row: int = -1


class SplitRecords(NamedTuple):
    """One split: what can be used as far as headers tell, what cannot, and what is worth saying."""

    items: list[ImageRecord]
    dropped: list[Dropped]
    notes: list[str]
    labelled: bool


class Source(Protocol):
    """What Images needs of a place where images are."""

    classes: list[str]
    parts: dict[str, SplitRecords]  # in the order train, test, val

    def read_square(self, item: ImageRecord, size: int, channels: int) -> np.ndarray:
        """The item as uint8 [size, size, channels]. Raises InvalidFile."""

    def read_full(self, item: ImageRecord) -> np.ndarray:
        """The item in its own size, uint8 [H,W,C]. Raises InvalidFile."""

    def close(self) -> None:
        """Let go of files and of arrays read into memory; draw may still be called."""


def unique(
    files: Iterable[tuple[str, str, ImageHeader]], dropped: list[Dropped], label: Callable[[str], str]
) -> list[tuple[str, str, ImageHeader]]:
    """The files whose bytes did not come before; the others are added to `dropped`."""
    first: dict[str, tuple[str, str]] = {}
    kept = []
    for name, top, head in files:
        twin, home = first.setdefault(head.sha, (name, top))
        if twin == name:
            kept.append((name, top, head))
        else:
            other = f", which is labelled '{home}'" if label(top) != label(home) else ""
            dropped.append(Dropped(name, f"duplicate: same as {twin}{other}"))
    return kept


def nothing_usable(title: str, dropped: list[Dropped]) -> str:
    """The line for a source of which every image was dropped: how many, and the commonest reason."""
    reasons = [group(drop.reason) for drop in dropped]
    worst = max(sorted(set(reasons)), key=reasons.count)
    example = next(drop.name for drop in dropped if group(drop.reason) == worst)
    share = f"all {len(reasons)}" if reasons.count(worst) == len(reasons) else f"{reasons.count(worst)} of them"
    return f"none of the {len(reasons)} images in {title} can be used: {share} '{worst}' (such as {example})"


def group(reason: str) -> str:
    """The part of a reason that many files share: `duplicate: same as a.png` is one of `duplicate`."""
    return reason.partition(":")[0]


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key that sorts class names as people do: 2 before 10, letters without regard to case."""
    pieces = re.findall(r"\d+|\D+", text)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in pieces], text


def is_image(name: str) -> bool:
    """Whether a file's extension is that of an image."""
    return name[name.rfind(".") :].lower() in file_types.SUFFIXES  # not by Path, which takes a second for 100,000
