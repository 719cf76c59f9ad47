"""`encode` and `decode` on the command line: codes in a file, and back to what `reconstruct` makes."""

from __future__ import annotations

import pickle
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import reverie
from reverie.cli.main import main
from reverie.media import Image, Music, read_record
from reverie.media.codes_file import read_codes
from reverie.utils.errors import UserError


def command(text: str) -> int:
    return main(shlex.split(text))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    place = tmp_path_factory.mktemp("decode")
    for method in ("vae", "vae_gan", "cvae_gan", "bigan", "music_vae"):
        data = "tunes:8" if method == "music_vae" else "letters:64"
        reverie.train(f"{method}:smoke", data=data, out=place / method, steps=2, threads=1)
    letters, tunes = (
        reverie.open_data("letters:64").prepare(16),
        reverie.open_data("tunes:8").prepare(part="melody", bars=4),
    )
    (place / "in").mkdir()
    for i in range(3):
        Image(letters.pixels(i)).save(place / f"in/{'cab'[i]}.png")
        Music.of(tunes.parts, tunes.array[i]).save(place / f"in/{'cab'[i]}.mid")
    return place


@pytest.mark.parametrize("method", ["vae", "vae_gan", "cvae_gan", "bigan"])
def test_images_go_into_codes_and_back(method: str, runs: Path, tmp_path: Path) -> None:
    run, codes = runs / method, tmp_path / "codes.csv"
    assert command(f"encode {run} {runs / 'in'} --out {codes}") == 0
    assert command(f"decode {run} {codes} --out {tmp_path / 'a'}") == 0
    assert command(f"reconstruct {run} {runs / 'in'} --out {tmp_path / 'b'}") == 0
    for name in ("a.png", "b.png", "c.png"):
        decoded, known = Image.load(tmp_path / "a" / name), Image.load(tmp_path / "b" / name)
        assert np.abs(decoded.pixels.astype(int) - known.pixels.astype(int)).max() <= 1
    record = read_record(tmp_path / "a/b.png")
    assert (record["verb"], record["inputs"][0]["name"], record["run"]) == (
        "decode",
        "b.png",
        reverie.load(run).origin["run"],
    )
    assert command(f"provenance {tmp_path / 'a/b.png'} --verify {run} --inputs {codes}") == 0
    assert command(f"provenance {tmp_path / 'a/b.png'} --verify {run}") == 2
    table = codes.read_text().splitlines()
    edited = tmp_path / "edited.csv"  # under the name of the image, but of another code
    edited.write_text("\n".join([table[0], *(row.rsplit(",", 1)[0] + ",0.5" for row in table[1:])]))
    assert command(f"decode {run} {edited} --out {tmp_path / 'e'}") == 0
    assert command(f"provenance {tmp_path / 'e/b.png'} --verify {run} --inputs {codes}") == 2
    assert command(f"provenance {tmp_path / 'e/b.png'} --verify {run} --inputs {edited}") == 0
    of_arrays = np.stack([code.values for code in read_codes(codes)])
    np.save(tmp_path / "codes.npy", of_arrays)
    save_file({"z": of_arrays}, tmp_path / "codes.safetensors")
    header = [f"z{k}" for k in range(of_arrays.shape[1], 0, -1)]  # columns are known by their names
    rows = [",".join(map(repr, row[::-1].tolist())) for row in of_arrays]
    (tmp_path / "codes.csv").write_text("\n".join([",".join(header), *rows]))
    for suffix in ("npy", "safetensors", "csv"):
        assert command(f"decode {run} {tmp_path / 'codes'}.{suffix} --out {tmp_path / suffix}") == 0
        for i, name in enumerate(("a.png", "b.png", "c.png")):
            made = Image.load(tmp_path / suffix / f"{i:06d}.png")
            np.testing.assert_array_equal(made.pixels, Image.load(tmp_path / "a" / name).pixels)


def test_tunes_go_into_codes_and_back(runs: Path, tmp_path: Path) -> None:
    """A tune of four bars is two windows of two: two codes, and two tunes."""
    run, codes = runs / "music_vae", tmp_path / "codes.csv"
    assert command(f"encode {run} {runs / 'in'} --out {codes}") == 0
    rows = codes.read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["file", "a.mid", "a.mid", "b.mid", "b.mid", "c.mid", "c.mid"]
    method = reverie.load(run)
    decoded = method.decode(read_codes(codes))
    whole = method.reconstruct(sorted((runs / "in").glob("*.mid")))
    for i, tune in enumerate(whole):
        lines = np.concatenate([decoded[2 * i + k].lines(["melody"]) for k in (0, 1)], 1)
        known = tune.lines(["melody"])
        assert (lines[:, : known.shape[1]] == known).mean() > 0.98  # a note is struck again where windows meet
    assert command(f"decode {run} {codes} --out {tmp_path / 'a'}") == 0
    assert sorted(file.name for file in (tmp_path / "a").glob("*.mid"))[:2] == ["a-000001.mid", "a.mid"]
    assert command(f"provenance {tmp_path / 'a/a-000001.mid'} --verify {run} --inputs {codes}") == 0


