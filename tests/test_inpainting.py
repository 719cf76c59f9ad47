"""Inpainting: the Laplace fill that everything starts from, holes to learn, networks, losses, scores."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import reverie
from reverie import UserError
from reverie.cli.main import main
from reverie.media import Photo
from reverie.methods.inpainting import LEAST_SQUARE, ContextEncoder, Inpainting, gain_over
from reverie.metrics import inpainting as scores
from reverie.metrics.inpainting_examples import (
    Filled,
    FilledPhotos,
    Holes,
    fill_photos,
    holes_to_test,
    middle_square,
    read_hole,
)
from reverie.transforms.laplace_fill import laplace_fill
from reverie.transforms.mask_strokes import centre_holes, random_boxes, random_holes, random_strokes
from test_resume import at_step
from test_run_folder import forks, in_child

CPU = torch.device("cpu")
RUN: dict[str, Any] = dict(data="shapes:24", threads=1, device="cpu", steps=12, checkpoint_every=3)
"""6 steps of each stage"""


def images(n: int, channels: int = 3, height: int = 24, width: int = 40) -> torch.Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def boxes(n: int, height: int = 24, width: int = 40) -> torch.Tensor:
    hole = torch.zeros(n, 1, height, width, dtype=torch.bool)
    for i in range(n):
        hole[i, :, 3 + i : 15 + i, 20 + i : 40] = True  # up to the frame on the right
    return hole


# -- the Laplace fill --------------------------------------------------------------------------------------------------


def test_a_plane_is_filled_exactly() -> None:
    """A plane solves Laplace's equation; a hole that touches the frame gets a surface that is level there."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(40.0), indexing="ij")
    plane = (0.02 * rows - 0.03 * columns)[None, None].double()
    hole = torch.zeros(1, 1, 24, 40, dtype=torch.bool)
    hole[..., 5:20, 7:30] = True
    assert (laplace_fill(plane, hole) - plane).abs().max() < 1e-4
    at_frame = torch.zeros_like(hole)
    at_frame[..., 10:, :] = True
    filled = laplace_fill((0.02 * columns)[None, None].double(), at_frame)
    assert (filled[..., -1, :] - filled[..., -2, :]).abs().max() < 2e-3


def test_inside_is_the_mean_of_the_four_neighbours_and_outside_is_kept() -> None:
    x, hole = images(2), boxes(2)
    filled = laplace_fill(x.double(), hole)
    padded = torch.nn.functional.pad(filled, (1, 1, 1, 1), "replicate")
    mean = (padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2] + padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1]) / 4
    assert ((filled - mean) * hole).abs().max() < 1e-4
    assert torch.equal(laplace_fill(x, hole)[~hole.expand_as(x)], x[~hole.expand_as(x)])


def test_what_is_in_the_hole_does_not_matter_and_images_do_not_mix() -> None:
    x, hole = images(3), boxes(3)
    whole = laplace_fill(x, hole)
    assert torch.equal(whole, laplace_fill(x.masked_fill(hole, float("nan")), hole))
    assert torch.equal(whole[1:2], laplace_fill(x[1:2], hole[1:2]))
    assert (whole - laplace_fill(x, hole, iterations=6)).abs().max() < 0.01


def test_bfloat16_around_it_changes_nothing() -> None:
    x, hole = images(2), boxes(2)
    with torch.autocast("cpu", torch.bfloat16):
        within = laplace_fill(x, hole, iterations=6)
    assert torch.equal(within, laplace_fill(x, hole, iterations=6))


def test_an_empty_hole_changes_nothing_and_a_full_one_is_refused() -> None:
    x = images(1)
    assert torch.equal(laplace_fill(x, torch.zeros(1, 1, 24, 40, dtype=torch.bool)), x)
    with pytest.raises(UserError, match="covers the whole image"):
        laplace_fill(x, torch.ones(1, 1, 24, 40, dtype=torch.bool))


