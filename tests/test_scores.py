"""Scores as functions: equal to reference libraries and closed forms, on the same numbers."""

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
from reverie.metrics.pixels import mean_image, nearest_images, copying_statistics, psnr, ratio_of_means, sharpness, mean_squared_errors
from reverie.metrics.score import Reference, Score, check_comparable
from reverie.utils.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")


class Given(nn.Module):
    """Features that are given, in place of a network."""

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
    made = (torch.randn(m, width, generator=draw) @ mix * 1.1 + 0.45).relu()
    return real.double(), made.double()


SHAPES = [(300, 300, 24), (200, 260, 64), (90, 90, 150)]  # the last with fewer items than numbers


# -- distributions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "width"), SHAPES)
def test_fid_is_that_of_torchmetrics(n: int, m: int, width: int) -> None:
    real, made = features(n, m, width)
    theirs = FrechetInceptionDistance(feature=Given(width), input_img_size=(1, 1, 1))
    theirs.set_dtype(torch.float64)
    theirs.update(real, real=True)
    theirs.update(made, real=False)
    assert frechet_distance(real, made) == pytest.approx(float(theirs.compute()), rel=1e-6)


def test_fid_of_known_gaussians() -> None:
    """Diagonal covariances: the sum of (m1 - m2)^2 + (s1 - s2)^2."""
    base = torch.cat([torch.eye(6), -torch.eye(6)]).double() * math.sqrt(11 / 2)  # mean 0, unbiased covariance I
    scale, shift = torch.tensor([1.0, 2, 3, 0.5, 1, 4]).double(), torch.arange(6).double()
    assert frechet_distance(base, base * scale + shift) == pytest.approx(float(((scale - 1) ** 2 + shift**2).sum()))
    assert frechet_distance(base, base) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("width", [24, 150])
def test_kid_is_that_of_torchmetrics(width: int) -> None:
    real, made = features(200, 200, width)
    theirs = KernelInceptionDistance(feature=Given(width), subsets=1, subset_size=200)
    theirs.set_dtype(torch.float64)
    theirs.update(real, real=True)
    theirs.update(made, real=False)
    assert kernel_distance(real, made).value == pytest.approx(float(theirs.compute()[0]), rel=1e-6)


def test_kid_has_no_bias_and_its_error_is_honest() -> None:
    """Over many pairs of sets: of one distribution the mean is 0; unlike ones scatter as much as they say."""
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
def test_prdc_is_that_of_its_authors(n: int, m: int, width: int, k: int) -> None:
    real, made = features(n, m, width)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = compute_prdc(real.numpy(), made.numpy(), nearest_k=k)
    ours = prdc(real, made, k)._asdict()
    assert {name: mean.value for name, mean in ours.items()} == pytest.approx(theirs, abs=1e-6)
    assert all(mean.value > 0 for mean in ours.values())


def test_prdc_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = features(150, 110, 16)
    whole = prdc(real, made)
    monkeypatch.setattr("reverie.metrics.distribution.ROWS", 7)
    assert [m.value for m in prdc(real, made)] == pytest.approx([m.value for m in whole])


def test_copies_of_one_image_are_at_no_distance() -> None:
    """A ball of radius 0 holds nothing: what collapsed to one picture covers nothing, whatever rounding says."""
    real = features(50, 50, 20)[0]
    collapsed = (torch.rand(1, 20).double() * 1000).expand(50, 20)
    assert prdc(real, collapsed).recall.value == 0
    apart, which = nearest_neighbours(collapsed, collapsed, 1, torch.arange(50))
    assert float(apart.max()) == 0
    assert not bool((which[:, 0] == torch.arange(50)).any())


@pytest.mark.slow
def test_prdc_of_equal_gaussians() -> None:
    """N(0,I), 10,000 x 1,000: the figures that follow from the dimension."""
    draw = torch.Generator().manual_seed(0)
    found = prdc(torch.randn(10_000, 1000, generator=draw), torch.randn(10_000, 1000, generator=draw))
    assert [m.value for m in found] == pytest.approx([0.477, 0.471, 1.056, 0.974], abs=0.03)


def test_wrong_features_are_refused() -> None:
    real, made = features(50, 50, 8)
    with pytest.raises(UserError, match="as many columns"):
        frechet_distance(real, made[:, :4])
    with pytest.raises(UserError, match="not finite"):
        kernel_distance(real, made / 0)
    with pytest.raises(UserError, match="too few"):
        prdc(real, made[:6])


# -- pixels ------------------------------------------------------------------------------------------------------------


def pictures(n: int, size: int = 12, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), np.uint8)


def test_sharpness_by_hand() -> None:
    """A lone bright pixel far from the border: its Laplacian is -4a once and a four times."""
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 4, 4] = 200
    assert float(sharpness(image)[0]) == pytest.approx(20 * 200**2 / 81)
    ramp = np.broadcast_to(np.arange(0, 90, 10, np.uint8)[:, None], (9, 9))[None, :, :, None]
    edge = float(sharpness(ramp)[0])  # nothing inside; at both ends the mirrored row counts twice
    assert edge == pytest.approx(2 * 9 * 20**2 / 81)
    grey = np.repeat(pictures(3, channels=1), 3, 3)
    assert torch.allclose(sharpness(grey), sharpness(grey[..., :1]), rtol=1e-5)


