"""Images: decoding of each kind of file, built-in data sets, batches and the cache."""

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reverie.data import cache
from reverie.data.file_types import InvalidFile, quiet_pillow
from reverie.data.images import decode, tiff
from reverie.data.images.dataset import Images
from reverie.data.images.patches import ImagePatches
from reverie.data.images.unpaired import Unpaired
from reverie.data.kinds import open_data
from reverie.utils.errors import UserError


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def encode(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noise(seed, side=8, channels=3):
    shape = (side, side, 3) if channels == 3 else (side, side)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def some(path, count=3):
    return folder(path, {f"{i}.png": encode(noise(i)) for i in range(count)})


PILLOW = int(PIL.__version__.split(".")[0])
RGB = Image.new("RGB", (8, 8), (200, 100, 50))
GREY = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
CLEAR = Image.new("RGBA", (8, 8), (200, 100, 50, 0))
HALF = Image.new("LA", (8, 8), (0, 51))  # black at a fifth: four fifths of white shine through
PALETTE = RGB.quantize(4)


def flat(mode, value):
    """An image of one value, in modes that Image.new fills in different ways."""
    kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
    return Image.fromarray(np.full((8, 8), value, kind))


@pytest.mark.parametrize(
    ("image", "form", "options", "expected"),
    [
        (RGB, "PNG", {}, (200, 100, 50)),
        (RGB, "BMP", {}, (200, 100, 50)),
        (RGB, "TIFF", {}, (200, 100, 50)),
        (RGB, "TIFF", {"compression": "tiff_lzw"}, (200, 100, 50)),
        (RGB, "GIF", {}, (200, 100, 50)),
        (RGB, "AVIF", {"quality": 100, "subsampling": "4:4:4"}, (200, 100, 50)),
        (RGB, "JPEG2000", {}, (200, 100, 50)),
        (RGB, "QOI", {}, (200, 100, 50)),
        (RGB, "DIB", {}, (200, 100, 50)),
        (RGB.quantize(2), "BMP", {}, (200, 100, 50)),
        (RGB.quantize(2), "PNG", {"bits": 1}, (200, 100, 50)),
        (RGB.quantize(2), "TIFF", {}, (200, 100, 50)),
        (Image.new("L", (8, 8), 77).convert("P"), "BMP", {}, 77),
        (RGB, "PPM", {}, (200, 100, 50)),
        (RGB, "WEBP", {"lossless": True}, (200, 100, 50)),
        (RGB, "JPEG", {"quality": 95}, (200, 100, 50)),
        pytest.param(
            RGB.convert("YCbCr"),
            "TIFF",
            {},
            (200, 100, 50),
            marks=pytest.mark.skipif(PILLOW < 13, reason="Pillow before 13 reads no such file, its own included"),
        ),
        (Image.new("1", (8, 8), 1), "PNG", {}, 255),
        (Image.new("1", (8, 8), 1), "TIFF", {}, 255),
        (Image.new("L", (8, 8), 77), "PNG", {}, 77),
        (Image.new("L", (8, 8), 77), "JPEG", {}, 77),
        (Image.new("L", (8, 8), 77), "GIF", {}, 77),
        (Image.new("L", (8, 8), 77), "BMP", {}, 77),
        (Image.new("L", (8, 8), 77).convert("P"), "PNG", {}, 77),  # a palette of greys
        (Image.new("L", (8, 8), 77), "PNG", {"transparency": 77}, 255),
        (HALF, "PNG", {}, 204),
        (PALETTE, "PNG", {}, (200, 100, 50)),
        (PALETTE, "PNG", {"transparency": 0}, (255, 255, 255)),
        (PALETTE, "GIF", {"transparency": 0}, (255, 255, 255)),
        (RGB, "PNG", {"transparency": (200, 100, 50)}, (255, 255, 255)),
        (CLEAR, "PNG", {}, (255, 255, 255)),
        (CLEAR, "WEBP", {"lossless": True, "exact": True}, (255, 255, 255)),
        (CLEAR, "TIFF", {}, (255, 255, 255)),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF", {}, (255, 0, 0)),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", {"quality": 100}, (255, 0, 0)),
        (flat("I;16", 65535), "PNG", {}, 255),
        (flat("I;16", 257 * 40), "PNG", {}, 40),
        (flat("I;16", 257 * 40), "TIFF", {}, 40),
        (flat("I", 257 * 40), "TIFF", {}, 40),
        (flat("F", 0.5), "TIFF", {}, 128),
        (flat("F", 200.2), "TIFF", {}, 200),
    ],
    ids=lambda value: getattr(value, "mode", value if isinstance(value, str) else ""),
)
def test_every_format_and_mode_keeps_its_colour(image, form, options, expected):
    data = encode(image, form, **options)
    header = decode.read_header(data)
    assert header.fault == ""
    assert (header.width, header.height) == (8, 8)
    assert header.grey == isinstance(expected, int)
    wide = decode.decode(data, 8, 3)
    assert wide.shape == (8, 8, 3)
    assert wide.dtype == np.uint8
    np.testing.assert_allclose(
        wide.reshape(-1, 3).astype(int) - np.array(expected), 0, atol=4 if form in ("JPEG", "AVIF") else 1
    )
    luma = expected if isinstance(expected, int) else round(np.dot(expected, (0.299, 0.587, 0.114)))
    np.testing.assert_allclose(decode.decode(data, 8, 1).astype(int), luma, atol=4 if form in ("JPEG", "AVIF") else 1)


