"""Where images come from: folders, zips, idx and CIFAR files; splits, classes, names, and errors."""

import gzip
import io
import struct
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reverie.data.images.class_labels import without_labels
from reverie.data.images.dataset import Images
from reverie.data.images.records import natural_key
from reverie.data.kinds import open_data
from reverie.data.music.dataset import MusicDataset
from reverie.data.text.dataset import Texts
from reverie.utils.errors import UserError


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def png(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def pngs(*names):
    return {name: png(i) for i, name in enumerate(names)}


def folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def packed(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def placed(images):
    """Item name -> class name ('' if unlabelled)."""
    return {item.name: images.classes[item.label] if item.label >= 0 else "" for item in images.items}


LAYOUTS = [
    (["b.png", "a.png"], {"train": {"a.png": "", "b.png": ""}}),
    (["deep/er/b.png", "deep/er/x/a.png"], {"train": {"deep/er/b.png": "", "deep/er/x/a.png": ""}}),
    (["cat/1.png", "dog/1.png"], {"train": {"cat/1.png": "cat", "dog/1.png": "dog"}}),
    (["cat/1.png", "cat/2.png"], {"train": {"cat/1.png": "", "cat/2.png": ""}}),
    (["cat/1.png", "dog/1.png", "top.png"], {"train": {"cat/1.png": "", "dog/1.png": "", "top.png": ""}}),
    (["w/v/cat/1.png", "w/v/dog/x/1.png"], {"train": {"w/v/cat/1.png": "cat", "w/v/dog/x/1.png": "dog"}}),
    (["train/1.png", "test/2.png"], {"train": {"train/1.png": ""}, "test": {"test/2.png": ""}}),
    (["train/1.png", "train/2.png"], {"train": {"train/1.png": "", "train/2.png": ""}}),
    (
        ["w/Train/a/1.png", "w/Train/b/1.png", "w/TEST/b/2.png", "w/Validation/a/3.png"],
        {
            "train": {"w/Train/a/1.png": "a", "w/Train/b/1.png": "b"},
            "test": {"w/TEST/b/2.png": "b"},
            "val": {"w/Validation/a/3.png": "a"},
        },
    ),
    (["train/1.png", "valid/2.png"], {"train": {"train/1.png": ""}, "val": {"valid/2.png": ""}}),
    (["test/1.png", "val/2.png"], {"train": {"test/1.png": "test", "val/2.png": "val"}}),
    (["trainA/1.png", "trainB/2.png"], {"train": {"trainA/1.png": "trainA", "trainB/2.png": "trainB"}}),
    (
        ["train/a/1.png", "train/b/1.png", "test/2.png"],
        {"train": {"train/a/1.png": "a", "train/b/1.png": "b"}, "test": {"test/2.png": ""}},
    ),
]


@pytest.mark.parametrize(("names", "expected"), LAYOUTS, ids=[" ".join(names) for names, _ in LAYOUTS])
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_layouts(names, expected, form, tmp_path):
    files = pngs(*names)
    path = folder(tmp_path / "d", files) if form == "folder" else packed(tmp_path / "d.zip", files)
    assert Images.open(path).splits == list(expected)
    for split, items in expected.items():
        images = Images.open(path, split)
        assert placed(images) == items
        assert list(placed(images)) == sorted(items)
        assert images.dropped == []
        assert images.facts["classes"] == len(images.classes)


def test_a_zip_is_the_same_as_its_folder(tmp_path):
    files = pngs("train/a/1.png", "train/b/1.png", "test/a/5.png")
    one = folder(tmp_path / "one", files)
    two = packed(tmp_path / "two.zip", {f"wrapper/{name}": data for name, data in files.items()})
    for split in ("train", "test"):
        left, right = Images.open(one, split).prepare(6), Images.open(two, split).prepare(6)
        assert left.fingerprint == right.fingerprint
        np.testing.assert_array_equal(left.array, right.array)
    assert (Images.open(one).name, Images.open(two).name) == ("one", "two")


def test_the_fingerprint_tells_contents_labels_and_splits_apart(tmp_path):
    files = pngs("a/1.png", "a/2.png", "b/3.png")
    prints = {
        "plain": Images.open(folder(tmp_path / "1", files)).fingerprint,
        "bytes": Images.open(folder(tmp_path / "2", {**files, "a/1.png": png(77)})).fingerprint,
        "class": Images.open(folder(tmp_path / "3", {f"c{name}": data for name, data in files.items()})).fingerprint,
        "flat": Images.open(folder(tmp_path / "4", {n.replace("/", ""): d for n, d in files.items()})).fingerprint,
        "fewer": Images.open(folder(tmp_path / "5", dict(list(files.items())[1:]))).fingerprint,
    }
    assert len(set(prints.values())) == 5
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in prints.values())
    renamed = {f"{name[:-4]}-x.png": data for name, data in files.items()}  # same order, other names: same images
    assert Images.open(folder(tmp_path / "6", renamed)).fingerprint == prints["plain"]
    both = folder(tmp_path / "7", {"train/1.png": png(1), "test/1.png": png(1)})
    assert Images.open(both).fingerprint != Images.open(both, "test").fingerprint


def test_classes_of_other_splits_are_those_of_train(tmp_path):
    path = folder(tmp_path / "d", pngs("train/a/1.png", "train/c/2.png", "test/b/3.png", "test/c/4.png"))
    test = Images.open(path, "test")
    assert test.classes == ["a", "c"]
    assert placed(test) == {"test/c/4.png": "c"}
    assert [tuple(drop) for drop in test.dropped] == [("test/b/3.png", "class not in train: b")]


@pytest.mark.parametrize(
    ("test_names", "why"),
    [
        (["test/test/1.png", "test/test/2.png"], "its images lie in test, and train has no such class"),
        (["test/images/1.png", "test/images/2.png"], "its images lie in images, and train has no such class"),
        (["test/A/1.png", "test/C/2.png"], "its classes, A, C, differ from those of train, a, c, by case: rename them"),
    ],
)
def test_a_split_without_a_class_of_train_is_unlabelled(test_names, why, tmp_path):
    test = Images.open(folder(tmp_path / "d", pngs("train/a/1.png", "train/c/2.png", *test_names)), "test")
    assert placed(test) == dict.fromkeys(test_names, "")
    assert test.dropped == []
    assert f"test is unlabelled although train is not: {why}" in test.warnings
    assert without_labels(test).endswith(f"has no labels in its split test: {why}; give --split train, which has.")


def test_duplicates_across_splits_are_kept(tmp_path):
    path = folder(tmp_path / "d", {"train/a.png": png(1), "train/b.png": png(2), "test/c.png": png(1)})
    assert (len(Images.open(path)), len(Images.open(path, "test"))) == (2, 1)


def test_what_is_ignored_and_what_is_listed(tmp_path):
    extra = ["train/.hidden.png", ".git/x.png", "__MACOSX/train/._1.png", "train/Thumbs.db", ".DS_Store", "desktop.ini"]
    files = pngs("train/1.png", "test/2.png", "stray.png", "other/3.png", "test/note.txt", *extra)
    files["README"] = b"read me"
    images = Images.open(folder(tmp_path / "d", files))
    assert placed(images) == {"train/1.png": ""}
    assert sorted(map(tuple, images.dropped)) == [
        ("README", "not an image file"),
        ("other/3.png", "outside the folders of the splits"),
        ("stray.png", "outside the folders of the splits"),
    ]
    assert [tuple(d) for d in Images.open(tmp_path / "d", "test").dropped] == [("test/note.txt", "not an image file")]


def test_classes_sort_as_people_count(tmp_path):
    path = folder(tmp_path / "d", pngs(*(f"{name}/1.png" for name in ("10", "9", "b2", "b10", "A"))))
    assert Images.open(path).classes == ["9", "10", "A", "b2", "b10"]


@given(st.lists(st.text(alphabet="ab10²٣_", min_size=1, max_size=6), unique=True))
def test_natural_order_is_total(names):
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


@given(st.lists(st.integers(0, 10**12), unique=True))
def test_natural_order_of_numbers_is_theirs(numbers):
    assert sorted(map(str, numbers), key=natural_key) == [str(number) for number in sorted(numbers)]


def test_links_are_read_but_never_round_in_circles(tmp_path):
    path = folder(tmp_path / "d", pngs("a/1.png", "b/2.png"))
    outside = folder(tmp_path / "outside", {"3.png": png(9)})
    try:
        (path / "a" / "up").symlink_to(path)
        (path / "b" / "root").symlink_to(tmp_path.anchor)
        (path / "b" / "gone.png").symlink_to(path / "nothing")
        (path / "c").symlink_to(outside)
    except OSError:
        pytest.skip("no symbolic links here")
    images = Images.open(path)
    assert placed(images) == {"a/1.png": "a", "b/2.png": "b", "c/3.png": "c"}
    assert {tuple(drop) for drop in images.dropped} == {
        ("a/up", "link to a folder above it"),
        ("b/root", "link to a folder above it"),
        ("b/gone.png", "broken link"),
    }


def test_two_folders_that_link_to_each_other(tmp_path):
    path = folder(tmp_path / "d", pngs("a/1.png", "b/2.png"))
    try:
        (path / "a" / "b").symlink_to(path / "b")
        (path / "b" / "a").symlink_to(path / "a")
    except OSError:
        pytest.skip("no symbolic links here")
    images = Images.open(path)
    assert set(placed(images)) == {"a/1.png", "a/b/2.png"}
    assert sum("link to a folder" in drop.reason for drop in images.dropped) == 2


RUN = {"run.json": b'{"method": "vae", "config": {}, "train": {}, "data": {}}', "log.jsonl": b"", "weights.pt": b"w"}


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("place", ["run", "lab/run", "cat/run", "train/run"])
def test_a_run_inside_the_data_is_skipped(place, form, tmp_path):
    top = "train/" if place.startswith("train") else ""
    files = pngs(f"{top}cat/1.png", f"{top}cat/2.png", f"{top}dog/3.png")
    samples = {f"{place}/samples/step-{i}.png": png(50 + i) for i in range(3)}
    made = {**files, **samples, **{f"{place}/{name}": data for name, data in RUN.items()}}
    put = folder if form == "folder" else packed
    before, after = Images.open(put(tmp_path / "before", files)), Images.open(put(tmp_path / "after", made))
    assert placed(after) == placed(before)
    assert after.classes == ["cat", "dog"]
    assert after.fingerprint == before.fingerprint
    assert [tuple(drop) for drop in after.dropped] == [(f"{place}/", "a run of reverie")]


def test_a_run_json_of_another_program_hides_nothing(tmp_path):
    for i, content in enumerate([b"{}", b"[]", b"no json", b"\xff", b'{"method": "GET", "data": {}}', b"[" * 10_000]):
        path = folder(tmp_path / str(i), {**pngs("a/1.png", "b/2.png"), "b/run.json": content})
        assert placed(Images.open(path)) == {"a/1.png": "a", "b/2.png": "b"}


def test_sample_images_of_a_run_do_not_turn_text_or_music_into_images(tmp_path):
    inside = {**{f"run/{name}": data for name, data in RUN.items()}, "run/samples/step-1.png": png(1)}
    assert Texts.recognises(folder(tmp_path / "text", {"a.txt": b"a line", **inside}))
    inside |= {f"run/samples/step-{i}.png": png(i) for i in range(9)}
    assert MusicDataset.recognises(folder(tmp_path / "music", {"a.mid": b"MThd", **inside}))


# zips


def test_zip_names_never_reach_the_disk(tmp_path):
    files = pngs("../../evil.png", "/etc/b.png", "x\\c.png")
    images = Images.open(packed(tmp_path / "d.zip", files))
    assert set(placed(images.prepare(6))) == {"evil.png", "etc/b.png", "x/c.png"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "d.zip"]
    assert not (tmp_path.parent / "evil.png").exists()


def test_zip_names_in_utf8_that_do_not_say_so(tmp_path):
    files = pngs("猫/1.png", "狗/2.png")
    path = packed(tmp_path / "d.zip", files)
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            data[at + flags + 1] &= ~8  # bit 11: the name is UTF-8
    path.write_bytes(data)
    assert zipfile.ZipFile(path).namelist()[0] != "猫/1.png"
    assert set(placed(Images.open(path)).values()) == {"猫", "狗"}


def test_damaged_and_encrypted_members_are_dropped(tmp_path):
    path = packed(tmp_path / "d.zip", pngs("a.png", "b.png", "c.png"))
    data = bytearray(path.read_bytes())
    data[data.find(png(1)) + 40] ^= 255  # within b's bytes: its checksum fails
    central = data.find(b"PK\x01\x02", data.find(b"PK\x01\x02", data.find(b"PK\x01\x02") + 1) + 1)
    data[central + 8] |= 1  # c's flag of encryption
    path.write_bytes(bytes(data))
    images = Images.open(path)
    assert set(placed(images)) == {"a.png"}
    reasons = {drop.name: drop.reason for drop in images.dropped}
    assert reasons["b.png"].startswith("damaged in the zip: Bad CRC-32")
    assert reasons["c.png"] == "encrypted in the zip"


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("reverie.data.file_types.MAX_BYTES", 1_000_000)
    files = {**pngs("a.png"), "bomb.png": bytes(2_000_000)}
    images = Images.open(packed(tmp_path / "d.zip", files, compression=zipfile.ZIP_DEFLATED))
    assert [tuple(drop) for drop in images.dropped] == [("bomb.png", "larger than 512 MB")]


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.98])
def test_a_damaged_zip_is_one_line(tmp_path, keep):
    path = packed(tmp_path / "d.zip", pngs("a.png", "b.png"))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 or not keep else keep * len(data))])
    with pytest.raises(UserError, match=r"d\.zip as a zip: it is damaged or truncated"):
        Images.open(path)


