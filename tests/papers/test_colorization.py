"""Colorization: chroma goes through classes and back, luminance is kept, rare colours weigh more, any photo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor

import reverie
from reverie.cli.main import main
from reverie.data.images.conversion import LUMA
from reverie.media import Photo
from reverie.methods.colorization import (
    LEVELS,
    Colorization,
    chroma,
    expected_chroma,
    rarity,
    to_classes,
    with_chroma,
)
from reverie.metrics.pixels import colourfulness
from reverie.nn.feature_discriminator import FINGERPRINT
from reverie.transforms.degradations import grey


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("colorization") / "run"
    reverie.train("colorization:smoke", data="shapes:64", out=out, steps=60, threads=1, lr=3e-3)
    return out


def method(**options: Any) -> Colorization:
    torch.manual_seed(0)
    given = {"size": 32, "base_channels": 4, "feature_network": FINGERPRINT, **options}
    return Colorization(Colorization.Config(**given)).eval()


def test_an_image_is_its_luminance_and_its_chroma() -> None:
    y = torch.rand(2, 3, 9, 7) * 2 - 1
    assert chroma(y).abs().max() <= 1
    torch.testing.assert_close(with_chroma(grey(y), chroma(y)), y, atol=1e-5, rtol=0)


def test_chroma_is_the_mean_of_its_classes() -> None:
    colour = torch.rand(2, 2, 4, 5) * 1.6 - 0.8
    shares = to_classes(colour)
    assert shares.shape == (2, LEVELS**2, 4, 5)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 4, 5))
    torch.testing.assert_close(expected_chroma(shares.clamp_min(1e-30).log(), 1.0), colour, atol=1e-5, rtol=0)


def test_a_low_temperature_takes_the_likelier_of_two_colours() -> None:
    shares = 0.7 * to_classes(torch.full((1, 2, 1, 1), 0.4)) + 0.3 * to_classes(torch.full((1, 2, 1, 1), -0.4))
    logits = shares.clamp_min(1e-30).log()
    assert expected_chroma(logits, 1.0).flatten().tolist() == pytest.approx([0.16, 0.16], abs=1e-4)
    assert expected_chroma(logits, 0.1).flatten().tolist() == pytest.approx([0.4, 0.4], abs=1e-2)


def test_rare_colours_weigh_more() -> None:
    frequencies = torch.tensor([0.9, 0.1])
    weight = rarity(frequencies, 0.5)
    assert float((weight * frequencies).sum()) == pytest.approx(1)
    assert float(weight[1] / weight[0]) == pytest.approx(0.7 / 0.3)
    assert rarity(frequencies, 1.0).tolist() == pytest.approx([1, 1])


def test_grey_images_among_the_others_teach_nothing() -> None:
    colourful = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    without = grey(colourful).expand(-1, 3, -1, -1)
    losses: list[float] = []

    def update(name: str, loss: Tensor) -> Tensor:
        losses.append(float(loss.detach()))
        return loss.detach()

    net = method()
    before = net.generator.frequencies.clone()
    net.step({"image": without}, update)
    assert torch.equal(net.generator.frequencies, before)
    net.step({"image": torch.cat([colourful[:1], without[:1]])}, update)
    assert not torch.equal(net.generator.frequencies, before)
    assert losses[0] == 0
    assert losses[1] > 0


@pytest.mark.parametrize(
    ("shape", "kind"), [((40, 70, 1), np.uint8), ((9, 300, 3), np.uint8), ((50, 33, 1), np.uint16)]
)
def test_photos_keep_luminance_size_depth_and_alpha(run: Path, shape: tuple[int, ...], kind: type) -> None:
    rng, white = np.random.default_rng(0), np.iinfo(kind).max
    photo = Photo(rng.integers(0, white, shape, kind), rng.integers(1, white, shape[:2], kind))
    (made,) = reverie.load(run).verb("colorize")([photo])
    assert (made.pixels.shape, made.pixels.dtype) == ((*shape[:2], 3), kind)
    assert np.array_equal(made.alpha, photo.alpha)
    assert made.pixels.std(2).max() > 0
    before = photo.pixels @ np.array(LUMA) if shape[2] == 3 else photo.pixels[:, :, 0]
    assert np.abs(made.pixels @ np.array(LUMA) - before).max() <= white / 255


def test_the_colour_of_a_photo_is_not_looked_at(run: Path) -> None:
    """Its luminance is that of levels between those of a file, so that the grey copy differs by half a level."""
    colour = Photo(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    without = Photo(np.round(colour.pixels @ np.array(LUMA)).astype(np.uint8)[:, :, None])
    a, b = reverie.load(run).verb("colorize")([colour, without])
    assert np.abs(a.pixels.astype(int) - b.pixels).mean() < 2


def test_it_learns_colours(run: Path) -> None:
    """Shapes are lighter or darker than what they lie on, whose colours are the commonest."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [line["metrics"]["loss"] for line in lines if "metrics" in line]
    assert losses[-1] < 0.8 * losses[0]


def test_colourfulness() -> None:
    flat = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    assert colourfulness(flat) == pytest.approx(0.3 * np.hypot(100, 100))
    assert colourfulness(np.full((4, 4, 3), 77, np.uint8)) == 0


def test_scores_and_figures_leave_grey_photos_out(run: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, shape in (("a", (40, 50, 3)), ("b", (50, 40)), ("c", (44, 44, 3))):
        PIL.Image.fromarray(rng.integers(0, 255, shape, np.uint8)).save(tmp_path / f"{name}.png")
    found = {score.name: score for score in reverie.evaluate(run, tmp_path)}
    assert set(found) == {"psnr", "ssim", "colourfulness"}
    assert {score.n for score in found.values()} == {2}
    assert found["colourfulness"].real > 0


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)).save(tmp_path / "old.png")
    out = tmp_path / "new.png"
    assert main(["colorize", str(run), str(tmp_path / "old.png"), "--out", str(out)]) == 0
    assert PIL.Image.open(out).mode == "RGB"
    for words, message in (
        (["--temperature", "0"], "temperature is 0"),
        (["--temperature", "warm"], "temperature is 'warm'"),
        (["--saturation", "2"], "saturation"),
    ):
        assert main(["colorize", str(run), str(tmp_path / "old.png"), "--out", str(out), *words]) == 2
        assert message in capsys.readouterr().err
    assert main(["data", "inspect", "letters:8"]) == 0
    assert "colorization" not in capsys.readouterr().out
    assert main(["data", "inspect", "shapes:8"]) == 0
    assert "colorization" in capsys.readouterr().out
