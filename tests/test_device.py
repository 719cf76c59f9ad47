"""What would go wrong on a GPU, as far as it shows without one. Runs on a fake device: tests/fake_device.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import reverie
from built_in_data import data_of
from reverie.core import registry
from reverie.methods.dcgan import DCGAN
from reverie.nn.image_pool import ImagePool
from reverie.training.meter import MetricAverager, widest_float
from reverie.transforms.degradations import DEGRADATIONS, apply_degradation
from reverie.utils import distributed as ranks
from reverie.utils.distributed import Ranks


@pytest.mark.parametrize("name", sorted(registry.list_methods()))
def test_a_second_device_without_float64_learns_the_same_and_goes_on_elsewhere(name: str, tmp_path: Path) -> None:
    program = Path(__file__).with_name("fake_device.py")
    ran = subprocess.run(
        [sys.executable, str(program), str(tmp_path), name], capture_output=True, text=True, timeout=100,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_a_gpu_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", given.append)
    zeros = torch.zeros
    monkeypatch.setattr(ranks.torch, "zeros", lambda n, device: zeros(n))
    for name, local, expected in (("auto", None, "cuda:0"), ("cuda", None, "cuda:0"), ("cuda", "1", "cuda:1")):
        monkeypatch.delenv("LOCAL_RANK", raising=False)
        if local:
            monkeypatch.setenv("LOCAL_RANK", local)
        assert Ranks(name).device == torch.device(expected) == given.pop()  # set_device takes none without a number


def test_sums_of_metrics_are_float64_where_the_device_has_it() -> None:
    assert widest_float(torch.device("cpu")) is widest_float(torch.device("cuda")) is torch.float64
    assert widest_float(torch.device("mps")) is torch.float32
    meter = MetricAverager()
    meter.add({"a": torch.ones(())})
    assert meter.sums["a"].dtype is torch.float64


def test_a_pool_reads_nothing_back() -> None:
    class Reads(TorchDispatchMode):
        def __torch_dispatch__(self, act: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            assert "_local_scalar_dense" not in str(act)
            return act(*args, **(kwargs or {}))

    pool = ImagePool(2, 3, 4, 4)
    for _ in range(4):
        with Reads():
            assert pool(torch.randn(3, 3, 4, 4)).shape == (3, 3, 4, 4)


def test_samples_of_one_gpu_leave_the_others_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forked: list[object] = []
    fork = torch.random.fork_rng

    def watched(devices: Any = None, **more: Any) -> Any:
        forked.append(devices)  # none named: every GPU is taken, and there is a warning
        return fork(devices, **more)

    monkeypatch.setattr(torch.random, "fork_rng", watched)
    reverie.train("pix2pix:smoke", data="shapes:16", out=tmp_path / "run", steps=1)
    assert forked
    assert None not in forked


# -- bfloat16 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(registry.list_methods()))
def test_every_method_learns_in_bfloat16(name: str, tmp_path: Path) -> None:
    stages = {"pretrain_steps": 1, "d_pretrain_steps": 1} if name == "seqgan" else {}
    reverie.train(f"{name}:smoke", data=data_of(name), out=tmp_path / "run", precision="bf16", steps=3, **stages)


def test_frozen_features_are_used_in_bfloat16(tmp_path: Path) -> None:
    options = {"encoder": "frozen", "size": 64, "precision": "bf16", "steps": 2}
    reverie.train("rtt_gan:smoke", data="scenes:16", out=tmp_path / "run", **options)


def test_a_step_in_bfloat16_goes_on_with_the_weights_of_its_last_update(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[bool] = []

    def step(self: Any, batch: Any, update: Any) -> Any:
        before = self.discriminator(batch["image"])
        loss = update("discriminator", 100 * before.square().mean())
        seen.append(torch.equal(before, self.discriminator(batch["image"])))
        return {"loss": loss}

    monkeypatch.setattr(DCGAN, "step", step)
    data = {"norm": "none", "lr": 0.1}
    reverie.train("dcgan:smoke", data="letters:32", out=tmp_path / "run", precision="bf16", steps=2, **data)
    assert seen == [False, False]


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_images_are_degraded_alike_in_bfloat16(degradation: Any) -> None:
    torch.manual_seed(0)
    x = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8), 32, mode="bilinear") * 2 - 1
    found = []
    for enabled in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled):
            found.append(apply_degradation(x, degradation))
    assert torch.equal(*found)
