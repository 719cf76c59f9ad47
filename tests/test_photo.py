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

from reverie.media import Image, Photo, read_record
from reverie.media.saliency_map import draw_saliency
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
    assert np.array_equal(read.pixels, pixels)  # grey stays grey
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


@pytest.mark.parametrize("kind", ["<", ">", "< deflate", "> deflate", "< tiles", "< alpha", "> premultiplied"])
def test_planar_tiffs_of_sixteen_bits_are_what_interleaved_ones_are(tmp_path: Path, kind: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    colour = random_levels(40, 50, 3, 65535)
    alpha = np.where(np.arange(50) < 20, 0, np.where(np.arange(50) < 30, 30_000, 65535)) * np.ones((40, 1))
    stored = np.dstack([colour * (alpha[:, :, None] / 65535), alpha]) if "premultiplied" in kind else colour
    stored = np.dstack([colour, alpha]) if "alpha" in kind else stored
    how = {
        "planarconfig": "separate", "photometric": "rgb", "byteorder": kind[0],
        "compression": "zlib" if "deflate" in kind else None, "tile": (16, 16) if "tiles" in kind else None,
        "extrasamples": ["unassalpha" if "alpha" in kind else "assocalpha"] if stored.shape[2] == 4 else None,
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "x.tif", np.moveaxis(stored.round().astype(np.uint16), 2, 0), **how)
    photo, image = Photo.load(tmp_path / "x.tif"), Image.load(tmp_path / "x.tif")
    seen = alpha[0] > 0 if stored.shape[2] == 4 else np.ones(50, bool)
    assert np.abs(photo.pixels.astype(int) - colour)[:, seen].max() <= (2 if "premultiplied" in kind else 0)
    assert (photo.alpha is None) == (stored.shape[2] == 3)
    assert photo.alpha is None or np.array_equal(photo.alpha, alpha)
    assert np.abs(image.pixels.astype(int) - colour // 256)[:, -20:].max() <= 1


def test_premultiplied_colours_are_divided_by_their_alpha(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="16 bits in colour take OpenCV, an extra")
    tifffile = pytest.importorskip("tifffile")
    stored = np.array([[[1000, 20_000, 0, 30_000], [7, 8, 9, 65535], [0, 0, 0, 0], [9, 1, 1, 3]]] * 4, np.uint16)
    for name, extra in (("assoc", "assocalpha"), ("unassoc", "unassalpha"), ("none", "unspecified")):
        tifffile.imwrite(tmp_path / f"{name}.tif", stored, photometric="rgb", extrasamples=[extra])
    photo = Photo.load(tmp_path / "assoc.tif")
    assert photo.pixels[0].tolist() == [[2185, 43690, 0], [7, 8, 9], [0, 0, 0], [65535, 21845, 21845]]
    assert photo.alpha is not None
    assert np.array_equal(photo.alpha, stored[:, :, 3])
    assert np.array_equal(Photo.load(tmp_path / "unassoc.tif").pixels, stored[:, :, :3])
    assert Photo.load(tmp_path / "none.tif").alpha is None  # a fourth channel that is not said to be alpha


def test_sound_tiffs_that_are_not_read_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("cv2", reason="16 bits in colour take OpenCV, an extra")
    grey = np.zeros((8, 9), np.uint16)
    how = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "la.tif", np.dstack([grey, grey]), **how)
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((8, 9, 3), np.float32), photometric="rgb")
    tifffile.imwrite(tmp_path / "cmyk.tif", np.zeros((8, 9, 4), np.uint16), photometric="separated")
    PIL.Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "x.tga")
    (tmp_path / "x.tga").rename(tmp_path / "tga.png")
    PIL.Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "x.pcx")
    for name, kind in {
        "la.tif": "TIFF of grey with alpha, 16 bits a channel", "float.tif": "RGB, 32 floating-point bits a channel",
        "cmyk.tif": "CMYK of 16 bits a channel", "tga.png": "an image of a kind that is not read",
        "x.pcx": "an image of a kind that is not read",
    }.items():  # fmt: skip
        with pytest.raises(UserError, match=rf"{kind}.*; convert it to .*`magick mogrify -format png"):
            Photo.load(tmp_path / name)
    assert capfd.readouterr().err == ""  # what OpenCV says


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


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("full", [255, 65535])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("space", [b"GRAY", b"RGB ", b"CMYK"])
def test_a_profile_of_other_channels_is_dropped(
    tmp_path: Path, space: bytes, channels: int, full: int, alpha: bool
) -> None:
    pytest.importorskip("cv2", reason="16 bits in colour take OpenCV, an extra")
    sRGB = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    profile = sRGB[:16] + space + sRGB[20:]
    opacity = random_levels(5, 7, 1, full)[:, :, 0] if alpha else None
    path = Photo(random_levels(5, 7, channels, full), opacity, profile=profile).save(tmp_path / "x.png")
    assert (Photo.load(path).profile == profile) is ({1: b"GRAY", 3: b"RGB "}[channels] == space)


@pytest.mark.parametrize(("channels", "full"), [(1, 255), (3, 255), (3, 65535)])
def test_an_overlay_of_saliency_keeps_alpha_and_the_profile_of_colours(channels: int, full: int) -> None:
    alpha = random_levels(5, 7, 1, full)[:, :, 0]
    photo = Photo(random_levels(5, 7, channels, full), alpha, profile=b"icc")
    density = np.arange(1.0, 36).reshape(5, 7) / 630
    made = {form: draw_saliency(photo, density, form) for form in ("overlay", "heat", "map")}
    assert made["overlay"].profile == (b"icc" if channels == 3 else None)
    assert made["overlay"].alpha is not None
    assert np.abs(made["overlay"].alpha.astype(float) - alpha * (255 / full)).max() <= 0.5
    assert made["heat"].alpha is made["map"].alpha is made["heat"].profile is made["map"].profile is None


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
