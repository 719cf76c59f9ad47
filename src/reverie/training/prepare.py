"""From names, options and a place of data to a method that is ready to be trained."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from reverie.core.construct import TRAINED_COPIES, construct
from reverie.core.method import Method
from reverie.core.options import build, check_config, check_names, options_of_dataclass
from reverie.core.registry import method_class
from reverie.core.train_config import TrainConfig
from reverie.data.images.decode import MIN_SIDE
from reverie.data.images.from_python import why_unlabelled
from reverie.data.kinds import check_medium
from reverie.data.python_data import PythonData
from reverie.training.memory_format import memory_format_for
from reverie.transforms.degradations import NO_COLOUR
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError, near_miss


class Prepared(NamedTuple):
    """A method ready to be trained: its class, the preset's name, both configs with nothing left open, its data."""

    method: type[Method]
    preset: str
    config: Any
    settings: TrainConfig
    data: Any


def prepare_method(method: str, data: Any, options: dict[str, Any], ranks: Ranks | None = None) -> Prepared:
    """From "name:preset", data and options to what can be trained.

    The data is opened and prepared, and what it decides (channels, classes, vocabulary) is written into the config.
    Where the method may make the inputs of pairs itself and a preset alone says how, it does so of single images, while
    pairs are taken as they are.
    data: a path, the name of a set, or open data. Raises UserError where the method cannot learn from the data.
    """
    ranks = ranks or Ranks(str(options.get("device", "auto")))
    makes_inputs = hasattr(method_class(method.partition(":")[0]).data_type, "restate")
    by_preset = makes_inputs and "degradation" not in options
    cls, preset, config, settings = parse_method(method, {**options, "degradation": ""} if by_preset else options)
    chosen = getattr(config, "size", None) is not None
    settings = settle_machine(settings, ranks)
    opened = open_on_ranks(ranks, cls, config, data, options)
    if by_preset and getattr(opened, "a", None) is None:
        config = parse_method(method, options)[2]
    config = cls.resolve_config(config, facts_of(opened))
    prepare_data(ranks, cls, config, opened)
    config = cls.resolve_config(config, facts_of(opened))  # preparing has decided the rest, such as the vocabulary
    check_config(config)
    opened.facts.pop("output_size", None)  # open data may have been used for another method before
    if opened.kind == "images" and (size := _output_size(config, opened.facts, chosen)):
        opened.facts["output_size"] = size
    return Prepared(cls, preset, config, settings, opened)


def facts_of(data: Any) -> dict[str, Any]:
    """What open data decides of a config: its own facts, and the names of its classes."""
    return {**data.facts, "class_names": tuple(data.classes)}


def parse_method(method: str, options: dict[str, Any]) -> tuple[type[Method], str, Any, TrainConfig]:
    """(class, preset, config, settings) from "name:preset" and options. Raises UserError where a name is unknown."""
    name, _, preset = method.partition(":")
    cls, preset = method_class(name), preset or "laptop"
    if preset not in cls.presets:
        hint = near_miss(preset, list(cls.presets)) or f" It has: {', '.join(cls.presets)}."
        raise UserError(f"{name} has no preset '{preset}'.{hint}")
    of_method = {option.name for option in options_of_dataclass(cls.Config)}
    of_run = {option.name for option in options_of_dataclass(TrainConfig)}
    values = {**cls.preset(preset), **options}
    check_names(values, of_method | of_run, name)
    config = build(cls.Config, {k: v for k, v in values.items() if k in of_method})
    settings = build(TrainConfig, {k: v for k, v in values.items() if k in of_run})
    return cls, preset, config, settings


def settle_machine(settings: TrainConfig, ranks: Ranks) -> TrainConfig:
    """The settings with what the machine decided, to be kept with the run."""
    if settings.batch_size % ranks.world_size:
        raise UserError(
            f"batch_size is {settings.batch_size}; with {ranks.world_size} ranks it must be a multiple of "
            f"{ranks.world_size}."
        )
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if ranks.device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return dataclasses.replace(settings, device=ranks.device.type, threads=torch.get_num_threads())


def open_on_ranks(
    ranks: Ranks, cls: type[Method], config: Any, data: Any, options: dict[str, Any] | None = None
) -> Any:
    """The data at a path or of a name, opened on every rank; data that is open already is taken as it is.

    options: those that the user gave, which go before guesses. Raises UserError.
    """
    if not isinstance(data, str | Path):
        return data

    def open_here() -> Any:
        check_medium(cls.data_type, data)
        restate = getattr(cls.data_type, "restate", None)
        spec = restate(data, options) if options and restate else data
        return cls.data_type.open(spec, **cls.open_args(config))

    return _main_first(ranks, open_here)


def with_memory_format(settings: TrainConfig, method: Method, ranks: Ranks) -> TrainConfig:
    """The settings with the memory format that "auto" stands for."""
    if settings.memory_format != "auto":
        return settings
    memory_format = memory_format_for(method, settings.batch_size // ranks.world_size, settings.device)
    return dataclasses.replace(settings, memory_format=memory_format)


def _main_first(ranks: Ranks, load_data: Callable[[], Any]) -> Any:
    """What load_data returns, on every rank; rank 0 calls it first and fills the cache, which the others then read."""
    loaded = ranks.run_on_main(load_data)
    return loaded if ranks.is_main else load_data()


def prepare_data(ranks: Ranks, cls: type[Method], config: Any, data: Any) -> None:
    """Decodes the data. Raises UserError if the method cannot learn from it."""
    if cls.needs_labels and not data.classes:
        raise UserError(why_unlabelled(data))
    if cls.needs_colour and data.facts["channels"] == 1:
        raise UserError(NO_COLOUR)
    _main_first(ranks, lambda: data.prepare(**cls.data_args(config)))
    if len(data) < 2:
        dropped = f" ({len(data.dropped)} files were dropped: reverie data inspect says why)" if data.dropped else ""
        if isinstance(data.spec, PythonData) and data.dropped:
            dropped = f" ({data.dropped[0].name} was dropped: {data.dropped[0].reason})"
        raise UserError(
            f"{data.spec} holds one usable item{dropped}; learning what items have in common takes 2 or more."
        )


def build_method(cls: type[Method], config: Any, settings: TrainConfig, ranks: Ranks) -> Method:
    """The method with its first weights. Raises UserError if there are no steps to train, or batches of one item where
    a layer needs several."""
    torch.manual_seed(settings.seed)  # the first weights follow from the seed
    method = construct(cls, config, TRAINED_COPIES)
    steps = [stage.steps for stage in method.stages()]
    if min(steps) < 0 or sum(steps) < 1:
        raise UserError(f"steps is {min(steps)}; it must be 1 or more.")
    if settings.batch_size == ranks.world_size and any(isinstance(m, nn.BatchNorm1d) for m in method.modules()):
        raise UserError(
            f"batch_size is {settings.batch_size}, one item for each process, and this network has a batch norm, which "
            f"compares the items of a batch: give {2 * ranks.world_size} or more."
        )
    return method


def _output_size(config: Any, facts: dict[str, Any], chosen: bool) -> int | None:
    """Pixels a side of the images that verbs make, where that is not the size that the networks work at.

    It is the size of the data where that is below twice the networks' size; but where the user has chosen a smaller
    size than the data has, it is that. chosen: whether the size was chosen
    """
    size, native = getattr(config, "size", None), facts.get("native")
    if not size or not native or native == size or native >= 2 * size or (chosen and native > size):
        return None
    return max(native, MIN_SIDE)
