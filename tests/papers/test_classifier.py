"""What is particular to the classifier: its network, its scores, and how predictions are given."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

import reverie
from reverie import open_data
from reverie.cli.main import main
from reverie.core.lr_schedules import cosine_with_warmup, resnet_steps
from reverie.core.options import build
from reverie.data.images.dataset import Images
from reverie.media import Image, read_record
from reverie.methods.classifier import Classifier, accuracy_scores, captioned
from reverie.transforms.augment import random_shift
from reverie.utils.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learnt five letters drawn as files: a folder for each, two thirds of them to train on."""
    place = tmp_path_factory.mktemp("classifier")
    data = open_data("letters:900").prepare(16)
    for i in range(900):
        label = data.items[i].label
        if label < 5:
            part = "test" if i % 3 == 0 else "train"
            path = place / "data" / part / data.classes[label] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(data.pixels(i)[:, :, 0]).save(path)
    reverie.train("classifier:smoke", data=place / "data", out=place / "run", steps=60, threads=1)
    return place / "run"


@pytest.fixture
def model(run: Path) -> Classifier:
    method = reverie.load(run)
    assert isinstance(method, Classifier)
    return method


def images(run: Path) -> list[str]:
    return [str(path) for path in sorted((run.parent / "data" / "test").rglob("*.png"))]


def network(**options: object) -> Classifier:
    torch.manual_seed(0)
    given = {"size": 16, "channels": 1, "base_channels": 4, "class_names": ("a", "b", "c"), **options}
    return Classifier(build(Classifier.Config, given))


# -- the network -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("blocks", "millions"), [(3, 0.27), (5, 0.46), (9, 0.85)])
def test_the_paper_s_networks_are_as_large_as_it_says(blocks: int, millions: float) -> None:
    """Table 6: ResNet-20, 32 and 56."""
    model = network(size=32, channels=3, base_channels=16, blocks=blocks, stride=1, class_names=tuple("0123456789"))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.006)
    layers = [p for p in model.parameters() if p.ndim > 1]
    assert len(layers) == 6 * blocks + 2


def test_the_paper_s_maps_halve_twice() -> None:
    sides: list[int] = []
    model = network(size=32, stride=1, base_channels=4)
    for layer in list(model.trunk)[3:6]:
        layer.register_forward_hook(lambda layer, given, x: sides.append(x.shape[-1]))
    model.features(torch.zeros(1, 1, 32, 32))
    assert sides == [32, 16, 8]


@pytest.mark.parametrize("size", [8, 11, 28, 33])
@pytest.mark.parametrize("channels", [1, 3])
def test_features_of_any_size_do_not_depend_on_neighbours(size: int, channels: int) -> None:
    model = network(size=size, channels=channels).eval()
    x = torch.rand(20, channels, size, size) * 2 - 1
    with torch.no_grad():
        whole = model.features(x)
        alone = torch.cat([model.features(row.unsqueeze(0)) for row in x])
    assert whole.shape == (20, 16)
    assert whole.min() >= 0
    assert (whole - alone).abs().max() <= 1e-5
    assert torch.allclose(model.head(whole).log_softmax(1), model.log_probabilities(x), atol=1e-5)


def test_probabilities_do_not_train() -> None:
    model = network().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    p = model.log_probabilities(torch.rand(3, 1, 16, 16)).exp()
    assert torch.allclose(p.sum(1), torch.ones(3))
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_weight_decay_is_for_weights_alone() -> None:
    (groups,) = (o.param_groups for o in network(weight_decay=0.1).optimizers().values())
    assert [(group["weight_decay"], {p.ndim for p in group["params"]}) for group in groups] == [
        (0.1, {2, 4}),
        (0.0, {1}),
    ]


