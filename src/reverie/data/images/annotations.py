"""Boxes and outlines beside images, of the layouts of detection sets, which are not read: named, so that nobody waits
for them to be used."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence

from reverie.data.archives import FileTree
from reverie.data.file_types import InvalidFile

LOOKED_AT = 4096
"""bytes of a file that are looked at"""
TRIED = 50
"""files of a suffix whose names are compared with those of the images"""
_YOLO = re.compile(rb"\s*\d+( +-?[\d.]+(e-?\d+)?){4,}\s*(\n|$)")
_JSON = (b'"annotations"', b'"categories"', b'"shapes"', b'"imagePath"', b'"segmentation"', b'"images"')


def find_annotations(images: Iterable[str], others: Sequence[str], tree: FileTree) -> str:
    """Which files hold boxes or outlines: "labels/1.txt and 47 more hold boxes (YOLO)"; "" if there are none."""
    stems = {_stem(name) for name in images}
    for suffix, layout in ((".xml", "Pascal VOC"), (".txt", "YOLO"), (".json", "COCO or LabelMe")):
        names = sorted(name for name in others if name.lower().endswith(suffix))
        if suffix == ".json":
            names = names[:TRIED]
        else:
            tried = names[:: -(-len(names) // TRIED)] if names else []
            if 2 * sum(_stem(name) in stems for name in tried) < len(tried):
                continue
            names = [name for name in names if _stem(name) in stems]
        for i, name in enumerate(names[:TRIED]):
            if _has_boxes(name, suffix, tree):
                more = f" and {len(names) - i - 1} more hold" if len(names) - i > 1 else " holds"
                return f"{name}{more} boxes or outlines ({layout})"
    return ""


def _has_boxes(name: str, suffix: str, tree: FileTree) -> bool:
    with contextlib.suppress(InvalidFile):
        head = tree.head(name, LOOKED_AT)
        if suffix == ".xml":
            return b"<annotation" in head
        return bool(_YOLO.match(head)) if suffix == ".txt" else any(key in head for key in _JSON)
    return False


def _stem(name: str) -> str:
    last = name[name.rfind("/") + 1 :]
    return last.rpartition(".")[0] or last
