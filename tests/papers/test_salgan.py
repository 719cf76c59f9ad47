"""SalGAN: its loss is the likelihood of fixations, features are kept, densities sum to 1, and what the verb writes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

import reverie
from reverie.cli.main import main
from reverie.data.images.fixations import Fixations
from reverie.media import Photo
from reverie.methods.salgan import SalGAN, peaked


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("salgan") / "run"
    reverie.train("salgan:smoke", data="gazes:64", out=out, steps=60, adv_share=0.1, lr=5e-3)
    return out


def method(**options: object) -> SalGAN:
    torch.manual_seed(0)
    return SalGAN(SalGAN.Config(**{"size": 64, "base_channels": 4, **options})).eval()


def test_densities_of_all_sizes_sum_to_one() -> None:
    salgan = method()
    for shape in ((40, 70, 3), (64, 64, 1), (9, 200, 3)):
        photo = Photo(np.random.default_rng(0).integers(0, 255, shape, np.uint8))
        density = salgan.density_of(photo)
        assert density.shape == shape[:2]
        assert density.sum() == pytest.approx(1)
        assert salgan.centre_density(*shape[:2]).sum() == pytest.approx(1)


def test_overlays_of_grey_photos_and_of_16_bits() -> None:
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65535, (40, 50, 3), np.uint16)
    for photo in (Photo(rng.integers(0, 255, (40, 50, 1), np.uint8)), Photo(deep, np.full((40, 50), 65535, np.uint16))):
        (overlay,) = method().verb("saliency")([photo])
        assert (overlay.pixels.shape, overlay.pixels.dtype) == ((40, 50, 3), np.uint8)


def test_the_loss_is_the_likelihood_of_fixations() -> None:
    salgan = method()
    batch = Fixations.open("gazes:4").prepare(64).batch(range(4))
    log_p = salgan.log_density(salgan.logits(salgan.features(batch["image"])))
    assert log_p.exp().sum((1, 2, 3)).tolist() == pytest.approx([1] * 4, abs=1e-5)
    metrics = salgan.step(batch, lambda name, loss: loss.detach())
    expected = -(batch["counts"] * log_p).sum() / 4
    assert float(metrics["loss_nll"]) == pytest.approx(float(expected.detach()), abs=1e-5)
    uniform = math.log(64) - float(metrics["loss_nll"])  # without a centre bias in the config, it is uniform
    assert float(metrics["gain_bits"]) == pytest.approx(uniform / math.log(2), abs=1e-4)


def test_frozen_features_are_computed_once_and_one_by_one() -> None:
    salgan = method()
    batch = Fixations.open("gazes:4").prepare(64).batch(range(4))
    first = salgan.features(batch["image"], batch["row"])
    assert set(salgan._features) == {0, 1, 2, 3}
    assert torch.equal(salgan.features(torch.zeros_like(batch["image"]), batch["row"]), first)
    assert torch.equal(salgan.features(batch["image"][2:3]), first[2:3])
    assert not any(name.startswith("_") for name in salgan.state_dict())


@pytest.mark.parametrize("encoder", ["finetuned", "scratch"])
def test_other_encoders_learn_too(encoder: str) -> None:
    salgan = method(encoder=encoder, loss="bce" if encoder == "scratch" else "nll")
    batch = Fixations.open("gazes:4").prepare(64).batch(range(4))
    moved: list[float] = []

    def update(name: str, loss: torch.Tensor) -> torch.Tensor:
        if name == "generator":
            weights = [p for p in salgan.encoder.parameters() if p.requires_grad]
            grads = torch.autograd.grad(loss, weights, allow_unused=True, retain_graph=True)
            moved.append(sum(float(g.abs().sum()) for g in grads if g is not None))
        return loss.detach()

    salgan.step(batch, update, adversarial=True)
    assert moved[0] > 0


def test_the_centre_bias_is_added_as_it_says() -> None:
    bias = tuple(np.random.default_rng(0).dirichlet(np.ones(1024)).tolist())
    salgan = method(centre_bias=bias)
    assert float(salgan.log_bias.exp().sum()) == pytest.approx(1, abs=1e-5)
    with torch.no_grad():
        for parameter in salgan.readout.layers.parameters():
            parameter.zero_()
    log_p = salgan.log_density(salgan.logits(salgan.features(torch.zeros(1, 3, 64, 64))))
    torch.testing.assert_close(log_p, salgan.log_bias, atol=1e-5, rtol=0)


def test_peaked_maps_have_a_largest_value_of_one() -> None:
    shares = torch.zeros(2, 1, 8, 8)
    shares[0, 0, 2, 3], shares[1, 0, 7, 7] = 1.0, 0.5
    assert peaked(shares).amax((2, 3)).flatten().tolist() == [1, 1]
    assert int(peaked(shares)[0].argmax()) == 2 * 8 + 3


def test_it_learns_where_viewers_look(run: Path) -> None:
    scores = {s.name: s for s in reverie.load(run).method_scores(Fixations.open("gazes:4", "test"), 16, 0)}
    for name in ("auc-judd", "nss", "information gain"):
        assert scores[name].value > scores[name].baseline, name


def test_the_verb_writes_overlays_maps_and_densities(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(Fixations.open("gazes:1").prepare(64).pixels(0)).resize((90, 60)).save("p.jpg")
    assert main(["saliency", str(run), "p.jpg", "--out", "overlay.png"]) == 0
    assert Photo.load("overlay.png").pixels.shape == (60, 90, 3)
    assert main(["saliency", str(run), "p.jpg", "--form", "map", "--density", "--out", "maps"]) == 0
    levels, density = Photo.load("maps/p.png").pixels, np.load("maps/p.npy", allow_pickle=False)
    assert levels.dtype == np.uint16
    assert (density.dtype, density.shape) == (np.float32, (60, 90))
    assert density.sum() == pytest.approx(1, abs=1e-4)
    assert int(levels.max()) == 65535
    np.testing.assert_allclose(levels[:, :, 0] / 65535, density / density.max(), atol=1e-4)
    assert main(["provenance", "maps/p.png", "--verify", str(run), "--inputs", "p.jpg"]) == 0
    assert main(["saliency", str(run), "p.jpg", "--form", "other", "--out", "x.png"]) == 2


def test_without_an_adversarial_loss_there_is_one_stage(tmp_path: Path) -> None:
    salgan = reverie.train("salgan:smoke", data="gazes:8", out=tmp_path / "run", adv_weight=0, steps=2)
    assert [stage.name for stage in salgan.stages()] == ["likelihood"]
    assert not hasattr(reverie.load(tmp_path / "run"), "discriminator")


def test_evaluate_scores_a_run(run: Path) -> None:
    scores = {score.name: score for score in reverie.evaluate(run, "gazes:4", n=4)}
    assert {"auc-judd", "nss", "cc", "sim", "saliency kl", "information gain", "shuffled auc"} <= scores.keys()
    assert scores["nss"].baseline is not None


def test_a_calibration_changes_eleven_numbers(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "calibrated"
    words = ["train", "salgan", "--calibrate", "--data", "gazes:16", "--steps", "12", "--out", str(out)]
    assert main(words) == 2
    assert "--from RUN --calibrate" in capsys.readouterr().err
    assert not out.exists()
    words[-1] = str(tmp_path / "other")
    assert main([*words, "--from", str(run)]) == 0
    before, after = reverie.load(run).state_dict(), reverie.load(tmp_path / "other").state_dict()
    fresh = {name: value for name, value in after.items() if name.startswith("calibration.")}
    changed = {name for name, value in before.items() if name in after and not torch.equal(value, after[name])}
    assert changed == {"readout.log_sigma", "readout.bias_weight"}
    assert sum(value.numel() for value in fresh.values()) + len(changed) == 11
    assert all(float(value.abs().max()) > 0 for value in fresh.values())
    assert not any(name.startswith("discriminator.") for name in after)


def test_a_calibration_finds_where_others_look(run: Path) -> None:
    """Of densities moved to the right, it makes the likelihood of fixations larger in a few steps."""
    before = reverie.load(run)
    salgan = SalGAN(SalGAN.Config(**{**vars(before.config), "calibrate": True}))
    salgan.load_state_dict(
        {**salgan.state_dict(), **{n: v for n, v in before.state_dict().items() if "discrim" not in n}}
    )
    batch = Fixations.open("gazes:8").prepare(64).batch(range(8))
    batch["counts"] = torch.zeros_like(batch["counts"])
    batch["counts"][..., -2] = 1 / 8
    (optimizer,) = salgan.optimizers().values()
    losses = []

    def update(_: str, loss: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    for _ in range(30):
        losses.append(float(salgan.step(batch, update)["loss_nll"]))
    assert losses[-1] < losses[0] - 0.5
    assert not salgan.readout.training


def test_a_centre_bias_as_a_picture(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    PIL.Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(tmp_path / "photo.png")
    words = ["saliency", str(run), str(tmp_path / "photo.png")]
    assert main([*words, "--form", "bias", "--out", str(tmp_path / "bias.png")]) == 0
    right = np.tile(np.linspace(0, 1, 60) ** 4 * 65535, (40, 1)).astype(np.uint16)
    PIL.Image.fromarray(right).save(tmp_path / "right.png")
    found = {}
    for name in ("bias", "right"):
        out = str(tmp_path / f"with-{name}.png")
        assert main([*words, "--density", "--bias-map", str(tmp_path / f"{name}.png"), "--out", out]) == 0
        found[name] = np.load(tmp_path / f"with-{name}.npy")
        assert found[name].sum() == pytest.approx(1, abs=1e-4)
    own = reverie.load(run).density_of(Photo.load(tmp_path / "photo.png"))
    assert np.abs(found["bias"] - own).max() < 0.2 * own.max()
    assert found["right"][:, 40:].sum() > found["bias"][:, 40:].sum() + 0.1
    PIL.Image.new("L", (9, 9), 7).save(tmp_path / "flat.png")
    capsys.readouterr()
    for name, said in (("flat", "of one grey"), ("nothing", "cannot be read")):
        assert main([*words, "--bias-map", str(tmp_path / f"{name}.png"), "--out", str(tmp_path / "x.png")]) == 2
        assert said in capsys.readouterr().err
