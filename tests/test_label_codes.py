"""Label maps: labels that hardly differ are kept apart inside, and outputs are files like those of the data."""

import json

import numpy as np
import pytest
from PIL import Image

import reverie
from reverie.data.images.label_codes import LabelCodes, separated
from reverie.data.images.pairs import Pairs
from reverie.media import Photo

IDS = 4
PALETTE = bytes((0, 0, 0, 2, 2, 2, 3, 4, 4, 9, 0, 0))
"""colours of ids 0 to 3 that hardly differ"""


@pytest.fixture(autouse=True)
def cache_dir(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path_factory.getbasetemp() / "label cache"))


def ids(i, side=16):
    """A label map of four rectangles."""
    rng = np.random.default_rng(i)
    y, x = rng.integers(4, side - 4, 2)
    order = rng.permutation(IDS)
    labels = np.empty((side, side), np.uint8)
    labels[:y, :x], labels[:y, x:], labels[y:, :x], labels[y:, x:] = order
    return labels


def as_palette(labels):
    image = Image.fromarray(labels, "L")
    image.putpalette(PALETTE)
    return image


KINDS = {
    "ids": Image.fromarray,
    "ids of 16 bits": lambda labels: Image.fromarray(labels.astype(np.uint16)),
    "palette": as_palette,
    "rgb codes": lambda labels: Image.fromarray(np.stack([labels * 0, labels * 2, labels], -1)),
}


def write(folder, kind, count=24):
    """Photographs a, and their label maps b: each label has a grey level in the photograph."""
    for domain in "ab":
        (folder / domain).mkdir(parents=True)
    for i in range(count):
        labels = ids(i)
        noise = np.random.default_rng(i).integers(0, 20, labels.shape)
        Image.fromarray((labels * 60 + noise).astype(np.uint8)).save(folder / "a" / f"{i}.png")
        KINDS[kind](labels).save(folder / "b" / f"{i}.png")
    return folder


OPTIONS = dict(steps=60, size=16, crop_jitter=1.0, hflip=False, adv_weight=0.0, dropout=0.0, base_channels=8, lr=5e-3)


@pytest.mark.parametrize(
    ("kind", "pixel_loss"), [*((kind, "l1") for kind in KINDS), ("ids", "cross_entropy"), ("palette", "cross_entropy")]
)
def test_labels_that_look_black_are_learnt_and_come_back_as_they_were(kind, pixel_loss, tmp_path):
    data = write(tmp_path / "d", kind)
    options = {**OPTIONS, "pixel_loss": pixel_loss}
    run = reverie.train("pix2pix:smoke", data=f"{data}", out=tmp_path / "run", degradation="", **options)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())["data"]["facts"]
    assert set(facts["labels"]) == {"b"}
    right = []
    for i in range(4):
        (output,) = run.translate([Photo.load(data / "a" / f"{i}.png")])
        path = output.save(tmp_path / f"{i}.png")
        with Image.open(path) as image, Image.open(data / "b" / f"{i}.png") as wanted:
            assert image.mode == wanted.mode
            got, true = np.asarray(image).astype(int), np.asarray(wanted).astype(int)
        assert set(map(tuple, got.reshape(256, -1))) <= set(map(tuple, true.reshape(256, -1)))
        right.append((got == true).reshape(256, -1).all(1).mean())
    assert np.mean(right) > 0.9
    if kind != "ids":
        return
    with pytest.raises(reverie.UserError, match="out_channels is 1"):
        reverie.train(
            "pix2pix:smoke", data=f"{write(tmp_path / 'rgb', 'rgb codes')}", out=tmp_path / "grey", degradation="",
            **{**options, "pixel_loss": "cross_entropy", "out_channels": 1},
        )  # fmt: skip
    evaluation = reverie.evaluate(tmp_path / "run", str(data), n=8, baselines=False)
    scores = {score.name: score.value for score in evaluation.scores}
    assert scores["pixel accuracy"] > 0.9
    assert scores["miou"] > 0.8


