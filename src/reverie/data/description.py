"""Opened data in a line, such as "photos: 1,231 images, 3 classes"."""

from __future__ import annotations

from typing import Any

from reverie.utils.errors import printable
from reverie.utils.formatting import counted

_ITEMS = {"text": "lines", "music": "windows", "paragraphs": "images with paragraphs"}


def describe(data: Any) -> str:
    """The name of opened data, how many items of which kind it has, and how many classes."""
    noun, _, more = _ITEMS.get(data.kind, data.kind).partition(" ")
    count = f"{counted(len(data), noun.removesuffix('s'))} {more}".rstrip()
    if data.kind == "unpaired":
        count = f"{len(data.a):,} + {len(data.b):,} images"
    elif data.kind == "photos" and len(data) != len(data.images):  # they are cut
        count = f"{len(data):,} patches"
    classes = f", {len(data.classes)} classes" if data.classes else ""
    return printable(f"{data.name}: {count}{classes}")


def represent(data: Any) -> str:
    """The `repr` of opened data, as a notebook shows it."""
    return f"<{describe(data)}>"
