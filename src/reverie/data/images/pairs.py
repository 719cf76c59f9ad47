"""Pairs of images, for image-to-image translation: side by side in one file, in two folders, or yet to be made."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from reverie.data import cache
from reverie.data.archives import Dropped
from reverie.data.data_spec import DataSpec
from reverie.data.description import represent
from reverie.data.file_types import InvalidFile, UnreadableFile
from reverie.data.images import decode, inspect
from reverie.data.images.conversion import DEFAULT, Levels, to_8bit
from reverie.data.images.dataset import Images, levels_of
from reverie.data.images.from_python import MemorySource
from reverie.data.images.label_codes import LabelCodes
from reverie.data.images.label_maps import complete_palette, find_palette, fit_labels
from reverie.data.images.likely_pairs import likely_pairs
from reverie.data.images.paired_files import (
    DOMAINS,
    NEAR,
    SIDE_TOLERANCE,
    SPLIT_ORDER,
    PairedFiles,
    PairedSource,
    check_not_empty,
    find_paired_files,
    pair_folders,
    two_paths,
)
from reverie.data.python_data import PythonData
from reverie.data.splits import standard_split
from reverie.utils.errors import UserError

PALETTE_VERSION = 3
"""part of the key that palettes are cached under: raise it whenever other colours would be found"""
ASPECT_TOLERANCE = 0.02
"""by how much the aspect ratios of the two images of a pair may differ, relative"""


class LabelPalette(NamedTuple):
    """The colours of a domain whose images are label maps."""

    colours: np.ndarray
    """uint8 [K,3]"""
    outliers: list[str]
    """names of files with too many colours for a label map"""


class Pairs:
    """Pairs (a, b) of square images; or single images b, of which a method makes the inputs a itself.

    Attributes as of Images, and:
        a, b: the Images of the two domains; a is None for single images.
        facts: "in_channels" (absent for single images) and "out_channels", the channels of a and b, and "native", the
            median short side of b in pixels.
        palettes: "a" or "b" -> colours uint8 [K,3], of each domain whose images are label maps; these are resized by
            picking pixels, never by blending them.
        codes: the same domains -> how a network is to tell their labels apart; batches have these, `pixels` the colours
            of the files; also in facts["labels"].
    """

    kind = "pairs"
    __repr__ = represent
    classes: Sequence[str] = ()

    def __init__(self, spec: str, split: str, a: Images | None, b: Images, palettes: dict[str, np.ndarray]) -> None:
        self.spec, self.name, self.split, self.splits = spec, b.name, split, b.splits
        self.a, self.b, self.palettes = a, b, palettes
        self.facts: dict[str, Any] = {"out_channels": b.facts["channels"], "native": b.facts["native"]}
        self.fingerprint = b.fingerprint
        if a is not None:
            self.facts["in_channels"] = a.facts["channels"]
            self.fingerprint = hashlib.sha256(f"{a.fingerprint}{b.fingerprint}".encode()).hexdigest()[:16]
        self.dropped, self.notes, self.warnings = list(b.dropped), list(b.notes), list(b.warnings)
        self._rows: tuple[np.ndarray, np.ndarray] | None = None
        self._channels: dict[str, int | None] = {"a": None, "b": None}
        self.codes: dict[str, LabelCodes] = {}
        for domain, colours in palettes.items():
            images = b if domain == "b" or a is None else a
            codes = self.codes[domain] = images.label_codes(colours)
            note = f"domain {domain}: label maps of {len(colours)} colours, resized without blending them"
            if codes.recoded:
                self.facts["out_channels" if domain == "b" else "in_channels"] = codes.channels
                note += "; as they hardly differ, a network sees colours that are far apart, and outputs are put back"
            note += "; pix2pix learns their classes where they are its targets"
            self.notes.append(note)
        if levels := {d: i.levels.to_json() for d, i in (("a", a), ("b", b)) if i is not None and i.levels != DEFAULT}:
            self.facts["levels"] = levels
        if self.codes:
            self.facts["labels"] = {domain: codes.to_json() for domain, codes in self.codes.items()}

    @classmethod
    def open(cls, spec: str | Path, split: str = "train") -> Pairs:
        """Pairs at a path, or at two with a comma between them; or single images, as Images.open finds them.

        Only names and headers are read, except that some images are decoded to find out whether they are label maps.
        Raises UserError if there is nothing of that name, no such split, no usable pair, or two domains whose files
        have different names.
        """
        text = DataSpec(spec)
        if isinstance(text, PythonData):
            split = standard_split(split)
            text.check_pairs()
            sides = (0, 1) if text.has_pairs else (0,)
            in_memory = [MemorySource(text, side) for side in sides]
            colours = map(_memory_palette, in_memory) if text.has_pairs else ()
            in_domain = {domain: some for domain, some in zip(DOMAINS, colours, strict=False) if some is not None}
            opened = [Images(text, "pairs in memory", source, split) for source in in_memory]
            return cls(text, split, opened[0] if text.has_pairs else None, opened[-1], in_domain)
        files = find_paired_files(text)
        if files is None:
            single = cls(text, split, None, Images.open(text, split), {})
            if text.pairing == "auto":
                single.warnings += near_pairs(single.b)
            return single
        files = files.match()
        if not files.perhaps_paired:
            raise UserError(
                f"{text} has two domains, but few files of the same name in both: without a partner are "
                f"{files.unmatched()}; to translate without pairs, train cyclegan."
            )
        split = files.find_split(split, text)
        keys = {known: _pairable(files, known) for known in SPLIT_ORDER if known in files.splits}
        check_not_empty(files, split, len(keys[split]), text)
        label_palettes: dict[str, LabelPalette] = {}
        for i, domain in enumerate(DOMAINS):
            if (found := _label_palette(files, i, keys)) is not None:
                label_palettes[domain] = found
        palettes = {domain: found.colours for domain, found in label_palettes.items()}
        name = Path(text.split(",")[-1]).expanduser().resolve().stem
        sources = (_source(files, i, keys, palettes.get(domain)) for i, domain in enumerate(DOMAINS))
        a, b = [Images(text, name, source, split) for source in sources]
        pairs = cls(text, split, None, b, {}) if text.pairing == "targets" else cls(text, split, a, b, palettes)
        pairs.warnings += files.warnings
        for domain, found in label_palettes.items():
            if found.outliers:
                pairs.notes.append(
                    f"domain {domain}: {len(found.outliers)} files have too many colours for label maps, such as "
                    f"{found.outliers[0]}: each pixel becomes the nearest colour of the others"
                )
        return pairs

    @classmethod
    def recognises(cls, spec: str) -> bool:
        """Whether there are pairs at a path: two domains with files of the same names. Raises UserError."""
        files = find_paired_files(spec)
        return files is not None and files.match().paired

    @classmethod
    def restate(cls, spec: str | Path, options: dict[str, Any]) -> DataSpec:
        """The spec as it is to be opened for a method that was given these options: an option goes before a guess.

        With --degradation, inputs are made; so what would be guessed to be pairs by its shape is single images, and of
        pairs that were stated, or that folders show, only the second images are taken.
        """
        text = DataSpec(spec)
        if not options.get("degradation") or text.pairing in ("none", "targets") or two_paths(text):
            return text
        files = find_paired_files(text)
        if files is None:
            return DataSpec(text, pairing="none") if near_pairs(Images.open(text)) else text
        if text.pairing == "auto" and files.side_by_side:
            return DataSpec(text, pairing="none")
        return DataSpec(text, pairing="targets")

    def prepare(
        self, size: int, degradation: str = "", in_channels: int | None = None, out_channels: int | None = None
    ) -> Pairs:
        """Decode to squares of `size` pixels, or find them in the cache, and return self.

        degradation: how the method makes inputs of single images; "" for data that has pairs
        in_channels, out_channels: of a and b, 1 or 3; None: as in the files

        Raises UserError for single images without a degradation, for pairs with one, and as Images.prepare does.
        """
        if near := self.maybe_pairs:
            raise UserError(f"{self.spec} {near[0]}.")
        if self.a is None and not degradation:
            raise UserError(
                f"{self.spec} holds single images, not pairs: {self.how_to_pair}; or name a way to make inputs of "
                "them, such as --degradation grey."
            )
        if self.a is not None and degradation:
            raise UserError(f"{self.spec} holds pairs already; leave out --degradation, or {self.how_to_unpair}.")
        self._channels = {"a": in_channels, "b": out_channels}
        self.b.prepare(size, None if self._recoded("b") else out_channels)
        if self.a is None:
            self._rows = (np.empty(0, np.int64), np.arange(len(self.b)))
        else:
            self.a.prepare(size, None if self._recoded("a") else in_channels)
            row_of = {item.name: row for row, item in enumerate(self.a.items)}
            matched = [(row_of[item.name], row) for row, item in enumerate(self.b.items) if item.name in row_of]
            rows = np.array(matched, np.int64).reshape(-1, 2)
            self._rows = (rows[:, 0], rows[:, 1])
            self.dropped = list(dict.fromkeys([*self.a.dropped, *self.b.dropped]))
        sides = (("a", self.a), ("b", self.b))
        found = [f"domain {d}: {w}" for d, i in sides if i is not None and not self._recoded(d) for w in i.warnings]
        self.warnings = list(dict.fromkeys([*self.warnings, *found]))
        return self

    @property
    def maybe_pairs(self) -> list[str]:
        """A warning where what was taken for single images may be pairs side by side; else []."""
        guessed = self.a is None and getattr(self.spec, "pairing", "auto") == "auto"
        return near_pairs(self.b) if guessed else []

    @property
    def how_to_pair(self) -> str:
        """How pairs are given in the place of these single images."""
        if isinstance(self.spec, PythonData):
            return "give a list of (input, target), or (inputs, targets)"
        if pair_folders(self.spec):
            return "if its two folders hold the two images of each pair, --pairing folders says so"
        if isinstance(self.spec, DataSpec) and (likely := likely_pairs(self.spec, self.b.items)):
            return likely[0]
        return "give images side by side in one file, or two folders: photos/,maps/"

    @property
    def how_to_unpair(self) -> str:
        """How single images are given in the place of these pairs."""
        if isinstance(self.spec, PythonData):
            return "give the targets alone"
        if two_paths(self.spec):
            return "give one of the two places"
        return "say --pairing none to take the images whole, --pairing targets to take the second ones alone"

    def __len__(self) -> int:
        """The number of pairs; before `prepare`, as far as headers show."""
        return len(self.b) if self._rows is None else len(self._rows[1])

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """The pairs at B indices: "a" and "b" float32 [B,C,H,W] in [-1,1]; of single images only "b"."""
        rows_a, rows_b = self._ready()
        batch = {"b": self._side("b", self.b, rows_b[index], device)}
        if self.a is not None:
            batch["a"] = self._side("a", self.a, rows_a[index], device)
        return batch

    def _side(self, domain: str, images: Images, rows: np.ndarray, device: str | torch.device) -> torch.Tensor:
        """Images of a domain float32 [B,C,H,W] in [-1,1], label maps in their codes."""
        if self._recoded(domain) is None:
            return images.batch(rows, device)["image"]
        x = torch.from_numpy(self.coded(images.array[rows], domain)).to(device).permute(0, 3, 1, 2).contiguous()
        return torch.sub(x, 127.5).div_(127.5)

    def coded(self, pixels: np.ndarray, domain: str) -> np.ndarray:
        """Images uint8 [...,C] of a domain as a network sees them: label maps in their codes, others as they are."""
        codes = self._recoded(domain)
        return pixels if codes is None else codes.encode(pixels, self._channels[domain] or codes.channels)

    def _recoded(self, domain: str) -> LabelCodes | None:
        """The codes of a domain of label maps whose colours are others inside a network."""
        codes = self.codes.get(domain)
        return codes if codes is not None and codes.recoded else None

    def pixels(self, i: int, domain: str = "b") -> np.ndarray:
        """The image of pair i in domain "a" or "b" as uint8 [H,W,C], a copy; of single images always b."""
        rows_a, rows_b = self._ready()
        if domain == "a" and self.a is not None:
            return self.a.pixels(int(rows_a[i]))
        return self.b.pixels(int(rows_b[i]))

    def _ready(self) -> tuple[np.ndarray, np.ndarray]:
        if self._rows is None:
            raise RuntimeError("call prepare(size) before asking for images")
        return self._rows

    # -- reverie data inspect ------------------------------------------------------------------------------------------

    @classmethod
    def inspect(cls, spec: str) -> dict[str, Any]:
        """The report on pairs: how many, files without a partner, what was dropped, label maps. Raises UserError."""
        first = cls.open(spec)
        parts, unusable = inspect.usable_splits(first)
        few = [f"only {len(pairs)} pairs in {split}" for split, pairs in parts.items() if len(pairs) < inspect.FEW]
        return {
            "spec": spec,
            "name": first.name,
            "kind": cls.kind,
            "facts": parts["train"].facts,
            "splits": {split: inspect.split_usage(pairs) for split, pairs in parts.items()},
            "warnings": first.warnings + few + unusable,
        }

    @classmethod
    def describe(cls, report: dict[str, Any]) -> str:
        """The report as text for the terminal."""
        facts = report["facts"]
        colour = {1: "grey", 3: "colour"}
        a, b = colour[facts["in_channels"]], colour[facts["out_channels"]]
        return inspect.usage_summary(report, f"pairs, a {a}, b {b}, about {facts['native']} pixels high", "pair")


def near_pairs(images: Images) -> list[str]:
    """A warning where single images are nearly twice as wide as high, so that they may be pairs; else []."""
    sizes = [item.header.shape for item in images.items]
    near = [(w, h) for h, w in sizes if NEAR[0] <= w / h <= NEAR[1]]
    if 2 * len(near) <= len(sizes):
        return []
    (w, h), count = Counter(near).most_common(1)[0]
    return [
        f"holds images about twice as wide as high (such as {count} of {w}x{h}), but pairs side by side are 2:1 within "
        f"{SIDE_TOLERANCE:.0%}: --pairing side-by-side cuts each at the middle, --pairing none takes them whole"
    ]


def _pairable(files: PairedFiles, split: str) -> list[str]:
    """The keys of usable pairs. Files without a partner, and pairs of unequal aspect ratio, are added to `dropped`."""
    a, b = files.splits[split]
    dropped = files.dropped[split]
    for of_domain, others, missing in ((a, b, "b"), (b, a, "a")):
        unpaired = sorted(of_domain.keys() - others.keys())
        dropped += [Dropped(of_domain[key].name, f"no partner in domain {missing}") for key in unpaired]
    keys = []
    for key in files.matched(split):
        (h, w), (h2, w2) = a[key].header.shape, b[key].header.shape
        if abs(w * h2 / (h * w2) - 1) > ASPECT_TOLERANCE:
            dropped.append(Dropped(a[key].name, f"aspect ratios of the pair differ: {w}x{h} and {w2}x{h2}"))
        else:
            keys.append(key)
    return keys


def _label_palette(files: PairedFiles, domain: int, keys: dict[str, list[str]]) -> LabelPalette | None:
    """The palette of a domain if its images are label maps, else None.

    It is cached under what the files contain; to find it, all label maps whose files keep their colours are decoded.
    """
    source = PairedSource(files, domain, keys, f"colours {PALETTE_VERSION}", decode.fit)
    source.levels = levels_of(source)
    shas = [item.header.sha for part in source.parts.values() for item in part.items]
    place = f"colours {hashlib.sha256(''.join(shas).encode()).hexdigest()}"
    if not (memo := cache.load_memo(place)):
        unread = list[str]()
        first = find_palette(image for _, image in _rgb_images(source, unread))
        found = (first.colours, list[str]()) if first else None
        if first and first.exact:
            found = complete_palette(first.colours, _rgb_images(source, unread))
        memo = {"colours": found[0].tolist(), "outliers": found[1]} if found else {"colours": [], "outliers": []}
        if not unread:  # a file that cannot be read at present may have more colours
            cache.save_memo(place, memo)
    if not memo["colours"]:
        return None
    return LabelPalette(np.array(memo["colours"], np.uint8), memo["outliers"])


def _memory_palette(source: MemorySource) -> np.ndarray | None:
    """The colours of images in memory that are label maps, which are then read as such; None if they are none."""
    source.levels = levels_of(source)
    items = [item for part in source.parts.values() for item in part.items]

    def images() -> Iterator[tuple[str, Image.Image]]:
        for item in items:
            with contextlib.suppress(InvalidFile):
                yield item.name, to_8bit(source.read_image(item), 3, source.levels.for_ids())

    first = find_palette(image for _, image in images())
    found = complete_palette(first.colours, images()) if first and first.exact else None
    colours = found[0] if found else first.colours if first and not first.exact else None
    if colours is not None:
        source.use_palette(colours)
    return colours


def _rgb_images(source: PairedSource, unread: list[str]) -> Iterator[tuple[str, Image.Image]]:
    """Name and RGB image of all usable files of a domain; names of those that cannot be read now go to `unread`."""
    for name in source.files:
        try:
            yield name, to_8bit(source.image(name), 3, source.levels.for_ids())
        except UnreadableFile:
            unread.append(name)
        except InvalidFile:
            continue


def _source(files: PairedFiles, domain: int, keys: dict[str, list[str]], palette: np.ndarray | None) -> PairedSource:
    """The source of a domain; with a palette [K,3] its images are label maps."""
    if palette is None:
        return PairedSource(files, domain, keys, "", decode.fit)
    fit_id = f"labels {hashlib.sha256(palette.tobytes()).hexdigest()[:16]}"
    return PairedSource(files, domain, keys, fit_id, partial(_fit_to_palette, palette))


def _fit_to_palette(palette: np.ndarray, image: Image.Image, size: int, channels: int, levels: Levels) -> np.ndarray:
    """As `decode.fit`, for label maps."""
    pixels = fit_labels(image, size, palette, levels.for_ids())
    return pixels if channels == 3 else pixels[:, :, :1]
