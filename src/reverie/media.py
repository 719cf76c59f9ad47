"""What verbs take and give: pictures (masks, texts and music will stand beside them).

uint8 at the border, [B,C,H,W] in [-1,1] inside. Imports no torch until tensors are asked for.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
from PIL.PngImagePlugin import PngInfo

from .errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

RECORD = "reverie"
"""the key of the PNG text chunk"""

# The IPTC's mark for pictures made by a trained model, as other programs look for it.
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)


@dataclass(frozen=True, eq=False)
class Image:
    """One picture: uint8 [H,W,C] with C = 1 (grey) or 3 (RGB)."""

    pixels: np.ndarray
    name: str = ""
    """the file it came from"""
    record: dict[str, Any] | None = None
    """how it was made, if it was"""
    inputs: tuple[dict[str, str], ...] = ()
    """the pictures it was made from: name and digest"""
    index: int | None = None
    """its place in the job it was made in"""
    told: dict[str, Any] | None = None
    """what a method says of it, such as {"class": "cat", "probability": 0.93}"""
    row: int = 0
    """how many belong side by side on a sheet; 0: as many as fit a square"""

    @classmethod
    def load(cls, path: str | Path) -> Image:
        """Reads a picture as training data is read (see reverie.data.decode). Raises UserError."""
        try:
            return cls.read(Path(path).read_bytes(), str(path))
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a picture.") from None

    @classmethod
    def read(cls, data: bytes, place: str = "it") -> Image:
        """Reads the bytes of a picture file; place: where they come from. Raises UserError."""
        from .data.decode import Unfit, quiet, whole

        try:
            with quiet():
                return cls(whole(data), Path(place).name)
        except Unfit as unfit:
            raise UserError(f"{place} is no usable picture ({unfit}); give another.") from None

    def save(self, path: str | Path) -> Path:
        """Writes a PNG that carries its record. Raises UserError on another ending, since others would lose it."""
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise UserError(f"cannot write {path}: generated pictures are PNG files; name it {path.stem}.png.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.png())
        return path

    def png(self) -> bytes:
        """The bytes of a PNG that carries its record."""
        text, held = PngInfo(), io.BytesIO()
        if self.record is not None:
            text.add_itxt(RECORD, json.dumps(self.record, sort_keys=True))
            if self.record.get("synthetic", True):
                text.add_itxt("XML:com.adobe.xmp", XMP)
        self.pil().save(held, format="PNG", pnginfo=text)
        return held.getvalue()

    def pil(self) -> PIL.Image.Image:
        """The same as a Pillow image."""
        return PIL.Image.fromarray(self.pixels[:, :, 0] if self.pixels.shape[2] == 1 else self.pixels)

    def _repr_png_(self) -> bytes | None:  # notebooks show it
        return self.pil()._repr_png_()

    @property
    def digest(self) -> str:
        """16 hex digits of SHA-256 over shape and pixels."""
        return hashlib.sha256(repr(self.pixels.shape).encode() + self.pixels.tobytes()).hexdigest()[:16]

    def stamped(self, record: dict[str, Any]) -> Image:
        """The same with a record of how it was made."""
        if self.inputs:
            record = {**record, "inputs": list(self.inputs)}
        if self.told:
            record = {**record, "told": self.told}
        return dataclasses.replace(self, record=record)

    def made_from(self, *sources: Image) -> Image:
        """The same, noting which pictures it was made from."""
        return dataclasses.replace(self, inputs=tuple({"name": s.name, "digest": s.digest} for s in sources))

    def in_rows_of(self, columns: int) -> Image:
        """The same, to stand with others in rows of so many on a sheet."""
        return dataclasses.replace(self, row=columns)

    @staticmethod
    def to_tensor(images: Sequence[Image], size: int, channels: int) -> Tensor:
        """[B,C,size,size] in [-1,1], cropped and scaled as training data is."""
        import torch

        from .data.decode import fit

        pixels = np.stack([fit(image.pil(), size, channels) for image in images])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1

    @staticmethod
    def from_tensor(x: Tensor) -> Iterator[Image]:
        """One Image a row of x [B,C,H,W]; values are clamped to [-1,1] and rounded to the nearest of 256 levels."""
        import torch

        levels = ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        for pixels in levels.permute(0, 2, 3, 1).cpu().numpy():
            yield Image(np.ascontiguousarray(pixels))


@dataclass(frozen=True, eq=False)
class Code:
    """What a picture is encoded as: float32 [Z]."""

    values: np.ndarray
    record: dict[str, Any] | None = None
    """how it was made"""
    inputs: tuple[dict[str, str], ...] = ()
    """the picture it stands for: name and digest"""
    index: int | None = None
    told: None = None

    def stamped(self, record: dict[str, Any]) -> Code:
        """The same with a record of how it was made."""
        return dataclasses.replace(self, record={**record, "inputs": list(self.inputs)})

    @classmethod
    def of(cls, source: Image, z: Tensor) -> Code:
        """z [Z], which stands for a picture."""
        return cls(z.float().cpu().numpy(), inputs=({"name": source.name, "digest": source.digest},))


def save_codes(codes: Sequence[Code], path: str | Path) -> Path:
    """Writes a table, CSV: picture, its digest, the run that encoded it, z1, z2 ... to nine digits, which is all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["picture", "digest", "run", *(f"z{i}" for i in range(1, len(codes[0].values) + 1))])
        for code in codes:
            source, record = (code.inputs or ({"name": "", "digest": ""},))[0], code.record or {}
            numbers = [f"{value:.9g}" for value in code.values]
            table.writerow([source["name"], source["digest"], record.get("run", ""), *numbers])
    return path