# -- holes to learn ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [16, 128])
def test_random_holes_are_neither_empty_nor_full_and_follow_the_seed(side: int) -> None:
    torch.manual_seed(0)
    hole = random_holes(80, side, side, CPU)
    share = hole.float().mean((1, 2, 3))
    assert share.min() > 0
    assert share.max() < 1
    assert 0.1 < share.mean() < 0.4
    assert share.std() > 0.08  # small ones and large ones
    torch.manual_seed(0)
    assert torch.equal(random_holes(80, side, side, CPU), hole)


def test_strokes_are_round_and_boxes_upright() -> None:
    torch.manual_seed(1)
    strokes, boxes = random_strokes(30, 96, 64, CPU), random_boxes(30, 96, 64, CPU)
    assert strokes.shape == boxes.shape == (30, 1, 96, 64)
    corners = 0
    for box in boxes[:, 0]:  # a row of a union of upright boxes changes at their edges only
        changes = (box[1:] != box[:-1]).any(1).sum()
        assert changes <= 6
        corners += int(changes)
    assert corners > 30
    assert len({int(stroke.sum()) for stroke in strokes}) > 25
    for edge in (strokes[:, :, 0], strokes[:, :, -1], strokes[..., 0], strokes[..., -1]):  # they reach the frame
        assert edge.any()


def test_the_centre_is_the_middle_half_of_each_side() -> None:
    hole = centre_holes(2, 128, 64, CPU)
    assert hole[1, 0, 32:96, 16:48].all()
    assert int(hole[1].sum()) == 64 * 32


# -- networks ----------------------------------------------------------------------------------------------------------


def method(**options: Any) -> Inpainting:
    torch.manual_seed(0)
    return Inpainting(
        Inpainting.Config(**{"channels": 3, "size": 16, "base_channels": 8, "blocks": 1, **options})
    ).eval()


def trained(**options: Any) -> Inpainting:
    """A method whose last layer is no longer 0."""
    made = method(**options)
    last = list(made.generator.parameters())[-2:]
    assert not any(parameter.any() for parameter in last)
    torch.nn.init.normal_(last[0], 0, 0.1)
    return made


def test_the_network_starts_as_the_laplace_fill() -> None:
    x, hole = images(2), boxes(2)
    assert torch.equal(method().fill(x, hole), laplace_fill(x, hole).clamp(-1, 1))
    assert not torch.equal(trained().fill(x, hole), laplace_fill(x, hole).clamp(-1, 1))


@pytest.mark.parametrize("size", [(24, 40), (21, 43), (8, 9)])
def test_any_size_is_filled_and_outside_the_hole_nothing_changes(size: tuple[int, int]) -> None:
    x = images(3, 3, *size)
    hole = torch.zeros(3, 1, *size, dtype=torch.bool)
    hole[:2, :, 3:7, 2:] = True  # the last image has no hole
    filled = trained().fill(x, hole)
    assert torch.equal(filled[~hole.expand_as(x)], x[~hole.expand_as(x)])
    assert torch.isfinite(filled).all()
    assert torch.equal(filled, trained().fill(x.masked_fill(hole, float("nan")), hole))
    alone = torch.cat([trained().fill(x[i : i + 1], hole[i : i + 1]) for i in range(3)])
    assert (alone - filled).abs().max() < 1e-5


@pytest.mark.parametrize(("options", "alike"), [({}, True), ({"hflip": False}, False), ({"adv_share": 0.5}, False)])
def test_mirror_images_are_filled_alike_where_both_were_learnt_from(options: dict[str, Any], alike: bool) -> None:
    """But a mean would blur what an adversarial stage invents."""
    x, hole = images(2), boxes(2)
    filled, mirrored = trained(**options).fill(x, hole), trained(**options).fill(x.flip(3), hole.flip(3)).flip(3)
    assert torch.allclose(filled, mirrored, atol=1e-3) == alike


