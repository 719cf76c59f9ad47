"""Every command and every Python block in the README and in docs/ runs, at smoke size; links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import reverie
from reverie.cli.main import main
from reverie.media import Image

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "README.zh-CN.md",
    "CONTRIBUTING.md",
    *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md"))),
]
SMALL = {"-n": "4", "-k": "2", "--per-class": "3", "--balance-to": "84", "--tar": "4", "--frames": "3"}
"""values that the commands of the pages are run with, in place of their own"""
SHORT = ["--steps", "4", "--log-every", "2", "--checkpoint-every", "4", "--sample-every", "4"]
"""a training run of a page, in place of the smoke preset's 20 steps"""
LARGE = {"--steps", "--size", "--base-channels", "--hidden-dim", "--ema-decay"}
"""options of training that are left out, so that the smoke preset's hold"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user's folder, with all that the pages name in it."""
    folder = tmp_path_factory.mktemp("home")
    shapes = reverie.open_data("shapes:160").prepare(64, 3)
    for i, pixels in enumerate(shapes.array):
        half = "cat" if i % 2 else "dog"
        save(folder / "photos" / half / f"{i:03}.png", pixels)
        if i >= 48:  # distributions are compared from 64 reference images on, half of those without splits
            continue
        save(folder / "horses" / f"{i:03}.png", pixels)
        save(folder / "zebras" / f"{i:03}.png", 255 - pixels)
        for side in ("trainA", "trainB"):
            save(folder / "pairs" / side / f"{i:03}.png", pixels if side == "trainA" else 255 - pixels)
        for side in ("aerial", "maps"):
            save(folder / side / f"{i:03}.png", pixels)
        save(folder / "facades" / f"{i:03}.png", np.concatenate([pixels, 255 - pixels], 1))
    save(folder / "photo.jpg", shapes.array[0])
    save(folder / "old.jpg", shapes.array[0].mean(2).astype(np.uint8))
    save(folder / "labels.png", 255 - shapes.array[0])
    save(folder / "person.png", shapes.array[1][:40, :32])
    save(folder / "mask.png", np.pad(np.full((30, 22), 255, np.uint8), 5))
    save(folder / "beach.jpg", shapes.array[2])
    hole = np.zeros((64, 64), np.uint8)
    hole[20:36, 24:44] = 255
    save(folder / "hole.png", hole)
    save(folder / "painted.png", np.where(hole[:, :, None], (255, 0, 255), shapes.array[0]).astype(np.uint8))
    save(folder / "erased.png", np.dstack([shapes.array[0], 255 - hole]))
    for i in range(2):
        save(folder / "scans" / f"{i}.png", shapes.array[i])
        save(folder / "masks" / f"{i}.png", hole)
    gazes = reverie.open_data("gazes:12")
    for item in gazes.items:
        save(folder / "looked" / f"{item.name.partition('/')[2]}.png", gazes.image(item))
    looked = {f"{item.name.partition('/')[2]}.png": item.points.tolist() for item in gazes.items}
    (folder / "looked" / "fixations.json").write_text(json.dumps(looked))
    for first, split in ((0, "train"), (12, "test")):
        for i, item in enumerate(reverie.open_data("scenes:12", split).items[:12], first):
            place = folder / "album" / split / f"{i}.png"
            save(place, shapes.array[i])
            place.with_suffix(".txt").write_text(" ".join(item.references[0]), encoding="utf-8")
    verses = reverie.open_data("verses:64").prepare()
    (folder / "poems.txt").write_text("\n".join(verses.line(i) for i in range(len(verses))) + "\n", encoding="utf-8")
    write_music(folder)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


def write_music(folder: Path) -> None:
    """A folder of MIDI files, and one tune beside it."""
    out = folder / "midi"
    method = reverie.train("music_vae:smoke", data="tunes:8", out=folder / "made" / "music")
    out.mkdir()
    for i, tune in enumerate(method.verb("generate")(n=12, temperature=1.0)):
        tune.save(out / f"{i}.mid")
    tune.save(folder / "song.mid")