def test_big_endian_16_bit():
    tiff = encode(Image.frombytes("I;16B", (8, 8), b"\x28\x28" * 64), "TIFF")
    assert (decode.decode(tiff, 8, 1) == 40).all()


def test_the_header_has_the_bits_per_channel():
    assert decode.read_header(encode(flat("I;16", 9))).bits == 16
    assert decode.read_header(encode(flat("F", 9.0), "TIFF")).bits == 32
    assert decode.read_header(encode(Image.new("1", (8, 8)))).bits == 1
    assert decode.read_header(encode(RGB, "JPEG")).bits == 8


def test_lossless_pixels_come_through_untouched_at_their_own_size():
    image = noise(5, 16)
    np.testing.assert_array_equal(decode.decode(encode(image), 16, 3), np.asarray(image))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(orientation, form):
    upright = np.zeros((16, 16), np.uint8)
    upright[:8, :8], upright[:8, 8:] = 240, 120  # bright at the top left, dimmer at the top right
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpose that makes such a file from an upright image
    stored = Image.fromarray(upright)
    stored = stored if orientation == 1 else stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(stored, form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    out = decode.decode(data, 16, 1)[..., 0].astype(int)
    assert [out[4, 4] // 100, out[4, 12] // 100, out[12, 4] // 100, out[12, 12] // 100] == [2, 1, 0, 0]
    assert decode.read_header(data).orientation == orientation


def turned(kind, orientation):
    """An image 24 wide and 16 high, in a file that stores an orientation in one of the possible ways."""
    image, exif = noise(orientation, 24).crop((0, 0, 24, 16)), Image.Exif()
    exif[0x0112] = orientation
    if kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        return encode(image, kind, exif=exif)
    profile = f"\nexif\n{len(exif.tobytes()):8}\n{exif.tobytes().hex()}\n"
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    if kind == "JPEG xmp":
        return encode(image, "JPEG", xmp=xmp.encode())
    chunks = {
        "eXIf": chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")),
        "profile": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile.encode())),
        "xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp.encode()),
    }
    place, _, what = kind.partition(" ")
    data = encode(image)
    at = data.index(b"IDAT" if place == "early" else b"IEND") - 4
    return data[:at] + chunks[what] + data[at:]


LATE_OR_EARLY = [f"{place} {what}" for place in ("early", "late") for what in ("eXIf", "profile", "xmp")]


@pytest.mark.parametrize("orientation", [0, *range(1, 9), 9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "JPEG xmp", *LATE_OR_EARLY])
def test_the_size_in_a_header_is_that_of_the_pixels(kind, orientation, tmp_path):
    data = turned(kind, orientation)
    header = decode.read_header(data)
    assert (header.width, header.height) == (24, 16)
    assert header.orientation == (orientation if 1 <= orientation <= 8 else 1)
    path = folder(tmp_path / "d", {"turned.png": data, "plain.png": encode(noise(9, 16))})
    images = Images.open(path)
    for item in images.items:
        assert images.read_full(item).shape[:2] == images.full_shape(item)
    assert any("EXIF" in note for note in images.notes) == (header.orientation > 1)
    assert len(ImagePatches.open(path).prepare(16)) == 3


