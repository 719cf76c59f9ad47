"""`reverie compare`, as users call it: unlike runs in one table, unlike scores in none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import reverie
from reverie import UserError
from reverie.cli.main import main
from reverie.evaluation import compare as module
from reverie.evaluation.compare import Comparison, compare

DATA = "letters:300"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """Runs of three families, one of them of another size, and a classifier to look with."""
    place = tmp_path_factory.mktemp("shop")
    for method in ("vae", "dcgan", "classifier"):
        reverie.train(f"{method}:smoke", data=DATA, out=place / method, threads=1)
    reverie.train("vae:smoke", data=DATA, out=place / "small" / "vae", threads=1, size=12)
    return place


def run(shop: Path, *runs: str, **options: Any) -> Comparison:
    options = {"features": shop / "classifier", "n": 64, "out": shop / "page.html", **options}
    return compare([shop / name for name in runs], DATA, **options)


def test_families_stand_side_by_side_and_empty_cells_say_why(shop: Path) -> None:
    found = run(shop, "vae", "dcgan")
    assert found.names == ["vae", "dcgan"]
    values = [cell.score.value for cell in found["fid"] if cell.score]
    assert len(values) == 2
    assert found.best("fid") == values.index(min(values))
    (of_vae, of_gan) = found["nll"]
    assert of_vae.score is not None
    assert of_gan.score is None
    assert of_gan.why == "dcgan has nothing of the kind"
    assert found.best("nll") is None
    table = found.table().splitlines()
    assert table[0].split() == ["vae", "dcgan", "floor", "better"]
    assert sum("*" in line for line in table if line.startswith("fid ")) == 1
    assert any(line.startswith("no ") and "of dcgan: dcgan has nothing" in line for line in table)
    page = (shop / "page.html").read_text()
    assert page.count("data:image/png") == 6  # samples, reconstructions and walks of both
    assert "dcgan has nothing of the kind" in page
    assert "parameters" in page
    assert page.count('class="axis">minute<') >= 2
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_what_was_scored_in_this_way_is_not_scored_again(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(shop, "vae", "dcgan")
    before = (shop / "vae" / "scores.json").read_bytes(), (shop / "page.html").read_bytes()
    asked: list[str] = []
    real = module.score

    def counted(subject: Any, *given: Any, **more: Any) -> Any:
        asked.append(subject.folder.name)
        return real(subject, *given, **more)

    monkeypatch.setattr(module, "score", counted)
    run(shop, "vae", "dcgan")
    assert asked == []
    assert ((shop / "vae" / "scores.json").read_bytes(), (shop / "page.html").read_bytes()) == before
    run(shop, "vae", "dcgan", seed=5)
    assert asked == ["vae", "dcgan"]
    (shop / "vae" / "scores.json").write_text("{")
    run(shop, "vae", "dcgan", seed=5)
    assert asked == ["vae", "dcgan", "vae"]


def test_unlike_scores_do_not_meet(shop: Path) -> None:
    found = run(shop, "vae", "small/vae")
    assert found.names == ["vae", "vae"] or found.names == [f"{shop.name}/vae", "small/vae"]
    held, other = found["fid"]
    assert held.score is not None
    assert other.score is None
    assert "unlike references" in other.why
    assert "12x12x1" in other.why


def test_command_line(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--data",
        DATA,
        "-n",
        "64",
        "--features",
        str(shop / "classifier"),
        "--out",
        str(tmp_path / "new" / "c.html"),
    ]
    assert main(["compare", str(shop / "vae"), str(shop / "dcgan"), *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told["runs"]] == ["vae", "dcgan"]
    assert told["scores"]["nll"][1] == {"why": "dcgan has nothing of the kind"}
    assert Path(told["page"]).is_file()
    assert main(["compare", str(shop / "vae"), str(shop / "dcgan"), *words]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "new" / "c.html")


def test_wrong_input_is_one_line(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vae, gan = str(shop / "vae"), str(shop / "dcgan")
    shutil.copyfile(shop / "vae" / "weights.safetensors", tmp_path / "w.safetensors")
    for words, told in (
        ([vae, "--data", DATA], "two runs or more"),
        ([vae, vae, "--data", DATA], "named twice"),
        ([vae, gan], "needs --data"),
        ([vae, gan, "--data", DATA, "--out", "c.png"], "name it c.html"),
        ([vae, str(tmp_path / "none"), "--data", DATA], "none"),
        ([vae, str(tmp_path / "w.safetensors"), "--data", DATA], "is no run folder"),
        ([vae, gan, "--data", DATA, "-n", "3"], "say nothing about a generator"),
        ([vae, gan, "--data", DATA, "--features", str(tmp_path / "f.pth")], "cannot be read"),
        ([vae, gan, "--data", "nothing"], "no such path"),
        ([vae, gan, "--data", "shapes:100"], "in colour"),
    ):
        assert main(["compare", *words]) == 2, words
        error = capsys.readouterr().err
        assert told in error, error
        assert error.count("\n") == 1
    with pytest.raises(UserError, match="two runs"):
        compare([vae], DATA)
