"""Dreams: networks and layers, windows, octaves, what photos keep, classes from noise, the atlas, bad input."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import safetensors.torch
import torch
from torch import nn

import reverie
from reverie.cli.main import main
from reverie.cli.provenance import describe
from reverie.dreaming import film
from reverie.dreaming.ascent import Ascent, ascend, climb, gradient, octave_sizes, windows
from reverie.dreaming.network import DreamNetwork
from reverie.dreaming.objective import LayerObjective, Term, read_terms
from reverie.dreaming.open_network import open_network
from reverie.dreaming.parametrisation import faint_noise, fourier, phases
from reverie.dreaming.photographs import colour_power, spectrum
from reverie.dreaming.styles import STYLES
from reverie.dreaming.visualize import checked_defaults, likeness, optimise, random_crops
from reverie.media import Photo, read_record
from reverie.metrics.networks.mobilenet import MobileNetV2
from reverie.metrics.networks.squeezenet import SqueezeNet
from reverie.utils.errors import UserError
from reverie.utils.seeding import noise

QUICK = Ascent(octaves=1, steps=2, jitter=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 1, height: int = 48, width: int = 40) -> torch.Tensor:
    return torch.rand(n, 3, height, width, generator=seeded()) * 2 - 1


@pytest.fixture(scope="module")
def net() -> DreamNetwork:
    return open_network()


@pytest.fixture(scope="module")
def small() -> DreamNetwork:
    """A network of two convolutions and five classes, as a module of a user's."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(True), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU(True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5),
    )  # fmt: skip
    return open_network(module, size=32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a classifier."""
    out = tmp_path_factory.mktemp("run") / "mine"
    reverie.train("classifier:smoke", data="letters:96", out=out, steps=4, sample_every=4)
    return out


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    pixels = ((images(1, 48, 64)[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
    PIL.Image.fromarray(pixels).resize((64, 48)).save(path)
    return path


def command(*words: Any) -> int:
    return main([str(word) for word in words])


# -- networks ----------------------------------------------------------------------------------------------------------


def test_layers_have_names_and_sizes(net: DreamNetwork) -> None:
    assert net.layers["block11.expand"][2:] == (672, 14, 14, True)
    assert net.layers["block9"][2:] == (112, 14, 14, False)
    assert (net.layers["logits"].channels, net.layers["logits"].height) == (1000, 1)
    assert list(net.layers)[:3] == ["stem", "block1.depthwise", "block1"]
    x = images(2)
    found = net.maps(x, ["block2", "stem"])
    assert {name: tuple(map_.shape) for name, map_ in found.items()} == {
        "block2": (2, 24, 12, 10), "stem": (2, 32, 24, 20),
    }  # fmt: skip
    assert (found["stem"] < 0).any(), "before the ReLU"
    assert torch.equal(net.maps(x, ["logits"])["logits"], net.logits(x))
    assert "block11.expand" in net.tree()
    for style in STYLES.values():
        assert read_terms(style.layers, net)


def test_what_lies_behind_a_layer_is_not_computed(small: DreamNetwork) -> None:
    called: list[str] = []
    handle = small.module[6].register_forward_hook(lambda *_: called.append("linear"))
    small.maps(images(), ["0"])
    assert not called
    small.logits(images())
    assert called
    handle.remove()


def test_files_in_torchvisions_format(tmp_path: Path) -> None:
    torch.manual_seed(0)
    mobilenet, squeezenet = MobileNetV2().eval(), SqueezeNet(1000).eval()
    x = images(1, 64, 64)
    torch.save(mobilenet.state_dict(), tmp_path / "mobilenet.pth")
    opened = open_network(tmp_path / "mobilenet.pth")
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    with torch.no_grad():
        expected = mobilenet(((x + 1) / 2 - mean) / deviation)
        assert torch.allclose(opened.logits(x), expected, atol=1e-4)
    assert opened.find_class("golden retriever") == 207
    assert opened.layers["block2.expand"].channels == 96
    caffe = ((x + 1) * 127.5).flip(1) - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
    for network, name in ((squeezenet, "whole"), (SqueezeNet().eval(), "features")):
        about = {"input": "BGR, 0..255, minus mean"}
        safetensors.torch.save_file(network.state_dict(), tmp_path / f"{name}.safetensors", about)
        opened = open_network(tmp_path / f"{name}.safetensors")
        with torch.no_grad():
            expected = network.features(caffe)
            assert torch.allclose(opened.maps(x, ["fire9"])["fire9"].relu(), expected, atol=1e-4)
    with pytest.raises(UserError, match="without its classifier has no classes"):
        opened.find_class(3)
    opened = open_network(tmp_path / "whole.safetensors")
    with torch.no_grad():
        published = squeezenet.classifier[1](squeezenet.features(caffe)).relu().mean((2, 3))
        assert 0 <= (opened.logits(x) - published).min() <= (opened.logits(x) - published).max() < 0.18
    assert opened.find_class("golden retriever") == 207
    assert opened.layers["conv10"].rectified


def test_runs_and_modules(run: Path, small: DreamNetwork, tmp_path: Path) -> None:
    mine = open_network(run)
    assert mine.class_names == tuple(reverie.load(run).config.class_names)
    assert mine.find_class(mine.class_names[2]) == 2
    assert mine.layers["trunk.0"].channels == 16
    assert open_network(run / "weights.safetensors").fingerprint == mine.fingerprint
    assert small.class_names == ("class 0", "class 1", "class 2", "class 3", "class 4")
    reverie.train("dcgan:smoke", data="letters:96", out=tmp_path / "gan", steps=2, sample_every=2)
    discriminator = open_network(tmp_path / "gan")
    assert "discriminator" in discriminator.name
    assert len(discriminator.layers) > 3
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    reverie.dream(images()[0], weights=module, layers="1", steps=1)
    assert module.training
    assert module[0].weight.requires_grad
    assert module[0].weight.grad is None
    assert (module[1].running_mean == 0).all()
    with pytest.raises(UserError, match="does not take images"):
        open_network(nn.Linear(3, 4))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("golden retriever", 207), ("Golden Retriever", 207), ("207", 207), (207, 207), ("pelican", 144)],
)
def test_classes_by_index_and_name(net: DreamNetwork, wanted: Any, found: int) -> None:
    assert net.find_class(wanted) == found


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("goldn retriever", "Did you mean 'golden retriever'"), ("1000", "0 to 999"), ("-1", "0 to 999"),
     ("crane", "134, 517"), ("xqzw", "1000 classes"), ("dog", "Such as")],
)  # fmt: skip
def test_unknown_classes(net: DreamNetwork, wanted: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        net.find_class(wanted)


def test_terms(net: DreamNetwork) -> None:
    assert read_terms(["block9", "block9:17=0.5", "stem=-2"], net) == [
        Term("block9"), Term("block9", 17, 0.5), Term("stem", None, -2),
    ]  # fmt: skip
    for text, said in [("blok9", "'block9'"), ("block9:112", "0 to 111"), ("block9=x", "not LAYER"), ("", "not LAYER")]:
        with pytest.raises(UserError, match=said):
            read_terms([text], net)


class Malicious:
    def __reduce__(self) -> Any:
        return print, ("this code ran",)


def test_weights_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], photo: Path) -> None:
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "other.pth")
    weights = MobileNetV2().state_dict()
    del weights["features.3.conv.0.0.weight"]
    torch.save(weights, tmp_path / "lacking.pth")
    (tmp_path / "code.pth").write_bytes(pickle.dumps(Malicious()))
    torch.save({"a": Malicious()}, tmp_path / "code2.pth")
    for name, said in [
        ("other.pth", "unknown network (the first is layer.weight)"), ("lacking.pth", "is missing"),
        ("code.pth", "holds objects, not tensors"), ("code2.pth", "holds more than tensors (print)"),
        ("nothing", "there is no"),
    ]:  # fmt: skip
        assert command("dream", photo, "--weights", tmp_path / name, "--out", tmp_path / "x.png") == 2
        printed = capsys.readouterr()
        assert said in printed.err, name
        assert printed.err.count("\n") == 1
        assert "this code ran" not in printed.out
    assert not (tmp_path / "x.png").exists()
    assert command("visualize", "goldfish", "--weights", "imagenet,", "--out", tmp_path / "x.png") == 2
    assert "names of networks" in capsys.readouterr().err


def test_an_animated_photo_is_said_to_be_taken_by_its_first_frame(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [PIL.Image.new("RGB", (20, 24), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    words = ("--weights", run, "--steps", 1, "--octaves", 1, "--jitter", 0)
    assert command("dream", tmp_path / "moving.gif", "--out", tmp_path / "still.png", *words) == 0
    assert "moving.gif has several frames or pages: the first is taken" in capsys.readouterr().err
    assert np.asarray(PIL.Image.open(tmp_path / "still.png"))[..., 0].mean() > 200


# -- the ascent --------------------------------------------------------------------------------------------------------


def test_windows_cover_an_image_once() -> None:
    how = Ascent(tile=64, margin=32)
    for height, width in ((300, 500), (128, 129), (1, 1), (64, 1000)):
        count = torch.zeros(height, width)
        for window in windows(height, width, how, seeded()):
            count[window.kept_rows, window.kept_columns] += 1
            assert window.rows.start <= window.kept_rows.start < window.kept_rows.stop <= window.rows.stop
        assert (count == 1).all()
    starts = {tuple(w.kept_rows.start for w in windows(300, 40, how, seeded(seed))) for seed in range(8)}
    assert len(starts) > 1, "their borders move from step to step"


def test_tiled_equals_whole_where_no_jitter_is_used(net: DreamNetwork) -> None:
    x, objective = images(1, 320, 288), LayerObjective(net, [Term("block2")])
    whole, tiled = (dataclasses.replace(QUICK, tile=tile, margin=64) for tile in (512, 128))
    assert len(list(windows(320, 288, tiled, seeded()))) == 6
    a, b = climb(x, objective, whole, seeded()), climb(x, objective, tiled, seeded())
    assert (a - b).abs().max() <= 1 / 255
    assert (a - x).abs().mean() > 2 / 255


def test_a_step_moves_values_by_its_size_on_average(net: DreamNetwork) -> None:
    x = images() / 2
    y = x.clone()
    objective = LayerObjective(net, [Term("block4")])
    ascend(y, objective, dataclasses.replace(QUICK, step_size=3), seeded())
    assert float((y - x).abs().mean()) == pytest.approx(3 / 127.5, rel=0.02)
    assert objective(y) > objective(x)
    g = gradient(x, objective, dataclasses.replace(QUICK, smoothing=0, colour=0), seeded())
    x.requires_grad_()
    assert torch.allclose(g, torch.autograd.grad(objective(x), x)[0], atol=1e-5)


def test_octaves() -> None:
    assert octave_sizes(196, 98, Ascent()) == [(71, 36), (100, 50), (140, 70), (196, 98)]
    assert octave_sizes(40, 40, Ascent()) == [(40, 40)]
    assert octave_sizes(1, 1, Ascent()) == [(1, 1)]


def test_layers_rise_where_a_random_change_of_the_same_size_does_not(net: DreamNetwork) -> None:
    x = faint_noise(noise(0, [0], 3, 96, 96))
    objective = LayerObjective(net, read_terms(STYLES["creatures"].layers, net))
    y = climb(x, objective, Ascent(octaves=2, steps=4), seeded())
    change = y - x
    shuffled = change.flatten(2)[:, :, torch.randperm(96 * 96, generator=seeded())].view_as(change)
    with torch.no_grad():
        assert objective(y) > 1.5 * objective(x)
        assert objective(y) > 1.3 * objective((x + shuffled).clamp(-1, 1))


def test_several_layers_count_by_their_weights(net: DreamNetwork) -> None:
    x = images()
    objective = LayerObjective(net, [Term("block2"), Term("block9")])
    objective.calibrate(x)
    norms = []
    for i in range(2):
        alone = LayerObjective(net, [objective.terms[i]])
        alone.scales = [objective.scales[i]]
        norms.append(
            float(gradient(x, alone, dataclasses.replace(QUICK, smoothing=0, colour=0), seeded()).abs().mean())
        )
    assert norms[0] == pytest.approx(norms[1], rel=0.01)


def test_a_guide_draws_the_photo_to_itself(net: DreamNetwork) -> None:
    x, guide = images(1, 64, 64), faint_noise(noise(1, [0], 3, 64, 64))
    objective = LayerObjective(net, [Term("block6.expand")], guide)
    y = climb(x, objective, Ascent(octaves=1, steps=4), seeded())
    with torch.no_grad():
        assert objective(y) > objective(x)
    plain = climb(x, LayerObjective(net, [Term("block6.expand")]), Ascent(octaves=1, steps=4), seeded())
    assert not torch.allclose(y, plain, atol=0.05)


# -- dream -------------------------------------------------------------------------------------------------------------

FAST = ("--steps", "1", "--octaves", "1", "--layers", "block2")


def test_the_same_seed_gives_the_same_file(photo: Path, tmp_path: Path) -> None:
    hashes = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert command("dream", photo, "--out", tmp_path / f"{name}.png", *FAST, "--seed", seed) == 0
        hashes.append(hashlib.sha256((tmp_path / f"{name}.png").read_bytes()).hexdigest())
    assert hashes[0] == hashes[1] != hashes[2]
    record = read_record(tmp_path / "a.png")
    assert record["verb"] == "dream"
    assert record["layers"] == [{"layer": "block2", "channel": None, "weight": 1.0}]
    assert record["inputs"][0]["name"] == "photo.png"
    assert command("provenance", tmp_path / "a.png") == 0


def test_a_film_is_in_srgb_and_keeps_transparency(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")
    red = np.zeros((16, 24, 3), np.uint16) + np.array([65535, 0, 0], np.uint16)
    alpha = np.where(np.arange(24) < 12, 0, 65535).astype(np.uint16) * np.ones((16, 1), np.uint16)
    frames = [Photo(red, alpha, profile=swapped), Photo(red // 2, alpha, profile=swapped)]
    with PIL.Image.open(film.save_film(frames, tmp_path / "film.webp")) as webp:
        first = np.asarray(webp.convert("RGBA")).astype(int)
    assert (first[:, :12, 3] == 0).all()
    assert (first[:, 12:, 3] == 255).all()
    assert np.abs(first[4:12, 16:20, :3] - [0, 255, 0]).max() < 40  # what the profile takes for red is green
    pytest.importorskip("imageio_ffmpeg")
    assert film.save_film(frames, tmp_path / "film.mp4").stat().st_size > 0


def test_what_a_photo_keeps(tmp_path: Path) -> None:
    from PIL import ImageCms

    pixels = ((images(1, 40, 56)[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
    alpha = np.tile(np.arange(56, dtype=np.uint8) * 4, (40, 1))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    PIL.Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "alpha.png", icc_profile=profile)
    PIL.Image.fromarray(pixels[:, :, 0]).save(tmp_path / "grey.png")
    PIL.Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    PIL.Image.fromarray(pixels[:4, :5]).save(tmp_path / "tiny.png")
    frames = [PIL.Image.fromarray(pixels), PIL.Image.fromarray(255 - pixels)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    for name in ("alpha.png", "grey.png", "deep.png", "tiny.png", "moving.gif"):
        made = reverie.dream(tmp_path / name, layers="block2", steps=1, octaves=1)[0]
        given = Photo.load(tmp_path / name)
        assert made.pixels.shape == (*given.pixels.shape[:2], 3)
        assert made.pixels.dtype == given.pixels.dtype
        assert (made.profile == given.profile) or given.pixels.shape[2] == 1
        assert (made.alpha is None) == (given.alpha is None)
        if given.alpha is not None:
            assert (made.alpha == given.alpha).all()
        made.save(tmp_path / "made" / f"{name}.png")
    assert (Photo.load(tmp_path / "made" / "deep.png.png").pixels.dtype) == np.uint16


def test_frames_zoom_and_make_a_film(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("dream", photo, "--out", tmp_path / "film.webp", *FAST, "--frames", 3) == 0
    with PIL.Image.open(tmp_path / "film.webp") as film:
        assert (film.n_frames, film.size) == (3, (64, 48))
    assert command("dream", photo, "--out", tmp_path / "film.webp", *FAST) == 2
    assert "there already" in capsys.readouterr().err
    assert command("dream", photo, "--out", tmp_path / "frames", *FAST, "--frames", 3, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 3
    two = [photo, tmp_path / "frames" / "photo.png"]
    carried, alone = (reverie.dream(two, layers="block2", steps=1, octaves=1, carry=carry) for carry in (0.8, 0))
    assert (carried[0].pixels == alone[0].pixels).all()
    assert (carried[1].pixels != alone[1].pixels).any()


def test_a_film_as_mp4(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a stand-in for the encoder, which is an extra: what it is given, and that nothing is left of a failure."""
    words = ("dream", photo, "--out", tmp_path / "film.mp4", *FAST, "--frames", 2)
    monkeypatch.setattr(film, "find_spec", lambda name: None)
    assert command(*words) == 2
    assert "pip install 'reverie[film]'" in capsys.readouterr().err
    sent: list[Any] = []

    def write_frames(path: str, size: tuple[int, int], **options: Any) -> Any:
        sent.append((size, options["codec"], options["fps"]))
        while True:
            frame = yield
            if len(sent) == 2 and failing:
                raise OSError("Broken pipe")
            sent.append(frame.shape)
            Path(path).write_bytes(b"mp4")

    monkeypatch.setattr(film, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", types.SimpleNamespace(write_frames=write_frames))
    failing = True
    assert command(*words) == 2
    assert "cannot be written as MP4 (Broken pipe)" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.mp4*"))
    failing = False
    sent.clear()
    PIL.Image.open(photo).resize((63, 47)).save(photo)
    assert command(*words) == 0
    assert sent == [((64, 48), "libx264", 12), (48, 64, 3), (48, 64, 3)]
    assert (tmp_path / "film.mp4").read_bytes() == b"mp4"


def test_networks_without_the_styles_layers(small: DreamNetwork, photo: Path) -> None:
    assert reverie.dream(photo, weights=small, steps=1)[0].record["layers"][0]["layer"] in small.layers
    with pytest.raises(UserError, match="creatures has the layers block11"):
        reverie.dream(photo, weights=small, style="creatures")


def test_layers_and_styles_are_listed(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    assert command("dream", "--list-styles") == 0
    assert "creatures" in capsys.readouterr().out
    assert command("dream", "--list-layers") == 0
    assert "block11.expand" in capsys.readouterr().out
    assert command("visualize", run, "--list-layers", "--json") == 0
    assert json.loads(capsys.readouterr().out)["layers"][0]["name"] == "trunk.0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layers", "blok9"], "Did you mean 'block9'"),
        (["--style", "creaturs"], "Did you mean 'creatures'"),
        (["--style", "creatures", "--layers", "block9"], "not both"),
        (["--steps", "0"], "1 or more"),
        (["--strength", "nan"], "finite"),
        (["--tile", "100"], "multiple of 32"),
        (["--seed", "-1"], "0 or more"),
        (["--guide", "missing.jpg"], "cannot be read"),
        (["--out", "x.jpg"], "cannot write"),
    ],
)
def test_wrong_options(
    photo: Path, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [] if "--out" in words else ["--out", tmp_path / "x.png"]
    assert command("dream", photo, *out, *words) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_wrong_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(64))
    PIL.Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(32))
    for name in ("clip.mp4", "broken.jpg", "one.png"):
        assert command("dream", tmp_path / name, "--out", tmp_path / "x.png") == 2
        assert "not a usable image" in capsys.readouterr().err
    assert command("dream") == 2
    assert command("visualize", "--out", tmp_path / "x.png") == 2
    assert command("visualize", "goldn retriever", "--out", tmp_path / "x.png") == 2
    assert "golden retriever" in capsys.readouterr().err


