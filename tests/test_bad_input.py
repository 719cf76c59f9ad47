"""Wrong input: exit status 2, one line on stderr that says what, where and how to mend, and nothing written or lost."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import pickle
import shlex
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import safetensors.torch
import torch
from PIL.PngImagePlugin import PngInfo

import reverie
from reverie import UserError
from reverie.cli.main import main

Refuse = Callable[..., str]


# -- a workshop full of wrong things, made once ------------------------------------------------------------------------


class Payload:
    """Pickled, an instruction to make the folder `ran` wherever it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A folder with data/ of every bad kind, runs/ trained and damaged, and files of wrong kinds."""
    place = tmp_path_factory.mktemp("shop")
    before = Path.cwd()
    os.chdir(place)  # the payloads name no path, and data is given by relative paths
    try:
        _bad_data(Path("data"))
        for method in ("vae", "dcgan", "classifier"):
            assert main(f"train {method}:smoke --data letters:64 --out runs/{method} --threads 1".split()) == 0
        assert main(shlex.split("train vae:smoke --data data/photos --out runs/own --batch-size 4 --steps 2")) == 0
        assert main(shlex.split("generate runs/vae -n 2 --out made")) == 0
        _bad_runs()
        _bad_files()
    finally:
        os.chdir(before)
    return place


def noise_image(path: Path, seed: int, side: int = 24) -> None:
    """A grey image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    PIL.Image.fromarray(pixels).save(path)


def _bad_data(data: Path) -> None:
    for i in range(4):
        noise_image(data / f"photos/{i}.png", i)
        noise_image(data / f"tiny/{i}.png", i, side=3)
    noise_image(data / "one/a.png", 0)
    (data / "empty").mkdir()
    (data / "words").mkdir()
    (data / "words/notes.txt").write_text("not an image")
    (data / "lies").mkdir()
    (data / "lies/a.png").write_text("I am text, whatever my name")
    (data / "cut").mkdir()
    for i in range(2):
        whole = io.BytesIO()
        PIL.Image.effect_noise((64, 64), 50 + i).convert("RGB").save(whole, "JPEG")
        (data / f"cut/{i}.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (data / "bomb").mkdir()
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    (data / "bomb/b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    (data / "no.zip").write_text("this is no zip")
    with zipfile.ZipFile(data / "whole.zip", "w") as file:
        for i in range(4):
            file.write(data / f"photos/{i}.png", f"{i}.png")
    (data / "cut.zip").write_bytes((data / "whole.zip").read_bytes()[:-100])
    with zipfile.ZipFile(data / "climbs.zip", "w") as file:
        file.writestr("../evil.png", b"not an image")
        file.writestr(f"{data.resolve().as_posix()}/absolute-evil.png", b"not an image")
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 12), np.uint8)
    idx = b"\0\0\x08\x03" + struct.pack(">III", *images.shape) + images.tobytes()
    counts = {"cutidx": 8, "miscounted": 5, "nolabels": 0, "oneclass": 8}
    for name, labels in counts.items():
        pixels = idx[:-50] if name == "cutidx" else idx
        (data / name).mkdir()
        (data / name / "train-images-idx3-ubyte").write_bytes(pixels)
        if labels:
            found = b"\0\0\x08\x01" + struct.pack(">I", labels) + bytes(labels)
            (data / name / "train-labels-idx1-ubyte").write_bytes(found)


def _copy(name: str, of: str = "vae") -> Path:
    """A run to damage, without its previous save."""
    run = Path("runs") / name
    shutil.copytree(Path("runs") / of, run)
    shutil.rmtree(run / "previous", ignore_errors=True)
    return run


def _sign(run: Path) -> None:
    """Makes the checksums agree with the files, as an attacker would."""
    found = json.loads((run / "save.json").read_text())
    found["sha256"] = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in found["sha256"]}
    (run / "save.json").write_text(json.dumps(found))


def _rewrite(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    about = json.loads((run / "run.json").read_text())
    change(about)
    (run / "run.json").write_text(json.dumps(about))


def _weights(path: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], Any]) -> None:
    """The vae's weights file with its header or its tensors changed."""
    source = Path("runs/vae/weights.safetensors").read_bytes()
    found = json.loads(source[8 : 8 + int.from_bytes(source[:8], "little")])
    header, tensors = json.loads(found["__metadata__"]["reverie"]), safetensors.torch.load(source)
    change(header, tensors)
    path.write_bytes(safetensors.torch.save(tensors, {"reverie": json.dumps(header)}))


def _bad_runs() -> None:
    (_copy("broken") / "run.json").write_text('{"method": "vae", "conf')
    (_copy("list") / "run.json").write_text("[1, 2]")
    _rewrite(_copy("nomethod"), lambda about: about.pop("method"))
    _rewrite(_copy("textconfig"), lambda about: about.update(config="size 16"))
    _rewrite(_copy("othermethod"), lambda about: about.update(method="vaee"))
    _rewrite(_copy("otherfield"), lambda about: about["config"].update(base_chanels=3))
    _rewrite(_copy("othertype"), lambda about: about["config"].update(base_channels="wide"))
    _rewrite(_copy("stranger"), lambda about: about["data"].pop("fingerprint"))
    _copy("changed", "own")
    _rewrite(Path("runs/changed"), lambda about: about["data"].update(path="../../data/others"))
    for i in range(3):
        noise_image(Path(f"data/others/{i}.png"), 10 + i)
    _rewrite(_copy("gone", "own"), lambda about: about["data"].update(path="../../data/nowhere", spec="nowhere"))
    for name in ("save.json", "resume.pt", "weights.safetensors"):
        (_copy("nosave") if name == "save.json" else Path("runs/nosave")).joinpath(name).unlink()
    for file in ("weights.safetensors", "resume.pt"):
        run = _copy(f"torn-{file.split('.')[0]}")
        (run / file).write_bytes((run / file).read_bytes()[:-10])
    (_copy("listsave") / "save.json").write_text('{"step": 20, "sha256": ["a"]}')
    run = _copy("pickled")
    torch.save({"step": 20, "method": Payload()}, run / "resume.pt")
    _sign(run)
    run = _copy("emptystate")
    torch.save({"step": 20}, run / "resume.pt")
    _sign(run)
    run = _copy("pickledweights")
    torch.save({"w": Payload()}, run / "weights.safetensors")
    _sign(run)


