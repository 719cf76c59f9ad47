"""Images and their texts in a folder, a zip or in memory, by split.

What says which texts are of which image, and of which split, stands in texts.py. Where it says nothing of splits, names
of folders and files do, by the rule of reverie.data.splits; where these do not either, a hash of each text holds out a
tenth as test, as for lines of text. Files with the same bytes as an earlier one of their split are dropped.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import PIL.Image

from reverie.data.archives import Dropped, FileTree, FolderTree, ZipTree, is_zip
from reverie.data.images import conversion, decode
from reverie.data.images.decode import ImageHeader
from reverie.data.images.from_python import MemorySource
from reverie.data.images.image_tables import ImageIndex
from reverie.data.images.records import ImageRecord, LocatedFile, is_image, unique
from reverie.data.images.sources import read, scan
from reverie.data.paragraphs.records import DescribedImage, Paragraph, Part
from reverie.data.paragraphs.texts import TABLE_SUFFIXES, ImageTexts, find_texts, is_prose, paragraphs_of
from reverie.data.python_data import PythonData
from reverie.data.splits import SPLITS, arrange
from reverie.data.text.held_out import held_out
from reverie.utils.errors import UserError
from reverie.utils.formatting import counted

WANTED = (
    "give name.txt beside name.jpg, captions.csv (name,caption), metadata.jsonl (file_name, text), or a JSON list of "
    "{image_id, paragraph}"
)
WITHOUT_TEXT, EMPTY_TEXT = "no text", "its text is empty"
"""why images are not used"""


class StoredSource:
    """What sources of images that are stored have in common."""

    _parts: dict[str, Part]

    def part(self, split: str) -> Part:
        return self._parts[split]

    def square(self, item: DescribedImage, size: int) -> np.ndarray:
        return resized(self.full(item), size)

    def full(self, item: DescribedImage) -> np.ndarray:
        raise NotImplementedError


class FileSource(StoredSource):
    """The described images of a folder or a zip. Raises UserError if there are none.

    splits: how folders are read, as in reverie.data.data_spec
    share: of the images, held out as test where nothing says which are
    """

    def __init__(self, tree: FileTree, place: str, splits: str = "auto", share: float = 0.0) -> None:
        self._tree = tree
        headers, others = scan(tree)
        if not headers:
            raise UserError(f"no images in {place} ({len(others)} other files): give a folder with images and texts.")
        arrangement = arrange(headers, splits)
        split_of = {name: arrangement.locate(name)[0] for name in headers}
        found = find_texts(tree, list(headers), _index(split_of))
        paragraphs, self.unpaired, joined = paragraphs_of(found)
        if not paragraphs:
            raise UserError(_nothing(place, found))
        if found.splits and splits != "none":
            split_of = {name: found.splits.get(name) for name in headers}
        self.warnings = [] if found.splits else list(arrangement.warnings)
        parts = {split: Part([], [], []) for split in SPLITS}
        for split, part in parts.items():
            files = []
            for name in (name for name, of in split_of.items() if of == split):
                if why := headers[name].fault or _missing(name, found, paragraphs):
                    part.dropped.append(Dropped(name, why))
                else:
                    files.append((name, "", headers[name]))
            for name, _, header in unique(files, part.dropped, lambda folder: ""):
                part.items.append(_described(name, header, paragraphs[name]))
        first = parts["train"]
        first.notes.extend(filter(None, (joined, *found.notes, _note_on_unpaired(found))))
        outside = "named for no split" if found.splits else arrangement.outside
        first.dropped.extend(Dropped(name, outside) for name, split in split_of.items() if split is None)
        first.dropped.extend(drop for drop in others if drop.name not in found.used)
        self._parts = _with_held_out(parts, share)
        self.splits = list(self._parts)

    def full(self, item: DescribedImage) -> np.ndarray:
        return conversion.convert_channels(decode.read_full(read(self._tree, item.name)), 3)


class MemorySourceOfTexts(StoredSource):
    """Images in memory and their texts. Raises UserError if there are none."""

    unpaired: tuple[Paragraph, ...] = ()
    warnings: list[str] = []

    def __init__(self, data: PythonData, share: float = 0.0) -> None:
        self._records: dict[str, ImageRecord] = {}
        self._images = MemorySource(data)
        parts = {split: Part([], [], []) for split in SPLITS}
        for split, rows in data.rows.items():
            if rows.texts is None:
                raise UserError(f"{data} have no texts; give a list of (image, text), the texts sentences.")
            part, images = parts[split], self._images.parts[split]
            found = ImageTexts({f"{split}/{i}": texts for i, texts in enumerate(rows.texts)}, str(data))
            paragraphs, _, joined = paragraphs_of(found)
            part.dropped.extend(images.dropped)
            part.notes.extend([joined] if joined else [])
            for record in images.items:
                self._records[record.name] = record
                if record.name in paragraphs:
                    part.items.append(_described(record.name, record.header, paragraphs[record.name]))
                else:
                    part.dropped.append(Dropped(record.name, EMPTY_TEXT))
        self._parts = _with_held_out(parts, share)
        self.splits = list(self._parts)

    def full(self, item: DescribedImage) -> np.ndarray:
        return conversion.convert_channels(self._images.read_full(self._records[item.name]), 3)


def open_tree(path: Path) -> FileTree:
    """The files at an existing path. Raises UserError for what is neither a folder nor a zip."""
    if path.is_dir():
        return FolderTree(path)
    if path.is_file() and is_zip(path):
        return ZipTree(path)
    raise UserError(f"{path} is neither a folder nor a zip; give the folder that holds the images and their texts.")


def holds_descriptions(path: Path) -> bool:
    """Whether at least half of the images at an existing path are described there, by more than labels and tags.

    Files of texts that cannot be read count, so that whoever opens the place learns why.
    """
    with contextlib.suppress(UserError):
        tree = open_tree(path)
        images = [name for name in tree.stamps if is_image(name)]
        if images and any(name.lower().endswith(TABLE_SUFFIXES) for name in tree.stamps):
            found = find_texts(tree, images, _index(dict.fromkeys(images)))
            described = sum(map(any, found.of.values())) + len(found.faults)
            return 2 * described >= len(images) and (is_prose(found) if found.of else bool(found.faults))
    return False


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """A whole image uint8 [H,W,3] as a square [size,size,3]."""
    return np.asarray(PIL.Image.fromarray(pixels).resize((size, size), PIL.Image.Resampling.LANCZOS))


def _index(split_of: dict[str, str | None]) -> ImageIndex:
    return ImageIndex([LocatedFile(name, split or "", "") for name, split in split_of.items()])


def _described(name: str, header: ImageHeader, paragraphs: tuple[Paragraph, ...]) -> DescribedImage:
    """An image with its upright size."""
    return DescribedImage(name, *header.shape, paragraphs, None, header.sha)


def _missing(name: str, found: ImageTexts, paragraphs: dict[str, tuple[Paragraph, ...]]) -> str:
    """Why an image has no paragraph; "" if it has."""
    if name in paragraphs:
        return ""
    if name in found.faults:
        return f"its text is {found.faults[name][1]}"
    return EMPTY_TEXT if name in found.of else WITHOUT_TEXT


def _nothing(place: str, found: ImageTexts) -> str:
    """The message for images of which none is described."""
    unread = [*found.unread, *(f"{file} is {why}" for file, why in found.faults.values())]
    if unread:
        return f"the texts in {place} cannot be read: {unread[0]}."
    if found.of:
        return f"the texts in {place} are all empty; write a sentence or more for each image."
    if found.without_image:
        name = min(found.without_image)
        return f"the texts in {place} are of no image there, such as '{name}'; name the images as their files are."
    return f"no texts in {place} that describe its images; {WANTED}."


def _note_on_unpaired(found: ImageTexts) -> str:
    names = found.without_image
    return f"texts of {counted(len(names), 'image')} not here, such as {min(names)}: kept as unpaired" if names else ""


def _with_held_out(parts: dict[str, Part], share: float) -> dict[str, Part]:
    """The splits that have images; of train alone a share becomes test."""
    train = parts["train"]
    if any(part.items or part.dropped for split, part in parts.items() if split != "train"):
        return {split: part for split, part in parts.items() if part.items or (split == "train" and part.dropped)}
    flags = held_out([" ".join(item.references[0]) for item in train.items], share)
    if not any(flags):
        few = f"too few images to hold some out ({len(train.items)}): scores can only compare with those learnt from"
        return {"train": train._replace(notes=[*train.notes, *([few] if share else [])])}
    learnt = [item for item, flag in zip(train.items, flags, strict=True) if not flag]
    kept = [item for item, flag in zip(train.items, flags, strict=True) if flag]
    note = (
        f"nothing says which images are for testing: {len(kept)} of {len(flags)}, chosen by a hash of each text, are "
        "held out as test and not learnt from"
    )
    return {
        "train": train._replace(items=learnt, notes=[*train.notes, note]), "test": Part(kept, [], [note], True),
    }  # fmt: skip
