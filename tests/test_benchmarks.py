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
from benchmarks import enlarge, grid, layout, lecture, ledger, monitor, speed, stacked, task
from benchmarks.__main__ import main
from benchmarks.ceiling import Ceiling, calls, count
from benchmarks.claim import Claim, Experiment
from torch import nn

import reverie
from reverie.evaluation.compare import Cell, Comparison
from reverie.metrics.score import Score
from reverie.nn.text_cnn import Judge
from reverie.runs.run_folder import Run
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
    """The step of a DCGAN does less than the plain loop over the same networks: no gradients of D for G's loss."""
    row = speed.Row("dcgan:smoke", "shapes:40", dict(size=16, batch_size=4), speed.plain.gan)
    act, _ = speed.one_step(row)
    method, data, batch = speed.prepare(row)
    beside = speed.plain.gan(method, speed.items_of(data), batch)
    assert count(act) < count(lambda: next(beside))


TRANSLATORS = {
    "pix2pix": speed.Row("pix2pix:smoke", "shapes:8", dict(degradation="grey"), speed.plain.pix2pix, steps=2),
    "cyclegan": speed.Row("cyclegan:smoke", speed.worlds, {}, speed.plain.cyclegan, steps=2),
    "restoration": speed.Row("restoration:smoke", speed.photos, {}, speed.plain.restoration, steps=2),
}


@pytest.mark.parametrize("name", TRANSLATORS)
def test_plain_loops_of_translators_do_the_work_of_the_step(name: str) -> None:
    row = TRANSLATORS[name]
    act, _ = speed.one_step(row)
    method, data, batch = speed.prepare(row)
    assert row.plain is not None
    beside = row.plain(method, speed.items_of(data), batch)
    next(beside)
    before = {k: v.clone() for k, v in method.state_dict().items()}
    assert count(lambda: next(beside)) == pytest.approx(count(act), rel=0.05)
    still = {k for k, v in method.named_parameters() if torch.equal(v, before[k])}
    assert not still  # both sides learn


def test_the_published_form_of_seqgans_discriminator_is_the_same_function() -> None:
    torch.manual_seed(0)
    judge = Judge(30, 4, 7, (1, 3, 7), (5, 3, 2))
    tokens = torch.randint(30, (6, 7))
    expected = judge(tokens)
    assert torch.allclose(speed.plain.Published(judge)(tokens), expected, atol=1e-6)


def test_speed_of_methods_that_learn_from_other_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "ROWS", TRANSLATORS)
    assert main(["--only", ",".join(TRANSLATORS), "--rounds", "1", "--json"]) == 0
    for found in json.loads(capsys.readouterr().out)["rows"].values():
        assert 0 < found["ms_batch"] < found["ms"]
        assert found["times_plain"] > 0


def test_speed_as_scores_of_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    told = [
        Score.from_json(score) for score in speed.speed(rounds=1, threads=torch.get_num_threads(), seed=0)["scores"]
    ]
    assert [score.name for score in told] == [
        "steps a second, tiny", "times the plain loop, tiny", "share of the ceiling, tiny",
    ]  # fmt: skip
    assert all(score.value > 0 and score.unit in ledger.CLOCK for score in told)
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
    row = speed.Row("dcgan:smoke", "shapes:40", dict(size=16, batch_size=4), speed.plain.gan, steps=2)
    monkeypatch.setattr(speed, "ROWS", {"tiny": row})
    monkeypatch.setattr(layout, "ROWS", [row])


