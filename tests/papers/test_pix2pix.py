"""What is particular to pix2pix: its losses, and discriminators that see with a frozen network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import reverie
from reverie.core.update import Update
from reverie.methods.pix2pix import Pix2Pix
from reverie.nn.feature_discriminator import FrozenFeatures
from reverie.nn.patchgan import PatchGAN, ProjectedPatchGAN
from reverie.utils.distributed import Ranks

SMALL: dict[str, Any] = dict(size=16, base_channels=4, depth=4, n_layers_d=1, crop_jitter=1.0, hflip=False)


class RecordedLosses(Update):
    """Records each loss, and updates nothing."""

    def __call__(self, which: Any, loss: Any = None, clip: Any = None) -> torch.Tensor:
        self.losses = {**getattr(self, "losses", {}), which: float(loss.detach())}
        return loss.detach()


def resolved(facts: dict[str, Any] | None = None, **options: Any) -> Pix2Pix.Config:
    """A small config with what the data decides; facts beside those of colour pairs."""
    known = {"native": 16, "in_channels": 3, "out_channels": 3, **(facts or {})}
    return Pix2Pix.resolve_config(Pix2Pix.Config(**{**SMALL, **options}), known)


def test_the_losses_are_those_of_the_paper() -> None:
    """Section 3: D minimises half of eq. 1, G its adversarial loss + 100 L1."""
    torch.manual_seed(0)
    gan = Pix2Pix(resolved(dropout=0.0))
    a, b = torch.rand(2, 2, 3, 16, 16) * 2 - 1
    update = RecordedLosses(gan.optimizers(), Ranks("cpu"))
    metrics = gan.step({"a": a, "b": b}, update)
    with torch.no_grad():
        fake = gan.generator(a)
        real_p, fake_p = (torch.sigmoid(gan.discriminator(torch.cat([a, x], 1))) for x in (b, fake))
        l1 = (b - fake).abs().mean()
    assert update.losses["discriminator"] == pytest.approx(
        float(-(real_p.log().mean() + (1 - fake_p).log().mean()) / 2), rel=1e-4
    )
    assert update.losses["generator"] == pytest.approx(float(-fake_p.log().mean() + 100 * l1), rel=1e-4)
    assert list(metrics) == ["loss_d", "d_auc", "l1", "loss_g"]


@pytest.mark.parametrize("discriminator", ["features", "both"])
def test_heads_see_the_image_and_what_it_was_made_from(discriminator: str) -> None:
    torch.manual_seed(0)
    x, condition = torch.rand(2, 3, 128, 128, requires_grad=True), torch.rand(2, 1, 128, 128)
    pixels = PatchGAN(4, 4, 3) if discriminator == "both" else None
    D = ProjectedPatchGAN(128, pixels, condition_channels=1)
    maps = FrozenFeatures(resolved(discriminator="both").feature_network or "")(x)
    logits = D(maps, x, condition)
    assert [tuple(each.shape) for each in logits] == [(2, 16)] * 3 + [(2, 14 * 14)] * (discriminator == "both")
    for each, other in zip(logits, D(maps, x, 1 - condition), strict=True):
        assert not torch.allclose(each, other)
        (slope,) = torch.autograd.grad(each.sum(), x, retain_graph=True)
        assert slope.abs().sum() > 0


def test_auto_follows_the_targets() -> None:
    """Both for colour; pixels for grey ones and label maps, with the paper's weight of the L1 loss."""
    labels = {"labels": {"b": {}}}
    for facts, options, expected in (
        ({}, {}, "both"),
        ({"out_channels": 1}, {}, "pixels"),
        ({"in_channels": 1}, {}, "both"),
        (labels, {}, "pixels"),
        (labels, {"direction": "BtoA"}, "both"),
    ):
        config = resolved(facts, discriminator="auto", **options)
        assert config.discriminator == expected
        assert config.l1_weight == (20 if expected == "both" else 100)
        assert (config.feature_network is None) == (expected == "pixels")
    assert resolved(discriminator="both", l1_weight=0.0).l1_weight == 0


def test_a_run_with_a_frozen_network_resumes_bit_for_bit(tmp_path: Path) -> None:
    options = dict(data="shapes:12", discriminator="auto", loss="hinge", steps=4, log_every=1, threads=1)
    reverie.train("pix2pix:smoke", out=tmp_path / "whole", **options)
    reverie.train("pix2pix:smoke", out=tmp_path / "cut", callback=lambda step, *_: step < 2, **options)
    assert len((tmp_path / "cut" / "log.jsonl").read_text().splitlines()) < 4
    reverie.resume(tmp_path / "cut")
    whole, cut = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert not [name for name in whole if name.startswith("features")]
    assert reverie.load(tmp_path / "whole").config.discriminator == "both"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(l1_weight=0.0, adv_weight=0.0), "nothing to train for"),
        (dict(feature_network="0" * 16), "there is no ImageNet network"),
        (dict(discriminator="vgg"), "discriminator"),
        (dict(discriminator="auto", degradation="", direction="BtoA"), "holds single images"),
        (dict(l1_weight=-1.0), "l1_weight"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(reverie.UserError, match=message) as found:
        reverie.train("pix2pix:smoke", data="shapes:8", out=tmp_path / "run", **options)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "run").exists()
