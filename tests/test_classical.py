"""Classical tools beside restoration: the same spoilt pixels, settings chosen on others, figures by hand."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import PIL.Image
import pytest
import torch
from scipy import ndimage

import reverie
from reverie.cli.main import main
from reverie.evaluation import baselines as rivals
from reverie.evaluation.compare import Comparison
from reverie.media import Photo
from reverie.metrics import classical_baselines as classical
from reverie.metrics.classical_baselines import NON_LOCAL_MEANS, TOOLS, UNSHARP, WIENER, Case
from reverie.metrics.full_reference import psnrs
from reverie.transforms.degradations import DEGRADATIONS, apply_degradation_seeded, blur_kernel, downscale
from reverie.utils.seeding import seed_for

MAKES = ("noise", "blur", "motion", "focus", "jpeg", "small")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A piece of the photograph that comes with matplotlib, uint8 [96,96,3]."""
    file = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return np.array(PIL.Image.open(file).convert("RGB"))[120:216, 180:276]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """Photographs in two splits, and a run of each degradation."""
    room = tmp_path_factory.mktemp("shop")
    for split, cuts in (("train", ((0, 0), (0, 48))), ("test", ((48, 0), (48, 48)))):
        (room / "photos" / split).mkdir(parents=True)
        for i, (top, left) in enumerate(cuts):
            PIL.Image.fromarray(photo[top : top + 48, left : left + 48]).save(room / "photos" / split / f"{i}.png")
    for make in MAKES:
        reverie.train("restoration:smoke", data=room / "photos", out=room / make, degradation=make, threads=1, steps=4)
    return room


def db(made: np.ndarray, good: np.ndarray) -> float:
    return float(psnrs([made], [good])[0])


def case_of(good: np.ndarray, make: str, strength: float, seed: int = 0) -> Case:
    given = (
        Photo(good).with_pixels(apply_degradation_seeded(Photo(good).to_tensor(good.shape[2]), make, strength, seed)[0]).pixels
    )
    blur = blur_kernel(make, strength, seed)
    return Case(good, given, strength, None if blur is None else blur.numpy())


@pytest.mark.parametrize("channels", [1, 3])
def test_non_local_means_raises_psnr_of_sigma_25(photo: np.ndarray, channels: int) -> None:
    case = case_of(photo[:, :, :channels].copy(), "noise", 25.0)
    assert db(NON_LOCAL_MEANS.restore(case, {"h": 0.7}), case.original) > db(case.degraded, case.original) + 5


@pytest.mark.parametrize(("make", "strength"), [("blur", 1.6), ("focus", 3.0)])
def test_wiener_undoes_a_known_blur_up_to_the_border(photo: np.ndarray, make: str, strength: float) -> None:
    case = case_of(photo, make, strength)
    made = WIENER.restore(case, {"balance": 1e-4})
    assert db(made, photo) > db(case.degraded, photo) + 3
    edge = np.abs(made[:4].astype(float) - photo[:4]).mean()
    assert edge < 1.5 * np.abs(made[40:44].astype(float) - photo[40:44]).mean() + 2  # nothing rings there


@pytest.mark.parametrize(("make", "strength"), [("blur", 1.3), ("motion", 7.5), ("focus", 2.0)])
def test_the_kernel_is_that_of_the_blur(photo: np.ndarray, make: str, strength: float) -> None:
    x = Photo(photo[:, :, :1].copy()).to_tensor(1).double()
    done = apply_degradation_seeded(x, make, strength, 5)[0, 0].numpy()
    known = blur_kernel(make, strength, 5)
    assert known is not None
    assert float(known.sum()) == pytest.approx(1)
    by_hand = ndimage.convolve(x[0, 0].numpy(), known.numpy(), mode="mirror")
    assert np.abs(by_hand - done)[12:-12, 12:-12].max() < 1e-5
    if make != "motion":
        assert np.abs(by_hand - done).max() < 1e-5
    assert blur_kernel("noise", 25.0, 0) is None


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize(("size", "channels"), [((8, 9), 3), ((3, 12), 1)])
def test_tiny_pictures_are_repaired(photo: np.ndarray, make: str, size: tuple[int, int], channels: int) -> None:
    good = photo[: size[0], : size[1], :channels].copy()
    strength = DEGRADATIONS[make].severity
    small = rivals.levels(downscale(Photo(good).to_tensor(channels), strength)) if make == "small" else None
    case = case_of(good, make, strength)._replace(small=small)
    for tool in TOOLS[make]:
        if tool.version:
            assert tool.restore(case, tool.settings[0]).shape == good.shape