def test_cached_scans_of_another_version_are_not_used(tmp_path):
    """They may have other sizes than the pixels."""
    path = folder(tmp_path / "d", {"a.png": turned("late eXIf", 6)})
    place = str((tmp_path / "d").resolve())
    Images.open(path)
    memo = cache.load_memo(place)
    cache.save_memo(place, {**memo, "version": 1, "kinds": [[*memo["kinds"][0][:5], 1, *memo["kinds"][0][6:]]]})
    assert Images.open(path).items[0].header.orientation == 6


def test_a_photograph_of_another_size_than_its_header_says_is_dropped(tmp_path, monkeypatch):
    path = folder(
        tmp_path / "d", {"a.png": encode(noise(1, 32)), "b.png": turned("PNG", 6), "c.png": encode(noise(2, 16))}
    )
    monkeypatch.setattr(decode, "_orientation", lambda image, data: 1)
    photos = ImagePatches.open(path).prepare(16)
    assert len(photos) == 4 + 1
    assert [tuple(drop) for drop in photos.dropped] == [("b.png", "another size than its header says: 16x24")]
    assert np.array_equal(photos.pixels(4), np.asarray(noise(2, 16)))


def test_pixels_of_another_shape_are_refused(cache_dir):
    with pytest.raises(RuntimeError, match=r"b was decoded as \(4, 5, 1\), not \(4, 4, 1\)"):
        cache.load_or_build("key", ["a", "b"], (4, 4, 1), lambda i: np.zeros((4, 4 + i, 1), np.uint8))
    assert not list(cache_dir.glob("images/*.part"))


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("L", (8, 8), 30), Image.new("L", (8, 8), 220)]
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encode(frames[0], form, save_all=True, append_images=frames[1:])
        assert decode.read_header(data).animated
        assert abs(int(decode.decode(data, 8, 1).mean()) - 30) <= 3


def test_the_centre_square_is_kept():
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 255
    assert (decode.decode(encode(Image.fromarray(wide)), 10, 1) == 255).all()
    assert (decode.decode(encode(Image.fromarray(wide.T.copy())), 10, 1) == 255).all()


def test_shrinking_is_antialiased():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    out = decode.decode(encode(Image.fromarray(stripes)), 8, 1)
    assert np.abs(out[:, 1:-1].astype(int) - 127).max() < 12  # without antialiasing: all black or all white


