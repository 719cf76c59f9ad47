"""Saliency scores against closed forms, brute force, and densities whose scores are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from reverie.metrics.saliency import (
    EPS,
    Fixated,
    auc,
    auc_judd,
    correlation,
    empirical_density,
    information_gain,
    kl_divergence,
    nss,
    shuffled_auc,
    similarity,
)
from reverie.metrics.saliency_scores import METRICS, SIGMA, Observed, saliency_scores
from reverie.metrics.score import Reference

RNG = np.random.default_rng(0)
S = RNG.random((12, 9))
P = S / S.sum()
LOOKED = Fixated(RNG.integers(0, 12, 15), RNG.integers(0, 9, 15))


def test_auc_is_the_share_of_pairs_in_order() -> None:
    positives, negatives = np.array([3.0, 1.0, 2.0]), np.array([0.0, 2.0, 2.0, 5.0])
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(positives, negatives)]
    assert auc(positives, negatives) == pytest.approx(np.mean(pairs), abs=1e-15)
    assert auc(np.ones(3), np.zeros(3)) == 1
    assert auc(np.ones(3), np.ones(7)) == 0.5


def test_auc_judd_is_the_area_under_the_curve_by_thresholds() -> None:
    values = LOOKED.at(S)
    thresholds = np.concatenate([[np.inf], np.unique(S)[::-1]])
    hits = [(values >= t).mean() for t in thresholds]
    false_alarms = [(t <= S).mean() for t in thresholds]
    assert auc_judd(S, LOOKED) == pytest.approx(np.trapezoid(hits, false_alarms), abs=1e-12)


def test_aucs_depend_on_order_alone() -> None:
    other = Fixated(RNG.integers(0, 12, 40), RNG.integers(0, 9, 40))
    assert auc_judd(np.exp(5 * S), LOOKED) == auc_judd(S, LOOKED)
    assert shuffled_auc(S**3, LOOKED, other) == shuffled_auc(S, LOOKED, other)
    assert shuffled_auc(S, LOOKED, LOOKED) == 0.5


def test_nss_uses_the_population_deviation() -> None:
    expected = np.mean(
        [(S[r, c] - S.mean()) / math.sqrt(np.mean((S - S.mean()) ** 2)) for r, c in zip(*LOOKED, strict=True)]
    )
    assert nss(S, LOOKED) == pytest.approx(expected)
    assert nss(7 * S + 3, LOOKED) == pytest.approx(nss(S, LOOKED))
    assert nss(np.ones((12, 9)), LOOKED) == 0


def test_correlation_is_numpys() -> None:
    other = RNG.random((12, 9))
    assert correlation(S, other) == pytest.approx(np.corrcoef(S.ravel(), other.ravel())[0, 1])
    assert correlation(S, 1 - S) == pytest.approx(-1)
    assert correlation(S, np.ones((12, 9))) == 0


def test_similarity_and_kl() -> None:
    apart = np.zeros((2, 4)), np.zeros((2, 4))
    apart[0][0], apart[1][1] = 0.25, 0.25
    assert similarity(P, P) == pytest.approx(1)
    assert similarity(*apart) == 0
    assert kl_divergence(P, P) == pytest.approx(0, abs=1e-9)
    assert kl_divergence(*apart) == pytest.approx(math.log(0.25 / EPS), rel=1e-9)
    uniform = np.full((12, 9), 1 / 108)
    assert kl_divergence(uniform, P) == pytest.approx(math.log(108) + (P * np.log(P)).sum(), abs=1e-9)


def test_information_gain_is_in_bits_for_each_fixation() -> None:
    uniform = np.full((12, 9), 1 / 108)
    twice = uniform.copy()
    twice[LOOKED.rows, LOOKED.columns] *= 2
    assert information_gain(twice, uniform, LOOKED) == 1
    assert information_gain(P, P, LOOKED) == 0


def test_the_empirical_density_is_a_gaussian_cut_off_at_the_frame() -> None:
    one = empirical_density(41, 61, Fixated(np.array([20]), np.array([30])), 3.0)
    assert one.sum() == pytest.approx(1)
    assert one[20, 33] / one[20, 30] == pytest.approx(math.exp(-0.5))
    corner = empirical_density(41, 61, Fixated(np.array([0]), np.array([0])), 3.0)
    assert corner.argmax() == 0
    assert corner.sum() == pytest.approx(1)


def images(count: int = 5) -> list[Observed]:
    made = []
    for i in range(count):
        rng = np.random.default_rng(i)
        centre = rng.uniform(5, 25, 2)
        points = np.column_stack([rng.normal(centre, 2.0, (24, 2)).clip(0, 29.9), np.arange(24) % 4])
        density = empirical_density(30, 30, Fixated(points[:, 1].astype(int), points[:, 0].astype(int)), SIGMA * 30)
        bias = empirical_density(30, 30, Fixated(np.array([15]), np.array([15])), 8.0)
        made.append(Observed(points, 0.999 * density + 0.001 / 900, bias))
    return made


def test_a_perfect_prediction_has_the_best_scores() -> None:
    scores = {s.name: s for s in saliency_scores(images(), Reference("p", "test", "0" * 16, 5, 0, 3), 0)}
    assert len(scores) == 2 * len(METRICS)
    assert scores["cc"].value == pytest.approx(1, abs=1e-4)
    assert scores["sim"].value == pytest.approx(1, abs=2e-3)
    assert scores["saliency kl"].value < 0.01
    for name, score in scores.items():
        assert score.baseline is not None
        if "half" in name:
            whole = scores[name.partition(",")[0]]
            assert whole.value <= score.value if score.better == "lower" else whole.value >= score.value
        elif name != "information gain":
            assert score.value < score.baseline if score.better == "lower" else score.value > score.baseline
    assert scores["information gain"].baseline == 0


def test_centre_bias_has_a_shuffled_auc_of_a_half() -> None:
    """All images looked at in the same places: what predicts these has .5."""
    same = [images(1)[0]] * 4
    scores = {s.name: s.value for s in saliency_scores(same, Reference("p", "test", "0" * 16, 4, 0, 3), 0)}
    assert scores["shuffled auc"] == pytest.approx(0.5, abs=1e-9)
    assert scores["auc-judd"] > 0.9


def test_one_viewer_has_no_halves() -> None:
    one = [p._replace(points=np.column_stack([p.points[:, :2], np.zeros(24)])) for p in images(3)]
    names = [s.name for s in saliency_scores(one, Reference("p", "test", "0" * 16, 3, 0, 3), 0)]
    assert names == [metric.name for metric in METRICS]
