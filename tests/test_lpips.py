"""LPIPS by weights that the user supplies: a second implementation, files of weights, and evaluations with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import reverie
from reverie.cli.main import main
from reverie.evaluation.lpips import open_lpips
from reverie.metrics.networks.lpips import LEAST, LPIPS

WIDTHS = (64, 192, 384, 256, 256)


def alexnet() -> nn.Sequential:
    """The `features` of torchvision's alexnet, layer by layer."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip


@pytest.fixture(scope="module")
def weights() -> dict[str, dict[str, Tensor]]:
    torch.manual_seed(0)
    own = {f"features.{name}": value for name, value in alexnet().state_dict().items()}
    own["classifier.1.bias"] = torch.zeros(4096)  # which is not needed
    return {"alexnet": own, "lin": {f"lin{i}.model.1.weight": torch.rand(1, w, 1, 1) for i, w in enumerate(WIDTHS)}}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, weights: dict[str, dict[str, Tensor]]) -> dict[str, Path]:
    """Two .pth files, as they are downloaded; one .safetensors file with both; and files that are wrong."""
    room = tmp_path_factory.mktemp("weights")
    for name, held in weights.items():
        torch.save(held, room / f"{name}.pth")
    both = weights["alexnet"] | weights["lin"]
    safetensors.torch.save_file(both, room / "both.safetensors")
    torch.save({k: v for k, v in both.items() if k != "features.8.bias"}, room / "lacks.pth")
    torch.save({**both, "lin3.model.1.weight": torch.rand(1, 512, 1, 1)}, room / "vgg.pth")
    (room / "text.pth").write_text("no weights")
    return {path.stem: path for path in room.iterdir()}


def by_hand(a: np.ndarray, b: np.ndarray, weights: dict[str, dict[str, Tensor]]) -> float:
    """The sum of section 3 in float64, position by position."""
    net = alexnet().double()
    net.load_state_dict({k[9:]: v for k, v in weights["alexnet"].items() if k.startswith("features.")})
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    x, y = (torch.from_numpy((p / 127.5 - 1 - shift) / scale).permute(2, 0, 1)[None] for p in (a, b))
    total, layer = 0.0, 0
    with torch.no_grad():
        for module in net[:-1]:
            x, y = module(x), module(y)
            if isinstance(module, nn.ReLU):
                one, two = (t[0].flatten(1).numpy() for t in (x, y))
                lin = weights["lin"][f"lin{layer}.model.1.weight"].flatten().double().numpy()
                places = [
                    (lin * (p / np.linalg.norm(p) - q / np.linalg.norm(q)) ** 2).sum()
                    for p, q in zip(one.T, two.T, strict=True)
                ]
                total, layer = total + float(np.mean(places)), layer + 1
    assert layer == 5
    return total


def shades(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    draws = np.random.Generator(np.random.Philox(key=[3, seed]))
    return draws.integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (47, 90), (LEAST, LEAST)])
def test_distances_equal_the_formula_of_the_paper(
    size: tuple[int, int], files: dict[str, Path], weights: dict[str, dict[str, Tensor]]
) -> None:
    a, b = shades(0, *size), shades(1, *size)
    lpips = open_lpips(f"{files['alexnet']},{files['lin']}", "cpu")
    one, other, none = lpips.distances([a, b, a], [b, a, a]).tolist()
    assert one == pytest.approx(by_hand(a, b, weights), rel=1e-4)
    assert other == pytest.approx(one, rel=1e-5)
    assert none == 0
    assert open_lpips(files["both"], "cpu").distances([a], [b])[0] == one


def test_grey_equals_grey_repeated_to_three_channels(files: dict[str, Path]) -> None:
    lpips = open_lpips(files["both"], "cpu")
    a, b = shades(0, 40, 40, 1), shades(1, 40, 40, 1)
    wide = [np.repeat(x, 3, 2) for x in (a, b)]
    assert lpips.distances([a], [b]) == lpips.distances([wide[0]], [wide[1]])


