"""The pieces that sections are made of: pictures as data, tables, and values in words. All text is escaped here."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import PIL.Image

from reverie.report.run_record import Record
from reverie.report.style import STYLE

LARGE = 1536  # pixels that a picture on the page has at most
ROOM = 860  # pixels that the column offers a picture


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, its heading, and its body in HTML, all that came from files escaped."""

    anchor: str
    title: str
    body: str


Make = Callable[[Record], Section | None]


def document(title: str, head: str, parts: list[Section], foot: str) -> str:
    """A whole page: the title as text, the head in HTML, links to the sections, the sections, a line at the foot."""
    links = "".join(f'<a href="#{part.anchor}">{escape(part.title)}</a>' for part in parts)
    body = "".join(
        f'<section id="{part.anchor}"><h2>{escape(part.title)}</h2>{part.body}</section>\n' for part in parts
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # Whatever a file holds that is shown, the page loads nothing and runs nothing.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header>{head}<nav>{links}</nav></header>\n<main>\n{body}</main>\n"
        f"<footer>{foot}</footer>\n</body>\n</html>\n"
    )


def picture(path: Path, widest: int = LARGE) -> tuple[str, int, int] | None:
    """(data URI, width, height) of a PNG, made smaller if it is wider than `widest`; None if it cannot be read."""
    try:
        with PIL.Image.open(path, formats=["PNG"]) as opened:
            opened.load()
            if max(opened.size) <= widest:
                data, size = path.read_bytes(), opened.size
            else:
                small = opened.convert("RGB" if opened.mode not in ("L", "RGBA") else opened.mode)
                small.thumbnail((widest, widest))
                held = io.BytesIO()
                small.save(held, "PNG", optimize=True)
                data, size = held.getvalue(), small.size
    except Exception:  # whatever a damaged picture provokes in the reader, the page goes on without it
        return None
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}", *size


def image(drawn: tuple[str, int, int], words: str, room: int = 0) -> str:
    """The picture; in a place `room` pixels wide what is smaller is enlarged by a whole number, to stay sharp."""
    source, width, height = drawn
    look = f' style="max-width:{room // width * width}px"' if width <= room else ""
    return f'<img{look} src="{source}" width="{width}" height="{height}" alt="{escape(words, quote=True)}">'


def table(rows: dict[str, Any], *, code: bool = False) -> str:
    """A table of names and values; what is empty is left out."""
    tag = "code" if code else "span"
    cells = (
        f"<tr><th>{escape(str(key))}</th><td><{tag}>{escape(plain(value))}</{tag}></td></tr>"
        for key, value in rows.items()
        if code or value not in (None, "", [], {})
    )
    return f"<table>{''.join(cells)}</table>"


def plain(value: Any) -> str:
    """A value of a JSON file as people read it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, list):
        more = f" and {len(value) - 24} more" if len(value) > 24 else ""
        return ", ".join(plain(item) for item in value[:24]) + more
    if isinstance(value, dict):
        return ", ".join(f"{words(key)} {plain(item)}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 1000 else str(value)


def pairs(value: Any) -> list[tuple[str, Any]]:
    """The entries of an object of a JSON file, none if it is no object."""
    return [(str(key), item) for key, item in value.items()] if isinstance(value, dict) else []


def items(value: Any) -> list[Any]:
    """The items of a list of a JSON file, none if it is no list."""
    return value if isinstance(value, list) else []


def words(name: str) -> str:
    """A name of the code as people write it."""
    return name.replace("_", " ").replace("-", " ")


def machine(about: dict[str, Any]) -> str:
    """A machine in words: its counts with what they count."""

    def told(key: str, value: Any) -> str:
        return f"{plain(value)} {key[:-1] if value == 1 else key}" if key in ("threads", "ranks") else plain(value)

    return ", ".join(told(key, value) for key, value in about.items())


def clock(seconds: float) -> str:
    """A duration as people say it: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