def test_settings_are_chosen_by_psnr(photo: np.ndarray) -> None:
    training = [case_of(photo[:40, :40].copy(), "blur", 1.6)]
    choice = UNSHARP.best_setting(training)
    assert db(UNSHARP.restore(training[0], choice), training[0].original) > db(training[0].degraded, training[0].original) + 0.5
    best = max(db(UNSHARP.restore(training[0], other), training[0].original) for other in UNSHARP.settings)
    assert db(UNSHARP.restore(training[0], choice), training[0].original) == best
    assert choice != UNSHARP.settings[0]
    assert UNSHARP.best_setting([]) == UNSHARP.settings[0]


@pytest.mark.parametrize("make", MAKES)
def test_tools_get_the_very_same_spoilt_pixels(shop: Path, make: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, Case]] = []
    true = reverie.load(shop / make)
    theirs = classical.Tool.restore
    monkeypatch.setattr(
        classical.Tool,
        "restore",
        lambda tool, case, choice: seen.append((tool.name, case)) or theirs(tool, case, choice),
    )
    restored: list[np.ndarray] = []
    own = type(true).restore_tensor
    monkeypatch.setattr(type(true), "restore_tensor", lambda m, x, tile=512: restored.append(x.numpy()) or own(m, x, tile))
    found = reverie.evaluate(shop / make, shop / "photos", seed=3)
    given = [((x[0].transpose(1, 2, 0) + 1) * 127.5).round().astype(np.uint8) for x in restored]
    assert len(given) == 2
    there = [tool for tool in TOOLS[make] if tool.version]
    assert len(there) >= 2
    for tool in there:
        score = found[f"psnr, {tool.name}"]
        scored = [case.degraded for name, case in seen if name == tool.name][-2:]  # before, settings were chosen
        assert np.array_equal(scored, given)
        assert score.floor == found["psnr"].floor
        assert score.n == 2
        assert score.group == "classical methods"
        assert tool.library in score.definition
        assert tool.version in score.definition
        assert score.versions[tool.library] == tool.version
        assert score.reference == found["psnr"].reference
        assert ("seed 3" in score.definition) == (make in ("noise", "motion"))
        if len(tool.settings) > 1:
            assert "on 2 other pictures of photos train" in score.definition
    page = (shop / make / "report.html").read_text(encoding="utf-8")
    assert "Classical methods" in page
    assert TOOLS[make][0].name in page


def test_the_value_is_that_of_the_tool_by_hand(shop: Path) -> None:
    found = reverie.evaluate(shop / "small", shop / "photos")
    assert found["psnr, bicubic"].value == pytest.approx(found["psnr"].floor)
    good = [np.array(PIL.Image.open(p)) for p in sorted((shop / "photos" / "test").glob("*.png"))]
    made = []
    for pixels in good:
        y = Photo(pixels).to_tensor(3)
        small = torch.nn.functional.interpolate(y, (12, 12), mode="bicubic", antialias=True, align_corners=False)
        planes = [PIL.Image.fromarray(p.numpy()) for p in (small[0].clamp(-1, 1) + 1) / 2]
        wide = [np.asarray(p.resize((48, 48), PIL.Image.Resampling.LANCZOS)) for p in planes]
        made.append((np.stack(wide, 2).clip(0, 1) * 255).round().astype(np.uint8))
    assert found["psnr, lanczos"].value == pytest.approx(float(psnrs(made, good).mean()), abs=1e-6)


