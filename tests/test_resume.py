"""A run that was cut off, anywhere and any number of times, ends like one that never was: bit for bit."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie import UserError, load, open_data, resume, train
from reverie.cli import main as cli
from reverie.core.stage import Stage
from reverie.media import Image
from reverie.runs.run_folder import RESUME, WEIGHTS, Run
from reverie.runs.weights_file import read_weights
from reverie.training.batch_order import BatchOrder, stage_at
from reverie.training.progress import Progress
from reverie.training.signals import Interrupted
from reverie.utils.atomic_files import sha256
from reverie.utils.seeding import seed_of
from test_run_folder import forks, in_child, step_in, strike_at

METHODS = ["dcgan", "vae"]
STEPS = 12
# 4 does not divide 3, so a checkpoint holds metrics that no line of the log has yet; nor is one made when samples are
OPTIONS: dict[str, Any] = dict(
    ema_decay=0.99, size=16, steps=STEPS, checkpoint_every=3, log_every=4, sample_every=5, threads=1, device="cpu",
    seed=3,
)  # fmt: skip


def begin(method: str, out: Path, **options: Any) -> Any:
    return train(f"{method}:smoke", out=out, **{"data": "letters:200", **OPTIONS, **options})


def words(method: str, out: Path, **options: Any) -> list[str]:
    """The same as a command."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in {**OPTIONS, **options}.items()]
    return ["train", f"{method}:smoke", "--data", "letters:200", "--out", str(out), *flags]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Uninterrupted runs, made when first asked for."""
    made: dict[str, Path] = {}

    def get(method: str, **options: Any) -> Path:
        key = f"{method} {options}"
        if key not in made:
            made[key] = tmp_path_factory.mktemp("straight") / "run"
            begin(method, made[key], **options)
        return made[key]

    return get


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], object]) -> None:
    """Act when that step is done and not yet saved."""
    real = Progress.tick

    def tick(self: Progress, now: int) -> None:
        real(self, now)
        if now == step:
            act()

    monkeypatch.setattr(Progress, "tick", tick)


def log_of(run: Path) -> list[tuple[Any, ...]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").open(encoding="utf-8")]
    return [(line["step"], line["stage"], line["metrics"]) for line in lines if "metrics" in line]


def assert_equal(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    else:
        assert a == b


def assert_same_run(run: Path, straight: Path) -> None:
    """Bit for bit: weights, losses, all that training would go on from; and the same pictures."""
    assert (run / WEIGHTS).read_bytes() == (straight / WEIGHTS).read_bytes()
    assert log_of(run) == log_of(straight)
    assert_equal(Run(run).state(), Run(straight).state())
    assert step_in(run) == step_in(straight)
    for picture in (straight / "samples").iterdir():
        assert (run / "samples" / picture.name).read_bytes() == picture.read_bytes()
    assert not (run / "next").exists()


# -- killed ------------------------------------------------------------------------------------------------------------


def go_on(method: str, out: Path, **options: Any) -> None:
    if (out / "run.json").exists():
        resume(out)
    else:
        begin(method, out, **options)


@forks
@pytest.mark.parametrize("method", METHODS)
def test_killed_again_and_again(method: str, tmp_path: Path, straight: Callable[..., Path]) -> None:
    """At file operations drawn at random: in saves, previews, the log, the report."""
    out, draws, kills = tmp_path / "run", random.Random(0), 0
    expected = straight(method)

    def child() -> None:
        strike_at(draws.randint(1, 60) if kills else 6, lambda: os.kill(os.getpid(), signal.SIGKILL))
        go_on(method, out)

    while in_child(child) == -9:
        kills += 1
        draws.random()
    assert kills >= 4
    assert_same_run(out, expected)


@forks
@pytest.mark.parametrize("step", [1, 2, 5])
def test_killed_within_a_step(step: int, tmp_path: Path, straight: Callable[..., Path]) -> None:
    """Before there is a save, too: then it starts anew."""
    out, expected = tmp_path / "run", straight("dcgan")

    def child() -> None:
        with pytest.MonkeyPatch.context() as patched:
            at_step(patched, step, lambda: os.kill(os.getpid(), signal.SIGKILL))
            begin("dcgan", out)

    assert in_child(child) == -9
    assert (out / "save.json").exists() == (step > 3)
    if step < 3:
        with pytest.raises(
            UserError, match="has no checkpoint yet; wait for the first one, or go on with `reverie resume"
        ):
            load(out)
    resume(out)
    assert_same_run(out, expected)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", METHODS)
def test_twenty_kills_of_the_command(method: str, tmp_path: Path, straight: Callable[..., Path]) -> None:
    """SIGKILL from outside, after a random delay: every other time between saves, or as soon as one is under way."""
    options = dict(steps=600, checkpoint_every=10, log_every=7, sample_every=150)
    expected, out, draws = straight(method, **options), tmp_path / "run", random.Random(1)
    kills = in_saves = 0
    while True:
        command = ["resume", str(out)] if (out / "run.json").exists() else words(method, out, **options)
        before = (out / "save.json").stat().st_mtime_ns if (out / "save.json").exists() else 0
        with start(command) as process:
            began: float | None = None
            delay = draws.uniform(0, 0.8)
            while process.poll() is None and kills < 20:
                seen = (out / "next").exists()
                if began is None and (seen or (out / "save.json").exists()):
                    now = (out / "save.json").stat().st_mtime_ns if (out / "save.json").exists() else before
                    began = time.monotonic() if seen or now != before else None
                due = began is not None and time.monotonic() - began > delay
                if due and seen == bool(kills % 2):
                    process.kill()
                    kills, in_saves = kills + 1, in_saves + (out / "next").exists()
                    break
                time.sleep(0.0005)
            said = process.communicate()[1]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said
    print(f"{method}: {kills} kills, {in_saves} left a save under way")
    assert kills == 20
    assert in_saves >= 5
    assert_same_run(out, expected)


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "reverie", *command], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


# -- stopped -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("method", METHODS)
def test_a_stop_saves_at_once(
    method: str, number: int, tmp_path: Path, straight: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out, expected, handlers = tmp_path / "run", straight(method), [signal.getsignal(s) for s in (2, 15)]
    with monkeypatch.context() as patched:
        at_step(patched, 5, lambda: os.kill(os.getpid(), number))
        assert cli.main(words(method, out)) == 130
    assert [signal.getsignal(s) for s in (2, 15)] == handlers
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == f"reverie: stopped and saved at step 5 of 12; go on with: reverie resume {out}"
    assert step_in(out) == 5
    assert (out / "report.html").exists()
    assert load(out).origin["step"] == 5
    assert cli.main(["resume", str(out)]) == 0
    assert_same_run(out, expected)


def test_a_second_ctrl_c_stops_at_once(
    tmp_path: Path, straight: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, expected = tmp_path / "run", straight("dcgan")
    with monkeypatch.context() as patched:
        at_step(patched, 5, lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])
        assert cli.main(words("dcgan", out)) == 130
    assert "Traceback" not in capsys.readouterr().err
    assert step_in(out) == 3
    resume(out)
    assert_same_run(out, expected)


def test_a_stop_in_the_last_step_is_the_end(
    tmp_path: Path, straight: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = straight("dcgan")
    at_step(monkeypatch, STEPS, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert cli.main(words("dcgan", tmp_path / "run")) == 0
    assert_same_run(tmp_path / "run", expected)


def test_a_notebook_that_keeps_the_interruption_can_resume(
    tmp_path: Path, straight: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps the last exception, and with it all that was alive in the frames, for its user to look at."""
    out, expected = tmp_path / "run", straight("dcgan")
    with monkeypatch.context() as patched:
        at_step(patched, 4, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted) as kept:
            begin("dcgan", out)
    resume(out)
    assert kept.value.__traceback__ is not None
    assert_same_run(out, expected)


