"""Images and where people looked at them: files of every layout, axes that are checked, splits, wrong input."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import scipy.io

import reverie
from reverie.cli.main import main
from reverie.data.images.fixations import Fixations
from reverie.utils.errors import UserError

POINTS = {"a": [[10, 5, 0], [30.5, 20, 1]], "b": [[39, 29, 0]], "c": [[0, 0, 2], [20, 15, 2]]}
"""x, y, viewer in images of 40 x 30"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images without fixations."""
    for i, name in enumerate(POINTS):
        pixels = np.random.default_rng(i).integers(0, 255, (30, 40, 3), np.uint8)
        (tmp_path / "set" / "images").mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(tmp_path / "set" / "images" / f"{name}.png")
    return tmp_path / "set"


def write_json(folder: Path, points: object) -> Path:
    (folder / "fixations.json").write_text(json.dumps(points))
    return folder


def as_files(points: dict[str, list[list[float]]]) -> dict[str, list[list[float]]]:
    return {f"{name}.png": value for name, value in points.items()}


def points_of(data: Fixations) -> dict[str, list[list[float]]]:
    return {Path(item.name).stem: item.points.tolist() for item in data.items}


def test_json_csv_and_zip_are_the_same_set(folder: Path) -> None:
    expected = {name: [[float(v) for v in p] for p in points] for name, points in POINTS.items()}
    assert points_of(Fixations.open(write_json(folder, as_files(POINTS)))) == expected
    with zipfile.ZipFile(folder.parent / "set.zip", "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder))
    assert points_of(Fixations.open(folder.parent / "set.zip")) == expected
    assert reverie.open_data(folder.parent / "set.zip").kind == reverie.open_data(folder).kind == "fixations"
    (folder / "fixations.json").unlink()
    lines = [f"{name}.png,{y},{x},v{v}" for name, points in POINTS.items() for x, y, v in points]
    (folder / "fixations.csv").write_text("Image,y,x,subject\n" + "\n".join(lines))
    assert points_of(Fixations.open(folder)) == expected


@pytest.mark.parametrize("form", ["map", "points"])
def test_matlab_files_of_each_picture(folder: Path, form: str) -> None:
    for name, points in POINTS.items():
        matrix = np.zeros((30, 40), np.uint8)
        for x, y, _ in points:
            matrix[int(y), int(x)] = 1
        value = matrix if form == "map" else np.array(points)[:, :2]
        scipy.io.savemat(folder / "images" / f"{name}.mat", {"fixLocs": value})
    for name, found in points_of(Fixations.open(folder)).items():
        expected = sorted([int(x), int(y)] for x, y, _ in POINTS[name])
        assert sorted([int(x), int(y)] for x, y, _ in found) == expected


@pytest.mark.parametrize(("separator", "point"), [(";", ","), (";", "."), ("\t", ".")])
def test_tables_of_other_programs(folder: Path, separator: str, point: str) -> None:
    lines = [[f"{name}.png", x, y, v] for name, points in POINTS.items() for x, y, v in points]
    rows = [separator.join(str(cell) if i == 0 else str(cell).replace(".", point) for i, cell in enumerate(line))
            for line in lines]  # fmt: skip
    (folder / "fixations.csv").write_text("\n".join([separator.join(("image", "x", "y", "viewer")), *rows]))
    expected = {name: [[float(v) for v in p] for p in points] for name, points in POINTS.items()}
    found = points_of(Fixations.open(folder))
    assert {name: [p[:2] for p in points] for name, points in found.items()} == {
        name: [p[:2] for p in points] for name, points in expected.items()
    }


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("image,x,y\n", "has no rows"),
        ("", "has no rows"),
        ("image,x,y\na.png,0.2,0.9\nb.png,1,0.5", "are shares of the width"),
        ("image,x,y\nz.png,20,9", r"none of the 1 names in fixations.csv, such as z.png, is of an image"),
    ],
)
def test_wrong_tables_get_one_line(folder: Path, table: str, message: str) -> None:
    (folder / "fixations.csv").write_text(table)
    with pytest.raises(UserError, match=message):
        Fixations.open(folder)


def test_two_tables_are_one_too_many(folder: Path) -> None:
    (folder / "fixations.csv").write_text("image,x,y\na.png,10,9")
    with pytest.raises(UserError, match=r"several tables of fixations, fixations.csv, fixations.json; keep one"):
        Fixations.open(write_json(folder, as_files(POINTS)))


