"""Feature extractors: names and shapes of weights, what they compute, wrong files, the trained classifier."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import reverie
from reverie.core import registry
from reverie.core.registry import method_class
from reverie.data.images.dataset import Images
from reverie.evaluation import feature_classifier as module
from reverie.evaluation.feature_extractors import FeatureExtractor, open_features, resized
from reverie.metrics.networks.inception import Average, BlockA, BlockB, BlockC, BlockD, BlockE, Conv, Inception
from reverie.metrics.networks.mobilenet import MobileNetV2
from reverie.nn.fused_inference import SameConv2d, fuse_for_inference
from reverie.training.signals import Interrupted
from reverie.utils.errors import UserError

# torchvision's mobilenet_v2: in, hidden and out channels of features.1 .. features.17
MOBILENET = [
    (32, 32, 16), (16, 96, 24), (24, 144, 24), (24, 144, 32), (32, 192, 32), (32, 192, 32), (32, 192, 64),
    (64, 384, 64), (64, 384, 64), (64, 384, 64), (64, 384, 96), (96, 576, 96), (96, 576, 96), (96, 576, 160),
    (160, 960, 160), (160, 960, 160), (160, 960, 320),
]  # fmt: skip
TENSORFLOW = {"padding": "TF SAME: on five convolutions", "input": "RGB, (u8-128)/128, NCHW"}


def mobilenet_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's mobilenet_v2, from the table above."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(place: str, norm: str, *shape: int) -> None:
        shapes[f"{place}.weight"] = shape
        shapes.update({f"{norm}.{k}": (shape[0],) for k in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{norm}.num_batches_tracked"] = ()

    conv("features.0.0", "features.0.1", 32, 3, 3, 3)
    for i, (inputs, hidden, outputs) in enumerate(MOBILENET, 1):
        at = 0
        if hidden != inputs:
            conv(f"features.{i}.conv.0.0", f"features.{i}.conv.0.1", hidden, inputs, 1, 1)
            at = 1
        conv(f"features.{i}.conv.{at}.0", f"features.{i}.conv.{at}.1", hidden, 1, 3, 3)
        conv(f"features.{i}.conv.{at + 1}", f"features.{i}.conv.{at + 2}", outputs, hidden, 1, 1)
    conv("features.18.0", "features.18.1", 1280, 320, 1, 1)
    return {**shapes, "classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}


def drawn(net: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Weights that let signals through, with batch norms that do something."""
    rng = torch.Generator().manual_seed(seed)
    weights = {}
    for name, value in net.state_dict().items():
        if value.ndim > 1:
            weights[name] = torch.randn(value.shape, generator=rng) * (2 / value[0].numel()) ** 0.5
        elif name.endswith(("bias", "running_mean")):
            weights[name] = torch.randn(value.shape, generator=rng) / 10
        elif value.ndim == 1:
            weights[name] = torch.rand(value.shape, generator=rng) + 0.5
        else:
            weights[name] = value
    return weights


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each kind, with random weights."""
    folder = tmp_path_factory.mktemp("weights")
    weights, fid = drawn(MobileNetV2()), drawn(Inception(True), 1)
    found = {name: folder / f"{name}.safetensors" for name in ("tensorflow", "torchvision")}
    safetensors.torch.save_file(weights, found["tensorflow"], TENSORFLOW)
    safetensors.torch.save_file(weights, found["torchvision"])
    found |= {name: folder / f"{name}.pth" for name in ("mobilenet", "legacy", "fid", "inception")}
    torch.save(weights, found["mobilenet"])
    torch.save(weights, found["legacy"], _use_new_zipfile_serialization=False)
    torch.save({k: v for k, v in fid.items() if not k.endswith("num_batches_tracked")}, found["fid"])
    other = {**fid, "fc.weight": fid["fc.weight"][:1000].clone(), "fc.bias": fid["fc.bias"][:1000].clone()}
    torch.save({**other, "AuxLogits.fc.weight": torch.zeros(1000, 768)}, found["inception"])
    return found


@pytest.fixture(scope="module")
def letters() -> Images:
    return Images.open("letters:40").prepare(32)


@pytest.fixture(scope="module")
def net(files: dict[str, Path], letters: Images) -> FeatureExtractor:
    return open_features(files["tensorflow"], letters, "cpu")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, 48, 48, 3), np.uint8)


# -- names, shapes, arithmetic -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("same", [False, True])
def test_mobilenet_has_the_names_and_shapes_of_torchvision(same: bool) -> None:
    net = MobileNetV2(same=same)
    found = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert found == mobilenet_shapes()
    assert len(found) == 314
    assert sum(p.numel() for p in net.parameters()) == 3_504_872
    assert sum(isinstance(m, SameConv2d) for m in net.modules()) == (5 if same else 0)


@pytest.mark.parametrize(("fid", "parameters"), [(True, 23_850_960), (False, 23_834_568)])
def test_inception_has_the_names_and_shapes_of_the_known_files(fid: bool, parameters: int) -> None:
    net = Inception(fid)
    found = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert len(found) == 94 * 6 + 2
    assert sum(p.numel() for p in net.parameters()) == parameters  # torchvision: 27,161,264 with AuxLogits' 3,326,696
    assert found["fc.weight"] == (1008 if fid else 1000, 2048)
    for name, shape in {
        "Conv2d_1a_3x3": (32, 3, 3, 3), "Conv2d_3b_1x1": (80, 64, 1, 1), "Conv2d_4a_3x3": (192, 80, 3, 3),
        "Mixed_5b.branch5x5_2": (64, 48, 5, 5), "Mixed_5b.branch_pool": (32, 192, 1, 1),
        "Mixed_5d.branch3x3dbl_3": (96, 96, 3, 3), "Mixed_6a.branch3x3": (384, 288, 3, 3),
        "Mixed_6b.branch7x7_2": (128, 128, 1, 7), "Mixed_6c.branch7x7_3": (192, 160, 7, 1),
        "Mixed_6e.branch7x7dbl_2": (192, 192, 7, 1), "Mixed_6e.branch7x7dbl_5": (192, 192, 1, 7),
        "Mixed_7a.branch3x3_2": (320, 192, 3, 3), "Mixed_7a.branch7x7x3_4": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a": (384, 384, 1, 3), "Mixed_7b.branch3x3dbl_1": (448, 1280, 1, 1),
        "Mixed_7c.branch3x3dbl_3b": (384, 384, 3, 1), "Mixed_7c.branch_pool": (192, 2048, 1, 1),
    }.items():  # fmt: skip
        assert found[f"{name}.conv.weight"] == shape
        assert found[f"{name}.bn.running_var"] == shape[:1]
    assert all(m.bn.eps == 0.001 for m in net.modules() if isinstance(m, Conv))


@pytest.mark.parametrize("side", [8, 9])
def test_same_padding_by_hand(side: int) -> None:
    torch.manual_seed(0)
    conv, x = SameConv2d(4, 4, 3, 2, groups=4), torch.randn(2, 4, side, side)
    padded = F.pad(x, (0, 1, 0, 1) if side == 8 else (1, 1, 1, 1))  # an odd side is padded on both
    assert torch.equal(conv(x), F.conv2d(padded, conv.weight, conv.bias, 2, groups=4))
    assert conv(x).shape[2:] == ((side + 1) // 2,) * 2


def test_a_mobilenet_of_tensorflow_equals_a_patched_one() -> None:
    ours, patched = MobileNetV2(same=True).eval(), MobileNetV2(same=False).eval()
    weights = drawn(ours)
    ours.load_state_dict(weights, strict=True)
    patched.load_state_dict(weights, strict=True)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(ours(x), patched(x), atol=1e-3)
        for conv in patched.modules():
            if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2):
                conv.padding = (0, 0)
                conv.register_forward_pre_hook(lambda m, a: (F.pad(a[0], (0, 1, 0, 1)),))
        assert torch.equal(ours(x), patched(x))
        assert torch.equal(ours(x), ours.classifier(ours.features(x).mean((2, 3))))


@pytest.mark.parametrize("make", [lambda: MobileNetV2(same=True), MobileNetV2, lambda: Inception(True)])
def test_the_fused_network_is_the_same_function(make: Any) -> None:
    net = make().eval()
    net.load_state_dict(drawn(net))
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = net.pooled(x)
        quick = fuse_for_inference(net).pooled(x)
    assert (plain[0] - plain[1]).abs().max() > 0.1  # else only rounding would be tested
    assert (quick - plain).abs().max() <= 1e-4 * plain.abs().max()
    assert not any(isinstance(m, (nn.BatchNorm2d, SameConv2d)) for m in net.modules())


def test_average_pools_of_the_fid_network_exclude_the_padding() -> None:
    ones = torch.ones(1, 1, 4, 4)
    edge = [4 / 9, 6 / 9, 6 / 9, 4 / 9]
    assert torch.equal(Average(fid=True)(ones), ones)
    assert torch.allclose(Average(fid=False)(ones)[0, 0, 0], torch.tensor(edge))
    pools = {name: m for name, m in Inception(True).named_modules() if name.endswith(".pool")}
    assert len(pools) == 9
    assert [name for name, m in pools.items() if isinstance(m, nn.MaxPool2d)] == ["Mixed_7c.pool"]
    assert all(isinstance(m, Average) and m.count_include_pad for n, m in Inception(False).named_modules()
               if n.endswith(".pool"))  # fmt: skip


@pytest.mark.parametrize(
    ("block", "inputs", "halves", "branches"),
    [
        (BlockA(192, 32, True), 192, False,
         {"branch1x1": 64, "branch5x5_2": 64, "branch3x3dbl_3": 96, "branch_pool": 32}),
        (BlockB(288), 288, True, {"branch3x3": 384, "branch3x3dbl_3": 96, "": 288}),
        (BlockC(768, 128, True), 768, False,
         {"branch1x1": 192, "branch7x7_3": 192, "branch7x7dbl_5": 192, "branch_pool": 192}),
        (BlockD(768), 768, True, {"branch3x3_2": 320, "branch7x7x3_4": 192, "": 768}),
        (BlockE(1280, nn.MaxPool2d(3, 1, 1)), 1280, False,
         {"branch1x1": 320, "branch3x3_2a": 384, "branch3x3_2b": 384, "branch3x3dbl_3a": 384, "branch3x3dbl_3b": 384,
          "branch_pool": 192}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)  # fmt: skip
def test_blocks_join_their_branches_in_order(
    block: nn.Module, inputs: int, halves: bool, branches: dict[str, int]
) -> None:
    """Each last convolution of a branch gives a constant of its own; a bare pool ("") gives what came in."""
    block.eval()
    with torch.no_grad():
        for number, name in enumerate(branches, 1):
            if name:
                conv = block.get_submodule(name)
                conv.conv.weight.zero_()
                conv.bn.bias.fill_(number)
        y = block(torch.full((1, inputs, 9, 9), 100.0))
    assert y.shape == (1, sum(branches.values()), *((4, 4) if halves else (9, 9)))
    expected = [100.0 if not name else float(i) for i, (name, n) in enumerate(branches.items(), 1) for _ in range(n)]
    assert torch.equal(y[0], torch.tensor(expected).view(-1, 1, 1).expand_as(y[0]))


def test_resize_is_antialiased() -> None:
    x = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0)) * 255
    for side in (20, 64):
        full = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        assert torch.allclose(resized(x, side), full, atol=1e-3)
    stripes = torch.tensor([0.0, 255.0]).repeat(20).expand(1, 1, 40, 40)
    assert resized(stripes, 10)[..., 1:-1].std() < 2  # without antialiasing a pixel would be black or white
    assert resized(x, 40) is x


# -- features ----------------------------------------------------------------------------------------------------------


def test_features_are_those_of_the_plain_network(
    files: dict[str, Path], net: FeatureExtractor, pixels: np.ndarray, letters: Images
) -> None:
    plain = MobileNetV2(same=True).eval()
    plain.load_state_dict(safetensors.torch.load_file(files["tensorflow"]))
    x = torch.from_numpy(pixels[:3]).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        expected = plain.pooled((resized(x, 224) - 128) / 128)
    found = net.features(pixels[:3])
    assert found.dtype == torch.float32
    assert found.shape == (3, net.width) == (3, 1280)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()

    plain = MobileNetV2(same=False).eval()
    plain.load_state_dict(safetensors.torch.load_file(files["torchvision"]))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = plain.pooled((resized(x, 224) / 255 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1))
    found = open_features(files["torchvision"], letters, "cpu").features(pixels[:3])
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_features_do_not_depend_on_the_batch(net: FeatureExtractor, pixels: np.ndarray) -> None:
    together = net.features(pixels)
    assert torch.equal(together, net.features(pixels))
    for i in (0, 4, 10):  # of 11: one of a full batch, and the last
        assert (net.features(pixels[i : i + 1])[0] - together[i]).abs().max() <= 1e-5
    assert net.features(pixels[:0]).shape == (0, 1280)
    batches: list[int] = []
    replace(net, embed=lambda x: batches.append(len(x)) or net.embed(x)).features(pixels)
    assert batches == [net.batch_size, net.batch_size]  # the last one is padded: rounding may depend on the batch size
    assert together.std(0).max() > 1e-3


def test_grey_is_the_same_as_repeated_to_rgb(net: FeatureExtractor, letters: Images) -> None:
    grey = letters.array[:3]
    assert grey.shape[3] == 1
    assert torch.equal(net.features(grey), net.features(grey.repeat(3, 3)))


def test_definitions_name_all_that_changes_a_feature(
    files: dict[str, Path], net: FeatureExtractor, letters: Images
) -> None:
    found = {name: open_features(path, letters, "cpu") for name, path in files.items()}
    for name, path in files.items():
        assert found[name].fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        assert found[name].fingerprint in found[name].definition
        assert str(found[name].width) in found[name].definition
    assert net.name == "mobilenet_v2"
    assert "TensorFlow SAME" in net.definition
    assert "(x-128)/128" in net.definition
    for name in ("torchvision", "mobilenet", "legacy"):
        assert "ImageNet mean and deviation, symmetric padding" in found[name].definition
    assert found["fid"].name == "inception_fid"
    assert "pytorch-fid" in found["fid"].definition
    assert found["inception"].name == "inception_v3"
    assert "torchvision" in found["inception"].definition
    assert len({net.definition.replace(net.fingerprint, "") for net in found.values()}) == 4


def test_inception_features_are_those_of_the_plain_network(files: dict[str, Path], letters: Images) -> None:
    pixels = np.zeros((1, 897, 897, 3), np.uint8)  # without antialiasing only the middle one of every 3 x 3 counts
    pixels[:, 1::3, 1::3] = np.random.default_rng(0).integers(0, 256, (1, 299, 299, 3), np.uint8)
    found = open_features(files["fid"], letters, "cpu").features(pixels)
    plain = Inception(fid=True).eval()
    weights = torch.load(files["fid"], weights_only=True)
    plain.load_state_dict(weights, strict=False)  # only the counters are missing, as in older files
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        x = 2 * F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1
        expected = plain.pooled(x)
        assert torch.allclose(plain(x), expected @ weights["fc.weight"].T + weights["fc.bias"], rtol=1e-4, atol=1e-4)
    assert found.shape == (1, 2048)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


# -- wrong files -------------------------------------------------------------------------------------------------------


def test_wrong_files_give_a_one_line_error(files: dict[str, Path], letters: Images, tmp_path: Path) -> None:
    weights = safetensors.torch.load_file(files["tensorflow"])

    def saved(name: str, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
        safetensors.torch.save_file(tensors, tmp_path / name, metadata)
        return tmp_path / name

    def written(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    def pickled(name: str, what: Any) -> Path:
        torch.save(what, tmp_path / name)
        return tmp_path / name

    def zipped(path: Path) -> Path:
        with zipfile.ZipFile(path) as stored:
            parts = {name: stored.read(name) for name in stored.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in parts.items():
                file.writestr(name, data)
        return path

    one = "features.18.0.weight"
    inception = {"Mixed_7c.branch1x1.conv.weight": torch.zeros(320, 2048, 1, 1), "fc.weight": torch.zeros(10, 2048)}
    cases = {
        tmp_path / "nowhere.safetensors": "cannot be read",
        written("notes.txt", b"no weights here"): "is not a file of torch.save or safetensors",
        written("empty.pth", b""): "is not a file of torch.save or safetensors",
        written("cut.safetensors", files["tensorflow"].read_bytes()[:-100]): "is not a complete safetensors file",
        written("cut.pth", files["mobilenet"].read_bytes()[:200_000]): "is not a complete file of torch.save",
        pickled("whole.pth", nn.Linear(2, 2)): "holds more than tensors (torch.nn.modules.linear.Linear)",
        pickled("list.pth", [torch.zeros(2)]): "holds a list; give the state dict",
        zipped(pickled("zip.pth", weights)): "is a compressed zip",
        saved("other.safetensors", {"conv1.weight": torch.zeros(2)}): "an unknown network (the first is conv1.weight)",
        saved(
            "lacks.safetensors", {k: v for k, v in weights.items() if k != "classifier.1.bias"}
        ): "classifier.1.bias is missing",
        saved("more.safetensors", {**weights, "extra": torch.zeros(1)}): "extra is unexpected",
        saved("shape.safetensors", {**weights, one: torch.zeros(640, 320, 1, 1)}): "(640, 320, 1, 1), not (1280,",
        saved("range.safetensors", weights, {**TENSORFLOW, "input": "BGR, 0..255"}): "BGR, 0..255",
        saved("padding.safetensors", weights, {**TENSORFLOW, "padding": "VALID"}): "VALID",
        saved("ten.safetensors", inception): "Inception with 10 outputs",
    }
    for path, reason in cases.items():
        with pytest.raises(UserError, match=re.escape(reason)) as refused:
            open_features(path, letters, "cpu")
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
        if "unknown" in reason:
            assert all(word in str(refused.value) for word in ("mobilenet_v2", "inception_v3", "pytorch-fid"))


def test_the_weights_of_a_checkpoint_are_found_in_it(files: dict[str, Path], letters: Images, tmp_path: Path) -> None:
    torch.save({"state_dict": torch.load(files["mobilenet"]), "epoch": 3}, tmp_path / "checkpoint.pth")
    images = letters.prepare(16, 1).array[:4]
    alone, nested = (open_features(path, letters, "cpu") for path in (files["mobilenet"], tmp_path / "checkpoint.pth"))
    assert torch.equal(alone.features(images), nested.features(images))


def test_images_of_another_type_or_shape_are_refused(net: FeatureExtractor) -> None:
    for images in (np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 8, 8, 4), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            net.features(images)


# -- the classifier ----------------------------------------------------------------------------------------------------

CLASSIFIERS = [name for name, entry in registry.list_methods().items() if entry.is_classifier]
TINY = dict(base_channels=8, batch_size=16, steps=12, checkpoint_every=4, sample_every=12, log_every=4)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type:
    """The classifier, with a preset that trains in seconds, and an empty cache."""
    cls = method_class(CLASSIFIERS[0])
    monkeypatch.setitem(cls.presets, "features", TINY)
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    return cls


def runs() -> list[Path]:
    return sorted(p.parent for p in (Path(os.environ["REVERIE_CACHE"]) / "classifiers").glob("*/run.json"))


def test_exactly_one_method_is_a_classifier_and_has_the_preset() -> None:
    assert len(CLASSIFIERS) == 1
    assert "features" in registry.find(CLASSIFIERS[0]).presets


def test_a_classifier_is_trained_once_and_cached(tiny: type, capsys: pytest.CaptureFixture[str]) -> None:
    data = Images.open("letters:300")
    net = open_features("classifier", data, "cpu")
    printed = capsys.readouterr()
    assert "training a" in printed.err
    assert "is trained (" in printed.err
    assert printed.out == ""
    assert len(runs()) == 1
    assert runs()[0].name.startswith(data.fingerprint)
    assert json.loads((runs()[0] / "run.json").read_text())["train"]["seed"] == 0

    again = open_features("classifier", data, "cpu")
    assert "training" not in capsys.readouterr().err
    assert (again.fingerprint, again.definition) == (net.fingerprint, net.definition)
    pixels = Images.open("letters:40").prepare(32).array
    found = net.features(pixels)
    assert found.shape == (40, net.width)
    assert torch.equal(found, again.features(pixels))
    assert (net.features(pixels[7:8])[0] - found[7]).abs().max() <= 1e-5
    assert found.std() > 0
    # a classifier of grey images gets the luminance of colour ones; other sizes are resized
    assert (net.features(pixels.repeat(3, 3)) - found).abs().max() < 1e-3
    assert net.features(np.zeros((2, 50, 50, 3), np.uint8)).shape == (2, net.width)

    for place in (runs()[0], runs()[0] / "weights.safetensors"):
        named = open_features(place, data, "cpu")
        assert named.definition == net.definition
    assert net.fingerprint == hashlib.sha256((runs()[0] / "weights.safetensors").read_bytes()).hexdigest()[:16]

    os.environ["REVERIE_CACHE"] += "-2"
    assert open_features("classifier", data, "cpu").fingerprint == net.fingerprint  # trained again, it is the same


@pytest.mark.parametrize("damage", ["cut", "weights", "run.json", "folder"])
def test_an_interrupted_or_damaged_classifier_is_resumed_or_trained_again(
    tiny: type, damage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Images.open("letters:40")
    net = open_features("classifier", data, "cpu")
    place = runs()[0]
    if damage == "cut":
        os.environ["REVERIE_CACHE"] += "-2"
        step = tiny.step

        def interrupted(self: Any, batch: Any, update: Any) -> Any:
            if update.step == 6:
                raise Interrupted("as if by Ctrl-C")
            return step(self, batch, update)

        monkeypatch.setattr(tiny, "step", interrupted)
        with pytest.raises(Interrupted):
            open_features("classifier", data, "cpu")
        monkeypatch.setattr(tiny, "step", step)
        assert json.loads((runs()[0] / "save.json").read_text())["step"] == 4
    elif damage == "weights":
        for file in place.rglob("weights.safetensors"):
            file.write_bytes(file.read_bytes()[:-50])
    elif damage == "run.json":
        (place / "run.json").write_text("{")
        (place / "save.json").unlink()
    else:
        for file in place.iterdir():
            if file.is_file() and file.name != "log.jsonl":
                file.unlink()
    capsys.readouterr()
    again = open_features("classifier", data, "cpu")
    assert "training" in capsys.readouterr().err
    assert again.fingerprint == net.fingerprint


def test_a_second_process_waits_for_the_classifier(
    tiny: type, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the lock is held, the other process finishes the training; then nothing is trained a second time."""
    data = Images.open("letters:40")
    lock_class, train, trained = module.FileLock, module._train, []

    class Held(lock_class):
        def acquire(self, timeout: float = -1, **options: Any) -> Any:
            if timeout == 0 and not trained:
                raise module.Timeout(self.lock_file)
            if not trained:
                trained.append(train(CLASSIFIERS[0], data, Path(self.lock_file).with_suffix(""), "cpu"))
            return super().acquire(timeout, **options)

    monkeypatch.setattr(module, "FileLock", Held)
    monkeypatch.setattr(module, "_train", lambda *a: pytest.fail("trained twice"))
    assert open_features("classifier", data, "cpu").fingerprint == trained[0].origin["run"]
    assert "waiting for it" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_an_error(
    tiny: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be written"):
        open_features("classifier", Images.open("letters:40"), "cpu")


def test_data_without_labels_and_runs_of_other_methods_are_refused(tiny: type, tmp_path: Path) -> None:
    data = Images.open("letters:40")
    plain = Images.open("letters:40")
    plain.classes = []
    with pytest.raises(UserError, match=r"no labels.*leave --features away.*classifier"):
        open_features("classifier", plain, "cpu")
    maker = next(n for n, e in registry.list_methods().items() if not e.is_classifier and e.data_type == "Images")
    reverie.train(f"{maker}:smoke", data="letters:40", out=tmp_path / "run", steps=2)
    for place in (tmp_path / "run", tmp_path / "run" / "weights.safetensors"):
        with pytest.raises(UserError, match="is not a classifier"):
            open_features(place, data, "cpu")
    with pytest.raises(UserError, match="not a run folder"):
        open_features(tmp_path, data, "cpu")
