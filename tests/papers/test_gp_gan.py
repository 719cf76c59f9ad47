"""GP-GAN: composites with a known truth, what the seam suggests, and scores beside what needs no training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

import reverie
from reverie.cli.main import main
from reverie.data.images.dataset import Images
from reverie.media import Photo
from reverie.methods.gp_gan import GPGAN, composite_of, gain_over, make_composites, masked_error, match_seam
from reverie.transforms.composites import random_exposure, random_shapes


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    return reverie.open_data("shapes:8").prepare(32, 3).batch(np.arange(8))["image"]


@pytest.fixture
def places(tmp_path: Path) -> str:
    """Six photos 40x30, and masks of four: of 0 and 255, of 0 and 1, empty, and one of no photo."""
    rng = np.random.default_rng(0)
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    box = np.zeros((30, 40), np.uint8)
    box[10:20, 10:18] = 1
    for i in range(6):
        PIL.Image.fromarray(rng.integers(0, 255, (30, 40, 3), np.uint8)).save(tmp_path / "photos" / f"p{i}.jpg")
    for name, mask in (("p1", 255 * box), ("p2", box), ("p3", 0 * box), ("other", 255 * box)):
        PIL.Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    return f"{tmp_path / 'photos'},{tmp_path / 'masks'}"


def test_masks_of_objects_are_found_by_name(places: str) -> None:
    data = Images.open(places, masks=True).prepare(30, 3)
    mask = data.batch(range(6))["mask"]
    assert (mask.shape, mask.dtype) == ((6, 1, 30, 30), torch.bool)
    assert [int(m.sum()) for m in mask] == [0, 80, 80, 0, 0, 0]
    assert bool(mask[1:3, 0, 10:20, 5:13].all())  # the photos are cut at both sides to a square
    assert "3 of 6 images have the mask of an object" in data.notes
    assert data.fingerprint != Images.open(places.split(",")[0]).fingerprint


def test_composites_take_masks_of_objects_half_of_the_time(photos: torch.Tensor) -> None:
    torch.manual_seed(0)
    objects = torch.zeros(8, 1, 32, 32, dtype=torch.bool)
    objects[:6, :, 5:9, 6:20] = True
    taken = []
    for _ in range(16):
        x, _, mask = make_composites(photos, objects)
        equal = (mask == objects).all((1, 2, 3))
        taken.append(equal)
        assert bool(mask.any((1, 2, 3)).all())
        assert torch.equal(x[~mask.expand_as(x)], photos[~mask.expand_as(x)])
    share = torch.stack(taken).float().mean(0)
    assert 0.3 < float(share[:6].mean()) < 0.7
    assert float(share[6:].max()) == 0


def test_it_trains_on_photos_and_masks_of_objects(
    places: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "gp_gan:smoke", "--steps", "2", "--out", str(tmp_path / "run"), "--data"]
    assert main([*train, places]) == 0
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["data"]["path"] == ["../photos", "../masks"]
    assert main(["resume", str(tmp_path / "run"), "--steps", "3"]) == 0
    photos, masks = places.split(",")
    train[-2] = str(tmp_path / "other")
    for wrong, said in (
        (f"{photos},{tmp_path / 'nowhere'}", "no such path"),
        (f"{photos},{masks},{masks}", "several places"),
    ):
        capsys.readouterr()
        assert main([*train, wrong]) == 2
        assert said in capsys.readouterr().err
    PIL.Image.new("L", (40, 31), 255).save(Path(masks) / "p4.png")
    assert main([*train, places]) == 2
    assert "the mask p4.png is 40x31 pixels and its photo 40x30" in capsys.readouterr().err
    for pattern, said in (("p*.png", "that of p0.jpg is to be p0.png"), ("*", "is empty")):
        for path in Path(masks).glob(pattern):
            path.unlink()
        assert main([*train, places]) == 2
        assert said in capsys.readouterr().err


def test_masks_are_neither_empty_nor_full() -> None:
    torch.manual_seed(0)
    masks = random_shapes(200, 16, 24, torch.device("cpu"))
    shares = masks.float().mean((1, 2, 3))
    assert masks.shape == (200, 1, 16, 24)
    assert float(shares.min()) > 0.02
    assert float(shares.max()) < 0.95
    assert not bool(masks[:, :, 0].any() or masks[:, :, -1].any())
    assert bool(masks[..., 0].any() and masks[..., -1].any())  # some touch the frame


def test_another_exposure_is_monotone_and_in_range(photos: torch.Tensor) -> None:
    torch.manual_seed(0)
    other = random_exposure(photos)
    assert float(other.min()) >= -1
    assert float(other.max()) <= 1
    for i in range(3):
        order = photos[0, i].flatten().argsort()
        assert bool((other[0, i].flatten()[order].diff() >= -1e-6).all())
    assert float((other - photos).abs().mean()) > 0.05


def test_composites_are_the_photo_outside_and_poisson_comes_nearer_inside(photos: torch.Tensor) -> None:
    torch.manual_seed(0)
    x, p, mask = make_composites(photos)
    outside = ~mask.expand_as(x)
    assert torch.equal(x[outside], photos[outside])
    assert torch.equal(p[outside], photos[outside])
    assert float(masked_error(p, photos, mask)) < float(masked_error(x, photos, mask)) / 2


def test_the_seam_gives_back_gain_and_offset(photos: torch.Tensor) -> None:
    """Where the exposures differ by gain and offset, and p is right along the seam, all of the inside is found."""
    torch.manual_seed(0)
    weight = random_shapes(8, 32, 32, torch.device("cpu")).float()
    gain, offset = torch.tensor([0.8, 0.9, 0.7])[:, None, None], torch.tensor([0.1, -0.1, 0.0])[:, None, None]
    found = match_seam(photos * gain + offset, photos, weight)
    far = (photos.var((2, 3)).min(1).values > 0.02)[:, None, None, None]
    assert float(((found - photos).abs() * weight * far).max()) < 0.1
    flat = torch.full_like(photos, 0.3)
    torch.testing.assert_close(match_seam(flat, flat + 0.2, weight), flat + 0.2)


def test_it_begins_halfway_to_what_the_seam_suggests(photos: torch.Tensor) -> None:
    method = GPGAN(GPGAN.Config(size=32, channels=3, base_channels=4))
    x, p, mask = make_composites(photos)
    weight = mask.float()
    expected = p + 0.5 * (match_seam(x, p, weight) - p) * weight
    torch.testing.assert_close(method.generator_output(x, p, mask), expected)
    assert float(gain_over(p, p, photos, mask)) == 0


@pytest.mark.parametrize(("own", "given"), [(1, 3), (3, 1), (3, 3), (1, 1)])
def test_residuals_of_images_with_other_channels(own: int, given: int) -> None:
    method = GPGAN(GPGAN.Config(size=16, channels=own, base_channels=4)).eval()
    x, p = torch.rand(2, 1, given, 40, 30, dtype=torch.float64) * 2 - 1
    mask = torch.zeros(1, 1, 40, 30, dtype=torch.float64)
    mask[..., 10:30, 8:20] = 1
    with torch.no_grad():
        added = method.coarse_residual(x, p, mask)
    assert added.shape == (1, given, 16, 16)
    assert added.dtype == torch.float64
    assert float(added[..., 0, :].abs().max()) == 0  # outside the mask


def test_scores_stand_beside_what_needs_no_training() -> None:
    data = reverie.open_data("shapes:16", "test").prepare(32, 3)
    method = GPGAN(GPGAN.Config(size=32, channels=3, base_channels=4)).eval()
    scores = {score.name: score for score in method.method_scores(data, 3, 0)}
    assert {"psnr", "psnr, copied", "psnr, poisson", "psnr, own colours"} <= scores.keys()
    assert scores["psnr, copied"].value < scores["psnr, own colours"].value < scores["psnr, poisson"].value
    assert scores["psnr"].baseline == scores["psnr, copied"].value
    gain = scores["psnr, gain over poisson"].value
    assert gain == pytest.approx(scores["psnr"].value - scores["psnr, poisson"].value, abs=1e-4)
    again = {score.name: score.value for score in method.method_scores(data, 3, 0)}
    assert again == {name: score.value for name, score in scores.items()}


def test_without_an_adversarial_loss_there_is_no_discriminator(tmp_path: Path) -> None:
    reverie.train("gp_gan:smoke", data="shapes:8", out=tmp_path / "run", adv_weight=0, steps=2)
    assert not hasattr(reverie.load(tmp_path / "run"), "discriminator")


def test_a_composite_depends_on_its_seed_alone() -> None:
    photo = Photo(reverie.open_data("shapes:4").prepare(32, 3).pixels(0))
    state = torch.random.get_rng_state()
    a, b, c = composite_of(photo, 3), composite_of(photo, 3), composite_of(photo, 4)
    assert torch.equal(state, torch.random.get_rng_state())
    assert np.array_equal(a[0].pixels, b[0].pixels)
    assert np.array_equal(a[1].pixels, b[1].pixels)
    assert not np.array_equal(a[1].pixels, c[1].pixels)