def test_a_context_encoder_draws_the_hole_anew() -> None:
    net = ContextEncoder(1, 4, bottleneck=8).eval()
    for side in (128, 160):
        x, mask = torch.rand(1, 1, side, side), torch.zeros(1, 1, side, side)
        mask[..., 40:80, 40:80] = 1
        with torch.no_grad():
            y = net(x, mask)
            assert torch.equal(y * (1 - mask), x * (1 - mask))
            assert torch.equal(y, net(torch.where(mask > 0, 0.3, x), mask))
    with pytest.raises(UserError, match="a multiple of 32, 128 or more"):
        Inpainting.Config(network="context_encoder", size=64)


def test_grey_and_colour() -> None:
    for channels in (1, 3):
        x, hole = images(1, channels), boxes(1)
        assert trained(channels=channels).fill(x, hole).shape == x.shape


# -- training ----------------------------------------------------------------------------------------------------------


def test_stages_share_the_steps_and_each_network_has_its_rate() -> None:
    both = method(adv_share=0.25, steps=100)
    stages = both.stages()
    assert [(s.name, s.steps) for s in stages] == [("pixels", 75), ("adversarial", 25)]
    rates = {name: o.param_groups[0]["lr"] * stages[1].lr_factor(0.5) for name, o in both.optimizers().items()}
    assert rates == {"generator": pytest.approx(2e-4), "discriminator": pytest.approx(2e-4)}
    paper = {k: v for k, v in Inpainting.presets["paper"].items() if k not in ("batch_size", "base_channels")}
    paper_method = Inpainting(Inpainting.Config(**paper, channels=1, base_channels=1))
    (stage,) = paper_method.stages()
    rates = {name: o.param_groups[0]["lr"] * stage.lr_factor(0.9) for name, o in paper_method.optimizers().items()}
    assert rates == {"generator": pytest.approx(2e-3), "discriminator": pytest.approx(2e-4)}  # ten times, section 4


def test_only_pixels_in_the_hole_count() -> None:
    y, hole = images(2), boxes(2)
    filled = y + 0.5 * hole + 7.0 * ~hole
    filled[1] += 0.5 * hole[1]
    first, second = hole.sum((1, 2, 3)).tolist()
    expected = {
        "l1": (0.5 * first + 1.0 * second) / (first + second),
        "l2": (0.25 * first + 1.0 * second) / (first + second),
        "rmse": ((0.25 + LEAST_SQUARE) ** 0.5 + (1 + LEAST_SQUARE) ** 0.5) / 2,
    }
    for kind, value in expected.items():
        assert float(method(pixel_loss=kind).pixel_error(filled, y, hole)) == pytest.approx(value, rel=1e-4)
    assert float(gain_over(y + 1.0 * hole, y + 0.1 * hole, y, hole)) == pytest.approx(20, abs=1e-3)


@pytest.mark.parametrize("masks", ["mixed", "centre", "free"])
def test_examples_are_crops_with_their_laplace_fill(masks: str) -> None:
    torch.manual_seed(0)
    y, x, hole = method(masks=masks, min_downscale=0.5).random_examples(images(8, 3, 32, 32))
    assert y.shape == (8, 3, 16, 16)
    assert torch.equal(x[~hole.expand_as(x)], y[~hole.expand_as(y)])
    assert (x - laplace_fill(y, hole)).abs().max() < 0.05
    middles = (hole == centre_holes(8, 16, 16, CPU)).flatten(1).all(1).sum()
    assert {"mixed": 0 < middles < 8, "centre": middles == 8, "free": middles == 0}[masks]


def test_photos_of_any_size_from_that_of_training_on_are_learnt_from() -> None:
    for native, least in ((1000, 0.2), (320, 0.2), (256, 1 / 3), (100, 64 / 75), (40, 1.0)):
        config = Inpainting.resolve_config(Inpainting.Config(), {"native": native, "channels": 3})
        assert config.min_downscale == pytest.approx(least)
        assert Inpainting.data_args(config)["size"] <= max(64, native)