def sheet(images: Sequence[Image], columns: int = 0, gap: int = 2) -> Image:
    """A contact sheet: rows of pictures of one size on a grey ground, `gap` pixels apart."""
    columns = columns or images[0].row or math.ceil(math.sqrt(len(images)))
    height, width, channels = images[0].pixels.shape
    rows = math.ceil(len(images) / columns)
    ground = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 128, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        ground[top : top + height, left : left + width] = image.pixels
    record = images[0].record
    if record is None:
        return Image(ground)
    layout = {"images": len(images), "columns": columns, "gap": gap, "first": record.get("index", 0)}
    if len(images[0].inputs) == 1:  # each was made from a picture of its own
        record = {**record, "inputs": [source for image in images for source in image.inputs]}
    if images[0].told:
        record = {**record, "told": [image.told for image in images]}
    return Image(ground, record={**record, "sheet": layout})


def above(upper: Sequence[Image], lower: Sequence[Image], columns: int = 8) -> Image:
    """A sheet of rows of pictures, each with its counterpart under it."""
    rows: list[Image] = []
    for start in range(0, len(upper), columns):
        rows += [*upper[start : start + columns], *lower[start : start + columns]]
    return sheet(rows, min(columns, len(upper)))


def read_record(path: str | Path) -> dict[str, Any]:
    """The record a generated file carries. Raises UserError if the file is unreadable or carries none."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}; give the path of a generated picture.")
    try:
        with PIL.Image.open(path) as picture:
            text = getattr(picture, "text", {}).get(RECORD)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a picture ({error}); give a PNG that reverie wrote.") from None
    try:
        record = json.loads(text) if text else None
    except ValueError:
        record = None
    if not isinstance(record, dict) or not _is_record(record):
        raise UserError(f"{path} carries no record of reverie; it was not made here, or a program removed it.")
    return record


def _is_record(found: dict[str, Any]) -> bool:
    """Whether JSON from a file, which anybody may have written, has the shape of a record."""
    inputs, layout = found.get("inputs", []), found.get("sheet", _LAYOUT)
    return (
        isinstance(found.get("arguments"), dict)
        and isinstance(found.get("index"), int)
        and isinstance(inputs, list)
        and all(isinstance(source, dict) and {"name", "digest"} <= source.keys() for source in inputs)
        and isinstance(layout, dict)
        and all(isinstance(layout.get(k), int) and low <= layout[k] <= 1_000_000 for k, low in _LAYOUT.items())
    )


_LAYOUT = {"images": 1, "columns": 1, "gap": 0, "first": 0}
"""what a sheet's record says of it, with the least of each"""
