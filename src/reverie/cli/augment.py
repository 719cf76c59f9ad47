"""The command that makes labelled synthetic images of a labelled set."""

from __future__ import annotations

from dataclasses import fields

from reverie.cli.data_options import DATA_OPTIONS, stated_spec
from reverie.cli.parser import Parser
from reverie.core import registry
from reverie.core.options import Option
from reverie.utils.errors import UserError

OPTIONS = [
    Option("method", str, "", "METHOD[:PRESET] to train, where no run is given"),
    Option("per_class", int, None, "the number of images to generate for each class"),
    Option("balance_to", int, None, "generate until each class has this many images, real ones included; without "
           "--per-class and --balance-to: as many as the largest class has"),
    Option("seed", int, 0, "item j of a class depends on the run, the seed, the class and j only"),
    Option("metrics", str, None, "the scores of the dataset card, names or groups with commas between them; none: "
           "those that take no training"),
    Option("full", bool, False, "all scores of the card: classifiers are trained on the real and on the new images, "
           "which takes minutes"),
    Option("tar", int, 0, "write WebDataset tars of this many items instead of class folders"),
]  # fmt: skip


def do_augment(words: list[str]) -> int:
    """Fills a folder with synthetic images of the classes of a labelled set."""
    parser = Parser("augment", "Fills a folder with synthetic images of labelled classes, and a dataset card.")
    parser.add_argument("data", metavar="DATA", help="labelled images, as in train")
    parser.add_argument("--out", metavar="FOLDER", help="the folder to fill; files that exist are kept")
    parser.add_argument("--run", metavar="RUN", help="the run that generates; none: FOLDER.run, trained first")
    parser.add_argument("--shard", metavar="I/N", help="make only part I of N; the N parts together are the whole")
    parser.add_options(OPTIONS, "options")
    parser.add_options(DATA_OPTIONS, "options of the data")
    _refuse_training_options(words, parser)
    args = vars(parser.parse(words))
    if not args["out"]:
        raise UserError(f"augment needs --out: reverie augment {args['data']} --out FOLDER.")
    from reverie.augmentation.augment import augment
    from reverie.cli.files import read_shard

    args["shard"] = None if args["shard"] is None else read_shard(args["shard"])
    spec = stated_spec(args.pop("data"), args)
    out = augment(spec, args.pop("out"), **args)
    card = out / "CARD.md"
    print(f"{out}; look at {card}" if card.is_file() else out)
    return 0


def _refuse_training_options(words: list[str], parser: Parser) -> None:
    """Raises UserError for a flag of `train`, with the commands that take it."""
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    unknown = [flag for flag in flags if flag not in parser.option_flags]
    if not unknown:
        return
    from reverie.core.train_config import TrainConfig

    able = [registry.method_class(name) for name, entry in registry.list_methods().items() if "generate" in entry.verbs]
    trained = {option.name for config in (TrainConfig, *(cls.Config for cls in able)) for option in fields(config)}
    for flag in unknown:
        if flag.removeprefix("--").replace("-", "_") in trained:
            raise UserError(
                f"{flag} is an option of training: reverie train METHOD --data DATA {flag} ... --out RUN; then "
                "reverie augment DATA --run RUN."
            )
