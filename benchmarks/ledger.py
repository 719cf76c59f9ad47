"""The ledger: claims, what others published, what was obtained, and the command that obtains it again.

`python -m benchmarks experiment NAME` runs an experiment of experiments.py, seed by seed, and writes ledger/NAME.json
after each; a run that was interrupted is resumed, and seeds that are in the ledger are kept. `python -m benchmarks
ledger` renders LEDGER.md from those files, with an open row for every claim that has no result yet. No figure in
either is typed by hand except the published ones, which the claims hold with their source.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks import (
    augmentation,
    class_images,
    common,
    dcgan_recipes,
    grid,
    inpainting,
    large_image,
    monitor,
    seqgan_ablation,
    speed,
    stacked,
    super_resolution,
    vae_gan_comparison,
)
from benchmarks.experiment import Experiment
from benchmarks.experiments import CLAIMS, EXPERIMENTS
from reverie.cli.parser import Parser
from reverie.core.options import Option
from reverie.evaluation.evaluate import evaluate
from reverie.metrics.score import Score
from reverie.utils.atomic_files import replace_text
from reverie.utils.environment import commit, machine, now
from reverie.utils.errors import UserError, near_miss

ROOT = Path(__file__).parents[1]
FOLDER, PAGE = ROOT / "ledger", ROOT / "LEDGER.md"
TIMING_UNITS = ("s", "min", "MP/s", "steps/s", "times", "of the ceiling")
"""units of scores that depend on the machine and its load; --check does not compare them"""
LIMITS = ("at_most", "at_least", "within", "beats", "over")
"""the fields of a claim that decide whether it is reached"""

OPTIONS = [
    Option("seeds", str, "", "the seeds to run, such as 0,1,2; without it all that the experiment has"),
    Option("data", Path, Path("data"), "the folder that holds the data files"),
    Option("features", str, "", "the feature network, for experiments that need one"),
    Option("runs", Path, Path("runs/ledger"), "where the run folders are kept"),
]


def main(words: list[str]) -> None:
    """Runs an experiment; with --check, runs seeds of it again and compares with the ledger."""
    parser = Parser("experiment", "Runs an experiment of the ledger and writes ledger/NAME.json.")
    parser.prog = "python -m benchmarks experiment"
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--check", action="store_true", help="run again and compare with the ledger; change nothing")
    parser.add_options(OPTIONS, "options")
    args = vars(parser.parse(words))
    name, check = args["name"], args["check"]
    if name not in EXPERIMENTS:
        raise UserError(f"there is no experiment '{name}'.{near_miss(name, list(EXPERIMENTS))} See --help.")
    options = {option.name: args.get(option.name, option.default) for option in OPTIONS}
    experiment = EXPERIMENTS[name]
    seeds = _seeds(options["seeds"], experiment)
    if experiment.features and not options["features"]:
        raise UserError(f"{name} compares images by {experiment.features}; give its file with --features.")
    recorded = read_runs(name)
    for seed in seeds:
        if not check and any(run["seed"] == seed for run in recorded):
            print(f"{name}: seed {seed} is in the ledger already", file=sys.stderr)
            continue
        out = options["runs"] / f"{experiment.name}-{seed}"
        run = measure(experiment, seed, options, _check_folder(out) if check else out)
        if check:
            compare_with_ledger(experiment, run, recorded)
        else:
            recorded = sorted([*recorded, run], key=lambda run: run["seed"])
            write(experiment, recorded)
        print(f"{name} seed {seed}: " + ", ".join(f"{s['name']} {s['value']:.5g}" for s in run["scores"]))


def _seeds(text: str, experiment: Experiment) -> list[int]:
    try:
        return [int(word) for word in text.split(",")] if text else list(experiment.seeds)
    except ValueError:
        raise UserError(f"--seeds is '{text}'; give whole numbers with commas between them, such as 0,1,2.") from None


# -- running -----------------------------------------------------------------------------------------------------------


def measure(experiment: Experiment, seed: int, options: dict[str, Any], out: Path) -> dict[str, Any]:
    """Runs one seed of an experiment, with its run folder at `out`: its scores, and how long they took.

    options: OPTIONS by name. Raises UserError if a score that is claimed, or compared with, was not measured.
    """
    source = commit()  # before it begins: commits may be made meanwhile
    run = _train_and_evaluate if experiment.task == "train" else _run_benchmark
    scores, train_seconds, evaluate_seconds = run(experiment, seed, options, out)
    claims = [claim for claim in CLAIMS if claim.experiment == experiment.name]
    wanted = {claim.score for claim in claims}
    wanted |= {claim.beats for claim in claims if claim.beats is not None and claim.beats != "baseline"}
    missing = wanted - {score.name for score in scores}
    if missing:
        raise UserError(f"{experiment.name} gave no {', '.join(sorted(missing))}; see its scores in {out}.")
    return {
        "seed": seed,
        "scores": [score.to_json() for score in scores if score.name in wanted],
        "train_seconds": round(train_seconds, 1),
        "evaluate_seconds": round(evaluate_seconds, 1),
        "machine": machine(),
        "commit": source,
        "created": now(),
    }


Measured = tuple[list[Score], float, float]
"""scores, seconds of training, seconds of evaluation"""


def _train_and_evaluate(experiment: Experiment, seed: int, options: dict[str, Any], out: Path) -> Measured:
    data = _data(experiment, options, out)
    common.train_or_resume(experiment.method, data, out, seed=seed, **experiment.options)
    features = {"features": options["features"]} if experiment.features else {}
    began = time.monotonic()
    evaluation = evaluate(out, data, full=True, **features, **experiment.evaluation)
    seconds = time.monotonic() - began
    return list(evaluation), common.training_seconds(out), seconds


def _data(experiment: Experiment, options: dict[str, Any], out: Path) -> str | Path:
    """Where an experiment's data is, laid out by split."""
    if not experiment.data:
        return experiment.built_in
    file: Path = options["data"] / experiment.data
    return common.unpack(file, experiment.parts, out.with_name(f"{out.name}-data")) if experiment.parts else file


