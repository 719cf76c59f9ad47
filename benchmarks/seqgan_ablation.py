"""What SeqGAN's adversarial stage adds to maximum likelihood.  `python -m benchmarks seqgan_ablation seqgan`

SeqGAN is evaluated twice in one training: when the stage of maximum likelihood (MLE) has ended, and at the end. With an
oracle (Yu 2016, section 5.1) the generator after MLE is also sampled at lower temperatures, because low temperature
alone lowers NLL_oracle (Caccia 2018, arXiv:1811.02549). The fair comparison is at the temperature where both have the
same NLL_oracle; there NLL_gen shows how much diversity was lost.
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
from benchmarks import common
from reverie.api import load
from reverie.core.method import Method
from reverie.core.options import Option
from reverie.data.text.dataset import Texts
from reverie.evaluation.evaluate import evaluate
from reverie.metrics.score import Better, Score
from reverie.metrics.text import reference_of
from reverie.runs.run_folder import manifest
from reverie.training.prepare import parse_method
from reverie.utils.environment import versions
from reverie.utils.errors import UserError

DEFAULTS: dict[str, Any] = dict(checkpoint_every=500, sample_every=10**9, log_every=50)
OPTIONS = [
    Option("data", str, "oracle", "lines of text: a path, or the name of a set; an oracle"),
    Option("n", int, 2_000, "number of generated lines"),
    Option("runs", Path, None, "keep the run folders here"),
    Option("out", Path, None, "write the result to this JSON file"),
]
TEMPERATURES = tuple(np.arange(0.5, 1.001, 0.05).round(2).tolist())
"""at which the generator after MLE is sampled"""
MLE_ONLY = ", MLE only"
"""ends the names of the scores of the generator after MLE"""
MLE_TEMPERED = ", MLE tempered"
"""ends the names of its scores at the temperature where its NLL_oracle is that of the whole training"""


def main(words: list[str]) -> None:
    """Trains, evaluates both stages and prints their scores."""
    about = (__doc__ or "").splitlines()[0]
    spec, args, options = common.parse_method_options("seqgan_ablation", about, OPTIONS, DEFAULTS, words)
    if args["n"] < 64:
        raise UserError(f"n is {args['n']}; it must be 64 or more.")
    with common.run_folders(args["runs"]) as folder:
        result, method = seqgan_ablation(spec, options, args, folder / "run")
    result = common.describe_method(spec, method, options) | result
    common.write_result(result, args["out"], args["json"])
    if not args["json"]:
        print(describe(result))


def seqgan_ablation(
    spec: str, options: dict[str, Any], args: dict[str, Any], out: Path
) -> tuple[dict[str, Any], Method]:
    """Scores of both stages of one training.

    args: "data" and "n" of OPTIONS; out: the run folder, beside which OUT-mle holds the run that ends with MLE.
    Returns (the result, the method at the end). Raises UserError where the method has no stage of maximum likelihood.
    """
    cls, _, config, settings = parse_method(spec, options)
    if "pretrain_steps" not in {field.name for field in dataclasses.fields(cls.Config)}:
        raise UserError(f"{spec} has no stage of maximum likelihood; give seqgan.")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    first, data, n, seed = out.with_name(f"{out.name}-mle"), args["data"], args["n"], settings.seed
    after_mle = common.train_or_resume(spec, data, first, **{**DEFAULTS, **options, "steps": config.pretrain_steps})
    if not (out / "run.json").is_file():
        _copy_run(first, out)
    if manifest(out).get("step") == config.steps:
        method = load(out)
    else:
        method = reverie.resume(out, data=data, steps=config.steps)
    scores = list(evaluate(out, data, n=n, seed=seed))
    for score in evaluate(first, data, n=n, seed=seed):
        scores.append(dataclasses.replace(score, name=score.name + MLE_ONLY))
    if Texts.open(data).oracle:
        test = Texts.open(data, "test").prepare(**cls.data_args(after_mle.config))
        scores += _tempered_scores(after_mle, method, test, n, seed)
    records = [score.to_json() for score in scores]
    return {"task": "seqgan_ablation", "scores": records, "seconds": common.training_seconds(out)}, method


def _copy_run(first: Path, out: Path) -> None:
    """Copies a run folder, to resume the copy from where the first stage ended."""
    partial = out.with_name(f"{out.name}-partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(first, partial)
    partial.rename(out)


@torch.no_grad()
def _tempered_scores(after_mle: Any, method: Any, data: Texts, n: int, seed: int) -> Iterator[Score]:
    """Scores of the generator after MLE at the temperature where its NLL_oracle is that of the whole training."""
    assert data.oracle is not None
    real, noise = torch.from_numpy(data.array[:n]), after_mle.noise(seed, range(n))

    def measure(sampled: Any, temperature: float) -> tuple[float, float, float, float]:
        """(NLL_oracle, temperature, NLL_gen, share of the vocabulary used) of a method at a temperature."""
        tempered = copy.deepcopy(sampled)
        for parameter in tempered.generator.output.parameters():
            parameter.div_(temperature)
        lines = tempered.sample_lines(n, noise)
        nll_gen = torch.cat([tempered.nll(part) for part in real.split(256)]).mean()
        used = len(lines.unique()) / data.oracle.vocab_size
        return float(data.oracle.nll(lines).mean()), temperature, float(nll_gen), used

    target, _, _, words_used = measure(method, 1.0)
    columns = np.array([measure(after_mle, temperature) for temperature in TEMPERATURES]).T
    words = f"share of the oracle's {data.oracle.vocab_size} words that occur in {n} lines"
    at_target = (
        "of the generator after maximum likelihood, at the temperature where its NLL_oracle is that after the "
        "adversarial stage; linear interpolation between temperatures 0.05 apart"
    )

    def score(name: str, value: float, unit: str, better: Better, definition: str) -> Score:
        reference = reference_of(data, n)
        return Score(
            name, value, unit, better, definition, reference, n, seed, group="likelihood", versions=versions()
        )  # fmt: skip

    temperature, nll_gen, tempered_words = (float(np.interp(target, columns[0], column)) for column in columns[1:])
    yield score("words used", words_used, "", "higher", words)
    yield score(f"temperature{MLE_TEMPERED}", temperature, "", "higher", f"the temperature, {at_target}")
    yield score(f"nll-gen{MLE_TEMPERED}", nll_gen, "nats/token", "lower", f"NLL_gen, {at_target}")
    yield score(f"words used{MLE_TEMPERED}", tempered_words, "", "higher", f"{words}, {at_target}")


def beside_of(record: dict[str, Any]) -> float | None:
    """What real data gets, or else the baseline."""
    return record.get("baseline") if record.get("real") is None else record["real"]


def describe(result: dict[str, Any]) -> str:
    """The scores of both stages side by side."""
    values = {record["name"]: record["value"] for record in result["scores"]}
    lines = [f"{'':28}{'MLE only':>14}{'MLE tempered':>14}{'whole':>10}{'beside':>10}"]
    for record in result["scores"]:
        name = record["name"]
        if not name.endswith((MLE_ONLY, MLE_TEMPERED)):
            mle, tempered, whole, beside = map(
                common.format_number,
                (values.get(name + MLE_ONLY), values.get(name + MLE_TEMPERED), record["value"], beside_of(record)),
            )
            lines.append(f"{name:28}{mle:>14}{tempered:>14}{whole:>10}{beside:>10}")
    return "\n".join(lines)
