"""The kinds of data, and which of them a path or a name holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from reverie.data.images import inspect as images
from reverie.data.images.dataset import Images
from reverie.data.images.pairs import Pairs
from reverie.data.images.patches import ImagePatches
from reverie.data.images.unpaired import Unpaired
from reverie.data.music.dataset import MusicDataset
from reverie.data.text.dataset import Texts


class Kind(NamedTuple):
    """A kind of data: its class, how it is recognised, and how `reverie data inspect` reports on it."""

    data: Any
    """the class. It has `kind` (its name in messages), `open(spec, split)`, and what training asks of data: `prepare`,
    `len`, `batch`, `facts`, `classes`, `splits`, `fingerprint`, `dropped`, `notes`"""
    recognises: Callable[[str], bool]
    """whether a path or a name holds this kind, by file names and first bytes alone"""
    inspect: Callable[[str], dict[str, Any]]
    """spec -> report as a dict that json can write. Raises UserError"""
    describe: Callable[[dict[str, Any]], str]
    """that report -> text for the terminal"""
    also_accepts: tuple[str, ...] = ()
    """`kind` of other data that methods of this kind can learn from as well, perhaps with an option of theirs (pix2pix
    makes pairs of single images with --degradation)"""


KINDS = (
    Kind(Texts, Texts.recognises, Texts.inspect, Texts.describe),
    Kind(Pairs, Pairs.recognises, Pairs.inspect, Pairs.describe, ("images",)),
    Kind(Unpaired, Unpaired.recognises, Unpaired.inspect, Unpaired.describe, ("pairs",)),
    Kind(ImagePatches, lambda spec: False, images.inspect, images.describe, ("images",)),  # a method asks for them
    Kind(MusicDataset, MusicDataset.recognises, MusicDataset.inspect, MusicDataset.describe),
    Kind(Images, lambda spec: True, images.inspect, images.describe),
)
"""in the order in which they are asked; the last one accepts whatever the others do not recognise"""


def kind_of(spec: str | Path) -> Kind:
    """The kind of data at a path or of a name. Raises UserError if a file has to be read for that and is damaged."""
    return next(kind for kind in KINDS if kind.recognises(str(spec)))


def can_learn_from(data_type: str, kind: str) -> bool:
    """Whether a method whose `data_type` has the class name `data_type` can learn from data of `kind`.

    >>> can_learn_from("Unpaired", "pairs")
    True
    """
    entries = [entry for entry in KINDS if entry.data.__name__ == data_type]
    return any(kind in (entry.data.kind, *entry.also_accepts) for entry in entries)


def open_data(spec: str | Path, split: str = "train") -> Any:
    """Open data of any kind; only names and headers are read, call `prepare` to decode.

    spec: a folder, a zip, idx or CIFAR files, text or MIDI files, two folders with a comma between them, a built-in set
        such as `letters:5000`, or one to download such as `mnist`
    split: "train", "test" or "val"

    Raises UserError if there is nothing of that name, nothing that can be used, or no such split.
    """
    return kind_of(spec).data.open(spec, split)
