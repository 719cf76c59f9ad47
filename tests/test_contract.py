"""Every file in methods/: it trains, is cut and resumed bit for bit, saves, loads, and every verb runs.

The tests find the methods in the folder, so a new file is covered by being there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reverie
from built_in_data import data_of
from reverie._version import FORMAT
from reverie.core import registry
from reverie.core.generation import BLOCK, Shard
from reverie.core.method import CODE_NETWORKS, Method
from reverie.core.options import REQUIRED, build, media_inputs, media_output, options_of_dataclass, options_of_signature
from reverie.core.train_config import TrainConfig
from reverie.core.update import Update
from reverie.evaluation.class_conditional import takes_labels
from reverie.media import Code, Image, Music, Text
from reverie.runs.weights_file import read_weights
from reverie.training.monitor import ROLES
from reverie.training.prepare import parse_method, prepare_method
from reverie.training.signals import Interrupted
from reverie.utils.distributed import Ranks

METHODS = sorted(registry.list_methods())
SOURCE = Path(reverie.__file__).parent
DTYPES = {Code: np.float32, Music: np.int16}
"""of the values of a medium that is no image"""


@pytest.fixture(scope="module", params=METHODS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smoke run of the method."""
    out = tmp_path_factory.mktemp(name) / "run"
    reverie.train(f"{name}:smoke", data=data_of(name), out=str(out))
    return out


def ready(name: str, **options: Any) -> tuple[Method, Any, TrainConfig]:
    """A method that is about to train, its data, and its settings."""
    cls = registry.method_class(name)
    data = cls.data_type.open(data_of(name))
    prepared = prepare_method(f"{name}:smoke", data, options)
    torch.manual_seed(prepared.settings.seed)
    return cls(prepared.config), data, prepared.settings


def arguments(method: Method, verb: str, data: Any) -> dict[str, Any]:
    """Small arguments for a verb, with media where it needs them."""
    given: dict[str, Any] = {}
    for option, medium in media_inputs(method.verb(verb)):
        for i in range(3):
            if medium is Music:
                item = dataclasses.replace(Music.of(data.parts, data.array[i]), name=f"{i}.mid")
            else:
                pixels = data.pixels(i)[:, :, :1] if option.name == "bias_map" else data.pixels(i)
                item = medium(pixels, name=f"{i}.png")
            given.setdefault(option.name, []).append(item)
    for option in options_of_signature(method.verb(verb)):
        if option.name == "n":
            given["n"] = 3
        elif option.name in ("iterations", "search"):
            given[option.name] = 3
    return given


def values_of(item: Image | Code | Music | Text) -> np.ndarray:
    if isinstance(item, Music):
        return item.lines(list(item.parts))
    if isinstance(item, Text):
        return np.frombuffer(item.line.encode(), np.uint8)
    return item.values if isinstance(item, Code) else item.pixels


def log_of(folder: Path) -> list[tuple[Any, ...]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["stage"], line["metrics"]) for line in lines if "metrics" in line]


def test_a_file_says_what_it_is(name: str) -> None:
    entry = registry.find(name)
    assert entry.summary.endswith(".")
    assert "arXiv" in entry.paper or "doi" in entry.paper
    assert {"smoke", "laptop"} <= set(entry.presets)
    assert entry.verbs
    cls = registry.method_class(name)
    assert entry.presets == tuple(cls.presets)
    assert entry.data_type == (cls.data_type.__name__ if cls.data_type else "")


def test_options_are_explained_and_never_collide(name: str) -> None:
    cls = registry.method_class(name)
    ours, theirs = options_of_dataclass(cls.Config), options_of_dataclass(TrainConfig)
    assert not {o.name for o in ours} & {o.name for o in theirs}
    for option in [*ours, *theirs]:
        assert option.help, f"{option.name} has no line under it"
    for verb in registry.find(name).verbs:
        for option in options_of_signature(getattr(cls, cls.verbs()[verb])):
            assert option.help or option.name == "items", f"{verb}: {option.name} is not explained"
    assert dataclasses.fields(cls.Config)


