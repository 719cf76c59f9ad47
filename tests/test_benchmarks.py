"""The benchmarks: FLOP by hand, modes of known samples, floors, and each command small, end to end."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import (
    augmentation,
    common,
    dcgan_recipes,
    grid,
    ledger,
    memory_format,
    monitor,
    reference_loops,
    speed,
    stacked,
    vae_gan_comparison,
    verb_speed,
)
from benchmarks.__main__ import main
from benchmarks.ceiling import Ceiling, calls, count
from benchmarks.experiment import Claim, Experiment
from torch import nn

import reverie
from reverie.evaluation.compare import Cell, Comparison
from reverie.methods.dcgan import DCGAN
from reverie.metrics.score import Score
from reverie.nn.text_cnn import TextCNN
from reverie.runs.run_folder import Run
from reverie.training.prepare import parse_method
from reverie.utils.errors import UserError

SMALL = ["--seeds", "1", "--steps", "3"]


# -- the work of a step ------------------------------------------------------------------------------------------------


def test_flop_of_a_convolution_and_its_backward() -> None:
    layer, x = nn.Conv2d(3, 8, 4, 2, 1), torch.randn(2, 3, 16, 16, requires_grad=True)
    by_hand = 2 * 2 * 8 * (8 * 8) * (3 * 4 * 4)  # multiply-adds twice, images, maps, places, weights
    assert count(lambda: layer(x)) == by_hand
    assert count(lambda: layer(x).sum().backward()) == 3 * by_hand  # forwards, to the input, to the weights


def test_flop_of_a_transposed_convolution_are_those_of_the_convolution_it_transposes() -> None:
    layer, x = nn.ConvTranspose2d(8, 3, 4, 2, 1), torch.randn(2, 8, 8, 8, requires_grad=True)
    by_hand = 2 * 2 * 8 * (8 * 8) * (3 * 4 * 4)
    assert count(lambda: layer(x)) == by_hand
    assert count(lambda: layer(x).sum().backward()) == 3 * by_hand


def test_flop_of_a_linear_layer() -> None:
    layer, x = nn.Linear(10, 20), torch.randn(4, 10, requires_grad=True)
    assert count(lambda: layer(x)) == 2 * 4 * 10 * 20
    assert count(lambda: layer(x).sum().backward()) == 3 * 2 * 4 * 10 * 20


def test_flop_of_a_gradient_penalty_are_counted() -> None:
    layer, x = nn.Linear(10, 20), torch.randn(4, 10, requires_grad=True)

    def penalty() -> None:
        (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        slope.square().sum().backward()

    assert count(penalty) > 3 * 2 * 4 * 10 * 20
    assert {call.operation for call in calls(penalty)} <= {"addmm", "mm"}


def test_gradients_that_nobody_wants_are_not_computed() -> None:
    """The step of a DCGAN does less than a tutorial's loop over the same networks: no gradients of D for G's loss."""
    row = speed.Row("dcgan:smoke", "shapes:40", dict(size=16, batch_size=4), reference_loops.gan)
    act, _ = speed.one_step(row)
    method, data, batch = speed.prepare(row)
    reference = reference_loops.gan(method, speed.items_of(data), batch)
    assert count(act) < count(lambda: next(reference))


TRANSLATORS = {
    "pix2pix": speed.Row("pix2pix:smoke", "shapes:8", dict(degradation="grey"), reference_loops.pix2pix, steps=2),
    "cyclegan": speed.Row("cyclegan:smoke", speed.domains, {}, reference_loops.cyclegan, steps=2),
    "restoration": speed.Row(
        "restoration:smoke", speed.photos, dict(optimizer="adam"), reference_loops.restoration, steps=2
    ),
}


@pytest.mark.parametrize("name", TRANSLATORS)
def test_reference_loops_of_translators_do_the_work_of_the_step(name: str) -> None:
    row = TRANSLATORS[name]
    act, _ = speed.one_step(row)
    method, data, batch = speed.prepare(row)
    assert row.reference is not None
    reference = row.reference(method, speed.items_of(data), batch)
    next(reference)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    assert count(lambda: next(reference)) == pytest.approx(count(act), rel=0.05)
    unchanged = {name for name, value in method.named_parameters() if torch.equal(value, before[name])}
    assert not unchanged  # both sides are trained


def test_the_authors_form_of_seqgans_discriminator_is_the_same_function() -> None:
    torch.manual_seed(0)
    discriminator = TextCNN(30, 4, 7, (1, 3, 7), (5, 3, 2))
    tokens = torch.randint(30, (6, 7))
    expected = discriminator(tokens)
    assert torch.allclose(reference_loops.AuthorsTextCNN(discriminator)(tokens), expected, atol=1e-6)


def test_speed_of_methods_that_learn_from_other_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "ROWS", TRANSLATORS)
    assert main(["--only", ",".join(TRANSLATORS), "--rounds", "1", "--json"]) == 0
    for found in json.loads(capsys.readouterr().out)["rows"].values():
        assert 0 < found["ms_batch"] < found["ms"]
        assert found["speedup"] > 0


def test_speed_as_scores_of_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    result = speed.speed(rounds=1, threads=torch.get_num_threads(), seed=0)
    scores = [Score.from_json(record) for record in result["scores"]]
    assert [score.name for score in scores] == [
        "steps per second, tiny", "speedup over the reference loop, tiny", "share of the ceiling, tiny",
    ]  # fmt: skip
    assert all(score.value > 0 and score.unit in ledger.TIMING_UNITS for score in scores)
    with pytest.raises(UserError, match="no row 'tinny'"):
        speed.speed(rounds=1, threads=1, seed=0, only=["tinny"])


def test_the_ceiling_is_the_fastest_of_the_layers() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    ceiling = Ceiling([network], lambda: network(torch.randn(2, 3, 8, 8)))
    ceiling.measure(0.001)
    name, rate = ceiling.best()
    assert rate == max(rates[0] for rates in ceiling.rates.values()) > 0
    assert sum("channels_last" in case for case in ceiling.cases) == 2  # the network's convolution and the large one
    assert name in ceiling.cases


# -- speed ---------------------------------------------------------------------------------------------------------


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    row = speed.Row("dcgan:smoke", "shapes:40", dict(size=16, batch_size=4), reference_loops.gan, steps=2)
    monkeypatch.setattr(speed, "ROWS", {"tiny": row})
    monkeypatch.setattr(memory_format, "ROWS", [row])


def test_speed_says_the_parts_of_a_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small(monkeypatch)
    assert main(["--only", "tiny", "--rounds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["rows"]["tiny"]
    assert found["ms_step"] + found["ms_batch"] < found["ms"]
    assert found["steps_per_s"] == pytest.approx(1e3 / found["ms"])
    assert found["of_ceiling"] == pytest.approx(found["gflop"] * found["steps_per_s"] / found["ceiling_gflops"])
    assert found["speedup"] > 0


def test_the_profile_covers_the_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small(monkeypatch)
    assert main(["profile_step", "tiny", "--steps", "4"]) == 0
    parts, convolutions = capsys.readouterr().out.split("each convolution")
    shares = {
        line[2:26].strip(): float(line.split("%")[0].split()[-1]) for line in parts.splitlines()[2:] if "%" in line
    }
    assert {"convolutions, backward", "convolutions, forward", "norms, forward", "Adam", "activations"} <= shares.keys()
    assert 50 < sum(shares.values()) < 150  # of a step of some milliseconds, on a machine that may be busy
    assert "(16, 8, 4, 4)" in convolutions  # weights


def test_memory_formats_are_timed_in_turns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small(monkeypatch)
    assert main(["memory_format", "--rounds", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert len(row["ms"]) == 4
    assert min(row["ms"].values()) > 0


# -- the grid ------------------------------------------------------------------------------------------------------


def test_modes_of_known_samples() -> None:
    assert (grid.mode_counts(grid.MEANS) == 1).all()
    assert grid.mode_counts(np.repeat(grid.MEANS[:1], 50, 0)).tolist() == [50] + 24 * [0]
    assert grid.mode_counts(grid.MEANS + 1).sum() == 0  # half way between
    edge = grid.MEANS[:2] + np.array([[0.149, 0], [0.151, 0]], np.float32)
    assert grid.mode_counts(edge).tolist() == [1] + 24 * [0]  # 3 standard deviations are 0.15


def test_real_points_have_every_mode_and_98_9_percent_within_three_deviations() -> None:
    found = grid.mode_counts(grid.draw(100_000, 1))
    assert (found > 0).all()
    assert found.sum() / 100_000 == pytest.approx(1 - np.exp(-4.5), abs=2e-3)


def test_reverse_kl() -> None:
    assert common.reverse_kl(np.full(25, 7)) == pytest.approx(0)
    assert common.reverse_kl(np.eye(25)[3]) == pytest.approx(np.log(25))
    assert common.reverse_kl(np.zeros(25)) == float("inf")


def test_reverse_kl_of_real_triples_is_k_minus_one_over_2n() -> None:
    digits = np.random.default_rng(0).integers(0, 10, (26_000, 3))
    assert common.reverse_kl(stacked.mode_counts(digits)) == pytest.approx(999 / 52_000, rel=0.15)


def test_grid_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--out", str(tmp_path / "grid.json"), "--image", str(tmp_path / "points.png")]
    assert (
        main(["grid", "dcgan:stable", "--seeds", "2", "--first", "5", "--steps", "3", "--batch-size", "8", *files]) == 0
    )
    result = json.loads((tmp_path / "grid.json").read_text())
    assert [run["seed"] for run in result["runs"]] == [5, 6]
    assert [score["name"] for score in result["runs"][0]["scores"]] == ["modes", "high-quality samples", "reverse kl"]
    assert (result["config"]["loss"], result["config"]["r1_weight"]) == ("relativistic", grid.R1_WEIGHT)
    assert result["summary"]["modes"]["real"] == 25
    assert (tmp_path / "points.png").is_file()
    assert "real data" in capsys.readouterr().out


def test_grid_makes_the_same_points_again(tmp_path: Path) -> None:
    given = dict(steps=3, batch_size=8)
    (a, other), (b,) = (
        grid.grid("dcgan:plain", given, seeds, tmp_path / str(seeds))[1] for seeds in (range(2), range(1))
    )
    assert np.array_equal(a, b)
    assert not np.array_equal(a, other)


def test_a_run_of_the_grid_is_a_run_folder(tmp_path: Path) -> None:
    assert main(["grid", "dcgan:plain", *SMALL, "--runs", str(tmp_path)]) == 0
    about = json.loads((tmp_path / "seed-0" / "run.json").read_text())
    assert (about["data"]["name"], about["config"]["steps"]) == ("25 Gaussians", 3)
    assert (tmp_path / "seed-0" / "samples" / "step-000003.png").is_file()


def test_the_monitor_detects_failing_runs_and_passes_healthy_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(monitor, "SMALL", {**monitor.SMALL, "base_channels": 4, "steps": 600, "batch_size": 8})
    monkeypatch.setattr(monitor, "HEALTHY", [monitor.Case("convolutions", "vae", "letters:96")])
    failing = [case for case in monitor.FAILING if case.method == "vae"]
    mislabelled = monitor.Case("healthy, though expected to fail", "vae", "letters:96", {}, "posterior collapse")
    monkeypatch.setattr(monitor, "FAILING", [*failing[:2], mislabelled])
    assert main(["monitor", "--seeds", "1", "--out", str(tmp_path / "result.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["failures detected: 2 of 3", "false alarms: 0 of 1"]
    assert [line.endswith("<- WRONG") for line in lines[2:-2]] == [False, False, True, False]
    runs = json.loads((tmp_path / "result.json").read_text())["runs"]
    assert [run["alerts"][0]["name"] for run in runs[:2]] == ["not a number", "posterior collapse"]
    assert runs[1]["nearest"]["active_units"] < 0.5 < runs[3]["nearest"]["active_units"]


def test_discriminators_of_pairs_take_pairs() -> None:
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.generator, self.encoder, self.discriminator = nn.Identity(), nn.Identity(), nn.Identity()
            self.config, self.origin = type("Config", (), {"latent_dim": 3}), {"method": "pairs"}

    method: Any = Pairs()
    grid.replace_networks(method)
    x = method.generator(torch.randn(5, 3))
    assert x.shape == (5, 2, 1, 1)
    assert method.discriminator(x, method.encoder(x)).shape == (5,)


# -- stacked digits ------------------------------------------------------------------------------------------------


def test_triples_follow_from_seed_and_index(own_cache: Path) -> None:
    digits = stacked.Digits("letters:100", "train")
    assert digits.array.shape[1:] == (32, 32, 1)
    assert set(digits.labels) == set(range(10))
    data = stacked.Stacked(digits, 50)
    assert (data.triples([7, 3])[::-1] == data.triples([3, 7])).all()
    assert (stacked.Stacked(digits, 50, seed=1).triples([3]) != data.triples([3])).any()
    image = data.batch([3])["image"]
    rows = data.triples([3])[0]
    assert torch.equal(image[0, 1], digits.batch([rows[1]])["image"][0, 0])


def test_stacked_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["stacked", "dcgan:smoke", "--data", "letters:100", "-n", "40", "--triples", "100", "--steps", "2"]
    assert main([*words, "--classifier", "smoke", "--runs", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    scores = {score["name"]: score for score in result["scores"]}
    assert 1 <= scores["modes"]["value"] <= 40
    assert scores["reverse kl"]["value"] >= 0
    assert scores["modes"]["n"] == 40
    assert 0 <= result["classifier"]["value"] <= 1
    again = [*words, "--classifier", str(tmp_path / "classifier"), "--runs", str(tmp_path / "again"), "--json"]
    assert main(again) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == result["scores"]


# -- wrong input ---------------------------------------------------------------------------------------------------


def test_augmentation_end_to_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(augmentation, "PRESET", "smoke")
    small = ["--method", "cvae_gan:smoke", "--counts", "4,9", "--per-class", "6", "--steps", "3", "--size", "16"]
    small += ["--seeds", "2"]
    assert main(["augmentation", "--data", "shapes:100", *small, "--out", str(tmp_path / "result.json")]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert [(run["seed"], run["count"]) for run in result["runs"]] == [(0, 4), (0, 9), (1, 4), (1, 9)]
    scores = {score["name"]: score for score in result["runs"][1]["scores"]}
    assert list(scores) == ["real, 9", "real and generated, 9", "generated, 9"]
    first = result["runs"][0]["scores"][1]["definition"]
    assert "trained on 60 images (real and generated): 4 real ones" in first  # 20 of all classes, repeated, as 30
    assert "trained on 75 images (real and generated): 9 real ones" in scores["real and generated, 9"]["definition"]
    assert scores["generated, 9"]["baseline"] == scores["real, 9"]["value"]
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[2:]] == ["4", "9"]
    assert table[2].count("±") == 3


def test_a_run_that_is_there_is_resumed(tmp_path: Path) -> None:
    data = reverie.open_data("letters:40")
    options = dict(steps=4, log_every=1, seed=3)
    whole = common.train_or_resume("vae:smoke", data, tmp_path / "a", **options)
    half = reverie.train("vae:smoke", data=data, out=tmp_path / "b", **{**options, "steps": 2})
    Run.open(tmp_path / "b").update(config={**dataclasses.asdict(half.config), "steps": 4})
    resumed = common.train_or_resume("vae:smoke", data, tmp_path / "b", **options)
    again = common.train_or_resume("vae:smoke", data, tmp_path / "a", **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)
        assert torch.equal(again.state_dict()[name], value)
    with pytest.raises(UserError, match="another steps, seed"):
        common.train_or_resume("vae:smoke", data, tmp_path / "a", **{**options, "steps": 5, "seed": 4})


def test_vae_gan_comparison_end_to_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reverie.evaluation.feature_classifier.PRESET", "smoke")
    reverie.train("classifier:smoke", data="shapes:240", out=tmp_path / "classifier")
    small = ["--minutes", "0.4", "--size", "16", "-n", "64"]
    small += ["--features", str(tmp_path / "classifier")]
    few = {"log_every": 5, "base_channels": 4}
    shared = vae_gan_comparison.train_options
    monkeypatch.setattr(vae_gan_comparison, "train_options", lambda args: {**shared(args), **few})
    monkeypatch.setattr(vae_gan_comparison, "TIMING_TURNS", 1)
    monkeypatch.setattr(vae_gan_comparison, "TIMING_STEPS", 3)
    monkeypatch.setattr("reverie.evaluation.evaluate_images.RECONSTRUCTED", 8)
    measure: Any = vae_gan_comparison.measure_paces
    monkeypatch.setattr(
        vae_gan_comparison,
        "measure_paces",
        lambda *args: {name: min(25, pace) for name, pace in measure(*args).items()},
    )
    assert main(["vae_gan_comparison", "--data", "shapes:240", *small, "--out", str(tmp_path / "result.json")]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    scores = {score["name"]: score["value"] for score in result["scores"]}
    assert "vae_gan" in (tmp_path / "result.html").read_text()
    for name in vae_gan_comparison.METHODS:
        assert {f"sharpness, {name}", f"mse, {name}"} <= set(scores)
        assert scores[f"minutes, {name}"] > 0
    ours, theirs = scores["mse, vae_gan"], scores["mse, dcgan"]
    assert scores["mse, vae_gan over dcgan"] == pytest.approx(ours / theirs)
    assert scores["gan-test accuracy, cvae_gan"] >= 0
    assert "gan-test accuracy, vae" not in scores
    assert "fid, vae_gan over vae: " in capsys.readouterr().out


def test_all_in_the_comparison_flip_images_or_none() -> None:
    """The same for each method, by an option that each of them has."""
    for words in (["--hflip"], []):
        args = common.parse_options("vae_gan_comparison", "", vae_gan_comparison.OPTIONS, ["--data", "shapes", *words])
        for name in vae_gan_comparison.methods_for("shapes"):
            config = parse_method(f"{name}:laptop", vae_gan_comparison.train_options(args[0]))[2]
            assert config.hflip == bool(words)


def test_sharpness_is_compared_with_the_floor(tmp_path: Path) -> None:
    """VAE/GAN at 0.9 of real images' sharpness and a VAE at 0.5: a fifth of the distance is left."""
    cell = partial(Score, "sharpness", unit="", better="match", definition="", reference=None, n=2, seed=0)
    row = [Cell(cell(value=value, real=1.0)) for value in (0.5, 0.9)]
    comparison = Comparison(["vae", "vae_gan"], {"sharpness": row})
    ratio = vae_gan_comparison.ratio_to(comparison, ["vae", "vae_gan"], "sharpness", "vae")
    assert ratio.value == pytest.approx(0.2)


