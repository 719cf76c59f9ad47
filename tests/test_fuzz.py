"""Damaged and hostile input, drawn at random with fixed seeds: whatever it is, the answer is one line or a result.

Input number i of a kind is a function of (kind, i) alone. A quick slice of each kind runs always, 2,000 inputs with
`make test-slow`. A failure names kind and number; `python -m pytest tests/test_fuzz.py -k KIND` shows it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import random
import re
import shutil
import signal
import struct
import sys
import traceback
import wave
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import pytest
import torch

from reverie.cli.main import main
from reverie.media import Music
from reverie.utils.errors import LONGEST_LINE

if sys.platform == "linux":
    import resource

QUICK, ALL = 8, 134
"""inputs of each kind: always; with the slow tests"""
SECONDS, MEMORY = 30, 2 << 30
"""what one input may take: seconds of the processor, and bytes of address space beyond what the process holds"""
LONGEST = LONGEST_LINE + 60
"""characters of a line on stderr: a message, "reverie: ", and what says where it was cut"""
METHODS = {
    "dcgan": "letters:48", "pix2pix": "shapes:24", "music_vae": "tunes:8", "seqgan": "verses:48",
    "classifier": "letters:48",
}  # fmt: skip
HOSTILE = "\x1b[31mred\x07 \u202egnp.\u2066 \ud83d\x00"
"""what could steer a terminal, change the direction of text, or end a path"""


# -- seeds: sound files of every kind, made once -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """Runs of two steps, and small files of every kind that is read."""
    place = tmp_path_factory.mktemp("fuzz")
    for method, data in METHODS.items():
        words = ["train", f"{method}:smoke", "--data", data, "--out", str(place / method), "--threads", "1"]
        assert main([*words, "--steps", "2", "--batch-size", "8", "--log-every", "1"]) == 0
    scores = ["evaluate", str(place / "seqgan"), "--data", "verses:48", "-n", "64", "--metrics", "exact-match-rate"]
    assert main(scores) == 0
    for verb, method in (("generate", "dcgan"), ("generate", "music_vae")):
        assert main([verb, str(place / method), "-n", "2", "--out", str(place / f"{verb}-{method}")]) == 0
    assert main(["generate", str(place / "seqgan"), "-n", "4", "--out", str(place / "lines.txt")]) == 0
    _images(place / "images")
    _music(place / "music")
    _words(place / "words")
    _archives(place)
    return place


def _images(folder: Path) -> None:
    folder.mkdir()
    draws = np.random.default_rng(0)
    grey, colour = draws.integers(0, 256, (20, 20), np.uint8), draws.integers(0, 256, (20, 24, 3), np.uint8)
    deep = draws.integers(0, 65536, (20, 20), np.uint16)
    for name in ("a.png", "b.jpg", "c.tif", "d.webp", "e.bmp", "f.gif", "g.ppm", "h.qoi", "i.avif", "j.jp2"):
        with contextlib.suppress(KeyError, OSError, ValueError):  # not every Pillow writes every kind
            PIL.Image.fromarray(colour).save(folder / name)
    PIL.Image.fromarray(grey).save(folder / "grey.png")
    PIL.Image.fromarray(grey).convert("P").save(folder / "palette.bmp")
    PIL.Image.fromarray(deep).save(folder / "deep.png")
    PIL.Image.fromarray(deep).save(folder / "deep.tif")
    PIL.Image.fromarray(colour).convert("CMYK").save(folder / "cmyk.jpg")
    PIL.Image.fromarray(deep.astype(np.float32) / 65535).save(folder / "float.tif")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(colour).save(folder / "turned.jpg", exif=exif)
    PIL.Image.fromarray(np.dstack([colour, colour[:, :, :1]])).save(folder / "alpha.png")
    cv2 = pytest.importorskip("cv2")
    deep_colour = draws.integers(0, 65536, (20, 20, 3), np.uint16)
    for name in ("deepcolour.png", "deepcolour.tif"):
        assert cv2.imwrite(str(folder / name), deep_colour)


def _music(folder: Path) -> None:
    folder.mkdir()
    draws = random.Random(0)
    for i in range(3):
        notes = np.array([draws.choice([0, 0, 1, 50 + draws.randrange(30)]) for _ in range(64)])
        Music({"melody": notes}).save(folder / f"{i}.mid")
    body = (folder / "0.mid").read_bytes()
    (folder / "wrapped.rmi").write_bytes(
        b"RIFF" + struct.pack("<I", len(body) + 12) + b"RMIDdata" + struct.pack("<I", len(body)) + body
    )
    with wave.open(str(folder / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))


def _words(folder: Path) -> None:
    folder.mkdir()
    lines = [f"the {a} {b} of the {c}" for a in ("old", "red", "low") for b in ("sea", "sun") for c in ("day", "hill")]
    (folder / "lines.txt").write_text("\n".join(lines))
    (folder / "blocks.txt").write_text("\n\n".join(f"{line}\n{line} again" for line in lines))
    (folder / "table.csv").write_text("id,text\n" + "".join(f'{i},"{line}, ""so""",\n' for i, line in enumerate(lines)))
    (folder / "table.tsv").write_text("id\ttext\n" + "".join(f"{i}\t{line}\n" for i, line in enumerate(lines)))
    (folder / "rows.jsonl").write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(lines)))
    (folder / "rows.json").write_text(json.dumps([{"id": i, "text": t} for i, t in enumerate(lines)]))


