"""Output size: what verbs make and what is scored has the size of the data, whatever size the networks work at."""

import json

import numpy as np
import pytest
from PIL import Image as PILImage

import reverie
from reverie.cli.main import main
from reverie.evaluation.samples_source import open_source
from reverie.media import Image


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """120 labelled images of 28 pixels."""
    folder = tmp_path_factory.mktemp("size") / "data"
    for i in range(140):
        place = folder / ("train" if i < 80 else "test") / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 90, (28, 28), np.uint8)
        pixels[4 + i % 8 : 18, 6:20] += 120
        PILImage.fromarray(pixels).save(place / f"{i}.png")
    return folder


SMALL = dict(steps=4, batch_size=8, checkpoint_every=4, sample_every=4)


@pytest.fixture(scope="module")
def runs(data):
    """A GAN that works at 32 pixels, and a VAE that works at 28."""
    folder = data.parent
    reverie.train("dcgan", data=data, out=folder / "gan", base_channels=4, **SMALL)
    reverie.train("vae", data=data, out=folder / "vae", base_channels=8, latent_dim=4, **SMALL)
    reverie.train("cvae_gan", data=data, out=folder / "classes", base_channels=4, latent_dim=4, **SMALL)
    return folder


def test_what_verbs_make_has_the_size_of_the_data(runs, data):
    gan, vae = reverie.load(runs / "gan"), reverie.load(runs / "vae")
    assert (gan.config.size, vae.config.size) == (32, 28)
    images = [Image.load(data / "test" / "a" / "80.png")]
    made = [*gan.generate(n=2), *gan.interpolate(n=1, frames=2), *gan.reconstruct(images, iterations=1)]
    assert {image.pixels.shape for image in made} == {(28, 28, 1)}
    assert {image.record["made_at"] for image in made} == {32}
    (plain, *_) = vae.generate(n=1)
    assert plain.pixels.shape == (28, 28, 1)
    assert "made_at" not in plain.record
    facts = json.loads((runs / "gan" / "run.json").read_text())["data"]["facts"]
    assert (facts["native"], facts["output_size"]) == (28, 28)


def test_the_command_line_and_augment_write_that_size(runs, data, tmp_path):
    assert main(["generate", str(runs / "gan"), "-n", "2", "--out", str(tmp_path / "out")]) == 0
    with PILImage.open(tmp_path / "out" / "000000.png") as image:
        assert image.size == (28, 28)
    reverie.resume(runs / "gan", steps=5)
    assert reverie.load(runs / "gan").generate(n=1)[0].pixels.shape == (28, 28, 1)
    (image,) = reverie.load(runs / "classes").generate(n=1, label="b")
    assert image.pixels.shape == (28, 28, 1)


def test_scores_are_of_the_size_of_the_data_and_compare(runs, data):
    names = []
    for run in ("gan", "vae"):
        scores = reverie.evaluate(runs / run, data, n=64).scores
        assert {score.reference.size for score in scores if score.name in ("sharpness", "fid", "psnr")} == {28}
        names.append({(score.name, score.hash) for score in scores})
    assert {name for name, _ in names[0] & names[1]} >= {"sharpness", "psnr"}


@pytest.mark.parametrize(
    ("native", "options", "made", "scored"),
    [
        (28, {}, 28, 28),
        (40, {}, 40, 40),  # works at 64
        (20, {"size": 16}, 16, 20),  # a smaller size that was chosen is kept
        (20, {"size": 32}, 20, 20),
        (100, {"size": 32}, 32, 64),
        (150, {}, 64, 64),  # the data is twice as large as the network works
        (32, {}, 32, 32),
    ],
)
def test_the_rule(native, options, made, scored, tmp_path):
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 256, (native, native + 5), np.uint8)
        path = tmp_path / "d" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        PILImage.fromarray(pixels).save(path)
    options = {**SMALL, "steps": 1, "batch_size": 2, "base_channels": 2, **options}
    run = reverie.train("dcgan", data=tmp_path / "d", out=tmp_path / "run", **options)
    assert run.generate(n=1)[0].pixels.shape == (made, made, 1)
    assert open_source(tmp_path / "run").score_size(native) == scored