def test_two_processes_on_one_run(
    tmp_path: Path, straight: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The second is refused, and the first, undisturbed, answers SIGTERM."""
    options = dict(steps=400, log_every=1, checkpoint_every=30, sample_every=1000)
    expected, out = straight("dcgan", **options), tmp_path / "run"
    capsys.readouterr()
    with start(words("dcgan", out, **options)) as first:
        wait_for(lambda: (out / "log.jsonl").exists())
        assert cli.main(words("dcgan", out, **options)) == 2
        assert cli.main(["resume", str(out)]) == 2
        first.terminate()
        errors = first.communicate(timeout=60)[1]
    assert first.returncode == 130
    step = step_in(out)
    assert errors.splitlines()[-1] == (
        f"reverie: stopped and saved at step {step} of 400; go on with: reverie resume {out}"
    )
    refusals = capsys.readouterr().err.splitlines()
    assert refusals == [
        f"reverie: {out} already holds a run; go on with `reverie resume {out}`, or give another --out.",
        f"reverie: {out} is in use by another process; wait for it, or stop it first.",
    ]
    resume(out)
    assert_same_run(out, expected)


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


# -- longer, and otherwise saved --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_more_steps_later_are_the_same_steps(method: str, tmp_path: Path, straight: Callable[..., Path]) -> None:
    out, expected = tmp_path / "run", straight(method)
    begin(method, out, steps=STEPS // 2)
    resume(out, steps=STEPS)
    assert_same_run(out, expected)
    assert Run(out).about["config"]["steps"] == STEPS


def two_sides(place: Path) -> str:
    """Two folders of four letters, and the spec that names them by their full paths."""
    letters = open_data("letters:8").prepare(16)
    for i in range(8):
        Image(letters.pixels(i)).save(place / f"{('horses', 'zebras')[i % 2]}/{i}.png")
    return f"{place / 'horses'},{place / 'zebras'}"


def test_two_folders_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, away, options = tmp_path / "home", tmp_path / "away", dict(steps=1, batch_size=2, threads=1)
    spec = two_sides(home / "data")
    train("cyclegan:smoke", data=spec, out=home / "runs/full", **options)
    monkeypatch.chdir(home)
    train("cyclegan:smoke", data="data/horses, data/zebras", out="runs/relative", **options)
    train("cyclegan:smoke", data=f"letters:8,{home / 'data/zebras'}", out="runs/named", **options)
    about = {name: Run(f"runs/{name}").about["data"] for name in ("full", "relative", "named")}
    assert (about["full"]["spec"], about["full"]["path"]) == (
        "horses,zebras",
        ["../../data/horses", "../../data/zebras"],
    )
    assert str(home) not in json.dumps(about)
    monkeypatch.chdir(tmp_path)
    for steps, place in ((2, home), (3, away)):
        if place == away:
            home.rename(away)
        for name in about:
            resume(place / "runs" / name, steps=steps)
            assert step_in(place / "runs" / name) == steps
    shutil.rmtree(away / "data/horses")
    with pytest.raises(UserError, match=r"data of .*full is not at .*horses any more; say where it is with --data"):
        resume(away / "runs/full", steps=4)


@pytest.mark.parametrize("linked", ["before", "since"])
def test_runs_on_another_disk(linked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of runs is a link: there `..` is not where the link lies."""
    home, big = tmp_path / "home/deep", tmp_path / "big"
    spec = two_sides(home / "data")
    monkeypatch.chdir(home)
    if linked == "before":
        big.mkdir()
        Path("runs").symlink_to(big)
    train("cyclegan:smoke", data=spec, out="runs/two", steps=1, batch_size=2, threads=1)
    begin("dcgan", Path("runs/one"), data=home / "data/horses", steps=1, batch_size=2)
    if linked == "since":
        Path("runs").rename(big)
        Path("runs").symlink_to(big)
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        resume(home / "runs" / name, steps=2)
        if linked == "before":  # as it is known on that disk
            resume(big / name, steps=3)


def test_what_has_no_relative_path_keeps_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As between two drives of Windows."""
    spec = two_sides(tmp_path / "data")

    def refuse(*_: Any) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    with monkeypatch.context() as patched:
        patched.setattr(os.path, "relpath", refuse)
        train("cyclegan:smoke", data=spec, out=tmp_path / "two", steps=1, batch_size=2, threads=1)
        begin("dcgan", tmp_path / "one", data=tmp_path / "data/horses", steps=1, batch_size=2)
    assert Run(tmp_path / "two").about["data"]["path"] == spec.split(",")
    for run in ("one", "two"):
        resume(tmp_path / run, steps=2)


def test_two_folders_of_a_run_that_kept_their_names_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_sides(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    train("cyclegan:smoke", data="horses,zebras", out="run", steps=1, batch_size=2, threads=1)
    Run("run").update(data={**Run("run").about["data"], "path": None})  # as it was written once
    resume("run", steps=2)


@pytest.mark.parametrize("out", ["run", "runs/deep/a"])
def test_a_run_inside_its_own_data(out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its previews are no pictures to learn from: the data stays what the run began with."""
    letters = open_data("letters:12").prepare(16)
    for i in range(12):
        Image(letters.pixels(i)).save(tmp_path / f"{('cat', 'dog')[i % 2]}/{i}.png")
    monkeypatch.chdir(tmp_path)
    steps = ["--steps", "2", "--batch-size", "4", "--sample-every", "1", "--threads", "1"]
    assert cli.main(["train", "dcgan:smoke", "--data", ".", "--out", out, *steps]) == 0
    assert list((tmp_path / out / "samples").iterdir())
    assert cli.main(["resume", out, "--steps", "3"]) == 0
    assert open_data(tmp_path).classes == ["cat", "dog"]
    assert cli.main(["train", "dcgan:smoke", "--data", ".", "--out", f"{out}-2", *steps]) == 0
    first, second = (Run(place).about["data"] for place in (out, f"{out}-2"))
    for fact in ("fingerprint", "n", "classes"):
        assert first[fact] == second[fact]
    assert second["dropped"] == 1


def test_other_items_than_it_began_with_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fingerprint is of what was opened; what decoding dropped shows in the number of items."""
    out = tmp_path / "run"
    begin("dcgan", out, steps=2)
    data = Run(out).about["data"]
    Run(out).update(data={**data, "n": 201})
    capsys.readouterr()
    assert cli.main(["resume", str(out), "--steps", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"reverie: 200 items of letters:200 can be used, where {out} began with 201; ")
    Run(out).update(data={k: v for k, v in data.items() if k != "n"})  # a run.json that does not say
    resume(out, steps=3)


def test_cadence_changes_nothing(tmp_path: Path, straight: Callable[..., Path]) -> None:
    expected, out = straight("vae"), tmp_path / "run"
    begin("vae", out, checkpoint_every=5, log_every=1, sample_every=2)
    assert (out / WEIGHTS).read_bytes() == (expected / WEIGHTS).read_bytes()
    singly = [losses for _, _, losses in log_of(out)]
    for step, _, losses in log_of(expected):
        for name, value in losses.items():
            assert value == pytest.approx(np.mean([one[name] for one in singly[step - 4 : step]]), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_what_a_run_leaves(method: str, straight: Callable[..., Path]) -> None:
    run = straight(method)
    assert [step for step, _, _ in log_of(run)] == [4, 8, 12]
    assert {p.name[:11] for p in (run / "samples").iterdir()} == {"step-000005", "step-000010", "step-000012"}
    assert step_in(run) == 12
    assert step_in(run / "previous") == 9
    about = Run(run).about
    assert about["train"]["threads"] == about["machine"]["threads"] == 1
    averaged, live = load(run).state_dict(), Run(run).state()["method"]
    assert any(not torch.equal(averaged[k], live[k]) for k in live), "the average is delivered, training keeps its own"


def test_the_number_of_threads_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What "all cores" came to: another machine goes on with as many, and so rounds alike."""
    asked: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    begin("dcgan", tmp_path / "run", threads=0, steps=1)
    assert Run(tmp_path / "run").about["train"]["threads"] == 5
    assert asked == []
    resume(tmp_path / "run", steps=2)
    assert asked == [5]


# -- damage ------------------------------------------------------------------------------------------------------------


def damage(file: Path, kind: str) -> None:
    data = bytearray(file.read_bytes())
    if kind == "flip":
        at = data.index(b"9", data.index(b'"step": ')) if file.suffix == ".json" else len(data) // 2
        data[at] ^= 1
    if kind == "delete":
        file.unlink()
    else:
        file.write_bytes({"flip": data, "truncate": data[: len(data) // 2], "empty": b""}[kind])


@pytest.mark.parametrize("kind", ["flip", "truncate", "delete", "empty"])
@pytest.mark.parametrize("name", [RESUME, WEIGHTS, "save.json"])
def test_damage_is_found_and_the_previous_save_used(
    name: str, kind: str, tmp_path: Path, straight: Callable[..., Path], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    expected, out = straight("dcgan"), tmp_path / "run"
    with monkeypatch.context() as patched:
        at_step(patched, 9, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted):
            begin("dcgan", out)
    damage(out / name, kind)
    capsys.readouterr()

    made = load(out)
    lines = capsys.readouterr().err.splitlines()
    assert made.origin["step"] == (9 if name == RESUME else 6)
    assert len(lines) == (0 if name == RESUME else 1), "resume.pt does not matter for using the weights"

    assert cli.main(["resume", str(out)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "previous checkpoint" in line]
    assert len(lines) == 1
    assert lines[0].startswith(str(out / name))
    assert lines[0].endswith("; using the previous checkpoint, of step 6.")
    assert_same_run(out, expected)


@forks
def test_a_kill_after_falling_back(tmp_path: Path, straight: Callable[..., Path]) -> None:
    expected, out = straight("vae"), tmp_path / "run"
    for k in (2, 20, 40):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(expected, out)
        (out / RESUME).write_bytes(b"")

        def child(k: int = k) -> None:
            strike_at(k, lambda: os.kill(os.getpid(), signal.SIGKILL))
            resume(out)

        assert in_child(child) == -9
        assert load(out).origin["step"] in (9, 12)
        resume(out)
        assert_same_run(out, expected)


def test_all_saves_damaged(tmp_path: Path, straight: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    shutil.copytree(straight("dcgan"), out)
    for folder in (out, out / "previous"):
        damage(folder / WEIGHTS, "flip")
    capsys.readouterr()
    for command in (["resume", str(out)], ["generate", str(out), "--out", str(tmp_path / "made")]):
        assert cli.main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            f"reverie: {out / WEIGHTS} is damaged (its checksum differs), and there is no valid previous one; "
            "restore the folder from a copy."
        )
    assert not (tmp_path / "made").exists()


# -- a full disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "reverie-test", str(place)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a disk of 4 MB cannot be mounted here: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("room", [0, 30_000, 100_000, 190_000])  # it ends in a picture, in resume.pt, in the weights
def test_a_full_disk(
    method: str, room: int, small_disk: Path, straight: Callable[..., Path], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out, expected, ballast = small_disk / "run", straight(method), small_disk / "ballast"

    def fill() -> None:
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(b"x" * (free - room))

    with monkeypatch.context() as patched:
        at_step(patched, 5, fill)
        capsys.readouterr()
        assert cli.main(words(method, out)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("step ")]
    assert [line.split()[0] for line in lines[:4]] == ["data", "networks", "device", "training"], "the plan comes first"
    assert lines[4:] == [
        f"reverie: the disk of {out} is full; what was saved is intact: free some space, then do the same again, "
        "or `reverie resume` a run."
    ]
    assert step_in(out) == 3
    assert not (out / "next").exists()
    assert load(out).origin["step"] == 3
    if room == 0:
        assert cli.main(["resume", str(out)]) == 2, "it is still full"
        assert step_in(out) == 3
    ballast.unlink()
    resume(out)
    assert_same_run(out, expected)


# -- readers -----------------------------------------------------------------------------------------------------------


def test_loading_while_saves_are_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every load gives one whole save, and for its records the checksum of that one."""
    begin("dcgan", tmp_path / "run", steps=1)
    run, done, sums = Run.open(tmp_path / "run"), threading.Event(), {}
    state, (header, weights, _) = run.state(), read_weights(run.path / WEIGHTS)
    monkeypatch.setattr(os, "fsync", lambda handle: None)

    def write() -> None:
        step = 1
        while not done.is_set():
            step += 1
            run.save(step, state, {k: torch.full_like(v, step) for k, v in weights.items()}, header)
            sums[step] = sha256(run.path / WEIGHTS)[:16]

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen, end = [], time.monotonic() + 20
        while len({made.origin["step"] for made in seen}) < 40 and time.monotonic() < end:
            seen.append(load(run.path))
    finally:
        done.set()
        writer.join()
    steps = [made.origin["step"] for made in seen if made.origin["step"] > 1]
    assert len(set(steps)) > 20
    assert steps == sorted(steps)
    for made in seen[-len(steps) :]:
        assert made.origin["run"] == sums[made.origin["step"]]
        assert all((value == made.origin["step"]).all() for value in made.state_dict().values())


# -- memory ------------------------------------------------------------------------------------------------------------

MEMORY = """
import sys
from reverie import train
from reverie.training.progress import Progress
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
real, seen = Progress.tick, {}
def tick(self, step):
    real(self, step)
    if step % 1000 == 0:
        seen[step] = rss()
Progress.tick = tick
train("vae:smoke", data="letters:200", out=sys.argv[1], size=8, base_channels=4, latent_dim=4, batch_size=8,
      steps=11_000, ema_decay=0.99, threads=1, device="cpu", checkpoint_every=500, log_every=500, sample_every=1000)
print(*seen.values())
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_stays_flat(tmp_path: Path) -> None:
    """Over 10,000 steps, after 1,000 to warm up."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True, check=True
    )
    seen = [float(word) for word in done.stdout.split()]
    print("RSS in MB every 1,000 steps:", *(f"{mb:.1f}" for mb in seen))
    assert seen[-1] - seen[0] < 8


# -- the parts ---------------------------------------------------------------------------------------------------------

numbers = st.integers(0, 2**63 - 1)


@given(items=st.integers(2, 60), batch=st.integers(1, 90), seed=numbers)
@settings(max_examples=60, deadline=None)
def test_every_epoch_is_a_permutation(items: int, batch: int, seed: int) -> None:
    order = BatchOrder(items, batch, seed)
    epochs = 3
    seen = np.concatenate([order(step) for step in range(-(-epochs * items // batch))])[: epochs * items]
    for epoch in seen.reshape(epochs, items):
        assert sorted(epoch) == list(range(items))


@given(items=st.integers(2, 60), batch=st.integers(1, 90), seed=numbers, steps=st.lists(st.integers(0, 10**6)))
@settings(max_examples=60, deadline=None)
def test_a_batch_follows_from_seed_and_step_alone(items: int, batch: int, seed: int, steps: list[int]) -> None:
    order = BatchOrder(items, batch, seed)
    for step in steps:
        assert (order(step) == BatchOrder(items, batch, seed)(step)).all()


@given(items=st.integers(2, 60), each=st.integers(1, 20), world_size=st.integers(1, 8), step=st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_ranks_share_a_batch_out(items: int, each: int, world_size: int, step: int) -> None:
    whole = BatchOrder(items, each * world_size, 0)(step)
    parts = [BatchOrder(items, each * world_size, 0)(step)[rank::world_size] for rank in range(world_size)]
    assert all(len(part) == each for part in parts)
    assert sorted(np.concatenate(parts)) == sorted(whole)


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = [tuple(BatchOrder(30, 30, seed)(epoch)) for seed in range(10) for epoch in range(10)]
    assert len(set(orders)) == 100


def test_seeds_do_not_collide() -> None:
    """Nor do those of neighbours, or of numbers that change places."""
    triples = [(seed, step, rank) for seed in range(8) for step in range(2000) for rank in range(4)]
    seeds = {seed_of(*triple) for triple in triples}
    assert len(seeds) == len(triples)
    assert all(0 <= seed < 2**63 for seed in seeds)
    bits = np.array([[seed >> bit & 1 for bit in range(63)] for seed in sorted(seeds)[::16]])
    assert (abs(bits.mean(0)[:56] - 0.5) < 0.05).all(), "bits are even, but for the highest in a sorted sample"


@given(st.lists(numbers, min_size=1, max_size=4), st.lists(numbers, min_size=1, max_size=4))
def test_unlike_numbers_give_unlike_seeds(a: list[int], b: list[int]) -> None:
    assert (seed_of(*a) == seed_of(*b)) == (a == b)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=5))
def test_stages_follow_each_other(lengths: list[int]) -> None:
    stages = [Stage(str(i), steps, lambda batch, update: {}) for i, steps in enumerate(lengths)]
    expected = [(stage, done / stage.steps) for stage in stages for done in range(stage.steps)]
    assert [stage_at(stages, step) for step in range(sum(lengths))] == expected
    with pytest.raises(UserError, match="no step left"):
        stage_at(stages, sum(lengths))
