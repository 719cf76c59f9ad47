"""Failures that the monitor detects, and its false alarms.  `python -m benchmarks monitor`

Runs made to fail on purpose, each in the way its title says, and healthy runs of several methods and kinds of preset,
on built-in sets. The thresholds of reverie/training/monitor.py lie between the two; the table shows how far from
either.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import reverie
from benchmarks import common
from reverie.core.options import Option
from reverie.metrics.score import Score
from reverie.runs.run_folder import Run
from reverie.training.monitor import NOT_A_NUMBER, RULES, Rule
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import TrainingFailed, UserError

SMALL: dict[str, Any] = dict(
    size=16, base_channels=16, steps=1_500, log_every=50, checkpoint_every=1_500, sample_every=1_500
)
OPTIONS = [
    Option("seeds", int, 3, "number of runs of each healthy case"),
    Option("threads", int, 1, "CPU threads"),
    Option("runs", Path, None, "keep the run folders here"),
    Option("out", Path, None, "write the result to this JSON file"),
]


@dataclass(frozen=True)
class Case:
    """A run, and the alert that the monitor should raise in it."""

    title: str
    method: str
    data: str
    options: dict[str, Any] = field(default_factory=dict)
    """beside SMALL; an option that is None is left to the preset"""
    expected: str = ""
    """the name of the alert; "": none, the run is healthy"""


HEALTHY = (
    Case("the paper's loss", "dcgan:plain", "letters:2000"),
    Case("relativistic, R1+R2", "dcgan:stable", "letters:2000"),
    Case("hinge, spectral norm, augmented", "dcgan:low_data", "letters:400"),
    Case("colour", "dcgan:plain", "shapes:2000"),
    Case("convolutions", "vae", "letters:2000"),
    Case("colour", "vae", "shapes:2000"),
    Case("mlp", "vae:mlp", "letters:2000", {"base_channels": None}),
    Case("colour", "classifier", "shapes:2000"),
)
FAILING = (
    Case("a learning rate far too high", "vae", "letters:500", {"lr": 1e6}, NOT_A_NUMBER),
    Case("five steps of D per step of G", "dcgan:plain", "letters:500", {"d_steps_per_g": 5, "ema_decay": 0.0},
         "discriminator has won"),
    Case("sixty images memorised by D", "dcgan:plain", "shapes:60", {"d_steps_per_g": 5, "ema_decay": 0.0},
         "discriminator has won"),
    Case("one latent dimension", "dcgan:plain", "letters:500", {"latent_dim": 1}, "lost diversity"),
    Case("a KL weight 100 times too large", "vae", "letters:500", {"beta": 100.0}, "posterior collapse"),
    Case("a KL weight 300 times too large", "vae", "shapes:500", {"beta": 300.0}, "posterior collapse"),
)  # fmt: skip
TABLE_RULES = [rule for rule in RULES if rule.role != "loss"]
"""the rules whose thresholds are in units of the metric itself"""


def main(words: list[str]) -> None:
    """Trains all cases and prints the alerts of each."""
    args, as_json = common.parse_options("monitor", (__doc__ or "").splitlines()[0], OPTIONS, words)
    if args["seeds"] < 1 or args["threads"] < 0:
        raise UserError("seeds must be 1 or more, and threads not negative.")
    with common.run_folders(args["runs"]) as folder:
        result = monitor(range(args["seeds"]), args["threads"], folder)
    common.write_result(result, args["out"], as_json)
    if not as_json:
        print(describe(result))


def monitor(seeds: Sequence[int], threads: int, folder: Path) -> dict[str, Any]:
    """All cases: the healthy ones with every seed, the failing ones with the first."""
    runs = [run_case(case, seeds[0], threads, folder) for case in FAILING]
    runs += [run_case(case, seed, threads, folder) for case in HEALTHY for seed in seeds]
    return {
        "task": "monitor", "runs": runs, "scores": [score.to_json() for score in scores(runs, seeds[0])],
        "seconds": round(sum(run["seconds"] for run in runs), 1), "command": common.command(), "machine": machine(),
        "versions": versions(), "commit": commit(), "created": now(),
    }  # fmt: skip


def run_case(case: Case, seed: int, threads: int, folder: Path) -> dict[str, Any]:
    """One run: its alerts, and how near to each threshold its metrics came."""
    began = time.monotonic()
    words = [case.method.replace(":", "-"), *case.title.split()[:3], case.data.partition(":")[0], str(seed)]
    out = folder / "".join(letter if letter.isalnum() else "-" for letter in "-".join(words))
    options = {**SMALL, **case.options, "seed": seed, "threads": threads}
    options = {name: value for name, value in options.items() if value is not None}
    with contextlib.suppress(TrainingFailed):
        reverie.train(case.method, data=case.data, out=out, **options)
    run = Run.open(out)
    lines = run.lines()
    alerts = [{"step": line["step"], "name": line["alert"]["name"]} for line in lines if "alert" in line]
    metrics = [(line["step"], line["metrics"]) for line in lines if "metrics" in line]
    return {
        "title": case.title, "method": case.method, "data": case.data, "seed": seed, "expected": case.expected,
        "alerts": alerts, "nearest": nearest_to_thresholds(metrics, run.about["monitored"]),
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def nearest_to_thresholds(
    metrics: list[tuple[int, dict[str, float]]], monitored: Mapping[str, str]
) -> dict[str, float]:
    """The worst value per role that lasted as long as a failure must, to compare with the rule's threshold.

    metrics: (step, values by name) of each line of the log; monitored: metric -> role, as `Method.monitored`.
    """
    worst = {}
    for rule in TABLE_RULES:
        for name in [name for name, role in monitored.items() if role == rule.role]:
            series = [(step, values[name]) for step, values in metrics if name in values]
            lasting = _worst_lasting(series, rule)
            if lasting is not None:
                worst[rule.role] = round(lasting, 4)
    return worst


def _worst_lasting(series: list[tuple[int, float]], rule: Rule) -> float | None:
    """The worst, over all windows, of the best value in a window: a failure has to hold throughout its window."""
    best, worst = (min, max) if rule.above else (max, min)
    values = []
    for end, _ in series:
        if end >= rule.window:
            values.append(best(value for step, value in series if end - rule.window < step <= end))
    return worst(values) if values else None


def scores(runs: list[dict[str, Any]], seed: int) -> list[Score]:
    """Failing runs in which the expected alert was raised, and healthy runs in which any was."""
    failing = [run for run in runs if run["expected"]]
    healthy = [run for run in runs if not run["expected"]]
    detected = sum(run["expected"] in [alert["name"] for alert in run["alerts"]] for run in failing)
    false = sum(bool(run["alerts"]) for run in healthy)
    kinds = f"on built-in sets at {SMALL['size']} pixels, {SMALL['steps']} steps"
    return [
        Score("failures detected", detected, f"of {len(failing)}", "higher", "runs made to fail in which the monitor "
              f"raises the expected alert, {kinds}", None, len(failing), seed, versions=versions()),
        Score("false alarms", false, f"of {len(healthy)}", "lower", "healthy runs in which the monitor raises any "
              f"alert, {kinds}", None, len(healthy), seed, versions=versions()),
    ]  # fmt: skip


def describe(result: dict[str, Any]) -> str:
    """The result as a table: the values nearest to the thresholds, and the alerts."""
    limits = "".join(f"{('> ' if rule.above else '< ') + f'{rule.threshold:g}':>19}" for rule in TABLE_RULES)
    windows = ", ".join(str(rule.window) for rule in TABLE_RULES)
    lines = [
        f"{'':58}" + "".join(f"{rule.role:>19}" for rule in TABLE_RULES),
        f"{f'a failure, if for {windows} steps':58}{limits}",
    ]
    for run in result["runs"]:
        title = f"{run['method']} {run['data']}, {run['title']}, seed {run['seed']}"
        values = "".join(f"{common.format_number(run['nearest'].get(rule.role)):>19}" for rule in TABLE_RULES)
        alerts = ", ".join(f"{alert['name']} at {alert['step']}" for alert in run["alerts"]) or "none"
        wrong = bool(run["expected"]) != bool(run["alerts"])
        lines.append(f"{title:58.58}{values}  {alerts}{'  <- WRONG' if wrong else ''}")
    return "\n".join(lines + [f"{s['name']}: {s['value']:g} {s['unit']}" for s in result["scores"]])