def _archives(place: Path) -> None:
    kinds = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2,
             "lzma": zipfile.ZIP_LZMA}  # fmt: skip
    for name, kind in kinds.items():
        with zipfile.ZipFile(place / f"{name}.zip", "w", kind) as file:
            for i in range(4):
                pixels = np.random.default_rng(i).integers(0, 256, (12, 12), np.uint8)
                data = io.BytesIO()
                PIL.Image.fromarray(pixels).save(data, "PNG")
                file.writestr(f"{'ab'[i % 2]}/{i}.png", data.getvalue())
    idx = np.random.default_rng(0).integers(0, 256, (12, 10, 10), np.uint8)
    (place / "idx").mkdir()
    (place / "idx/train-images-idx3-ubyte").write_bytes(
        b"\0\0\x08\x03" + struct.pack(">III", *idx.shape) + idx.tobytes()
    )
    (place / "idx/train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 12) + bytes(range(12)))
    sides = place / "sides"
    for side in ("a", "b"):
        (sides / side).mkdir(parents=True)
        for i in range(4):
            pixels = np.random.default_rng(i).integers(0, 4 if side == "a" else 256, (16, 16), np.uint8)
            PIL.Image.fromarray(pixels).save(sides / side / f"{i}.png")


# -- mutations ---------------------------------------------------------------------------------------------------------


def mutated_bytes(draws: random.Random, data: bytes) -> bytes:
    """The bytes with one to three kinds of damage."""
    content = bytearray(data)
    for _ in range(draws.choice((1, 1, 1, 2, 3))):
        at, length = draws.randrange(len(content) + 1), draws.choice((1, 2, 4, 16, 300))
        match draws.randrange(11):
            case 0:
                for _ in range(draws.choice((1, 2, 8, 40))):
                    if content:
                        content[draws.randrange(len(content))] ^= 1 << draws.randrange(8)
            case 1:
                del content[at:]
            case 2:
                del content[at : at + length]
            case 3:
                content[at:at] = content[at : at + length] * draws.choice((1, 5))
            case 4:
                content[at : at + length] = bytes(length)
            case 5:
                content[at : at + length] = b"\xff" * length
            case 6:
                content[at:at] = draws.randbytes(length)
            case 7:
                number = draws.choice((0x7FFFFFFF, 0xFFFFFFFF, 0x10000, 0, 1))
                content[at : at + 4] = struct.pack(draws.choice("<>") + "I", number)
            case 8:
                content += draws.randbytes(draws.choice((1, 9, 1000)))
            case 9:
                head = draws.randrange(min(len(content), 64) + 1)  # where most fields are
                content[head : head + 1] = bytes([draws.randrange(256)])
            case 10:
                begin = draws.randrange(len(content) + 1)
                content[at : at + length], content[begin : begin + length] = (
                    content[begin : begin + length], content[at : at + length],
                )  # fmt: skip
    return b"" if draws.random() < 0.01 else bytes(content)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


ODD: list[Callable[[], Any]] = [
    lambda: None, lambda: True, lambda: -1, lambda: 0, lambda: 2**63, lambda: -(2**70), lambda: 10**30, lambda: 0.5,
    lambda: 1e308, lambda: math.nan, lambda: math.inf, lambda: -math.inf, lambda: "", lambda: "x" * 5000,
    lambda: HOSTILE, lambda: "\ud800", lambda: "../" * 30 + "etc", lambda: "/" + "a/" * 300, lambda: "n" * 300,
    lambda: "1", lambda: "nan", list, dict, lambda: [[[]]], lambda: {"a": {"b": None}}, lambda: deep(500),
    lambda: [None, 1, "a"], lambda: {"": 0}, lambda: ["x" * 400] * 3, lambda: 10**9,
]  # fmt: skip
"""values that nobody expects"""


def places_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all entries of a tree of dicts and lists."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from places_in(entry, (*path, key))


def mutated_tree(draws: random.Random, tree: Any, odd: Callable[[], Any] | None = None) -> Any:
    """A tree of dicts and lists with one to three entries replaced, left out, renamed, exchanged or wrapped."""
    for _ in range(draws.choice((1, 1, 1, 2, 3))):
        places = list(places_in(tree))
        if not places:
            return (odd or draws.choice(ODD))()
        *path, key = draws.choice(places)
        parent = tree
        for step in path:
            parent = parent[step]
        if isinstance(parent, tuple):
            continue
        match draws.randrange(7):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[draws.choice((f"{key}s", "", HOSTILE, "x" * 500, str(key).upper()))] = parent.pop(key)
            case 2:
                parent[key] = [parent[key]]
            case 3:
                other = draws.choice(list(parent)) if isinstance(parent, dict) else draws.randrange(len(parent))
                parent[key], parent[other] = parent[other], parent[key]
            case _:
                parent[key] = (odd or draws.choice(ODD))()
    return tree


def mutated_json(draws: random.Random, data: bytes) -> bytes:
    """JSON with other values in it, or with other text."""
    if draws.random() < 0.75:
        tree = mutated_tree(draws, json.loads(data))
        return json.dumps(tree, ensure_ascii=draws.random() < 0.5).encode("utf-8", "surrogatepass")
    match draws.randrange(8):
        case 0:
            return b"[" * 100_000
        case 1:
            return b'{"a":' * 50_000 + b"1" + b"}" * 50_000
        case 2:
            return data.decode().encode("utf-16")
        case 3:
            return b"\xef\xbb\xbf" + data
        case 4:
            return re.sub(rb"\b\d+\b", b"9" * draws.choice((20, 400, 5000)), data, count=draws.choice((1, 3)))
        case 5:
            return re.sub(rb'("[a-z_]+": )', rb"\1null, \1", data, count=1)  # a key twice
        case 6:
            return draws.choice((b"", b"null", b"[]", b"{}", b"3", b'"run"', b"NaN", b"\0\0\0"))
    return mutated_bytes(draws, data)


def mutated_lines(draws: random.Random, data: bytes) -> bytes:
    """Lines of text or JSON with one of them, or the whole, changed."""
    lines = data.splitlines(keepends=True)
    match draws.randrange(8):
        case 0:
            at = draws.randrange(len(lines))
            with contextlib.suppress(ValueError):
                lines[at] = mutated_json(draws, lines[at]).replace(b"\n", b" ") + b"\n"
        case 1:
            draws.shuffle(lines)
        case 2:
            lines = lines * draws.choice((2, 20))
        case 3:
            lines.insert(0, draws.choice((b"\xff\xfe", b"\0", b"\xef\xbb\xbf", b'"', b"\x1b[2J", b"a" * 200_000)))
        case 4:
            return data.decode("utf-8").encode(draws.choice(("utf-16", "utf-32", "utf-16-le", "cp500")))
        case 5:
            return data.replace(b"\n", draws.choice((b"\r", b"\r\n", b"\0", b"", b'"\n', b",,,,\n", b"\x85")))
        case 6:
            return data.replace(draws.choice((b" ", b"e", b",", b"text")), draws.choice((b"", b'"', b"\xff", b"\x07")))
        case 7:
            return mutated_bytes(draws, data)
    return b"".join(lines)


def mutated_zip(draws: random.Random, data: bytes) -> bytes:
    """A zip whose fields lie (sizes, CRC, flags, method, offsets), or with damaged bytes."""
    if draws.random() < 0.4:
        return mutated_bytes(draws, data)
    content = bytearray(data)
    fields = {b"PK\1\2": (6, 8, 10, 16, 20, 24, 28, 30, 32, 42), b"PK\3\4": (4, 6, 8, 14, 18, 22, 26, 28),
              b"PK\5\6": (4, 6, 8, 10, 12, 16, 20)}  # fmt: skip
    for _ in range(draws.choice((1, 1, 2, 4))):
        mark = draws.choice(list(fields))
        found = [match.start() for match in re.finditer(re.escape(mark), bytes(content))]
        if found:
            at = draws.choice(found) + draws.choice(fields[mark])
            wide = draws.choice((2, 4))
            number = draws.choice((0, 1, 7, 12, 14, 98, 0xFFFF, 1000, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFF00))
            content[at : at + wide] = (number % (1 << 8 * wide)).to_bytes(wide, "little")
    return bytes(content)


# -- the kinds: each puts its input into `case`, and says which command reads it ---------------------------------------


class Case(NamedTuple):
    """Where an input is made: everything that its command may write lies in `out`."""

    draws: random.Random
    seeds: Path
    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def copy(self, method: str, name: str = "out") -> Path:
        """A copy of a run, in `out` unless its command only reads it."""
        run = self.folder / name
        shutil.copytree(self.seeds / method, run)
        (run / ".lock").unlink(missing_ok=True)
        return run

    def pick(self, *folders: str) -> Path:
        """A seed file of these folders."""
        return self.draws.choice(sorted(p for f in folders for p in (self.seeds / f).iterdir() if p.is_file()))


def sign(run: Path) -> None:
    """Makes the checksums of save.json agree with the files, as an attacker would."""
    found = json.loads((run / "save.json").read_text())
    found["sha256"] = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in found["sha256"]}
    (run / "save.json").write_text(json.dumps(found))


