"""The verbs: what a trained method does, from the command line."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from reverie.cli.parser import Parser, first_positional
from reverie.cli.pretrained import VERB as WITH_WEIGHTS
from reverie.cli.pretrained import add_weights_flag, name_as_run
from reverie.core import registry
from reverie.core.options import REQUIRED, Option, media_inputs, media_output, options_of_signature
from reverie.data.file_types import SUFFIXES
from reverie.utils.errors import UserError
from reverie.utils.paths import exists


class Signature(NamedTuple):
    """A verb's signature as the command line uses it."""

    flags: list[Option]
    """the parameters that become flags: all but the input files and `items`"""
    input: Option | None
    """the parameter that takes files; None: the verb takes none"""
    input_medium: Any
    """the medium of those files, such as Image"""
    more_inputs: list[tuple[Option, Any]]
    """further parameters that take a file each, and their media"""
    output_medium: Any
    shardable: bool
    """whether it takes `items`, so that a shard of the job can be asked for"""


def do_verb(verb: str, words: list[str]) -> int:
    """Runs a verb of a trained method on the user's files, and writes or prints what it yields."""
    parser, words = _parser(verb), name_as_run(verb, words)
    run = first_positional(words, parser.switches)
    if run is None:
        parser.epilog = f"`reverie {verb} RUN --help` also shows the options that the run's method has."
        parser.parse(words)  # prints the help, or raises because RUN is missing
    if Path(str(run)).suffix.lower() in SUFFIXES and exists(str(run)):
        named = " (or --weights NAME)" if verb == WITH_WEIGHTS else ""
        raise UserError(f"{verb} needs a run{named} before {run}: reverie {verb} RUN {run}.")
    from reverie.api import load

    method = load(str(run))
    function = method.verb(verb)
    signature = signature_of(function)
    add_signature(parser, signature, function.__doc__ or "")
    args = parser.parse(words)
    if not args.out and not signature.output_medium.PRINTED and not method.is_classifier:
        one_file = " or ".join(signature.output_medium.COMBINED_WRITERS)
        raise UserError(f"{verb} needs --out: a folder, or a name ending in {one_file} for one file of all.")
    arguments = arguments_of(verb, signature, args)
    done = _skip_finished(function.record(method, **arguments), signature, args, arguments)
    run_verb(function.stream(method, **arguments), signature, args, arguments, done)
    return 0


def class_without_training(verb: str) -> Any:
    """The method that a verb works with where no run is given."""
    able = (name for name, entry in registry.list_methods().items() if verb in entry.verbs)
    return next(cls for cls in map(registry.method_class, able) if hasattr(cls, "without_training"))


def _parser(verb: str) -> Parser:
    """The arguments that all verbs have."""
    parser = Parser(verb, f"Runs {verb} of a trained method; the results go to --out.")
    parser.add_argument("run", metavar="RUN", help="a run folder, or a weights file")
    out_help = (
        "a folder for one file per item, or a name such as all.png for one file; what is text is printed without it"
    )
    parser.add_argument("--out", metavar="OUT", help=out_help)
    parser.add_output_flags()
    add_weights_flag(parser, verb)
    return parser


def signature_of(function: Any) -> Signature:
    """Reads a verb's signature."""
    options = options_of_signature(function)
    inputs = media_inputs(function)
    source, medium = inputs[0] if inputs else (None, None)
    taken = {"items", *(option.name for option, _ in inputs)}
    flags = [option for option in options if option.name not in taken]
    shardable = any(option.name == "items" for option in options)
    return Signature(flags, source, medium, inputs[1:], media_output(function), shardable)


def add_signature(parser: Parser, signature: Signature, doc: str) -> None:
    """Adds a verb's parameters to the parser; its description is the first line of the verb's docstring."""
    parser.description = doc.splitlines()[0] if doc else ""
    if signature.input_medium:
        parser.add_argument(
            "inputs", nargs="*", metavar=signature.input_medium.NOUN.upper(), help="files or folders"
        )  # fmt: skip
        generated_help = "of folders, also take files that reverie generated, which are passed over otherwise"
        parser.add_argument("--include-generated", action="store_true", help=generated_help)
    if signature.shardable:
        parser.add_argument("--shard", metavar="I/N", help="make only part I of N; the N parts together are the whole")
    for option, _ in signature.more_inputs:
        flag = f"--{option.name.replace('_', '-')}"
        parser.add_argument(flag, dest=option.name, metavar="FILE", help=option.help)
    parser.add_options(signature.flags, "options")


