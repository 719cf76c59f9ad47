"""The command that lists the methods."""

from __future__ import annotations

import json

from reverie.cli.parser import Parser
from reverie.core import registry

SOURCES = {
    "ImagePatches": "images", "Pairs": "image pairs", "Unpaired": "two sets of images", "Texts": "text",
    "MusicDataset": "MIDI", "Fixations": "images and fixations", "Paragraphs": "images and texts", "": "nothing",
}  # fmt: skip
"""class of data -> what a user has of it, where that is not its name"""


def do_methods(words: list[str]) -> int:
    """Lists the methods, with what each learns from, its presets and its verbs."""
    parser = Parser("methods", "Lists the methods, with the data each learns from, its presets and its verbs.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args, entries = parser.parse(words), registry.list_methods()
    if args.json:
        print(json.dumps({name: vars(entry) for name, entry in entries.items()}))
        return 0
    for name, entry in entries.items():
        print(f"{name:12} {entry.summary}")
        labelled = "labelled " if entry.needs_labels else ""
        source = f"{labelled}{SOURCES.get(entry.data_type, entry.data_type.lower())}"
        source += " in colour" if entry.needs_colour else ""
        print(f"{'':12} learns from {source}; presets {', '.join(entry.presets)}; verbs {', '.join(entry.verbs)}")
    return 0
