"""Outputs are whole or not there, whatever happens while they are written; a job that was cut off goes on."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from reverie.cli.main import main
from reverie.media import Code, Image, Music, Photo, Text, image_grid, read_record, save_codes, save_texts
from reverie.utils.atomic_files import read_checked, replace_bytes, replace_text, replacing, write_checked


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    place = tmp_path_factory.mktemp("cut") / "run"
    assert main(shlex.split(f"train vae:smoke --data letters:64 --out '{place}' --threads 1 --steps 2")) == 0
    return place


def _items() -> dict[str, Any]:
    grey = np.zeros((8, 8, 1), np.uint8)
    images = [Image(grey), Image(grey)]
    music = Music({"melody": np.zeros(16, int)})
    return {
        "image.png": images[0].save, "grid.png": image_grid(images).save, "photo.png": Photo(grey).save,
        "lines.txt": lambda path: save_texts([Text("one"), Text("two")], path),
        "codes.csv": lambda path: save_codes([Code(np.zeros(3, np.float32))], path),
        "tune.mid": music.save, "tune.wav": music.save, "roll.png": music.save,
    }  # fmt: skip


@pytest.mark.parametrize("name", list(_items()))
def test_a_full_disk_leaves_the_old_file_or_none(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, save = tmp_path / name, _items()[name]

    def half(file: Path, data: bytes) -> int:
        file.open("wb").write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", half)
        with pytest.raises(OSError, match="No space"):
            save(path)
    assert list(tmp_path.iterdir()) == []
    save(path)
    whole = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", half)
        with pytest.raises(OSError, match="No space"):
            save(path)
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "words", ["generate {run} -n 40", "interpolate {run} -n 5 --frames 8", "generate {run} -n 72 --shard 2/2"]
)
def test_items_that_are_there_are_not_computed_again(
    words: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, computed = tmp_path / "out", list[int]()
    words = f"{words.format(run=run)} --out {out}"
    assert main(shlex.split(words)) == 0
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    assert len(whole) == 40
    names = sorted(whole)
    for name in (names[3], names[19], names[39]):
        (out / name).unlink()
    from_tensor = Image.from_tensor

    def counted(x: Any) -> Any:
        computed.append(len(x))
        return from_tensor(x)

    monkeypatch.setattr(Image, "from_tensor", counted)
    capsys.readouterr()
    assert main(shlex.split(words)) == 0
    assert computed == [1, 1, 1]
    assert "40 files" in (said := capsys.readouterr().out)
    assert "37 were there before" in said
    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole
    assert main(shlex.split(words)) == 0
    assert computed == [1, 1, 1]
    assert main(shlex.split(f"{words} --overwrite")) == 0
    assert sum(computed) == 43
    (out / names[0]).write_bytes(b"of another program")
    assert main(shlex.split(words)) == 2
    assert f"{names[0]} is there already" in capsys.readouterr().err


def test_a_job_that_was_cut_off_goes_on(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made"
    words = f"generate '{run}' -n 6 --out '{out}'"
    assert main(shlex.split(words)) == 0
    first = {file.name: file.read_bytes() for file in out.iterdir()}
    (out / "000003.png").unlink()
    (out / "000005.png").unlink()
    times = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    assert main(shlex.split(words)) == 0
    assert {file.name: file.read_bytes() for file in out.iterdir()} == first
    assert all((out / name).stat().st_mtime_ns == then for name, then in times.items())
    assert main(shlex.split(f"{words} --seed 1")) == 2  # another job: its files are not those
    assert "is there already" in capsys.readouterr().err
    (out / "000002.png").write_bytes(b"")
    assert main(shlex.split(words)) == 2
    assert "000002.png is there already" in capsys.readouterr().err


def test_a_folder_that_gains_files_goes_on(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, out = tmp_path / "given", tmp_path / "made"
    assert main(shlex.split(f"generate '{run}' -n 4 --out '{given}'")) == 0
    (given / "000000.png").rename(tmp_path / "later.png")
    words = f"reconstruct '{run}' '{given}' --out '{out}' --include-generated"
    assert main(shlex.split(words)) == 0
    first = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    (tmp_path / "later.png").rename(given / "000000.png")  # so that the others have another place among all
    assert main(shlex.split(words)) == 0
    assert sorted(file.name for file in out.iterdir()) == ["000000.png", *sorted(first)]
    assert all((out / name).stat().st_mtime_ns == then for name, then in first.items())


def test_files_of_one_stem_keep_their_whole_names(run: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    assert main(shlex.split(f"generate '{run}' -n 2 --out '{given}'")) == 0
    with PIL.Image.open(given / "000000.png") as image:
        image.convert("RGB").save(given / "000000.jpg")
    words = f"reconstruct '{run}' '{given}' --out '{tmp_path / 'out'}' --include-generated"
    assert main(shlex.split(words)) == 0
    names = ["000000.jpg.png", "000000.png.png", "000001.png"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    table = tmp_path / "codes.csv"
    assert main(shlex.split(f"encode '{run}' '{given}' --out '{table}' --include-generated")) == 0
    assert main(shlex.split(f"decode '{run}' '{table}' --out '{tmp_path / 'decoded'}'")) == 0
    assert sorted(file.name for file in (tmp_path / "decoded").iterdir()) == names


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_in_out(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    out.symlink_to(elsewhere)
    assert main(shlex.split(f"generate '{run}' -n 1 --out '{out}'")) == 0
    assert f"is a link: the files go to {elsewhere}" in capsys.readouterr().err
    real = tmp_path / "real"
    real.mkdir()
    (real / "sub").symlink_to(elsewhere)
    table = tmp_path / "codes.csv"
    assert main(shlex.split(f"encode '{run}' '{elsewhere}' --out '{table}' --include-generated")) == 0
    table.write_text(table.read_text().replace("000000.png", "sub/deep/000000.png"))
    assert main(shlex.split(f"decode '{run}' '{table}' --out '{real}'")) == 2
    assert "is a link to" in capsys.readouterr().err
    assert not (elsewhere / "deep").exists()
    victim = tmp_path / "victim.png"
    (real / "000000.png").symlink_to(victim)
    assert main(shlex.split(f"generate '{run}' -n 1 --out '{real}'")) == 2
    assert not victim.exists()
    victim.write_bytes(b"mine")
    assert main(shlex.split(f"generate '{run}' -n 1 --out '{real}' --overwrite")) == 0
    assert victim.read_bytes() == b"mine"
    assert read_record(real / "000000.png")["verb"] == "generate"
    inputs = tmp_path / "inputs"
    (inputs / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image(np.zeros((16, 16, 1), np.uint8)).save(inputs / name)
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "sub").symlink_to(elsewhere)
    before = sorted(elsewhere.iterdir())
    assert main(shlex.split(f"reconstruct '{run}' '{inputs}' --out '{trap}'")) == 2
    assert "outside of" in capsys.readouterr().err
    assert sorted(elsewhere.iterdir()) == before


def test_long_names(tmp_path: Path) -> None:
    path = tmp_path / f"{'長' * 80}.png"
    replace_bytes(path, b"1")
    assert path.read_bytes() == b"1"


def test_two_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with replacing(path) as one:
        one.write_text("half of o")
        with replacing(path) as other:
            other.write_text("another")
        assert path.read_text() == "another"
        one.write_text("one")
    assert path.read_text() == "one"


def test_what_a_killed_process_left_is_removed_in_time(tmp_path: Path) -> None:
    with replacing(tmp_path / "log.jsonl") as fresh:
        now, old = (fresh.with_name(f"log.jsonl.{digits}.new") for digits in ("0123cdef", "89ab4567"))
        fresh.write_text("{}")
    mine = tmp_path / "log.jsonl.mine.new"
    for file in (now, old, mine):
        file.write_text("half")
    for file in (old, mine):
        os.utime(file, (0, 0))
    replace_text(tmp_path / "log.jsonl", "{}")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "log.jsonl", mine, now])


def test_a_checked_file(tmp_path: Path) -> None:
    path = tmp_path / "scans" / "a.json"
    assert read_checked(path) is None
    write_checked(path, b"[1,\n2]")
    digest = hashlib.sha256(b"[1,\n2]").hexdigest()
    assert path.read_bytes() == f"{digest}\n[1,\n2]".encode()  # as earlier versions wrote it
    assert read_checked(path) == b"[1,\n2]"
    path.write_bytes(path.read_bytes()[:-1])
    assert read_checked(path) is None
