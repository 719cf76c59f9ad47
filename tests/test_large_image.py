"""The benchmark of a large photo: how it is made, what is measured, and that a seam would be measured."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import large_image, ledger
from benchmarks.__main__ import main
from benchmarks.experiments import CLAIMS, EXPERIMENTS

import reverie
from reverie.core.method import Method
from reverie.media import Photo


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The benchmark as it is run, small, with all that it keeps."""
    folder = tmp_path_factory.mktemp("large_image")
    words = [
        "large_image",
        "smoke",
        "--width",
        "700",
        "--height",
        "600",
        "--crop",
        "600",
        "--steps",
        "20",
        "--threads",
        "1",
    ]
    assert main([*words, "--runs", str(folder / "runs"), "--out", str(folder / "result.json")]) == 0
    return folder


@pytest.fixture
def method(place: Path) -> Method:
    return reverie.load(place / "runs" / "run")


def test_the_scores(place: Path) -> None:
    scores = {score["name"]: score for score in json.loads((place / "result.json").read_text())["scores"]}
    assert scores.keys() == {"seconds", "megapixels per second", "memory added", "seam"}
    assert scores["seconds"]["value"] > 0
    assert scores["megapixels per second"]["value"] == pytest.approx(0.42 / scores["seconds"]["value"])
    assert 0 < scores["memory added"]["value"] < 2_000
    assert scores["seam"]["value"] < 0.01
    clean, restored = (
        Photo.load(place / "runs" / name).pixels for name in ("photos/clean.png", "restored/degraded.png")
    )
    assert restored.shape == clean.shape == (600, 700, 3)
    assert not np.array_equal(restored, Photo.load(place / "runs" / "degraded.png").pixels)


def test_the_photo_is_made_of_the_images_side_by_side() -> None:
    photo = large_image.mosaic("shapes:6", 300, 520)
    images = reverie.open_data("shapes:6").prepare(250, 3)
    assert photo.shape == (300, 520, 3)
    assert np.array_equal(photo[:250, 250:500], images.pixels(1))
    assert np.array_equal(photo[250:, :250], images.pixels(3)[:50])


def test_a_pixel_depends_on_nearly_its_whole_receptive_field(method: Method) -> None:
    radius = method.generator.receptive_radius
    assert radius - 3 <= large_image.receptive_radius(method) <= radius


def test_a_seam_would_be_measured(place: Path, method: Method) -> None:
    degraded = Photo.load(place / "runs" / "degraded.png")
    without = large_image.seam(method, degraded, 600, 512)
    method.generator.receptive_radius = 0  # tiles that do not overlap
    assert large_image.seam(method, degraded, 600, 512) > 100 * max(without, 1e-4)


def test_it_is_an_experiment_of_the_ledger(tmp_path: Path) -> None:
    experiment = EXPERIMENTS["photo-12mp"]
    size = dict(width=600, height=560, crop=560, steps=2)
    small = dataclasses.replace(experiment, method="smoke", options={**experiment.options, **size})
    run = ledger.measure(small, 0, {"data": Path("data"), "features": ""}, tmp_path / "run")
    assert {score["name"] for score in run["scores"]} == {c.score for c in CLAIMS if c.experiment == "photo-12mp"}
    assert "600x560 pixels" in run["scores"][0]["definition"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["large_image", "nothing"], "no run folder, and no preset"),
        (["large_image", "smoke", "--width", "500"], "crop must be larger than tile"),
        (["large_image", "smoke", "--tile", "2048"], "crop must be larger than tile"),
    ],
)
def test_wrong_input_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().count("\n") == 0
