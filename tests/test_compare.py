"""`reverie compare` as users call it: different runs share a table, scores of different definitions no row."""

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
def workspace(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """Runs of a VAE, also at another size, of a DCGAN, and of a classifier for features."""
    place = tmp_path_factory.mktemp("workspace")
    for method in ("vae", "dcgan", "classifier"):
        reverie.train(f"{method}:smoke", data=DATA, out=place / method, threads=1)
    reverie.train("vae:smoke", data=DATA, out=place / "small" / "vae", threads=1, size=12)
    return place


def run(workspace: Path, *runs: str, **options: Any) -> Comparison:
    options = {"features": workspace / "classifier", "n": 64, "out": workspace / "page.html", **options}
    return compare([workspace / name for name in runs], DATA, **options)


def test_runs_of_different_methods_share_a_table_and_empty_cells_say_why(workspace: Path) -> None:
    found = run(workspace, "vae", "dcgan")
    assert found.names == ["vae", "dcgan"]
    values = [cell.score.value for cell in found["fid"] if cell.score]
    assert len(values) == 2
    assert found.best("fid") == values.index(min(values))
    (of_vae, of_gan) = found["nll"]
    assert of_vae.score is not None
    assert of_gan.score is None
    assert of_gan.why == "dcgan has no such score"
    assert found.best("nll") is None
    table = found.table().splitlines()
    assert table[0].split() == ["vae", "dcgan", "real", "data", "baseline", "better"]
    assert sum("*" in line for line in table if line.startswith("fid ")) == 1
    assert any(line.startswith("no ") and "of dcgan: dcgan has no" in line for line in table)
    page = (workspace / "page.html").read_text()
    assert page.count("data:image/png") == 6  # samples, reconstructions and interpolations of both
    assert "dcgan has no such score" in page
    assert "parameters" in page
    assert page.count('class="axis">minute<') >= 2
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_a_run_scored_with_the_same_config_is_not_scored_again(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(workspace, "vae", "dcgan")
    before = (workspace / "vae" / "scores.json").read_bytes(), (workspace / "page.html").read_bytes()
    scored: list[str] = []
    real = module.evaluate_source

    def counted(source: Any, *args: Any, **options: Any) -> Any:
        scored.append(source.run_folder.name)
        return real(source, *args, **options)

    monkeypatch.setattr(module, "evaluate_source", counted)
    run(workspace, "vae", "dcgan")
    assert scored == []
    assert ((workspace / "vae" / "scores.json").read_bytes(), (workspace / "page.html").read_bytes()) == before
    run(workspace, "vae", "dcgan", seed=5)
    assert scored == ["vae", "dcgan"]
    (workspace / "vae" / "scores.json").write_text("{")
    run(workspace, "vae", "dcgan", seed=5)
    assert scored == ["vae", "dcgan", "vae"]


def test_a_run_without_the_scores_has_an_empty_column(workspace: Path) -> None:
    found = run(workspace, "vae", "classifier", metrics="reconstruction")
    of_vae, of_classifier = found["psnr"]
    assert of_vae.score is not None
    assert (of_classifier.score, of_classifier.why) == (None, "classifier has no such score")
    with pytest.raises(UserError, match="none of these runs has a score"):
        run(workspace, "vae", "dcgan", metrics="accuracy")


def test_scores_of_different_references_are_not_compared(workspace: Path) -> None:
    found = run(workspace, "vae", "small/vae")
    assert found.names == ["vae", "vae"] or found.names == [f"{workspace.name}/vae", "small/vae"]
    assert all(cell.score is not None for cell in found["fid"])  # images are scored at the size of the data
    held, other = found["nll"]  # and likelihoods at the size of the networks
    assert held.score is not None
    assert other.score is None
    assert "different references" in other.why
    assert "12x12x1" in other.why


def test_command_line(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--data",
        DATA,
        "-n",
        "64",
        "--features",
        str(workspace / "classifier"),
        "--out",
        str(tmp_path / "new" / "c.html"),
    ]
    assert main(["compare", str(workspace / "vae"), str(workspace / "dcgan"), *words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in record["runs"]] == ["vae", "dcgan"]
    assert record["scores"]["nll"][1] == {"why": "dcgan has no such score"}
    assert Path(record["page"]).is_file()
    assert main(["compare", str(workspace / "vae"), str(workspace / "dcgan"), *words]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "new" / "c.html")


def test_wrong_input_gives_a_one_line_error(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vae, gan = str(workspace / "vae"), str(workspace / "dcgan")
    shutil.copyfile(workspace / "vae" / "weights.safetensors", tmp_path / "w.safetensors")
    for words, record in (
        ([vae, "--data", DATA], "two runs or more"),
        ([vae, vae, "--data", DATA], "named twice"),
        ([vae, gan], "needs --data"),
        ([vae, gan, "--data", DATA, "--out", "c.png"], "name it c.html"),
        ([vae, str(tmp_path / "none"), "--data", DATA], "none"),
        ([vae, str(tmp_path / "w.safetensors"), "--data", DATA], "is not a run folder"),
        ([vae, gan, "--data", DATA, "-n", "3"], "too few to score a generator"),
        ([vae, gan, "--data", DATA, "--features", str(tmp_path / "f.pth")], "cannot be read"),
        ([vae, gan, "--data", "nothing"], "no such path"),
        ([vae, gan, "--data", "shapes:100"], "in colour"),
    ):
        assert main(["compare", *words]) == 2, words
        error = capsys.readouterr().err
        assert record in error, error
        assert error.count("\n") == 1
    with pytest.raises(UserError, match="two runs"):
        compare([vae], DATA)
