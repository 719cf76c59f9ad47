"""An image of lines of text, for samples and pages."""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Sequence

import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont

from reverie.media.image import Image
from reverie.utils.fonts import font_file, system_fonts

SIZE, LINE, MARGIN, WIDTH = 16, 24, 12, 960
"""pixels: of letters, from line to line, around, and at most across"""
WIDE = (
    "notosanscjk", "notoserifcjk", "notosanssc", "sourcehansans", "wqy", "droidsansfallback", "msyh", "simsun",
    "simhei", "pingfang", "hiragino", "stheiti", "songti", "uming", "ukai", "arialuni", "malgun", "yugoth",
)  # fmt: skip
"""fonts of common systems that have Chinese and Japanese characters, which DejaVu has not"""


def text_sheet(lines: Sequence[str], title: str = "") -> Image:
    """The lines one under another, black on white; one that is too long for the sheet ends in an ellipsis.

    The whole lines are its companion: text that is written beside it.
    """
    shown = [title, *lines] if title else list(lines)
    font = _font(any(ord(character) > 0x2E7F for line in shown for character in line))
    shown = [_fit(line, font) for line in shown]
    across = max((int(font.getlength(line)) for line in shown), default=0)
    ground = PIL.Image.new("L", (min(WIDTH, across) + 2 * MARGIN, LINE * max(1, len(shown)) + 2 * MARGIN), 255)
    pen = ImageDraw.Draw(ground)
    for i, line in enumerate(shown):
        pen.text((MARGIN, MARGIN + i * LINE), line, fill=96 if title and i == 0 else 0, font=font)
    content = "".join(f"{line}\n" for line in lines)
    return Image(np.asarray(ground)[:, :, None].copy(), companions={".txt": content.encode()})


def _fit(line: str, font: ImageFont.FreeTypeFont) -> str:
    short = line[:WIDTH]  # no letter is narrower than a pixel; the rest of a very long line is not even measured
    if len(line) <= WIDTH and font.getlength(line) <= WIDTH:
        return line
    fits = bisect.bisect_right(
        range(len(short)), WIDTH, key=lambda n: math.ceil(font.getlength(f"{short[: n + 1]} ..."))
    )
    return f"{short[:fits]} ..."


@functools.cache
def _font(wide: bool) -> ImageFont.FreeTypeFont:
    """A font of SIZE pixels; wide: with Chinese and Japanese characters, if this machine has one (else: boxes)."""
    if wide:
        files = {_normal(file.stem): file for file in system_fonts()}
        for known in WIDE:
            for name, file in files.items():
                if name.startswith(known):
                    return ImageFont.truetype(str(file), SIZE)
    return ImageFont.truetype(str(font_file("DejaVuSans")), SIZE)


def _normal(name: str) -> str:
    """The name of a font's file in lower case, without hyphens and underscores."""
    return name.lower().replace("-", "").replace("_", "")
