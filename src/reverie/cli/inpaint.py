"""The command that fills holes of photos: with what a run has learnt, or without any training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reverie.cli.parser import Parser, first_positional
from reverie.cli.verbs import Signature, add_signature, arguments_of, class_without_training, run_verb, signature_of
from reverie.data.archives import is_run
from reverie.utils.errors import UserError
from reverie.utils.paths import exists

VERB = "inpaint"
USAGE = "reverie inpaint [RUN] PHOTO... --mask MASK --out OUT"
WEIGHTS_SUFFIX = ".safetensors"


def do_inpaint(words: list[str]) -> int:
    """Fills the holes of the user's photos, and writes the results to --out."""
    method = class_without_training(VERB).without_training()
    first = first_positional(words, _parser(method.verb(VERB))[0].switches)
    run = first if first is not None and _is_run(first) else None
    if run is not None:
        from reverie.api import load

        method = load(run)
    function = method.verb(VERB)
    parser, signature = _parser(function)
    args = parser.parse(words)
    if run is not None:
        args.inputs.remove(run)
    args.run = run or ""
    _check(args)
    arguments = arguments_of(VERB, signature, args)
    assert signature.input is not None
    name = signature.input.name
    arguments["mask"] = None
    if args.mask:
        arguments[name], arguments["mask"] = _with_masks(arguments[name], args.mask)
    if run is None:
        how = "smoothly (Laplace)" if arguments.get("detail") == "none" else "with texture from around them"
        print(f"note: no run is given, so holes are filled {how}", file=sys.stderr)
    run_verb(function.stream(method, **arguments), signature, args, arguments, [])
    return 0


def _parser(function: Any) -> tuple[Parser, Signature]:
    """The flags of a method's verb; masks, which are matched to photos by their names, are no part of its signature."""
    signature = signature_of(function)._replace(more_inputs=[])
    parser = Parser(VERB, "Fills holes of photos by what is around them; needs no trained run.")
    parser.usage = USAGE
    parser.add_argument("--mask", metavar="MASK", help="a file for all photos, or a folder with one of each's name: "
                        "white (above 127 of 255) is the hole")  # fmt: skip
    parser.add_argument("--out", metavar="OUT", help="a folder, or a name ending in .png for one file of all")
    parser.add_output_flags()
    add_signature(parser, signature, function.__doc__ or "")
    return parser, signature


def _check(args: Any) -> None:
    """Raises UserError where a place is missing, and where the first word is nothing."""
    if not args.inputs:
        raise UserError(f"inpaint needs photos: {USAGE}.")
    if not args.out:
        raise UserError(f"inpaint needs --out: a folder, or a name such as filled.png. {USAGE}")
    if not args.run and len(args.inputs) > 1 and "*" not in args.inputs[0] and not exists(args.inputs[0]):
        raise UserError(f"{args.inputs[0]} is neither a run nor a photo; {USAGE}.")


def _is_run(word: str) -> bool:
    """Whether a word is a run folder or a weights file."""
    return (exists(word) and Path(word).is_dir() and is_run(word)) or word.endswith(WEIGHTS_SUFFIX)


def _with_masks(photos: Any, place: str) -> tuple[Any, Sequence[Any]]:
    """The photos that there are masks for, and these: one for all, or from a folder one for each, by name.

    Raises UserError if there is none.
    """
    from reverie.cli.files import Loaded, gather
    from reverie.media import LazyFiles, Photo
    from reverie.media.lazy_files import summary_of
    from reverie.media.mask import masks_by_name

    if exists(place) and not Path(place).is_dir():
        return photos, [Photo.load(place)]
    masks = gather([place], Photo, True)
    assert isinstance(masks, LazyFiles)
    lazy = isinstance(photos, LazyFiles)
    if lazy:
        names = [(folder, path.name) for folder, path in zip(photos.folders, photos.paths, strict=True)]
    else:
        names = [(item.folder, item.name) for item in photos]
    found = masks_by_name(names, masks)
    kept = [i for i, mask in enumerate(found) if isinstance(mask, Path)]
    failed = [*photos.failed, *(mask for mask in found if isinstance(mask, str))]
    if not kept:
        raise UserError(summary_of(failed))
    if lazy:
        chosen: Any = LazyFiles(
            [photos.paths[i] for i in kept], photos.medium, folders=[photos.folders[i] for i in kept]
        )
    else:
        chosen = Loaded()
        chosen.extend(photos[i] for i in kept)
    chosen.failed = failed
    return chosen, LazyFiles([Path(found[i]) for i in kept], Photo)
