"""The verbs: what a trained method does with a user's files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from reverie.cli.parser import Parser, first_word
from reverie.core.options import REQUIRED, media_inputs, media_output, options_of_signature
from reverie.utils.errors import UserError


def do_verb(verb: str, words: list[str]) -> int:
    """Does with a run what its method can do."""
    parser = Parser(verb, f"{verb}: what is made goes to --out.")
    parser.add_argument("run", metavar="RUN", help="a run folder, or a weights file")
    parser.add_argument(
        "--out", metavar="OUT",
        help="a folder for a file an item, or a name such as all.png for one file; text is printed where none is given",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    named = first_word(words, parser.switches)
    if named is None:
        parser.epilog = f"`reverie {verb} RUN --help` shows the options that the run's method has."
        parser.read(words)
    from reverie.api import load

    method = load(str(named))
    act = method.verb(verb)
    found = options_of_signature(act)
    given, medium = next(iter(media_inputs(act)), (None, None))
    made_of = media_output(act)
    parser.description = (act.__doc__ or "").splitlines()[0]
    if medium:
        parser.add_argument("inputs", nargs="*", metavar=medium.NOUN.upper(), help="files or folders")
    sharded = any(option.name == "items" for option in found)
    if sharded:
        parser.add_argument("--shard", metavar="I/N", help="make only part I of N: all parts together are the whole")
    parser.add_options([o for o in found if o.name != "items" and o != given], "options")
    asked = vars(parser.read(words))
    out, overwrite, as_json, _ = (asked.pop(k) for k in ("out", "overwrite", "json", "run"))
    prints = made_of.PRINTED
    if not out and not method.is_classifier and not prints:
        one = " or ".join(made_of.TOGETHER)
        raise UserError(f"{verb} needs --out: a folder, or a name ending in {one} for one file of all.")
    if given and medium:
        from reverie.cli.files import gather

        items = gather(asked.pop("inputs"), medium)
        if not items and given.default is REQUIRED:
            raise UserError(
                f"{verb} needs {medium.NOUN}s: reverie {verb} {named} FILE{f' --out {out}' if out else ''}."
            )
        asked[given.name] = items
    if sharded and (shard := asked.pop("shard")) is not None:
        from reverie.cli.files import read_shard

        asked["items"] = read_shard(shard)
    from reverie.cli.files import heard, write

    began, predictions = time.monotonic(), list[dict[str, Any]]()
    made = heard(act.stream(method, **asked), predictions, aloud=not as_json)
    files, lines = list[Path](), list[str]()
    if out:
        files = write(made, Path(out), overwrite, made_of, asked.get(given.name) if given else None)
    for item in () if out else made:
        if prints and as_json:
            lines.append(str(item))
        elif prints:
            print(item, flush=True)
    if as_json:
        heard_of = {**({"predictions": predictions} if predictions else {}), **({"lines": lines} if lines else {})}
        print(json.dumps({"files": [str(f) for f in files], **heard_of, "seconds": round(time.monotonic() - began, 3)}))
    elif out:
        where = files[0] if len(files) == 1 else f"{len(files)} files in {out}"
        print(f"{where}  ({time.monotonic() - began:.1f} s)" if files else "nothing to do in this shard")
    return 0
