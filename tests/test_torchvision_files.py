"""Weights in torchvision's format: names, shapes and outputs as torchvision's, names of public files, bad files.

What stands here as torchvision's was computed once with its release 0.28.0, which is not needed to run these tests.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import reverie
from reverie.cli.main import main
from reverie.data import download
from reverie.data.download import PublicFile
from reverie.dreaming import open_network as opening
from reverie.dreaming.ascent import Ascent, climb
from reverie.dreaming.network import DreamNetwork
from reverie.dreaming.objective import LayerObjective, Term
from reverie.dreaming.open_network import PUBLIC, open_network
from reverie.metrics.networks.googlenet import GoogLeNet
from reverie.metrics.networks.inception import Inception
from reverie.metrics.networks.resnet import ResNet
from reverie.metrics.networks.resnet import Structure as ResNetStructure
from reverie.metrics.networks.vgg import VGG
from reverie.metrics.networks.vgg import Structure as VGGStructure
from reverie.nn.fused_inference import fuse_for_inference
from reverie.utils.errors import UserError

STAGES = {
    11: ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    16: ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    19: ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}
BOTTLENECKS = ResNetStructure((3, 4, 6, 3), True)
RESNEXT = ResNetStructure((3, 4, 6, 3), True, (128, 256, 512, 1024), 32)
AUXILIARY = {"aux1": 512, "aux2": 528}


def made_weights(shapes: dict[str, Any]) -> dict[str, Tensor]:
    """Weights by a formula, of a size that neither fades nor grows from layer to layer."""
    found = {}
    for i, (name, shape) in enumerate(sorted(shapes.items())):
        if name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(0)
            continue
        count = torch.arange(1, shape.numel() + 1, dtype=torch.float64)
        w = torch.frac(torch.sin(count * 12.9898 + i) * 43758.5453).abs().float().view(shape)
        if name.endswith("running_var"):
            w = w + 0.5
        elif w.ndim == 1 and name.endswith("weight"):
            w = w * 0.5 + 0.75
        elif w.ndim == 1:
            w = (w - 0.5) * 0.2
        else:
            w = (w - 0.5) * (12 / w[0].numel()) ** 0.5
        found[name] = w
    return found


def shapes_of(make: Any) -> dict[str, Any]:
    with torch.device("meta"):
        return {name: value.shape for name, value in make().state_dict().items()}


def with_auxiliary(shapes: dict[str, Any]) -> dict[str, Any]:
    """With the auxiliary classifiers that the published file of GoogLeNet has."""
    for name, width in AUXILIARY.items():
        layers = {"conv.conv": nn.Conv2d(width, 128, 1, bias=False), "conv.bn": nn.BatchNorm2d(128),
                  "fc1": nn.Linear(2048, 1024), "fc2": nn.Linear(1024, 1000)}  # fmt: skip
        for layer, module in layers.items():
            shapes |= {f"{name}.{layer}.{key}": value.shape for key, value in module.state_dict().items()}
    return shapes


@pytest.mark.parametrize(
    ("make", "count", "digest"),
    [
        (lambda: ResNet(ResNetStructure((2, 2, 2, 2))), 122, "5191d63ec3989592"),
        (lambda: ResNet(ResNetStructure((3, 4, 6, 3))), 218, "f8de2a1812ef85e4"),
        (lambda: ResNet(BOTTLENECKS), 320, "a87e91cd6bd1f939"),
        (lambda: ResNet(RESNEXT), 320, "20929ac81dfcc94f"),
        (lambda: VGG(VGGStructure(STAGES[11])), 22, "b11acd4f90d9643f"),
        (lambda: VGG(VGGStructure(STAGES[11], True)), 62, "56ed5816909a8132"),
        (lambda: VGG(VGGStructure(STAGES[16])), 32, "ba63c2556d912509"),
        (lambda: VGG(VGGStructure(STAGES[16], True)), 97, "86bad13b66635552"),
        (lambda: VGG(VGGStructure(STAGES[19])), 38, "393fac8b08b63fbe"),
        (GoogLeNet, 364, "de3745733576b3b1"),
    ],
)  # fmt: skip
def test_names_and_shapes_are_torchvisions(make: Any, count: int, digest: str) -> None:
    shapes = shapes_of(make)
    shapes = with_auxiliary(shapes) if make is GoogLeNet else shapes
    lines = "\n".join(f"{name} {tuple(shape)}" for name, shape in sorted(shapes.items()))
    assert (len(shapes), hashlib.sha256(lines.encode()).hexdigest()[:16]) == (count, digest)


@pytest.mark.parametrize(
    ("make", "called", "logits"),
    [
        (lambda: ResNet(ResNetStructure((2, 2, 2, 2))), "ResNet-18", [2.1683, 1.8743, 1.8669, -2.0837]),
        (lambda: ResNet(BOTTLENECKS), "ResNet-50", [1.9992, -3.7347, 5.9222, 4.3486]),
        (lambda: ResNet(RESNEXT), "ResNet-50", [-0.43603, -0.51752, 4.7551, 1.7125]),
        (lambda: VGG(VGGStructure(STAGES[11], hidden=16)), "VGG-11", [-0.16241, 0.031753, 0.077621, 0.078555]),
        (lambda: VGG(VGGStructure(STAGES[11], True, 16)), "VGG-11", [0.0043548, -0.0056352, -0.0095616, 0.04717]),
        (lambda: VGG(VGGStructure(STAGES[16], True, 16)), "VGG-16", [-0.026145, 0.02127, 0.042987, -0.062173]),
        (GoogLeNet, "GoogLeNet", [-0.014947, 0.1456, 0.022345, -0.032494]),
    ],
)
def test_outputs_are_torchvisions(make: Any, called: str, logits: list[float], tmp_path: Path) -> None:
    """Of the same made-up weights, for the same image in the range that its documentation asks for."""
    shapes = shapes_of(make)
    torch.save(made_weights(with_auxiliary(shapes) if make is GoogLeNet else shapes), tmp_path / "weights.pth")
    net = open_network(tmp_path / "weights.pth")
    x = (torch.arange(3 * 64 * 64).view(1, 3, 64, 64) * 0.37).sin()
    with torch.no_grad():
        found = net.logits(x)
    assert net.name == called
    assert net.find_class("golden retriever") == 207
    assert found.shape == (1, 1000)
    assert torch.allclose(found[0, :4], torch.tensor(logits), rtol=1e-3, atol=2e-5)
    maps = net.maps(x, list(net.layers))
    for name, layer in net.layers.items():
        assert maps[name].shape[1] == layer.channels
        if layer.rectified and layer.height > 1:
            assert (maps[name] < 0).any(), f"{name} is before the ReLU"


def test_layers_of_inception_are_seen_before_the_relu() -> None:
    net = fuse_for_inference(Inception(fid=False).eval())
    network = DreamNetwork("Inception v3", net, net, 80, named=net.named_layers(), linear=frozenset({"logits"}))
    assert len(network.layers) == 17
    maps = network.maps(torch.rand(1, 3, 80, 80, generator=torch.Generator().manual_seed(0)) - 0.5, [*network.layers])
    assert all((map_ < 0).any() for map_ in maps.values())


def test_a_layer_is_climbed(tmp_path: Path) -> None:
    torch.save(made_weights(shapes_of(lambda: ResNet(ResNetStructure((1, 1, 1, 1))))), tmp_path / "small.pth")
    net = open_network(tmp_path / "small.pth")
    objective = LayerObjective(net, [Term("layer2.0")])
    x = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0)) - 0.5
    how = Ascent(octaves=1, steps=3, jitter=0)
    y = climb(x, objective, how, torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert objective(y) > 1.2 * objective(x)


def test_wrong_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resnet = made_weights(shapes_of(lambda: ResNet(ResNetStructure((1, 1, 1, 1)))))
    vgg = made_weights(shapes_of(lambda: VGG(VGGStructure(STAGES[11], hidden=4, classes=5))))
    google = {"inception3a.branch1.conv.weight": torch.zeros(64, 192, 1, 1)}

    def without(values: dict[str, Tensor], name: str) -> dict[str, Tensor]:
        return {key: value for key, value in values.items() if key != name}

    files = {
        "no-fc": (without(resnet, "fc.weight"), "fc.weight is missing"),
        "no-bn": (without(resnet, "layer2.0.bn2.weight"), "layer2.0.bn2.weight is missing"),
        "no-stage": (without(resnet, "layer3.0.conv2.weight"), "layer3.0.conv2.weight' is missing"),
        "wider": ({**resnet, "layer1.0.conv1.weight": torch.zeros(65, 64, 3, 3)}, "(65, 64, 3, 3), not (64, 64, 3, 3)"),
        "more": ({**resnet, "extra": torch.zeros(1)}, "extra is unexpected"),
        "features-alone": (without(vgg, "classifier.6.weight"), "the whole network"),
        "no-hidden": (without(vgg, "classifier.0.weight"), "classifier.0.weight' is missing"),
        "google": (google, "fc.weight is missing"),
        "alexnet": ({"features.0.weight": torch.zeros(64, 3, 11, 11)}, "unknown network"),
    }
    for name, (values, said) in files.items():
        torch.save(values, tmp_path / f"{name}.pth")
        assert (
            main(["visualize", "3", "--weights", str(tmp_path / f"{name}.pth"), "--out", str(tmp_path / "x.png")]) == 2
        )
        printed = capsys.readouterr().err
        assert said in printed, name
        assert printed.count("\n") == 1


def test_public_weights_come_from_the_cache_or_say_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))

    def offline(*_: Any) -> Any:
        raise download._Failed("no network", final=True)

    monkeypatch.setattr(download, "_open", offline)
    with pytest.raises(UserError, match=r"cannot download resnet18-f37072fd\.pth .*put resnet18-f37072fd\.pth .*cache"):
        open_network("resnet18")
    capsys.readouterr()
    assert main(["dream", "--list-layers", "--weights", "vgg16"]) == 2
    assert capsys.readouterr().err.count("\n") == 2, "what is downloaded, and why it cannot be"
    with pytest.raises(UserError, match="Did you mean 'resnet50'"):
        open_network("resnet5O")

    path = tmp_path / "cache" / "weights" / "resnet18-f37072fd.pth"
    torch.save(made_weights(shapes_of(lambda: ResNet(ResNetStructure((1, 1, 1, 1), classes=7)))), path)
    with pytest.raises(UserError, match="cannot download"):
        open_network("resnet18")  # it is not the file of that hash
    raw = path.read_bytes()
    known = PublicFile(PUBLIC["resnet18"].urls, hashlib.sha256(raw).hexdigest(), len(raw))
    monkeypatch.setitem(opening.PUBLIC, "resnet18", known)
    net = reverie.visualize(3, weights="resnet18", size=32, steps=1, progress=False)[0]
    assert (net.record or {})["networks"] == ["ResNet-10"]
