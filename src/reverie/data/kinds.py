"""The kinds of data there are, and which of them a path or a name holds."""

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
    """A kind of data: its class, how it is told from others, and its doctor."""

    data: Any
    """a class with `kind`, `open(spec, split)`, and what Images has for training: prepare, len, batch, facts ..."""
    recognises: Callable[[str], bool]
    """whether a path or a name holds this kind, by names and first bytes alone"""
    inspect: Callable[[str], dict[str, Any]]
    describe: Callable[[dict[str, Any]], str]
    also: tuple[str, ...] = ()
    """other kinds that are taken for it where a method is told how"""


KINDS = (
    Kind(Texts, Texts.recognises, Texts.inspect, Texts.describe),
    Kind(Pairs, Pairs.recognises, Pairs.inspect, Pairs.describe, ("images",)),
    Kind(Unpaired, Unpaired.recognises, Unpaired.inspect, Unpaired.describe, ("pairs",)),
    Kind(ImagePatches, lambda spec: False, images.inspect, images.describe, ("images",)),  # images, otherwise cut
    Kind(MusicDataset, MusicDataset.recognises, MusicDataset.inspect, MusicDataset.describe),
    Kind(Images, lambda spec: True, images.inspect, images.describe),
)
"""in the order in which they are asked: the last takes whatever the others leave"""


def kind_of(spec: str | Path) -> Kind:
    """The kind of data at a path or of a name."""
    return next(kind for kind in KINDS if kind.recognises(str(spec)))


def can_learn_from(data_type: str, kind: str) -> bool:
    """Whether methods that learn from a kind, by the name of its class, can learn from data of another."""
    return any(k.data.__name__ == data_type and kind in (k.data.kind, *k.also) for k in KINDS)


def open_data(spec: str | Path, split: str = "train") -> Any:
    """Data of whatever kind is at a path or of a name: a folder, a zip, idx or CIFAR files, two folders with a comma
    between them, a built-in set such as `letters:5000`, a public one such as `mnist`. Reads headers only; call
    `prepare` to decode. Raises UserError."""
    return kind_of(spec).data.open(spec, split)
