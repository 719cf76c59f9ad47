"""Translation and restoration as users run them: files in, files out, scores against the targets."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

import reverie
from reverie.cli.main import main
from reverie.cli.verify import verify
from reverie.data.images.conversion import LUMA
from reverie.media import Photo, read_record
from reverie.methods.cyclegan import CycleGAN
from reverie.methods.restoration import Restoration
from reverie.metrics.full_reference import psnrs, segmentation_metrics, ssim
from reverie.training.prepare import parse_method
from reverie.transforms.resampling import imresize_tensor
from reverie.utils.errors import UserError


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs in two folders, with a train and a test split, and runs of each method."""
    root = tmp_path_factory.mktemp("workspace")
    for split, count in (("train", 12), ("test", 40)):
        for side in "AB":
            (root / "pairs" / f"{split}{side}").mkdir(parents=True)
        for i, item in enumerate(reverie.open_data(f"shapes:{count}").prepare(24).array):
            PIL.Image.fromarray(item).save(root / "pairs" / f"{split}A" / f"{i}.png")
            PIL.Image.fromarray(255 - item).save(root / "pairs" / f"{split}B" / f"{i}.png")
    pairs = str(root / "pairs")
    reverie.train("pix2pix:smoke", data=pairs, out=root / "pix", degradation="", threads=1)
    reverie.train("pix2pix:smoke", data="shapes:12", out=root / "grey", threads=1)
    reverie.train("cyclegan:smoke", data=pairs, out=root / "cycle", threads=1)
    reverie.train("restoration:smoke", data="shapes:24", out=root / "restore", threads=1)
    return root


