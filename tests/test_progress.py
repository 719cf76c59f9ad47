"""What is shown and recorded while a method trains."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import reverie
from reverie.training.meter import MetricAverager
from reverie.utils.distributed import Ranks
from reverie.utils.formatting import clock


def metrics_of(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["metrics"] for line in lines if "metrics" in line]


SMOKE = dict(data="letters:64", checkpoint_every=10, sample_every=8, log_every=4)


def test_plain_lines_when_it_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reverie.train("vae:smoke", out=tmp_path / "run", **SMOKE)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert re.fullmatch(
        r"step 4/20  train  loss \S+  distortion \S+  kl \S+  active_units \S+  \S+ steps/s  \d+ s left", lines[0]
    )
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "metrics" in line] == [4, 8, 12, 16, 20]
    assert [line["step"] for line in log if "samples" in line] == [8, 16, 20]
    assert set(log[0]) == {"step", "stage", "metrics", "steps_per_s", "seconds"}
    names = sorted(p.name for p in (tmp_path / "run" / "samples").iterdir())
    assert names == [f"step-{s:06d}{kind}.png" for s in (8, 16, 20) for kind in ("-reconstruction", "")]


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
