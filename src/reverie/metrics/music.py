"""Scores of music: statistics of windows of events, int [N,T], by default 16 steps per bar (see data/music/midi.py).

Scores are of windows int [N,I,T] of I instruments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from reverie.data.music.grid import Grid
from reverie.data.music.midi import DRUMS, HOLD, ON, STEPS, notes_of
from reverie.data.music.windows import transposition_invariant
from reverie.metrics.score import Better, Reference, Score

MAJOR = (0, 2, 4, 5, 7, 9, 11)
"""semitones of the major scale"""
PROFILES = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)
"""how well each pitch class fits a major and a minor key (Krumhansl & Kessler 1982)"""
ROWS = 64
"""windows that are compared with all others at once"""


def onsets(events: np.ndarray, instrument: str) -> np.ndarray:
    """bool [N,T]: the steps at which a note begins, or a drum is hit."""
    return events > 0 if instrument == "drums" else events >= ON


def step_accuracy(x: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Share [N] of the steps of each window [N,T] whose event is correct."""
    return (x == reconstruction).mean(1)


def onset_accuracy(x: np.ndarray, reconstruction: np.ndarray, instrument: str) -> np.ndarray:
    """Share [N] of the onsets of each window [N,T] whose event is correct; 1 for a window without onsets."""
    on = onsets(x, instrument)
    return ((x == reconstruction) & on).sum(1) / np.maximum(on.sum(1), 1) + (on.sum(1) == 0)


def note_density(events: np.ndarray, instrument: str, bar: int = STEPS) -> np.ndarray:
    """Onsets per bar of `bar` steps [N]; of drums, hits of all classes."""
    if instrument == "drums":
        return _drum_hits(events).sum((1, 2)) * bar / events.shape[1]
    return onsets(events, instrument).sum(1) * bar / events.shape[1]


def note_lengths(events: np.ndarray) -> np.ndarray:
    """The length in steps of every note of melodies or basses; notes end at the latest with their window."""
    return np.array([end - begin for row in events for begin, end, _ in notes_of(row)] or [0])


def pitch_class_durations(events: np.ndarray) -> np.ndarray:
    """Steps [N,12] for which each pitch class sounds in melodies."""
    out = np.zeros((len(events), 12))
    for row, durations in zip(events, out, strict=True):
        for begin, end, pitch in notes_of(row):
            durations[pitch % 12] += end - begin
    return out


def tonic(durations: np.ndarray) -> np.ndarray:
    """The pitch class [N] of the best fitting major or minor key of durations [N,12] (Krumhansl & Schmuckler)."""
    profiles = np.stack([np.roll(profile, k) for profile in PROFILES for k in range(12)])  # [24,12]
    profiles = profiles - profiles.mean(1, keepdims=True)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)  # durations need no scaling: the maximum is per row
    return (durations @ profiles.T).argmax(1) % 12


def class_histogram(events: np.ndarray, instrument: str) -> np.ndarray:
    """Shares that sum to 1: of the nine drum classes, or of the twelve pitch classes relative to the tonic."""
    if instrument == "drums":
        counts = _drum_hits(events).sum((0, 1)).astype(float)
    else:
        durations = pitch_class_durations(events)
        place = (np.arange(12) + tonic(durations)[:, None]) % 12
        counts = np.take_along_axis(durations, place, 1).sum(0)
    return counts / max(1.0, float(counts.sum()))


def _drum_hits(events: np.ndarray) -> np.ndarray:
    """Events of drums [N,T], one bit per class -> 0 or 1 [N,T,K]."""
    return events[:, :, None] >> np.arange(len(DRUMS)) & 1


def scale_consistency(events: np.ndarray) -> np.ndarray:
    """Share [N] of the notes of each melody in the major scale that holds most of them (as in MusPy)."""
    out = np.ones(len(events))
    for i, row in enumerate(events):
        count = np.bincount([pitch % 12 for _, _, pitch in notes_of(row)], minlength=12)
        if count.sum():
            out[i] = max(count[(np.array(MAJOR) + k) % 12].sum() for k in range(12)) / count.sum()
    return out


def bar_self_similarity(events: np.ndarray, bar: int = STEPS) -> np.ndarray:
    """Share of steps of a bar equal to the most similar earlier bar, mean over bars but the first: [N]."""
    bars = events.reshape(len(events), -1, bar)
    equal = (bars[:, :, None] == bars[:, None]).mean(3)  # [N,U,U]
    best = [equal[:, u, :u].max(1) for u in range(1, bars.shape[1])]
    return np.stack(best, 1).mean(1) if best else np.zeros(len(events))


