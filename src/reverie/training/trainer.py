"""The training loop: data order, precision, ranks, the log, checkpoints, samples. It knows no method by name.

Randomness is a function of (seed, step, rank): every step is seeded anew, and the order of batches is a function of
(seed, step). So a resumed run equals the uninterrupted one bit for bit, and no random state is ever saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from reverie.core.method import Method
from reverie.core.stage import Metrics, Stage
from reverie.core.train_config import TrainConfig
from reverie.core.update import Update
from reverie.runs.run_folder import Run
from reverie.training.batch_order import BatchOrder, stage_at
from reverie.training.cadence import Cadence
from reverie.training.ema import EMA
from reverie.training.memory_format import to_device
from reverie.training.meter import MetricAverager
from reverie.training.monitor import Alert, Monitor
from reverie.training.progress import Progress
from reverie.training.sample_diversity import needs_sample_diversity, sample_diversity
from reverie.training.signals import GracefulStop, Interrupted
from reverie.training.state import restore_state, training_state
from reverie.utils.distributed import Ranks
from reverie.utils.errors import TrainingFailed
from reverie.utils.seeding import seed_of

ROLLBACKS = 3
"""how often a run may go back before it stops for good"""


def fit(
    method: Method,
    data: Any,
    run: Run,
    settings: TrainConfig,
    ranks: Ranks,
    header: dict[str, Any],
    on_checkpoint: Callable[[], None] = lambda: None,
    on_log: Callable[[int, dict[str, float], GracefulStop], None] = lambda step, metrics, stop: None,
) -> None:
    """Trains until the stages end, from the checkpoint in the run folder if there is one.

    header: what the weights file says of itself; on_checkpoint: what the main rank calls after each checkpoint;
    on_log(step, metrics, stop): called at each line of the log; it may set stop.requested. Raises Interrupted when
    asked to stop, after saving a checkpoint, and TrainingFailed where the monitor raises an alert that ends the run.
    """
    to_device(method, ranks.device, settings.memory_format)
    update = Update(method.optimizers(), ranks)
    ema = EMA(method, method.ema_decays())
    averager = MetricAverager()
    stages = method.stages()
    cadence = Cadence(stages, settings)
    buffers = [b for _, b in method.persistent_tensors(method.named_buffers()) if b.is_floating_point()]
    # What is infinite at first, such as a best value so far, may stay so; all else a run could not be loaded with.
    weights_to_check = [x for x in (*method.parameters(), *buffers) if x.isfinite().all()]
    sums = averager.state(ranks)  # gathered by all ranks, before one of them saves

    def save() -> None:
        with ema.applied():
            weights = {k: v.detach().clone() for k, v in method.persistent_tensors(method.state_dict().items())}
        run.save(step, training_state(step, method, update, ema, sums), weights, header)
        if settings.on_failure == "rollback" and monitor.healthy:
            run.mark_good()
        on_checkpoint()

    def show_samples() -> None:
        with ema.applied():
            progress.show(step, method.sample_grids(first_items))

    def measure_samples() -> dict[str, float]:
        with ema.applied():
            return sample_diversity(method, first_items)

    step = ranks.broadcast(run.recover) or 0
    if step < cadence.total:
        ranks.run_on_main(run.drop_remainder)
    monitor, seed, lr_factor = _replay_log(run, method, settings)
    if step:
        restore_state(run, method, update, ema, averager, ranks)
    elif settings.on_failure == "rollback":
        ranks.run_on_main(save)  # so that there is always a checkpoint to go back to
    order = BatchOrder(len(data), settings.batch_size, seed)
    first_items = data.batch(BatchOrder(len(data), min(32, len(data)), settings.seed)(0), ranks.device)
    measures = needs_sample_diversity(method, first_items)

    with GracefulStop() as stop, Progress(run, step, stages, settings, ranks.is_main) as progress:
        while step < cadence.total:
            stage, done = stage_at(stages, step)
            metrics = take_step(step, stage, done, data, order, update, settings, lr_factor)
            ranks.mean_(buffers)
            ema.update()
            averager.add(metrics)
            step += 1

            # What the monitor sees in it, the same on all ranks.
            alerts: list[Alert] = []
            if cadence.logs(step):
                means = averager.read(ranks, keep=cadence.is_remainder(step))
                progress.log(step, stage.name, means, cadence.is_remainder(step))
                on_log(step, means, stop)
                alerts += [] if cadence.is_remainder(step) else monitor.check_metrics(step, means, stage.name)
            progress.tick(step)
            stopping = ranks.any(stop.requested)
            saving = cadence.saves(step) or stopping
            alerts += monitor.check_weights(step, weights_to_check) if saving else []
            if cadence.measures(step) and measures and not any(alert.fatal for alert in alerts):
                diversity = ranks.broadcast(measure_samples)
                progress.log_samples(step, stage.name, diversity)
                alerts += monitor.check_samples(step, diversity)
            for alert in alerts:
                progress.warn(step, stage.name, alert)
            if worst := _worst(alerts, settings):
                step = _roll_back(run, settings, ranks, step, worst)
                restore_state(run, method, update, ema, averager, ranks)
                monitor, seed, lr_factor = _replay_log(run, method, settings)
                order = BatchOrder(len(data), settings.batch_size, seed)
                continue

            if cadence.samples(step):
                ranks.run_on_main(show_samples)
            if saving:
                sums = averager.state(ranks)
                ranks.run_on_main(save)
            if stopping and step < cadence.total:
                raise Interrupted(
                    f"stopped and saved at step {step} of {cadence.total}; go on with: reverie resume {run.path}"
                )


def take_step(
    step: int, stage: Stage, done: float, data: Any, order: BatchOrder, update: Update, settings: TrainConfig,
    lr_factor: float = 1.0,
) -> Metrics:  # fmt: skip
    """One step of a stage, of which the share `done` is done: its seed, learning rates and batch, then the method's."""
    ranks = update.ranks
    ranks.seed(seed_of(order.seed, step, ranks.rank))
    update.step = step
    update.set_lr_factor(stage.lr_factor(done) * lr_factor)
    if not done:
        update.reset(stage.reset_optimizers)
    batch = data.batch(order(step)[ranks.rank :: ranks.world_size], ranks.device)
    # Without a cache: after an update a step would go on with weights that were cast before it.
    with torch.autocast(ranks.device.type, torch.bfloat16, settings.precision == "bf16", cache_enabled=False):
        return stage.step(batch, update)


