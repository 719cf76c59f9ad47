"""The benchmark of a large photograph: the picture, what is measured, and that a seam would be seen."""

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
    room = tmp_path_factory.mktemp("large")
    words = [
        "large",
        "smoke",
        "--base-channels",
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
    assert main([*words, "--runs", str(room / "runs"), "--out", str(room / "told.json")]) == 0
    return room


@pytest.fixture
def method(place: Path) -> Method:
    return reverie.load(place / "runs" / "run")


def test_what_is_told(place: Path) -> None:
    told = {score["name"]: score for score in json.loads((place / "told.json").read_text())["scores"]}
    assert told.keys() == {"seconds", "megapixels a second", "memory added", "seam"}
    assert told["seconds"]["value"] > 0
    assert told["megapixels a second"]["value"] == pytest.approx(0.42 / told["seconds"]["value"])
    assert 0 < told["memory added"]["value"] < 2_000
    assert told["seam"]["value"] < 0.01
    good, made = (Photo.load(place / "runs" / name).pixels for name in ("photos/good.png", "restored/spoilt.png"))
    assert made.shape == good.shape == (600, 700, 3)
    assert not np.array_equal(made, Photo.load(place / "runs" / "spoilt.png").pixels)


def test_the_picture_is_made_of_the_images_side_by_side() -> None:
    picture = large_image.mosaic("shapes:6", 300, 520)
    images = reverie.open_data("shapes:6").prepare(250, 3)
    assert picture.shape == (300, 520, 3)
    assert np.array_equal(picture[:250, 250:500], images.pixels(1))
    assert np.array_equal(picture[250:, :250], images.pixels(3)[:50])


def test_a_pixel_depends_on_nearly_all_that_it_can(method: Method) -> None:
    reach = method.generator.receptive_radius
    assert reach - 3 <= large_image.reach_of(method) <= reach


def test_a_seam_would_be_seen(place: Path, method: Method) -> None:
    spoilt = Photo.load(place / "runs" / "spoilt.png")
    none = large_image.seam(method, spoilt, 600, 512)
    method.generator.receptive_radius = 0  # tiles that share nothing
    assert large_image.seam(method, spoilt, 600, 512) > 100 * max(none, 1e-4)


def test_it_is_an_experiment_of_the_ledger(tmp_path: Path) -> None:
    experiment = EXPERIMENTS["photo-12mp"]
    size = dict(base_channels=600, height=560, crop=560, steps=2)
    small = dataclasses.replace(experiment, method="smoke", options={**experiment.options, **size})
    run = ledger.measure(small, 0, {"data": Path("data"), "features": ""}, tmp_path / "run")
    assert {score["name"] for score in run["scores"]} == {c.score for c in CLAIMS if c.experiment == "photo-12mp"}
    assert "600x560 pixels" in run["scores"][0]["definition"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["large", "nothing"], "no run folder, and no preset"),
        (["large", "smoke", "--base-channels", "500"], "crop must be larger than tile"),
        (["large", "smoke", "--tile", "2048"], "crop must be larger than tile"),
    ],
)
def test_wrong_input_is_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.strip().count("\n") == 0
