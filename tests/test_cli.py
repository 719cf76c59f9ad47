"""The command line as users use it: from examples to a generator, its images, and their provenance."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import safetensors
import torch

import reverie
from reverie.cli.main import COMMANDS, main
from reverie.core.options import options_of_dataclass
from reverie.core.registry import list_methods, method_class
from reverie.core.train_config import TrainConfig
from reverie.media import Image

Command = Callable[..., str]
METHODS = ("dcgan", "vae")
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A folder with one run of each method: `dcgan` and `vae`."""
    place = tmp_path_factory.mktemp("trained")
    for method in METHODS:
        words = f"train {method}:smoke --data letters:64 --out '{place / method}' --threads 1"
        assert main(shlex.split(words)) == 0
    return place


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in an empty folder; checks its status, and that stderr holds progress only; returns stdout."""
    monkeypatch.chdir(tmp_path)

    def act(words: str, status: int = 0) -> str:
        capsys.readouterr()
        got = main(shlex.split(words))
        printed = capsys.readouterr()
        assert got == status, printed.err
        usual = ("step ", "data ", "networks ", "device ", "training ")  # of training: what it does, and how far it is
        assert [line for line in printed.err.splitlines() if not line.startswith(usual)] == []
        return printed.out

    return act


def python(*words: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """A Python of its own."""
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, **kwargs)


def pixels(place: Path) -> dict[str, bytes]:
    """The pixels of each image in a folder, or of one image file."""
    found = {}
    for path in [place] if place.is_file() else sorted(place.iterdir()):
        with PIL.Image.open(path) as image:
            found[path.name] = np.asarray(image).tobytes()
    return found


def parse(text: str) -> Any:
    """One JSON object, and nothing else."""
    assert text.count("\n") == 1
    assert text.endswith("\n")
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


# -- overview -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["", "--help", "-h", "help"])
def test_the_overview_names_every_command_and_verb(command: Command, words: str) -> None:
    output = command(words)
    verbs = {verb for entry in list_methods().values() for verb in entry.verbs}
    assert {"generate", "reconstruct", "interpolate"} <= verbs
    assert [name for name in [*COMMANDS, *verbs] if name not in output] == []


def test_version(command: Command) -> None:
    assert command("--version") == command("-V") == f"reverie {reverie.__version__}\n"


HELPED = [name for name in COMMANDS if name != "data"]


@pytest.mark.parametrize(
    "name", [*HELPED, "data inspect", "generate", "reconstruct", "interpolate", "classify", "train vae:smoke"]
)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*name.split(), "--help"])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.err) == (0, "")
    assert printed.out.startswith(f"usage: reverie {name.split()[0]}")
    assert len(printed.out.splitlines()) > 4


def test_data_has_help(command: Command) -> None:
    assert command("data") == command("data --help") == command("data -h")
    assert "reverie data inspect PATH" in command("data")


@pytest.mark.parametrize("method", METHODS)
def test_help_shows_every_option_of_a_method_with_its_default(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", f"{method}:smoke", "--help"])
    output = " ".join(capsys.readouterr().out.split())
    options = [*options_of_dataclass(method_class(method).Config), *options_of_dataclass(TrainConfig)]
    assert len(options) > 15
    assert [o.name for o in options if f"--{o.name.replace('_', '-')} " not in output.replace(",", " ")] == []
    assert [o.name for o in options if " ".join(o.help.split()) not in output] == []
    assert "[20]" in output, "the preset's steps"
    assert "[10000]" not in output, "the class's steps"


def test_help_of_a_verb_shows_its_options(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb, flags in (("generate", ["--n", "-n", "--seed", "--shard"]), ("reconstruct", ["IMAGE", "--iterations"])):
        with pytest.raises(SystemExit):
            main([verb, str(trained / "dcgan"), "--help"])
        output = capsys.readouterr().out
        assert [flag for flag in [*flags, "--out", "--overwrite", "--json"] if flag not in output] == []


def test_methods(command: Command) -> None:
    output = command("methods")
    entries = parse(command("methods --json"))
    assert list(entries) == list(list_methods()) == sorted(entries)
    assert set(METHODS) <= set(entries)
    for name, entry in entries.items():
        assert entry["summary"] in output
        assert name in output
        assert {"smoke", "laptop"} <= set(entry["presets"])
        assert "arXiv" in entry["paper"]
    assert entries["vae"]["verbs"] == ["generate", "reconstruct", "encode", "interpolate"]
    assert entries["vae"]["data_type"] == "Images"


def test_light_commands_load_no_torch() -> None:
    # the folder methods/ is read as text, so that they answer at once
    code = (
        "import sys, reverie; from reverie.cli import main as c;"
        "c.main(['methods']); c.main(['methods', '--json']); c.main(['--help']); c.main(['trian']);"
        "reverie.UserError, dir(reverie);"
        "print([m for m in ('torch', 'numpy', 'PIL', 'matplotlib', 'safetensors') if m in sys.modules])"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    loud = python("-c", "import sys, reverie; reverie.load; print('torch' in sys.modules)")
    assert loud.stdout == "True\n", "the check above can fail"


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="no processor time of a child here")
def test_methods_answers_at_once() -> None:
    def seconds(*words: str) -> float:
        child = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = 0
        assert status == 0
        return used.ru_utime

    # user time, not the clock: a loaded machine is slower but works no more
    assert min(seconds("-m", "reverie", "methods") for _ in range(5)) < 0.3


def test_module_and_script_are_the_same_command() -> None:
    done = python("-m", "reverie", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"reverie {reverie.__version__}\n", "")
    assert python("-m", "reverie", "nothing").returncode == 2
    if script := shutil.which("reverie", path=str(Path(sys.executable).parent)):
        assert subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout == done.stdout


@pytest.mark.skipif(os.name == "nt", reason="pipes break otherwise there")
def test_a_pipe_that_nobody_reads_is_no_error() -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    cases = [(words, env) for words in ("methods", "methods --json", "train --help") for env in (buffered, None)]
    for words, env in cases:
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "reverie", *words.split()],
            stdout=write, stderr=subprocess.PIPE, check=False, env=env,
        )  # fmt: skip
        os.close(write)
        assert (done.returncode, done.stderr) == (0, b"")


# -- data inspect ------------------------------------------------------------------------------------------------------


def test_data_inspect(command: Command, tmp_path: Path) -> None:
    for i in range(3):
        PIL.Image.fromarray(np.full((20, 30), i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_text("not an image")
    output = command("data inspect .")
    found = parse(command("data inspect . --json"))
    assert found["splits"]["train"]["used"] == 3
    assert found["splits"]["train"]["found"] == 4
    assert [drop["name"] for drop in found["splits"]["train"]["dropped"]] == ["3.png"]
    assert found["facts"] == {"channels": 1, "classes": 0, "native": 20, "photographs": False}
    assert set(METHODS) <= set(found["methods"])
    assert "3.png" in output
    assert "not an image" in output
    can, need = output.splitlines()[-2:]
    assert {"dcgan", "vae"} < set(can.removeprefix("methods that can learn from it: ").split(", "))
    assert "srgan (160 pixels a side)" in need.removeprefix("methods that need larger images")
    assert found["too_small_for"]["srgan"] == 160
    assert "srgan" not in found["methods"]


def test_names_that_the_output_cannot_spell_are_no_traceback(tmp_path: Path) -> None:
    for label in ("猫", "dog"):
        (tmp_path / "d" / label).mkdir(parents=True)
        Image(np.full((8, 8, 3), len(label) * 60, np.uint8)).save(tmp_path / "d" / label / "1.png")
    output = subprocess.run(
        [sys.executable, "-m", "reverie", "data", "inspect", "d"], cwd=tmp_path, capture_output=True, check=False,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert output.returncode == 0, output.stderr
    assert "猫" in output.stdout.decode("utf-8")


# -- from a run to images, and back ----------------------------------------------------------------------------------


def test_train_prints_where_the_run_is_and_what_is_next(command: Command, tmp_path: Path) -> None:
    output = command("train vae:smoke --data letters:32 --out runs/a --steps 4 --base-channels 4 --batch-size=8")
    assert output.splitlines()[-2].startswith(f"{Path('runs/a')}: vae at step 4; look at ")
    assert Path("runs/a/report.html").is_file()
    about = json.loads(Path("runs/a/run.json").read_text())
    assert (about["method"], about["preset"], about["train"]["batch_size"]) == ("vae", "smoke", 8)
    assert (about["config"]["steps"], about["config"]["base_channels"], about["config"]["latent_dim"]) == (4, 4, 8)
    assert (
        about["command"]
        == "reverie train vae:smoke --data letters:32 --out runs/a --steps 4 --base-channels 4 --batch-size=8"
    )
    assert str(tmp_path) not in json.dumps(about), "an absolute path"
    output = command("resume runs/a --steps 6")
    assert f"{Path('runs/a')}: vae at step 6" in output
    following = output.splitlines()[-1].removeprefix("next: reverie ")
    assert "64 files" in command(following), "the command that it proposes works"


def test_words_may_stand_in_any_order(command: Command, trained: Path) -> None:
    run = trained / "vae"
    command("train --out a --data letters:16 vae:smoke --steps 2 --sample-every 5")
    assert json.loads(Path("a/save.json").read_text())["step"] == 2
    command(
        "train --data letters:16 --no-tensorboard dcgan:smoke --out a2 --steps 2 --base-channels 4 --sample-every 5"
    )
    command("train --data letters:16 --hflip dcgan:smoke --out a3 --steps 2 --base-channels 4 --sample-every 5")
    assert json.loads(Path("a3/run.json").read_text())["config"]["hflip"] is True
    command(f"generate -n 2 --out b '{run}'")
    command(f"generate --json '{run}' -n 2 --out c")
    assert pixels(Path("b")) == pixels(Path("c"))
    command(f"reconstruct --out d '{run}' b/000000.png b/000001.png")
    command(f"reconstruct '{run}' b/000000.png --out e b/000001.png")
    command(f"reconstruct '{run}' --out f b")
    assert len(pixels(Path("d"))) == 2
    assert pixels(Path("d")) == pixels(Path("e")) == pixels(Path("f"))


def test_codes_and_what_is_made_of_them_keep_folders(command: Command, trained: Path) -> None:
    run = trained / "vae"
    for folder, seed in (("given/a", 0), ("given/b", 1)):
        command(f"generate '{run}' -n 2 --seed {seed} --out {folder}")
    command(f"encode '{run}' given --include-generated --out codes.csv")
    rows = [line.split(",")[0] for line in Path("codes.csv").read_text().splitlines()[1:]]
    assert rows == ["a/000000.png", "a/000001.png", "b/000000.png", "b/000001.png"]
    command(f"decode '{run}' codes.csv --out decoded")
    command(f"reconstruct '{run}' given --include-generated --out reconstructed")
    for name in rows:
        assert pixels(Path("decoded") / name) == pixels(Path("reconstructed") / name)
    Path("codes.csv").write_text(Path("codes.csv").read_text().replace("a/000000", "../../out/of/000000"))
    command(f"decode '{run}' codes.csv --out inside")
    assert Path("inside/out/of/000000.png").is_file(), "a table names no file outside of the folder"


@pytest.mark.parametrize("method", METHODS)
def test_generate(command: Command, trained: Path, method: str) -> None:
    output = command(f"generate '{trained / method}' -n 5 --seed 3 --out out")
    assert output.startswith("5 files in out")
    made = pixels(Path("out"))
    assert list(made) == [f"{i:06d}.png" for i in range(5)]
    assert len(set(made.values())) == 5
    for name, seed in (("again", 3), ("other", 4)):
        command(f"generate '{trained / method}' -n 5 --seed {seed} --out {name}")
        assert (pixels(Path(name)) == made) == (name == "again")
    command(f"generate '{trained / method}' -n 5 --seed 3 --out sheet.png")
    with PIL.Image.open("sheet.png") as image:
        assert image.size == (3 * (16 + 2) + 2, 2 * (16 + 2) + 2)
        tile = np.asarray(image)[2:18, 38:54]
    assert tile.tobytes() == made["000002.png"]


@pytest.mark.parametrize("method", METHODS)
def test_python_makes_the_same_pixels(command: Command, trained: Path, method: str) -> None:
    command(f"generate '{trained / method}' -n 20 --seed 7 --out out")
    images = reverie.load(trained / method).generate(n=20, seed=7)
    assert [image.pixels.tobytes() for image in images] == list(pixels(Path("out")).values())
    assert [image.record["index"] for image in images if image.record] == list(range(20))


def test_python_trains_the_same_weights(command: Command, tmp_path: Path) -> None:
    command("train dcgan:smoke --data letters:32 --out a --steps 3 --seed 5 --threads 1")
    method = reverie.train("dcgan:smoke", data="letters:32", out=tmp_path / "b", steps=3, seed=5, threads=1)
    weights = [Path(name, "weights.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    assert method.generate(n=1)[0].digest == reverie.load("a").generate(n=1)[0].digest


def test_python_names() -> None:
    assert {"train", "resume", "load", "list_methods", "open_data", "UserError"} <= set(dir(reverie))
    assert set(METHODS) <= set(reverie.list_methods())
    assert reverie.list_methods()["vae"].verbs == ("generate", "reconstruct", "encode", "interpolate")
    assert len(reverie.open_data("letters:9")) == 9
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        reverie.paint  # noqa: B018 - asking for it is the test


@pytest.mark.parametrize("method", METHODS)
def test_shards_together_are_the_whole(command: Command, trained: Path, method: str) -> None:
    for verb, size in (("generate", "-n 40"), ("interpolate", "-n 5 --frames 7")):
        command(f"{verb} '{trained / method}' {size} --out {verb}-whole")
        parts = []
        for i in (1, 2, 3):
            command(f"{verb} '{trained / method}' {size} --shard {i}/3 --out {verb}-{i}")
            parts.append(pixels(Path(f"{verb}-{i}")))
            command(f"{verb} '{trained / method}' {size} --shard {i}/3 --out {verb}-together")
        assert all(parts)
        assert sum(map(len, parts)) == (40 if verb == "generate" else 35)
        assert pixels(Path(f"{verb}-together")) == pixels(Path(f"{verb}-whole"))


def test_shards_from_one_image_are_the_whole(command: Command, trained: Path) -> None:
    command("train cvae_gan:smoke --data shapes:60 --out run --threads 1")
    command(f"generate '{trained / 'vae'}' -n 1 --out given")
    Path("given/000000.png").rename("cat.png")
    for verb, size in (("variations", "-n 40"), ("edit", "--frames 40")):
        command(f"{verb} run cat.png {size} --out {verb}-whole")
        for i in (3, 1, 2):
            command(f"{verb} run cat.png {size} --shard {i}/3 --out {verb}-together")
        whole, together = (
            {p.name: p.read_bytes() for p in Path(f"{verb}-{of}").iterdir()} for of in ("whole", "together")
        )
        assert together == whole
        assert sorted(whole) == ["cat.png" if i == 0 else f"cat-{i:06d}.png" for i in (*range(1, 40), 0)]


def test_a_shard_with_nothing_to_do_says_so(command: Command, trained: Path) -> None:
    assert "nothing to do" in command(f"generate '{trained / 'vae'}' -n 2 --shard 1/3 --out out")
    assert not Path("out").exists()


@pytest.mark.parametrize("method", METHODS)
def test_json_is_one_object(command: Command, trained: Path, method: str) -> None:
    output = parse(command(f"generate '{trained / method}' -n 2 --out out --json"))
    assert output["files"] == [str(Path("out/000000.png")), str(Path("out/000001.png"))]
    assert output["seconds"] >= 0
    output = parse(command(f"provenance out/000001.png --verify '{trained / method}' --json"))
    assert output["record"]["index"] == 1
    assert output["verdict"] == {"same": True, "difference": 0, "why": "regenerated, equal to the pixel"}
    assert parse(command("provenance out/000001.png --json"))["verdict"] is None


@pytest.mark.parametrize("method", METHODS)
def test_provenance_shows_how_an_image_was_made(command: Command, trained: Path, method: str) -> None:
    command(f"generate '{trained / method}' -n 3 --seed 9 --out out")
    output = command("provenance out/000002.png")
    words = ["synthetic", f"method     {method}", "step 20", "verb       generate", "n=3", "seed=9", "index      2"]
    assert [word for word in words if word not in output] == []
    output = command(f"provenance out/000002.png --verify '{trained / method}'")
    assert "verified   yes" in output
    assert "equal to the pixel" in output


def test_provenance_of_changed_files_is_refused(command: Command, trained: Path) -> None:
    command(f"generate '{trained / 'vae'}' -n 2 --out out")
    with PIL.Image.open("out/000000.png") as image:
        retouched, text = np.array(image), image.text["reverie"]
    retouched[5:8, 5:8] ^= 64
    record = json.loads(text)
    Image(retouched[:, :, None], record=record).save("retouched.png")
    output = command(f"provenance retouched.png --verify '{trained / 'vae'}'", status=1)
    assert "verified   NO: regenerated, at most 64 of 255 apart" in output
    verdict = parse(command(f"provenance retouched.png --verify '{trained / 'vae'}' --json", status=1))["verdict"]
    assert (verdict["same"], verdict["difference"]) == (False, 64)

    Image(retouched[:8, :, None], record=record).save("cropped.png")
    assert "NO: its shape" in command(f"provenance cropped.png --verify '{trained / 'vae'}'", status=1)
    Image.load("out/000001.png").with_provenance(record).save("swapped.png")
    assert "verified   NO" in command(f"provenance swapped.png --verify '{trained / 'vae'}'", status=1)

    output = command(f"provenance out/000000.png --verify '{trained / 'dcgan'}'", status=1)
    assert "NO: another method made it: vae, not dcgan" in output
    command("train vae:smoke --data letters:64 --out other --steps 10")
    output = command("provenance out/000000.png --verify other", status=1)
    assert "NO: another run made it" in output
    assert "made at step 20, the run is at step 10" in output


@pytest.mark.parametrize("method", METHODS)
def test_images_made_from_images(command: Command, trained: Path, method: str) -> None:
    command("generate '{}' -n 3 --out given".format(trained / ("vae" if method == "dcgan" else "dcgan")))
    search = "--iterations 5" if method == "dcgan" else ""
    command(f"reconstruct '{trained / method}' given {search} --out out")
    assert list(pixels(Path("out"))) == list(pixels(Path("given"))), "named after what they were made from"
    for i in range(3):  # each depends on its own input only, not on those beside it
        output = command(f"provenance out/00000{i}.png --verify '{trained / method}' --inputs given")
        assert f"made from  00000{i}.png" in output
        assert "verified   yes" in output
    command(f"reconstruct '{trained / method}' given {search} --out sheet.png")
    assert "verified   yes" in command(f"provenance sheet.png --verify '{trained / method}' --inputs given")
    with PIL.Image.open("sheet.png") as image:
        assert np.asarray(image)[2:18, 20:36].tobytes() == pixels(Path("out"))["000001.png"]


@pytest.mark.parametrize("method", METHODS)
def test_interpolate(command: Command, trained: Path, method: str) -> None:
    run = trained / method
    command(f"interpolate '{run}' -n 2 --frames 6 --out out")
    command(f"generate '{run}' -n 4 --out ends")
    made, ends = list(pixels(Path("out")).values()), list(pixels(Path("ends")).values())
    assert len(made) == 12
    for place, end in ((0, 0), (5, 1), (6, 2), (11, 3)):  # rows go from one image of generate to the next
        apart = np.frombuffer(made[place], np.uint8).astype(int) - np.frombuffer(ends[end], np.uint8)
        assert np.abs(apart).max() <= 1
    command(f"interpolate '{run}' -n 2 --frames 6 --out sheet.png")
    with PIL.Image.open("sheet.png") as image:
        assert image.size == (6 * 18 + 2, 2 * 18 + 2)
    assert "verified   yes" in command(f"provenance sheet.png --verify '{run}'")
    assert "verified   yes" in command(f"provenance out/000007.png --verify '{run}'")


def test_interpolate_between_images(command: Command, trained: Path) -> None:
    run = trained / "vae"
    command(f"generate '{trained / 'dcgan'}' -n 3 --out given")
    command(f"interpolate '{run}' given --frames 4 --out out")
    command(f"reconstruct '{run}' given --out ends")
    made, ends = list(pixels(Path("out")).values()), list(pixels(Path("ends")).values())
    assert len(made) == 8
    for place, end in ((0, 0), (3, 1), (4, 1), (7, 2)):
        apart = np.frombuffer(made[place], np.uint8).astype(int) - np.frombuffer(ends[end], np.uint8)
        assert np.abs(apart).max() <= 1
    assert "verified   yes" in command(f"provenance out/000005.png --verify '{run}' --inputs given")


def test_a_sheet_of_one_shard_can_be_verified(command: Command, trained: Path) -> None:
    command(f"generate '{trained / 'dcgan'}' -n 40 --shard 2/3 --out sheet.png")
    assert "verified   yes" in command(f"provenance sheet.png --verify '{trained / 'dcgan'}'")


def test_an_image_says_that_it_is_synthetic(command: Command, trained: Path) -> None:
    command(f"generate '{trained / 'vae'}' -n 1 --out out")
    command(f"generate '{trained / 'vae'}' -n 4 --out sheet.png")
    for file in ("out/000000.png", "sheet.png"):
        with PIL.Image.open(file) as image:
            record = json.loads(image.text["reverie"])
            assert f'DigitalSourceType="{IPTC}"' in image.text["XML:com.adobe.xmp"]
        assert record["synthetic"] is True
        assert (record["method"], record["verb"], record["step"]) == ("vae", "generate", 20)
        assert record["reverie"] == reverie.__version__
        assert str(trained) not in json.dumps(record), "an absolute path"


@pytest.mark.parametrize("method", METHODS)
def test_an_exported_file_serves_as_the_run(command: Command, trained: Path, method: str) -> None:
    output = command(f"export '{trained / method}' --out deep/model.safetensors")
    assert output.strip() == str(Path("deep/model.safetensors"))
    with safetensors.safe_open("deep/model.safetensors", framework="np") as file:
        header = json.loads(file.metadata()["reverie"])
    assert header["method"] == method
    assert header["config"] == dataclasses.asdict(reverie.load(trained / method).config)
    command(f"generate '{trained / method}' -n 3 --out given")
    for verb, rest in (("generate", "-n 20"), ("interpolate", "-n 2 --frames 3"), ("reconstruct", "given")):
        rest += " --iterations 3" if (method, verb) == ("dcgan", "reconstruct") else ""
        command(f"{verb} '{trained / method}' {rest} --out {verb}-run")
        command(f"{verb} deep/model.safetensors {rest} --out {verb}-file")
        one, other = (sorted(Path(f"{verb}-{kind}").iterdir()) for kind in ("run", "file"))
        assert [p.name for p in one] == [p.name for p in other] != []
        assert [p.read_bytes() for p in one] == [p.read_bytes() for p in other], "records included"
    assert "verified   yes" in command("provenance generate-run/000013.png --verify deep/model.safetensors")
    command("export deep/model.safetensors --out again.safetensors")
    assert Path("again.safetensors").read_bytes() == Path("deep/model.safetensors").read_bytes()


def test_an_export_that_is_cut_off_leaves_nothing(
    command: Command, trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(source: Path, out: Path) -> None:
        out.write_bytes(source.read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(shutil, "copyfile", cut)
        assert main(["export", str(trained / "vae"), "--out", "deep/model.safetensors"]) == 2
    assert "free some space" in capsys.readouterr().err
    assert list(Path("deep").iterdir()) == []
    command(f"export '{trained / 'vae'}' --out deep/model.safetensors")
    assert [path.name for path in Path("deep").iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("grab", [lambda: torch.empty(2**60), lambda: np.empty(2**56)])
def test_a_machine_without_memory_is_one_line(
    command: Command,
    grab: Callable[[], Any],
    trained: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(method_class("vae"), "mean_image", lambda *args: grab())
    assert main(["generate", str(trained / "vae"), "-n", "1", "--out", "no-room"]) == 2
    assert capsys.readouterr().err.startswith("reverie: there is not enough memory; give a smaller --batch-size")


def test_only_overwrite_overwrites(
    command: Command, trained: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for out, file in (("out", "out/000000.png"), ("sheet.png", "sheet.png")):
        command(f"generate '{trained / 'vae'}' -n 1 --seed 1 --out {out}")
        before = Path(file).read_bytes()
        assert main(["generate", str(trained / "vae"), "-n", "1", "--seed", "2", "--out", out]) == 2
        assert "--overwrite" in capsys.readouterr().err
        assert Path(file).read_bytes() == before
        command(f"generate '{trained / 'vae'}' -n 1 --seed 2 --out {out} --overwrite")
        assert Path(file).read_bytes() != before
    Path("out/mine.txt").write_text("mine")
    command(f"generate '{trained / 'vae'}' -n 1 --out out --overwrite")
    assert Path("out/mine.txt").read_text() == "mine", "other files are left alone"
