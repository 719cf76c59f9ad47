"""Python is whole: data in memory everywhere, verbs that take what Python has, fine-tuning, config files, plans."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from filelock import FileLock
from torch.utils.data import DataLoader, Dataset, TensorDataset

import reverie
from reverie.cli.files import gather
from reverie.cli.main import main
from reverie.data.images.unpaired import Unpaired
from reverie.data.python_data import python_data
from reverie.data.tables import CAPTION_COLUMNS, LINE_COLUMNS
from reverie.media import Code, Image, ItemList, Photo, Text
from reverie.media.from_python import items_of
from reverie.runs.run_folder import Run
from reverie.training import initial_weights
from reverie.training.initial_weights import INITIAL
from reverie.utils.errors import UserError

N = 24
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 16, 16, 3), dtype=np.uint8)
CHW = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
LABELS = [i % 2 for i in range(N)]
SHORT = dict(steps=2, log_every=1, checkpoint_every=2, sample_every=2, batch_size=8)


def with_nan(i: int) -> np.ndarray:
    """The images from 0 to 1, one of which holds a NaN."""
    images = PIXELS.astype(np.float32) / 255
    images[i, 0, 0] = np.nan
    return images


class Labelled(Dataset[Any]):
    """A data set of torch with names of classes, which does not end by itself."""

    classes = ["cat", "dog"]

    def __init__(self, as_dict: bool = False) -> None:
        self.as_dict = as_dict

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        image = PIL.Image.fromarray(PIXELS[i])
        return {"image": image, "label": LABELS[i]} if self.as_dict else (image, LABELS[i])


class ClassLabel:
    names = ["cat", "dog"]


class HuggingFace:
    """What a data set of Hugging Face looks like."""

    column_names = ["id", "image", "label"]
    features = {"id": None, "image": None, "label": ClassLabel()}

    def __len__(self) -> int:
        return N

    def __getitem__(self, key: Any) -> Any:
        columns = {"id": list(range(N)), "image": [PIL.Image.fromarray(x) for x in PIXELS], "label": LABELS}
        return columns[key]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE trained on the images."""
    folder = tmp_path_factory.mktemp("python") / "vae"
    reverie.train("vae:smoke", data=PIXELS, out=folder, **SHORT)
    return folder


@pytest.mark.parametrize(
    "data",
    [
        PIXELS, list(PIXELS), [PIL.Image.fromarray(x) for x in PIXELS], PIXELS.astype(np.float32) / 255, CHW,
        CHW / 255.0,
        PIXELS.transpose(0, 3, 1, 2), CHW / 127.5 - 1, [Image(x) for x in PIXELS], TensorDataset(CHW), {"image": CHW},
        (x for x in PIXELS), PIXELS.astype(np.int64), {"train": PIXELS},
    ],
)  # fmt: skip
def test_the_same_images_in_any_form_are_the_same_data(data: Any) -> None:
    opened = reverie.open_data(data).prepare(16)
    assert (opened.array == PIXELS).all()
    assert opened.classes == []
    assert opened.fingerprint == reverie.open_data(PIXELS).fingerprint


@pytest.mark.parametrize(
    ("data", "classes"),
    [
        ((PIXELS, LABELS), ["0", "1"]), ((CHW, torch.tensor(LABELS)), ["0", "1"]),
        ((list(CHW), np.array(LABELS)), ["0", "1"]),
        (list(zip(PIXELS, LABELS, strict=True)), ["0", "1"]), (TensorDataset(CHW, torch.tensor(LABELS)), ["0", "1"]),
        ((PIXELS, ["cat" if x else "9" for x in LABELS]), ["9", "cat"]), (Labelled(), ["cat", "dog"]),
        (Labelled(as_dict=True), ["cat", "dog"]), (DataLoader(Labelled(), batch_size=5, shuffle=True), ["cat", "dog"]),
        (HuggingFace(), ["cat", "dog"]), ({"train": HuggingFace(), "test": HuggingFace()}, ["cat", "dog"]),
        ((PIXELS, np.array(LABELS)[:, None]), ["0", "1"]), ((PIXELS, [[x] for x in LABELS]), ["0", "1"]),
        ((PIXELS, (x for x in LABELS)), ["0", "1"]), ((PIXELS, [2 - 3 * x for x in LABELS]), ["2", "-1"]),
        ({"train": (PIXELS, LABELS), "test": (PIXELS[:2], [1, 7])}, ["0", "1"]),
        ({"train": (PIXELS, LABELS), "test": (PIXELS[:2], [-1, -1])}, ["0", "1"]),
    ],
)  # fmt: skip
def test_labels_come_along(data: Any, classes: list[str]) -> None:
    opened = reverie.open_data(data).prepare(16)
    assert opened.classes == classes
    assert list(opened.labels) == LABELS
    assert (opened.array == PIXELS).all()


