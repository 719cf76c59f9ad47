"""`reverie evaluate`, as users call it: on runs, weights and pictures; twice alike; nothing half-written."""

from __future__ import annotations

import json
import shutil
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
from reverie.evaluation import evaluate_images as images
from reverie.evaluation.image_metrics import BY_FEATURES
from reverie.evaluation.reference_sets import features_of, open_reference_sets
from reverie.metrics.score import Score, check_comparable
from reverie.runs.run_folder import Run

DATA = "letters:300"
SAMPLES = {*BY_FEATURES, "sharpness", "nearest training image", "data copying", "near copies"}
RECONSTRUCTION = {"reconstruction error", "reconstruction share", "reconstruction psnr"}
CODES = {"1-nn accuracy"}
LIKELIHOOD = {"nll", "bits per dim", "elbo", "active units"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """Runs of a VAE, a DCGAN and a classifier, and letters as a folder without labels or splits."""
    place = tmp_path_factory.mktemp("shop")
    for method in ("vae", "dcgan", "classifier"):
        reverie.train(f"{method}:smoke", data=DATA, out=str(place / method), threads=1)
    save(place / "plain", open_data(DATA).prepare(16, 1).array[:200])
    return place


def save(folder: Path, images: np.ndarray) -> str:
    """Pictures uint8 [N,H,W,C] as a folder of PNGs."""
    folder.mkdir()
    for i, pixels in enumerate(images):
        PIL.Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(folder / f"{i:04d}.png")
    return str(folder)


class Pooled:
    """In place of a network: means over 4x4 places; counts the images it has looked at."""

    name, mark, width = "pooled", "0" * 16, 16
    definition = "means over 16 places"

    def __init__(self) -> None:
        self.seen = 0

    def features(self, images: np.ndarray, what: str = "") -> Tensor:
        self.seen += len(images)
        x = torch.from_numpy(np.array(images)).float().mean(3, keepdim=True)
        return torch.nn.functional.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 4).flatten(1) / 255


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Pooled:
    pooled = Pooled()
    monkeypatch.setattr(images, "open_features", lambda spec, data: pooled)
    return pooled


