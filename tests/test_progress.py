"""What is shown and recorded while a method trains."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import reverie
from reverie.core.stage import Stage
from reverie.core.train_config import TrainConfig
from reverie.training import cadence
from reverie.training.cadence import Cadence
from reverie.training.meter import MetricAverager
from reverie.training.time_left import Estimate, TimeLeft
from reverie.utils.distributed import Ranks
from reverie.utils.formatting import clock


def metrics_of(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["metrics"] for line in lines if "metrics" in line]


SMOKE = dict(data="letters:64", checkpoint_every=10, sample_every=8, log_every=4)


def test_plain_lines_when_it_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reverie.train("vae:smoke", out=tmp_path / "run", **SMOKE)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    assert len(lines) == 5
    assert re.fullmatch(
        r"step 4/20  train  loss \S+  distortion \S+  kl \S+  active_units \S+  \S+ steps/s  \d+ s left", lines[0]
    )
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "metrics" in line] == [4, 8, 12, 16, 20]
    assert [line["step"] for line in log if "samples" in line] == [8, 16, 20]
    assert set(log[0]) == {"step", "stage", "metrics", "steps_per_s", "seconds"}
    names = sorted(p.name for p in (tmp_path / "run" / "samples").iterdir())
    assert names == [f"step-{s:06d}{kind}.png" for s in (8, 10, 16, 20) for kind in ("-reconstruction", "")]


def test_the_first_samples_come_early_and_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**SMOKE, "steps": 40, "sample_every": 1000, "checkpoint_every": 15}
    early = reverie.train("vae:smoke", out=tmp_path / "early", **options)
    reverie.train("vae:smoke", out=tmp_path / "cut", **{**options, "steps": 15})
    resumed = reverie.resume(tmp_path / "cut", steps=40)
    monkeypatch.setattr(cadence, "FIRST_SAMPLES", ())
    late = reverie.train("vae:smoke", out=tmp_path / "late", **options)
    for other in (late, resumed):
        for name, value in early.state_dict().items():
            assert torch.equal(value, other.state_dict()[name])
    shown = [[int(p.stem[5:]) for p in sorted((tmp_path / run / "samples").glob("step-??????.png"))]
             for run in ("early", "cut", "late")]  # fmt: skip
    assert shown == [[10, 30, 40], [10, 15, 30, 40], [40]]


def test_cadence_is_a_function_of_the_step() -> None:
    stages = [Stage("a", 40, lambda batch, update: {}), Stage("b", 0, lambda batch, update: {}),
              Stage("c", 7, lambda batch, update: {})]  # fmt: skip
    due = Cadence(stages, TrainConfig(log_every=25, sample_every=20, checkpoint_every=30))
    steps = range(1, 48)
    assert [s for s in steps if due.logs(s)] == [25, 40, 47]  # at the end of each stage, however short
    assert [s for s in steps if due.is_remainder(s)] == [47]
    assert [s for s in steps if due.samples(s)] == [10, 20, 30, 40, 47]
    assert [s for s in steps if due.measures(s)] == [20, 40, 47]
    assert [s for s in steps if due.saves(s)] == [30, 47]
    wide = Cadence([Stage("a", 10_000, lambda batch, update: {})], TrainConfig())
    assert [s for s in range(1, 1001) if wide.samples(s)] == [10, 30, 100, 300, 500, 1000]


def test_a_stage_shorter_than_the_cadence_is_logged_and_a_longer_run_goes_on_as_if_it_had_not_ended(
    tmp_path: Path,
) -> None:
    options = dict(data="verses:64", log_every=50, checkpoint_every=10, sample_every=50)
    reverie.train("seqgan:smoke", out=tmp_path / "short", **options)  # 8, 4 and 8 steps
    log = read_log(tmp_path / "short")
    assert [(line["step"], line["stage"]) for line in log if "metrics" in line] == [
        (8, "pretrain"), (12, "d_pretrain"), (20, "adversarial"),
    ]  # fmt: skip
    assert set(log[0]["metrics"]) == {"nll"}
    assert "reward" in log[2]["metrics"]
    options = {**SMOKE, "log_every": 8}
    reverie.train("vae:smoke", out=tmp_path / "run", **{**options, "steps": 12})
    assert [line.get("remainder") for line in read_log(tmp_path / "run") if "metrics" in line] == [None, True]
    reverie.resume(tmp_path / "run", steps=16)
    reverie.train("vae:smoke", out=tmp_path / "whole", **{**options, "steps": 16})
    assert metrics_of(tmp_path / "run") == metrics_of(tmp_path / "whole")


def test_time_left_counts_the_costlier_stage() -> None:
    def stages(*costs: float | None) -> list[Stage]:
        steps = (1000, 200, 100)
        return [
            Stage(str(i), n, lambda batch, update: {}, relative_cost=cost)
            for i, (n, cost) in enumerate(zip(steps, costs, strict=True))
        ]

    left = TimeLeft(stages(1, 2, 40))
    assert left.estimate(0, 0.0) is None
    left.add("0", 500, 50.0)  # 0.1 s a step
    assert left.estimate(500, 50.0) == Estimate(50 + 200 * 0.2 + 100 * 4.0)
    left.add("0", 1000, 100.0)
    left.add("1", 1200, 160.0)  # 0.3 s a step, not 0.2: the last stage is reckoned by it
    assert left.estimate(1200, 160.0) == Estimate(100 * 0.3 * 20)
    assert left.estimate(1210, 260.0) == Estimate(90 * 10.0)  # before the first line of a stage: by the steps so far
    left.add("2", 1250, 660.0)
    assert left.estimate(1250, 660.0) == Estimate(50 * 10.0)
    assert left.estimate(1300, 1160.0) == Estimate(0.0)

    unknown = TimeLeft(stages(None, None, None))
    unknown.add("0", 500, 50.0)
    found = unknown.estimate(500, 50.0)
    assert found == Estimate(50 + 20 + 10, at_least=True)
    assert str(found) == "at least 80 s left"
    unknown.add("0", 1000, 100.0)
    unknown.add("1", 1200, 120.0)
    unknown.add("2", 1250, 150.0)
    assert unknown.estimate(1250, 150.0) == Estimate(30.0)  # all are known now


def test_time_left_follows_the_present_speed_and_a_resumed_run_remembers() -> None:
    stages = [Stage("a", 10_000, lambda batch, update: {}), Stage("b", 100, lambda batch, update: {})]
    lines: list[dict[str, Any]] = []
    for k in range(1, 61):  # the first 40 intervals of 10 steps took 100 s each, the latest 20 took 1 s
        seconds = 100.0 * min(k, 40) + max(0, k - 40)
        lines.append({"step": 10 * k, "stage": "a", "metrics": {}, "seconds": seconds})
    lines.insert(30, {"step": 300, "stage": "a", "samples": {}, "seconds": 3000.0})
    resumed = TimeLeft(stages, lines)
    assert (resumed.step, resumed.seconds) == (600, 4020.0)
    assert resumed.estimate(600, 4020.0) == Estimate(pytest.approx(950.0), at_least=True)
    resumed.go_on_at(590, 4020.0)  # the checkpoint was of an earlier step
    assert resumed.add("a", 600, 4021.0) == 10.0


def read_log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_log_line_is_the_mean_since_the_last(tmp_path: Path) -> None:
    for every in (1, 5):
        reverie.train("dcgan:smoke", out=tmp_path / str(every), **{**SMOKE, "log_every": every})
    single, grouped = (metrics_of(tmp_path / every) for every in ("1", "5"))
    for group, metrics in enumerate(grouped):
        for name, value in metrics.items():
            mean = sum(line[name] for line in single[5 * group : 5 * group + 5]) / 5
            assert value == pytest.approx(mean, rel=1e-12)


@pytest.mark.skipif(sys.platform == "win32" or sys.version_info < (3, 11), reason="needs termios.tcsetwinsize")
def test_a_bar_in_a_terminal(tmp_path: Path) -> None:
    import pty
    import termios

    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 120))
    words = ["train", "vae:smoke", "--data", "letters:64", "--out", "run", "--steps", "60"]
    process = subprocess.Popen(
        [sys.executable, "-m", "reverie", *words], cwd=tmp_path, stderr=slave, stdout=subprocess.DEVNULL
    )
    os.close(slave)
    seen = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            part = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    assert process.wait(30) == 0
    text = seen.decode(errors="replace")
    assert "60/60" in text
    assert re.search(r"step/s|s/step", text)
    assert "kl" in text


def test_tensorboard_files_behind_a_flag(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reverie.train("dcgan:smoke", out=tmp_path / "plain", **SMOKE)
    assert not (tmp_path / "plain" / "tensorboard").exists()
    reverie.train("dcgan:smoke", out=tmp_path / "run", tensorboard=True, **SMOKE)
    reverie.resume(tmp_path / "run", steps=28)
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("train/loss_d")] == [4, 8, 12, 16, 20, 24, 28]
    logged = [metrics["loss_d"] for metrics in metrics_of(tmp_path / "run")]
    assert [e.value for e in events.Scalars("train/loss_d")] == pytest.approx(logged, rel=1e-6)
    assert events.Images("samples")


@pytest.mark.parametrize("saved", [torch.tensor([1.0, 3.0]), torch.tensor(2.0), torch.tensor([2.0])])
def test_sums_of_other_ranks_are_gone_on_with(saved: torch.Tensor) -> None:
    """By one process: of two ranks, of the first alone as it was saved once, and its own."""
    meter, ranks = MetricAverager(), Ranks("cpu")
    meter.load({"sums": {"d": saved.double()}, "steps": {"d": 2}}, ranks)
    meter.add({"d": torch.tensor(4.0)})
    assert meter.state(ranks) == {"sums": {"d": torch.tensor([6.0])}, "steps": {"d": 3}}
    assert meter.read(ranks) == {"d": 2.0}


def test_durations_as_people_say_them() -> None:
    assert [clock(s) for s in (5, 300, 4 * 3600)] == ["5 s", "5 min", "4 h 0 min"]
