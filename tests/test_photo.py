"""Photographs keep their depth, alpha, size and colour profile, from file to file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import pytest
import torch

from reverie.media import Photo, read_record
from reverie.utils.errors import UserError

RECORD = {"arguments": {}, "index": 0, "synthetic": True}


def random_levels(height: int, width: int, channels: int, full: int) -> np.ndarray:
    draws = np.random.Generator(np.random.Philox(key=[1, height * width]))
    return draws.integers(0, full + 1, (height, width, channels)).astype(np.uint8 if full == 255 else np.uint16)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("full", [255, 65535])
def test_depth_and_alpha_survive(tmp_path: Path, channels: int, alpha: bool, full: int) -> None:
    if full == 65535 and (channels == 3 or alpha):
        pytest.importorskip("cv2", reason="16 bits in colour take OpenCV, an extra")
    pixels = random_levels(13, 21, channels, full)
    photo = Photo(pixels, random_levels(13, 21, 1, full)[:, :, 0] if alpha else None, "x.png", record=RECORD)
    read = Photo.load(photo.save(tmp_path / "x.png"))
    assert read.pixels.dtype == pixels.dtype
    assert np.array_equal(read.pixels[:, :, :channels], pixels)
    assert (read.alpha is None) is not alpha
    assert photo.alpha is None or np.array_equal(read.alpha, photo.alpha)
    assert read_record(tmp_path / "x.png") == RECORD
    again = read.with_pixels(read.to_tensor(read.pixels.shape[2])[0])
    assert np.array_equal(again.pixels, read.pixels)  # to a network and back, to the level
    assert again.alpha is None or np.array_equal(again.alpha, read.alpha)


def test_white_of_sixteen_bits_is_white_in_an_8_bit_image() -> None:
    levels = np.array([[[0], [128], [129], [60000], [65407], [65408], [65535]]], np.uint16)
    assert Photo(levels).image().pixels.ravel().tolist() == [0, 0, 1, 233, 255, 255, 255]


def test_colour_becomes_grey_and_grey_colour(tmp_path: Path) -> None:
    photo = Photo(random_levels(5, 7, 3, 255))
    grey = np.asarray(PIL.Image.fromarray(photo.pixels).convert("L")).astype(float)
    converted = (photo.to_tensor(1)[0, 0].numpy() + 1) * 127.5
    assert np.abs(converted - grey).max() <= 1
    assert Photo(random_levels(5, 7, 1, 255)).to_tensor(3).shape == (1, 3, 5, 7)


def test_palettes_cmyk_and_orientation(tmp_path: Path) -> None:
    image = PIL.Image.fromarray(random_levels(6, 9, 3, 255))
    image.convert("P").save(tmp_path / "p.png")
    image.convert("CMYK").save(tmp_path / "c.jpg")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "t.png", exif=exif)
    assert Photo.load(tmp_path / "p.png").pixels.shape == (6, 9, 3)
    assert Photo.load(tmp_path / "c.jpg").pixels.shape == (6, 9, 3)
    assert np.array_equal(Photo.load(tmp_path / "t.png").pixels, np.rot90(np.asarray(image), 3))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bits_in_colour_are_upright(tmp_path: Path, orientation: int) -> None:
    pytest.importorskip("cv2", reason="16 bits in colour take OpenCV, an extra")
    stored = random_levels(6, 9, 3, 65535)
    (tmp_path / "x.tif").write_bytes(deep_tiff(stored, orientation))
    plain = PIL.Image.fromarray((stored >> 8).astype(np.uint8))
    plain.getexif()[0x0112] = orientation
    upright = np.asarray(PIL.ImageOps.exif_transpose(plain))
    assert np.array_equal(Photo.load(tmp_path / "x.tif").pixels >> 8, upright)


def deep_tiff(pixels: np.ndarray, orientation: int) -> bytes:
    """A TIFF of 16 bits a channel, one strip, uncompressed."""
    height, width, channels = pixels.shape
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, 8), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 14), (274, 3, 1, orientation), (277, 3, 1, channels), (278, 3, 1, height),
        (279, 4, 1, pixels.nbytes),
    ]  # fmt: skip
    data = struct.pack("<HHH", 16, 16, 16) + pixels.astype("<u2").tobytes()
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + b"\0" * 4


def test_depth_and_transparency_of_rarer_files(tmp_path: Path) -> None:
    grey = random_levels(5, 7, 1, 65535)[:, :, 0]
    PIL.Image.fromarray(grey).save(tmp_path / "g.png", transparency=int(grey[2, 3]))
    read = Photo.load(tmp_path / "g.png")
    assert np.array_equal(read.pixels[:, :, 0], grey)
    assert read.alpha is not None
    assert np.array_equal(read.alpha, np.where(grey == grey[2, 3], 0, 65535))
    pytest.importorskip("cv2", reason="16 bits in colour take OpenCV, an extra")
    colour = random_levels(5, 7, 3, 65535)
    (tmp_path / "c.ppm").write_bytes(b"P6\n# a note\n7 5\n65535\n" + colour.astype(">u2").tobytes())
    assert np.array_equal(Photo.load(tmp_path / "c.ppm").pixels, colour)


@pytest.mark.parametrize("full", [255, 65535])
def test_the_colour_profile_is_kept(tmp_path: Path, full: int) -> None:
    if full == 65535:
        pytest.importorskip("cv2", reason="16 bits in colour take OpenCV, an extra")
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    photo = Photo.load(Photo(random_levels(5, 7, 3, full), profile=profile).save(tmp_path / "x.png"))
    assert photo.profile == profile
    output = photo.with_pixels(photo.to_tensor(3)[0])
    assert PIL.Image.open(output.save(tmp_path / "y.png")).info["icc_profile"] == profile
    assert photo.with_pixels(photo.to_tensor(1)[0]).profile is None


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    PIL.Image.fromarray(random_levels(80, 90, 3, 255)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"not a usable image \(truncated file\)"):
        Photo.load(path)


def test_an_unusable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("not an image")
    for path in (tmp_path / "words.png", tmp_path / "nothing.png"):
        with pytest.raises(UserError, match=path.name):
            Photo.load(path)
        with pytest.raises(UserError, match=path.name):
            Photo.check(path)
    with pytest.raises(UserError, match=r"x\.png"):
        Photo(random_levels(4, 4, 1, 255)).save(tmp_path / "x.jpg")


def test_a_grid_takes_one_size() -> None:
    photos = [
        Photo(random_levels(4, 4, 3, 255)),
        Photo(random_levels(4, 6, 3, 255), inputs=({"name": "wide.png", "digest": ""},)),
    ]
    with pytest.raises(UserError, match=r"wide\.png has another size"):
        Photo.COMBINED_WRITERS[".png"](photos, Path("x.png"))
    assert Photo(random_levels(4, 4, 3, 255)).with_pixels(torch.zeros(3, 8, 8)).alpha is None