def test_blurs_of_a_run_have_the_kernels_of_its_random_numbers(shop: Path, photo: np.ndarray) -> None:
    method = reverie.load(shop / "motion")
    good = [photo, np.ascontiguousarray(photo[::-1])]
    given = [p.pixels for p in method.verb("degrade")([Photo(pixels) for pixels in good], seed=7)]
    one, two = rivals.cases(method, good, given, 7)
    assert one.kernel is not None
    assert two.kernel is not None
    assert not np.allclose(one.kernel, two.kernel)
    known = blur_kernel("motion", 9.0, seed_for(7, Photo(good[1])))
    assert known is not None
    assert np.array_equal(two.kernel, known.numpy())
    again = [ndimage.convolve(good[1][..., c].astype(float), two.kernel, mode="mirror") for c in range(3)]
    assert np.abs(np.stack(again, 2) - given[1])[12:-12, 12:-12].max() <= 0.51


def test_pairs_that_a_run_made_have_rivals_and_given_pairs_have_none(shop: Path, tmp_path: Path) -> None:
    pairs = shop / "photos"
    reverie.train("pix2pix:smoke", data=pairs, out=tmp_path / "sharp", degradation="blur", threads=1, steps=2)
    reverie.train("pix2pix:smoke", data=pairs, out=tmp_path / "grey", degradation="grey", threads=1, steps=2)
    found = reverie.evaluate(tmp_path / "sharp", pairs)
    assert found["psnr, wiener"].floor == found["psnr"].floor
    assert found["psnr, wiener"].value > found["psnr"].floor
    assert not [s for s in reverie.evaluate(tmp_path / "grey", pairs) if s.group == "classical methods"]


def test_without_other_pictures_settings_are_the_usual_ones(shop: Path) -> None:
    found = reverie.evaluate(shop / "jpeg", shop / "photos" / "test")
    assert "as usual" in found["psnr, total variation"].definition
    part = reverie.evaluate(shop / "jpeg", shop / "photos" / "test", n=1)
    assert "on 1 other pictures" in part["psnr, total variation"].definition


def test_without_scikit_image_the_evaluation_says_so(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = importlib.metadata.version

    def none(name: str) -> str:
        if name in ("scikit-image", "bm3d"):
            raise importlib.metadata.PackageNotFoundError(name)
        return held(name)

    monkeypatch.setattr(classical, "version", none)
    found = reverie.evaluate(shop / "noise", shop / "photos")
    assert found["psnr"].n == 2
    skipped = {line["score"]: line["why"] for line in found.skipped}
    assert "pip install 'reverie[classical]'" in skipped["psnr, non-local means"]
    assert "non-commercial" in skipped["ssim, bm3d"]
    assert "reverie[classical]" in found.table()


def test_rivals_can_be_left_out_and_stand_in_comparisons(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shop / "photos"
    found = reverie.evaluate(shop / "blur", data, classical=False)
    assert {s.name for s in found} == {"psnr", "ssim"}
    assert "classical=False" in found.command
    assert main(["evaluate", str(shop / "blur"), "--data", str(data), "--no-classical", "--json"]) == 0
    assert {s["name"] for s in json.loads(capsys.readouterr().out)["scores"]} == {"psnr", "ssim"}
    reverie.train("restoration:smoke", data=data, out=tmp_path / "b", degradation="blur", threads=1, steps=2)
    table: Comparison = reverie.compare([shop / "blur", tmp_path / "b"], data, out=tmp_path / "page.html")
    one, two = (cell.score for cell in table["psnr, wiener"])
    assert one is not None
    assert two is not None
    assert one.value == two.value
    assert table.best("psnr, wiener") is None
    assert "unsharp mask" in (tmp_path / "page.html").read_text(encoding="utf-8")
