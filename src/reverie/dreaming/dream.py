"""DeepDream in photographs: what a network's layers see in a photo, climbed until everybody sees it.

Mordvintsev, Olah, Tyka 2015, "Inceptionism: Going deeper into neural networks".
C channels, H, W pixels; images x [1,3,H,W] in [-1,1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.core.constraints import Count, MultipleOf, Positive, Range, Share
from reverie.dreaming.arguments import as_network, checked_arguments, progress_bar, record_of
from reverie.dreaming.ascent import Ascent, climb, octave_sizes
from reverie.dreaming.network import DreamNetwork
from reverie.dreaming.objective import LayerObjective, Term, read_terms
from reverie.dreaming.styles import find_style
from reverie.media import ItemList, Photo
from reverie.media.from_python import items_of
from reverie.utils.errors import UserError
from reverie.utils.seeding import seed_for

DEFAULT_STYLE = "creatures"
DEEP = 0.65
"""share of the layers behind which the default layer of a network without styles lies"""
MEDIA = ("images", "guide", "weights")
"""arguments that are not options"""
GUIDE_SIZE = 288
"""pixels of the longer side that a guide picture is seen at"""


def dream(
    images: Any,
    *,
    style: str = "",
    layers: tuple[str, ...] = (),
    weights: Any = None,
    guide: Any = None,
    strength: Annotated[float, Range(above=0, most=20)] = 1.0,
    seed: Annotated[int, Range(0)] = 0,
    octaves: Annotated[int, Range(1, 12)] | None = None,
    octave_scale: Annotated[float, Range(above=1, most=4)] | None = None,
    steps: Count | None = None,
    step_size: Positive | None = None,
    jitter: Annotated[int, Range(0, 512)] | None = None,
    smoothing: Annotated[float, Range(0, 16)] | None = None,
    colour: Share | None = None,
    frames: Count = 1,
    zoom: Annotated[float, Range(1, 1.5)] = 1.04,
    carry: Share = 0.0,
    tile: Annotated[int, MultipleOf(32, 128)] = 512,
    progress: bool = True,
) -> ItemList[Photo]:
    """Photographs in which a network's layers are strengthened, in their own size, depth and transparency.

    images: photographs: paths, arrays, Pillow images, one or many
    style: a mix of layers by name, such as creatures, serpents, labyrinth; --list-styles lists them
    layers: layers to strengthen, with commas between them: LAYER, LAYER:CHANNEL, LAYER=WEIGHT; --list-layers lists them
    weights: the network: none for that of ImageNet which is installed, a weights file, a run, or a public name
    guide: a picture whose features in these layers the photo takes on
    strength: times the steps of the style: 0.5 for a hint, 3 for a fever
    seed: of the random shifts; the same seed and photo give the same file
    octaves: sizes at which the photo is climbed, from small to its own
    octave_scale: one size to the one before it
    steps: steps of the ascent at each size
    step_size: levels of 255 that a value moves in a step, on average
    jitter: pixels that the photo is shifted by at random in each step, at most
    smoothing: pixels; deviation of the Gaussians that smooth the gradient
    colour: from 0, the colours that the network likes, to 1, hardly any but the photo's own
    frames: how many pictures to make of a photo, each zoomed into the one before and dreamt on
    zoom: how much closer each frame is than the one before
    carry: of a sequence of photos, the share of what was added to the last one that the next begins with
    tile: pixels a side of the windows that a large photo is seen through; smaller ones need less memory
    progress: whether a terminal shows a bar

    Raises UserError where one of these is wrong.
    """
    return ItemList(stream_dreams(dict(locals())))


def stream_dreams(given: dict[str, Any]) -> Iterator[Photo]:
    """As dream, one photograph after the other; `given` has arguments of dream by name."""
    given = checked_arguments(dream, given, MEDIA)
    network = as_network(given["weights"])
    style, terms = _terms(network, given["style"], given["layers"])
    how = _ascent(style, given)
    if given["images"] is None:
        raise UserError("images is None; give one or more photographs.")
    photos = items_of(given["images"], Photo, "images")
    guide = None if given["guide"] is None else _guide(items_of(given["guide"], Photo, "guide"))
    objective = LayerObjective(network, terms, guide)
    record = {**record_of("dream", [network], given, MEDIA), "layers": [term._asdict() for term in terms]}
    before: Tensor | None = None
    index = 0
    for photo in photos:
        x = photo.to_tensor(3).clone()
        if before is not None and given["carry"]:
            x = (x + given["carry"] * F.interpolate(before, x.shape[2:], mode="bilinear")).clamp_(-1, 1)
        objective.calibrate(x)
        seed = seed_for(given["seed"], photo)
        for frame, y in enumerate(_frames(x, objective, how, given, seed, photo.name)):
            if given["carry"] and frame == 0:
                before = y - photo.to_tensor(3)
            made = photo.with_pixels(y[0])
            yield made.with_provenance({**record, "index": index + frame})
        index += given["frames"]


def _frames(
    x: Tensor, objective: LayerObjective, how: Ascent, given: dict[str, Any], seed: int, name: str
) -> Iterator[Tensor]:
    """The photo x dreamt on; then, frame by frame, what came out, zoomed in and dreamt on at the largest sizes.

    Each frame gets the brightness and contrast of the photo back, which would else drift away in a long film.
    """
    generator = torch.Generator().manual_seed(seed)
    later = dataclasses.replace(how, octaves=min(2, how.octaves), steps=max(1, how.steps // 4))
    photo = x
    frames = given["frames"]
    works = [_work(x, how), *[_work(x, later)] * (frames - 1)]
    with progress_bar(sum(works), f"dreaming {name or 'image'}", given["progress"]) as bar:
        for frame in range(frames):
            x = climb(x, objective, how if frame == 0 else later, generator, bar.update)
            yield x
            if frame < frames - 1:
                x = levelled(zoomed(x, given["zoom"]), photo)


def zoomed(x: Tensor, zoom: float) -> Tensor:
    """The centre of x [1,C,H,W], enlarged by `zoom` to the same size."""
    height, width = x.shape[2:]
    grid = F.affine_grid(torch.tensor([[[1 / zoom, 0, 0], [0, 1 / zoom, 0]]]), [1, x.shape[1], height, width], False)
    return F.grid_sample(x, grid, "bicubic", "border", False).clamp_(-1, 1)


def levelled(x: Tensor, like: Tensor) -> Tensor:
    """x [1,C,H,W] with the mean and deviation of each colour of `like`."""
    deviation, mean = torch.std_mean(x, (2, 3), keepdim=True)
    wanted_deviation, wanted_mean = torch.std_mean(like, (2, 3), keepdim=True)
    return ((x - mean) * (wanted_deviation / deviation.clamp(min=1e-3)) + wanted_mean).clamp_(-1, 1)


def _work(x: Tensor, how: Ascent) -> int:
    """Pixels that all steps of an ascent move."""
    return how.steps * sum(h * w for h, w in octave_sizes(x.shape[2], x.shape[3], how))


def _terms(network: DreamNetwork, style: str, layers: tuple[str, ...]) -> tuple[dict[str, Any], list[Term]]:
    """What a style changes of the ascent, and the terms to climb: of the layers given, else of the style."""
    if style and layers:
        raise UserError("give --style or --layers, not both.")
    if layers:
        return {}, read_terms(layers, network)
    chosen = find_style(style or DEFAULT_STYLE)
    names = [text.partition("=")[0].partition(":")[0] for text in chosen.layers]
    if all(name in network.layers for name in names):
        return chosen.ascent, read_terms(chosen.layers, network)
    if style:
        raise UserError(
            f"style {style} has the layers {', '.join(names)}, which {network.name} has not; give --layers."
        )
    maps = [layer for layer in network.layers.values() if layer.height * layer.width > 1]
    if not maps:
        raise UserError(f"{network.name} has no layer with a map to dream of; give another network.")
    return {}, [Term(maps[round(DEEP * (len(maps) - 1))].name)]


def _ascent(style: dict[str, Any], given: dict[str, Any]) -> Ascent:
    """How to climb: the defaults, what the style changes, what was given; and `strength`."""
    names = ("octaves", "octave_scale", "steps", "step_size", "jitter", "smoothing", "colour")
    chosen = {name: given[name] for name in names if given[name] is not None}
    how = Ascent(**{**style, **chosen, "tile": given["tile"]})
    return dataclasses.replace(how, steps=max(1, round(how.steps * given["strength"])))


def _guide(photos: Any) -> Tensor:
    """The one guide picture, at a size that the network is used to."""
    if len(photos) != 1:
        raise UserError(f"guide is {len(photos)} pictures; give one.")
    x = photos[0].to_tensor(3)
    k = min(1.0, GUIDE_SIZE / max(x.shape[2:]))
    return F.interpolate(x, [max(1, round(side * k)) for side in x.shape[2:]], mode="bilinear", antialias=k < 1)