def nearest_windows(events: np.ndarray, among: np.ndarray, instruments: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(distance [N], row of `among` [N]) of the most similar window: share of steps that differ, in any key."""
    x, y = transposition_invariant(events, instruments), transposition_invariant(among, instruments)
    distance, index = np.empty(len(x)), np.empty(len(x), np.int64)
    for start in range(0, len(x), ROWS):
        rows = x[start : start + ROWS]
        differing = np.zeros((len(rows), len(y)), np.int32)
        for t in range(rows.shape[1]):
            differing += rows[:, t, None] != y[:, t]
        index[start : start + ROWS] = differing.argmin(1)
        distance[start : start + ROWS] = differing.min(1) / rows.shape[1]
    return distance, index


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Half the summed absolute difference of two distributions: 0 if equal, 1 if they have nothing in common."""
    return float(np.abs(p - q).sum() / 2)


def wasserstein_1(x: np.ndarray, y: np.ndarray) -> float:
    """The area between the cumulative distributions of two samples."""
    both = np.sort(np.concatenate([x, y]))
    below = [np.searchsorted(np.sort(z), both[:-1], side="right") / len(z) for z in (x, y)]
    return float((np.abs(below[0] - below[1]) * np.diff(both)).sum())


# -- as scores ---------------------------------------------------------------------------------------------------------


def reference_of(data: Any, n: int) -> Reference:
    """n windows of prepared music; its size is T."""
    return Reference(data.name, data.split, data.fingerprint, n, data.array.shape[2], 0)


def per_instrument(instruments: Sequence[str], *windows: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """For each instrument: the prefix of its scores' names, its name, and its lines [N,T] of windows [N,I,T]."""
    for k, instrument in enumerate(instruments):
        prefix = "" if len(instruments) == 1 else f"{instrument} "
        yield prefix, instrument, *(x[:, k] for x in windows)


def reconstruction_scores(
    x: np.ndarray, reconstruction: np.ndarray, data: Any, seed: int, teacher_forced: bool = False
) -> Iterator[Score]:
    """Accuracy of reconstructed windows [N,I,T] over all steps and over onsets, for each instrument.

    teacher_forced: each event was predicted from the true ones before it, not from those generated before it.
    """
    n, reference = len(x), reference_of(data, len(x))
    context = "the true ones" if teacher_forced else "those generated"
    prefix = "teacher-forced " if teacher_forced else ""

    def score(name: str, values: np.ndarray, definition: str, baseline: float, baseline_name: str) -> Score:
        return Score(
            prefix + name, float(values.mean()), "", "higher",
            f"{definition}, mean over windows; the most likely event at each step, given {context} before it",
            reference, n, seed, std_error=float(values.std() / n**0.5) if n > 1 else None, group="reconstruction",
            baseline=baseline, baseline_name=baseline_name,
        )  # fmt: skip

    for who, instrument, true, predicted in per_instrument(data.parts, x, reconstruction):
        holds = float((true == HOLD).mean())
        definition = "share of steps with the correct event"
        yield score(f"{who}accuracy", step_accuracy(true, predicted), definition, holds, "no new event at any step")
        other = np.roll(true, max(1, n // 2), 0)
        trivial = float(onset_accuracy(true, other, instrument).mean())
        definition = "share of the steps where a note begins (or a drum is hit) with the correct event"
        accuracy = onset_accuracy(true, predicted, instrument)
        yield score(f"{who}onset accuracy", accuracy, definition, trivial, "another window in place of each")


def code_scores(bits: np.ndarray, means: np.ndarray, data: Any, seed: int) -> Iterator[Score]:
    """The information in codes: KL in bits [N], and the number of latent dimensions in use, from means [N,Z]."""
    n, latent_dim = means.shape
    yield Score(
        "kl", float(bits.mean()), "bits", "neither", "KL(q(z|x) || N(0, I)), mean over windows", reference_of(data, n),
        n, seed, std_error=float(bits.std() / n**0.5) if n > 1 else None, group="codes",
    )  # fmt: skip
    active = float((means.var(0, ddof=1) > 0.01).sum()) if n > 1 else 0.0
    yield Score(
        "active units", active, f"of {latent_dim}", "neither",
        "latents whose mean in q(z|x) has a variance above 0.01 over windows (Burda 2015, section 5.2)",
        reference_of(data, n), n, seed, group="codes",
    )  # fmt: skip


def statistics_scores(
    generated: np.ndarray, real: np.ndarray, stand_in: np.ndarray, real_name: str, data: Any, seed: int
) -> Iterator[Score]:
    """How the statistics of generated windows [N,I,T] differ from those of real ones.

    stand_in: other real windows, whose statistics are given beside; real_name: what they are.
    """
    reference, real_source = reference_of(data, len(real)), f"{len(stand_in)} {real_name}"
    for prefix, instrument, *lines in per_instrument(data.parts, generated, real, stand_in):
        for s in _statistics(instrument, data.grid, *lines):
            yield Score(
                prefix + s.name, s.value, s.unit, s.better, s.definition, reference, len(generated), seed, s.real,
                real_source,
            )  # fmt: skip
    pitched = [k for k, instrument in enumerate(data.parts) if instrument != "drums"]
    if len(pitched) > 1:
        ours, theirs = (scale_consistency(x[:, pitched].reshape(len(x), -1)) for x in (generated, real))
        yield Score(
            "joint scale consistency", float(ours.mean()), "", "match",
            "share of the notes of melody and bass together in the major scale that holds most of them, mean over "
            "windows", reference, len(generated), seed, float(theirs.mean()), real_source,
        )  # fmt: skip


class _Statistic(NamedTuple):
    name: str
    value: float
    real: float
    unit: str
    better: Better
    definition: str


def _statistics(
    instrument: str, grid: Grid, generated: np.ndarray, real: np.ndarray, stand_in: np.ndarray
) -> Iterator[_Statistic]:
    """Of lines [N,T] of one instrument."""
    yield _histogram_distance(instrument, generated, real, stand_in)
    fake, true, other = (note_density(x, instrument, grid.bar) for x in (generated, real, stand_in))
    yield _Statistic(
        "note density distance", wasserstein_1(fake, true), wasserstein_1(other, true), "onsets/bar", "lower",
        "Wasserstein-1 distance between the onsets per bar of generated and of real windows",
    )  # fmt: skip
    if instrument != "drums":
        fake, true, other = (note_lengths(x) for x in (generated, real, stand_in))
        yield _Statistic(
            "note length distance", wasserstein_1(fake, true), wasserstein_1(other, true), grid.step_name, "lower",
            "Wasserstein-1 distance between the note lengths of generated and of real windows",
        )  # fmt: skip
        fake, true = scale_consistency(generated), scale_consistency(real)
        yield _Statistic(
            "scale consistency", float(fake.mean()), float(true.mean()), "", "match",
            "share of a window's notes in the major scale that holds most of them (as in MusPy), mean over windows",
        )  # fmt: skip
    if generated.shape[1] > grid.bar:
        fake, true = (bar_self_similarity(x, grid.bar) for x in (generated, real))
        yield _Statistic(
            "bar self-similarity", float(fake.mean()), float(true.mean()), "", "match",
            "share of steps of a bar equal to the most similar earlier bar, mean over bars but the first",
        )  # fmt: skip


def _histogram_distance(instrument: str, generated: np.ndarray, real: np.ndarray, stand_in: np.ndarray) -> _Statistic:
    fake, true, other = (class_histogram(x, instrument) for x in (generated, real, stand_in))
    name = "pitch-class histogram distance"
    shares = "time that each pitch class sounds, relative to the tonic (Krumhansl-Schmuckler, key of each window)"
    if instrument == "drums":
        name, shares = "drum-class histogram distance", "hits of the nine drum classes"
    definition = f"total variation distance between the shares of generated and of real windows: {shares}"
    return _Statistic(name, total_variation(fake, true), total_variation(other, true), "", "lower", definition)


def copying_scores(distances: np.ndarray, unseen: np.ndarray, train: Any, seed: int, real_name: str) -> Iterator[Score]:
    """From the distances to the nearest training window of generated windows [N], and of unseen real ones [M].

    Unseen windows that stand in the training data are a leak. They are no goal: the median of the others is what the nn
    distance is compared with, and fewer exact matches are always better.

    real_name: what the unseen windows are.
    """
    reference, leaked = reference_of(train, len(train)), int((unseen == 0).sum())
    clean = unseen[unseen > 0]
    distance = "share of steps that differ from the most similar training window, both relative to their first note"
    yield Score(
        "nn distance", float(np.median(distances)), "", "match", f"{distance}; median over windows", reference,
        len(distances), seed, float(np.median(clean)) if len(clean) else None,
        f"{len(clean)} {real_name} that are none of the training windows", group="memorisation",
    )  # fmt: skip
    real_source = f"{len(unseen)} {real_name}"
    if leaked:
        real_source += f", of which {leaked} stand in the training data too: a leak, no goal"
    yield Score(
        "exact-match rate", float((distances == 0).mean()), "", "lower",
        "share of windows equal to a training window, both relative to their first note", reference, len(distances),
        seed, leaked / max(1, len(unseen)), real_source, group="memorisation",
    )  # fmt: skip