def _replay_log(run: Run, method: Method, settings: TrainConfig) -> tuple[Monitor, int, float]:
    """What the log says of how to go on: (the monitor as it was, seed, factor on learning rates).

    Each rollback changes the seed and halves the learning rates.
    """
    monitor, rollbacks = Monitor(method.monitored, vars(method.config)), 0
    for line in run.lines():
        if "metrics" in line:
            monitor.check_metrics(line["step"], line["metrics"], line["stage"])
        elif "samples" in line:
            monitor.check_samples(line["step"], line["samples"])
        elif "rollback" in line:
            rollbacks += 1
    seed = seed_of(settings.seed, rollbacks) if rollbacks else settings.seed
    return monitor, seed, 0.5**rollbacks


def _worst(alerts: list[Alert], settings: TrainConfig) -> Alert | None:
    """The alert that ends or rolls back the run, if there is one."""
    fatal = [alert for alert in alerts if alert.fatal]
    return next(iter(fatal if settings.on_failure == "warn" else fatal + alerts), None)


def _roll_back(run: Run, settings: TrainConfig, ranks: Ranks, step: int, alert: Alert) -> int:
    """Puts a checkpoint from before the failure in place and notes it in the log. Returns the checkpoint's step.

    Raises TrainingFailed where the run is to stop instead.
    """
    # Counted by one rank and sent to the others, before that one writes another line.
    rollbacks = ranks.broadcast(lambda: sum("rollback" in line for line in run.lines()))
    kept = f"the last checkpoint of {run.path} is kept. {alert.advice}"
    if settings.on_failure != "rollback":
        retry = f" To go back and try again with other random numbers: reverie resume {run.path} --on-failure rollback"
        raise TrainingFailed(f"{alert.name} at step {step}: {alert.what}; {kept}{retry}")
    if rollbacks >= ROLLBACKS:
        raise TrainingFailed(f"{alert.name} at step {step}, after {rollbacks} rollbacks: {alert.what}; {kept}")
    return ranks.broadcast(lambda: run.rollback(step, alert.since, {"why": alert.name, "what": alert.what}))