def a_reading(case: Case, run: Path, name: str = "") -> list[str]:
    """A command that reads a run: resumes it, uses it, checks a file against it, begins with it."""
    method = name or case.draws.choice(list(METHODS))
    smoke = ["--data", METHODS[method], "--steps", "1", "--batch-size", "8", "--threads", "1"]
    verb = {"dcgan": ["generate", str(run), "-n", "1"], "music_vae": ["generate", str(run), "-n", "1"],
            "seqgan": ["generate", str(run), "-n", "1"],
            "pix2pix": ["translate", str(run), str(case.seeds / "images/a.png")],
            "classifier": ["classify", str(run), str(case.seeds / "images/a.png")]}[method]  # fmt: skip
    return case.draws.choice([
        ["resume", str(run), "--steps", "3"],
        [*verb, "--out", str(case.out / ("lines.txt" if method == "seqgan" else "made"))],
        ["export", str(run), "--out", str(case.out / "model.safetensors")],
        ["train", f"{method}:smoke", "--from", str(run), *smoke, "--out", str(case.out / "fresh")],
    ])  # fmt: skip


def in_run(case: Case, name: str, change: Callable[[random.Random, bytes], bytes], method: str = "") -> list[str]:
    """A run with one file changed."""
    method = method or case.draws.choice(list(METHODS))
    run = case.copy(method)
    shutil.rmtree(run / "previous", ignore_errors=True)
    (run / name).write_bytes(change(case.draws, (run / name).read_bytes()))
    return a_reading(case, run, method)


