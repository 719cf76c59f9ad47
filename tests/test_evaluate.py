"""`reverie evaluate` as users call it: of runs, weights files and folders of images; repeatable, never half-written."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor

import reverie
from reverie import UserError, open_data
from reverie.api import load
from reverie.cli.main import main
from reverie.evaluation import evaluate as module
from reverie.evaluation import evaluate_images, time_estimate
from reverie.evaluation.image_metrics import FEATURE_SCORES
from reverie.evaluation.metric_selection import GROUPS, read_metrics
from reverie.evaluation.reference_sets import QUICK, cached_features, open_reference_sets
from reverie.metrics.score import Score, why_incomparable
from reverie.runs.run_folder import Run

DATA = "letters:300"
SAMPLES = {*FEATURE_SCORES, "sharpness", "nn distance ratio", "data-copying auc", "near-duplicate rate"}
RECONSTRUCTION = {"mse", "normalised mse", "psnr"}
CODES = {"1-nn accuracy"}
LIKELIHOOD = {"nll", "bits/dim", "elbo", "active units"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """Runs of a VAE, a DCGAN and a classifier, and letters as a folder without labels or splits."""
    place = tmp_path_factory.mktemp("workspace")
    for method in ("vae", "dcgan", "classifier"):
        reverie.train(f"{method}:smoke", data=DATA, out=str(place / method), threads=1)
    save(place / "plain", open_data(DATA).prepare(16, 1).array[:200])
    return place


def save(folder: Path, images: np.ndarray) -> str:
    """Images uint8 [N,H,W,C] as a folder of PNGs."""
    folder.mkdir()
    for i, pixels in enumerate(images):
        PIL.Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(folder / f"{i:04d}.png")
    return str(folder)


class AveragePool:
    """In place of a network: averages over a 4x4 grid; counts the images that it extracted features of."""

    name, fingerprint, width = "average-pool", "0" * 16, 16
    definition = "averages over a 4x4 grid, 16 dimensions"

    def __init__(self) -> None:
        self.count = 0

    def features(self, images: np.ndarray, what: str = "") -> Tensor:
        self.count += len(images)
        x = torch.from_numpy(np.array(images)).float().mean(3, keepdim=True)
        return torch.nn.functional.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 4).flatten(1) / 255


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> AveragePool:
    pooled = AveragePool()
    monkeypatch.setattr(evaluate_images, "open_features", lambda spec, data: pooled)
    return pooled


def without_times(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text())
    return {k: v for k, v in record.items() if k not in ("created", "seconds")}


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_is_scored_and_the_scores_are_in_its_folder(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = workspace / "vae"
    words = ["evaluate", str(run), "--data", DATA, "-n", "80", "--features", str(workspace / "classifier"), "--k", "5"]
    words.append("--full")
    assert main(words) == 0
    table = capsys.readouterr().out
    assert table.splitlines()[0].split() == ["score", "value", "real", "data", "baseline", "n", "better"]
    record = json.loads((run / "scores.json").read_text())
    scores = [Score.from_json(one) for one in record["scores"]]
    assert {score.name for score in scores} == SAMPLES | RECONSTRUCTION | CODES | LIKELIHOOD
    assert all(f"\n{score.name}" in table for score in scores)
    weights = load(run).origin
    assert record["run"] == {"method": "vae", "step": 20, "weights": weights["run"]}
    assert (
        record["command"]
        == f"reverie evaluate {run} --data {DATA} -n 80 --features {workspace / 'classifier'} --k 5 --full"
    )
    test = open_data(DATA, "test")
    for score in scores:
        assert score.definition
        assert score.versions["torch"] == torch.__version__
        assert (score.yardstick is None) == (score.name == "active units")
        assert score.reference is not None
        near = score.name in ("nn distance ratio", "data-copying auc", "near-duplicate rate")
        assert score.reference.split == ("train" if near else "test")
        assert score.reference.fingerprint == (open_data(DATA) if near else test).fingerprint
        # The networks work at 16 pixels, and a likelihood is of what they see; the data has 32.
        assert (score.reference.size, score.reference.channels) == (16 if score.group == "likelihood" else 32, 1)
        assert score.n == (64 if score.name in RECONSTRUCTION else 2000 if score.name in CODES else 80)
    by_name = {score.name: score for score in scores}
    assert by_name["fid"].reference.n == 2000
    assert by_name["recall"].reference.n == 80  # as many as were generated
    assert "classifier" in by_name["fid"].definition
    assert by_name["fid"].value > by_name["fid"].real >= 0
    assert "k = 5" in by_name["nll"].definition
    assert set(record["figures"]) == {"neighbours", "interpolation", "reconstruction"}
    for name in record["figures"]:
        with PIL.Image.open(run / "figures" / f"{name}.png") as figure:
            assert min(figure.size) > 64
    assert "data-copying auc" in (run / "report.html").read_text().lower()
    assert any("fid" in note for note in record["notes"]) == (int(by_name["fid"].definition.split()[-2]) > 80)

    first = without_times(run / "scores.json"), (run / "figures/neighbours.png").read_bytes()
    assert main(words) == 0
    assert (without_times(run / "scores.json"), (run / "figures/neighbours.png").read_bytes()) == first
    assert sorted(p.name for p in run.iterdir() if p.name.startswith(".")) == [".lock", ".scores.lock"]


def test_the_command_line_and_python_give_the_same_scores(
    workspace: Path, net: AveragePool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(workspace / "vae"), "--data", DATA, "-n", "64", "--k", "2", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    found = reverie.evaluate(workspace / "vae", DATA, n=64, k=2)
    assert record["scores"] == found.to_json()["scores"]
    assert found["sharpness"].value == next(s["value"] for s in record["scores"] if s["name"] == "sharpness")
    assert len(found) == len(record["scores"])
    assert found.command == f"reverie.evaluate({str(workspace / 'vae')!r}, '{DATA}', n=64, k=2)"
    with pytest.raises(KeyError, match="no score 'accuracy'"):
        found["accuracy"]
    for score, other in zip(found, reverie.evaluate(workspace / "vae", DATA, n=64, k=2, seed=1), strict=True):
        assert not why_incomparable(score, other)
    three = reverie.evaluate(workspace / "vae", DATA, n=64, k=3)["nll"]
    assert "different definitions" in why_incomparable(found["nll"], three)


def test_a_gan_is_scored_without_likelihood(workspace: Path, net: AveragePool) -> None:
    found = reverie.evaluate(workspace / "dcgan", DATA, n=64)
    assert {score.name for score in found} == SAMPLES | RECONSTRUCTION
    assert found["mse"].n == evaluate_images.QUICK_SEARCHED
    assert reverie.evaluate(workspace / "dcgan", DATA, n=64, full=True, metrics="mse")["mse"].n == 64
    with pytest.raises(UserError, match="no option 'k'"):
        reverie.evaluate(workspace / "dcgan", DATA, n=64, k=2)


def test_a_classifier_is_scored_by_its_own_scores(workspace: Path) -> None:
    """It generates no images, so there are none to score, and no number of them is too small."""
    found = reverie.evaluate(workspace / "classifier", DATA, n=50)
    assert {"accuracy"} <= {score.name for score in found}
    assert not SAMPLES & {score.name for score in found}
    assert found["accuracy"].n == 50


def test_for_weights_files_and_folders_of_images_nothing_is_written(
    workspace: Path, net: AveragePool, tmp_path: Path
) -> None:
    found = reverie.evaluate(workspace / "vae", DATA, n=64, seed=3, k=2)
    weights = tmp_path / "model.safetensors"
    shutil.copy(workspace / "vae/weights.safetensors", weights)
    again = reverie.evaluate(weights, DATA, n=64, seed=3, k=2)
    assert [score.to_json() for score in again] == [score.to_json() for score in found]
    assert again.notes == found.notes
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    folder = save(tmp_path / "generated", np.stack([i.pixels for i in load(weights).generate(n=64, seed=3)]))
    samples = reverie.evaluate(folder, DATA, seed=3)
    assert {s.name: s.value for s in samples} == {s.name: s.value for s in found if s.name in SAMPLES}
    assert samples.run["images"] == 64
    assert len(list(Path(folder).iterdir())) == 64
    shutil.copytree(folder, tmp_path / "classes/one")  # of images in subfolders all are read
    again = reverie.evaluate(tmp_path / "classes", DATA, seed=3, metrics="sharpness")
    assert again["sharpness"].value == samples["sharpness"].value
    assert again.run == samples.run


def test_features_of_the_data_are_cached(workspace: Path, net: AveragePool, own_cache: Path) -> None:
    net.fingerprint = "2" * 16
    sets = open_reference_sets("letters:70", None, {"size": 16, "channels": 1})
    first = cached_features(net, sets.data, sets.reference[:1500], "reference")
    assert net.count == 1500
    assert torch.equal(cached_features(net, sets.data, sets.reference[:1500], "reference"), first)
    assert net.count == 1500
    assert torch.equal(cached_features(net, sets.data, sets.reference[:1024], "reference"), first[:1024])
    assert net.count == 1500
    newest = max((own_cache / "features").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:-8] + bytes(8))  # damaged: computed again
    assert torch.equal(cached_features(net, sets.data, sets.reference[:1500], "reference"), first)
    assert net.count > 1500
    net.fingerprint, count = "1" * 16, net.count  # another network
    cached_features(net, sets.data, sets.reference[:1500], "reference")
    assert net.count == count + 1500


# -- what is compared with what ----------------------------------------------------------------------------------------


def test_real_images_score_as_real_data_and_copies_are_found(workspace: Path, net: AveragePool, tmp_path: Path) -> None:
    test, train = open_data(DATA, "test").prepare(32, 1).array, open_data(DATA).prepare(32, 1).array
    real = reverie.evaluate(save(tmp_path / "real", test[:300]), DATA)
    copies = reverie.evaluate(save(tmp_path / "copies", train[:300]), DATA)
    assert real["nn distance ratio"].value == pytest.approx(1, abs=0.1)
    assert real["data-copying auc"].value == pytest.approx(0.5, abs=0.06)
    assert real["near-duplicate rate"].value < 0.05
    assert real["sharpness"].value == pytest.approx(1, abs=0.05)
    assert real["fid"].value < 2 * real["fid"].real
    assert copies["nn distance ratio"].value == 0
    assert copies["data-copying auc"].value < 0.05
    assert copies["near-duplicate rate"].value > 0.95
    assert copies["fid"].value == pytest.approx(copies["fid"].real, rel=1e-6)  # real data are all 300 of them


def test_data_without_splits_or_labels(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its halves are the reference and the floor; training images against the others stand in for unseen ones."""
    found = reverie.evaluate(workspace / "vae", workspace / "plain", k=2)
    assert not found.skipped
    assert {score.name for score in found} == SAMPLES | RECONSTRUCTION | LIKELIHOOD
    assert "EfficientNet-Lite0" in found["fid"].definition
    assert found["fid"].value > 2 * found["fid"].real > 0
    sharp = found["sharpness"]
    assert (sharp.n, sharp.reference.n, sharp.reference.split) == (100, 100, "train")
    assert "half" in sharp.real_source
    assert "each from the others" in found["data-copying auc"].definition
    notes = " ".join(found.notes)
    assert "one split only" in notes
    assert "trained on letters:300" in notes
    words = ["evaluate", str(workspace / "vae"), "--data", str(workspace / "plain"), "--features", "classifier"]
    assert main([*words, "--metrics", "distribution,sharpness"]) == 0
    table = capsys.readouterr().out
    assert "skipped: fid, kid, precision, recall, density, coverage: the data has no labels" in table


