"""What users give verbs in Python as items of a medium: Pillow images, arrays, tensors, paths, lines, one or many."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from PIL import ImageOps

from reverie.data.images.conversion import is_grey, to_array
from reverie.data.images.from_python import scale_of, to_pillow
from reverie.data.python_values import images_of_batch, is_array, is_image, is_one_image
from reverie.media.image import Image
from reverie.media.input_files import files_in, folder_below
from reverie.media.lazy_files import LazyFiles, in_folder, tell_failed
from reverie.media.music import Music
from reverie.media.photo import Photo
from reverie.media.text import Text
from reverie.utils.errors import UserError
from reverie.utils.paths import exists


def items_of(value: Any, medium: Any, name: str) -> Any:
    """What a verb's parameter `list[medium]` was given, as items of the medium: a list, LazyFiles, or None for None.

    value: one item or many: items, Pillow images, arrays [H,W,C], [N,H,W] or [N,H,W,C], tensors [C,H,W] or [N,C,H,W],
        paths of files or folders, the bytes of a file; of (images, labels) the images; for Text lines. Values are read
        as reverie.data.images.from_python says.
    name: of the parameter, for messages, which never show values

    Of several files, one that cannot be used is passed over, with a warning. Raises UserError.
    """
    if value is None or getattr(value, "lazy", False):
        return value
    if medium is Text and isinstance(value, str) and not _is_file(value):
        return [Text(value)]
    if isinstance(value, str | Path) and medium.LAZY:
        paths, folders = _files_at(value, medium)
        return LazyFiles(paths, medium, folders=folders, aloud=True)
    if medium in (Image, Photo) and (images := images_of_batch(value)) is not None:
        print(f"note: {name} are images with labels, and the labels are of no use here.", file=sys.stderr)
        value = images
    many = _listed(value, medium)
    arrays = [item for item in many if is_array(item)]
    scale = scale_of(arrays, name, _taken(medium)) if arrays else (0, 255)
    items: list[Any] = []
    failed: list[str] = []
    for i, item in enumerate(many):
        if isinstance(item, str | Path) and not (medium is Text and isinstance(item, str) and not _is_file(item)):
            _add_files(*_files_at(item, medium), medium, items, failed)
        else:
            items.append(_item(item, medium, scale, f"{name}[{i}]"))
    tell_failed(failed, len(items))
    return items


def _listed(value: Any, medium: Any) -> list[Any]:
    """The items of a value that is one item or many."""
    if is_array(value) and len(value.shape) == 4:
        return list(value)
    if is_array(value) and len(value.shape) == 3 and not is_one_image(value):
        return list(value)
    one = isinstance(value, medium | bytes | str | Path) or is_image(value)
    if one or hasattr(value, "midi") or hasattr(value, "line"):
        return [value]
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise UserError(f"{_nouns(medium)} are needed, not {type(value).__name__}; {_taken(medium)}.")
    return list(value)


def _item(value: Any, medium: Any, scale: tuple[float, float], place: str) -> Any:
    """One item of the medium. Raises UserError."""
    if isinstance(value, medium):
        return value
    if medium is Text and isinstance(value, str):
        return Text(value)
    if medium is Image and isinstance(value, Photo):
        return value.image()
    if medium is Photo and isinstance(value, Image):
        return Photo(value.pixels, name=value.name, **value.item_fields)
    if medium in (Image, Photo):
        if isinstance(value, bytes):
            return medium.read(value, place)
        if is_array(value):
            value = to_pillow(value, scale)
        if isinstance(value, PIL.Image.Image):
            return _of_pillow(value, medium, place)
    if medium is Music and isinstance(value, bytes):
        return Music.read(value)
    raise UserError(f"{place} is of the type {type(value).__name__}; {_taken(medium)}.")


def _of_pillow(image: PIL.Image.Image, medium: Any, place: str) -> Any:
    """A Pillow image as a medium. Raises UserError if it cannot be read."""
    name = Path(str(getattr(image, "filename", "") or "")).name
    try:
        upright = ImageOps.exif_transpose(image)
        if medium is Image:
            return Image(to_array(upright, 1 if is_grey(upright) else 3), name)
        buffer = io.BytesIO()
        upright = upright if upright.mode in ("1", "L", "LA", "RGB", "RGBA", "I;16", "P") else upright.convert("RGB")
        upright.save(buffer, format="PNG", icc_profile=image.info.get("icc_profile"))
        return medium.read(buffer.getvalue(), name or place)
    except UserError:
        raise
    except Exception as error:  # a file behind it may be damaged or closed, a mode unknown
        reason = " ".join(str(error).split())[:80]
        raise UserError(f"{place} cannot be read ({reason}); give another.") from None


def _files_at(place: str | Path, medium: Any) -> tuple[list[Path], list[str]]:
    """A file, or all files of the medium in a folder, and where each lies below it. Raises UserError for neither."""
    path = Path(place).expanduser()
    if not exists(path):
        shown = str(place) if len(str(place)) <= 100 else f"{str(place)[:100]}..."
        raise UserError(f"there is no file {shown}; {_taken(medium)}.")
    if not path.is_dir():
        return [path], [""]
    files = files_in(path, medium)
    if not files:
        raise UserError(f"there are no {_nouns(medium)} in {path}; {_taken(medium)}.")
    return files, [folder_below(file, path) for file in files]


def _add_files(files: list[Path], folders: list[str], medium: Any, items: list[Any], failed: list[str]) -> None:
    """Adds the items of files, and the messages on files that cannot be used."""
    for file, folder in zip(files, folders, strict=True):
        try:
            found = medium.load_all(file) if hasattr(medium, "load_all") else [medium.load(file)]
            items += [in_folder(item, folder) for item in found]
        except UserError as error:
            failed.append(str(error))


def _is_file(text: str) -> bool:
    return exists(text) and Path(text).is_file()


def _nouns(medium: Any) -> str:
    return f"{medium.NOUN}s"


def _taken(medium: Any) -> str:
    """What may be given for a list of a medium."""
    if medium in (Image, Photo):
        return "give images: reverie's, Pillow's, arrays [H,W,C], tensors [C,H,W], or paths, one or a list"
    if medium is Text:
        return "give lines, or paths of text files, one or a list"
    return f"give {_nouns(medium)}, or paths of files, one or a list"


def array_of_codes(value: Any, width: int) -> np.ndarray:
    """Codes, an array or tensor [N,Z] or [Z], or a list of them, as float32 [N,Z]. Raises UserError; width: Z."""
    if hasattr(value, "values") and is_code(value):
        value = value.values
    if hasattr(value, "detach"):
        value = value.detach().cpu().float()
    elif isinstance(value, list | tuple):
        value = [one.values if is_code(one) else one.detach().cpu().numpy() if hasattr(one, "detach") else one
                 for one in value]  # fmt: skip
    try:
        z = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise UserError(f"codes are an array [N,{width}], or what encode returns.") from None
    z = z[None] if z.ndim == 1 else z
    if z.ndim != 2 or z.shape[1] != width or not len(z):
        raise UserError(f"codes of shape {list(z.shape)} do not fit; they are [N,{width}].")
    if not np.isfinite(z).all():
        raise UserError("codes hold NaN or infinity; give finite values.")
    return z


def is_code(value: Any) -> bool:
    """Whether a value is what encode returns for an image."""
    return type(value).__name__ == "Code" and hasattr(value, "values")
