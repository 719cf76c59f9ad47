"""The monitor: what it finds, when, and what follows from it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import reverie
from reverie.cli import main as cli
from reverie.core.diagnostics import active_units, diagnostics, mean_nn_distance
from reverie.runs.weights_file import read_weights
from reverie.training import monitor
from reverie.training import trainer as loop
from reverie.training.monitor import LINES, RULES, Alert, Monitor, Rule
from reverie.training.signals import GracefulStop, Interrupted
from reverie.utils.errors import TrainingFailed, UserError

BY_NAME = {fault.name: fault for fault in RULES}
ALWAYS = Rule("always so", "loss", -math.inf, True, "the loss is {value:.3g}", "Nothing helps.")


def tell(watching: Monitor, sign: str, values: list[float], every: int = 100, start: int = 0) -> list[Alert]:
    """What is found in a log with these values."""
    found = [watching.check_metrics(start + every * (i + 1), {sign: value}) for i, value in enumerate(values)]
    return [finding for finding in found if finding]


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def ends(folder: Path) -> tuple[list[Any], dict[str, torch.Tensor]]:
    """All that a run came to, but for times."""
    kept = [{k: v for k, v in line.items() if k not in ("seconds", "steps_per_s")} for line in lines_of(folder)]
    return kept, read_weights(folder / "weights.safetensors")[1]


# -- what it finds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", RULES, ids=lambda fault: fault.role)
def test_a_fault_is_found_when_it_has_lasted(fault: Rule) -> None:
    bad, good = (fault.threshold + s * (1 if fault.above else -1) * 1e-3 for s in (1, -1))
    watching, lasting = Monitor(), fault.window // 100
    assert not tell(watching, fault.role, [good] * 3)
    assert not tell(watching, fault.role, [bad] * (lasting - 1), start=300)
    (finding,) = tell(watching, fault.role, [bad] * 20, start=300 + 100 * (lasting - 1))
    assert finding.name == fault.name
    assert finding.value == pytest.approx(bad)
    assert finding.since == 300
    assert not finding.fatal
    # it is told again only after it had gone
    assert not tell(watching, fault.role, [good], start=9_000)
    assert len(tell(watching, fault.role, [bad] * 20, start=9_100)) == 1


def test_a_bad_moment_is_no_fault() -> None:
    values = [0.1] * 4 + [0.9] + [0.1] * 4 + [0.9]
    assert not tell(Monitor(), "nn_distance_ratio", values)
    assert len(tell(Monitor(), "nn_distance_ratio", [0.1] * LINES, every=1000)) == 1
    assert not tell(Monitor(), "nn_distance_ratio", [0.1] * (LINES - 1), every=1000)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_found_at_once(value: float) -> None:
    watching = Monitor()
    watching.check_metrics(10, {"d": 1.0})
    finding = watching.check_metrics(20, {"d": 1.0, "g": value})
    assert finding is not None
    assert finding.fatal
    assert (finding.name, finding.since) == (monitor.NOT_A_NUMBER, 10)
    assert "g is no finite number any more at step 20" in finding.what


def test_two_faults_at_once_are_both_told() -> None:
    watching, names = Monitor(), []
    for step in range(100, 1500, 100):
        finding = watching.check_metrics(step, {"d_auc": 1.0, "nn_distance_ratio": 0.0})
        names += [finding.name] if finding else []
    assert sorted(names) == ["discriminator has won", "lost diversity"]


def test_signs_are_what_they_say() -> None:
    real, one = torch.randn(32, 3, 8, 8), torch.randn(1, 3, 8, 8).expand(32, 3, 8, 8)
    told = diagnostics(torch.full((32,), 2.0), torch.full((32,), 1.0), real, one)
    assert told["d_auc"] == 1
    assert told["nn_distance_ratio"] < 1e-3
    told = diagnostics(torch.randn(500), torch.randn(500), real, torch.randn(32, 3, 8, 8))
    assert told["d_auc"] == pytest.approx(0.5, abs=0.08)
    assert told["nn_distance_ratio"] == pytest.approx(1, abs=0.1)
    # five pictures over and over are as far apart on average as many, but each has its like beside it
    assert mean_nn_distance(torch.randn(5, 3, 8, 8).repeat(7, 1, 1, 1)) < 0.01
    assert active_units(torch.cat([torch.zeros(64, 3), torch.randn(64, 2)], 1)) == {"active_units": 2}


def test_of_one_item_nothing_is_told_that_takes_others(tmp_path: Path) -> None:
    """Else every run with a batch of 1, or with one item for each process, would be said to have collapsed."""
    assert active_units(torch.randn(1, 5)) == {}
    assert set(diagnostics(torch.randn(1), torch.randn(1), torch.randn(1, 3, 8, 8), torch.randn(1, 3, 8, 8))) == {
        "d_auc"
    }
    for method, data in (("vae", "shapes:40"), ("dcgan", "shapes:40"), ("music_vae", "tunes:40")):
        run = tmp_path / method
        reverie.train(f"{method}:smoke", data=data, out=run, batch_size=1, steps=10, threads=1, log_every=5)
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        assert not {"active_units", "nn_distance_ratio"} & set(lines[-1]["metrics"])


# -- what follows ------------------------------------------------------------------------------------------------------


def test_posterior_collapse_is_found_in_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["vae:smoke", "--data", "letters:96", "--out", str(tmp_path / "run")]
    assert cli.main(["train", *words, "--beta", "300", "--steps", "900", "--log-every", "50"]) == 0
    out, err = capsys.readouterr()
    assert "posterior collapse: " in err
    assert "--free-bits" in err
    assert "the monitor found: posterior collapse" in out
    findings = [line for line in lines_of(tmp_path / "run") if "alert" in line]
    assert [line["alert"]["name"] for line in findings] == ["posterior collapse"]
    assert findings[0]["alert"]["value"] < BY_NAME["posterior collapse"].threshold
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
def test_weights_are_weighed_whatever_the_log_shows(
    where: str, bad_luck: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finding that a run goes on from, at the very step of a save, hides none that it cannot go on from."""
    methods: list[torch.nn.Module] = []
    begin = loop.EMA.__init__

    def caught(self: loop.EMA, method: torch.nn.Module, decays: dict[str, float]) -> None:
        methods.append(method)
        begin(self, method, decays)

    def look(self: Monitor, step: int, values: dict[str, float]) -> Alert | None:
        if step != 10:
            return None
        next(t for t in getattr(methods[0], where)() if t.is_floating_point()).data.fill_(math.nan)
        return Alert("bad luck", "it is so", "Try again.", 1.0, 0.5, 0) if bad_luck else None

    monkeypatch.setattr(loop.EMA, "__init__", caught)
    monkeypatch.setattr(Monitor, "look", look)
    with pytest.raises(TrainingFailed, match="not a number at step 10"):
        reverie.train("dcgan:smoke", data="letters:96", out=tmp_path / "run", checkpoint_every=5, log_every=5)
    assert json.loads((tmp_path / "run" / "save.json").read_text())["step"] == 5


