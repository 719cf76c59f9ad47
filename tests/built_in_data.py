"""A small built-in set for each method, by the kind of data that it learns from."""

from __future__ import annotations

from reverie.core import registry

DATA = {
    "Images": "letters:96",
    "ImagePatches": "shapes:96",
    "Pairs": "shapes:96",
    "Unpaired": "letters:96,shapes:96",
    "Fixations": "gazes:96",
    "Paragraphs": "scenes:96",
    "Texts": "verses:96",
    "MusicDataset": "tunes:16",
}


def data_of(method: str) -> str:
    """The set that a method of that name can be trained on."""
    entry = registry.find(method)
    return "shapes:96" if entry.needs_colour else DATA[entry.data_type]