def test_a_large_jpeg_is_the_same_when_scaled_while_decoding():
    ramp = Image.fromarray((np.add.outer(np.arange(512), np.arange(512)) // 4).astype(np.uint8))
    data = encode(ramp, "JPEG", quality=95)
    full = decode.fit(Image.open(io.BytesIO(data)), 32, 1)
    assert np.abs(decode.decode(data, 32, 1).astype(int) - full).max() <= 2


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width, height):
    """A PNG that claims a size and holds next to nothing."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(64)))


PNG = encode(noise(1, 64))
HEIC = "HEIC, which is not read; convert it to JPEG or PNG, such as with `magick mogrify -format jpg *.heic`"


def webp_header():
    """A WebP that claims 64 megapixels, of which its decoder would hold four copies."""
    frame = b"\x2f" + struct.pack("<I", 7999 | 7999 << 14) + bytes(8)
    chunk = b"VP8L" + struct.pack("<I", len(frame)) + frame + b"\0" * (len(frame) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


INVALID = {
    "empty.png": (b"", "empty file"),
    "text.png": (b"not an image at all", "not an image, despite its suffix"),
    "cut.png": (PNG[: len(PNG) // 2], "truncated file"),
    "cut.jpg": (encode(noise(1, 64), "JPEG")[:1500], "truncated file"),
    "cut.bmp": (encode(noise(1, 64), "BMP")[:5000], "truncated file"),
    "header.png": (PNG[:20], "truncated file"),
    "odd.bmp": (b"BM" + bytes(100), "damaged file: Unsupported BMP header type (0)"),
    "bomb.png": (png_header(20_000, 20_000), "more than 100 megapixels"),
    "large.png": (png_header(10_001, 10_000), "more than 100 megapixels: 10001 x 10000"),
    "tiny.png": (encode(Image.new("L", (40, 3))), "smaller than 4 pixels on a side: 3-pixel image"),
    "nan.tif": (encode(flat("F", np.nan), "TIFF"), "float values that are not finite: from nan to nan"),
    "webp.png": (webp_header(), "takes more than 800 MB to decode: 8000 x 8000"),
    "photo.jpg": (b"\0\0\0\x18ftypheic" + bytes(64), HEIC),
    "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(64), HEIC),
    "lab.tif": (encode(Image.new("LAB", (8, 8)), "TIFF"), f"colour mode not supported: LAB; {tiff.TO_PNG}"),
    "notes.txt": (b"hello", "not an image file"),
}


@pytest.mark.parametrize("name", INVALID)
def test_what_cannot_be_used_is_dropped_with_its_reason(name, tmp_path, capfd, recwarn):
    data, reason = INVALID[name]
    images = Images.open(folder(some(tmp_path / "d"), {name: data})).prepare(8)
    assert len(images) == 3
    assert [tuple(drop) for drop in images.dropped] == [(name, reason)]
    np.testing.assert_array_equal(images.pixels(2), np.asarray(noise(2)))
    assert capfd.readouterr().err == ""
    assert not recwarn.list


def forbid(patch, name):
    """Files of this name cannot be read."""
    real = Path.read_bytes

    def refuse(self):
        if self.name == name:
            raise PermissionError(13, "Permission denied")
        return real(self)

    patch.setattr(Path, "read_bytes", refuse)


def test_a_file_without_permission_is_dropped_and_tried_again(tmp_path, monkeypatch):
    path = some(tmp_path / "d")
    with monkeypatch.context() as patch:
        forbid(patch, "1.png")
        images = Images.open(path)
        assert [tuple(drop) for drop in images.dropped] == [("1.png", "unreadable: Permission denied")]
        assert len(images) == 2
    assert len(Images.open(path)) == 3


@pytest.mark.parametrize("kind", [Images, ImagePatches, Unpaired])
def test_files_that_cannot_be_read_for_a_while_are_not_dropped(kind, tmp_path):
    path = tmp_path / "nas"
    for domain in ("trainA", "trainB") if kind is Unpaired else ("",):
        folder(path / domain, {f"{i:02}.png": encode(noise(i, 16)) for i in range(40)})
    data = kind.open(path)
    gone = sorted(path.rglob("*.png"))[20:40]
    for file in gone:
        file.rename(file.with_suffix(".away"))
    with pytest.raises(UserError, match=r"^cannot read .*[23]\d.* now \(unreadable: No such file") as caught:
        data.prepare(16)
    assert "\n" not in str(caught.value)
    for file in gone:
        file.with_suffix(".away").rename(file)
    assert len(kind.open(path).prepare(16)) == (40 if kind is not Unpaired else 1600)
    assert not data.dropped


def test_a_file_that_lost_its_permission_is_dropped_at_the_second_try(tmp_path, monkeypatch):
    path = some(tmp_path / "d", 4)
    fingerprint = Images.open(path).prepare(8).fingerprint
    with monkeypatch.context() as patch:
        forbid(patch, "1.png")
        assert len(Images.open(path).prepare(8)) == 4  # what is in the cache need not be read
        with pytest.raises(UserError, match=r"cannot read 1.png now \(unreadable: Permission denied\)"):
            Images.open(path).prepare(12)
        rest = Images.open(path).prepare(12)
        assert [tuple(drop) for drop in rest.dropped] == [("1.png", "unreadable: Permission denied")]
        assert len(rest) == 3
        assert rest.fingerprint != fingerprint
    again = Images.open(path).prepare(12)
    assert (len(again), again.fingerprint, again.dropped) == (4, fingerprint, [])


def test_files_are_not_dropped_for_lack_of_memory(tmp_path, monkeypatch):
    path = some(tmp_path / "d")

    def fail(*_):
        raise MemoryError

    images = Images.open(path)
    with monkeypatch.context() as patch:
        patch.setattr(decode, "fit", fail)
        with pytest.raises(UserError, match=r"cannot read \d.png now \(not enough memory\)"):
            images.prepare(8)
    assert len(Images.open(path).prepare(8)) == 3
    other = some(tmp_path / "other")
    with monkeypatch.context() as patch:
        patch.setattr(decode, "open_image", fail)
        with pytest.raises(UserError, match="all 3 'not enough memory'"):
            Images.open(other)
    assert len(Images.open(other)) == 3


def test_a_zip_on_a_share_that_fails_is_read_again(tmp_path, monkeypatch):
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w") as file:
        for i in range(3):
            file.writestr(f"{i}.png", encode(noise(i)))

    def fail(*_):
        raise OSError(5, "Input/output error")

    images = Images.open(path)
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipExtFile, "read", fail)
        with pytest.raises(UserError, match="Input/output error"):
            images.prepare(8)
    assert len(Images.open(path).prepare(8)) == 3


def test_duplicates_are_dropped_and_name_the_original(tmp_path):
    same = encode(noise(1))
    path = folder(tmp_path / "d", {"a/1.png": same, "a/2.png": same, "b/3.png": same, "b/4.png": encode(noise(2))})
    assert [tuple(drop) for drop in Images.open(path).dropped] == [
        ("a/2.png", "duplicate: same as a/1.png"),
        ("b/3.png", "duplicate: same as a/1.png, which is labelled 'a'"),
    ]


@pytest.mark.parametrize(
    "files", [{"a.png": b""}, {"a.png": PNG[:-60], "b.png": b"x"}, {"cut.png": PNG[: len(PNG) // 2]}]
)
def test_nothing_usable_is_one_line_with_the_most_frequent_reason(files, tmp_path):
    with pytest.raises(
        UserError, match=r"none of the \d images in .* can be used: .*(empty|truncated|not an image|damaged)"
    ):
        Images.open(folder(tmp_path / "d", files)).prepare(8)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.data())
def test_damage_never_crashes(form, data):
    content = bytearray(encode(noise(3, 24), form))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    broken = bytes(content[: data.draw(st.integers(0, len(content)))])
    with quiet_pillow():
        header = decode.read_header(broken)
        try:
            reason, shape = "", decode.decode(broken, 8, 3).shape
        except InvalidFile as invalid:
            reason, shape = str(invalid), None
    assert (shape == (8, 8, 3)) == (reason == "")
    assert "\n" not in reason + header.fault
    assert not (header.fault and shape)  # an image that its header rules out cannot be decoded either


@settings(max_examples=40, deadline=None)
@given(
    st.integers(4, 40), st.integers(4, 40), st.integers(4, 40), st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA"])
)
def test_any_size_of_any_mode_becomes_a_square(width, height, size, mode):
    data = encode(Image.new(mode, (width, height)))
    for channels in (1, 3):
        assert decode.decode(data, size, channels).shape == (size, size, channels)


def test_facts_and_notes(tmp_path):
    path = folder(
        tmp_path / "d",
        {
            "a.png": encode(noise(1, 12)),
            "b.png": encode(Image.new("L", (8, 20), 3)),
            "c.png": encode(Image.new("RGBA", (6, 6), (1, 2, 3, 4))),
        },
    )
    images = Images.open(path)
    assert images.facts == {"channels": 3, "classes": 0, "native": 8}
    assert images.classes == []
    assert images.prepare(8).notes == [
        "1 of 3 images have alpha: laid on white",
        "1 of 3 images are not square: the centre square was kept",
        "1 of 3 images are grey: repeated to RGB",
        "1 of 3 images have a side under 8 pixels: enlarged for networks of that size",
    ]
    assert "2 of 3 images are in colour: turned to grey" in images.prepare(8, channels=1).notes
    assert images.pixels(0).shape == (8, 8, 1)


def test_all_grey_files_make_one_channel(tmp_path):
    path = folder(tmp_path / "d", {"a.png": encode(Image.new("L", (8, 8), 3)), "b.png": encode(Image.new("1", (8, 8)))})
    images = Images.open(path).prepare(8)
    assert images.facts["channels"] == 1
    assert images.pixels(0).shape == (8, 8, 1)
    assert images.prepare(8, 3).pixels(0).shape == (8, 8, 3)


def test_batch_is_in_range_and_in_order(tmp_path):
    path = folder(tmp_path / "d", {f"{c}/{i}.png": encode(noise(10 * c + i)) for c in range(2) for i in range(3)})
    images = Images.open(path).prepare(8)
    batch = images.batch([4, 0, 4])
    assert batch["image"].dtype == torch.float32
    assert batch["image"].shape == (3, 3, 8, 8)
    assert batch["image"].is_contiguous()
    assert batch["label"].tolist() == [1, 0, 1]
    assert batch["label"].dtype == torch.int64
    expected = np.asarray(noise(11)).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(batch["image"][0].numpy(), expected, atol=1e-6)
    assert images.batch(np.array([], np.int64))["image"].shape == (0, 3, 8, 8)
    with pytest.raises(IndexError):
        images.batch([6])


def test_unlabelled_batches_have_no_label_and_extremes_are_exact(tmp_path):
    path = folder(
        tmp_path / "d", {"a.png": encode(Image.new("L", (8, 8), 0)), "b.png": encode(Image.new("L", (8, 8), 255))}
    )
    batch = Images.open(path).prepare(8).batch([0, 1])
    assert set(batch) == {"image"}
    assert batch["image"][0].unique().tolist() == [-1.0]
    assert batch["image"][1].unique().tolist() == [1.0]


@pytest.mark.parametrize(("size", "channels"), [(3, None), (4096, None), (32, 2)])
def test_impossible_sizes_are_refused(size, channels, tmp_path):
    with pytest.raises(UserError, match="must be"):
        Images.open(some(tmp_path / "d")).prepare(size, channels)


def test_asking_for_pixels_before_prepare_is_a_mistake(tmp_path):
    with pytest.raises(RuntimeError, match="prepare"):
        Images.open(some(tmp_path / "d")).batch([0])


# the cache


@pytest.fixture
def counted(monkeypatch):
    """How often headers are read and images decoded."""
    calls = {"decode": 0, "read_header": 0}
    for name in calls:
        real = getattr(decode, name)

        def count(*args, name=name, real=real):
            calls[name] += 1
            return real(*args)

        monkeypatch.setattr(decode, name, count)
    return calls


def test_the_second_run_reads_and_decodes_nothing(tmp_path, counted):
    path = some(tmp_path / "d")
    first = Images.open(path).prepare(8)
    assert counted == {"decode": 3, "read_header": 3}
    second = Images.open(path).prepare(8)
    assert counted == {"decode": 3, "read_header": 3}
    np.testing.assert_array_equal(first.array, second.array)
    second.prepare(16)
    second.prepare(8, 1)
    assert counted == {"decode": 9, "read_header": 3}


def test_only_what_changed_is_read_again(tmp_path, counted):
    path = some(tmp_path / "d")
    before = Images.open(path).fingerprint
    folder(path, {"new.png": encode(noise(9)), "0.png": encode(noise(7, 20))})
    after = Images.open(path)
    assert counted["read_header"] == 5
    assert len(after) == 4
    assert after.fingerprint != before
    (path / "new.png").unlink()
    assert len(Images.open(path)) == 3
    assert counted["read_header"] == 5


def test_a_copy_elsewhere_uses_the_same_pixels(tmp_path, counted):
    Images.open(some(tmp_path / "a")).prepare(8)
    Images.open(some(tmp_path / "b")).prepare(8)
    assert counted == {"decode": 3, "read_header": 6}


def test_what_decoding_dropped_is_remembered(tmp_path, counted):
    path = folder(some(tmp_path / "d"), {"1a.png": PNG[: len(PNG) // 2]})
    assert len(Images.open(path)) == 4
    for _ in range(2):
        images = Images.open(path).prepare(8)
        assert [tuple(drop) for drop in images.dropped] == [("1a.png", "truncated file")]
        assert [item.name for item in images.items] == ["0.png", "1.png", "2.png"]
        np.testing.assert_array_equal(images.pixels(2), np.asarray(noise(2)))
    assert counted["decode"] == 4


def cut(data):
    return data[: len(data) // 2]


def blank(data):
    return data[:50] + bytes(len(data) - 50)


def flip(data):
    return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]


@pytest.mark.parametrize("damage", [cut, blank, flip, lambda data: b""])
@pytest.mark.parametrize("pattern", ["images/*.npy", "images/*.json", "scans/*.json"])
def test_a_damaged_cache_is_built_again_silently(tmp_path, cache_dir, damage, pattern, capfd):
    path = some(tmp_path / "d", 5)
    want = np.array(Images.open(path).prepare(8).array)
    good = {file: file.read_bytes() for file in cache_dir.glob(pattern)}
    assert good
    for file, content in good.items():
        file.write_bytes(damage(content))
        assert file.read_bytes() != content
    images = Images.open(path).prepare(8)
    np.testing.assert_array_equal(images.array, want)
    assert {file: file.read_bytes() for file in good} == good
    assert capfd.readouterr().err == ""


def test_the_cache_is_a_plain_npy_file(tmp_path, cache_dir):
    images = Images.open(some(tmp_path / "d")).prepare(8)
    (file,) = cache_dir.glob("images/*.npy")
    np.testing.assert_array_equal(np.load(file, allow_pickle=False), images.array)
    assert isinstance(images.array, np.memmap)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, cache_dir, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    images = Images.open(some(tmp_path / "d"))
    monkeypatch.setattr(cache, "_sync", full)
    with pytest.raises(UserError, match=r"No space left on device.*REVERIE_CACHE") as caught:
        images.prepare(8)
    assert str(cache_dir) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [file.suffix for file in (cache_dir / "images").iterdir() if file.suffix != ".lock"] == []


def test_a_cache_that_is_a_file_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="REVERIE_CACHE"):
        Images.open(some(tmp_path / "d")).prepare(8)


def test_remains_of_a_killed_run_are_cleared(tmp_path, cache_dir):
    images = Images.open(some(tmp_path / "d"))
    images.prepare(8)
    (npy,) = cache_dir.glob("images/*.npy")
    npy.unlink()
    stale = npy.with_name(f"{npy.stem}.999999.part")
    stale.write_bytes(b"half")
    images.prepare(8)
    assert npy.exists()
    assert not stale.exists()


def test_two_processes_may_build_at_once(tmp_path, cache_dir):
    path = some(tmp_path / "d", 40)
    code = "import sys; from reverie.data.kinds import open_data; print(open_data(sys.argv[1]).prepare(16).array.sum())"
    command = [sys.executable, "-c", code, str(path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    want = str(Images.open(path).prepare(16).array.sum())
    assert [out.strip() for out, _ in outs] == [want, want]
    assert not list(cache_dir.glob("**/*.part"))


def test_order_is_kept_over_many_threads_and_chunks(tmp_path):
    path = folder(tmp_path / "d", {f"{i:03}.png": encode(Image.new("L", (4 + i % 3, 5), i)) for i in range(200)})
    images = Images.open(path).prepare(4)
    assert images.array.mean(axis=(1, 2, 3)).tolist() == list(range(200))


def test_importing_the_package_is_cheap():
    code = (
        "import sys, reverie.data.cache, reverie.data.download, reverie.data.images.decode;"
        "import reverie.data.images.sources, reverie.data.images.synthetic;"
        "print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# built-in sets


@pytest.mark.parametrize(("name", "channels", "classes"), [("letters", 1, 26), ("shapes", 3, 5)])
def test_a_built_in_set_is_balanced_and_begins_the_longer_one(name, channels, classes):
    short, long = open_data(f"{name}:{2 * classes}").prepare(32), open_data(f"{name}:{3 * classes}").prepare(32)
    drawn = {"photographs": False} if channels == 1 else {}
    assert short.facts == {"channels": channels, "classes": classes, "native": 32, **drawn}
    assert len(short) == 2 * classes
    np.testing.assert_array_equal(short.array, long.array[: 2 * classes])
    assert np.bincount(long.batch(range(len(long)))["label"]).tolist() == [3] * classes
    assert len(np.unique(long.array.reshape(len(long), -1), axis=0)) == len(long)
    assert open_data(name).splits == ["train", "test"]
    assert (len(open_data(name)), len(open_data(name, "test"))) == (10_000, 2_000)
    assert open_data(f"{name}:5", "test").fingerprint == open_data(name, "test").fingerprint


@pytest.mark.parametrize("name", ["letters", "shapes"])
def test_the_splits_of_a_built_in_set_differ_and_it_draws_at_any_size(name):
    source = open_data(f"{name}:5")._source
    train, test = (source.read_square(source.parts[split].items[0], 32, 3) for split in ("train", "test"))
    assert np.abs(train.astype(int) - test).max() > 30
    large = source.read_square(source.parts["train"].items[0], 64, 3)
    small = np.asarray(Image.fromarray(large).reduce(2))
    assert np.abs(small.astype(int) - train).mean() < 5  # the same image, drawn finer


def test_letters_are_white_ink_inside_the_frame():
    images = open_data("letters:260").prepare(32)
    assert images.array[:, 0, 0].max() == 0
    assert images.array.max(axis=(1, 2, 3)).min() > 120  # all legible
    assert images.array[:, [0, -1]].mean() < 3
    assert images.array[:, :, [0, -1]].mean() < 3


@pytest.mark.parametrize("spec", ["letters:0", "letters:x", "letters:", "shapes:-3", "shapes:1.5"])
def test_a_number_that_is_none_is_refused(spec):
    with pytest.raises(UserError, match="number of images"):
        open_data(spec)
