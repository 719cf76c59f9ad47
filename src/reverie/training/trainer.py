"""The loop: data order, precision, ranks, logs, saves. It knows no method by name.

Randomness is a function of (seed, step, rank): the loop seeds every step anew and the order of batches follows
from (seed, step), so a resumed run equals the uninterrupted one to the last bit, and no random state is ever saved.
"""

from __future__ import annotations

from typing import Any

import torch

from reverie.core.method import Method
from reverie.core.train_config import TrainConfig
from reverie.core.update import Update
from reverie.runs.run_folder import Run
from reverie.training.batch_order import BatchOrder, stage_at
from reverie.training.ema import EMA
from reverie.training.meter import MetricAverager
from reverie.training.monitor import Alert, Monitor
from reverie.training.progress import Progress
from reverie.training.signals import GracefulStop, Interrupted
from reverie.utils.distributed import Ranks
from reverie.utils.errors import TrainingFailed, UserError
from reverie.utils.seeding import seed_of

ROLLBACKS = 3
"""how often a run may go back before it stops for good"""


def fit(method: Method, data: Any, run: Run, settings: TrainConfig, ranks: Ranks, header: dict[str, Any]) -> None:
    """Trains until the stages end. Raises Interrupted when asked to stop, after saving, and TrainingFailed when the monitor
    finds what there is no going on from."""
    method.to(ranks.device).train()
    if settings.memory_format == "channels_last":
        for part in method.parameters():
            if part.ndim == 4:
                part.data = part.data.contiguous(memory_format=torch.channels_last)
    update = Update(method.optimizers(), ranks)
    ema = EMA(method, method.ema_decays())
    stages, meter = method.stages(), MetricAverager()
    total, told = sum(stage.steps for stage in stages), meter.state(ranks)

    def save() -> None:
        with ema.applied():
            weights = {k: v.detach().clone() for k, v in method.persistent_tensors(method.state_dict().items())}
        run.save(step, _state(step, method, update, ema, told), weights, header)
        if settings.on_failure == "rollback" and monitor.healthy:
            run.mark_good()

    def show() -> None:
        with ema.applied():
            progress.show(step, method.sample_grids(watched))

    step = ranks.broadcast(run.recover) or 0
    monitor, seed, ease = _outlook(run, settings)
    if step:
        _restore(run, method, update, ema, meter, ranks)
    elif settings.on_failure == "rollback":
        ranks.run_on_main(save)  # so that there is always something to go back to
    shared = [b for _, b in method.persistent_tensors(method.named_buffers()) if b.is_floating_point()]
    order = BatchOrder(len(data), settings.batch_size, seed)
    watched = data.batch(BatchOrder(len(data), min(32, len(data)), settings.seed)(0), ranks.device)
    with GracefulStop() as stop, Progress(run, step, total, settings, ranks.is_main) as progress:
        while step < total:
            stage, done = stage_at(stages, step)
            ranks.seed(seed_of(seed, step, ranks.rank))
            update.step = step
            update.set_rates(stage.lr_factor(done) * ease)
            if not done:
                update.forget(stage.reset_optimizers)
            batch = data.batch(order(step)[ranks.rank :: ranks.world], ranks.device)
            # Without a cache: after an update a step would go on with weights that were cast before it.
            with torch.autocast(ranks.device.type, torch.bfloat16, settings.precision == "bf16", cache_enabled=False):
                losses = stage.step(batch, update)
            ranks.mean_(shared)
            ema.update()
            step += 1
            meter.add(losses)
            found = None
            if step % settings.log_every == 0:
                values = meter.read(ranks)
                progress.log(step, stage.name, values)
                found = monitor.check_metrics(step, values)
            progress.tick(step)
            asked = ranks.any(stop.asked)
            saving = step % settings.checkpoint_every == 0 or step == total or asked
            if saving:
                found = monitor.check_weights(step, method.parameters(), shared) or found
            if found:
                progress.warn(step, stage.name, found)
                if found.fatal or settings.on_failure != "warn":
                    step = _go_back(run, settings, ranks, step, found)
                    _restore(run, method, update, ema, meter, ranks)
                    monitor, seed, ease = _outlook(run, settings)
                    order = BatchOrder(len(data), settings.batch_size, seed)
                    continue
            if step % settings.sample_every == 0 or step == total:
                ranks.run_on_main(show)
            if saving:
                told = meter.state(ranks)
                ranks.run_on_main(save)
            if asked and step < total:
                raise Interrupted(f"stopped and saved at step {step} of {total}; go on with: reverie resume {run.path}")


def _outlook(run: Run, settings: TrainConfig) -> tuple[Monitor, int, float]:
    """What follows from the log: the monitor as it was, and after rollbacks another seed and lower rates."""
    lines = run.lines()
    monitor, rollbacks = Monitor(), sum("rollback" in line for line in lines)
    for line in lines:
        if "losses" in line:
            monitor.check_metrics(line["step"], line["losses"])
    return monitor, seed_of(settings.seed, rollbacks) if rollbacks else settings.seed, 0.5**rollbacks


def _go_back(run: Run, settings: TrainConfig, ranks: Ranks, step: int, found: Alert) -> int:
    """Puts a save from before the trouble in place and notes it in the log. Returns its step; raises TrainingFailed."""
    rollbacks = ranks.broadcast(
        lambda: sum("rollback" in line for line in run.lines())
    )  # the first will write one more
    kept = f"the last save of {run.path} is kept. {found.advice}"
    if settings.on_failure != "rollback":
        more = f" To go back and try again with other random numbers: reverie resume {run.path} --on-failure rollback"
        raise TrainingFailed(f"{found.name} at step {step}: {found.what}; {kept}{more}")
    if rollbacks >= ROLLBACKS:
        raise TrainingFailed(f"{found.name} at step {step}, after {rollbacks} rollbacks: {found.what}; {kept}")
    return ranks.broadcast(lambda: run.rollback(step, found.since, {"why": found.name, "what": found.what}))


def _state(step: int, method: Method, update: Update, ema: EMA, meter: dict[str, Any]) -> dict[str, Any]:
    return {
        "step": step,
        "method": method.state_dict(),
        "optimizers": {name: optimizer.state_dict() for name, optimizer in update.optimizers.items()},
        "ema": ema.state(),
        "meter": meter,
    }


def _restore(run: Run, method: Method, update: Update, ema: EMA, meter: MetricAverager, ranks: Ranks) -> None:
    state = run.state()
    try:
        method.load_state_dict(state["method"])
        for name, optimizer in update.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        ema.load(state["ema"])
        meter.load(state["meter"], ranks)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{run.path}: resume.pt does not fit run.json ({reason}); restore both from a copy.") from None