@pytest.mark.parametrize("form", ["array", "pillow"])
def test_labels_in_memory_are_learnt_as_those_in_files(form, tmp_path):
    data = write(tmp_path / "d", "ids")
    photos = [np.asarray(Image.open(data / "a" / f"{i}.png")) for i in range(8)]
    labels = [np.asarray(Image.open(data / "b" / f"{i}.png")) for i in range(8)]
    given = (np.stack(photos), np.stack(labels))
    if form == "pillow":
        given = [(Image.fromarray(a), Image.fromarray(b)) for a, b in zip(photos, labels, strict=True)]
    run = reverie.train("pix2pix:smoke", data=given, out=tmp_path / "run", degradation="", **OPTIONS)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())["data"]["facts"]
    assert set(facts["labels"]) == {"b"}
    assert sorted(colour[0] for colour in facts["labels"]["b"]["colours"]) == [0, 1, 2, 3]
    made = run.translate(photos[:4])
    right = [(np.asarray(y)[..., 0] == true).mean() for y, true in zip(made, labels, strict=False)]
    assert set(np.unique(np.concatenate([np.asarray(y).ravel() for y in made]))) <= {0, 1, 2, 3}
    assert np.mean(right) > 0.9
    opened = reverie.open_data(given).prepare(8)
    assert set(np.unique(opened.pixels(0, "b"))) <= {0, 1, 2, 3}  # picked, not blended


def test_labels_as_inputs_are_kept_apart_too(tmp_path):
    data = write(tmp_path / "d", "ids")
    run = reverie.train(
        "pix2pix:smoke", data=f"{data}", out=tmp_path / "run", degradation="", direction="BtoA", **OPTIONS
    )
    labels = Photo.load(data / "b" / "0.png")
    (output,) = run.translate([labels])
    photo = np.asarray(Image.open(data / "a" / "0.png")).astype(int)
    assert np.abs(output.pixels[..., 0].astype(int) - photo).mean() < 25


def test_batches_have_codes_and_pixels_the_colours_of_the_files(tmp_path):
    pairs = Pairs.open(str(write(tmp_path / "d", "ids"))).prepare(16)
    assert pairs.facts["out_channels"] == 1
    np.testing.assert_array_equal(pairs.pixels(0, "b")[..., 0], ids(0))
    np.testing.assert_allclose(pairs.batch([0])["b"][0, 0], ids(0) * 85 / 127.5 - 1, atol=1e-6)
    assert any("far apart" in note for note in pairs.notes)


def test_separated_colours():
    spread = np.array([[0, 0, 0], [85, 85, 85], [170, 170, 170], [255, 255, 255]], np.uint8)
    assert separated(spread, True) is spread
    close = np.arange(4, dtype=np.uint8)[:, None].repeat(3, 1)
    np.testing.assert_array_equal(separated(close, True), spread)
    for count in (2, 5, 12, 150, 256):
        many = np.arange(count, dtype=np.uint8)[:, None].repeat(3, 1)
        codes = separated(many, True)
        assert len(np.unique(codes, axis=0)) == count
        distance = np.abs(codes[:, None].astype(int) - codes[None]).max(2) + 999 * np.eye(count, dtype=int)
        assert distance.min() >= min(255 // (count - 1) if count <= 4 else 255, 255 // np.ceil(count ** (1 / 3)))


def test_encode_and_decode():
    colours = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2], [7, 7, 7], [9, 9, 9]], np.uint8)
    codes = LabelCodes(colours, separated(colours, True), True)
    labels = np.array([[0, 1], [9, 7]], np.uint8)[..., None]
    assert codes.channels == 3
    np.testing.assert_array_equal(codes.decode(codes.encode(labels, 3)), labels)
    np.testing.assert_array_equal(codes.decode(codes.encode(labels.astype(np.uint16), 3)), labels)
    again = LabelCodes.of(json.loads(json.dumps(codes.to_json())))
    np.testing.assert_array_equal(again.decode(again.encode(labels, 3)), labels)
