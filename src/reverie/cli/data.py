"""The command that inspects data before training."""

from __future__ import annotations

import json
from typing import Any

from reverie.cli.data_options import DATA_OPTIONS, stated_spec
from reverie.cli.parser import Parser
from reverie.core import registry
from reverie.core.options import Option
from reverie.utils.errors import UserError, near_miss

TEXT_OPTIONS = [
    Option("item", str, None, "what one sequence is: line, blank-line or file"),
    Option("column", str, None, "of a table, the name or number of the column with the text"),
    Option("held_out", float, None, "share of the lines, 0 to 0.5, that becomes the split test where no name says it"),
]
USAGE = "reverie data inspect PATH    what a folder holds, what is dropped and why, which methods can learn from it"


def do_data(words: list[str]) -> int:
    """Commands about data: `inspect` is the only one."""
    if words[:1] == ["inspect"]:
        return do_inspect(words[1:])
    if words and words[0] not in ("-h", "--help"):
        raise UserError(f"data has no command '{words[0]}'.{near_miss(words[0], ['inspect'])} It has: inspect.")
    print(USAGE)
    return 0


def do_inspect(words: list[str]) -> int:
    """Reports what a folder or set holds, what is dropped and why, and which methods can learn from it."""
    parser = Parser("data inspect", "Shows what a folder, zip, idx file or named set holds, and what is dropped.")
    parser.add_argument("data", metavar="PATH")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with every dropped file")
    parser.add_argument("--kind", metavar="KIND", help="which kind to look at, of several, such as music")
    parser.add_options(DATA_OPTIONS, "options")
    parser.add_options(TEXT_OPTIONS, "options of text")
    args = parser.parse(words)
    from reverie.data.kinds import can_learn_from, kind_named, kind_of, kinds_at

    spec = stated_spec(args.data, vars(args))
    kind = kind_named(args.kind) if args.kind else kind_of(spec)
    of_text = {option.name: value for option in TEXT_OPTIONS if (value := getattr(args, option.name, None)) is not None}
    if of_text and kind.data.kind != "text":
        raise UserError(f"--{next(iter(of_text)).replace('_', '-')} is about text; {args.data} holds {kind.data.kind}.")
    report = kind.inspect(spec, **of_text)
    report["kinds"] = [{"kind": one.kind.data.kind, "files": one.files} for one in kinds_at(spec)]
    labelled, grey = bool(report["facts"].get("classes")), report["facts"].get("channels") == 1
    report["methods"] = [
        entry.name for entry in registry.list_methods().values()
        if can_learn_from(entry.data_type, report["kind"]) and (labelled or not entry.needs_labels)
        and not (grey and entry.needs_colour)
    ]  # fmt: skip
    report["too_small_for"] = _too_small_for(report)
    usable = report["splits"].get("train", {}).get("used", 1)  # if nothing is, the report says which options help
    report["methods"] = [name for name in report["methods"] if usable and name not in report["too_small_for"]]
    if args.json:
        print(json.dumps(report))
    else:
        print(kind.describe(report))
        if len(report["kinds"]) > 1:
            print(f"kinds found: {', '.join(map(str, kinds_at(spec)))}; --kind looks at another than {kind.data.kind}")
        print(f"methods that can learn from it: {', '.join(report['methods']) or 'none'}")
        if needed := report["too_small_for"]:
            listed = ", ".join(f"{name} ({side} pixels a side)" for name, side in needed.items())
            print(f"methods that need larger images, or a smaller --size than by default: {listed}")
    return 0


def _too_small_for(report: dict[str, Any]) -> dict[str, int]:
    """Of the methods of a report on images those that cut patches larger than all images: name -> side in pixels."""
    if report["kind"] != "images":
        return {}
    from reverie.training.prepare import parse_method

    largest, needed = report["splits"]["train"]["sizes"]["short_side"]["max"], {}
    for name in report["methods"]:
        if registry.list_methods()[name].data_type == "ImagePatches":
            cls, _, config, _ = parse_method(name, {})
            side = cls.data_args(cls.resolve_config(config, report["facts"]))["size"]
            if side > largest:
                needed[name] = side
    return needed
