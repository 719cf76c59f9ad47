"""Two processes over gloo: the same order of data, the same weights on both, resumed bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import hashlib, json, os, sys
import torch
from reverie import loop, work
from reverie.errors import UserError

seen = []
def fit(method, data, run, settings, ranks, header, original=loop.fit):
    batch = data.batch
    def watched(index, device="cpu"):
        seen.append([int(i) for i in index])
        return batch(index, device)
    data.batch = watched
    try:
        original(method, data, run, settings, ranks, header)
    finally:
        digest = hashlib.sha256()
        for key, value in method.state_dict().items():
            digest.update(key.encode() + value.numpy().tobytes())
        place = os.path.join(os.environ["TELL"], f"rank{ranks.rank}.json")
        with open(place, "w") as file:
            json.dump({"digest": digest.hexdigest(), "seen": seen[1:], "world": ranks.world}, file)
work.fit = fit
stop_at = int(os.environ.get("STOP_AT", "0"))
original_seed = loop.seed_of
def seed_of(*numbers):
    if stop_at and numbers[1] == stop_at - 1 and numbers[2] == 1:  # the signal reaches one rank only
        os.kill(os.getpid(), 15)
    return original_seed(*numbers)
loop.seed_of = seed_of
from reverie.cli import main
sys.exit(main(sys.argv[1:]))
"""


def launch(
    tmp_path: Path, *words: str, tell: str = "tell", **environment: str
) -> tuple[int, str, list[dict[str, object]]]:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / tell).mkdir(exist_ok=True)
    ran = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "script.py", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=200,
        env={**os.environ, "TELL": tell, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    told = [
        json.loads((tmp_path / tell / f"rank{r}.json").read_text())
        for r in (0, 1)
        if (tmp_path / tell / f"rank{r}.json").exists()
    ]
    return ran.returncode, ran.stderr, told


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, object]]]:
    folder = tmp_path_factory.mktemp("ranks")
    status, text, told = launch(
        folder, "train", "dcgan:smoke", "--data", "letters:96", "--out", "run", "--average", "0.9"
    )
    assert status == 0, text[-2000:]
    return folder, told


def test_parameters_and_buffers_are_identical_on_both(whole: tuple[Path, list[dict[str, object]]]) -> None:
    _, (first, second) = whole
    assert first["world"] == second["world"] == 2
    assert first["digest"] == second["digest"]


def test_together_they_see_what_one_process_sees(whole: tuple[Path, list[dict[str, object]]]) -> None:
    from reverie.order import Order

    _, (first, second) = whole
    order = Order(96, 16, 0)
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
    words = ("train", "dcgan:smoke", "--data", "letters:96", "--out", "run", "--average", "0.9")
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
    told, cut = (
        [json.loads(line)["losses"] for line in (place / "run" / "log.jsonl").open()] for place in (folder, tmp_path)
    )
    assert cut == told  # also the line of which either rank had seen a part


def test_an_error_stops_both_and_is_told_once(tmp_path: Path) -> None:
    for words, what in (
        (("train", "dcgan:smoke", "--data", "letters:96", "--out", "run", "--batch", "15"), "multiple of 2"),
        (("train", "dcgan:smoke", "--data", "nothing-here", "--out", "run"), "nothing-here"),
    ):
        status, text, _ = launch(tmp_path, *words)
        assert status != 0
        assert [what in line for line in text.splitlines() if line.startswith("reverie: ")] == [True]
        assert not (tmp_path / "run").exists()
