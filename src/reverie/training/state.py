"""What resume.pt holds of a training run, and how training goes on from it."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.method import Method
from reverie.core.update import Update
from reverie.runs.run_folder import Run
from reverie.runs.weights_file import check_tensor, check_values
from reverie.training.ema import EMA
from reverie.training.meter import MetricAverager
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError


def training_state(step: int, method: Method, update: Update, ema: EMA, sums: dict[str, Any]) -> dict[str, Any]:
    """What resume.pt holds."""
    return {
        "step": step,
        "method": method.state_dict(),
        "optimizers": {name: optimizer.state_dict() for name, optimizer in update.optimizers.items()},
        "ema": ema.state(),
        "metrics": sums,
    }


def restore_state(run: Run, method: Method, update: Update, ema: EMA, averager: MetricAverager, ranks: Ranks) -> None:
    """Loads what resume.pt holds. Raises UserError if it is not of this method.

    Options of the optimizers are not taken from it: they follow from the config.
    """
    state = run.state()
    try:
        check_values(method.state_dict(), state["method"])
        method.load_state_dict(state["method"])
        for name, optimizer in update.optimizers.items():
            _restore_optimizer(name, optimizer, state["optimizers"][name]["state"])
        ema.load(state["ema"])
        averager.load(state["metrics"], ranks)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[-1].strip()
        raise UserError(
            f"{run.path}: resume.pt does not fit run.json ({reason}); one was changed, or the run is of another "
            "version of Reverie: restore both from a copy, or train again."
        ) from None


def _restore_optimizer(name: str, optimizer: torch.optim.Optimizer, saved: dict[int, dict[str, Any]]) -> None:
    """Loads the state of each parameter: momenta and the like. Raises ValueError and others if it is not that."""
    own = optimizer.state_dict()
    parameters = {
        i: (p, wanted)
        for group, numbered in zip(optimizer.param_groups, own["param_groups"], strict=True)
        for wanted in [_state_of_a_step(optimizer, group)]
        for i, p in zip(numbered["params"], group["params"], strict=True)
    }
    for i, entries in saved.items():
        parameter, wanted = parameters.get(i, (None, {}))
        if parameter is None or entries.keys() != wanted.keys():
            raise ValueError(f"its optimizer {name} has another state")
        for key, (like_parameter, dtype) in wanted.items():
            shape = parameter.shape if like_parameter else torch.Size()
            check_tensor(f"{key} of optimizer {name}", torch.empty(shape, dtype=dtype, device="meta"), entries[key])
            if not like_parameter and not entries[key] >= 0:
                raise ValueError(f"{key} of optimizer {name} is {entries[key]}")
    optimizer.load_state_dict({"state": saved, "param_groups": own["param_groups"]})


def _state_of_a_step(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> dict[str, tuple[bool, torch.dtype]]:
    """What an optimizer keeps of a parameter of a group: name -> (whether it has the parameter's shape, its type)."""
    probe = copy.copy(optimizer)
    parameter = nn.Parameter(torch.zeros_like(group["params"][0].detach().reshape(-1)[:2]))
    parameter.grad = torch.zeros_like(parameter)
    probe.state, probe.param_groups = defaultdict(dict), [{**group, "params": [parameter]}]
    probe.step()
    kept: dict[str, Tensor] = probe.state[parameter]
    return {key: (value.shape == parameter.shape, value.dtype) for key, value in kept.items()}
