"""A paragraph about an image, and where each of its sentences looked.

S sentences; attention is float32 [S,g,g]: the share that each of g x g cells of the image has in a sentence.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import PIL.Image
from PIL import ImageDraw

from reverie.media.image import Image
from reverie.media.photo import Photo
from reverie.media.saliency_map import draw_saliency
from reverie.media.text import Text, save_texts
from reverie.media.text_image import draw_line, drawable

LARGE, THUMBNAIL, GAP, LINE, LETTERS = 224, 72, 6, 19, 15
"""pixels: sides of an image and of the small ones that show attention, gaps, from line to line, of letters"""
COLUMNS = 76
"""letters of a line of a sheet; of scripts without spaces, half as many"""

INK, FAINT = (0, 0, 0), (110, 110, 110)


@dataclass(frozen=True, eq=False, repr=False)
class Paragraph(Text):
    """A paragraph as one line of text, in sentences, and with what it looked at."""

    COMBINED_WRITERS: ClassVar = {".txt": lambda paragraphs, path: save_paragraphs(paragraphs, path)}

    sentences: tuple[str, ...] = ()
    attention: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1), np.float32))
    """float32 [S,g,g], each of which sums to 1 over the image"""
    photo: Photo | None = None
    """what it is about, where `save` is to write an image of the attention beside it"""

    @classmethod
    def of(
        cls, sentences: Sequence[str], attention: np.ndarray, language: str = "en", photo: Photo | None = None
    ) -> Paragraph:
        """A paragraph of sentences, with spaces between them but in Chinese."""
        line = ("" if language == "zh" else " ").join(sentences)
        return cls(line, sentences=tuple(sentences), attention=attention.astype(np.float32), photo=photo)

    @property
    def details(self) -> dict[str, Any]:
        """What `--json` says of it: the sentences, and the share of each cell in each, row by row."""
        shares = [[[round(float(share), 4) for share in row] for row in cells] for cells in self.attention]
        return {"of": self.source_file, "sentences": list(self.sentences), "attention": shares}

    def save(self, path: str | Path) -> Path:
        """As Text.save; with an image also NAME.attention.png."""
        return save_paragraphs([self], path)


def save_paragraphs(paragraphs: Sequence[Paragraph], path: str | Path) -> Path:
    """As save_texts; of those that have images also NAME.attention.png, never over an image NAME.png of the user."""
    path = save_texts(paragraphs, path)
    shown = [(paragraph.photo, paragraph) for paragraph in paragraphs if paragraph.photo is not None]
    if shown:
        sheet = paragraph_sheet(*zip(*shown, strict=True))
        Image(sheet.pixels, record=paragraphs[0].record).save(path.with_suffix(".attention.png"))
    return path


def paragraph_sheet(photos: Sequence[Photo], paragraphs: Iterable[Paragraph], beside: Sequence[str] = ()) -> Image:
    """Images, and right of each its sentences, each with a small image of where it looked.

    beside: what else to say under each paragraph, such as what a human wrote. All of it is also the sheet's companion:
        text that is written beside it.
    """
    given = list(paragraphs)
    notes = [*beside, *[""] * (len(given) - len(beside))]
    blocks = [_block(*block) for block in zip(photos, given, notes, strict=True)]
    width = max(block.shape[1] for block in blocks)
    padded = [
        np.pad(block, ((0, 2 * GAP), (0, width - block.shape[1]), (0, 0)), constant_values=255) for block in blocks
    ]
    lines = [f"{line}\n" for one, note in zip(given, notes, strict=True) for line in (one.line, note) if line]
    return Image(np.concatenate(padded), companions={".txt": "".join(lines).encode()})


def _block(photo: Photo, paragraph: Paragraph, note: str) -> np.ndarray:
    """One image with its sentences: uint8 [h,w,3]."""
    rgb = photo.image().pil.convert("RGB")
    large = _fitted(rgb, LARGE)
    small = Photo(np.asarray(_fitted(rgb, THUMBNAIL)))
    rows: list[tuple[PIL.Image.Image | None, list[str]]] = []
    for sentence, cells in zip(paragraph.sentences, paragraph.attention, strict=True):
        looked = PIL.Image.fromarray(cells).resize(small.pil.size, PIL.Image.Resampling.BILINEAR)
        density = np.asarray(looked, np.float64).clip(1e-9)
        rows.append((draw_saliency(small, density, "overlay").pil, wrapped(sentence)))
    if note:
        rows.append((None, wrapped(note)))
    heights = [max(THUMBNAIL if drawn else 0, LINE * len(lines)) + GAP for drawn, lines in rows]
    left = LARGE + 2 * GAP
    sheet = PIL.Image.new(
        "RGB", (left + THUMBNAIL + GAP + COLUMNS * LETTERS // 2 + 80, max(LARGE, sum(heights))), "white"
    )
    sheet.paste(large, (0, 0))
    pen, y = ImageDraw.Draw(sheet), 0
    for (drawn, lines), height in zip(rows, heights, strict=True):
        if drawn:
            sheet.paste(drawn, (left, y))
        for k, line in enumerate(lines):
            draw_line(pen, (left + THUMBNAIL + GAP, y + k * LINE), line, INK if drawn else FAINT, LETTERS)
        y += height
    return np.asarray(sheet)


def wrapped(sentence: str) -> list[str]:
    """The lines that a sentence takes on a sheet, without what no font has."""
    sentence = drawable(sentence)
    wide = sum(ord(letter) > 0x2E80 for letter in sentence) > len(sentence) / 2
    return textwrap.wrap(sentence, COLUMNS // 2 if wide else COLUMNS) or [""]


def _fitted(image: PIL.Image.Image, side: int) -> PIL.Image.Image:
    """An image with its longer side `side` pixels."""
    share = side / max(image.size)
    return image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))))
