"""Levels: one rule for the values of a set, warnings about values, and the memory that decoding takes."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from reverie.data.images.dataset import Images
from reverie.data.images.inspect import inspect
from reverie.data.images.patches import ImagePatches
from reverie.media import Photo


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))


def write(folder, images, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        image.save(folder / f"{i}{suffix}")
    return folder


def ramp(low, high, dtype=np.uint16, side=16):
    return np.linspace(low, high, side * side).reshape(side, side).astype(dtype)


def prepared(folder):
    return Images.open(folder).prepare(16)


@pytest.mark.parametrize(
    ("values", "dtype", "suffix", "low", "high", "said"),
    [
        ((0, 4095), np.uint16, ".png", 0, 255, "0 to 4095 scaled"),
        ((0, 1000), np.uint16, ".tif", 0, 249, "0 to 1023 scaled"),
        ((0, 16000), np.uint16, ".png", 0, 249, "0 to 16383 scaled"),
        ((0, 60000), np.uint16, ".png", 0, 233, "0 to 65535 scaled"),
        ((0, 200), np.uint16, ".png", 0, 200, "0 to 255 scaled"),
        ((0, 1), np.uint16, ".png", 0, 255, "0 to 1 scaled"),
        ((-1000, 3000), np.int32, ".tif", 0, 255, "have 32 bits a channel: -1000 to 3000 scaled"),
        ((0, 200_000), np.int32, ".tif", 0, 255, "have 32 bits a channel: 0 to 200000 scaled"),
        ((0, 1), np.float32, ".tif", 0, 255, "0 to 1 scaled"),
        ((-1, 1), np.float32, ".tif", 0, 255, "-1 to 1 scaled"),
        ((0, 250), np.float32, ".tif", 0, 250, "0 to 255 scaled"),
        ((0, 1.04), np.float32, ".tif", 0, 255, "0 to 1.04 scaled"),
        ((-40.5, 900), np.float32, ".tif", 0, 255, "-40.5 to 900 scaled"),
    ],
)
def test_the_scale_of_deep_files_is_that_of_the_set(values, dtype, suffix, low, high, said, tmp_path):
    dark = ramp(values[0], values[0] + (values[1] - values[0]) / 8, dtype)  # alone it would be scaled otherwise
    images = prepared(write(tmp_path / "d", [ramp(*values, dtype), dark], suffix))
    assert not images.dropped
    assert int(images.array.min()) == low
    assert abs(int(images.array[0].max()) - high) <= 1
    assert int(images.array[1].max()) <= max(high / 8 + 2, 1)
    assert any(said in note for note in images.notes)
    assert Images.open(tmp_path / "d").facts.get("levels") == images.facts.get("levels")
    assert ImagePatches.open(tmp_path / "d").prepare(16).pixels(0).max() == images.array[0].max()


def test_a_tiff_whose_zero_is_white_is_inverted(tmp_path):
    folder = write(tmp_path / "d", [ramp(0, 4095), ramp(0, 300)])
    image = Image.fromarray(ramp(0, 4095))
    image.save(folder / "2.tif", tiffinfo={262: 0})
    array = prepared(folder).array
    assert (array[0, 0, 0, 0], array[0, -1, -1, 0]) == (0, 255)
    assert (array[2, 0, 0, 0], array[2, -1, -1, 0]) == (255, 0)


def test_the_scale_holds_for_all_splits(tmp_path):
    write(tmp_path / "d" / "train", [ramp(0, 500), ramp(0, 501)])
    write(tmp_path / "d" / "test", [ramp(0, 4000)])
    assert prepared(tmp_path / "d").array.max() == round(501 / 4095 * 255)


def drawing(ink, ground=(0, 0, 0), mode="RGBA"):
    """A square of ink on a transparent ground."""
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[..., :3] = ground
    pixels[4:12, 4:12] = (*ink, 255)
    return Image.fromarray(pixels).convert(mode)


BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (200, 30, 30)


@pytest.mark.parametrize(
    ("inks", "ground", "outside", "said"),
    [
        ((BLACK, BLACK), BLACK, 255, "laid on white"),
        ((WHITE, WHITE), WHITE, 0, "laid on black"),
        ((WHITE, (250, 250, 250), RED), BLACK, 0, "laid on black"),
        ((WHITE, BLACK), BLACK, 128, "laid on grey"),
        ((RED, RED), WHITE, 255, "laid on white"),
    ],
)
def test_alpha_is_laid_on_what_does_not_erase_the_drawing(inks, ground, outside, said, tmp_path):
    images = prepared(write(tmp_path / "d", [drawing(ink, ground) for ink in inks]))
    assert (images.array[:, 0, 0] == outside).all()
    assert all(np.ptp(row) > 100 for row in images.array)
    assert any(said in note for note in images.notes)
    grey = prepared(write(tmp_path / "g", [drawing(ink, ground, "LA") for ink in inks]))
    assert (grey.array[:, 0, 0] == outside).all()


def test_masks_of_zero_and_one_are_black_and_white(tmp_path):
    mask = (ramp(0, 255) > 100).astype(np.uint8)
    images = prepared(write(tmp_path / "d", [mask, 1 - mask]))
    assert set(np.unique(images.array)) == {0, 255}
    assert any("1 is taken as white" in note for note in images.notes)
    assert images.facts["levels"]["byte_white"] == 1


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([ramp(0, 3, np.uint8)] * 2 + [ramp(1, 3, np.uint8)], "nearly black: levels 0 to 3"),
        ([ramp(100, 110, np.uint8), ramp(101, 111, np.uint8)], "nearly of one level: 100 to 111"),
        ([np.full((16, 16), v, np.uint8) for v in (10, 200, 90)], "3 of 3 images are of a single level"),
        ([ramp(0, 255, np.uint8), *(np.full((16, 16), v, np.uint8) for v in (3, 200))], "2 of 3 images are of a"),
    ],
)
def test_values_that_teach_nothing_are_warned_of(images, said, tmp_path):
    folder = write(tmp_path / "d", images)
    assert any(said in warning for warning in prepared(folder).warnings)
    assert any(said in warning for warning in inspect(str(folder))["warnings"])


def test_plain_sets_have_no_levels_and_no_warnings(tmp_path):
    images = prepared(write(tmp_path / "d", [ramp(0, 255, np.uint8), ramp(0, 250, np.uint8)]))
    assert "levels" not in images.facts
    assert not images.warnings


MEMORY = """
import resource, sys
from reverie.data.images import decode
from reverie.media import Photo
data = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode.decode(data, 32, 3) if sys.argv[2] == "data" else Photo.read(data)
except Exception as error:
    print(str(error)[:60], end=" ")
