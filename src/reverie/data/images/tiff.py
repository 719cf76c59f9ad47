"""What Pillow and OpenCV do not tell of a TIFF, or do not read of it: planar ones of 16 bits, alpha, unread kinds."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, ORIENTATION = 256, 257, 258, 259, 262, 266, 274
SAMPLES, ROWS_PER_STRIP, PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT = 277, 278, 284, 317, 322, 323
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339
KEPT = (WIDTH, HEIGHT, COMPRESSION, FILL_ORDER, ORIENTATION, ROWS_PER_STRIP, PREDICTOR, TILE_WIDTH, TILE_HEIGHT)
"""what holds for each channel as for all"""
PLACES = (273, 279, 324, 325)
"""offsets and lengths of strips, and of tiles: of the first channel all, then of the second ..."""
COLOURS = {0: ("grey", 1), 1: ("grey", 1), 2: ("RGB", 3), 3: ("a palette", 1), 5: ("CMYK", 4), 6: ("YCbCr", 3),
           8: ("Lab", 3), 9: ("Lab", 3)}  # fmt: skip
"""PhotometricInterpretation -> the colours, and how many channels they have"""
FORMATS = {2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}
"""SampleFormat -> what the values are, but for unsigned integers"""
TO_PNG = "convert it to 16-bit PNG, such as with `magick mogrify -format png -depth 16 FILE`"


def tags_of(image: Image.Image) -> Mapping[int, Any]:
    """The tags of an open TIFF; none of an image of another format."""
    return getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}


def is_deep_planar(image: Image.Image) -> bool:
    """Whether an open TIFF has 16 bits a channel and its channels one after the other."""
    tags = tags_of(image)
    return int(tags.get(PLANAR, 1)) == 2 and int(tags.get(SAMPLES, 1)) > 1 and max(_values(tags.get(BITS, 8))) == 16


def has_premultiplied_alpha(image: Image.Image) -> bool:
    """Whether the colours of an open TIFF have been multiplied by its alpha."""
    return 1 in _values(tags_of(image).get(EXTRA_SAMPLES, ()))


def planar_channels(data: bytes, tags: Mapping[int, Any]) -> list[Image.Image]:
    """The channels of a planar TIFF of 16 bits, decoded and upright, as images of 16 bits.

    Pillow takes them for 8 bits where they are not compressed, and OpenCV for interleaved ones. Each channel is read
    from the same bytes by a directory of its own, which says that it is all there is, and grey.
    """
    found = []
    for channel in range(int(tags[SAMPLES])):
        with Image.open(io.BytesIO(_as_grey(data, tags, channel)), formats=("TIFF",)) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            found.append(image)
    return found


def in_8_bits(image: Image.Image, data: bytes) -> Image.Image:
    """A planar TIFF of 16 bits, of which `image` has the header, decoded and upright, with the upper 8 bits of each."""
    bands = [Image.fromarray((np.asarray(c) >> 8).astype(np.uint8)) for c in planar_channels(data, tags_of(image))]
    mode = "RGBa" if image.mode == "RGBA" and has_premultiplied_alpha(image) else image.mode
    made = Image.merge(mode, bands[: len(image.getbands())]).convert(image.mode)
    made.info.update(image.info)
    return made


def _as_grey(data: bytes, tags: Mapping[int, Any], channel: int) -> bytes:
    """The file with a directory behind its end that knows of one channel only."""
    entries: dict[int, tuple[int, ...]] = {BITS: (16,), PHOTOMETRIC: (1,), SAMPLES: (1,), PLANAR: (1,)}
    for tag in KEPT:
        if tag in tags:
            entries[tag] = _values(tags[tag])[:1]
    for tag in PLACES:
        if tag in tags:
            values = _values(tags[tag])
            each = len(values) // int(tags[SAMPLES])
            entries[tag] = values[channel * each : (channel + 1) * each]
    order, data = ("<" if data[:2] == b"II" else ">"), data + b"\0" * (len(data) % 2)
    table, lists = struct.pack(f"{order}H", len(entries)), b""
    behind = len(data) + 2 + 12 * len(entries) + 4
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        inline = len(values) == 1
        place = packed if inline else struct.pack(f"{order}I", behind + len(lists))
        table += struct.pack(f"{order}HHI", tag, 4, len(values)) + place
        lists += b"" if inline else packed
    header = data[:2] + struct.pack(f"{order}HI", 42, len(data))
    return header + data[len(header) :] + table + bytes(4) + lists


def unread_kind_of_tiff(data: bytes) -> str:
    """What a TIFF holds that Pillow does not open, and how to convert it; "" where its directory is damaged."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8])
        stream = io.BytesIO(data)
        stream.seek(tags.next)
        tags.load(stream)
        samples, bits = int(tags.get(SAMPLES, 1)), max(_values(tags[BITS]))
        size = int(tags[WIDTH]) * int(tags[HEIGHT])
        colours, of_them = COLOURS[int(tags[PHOTOMETRIC])]
        kind = FORMATS.get(max(_values(tags.get(SAMPLE_FORMAT, 1))), "")
    except Exception:  # hostile bytes make Pillow raise almost anything
        return ""
    if not (size and 0 < bits <= 128 and of_them <= samples):
        return ""
    more = samples - of_them
    others = {0: "", 1: " with alpha"}.get(more, f" with {more} more channels")
    advice = TO_PNG if more < 2 else "save the channels that are meant as RGB or as grey"
    return f"a TIFF of {colours}{others}, {bits} {kind}bits a channel, which is not read; {advice}"


def _values(value: Any) -> tuple[int, ...]:
    """A tag's one value or many."""
    return tuple(map(int, value)) if isinstance(value, tuple | list) else (int(value),)
