"""Which options of a run may change when it is resumed: those that its results do not depend on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reverie.core.options import check_names, options_of_dataclass
from reverie.core.train_config import TrainConfig
from reverie.utils.errors import UserError

RESUMABLE = ("device", "on_failure", "log_every", "checkpoint_every", "sample_every", "tensorboard")
"""options of TrainConfig that may; `steps` of a method may too. Another device rounds differently"""


def fixed_options(config: type) -> list[str]:
    """The options of a method's config and of TrainConfig that are fixed when a run begins."""
    names = [option.name for kind in (config, TrainConfig) for option in options_of_dataclass(kind)]
    return [name for name in names if name not in (*RESUMABLE, "steps")]


def why_fixed(name: str, run: str, method: str) -> str:
    """The message that refuses a change of an option, with what to do instead."""
    flag = name.replace("_", "-")
    return (
        f"resume cannot change {name}, since results depend on it and a resumed run equals one that never stopped; it "
        f"may change steps, {', '.join(RESUMABLE[:-1])} and {RESUMABLE[-1]}. To go on with other options, train a new "
        f"run from these weights, where their shapes allow it: reverie train {method} --from {run} --{flag} ... "
        "--data DATA --out NEW"
    )


def check_resumable(names: Iterable[str], config: Any, run: str, method: str) -> None:
    """Raises UserError for the first option that may not change, or that is none."""
    fixed = fixed_options(config)
    for name in names:
        if name in fixed:
            raise UserError(why_fixed(name, run, method))
    check_names(names, {*RESUMABLE, "steps", "data", "callback"}, "resume")
