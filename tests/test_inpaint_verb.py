"""Inpainting as a user does it: photos of any size and kind, masks, folders; the command line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor

import reverie
from reverie.cli.main import main
from reverie.media import Photo, read_record
from reverie.transforms.hole_patches import CELL, Detail, fill_holes, groups_of, patches_of, thickness_of
from reverie.transforms.laplace_fill import laplace_fill

H, W = 60, 80


def pixels_of(height: int, width: int, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    """A smooth picture with some texture [H,W,3]."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (7 + k) + seed) + np.cos(y / (5 + k)) for k in range(3)]
    noise = np.random.default_rng(seed).normal(0, 0.1, (height, width, 3))
    levels = ((np.stack(waves, 2) + noise) / 4.8 + 0.5).clip(0, 1) * np.iinfo(dtype).max
    return levels.astype(dtype)


def hole_of(height: int, width: int) -> np.ndarray:
    """A hole bool [H,W] that touches the lower border, and one apart from it."""
    hole = np.zeros((height, width), bool)
    hole[height // 2 :, width // 3 : width // 2] = True
    hole[3:6, 2:5] = True
    return hole


# -- photos of any size ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detail", ["none", "texture"])
@pytest.mark.parametrize("size", [None, 16, 256])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_outside_the_hole_nothing_changes(dtype: type, size: int | None, detail: Detail) -> None:
    given, hole = pixels_of(H, W, dtype=dtype), hole_of(H, W)
    alpha = pixels_of(H, W, 3, dtype)[:, :, 0]
    photo = Photo(given.copy(), alpha.copy(), "p.png", profile=b"icc")
    made = fill_holes(photo, hole, laplace_fill, size, detail=detail)
    assert made.pixels.dtype == dtype
    assert np.array_equal(made.pixels[~hole], given[~hole])
    assert np.array_equal(made.alpha, alpha)
    assert made.profile == b"icc"
    assert np.array_equal(photo.pixels, given)
    change = np.abs(made.pixels.astype(int) - given)[hole] / np.iinfo(dtype).max
    assert 0 < change.mean() < 0.35


@pytest.mark.parametrize("detail", ["none", "texture"])
@pytest.mark.parametrize("size", [None, 16])
def test_what_a_hole_hides_is_of_no_consequence(size: int | None, detail: Detail) -> None:
    given, hole = pixels_of(H, W), hole_of(H, W)
    results = [
        fill_holes(Photo(np.where(hole[:, :, None], level, given).astype(np.uint8)), hole, laplace_fill, size,
                   detail=detail).pixels
        for level in (0, 255)
    ]  # fmt: skip
    assert np.array_equal(*results)


def test_holes_that_are_apart_are_filled_apart_and_as_if_alone() -> None:
    given = pixels_of(300, 400)
    one, other = np.zeros((300, 400), bool), np.zeros((300, 400), bool)
    one[20:30, 30:50], other[250:270, 300:320] = True, True
    assert len(list(groups_of(one | other))) == 2
    both = fill_holes(Photo(given), one | other, laplace_fill, 64).pixels
    for hole in (one, other):
        assert np.array_equal(both[hole], fill_holes(Photo(given), hole, laplace_fill, 64).pixels[hole])


@pytest.mark.parametrize("seed", range(5))
def test_the_groups_of_a_hole_are_the_whole_hole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hole = np.zeros((3 * CELL + 7, 5 * CELL + 1), bool)
    for _ in range(4):
        y, x = (int(rng.integers(0, side)) for side in hole.shape)
        hole[y : y + rng.integers(1, 40), x : x + rng.integers(1, 40)] = True
    total = np.zeros(hole.shape, int)
    for patch in patches_of(hole, 32):
        total[patch.rows, patch.columns] += patch.own
        assert (hole[patch.rows, patch.columns] >= patch.own).all()
    assert np.array_equal(total, hole.astype(int))


def test_the_scale_follows_the_thickness_of_a_hole_and_not_its_length() -> None:
    hole = np.zeros((400, 900), bool)
    hole[100:112, 20:880] = True
    (scratch,) = patches_of(hole, 64)
    assert scratch.factor == 1
    assert thickness_of(hole) in range(10, 20)
    hole[150:350, 300:600] = True
    (blob,) = patches_of(hole, 64)
    assert 200 / 32 * 0.9 < blob.factor < 200 / 32 * 1.2


def test_a_network_sees_a_hole_at_the_size_that_it_has_learnt_at() -> None:
    seen: list[tuple[int, ...]] = []

    def fill(image: Tensor, hole: Tensor) -> Tensor:
        seen.append(tuple(image.shape))
        assert float(hole.float().mean()) < 0.5
        return laplace_fill(image, hole)

    hole = np.zeros((300, 300), bool)
    hole[100:200, 100:200] = True
    fill_holes(Photo(pixels_of(300, 300)), hole, fill, 32, channels=1)
    assert len(seen) == 3  # a network of grey images fills each colour by itself
    assert all(shape[:2] == (1, 1) and max(shape[2:]) <= 64 for shape in seen)
    assert all(side % 8 == 0 for shape in seen for side in shape[2:])


def test_a_long_hole_in_tiles_is_as_without() -> None:
    hole = np.zeros((40, 600), bool)
    hole[15:25, 10:590] = True
    photo = Photo(pixels_of(40, 600))
    whole, tiled = (fill_holes(photo, hole, laplace_fill, size).pixels.astype(int) for size in (600, 64))
    assert np.abs(whole - tiled).max() <= 1


def test_texture_is_copied_and_not_blurred() -> None:
    """The variance of the Laplacian in the hole is as around it, of a texture that a smooth fill loses."""
    x = np.arange(120) * np.ones((120, 1))
    stripes = ((np.sin(x / 2) > 0) * 100 + 70 + np.random.default_rng(0).integers(0, 20, (120, 120))).astype(np.uint8)
    hole = np.zeros((120, 120), bool)
    hole[45:75, 45:75] = True
    error, sharpness = {}, {}
    details: tuple[Detail, ...] = ("none", "texture")
    for detail in details:
        made = fill_holes(Photo(stripes[:, :, None]), hole, laplace_fill, 16, detail=detail)
        levels = made.pixels[:, :, 0].astype(float)
        laplacian = (np.diff(levels, 2, 0)[:, 1:-1] + np.diff(levels, 2, 1)[1:-1])[46:72, 46:72]
        sharpness[detail] = laplacian.var()
        error[detail] = np.square(levels - stripes)[hole].mean()
    true = (np.diff(stripes.astype(float), 2, 0)[:, 1:-1] + np.diff(stripes.astype(float), 2, 1)[1:-1])[
        46:72, 46:72
    ].var()
    assert sharpness["none"] < 0.1 * true < 0.6 * true < sharpness["texture"] < 1.6 * true
    assert error["texture"] < 0.5 * error["none"]  # it goes on as the stripes do


def test_a_grey_photo_through_a_network_of_colours_stays_grey() -> None:
    photo, hole = Photo(pixels_of(H, W)[:, :, :1]), hole_of(H, W)
    made = fill_holes(photo, hole, laplace_fill, 16, channels=3)
    assert made.pixels.shape == (H, W, 1)
    alone = fill_holes(photo, hole, laplace_fill, 16).pixels
    assert np.abs(made.pixels.astype(int) - alone).max() <= 1


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """p.png, q.jpg and their mask m.png; the folders photos/ (with a subfolder) and masks/."""
    monkeypatch.chdir(tmp_path)
    mask = (hole_of(H, W) * 255).astype(np.uint8)
    PIL.Image.fromarray(pixels_of(H, W)).save("p.png")
    PIL.Image.fromarray(pixels_of(H, W, 1)).save("q.jpg")
    PIL.Image.fromarray(mask).save("m.png")
    for name in ("photos/a.jpg", "photos/sub/b.png", "masks/a.png", "masks/sub/b.png"):
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        PIL.Image.fromarray(pixels_of(H, W, 2) if "photos" in name else mask).save(name)
    return tmp_path


def inpaint(words: str, status: int = 0) -> None:
    assert main(["inpaint", *shlex.split(words)]) == status


def test_the_command_needs_no_training_and_says_so(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inpaint("p.png --mask m.png --detail none --out out.png --json")
    captured = capsys.readouterr()
    assert json.loads(captured.out)["files"] == ["out.png"]
    assert "no run is given, so holes are filled smoothly (Laplace)" in captured.err
    assert "white in m.png is the hole" in captured.err
    made, hole = Photo.load("out.png").pixels, hole_of(H, W)
    assert np.array_equal(made[~hole], pixels_of(H, W)[~hole])
    x = torch.from_numpy(pixels_of(H, W)).permute(2, 0, 1)[None].float() / 127.5 - 1
    wanted = ((laplace_fill(x, torch.from_numpy(hole)[None, None])[0].permute(1, 2, 0) + 1) * 127.5).numpy()
    assert np.abs(made - wanted)[hole].max() < 2
    record = read_record("out.png")
    assert [source["name"] for source in record["inputs"]] == ["p.png", "m.png"]
    assert main(["provenance", "out.png"]) == 0
    assert "made of the images below by a formula" in capsys.readouterr().out


def test_photo_and_mask_are_turned_upright_alike(files: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    mask = PIL.Image.fromarray((hole_of(H, W) * 255).astype(np.uint8))
    PIL.Image.fromarray(pixels_of(H, W)).save("turned.png", exif=exif)
    mask.save("turned_mask.png", exif=exif)
    mask.transpose(PIL.Image.Transpose.ROTATE_270).save("upright_mask.png")
    inpaint("turned.png --mask turned_mask.png --out a.png")
    inpaint("turned.png --mask upright_mask.png --out b.png")
    made, upright = Photo.load("a.png").pixels, np.rot90(pixels_of(H, W), -1)
    assert np.array_equal(made, Photo.load("b.png").pixels)
    outside = ~np.rot90(hole_of(H, W), -1)
    assert np.array_equal(made[outside], upright[outside])
    assert (made[~outside] != upright[~outside]).mean() > 0.9


def test_every_way_to_mark_a_hole(files: Path) -> None:
    hole = np.zeros((H, W), bool)
    hole[15:30, 20:40] = True
    PIL.Image.fromarray(np.where(hole[:, :, None], (255, 0, 255), pixels_of(H, W)).astype(np.uint8)).save("painted.png")
    rgba = np.dstack([pixels_of(H, W), np.where(hole, 0, 255)]).astype(np.uint8)
    PIL.Image.fromarray(rgba).save("erased.png")
    PIL.Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)).save("black.png")
    made = []
    for i, words in enumerate(
        ("painted.png --mask-colour ff00ff", "p.png --box 0.25,0.25,0.5,0.5", "erased.png --mask-alpha",
         "p.png --mask black.png --invert", "p.png --mask painted.png --mask-colour magenta",
         "p.png --mask erased.png --mask-alpha")
    ):  # fmt: skip
        inpaint(f"{words} --out {i}.png")
        made.append(Photo.load(f"{i}.png"))
    assert all(np.array_equal(photo.pixels, made[0].pixels) for photo in made)
    assert np.array_equal(made[0].pixels[~hole], pixels_of(H, W)[~hole])
    assert made[2].alpha is not None
    assert (made[2].alpha == 255).all()  # what was erased is there now
    inpaint("p.png --box 0.25,0.25,0.5,0.5 --grow 3 --out grown.png")
    grown = (Photo.load("grown.png").pixels != pixels_of(H, W)).any(2)
    assert grown[12:15, 22:38].mean() > 0.9
    assert not grown[:12].any()
    inpaint("p.png --box 0.25,0.25,0.375,0.5 --box 0.375,0.25,0.5,0.5 --out two.png")  # several boxes are their union
    assert np.array_equal(Photo.load("two.png").pixels, made[0].pixels)


def test_a_folder_takes_masks_by_name(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inpaint("photos --mask masks --out out")
    assert sorted(path.as_posix() for path in Path("out").rglob("*.png")) == ["out/a.png", "out/sub/b.png"]
    Path("masks/sub/b.png").unlink()
    PIL.Image.fromarray(pixels_of(H, W, 4)).save("photos/c.png")
    PIL.Image.new("L", (5, 5)).save("masks/c.png")
    inpaint("photos --mask masks --out others", 2)
    error = capsys.readouterr().err
    assert "there is no mask for b.png: a mask has the name of its photo, such as b.png" in error
    assert "(and 1 more)" in error
    assert [path.as_posix() for path in Path("others").rglob("*.png")] == ["others/a.png"]
    inpaint("photos --mask m.png --out one-for-all")
    assert len(list(Path("one-for-all").rglob("*.png"))) == 3


def test_a_run_fills_otherwise_and_can_be_verified(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reverie.train("inpainting:smoke", data="shapes:32", out="run", steps=3, adv_share=0.0)
    inpaint("run p.png --mask m.png --out out")
    assert "no run is given" not in capsys.readouterr().err
    made, hole = Photo.load("out/p.png").pixels, hole_of(H, W)
    assert np.array_equal(made[~hole], pixels_of(H, W)[~hole])
    assert main(shlex.split("provenance out/p.png --verify run --inputs p.png m.png")) == 0
    (again,) = reverie.load("run").inpaint("p.png", mask=hole_of(H, W))
    assert np.array_equal(again.pixels, made)


def test_a_run_of_cvae_gan_takes_the_same_masks(files: Path) -> None:
    reverie.train("cvae_gan:smoke", data="letters:96", out="classes", steps=2)
    inpaint("classes p.png --mask m.png --label C --out out")
    made = Photo.load("out/p.png").pixels
    assert made.shape[:2] == (16, 16)
    assert main(shlex.split("provenance out/p.png --verify classes --inputs p.png m.png")) == 0
    inpaint("classes photos --mask masks --out folder")
    assert sorted(path.name for path in Path("folder").rglob("*.png")) == ["a.png", "b.png"]
    inpaint("classes p.png --box 0,0,0.1,0.1 --out none", 2)  # outside of the centre square


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--mask m.png --out o.png", "inpaint needs photos"),
        ("p.png --mask m.png", "inpaint needs --out"),
        ("p.png --out o.png", "nothing says where the hole is"),
        ("p.png --mask none.png --out o.png", "none.png"),
        ("none.png --mask m.png --out o.png", "none.png"),
        ("norun p.png --mask m.png --out o.png", "norun is neither a run nor a photo"),
        ("photos p.png --mask masks --out o", "there is no mask for p.png"),
        ("p.png --mask m.png --box 0,0,1,1 --out o.png", "--mask and --box each say where the hole is"),
        ("p.png --box 1,2 --out o.png", "give left,top,right,bottom as shares"),
        ("p.png --box 0.1,0.1,0.2 --box 0.5 --out o.png", "each takes 4 values"),
        ("p.png --box 0,0,.1,.1 --box .5,.5,.501,.9 --out o.png", "the box 0.5,0.5,0.501,0.9 holds no pixel"),
        ("p.png --box 20,10,40,20 --out o.png", "Pixels 20,10,40,20 of p.png (80x60) are 0.25,0.1667,0.5,0.3333."),
        ("p.png --mask-colour 12 --out o.png", "'12' is no colour"),
        ("p.png --mask-alpha --out o.png", "p.png has no alpha"),
        ("p.png --mask m.png --grow -1 --out o.png", "--grow"),
        ("p.png --mask m.png --detail fine --out o.png", "'texture', 'none'"),
        ("p.png --mask m.png --out o.jpg", "o.jpg"),
        ("p.png --mask m.png --out p.png", "p.png is there already"),
        ("p.png --mask m.png --scale 2 --out o.png", "has no flag '--scale'"),
        ("m.safetensors p.png --mask m.png --out o.png", "m.safetensors"),
        ("p.png --mask e.png --out o.png", "too little of p.png is outside the hole, 60 of 4800 pixels"),
        ("p.png --mask text.txt --out o.png", "text.txt is not a usable image"),
        ("p.png --mask empty --out o.png", "there is no image at empty"),
    ],
)
def test_a_wrong_command_is_one_line(files: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.txt").write_text("no image")
    Path("empty").mkdir()
    PIL.Image.fromarray(np.where(np.arange(W) < W - 1, 255, 0).astype(np.uint8) * np.ones((H, 1), np.uint8)).save(
        "e.png"
    )
    inpaint(words, 2)
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert all(line.startswith("note: ") for line in lines[:-1])
    assert not Path("o.png").exists()


def test_a_hole_in_what_is_rough_is_filled_with_what_is_rough() -> None:
    """What is smooth is near to all patches of an irregular texture in the mean, and must not win for that."""
    noise = torch.randn(1, 3, 130, 160, generator=torch.Generator().manual_seed(0))
    rough = (
        torch.nn.functional.avg_pool2d(noise, 3, 1, 1)[0].permute(1, 2, 0).mul(90).add(120).clamp(0, 255).byte().numpy()
    )
    rough[:, 90:] = rough[:, 90:] // 16 + 110  # beside it there is a smooth part
    hole = np.zeros(rough.shape[:2], bool)
    hole[40:90, 20:65] = True
    made = fill_holes(Photo(rough), hole, laplace_fill, None, detail="texture").pixels
    inside, true = (np.diff(x[40:90, 20:65].astype(float), axis=1).std() for x in (made, rough))
    assert 0.6 < inside / true < 1.2


def test_a_hole_in_too_small_a_photo_of_texture_stays_smooth() -> None:
    photo, hole = Photo(pixels_of(9, 9)), np.zeros((9, 9), bool)
    hole[2:7, 2:7] = True
    made = fill_holes(photo, hole, laplace_fill, None, detail="texture").pixels
    assert np.array_equal(made[~hole], photo.pixels[~hole])
    assert np.abs(made.astype(int) - fill_holes(photo, hole, laplace_fill, None).pixels).max() <= 1


def test_a_scratch_from_corner_to_corner_is_filled_piece_by_piece() -> None:
    hole = np.zeros((900, 1200), bool)
    for i in range(900):
        hole[i, i + 100 : i + 106] = True
    patches = list(patches_of(hole, None))
    assert sum((p.rows.stop - p.rows.start) * (p.columns.stop - p.columns.start) for p in patches) < hole.size / 2
    own = np.zeros(hole.shape, int)
    for patch in patches:
        own[patch.rows, patch.columns] += patch.own
    assert np.array_equal(own, hole.astype(int)), "each pixel of the hole belongs to one piece"