def blocks_of(page: str, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)


def commands(page: str) -> list[str]:
    """The lines of a page's shell blocks that call reverie, without their comments."""
    blocks = blocks_of(page, "sh")
    table = re.findall(r"\| `(reverie [^`]*)` \|", (ROOT / page).read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("reverie ")]
    return [re.split(r"\s+# ", line)[0].strip() for line in lines] + table


def small(line: str) -> list[str]:
    """The words of a command, at smoke size."""
    words = shlex.split(line)[1:]
    found: list[str] = []
    skip = False
    for i, word in enumerate(words):
        if skip:
            skip = False
        elif word in LARGE and words[0] == "train":
            skip = True
        elif word == "--steps":
            found += [word, "6"]
            skip = True
        elif word in SMALL:
            found += [word, "64" if words[0] == "evaluate" else SMALL[word]]
            skip = True
        elif i == 1 and words[0] == "train":
            found.append(smoke(word))
        elif word == "--method":
            found += [word, smoke(words[i + 1])]
            skip = True
        else:
            found.append(word)
    if words[0] == "visualize" and "--steps" not in words:
        found += ["--steps", "6"]
    if words[0] == "train":
        found += [*SHORT, *preset_options(words[1])]
    return found


def smoke(method: str) -> str:
    return method.partition(":")[0] + ":smoke"


def preset_options(method: str) -> list[str]:
    """What makes a preset another task than the smoke preset's: pairs that are given, instruments ..."""
    name, _, preset = method.partition(":")
    given = {"pix2pix:facades": ["--degradation", "", "--direction", "BtoA"], "music_vae:trio": ["--part", "trio"]}
    if name == "pix2pix" and preset in ("maps", "night"):
        return ["--degradation", ""]
    return given.get(method, [])


@pytest.fixture
def classifier_of_smoke_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifier that scores compare by is trained for a moment only."""
    monkeypatch.setattr("reverie.evaluation.feature_classifier.PRESET", "smoke")


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.zh-CN.md"])  # its commands are README's
@pytest.mark.usefixtures("classifier_of_smoke_size")
def test_the_commands_of_a_page_run(
    page: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for entry in home.iterdir():  # each page begins with the same files and no runs
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    for line in commands(page):
        status = main(small(line))
        printed = capsys.readouterr()
        assert status == 0, f"{line}\n{printed.err}"


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ("CONTRIBUTING.md", "README.zh-CN.md")])
@pytest.mark.usefixtures("classifier_of_smoke_size")
def test_the_python_of_a_page_runs(page: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in home.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    train = reverie.train

    def small_train(method: str, **options: Any) -> Any:
        return train(smoke(method), **{**options, "steps": 4, "sample_every": 4})

    names: dict[str, Any] = {}  # blocks go on from one another
    for block in blocks_of(page, "python"):
        if 'evaluate("runs/dcgan"' in block:
            train("dcgan:smoke", data="photos/", out="runs/dcgan")
        monkeypatch.setattr(reverie, "train", small_train)
        exec(compile(block, page, "exec"), names)
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("reverie.evaluation.feature_classifier.PRESET", "smoke")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("https://"):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_both_readmes_say_the_same() -> None:
    assert commands("README.md") == commands("README.zh-CN.md")
    assert blocks_of("README.md", "python") == blocks_of("README.zh-CN.md", "python")
    headings = [re.findall(r"^#+ ", (ROOT / page).read_text(encoding="utf-8"), re.M) for page in PAGES[:2]]
    assert headings[0] == headings[1]
    assert all(len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= 150 for page in PAGES[:2])


def test_a_page_shows_an_image_that_opens() -> None:
    image = Image.load(ROOT / "docs" / "images" / "overview.png")
    assert min(image.pixels.shape[:2]) >= 100