# -- visualize ---------------------------------------------------------------------------------------------------------


def test_parametrisations_stand_for_images() -> None:
    begin = faint_noise(noise(0, [3, 4], 3, 32, 32))
    assert torch.allclose(fourier(begin).image(), begin.clamp(-0.98, 0.98), atol=1e-4)
    assert 0.02 < float(begin.std()) < 0.4
    described = phases(noise(0, [3], 3, 64, 64))
    before = described.image().detach()
    with torch.no_grad():
        described.parameters.add_(1.0)
    after = described.image().detach()
    assert not torch.allclose(before, after, atol=0.1)
    assert 0.2 < float(before.std()) < 1
    root = colour_power(0.5)
    assert torch.allclose(root @ root, colour_power(1), atol=1e-4)
    strengths = spectrum(64, 64)
    assert strengths.shape == (3, 64, 33)
    assert (strengths[:, 0, 1:-1] >= strengths[:, 0, 2:]).all()


def test_crops() -> None:
    views = random_crops(images(2, 40, 40), 3, 0.45, 24, seeded())
    assert views.shape == (6, 3, 24, 24)
    assert views.min() >= -1
    assert views.max() <= 1


def test_a_class_rises_from_noise(small: DreamNetwork) -> None:
    options: dict[str, Any] = dict(weights=small, size=32, steps=12, progress=False)
    for style in ("fourier", "maco", "pixels"):
        (made,) = reverie.visualize(3, style=style, **options)
        (begun,) = reverie.visualize(3, style=style, **{**options, "steps": 1})
        with torch.no_grad():
            after, before = (small.logits(image.tensor()[None])[0, 3] for image in (made, begun))
        assert after > before, style
    again, other = reverie.visualize([3, "0:5"], **options)
    assert (again.pixels == reverie.visualize("class 3", **options)[0].pixels).all()
    assert (other.record or {})["target"] == "0:5"
    two = reverie.visualize(3, n=2, **options)
    assert (two[0].pixels == again.pixels).all()
    assert (two[1].pixels != again.pixels).any()


