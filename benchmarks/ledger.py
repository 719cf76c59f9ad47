"""The ledger: what is claimed, what others published, what was obtained, and the command that shows it again.

`python -m benchmarks claim NAME` runs an experiment of the claims, seed by seed, and writes ledger/NAME.json after
each; what was trained before is gone on with, and what was measured before is kept. `python -m benchmarks ledger`
renders LEDGER.md from those files and puts in a row for every claim that has none yet. No figure in either is typed by
hand but the published ones, which the claims hold with their source.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks import enlarge, grid, large, lecture, monitor, speed, stacked, stages, task
from benchmarks.claim import Experiment
from benchmarks.claims import CLAIMS, EXPERIMENTS
from reverie.cli.parser import Parser
from reverie.core.options import Option
from reverie.evaluation.evaluate import evaluate
from reverie.metrics.score import Score
from reverie.utils.atomic_files import replace_text
from reverie.utils.environment import commit, machine, now
from reverie.utils.errors import UserError, near_miss

HERE = Path(__file__).parents[1]
FOLDER, PAGE = HERE / "ledger", HERE / "LEDGER.md"
CLOCK = ("s", "min", "MP/s", "steps/s", "times", "of the ceiling")
"""units of what depends on the machine and on what else it does"""

OPTIONS = [
    Option("seeds", str, "", "the seeds to run, such as 0,1,2; without it all that the experiment has"),
    Option("data", Path, Path("data"), "the folder that the data files lie in"),
    Option("features", str, "", "the feature network, for experiments that need one"),
    Option("runs", Path, Path("runs/ledger"), "where the run folders are kept"),
]


def main(words: list[str]) -> None:
    """Runs an experiment, or with --check runs a seed of it again and compares."""
    parser = Parser("claim", "Runs an experiment of the ledger and writes ledger/NAME.json.")
    parser.prog = "python -m benchmarks claim"
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--check", action="store_true", help="measure anew and compare with the ledger; change nothing")
    parser.add_options(OPTIONS, "options")
    asked = vars(parser.read(words))
    name, check = asked["name"], asked["check"]
    if name not in EXPERIMENTS:
        raise UserError(f"there is no experiment '{name}'.{near_miss(name, list(EXPERIMENTS))} See --help.")
    given = {o.name: asked.get(o.name, o.default) for o in OPTIONS}
    experiment, seeds = EXPERIMENTS[name], _seeds(given["seeds"], EXPERIMENTS[name])
    if experiment.features and not given["features"]:
        raise UserError(f"{name} compares images by {experiment.features}; give its file with --features.")
    written = read(name)
    for seed in seeds:
        known = [run for run in written if run["seed"] == seed]
        if known and not check:
            print(f"{name}: seed {seed} is in the ledger already", file=sys.stderr)
            continue
        out = given["runs"] / f"{experiment.name}-{seed}"
        run = measure(experiment, seed, given, _anew(out) if check else out)
        if check:
            _compare(experiment, run, written)
        else:
            written = sorted([*written, run], key=lambda r: r["seed"])
            write(experiment, written)
        print(f"{name} seed {seed}: " + ", ".join(f"{s['name']} {s['value']:.5g}" for s in run["scores"]))


def _seeds(text: str, experiment: Experiment) -> list[int]:
    try:
        return [int(word) for word in text.split(",")] if text else list(experiment.seeds)
    except ValueError:
        raise UserError(f"--seeds is '{text}'; give whole numbers with commas between them, such as 0,1,2.") from None


# -- running -----------------------------------------------------------------------------------------------------------


def measure(experiment: Experiment, seed: int, given: dict[str, Any], out: Path) -> dict[str, Any]:
    """One seed of an experiment, its run folder at `out`: its scores, and what they cost."""
    source = commit()  # before it begins: others may be made meanwhile
    scores, trained, judged = (_train if experiment.task == "train" else _task)(experiment, seed, given, out)
    ours = [claim for claim in CLAIMS if claim.experiment == experiment.name]
    wanted = {claim.score for claim in ours} | {claim.beats for claim in ours if claim.beats not in (None, "floor")}
    if missing := wanted - {score.name for score in scores}:
        raise UserError(f"{experiment.name} gave no {', '.join(sorted(missing))}; see its scores in {out}.")
    return {
        "seed": seed,
        "scores": [score.to_json() for score in scores if score.name in wanted],
        "train_seconds": round(trained, 1),
        "judge_seconds": round(judged, 1),
        "machine": machine(),
        "commit": source,
        "created": now(),
    }


def _train(experiment: Experiment, seed: int, given: dict[str, Any], out: Path) -> tuple[list[Score], float, float]:
    """Scores, and the seconds of training and of judging."""
    data = _data(experiment, given, out)
    task.trained(experiment.method, data, out, seed=seed, **experiment.options)
    features = {"features": given["features"]} if experiment.features else {}
    began = time.monotonic()
    found = evaluate(out, data, **features, **experiment.judged)
    judged = time.monotonic() - began
    return list(found), task.seconds_of(out), judged


def _data(experiment: Experiment, given: dict[str, Any], out: Path) -> str | Path:
    """Where an experiment's data are, laid out by split."""
    if not experiment.parts:
        return given["data"] / experiment.data if experiment.data else experiment.data
    return task.unpacked(given["data"] / experiment.data, experiment.parts, out.with_name(f"{out.name}-data"))