def unlucky(monkeypatch: pytest.MonkeyPatch, times: int, lasted: int = 6) -> None:
    """The monitor finds a fault at step 12, `times` times, whatever the run is like; it has lasted so many steps."""

    def look(self: Monitor, step: int, values: dict[str, float]) -> Alert | None:
        self.lines.append((step, values))
        return Alert("bad luck", "it is so", "Try again.", 1.0, 0.5, step - lasted) if step == 12 else None

    def outlook(run: Any, settings: Any) -> Any:
        watching, seed, ease = real(run, settings)
        if sum("rollback" in line for line in run.lines()) >= times:
            watching.look = lambda step, values: None  # from now on all is well
        return watching, seed, ease

    real = loop._outlook
    monkeypatch.setattr(Monitor, "look", look)
    monkeypatch.setattr(loop, "_outlook", outlook)


OPTIONS: dict[str, Any] = dict(data="letters:96", checkpoint_every=5, log_every=2, sample_every=10)


def test_a_rollback_goes_on_otherwise_from_a_good_save(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unlucky(monkeypatch, times=1)
    reverie.train("dcgan:smoke", out=tmp_path / "run", on_failure="rollback", **OPTIONS)
    lines = lines_of(tmp_path / "run")
    (told,) = [line for line in lines if "rollback" in line]
    # the trouble began after step 6: of the saves of steps 5 and 10 the first is good
    assert told["rollback"] == {"from": 12, "to": 5, "why": "bad luck", "what": "it is so", "attempt": 1}
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
        whole, cut = ends(tmp_path / "whole"), ends(out)
        assert cut[0] == whole[0]
        assert all(torch.equal(cut[1][name], whole[1][name]) for name in whole[1])


def test_after_three_rollbacks_it_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unlucky(monkeypatch, times=9)
    with pytest.raises(
        TrainingFailed, match=r"bad luck at step 12, after 3 rollbacks: it is so; the last save of .* is kept"
    ):
        reverie.train("dcgan:smoke", out=tmp_path / "run", on_failure="rollback", **OPTIONS)
    assert [line["rollback"]["attempt"] for line in lines_of(tmp_path / "run") if "rollback" in line] == [1, 2, 3]
    assert "bad luck" in (tmp_path / "run" / "report.html").read_text()


def test_trouble_before_the_first_save_goes_back_to_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unlucky(monkeypatch, times=1)
    options = {**OPTIONS, "checkpoint_every": 50}
    reverie.train("dcgan:smoke", out=tmp_path / "run", on_failure="rollback", **options)
    told = [line["rollback"] for line in lines_of(tmp_path / "run") if "rollback" in line]
    assert [(line["from"], line["to"]) for line in told] == [(12, 0)]


def test_trouble_that_began_before_both_saves_goes_back_to_when_all_was_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A window is longer than two saves are apart: neither of them is from before it."""
    unlucky(monkeypatch, times=1, lasted=9)
    monkeypatch.setattr(Monitor, "well", property(lambda self: len(self.lines) < 2))
    reverie.train("dcgan:smoke", out=tmp_path / "run", on_failure="rollback", **OPTIONS, base_channels=4)
    told = [line["rollback"] for line in lines_of(tmp_path / "run") if "rollback" in line]
    assert [(line["from"], line["to"]) for line in told] == [(12, 0)]


def test_all_is_well_until_a_sign_is_beyond_its_threshold() -> None:
    monitor = Monitor()
    assert monitor.healthy
    for values, well in (({"d_auc": 0.9}, True), ({"d_auc": 0.9999}, False), ({"nn_distance_ratio": 0.9}, False),
                         ({"d_auc": 0.8}, True), ({"nn_distance_ratio": 0.1}, False)):  # fmt: skip
        monitor.check_metrics(len(monitor.lines) + 1, values)
        assert monitor.healthy is well


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
        assert not [line for line in lines_of(tmp_path / name.partition(":")[0]) if "alert" in line]
