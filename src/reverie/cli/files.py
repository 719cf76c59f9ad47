"""Where what verbs take comes from, and where what they make goes: files and folders in, files or one sheet out."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reverie.core.generation import Shard
from reverie.data.archives import is_ignored
from reverie.data.file_types import SUFFIXES
from reverie.media import Image, LazyFiles
from reverie.utils.atomic_files import friendly
from reverie.utils.errors import UserError

ENDINGS = SUFFIXES | {".csv", ".txt", ".mid", ".midi", ".wav", ".mp3", ".ogg", ".flac", ".m4a", ".pdf", ".svg", ".mp4"}
"""of names that are meant as one file, not as a folder"""


def gather(places: list[str], medium: Any = Image) -> Sequence[Any]:
    """What files, folders (sorted by name) and patterns hold of a medium, in that order.

    Raises UserError for a place with none, and for a file that cannot be used.
    """
    found: list[Path] = []
    for place in places:
        path = Path(place)
        if path.is_dir():
            names = (p for p in path.rglob("*") if not any(map(is_ignored, p.relative_to(path).parts)))
            files = sorted(p for p in names if p.suffix.lower() in medium.INPUT_SUFFIXES and p.is_file())
        else:  # a pattern reaches us where no shell has expanded it
            files = [path] if path.exists() else sorted(Path(p) for p in glob.glob(place))  # noqa: PTH207 - absolute patterns too
        if not files:
            raise UserError(f"there is no {medium.NOUN} at {place}; give {medium.NOUN} files or a folder of them.")
        found += files
    if not medium.LAZY:
        return [medium.load(path) for path in found]
    for path in found:
        medium.check(path)
    return LazyFiles(found, medium)


def read_shard(text: str) -> Shard:
    """The text 2/5 as a Shard. Raises UserError."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--shard is '{text}'; it must be I/N with I from 1 to N, such as 2/5.")
    return Shard(int(match[1]), int(match[2]))


def write(
    items: Iterable[Any], out: Path, overwrite: bool, medium: Any = Image, given: Sequence[Any] | None = None
) -> list[Path]:
    """Writes each item of a medium as it comes into a folder, or all into one file if `out` has the ending of one.

    Named after the item it was made from, else by index; of many made from one, by both but for the first. Raises
    UserError instead of replacing a file, always where it is one of those `given` that is still to be read, before
    anything is made if `out` cannot be what is written to, and at the end if some of those given were passed over.
    """
    files = _written(items, out, overwrite, medium, given)
    if failed := getattr(given, "failed", ()):
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise UserError(f"{failed[0]}{more} What the others gave is in {out}." if files else f"{failed[0]}{more}")
    return files


def _written(items: Iterable[Any], out: Path, overwrite: bool, medium: Any, given: Sequence[Any] | None) -> list[Path]:
    """The work of `write`, but for what it says at the end."""
    ending = out.suffix.lower()
    if ending in medium.COMBINED_WRITERS:
        _free(out, overwrite)
        together = list(items)
        with friendly(out):
            if len(together) == 1 and ending == medium.SUFFIX:
                return [together[0].save(out)]  # as it is: of one photograph in 16 bits no sheet in 8
            return [medium.COMBINED_WRITERS[ending](together, out)] if together else []
    if out.is_file() or ending in ENDINGS or not medium.SUFFIX:
        one = " or ".join(medium.COMBINED_WRITERS)
        places = ["a folder"] * bool(medium.SUFFIX) + [f"a name ending in {one} for one file of all"] * bool(one)
        raise UserError(f"cannot write {medium.NOUN}s to {out}; give {', or '.join(places)}.")
    files: list[Path] = []
    taken: set[str] = set()
    for item in items:
        index = item.record["index"] if item.record else len(files)
        name = f"{index:06d}"
        if len(item.inputs) == 1:
            stem = Path(item.inputs[0]["name"]).stem
            name = f"{stem}-{name}" if item.index else stem  # told by the index: a shard may not see the first
        while name in taken:  # items of one name from two folders
            name += f"-{index:06d}"
        taken.add(name)
        path = out / f"{name}{medium.SUFFIX}"
        if path.resolve() in getattr(given, "pending", ()):
            raise UserError(f"{path} is one of the {medium.NOUN}s given and not read yet; give another --out.")
        _free(path, overwrite)
        with friendly(out):
            files.append(item.save(path))
    return files


def heard(images: Iterable[Any], predictions: list[dict[str, Any]], aloud: bool) -> Iterator[Any]:
    """The images as they come; the prediction of each is added to `predictions`, and said aloud as a line."""
    for image in images:
        if image.prediction:
            predictions.append({"of": ", ".join(source["name"] for source in image.inputs), **image.prediction})
            if aloud:
                print(*predictions[-1].values(), sep="  ", flush=True)
        yield image


def _free(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise UserError(f"{path} is there already; give another --out, or --overwrite to replace it.")