def a_run_json(case: Case) -> list[str]:
    words = in_run(case, "run.json", mutated_json)
    if case.draws.random() < 0.2:
        return ["train", "--config", str(case.out / "run.json"), "--dry-run", "--out", str(case.out / "fresh")]
    return words


def a_save_json(case: Case) -> list[str]:
    return in_run(case, "save.json", mutated_json)


def a_log(case: Case) -> list[str]:
    in_run(case, "log.jsonl", mutated_lines)
    return ["resume", str(case.out), *case.draws.choice(([], ["--steps", "3"]))]


def a_scores_json(case: Case) -> list[str]:
    in_run(case, "scores.json", mutated_json, "seqgan")
    if case.draws.random() < 0.2:  # it takes seconds
        other = case.copy("seqgan", "other")
        given = ["--data", METHODS["seqgan"], "-n", "64", "--metrics", "exact-match-rate"]
        return ["compare", str(other), str(case.out), *given, "--out", str(case.out / "compare.html")]
    return ["resume", str(case.out)]


def some_weights(case: Case) -> list[str]:
    method = case.draws.choice(list(METHODS))
    run = case.copy(method)
    file = run / "weights.safetensors"
    data, draws = file.read_bytes(), case.draws
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    match draws.randrange(4):
        case 0:
            data = mutated_bytes(draws, data)
        case 1:
            about = mutated_tree(draws, json.loads(header["__metadata__"]["reverie"]))
            header["__metadata__"]["reverie"] = json.dumps(about)
            text = json.dumps(header).encode()
            data = len(text).to_bytes(8, "little") + text + body
        case 2:
            text = json.dumps(mutated_tree(draws, header)).encode("utf-8", "surrogatepass")
            data = len(text).to_bytes(8, "little") + text + body
        case 3:
            changed = bytearray(body)
            for _ in range(20):
                at = draws.randrange(len(changed) - 4)
                changed[at : at + 4] = struct.pack("<f", draws.choice((math.nan, math.inf, 1e38, -0.0)))
            data = data[: 8 + length] + bytes(changed)
    file.write_bytes(data)
    sign(run)
    return a_reading(case, file if draws.random() < 0.4 else run, method)


