"""Frames as an animated WebP, which browsers show."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from reverie.media import XMP, Photo
from reverie.utils.atomic_files import replace_bytes
from reverie.utils.errors import UserError

FRAMES_PER_SECOND = 12


def save_film(frames: Sequence[Photo], path: Path) -> Path:
    """Writes frames of one size as an animated WebP. Raises UserError if their sizes differ, or there is none."""
    pictures = [frame.pil.convert("RGB") for frame in frames]
    if len({picture.size for picture in pictures}) != 1:
        raise UserError(f"{path} takes frames of one size; give --out a folder.")
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, format="WEBP", save_all=True, append_images=pictures[1:], duration=round(1000 / FRAMES_PER_SECOND),
        loop=0, quality=82, xmp=XMP.encode(),
    )  # fmt: skip
    replace_bytes(path, buffer.getvalue())
    return path
