"""The monitor: which alerts it raises, when, and what follows from them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reverie
from reverie import api
from reverie.cli import main as cli
from reverie.core.diagnostics import active_units, diagnostics, mean_nn_distance
from reverie.core.generation import Items, generate_images, select_items
from reverie.core.method import Method, verb
from reverie.core.stage import Batch, Metrics, Stage
from reverie.core.update import Update
from reverie.data.images.dataset import Images
from reverie.media import Image
from reverie.runs.weights_file import read_weights
from reverie.training import monitor, prepare
from reverie.training import trainer as loop
from reverie.training.monitor import LINES, ROLES, RULES, Alert, Monitor, Rule
from reverie.training.signals import GracefulStop, Interrupted
from reverie.utils.errors import TrainingFailed, UserError
from reverie.utils.seeding import noise

BY_NAME = {rule.name: rule for rule in RULES}
DIRECT = [rule for rule in RULES if rule.role != "loss"]
"""rules that compare a metric itself with a threshold"""


def feed(watch: Monitor, metric: str, values: list[float], every: int = 100, start: int = 0) -> list[Alert]:
    """The alerts that a log with these values raises."""
    steps = [start + every * (i + 1) for i in range(len(values))]
    return [
        alert for step, value in zip(steps, values, strict=True) for alert in watch.check_metrics(step, {metric: value})
    ]


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def alerts_of(folder: Path) -> list[str]:
    return [line["alert"]["name"] for line in lines_of(folder) if "alert" in line]


def results(folder: Path) -> tuple[list[Any], dict[str, torch.Tensor]]:
    """The log without times, and the weights."""
    kept = [{k: v for k, v in line.items() if k not in ("seconds", "steps_per_s")} for line in lines_of(folder)]
    return kept, read_weights(folder / "weights.safetensors")[1]


# -- which alerts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", DIRECT, ids=lambda rule: rule.role)
def test_a_failure_raises_an_alert_when_it_has_lasted(rule: Rule) -> None:
    bad, good = (rule.threshold + s * (1 if rule.above else -1) * 1e-3 for s in (1, -1))
    watch, lines = Monitor({"m": rule.role}), rule.window // 100
    assert not feed(watch, "m", [good] * 3)
    assert not feed(watch, "m", [bad] * (lines - 1), start=300)
    (alert,) = feed(watch, "m", [bad] * 20, start=300 + 100 * (lines - 1))
    assert alert.name == rule.name
    assert alert.value == pytest.approx(bad)
    assert alert.since == 300
    assert not alert.fatal
    # it is raised again only after the failure had gone
    assert not feed(watch, "m", [good], start=9_000)
    assert len(feed(watch, "m", [bad] * 20, start=9_100)) == 1


@pytest.mark.parametrize("name", ["d_auc", "token_accuracy", "nn_distance_ratio", "loss"])
def test_a_metric_without_a_role_raises_no_alert_whatever_its_name(name: str) -> None:
    """music_vae once logged its token accuracy under the name of a discriminator's, and 'the discriminator had won'."""
    music = Monitor({"loss": "loss", "active_units": "active_units"} if name != "loss" else {})
    assert not feed(music, name, [0.9985, 1.0, 0.0, 1e9, -1e9] * 20, every=50)
    assert not feed(music, name, [0.9985] * 20, every=50, start=10_000)
    assert music.healthy
    assert feed(Monitor({name: "discriminator_auc"}), name, [0.9985] * 20, every=50)
    (alert,) = feed(music, name, [math.nan])  # but it is finite, or the run has failed
    assert alert.name == monitor.NOT_A_NUMBER


def test_unknown_roles_are_refused() -> None:
    with pytest.raises(ValueError, match="no role winner"):
        Monitor({"d_auc": "winner"})
    Monitor({f"m{i}": role for i, role in enumerate(ROLES)})


def test_two_metrics_of_one_role_are_watched_each_for_itself() -> None:
    watch, alerts = Monitor({"d_auc_a": "discriminator_auc", "d_auc_b": "discriminator_auc"}), []
    for step in range(100, 3000, 100):
        alerts += watch.check_metrics(step, {"d_auc_a": 0.7, "d_auc_b": 1.0 if step < 1500 else 0.8})
    assert [alert.value for alert in alerts] == [1.0]