class Harmful:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("harmed"),)


def test_what_is_no_codes_is_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    width = len(read_any(runs, tmp_path))
    all_z = ",".join(f"z{k}" for k in range(1, width + 1)) + "\n"
    files = {
        "table.csv": "file,label\na,b\n", "words.csv": "z1,z2\n1,two\n", "short.csv": "z1,z2\n1\n",
        "none.csv": "z1,z2\n", "empty.csv": "", "codes.txt": "1 2", "nan.csv": all_z + ",".join(["nan"] * width),
        "gap.csv": "z1,z2,z9,z4\n1,2,3,4\n", "twice.csv": "z1,z2,Z2\n1,2,3\n", "less.csv": "z1\n1\n",
    }  # fmt: skip
    for name, text in files.items():
        Path(name).write_text(text)
    np.save("narrow.npy", np.zeros((2, width + 1), np.float32))
    np.save("words.npy", np.array(["a", "b"]))
    np.save("cube.npy", np.zeros((2, 2, 2)))
    Path("pickled.npy").write_bytes(pickle.dumps(Harmful()))
    with Path("object.npy").open("wb") as file:
        np.lib.format.write_array(file, np.array([Harmful()], object), allow_pickle=True)
    save_file({"a": np.zeros((1, 2)), "b": np.zeros((1, 2))}, "two.safetensors")
    Path("cut.safetensors").write_bytes(Path("two.safetensors").read_bytes()[:20])
    for name, message in {
        "table.csv": "no columns z1, z2", "words.csv": "row 2 of words.csv has no number", "short.csv": "row 2",
        "none.csv": "holds no codes", "empty.csv": "no columns z1", "codes.txt": "no file of codes", "nan.csv": "codes",
        "narrow.npy": f"in narrow.npy have {width + 1} values each; those of this run have {width}",
        "gap.csv": "gap.csv has a column z9 but no z3", "twice.csv": "twice.csv has the column z2 more than once",
        "less.csv": "less.csv have 1 values", "words.npy": "codes are numbers", "cube.npy": "of shape [2, 2, 2]",
        "pickled.npy": "cannot be read as codes", "object.npy": "cannot be read as codes",
        "two.safetensors": "holds 2 arrays", "cut.safetensors": "cannot be read as codes",
        "gone.csv": "no file gone.csv",
    }.items():  # fmt: skip
        assert command(f"decode {runs / 'vae'} {name} --out made") == 2, name
        error = capsys.readouterr().err.splitlines()
        assert (len(error), message in error[0]) == (1, True), (name, error)
    assert not Path("made").exists()
    assert not Path("harmed").exists()
    assert command(f"decode {runs / 'vae'} none.csv") == 2
    assert "decode needs --out" in capsys.readouterr().err
    reverie.train("pix2pix:smoke", data="shapes:8", out="pix", steps=1, degradation="grey", threads=1)
    capsys.readouterr()
    assert command("decode pix codes.csv --out made") == 2
    error = capsys.readouterr().err.splitlines()
    assert (len(error), "pix2pix has no latent codes" in error[0]) == (1, True), error


def read_any(runs: Path, place: Path) -> np.ndarray:
    """A code of the VAE, by way of codes.csv in a place."""
    assert command(f"encode {runs / 'vae'} {runs / 'in/a.png'} --out {place / 'codes.csv'}") == 0
    return read_codes(place / "codes.csv")[0].values


def test_codes_of_another_run_are_warned_of(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_any(runs, tmp_path)
    table = (tmp_path / "codes.csv").read_text().replace(reverie.load(runs / "vae").origin["run"], "0123456789abcdef")
    (tmp_path / "codes.csv").write_text(table)
    assert command(f"decode {runs / 'vae'} {tmp_path / 'codes.csv'} --out {tmp_path / 'a.png'} --json") == 0
    assert "codes of another run, 0123456789abcdef" in capsys.readouterr().err
    with pytest.raises(UserError, match="no file of codes"):
        read_codes(tmp_path / "a.png")
