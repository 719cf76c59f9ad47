"""Does the monitor speak when it should, and only then?  `python -m benchmarks monitor`

Runs made to fail on purpose, each in the way its name says, and runs that are well, of every method and kind of preset,
on built-in sets. The thresholds of `reverie.monitor` lie between the two; the table shows how far from either.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import reverie
from benchmarks import common
from reverie.core.options import Option
from reverie.metrics.score import Score
from reverie.runs.run_folder import Run
from reverie.training.monitor import NOT_A_NUMBER, RULES
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import TrainingFailed, UserError

SMALL: dict[str, Any] = dict(
    size=16, base_channels=16, steps=1_500, log_every=50, checkpoint_every=1_500, sample_every=1_500
)
OPTIONS = [
    Option("seeds", int, 3, "how many runs of each kind that is well"),
    Option("threads", int, 1, "CPU threads"),
    Option("runs", Path, None, "keep the run folders here"),
    Option("out", Path, None, "write the result to this JSON file"),
]


@dataclass(frozen=True)
class Case:
    """A run and what the monitor ought to find in it."""

    title: str
    method: str
    data: str
    options: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    """nothing: it is well"""


LAST_GOOD = (
    Case("the paper's loss", "dcgan", "letters:2000"),
    Case("relativistic, R1+R2", "dcgan:stable", "letters:2000"),
    Case("hinge, spectral norm, augmented", "dcgan:few", "letters:400"),
    Case("colour", "dcgan", "shapes:2000"),
    Case("convolutions", "vae", "letters:2000"),
    Case("colour", "vae", "shapes:2000"),
    Case("mlp", "vae:mlp", "letters:2000", {"width": None}),
    Case("colour", "classifier", "shapes:2000"),
)
ILL = (
    Case("a rate far too high", "vae", "letters:500", {"rate": 1e6}, NOT_A_NUMBER),
    Case("five steps of D to one of G", "dcgan", "letters:500", {"critic_steps": 5, "average": 0.0},
         "discriminator has won"),
    Case("sixty images learnt by heart by D", "dcgan", "shapes:60", {"critic_steps": 5, "average": 0.0},
         "discriminator has won"),
    Case("a code of one number", "dcgan", "letters:500", {"latent": 1}, "lost diversity"),
    Case("a KL 100 times too heavy", "vae", "letters:500", {"beta": 100.0}, "posterior collapse"),
    Case("a KL 300 times too heavy", "vae", "shapes:500", {"beta": 300.0}, "posterior collapse"),
)  # fmt: skip


def main(words: list[str]) -> None:
    """Trains all cases and prints what was found in each."""
    asked, as_json = common.options("monitor", (__doc__ or "").splitlines()[0], OPTIONS, words)
    if asked["seeds"] < 1 or asked["threads"] < 0:
        raise UserError("seeds must be 1 or more, and threads not negative.")
    with common.room(asked["runs"]) as room:
        result = monitor(range(asked["seeds"]), asked["threads"], room)
    common.deliver(result, asked["out"], as_json)
    if not as_json:
        print(describe(result))


def monitor(seeds: Sequence[int], threads: int, room: Path) -> dict[str, Any]:
    """All cases: those that are well with every seed, those that are not with the first."""
    runs = [watch(case, seeds[0], threads, room) for case in ILL]
    runs += [watch(case, seed, threads, room) for case in LAST_GOOD for seed in seeds]
    return {
        "task": "monitor", "runs": runs, "scores": [score.to_json() for score in scores(runs, seeds[0])],
        "seconds": round(sum(run["seconds"] for run in runs), 1), "command": common.command(), "machine": machine(),
        "versions": versions(), "commit": commit(), "created": now(),
    }  # fmt: skip


def watch(case: Case, seed: int, threads: int, room: Path) -> dict[str, Any]:
    """One run: what was found in it, and how near to each threshold it came."""
    began = time.monotonic()
    words = "-".join([case.method.replace(":", "-"), *case.title.split()[:3], case.data.partition(":")[0], str(seed)])
    out = room / "".join(letter if letter.isalnum() else "-" for letter in words)
    options = {**SMALL, **case.options, "seed": seed, "threads": threads}
    with contextlib.suppress(TrainingFailed):
        reverie.train(case.method, data=case.data, out=out, **{k: v for k, v in options.items() if v is not None})
    lines = Run.open(out).lines()
    found = [(line["step"], line["alert"]["name"]) for line in lines if "alert" in line]
    told = [(line["step"], line["metrics"]) for line in lines if "metrics" in line]
    return {
        "title": case.title, "method": case.method, "data": case.data, "seed": seed, "expected": case.fault,
        "found": [{"step": step, "name": name} for step, name in found], "nearest": nearest(told),
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def nearest(told: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Of each sign that a run reports: the worst that lasted as long as a fault must, to hold against the threshold."""
    worst = {}
    for fault in RULES:
        series = [(step, losses[fault.role]) for step, losses in told if fault.role in losses]
        # what lasts is the best of a window: a fault has to be there all the time
        best, far = (min, max) if fault.above else (max, min)
        windows = [
            [v for s, v in series if step - fault.window < s <= step] for step, _ in series if step >= fault.window
        ]
        if windows:
            worst[fault.role] = round(far(best(window) for window in windows), 4)
    return worst


def scores(runs: list[dict[str, Any]], seed: int) -> list[Score]:
    """Faults that were found, of those that were made; alarms in runs that are well."""
    ill = [run for run in runs if run["expected"]]
    well = [run for run in runs if not run["expected"]]
    caught = sum(run["expected"] in [found["name"] for found in run["found"]] for run in ill)
    false = sum(bool(run["found"]) for run in well)
    kinds = f"on built-in sets at {SMALL['size']} pixels, {SMALL['steps']} steps"
    return [
        Score("faults found", caught, f"of {len(ill)}", "higher", f"runs made to fail in which the monitor names the "
              f"fault that was made, {kinds}", None, len(ill), seed, versions=versions()),
        Score("false alarms", false, f"of {len(well)}", "lower", f"runs that are well in which the monitor finds "
              f"anything, {kinds}", None, len(well), seed, versions=versions()),
    ]  # fmt: skip


def describe(result: dict[str, Any]) -> str:
    """The result as a table."""
    signs = [fault.role for fault in RULES]
    limits = "".join(f"{('> ' if f.above else '< ') + f'{f.threshold:g}':>10}" for f in RULES)
    lines = [
        f"{'':58}" + "".join(f"{sign:>10}" for sign in signs),
        f"{'a fault, if for ' + ', '.join(str(f.window) for f in RULES) + ' steps':58}{limits}",
    ]
    for run in result["runs"]:
        name = f"{run['method']} {run['data']}, {run['title']}, seed {run['seed']}"
        near = "".join(f"{common.number(run['nearest'].get(sign)):>10}" for sign in signs)
        found = ", ".join(f"{found['name']} at {found['step']}" for found in run["found"]) or "nothing"
        wrong = found == "nothing" if run["expected"] else found != "nothing"
        lines.append(f"{name:58.58}{near}  {found}{'  <- WRONG' if wrong else ''}")
    return "\n".join(lines + [f"{s['name']}: {s['value']:g} {s['unit']}" for s in result["scores"]])