def a_tensor(draws: random.Random) -> Any:
    """A value that may stand in resume.pt, and does not belong there."""
    return draws.choice([
        torch.zeros(0), torch.tensor(3), torch.full((2, 3), math.nan), torch.zeros(1, dtype=torch.bool),
        torch.zeros(3, dtype=torch.complex64), torch.zeros(2, 2, dtype=torch.int8), torch.zeros(7).to_sparse(),
        "text", 3, None, [], {}, (1, 2), -1.5, 2**80, torch.float32, deep(50), {1: 2}, {None: "a"}, True,
        torch.empty(1, 10**12, device="meta") if draws.random() < 0.5 else torch.zeros(1).expand(10**6),
    ])  # fmt: skip


def a_resume_pt(case: Case) -> list[str]:
    method, draws = case.draws.choice(list(METHODS)), case.draws
    run = case.copy(method)
    shutil.rmtree(run / "previous", ignore_errors=True)
    file = run / "resume.pt"
    if draws.random() < 0.7:
        state = torch.load(file, weights_only=True)
        torch.save(mutated_tree(draws, state, lambda: a_tensor(draws)), file)
    else:
        file.write_bytes(draws.choice((mutated_bytes, mutated_zip))(draws, file.read_bytes()))
    sign(run)
    return ["resume", str(run), "--steps", "3"]


def an_image(case: Case) -> list[str]:
    """A damaged image alone, or among sound ones; for verbs, and as data."""
    source, draws = case.pick("images"), case.draws
    folder = case.folder / "in"
    folder.mkdir()
    (folder / source.name).write_bytes(mutated_bytes(draws, source.read_bytes()))
    place = folder / source.name
    if draws.random() < 0.6:
        for name in ("grey.png", "turned.jpg", "alpha.png"):
            shutil.copy(case.seeds / "images" / name, folder / f"sound-{name}")
        place = folder
    smoke = ["--steps", "1", "--batch-size", "2", "--threads", "1"]
    return draws.choice([
        ["classify", str(case.seeds / "classifier"), str(place)],
        ["translate", str(case.seeds / "pix2pix"), str(place), "--out", str(case.out)],
        ["degrade", str(case.seeds / "pix2pix"), str(place), "--out", str(case.out)],
        ["data", "inspect", str(folder)],
        ["train", "dcgan:smoke", "--data", str(folder), "--out", str(case.out), *smoke],
        ["provenance", str(folder / source.name)],
    ])  # fmt: skip


def a_pair(case: Case) -> list[str]:
    """A set of pairs, one of them damaged or missing."""
    folder, draws = case.folder / "in", case.draws
    shutil.copytree(case.seeds / "sides", folder)
    file = draws.choice(sorted(folder.rglob("*.png")))
    file.write_bytes(mutated_bytes(draws, file.read_bytes()))
    if draws.random() < 0.3:
        file.rename(file.with_name(draws.choice(("é.png", "0 (1).png", "n" * 200 + ".png", "-.png", "%s.png"))))
    given = ["--steps", "1", "--batch-size", "2", "--threads", "1", "--out", str(case.out)]
    return draws.choice([
        ["data", "inspect", str(folder)],
        ["train", "pix2pix:smoke", "--data", f"{folder / 'a'},{folder / 'b'}", "--degradation", "", *given],
        ["train", "cyclegan:smoke", "--data", f"{folder / 'a'},{folder / 'b'}", *given],
    ])  # fmt: skip


def a_zip(case: Case) -> list[str]:
    source, draws = case.draws.choice(sorted(case.seeds.glob("*.zip"))), case.draws
    file = case.folder / "in.zip"
    file.write_bytes(mutated_zip(draws, source.read_bytes()))
    if draws.random() < 0.3:
        return ["data", "inspect", str(file), *draws.choice(([], ["--json"]))]
    given = ["--steps", "1", "--batch-size", "2", "--threads", "1", "--out", str(case.out)]
    return ["train", draws.choice(("dcgan:smoke", "classifier:smoke", "seqgan:smoke")), "--data", str(file), *given]