def test_presets_are_valid(name: str) -> None:
    for preset in registry.find(name).presets:
        parse_method(f"{name}:{preset}", {})


def test_the_run_folder_explains_itself(name: str, folder: Path) -> None:
    about = json.loads((folder / "run.json").read_text())
    assert about["method"] == name
    assert about["preset"] == "smoke"
    assert about["format"] == FORMAT
    assert about["monitored"] == registry.method_class(name).monitored
    assert {"reverie", "torch", "numpy", "python"} <= set(about["versions"])
    assert len(about["data"]["fingerprint"]) == 16
    assert about["command"] == f"reverie.train('{name}:smoke', data='{data_of(name)}', out={str(folder)!r})"
    assert about["data"]["n"] == len(ready(name)[1])
    header, weights, _ = read_weights(folder / "weights.safetensors")
    assert header["method"] == name
    cls = registry.method_class(name)
    again = json.dumps(dataclasses.asdict(build(cls.Config, header["config"])))
    assert json.loads(again) == about["config"]
    assert weights
    assert list((folder / "samples").glob("step-*.png"))
    assert "<html" in (folder / "report.html").read_text()
    assert log_of(folder)
    assert str(Path.cwd()) not in (folder / "run.json").read_text()
    torch.load(folder / "resume.pt", weights_only=True)


