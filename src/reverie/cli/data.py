"""The command that inspects data before training."""

from __future__ import annotations

import json

from reverie.cli.parser import Parser
from reverie.core import registry
from reverie.utils.errors import UserError, near_miss

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
    args = parser.parse(words)
    from reverie.data.kinds import can_learn_from, kind_of

    kind = kind_of(args.data)
    report = kind.inspect(args.data)
    labelled = bool(report["facts"].get("classes"))
    report["methods"] = [
        entry.name for entry in registry.list_methods().values()
        if can_learn_from(entry.data_type, report["kind"]) and (labelled or not entry.needs_labels)
    ]  # fmt: skip
    if args.json:
        print(json.dumps(report))
    else:
        print(kind.describe(report))
        print(f"methods that can learn from it: {', '.join(report['methods']) or 'none'}")
    return 0