def _anew(out: Path) -> Path:
    """The folder for a check of the run in `out`: one that was broken off is gone on with, else it begins anew."""
    place = out.with_name(f"check-{out.name}")
    if not (place / "run.json").is_file() or task.whole(place):
        shutil.rmtree(place, ignore_errors=True)
    return place


def _task(experiment: Experiment, seed: int, given: dict[str, Any], out: Path) -> tuple[list[Score], float, float]:
    began, data = time.monotonic(), str(_data(experiment, given, out))
    if experiment.task == "grid":
        result = grid.grid(experiment.method, dict(experiment.options), [seed], out)[0]["runs"][0]
    elif experiment.task == "monitor":
        result = monitor.monitor(range(seed, seed + 3), 1, out)
    elif experiment.task == "speed":
        result = speed.speed(**experiment.options, seed=seed)
    elif experiment.task == "large":
        asked = {o.name: o.default for o in large.OPTIONS} | {"run": experiment.method}
        result = large.large(asked | experiment.options, seed, out)
    elif experiment.task == "enlarge":
        asked = {o.name: o.default for o in enlarge.OPTIONS} | {"data": data, "method": experiment.method}
        result = enlarge.enlarge(asked | experiment.options, [seed], out)
    elif experiment.task == "stages":
        asked = {"data": data, "n": experiment.judged["n"]}
        result, _ = stages.stages(experiment.method, {**experiment.options, "seed": seed}, asked, out)
    elif experiment.task == "lecture":
        asked = {o.name: o.default for o in lecture.OPTIONS} | {"data": data, "features": given["features"]}
        result = lecture.lecture(asked | experiment.options | {"seed": seed}, out)[0]
    else:
        asked = {o.name: o.default for o in stacked.OPTIONS} | {"data": data, **experiment.judged}
        result, _ = stacked.stacked(experiment.method, {**experiment.options, "seed": seed}, asked, out)
    judged = max(0.0, time.monotonic() - began - result["seconds"])
    return [Score.from_json(told) for told in result["scores"]], result["seconds"], judged


def _compare(experiment: Experiment, run: dict[str, Any], written: list[dict[str, Any]]) -> None:
    """Says whether a run lands within the spread that the ledger states. Raises UserError if not."""
    astray = []
    for told in run["scores"]:
        score = Score.from_json(told)
        if score.unit in CLOCK:
            continue
        before = [_score_of(r, score.name) for r in written]
        if not before:
            raise UserError(f"{experiment.name} has nothing in the ledger to compare with; run it without --check.")
        values = [s.value for s in before]
        same = [_score_of(r, score.name).value for r in written if r["seed"] == run["seed"]]
        # of one run the spread is not known: then it has to come out the same, but for rounding on another machine
        reach = 3 * stdev(values) if len(values) > 1 else 0.02 * abs(values[0])
        near = abs(score.value - mean(values)) <= max(reach, 1e-9)
        print(f"{score.name}: {score.value:.6g}; ledger {mean(values):.6g}, reach {reach:.3g}"
              f"{f', same seed {same[0]:.6g}' if same else ''}: {'within' if near else 'NOT within'}")  # fmt: skip
        astray += [] if near else [score.name]
    if astray:
        raise UserError(f"{', '.join(astray)} of {experiment.name} does not land where the ledger says.")


# -- the files ---------------------------------------------------------------------------------------------------------


def read(name: str) -> list[dict[str, Any]]:
    """The runs of an experiment that are in the ledger."""
    file = FOLDER / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))["runs"] if file.is_file() else []


def write(experiment: Experiment, runs: list[dict[str, Any]]) -> None:
    """ledger/NAME.json: what is claimed and what was obtained."""
    told = {
        "experiment": experiment.name,
        "title": experiment.title,
        "protocol": experiment.protocol,
        "command": command_of(experiment),
        "claims": [claim.to_json() for claim in CLAIMS if claim.experiment == experiment.name],
        "runs": runs,
    }
    FOLDER.mkdir(exist_ok=True)
    replace_text(FOLDER / f"{experiment.name}.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")


def command_of(experiment: Experiment) -> str:
    """The line that runs an experiment."""
    words = ["python", "-m", "benchmarks", "claim", experiment.name]
    words += ["--data", "FOLDER"] if experiment.data else []
    return shlex.join(words) + (" --features FILE" if experiment.features else "")