def _check_folder(out: Path) -> Path:
    """The folder for a check of the run in `out`; an interrupted check in it is resumed, a complete one removed."""
    place = out.with_name(f"check-{out.name}")
    if not (place / "run.json").is_file() or common.is_complete(place):
        shutil.rmtree(place, ignore_errors=True)
    return place


def _run_benchmark(experiment: Experiment, seed: int, options: dict[str, Any], out: Path) -> Measured:
    began = time.monotonic()
    result = _benchmark_result(experiment, seed, str(_data(experiment, options, out)), options["features"], out)
    seconds = result.get("evaluate_seconds", max(0.0, time.monotonic() - began - result["seconds"]))
    return [Score.from_json(record) for record in result["scores"]], result["seconds"], seconds


def _benchmark_result(experiment: Experiment, seed: int, data: str, features: str, out: Path) -> dict[str, Any]:
    """The result of the benchmark that the experiment names, with its "scores" and training "seconds"."""

    def options_of(options: list[Option], **given: Any) -> dict[str, Any]:
        """Options of a benchmark: its defaults, what is given, and those of the experiment."""
        return {option.name: option.default for option in options} | given | experiment.options

    method, with_seed = experiment.method, {**experiment.options, "seed": seed}
    if experiment.task == "grid":
        return grid.grid(method, dict(experiment.options), [seed], out)[0]["runs"][0]
    if experiment.task == "monitor":
        return monitor.monitor(range(seed, seed + 3), 1, out)
    if experiment.task == "class_images":
        given = options_of(class_images.OPTIONS, other=features) | {"seed": seed}
        return class_images.class_images(given, out)
    if experiment.task == "speed":
        return speed.speed(**experiment.options, seed=seed)
    if experiment.task == "large_image":
        return large_image.large_image(options_of(large_image.OPTIONS, run=method), seed, out)
    if experiment.task == "augmentation":
        return augmentation.augmentation(options_of(augmentation.OPTIONS, data=data, method=method), [seed], out)
    if experiment.task == "seqgan_ablation":
        return seqgan_ablation.seqgan_ablation(method, with_seed, {"data": data, **experiment.evaluation}, out)[0]
    if experiment.task == "dcgan_recipes":
        options = options_of(dcgan_recipes.OPTIONS, data=data, features=features) | {"seed": seed}
        return dcgan_recipes.dcgan_recipes(options, out)
    if experiment.task == "super_resolution":
        return super_resolution.super_resolution(
            options_of(super_resolution.OPTIONS, data=Path(data), method=method) | {"seed": seed}, out
        )
    if experiment.task == "inpainting":
        return inpainting.inpainting(method, with_seed, Path(data), out)
    if experiment.task == "vae_gan_comparison":
        options = options_of(vae_gan_comparison.OPTIONS, data=data, features=features) | {"seed": seed}
        return vae_gan_comparison.vae_gan_comparison(options, out)[0]
    options = {option.name: option.default for option in stacked.OPTIONS} | {"data": data, **experiment.evaluation}
    return stacked.stacked(method, with_seed, options, out)[0]