@pytest.mark.slow
def test_dcgan_recipes_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dcgan_recipes", "--data", "shapes:80", "--size", "16", "--cpu-seconds", "0.5", "-n", "64"]
    words += ["--recipes", "plain, both", "--runs", str(tmp_path), "--out", str(tmp_path / "result.json")]
    assert main(words) == 0
    assert "fid (packaged network), both: " in capsys.readouterr().out
    scores = {score["name"]: score for score in json.loads((tmp_path / "result.json").read_text())["scores"]}
    for name in ("plain", "both"):
        assert scores[f"cpu seconds, {name}"]["value"] >= 0.5
        assert scores[f"steps, {name}"]["value"] % 5 == 0
        assert scores[f"chroma spread, {name}"]["real"] == scores["chroma spread, both"]["real"] > 0
        assert (tmp_path / f"{name}.png").is_file()
    held = {name: Run.open(tmp_path / name).about["config"] for name in ("plain", "both")}
    assert (held["plain"]["discriminator"], held["both"]["discriminator"]) == ("pixels", "both")
    preset = {"plain": DCGAN.presets["plain"], "both": DCGAN.presets["laptop"]}  # what the ledger says they are
    for name, options in preset.items():
        assert all(held[name][k] == v for k, v in options.items() if k not in ("steps", "batch_size", "discriminator"))


