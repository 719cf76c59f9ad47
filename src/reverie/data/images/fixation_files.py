"""Where people looked, as files say it: points in JSON, CSV and MATLAB files, or maps as images.

Points are x to the right and y down, in pixels from the top left corner, each with the number of its viewer or -1.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from reverie.data.file_types import InvalidFile
from reverie.data.images import conversion, decode
from reverie.utils.errors import UserError, printable

IMAGE_COLUMNS, VIEWER_COLUMNS = ("image", "name", "file", "filename", "stimulus"), ("viewer", "subject", "observer")
"""of a CSV file, one of each; the others are x and y"""
OUTSIDE, SWAPPED = 0.1, 0.005
"""share of points outside their images from which a set is refused; from which swapping x and y is tried"""

DENSE = 0.1
"""share of a matrix that is not 0 from which it is no map of fixations"""
FIXATIONS = "fixations"
"""field of a struct with a viewer's points, as in SALICON"""

Points = np.ndarray
"""float64 [N,3]: x, y, viewer"""


def read_json(data: bytes, place: str) -> dict[str, Points]:
    """{"name.jpg": [[x, y], ...]} or [[x, y, viewer], ...]. Raises UserError."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise UserError(f"{place} is no JSON; it is to hold {{image: [[x, y, viewer], ...]}}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{place} holds no object; it is to hold {{image: [[x, y, viewer], ...]}}.")
    return {str(name): _points(value, f"{place}, {name}") for name, value in content.items()}


def read_csv(data: bytes, place: str) -> dict[str, Points]:
    """A table with the columns image, x, y and perhaps viewer, in any order, with commas, semicolons or tabs between.

    Raises UserError.
    """
    text = data.decode("utf-8-sig", "replace")
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    if separator == ";":  # as programs write it where numbers have a decimal comma
        text = re.sub(r"(\d),(\d)", r"\1.\2", text)
    reader = csv.DictReader(io.StringIO(text), delimiter=separator)
    rows = [(reader.line_num, row) for row in reader]
    if not rows:
        raise UserError(f"{place} has no rows; it is to have the columns image, x and y, and perhaps viewer.")
    columns = {str(name).strip().lower(): name for name in rows[0][1]}
    image = next((columns[name] for name in IMAGE_COLUMNS if name in columns), None)
    viewer = next((columns[name] for name in VIEWER_COLUMNS if name in columns), None)
    if image is None or "x" not in columns or "y" not in columns:
        raise UserError(f"{place} needs the columns image, x and y, and perhaps viewer; it has {', '.join(columns)}.")
    found: dict[str, list[list[Any]]] = {}
    numbers: dict[str, int] = {}
    for line, row in rows:
        cells = {"image": row[image], "x": row[columns["x"]], "y": row[columns["y"]]}
        for column, cell in cells.items():
            if not cell or (column != "image" and not _is_finite(cell)):
                said = f"'{printable(cell[:40])}', which is no finite number" if cell else "empty"
                raise UserError(f"{place}, line {line}: {column} is {said}; mend the line or leave it out.")
        who = -1 if viewer is None else numbers.setdefault(row[viewer], len(numbers))
        found.setdefault(row[image], []).append([row[columns["x"]], row[columns["y"]], who])
    return {name: _points(value, f"{place}, {name}") for name, value in found.items()}


def read_mat(data: bytes, place: str, size: tuple[int, int]) -> Points:
    """The points of one image of `size`, height and width: a matrix of its size that is not 0 where it was looked at;
    [N,2] of x and y; or, as in SALICON, a struct for each viewer whose field "fixations" is [N,2], counted from 1.

    Raises UserError, also where SciPy is not installed.
    """
    try:
        from scipy.io import loadmat  # type: ignore[import-not-found,import-untyped,unused-ignore]  # an extra
    except ImportError:
        raise UserError(f"{place} needs SciPy: pip install 'reverie[classical]'.") from None
    try:
        content = loadmat(io.BytesIO(data))
    except Exception as error:  # hostile bytes make it raise almost anything
        raise UserError(f"{place} is no MATLAB file ({' '.join(str(error).split())[:80]}).") from None
    values = [value for name, value in content.items() if not name.startswith("__") and isinstance(value, np.ndarray)]
    if structs := [value[FIXATIONS] for value in values if FIXATIONS in (value.dtype.names or ())]:
        return _points_of_viewers(structs[0].ravel(), place)
    arrays = [value for value in values if value.ndim == 2 and value.dtype.kind in "iufb"]
    if len(arrays) != 1:
        raise UserError(
            f"{place} holds {len(arrays)} matrices; it is to hold one: a map of fixations, or [N,2] of x, y."
        )
    (matrix,) = arrays
    if matrix.shape[1] in (2, 3):
        return _points(matrix.tolist(), place)
    if matrix.shape != size:
        raise UserError(
            f"{place}: its matrix is {matrix.shape[1]}x{matrix.shape[0]} and the image {size[1]}x{size[0]}; a map of "
            "fixations has the size of its image."
        )
    if (share := np.count_nonzero(matrix) / matrix.size) > DENSE:
        raise UserError(
            f"{place} is a density and not a map of fixations, as {share:.0%} of it is not 0; save it as a grey "
            "image in a folder maps/."
        )
    rows, columns = np.nonzero(matrix)
    return np.stack([columns + 0.5, rows + 0.5, np.full(len(rows), -1.0)], 1)


def _points_of_viewers(viewers: np.ndarray, place: str) -> Points:
    """The points of several viewers, each [N,2] of x and y of pixels counted from 1. Raises UserError."""
    found = [_points(one.tolist(), place) for one in viewers if isinstance(one, np.ndarray) and one.size]
    for number, points in enumerate(found):
        points[:, :2] -= 0.5
        points[:, 2] = number
    return np.concatenate([np.zeros((0, 3)), *found])


def fault_of_map(header: decode.ImageHeader, data: bytes, size: tuple[int, int]) -> str:
    """Why an image cannot be the map of where people looked in one of `size`, height and width; "" if it can."""
    if header.fault:
        return f"its map cannot be read: {header.fault}"
    if header.alpha or not header.grey:
        try:
            image = decode.load_upright(data)
            alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
            coloured = conversion.has_chroma(conversion.to_array(image, 3))
        except InvalidFile as invalid:
            return f"its map cannot be read: {invalid}"
        if coloured:
            return "its map is in colours; give a grey one, brighter where people looked more"
        if alpha is not None and alpha.getextrema() != (255, 255):
            return "its map is transparent in part; give an opaque one, brighter where people looked more"
    if size[0] != size[1] and header.shape == size[::-1]:
        return "its map is turned by a quarter; save it as the image is shown"
    return ""


def has_shape_of(map_size: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether a map has the sides of its image in proportion, up to a pixel of rounding."""
    return abs(map_size[0] * size[1] - map_size[1] * size[0]) <= sum(size)


