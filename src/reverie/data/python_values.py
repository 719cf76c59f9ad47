"""What a value of Python is, of those that data in memory is made of: an image, labels, texts, paths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from reverie.data.archives import is_zip
from reverie.data.media_types import medium_of
from reverie.utils.errors import UserError

PATHS_TRIED = 200
"""texts of a list that are looked at to find out whether they are paths"""
WHAT_IS_TAKEN = (
    "give a path, the name of a set, a list of images, an array [N,H,W,C], a tensor [N,C,H,W], (images, labels), "
    "a list of lines, a torch Dataset, or a Hugging Face data set"
)


def is_image(value: Any) -> bool:
    """Whether a value is one image: Pillow's, ours, an array or tensor [H,W], [H,W,C] or [C,H,W]; not a path."""
    if isinstance(value, PIL.Image.Image) or hasattr(value, "pixels"):
        return True
    return is_array(value) and getattr(value, "ndim", 0) in (2, 3) and min(value.shape[-2:]) > 0


def is_array(value: Any) -> bool:
    """Whether a value is an array or tensor."""
    return hasattr(value, "__array__") and hasattr(value, "shape") and not hasattr(value, "pixels")


def is_one_image(array: Any) -> bool:
    """Whether an array of three dimensions is one image, rather than several grey ones: it has 1 to 4 channels last,
    or as a tensor of torch first. A NumPy array [3,H,W] is three grey images, as [N,H,W] is N whatever N is."""
    return array.shape[-1] in (1, 2, 3, 4) or (hasattr(array, "detach") and array.shape[0] in (1, 3, 4))


def images_of_batch(value: Any) -> Any:
    """The images of (images, labels), such as a batch of a DataLoader; None where the value is nothing of the kind."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return None
    images, labels = value
    many = len(images.shape) == 4 if is_array(images) else isinstance(images, tuple | list) and not _is_row(images)
    labelled = many and labels_of(labels) is not None and len(labels) == len(images)
    return images if labelled else None


def hwc(array: Any, batch: bool = False, taken: str = WHAT_IS_TAKEN) -> np.ndarray:
    """An image as an array [H,W] or [H,W,C]; with batch, many as [N,H,W] or [N,H,W,C]. Raises UserError.

    taken: what may be given, for messages
    A tensor of torch has its channels first where either may be; a NumPy array has them last.
    """
    tensor = hasattr(array, "detach")
    if tensor:
        array = array.detach().cpu()
        array = array.float() if str(array.dtype) == "torch.bfloat16" else array
    pixels = np.asarray(array)
    if pixels.dtype.kind not in "buif":
        raise UserError(f"an array of {pixels.dtype} holds no images; {taken}.")
    shape = pixels.shape[1:] if batch else pixels.shape
    if len(shape) == 2:
        return pixels
    if len(shape) != 3:
        raise UserError(f"an array of shape {list(pixels.shape)} holds no images; {taken}.")
    first, last = shape[0] in (1, 3, 4), shape[2] in (1, 2, 3, 4)
    if first and (tensor or not last):
        return np.moveaxis(pixels, -3, -1)
    if not last:
        raise UserError(f"an array of shape {list(pixels.shape)} has neither 1, 3 nor 4 channels; {taken}.")
    return pixels


def labels_of(value: Any) -> list[Any] | None:
    """A list of labels; None if the value is none. Raises UserError for labels of several values each."""
    if isinstance(value, list | tuple) and value and all(map(_is_row, value)):
        lengths = {len(one) for one in value}
        value = np.array([np.asarray(_on_cpu(one)) for one in value]) if len(lengths) == 1 else value
    if is_array(value):
        array = np.asarray(_on_cpu(value))
        if array.ndim == 2 and array.shape[1] > 1:
            raise UserError(
                f"the labels are of shape {list(array.shape)}; give one whole number or name for each image (of "
                "one-hot rows: labels.argmax(1))."
            )
        return [_label(one) for one in array.ravel().tolist()] if array.ndim in (1, 2) else None
    if isinstance(value, list | tuple | range) and value and all(_is_label(one) for one in value):
        if are_paths(value):
            return None  # the images of a second domain
        return [_label(one) for one in value]
    return None


def _is_row(value: Any) -> bool:
    """Whether a value is a row of numbers or names, such as [1] or [0, 1, 0]."""
    if is_array(value):
        return len(value.shape) == 1 and len(value) > 0
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, str | int | float) for one in value)


def _is_label(value: Any) -> bool:
    if value is None or isinstance(value, str | int | np.integer | np.str_):
        return True
    return is_array(value) and len(value.shape) == 0


def _label(value: Any) -> Any:
    """A label as an int, a str or None, also of NaN. Raises UserError for other values."""
    if is_array(value):
        value = np.asarray(_on_cpu(value)).item()
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):  # what is missing in a table of pandas
        return None
    if isinstance(value, float) and not value.is_integer():
        raise UserError(f"a label is {value}; labels are whole numbers or names.")
    return int(value)


def texts_of(value: Any) -> list[list[str]] | None:
    """Descriptions, one or several an item; None if most are no sentences, but names, paths or numbers."""
    if not isinstance(value, list | tuple) or not value:
        return None
    texts = [[entry] if isinstance(entry, str) else entry for entry in value]
    if not all(isinstance(entry, list | tuple) and all(isinstance(one, str) for one in entry) for entry in texts):
        return None
    written = [one.strip() for entry in texts for one in entry if one.strip()]
    prose = sum(len(one.split()) > 3 or one[-1] in ".!?。！？" for one in written)
    return [list(entry) for entry in texts] if 2 * prose > len(written) else None


def _on_cpu(value: Any) -> Any:
    return value.detach().cpu() if hasattr(value, "detach") else value


def are_paths(items: Sequence[Any]) -> bool:
    """Whether texts are paths rather than lines or names: half of them are files, or end as those of data do."""
    if not items or not all(isinstance(item, str) for item in items):
        return False
    tried = items[:: -(-len(items) // PATHS_TRIED)]
    found = sum(medium_of(item) in ("image", "music", "text", "table") or is_file(item) for item in tried)
    return 2 * found >= len(tried)


def is_file(path: str | Path) -> bool:
    try:
        return Path(path).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # too long, a ~ of nobody, a zero character
        return False


def is_place(path: str | Path) -> bool:
    """Whether a path is a folder or a zip."""
    try:
        return (place := Path(path).expanduser()).is_dir() or is_zip(place)
    except (OSError, RuntimeError, ValueError):
        return False


def type_of(value: Any) -> str:
    """What a value is, without its content."""
    shape = f" of shape {list(value.shape)}" if is_array(value) else ""
    return "None" if value is None else f"of the type {type(value).__name__}{shape}"
