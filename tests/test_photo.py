"""Photographs as they are: depth, alpha, size and order survive, from file to file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from reverie.errors import UserError
from reverie.media import Photo, read_record

RECORD = {"arguments": {}, "index": 0, "synthetic": True}


def shades(height: int, width: int, channels: int, full: int) -> np.ndarray:
    draws = np.random.Generator(np.random.Philox(key=[1, height * width]))
    return draws.integers(0, full + 1, (height, width, channels)).astype(np.uint8 if full == 255 else np.uint16)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("full", [255, 65535])
def test_depth_and_alpha_survive(tmp_path: Path, channels: int, alpha: bool, full: int) -> None:
    if full == 65535 and (channels == 3 or alpha):
        pytest.importorskip("cv2", reason="16 bits in colour take OpenCV, an extra")
    pixels = shades(13, 21, channels, full)
    photo = Photo(pixels, shades(13, 21, 1, full)[:, :, 0] if alpha else None, "x.png", record=RECORD)
    read = Photo.load(photo.save(tmp_path / "x.png"))
    assert read.pixels.dtype == pixels.dtype
    assert np.array_equal(read.pixels[:, :, :channels], pixels)
    assert (read.alpha is None) is not alpha
    assert photo.alpha is None or np.array_equal(read.alpha, photo.alpha)
    assert read_record(tmp_path / "x.png") == RECORD
    again = read.with_pixels(read.to_tensor(read.pixels.shape[2])[0])
    assert np.array_equal(again.pixels, read.pixels)  # to a network and back, to the level
    assert again.alpha is None or np.array_equal(again.alpha, read.alpha)


def test_sixteen_bits_on_a_sheet_keep_their_white() -> None:
    levels = np.array([[[0], [128], [129], [60000], [65407], [65408], [65535]]], np.uint16)
    assert Photo(levels).image().pixels.ravel().tolist() == [0, 0, 1, 233, 255, 255, 255]


def test_colour_becomes_grey_and_grey_colour(tmp_path: Path) -> None:
    photo = Photo(shades(5, 7, 3, 255))
    grey = np.asarray(PIL.Image.fromarray(photo.pixels).convert("L")).astype(float)
    made = (photo.to_tensor(1)[0, 0].numpy() + 1) * 127.5
    assert np.abs(made - grey).max() <= 1
    assert Photo(shades(5, 7, 1, 255)).to_tensor(3).shape == (1, 3, 5, 7)


def test_palettes_cmyk_and_orientation(tmp_path: Path) -> None:
    image = PIL.Image.fromarray(shades(6, 9, 3, 255))
    image.convert("P").save(tmp_path / "p.png")
    image.convert("CMYK").save(tmp_path / "c.jpg")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "t.png", exif=exif)
    assert Photo.load(tmp_path / "p.png").pixels.shape == (6, 9, 3)
    assert Photo.load(tmp_path / "c.jpg").pixels.shape == (6, 9, 3)
    assert np.array_equal(Photo.load(tmp_path / "t.png").pixels, np.rot90(np.asarray(image), 3))


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("no picture")
    for path in (tmp_path / "words.png", tmp_path / "nothing.png"):
        with pytest.raises(UserError, match=path.name):
            Photo.load(path)
        with pytest.raises(UserError, match=path.name):
            Photo.check(path)
    with pytest.raises(UserError, match=r"x\.png"):
        Photo(shades(4, 4, 1, 255)).save(tmp_path / "x.jpg")


def test_a_sheet_takes_one_size() -> None:
    few = [Photo(shades(4, 4, 3, 255)), Photo(shades(4, 6, 3, 255), inputs=({"name": "wide.png", "digest": ""},))]
    with pytest.raises(UserError, match=r"wide\.png is of another size"):
        Photo.TOGETHER[".png"](few, Path("x.png"))
    assert Photo(shades(4, 4, 3, 255)).with_pixels(torch.zeros(3, 8, 8)).alpha is None