def test_chroma_spread() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), np.uint8)
    assert dcgan_recipes.spread_of(grey) == dcgan_recipes.spread_of(grey.repeat(3, 3)) == 0
    red_and_green = np.zeros((2, 4, 4, 3), np.uint8)
    red_and_green[0, ..., 0] = red_and_green[1, ..., 1] = 255
    assert dcgan_recipes.spread_of(red_and_green) == pytest.approx(0.5**0.5)  # sd .5 of two channels


# -- the ledger --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A ledger of two small experiments, in a folder of its own."""
    tiny = Experiment(
        "tiny",
        "A small grid",
        "As it comes.",
        "dcgan:plain",
        "grid",
        options={"steps": 4, "batch_size": 8},
        seeds=(0, 1),
    )
    later = Experiment("later", "A long run", "Not today.", "vae:mlp", data="mnist.zip")
    monkeypatch.setattr(ledger, "EXPERIMENTS", {"tiny": tiny, "later": later})
    monkeypatch.setattr(
        ledger, "CLAIMS",
        [
            Claim("tiny", "modes", "25", "a paper", "25", at_least=25),
            Claim("tiny", "high-quality samples"),
            Claim("later", "nll", "80"),
        ],
    )  # fmt: skip
    monkeypatch.setattr(ledger, "FOLDER", tmp_path / "ledger")
    monkeypatch.setattr(ledger, "PAGE", tmp_path / "LEDGER.md")
    return tmp_path