def an_idx(case: Case) -> list[str]:
    folder, draws = case.folder / "in", case.draws
    shutil.copytree(case.seeds / "idx", folder)
    file = draws.choice(sorted(folder.iterdir()))
    file.write_bytes(mutated_bytes(draws, file.read_bytes()))
    if draws.random() < 0.5:
        return ["data", "inspect", str(draws.choice((folder, file)))]
    given = ["--steps", "1", "--batch-size", "2", "--threads", "1", "--out", str(case.out)]
    return ["train", draws.choice(("dcgan:smoke", "classifier:smoke")), "--data", str(folder), *given]


def a_tune(case: Case) -> list[str]:
    source, draws = case.pick("music", "generate-music_vae"), case.draws
    folder = case.folder / "in"
    folder.mkdir()
    (folder / source.name).write_bytes(mutated_bytes(draws, source.read_bytes()))
    if draws.random() < 0.6:
        shutil.copy(case.seeds / "music/1.mid", folder / "sound-1.mid")
        shutil.copy(case.seeds / "music/2.mid", folder / "sound-2.mid")
    given = ["--steps", "1", "--batch-size", "2", "--threads", "1", "--out", str(case.out)]
    return draws.choice([
        ["reconstruct", str(case.seeds / "music_vae"), str(folder), "--out", str(case.out)],
        ["continue", str(case.seeds / "music_vae"), str(folder), "--out", str(case.out)],
        ["data", "inspect", str(folder)],
        ["train", "music_vae:smoke", "--data", str(folder), *given],
        ["provenance", str(folder / source.name), *draws.choice(([], ["--verify", str(case.seeds / "music_vae")]))],
    ])  # fmt: skip


def some_text(case: Case) -> list[str]:
    source, draws = case.pick("words"), case.draws
    file = case.folder / f"in{source.suffix}"
    file.write_bytes(mutated_lines(draws, source.read_bytes()))
    column = ["--column", draws.choice(("text", "1", "2", "txet", "-1", "99"))] if draws.random() < 0.4 else []
    item = ["--item", draws.choice(("line", "blank-line", "file"))] if draws.random() < 0.4 else []
    if draws.random() < 0.4:
        return ["data", "inspect", str(file), *column, *item]
    given = ["--steps", "1", "--batch-size", "2", "--threads", "1", "--out", str(case.out)]
    return ["train", "seqgan:smoke", "--data", str(file), *column, *item, *given]


def a_record(case: Case) -> list[str]:
    """A generated file whose record was changed."""
    draws, folder = case.draws, case.folder / "in"
    folder.mkdir()
    kind = draws.choice(("dcgan", "seqgan"))
    if kind == "dcgan":
        source = case.pick("generate-dcgan")
        with PIL.Image.open(source) as image:
            info = PIL.PngImagePlugin.PngInfo()
            found = mutated_json(draws, image.info["reverie"].encode())
            info.add_itxt("reverie", found.decode("utf-8", "replace"))
            image.save(folder / "made.png", pnginfo=info)
        file = folder / "made.png"
    else:
        file = folder / "lines.txt"
        for found in case.seeds.glob("lines.txt*"):
            change = mutated_json if found.suffix == ".json" else mutated_lines
            (folder / found.name).write_bytes(change(draws, found.read_bytes()))
    verify = ["--verify", str(case.seeds / kind)]
    return draws.choice([
        ["provenance", str(file), *verify], ["provenance", str(file)], ["provenance", str(file), "--json"],
    ])  # fmt: skip


def a_config(case: Case) -> list[str]:
    """A TOML file of options."""
    draws, file = case.draws, case.folder / "in.toml"
    options: dict[str, Any] = {
        "method": "dcgan:smoke", "data": "letters:48", "steps": 1, "batch_size": 4, "threads": 1,
        "config": {"size": 16, "lr": 0.001}, "train": {"seed": 3, "log_every": 1},
    }  # fmt: skip
    if draws.random() < 0.7:
        values = ["-1", "0", "nan", "inf", "1e999", "[]", "{}", '""', f'"{"x" * 5000}"', "true", "1979-05-27", "9" * 30,
                  "'''a\nb'''", '"\\u001b[31m"', "[[1]]", '"../../x"', "0x10", f'"{"n" * 300}"']  # fmt: skip
        changed = mutated_tree(draws, options, lambda: Raw(draws.choice(values)))
        data = toml(changed if isinstance(changed, dict) else options).encode("utf-8", "replace")
    else:
        data = mutated_bytes(draws, toml(options).encode())
    file.write_bytes(data)
    return ["train", "--config", str(file), "--out", str(case.out), *draws.choice(([], ["--dry-run"]))]


