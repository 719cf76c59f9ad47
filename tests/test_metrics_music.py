"""Metrics of music against closed forms, and the evaluator of music."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

import reverie
from reverie.data.music.dataset import MusicDataset
from reverie.data.music.midi import ON
from reverie.evaluation import evaluate_music as module
from reverie.evaluation.evaluate_music import MusicEvaluator
from reverie.evaluation.result import Evaluation
from reverie.evaluation.samples_source import open_source
from reverie.media import Music
from reverie.metrics import music
from reverie.utils.errors import UserError


def scale(start: int, degrees: tuple[int, ...] = music.MAJOR) -> np.ndarray:
    """A bar of eighths: a scale and its octave."""
    row = np.zeros(16, np.int64)
    row[::2] = [ON + start + step for step in (*degrees, 12)]
    return row


C, D = scale(60), scale(62)
MINOR = scale(57, (0, 2, 3, 5, 7, 8, 10))
CHROMATIC = np.array([ON + 60 + k for k in range(12)] + [0] * 4)


def test_accuracy_of_steps_and_onsets() -> None:
    x = np.array([[62, 0, 64, 1], [0, 0, 0, 0]])
    reconstruction = np.array([[62, 0, 65, 1], [0, 0, 0, 5]])
    assert music.step_accuracy(x, reconstruction).tolist() == [0.75, 0.75]
    assert music.onset_accuracy(x, reconstruction, "melody").tolist() == [0.5, 1.0]
    assert music.onset_accuracy(np.array([[3, 0, 1]]), np.array([[3, 0, 2]]), "drums").tolist() == [0.5]


def test_note_density_and_lengths() -> None:
    assert music.note_density(np.stack([C, np.zeros(16, int)]), "melody").tolist() == [8, 0]
    assert music.note_density(np.tile(C, (1, 2)), "melody").tolist() == [8]
    assert music.note_density(np.array([[0b101, 0, 1, 0] + [0] * 12]), "drums").tolist() == [3]
    assert music.note_lengths(np.stack([C])).tolist() == [2] * 8
    assert music.note_lengths(np.array([[62, 0, 0, 1, 0, 64, 0, 65]])).tolist() == [3, 2, 1]


def test_tonic_and_scale_consistency() -> None:
    assert music.tonic(music.pitch_class_durations(np.stack([C, D, MINOR]))).tolist() == [0, 2, 9]
    for k in range(12):  # a scale whose first note is held is in the key of that note
        row = np.concatenate([scale(48 + k), [ON + 48 + k], [0] * 15])
        assert music.tonic(music.pitch_class_durations(row[None]))[0] == k
    assert music.scale_consistency(np.stack([C, D, MINOR])).tolist() == [1, 1, 1]
    assert music.scale_consistency(CHROMATIC[None])[0] == pytest.approx(7 / 12)
    assert music.scale_consistency(np.zeros((1, 16), int))[0] == 1


def test_the_pitch_class_histogram_does_not_depend_on_the_key() -> None:
    assert np.allclose(music.class_histogram(C[None], "melody"), music.class_histogram(D[None], "melody"))
    assert (
        music.total_variation(
            music.class_histogram(C[None], "melody"), music.class_histogram(CHROMATIC[None], "melody")
        )
        > 0.3
    )
    assert music.class_histogram(np.array([[1, 0, 2, 3]]), "drums").tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0, 0]


def test_bar_self_similarity() -> None:
    alike, unlike = np.concatenate([C, C, C]), np.concatenate([C, CHROMATIC, C])
    found = music.bar_self_similarity(np.stack([alike, unlike]))
    assert found[0] == 1
    assert found[1] == pytest.approx((np.mean(C == CHROMATIC) + 1) / 2)
    assert music.bar_self_similarity(C[None]).tolist() == [0]


def test_the_nearest_window_is_found_in_any_key() -> None:
    among = np.stack([CHROMATIC, C, MINOR])
    far, at = music.nearest_windows(np.stack([D, scale(71)])[:, None], among[:, None], ["melody"])
    assert far.tolist() == [0, 0]
    assert at.tolist() == [1, 1]
    changed = D.copy()
    changed[14] = 0
    assert music.nearest_windows(changed[None, None], among[:, None], ["melody"])[0].tolist() == [1 / 16]
    # drums are not transposed
    assert music.nearest_windows(np.array([[[2, 0]]]), np.array([[[1, 0]], [[2, 2]]]), ["drums"])[0].tolist() == [0.5]


def test_nearest_windows_equal_brute_force() -> None:
    stream = np.random.default_rng(0)
    x, y = stream.integers(0, 8, (150, 16)), stream.integers(0, 8, (40, 16))
    far, at = music.nearest_windows(x[:, None], y[:, None], ["drums"])
    brute = (x[:, None] != y[None]).mean(2)
    assert np.allclose(far, brute.min(1))
    assert np.array_equal(at, brute.argmin(1))


def test_distances_equal_those_of_scipy() -> None:
    stream = np.random.default_rng(0)
    for n, m in ((1, 1), (5, 9), (200, 70)):
        x, y = stream.integers(0, 12, n), stream.integers(2, 16, m).astype(float)
        assert music.wasserstein_1(x, y) == pytest.approx(scipy.stats.wasserstein_distance(x, y))
    assert music.wasserstein_1(np.array([1, 2]), np.array([1, 2])) == 0
    assert music.total_variation(np.array([1.0, 0]), np.array([0, 1.0])) == 1


def test_reconstruction_scores_and_their_floors() -> None:
    data = MusicDataset.open("tunes:30").prepare(bars=2)
    x = data.array[:100].astype(np.int64)
    right = {s.name: s for s in music.reconstruction_scores(x, x, data, 0)}
    assert [right[name].value for name in ("accuracy", "onset accuracy")] == [1, 1]
    rests = {s.name: s for s in music.reconstruction_scores(x, np.zeros_like(x), data, 0, True)}
    assert rests["teacher-forced accuracy"].value == pytest.approx(rests["teacher-forced accuracy"].baseline)
    assert rests["teacher-forced onset accuracy"].value == 0  # silence is correct at most steps, but at no onset
    assert rests["teacher-forced accuracy"].value > 0.5
    assert right["accuracy"].reference is not None
    assert right["accuracy"].reference.fingerprint == data.fingerprint


def test_each_instrument_of_a_trio_has_its_scores() -> None:
    data = MusicDataset.open("trios:30").prepare("trio", bars=2)
    x = data.array[:100].astype(np.int64)
    reconstruction = x.copy()
    reconstruction[:, 1] = 0  # the bass is silent, the others are correct
    found = {s.name: s.value for s in music.reconstruction_scores(x, reconstruction, data, 0)}
    assert {name for name, value in found.items() if value == 1} == {
        "melody accuracy", "melody onset accuracy", "drums accuracy", "drums onset accuracy",
    }  # fmt: skip
    assert found["bass onset accuracy"] == 0 < found["bass accuracy"] < 1
    made, real = data.array[:200], data.array[200:400]
    shifted = made.copy()
    shifted[:, 1] = np.where(made[:, 1] >= ON, made[:, 1] + 1, made[:, 1])  # the bass a semitone beside the melody
    good, bad = (
        {s.name: s for s in music.statistics_scores(m, real, real, "others", data, 0)} for m in (made, shifted)
    )
    assert {
        "melody pitch-class histogram distance",
        "bass scale consistency",
        "drums drum-class histogram distance",
        "drums bar self-similarity",
        "joint scale consistency",
    } <= set(good)
    assert bad["bass scale consistency"].value == pytest.approx(good["bass scale consistency"].value)
    assert bad["joint scale consistency"].value < 0.85 < 0.95 < good["joint scale consistency"].value
    far, at = music.nearest_windows(shifted[:5], data.array, data.parts)
    assert far.max() == 0  # each instrument in its own key
    assert at.tolist() == list(range(5))


def test_code_scores() -> None:
    means = np.zeros((50, 4))
    means[:, 1] = np.linspace(-1, 1, 50)
    kl, active = music.code_scores(np.full(50, 8.0), means, MusicDataset.open("tunes:30").prepare(), 0)
    assert (kl.value, kl.unit, kl.real, active.value, active.unit) == (8, "bits", None, 1, "of 4")


def test_real_windows_score_as_their_floor_and_noise_does_not() -> None:
    data = MusicDataset.open("tunes:200").prepare(bars=2)
    stream = np.random.default_rng(0)
    rows = stream.permutation(len(data))
    a, b, c = (data.array[rows[k : k + 400]] for k in (0, 400, 800))
    noise = np.where(stream.random((400, 1, 32)) < 0.6, stream.integers(40, 90, (400, 1, 32)), 0)
    like = {s.name: s for s in music.statistics_scores(c, a, b, "others", data, 0)}
    bad = {s.name: s for s in music.statistics_scores(noise, a, b, "others", data, 0)}
    assert set(like) == {
        "pitch-class histogram distance",
        "note density distance",
        "note length distance",
        "scale consistency",
        "bar self-similarity",
    }
    for name in ("pitch-class histogram distance", "note density distance", "note length distance"):
        assert like[name].real is not None
        assert like[name].value < 3 * like[name].real + 0.02
        assert bad[name].value > 3 * like[name].value
    assert like["scale consistency"].value == pytest.approx(like["scale consistency"].real, abs=0.02)
    assert bad["scale consistency"].value < 0.85 < like["scale consistency"].value
    assert bad["bar self-similarity"].value < like["bar self-similarity"].value


def test_copies_of_training_windows_are_found() -> None:
    data = MusicDataset.open("tunes:60").prepare(bars=2)
    copies = np.where(data.array[:50] >= ON, data.array[:50] + 1, data.array[:50])  # in another key
    far = music.nearest_windows(copies, data.array, data.parts)[0]
    unseen = music.nearest_windows(
        MusicDataset.open("tunes:60", "test").prepare(bars=2).array[:50], data.array, data.parts
    )[0]
    near, share = music.copying_scores(far, unseen, data, 0, "windows of the test split")
    assert (near.value, share.value) == (0, 1)
    assert near.real is not None
    assert near.real > 0.05
    assert share.real is not None
    assert share.real < 0.5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("music") / "run"
    reverie.train("music_vae:smoke", data="tunes:40", out=out)
    return out


def test_a_run_is_scored(run: Path) -> None:
    found = reverie.evaluate(run, "tunes:40", n=32)
    names = {score.name for score in found}
    assert {
        "accuracy", "onset accuracy", "teacher-forced accuracy", "teacher-forced onset accuracy", "kl", "active units",
        "pitch-class histogram distance", "note density distance", "note length distance", "scale consistency",
        "bar self-similarity", "nn distance", "exact-match rate",
    } <= names  # fmt: skip
    assert all(math.isfinite(score.value) for score in found)
    assert all(score.yardstick is not None for score in found if score.name not in ("kl", "active units"))
    assert {"generated", "reconstruction", "neighbours", "interpolation"} <= set(found.figures)
    again = reverie.evaluate(run, "tunes:40", n=32)
    assert [s.value for s in found] == [s.value for s in again]
    assert (run / "scores.json").is_file()
    with pytest.raises(UserError, match="3 windows are too few"):
        reverie.evaluate(run, "tunes:40", n=3)


@pytest.mark.parametrize("split", ["test", "train"])
def test_reconstructions_are_of_the_same_windows_with_and_without_teacher_forcing(
    run: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    """So that accuracies can be compared: both have the same floor, which is of the windows alone."""
    monkeypatch.setattr(module, "MAX_RECONSTRUCTED", 40)
    found = reverie.evaluate(run, "tunes:40", n=16, split=split)
    for name in ("accuracy", "onset accuracy"):
        forced, free = found[f"teacher-forced {name}"], found[name]
        assert (forced.baseline, forced.n, forced.reference) == (free.baseline, 40, free.reference)
    assert (found["kl"].n, found["active units"].n) == (40, 40)


def test_a_run_of_trios_is_scored(tmp_path: Path) -> None:
    reverie.train("music_vae:smoke", data="trios:24", part="trio", out=tmp_path / "run", steps=2, sample_every=2)
    found = reverie.evaluate(tmp_path / "run", "trios:24", n=16)
    names = {score.name for score in found}
    for who in ("melody", "bass", "drums"):
        assert {f"{how}{who} {what}accuracy" for how in ("", "teacher-forced ") for what in ("", "onset ")} <= names
        assert {f"{who} note density distance", f"{who} bar self-similarity"} <= names
    assert {"kl", "joint scale consistency", "nn distance", "exact-match rate"} <= names
    assert all(math.isfinite(score.value) for score in found)
    assert {"generated", "reconstruction", "neighbours", "interpolation"} <= set(found.figures)


def test_without_a_test_split_half_of_the_pieces_is_the_reference(run: Path) -> None:
    source = open_source(run)
    evaluator = MusicEvaluator.open(source, "tunes:40", "train")
    assert evaluator.data is evaluator.train
    assert not set(evaluator.train.piece_index[evaluator.reference]) & set(
        evaluator.train.piece_index[evaluator.stand_in]
    )
    found = Evaluation(source.description)
    found.notes += evaluator._notes(source)
    assert any("half of the training pieces" in note for note in found.notes)
    assert evaluator.default_n(source, True) == len(evaluator.reference)
    assert set(evaluator.comparison_images(source, 0)) == {"samples", "reconstruction", "interpolation"}


def test_copies_of_training_pieces_are_found_without_a_test_split(run: Path) -> None:
    source = open_source(run)
    evaluator = MusicEvaluator.open(source, "tunes:40", "train")
    copies = [Music.of(evaluator.train.parts, lines) for lines in evaluator.train.array[evaluator.reference[:20]]]
    found = Evaluation(source.description)
    evaluator._score_generated(found, SimpleNamespace(verb=lambda name: lambda n, seed: copies[:n]), 20, 0)
    assert (found["nn distance"].value, found["exact-match rate"].value) == (0, 1)
    for score in (found["nn distance"], found["exact-match rate"]):
        assert score.reference is not None
        assert score.reference.n == len(evaluator.train)
        assert f"among the {len(evaluator.known)} of the other half" in score.real_source
    assert found["exact-match rate"].real is not None
    assert found["exact-match rate"].real < 0.5  # the reference is not compared with itself
