"""The size that a translation was learnt at: said when it differs, and worked at with the detail of the image kept."""

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

import reverie
from reverie.media import Photo
from reverie.transforms.working_size import apply_at_size


def image(side=96):
    """Fine stripes on a slope: [1,3,side,side] in [-1,1]."""
    x = torch.linspace(-0.5, 0.5, side).expand(1, 3, side, side).clone()
    x[..., ::2] += 0.3
    return x


@pytest.mark.parametrize("detail", ["difference", "guided"])
def test_detail_is_kept_where_the_network_changes_the_tone_alone(detail):
    x = image()
    y = apply_at_size(lambda small: small + 0.2, x, 24, detail)
    assert (y - (x + 0.2)).abs().mean() < (0.01 if detail == "difference" else 0.1)
    stripes = (y[..., 48, 10:80:2] - y[..., 48, 11:81:2]).mean()
    assert stripes > (0.28 if detail == "difference" else 0.0)


def test_without_detail_the_result_is_enlarged():
    x = image()
    y = apply_at_size(lambda small: small, x, 24, "none")
    assert y.shape == x.shape
    assert (y[..., 48, 10:80:2] - y[..., 48, 11:81:2]).abs().mean() < 0.05


def test_a_network_sees_the_working_size_and_smaller_images_as_they_are():
    seen = []

    def network(x):
        seen.append(tuple(x.shape[2:]))
        return x

    apply_at_size(network, torch.zeros(1, 3, 60, 90), 30, "difference")
    apply_at_size(network, torch.zeros(1, 3, 20, 90), 30, "difference")
    apply_at_size(network, torch.zeros(1, 3, 60, 90), None, "difference")
    assert seen == [(30, 45), (20, 90), (60, 90)]


def test_grey_to_colour_keeps_detail_and_labels_are_not_blended():
    grey = image()[:, :1]
    y = apply_at_size(lambda small: small.expand(-1, 3, -1, -1) + 0.1, grey, 24, "difference")
    assert y.shape == (1, 3, 96, 96)
    assert (y - grey - 0.1).abs().mean() < 0.01
    seen = []
    labels = torch.randint(0, 2, (1, 1, 50, 50)) * 2.0 - 1
    apply_at_size(lambda small: seen.append(small) or small, labels, 20, "difference", labels=True)
    assert set(seen[0].unique().tolist()) <= {-1.0, 1.0}


def test_the_size_of_training_is_said_once(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    for side in "AB":
        for i in range(3):
            path = tmp_path / "d" / f"train{side}" / f"{side}{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(ord(side) + i).integers(0, 256, (64, 64, 3), np.uint8)
            PILImage.fromarray(pixels).save(path)
    run = reverie.train("cyclegan:smoke", data=tmp_path / "d", out=tmp_path / "run", steps=1, batch_size=2)
    assert "learns at 16 pixels, and the images have about 64" in capfd.readouterr().err
    photos = [Photo.load(path) for path in sorted((tmp_path / "d" / "trainA").iterdir())]
    run.translate(photos)
    said = capfd.readouterr().err
    assert said.count("learnt at 16 pixels, and A0.png has 64") == said.count("note:") == 1
    (scaled, *_) = run.translate(photos, working_size=16)
    assert scaled.pixels.shape == (64, 64, 3)
    assert not capfd.readouterr().err


def test_a_label_map_is_enlarged_without_new_colours() -> None:
    x = torch.rand(1, 3, 60, 90)
    y = apply_at_size(lambda small: (small[:, :1] > 0.5).float(), x, 20, "none", to_labels=True)
    assert y.shape == (1, 1, 60, 90)
    seen: list[torch.Size] = []

    def network(inner: torch.Tensor) -> torch.Tensor:
        seen.append(inner.shape)
        return (inner[:, :1] > 0.5).float()

    assert apply_at_size(network, x, None, "none", to_labels=True, least=64).shape == y.shape
    assert apply_at_size(network, x, None, "none", to_labels=True, least=60).shape == y.shape
    assert seen == [(1, 3, 64, 96), (1, 3, 60, 90)]
    assert set(y.unique().tolist()) == {0.0, 1.0}