class Raw(str):
    """TOML as it is."""


def toml(tables: dict[str, Any]) -> str:
    """TOML of one level of tables."""

    def value(x: Any) -> str:
        return (
            x if isinstance(x, Raw) else "[" + ", ".join(map(value, x)) + "]" if isinstance(x, list) else json.dumps(x)
        )

    plain = [f"{json.dumps(k)} = {value(v)}" for k, v in tables.items() if not isinstance(v, dict)]
    for name, entries in tables.items():
        if isinstance(entries, dict):
            plain += [f"[{json.dumps(name)}]", *(f"{json.dumps(k)} = {value(v)}" for k, v in entries.items())]
    return "\n".join(plain) + "\n"


WORDS = [
    "-1", "0", "1", "nan", "inf", "-inf", "1e400", "9" * 30, "9" * 5000, "", " ", "x" * 5000,
    HOSTILE.replace("\x00", ""), "é✓字", "none", "true", "1,2", ",", "a,b", "--", "-", "../..",
    "/proc/nowhere/at/all", "n" * 300, "a/" * 300, "%s%n{0}", "1_0", "0x10", "1.5", "\ud800", "~", "*", "[a", "NaN",
    "1e9", "99999999", "2147483648",
]  # fmt: skip
"""values of options that somebody may type, paste or have a script give"""
ENDLESS = {"--steps", "--n", "-n", "--search", "--frames", "--iterations", "--per-class", "--bars", "--balance-to"}
"""options of how much is to be made: a large number of them is obeyed"""


def some_options(case: Case) -> list[str]:
    """Commands with odd values, odd names of flags, and words too many."""
    draws, out = case.draws, str(case.out)
    method = draws.choice(list(METHODS))
    data = METHODS[method]
    given = ["--steps", "1", "--batch-size", "4", "--threads", "1", "--out", out]
    image, tune = str(case.seeds / "images/grey.png"), str(case.seeds / "music/0.mid")
    commands = [
        ["train", f"{method}:smoke", "--data", data, *given],
        ["generate", str(case.seeds / draws.choice(("dcgan", "music_vae"))), "-n", "1", "--out", out],
        ["generate", str(case.seeds / "seqgan"), "-n", "1"],
        ["classify", str(case.seeds / "classifier"), image],
        ["continue", str(case.seeds / "music_vae"), tune, "--out", out],
        ["translate", str(case.seeds / "pix2pix"), image, "--out", out],
        ["data", "inspect", str(case.seeds / "images")], ["provenance", image], ["methods"],
        ["evaluate", str(case.seeds / "seqgan"), "--data", data, "-n", "64", "--metrics", "exact-match-rate"],
        ["export", str(case.seeds / "dcgan"), "--out", f"{out}/m.safetensors"],
        ["import", image, "--out", f"{out}/m.safetensors"],
        ["augment", "letters:48", "--out", out, "--run", str(case.seeds / "classifier")],
    ]  # fmt: skip
    words = draws.choice(commands)
    flags = flags_of(words, case)
    match draws.randrange(6):
        case 0:
            at = draws.randrange(len(words))
            words[at] = draws.choice(WORDS)
        case 1:
            words.insert(draws.randrange(len(words) + 1), draws.choice(WORDS))
        case 2:
            flag = draws.choice(flags)
            words.append(flag[:-1] if draws.random() < 0.5 else flag.replace("-", "_"))
        case _:
            flag = draws.choice([flag for flag in flags if flag not in ("-h", "--help")])
            value = draws.choice(WORDS)
            if flag in ENDLESS and re.fullmatch(r"[\d_e]{4,}", value.lower()):
                value = "-3"
            words += [f"{flag}={value}"] if draws.random() < 0.5 else [flag, value]
    if words[0] == "evaluate":  # it writes into the run
        words[1] = str(case.copy("seqgan")) if words[1] == str(case.seeds / "seqgan") else words[1]
    return words


FLAGS: dict[str, list[str]] = {}


