"""The commands that look into trained networks: dream, visualize, atlas."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reverie.cli.parser import Parser
from reverie.core.options import options_of_signature
from reverie.utils.errors import UserError
from reverie.utils.paths import exists

ELSEWHERE = ("images", "targets", "guide", "weights", "image", "out", "progress")
"""parameters that the command line has positions or flags of its own for"""
ONE_NETWORK = "a weights file, a run, or a public name (resnet50, vgg16 ...); none: the installed network"


def do_dream(words: list[str]) -> int:
    """Strengthens in photographs what a network sees in them."""
    from reverie.dreaming.dream import dream, stream_dreams
    from reverie.dreaming.styles import describe_styles

    parser = _parser("dream", "Strengthens in photographs what a network sees in them (DeepDream).", dream)
    parser.add_argument("images", nargs="*", metavar="PHOTO", help="files or folders")
    parser.add_argument("--out", metavar="OUT", help="a folder, or a name in .png; of frames, .webp or .mp4 for a film")
    parser.add_argument("--guide", metavar="FILE", help="a picture whose features the photos take on")
    parser.add_argument("--list-styles", action="store_true", help="list the styles, and end")
    generated_help = "of folders, also take files that reverie generated, which are passed over otherwise"
    parser.add_argument("--include-generated", action="store_true", help=generated_help)
    args = parser.parse(words)
    if args.list_styles:
        print(describe_styles())
        return 0
    if args.list_layers:
        return _list_layers(args)
    if not args.images:
        raise UserError("dream needs photos: reverie dream photo.jpg --out dream.png.")
    from reverie.cli.files import check_failed, gather
    from reverie.media import Photo

    out = _out(args, f"dream {args.images[0]} --out dream.png")
    photos = gather(args.images, Photo, args.include_generated, out)
    if len(photos) > 1 and out.suffix.lower() == ".png":
        raise UserError(f"{len(photos)} photos do not go into {out}; give --out a folder.")
    guide = Photo.load(args.guide) if args.guide else None
    given = {**_options(args, dream), "images": photos, "guide": guide, "weights": args.weights}
    files = _write(stream_dreams(given), args, out, Photo, photos)
    check_failed(photos, files, out)
    return 0


def do_visualize(words: list[str]) -> int:
    """Makes images that a network takes for a class, or that one of its channels answers to most."""
    from reverie.dreaming.visualize import stream_visualizations, visualize

    about = "Makes images of what a class or a channel of a network looks for."
    several = "as many as wanted, with commas between them, each a weights file, a run, or a public name (resnet50 ...)"
    none = "the installed networks, for classes imagenet,efficientnet_lite2, for channels imagenet"
    parser = _parser("visualize", about, visualize, f"{several}; none: {none}")
    parser.add_argument("targets", nargs="*", metavar="[RUN] CLASS",
                        help="classes by name or index, or channels as LAYER:CHANNEL; before them perhaps a run, or a "
                        "weights file, in place of --weights")  # fmt: skip
    parser.add_argument("--out", metavar="OUT", help="a folder, or a name ending in .png for one image or a grid")
    parser.add_argument("--image", metavar="FILE", help="the picture to begin with, in place of noise")
    args = parser.parse(words)
    targets = list(args.targets)
    if len(targets) > 1 and not args.weights and exists(targets[0]):
        args.weights = targets.pop(0)
    if args.list_layers:
        args.weights = args.weights or next(iter(targets), None)
        return _list_layers(args)
    if not targets:
        raise UserError('visualize needs a class or a channel: reverie visualize "golden retriever" --out dog.png.')
    from reverie.media import Image, Photo

    out = _out(args, f"visualize '{targets[0]}' --out class.png")
    image = Photo.load(args.image) if args.image else None
    weights = [name.strip() for name in args.weights.split(",")] if args.weights else None
    if weights and not all(weights):
        raise UserError(f"--weights is {args.weights}; give names of networks with commas between them.")
    given = {**_options(args, visualize), "targets": targets, "image": image, "weights": weights}
    _write(stream_visualizations(given), args, out, Image)
    return 0


def do_atlas(words: list[str]) -> int:
    """Makes a page of what each layer of a network looks for."""
    from reverie.dreaming.atlas import atlas

    parser = _parser("atlas", "Makes a page of what the channels of each layer of a network look for.", atlas)
    parser.add_argument("place", nargs="?", metavar="RUN", help="a run or a weights file, in place of --weights")
    parser.add_argument("--out", metavar="FOLDER", help="the folder to fill; pictures that are there are kept")
    parser.add_argument("--image", metavar="FILE", help="a photo, to show also what each layer sees in it")
    args = parser.parse(words)
    args.weights = args.weights or args.place
    if args.list_layers:
        return _list_layers(args)
    from reverie.media import Photo

    out = _out(args, "atlas --out atlas/")
    page = atlas(
        out=out, weights=args.weights, image=Photo.load(args.image) if args.image else None, **_options(args, atlas)
    )
    print(json.dumps({"files": [str(page)]}) if args.json else page)
    return 0


def _parser(name: str, about: str, function: Callable[..., Any], weights_help: str = ONE_NETWORK) -> Parser:
    """A parser with the flags of all three commands, and one for each parameter of the function."""
    parser = Parser(name, about)
    parser.add_argument("--weights", metavar="NETWORK", help=weights_help)
    parser.add_argument("--list-layers", action="store_true", help="list the network's layers with sizes, and end")
    parser.add_output_flags()
    parser.add_options([o for o in options_of_signature(function) if o.name not in ELSEWHERE], "options")
    return parser


def _options(args: argparse.Namespace, function: Callable[..., Any]) -> dict[str, Any]:
    """The options of the function that were given, by name."""
    names = [option.name for option in options_of_signature(function) if option.name not in ELSEWHERE]
    return {name: vars(args)[name] for name in names if name in vars(args)}


def _list_layers(args: argparse.Namespace) -> int:
    from reverie.dreaming.open_network import open_network

    network = open_network(args.weights)
    layers = [layer._asdict() for layer in network.layers.values()]
    print(json.dumps({"network": network.name, "layers": layers}) if args.json else network.tree())
    return 0


def _out(args: argparse.Namespace, example: str) -> Path:
    """Where the results go. Raises UserError if that was not said."""
    if not args.out:
        raise UserError(f"--out is missing: reverie {example}.")
    return Path(args.out)


def _write(items: Iterator[Any], args: argparse.Namespace, out: Path, medium: Any, inputs: Any = None) -> list[Path]:
    """Writes items to `out` as they come, and says where they are."""
    from reverie.cli.files import report_files, write
    from reverie.dreaming.film import SUFFIXES, check_film, save_film
    from reverie.utils.atomic_files import disk_errors

    began = time.monotonic()
    check_film(out)
    if out.suffix.lower() in SUFFIXES:
        if out.exists() and not args.overwrite:
            raise UserError(f"{out} is there already; give another --out, or --overwrite to replace it.")
        frames = list(items)
        with disk_errors(out):
            files = [save_film(frames, out)]
    else:
        files = write(items, out, args.overwrite, medium, inputs)
    report_files(files, out, time.monotonic() - began, args.json)
    return files