def test_a_bad_moment_is_no_failure() -> None:
    roles = {"nn_distance_ratio": "diversity"}
    values = [0.1] * 4 + [0.9] + [0.1] * 4 + [0.9]
    assert not feed(Monitor(roles), "nn_distance_ratio", values)
    assert len(feed(Monitor(roles), "nn_distance_ratio", [0.1] * LINES, every=1000)) == 1
    assert not feed(Monitor(roles), "nn_distance_ratio", [0.1] * (LINES - 1), every=1000)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_raises_an_alert_at_once(value: float) -> None:
    watch = Monitor({})
    watch.check_metrics(10, {"loss_d": 1.0})
    (alert,) = watch.check_metrics(20, {"loss_d": 1.0, "loss_g": value})
    assert alert.fatal
    assert (alert.name, alert.since) == (monitor.NOT_A_NUMBER, 10)
    assert "loss_g is not finite any more at step 20" in alert.what


def test_two_failures_at_once_raise_two_alerts() -> None:
    watch, names = Monitor({"d_auc": "discriminator_auc", "nn_distance_ratio": "diversity"}), []
    for step in range(100, 1500, 100):
        names += [alert.name for alert in watch.check_metrics(step, {"d_auc": 1.0, "nn_distance_ratio": 0.0})]
    assert sorted(names) == ["discriminator has won", "lost diversity"]


def test_diagnostics_are_what_they_say() -> None:
    real, one = torch.randn(32, 3, 8, 8), torch.randn(1, 3, 8, 8).expand(32, 3, 8, 8)
    found = diagnostics(torch.full((32,), 2.0), torch.full((32,), 1.0), real, one)
    assert found["d_auc"] == 1
    assert found["nn_distance_ratio"] < 1e-3
    found = diagnostics(torch.randn(500), torch.randn(500), real, torch.randn(32, 3, 8, 8))
    assert found["d_auc"] == pytest.approx(0.5, abs=0.08)
    assert found["nn_distance_ratio"] == pytest.approx(1, abs=0.1)
    # five images over and over are as far apart on average as many, but each has its like beside it
    assert mean_nn_distance(torch.randn(5, 3, 8, 8).repeat(7, 1, 1, 1)) < 0.01
    assert active_units(torch.cat([torch.zeros(64, 3), torch.randn(64, 2)], 1)) == {"active_units": 2}


def test_of_one_item_nothing_is_reported_that_takes_others(tmp_path: Path) -> None:
    """Else every run with a batch of 1, or with one item for each process, would be said to have collapsed."""
    assert active_units(torch.randn(1, 5)) == {}
    one = torch.randn(1, 3, 8, 8)
    assert set(diagnostics(torch.randn(1), torch.randn(1), one, one)) == {"d_auc"}
    for method, data in (("vae", "shapes:40"), ("dcgan", "shapes:40"), ("music_vae", "tunes:40")):
        run = tmp_path / method
        reverie.train(f"{method}:smoke", data=data, out=run, batch_size=1, steps=10, threads=1, log_every=5)
        logged = [line["metrics"] for line in lines_of(run) if "metrics" in line]
        assert not {"active_units", "nn_distance_ratio"} & set(logged[-1])


# -- a loss that diverges ----------------------------------------------------------------------------------------------


def falling(lines: int, noise: float, first: float = 10.0, last: float = 1.0) -> np.ndarray:
    """A loss as it is when all is well: fast at first, then slowly down, with the noise of batches."""
    t = np.arange(lines)
    draws = np.random.default_rng(0).standard_normal(lines)
    return last + (first - last) * np.exp(-t / 8) - 0.1 * (first - last) * t / lines + noise * draws


HEALTHY = {
    "quiet": falling(400, 0.0),
    "noisy": falling(400, 1.0),
    "noise as large as all progress": 5 + np.random.default_rng(1).standard_normal(4000),
    "noise about nought": np.random.default_rng(2).standard_normal(4000),
    "below nought": falling(400, 20.0, -1000, -3000),
    "through nought": falling(400, 0.1, 2, -2),
    "good from the start": 1 + 0.001 * np.random.default_rng(3).standard_normal(400),
    "spikes": np.where(np.arange(400) % 20 == 7, 1e3, falling(400, 0.1)),
    "one lucky line": np.where(np.arange(400) == 100, -50.0, falling(400, 0.1)),
    "a KL that is warmed up": falling(400, 0.1) + np.minimum(np.arange(400) / 100, 1) * 3,
    "constant": np.zeros(100),
}


