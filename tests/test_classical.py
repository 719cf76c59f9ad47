"""Classical baselines of restoration: the same degraded pixels, settings chosen on other images, values by hand."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from scipy import ndimage
from skimage.data import astronaut

import reverie
from reverie.cli.main import main
from reverie.core.method import Method
from reverie.evaluation import baselines, time_estimate
from reverie.evaluation.compare import Comparison
from reverie.media import Photo
from reverie.metrics import classical_baselines as classical
from reverie.metrics.classical_baselines import NON_LOCAL_MEANS, TOOLS, UNSHARP, WIENER, Case
from reverie.metrics.full_reference import psnrs
from reverie.transforms.degradations import DEGRADATIONS, apply_degradation_seeded, blur_kernel, downscale
from reverie.utils.seeding import seed_for

RESTORED = ("noise", "blur", "motion", "focus", "jpeg", "small")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A crop of the photograph that comes with scikit-image, uint8 [96,96,3]."""
    return np.ascontiguousarray(astronaut()[60:156, 180:276])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """Photographs in two splits, and a run for each degradation."""
    root = tmp_path_factory.mktemp("workspace")
    for split, cuts in (("train", ((0, 0), (0, 48))), ("test", ((48, 0), (48, 48)))):
        (root / "photos" / split).mkdir(parents=True)
        for i, (top, left) in enumerate(cuts):
            PIL.Image.fromarray(photo[top : top + 48, left : left + 48]).save(root / "photos" / split / f"{i}.png")
    for degradation in RESTORED:
        out = root / degradation
        reverie.train("restoration:smoke", data=root / "photos", out=out, degradation=degradation, threads=1, steps=4)
    return root


def psnr(image: np.ndarray, target: np.ndarray) -> float:
    """In decibels."""
    return float(psnrs([image], [target])[0])


def degraded_case(original: np.ndarray, degradation: str, severity: float, seed: int = 0) -> Case:
    """An image with its degraded version, as tools are given them."""
    y = Photo(original).to_tensor(original.shape[2])
    degraded = Photo(original).with_pixels(apply_degradation_seeded(y, degradation, severity, seed)[0]).pixels
    kernel = blur_kernel(degradation, severity, seed)
    return Case(original, degraded, severity, None if kernel is None else kernel.numpy())


@pytest.mark.parametrize("channels", [1, 3])
def test_non_local_means_raises_psnr_of_sigma_25(photo: np.ndarray, channels: int) -> None:
    case = degraded_case(photo[:, :, :channels].copy(), "noise", 25.0)
    assert psnr(NON_LOCAL_MEANS.restore(case, {"h": 0.7}), case.original) > psnr(case.degraded, case.original) + 5


@pytest.mark.parametrize(("degradation", "severity"), [("blur", 1.6), ("focus", 3.0)])
def test_wiener_undoes_a_known_blur_up_to_the_border(photo: np.ndarray, degradation: str, severity: float) -> None:
    case = degraded_case(photo, degradation, severity)
    restored = WIENER.restore(case, {"balance": 1e-4})
    assert psnr(restored, photo) > psnr(case.degraded, photo) + 3
    edge = np.abs(restored[:4].astype(float) - photo[:4]).mean()
    assert edge < 1.5 * np.abs(restored[40:44].astype(float) - photo[40:44]).mean() + 2  # no ringing there


@pytest.mark.parametrize(("degradation", "severity"), [("blur", 1.3), ("motion", 7.5), ("focus", 2.0)])
def test_the_kernel_is_that_of_the_blur(photo: np.ndarray, degradation: str, severity: float) -> None:
    x = Photo(photo[:, :, :1].copy()).to_tensor(1).double()
    blurred = apply_degradation_seeded(x, degradation, severity, 5)[0, 0].numpy()
    kernel = blur_kernel(degradation, severity, 5)
    assert kernel is not None
    assert float(kernel.sum()) == pytest.approx(1)
    by_hand = ndimage.convolve(x[0, 0].numpy(), kernel.numpy(), mode="mirror")
    assert np.abs(by_hand - blurred)[12:-12, 12:-12].max() < 1e-5
    if degradation != "motion":
        assert np.abs(by_hand - blurred).max() < 1e-5
    assert blur_kernel("noise", 25.0, 0) is None


@pytest.mark.parametrize("degradation", RESTORED)
@pytest.mark.parametrize(("size", "channels"), [((8, 9), 3), ((3, 12), 1)])
def test_tiny_images_are_restored(photo: np.ndarray, degradation: str, size: tuple[int, int], channels: int) -> None:
    original = photo[: size[0], : size[1], :channels].copy()
    severity = DEGRADATIONS[degradation].severity
    case = degraded_case(original, degradation, severity)
    if degradation == "small":
        case = case._replace(small=baselines.to_unit_range(downscale(Photo(original).to_tensor(channels), severity)))
    for tool in TOOLS[degradation]:
        if tool.version:
            assert tool.restore(case, tool.settings[0]).shape == original.shape


