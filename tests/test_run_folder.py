"""The run folder: whatever happens while it is written, a valid checkpoint is there.

The central tests let a child process die by SIGKILL at its first file operation, at its second, and so on to the
last, and look at what it left.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from reverie import load, resume
from reverie._version import FORMAT
from reverie.runs import run_folder as module
from reverie.runs.run_folder import FILES, MANIFEST, RESUME, WEIGHTS, Run, find_damage, manifest
from reverie.runs.weights_file import read_weights, write_weights
from reverie.utils.atomic_files import sha256
from reverie.utils.errors import UserError

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which Windows has not")
ABOUT = {"format": FORMAT, "method": "m", "config": {}, "train": {}, "data": {"fingerprint": "0", "spec": "x"}}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "shutil.rmtree", "shutil.copyfile"}


def put(run: Run, step: int) -> None:
    state = {"step": step, "x": torch.full((50,), float(step))}
    run.save(step, state, {"w": torch.full((50,), float(step))}, {"method": "m", "config": {}})


def step_in(folder: Path) -> int:
    """The step of a whole save; fails unless all three files are of that one step."""
    header, weights, _ = read_weights(folder / WEIGHTS)
    state = torch.load(folder / RESUME, weights_only=True)
    step = manifest(folder)["step"]
    assert find_damage(folder, (RESUME, WEIGHTS)) is None
    assert step == header["step"] == state["step"]
    assert "x" not in state or step == weights["w"][0] == state["x"][0]
    return step


def strike_at(k: int, strike: Callable[[], None]) -> None:
    """Calls strike at the k-th file operation of this process: before it, and amid each writing of a file.

    For good: audit hooks cannot be taken back. So this is for a child process.
    """
    count, busy = itertools.count(1), False

    def point(half: Callable[[], object] | None = None) -> None:
        nonlocal busy
        if not busy and next(count) == k:
            busy = True  # what strike and half do themselves is not counted
            if half:
                half()
            strike()

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if event in CHANGES:
            point()
        elif event == "open" and isinstance(args[0], str) and (mode := set(args[1] or "") & {"a", "w"}):
            point()
            point(lambda: begin_to_write(args[0], mode.pop() + "b"))

    def begin_to_write(path: str, mode: str) -> None:
        with Path(path).open(mode) as file:
            file.write(b'{"ste')

    def save(state: object, path: Path) -> None:  # in C++, where audit hooks do not see it
        point()
        real_save(state, path)
        point(lambda: os.truncate(path, path.stat().st_size // 2))

    def fsync(handle: int) -> None:
        point()
        real_fsync(handle)

    real_save, real_fsync = torch.save, os.fsync
    torch.save, os.fsync = save, fsync
    sys.addaudithook(watch)


def in_child(act: Callable[[], int | None]) -> int:
    """The exit status of act in a forked child; -9 if it was killed."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = act() or 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed(k: int, act: Callable[[], object]) -> bool:
    """Runs act in a child that is killed at its k-th file operation. Whether it came to that."""

    def child() -> None:
        strike_at(k, lambda: os.kill(os.getpid(), signal.SIGKILL))
        act()

    status = in_child(child)
    assert status in (0, -9)
    return status == -9


def every_kill(base: Path, work: Path, act: Callable[[Path], object]) -> Iterator[Path]:
    """The folder as it is left by a kill at the first file operation of act, at the second, ... , and by none."""
    for k in itertools.count(1):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(base, work, copy_function=os.link)  # nothing is changed in place, so links will do
        died = killed(k, lambda: act(work))
        yield work
        if not died:
            assert k > 2, "hardly any file operation was seen"
            return


