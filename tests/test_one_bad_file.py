"""One bad file among many is passed over and reported; archives that lie are stopped; first saves that are cut off."""

from __future__ import annotations

import json
import shlex
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import reverie
from reverie import UserError
from reverie.cli.main import main
from reverie.data.archives import ZipTree
from reverie.data.file_types import InvalidFile, UnreadableFile
from reverie.media import Music


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """Runs of a VAE and a classifier, and a folder of three good images and four bad ones."""
    place = tmp_path_factory.mktemp("one")
    for method in ("vae", "classifier"):
        words = f"train {method}:smoke --data letters:64 --out '{place / method}' --threads 1 --steps 2"
        assert main(shlex.split(words)) == 0
    images = place / "images"
    images.mkdir()
    for i in range(3):
        PIL.Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)).save(images / f"{i}.png")
    whole = (images / "0.png").read_bytes()
    for name, data in {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "text": b"not an image",
        "head": whole[:20],
    }.items():
        (images / f"{name}.png").write_bytes(data)
    return place


@pytest.mark.parametrize("verb", ["reconstruct", "encode", "classify"])
def test_bad_images_are_passed_over(place: Path, tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = place / ("classifier" if verb == "classify" else "vae")
    out = tmp_path / ("codes.csv" if verb == "encode" else "made")
    assert main(shlex.split(f"{verb} '{run}' '{place / 'images'}' --out '{out}'")) == 2
    *listed, error = capsys.readouterr().err.splitlines()
    assert "cut.png" in error
    assert "(and 3 more)" in error
    for name, reason in (("cut", "truncated"), ("empty", "empty file"), ("head", ""), ("text", "not an image")):
        (line,) = (line for line in listed if f"{name}.png" in line)
        assert line.startswith("passed over: ")
        assert reason in line
    assert f"The results of the others are in {out}." in error
    if verb == "encode":
        assert len(out.read_text().splitlines()) == 1 + 3
    else:
        assert sorted(file.name for file in out.glob("*.png")) == ["0.png", "1.png", "2.png"]


def test_bad_images_without_out(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(f"classify '{place / 'classifier'}' '{place / 'images'}' --json")) == 2
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert len(report["predictions"]) == 3
    assert len(report["failed"]) == 4
    assert "(and 3 more) The others are done." in printed.err


def test_of_many_bad_images_the_first_are_listed(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(23):
        (tmp_path / f"{i:02}.png").write_bytes(b"")
    assert main(shlex.split(f"reconstruct '{place / 'vae'}' '{tmp_path}' --out '{tmp_path / 'made'}'")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line[-6:] for line in lines[19:21]] == ["other.", "3 more"]
    assert "(and 22 more)" in lines[-1]
    assert len(lines) == 22


@pytest.fixture(scope="module")
def tunes(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A run of music, and a folder of two good MIDI files among bad ones."""
    place = tmp_path_factory.mktemp("midi")
    words = f"train music_vae:smoke --data tunes:8 --out '{place / 'run'}' --threads 1 --steps 2"
    assert main(shlex.split(words)) == 0
    data = reverie.open_data("tunes:8").prepare(part="melody", bars=4)
    folder = place / "in"
    folder.mkdir()
    for i, name in enumerate(("a", "z")):
        Music.of(data.parts, data.array[i]).save(folder / f"{name}.mid")
    whole = (folder / "a.mid").read_bytes()
    silent = whole[:14] + b"MTrk" + struct.pack(">I", 4) + b"\0\xff\x2f\0"
    for name, content in {
        "empty": b"", "cut": whole[:10], "text": b"no music", "silent": silent, "far": whole[:8] + b"\xff" * 40,
    }.items():  # fmt: skip
        (folder / f"{name}.mid").write_bytes(content)
    return place


BAD_TUNES = ("empty.mid", "cut.mid", "text.mid", "silent.mid", "far.mid")


@pytest.mark.parametrize(("verb", "made"), [("reconstruct", 2), ("continue --bars 1", 2), ("encode", 4),
                                            ("interpolate --frames 2", 2), ("edit --frames 2", 4)])  # fmt: skip
def test_bad_tunes_are_passed_over(
    tunes: Path, tmp_path: Path, verb: str, made: int, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *flags = verb.split()
    out = tmp_path / ("codes.csv" if name == "encode" else "made")
    assert main([name, str(tunes / "run"), str(tunes / "in"), *flags, "--out", str(out)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert any(bad in error for bad in BAD_TUNES)
    assert "(and 4 more)" in error
    assert f"The results of the others are in {out}." in error
    assert (len(out.read_text().splitlines()) - 1 if name == "encode" else len(list(out.glob("*.mid")))) == made


@pytest.mark.parametrize("verb", ["reconstruct", "continue", "encode", "interpolate", "edit"])
def test_bad_tunes_alone_are_one_line(
    tunes: Path, tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        verb,
        str(tunes / "run"),
        *(str(tunes / "in" / name) for name in BAD_TUNES),
        "--out",
        str(tmp_path / "x.csv"),
    ]
    assert main([*words[:-1], str(tmp_path / ("x.csv" if verb == "encode" else "x"))]) == 2
    error = capsys.readouterr().err.splitlines()
    assert "(and 4 more)" in error[-1]
    assert not (tmp_path / "x").exists()


def test_bad_tunes_stop_no_training(tunes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        f"train music_vae:smoke --data '{tunes / 'in'}' --part melody --out '{tmp_path / 'r'}' --threads 1 --steps 1"
    )
    assert main(shlex.split(words)) == 0
    capsys.readouterr()
    assert main(["data", "inspect", str(tunes / "in"), "--json"]) == 0
    dropped = {d["name"] for part in json.loads(capsys.readouterr().out)["splits"].values() for d in part["dropped"]}
    assert dropped >= set(BAD_TUNES)


def test_bad_texts_stop_neither_training_nor_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a.txt", "z.txt"):
        (folder / name).write_text("".join(f"the {name[0]} is a word in line {i}\n" for i in range(40)))
    bad = {
        "empty.txt": b"", "blank.txt": b"\n \n", "binary.txt": bytes(range(256)), "latin.txt": b"caf\xe9\n",
        "cut.txt.gz": b"\x1f\x8b\x08\0cut", "utf16.txt": b"\xff\xfea",
    }  # fmt: skip
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    run = tmp_path / "run"
    assert (
        main(
            shlex.split(f"train seqgan:smoke --data '{folder}' --out '{run}' --threads 1 --steps 1 --pretrain-steps 1")
        )
        == 0
    )
    assert main(shlex.split(f"evaluate '{run}' --data '{folder}' --metrics bleu")) == 0
    capsys.readouterr()
    assert main(["data", "inspect", str(folder), "--json"]) == 0
    dropped = {
        d["name"]: d["reason"]
        for part in json.loads(capsys.readouterr().out)["splits"].values()
        for d in part["dropped"]
    }
    assert {name.partition(":")[0] for name in dropped} >= set(bad)
    for name in ("a.txt", "z.txt"):
        (folder / name).unlink()
    assert main(shlex.split(f"train seqgan:smoke --data '{folder}' --out '{tmp_path / 'none'}'")) == 2
    error = capsys.readouterr().err.splitlines()
    assert (len(error), "no text in" in error[0]) == (1, True)


def lying_zip(path: Path, declared: int, actual: int) -> None:
    """A zip of one member that says it unpacks to `declared` bytes, and unpacks to `actual`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("a.png", "w", force_zip64=False) as member:
        for _ in range(actual >> 20):
            member.write(bytes(1 << 20))
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        begin = data.find(signature)
        data[begin + at : begin + at + 4] = struct.pack("<I", declared)
    path.write_bytes(bytes(data))


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_a_zip_that_lies_takes_little_memory(tmp_path: Path) -> None:
    lying_zip(tmp_path / "bomb.zip", 1000, 1 << 28)
    code = (
        "import resource, sys; from pathlib import Path; from reverie.data.archives import ZipTree\n"
        "from reverie.data.file_types import InvalidFile\n"
        "tree = ZipTree(Path(sys.argv[1]))\n"
        "held = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (held + (100 << 20),) * 2)\n"
        "try: tree.read('a.png')\n"
        "except InvalidFile as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bomb.zip")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "damaged in the zip" in done.stdout or "larger than" in done.stdout


PACKINGS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("packing", PACKINGS)
def test_members_of_every_packing(tmp_path: Path, packing: int) -> None:
    path, noise = tmp_path / "a.zip", np.random.default_rng(0).bytes(600_000)
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, data in {"noise.png": noise, "empty.png": b"", "short.png": b"abc"}.items():
            file.writestr(name, data)
    tree = ZipTree(path)
    assert tree.read("noise.png") == noise
    assert (tree.head("noise.png", 300_000), tree.head("short.png")) == (noise[:300_000], b"abc")
    assert (tree.read("empty.png"), tree.read("short.png")) == (b"", b"abc")
    damaged = bytearray(path.read_bytes())
    damaged[300_000] ^= 1
    path.write_bytes(bytes(damaged))
    with pytest.raises(InvalidFile, match="damaged in the zip"):
        ZipTree(path).read("noise.png")


@pytest.mark.parametrize("packing", PACKINGS[1:])
def test_members_are_unpacked_no_further_than_they_declare(
    tmp_path: Path, packing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MB of zeros, which bzip2 and LZMA pack into less than is read at once."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", packing) as file:
        file.writestr("a.png", bytes(1 << 26))
    tree, longest = ZipTree(tmp_path / "a.zip"), 0
    checksum = zlib.crc32

    def watched(data: bytes, *before: int) -> int:
        nonlocal longest
        longest = max(longest, len(data))
        return checksum(data, *before)

    monkeypatch.setattr(zlib, "crc32", watched)
    monkeypatch.setattr(zipfile, "crc32", watched)
    tree._members["a.png"].file_size = 1000
    with pytest.raises(InvalidFile, match=r"larger than it says|damaged in the zip"):
        tree.read("a.png")
    assert 0 < longest <= 1 << 18


def test_a_dictionary_of_lzma_that_takes_too_much(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a.png", b"abc")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    begin = 30 + len("a.png") + 5
    data[begin : begin + 4] = struct.pack("<I", 0xFFFFFFFF)
    (tmp_path / "a.zip").write_bytes(bytes(data))
    with pytest.raises(InvalidFile, match="dictionary of 4095 MB"):
        ZipTree(tmp_path / "a.zip").read("a.png")


@pytest.mark.parametrize("what", ["read", "head"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(5, "Input/output error"), UnreadableFile),
        (MemoryError(), UnreadableFile),
        (ValueError("x"), InvalidFile),
    ],
)
def test_a_failing_disk_is_not_a_bad_file(
    tmp_path: Path, what: str, error: Exception, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.png", b"abc")
    tree = ZipTree(tmp_path / "a.zip")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(zipfile.ZipFile, "open", fail)
    with pytest.raises(InvalidFile) as found:
        getattr(tree, what)("a.png")
    assert type(found.value) is kind


@pytest.mark.parametrize("verb", ["reconstruct", "encode", "classify"])
@pytest.mark.parametrize("how", ["folder", "paths"])
def test_bad_images_are_passed_over_in_python(place: Path, verb: str, how: str) -> None:
    method = reverie.load(place / ("classifier" if verb == "classify" else "vae"))
    given = place / "images" if how == "folder" else sorted((place / "images").iterdir())
    with pytest.warns(UserWarning, match=r"passed over: .*cut\.png is not a usable image .*\(and 3 more\)") as noted:
        assert len(getattr(method, verb)(given)) == 3
    assert len(noted) == 1
    assert noted[0].filename == __file__
    with pytest.raises(UserError, match="empty file"):
        getattr(method, verb)(place / "images" / "empty.png")
    with pytest.raises(UserError, match="there is no file nowhere"):
        getattr(method, verb)(["nowhere", *map(str, (place / "images").glob("?.png"))])


def test_a_zip_that_declares_too_much(tmp_path: Path) -> None:
    lying_zip(tmp_path / "a.zip", 0xFFFFFF00, 1 << 20)
    with pytest.raises(InvalidFile, match="larger than 512 MB"):
        ZipTree(tmp_path / "a.zip").read("a.png")


@pytest.mark.parametrize(
    ("signature", "at", "value"),
    [(b"PK\1\2", 6, 99), (b"PK\1\2", 10, 98), (b"PK\1\2", 8, 1), (b"PK\5\6", 4, 7), (b"PK\1\2", 42, 0x7FFFFFFF)],
)
def test_zips_of_other_versions(
    tmp_path: Path, signature: bytes, at: int, value: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A later version, an unknown compression, encryption, several disks, an offset beyond the end."""
    lying_zip(tmp_path / "a.zip", 1 << 20, 1 << 20)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    begin = data.find(signature)
    width = 4 if value > 0xFFFF else 2
    data[begin + at : begin + at + width] = value.to_bytes(width, "little")
    (tmp_path / "a.zip").write_bytes(bytes(data))
    assert main(["data", "inspect", str(tmp_path / "a.zip")]) in (0, 2)
    assert main(shlex.split(f"train vae:smoke --data '{tmp_path / 'a.zip'}' --out '{tmp_path / 'run'}'")) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("reverie: ")


def test_a_first_save_that_was_cut_off(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed at any point of the first save, the run is called sound, and resume brings it to the same weights."""
    run = tmp_path / "run"
    words = f"train vae:smoke --data letters:64 --out '{run}' --threads 1 --steps 2"
    assert main(shlex.split(words)) == 0
    wanted = (run / "weights.safetensors").read_bytes()
    for names in (
        (),
        ("resume.pt",),
        ("resume.pt", "weights.safetensors"),
        ("resume.pt", "weights.safetensors", "save.json"),
    ):
        cut = tmp_path / f"cut{len(names)}"
        shutil.copytree(run, cut)
        (cut / "next").mkdir()
        for name in ("resume.pt", "weights.safetensors", "save.json"):
            if name in names:
                (cut / name).rename(cut / "next" / name)
            else:
                (cut / name).unlink()
        shutil.rmtree(cut / "previous", ignore_errors=True)
        with pytest.raises(UserError, match="resume") as error:
            reverie.load(cut)
        assert "copy" not in str(error.value)
        assert main(["resume", str(cut)]) == 0
        assert (cut / "weights.safetensors").read_bytes() == wanted
    unborn = tmp_path / "unborn"
    unborn.mkdir()
    (unborn / ".lock").touch()
    with pytest.raises(UserError, match="before training began"):
        reverie.load(unborn)


def test_gzip_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    head = b"\0\0\x08\x03" + struct.pack(">III", 4, 8, 8)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = packer.compress(head) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(body)
    assert main(shlex.split(f"train vae:smoke --data '{tmp_path}' --out '{tmp_path / 'run'}'")) == 2