def _score_of(run: dict[str, Any], name: str) -> Score:
    return next(Score.from_json(told) for told in run["scores"] if told["name"] == name)


# -- the page ----------------------------------------------------------------------------------------------------------


def render(words: list[str]) -> None:
    """Writes the ledger's files for experiments not yet run, and LEDGER.md."""
    Parser("ledger", "Renders LEDGER.md from ledger/*.json.").read(words)
    for experiment in EXPERIMENTS.values():
        write(experiment, read(experiment.name))  # the claims may have changed; runs stay as they are
    files = [json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in EXPERIMENTS]
    replace_text(PAGE, page(files))
    print(PAGE)


def page(files: list[dict[str, Any]]) -> str:
    """LEDGER.md."""
    lines = [
        "# Ledger",
        "",
        "What Reverie claims, beside what others published. Rendered by `make ledger` from `ledger/*.json`, which the "
        "runs write; there every score stands with its definition, reference fingerprint, versions, machine and time. "
        "Rows not reached stay. *Obtained* is the mean over seeds, with their standard deviation; *floor* is the same "
        "score of real data, or of what the definition names. `FOLDER` holds the data files, `FILE` is the feature "
        "network that the protocol names. A row is of the commit that its last line names: what came later may have "
        "changed a figure, and `python -m benchmarks claim NAME --check` tells.",
        "",
    ]  # fmt: skip
    for told in files:
        lines += [f"## {told['title']}", "", told["protocol"], "", f"`{told['command']}`", ""]
        lines += ["| score | published | obtained | floor | target | |", "|---|---|---|---|---|---|"]
        lines += [_row(claim, told["runs"], _of(files, claim["over"])) for claim in told["claims"]]
        lines += ["", _cost(told["runs"]), ""]
    return "\n".join(line.rstrip() for line in lines)


def _of(files: list[dict[str, Any]], name: str | None) -> list[dict[str, Any]]:
    """The runs of an experiment."""
    return next((told["runs"] for told in files if told["experiment"] == name), [])


def _row(claim: dict[str, Any], runs: list[dict[str, Any]], others: Sequence[dict[str, Any]] = ()) -> str:
    """A line of the table; others: the runs that the claim has to be better than, where it is over another."""
    published = f"{claim['published']} ({claim['source']})" if claim["published"] else claim["source"] or "-"
    if not runs or (claim["over"] and not others):
        return f"| {claim['score']} | {published} | - | - | {claim['target'] or '-'} | open |"
    scores = [_score_of(run, claim["score"]) for run in runs]
    values, first = [s.value for s in scores], scores[0]
    spread = f" ± {stdev(values):.3g}" if len(values) > 1 else f" ± {first.spread:.2g} (s.e.)" if first.spread else ""
    obtained = f"**{mean(values):.4g}**{spread}{' ' + first.unit if first.unit else ''}, {_count(len(runs), 'seed')}"
    floors = [s.floor for s in scores if s.floor is not None]
    floor = f"{mean(floors):.4g}" if floors else "-"
    state = "measured"
    if any(claim[limit] is not None for limit in ("at_most", "at_least", "within", "beats", "over")):
        low = claim["at_least"] is None or min(values) >= claim["at_least"]
        high = claim["at_most"] is None or max(values) <= claim["at_most"]
        near = claim["within"] is None or all(s.value >= (s.floor or 0) - claim["within"] for s in scores)
        ahead = claim["beats"] is None or all(map(partial(_beats, claim["beats"]), runs, scores))
        ahead &= all(_better(one, _score_of(other, claim["score"]).value) for one in scores for other in others)
        state = "reached" if low and high and near and ahead else "not reached"
    return f"| {claim['score']} | {published} | {obtained} | {floor} | {claim['target'] or '-'} | {state} |"


def _beats(rival: str, run: dict[str, Any], score: Score) -> bool:
    """Whether a score is better than its floor, or than another score of the same run."""
    theirs = score.floor if rival == "floor" else _score_of(run, rival).value
    assert theirs is not None
    return _better(score, theirs)


def _better(score: Score, other: float) -> bool:
    return score.value > other if score.better == "higher" else score.value < other


def _cost(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return "Not run yet."
    minutes = mean(run["train_seconds"] for run in runs) / 60
    judged = mean(run["judge_seconds"] for run in runs) / 60
    machine, seeds = runs[-1]["machine"], ", ".join(str(run["seed"]) for run in runs)
    where, torch = machine.get("gpu") or machine["cpu"], runs[-1]["scores"][0]["versions"]["torch"]
    sources = ", ".join(dict.fromkeys(str(run["commit"])[:7] for run in runs))
    return (
        f"Seeds {seeds}; {minutes:.3g} min of training and {judged:.2g} min of judging each on {where}, "
        f"{_count(machine['threads'], 'thread')}, torch {torch}; commit {sources}."
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
