"""What music is like, in numbers: functions of windows of events, int [N,T], 16 steps to a bar (see data/midi.py).

Scores are of windows int [N,I,T] of I instruments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reverie.data.music.midi import DRUMS, HOLD, ON, STEPS, notes_of
from reverie.metrics.score import Better, Reference, Score

MAJOR = (0, 2, 4, 5, 7, 9, 11)
PROFILES = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)
"""how well each pitch class fits a major and a minor key (Krumhansl & Kessler 1982)"""
ROWS = 64
"""windows that are compared with all others at once"""


def onsets(events: np.ndarray, part: str) -> np.ndarray:
    """bool [N,T]: where a note begins, or something is struck."""
    return events > 0 if part == "drums" else events >= ON


def equal(x: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Share [N] of the steps of each window whose event is told right."""
    return (x == told).mean(1)


def equal_onsets(x: np.ndarray, told: np.ndarray, part: str) -> np.ndarray:
    """Share [N] of the onsets of each window whose event is told right; 1 for a window without any."""
    on = onsets(x, part)
    return ((x == told) & on).sum(1) / np.maximum(on.sum(1), 1) + (on.sum(1) == 0)


def density(events: np.ndarray, part: str) -> np.ndarray:
    """Onsets a bar [N]; of drums, strokes of all classes."""
    if part == "drums":
        return (events[:, :, None] >> np.arange(len(DRUMS)) & 1).sum((1, 2)) * STEPS / events.shape[1]
    return onsets(events, part).sum(1) * STEPS / events.shape[1]


def lengths(events: np.ndarray) -> np.ndarray:
    """The length in steps of every note of melodies or basses; what sounds at the end of a window ends there."""
    return np.array([end - begin for row in events for begin, end, _ in notes_of(row)] or [0])


def classes_of(events: np.ndarray) -> np.ndarray:
    """Steps [N,12] that each pitch class sounds in melodies."""
    out = np.zeros((len(events), 12))
    for row, found in zip(events, out, strict=True):
        for begin, end, pitch in notes_of(row):
            found[pitch % 12] += end - begin
    return out


def tonic(sounds: np.ndarray) -> np.ndarray:
    """The pitch class [N] of the key that fits best what sounds [N,12] (Krumhansl & Schmuckler; major or minor)."""
    profiles = np.stack([np.roll(profile, k) for profile in PROFILES for k in range(12)])  # [24,12]
    profiles = profiles - profiles.mean(1, keepdims=True)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)  # what sounds need not be scaled: one row, one maximum
    return (sounds @ profiles.T).argmax(1) % 12


def use(events: np.ndarray, part: str) -> np.ndarray:
    """Shares that sum to 1: of the nine classes of drums, or of the twelve pitch classes counted from the tonic."""
    if part == "drums":
        counts = (events[:, :, None] >> np.arange(len(DRUMS)) & 1).sum((0, 1)).astype(float)
    else:
        sounds = classes_of(events)
        place = (np.arange(12) + tonic(sounds)[:, None]) % 12
        counts = np.take_along_axis(sounds, place, 1).sum(0)
    return counts / max(1.0, float(counts.sum()))


def in_key(events: np.ndarray) -> np.ndarray:
    """Share [N] of the notes of each melody in the major scale that holds most (scale consistency of muspy)."""
    out = np.ones(len(events))
    for i, row in enumerate(events):
        count = np.bincount([pitch % 12 for _, _, pitch in notes_of(row)], minlength=12)
        if count.sum():
            out[i] = max(count[(np.array(MAJOR) + k) % 12].sum() for k in range(12)) / count.sum()
    return out


def repetition(events: np.ndarray) -> np.ndarray:
    """How much bars are like earlier ones [N]: share of steps equal to the most similar one, mean but for the first."""
    bars = events.reshape(len(events), -1, STEPS)
    alike = (bars[:, :, None] == bars[:, None]).mean(3)  # [N,U,U]
    best = [alike[:, u, :u].max(1) for u in range(1, bars.shape[1])]
    return np.stack(best, 1).mean(1) if best else np.zeros(len(events))


