"""Scores of class-conditional generators and of codes, in cases whose value is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import reverie
from reverie import UserError, open_data
from reverie.data.images.in_memory import InMemoryImages
from reverie.evaluation import class_conditional as module
from reverie.evaluation.evaluate import evaluate
from reverie.evaluation.latent_knn import latent_knn_score
from reverie.evaluation.reference_sets import open_reference_sets
from reverie.media import Code, Image
from reverie.metrics.distribution import mean_pairwise_distance

DATA = "letters:400"


class RealImages:
    """In place of a generator: real images, whose classes take turns."""

    def __init__(self, rows: np.ndarray, wrong: bool = False) -> None:
        self.data, self.rows, self.wrong = open_data(DATA).prepare(16, 1), rows, wrong

    def generate(self, n: int, seed: int) -> np.ndarray:
        count = len(self.data.classes)
        turns = [(i + self.wrong) % count for i in range(n)]
        places = [self.rows[self.data.labels[self.rows] == k] for k in range(count)]
        return np.stack([self.data.array[places[k][i // count % len(places[k])]] for i, k in enumerate(turns)])


class MemorisingClassifier:
    """In place of a classifier: knows the labels of all images of the data."""

    origin = {"method": "memorising", "run": "0" * 16}
    device = torch.device("cpu")

    def __init__(self, *known: Any) -> None:
        self.config = SimpleNamespace(size=16, channels=1)
        self.labels = {data.array[i].tobytes(): data.labels[i] for data in known for i in range(len(data))}

    def log_probabilities(self, x: torch.Tensor) -> torch.Tensor:
        pixels = ((x + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        found = torch.tensor([self.labels[np.ascontiguousarray(p).tobytes()] for p in pixels])
        return torch.nn.functional.one_hot(found, 26).float()


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> MemorisingClassifier:
    known = MemorisingClassifier(*(open_data(DATA, split).prepare(16, 1) for split in ("train", "test")))
    monkeypatch.setattr(module, "train_feature_classifier", lambda data, device: known)
    return known


@pytest.mark.parametrize("wrong", [False, True])
def test_gan_test_accuracy_of_real_images(classifier: MemorisingClassifier, wrong: bool) -> None:
    sets = open_reference_sets(DATA, None, {"size": 16, "channels": 1})
    generator: Any = RealImages(np.arange(400), wrong)
    (score,) = module.class_scores(generator.generate(124, 0), np.arange(124) % 26, None, sets, 0)
    assert (score.name, score.value, score.real) == ("gan-test accuracy", 0.0 if wrong else 1.0, 1.0)
    assert score.better == "higher"


def test_with_one_split_the_classifier_is_not_trained_on_the_reference(
    classifier: MemorisingClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, pixels in enumerate(open_data(DATA).prepare(16, 1).array[:40]):
        Image(pixels).save(tmp_path / "d" / "ab"[i % 2] / f"{i}.png")
    sets = open_reference_sets(tmp_path / "d", None, {"size": 16, "channels": 1})
    training_data: list[Any] = []
    monkeypatch.setattr(module, "train_feature_classifier", lambda data, device: training_data.append(data))
    module.classifier_of_real_images(sets)
    seen = {pixels.tobytes() for pixels in training_data[0].array}
    assert len(training_data[0]) == 20
    assert not seen & {pixels.tobytes() for pixels in sets.data.array[sets.reference]}


def test_a_class_of_equal_images_has_no_diversity(classifier: MemorisingClassifier) -> None:
    sets = open_reference_sets("shapes:400", None, {"size": 16, "channels": 3})
    count = len(sets.train.classes)
    real = torch.randn(len(sets.reference), 4)
    real[:, 0] += torch.from_numpy(sets.data.labels[sets.reference]) * 10
    labels = np.arange(40 * count) % count

    def features(fake: torch.Tensor) -> Any:
        others = torch.randn(len(sets.others[: 40 * count]), 4)
        others[:, 0] += torch.from_numpy(sets.others_data.labels[sets.others[: 40 * count]]) * 10
        return SimpleNamespace(
            reference=real, fake=fake, others=others, net=SimpleNamespace(definition="four features")
        )

    classes_of = torch.from_numpy(labels).float()
    alike = torch.zeros(len(labels), 4)
    alike[:, 0] = classes_of * 10
    varied = alike + torch.randn(len(labels), 4)
    classifier.labels = dict.fromkeys([np.zeros((16, 16, 3), np.uint8).tobytes()], 0)
    for pixels in sets.data.array:
        classifier.labels[np.ascontiguousarray(pixels).tobytes()] = 0
    blank = np.zeros((len(labels), 16, 16, 3), np.uint8)
    scores = [list(module.class_scores(blank, labels, features(fake), sets, 0)) for fake in (alike, varied)]
    (_, none, few), (_, some, many) = scores
    assert (none.name, few.name) == ("intra-class diversity", "per-class coverage")
    assert none.value == 0
    assert some.value == pytest.approx(1, abs=0.1)
    assert some.real == pytest.approx(1, abs=0.1)
    assert many.value > 0.8 > few.value
    assert many.value == pytest.approx(many.real, abs=0.1)


def test_mean_pairwise_distance() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    assert mean_pairwise_distance(x) == pytest.approx(10 / 3)


# -- GAN-train ---------------------------------------------------------------------------------------------------------


def test_a_classifier_learns_from_images_in_memory_as_from_a_folder(tmp_path: Path) -> None:
    data = open_data(DATA).prepare(16, 1)
    held = InMemoryImages(np.array(data.array), data.labels, data.classes, "copies")
    options = dict(seed=3, threads=1)
    a = reverie.train("classifier:smoke", data=held, out=tmp_path / "a", **options)
    b = reverie.train("classifier:smoke", data=DATA, out=tmp_path / "b", **options)
    for (key, x), (_, y) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert torch.equal(x, y), key
    with pytest.raises(UserError, match="do not fit"):
        held.prepare(20, 1)


def test_gan_train_accuracy_is_of_class_conditional_methods_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reverie.evaluation.feature_classifier.PRESET", "smoke")
    for method in ("cvae_gan", "dcgan"):
        reverie.train(f"{method}:smoke", data=DATA, out=tmp_path / method, threads=1)
    found = evaluate(tmp_path / "cvae_gan", DATA, n=64, gan_train=True, full=True)
    assert found["gan-train accuracy"].n == 400
    assert "trained on generated images alone" in found["gan-train accuracy"].definition
    assert found["gan-test accuracy"].n == 64
    assert "gan_train=True" in found.command
    skipped = evaluate(tmp_path / "dcgan", DATA, n=64, gan_train=True).skipped
    assert [line["why"] for line in skipped if line["score"] == "gan-train accuracy"] == [
        "the method does not generate images of a given class"
    ]


# -- codes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("informative", [True, False])
def test_1_nn_accuracy_of_codes_with_and_without_the_class(informative: bool) -> None:
    sets = open_reference_sets(DATA, None, {"size": 16, "channels": 1})
    known = {p.tobytes(): k for d in (sets.train, sets.data) for p, k in zip(d.array, d.labels, strict=True)}
    draws = np.random.default_rng(0)

    class Encoder:
        reverse = False

        def verb(self, name: str) -> Any:
            def stream(method: Any, images: list[Any]) -> Any:
                for image in images:
                    label = known[image.pixels.tobytes()] if informative else 0
                    code = [label, 0.1 * draws.random()]
                    yield Code(np.array(code[::-1] if Encoder.reverse else code, np.float32))

            return SimpleNamespace(stream=stream)

    encoder: Any = Encoder()
    score = latent_knn_score(encoder, sets, 0)
    assert score.value == 1 if informative else score.value < 0.1
    assert 0.1 < score.baseline < 1
    assert score.n == len(sets.reference)
    # A class that is appended to z is left out: it would be compared with itself.
    encoder.config, Encoder.reverse = SimpleNamespace(latent_dim=1), True
    assert "z alone" in score.definition
    assert latent_knn_score(encoder, sets, 0).value < 0.2


def test_without_splits_no_image_is_its_own_neighbour(tmp_path: Path) -> None:
    letters = open_data(DATA).prepare(16, 1)
    for i in range(120):
        Image(letters.pixels(i)).save(tmp_path / letters.classes[letters.labels[i] % 2] / f"{i}.png")
    sets = open_reference_sets(tmp_path, None, {"size": 16, "channels": 1})
    assert sets.data is sets.train

    class PixelEncoder:
        def verb(self, name: str) -> Any:
            def stream(method: Any, images: list[Any]) -> Any:
                for image in images:
                    yield Code(np.frombuffer(image.pixels.tobytes(), np.uint8).astype(np.float32))

            return SimpleNamespace(stream=stream)

    encoder: Any = PixelEncoder()
    assert 0.2 < latent_knn_score(encoder, sets, 0).value < 0.9
