"""The commands that score: evaluate, compare, augment. Light until work begins, as the others are (see cli.py)."""

from __future__ import annotations

import json
import shlex

from reverie.cli.parser import Parser, first_word
from reverie.core.options import Option
from reverie.utils.errors import UserError

SCORED = [
    Option("features", str, None, "the network that images are compared by: a file of weights, or the run of a "
           "classifier; none: a classifier of the data's labels"),
    Option("n", int, None, "images to generate; none: 5,000, or as many as the reference if it has fewer"),
    Option("seed", int, 0, "of the generated images"),
    Option("split", str, None, "the split to compare with; none: test, or half of data that has no splits"),
    Option("taught", bool, False, "of a generator that is told the class, also what a classifier learns from "
           "its images (GAN-train); takes minutes"),
    Option("classical", bool, True, "of a run that spoils good pictures itself, also what classical tools make of "
           "the same spoilt pictures; takes a second or more a picture"),
    Option("lpips", str, None, "of pairs and restorations: the weights that LPIPS takes, FILE or FILE,FILE: "
           "torchvision's alexnet and the authors' linear ones"),
]  # fmt: skip
"""flags of whatever is scored"""


def do_evaluate(words: list[str]) -> int:
    """The scores of a run."""
    parser = Parser("evaluate", "Scores what a run makes against real data, and writes the scores into its folder.")
    parser.add_argument("run", metavar="RUN", help="a run folder, a weights file, or a folder of pictures")
    parser.add_argument("--data", metavar="DATA", help="the data to compare with, as in train")
    parser.add_argument("--json", action="store_true", help="one JSON object, as in scores.json")
    parser.add_options(SCORED, "options")
    named = first_word(words, parser.switches)
    if named is None:
        parser.epilog = "`reverie evaluate RUN --help` shows the options of the scores that its method alone has."
        parser.read(words)
    from reverie.evaluation.evaluate import method_score_options, score
    from reverie.evaluation.request import EvalConfig
    from reverie.evaluation.samples_source import open_source

    subject = open_source(str(named))
    if subject.method is not None and (own := method_score_options(subject.method)):
        parser.add_options(own, f"scores of {subject.about['method']} alone")
    asked = vars(parser.read(words))
    if not asked["data"]:
        raise UserError(f"evaluate needs --data: reverie evaluate {named} --data FOLDER.")
    as_json, data = asked.pop("json"), asked.pop("data")
    how = EvalConfig(**{option.name: asked.pop(option.name) for option in SCORED if option.name in asked})
    asked.pop("run")
    found = score(subject, data, how, shlex.join(["reverie", "evaluate", *words]), **asked)
    if as_json:
        print(json.dumps(found.to_json()))
        return 0
    print(found.table())
    if subject.folder is not None:
        print(f"{subject.folder / 'scores.json'}  ({found.seconds:.0f} s); look at {subject.folder / 'report.html'}")
    return 0


def do_compare(words: list[str]) -> int:
    """Several runs side by side."""
    parser = Parser("compare", "Scores runs against one data set, and shows them side by side on one page.")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, two or more")
    parser.add_argument("--data", metavar="DATA", help="the data to compare with, as in train")
    parser.add_argument("--out", metavar="PAGE", default="compare.html", help="the page to write [compare.html]")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_options(SCORED, "options")
    asked = vars(parser.read(words))
    if not asked["data"]:
        raise UserError(f"compare needs --data: reverie compare {' '.join(asked['runs'])} --data FOLDER.")
    as_json = asked.pop("json")
    from reverie.evaluation.compare import compare

    found = compare(asked.pop("runs"), asked.pop("data"), command=shlex.join(["reverie", "compare", *words]), **asked)
    print(json.dumps(found.to_json()) if as_json else f"{found.table()}\n{found.path}")
    return 0


def do_augment(words: list[str]) -> int:
    """More of a labelled set."""
    parser = Parser("augment", "Fills a folder with synthetic images of labelled classes, and a card on them.")
    parser.add_argument("data", metavar="DATA", help="labelled images, as in train")
    parser.add_argument("--out", metavar="FOLDER", help="the folder to fill; what is there already is kept")
    parser.add_argument("--run", metavar="RUN", help="the run that makes them; none: one is trained first, FOLDER.run")
    parser.add_argument("--shard", metavar="I/N", help="make only part I of N: all parts together are the whole")
    parser.add_options(
        [
            Option("method", str, "", "METHOD[:PRESET] to train, where no run is named"),
            Option("each", int, None, "so many images of each class"),
            Option("fill", int, None, "so many of each class together with the real ones; without --each and --fill: "
                   "as many as fill up the smaller classes"),
            Option("seed", int, 0, "item j of a class depends on the run, the seed, the class and j alone"),
            Option("tar", int, 0, "WebDataset tars of so many items, in place of class folders"),
        ],
        "options",
    )  # fmt: skip
    asked = vars(parser.read(words))
    if not asked["out"]:
        raise UserError(f"augment needs --out: reverie augment {asked['data']} --out FOLDER.")
    from reverie.augmentation.augment import augment
    from reverie.cli.files import read_shard

    asked["shard"] = None if asked["shard"] is None else read_shard(asked["shard"])
    out = augment(asked.pop("data"), asked.pop("out"), **asked)
    print(f"{out}{f'; look at {card}' if (card := out / 'CARD.md').is_file() else ''}")
    return 0