def test_the_same_pixels_are_restored_once(photo: np.ndarray) -> None:
    case = degraded_case(photo[:40, :43].copy(), "blur", 1.6)
    calls = []

    def function(case: Case, radius: float) -> np.ndarray:
        calls.append(radius)
        return case.degraded / 255 * radius

    tool = UNSHARP._replace(name="counted", function=function)
    for radius in (0.5, 0.25, 0.5):
        expected = (case.degraded * radius).round()
        assert np.abs(baselines.restored_by(tool, case, {"radius": radius}) - expected).max() <= 1
    other = case._replace(degraded=case.degraded[:, ::-1].copy())
    assert baselines.restored_by(tool, other, {"radius": 0.5}).shape == (40, 43, 3)
    assert calls == [0.5, 0.25, 0.5]


def test_settings_are_chosen_by_psnr(photo: np.ndarray) -> None:
    case = degraded_case(photo[:40, :40].copy(), "blur", 1.6)
    setting = UNSHARP.best_setting([case])
    chosen = psnr(UNSHARP.restore(case, setting), case.original)
    assert chosen > psnr(case.degraded, case.original) + 0.5
    assert chosen == max(psnr(UNSHARP.restore(case, other), case.original) for other in UNSHARP.settings)
    assert setting != UNSHARP.settings[0]
    assert UNSHARP.best_setting([]) == UNSHARP.settings[0]