def test_the_smallest_size_is_the_smallest(files: dict[str, Path]) -> None:
    net = open_lpips(files["both"], "cpu").net
    assert [m.shape[1] for m in net.maps(torch.zeros(1, 3, LEAST, LEAST))] == list(WIDTHS)
    with pytest.raises(RuntimeError, match="too small"):
        net.maps(torch.zeros(1, 3, LEAST - 1, LEAST))


def test_weights_have_the_names_of_the_published_files(weights: dict[str, dict[str, Tensor]]) -> None:
    both = weights["alexnet"] | weights["lin"]
    assert {name: tuple(both[name].shape) for name in LPIPS.names()} == LPIPS.names()


# -- evaluations -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    room = tmp_path_factory.mktemp("workspace")
    (room / "photos").mkdir()
    for i in range(3):
        PIL.Image.fromarray(np.kron(shades(i, 6, 7), np.ones((8, 8, 1), np.uint8))).save(room / "photos" / f"{i}.png")
    reverie.train("restoration:smoke", data=room / "photos", out=room / "restore", threads=1, steps=2)
    reverie.train("pix2pix:smoke", data=room / "photos", out=room / "grey", size=32, threads=1, steps=2)
    reverie.train("pix2pix:smoke", data=room / "photos", out=room / "small", threads=1, steps=2)
    reverie.train("dcgan:smoke", data="shapes:40", out=room / "dcgan", threads=1, steps=2)
    return room


def test_lpips_of_restorations(workspace: Path, files: dict[str, Path], weights: dict[str, dict[str, Tensor]]) -> None:
    found = reverie.evaluate(workspace / "restore", workspace / "photos", lpips=files["both"], baselines=False)
    score, lpips = found["lpips"], open_lpips(files["both"], "cpu")
    method = reverie.load(workspace / "restore")
    examples = list(method.restoration_examples(method.data_type.open(workspace / "photos"), 3, 0))
    restored, degraded, originals = (
        [getattr(example, side) for example in examples] for side in ("restored", "degraded", "original")
    )
    theirs = [by_hand(*pair, weights) for pair in zip(restored, originals, strict=True)]
    assert score.value == pytest.approx(np.mean(theirs), rel=1e-4)
    assert score.baseline == pytest.approx(float(lpips.distances(degraded, originals).mean()))
    assert lpips.fingerprints in score.definition
    assert score.better == "lower"
    assert (score.n, score.reference) == (3, found["psnr"].reference)
    assert found.config["lpips"] == lpips.fingerprints


def test_lpips_of_pairs_and_why_tiny_ones_are_skipped(workspace: Path, files: dict[str, Path]) -> None:
    both = f"{files['alexnet']},{files['lin']}"
    found = reverie.evaluate(workspace / "grey", workspace / "photos", lpips=both)
    assert found["lpips"].reference == found["psnr"].reference
    assert found["lpips"].baseline is not None
    assert found["lpips"].value != found["lpips"].baseline
    skipped = reverie.evaluate(workspace / "small", workspace / "photos", lpips=both).skipped
    assert "16 pixels are too small" in next(line["why"] for line in skipped if line["score"] == "lpips")


@pytest.mark.parametrize(
    ("run", "given", "reason"),
    [
        ("restore", "{lacks}", "features.8.bias is missing"),
        ("restore", "{alexnet}", "lin0.model.1.weight is missing (5 such)"),
        ("grey", "{vgg}", "lin3.model.1.weight is (1, 512, 1, 1), not (1, 256, 1, 1)"),
        ("grey", "{text}", "is not a file of torch.save or safetensors"),
        ("grey", "nowhere.pth", "cannot be read"),
        ("restore", "{lin},{lin},{lin}", "one file or two"),
        ("dcgan", "{both}", "leave --lpips away"),
    ],
)
def test_wrong_input_gives_a_one_line_error(
    workspace: Path, files: dict[str, Path], run: str, given: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = given.format(**{name: str(path) for name, path in files.items()})
    data = "shapes:40" if run == "dcgan" else str(workspace / "photos")
    assert main(["evaluate", str(workspace / run), "--data", data, "--lpips", spec]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.strip().count("\n") == 0