def test_an_experiment_is_recorded_once_and_can_be_checked(
    small_ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["experiment", "tiny", "--runs", str(small_ledger / "runs")]
    assert main(command) == 0
    written = (small_ledger / "ledger" / "tiny.json").read_text()
    assert [run["seed"] for run in json.loads(written)["runs"]] == [0, 1]
    assert main(command) == 0
    assert "seed 1 is in the ledger already" in capsys.readouterr().err
    for _ in range(2):  # a check trains again each time
        assert main([*command, "--check", "--seeds", "1"]) == 0
        assert "NOT" not in capsys.readouterr().out
    assert (small_ledger / "ledger" / "tiny.json").read_text() == written


def test_a_check_names_the_scores_that_disagree(small_ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["experiment", "tiny", "--runs", str(small_ledger / "runs"), "--seeds", "0"]
    assert main(command) == 0
    file = small_ledger / "ledger" / "tiny.json"
    record = json.loads(file.read_text())
    for score in record["runs"][0]["scores"]:
        score["value"] += 0.5
    file.write_text(json.dumps(record))
    assert main([*command, "--check"]) == 2
    assert "does not agree with the ledger" in capsys.readouterr().err


def test_the_page_has_a_row_for_every_claim(small_ledger: Path) -> None:
    assert main(["experiment", "tiny", "--runs", str(small_ledger / "runs"), "--seeds", "0"]) == 0
    assert main(["ledger"]) == 0
    rows = [line for line in (small_ledger / "LEDGER.md").read_text().splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| score", "| modes", "| high-quality samples", "| score", "| nll"]
    assert [row.rsplit("| ", 1)[1] for row in rows] == ["|", "not reached |", "measured |", "|", "open |"]


@pytest.mark.parametrize(
    ("value", "better", "beats", "state"),
    [
        (0.9, "higher", "baseline", "reached"),
        (0.4, "higher", "baseline", "not reached"),
        (0.4, "lower", "baseline", "reached"),
        (0.9, "higher", "other", "not reached"),
        (1.1, "higher", "other", "reached"),
    ],
)
def test_a_claim_to_beat_something(value: float, better: Any, beats: str, state: str) -> None:
    """The baseline is 0.5, the other score of the same run is 1."""
    like = partial(Score, unit="", definition="", reference=None, n=2, seed=0, versions={"torch": "2"})
    scores = [like("ours", value, better=better, baseline=0.5), like("other", 1.0, better=better)]
    run = {"seed": 0, "scores": [score.to_json() for score in scores]}
    assert ledger._row(Claim("tiny", "ours", beats=beats).to_json(), [run]).endswith(f"| {state} |")


def test_a_zip_that_is_not_laid_out_by_split(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        for name in ("learn/a.png", "learn/b.png", "set/x2/c_HR.png", "set/x2/c_LR.png"):
            packed.writestr(name, name)
    folder = common.unpack(tmp_path / "all.zip", {"train": "learn/*", "test": "set/x2/*_HR.png"}, tmp_path / "out")
    found = {str(file.relative_to(folder).as_posix()) for file in folder.rglob("*.png")}
    assert found == {"train/a.png", "train/b.png", "test/c_HR.png"}
    with pytest.raises(UserError, match="nothing like"):
        common.unpack(tmp_path / "all.zip", {"train": "none/*"}, tmp_path / "out")
    with pytest.raises(UserError, match="no zip"):
        common.unpack(tmp_path / "no.zip", {"train": "none/*"}, tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gird"], "Did you mean 'grid'"),
        (["--only", "dcgan46"], "dcgan64"),
        (["profile_step", "dcgan46"], "dcgan64"),
        (["profile_step", "dcgan64", "--steps", "0"], "1 or more"),
        (["memory_format", "--rounds", "0"], "1 or more"),
        (["grid", "dgcan"], "Did you mean 'dcgan'"),
        (["grid", "dcgan:stabel"], "Did you mean 'stable'"),
        (["grid", "vae", *SMALL], "needs a generator and a discriminator"),
        (["grid", "dcgan:low_data", *SMALL], "--no-diff-augment --no-hflip"),
        (["grid", "dcgan:low_data", "--no-diff-augment", "--no-hflip", *SMALL], "--norm none"),
        (["grid", "dcgan", "--sedes", "3"], "Did you mean '--seeds'"),
        (["grid", "dcgan", "--seeds", "0"], "1 or more"),
        (
            ["grid", "dcgan", "--steps", "1"],
            "points are no images for an ImageNet network: give --discriminator pixels",
        ),
        (["augmentation"], "needs --data"),
        (["augmentation", "--data", "shapes:40", "--counts", "4,x"], "whole numbers"),
        (["augmentation", "--data", "shapes:40", "--counts", "400"], "from 1 to 8"),
        (["augmentation", "--data", "shapes:40", "--seeds", "0"], "1 or more"),
        (["dcgan_recipes"], "needs --data"),
        (["dcgan_recipes", "--data", "shapes:40", "--cpu-seconds", "0"], "above 0"),
        (["dcgan_recipes", "--data", "shapes:40", "--recipes", "vae_gan:laptob"], "Did you mean 'laptop'?"),
        (
            ["dcgan_recipes", "--data", "shapes:40", "--recipes", "plain,bohts"],
            "no recipe 'bohts'. Did you mean 'both'",
        ),
        (["vae_gan_comparison"], "needs --data"),
        (["vae_gan_comparison", "--data", "shapes:40", "--minutes", "0"], "above 0"),
        (["stacked", "dcgan"], "needs --data"),
        (["stacked", "classifier", "--data", "letters"], "does not generate"),
        (["stacked", "dcgan", "--data", "shapes:20"], "needs ten"),
        (["stacked", "dcgan", "--data", "letters:20", "-n", "1"], "2 or more"),
    ],
)
def test_wrong_input_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1


def test_speed_of_verbs() -> None:
    options = {option.name: option.default for option in verb_speed.OPTIONS}
    result = verb_speed.verb_speed(
        {**options, "size": 48, "dream_size": 64, "steps": 2, "rounds": 1, "threads": torch.get_num_threads()}
    )
    found = {score["name"]: score["value"] for score in result["scores"]}
    assert len(found) == 8
    assert min(found.values()) > 0
    per_step = [found[f"activation gain per step, {who}"] for who in ("dream", "plain loop")]
    assert 0.2 < per_step[0] / per_step[1] < 5, "the same objective, in about the same steps"
