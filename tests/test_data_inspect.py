"""`reverie data inspect` for images: what it reports on data sets made to have each problem."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import reverie
import reverie.media
from reverie.data.images.inspect import describe, inspect, nearest_rows
from reverie.data.kinds import kind_of
from reverie.utils.errors import UserError


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))


def smooth_image(seed, width=32, height=32):
    """Smooth noise, like a photograph."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encode(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.fixture
def faulty(tmp_path):
    """A data set with one of each problem."""
    files = {f"train/a/{i:02}.png": encode(smooth_image(i)) for i in range(20)}
    files["train/b/0.jpg"] = encode(smooth_image(30, 100, 40), "JPEG")
    files["train/b/1.png"] = encode(smooth_image(31).convert("L"))
    files["train/a/copy.png"] = files["train/a/03.png"]
    files["train/a/cut.png"] = encode(smooth_image(50, 64, 64))[:3000]
    files["train/a/notes.txt"] = b"notes"
    files["test/a/same.png"] = files["train/a/05.png"]
    files["test/a/near.jpg"] = encode(smooth_image(7), "JPEG", quality=80)
    files["test/a/other.png"] = encode(smooth_image(99))
    return folder(tmp_path / "faulty", files)


def test_findings(faulty):
    found = inspect(str(faulty))
    assert json.loads(json.dumps(found)) == found
    train, test = found["splits"]["train"], found["splits"]["test"]
    assert (train["found"], train["used"], test["used"]) == (25, 22, 3)
    assert {drop["name"]: drop["reason"] for drop in train["dropped"]} == {
        "train/a/copy.png": "duplicate: same as train/a/03.png",
        "train/a/cut.png": "truncated file",
        "train/a/notes.txt": "not an image file",
    }
    assert train["dropped_by_reason"]["duplicate"] == {"count": 1, "names": ["train/a/copy.png"]}
    assert train["sizes"] == {
        "smallest": "32x32",
        "largest": "100x40",
        "most_common": {"32x32": 21, "100x40": 1},
        "short_side": {"min": 32, "median": 32, "max": 40},
    }
    assert train["formats"] == {"PNG": 21, "JPEG": 1}
    assert train["modes"] == {"RGB": 21, "L": 1}
    assert train["bits"] == {"8": 22}
    assert train["classes"] == {"count": 2, "sizes": {"a": 20, "b": 2}, "balance": 10.0}
    assert found["exact_duplicates"] == [
        {"splits": ["train", "test"], "count": 1, "pairs": [["train/a/05.png", "test/a/same.png"]]}
    ]
    (near,) = found["near_duplicates"]
    assert near["count"] == 1
    assert near["pairs"][0][:2] == ["train/a/07.png", "test/a/near.jpg"]
    assert 0 < near["pairs"][0][2] < near["threshold"]


def test_warnings_and_text(faulty):
    found = inspect(str(faulty))
    text = "\n".join(found["warnings"])
    for words in (
        "only 22 images",
        "classes are imbalanced: 'a' has 20 images, 'b' 2",
        "no images in test for 1 classes, such as 'b'",
        "1 of 22 images are more than twice as long as wide",
        "1 images of test are also in train",
        "1 images of test look like one in train",
    ):
        assert words in text
    report = describe(found)
    for words in (
        "train: 22 images used of 25 files found",
        "1: truncated file (train/a/cut.png)",
        "a (20), b (2)",
        text[:30],
    ):
        assert words in report
    assert "train/a/05.png = test/a/same.png" in report
    assert "train/a/07.png ~ test/a/near.jpg" in report


def test_a_good_data_set_has_no_warnings():
    found = inspect("letters:1000")
    assert found["warnings"] == []
    assert "letters:1000: images, grey, 26 classes, about 32 pixels a side" in describe(found)


def test_warnings_of_small_images_and_of_classes_named_like_splits(tmp_path):
    files = {
        f"{name}/{i}.png": encode(smooth_image(i + 10 * k, 9, 9))
        for k, name in enumerate(("trainA", "testB"))
        for i in range(3)
    }
    text = "\n".join(inspect(str(folder(tmp_path / "d", files)))["warnings"])
    assert "6 of 6 images are under 16 pixels" in text
    assert "classes named testB, trainA" in text


def test_generated_images_among_the_data_are_warned_of(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for i in range(3):
        folder(tmp_path / "data", {f"{i}.png": encode(smooth_image(i))})
    reverie.media.Image(pixels, record={"synthetic": True}).save(tmp_path / "data" / "made.png")
    reverie.media.Image(pixels, record={"synthetic": False}).save(tmp_path / "data" / "given.png")
    warned = [w for w in inspect(str(tmp_path / "data"))["warnings"] if "a model generated" in w]
    assert len(warned) == 1
    assert warned[0].startswith("1 of 5 images say that a model generated them, such as made.png")


def test_two_clear_skies_are_not_near_duplicates(tmp_path):
    def sky(seed):
        grain = np.random.default_rng(seed).normal(0, 2, (32, 32))
        return encode(Image.fromarray((200 + grain).round().astype(np.uint8)))

    path = folder(tmp_path / "d", {"train/1.png": sky(1), "train/2.png": sky(2), "test/3.png": sky(3)})
    assert inspect(str(path))["near_duplicates"][0]["count"] == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_nearest_rows_do_not_depend_on_the_chunk_size(n, m, chunk, seed):
    rng = np.random.default_rng(seed)
    left, right = (rng.uniform(0, 255, (k, 16)).astype(np.float32) for k in (n, m))
    index, distance = nearest_rows(left, right, chunk)
    table = np.sqrt(((left[:, None] - right[None]) ** 2).mean(axis=2))
    np.testing.assert_allclose(distance, table.min(axis=0), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(table[index, np.arange(m)], table.min(axis=0), rtol=1e-3, atol=1e-3)


def test_what_cannot_be_opened_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no such path"):
        inspect(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("layout", "warning"),
    [
        (["train/input/{}.png", "train/target/{}.png", "test/input/{}.png"], "test cannot be used"),
        (["trainA/{}.png", "trainB/{}.png", "testA/{}.png"], "test cannot be used"),
    ],
)
def test_other_splits_are_reported_if_one_cannot_be_used(tmp_path, layout, warning):
    for k, place in enumerate(layout):
        folder(tmp_path / "d", {place.format(i): encode(smooth_image(10 * k + i)) for i in range(3)})
    kind = kind_of(tmp_path / "d")
    findings = kind.inspect(str(tmp_path / "d"))
    assert any(text.startswith(warning) for text in findings["warnings"]), findings["warnings"]
    assert not any("test" in split for split in findings["splits"])
    assert warning in kind.describe(findings)