def test_matlab_files_of_several_viewers(folder: Path) -> None:
    """As SALICON has them: a struct for each viewer, pixels counted from 1, beside a matrix that is no map."""
    for name, points in POINTS.items():
        gaze = np.zeros((3, 1), [("location", "O"), ("fixations", "O")])
        for viewer in range(3):
            of = [[int(x) + 1, int(y) + 1] for x, y, v in points if v == viewer]
            gaze[viewer, 0] = (np.zeros((4, 2)), np.array(of, np.uint16).reshape(len(of), 2))
        scipy.io.savemat(folder / "images" / f"{name}.mat", {"gaze": gaze, "resolution": np.array([[30, 40]])})
    assert reverie.open_data(folder).kind == "fixations"
    for name, found in points_of(Fixations.open(folder)).items():
        assert [[int(x), int(y)] for x, y, _ in found] == [[int(x), int(y)] for x, y, _ in POINTS[name]]
        assert [v for *_, v in found] in ([0, 1], [0], [0, 0])  # viewers who looked nowhere are not numbered


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.ones((30, 40)), "is a density"), (np.eye(20, 40), "its matrix is 40x20 and the image 40x30")],
)
def test_wrong_matlab_files_get_one_line(folder: Path, value: np.ndarray, message: str) -> None:
    scipy.io.savemat(folder / "images" / "a.mat", {"m": value})
    with pytest.raises(UserError, match=message):
        Fixations.open(folder)


def test_pictures_of_the_same_name_in_several_folders(tmp_path: Path) -> None:
    """As in CAT2000: Stimuli/Action/001.png with Maps/Action/001.png."""
    for i, kind in enumerate(("Action", "Art")):
        level = np.zeros((30, 40), np.uint8)
        level[10 * i : 10 * i + 10] = 255
        for top, pixels in (("Stimuli", np.full((30, 40, 3), 50 * i, np.uint8)), ("Maps", level)):
            (tmp_path / top / kind).mkdir(parents=True)
            PIL.Image.fromarray(pixels).save(tmp_path / top / kind / "001.png")
    data = reverie.open_data(tmp_path)
    assert data.kind == "fixations"
    assert [(item.name, item.map) for item in data.items] == [
        (f"Stimuli/{kind}/001.png", f"Maps/{kind}/001.png") for kind in ("Action", "Art")
    ]
    points = {f"{kind}/001.png": [[20, 5, 0]] * n for n, kind in enumerate(("Action", "Art"), 1)}
    write_json(tmp_path, {**points, "001.png": [[0, 0, 0]]})
    data = Fixations.open(tmp_path)
    assert [len(item.points) for item in data.items] == [1, 2]
    assert "1 names of fixations.json are of no image, such as 001.png" in data.notes


def test_maps_as_pictures(folder: Path) -> None:
    (folder / "maps").mkdir()
    for name in POINTS:
        level = np.zeros((30, 40), np.uint8)
        level[:15, :20] = 200
        PIL.Image.fromarray(level).save(folder / "maps" / f"{name}.png")
    data = Fixations.open(folder).prepare(32)
    shares = data.batch([0, 1])["counts"]
    assert len(data) == 3
    assert float(shares[:, :, :2, :2].sum()) == pytest.approx(2, abs=1e-5)


def test_maps_in_colours_are_refused_and_other_shapes_warned_of(folder: Path) -> None:
    (folder / "maps").mkdir()
    level = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
    jet = np.dstack([level, 255 - np.abs(level - 128.0) * 2, 255 - level]).clip(0, 255).astype(np.uint8)
    noisy = (level[:, :, None] + np.random.default_rng(0).integers(-6, 7, (30, 40, 3))).clip(0, 255).astype(np.uint8)
    for name in POINTS:
        PIL.Image.fromarray(jet).save(folder / "maps" / f"{name}.png")
    with pytest.raises(UserError, match="all 3 'its map is in colours; give a grey one, brighter where"):
        Fixations.open(folder)
    PIL.Image.fromarray(noisy).resize((20, 15)).save(folder / "maps" / "a.png")  # grey with the noise of JPEG, smaller
    PIL.Image.fromarray(np.dstack([level, level])).save(folder / "maps" / "b.png")
    data = Fixations.open(folder)
    assert [(Path(drop.name).stem, drop.reason[:24]) for drop in data.dropped] == [
        ("b", "its map is transparent i"), ("c", "its map is in colours; g"),
    ]  # fmt: skip
    assert not data.warnings
    PIL.Image.fromarray(level[:, :20]).save(folder / "maps" / "b.png")
    PIL.Image.fromarray(level.T).save(folder / "maps" / "c.png")
    data = Fixations.open(folder)
    assert "1 maps have another shape than their images" in data.warnings[0]
    assert "maps/b.png, 20x30 of 40x30" in data.warnings[0]
    assert [drop.reason[:32] for drop in data.dropped] == ["its map is turned by a quarter; "]
    data = Fixations.open(write_json(folder, as_files(POINTS)))  # points are taken where a map cannot be
    assert [bool(item.map) for item in data.items] == [True, True, False]
    assert len(data.items[2].points) == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.png,1,2\nb.png,abc,3\n", "line 3: x is 'abc', which is no finite number; mend the line or leave it out"),
        ("a.png,1,2\n\nb.png,3,\n", "line 4: y is empty"),
        ("a.png,1,nan\n", "line 2: y is 'nan'"),
        (",1,2\n", "line 2: image is empty"),
    ],
)
def test_a_bad_line_of_a_table_is_named(folder: Path, rows: str, message: str) -> None:
    (folder / "fixations.csv").write_text(f"image,x,y\n{rows}")
    with pytest.raises(UserError, match=f"fixations.csv, {message}"):
        Fixations.open(folder)


