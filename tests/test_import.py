"""Generators of the pix2pix and CycleGAN code brought here: the same output, and one line for what cannot be.

The networks below are written after what that code's weights are called, so that their state dicts have its keys.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import reverie
from reverie import UserError
from reverie.cli.main import main
from reverie.convert.cyclegan_checkpoints import recognise
from reverie.media import Photo, read_record
from reverie.nn.stochastic_eval import stochastic_eval
from reverie.runs.weights_file import read_weights
from reverie.utils.atomic_files import sha256

NEAR = 1e-4


# -- the networks as that code nests them ------------------------------------------------------------------------------


def norm(kind: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.InstanceNorm2d(channels)


class Level(nn.Module):
    """A layer of the encoder, what lies below it, and its layer of the decoder; the outermost is not handed past."""

    def __init__(
        self, given: int, wide: int, made: int, below: Level | None, kind: str, outermost: bool, dropout: float = 0.0
    ) -> None:
        super().__init__()
        bias = kind == "instance"
        down = nn.Conv2d(given, wide, 4, 2, 1, bias=bias)
        into = wide * (1 if below is None else 2)
        up = nn.ConvTranspose2d(into, made, 4, 2, 1, bias=bias or outermost)
        leaky, relu = nn.LeakyReLU(0.2, True), nn.ReLU(True)
        if outermost:
            parts = [down, below, relu, up, nn.Tanh()]
        elif below is None:
            parts = [leaky, down, relu, up, norm(kind, made)]
        else:
            parts = [leaky, down, norm(kind, wide), below, relu, up, norm(kind, made)]
            parts += [nn.Dropout(dropout)] if dropout else []
        self.model, self.outermost = nn.Sequential(*parts), outermost

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class PeerUNet(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, width: int, depth: int, kind: str = "batch", dropout: float = 0.0
    ) -> None:
        super().__init__()
        widths = [width * min(2**k, 8) for k in range(depth)]
        level: Level | None = None
        for k in range(depth - 1, 0, -1):
            dropped = dropout if 3 < k < depth - 1 else 0.0
            level = Level(widths[k - 1], widths[k], widths[k - 1], level, kind, False, dropped)
        self.model = Level(inputs, widths[0], outputs, level, kind, True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class PeerBlock(nn.Module):
    def __init__(self, wide: int, kind: str, dropout: bool) -> None:
        super().__init__()
        bias = kind == "instance"
        half = [nn.ReflectionPad2d(1), nn.Conv2d(wide, wide, 3, bias=bias), norm(kind, wide), nn.ReLU(True)]
        half += [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(
            *half, nn.ReflectionPad2d(1), nn.Conv2d(wide, wide, 3, bias=bias), norm(kind, wide)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class PeerResNet(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, width: int, blocks: int, kind: str = "instance", dropout: bool = False
    ) -> None:
        super().__init__()
        bias = kind == "instance"
        parts: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7, bias=bias)]
        parts += [norm(kind, width), nn.ReLU(True)]
        for k in (1, 2):
            parts += [nn.Conv2d(width * k, width * k * 2, 3, 2, 1, bias=bias), norm(kind, width * k * 2), nn.ReLU(True)]
        parts += [PeerBlock(4 * width, kind, dropout) for _ in range(blocks)]
        for k in (4, 2):
            wide = width * k // 2
            parts += [nn.ConvTranspose2d(width * k, wide, 3, 2, 1, 1, bias=bias), norm(kind, wide), nn.ReLU(True)]
        parts += [nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Tanh()]
        self.model = nn.Sequential(*parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class PeerDiscriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(6, 4, 4, 2, 1), nn.LeakyReLU(0.2, True), nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8),
            nn.LeakyReLU(0.2, True), nn.Conv2d(8, 1, 4, 1, 1),
        )  # fmt: skip


def trained(net: nn.Module, side: int = 32, seed: int = 0) -> nn.Module:
    """A network with weights and statistics that differ everywhere, as after training."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=draws) * (0.3 if tensor.ndim > 1 else 0.2))
            if tensor.ndim == 1 and name.endswith("weight"):
                tensor.add_(1)
        inputs = next(p for p in net.parameters() if p.ndim == 4).shape[1]
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = 0.5
        for _ in range(3):
            net.train()(torch.rand(2, inputs, side, side, generator=draws) * 2 - 1)
    return net.eval()