def flags_of(words: list[str], case: Case) -> list[str]:
    """The flags of a command, as its help shows them."""
    key = " ".join(words[:2])
    if key not in FLAGS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main([*words, "--help"])
        FLAGS[key] = sorted(set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", printed.getvalue()))) or ["--help"]
    return FLAGS[key]


KINDS: dict[str, Callable[[Case], list[str]]] = {
    "run.json": a_run_json, "save.json": a_save_json, "log": a_log, "scores.json": a_scores_json,
    "weights": some_weights, "resume.pt": a_resume_pt, "image": an_image, "pair": a_pair, "zip": a_zip, "idx": an_idx,
    "tune": a_tune, "text": some_text, "record": a_record, "config": a_config, "options": some_options,
}  # fmt: skip


# -- the law -----------------------------------------------------------------------------------------------------------

LEAKS = re.compile(
    r"Traceback|Warning|\.py:\d|\[ ?WARN|OpenCV|cv::|libpng|libtiff|TIFFRead|terminate called|Exception|<frozen"
)
"""what libraries print, and what no user can use"""
STEERING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""what must not reach a terminal"""


class TooLong(BaseException):
    """An input took more than SECONDS."""


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """Inside, no more than SECONDS, and no more than MEMORY bytes of addresses on top of those that are held."""
    if sys.platform != "linux":
        yield
        return

    def stop(*_: Any) -> None:
        raise TooLong(f"more than {SECONDS} s")

    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, before[1]))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def stamps(*folders: Path) -> dict[Path, tuple[int, int]]:
    """Every file below, with its size and time. Locks come and go."""
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def outcome(words: list[str]) -> tuple[Any, str]:
    """(exit status, traceback or "") of a command."""
    try:
        with limits():
            return main(words), ""
    except SystemExit as stopped:  # argparse, after --help
        return stopped.code or 0, ""
    except BaseException as error:
        frames = [
            f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)[-6:]
        ]
        return None, f"{type(error).__name__}: {str(error)[:200]} in {', '.join(frames)}"


def offences(status: Any, trace: str, out: str, err: str) -> list[str]:
    """What of an outcome breaks the law."""
    found = [trace] if trace else []
    if not trace and status not in (0, 1, 2):
        found.append(f"exit status {status}")
    lines = err.splitlines()
    if status == 2 and not (lines and lines[-1].startswith("reverie: ")):
        found.append("status 2 without a message")
    if len(lines) > 30:
        found.append(f"{len(lines)} lines on stderr")
    found += [f"{len(line)} characters: {line[:200]}" for line in lines if len(line) > LONGEST]
    found += [f"leaked: {line[:300]}" for line in lines if LEAKS.search(line)]
    found += [f"steers the terminal: {text[max(0, m.start() - 80) :][:160]!r}" for text in (out, err)
              for m in [STEERING.search(text)] if m]  # fmt: skip
    if "not enough memory" in err:
        found.append(f"takes more than {MEMORY >> 20} MB: {lines[-1]}")
    return found


def try_inputs(
    kind: str, numbers: range, seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Gives these inputs of a kind to the command line, and fails with all that break the law."""
    broken = []
    for number in numbers:
        folder = tmp_path / str(number)
        here = folder / "here/a/b"
        here.mkdir(parents=True)
        monkeypatch.chdir(here)
        case = Case(random.Random(f"{kind} {number}"), seeds, folder)
        words = KINDS[kind](case)
        before = stamps(folder, seeds)
        capfd.readouterr()
        status, trace = outcome(words)
        out, err = capfd.readouterr()
        found = offences(status, trace, out, err)
        allowed = (case.out, folder / "here") if kind == "options" else (case.out,)
        changed = before.items() ^ stamps(folder, seeds).items()
        outside = sorted(
            {str(path) for path, _ in changed if not any(place in (path, *path.parents) for place in allowed)}
        )
        if outside:
            found.append(f"wrote {outside[:3]}")
        if found:
            shown = " ".join(word if len(word) < 100 else f"{word[:40]}...({len(word)})" for word in words)
            broken.append(f"{kind} {number}: {shown!r}\n  " + "\n  ".join(found))
        else:
            shutil.rmtree(folder)
    assert not broken, f"{len(broken)} of {len(numbers)}:\n" + "\n".join(broken)


@pytest.mark.parametrize("kind", list(KINDS))
def test_some_inputs(
    kind: str, seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    try_inputs(kind, range(QUICK), seeds, tmp_path, monkeypatch, capfd)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", list(KINDS))
def test_two_thousand_inputs(
    kind: str, seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    try_inputs(kind, range(ALL), seeds, tmp_path, monkeypatch, capfd)