def test_counts_lie_where_the_points_are(folder: Path) -> None:
    data = Fixations.open(write_json(folder, as_files(POINTS))).prepare(32)  # 4 x 4 cells of 10 x 7.5 pixels
    shares = data.batch(range(3))["counts"][:, 0].numpy()
    assert shares[0, 0, 1] == shares[0, 2, 3] == 0.5
    assert shares[1, 3, 3] == 1
    assert shares[2, 0, 0] == shares[2, 2, 2] == 0.5


def test_the_whole_picture_is_kept(folder: Path) -> None:
    data = Fixations.open(write_json(folder, as_files(POINTS))).prepare(32)
    whole = np.asarray(PIL.Image.open(folder / "images" / "a.png").resize((32, 32), PIL.Image.Resampling.LANCZOS))
    assert np.array_equal(data.pixels(0), whole)


def test_splits_by_lists(folder: Path) -> None:
    write_json(folder, as_files(POINTS))
    (folder / "train.txt").write_text("a.png\nc\n")
    (folder / "test.txt").write_text("b.png\n")
    train, test = Fixations.open(folder), Fixations.open(folder, "test")
    assert (train.splits, len(train), len(test)) == (["train", "test"], 2, 1)
    assert train.fingerprint != test.fingerprint


def test_swapped_axes_are_found_and_said(folder: Path) -> None:
    swapped = {name: [[y, x, v] for x, y, v in [*points, [39, 3, 0]]] for name, points in POINTS.items()}
    with pytest.raises(UserError, match="if x and y change places"):
        Fixations.open(write_json(folder, as_files(swapped)))
    far = {name: [[x + 500, y + 500, v] for x, y, v in points] for name, points in POINTS.items()}
    with pytest.raises(UserError, match="100% of the points lie outside"):
        Fixations.open(write_json(folder, as_files(far)))


def test_a_few_points_outside_are_left_out_and_noted(folder: Path) -> None:
    points = {**POINTS, "a": [[10, 5, 0]] * 60 + [[-1, 5, 0]]}
    data = Fixations.open(write_json(folder, as_files(points)))
    assert len(data.items[0].points) == 60
    assert "are left out" in data.notes[0]


def test_a_picture_without_fixations_is_dropped_with_the_reason(folder: Path) -> None:
    data = Fixations.open(write_json(folder, as_files({**POINTS, "b": []})))
    assert [drop.reason for drop in data.dropped] == ["no fixations"]
    assert len(data) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "holds no object"),
        ("{", "is no JSON"),
        ('{"a.png": [[1, 2], ["x", "y"]]}', "its points are no numbers, such as number 2;"),
        ('{"a.png": [[1]]}', "are not"),
        ('{"a.png": [[1, NaN]]}', "finite"),
    ],
)
def test_wrong_json_gets_one_line(folder: Path, content: str, message: str) -> None:
    (folder / "fixations.json").write_text(content)
    with pytest.raises(UserError, match=message):
        Fixations.open(folder)


def test_other_wrong_input(folder: Path) -> None:
    with pytest.raises(UserError, match="says nowhere where people looked"):
        Fixations.open(folder)
    (folder / "fixations.csv").write_text("picture,horizontal\n1,2\n")
    with pytest.raises(UserError, match="needs the columns image, x and y"):
        Fixations.open(folder)
    with pytest.raises(UserError, match="no such path"):
        Fixations.open("nowhere")
    with pytest.raises(UserError, match="is not a number of images"):
        Fixations.open("gazes:x")
    with pytest.raises(UserError, match="no split"):
        Fixations.open("gazes:4", "val")


def test_inspect_tells_of_fixations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(folder, as_files(POINTS))
    assert main(["data", "inspect", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "5 fixations" in printed
    assert "by one viewer each" in printed
    assert "of 3 images with one viewer only" in printed
    assert "salgan" in printed


def test_the_built_in_set_depends_on_split_and_number_alone() -> None:
    few, many = Fixations.open("gazes:3"), Fixations.open("gazes:5")
    for a, b in zip(few.items, many.items, strict=False):
        assert np.array_equal(a.points, b.points)
    bias = few.facts["centre_bias"]
    assert len(bias) == 1024
    assert sum(bias) == pytest.approx(1, abs=1e-4)
    assert reverie.open_data("gazes:3").kind == "fixations"