def _bad_files() -> None:
    torch.save({"w": Payload()}, "pickle.safetensors")
    _weights(Path("method.safetensors"), lambda h, t: h.update(method="vaee"))
    _weights(Path("listmethod.safetensors"), lambda h, t: h.update(method=["vae"]))
    _weights(Path("field.safetensors"), lambda h, t: h["config"].update(latnet=8))
    _weights(Path("value.safetensors"), lambda h, t: h["config"].update(latent_dim=0))
    _weights(Path("config.safetensors"), lambda h, t: h.update(config=[1]))
    _weights(Path("width.safetensors"), lambda h, t: h["config"].update(base_channels=9))
    _weights(Path("lacks.safetensors"), lambda h, t: t.pop(next(iter(t))))
    safetensors.torch.save_file({"w": torch.zeros(2)}, "others.safetensors")
    Path("text.txt").write_text("plain words")
    Path("folder/inside").mkdir(parents=True)
    Path("folder/inside/keep.txt").write_text("mine")
    PIL.Image.new("L", (8, 8)).save("plain.png")
    PIL.Image.new("L", (8, 8)).save("photo.jpg")
    good = {"method": "vae", "verb": "generate", "arguments": {"n": 1, "seed": 0}, "index": 0}
    with PIL.Image.open("made/000000.png") as file:
        good["run"] = json.loads(file.text["reverie"])["run"]
    records = {
        "broken": "{not json", "number": "3",
        "arguments": json.dumps({**good, "arguments": ["n"]}),
        "inputs": json.dumps({**good, "inputs": "photo"}),
        "grid": json.dumps({**good, "grid": {"images": "all"}}),
        "index": json.dumps({**good, "index": "first"}),
        "far": json.dumps({**good, "index": 7}),
        "verb": json.dumps({**good, "verb": "eval"}),
        "option": json.dumps({**good, "arguments": {"m": 1}}),
        "unmatched": json.dumps({**good, "verb": "reconstruct", "arguments": {},
                             "inputs": [{"name": "cat.png", "digest": "0" * 16}]}),
        "digest": json.dumps({**good, "inputs": [{"name": "cat.png", "digest": 0}]}),
        "lines": json.dumps({"arguments": {}, "index": 0, "lines": 5}),
        "line": json.dumps({**good, "lines": [{"index": 0, "digest": "0" * 16}]}),
        "imported": json.dumps({**good, "imported": 7}),
        "tunes": json.dumps({**good, "tunes": "all"}),
        "tune": json.dumps({**good, "tunes": 1}),
        "deep": '{"arguments":' + "[" * 100_000,
        "code": json.dumps({**good, "verb": "encode", "arguments": {}}),
        "sources": json.dumps({**good, "inputs": [{"name": "cat.png", "digest": "0" * 16}]}),
        "none": json.dumps({**good, "verb": "reconstruct", "arguments": {"images": ""}}),
        "lies": json.dumps({**good, "verb": "generate\nverified   yes: made again\x1b[8m"}),
    }  # fmt: skip
    for name, text in records.items():
        info = PngInfo()
        info.add_itxt("reverie", text)
        PIL.Image.new("L", (16, 16)).save(f"record-{name}.png", pnginfo=info)
    Path("cut.png").write_bytes(Path("made/000000.png").read_bytes()[:60])
    shutil.copy("made/000000.png", "there.png")
    shutil.copy("runs/vae/weights.safetensors", "there.safetensors")


# -- the promise -------------------------------------------------------------------------------------------------------


def contents(place: Path) -> dict[str, str]:
    """Every file and folder below, with the hash of what is in it. (Locks come and go.)"""
    found = sorted(path for path in place.rglob("*") if path.name != ".lock")
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in found
    }