def test_an_update_moves_its_own_parameters_only(name: str) -> None:
    method, data, settings = ready(name)
    moved: dict[str, int] = {}

    class Watched(Update):
        def __call__(self, which: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
            names = which if isinstance(which, dict) else {which: None}
            before = {k: v.detach().clone() for k, v in method.named_parameters()}
            loss = super().__call__(which, *args, **kwargs)
            own = {id(p) for n in names for p in self.parameters[n]}
            for key, parameter in method.named_parameters():
                assert id(parameter) in own or torch.equal(parameter, before[key]), f"{names} moved {key}"
                assert parameter.grad is None or id(parameter) not in own, f"{key} kept a gradient"
                moved[key] = moved.get(key, 0) + (not torch.equal(parameter, before[key]))
            assert loss.ndim == 0
            assert not loss.requires_grad
            return loss

    logged: set[str] = set()
    update = Watched(method.optimizers(), Ranks("cpu"))
    owners = [id(p) for parameters in update.parameters.values() for p in parameters]
    assert len(owners) == len(set(owners)), "two optimizers own one parameter"
    method.train()
    for stage in method.stages():
        for update.step in range(2):
            metrics = stage.step(data.batch(np.arange(settings.batch_size)), update)
            assert all(isinstance(value, torch.Tensor) and torch.isfinite(value) for value in metrics.values())
            logged |= metrics.keys()
    assert all(moved.values()), f"never moved: {[k for k, v in moved.items() if not v]}"
    assert set(method.monitored.values()) <= set(ROLES)
    source = (SOURCE / "methods" / f"{name}.py").read_text(encoding="utf-8")
    for metric in method.monitored:  # some are reported by other presets only, such as those with a discriminator
        assert metric in logged or source.count(f'"{metric}"') > 1, f"no step reports {metric}"


@pytest.mark.parametrize("cut", [1, 7, 10, 13])
def test_cut_and_resumed_is_bit_for_bit_the_same(
    name: str, cut: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = count_steps(monkeypatch, stop_at=cut)
    with pytest.raises(Interrupted, match="reverie resume"):
        reverie.train(f"{name}:smoke", data=data_of(name), out=tmp_path / "cut")
    assert steps == [cut]
    monkeypatch.undo()
    reverie.resume(tmp_path / "cut")
    assert (tmp_path / "cut" / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()
    assert log_of(tmp_path / "cut") == log_of(folder)


def count_steps(monkeypatch: pytest.MonkeyPatch, stop_at: int) -> list[int]:
    """Asks the loop to stop in the middle of step `stop_at`, as Ctrl-C would."""
    from reverie.training import trainer as loop

    asked: list[int] = []

    class Counted(loop.GracefulStop):
        def __enter__(self) -> loop.GracefulStop:
            running.append(self)
            return super().__enter__()

    running: list[loop.GracefulStop] = []
    original = loop.seed_of

    def seed_of(*numbers: int) -> int:
        if numbers[1] == stop_at - 1:
            running[-1].requested = True
            asked.append(stop_at)
        return original(*numbers)

    monkeypatch.setattr(loop, "GracefulStop", Counted)
    monkeypatch.setattr(loop, "seed_of", seed_of)
    return asked


def test_the_seed_decides_everything(name: str, folder: Path, tmp_path: Path) -> None:
    reverie.train(f"{name}:smoke", data=data_of(name), out=tmp_path / "same")
    reverie.train(f"{name}:smoke", data=data_of(name), out=tmp_path / "other", seed=1)
    same, other = ((tmp_path / run / "weights.safetensors").read_bytes() for run in ("same", "other"))
    assert same == (folder / "weights.safetensors").read_bytes() != other
    assert log_of(tmp_path / "other") != log_of(folder)


def test_every_verb_runs_and_records_how(name: str, folder: Path) -> None:
    method, data = reverie.load(folder), ready(name)[1]
    random_state = torch.get_rng_state()
    for verb in registry.find(name).verbs:
        made = method.verb(verb)(**arguments(method, verb, data))
        assert torch.equal(torch.get_rng_state(), random_state), f"{verb} takes random numbers of the user's"
        assert made, verb
        for image in made:
            assert values_of(image).dtype == DTYPES.get(type(image), np.uint8)
            assert image.record is not None
            assert image.record["synthetic"] is not registry.find(name).is_classifier
            assert (image.record["verb"], image.record["method"]) == (verb, name)
            assert image.record["run"] == method.origin["run"]
        again = method.verb(verb)(**arguments(method, verb, data))
        assert all(np.array_equal(values_of(a), values_of(b)) for a, b in zip(made, again, strict=True)), verb
        assert not method.training
        assert torch.is_grad_enabled()


def test_an_item_is_the_same_alone_and_among_others(name: str, folder: Path) -> None:
    method = reverie.load(folder)
    for verb in registry.find(name).verbs:
        options = {option.name for option in options_of_signature(method.verb(verb))}
        if not {"n", "items"} <= options:
            continue
        needed = {k: v for k, v in arguments(method, verb, ready(name)[1]).items() if k in ("images", "tunes")}
        required = any(
            o.name in ("images", "tunes") and o.default is REQUIRED for o in options_of_signature(method.verb(verb))
        )
        act = partial(method.verb(verb), **(needed if required else {}))
        whole = dict(enumerate(act(n=64)))
        for n in (1, 7):
            for i, image in enumerate(act(n=n)):
                if image.columns == whole[i].columns and i < len(whole):
                    assert np.array_equal(values_of(image), values_of(whole[i])), f"{verb}: item {i} of {n}"
        for items in ([5], [63, 5, 17], range(10, 40)):
            for i, image in zip(items, act(n=64, items=items), strict=True):
                assert image.record is not None
                assert image.record["index"] == i
                assert np.array_equal(values_of(image), values_of(whole[i])), f"{verb}: item {i} of {items}"
        for parts in (1, 3, 5, 200):
            together = [image for part in range(1, parts + 1) for image in act(n=64, items=Shard(part, parts))]
            assert len(together) == len(whole)
            assert all(np.array_equal(values_of(image), values_of(whole[i])) for i, image in enumerate(together))


def test_given_images_are_encoded_by_block(name: str, folder: Path) -> None:
    """So that memory does not grow with them, and no code depends on the others, whatever the verb."""
    method = reverie.load(folder)
    if "encode" not in method.verbs() or media_inputs(method.verb("encode"))[0][1] is not Image:
        return
    sizes: list[int] = []
    method.encoder.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    c, n = method.config, BLOCK + 4
    pixels = np.random.default_rng(0).integers(0, 256, (n, c.size, c.size, c.channels), dtype=np.uint8)
    for verb in {"encode", "reconstruct", "interpolate", "edit", "variations"} & method.verbs().keys():
        method.verb(verb)([Image(x) for x in pixels])
        assert set(sizes) == {BLOCK}, verb


def test_classes_take_turns_where_there_are_any(name: str, folder: Path) -> None:
    method = reverie.load(folder)
    if not takes_labels(method):
        return
    names = method.config.class_names
    for i, image in enumerate(method.verb("generate")(n=len(names) + 2)):
        (same,) = method.verb("generate")(n=len(names) + 2, label=names[i % len(names)], items=[i])
        assert np.array_equal(image.pixels, same.pixels)


def test_networks_do_not_mix_items(name: str, folder: Path) -> None:
    """Before rounding too: item i to 1e-5 in batches of 1, 7 and 64, whatever the block size."""
    method = reverie.load(folder)
    decode = next((getattr(method, n) for n in CODE_NETWORKS if hasattr(method, n)), None)
    images = "generate" in method.verbs() and media_output(method.verb("generate")) is Image
    if decode is None or not images or not hasattr(method, "latents"):
        pytest.skip("no network from codes to images")
    z = method.latents(0)(range(64))
    with torch.no_grad():
        whole = decode(z)
        for n in (1, 7):
            assert (decode(z[:n]) - whole[:n]).abs().max() <= 1e-5
    assert BLOCK < 64


def test_saved_weights_survive_export_and_load(name: str, folder: Path, tmp_path: Path) -> None:
    from reverie.convert.export import export

    method, exported = reverie.load(folder), reverie.load(export(str(folder), tmp_path / "m.safetensors"))
    assert method.origin == exported.origin
    for (key, a), (_, b) in zip(method.state_dict().items(), exported.state_dict().items(), strict=True):
        assert torch.equal(a, b), key


# -- method 17 --------------------------------------------------------------------------------------------------------


TOY = '''
"""A toy. B batch, C channels, H = W pixels."""
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from reverie.core.generation import Items, generate_images, select_items
from reverie.core.method import Method, verb
from reverie.core.stage import Stage
from reverie.data.images.dataset import Images
from reverie.media import Image
from reverie.utils.seeding import noise


class Toy(Method):
    """The mean image, with noise.

    Nobody 2026, arXiv:0000.00000
    """

    data_type = Images

    @dataclass(frozen=True)
    class Config:
        size: int = 16
        """pixels"""
        channels: int | None = None
        """as the data"""
        steps: int = 20
        """training steps"""

    presets = {"smoke": dict(batch_size=4), "laptop": dict()}
    monitored = {"loss": "loss"}

    def __init__(self, config):
        super().__init__(config)
        self.mean = nn.Parameter(torch.zeros(config.channels, config.size, config.size))

    def optimizers(self):
        return {"toy": torch.optim.SGD([self.mean], 0.1)}

    def stages(self):
        return [Stage("first", self.config.steps // 2, self.step), Stage("second", self.config.steps // 2, self.step)]

    def step(self, batch, update):
        jitter = 0.1 * torch.randn_like(self.mean)
        return {"loss": update("toy", (batch["image"] - self.mean - jitter).square().mean())}

    def latents(self, seed):
        return lambda items: noise(seed, items, *self.mean.shape)

    def generator(self, z):
        return self.mean + 0.1 * z

    @verb
    def generate(self, n: int = 64, seed: int = 0, items: Items = None) -> Iterator[Image]:
        """New images.

        n: how many
        seed: where from
        """
        yield from generate_images(self.generator, self.latents(seed), select_items(items, n))
'''


def test_a_file_dropped_into_the_folder_is_covered(tmp_path: Path) -> None:
    """In a copy of the package, a toy method passes this whole file with no other change than being there."""
    shutil.copytree(SOURCE, tmp_path / "reverie", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "reverie" / "methods" / "zz_toy.py").write_text(TOY)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "-k", "zz_toy", "-p", "no:cacheprovider", "-p", "no:xdist"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=Path(__file__).parent, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert int(re.findall(r"(\d+) passed", ran.stdout)[0]) >= 14
    assert "zz_toy" not in registry.list_methods()