def relative(events: np.ndarray, parts: Sequence[str]) -> np.ndarray:
    """Windows [N,I,T] as [N,I*T], the same in every key: the notes of each part as intervals from its first one."""
    return np.concatenate([_relative(line, part) for line, part in zip(events.swapaxes(0, 1), parts, strict=True)], 1)


def _relative(events: np.ndarray, part: str) -> np.ndarray:
    if part == "drums":
        return events.astype(np.int16)
    on = onsets(events, part)
    first = np.take_along_axis(events, on.argmax(1)[:, None], 1)
    return np.where(on, events - first + 256, events).astype(np.int16)  # 256: no interval looks like another event


def nearest(events: np.ndarray, among: np.ndarray, parts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(distance [N], row of `among` [N]) of the most similar window: share of steps that differ, in the same key."""
    ours, theirs = relative(events, parts), relative(among, parts)
    far, at = np.empty(len(ours)), np.empty(len(ours), np.int64)
    for start in range(0, len(ours), ROWS):
        rows = ours[start : start + ROWS]
        apart = np.zeros((len(rows), len(theirs)), np.int32)
        for t in range(rows.shape[1]):
            apart += rows[:, t, None] != theirs[:, t]
        at[start : start + ROWS] = apart.argmin(1)
        far[start : start + ROWS] = apart.min(1) / rows.shape[1]
    return far, at


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Half the summed difference of two distributions: 0 alike, 1 nothing in common."""
    return float(np.abs(p - q).sum() / 2)


def wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    """The area between the cumulative distributions of two sets of numbers."""
    both = np.sort(np.concatenate([x, y]))
    below = [np.searchsorted(np.sort(z), both[:-1], side="right") / len(z) for z in (x, y)]
    return float((np.abs(below[0] - below[1]) * np.diff(both)).sum())


# -- as scores ---------------------------------------------------------------------------------------------------------


def reference_of(data: Any, n: int) -> Reference:
    """n windows of prepared music; their "size" is T."""
    return Reference(data.name, data.split, data.fingerprint, n, data.array.shape[2], 0)


def of_each(parts: Sequence[str], *windows: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """For each instrument: what the names of its scores begin with, itself, and its lines [N,T] of windows [N,I,T]."""
    for k, part in enumerate(parts):
        yield ("" if len(parts) == 1 else f"{part} "), part, *(x[:, k] for x in windows)


def reconstruction_scores(
    x: np.ndarray, told: np.ndarray, data: Any, seed: int, how: str, short: str = ""
) -> Iterator[Score]:
    """How much of windows [N,I,T] is told again right. how: what was read, in words; short: what names begin with."""
    n = len(x)
    reference = reference_of(data, n)

    def score(name: str, values: np.ndarray, what: str, floor: float, floor_source: str) -> Score:
        return Score(
            short + name, float(values.mean()), "", "higher", f"{what}, mean over windows; {how}", reference, n, seed,
            floor, floor_source, float(values.std() / n**0.5) if n > 1 else None, group="reconstruction",
        )  # fmt: skip

    for who, part, true, again in of_each(data.parts, x, told):
        rests, what = float((true == HOLD).mean()), "share of steps with the right event"
        yield score(f"{who}accuracy", equal(true, again), what, rests, "nothing new at every step")
        other = float(equal_onsets(true, np.roll(true, max(1, n // 2), 0), part).mean())
        what = "share of the steps where a note begins (or a drum is struck) with the right event"
        yield score(
            f"{who}onset accuracy", equal_onsets(true, again, part), what, other, "another window in place of each"
        )


def code_scores(bits: np.ndarray, means: np.ndarray, data: Any, seed: int) -> Iterator[Score]:
    """What codes hold: KL in bits [N], and how many of their numbers [N,Z] answer to the data."""
    n, latent = means.shape
    yield Score(
        "kl", float(bits.mean()), "bits", "match",
        "KL(q(z|x) || N(0, I)), mean over windows: what a code can tell of its tune", reference_of(data, n), n, seed,
        0.0, "a code that tells nothing", float(bits.std() / n**0.5) if n > 1 else None, group="codes",
    )  # fmt: skip
    yield Score(
        "active units", float((means.var(0, ddof=1) > 0.01).sum()) if n > 1 else 0.0, f"of {latent}", "higher",
        "latents whose mean in q(z|x) has a variance above 0.01 over windows (Burda 2015, section 5.2)",
        reference_of(data, n), n, seed, group="codes",
    )  # fmt: skip


def likeness_scores(
    made: np.ndarray, real: np.ndarray, stand_in: np.ndarray, floor_name: str, data: Any, seed: int
) -> Iterator[Score]:
    """How composed windows [N,I,T] differ from real ones, each beside what other real windows give."""
    reference, floor_source = reference_of(data, len(real)), f"{len(stand_in)} {floor_name}"
    for who, part, *lines in of_each(data.parts, made, real, stand_in):
        for name, value, floor, unit, better, told in _likeness(part, *lines):
            yield Score(who + name, value, unit, better, told, reference, len(made), seed, floor, floor_source)
    pitched = [k for k, part in enumerate(data.parts) if part != "drums"]
    if len(pitched) > 1:
        ours, theirs = (in_key(x[:, pitched].reshape(len(x), -1)) for x in (made, real))
        told = "share of the notes of melody and bass together in the major scale that holds most of them, mean"
        yield Score("in one key", float(ours.mean()), "", "match", told, reference, len(made), seed,
                    float(theirs.mean()), floor_source)  # fmt: skip


def _likeness(
    part: str, made: np.ndarray, real: np.ndarray, stand_in: np.ndarray
) -> Iterator[tuple[str, float, float, str, Better, str]]:
    """Of lines [N,T] of an instrument: name, value, floor, unit, what is better, and what it is."""
    ours, theirs, others = (use(x, part) for x in (made, real, stand_in))
    told = "time that each pitch class sounds, counted from the tonic (Krumhansl-Schmuckler, key of each window)"
    name, told = ("drum classes", "strokes of the nine classes") if part == "drums" else ("pitch classes", told)
    yield (name, total_variation(ours, theirs), total_variation(others, theirs), "", "lower",
           f"total variation distance between composed and real shares: {told}")  # fmt: skip
    a, b, c = (density(x, part) for x in (made, real, stand_in))
    yield ("note density", wasserstein(a, b), wasserstein(c, b), "onsets a bar", "lower",
           "Wasserstein-1 distance between onsets a bar of composed and of real windows")  # fmt: skip
    if part != "drums":
        a, b, c = (lengths(x) for x in (made, real, stand_in))
        yield ("note length", wasserstein(a, b), wasserstein(c, b), "sixteenths", "lower",
               "Wasserstein-1 distance between lengths of composed and of real notes")  # fmt: skip
        told = "share of a window's notes in the major scale that holds most of them (muspy's scale consistency), mean"
        yield "in key", float(in_key(made).mean()), float(in_key(real).mean()), "", "match", told
    if made.shape[1] > STEPS:
        told = "share of equal steps of a bar and the most similar earlier one, mean over bars but the first"
        a, b = repetition(made), repetition(real)
        yield "repetition", float(a.mean()), float(b.mean()), "", "match", told


def novelty_scores(far: np.ndarray, unseen: np.ndarray, train: Any, seed: int, floor_name: str) -> Iterator[Score]:
    """How far composed windows [N] lie from the nearest training window, beside windows that nobody learnt from [M]."""
    reference, floor_source = reference_of(train, len(train)), f"{len(unseen)} {floor_name}"
    told = "share of steps that differ from the most similar training window, both from their first note on in one key"
    yield Score("nearest training window", float(np.median(far)), "", "match", f"{told}; median", reference,
                len(far), seed, float(np.median(unseen)), floor_source, group="novelty")  # fmt: skip
    yield Score("copies", float((far == 0).mean()), "", "match", f"{told}: share of composed windows with none",
                reference, len(far), seed, float((unseen == 0).mean()), floor_source, group="novelty")  # fmt: skip