def check_line(status: int, out: str, err: str, needs: tuple[str, ...]) -> str:
    """Status 2, nothing on stdout, on stderr one line "reverie: ..." with all of `needs` in it."""
    assert status == 2
    assert out == ""
    assert err.startswith("reverie: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, "more than one line"
    assert "Traceback" not in err
    assert "Error" not in err, "the name of an exception is no help"
    missing = [need for need in needs if need.lower() not in err.lower()]
    assert not missing, f"{missing} not in: {err}"
    return err


@pytest.fixture
def refuse(shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Runs a command in the shop that must be refused, and returns its line."""
    monkeypatch.chdir(shop)
    monkeypatch.delenv("RANK", raising=False)

    def act(words: str, *needs: str) -> str:
        before = contents(shop)
        capsys.readouterr()
        status = main(shlex.split(words))
        found = capsys.readouterr()
        line = check_line(status, found.out, found.err, needs)
        assert contents(shop) == before, "something was written or lost"
        return line

    return act


# -- the cases: a command, and the words its line must hold ------------------------------------------------------------

LEARN = "train vae:smoke --out new --data"
COMMANDS = [
    ("trian vae", "no command 'trian'", "Did you mean 'train'"),
    ("generat runs/vae", "no command 'generat'", "Did you mean 'generate'"),
    ("sculpt runs/vae", "no command 'sculpt'", "--help"),
    ("--verson", "no command '--verson'", "--version"),
    ("data inspct data/photos", "no command 'inspct'", "Did you mean 'inspect'"),
    ("data paint", "no command 'paint'", "inspect"),
    ("data inspect", "PATH", "data inspect --help"),
    ("data inspect data/nowhere", "no such path", "data/nowhere"),
    ("methods --jsn", "no flag '--jsn'", "Did you mean '--json'"),
    ("methods vae", "what to do with 'vae'", "methods --help"),
    ("demo --ot x", "no flag '--ot'", "Did you mean '--out'"),
]
DATA = [
    (f"{LEARN} leters", "leters", "Did you mean 'letters'", "no such path"),
    (f"{LEARN} letters:many", "'many'", "number of images", "letters:5000"),
    (f"{LEARN} letters:0", "'0'", "number of images"),
    (f"{LEARN} data/nowhere", "data/nowhere", "no such path", "letters"),
    (f"{LEARN} ''", "--data"),
    (f"{LEARN} data/empty", "data/empty", "empty", "give a folder"),
    (f"{LEARN} data/words", "data/words", "no images", "JPEG, PNG"),
    (f"{LEARN} data/one", "data/one", "one usable item", "2 or more"),
    (f"{LEARN} letters:1", "letters:1", "one usable item", "2 or more"),
    (f"{LEARN} data/tiny", "data/tiny", "none of the 4 images", "smaller than 4 pixels"),
    (f"{LEARN} data/lies", "data/lies", "not an image", "a.png"),
    (f"{LEARN} data/cut", "data/cut", "truncated", "0.jpg"),
    (f"{LEARN} data/bomb", "data/bomb", "more than 100 megapixels", "b.png"),
    (f"{LEARN} data/no.zip", "data/no.zip", "cannot open", "again"),
    (f"{LEARN} data/cut.zip", "data/cut.zip", "truncated", "again"),
    (f"{LEARN} data/climbs.zip", "data/climbs.zip", "not an image"),
    (f"{LEARN} data/photos/0.png", "data/photos/0.png", "folder"),
    (f"{LEARN} text.txt", "text.txt holds text", "no images"),
    (f"{LEARN} data/cutidx", "train-images-idx3-ubyte", "truncated", "again"),
    (f"{LEARN} data/cutidx/train-images-idx3-ubyte", "train-images-idx3-ubyte", "truncated", "again"),
    (f"{LEARN} data/miscounted", "train-labels-idx1-ubyte", "5 labels for 8 images"),
    (f"{LEARN} data/miscounted/train-labels-idx1-ubyte", "labels", "images-idx3-ubyte"),
]
VAE, DCGAN = "train vae:smoke --data letters:64 --out new", "train dcgan:smoke --data letters:64 --out new"
CLASSIFIER = "train classifier:smoke --data letters:64 --out new"
TRAIN = [
    ("train", "METHOD", "train --help"),
    ("train --data data/ok --out runs/new", "METHOD", "train --help"),
    ("train upscale --data data/ok --out runs/new", "no method 'upscale'", "srgan"),
    ("train dcgna --data letters:64 --out new", "no method 'dcgna'", "Did you mean 'dcgan'"),
    ("train pixels --data letters:64 --out new", "no method 'pixels'", "dcgan, ", "music_vae, "),
    ("train ../cli --data letters:64 --out new", "no method '../cli'", "dcgan, ", "music_vae, "),
    ("train vae:smok --data letters:64 --out new", "no preset 'smok'", "Did you mean 'smoke'"),
    ("train vae:huge --data letters:64 --out new", "no preset 'huge'", "laptop"),
    (f"{VAE} --stpes 3", "no flag '--stpes'", "Did you mean '--steps'"),
    (f"{VAE} --r1-weight 3", "no flag '--r1-weight'", "--help"),
    (f"{VAE} --step", "no flag '--step'", "Did you mean '--steps'"),
    (f"{VAE} --steps 3 --steps 4", "--steps is given twice, as 3 and as 4", "give it once"),
    (f"{VAE} --data a --out b", "--data is given twice", "give it once"),
    (f"{VAE} --hflip --no-hflip", "--hflip and --no-hflip are both given", "give one of them"),
    (f"{VAE} --checkpoint_every 3", "no flag '--checkpoint_every'", "Did you mean '--checkpoint-every'"),
    (f"{VAE} extra", "'extra'", "train --help"),
    (f"{VAE} --steps", "--steps", "expected one argument"),
    (f"{VAE} --steps ten", "--steps is 'ten'", "a whole number"),
    (f"{VAE} --steps 1.5", "--steps is '1.5'", "a whole number"),
    (f"{VAE} --steps 0", "steps is 0", "1 or more"),
    (f"{VAE} --steps -5", "steps is -5", "1 or more"),
    (f"{VAE} --lr nan", "--lr is 'nan'", "a finite number"),
    (f"{VAE} --lr inf", "--lr is 'inf'", "a finite number"),
    (f"{VAE} --lr fast", "--lr is 'fast'", "a finite number"),
    (f"{VAE} --lr -1", "--lr is -1", "above 0"),
    (f"{DCGAN} --lr 0", "--lr is 0", "above 0"),
    (f"{VAE} --eps 0", "--eps is 0", "above 0"),
    (f"{DCGAN} --beta1 1", "beta1", "below 1"),
    (f"{DCGAN} --r1-weight -1 --norm none", "--r1-weight is -1", "0 or more"),
    (f"{DCGAN} --ema-decay 1", "--ema-decay is 1.0", "from 0 to below 1"),
    (f"{DCGAN} --d-steps-per-g 0", "--d-steps-per-g is 0", "1 or more"),
    (f"{VAE} --size big", "--size is 'big'", "a whole number"),
    (f"{VAE} --size 7", "size is 7", "8 or more"),
    (f"{DCGAN} --size 20", "size is 20", "16, 32, 64"),
    (f"{DCGAN} --size 4096", "4096", "2048"),
    (f"{VAE} --channels 2", "channels", "1 (grey) or 3", "2"),
    (f"{VAE} --batch-size 0", "--batch-size is 0", "1 or more"),
    (f"{VAE} --checkpoint-every 0", "--checkpoint-every is 0", "1 or more"),
    (f"{VAE} --seed -1", "seed is -1", "from 0"),
    (f"{VAE} --seed 9999999999999999999999", "seed is 9999999999999999999999", "from 0 to 9223372036854775807"),
    (f"{VAE} --threads -1", "threads is -1", "from 0 to 1024"),
    (f"{VAE} --threads 99999999999", "threads is 99999999999", "from 0 to 1024"),
    (f"{VAE} --device nonsense", "device 'nonsense'", "--device cpu"),
    (f"{VAE} --device meta", "device 'meta'", "--device cpu"),
    (f"{VAE} --precision fp16", "'fp16'", "fp32", "bf16"),
    (f"{DCGAN} --loss foo", "--loss is 'foo'", "nonsaturating", "hinge"),
    (f"{VAE} --likelihood x", "--likelihood is 'x'", "logistic", "bernoulli"),
    (f"{DCGAN} --hflip=maybe", "--hflip", "maybe"),
    (f"{DCGAN} --r1-weight 1", "r1_weight", "norm 'batch'", "--norm spectral or none"),
    (f"{DCGAN} --loss wasserstein --norm none", "wasserstein", "--gp-weight 10"),
    (f"{VAE} --iwae-samples 5 --beta 2", "iwae_samples above 1", "beta at 1"),
    (f"{VAE} --iwae-samples 5 --free-nats 1", "iwae_samples above 1", "free_nats and kl_warmup_steps at 0"),
    (f"{VAE} --beta -1", "--beta is -1", "0 or more"),
    ("train classifier:smoke --data data/photos --out new", "data/photos has no labels", "a folder of its own"),
    ("train classifier:smoke --data data/oneclass --out new", "one class", "2 or more"),
    (f"{CLASSIFIER} --class-names A,B", "names are A, B, C", "leave the option away"),
    (f"{CLASSIFIER} --size 7", "size is 7", "8 or more"),
    (f"{CLASSIFIER} --blocks 0", "blocks", "1 or more"),
    (f"{CLASSIFIER} --stride 3", "--stride is '3'", "one of '1', '2'"),
    (f"{CLASSIFIER} --lr 0", "--lr is 0", "above 0"),
    (f"{CLASSIFIER} --label-smoothing 1", "--label-smoothing is 1.0", "from 0 to below 1"),
    (f"{CLASSIFIER} --shift -0.1", "shift is -0.1", "0 to 0.5"),
    (f"{VAE} --shift 0.6", "shift is 0.6", "0 to 0.5"),
    (f"{CLASSIFIER} --ema-decay 1", "--ema-decay is 1.0", "from 0 to below 1"),
    (
        "train cyclegan:smoke --data data/photos,data/photos --out new --n-layers-d 3",
        "16 pixels a side are too small",
        "24 or more",
        "--size, or --n-layers-d 2",
    ),
    ("train bigan:paper --data letters:64 --out new --batch-size 1", "batch_size is 1", "batch norm", "2 or more"),
    ("train vae:smoke --out new", "--data", "FOLDER"),
    ("train vae:smoke --data letters:64", "--out", "runs/NAME"),
    ("train vae:smoke --data letters:64 --out ''", "--out", "runs/NAME"),
    ("train --out new --data letters:64 vae:smoke --steps 0", "steps is 0"),
    ("train vae:smoke --data letters:64 --out runs/vae", "already holds a run", "reverie resume runs/vae"),
    ("train vae:smoke --data letters:64 --out folder", "folder is not an empty folder", "inside", "another --out"),
    ("train vae:smoke --data letters:64 --out text.txt", "text.txt", "a file", "another --out"),
    ("train vae:smoke --data letters:64 --out text.txt/below", "text.txt/below", "cannot be written", "check the path"),
]
RESUME = [
    ("resume", "RUN", "resume --help"),
    ("resume runs/nowhere", "no run folder runs/nowhere", "reverie train"),
    ("resume text.txt", "no run folder text.txt", "reverie train"),
    ("resume data/empty", "data/empty is not a run folder", "run.json"),
    ("resume runs/broken", "runs/broken/run.json", "cannot be read", "restore"),
    ("resume runs/list", "runs/list/run.json", "cannot be read", "restore"),
    ("resume runs/nomethod", "runs/nomethod/run.json", "method", "restore"),
    ("resume runs/textconfig", "runs/textconfig/run.json", "config", "restore"),
    ("resume runs/othermethod", "runs/othermethod/run.json", "no method 'vaee'", "Did you mean 'vae'"),
    ("resume runs/otherfield", "runs/otherfield/run.json", "no option 'base_chanels'", "Did you mean 'base_channels'"),
    ("resume runs/othertype", "runs/othertype/run.json", "base_channels is 'wide'", "a whole number"),
    ("resume runs/gone --on-failure stopp", "--on-failure is 'stopp'", "one of 'warn', 'stop', 'rollback'"),
    ("resume runs/gone", "data of runs/gone", "not at", "data/nowhere", "--data"),
    ("resume runs/changed", "data/others", "fingerprint", "not what runs/changed began with", "--data"),
    ("resume runs/own --data letters:64", "letters:64", "fingerprint", "not what runs/own began with"),
    ("resume runs/own --data data/nowhere", "data/nowhere", "no such path"),
    ("resume runs/vae --steps 0", "steps is 0", "1 or more"),
    ("resume runs/vae --steps 5", "step 20 already", "--steps 20 or more"),
    ("resume runs/vae --steps more", "--steps is 'more'", "a whole number"),
    ("resume runs/vae --latent-dim 1", "resume cannot change latent_dim", "train vae --from runs/vae"),
    ("resume runs/vae --device nonsense", "device 'nonsense'", "--device cpu"),
    ("resume runs/torn-resume", "runs/torn-resume/resume.pt", "damaged", "restore"),
    ("resume runs/torn-weights", "runs/torn-weights/weights.safetensors", "damaged", "restore"),
    ("resume runs/stranger", "runs/stranger/run.json", "cannot be read", "restore"),
    ("resume runs/listsave", "runs/listsave/save.json", "damaged", "restore"),
    ("resume runs/pickled", "runs/pickled/resume.pt", "not a checkpoint of reverie", "nothing was run"),
    ("resume runs/emptystate", "runs/emptystate", "resume.pt", "does not fit", "restore"),
    ("resume runs/pickledweights", "runs/pickledweights", "not a weights file", "restore"),
]
VERBS = [
    ("generate", "RUN", "generate --help"),
    ("generate runs/nowhere --out new", "no run folder runs/nowhere", "reverie train"),
    ("generate data/empty --out new", "data/empty is not a run folder", "--out"),
    ("export runs/nosave --out new.safetensors", "runs/nosave has no checkpoint yet", "reverie resume runs/nosave"),
    ("generate runs/nosave --out new", "runs/nosave has no checkpoint yet", "reverie resume runs/nosave"),
    ("generate runs/torn-weights --out new", "runs/torn-weights/weights.safetensors", "damaged", "restore"),
    ("generate runs/listsave --out new", "runs/listsave/save.json", "damaged", "restore"),
    ("generate runs/pickledweights --out new", "runs/pickledweights", "not a weights file", "restore"),
    ("generate text.txt --out new", "text.txt is not a weights file", "give a run folder"),
    ("generate pickle.safetensors --out new", "pickle.safetensors is not a weights file", "give a run folder"),
    ("generate others.safetensors --out new", "others.safetensors is not a weights file", "give a run folder"),
    ("generate listmethod.safetensors --out new", "listmethod.safetensors is not a weights file", "give a run folder"),
    ("generate config.safetensors --out new", "config.safetensors is not a weights file", "give a run folder"),
    ("generate method.safetensors --out new", "method.safetensors", "no method 'vaee'", "Did you mean 'vae'"),
    ("generate field.safetensors --out new", "field.safetensors", "no option 'latnet'", "Did you mean 'latent_dim'"),
    ("generate value.safetensors --out new", "value.safetensors", "latent", "1 or more"),
    ("generate width.safetensors --out new", "width.safetensors", "does not fit its own config", "restore"),
    ("generate lacks.safetensors --out new", "lacks.safetensors", "does not fit its own config", "restore"),
    ("generate runs/vae", "--out", "folder", ".png"),
    ("generate runs/vae --out ''", "--out", "folder", ".png"),
    ("generate runs/vae --out new -n 0", "n is 0", "1 or more"),
    ("generate runs/vae --out new -n -3", "n is -3", "1 or more"),
    ("generate runs/vae --out new.png -n -3", "n is -3", "1 or more"),
    ("generate runs/vae --out new -n text", "n is 'text'", "a whole number"),
    ("generate runs/dcgan --out new -n", "-n", "expected one argument"),
    ("generate runs/vae --out new --seed -1", "seed is -1", "from 0"),
    ("generate runs/vae --out new --seed 99999999999999999999", "seed is 99999999999999999999", "2^63"),
    ("generate runs/vae --out new --sed 1", "no flag '--sed'", "Did you mean '--seed'"),
    ("generate runs/vae photo.jpg --out new", "what to do with 'photo.jpg'", "generate --help"),
    ("generate runs/vae --out new --shard 3/2", "--shard is '3/2'", "I/N", "2/5"),
    ("generate runs/vae --out new --shard 0/2", "--shard is '0/2'", "from 1"),
    ("generate runs/vae --out new --shard x", "--shard is 'x'", "2/5"),
    ("reconstruct runs/vae photo.jpg --out new --shard 1/2", "no flag '--shard'", "reconstruct --help"),
    ("interpolate runs/dcgan --out new --frames 0", "frames is 0", "1 or more"),
    ("interpolate runs/dcgan --out new -n -2 --frames -2", "n is -2", "1 or more"),
    ("interpolate runs/vae photo.jpg --out new", "got one", "two or more"),
    ("interpolate runs/dcgan photo.jpg plain.png --out new", "what to do with", "photo.jpg"),
    ("generate runs/vae --out new.jpg", "new.jpg", "folder", ".png"),
    ("generate runs/vae --out new.mp3", "new.mp3", "folder", ".png"),
    ("generate runs/vae --out text.txt", "text.txt", "folder", ".png"),
    ("generate runs/vae --out text.txt/below", "text.txt/below", "cannot be written", "check the path"),
    ("generate runs/vae --out text.txt/below.png", "text.txt/below.png", "cannot be written", "check the path"),
    ("generate runs/vae -n 2 --seed 1 --out made", "made/000000.png is there already", "--overwrite"),
    ("generate runs/vae -n 2 --out there.png", "there.png is there already", "--overwrite"),
    ("reconstruct runs/vae --out new", "needs images", "FILE"),
    ("reconstruct photo.jpg --out new", "needs a run before photo.jpg", "reconstruct RUN photo.jpg"),
    ("reconstruct runs/vae nowhere.jpg --out new", "no image at nowhere.jpg", "give image files"),
    ("reconstruct runs/vae photo.jpg nowhere.jpg --out new", "no image at nowhere.jpg", "give image files"),
    ("reconstruct runs/vae text.txt --out new", "text.txt is not a usable image", "give another"),
    ("reconstruct runs/vae data/empty --out new", "no image at data/empty", "folder"),
    ("reconstruct runs/vae data/words --out new", "no image at data/words", "folder"),
    ("reconstruct runs/vae data/bomb/b.png --out new", "b.png", "100 megapixels"),
    ("reconstruct runs/vae data/cut/0.jpg --out new", "0.jpg", "truncated"),
    ("reconstruct runs/dcgan photo.jpg --iterations -1 --out new", "iterations is -1", "0"),
    ("classify runs/vae photo.jpg", "vae cannot classify", "generate"),
    ("classify runs/classifier", "needs images", "FILE"),
    ("classify runs/classifier nowhere.jpg", "no image at nowhere.jpg", "give image files"),
    ("classify runs/classifier photo.jpg -n 3", "no flag '-n'", "classify --help"),
    ("generate runs/classifier --out new", "classifier cannot generate", "classify"),
]
PROVENANCE = [
    ("provenance", "FILE", "provenance --help"),
    ("provenance nowhere.png", "no file nowhere.png", "generated image"),
    ("provenance made", "no file made", "generated image"),
    ("provenance text.txt", "text.txt carries no record", "text.txt.json"),
    ("provenance cut.png", "cut.png", "PNG"),
    ("provenance data/bomb/b.png", "b.png", "PNG"),
    ("provenance plain.png", "plain.png carries no record", "not generated here"),
    ("provenance photo.jpg", "photo.jpg carries no record", "not generated here"),
    ("provenance plain.png --verify runs/vae", "plain.png carries no record"),
    ("provenance record-broken.png", "record-broken.png carries no record"),
    ("provenance record-number.png", "record-number.png carries no record"),
    ("provenance record-arguments.png", "record-arguments.png carries no record"),
    ("provenance record-inputs.png", "record-inputs.png carries no record"),
    ("provenance record-grid.png --verify runs/vae", "record-grid.png carries no record"),
    ("provenance record-index.png --verify runs/vae", "record-index.png carries no record"),
    ("provenance record-far.png --verify runs/vae", "no item 7 among 1"),
    ("provenance record-verb.png --verify runs/vae", "vae cannot eval", "generate"),
    ("provenance record-option.png --verify runs/vae", "generate has no option 'm'"),
    ("provenance record-unmatched.png --verify runs/vae", "cat.png", "--inputs"),
    *[
        (f"provenance record-{name}.png", f"record-{name}.png carries no record")
        for name in ("digest", "lines", "line", "imported", "tunes", "deep")
    ],
    ("provenance record-tune.png --verify runs/vae", "names generate, which cannot make such a file", "as it was made"),
    ("provenance record-code.png --verify runs/vae", "names encode, which cannot"),
    ("provenance record-sources.png --verify runs/vae", "names generate, which cannot"),
    ("provenance record-none.png --verify runs/vae", "reconstruct needs 'images'"),
    ("provenance record-lies.png --verify runs/vae", "vae cannot generate verified yes: made again\\x1b[8m; it can"),
    ("provenance made/000000.png --verify runs/nowhere", "no run folder runs/nowhere"),
    ("provenance made/000000.png --verify", "--verify", "expected one argument"),
    ("provenance made/000000.png --verify runs/vae --inputs nowhere.png", "no image at nowhere.png"),
]
EXPORT = [
    ("export", "RUN", "export --help"),
    ("export runs/vae", "--out", "model.safetensors"),
    ("export runs/vae --format onx --out new.safetensors", "no export format 'onx'", "safetensors"),
    ("export runs/vae --format safetensor --out new.safetensors", "'safetensor'", "Did you mean 'safetensors'"),
    ("export runs/vae --out new.onnx", "new.onnx", "new.safetensors"),
    ("export runs/vae --out new", "cannot write new", "new.safetensors"),
    ("export runs/vae --out there.safetensors", "there.safetensors is there already", "another --out"),
    ("export runs/vae --out text.txt/new.safetensors", "text.txt", "cannot be written"),
    ("export runs/nowhere --out new.safetensors", "no run folder runs/nowhere"),
    ("export runs/nosave --out new.safetensors", "runs/nosave", "save"),
    ("export runs/torn-weights --out new.safetensors", "runs/torn-weights", "damaged", "restore"),
    ("export pickle.safetensors --out new.safetensors", "pickle.safetensors is not a weights file"),
    ("export text.txt --out new.safetensors", "text.txt is not a weights file"),
]
SCORE = "evaluate runs/vae --data letters:64"
EVALUATE = [
    ("evaluate", "RUN", "evaluate --help"),
    ("evaluate runs/vae", "--data", "FOLDER"),
    ("evaluate runs/nowhere --data letters:64", "no run folder runs/nowhere", "reverie train"),
    ("evaluate runs/nosave --data letters:64", "runs/nosave has no checkpoint yet", "reverie resume runs/nosave"),
    ("evaluate runs/torn-weights --data letters:64", "weights.safetensors", "damaged", "restore"),
    ("evaluate runs/pickledweights --data letters:64", "not a weights file", "restore"),
    ("evaluate data/empty --data letters:64", "data/empty holds no images, and is not a run folder", "give one"),
    ("evaluate text.txt --data letters:64", "text.txt is not a weights file", "give a run folder"),
    ("evaluate data/photos --data letters:64", "4 images are too few to score", "64 or more"),
    ("evaluate data/lies --data letters:64", "a.png", "not a usable image"),
    (f"{SCORE} -n 10", "10 images are too few to score", "64 or more"),
    (f"{SCORE} -n 0", "0 images are too few to score", "64 or more"),
    (f"{SCORE} -n many", "n is 'many'", "a whole number"),
    (f"{SCORE} --seed -1", "seed is -1", "from 0"),
    (f"{SCORE} --split val", "no split 'val'", "train, test"),
    (f"{SCORE} --split tset", "no split 'tset'", "Did you mean 'test'"),
    (f"{SCORE} --k 0", "k is 0", "1 or more"),
    (f"{SCORE} --metrics fid --k 0", "k is 0", "1 or more"),  # which does not use it
    (f"{SCORE} --kk 3", "no flag '--kk'", "Did you mean '--k'"),
    (f"{SCORE} --features nowhere.safetensors", "nowhere.safetensors"),
    (f"{SCORE} --features text.txt", "text.txt"),
    (f"{SCORE} --features pickle.safetensors", "pickle.safetensors"),
    (f"{SCORE} --features runs/dcgan", "runs/dcgan", "which is not a classifier"),
    *[(f"{SCORE} -n {n}", f"{n} images do not fit into memory", "-n 5000") for n in (3 * 10**12, 10**25)],
    ("evaluate runs/dcgan --data letters:64 --k 3", "no flag '--k'"),
    ("evaluate runs/vae --data letters:nine", "'nine'", "number of images"),
    ("evaluate runs/vae --data data/nowhere", "data/nowhere", "no such path"),
    ("evaluate runs/vae --data data/one", "holds 1 usable images", "4 or more"),
    ("evaluate runs/vae --data data/nolabels", "the reference has another size", "12 pixels", "has 16"),
    ("evaluate runs/classifier --data data/photos", "data/photos has no labels", "a folder of its own"),
]
CASES = [*COMMANDS, *DATA, *TRAIN, *RESUME, *VERBS, *PROVENANCE, *EXPORT, *EVALUATE]


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_wrong_input_is_refused_in_one_line(refuse: Refuse, shop: Path, case: tuple[str, ...]) -> None:
    assert len(case) > 1, "a case without words to find says nothing"
    try:
        refuse(*case)
        assert not (shop / "ran").exists(), "a pickle was run"
    finally:
        shutil.rmtree(shop / "ran", ignore_errors=True)  # else the next case would be blamed for it


# -- what needs more than a line in the table --------------------------------------------------------------------------


def test_the_payload_would_run_where_it_is_unpickled(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # else the cases with a pickle could not fail
    monkeypatch.chdir(shop)
    for file in ("pickle.safetensors", "runs/pickled/resume.pt", "runs/pickledweights/weights.safetensors"):
        torch.load(io.BytesIO(Path(file).read_bytes()), weights_only=False)
        Path("ran").rmdir()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(io.BytesIO(Path("pickle.safetensors").read_bytes()), weights_only=True)


def test_the_good_that_the_bad_was_made_from_is_taken(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # else a case might be refused for another reason than its own
    monkeypatch.chdir(shop)
    for data in ("data/whole.zip", "data/nolabels", "data/nolabels/train-images-idx3-ubyte", "data/photos"):
        assert len(reverie.open_data(data)) in (4, 8)
    _weights(shop / "same.safetensors", lambda header, tensors: None)
    assert len(reverie.load("same.safetensors").generate(n=1)) == 1
    (shop / "same.safetensors").unlink()
    assert main(["resume", "runs/own"]) == 0


def test_names_in_a_zip_never_touch_the_disk(refuse: Refuse, shop: Path) -> None:
    refuse("data inspect data/climbs.zip", "data/climbs.zip", "not an image")
    assert not list(shop.parent.rglob("*evil.png"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_where_there_is_none(refuse: Refuse) -> None:
    for device in ("cuda", "cuda:1"):
        refuse(f"{VAE} --device {device}", f"device '{device}'", "--device cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nobody can write in /proc on Linux, not even root")
@pytest.mark.parametrize(
    "words", ["train vae:smoke --data letters:64", "generate runs/vae", "export runs/vae --format safetensors"]
)
def test_a_place_nobody_can_write_to(refuse: Refuse, words: str) -> None:
    out = "/proc/new.safetensors" if words.startswith("export") else "/proc/new"
    refuse(f"{words} --out {out}", out, "cannot be written", "check the path")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(refuse: Refuse, shop: Path) -> None:
    (shop / "locked").mkdir(mode=0o500)
    try:
        refuse("train vae:smoke --data letters:64 --out locked/new", "locked/new", "cannot be written", "permissions")
        refuse("generate runs/vae --out locked/new", "locked/new", "cannot be written", "permissions")
    finally:
        (shop / "locked").rmdir()


def test_a_verb_of_other_methods(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    # both methods can do all three verbs today; one that lacks a verb looks so
    from reverie.methods.dcgan import DCGAN

    monkeypatch.delattr(DCGAN, "reconstruct")
    refuse("reconstruct runs/dcgan photo.jpg --out new", "dcgan cannot reconstruct", "generate, interpolate")


def test_a_damaged_save_falls_back_to_the_previous_one(shop: Path, tmp_path: Path, capfd: Any) -> None:
    # not refused, but said: one line on stderr, and the older images
    run = tmp_path / "run"
    shutil.copytree(shop / "runs/vae", run)
    (run / "weights.safetensors").write_bytes(b"torn")
    capfd.readouterr()
    assert main(["generate", str(run), "-n", "1", "--out", str(tmp_path / "out")]) == 0
    found = capfd.readouterr()
    assert "is damaged" in found.err
    assert "using the previous checkpoint, of step 10" in found.err
    assert found.err.count("\n") == 1
    with PIL.Image.open(tmp_path / "out/000000.png") as made:
        assert json.loads(made.text["reverie"])["step"] == 10


def test_a_record_cannot_pose_as_the_verdict(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for rest, status, verdicts in (([], 0, []), (["--verify", str(shop / "runs/dcgan")], 1, ["verified   NO"])):
        capsys.readouterr()
        assert main(["provenance", str(shop / "record-lies.png"), *rest]) == status
        found = capsys.readouterr().out
        assert "verb       generate\\nverified   yes: made again\\x1b[8m" in found
        assert [line[:13] for line in found.splitlines() if line.startswith("verified")] == verdicts


@pytest.mark.parametrize(
    "words",
    [
        "train vae:smoke --data leters --out new",
        "resume runs/pickled",
        "provenance plain.png",
        "trian",
    ],
)
def test_the_status_that_a_shell_sees(shop: Path, words: str) -> None:
    before = contents(shop)
    done = subprocess.run(
        [sys.executable, "-m", "reverie", *shlex.split(words)], cwd=shop, capture_output=True, text=True, check=False
    )
    check_line(done.returncode, done.stdout, done.stderr, ())
    assert contents(shop) == before


# -- the same in Python ------------------------------------------------------------------------------------------------

PYTHON: list[tuple[str, Callable[[], Any], tuple[str, ...]]] = [
    ("option", lambda: reverie.train("vae", data="letters:64", out="new", stepz=3), ("no option 'stepz'", "'steps'")),
    ("type", lambda: reverie.train("vae", data="letters:64", out="new", steps="ten"), ("steps is 'ten'", "whole")),
    ("fraction", lambda: reverie.train("vae", data="letters:64", out="new", steps=1.5), ("steps is 1.5", "whole")),
    ("truth", lambda: reverie.train("vae", data="letters:64", out="new", batch_size=True),
     ("batch_size is True", "whole")),
    ("nan", lambda: reverie.train("vae", data="letters:64", out="new", lr=float("nan")), ("lr is nan", "finite")),
    ("infinite", lambda: reverie.train("vae", data="letters:64", out="new", steps=math.inf), ("steps is inf", "whole")),
    ("huge", lambda: reverie.train("vae", data="letters:64", out="new", lr=10**400), ("lr is 1", "finite")),
    ("method", lambda: reverie.train("vea", data="letters:64", out="new"), ("no method 'vea'", "'vae'")),
    ("data", lambda: reverie.train("vae:smoke", data="leters", out="new"), ("leters", "'letters'")),
    ("path", lambda: reverie.train("vae:smoke", data=Path("data/empty"), out=Path("new")), ("data/empty", "empty")),
    ("out", lambda: reverie.train("vae:smoke", data="letters:64", out="runs/vae"), ("already holds a run",)),
    ("resume", lambda: reverie.resume("runs/nowhere"), ("no run folder runs/nowhere",)),
    ("load", lambda: reverie.load("runs/nowhere"), ("no run folder runs/nowhere",)),
    ("open", lambda: reverie.open_data("shaeps"), ("shaeps", "'shapes'")),
    ("split", lambda: reverie.open_data("letters:9", split="tset"), ("no split 'tset'", "'test'")),
    ("keyword", lambda: reverie.load("runs/vae").generate(m=3), ("generate has no option 'm'", "seed")),
    ("value", lambda: reverie.load("runs/vae").generate(n="x"), ("n is 'x'", "whole")),
    ("none", lambda: reverie.load("runs/vae").generate(n=0), ("n is 0", "1 or more")),
    ("item", lambda: reverie.load("runs/vae").generate(n=4, items=[4]), ("no item 4 among 4", "from 0")),
    ("below", lambda: reverie.load("runs/dcgan").generate(n=4, items=[-1]), ("no item -1 among 4", "from 0")),
    ("needs", lambda: reverie.load("runs/vae").reconstruct(), ("reconstruct needs 'images'",)),
    ("verb", lambda: reverie.load("runs/vae").verb("classify"), ("vae cannot classify", "generate")),
    ("suffix", lambda: reverie.load("runs/vae").generate(n=1)[0].save("new.jpg"), ("new.jpg", "new.png")),
]  # fmt: skip


@pytest.mark.parametrize(("act", "needs"), [case[1:] for case in PYTHON], ids=[case[0] for case in PYTHON])
def test_python_raises_the_same_line(
    shop: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any], needs: tuple[str, ...]
) -> None:
    monkeypatch.chdir(shop)
    before = contents(shop)
    with pytest.raises(UserError) as error:
        act()
    assert [need for need in needs if need not in str(error.value)] == []
    assert "\n" not in str(error.value)
    assert contents(shop) == before
