"""Translations and restorations as users do them: files in, files out, scores beside the truth."""

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
from reverie.api import plan
from reverie.cli.main import main
from reverie.cli.verify import verify
from reverie.data.images.decode import LUMA
from reverie.media import Photo, read_record
from reverie.methods.cyclegan import CycleGAN
from reverie.methods.restoration import Restoration
from reverie.metrics.full_reference import segmentation_metrics, psnrs, ssim


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs in two folders with splits, and a run of each method."""
    room = tmp_path_factory.mktemp("shop")
    for split, count in (("train", 12), ("test", 40)):
        for side in "AB":
            (room / "pairs" / f"{split}{side}").mkdir(parents=True)
        for i, item in enumerate(reverie.open_data(f"shapes:{count}").prepare(24).array):
            PIL.Image.fromarray(item).save(room / "pairs" / f"{split}A" / f"{i}.png")
            PIL.Image.fromarray(255 - item).save(room / "pairs" / f"{split}B" / f"{i}.png")
    pairs = str(room / "pairs")
    reverie.train("pix2pix:smoke", data=pairs, out=room / "pix", degradation="", threads=1)
    reverie.train("pix2pix:smoke", data="shapes:12", out=room / "grey", threads=1)
    reverie.train("cyclegan:smoke", data=pairs, out=room / "cycle", threads=1)
    reverie.train("restoration:smoke", data="shapes:24", out=room / "restore", threads=1)
    return room


def shades(path: Path, height: int, width: int, alpha: bool = False) -> Path:
    draws = np.random.Generator(np.random.Philox(key=[2, height]))
    PIL.Image.fromarray(draws.integers(0, 256, (height, width, 4 if alpha else 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize(("run", "verb"), [("pix", "translate"), ("cycle", "translate"), ("restore", "restore")])
def test_any_size_alpha_and_order(shop: Path, tmp_path: Path, run: str, verb: str) -> None:
    given = [shades(tmp_path / name, *size) for name, size in (("b.png", (17, 30)), ("a.png", (64, 33)))]
    clear = shades(tmp_path / "c.png", 20, 21, alpha=True)
    out = tmp_path / "out"
    assert main([verb, str(shop / run), *map(str, [*given, clear]), "--out", str(out)]) == 0
    for path in [*given, clear]:
        made, source = Photo.load(out / path.name), Photo.load(path)
        assert made.pixels.shape == source.pixels.shape
        assert (made.alpha is None) == (source.alpha is None)
        assert made.alpha is None or np.array_equal(made.alpha, source.alpha)
        record = read_record(out / path.name)
        assert record["inputs"][0]["name"] == path.name
        assert record["verb"] == verb
    assert [read_record(out / p.name)["index"] for p in [*given, clear]] == [0, 1, 2]
    alone = tmp_path / "alone"
    assert main([verb, str(shop / run), str(given[0]), "--out", str(alone)]) == 0
    assert np.array_equal(Photo.load(alone / "b.png").pixels, Photo.load(out / "b.png").pixels)


def test_what_is_given_is_never_written_over_unread(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "tree"
    for place in ("1/a.png", "a.png", ".thumbs/t.png", "__MACOSX/._a.png", "1/.hidden.png"):
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        shades(tree / place, 16, 16 + len(place))
    (tree / "d.jpg").mkdir()  # a folder, whatever its name
    asked = ["restore", str(shop / "restore"), str(tree), "--overwrite", "--out"]
    before = {path: path.read_bytes() for path in tree.rglob("*.png")}
    assert main([*asked, str(tree)]) == 2
    assert "a.png is one of the images given and not read yet" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tree.rglob("*.png")} == before
    assert main([*asked, str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-000001.png", "a.png"]
    flat = tree / "1"  # its own file a picture may replace, once it is read
    assert main(["restore", str(shop / "restore"), str(flat), "--overwrite", "--out", str(flat)]) == 0
    assert read_record(flat / "a.png")["verb"] == "restore"


def test_a_damaged_picture_among_others_is_passed_over_and_told_at_the_end(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        shades(given / name, 16, 16)
    (given / "b.png").write_bytes((given / "b.png").read_bytes()[:-40])
    asked = ["restore", str(shop / "restore"), str(given), "--out"]
    assert main([*asked, str(out)]) == 2
    told = capsys.readouterr().err.strip()
    assert "b.png is not a usable image (truncated file); give another." in told
    assert told.endswith(f"What the others gave is in {out}.")
    assert len(told.splitlines()) == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "c.png"]
    assert main([*asked, str(tmp_path / "all.png")]) == 2  # a sheet of the others
    assert (tmp_path / "all.png").is_file()
    (given / "a.png").write_bytes((given / "b.png").read_bytes())
    (given / "c.png").unlink()
    assert main([*asked, str(tmp_path / "none")]) == 2
    assert "(and 1 more)" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_side_that_is_not_known_yet_is_not_refused() -> None:
    assert CycleGAN.Config(network="residual", out_channels=3).in_channels is None


def test_a_deep_network_restores_in_tiles_too() -> None:
    deep = Restoration(Restoration.Config(depth=64, base_channels=2, channels=1)).eval()
    assert deep.restore_tensor(torch.zeros(1, 1, 530, 20)).shape == (1, 1, 530, 20)


@pytest.mark.parametrize(("run", "data"), [("pix", "pairs"), ("cycle", "pairs"), ("restore", "shapes:24")])
def test_scores_of_one_item_have_no_spread(shop: Path, run: str, data: str) -> None:
    place = str(shop / data) if data == "pairs" else data
    for score in reverie.evaluate(shop / run, data=place, n=1):
        assert score.std_error is None
        assert np.isfinite(score.value)


def test_how_pix2pix_is_used_is_chosen_and_recorded(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = reverie.load(shop / "pix")
    photo = Photo.load(shades(tmp_path / "x.png", 16, 16))
    (own,), (still,), (again,) = (method.verb("translate")([photo], deterministic=s) for s in (None, True, False))
    assert np.array_equal(own.pixels, again.pixels)
    assert not np.array_equal(own.pixels, still.pixels)
    assert still.record["arguments"]["still"] is True
    assert own.record["arguments"]["still"] is False  # where nobody said it too
    assert method.config.deterministic is False
    monkeypatch.chdir(tmp_path)  # and so on the command line
    for flag, made in (("--deterministic", still), ("--no-still", again)):
        assert main(["translate", str(shop / "pix"), flag, "x.png", "--out", flag.strip("-")]) == 0
        assert Photo.load(Path(flag.strip("-")) / "x.png").digest == made.digest
    other = reverie.load(shop / "grey")
    (spoilt,) = other.verb("degrade")([photo])
    assert spoilt.pixels.shape == (16, 16, 1)


def test_provenance_makes_again_what_was_one_of_many(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each picture, whatever stood beside it; of 8 and 16 bits, with alpha and without, and on a sheet."""
    cv2 = pytest.importorskip("cv2", reason="16 bits in colour take OpenCV, an extra")
    monkeypatch.chdir(tmp_path)
    pairs = str(shop / "pairs")  # so large that there is dropout
    reverie.train("pix2pix:smoke", data=pairs, out="drop", degradation="", size=64, base_channels=2, threads=1, steps=1)
    Path("given").mkdir()
    shades(Path("given/a.png"), 64, 64)
    shades(Path("given/b.png"), 20, 30, alpha=True)
    deep = np.random.Generator(np.random.Philox(key=[3, 0])).integers(0, 65536, (18, 24, 4)).astype(np.uint16)
    cv2.imwrite("given/c.png", deep)
    cv2.imwrite("given/d.png", deep[:, :, 0])
    for verb, run in (("translate", "drop"), ("spoil", str(shop / "grey")), ("spoil", str(shop / "restore"))):
        out = Path(verb + Path(run).name)
        assert main([verb, run, "given", "--out", str(out)]) == 0
        for name in "abcd":
            assert main(["provenance", f"{out}/{name}.png", "--verify", run, "--inputs", "given"]) == 0, (verb, run, name)
            assert "equal to the pixel" in capsys.readouterr().out
    for made, given in (("sheet.png", ["a", "a"]), ("deep.png", ["c", "c"]), ("one.png", ["c"]), ("clear.png", ["b"])):
        places = [f"given/{name}.png" for name in given]
        assert main(["translate", "drop", *places, "--out", made]) == 0
        assert main(["provenance", made, "--verify", "drop", "--inputs", *places]) == 0
    for one, alone in (("one.png", "c"), ("clear.png", "b")):  # is the picture itself, not a sheet of one
        assert Photo.load(one).digest == Photo.load(f"translatedrop/{alone}.png").digest


