"""Options of a run from a file: TOML that a user writes, or the run.json of another run.

    method = "vae"                   or "vae:paper"; beside `preset`
    data = "photos"                  or the table [data] with path, splits, pairing, labels
    out = "runs/a"
    steps = 2000                     options stand at the top level, or in [config] and [train], as in run.json

Paths are relative to the working directory, as on the command line; the data of a run.json is found as resume does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from reverie.runs.data_place import IN_MEMORY, spec_of_run
from reverie.utils.errors import UserError, near_miss, printable

MAX_BYTES = 1_000_000
ENTRIES = ("method", "preset", "data", "out", "splits", "pairing", "labels", "init_from", "from", "config", "train")
"""what a file may hold beside options"""
DATA_ENTRIES = ("path", "spec", "splits", "pairing", "labels")


class RunConfig(NamedTuple):
    """What a file says of a run."""

    method: str
    """NAME or NAME:PRESET; "" if it names none"""
    arguments: dict[str, Any]
    """data, out, splits, pairing, labels, init_from, where given, and options of the method and of TrainConfig"""


def read_config(path: str | Path) -> RunConfig:
    """The options that a TOML file, or a run.json, states; whether there are such, check_entries looks.

    Raises UserError.
    """
    file = Path(path)
    try:
        if file.is_dir():
            file = file / "run.json"
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({reason}); give a TOML file of options, or a run.json.") from None
    if len(data) > MAX_BYTES:
        raise UserError(f"{path} is larger than 1 MB; give a TOML file of options, or a run.json.")
    content = _parse(data, file)
    if file.suffix.lower() == ".json" and "versions" in content:
        content = _of_run(content, file)
    return _run_config(content, file)


def _parse(data: bytes, file: Path) -> dict[str, Any]:
    """The content of TOML, or of JSON by the suffix. Raises UserError."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]
    kind = "JSON" if file.suffix.lower() == ".json" else "TOML"
    try:
        text = data.decode("utf-8-sig")
        content = json.loads(text) if kind == "JSON" else tomllib.loads(text)
    except UnicodeDecodeError:
        raise UserError(f"{file} is not {kind}: it is no text in UTF-8.") from None
    except RecursionError:
        raise UserError(f"{file} is not a file of options: it is nested too deeply.") from None
    except ValueError as error:
        raise UserError(f"{file} is not {kind}: {printable(str(error))[:200]}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} is not a file of options: it holds no names with values.")
    return content


def _of_run(about: dict[str, Any], file: Path) -> dict[str, Any]:
    """What of a run.json states how to train; names that the data decides are left to the data. Raises UserError."""
    try:
        config, data = dict(about["config"]), dict(about["data"])
        lists = [name for name, value in config.items() if name in ("class_names", "vocab") or value is None]
        content = {
            "method": about["method"], "preset": about.get("preset", "laptop"),
            "config": {name: value for name, value in config.items() if name not in lists},
            "train": dict(about["train"]),
            **{name: data[name] for name in ("splits", "pairing", "labels") if name in data},
        }  # fmt: skip
        if not str(data["spec"]).endswith(IN_MEMORY):
            content["data"] = spec_of_run(data, file.parent)
        return content
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} cannot be used as a run.json ({printable(str(error))[:100]}).") from None
    except UserError as error:
        if "any more" not in str(error):
            raise
        return {**content, "data": str(data["spec"])}  # it was moved; --data may say where


def _run_config(content: dict[str, Any], file: Path) -> RunConfig:
    """Raises UserError for tables and entries that are none."""
    arguments: dict[str, Any] = {}
    for name, value in content.items():
        if name in ("config", "train"):
            if not isinstance(value, dict):
                raise UserError(f"{file}: {name} must be a table of options, [{name}].")
            _add(arguments, value, file)
        elif name == "data" and isinstance(value, dict):
            for entry in value:
                if entry not in DATA_ENTRIES:
                    hint = near_miss(entry, DATA_ENTRIES) or f" It has: {', '.join(DATA_ENTRIES)}."
                    raise UserError(f"{file}: [data] has no entry '{printable(entry)[:60]}'.{hint}")
            place = value.get("path", value.get("spec"))
            _add(arguments, {"data": place} if place is not None else {}, file)
            _add(arguments, {key: value[key] for key in ("splits", "pairing", "labels") if key in value}, file)
        elif name == "from":
            _add(arguments, {"init_from": value}, file)
        elif name not in ("method", "preset"):
            _add(arguments, {name: value}, file)
    for name in ("data", "out", "splits", "pairing", "labels", "init_from"):
        if name in arguments and not isinstance(arguments[name], str):
            raise UserError(f"{file}: {name} must be a text.")
    method, preset = content.get("method", ""), content.get("preset", "")
    if not isinstance(method, str) or not isinstance(preset, str):
        raise UserError(f"{file}: method and preset must be texts.")
    return RunConfig(f"{method}:{preset}" if preset and method and ":" not in method else method, arguments)


def _add(arguments: dict[str, Any], entries: dict[str, Any], file: Path) -> None:
    """Takes options in. Raises UserError where one is there already, or is a table."""
    for name, value in entries.items():
        shown = printable(str(name))[:60]
        if name in arguments:
            raise UserError(f"{file}: {shown} is given twice.")
        if isinstance(value, dict):
            hint = near_miss(name, ENTRIES) or " There are [config], [train] and [data]."
            raise UserError(f"{file}: there is no table [{shown}].{hint}")
        arguments[name.replace("-", "_")] = value


def check_entries(config: RunConfig, known: Iterable[str], path: str | Path) -> None:
    """Raises UserError for an entry that is neither an option nor one of ENTRIES."""
    names = [*known, *ENTRIES]
    for name in config.arguments:
        if name not in names:
            hint = near_miss(name, names) or " `reverie train METHOD --help` lists the options."
            raise UserError(f"{path}: there is no option '{printable(name)[:60]}'.{hint}")