def saved(net: nn.Module, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), path)
    return path


def noise(channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def brought(net: nn.Module, tmp_path: Path, **options: Any) -> reverie.work.Method:
    reverie.import_checkpoint([saved(net, tmp_path / "latest_net_G.pth")], tmp_path / "g.safetensors", **options)
    return reverie.load(tmp_path / "g.safetensors")


def assert_same(theirs: nn.Module, method: Any, x: torch.Tensor) -> None:
    """The two agree with kept statistics, and as in training where nothing is dropped."""
    with torch.no_grad():
        wanted = theirs.eval()(x)
        assert wanted.std() > 0.01, "the test's own network makes nothing"
        assert (method.translate_tensor(x, True, 1024, 0) - wanted).abs().max() < NEAR
        if any(isinstance(part, nn.Dropout) for part in theirs.modules()):
            return
        state = {k: v.clone() for k, v in theirs.state_dict().items()}
        wanted = theirs.train()(x)
        theirs.load_state_dict(state)
        theirs.eval()
        assert (method.translate_tensor(x, False, 1024, 0) - wanted).abs().max() < NEAR


def test_the_names_are_those_that_people_have() -> None:
    """Keys from error messages in that code's issues 931 and 1214 (U-Net 256), 296 and 671 (ResNet)."""
    inner = ["model.model.1.model" + ".3.model" * k for k in range(7)]
    norms = [f"{path}.{k}" for path in inner[:-1] for k in (2, 6)] + [f"{inner[-1]}.4"]
    keys = PeerUNet(3, 3, 1, 8).state_dict().keys()
    assert {key[:-20] for key in keys if key.endswith(".num_batches_tracked")} == set(norms)
    biases = [f"{path}.{k}.bias" for path in inner[:-1] for k in (1, 5)] + [f"{inner[-1]}.{k}.bias" for k in (1, 3)]
    more = PeerUNet(3, 3, 1, 8, "instance").state_dict().keys() - keys
    assert more == {*biases, "model.model.0.bias"}
    plain, dropped = (PeerResNet(3, 3, 1, 9, "batch", drop).state_dict().keys() for drop in (False, True))
    for block in range(10, 19):
        assert {f"model.{block}.conv_block.{k}" for k in ("5.weight", "6.running_mean", "6.bias")} <= plain - dropped
        assert {f"model.{block}.conv_block.{k}" for k in ("6.weight", "7.running_var", "7.bias")} <= dropped
    assert {"model.1.weight", "model.4.weight", "model.7.weight", "model.19.weight", "model.22.weight"} <= plain
    assert {"model.26.weight", "model.26.bias"} <= plain


# -- the same output ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["batch", "instance"])
@pytest.mark.parametrize(("depth", "channels"), [(7, (3, 3)), (8, (1, 3))])
def test_a_unet_makes_the_same(tmp_path: Path, depth: int, channels: tuple[int, int], kind: str) -> None:
    side = 2**depth
    net = trained(PeerUNet(*channels, 4, depth, kind), side)
    method = brought(net, tmp_path, dropout=False)
    c = method.config
    assert (c.network, c.in_channels, c.out_channels, c.base_channels, c.depth, c.norm) == (
        "unet",
        *channels,
        4,
        depth,
        kind,
    )
    assert (c.dropout, c.deterministic, c.size) == (0.0, False, side)
    assert_same(net, method, noise(channels[0], side, 2 * side))


@pytest.mark.parametrize("kind", ["batch", "instance"])
@pytest.mark.parametrize(("blocks", "dropout"), [(6, False), (9, False), (6, True)])
def test_a_resnet_makes_the_same(tmp_path: Path, blocks: int, dropout: bool, kind: str) -> None:
    net = trained(PeerResNet(3, 1, 4, blocks, kind, dropout))
    method = brought(net, tmp_path)
    c = method.config
    assert (c.network, c.in_channels, c.out_channels, c.base_channels, c.blocks, c.norm) == (
        "resnet",
        3,
        1,
        4,
        blocks,
        kind,
    )
    assert (c.dropout, c.size) == (0.5 if dropout else 0.0, 256 if blocks == 9 else 128)
    assert_same(net, method, noise(3, 32, 44))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_every_shape_is_inferred_from_the_keys(data: st.DataObject) -> None:
    inputs, outputs = data.draw(st.sampled_from([1, 3])), data.draw(st.sampled_from([1, 3]))
    width, kind = data.draw(st.integers(1, 5)), data.draw(st.sampled_from(["batch", "instance"]))
    if data.draw(st.booleans()):
        depth = data.draw(st.integers(2, 7))
        net, x = trained(PeerUNet(inputs, outputs, width, depth, kind), 2**depth), noise(inputs, 2**depth, 2**depth)
        options = {"dropout": False}  # these have none, which their files cannot say
    else:
        blocks, dropout = data.draw(st.integers(0, 3)), data.draw(st.booleans())
        net, x = trained(PeerResNet(inputs, outputs, width, blocks, kind, dropout)), noise(inputs, 20, 24)
        options = {}
    with tempfile.TemporaryDirectory() as folder:
        assert_same(net, brought(net, Path(folder), **options), x)


def test_dropout_is_where_theirs_is_and_on_as_their_test_script_has_it(tmp_path: Path) -> None:
    net = trained(PeerUNet(3, 3, 2, 8, dropout=0.5), 256)
    method = brought(net, tmp_path)
    assert method.config.dropout == 0.5
    x = noise(3, 256, 256)
    # Both drop the same maps of the same shapes in the same order, so one seed drops the same units of both.
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(7)
        wanted = net.train()(x)
        assert (method.translate_tensor(x, None, 1024, 7) - wanted).abs().max() < NEAR
        assert (method.translate_tensor(x, None, 1024, 8) - wanted).abs().max() > 100 * NEAR


def test_what_a_file_may_look_like(tmp_path: Path) -> None:
    """Saved from several GPUs, wrapped, in the old format, by an old PyTorch, in half precision, as safetensors."""
    net = trained(PeerUNet(3, 3, 4, 3), 32)
    state, file, x = net.state_dict(), tmp_path / "latest_net_G.pth", noise(3, 32, 32)
    without = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    ways: dict[str, tuple[Any, float]] = {
        "module": ({f"module.{k}": v for k, v in state.items()}, NEAR),
        "compiled": ({f"_orig_mod.{k}": v for k, v in state.items()}, NEAR),
        "both": ({f"module._orig_mod.{k}": v for k, v in state.items()}, NEAR),
        "inside": ({f"_orig_mod.module.{k.replace('.3.', '.3._orig_mod.')}": v for k, v in state.items()}, NEAR),
        "averaged": ({"n_averaged": torch.tensor(3), **{f"module.{k}": v for k, v in state.items()}}, NEAR),
        "params": ({"params": {k: v * 2 for k, v in state.items()}, "params_ema": state}, NEAR),
        "model": ({"model": {"state_dict": {f"_orig_mod.{k}": v for k, v in state.items()}}, "step": 3}, NEAR),
        "generator": ({"generator": state, "discriminator": PeerDiscriminator().state_dict()}, NEAR),
        "trainer": (
            {
                "state_dict": {
                    **{f"generator._orig_mod.{k}": v for k, v in state.items()},
                    **{f"discriminator.{k}": v for k, v in PeerDiscriminator().state_dict().items()},
                }
            },
            NEAR,
        ),
        "wrapped": ({"state_dict": state, "epoch": 200, "note": "mine"}, NEAR),
        "old": (without, NEAR),
        "half": ({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, 0.05),
    }
    for name, (content, near) in ways.items():
        torch.save(content, file, _use_new_zipfile_serialization=name != "old")
        reverie.import_checkpoint([file], tmp_path / f"{name}.safetensors")
        with torch.no_grad():
            apart = reverie.load(tmp_path / f"{name}.safetensors").translate_tensor(x, True, 1024, 0) - net(x)
        assert apart.abs().max() < near, name
    safetensors.torch.save_file(state, tmp_path / "given.safetensors")
    reverie.import_checkpoint([tmp_path / "given.safetensors"], tmp_path / "out.safetensors")
    with torch.no_grad():
        assert (
            reverie.load(tmp_path / "out.safetensors").translate_tensor(x, True, 1024, 0) - net(x)
        ).abs().max() < NEAR


def test_tiles_of_a_deep_unet(tmp_path: Path) -> None:
    """A U-Net that halves the side nine times takes multiples of 512 pixels, in tiles too."""
    method = brought(PeerUNet(1, 1, 1, 9), tmp_path)
    photo = Photo(np.zeros((20, 1100, 1), np.uint8), name="wide.png")
    with pytest.raises(UserError, match="a multiple of 512, 1024 or more"):
        method.verb("translate")([photo], tile=768)
    (made,) = method.verb("translate")([photo], tile=1024)
    assert made.pixels.shape == photo.pixels.shape


def test_statistics_of_old_instance_norms_are_dropped(tmp_path: Path) -> None:
    for net in (PeerUNet(3, 3, 4, 4, "instance"), PeerResNet(3, 3, 4, 2)):
        state = dict(trained(net).state_dict())
        for name, part in net.named_modules():
            if isinstance(part, nn.InstanceNorm2d):
                state[f"{name}.running_mean"] = torch.full((part.num_features,), 5.0)
                state[f"{name}.running_var"] = torch.full((part.num_features,), 9.0)
                state[f"{name}.num_batches_tracked"] = torch.tensor(3)
        file = tmp_path / "latest_net_G.pth"
        torch.save(state, file)
        out = tmp_path / f"{type(net).__name__}.safetensors"
        reverie.import_checkpoint([file], out)
        assert_same(net, reverie.load(out), noise(3, 32, 32))


# -- two ways ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ways(tmp_path: Path) -> tuple[Path, nn.Module, nn.Module]:
    """A folder as that code leaves it after training a CycleGAN, from grey to colour; and its generators."""
    g_a, g_b = trained(PeerResNet(1, 3, 4, 3), seed=1), trained(PeerResNet(3, 1, 4, 3), seed=2)
    folder = tmp_path / "checkpoints"
    saved(g_a, folder / "latest_net_G_A.pth")
    saved(g_b, folder / "latest_net_G_B.pth")
    saved(PeerDiscriminator(), folder / "latest_net_D_A.pth")
    return folder, g_a, g_b


def test_two_generators_are_a_cyclegan(ways: tuple[Path, nn.Module, nn.Module], tmp_path: Path) -> None:
    folder, g_a, g_b = ways
    a, b = folder / "latest_net_G_A.pth", folder / "latest_net_G_B.pth"
    for k, files in enumerate(([a, b], [b, a], [folder])):  # the names say which is which
        out = tmp_path / f"{k}.safetensors"
        output = reverie.import_checkpoint(files, out)
        assert (output["method"], [net["name"] for net in output["networks"]]) == ("cyclegan", [a.name, b.name])
        method = reverie.load(out)
        for net, to, channels in ((g_a, "b", 1), (g_b, "a", 3)):
            x = noise(channels, 24, 40)
            with torch.no_grad():
                assert (method.translate_tensor(x, to, 1024) - net(x)).abs().max() < NEAR
        assert not hasattr(method, "discriminator_a")
        assert not hasattr(method, "discriminator_b")


def test_without_telling_names_the_order_decides(ways: tuple[Path, nn.Module, nn.Module], tmp_path: Path) -> None:
    folder = ways[0]
    one, other = (folder / f"latest_net_G_{k}.pth" for k in "AB")
    output = reverie.import_checkpoint(
        [other.rename(tmp_path / "x.pth"), one.rename(tmp_path / "y.pth")], tmp_path / "z.safetensors"
    )
    assert [net["name"] for net in output["networks"]] == ["x.pth", "y.pth"]
    assert (output["config"]["in_channels"], output["config"]["out_channels"]) == (3, 1)


# -- the command line --------------------------------------------------------------------------------------------------


def photo_file(path: Path, height: int = 40, width: int = 56) -> Path:
    pixels = np.random.Generator(np.random.Philox(key=[3, height])).integers(0, 256, (height, width, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    return path


def test_import_then_use_it_like_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = trained(PeerResNet(3, 3, 4, 2))
    file, photo = saved(net, tmp_path / "old" / "latest_net_G.pth"), photo_file(Path("photo.png"))
    assert main(["import", str(file), "--out", "deep/facades.safetensors"]) == 0
    output = capsys.readouterr().out
    assert "pix2pix" in output
    assert (
        "latest_net_G.pth: a ResNet of 2 blocks, 4 base channels, instance norm, no dropout, 3 to 3 channels" in output
    )
    assert f"next: reverie translate {Path('deep/facades.safetensors')} photo.jpg" in output
    assert list(Path("deep").iterdir()) == [Path("deep/facades.safetensors")]

    assert main(["translate", "deep/facades.safetensors", "photo.png", "--out", "out"]) == 0
    x = Photo.load(photo).to_tensor(3)
    with torch.no_grad():
        wanted = Photo.load(photo).with_pixels(net(x)[0]).pixels
    made = Photo.load("out/photo.png").pixels
    assert np.abs(made.astype(int) - wanted).max() <= 1
    record = read_record(Path("out/photo.png"))
    assert record["imported"] == [{"name": "latest_net_G.pth", "sha256": sha256(file)}]
    assert str(tmp_path) not in json.dumps(record)
    capsys.readouterr()
    words = ["provenance", "out/photo.png", "--verify", "deep/facades.safetensors", "--inputs", "photo.png"]
    assert main(words) == 0
    output = capsys.readouterr().out
    assert f"trained    elsewhere: latest_net_G.pth  {sha256(file)}" in output
    assert "step" not in output
    assert "verified   yes" in output

    header, weights, _ = read_weights(Path("deep/facades.safetensors"))
    assert header["imported"] == record["imported"]
    assert header["reverie"] == reverie.__version__
    assert {name.partition(".")[0] for name in weights} == {"generator"}
    assert main(["export", "deep/facades.safetensors", "--out", "again.safetensors"]) == 0
    assert Path("again.safetensors").read_bytes() == Path("deep/facades.safetensors").read_bytes()


def test_json_says_what_was_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved(PeerUNet(1, 3, 4, 6), tmp_path / "latest_net_G.pth")
    assert main(["import", str(file), "--out", str(tmp_path / "a.safetensors"), "--json", "--no-dropout"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert (output["file"], output["method"]) == (str(tmp_path / "a.safetensors"), "pix2pix")
    (net,) = output["networks"]
    wanted = dict(
        name=file.name, kind="unet", in_channels=1, out_channels=3, base_channels=4, depth=6, norm="batch",
        dropout=False, sha256=sha256(file),
    )  # fmt: skip
    assert {name: net[name] for name in wanted} == wanted
    assert output["config"]["dropout"] == 0


def test_an_imported_file_is_scored(tmp_path: Path) -> None:
    """Evaluation needs no discriminator either."""
    for side in "AB":
        (tmp_path / "pairs" / f"test{side}").mkdir(parents=True)
        (tmp_path / "pairs" / f"train{side}").mkdir(parents=True)
        for i, item in enumerate(reverie.open_data("shapes:4").prepare(16).array):
            for split in ("train", "test"):
                PIL.Image.fromarray(item).save(tmp_path / "pairs" / f"{split}{side}" / f"{i}.png")
    method = brought(trained(PeerUNet(3, 3, 4, 4)), tmp_path)
    assert not hasattr(method, "discriminator")
    assert reverie.evaluate(tmp_path / "g.safetensors", tmp_path / "pairs")["psnr"].n == 4


def test_weights_of_a_run_keep_their_discriminator(tmp_path: Path) -> None:
    reverie.train("pix2pix:smoke", data="shapes:24", out=tmp_path / "run", steps=2, threads=1)
    assert hasattr(reverie.load(tmp_path / "run"), "discriminator")


def test_pix2pix_learns_with_a_resnet_too(tmp_path: Path) -> None:
    options: dict[str, Any] = dict(data="shapes:24", network="resnet", blocks=1, threads=1)
    method = reverie.train("pix2pix:smoke", out=tmp_path / "run", **options)
    assert (method.config.blocks, method.config.depth) == (1, None)
    photo = Photo.load(photo_file(tmp_path / "x.png", 5, 21))
    (stochastic,), (deterministic,) = (method.verb("translate")([photo], deterministic=s) for s in (False, True))
    assert stochastic.pixels.shape == (5, 21, 3)
    assert not np.array_equal(stochastic.pixels, deterministic.pixels)
    losses = [json.loads(line)["metrics"]["l1"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
    with pytest.raises(UserError, match="blocks is -1"):
        reverie.train("pix2pix:smoke", out=tmp_path / "other", **{**options, "blocks": -1})


# -- what cannot be ----------------------------------------------------------------------------------------------------


class Payload:
    """Pickled, an instruction to make the folder `ran` wherever it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder full of files that are no generators of that code."""
    place = tmp_path_factory.mktemp("shop")
    unet, resnet = PeerUNet(3, 3, 4, 3).state_dict(), PeerResNet(3, 3, 4, 2).state_dict()

    def keep(name: str, content: Any, **options: Any) -> None:
        torch.save(content, place / name, **options)

    keep("good.pth", unet)
    keep("resnet.pth", resnet)
    keep("evil.pth", {"model.model.0.weight": Payload()})
    keep("evil-old.pth", Payload(), _use_new_zipfile_serialization=False)
    keep("evil-wrapped.pth", {"state_dict": unet, "note": Payload()})
    keep("module.pth", nn.Conv2d(1, 1, 1))
    keep("tensor.pth", torch.zeros(3))
    keep("list.pth", [torch.zeros(3)])
    keep("empty-dict.pth", {})
    keep("checkpoint.pth", {"netD": PeerDiscriminator().state_dict(), "epoch": 3})
    keep("other.pth", nn.Sequential(nn.Linear(2, 2)).state_dict())
    keep("latest_net_D.pth", PeerDiscriminator().state_dict())
    keep("pixel.pth", {"net.0.weight": torch.zeros(4, 6, 1, 1), "net.0.bias": torch.zeros(4)})
    keep("lacking.pth", {k: v for k, v in unet.items() if k != "model.model.1.model.3.model.4.weight"})
    keep("lacking-first.pth", {k: v for k, v in unet.items() if k != "model.model.0.weight"})
    keep("more.pth", {**unet, "model.model.9.weight": torch.zeros(1)})
    keep("shape.pth", {**unet, "model.model.1.model.2.bias": torch.zeros(7)})
    keep("kernel.pth", {**resnet, "model.1.weight": torch.zeros(4, 3, 3, 3)})
    keep("nan.pth", {**unet, "model.model.3.bias": torch.full((3,), torch.nan)})
    keep("sparse.pth", {**unet, "model.model.3.bias": torch.zeros(3).to_sparse()})
    keep("four.pth", PeerUNet(4, 3, 4, 3).state_dict())
    keep("two.pth", PeerUNet(3, 2, 4, 3).state_dict())
    keep("nonorm.pth", {k: v for k, v in unet.items() if v.ndim == 4 or k == "model.model.3.bias"})
    keep("grey.pth", PeerResNet(3, 1, 4, 2).state_dict())
    keep("wide.pth", PeerResNet(3, 3, 5, 2).state_dict())
    keep("deep.pth", PeerResNet(3, 3, 4, 3).state_dict())
    keep("batch.pth", PeerResNet(3, 3, 4, 2, "batch").state_dict())
    keep("dropped.pth", PeerResNet(3, 3, 4, 2, dropout=True).state_dict())
    keep("first.pth", nn.Sequential(nn.Conv2d(3, 3, 3)).state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is old: people bring old files
        torch.jit.script(nn.Conv2d(1, 1, 1)).save(place / "script.pth")
    whole = (place / "good.pth").read_bytes()
    (place / "cut.pth").write_bytes(whole[:-300])
    (place / "text.pth").write_text("no weights here")
    (place / "nothing.pth").write_bytes(b"")
    (place / "torn.safetensors").write_bytes(safetensors.torch.save(unet)[:-100])
    (place / "there.safetensors").write_text("mine")
    (place / "folder").mkdir()
    reverie.import_checkpoint([place / "good.pth"], place / "ours.safetensors")
    return place


WRONG: list[tuple[str, ...]] = [
    # the command, then what its message holds
    ("import", "FILE", "import --help"),
    ("import good.pth", "--out", "reverie import good.pth --out model.safetensors"),
    ("import good.pth --out new.pth", "cannot write new.pth", "new.safetensors"),
    ("import good.pth --out there.safetensors", "there.safetensors is there already", "another --out"),
    ("import good.pth --out text.pth/new.safetensors", "text.pth", "cannot be written"),
    ("import nowhere.pth", "nowhere.pth cannot be read"),
    ("import folder", "folder holds neither latest_net_G.pth nor both of", "by name"),
    ("import good.pth folder", "folder cannot be read"),
    ("import good.pth resnet.pth grey.pth", "one generator, or two", "not 3 files"),
    ("import text.pth", "text.pth is not a file of torch.save or safetensors", "latest_net_G.pth"),
    ("import nothing.pth", "nothing.pth is not a file of torch.save or safetensors"),
    ("import cut.pth", "cut.pth is not a complete file of torch.save"),
    ("import torn.safetensors", "torn.safetensors is not a complete safetensors file"),
    ("import ours.safetensors", "weights file of reverie already", "use it as it is"),
    ("import evil.pth", "evil.pth holds more than tensors", "mkdir", "not read", "torch.save(net.state_dict()"),
    ("import evil-old.pth", "evil-old.pth holds more than tensors", "mkdir"),
    ("import evil-wrapped.pth", "evil-wrapped.pth holds more than tensors", "mkdir"),
    ("import module.pth", "more than tensors", "Conv2d", "net.state_dict()"),
    ("import script.pth", "TorchScript", "state dict"),
    ("import tensor.pth", "holds a Tensor", "state dict"),
    ("import list.pth", "holds a list"),
    ("import empty-dict.pth", "no generator", "it is empty"),
    ("import checkpoint.pth", "'netD' is a", "not a tensor"),
    ("import sparse.pth", "'model.model.3.bias' is not a dense tensor"),
    ("import other.pth", "no generator", "its first key is '0.weight'"),
    ("import first.pth", "no generator", "its first key is '0.weight'"),
    ("import latest_net_D.pth", "latest_net_D.pth is a discriminator", "give the generator"),
    ("import pixel.pth", "pixel.pth is a discriminator"),
    ("import lacking.pth", "lacks the key 'model.model.1.model.3.model.4.weight'"),
    ("import lacking-first.pth", "lacks the key 'model.model.0.weight'"),
    ("import more.pth", "has the key 'model.model.9.weight'"),
    ("import shape.pth", "'model.model.1.model.2.bias' is 7; 8 was expected"),
    ("import kernel.pth", "'model.1.weight' is 4x3x3x3; 7x7"),
    ("import nan.pth", "'model.model.3.bias' holds values that are not finite"),
    ("import nonorm.pth", "lacks the key", "batch or instance norm"),
    ("import four.pth", "four.pth takes 4 channels"),
    ("import two.pth", "two.pth makes 2 channels"),
    ("import dropped.pth --no-dropout", "dropped.pth has dropout, as its keys say"),
    ("import resnet.pth --dropout", "resnet.pth has no dropout, as its keys say"),
    ("import resnet.pth grey.pth", "grey.pth (3 to 1 channels) is not the way back of resnet.pth (3 to 3)"),
    ("import resnet.pth wide.pth", "4 base channels", "5 base channels", "of one training"),
    ("import resnet.pth deep.pth", "2 blocks", "3 blocks"),
    ("import resnet.pth batch.pth", "batch.pth is a ResNet", "batch norm", "each file alone"),
    ("import resnet.pth good.pth", "good.pth is a U-Net of depth 3", "each file alone"),
    ("import dropped.pth resnet.pth", "dropped.pth is a ResNet", "no dropout"),
    ("import good.pth --base-channels 3", "no flag '--base-channels'"),
]


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case[0])
def test_wrong_input_is_one_line(
    shop: Path, case: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    before = {path.name: path.read_bytes() for path in shop.iterdir() if path.is_file()}
    words = case[0].split()
    if "--out" not in words and len(words) > 1 and case[1] != "--out":
        words += ["--out", "new.safetensors"]
    capsys.readouterr()
    assert main(words) == 2
    out, error = capsys.readouterr()
    assert not out
    assert error.startswith("reverie: ")
    assert error.strip().count("\n") == 0
    assert "Traceback" not in error
    for word in case[1:]:
        assert word in error, error
    assert {path.name: path.read_bytes() for path in shop.iterdir() if path.is_file()} == before
    assert not (shop / "ran").exists(), "code in a file was run"


def test_the_payloads_of_these_tests_are_live(tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused above would have run."""
    monkeypatch.chdir(tmp_path)
    torch.load(shop / "evil.pth", weights_only=False)
    assert Path("ran").is_dir()


@pytest.mark.parametrize("make", [lambda: PeerUNet(3, 3, 2, 4), lambda: PeerResNet(3, 3, 2, 1, dropout=True)])
def test_no_key_may_be_missing_strange_or_of_another_shape(make: Callable[[], nn.Module]) -> None:
    """Whatever key is taken away or changed, it is noticed, except the count that old files lack."""
    state = make().state_dict()
    for key, tensor in state.items():
        for changed in ({k: v for k, v in state.items() if k != key}, {**state, key: torch.zeros(*tensor.shape, 2)}):
            if key.endswith("num_batches_tracked") and key not in changed:
                assert torch.equal(recognise(changed, "g").weights[ours_of(state, key)], torch.tensor(0))
                continue
            with pytest.raises(UserError) as caught:
                recognise(changed, "g")
            assert "model." in str(caught.value)
        with pytest.raises(UserError, match="has the key"):
            recognise({**state, f"{key}_more": tensor}, "g")


def ours_of(state: dict[str, torch.Tensor], key: str) -> str:
    """The name that a key of theirs has here: the one that takes a mark put there."""
    marked = recognise({**state, key: torch.tensor(77)}, "g").weights
    return next(name for name, tensor in marked.items() if tensor.ndim == 0 and int(tensor) == 77)


def test_stochastic_eval_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    method = brought(trained(PeerResNet(3, 3, 4, 1, "batch", True)), tmp_path)
    before = {k: v.clone() for k, v in method.state_dict().items()}
    with stochastic_eval(method.generator, 0), torch.no_grad():
        method.generator(noise(3, 16, 16))
    assert all(torch.equal(v, before[k]) for k, v in method.state_dict().items())