def random_image(path: Path, height: int, width: int, alpha: bool = False) -> Path:
    """Writes an image of random pixels."""
    draws = np.random.Generator(np.random.Philox(key=[2, height]))
    PIL.Image.fromarray(draws.integers(0, 256, (height, width, 4 if alpha else 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize(("run", "verb"), [("pix", "translate"), ("cycle", "translate"), ("restore", "restore")])
def test_any_size_alpha_and_order(workspace: Path, tmp_path: Path, run: str, verb: str) -> None:
    files = [
        random_image(tmp_path / "b.png", 17, 30),
        random_image(tmp_path / "a.png", 64, 33),
        random_image(tmp_path / "c.png", 20, 21, alpha=True),
    ]
    out = tmp_path / "out"
    assert main([verb, str(workspace / run), *map(str, files), "--out", str(out)]) == 0
    for path in files:
        output, source = Photo.load(out / path.name), Photo.load(path)
        assert output.pixels.shape == source.pixels.shape
        assert (output.alpha is None) == (source.alpha is None)
        assert output.alpha is None or np.array_equal(output.alpha, source.alpha)
        record = read_record(out / path.name)
        assert record["inputs"][0]["name"] == path.name
        assert record["verb"] == verb
    assert [read_record(out / p.name)["index"] for p in files] == [0, 1, 2]
    alone = tmp_path / "alone"
    assert main([verb, str(workspace / run), str(files[0]), "--out", str(alone)]) == 0
    assert np.array_equal(Photo.load(alone / "b.png").pixels, Photo.load(out / "b.png").pixels)


def test_an_input_is_never_overwritten_before_it_is_read(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "tree"
    for place in ("1/a.png", "a.png", ".thumbs/t.png", "__MACOSX/._a.png", "1/.hidden.png"):
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        random_image(tree / place, 16, 16 + len(place))
    (tree / "d.jpg").mkdir()  # a folder, whatever its name
    command = ["restore", str(workspace / "restore"), "--overwrite"]
    before = {path: path.read_bytes() for path in tree.rglob("*.png")}
    both = [str(tree / "1" / "a.png"), str(tree / "a.png")]  # by name, so that the first would be written as the second
    assert main([*command, *both, "--out", str(tree)]) == 2
    assert "a.png is one of the images given and not read yet" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tree.rglob("*.png")} == before
    assert main([*command, str(tree), "--out", str(tmp_path / "out")]) == 0
    outputs = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert outputs == ["1/a.png", "a.png"]
    assert main([*command, str(tree), "--out", str(tree)]) == 0  # an image may replace its own file, once it is read
    assert [read_record(tree / name)["verb"] for name in ("1/a.png", "a.png")] == ["restore", "restore"]


def test_a_damaged_image_among_others_is_skipped_and_named_at_the_end(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, out = tmp_path / "inputs", tmp_path / "out"
    inputs.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        random_image(inputs / name, 16, 16)
    (inputs / "b.png").write_bytes((inputs / "b.png").read_bytes()[:-40])
    command = ["restore", str(workspace / "restore"), str(inputs), "--out"]
    assert main([*command, str(out)]) == 2
    message = capsys.readouterr().err.strip()
    assert "b.png is not a usable image (truncated file); give another." in message
    assert message.endswith(f" {out}.")
    assert len(message.splitlines()) == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "c.png"]
    assert main([*command, str(tmp_path / "all.png")]) == 2  # a grid of the others
    assert (tmp_path / "all.png").is_file()
    (inputs / "a.png").write_bytes((inputs / "b.png").read_bytes())
    (inputs / "c.png").unlink()
    assert main([*command, str(tmp_path / "none")]) == 2
    assert "(and 1 more)" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_channels_that_are_not_known_yet_are_not_refused() -> None:
    assert CycleGAN.Config(network="residual", out_channels=3).in_channels is None


def test_a_deep_network_restores_in_tiles_too() -> None:
    deep = Restoration(Restoration.Config(blocks=150, base_channels=2, channels=1)).eval()
    assert deep.restore_tensor(torch.zeros(1, 1, 1300, 20)).shape == (1, 1, 1300, 20)


@pytest.mark.parametrize(("run", "data"), [("pix", "pairs"), ("cycle", "pairs"), ("restore", "shapes:24")])
def test_scores_of_one_item_have_no_standard_error(workspace: Path, run: str, data: str) -> None:
    source = str(workspace / data) if data == "pairs" else data
    for score in reverie.evaluate(workspace / run, data=source, n=1):
        assert score.std_error is None
        assert np.isfinite(score.value)


def test_whether_pix2pix_is_deterministic_is_chosen_and_recorded(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = reverie.load(workspace / "pix")
    photo = Photo.load(random_image(tmp_path / "x.png", 16, 16))
    translate = method.verb("translate")
    (default,), (stochastic,) = translate([photo]), translate([photo], deterministic=False)
    (deterministic,) = translate([photo], deterministic=True)
    assert np.array_equal(default.pixels, stochastic.pixels)
    assert not np.array_equal(default.pixels, deterministic.pixels)
    assert deterministic.record["arguments"]["deterministic"] is True
    assert default.record["arguments"]["deterministic"] is False  # recorded where it is the default too
    assert method.config.deterministic is False
    monkeypatch.chdir(tmp_path)
    for flag, expected in (("--deterministic", deterministic), ("--no-deterministic", stochastic)):
        assert main(["translate", str(workspace / "pix"), flag, "x.png", "--out", flag.strip("-")]) == 0
        assert Photo.load(Path(flag.strip("-")) / "x.png").digest == expected.digest


def test_degrade_gives_the_inputs_of_training(workspace: Path, tmp_path: Path) -> None:
    photo = Photo.load(random_image(tmp_path / "x.png", 16, 16))
    (degraded,) = reverie.load(workspace / "grey").verb("degrade")([photo])
    assert degraded.pixels.shape == (16, 16, 1)


def test_provenance_verifies_one_of_many(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each image, whatever the others of its command; of 8 and 16 bits, with alpha and without, and in a grid."""
    cv2 = pytest.importorskip("cv2", reason="16 bits in colour take OpenCV, an extra")
    monkeypatch.chdir(tmp_path)
    pairs = str(workspace / "pairs")  # at 64 pixels there is dropout
    reverie.train("pix2pix:smoke", data=pairs, out="drop", degradation="", size=64, base_channels=2, threads=1, steps=1)
    Path("inputs").mkdir()
    random_image(Path("inputs/a.png"), 64, 64)
    random_image(Path("inputs/b.png"), 20, 30, alpha=True)
    deep = np.random.Generator(np.random.Philox(key=[3, 0])).integers(0, 65536, (18, 24, 4)).astype(np.uint16)
    cv2.imwrite("inputs/c.png", deep)
    cv2.imwrite("inputs/d.png", deep[:, :, 0])
    grey, restore = str(workspace / "grey"), str(workspace / "restore")
    for verb, run in (("translate", "drop"), ("degrade", grey), ("degrade", restore)):
        out = Path(verb + Path(run).name)
        assert main([verb, run, "inputs", "--out", str(out)]) == 0
        for name in "abcd":
            assert main(["provenance", f"{out}/{name}.png", "--verify", run, "--inputs", "inputs"]) == 0
            assert "equal to the pixel" in capsys.readouterr().out
    commands = {"grid.png": "aa", "deep.png": "cc", "one.png": "c", "alpha.png": "b"}
    for output, names in commands.items():
        inputs = [f"inputs/{name}.png" for name in names]
        assert main(["translate", "drop", *inputs, "--out", output]) == 0
        assert main(["provenance", output, "--verify", "drop", "--inputs", *inputs]) == 0
    for one, alone in (("one.png", "c"), ("alpha.png", "b")):  # the image itself, not a grid of one
        assert Photo.load(one).digest == Photo.load(f"translatedrop/{alone}.png").digest


def test_colourised_images_keep_their_luminance(workspace: Path, tmp_path: Path) -> None:
    photo = Photo.load(random_image(tmp_path / "x.png", 40, 52))
    (colourised,) = reverie.load(workspace / "grey").verb("translate")([photo])
    assert colourised.pixels.std(2).max() > 0
    assert np.abs(colourised.pixels @ np.array(LUMA) - photo.pixels @ np.array(LUMA)).max() <= 1


def test_provenance_looks_at_depth_and_alpha(workspace: Path, tmp_path: Path) -> None:
    run, sources = workspace / "restore", [random_image(tmp_path / "x.png", 16, 20, alpha=True)]
    sources.append(tmp_path / "y.png")
    PIL.Image.fromarray(np.arange(320, dtype=np.uint16).reshape(16, 20) * 200).save(sources[1])
    photos = [Photo.load(path) for path in sources]
    with_alpha, deep = reverie.load(run).verb("degrade")(photos)
    other_alpha = dataclasses.replace(with_alpha, alpha=with_alpha.alpha // 2)
    no_alpha = dataclasses.replace(with_alpha, alpha=None)
    shallow = Photo(deep.image().pixels, record=deep.record)
    changed = dataclasses.replace(deep, pixels=deep.pixels ^ 1)  # by the smallest of 65536 levels
    for photo, same, why in (
        (with_alpha, True, "equal to the pixel"), (deep, True, "equal to the pixel"), (other_alpha, False, "its alpha"),
        (no_alpha, False, "its alpha"), (shallow, False, "largest level is 255"), (changed, True, "at most 1 of 255"),
    ):  # fmt: skip
        verdict = verify(photo.save(tmp_path / "output.png"), run, photos)
        assert (verdict["same"], why in verdict["why"]) == (same, True), verdict


def test_translations_of_pairs_are_scored_against_the_targets(workspace: Path) -> None:
    found = reverie.evaluate(workspace / "pix", workspace / "pairs")
    assert {"psnr", "ssim", "sharpness"} <= {score.name for score in found}
    assert found["psnr"].n == 40
    assert "with dropout" in found["psnr"].definition
    assert {"paired feature distance", "fid", "kid"} <= {score.name for score in found}  # by the installed network
    data = reverie.open_data(workspace / "pairs", "test").prepare(16)
    errors = [np.mean((data.pixels(i, "a") / 255.0 - data.pixels(i, "b") / 255.0) ** 2) for i in range(40)]
    assert found["psnr"].baseline == pytest.approx(-10 * np.log10(errors).mean())
    assert (workspace / "pix" / "figures" / "worst.png").is_file()
    page = (workspace / "pix" / "report.html").read_text(encoding="utf-8")
    assert page.index("Worst cases") < page.index(">Translations<")


@dataclass
class PixelFeatures:
    """A stand-in for a network: eight pixels of an image."""

    width: int = 8
    definition: str = "pixels"
    fingerprint: str = "of no network"

    def features(self, pixels: np.ndarray, what: str) -> torch.Tensor:
        return torch.from_numpy(pixels.reshape(len(pixels), -1)[:, ::97][:, :8].astype(np.float64) / 255)


def test_real_data_of_a_distance_are_measured_on_as_many_images(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On fewer images it would be higher, so that a worse translation could be below it."""
    monkeypatch.setattr("reverie.evaluation.evaluate_translations.open_features", lambda spec, data: PixelFeatures())
    net = workspace / "pix" / "weights.safetensors"  # a file that exists; the features are those of the stand-in
    found = reverie.evaluate(workspace / "pix", workspace / "pairs", features=net)
    assert found["fid"].real is None  # there are 12 training pairs, and 40 are scored
    on_train = reverie.evaluate(workspace / "pix", workspace / "pairs", features=net, split="train", n=12)
    assert "fid" not in {score.name for score in on_train}
    single = reverie.evaluate(workspace / "grey", "shapes:100", features=net, n=40)
    assert (single["fid"].n, single["fid"].real_source) == (40, "40 other target images")
    assert single["fid"].real is not None


def test_unpaired_translations_are_scored_beside_the_untranslated_images(workspace: Path) -> None:
    found = reverie.evaluate(workspace / "cycle", workspace / "pairs", n=8)
    assert {s.name for s in found} == {"cycle-consistency l1, a to b", "cycle-consistency l1, b to a"}
    assert {"fid, a to b", "kid, b to a"} <= {line["score"] for line in found.skipped}


@pytest.mark.parametrize(("train", "real"), [(40, "40 images of training, side b"), (39, "")])
def test_unpaired_translations_are_scored_beside_as_many_images_of_training(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: int, real: str
) -> None:
    monkeypatch.setattr("reverie.evaluation.evaluate_translations.open_features", lambda spec, data: PixelFeatures())
    items = reverie.open_data("shapes:80").prepare(24).array
    for split, chosen in (("train", items[40 : 40 + train]), ("test", items[:40])):
        for side, images in (("A", chosen), ("B", 255 - chosen)):
            (tmp_path / f"{split}{side}").mkdir()
            for i, item in enumerate(images):
                PIL.Image.fromarray(item).save(tmp_path / f"{split}{side}" / f"{i}.png")
    net = workspace / "cycle" / "weights.safetensors"  # a file that exists; the features are those of the stand-in
    found = reverie.evaluate(workspace / "cycle", tmp_path, features=net, n=40)
    score = found["fid, a to b"]
    assert score.real_source == real
    if real:
        assert score.real < score.value  # other images of b are nearer to b than what three steps have learnt
    of_training = reverie.evaluate(workspace / "cycle", tmp_path, features=net, n=40, split="train")
    assert of_training["fid, a to b"].real is None


def test_restored_images_are_scored_beside_the_degraded_ones(workspace: Path) -> None:
    found = reverie.evaluate(workspace / "restore", "shapes:24", n=6)
    assert found["psnr"].baseline == pytest.approx(20.3, abs=1.0)  # sigma 25: 20 log10(255/25) = 20.2, clipped
    assert "noise 25" in found["psnr"].definition
    assert {"worst", "restored"} <= {file.stem for file in (workspace / "restore" / "figures").glob("*.png")}


def test_runs_on_one_kind_of_data_are_compared(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    reverie.train("pix2pix:smoke", data=workspace / "pairs", out=again, degradation="", threads=1, seed=1)
    found = reverie.compare([workspace / "pix", again], workspace / "pairs", out=tmp_path / "page.html")
    assert all(cell.score for cell in found["psnr"])
    assert "Translations" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert main(["compare", str(workspace / "pix"), str(workspace / "cycle"), "--data", str(workspace / "pairs")]) == 2
    assert "different kinds of data" in capsys.readouterr().err


def test_the_noise_level_is_named_or_estimated(workspace: Path, tmp_path: Path) -> None:
    method = reverie.load(workspace / "restore")
    assert method.config.max_noise == 55
    clean = Photo(np.full((64, 64, 3), 128, np.uint8))
    (noisy,) = method.verb("degrade")([clean], severity=20.0)
    assert float((noisy.pixels / 255.0).std()) * 255 == pytest.approx(20, rel=0.05)
    with torch.no_grad():
        x = noisy.to_tensor(3)
        estimated, named, other = (method.restore_tensor(x, noise_level=n) for n in (None, 20.0, 0.0))
    assert 0 < (estimated - named).abs().max() < (other - named).abs().max() / 5
    (restored,) = method.verb("restore")([noisy], noise_level=20.0)
    assert restored.record["arguments"]["noise_level"] == 20


def test_correlated_noise_is_taken_off_at_half_size_first(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method = reverie.load(workspace / "restore")
    for height, width in ((36, 51), (5, 4)):
        x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
        half = imresize_tensor(x, ((height + 1) // 2, (width + 1) // 2))
        with torch.no_grad():
            changed = method.restore_tensor(half) - half
            expected = method.restore_tensor(x + imresize_tensor(changed, (height, width)))
            assert torch.equal(method.restore_tensor(x, correlated=True), expected)
            assert not torch.equal(method.restore_tensor(x), expected)
    (restored,) = method.verb("restore")([Photo.load(random_image(tmp_path / "a.png", 20, 30))], correlated=True)
    assert restored.record["arguments"]["correlated"] is True
    assert "coarse grain" not in capsys.readouterr().err
    small = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    grain = np.asarray(PIL.Image.fromarray(small).resize((60, 40)))
    method.verb("restore")([Photo(grain, name="a.png"), Photo(grain, name="b.png")])
    assert capsys.readouterr().err == "note: noise in a.png, if any, is of coarse grain; --correlated removes more\n"


def test_a_network_of_one_severity_takes_no_noise_level(tmp_path: Path) -> None:
    options = dict(data="shapes:8", threads=1, steps=1)
    for number, run in enumerate((dict(max_noise=0.0), dict(degradation="blur"))):
        method = reverie.train("restoration:smoke", out=tmp_path / str(number), **run, **options)
        photo = Photo(np.full((16, 16, 3), 128, np.uint8))
        assert method.verb("restore")([photo])[0].pixels.shape == (16, 16, 3)
        with pytest.raises(UserError, match="noise_level is of no use: the run restores"):
            method.verb("restore")([photo], noise_level=20.0)
        with pytest.raises(UserError, match="correlated is of no use: the run restores"):
            method.verb("restore")([photo], correlated=True)


def test_a_grey_photo_stays_grey_in_a_network_of_colours(workspace: Path) -> None:
    method = reverie.load(workspace / "restore")
    photo = Photo(np.random.default_rng(0).integers(0, 256, (24, 40, 1), np.uint8), profile=b"grey")
    for verb in ("restore", "degrade"):
        (made,) = method.verb(verb)([photo])
        assert (made.pixels.shape, made.profile) == ((24, 40, 1), b"grey")


def test_restoring_in_tiles_changes_nothing(workspace: Path, tmp_path: Path) -> None:
    method = reverie.load(workspace / "restore")
    photo = Photo.load(random_image(tmp_path / "large.png", 530, 700))
    (cut,), (whole,) = (method.verb("restore")([photo], tile=tile) for tile in (512, 1024))
    assert np.abs(cut.pixels.astype(int) - whole.pixels).max() <= 1


def test_a_self_ensemble_is_the_mean_over_eight_positions(workspace: Path, tmp_path: Path) -> None:
    method = reverie.load(workspace / "restore")
    photo = Photo.load(random_image(tmp_path / "a.png", 37, 50))
    x = photo.to_tensor(3)
    with torch.no_grad():
        turned = [x.rot90(k, (2, 3)) for k in range(4)]
        restored = [method.restore_tensor(v, noise_level=9.0).rot90(-k, (2, 3)) for k, v in enumerate(turned)]
        turned = [x.flip(2).rot90(k, (2, 3)) for k in range(4)]
        restored += [method.restore_tensor(v, noise_level=9.0).rot90(-k, (2, 3)).flip(2) for k, v in enumerate(turned)]
    (one,), (mean,) = (method.verb("restore")([photo], noise_level=9.0, self_ensemble=on) for on in (False, True))
    expected = photo.with_pixels(torch.cat(restored).mean(0))
    assert np.abs(mean.pixels.astype(int) - expected.pixels).max() <= 1
    assert not np.array_equal(mean.pixels, one.pixels)


def test_a_self_ensemble_would_move_the_blocks_of_jpeg(tmp_path: Path) -> None:
    method = reverie.train("restoration:smoke", out=tmp_path, data="shapes:8", degradation="jpeg", threads=1, steps=1)
    with pytest.raises(UserError, match="self_ensemble is of no use for jpeg"):
        method.verb("restore")([Photo(np.zeros((16, 16, 3), np.uint8))], self_ensemble=True)


def test_muon_has_all_layers_but_the_last() -> None:
    from reverie.core.muon import Muon

    def groups(**options: object) -> list[list[int]]:
        cls, _, config, _ = parse_method("restoration:smoke", options)
        method = cls(cls.resolve_config(config, {"channels": 3}))
        optimizer = method.optimizers()["generator"]
        assert isinstance(optimizer, Muon) == (options.get("optimizer") != "adam")
        owned = [p for group in optimizer.param_groups for p in group["params"]]
        assert {id(p) for p in owned} == {id(p) for p in method.generator.parameters()}
        assert len(owned) == len({id(p) for p in owned})
        return [[p.ndim for p in group["params"]] for group in optimizer.param_groups]

    assert groups(blocks=2) == [[4] * 5, [1] * 5 + [4, 1]]
    assert groups(network="ffdnet", depth=4) == [[4] * 3, [1] * 5 + [4, 1]]
    assert groups(blocks=2, optimizer="adam") == [[4, 1] * 6]


def test_training_gets_better() -> None:
    """After some steps of training the PSNR is far higher."""
    from reverie.core.update import Update
    from reverie.utils.distributed import Ranks

    torch.manual_seed(0)
    cls, _, config, _ = parse_method("restoration:smoke", {"base_channels": 32, "lr": 3e-3})
    method = cls(cls.resolve_config(config, {"channels": 3}))
    image = torch.nn.functional.interpolate(torch.rand(8, 3, 4, 4) * 2 - 1, 32, mode="bicubic").clamp(-1, 1)
    update = Update(method.optimizers(), Ranks("cpu"))
    psnr = [float(method.step({"image": image}, update)["psnr"]) for _ in range(200)]
    assert np.mean(psnr[-5:]) > psnr[0] + 2.5


def test_psnr_and_ssim_are_those_of_torchmetrics() -> None:
    draws = np.random.Generator(np.random.Philox(key=[1, 1]))
    a = draws.integers(0, 256, (40, 31, 3), np.uint8)
    b = np.clip(a + draws.normal(0, 12, a.shape), 0, 255).astype(np.uint8)
    x, y = (torch.from_numpy(p).permute(2, 0, 1)[None].double() for p in (a, b))
    assert float(psnrs([a], [b])[0]) == pytest.approx(float(peak_signal_noise_ratio(x, y, data_range=255.0)), abs=1e-4)
    theirs = structural_similarity_index_measure(x, y, data_range=255.0)
    assert ssim(a, b) == pytest.approx(float(theirs), abs=1e-4)
    assert ssim(a, a) == pytest.approx(1.0)


def test_a_residual_cyclegan_begins_as_the_identity(workspace: Path, tmp_path: Path) -> None:
    image = random_image(tmp_path / "a.png", 20, 21)
    before = Photo.load(image).pixels.astype(int)
    for lr, steps in ((1e-12, 1), (2e-3, 20)):
        run = tmp_path / str(steps)
        options = dict(data=str(workspace / "pairs"), network="residual", ema_decay=0.9, threads=1)
        reverie.train("cyclegan:smoke", out=run, lr=lr, steps=steps, **options)
        after = next(iter(reverie.load(run).translate([Photo.load(image)]))).pixels.astype(int)
        assert (np.abs(after - before).max() == 0) == (steps == 1)


def test_segmentation_metrics_by_hand() -> None:
    true = np.array([[[0, 0, 1, 2]]])
    predicted = np.array([[[0, 1, 1, 2]]])
    assert segmentation_metrics(predicted, true, 4) == pytest.approx((0.75, (1 / 2 + 1 / 2 + 1) / 3))


def test_a_degradation_of_the_preset_is_of_single_images_and_one_that_is_given_is_refused_beside_pairs(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, images = str(workspace / "pairs"), reverie.open_data("shapes:6").prepare(16).array
    for data, made in ((pairs, "as given"), ((images, images), "as given"), ("shapes:8", "made by grey")):
        for preset in ("smoke", "colourise"):
            plan = reverie.plan(f"pix2pix:{preset}", data=data, size=16, n_layers_d=1, timed=False)
            assert f"inputs {made}" in plan.data
    reverie.train("pix2pix:smoke", data=pairs, out=tmp_path / "run", direction="BtoA", steps=1)
    two = f"{pairs}/trainA,{pairs}/trainB"
    for data, words in ((two, "give one of the two places"), ((images, images), "give the targets alone")):
        with pytest.raises(reverie.UserError, match=f"leave out --degradation, or {words}"):
            reverie.train("pix2pix:smoke", data=data, out=tmp_path / "x", degradation="grey")
    for run, place, message in (
        ("grey", pairs, "makes its inputs of single images (grey); say --pairing none"),
        ("pix", "shapes:40", "learnt from pairs, with which its translations are compared: give images side by side"),
    ):
        assert main(["evaluate", str(workspace / run), "--data", place]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "--degradation" not in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "pix2pix", "--data", "shapes:8"], "--degradation grey"),
        (["train", "cyclegan", "--data", "shapes:8"], "does not hold two domains"),
        (["train", "cyclegan:smoke", "--data", "letters:8,shapes:8", "--network", "residual"], "keeps its channels"),
        (["train", "cyclegan:smoke", "--data", "letters:8,shapes:8", "--ema-decay", "1"], "below 1"),
        (["train", "pix2pix:smoke", "--data", "shapes:8", "--ema-decay", "1"], "below 1"),
        (
            ["train", "pix2pix:smoke", "--data", "shapes:8", "--degradation", "jpeg", "--severity", "0"],
            "above 0",
        ),
        (
            ["train", "pix2pix:smoke", "--data", "shapes:8", "--degradation", "jpeg", "--severity", "101"],
            "from 1 to 100",
        ),
        (["train", "pix2pix:smoke", "--data", "shapes:8", "--direction", "BtoA"], "for data of pairs"),
        (["train", "restoration:smoke", "--data", "letters:8", "--degradation", "grey"], "degradation is 'grey'"),
        (["train", "colorization:smoke", "--data", "letters:8"], "no colour to learn"),
        (["train", "pix2pix:colourise", "--data", "letters:8"], "no colour to learn"),
        (["train", "restoration:smoke", "--data", "shapes:8", "--size", "64"], "smaller than 128 pixels"),
        (["train", "restoration:smoke", "--data", "shapes:8", "--severity", "-1"], "above 0"),
        (
            ["train", "restoration:smoke", "--data", "shapes:8", "--degradation", "jpeg", "--max-noise", "20"],
            "max_noise is of noise, not of jpeg",
        ),
        (
            ["train", "restoration:smoke", "--data", "shapes:8", "--severity", "60", "--max-noise", "20"],
            "severity is 60 and max_noise 20",
        ),
        (["restore", "{restore}", "{pairs}", "--noise-level", "90"], "has learnt noise up to 55"),
        (["restore", "{restore}", "{pairs}", "--noise-level", "-1"], "0 or more"),
        (["translate", "{pix}", "{words}"], "words.txt is not a usable image"),
        (["translate", "{pix}"], "translate needs images"),
        (["translate", "{pix}", "{pairs}", "--tile", "100"], "multiple of 256"),
        (["restore", "{pix}", "{pairs}"], "pix2pix cannot restore"),
        (["degrade", "{pix}", "{pairs}"], "trained on pairs"),
        (["translate", "{pix}", "{pairs}", "--out", "{words}"], "cannot write images"),
    ],
)
def test_wrong_input_is_one_line(
    workspace: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.txt").write_text("words")
    places = {"{pairs}": workspace / "pairs", "{words}": tmp_path / "words.txt"}
    places |= {"{pix}": workspace / "pix", "{restore}": workspace / "restore"}
    command = [str(places.get(word, word)) for word in words]
    if "--out" not in command:
        command += ["--out", str(tmp_path / "out")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().count("\n") == 0
    assert not list((tmp_path / "out").glob("*"))
    assert json.loads((workspace / "pix" / "run.json").read_text())["method"] == "pix2pix"