def test_sharpness_falls_with_blur() -> None:
    real = pictures(40)
    blurred = ((real[:, :-1].astype(int) + real[:, 1:]) // 2).astype(np.uint8)[:, :, : real.shape[1] - 1]
    ratio = ratio_of_means(sharpness(blurred), sharpness(real))
    assert ratio.value < 0.8
    assert 0 < ratio.error < 0.1


@pytest.mark.parametrize("size", [12, 50])
def test_the_nearest_image_is_the_nearest(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverie.metrics.pixels.SLICE", 7)
    train = pictures(40, size, 1)
    made = np.concatenate([train[[31, 2]], pictures(3, size, 1, seed=1)])
    made[1, 0, 0] ^= 1
    apart, which = nearest_images(made, train, 3)
    assert which[0, 0] == 31
    assert which[1, 0] == 2
    assert float(apart[0, 0]) == 0
    assert 0 < float(apart[1, 0]) < 1e-3
    assert bool((apart[:, 1:] >= apart[:, :-1]).all())
    if size == 12:
        flat = torch.from_numpy(train.reshape(40, -1)).double() / 255
        exact = torch.cdist(torch.from_numpy(made.reshape(5, -1)).double() / 255, flat) / 12
        assert torch.allclose(apart, exact.sort(1).values[:, :3], atol=1e-7)
    own = torch.tensor([31, 2, 5])
    apart, which = nearest_images(train[own], train, 1, own)
    assert float(apart.min()) > 0.1
    assert not bool((which[:, 0] == own).any())


def test_nearness_tells_copies_from_new_images() -> None:
    draw = torch.Generator().manual_seed(0)
    unseen = 5 + torch.randn(1500, generator=draw)
    new, copied = 5 + torch.randn(1000, generator=draw), torch.zeros(1000)
    for made, ratio, farther, copies in ((new, 1, 0.5, 0.01), (copied, 0, 0, 1), (copied + 50, 9.93, 1, 0)):
        found = copying_statistics(made, unseen)
        assert found.ratio == pytest.approx(ratio, abs=0.03)
        assert found.farther.value == pytest.approx(farther, abs=0.03)
        assert found.copies.value == pytest.approx(copies, abs=0.02)
    assert copying_statistics(unseen, unseen).farther.value == 0.5  # ties count half
    twice = unseen.clone()
    twice[:50] = 0  # of the real images some are there twice, which makes no copy of a generated one less of a copy
    assert copying_statistics(copied, twice).copies.value == 1
    assert copying_statistics(new, twice).copies.value == 0
    scatter = [copying_statistics(5 + torch.randn(100, generator=draw), 5 + torch.randn(80, generator=draw)) for _ in range(200)]
    values = torch.tensor([found.farther.value for found in scatter])
    assert np.mean([found.farther.error for found in scatter]) == pytest.approx(float(values.std()), rel=0.15)


def test_psnr_of_known_errors() -> None:
    a = pictures(4)
    b = np.where(a > 100, a - 10, a + 10).astype(np.uint8)
    assert psnr(mean_squared_errors(a, b)).tolist() == pytest.approx([20 * math.log10(255 / 10)] * 4)
    assert psnr(mean_squared_errors(a, a)).tolist() == pytest.approx([10 * math.log10(12 * 255**2)] * 4)
    assert np.abs(mean_image(a).astype(int) - a.mean(0)).max() <= 0.5


def test_the_trivial_model_of_pixels_is_a_distribution() -> None:
    """Over all images of one pixel its probabilities add up to one, and it likes what it has seen."""
    train = np.array([[[[0]]], [[[255]]], [[[255]]], [[[51]]]], np.uint8)
    both = independent_bernoulli(train, torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    assert float((-both).exp().sum()) == pytest.approx(1)
    assert float((-both[1]).exp()) == pytest.approx((2.2 + 1) / 6)
    levels = independent_levels(train, np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1))
    assert float((-levels).exp().sum()) == pytest.approx(1)
    assert int(levels.argmin()) == 255


def test_pixels_and_channels_keep_their_places() -> None:
    train = pictures(30, 5, 3)
    x = pictures(2, 5, 3, seed=9) > 127
    white = (train.astype(float).sum(0) / 255 + 1) / 32
    by_hand = [-np.log(np.where(image, white, 1 - white)).sum() for image in x]
    ours = independent_bernoulli(train, torch.from_numpy(x).permute(0, 3, 1, 2).float())
    assert ours.tolist() == pytest.approx(by_hand)


# -- the object --------------------------------------------------------------------------------------------------------


def score(**changes: object) -> Score:
    fields = dict(
        name="fid", value=1.5, unit="", better="lower", definition="a formula", n=100, seed=0, floor=0.2,
        reference=Reference("letters", "test", "0123456789abcdef", 2000, 32, 1),
    )  # fmt: skip
    return Score(**{**fields, **changes})


def test_a_score_survives_json_and_shows_tampering() -> None:
    told = score().to_json()
    assert Score.from_json(told) == score()
    with pytest.raises(UserError, match="changed by hand"):
        Score.from_json({**told, "definition": "another"})
    with pytest.raises(UserError, match="evaluate the run again"):
        Score.from_json({"name": "fid"})
    assert score(value=math.nan).to_json()["value"] is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (dict(name="kid"), "different scores"),
        (dict(definition="another net"), "defined unlike"),
        (dict(reference=Reference("letters", "train", "0123456789abcdef", 2000, 32, 1)), "unlike references"),
        (dict(reference=Reference("letters", "test", "0123456789abcdef", 2000, 64, 1)), "unlike references"),
        (dict(n=50), "same -n"),
    ],
)
def test_unlike_scores_refuse_to_be_compared(changes: dict[str, object], why: str) -> None:
    check_comparable(score(), score(value=3.0, seed=4))
    with pytest.raises(UserError, match=why):
        check_comparable(score(), score(**changes))
