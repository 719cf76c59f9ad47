"""SRGAN: pairs are made as papers make them, tiles change nothing, photos keep what they are, scores are of Y."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import torch
import torch.nn.functional as F

import reverie
from reverie.cli.main import main
from reverie.media import Photo
from reverie.methods.srgan import SRGAN, grid_error
from reverie.metrics.full_reference import Restored
from reverie.metrics.score import Reference
from reverie.metrics.super_resolution import bicubic_luminance, luminance, upscaling_scores
from reverie.transforms import upscaling
from reverie.transforms.augment import mean_over_positions
from reverie.transforms.resampling import imresize, imresize_tensor
from reverie.transforms.upscaling import with_hidden_colours
from reverie.utils.errors import UserError


def method(**options: Any) -> SRGAN:
    torch.manual_seed(0)
    return SRGAN(SRGAN.Config(**{"channels": 3, "base_channels": 8, "blocks": 1, **options})).eval()


def levels(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    draws = np.random.Generator(np.random.Philox(3)).integers(0, np.iinfo(dtype).max + 1, shape)
    return draws.astype(dtype)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("srgan") / "run"
    reverie.train("srgan:smoke", data="shapes:24", out=out, threads=1, adv_share=0.0)
    return out


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("network", ["compact", "srresnet"])
def test_shapes_and_receptive_fields(scale: int, network: str) -> None:
    net = method(scale=scale, network=network).generator
    x = torch.zeros(1, 3, 2 * net.receptive_radius + 5, 7).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = net(x)
        x[:, :, 0] += 1  # a row changes nothing that is further away
        changed = (net(x) != y).flatten(0, 1).any(0).any(1).nonzero().max()
    assert y.shape[2:] == (scale * x.shape[2], scale * 7)
    assert int(changed) < scale * (net.receptive_radius + 1)


@pytest.mark.parametrize("network", ["compact", "srresnet"])
def test_tiles_change_nothing(network: str) -> None:
    srgan = method(network=network)
    photo = Photo(levels(150, 170, 3))
    whole, tiles = (upscaling.upscale_photo(photo, srgan.upscaler(), 4, tile).pixels for tile in (512, 64))
    assert np.abs(whole.astype(int) - tiles).max() <= 1
    assert (whole == tiles).mean() > 0.999


def test_training_pairs_are_the_small_image_of_the_large() -> None:
    image = torch.from_numpy(levels(4, 3, 80, 80)).float() / 127.5 - 1
    for seed in range(6):
        torch.manual_seed(seed)
        x, y = method(scale=4, size=16).random_pairs(image)
        assert y.shape[3] == 4 * x.shape[3] <= 64
        assert torch.equal(x, imresize_tensor(y, (x.shape[2], x.shape[3]), levels=True))
        for t in (x, y):
            assert torch.allclose((t + 1) * 127.5, ((t + 1) * 127.5).round(), atol=1e-4)
    plain = method(scale=4, size=16, min_downscale=1.0, hflip=False, rotate=False)
    _, y = plain.random_pairs(image)
    patches = F.unfold(image[:1], 64)[0].T.reshape(-1, 3, 64, 64)
    assert (patches == y[0]).flatten(1).all(1).any()  # it is a crop of the photo as it is


def test_camera_inputs_differ_between_images_and_keep_the_scene() -> None:
    image = torch.zeros(4, 3, 80, 80).add(F.interpolate(torch.rand(1, 3, 4, 4) * 2 - 1, 80, mode="bilinear"))
    torch.manual_seed(0)
    camera = method(size=16, min_downscale=1.0, hflip=False, rotate=False, inputs="camera")
    x, y = camera.random_pairs(image.clamp(-1, 1))
    clean = imresize_tensor(y, (16, 16))
    assert x.shape == (4, 3, 16, 16)
    assert 0.01 < float((x - clean).abs().mean()) < 0.2
    assert len({float((a - b).std()) for a, b in zip(x, clean, strict=True)}) == 4
    assert torch.allclose((x + 1) * 127.5, ((x + 1) * 127.5).round(), atol=1e-4)


def test_the_perceptual_loss_is_nil_for_equal_images_and_reaches_the_generator() -> None:
    srgan = method(scale=2, adv_share=0.5, size=16)
    y = torch.rand(2, 3, 32, 32) * 2 - 1
    assert float(srgan.perceptual_loss(y, y)) == 0
    loss = srgan.perceptual_loss(srgan.generator(F.avg_pool2d(y, 2)), y)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in srgan.generator.parameters())
    assert not any("perceptual" in name for name in srgan.state_dict())


def test_the_grid_error_is_of_a_fixed_pattern_alone() -> None:
    pattern = torch.tensor([[0.3, -0.1], [-0.1, -0.1]])
    y = torch.rand(2, 1, 16, 16)
    smooth = F.interpolate(y[:, :, ::2, ::2], scale_factor=2)  # errors that are alike at all places, and a brightness
    assert float(grid_error(smooth + 5, 2)) < 1e-6
    assert float(grid_error(smooth + pattern.repeat(8, 8), 2)) == pytest.approx(float(pattern.abs().mean()), abs=1e-5)
    assert float(grid_error(y, 1)) == 0


def test_stages_share_the_steps_and_rates_are_those_of_the_paper() -> None:
    stages = method(adv_share=0.25, steps=100).stages()
    assert [(s.name, s.steps) for s in stages] == [("pixels", 75), ("adversarial", 25)]
    assert stages[1].lr_factor(0.2) * 2e-3 == pytest.approx(1e-4)
    assert stages[1].lr_factor(0.6) * 2e-3 == pytest.approx(1e-5)
    assert stages[0].lr_factor(0.999) < 0.01
    assert [s.name for s in method(adv_share=1.0).stages()] == ["adversarial"]
    assert [s.name for s in method().stages()] == ["pixels"]


def test_the_self_ensemble_is_the_same_for_a_turned_image() -> None:
    net = method(scale=2).generator
    x = torch.rand(1, 3, 12, 9)
    with torch.no_grad():
        y = mean_over_positions(net, x)
        assert torch.allclose(mean_over_positions(net, x.flip(3)).flip(3), y, atol=1e-5)
        assert torch.allclose(
            torch.rot90(mean_over_positions(net, torch.rot90(x, 1, (2, 3))), -1, (2, 3)), y, atol=1e-5
        )
        assert not torch.allclose(net(x), y, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_photos_keep_depth_colours_and_alpha(channels: int, planes: int, dtype: type) -> None:
    srgan = method(channels=channels, scale=2)
    photo = Photo(levels(20, 30, planes, dtype=dtype), levels(20, 30, dtype=dtype), profile=b"profile")
    for scale, size in ((None, (40, 60)), (3.0, (60, 90)), (1.5, (30, 45))):
        (made,) = srgan.verb("upscale")([photo], scale=scale)
        assert made.pixels.shape == (*size, planes)
        assert made.pixels.dtype == dtype
        assert made.alpha is not None
        assert made.alpha.shape == size
        assert made.profile == b"profile"
    small = made.pixels.astype(float).mean((0, 1))
    assert np.abs(small - photo.pixels.astype(float).mean((0, 1))).max() < 0.06 * np.iinfo(dtype).max


def test_a_grey_network_keeps_the_colours_of_a_photo() -> None:
    red = np.zeros((16, 16, 3), np.uint8) + np.array([200, 40, 40], np.uint8)
    (made,) = method(channels=1, scale=2).verb("upscale")([Photo(red)])
    colour = made.pixels.astype(int).mean((0, 1))
    assert colour[0] - colour[1] == pytest.approx(160, abs=3)


def test_what_is_transparent_leaves_no_fringe() -> None:
    pixels, alpha = np.full((20, 20, 3), 200, np.uint8), np.zeros((20, 20), np.uint8)
    alpha[5:15, 5:12] = 255
    pixels[alpha == 0] = 0
    assert (with_hidden_colours(Photo(pixels, alpha)).pixels == 200).all()
    clear = Photo(pixels, np.zeros_like(alpha))
    assert (with_hidden_colours(clear).pixels == pixels).all()


def test_where_memory_is_short_tiles_get_smaller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    srgan = method(scale=2)
    sizes: list[int] = []

    def network(x: torch.Tensor) -> torch.Tensor:
        sizes.append(x.shape[3])
        if x.shape[3] > 40:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate ...")
        return srgan.generator(x)

    photo = Photo(levels(30, 100, 3))
    made = upscaling.upscale_photo(photo, srgan.upscaler()._replace(network=network), 2, 256)
    assert sizes[0] == 100
    assert "tiles of 25 pixels" in capsys.readouterr().err
    assert np.abs(made.pixels.astype(int) - srgan.verb("upscale")([photo])[0].pixels).max() <= 1

    def broken(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("another fault")

    with pytest.raises(RuntimeError, match="another fault"):
        upscaling.upscale_photo(photo, srgan.upscaler()._replace(network=broken), 2, 256)


def test_a_photo_too_large_to_enlarge_is_refused_before_it_takes_memory() -> None:
    photo = Photo(np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (3000, 4000, 3)), name="p.png")
    with pytest.raises(UserError, match=r"p.png has 4000 x 3000 pixels: enlarged .* 100 megapixels"):
        method(scale=4).verb("upscale")([photo])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [4.0, 2.0, 2.7, 1.0, 5.0])
def test_strips_change_nothing(scale: float, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    srgan = method(channels=channels)
    photo = Photo(levels(61, 37, 3), levels(61, 37))
    whole = upscaling.upscale_photo(photo, srgan.upscaler(), scale)
    monkeypatch.setattr(upscaling, "STRIP_PIXELS", 5_000)
    strips = upscaling.upscale_photo(photo, srgan.upscaler(), scale)
    assert strips.pixels.shape == (round(61 * scale), round(37 * scale), 3)
    assert np.abs(whole.pixels.astype(int) - strips.pixels).max() <= 1
    assert (whole.pixels == strips.pixels).mean() > 0.999
    assert np.array_equal(whole.alpha, strips.alpha)
    assert strips.inputs == whole.inputs


def test_a_result_that_fits_is_made_where_the_networks_own_would_not() -> None:
    photo, largest = Photo(np.zeros((2600, 2500, 3), np.uint8)), 0

    def network(x: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, x.shape[2] * x.shape[3])
        return F.interpolate(x, scale_factor=4)

    upscaler = method().upscaler()._replace(network=network, tile=4096)
    made = upscaling.upscale_photo(photo, upscaler, 1.0)  # of 6.5 megapixels, through 104
    assert made.pixels.shape == (2600, 2500, 3)
    assert not made.pixels.any()
    assert largest * 16 < 1.2 * upscaling.STRIP_PIXELS


# -- scores ------------------------------------------------------------------------------------------------------------


def test_luminance_is_matlabs() -> None:
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert luminance(colours).ravel().tolist() == [16, 235, 81, 145, 41]
    grey = levels(4, 4, 1)
    assert luminance(grey) is grey


def test_scores_are_of_y_inside_the_border() -> None:
    original = levels(40, 44, 3)
    restored = original.copy()
    restored[:4], restored[:, -4:] = 0, 0  # outside what is scored
    reference = Reference("a", "test", "0" * 16, 1, 0, 3)
    psnr, ssim = upscaling_scores([Restored("a", original, original, restored)], 4, reference, 0)
    assert (psnr.name, ssim.name) == ("psnr-y", "ssim-y")
    assert psnr.value > 58
    assert ssim.value == pytest.approx(1)
    y, bicubic = luminance(original), bicubic_luminance(original, 4)
    error = (y[4:-4, 4:-4].astype(float) - bicubic[4:-4, 4:-4]) ** 2
    assert psnr.baseline == pytest.approx(10 * np.log10(255**2 / error.mean()))
    assert "4 pixels cropped" in psnr.definition


def test_evaluate_scores_a_run_beside_bicubic(run: Path) -> None:
    score = next(score for score in reverie.evaluate(run, "shapes:6", n=4) if score.name == "psnr-y")
    assert score.n == 4
    assert score.baseline is not None
    values: list[float] = []
    floor: list[float] = []
    srgan = reverie.load(run)
    for _, original in SRGAN.data_type.open("shapes:6", "test").full_images(4, 3):
        h, w = original.shape[:2]
        (made,) = srgan.verb("upscale")([Photo(imresize(original, (h // 2, w // 2)))])
        y = luminance(original)[2:-2, 2:-2].astype(float)
        for found, large in ((values, luminance(made.pixels)), (floor, bicubic_luminance(original, 2))):
            found.append(10 * np.log10(255**2 / ((large[2:-2, 2:-2] - y) ** 2).mean()))
    assert score.value == pytest.approx(np.mean(values))
    assert score.baseline == pytest.approx(np.mean(floor))


# -- the command line --------------------------------------------------------------------------------------------------


def test_the_verb_writes_larger_photos(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    PIL.Image.fromarray(levels(30, 20, 3)).save("photo.jpg", icc_profile=profile, exif=exif)
    assert main(["upscale", str(run), "photo.jpg", "--out", "big.png"]) == 0
    with PIL.Image.open("big.png") as big:
        assert big.size == (60, 40)  # upright
        assert big.info["icc_profile"] == profile
    Path("in/a").mkdir(parents=True)
    PIL.Image.fromarray(levels(9, 8)).save("in/a/grey.png")
    assert main(["upscale", str(run), "in", "--scale", "2.5", "--self-ensemble", "--out", "out"]) == 0
    assert PIL.Image.open("out/a/grey.png").size == (20, 22)
    assert main(["provenance", "big.png", "--verify", str(run), "--inputs", "photo.jpg"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scale", "0.5"], "from 1 to 16"),
        (["--scale", "40"], "from 1 to 16"),
        (["--tile", "100"], "a multiple of 64"),
        (["--noise-level", "5"], "noise"),
    ],
)
def test_wrong_options_say_why(
    run: Path, tmp_path: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(levels(9, 8, 3)).save("p.png")
    assert main(["upscale", str(run), "p.png", *words, "--out", "x.png"]) == 2
    assert said in capsys.readouterr().err
    assert not Path("x.png").exists()


def test_photos_too_small_to_learn_from_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PIL.Image.fromarray(levels(30, 30, 3)).save(tmp_path / "p.png")
    assert main(["train", "srgan", "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "smaller than 160 pixels a side" in capsys.readouterr().err
    assert main(["train", "srgan", "--data", "shapes:4", "--scale", "5", "--out", str(tmp_path / "run")]) == 2
    assert "one of '1', '2', '3', '4'" in capsys.readouterr().err