# idx and CIFAR


def idx(array):
    array = np.asarray(array, np.uint8)
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 7, 6), np.uint8), np.arange(count) % 3


def mnist_files(dot="-", gz=".gz"):
    pack = gzip.compress if gz else bytes
    files = {}
    for split, count in (("train", 9), ("t10k", 4)):
        images, labels = mnist(count, len(split))
        files[f"{split}-images{dot}idx3-ubyte{gz}"] = pack(idx(images))
        files[f"{split}-labels{dot}idx1-ubyte{gz}"] = pack(idx(labels))
    return files


@pytest.mark.parametrize("dot", "-.")
@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize("form", ["folder", "zip", "file"])
def test_idx(dot, gz, form, tmp_path):
    files = mnist_files(dot, gz)
    path = folder(tmp_path / "d", files) if form != "zip" else packed(tmp_path / "d.zip", files)
    path = path / f"train-images{dot}idx3-ubyte{gz}" if form == "file" else path
    images = Images.open(path).prepare(6)
    pixels, labels = mnist(9, 5)
    np.testing.assert_array_equal(images.array[..., 0], pixels[:, :6])
    assert images.batch(range(9))["label"].tolist() == labels.tolist()
    assert images.classes == ["0", "1", "2"]
    assert images.facts == {"channels": 1, "classes": 3, "native": 6, "photographs": True}
    assert images.splits == (["train"] if form == "file" else ["train", "test"])
    if form != "file":
        test = Images.open(path, "test").prepare(6)
        np.testing.assert_array_equal(test.array[..., 0], mnist(4, 4)[0][:, :6])
        assert test.fingerprint != images.fingerprint


