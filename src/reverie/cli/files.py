"""Input files and output files of verbs: files, folders and patterns in; a folder or one combined file out."""

from __future__ import annotations

import glob
import itertools
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reverie.core.generation import Shard
from reverie.data.file_types import unread_kind
from reverie.media import Image, LazyFiles, Text, read_record
from reverie.media.input_files import files_in, folder_below
from reverie.media.item_list import check_folder, save_combined
from reverie.media.lazy_files import in_folder, summary_of
from reverie.media.text import line_entry
from reverie.utils.atomic_files import disk_errors
from reverie.utils.errors import UserError
from reverie.utils.paths import folded


class Loaded(list[Any]):
    """Items that were read from files; `failed` has the messages on files that could not be."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: list[str] = []


def check_failed(inputs: Any, files: Sequence[Path], out: Path | None) -> None:
    """Raises UserError, once the others are done, if input files were passed over."""
    failed = getattr(inputs, "failed", ())
    if failed:
        where = " The others are done."
        if out:
            where = f" The results of the others are in {out}." if files else ""
        raise UserError(summary_of(failed) + where)


def gather(
    places: list[str], medium: Any = Image, include_generated: bool = True, out: Path | None = None
) -> Sequence[Any]:
    """The items of a medium in files, folders (sorted by name) and glob patterns, in that order.

    include_generated: whether files in folders and patterns are taken that a model generated, as their record says;
        else they are passed over, which is said on stderr. Files that are named, and folders of nothing else, are
        taken in any case, but for what lies in `out`, where this command writes.
    A file that cannot be used is passed over, and noted in `failed` of what is returned. Raises UserError for a place
    that holds none, and where no file can be used.
    """
    paths: list[Path] = []
    folders: list[str] = []
    for place in places:
        found, root = _files_at(place, medium)
        if root is not None and not include_generated:
            found = _without_generated(found, place, out)
        if not found:
            kinds = sorted({kind for p in Path(place).rglob("*") if (kind := unread_kind(p.name))}) if root else []
            advice = f"what is there is {kinds[0]}" if kinds else f"give {medium.NOUN} files or a folder of them"
            raise UserError(f"there is no {medium.NOUN} at {place}; {advice}.")
        paths += found
        folders += ["" if root is None else folder_below(path, root) for path in found]
    items = Loaded()
    usable: list[int] = []
    for i, (path, folder) in enumerate(zip(paths, folders, strict=True)):
        try:
            if medium.LAZY:
                if remark := medium.check(path):
                    print(f"reverie: {remark}", file=sys.stderr)
            else:
                items.append(in_folder(medium.load(path), folder))
            usable.append(i)
        except UserError as error:
            items.failed.append(str(error))
    if paths and not usable:
        raise UserError(summary_of(items.failed))
    if not medium.LAZY:
        return items
    files = LazyFiles([paths[i] for i in usable], medium, folders=[folders[i] for i in usable])
    files.failed = items.failed
    return files


def _files_at(place: str, medium: Any) -> tuple[list[Path], Path | None]:
    """The files at a place, and the folder that they lie below; None for a file that is named."""
    path = Path(place)
    if path.is_dir():
        return files_in(path, medium), path
    if path.exists():
        return [path], None
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts)
    found = glob.glob(place, recursive=True)  # noqa: PTH207 - a pattern that no shell expanded, maybe absolute
    return sorted(p for p in map(Path, found) if p.is_file()), Path(*fixed)


def _without_generated(paths: list[Path], place: str, out: Path | None) -> list[Path]:
    """The files without those that a model generated. Raises UserError if nothing is left."""
    generated = [path for path in paths if _is_generated(path)]
    here = out.resolve() if out is not None else None
    own = [path for path in generated if here is not None and here in path.resolve().parents]
    passed = generated if len(generated) < len(paths) else own
    if not passed:
        return paths
    count = "1 file" if len(passed) == 1 else f"{len(passed)} files"
    message = f"{count} in {place} that reverie generated, such as {passed[0].name}, are passed over"
    if len(passed) == len(paths):
        raise UserError(f"{message}, and there are no others; --include-generated takes them.")
    print(f"{message}; --include-generated takes them", file=sys.stderr)
    lost = set(passed)
    return [path for path in paths if path not in lost]


def _is_generated(path: Path) -> bool:
    """Whether a file carries the record of what generated it; of a text, whether the file beside it does."""
    try:
        read_record(path)
    except UserError:
        return False
    return True


def read_shard(text: str) -> Shard:
    """The text 2/5 as a Shard. Raises UserError."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--shard is '{text}'; it must be I/N with I from 1 to N, such as 2/5.")
    return Shard(int(match[1]), int(match[2]))


def write(
    items: Iterable[Any], out: Path, overwrite: bool, medium: Any = Image, inputs: Sequence[Any] | None = None
) -> list[Path]:
    """Writes items of a medium to `out`: one file each as they come, or all into one file if `out` has a suffix.

    A file is named after the one input that its item was made from, else by its index; where several items come from
    one input, by both, except the first. Of inputs a.jpg and a.png in one folder the outputs keep the whole names, as
    in a.jpg.png. Folders of the inputs, below a folder that was given, are made in `out` too.

    inputs: the input files; one that is still to be read is never written over, not even with `overwrite`.
    Returns the files; those that the same call made before are left as they are. Raises UserError where another file
    exists and `overwrite` is off; and before anything is made, if `out` cannot hold what is to be written.
    """
    if out.suffix.lower() in medium.COMBINED_WRITERS:
        files = _write_combined(items, out, overwrite, medium)
    else:
        files = _write_each(items, out, overwrite, medium, inputs)
    return files


