"""`reverie augment` as users call it: any division of the work gives the same files, and none is generated twice."""

from __future__ import annotations

import hashlib
import json
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reverie
from reverie import UserError, open_data
from reverie.augmentation import augment as module
from reverie.augmentation.augment import augment
from reverie.cli.main import main
from reverie.cli.verify import verify
from reverie.core.generation import Shard
from reverie.media import Image, read_record
from reverie.runs.run_folder import Run

DATA = "shapes:120"
NAMES = ("disc", "ring", "square", "star", "triangle")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    place = tmp_path_factory.mktemp("shop") / "gan"
    reverie.train("cvae_gan:smoke", data=DATA, out=place, threads=1)
    return place


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Calls of write_card are recorded instead: training its classifiers takes a while."""
    noted: list[dict[str, Any]] = []

    def note(out: Path, plan: Any, images: Any, data: Any, run: str, config: Any) -> None:
        noted.append({"labels": [label for _, label in images]})
        (out / "CARD.md").write_text("card")

    monkeypatch.setattr(module, "write_card", note)
    return noted


def digests(folder: Path) -> dict[str, str]:
    """The files of a folder, except the plan and the card."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in ("augment.json", "CARD.md"))
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_folder_has_the_layout_of_the_data(run: Path, tmp_path: Path, cards: list[Any]) -> None:
    out = augment(DATA, tmp_path / "out", run=run, per_class=20)
    made = open_data(out)
    assert made.splits == ["train"]
    assert tuple(made.classes) == NAMES
    assert np.bincount([item.label for item in made.items]).tolist() == [20] * 5
    assert sorted(cards[0]["labels"]) == sorted(list(range(5)) * 20)
    assert cards[0]["labels"][:6] == [0, 1, 2, 3, 4, 0]
    file = next((out / "train" / "star").iterdir())
    record = read_record(file)
    assert record["arguments"]["label"] == "star"
    assert verify(file, run, [])["same"]


def test_any_division_of_the_work_gives_the_same_files(run: Path, tmp_path: Path, cards: list[Any]) -> None:
    whole = digests(augment(DATA, tmp_path / "whole", run=run, per_class=37))
    for parts in (2, 3, 7):
        out = tmp_path / f"in {parts}"
        for part in reversed(range(1, parts + 1)):
            augment(DATA, out, run=run, per_class=37, shard=Shard(part, parts))
        assert digests(out) == whole
        assert not list(out.rglob(".*"))
        assert (out / "CARD.md").exists()
    tars = digests(augment(DATA, tmp_path / "tars", run=run, per_class=37, tar=40))
    for part in (2, 1):
        augment(DATA, tmp_path / "tars in 2", run=run, per_class=37, tar=40, shard=Shard(part, 2))
    assert digests(tmp_path / "tars in 2") == tars
    assert len(tars) == 5
    with tarfile.open(tmp_path / "tars" / "synthetic-000004.tar") as tar:
        names = tar.getnames()
        assert names[:3] == ["00000160.png", "00000160.cls", "00000160.json"]
        assert len(names) == 3 * (5 * 37 - 160)
        held = {name: file.read() for name in names if (file := tar.extractfile(name))}
    record = json.loads(held["00000161.json"])
    assert (record["class"], record["synthetic"]) == (open_data(DATA).classes[int(held["00000161.cls"])], True)
    file = next((tmp_path / "whole" / "train" / record["class"]).glob("*32.png"))
    assert np.array_equal(Image.read(held["00000161.png"]).pixels, Image.load(file).pixels)


AT_ONCE = 8


def started_at_once(places: list[Path], seeds: int) -> Iterator[list[str]]:
    """The errors of AT_ONCE shards that start at the same moment in each folder, with plans of `seeds` seeds."""
    barrier = threading.Barrier(AT_ONCE)

    def begin(out: Path, k: int) -> str:
        counts = dict.fromkeys(NAMES, 20)
        plan = module.Plan(DATA, "0" * 16, "cvae_gan", "1" * 16, k % seeds, counts, "train", 0)
        barrier.wait()
        try:
            module._write_or_check_plan(plan, out)
            (out / "train" / NAMES[k % 5]).mkdir(parents=True, exist_ok=True)  # continues at once, as shards do
        except (UserError, OSError) as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for out in places:
            yield list(pool.map(begin, [out] * AT_ONCE, range(AT_ONCE)))