def test_copies_are_found_without_splits_too(workspace: Path) -> None:
    found = reverie.evaluate(workspace / "plain", workspace / "plain", n=100)
    assert found["nn distance ratio"].value == 0
    assert found["near-duplicate rate"].value > 0.9


def test_another_split_can_be_the_reference(workspace: Path, net: AveragePool) -> None:
    found = reverie.evaluate(workspace / "vae", DATA, n=64, split="train", k=2)
    assert found["fid"].reference.split == "train"
    assert found["fid"].reference.n == 300
    assert "test split" in found["fid"].real_source
    assert any("is the training data" in note for note in found.notes)
    with pytest.raises(UserError, match="no split 'val'"):
        reverie.evaluate(workspace / "vae", DATA, n=64, split="val")


def test_too_few_reference_images_skip_the_comparison_of_distributions(
    workspace: Path, net: AveragePool, tmp_path: Path
) -> None:
    few = save(tmp_path / "few", open_data(DATA).prepare(16, 1).array[:40])
    found = reverie.evaluate(workspace / "vae", few, n=64, k=2)
    assert {line["score"] for line in found.skipped} == {*FEATURE_SCORES, "near-duplicate rate"}
    assert "20 reference images" in found.skipped[0]["why"]
    assert found["sharpness"].reference.n == 20


