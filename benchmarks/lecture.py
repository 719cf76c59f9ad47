"""Does joining pay?  `python -m benchmarks lecture --data cifar10.zip --features FILE`

The lecture's claim in one table: a GAN, a VAE and the three ways to join them learn from the same images, each for the
same time. What a method's step costs here and now decides how many steps that is: all are timed first, in turns, and
the table says how long each one really took.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import reverie
from benchmarks import task
from reverie.core.options import Option
from reverie.core.registry import find
from reverie.data.images.dataset import Images
from reverie.data.images.pairs import Pairs
from reverie.evaluation.compare import Comparison, compare
from reverie.media import Image
from reverie.metrics.score import Score
from reverie.runs.run_folder import Run
from reverie.utils.atomic_files import replace_text
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import UserError


@dataclass(frozen=True)
class Player:
    """One of the methods of the table."""

    name: str
    method: str
    """METHOD:PRESET"""
    options: dict[str, Any] = field(default_factory=dict)
    few: str = ""
    """METHOD:PRESET where images are few; none: the same"""


PLAYERS = (
    Player("dcgan", "dcgan:stable"),
    Player("vae", "vae:laptop"),
    Player("vae_gan", "vae_gan:laptop", few="vae_gan:few"),
    Player("cvae_gan", "cvae_gan:stable"),
    Player("bigan", "bigan:laptop"),
)
FEW: dict[str, Any] = {"flip": True, "shift": 1 / 16}
"""what all are given where images are few, and would be learnt by heart"""
RIVALS = (("fid", "vae"), ("sharpness", "vae"), ("reconstruction error", "dcgan"))
"""what VAE/GAN has to be better in, and than whom"""

GROUP = "the lecture"
TURNS, LOOK = 2, 60
"""how often each is timed, and for how many steps"""

OPTIONS = [
    Option("data", str, "", "images: a path, or the name of a set (needed)"),
    Option("features", str, "", "the feature network; none: a classifier of the data's own labels"),
    Option("minutes", float, 12.0, "of training for each, at the pace that is measured first"),
    Option("width", int, 32, "width of all networks"),
    Option("size", int, 32, "pixels a side"),
    Option("side", str, "", "a or b: the data are pairs, and what is learnt from is this side of them"),
    Option(
        "few", bool, False, "some hundreds of images: all mirror and move them at random, and vae_gan is vae_gan:few"
    ),
    Option("n", int, 5_000, "generated images that are scored"),
    Option("seed", int, 0, "of all runs"),
    Option("threads", int, 1, "CPU threads"),
    Option("out", Path, None, "write the result to this JSON file, and beside it the page, NAME.html"),
    Option("runs", Path, None, "keep the run folders here; those that are whole are not trained again"),
]


def main(words: list[str]) -> None:
    """Trains, compares and prints the table."""
    asked, as_json = task.options("lecture", (__doc__ or "").splitlines()[0], OPTIONS, words)
    if not asked["data"]:
        raise UserError("lecture needs --data: a path to images, or the name of a set.")
    if asked["minutes"] <= 0:
        raise UserError(f"minutes is {asked['minutes']:g}; it must be above 0.")
    with task.room(asked["runs"]) as room:
        result, found = lecture(asked, room)
    task.deliver(result, asked["out"], as_json)
    if not as_json:
        print(found.table())
        print("\n".join(f"{s['name']}: {s['value']:.4g}" for s in result["scores"] if s["group"] == GROUP))


def lecture(asked: dict[str, Any], room: Path) -> tuple[dict[str, Any], Comparison]:
    """The result and the comparison; asked: OPTIONS by name."""
    if asked["side"]:
        asked = {**asked, "data": str(one_side(asked["data"], asked["side"], asked["size"], room / "data"))}
    players = _able(asked["data"], asked["few"])
    pace = paces(players, asked, room / "paces.json")
    seconds = {p.name: train(p, asked, pace[p.name], room / p.name) for p in players}
    page = asked["out"].with_suffix(".html") if asked["out"] else room / "lecture.html"
    found = compare(
        [room / name for name in seconds], asked["data"], out=page, features=asked["features"] or None, n=asked["n"],
        taught=True,
    )  # fmt: skip
    scores = [
        dataclasses.replace(cell.score, name=f"{name}, {player}")
        for name, cells in found.rows.items() for player, cell in zip(seconds, cells, strict=True) if cell.score
    ]  # fmt: skip
    scores += [_time(name, spent, scores[0]) for name, spent in seconds.items()]
    scores += [rivalry(found, list(seconds), name, rival) for name, rival in RIVALS]
    result = {
        "task": "lecture", "data": str(asked["data"]), "minutes": asked["minutes"], "seconds": sum(seconds.values()),
        "scores": [score.to_json() for score in scores], "command": task.command(), "machine": machine(),
        "versions": versions(), "commit": commit(), "created": now(),
    }  # fmt: skip
    return result, found


def _able(data: str, few: bool) -> list[Player]:
    """Those that can learn from the data: without labels, not what is told the class. few: so are the images."""
    labelled = bool(Images.open(data).classes)
    able = [p for p in PLAYERS if labelled or not find(p.name).needs_labels]
    return [dataclasses.replace(p, method=p.few or p.method) for p in able] if few else able


def one_side(data: str, side: str, size: int, out: Path) -> Path:
    """A folder with one side of the pairs of a set, squares of `size` pixels, by split. Raises UserError."""
    if side not in ("a", "b"):
        raise UserError(f"side is '{side}'; pairs have the sides a and b.")
    for split in Pairs.open(data).splits:
        pairs = Pairs.open(data, split).prepare(size)
        (out / split).mkdir(parents=True, exist_ok=True)
        for i in range(len(pairs)):
            Image(pairs.pixels(i, side)).save(out / split / f"{i:05}.png")
    return out


def paces(players: Sequence[Player], asked: dict[str, Any], kept: Path) -> dict[str, float]:
    """Steps in a minute of each, all timed in turns so that the machine is as busy for one as for another; what was
    measured before stands in the file `kept`, so that a broken off table is gone on with."""
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    found: dict[str, list[float]] = {player.name: [] for player in players}
    for _ in range(TURNS):
        for player in players:
            with TemporaryDirectory() as folder:
                told = {**_given(asked), **task.QUIET, **player.options, "log_every": LOOK}
                reverie.train(player.method, data=asked["data"], out=Path(folder) / "run", steps=LOOK, **told)
                lines = Run(Path(folder) / "run").lines()
            found[player.name] += [60 * line["steps_per_s"] for line in lines if "steps_per_s" in line]
    told = {name: mean(rates) for name, rates in found.items()}
    kept.parent.mkdir(parents=True, exist_ok=True)
    replace_text(kept, json.dumps(told, indent=2) + "\n")
    return told


def _given(asked: dict[str, Any]) -> dict[str, Any]:
    given = {k: asked[k] for k in ("size", "width", "seed", "threads")}
    return given | FEW if asked["few"] else given


def train(player: Player, asked: dict[str, Any], pace: float, out: Path) -> float:
    """The seconds that the training took, at so many steps a minute; a run that is there is gone on with."""
    steps = max(1, round(asked["minutes"] * pace))
    given = _given(asked)
    rarely = dict(checkpoint_every=1_000, sample_every=max(1, steps // 4))
    task.trained(player.method, asked["data"], out, steps=steps, **given, **rarely, **player.options)
    return task.seconds_of(out)


def _time(name: str, seconds: float, like: Score) -> Score:
    told = "minutes of training, previews and saves included"
    return Score(
        f"minutes, {name}", seconds / 60, "min", "lower", told, like.reference, 1, like.seed, versions=versions(),
        group=GROUP,
    )  # fmt: skip


def rivalry(found: Comparison, names: list[str], name: str, rival: str) -> Score:
    """How much of the rival's fault is left in VAE/GAN: below 1 it is the better of the two."""
    ours, theirs = (found[name][names.index(who)].score for who in ("vae_gan", rival))
    assert ours is not None
    assert theirs is not None
    fault = {True: "distance from the floor", False: "value"}[ours.better == "near floor"]
    values = [abs(s.value - (s.floor or 0)) if s.better == "near floor" else s.value for s in (ours, theirs)]
    told = f"{fault} of {name}, vae_gan's divided by that of {rival}; {ours.definition}"
    return Score(
        f"{name}, vae_gan over {rival}", values[0] / values[1], "", "lower", told, ours.reference, ours.n, ours.seed,
        1.0, f"as good as {rival}", versions=versions(), group=GROUP,
    )  # fmt: skip