def test_schedules() -> None:
    assert [resnet_steps(k / 64) for k in (0, 31, 32, 47, 48, 63)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    assert cosine_with_warmup(0) == 0.05
    assert cosine_with_warmup(0.1) == 1
    assert cosine_with_warmup(0.55) == pytest.approx(0.5)
    assert 0 < cosine_with_warmup(0.9999) < 1e-6
    factors = [cosine_with_warmup(k / 100) for k in range(100)]
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_shifts_move_whole_images_and_repeat_their_edge() -> None:
    torch.manual_seed(0)
    x = torch.arange(36.0).view(1, 1, 6, 6).expand(500, 2, 6, 6)
    known = {}
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            rows, columns = (np.clip(np.arange(6) + d, 0, 5) for d in (dy, dx))
            known[tuple(x[0, 0][rows][:, columns].flatten().tolist())] = (dy, dx)
    moved = random_shift(x, 2)
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert len({known[tuple(row)] for row in moved[:, 0].flatten(1).tolist()}) == 25
    assert random_shift(x, 0) is x


# -- scores ------------------------------------------------------------------------------------------------------------


def test_it_learns(run: Path, model: Classifier) -> None:
    data = open_data(run.parent / "data", split="test").prepare(**Classifier.data_args(model.config))
    accuracy, worst, log_loss = model.method_scores(data, 1000, 0)
    assert accuracy.value > 0.8
    assert accuracy.baseline is not None
    assert accuracy.baseline < 0.25
    assert log_loss.baseline is not None
    assert log_loss.value < log_loss.baseline
    assert worst.value <= accuracy.value
    assert {s.group for s in (accuracy, worst, log_loss)} == {"accuracy"}
    assert (accuracy.n, accuracy.reference.n, accuracy.reference.split) == (len(data), len(data), "test")
    assert [s.to_json() for s in model.method_scores(data, 1000, 0)] == [
        s.to_json() for s in (accuracy, worst, log_loss)
    ]
    losses = [json.loads(line)["metrics"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert losses[-1]["accuracy"] > losses[0]["accuracy"] + 0.3
    assert losses[-1]["loss"] < losses[0]["loss"]


def test_scores_are_what_they_output() -> None:
    data = open_data("letters:4").prepare(16)
    p = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.1, 0.8, 0.1]]).double()
    accuracy, worst, log_loss = accuracy_scores(p.log(), torch.tensor([0, 1, 1, 1]), data, 7)
    assert (accuracy.value, accuracy.baseline, worst.value, worst.baseline) == (0.75, 0.75, pytest.approx(2 / 3), 0)
    assert accuracy.std_error == pytest.approx(0.5 / math.sqrt(4))  # of 1, 0, 1, 1
    assert log_loss.value == pytest.approx(-(2 * math.log(0.5) + math.log(0.25) + math.log(0.8)) / 4)
    assert log_loss.baseline == pytest.approx(-(math.log(0.25) + 3 * math.log(0.75)) / 4)
    assert (accuracy.better, log_loss.better, log_loss.unit) == ("higher", "lower", "nats")
    assert {s.seed for s in (accuracy, worst, log_loss)} == {7}
    assert len({s.hash for s in (accuracy, worst, log_loss)}) == 3


def test_fewer_images_are_drawn_from_all_classes(run: Path, model: Classifier) -> None:
    data = open_data(run.parent / "data", split="test").prepare(**Classifier.data_args(model.config))
    accuracy = next(iter(model.method_scores(data, 20, 0)))
    assert accuracy.n == 20
    assert accuracy.baseline is not None
    assert accuracy.baseline < 0.5, "a folder lists class after class: its first images are of one"


def test_classes_are_matched_by_name(run: Path, model: Classifier, tmp_path: Path) -> None:
    for name in "CBA":  # a set without D and E; labels by another number
        place = tmp_path / "some" / name
        place.mkdir(parents=True)
        for path in (run.parent / "data" / "test" / name).glob("*.png"):
            (place / path.name).write_bytes(path.read_bytes())
    (tmp_path / "some" / "A").rename(tmp_path / "some" / "E2")
    strange = Images.open(tmp_path / "some").prepare(16)
    with pytest.raises(UserError, match="class 'E2', which the classifier did not learn; it knows A, B, C, D, E"):
        next(model.method_scores(strange, 10, 0))
    (tmp_path / "some" / "E2").rename(tmp_path / "some" / "A")
    (tmp_path / "some" / "C").rename(tmp_path / "some" / "Z")
    (tmp_path / "some" / "Z").rename(tmp_path / "C")
    known = Images.open(tmp_path / "some").prepare(16)
    assert known.classes == ["A", "B"]
    assert next(model.method_scores(known, 1000, 0)).value > 0.7
    assert model.reference_labels(known).tolist() == [0, 1]
    backwards = network(class_names=("C", "B", "A"))
    assert backwards.reference_labels(known).tolist() == [2, 1]
    unlabelled = open_data(tmp_path / "some" / "A").prepare(16)
    with pytest.raises(UserError, match="no labels"):
        next(model.method_scores(unlabelled, 10, 0))


# -- predictions -------------------------------------------------------------------------------------------------------


def test_a_prediction_is_in_the_record_and_the_image_is_not_called_synthetic(
    run: Path, model: Classifier, tmp_path: Path
) -> None:
    given = [Image.load(path) for path in images(run)]
    made = model.classify(given)
    correct = [
        image.record is not None and image.record["prediction"]["class"] == Path(path).parent.name
        for image, path in zip(made, images(run), strict=True)
    ]
    assert np.mean(correct) > 0.8
    assert len({image.pixels.shape for image in made}) == 1
    record = read_record(made[3].save(tmp_path / "a.png"))
    assert record["synthetic"] is False
    assert record["inputs"] == [{"name": given[3].name, "digest": given[3].digest}]
    assert 0.2 <= record["prediction"]["probability"] <= 1
    assert b"trainedAlgorithmicMedia" not in (tmp_path / "a.png").read_bytes()
    alone = model.classify(given[17:18])[0]
    assert np.array_equal(alone.pixels, made[17].pixels)