unit = 1 if sys.platform == "darwin" else 1024
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit // 10**6)
"""


def memory(path, how):
    """MB that reading a file takes beside the file itself, in a process of its own, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEMORY, str(path), how], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1]), done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is asked of POSIX")
def test_a_small_file_of_many_pixels_takes_little_memory(tmp_path):
    """25 megapixels, at least 25 times as many bytes as the file has: what is held is a few bytes a pixel."""
    image = Image.new("P", (5000, 5000), 1)
    image.putpalette(bytes(range(12)) * 10)
    image.save(tmp_path / "p.png", transparency=1, compress_level=1)
    assert memory(tmp_path / "p.png", "data")[0] < 25 + 80  # one byte a pixel, and bands
    assert memory(tmp_path / "p.png", "verb")[0] < 5 * 25 + 100  # with RGB and alpha


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is asked of POSIX")
def test_damaged_deep_files_are_found_by_pillow_first(tmp_path):
    pytest.importorskip("cv2")
    header = struct.pack(">IIBBBBB", 9000, 9000, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (tmp_path / "cut.png").write_bytes(data)
    taken, said = memory(tmp_path / "cut.png", "verb")
    assert "truncated" in said
    assert taken < 400


def test_a_photo_of_12_bits_is_read_and_written_in_its_own_scale(tmp_path):
    levels = prepared(write(tmp_path / "d", [ramp(0, 4095), ramp(0, 4095)])).levels
    photo = Photo.load(tmp_path / "d" / "0.png").with_levels(levels)
    x = photo.to_tensor(1)
    assert (float(x.min()), float(x.max())) == (-1, 1)
    back = photo.with_pixels(x[0])
    np.testing.assert_array_equal(back.pixels, photo.pixels)
    assert back.image().pixels.max() == 255
    assert np.asarray(Image.open(io.BytesIO(back.png()))).max() == 4095
