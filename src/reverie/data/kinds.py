"""The kinds of data, and which of them a path or a name holds: one decision for `data inspect`, training and Python."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from reverie.data.archives import ZIP_ERRORS, is_ignored, is_run, is_zip
from reverie.data.data_spec import DataSpec
from reverie.data.images import fixations
from reverie.data.images import inspect as images
from reverie.data.images import synthetic as image_sets
from reverie.data.images.dataset import Images
from reverie.data.images.fixations import Fixations
from reverie.data.images.idx_cifar import is_idx
from reverie.data.images.pairs import Pairs
from reverie.data.images.patches import ImagePatches
from reverie.data.images.records import reason_group
from reverie.data.images.unpaired import Unpaired
from reverie.data.media_types import (
    ASIDE_SUFFIXES,
    CODE_SUFFIXES,
    HEAD,
    TABLE_SUFFIXES,
    TEXT_SUFFIXES,
    UNREAD_DOCUMENTS,
    how_to_convert,
    is_text,
    medium_of,
    medium_of_bytes,
)
from reverie.data.music import synthetic as music_sets
from reverie.data.music.dataset import MusicDataset
from reverie.data.music.inspect import describe_music, inspect_music
from reverie.data.music.midi import SUFFIXES as MUSIC_SUFFIXES
from reverie.data.paragraphs import scenes
from reverie.data.paragraphs.dataset import Paragraphs
from reverie.data.paragraphs.inspect import describe_paragraphs, inspect_paragraphs
from reverie.data.python_data import PythonData, python_data
from reverie.data.tables import suffix_of
from reverie.data.text import synthetic as text_sets
from reverie.data.text.dataset import Texts
from reverie.utils.errors import UserError, near_miss
from reverie.utils.formatting import counted
from reverie.utils.paths import exists


class Kind(NamedTuple):
    """A kind of data: its class, what it consists of, and how `reverie data inspect` reports on it."""

    data: Any
    """the class. It has `kind` (its name in messages), `open(spec, split)`, `recognises(spec)`, and what training asks
    of data: `prepare`, `len`, `batch`, `facts`, `classes`, `splits`, `fingerprint`, `dropped`, `notes`, `warnings`"""
    medium: str
    """what its files are: images, text or music"""
    inspect: Callable[[str], dict[str, Any]]
    """spec -> report as a dict that json can write. Raises UserError"""
    describe: Callable[[dict[str, Any]], str]
    """that report -> text for the terminal"""
    also_accepts: tuple[str, ...] = ()
    """`kind` of other data that methods of this kind can learn from as well, perhaps with an option of theirs (pix2pix
    makes pairs of single images with --degradation)"""


KINDS = (
    Kind(Texts, "text", Texts.inspect, Texts.describe),
    Kind(Fixations, "images", Fixations.inspect, Fixations.describe),
    Kind(Paragraphs, "images", inspect_paragraphs, describe_paragraphs),
    Kind(Pairs, "images", Pairs.inspect, Pairs.describe, ("images",)),
    Kind(Unpaired, "images", Unpaired.inspect, Unpaired.describe, ("pairs",)),
    Kind(ImagePatches, "images", images.inspect, images.describe, ("images", "paragraphs")),  # a method asks for them
    Kind(MusicDataset, "music", inspect_music, describe_music),
    Kind(Images, "images", images.inspect, images.describe, ("paragraphs",)),
)
IMAGES = KINDS[-1]
_MEDIA = {"image": "images", "music": "music", "text": "text", "table": "text", "aside": "aside"}
READ = (
    "a folder or zip of images (JPEG, PNG ...), text (.txt, CSV, TSV, JSON, JSONL) or MIDI; one such file of text or "
    "MIDI; idx files"
)
"""what can be given, beside names of sets"""
_WANTED = {
    "images": "give a folder or zip with JPEG, PNG, ... files",
    "text": "give a text file, or a folder of .txt, .csv, .jsonl or .json files",
    "music": "give a folder or zip with .mid files",
}
TEXT_SHARE = 10
"""text files for each image or MIDI file beside them from which on it is the text that a place is about: captions,
labels and chord sheets are fewer"""
LOOKED_INTO = 1_000
"""files without a telling suffix that are looked into, at most"""
DROPPED_SHARE = 0.1
"""share of files that are not used, above which training says so"""


class Found(NamedTuple):
    """A kind of data that a place holds."""

    kind: Kind
    files: int
    """how many files of it"""
    example: str
    """the name of one"""

    def __str__(self) -> str:
        example = self.example if self.files == 1 else f"such as {self.example}"
        return f"{self.kind.data.kind} ({counted(self.files, 'file')}, {example})"


def kinds_at(spec: str | Path) -> list[Found]:
    """The kinds of data that the files at a path are, the likely one first; [] for a name, or where none is known.

    What there are more files of goes first; text goes last, unless there is much more of it than of all others: beside
    images and music it is captions, labels or chord sheets.
    """
    path = Path(spec).expanduser()
    if not exists(path):
        return []
    counts, examples = Counter[str](), dict[str, str]()
    for medium, name in _media_at(path):
        counts[medium] += 1
        examples.setdefault(medium, name)
    others = [medium for medium in ("music", "images") if counts[medium]]
    others.sort(key=lambda medium: -counts[medium])
    if not others and counts["aside"]:  # beside images and music it describes them
        counts["text"] += counts["aside"]
        examples.setdefault("text", examples["aside"])
    text = ["text"] if counts["text"] else []
    first = text + others if counts["text"] > TEXT_SHARE * sum(counts[other] for other in others) else others + text
    return [Found(_kind_of_medium(medium, spec), counts[medium], examples[medium]) for medium in first]


def kind_of(spec: str | Path) -> Kind:
    """The kind of data at a path or of a name, the likely one if there are several.

    Raises UserError if there is no such path or name, or nothing that can be read; or if a file has to be read for that
    and is damaged.
    """
    if isinstance(spec, PythonData):
        return kind_named(_kind_in_memory(spec))
    if found := kinds_at(spec):
        return found[0].kind
    for kind in KINDS:
        if kind is not IMAGES and _recognises(kind, spec):
            return kind
    _refuse_unreadable(spec)
    return IMAGES


def _refuse_unreadable(spec: str | Path) -> None:
    """Raises UserError for a name of no set, a file of no kind, and a place where all that is known is not read.

    What else is no data is for the images to say: idx files, empty folders, images that have to be converted.
    """
    text, path = str(spec), Path(spec).expanduser()
    if not exists(path):
        names = list(set_names())
        if not text.strip() or "," in text or text.partition(":")[0] in names:
            return
        guess = "" if "/" in text or "\\" in text else near_miss(text.partition(":")[0], names)
        raise UserError(f"no such path, and no data set of that name: {text}.{guess} Sets: {', '.join(names)}")
    unread = Counter(advice for name, _ in _files_at(path) if (advice := how_to_convert(name)))
    if path.is_file() and not is_zip(path) and not is_idx(path.name) and path.suffix.lower() != ".zip":
        what = next(iter(unread), "of no kind that is read")
        raise UserError(f"{path} is {what}. What is read: {READ}.")
    if unread and unread.keys() <= set(UNREAD_DOCUMENTS.values()):
        advice, count = unread.most_common(1)[0]
        raise UserError(f"no data in {path}: {counted(count, 'file')} there is {advice}. What is read: {READ}.")


def set_names() -> tuple[str, ...]:
    """The names of all built-in and public sets, of every kind."""
    from reverie.data.download import PUBLIC  # only here, because most data is local

    of_images = (*image_sets.NAMES, *PUBLIC, fixations.BUILT_IN, scenes.NAME)
    return (*of_images, *text_sets.NAMES, "oracle", *music_sets.SETS)


def kind_named(name: str) -> Kind:
    """The kind of that name: images, pairs, unpaired, text, music. Raises UserError if there is none."""
    kinds = {kind.data.kind: kind for kind in KINDS}
    if name not in kinds:
        raise UserError(
            f"there is no kind of data '{name}'; there are {', '.join(kinds)}.{near_miss(name, list(kinds))}"
        )
    return kinds[name]


def _kind_in_memory(data: PythonData) -> str:
    """What data in memory is: lines, music, pairs, two domains, images with texts, or images."""
    if data.has_texts:
        return "paragraphs"
    if data.has_pairs:
        alike = all(len(rows.partners or ()) == len(rows.items) for rows in data.rows.values())
        return "pairs" if alike else "unpaired"
    if data.has_lines or data.suffixes & (TEXT_SUFFIXES | TABLE_SUFFIXES | ASIDE_SUFFIXES):
        return "text"
    return "music" if data.suffixes & MUSIC_SUFFIXES else "images"


def _recognises(kind: Kind, spec: str | Path) -> bool:
    """Whether a name, a pair of places, or a path of none of the usual files is of a kind."""
    return kind.data is not ImagePatches and bool(kind.data.recognises(DataSpec(spec)))


def _kind_of_medium(medium: str, spec: str | Path) -> Kind:
    """The kind of data that files of a medium are: of images pairs, two domains, or simply images."""
    kinds = [kind for kind in KINDS if kind.medium == medium]
    if medium != "images":
        return kinds[0]
    return next((kind for kind in kinds if kind is not IMAGES and _recognises(kind, spec)), IMAGES)


def _media_at(path: Path) -> Iterator[tuple[str, str]]:
    """(medium, name) of each file at an existing path whose medium is known, by suffixes or else by first bytes."""
    looked = 0
    for name, head in _files_at(path):
        known = medium_of(name)
        alone = name == path.name and path.is_file()
        if (not known or (alone and suffix_of(name) in CODE_SUFFIXES)) and looked < LOOKED_INTO:
            looked += 1
            known = medium_of_bytes(data := head()) or ("text" if path.is_file() and is_text(data) else "")
        if known in _MEDIA:
            yield _MEDIA[known], name


def _files_at(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The name of each file at a path, and what reads its first bytes; runs and hidden files are left out."""
    if path.is_dir():
        for folder, folders, files in os.walk(path):
            if folder != str(path) and "run.json" in files and is_run(folder):
                folders.clear()
                continue
            folders[:] = [name for name in folders if not is_ignored(name)]
            for name in files:
                if not is_ignored(name):
                    yield name, partial(_head, Path(folder, name))
    elif path.suffix.lower() == ".npz" or not is_zip(path):
        yield path.name, partial(_head, path)
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
                for name in names:
                    if not any(map(is_ignored, name.replace("\\", "/").split("/"))):
                        yield name, partial(_head_in, archive, name)
        except ZIP_ERRORS:
            return


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def _head_in(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(name) as file:
            return file.read(HEAD)
    except Exception:  # as in archives: each compression raises its own errors for damaged members
        return b""


def can_learn_from(data_type: str, kind: str) -> bool:
    """Whether a method whose `data_type` has the class name `data_type` can learn from data of `kind`.

    >>> can_learn_from("Unpaired", "pairs")
    True
    """
    entries = [entry for entry in KINDS if entry.data.__name__ == data_type]
    return any(kind in (entry.data.kind, *entry.also_accepts) for entry in entries)


def open_data(
    spec: Any,
    split: str = "train",
    *,
    splits: str | None = None,
    pairing: str | None = None,
    labels: str | None = None,
    **options: Any,
) -> Any:
    """Open data of any kind; only names and headers are read, call `prepare` to decode.

    spec: a folder, a zip, idx or CIFAR files, text or MIDI files, two folders with a comma between them, a built-in set
        such as `letters:5000`, or one to download such as `mnist`; or data in memory, see reverie.data.python_data
    split: "train", "test" or "val"
    splits: what says which split a file is of: "auto", "folders", "files" or "none"
    pairing: which images are pairs: "auto", "side-by-side", "folders", "targets" or "none"
    labels: what says the class of an image: "auto", "folders", "names", "none", or a column of a table beside the
        images; see reverie.data.data_spec
    options: what the kind's own `open` takes beside these, such as item, column and held_out of text

    Raises UserError if there is nothing of that name, nothing that can be used, no such split, or no such option.
    """
    for name, value in (("split", split), ("splits", splits), ("pairing", pairing), ("labels", labels)):
        if not isinstance(value, str | None):
            raise UserError(f"{name} is of the type {type(value).__name__}; it must be text.")
    spec = python_data(spec)
    if not isinstance(spec, str | Path):
        return spec  # it is open
    stated = DataSpec(spec, splits, pairing, labels)
    data = kind_of(stated).data
    known = list(signature(data.open).parameters)[2:]
    for name in options.keys() - known:
        raise UserError(f"{data.kind} has no option '{name}'.{near_miss(name, known)}")
    return data.open(stated, split, **options)


def check_medium(data_type: Any, spec: str | Path) -> list[str]:
    """Warnings where a place holds more of another medium than of what `data_type` (Images, Texts ...) reads.

    Raises UserError where it holds others only.
    """
    medium = next((kind.medium for kind in KINDS if kind.data is data_type), None)
    if isinstance(spec, PythonData):
        if medium not in (None, found_medium := kind_of(spec).medium):
            example = f" (such as '{spec.example_line}')" if spec.has_lines else ""
            raise UserError(
                f"{spec}{example} are {found_medium}, and no {medium}; `reverie methods` names the methods for it."
            )
        return []
    found = kinds_at(spec) if medium else []
    own = next((one for one in found if one.kind.medium == medium), None)
    listed = ", ".join(map(str, found))
    if found and own is None:
        raise UserError(f"{spec} holds {listed}, and no {medium}: {_WANTED[str(medium)]}.")
    if own is not None and own is not found[0]:
        return [f"{spec} holds {listed}: the {medium} are what is learnt from"]
    return []


def reading_warnings(data: Any) -> list[str]:
    """What may be wrong in how a place was read, of open data of any kind: guesses, and much that is not used."""
    warnings = list(getattr(data, "warnings", ()))
    passed_over = ("not an image file", "not a MIDI file")  # other files beside those that are data
    reasons = Counter(reason for drop in data.dropped if (reason := reason_group(drop.reason)) not in passed_over)
    unused, found = sum(reasons.values()), len(data) + sum(reasons.values())
    if unused > DROPPED_SHARE * found and getattr(data, "kind", "") not in ("text", "music"):
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
        warnings.append(f"{unused} of {found} files are not used: {listed}; `reverie data inspect` lists them")
    return list(dict.fromkeys(warnings))