def test_a_class_that_train_lacks_is_dropped_and_a_missing_label_is_said() -> None:
    test = reverie.open_data({"train": (PIXELS, LABELS), "test": (PIXELS[:2], [1, 7])}, "test").prepare(16)
    assert [(drop.name, drop.reason) for drop in test.dropped] == [("test/1", "class not in train: 7")]
    assert list(test.labels) == [1]
    partly = reverie.open_data((PIXELS, [None, *LABELS[1:]]))
    assert (partly.classes, partly.warnings) == ([], ["unlabelled: 1 of 24 images have no label"])
    assert reverie.open_data((PIXELS, [-1, *LABELS[1:]])).warnings[0].startswith("-1 is taken for a class")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (PIXELS, "have no labels; give (images, labels)"), ((PIXELS, ["a"] * N), "are 'a'"),
        ((PIXELS, [None, *LABELS[1:]]), "1 of 24 images"), ((PIXELS, np.eye(2)[LABELS]), "labels.argmax(1)"),
        ((PIXELS, np.eye(2)[LABELS].tolist()), "labels.argmax(1)"), ((PIXELS, {0, 1}), "type set"),
        ((PIXELS, {"1.png": 0}), "type dict"), ((PIXELS, "cat"), "type str"), ((PIXELS, None), "None"),
        ([(x, np.eye(2)[0]) for x in PIXELS], "labels.argmax(1)"),
    ],
)  # fmt: skip
def test_data_in_memory_never_gets_advice_about_folders(data: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        reverie.train("cvae_gan:smoke", data=data, out=tmp_path / "x")
    assert words in str(error.value)
    assert "folder" not in str(error.value)
    assert "pairs" not in str(error.value)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_of_no_file_is_refused_and_two_folders_are_two_places(kind: Any, tmp_path: Path) -> None:
    for i, folder in enumerate(("cat", "dog")):
        (tmp_path / folder).mkdir()
        for j in range(3):
            PIL.Image.fromarray(PIXELS[3 * i + j]).save(tmp_path / folder / f"{j}.png")
    cat, dog = ([kind(tmp_path / folder / f"{i}.png") for i in range(3)] for folder in ("cat", "dog"))
    wrong = kind(tmp_path / "cat" / "typo.png")
    for data in (
        [*cat, wrong], [cat[0], wrong], [wrong, wrong], [(cat[0], "a"), (wrong, "b")], (cat, [*dog[:2], wrong]),
        {"image": [cat[0], wrong], "label": [0, 1]}, {"train": cat, "test": [wrong]}, [PIXELS[0], wrong],
    ):  # fmt: skip
        with pytest.raises(UserError, match=r"there is no file .*typo\.png"):
            reverie.open_data(data)
    folders = kind(tmp_path / "cat"), kind(tmp_path / "dog")
    assert str(reverie.open_data(folders).spec) == f"{tmp_path / 'cat'},{tmp_path / 'dog'}"
    assert reverie.train("cyclegan:smoke", data=folders, out=tmp_path / "run", **SHORT).origin["step"] == 2
    with pytest.raises(UserError, match="no such path"):
        reverie.open_data((kind(tmp_path / "cat"), kind(tmp_path / "dgo")))
    for data in ([folders[0]], [*folders, folders[0]], {"train": folders[0]}):
        with pytest.raises(UserError, match=r"is a folder in a list|stands where images"):
            reverie.open_data(data)
    assert reverie.open_data(["see photo.png", "a line", "and one more"]).kind == "text"
    assert reverie.open_data((cat, ["a", "b", "a"])).classes == ["a", "b"]


def test_pairs_of_unequal_number_are_refused(tmp_path: Path) -> None:
    for data in ((PIXELS[:9], PIXELS[9:14]), {"train": (PIXELS, PIXELS), "test": (PIXELS[:9], PIXELS[9:14])}):
        with pytest.raises(UserError, match="9 inputs and 5 targets"):
            reverie.train("pix2pix:smoke", data=data, out=tmp_path / "x")
    assert "9 and 5 images in memory" in reverie.open_data((PIXELS[:9], PIXELS[9:14])).spec


def test_grey_masks_alpha_and_deep_values() -> None:
    grey = reverie.open_data(PIXELS[..., 0]).prepare(16)
    assert grey.facts["channels"] == 1
    assert (grey.array[..., 0] == PIXELS[..., 0]).all()
    masks = reverie.open_data(PIXELS[..., 0] > 128).prepare(16)
    assert set(np.unique(masks.array)) == {0, 255}
    clear = np.zeros((4, 16, 16, 4), np.uint8)
    clear[:, :8] = 255
    clear[:, :8, :8, :3] = 0
    assert (reverie.open_data(clear).prepare(16).array[:, 8:] == 255).all()  # laid on white
    deep = PIXELS[..., 0].astype(np.uint16) * 16
    assert abs(reverie.open_data(deep).prepare(16).array[..., 0].astype(int) - PIXELS[..., 0]).max() <= 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.randn(4, 3, 16, 16), "0..1 or in -1..1"), (np.full((4, 8, 8), np.nan), "NaN"), (None, "data is None"),
        (5, "int"), ([1.5, 2.5], "item 0"), ([], "no items"), ((PIXELS, LABELS[:5]), "24 images and 5 labels"),
        (np.zeros((4, 8, 8, 7)), "shape [4, 8, 8, 7]"), ({"a": [1]}, "columns a"), (PIXELS.astype("U"), "<U"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no items"), ((PIXELS, [0.5] * N), "of the type float"),
        ([PIXELS[0], "nowhere.png"], "nowhere.png"), (object(), "object"),
        (with_nan(5), "image 5 of 24 images in memory holds NaN"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_from_gets_one_line(data: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        reverie.train("vae:smoke", data=data, out=tmp_path / "x")
    message = str(error.value)
    assert words in message
    assert len(message) < 400
    assert "\n" not in message
    assert not (tmp_path / "x").exists()


def test_a_run_on_arrays_resumes_with_them_and_is_evaluated(run: Path, tmp_path: Path) -> None:
    reverie.train("vae:smoke", data=(PIXELS, LABELS), out=tmp_path / "cut", callback=lambda *_: False, **SHORT)
    with pytest.raises(UserError, match="trained on 24 images in memory; give it again in Python"):
        reverie.resume(tmp_path / "cut")
    with pytest.raises(UserError, match="is not what"):
        reverie.resume(tmp_path / "cut", data=PIXELS[::-1])
    resumed = reverie.resume(tmp_path / "cut", data=(CHW, LABELS))
    assert resumed.origin["step"] == 2
    assert resumed.origin["run"] != ""
    evaluation = reverie.evaluate(run, data=list(PIXELS))
    assert float(evaluation.scores[0]) == evaluation.scores[0].value
    assert "Score" in repr(evaluation.scores[0])
    assert evaluation.scores[0].name in repr(evaluation)
    assert "<pre>" in evaluation._repr_html_()


def test_lines_pairs_domains_and_paths(tmp_path: Path) -> None:
    lines = [f"a line of some words {i % 9}" for i in range(60)]
    text = reverie.train("seqgan:smoke", data=lines, out=tmp_path / "text", **{**SHORT, "steps": 1})
    assert isinstance(text.generate(n=2)[0], Text)
    pairs = reverie.train("pix2pix:smoke", data=[(x, 255 - x) for x in PIXELS[:6]], out=tmp_path / "pairs", **SHORT)
    assert len(pairs.translate(PIXELS[:2])) == 2
    domains = reverie.open_data((list(PIXELS[:5]), list(PIXELS[5:])))
    assert (domains.kind, len(domains.a), len(domains.b)) == ("unpaired", 5, N - 5)
    files = []
    for i in range(4):
        files.append(tmp_path / f"{i}.png")
        PIL.Image.fromarray(PIXELS[i]).save(files[-1])
    (tmp_path / "bad.png").write_bytes(b"no image")
    opened = reverie.open_data([*files, str(tmp_path / "bad.png")]).prepare(16)
    assert (opened.array == PIXELS[:4]).all()
    assert [Path(drop.name).name for drop in opened.dropped] == ["bad.png"]
    with pytest.raises(UserError, match="are text, and no images"):
        reverie.train("vae:smoke", data=lines, out=tmp_path / "x")
    tunes = reverie.train("music_vae:smoke", data="tunes:8", out=tmp_path / "music", **{**SHORT, "steps": 1})
    written = tunes.generate(n=3)
    assert "<audio" in written[0]._repr_html_()
    assert reverie.open_data(written.save(tmp_path / "midi")).kind == "music"
    assert "tunes" in repr(tunes.decode(tunes.latents(0)([0, 1])))


@pytest.mark.parametrize(
    "given",
    [
        lambda folder: PIXELS[0], lambda folder: PIXELS[:1], lambda folder: [PIXELS[0]], lambda folder: CHW[0],
        lambda folder: CHW[:1] / 255, lambda folder: PIL.Image.fromarray(PIXELS[0]), lambda folder: Image(PIXELS[0]),
        lambda folder: folder / "0.png", lambda folder: str(folder / "0.png"), lambda folder: folder,
        lambda folder: [str(folder / "0.png")], lambda folder: (folder / "0.png").read_bytes(),
    ],
)  # fmt: skip
def test_verbs_take_what_python_has(given: Callable[[Path], Any], run: Path, tmp_path: Path) -> None:
    PIL.Image.fromarray(PIXELS[0]).save(tmp_path / "0.png")
    method = reverie.load(run)
    expected = method.reconstruct([Image(PIXELS[0])])
    assert (method.reconstruct(given(tmp_path)).numpy() == expected.numpy()).all()


@pytest.mark.parametrize("column", [*LINE_COLUMNS, "Lyrics"])
def test_a_column_of_lines_has_the_names_that_it_has_in_files(column: str, tmp_path: Path) -> None:
    lines = [f"a line of words {i}" for i in range(4)]
    rows = [f"{i},{line}" for i, line in enumerate(lines)]
    (tmp_path / "a.csv").write_text("\n".join([f"title,{column}", *rows]) + "\n")
    for data in (tmp_path / "a.csv", {"title": list("0123"), column: lines}):
        opened = reverie.open_data(data).prepare()
        assert [opened.line(i) for i in range(4)] == lines


@pytest.mark.parametrize("column", CAPTION_COLUMNS)
def test_a_column_that_describes_images_has_the_names_that_it_has_in_files(column: str) -> None:
    texts = [f"An image of the number {i}." for i in range(N)]
    assert python_data({"image": list(PIXELS), column: texts}).has_texts


@pytest.mark.parametrize(
    ("shape", "count"),
    [((3, 28, 28), 3), ((4, 28, 28), 4), ((1, 28, 28), 1), ((28, 28, 3), 1), ((28, 28, 1), 1), ((28, 28, 2), 1),
     ((5, 28, 28), 5), ((28, 28), 1), ((3, 28, 28, 1), 3)],
)  # fmt: skip
def test_an_array_is_as_many_images_to_a_verb_as_to_training(shape: tuple[int, ...], count: int) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    assert [len(items_of(array, medium, "images")) for medium in (Image, Photo)] == [count, count]
    assert len(python_data(array).rows["train"].items) == count
    tensor = torch.from_numpy(array)
    assert len(items_of(tensor, Image, "images")) == len(python_data(tensor).rows["train"].items)
    assert len(items_of([CHW[0].numpy()], Image, "images")) == 1


@pytest.mark.parametrize("medium", [Image, Photo])
def test_a_folder_is_the_same_in_python_and_on_the_command_line(medium: Any, run: Path, tmp_path: Path) -> None:
    for i, name in enumerate(("a/x.png", "b/x.png", "b/IMG_0001", ".hidden/x.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PIL.Image.fromarray(PIXELS[i]).save(tmp_path / name, format="PNG")
    shutil.copytree(run, tmp_path / "run")
    found = items_of(tmp_path, medium, "images")
    assert [(item.folder, item.name) for item in found] == [("a", "x.png"), ("b", "IMG_0001"), ("b", "x.png")]
    assert [item.digest for item in found] == [item.digest for item in gather([str(tmp_path)], medium)]
    if medium is Image:
        made = reverie.load(run).reconstruct(tmp_path)
        assert [image.source_file for image in made] == ["a/x.png", "b/IMG_0001", "b/x.png"]


@pytest.mark.parametrize(
    "given", [5, [None], "nowhere.png", np.zeros((1, 1, 1, 1, 1)), np.zeros(3), {"a": 1}, "x" * 5000]
)
def test_what_verbs_cannot_take_gets_one_line_without_values(given: Any, run: Path) -> None:
    with pytest.raises(UserError) as error:
        reverie.load(run).reconstruct(given)
    assert len(str(error.value)) < 400
    with pytest.raises(UserError) as error:
        reverie.load(run).generate(n=PIXELS)
    assert "an array of shape [24, 16, 16, 3]" in str(error.value)
    with pytest.raises(UserError, match="image 5 of images holds NaN"):
        reverie.load(run).reconstruct(with_nan(5))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda run, out: reverie.train(["vae"], data=PIXELS, out=out), "method is"),
        (lambda run, out: reverie.train(None, data=PIXELS, out=out), "method is None; it must be text"),
        (lambda run, out: reverie.train(reverie.load(run), data=PIXELS, out=out), "method is"),
        (lambda run, out: reverie.train("vae:smoke", data=PIXELS, out=None), "out is None; it must be text or a path"),
        (lambda run, out: reverie.train("vae:smoke", data=PIXELS, out=out, callback=3), "must be a function or none"),
        (lambda run, out: reverie.train("vae:smoke", data=PIXELS, out=out, init_from=[run]), "init_from is"),
        (lambda run, out: reverie.train("vae:smoke", data=PIXELS, out=out, device=3), "device '3'"),
        (lambda run, out: reverie.train("vae:smoke", data=PIXELS, out=out, splits=3), "splits is 3"),
        (lambda run, out: reverie.plan("vae:smoke", data=PIXELS, out=None), "out is None"),
        (lambda run, out: reverie.resume(None), "a run is of the type NoneType"),
        (lambda run, out: reverie.resume(run, steps="many"), "steps is 'many'"),
        (lambda run, out: reverie.load([run]), "a run is of the type list"),
        (lambda run, out: reverie.open_data(PIXELS, 3), "split"),
        (lambda run, out: reverie.evaluate(run, PIXELS, metrics=5), "metrics is 5"),
        (lambda run, out: reverie.evaluate(run, PIXELS, n="many"), "n is 'many'"),
        (lambda run, out: reverie.evaluate(run, PIXELS, seed=None), "seed is None"),
        (lambda run, out: reverie.evaluate(run, ["a line to learn"] * 9), "to learn') are text, and no images"),
        (lambda run, out: reverie.compare(f"{run},{run}", PIXELS), "runs is no list"),
        (lambda run, out: reverie.compare(reverie.load(run), PIXELS), "runs is no list"),
        (lambda run, out: reverie.compare(None, PIXELS), "runs is no list"),
        (lambda run, out: reverie.augment(PIXELS, out, run=run, tar="x"), "tar is 'x'"),
        (lambda run, out: reverie.visualize(None), "there is no target"),
        (lambda run, out: reverie.dream(PIXELS[0], weights=3), "3"),
        (lambda run, out: reverie.dream(None), "images is None"),
        (lambda run, out: reverie.atlas(None), "out is None"),
        (lambda run, out: reverie.import_checkpoint(3, out / "x.safetensors"), "files is 3"),
        (lambda run, out: reverie.import_checkpoint("none.pth", out / "x.safetensors"), "none.pth"),
        (lambda run, out: reverie.load(run).generate(n=6, items=3), "items is 3"),
        (lambda run, out: reverie.load(run).generate(n=6, items="0,x"), "items is '0,x'"),
        (lambda run, out: reverie.load(run).reconstruct(None), "images is None; it must be one or more images"),
        (lambda run, out: reverie.load(run).reconstruct([PIXELS[:2]]), "give images: reverie's, Pillow's"),
        (lambda run, out: reverie.load(run).reconstruct([]).numpy(), "there are no items"),
    ],
)  # fmt: skip
def test_a_wrong_type_gets_one_line(call: Callable[..., Any], words: str, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        call(run, tmp_path / "x")
    assert words in str(error.value)
    assert len(str(error.value)) < 400
    assert not (tmp_path / "x").exists()


def test_a_verb_takes_the_images_of_a_batch_with_labels(run: Path, capsys: Any) -> None:
    method = reverie.load(run)
    expected = method.reconstruct(PIXELS[:4]).numpy()
    for batch in ((PIXELS[:4], LABELS[:4]), next(iter(DataLoader(TensorDataset(CHW, torch.tensor(LABELS)), 4)))):
        assert (method.reconstruct(batch).numpy() == expected).all()
        assert "labels are of no use here" in capsys.readouterr().err
    assert (method.reconstruct((PIXELS[0], PIXELS[1])).numpy() == expected[:2]).all()
    assert [image.index for image in method.generate(n=6, items="0,5")] == [0, 5]


def test_lists_of_items_show_convert_and_save(run: Path, tmp_path: Path) -> None:
    images = reverie.load(run).generate(n=5)
    assert type(images[1:3]) is ItemList
    assert np.asarray(images).shape == (5, 16, 16, 3)
    assert np.asarray(images[0]).dtype == np.uint8
    assert images.tensor().shape == (5, 3, 16, 16)
    assert images[0].pil.size == (16, 16)
    assert images[0].tensor().abs().max() <= 1
    assert images._repr_png_().startswith(b"\x89PNG")
    assert images[0]._repr_png_().startswith(b"\x89PNG")
    assert images.grid(columns=5).pixels.shape[1] > 5 * 16
    assert [path.name for path in images.save(tmp_path / "out")] == [f"{i:06}.png" for i in range(5)]
    assert images.save(tmp_path / "all.png") == [tmp_path / "all.png"]
    with pytest.raises(UserError, match="give a folder, or a name ending in"):
        images.save(tmp_path / "all.gif")
    both = images + reverie.load(run).generate(n=2, seed=1)
    assert [path.name for path in both.save(tmp_path / "v1.2")] == [f"{i:06}.png" for i in range(7)]
    assert [path.name for path in images[3:].save(tmp_path / "last")] == ["000003.png", "000004.png"]
    deep = ItemList([Photo(np.full((4, 4, 1), 40_000, np.uint16))])
    assert Photo.load(*deep.save(tmp_path / "deep.png")).pixels.dtype == np.uint16
    with pytest.raises(UserError, match=r"give a name ending in \.csv"):
        reverie.load(run).encode(PIXELS[:2]).save(tmp_path / "codes")
    assert len(repr(images)) < 100
    assert len(repr(images[0])) < 100
    method = reverie.load(run)
    assert "16 x 16" in repr(method)
    assert len(repr(method)) < 300
    assert repr(method.config).startswith("VAE.Config(")
    assert "vae at step 2" in repr(Run(run))


def test_decode_is_the_inverse_beside_encode(run: Path) -> None:
    method = reverie.load(run)
    codes = method.encode(PIXELS[:3])
    assert isinstance(codes[0], Code)
    images = method.decode(codes)
    assert (images.numpy() == method.reconstruct(PIXELS[:3]).numpy()).all()
    assert (method.decode(np.asarray(codes)).numpy() == images.numpy()).all()
    assert (method.decode(codes[0]).numpy() == images[:1].numpy()).all()
    assert images[0].record["verb"] == "decode"
    for bad in (np.zeros((2, 3)), "codes", [None]):
        with pytest.raises(UserError, match="codes"):
            method.decode(bad)


def test_compare_and_augment_take_data_in_memory(tmp_path: Path) -> None:
    names = ["cat", "dog"]
    data = (PIXELS, [names[i % 2] for i in range(len(PIXELS))])
    for name in ("cvae_gan", "vae"):
        reverie.train(f"{name}:smoke", data=data, out=tmp_path / name, **SHORT)
    page = tmp_path / "page.html"
    compared = reverie.compare([tmp_path / "cvae_gan", tmp_path / "vae"], data, out=page, metrics="copying", n=64)
    assert len(compared["nn distance ratio"]) == 2
    assert "in memory" in page.read_text(encoding="utf-8")
    out = reverie.augment(data, tmp_path / "more", run=tmp_path / "cvae_gan", per_class=3, metrics="copying")
    assert sorted(path.parent.name for path in out.rglob("*.png")) == 3 * ["cat"] + 3 * ["dog"]
    assert "in memory" in (out / "CARD.md").read_text(encoding="utf-8")
    with pytest.raises(UserError, match="no labels"):
        reverie.augment(PIXELS, tmp_path / "none", run=tmp_path / "cvae_gan", per_class=3)


def test_a_callback_sees_the_log_and_may_stop(tmp_path: Path) -> None:
    seen: list[tuple[int, list[str]]] = []

    def stop_at_two(step: int, metrics: dict[str, float], run: Any) -> bool:
        seen.append((step, sorted(metrics)))
        return step < 2

    options = {**SHORT, "steps": 6}
    method = reverie.train("vae:smoke", data=PIXELS, out=tmp_path / "a", callback=stop_at_two, **options)
    assert method.origin["step"] == 2
    assert [step for step, _ in seen] == [1, 2]
    assert "loss" in seen[0][1]

    def fail(step: int, metrics: dict[str, float], run: Any) -> None:
        if step == 4:
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        reverie.resume(tmp_path / "a", data=PIXELS, callback=fail)
    assert reverie.load(tmp_path / "a").origin["step"] == 4
    whole = reverie.train("vae:smoke", data=PIXELS, out=tmp_path / "b", **options)
    assert reverie.resume(tmp_path / "a", data=PIXELS).origin["run"] == whole.origin["run"]  # bit for bit


# -- train --from ------------------------------------------------------------------------------------------------------


def test_training_from_a_run_begins_with_its_weights(run: Path, tmp_path: Path, capsys: Any) -> None:
    fewer = PIXELS[:8]
    tuned = reverie.train("vae", data=fewer, out=tmp_path / "tuned", init_from=run, lr=1e-8, **SHORT)
    before = reverie.load(run).state_dict()
    assert all(torch.allclose(x, before[name], atol=1e-4) for name, x in tuned.state_dict().items())
    about = json.loads((tmp_path / "tuned" / "run.json").read_text())
    assert about["init"]["weights"] == reverie.load(run).origin["run"]
    assert about["config"]["latent_dim"] == reverie.load(run).config.latent_dim  # inherited, though laptop has another
    assert "begins with the weights of vae" in capsys.readouterr().err
    assert not (tmp_path / "tuned" / INITIAL).exists()
    with pytest.raises(UserError, match=r"size 16 \(here 32\)"):
        reverie.train("vae", data=fewer, out=tmp_path / "x", init_from=run, size=32)
    with pytest.raises(UserError, match="holds a vae, and a dcgan is to be trained"):
        reverie.train("dcgan:smoke", data=fewer, out=tmp_path / "x", init_from=run)
    assert not (tmp_path / "x").exists()


def test_the_state_of_the_process_stays_the_users(run: Path, tmp_path: Path) -> None:
    """Random numbers, threads and the deterministic flag of torch are not ours."""
    threads = torch.get_num_threads()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    model = reverie.train("vae:smoke", data=PIXELS, out=tmp_path / "a", threads=threads + 1, **SHORT)
    reverie.plan("vae:smoke", data=PIXELS, timed=True, **SHORT)
    reverie.resume(model, data=PIXELS, steps=3)
    reverie.evaluate(tmp_path / "a", PIXELS, metrics="copying")
    reverie.compare([tmp_path / "a", run], PIXELS, metrics="copying", out=None)
    with pytest.raises(UserError):
        reverie.train("vae:smoke", data=tmp_path / "none", out=tmp_path / "b", threads=threads + 1)
    reverie.visualize("3", steps=1, size=32)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_one_thread_trains_at_a_time(tmp_path: Path) -> None:
    refused: list[str] = []

    def train(name: str) -> None:
        try:
            reverie.train("vae:smoke", data=PIXELS, out=tmp_path / name, **SHORT)
        except UserError as error:
            refused.append(str(error))

    def train_more(step: int, metrics: dict[str, float], run: Any) -> None:
        if step == 1:
            train("nested")
            second = Thread(target=train, args=("second",))
            second.start()
            second.join()

    outer = reverie.train("vae:smoke", data=PIXELS, out=tmp_path / "outer", callback=train_more, **SHORT)
    assert len(refused) == 1
    assert "another process" in refused[0]
    assert not (tmp_path / "second").exists()
    assert outer.origin["run"] == reverie.load(tmp_path / "nested").origin["run"]  # the very same weights
    train("later")
    assert (tmp_path / "later").exists()


def test_a_loaded_method_stands_for_its_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = reverie.train("vae:smoke", data=PIXELS, out=tmp_path / "run", **SHORT)
    monkeypatch.chdir(tmp_path)
    loaded = reverie.load("run")
    monkeypatch.chdir("/")
    assert reverie.evaluate(trained, PIXELS, metrics="copying").run["weights"] == loaded.origin["run"]
    assert (tmp_path / "run" / "scores.json").exists()
    assert len(reverie.compare([loaded, reverie.load(run)], PIXELS, metrics="copying", out=None).evaluations) == 2
    tuned = reverie.train("vae", data=PIXELS, out=tmp_path / "tuned", init_from=loaded, **SHORT)
    assert reverie.resume(tuned, data=PIXELS, steps=3).origin["step"] == 3
    with pytest.raises(UserError, match="holds other weights than this VAE by now"):
        reverie.evaluate(tuned, PIXELS)
    with pytest.raises(UserError, match="was not loaded from a run; give the path"):
        reverie.evaluate(type(loaded)(loaded.config), PIXELS)
    for wrong in (3, None, PIXELS):
        with pytest.raises(UserError, match="a run is of the type"):
            reverie.evaluate(wrong, PIXELS)


def test_a_tuned_run_resumes_before_its_first_checkpoint(run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    whole = reverie.train("vae", data=PIXELS, out=tmp_path / "whole", init_from=run, **SHORT)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reverie.api.fit", die)
    with pytest.raises(KeyboardInterrupt):
        reverie.train("vae", data=PIXELS, out=tmp_path / "cut", init_from=run, **SHORT)
    monkeypatch.undo()
    assert (tmp_path / "cut" / INITIAL).is_file()
    assert reverie.resume(tmp_path / "cut", data=PIXELS).origin["run"] == whole.origin["run"]


def test_no_items_and_two_lines_are_no_paths(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    with pytest.raises(UserError, match="no items"):
        reverie.open_data({"image": [], "label": []})
    assert len(reverie.open_data(["src", "hello there"])) == 2


@pytest.mark.parametrize("cut", ["at the weights to begin with", "at the first step"])
def test_a_run_that_fails_before_its_first_step_leaves_no_folder(
    cut: str, run: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    def full(path: Path, *_: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    def fail(*_: Any) -> None:
        raise RuntimeError("a layer does not fit")

    def removes_nothing_open(path: Path) -> None:
        FileLock(path / ".lock").acquire(timeout=0).lock.release()  # Windows removes no file that is open
        rmtree(path)

    rmtree = shutil.rmtree
    with monkeypatch.context() as patch:
        patch.setattr(initial_weights, "write_weights", full)
        patch.setattr("reverie.api.fit", fail)
        patch.setattr(shutil, "rmtree", removes_nothing_open)
        given: dict[str, Any] = dict(init_from=run) if "weights" in cut else {}
        with pytest.raises((UserError, RuntimeError), match="is full" if given else "does not fit"):
            reverie.train("vae", data=PIXELS, out=tmp_path / "new", **given, **SHORT)
    assert not (tmp_path / "new").exists()
    reverie.train("vae", data=PIXELS, out=tmp_path / "new", **given, **SHORT)


def test_another_number_of_classes_begins_those_parts_anew(tmp_path: Path, capsys: Any) -> None:
    reverie.train("cvae_gan:smoke", data=(PIXELS, LABELS), out=tmp_path / "two", **SHORT)
    three = [("cat", "dog", "cow")[i % 3] for i in range(N)]
    capsys.readouterr()
    reverie.train("cvae_gan", data=(PIXELS, three), out=tmp_path / "three", init_from=tmp_path / "two", **SHORT)
    about = json.loads((tmp_path / "three" / "run.json").read_text())
    assert "3 classes in place of 2: begun anew are" in capsys.readouterr().err
    assert any(name.startswith("classifier") for name in about["init"]["reinitialised"])
    assert about["init"]["classes"] == ["0", "1"]


# -- resume, --config, --dry-run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--batch 3", "Did you mean '--batch-size'? resume cannot change batch_size"),
        ("--seed 3", "cannot change seed"),
        ("--latent-dim 3", "train vae --from"), ("--no-ema 3", "no flag"), ("--stpes 3", "Did you mean '--steps'"),
    ],
)  # fmt: skip
def test_resume_says_what_it_cannot_change(words: str, said: str, run: Path, capsys: Any) -> None:
    assert main(["resume", str(run), *words.split()]) == 2
    assert said in capsys.readouterr().err
    with pytest.raises(UserError, match="resume cannot change batch_size"):
        reverie.resume(run, data=PIXELS, batch_size=3)


def test_resume_changes_steps_and_cadence(run: Path) -> None:
    reverie.resume(run, data=PIXELS, steps=4, log_every=2, checkpoint_every=4, sample_every=4)
    about = json.loads((run / "run.json").read_text())
    assert (about["train"]["log_every"], about["train"]["checkpoint_every"], about["config"]["steps"]) == (2, 4, 4)


def test_a_config_file_is_a_run(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = "".join(f"{name.replace('_', '-')} = {value}\n" for name, value in SHORT.items() if name != "steps")
    Path("a.toml").write_text(
        f'method = "vae"\npreset = "smoke"\ndata = "shapes:30"\nout = "a"\n[config]\nsteps = 2\n[train]\n{table}'
    )
    assert main(["train", "--config", "a.toml", "--seed", "7"]) == 0
    about = json.loads(Path("a/run.json").read_text())
    assert (about["train"]["seed"], about["train"]["batch_size"], about["preset"]) == (7, 8, "smoke")
    assert main(["train", "--config", "a/run.json", "--out", "b"]) == 0
    assert Path("a/weights.safetensors").read_bytes() == Path("b/weights.safetensors").read_bytes()
    capsys.readouterr()
    assert main(["train", "vae", "--config=a.toml", "--dry-run", "--out", "never"]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 4
    assert "30 images" in said
    assert "parameters: encoder" in said
    assert "about" in said.splitlines()[3]
    assert not Path("never").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"stepz = 3\n", "no option 'stepz'. Did you mean 'steps'?"), (b"[confg]\n", "Did you mean 'config'?"),
        (b"a = [[[", "not TOML"), (b"x = " + b"[" * 50_000, "nested too deeply"), (b"\xff\xfe", "no text in UTF-8"),
        (b"steps = 1979-05-27\n", "steps is"), (b"steps = 3\n[config]\nsteps = 4\n", "given twice"),
        (b"config = 3\n", "config must be a table"), (b"data = 3\n", "data must be a text"),
        (b'method = "dcgan"\n', "is of dcgan"), (b"#" * 1_000_001, "larger than 1 MB"), (b"lr = nan\n", "lr is nan"),
        (b'[data]\npth = "x"\n', "Did you mean 'path'?"), (b'"\\u001b[31m" = 1\n', "no option"),
    ],
)  # fmt: skip
def test_a_wrong_config_file_gets_one_line(content: bytes, said: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "c.toml").write_bytes(content)
    words = ["train", "vae:smoke", "--config", str(tmp_path / "c.toml"), "--out", str(tmp_path / "out")]
    assert main([*words, *([] if b"data" in content else ["--data", "shapes:20"])]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert "\x1b" not in error


def test_training_says_what_it_does_in_four_lines(run: Path, tmp_path: Path, capsys: Any) -> None:
    reverie.train("vae:smoke", data=PIXELS, out=tmp_path / "a", **SHORT)
    first = [line.split()[0] for line in capsys.readouterr().err.splitlines()[:4]]
    assert first == ["data", "networks", "device", "training"]
    plan = reverie.plan("vae:smoke", data=PIXELS, **SHORT)
    assert repr(plan).startswith("data      images in memory: ")  # as it is printed, and as a cell shows it
    assert plan.seconds is not None
    assert plan.seconds > 0
    assert plan.parameters == sum(p.numel() for p in reverie.load(run).parameters())


@pytest.mark.parametrize(
    ("flags", "precision", "faster"),
    [({"avx512_bf16": True, "amx_bf16": False}, "fp32", "bf16"), ({"avx512_bf16": False}, "bf16", "fp32"),
     ({"amx_bf16": True}, "bf16", ""), ({"avx512_bf16": False}, "fp32", ""), ({"neon": True}, "fp32", "")],
)  # fmt: skip
def test_the_plan_names_the_precision_that_this_cpu_is_faster_with(
    flags: dict[str, bool], precision: str, faster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    said = reverie.plan("vae:smoke", data=PIXELS, device="cpu", precision=precision, **SHORT).device
    assert said.partition("; ")[2] == (faster and f"this CPU trains faster with --precision {faster}")


def test_opened_data_says_what_it_is() -> None:
    labelled = reverie.open_data((PIXELS, ["a", "b"] * (len(PIXELS) // 2)))
    assert repr(labelled) == f"<images in memory: {len(PIXELS)} images, 2 classes>"
    assert repr(reverie.open_data("tunes:8")).startswith("<tunes:8: ")
    assert repr(reverie.open_data("verses:50")) == "<verses:50: 50 lines>"
    domains = Unpaired.open("shapes:20,letters:30")
    assert repr(domains) == "<shapes:20 and letters:30: 20 + 30 images>"
