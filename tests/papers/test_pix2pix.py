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

COLOURS = [[0, 0, 0], [255, 0, 0], [0, 0, 255]]
"""of the classes of label maps"""
LABELS = {"b": {"colours": COLOURS, "codes": COLOURS, "grey": False, "bits": 8, "table": None}}
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


def test_label_maps_are_learnt_by_cross_entropy() -> None:
    torch.manual_seed(0)
    gan = Pix2Pix(resolved({"labels": LABELS}, pixel_loss="cross_entropy", dropout=0.0))
    assert (gan.config.label_colours, gan.config.deterministic) == ((0, 0, 0, 255, 0, 0, 0, 0, 255), True)
    assert not [name for name in gan.state_dict() if name.startswith("classes")]
    a, true = torch.rand(2, 3, 16, 16) * 2 - 1, torch.randint(0, 3, (2, 16, 16))
    b = torch.tensor(COLOURS)[true].permute(0, 3, 1, 2) / 127.5 - 1
    update = RecordedLosses(gan.optimizers(), Ranks("cpu"))
    metrics = gan.step({"a": a, "b": b}, update)
    with torch.no_grad():
        logits = gan.generator(a)
    assert logits.shape == (2, 3, 16, 16)
    chosen = logits.log_softmax(1).gather(1, true[:, None])
    assert update.losses == {"generator": pytest.approx(float(-100 * chosen.mean()), rel=1e-4)}
    assert list(metrics) == ["cross_entropy"]
    assert gan.classes is not None
    assert torch.equal(gan.classes.indices(b), true)
    gan.eval()
    likeliest = gan.classes.indices(gan.translate_tensor(a[:1], None, 512, 0))
    assert torch.equal(likeliest, gan.generator(a[:1]).argmax(1))


def test_the_discriminator_sees_mean_colours_of_classes() -> None:
    """Where the adversarial loss is wanted beside cross-entropy, gradients reach all logits."""
    gan = Pix2Pix(resolved({"labels": LABELS}, pixel_loss="cross_entropy", adv_weight=1.0))
    assert gan.classes is not None
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    mean = gan.classes.expected(logits)
    by_hand = (logits.softmax(1)[:, :, None] * (torch.tensor(COLOURS)[None, :, :, None, None] / 127.5 - 1)).sum(1)
    assert torch.allclose(mean, by_hand, atol=1e-6)
    batch = {side: torch.zeros(1, 3, 16, 16) - 1 for side in "ab"}
    update = RecordedLosses(gan.optimizers(), Ranks("cpu"))
    assert list(gan.step(batch, update)) == ["loss_d", "d_auc", "cross_entropy", "loss_g"]
    assert set(update.losses) == {"discriminator", "generator"}


def test_without_an_adversarial_loss_there_is_no_discriminator() -> None:
    """Weights that have one, as of a run with the loss, load all the same."""
    both, alone = Pix2Pix(resolved()), Pix2Pix(resolved(adv_weight=0.0))
    weights = both.state_dict()
    assert any(name.startswith("discriminator.") for name in weights)
    alone.load_weights(weights)
    assert {name.partition(".")[0] for name in alone.state_dict()} == {"generator"}
    assert all(torch.equal(x, weights[name]) for name, x in alone.state_dict().items())


def test_auto_learns_labels_as_classes_with_a_frozen_encoder() -> None:
    """Where the targets are label maps; label maps as inputs change nothing."""
    auto = dict(discriminator="auto", encoder="auto", pixel_loss="auto")
    for facts, options, expected in (
        ({"labels": LABELS}, {}, ("cross_entropy", "frozen", 0, True)),
        ({"labels": LABELS}, {"network": "resnet", "depth": None}, ("cross_entropy", "scratch", 0, True)),
        ({"labels": LABELS}, {"encoder": "scratch", "adv_weight": 1.0}, ("cross_entropy", "scratch", 1, True)),
        ({"labels": LABELS}, {"direction": "BtoA"}, ("l1", "scratch", 1, False)),
        ({"labels": {"a": LABELS["b"]}}, {}, ("l1", "scratch", 1, False)),
        ({}, {}, ("l1", "scratch", 1, False)),
    ):
        config = resolved(facts, **{**auto, **options})
        assert (config.pixel_loss, config.encoder, config.adv_weight, config.deterministic) == expected
        assert (config.label_colours is None) == (config.pixel_loss == "l1")
        assert (config.lr, config.dropout) == ((1e-3, 0.2) if config.encoder == "frozen" else (2e-4, 0.5))
        assert Pix2Pix.resolve_config(config, {"native": 16, "in_channels": 3, "out_channels": 3, **facts}) == config


def test_auto_follows_the_targets() -> None:
    """Both for colour; pixels for grey ones and label maps, with the paper's weight of the L1 loss."""
    labels = {"labels": LABELS}
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


@pytest.mark.parametrize("frozen", [dict(discriminator="auto", loss="hinge"), dict(encoder="frozen")])
def test_a_run_with_a_frozen_network_resumes_bit_for_bit(tmp_path: Path, frozen: dict[str, Any]) -> None:
    options = dict(data="shapes:12", steps=4, log_every=1, threads=1, **frozen)
    reverie.train("pix2pix:smoke", out=tmp_path / "whole", **options)
    reverie.train("pix2pix:smoke", out=tmp_path / "cut", callback=lambda step, *_: step < 2, **options)
    assert len((tmp_path / "cut" / "log.jsonl").read_text().splitlines()) < 4
    reverie.resume(tmp_path / "cut")
    whole, cut = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert not [name for name in whole if "features" in name]
    config = reverie.load(tmp_path / "whole").config
    assert (config.discriminator, config.encoder) in (("both", "scratch"), ("pixels", "frozen"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(l1_weight=0.0, adv_weight=0.0), "nothing to train for"),
        (dict(feature_network="0" * 16), "there is no ImageNet network"),
        (dict(discriminator="vgg"), "discriminator"),
        (dict(discriminator="auto", degradation="", direction="BtoA"), "holds single images"),
        (dict(l1_weight=-1.0), "l1_weight"),
        (dict(pixel_loss="cross_entropy"), "for targets that are label maps"),
        (dict(encoder="frozen", network="resnet"), "encoder frozen"),
        (dict(label_colours=(0, 0, 0)), "label_colours"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(reverie.UserError, match=message) as found:
        reverie.train("pix2pix:smoke", data="shapes:8", out=tmp_path / "run", **options)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "run").exists()