def compare_with_ledger(experiment: Experiment, run: dict[str, Any], recorded: list[dict[str, Any]]) -> None:
    """Prints for each score whether a run agrees with the recorded ones. Raises UserError if one does not.

    A value agrees if it lies within 3 standard deviations of the recorded seeds' mean, or within 2 % where there is
    one seed only: then it has to come out the same, except for rounding on another machine.
    """
    disagreeing = []
    for record in run["scores"]:
        score = Score.from_json(record)
        if score.unit in TIMING_UNITS:
            continue
        if not recorded:
            raise UserError(f"{experiment.name} has nothing in the ledger to compare with; run it without --check.")
        values = [_score_of(other, score.name).value for other in recorded]
        tolerance = 3 * stdev(values) if len(values) > 1 else 0.02 * abs(values[0])
        agrees = abs(score.value - mean(values)) <= max(tolerance, 1e-9)
        line = f"{score.name}: {score.value:.6g}; ledger {mean(values):.6g}, tolerance {tolerance:.3g}"
        for other in recorded:
            if other["seed"] == run["seed"]:
                line += f", same seed {_score_of(other, score.name).value:.6g}"
        print(f"{line}: {'within' if agrees else 'NOT within'}")
        if not agrees:
            disagreeing.append(score.name)
    if disagreeing:
        raise UserError(f"{', '.join(disagreeing)} of {experiment.name} does not agree with the ledger.")


# -- the files ---------------------------------------------------------------------------------------------------------


def read_runs(name: str) -> list[dict[str, Any]]:
    """The runs of an experiment that are in the ledger."""
    file = FOLDER / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))["runs"] if file.is_file() else []


