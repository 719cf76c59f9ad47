"""The sections of the figures that an evaluation made: images with a caption."""

from __future__ import annotations

import re

from reverie.report.embedded_image import ROOM
from reverie.report.exhibit import read_exhibit
from reverie.report.html import Section
from reverie.report.run_record import Record
from reverie.report.scores import why_stale
from reverie.report.values import heading, pairs, plain

TITLES = {
    "worst": "Worst cases",
    "translations": "Translations",
    "a-to-b": "From a to b",
    "b-to-a": "From b to a",
    "restored": "Restorations",
    "generated": "Generated items",
    "samples": "Generated items",
    "neighbours": "Nearest training neighbours",
    "interpolation": "Interpolation",
    "reconstruction": "Reconstructions",
}
"""figures in their order on the page, and their titles; others follow under their own names"""


def figures(record: Record) -> list[Section]:
    """A section for each figure that scores.json names."""
    captions = dict(pairs((record.scores or {}).get("figures")))
    names = [name for name in TITLES if name in captions]
    names += sorted(name for name in captions if name not in TITLES and re.fullmatch("[a-z0-9-]+", name))
    return [_figure(record, name, plain(captions[name])) for name in names]


def _figure(record: Record, name: str, caption: str) -> Section:
    file = f"figures/{name}.png"
    content = {
        "caption": caption,
        "stale": why_stale(record),
        "shown": read_exhibit(record.folder / file),
        "file": file,
        "room": ROOM,
    }
    return Section(f"figure-{name}", TITLES.get(name, heading(name)), "figure.html.jinja", content)