def timeless(path: Path) -> dict[str, Any]:
    told = json.loads(path.read_text())
    return {k: v for k, v in told.items() if k not in ("created", "seconds")}


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_is_scored_and_its_folder_tells(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shop / "vae"
    words = ["evaluate", str(run), "--data", DATA, "-n", "80", "--features", str(shop / "classifier"), "--k", "5"]
    assert main(words) == 0
    table = capsys.readouterr().out
    assert table.splitlines()[0].split() == ["score", "value", "floor", "n", "better"]
    told = json.loads((run / "scores.json").read_text())
    scores = [Score.from_json(one) for one in told["scores"]]
    assert {score.name for score in scores} == SAMPLES | RECONSTRUCTION | CODES | LIKELIHOOD
    assert all(f"\n{score.name}" in table for score in scores)
    weights = load(run).origin
    assert told["run"] == {"method": "vae", "step": 20, "weights": weights["run"]}
    assert told["command"] == f"reverie evaluate {run} --data {DATA} -n 80 --features {shop / 'classifier'} --k 5"
    test = open_data(DATA, "test")
    for score in scores:
        assert score.definition
        assert score.versions["torch"] == torch.__version__
        assert (score.floor is None) == (score.name == "active units")
        assert score.reference is not None
        near = score.name in ("nearest training image", "data copying", "near copies")
        assert score.reference.split == ("train" if near else "test")
        assert score.reference.fingerprint == (open_data(DATA) if near else test).fingerprint
        assert (score.reference.size, score.reference.channels) == (16, 1)
        assert score.n == (64 if score.name in RECONSTRUCTION else 2000 if score.name in CODES else 80)
    by_name = {score.name: score for score in scores}
    assert by_name["fid"].reference.n == 2000
    assert by_name["recall"].reference.n == 80  # as many as were generated
    assert "classifier" in by_name["fid"].definition
    assert by_name["fid"].value > by_name["fid"].floor >= 0
    assert "k = 5" in by_name["nll"].definition
    assert set(told["figures"]) == {"neighbours", "interpolation", "reconstruction"}
    for name in told["figures"]:
        with PIL.Image.open(run / "figures" / f"{name}.png") as picture:
            assert min(picture.size) > 64
    assert "data copying" in (run / "report.html").read_text().lower()
    assert any("fid" in note for note in told["notes"]) == (int(by_name["fid"].definition.split()[-2]) > 80)

    first = timeless(run / "scores.json"), (run / "figures/neighbours.png").read_bytes()
    assert main(words) == 0
    assert (timeless(run / "scores.json"), (run / "figures/neighbours.png").read_bytes()) == first
    assert sorted(p.name for p in run.iterdir() if p.name.startswith(".")) == [".lock", ".scores.lock"]


def test_one_json_object_and_python_say_the_same(shop: Path, net: Pooled, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(shop / "vae"), "--data", DATA, "-n", "64", "--k", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = reverie.evaluate(shop / "vae", DATA, n=64, k=2)
    assert told["scores"] == found.to_json()["scores"]
    assert found["sharpness"].value == next(s["value"] for s in told["scores"] if s["name"] == "sharpness")
    assert len(found) == len(told["scores"])
    assert found.command == f"reverie.evaluate({str(shop / 'vae')!r}, '{DATA}', features=None, n=64, seed=0, k=2)"
    with pytest.raises(KeyError, match="no score 'accuracy'"):
        found["accuracy"]
    for score, other in zip(found, reverie.evaluate(shop / "vae", DATA, n=64, k=2, seed=1), strict=True):
        check_comparable(score, other)
    with pytest.raises(UserError, match="defined unlike"):
        check_comparable(found["nll"], reverie.evaluate(shop / "vae", DATA, n=64, k=3)["nll"])


def test_a_gan_is_scored_without_likelihood(shop: Path, net: Pooled) -> None:
    found = reverie.evaluate(shop / "dcgan", DATA, n=64)
    assert {score.name for score in found} == SAMPLES | RECONSTRUCTION
    assert found["reconstruction error"].n == 64
    with pytest.raises(UserError, match="no option 'k'"):
        reverie.evaluate(shop / "dcgan", DATA, n=64, k=2)


def test_a_judge_is_scored_by_what_it_says(shop: Path) -> None:
    """It makes no images, so there are none to score, and no number of them is too few."""
    found = reverie.evaluate(shop / "classifier", DATA, n=50)
    assert {"accuracy"} <= {score.name for score in found}
    assert not SAMPLES & {score.name for score in found}
    assert found["accuracy"].n == 50


def test_weights_and_pictures_are_scored_without_a_trace(shop: Path, net: Pooled, tmp_path: Path) -> None:
    found = reverie.evaluate(shop / "vae", DATA, n=64, seed=3, k=2)
    weights = tmp_path / "model.safetensors"
    shutil.copy(shop / "vae/weights.safetensors", weights)
    again = reverie.evaluate(weights, DATA, n=64, seed=3, k=2)
    assert [score.to_json() for score in again] == [score.to_json() for score in found]
    assert again.notes == found.notes
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    pictures = save(tmp_path / "made", np.stack([i.pixels for i in load(weights).generate(n=64, seed=3)]))
    samples = reverie.evaluate(pictures, DATA, seed=3)
    assert {s.name: s.value for s in samples} == {s.name: s.value for s in found if s.name in SAMPLES}
    assert samples.run["pictures"] == 64
    assert len(list(Path(pictures).iterdir())) == 64


def test_what_networks_make_of_the_data_is_kept(shop: Path, net: Pooled, own_cache: Path) -> None:
    net.mark = "2" * 16
    sets = open_reference_sets("letters:70", None, {"size": 16, "channels": 1})
    first = features_of(net, sets.data, sets.reference[:1500], "reference")
    assert net.seen == 1500
    assert torch.equal(features_of(net, sets.data, sets.reference[:1500], "reference"), first)
    assert net.seen == 1500
    assert torch.equal(features_of(net, sets.data, sets.reference[:1024], "reference"), first[:1024])
    assert net.seen == 1500
    newest = max((own_cache / "features").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:-8] + bytes(8))  # damaged: worked out again
    assert torch.equal(features_of(net, sets.data, sets.reference[:1500], "reference"), first)
    assert net.seen > 1500
    net.mark, seen = "1" * 16, net.seen  # another network
    features_of(net, sets.data, sets.reference[:1500], "reference")
    assert net.seen == seen + 1500


# -- what is compared with what ----------------------------------------------------------------------------------------


def test_real_images_score_as_their_floor_and_copies_are_found(shop: Path, net: Pooled, tmp_path: Path) -> None:
    test, train = open_data(DATA, "test").prepare(16, 1).array, open_data(DATA).prepare(16, 1).array
    real = reverie.evaluate(save(tmp_path / "real", test[:300]), DATA)
    copies = reverie.evaluate(save(tmp_path / "copies", train[:300]), DATA)
    assert real["nearest training image"].value == pytest.approx(1, abs=0.1)
    assert real["data copying"].value == pytest.approx(0.5, abs=0.06)
    assert real["near copies"].value < 0.05
    assert real["sharpness"].value == pytest.approx(1, abs=0.05)
    assert real["fid"].value < 2 * real["fid"].floor
    assert copies["nearest training image"].value == 0
    assert copies["data copying"].value < 0.05
    assert copies["near copies"].value > 0.95
    assert copies["fid"].value == pytest.approx(copies["fid"].floor, rel=1e-6)  # the floor is all 300 of them


def test_data_without_splits_or_labels(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Halves of it stand for reference and floor, each training image against the others for unseen ones."""
    found = reverie.evaluate(shop / "vae", shop / "plain", k=2)
    assert {line["score"] for line in found.skipped} == set(BY_FEATURES)
    assert all("no labels" in line["why"] for line in found.skipped)
    sharp = found["sharpness"]
    assert (sharp.n, sharp.reference.n, sharp.reference.split) == (100, 100, "train")
    assert "half" in sharp.floor_source
    assert "each from the others" in found["data copying"].definition
    notes = " ".join(found.notes)
    assert "one split only" in notes
    assert "learnt from letters:300" in notes
    assert main(["evaluate", str(shop / "vae"), "--data", str(shop / "plain"), "--k", "2"]) == 0
    assert "left out: fid, kid, precision, recall, density, coverage: " in capsys.readouterr().out


def test_copies_are_found_without_splits_too(shop: Path) -> None:
    found = reverie.evaluate(shop / "plain", shop / "plain", n=100)
    assert found["nearest training image"].value == 0
    assert found["near copies"].value > 0.9


def test_another_split_may_be_the_reference(shop: Path, net: Pooled) -> None:
    found = reverie.evaluate(shop / "vae", DATA, n=64, split="train", k=2)
    assert found["fid"].reference.split == "train"
    assert found["fid"].reference.n == 300
    assert "test split" in found["fid"].floor_source
    assert any("what was learnt from" in note for note in found.notes)
    with pytest.raises(UserError, match="no split 'val'"):
        reverie.evaluate(shop / "vae", DATA, n=64, split="val")


def test_few_reference_images_leave_distributions_out(shop: Path, net: Pooled, tmp_path: Path) -> None:
    few = save(tmp_path / "few", open_data(DATA).prepare(16, 1).array[:40])
    found = reverie.evaluate(shop / "vae", few, n=64, k=2)
    assert {line["score"] for line in found.skipped} == {*BY_FEATURES, "near copies"}
    assert "20 reference images" in found.skipped[0]["why"]
    assert found["sharpness"].reference.n == 20


def test_few_training_images_teach_no_judge(shop: Path) -> None:
    found = reverie.evaluate(shop / "vae", "letters:10", n=64, k=2)
    assert {line["score"] for line in found.skipped} >= set(BY_FEATURES)
    assert "10 training images" in found.skipped[0]["why"]


# -- refusals, and interruptions ---------------------------------------------------------------------------------------


def test_wrong_counts_and_sizes_are_refused(shop: Path, net: Pooled, tmp_path: Path) -> None:
    letters = open_data(DATA).prepare(16, 1).array
    with pytest.raises(UserError, match="scores on 10 images say nothing"):
        reverie.evaluate(shop / "vae", DATA, n=10)
    with pytest.raises(UserError, match="scores on 12 images say nothing"):
        reverie.evaluate(save(tmp_path / "ten", letters[:12]), DATA)
    with pytest.raises(UserError, match=r"there are 200 pictures"):
        reverie.evaluate(shop / "plain", DATA, n=500)
    big = save(tmp_path / "big", letters[:64].repeat(3, 1).repeat(3, 2))
    with pytest.raises(UserError, match=r"reference set is of another size.*32 pixels.*has 48"):
        reverie.evaluate(big, DATA)
    with pytest.raises(UserError, match=r"grey.*what is scored is in colour"):
        reverie.evaluate(save(tmp_path / "colour", letters[:64].repeat(3, 3)), DATA)
    with pytest.raises(UserError, match="squares"):
        reverie.evaluate(save(tmp_path / "oblong", letters[:64, :12]), DATA)
    PIL.Image.fromarray(letters[0, :12, :12, 0]).save(tmp_path / "ten/0005.png")
    with pytest.raises(UserError, match=r"0005.png.*is 12x12 grey, 0000.png is 16x16 grey"):
        reverie.evaluate(tmp_path / "ten", DATA)


def test_a_run_may_be_scored_on_what_it_learnt_from_at_its_own_size(shop: Path, net: Pooled, tmp_path: Path) -> None:
    """The VAE makes 16 pixels; pictures of 12 were enlarged for it in training, and may be for its scores."""
    small = save(tmp_path / "small", open_data(DATA).prepare(12, 1).array[:200])
    with pytest.raises(UserError, match="another size"):
        reverie.evaluate(shop / "vae", small, n=64, k=2)
    reverie.train("vae:smoke", data=small, out=str(tmp_path / "run"), threads=1, steps=2)
    assert reverie.evaluate(tmp_path / "run", small, n=64, k=2)["sharpness"].reference.size == 16


def test_interrupted_it_leaves_the_old_scores(shop: Path, net: Pooled, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shop / "vae"
    reverie.evaluate(run, DATA, n=64, k=2)
    files = [run / "scores.json", *sorted((run / "figures").iterdir())]
    before = [path.read_bytes() for path in files]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for place, name in ((module, "flush"), (module, "replace_text"), (images, "by_features")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                reverie.evaluate(run, DATA, n=64, k=2)
        assert [path.read_bytes() for path in files] == before
        assert not [p.name for p in run.iterdir() if p.name.startswith(".figures") or p.name.endswith(".new")]


def test_a_run_that_is_being_trained_is_scored_beside_it(shop: Path, net: Pooled) -> None:
    """Its report is left to the training, which holds the lock."""
    run = shop / "dcgan"
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


# -- the VAE's own -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [dict(network="mlp", likelihood="bernoulli"), dict(network="conv", base_channels=4)]
)
def test_the_quick_likelihood_is_the_plain_one(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from reverie.methods import vae as file

    torch.manual_seed(0)
    fixed = dict(size=16, channels=1, latent_dim=6, base_channels=4, likelihood="logistic")
    vae = file.VAE(file.VAE.Config(**{**fixed, **options})).eval()
    with torch.no_grad():
        for parameter in vae.decoder.parameters():
            parameter.mul_(1.5)  # so that z matters
    x = vae.observe((torch.rand(9, 1, 16, 16) * 255).round() / 127.5 - 1)
    quick = {k: vae.log_likelihood(x, k=k, at_once=at_once) for k, at_once in ((300, 600), (70, 2000))}
    monkeypatch.setattr(file, "CACHED", 1)  # in the smallest pieces
    pieces = vae.log_likelihood(x, k=300, at_once=600)
    monkeypatch.setattr(vae, "weigh", torch.no_grad()(vae.log_weights))
    for k, at_once in ((300, 600), (70, 2000)):
        assert torch.allclose(quick[k], vae.log_likelihood(x, k=k, at_once=at_once), rtol=0, atol=1e-4)
    assert torch.allclose(pieces, quick[300], rtol=0, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic"])
def test_own_scores_of_a_vae(likelihood: str, tmp_path: Path) -> None:
    vae = reverie.train(
        "vae:smoke", data="letters:64", out=str(tmp_path / "run"), likelihood=likelihood, threads=1, steps=200
    )
    data = open_data("letters:64", "test").prepare(16, 1)
    found = {score.name: score for score in vae.method_scores(data, 100, 0, k=20)}
    assert set(found) == LIKELIHOOD
    nll, bits, elbo = found["nll"], found["bits per dim"], found["elbo"]
    assert bits.value == pytest.approx(nll.value / np.log(2) / 256)
    assert -elbo.value > nll.value  # L_20 is a tighter bound
    assert nll.value + elbo.value < 20
    assert nll.value < nll.floor < 256 * np.log(256)  # better than pixels on their own, better than nothing
    assert 0 < nll.std_error < nll.value / 5
    assert found["active units"].unit == "of 8"
    assert 0 <= found["active units"].value <= 8
    again = {score.name: score for score in vae.method_scores(data, 100, 0, k=20)}
    assert found == again
    assert {s.name: s.value for s in vae.method_scores(data, 100, 1, k=20)} != {n: s.value for n, s in found.items()}
    with pytest.raises(UserError, match="k is 0"):
        list(vae.method_scores(data, 100, 0, k=0))