@pytest.fixture
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """For speed: a kill, unlike a power cut, does not lose what is not yet on the disk."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, unflushed: None) -> None:
    """For speed, where no second process is at work: what is damaged now will be so in 0.2 s."""
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run.create(tmp_path / "run", ABOUT)
    yield made
    made.release()


# -- a kill at every point ---------------------------------------------------------------------------------------------


@forks
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("saves", [0, 1, 2])
def test_a_kill_anywhere_in_a_save_leaves_the_old_or_the_new_one(run: Run, tmp_path: Path, saves: int) -> None:
    for step in range(1, saves + 1):
        put(run, step)
    found: list[int | None] = []
    for left in every_kill(run.path, tmp_path / "left", lambda at: put(Run(at), saves + 1)):
        if saves:  # a reader, who mends nothing
            assert step_in(left) if find_damage(left, FILES[:2]) is None else step_in(left / "previous")
            assert read_weights(Run(left).latest_valid((WEIGHTS,)) / WEIGHTS)[0]["step"] in (saves, saves + 1)
        found.append(Run(left).recover())
        assert not (left / "next").exists()
        if found[-1] is not None:
            assert step_in(left) == found[-1]
        put(Run(left), saves + 2)
        assert step_in(left) == saves + 2
        if found[-1] is not None:
            assert step_in(left / "previous") == found[-1]
    old, new = found.count(saves or None), found.count(saves + 1)
    assert found == [saves or None] * old + [saves + 1] * new, "a save that was there is gone again"
    assert old > 8
    assert new > 8


@forks
@pytest.mark.usefixtures("impatient")
def test_a_kill_anywhere_in_settling_what_another_kill_left(run: Run, tmp_path: Path) -> None:
    for step in (1, 2):
        put(run, step)
    for left in every_kill(run.path, tmp_path / "left", lambda at: put(Run(at), 3)):
        if not (left / "next").exists():
            continue
        steps = set()
        for again in every_kill(left, tmp_path / "again", lambda at: Run(at).recover()):
            reader = again if find_damage(again, FILES[:2]) is None else again / "previous"
            assert step_in(reader) in (2, 3)
            steps.add(Run(again).recover())
            assert step_in(again) in steps
        assert steps in ({2}, {3})


@forks
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", FILES)
def test_a_kill_anywhere_in_falling_back_leaves_the_previous_save(run: Run, tmp_path: Path, name: str) -> None:
    for step in (1, 2):
        put(run, step)
    damaged = tmp_path / "damaged"
    shutil.copytree(run.path, damaged)
    (damaged / name).write_bytes(b"x")
    for left in every_kill(damaged, tmp_path / "left", lambda at: Run(at).recover()):
        assert Run(left).recover() == 1
        assert step_in(left) == step_in(left / "previous") == 1
    for left in every_kill(damaged, tmp_path / "left", lambda at: [Run(at).recover(), put(Run(at), 3)]):
        assert Run(left).recover() in (1, 3)
        step_in(left)


@forks
@pytest.mark.usefixtures("impatient")
def test_a_kill_anywhere_in_making_a_run_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    made = []
    for left in every_kill(tmp_path / "empty", tmp_path / "left", lambda at: Run.create(at, ABOUT)):
        made.append((left / "run.json").exists())
        again = Run.open(left) if made[-1] else Run.create(left, ABOUT)
        assert again.about == ABOUT
        again.lock()
        again.release()
    assert set(made) == {True, False}


@forks
@pytest.mark.usefixtures("impatient")
def test_a_kill_anywhere_in_changing_run_json_or_the_log(run: Run, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        run.log({"step": step, "seconds": step / 2})
    base = run.path
    for left in every_kill(base, tmp_path / "left", lambda at: Run(at).update(config={"steps": 2})):
        assert Run(left).about["config"] in ({}, {"steps": 2})
    for left in every_kill(base, tmp_path / "left", lambda at: Run(at).truncate_log(2)):
        Run(left).truncate_log(2)
        assert [json.loads(line)["step"] for line in (left / "log.jsonl").open()] == [1, 2]


# -- the disk ----------------------------------------------------------------------------------------------------------


@forks
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("saves", [0, 2])
def test_a_disk_full_at_any_point_is_one_line_and_costs_nothing(run: Run, tmp_path: Path, saves: int) -> None:
    for step in range(1, saves + 1):
        put(run, step)

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def save(k: int, at: Path) -> int:
        strike_at(k, full)
        try:
            put(Run(at), saves + 1)
        except UserError as error:
            return 2 if "is full" in str(error) and "\n" not in str(error) else 3
        return 0

    statuses = []
    for k in itertools.count(1):
        left = tmp_path / f"left{k}"
        shutil.copytree(run.path, left, copy_function=os.link)
        statuses.append(in_child(lambda k=k, left=left: save(k, left)))
        assert statuses[-1] in (0, 2)
        step = Run(left).recover()
        assert step in (saves or None, saves + 1)
        assert step is None or step_in(left) == step
        if statuses[-1] == 2 and not (left / "next" / MANIFEST).exists():
            assert not (left / "next").exists(), "what was half written takes up the full disk"
        put(Run(left), saves + 2)
        assert step_in(left) == saves + 2
        if statuses[-4:] == [0, 0, 0, 0]:  # a refusal to clear up or to link is no failure, so one 0 is not the end
            break
    assert statuses.count(2) > 8


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:858] . PytorchStreamWriter failed writing file data/3"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
        safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
@pytest.mark.parametrize("place", ["torch.save", "write_weights", "replace_text", "flush"])
def test_every_way_to_say_that_the_disk_is_full(
    run: Run, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    put(run, 1)

    def refuse(*args: object, **kwargs: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(*((torch, "save") if place == "torch.save" else (module, place)), refuse)
        with pytest.raises(UserError, match=r"the disk of .* is full; what was saved is intact"):
            put(run, 2)
    assert not (run.path / "next").exists()
    assert run.recover() == step_in(run.path) == 1
    put(run, 2)
    assert run.recover() == step_in(run.path) == 2


def test_other_faults_are_not_taken_for_a_full_disk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise RuntimeError("tensor a must match tensor b")

    monkeypatch.setattr(torch, "save", refuse)
    with pytest.raises(RuntimeError, match="must match"):
        put(run, 1)


def test_without_links_files_are_copied(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for step in (1, 2, 3):
        put(run, step)
    assert (step_in(run.path), step_in(run.path / "previous")) == (3, 2)
    (run.path / RESUME).write_bytes(b"")
    assert run.recover() == step_in(run.path) == step_in(run.path / "previous") == 2


def test_who_may_read_the_folder_may_read_all_its_files(run: Run) -> None:
    put(run, 1)
    modes = {name: (run.path / name).stat().st_mode & 0o777 for name in FILES}
    assert len(set(modes.values())) == 1, modes


# -- damage ------------------------------------------------------------------------------------------------------------


def every_flip(data: bytes, stride: int) -> Iterator[bytes]:
    for at in range(0, len(data), stride):
        yield data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("name", "stride"), [(MANIFEST, 1), (RESUME, 97), (WEIGHTS, 11)])
def test_a_flipped_bit_anywhere_is_found(run: Run, name: str, stride: int) -> None:
    """In save.json too, where a flip in the step leaves sound JSON; or it changes nothing but a space."""
    put(run, 12)
    sound = (run.path / name).read_bytes()
    original = json.loads((run.path / MANIFEST).read_text())
    for data in every_flip(sound, stride):
        (run.path / name).write_bytes(data)
        if find_damage(run.path, FILES[:2]) is None:
            assert name == MANIFEST
            assert json.loads(data) == original


def test_all_saves_damaged_is_one_line(run: Run) -> None:
    for step in (1, 2):
        put(run, step)
    (run.path / WEIGHTS).write_bytes(b"x")
    (run.path / "previous" / RESUME).unlink()
    with pytest.raises(UserError, match=r"weights.safetensors is damaged .* no valid previous one; restore") as caught:
        run.recover()
    assert "\n" not in str(caught.value)


def test_a_save_that_is_gone_but_for_the_previous_one(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (1, 2):
        put(run, step)
    for name in FILES:
        (run.path / name).unlink()
    assert run.recover() == step_in(run.path) == 1
    assert "save.json is missing or damaged; using the previous checkpoint, of step 1." in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"step": 1}', '{"step": 1, "sha256": null}', "\0" * 40])
def test_a_strange_manifest_is_damage(run: Run, content: str) -> None:
    for step in (1, 2):
        put(run, step)
    (run.path / MANIFEST).write_text(content)
    assert run.recover() == step_in(run.path) == 1


# -- readers and locks -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unflushed")
def test_a_reader_always_finds_a_whole_save(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """While another saves without pause."""
    put(run, 1)
    done, failed = threading.Event(), []

    def write() -> None:
        try:
            for step in itertools.count(2):
                put(run, step)
                if done.is_set():
                    break
        except BaseException as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        steps, end = [0], time.monotonic() + 20
        while len(set(steps)) < 200 and time.monotonic() < end:
            header, weights, _ = read_weights(Run.open(run.path).latest_valid((WEIGHTS,)) / WEIGHTS)
            assert set(weights["w"].tolist()) == {header["step"]}
            steps.append(header["step"])
    finally:
        done.set()
        writer.join()
    assert not failed
    assert len(set(steps)) > 50
    assert steps == sorted(steps)
    assert capsys.readouterr().err == "", "nothing was damaged"


def test_one_writer_at_a_time(run: Run) -> None:
    with pytest.raises(UserError, match="is in use by another process"):
        Run.open(run.path).lock()
    run.release()
    other = Run.open(run.path)
    other.lock()
    other.release()


@forks
def test_a_lock_left_by_a_killed_process_does_not_block(run: Run) -> None:
    run.release()

    def child() -> None:
        other = Run.open(run.path)
        other.lock()
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(child) == -9
    run.lock()


# -- the log -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["", '{"step": 3, "sec', "\0\0\0\0", "3", "null", '{"step": 9, "seconds": 9}\n', "\n"])
def test_a_log_cut_off_in_a_line_is_repaired(run: Run, tail: str) -> None:
    for step in (1, 2):
        run.log({"step": step, "seconds": step / 2})
    with (run.path / "log.jsonl").open("a") as file:
        file.write(tail)
    run.truncate_log(2)
    run.log({"step": 3})
    assert [json.loads(line)["step"] for line in (run.path / "log.jsonl").open()] == [1, 2, 3]


def test_without_a_log_there_is_nothing_to_mend(run: Run) -> None:
    run.truncate_log(0)
    assert run.lines() == []
    assert not (run.path / "log.jsonl").exists()


def test_a_run_of_an_earlier_format_is_refused_in_one_line(run: Run) -> None:
    """Before formats were numbered, run.json and the weights' header had none."""
    place = run.path / "run.json"
    about = {**json.loads(place.read_text()), "versions": {"reverie": "0.1.0"}}
    for changes, message in (
        ({}, f"{run.path} was made by reverie 0.1.0, of an earlier format (1; this is 2): its options and weights have "
         "other names; train it again."),
        ({"format": 3, "versions": {"reverie": "9.0"}}, f"{run.path} was made by reverie 9.0, of a later format (3; "
         "this is 2): update reverie."),
    ):  # fmt: skip
        changed = {k: v for k, v in {**about, **changes}.items() if k != "format" or changes}
        place.write_text(json.dumps(changed))
        with pytest.raises(UserError) as caught:
            resume(run.path)
        assert str(caught.value) == message


def test_weights_of_an_earlier_format_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    header = {"method": "dcgan", "config": {"latent": 100}, "reverie": "0.1.0"}
    path.write_bytes(safetensors.torch.save({"w": torch.zeros(1)}, {"reverie": json.dumps(header)}))
    with pytest.raises(
        UserError, match=r"old.safetensors was made by reverie 0.1.0, of an earlier format \(1; this is 2"
    ):
        load(path)
    write_weights(path, {"w": torch.zeros(1)}, {"method": "m", "config": {}})
    assert read_weights(path)[0]["format"] == FORMAT


def test_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
