"""Two processes over gloo: the same order of data, the same weights on both, resumed bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import hashlib, json, os, sys, time
import torch
from reverie import api
from reverie.methods import dcgan
from reverie.runs import run_folder
from reverie.training import progress, trainer
from reverie.utils.errors import UserError

seen = []
def fit(method, data, run, settings, ranks, *others, original=trainer.fit):
    batch = data.batch
    def watched(index, device="cpu"):
        seen.append([int(i) for i in index])
        return batch(index, device)
    data.batch = watched
    try:
        original(method, data, run, settings, ranks, *others)
    finally:
        digest = hashlib.sha256()
        for key, value in method.state_dict().items():
            digest.update(key.encode() + value.numpy().tobytes())
        place = os.path.join(os.environ["REPORTS"], f"rank{ranks.rank}.json")
        with open(place, "w") as file:
            json.dump({"digest": digest.hexdigest(), "seen": seen[1:], "world_size": ranks.world_size}, file)
api.fit = fit
stop_at = int(os.environ.get("STOP_AT", "0"))
original_seed = trainer.seed_of
how, rank = os.environ.get("HOW", ""), int(os.environ["RANK"])
def seed_of(*numbers):
    if stop_at and numbers[1] == stop_at - 1 and numbers[2] == 1:  # the signal reaches one rank only
        os.kill(os.getpid(), 15)
    if how == "second fails" and numbers[1:] == (7, 1):
        raise UserError("the second one's disk is gone")
    return original_seed(*numbers)
trainer.seed_of = seed_of
if how == "first is late" and rank == 0:
    time.sleep(2)
if how == "sample fails":
    def show(*arguments):
        raise UserError("the disk is full")
    progress.Progress.show = show
if how == "rollbacks":
    lines, step, fails = run_folder.Run.lines, dcgan.DCGAN.step, iter((1, 1, 1))
    def late(self):
        if rank == 1 and sys._getframe(1).f_code.co_name == "_roll_back":
            time.sleep(1.5)  # by then the first has written a line more
        return lines(self)
    def broken(self, batch, update):
        bad = update.step == 12 and next(fails, 0)
        return step(self, {**batch, "image": batch["image"] * float("nan")} if bad else batch, update)
    run_folder.Run.lines, dcgan.DCGAN.step = late, broken
from reverie.cli.main import main
sys.exit(main(sys.argv[1:]))
"""

AGAIN = """
from datetime import timedelta
import torch.distributed as dist
import reverie
for k in range(3):
    reverie.train("dcgan:smoke", data="letters:96", out=f"run{k}", steps=2)
backend = dist.group.WORLD._get_backend(__import__("torch").device("cpu"))
assert backend.options._timeout > timedelta(hours=12)  # while the first decodes a large folder the others wait
"""


def launch(
    tmp_path: Path, *words: str, reports: str = "reports", **environment: str
) -> tuple[int, str, list[dict[str, object]]]:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / reports).mkdir(exist_ok=True)
    ran = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "script.py", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=200,
        env={**os.environ, "REPORTS": reports, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    files = [tmp_path / reports / f"rank{r}.json" for r in (0, 1)]
    return ran.returncode, ran.stderr, [json.loads(file.read_text()) for file in files if file.exists()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, object]]]:
    folder = tmp_path_factory.mktemp("ranks")
    status, text, reports = launch(
        folder, "train", "dcgan:smoke", "--data", "letters:96", "--out", "run", "--ema-decay", "0.9"
    )
    assert status == 0, text[-2000:]
    return folder, reports


def test_parameters_and_buffers_are_identical_on_both(whole: tuple[Path, list[dict[str, object]]]) -> None:
    _, (first, second) = whole
    assert first["world_size"] == second["world_size"] == 2
    assert first["digest"] == second["digest"]


def test_together_they_see_what_one_process_sees(whole: tuple[Path, list[dict[str, object]]]) -> None:
    from reverie.training.batch_order import BatchOrder

    _, (first, second) = whole
    order = BatchOrder(96, 16, 0)
    for step, (a, b) in enumerate(zip(first["seen"], second["seen"], strict=True)):
        assert sorted(a + b) == sorted(order(step).tolist())
        assert a == order(step)[0::2].tolist()
    assert len(first["seen"]) == 20


def test_the_run_says_so_and_one_process_can_use_it(whole: tuple[Path, list[dict[str, object]]]) -> None:
    import reverie

    folder, _ = whole
    assert json.loads((folder / "run" / "run.json").read_text())["machine"]["ranks"] == 2
    assert len(reverie.load(folder / "run").generate(n=3)) == 3


def test_a_signal_to_one_stops_both_and_resuming_is_exact(
    whole: tuple[Path, list[dict[str, object]]], tmp_path: Path
) -> None:
    folder, _ = whole
    words = ("train", "dcgan:smoke", "--data", "letters:96", "--out", "run", "--ema-decay", "0.9")
    status, text, (first, second) = launch(tmp_path, *words, STOP_AT="7")
    assert status != 0
    assert "reverie resume run" in text
    assert first["digest"] == second["digest"]
    assert json.loads((tmp_path / "run" / "save.json").read_text())["step"] == 7
    status, text, _ = launch(tmp_path, "resume", "run")
    assert status == 0, text[-2000:]
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == (
        folder / "run" / "weights.safetensors"
    ).read_bytes()
    uncut, cut = (
        [json.loads(line)["metrics"] for line in (place / "run" / "log.jsonl").open()] for place in (folder, tmp_path)
    )
    assert cut == uncut  # also the line of which either rank had seen a part


TRAIN = ("train", "dcgan:smoke", "--data", "letters:96", "--out", "run")


@pytest.mark.parametrize(
    ("words", "what", "how"),
    [
        ((*TRAIN, "--batch-size", "15"), "multiple of 2", ""),
        ((*TRAIN[:3], "nothing-here", *TRAIN[4:]), "nothing-here", ""),
        (("train", "dcgan:not", *TRAIN[2:]), "no preset", "first is late"),  # the second must not end before it speaks
        (TRAIN, "the second one's disk is gone", "second fails"),
        (TRAIN, "the disk is full", "sample fails"),
    ],
)
def test_an_error_stops_both_and_is_shown_once(tmp_path: Path, words: tuple[str, ...], what: str, how: str) -> None:
    status, text, _ = launch(tmp_path, *words, HOW=how)
    assert status != 0
    assert [what in line for line in text.splitlines() if line.startswith("reverie: ")] == [True]
    assert how == "second fails" or "Connection closed by peer" not in text  # the other one is asked to stop
    assert how.endswith("fails") or not (tmp_path / "run").exists()


def test_both_count_the_same_rollbacks(tmp_path: Path) -> None:
    status, text, (first, second) = launch(tmp_path, *TRAIN, "--on-failure", "rollback", HOW="rollbacks")
    assert status == 0, text[-2000:]
    assert first["digest"] == second["digest"]
    assert (tmp_path / "run" / "log.jsonl").read_text().count('"rollback"') == 3


def test_processes_may_train_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "again.py").write_text(AGAIN)
    ran = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "again.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