def test_speed_says_the_parts_of_a_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small(monkeypatch)
    assert main(["--only", "tiny", "--rounds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["rows"]["tiny"]
    assert found["ms_step"] + found["ms_batch"] < found["ms"]
    assert found["steps_per_s"] == pytest.approx(1e3 / found["ms"])
    assert found["of_ceiling"] == pytest.approx(found["gflop"] * found["steps_per_s"] / found["ceiling_gflops"])
    assert found["times_plain"] > 0


def test_profile_accounts_for_the_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small(monkeypatch)
    assert main(["profile", "tiny", "--steps", "4"]) == 0
    parts, convolutions = capsys.readouterr().out.split("each convolution")
    shares = {
        line[2:26].strip(): float(line.split("%")[0].split()[-1]) for line in parts.splitlines()[2:] if "%" in line
    }
    assert {"convolutions, backward", "convolutions, forward", "norms, forward", "Adam", "activations"} <= shares.keys()
    assert 50 < sum(shares.values()) < 150  # of a step of some milliseconds, on a machine that may be busy
    assert "(16, 8, 4, 4)" in convolutions  # weights


def test_layout_races_the_variants(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small(monkeypatch)
    assert main(["layout", "--rounds", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert len(row["ms"]) == 4
    assert min(row["ms"].values()) > 0


# -- the grid ------------------------------------------------------------------------------------------------------


def test_modes_of_known_samples() -> None:
    assert (grid.modes(grid.MEANS) == 1).all()
    assert grid.modes(np.repeat(grid.MEANS[:1], 50, 0)).tolist() == [50] + 24 * [0]
    assert grid.modes(grid.MEANS + 1).sum() == 0  # half way between
    edge = grid.MEANS[:2] + np.array([[0.149, 0], [0.151, 0]], np.float32)
    assert grid.modes(edge).tolist() == [1] + 24 * [0]  # 3 standard deviations are 0.15


def test_real_points_have_every_mode_and_98_9_percent_within_three_deviations() -> None:
    found = grid.modes(grid.draw(100_000, 1))
    assert (found > 0).all()
    assert found.sum() / 100_000 == pytest.approx(1 - np.exp(-4.5), abs=2e-3)


def test_reverse_kl() -> None:
    assert task.reverse_kl(np.full(25, 7)) == pytest.approx(0)
    assert task.reverse_kl(np.eye(25)[3]) == pytest.approx(np.log(25))
    assert task.reverse_kl(np.zeros(25)) == float("inf")


def test_reverse_kl_of_real_triples_is_k_minus_one_over_2n() -> None:
    digits = np.random.default_rng(0).integers(0, 10, (26_000, 3))
    assert task.reverse_kl(stacked.modes(digits)) == pytest.approx(999 / 52_000, rel=0.15)


def test_grid_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--out", str(tmp_path / "grid.json"), "--picture", str(tmp_path / "points.png")]
    assert (
        main(["grid", "dcgan:stable", "--seeds", "2", "--first", "5", "--steps", "3", "--batch-size", "8", *files]) == 0
    )
    result = json.loads((tmp_path / "grid.json").read_text())
    assert [run["seed"] for run in result["runs"]] == [5, 6]
    assert [score["name"] for score in result["runs"][0]["scores"]] == ["modes", "high quality", "reverse kl"]
    assert (result["config"]["loss"], result["config"]["r1_weight"]) == ("relativistic", grid.PENALTY)
    assert result["summary"]["modes"]["floor"] == 25
    assert (tmp_path / "points.png").is_file()
    assert "real data" in capsys.readouterr().out


def test_grid_makes_the_same_points_again(tmp_path: Path) -> None:
    given = dict(steps=3, batch_size=8)
    (a, other), (b,) = (grid.grid("dcgan", given, seeds, tmp_path / str(seeds))[1] for seeds in (range(2), range(1)))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, other)


def test_a_run_of_the_grid_is_a_run_folder(tmp_path: Path) -> None:
    assert main(["grid", "dcgan", *SMALL, "--runs", str(tmp_path)]) == 0
    about = json.loads((tmp_path / "seed-0" / "run.json").read_text())
    assert (about["data"]["name"], about["config"]["steps"]) == ("25 Gaussians", 3)
    assert (tmp_path / "seed-0" / "samples" / "step-000003.png").is_file()


def test_the_monitor_is_judged_by_runs_that_fail_and_runs_that_are_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(monitor, "SMALL", {**monitor.SMALL, "width": 4, "steps": 600, "batch_size": 8})
    monkeypatch.setattr(monitor, "LAST_GOOD", [monitor.Case("convolutions", "vae", "letters:96")])
    ill = [case for case in monitor.ILL if case.method == "vae"]
    unfounded = monitor.Case("well, though it is said not to be", "vae", "letters:96", {}, "posterior collapse")
    monkeypatch.setattr(monitor, "ILL", [*ill[:2], unfounded])
    assert main(["monitor", "--seeds", "1", "--out", str(tmp_path / "told.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["faults found: 2 of 3", "false alarms: 0 of 1"]
    assert [line.endswith("<- WRONG") for line in lines[2:-2]] == [False, False, True, False]
    runs = json.loads((tmp_path / "told.json").read_text())["runs"]
    assert [run["found"][0]["name"] for run in runs[:2]] == ["not a number", "posterior collapse"]
    assert runs[1]["nearest"]["active"] < 0.5 < runs[3]["nearest"]["active"]


def test_networks_of_pairs_judge_pairs() -> None:
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.generator, self.encoder, self.discriminator = nn.Identity(), nn.Identity(), nn.Identity()
            self.config, self.origin = type("Config", (), {"latent": 3}), {"method": "pairs"}

    method: Any = Pairs()
    grid.swap(method)
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
    assert main([*words, "--judge", "smoke", "--runs", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    told = {score["name"]: score for score in result["scores"]}
    assert 1 <= told["modes"]["value"] <= 40
    assert told["reverse kl"]["value"] >= 0
    assert told["modes"]["n"] == 40
    assert 0 <= result["judge"]["value"] <= 1
    again = [*words, "--judge", str(tmp_path / "judge"), "--runs", str(tmp_path / "again"), "--json"]
    assert main(again) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == result["scores"]


# -- wrong input ---------------------------------------------------------------------------------------------------


def test_enlarge_end_to_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(enlarge, "PRESET", "smoke")
    small = ["--counts", "4,9", "--new", "6", "--steps", "3", "--base-channels", "4", "--size", "16", "--seeds", "2"]
    assert main(["enlarge", "--data", "shapes:100", *small, "--out", str(tmp_path / "told.json")]) == 0
    told = json.loads((tmp_path / "told.json").read_text())
    assert [(run["seed"], run["count"]) for run in told["runs"]] == [(0, 4), (0, 9), (1, 4), (1, 9)]
    scores = {score["name"]: score for score in told["runs"][1]["scores"]}
    assert list(scores) == ["real, 9", "real and new, 9", "new, 9"]
    assert "learnt from 75 images (real and new): 9 real ones" in scores["real and new, 9"]["definition"]
    assert scores["new, 9"]["floor"] == scores["real, 9"]["value"]
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[2:]] == ["4", "9"]
    assert table[2].count("±") == 3


def test_a_run_that_is_there_is_gone_on_with(tmp_path: Path) -> None:
    data = reverie.open_data("letters:40")
    options = dict(steps=4, log_every=1, seed=3)
    whole = task.trained("vae:smoke", data, tmp_path / "a", **options)
    half = reverie.train("vae:smoke", data=data, out=tmp_path / "b", **{**options, "steps": 2})
    Run.open(tmp_path / "b").update(config={**dataclasses.asdict(half.config), "steps": 4})
    on = task.trained("vae:smoke", data, tmp_path / "b", **options)
    again = task.trained("vae:smoke", data, tmp_path / "a", **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(on.state_dict()[name], value)
        assert torch.equal(again.state_dict()[name], value)
    with pytest.raises(UserError, match="another steps, seed"):
        task.trained("vae:smoke", data, tmp_path / "a", **{**options, "steps": 5, "seed": 4})


def test_lecture_end_to_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reverie.evaluation.feature_classifier.PRESET", "smoke")
    reverie.train("classifier:smoke", data="shapes:600", out=tmp_path / "judge")
    small = [
        "--minutes",
        "0.4",
        "--base-channels",
        "4",
        "--size",
        "16",
        "-n",
        "64",
        "--features",
        str(tmp_path / "judge"),
    ]
    monkeypatch.setattr(lecture, "PLAYERS", [dataclasses.replace(p, options={"log_every": 5}) for p in lecture.PLAYERS])
    monkeypatch.setattr(lecture, "LOOK", 3)
    measured: Any = lecture.paces
    monkeypatch.setattr(lecture, "paces", lambda *told: {name: min(25, pace) for name, pace in measured(*told).items()})
    assert main(["lecture", "--data", "shapes:600", *small, "--out", str(tmp_path / "told.json")]) == 0
    told = json.loads((tmp_path / "told.json").read_text())
    scores = {score["name"]: score["value"] for score in told["scores"]}
    assert "vae_gan" in (tmp_path / "told.html").read_text()
    for player in lecture.PLAYERS:
        assert {f"sharpness, {player.name}", f"reconstruction error, {player.name}"} <= set(scores)
        assert scores[f"minutes, {player.name}"] > 0
    ours, theirs = scores["reconstruction error, vae_gan"], scores["reconstruction error, dcgan"]
    assert scores["reconstruction error, vae_gan over dcgan"] == pytest.approx(ours / theirs)
    assert scores["discriminability, cvae_gan"] >= 0
    assert "discriminability, vae" not in scores
    assert "fid, vae_gan over vae: " in capsys.readouterr().out


def test_few_images_are_varied_for_all_in_the_lecture() -> None:
    """The same for each player, by options that each of them has."""
    asked = task.options("lecture", "", lecture.OPTIONS, ["--data", "shapes", "--few", "--base-channels", "4"])[0]
    for player in lecture._able("shapes", True):
        cls, _, config, _ = task.plan(player.method, {**lecture._given(asked), **player.options})
        assert (config.flip, config.shift) == (True, 1 / 16)
        assert cls.Config.__dataclass_fields__["shift"].default == 0
    assert "vae_gan:few" in {player.method for player in lecture._able("shapes", True)}
    assert lecture._able("shapes", False) == list(lecture.PLAYERS)
    assert not {"flip", "shift"} & set(lecture._given({**asked, "few": False}))


def test_sharpness_is_held_to_the_floor(tmp_path: Path) -> None:
    """VAE/GAN at 0.9 of real images' sharpness and a VAE at 0.5: a fifth of the fault is left."""
    cell = partial(Score, "sharpness", unit="", better="near floor", definition="", reference=None, n=2, seed=0)
    row = [Cell(cell(value=value, floor=1.0)) for value in (0.5, 0.9)]
    found = Comparison(["vae", "vae_gan"], {"sharpness": row})
    assert lecture.rivalry(found, ["vae", "vae_gan"], "sharpness", "vae").value == pytest.approx(0.2)


# -- the ledger --------------------------------------------------------------------------------------------------------


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A ledger of two small experiments, in a folder of its own."""
    tiny = Experiment(
        "tiny", "A small grid", "As it comes.", "dcgan", "grid", options={"steps": 4, "batch_size": 8}, seeds=(0, 1)
    )
    later = Experiment("later", "A long run", "Not today.", "vae:mlp", data="mnist.zip")
    monkeypatch.setattr(ledger, "EXPERIMENTS", {"tiny": tiny, "later": later})
    monkeypatch.setattr(
        ledger, "CLAIMS",
        [
            Claim("tiny", "modes", "25", "a paper", "25", at_least=25),
            Claim("tiny", "high quality"),
            Claim("later", "nll", "80"),
        ],
    )  # fmt: skip
    monkeypatch.setattr(ledger, "FOLDER", tmp_path / "ledger")
    monkeypatch.setattr(ledger, "PAGE", tmp_path / "LEDGER.md")
    return tmp_path


def test_an_experiment_goes_into_the_ledger_once_and_comes_out_again(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = ["claim", "tiny", "--runs", str(book / "runs")]
    assert main(claim) == 0
    written = (book / "ledger" / "tiny.json").read_text()
    assert [run["seed"] for run in json.loads(written)["runs"]] == [0, 1]
    assert main(claim) == 0
    assert "seed 1 is in the ledger already" in capsys.readouterr().err
    for _ in range(2):  # a check trains anew, each time
        assert main([*claim, "--check", "--seeds", "1"]) == 0
        assert "NOT" not in capsys.readouterr().out
    assert (book / "ledger" / "tiny.json").read_text() == written


def test_a_check_says_what_does_not_come_out_again(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = ["claim", "tiny", "--runs", str(book / "runs"), "--seeds", "0"]
    assert main(claim) == 0
    file = book / "ledger" / "tiny.json"
    told = json.loads(file.read_text())
    for score in told["runs"][0]["scores"]:
        score["value"] += 0.5
    file.write_text(json.dumps(told))
    assert main([*claim, "--check"]) == 2
    assert "does not land where the ledger says" in capsys.readouterr().err


def test_the_page_has_a_row_for_every_claim(book: Path) -> None:
    assert main(["claim", "tiny", "--runs", str(book / "runs"), "--seeds", "0"]) == 0
    assert main(["ledger"]) == 0
    rows = [line for line in (book / "LEDGER.md").read_text().splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| score", "| modes", "| high quality", "| score", "| nll"]
    assert [row.rsplit("| ", 1)[1] for row in rows] == ["|", "not reached |", "measured |", "|", "open |"]


@pytest.mark.parametrize(
    ("value", "better", "beats", "state"),
    [
        (0.9, "higher", "floor", "reached"),
        (0.4, "higher", "floor", "not reached"),
        (0.4, "lower", "floor", "reached"),
        (0.9, "higher", "rival", "not reached"),
        (1.1, "higher", "rival", "reached"),
    ],
)
def test_a_claim_to_beat_something(value: float, better: Any, beats: str, state: str) -> None:
    """The floor is 0.5, the rival of the same run is 1."""
    like = partial(Score, unit="", definition="", reference=None, n=2, seed=0, versions={"torch": "2"})
    scores = [like("ours", value, better=better, floor=0.5), like("rival", 1.0, better=better)]
    run = {"seed": 0, "scores": [score.to_json() for score in scores]}
    assert ledger._row(Claim("tiny", "ours", beats=beats).to_json(), [run]).endswith(f"| {state} |")


def test_a_zip_that_is_not_laid_out_by_split(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        for name in ("learn/a.png", "learn/b.png", "set/x2/c_HR.png", "set/x2/c_LR.png"):
            packed.writestr(name, name)
    folder = task.unpacked(tmp_path / "all.zip", {"train": "learn/*", "test": "set/x2/*_HR.png"}, tmp_path / "out")
    found = {str(file.relative_to(folder).as_posix()) for file in folder.rglob("*.png")}
    assert found == {"train/a.png", "train/b.png", "test/c_HR.png"}
    with pytest.raises(UserError, match="nothing like"):
        task.unpacked(tmp_path / "all.zip", {"train": "none/*"}, tmp_path / "out")
    with pytest.raises(UserError, match="no zip"):
        task.unpacked(tmp_path / "no.zip", {"train": "none/*"}, tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gird"], "Did you mean 'grid'"),
        (["--only", "dcgan46"], "dcgan64"),
        (["profile", "dcgan46"], "dcgan64"),
        (["profile", "dcgan64", "--steps", "0"], "1 or more"),
        (["layout", "--rounds", "0"], "1 or more"),
        (["grid", "dgcan"], "Did you mean 'dcgan'"),
        (["grid", "dcgan:stabel"], "Did you mean 'stable'"),
        (["grid", "vae", *SMALL], "needs a generator and a discriminator"),
        (["grid", "dcgan:few", *SMALL], "--no-augment --no-flip"),
        (["grid", "dcgan:few", "--no-augment", "--no-flip", *SMALL], "--norm none"),
        (["grid", "dcgan", "--sedes", "3"], "Did you mean '--seeds'"),
        (["grid", "dcgan", "--seeds", "0"], "1 or more"),
        (["enlarge"], "needs --data"),
        (["enlarge", "--data", "shapes:40", "--counts", "4,x"], "whole numbers"),
        (["enlarge", "--data", "shapes:40", "--counts", "400"], "from 1 to 8"),
        (["enlarge", "--data", "shapes:40", "--seeds", "0"], "1 or more"),
        (["lecture"], "needs --data"),
        (["lecture", "--data", "shapes:40", "--minutes", "0"], "above 0"),
        (["stacked", "dcgan"], "needs --data"),
        (["stacked", "classifier", "--data", "letters"], "does not generate"),
        (["stacked", "dcgan", "--data", "shapes:20"], "needs ten"),
        (["stacked", "dcgan", "--data", "letters:20", "-n", "1"], "2 or more"),
    ],
)
def test_wrong_input_is_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    line = capsys.readouterr().err
    assert told in line
    assert line.count("\n") == 1