def test_the_command_line_prints_predictions(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    some = images(run)[:3]
    asked = shlex.join(["classify", str(run), *some])

    def output(words: str) -> str:
        capsys.readouterr()
        assert main(shlex.split(words)) == 0
        return capsys.readouterr().out

    lines = [line.split("  ") for line in output(asked).splitlines()]
    assert [line[0] for line in lines] == [Path(path).name for path in some]
    assert {line[1] for line in lines} <= set("ABCDE")
    assert list(tmp_path.iterdir()) == [], "nothing is written where no --out is named"

    printed = json.loads(output(f"{asked} --json"))
    assert printed["files"] == []
    assert [[t["of"], t["class"], str(t["probability"])] for t in printed["predictions"]] == lines

    assert [line.split("  ") for line in output(f"{asked} --out all.png").splitlines()[:3]] == lines
    sheet = read_record("all.png")
    assert [t["class"] for t in sheet["predictions"]] == [line[1] for line in lines]
    assert len(json.loads(output(f"{asked} --out made --json"))["files"]) == 3
    place = f"made/{Path(some[0]).stem}.png"
    assert output(f"provenance {place}").startswith("not synthetic")
    assert "regenerated, equal to the pixel" in output(f"provenance {place} --verify {run} --inputs {some[0]}")
    assert "regenerated, equal to the pixel" in output(f"provenance all.png --verify {run} --inputs {' '.join(some)}")


def test_samples_show_correct_and_wrong_predictions() -> None:
    from reverie.methods.classifier import GREEN, RED

    model = network()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))  # all are b
    grid = model.sample_grids({"image": torch.zeros(2, 1, 16, 16), "label": torch.tensor([1, 2])})[""].pixels
    cell = (grid.shape[1] - 2) // 8
    first, second = grid[:, :cell], grid[:, cell : 2 * cell]
    for part, shown, absent in ((first, GREEN, RED), (second, RED, GREEN)):
        assert (part == np.array(shown)).all(2).any()
        assert not (part == np.array(absent)).all(2).any()


@pytest.mark.parametrize("text", ["99% chat noir", "99% Ünïcode", "99% 猫", "99% " + "long" * 100, ""])
def test_captions_take_any_name(text: str) -> None:
    ground = Image(np.full((32, 32, 1), 7, np.uint8))
    made = captioned(ground, [(text, (255, 0, 0)), ("", (0, 0, 0))]).pixels
    assert made.shape == (96 + 27, 96, 3)
    assert (made[:96] == 7).all()
    assert (made[96:, :, 0] > 0).any() == bool(text)
    assert not made[96:, :, 1:].any()


def test_captions_in_other_scripts_are_letters(tmp_path: Path) -> None:
    """Each name has its own picture; no font of the machine has a private character, which is named."""
    ground = Image(np.zeros((32, 32, 1), np.uint8))
    names = ["кот", "кит", "γάτα", "\ue0ff", "U+E0FF"]
    bands = {name: captioned(ground, [(name, (255, 255, 255))]).pixels[96:] for name in names}
    columns = {name: int((band.max((0, 2)) > 60).nonzero()[0].max()) for name, band in bands.items()}
    assert len({band.tobytes() for band in bands.values()}) == len(names)
    assert 12 < columns["кот"] < 30
    assert columns["\ue0ff"] > columns["кот"]


def test_one_class_is_not_enough() -> None:
    with pytest.raises(UserError, match=r"one class, dog; .* 2 or more"):
        network(class_names=("dog",))


def test_what_the_data_decides_is_in_the_config(model: Classifier) -> None:
    assert model.config.class_names == ("A", "B", "C", "D", "E")
    assert (model.config.size, model.config.channels) == (16, 1)
    facts = {"native": 300, "channels": 3, "classes": 2, "class_names": ("x", "y")}
    resolved = Classifier.resolve_config(Classifier.Config(), facts)
    assert (resolved.size, resolved.channels, resolved.class_names) == (64, 3, ("x", "y"))
    assert Classifier.resolve_config(Classifier.Config(size=20), facts).size == 20
    with pytest.raises(UserError, match="names are x, y in the data"):
        Classifier.resolve_config(Classifier.Config(class_names=("x", "z")), facts)
