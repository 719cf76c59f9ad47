"""Losses and augmentation against closed forms."""

from __future__ import annotations

import importlib
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import reverie
from reverie.core.registry import list_methods, method_class
from reverie.data.images.dataset import Images
from reverie.data.images.pairs import Pairs
from reverie.data.images.patches import ImagePatches
from reverie.data.images.unpaired import Unpaired
from reverie.nn import losses
from reverie.runs.run_folder import Run
from reverie.transforms.augment import _cutout, diff_augment, random_flip, random_flip_and_rotate, random_flip_and_shift

PAIRS = {
    "nonsaturating": (losses.nonsaturating(), 2 * math.log(2), math.log(2)),
    "hinge": (losses.hinge(), 2.0, 0.0),
    "least_squares": (losses.least_squares(), 0.5, 0.5),
    "wasserstein": (losses.wasserstein(), 0.0, 0.0),
    "relativistic": (losses.relativistic(), math.log(2), math.log(2)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_adversarial_losses_of_an_undecided_discriminator(name: str) -> None:
    pair, d, g = PAIRS[name]
    zero = torch.zeros(5)
    assert float(pair.discriminator(zero, zero)) == pytest.approx(d, abs=1e-6)
    assert float(pair.generator(zero, zero if pair.paired else None)) == pytest.approx(g, abs=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_discriminator_and_generator_pull_in_opposite_directions(name: str) -> None:
    pair = PAIRS[name][0]
    real, fake = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    d_real, d_fake = torch.autograd.grad(pair.discriminator(real, fake), (real, fake))
    (g_fake,) = torch.autograd.grad(pair.generator(fake, real if pair.paired else None), fake)
    assert (d_real < 0).all() or name == "least_squares"
    assert (d_fake >= 0).all()
    assert (g_fake < 0).all()


def test_nonsaturating_is_cross_entropy() -> None:
    real, fake = torch.randn(50), torch.randn(50)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    expected = bce(real, torch.ones(50)) + bce(fake, torch.zeros(50))
    assert torch.allclose(losses.nonsaturating().discriminator(real, fake), expected)


def test_penalties_of_a_linear_critic() -> None:
    w = torch.randn(3, 4, 4)

    def critic(x: Tensor) -> Tensor:
        return (x * w).flatten(1).sum(1)

    x = torch.randn(6, 3, 4, 4, requires_grad=True)
    norm = float(w.norm())
    assert float(losses.zero_centred_penalty(critic(x), x)) == pytest.approx(0.5 * norm**2, rel=1e-5)
    assert float(losses.gradient_penalty(critic, x, torch.randn_like(x))) == pytest.approx((norm - 1) ** 2, rel=1e-4)


def test_kl_equals_its_monte_carlo_estimate() -> None:
    mean, log_variance = torch.tensor([0.7]).double(), torch.tensor([-1.2]).double()
    torch.manual_seed(0)
    z = mean + (log_variance / 2).exp() * torch.randn(400_000).double()
    sampled = (losses.log_normal(z, mean, log_variance) - losses.log_normal(z)).mean()
    assert float(losses.kl_to_standard_normal(mean, log_variance)) == pytest.approx(float(sampled), abs=5e-3)
    assert float(losses.kl_to_standard_normal(torch.zeros(1), torch.zeros(1))) == 0


def test_log_normal_is_torch_s() -> None:
    x, mean, log_variance = torch.randn(3, 7).double()
    expected = torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(x)
    assert torch.allclose(losses.log_normal(x, mean, log_variance), expected, atol=1e-12)


@given(st.floats(-1.2, 1.2), st.floats(-6.5, 1.0))
def test_discretised_logistic_is_a_distribution_over_256_levels(mean: float, log_scale: float) -> None:
    levels = torch.arange(256).double() / 127.5 - 1
    log_mass = losses.log_discretised_logistic(levels, torch.tensor(mean).double(), torch.tensor(log_scale).double())
    assert float(log_mass.exp().sum()) == pytest.approx(1, abs=1e-6)
    # against the plain difference of the distribution function, where that is exact enough
    edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 127.5 - 1, [np.inf]])
    cdf = 1 / (1 + np.exp(-np.clip((edges - mean) / math.exp(log_scale), -700, 700)))
    plain = np.diff(cdf)
    solid = plain > 1e-9
    assert np.allclose(log_mass.exp().numpy()[solid], plain[solid], rtol=1e-4)


def test_discretised_logistic_stays_finite_far_away() -> None:
    x, mean = torch.tensor([-1.0, 0.0, 1.0], requires_grad=False), torch.tensor([1.0, -1.0, -1.0], requires_grad=True)
    log_mass = losses.log_discretised_logistic(x, mean, torch.tensor(-7.0))
    log_mass.sum().backward()
    assert torch.isfinite(log_mass).all()
    assert mean.grad is not None
    assert torch.isfinite(mean.grad).all()


def test_flips_mirror_some_and_change_no_other() -> None:
    torch.manual_seed(0)
    x = torch.rand(64, 3, 5, 5)
    y = random_flip(x)
    mirrored = [torch.equal(b, a.flip(2)) for a, b in zip(x, y, strict=True)]
    kept = [torch.equal(b, a) for a, b in zip(x, y, strict=True)]
    assert all(f or k for f, k in zip(mirrored, kept, strict=True))
    assert 16 < sum(mirrored) < 48


def test_shifts_are_of_whole_pixels_with_reflected_borders() -> None:
    torch.manual_seed(0)
    x = torch.arange(64.0).view(1, 1, 8, 8).expand(300, 2, 8, 8)
    framed = np.pad(x[0, 0].numpy(), 2, mode="reflect")
    known = {framed[dy : dy + 8, dx : dx + 8].tobytes() for dy in range(5) for dx in range(5)}
    moved = random_flip_and_shift(x, False, 0.25)
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert {row.numpy().tobytes() for row in moved[:, 0].contiguous()} == known
    assert {row.numpy().tobytes() for row in random_flip_and_shift(x, True, 0.25)[:, 0].contiguous()} > known
    assert random_flip_and_shift(x, False, 0.0) is x


@pytest.mark.parametrize("name", ["dcgan", "vae", "vae_gan", "cvae_gan", "bigan"])
def test_hflip_and_shift_reach_the_images_that_are_learnt(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The options `hflip` and `shift` are off by default."""
    asked: list[tuple[bool, float]] = []

    def random_flip_and_shift(x: Tensor, hflip: bool, shift: float) -> Tensor:
        asked.append((hflip, shift))
        return x.flip(3) if hflip else x

    monkeypatch.setattr(
        importlib.import_module(f"reverie.methods.{name}"), "random_flip_and_shift", random_flip_and_shift
    )
    metrics, default, augmented = [], dict[str, Any](), {"hflip": True, "shift": 0.125}
    for i, options in enumerate([default, augmented]):
        reverie.train(f"{name}:smoke", data="letters:64", out=tmp_path / str(i), steps=2, log_every=1, **options)
        metrics.append([line["metrics"] for line in Run(tmp_path / str(i)).lines() if "metrics" in line])
    assert asked == [(False, 0.0)] * 2 + [(True, 0.125)] * 2
    assert metrics[0] != metrics[1]


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan", "restoration"])
def test_translators_flip_unless_hflip_is_off(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"reverie.methods.{name}")
    flip = "paired_random_flip" if name == "pix2pix" else "random_flip"
    original, flipped = getattr(module, flip), list[Any]()

    def recorded(images: Any) -> Any:
        flipped.append(images)
        return original(images)

    monkeypatch.setattr(module, flip, recorded)
    data = "letters:16,shapes:16" if name == "cyclegan" else "shapes:16"
    options: dict[str, Any] = {"degradation": "grey"} if name == "pix2pix" else {}
    for asked in list[dict[str, Any]]([{"hflip": False}, {}, {"hflip": True}]):
        reverie.train(f"{name}:smoke", data=data, out=tmp_path / str(asked), steps=1, **options, **asked)
        assert bool(flipped) is asked.get("hflip", True)
        flipped.clear()


@pytest.mark.parametrize(("hflip", "rotate", "positions"), [(True, True, 8), (True, False, 2), (False, True, 4)])
def test_flips_and_rotations_give_every_position_alike(hflip: bool, rotate: bool, positions: int) -> None:
    torch.manual_seed(0)
    x = torch.arange(9.0).view(1, 1, 3, 3).expand(4000, -1, -1, -1)
    found, counts = random_flip_and_rotate(x, hflip, rotate).unique(dim=0, return_counts=True)
    assert len(found) == positions
    assert counts.min() > 0.8 * 4000 / positions
    assert random_flip_and_rotate(x, False, False) is x


def test_every_method_of_images_takes_hflip() -> None:
    for name in list_methods():
        if method_class(name).data_type in (Images, ImagePatches, Pairs, Unpaired):
            assert "hflip" in {field.name for field in fields(method_class(name).Config)}, name


def test_differentiable_augmentation_lets_gradients_through_and_differs_by_image() -> None:
    torch.manual_seed(0)
    x = torch.ones(32, 3, 16, 16, requires_grad=True)
    y = diff_augment(x)
    assert y.shape == x.shape
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.isfinite(slope).all()
    assert (slope.abs().sum((1, 2, 3)) > 0).all()
    hidden = (y == 0).all(1).float().mean()  # a square of half the side, often partly outside, and what moved in
    assert 0.1 < float(hidden) < 0.45
    assert len({round(float(v), 4) for v in y.detach().mean((1, 2, 3))}) > 25
    holes = (_cutout(torch.ones(200, 1, 16, 24)) == 0)[:, 0]  # [B,H,W]
    assert holes.any(2).sum(1).max() == 8
    assert holes.any(1).sum(1).max() == 12
