"""What says the split and the class of an image: file names, tables beside the images, layouts of other programs."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reverie
from reverie.cli.main import main
from reverie.data.images.dataset import Images
from reverie.data.kinds import open_data, reading_warnings
from reverie.utils.errors import UserError


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))


ANIMALS = ("cat", "dog", "ship")


def images_at(place: Path, *names: str) -> Path:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(list(name.encode())).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(noise).save(place / name, "PNG")
    return place


def write(place: Path, name: str, text: str) -> None:
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(text, encoding="utf-8")


def rows(count: int, line: str) -> str:
    """A line for each of several images, with {i} its number, {k} the number of its class and {animal} its name."""
    return "".join(line.format(i=i, k=i % 3, animal=ANIMALS[i % 3]) + "\n" for i in range(count))


def classes_of(images: Images) -> dict[str, str]:
    return {item.name: images.classes[item.label] if item.label >= 0 else "" for item in images.items}


# -- splits that file names say ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test", "split"),
    [
        ("train_{:03}.png", "test_{:03}.png", "test"),
        ("img_{:03}_train.png", "img_{:03}_val.png", "val"),
        ("cat-{}-Training.png", "cat-{}-Testing.png", "test"),
        ("COCO_train2014_{:012}.png", "COCO_val2014_{:012}.png", "val"),
        ("cat/train.{}.png", "dog/eval.{}.png", "test"),
    ],
)
def test_file_names_that_say_splits_are_believed(tmp_path: Path, train: str, test: str, split: str) -> None:
    names = [train.format(i) for i in range(8)], [test.format(i) for i in range(4)]
    place = images_at(tmp_path / "d", *names[0], *names[1])
    images = open_data(place)
    assert (images.splits, [item.name for item in images.items]) == (["train", split], names[0])
    assert [item.name for item in open_data(place, split).items] == names[1]
    assert (len(open_data(place, splits="none")), open_data(place, splits="none").splits) == (12, ["train"])


@pytest.mark.parametrize(("others", "used"), [(1, 10), (5, 17)])
def test_file_names_say_splits_where_nine_tenths_do(tmp_path: Path, others: int, used: int) -> None:
    names = [f"train_{i}.png" for i in range(10)] + [f"test_{i}.png" for i in range(2)]
    place = images_at(tmp_path / "d", *names, *(f"x{i}.png" for i in range(others)))
    images = open_data(place)
    assert len(images) == used
    if others == 1:
        assert [(drop.name, drop.reason) for drop in images.dropped] == [("x0.png", "named as of no split")]
    else:
        assert "12 of 17 file names say train, test or val (x0.png does not)" in reading_warnings(images)[0]
        stated = open_data(place, splits="files")
        assert (len(stated), stated.spec.stated) == (10, {"splits": "files"})


@pytest.mark.parametrize(
    "names",
    [
        [f"train_station_{i}.png" for i in range(5)] + [f"test_tube_{i}.png" for i in range(5)],
        [f"train_{i}.png" for i in range(8)],
        [f"retrain{i}.png" for i in range(5)] + [f"contest{i}.png" for i in range(5)],
    ],
)
def test_file_names_that_say_something_else_are_no_splits(tmp_path: Path, names: list[str]) -> None:
    images = open_data(images_at(tmp_path / "d", *names))
    assert (len(images), images.splits) == (len(names), ["train"])
    assert any("no file is named as of a split" in w for w in open_data(images_at(tmp_path / "e", "a.png", "b.png"),
               splits="files").warnings)  # fmt: skip


# -- classes that a table says -----------------------------------------------------------------------------------------

TABLES = {
    "with a header": ("labels.csv", "filename,label\n" + rows(12, "{i}.png,{animal}")),
    "ids without suffix": ("labels.csv", "id,breed\n" + rows(12, "{i},{animal}")),
    "semicolons, no header": ("data.csv", rows(12, "{i}.png;{animal}")),
    "tabs": ("data.tsv", "Image\tCategory\n" + rows(12, "{i}.PNG\t{animal}")),
    "paths of another machine": ("t.csv", "path,class\n" + rows(12, r"C:\data\imgs\{i}.png,{animal}")),
    "numbers and words of one thing": ("meta.csv", "file,class_id,class_name\n" + rows(12, "{i}.png,{k},{animal}")),
    "other columns": ("meta.csv", "width,file,label,sex\n" + rows(12, "8,{i}.png,{animal},m")),
    "objects": ("metadata.jsonl", rows(12, '{{"file_name": "imgs/{i}.png", "label": "{animal}"}}')),
    "a list": ("train.txt", rows(12, "imgs/{i}.png {animal}")),
    "a list with more columns": ("val.txt", rows(12, "{i}.png\t{animal}\t0\t0\t8\t8")),
    "a list without suffixes": ("list.txt", "#Image CLASS\n" + rows(12, "{i} {animal}")),
    "JSON by name": ("labels.json", json.dumps({f"{i}.png": ANIMALS[i % 3] for i in range(12)})),
    "JSON by class": ("l.json", json.dumps({animal: [f"{i}.png" for i in range(k, 12, 3)] for k, animal in
                                            enumerate(ANIMALS)})),
    "JSON of objects by name": ("l.json", json.dumps({f"{i}.png": {"label": ANIMALS[i % 3]} for i in range(12)})),
    "JSON list": ("labels.json", json.dumps([{"file": f"{i}.png", "label": ANIMALS[i % 3]} for i in range(12)])),
    "JSON of StyleGAN": ("dataset.json", json.dumps({"labels": [[f"{i}.png", ANIMALS[i % 3]] for i in range(12)]})),
}  # fmt: skip


@pytest.mark.parametrize("what", TABLES)
def test_a_table_beside_images_labels_them(tmp_path: Path, what: str) -> None:
    place = images_at(tmp_path / "d", *(f"imgs/{i}.png" for i in range(12)))
    name, text = TABLES[what]
    write(place, name, text)
    images = Images.open(place)
    assert images.classes == list(ANIMALS)
    assert classes_of(images) == {f"imgs/{i}.png": ANIMALS[i % 3] for i in range(12)}
    assert (images.dropped, name in " ".join(images.notes)) == ([], True)
    assert Images.open(reverie.data.data_spec.DataSpec(place, labels="none")).classes == []
    zipped = images.fingerprint
    (place / name).unlink()
    assert Images.open(place).fingerprint != zipped


def test_a_table_guessed_by_its_content_is_warned_of(tmp_path: Path) -> None:
    place = images_at(tmp_path / "d", *(f"{i}.png" for i in range(12)))
    write(place, "dogs.csv", "id,breed,weight\n" + rows(12, "{i},{animal},{i}.5"))
    images = open_data(place)
    assert images.classes == list(ANIMALS)
    assert any("column 'breed' of dogs.csv is taken for classes" in text for text in reading_warnings(images))


def test_a_table_that_leaves_a_choice_is_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = images_at(tmp_path / "d", *(f"{i}.png" for i in range(12)))
    write(
        place,
        "meta.csv",
        "file,colour,animal,age\n" + rows(12, "{i}.png,c{k},{animal},{k}").replace("c0,cat,0\n", "c1,cat,0\n", 1),
    )
    images = open_data(place)
    assert images.classes == []
    assert "meta.csv may hold classes in colour, animal; --labels COLUMN says which" in images.warnings[0]
    assert main(["train", "cvae_gan:smoke", "--data", str(place), "--out", str(tmp_path / "r")]) == 2
    assert "has no labels: meta.csv may hold classes in colour, animal; --labels COLUMN" in capsys.readouterr().err
    assert open_data(place, labels="animal").classes == open_data(place, labels="3").classes == list(ANIMALS)
    assert open_data(place, labels="AGE").classes == ["0", "1", "2"]
    for labels, message in (
        ("animals", "meta.csv has no such column. Did you mean 'animal'?"),
        ("file", "meta.csv has no such column"),
        ("folders", "12 of them 'outside the class folders'"),
    ):
        with pytest.raises(UserError, match=message):
            open_data(place, labels=labels)


def test_splits_of_tables(tmp_path: Path) -> None:
    names = [f"images/{i}.png" for i in range(12)]
    by_name = images_at(tmp_path / "a", *names)
    write(by_name, "train.csv", "filename,label\n" + rows(9, "{i}.png,{animal}"))
    write(by_name, "test.csv", "filename,label\n9.png,cat\n10.png,dog\n11.png,ship\n")
    by_column = images_at(tmp_path / "b", *names)
    write(by_column, "all.csv", "filepath,label,Usage\n" + rows(9, "images/{i}.png,{animal},Training")
          + "9.png,cat,PublicTest\n10.png,dog,PublicTest\n11.png,ship,PublicTest\n")  # fmt: skip
    for place in (by_name, by_column):
        images = Images.open(place)
        assert (images.splits, len(images), len(Images.open(place, "test"))) == (["train", "test"], 9, 3)
        assert classes_of(Images.open(place, "test")) == dict(zip(names[9:], ANIMALS, strict=True))
        assert len(open_data(place, splits="none")) == 12


CELEBA = {
    "as CSV": {
        "list_attr_celeba.csv": "image_id,Smiling,Male\n" + rows(12, "{i:06}.png,1,-1").replace("1,-1", "-1,1", 7),
        "list_eval_partition.csv": "image_id,partition\n" + rows(12, "{i:06}.png,{k}"),
        "list_bbox_celeba.csv": "image_id,x_1,width\n" + rows(12, "{i:06}.png,95,2{i}"),
    },
    "as published": {
        "list_attr_celeba.txt": "12\nSmiling Male\n" + rows(12, "{i:06}.png  1 -1").replace(" 1 -1", "-1  1", 7),
        "list_eval_partition.txt": rows(12, "{i:06}.png {k}"),
        "identity_CelebA.txt": "".join(f"{i:06}.png {i % 5}\n" for i in range(12)),
    },
}


@pytest.mark.parametrize("form", CELEBA)
def test_celeba_has_attributes_and_a_partition(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = images_at(tmp_path / "d", *(f"img_align_celeba/{i:06}.png" for i in range(12)))
    for name, text in CELEBA[form].items():
        write(place, name, text)
    images = open_data(place)
    assert (images.classes, images.splits, len(images)) == ([], ["train", "test", "val"], 4)
    assert any("list_eval_partition." in note and "(0 train, 1 val, 2 test)" in note for note in images.notes)
    assert main(["train", "cvae_gan:smoke", "--data", str(place), "--out", str(tmp_path / "r")]) == 2
    assert "Smiling, Male" in capsys.readouterr().err
    smiling = open_data(place, labels="Smiling")
    assert (smiling.classes, len(smiling), len(open_data(place, "val", labels="Smiling"))) == (["1", "-1"], 4, 4)
    assert len(open_data(place, splits="none", labels="Smiling")) == 12
    if form == "as published":
        with pytest.raises(UserError, match=r"which say different things; --labels identity_CelebA\.txt:2"):
            open_data(place, labels="2")
        assert len(open_data(place, labels="identity_CelebA.txt:2").classes) == 4  # of those that train has


@pytest.mark.parametrize(
    ("name", "text", "splits", "warning"),
    [
        ("split.csv", "file,split\n" + rows(12, "{i}.png,{k}").replace(",2", ",3"), 1, "do not say which are train"),
        ("meta.csv", "file,is_valid,age\n" + rows(12, "{i}.png,False,{i}").replace("False", "True", 3), 2, ""),
        ("split.json", json.dumps({"train": list(range(8)), "val": list(range(8, 12))}), 2, ""),
        ("split.json", json.dumps({"train": [[f"{i}.png", 0] for i in range(8)], "val": [["8.png", 0]]}), 2, ""),
        (
            "set.csv",
            "file,test\n" + rows(12, "{i}.png,1").replace(",1", ",0", 4),
            1,
            "column 'test' of set.csv is taken",
        ),
    ],
)
def test_columns_of_splits_are_no_classes(tmp_path: Path, name: str, text: str, splits: int, warning: str) -> None:
    place = images_at(tmp_path / "d", *(f"{i}.png" for i in range(12)))
    write(place, name, text)
    images = Images.open(place)
    assert len(images.splits) == splits
    assert any(warning in text for text in images.warnings) if warning else images.classes == []


LISTS = {
    "of paths without suffix": {"meta/train.txt": rows(8, "{animal}/n{i}"), "meta/test.txt": "ship/n8\ncat/n9\n"},
    "of numbers": {
        "images.txt": "".join(f"{i + 1} {ANIMALS[i % 3]}/n{i}.png\n" for i in range(10)),
        "classes.txt": "1 cat\n2 dog\n3 ship\n",
        "image_class_labels.txt": "".join(f"{i + 1} {i % 3 + 1}\n" for i in range(10)),
        "train_test_split.txt": "".join(f"{i + 1} {int(i < 8)}\n" for i in range(10)),
    },
    "of names and numbers": {
        "trainval.txt": rows(8, "n{i} {k} 1 1"), "test.txt": "n8 3 1 1\nn9 1 1 1\n",
    },
}  # fmt: skip


@pytest.mark.parametrize("what", LISTS)
def test_lists_say_the_splits_of_class_folders(tmp_path: Path, what: str) -> None:
    names = [f"images/{ANIMALS[i % 3]}/n{i}.png" for i in range(10)]
    place = images_at(tmp_path / "d", *names, "images/cat/10.png")
    for name, text in LISTS[what].items():
        write(place, name, text)
    images, test = Images.open(place), Images.open(place, "test")
    assert (images.classes, sorted(classes_of(images)), sorted(classes_of(test))) == (
        list(ANIMALS), sorted(names[:8]), sorted(names[8:]),
    )  # fmt: skip
    assert [tuple(drop) for drop in images.dropped if drop.name.endswith(".png")] == [
        ("images/cat/10.png", "named as of no split")
    ]
    write(place, "train2.txt", rows(10, "{animal}/n{i}"))
    if what == "of paths without suffix":
        assert any("different splits of images/ship/n8.png" in text for text in Images.open(place).warnings)


def test_a_table_of_a_split_labels_its_folder(tmp_path: Path) -> None:
    """As in Tiny ImageNet."""
    place = images_at(tmp_path / "d", *(f"train/{ANIMALS[i % 3]}/images/{i}.png" for i in range(9)),
                      *(f"val/images/val_{i}.png" for i in range(6)))  # fmt: skip
    write(place, "val/val_annotations.txt", rows(6, "val_{i}.png\t{animal}\t0\t0"))
    for i in range(30):
        write(place, f"train/{ANIMALS[i % 3]}/{i}_boxes.txt", f"{i}.png\t0\t0\t8\t8\n")
    assert list(classes_of(Images.open(place, "val")).values()) == 2 * list(ANIMALS)


def test_tables_of_folders_name_the_images_beside_them(tmp_path: Path) -> None:
    place = images_at(tmp_path / "d", *(f"{split}/{i}.png" for split in ("train", "test") for i in range(3)))
    write(place, "train/metadata.csv", "file_name,label\n" + rows(3, "{i}.png,{animal}"))
    write(place, "test/metadata.csv", "file_name,label\n0.png,ship\n1.png,ship\n2.png,cat\n")
    assert list(classes_of(Images.open(place)).values()) == list(ANIMALS)
    assert list(classes_of(Images.open(place, "test")).values()) == ["ship", "ship", "cat"]


def test_splits_of_folders_and_a_table_of_train(tmp_path: Path) -> None:
    """As competitions give them: the same names in train and test, and a table of answers to be filled in."""
    place = images_at(tmp_path / "d", *(f"train/{i}.png" for i in range(9)), *(f"test/{i}.png" for i in range(3)))
    write(place, "train.csv", "id,label\n" + rows(9, "{i},{animal}"))
    write(place, "sample_submission.csv", "id,label\n" + rows(3, "{i},cat"))
    assert set(classes_of(Images.open(place)).values()) == set(ANIMALS)
    test = Images.open(place, "test")
    assert (len(test), test.classes) == (3, [])
    assert any("unlabelled, although train is labelled" in note for note in test.notes)


def test_folders_go_before_a_table_which_labels_other_splits(tmp_path: Path) -> None:
    place = images_at(
        tmp_path / "d", *(f"Train/{ANIMALS[i % 3]}/{i}.png" for i in range(9)), "Test/0.png", "Test/1.png"
    )
    flat = Images.open(place)
    assert any("test is unlabelled although train is not" in text for text in flat.warnings)
    write(place, "Train.csv", "ClassId,Path\n" + rows(9, "{k},Train/{animal}/{i}.png"))
    write(place, "Test.csv", "ClassId,Path\n2,Test/0.png\n0,Test/1.png\n")
    assert classes_of(Images.open(place, "test")) == {"Test/0.png": "ship", "Test/1.png": "cat"}
    write(place, "Train.csv", "ClassId,Path\n" + "".join(f"{i % 2},Train/{ANIMALS[i % 3]}/{i}.png\n" for i in range(9)))
    assert any("column 'ClassId' of Test.csv says other classes" in text for text in Images.open(place).warnings)
    assert open_data(place, labels="ClassId").classes == ["0", "1"]


def test_images_that_a_table_leaves_open(tmp_path: Path) -> None:
    place = images_at(tmp_path / "d", *(f"{i}.png" for i in range(12)))
    write(place, "labels.csv", "file,label\n" + rows(10, "{i}.png,{animal}") + "10.png,\ngone.png,cat\n0.png,dog\n")
    images = Images.open(place)
    assert [(drop.name, drop.reason) for drop in images.dropped] == [
        (name, "without a label in labels.csv") for name in ("0.png", "10.png", "11.png")
    ]
    assert "1 rows of labels.csv name no image that is there" in images.notes
    assert images.warnings == ["1 images, such as 0.png, have several labels in labels.csv and are not used"]
    write(place, "labels.csv", "file,label\n" + rows(4, "{i}.png,{animal}"))
    assert Images.open(place).warnings == [
        "unlabelled: labels.csv says the class of 4 of 12 images only; --labels label takes these and leaves out the "
        "others"
    ]
    assert len(open_data(place, labels="label")) == 4


@pytest.mark.parametrize("text", ["", "\0\1\2", "file,label", 'file,label\n"0.png,cat', "caption\nhello\n", "\xff"])
def test_tables_that_say_nothing_leave_images_as_they_are(tmp_path: Path, text: str) -> None:
    place = images_at(tmp_path / "d", "0.png", "1.png", "2.png")
    (place / "labels.csv").write_bytes(text.encode("latin-1"))
    images = Images.open(place)
    assert (len(images), images.classes) == (3, [])
    assert images.warnings[0].startswith("unlabelled: labels.csv ")


# -- classes that file names say ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["train/train/{animal}.{i}.png", "{animal}_{i}.png", "{i}_{animal}.png",
                                  "{animal} ({i}).png", "train_{animal}_{i}.png"])  # fmt: skip
def test_classes_in_file_names_are_offered(tmp_path: Path, form: str) -> None:
    names = [form.format(animal=ANIMALS[i % 3], i=i) for i in range(15)]
    place = images_at(tmp_path / "d", *names)
    assert any("file names say cat (5) and dog (5), which may be classes" in w for w in Images.open(place).warnings)
    images = open_data(place, labels="names")
    assert classes_of(images) == {name: ANIMALS[i % 3] for i, name in enumerate(names)}


def test_names_that_cameras_give_are_no_classes(tmp_path: Path) -> None:
    place = images_at(tmp_path / "d", *(f"{kind}_{i}.png" for i in range(10) for kind in ("IMG", "DSC")))
    assert Images.open(place).warnings == []


# -- layouts of detection sets, and what file managers leave -----------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "file", "text", "named"),
    [
        ("images/train/{}.png", "labels/train/{}.txt", "0 0.5 0.5 0.2 0.3\n", "labels/train/0.txt and 3 more hold"),
        ("train/images/{}.png", "train/labels/{}.txt", "2 .1 .2 .3 .4\n1 .1 .2 .3 .4\n", "(YOLO)"),
        ("V/JPEGImages/{}.png", "V/Annotations/{}.xml", "<annotation>\n <object>", "(Pascal VOC)"),
        ("train2017/{}.png", "annotations/instances.json", '{"images": [], "annotations": []}', "(COCO or LabelMe)"),
    ],
)
def test_boxes_are_named_as_not_read(tmp_path: Path, images: str, file: str, text: str, named: str) -> None:
    place = images_at(tmp_path / "d", *(images.format(i) for i in range(4)))
    for i in range(4):
        write(place, file.format(i), text)
    opened = Images.open(place)
    assert (len(opened), opened.classes) == (4, [])
    assert any(named in warning and "not read" in warning for warning in opened.warnings)


def test_what_file_managers_leave_is_no_data(tmp_path: Path) -> None:
    place = images_at(tmp_path / "d", "cat/0.png", "cat/1.png", "dog/2.png", "@eaDir/0.png/THUMB_M.png",
                      "$RECYCLE.BIN/x.png", "cat/._0.png", ".Trashes/1.png")  # fmt: skip
    for name in ("Thumbs.db", ".DS_Store", "cat/desktop.ini", "ehthumbs.db", "Icon\r"):
        (place / name).write_bytes(b"x")
    images = Images.open(place)
    assert classes_of(images) == {"cat/0.png": "cat", "cat/1.png": "cat", "dog/2.png": "dog"}
    assert images.dropped == []


def test_folders_that_share_out_a_set_are_warned_of(tmp_path: Path) -> None:
    place = images_at(tmp_path / "d", *(f"images_part_{i % 2}/{i}.png" for i in range(6)))
    assert any(
        "images_part_0 are taken for classes; --labels states none" in text for text in Images.open(place).warnings
    )
    assert open_data(place, labels="none").classes == []


@pytest.mark.parametrize(
    ("header", "values"), [("phase", "012"), ("is_test_positive", "01"), ("language", ("tr", "te"))]
)
def test_columns_that_are_no_splits_are_classes(tmp_path: Path, header: str, values: Sequence[str]) -> None:
    place = images_at(tmp_path / "d", *(f"{i}.png" for i in range(12)))
    lines = "".join(f"{i}.png,{values[i % len(values)]}\n" for i in range(12))
    write(place, "labels.csv", f"file,{header}\n{lines}")
    images = Images.open(place)
    assert (len(images.items), images.classes) == (12, sorted(values))


def test_classes_that_may_be_none_are_named(tmp_path: Path) -> None:
    names = [f"set/{way}/{animal}/{i}.png" for way in ("color", "grey") for animal in ANIMALS for i in range(2)]
    ways = images_at(tmp_path / "d", *names)
    text = f"as --data, such as {ways}/set/color"
    assert any(text in warning and "such as cat" in warning for warning in Images.open(ways).warnings)
    assert Images.open(ways / "set" / "color").classes == list(ANIMALS)
    singles = images_at(tmp_path / "e", *(f"{i}.png" for i in range(12)))
    write(singles, "train.csv", "id,label\n" + rows(12, "{i},{i}.25"))
    assert any("12 classes for 12 images" in warning for warning in Images.open(singles).warnings)
    assert Images.open(images_at(tmp_path / "f", *(f"{a}/x/{i}.png" for a in ANIMALS for i in range(6)))).warnings == []


# -- the whole way -----------------------------------------------------------------------------------------------------


def test_a_column_goes_with_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Through training, resuming, evaluation and augmentation."""
    place, run = images_at(tmp_path / "d", *(f"{i}.png" for i in range(24))), tmp_path / "r"
    write(place, "meta.csv", "file,animal,tone\n" + "".join(f"{i}.png,{ANIMALS[i % 3]},t{i % 2}\n" for i in range(24)))
    words = ["--data", str(place), "--labels", "animal"]
    assert main(["train", "cvae_gan:smoke", *words, "--out", str(run), "--steps", "2"]) == 0
    about = json.loads((run / "run.json").read_text())
    assert (about["data"]["classes"], about["data"]["labels"]) == (list(ANIMALS), "animal")
    reverie.resume(run, steps=3)
    evaluation = reverie.evaluate(run, place, metrics="copying")
    assert evaluation["nn distance ratio"].n > 0
    shutil.copytree(run, tmp_path / "copy")
    reverie.compare([run, tmp_path / "copy"], place, labels="tone", metrics="copying", out=None)
    compared = json.loads((run / "scores.json").read_text())
    assert "--labels tone" in compared["command"]
    assert main([*shlex.split(compared["command"])[1:], "--json"]) == 0  # what is recorded gives the same scores
    assert json.loads((run / "scores.json").read_text())["scores"] == compared["scores"]
    assert "labels='tone'" in reverie.evaluate(run, place, labels="tone", metrics="copying").command
    assert main(["augment", str(place), "--labels", "animal", "--run", str(run), "--per-class", "2", "--out",
                 str(tmp_path / "more"), "--metrics", "copying"]) == 0  # fmt: skip
    made = sorted(path.relative_to(tmp_path / "more").parts[0] for path in (tmp_path / "more").rglob("*.png"))
    assert made == sorted(2 * ANIMALS)
    capsys.readouterr()
    assert main(["data", "inspect", str(place), "--labels", "tone", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["t0", "t1"]