def arguments_of(verb: str, signature: Signature, args: argparse.Namespace) -> dict[str, Any]:
    """The verb's arguments: the flags that were given, the input files, the shard. Raises UserError."""
    from reverie.cli.files import gather, read_shard

    given = vars(args)
    arguments = {option.name: given[option.name] for option in signature.flags if option.name in given}
    if signature.input:
        out = Path(args.out) if args.out else None
        files = gather(args.inputs, signature.input_medium, args.include_generated, out)
        if not files and signature.input.default is REQUIRED:
            noun, flag = signature.input_medium.NOUN, f" --out {args.out}" if args.out else ""
            raise UserError(f"{verb} needs {noun}s: reverie {verb} {args.run} FILE{flag}.")
        arguments[signature.input.name] = files
    for option, medium in signature.more_inputs:
        if given.get(option.name):
            arguments[option.name] = [medium.load(given[option.name])]
    if signature.shardable and args.shard is not None:
        arguments["items"] = read_shard(args.shard)
    return arguments


def _skip_finished(
    record: dict[str, Any], signature: Signature, args: argparse.Namespace, arguments: dict[str, Any]
) -> list[Path]:
    """Leaves out of the arguments the items whose files a call with this record has made before, and was cut off.

    Returns these files; they are known once the verb has begun.
    """
    from reverie.cli.files import is_made_by
    from reverie.core.generation import Unfinished

    done: list[Path] = []
    given = bool(signature.input and arguments.get(signature.input.name))
    medium, out = signature.output_medium, Path(args.out or "")
    if not args.out or not signature.shardable or given or args.overwrite or not medium.SUFFIX or not out.is_dir():
        return done

    def is_done(index: int) -> bool:
        file = out / f"{index:06d}{medium.SUFFIX}"
        made = is_made_by(file, {**record, "index": index})
        done.extend([file] if made else [])
        return made

    arguments["items"] = Unfinished(arguments.get("items"), is_done)
    return done


def run_verb(
    stream: Iterable[Any],
    signature: Signature,
    args: argparse.Namespace,
    arguments: dict[str, Any],
    done: list[Path],
) -> None:
    """Writes the items of a verb to --out as they come, or prints them; then says where they are.

    done: files of items that were there before
    """
    from reverie.cli.files import check_failed, collect_predictions, report_files, write

    began = time.monotonic()
    predictions: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    items = collect_predictions(_with_details(stream, details), predictions, aloud=not args.json)
    files: list[Path] = []
    lines: list[str] = []
    inputs = arguments[signature.input.name] if signature.input else None
    if args.out:
        files = write(items, Path(args.out), args.overwrite, signature.output_medium, inputs)
        files = sorted([*files, *done]) if done else files
    else:
        lines = _print_items(items, signature.output_medium.PRINTED, args.json)
    seconds = time.monotonic() - began
    if args.json or files:
        note = f"; {len(done)} were there before" if done else ""
        more = dict(predictions=predictions, details=details, failed=getattr(inputs, "failed", ()), lines=lines)
        report_files(files, args.out, seconds, args.json, note, **more)
    elif args.out and getattr(args, "shard", None):
        print("nothing to do in this shard")
    check_failed(inputs, files, Path(args.out) if args.out else None)


def _with_details(items: Iterable[Any], details: list[dict[str, Any]]) -> Iterator[Any]:
    """Yields the items; appends the details of each that has any."""
    for item in items:
        if item.details:
            details.append(item.details)
        yield item


def _print_items(items: Iterable[Any], printed: bool, as_json: bool) -> list[str]:
    """Prints each item of a printed medium as it comes; for --json, returns them as lines instead."""
    lines: list[str] = []
    for item in items:  # a medium that is not printed is only iterated over: its predictions are what is wanted
        if printed and as_json:
            lines.append(str(item))
        elif printed:
            print(item, flush=True)
    return lines