def write(experiment: Experiment, runs: list[dict[str, Any]]) -> None:
    """Writes ledger/NAME.json: what is claimed and what was obtained."""
    record = {
        "experiment": experiment.name,
        "title": experiment.title,
        "protocol": experiment.protocol,
        "command": command_of(experiment),
        "claims": [claim.to_json() for claim in CLAIMS if claim.experiment == experiment.name],
        "runs": runs,
    }
    FOLDER.mkdir(exist_ok=True)
    replace_text(FOLDER / f"{experiment.name}.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def command_of(experiment: Experiment) -> str:
    """The command that runs an experiment."""
    command = shlex.join(["python", "-m", "benchmarks", "experiment", experiment.name])
    if experiment.data:
        command += " --data FOLDER"
    if experiment.features:
        command += " --features FILE"
    return command


def _score_of(run: dict[str, Any], name: str) -> Score:
    """The score of that name of a recorded run. Raises UserError if there is none, or its hash does not fit."""
    for record in run["scores"]:
        if record["name"] == name:
            return Score.from_json(record)
    raise UserError(f"a run of seed {run['seed']} in the ledger has no score '{name}'.")


# -- the page ----------------------------------------------------------------------------------------------------------


def render(words: list[str]) -> None:
    """Brings the files of all experiments up to date with their claims, and renders LEDGER.md."""
    parser = Parser("ledger", "Renders LEDGER.md from ledger/*.json.")
    parser.prog = "python -m benchmarks ledger"
    parser.add_argument("--check", action="store_true", help="verify every recorded score instead, and change nothing")
    if parser.parse(words).check:
        print(f"{check_records()} scores agree with their definitions")
        return
    for experiment in EXPERIMENTS.values():
        write(experiment, read_runs(experiment.name))  # the claims may have changed; runs stay as they are
    files = [json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in EXPERIMENTS]
    replace_text(PAGE, page(files))
    print(PAGE)


def check_records() -> int:
    """The number of recorded scores. Raises UserError if one does not fit its hash, or if a claim has none."""
    count = 0
    for name in EXPERIMENTS:
        for run in read_runs(name):
            for record in run["scores"]:
                Score.from_json(record)
                count += 1
            for claim in CLAIMS:
                if claim.experiment == name:
                    _score_of(run, claim.score)
    return count


def page(files: list[dict[str, Any]]) -> str:
    """The text of LEDGER.md."""
    lines = [
        "# Ledger",
        "",
        "What Reverie claims, beside what others published. Rendered by `make ledger` from `ledger/*.json`, which the "
        "runs write; there every score stands with its definition, reference fingerprint, versions, machine and time. "
        "Rows not reached stay. *Obtained* is the mean over seeds, with their standard deviation; *real data* "
        "is the same score of real data, *baseline* that of a trivial answer. `FOLDER` holds the data files, `FILE` is "
        "the feature network that the protocol names. A row is of the commit that its last line names: later commits "
        "may have changed a figure, and `python -m benchmarks experiment NAME --check` shows whether they did.",
        "",
        "On 2026-11-29 the names of options, commands and scores in it were converted to the field's words, and what "
        "was called the floor was split into real data and baseline; values and commits are unchanged.",
        "",
    ]
    for record in files:
        lines += [f"## {record['title']}", "", record["protocol"], "", f"`{record['command']}`", ""]
        lines += ["| score | published | obtained | real data | baseline | target | |", "|---|---|---|---|---|---|---|"]
        lines += [_row(claim, record["runs"], _runs_of(files, claim["over"])) for claim in record["claims"]]
        lines += ["", _cost(record["runs"]), ""]
    return "\n".join(line.rstrip() for line in lines)


def _runs_of(files: list[dict[str, Any]], name: str | None) -> list[dict[str, Any]]:
    """The runs of the experiment of that name; none for None."""
    return next((record["runs"] for record in files if record["experiment"] == name), [])


def _row(claim: dict[str, Any], runs: list[dict[str, Any]], others: Sequence[dict[str, Any]] = ()) -> str:
    """A row of the table; others: the runs that the claim has to be better than, where it is over another."""
    published = f"{claim['published']} ({claim['source']})" if claim["published"] else claim["source"] or "-"
    target = claim["target"] or "-"
    if not runs or (claim["over"] and not others):
        return f"| {claim['score']} | {published} | - | - | - | {target} | open |"
    scores = [_score_of(run, claim["score"]) for run in runs]
    beside = " | ".join(_mean([getattr(score, kind) for score in scores]) for kind in ("real", "baseline"))
    if all(claim[limit] is None for limit in LIMITS):
        state = "measured"
    else:
        state = "reached" if _reached(claim, runs, scores, others) else "not reached"
    return f"| {claim['score']} | {published} | {_obtained(scores)} | {beside} | {target} | {state} |"


def _mean(values: list[float | None]) -> str:
    """The mean of those that are there; "-" for none."""
    there = [value for value in values if value is not None]
    return f"{mean(there):.4g}" if there else "-"


def _obtained(scores: list[Score]) -> str:
    """The mean over seeds with its deviation, or the one value with its standard error; unit; number of seeds."""
    values, first = [score.value for score in scores], scores[0]
    error = ""
    if len(values) > 1:
        error = f" ± {stdev(values):.3g}"
    elif first.std_error:
        error = f" ± {first.std_error:.2g} (s.e.)"
    unit = f" {first.unit}" if first.unit else ""
    return f"**{mean(values):.4g}**{error}{unit}, {_count(len(scores), 'seed')}"


def _reached(
    claim: dict[str, Any], runs: list[dict[str, Any]], scores: list[Score], others: Sequence[dict[str, Any]]
) -> bool:
    """Whether every seed keeps to every limit of the claim."""
    values = [score.value for score in scores]
    if claim["at_least"] is not None and min(values) < claim["at_least"]:
        return False
    if claim["at_most"] is not None and max(values) > claim["at_most"]:
        return False
    if claim["within"] is not None and any(s.value < (s.real or 0) - claim["within"] for s in scores):
        return False
    if claim["beats"] is not None:
        beaten = [_beats(claim["beats"], run, score) for run, score in zip(runs, scores, strict=True)]
        if not all(beaten):
            return False
    values_of_others = [_score_of(other, claim["score"]).value for other in others]
    return all(_better(score, other) for score in scores for other in values_of_others)


def _beats(other: str, run: dict[str, Any], score: Score) -> bool:
    """Whether a score is better than its baseline, or than another score of the same run."""
    value = score.baseline if other == "baseline" else _score_of(run, other).value
    assert value is not None
    return _better(score, value)


def _better(score: Score, other: float) -> bool:
    return score.value > other if score.better == "higher" else score.value < other


def _cost(runs: list[dict[str, Any]]) -> str:
    """How long the runs took, on what machine, with which torch and from which commits."""
    if not runs:
        return "Not run yet."
    train_minutes = mean(run["train_seconds"] for run in runs) / 60
    evaluate_minutes = mean(run["evaluate_seconds"] for run in runs) / 60
    machine, seeds = runs[-1]["machine"], ", ".join(str(run["seed"]) for run in runs)
    where, torch = machine.get("gpu") or machine["cpu"], runs[-1]["scores"][0]["versions"]["torch"]
    sources = ", ".join(dict.fromkeys(str(run["commit"])[:7] for run in runs))
    return (
        f"Seeds {seeds}; {train_minutes:.3g} min of training and {evaluate_minutes:.2g} min of evaluation each on "
        f"{where}, {_count(machine['threads'], 'thread')}, torch {torch}; commit {sources}."
    )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