@pytest.mark.parametrize("links", [True, False])
def test_shards_that_start_at_once_agree_on_a_plan(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    places = [tmp_path / str(turn) for turn in range(30)]
    for out, record in zip(places, started_at_once(places, seeds=1), strict=True):
        assert record == [""] * AT_ONCE
        assert sorted(path.name for path in out.iterdir()) == ["augment.json", "train"]


def test_of_two_plans_at_once_one_is_refused(tmp_path: Path) -> None:
    places = [tmp_path / str(turn) for turn in range(30)]
    for out, record in zip(places, started_at_once(places, seeds=2), strict=True):
        seed = json.loads((out / "augment.json").read_text())["seed"]
        assert [k % 2 for k, line in enumerate(record) if not line] == [seed] * (AT_ONCE // 2)
        assert {"another plan (seed differ)" in line for line in record if line} == {True}


def test_files_that_exist_are_not_generated_again(
    run: Path, tmp_path: Path, cards: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = augment(DATA, tmp_path / "out", run=run, per_class=20)
    before = digests(out)
    lost = sorted(out.rglob("*.png"))[3::7]
    kept = sorted(set(out.rglob("*.png")) - set(lost))[0]
    kept.write_bytes(b"changed")
    for path in lost:
        path.unlink()
    before[str(kept.relative_to(out))] = hashlib.sha256(b"changed").hexdigest()
    cards.clear()
    monkeypatch.setattr(module, "_read_images", lambda plan, out: iter(()))  # one of them is not an image any more
    augment(DATA, out, run=run, per_class=20)
    assert digests(out) == before
    assert len(cards) == 1
    augment(DATA, out, run=run, per_class=20)
    assert len(cards) == 1  # nothing was generated: the card is kept


def test_classes_are_balanced(run: Path, tmp_path: Path, cards: list[Any]) -> None:
    data = open_data(DATA).prepare(16, 3)
    for i in range(40):
        label = data.labels[i]
        if i < 30 or label == 2:
            Image(data.pixels(i)).save(tmp_path / "few" / NAMES[label] / f"{i}.png")
    out = augment(tmp_path / "few", tmp_path / "filled", run=run)
    assert {p.name: len(list(p.iterdir())) for p in out.iterdir() if p.is_dir()} == {
        "disc": 2, "ring": 2, "star": 2, "triangle": 2
    }  # fmt: skip
    more = augment(tmp_path / "few", tmp_path / "more", run=run, balance_to=10)
    assert {p.name: len(list(p.iterdir())) for p in more.iterdir() if p.is_dir()} == {
        "disc": 4, "ring": 4, "square": 2, "star": 4, "triangle": 4
    }  # fmt: skip


def test_a_class_with_a_plus_in_its_name_is_no_mixture(tmp_path: Path, cards: list[Any]) -> None:
    data = open_data("shapes:30").prepare(16, 3)
    for i in range(30):
        Image(data.pixels(i)).save(tmp_path / "data" / ("cat", "cat+dog", "dog")[i % 3] / f"{i}.png")
    reverie.train("cvae_gan:smoke", data=tmp_path / "data", out=tmp_path / "run", threads=1, steps=1)
    out = augment(tmp_path / "data", tmp_path / "out", run=tmp_path / "run", per_class=3)
    for k, image in enumerate(reverie.load(tmp_path / "run").generate(n=3)):  # without a label the classes take turns
        (file,) = (out / ("cat", "cat+dog", "dog")[k]).glob(f"*{k:06d}.png")
        assert np.array_equal(Image.load(file).pixels, image.pixels)


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (("a", "A"), "'A' and 'a' would be one folder"),
        (("\u00e9", "e\u0301"), "would be one folder"),  # an accent, coded in two ways
        (("nul.x", "x"), "'nul.x' cannot be"),
        (("a.", "b"), "'a.' cannot be"),
        (("a ", "b"), "'a ' cannot be"),
        (("a:b", "c"), "'a:b' cannot be"),
    ],
)
def test_classes_that_are_no_folders_everywhere(
    names: tuple[str, str], fault: str, run: Path, tmp_path: Path, cards: list[Any]
) -> None:
    shapes = open_data("shapes:30").prepare(16, 3)
    data = [shapes.pixels(i) for i in range(4)], [*names, *names]
    with pytest.raises(UserError, match="there is a folder for each class, and") as error:
        augment(data, tmp_path / "out", run=run, per_class=3)
    assert fault in str(error.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="knows the classes"):  # in a tar there are no folders
        augment(data, tmp_path / "out", run=run, per_class=3, tar=2)


def test_without_a_run_one_is_trained_and_resumed(
    tmp_path: Path, cards: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["augment", DATA, "--out", str(tmp_path / "out"), "--per-class", "4", "--method", "cvae_gan:smoke"]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}; look at {tmp_path / 'out' / 'CARD.md'}\n"
    first = (tmp_path / "out.run" / "weights.safetensors").read_bytes()
    assert main(words[:-2]) == 0  # the run that exists
    assert (tmp_path / "out.run" / "weights.safetensors").read_bytes() == first
    assert main(words) == 2
    assert "exists; use it with" in capsys.readouterr().err
    other = tmp_path / "other.run"
    reverie.train("cvae_gan:smoke", data=DATA, out=other, steps=30, checkpoint_every=10)
    Run.open(other).update(config={**Run.open(other).about["config"], "steps": 40})  # as if it had been interrupted
    augment(DATA, tmp_path / "other", per_class=2)
    assert json.loads((other / "save.json").read_text())["step"] == 40


def test_the_card_has_the_scores(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverie.evaluation.feature_classifier.PRESET", "smoke")
    out = augment(DATA, tmp_path / "out", run=run, per_class=20)
    quick = {"intra-class diversity", "per-class coverage", "near-duplicate rate", "nn distance ratio"}
    record = json.loads((out / "card.json").read_text())
    names = {score["name"] for score in record["scores"]}
    assert quick <= names  # no classifier is trained for these
    assert not {"gan-train accuracy", "gan-test accuracy"} & names
    assert record["metrics"] == "quick"
    assert "Not measured: gan-test accuracy, gan-train accuracy; `reverie augment" in (out / "CARD.md").read_text()

    augment(DATA, out, run=run, per_class=20, full=True)  # the images are kept, the card is written again
    record = json.loads((out / "card.json").read_text())
    names = {score["name"] for score in record["scores"]}
    assert {"gan-train accuracy", "gan-test accuracy", *quick} <= names
    assert all(score["real"] is not None for score in record["scores"])
    text = (out / "CARD.md").read_text()
    assert "100 images in 5 classes, 16x16 pixels, colour" in text
    assert "| star | 20 |" in text
    assert f"reverie augment {DATA} --run {run.name} --per-class 20 --out FOLDER" in text
    assert str(tmp_path) not in text


def test_wrong_input_gives_a_one_line_error(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reverie.train("dcgan:smoke", data=DATA, out=tmp_path / "dcgan")
    letters = open_data("letters:40").prepare(16, 1)
    for i in range(40):
        Image(letters.pixels(i)).save(tmp_path / "flat" / f"{i}.png")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    augment(DATA, tmp_path / "begun", run=run, per_class=16, shard=Shard(1, 2))
    capsys.readouterr()
    given, out = ["--run", str(run)], ["--out", str(tmp_path / "out")]
    for words, record in (
        ([DATA], "needs --out"),
        ([str(tmp_path / "flat"), *out, *given], "has no labels"),
        ([DATA, *out, *given], "nothing to balance; give --per-class"),
        ([DATA, *out, *given, "--balance-to", "5"], "5 images or more"),
        ([DATA, *out, *given, "--per-class", "5", "--balance-to", "9"], "not both"),
        ([DATA, *out, *given, "--per-class", "0"], "must be 1 or more"),
        ([DATA, *out, "--method", "cvae_gan", "--latent-dim", "9"], "--latent-dim is an option of training"),
        ([DATA, *out, *given, "--per-class", "5", "--tar", "-1"], "tar is -1"),
        ([DATA, *out, *given, "--per-class", "5", "--shard", "3/2"], "I/N"),
        (
            [DATA, *out, "--run", str(tmp_path / "dcgan"), "--per-class", "5"],
            "does not generate images of a given class; give a run of cvae_gan",
        ),
        (["letters:60", *out, *given, "--per-class", "5"], "knows the classes disc"),
        ([DATA, *out, "--run", str(tmp_path / "none"), "--per-class", "5"], "none"),
        ([DATA, "--out", str(tmp_path / "mine"), *given, "--per-class", "5"], "holds other files"),
        ([DATA, "--out", str(tmp_path / "begun"), *given, "--per-class", "17"], "another plan (counts differ)"),
        ([DATA, "--out", str(tmp_path / "begun"), *given, "--per-class", "16", "--seed", "1"], "(seed differ)"),
    ):
        assert main(["augment", *words]) == 2, words
        error = capsys.readouterr().err
        assert record in error, error
        assert error.count("\n") == 1, error
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
