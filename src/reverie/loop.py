"""The loop: data order, precision, ranks, logs, saves. It knows no method by name.

Randomness is a function of (seed, step, rank): the loop seeds every step anew and the order of batches follows
from (seed, step), so a resumed run equals the uninterrupted one to the last bit, and no random state is ever saved.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .average import Averages
from .errors import Trouble, UserError
from .method import Method
from .monitor import Finding, Monitor
from .order import Order, seed_of, stage_at
from .progress import Meter, Progress
from .ranks import Ranks
from .run import Run
from .settings import TrainConfig
from .stop import Interrupted, Stop

ROLLBACKS = 3
"""how often a run may go back before it stops for good"""


class Update:
    """The one road from a loss to weights: `update(name, loss)`."""

    def __init__(self, optimizers: dict[str, torch.optim.Optimizer], ranks: Ranks) -> None:
        self.optimizers, self.ranks, self.step = optimizers, ranks, 0
        self.parameters = {n: [p for g in o.param_groups for p in g["params"]] for n, o in optimizers.items()}
        self.rates = {n: [g["lr"] for g in o.param_groups] for n, o in optimizers.items()}

    def __call__(self, which: str | dict[str, Tensor], loss: Tensor | None = None, clip: float | None = None) -> Tensor:
        """Backward into the named optimizer's parameters only, mean over ranks, clip (norm), step.

        With {name: loss, ...} all gradients are taken before any step: for players that share a forward pass.
        Returns the loss (their sum), detached.
        """
        if isinstance(which, str):
            assert loss is not None
            which = {which: loss}
        losses = which
        for i, (name, value) in enumerate(losses.items()):
            value.backward(inputs=self.parameters[name], retain_graph=i < len(losses) - 1)
        for name in losses:
            self.ranks.mean_(p.grad for p in self.parameters[name] if p.grad is not None)
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(self.parameters[name], clip)
            self.optimizers[name].step()
            self.optimizers[name].zero_grad(set_to_none=True)
        return torch.stack([value.detach() for value in losses.values()]).sum()

    def forget(self, names: tuple[str, ...]) -> None:
        """Optimizers begin anew: momenta and the like are gone."""
        for name in names:
            self.optimizers[name].state.clear()

    def set_rates(self, factor: float) -> None:
        """Learning rates: what the optimizers were made with, times a factor."""
        for name, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * factor


def fit(method: Method, data: Any, run: Run, settings: TrainConfig, ranks: Ranks, header: dict[str, Any]) -> None:
    """Trains until the stages end. Raises Interrupted when asked to stop, after saving, and Trouble when the monitor
    finds what there is no going on from."""
    method.to(ranks.device).train()
    if settings.layout == "channels_last":
        for part in method.parameters():
            if part.ndim == 4:
                part.data = part.data.contiguous(memory_format=torch.channels_last)
    update = Update(method.optimizers(), ranks)
    averages = Averages(method, method.averages())
    stages, meter = method.stages(), Meter()
    total, told = sum(stage.steps for stage in stages), meter.state(ranks)

    def save() -> None:
        with averages.in_place():
            weights = {k: v.detach().clone() for k, v in method.lasting(method.state_dict().items())}
        run.save(step, _state(step, method, update, averages, told), weights, header)
        if settings.on_trouble == "rollback" and monitor.well:
            run.keep()

    def show() -> None:
        with averages.in_place():
            progress.show(step, method.previews(watched))

    step = ranks.tell(run.settle) or 0
    monitor, seed, ease = _outlook(run, settings)
    if step:
        _restore(run, method, update, averages, meter, ranks)
    elif settings.on_trouble == "rollback":
        ranks.together(save)  # so that there is always something to go back to
    shared = [b for _, b in method.lasting(method.named_buffers()) if b.is_floating_point()]
    order = Order(len(data), settings.batch, seed)
    watched = data.batch(Order(len(data), min(32, len(data)), settings.seed)(0), ranks.device)
    with Stop() as stop, Progress(run, step, total, settings, ranks.first) as progress:
        while step < total:
            stage, done = stage_at(stages, step)
            ranks.seed(seed_of(seed, step, ranks.rank))
            update.step = step
            update.set_rates(stage.rate(done) * ease)
            if not done:
                update.forget(stage.anew)
            batch = data.batch(order(step)[ranks.rank :: ranks.world], ranks.device)
            # Without a cache: after an update a step would go on with weights that were cast before it.
            with torch.autocast(ranks.device.type, torch.bfloat16, settings.precision == "bf16", cache_enabled=False):
                losses = stage.step(batch, update)
            ranks.mean_(shared)
            averages.follow()
            step += 1
            meter.add(losses)
            found = None
            if step % settings.log_every == 0:
                values = meter.read(ranks)
                progress.log(step, stage.name, values)
                found = monitor.look(step, values)
            progress.tick(step)
            asked = ranks.any(stop.asked)
            saving = step % settings.save_every == 0 or step == total or asked
            if saving:
                found = monitor.weigh(step, method.parameters(), shared) or found
            if found:
                progress.warn(step, stage.name, found)
                if found.fatal or settings.on_trouble != "warn":
                    step = _go_back(run, settings, ranks, step, found)
                    _restore(run, method, update, averages, meter, ranks)
                    monitor, seed, ease = _outlook(run, settings)
                    order = Order(len(data), settings.batch, seed)
                    continue
            if step % settings.preview_every == 0 or step == total:
                ranks.together(show)
            if saving:
                told = meter.state(ranks)
                ranks.together(save)
            if asked and step < total:
                raise Interrupted(f"stopped and saved at step {step} of {total}; go on with: reverie resume {run.path}")


def _outlook(run: Run, settings: TrainConfig) -> tuple[Monitor, int, float]:
    """What follows from the log: the monitor as it was, and after rollbacks another seed and lower rates."""
    lines = run.lines()
    monitor, rollbacks = Monitor(), sum("rollback" in line for line in lines)
    for line in lines:
        if "losses" in line:
            monitor.look(line["step"], line["losses"])
    return monitor, seed_of(settings.seed, rollbacks) if rollbacks else settings.seed, 0.5**rollbacks


def _go_back(run: Run, settings: TrainConfig, ranks: Ranks, step: int, found: Finding) -> int:
    """Puts a save from before the trouble in place and notes it in the log. Returns its step; raises Trouble."""
    rollbacks = ranks.tell(lambda: sum("rollback" in line for line in run.lines()))  # the first will write one more
    kept = f"the last save of {run.path} is kept. {found.advice}"
    if settings.on_trouble != "rollback":
        more = f" To go back and try again with other random numbers: reverie resume {run.path} --on-trouble rollback"
        raise Trouble(f"{found.name} at step {step}: {found.what}; {kept}{more}")
    if rollbacks >= ROLLBACKS:
        raise Trouble(f"{found.name} at step {step}, after {rollbacks} rollbacks: {found.what}; {kept}")
    return ranks.tell(lambda: run.go_back(step, found.since, {"why": found.name, "what": found.what}))


def _state(step: int, method: Method, update: Update, averages: Averages, meter: dict[str, Any]) -> dict[str, Any]:
    return {
        "step": step,
        "method": method.state_dict(),
        "optimizers": {name: optimizer.state_dict() for name, optimizer in update.optimizers.items()},
        "averages": averages.state(),
        "meter": meter,
    }


def _restore(run: Run, method: Method, update: Update, averages: Averages, meter: Meter, ranks: Ranks) -> None:
    state = run.state()
    try:
        method.load_state_dict(state["method"])
        for name, optimizer in update.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        averages.load(state["averages"])
        meter.load(state["meter"], ranks)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{run.path}: resume.pt does not fit run.json ({reason}); restore both from a copy.") from None
