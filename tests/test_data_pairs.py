"""Pairs, unpaired domains, patches of photographs, label maps: how folders are recognised and pixels prepared."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reverie
from reverie.cli.main import main
from reverie.data.images.dataset import Images
from reverie.data.images.label_maps import find_palette, nearest_colour_indices
from reverie.data.images.pairs import Pairs
from reverie.data.images.patches import ImagePatches
from reverie.data.images.unpaired import Unpaired
from reverie.data.kinds import open_data
from reverie.utils.errors import UserError


def smooth_image(seed: int, width: int = 24, height: int = 24) -> Image.Image:
    """A smooth image that no other seed gives."""
    draws = np.random.Generator(np.random.Philox(key=[7, seed]))
    small = Image.fromarray(draws.integers(0, 256, (4, 4, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def fill(folder: Path, names: list[str], shift: int = 0, **size: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        smooth_image(i + shift, **size).save(folder / name)
    return folder


def test_side_by_side(tmp_path: Path) -> None:
    for split, count in (("train", 5), ("test", 2)):
        (tmp_path / split).mkdir()
        for i in range(count):
            both = Image.new("RGB", (48, 24))
            both.paste(smooth_image(i), (0, 0))
            both.paste(smooth_image(i + 100), (24, 0))
            both.save(tmp_path / split / f"{i}.png")
    smooth_image(9, 30, 24).save(tmp_path / "train" / "odd.png")
    pairs = open_data(tmp_path)
    assert isinstance(pairs, Pairs)
    assert (len(pairs), pairs.splits) == (5, ["train", "test"])
    assert [d.reason for d in pairs.dropped] == ["not twice as wide as high: 30x24"]
    pairs.prepare(24)
    for i in range(5):
        assert np.array_equal(pairs.pixels(i, "a"), np.asarray(smooth_image(i)))
        assert np.array_equal(pairs.pixels(i, "b"), np.asarray(smooth_image(i + 100)))
    batch = pairs.batch(np.array([1, 0]))
    assert batch["a"].shape == batch["b"].shape == (2, 3, 24, 24)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted(tmp_path.rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path).as_posix())
    assert open_data(tmp_path / "all.zip").fingerprint == pairs.fingerprint


@pytest.mark.parametrize(("a", "b"), [("A", "B"), ("trainA", "trainB"), ("input", "target"), ("train/A", "train/B")])
def test_two_folders_of_the_same_names(tmp_path: Path, a: str, b: str) -> None:
    fill(tmp_path / a, ["1.png", "2.png", "10.png", "lone.png"])
    fill(tmp_path / b, ["1.jpg", "2.png", "10.png"], 50)
    pairs = Pairs.open(tmp_path)
    assert [item.name for item in pairs.a.items] == ["train/1", "train/2", "train/10"]
    assert [(Path(d.name).name, d.reason) for d in pairs.dropped] == [("lone.png", "no partner in domain b")]
    assert len(pairs.prepare(16)) == 3


def test_pairs_of_unequal_aspect_or_with_a_damaged_file_are_dropped(tmp_path: Path) -> None:
    fill(tmp_path / "A", ["1.png", "2.png", "3.png", "4.png"])
    fill(tmp_path / "B", ["1.png", "2.png", "3.png"], 50)
    smooth_image(8, 48, 24).save(tmp_path / "B" / "2.png")
    smooth_image(9, 48, 48).save(tmp_path / "B" / "4.png")  # twice as large, but of the same aspect ratio
    data = (tmp_path / "A" / "3.png").read_bytes()
    (tmp_path / "A" / "3.png").write_bytes(data[: len(data) // 2])
    pairs = Pairs.open(tmp_path).prepare(16)
    assert len(pairs) == 2
    assert {Path(d.name).stem for d in pairs.dropped} == {"2", "3"}
    assert any("aspect ratios of the pair differ: 24x24 and 48x24" in d.reason for d in pairs.dropped)
    assert any("truncated" in d.reason for d in pairs.dropped)


def test_two_paths_with_a_comma(tmp_path: Path) -> None:
    one, other = fill(tmp_path / "photos", ["1.png", "2.png"]), fill(tmp_path / "maps", ["1.png", "2.png"], 9)
    assert len(open_data(f"{one},{other}").prepare(16)) == 2
    assert len(Unpaired.open(f"{one},{other}").prepare(16)) == 4
    assert len(Unpaired.open("letters:3,shapes:5").prepare(16)) == 15


def test_unpaired_domains_are_combined_evenly(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", [f"a{i}.png" for i in range(3)])
    fill(tmp_path / "trainB", [f"b{i}.png" for i in range(5)], 50)
    data = open_data(tmp_path)
    assert isinstance(data, Unpaired)
    data.prepare(16)
    batch = data.batch(np.arange(len(data)))
    combinations = {(float(x.sum()), float(y.sum())) for x, y in zip(batch["a"], batch["b"], strict=True)}
    assert len(data) == len(combinations) == 15


def test_single_images_become_pairs_only_by_a_degradation(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--degradation grey"):
        Pairs.open("shapes:4").prepare(16)
    assert set(Pairs.open("shapes:4").prepare(16, degradation="grey").batch(np.arange(2))) == {"b"}
    fill(tmp_path / "A", ["1.png"])
    fill(tmp_path / "B", ["1.png"])
    with pytest.raises(UserError, match="leave out --degradation"):
        Pairs.open(tmp_path).prepare(16, degradation="grey")


def test_domains_of_other_names_are_not_pairs(tmp_path: Path) -> None:
    fill(tmp_path / "A", ["1.png", "2.png"])
    fill(tmp_path / "B", ["x.png", "y.png"])
    with pytest.raises(UserError, match="few files of the same name in both"):
        Pairs.open(tmp_path)
    with pytest.raises(UserError, match="does not hold two domains"):
        Unpaired.open("shapes:4")
    with pytest.raises(UserError, match="no split 'test'"):
        Unpaired.open(tmp_path, "test")


@pytest.mark.parametrize("method", ["cyclegan", "pix2pix", "gp_gan", "dcgan"])
def test_a_comma_without_a_place_is_not_the_present_folder(method: str, tmp_path: Path) -> None:
    fill(tmp_path, ["1.png", "2.png"])
    for spec in (f"{tmp_path},", f",{tmp_path}", f"{tmp_path},,{tmp_path}"):
        with pytest.raises(UserError, match="nothing stands"):
            reverie.train(f"{method}:smoke", data=spec, out=tmp_path / "run")
    with pytest.raises(UserError, match="nowhere, of the places"):
        reverie.train("cyclegan:smoke", data=f"{tmp_path},{tmp_path}/nowhere", out=tmp_path / "run")


COLOURS = np.array([[0, 0, 200], [255, 120, 0], [0, 220, 90], [250, 250, 250]], np.uint8)


def label_map(seed: int) -> Image.Image:
    draws = np.random.Generator(np.random.Philox(key=[3, seed]))
    return Image.fromarray(COLOURS[draws.integers(0, 4, (6, 6))].repeat(16, 0).repeat(16, 1))


def test_label_maps_keep_their_colours_even_from_jpeg(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    (tmp_path / "B").mkdir()
    for i in range(6):
        smooth_image(i, 96, 96).save(tmp_path / "A" / f"{i}.png")
        label_map(i).save(tmp_path / "B" / f"{i}.jpg", quality=75)
    pairs = Pairs.open(tmp_path).prepare(36)
    assert set(pairs.palettes) == {"b"}
    palette = pairs.palettes["b"].astype(int)
    assert len(palette) == 4
    assert all(np.abs(palette - colour).max(1).min() <= 8 for colour in COLOURS.astype(int))
    for i in range(6):
        made = pairs.pixels(i, "b")
        assert {tuple(c) for c in made.reshape(-1, 3)} <= {tuple(c) for c in pairs.palettes["b"]}
        true = np.asarray(label_map(i).resize((36, 36), Image.Resampling.NEAREST))
        found, expected = (nearest_colour_indices(x, pairs.palettes["b"]) for x in (made, true))
        assert (found == expected).mean() > 0.97


def test_photographs_and_grey_images_are_not_label_maps() -> None:
    assert find_palette([smooth_image(i, 96, 96) for i in range(4)]) is None
    assert find_palette([smooth_image(i, 96, 96).convert("L") for i in range(4)]) is None
    buffer = io.BytesIO()
    label_map(1).save(buffer, "PNG")
    found = find_palette([Image.open(buffer)])
    assert found is not None
    assert found.exact
    assert {tuple(c) for c in found.colours} == {tuple(c) for c in COLOURS}
    drawing = (
        smooth_image(1, 200, 200).convert("L").point(lambda level: 255 if level > 40 else 6 * level)
    )  # lines on white
    assert find_palette([drawing] * 3) is None


def test_label_maps_of_many_classes_and_rare_ones(tmp_path: Path) -> None:
    """150 classes as grey levels; masks of which most are empty; a class that occurs in two files only."""
    draws = np.random.Generator(np.random.Philox(key=[4, 0]))
    for i in range(40):
        for domain in ("many", "masks", "rare", "photos"):
            (tmp_path / domain).mkdir(exist_ok=True)
        smooth_image(i, 64, 64).save(tmp_path / "photos" / f"{i:02}.png")
        areas = draws.integers(0, 150, (4, 4), np.uint8).repeat(16, 0).repeat(16, 1)
        Image.fromarray(areas).save(tmp_path / "many" / f"{i:02}.png")
        mask = np.zeros((64, 64), np.uint8)
        mask[10:30, 20:50] = 255 * (i > 34)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i:02}.png")
        rare = np.array(label_map(i).crop((0, 0, 64, 64)))
        rare[:20, :20] = (255, 128, 0) if i > 37 else rare[0, 0]
        Image.fromarray(rare).save(tmp_path / "rare" / f"{i:02}.png")
    for domain, count in (("many", 100), ("masks", 2), ("rare", 5)):
        pairs = Pairs.open(f"{tmp_path / domain},{tmp_path / 'photos'}").prepare(30)
        assert set(pairs.palettes) == {"a"}
        assert len(pairs.palettes["a"]) >= count
        for i in range(40):
            true = Image.open(tmp_path / domain / f"{i:02}.png")
            expected = np.asarray(true.resize((30, 30), Image.Resampling.NEAREST)).reshape(30, 30, -1)
            assert np.array_equal(pairs.pixels(i, "a"), expected)
    Image.fromarray(draws.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "rare" / "00.png")
    pairs = Pairs.open(f"{tmp_path / 'rare'},{tmp_path / 'photos'}")
    assert "domain a: 1 files have too many colours for label maps, such as train/00" in "".join(pairs.notes)
    assert len(pairs.palettes["a"]) == 5


def test_photographs_are_cut_into_patches_that_cover_them(tmp_path: Path) -> None:
    fill(tmp_path, ["wide.png"], width=50, height=32)
    fill(tmp_path, ["small.png"], 3, width=15, height=40)
    photos = ImagePatches.open(tmp_path).prepare(16)
    assert len(photos) == 4 * 2
    assert [d.reason for d in photos.dropped] == ["smaller than 16 pixels a side: 15x40"]
    full = np.asarray(smooth_image(0, 50, 32))
    at = [(top, left) for top in (0, 16) for left in (0, 16, 32, 34)]
    for i, (top, left) in enumerate(at):
        assert np.array_equal(photos.pixels(i), full[top : top + 16, left : left + 16])
    assert photos.batch(np.arange(3))["image"].shape == (3, 3, 16, 16)
    with pytest.raises(UserError, match="smaller than 64 pixels"):
        ImagePatches.open(tmp_path).prepare(64)


def test_data_inspect_names_the_kind_and_the_methods_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "pairs" / "A", ["1.png", "2.png", "4.png"])
    fill(tmp_path / "pairs" / "B", ["1.png", "2.png", "3.png"], 50)
    fill(tmp_path / "two" / "trainA", ["1.png"])
    fill(tmp_path / "two" / "trainB", ["2.png"])
    for name, kind, able in (
        ("pairs", "pairs", {"pix2pix", "cyclegan"}),
        ("two", "unpaired", {"cyclegan"}),
        ("pairs/A", "images", {"pix2pix", "gp_gan", "dcgan"}),
    ):
        assert main(["data", "inspect", str(tmp_path / name), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["kind"] == kind
        assert able <= set(found["methods"])
        assert main(["data", "inspect", str(tmp_path / name)]) == 0
        assert found["name"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("{}.jpg", "{}_mask.png"), ("img_{}_input.png", "img_{}_target.png"), ("{}_A.png", "{}_B.png"),
        ("s{}/image.png", "s{}/mask.png"), ("{}_noisy.png", "{}.png"),
    ],
)  # fmt: skip
def test_pairs_in_one_folder_are_matched_by_words_of_their_names(tmp_path: Path, a: str, b: str) -> None:
    for i in range(12):
        fill((tmp_path / a.format(i)).parent, [Path(a.format(i)).name], i)
        fill((tmp_path / b.format(i)).parent, [Path(b.format(i)).name], 50 + i)
    pairs = open_data(tmp_path)
    assert isinstance(pairs, Pairs)
    assert len(pairs.prepare(24)) == 12
    shown = [np.asarray(smooth_image(50 + int("".join(filter(str.isdigit, item.name))))) for item in pairs.b.items]
    assert all(np.array_equal(pairs.pixels(i), image) for i, image in enumerate(shown))
    assert "named as the second images of pairs" in " ".join(Images.open(tmp_path).warnings)
    assert open_data(tmp_path, pairing="none").kind == "images"
    fill(tmp_path, [f"other{i}.png" for i in range(6)], 90)
    assert open_data(tmp_path).kind == "images"  # fewer than nine tenths


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("JPEGImages/2007_{}.jpg", "SegmentationClass/2007_{}.png"),
        ("ISIC_Data/ISIC_{}.jpg", "ISIC_GT/ISIC_{}_segmentation.png"),
        ("leftImg8bit/train/x/x_{}_leftImg8bit.png", "gtFine/train/x/x_{}_gtFine_labelIds.png"),
        ("images/{}.png", "edges/{}.png"),
        ("train/{}.jpg", "train_masks/{}_mask.gif"),
    ],
)  # fmt: skip
def test_folders_that_look_like_pairs_are_named_to_all_methods(tmp_path: Path, a: str, b: str) -> None:
    for i in range(4):
        fill((tmp_path / a.format(i)).parent, [Path(a.format(i)).name], i)
        fill((tmp_path / b.format(i)).parent, [Path(b.format(i)).name], 50 + i)
    warning = next(text for text in Images.open(tmp_path).warnings if "as the two images of pairs" in text)
    first, second = a.partition("/")[0], b.partition("/")[0]
    assert f"4 files of {second} have the names of files of {first}," in warning
    assert "--pairing folders" in warning
    with pytest.raises(UserError, match="--pairing folders says so"):
        Pairs.open(tmp_path).prepare(16)
    assert not any("pairs" in text for text in open_data(tmp_path, pairing="none").warnings)


def test_classes_that_are_numbered_alike_are_no_pairs(tmp_path: Path) -> None:
    for i, name in enumerate(("cat", "dog")):
        fill(tmp_path / name, [f"{j}.png" for j in range(8)], 20 * i)
    assert open_data(tmp_path).warnings == []


def test_classes_named_by_letters_are_classes(tmp_path: Path) -> None:
    for name in "ABC":
        fill(tmp_path / name, ["1.png", "2.png"], ord(name))
    assert open_data(tmp_path).classes == ["A", "B", "C"]
