"""The command that turns latent codes back into items: codes.csv of `encode`, or an array of a user's own program."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from reverie.cli.parser import Parser
from reverie.utils.errors import UserError, printable


def do_decode(words: list[str]) -> int:
    """Writes what latent codes stand for."""
    parser = Parser("decode", "Makes the images or tunes that latent codes stand for.")
    parser.add_argument("run", metavar="RUN", help="a run folder, or a weights file, of a method with latent codes")
    parser.add_argument(
        "codes", metavar="CODES", help="a .csv as encode writes it, or one array [N,Z]: .npy, .safetensors"
    )
    parser.add_argument("--out", metavar="OUT", help="a folder, or a name such as all.png for one file")
    parser.add_output_flags()
    args = parser.parse(words)
    if not args.out:
        raise UserError(f"decode needs --out: reverie decode {args.run} {args.codes} --out FOLDER.")
    from reverie.api import load
    from reverie.cli.files import write
    from reverie.core.codes import code_width
    from reverie.media.codes_file import read_codes

    began, method = time.monotonic(), load(args.run)
    codes = read_codes(Path(args.codes), code_width(method))
    runs = {(code.record or {}).get("run", "") for code in codes}
    if others := sorted(runs - {"", method.origin["run"]}):
        message = f"{args.codes} holds codes of another run, {printable(others[0])}: here they stand for something else"
        print(f"warning: {message}", file=sys.stderr)
    items = method.decode(codes)
    files = write(items, Path(args.out), args.overwrite, type(items[0]), codes)
    if args.json:
        print(json.dumps({"files": [str(file) for file in files], "seconds": round(time.monotonic() - began, 3)}))
    else:
        print(files[0] if len(files) == 1 else f"{len(files)} files in {args.out}")
    return 0
