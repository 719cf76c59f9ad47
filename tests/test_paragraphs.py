"""Images with paragraphs: which texts are of which image and split, the drawn scenes, their grammar and its inverse."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import reverie
from reverie.cli.main import main
from reverie.data.kinds import can_learn_from, kind_of
from reverie.data.paragraphs import scene_grammar, scenes
from reverie.data.paragraphs.dataset import Paragraphs, usual_length
from reverie.data.paragraphs.inspect import inspect_paragraphs
from reverie.data.paragraphs.scene_grammar import HELD_OUT_PAIRS, Aggregate, Count, Mention, SceneObject, parse
from reverie.data.text.sentences import (
    END,
    PAD,
    SPECIAL,
    UNKNOWN,
    decode,
    encode,
    lines_are_sentences,
    split_sentences,
    text_of,
    words_of,
)
from reverie.metrics.scene_facts import check, fact_scores
from reverie.utils.errors import UserError

TEXTS = (
    "A dog runs on the grass. It is brown.",
    "Two men play football. One of them falls.",
    "一只狗在草地上跑。它是黑色的。",
)


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images without texts."""
    return images_at(tmp_path / "set", "0.png", "1.png", "2.png")


def images_at(root: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draws = np.random.Generator(np.random.Philox(key=[i, zlib.crc32(name.encode())]))
        Image.fromarray(draws.integers(0, 256, (30, 40, 3), np.uint8)).save(path)
    return root


# -- sentences and words -----------------------------------------------------------------------------------------------

SPLIT = {
    "A dog runs at 3.5 m/s. Mr. Li throws a ball!": ["A dog runs at 3.5 m/s.", "Mr. Li throws a ball!"],
    'He said "Go." Then he left. what now?': ['He said "Go."', "Then he left.", "what now?"],
    "I met J. K. Smith. She and I. left": ["I met J. K. Smith.", "She and I.", "left"],
    "The U.S. flag. It is 5 p.m. now.": ["The U.S. flag.", "It is 5 p.m. now."],
    "Wait... Yes (really). No": ["Wait...", "Yes (really).", "No"],
    "two dogs run .\nA man .": ["two dogs run .", "A man ."],
    "a dog runs\ntwo men play\n": ["a dog runs", "two men play"],
    "A long line that\nis wrapped. And one more.": ["A long line that is wrapped.", "And one more."],
    "One\n\ntwo. three": ["One", "two.", "three"],
    "一只狗在跑。“快！”他说。天气……很好！": ["一只狗在跑。", "“快！”", "他说。", "天气……", "很好！"],
    "  \n ": [],
}


@pytest.mark.parametrize("text", SPLIT)
def test_sentences_end_where_readers_end_them(text: str) -> None:
    assert split_sentences(text) == SPLIT[text]


CAPTIONS = [
    "A dog runs on grass .\nTwo dogs play\nA black dog is in the air",
    "A man sits\nA man on a rock by the sea .",
]
PROSE = "The old house stood at the end of the lane. Nobody had lived there since\nthe war, and the garden was full of"
VERSE = (
    "The fog comes in from the sea,\nIt sits over harbour and town,\nOn silent haunches it looks,\nAnd then moves on"
)


@pytest.mark.parametrize(
    ("texts", "captions"),
    [(CAPTIONS, True), ([text.lower() for text in CAPTIONS], False), (["a dog runs .\ntwo dogs play ."] * 3, True),
     ([f"{PROSE}\nthistles and old chairs. It was for sale."] * 3, False), ([VERSE] * 3, False),
     (["一只狗在跑。\n两个人。"], True),
     (["Der Mann sitzt am Meer und liest die\nZeitung. Neben ihm liegt ein\nHund, der schläft."], False),
     ([*CAPTIONS, *["A dog runs. It is fast."] * 3], False), ([""], False)],
)  # fmt: skip
def test_lines_of_captions_are_sentences_and_those_of_prose_are_not(texts: list[str], captions: bool) -> None:
    assert lines_are_sentences(texts) == captions


@given(st.text(st.sampled_from("ab Ab.!?…。！？，\n\"”’()1'é"), max_size=40))
@settings(max_examples=200, deadline=None)
def test_splitting_loses_no_sign(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
    assert all(sentence == " ".join(sentence.split()) for sentence in split_sentences(text))


@pytest.mark.parametrize(
    "sentence",
    ["A man's dog, asleep, is here.", "He said “no” (twice).", 'A sign says "open 24/7".', "一只狗，在跑。", "And I?"],
)
def test_a_sentence_is_written_again_from_its_words(sentence: str) -> None:
    assert text_of(words_of(sentence)) == sentence


def test_words_outside_the_vocabulary_are_unknown() -> None:
    vocabulary = (*SPECIAL, "a", "dog")
    assert encode(["a", "cat", "<end>", "dog"], vocabulary) == [4, UNKNOWN, UNKNOWN, 5, END]
    assert decode([4, 5, END, 4, PAD], vocabulary) == ["a", "dog"]


def test_a_few_long_paragraphs_do_not_set_the_length() -> None:
    assert usual_length([5] * 99 + [60], 64) == 5
    assert usual_length([5] * 99 + [6], 64) == 6
    assert usual_length([500], 64) == 64


# -- which text is of which image --------------------------------------------------------------------------------------


def text_files(place: Path) -> None:
    for i, text in enumerate(TEXTS):
        (place / f"{i}.txt").write_text(text, encoding="utf-8")


def text_folder(place: Path) -> None:
    (place / "captions").mkdir()
    for i, text in enumerate(TEXTS):
        (place / "captions" / f"{i}.txt").write_text(text, encoding="utf-16")


def lines(place: Path) -> None:
    (place / "captions.txt").write_text("".join(f"{i}.png,{t}\n" for i, t in enumerate(TEXTS)), encoding="utf-8-sig")


def numbered_lines(place: Path) -> None:
    rows = [f"{i}.png#{k}\t{s}\n" for i, t in enumerate(TEXTS) for k, s in enumerate(split_sentences(t))]
    (place / "set.token.txt").write_text("".join(rows), encoding="utf-8")


def table(place: Path) -> None:
    (place / "x.csv").write_text("image,caption\n" + "".join(f'{i}.png,"{t}"\n' for i, t in enumerate(TEXTS)), "utf-8")


def bars(place: Path) -> None:
    rows = [f"{i}.png| {k}| {s}\n" for i, t in enumerate(TEXTS) for k, s in enumerate(split_sentences(t))]
    (place / "results.csv").write_text("image_name| comment_number| comment\n" + "".join(rows), encoding="utf-8")


def metadata(place: Path) -> None:
    rows = [json.dumps({"file_name": f"{i}.png", "n": i, "text": t}) for i, t in enumerate(TEXTS)]
    (place / "metadata.jsonl").write_text("\n".join(rows))


def stanford(place: Path) -> None:
    rows = [{"url": f"http://x.org/a/{i}.png", "image_id": i, "paragraph": t} for i, t in enumerate(TEXTS)]
    (place / "paragraphs_v1.json").write_text(json.dumps(rows))


def coco(place: Path) -> None:
    images = [{"id": 100 + i, "file_name": f"{i}.png"} for i in range(3)]
    captions = [{"image_id": 100 + i, "id": i, "caption": text} for i, text in enumerate(TEXTS)]
    (place / "captions_train.json").write_text(json.dumps({"images": images, "annotations": captions}))


FORMS = [text_files, text_folder, lines, numbered_lines, table, bars, metadata, stanford, coco]


@pytest.mark.parametrize("write", FORMS)
def test_every_form_says_the_same(folder: Path, write: Callable[[Path], None]) -> None:
    write(folder)
    data = Paragraphs.open(folder)
    assert [item.references for item in data.items] == [(tuple(split_sentences(text)),) for text in TEXTS]
    assert [item.name for item in data.items] == ["0.png", "1.png", "2.png"]
    assert (data.items[0].height, data.items[0].width, data.dropped) == (30, 40, [])
    assert kind_of(folder).data is Paragraphs
    with zipfile.ZipFile(folder.parent / "set.zip", "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, f"all/{path.relative_to(folder).as_posix()}")
    assert reverie.open_data(folder.parent / "set.zip").fingerprint == data.fingerprint


def test_commas_and_quotes_within_captions_stay(folder: Path) -> None:
    rows = ['0.png,A "big", brown dog, asleep.', '1.png,"A cat, awake."', "2.png,Two men play here"]
    (folder / "captions.csv").write_text("\n".join(rows))
    found = [item.references[0][0] for item in Paragraphs.open(folder).items]
    assert found == ['A "big", brown dog, asleep.', "A cat, awake.", "Two men play here"]


def test_several_captions_are_joined_and_several_paragraphs_are_references(folder: Path) -> None:
    rows = [f"{i}.png,Caption number {k} of it.\n" for i in range(3) for k in range(5)]
    (folder / "captions.txt").write_text("".join(rows))
    data = Paragraphs.open(folder)
    assert data.items[0].references == (tuple(f"Caption number {k} of it." for k in range(5)),)
    assert "about 5 texts of one sentence for each image, joined in order" in data.notes[0]
    rows = [f"{i}.png,It has number {k}. It has two sentences.\n" for i in range(3) for k in range(1 + i)]
    (folder / "captions.txt").write_text("".join(rows))
    data = Paragraphs.open(folder).prepare(32)
    assert [len(item.references) for item in data.items] == [1, 2, 3]
    batch = data.batch([2, 0])
    assert batch["references"].tolist() == [3, 1]
    assert (batch["words"][1, 1:] == PAD).all()


def test_of_tables_of_the_same_images_one_is_read(folder: Path) -> None:
    lines(folder)
    (folder / "captions.lemma.txt").write_text("0.png,a dog run on the grass\n1.png,two man play football\n")
    data = Paragraphs.open(folder)
    assert [item.references for item in data.items] == [(tuple(split_sentences(text)),) for text in TEXTS]
    assert "captions.lemma.txt describes images that captions.txt describes too: not read" in data.notes


def test_lists_beside_text_files_are_no_texts_without_an_image(folder: Path) -> None:
    text_files(folder)
    (folder / "test.txt").write_text("2.png\n")
    (folder / "README.txt").write_text("My photos and what I wrote of them.")
    (folder / "9.txt").write_text("A text of no image.")
    data = Paragraphs.open(folder)
    assert ([item.name for item in data.items], data.splits) == (["0.png", "1.png"], ["train", "test"])
    assert data.unpaired == (("A text of no image.",),)


def test_inspect_says_how_texts_of_another_encoding_become_utf8(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text_files(folder)
    (folder / "1.txt").write_bytes("一只狗在草地上跑。".encode("gb18030"))
    assert main(["data", "inspect", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "1: its text is not UTF-8; save it as UTF-8 (iconv -t UTF-8 -f GB18030" in printed
    assert "1 of 3 files in train cannot be used" in printed


def test_a_batch_holds_images_and_numbered_words(folder: Path) -> None:
    text_files(folder)
    data = Paragraphs.open(folder).prepare(32, min_count=2)
    batch = data.batch(np.array([1, 0]))
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {
        "image": (2, 3, 32, 32), "words": (2, 1, 2, 10), "references": (2,), "row": (2,)
    }  # fmt: skip
    assert float(batch["image"].min()) >= -1
    assert float(batch["image"].max()) <= 1
    vocabulary = data.facts["vocabulary"]
    assert vocabulary[: len(SPECIAL)] == SPECIAL
    assert decode(batch["words"][1, 0, 1].tolist(), vocabulary) == ["<unk>", "<unk>", "<unk>", "."]
    known = Paragraphs.open(folder).prepare(32, vocabulary=(*SPECIAL, "dog"), most_sentences=1, most_words=4)
    assert known.batch([0])["words"].tolist() == [[[[3, 4, 3, END]]]]
    assert "of 3 paragraphs have more than 1 sentences: cut there" in known.notes[-3]


# -- splits ------------------------------------------------------------------------------------------------------------


def describe_all(place: Path, count: int) -> Path:
    images_at(place, *(f"{i:03}.png" for i in range(count)))
    rows = "".join(f"{i:03}.png,Image {i} has the number {i}.\n" for i in range(count))
    (place / "captions.txt").write_text(rows)
    return place


def names(place: Path) -> dict[str, list[str]]:
    first = Paragraphs.open(place)
    return {split: [item.name for item in Paragraphs.open(place, split).items] for split in first.splits}


def test_lists_columns_tables_and_folders_say_the_splits(tmp_path: Path) -> None:
    place = describe_all(tmp_path / "a", 6)
    (place / "Set.trainImages.txt").write_text("000.png\n001.png\n002.png\n")
    (place / "test.txt").write_text("003\n004\n")
    assert names(place) == {"train": ["000.png", "001.png", "002.png"], "test": ["003.png", "004.png"]}
    assert Paragraphs.open(place).dropped == [("005.png", "named for no split")]
    rows = [json.dumps([0, 1]), json.dumps(["2"]), json.dumps([3, 4, 5])]
    place = images_at(tmp_path / "b", *(f"{i}.png" for i in range(6)))
    (place / "p.json").write_text(json.dumps([{"image_id": i, "paragraph": f"Image {i} is here."} for i in range(6)]))
    for split, row in zip(("train", "val", "test"), rows, strict=True):
        (place / f"{split}_split.json").write_text(row)
    assert {split: len(found) for split, found in names(place).items()} == {"train": 2, "test": 3, "val": 1}
    place = images_at(tmp_path / "c", "train/0.png", "train/1.png", "test/0.png")
    for split, count in (("train", 2), ("test", 1)):
        table = [json.dumps({"file_name": f"{i}.png", "text": f"Image {i} of {split} is here."}) for i in range(count)]
        (place / split / "metadata.jsonl").write_text("\n".join(table))
    assert names(place) == {"train": ["train/0.png", "train/1.png"], "test": ["test/0.png"]}
    assert Paragraphs.open(place, "test").items[0].references == (("Image 0 of test is here.",),)
    assert not [text for text in inspect_paragraphs(str(place))["warnings"] if "in train too" in text]
    (place / "test" / "0.png").write_bytes((place / "train" / "1.png").read_bytes())
    leaks = [text for text in inspect_paragraphs(str(place))["warnings"] if "in train too" in text]
    assert leaks == ["1 images of test, or their texts, are in train too: scores favour memorisation"]
    place = images_at(tmp_path / "d", *(f"{i}.png" for i in range(3)))
    table = [f"{i}.png,Image {i} is right here.,{split}" for i, split in enumerate(("train", "val", "train"))]
    (place / "all.csv").write_text("file_name,text,split\n" + "\n".join(table))
    assert names(place) == {"train": ["0.png", "2.png"], "val": ["1.png"]}


def test_what_has_no_split_is_held_out_by_a_hash_of_the_texts(tmp_path: Path) -> None:
    place = tmp_path / "x"
    place.mkdir()
    for i in range(600):
        Image.new("RGB", (8, 8), (i % 256, i // 256, 7)).save(place / f"{i}.png")
    (place / "captions.txt").write_text("".join(f"{i}.png,Image {i} has the number {i}.\n" for i in range(600)))
    train, test = Paragraphs.open(place), Paragraphs.open(place, "test")
    assert (len(train), len(test), test.held_out) == (500, 100, True)
    assert "100 of 600, chosen by a hash of each text, are held out" in train.notes[-1]
    assert Paragraphs.open(place, held_out=0).splits == ["train"]


# -- what is wrong with what people have -------------------------------------------------------------------------------


def test_what_cannot_be_used_is_named_with_the_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images_at(folder, "3.png", "4.png", "5.png")
    (folder / "6.png").write_bytes((folder / "5.png").read_bytes()[:900])
    rows = [
        "0.png,A dog runs here. It is brown.",
        "1.png,",
        "3.png,Two men play in a park.",
        "5.png,There is one sentence.",
        "6.png,A cat.",
    ]
    (folder / "captions.txt").write_text("\n".join([*rows, "9.png,An image that is gone.", "8.png,Another one."]))
    (folder / "README.md").write_text("hello")
    data = Paragraphs.open(folder).prepare(32)
    assert {drop.name: drop.reason for drop in data.dropped if drop.name != "6.png"} == {
        "1.png": "its text is empty", "2.png": "no text", "4.png": "no text", "README.md": "not an image file"
    }  # fmt: skip
    assert any(drop.name == "6.png" for drop in data.dropped)
    assert data.unpaired == (("An image that is gone.",), ("Another one.",))
    assert tuple(data.batch([0])["unpaired"].shape) == (1, 2, 8)
    assert main(["data", "inspect", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "2: no text (2.png, 4.png)" in printed
    assert "1: its text is empty (1.png)" in printed
    assert "texts of 2 images not here, such as 8.png: kept as unpaired" in printed
    assert "2 of one sentence: 3.png, 5.png" in printed
    assert "texts without an image: 2" in printed


def test_stray_and_damaged_text_files(folder: Path) -> None:
    text_files(folder)
    (folder / "1.txt").write_bytes("一只狗在草地上跑。".encode("gb18030"))
    (folder / "7.txt").write_text("A text of no image.")
    data = Paragraphs.open(folder)
    assert [item.name for item in data.items] == ["0.png", "2.png"]
    assert "its text is not UTF-8; save it as UTF-8 (iconv -t UTF-8 -f GB18030" in data.dropped[0].reason
    assert data.unpaired == (("A text of no image.",),)


def test_texts_that_cannot_be_read_are_named_by_inspect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for image in folder.glob("*.png"):
        image.with_suffix(".txt").write_bytes("一只狗在草地上跑。".encode("gb18030"))
    assert main(["data", "inspect", str(folder)]) == 2
    assert "cannot be read: 0.txt is not UTF-8; save it as UTF-8" in capsys.readouterr().err


WRONG = {
    "that describe its images; give name.txt beside name.jpg": lambda place: None,
    "are all empty; write a sentence": lambda place: [(place / f"{i}.txt").write_text(" ") for i in range(3)],
    "cannot be read: captions.txt is not UTF-8; save it as UTF-8": lambda place: (place / "captions.txt").write_bytes(
        "0.png,一只狗在草地上跑。".encode("gb18030")
    ),
    "are of no image there, such as 'x0.png'": lambda place: (place / "c.txt").write_text("x0.png,A dog runs here.\n"),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_texts_get_one_clear_line(folder: Path, message: str) -> None:
    WRONG[message](folder)
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        Paragraphs.open(folder)


def test_wrong_places_and_options(folder: Path, tmp_path: Path) -> None:
    text_files(folder)
    for call, message in (
        (lambda: Paragraphs.open(folder, "val"), "no split 'val'"),
        (lambda: Paragraphs.open(folder, held_out=0.7), "a share from 0 to 0.5"),
        (lambda: Paragraphs.open(folder / "0.png"), "neither a folder nor a zip"),
        (lambda: Paragraphs.open("scenes:0"), "'0' in scenes:0 is not a number of scenes"),
        (lambda: Paragraphs.open(folder).prepare(32, min_count=9), "no word occurs 9 times in the 3 training texts"),
        (lambda: Paragraphs.open("scene"), "no such path.* The built-in set is scenes"),
        (lambda: Paragraphs.open(tmp_path / "nowhere"), "no such path"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_labels_boxes_and_readmes_are_no_descriptions(folder: Path) -> None:
    (folder / "README.txt").write_text("These are photos of my dog. They are free to use.")
    assert kind_of(folder).data.kind == "images"
    (folder / "labels.csv").write_text("file,label\n0.png,dog\n1.png,cat\n2.png,guinea pig\n")
    assert kind_of(folder).data.kind == "images"
    for i in range(3):
        (folder / f"{i}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    assert kind_of(folder).data.kind == "images"
    assert can_learn_from("Images", "paragraphs")


def test_images_with_texts_in_memory() -> None:
    images = [np.full((20, 24, 3), 40 * i, np.uint8) for i in range(4)]
    data = reverie.open_data({"train": [(image, "A dog runs. It is brown.") for image in images[:3]],
                              "test": [(images[3], "A cat sleeps here.")]})  # fmt: skip
    assert (data.kind, data.splits, len(data)) == ("paragraphs", ["train", "test"], 3)
    assert data.items[0].references == (("A dog runs.", "It is brown."),)
    assert data.prepare(32).pixels(1).tolist() == np.full((32, 32, 3), 40).tolist()
    several = reverie.open_data((images, [["A dog runs.", "It is brown."]] * 4))
    assert several.items[0].references == data.items[0].references
    assert reverie.open_data([(image, "dog") for image in images]).kind == "images"
    with pytest.raises(UserError, match="4 images in memory have no texts; give a list of"):
        Paragraphs.open(reverie.open_data(images).spec)


# -- scenes ------------------------------------------------------------------------------------------------------------


def test_scenes_depend_on_their_number_alone() -> None:
    few, many = Paragraphs.open("scenes:3"), Paragraphs.open("scenes:5")
    assert few.items == many.items[:3]
    assert np.array_equal(scenes.draw("train", 2, 48), scenes.draw("train", 2, 48))
    assert not np.array_equal(scenes.draw("train", 2, 48), scenes.draw("val", 2, 48))
    batch = few.prepare(48, min_count=1).batch([0, 2])
    assert tuple(batch["words"].shape[:2]) == (2, scenes.REFERENCES)
    assert (batch["words"] != UNKNOWN).sum() == batch["words"].numel()


def test_held_out_pairs_are_in_no_training_scene() -> None:
    def pairs(split: str) -> set[tuple[str, str]]:
        return {(thing.colour, thing.shape) for i in range(300) for thing in scenes.scene(split, i).objects}

    assert not pairs("train") & HELD_OUT_PAIRS
    assert pairs("test") >= HELD_OUT_PAIRS
    assert {shape for _, shape in HELD_OUT_PAIRS} == set(scene_grammar.SHAPES)


def test_objects_stand_apart_and_are_drawn_where_they_are_said_to_be() -> None:
    for i in range(60):
        shown = scenes.scene("test", i)
        things = shown.objects
        assert [thing.x for thing in things] == sorted(thing.x for thing in things)
        assert all(0 < thing.x < 1 for thing in things)
        for one, other in pairwise(things):
            if one.row == other.row:
                assert other.x - one.x > scenes.radius_of(one) + scenes.radius_of(other)
    shown = shown._replace(objects=(SceneObject("large", "red", "matte", "ball", "front", 0.25),), turns=(0.0,))
    pixels = scenes.render(shown, 64, np.random.default_rng(0)).astype(int)
    red = pixels[..., 0] - pixels[..., 1] > 60
    assert abs(np.nonzero(red)[1].mean() / 64 - 0.25) < 0.02
    assert 0.6 < np.nonzero(red)[0].mean() / 64 < scenes.FLOORS["front"]


def things(count: int = 6) -> st.SearchStrategy[tuple[SceneObject, ...]]:
    thing = st.builds(
        SceneObject, st.sampled_from(scene_grammar.SIZES), st.sampled_from(scene_grammar.COLOURS),
        st.sampled_from(scene_grammar.MATERIALS), st.sampled_from(scene_grammar.SHAPES),
        st.sampled_from(list(scene_grammar.ROWS)), st.just(0.5),
    )  # fmt: skip
    return (
        st.lists(thing, min_size=3, max_size=count).map(tuple).filter(lambda found: bool(scene_grammar.shared(found)))
    )


@given(things(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_inverse_grammar_is_exact(objects: tuple[SceneObject, ...], random: Random) -> None:
    """Of any scene, twins among them, every paragraph states every fact, and no other."""
    paragraph = scene_grammar.describe(objects, random.choice)
    counts = check(" ".join(paragraph), objects)
    assert (counts.true, counts.false, counts.unparsed, counts.duplicate, counts.missing) == (
        4 * len(objects) + 2, 0, 0, 0, 0,
    )  # fmt: skip
    assert counts.visits_once_in_order
    assert counts.held_out_true == counts.held_out_total == sum(thing.held_out for thing in objects)
    assert check(paragraph, objects) == counts


def test_every_wording_is_parsed_to_what_it_says() -> None:
    assert parse("There are four objects in this picture.") == Count(4)
    assert parse("In all, two of the objects are cubes.") == Aggregate(2, "cube")
    assert parse("On the far left, at the back, is a small red metal cone.") == Mention(
        "small", "red", "metal", "cone", "back", True
    )
    assert parse("Next, a large shiny ball in grey stands beside it.") == Mention(
        "large", "grey", "shiny", "ball", "beside", False
    )
    for wrong in ("", "A dog runs.", "There are many objects in this picture.", "Behind it there is a red metal cone.",
                  "In all two of the objects are cubes.", "Behind it there is a small red red cone."):  # fmt: skip
        assert parse(wrong) is None


SCENE = (
    SceneObject("small", "red", "metal", "cone", "front", 0.2),
    SceneObject("large", "blue", "matte", "ring", "back", 0.4),
    SceneObject("large", "blue", "matte", "ring", "back", 0.6),  # a twin
    SceneObject("small", "grey", "shiny", "ball", "front", 0.8),
)
SAID = (
    "There are four objects in this picture.",
    "On the far left, at the front, is a small red metal cone.",
    "Behind it there is a large blue matte ring.",
    "Beside it there is a large blue matte ring.",
    "In front of it there is a small grey shiny ball.",
    "Two of them are rings.",
)
MUTATIONS = {  # what is done to SAID -> (true, false, unparsed, duplicate, missing, once in order)
    "nothing": (SAID, (18, 0, 0, 0, 0, True)),
    "a colour changed": ((*SAID[:4], SAID[4].replace("grey", "cyan"), SAID[5]), (17, 1, 0, 0, 1, False)),
    "a size changed": ((*SAID[:4], SAID[4].replace("small", "large"), SAID[5]), (17, 1, 0, 0, 1, True)),
    "a place changed": ((*SAID[:4], SAID[4].replace("In front of", "Behind"), SAID[5]), (17, 1, 0, 0, 1, True)),
    "a wrong number": ((SAID[0].replace("four", "five"), *SAID[1:]), (17, 1, 0, 0, 1, True)),
    "a wrong sum": ((*SAID[:5], "Three of them are rings."), (17, 1, 0, 0, 1, True)),
    "a sentence twice": ((*SAID[:2], SAID[1], *SAID[2:]), (18, 0, 0, 1, 0, False)),
    "a third twin": ((*SAID[:4], SAID[3], *SAID[4:]), (18, 0, 0, 1, 0, False)),
    "the last object left out": ((*SAID[:4], SAID[5]), (14, 0, 0, 0, 4, False)),
    "a twin left out": ((*SAID[:3], *SAID[4:]), (14, 0, 0, 0, 4, False)),
    "nonsense": (("A dog runs.", *SAID, "It is brown."), (18, 0, 2, 0, 0, True)),
    "one too many": ((*SAID[:5], "Beside it there is a large green metal cube.", SAID[5]), (18, 4, 0, 0, 0, False)),
    "another order": ((SAID[0], SAID[4], *SAID[1:4], SAID[5]), (17, 1, 0, 0, 1, False)),
    "another sum": ((*SAID, "Two of them are small."), (19, 0, 0, 0, 0, True)),
    "nothing at all": ((), (0, 0, 0, 0, 18, False)),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutations_are_counted_as_what_they_are(mutation: str) -> None:
    said, expected = MUTATIONS[mutation]
    assert check(said, SCENE)[:6] == expected


def test_shares_of_facts() -> None:
    scores = fact_scores([check(MUTATIONS[name][0], SCENE) for name in ("nothing", "a colour changed", "nonsense")])
    assert scores["precision"] == pytest.approx(53 / (53 + 1 + 2))
    assert scores["recall"] == pytest.approx(53 / 54)
    assert (scores["unparsed"], scores["duplicate"]) == (pytest.approx(2 / 3), 0)
    assert scores["once in order"] == pytest.approx(2 / 3)
    assert np.isnan(scores["held-out recall"])
    held_out = (SCENE[0]._replace(shape="cube"), *SCENE[1:])
    said = (SAID[0], SAID[1].replace("cone", "cube"), *SAID[2:])
    assert check(said, held_out)[6:8] == (1, 1)
    assert check(SAID, held_out)[6:8] == (0, 1)
