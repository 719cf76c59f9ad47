"""`reverie blend`: photos pasted into photos, on the command line and in Python, and what users complain of."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
import torch

from reverie.cli.main import main
from reverie.media import Photo, read_record
from reverie.transforms.blending import Placement, blend
from reverie.utils.errors import UserError


def photo(height: int, width: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """A smooth photo, uint8 [H,W,C], without black and white."""
    rng = np.random.default_rng(seed)
    small = PIL.Image.fromarray(rng.integers(40, 215, (6, 6, 3), np.uint8))
    pixels = np.asarray(small.resize((width, height), PIL.Image.Resampling.BICUBIC)).clip(30, 225)
    return pixels if channels == 3 else pixels[:, :, :1]


def disc(height: int, width: int, radius: float = 0.3) -> np.ndarray:
    """A mask uint8 [H,W,1] of 0 and 255."""
    rows, columns = np.mgrid[:height, :width]
    inside = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (radius * min(height, width)) ** 2
    return (inside * 255).astype(np.uint8)[:, :, None]


def blended(foreground: Any, background: Any, mask: Any, **placement: Any) -> tuple[np.ndarray, list[str]]:
    photos = (
        p if p is None or isinstance(p, Photo) else Photo(p, name="p.png") for p in (foreground, background, mask)
    )
    result = blend(*photos, Placement(**placement))
    return result.photo.pixels, result.notes


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    error = (a.astype(float) - b)[mask[:, :, 0] > 0]
    return float(10 * np.log10(255**2 / max(np.mean(error**2), 1e-3)))


# -- what the result is ------------------------------------------------------------------------------------------------


def test_a_photo_pasted_into_itself_is_itself() -> None:
    pixels = photo(60, 80)
    same, notes = blended(pixels, pixels, disc(60, 80))
    assert np.array_equal(same, pixels)
    assert notes == []


@pytest.mark.parametrize("shift", [40, -25])
def test_another_brightness_of_the_same_scene_is_undone(shift: int) -> None:
    pixels, mask = photo(60, 80).clip(60, 180), disc(60, 80)
    brighter = (pixels.astype(int) + shift).clip(0, 255).astype(np.uint8)
    result, _ = blended(brighter, pixels, mask)
    assert psnr(result, pixels, mask) > 50 > psnr(np.where(mask > 0, brighter, pixels), pixels, mask)


def test_nothing_changes_outside_the_mask_nor_in_what_was_given() -> None:
    foreground, background, mask = photo(60, 80, 1), photo(60, 80, 2), disc(60, 80)
    copies = [p.copy() for p in (foreground, background, mask)]
    result, _ = blended(foreground, background, mask)
    assert np.array_equal(result[mask[:, :, 0] == 0], background[mask[:, :, 0] == 0])
    assert not np.array_equal(result, background)
    for given, copy in zip((foreground, background, mask), copies, strict=True):
        assert np.array_equal(given, copy)


def test_the_seam_is_no_step() -> None:
    """The mean difference across the edge of the mask is not larger than beside it."""
    foreground, background, mask = photo(80, 80, 1), photo(80, 80, 2), disc(80, 80)
    inside = mask[:, :, 0] > 0
    edge = inside[:, 1:] != inside[:, :-1]
    step = np.abs(np.diff(np.where(mask > 0, foreground, background).astype(int), axis=1))[edge].mean()
    result, _ = blended(foreground, background, mask)
    assert np.abs(np.diff(result.astype(int), axis=1))[edge].mean() < step / 4


def test_masks_of_0_and_1_of_three_channels_and_of_16_bits_are_the_same_mask() -> None:
    foreground, background, mask = photo(40, 50, 1), photo(40, 50, 2), disc(40, 50)
    result, _ = blended(foreground, background, mask)
    for form, said in (
        (mask // 255, "0 and 1"), (np.repeat(mask, 3, 2), ""), (np.repeat(mask // 255, 3, 2), "0 and 1"),
        (mask.astype(np.uint16) * 257, ""),
    ):  # fmt: skip
        other, notes = blended(foreground, background, form)
        assert np.array_equal(other, result)
        assert any(said in note for note in notes) if said else notes == []


def test_noise_of_jpeg_in_a_mask_is_no_mask() -> None:
    foreground, background, mask = photo(40, 50, 1), photo(40, 50, 2), disc(40, 50)
    noisy = np.where(mask > 0, 252, np.random.default_rng(0).integers(0, 6, mask.shape)).astype(np.uint8)
    assert np.array_equal(blended(foreground, background, noisy)[0], blended(foreground, background, mask)[0])


def test_a_soft_mask_fades_the_foreground_out() -> None:
    foreground, background = photo(64, 64, 1), photo(64, 64, 2)
    soft = np.linspace(0, 255, 64).round().astype(np.uint8)[None, :, None].repeat(64, 0)
    result, _ = blended(foreground, background, soft)
    hard, _ = blended(foreground, background, (soft > 8).astype(np.uint8) * 255)
    middle = slice(30, 34)
    expected = (hard[:, middle].astype(float) + background[:, middle]) / 2
    assert np.abs(result[:, middle] - expected).mean() < 6


def test_the_alpha_of_the_foreground_is_a_mask() -> None:
    foreground, background, mask = photo(40, 50, 1), photo(40, 50, 2), disc(40, 50)
    cut_out = Photo(foreground, mask[:, :, 0], "cut-out.png")
    result, notes = blended(cut_out, background, None)
    assert "alpha" in notes[0]
    same = result == blended(np.where(mask > 0, foreground, 255).astype(np.uint8), background, mask)[0]
    assert same.mean() > 0.99  # what is transparent has no gradients


def test_black_surroundings_do_not_lighten_an_object() -> None:
    pixels, mask = photo(60, 60).clip(90, 160), disc(60, 60)
    cut_out = np.where(mask > 0, pixels, 0).astype(np.uint8)
    assert psnr(blended(cut_out, pixels, mask)[0], pixels, mask) > 35
    assert psnr(blended(np.where(mask > 0, pixels, 255).astype(np.uint8), pixels, mask)[0], pixels, mask) > 35


def test_a_mask_may_touch_the_frame() -> None:
    foreground, background = photo(40, 50, 1), photo(40, 50, 2)
    mask = np.zeros((40, 50, 1), np.uint8)
    mask[:25, :30] = 255
    result, _ = blended(foreground, background, mask)
    assert np.array_equal(result[25:], background[25:])
    moved, _ = blended(photo(40, 50, 1) // 2 + 60, background, mask)
    assert np.abs(moved.astype(int)[0, 0] - background[0, 0]).max() < 150


def test_mixed_gradients_keep_the_background_under_an_even_foreground() -> None:
    background, mask = photo(60, 60, 2), disc(60, 60)
    even = np.full((60, 60, 3), 128, np.uint8)
    normal, _ = blended(even, background, mask)
    mixed, _ = blended(even, background, mask, mode="mixed")
    assert psnr(mixed, background, mask) > 45 > psnr(normal, background, mask)


def test_kept_colours_come_nearer_to_the_foreground() -> None:
    foreground, background, mask = photo(60, 60, 1), photo(60, 60, 2), disc(60, 60)
    near = [psnr(blended(foreground, background, mask, keep_colours=k)[0], foreground, mask) for k in (0, 0.5, 0.9, 1)]
    assert near == sorted(near)
    assert near[-1] > 60


# -- where it is put ---------------------------------------------------------------------------------------------------


def marked() -> tuple[np.ndarray, np.ndarray]:
    """A foreground of 20 x 30 with a bright spot at row 5, column 8, and its mask."""
    foreground = np.full((20, 30, 3), 100, np.uint8)
    foreground[5, 8] = 220
    mask = np.zeros((20, 30, 1), np.uint8)
    mask[2:18, 2:28] = 255
    return foreground, mask


@pytest.mark.parametrize(("x", "y"), [(0, 0), (7, 11), (None, None), (-4, -1), (40, 30)])
def test_the_offset_is_that_of_the_top_left_corner(x: int | None, y: int | None) -> None:
    foreground, mask = marked()
    background = np.full((50, 70, 3), 100, np.uint8)
    result, _ = blended(foreground, background, mask, x=x, y=y)
    row, column = np.unravel_index(result[:, :, 0].argmax(), result.shape[:2])
    left, top = (20 if x is None else x), (15 if y is None else y)
    assert (row, column) == (top + 5, left + 8)


def test_scale_and_rotation() -> None:
    foreground, mask = marked()
    background = np.full((80, 90, 3), 100, np.uint8)
    result, _ = blended(foreground, background, mask, x=10, y=20, scale=2.0)
    rows, columns = np.nonzero(result[:, :, 0] > 150)
    assert abs(rows.mean() - (20 + 10.5)) < 0.6
    assert abs(columns.mean() - (10 + 16.5)) < 0.6
    result, _ = blended(foreground, background, mask, x=10, y=20, rotation=90.0)  # the box becomes 30 high, 20 wide
    row, column = np.unravel_index(result[:, :, 0].argmax(), result.shape[:2])
    assert (row, column) == (20 + 29 - 8, 10 + 5)


def test_what_lies_beyond_the_background_is_cut_off_and_said() -> None:
    foreground, background, mask = photo(90, 100, 1), photo(40, 50, 2), disc(90, 100, 0.4)
    result, notes = blended(foreground, background, mask, x=-10, y=-20)
    assert result.shape == background.shape
    assert any("beyond the background's edge" in note for note in notes)


def test_clipped_values_are_said() -> None:
    foreground = np.where(disc(60, 60, 0.1) > 0, 250, np.full((60, 60, 3), 60)).astype(np.uint8)
    _, notes = blended(foreground, np.full((60, 60, 3), 240, np.uint8), disc(60, 60, 0.4))
    assert any("were clipped" in note for note in notes)


# -- depth, alpha, channels --------------------------------------------------------------------------------------------


def test_depth_alpha_profile_and_channels_are_the_backgrounds() -> None:
    mask, deep = Photo(disc(40, 50)), photo(40, 50, 2).astype(np.uint16) * 257
    alpha = np.full((40, 50), 30_000, np.uint16)
    background = Photo(deep, alpha, "b.png", profile=b"profile")
    result = blend(Photo(photo(40, 50, 1)), background, mask, Placement()).photo
    outside = mask.pixels[:, :, 0] == 0
    assert result.pixels.dtype == np.uint16
    assert np.array_equal(result.pixels[outside], deep[outside])
    assert result.profile == b"profile"
    assert result.alpha is not None
    assert set(result.alpha[outside]) == {30_000}
    assert set(result.alpha[~outside]) == {65_535}
    assert np.array_equal(background.pixels, deep)
    shades = len(np.unique(result.pixels[~outside] % 257))
    assert shades > 100  # not 8 bits written as 16
    grey, _ = blended(photo(40, 50, 1), photo(40, 50, 2, channels=1), disc(40, 50))
    assert grey.shape == (40, 50, 1)
    colour, _ = blended(photo(40, 50, 1, channels=1), photo(40, 50, 2), disc(40, 50))
    assert colour.shape == (40, 50, 3)


def test_what_a_run_has_learnt_counts_in_one_scene_only() -> None:
    rng = np.random.default_rng(0)
    scenes = [np.asarray(PIL.Image.fromarray(rng.integers(60, 180, (24, 24, 3), np.uint8)).resize((96, 96), 2))
              for _ in range(2)]  # fmt: skip
    mask = Photo(disc(96, 96))

    def added(x: torch.Tensor, p: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return torch.full_like(p, 0.2)

    plain, learnt = [], []
    for foreground in (scenes[0] * 0.8, scenes[1]):
        given = Photo(foreground.astype(np.uint8)), Photo(scenes[0]), mask
        plain.append(blend(*given, Placement()))
        learnt.append(blend(*given, Placement(), added))
    moved = [np.abs(a.photo.pixels.astype(int) - b.photo.pixels).mean() for a, b in zip(plain, learnt, strict=True)]
    assert moved[0] > 4 * moved[1]
    assert not learnt[0].notes
    assert "unlike scenes" in learnt[1].notes[0]


# -- wrong input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "placement", "message"),
    [
        (disc(30, 50), {}, "is 50x30 pixels and the foreground 50x40"),
        (np.zeros((40, 50, 1), np.uint8), {}, "is black"),
        (np.full((40, 50, 1), 255, np.uint8), {}, "leaves no pixel of the background"),
        (disc(40, 50), {"x": 500}, "lies outside the background"),
        (disc(40, 50), {"x": -45, "y": -38}, "nothing of the masked part"),
        (None, {}, "no alpha"),
        (disc(40, 50), {"scale": 4e3}, "is 200000x160000 pixels; lower it"),
    ],
)
def test_wrong_input_gets_one_line(mask: Any, placement: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        blended(photo(40, 50, 1), photo(40, 50, 2), mask, **placement)


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, pixels in (("f.png", photo(40, 50, 1)), ("b.jpg", photo(60, 70, 2)), ("m.png", disc(40, 50)[:, :, 0])):
        PIL.Image.fromarray(pixels).save(name)
    return tmp_path


def test_the_command_needs_no_training(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split("blend f.png b.jpg --mask m.png --out out.png --x 5 --y 6 --json")) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["out.png"]
    result, record = Photo.load("out.png"), read_record("out.png")
    assert result.pixels.shape == (60, 70, 3)
    assert [source["name"] for source in record["inputs"]] == ["f.png", "b.jpg", "m.png"]
    assert (record["verb"], record["arguments"]["x"]) == ("blend", 5)
    assert main(["provenance", "out.png"]) == 0
    assert "not synthetic: made of the images below" in capsys.readouterr().out
    assert b"trainedAlgorithmicMedia" not in Path("out.png").read_bytes()


def test_the_command_with_a_run(files: Path) -> None:
    import reverie

    reverie.train("gp_gan:smoke", data="shapes:16", out="run", steps=2)
    assert main(shlex.split("blend run f.png b.jpg --mask m.png --out learnt.png")) == 0
    assert main(shlex.split("blend f.png b.jpg --mask m.png --out plain.png")) == 0
    learnt, plain = Photo.load("learnt.png").pixels, Photo.load("plain.png").pixels
    assert not np.array_equal(learnt, plain)
    changed = (learnt != plain).any(2)
    assert not changed[:10].any()
    assert main(shlex.split("provenance learnt.png --verify run --inputs f.png b.jpg m.png")) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("f.png --mask m.png --out o.png", "blend takes a foreground and a background"),
        ("f.png b.jpg --mask m.png", "blend needs --out"),
        ("f.png b.jpg --mask none.png --out o.png", "none.png cannot be read"),
        ("f.png b.jpg --mask m.png --out o.jpg", "o.jpg"),
        ("f.png b.jpg --mask m.png --scale 0 --out o.png", "--scale is 0.0; it must be a finite number, above 0"),
        ("f.png b.jpg --mask m.png --mode other --out o.png", "'normal', 'mixed'"),
        ("nothing f.png b.jpg --mask m.png --out o.png", "nothing"),
        ("f.png b.jpg --mask b.jpg --out o.png", "the mask b.jpg is 70x60 pixels"),
    ],
)
@pytest.mark.usefixtures("files")
def test_a_wrong_command_gets_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["blend", *words.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
