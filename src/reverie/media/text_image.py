"""An image of lines of text, for samples and pages.

A character is drawn with the first font that has it: ours, or one of this machine. What no font has is named where it
is a sign ("[grinning face]"); lines that are mostly such characters are left to the text beside the image. A box is
never drawn.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont

from reverie.media.image import Image
from reverie.utils.fonts import font_file, system_fonts

SIZE, LINE, MARGIN, WIDTH = 16, 24, 12, 960
"""pixels: of letters, from line to line, around, and at most across"""
ROWS = 20
"""rows of a sheet that one line takes at most"""
KNOWN = (
    "notosanscjk", "notoserifcjk", "notosanssc", "sourcehansans", "wqy", "droidsansfallback", "msyh", "simsun",
    "simhei", "pingfang", "hiragino", "stheiti", "songti", "uming", "ukai", "arialuni", "malgun", "yugoth",
    "notoemoji", "symbola", "seguiemj", "seguisym", "applesymbols", "notosans", "freesans", "unifont",
)  # fmt: skip
"""fonts of common systems with many characters that DejaVu has not: they are looked into first"""
MOST_FONTS = 500
"""fonts of a system that are looked into, at most"""
_MISSING = "\U0010fffe"
"""a character that no font has, and that is drawn as what stands for those"""


def text_sheet(lines: Sequence[str]) -> Image:
    """The lines one under another, black on white; one that is too long for the sheet goes on in the next row.

    The lines themselves are its companion: text that is written beside it.
    """
    rows = [row for line in lines for row in _wrap(drawable(line))]
    across = max((round(_length(row)) for row in rows), default=0)
    size = min(WIDTH, across) + 2 * MARGIN, LINE * max(1, len(rows)) + 2 * MARGIN
    ground = PIL.Image.new("L", size, 255)
    pen = ImageDraw.Draw(ground)
    for i, row in enumerate(rows):
        x = float(MARGIN)
        for run, font in _runs(row):
            pen.text((x, MARGIN + i * LINE), run, fill=0, font=font)
            x += font.getlength(run)
    content = "".join(f"{line}\n" for line in lines)
    return Image(np.asarray(ground)[:, :, None].copy(), companions={".txt": content.encode()})


def draw_line(pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, fill: Any, size: int) -> None:
    """Draws a line `size` pixels high, each character with a font that has it; one that none has as "U+732B"."""
    shown = "".join(c if _font_for(c) else f"U+{ord(c):04X} " for c in text).rstrip()
    x, y = at
    for run, font in _runs(shown):
        scaled = font.font_variant(size=size)
        pen.text((x, y), run, fill, scaled)
        x += scaled.getlength(run)


def drawable(line: str) -> str:
    """The line with what no font has replaced: by names, or by a note where that is most of it."""
    short = line[: ROWS * WIDTH]  # no letter is narrower than a pixel; the rest is not even looked at
    missing = [character for character in short if _font_for(character) is None]
    letters = [character for character in missing if unicodedata.category(character)[0] == "L"]
    if 10 * len(letters) > len(short):
        script = unicodedata.name(letters[0], "unknown").split()[0]
        return f"[{len(line)} characters, {script}: no font of this machine has them; the text beside has the line]"
    return "".join(_name(character) if _font_for(character) is None else character for character in short)


def _name(character: str) -> str:
    """What stands for a character that no font has; "" for one that only changes others, such as a skin tone."""
    if unicodedata.category(character) in ("Cf", "Mn", "Me", "Sk"):
        return ""
    return f"[{unicodedata.name(character, f'U+{ord(character):04X}').lower()}]"


def _wrap(line: str) -> list[str]:
    """The rows of a sheet that a line takes, broken at spaces where that is possible."""
    rows, rest = list[str](), line
    while _length(rest[:WIDTH]) > WIDTH or len(rest) > WIDTH:
        if len(rows) == ROWS - 1:
            rows.append(" ...")
            return rows
        fits = bisect.bisect_right(range(1, WIDTH), WIDTH, key=lambda n: math.ceil(_length(rest[:n])))
        space = rest.rfind(" ", fits // 2, fits + 1)
        cut = space if space > 0 else max(1, fits)
        rows.append(rest[:cut])
        rest = "    " + rest[cut:].lstrip()
    return [*rows, rest]


def _length(row: str) -> float:
    """The width of a row in pixels."""
    return sum(font.getlength(run) for run, font in _runs(row))


def _runs(row: str) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    """The stretches of a row that one font draws."""
    own = _fonts()[0]
    grouped = itertools.groupby(row, key=lambda character: _font_for(character) or own)
    return [("".join(characters), font) for font, characters in grouped]


@functools.lru_cache(100_000)
def _font_for(character: str) -> ImageFont.FreeTypeFont | None:
    """The first font that has a character; None if none has."""
    own = _fonts()[0]
    if character.isspace() or _has(own, character):
        return own
    return next((font for font in _system() if _has(font, character)), None)


def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    """Whether a font draws a character in another way than one that it has not."""
    return _glyph(font, character) != _glyph(font, _MISSING)


def _glyph(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


@functools.cache
def _fonts() -> list[ImageFont.FreeTypeFont]:
    """The fonts that come with reverie and are drawn with."""
    return [ImageFont.truetype(str(font_file("DejaVuSans")), SIZE)]


@functools.cache
def _system() -> list[ImageFont.FreeTypeFont]:
    """The fonts of this machine of SIZE pixels, those of many characters first."""
    ranked = sorted(system_fonts(), key=_rank)[:MOST_FONTS]
    found = []
    for file in ranked:
        try:
            found.append(ImageFont.truetype(str(file), SIZE))
        except (OSError, ValueError):  # damaged, or of bitmaps in other sizes
            continue
    return found


def _rank(file: Path) -> tuple[int, str]:
    name = file.stem.lower().replace("-", "").replace("_", "")
    return next((i for i, known in enumerate(KNOWN) if name.startswith(known)), len(KNOWN)), str(file)
