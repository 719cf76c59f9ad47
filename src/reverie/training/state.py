"""What resume.pt holds of a training run, and how training goes on from it."""

from __future__ import annotations

from typing import Any

from reverie.core.method import Method
from reverie.core.update import Update
from reverie.runs.run_folder import Run
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
    """Loads what resume.pt holds. Raises UserError if it is not of this method."""
    state = run.state()
    try:
        method.load_state_dict(state["method"])
        for name, optimizer in update.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        ema.load(state["ema"])
        averager.load(state["metrics"], ranks)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{run.path}: resume.pt does not fit run.json ({reason}); restore both from a copy.") from None