@pytest.mark.parametrize("kind", HEALTHY)
@pytest.mark.parametrize("every", [1, 50, 1000])
def test_a_healthy_loss_raises_no_alert(kind: str, every: int) -> None:
    assert not feed(Monitor({"loss": "loss"}), "loss", list(HEALTHY[kind]), every)


DIVERGING = {
    "above where it began": [*falling(100, 0.1), *np.linspace(1, 40, 60)],
    "halfway back": [*falling(100, 0.1), *np.full(60, 7.0)],
    "below nought": [*falling(100, 20.0, -1000, -3000), *np.full(60, -1200.0)],
    "through nought": [*falling(100, 0.1, 2, -2), *np.full(60, 1.5)],
    "from the start": [2.0, *np.full(60, 50.0)],
    "with a dip": [*falling(100, 0.1), *[8.0, 8.0, 8.0, 8.0, 1.0, 8.0] * 10],
}


@pytest.mark.parametrize("kind", DIVERGING)
def test_a_loss_that_rises_for_long_raises_an_alert(kind: str) -> None:
    values = [float(v) for v in DIVERGING[kind]]
    watch = Monitor({"loss": "loss"})
    (alert,) = feed(watch, "loss", values, every=50)
    assert alert.name == "diverging"
    assert not watch.healthy
    began = 0 if kind == "from the start" else 100
    assert 50 * began <= alert.since <= 50 * (began + 25)
    assert "--lr" in alert.advice
    again = Monitor({"loss": "loss"})  # for less than the window it is no failure
    assert not feed(again, "loss", values[: len(values) - 60 + BY_NAME["diverging"].window // 50 - 2], every=50)


def test_the_loss_of_another_stage_is_another_loss() -> None:
    watch, alerts = Monitor({"loss": "loss"}), []
    for step in range(50, 10_000, 50):
        first = step < 5000
        alerts += watch.check_metrics(step, {"loss": 0.1 if first else 90.0}, "first" if first else "second")
    assert not alerts


# -- a method without a discriminator ----------------------------------------------------------------------------------


class Flow(Method):
    """A toy of the kind of flow matching: a network regresses on noise, samples are made by a function of its weights.

    Nobody 2026, arXiv:0000.00000
    """

    @dataclass(frozen=True)
    class Config:
        size: int = 8
        channels: int | None = None
        steps: int = 60
        fails: str = ""
        """what goes wrong after step 20: nan, loss, samples"""

    presets: ClassVar = {"laptop": {}}
    data_type = Images
    monitored: ClassVar = {"loss": "loss"}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.mean = nn.Parameter(torch.zeros(config.channels, config.size, config.size))
        self.register_buffer("spread", torch.ones(()))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"flow": torch.optim.SGD([self.mean], 0.1)}

    def stages(self) -> list[Stage]:
        return [Stage("train", self.config.steps, self.step)]

    def step(self, batch: Batch, update: Update) -> Metrics:
        fails = self.config.fails if update.step >= 20 else ""
        self.spread.fill_(0.01 if fails == "samples" else 1.0)
        loss = (batch["image"] - self.mean + 0.1 * torch.randn_like(batch["image"])).square().mean()
        loss = loss * {"nan": math.nan, "loss": 100.0 + update.step}.get(fails, 1.0)
        return {"loss": update("flow", loss, clip=0.1), "d_auc": torch.ones(())}

    @verb
    def generate(self, n: int = 64, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images.

        n: how many
        seed: image i depends on (seed, i) alone
        """

        def latents(items: Any) -> Tensor:
            return noise(seed, items, *self.mean.shape)

        yield from generate_images(lambda z: self.mean + self.spread * z, latents, select_items(items, n))


FLOW: dict[str, Any] = dict(data="letters:96", log_every=2, sample_every=5, checkpoint_every=10, threads=1)


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the toy a method, and windows as short as its runs."""
    for module in (api, prepare):
        monkeypatch.setattr(module, "method_class", lambda name: Flow)
    monkeypatch.setattr(monitor, "RULES", tuple(dataclasses.replace(rule, window=10) for rule in RULES))


@pytest.mark.parametrize(
    ("fails", "name"), [("", None), ("loss", "diverging"), ("samples", "lost diversity"), ("nan", monitor.NOT_A_NUMBER)]
)
def test_a_method_without_a_discriminator_is_watched(fails: str, name: str | None, flow: None, tmp_path: Path) -> None:
    def train() -> None:
        reverie.train("flow", out=tmp_path / "run", fails=fails, **FLOW)

    if fails == "nan":
        with pytest.raises(TrainingFailed, match="not a number at step 2"):
            train()
    else:
        train()
    assert alerts_of(tmp_path / "run") == ([name] if name else [])  # nor is d_auc taken for a discriminator's
    samples = [line for line in lines_of(tmp_path / "run") if "samples" in line]
    assert [line["step"] for line in samples] == list(range(5, 21 if fails == "nan" else 61, 5))
    assert set(samples[0]) == {"step", "stage", "samples", "seconds"}
    assert (samples[-1]["samples"]["nn_distance_ratio"] < 0.1) is (fails == "samples")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["monitored"] == {"loss": "loss"}


def test_measuring_samples_changes_no_weights(flow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reverie.train("flow", out=tmp_path / "often", **{**FLOW, "sample_every": 1})
    reverie.train("flow", out=tmp_path / "seldom", **{**FLOW, "sample_every": 60})
    monkeypatch.setattr(loop, "needs_sample_diversity", lambda method, batch: False)
    reverie.train("flow", out=tmp_path / "never", **FLOW)
    one, two, three = (results(tmp_path / run) for run in ("often", "seldom", "never"))
    assert torch.equal(one[1]["mean"], two[1]["mean"])
    assert torch.equal(one[1]["mean"], three[1]["mean"])
    metrics = [[line["metrics"] for line in log if "metrics" in line] for log, _ in (one, two, three)]
    assert metrics[0] == metrics[1] == metrics[2]


def test_samples_count_after_resuming_too(flow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reverie.train("flow", out=tmp_path / "whole", fails="samples", **FLOW)
    real = loop.stage_at

    def stage_at(stages: list[Stage], step: int) -> tuple[Stage, float]:
        if step == 32:  # two lines of collapsed samples are in the log by then, of steps 25 and 30
            raise KeyboardInterrupt
        return real(stages, step)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "stage_at", stage_at)
        with pytest.raises(KeyboardInterrupt):
            reverie.train("flow", out=tmp_path / "cut", fails="samples", **FLOW)
    reverie.resume(tmp_path / "cut")
    assert results(tmp_path / "cut")[0] == results(tmp_path / "whole")[0]
    assert alerts_of(tmp_path / "cut") == ["lost diversity"]


# -- what follows ------------------------------------------------------------------------------------------------------


def test_posterior_collapse_raises_an_alert_in_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["vae:smoke", "--data", "letters:96", "--out", str(tmp_path / "run")]
    assert cli.main(["train", *words, "--beta", "300", "--steps", "900", "--log-every", "50"]) == 0
    out, err = capsys.readouterr()
    assert "posterior collapse: " in err
    assert "--free-nats" in err
    assert "posterior collapse" in out
    alerts = [line["alert"] for line in lines_of(tmp_path / "run") if "alert" in line]
    assert {alert["name"] for alert in alerts} <= {"posterior collapse", "lost diversity"}
    (collapse,) = [alert for alert in alerts if alert["name"] == "posterior collapse"]
    assert collapse["value"] < BY_NAME["posterior collapse"].threshold
    assert "Posterior collapse" in (tmp_path / "run" / "report.html").read_text()


def test_what_is_not_a_number_is_never_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["train", "vae:smoke", "--data", "letters:96", "--out", str(out), "--lr", "1e30", "--steps", "60"]
    assert cli.main([*words, "--checkpoint-every", "1", "--log-every", "30"]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("reverie: not a number at step")
    assert "--on-failure rollback" in line
    for folder in (out, out / "previous"):
        if (folder / "weights.safetensors").exists():
            weights = read_weights(folder / "weights.safetensors")[1]
            assert all(w.isfinite().all() for w in weights.values() if w.is_floating_point())


@pytest.mark.parametrize("where", ["parameters", "buffers"])
@pytest.mark.parametrize("bad_luck", [True, False])
def test_weights_are_checked_whatever_the_log_shows(
    where: str, bad_luck: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alert that a run goes on from, at the very step of a checkpoint, hides none that it cannot go on from."""
    methods: list[torch.nn.Module] = []
    begin = loop.EMA.__init__

    def caught(self: loop.EMA, method: torch.nn.Module, decays: dict[str, float]) -> None:
        methods.append(method)
        begin(self, method, decays)

    def check(self: Monitor, step: int, metrics: dict[str, float], stage: str = "") -> list[Alert]:
        if step != 10:
            return []
        next(t for t in getattr(methods[0], where)() if t.is_floating_point()).data.fill_(math.nan)
        return [Alert("bad luck", "it is so", "Try again.", 1.0, 0.5, 0)] if bad_luck else []

    monkeypatch.setattr(loop.EMA, "__init__", caught)
    monkeypatch.setattr(Monitor, "check_metrics", check)
    with pytest.raises(TrainingFailed, match="not a number at step 10"):
        reverie.train("dcgan:smoke", data="letters:96", out=tmp_path / "run", checkpoint_every=5, log_every=5)
    assert json.loads((tmp_path / "run" / "save.json").read_text())["step"] == 5


def test_weights_that_overflow_are_never_saved(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="a weight is not finite"):  # losses stay finite, running variances do not
        reverie.train("dcgan:smoke", data="letters:96", out=tmp_path / "run", lr=1e9)


def unlucky(monkeypatch: pytest.MonkeyPatch, times: int, lasted: int = 6) -> None:
    """The monitor raises an alert at step 12, `times` times, whatever the run is like; it has lasted so many steps."""

    def check(self: Monitor, step: int, metrics: dict[str, float], stage: str = "") -> list[Alert]:
        self.lines.append((step, metrics))
        return [Alert("bad luck", "it is so", "Try again.", 1.0, 0.5, step - lasted)] if step == 12 else []

    def replay(run: Any, method: Any, settings: Any) -> Any:
        watch, seed, lr_factor = real(run, method, settings)
        if sum("rollback" in line for line in run.lines()) >= times:
            watch.check_metrics = lambda step, metrics, stage="": []  # from now on all is well
        return watch, seed, lr_factor

    real = loop._replay_log
    monkeypatch.setattr(Monitor, "check_metrics", check)
    monkeypatch.setattr(loop, "_replay_log", replay)


OPTIONS: dict[str, Any] = dict(data="letters:96", checkpoint_every=5, log_every=2, sample_every=10)


def test_a_rollback_goes_on_otherwise_from_a_good_save(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unlucky(monkeypatch, times=1)
    reverie.train("dcgan:smoke", out=tmp_path / "run", on_failure="rollback", **OPTIONS)
    lines = lines_of(tmp_path / "run")
    (line,) = [line for line in lines if "rollback" in line]
    # the failure began after step 6: of the checkpoints of steps 5 and 10 the first is good
    assert line["rollback"] == {"from": 12, "to": 5, "why": "bad luck", "what": "it is so", "attempt": 1}
    assert [line["step"] for line in lines] == [2, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20]
    reverie.train("dcgan:smoke", out=tmp_path / "lucky", **OPTIONS)
    same = [line["metrics"] for line in lines_of(tmp_path / "lucky") if "metrics" in line]
    mine = [line["metrics"] for line in lines if "metrics" in line]
    assert mine[:2] == same[:2]
    assert mine[3:] != same[3:]


def test_a_run_that_was_rolled_back_is_resumed_bit_for_bit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unlucky(monkeypatch, times=1)
    reverie.train("dcgan:smoke", out=tmp_path / "whole", on_failure="rollback", **OPTIONS)
    ticks = 0
    ask = GracefulStop.__enter__

    def stopped(at: int) -> Any:
        def enter(self: GracefulStop) -> GracefulStop:
            nonlocal ticks
            ticks = at
            return ask(self)

        return enter

    real = loop.stage_at

    def counted(stages: Any, step: int) -> Any:
        nonlocal ticks
        ticks -= 1
        if ticks == 0:
            raise KeyboardInterrupt  # no save: as if killed
        return real(stages, step)

    monkeypatch.setattr(loop, "stage_at", counted)
    for first in (3, 9, 12, 13, 16, 20):  # step 12 is where it goes back; after that come other steps
        out = tmp_path / str(first)
        monkeypatch.setattr(GracefulStop, "__enter__", stopped(first))
        with pytest.raises((KeyboardInterrupt, Interrupted)):
            reverie.train("dcgan:smoke", out=out, on_failure="rollback", **OPTIONS)
        monkeypatch.setattr(GracefulStop, "__enter__", stopped(-1))
        reverie.resume(out)
        whole, cut = results(tmp_path / "whole"), results(out)
        assert cut[0] == whole[0]
        assert all(torch.equal(cut[1][name], whole[1][name]) for name in whole[1])


def test_after_three_rollbacks_it_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unlucky(monkeypatch, times=9)
    with pytest.raises(
        TrainingFailed, match=r"bad luck at step 12, after 3 rollbacks: it is so; the last checkpoint of .* is kept"
    ):
        reverie.train("dcgan:smoke", out=tmp_path / "run", on_failure="rollback", **OPTIONS)
    assert [line["rollback"]["attempt"] for line in lines_of(tmp_path / "run") if "rollback" in line] == [1, 2, 3]
    assert "bad luck" in (tmp_path / "run" / "report.html").read_text()


def test_trouble_before_the_first_save_goes_back_to_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unlucky(monkeypatch, times=1)
    options = {**OPTIONS, "checkpoint_every": 50}
    reverie.train("dcgan:smoke", out=tmp_path / "run", on_failure="rollback", **options)
    rollbacks = [line["rollback"] for line in lines_of(tmp_path / "run") if "rollback" in line]
    assert [(line["from"], line["to"]) for line in rollbacks] == [(12, 0)]


def test_trouble_that_began_before_both_saves_goes_back_to_when_all_was_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A window is longer than two saves are apart: neither of them is from before it."""
    unlucky(monkeypatch, times=1, lasted=9)
    monkeypatch.setattr(Monitor, "healthy", property(lambda self: len(self.lines) < 2))
    reverie.train("dcgan:smoke", out=tmp_path / "run", on_failure="rollback", **OPTIONS, base_channels=4)
    rollbacks = [line["rollback"] for line in lines_of(tmp_path / "run") if "rollback" in line]
    assert [(line["from"], line["to"]) for line in rollbacks] == [(12, 0)]


def test_healthy_until_a_metric_is_beyond_its_threshold() -> None:
    watch = Monitor({"d_auc": "discriminator_auc", "nn_distance_ratio": "diversity"})
    assert watch.healthy
    for values, well in (({"d_auc": 0.9}, True), ({"d_auc": 0.9999}, False), ({"nn_distance_ratio": 0.9}, False),
                         ({"d_auc": 0.8}, True), ({"nn_distance_ratio": 0.1}, False)):  # fmt: skip
        watch.check_metrics(len(watch.lines) + 1, values)
        assert watch.healthy is well


def test_rates_are_halved_at_each_rollback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unlucky(monkeypatch, times=2)
    factors: list[float] = []
    real = loop.Update.set_lr_factor
    monkeypatch.setattr(loop.Update, "set_lr_factor", lambda self, factor: [factors.append(factor), real(self, factor)])
    reverie.train("dcgan:smoke", out=tmp_path / "run", on_failure="rollback", **OPTIONS)
    assert sorted(set(factors), reverse=True) == [1.0, 0.5, 0.25]


def test_stop_stops_and_resume_may_roll_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unlucky(monkeypatch, times=1)
    out = tmp_path / "run"
    with pytest.raises(TrainingFailed, match="bad luck at step 12"):
        reverie.train("dcgan:smoke", out=out, on_failure="stop", **OPTIONS)
    with pytest.raises(UserError, match="on_failure"):
        reverie.resume(out, on_failure="rolback")
    reverie.resume(out, on_failure="rollback")
    assert json.loads((out / "run.json").read_text())["train"]["on_failure"] == "rollback"
    assert lines_of(out)[-1]["step"] == 20


def test_good_smoke_runs_are_silent(tmp_path: Path) -> None:
    for name in ("dcgan:smoke", "vae:smoke"):
        reverie.train(name, out=tmp_path / name.partition(":")[0], **OPTIONS)
        assert not alerts_of(tmp_path / name.partition(":")[0])
