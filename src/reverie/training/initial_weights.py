"""Beginning a run with the weights of another one: fine-tuning (`train --from RUN`)."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reverie.core.method import Method
from reverie.core.options import options_of_dataclass
from reverie.runs.run_folder import Run, is_under_way
from reverie.runs.run_place import weights_of
from reverie.runs.weights_file import check_values, read_weights, write_weights
from reverie.utils.atomic_files import disk_errors, replacing
from reverie.utils.errors import UserError

INITIAL = "initial.safetensors"
"""in a run folder: the weights that the run begins with, until its first checkpoint"""
NOT_INHERITED = ("steps", "class_names")
"""fields of a config that a new run does not take over"""


class Initial(NamedTuple):
    """The weights that a run begins with, and where they are from."""

    place: str
    method: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    digest: str
    """16 hex digits of the SHA-256 of the file"""
    step: int | None

    def inherited(self, config: type, known: dict[str, Any]) -> dict[str, Any]:
        """The options of a config that the new run takes over: all but those given, `known`, and NOT_INHERITED."""
        names = {option.name for option in options_of_dataclass(config)} - set(NOT_INHERITED) - set(known)
        return {name: value for name, value in self.config.items() if name in names}


def read_initial(place: str | Path, method: str) -> Initial:
    """The weights of a run folder or a weights file. Raises UserError where they are of another method."""
    header, weights, digest = read_weights(weights_of(place))
    if header["method"] != method:
        raise UserError(
            f"{place} holds a {header['method']}, and a {method} is to be trained; train {header['method']}."
        )
    return Initial(str(place), method, header["config"], weights, digest[:16], header.get("step"))


def begin_with(method: Method, initial: Initial) -> dict[str, Any]:
    """Loads weights into a method; what depends on another number of classes keeps its first weights.

    Returns what run.json says of it. Raises UserError where they do not fit.
    """
    own = method.state_dict()
    persistent = dict(method.persistent_tensors(own.items()))
    fitting = {name: x for name, x in initial.weights.items() if name in own and own[name].shape == x.shape}
    fresh = [name for name in persistent if name not in fitting]
    optional = tuple(f"{module}." for module in method.optional_modules())
    missing = [name for name in fresh if name not in initial.weights and name.startswith(optional)]
    classes, theirs = (tuple(names or ()) for names in (
        getattr(method.config, "class_names", None), initial.config.get("class_names")))  # fmt: skip
    if misfits := [name for name in fresh if name not in missing]:
        config = dataclasses.asdict(method.config)
        differing = [
            f"{name} {_short(initial.config.get(name))} (here {_short(value)})"
            for name, value in config.items()
            if name not in NOT_INHERITED and name in initial.config and not _equal(initial.config[name], value)
        ]
        if len(classes) == len(theirs) or _misfits_beside_classes(method, initial, theirs):
            what = ", ".join(differing[:4]) or f"{misfits[0]} has another shape"
            raise UserError(f"the weights of {initial.place} do not fit: they have {what}; give the same values.")
    try:
        check_values(own, fitting)
    except RuntimeError as error:
        raise UserError(
            f"the weights of {initial.place} cannot be used ({error}); give those of another run."
        ) from None
    method.load_state_dict({**own, **fitting})
    return {
        "weights": initial.digest, "from": Path(initial.place).name, "step": initial.step, "reinitialised": fresh,
        **({"classes": list(theirs)} if theirs != classes else {}),
    }  # fmt: skip


def describe_initial(method: Method, about: dict[str, Any]) -> str:
    """What begin_with did, as a line for the user."""
    text = f"begins with the weights of {about['from']} ({about['weights']}, step {about['step']})"
    classes = getattr(method.config, "class_names", None) or ()
    if "classes" in about and len(about["classes"]) != len(classes):
        parts = sorted({name.rpartition(".")[0] or name for name in about["reinitialised"]})
        text += f"; {len(classes)} classes in place of {len(about['classes'])}: begun anew are {', '.join(parts)}"
    elif "classes" in about:
        text += f"; its classes were {', '.join(about['classes'][:8])}, whose weights these classes take in this order"
    elif about["reinitialised"]:
        text += (
            f"; it lacks {', '.join(sorted({name.partition('.')[0] for name in about['reinitialised']}))}: begun anew"
        )
    return text


def keep_initial(run: Run, method: Method, header: dict[str, Any]) -> None:
    """Writes the weights that a run begins with, so that it can be resumed before its first checkpoint."""
    weights = {name: x.detach() for name, x in method.persistent_tensors(method.state_dict().items())}
    with disk_errors(run.path), replacing(run.path / INITIAL) as part:
        write_weights(part, weights, {**header, "step": 0})


def drop_unbegun(run: Run) -> None:
    """Removes the folder of a run that failed before it learnt anything, so that a corrected command can have it."""
    with contextlib.suppress(OSError):  # the error that is under way is the one to be seen
        if all(is_under_way(file) or file.name in ("run.json", INITIAL) for file in run.path.iterdir()):
            run.release()  # Windows removes no file that is open
            shutil.rmtree(run.path)


def restore_initial(run: Run, method: Method) -> None:
    """Loads the weights that a run began with. Raises UserError if they are not there or do not fit."""
    path = run.path / INITIAL
    if not path.is_file():
        raise UserError(f"{run.path} was stopped before it had its first weights; remove it, and train it again.")
    weights = read_weights(path)[1]
    try:
        check_values(method.state_dict(), weights)
        method.load_state_dict({**method.state_dict(), **weights})
    except RuntimeError as error:
        raise UserError(f"{path} does not fit ({str(error).splitlines()[-1].strip()}); train the run again.") from None


def drop_initial(run: Run) -> None:
    """Removes those weights, which a checkpoint has taken the place of."""
    (run.path / INITIAL).unlink(missing_ok=True)


def _misfits_beside_classes(method: Method, initial: Initial, classes: tuple[str, ...]) -> bool:
    """Whether weights do not fit a method of this config that has the classes which they were trained on."""
    with torch.random.fork_rng(devices=[]):
        probe = type(method)(dataclasses.replace(method.config, class_names=classes)).state_dict()
    theirs = initial.weights
    return any(name not in probe or probe[name].shape != x.shape for name, x in theirs.items())


def _equal(a: Any, b: Any) -> bool:
    return list(a) == list(b) if isinstance(a, list | tuple) and isinstance(b, list | tuple) else a == b


def _short(value: Any) -> str:
    return f"{len(value)} of them" if isinstance(value, list | tuple) and len(value) > 4 else str(value)
