"""Pairs of pictures: what a translation learns from. Side by side in one file, in two folders, or yet to be made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from reverie.data import cache
from reverie.data.archives import Dropped
from reverie.data.file_types import InvalidFile, UnreadableFile
from reverie.data.images import decode, inspect
from reverie.data.images.dataset import Images
from reverie.data.images.label_maps import complete_palette, find_palette, fit_labels
from reverie.data.images.paired_files import FOUND_IN, PairedFiles, PairedSource, check_some, find
from reverie.utils.errors import UserError, near_miss

VERSION = 1
"""of what is remembered of label maps: another wherever it is found otherwise"""
SHAPES = 0.02
"""by how much the proportions of the two pictures of a pair may differ"""


class Pairs:
    """Pairs (a, b) of square pictures, or single pictures b of which a method makes the inputs itself.

    Attributes as of Images; `facts` has "in_channels" and "out_channels", the channels of a and b, and "native" pixels.
    `palettes` has the colours [K,3] of each side whose pictures are label maps, which are never blended.
    """

    kind = "pairs"
    classes: Sequence[str] = ()

    def __init__(self, spec: str, split: str, a: Images | None, b: Images, palettes: dict[str, np.ndarray]) -> None:
        self.spec, self.name, self.split, self.splits = spec, b.name, split, b.splits
        self.a, self.b, self.palettes = a, b, palettes
        self.facts = {"out_channels": b.facts["channels"], "native": b.facts["native"]}
        if a is not None:
            self.facts["in_channels"] = a.facts["channels"]
        told = "".join(side.fingerprint for side in (a, b) if side is not None)
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()[:16] if a is not None else b.fingerprint
        self.dropped, self.notes = list(b.dropped), list(b.notes)
        self._rows: tuple[np.ndarray, np.ndarray] | None = None
        for side, colours in palettes.items():
            self.notes.append(f"side {side} are label maps of {len(colours)} colours: picked from, never blended")

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> Pairs:
        """Pairs at a path, or at two with a comma between them; or single pictures, as Images opens them.

        Raises UserError if there is nothing of that name, or two sides that do not belong together.
        """
        text, sides = str(spec), find(str(spec))
        if sides is None:
            return cls(text, split, None, Images.open(text, split), {})
        if not sides.paired:
            raise UserError(
                f"{text} has two sides whose files do not belong together: hardly a name is in both. Pairs need the "
                "same names; a translation without pairs (cyclegan) takes them as they are."
            )
        wanted = {"valid": "val", "validation": "val"}.get(split.lower(), split.lower())
        have = [s for s in FOUND_IN if s in sides.splits]
        if wanted not in have:
            raise UserError(f"no split '{split}' in {text}: it has {', '.join(have)}.{near_miss(split, have)}")
        keys = {s: _fitting(sides, s) for s in have}
        check_some(sides, wanted, len(keys[wanted]), text)
        labels = {side: found for i, side in enumerate("ab") if (found := _palette(sides, i, keys))}
        palettes = {side: colours for side, (colours, _) in labels.items()}
        name = Path(text.split(",")[-1]).expanduser().resolve().stem
        a, b = (_side(text, name, wanted, sides, i, keys, palettes.get("ab"[i])) for i in (0, 1))
        pairs = cls(text, wanted, a, b, palettes)
        for side, strays in ((side, strays) for side, (_, strays) in labels.items() if strays):
            pairs.notes.append(
                f"{len(strays)} files of side {side} hold too many colours for label maps ({strays[0]}): each pixel "
                "becomes the nearest colour of the others"
            )
        return pairs

    @classmethod
    def recognises(cls, spec: str) -> bool:
        """Whether there are pairs at a path: two sides whose files belong together."""
        sides = find(spec)
        return sides is not None and sides.paired

    def prepare(self, size: int, degradation: str = "", in_channels: int | None = None, out_channels: int | None = None) -> Pairs:
        """Decodes to squares of `size` pixels; degradation: how a method makes the inputs, "" for pairs that are given.

        Raises UserError if there is nothing to learn from, or too much: pairs, and a way to make them.
        """
        if self.a is None and not degradation:
            raise UserError(
                f"{self.spec} holds single pictures, not pairs: say what the inputs are to be made from them, such as "
                "--degradation grey; or give pictures side by side in one file, or two folders: photos/,maps/."
            )
        if self.a is not None and degradation:
            raise UserError(f"{self.spec} holds pairs already; leave --degradation away.")
        self.b.prepare(size, out_channels)
        if self.a is None:
            self._rows = (np.empty(0, np.int64), np.arange(len(self.b)))
        else:
            self.a.prepare(size, in_channels)
            places = {item.name: i for i, item in enumerate(self.a.items)}
            both = [(places[item.name], i) for i, item in enumerate(self.b.items) if item.name in places]
            rows = np.array(both, np.int64).reshape(-1, 2)
            self._rows = (rows[:, 0], rows[:, 1])
            self.dropped = list(dict.fromkeys([*self.a.dropped, *self.b.dropped]))
        return self

    def __len__(self) -> int:
        """The number of pairs; before prepare, as far as headers tell."""
        return len(self.b) if self._rows is None else len(self._rows[1])

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """ "a" and "b": float32 [B,C,H,W] in [-1,1]; of single pictures "b" alone."""
        rows_a, rows_b = self._ready()
        batch = {"b": self.b.batch(rows_b[index], device)["image"]}
        if self.a is not None:
            batch["a"] = self.a.batch(rows_a[index], device)["image"]
        return batch

    def pixels(self, i: int, side: str = "b") -> np.ndarray:
        """Picture i of a side as uint8 [H,W,C], a copy."""
        rows_a, rows_b = self._ready()
        held = self.a if side == "a" and self.a is not None else self.b
        return held.pixels(int((rows_a if held is self.a else rows_b)[i]))

    def named(self, i: int) -> str:
        """What pair i is called: its file without split and ending."""
        return self.b.items[int(self._ready()[1][i])].name.partition("/")[2]

    def _ready(self) -> tuple[np.ndarray, np.ndarray]:
        if self._rows is None:
            raise RuntimeError("call prepare(size) before asking for pictures")
        return self._rows

    # -- the data doctor -----------------------------------------------------------------------------------------------

    @classmethod
    def inspect(cls, spec: str) -> dict[str, Any]:
        """Findings on pairs: how many, which files have no partner, what was dropped, label maps."""
        first = cls.open(spec)
        parts, unusable = inspect.usable(first)
        return {
            "spec": spec, "name": first.name, "kind": cls.kind, "facts": parts["train"].facts,
            "splits": {split: inspect.split_usage(pairs) for split, pairs in parts.items()},
            "warnings": [f"only {len(p)} pairs in {s}" for s, p in parts.items() if len(p) < inspect.FEW] + unusable,
        }  # fmt: skip

    @classmethod
    def describe(cls, findings: dict[str, Any]) -> str:
        """The findings as text for a person."""
        facts = findings["facts"]
        colour = {1: "grey", 3: "colour"}
        head = f"pairs, a {colour[facts['in_channels']]}, b {colour[facts['out_channels']]}, about {facts['native']} pixels high"
        return inspect.usage_summary(findings, head, "pairs")


def _fitting(sides: PairedFiles, split: str) -> list[str]:
    """The keys whose two pictures can be a pair; what has no partner, or one of other proportions, is dropped."""
    a, b = sides.splits[split]
    dropped, fitting = sides.dropped[split], []
    for files, others, missing in ((a, b, "b"), (b, a, "a")):
        lone = sorted(files.keys() - others.keys())
        dropped += [Dropped(files[key].name, f"no partner on side {missing}") for key in lone]
    for key in sides.matched(split):
        one, other = a[key].header, b[key].header
        turned = [(h.height, h.width) if h.orientation > 4 else (h.width, h.height) for h in (one, other)]
        (w, h), (w2, h2) = turned
        if abs(w * h2 / (h * w2) - 1) > SHAPES:
            dropped.append(Dropped(a[key].name, f"the two of a pair have other proportions: {w}x{h} and {w2}x{h2}"))
        else:
            fitting.append(key)
    return fitting


def _palette(sides: PairedFiles, side: int, keys: dict[str, list[str]]) -> tuple[np.ndarray, list[str]] | None:
    """The colours of a side, if its pictures are label maps, and the names of files that have others besides.

    Remembered by what the files hold: of label maps that keep their colours all are looked at.
    """
    source = PairedSource(sides, side, keys, f"colours {VERSION}", decode.fit)
    told = hashlib.sha256("".join(item.header.sha for part in source.parts.values() for item in part.items).encode())
    place = f"colours {told.hexdigest()}"
    if not (held := cache.load_memo(place)):
        unread = list[str]()
        first = find_palette(picture for _, picture in _pictures(source, unread))
        found = (first.colours, list[str]()) if first else None
        if first and first.exact:
            found = complete_palette(first.colours, _pictures(source, unread))
        held = {"colours": found[0].tolist(), "strays": found[1]} if found else {"colours": [], "strays": []}
        if not unread:  # what cannot be read for a while may hold colours of its own
            cache.save_memo(place, held)
    return (np.array(held["colours"], np.uint8), held["strays"]) if held["colours"] else None


def _pictures(source: PairedSource, unread: list[str]) -> Iterator[tuple[str, Image.Image]]:
    """All usable pictures of a side in RGB, one after another; what cannot be read now is added to `unread`."""
    for name in source.held:
        try:
            yield name, decode.to_8bit(source.picture(name), 3)
        except UnreadableFile:
            unread.append(name)
        except InvalidFile:
            continue


def _side(
    spec: str,
    name: str,
    split: str,
    sides: PairedFiles,
    side: int,
    keys: dict[str, list[str]],
    palette: np.ndarray | None,
) -> Images:
    if palette is None:
        return Images(spec, name, PairedSource(sides, side, keys, "", decode.fit), split)
    mark = f"labels {hashlib.sha256(palette.tobytes()).hexdigest()[:16]}"
    return Images(spec, name, PairedSource(sides, side, keys, mark, partial(_picked, palette)), split)


def _picked(palette: np.ndarray, image: Image.Image, size: int, channels: int) -> np.ndarray:
    pixels = fit_labels(image, size, palette)
    return pixels if channels == 3 else pixels[:, :, :1]
