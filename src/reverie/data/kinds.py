"""The kinds of data there are, and which of them a path or a name holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from . import inspect as images
from .images import Images
from .music import Tunes
from .pairs import Pairs
from .photos import Photos
from .text import Texts
from .unpaired import Unpaired


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
    Kind(Photos, lambda spec: False, images.inspect, images.describe, ("images",)),  # images, otherwise cut
    Kind(Tunes, Tunes.recognises, Tunes.inspect, Tunes.describe),
    Kind(Images, lambda spec: True, images.inspect, images.describe),
)
"""in the order in which they are asked: the last takes whatever the others leave"""


def kind_of(spec: str | Path) -> Kind:
    """The kind of data at a path or of a name."""
    return next(kind for kind in KINDS if kind.recognises(str(spec)))


def takes(learns_from: str, kind: str) -> bool:
    """Whether methods that learn from a kind, by the name of its class, can learn from data of another."""
    return any(k.data.__name__ == learns_from and kind in (k.data.kind, *k.also) for k in KINDS)
