"""Where verbs' pictures come from and go to: files and folders in, PNG files or one sheet out."""

from __future__ import annotations

import glob
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from .data.decode import SUFFIXES
from .disk import friendly
from .errors import UserError
from .items import Shard
from .media import Code, Image, save_codes, sheet
from .run import WEIGHTS, Run, read_weights


def gather(places: list[str]) -> list[Image]:
    """Pictures of files, folders (sorted by name) and patterns. Raises UserError for a place that holds none."""
    images = []
    for place in places:
        path = Path(place)
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        else:  # a pattern reaches us where no shell has expanded it
            found = [path] if path.exists() else sorted(Path(p) for p in glob.glob(place))  # noqa: PTH207 - absolute patterns too
        if not found:
            raise UserError(f"there is no picture at {place}; give picture files or a folder of them.")
        images += [Image.load(p) for p in found]
    return images


def read_shard(text: str) -> Shard:
    """The text 2/5 as a Shard. Raises UserError."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--shard is '{text}'; it must be I/N with I from 1 to N, such as 2/5.")
    return Shard(int(match[1]), int(match[2]))


def write(images: Iterable[Image | Code], out: Path, overwrite: bool) -> list[Path]:
    """Writes each picture as it comes into a folder, or all on one sheet if `out` ends in .png.

    Codes become one table, if `out` ends in .csv. Named after the picture it was made from, else by index. Raises
    UserError instead of replacing a file.
    """
    if out.suffix.lower() == ".csv":
        _free(out, overwrite)
        codes = [item for item in images if isinstance(item, Code) or _refuse(out, "pictures go into a folder")]
        with friendly(out):
            return [save_codes(codes, out)] if codes else []
    pictures = (item for item in images if isinstance(item, Image) or _refuse(out, f"codes go into {out.stem}.csv"))
    if out.suffix.lower() == ".png":
        _free(out, overwrite)
        together = list(pictures)
        with friendly(out):
            return [sheet(together).save(out)] if together else []
    if out.suffix.lower() in SUFFIXES or out.is_file():
        raise UserError(f"cannot write to {out}; give a folder, or a name ending in .png for one sheet.")
    files: list[Path] = []
    taken: set[str] = set()
    for image in pictures:
        index = image.record["index"] if image.record else len(files)
        name = Path(image.inputs[0]["name"]).stem if len(image.inputs) == 1 else f"{index:06d}"
        while name in taken:  # pictures of one name from two folders
            name += f"-{index:06d}"
        taken.add(name)
        path = out / f"{name}.png"
        _free(path, overwrite)
        with friendly(out):
            files.append(image.save(path))
    return files


def heard(images: Iterable[Any], told: list[dict[str, Any]], aloud: bool) -> Iterator[Any]:
    """The images as they come; what is told of each is added to `told`, and said aloud as a line."""
    for image in images:
        if image.told:
            told.append({"of": ", ".join(source["name"] for source in image.inputs), **image.told})
            if aloud:
                print(*told[-1].values(), sep="  ", flush=True)
        yield image


def export(run: str, out: Path) -> Path:
    """Copies the weights of a run, with their config in the header, to one file. Raises UserError."""
    if out.suffix != ".safetensors":
        raise UserError(f"cannot write {out}; name it {out.stem or 'model'}.safetensors.")
    if out.exists():
        raise UserError(f"{out} is there already; give another --out.")
    source = Path(run) if Path(run).is_file() else Run.open(run).whole((WEIGHTS,)) / WEIGHTS
    read_weights(source)
    with friendly(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, out)
    return out


def _refuse(out: Path, instead: str) -> NoReturn:
    raise UserError(f"cannot write to {out}: {instead}.")


def _free(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise UserError(f"{path} is there already; give another --out, or --overwrite to replace it.")
