"""Networks of BasicSR, ESRGAN and Real-ESRGAN brought here: the same output, and one line for what cannot be.

The networks are written below as functions of weights with the keys of published files, images in [0,1].
"""

from __future__ import annotations

import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

import reverie
from reverie import UserError
from reverie.cli.main import main
from reverie.convert.basicsr_checkpoints import recognise_upscaler
from reverie.convert.cyclegan_checkpoints import recognise
from reverie.media import Photo, read_record
from reverie.nn.basicsr_networks import MSRResNet, RRDBNet, SRVGGNetCompact

NEAR = 1e-4
Weights = dict[str, torch.Tensor]


def conv(weights: Weights, key: str, x: torch.Tensor) -> torch.Tensor:
    return F.conv2d(x, weights[f"{key}.weight"], weights[f"{key}.bias"], padding=1)


def drawn(shapes: dict[str, tuple[int, int]], seed: int = 0) -> Weights:
    """3x3 convolutions by key, (out, in), with weights that keep the size of what passes; PReLU where in is 0."""
    draws = torch.Generator().manual_seed(seed)
    weights = {}
    for key, (out, into) in shapes.items():
        if into:
            weights[f"{key}.weight"] = torch.randn(out, into, 3, 3, generator=draws) / (3 * into**0.5)
            weights[f"{key}.bias"] = torch.randn(out, generator=draws) * 0.1
        else:
            weights[f"{key}.weight"] = torch.rand(out, generator=draws)
    return weights


# -- RRDBNet: (key of a dense convolution, first, body, ups, hr, last) -------------------------------------------------

NAMES: dict[str, Callable[[int, int], tuple[str, str, str, list[str], str, str]]] = {
    "BasicSR": lambda blocks, ups: (
        "body.{}.rdb{}.conv{}", "conv_first", "conv_body", ["conv_up1", "conv_up2"][:ups], "conv_hr", "conv_last",
    ),
    "ESRGAN": lambda blocks, ups: (
        "RRDB_trunk.{}.RDB{}.conv{}", "conv_first", "trunk_conv", ["upconv1", "upconv2"][:ups], "HRconv", "conv_last",
    ),
    "numbered": lambda blocks, ups: (
        "model.1.sub.{}.RDB{}.conv{}.0", "model.0", f"model.1.sub.{blocks}",
        *{
            0: ([], "model.2", "model.4"), 1: (["model.3"], "model.5", "model.7"),
            2: (["model.3", "model.6"], "model.8", "model.10"),
        }[ups],
    ),
}  # fmt: skip


def rrdb(
    naming: str, ups: int, fold: int = 1, blocks: int = 2, wide: int = 8, grow: int = 4, channels: int = 3
) -> Weights:
    dense, first, body, doubling, hr, last = NAMES[naming](blocks, ups)
    shapes = {first: (wide, channels * fold**2)}
    for b, d, c in itertools.product(range(blocks), (1, 2, 3), range(5)):
        shapes[dense.format(b, d, c + 1)] = (wide if c == 4 else grow, wide + c * grow)
    shapes |= dict.fromkeys((body, *doubling, hr), (wide, wide))
    return drawn({**shapes, last: (channels, wide)})