def test_some_steps_gain_on_the_laplace_fill(tmp_path: Path) -> None:
    """Of stripes, which go on straight through a hole."""
    rows = np.arange(64)[:, None]
    for i in range(12):
        wave = np.sin((rows + 3 * i) / (2 + 0.1 * i)) * np.ones((1, 64))
        PIL.Image.fromarray((127 + 100 * wave).astype(np.uint8)).save(tmp_path / f"{i}.png")
    made = reverie.train(
        "inpainting:smoke", data=tmp_path, out=tmp_path / "run", size=32, base_channels=16, adv_share=0.0, steps=60,
        batch_size=8, lr=5e-3, ema_decay=0.9, min_downscale=0.8, threads=1, masks="centre", hflip=False,
    )  # fmt: skip
    data = Inpainting.data_type.open(tmp_path)
    gain = next(
        score for score in made.method_scores(data, 4, 0) if score.name == "psnr-hole gain over laplace, centre"
    )
    assert gain.value > 0.5


@forks
@pytest.mark.parametrize("step", [5, 9])
def test_killed_in_either_stage_and_resumed_is_bit_for_bit_the_same(step: int, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def child() -> None:
        with pytest.MonkeyPatch.context() as patched:
            at_step(patched, step, lambda: os.kill(os.getpid(), signal.SIGKILL))
            reverie.train("inpainting:smoke", out=out, **RUN)

    assert in_child(child) == -9
    reverie.resume(out)
    assert (out / "weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()


def test_the_first_stage_is_the_training_without_a_second(tmp_path: Path) -> None:
    """A run that is to have an adversarial stage has, before it, the weights of one that has none."""
    both = reverie.train("inpainting:smoke", out=tmp_path / "both", **RUN, adv_lr=1e-12, ema_decay=0.0)
    options = {**RUN, "steps": 6, "adv_share": 0.0, "ema_decay": 0.0}
    alone = reverie.train("inpainting:smoke", out=tmp_path / "alone", **options)
    for (name, a), (_, b) in zip(alone.named_parameters(), both.named_parameters(), strict=False):
        assert name.startswith("generator.")
        assert torch.allclose(a, b, atol=1e-8)


# -- scores ------------------------------------------------------------------------------------------------------------


def levels(*shape: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(3)).integers(0, 256, shape).astype(np.uint8)


def example(side: int = 32) -> Filled:
    original, hole = levels(side, side, 3), np.zeros((side, side), bool)
    hole[8:24, 4:20] = True
    laplace, filled = original.copy(), original.copy()
    laplace[hole] = 100
    filled[hole] = np.clip(original[hole].astype(int) + np.where(original[hole] > 127, -10, 10), 0, 255)
    return Filled("a", original, hole, laplace, filled)


def test_scores_by_hand() -> None:
    e = example()
    photos = FilledPhotos("centre", "conditions", 32, [e])
    data = Inpainting.data_type.open("shapes:4")
    found = {score.name: score for score in scores.inpainting_scores(photos, data, 0)}
    psnr = found["psnr-hole, centre"]
    assert psnr.value == pytest.approx(10 * np.log10(255**2 / 100))
    error = np.square(e.original[e.hole] - 100.0).mean()
    assert psnr.baseline == pytest.approx(10 * np.log10(255**2 / error))
    assert psnr.baseline_name == "the Laplace fill"
    gain = found["psnr-hole gain over laplace, centre"].value
    assert gain == pytest.approx(10 * np.log10(error / 100))
    assert found["psnr, centre"].value == pytest.approx(10 * np.log10(255**2 / (100 / 4)))  # a quarter is hole
    mean = np.square(e.original[e.hole] - e.original[~e.hole].mean(0).round()).mean()
    assert found["psnr-hole, centre, mean colour"].value == pytest.approx(10 * np.log10(255**2 / mean))
    assert found["ssim-hole, centre"].value < found["ssim, centre"].value < 1
    sharp = found["sharpness in the hole, centre"]
    assert sharp.baseline is not None
    assert sharp.baseline < 0.2 < sharp.value
    assert sharp.real == 1.0
    same = FilledPhotos("centre", "", 32, [e._replace(filled=e.original)])
    found = {score.name: score for score in scores.inpainting_scores(same, data, 0)}
    assert found["ssim-hole, centre"].value == found["sharpness in the hole, centre"].value == 1
    assert not list(scores.inpainting_scores(same._replace(examples=[]), data, 0))


def test_opencvs_tools_leave_what_is_known_and_name_their_version() -> None:
    cv2 = pytest.importorskip("cv2")
    e = example()
    for tool in scores.TOOLS:
        filled = tool.fill(np.where(e.hole[:, :, None], np.uint8(9), e.original), e.hole)
        assert (filled[~e.hole] == e.original[~e.hole]).all()
        assert (filled == tool.fill(e.original, e.hole)).all()  # what is in the hole is not looked at
    photos = FilledPhotos("free", "", 32, [e])
    found = {s.name: s for s in scores.inpainting_scores(photos, Inpainting.data_type.open("shapes:4"), 0)}
    assert cv2.__version__ in found["psnr-hole, free, telea"].definition
    assert found["psnr-hole, free, navier-stokes"].versions["opencv"] == cv2.__version__


def test_photos_are_scaled_to_one_size_and_small_ones_left_out() -> None:
    assert middle_square(levels(40, 90, 3), 24).shape == (24, 24, 3)
    assert (middle_square(levels(24, 30, 1), 24) == levels(24, 30, 1)[:, 3:27]).all()
    holes = next(iter(holes_to_test(24, 0)))
    photos = [("small", levels(23, 60, 3)), ("large", levels(30, 40, 3))]
    filled = fill_photos(photos, 24, holes, lambda photo, hole: photo)
    assert [e.name for e in filled.examples] == ["large"]
    assert (filled.examples[0].filled == filled.examples[0].original).all()


def test_holes_of_scores_depend_on_seed_and_photo_alone() -> None:
    first, again = (list(holes_to_test(32, 5))[1] for _ in range(2))
    assert (first.of(3) == again.of(3)).all()
    assert (first.of(3) != first.of(4)).any()
    assert (first.of(3) != list(holes_to_test(32, 6))[1].of(3)).any()


def test_mask_files_are_read_or_refused(tmp_path: Path) -> None:
    for name, value in (("a", 255), ("b", 0)):
        PIL.Image.new("L", (20, 20), value).save(tmp_path / f"{name}.png")
        with pytest.raises(UserError, match=rf"{name}.png is {'all' if value else 'no'} hole"):
            read_hole(tmp_path / f"{name}.png", 16)
    half = np.zeros((40, 40), np.uint8)
    half[:20] = 128
    PIL.Image.fromarray(half).save(tmp_path / "c.png")
    assert (read_hole(tmp_path / "c.png", 16)[:8]).all()
    assert not (read_hole(tmp_path / "c.png", 16)[8:]).any()
    with pytest.raises(UserError, match="no folder of mask files"):
        list(holes_to_test(16, 0, tmp_path / "nowhere"))
    for name in "ab":
        (tmp_path / f"{name}.png").unlink()
    (irregular,) = holes_to_test(16, 0, tmp_path)
    assert isinstance(irregular, Holes)
    assert irregular.kind == "irregular"
    assert irregular.of(0).sum() == 128


# -- the verb ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("planes", "dtype"), [(1, np.uint8), (3, np.uint8), (3, np.uint16)])
@pytest.mark.parametrize("size", [(30, 44), (5, 4)])
def test_photos_of_any_kind_keep_what_is_outside_the_hole(
    channels: int, planes: int, dtype: type, size: tuple[int, int]
) -> None:
    """Also those smaller than what was trained on, and grey networks on colour."""
    draws = np.random.Generator(np.random.Philox(5)).integers(0, np.iinfo(dtype).max + 1, (*size, planes))
    photo, mask = Photo(draws.astype(dtype)), np.zeros((*size, 1), np.uint8)
    mask[1:4, 1:3] = 255
    (made,) = trained(channels=channels).verb("inpaint")([photo], [Photo(mask)])
    assert made.pixels.shape == photo.pixels.shape
    assert made.pixels.dtype == dtype
    outside = mask[:, :, 0] == 0
    assert (made.pixels[outside] == photo.pixels[outside]).all()
    assert (made.pixels[~outside] != photo.pixels[~outside]).any()


@pytest.mark.parametrize(
    ("level", "said"), [(0, "no pixel is brighter"), (255, "nothing is left to fill the hole from")]
)
def test_masks_of_nothing_and_of_everything_are_refused(level: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        trained().verb("inpaint")([Photo(levels(20, 20, 3))], [Photo(np.full((20, 20, 1), level, np.uint8))])


def test_without_training_it_is_the_laplace_fill() -> None:
    photo, mask = Photo(levels(20, 31, 3)), np.zeros((20, 31, 1), np.uint8)
    mask[5:12, 9:20] = 255
    (made,) = Inpainting.without_training().verb("inpaint")([photo], [Photo(mask)], detail="none")
    hole = torch.from_numpy(mask[:, :, 0] > 0)[None, None]
    filled = photo.with_pixels(laplace_fill(photo.to_tensor(3), hole)[0]).pixels
    assert np.abs(made.pixels.astype(int) - filled).max() <= 1
    assert made.record is not None
    assert made.record["synthetic"] is False


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("inpainting") / "run"
    reverie.train("inpainting:smoke", out=out, **RUN)
    return out


def test_evaluate_scores_a_run_beside_the_laplace_fill(run: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["evaluate", str(run), "--data", "shapes:6", "-n", "5", "--json"]) == 0
    found = {score["name"]: score for score in json.loads(capsys.readouterr().out)["scores"]}
    for kind in ("centre", "free"):
        assert found[f"psnr-hole, {kind}"]["baseline_name"] == "the Laplace fill"
        assert found[f"psnr-hole, {kind}"]["n"] == 5
        assert f"psnr-hole, {kind}, mean colour" in found
    assert {p.stem for p in (run / "figures").glob("*.png")} == {
        "first-centre", "worst-centre", "first-free", "worst-free",
    }  # fmt: skip
    assert "Laplace fill" in (run / "report.html").read_text(encoding="utf-8")
    mask = np.zeros((32, 32), np.uint8)
    mask[4:9] = 255
    (tmp_path / "masks").mkdir()
    PIL.Image.fromarray(mask).save(tmp_path / "masks" / "m.png")
    (tmp_path / "masks" / "._m.png").write_bytes(b"what macOS notes of m.png")
    words = ["evaluate", str(run), "--data", "shapes:6", "-n", "2", "--test-size", "24", "--no-baselines", "--json"]
    assert main([*words, "--test-masks", str(tmp_path / "masks")]) == 0
    names = [score["name"] for score in json.loads(capsys.readouterr().out)["scores"]]
    assert "psnr-hole, irregular" in names
    assert not any("mean colour" in name for name in names)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "RUN", "--data", "shapes:6", "--test-size", "20"], "a multiple of 8"),
        (["evaluate", "RUN", "--data", "shapes:6", "--test-size", "64"], "no image of the reference is large enough"),
        (["evaluate", "RUN", "--data", "shapes:6", "--test-masks", "nowhere"], "no folder of mask files"),
        (["train", "inpainting:smoke", "--data", "shapes:6", "--out", "r", "--size", "24"], "a multiple of 16, 16 or"),
        (["train", "inpainting", "--data", "shapes:6", "--out", "r"], "smaller than 64 pixels a side"),
        (["train", "inpainting:paper", "--data", "shapes:6", "--out", "r", "--size", "96"], "context encoder takes"),
        (["train", "inpainting:smoke", "--data", "shapes:6", "--out", "r", "--masks", "hole"], "one of"),
        (["train", "inpainting:smoke", "--data", "letters:6", "--out", "r", "--channels", "2"], "channels"),
    ],
)
def test_wrong_options_say_why(
    run: Path, tmp_path: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(run) if word == "RUN" else word for word in words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