def test_colours_are_given_to_a_picture_in_its_own_light(shop: Path, tmp_path: Path) -> None:
    reverie.train("restoration:smoke", data="shapes:12", out=tmp_path / "r", degradation="grey", size=16, threads=1)
    given = Photo.load(shades(tmp_path / "x.png", 40, 52))
    grey = (given.pixels @ np.array(LUMA))[:, :, None]
    for run, verb in ((shop / "grey", "translate"), (tmp_path / "r", "restore")):
        (made,) = reverie.load(run).verb(verb)([given])
        assert made.pixels.std(2).max() > 0
        assert np.abs(made.pixels @ np.array(LUMA) - grey[:, :, 0]).max() <= 1


def test_provenance_looks_at_depth_and_alpha(shop: Path, tmp_path: Path) -> None:
    run, sources = shop / "restore", [shades(tmp_path / "x.png", 16, 20, alpha=True)]
    sources.append(tmp_path / "y.png")
    PIL.Image.fromarray(np.arange(320, dtype=np.uint16).reshape(16, 20) * 200).save(sources[1])
    given = [Photo.load(path) for path in sources]
    clear, deep = reverie.load(run).verb("degrade")(given)
    faint = dataclasses.replace(clear, alpha=clear.alpha // 2)
    bare = dataclasses.replace(clear, alpha=None)
    flat = Photo(deep.image().pixels, record=deep.record)
    bent = dataclasses.replace(deep, pixels=deep.pixels ^ 1)  # all but invisible, and told all the same
    for made, same, told in (
        (clear, True, "equal to the pixel"), (deep, True, "equal to the pixel"), (faint, False, "its alpha"),
        (bare, False, "its alpha"), (flat, False, "its levels go to 255"), (bent, True, "at most 1 of 255 apart"),
    ):  # fmt: skip
        verdict = verify(made.save(tmp_path / "made.png"), run, given)
        assert (verdict["same"], told in verdict["why"]) == (same, True), verdict


def test_pairs_are_scored_beside_the_truth(shop: Path) -> None:
    found = reverie.evaluate(shop / "pix", shop / "pairs")
    assert {"psnr", "ssim", "sharpness"} <= {score.name for score in found}
    assert found["psnr"].n == 40
    assert "with dropout" in found["psnr"].definition
    assert {line["score"] for line in found.skipped} == {"feature distance", "fid", "kid"}
    given, true = reverie.open_data(shop / "pairs", "test").prepare(16), found["psnr"].floor
    errors = [np.mean((given.pixels(i, "a") / 255.0 - given.pixels(i, "b") / 255.0) ** 2) for i in range(40)]
    assert true == pytest.approx(-10 * np.log10(errors).mean())
    assert (shop / "pix" / "figures" / "worst.png").is_file()
    page = (shop / "pix" / "report.html").read_text(encoding="utf-8")
    assert page.index("Worst cases") < page.index(">Translations<")


@dataclass
class Corners:
    """A stand-in for a network: eight pixels of a picture."""

    width: int = 8
    definition: str = "corners"

    def features(self, pixels: np.ndarray, what: str) -> torch.Tensor:
        return torch.from_numpy(pixels.reshape(len(pixels), -1)[:, ::97][:, :8].astype(np.float64) / 255)


def test_the_floor_of_a_distance_is_of_as_many_pictures(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fewer it would be higher, and a worse translator below it."""
    monkeypatch.setattr("reverie.evaluation.evaluate_translations.open_features", lambda spec, data: Corners())
    net = shop / "pix" / "weights.safetensors"  # a file that is there; what is seen through is the stand-in
    found = reverie.evaluate(shop / "pix", shop / "pairs", features=net)
    assert found["fid"].floor is None  # there are 12 training pairs, and 40 are scored
    reverse = reverie.evaluate(shop / "pix", shop / "pairs", features=net, split="train", n=12)
    assert "fid" not in {score.name for score in reverse}
    some = reverie.evaluate(shop / "grey", "shapes:100", features=net, n=40)
    assert (some["fid"].n, some["fid"].floor_source) == (40, "40 other true pictures")
    assert some["fid"].floor is not None


def test_two_worlds_are_scored_beside_the_untranslated(shop: Path) -> None:
    found = reverie.evaluate(shop / "cycle", shop / "pairs", n=8)
    assert {s.name for s in found} == {"cycle error, a to b", "cycle error, b to a"}
    assert {"fid, a to b", "kid, b to a"} <= {line["score"] for line in found.skipped}


def test_restored_pictures_are_scored_beside_the_spoilt(shop: Path) -> None:
    found = reverie.evaluate(shop / "restore", "shapes:24", n=6)
    assert found["psnr"].floor == pytest.approx(20.3, abs=1.0)  # sigma 25: 20 log10(255/25) = 20.2, clipped
    assert "noise 25" in found["psnr"].definition
    assert {"worst", "repaired"} <= {file.stem for file in (shop / "restore" / "figures").glob("*.png")}


def test_runs_of_one_kind_are_compared(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = tmp_path / "again"
    reverie.train("pix2pix:smoke", data=shop / "pairs", out=again, degradation="", threads=1, seed=1)
    found = reverie.compare([shop / "pix", again], shop / "pairs", out=tmp_path / "page.html")
    assert all(cell.score for cell in found["psnr"])
    assert "Translations" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert main(["compare", str(shop / "pix"), str(shop / "cycle"), "--data", str(shop / "pairs")]) == 2
    assert "unlike kinds of data" in capsys.readouterr().err


def test_restoring_in_tiles_is_the_same(shop: Path, tmp_path: Path) -> None:
    method = reverie.load(shop / "restore")
    photo = Photo.load(shades(tmp_path / "large.png", 530, 700))
    (cut,), (whole,) = (method.verb("restore")([photo], tile=tile) for tile in (512, 1024))
    assert np.abs(cut.pixels.astype(int) - whole.pixels).max() <= 1


def test_training_gets_better() -> None:
    """The step does what it is for: after some steps the difference of pixels is far smaller."""
    from reverie.core.update import Update
    from reverie.utils.distributed import Ranks

    torch.manual_seed(0)
    cls, _, config, _ = plan("restoration:smoke", {"width": 32, "rate": 3e-3})
    method = cls(cls.resolve_config(config, {"channels": 3}))
    image = torch.nn.functional.interpolate(torch.rand(8, 3, 4, 4) * 2 - 1, 32, mode="bicubic").clamp(-1, 1)
    update, told = Update(method.optimizers(), Ranks("cpu")), []
    for _ in range(200):
        told.append(float(method.stages()[0].step({"image": image}, update)["psnr"]))
    assert np.mean(told[-5:]) > told[0] + 2.5


def test_psnr_and_ssim_are_those_of_torchmetrics() -> None:
    draws = np.random.Generator(np.random.Philox(key=[1, 1]))
    a = draws.integers(0, 256, (40, 31, 3), np.uint8)
    b = np.clip(a + draws.normal(0, 12, a.shape), 0, 255).astype(np.uint8)
    x, y = (torch.from_numpy(p).permute(2, 0, 1)[None].double() for p in (a, b))
    assert float(psnrs([a], [b])[0]) == pytest.approx(float(peak_signal_noise_ratio(x, y, data_range=255.0)), abs=1e-4)
    theirs = structural_similarity_index_measure(x, y, data_range=255.0)
    assert ssim(a, b) == pytest.approx(float(theirs), abs=1e-4)
    assert ssim(a, a) == pytest.approx(1.0)


def test_a_residual_cyclegan_begins_with_the_picture_itself(shop: Path, tmp_path: Path) -> None:
    picture = shades(tmp_path / "a.png", 20, 21)
    before = Photo.load(picture).pixels.astype(int)
    for rate, steps in ((1e-12, 1), (2e-3, 20)):
        run = tmp_path / str(steps)
        options = dict(data=str(shop / "pairs"), network="residual", ema_decay=0.9, threads=1)
        reverie.train("cyclegan:smoke", out=run, lr=rate, steps=steps, **options)
        after = next(iter(reverie.load(run).translate([Photo.load(picture)]))).pixels.astype(int)
        assert (np.abs(after - before).max() == 0) == (steps == 1)


def test_labels_by_hand() -> None:
    true = np.array([[[0, 0, 1, 2]]])
    made = np.array([[[0, 1, 1, 2]]])
    assert segmentation_metrics(made, true, 4) == pytest.approx((0.75, (1 / 2 + 1 / 2 + 1) / 3))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "pix2pix", "--data", "shapes:8"], "--degradation grey"),
        (["train", "cyclegan", "--data", "shapes:8"], "no two sides"),
        (["train", "cyclegan:smoke", "--data", "letters:8,shapes:8", "--network", "residual"], "keeps its channels"),
        (["train", "cyclegan:smoke", "--data", "letters:8,shapes:8", "--ema-decay", "1"], "below 1"),
        (["train", "pix2pix:smoke", "--data", "{pairs}"], "leave --degradation away"),
        (["train", "pix2pix:smoke", "--data", "shapes:8", "--ema-decay", "1"], "below 1"),
        (
            ["train", "pix2pix:smoke", "--data", "shapes:8", "--degradation", "jpeg", "--severity", "0"],
            "above 0 (quality",
        ),
        (
            ["train", "pix2pix:smoke", "--data", "shapes:8", "--degradation", "jpeg", "--severity", "101"],
            "from 1 to 100",
        ),
        (["train", "pix2pix:smoke", "--data", "shapes:8", "--direction", "b to a"], "pairs that are given"),
        (["train", "restoration:smoke", "--data", "letters:8", "--degradation", "grey"], "no colour to learn"),
        (["train", "pix2pix:colourise", "--data", "letters:8"], "no colour to learn"),
        (["train", "restoration:smoke", "--data", "shapes:8", "--size", "64"], "smaller than 128 pixels"),
        (["train", "restoration:smoke", "--data", "shapes:8", "--severity", "-1"], "above 0"),
        (["translate", "{pix}", "{words}"], "words.txt is not a usable image"),
        (["translate", "{pix}"], "translate needs images"),
        (["translate", "{pix}", "{pairs}", "--tile", "100"], "multiple of 256"),
        (["restore", "{pix}", "{pairs}"], "pix2pix cannot restore"),
        (["spoil", "{pix}", "{pairs}"], "learnt from pairs"),
        (["translate", "{pix}", "{pairs}", "--out", "{words}"], "cannot write images"),
    ],
)
def test_wrong_input_is_one_line(
    shop: Path, tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.txt").write_text("words")
    places = {"{pairs}": shop / "pairs", "{pix}": shop / "pix", "{words}": tmp_path / "words.txt"}
    asked = [str(places.get(word, word)) for word in words]
    asked += [] if "--out" in asked else ["--out", str(tmp_path / "out")]
    assert main(asked) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.strip().count("\n") == 0
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True
    assert json.loads((shop / "pix" / "run.json").read_text())["method"] == "pix2pix"