def test_a_network_of_photos_is_said_to_tell_little_of_grey_images(
    workspace: Path, net: AveragePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ImageNet network ranks blurred letters before sharp ones; a classifier of the data does not need the note."""

    def notes(data: str) -> list[str]:
        found = reverie.evaluate(workspace / "vae", data, n=64, k=2, metrics="fid")
        return [note for note in found.notes if "learnt photos" in note]

    assert ["--features classifier" in note for note in notes(DATA)] == [True]
    assert ["--features classifier" in note for note in notes(str(workspace / "plain"))] == [False]
    monkeypatch.setattr(net, "name", "classifier")
    assert notes(DATA) == []


def test_too_few_training_images_train_no_feature_network(workspace: Path) -> None:
    found = reverie.evaluate(workspace / "vae", "letters:10", n=64, k=2, features="classifier")
    assert {line["score"] for line in found.skipped} >= set(FEATURE_SCORES)
    assert "10 training images" in found.skipped[0]["why"]


# -- which scores ------------------------------------------------------------------------------------------------------


def test_only_the_scores_that_are_asked_for(
    workspace: Path, net: AveragePool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = workspace / "vae"
    assert main(["evaluate", str(run), "--data", DATA, "--metrics", "FID,reconstruction,GAN_train-accuracy"]) == 0
    record = json.loads((run / "scores.json").read_text())
    assert [score["name"] for score in record["scores"]] == ["fid", "mse", "normalised mse", "psnr"]
    assert record["config"]["metrics"] == ["fid", "mse", "normalised mse", "psnr", "gan-train accuracy"]
    assert [line["score"] for line in record["skipped"]] == ["gan-train accuracy"]
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", DATA, "--metrics", "fdi"]) == 2
    assert capsys.readouterr().err == "reverie: there is no score or group of scores 'fdi'. Did you mean 'fid'?\n"
    assert main(["evaluate", str(run), "--data", DATA, "--metrics", "zzz"]) == 2
    assert "There are the groups distribution, copying, " in capsys.readouterr().err
    assert main(["evaluate", str(run), "--data", DATA, "--metrics", ","]) == 2
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_images.TimeEstimate, "add", lambda *_: pytest.fail("it is refused before any work"))
        with pytest.raises(UserError, match="vae has none of these scores on this data; it has distribution, copying"):
            reverie.evaluate(run, DATA, metrics="classes")
    found = reverie.evaluate(run, DATA, metrics=["bleu", "sharpness"], n=64)
    assert [score.name for score in found] == ["sharpness"]
    assert "no such score" in found.why_skipped("bleu-2")
    found = reverie.evaluate(run, DATA, metrics="copying", n=64)
    assert found["nn distance ratio"].n == 64
    assert not found.why_skipped("nn dice similarity")  # of a group the scores of this kind of data are meant


def test_earlier_scores_of_the_same_settings_are_kept(
    workspace: Path, net: AveragePool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(workspace / "dcgan", tmp_path / "run"))
    (run / "scores.json").unlink(missing_ok=True)
    first = reverie.evaluate(run, DATA, n=64, metrics="distribution,copying")
    figures = sorted(path.name for path in (run / "figures").iterdir())
    before = json.loads((run / "scores.json").read_text())
    assert [score.name for score in reverie.evaluate(run, DATA, n=64, metrics="fid")] == ["fid"]
    record = json.loads((run / "scores.json").read_text())
    assert [score["name"] for score in record["scores"]] == [score.name for score in first]
    assert record["kept"] == [score.name for score in first if score.name != "fid"]
    assert (record["figures"], record["notes"]) == (before["figures"], before["notes"])
    assert sorted(path.name for path in (run / "figures").iterdir()) == figures
    assert "metrics=('fid',)" in record["command"]
    assert "replaces" not in capsys.readouterr().err
    reverie.evaluate(run, DATA, n=65, metrics="fid")
    assert f"replaces {len(first)} scores of other settings (n 64) in " in capsys.readouterr().err
    record = json.loads((run / "scores.json").read_text())
    assert ([score["name"] for score in record["scores"]], record["kept"]) == (["fid"], [])


@pytest.mark.parametrize("group", GROUPS)
def test_the_scores_of_a_group_can_be_named_with_commas_between_them(group: str) -> None:
    """As in the command that compare records."""
    assert read_metrics(",".join(GROUPS[group]).replace(" ", "-")) == read_metrics(group)


def test_quick_and_full_scores_do_not_compare(workspace: Path, net: AveragePool) -> None:
    quick = reverie.evaluate(workspace / "vae", DATA, k=2)
    full = reverie.evaluate(workspace / "vae", DATA, k=2, full=True, metrics="fid,nll,1-nn accuracy")
    assert (quick.config["metrics"], quick.config["full"], full.config["full"]) == ("quick", False, True)
    assert (quick["fid"].n, quick["fid"].reference.n) == (QUICK, QUICK)
    assert (full["fid"].n, full["fid"].reference.n) == (2000, 2000)
    assert (quick["nll"].n, full["nll"].n) == (evaluate_images.QUICK_LIKELIHOOD, 2000)
    for name in ("fid", "nll"):
        assert "have different references" in why_incomparable(quick[name], full[name])


def test_the_time_is_said_beforehand(
    workspace: Path, net: AveragePool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(time_estimate, "LEAST", 0)
    reverie.evaluate(workspace / "vae", DATA, n=64, k=2)
    said = capsys.readouterr().err
    for part in ("up to ", "64 generated images", "64 reconstructed ones", "--full"):
        assert part in said
    estimate = time_estimate.TimeEstimate()
    estimate.add("naps", 100, 2, lambda k: time.sleep(k / 100))
    assert 0.9 <= estimate.seconds <= 3
    estimate = time_estimate.TimeEstimate()
    estimate.add_with_overhead("naps", 100, 4, lambda k: time.sleep(0.1 + k / 100))
    assert 0.9 <= estimate.seconds <= 3


# -- refusals, and interruptions ---------------------------------------------------------------------------------------


def test_wrong_counts_and_sizes_are_refused(workspace: Path, net: AveragePool, tmp_path: Path) -> None:
    letters = open_data(DATA).prepare(16, 1).array
    with pytest.raises(UserError, match="10 images are too few"):
        reverie.evaluate(workspace / "vae", DATA, n=10)
    with pytest.raises(UserError, match="12 images are too few"):
        reverie.evaluate(save(tmp_path / "ten", letters[:12]), DATA)
    with pytest.raises(UserError, match=r"there are 200 images"):
        reverie.evaluate(workspace / "plain", DATA, n=500)
    big = save(tmp_path / "big", letters[:64].repeat(3, 1).repeat(3, 2))
    with pytest.raises(UserError, match=r"reference has another size.*32 pixels.*has 48"):
        reverie.evaluate(big, DATA)
    with pytest.raises(UserError, match=r"grey.*what is scored is in colour"):
        reverie.evaluate(save(tmp_path / "colour", letters[:64].repeat(3, 3)), DATA)
    with pytest.raises(UserError, match="square"):
        reverie.evaluate(save(tmp_path / "oblong", letters[:64, :12]), DATA)
    PIL.Image.fromarray(letters[0, :12, :12, 0]).save(tmp_path / "ten/0005.png")
    with pytest.raises(UserError, match=r"0005.png.*is 12x12 grey, 0000.png is 16x16 grey"):
        reverie.evaluate(tmp_path / "ten", DATA)


def test_a_run_is_scored_on_its_training_data_at_its_own_size(
    workspace: Path, net: AveragePool, tmp_path: Path
) -> None:
    """The VAE works at 16 pixels; images of 12 were enlarged for its training, and its own are scored at 12."""
    small = save(tmp_path / "small", open_data(DATA).prepare(12, 1).array[:200])
    with pytest.raises(UserError, match="another size"):
        reverie.evaluate(workspace / "vae", small, n=64, k=2)
    reverie.train("vae:smoke", data=small, out=str(tmp_path / "run"), threads=1, steps=2)
    assert reverie.evaluate(tmp_path / "run", small, n=64, k=2)["sharpness"].reference.size == 12


def test_an_interrupted_evaluation_leaves_the_old_scores(
    workspace: Path, net: AveragePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = workspace / "vae"
    reverie.evaluate(run, DATA, n=64, k=2)
    files = [run / "scores.json", *sorted((run / "figures").iterdir())]
    before = [path.read_bytes() for path in files]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for place, name in ((module, "flush"), (module, "replace_text"), (evaluate_images, "feature_scores")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                reverie.evaluate(run, DATA, n=64, k=2)
        assert [path.read_bytes() for path in files] == before
        assert not [p.name for p in run.iterdir() if p.name.startswith(".figures") or p.name.endswith(".new")]


def test_a_run_can_be_scored_while_it_is_trained(workspace: Path, net: AveragePool) -> None:
    """The training process holds the lock, and writes the report."""
    run = workspace / "dcgan"
    (run / "scores.json").unlink(missing_ok=True)
    (run / "report.html").write_text("old")
    training = Run(run)
    training.lock()
    try:
        reverie.evaluate(run, DATA, n=64)
        assert (run / "scores.json").is_file()
        assert (run / "report.html").read_text() == "old"
    finally:
        training.release()
    reverie.evaluate(run, DATA, n=64)
    assert "<html" in (run / "report.html").read_text()


# -- scores of the VAE -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [dict(network="mlp", likelihood="bernoulli"), dict(network="conv", base_channels=4)]
)
def test_the_fast_likelihood_equals_the_plain_one(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from reverie.methods import vae as file

    torch.manual_seed(0)
    fixed = dict(size=16, channels=1, latent_dim=6, base_channels=4, likelihood="logistic")
    vae = file.VAE(file.VAE.Config(**{**fixed, **options})).eval()
    with torch.no_grad():
        for parameter in vae.decoder.parameters():
            parameter.mul_(1.5)  # so that z matters
    x = vae.observe((torch.rand(9, 1, 16, 16) * 255).round() / 127.5 - 1)
    quick = {k: vae.log_likelihood(x, k=k, at_once=at_once) for k, at_once in ((300, 600), (70, 2000))}
    monkeypatch.setattr(file, "CACHE_VALUES", 1)  # in the smallest pieces
    pieces = vae.log_likelihood(x, k=300, at_once=600)
    monkeypatch.setattr(vae, "log_weights_cached", torch.no_grad()(vae.log_weights))
    for k, at_once in ((300, 600), (70, 2000)):
        assert torch.allclose(quick[k], vae.log_likelihood(x, k=k, at_once=at_once), rtol=0, atol=1e-4)
    assert torch.allclose(pieces, quick[300], rtol=0, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic"])
def test_method_scores_of_a_vae(likelihood: str, tmp_path: Path) -> None:
    vae = reverie.train(
        "vae:smoke", data="letters:64", out=str(tmp_path / "run"), likelihood=likelihood, threads=1, steps=200
    )
    data = open_data("letters:64", "test").prepare(16, 1)
    found = {score.name: score for score in vae.method_scores(data, 100, 0, k=20)}
    assert set(found) == LIKELIHOOD
    nll, bits, elbo = found["nll"], found["bits/dim"], found["elbo"]
    assert bits.value == pytest.approx(nll.value / np.log(2) / 256)
    assert -elbo.value > nll.value  # L_20 is a tighter bound
    assert nll.value + elbo.value < 20
    assert (
        nll.value < nll.baseline < 256 * np.log(256)
    )  # better than independent pixels, which are better than uniform ones
    assert 0 < nll.std_error < nll.value / 5
    assert found["active units"].unit == "of 8"
    assert 0 <= found["active units"].value <= 8
    again = {score.name: score for score in vae.method_scores(data, 100, 0, k=20)}
    assert found == again
    assert {s.name: s.value for s in vae.method_scores(data, 100, 1, k=20)} != {n: s.value for n, s in found.items()}
    with pytest.raises(UserError, match="k is 0"):
        list(vae.method_scores(data, 100, 0, k=0))
