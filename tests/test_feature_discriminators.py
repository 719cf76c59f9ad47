"""The discriminators on a frozen network's features that several methods share: options, files, resuming, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import reverie
from reverie.core.options import build
from reverie.core.registry import method_class
from reverie.evaluation.evaluators_base import seen_in_training_notes
from reverie.evaluation.feature_extractors import open_features
from reverie.evaluation.samples_source import open_source
from reverie.nn import imagenet, losses
from reverie.nn.dcgan_blocks import GENERATORS
from reverie.nn.feature_discriminator import FINGERPRINT, FrozenFeatures, discriminator_loss, generator_loss
from reverie.runs.weights_file import read_weights
from reverie.transforms.augment import paired_diff_augment
from reverie.utils.errors import UserError

METHODS = ["vae_gan", "cvae_gan", "bigan"]
BOTH: dict[str, Any] = dict(
    discriminator="both", upsampling="resize", loss="hinge", norm="none", r1_weight=0.5, d_reg_interval=2,
    diff_augment=True,
)  # fmt: skip
SHORT: dict[str, Any] = dict(data="shapes:40", threads=1, batch_size=8)


@pytest.mark.parametrize("name", METHODS)
def test_a_run_on_features_is_resumed_bit_for_bit_and_holds_no_frozen_network(name: str, tmp_path: Path) -> None:
    options = {**BOTH, **SHORT, "ema_decay": 0.9, "checkpoint_every": 2}
    reverie.train(f"{name}:smoke", out=tmp_path / "straight", steps=4, **options)
    reverie.train(f"{name}:smoke", out=tmp_path / "cut", steps=2, **options)
    reverie.resume(tmp_path / "cut", steps=4)
    (header, straight, _), (_, cut, _) = (
        read_weights(tmp_path / run / "weights.safetensors") for run in ("straight", "cut")
    )
    assert all(torch.equal(value, cut[key]) for key, value in straight.items())
    assert header["config"]["feature_network"] == FINGERPRINT
    assert "features" not in {key.split(".")[0] for key in straight}
    assert (tmp_path / "cut/resume.pt").stat().st_size < 8_000_000  # the network alone has 18 MB
    assert json.loads((tmp_path / "cut/run.json").read_text())["config"]["discriminator"] == "both"


@pytest.mark.parametrize("name", METHODS)
def test_without_the_network_training_says_so_first_and_generating_goes_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reverie.train(f"{name}:smoke", out=tmp_path / "run", steps=1, **BOTH, **SHORT)
    monkeypatch.setattr(imagenet, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="ImageNet network is not installed"):
        reverie.train(f"{name}:smoke", out=tmp_path / "new", steps=1, **BOTH, **SHORT)
    assert not (tmp_path / "new").exists()
    assert len(reverie.load(tmp_path / "run").generate(n=2)) == 2
    assert len(reverie.load(tmp_path / "run").edit(n=1, frames=2)) == 2  # by directions of the generator's first layer


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
def test_auto_sees_features_of_colour_and_pixels_of_grey(name: str, channels: int) -> None:
    method = method_class(name)
    facts = {"native": 32, "channels": channels, "class_names": ("a", "b"), "photographs": False}
    config = method.resolve_config(method.Config(discriminator="auto"), facts)
    assert config.discriminator == ("pixels" if channels == 1 else "both")
    assert config.feature_network == (None if channels == 1 else FINGERPRINT)
    with pytest.raises(UserError, match="no ImageNet network beef"):
        method.resolve_config(method.Config(feature_network="beef"), facts)


@pytest.mark.parametrize("name", ["dcgan", "vae_gan"])
def test_auto_sees_features_of_grey_photographs(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(8):
        smooth = Image.fromarray(rng.integers(0, 256, (5, 5), np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)
        smooth.save(tmp_path / f"{i}.png")
    options = dict(discriminator="auto", size=16, norm="none", steps=1)
    photographs = reverie.train(f"{name}:smoke", data=tmp_path, out=tmp_path / "photographs.run", **options)
    letters = reverie.train(f"{name}:smoke", data="letters:26", out=tmp_path / "letters.run", **options)
    assert (photographs.config.channels, photographs.config.discriminator) == (1, "both")
    assert photographs.config.feature_network == FINGERPRINT
    assert (letters.config.channels, letters.config.discriminator) == (1, "pixels")
    net = open_features(None, None)
    of_photographs, of_letters = (open_source(tmp_path / f"{which}.run") for which in ("photographs", "letters"))
    assert "flatters its scores" in seen_in_training_notes(of_photographs, net)[0]
    assert not seen_in_training_notes(of_letters, net)
    assert not seen_in_training_notes(of_photographs, None)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vae_gan", dict(discriminator="features", norm="none", r1_weight=1.0), "r1_weight is for a discr"),
        ("cvae_gan", dict(discriminator="features", norm="none", r1_weight=1.0), "r1_weight is for a discr"),
        ("vae_gan", dict(discriminator="both", r1_weight=1.0), "give --norm none"),
        ("bigan", dict(discriminator="features"), "one of 'pixels', 'both', 'auto'"),
        ("bigan", dict(network="mlp", upsampling="resize"), "upsampling resize is for network conv"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build(method_class(name).Config, options)
    assert "\n" not in str(caught.value)


def test_losses_of_several_heads_are_summed_and_kinds_of_images_averaged() -> None:
    real, rec, fake = ([torch.randn(3, 4), torch.randn(3, 1)] for _ in range(3))
    for name in ("hinge", "relativistic"):
        one = losses.ADVERSARIAL_LOSSES[name]
        wanted = sum(one.discriminator(r, f) for kind in (rec, fake) for r, f in zip(real, kind, strict=True)) / 2
        assert torch.allclose(discriminator_loss(one, real, rec, fake), torch.as_tensor(wanted))
        wanted = sum(one.generator(f, r) for kind in (rec, fake) for r, f in zip(real, kind, strict=True)) / 2
        assert torch.allclose(generator_loss(one, real, rec, fake), torch.as_tensor(wanted))
    alone = losses.hinge().generator(rec[0], None) + losses.hinge().generator(rec[1], None)
    assert torch.allclose(generator_loss(losses.hinge(), None, rec), alone)


def test_an_image_and_its_reconstruction_are_moved_and_cut_alike() -> None:
    x = torch.rand(6, 3, 16, 16) + 0.1
    moved, rec = paired_diff_augment(x, 2 * x)
    assert torch.equal(rec, 2 * moved)
    assert (moved == 0).any()
    assert not torch.equal(moved, x)


def test_the_frozen_network_computes_in_float32_where_training_is_in_bf16() -> None:
    features, x = FrozenFeatures(FINGERPRINT), torch.rand(1, 3, 64, 64, requires_grad=True)
    alone = features(x)
    with torch.autocast("cpu", torch.bfloat16):
        beside = features(x)
    assert all(torch.equal(a, b) for a, b in zip(alone, beside, strict=True))
    (gradient,) = torch.autograd.grad(beside[-1].sum(), x)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("upsampling", GENERATORS)
def test_the_first_layer_s_weight_is_what_each_latent_dimension_adds(upsampling: str) -> None:
    torch.manual_seed(0)
    generator = GENERATORS[upsampling](16, 3, 8, 5).eval()
    generator.layers[2].running_var.uniform_(0.5, 2)
    maps: list[torch.Tensor] = []
    generator.layers[2].register_forward_hook(lambda _, __, output: maps.append(output.flatten(1).clone()))
    generator(torch.cat([torch.zeros(1, 5), torch.eye(5)]))
    assert torch.allclose(maps[0][1:] - maps[0][:1], generator.first_layer_weight(), atol=1e-6)