def test_beginnings_ensembles_and_diversity(small: DreamNetwork, photo: Path) -> None:
    options: dict[str, Any] = dict(size=32, steps=8, progress=False)
    black = reverie.visualize(1, weights=small, start="black", **{**options, "steps": 1})[0]
    assert black.pixels.mean() < 40
    from_photo = reverie.visualize(1, weights=small, image=photo, **{**options, "steps": 1})[0]
    assert from_photo.inputs[0]["name"] == "photo.png"
    unit, channel = (reverie.visualize("2:3", weights=small, unit=unit, **options)[0] for unit in (True, False))
    assert (unit.pixels != channel.pixels).any()
    both = reverie.visualize(1, weights=[small, small], **options)[0]
    assert (both.record or {})["networks"] == ["Sequential", "Sequential"]
    alike, unlike = (
        likeness(
            small, torch.stack([i.tensor() for i in reverie.visualize(1, weights=small, n=3, diversity=d, **options)])
        )
        for d in (1e-9, 30)
    )
    assert unlike < alike


def test_classes_climb_two_networks_in_turn_and_channels_one(tmp_path: Path) -> None:
    both, one = reverie.visualize(["goldfish", "block2:3"], size=32, steps=2, progress=False)
    assert (both.record or {})["networks"] == ["EfficientNet-Lite0", "EfficientNet-Lite2"]
    both.save(tmp_path / "both.png")
    lines = describe(read_record(tmp_path / "both.png")).splitlines()
    assert [line.split()[1] for line in lines if line.startswith("network ")] == (both.record or {})["networks"]
    assert (one.record or {})["networks"] == ["EfficientNet-Lite0"]
    named = reverie.visualize(1, weights=["imagenet", "efficientnet_lite2"], size=32, steps=2, progress=False)[0]
    assert (named.pixels == both.pixels).all()
    called = []

    def value_of(name: str) -> Any:
        return lambda x: (called.append(name), x.sum((1, 2, 3)))[1]

    optimise([value_of("a"), value_of("b")], checked_defaults(steps=5), 16, [0], None)
    assert "".join(called) == "ababa"


