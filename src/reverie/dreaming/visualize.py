"""Images of what a class or a channel of a network looks for, from noise, from black, or from a picture.

Olah, Mordvintsev, Schubert 2017, "Feature visualization", doi:10.23915/distill.00007; styles: see parametrisation.py.
B batch, K classes, H = W pixels; images [B,3,H,W] in [-1,1].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.core.constraints import Count, NonNegative, Positive, Range
from reverie.dreaming.arguments import as_network, checked_arguments, progress_bar, record_of
from reverie.dreaming.network import DreamNetwork
from reverie.dreaming.objective import Term, read_terms
from reverie.dreaming.open_network import IMAGENET_LARGER
from reverie.dreaming.parametrisation import Parametrisation, faint_noise, fourier, phases, pixels
from reverie.media import Image, ItemList, Photo
from reverie.media.from_python import items_of
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise, seed_of

MEDIA = ("targets", "weights", "image")
"""arguments that are not options"""
CHANNEL = re.compile(r"(.+):(\d+)")
SEEN = (160, 224)
"""pixels a side of the crops that the network sees: of larger images five sevenths of their side, within these"""

Value = Callable[[Tensor], Tensor]
"""images [B,3,H,W] -> what is climbed for each, [B]"""


def visualize(
    targets: Any,
    *,
    weights: Any = None,
    style: Literal["fourier", "maco", "pixels"] = "fourier",
    n: Count = 1,
    seed: Annotated[int, Range(0)] = 0,
    size: Annotated[int, Range(16, 2048)] | None = None,
    steps: Count = 160,
    crops: Count = 1,
    least_crop: Annotated[float, Range(0.05, 1)] | None = None,
    crop_noise: Annotated[float, Range(0, 2)] = 0.1,
    lr: Positive | None = None,
    start: Literal["noise", "black"] = "noise",
    image: Any = None,
    unit: bool = False,
    diversity: NonNegative = 0.0,
    progress: bool = True,
) -> ItemList[Image]:
    """Images that a network takes for a class, or that one of its channels answers to most.

    targets: classes by index or name, or channels as LAYER:CHANNEL; one or a list
    weights: the network, as in dream; of several, the steps climb one after the other (ensemble); none: for classes
        EfficientNet-Lite0 and Lite2, for channels Lite0
    style: fourier: frequencies in photographs' colours; maco: only their phases are free; pixels: each by itself
    n: images of each target
    seed: image i of a target depends on (seed, target, i) alone, unless there is a diversity term
    size: pixels a side; none: that of the network
    steps: steps of Adam
    crops: random crops of the image that the network sees in each step
    least_crop: side of the smallest crop, as a share of the image's; 1: the whole image; none: 0.45, of maco 0.2
    crop_noise: deviation of the noise on a crop, in [-1,1]
    lr: learning rate of Adam; none: as suits the style
    start: what the image begins as, faint noise or black
    image: a picture to begin with
    unit: of a channel, climb only what lies in the middle of its map, rather than all of it
    diversity: weight of a term that makes the n images of a target unlike one another
    progress: whether a terminal shows a bar

    Raises UserError where one of these is wrong.
    """
    return ItemList(stream_visualizations(dict(locals())))


def stream_visualizations(given: dict[str, Any]) -> Iterator[Image]:
    """As visualize, one image after the other; `given` has arguments of visualize by name."""
    given = checked_arguments(visualize, given, MEDIA)
    targets, networks = [str(target) for target in _listed(given["targets"])], _networks(given["weights"])
    of_classes = networks
    if given["weights"] is None and not all(CHANNEL.fullmatch(target) for target in targets):
        of_classes = [*networks, as_network(IMAGENET_LARGER)]
    found = [_climbed(networks, of_classes, target, given["unit"]) for target in targets]
    side = given["size"] or max(32, networks[0].size)
    first = None if given["image"] is None else _first_image(given["image"], side)
    sources = [] if given["image"] is None else items_of(given["image"], Photo, "image")
    jointly = given["diversity"] > 0 and given["n"] > 1
    groups = [list(range(given["n"]))] if jointly else [[i] for i in range(given["n"])]
    index = 0
    with progress_bar(len(found) * given["n"] * given["steps"], "visualizing", given["progress"], " steps") as bar:
        for target in found:
            record = {**record_of("visualize", target.networks, given, MEDIA), "target": target.name}
            for items in groups:
                keys = [seed_of(target.key, i) for i in items]
                x = optimise(target.values, given, side, keys, first, bar.update, networks[0])
                for made in Image.from_tensor(x):
                    made = made.made_from(*sources) if sources else made
                    yield made.with_provenance({**record, "index": index})
                    index += 1


def checked_defaults(**options: Any) -> dict[str, Any]:
    """The options of visualize, checked, with defaults for the others. Raises UserError."""
    return checked_arguments(visualize, options, MEDIA)


def optimise(
    values: Sequence[Value], given: dict[str, Any], side: int, keys: Sequence[int], first: Tensor | None,
    tick: Callable[[int], Any] = int, network: DreamNetwork | None = None,
) -> Tensor:  # fmt: skip
    """Images [len(keys),3,side,side] with large values, of which each step climbs one, in turn.

    Image i depends on (seed, keys[i]) alone but for diversity.
    """
    described = _begin(given, noise(given["seed"], keys, 3, side, side), first)
    generator = torch.Generator().manual_seed(seed_of(given["seed"], *keys))
    least = given["least_crop"] or (0.2 if given["style"] == "maco" else 0.45)
    seen = min(side, max(SEEN[0], min(SEEN[1], side * 5 // 7)))
    optimizer = torch.optim.Adam([described.parameters], given["lr"] or described.lr)
    for step in range(given["steps"]):
        x = described.image()
        views = random_crops(x, given["crops"], least, seen, generator) if least < 1 else x
        views = views + given["crop_noise"] * torch.randn(views.shape, generator=generator)
        loss = -values[step % len(values)](views).mean()
        if given["diversity"] and len(keys) > 1 and network is not None:
            loss = loss + given["diversity"] * likeness(network, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tick(len(keys))
    return described.image().detach()


def random_crops(x: Tensor, n: int, least: float, size: int, generator: torch.Generator) -> Tensor:
    """n random squares of x [B,3,H,H], of sides from `least` to 1 of its side, resized: [n*B,3,size,size]."""
    views = []
    for _ in range(n):
        share = least + (1 - least) * float(torch.rand((), generator=generator))
        side = max(8, round(share * x.shape[2]))
        top, left = (int(torch.randint(x.shape[2] - side + 1, (), generator=generator)) for _ in range(2))
        part = x[:, :, top : top + side, left : left + side]
        views.append(F.interpolate(part, (size, size), mode="bilinear", align_corners=False))
    return torch.cat(views)


def likeness(network: DreamNetwork, x: Tensor) -> Tensor:
    """The mean cosine of the Gram matrices of two different images of x [B,3,H,W], in a layer of medium depth.

    Olah 2017, "Diversity".
    """
    maps = [layer for layer in network.layers.values() if layer.height * layer.width > 1]
    map_ = next(iter(network.maps(x, [maps[len(maps) // 2].name]).values())).flatten(2)  # [B,C,hw]
    grams = F.normalize((map_ @ map_.transpose(1, 2)).flatten(1), dim=1)
    cosines = grams @ grams.T
    return (cosines.sum() - cosines.trace()) / (len(x) * (len(x) - 1))


def _begin(given: dict[str, Any], noises: Tensor, first: Tensor | None) -> Parametrisation:
    """The parametrisation of the style, at the image to begin with."""
    begin = faint_noise(noises)
    if first is not None:
        begin = (first + 0.1 * begin).clamp(-1, 1)
    elif given["start"] == "black":
        begin = (0.1 * begin - 0.95).clamp(-1, 1)
    if given["style"] == "maco":
        return phases(noises if first is None else begin)
    return fourier(begin) if given["style"] == "fourier" else pixels(begin)


def _listed(targets: Any) -> list[Any]:
    """The targets, one or many. Raises UserError if there is none."""
    many = isinstance(targets, Iterable) and not isinstance(targets, str)
    listed = list(targets) if many else [] if targets is None else [targets]
    if not listed:
        raise UserError("there is no target; give a class by name or index, or a channel as LAYER:CHANNEL.")
    return listed


def _networks(weights: Any) -> list[DreamNetwork]:
    """The one network, or those of an ensemble."""
    many = list(weights) if isinstance(weights, list | tuple) else [weights]
    return [as_network(one) for one in many or [None]]


class Target(NamedTuple):
    """A class or a channel to climb."""

    name: str
    key: int
    """tells it from others"""
    networks: Sequence[DreamNetwork]
    values: Sequence[Value]
    """of each network"""


def _climbed(networks: Sequence[DreamNetwork], of_classes: Sequence[DreamNetwork], target: str, unit: bool) -> Target:
    """What is climbed for a class or a channel.

    of_classes: the networks that are climbed for a class

    The raw logit, never the cross-entropy: that falls just as much when other classes are suppressed.
    """
    channel = CHANNEL.fullmatch(target)
    if channel and channel[1] in networks[0].layers:
        (term,) = read_terms([target], networks[0])
        if len(networks) > 1:
            raise UserError("channels of several networks have nothing in common; give one of --weights.")
        key = seed_of(list(networks[0].layers).index(term.layer), term.channel or 0)
        return Target(target, key, networks, [_of_channel(networks[0], term, unit)])
    if channel:
        networks[0].layer(channel[1])  # raises, with the closest layer
    classes = [network.find_class(target) for network in of_classes]
    values = [_of_class(network, k) for network, k in zip(of_classes, classes, strict=True)]
    return Target(networks[0].class_names[classes[0]], classes[0], of_classes, values)


def _of_class(network: DreamNetwork, k: int) -> Value:
    """The logit of class k."""
    return lambda x: network.logits(x)[:, k]


def _of_channel(network: DreamNetwork, term: Term, unit: bool) -> Value:
    """The mean of a channel's map, or what lies in its middle."""

    def value(x: Tensor) -> Tensor:
        map_ = network.maps(x, [term.layer])[term.layer]
        if unit and map_.ndim == 4:
            return map_[:, term.channel, map_.shape[2] // 2, map_.shape[3] // 2]
        return map_[:, term.channel].flatten(1).mean(1)

    return value


def _first_image(image: Any, side: int) -> Tensor:
    """The picture to begin with, its centre square: [1,3,side,side]."""
    photos = items_of(image, Photo, "image")
    if len(photos) != 1:
        raise UserError(f"image is {len(photos)} pictures; give one.")
    return Image.to_tensor([photos[0].image()], side, 3)
