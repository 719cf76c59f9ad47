"""Metrics as functions: equal to reference libraries and closed forms, on the same data."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from reverie.metrics.distribution import frechet_distance, kernel_distance, nearest_neighbours, prdc
from reverie.metrics.likelihood import independent_bernoulli, independent_levels
from reverie.metrics.pixels import (
    copying_statistics,
    mean_image,
    mean_squared_errors,
    nearest_images,
    psnr,
    ratio_of_means,
    sharpness,
)
from reverie.metrics.score import Reference, Score, why_incomparable
from reverie.utils.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")


class Identity(nn.Module):
    """Takes features in place of images: the network of torchmetrics' scores."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, x: Tensor) -> Tensor:
        return x


def features(n: int, m: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two sets that overlap, with correlated columns and a relu, as networks give."""
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=draw) / width**0.5
    real = (torch.randn(n, width, generator=draw) @ mix + 0.5).relu()
    fake = (torch.randn(m, width, generator=draw) @ mix * 1.1 + 0.45).relu()
    return real.double(), fake.double()


SHAPES = [(300, 300, 24), (200, 260, 64), (90, 90, 150)]  # the last with fewer items than features


# -- distributions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "width"), SHAPES)
def test_fid_equals_torchmetrics(n: int, m: int, width: int) -> None:
    real, fake = features(n, m, width)
    theirs = FrechetInceptionDistance(feature=Identity(width), input_img_size=(1, 1, 1))
    theirs.set_dtype(torch.float64)
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    assert frechet_distance(real, fake) == pytest.approx(float(theirs.compute()), rel=1e-6)


def test_fid_of_known_gaussians() -> None:
    """Diagonal covariances: the sum of (m1 - m2)^2 + (s1 - s2)^2."""
    base = torch.cat([torch.eye(6), -torch.eye(6)]).double() * math.sqrt(11 / 2)  # mean 0, unbiased covariance I
    scale, shift = torch.tensor([1.0, 2, 3, 0.5, 1, 4]).double(), torch.arange(6).double()
    assert frechet_distance(base, base * scale + shift) == pytest.approx(float(((scale - 1) ** 2 + shift**2).sum()))
    assert frechet_distance(base, base) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("width", [24, 150])
def test_kid_equals_torchmetrics(width: int) -> None:
    real, fake = features(200, 200, width)
    theirs = KernelInceptionDistance(feature=Identity(width), subsets=1, subset_size=200)
    theirs.set_dtype(torch.float64)
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    assert kernel_distance(real, fake).value == pytest.approx(float(theirs.compute()[0]), rel=1e-6)


def test_kid_is_unbiased_and_its_standard_error_is_right() -> None:
    """Over many pairs of sets: the mean is 0 for one distribution; the standard error is that of repeated draws."""
    draw = torch.Generator().manual_seed(1)

    def normal(n: int, shift: float) -> Tensor:
        return torch.randn(n, 8, generator=draw) + shift

    found = [kernel_distance(normal(60, 0), normal(80, 0.7)) for _ in range(150)]
    scatter = np.std([value for value, _ in found])
    assert np.mean([error for _, error in found]) == pytest.approx(scatter, rel=0.25)
    alike = [kernel_distance(normal(50, 0), normal(70, 0)).value for _ in range(200)]
    assert abs(np.mean(alike)) < 4 * np.std(alike) / 200**0.5


@pytest.mark.parametrize(("n", "m", "width"), SHAPES)
@pytest.mark.parametrize("k", [3, 5])
def test_prdc_equals_the_authors_package(n: int, m: int, width: int, k: int) -> None:
    real, fake = features(n, m, width)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = compute_prdc(real.numpy(), fake.numpy(), nearest_k=k)
    ours = prdc(real, fake, k)._asdict()
    assert {name: mean.value for name, mean in ours.items()} == pytest.approx(theirs, abs=1e-6)
    assert all(mean.value > 0 for mean in ours.values())


def test_prdc_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = features(150, 110, 16)
    whole = prdc(real, fake)
    monkeypatch.setattr("reverie.metrics.distribution.BLOCK", 7)
    assert [m.value for m in prdc(real, fake)] == pytest.approx([m.value for m in whole])


def test_copies_of_one_image_are_at_distance_zero() -> None:
    """A ball of radius 0 contains nothing: a collapsed set covers nothing, whatever the rounding."""
    real = features(50, 50, 20)[0]
    collapsed = (torch.rand(1, 20).double() * 1000).expand(50, 20)
    assert prdc(real, collapsed).recall.value == 0
    apart, which = nearest_neighbours(collapsed, collapsed, 1, torch.arange(50))
    assert float(apart.max()) == 0
    assert not bool((which[:, 0] == torch.arange(50)).any())


@pytest.mark.slow
def test_prdc_of_equal_gaussians() -> None:
    """N(0,I), 10,000 x 1,000: the values that follow from the dimension."""
    draw = torch.Generator().manual_seed(0)
    found = prdc(torch.randn(10_000, 1000, generator=draw), torch.randn(10_000, 1000, generator=draw))
    assert [m.value for m in found] == pytest.approx([0.477, 0.471, 1.056, 0.974], abs=0.03)


def test_invalid_features_are_refused() -> None:
    real, fake = features(50, 50, 8)
    with pytest.raises(UserError, match="same number of columns"):
        frechet_distance(real, fake[:, :4])
    with pytest.raises(UserError, match="not finite"):
        kernel_distance(real, fake / 0)
    with pytest.raises(UserError, match="too few"):
        prdc(real, fake[:6])


# -- pixels ------------------------------------------------------------------------------------------------------------


def random_images(n: int, size: int = 12, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), np.uint8)


def test_sharpness_by_hand() -> None:
    """A single bright pixel far from the border: the Laplacian is -4a once and a four times."""
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 4, 4] = 200
    assert float(sharpness(image)[0]) == pytest.approx(20 * 200**2 / 81)
    ramp = np.broadcast_to(np.arange(0, 90, 10, np.uint8)[:, None], (9, 9))[None, :, :, None]
    edge = float(sharpness(ramp)[0])  # 0 inside; at both ends the reflected row counts twice
    assert edge == pytest.approx(2 * 9 * 20**2 / 81)
    grey = np.repeat(random_images(3, channels=1), 3, 3)
    assert torch.allclose(sharpness(grey), sharpness(grey[..., :1]), rtol=1e-5)


def test_sharpness_falls_with_blur() -> None:
    real = random_images(40)
    blurred = ((real[:, :-1].astype(int) + real[:, 1:]) // 2).astype(np.uint8)[:, :, : real.shape[1] - 1]
    ratio = ratio_of_means(sharpness(blurred), sharpness(real))
    assert ratio.value < 0.8
    assert 0 < ratio.std_error < 0.1


@pytest.mark.parametrize("size", [12, 50])
def test_nearest_images_equal_brute_force(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverie.metrics.pixels.SLICE", 7)
    train = random_images(40, size, 1)
    fake = np.concatenate([train[[31, 2]], random_images(3, size, 1, seed=1)])
    fake[1, 0, 0] ^= 1
    apart, which = nearest_images(fake, train, 3)
    assert which[0, 0] == 31
    assert which[1, 0] == 2
    assert float(apart[0, 0]) == 0
    assert 0 < float(apart[1, 0]) < 1e-3
    assert bool((apart[:, 1:] >= apart[:, :-1]).all())
    if size == 12:
        flat = torch.from_numpy(train.reshape(40, -1)).double() / 255
        exact = torch.cdist(torch.from_numpy(fake.reshape(5, -1)).double() / 255, flat) / 12
        assert torch.allclose(apart, exact.sort(1).values[:, :3], atol=1e-7)
    exclude = torch.tensor([31, 2, 5])
    apart, which = nearest_images(train[exclude], train, 1, exclude)
    assert float(apart.min()) > 0.1
    assert not bool((which[:, 0] == exclude).any())


def test_copying_statistics_separate_copies_from_new_images() -> None:
    draw = torch.Generator().manual_seed(0)
    unseen = 5 + torch.randn(1500, generator=draw)
    new, copied = 5 + torch.randn(1000, generator=draw), torch.zeros(1000)
    for fake, ratio, auc, rate in ((new, 1, 0.5, 0.01), (copied, 0, 0, 1), (copied + 50, 9.93, 1, 0)):
        found = copying_statistics(fake, unseen)
        assert found.nn_distance_ratio == pytest.approx(ratio, abs=0.03)
        assert found.auc.value == pytest.approx(auc, abs=0.03)
        assert found.near_duplicates.value == pytest.approx(rate, abs=0.02)
    assert copying_statistics(unseen, unseen).auc.value == 0.5  # ties count half
    twice = unseen.clone()
    twice[:50] = 0  # some real images occur twice; copies are still copies
    assert copying_statistics(copied, twice).near_duplicates.value == 1
    assert copying_statistics(new, twice).near_duplicates.value == 0
    scatter = [
        copying_statistics(5 + torch.randn(100, generator=draw), 5 + torch.randn(80, generator=draw))
        for _ in range(200)
    ]
    values = torch.tensor([found.auc.value for found in scatter])
    assert np.mean([found.auc.std_error for found in scatter]) == pytest.approx(float(values.std()), rel=0.15)


def test_psnr_of_known_errors() -> None:
    a = random_images(4)
    b = np.where(a > 100, a - 10, a + 10).astype(np.uint8)
    assert psnr(mean_squared_errors(a, b)).tolist() == pytest.approx([20 * math.log10(255 / 10)] * 4)
    assert psnr(mean_squared_errors(a, a)).tolist() == pytest.approx([10 * math.log10(12 * 255**2)] * 4)
    assert np.abs(mean_image(a).astype(int) - a.mean(0)).max() <= 0.5


def test_independent_pixel_models_are_distributions() -> None:
    """Over all images of one pixel, probabilities add up to one and are highest for frequent levels."""
    train = np.array([[[[0]]], [[[255]]], [[[255]]], [[[51]]]], np.uint8)
    both = independent_bernoulli(train, torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    assert float((-both).exp().sum()) == pytest.approx(1)
    assert float((-both[1]).exp()) == pytest.approx((2.2 + 1) / 6)
    levels = independent_levels(train, np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1))
    assert float((-levels).exp().sum()) == pytest.approx(1)
    assert int(levels.argmin()) == 255


def test_independent_bernoulli_keeps_the_order_of_pixels_and_channels() -> None:
    train = random_images(30, 5, 3)
    x = random_images(2, 5, 3, seed=9) > 127
    white = (train.astype(float).sum(0) / 255 + 1) / 32
    by_hand = [-np.log(np.where(image, white, 1 - white)).sum() for image in x]
    ours = independent_bernoulli(train, torch.from_numpy(x).permute(0, 3, 1, 2).float())
    assert ours.tolist() == pytest.approx(by_hand)


# -- the object --------------------------------------------------------------------------------------------------------


def score(**changes: object) -> Score:
    fields = dict(
        name="fid", value=1.5, unit="", better="lower", definition="a formula", n=100, seed=0, real=0.2,
        reference=Reference("letters", "test", "0123456789abcdef", 2000, 32, 1),
    )  # fmt: skip
    return Score(**{**fields, **changes})


def test_a_score_survives_json_and_an_edited_one_is_refused() -> None:
    record = score().to_json()
    assert Score.from_json(record) == score()
    with pytest.raises(UserError, match="edited by hand"):
        Score.from_json({**record, "definition": "another"})
    with pytest.raises(UserError, match="evaluate the run again"):
        Score.from_json({"name": "fid"})
    assert score(value=math.nan).to_json()["value"] is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (dict(definition="another net"), "different definitions"),
        (dict(reference=Reference("letters", "train", "0123456789abcdef", 2000, 32, 1)), "different references"),
        (dict(reference=Reference("letters", "test", "0123456789abcdef", 2000, 64, 1)), "different references"),
        (dict(n=50), "same -n"),
    ],
)
def test_different_scores_cannot_be_compared(changes: dict[str, object], why: str) -> None:
    assert not why_incomparable(score(), score(value=3.0, seed=4))
    assert why in why_incomparable(score(), score(**changes))