def test_idx_is_read_once(tmp_path, monkeypatch):
    path = folder(tmp_path / "d", mnist_files())
    first = Images.open(path).prepare(6)
    monkeypatch.setattr("reverie.data.images.idx_cifar.read_idx", lambda *_: pytest.fail("read again"))
    again = Images.open(path).prepare(6)
    assert again.fingerprint == first.fingerprint
    assert again.classes == first.classes


def test_idx_repeats_are_kept_and_unlabelled_images_will_do(tmp_path):
    images = Images.open(folder(tmp_path / "d", {"train-images-idx3-ubyte": idx(np.zeros((5, 6, 6)))})).prepare(6)
    assert (len(images), images.classes, images.dropped) == (5, [], [])
    assert "4 of 5 images occur earlier in the arrays: kept, as published" in images.notes


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("train-images-idx3-ubyte.gz", lambda d: d[: len(d) // 2], "damaged or truncated"),
        ("train-images-idx3-ubyte.gz", lambda d: gzip.compress(gzip.decompress(d)[:-9]), "truncated"),
        ("train-images-idx3-ubyte.gz", lambda d: gzip.compress(gzip.decompress(d)[:9]), "truncated"),
        ("train-images-idx3-ubyte.gz", lambda d: b"", "not an idx file"),
        ("train-images-idx3-ubyte.gz", lambda d: b"\0\0\x08\x03" + b"\xff" * 12, "truncated"),
        ("train-labels-idx1-ubyte.gz", lambda d: gzip.compress(idx([1, 2])), "2 labels for 9 images"),
        ("train-labels-idx1-ubyte.gz", lambda d: gzip.compress(idx(np.zeros((3, 3)))), "not an idx file of 1-dim"),
    ],
)
def test_damaged_idx_is_one_line(tmp_path, name, change, words):
    files = mnist_files()
    path = folder(tmp_path / "d", {**files, name: change(files[name])})
    with pytest.raises(UserError, match=words) as caught:
        Images.open(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def cifar_files():
    rng = np.random.default_rng(0)
    files = {"batches.meta.txt": b"plane\ncar\n\n"}
    pixels = []
    for k, name in enumerate(["data_batch_1", "data_batch_2", "data_batch_10", "test_batch"]):
        planes = rng.integers(0, 256, (3, 3, 32, 32), np.uint8)
        pixels.append(planes)
        files[f"{name}.bin"] = b"".join(bytes((k % 2,)) + row.tobytes() for row in planes)
    return files, pixels


def test_cifar(tmp_path):
    files, pixels = cifar_files()
    path = folder(tmp_path / "cifar-10-batches-bin", files)
    images = Images.open(path).prepare(32)
    np.testing.assert_array_equal(images.array.transpose(0, 3, 1, 2), np.concatenate(pixels[:3]))
    assert images.batch(range(9))["label"].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert images.classes == ["plane", "car"]
    assert images.facts == {"channels": 3, "classes": 2, "native": 32}
    test = Images.open(path, "test").prepare(32)
    np.testing.assert_array_equal(test.array.transpose(0, 3, 1, 2), pixels[3])
    (path / "data_batch_2.bin").write_bytes(files["data_batch_2.bin"][:-1])
    with pytest.raises(UserError, match=r"data_batch_2\.bin .* truncated"):
        Images.open(path)


# names and mistakes


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nothing/here", "no such path"),
        ("leters", "Did you mean 'letters'?"),
        ("shaeps:20", "Did you mean 'shapes'?"),
        ("  ", "no data named"),
        ("x" * 5000, "no such path"),
        ("a\0b", "no such path"),
    ],
)
def test_a_name_that_is_none(spec, words):
    with pytest.raises(UserError) as caught:
        open_data(spec)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "is empty"),
        ({"a.txt": b"x", "b/c.md": b"y"}, r"no images in .* \(2 other files\)"),
        ({"in.zip": b"x"}, r"unpack in.zip, or give .*d/in\.zip$"),
        ({"data.tar.gz": b"x"}, r"unpack data.tar.gz$"),
    ],
)
def test_a_folder_without_images_is_one_line(files, words, tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(UserError, match=words):
        Images.open(folder(tmp_path / "d", files))


def test_archives_that_cannot_be_given_are_to_be_unpacked(tmp_path):
    with pytest.raises(UserError, match=r"unpack it and in\.zip in it, and give the folder$"):
        Images.open(packed(tmp_path / "d.zip", {"in.zip": b"x"}))
    (tmp_path / "d.tar").write_bytes(b"x")
    with pytest.raises(UserError, match="unpack it, and give the folder"):
        Images.open(tmp_path / "d.tar")


def test_a_single_image_is_not_a_data_set(tmp_path):
    folder(tmp_path, pngs("a.png"))
    with pytest.raises(UserError, match="give the folder"):
        Images.open(tmp_path / "a.png")


def test_an_unknown_split_names_those_there_are(tmp_path):
    path = folder(tmp_path / "d", pngs("train/1.png", "test/2.png"))
    with pytest.raises(UserError, match=r"no split 'tets' .* it has train, test\. Did you mean 'test'\?"):
        Images.open(path, "tets")
    with pytest.raises(UserError, match="it has train, test"):
        Images.open(path, "val")
    assert len(Images.open(path, "TEST")) == 1


def test_a_path_goes_before_a_name_and_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "letters", pngs("a.png"))
    images = open_data("letters")
    assert len(images) == 1
    assert any("rename it" in note for note in images.notes)
    assert len(open_data("letters:30")) == 30
    assert open_data(".").name == tmp_path.name


def test_a_data_set_is_downloaded_by_name(tmp_path, monkeypatch):
    path = folder(tmp_path / "fetched", mnist_files())
    asked = []

    def fetch(name):
        asked.append(name)
        return path

    public = SimpleNamespace(PUBLIC={"tiny-digits": None}, fetch=fetch)
    monkeypatch.setitem(sys.modules, "reverie.data.download", public)
    images = open_data("tiny-digits", "test")
    assert (images.name, images.spec, len(images), asked) == ("tiny-digits", "tiny-digits", 4, ["tiny-digits"])
    with pytest.raises(UserError, match="Did you mean 'tiny-digits'"):
        open_data("tiny-digts")
    assert asked == ["tiny-digits"]
