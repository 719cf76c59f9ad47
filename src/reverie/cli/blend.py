"""The command that blends one photo into another: with the colours that a run has learnt, or without any training."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from reverie.cli.parser import Parser
from reverie.cli.verbs import class_without_training
from reverie.core.options import media_inputs, options_of_signature
from reverie.utils.errors import UserError

VERB = "blend"
USAGE = "reverie blend [RUN] FOREGROUND BACKGROUND --mask MASK --out result.png"


def do_blend(words: list[str]) -> int:
    """Blends the masked part of one photo into another, and writes the result to --out."""
    parser = Parser(VERB, "Pastes a part of one photo into another without a seam; needs no trained run.")
    parser.usage = USAGE
    parser.add_argument("files", nargs="*", metavar="[RUN] FOREGROUND BACKGROUND", help="a run is optional")
    parser.add_argument("--mask", metavar="MASK", help="white where the foreground is taken; none: its alpha")
    parser.add_argument("--out", metavar="OUT", help="a name ending in .png, or a folder")
    parser.add_output_flags()
    cls = class_without_training(VERB)
    function = getattr(cls, cls.verbs()[VERB])
    media = {option.name for option, _ in media_inputs(function)}
    flags = [option for option in options_of_signature(function) if option.name not in media]
    parser.add_options(flags, "options")
    args = parser.parse(words)
    if not args.out:
        raise UserError(f"blend needs --out: a name such as result.png, or a folder. {USAGE}")
    *run, foreground, background = _places(args.files)
    options = {
        name: value for name, value in vars(args).items() if name in {o.name for o in options_of_signature(function)}
    }
    from reverie.api import load
    from reverie.cli.files import report_files, write
    from reverie.media import Photo

    began = time.monotonic()
    method: Any = load(run[0]) if run else cls.without_training()
    photos = {"foreground": [Photo.load(foreground)], "background": [Photo.load(background)]}
    options["mask"] = [Photo.load(args.mask)] if args.mask else None
    items = method.verb(VERB).stream(method, **{**options, **photos})
    files = write(items, Path(args.out), args.overwrite, Photo)
    report_files(files, args.out, time.monotonic() - began, args.json)
    return 0


def _places(files: list[str]) -> list[str]:
    """Foreground and background, behind a run where one is given. Raises UserError."""
    if len(files) not in (2, 3):
        raise UserError(f"blend takes a foreground and a background, and before them a run if you like: {USAGE}.")
    return files