def run_rrdb(weights: Weights, x: torch.Tensor, naming: str, ups: int, fold: int = 1, blocks: int = 2) -> torch.Tensor:
    dense, first, body, doubling, hr, last = NAMES[naming](blocks, ups)
    b, c, h, w = x.shape
    x = x.view(b, c, h // fold, fold, w // fold, fold).permute(0, 1, 3, 5, 2, 4).reshape(b, -1, h // fold, w // fold)
    features = y = conv(weights, first, x)
    for block in range(blocks):
        whole = y
        for d in (1, 2, 3):
            parts = [y]
            for k in (1, 2, 3, 4):
                parts.append(F.leaky_relu(conv(weights, dense.format(block, d, k), torch.cat(parts, 1)), 0.2))
            y = y + 0.2 * conv(weights, dense.format(block, d, 5), torch.cat(parts, 1))
        y = whole + 0.2 * y
    y = features + conv(weights, body, y)
    for key in doubling:
        y = F.leaky_relu(conv(weights, key, y.repeat_interleave(2, 2).repeat_interleave(2, 3)), 0.2)
    return conv(weights, last, F.leaky_relu(conv(weights, hr, y), 0.2))


def msrresnet(scale: int, body: str = "body", hr: str = "conv_hr", wide: int = 8, channels: int = 3) -> Weights:
    shapes = {"conv_first": (wide, channels)}
    shapes |= {f"{body}.{b}.conv{c}": (wide, wide) for b in range(2) for c in (1, 2)}
    shapes |= {"upconv1": (wide * (9 if scale == 3 else 4), wide), hr: (wide, wide), "conv_last": (channels, wide)}
    return drawn({**shapes, **({"upconv2": (wide * 4, wide)} if scale == 4 else {})})


def run_msrresnet(
    weights: Weights, x: torch.Tensor, scale: int, body: str = "body", hr: str = "conv_hr"
) -> torch.Tensor:
    y = F.leaky_relu(conv(weights, "conv_first", x), 0.1)
    for b in range(2):
        y = y + conv(weights, f"{body}.{b}.conv2", conv(weights, f"{body}.{b}.conv1", y).relu())
    y = F.leaky_relu(F.pixel_shuffle(conv(weights, "upconv1", y), 3 if scale == 3 else 2), 0.1)
    if scale == 4:
        y = F.leaky_relu(F.pixel_shuffle(conv(weights, "upconv2", y), 2), 0.1)
    y = conv(weights, "conv_last", F.leaky_relu(conv(weights, hr, y), 0.1))
    return y + F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def srvgg(scale: int, channels: int = 3, wide: int = 8, convolutions: int = 3) -> Weights:
    shapes = {"body.0": (wide, channels), "body.1": (wide, 0)}
    for k in range(1, convolutions + 1):
        shapes |= {f"body.{2 * k}": (wide, wide), f"body.{2 * k + 1}": (wide, 0)}
    return drawn({**shapes, f"body.{2 * convolutions + 2}": (channels * scale**2, wide)})


def run_srvgg(weights: Weights, x: torch.Tensor, scale: int) -> torch.Tensor:
    y, layers = x, sum(key.endswith(".weight") for key in weights)
    for k in range(layers):
        y = F.prelu(y, weights[f"body.{k}.weight"]) if k % 2 else conv(weights, f"body.{k}", y)
    return F.pixel_shuffle(y, scale) + x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


Case = tuple[Weights, Callable[[Weights, torch.Tensor], torch.Tensor], dict[str, Any]]


def cases() -> Iterator[tuple[str, Case]]:
    """What it is called, its weights, its forward, and the config that its file gives."""
    for naming, ups, fold in (
        ("BasicSR", 2, 1), ("ESRGAN", 2, 1), ("numbered", 2, 1), ("BasicSR", 2, 2), ("BasicSR", 2, 4), ("ESRGAN", 1, 1),
        ("numbered", 1, 1), ("numbered", 0, 1),
    ):  # fmt: skip
        config = dict(network="rrdb", scale=2**ups // fold, unshuffle=fold, blocks=2, growth_channels=4)
        run = partial(run_rrdb, naming=naming, ups=ups, fold=fold)
        yield f"RRDBNet, {naming}, x{config['scale']}, folded {fold}", (rrdb(naming, ups, fold), run, config)
    run = partial(run_rrdb, naming="ESRGAN", ups=2)
    yield "RRDBNet, grey", (rrdb("ESRGAN", 2, channels=1), run, dict(network="rrdb", scale=4, channels=1))
    for scale in (2, 3, 4):
        for names in (("body", "conv_hr"), ("recon_trunk", "HRconv")):
            run = partial(run_msrresnet, scale=scale, body=names[0], hr=names[1])
            yield f"MSRResNet x{scale}, {names[0]}", (
                msrresnet(scale, *names), run, dict(network="msrresnet", scale=scale, blocks=2),
            )  # fmt: skip
        config = dict(network="srvgg", scale=scale, blocks=3)
        yield f"SRVGGNetCompact x{scale}", (srvgg(scale), partial(run_srvgg, scale=scale), config)


CASES = dict(cases())


def brought(weights: Any, tmp_path: Path) -> Any:
    torch.save(weights, tmp_path / "net.pth")
    reverie.import_checkpoint([tmp_path / "net.pth"], tmp_path / "net.safetensors")
    return reverie.load(tmp_path / "net.safetensors")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_naming_gives_the_same_output(case: Case, tmp_path: Path) -> None:
    weights, run, config = case
    method = brought(weights, tmp_path)
    channels = config.get("channels", 3)
    wanted_config = {"base_channels": 8, "channels": channels, **config}
    assert {name: getattr(method.config, name) for name in wanted_config} == wanted_config
    x = torch.rand(1, channels, 12, 20, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = run(weights, x)
        assert wanted.shape == (1, channels, 12 * config["scale"], 20 * config["scale"])
        assert wanted.std() > 0.01
        assert ((method.generator(2 * x - 1) + 1) / 2 - wanted).abs().max() < NEAR


def test_what_a_file_may_look_like(tmp_path: Path) -> None:
    """Under params_ema before params, bare, from several GPUs, in half precision, as safetensors."""
    weights, run, _ = CASES["RRDBNet, BasicSR, x4, folded 1"]
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = run(weights, x)
    doubled = {key: 2 * tensor for key, tensor in weights.items()}
    for number, (content, near) in enumerate(
        [
            ({"params": doubled, "params_ema": weights}, NEAR),
            ({"params": weights}, NEAR),
            ({f"module.{key}": tensor for key, tensor in weights.items()}, NEAR),
            ({key: tensor.half() for key, tensor in weights.items()}, 0.01),
        ]
    ):
        (folder := tmp_path / str(number)).mkdir()
        with torch.no_grad():
            assert ((brought(content, folder).generator(2 * x - 1) + 1) / 2 - wanted).abs().max() < near
    safetensors.torch.save_file(weights, tmp_path / "net.st")
    reverie.import_checkpoint([tmp_path / "net.st"], tmp_path / "st.safetensors")
    with torch.no_grad():
        assert ((reverie.load(tmp_path / "st.safetensors").generator(2 * x - 1) + 1) / 2 - wanted).abs().max() < NEAR


def test_published_sizes_are_read_off_the_shapes() -> None:
    """RealESRGAN_x4plus has 16.7 M parameters, realesr-animevideov3 .62 M, ESRGAN's MSRResNet x4 1.52 M."""
    made = {
        "rrdb": (RRDBNet(3, 64, 23, 4, 32, 1), 16_697_987, ("body.22.rdb3.conv5.weight", [64, 192, 3, 3])),
        "srvgg": (SRVGGNetCompact(3, 64, 16, 4), 621_424, ("body.34.weight", [48, 64, 3, 3])),
        "msrresnet": (MSRResNet(3, 64, 16, 4), 1_517_571, ("upconv2.weight", [256, 64, 3, 3])),
    }
    for kind, (net, parameters, (key, shape)) in made.items():
        state = net.state_dict()
        assert sum(p.numel() for p in net.parameters()) == parameters
        assert list(state[key].shape) == shape
        network = recognise_upscaler(state, "net.pth")
        assert network is not None
        assert (network.kind, network.scale, network.base_channels) == (kind, 4, 64)


@pytest.mark.parametrize("weights", [rrdb("numbered", 1, blocks=1), msrresnet(3), srvgg(2)])
def test_no_key_may_be_missing_strange_or_of_another_shape(weights: Weights) -> None:
    for key, tensor in weights.items():
        for changed in (
            {k: v for k, v in weights.items() if k != key},
            {**weights, key: torch.zeros(*tensor.shape, 2)},
        ):
            with pytest.raises(UserError):
                assert (recognise_upscaler(changed, "g") or recognise(changed, "g")) is None, key
        with pytest.raises(UserError, match="has the key"):
            recognise_upscaler({**weights, f"{key}_more": tensor}, "g")


# -- the command line --------------------------------------------------------------------------------------------------


def photo_file(path: Path, height: int = 22, width: int = 31) -> Path:
    draws = np.random.Generator(np.random.Philox(key=[3, height]))
    PIL.Image.fromarray(draws.integers(0, 256, (height, width, 3), np.uint8)).save(path)
    return path


def test_import_then_upscale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "RRDBNet, BasicSR, x2, folded 2"
    weights, run, _ = CASES[name]
    torch.save({"params_ema": weights}, "RealESRGAN_x2plus.pth")
    photo = photo_file(Path("photo.png"), 22, 30)
    assert main(["import", "RealESRGAN_x2plus.pth", "--out", "x2.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "RRDBNet x2 of 2 blocks, 8 channels, folded by 2, colour" in out
    assert "next: reverie upscale x2.safetensors photo.jpg" in out
    assert main(["upscale", "x2.safetensors", "photo.png", "--out", "big.png"]) == 0
    loaded = Photo.load(photo)
    with torch.no_grad():
        wanted = loaded.with_pixels(2 * run(weights, (loaded.to_tensor(3) + 1) / 2)[0] - 1).pixels
    made = Photo.load("big.png").pixels
    assert made.shape == (44, 60, 3)
    assert np.abs(made.astype(int) - wanted).max() <= 1
    assert read_record(Path("big.png"))["imported"][0]["name"] == "RealESRGAN_x2plus.pth"
    odd = photo_file(Path("odd.png"), 21, 31)  # what is folded is filled up, and cut off
    assert main(["upscale", "x2.safetensors", str(odd), "--scale", "3", "--out", "odd3.png"]) == 0
    assert Photo.load("odd3.png").pixels.shape == (63, 93, 3)
    capsys.readouterr()
    assert main(["import", "RealESRGAN_x2plus.pth", "--out", "again.safetensors", "--json"]) == 0
    (net,) = json.loads(capsys.readouterr().out)["networks"]
    assert (net["kind"], net["naming"], net["scale"], net["unshuffle"]) == ("rrdb", "BasicSR", 2, 2)


def test_tiles_of_a_folded_network_change_nothing_that_shows(tmp_path: Path) -> None:
    method = brought(CASES["RRDBNet, BasicSR, x2, folded 2"][0], tmp_path)
    photo = Photo(np.random.default_rng(0).integers(0, 256, (301, 333, 3), np.uint8))
    whole, tiles = (method.verb("upscale")([photo], tile=tile)[0].pixels.astype(int) for tile in (512, 256))
    assert np.abs(whole - tiles).max() <= 1
    assert (whole == tiles).mean() > 0.99


def test_they_learn_too_and_a_network_that_does_not_enlarge_needs_something_to_undo(tmp_path: Path) -> None:
    options: dict[str, Any] = dict(data="shapes:8", steps=2, base_channels=4, blocks=1, threads=1, adv_share=0.0)
    for name, more in (("rrdb", {"growth_channels": 4, "unshuffle": 2}), ("msrresnet", {}), ("srvgg", {})):
        method = reverie.train("srgan:smoke", out=tmp_path / name, network=name, **{**options, **more})
        assert method.verb("upscale")([Photo(np.zeros((9, 8, 3), np.uint8))])[0].pixels.shape == (18, 16, 3)
    clean: dict[str, Any] = {**options, "scale": 1}
    with pytest.raises(UserError, match="nothing to learn; give --inputs camera"):
        reverie.train("srgan:smoke", out=tmp_path / "one", **clean)
    method = reverie.train("srgan:smoke", out=tmp_path / "one", inputs="camera", **clean)
    with pytest.raises(UserError, match="does not enlarge"):
        reverie.evaluate(tmp_path / "one", "shapes:4")
    with pytest.raises(UserError, match="scale must be 1, 2 or 4"):
        reverie.train("srgan:smoke", out=tmp_path / "three", network="rrdb", **{**options, "scale": 3})


def compressed(path: Path) -> None:
    """The file again, as a zip that unpacks to more than it is."""
    with zipfile.ZipFile(path) as old:
        members = [(info.filename, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in members:
            new.writestr(name, data)


WRONG: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "eight.pth": (
        lambda: {**rrdb("numbered", 2), **drawn({"model.9": (8, 8), "model.11": (8, 8), "model.13": (3, 8)})},
        ("enlarges 8 times", "by 1, 2, 3 or 4"),
    ),
    "four.pth": (lambda: srvgg(2, channels=4), ("takes 4 channels", "1 (grey) or 3 (colour)")),
    "folded.pth": (lambda: {**rrdb("BasicSR", 2), **drawn({"conv_first": (8, 27)})}, ("takes 27 channels",)),
    "relu.pth": (
        lambda: {k: v for k, v in srvgg(2).items() if v.ndim == 4 or k.endswith("bias")}, ("no generator", "body.0"),
    ),
    "lacking.pth": (
        lambda: {k: v for k, v in rrdb("BasicSR", 2).items() if k != "body.1.rdb3.conv5.bias"},
        ("lacks the key 'body.1.rdb3.conv5.bias'", "RRDBNet"),
    ),
    "plus.pth": (
        lambda: {**rrdb("ESRGAN", 2), "RRDB_trunk.0.RDB1.conv1x1.weight": torch.zeros(4, 8, 1, 1)},
        ("has the key 'RRDB_trunk.0.RDB1.conv1x1.weight'",),
    ),
    "nan.pth": (lambda: {k: v * torch.nan for k, v in msrresnet(2).items()}, ("values that are not finite",)),
    "repeated.pth": (
        lambda: {k: v.new_zeros(()).expand(v.shape) for k, v in srvgg(2).items()}, ("is not a dense tensor",),
    ),
    "vgg.pth": (lambda: drawn({"conv0_0": (64, 3)}), ("no generator", "'conv0_0.weight'")),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, words = WRONG[name]
    torch.save(make(), name)
    assert main(["import", name, "--out", "new.safetensors"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"reverie: {name}")
    assert error.strip().count("\n") == 0
    for word in words:
        assert word in error, error
    assert not Path("new.safetensors").exists()


def test_more_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(srvgg(2), "good.pth")
    torch.save({k: torch.zeros_like(v) for k, v in srvgg(4).items()}, "zip.pth")
    compressed(Path("zip.pth"))
    for words, said in (
        (["zip.pth"], "zip.pth is a compressed zip"),
        (["good.pth", "good.pth"], "no method of reverie is made of 2 such networks"),
        (["good.pth", "--dropout"], "good.pth has no dropout"),
    ):
        assert main(["import", *words, "--out", "new.safetensors"]) == 2
        assert said in capsys.readouterr().err
    assert main(["import", "good.pth", "--out", "x2.safetensors"]) == 0
    photo_file(Path("photo.png"))
    for words, said in (
        (["--scale", "17"], "from 1 to 16"),
        (["--tile", "5"], "a multiple of 64"),
        (["nowhere.png"], "there is no image at nowhere.png"),
    ):
        assert main(["upscale", "x2.safetensors", "photo.png", *words, "--out", "big.png"]) == 2
        assert said in capsys.readouterr().err