def _write_combined(items: Iterable[Any], out: Path, overwrite: bool, medium: Any) -> list[Path]:
    """Writes all items into the one file `out`."""
    _check_free(out, overwrite)
    combined = list(items)
    with disk_errors(out):
        return [save_combined(combined, out, medium)] if combined else []


def _write_each(
    items: Iterable[Any], out: Path, overwrite: bool, medium: Any, inputs: Sequence[Any] | None
) -> list[Path]:
    """Writes one file per item into the folder `out`."""
    check_folder(out, medium)
    if out.is_symlink():
        print(f"{out} is a link: the files go to {out.resolve()}", file=sys.stderr)
    files: list[Path] = []
    names: set[str] = set()
    shared = _shared_stems(inputs)
    for item in items:
        index = item.record["index"] if item.record else len(files)
        name = _file_name(item, index, shared)
        if item.folder:
            name = f"{item.folder}/{name}"
        while folded(name) in names:  # inputs of the same name from two folders
            name += f"-{index:06d}"
        names.add(folded(name))
        path = out / f"{name}{medium.SUFFIX}"
        if path.resolve() in getattr(inputs, "pending", ()):
            raise UserError(f"{path} is one of the {medium.NOUN}s given and not read yet; give another --out.")
        _check_inside(path.parent, out)
        if not overwrite and _is_made(item, path):
            files.append(path)
            continue
        _check_free(path, overwrite)
        with disk_errors(out):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.append(item.save(path))
    return files


def _shared_stems(inputs: Sequence[Any] | None) -> set[tuple[str, str]]:
    """(folder, folded stem) of inputs that differ in their suffix alone, or in case."""
    if inputs is None:
        return set()
    if isinstance(inputs, LazyFiles):
        names = {(folder, path.name) for folder, path in zip(inputs.folders, inputs.paths, strict=True)}
    else:
        names = {(item.folder, _name_of(item)) for item in inputs}
    count = Counter((folder, folded(Path(name).stem)) for folder, name in names)
    return {place for place, n in count.items() if n > 1}


def _name_of(item: Any) -> str:
    """The name of the one input that an item was made from, or its own; "" for none."""
    return str(item.inputs[0]["name"] if len(item.inputs) == 1 else getattr(item, "name", ""))


def _file_name(item: Any, index: int, shared: set[tuple[str, str]]) -> str:
    """The name of an item's file, without suffix: that of the one input, or that which the item has taken over.

    shared: the result of _shared_stems, for names that do not depend on the order of files
    """
    name = _name_of(item)
    if not name:
        return f"{index:06d}"
    stem = name if (item.folder, folded(Path(name).stem)) in shared else Path(name).stem
    # By the item's index and not by a count, since a shard may not hold the first item of an input.
    return f"{stem}-{index:06d}" if item.index else stem


def report_files(files: Sequence[Path], out: Any, seconds: float, as_json: bool, note: str = "", **more: Any) -> None:
    """Prints where files are and what they took; as JSON with `more`, of which what is empty is left out."""
    if as_json:
        found = {name: value for name, value in more.items() if value}
        print(json.dumps({"files": [str(file) for file in files], **found, "seconds": round(seconds, 3)}))
    else:
        print(f"{files[0] if len(files) == 1 else f'{len(files)} files in {out}'}  ({seconds:.1f} s{note})")


def collect_predictions(items: Iterable[Any], predictions: list[dict[str, Any]], aloud: bool) -> Iterator[Any]:
    """Yields the items; appends the prediction of each that has one to `predictions`, and prints it where `aloud`."""
    for item in items:
        if item.prediction:
            predictions.append({"of": item.source_file, **item.prediction})
            if aloud:
                print(*predictions[-1].values(), sep="  ", flush=True)
        yield item


def _is_made(item: Any, path: Path) -> bool:
    """Whether a file is there already that the same run made by the same call as this item, which need not be written
    again: so a job that was cut off goes on where it stopped. An item without an index of its own depends on its input
    alone, so that its place among them, which a new file in the folder changes, does not matter."""
    if item.record is None or path.is_symlink() or not path.is_file():
        return False
    ignored = {"index": None} if item.index is None else {}
    try:
        theirs, ours = read_record(path), json.loads(json.dumps(_record_in_file(item)))
        return bool({**theirs, **ignored} == {**ours, **ignored})
    except (UserError, OSError, ValueError):
        return False


def is_made_by(path: Path, record: dict[str, Any]) -> bool:
    """Whether a file is there whose record has all entries of `record`, so that it need not be made again."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        return bool(json.loads(json.dumps(record)).items() <= read_record(path).items())
    except (UserError, OSError, ValueError, TypeError):
        return False


def _record_in_file(item: Any) -> Any:
    """The record as a file of this one item holds it."""
    return {**(item.record or {}), "lines": [line_entry(item)]} if isinstance(item, Text) else item.record


def _check_inside(folder: Path, out: Path) -> None:
    """Raises UserError where a folder in `out` is a link that leads elsewhere."""
    if not folder.resolve().is_relative_to(out.resolve()):
        raise UserError(
            f"{folder} is a link to {folder.resolve()}, outside of {out}; remove it, or give another --out."
        )


def _check_free(path: Path, overwrite: bool) -> None:
    if os.path.lexists(path) and not overwrite:
        raise UserError(f"{path} is there already; give another --out, or --overwrite to replace it.")
