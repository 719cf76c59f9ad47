"""The commands that score: evaluate, compare."""

from __future__ import annotations

import json
import shlex

from reverie.cli.data_options import DATA_OPTIONS, stated_spec
from reverie.cli.parser import Parser, first_positional
from reverie.core.options import options_of_dataclass
from reverie.evaluation.eval_config import EvalConfig
from reverie.evaluation.metric_selection import read_metrics
from reverie.utils.errors import UserError

OPTIONS = options_of_dataclass(EvalConfig)


def do_evaluate(words: list[str]) -> int:
    """Scores what a run generates against real data."""
    parser = Parser("evaluate", "Scores what a run generates against real data, and writes scores.json into the run.")
    parser.add_argument("run", metavar="RUN", help="a run folder, a weights file, or a folder of images")
    parser.add_argument("--data", metavar="DATA", help="the data to compare with, as in train")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as in scores.json")
    parser.add_options(OPTIONS, "options")
    parser.add_options(DATA_OPTIONS, "options of the data; by default as the run read it")
    run = first_positional(words, parser.switches)
    if run is None:
        parser.epilog = "`reverie evaluate RUN --help` also shows the options of the scores that only its method has."
        parser.parse(words)  # prints the help, or raises because RUN is missing
    from reverie.evaluation.evaluate import evaluate_source, method_score_options
    from reverie.evaluation.samples_source import open_source

    source = open_source(str(run))
    method_options = [] if source.method is None else method_score_options(source.method)
    if method_options:
        parser.add_options(method_options, f"scores of {source.description['method']} only")
    if source.reading_options:
        # What the run's config says is the default, whatever that is.
        parser.add_options([option._replace(default=None) for option in source.reading_options],
                           "how the texts are read; by default as the run read them")  # fmt: skip
    args = vars(parser.parse(words))
    if not args["data"]:
        raise UserError(f"evaluate needs --data: reverie evaluate {run} --data FOLDER.")
    spec = stated_spec(args["data"], args)
    given = {option.name: args[option.name] for option in OPTIONS if option.name in args}
    if given.get("metrics") is not None:
        given["metrics"] = read_metrics(given["metrics"])
    config = EvalConfig(**given)
    own_options = (*method_options, *source.reading_options)
    method_args = {option.name: args[option.name] for option in own_options if option.name in args}
    command = shlex.join(["reverie", "evaluate", *words])
    evaluation = evaluate_source(source, spec, config, command, **method_args)
    if args["json"]:
        print(json.dumps(evaluation.to_json()))
        return 0
    print(evaluation.table())
    if source.run_folder is not None:
        scores, report = source.run_folder / "scores.json", source.run_folder / "report.html"
        print(f"{scores}  ({evaluation.seconds:.0f} s); look at {report}")
    return 0


def do_compare(words: list[str]) -> int:
    """Scores several runs against one data set."""
    parser = Parser("compare", "Scores runs against one data set, and shows them side by side on one page.")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, two or more")
    parser.add_argument("--data", metavar="DATA", help="the data to compare with, as in train")
    parser.add_argument("--out", metavar="PAGE", default="compare.html", help="the page to write [compare.html]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_options(OPTIONS, "options")
    parser.add_options(DATA_OPTIONS, "options of the data; by default as each run read it")
    args = vars(parser.parse(words))
    if not args["data"]:
        raise UserError(f"compare needs --data: reverie compare {' '.join(args['runs'])} --data FOLDER.")
    as_json, spec = args.pop("json"), stated_spec(args.pop("data"), args)
    from reverie.evaluation.compare import compare

    command = shlex.join(["reverie", "compare", *words])
    comparison = compare(args.pop("runs"), spec, command=command, **args)
    print(json.dumps(comparison.to_json()) if as_json else f"{comparison.table()}\n{comparison.path}")
    return 0