def match_files(names: Iterable[str], images: Iterable[str]) -> dict[str, str]:
    """File -> the image that it is of: of the same name without suffix; of several that in a folder of the same name.

    Files of no image, or of which that is not clear, are left out.
    """
    by_stem: dict[str, list[str]] = {}
    for image in images:
        by_stem.setdefault(PurePosixPath(image).stem, []).append(image)
    found = {}
    for name in names:
        path = PurePosixPath(name)
        candidates = by_stem.get(path.stem, [])
        if len(candidates) > 1:
            folder = path.parent.name
            candidates = [p for p in candidates if p == name or PurePosixPath(p).parent.name == folder]
        if len(candidates) == 1:
            found[name] = candidates[0]
    return found


def _points(value: Any, place: str) -> Points:
    """[N,3] of a list of [x, y] or [x, y, viewer]. Raises UserError."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        rows = enumerate(value, 1) if isinstance(value, list) else ()
        bad = next((n for n, row in rows if not (isinstance(row, list) and all(map(_is_finite, row)))), None)
        which = f", such as number {bad}" if bad else ""
        raise UserError(
            f"{place}: its points are no numbers{which}; give [x, y] or [x, y, viewer] of each, and leave those "
            "without out."
        ) from None
    if not array.size:
        return np.zeros((0, 3))
    if array.ndim != 2 or array.shape[1] not in (2, 3) or not np.isfinite(array).all():
        raise UserError(f"{place}: its points are not [x, y] or [x, y, viewer] each, finite numbers.")
    return array if array.shape[1] == 3 else np.concatenate([array, np.full((len(array), 1), -1.0)], 1)


def _is_finite(value: Any) -> bool:
    """Whether a cell or an entry is a finite number."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def check_axes(points: Mapping[str, Points], sizes: Mapping[str, tuple[int, int]], place: str) -> str:
    """A note on points outside their images; "" for none. sizes: height and width of each image.

    Raises UserError if many lie outside, and says so if swapping x and y would put more of them inside.
    """

    def share_outside(x: int, y: int) -> float:
        outside = total = 0
        for name, p in points.items():
            height, width = sizes[name]
            total += len(p)
            outside += int(((p[:, x] < 0) | (p[:, x] >= width) | (p[:, y] < 0) | (p[:, y] >= height)).sum())
        return outside / max(total, 1)

    if points and all(float(p[:, :2].max(initial=0)) <= 1 for p in points.values()):
        raise UserError(
            f"{place}: no x or y is above 1, so these are shares of the width and of the height; multiply them, since "
            "x and y are in pixels."
        )
    share = share_outside(0, 1)
    if share > SWAPPED and share_outside(1, 0) < share / 2:
        raise UserError(
            f"{place}: {share:.0%} of the points lie outside their images, and {share_outside(1, 0):.0%} if x and y "
            "change places; x goes to the right and y down, in pixels: swap them."
        )
    if share > OUTSIDE:
        raise UserError(
            f"{place}: {share:.0%} of the points lie outside their images; x goes to the right and y down, in pixels "
            "of the images as they are in their files."
        )
    return f"{share:.1%} of the points lie outside their images and are left out" if share else ""


def inside(points: Points, height: int, width: int) -> Points:
    """Those that lie in the image."""
    x, y = points[:, 0], points[:, 1]
    return points[(x >= 0) & (x < width) & (y >= 0) & (y < height)]


def split_names(lists: Mapping[str, bytes], names: Iterable[str], place: str) -> dict[str, list[str]]:
    """The names of each split by lists such as train.txt, one name a line; {} without any. Raises UserError."""
    known = {name: name for name in names} | {PurePosixPath(name).stem: name for name in names}
    found: dict[str, list[str]] = {}
    for split, data in lists.items():
        lines = [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines()]
        found[split] = [known[line] for line in lines if line in known]
        if lines and not found[split]:
            raise UserError(f"{place}: {split}.txt names no image that there is, such as '{lines[0]}'.")
    return found