@pytest.mark.parametrize("degradation", RESTORED)
def test_tools_get_the_same_degraded_pixels_as_the_network(
    workspace: Path, degradation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases: list[tuple[str, Case]] = []
    method = reverie.load(workspace / degradation)
    restored_by = baselines.restored_by
    inputs: list[np.ndarray] = []
    restore_tensor = type(method).restore_tensor

    def record_case(tool: classical.Tool, case: Case, setting: dict[str, float]) -> np.ndarray:
        cases.append((tool.name, case))
        return restored_by(tool, case, setting)

    def record_input(own: Method, x: torch.Tensor, *rest: object) -> torch.Tensor:
        inputs.append(x.numpy())
        return restore_tensor(own, x, *rest)

    monkeypatch.setattr(baselines, "restored_by", record_case)
    monkeypatch.setattr(type(method), "restore_tensor", record_input)
    found = reverie.evaluate(workspace / degradation, workspace / "photos", seed=3)
    degraded = [((x[0].transpose(1, 2, 0) + 1) * 127.5).round().astype(np.uint8) for x in inputs[-2:]]
    assert len(degraded) == 2  # after those that were timed
    installed = [tool for tool in TOOLS[degradation] if tool.version]
    assert len(installed) >= 2
    for tool in installed:
        score = found[f"psnr, {tool.name}"]
        scored = [case.degraded for name, case in cases if name == tool.name][-2:]  # after those of training
        assert np.array_equal(scored, degraded)
        assert score.baseline == found["psnr"].baseline
        assert score.n == 2
        assert score.group == "baselines"
        assert tool.library in score.definition
        assert tool.version in score.definition
        assert score.versions[tool.library] == tool.version
        assert score.reference == found["psnr"].reference
        assert ("seed 3" in score.definition) == (degradation in ("noise", "motion"))
        if len(tool.settings) > 1:
            assert "on 2 other images of photos train" in score.definition
    page = (workspace / degradation / "report.html").read_text(encoding="utf-8")
    assert "Beside classical tools" in page
    assert TOOLS[degradation][0].name in page


def test_the_value_is_that_of_the_tool_by_hand(workspace: Path) -> None:
    found = reverie.evaluate(workspace / "small", workspace / "photos")
    assert found["psnr, bicubic"].value == pytest.approx(found["psnr"].baseline)
    originals = [np.array(PIL.Image.open(p)) for p in sorted((workspace / "photos" / "test").glob("*.png"))]
    upscaled = []
    for pixels in originals:
        y = Photo(pixels).to_tensor(3)
        small = torch.nn.functional.interpolate(y, (12, 12), mode="bicubic", antialias=True, align_corners=False)
        planes = [PIL.Image.fromarray(p.numpy()) for p in (small[0].clamp(-1, 1) + 1) / 2]
        wide = [np.asarray(p.resize((48, 48), PIL.Image.Resampling.LANCZOS)) for p in planes]
        upscaled.append((np.stack(wide, 2).clip(0, 1) * 255).round().astype(np.uint8))
    assert found["psnr, lanczos"].value == pytest.approx(float(psnrs(upscaled, originals).mean()), abs=1e-6)


def test_kernels_are_those_of_the_random_blurs_of_a_run(workspace: Path, photo: np.ndarray) -> None:
    method = reverie.load(workspace / "motion")
    originals = [photo, np.ascontiguousarray(photo[::-1])]
    degraded = [p.pixels for p in method.verb("degrade")([Photo(pixels) for pixels in originals], seed=7)]
    one, two = baselines.cases_of(method, originals, degraded, 7)
    assert one.kernel is not None
    assert two.kernel is not None
    assert not np.allclose(one.kernel, two.kernel)
    kernel = blur_kernel("motion", 9.0, seed_for(7, Photo(originals[1])))
    assert kernel is not None
    assert np.array_equal(two.kernel, kernel.numpy())
    blurred = [ndimage.convolve(originals[1][..., c].astype(float), two.kernel, mode="mirror") for c in range(3)]
    assert np.abs(np.stack(blurred, 2) - degraded[1])[12:-12, 12:-12].max() <= 0.51


def test_pix2pix_has_baselines_where_tools_undo_its_degradation(workspace: Path, tmp_path: Path) -> None:
    pairs = workspace / "photos"
    reverie.train("pix2pix:smoke", data=pairs, out=tmp_path / "sharp", degradation="blur", threads=1, steps=2)
    reverie.train("pix2pix:smoke", data=pairs, out=tmp_path / "grey", degradation="grey", threads=1, steps=2)
    found = reverie.evaluate(tmp_path / "sharp", pairs)
    assert found["psnr, wiener"].baseline == found["psnr"].baseline
    assert found["psnr, wiener"].value > found["psnr"].baseline
    assert not [s for s in reverie.evaluate(tmp_path / "grey", pairs) if s.group == "baselines"]


def test_without_other_images_the_default_settings_are_used(workspace: Path) -> None:
    found = reverie.evaluate(workspace / "jpeg", workspace / "photos" / "test")
    assert "the default" in found["psnr, total variation"].definition
    part = reverie.evaluate(workspace / "jpeg", workspace / "photos" / "test", n=1)
    assert "on 1 other images" in part["psnr, total variation"].definition


def test_without_scikit_image_the_evaluation_says_so(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = importlib.metadata.version

    def without_extras(name: str) -> str:
        if name in ("scikit-image", "bm3d"):
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(classical, "version", without_extras)
    found = reverie.evaluate(workspace / "noise", workspace / "photos")
    assert found["psnr"].n == 2
    skipped = {line["score"]: line["why"] for line in found.skipped}
    assert "pip install 'reverie[classical]'" in skipped["psnr, non-local means"]
    assert "non-commercial" in skipped["ssim, bm3d"]
    assert "reverie[classical]" in found.table()


def test_the_time_is_said_with_that_of_the_tools(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image of 48 x 48 counts for one of a tool's tuning images of 128; the tools' settings are many."""
    monkeypatch.setattr(time_estimate, "LEAST", 0)
    reverie.evaluate(workspace / "blur", workspace / "photos", n=2)
    said = capsys.readouterr().err
    assert re.search(r"up to .*: 2 restored images, 2 by wiener, 2 by unsharp mask; --full takes more", said)
    reverie.evaluate(workspace / "blur", workspace / "photos", n=2, baselines=False, full=True)
    said = capsys.readouterr().err
    assert re.search(r"up to .*: 2 restored images$", said, re.MULTILINE)


def test_baselines_can_be_switched_off_and_are_in_comparisons(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = workspace / "photos"
    found = reverie.evaluate(workspace / "blur", data, baselines=False)
    assert {s.name for s in found} == {"psnr", "ssim"}
    assert "baselines=False" in found.command
    assert main(["evaluate", str(workspace / "blur"), "--data", str(data), "--no-baselines", "--json"]) == 0
    assert {s["name"] for s in json.loads(capsys.readouterr().out)["scores"]} == {"psnr", "ssim"}
    reverie.train("restoration:smoke", data=data, out=tmp_path / "b", degradation="blur", threads=1, steps=2)
    table: Comparison = reverie.compare([workspace / "blur", tmp_path / "b"], data, out=tmp_path / "page.html")
    one, two = (cell.score for cell in table["psnr, wiener"])
    assert one is not None
    assert two is not None
    assert one.value == two.value
    assert table.best("psnr, wiener") is None
    assert "unsharp mask" in (tmp_path / "page.html").read_text(encoding="utf-8")
