"""Does the adversarial stage pay?  `python -m benchmarks stages --data oracle`

SeqGAN is judged twice in one training: when the maximum likelihood has ended, and at the end. With an oracle (Yu 2016,
section 5.1) the likelihood's generator is also made colder, because low temperature alone lowers NLL_oracle (Caccia
2018, arXiv:1811.02549): what the adversarial stage is worth shows at the temperature where both cost the oracle as
much, in NLL_gen, which tells what was lost in variety.
"""

from __future__ import annotations

import copy
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import reverie
from benchmarks import task
from reverie.api import load
from reverie.core.method import Method
from reverie.core.options import Option
from reverie.data.text.dataset import Texts
from reverie.evaluation.evaluate import evaluate
from reverie.metrics.score import Score
from reverie.metrics.text import reference_of
from reverie.runs.run_folder import manifest
from reverie.utils.environment import versions
from reverie.utils.errors import UserError

DEFAULTS: dict[str, Any] = dict(checkpoint_every=500, sample_every=10**9, log_every=50)
OPTIONS = [
    Option("data", str, "oracle", "lines of text: a path, or the name of a set; an oracle"),
    Option("n", int, 2_000, "written lines that are judged"),
    Option("runs", Path, None, "keep the run folders here"),
    Option("out", Path, None, "write the result to this JSON file"),
]
TEMPERATURES = tuple(np.arange(0.5, 1.001, 0.05).round(2).tolist())
"""that the likelihood's generator is cooled to"""
ALONE = ", likelihood alone"
COOLED = ", likelihood cooled"


def main(words: list[str]) -> None:
    """Trains, judges and prints."""
    spec, asked, options = task.ask("stages", (__doc__ or "").splitlines()[0], OPTIONS, DEFAULTS, words)
    if asked["n"] < 64:
        raise UserError(f"n is {asked['n']}; it must be 64 or more.")
    with task.room(asked["runs"]) as room:
        result, method = stages(spec, options, asked, room / "run")
    result = task.about(spec, method, options) | result
    task.deliver(result, asked["out"], asked["json"])
    if not asked["json"]:
        print(describe(result))


def stages(spec: str, options: dict[str, Any], asked: dict[str, Any], out: Path) -> tuple[dict[str, Any], Method]:
    """Both scores of one training, in the run folder `out`. Raises UserError where the method has no such stages."""
    cls, _, config, settings = task.plan(spec, options)
    if "mle" not in {field.name for field in dataclasses.fields(cls.Config)}:
        raise UserError(f"{spec} has no stage of maximum likelihood; take seqgan.")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    first, data, n, seed = out.with_name(f"{out.name}-likelihood"), asked["data"], asked["n"], settings.seed
    alone = task.trained(spec, data, first, **{**DEFAULTS, **options, "steps": config.mle})
    if not (out / "run.json").is_file():
        _copy(first, out)
    whole = (
        load(out) if manifest(out).get("step") == config.steps else reverie.resume(out, data=data, steps=config.steps)
    )
    told = list(evaluate(out, data, n=n, seed=seed))
    told += [dataclasses.replace(score, name=score.name + ALONE) for score in evaluate(first, data, n=n, seed=seed)]
    if Texts.open(data).oracle:
        told += _cooled(alone, whole, Texts.open(data, "test").prepare(**cls.data_args(alone.config)), n, seed)
    scores = [score.to_json() for score in told]
    return {"task": "stages", "scores": scores, "seconds": task.seconds_of(out)}, whole


def _copy(first: Path, out: Path) -> None:
    """A run folder again, to go on from where the first stage ended."""
    partial = out.with_name(f"{out.name}-begun")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(first, partial)
    partial.rename(out)


@torch.no_grad()
def _cooled(alone: Any, whole: Any, data: Texts, n: int, seed: int) -> Iterator[Score]:
    """What the likelihood's generator is at the temperature where its NLL_oracle is that of the whole training."""
    assert data.oracle is not None
    real, noise, rows = torch.from_numpy(data.array[:n]), alone.noise(seed, range(n)), []
    for method, temperature in [(whole, 1.0), *((alone, temperature) for temperature in TEMPERATURES)]:
        method = copy.deepcopy(method)
        for parameter in method.generator.out.parameters():
            parameter.div_(temperature)
        lines = method.write_lines(n, noise)
        gen = torch.cat([method.nll(part) for part in real.split(256)]).mean()
        used = len(lines.unique()) / data.oracle.words
        rows.append((float(data.oracle.nll(lines).mean()), temperature, float(gen), used))
    (goal, *_, own), *cold = rows
    oracles, *columns = np.array(cold).T
    known = dict(
        better="higher", reference=reference_of(data, n), n=n, seed=seed, group="likelihood", versions=versions()
    )
    spoken = f"share of the oracle's {data.oracle.words} words that come in {n} lines"
    yield Score("words used", own, "", definition=spoken, **known)
    for name, what, column in zip(
        ("temperature", "nll gen", "words used"), ("the temperature", "NLL_gen", spoken), columns, strict=True
    ):
        yield Score(
            name + COOLED, float(np.interp(goal, oracles, column)), "nats/token" if name == "nll gen" else "",
            definition=f"{what}, of the generator after maximum likelihood, made so cold that its NLL_oracle is that "
            "after the adversarial stage; straight between temperatures 0.05 apart",
            **{**known, "better": "lower" if name == "nll gen" else "higher"},
        )  # fmt: skip


def describe(result: dict[str, Any]) -> str:
    """The scores of both stages side by side."""
    scores = {told["name"]: told["value"] for told in result["scores"]}
    lines = [f"{'':28}{'likelihood alone':>18}{'cooled':>10}{'whole':>10}{'floor':>10}"]
    for told in result["scores"]:
        name = told["name"]
        if "likelihood" not in name:
            cells = scores.get(name + ALONE), scores.get(name + COOLED), told["value"], told.get("floor")
            alone, *others = map(task.number, cells)
            lines.append(f"{name:28}{alone:>18}" + "".join(f"{cell:>10}" for cell in others))
    return "\n".join(lines)
