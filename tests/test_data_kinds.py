"""What a place holds: splits by names of folders, pairs by names and shapes, kinds by bytes; options before guesses."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reverie.cli.files import gather
from reverie.cli.main import main
from reverie.data.data_spec import DataSpec
from reverie.data.images.dataset import Images
from reverie.data.images.pair_names import match_names
from reverie.data.images.pairs import Pairs
from reverie.data.images.patches import ImagePatches
from reverie.data.images.unpaired import Unpaired
from reverie.data.kinds import check_medium, kind_of, kinds_at, open_data, reading_warnings
from reverie.data.music.dataset import MusicDataset
from reverie.data.music.midi_repair import whole_part
from reverie.data.splits import arrange, split_named
from reverie.data.text.dataset import Texts
from reverie.media import Image as GeneratedImage
from reverie.media import Music
from reverie.utils.errors import UserError


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))


def images_at(root: Path, *names: str, size: tuple[int, int] = (8, 8)) -> Path:
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draws = np.random.Generator(np.random.Philox(key=[i, len(name)]))
        with path.open("wb") as file:
            Image.fromarray(draws.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(file, "PNG")
    return root


def many(folder: str, n: int = 3) -> list[str]:
    return [f"{folder}/{i}.png" for i in range(n)]


# -- splits ------------------------------------------------------------------------------------------------------------

SPLIT_NAMES = {
    "train": ["train", "Training", "TRAIN", "seg_train", "DIV2K_train_HR", "train2017", "imagesTr", "trainset", "tr"],
    "test": ["Testing", "seg_test", "images_test", "PublicTest", "eval", "Evaluation", "test-set", "imagesTs"],
    "val": ["DIV2K_valid_HR", "validation", "validate", "dev", "val2017", "Dev_Set", "development"],
    None: ["cat", "trains", "contest", "valley", "trainer", "devil", "train_test", "3", "测试", "strain"],
}


@pytest.mark.parametrize(("split", "name"), [(split, name) for split, names in SPLIT_NAMES.items() for name in names])
def test_names_of_splits(split: str | None, name: str) -> None:
    assert split_named(name) == split


LAYOUTS = {  # files -> what of them is where, as split/path inside it; None: left out
    "wrappers": (["train/train/cat/1", "test/test/cat/1"], ["train/1", "test/1"]),
    "wrappers at any level": (
        ["data/archive/train/x/cat/1", "data/archive/train/x/dog/1", "data/archive/val/dog/1"],
        ["train/cat/1", "train/dog/1", "val/dog/1"],
    ),
    "one class of two": (["train/a/1", "train/b/1", "test/b/1"], ["train/a/1", "train/b/1", "test/b/1"]),
    "prefixes": (["seg_train/a/1", "seg_test/a/1", "seg_pred/1"], ["train/1", "test/1", None]),
    "domains": (["trainA/1", "trainB/1", "testA/2"], ["train/A/1", "train/B/1", "test/A/2"]),
    "years": (["train2014/1", "train2017/1", "val2017/1"], ["train/1", "train/1", "val/1"]),
    "inside classes": (["cat/train/1", "cat/test/1", "dog/train/1"], ["train/cat/1", "test/cat/1", "train/dog/1"]),
    "beside labels": (
        ["images/train/1", "images/val/1", "labels/train/1", "labels/val/1"],
        ["train/images/1", "val/images/1", "train/labels/1", "val/labels/1"],
    ),
    "eval beside test": (["train/1", "test/1", "eval/1"], ["train/1", "test/1", "val/1"]),
    "eval alone": (["train/1", "eval/1"], ["train/1", "test/1"]),
    "a class named so": (["train/1", "bus/1", "boat/1"], ["train/train/1", "train/bus/1", "train/boat/1"]),
    "two such classes": (["bullet_train/1", "test_tube/1"], ["train/bullet_train/1", "train/test_tube/1"]),
    "no train": (["test/a/1", "test/b/1", "val/a/1", "val/b/1"], ["train/a/1", "train/b/1", "train/a/1", "train/b/1"]),
    "one folder": (["test/a/1", "test/b/1"], ["train/a/1", "train/b/1"]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits_follow_one_rule(layout: str) -> None:
    names, expected = LAYOUTS[layout]
    arrangement = arrange(names)
    found = ["/".join(place) if (place := arrangement.locate(name))[0] else None for name in names]
    assert found == expected
    ambiguous = ("a class named so", "two such classes", "no train", "one folder")
    assert bool(arrangement.warnings) == (layout in ambiguous)


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_class_named_train_is_a_class_unless_it_is_said_to_be_a_split(tmp_path: Path, form: str) -> None:
    place = images_at(tmp_path / "d", *many("train", 3), *many("bus", 3), *many("boat", 3))
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
            for path in sorted(place.rglob("*.png")):
                archive.write(path, path.relative_to(place).as_posix())
        place = tmp_path / "d.zip"
    data = Images.open(place)
    assert (len(data), data.classes) == (9, ["boat", "bus", "train"])
    assert any("train" in text and "--splits folders" in text for text in reading_warnings(data))
    stated = open_data(place, splits="folders")
    assert (len(stated), stated.spec.splits) == (3, "folders")
    assert any("6 of 9 files are not used" in text for text in reading_warnings(stated))
    assert open_data(stated.spec).fingerprint == stated.fingerprint  # the spec keeps what was stated
    with pytest.raises(UserError, match="splits is 'folder'; it must be one of auto, folders, files, none"):
        open_data(place, splits="folder")


def test_real_classes_survive_unusual_split_names(tmp_path: Path) -> None:
    for i, (train, test) in enumerate((("Training", "Testing"), ("seg_train/seg_train", "seg_test/seg_test"))):
        place = images_at(
            tmp_path / str(i), *(f"{s}/{c}/{k}.png" for s in (train, test) for c in "xy" for k in range(2))
        )
        assert (Images.open(place).classes, len(Images.open(place)), len(Images.open(place, "test"))) == (
            ["x", "y"],
            4,
            4,
        )
        assert len(Images.open(place, splits="none")) == 8


def test_a_longer_name_beside_a_split_is_no_part_of_it(tmp_path: Path) -> None:
    classes = [f"{split}/{name}" for split in ("train", "valid", "test") for name in "ab"]
    place = images_at(tmp_path / "d", *(file for folder in classes for file in many(folder, 2)))
    images_at(place, *many("images to test", 1), *many("test1/a", 1))
    assert sorted(item.name for item in Images.open(place, "test").items)[-1] == "test1/a/0.png"
    assert len(Images.open(place, "test")) == 5
    assert any("images to test beside" in text and "left out" in text for text in Images.open(place).warnings)
    german = images_at(tmp_path / "e", *many("tst/a", 2), *many("x/a", 2))
    assert any("named tst: if these are splits or domains, give one folder" in w for w in Images.open(german).warnings)
    assert Images.open(images_at(tmp_path / "f", *many("tst/a", 2), *many("trn/a", 2))).splits == ["train", "test"]


def test_train_prints_what_inspect_warns_of_and_resume_opens_the_same(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = images_at(tmp_path / "d", *many("train", 4), *many("bus", 4))
    out = tmp_path / "run"
    words = ["train", "vae:smoke", "--data", str(place), "--steps", "1", "--splits", "folders", "--out", str(out)]
    for more in (["--dry-run"], []):
        assert main([*words, *more]) == 0
        assert "warning: 4 of 8 files are not used: 4 outside the folders of the splits" in capfd.readouterr().err
    about = json.loads((out / "run.json").read_text())["data"]
    assert (about["splits"], about["n"]) == ("folders", 4)
    assert main(["resume", str(out), "--steps", "2"]) == 0
    assert main(["data", "inspect", str(place)]) == 0
    assert reading_warnings(Images.open(place))[0] in capfd.readouterr().out


def test_labels_that_are_lost_are_named(tmp_path: Path) -> None:
    place = images_at(tmp_path / "d", *many("a", 3), *many("b", 3), "cover.png")
    assert any("beside them is 1 image, such as cover.png" in text for text in Images.open(place).warnings)
    assert not ImagePatches.open(place).warnings  # which are not learnt with labels
    listed = images_at(tmp_path / "e", *many("images", 3))
    (listed / "train.csv").write_text("file,label\n0.png,cat\n")
    assert any(
        "train.csv names the images, but no other column looks like classes" in text
        for text in Images.open(listed).warnings
    )


# -- pairs -------------------------------------------------------------------------------------------------------------

NAMES = {
    "scale": (["0001x4", "0002x4"], ["0001", "0002"]),
    "roles": (["0001_input", "0002_input"], ["0001_target", "0002_target"]),
    "one pair": (["0001_input"], ["0001_target"]),
    "case": (["IMG_1", "IMG_2"], ["img_1", "img_2"]),
    "Unicode": (["e\u0301te\u0301"], ["\u00e9t\u00e9"]),
    "padding": (["1", "2", "10"], ["001", "002", "010"]),
    "from 0": (["0000x4", "0001x4"], ["0000", "0001"]),
    "copies": (["photo (1)", "photo (2)"], ["photo_1", "photo_2"]),
    "resolution": (["a-LR", "b-LR"], ["a-HR", "b-HR"]),
    "inner folders": (["X4/0001x4", "X4/0002x4"], ["0001", "0002"]),
    "one side": (["dusk 1", "dusk 2"], ["1", "2"]),
    "other letters": (["कि", "का"], ["कि", "का"]),
    "dates": (["2020-01-02 03.04", "2020-01-02 03.05"], ["2020_01_02_03_04", "2020_01_02_03_05"]),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_that_two_systems_write_differently_are_one(case: str) -> None:
    a, b = NAMES[case]
    found = match_names(a, b)
    assert found.partner == dict(zip(a, b, strict=True))
    assert (found.by_chance, found.ambiguous) == (set(), {})


def test_names_are_never_matched_silently_wrong() -> None:
    assert match_names(["Cat", "cat"], ["cat"]).partner == {"cat": "cat"}  # as they are goes first
    unclear = match_names(["1", "01"], ["001"])
    assert (unclear.partner, unclear.ambiguous["a/1"]) == ({}, "01")
    assert not match_names(["cat"], ["dog"]).partner
    assert match_names(["horse_1", "horse_2"], ["zebra_1", "zebra_2"]).by_chance == {"horse_1", "horse_2"}


def test_pairs_of_unlike_names(tmp_path: Path) -> None:
    a = images_at(tmp_path / "LR", "0001x4.png", "0002x4.PNG", "0009x4.png")
    b = images_at(tmp_path / "HR", "0001.png", "0002.png")
    pairs = Pairs.open(f"{a},{b}")
    assert [item.name for item in pairs.a.items] == ["train/0001", "train/0002"]
    assert [drop.name for drop in pairs.dropped] == ["0009x4.png"]
    assert kind_of(f"{a},{b}").data is Pairs
    horses, zebras = images_at(tmp_path / "horses", *many("h", 3)), images_at(tmp_path / "zebras", "z/7.png", "z/8.png")
    with pytest.raises(UserError, match=r"3 of 3 in A, such as 0\.png, 1\.png; 2 of 2 in B, such as 7\.png, 8\.png"):
        Pairs.open(f"{horses},{zebras}")


def test_folders_of_domains_are_not_warned_of_as_classes(tmp_path: Path) -> None:
    place = images_at(tmp_path / "d", *many("trainA", 3), *many("trainB", 3))
    assert not [text for text in Pairs.open(place).warnings if "classes" in text]
    images_at(tmp_path / "d", "loose.png")
    assert any("beside 1 files" in text for text in Pairs.open(place).warnings)


def test_two_places_are_no_unknown_name(tmp_path: Path) -> None:
    a, b = images_at(tmp_path / "a", *many("x", 3)), images_at(tmp_path / "b", *many("y", 3))
    with pytest.raises(UserError, match="are several places, which methods of pairs or of two domains learn from"):
        Images.open(f"{a},{b}")
    with pytest.raises(UserError, match="no such path"):
        Images.open(f"{a},{b}-missing")


def test_names_that_may_agree_by_chance_are_said(tmp_path: Path) -> None:
    one = images_at(tmp_path / "h", "horse_1.png", "horse_2.png")
    spec = f"{one},{images_at(tmp_path / 'z', 'zebra_1.png', 'zebra_2.png')}"
    assert kind_of(spec).data is Unpaired
    assert any("horse_... and zebra_..." in text for text in Pairs.open(spec).warnings)


def test_div2k_is_pairs_by_split(tmp_path: Path) -> None:
    low = [
        "DIV2K_train_LR_bicubic/X4/0001x4.png",
        "DIV2K_train_LR_bicubic/X4/0002x4.png",
        "DIV2K_valid_LR_bicubic/X4/0801x4.png",
    ]
    high = ["DIV2K_train_HR/0001.png", "DIV2K_train_HR/0002.png", "DIV2K_valid_HR/0801.png"]
    images_at(tmp_path, *low)
    images_at(tmp_path, *high, size=(32, 32))
    pairs = open_data(tmp_path)
    assert (type(pairs), pairs.splits, len(pairs)) == (Pairs, ["train", "val"], 2)
    assert (pairs.a.items[0].header.width, pairs.b.items[0].header.width) == (8, 32)


def test_pairs_side_by_side_within_a_tolerance(tmp_path: Path) -> None:
    near = images_at(tmp_path / "near", *many("x", 4), size=(50, 24))
    pairs = open_data(near).prepare(16)
    assert (type(pairs), len(pairs)) == (Pairs, 4)
    assert (pairs.a.items[0].header.width, pairs.b.items[0].header.width) == (25, 25)
    unclear = images_at(tmp_path / "unclear", *many("x", 4), size=(54, 24))
    assert kind_of(unclear).data is Images
    for degradation in ("", "grey"):  # every preset alike
        with pytest.raises(UserError, match=r"4 of 54x24.*--pairing side-by-side cuts each at the middle"):
            Pairs.open(unclear).prepare(16, degradation=degradation)
    assert Pairs.open(DataSpec(unclear, pairing="none")).prepare(16, degradation="grey").a is None
    halves = open_data(unclear, pairing="side-by-side").prepare(16)
    assert (halves.a is None, len(halves)) == (False, 4)


def test_a_stated_degradation_goes_before_a_guess(tmp_path: Path) -> None:
    wide = images_at(tmp_path / "wide", *many("x", 4), size=(48, 24))
    given = {"degradation": "grey"}
    assert Pairs.restate(wide, given).pairing == "none"  # the shape was a guess: the whole image
    assert Pairs.restate(DataSpec(wide, pairing="side-by-side"), given).pairing == "targets"  # the half, as stated
    assert Pairs.restate(wide, {}).pairing == "auto"
    whole = Pairs.open(Pairs.restate(wide, given)).prepare(16, degradation="grey")
    half = Pairs.open(DataSpec(wide, pairing="targets")).prepare(16, degradation="grey")
    assert (whole.a, half.a) == (None, None)
    assert (whole.b.items[0].header.width, half.b.items[0].header.width) == (48, 24)
    with pytest.raises(UserError, match="--pairing none"):
        Pairs.open(wide).prepare(16, degradation="grey")


def test_two_folders_of_any_name_are_pairs_where_that_is_stated(tmp_path: Path) -> None:
    place = images_at(tmp_path, *many("summer", 3), *many("winter", 3))
    assert kind_of(place).data is Images
    assert len(open_data(place, pairing="folders")) == 3
    with pytest.raises(UserError, match="does not hold two folders"):
        open_data(images_at(tmp_path / "one", *many("x", 3)), pairing="folders")


# -- files of verbs ----------------------------------------------------------------------------------------------------


def test_outputs_mirror_the_folders_of_inputs_and_are_not_taken_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = images_at(tmp_path / "d", *many("x", 4))
    run = str(tmp_path / "run")
    assert main(["train", "vae:smoke", "--data", str(data), "--steps", "2", "--out", run]) == 0
    photos = images_at(tmp_path / "photos", "a/b/1.png", "c/1.png", "2.png")
    words = ["reconstruct", run, str(photos), "--out", str(photos / "out")]
    assert main(words) == 0
    made = [path.relative_to(photos / "out").as_posix() for path in sorted((photos / "out").rglob("*.png"))]
    assert made == ["2.png", "a/b/1.png", "c/1.png"]
    capfd.readouterr()
    assert main([*words, "--overwrite"]) == 0
    assert "that reverie generated, such as 2.png, are passed over; --include-generated" in capfd.readouterr().err
    assert len(list((photos / "out").rglob("*.png"))) == 3
    assert main([*words[:-1], str(tmp_path / "all"), "--include-generated"]) == 0
    assert len(list((tmp_path / "all").rglob("*.png"))) == 6
    assert main(["reconstruct", run, str(photos / "out" / "2.png"), "--out", str(tmp_path / "named")]) == 0


def test_patterns_reach_into_folders(tmp_path: Path) -> None:
    photos = images_at(tmp_path, "a/b/1.png", "c/2.png")
    found = gather([str(photos / "**" / "*.png")])
    assert [(item.name, item.folder) for item in found] == [("1.png", "a/b"), ("2.png", "c")]
    assert GeneratedImage(np.zeros((4, 4, 1), np.uint8)).made_from(*found).folder == ""  # of several, none


# -- kinds -------------------------------------------------------------------------------------------------------------


def midi(pitch: int = 60) -> bytes:
    events = np.zeros(32, np.int16)
    events[::4] = 2 + np.arange(8) + pitch
    return Music.of(("melody",), events[None], 120.0).midi()


def test_chord_sheets_beside_music_are_not_what_a_folder_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("symusic")
    for i in range(3):
        (tmp_path / f"{i}.mid").write_bytes(midi(50 + i))
        (tmp_path / f"{i}.txt").write_text("Am F C G\n")
    (tmp_path / "more.txt").write_text("C G\n")
    assert [(found.kind.data.kind, found.files) for found in kinds_at(tmp_path)] == [("music", 3), ("text", 4)]
    assert kind_of(tmp_path).data is MusicDataset
    assert "the text are what is learnt from" in check_medium(Texts, tmp_path)[0]
    assert check_medium(MusicDataset, tmp_path) == []
    with pytest.raises(UserError, match=r"holds music \(3 files, such as .*, and no images"):
        check_medium(Images, tmp_path)
    assert main(["data", "inspect", str(tmp_path)]) == 0
    assert "kinds found: music (3 files" in capsys.readouterr().out
    assert main(["data", "inspect", str(tmp_path), "--kind", "text"]) == 0


def test_captions_beside_images_and_much_text_with_a_cover(tmp_path: Path) -> None:
    images_at(tmp_path / "captions", *many("x", 3))
    for i in range(3):
        (tmp_path / "captions" / "x" / f"{i}.txt").write_text("a cat\n")
    assert [found.kind.data.kind for found in kinds_at(tmp_path / "captions")] == ["images", "text"]
    images_at(tmp_path / "poems", "cover.png")
    for i in range(30):
        (tmp_path / "poems" / f"{i}.txt").write_text(f"line {i}\n")
    assert [found.kind.data.kind for found in kinds_at(tmp_path / "poems")] == ["text", "images"]


@pytest.mark.parametrize("name", ["table.csv", "lines.txt.gz", "poems", "rows.jsonl"])
def test_a_file_of_text_is_text_for_inspect_and_for_training(tmp_path: Path, name: str) -> None:
    content = b'{"text": "to be"}\n' if name.endswith("jsonl") else b"text\nto be or not\nto be\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert kind_of(tmp_path / name).data is Texts
    assert check_medium(Texts, tmp_path / name) == []


@pytest.mark.parametrize(
    ("name", "advice"),
    [("a.html", "pandoc"), ("a.pdf", "pdftotext"), ("a.docx", "plain text"), ("a.parquet", "CSV"), ("a.mxl", "MIDI"),
     ("a.bin", "of no kind that is read")],
)  # fmt: skip
def test_what_is_not_read_says_what_to_convert_it_to(
    tmp_path: Path, name: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(b"<html>\n\0")
    places = [tmp_path / name, tmp_path] if name != "a.bin" else [tmp_path / name]
    for place in places:
        assert main(["data", "inspect", str(place)]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert advice in line
        assert "What is read: a folder or zip of images (JPEG, PNG ...), text (.txt, CSV, TSV, JSON, JSONL)" in line
    if name != "a.bin":
        with pytest.raises(UserError, match=advice):
            Texts.open(tmp_path / name)


def test_an_unknown_name_lists_the_sets_of_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", "nosuch.txt"]) == 2
    line = capsys.readouterr().err
    assert all(name in line for name in ("letters", "mnist", "scenes", "gazes", "verses", "oracle", "tunes", "trios"))
    assert main(["data", "inspect", "tunse"]) == 2
    assert "Did you mean 'tunes'?" in capsys.readouterr().err


def test_json_and_markdown_are_text_unless_they_describe_images(tmp_path: Path) -> None:
    for name in ("a.json", "b.md", "c.log"):
        (tmp_path / name).write_text('["one line", "two"]\n')
        assert kind_of(tmp_path / name).data is Texts, name
    assert kind_of(tmp_path).data is Texts
    images_at(tmp_path, "d.png")
    assert [one.kind.data.kind for one in kinds_at(tmp_path)] == ["images"]


def test_a_file_is_what_its_bytes_are(tmp_path: Path) -> None:
    images_at(tmp_path / "d", "wrong.jpg", "none", "odd.dat")  # all are PNG
    (tmp_path / "d" / "readme").write_text("hello")
    data = Images.open(tmp_path / "d")
    assert {item.name for item in data.items} == {"none", "odd.dat", "wrong.jpg"}
    assert [tuple(drop) for drop in data.dropped] == [("readme", "not an image file")]


def riff(data: bytes) -> bytes:
    body = b"RMID" + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_midi_is_read_however_it_is_wrapped_and_as_far_as_it_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("symusic")
    tracks = midi().count(b"MTrk")
    extra = b"MTrk" + struct.pack(">I", 400) + b"\0\x90"  # a track that is cut
    cut = midi(55)[:10] + struct.pack(">H", tracks + 1) + midi(55)[12:] + extra
    files = {
        "a.mid": midi(), "b.kar": midi(51), "c.rmi": riff(midi(52)), "d.mid": riff(midi(53)),
        "e.mid.gz": gzip.compress(midi(54)), "f.mid": cut, "tune": bytes(128) + midi(56), "plain": midi(57),
    }  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    data = MusicDataset.open(tmp_path)
    names = {entry.name for split in data.splits for entry in MusicDataset.open(tmp_path, split).pieces}
    dropped = {drop.name for split in data.splits for drop in MusicDataset.open(tmp_path, split).dropped}
    assert names | dropped >= set(files) - {"tune"}
    assert whole_part(cut).note == f"cut short, {tracks} of {tracks + 1} tracks are whole"
    assert (whole_part(cut).data, whole_part(riff(midi())).data) == (midi(55), midi())
    assert whole_part(files["tune"]).data == midi(56)
    assert any("f.mid (cut short" in note for note in data.notes)