def test_a_run_on_ones_own_data(run: Path, tmp_path: Path) -> None:
    name = reverie.load(run).config.class_names[1]
    assert command("visualize", run, name, "--out", tmp_path / "mine.png", "--steps", 2) == 0
    record = read_record(tmp_path / "mine.png")
    assert (record["target"], record["arguments"]["steps"]) == (name, 2)
    assert command("visualize", run, name, "trunk.0:3", "--out", tmp_path / "grid.png", "--steps", 1, "--size", 20) == 0
    assert PIL.Image.open(tmp_path / "grid.png").size == (46, 24)
    assert command("visualize", run, name, "-n", 2, "--out", tmp_path / "many", "--steps", 1) == 0
    assert len(list((tmp_path / "many").glob("*.png"))) == 2
    with pytest.raises(UserError, match="has no class 'pelican'"):
        reverie.visualize("pelican", weights=run)


# -- atlas -------------------------------------------------------------------------------------------------------------


def test_an_atlas_goes_on_where_it_stopped(
    run: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "atlas"
    words = ("atlas", run, "--out", out, "--layers", "trunk.0,trunk.3.conv1,head", "--channels", 2, "--size", 24,
             "--steps", 2, "--image", photo)  # fmt: skip
    assert command(*words) == 0
    assert "3 sheets to make; about" in capsys.readouterr().err
    sheets = sorted(path.name for path in out.glob("*.png"))
    assert sheets == ["head.png", "trunk-0-dream.png", "trunk-0.png", "trunk-3-conv1-dream.png", "trunk-3-conv1.png"]
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5
    kept = {path: path.read_bytes() for path in out.glob("*.png")}
    (out / "head.png").unlink()
    before = (out / "trunk-0.png").stat().st_mtime_ns
    assert command(*words) == 0
    assert "1 sheets to make, 2 are there already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.glob("*.png")} == kept
    assert (out / "trunk-0.png").stat().st_mtime_ns == before
    assert command("atlas", run, "--out", tmp_path / "a.html") == 2
