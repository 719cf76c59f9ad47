"""A page of a whole network: what channels of each layer look for, and what each layer sees in a photo.

B batch, C channels, H = W pixels.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

from reverie._version import __version__
from reverie.core.constraints import Count, Range
from reverie.core.options import convert
from reverie.dreaming.arguments import as_network, checked_arguments, progress_bar, record_of
from reverie.dreaming.dream import dream
from reverie.dreaming.network import DreamNetwork, Layer
from reverie.dreaming.visualize import checked_defaults, optimise
from reverie.media import Image, Photo, image_grid, read_record
from reverie.media.from_python import items_of
from reverie.report.embedded_image import read_image
from reverie.report.html import Section, render_page
from reverie.utils.atomic_files import disk_errors, replace_text
from reverie.utils.errors import UserError
from reverie.utils.formatting import clock
from reverie.utils.seeding import seed_of

MEDIA = ("weights", "image", "out")
"""arguments that are not options"""
PAGE, ROW = "index.html", 6
"""the page's name; images in a row of a sheet"""


def atlas(
    out: Any,
    *,
    weights: Any = None,
    image: Any = None,
    layers: tuple[str, ...] = (),
    most_layers: Count = 12,
    channels: Count = 6,
    size: Annotated[int, Range(16, 512)] = 128,
    steps: Count = 64,
    seed: Annotated[int, Range(0)] = 0,
    progress: bool = True,
) -> Path:
    """Fills a folder with a page (index.html) and a PNG sheet for each layer, and returns the page.

    out: the folder; sheets of the same arguments that are there are kept, so that a job that was cut off goes on
    weights: the network, as in dream
    image: a photo, to show also what each layer sees in it
    layers: layers to show, with commas between them; none: some of all depths
    most_layers: how many layers at most where none are named
    channels: channels to show of each layer, evenly spread over all of them
    size: pixels a side of the images
    steps: steps of Adam for each
    seed: of the noise that each begins as
    progress: whether a terminal shows a bar

    How long it will take is said on stderr beforehand. Raises UserError where one of these is wrong.
    """
    given = checked_arguments(atlas, dict(locals()), MEDIA)
    folder = convert(out, Path, "out")
    network = as_network(weights)
    chosen = _layers(network, given)
    photos = [] if image is None else items_of(image, Photo, "image")
    record = record_of("atlas", [network], given, MEDIA)
    if folder.is_file() or folder.suffix:
        raise UserError(f"the atlas is a folder, and --out is {out}; give the name of a folder.")
    sections = []
    with disk_errors(folder):
        _say_time(network, chosen, given, folder, record)
        with progress_bar(len(chosen), "atlas", given["progress"], " layers") as bar:
            for layer in chosen:
                sections.append(_section(network, layer, given, folder, record, photos))
                bar.update(1)
        about = {"network": network.name, "size": given["size"], "seed": given["seed"], "version": __version__}
        html = render_page("atlas.html.jinja", f"Atlas of {network.name}", sections, **about)
        replace_text(folder / PAGE, html)
    return folder / PAGE


def _section(
    network: DreamNetwork, layer: Layer, given: dict[str, Any], folder: Path, record: dict[str, Any], photos: Any
) -> Section:
    """The sheet of a layer, made where it is not there yet, and its part of the page."""
    shown, path = _channels(layer, given["channels"]), folder / _file(layer)
    own = {**record, "layer": layer.name, "channels": shown, "index": 0}
    if not _is_made(path, own):
        images = [*Image.from_tensor(_preferred(network, layer, shown, given))]
        image_grid(images, min(len(images), ROW)).with_provenance(own).save(path)
    dreamt = ""
    if photos and layer.height * layer.width > 1:
        dreamt = f"{path.stem}-dream.png"
        inputs = [{"name": photo.name, "digest": photo.digest} for photo in photos[:1]]
        if not _is_made(folder / dreamt, {**own, "inputs": inputs}):
            made = dream(photos[:1], layers=(layer.name,), weights=network, seed=given["seed"], progress=False)[0]
            made.with_provenance(own).save(folder / dreamt)
    content = {
        "channels": layer.channels, "height": layer.height, "width": layer.width, "shown": shown,
        "sheet": _embedded(path), "dreamt": _embedded(folder / dreamt) if dreamt else "",
        "photo": photos[0].name if photos else "",
    }  # fmt: skip
    return Section(path.stem, layer.name, "atlas_layer.html.jinja", content)


def _preferred(network: DreamNetwork, layer: Layer, shown: Sequence[int], given: dict[str, Any]) -> Tensor:
    """The images [B,3,H,W] that these channels answer to most, all climbed at once."""

    def value(x: Tensor) -> Tensor:
        map_ = network.maps(x, [layer.name])[layer.name]
        own = [shown[i % len(shown)] for i in range(len(x))]
        return map_[range(len(x)), own].reshape(len(x), -1).mean(1)

    options = checked_defaults(steps=given["steps"], seed=given["seed"], crops=1)
    place = list(network.layers).index(layer.name)
    return optimise([value], options, given["size"], [seed_of(place, channel) for channel in shown], None)


def _layers(network: DreamNetwork, given: dict[str, Any]) -> list[Layer]:
    """The layers named, or some of all depths."""
    if given["layers"]:
        return [network.layer(name) for name in given["layers"]]
    every = list(network.layers.values())
    count = min(given["most_layers"], len(every))
    if not count:
        raise UserError(f"{network.name} has no layers to show.")
    return [every[round(i * (len(every) - 1) / max(1, count - 1))] for i in range(count)]


def _channels(layer: Layer, count: int) -> list[int]:
    """So many of the layer's channels, evenly spread."""
    count = min(count, layer.channels)
    return [i * layer.channels // count for i in range(count)]


def _file(layer: Layer) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in layer.name) + ".png"


def _embedded(path: Path) -> str:
    """A PNG as a data URI, so that the page needs no other file."""
    image = read_image(path)
    if image is None:
        raise UserError(f"{path} cannot be read; delete it, and call atlas again.")
    return image.source


def _is_made(path: Path, record: dict[str, Any]) -> bool:
    """Whether the file is there with this record."""
    try:
        return path.is_file() and bool(read_record(path) == json.loads(json.dumps(record)))
    except (UserError, OSError, ValueError):
        return False


def _say_time(
    network: DreamNetwork, layers: Sequence[Layer], given: dict[str, Any], folder: Path, record: dict[str, Any]
) -> None:
    """Says on stderr how many sheets are to be made, and about how long that takes, timed at a middle layer."""
    missing = [
        layer
        for layer in layers
        if not _is_made(
            folder / _file(layer),
            {**record, "layer": layer.name, "channels": _channels(layer, given["channels"]), "index": 0},
        )
    ]
    more = ", and the dreams of the photo" if given["image"] is not None else ""
    kept = f", {len(layers) - len(missing)} are there already" if len(missing) < len(layers) else ""
    if not missing:
        print(f"atlas: all {len(layers)} sheets are there already", file=sys.stderr)
        return
    middle = missing[len(missing) // 2]
    marks = []
    for steps in (1, 1, 3):  # the first call is slower than all others, and each has a beginning
        began = time.monotonic()
        _preferred(network, middle, _channels(middle, given["channels"]), {**given, "steps": steps})
        marks.append(time.monotonic() - began)
    seconds = max(marks[2] - marks[1], marks[2] / 6) / 2 * given["steps"] * len(missing)
    print(f"atlas: {len(missing)} sheets to make{kept}; about {clock(seconds)}{more}", file=sys.stderr, flush=True)
